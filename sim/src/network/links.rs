//! The ways between parties: delay, jitter, loss, and cuts.
//!
//! Links deliver at least once, as the real transport does: an attempt that is lost, cut off or finds nobody is made
//! again until the message is of no use any more; an attempt whose answer is lost is made again, too, and then the
//! message comes twice. Every link draws from numbers of its own, so that what happens on one says nothing on another.

use std::collections::{BTreeMap, BTreeSet};

use super::Node;

/// How all links behave.
#[derive(Clone, Copy, Debug)]
pub struct LinkQuality {
    /// Milliseconds that a message takes at least.
    pub delay_ms: u64,
    /// Milliseconds that it may take more: messages overtake each other.
    pub jitter_ms: u64,
    /// Of a thousand attempts, how many are lost, and how many answers to attempts.
    pub loss_per_mille: u64,
}

impl Default for LinkQuality {
    fn default() -> Self {
        Self { delay_ms: 2, jitter_ms: 20, loss_per_mille: 0 }
    }
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It arrives, and its sender knows.
    Arrives,
    /// It arrives, but the answer is lost.
    ArrivesUnknown,
    /// It is lost.
    Lost,
}

/// Wait before an attempt is made again, milliseconds; each further one waits twice as long.
const FIRST_BACKOFF_MS: u64 = 50;
/// Most doublings of that wait.
const MAX_DOUBLINGS: u32 = 5;

/// Wait after the attempt with this number, from 0.
pub(super) fn backoff_ms(attempt: u32) -> u64 {
    FIRST_BACKOFF_MS << attempt.min(MAX_DOUBLINGS)
}

pub(super) struct Links {
    pub(super) quality: LinkQuality,
    seed: u64,
    drawn: BTreeMap<(Node, Node), u64>,
    cuts: BTreeSet<(Node, Node)>,
}

impl Links {
    pub(super) fn new(seed: u64) -> Self {
        Self { quality: LinkQuality::default(), seed, drawn: BTreeMap::new(), cuts: BTreeSet::new() }
    }

    /// Cuts the way between two parties, both ways.
    pub(super) fn cut(&mut self, one: Node, other: Node) {
        self.cuts.insert((one.min(other), one.max(other)));
    }

    pub(super) fn heal(&mut self, one: Node, other: Node) {
        self.cuts.remove(&(one.min(other), one.max(other)));
    }

    pub(super) fn is_cut(&self, one: Node, other: Node) -> bool {
        self.cuts.contains(&(one.min(other), one.max(other)))
    }

    /// How long the next message takes.
    pub(super) fn delay_ms(&mut self, from: Node, to: Node) -> u64 {
        let LinkQuality { delay_ms, jitter_ms, .. } = self.quality;
        delay_ms + if jitter_ms == 0 { 0 } else { self.draw(from, to) % jitter_ms }
    }

    pub(super) fn attempt(&mut self, from: Node, to: Node) -> Attempt {
        let loss = self.quality.loss_per_mille;
        if self.is_cut(from, to) {
            return Attempt::Lost;
        }
        match loss {
            0 => Attempt::Arrives,
            _ => match self.draw(from, to) % 1000 {
                lost if lost < loss => Attempt::Lost,
                unknown if unknown < 2 * loss => Attempt::ArrivesUnknown,
                _ => Attempt::Arrives,
            },
        }
    }

    /// The link's next number (splitmix64 over a counter); chance needs no cryptography here.
    fn draw(&mut self, from: Node, to: Node) -> u64 {
        let counter = self.drawn.entry((from, to)).or_default();
        *counter += 1;
        mixed(mixed(self.seed ^ from.number() << 32 ^ to.number()).wrapping_add(*counter))
    }
}

fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
