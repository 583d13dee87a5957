//! What trouble has cost.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

/// What trouble has cost, and who was named for it. Times begin when it does: with the first round in which a server
/// cheated, or with the command that did something to a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Toll {
    /// Whether it happened at all.
    pub happened: bool,
    /// Counted rounds in which somebody took no part or did not get everything back, and such as never began.
    pub rounds_lost: u64,
    /// Until all had the replies of the first round after the last lost one, milliseconds; none if nothing was whole again.
    pub recovery_ms: Option<f64>,
    /// Texts that did not arrive, though a later one of the same person did.
    pub texts_lost: u64,
    /// Texts that took two rounds more than usual at least.
    pub texts_late: u64,
    /// Rounds more than usual that the latest text took.
    pub text_delay_rounds: u64,
    /// Until servers had signed that rounds are held without the node that it happened to, milliseconds.
    pub out_ms: Option<f64>,
    /// The server that cheats.
    pub culprit: Option<String>,
    /// Until the first honest node had evidence of it, milliseconds.
    pub detection_ms: Option<f64>,
    /// Rounds in which it had cheated by then.
    pub detection_rounds: Option<u64>,
    /// Everybody whom evidence convicts.
    pub named: BTreeSet<String>,
    /// Of what.
    pub offences: BTreeSet<String>,
}

/// Rounds more than usual that make a text late: one more or less is chance.
const LATE: u64 = 2;

impl Toll {
    /// Enters how many rounds more than usual texts took.
    pub(super) fn with_delays(self, delays: &[u64]) -> Self {
        let texts_late = delays.iter().filter(|delay| **delay >= LATE).count() as u64;
        Self { texts_late, text_delay_rounds: delays.iter().copied().max().unwrap_or(0), ..self }
    }

    /// Whether anybody is named who did not cheat.
    pub fn names_wrongly(&self) -> bool {
        self.named.iter().any(|name| Some(name) != self.culprit.as_ref())
    }

    /// Who is named, in words without commas.
    pub fn names(&self) -> String {
        let names = listed(&self.named);
        if self.names_wrongly() { format!("wrong name: {names}") } else { names }
    }

    /// For what, in words without commas.
    pub fn charges(&self) -> String {
        listed(&self.offences)
    }

    /// Everything that is a number: name, unit and value.
    pub fn figures(&self) -> impl Iterator<Item = (&'static str, &'static str, f64)> + use<> {
        let count = |number: u64| Some(number as f64);
        let figures = [
            ("rounds_lost", "rounds", count(self.rounds_lost)),
            ("recovery", "ms", self.recovery_ms),
            ("texts_lost", "texts", count(self.texts_lost)),
            ("texts_late", "texts", count(self.texts_late)),
            ("text_delay", "rounds", count(self.text_delay_rounds)),
            ("out", "ms", self.out_ms),
            // Clocks are read in whole milliseconds.
            ("detection", "ms", self.detection_ms.map(|ms| ms.max(1.0))),
            ("detection_rounds", "rounds", self.detection_rounds.and_then(count)),
        ];
        figures.into_iter().filter_map(|(name, unit, value)| Some((name, unit, value?)))
    }
}

fn listed(words: &BTreeSet<String>) -> String {
    words.iter().map(|word| word.replace(',', ";")).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rounds lost", self.rounds_lost)?;
        match self.recovery_ms {
            Some(ms) => write!(f, ", whole again after {ms:.0} ms")?,
            None => f.write_str(", not whole again")?,
        }
        match (self.detection_ms, &self.culprit) {
            (Some(ms), _) => write!(f, ", evidence after {ms:.0} ms")?,
            (None, Some(_)) => f.write_str(", no evidence")?,
            (None, None) => {}
        }
        if self.named.is_empty() { Ok(()) } else { write!(f, " ({})", self.names()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str], culprit: Option<&str>) -> Toll {
        let named = names.iter().map(|name| (*name).to_owned()).collect();
        Toll { named, culprit: culprit.map(str::to_owned), ..Toll::default() }
    }

    #[test]
    fn only_the_server_that_cheats_may_be_named() {
        for (names, culprit, is_wrong) in [
            (&[][..], None, false),
            (&[], Some("server-2"), false),
            (&["server-2"], Some("server-2"), false),
            (&["server-2"], None, true),
            (&["server-1"], Some("server-2"), true),
            (&["server-1", "server-2"], Some("server-2"), true),
        ] {
            let toll = named(names, culprit);
            assert_eq!(toll.names_wrongly(), is_wrong, "{names:?} {culprit:?}");
            assert_eq!(toll.names().contains("wrong name"), is_wrong);
        }
    }

    #[test]
    fn texts_are_late_from_two_rounds_on_and_the_latest_counts() {
        let toll = Toll::default().with_delays(&[0, 1, 2, 5]);
        assert_eq!((toll.texts_late, toll.text_delay_rounds), (2, 5));
    }

    #[test]
    fn what_did_not_come_is_no_number() {
        let toll = Toll { recovery_ms: None, detection_ms: Some(12.0), ..Toll::default() };
        let names: Vec<&str> = toll.figures().map(|(name, ..)| name).collect();
        assert!(names.contains(&"detection") && !names.contains(&"recovery") && !names.contains(&"out"));
    }
}
