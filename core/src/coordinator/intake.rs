//! What is submitted to one input chain of a round, and how it gets to the chain's first server.
//!
//! Submissions are handed over in parts while more of them are collected, so that the first server has checked nearly all
//! of them when the last part comes. That part brings the noise of servers, too.

use std::collections::BTreeMap;

use hippodrome_crypto::hash::{Digest, Hasher};

use crate::{
    ids::{Author, ServerId, Stage},
    message::Submissions,
};

/// Parts in which submissions are handed over, at even times of the collection.
pub(super) const PARTS: u32 = 8;

/// Why a submission is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// Its slot has another one.
    SlotTaken,
    /// The chain has as many as it takes.
    Full,
}

/// The submissions to one chain.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Digests of the records that were taken, by their slots.
    taken: BTreeMap<(Author, u16), Digest>,
    /// Records that have not been handed over.
    waiting: Vec<u8>,
    noise: BTreeMap<ServerId, Vec<u8>>,
    parts: u32,
}

impl Intake {
    /// Takes a record for a slot, unless the slot has another one or `limit` slots are taken. A copy changes nothing.
    pub(super) fn take(&mut self, slot: (Author, u16), record: &[u8], limit: usize) -> Result<(), NotTaken> {
        let digest = Hasher::new("hippodrome v1 submission taken").bytes(record).finish();
        match self.taken.get(&slot) {
            Some(earlier) if *earlier == digest => return Ok(()),
            Some(_) => return Err(NotTaken::SlotTaken),
            None if self.taken.len() >= limit => return Err(NotTaken::Full),
            None => drop(self.taken.insert(slot, digest)),
        }
        self.waiting.extend_from_slice(record);
        Ok(())
    }

    /// Keeps a server's noise; the first that it sends counts.
    pub(super) fn keep_noise(&mut self, from: ServerId, records: &[u8]) {
        self.noise.entry(from).or_insert_with(|| records.to_vec());
    }

    /// Whether a server's noise is there.
    pub(super) fn has_noise_of(&self, server: ServerId) -> bool {
        self.noise.contains_key(&server)
    }

    /// How many servers' noise is there.
    pub(super) fn noisy(&self) -> usize {
        self.noise.len()
    }

    /// What has come since the part before; none if nothing has.
    pub(super) fn next_part(&mut self, stage: Stage) -> Option<Submissions> {
        let submissions = std::mem::take(&mut self.waiting);
        (!submissions.is_empty()).then(|| self.number(stage, submissions, false))
    }

    /// The rest, and all noise.
    pub(super) fn last_part(&mut self, stage: Stage) -> Submissions {
        let mut submissions = std::mem::take(&mut self.waiting);
        std::mem::take(&mut self.noise).into_values().for_each(|noise| submissions.extend(noise));
        self.number(stage, submissions, true)
    }

    fn number(&mut self, stage: Stage, submissions: Vec<u8>, is_last: bool) -> Submissions {
        let part = self.parts;
        self.parts += 1;
        Submissions { stage, part, is_last, submissions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ChainId, ClientId, Layer, Round};

    const STAGE: Stage = Stage { round: Round(1), layer: Layer(0), chain: ChainId(0) };

    fn slot(client: u32) -> (Author, u16) {
        (Author::Client(ClientId(client)), 0)
    }

    #[test]
    fn a_slot_takes_one_record_and_copies_of_it_also_when_it_was_handed_over() {
        let mut intake = Intake::default();
        assert_eq!(intake.take(slot(0), b"one", 2), Ok(()));
        assert_eq!(intake.next_part(STAGE).map(|part| (part.part, part.is_last)), Some((0, false)));
        assert_eq!(intake.take(slot(0), b"one", 2), Ok(()));
        assert_eq!(intake.take(slot(0), b"two", 2), Err(NotTaken::SlotTaken));
        assert!(intake.next_part(STAGE).is_none(), "a copy is not handed over again");
        assert_eq!(intake.take(slot(1), b"six", 2), Ok(()));
        assert_eq!(intake.take(slot(2), b"ten", 2), Err(NotTaken::Full));
    }

    #[test]
    fn every_record_is_in_one_part_and_noise_in_the_last() {
        let mut intake = Intake::default();
        let mut all = Vec::new();
        for (client, record) in [b"abc", b"def", b"ghi"].into_iter().enumerate() {
            intake.take(slot(client as u32), record, 9).expect("taken");
            if client < 2 {
                all.push(intake.next_part(STAGE).expect("a part"));
            }
        }
        intake.keep_noise(ServerId(1), b"xyz");
        intake.keep_noise(ServerId(1), b"uvw");
        assert!(intake.has_noise_of(ServerId(1)) && intake.noisy() == 1);
        all.push(intake.last_part(STAGE));
        let parts: Vec<_> = all.iter().map(|part| (part.part, part.is_last)).collect();
        assert_eq!(parts, [(0, false), (1, false), (2, true)]);
        let bytes: Vec<u8> = all.into_iter().flat_map(|part| part.submissions).collect();
        assert_eq!(bytes, b"abcdefghixyz");
    }
}
