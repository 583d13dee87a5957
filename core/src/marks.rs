//! Durable marks: what makes *once* survive a restart.
//!
//! For each kind of act, layer and chain a server acts at most once in a round, ever. The highest round acted on is
//! written durably before the first byte leaves; after a restart everything at or below it is refused. Rounds that are
//! under way together may overtake each other, so a process that has not been restarted goes by the rounds themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{ChainId, Layer, Round, Stage},
    params::MAX_ROUNDS_IN_FLIGHT,
};

/// What a server, the coordinator or a client does at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Reveal a share of an epoch's seed, and sign what comes of it: the epoch's number takes the place of the round.
    Epoch,
    /// The coordinator announces a round number; a server publishes keys for it.
    Open,
    /// Sign a round's descriptor.
    Descriptor,
    /// Sign the input of a chain.
    Input(Layer, ChainId),
    /// Sign the vector of a layer's inputs.
    Confirm(Layer),
    /// Release a mixed batch.
    Forward(Layer, ChainId),
    /// Release a batch of replies.
    Return(Layer, ChainId),
    /// A client submits.
    Submit,
    /// Sign an amendment of an epoch: the numbers of both take the place of the round.
    Amend,
    /// Draw a limit for spoiled replies: the number of limits drawn takes the place of the round.
    ReplyLimit,
}

impl Act {
    /// A stable name for the act, its layer and chain: the key under which a store keeps the mark.
    pub fn key(self) -> u64 {
        let (kind, layer, chain) = match self {
            Self::Open => (0, Layer(0), ChainId(0)),
            Self::ReplyLimit => (11, Layer(0), ChainId(0)),
            Self::Amend => (8, Layer(0), ChainId(0)),
            Self::Submit => (7, Layer(0), ChainId(0)),
            Self::Epoch => (6, Layer(0), ChainId(0)),
            Self::Descriptor => (1, Layer(0), ChainId(0)),
            Self::Input(layer, chain) => (2, layer, chain),
            Self::Confirm(layer) => (3, layer, ChainId(0)),
            Self::Forward(layer, chain) => (4, layer, chain),
            Self::Return(layer, chain) => (5, layer, chain),
        };
        kind << 32 | u64::from(layer.0) << 16 | u64::from(chain.0)
    }

    /// Whether a later round may come first: rounds are opened in their order, but mixed as their messages come.
    fn may_be_overtaken(self) -> bool {
        matches!(self, Self::Input(..) | Self::Confirm(_) | Self::Forward(..) | Self::Return(..))
    }
}

/// The key under which a store keeps when round 1 starts; no act has it.
const ORIGIN: u64 = 9 << 32;
/// The key under which it keeps the same of an epoch that is signed, but may never begin.
const SIGNED_ORIGIN: u64 = 10 << 32;

/// The key under which a store keeps how many rounds a client has submitted to; no act has it.
const SUBMISSIONS: u64 = 12 << 32;

/// A store that cannot read or write.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep durable marks: {0}")]
pub struct StoreError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// Where marks are kept. `write` returns only when the mark will survive a crash.
pub trait MarkStore: Send {
    /// The highest round marked under a key, if any.
    fn read(&self, key: u64) -> Result<Option<u64>, StoreError>;
    /// Marks a round under a key, durably.
    fn write(&mut self, key: u64, round: u64) -> Result<(), StoreError>;
}

