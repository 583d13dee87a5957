//! What a coordinator counts for its operator: rounds, proofs and epochs, nothing that depends on what users do.

use hippodrome_core::{
    coordinator::{Coordinator, Output, Status, Strikes},
    message::Ground,
};
use hippodrome_telemetry::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
    stage_seconds,
};

/// Why a server was struck, as a label.
type Reason = [(&'static str, &'static str); 1];

/// All grounds of strikes, in one word each.
const GROUNDS: [(Ground, &str); 3] =
    [(Ground::Silent, "silent"), (Ground::Aborted, "aborted"), (Ground::Convicted, "convicted")];

/// The counters of a coordinator.
pub(crate) struct Metrics {
    announced: Counter,
    completed: Counter,
    failed: Counter,
    hop_proofs: Counter,
    mixing: Histogram,
    epoch: Gauge,
    amendment: Gauge,
    servers_up: Gauge,
    strikes: Family<Reason, Counter>,
    evidence_held: Gauge,
    /// What the counters that follow the machine's own stand for already.
    counted: Counted,
}

/// Numbers that only grow.
#[derive(Clone, Copy)]
struct Counted {
    completed: u64,
    hop_proofs: u64,
    strikes: Strikes,
}

impl Counted {
    fn of(status: &Status) -> Self {
        Self { completed: status.rounds_completed, hop_proofs: status.hops_verified, strikes: status.strikes }
    }
}

impl Metrics {
    /// Counts what happens from `status` on, and puts the counters into a registry.
    pub(crate) fn new(status: &Status, registry: &mut Registry) -> Self {
        let metrics = Self {
            announced: Counter::default(),
            completed: Counter::default(),
            failed: Counter::default(),
            hop_proofs: Counter::default(),
            mixing: stage_seconds(),
            epoch: Gauge::default(),
            amendment: Gauge::default(),
            servers_up: Gauge::default(),
            strikes: Family::default(),
            evidence_held: Gauge::default(),
            counted: Counted::of(status),
        };
        metrics.register(registry);
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("rounds_announced", "Rounds announced", self.announced.clone());
        let help = "Rounds whose replies were delivered and on which all servers have reported";
        registry.register("rounds_completed", help, self.completed.clone());
        registry.register("rounds_failed", "Rounds announced that ended otherwise", self.failed.clone());
        let help = "Hop proofs that servers have checked in completed rounds";
        registry.register("hop_proofs_verified", help, self.hop_proofs.clone());
        let help = "From the end of collection to the last server's report, of completed rounds";
        registry.register_with_unit("round_mixing", help, Unit::Seconds, self.mixing.clone());
        registry.register("epoch_number", "Number of the epoch under way", self.epoch.clone());
        let help = "Number of the epoch's amendment, 0 if nobody was struck in it";
        registry.register("amendment_number", help, self.amendment.clone());
        registry.register("servers_up", "Servers that have said that they are up", self.servers_up.clone());
        registry.register("strikes", "Servers struck from an epoch, by the ground", self.strikes.clone());
        GROUNDS.iter().for_each(|(_, label)| drop(self.strikes.get_or_create(&[("reason", label)])));
        let help = "Files of evidence against servers in the state directory";
        registry.register("evidence_held", help, self.evidence_held.clone());
    }

    /// Notes how much evidence against servers is held.
    pub(crate) fn hold_evidence(&self, files: usize) {
        self.evidence_held.set(files as i64);
    }

    /// How much evidence against servers is held.
    pub(crate) fn evidence_held(&self) -> u64 {
        self.evidence_held.get().max(0) as u64
    }

    /// Takes notice of what the machine wants done, and of how the network is doing after it.
    pub(crate) fn observe(&mut self, outputs: &[Output], machine: &Coordinator) {
        for output in outputs {
            match output {
                Output::Announced(_) => drop(self.announced.inc()),
                Output::Failed { .. } => drop(self.failed.inc()),
                _ => {}
            }
        }
        let status = machine.status();
        let now = Counted::of(status);
        let completed = now.completed.saturating_sub(self.counted.completed);
        if completed > 0 {
            self.completed.inc_by(completed);
            self.mixing.observe(status.mixing_ms as f64 / 1000.0);
        }
        self.hop_proofs.inc_by(now.hop_proofs.saturating_sub(self.counted.hop_proofs));
        for (ground, label) in GROUNDS {
            let more = now.strikes.on(ground).saturating_sub(self.counted.strikes.on(ground));
            self.strikes.get_or_create(&[("reason", label)]).inc_by(more);
        }
        self.counted = now;
        self.epoch.set(status.epoch as i64);
        self.amendment.set(machine.roster().map_or(0, |roster| roster.id().amendment.into()));
        self.servers_up.set(status.servers_up.iter().filter(|up| **up).count() as i64);
    }
}

#[cfg(test)]
mod tests {
    use hippodrome_telemetry::encoding::text;

    use super::*;

    #[test]
    fn every_ground_of_a_strike_and_the_evidence_are_there_before_anything_happens() {
        let mut registry = hippodrome_telemetry::registry();
        let metrics = Metrics::new(&Status::default(), &mut registry);
        metrics.hold_evidence(2);
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("a string takes it");
        for line in
            ["strikes_total{reason=\"silent\"} 0\n", "strikes_total{reason=\"convicted\"} 0\n", "evidence_held 2\n"]
        {
            assert!(text.contains(&format!("hippodrome_{line}")), "{line} is not in {text}");
        }
        assert_eq!(metrics.evidence_held(), 2);
    }
}
