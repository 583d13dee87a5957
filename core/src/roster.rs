//! Who takes part in a round: the live servers of an epoch less those that an amendment has struck, and the chains
//! that hold none of the struck.
//!
//! A fault inside an epoch never causes a new draw. An amendment names servers, closes their chains, and only ever adds;
//! it holds for rounds announced after it. Nobody proves what a server is struck for: the failure odds count every chain
//! that was drawn, open or not, and the noise is that of `min_live` servers, so whoever strikes gains nothing but delay.

use std::sync::Arc;

use hippodrome_crypto::{
    hash::{Digest, Hasher},
    signing::{PublicKey, Signature, SigningKey},
};

use crate::{
    directory::{Directory, MissingSignature},
    epoch::Epoch,
    evidence::RosterRecord,
    ids::{ChainId, Layer, RosterId, Round, ServerId},
    message::{Amendment, AmendmentStart, EpochPlan, Ground, Strike},
    params::NetworkParams,
    wire::MAILBOX_LEN,
};

/// Most amendments of an epoch, failed ones included; with [`crate::epoch`]'s bound on numbers they fit into a mark.
const MAX_AMENDMENTS: u32 = 1 << 16;

/// Doublings after which a server that is struck again is kept out no longer than before.
const MAX_DOUBLINGS: u16 = 10;

/// Why an amendment is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendmentError {
    /// It is of another epoch.
    #[error("an amendment of epoch {got}, where epoch {expected} is amended")]
    Epoch {
        /// The epoch that it names.
        got: u64,
        /// The epoch that is known.
        expected: u64,
    },
    /// Its number is not above the last one's, or out of all proportion.
    #[error("amendment {got}, where the last one is {last}: numbers only go up, to {MAX_AMENDMENTS}")]
    Number {
        /// The number.
        got: u32,
        /// The last one known.
        last: u32,
    },
    /// The struck servers are not live servers in ascending order.
    #[error("the struck servers are not live servers of the epoch in ascending order")]
    Order,
    /// A server that was struck before is not any more, or for something else.
    #[error("{0} was struck before: amendments only ever add")]
    Dropped(ServerId),
    /// Nobody is struck who was not before.
    #[error("the amendment strikes nobody who was not struck before")]
    Nothing,
    /// Too few servers would be left.
    #[error("{left} servers would be left, but every epoch of this network has at least {expected}")]
    TooFew {
        /// Servers left.
        left: usize,
        /// The network's `min_live`.
        expected: usize,
    },
    /// No quorum has signed.
    #[error("the amendment: {0}")]
    Signatures(#[from] MissingSignature),
}

impl Amendment {
    /// What the amendment of an epoch with this digest is known by.
    pub fn digest(&self, epoch: &Digest) -> Digest {
        let ground = |ground| match ground {
            Ground::Silent => 0,
            Ground::Aborted => 1,
            Ground::Convicted => 2,
        };
        let hasher = Hasher::new("hippodrome v1 amendment")
            .digest(epoch)
            .number(self.number.into())
            .number(self.struck.len() as u64);
        self.struck
            .iter()
            .fold(hasher, |hasher, strike| hasher.number(strike.server.0.into()).number(ground(strike.ground)))
            .finish()
    }

    /// A server's signature.
    pub fn sign(&self, epoch: &Epoch, key: &SigningKey) -> Signature {
        key.sign(&self.signed_digest(epoch))
    }

    /// Checks one server's signature.
    pub fn verify_one(&self, directory: &Directory, epoch: &Epoch, server: ServerId, signature: &Signature) -> bool {
        directory.verify_one(&self.signed_digest(epoch), server, signature).is_ok()
    }

    fn signed_digest(&self, epoch: &Epoch) -> Digest {
        Hasher::new("hippodrome v1 amendment signature").digest(&self.digest(epoch.digest())).finish()
    }

    /// Epoch and number.
    pub fn id(&self) -> RosterId {
        RosterId { epoch: self.epoch, amendment: self.number }
    }

