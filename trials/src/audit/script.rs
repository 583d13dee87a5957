//! Two clients who talk when a coin says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hippodrome_client::voice::{Voice, VoiceError};
use hippodrome_core::{
    ids::Round,
    participant::SlotReply,
    submission::Access,
    wire::{FRAME_LEN, MAILBOX_LEN},
};
use hippodrome_crypto::hash::{Digest, Hasher};
use rand_core::Rng;

/// What decides, and nobody else knows.
#[derive(Clone)]
pub(super) struct Coins(Digest);

impl Coins {
    pub(super) fn new(seed: u64) -> Self {
        Self(Hasher::new("hippodrome audit coins").number(seed).finish())
    }

    fn digest(&self, round: Round, slot: u64) -> Digest {
        Hasher::new("hippodrome audit round").digest(&self.0).number(round.0).number(slot).finish()
    }

    /// Whether there is talk in a round.
    pub(super) fn talks(&self, round: Round) -> bool {
        self.digest(round, u64::MAX).0[0] & 1 == 1
    }

    /// Where a slot's talk is left.
    fn mailbox(&self, round: Round, slot: u64) -> [u8; MAILBOX_LEN] {
        let mut mailbox = [0; MAILBOX_LEN];
        mailbox.copy_from_slice(&self.digest(round, slot).0[..MAILBOX_LEN]);
        mailbox
    }
}

/// Rounds in which somebody took part from the submission to all replies.
#[derive(Clone, Default)]
pub(super) struct Whole(Arc<Mutex<BTreeMap<Round, BTreeSet<usize>>>>);

impl Whole {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Round, BTreeSet<usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of so many clients did.
    pub(super) fn has(&self, round: Round, clients: usize) -> bool {
        self.lock().get(&round).is_some_and(|whole| whole.len() == clients)
    }
}

/// One of those who talk.
pub(super) struct Actor {
    pub(super) number: usize,
    pub(super) slots: u16,
    pub(super) coins: Coins,
    pub(super) whole: Whole,
}

impl Voice for Actor {
    fn accesses(&mut self, round: Round, _clock: Round) -> Result<Vec<Access>, VoiceError> {
        let (mut rng, talks) = (rand::rng(), self.coins.talks(round));
        let access = |slot: u16| {
            let mut access = Access { mailbox: [0; MAILBOX_LEN], content: [0; FRAME_LEN] };
            rng.fill_bytes(&mut access.mailbox);
            rng.fill_bytes(&mut access.content);
            Access { mailbox: if talks { self.coins.mailbox(round, slot.into()) } else { access.mailbox }, ..access }
        };
        Ok((0..self.slots).map(access).collect())
    }

    fn replies(&mut self, round: Round, replies: Vec<SlotReply>) -> Result<(), VoiceError> {
        if replies.iter().all(Result::is_ok) {
            self.whole.lock().entry(round).or_default().insert(self.number);
        }
        Ok(())
    }

    fn lost(&mut self, _round: Round, _reason: &str) -> Result<(), VoiceError> {
        Ok(())
    }
}
