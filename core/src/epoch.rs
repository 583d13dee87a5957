//! Epochs: a public seed that all live servers make together by commit and reveal, the layout that follows from it, and
//! the clients that may submit.

use std::collections::HashMap;

use hippodrome_crypto::{
    hash::{Digest, Hasher},
    signing::{PublicKey, Signature, SigningKey},
};

use crate::{
    directory::{Directory, MissingSignature},
    ids::{Author, ChainId, ClientId, Layer, Round, ServerId},
    layout::Layout,
    message::{EpochPlan, EpochStart},
    params::{NetworkParams, Odds},
};

/// Most clients that an epoch registers.
pub const MAX_CLIENTS: usize = 1 << 24;

/// Bound on round numbers and times, so that no arithmetic on them overflows: 2^48 milliseconds are 8 900 years.
const MAX_NUMBER: u64 = 1 << 48;

/// Why an epoch, or a step towards it, is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
    /// The list of live servers is not one.
    #[error("the live servers are not servers of the directory in ascending order")]
    LiveOrder,
    /// Too few servers are live.
    #[error("{got} live servers, but every epoch of this network has at least {expected}")]
    TooFewLive {
        /// Live servers.
        got: usize,
        /// The network's `min_live`.
        expected: usize,
    },
    /// A live server was struck.
    #[error("{server} is out until {out_until_ms} ms since 1970, and the epoch starts before")]
    Out {
        /// The server.
        server: ServerId,
        /// Until when it is out.
        out_until_ms: u64,
    },
    /// So many draws have been made that one of them may well have failed.
    #[error("draw {draws} is one too many: the chance that a chain of any of them is all bad is 2^-{bits:.1}")]
    Odds {
        /// The draws, this one included.
        draws: u64,
        /// Negative logarithm of the bound on the chance.
        bits: f64,
    },
    /// Not one entry for each server.
    #[error("{got} entries where each of {expected} servers has one")]
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
    /// No quorum of servers has signed.
    #[error("the epoch: {0}")]
    Signatures(#[from] MissingSignature),
}

impl EpochPlan {
    /// Checks what can be checked without an earlier epoch: bounded numbers, no key twice, enough live servers that are
    /// not out, and few enough draws.
    pub fn check(&self, directory: &Directory) -> Result<(), EpochError> {
        if self.number >= MAX_NUMBER
            || self.first_round.0 == 0
            || self.first_round.0 > MAX_NUMBER
            || self.start_ms > MAX_NUMBER
        {
            return Err(EpochError::Numbers { first_round: self.first_round, start_ms: self.start_ms });
        }
        if self.registry.len() > MAX_CLIENTS {
            return Err(EpochError::TooManyClients(self.registry.len()));
        }
        self.check_live(directory)?;
        let odds = directory.params().odds(self.number);
        if !odds.is_below(directory.params().failure_bits) {
            return Err(EpochError::Odds { draws: self.number, bits: odds.bits() });
        }
        index(&self.registry).map(|_| ())
    }

    fn check_live(&self, directory: &Directory) -> Result<(), EpochError> {
        let (got, expected) = (self.standings.len(), directory.servers().len());
        if got != expected {
            return Err(EpochError::Count { got, expected });
        }
        let is_ascending = self.live.windows(2).all(|pair| pair[0] < pair[1]);
        if !is_ascending || self.live.last().is_some_and(|last| usize::from(last.0) >= directory.servers().len()) {
            return Err(EpochError::LiveOrder);
        }
        let (got, expected) = (self.live.len(), usize::from(directory.params().min_live));
        if got < expected {
            return Err(EpochError::TooFewLive { got, expected });
        }
        let out = self.live.iter().map(|&server| (server, self.standings[usize::from(server.0)].out_until_ms));
        match out.into_iter().find(|(_, out_until_ms)| *out_until_ms > self.start_ms) {
            Some((server, out_until_ms)) => Err(EpochError::Out { server, out_until_ms }),
            None => Ok(()),
        }
    }

    /// When round 1 starts, or would have started, on the grid of this plan's rounds, milliseconds since 1970; none if
    /// that was before 1970: one round a period since then is more than any honest network has had.
    pub fn origin_ms(&self, params: &NetworkParams) -> Option<u64> {
        let before = self.first_round.0.checked_sub(1)?.checked_mul(params.period_ms)?;
        self.start_ms.checked_sub(before)
    }

