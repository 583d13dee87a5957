//! What each kind of work takes.

use std::{collections::BTreeMap, time::Duration};

use hippodrome_core::params::Verification;
use serde::{Deserialize, Serialize};

use super::work::{Units, Work};

/// Seconds of one core for each kind of work, by how hops are verified, and what was measured to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Where they come from.
    pub source: Source,
    /// What sending takes beside the work that is measured in one process.
    pub transport: Transport,
    /// Rates of networks whose hops are proved in full.
    pub full: Rates,
    /// Rates of networks with aggregate proofs.
    pub aggregate: Rates,
    /// Rates of networks without proofs.
    pub none: Rates,
}

/// What was measured, and on what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The processor.
    pub cpu: String,
    /// Which arithmetic of the group ran, and what for the program was compiled.
    pub backend: String,
    /// Threads that worked at once, so that what they cost each other is in the rates.
    pub threads: usize,
    /// What measured it.
    pub command: String,
}

/// The rate of each kind of work; kinds that are left out take no time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rates(pub BTreeMap<Work, Rate>);

/// Seconds of one core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// For each job or message, on one core.
    pub job_s: f64,
    /// For each record, on as many cores as there are.
    pub record_s: f64,
}

/// What processes that talk to each other take beyond what they would in one: nothing until real runs have shown it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transport {
    /// Seconds of one core for each byte, at both ends together; the model has it all at the receiver's.
    pub byte_s: f64,
    /// Seconds of one core for each message, likewise.
    pub message_s: f64,
    /// Seconds of one core that a server takes in a round, whatever there is to do.
    pub server_round_s: f64,
    /// Seconds of one core that the coordinator takes for each client in a round: its connection, and its two requests.
    pub client_s: f64,
    /// Seconds that a core stands idle for each second that it works, while threads are woken up and wait for each other.
    pub idle: f64,
    /// Seconds by which every message is late, beside its link.
    pub message_late_s: f64,
}

/// Text that holds no costs.
#[derive(Debug, thiserror::Error)]
pub enum CostsError {
    /// It is not what [`Costs::to_toml`] writes.
    #[error("these are no costs: {0}; measure them anew")]
    Format(#[from] toml::de::Error),
    /// A rate that no work can have.
    #[error("{what} is {value}: expected a finite number of seconds, 0 or more")]
    Rate {
        /// Which one.
        what: String,
        /// Its value.
        value: f64,
    },
}

impl Costs {
    /// Whether real runs have shown what processes take beyond their work.
    pub fn are_fitted(&self) -> bool {
        self.transport != Transport::default()
    }

    /// Everything takes no time: what is left are delays.
    pub fn none() -> Self {
        Self::uniform(Rates::default())
    }

    /// The same rates however hops are verified.
    pub fn uniform(rates: Rates) -> Self {
        let (source, transport) = (Source::default(), Transport::default());
        Self { source, transport, full: rates.clone(), aggregate: rates.clone(), none: rates }
    }

    /// The rates of a mode.
    pub fn rates(&self, verification: Verification) -> &Rates {
        match verification {
            Verification::Full => &self.full,
            Verification::Aggregate => &self.aggregate,
            Verification::None => &self.none,
        }
    }

    /// The same with all work so many times as long.
    pub(super) fn at_pace(&self, pace: f64) -> Self {
        let scaled = |rate: &Rate| Rate { job_s: pace * rate.job_s, record_s: pace * rate.record_s };
        let paced = |rates: &Rates| Rates(rates.0.iter().map(|(work, rate)| (*work, scaled(rate))).collect());
        let Self { source, transport, full, aggregate, none } = self;
        let (source, transport) = (source.clone(), *transport);
        Self { source, transport, full: paced(full), aggregate: paced(aggregate), none: paced(none) }
    }

    /// The text of a file. Reading it back gives the same costs to the last bit.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("tables of numbers and words")
    }

    /// Reads what [`Costs::to_toml`] has written.
    ///
    /// # Errors
    /// [`CostsError`] if it is something else, or holds what no work can take.
    pub fn from_toml(text: &str) -> Result<Self, CostsError> {
        let costs: Self = toml::from_str(text)?;
        costs.check()?;
        Ok(costs)
    }

    fn check(&self) -> Result<(), CostsError> {
        let Transport { byte_s, message_s, server_round_s, client_s, idle, message_late_s } = self.transport;
        let modes = [&self.full, &self.aggregate, &self.none];
        let rates = modes.into_iter().flat_map(|rates| &rates.0);
        let of_work =
            rates.flat_map(|(work, rate)| [rate.job_s, rate.record_s].map(|value| (format!("{work:?}"), value)));
        let of_transport = [byte_s, message_s, server_round_s, client_s, idle, message_late_s]
            .map(|value| ("transport".to_owned(), value));
        match of_work.chain(of_transport).find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            Some((what, value)) => Err(CostsError::Rate { what, value }),
            None => Ok(()),
        }
    }
}

impl Rates {
    /// What some work takes on one core, and on as many as there are.
    pub(super) fn time(&self, work: Work, units: Units) -> (u64, u64) {
        let Rate { job_s, record_s } = self.0.get(&work).copied().unwrap_or_default();
        (nanos(job_s * units.jobs as f64), nanos(record_s * units.records as f64))
    }
}

/// Whole nanoseconds; of what no clock can show, the most.
pub(super) fn nanos(seconds: f64) -> u64 {
    Duration::try_from_secs_f64(seconds.max(0.0)).map_or(u64::MAX >> 8, |time| time.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_back_to_the_last_bit() {
        let rate = Rate { job_s: 0.1 + 0.2, record_s: 1.0 / 3.0e6 };
        let mut costs = Costs::uniform(Rates(Work::ALL.into_iter().map(|work| (work, rate)).collect()));
        costs.source.cpu = "a \"processor\"".into();
        costs.transport.byte_s = 1e-9 / 7.0;
        assert_eq!(Costs::from_toml(&costs.to_toml()).expect("costs"), costs);
    }

    #[test]
    fn what_no_work_can_take_is_refused() {
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            let rates = Rates([(Work::Mix, Rate { job_s: 0.0, record_s: value })].into());
            let why = Costs::from_toml(&Costs::uniform(rates).to_toml()).expect_err("refused").to_string();
            assert!(why.contains("Mix") && why.contains("0 or more"), "{why}");
        }
        assert!(Costs::from_toml("x = 1").is_err());
    }
}
