//! Faults that last: whoever has one is struck, rounds go on without it, and when it is well again it comes back.

use hippodrome_core::ids::ServerId;
use hippodrome_crypto::permutation::below;

use super::run::Stage;
use crate::network::{Fault, Node};

/// What one server, or the coordinator, has for a long time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// It is dead.
    Dead,
    /// It hangs.
    Hung,
    /// It is so slow that nothing of it is in time.
    Slow,
    /// No byte comes from it or to it.
    CutOff,
    /// It cannot write its marks.
    FullDisk,
    /// The coordinator is dead, and goes on later from what it has kept.
    NoCoordinator,
}

/// Milliseconds by which everything of a slow server is late: more than any round lasts.
const SLOW_MS: u64 = 4000;
/// Periods within which a server that does nothing for the network is struck.
const STRIKE_PERIODS: u64 = 30;
/// Periods within which rounds go on without it, a new epoch included.
const GO_ON_PERIODS: u64 = 40;
/// Periods for which the coordinator is away.
const AWAY_PERIODS: u64 = 8;
/// Periods within which it is back once it is well: a strike lasts for an epoch, several for longer.
const RETURN_PERIODS: u64 = 120;
/// Rounds that must be completed each time.
const ROUNDS: usize = 3;

impl Ailment {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Dead, Self::Hung, Self::Slow, Self::CutOff, Self::FullDisk, Self::NoCoordinator];

    /// The name of its scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead-server",
            Self::Hung => "hung-server",
            Self::Slow => "late-server",
            Self::CutOff => "server-cut-off",
            Self::FullDisk => "server-without-disk",
            Self::NoCoordinator => "dead-coordinator",
        }
    }

    /// How it begins and how it ends.
    fn faults(self, stage: &Stage, node: Node) -> Vec<(Fault, Fault)> {
        match self {
            Self::Dead | Self::NoCoordinator => vec![(Fault::Crash(node), Fault::Restart(node))],
            Self::Hung => vec![(Fault::Freeze(node), Fault::Thaw(node))],
            Self::Slow => vec![(Fault::Slow(node, SLOW_MS), Fault::Slow(node, 0))],
            Self::FullDisk => vec![(Fault::FillDisk(node), Fault::EmptyDisk(node))],
            Self::CutOff => {
                let servers = (0..stage.network.servers()).map(|id| Node::Server(ServerId(id)));
                let others = servers.chain([Node::Coordinator]).filter(|other| *other != node);
                others.map(|other| (Fault::Cut(node, other), Fault::Heal(node, other))).collect()
            }
        }
    }

    /// Whether nobody else can be taken for its cause.
    fn is_its_own(self) -> bool {
        self != Self::Slow
    }
}

impl Stage {
    /// Has somebody ail, and be well again.
    pub(super) fn play_lasting(&mut self, ailment: Ailment) {
        if !self.warm_up() {
            return;
        }
        let sick = ServerId(below(self.network.servers().into(), &mut self.rng) as u16);
        let node = if ailment == Ailment::NoCoordinator { Node::Coordinator } else { Node::Server(sick) };
        let faults = ailment.faults(self, node);
        faults.iter().for_each(|(begin, _)| self.network.apply(*begin));
        match ailment {
            Ailment::NoCoordinator => drop(self.run_until(AWAY_PERIODS, |_| false)),
            _ => self.go_on_without(ailment, sick),
        }
        faults.iter().for_each(|(_, end)| self.network.apply(*end));
        let before = self.completed();
        let is_well = |stage: &Self| {
            let is_back = ailment == Ailment::NoCoordinator || stage.is_active(sick);
            is_back && stage.completed() >= before + ROUNDS && stage.all_arrived().is_ok()
        };
        if !self.run_until(RETURN_PERIODS, is_well) {
            let (rounds, arrived) = (self.completed() - before, self.all_arrived());
            let status = self.network.coordinator().status();
            self.violations.push(format!(
                "{node:?} is well, but: active again {}, {rounds} rounds, {arrived:?}, {status:?}",
                self.is_active(sick),
            ));
        }
    }

    fn go_on_without(&mut self, ailment: Ailment, sick: ServerId) {
        if !self.run_until(STRIKE_PERIODS, |stage| !stage.is_active(sick)) {
            let status = self.network.coordinator().status().clone();
            return self.violations.push(format!("{sick} does nothing, and is not struck: {status:?}"));
        }
        let before = self.completed();
        if !self.run_until(GO_ON_PERIODS, |stage| stage.completed() >= before + ROUNDS) {
            let status = self.network.coordinator().status().clone();
            self.violations.push(format!("rounds do not go on without {sick}: {status:?}"));
        }
        let well = (0..self.network.servers()).map(ServerId).filter(|server| *server != sick);
        if let Some(struck) = well.into_iter().find(|server| !self.is_active(*server))
            && ailment.is_its_own()
        {
            self.violations.push(format!("{struck} is struck, where only {sick} did nothing"));
        }
    }

    /// Whether a server takes part in rounds now.
    fn is_active(&self, server: ServerId) -> bool {
        self.network.newest_roster().is_some_and(|roster| roster.is_active(server))
    }
}
