//! The simulated clock of the world, the clocks of its parties, and what waits for its time.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Things to come, earliest first; of those for one time, the first made.
pub(super) struct Agenda<T> {
    entries: BinaryHeap<Entry<T>>,
    made: u64,
}

struct Entry<T> {
    at_ms: u64,
    number: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        Self { entries: BinaryHeap::new(), made: 0 }
    }

    pub(super) fn add(&mut self, at_ms: u64, what: T) {
        self.made += 1;
        self.entries.push(Entry { at_ms, number: self.made, what });
    }

    /// When the next one is due.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.entries.peek().map(|entry| entry.at_ms)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.entries.pop().map(|entry| entry.what)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives its greatest.
        (other.at_ms, other.number).cmp(&(self.at_ms, self.number))
    }
}

/// How far a party's clock is ahead of the world's, milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skew(pub(super) i64);

impl Skew {
    pub(super) fn local(self, world_ms: u64) -> u64 {
        world_ms.saturating_add_signed(self.0)
    }

    pub(super) fn world(self, local_ms: u64) -> u64 {
        local_ms.saturating_add_signed(-self.0)
    }
}
