//! A client with nobody to talk to: it does what all clients do.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hippodrome_core::{
    conversation::{DummyReply, dummy_access},
    ids::Round,
    participant::SlotReply,
    submission::Access,
};

use crate::voice::{Voice, VoiceError};

/// Rounds whose replies may be awaited; what is older is forgotten.
const MAX_IN_FLIGHT: usize = 64;

/// What became of an idle client's dummies.
#[derive(Debug, Default)]
pub struct IdleTally {
    echoes: AtomicU64,
    broken: AtomicU64,
    lost: AtomicU64,
}

impl IdleTally {
    /// Replies that were what an empty mailbox gives back.
    pub fn echoes(&self) -> u64 {
        self.echoes.load(Ordering::Relaxed)
    }

    /// Replies that were something else.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// Rounds without replies.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Fills every slot with a dummy and looks at every echo.
pub struct Idle {
    slots: usize,
    in_flight: BTreeMap<Round, Vec<DummyReply>>,
    tally: Arc<IdleTally>,
}

impl Idle {
    /// An idle client in a network with this number of slots.
    pub fn new(slots: u16) -> Self {
        Self { slots: slots.into(), in_flight: BTreeMap::new(), tally: Arc::default() }
    }

    /// The counters, to be read from elsewhere.
    pub fn tally(&self) -> Arc<IdleTally> {
        Arc::clone(&self.tally)
    }
}

impl Voice for Idle {
    fn accesses(&mut self, round: Round, _clock: Round) -> Result<Vec<Access>, VoiceError> {
        let mut rng = rand::rng();
        let (accesses, replies) = (0..self.slots).map(|_| dummy_access(&mut rng)).unzip();
        self.in_flight.insert(round, replies);
        while self.in_flight.len() > MAX_IN_FLIGHT {
            self.in_flight.pop_first();
        }
        Ok(accesses)
    }

    fn replies(&mut self, round: Round, replies: Vec<SlotReply>) -> Result<(), VoiceError> {
        for (expected, reply) in self.in_flight.remove(&round).into_iter().flatten().zip(replies) {
            let is_echo = reply.is_ok_and(|content| expected.is_echo(&content));
            let count = if is_echo { &self.tally.echoes } else { &self.tally.broken };
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn lost(&mut self, round: Round, _reason: &str) -> Result<(), VoiceError> {
        self.in_flight.remove(&round);
        self.tally.lost.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
