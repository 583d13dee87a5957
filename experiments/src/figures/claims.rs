//! Numbers of papers, each beside what the model says of Hippodrome under the same load.

use hippodrome_core::params::Verification;

use super::{
    Cluster, Costs, FigureError, noise_slots,
    table::{Line, Table},
};

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

/// All of them, but for those under noise that no servers can send. The core time of others is their latency times all
/// cores over all messages, as if all of them worked all the time: the papers give no other.
///
/// # Errors
/// [`FigureError`]: a mistake in what is asked for, not in the costs.
pub fn claims(costs: &Costs) -> Result<Vec<Claim>, FigureError> {
    let claims = published().into_iter().map(|line| line.beside_ours(costs));
    claims.filter_map(Result::transpose).collect()
}

/// The table's lines.
pub(super) fn published() -> Vec<Published> {
    let table = Table::parse(PUBLISHED);
    table
        .with(&[])
        .map(|line| Published::parse(&line).expect("a table of our own, all of which a test reads"))
        .collect()
}

/// A number of a paper, and what of ours is modelled beside it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Published {
    pub(super) of: String,
    millions: f64,
    pub(super) latency_s: f64,
    /// Of all their servers.
    cores: f64,
    pub(super) ours: Cluster,
    /// Whether ours send noise beside these messages.
    is_noisy: bool,
    beside: String,
}

impl Published {
    fn parse(line: &Line<'_>) -> Option<Self> {
        let whole = |column| line.text(column).parse::<u16>().ok();
        let verification = Verification::named(line.text("verification"))?;
        let ours = Cluster::full(whole("servers")?, whole("chain_len")?.try_into().ok()?, 0);
        Some(Self {
            of: line.text("of").to_owned(),
            millions: line.number("millions")?,
            latency_s: line.number("latency_s")?,
            cores: line.number("published_servers")? * line.number("published_cores")?,
            ours: Cluster { verification, ..ours },
            is_noisy: whole("noise")? > 0,
            beside: line.text("beside").to_owned(),
        })
    }

    /// None if no servers can send the noise.
    fn beside_ours(self, costs: &Costs) -> Result<Option<Claim>, FigureError> {
        let noise = if self.is_noisy { noise_slots(self.ours.servers, 10_f64.ln())? } else { Some(0) };
        let Some(noise_slots) = noise else { return Ok(None) };
        let messages = self.millions * 1e6;
        let ours = Cluster { noise_slots, ..self.ours }.cost(messages as u64, costs)?;
        let published = Cost { latency_s: self.latency_s, core_ms: 1e3 * self.latency_s * self.cores / messages };
        Ok(Some(Claim { of: self.of, millions: self.millions, published, ours, beside: self.beside }))
    }
}

impl Cluster {
    fn cost(&self, messages: u64, costs: &Costs) -> Result<Cost, FigureError> {
        let outcome = self.outcome(messages, costs)?;
        let core_ms = 1e3 * outcome.total_cpu_s() / messages as f64;
        Ok(Cost { latency_s: outcome.latency_s(), core_ms })
    }
}
