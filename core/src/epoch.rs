//! Epochs: a public seed that all servers make together by commit and reveal, the layout that follows from it, and the
//! clients that may submit.

use std::collections::HashMap;

use hippodrome_crypto::{
    hash::{Digest, Hasher},
    signing::{PublicKey, Signature, SigningKey},
};

use crate::{
    directory::{Directory, MissingSignature},
    ids::{Author, ChainId, ClientId, Layer, Round, ServerId},
    layout::Layout,
    message::EpochPlan,
};

/// Most clients that an epoch registers.
pub const MAX_CLIENTS: usize = 1 << 24;

/// Bound on round numbers and times, so that no arithmetic on them overflows: 2^48 milliseconds are 8 900 years.
const MAX_NUMBER: u64 = 1 << 48;

/// Why an epoch, or a step towards it, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The plan's numbers are not of this world.
    #[error("{first_round}, starting at {start_ms} ms: an epoch starts with a round from 1 to 2^48, before 2^48 ms")]
    Numbers {
        /// The first round.
        first_round: Round,
        /// The start.
        start_ms: u64,
    },
    /// The registry has too many keys.
    #[error("{0} client keys: an epoch registers at most {MAX_CLIENTS}")]
    TooManyClients(usize),
    /// The registry holds a key twice.
    #[error("the registry holds the key of {0} twice")]
    RepeatedClient(ClientId),
    /// Not one entry for each server.
    #[error("{got} entries where each of the {expected} servers has one")]
    Count {
        /// Entries.
        got: usize,
        /// Servers.
        expected: usize,
    },
    /// A commitment is not signed by its server.
    #[error("the seed commitment of {0} is not signed by it")]
    UnsignedCommitment(ServerId),
    /// A share is not what its server committed to.
    #[error("the share of {0} is not the one it committed to")]
    WrongShare(ServerId),
    /// The list of commitments lacks the server's own.
    #[error("the commitments do not hold the one that this server made")]
    OwnCommitmentMissing,
    /// Not all servers have signed.
    #[error("the epoch: {0}")]
    Signatures(#[from] MissingSignature),
}

impl EpochPlan {
    /// Checks numbers and registry: bounded, no key twice.
    pub fn check(&self) -> Result<(), EpochError> {
        if self.first_round.0 == 0 || self.first_round.0 > MAX_NUMBER || self.start_ms > MAX_NUMBER {
            return Err(EpochError::Numbers { first_round: self.first_round, start_ms: self.start_ms });
        }
        if self.registry.len() > MAX_CLIENTS {
            return Err(EpochError::TooManyClients(self.registry.len()));
        }
        index(&self.registry).map(|_| ())
    }

    /// Digest of network, number, registry and start.
    pub fn digest(&self, network: &Digest) -> Digest {
        Hasher::new("hippodrome v1 epoch plan")
            .digest(network)
            .number(self.number)
            .list(self.registry.iter().map(PublicKey::as_bytes))
            .number(self.first_round.0)
            .number(self.start_ms)
            .finish()
    }
}

fn index(registry: &[PublicKey]) -> Result<HashMap<PublicKey, ClientId>, EpochError> {
    let mut clients = HashMap::with_capacity(registry.len());
    for (place, key) in registry.iter().enumerate() {
        let client = ClientId(place as u32);
        if clients.insert(*key, client).is_some() {
            return Err(EpochError::RepeatedClient(client));
        }
    }
    Ok(clients)
}

/// The commitment of a server to its share of the seed.
pub fn commit(plan: &Digest, server: ServerId, share: &[u8; 32]) -> Digest {
    Hasher::new("hippodrome v1 seed commitment").digest(plan).number(server.0.into()).bytes(share).finish()
}

/// What a server signs with its commitment.
pub fn signed_commitment(plan: &Digest, commitment: &Digest) -> Digest {
    Hasher::new("hippodrome v1 seed commitment signature").digest(plan).digest(commitment).finish()
}

/// Checks that every server has signed its commitment to this plan.
pub fn check_commitments(
    directory: &Directory,
    plan: &Digest,
    commitments: &[(Digest, Signature)],
) -> Result<(), EpochError> {
    expect_each(directory, commitments.len())?;
    for ((id, server), (commitment, signature)) in directory.server_ids().zip(directory.servers()).zip(commitments) {
        let unsigned = |_| EpochError::UnsignedCommitment(id);
        server.key.verify(&signed_commitment(plan, commitment), signature).map_err(unsigned)?;
    }
    Ok(())
}

/// Checks that every share is the one committed to. If one is missing or wrong, no seed comes of this attempt.
pub fn check_shares(
    directory: &Directory,
    plan: &Digest,
    commitments: &[(Digest, Signature)],
    shares: &[[u8; 32]],
) -> Result<(), EpochError> {
    expect_each(directory, commitments.len())?;
    expect_each(directory, shares.len())?;
    for ((server, (commitment, _)), share) in directory.server_ids().zip(commitments).zip(shares) {
        if commit(plan, server, share) != *commitment {
            return Err(EpochError::WrongShare(server));
        }
    }
    Ok(())
}