/// Why an act is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The round is at or below the mark.
    #[error("{act:?} was done up to {mark} and is refused for {round}: it is done at most once, also after a restart")]
    Before {
        /// The act.
        act: Act,
        /// The round in which it was done, or up to which it may have been.
        mark: Round,
        /// The round asked for.
        round: Round,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the rounds of an epoch are refused.
#[derive(Debug, thiserror::Error)]
pub enum OffGrid {
    /// They are not those of the network.
    #[error(
        "its rounds count from {got_ms} ms since 1970, but those of this network from {kept_ms} ms, for ever: keys and \
         marks of rounds that are passed over would be lost"
    )]
    Moved {
        /// When its round 1 would start, milliseconds since 1970.
        got_ms: u64,
        /// When that of the network starts, or would have started.
        kept_ms: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Permission to act once: made only by [`Marks::claim`], consumed by the act.
#[must_use]
#[derive(Debug)]
pub struct Once {
    act: Act,
    round: Round,
}

impl Once {
    /// Whether this is permission for that act in that round.
    pub(crate) fn is_for(&self, act: Act, round: Round) -> bool {
        self.act == act && self.round == round
    }
}

/// The marks of one server.
pub struct Marks {
    store: Box<dyn MarkStore>,
    /// By key, of acts whose rounds may overtake each other.
    acted: BTreeMap<u64, Acted>,
}

/// The rounds in which a process has done an act.
struct Acted {
    /// It may have been done in any round up to this one.
    floor: Option<u64>,
    /// Above the floor; no more than may be under way together.
    rounds: BTreeSet<u64>,
}

impl Acted {
    /// What keeps the act from being done in a round.
    fn bar(&self, round: u64) -> Option<u64> {
        let is_done = self.rounds.contains(&round).then_some(round);
        is_done.or(self.floor.filter(|floor| *floor >= round))
    }

    fn add(&mut self, round: u64) {
        self.rounds.insert(round);
        if self.rounds.len() as u64 > MAX_ROUNDS_IN_FLIGHT {
            self.floor = self.rounds.pop_first();
        }
    }
}

impl Marks {
    /// Marks kept in `store`.
    pub fn new(store: Box<dyn MarkStore>) -> Self {
        Self { store, acted: BTreeMap::new() }
    }

    /// Writes the mark and gives permission, or refuses. Permission to submit is counted, for ever: each round that a client
    /// submits to spends privacy, whatever comes of the round.
    pub fn claim(&mut self, act: Act, round: Round) -> Result<Once, Refused> {
        let (key, highest) = (act.key(), self.highest(act)?);
        if !act.may_be_overtaken() {
            self.advance(act, highest, round)?;
            return Ok(Once { act, round });
        }
        let floor = highest.map(|round| round.0);
        let acted = self.acted.entry(key).or_insert_with(|| Acted { floor, rounds: BTreeSet::new() });
        if let Some(bar) = acted.bar(round.0) {
            return Err(Refused::Before { act, mark: Round(bar), round });
        }
        // A mark above it stands for it already.
        if floor < Some(round.0) {
            self.store.write(key, round.0)?;
        }
        acted.add(round.0);
        Ok(Once { act, round })
    }

    fn advance(&mut self, act: Act, highest: Option<Round>, round: Round) -> Result<(), Refused> {
        match highest {
            Some(mark) if mark >= round => return Err(Refused::Before { act, mark, round }),
            _ => {}
        }
        // First: whoever dies in between has counted one too many, and never one too few.
        if act == Act::Submit {
            let submissions = self.submissions()?.saturating_add(1);
            self.store.write(SUBMISSIONS, submissions)?;
        }
        Ok(self.store.write(act.key(), round.0)?)
    }

    /// How many rounds a client was given permission to submit to, in all of its lives.
    pub fn submissions(&self) -> Result<u64, StoreError> {
        Ok(self.store.read(SUBMISSIONS)?.unwrap_or(0))
    }

    /// The highest round in which the act was done.
    pub fn highest(&self, act: Act) -> Result<Option<Round>, StoreError> {
        Ok(self.store.read(act.key())?.map(Round))
    }

    /// When round 1 of the network starts, or would have started, milliseconds since 1970; none if no epoch is known
    /// yet.
    pub fn origin_ms(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.store.read(ORIGIN)?.or(self.store.read(SIGNED_ORIGIN)?))
    }

    /// Refuses rounds that count from another time than those that are known.
    pub fn check_origin(&self, got_ms: u64) -> Result<(), OffGrid> {
        check_grid(self.origin_ms()?, got_ms)
    }

    /// Keeps durably from when the rounds of an epoch count that is about to be signed. Nothing else is signed until an
    /// epoch has begun, so no two of them on different grids find a quorum.
    pub fn sign_origin(&mut self, origin_ms: u64) -> Result<(), OffGrid> {
        self.check_origin(origin_ms)?;
        if self.origin_ms()?.is_none() {
            self.store.write(SIGNED_ORIGIN, origin_ms)?;
        }
        Ok(())
    }

    /// Keeps durably from when the rounds of the network count, once and for ever, so that a restart forgets no more of
    /// the grid than of what was done on it. It counts for more than what was signed: an epoch that began has a quorum, and
    /// so none that was signed on another grid ever gets one.
    pub fn keep_origin(&mut self, origin_ms: u64) -> Result<(), OffGrid> {
        let kept_ms = self.store.read(ORIGIN)?;
        check_grid(kept_ms, origin_ms)?;
        if kept_ms.is_none() {
            self.store.write(ORIGIN, origin_ms)?;
        }
        Ok(())
    }
}

