//! What a demo comes to.

use std::time::Instant;

use hippodrome_proto::gateway::NetworkStatus;
use hippodrome_store::network_file::Network;
use serde::Serialize;

use super::{
    DemoError,
    people::{SCRIPT, Talk},
};

/// What a demo comes to, as printed with `--json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    rounds: u64,
    rounds_failed: u64,
    /// Texts that the script holds.
    texts: usize,
    sent: usize,
    /// Texts that arrived as they were sent.
    delivered: usize,
    servers: usize,
    chains: u16,
    chain_len: u8,
    layers: u8,
    verification: &'static str,
    hops_verified: u64,
    /// What the topology needs in so many rounds.
    hops_expected: u64,
    /// All clients, with the two who talk.
    clients: usize,
    period_ms: u64,
    wall_s: f64,
    /// Whether every chain has something to shuffle in every round; one that has nothing proves nothing.
    #[serde(skip)]
    has_noise: bool,
}

impl Report {
    /// `status` is one answer of the coordinator: its rounds are those whose proofs it counts.
    pub(super) fn new(network: &Network, clients: usize, talk: &Talk, status: &NetworkStatus, began: Instant) -> Self {
        let params = network.directory.params();
        Self {
            rounds: status.rounds_completed,
            rounds_failed: status.rounds_failed,
            texts: SCRIPT.len(),
            sent: talk.said(),
            delivered: talk.arrived(),
            servers: network.directory.servers().len(),
            chains: params.chains,
            chain_len: params.chain_len,
            layers: params.layers,
            verification: params.verification.name(),
            hops_verified: status.hops_verified,
            hops_expected: status.rounds_completed * params.hops_verified_per_round(),
            clients,
            period_ms: params.period_ms,
            has_noise: params.noise.slots > 0,
            wall_s: (began.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        }
    }

    /// For people, in one sentence.
    pub(super) fn sentence(&self) -> String {
        let Self { delivered, texts, rounds, hops_verified, clients, wall_s, .. } = self;
        format!(
            "{delivered} of {texts} texts arrived, in {rounds} rounds of {clients} clients; {hops_verified} hop proofs \
             verified; {wall_s:.1} s"
        )
    }

    /// An error unless every text arrived and every proof was verified that had to be.
    pub(super) fn check(&self) -> Result<(), DemoError> {
        if self.delivered != self.texts || self.sent != self.texts {
            return Err(DemoError::Incomplete { delivered: self.delivered, texts: self.texts });
        }
        if self.has_noise && self.hops_verified != self.hops_expected {
            let (verified, expected) = (self.hops_verified, self.hops_expected);
            return Err(DemoError::Unverified { verified, expected, rounds: self.rounds });
        }
        Ok(())
    }
}
