//! What a run came to.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{LiveError, Toll, ledgers::Ledgers};

/// A round as the crowd saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfRound {
    /// Its number.
    pub round: u64,
    /// Clients that took part.
    pub clients: u64,
    /// Replies that were intact, and others.
    pub intact: u64,
    /// Replies that were not.
    pub broken: u64,
    /// Clients to which nothing came back.
    pub lost: u64,
    /// Milliseconds from the end of collection until the first client had its replies; none if nobody had.
    pub first_ms: Option<f64>,
    /// Until half of them had.
    pub median_ms: Option<f64>,
    /// Until the last one had.
    pub last_ms: Option<f64>,
    /// When collection ended, milliseconds since 1970; 0 where it was not written down.
    #[serde(default)]
    pub collected_ms: u64,
}

impl OfRound {
    pub(super) const COLUMNS: &str = "round,clients,intact,broken,lost,first_ms,median_ms,last_ms,collected_ms";

    /// Whether everybody got everything back.
    pub fn is_whole(&self) -> bool {
        self.broken == 0 && self.lost == 0
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let [round, clients, intact, broken, lost, first, median, last, collected] = fields[..] else { return None };
        let number = |text: &str| text.parse().ok();
        let ms = |text: &str| text.parse().ok();
        Some(Self {
            round: number(round)?,
            clients: number(clients)?,
            intact: number(intact)?,
            broken: number(broken)?,
            lost: number(lost)?,
            first_ms: ms(first),
            median_ms: ms(median),
            last_ms: ms(last),
            collected_ms: number(collected)?,
        })
    }

    pub(super) fn read(path: &Path) -> Result<Vec<Self>, LiveError> {
        let text = fs::read_to_string(path).map_err(|source| LiveError::File { path: path.into(), source })?;
        let parse = |(number, line)| {
            Self::parse(line).ok_or_else(|| LiveError::Garbled { path: path.into(), line: number + 1 })
        };
        text.lines().enumerate().skip(1).map(parse).collect()
    }
}

/// What one run of a point came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Rounds that were counted.
    pub rounds: Vec<OfRound>,
    /// Seconds of CPU time of all mix servers in the counted rounds.
    pub servers_cpu_s: f64,
    /// Of the coordinator.
    pub coordinator_cpu_s: f64,
    /// Of the crowd.
    pub crowd_cpu_s: f64,
    /// The most memory that any mix server had, bytes.
    pub server_peak_bytes: u64,
    /// What servers wrote down.
    pub ledgers: Ledgers,
    /// What the trouble of the point cost, if it has some.
    #[serde(default)]
    pub toll: Option<Toll>,
}

impl Measured {
    /// Rounds that were not whole, and those between the first and the last that were never held.
    pub fn lost(&self) -> usize {
        let numbers = || self.rounds.iter().map(|round| round.round);
        let span = numbers().max().zip(numbers().min()).map_or(0, |(last, first)| last - first + 1) as usize;
        span - self.rounds.iter().filter(|round| round.is_whole()).count()
    }

    /// Whether it counts.
    pub fn is_valid(&self) -> bool {
        self.flaw().is_none()
    }

    /// Why it does not count. Where something is lost that should not be, the run says nothing about speed; where there was
    /// to be trouble, losses are what is measured.
    pub fn flaw(&self) -> Option<String> {
        match (&self.toll, self.lost()) {
            (Some(toll), _) => (!toll.happened).then(|| "the trouble did not happen".to_owned()),
            (None, 0) => None,
            (None, lost) => Some(format!("{lost} rounds were lost")),
        }
    }

    /// Per counted round.
    pub fn per_round(&self, total: f64) -> f64 {
        total / self.rounds.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rounds: &[(u64, u64)]) -> Measured {
        let round = |&(round, lost): &(u64, u64)| OfRound {
            round,
            clients: 2,
            intact: 2 - lost,
            broken: 0,
            lost,
            first_ms: None,
            median_ms: None,
            last_ms: None,
            collected_ms: 0,
        };
        let (ledgers, toll) = (Ledgers::default(), None);
        let rounds = rounds.iter().map(round).collect();
        Measured {
            rounds,
            servers_cpu_s: 0.0,
            coordinator_cpu_s: 0.0,
            crowd_cpu_s: 0.0,
            server_peak_bytes: 0,
            ledgers,
            toll,
        }
    }

    #[test]
    fn a_run_counts_only_if_every_round_was_held_and_whole() {
        assert!(of(&[(7, 0), (8, 0), (9, 0)]).is_valid());
        assert_eq!(of(&[(7, 0), (8, 1), (9, 0)]).lost(), 1);
        let gap = of(&[(7, 0), (10, 1), (11, 0)]);
        assert_eq!((gap.lost(), gap.flaw()), (3, Some("3 rounds were lost".into())));
        assert_eq!(of(&[]).lost(), 0);
    }
}