fn check_grid(kept_ms: Option<u64>, got_ms: u64) -> Result<(), OffGrid> {
    match kept_ms {
        Some(kept_ms) if kept_ms != got_ms => Err(OffGrid::Moved { got_ms, kept_ms }),
        _ => Ok(()),
    }
}

impl Stage {
    /// Signing this stage's input.
    pub(crate) fn input(self) -> Act {
        Act::Input(self.layer, self.chain)
    }

    /// Releasing this stage's mixed batch.
    pub(crate) fn forward(self) -> Act {
        Act::Forward(self.layer, self.chain)
    }

    /// Releasing this stage's replies.
    pub(crate) fn backward(self) -> Act {
        Act::Return(self.layer, self.chain)
    }
}

/// Marks in memory, for simulations and tests: they survive what the test lets survive.
#[derive(Clone, Debug, Default)]
pub struct MemoryMarks(std::sync::Arc<std::sync::Mutex<std::collections::BTreeMap<u64, u64>>>);

impl MarkStore for MemoryMarks {
    fn read(&self, key: u64) -> Result<Option<u64>, StoreError> {
        Ok(self.lock().get(&key).copied())
    }

    fn write(&mut self, key: u64, round: u64) -> Result<(), StoreError> {
        self.lock().insert(key, round);
        Ok(())
    }
}

impl MemoryMarks {
    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<u64, u64>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_at_most_once_a_round_also_after_a_restart() {
        let store = MemoryMarks::default();
        let act = Act::Forward(Layer(1), ChainId(2));
        let mut marks = Marks::new(Box::new(store.clone()));
        assert!(marks.claim(act, Round(7)).is_ok());
        assert!(matches!(marks.claim(act, Round(7)), Err(Refused::Before { .. })));
        let mut restarted = Marks::new(Box::new(store));
        assert!(matches!(restarted.claim(act, Round(7)), Err(Refused::Before { .. })));
        assert!(matches!(restarted.claim(act, Round(6)), Err(Refused::Before { .. })));
        assert!(restarted.claim(act, Round(8)).is_ok());
        assert!(restarted.claim(Act::Return(Layer(1), ChainId(2)), Round(7)).is_ok());
    }

    #[test]
    fn rounds_under_way_together_may_overtake_each_other_until_a_restart() {
        let store = MemoryMarks::default();
        let act = Act::Forward(Layer(0), ChainId(1));
        let mut marks = Marks::new(Box::new(store.clone()));
        for round in [5, 8, 6, 7] {
            assert!(marks.claim(act, Round(round)).is_ok(), "{round}");
        }
        for round in 5..=8 {
            assert!(matches!(marks.claim(act, Round(round)), Err(Refused::Before { .. })), "{round}, twice");
        }
        assert!(marks.claim(act, Round(10)).is_ok());
        // Whether the process before did it in round 9, nobody knows any more.
        let mut restarted = Marks::new(Box::new(store));
        assert!(matches!(restarted.claim(act, Round(9)), Err(Refused::Before { .. })));
        assert!(restarted.claim(act, Round(12)).is_ok() && restarted.claim(act, Round(11)).is_ok());
        assert!(matches!(restarted.claim(act, Round(10)), Err(Refused::Before { .. })));
    }

    #[test]
    fn no_round_is_forgotten_that_could_still_be_asked_for() {
        let act = Act::Return(Layer(0), ChainId(0));
        let mut marks = Marks::new(Box::<MemoryMarks>::default());
        (1..=1000).step_by(2).for_each(|round| drop(marks.claim(act, Round(round)).expect("once")));
        for round in (1..=1000).step_by(2) {
            assert!(matches!(marks.claim(act, Round(round)), Err(Refused::Before { .. })), "{round}, twice");
        }
        let kept = marks.acted[&act.key()].rounds.len() as u64;
        assert_eq!(kept, MAX_ROUNDS_IN_FLIGHT, "and no more is kept than that takes");
    }

    #[test]
    fn what_is_opened_goes_up_only() {
        for act in [Act::Open, Act::Descriptor, Act::Epoch, Act::Amend, Act::Submit, Act::ReplyLimit] {
            let mut marks = Marks::new(Box::<MemoryMarks>::default());
            assert!(marks.claim(act, Round(8)).is_ok());
            assert!(matches!(marks.claim(act, Round(7)), Err(Refused::Before { .. })), "{act:?}");
        }
    }

