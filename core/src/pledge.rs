//! Pledges of noise on the wire, in networks whose noise is audited: what each server says of its noise of a round before
//! the round's descriptor is signed, which commits to all pledges.
//!
//! `hippodrome-pledge` has their mathematics, and `paper-notes/src/pledge.md` what they are for.

use hippodrome_crypto::{
    hash::{Digest, Hasher},
    signing::SigningKey,
};
pub use hippodrome_pledge::PledgeError;
use hippodrome_pledge::{Context, Counts, CountsError, NoiseSeed, Pledge, Terms, VerifiedPledge};

use crate::{
    directory::Directory,
    ids::{Layer, Round, ServerId},
    message::Coin,
    params::NetworkParams,
    roster::Roster,
};

/// A server's word on its noise of one round. Public; [`NoisePledge::verify`] says what it is worth.
#[derive(Clone, PartialEq, Eq)]
pub struct NoisePledge {
    /// Commitment to the server's share of the coin that decides whose noise is opened.
    pub coin: Digest,
    /// The encoded pledge.
    pub pledge: Vec<u8>,
}

impl std::fmt::Debug for NoisePledge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NoisePledge({:?})", self.digest())
    }
}

/// What a pledge of a server in a round of a usable roster is about.
pub(crate) fn terms(directory: &Directory, roster: &Roster, round: Round, server: ServerId) -> Terms {
    let context =
        Context { network: *directory.id(), epoch: roster.epoch().plan().number, round: round.0, server: server.0 };
    let last = Layer(directory.params().layers - 1);
    let open: Vec<u16> = roster.open(last).iter().map(|chain| chain.0).collect();
    Terms::new(context, &open, roster.noise_slots()).expect("1 to 1024 open chains, ascending, and bounded noise")
}

/// A server's share of a round's coin. It follows from the server's key, so that a restart does not lose it: only who has
/// the key knows it before it is revealed.
pub(crate) fn coin_share(directory: &Directory, roster: &Roster, round: Round, key: &SigningKey) -> [u8; 32] {
    let signed = coin_digest("hippodrome v1 signature behind a coin share", directory, roster, round).finish();
    Hasher::new("hippodrome v1 coin share").bytes(&key.sign(&signed).0).finish().0
}

/// What binds a server to its share.
pub(crate) fn coin_commitment(directory: &Directory, roster: &Roster, round: Round, share: &[u8; 32]) -> Digest {
    coin_digest("hippodrome v1 coin share commitment", directory, roster, round).bytes(share).finish()
}

fn coin_digest(label: &str, directory: &Directory, roster: &Roster, round: Round) -> Hasher {
    Hasher::new(label).digest(directory.id()).number(roster.epoch().plan().number).number(round.0)
}

/// Whom a coin picks, if anybody; none if the shares are not those that the active servers are bound to, in order.
pub(crate) fn picked(
    directory: &Directory,
    roster: &Roster,
    coin: &Coin,
    bound: impl ExactSizeIterator<Item = Digest>,
) -> Option<Option<ServerId>> {
    let one_in = directory.params().noise.audit?;
    let Coin { round, shares } = coin;
    let commitments = shares.iter().map(|share| coin_commitment(directory, roster, *round, share));
    if shares.len() != roster.active().len() || !commitments.eq(bound) {
        return None;
    }
    let fallen = coin_digest("hippodrome v1 fallen coin", directory, roster, *round).list(shares.iter()).finish();
    let active: Vec<u16> = roster.active().iter().map(|server| server.0).collect();
    Some(hippodrome_pledge::picked(&fallen, round.0, &active, one_in).map(ServerId))
}

impl NoisePledge {
    /// Makes the pledge of noise with these counts.
    pub(crate) fn make(terms: &Terms, coin: Digest, seed: &NoiseSeed, counts: &Counts) -> Result<Self, CountsError> {
        Ok(Self { coin, pledge: Pledge::make(terms, seed, counts)?.to_bytes() })
    }

    /// What the round's descriptor holds.
    pub fn digest(&self) -> Digest {
        Hasher::new("hippodrome v1 pledge of a descriptor").digest(&self.coin).bytes(&self.pledge).finish()
    }

    /// Whether it has the one length that pledges under these terms have.
    pub(crate) fn fits(&self, terms: &Terms) -> bool {
        self.pledge.len() == Pledge::encoded_len(terms)
    }

    /// Checks what it proves.
    ///
    /// # Errors
    ///
    /// What does not hold: the fault of the server that has it in a descriptor.
    pub(crate) fn verify(&self, terms: &Terms) -> Result<VerifiedPledge, PledgeError> {
        Pledge::from_bytes(terms, &self.pledge)?.verify(terms)
    }

    /// Bytes that it takes.
    pub(crate) fn len_bytes(&self) -> usize {
        32 + self.pledge.len()
    }
}

/// Whether the noise of rounds is pledged and audited.
pub(crate) fn is_pledged(params: &NetworkParams) -> bool {
    params.noise.audit.is_some()
}

/// Digest of the pledges of all active servers, in their order: what a descriptor binds.
pub(crate) fn all_digest(pledges: &[Digest]) -> Digest {
    Hasher::new("hippodrome v1 pledges of a descriptor").list(pledges.iter().map(Digest::as_bytes)).finish()
}
