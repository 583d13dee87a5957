//! What became of rounds and texts when something went wrong.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    live::{LiveError, OfRound},
    stats,
};

/// The counted rounds of a run.
pub(super) struct Course<'a> {
    /// In order; numbers that no round had are missing.
    pub(super) rounds: &'a [OfRound],
    /// Clients that were to take part.
    pub(super) clients: u64,
}

impl Course<'_> {
    fn is_whole(&self, round: &OfRound) -> bool {
        round.is_whole() && round.clients >= self.clients
    }

    /// Rounds of which not everybody took part in and got everything back, and numbers that no round had.
    pub(super) fn lost(&self) -> u64 {
        let [Some(first), Some(last)] = [self.rounds.first(), self.rounds.last()] else { return 0 };
        let whole = self.rounds.iter().filter(|round| self.is_whole(round)).count() as u64;
        last.round - first.round + 1 - whole
    }

    /// Milliseconds from a moment until all had the replies of the first round after the last lost one; 0 if none was lost,
    /// none if nothing was whole again.
    pub(super) fn recovery_ms(&self, since_ms: u64) -> Option<f64> {
        if self.lost() == 0 {
            return Some(0.0);
        }
        let recovered = self.recovered()?;
        Some((recovered.collected_ms as f64 + recovered.last_ms? - since_ms as f64).max(0.0))
    }

    /// The first of the whole rounds at the end.
    fn recovered(&self) -> Option<&OfRound> {
        let mut first: Option<&OfRound> = None;
        for round in self.rounds.iter().rev() {
            let precedes = first.is_none_or(|later| later.round == round.round + 1);
            if !self.is_whole(round) || !precedes {
                break;
            }
            first = Some(round);
        }
        first
    }
}

/// A text on its way: the rounds in which it had left, and was known to have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    left: Option<u64>,
    arrived: Option<u64>,
}

/// What people of a run said, each of them in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts(BTreeMap<(u64, u64), Vec<Text>>);

impl Texts {
    /// Reads `texts.csv`.
    pub(super) fn read(path: &Path) -> Result<Self, LiveError> {
        let text = fs::read_to_string(path).map_err(|source| LiveError::File { path: path.into(), source })?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for line in text.lines().skip(1) {
            let fields: Vec<Option<u64>> = line.split(',').map(|field| field.parse().ok()).collect();
            if let [Some(pair), Some(side), _, _, left, arrived] = fields[..] {
                all.0.entry((pair, side)).or_default().push(Text { left, arrived });
            }
        }
        all
    }

    /// Texts that did not arrive, though a later one of the same person did.
    pub(super) fn lost(&self) -> u64 {
        let overtaken = |texts: &Vec<Text>| {
            let last = texts.iter().rposition(|text| text.arrived.is_some()).unwrap_or(0);
            texts[..last].iter().filter(|text| text.arrived.is_none()).count() as u64
        };
        self.0.values().map(overtaken).sum()
    }

    /// For each text that has left by a round, how many rounds more than usual it has taken by then. Usual is the median of
    /// those that arrived.
    pub(super) fn delays(&self, end: u64) -> Vec<u64> {
        let all = || self.0.values().flatten();
        let taken = |text: &Text| Some(text.arrived?.saturating_sub(text.left?));
        let usual = stats::median(&all().filter_map(taken).map(|rounds| rounds as f64).collect::<Vec<_>>());
        let so_far = all().filter_map(|text| Some(text.arrived.unwrap_or(end).saturating_sub(text.left?)));
        so_far.map(|rounds| rounds.saturating_sub(usual.unwrap_or(0.0).ceil() as u64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of ten clients that begins each second.
    fn round(round: u64, clients: u64, lost: u64) -> OfRound {
        let replied = (lost == 0).then_some(250.0);
        let (first_ms, median_ms, last_ms) = (replied, replied, replied);
        let intact = clients - lost;
        OfRound { round, clients, intact, broken: 0, lost, first_ms, median_ms, last_ms, collected_ms: 1000 * round }
    }

    fn course(rounds: &[OfRound]) -> Course<'_> {
        Course { rounds, clients: 10 }
    }

    #[test]
    fn a_calm_run_has_lost_nothing_and_recovers_from_nothing() {
        let rounds: Vec<OfRound> = (5..9).map(|number| round(number, 10, 0)).collect();
        assert_eq!((course(&rounds).lost(), course(&rounds).recovery_ms(5500)), (0, Some(0.0)));
        assert_eq!((course(&[]).lost(), course(&[]).recovery_ms(0)), (0, Some(0.0)));
    }

    #[test]
    fn rounds_without_all_replies_without_somebody_or_without_a_number_are_lost() {
        let rounds = [round(5, 10, 0), round(6, 10, 3), round(9, 9, 0), round(10, 10, 0), round(11, 10, 0)];
        // 6, 7, 8, and 9 in which nine took part.
        assert_eq!(course(&rounds).lost(), 4);
        assert_eq!(course(&rounds).recovery_ms(5500), Some(10_250.0 - 5500.0));
    }

    #[test]
    fn a_gap_right_before_the_end_is_a_loss_and_an_end_in_losses_is_no_recovery() {
        let rounds = [round(5, 10, 0), round(7, 10, 0)];
        assert_eq!((course(&rounds).lost(), course(&rounds).recovery_ms(5000)), (1, Some(2250.0)));
        let rounds = [round(5, 10, 0), round(6, 10, 10)];
        assert_eq!((course(&rounds).lost(), course(&rounds).recovery_ms(5000)), (1, None));
    }

    #[test]
    fn texts_are_lost_when_they_are_overtaken_and_late_when_they_take_longer_than_usual() {
        let texts = Texts::parse(
            "pair,side,text,ready_round,left_round,arrived_round\n\
             0,0,0,1,5,6\n0,0,1,1,6,7\n0,0,2,7,8,12\n0,0,3,8,13,\n0,1,0,1,5,6\n0,1,1,1,6,\n0,1,2,6,7,8\n0,1,3,8,,\n",
        );
        assert_eq!(texts.lost(), 1);
        // Usual is one round; those that have not arrived have taken 1 and 8 by round 14.
        assert_eq!(texts.delays(14), [0, 0, 3, 0, 0, 7, 0]);
        assert_eq!((Texts::default().lost(), Texts::default().delays(9)), (0, Vec::new()));
    }
}