    /// Epoch and number as one, ascending: what a server's mark for amendments holds.
    pub(crate) fn mark(&self) -> Round {
        Round(self.epoch << 16 | u64::from(self.number))
    }

    /// Whether the server is among those struck.
    pub fn strikes(&self, server: ServerId) -> bool {
        self.struck.iter().any(|strike| strike.server == server)
    }
}

/// An epoch with the amendment that holds. Only its verifiers make it: [`Roster::new`] of an epoch that a quorum has
/// signed, and [`Roster::amend`] of an amendment that a quorum has signed.
#[derive(Clone, Debug)]
pub struct Roster {
    epoch: Arc<Epoch>,
    amendment: Amendment,
    /// Those on the amendment; none if there is none.
    signatures: Vec<(ServerId, Signature)>,
    digest: Digest,
    active: Vec<ServerId>,
    /// Ascending, one list a layer.
    open: Vec<Vec<ChainId>>,
    noise_per_chain: u32,
}

impl Roster {
    /// The epoch as it was drawn: nobody is struck, every chain is open.
    pub fn new(directory: &Directory, epoch: Arc<Epoch>) -> Self {
        let amendment = Amendment { epoch: epoch.plan().number, number: 0, struck: Vec::new() };
        Self::with(directory.params(), epoch, amendment)
    }

    fn with(params: &NetworkParams, epoch: Arc<Epoch>, amendment: Amendment) -> Self {
        let active = epoch.plan().live.iter().copied().filter(|server| !amendment.strikes(*server)).collect();
        let is_open = |layer, chain: &ChainId| {
            let members = epoch.layout().members(layer, *chain).unwrap_or_default();
            !members.iter().any(|member| amendment.strikes(*member))
        };
        let open: Vec<Vec<_>> = (0..params.layers)
            .map(|layer| (0..params.chains).map(ChainId).filter(|chain| is_open(Layer(layer), chain)).collect())
            .collect();
        let digest = Hasher::new("hippodrome v1 roster").digest(&amendment.digest(epoch.digest())).finish();
        let noise_per_chain = params.noise.per_chain(open[0].len());
        Self { epoch, amendment, signatures: Vec::new(), digest, active, open, noise_per_chain }
    }

    /// Checks that an amendment could follow on this roster: a higher number, nobody dropped, enough servers left.
    pub fn check(&self, directory: &Directory, amendment: &Amendment) -> Result<(), AmendmentError> {
        let Amendment { epoch, number, struck } = amendment;
        let (known, last) = (self.amendment.epoch, self.amendment.number);
        if *epoch != known {
            return Err(AmendmentError::Epoch { got: *epoch, expected: known });
        }
        if *number <= last || *number >= MAX_AMENDMENTS {
            return Err(AmendmentError::Number { got: *number, last });
        }
        let live = &self.epoch.plan().live;
        let is_ascending = struck.windows(2).all(|pair| pair[0].server < pair[1].server);
        if !is_ascending || !struck.iter().all(|strike| live.contains(&strike.server)) {
            return Err(AmendmentError::Order);
        }
        if let Some(dropped) = self.amendment.struck.iter().find(|earlier| !struck.contains(earlier)) {
            return Err(AmendmentError::Dropped(dropped.server));
        }
        if struck.len() == self.amendment.struck.len() {
            return Err(AmendmentError::Nothing);
        }
        let (left, expected) = (live.len() - struck.len(), usize::from(directory.params().min_live));
        if left < expected { Err(AmendmentError::TooFew { left, expected }) } else { Ok(()) }
    }

    /// The roster after an amendment that a quorum of the directory's servers has signed.
    pub fn amend(&self, directory: &Directory, start: &AmendmentStart) -> Result<Self, AmendmentError> {
        self.check(directory, &start.amendment)?;
        directory.verify_quorum(&start.amendment.signed_digest(&self.epoch), &start.signatures)?;
        let amended = Self::with(directory.params(), Arc::clone(&self.epoch), start.amendment.clone());
        Ok(Self { signatures: start.signatures.clone(), ..amended })
    }

