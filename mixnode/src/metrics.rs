//! What a mix server counts for its operator.
//!
//! All of it follows from what the machine puts out, and nothing in it depends on what users or noise do: rounds and how
//! they ended, proofs, the length of the mixing, and where the epochs stand.

use std::collections::BTreeMap;

use hippodrome_core::{
    ids::Round,
    message::{AbortReason, Awaited, Message},
    mixer::{Notice, Output},
};
use hippodrome_telemetry::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
    stage_seconds,
};

/// Rounds that may be under way at once, and more; what is older is forgotten.
const MAX_ROUNDS: usize = 1024;

/// Why a round failed, as a label.
type Reason = [(&'static str, &'static str); 1];

/// The counters of a mix server.
#[derive(Default)]
pub(crate) struct Metrics {
    announced: Counter,
    completed: Counter,
    failed: Family<Reason, Counter>,
    hop_proofs: Counter,
    epoch: Gauge,
    amendment: Gauge,
    mixing: Stage,
    evidence_held: Gauge,
    /// What was first wrong in each round that is under way.
    troubles: BTreeMap<Round, &'static str>,
}

struct Stage(Histogram);

impl Default for Stage {
    fn default() -> Self {
        Self(stage_seconds())
    }
}

impl Metrics {
    /// Puts the counters into a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("rounds_announced", "Rounds announced to this server", self.announced.clone());
        registry.register("rounds_completed", "Rounds that ended without trouble here", self.completed.clone());
        let help = "Rounds that ended otherwise, by what was first wrong";
        registry.register("rounds_failed", help, self.failed.clone());
        let help = "Hop proofs of other servers that this server has checked";
        registry.register("hop_proofs_verified", help, self.hop_proofs.clone());
        registry.register("epoch_number", "Number of the epoch that this server is in", self.epoch.clone());
        let help = "Number of the epoch's amendment, 0 if nobody was struck in it";
        registry.register("amendment_number", help, self.amendment.clone());
        let help = "From the end of collection to this server's last message of the round";
        registry.register_with_unit("round_mixing", help, Unit::Seconds, self.mixing.0.clone());
        let help = "Files of evidence against servers in the state directory";
        registry.register("evidence_held", help, self.evidence_held.clone());
    }

    /// Notes how much evidence against servers is held.
    pub(crate) fn hold_evidence(&self, files: usize) {
        self.evidence_held.set(files as i64);
    }

    /// Takes notice of something that the machine wants done.
    pub(crate) fn observe(&mut self, output: &Output) {
        match output {
            Output::Send { message, .. } => self.observe_sent(message),
            Output::Notice(notice) => self.observe_notice(notice),
            Output::Run(_) | Output::Peers(_) | Output::Evidence(..) => {}
        }
    }

    fn observe_sent(&mut self, message: &Message) {
        if let Message::Report(report) = message {
            self.hop_proofs.inc_by(report.hops_verified.into());
            self.mixing.0.observe(report.mixing_ms as f64 / 1000.0);
        }
    }

    fn observe_notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Epoch { number, .. } => {
                self.epoch.set(*number as i64);
                self.amendment.set(0);
            }
            Notice::Amended { roster, .. } => drop(self.amendment.set(roster.amendment.into())),
            Notice::Announced(_) => drop(self.announced.inc()),
            Notice::Aborted { stage, reason } => self.trouble(stage.round, kind(reason)),
            Notice::AbortedBy { stage, .. } => self.trouble(stage.round, "aborted_by_another"),
            Notice::RepliesReplaced { place } => self.trouble(place.stage.round, "replies_replaced"),
            Notice::RoundOver(round) => self.over(*round),
            Notice::NotAudited(_) | Notice::Convicted { .. } | Notice::Refused { .. } | Notice::Ignored { .. } => {}
        }
    }

    fn trouble(&mut self, round: Round, what: &'static str) {
        self.troubles.entry(round).or_insert(what);
        while self.troubles.len() > MAX_ROUNDS {
            self.troubles.pop_first();
        }
    }

    fn over(&mut self, round: Round) {
        match self.troubles.remove(&round) {
            None => drop(self.completed.inc()),
            Some(what) => drop(self.failed.get_or_create(&[("reason", what)]).inc()),
        }
    }
}

/// The kind of a reason in one word, without whom it names.
pub(crate) fn kind(reason: &AbortReason) -> &'static str {
    match reason {
        AbortReason::Deadline(missing) => match missing.what {
            Awaited::Input => "late_input",
            Awaited::InputSignatures => "late_input_signatures",
            Awaited::Receipt => "late_receipt",
            Awaited::Inputs => "late_inputs",
            Awaited::Confirmations => "late_confirmations",
            Awaited::Batch => "late_batch",
            Awaited::Proofs => "late_proofs",
            Awaited::Replies => "late_replies",
            Awaited::Trail => "late_trail",
            Awaited::Answer => "late_answer",
        },
        AbortReason::BadMessage(_) => "bad_message",
        AbortReason::BadProof(_) => "bad_proof",
        AbortReason::Equivocation(_) => "equivocation",
        AbortReason::Convicted(_) => "convicted",
        AbortReason::LayerDidNotOpen => "layer_did_not_open",
        AbortReason::Unproven => "unproven",
        AbortReason::ActedBefore => "acted_before",
        AbortReason::Storage => "storage",
        AbortReason::NoiseLeftOut(_) => "noise_left_out",
        AbortReason::BadReceipt(_) => "bad_receipt",
        AbortReason::NoiseMissing => "noise_missing",
        AbortReason::DroppedNoise(_) => "dropped_noise",
        AbortReason::FalseClaim(_) => "false_claim",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hippodrome_core::{
        ids::{ChainId, Layer, Party, Stage},
        message::Report,
    };
    use hippodrome_telemetry::encoding::text;

    use super::*;

    fn text_of(metrics: &Metrics) -> String {
        let (mut registry, mut text) = (hippodrome_telemetry::registry(), String::new());
        metrics.register(&mut registry);
        text::encode(&mut text, &registry).expect("a string takes it");
        text
    }

    #[test]
    fn a_round_is_counted_once_however_much_goes_wrong_in_it() {
        let mut metrics = Metrics::default();
        let mut notice = |notice| metrics.observe(&Output::Notice(notice));
        for round in [1, 2].map(Round) {
            notice(Notice::Announced(round));
        }
        let stage = |chain| Stage { round: Round(1), layer: Layer(0), chain: ChainId(chain) };
        notice(Notice::Aborted { stage: stage(0), reason: AbortReason::Deadline(Awaited::Batch.into()) });
        notice(Notice::Aborted { stage: stage(1), reason: AbortReason::Storage });
        for round in [1, 2].map(Round) {
            notice(Notice::RoundOver(round));
        }
        let message = Arc::new(Message::Report(Report { round: Round(2), hops_verified: 6, mixing_ms: 250 }));
        metrics.observe(&Output::Send { to: Party::Coordinator, message, until_ms: 0 });
        let text = text_of(&metrics);
        for line in [
            "hippodrome_rounds_announced_total 2\n",
            "hippodrome_rounds_completed_total 1\n",
            "hippodrome_rounds_failed_total{reason=\"late_batch\"} 1\n",
            "hippodrome_hop_proofs_verified_total 6\n",
            "hippodrome_round_mixing_seconds_sum 0.25\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("storage"), "{text}");
    }
}
