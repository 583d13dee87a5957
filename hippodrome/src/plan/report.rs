//! A plan, for people and for programs.

use std::fmt;

use hippodrome_privacy::quantity::{Delta, Epsilon, Rounds};
use serde::Serialize;

use super::{
    audit::{Audit, Caught, Pledges},
    cost::Cost,
};

pub(crate) const LINKS_NOT_PROVED: &str = "simulated, not proved";

/// What is known of links between chains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Links {
    /// There are none.
    None,
    Seen(&'static str),
}

/// A plan, as printed with `--json`. Where an ε is none, no finite one holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Report {
    /// Noise records that each server sends into each open input chain in each round.
    pub(super) noise_per_chain: u32,
    pub(super) noise_per_server: u64,
    /// Of all servers in a round.
    pub(super) noise_total: u64,
    /// Noise records for each record of a client.
    pub(super) overhead: f64,
    /// Slots of each server: `slots` of the network's noise parameters.
    pub(super) noise_slots: u64,
    /// α, as a fraction and as a number.
    pub(super) shape: String,
    pub(super) shape_value: f64,
    pub(super) epsilon: Option<Epsilon>,
    pub(super) delta: Delta,
    pub(super) rounds: Rounds,
    /// Of mailbox counts alone.
    pub(super) epsilon_mailboxes: Option<Epsilon>,
    /// If the adversary were told everyone's chains.
    pub(super) epsilon_chains_known: Option<Epsilon>,
    pub(super) mailboxes: &'static str,
    pub(super) links: Links,
    pub(super) after: Vec<After>,
    pub(super) fewer_honest: Vec<Fewer>,
    /// None where nobody looks at noise.
    pub(super) audit: Option<Audit>,
    /// None where nobody dials.
    pub(super) dialing: Option<Calls>,
    pub(super) layers: u8,
    pub(super) chains: u16,
    pub(super) chain_len: u8,
    /// Of one draw of chains; none if no chain can be without an honest server.
    pub(super) failure_bits: Option<f64>,
    #[serde(flatten)]
    pub(super) cost: Cost,
    /// At least so likely a server that drops one record in a hundred is noticed in the round.
    pub(super) loss_caught: f64,
    /// By the time of the busiest server.
    pub(super) cheapest_layers: u8,
    pub(super) alternatives: Vec<Alternative>,
}

/// ε after fewer rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct After {
    pub(super) rounds: Rounds,
    pub(super) epsilon: Option<Epsilon>,
    pub(super) mailboxes: Option<Epsilon>,
    #[serde(skip)]
    pub(super) chains_known: Option<Epsilon>,
}

/// ε with fewer honest servers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Fewer {
    pub(super) honest: u16,
    pub(super) epsilon: Option<Epsilon>,
}

/// Rounds in which people call each other, and their noise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Calls {
    pub(super) rounds: Rounds,
    pub(super) buckets: u32,
    /// Of each server for each bucket in each input chain.
    pub(super) slots: u32,
    /// α, as a fraction.
    pub(super) shape: String,
    /// Of each server in each of these rounds, for all buckets and chains.
    pub(super) requests_per_server: u64,
    /// Of dialing alone, with the whole δ.
    pub(super) epsilon_alone: Option<Epsilon>,
}

/// The same goal with another number of layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Alternative {
    pub(super) layers: u8,
    pub(super) chains: u16,
    pub(super) noise_total: u64,
    #[serde(flatten)]
    pub(super) cost: Cost,
}

/// The number of layers with the least time of the busiest server.
pub(super) fn cheapest(alternatives: &[Alternative]) -> u8 {
    let by_time = |a: &&Alternative, b: &&Alternative| a.cost.cpu_s_per_server.total_cmp(&b.cost.cpu_s_per_server);
    alternatives.iter().min_by(by_time).map_or(0, |found| found.layers)
}

fn shown(epsilon: Option<Epsilon>) -> String {
    epsilon.map_or_else(|| "none".to_owned(), |epsilon| format!("{:.4}", epsilon.value()))
}

