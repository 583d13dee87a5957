//! Guesses in single rounds.
//!
//! Before each round a coin says whether a person talks, which moves a count by a known shift; the attacker sees counts
//! only and guesses coins.

use std::collections::BTreeMap;

use super::Score;
use crate::{
    error::PrivacyError,
    noise::Noise,
    quantity::{Delta, Servers, Shift},
};

/// A round of the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// What was seen: a count of mailboxes, less what everybody knows of it.
    pub count: i64,
    /// The secret coin.
    pub talks: bool,
}

/// Somebody who guesses coins by counts: for every count it has made up its mind before it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attacker {
    /// Counts that it has an opinion about.
    opinions: BTreeMap<i64, bool>,
    /// Of others, these and larger ones are guessed to be of rounds in which somebody talks.
    from: i64,
}

impl Attacker {
    /// One that guesses talk from a count on.
    pub fn from_count(from: i64) -> Self {
        Self { opinions: BTreeMap::new(), from }
    }

    /// One that knows the law of the noise of `servers` servers and takes the likelihood ratio; where to draw the line
    /// it chooses such that `rounds` rounds of either kind should show most. Counts are those of shared slots.
    pub fn by_law(
        noise: &Noise,
        servers: Servers,
        shift: Shift,
        rounds: u64,
        delta: Delta,
    ) -> Result<Self, PrivacyError> {
        let law = noise.sum(servers)?;
        let (first, masses) = law.masses();
        let first = first as i64;
        let mass = |count: i64| usize::try_from(count - first).ok().and_then(|index| masses.get(index)).copied();
        let by = i64::from(shift.by());
        let counts = first..first + masses.len() as i64 + by;
        let mut chances: Vec<(i64, f64, f64)> =
            counts.map(|count| (count, mass(count).unwrap_or(0.0), mass(count - by).unwrap_or(0.0))).collect();
        chances.retain(|(_, idle, talking)| idle + talking > 0.0);
        // Likely signs of talk first.
        chances.sort_by(|a, b| (b.2 / b.1).total_cmp(&(a.2 / a.1)).then(b.0.cmp(&a.0)));
        let tells = |idle: f64, talking: f64| {
            let of = |chance: f64| (chance.min(1.0) * rounds as f64).round() as u64;
            Score { hits: of(talking), talking: rounds, false_alarms: of(idle), idle: rounds }.shows(delta, 0.05)
        };
        let (mut idle, mut talking, mut best) = (0.0, 0.0, (-1.0, 0));
        // A few hundred lines are as good as all.
        let stride = chances.len().div_ceil(400);
        for (number, (_, of_idle, of_talking)) in (1..).zip(&chances) {
            (idle, talking) = (idle + of_idle, talking + of_talking);
            if number % stride == 0 || number < 32 || chances.len() - number < 32 {
                let shown = tells(idle, talking);
                best = if shown > best.0 { (shown, number) } else { best };
            }
        }
        let opinions = chances.iter().zip(0..).map(|((count, ..), rank)| (*count, rank < best.1)).collect();
        Ok(Self { opinions, from: first + masses.len() as i64 / 2 })
    }

    /// One that knows no law, and learns from rounds whose coins it is told: counts that came more often with talk.
    pub fn trained(rounds: &[Round]) -> Self {
        let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
        rounds.iter().for_each(|round| *seen.entry(round.count).or_default() += if round.talks { 1 } else { -1 });
        let mut sorted: Vec<i64> = rounds.iter().map(|round| round.count).collect();
        sorted.sort_unstable();
        let from = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        let opinions = seen.into_iter().filter(|(_, lead)| *lead != 0).map(|(count, lead)| (count, lead > 0)).collect();
        Self { opinions, from }
    }

    /// Its guess.
    pub fn guess(&self, count: i64) -> bool {
        self.opinions.get(&count).copied().unwrap_or(count >= self.from)
    }

    /// How it does in rounds that it has not learnt from.
    pub fn play(&self, rounds: &[Round]) -> Score {
        rounds.iter().fold(Score::default(), |score, round| score.with(round.talks, self.guess(round.count)))
    }
}
