//! What every step of a round looks up: the public side of the round, who we are, and when things are due.

use std::ops::Deref;

use crate::{
    evidence::RoundBasis,
    ids::{Layer, Place, ServerId, Stage},
};

/// A round as one server sees it, from its announcement on.
pub(crate) struct RoundContext {
    pub(crate) basis: RoundBasis,
    pub(crate) me: ServerId,
}

impl Deref for RoundContext {
    type Target = RoundBasis;

    fn deref(&self) -> &RoundBasis {
        &self.basis
    }
}

impl RoundContext {
    /// The stage that stands for a whole layer: that of its first open chain.
    pub(crate) fn whole(&self, layer: Layer) -> Option<Stage> {
        self.open(layer).first().map(|&chain| self.stage(layer, chain))
    }

    pub(crate) fn window_start_ms(&self) -> u64 {
        self.roster.epoch().window_start_ms(self.round())
    }

    pub(crate) fn deadline_ms(&self) -> u64 {
        self.window_start_ms().saturating_add(self.params().deadline_ms)
    }

    /// When the first replies are due, at the mailboxes: half-way from the end of collection to the deadline.
    pub(crate) fn first_due_ms(&self) -> u64 {
        let params = self.params();
        let collected = self.window_start_ms().saturating_add(params.collect_ms);
        collected.saturating_add((params.deadline_ms - params.collect_ms) / 2)
    }

    /// When the replies that a hop waits for are replaced. Each hop on the way back has its share of the time that is
    /// left, so that a replacement made deeper still arrives in time everywhere else.
    pub(crate) fn replies_due_ms(&self, place: Place) -> u64 {
        let depth = u64::from(place.stage.layer.0) * u64::from(self.params().chain_len) + u64::from(place.position.0);
        self.share_ends_ms(self.hops() - 1 - depth)
    }

    /// When each server looks at the replies to its noise, whatever has come of them: one share of the time after the last
    /// hop's, so that one is left to make and answer claims.
    pub(crate) fn replies_checked_ms(&self) -> u64 {
        self.share_ends_ms(self.hops())
    }

    /// Hops on a record's way.
    fn hops(&self) -> u64 {
        u64::from(self.params().layers) * u64::from(self.params().chain_len)
    }

    /// The time from the first replies to the deadline in equal shares: one for each hop but the last, and two.
    fn share_ends_ms(&self, share: u64) -> u64 {
        let way_back = (self.params().deadline_ms - self.params().collect_ms) / 2;
        self.first_due_ms().saturating_add(way_back * share / (self.hops() + 1))
    }
}
