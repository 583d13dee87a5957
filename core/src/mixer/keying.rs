//! The keys of a round at a server: published position by position, then signed as one descriptor for the network.

use std::{collections::BTreeMap, sync::Arc};

use hippodrome_crypto::{
    hop::{HopPublic, HopSecret},
    signing::{Signature, SigningKey},
};
use hippodrome_pledge::NoiseSeed;
use rand_chacha::ChaCha20Rng;

use super::noise::Pledging;
use crate::{
    descriptor::{Descriptor, DescriptorError, SignedDescriptor, check_chain, check_usable, hop_context},
    directory::Directory,
    epoch::Epoch,
    ids::{ChainId, Layer, Place, Position, RosterId, Round, ServerId, Stage},
    layout::Turn,
    marks::{Act, Marks, Refused},
    message::{DescriptorProposal, Keys, KeysCall, ProvenHopKeys},
    pledge::{self, NoisePledge},
    roster::Roster,
};

/// A round whose keys are being made, under the roster with which that began.
pub(crate) struct Keying {
    round: Round,
    roster: Arc<Roster>,
    own: BTreeMap<(Layer, ChainId), OwnKeys>,
    answered: BTreeMap<Position, (Vec<ProvenHopKeys>, Keys)>,
    proposal: Option<Descriptor>,
    /// What all of the server's noise of the round follows from.
    seed: Arc<NoiseSeed>,
    pledging: OwnPledge,
    /// Everybody's, as the descriptor holds them; none where noise is not audited.
    pledges: Vec<NoisePledge>,
}

/// The server's own pledge of noise.
enum OwnPledge {
    /// Noise is not audited.
    None,
    /// It has not been asked for.
    Due,
    /// A job makes it; the call for it is answered then.
    BeingMade(KeysCall),
    Made(NoisePledge),
}

struct OwnKeys {
    position: Position,
    secret: HopSecret,
    public: HopPublic,
}

/// Why keys are not published or a descriptor is not signed.
#[derive(Debug, thiserror::Error)]
pub enum KeyingError {
    /// The clock says that the round is over, or far ahead.
    #[error("{0} is not near by this server's clock: it is over, or more than {LOOKAHEAD} rounds ahead")]
    Clock(Round),
    /// The descriptor is signed; its keys stay.
    #[error("the descriptor of {0} is signed already")]
    Signed(Round),
    /// The descriptor lacks this server's keys, or has others in their place.
    #[error("the descriptor of {round} does not hold this server's keys of {layer}, {chain}")]
    OwnKeysMissing {
        /// The round.
        round: Round,
        /// The layer.
        layer: Layer,
        /// The chain.
        chain: ChainId,
    },
    /// The descriptor has another pledge in the place of this server's, or pledges that are none by their lengths.
    #[error("the descriptor of {0} does not hold this server's pledge of noise, or not one of each active server")]
    Pledges(Round),
    /// The call is not for a turn of this server, or does not bring just the keys of the hops before it.
    #[error("a call for {position} with {got} keys of hops before it, where this server needs {expected}")]
    Call {
        /// The position called for.
        position: Position,
        /// Keys that came.
        got: usize,
        /// Keys of all hops before this server's turns at that position; none where it has no turn.
        expected: usize,
    },
    /// The call is for another roster than the one that the round was opened under, or may be opened under now.
    #[error("a call for {got}, where this server opens {round} under {}", DisplayRoster(*expected))]
    Roster {
        /// The round.
        round: Round,
        /// The roster called for.
        got: RosterId,
        /// The one that this server has; none if it knows no epoch for the round.
        expected: Option<RosterId>,
    },
    /// This server is not active.
    #[error("this server takes no part under {0}")]
    NotActive(RosterId),
    /// The keys of others are wrong.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// This was done before.
    #[error(transparent)]
    Refused(#[from] Refused),
}

struct DisplayRoster(Option<RosterId>);

impl std::fmt::Display for DisplayRoster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(roster) => roster.fmt(f),
            None => f.write_str("no epoch that it knows"),
        }
    }
}

/// A round whose descriptor all active servers have signed, with what this server keeps of its keying.
pub(crate) struct Announced {
    pub(crate) descriptor: SignedDescriptor,
    /// Of the server's hops.
    pub(crate) secrets: Vec<(Place, HopSecret)>,
    /// Of the server's noise.
    pub(crate) seed: Arc<NoiseSeed>,
    /// Of all active servers, in order, where noise is audited.
    pub(crate) pledges: Vec<NoisePledge>,
}

/// How many rounds ahead of its clock a server makes keys and signs.
pub(crate) const LOOKAHEAD: u64 = 3;

/// Whether a round may be opened at `now_ms`: its collection is not over, and it is only a few rounds ahead.
pub(crate) fn is_near(directory: &Directory, epoch: &Epoch, round: Round, now_ms: u64) -> bool {
    let first = epoch.plan().first_round;
    let current = epoch.round_at(now_ms).map_or(first.0, |round| round.0);
    let collected = epoch.window_start_ms(round).saturating_add(directory.params().collect_ms);
    round >= first && round.0 - first.0 <= current - first.0 + LOOKAHEAD && now_ms < collected
}

