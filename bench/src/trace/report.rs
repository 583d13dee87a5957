//! The figures.

use core::{fmt, time::Duration};

use serde::Serialize;

use super::{HOPS, Parts, TraceArgs};

/// What tracing costs; [the module](super) says what is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceReport {
    /// Messages in each hop's batch.
    pub messages: usize,
    /// Malformed onions, spread over all hops.
    pub malformed: usize,
    /// Threads that worked on it.
    pub threads: usize,
    /// Hops of the round.
    pub hops: usize,
    /// One hop with its proof and one verification, in seconds.
    pub hop_seconds: f64,
    /// All hops of the round, in seconds.
    pub round_seconds: f64,
    /// All traces, in seconds.
    pub trace_seconds: f64,
    /// Of these, signatures of knowledge of the inputs.
    pub signatures_seconds: f64,
    /// Of these, making accusations.
    pub accusing_seconds: f64,
    /// Of these, making steps.
    pub stepping_seconds: f64,
    /// Of these, checking accusations and steps.
    pub checking_seconds: f64,
    /// `trace_seconds / round_seconds`.
    pub ratio: f64,
}

impl TraceReport {
    pub(super) fn new(args: &TraceArgs, hop: Duration, parts: &Parts) -> Self {
        let Parts { signatures, accusing, stepping, checking } = parts;
        let (round, trace) = (hop * HOPS as u32, *signatures + *accusing + *stepping + *checking);
        Self {
            messages: args.messages,
            malformed: args.malformed,
            threads: args.threads,
            hops: HOPS,
            hop_seconds: hop.as_secs_f64(),
            round_seconds: round.as_secs_f64(),
            trace_seconds: trace.as_secs_f64(),
            signatures_seconds: signatures.as_secs_f64(),
            accusing_seconds: accusing.as_secs_f64(),
            stepping_seconds: stepping.as_secs_f64(),
            checking_seconds: checking.as_secs_f64(),
            ratio: trace.as_secs_f64() / round.as_secs_f64(),
        }
    }
}

impl fmt::Display for TraceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, malformed, threads, hops, .. } = self;
        writeln!(f, "{malformed} malformed onions among {messages} messages, {hops} hops, {threads} thread(s)")?;
        let lines = [
            ("signatures", self.signatures_seconds),
            ("accusing", self.accusing_seconds),
            ("stepping", self.stepping_seconds),
            ("checking", self.checking_seconds),
            ("all traces", self.trace_seconds),
            ("the round's hops", self.round_seconds),
        ];
        lines.iter().try_for_each(|(name, seconds)| writeln!(f, "{name:<18}{seconds:>10.3} s"))?;
        write!(f, "{:<18}{:>10.3}", "ratio", self.ratio)
    }
}