    /// Epoch and amendment with everything that shows what they are, for someone who has the directory only.
    pub fn record(&self) -> RosterRecord {
        let amendment = (self.amendment.number > 0)
            .then(|| AmendmentStart { amendment: self.amendment.clone(), signatures: self.signatures.clone() });
        RosterRecord { epoch: self.epoch.start(), amendment }
    }

    /// Epoch and amendment by their numbers.
    pub fn id(&self) -> RosterId {
        self.amendment.id()
    }

    /// The epoch.
    pub fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    /// The amendment that holds; its number is 0 if there is none.
    pub fn amendment(&self) -> &Amendment {
        &self.amendment
    }

    /// Digest of epoch and amendment: every descriptor holds that of its roster.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The servers that take part, ascending.
    pub fn active(&self) -> &[ServerId] {
        &self.active
    }

    /// Whether a server takes part.
    pub fn is_active(&self, server: ServerId) -> bool {
        self.active.binary_search(&server).is_ok()
    }

    /// The open chains of a layer, ascending; none of a layer that the network does not have.
    pub fn open(&self, layer: Layer) -> &[ChainId] {
        self.open.get(usize::from(layer.0)).map_or(&[], Vec::as_slice)
    }

    /// The open chains of every layer, in order.
    pub fn open_layers(&self) -> &[Vec<ChainId>] {
        &self.open
    }

    /// The place of a chain among the open ones of its layer, if it is open.
    pub fn open_index(&self, layer: Layer, chain: ChainId) -> Option<usize> {
        self.open(layer).binary_search(&chain).ok()
    }

    /// Whether a chain is open.
    pub fn is_open(&self, layer: Layer, chain: ChainId) -> bool {
        self.open_index(layer, chain).is_some()
    }

    /// Noise records that each active server sends into each open input chain.
    pub fn noise_per_chain(&self) -> u32 {
        self.noise_per_chain
    }

    /// Slots of each active server's noise, two records each.
    pub fn noise_slots(&self) -> u32 {
        (u64::from(self.noise_per_chain) * self.open[0].len() as u64 / 2) as u32
    }

    /// Whether rounds can be held: every layer has an open chain.
    pub fn is_usable(&self) -> bool {
        self.open.iter().all(|chains| !chains.is_empty())
    }

    /// Members of a chain in order, struck ones included; panics on a chain that the network does not have.
    pub fn members(&self, layer: Layer, chain: ChainId) -> &[ServerId] {
        self.epoch.members(layer, chain)
    }

    /// The input chain of a client: the open one with the highest hash of key, seed and chain, whatever the client met.
    /// Closing a chain moves only its own clients. None if no input chain is open.
    pub fn input_chain(&self, client: &PublicKey) -> Option<ChainId> {
        let weight = |chain: &ChainId| {
            Hasher::new("hippodrome v1 input chain")
                .bytes(client.as_bytes())
                .digest(self.epoch.seed())
                .number(chain.0.into())
                .finish()
        };
        self.open(Layer(0)).iter().copied().max_by_key(weight)
    }

    /// The output chain of a mailbox; none if no chain of the last layer is open.
    pub fn output_chain(&self, mailbox: &[u8; MAILBOX_LEN]) -> Option<ChainId> {
        output_chain(mailbox, self.open.last()?)
    }
}

/// The output chain of a mailbox: its hash modulo the number of open chains; none if there are none.
pub fn output_chain(mailbox: &[u8; MAILBOX_LEN], open: &[ChainId]) -> Option<ChainId> {
    let digest = Hasher::new("hippodrome v1 output chain").bytes(mailbox).finish();
    let number = u64::from_le_bytes(digest.0[..8].try_into().expect("8 bytes"));
    open.get(number.checked_rem(open.len() as u64)? as usize).copied()
}