/// What keying needs to know of its server.
pub(crate) struct Keeper<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) me: ServerId,
    pub(crate) key: &'a SigningKey,
    pub(crate) marks: &'a mut Marks,
    pub(crate) rng: &'a mut ChaCha20Rng,
    pub(crate) now_ms: u64,
}

impl Keying {
    /// Opens a round, once: after a restart a round for which keys were published is refused.
    pub(crate) fn open(keeper: &mut Keeper<'_>, roster: &Arc<Roster>, round: Round) -> Result<Self, KeyingError> {
        if !is_near(keeper.directory, roster.epoch(), round, keeper.now_ms) {
            return Err(KeyingError::Clock(round));
        }
        if !roster.is_active(keeper.me) {
            return Err(KeyingError::NotActive(roster.id()));
        }
        check_usable(roster)?;
        let _once = keeper.marks.claim(Act::Open, round)?;
        let pledging = if pledge::is_pledged(keeper.directory.params()) { OwnPledge::Due } else { OwnPledge::None };
        Ok(Self {
            round,
            roster: Arc::clone(roster),
            own: BTreeMap::new(),
            answered: BTreeMap::new(),
            proposal: None,
            seed: Arc::new(NoiseSeed::random(keeper.rng)),
            pledging,
            pledges: Vec::new(),
        })
    }

    /// Keeps a call that waits for the own pledge: none if it does not, else whether it is the first one that does.
    pub(crate) fn wait_for_pledge(&mut self, call: &KeysCall) -> Option<bool> {
        let is_first = matches!(self.pledging, OwnPledge::Due);
        let waits = call.position.0 == 0 && matches!(self.pledging, OwnPledge::Due | OwnPledge::BeingMade(_));
        waits.then(|| {
            self.pledging = OwnPledge::BeingMade(call.clone());
            is_first
        })
    }

    /// The job that makes the own pledge.
    pub(crate) fn pledge(&self, directory: &Arc<Directory>, me: ServerId, key: &Arc<SigningKey>) -> Pledging {
        Pledging {
            terms: pledge::terms(directory, &self.roster, self.round, me),
            directory: Arc::clone(directory),
            roster: Arc::clone(&self.roster),
            key: Arc::clone(key),
            seed: Arc::clone(&self.seed),
        }
    }

    /// Takes the own pledge; gives the call that has waited for it.
    pub(crate) fn set_pledge(&mut self, pledge: NoisePledge) -> Option<KeysCall> {
        match std::mem::replace(&mut self.pledging, OwnPledge::Made(pledge)) {
            OwnPledge::BeingMade(call) => Some(call),
            OwnPledge::None | OwnPledge::Due | OwnPledge::Made(_) => None,
        }
    }

    /// The own pledge, where noise is audited and it is made.
    fn own_pledge(&self) -> Option<&NoisePledge> {
        match &self.pledging {
            OwnPledge::Made(pledge) => Some(pledge),
            OwnPledge::None | OwnPledge::Due | OwnPledge::BeingMade(_) => None,
        }
    }

    /// Who takes part in the round.
    pub(crate) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Whether this server has signed the round's descriptor.
    pub(crate) fn is_signed(&self) -> bool {
        self.proposal.is_some()
    }

    /// A round stays with the roster that it was opened under.
    fn check_roster(&self, got: RosterId) -> Result<(), KeyingError> {
        let expected = self.roster.id();
        let other = KeyingError::Roster { round: self.round, got, expected: Some(expected) };
        if got == expected { Ok(()) } else { Err(other) }
    }