fn expect_each(directory: &Directory, got: usize) -> Result<(), EpochError> {
    let expected = directory.servers().len();
    if got == expected { Ok(()) } else { Err(EpochError::Count { got, expected }) }
}

/// An epoch whose shares are all there, but which is not yet signed by all.
#[derive(Clone, Debug)]
pub struct EpochDraft {
    plan: EpochPlan,
    seed: Digest,
    digest: Digest,
    clients: HashMap<PublicKey, ClientId>,
}

impl EpochDraft {
    /// Seed and digest of the epoch that `shares` make of `plan`.
    pub fn new(directory: &Directory, plan: EpochPlan, shares: &[[u8; 32]]) -> Result<Self, EpochError> {
        plan.check()?;
        expect_each(directory, shares.len())?;
        let plan_digest = plan.digest(directory.id());
        let seed = Hasher::new("hippodrome v1 epoch seed").digest(&plan_digest).list(shares.iter()).finish();
        let digest = Hasher::new("hippodrome v1 epoch").digest(&plan_digest).digest(&seed).finish();
        let clients = index(&plan.registry)?;
        Ok(Self { plan, seed, digest, clients })
    }

    /// A server's signature on the epoch.
    pub fn sign(&self, key: &SigningKey) -> Signature {
        key.sign(&self.signed_digest())
    }

    fn signed_digest(&self) -> Digest {
        Hasher::new("hippodrome v1 epoch signature").digest(&self.digest).finish()
    }

    /// Checks one server's signature.
    pub fn verify_one(&self, key: &PublicKey, signature: &Signature) -> bool {
        key.verify(&self.signed_digest(), signature).is_ok()
    }

    /// The epoch, if all servers have signed it.
    pub fn verify(self, directory: &Directory, signatures: &[Signature]) -> Result<Epoch, EpochError> {
        directory.verify_all(&self.signed_digest(), signatures)?;
        let params = directory.params();
        let layout =
            Layout::draw(&self.seed, directory.servers().len(), params.layers, params.chains, params.chain_len);
        Ok(Epoch { draft: self, layout, period_ms: params.period_ms, chains: params.chains })
    }
}

/// An epoch that all servers have signed.
#[derive(Clone, Debug)]
pub struct Epoch {
    draft: EpochDraft,
    layout: Layout,
    period_ms: u64,
    chains: u16,
}

impl Epoch {
    /// The epoch's digest.
    pub fn digest(&self) -> &Digest {
        &self.draft.digest
    }

    /// The epoch's plan.
    pub fn plan(&self) -> &EpochPlan {
        &self.draft.plan
    }

    /// The chains.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Start of a round's window, milliseconds since 1970.
    pub fn window_start_ms(&self, round: Round) -> u64 {
        let periods = round.0.saturating_sub(self.draft.plan.first_round.0);
        self.draft.plan.start_ms.saturating_add(periods.saturating_mul(self.period_ms))
    }

    /// The round whose window holds `now_ms`, if the epoch has begun.
    pub fn round_at(&self, now_ms: u64) -> Option<Round> {
        let since = now_ms.checked_sub(self.draft.plan.start_ms)?;
        Some(Round(self.draft.plan.first_round.0.saturating_add(since / self.period_ms)))
    }

    /// The client with a key, if it is registered.
    pub fn client_of(&self, key: &PublicKey) -> Option<ClientId> {
        self.draft.clients.get(key).copied()
    }

    /// The key of an author, if there is such an author.
    pub fn author_key<'a>(&'a self, directory: &'a Directory, author: Author) -> Option<&'a PublicKey> {
        match author {
            Author::Client(client) => self.draft.plan.registry.get(client.0 as usize),
            Author::Server(server) => directory.server_key(server),
        }
    }

    /// The input chain of a client: the one with the highest hash of key, seed and chain, whatever the client met.
    pub fn input_chain(&self, client: &PublicKey) -> ChainId {
        let weight = |chain: &u16| {
            Hasher::new("hippodrome v1 input chain")
                .bytes(client.as_bytes())
                .digest(&self.draft.seed)
                .number((*chain).into())
                .finish()
        };
        ChainId((0..self.chains).max_by_key(weight).unwrap_or(0))
    }

    /// Members of a chain in order; panics on a chain that the network does not have.
    pub fn members(&self, layer: Layer, chain: ChainId) -> &[ServerId] {
        self.layout.members(layer, chain).expect("chains are checked when a message is taken in")
    }
}

/// The output chain of a mailbox: its hash modulo the number of open chains; a middle chain is drawn elsewhere.
pub fn output_chain(mailbox: &[u8; crate::wire::MAILBOX_LEN], chains: u16) -> ChainId {
    let digest = Hasher::new("hippodrome v1 output chain").bytes(mailbox).finish();
    let number = u64::from_le_bytes(digest.0[..8].try_into().expect("8 bytes"));
    ChainId((number % u64::from(chains)) as u16)
}