/// Why an epoch does not follow on the one before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// Its number is not higher.
    #[error("epoch {got} does not follow on epoch {previous}")]
    Number {
        /// Its number.
        got: u64,
        /// The number of the one before.
        previous: u64,
    },
    /// Its rounds are not on the grid of the one before.
    #[error("{first_round} of the next epoch starts at {start_ms} ms, not where the epoch before would have had it")]
    Grid {
        /// Its first round.
        first_round: Round,
        /// Its start.
        start_ms: u64,
    },
    /// It comes too early.
    #[error("the next epoch starts at {start_ms} ms, but not before {earliest_ms} ms may it")]
    Early {
        /// Its start.
        start_ms: u64,
        /// The earliest start.
        earliest_ms: u64,
    },
    /// A server stands better than it may.
    #[error("{server} has {got} strikes and is out until {out_until_ms} ms, less than follows from the epoch before")]
    Standing {
        /// The server.
        server: ServerId,
        /// Its strikes.
        got: u16,
        /// Until when it is out.
        out_until_ms: u64,
    },
}

/// Milliseconds for which a server with so many strikes is kept out: twice as long for each after the first.
pub fn penalty_ms(params: &NetworkParams, strikes: u16) -> u64 {
    match strikes.checked_sub(1) {
        Some(doublings) => params.epoch_ms << doublings.min(MAX_DOUBLINGS),
        None => 0,
    }
}

/// Checks that an epoch may follow on a roster: its number is higher, its rounds are on the same grid, so that a
/// round's number follows from the clock; the epoch before had its least length; no server stands better than before,
/// and each that was struck is out for as long as its strikes say.
pub fn follows(params: &NetworkParams, previous: &Roster, plan: &EpochPlan) -> Result<(), TransitionError> {
    let before = previous.epoch.plan();
    if plan.number <= before.number {
        return Err(TransitionError::Number { got: plan.number, previous: before.number });
    }
    let &EpochPlan { first_round, start_ms, .. } = plan;
    let rounds = first_round.0.checked_sub(before.first_round.0).filter(|rounds| *rounds > 0);
    let expected = rounds.and_then(|rounds| rounds.checked_mul(params.period_ms)?.checked_add(before.start_ms));
    if expected != Some(start_ms) {
        return Err(TransitionError::Grid { first_round, start_ms });
    }
    let earliest_ms = before.start_ms.saturating_add(params.epoch_ms);
    if start_ms < earliest_ms {
        return Err(TransitionError::Early { start_ms, earliest_ms });
    }
    for ((server, earlier), now) in (0..).map(ServerId).zip(&before.standings).zip(&plan.standings) {
        let struck = u16::from(previous.amendment.strikes(server));
        let at_least = earlier.strikes.saturating_add(struck);
        // A count that can go no higher has its strike shown by the time alone.
        let newly = now.strikes > earlier.strikes || struck > 0;
        let out = if newly { start_ms.saturating_add(penalty_ms(params, now.strikes)) } else { earlier.out_until_ms };
        if now.strikes < at_least || now.out_until_ms < out.max(earlier.out_until_ms) {
            let (got, out_until_ms) = (now.strikes, now.out_until_ms);
            return Err(TransitionError::Standing { server, got, out_until_ms });
        }
    }
    Ok(())
}

impl Amendment {
    /// The amendment after `roster`'s that strikes these servers too; those struck before keep their ground.
    pub fn after(roster: &Roster, number: u32, more: &[Strike]) -> Self {
        let mut struck = roster.amendment.struck.clone();
        struck.extend(more.iter().filter(|strike| !roster.amendment.strikes(strike.server)));
        struck.sort_by_key(|strike| strike.server);
        struck.dedup_by_key(|strike| strike.server);
        Self { epoch: roster.amendment.epoch, number, struck }
    }
}

#[cfg(test)]
mod tests;