    /// The server's turns in open chains.
    fn turns_of(&self, server: ServerId) -> impl Iterator<Item = Turn> + '_ {
        let is_open = |turn: &Turn| self.roster.is_open(turn.layer, turn.chain);
        self.roster.epoch().layout().turns_of(server).filter(is_open)
    }

    /// Publishes keys at one position in every open chain in which the server has it. A repeated call gets the same keys; if
    /// any earlier key has changed both are drawn afresh, so that none is ever used under two predecessors.
    pub(crate) fn publish(&mut self, keeper: &mut Keeper<'_>, call: &KeysCall) -> Result<Keys, KeyingError> {
        self.check_roster(call.roster)?;
        if self.proposal.is_some() {
            return Err(KeyingError::Signed(self.round));
        }
        if let Some((upstream, keys)) = self.answered.get(&call.position)
            && *upstream == call.upstream
        {
            return Ok(keys.clone());
        }
        let turns: Vec<_> = self.turns_of(keeper.me).filter(|turn| turn.position == call.position).collect();
        let epoch = Arc::clone(self.roster.epoch());
        let expected = turns.len() * usize::from(call.position.0);
        let pledge = self.own_pledge().filter(|_| call.position.0 == 0).cloned();
        if turns.is_empty() && pledge.is_none() || call.upstream.len() != expected {
            return Err(KeyingError::Call { position: call.position, got: call.upstream.len(), expected });
        }
        let mut keys = Vec::with_capacity(turns.len());
        for turn in turns {
            let stage = Stage { round: self.round, layer: turn.layer, chain: turn.chain };
            let before: Vec<&ProvenHopKeys> =
                call.upstream.iter().filter(|hop| (hop.layer, hop.chain) == (turn.layer, turn.chain)).collect();
            if before.len() != usize::from(call.position.0) {
                let missing = Position(before.len() as u8);
                return Err(DescriptorError::Keys { layer: turn.layer, chain: turn.chain, position: missing }.into());
            }
            let base = check_chain(keeper.directory, &epoch, stage, &before)?;
            let place = Place { stage, position: turn.position };
            let context = hop_context(keeper.directory, &epoch, place, keeper.me);
            let (secret, public, proof) = HopSecret::generate(&base, &context, keeper.rng);
            self.own.insert((turn.layer, turn.chain), OwnKeys { position: turn.position, secret, public });
            let (layer, chain, position) = (turn.layer, turn.chain, turn.position);
            keys.push(ProvenHopKeys { layer, chain, position, public, proof });
        }
        let keys = Keys { round: self.round, position: call.position, keys, pledge };
        self.answered.insert(call.position, (call.upstream.clone(), keys.clone()));
        Ok(keys)
    }

    /// Signs the round's descriptor, once, and the same one again when asked again: it holds this server's keys, and
    /// every proof in this server's chains holds.
    pub(crate) fn sign(
        &mut self,
        keeper: &mut Keeper<'_>,
        proposal: &DescriptorProposal,
    ) -> Result<Signature, KeyingError> {
        if !is_near(keeper.directory, self.roster.epoch(), self.round, keeper.now_ms) {
            return Err(KeyingError::Clock(self.round));
        }
        self.check_roster(proposal.roster)?;
        let pledges = proposal.pledges.iter().map(NoisePledge::digest).collect();
        let descriptor = Descriptor::new(keeper.directory, &self.roster, self.round, &proposal.keys, pledges)?;
        if let Some(signed) = self.proposal.as_ref().filter(|signed| signed.digest() == descriptor.digest()) {
            return Ok(signed.sign(keeper.key));
        }
        for turn in self.turns_of(keeper.me) {
            let published = self.own.get(&(turn.layer, turn.chain)).map(|own| own.public);
            let proposed = descriptor.chain(turn.layer, turn.chain)[usize::from(turn.position.0)];
            if published != Some(proposed) {
                let (round, layer, chain) = (self.round, turn.layer, turn.chain);
                return Err(KeyingError::OwnKeysMissing { round, layer, chain });
            }
            let stage = Stage { round: self.round, layer: turn.layer, chain: turn.chain };
            let hops: Vec<&ProvenHopKeys> =
                proposal.keys.iter().filter(|hop| (hop.layer, hop.chain) == (turn.layer, turn.chain)).collect();
            check_chain(keeper.directory, self.roster.epoch(), stage, &hops)?;
        }
        self.check_pledges(keeper, &proposal.pledges)?;
        let _once = keeper.marks.claim(Act::Descriptor, self.round)?;
        let signature = descriptor.sign(keeper.key);
        (self.proposal, self.pledges) = (Some(descriptor), proposal.pledges.clone());
        Ok(signature)
    }

    /// Whether the own pledge is in its place among as many as there are active servers, and all have the right length.
    /// What they prove is looked at when the round is announced: a bad one convicts its server.
    fn check_pledges(&self, keeper: &Keeper<'_>, pledges: &[NoisePledge]) -> Result<(), KeyingError> {
        if !pledge::is_pledged(keeper.directory.params()) {
            return Ok(());
        }
        let terms = pledge::terms(keeper.directory, &self.roster, self.round, keeper.me);
        let own = self.roster.active().binary_search(&keeper.me).ok().and_then(|index| pledges.get(index));
        let holds = own.is_some() && own == self.own_pledge() && pledges.iter().all(|pledge| pledge.fits(&terms));
        if holds { Ok(()) } else { Err(KeyingError::Pledges(self.round)) }
    }

    /// Whether all active servers have signed what this one has signed.
    pub(crate) fn check(&self, directory: &Directory, signatures: &[Signature]) -> Result<(), KeyingError> {
        let proposal = self.proposal.as_ref().ok_or(KeyingError::Clock(self.round))?;
        Ok(proposal.check(directory, signatures)?)
    }

    /// The signed descriptor and this server's secrets, once all active servers have signed what this one has signed.
    pub(crate) fn announce(self, directory: &Directory, signatures: &[Signature]) -> Result<Announced, KeyingError> {
        let round = self.round;
        let descriptor = self.proposal.ok_or(KeyingError::Clock(round))?.verify(directory, signatures)?;
        let secrets = self.own.into_iter().map(|((layer, chain), own)| {
            (Place { stage: Stage { round, layer, chain }, position: own.position }, own.secret)
        });
        Ok(Announced { descriptor, secrets: secrets.collect(), seed: self.seed, pledges: self.pledges })
    }
}