    /// Digest of network, number, registry, start, live servers and standings.
    pub fn digest(&self, network: &Digest) -> Digest {
        let hasher = Hasher::new("hippodrome v1 epoch plan")
            .digest(network)
            .number(self.number)
            .list(self.registry.iter().map(PublicKey::as_bytes))
            .number(self.first_round.0)
            .number(self.start_ms)
            .number(self.live.len() as u64);
        let hasher = self.live.iter().fold(hasher, |hasher, server| hasher.number(server.0.into()));
        let hasher = hasher.number(self.standings.len() as u64);
        self.standings
            .iter()
            .fold(hasher, |hasher, standing| hasher.number(standing.strikes.into()).number(standing.out_until_ms))
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

/// Checks that every live server has signed its commitment to this plan.
pub fn check_commitments(
    directory: &Directory,
    plan: &EpochPlan,
    commitments: &[(Digest, Signature)],
) -> Result<(), EpochError> {
    expect_each(plan, commitments.len())?;
    let digest = plan.digest(directory.id());
    for (&server, (commitment, signature)) in plan.live.iter().zip(commitments) {
        let unsigned = |_| EpochError::UnsignedCommitment(server);
        directory.verify_one(&signed_commitment(&digest, commitment), server, signature).map_err(unsigned)?;
    }
    Ok(())
}

/// Checks that every share is the one committed to. If one is missing or wrong, no seed comes of this attempt.
pub fn check_shares(
    directory: &Directory,
    plan: &EpochPlan,
    commitments: &[(Digest, Signature)],
    shares: &[[u8; 32]],
) -> Result<(), EpochError> {
    expect_each(plan, commitments.len())?;
    expect_each(plan, shares.len())?;
    let digest = plan.digest(directory.id());
    for ((&server, (commitment, _)), share) in plan.live.iter().zip(commitments).zip(shares) {
        if commit(&digest, server, share) != *commitment {
            return Err(EpochError::WrongShare(server));
        }
    }
    Ok(())
}

fn expect_each(plan: &EpochPlan, got: usize) -> Result<(), EpochError> {
    let expected = plan.live.len();
    if got == expected { Ok(()) } else { Err(EpochError::Count { got, expected }) }
}

/// An epoch whose shares are all there, but which no quorum has signed yet.
#[derive(Clone, Debug)]
pub struct EpochDraft {
    plan: EpochPlan,
    shares: Vec<[u8; 32]>,
    seed: Digest,
    digest: Digest,
    clients: HashMap<PublicKey, ClientId>,
}

impl EpochDraft {
    /// Seed and digest of the epoch that `shares` make of `plan`.
    pub fn new(directory: &Directory, plan: EpochPlan, shares: &[[u8; 32]]) -> Result<Self, EpochError> {
        plan.check(directory)?;
        expect_each(&plan, shares.len())?;
        let plan_digest = plan.digest(directory.id());
        let seed = Hasher::new("hippodrome v1 epoch seed").digest(&plan_digest).list(shares.iter()).finish();
        let digest = Hasher::new("hippodrome v1 epoch").digest(&plan_digest).digest(&seed).finish();
        let clients = index(&plan.registry)?;
        Ok(Self { plan, shares: shares.to_vec(), seed, digest, clients })
    }

    /// A server's signature on the epoch.
    pub fn sign(&self, key: &SigningKey) -> Signature {
        key.sign(&self.signed_digest())
    }

    fn signed_digest(&self) -> Digest {
        Hasher::new("hippodrome v1 epoch signature").digest(&self.digest).finish()
    }

    /// Checks one server's signature.
    pub fn verify_one(&self, directory: &Directory, server: ServerId, signature: &Signature) -> bool {
        directory.verify_one(&self.signed_digest(), server, signature).is_ok()
    }

    /// The epoch, if a quorum of the servers has signed it.
    pub fn verify(self, directory: &Directory, signatures: &[(ServerId, Signature)]) -> Result<Epoch, EpochError> {
        directory.verify_quorum(&self.signed_digest(), signatures)?;
        let params = directory.params();
        let layout = Layout::draw(&self.seed, &self.plan.live, params.layers, params.chains, params.chain_len);
        let odds = params.odds(self.plan.number);
        let signatures = signatures.to_vec();
        Ok(Epoch { draft: self, signatures, layout, period_ms: params.period_ms, odds })
    }
}

/// An epoch that a quorum of the servers has signed.
#[derive(Clone, Debug)]
pub struct Epoch {
    draft: EpochDraft,
    signatures: Vec<(ServerId, Signature)>,
    layout: Layout,
    period_ms: u64,
    odds: Odds,
}

impl Epoch {
    /// The epoch with everything that shows that it is one, for someone who has the directory only.
    pub fn start(&self) -> EpochStart {
        let EpochDraft { plan, shares, .. } = self.draft.clone();
        EpochStart { plan, shares, signatures: self.signatures.clone() }
    }

    /// The epoch's digest.
    pub fn digest(&self) -> &Digest {
        &self.draft.digest
    }

    /// The epoch's plan.
    pub fn plan(&self) -> &EpochPlan {
        &self.draft.plan
    }

    /// The seed, once and for all.
    pub(crate) fn seed(&self) -> &Digest {
        &self.draft.seed
    }

    /// Draws made so far, this one and failed ones included: every attempt has a number of its own.
    pub fn draws(&self) -> u64 {
        self.draft.plan.number
    }

    /// Bound on the chance that a chain of any of these draws is all bad.
    pub fn odds(&self) -> Odds {
        self.odds
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

    /// Members of a chain in order; panics on a chain that the network does not have.
    pub fn members(&self, layer: Layer, chain: ChainId) -> &[ServerId] {
        self.layout.members(layer, chain).expect("chains are checked when a message is taken in")
    }
}
