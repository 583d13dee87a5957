//! Numbers of papers, each beside what the model says of Hippodrome under the same load.

use hippodrome_core::params::Verification;

use super::{Cluster, Costs, FigureError, noise_slots, table::Table};

const PUBLISHED: &str = include_str!("../../data/claims.csv");

/// A number of a paper, and ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Whose it is, and of what.
    pub of: String,
    /// Millions of messages of a round, the paper's way of counting.
    pub millions: f64,
    /// Theirs.
    pub published: Cost,
    /// Ours, modelled.
    pub ours: Cost,
    /// What of ours is set beside it.
    pub beside: String,
}

/// What a round takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// From the end of collection to the last reply, seconds.
    pub latency_s: f64,
    /// Milliseconds of one core of all servers, for each message.
    pub core_ms: f64,
}

/// All of them. The core time of others is their latency times all cores over all messages, as if all of them worked all
/// the time: the papers give no other.
///
/// # Errors
/// [`FigureError`]: a mistake in what is asked for, not in the costs.
pub fn claims(costs: &Costs) -> Result<Vec<Claim>, FigureError> {
    let table = Table::parse(PUBLISHED);
    let lines: Vec<_> = table.with(&[]).collect();
    lines
        .iter()
        .map(|line| {
            let number = |column| line.number(column).expect("a table of our own, and a test reads all of it");
            let [servers, chain_len, noisy] = ["servers", "chain_len", "noise"].map(number);
            let verification = match line.text("verification") {
                "aggregate" => Verification::Aggregate,
                _ => Verification::Full,
            };
            let servers = servers as u16;
            let noise = if noisy > 0.0 { noise_slots(servers, 10_f64.ln())?.unwrap_or(0) } else { 0 };
            let cluster = Cluster { verification, ..Cluster::full(servers, chain_len as u8, noise) };
            let (millions, latency_s) = (number("millions"), number("latency_s"));
            let messages = millions * 1e6;
            let cores = number("published_servers") * number("published_cores");
            let published = Cost { latency_s, core_ms: 1e3 * latency_s * cores / messages };
            Ok(Claim {
                of: line.text("of").to_owned(),
                millions,
                published,
                ours: cluster.cost(messages as u64, costs)?,
                beside: line.text("beside").to_owned(),
            })
        })
        .collect()
}

impl Cluster {
    fn cost(&self, messages: u64, costs: &Costs) -> Result<Cost, FigureError> {
        let outcome = self.outcome(messages, costs)?;
        let core_ms = 1e3 * outcome.total_cpu_s() / messages as f64;
        Ok(Cost { latency_s: outcome.latency_s(), core_ms })
    }
}
