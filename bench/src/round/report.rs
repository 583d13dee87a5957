//! The figures.

use core::fmt;

use serde::Serialize;

use hippodrome_core::params::Verification;

use super::{
    RoundArgs,
    ledger::{Ledger, Spent},
};
use crate::{backend, clock, median};

/// What a round costs; [the module](super) says what is measured. Medians over the repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundReport {
    /// Messages of all clients together.
    pub messages: usize,
    /// Layers of chains.
    pub layers: u8,
    /// Chains in each layer.
    pub chains: u16,
    /// Servers in a chain.
    pub chain_len: u8,
    /// Servers.
    pub servers: u16,
    /// Slots of noise of every server, at least.
    pub noise: u32,
    /// How the hops were verified.
    pub verification: Verification,
    /// Threads that worked on it.
    pub threads: usize,
    /// Rounds that the medians are taken over.
    pub repeats: usize,
    /// Which arithmetic of the group ran, and what the program was compiled for.
    pub backend: String,
    /// Thousands of millions of steps a second that the processor's clock made right after; none where that is not known.
    pub clock_ghz: Option<f64>,
    /// Proofs of hops that were checked, each by every server that has to.
    pub hops_verified: u64,
    /// CPU time of all servers and the coordinator for each message, milliseconds.
    pub cpu_ms_per_message: f64,
    /// Of it, each part of the work, in milliseconds for each message.
    pub stages: Vec<StageCost>,
    /// Seconds that all servers' work takes on these threads, one server after the other.
    pub wall_s: f64,
    /// CPU time of a client for each of its messages, milliseconds.
    pub client_ms_per_message: f64,
    /// Most memory of all servers together in the first round, from the end of collection on and beyond the submissions, in
    /// bytes for each message: from the process's resident memory, with tables that are made once. None outside Linux.
    pub peak_bytes_per_message: Option<u64>,
    /// Bytes between servers, and between them and the coordinator, for each message.
    pub bytes_on_wire_per_message: f64,
    /// Bytes that a client sends and gets for each of its messages.
    pub client_bytes_per_message: f64,
}

/// What one part of the work costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageCost {
    /// What it is.
    pub stage: &'static str,
    /// CPU time of all servers for each message, milliseconds.
    pub cpu_ms_per_message: f64,
    /// Its share of the servers' and the coordinator's work.
    pub share: f64,
}

/// The parts of the work in the order in which they come in a round.
const STAGES: [&str; 16] = [
    "coordinator",
    "machines",
    "prepare",
    "noise",
    "admit",
    "input",
    "decode",
    "mix",
    "prove",
    "verify",
    "distribute",
    "receipts",
    "exchange",
    "return",
    "audit",
    "blame",
];

impl RoundReport {
    pub(super) fn new(args: &RoundArgs, rounds: &[Ledger], peak_bytes: Option<u64>) -> Self {
        let messages = args.messages as f64;
        let of = |figure: &dyn Fn(&Ledger) -> f64| median(rounds.iter().map(figure));
        let millis = |spent: Spent| spent.cpu.as_secs_f64() * 1e3 / messages;
        let total = of(&|round| millis(round.total()));
        let stage = |stage: &'static str| {
            let cpu_ms_per_message = of(&|round| round.work.get(stage).copied().map_or(0.0, millis));
            StageCost { stage, cpu_ms_per_message, share: cpu_ms_per_message / total }
        };
        Self {
            messages: args.messages,
            layers: args.layers,
            chains: args.chains,
            chain_len: args.chain_len,
            servers: args.servers,
            noise: args.noise,
            verification: args.verification,
            threads: args.threads,
            repeats: args.repeats,
            backend: backend::describe(),
            clock_ghz: clock::ghz(),
            hops_verified: rounds.iter().map(|round| round.hops_verified).max().unwrap_or(0),
            cpu_ms_per_message: total,
            stages: STAGES.into_iter().map(stage).collect(),
            wall_s: of(&|round| round.total().wall.as_secs_f64()),
            client_ms_per_message: of(&|round| millis(round.clients)),
            peak_bytes_per_message: peak_bytes.map(|bytes| (bytes as f64 / messages) as u64),
            bytes_on_wire_per_message: of(&|round| round.server_bytes as f64 / messages),
            client_bytes_per_message: of(&|round| round.client_bytes as f64 / messages),
        }
    }
}

impl fmt::Display for RoundReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, layers, chains, chain_len, servers, verification, threads, repeats, .. } = self;
        writeln!(
            f,
            "a round of {messages} messages: {layers} layers of {chains} chains of {chain_len}, {servers} servers"
        )?;
        writeln!(f, "verification {}, threads {threads}, median of {repeats} rounds", verification.name())?;
        writeln!(f, "{}{}\n", self.backend, clock::in_words(self.clock_ghz))?;
        writeln!(f, "{:<14}{:>14}{:>9}", "", "ms a message", "share")?;
        for StageCost { stage, cpu_ms_per_message, share } in &self.stages {
            writeln!(f, "{stage:<14}{cpu_ms_per_message:>14.4}{:>8.1}%", share * 100.0)?;
        }
        writeln!(f, "{:<14}{:>14.4}\n", "all servers", self.cpu_ms_per_message)?;
        writeln!(
            f,
            "a client's own work  {:.4} ms a message, {:.0} B on its line",
            self.client_ms_per_message, self.client_bytes_per_message
        )?;
        writeln!(f, "servers' lines       {:.0} B a message", self.bytes_on_wire_per_message)?;
        if let Some(bytes) = self.peak_bytes_per_message {
            writeln!(f, "memory at its peak   {bytes} B a message, all servers together")?;
        }
        writeln!(f, "proofs checked       {}", self.hops_verified)?;
        write!(f, "all one after the other: {:.2} s", self.wall_s)
    }
}