fn megabytes(bytes: f64) -> f64 {
    bytes / 1e6
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "noise        {} records a round of all servers ({:.3} a client's record)",
            self.noise_total, self.overhead
        )?;
        writeln!(f, "  a server   {}, {} into each chain", self.noise_per_server, self.noise_per_chain)?;
        writeln!(f, "  drawn      beta-binomial, {} slots a server, shape {}", self.noise_slots, self.shape)?;
        writeln!(f, "epsilon      {} with delta {} over {} rounds", shown(self.epsilon), self.delta, self.rounds)?;
        writeln!(f, "  mailboxes  {}: {}", shown(self.epsilon_mailboxes), self.mailboxes)?;
        if let Links::Seen(how) = self.links {
            writeln!(f, "  links      {how}; {} if everyone's chains were known", shown(self.epsilon_chains_known))?;
        }
        for after in &self.after {
            writeln!(f, "  after      {} rounds: {}", after.rounds, shown(after.epsilon))?;
        }
        for Fewer { honest, epsilon } in &self.fewer_honest {
            writeln!(f, "  honest     only {honest}: {}", shown(*epsilon))?;
        }
        if let Some(audit) = &self.audit {
            self.fmt_audit(audit, f)?;
        }
        if let Some(calls) = &self.dialing {
            fmt_calls(calls, f)?;
        }
        self.fmt_cost(f)
    }
}

fn fmt_calls(calls: &Calls, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Calls { rounds, buckets, slots, shape, requests_per_server, epsilon_alone } = calls;
    writeln!(f, "dialing      {rounds} rounds, {buckets} bucket(s); {} of dialing alone", shown(*epsilon_alone))?;
    writeln!(f, "  a server   {requests_per_server} requests, {slots} slots of shape {shape} a bucket in each chain")
}

impl Report {
    fn fmt_audit(&self, audit: &Audit, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Audit { one_in, rounds_opened, epsilon_without, noise_per_server_without, caught, cost } = audit;
        writeln!(
            f,
            "audit        each server's noise of one round in {one_in}; {rounds_opened} rounds counted as opened"
        )?;
        writeln!(
            f,
            "  price      epsilon {} for {} without it; {noise_per_server_without} records a server would do",
            shown(self.epsilon),
            shown(*epsilon_without)
        )?;
        for Caught { share, rounds_to_half, chance } in caught {
            writeln!(
                f,
                "  caught     who cheats in {share} of rounds: {chance:.4} after {}, half after {rounds_to_half}",
                self.rounds
            )?;
        }
        let Pledges { cpu_ms_per_server, pledge_bytes, bytes_received_per_server } = cost;
        writeln!(
            f,
            "  pledges    {cpu_ms_per_server:.0} ms of one core, {pledge_bytes} bytes sent and {bytes_received_per_server} \
             received, a server and round"
        )
    }

    fn fmt_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "chains       {} layer(s) of {} chain(s) of {} servers", self.layers, self.chains, self.chain_len)?;
        match self.failure_bits {
            Some(bits) => writeln!(f, "  fail       one draw in 2^{bits:.1}")?,
            None => writeln!(f, "  fail       never: more servers in a chain than bad ones")?,
        }
        writeln!(f, "  caught     {:.6} of losses of one record in a hundred, in the round", self.loss_caught)?;
        for Alternative { layers, noise_total, cost, .. } in &self.alternatives {
            let mark = if *layers == self.cheapest_layers { ", cheapest" } else { "" };
            let sent = megabytes(cost.bytes_sent_per_server);
            let time = cost.cpu_s_per_server;
            writeln!(
                f,
                "  {layers} layer(s) {noise_total} noise, {time:.2} s and {sent:.1} MB a server and round{mark}"
            )?;
        }
        let (time, sent) = (self.cost.cpu_s_per_server, megabytes(self.cost.bytes_sent_per_server));
        write!(f, "cost         {time:.2} s of one core of the busiest server and {sent:.1} MB sent, a round")
    }
}