    #[test]
    fn every_submission_is_counted_before_it_may_leave_and_no_restart_forgets_one() {
        /// A disk that dies after some writes.
        struct Dying(MemoryMarks, usize);
        impl MarkStore for Dying {
            fn read(&self, key: u64) -> Result<Option<u64>, StoreError> {
                self.0.read(key)
            }
            fn write(&mut self, key: u64, round: u64) -> Result<(), StoreError> {
                self.1 = self.1.checked_sub(1).ok_or_else(|| StoreError("it has died".into()))?;
                self.0.write(key, round)
            }
        }
        let store = MemoryMarks::default();
        let mut permitted = 0;
        for (round, writes) in (1..60).zip([usize::MAX, 0, 1, 2].into_iter().cycle()) {
            let mut marks = Marks::new(Box::new(Dying(store.clone(), writes)));
            let before = marks.submissions().expect("memory");
            permitted += u64::from(marks.claim(Act::Submit, Round(round)).is_ok());
            let after = Marks::new(Box::new(store.clone())).submissions().expect("memory");
            assert!(after >= permitted && after - before <= 1, "{after} counted, {permitted} permitted");
        }
        let mut marks = Marks::new(Box::new(store));
        let counted = marks.submissions().expect("memory");
        assert!(matches!(marks.claim(Act::Submit, Round(5)), Err(Refused::Before { .. })));
        assert!(marks.claim(Act::Open, Round(500)).is_ok());
        assert_eq!(marks.submissions().expect("memory"), counted, "nothing else counts");
    }

    #[test]
    fn a_round_whose_mark_was_not_written_is_not_done() {
        struct Full(MemoryMarks, bool);
        impl MarkStore for Full {
            fn read(&self, key: u64) -> Result<Option<u64>, StoreError> {
                self.0.read(key)
            }
            fn write(&mut self, key: u64, round: u64) -> Result<(), StoreError> {
                match std::mem::take(&mut self.1) {
                    true => Err(StoreError("the disk is full".into())),
                    false => self.0.write(key, round),
                }
            }
        }
        let mut marks = Marks::new(Box::new(Full(MemoryMarks::default(), true)));
        let act = Act::Forward(Layer(0), ChainId(0));
        assert!(matches!(marks.claim(act, Round(3)), Err(Refused::Store(_))));
        assert!(marks.claim(act, Round(3)).is_ok());
    }

    #[test]
    fn rounds_count_from_one_time_for_ever_also_after_a_restart() {
        let store = MemoryMarks::default();
        let mut marks = Marks::new(Box::new(store.clone()));
        assert_eq!(marks.origin_ms().expect("memory"), None);
        assert!(marks.check_origin(7).is_ok());
        marks.keep_origin(0).expect("the first is taken, whatever it is");
        let mut restarted = Marks::new(Box::new(store));
        assert!(restarted.keep_origin(0).is_ok());
        assert!(matches!(restarted.keep_origin(7), Err(OffGrid::Moved { got_ms: 7, kept_ms: 0 })));
        assert_eq!(restarted.origin_ms().expect("memory"), Some(0));
    }

    #[test]
    fn an_epoch_that_began_counts_for_more_than_one_that_was_signed() {
        let store = MemoryMarks::default();
        Marks::new(Box::new(store.clone())).sign_origin(3).expect("the first");
        let mut marks = Marks::new(Box::new(store.clone()));
        assert!(marks.sign_origin(3).is_ok());
        assert!(matches!(marks.sign_origin(4), Err(OffGrid::Moved { got_ms: 4, kept_ms: 3 })));
        marks.keep_origin(4).expect("a quorum has signed it");
        let mut marks = Marks::new(Box::new(store));
        assert!(marks.sign_origin(4).is_ok());
        for off in [Marks::sign_origin, Marks::keep_origin] {
            assert!(matches!(off(&mut marks, 3), Err(OffGrid::Moved { got_ms: 3, kept_ms: 4 })));
        }
    }

    #[test]
    fn every_act_layer_and_chain_has_its_own_key() {
        let acts = [Act::Submit, Act::Epoch, Act::Amend, Act::Open, Act::Descriptor, Act::ReplyLimit];
        let mut keys: Vec<u64> = acts.into_iter().map(Act::key).chain([ORIGIN, SIGNED_ORIGIN, SUBMISSIONS]).collect();
        for layer in (0..3).map(Layer) {
            keys.push(Act::Confirm(layer).key());
            for chain in [0, 1, 0xffff].map(ChainId) {
                keys.extend(
                    [Act::Input(layer, chain), Act::Forward(layer, chain), Act::Return(layer, chain)].map(Act::key),
                );
            }
        }
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
