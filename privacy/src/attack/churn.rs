//! With whom does Alice talk, if people come and go?
//!
//! Everybody sees who submits. Alice is always there and talks whenever her partner is; candidates are online at
//! random. The attacker adds up, for each of them, how much likelier talk was in the rounds in which that candidate was
//! there: mailbox counts alone, for which this is the exact likelihood ratio. No noise hides who is online; it hides
//! whether there was talk.

use rand_chacha::{ChaCha20Rng, rand_core::Rng};
use rayon::prelude::*;
use serde::Serialize;

use super::{
    Games, Setting, below, likelihood::MailboxRatio, partner::check_candidates, ranking::Standing, round::Simulator,
};
use crate::error::{PrivacyError, invalid};

/// How long it took to find her partner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Churn {
    /// How the games were played.
    #[serde(flatten)]
    pub games: Games,
    /// People that she could talk with.
    pub candidates: u32,
    /// The chance of each to be online in a round.
    pub online: f64,
    /// Rounds after which her partner was the likeliest and stayed so to the end, in half of the games; all rounds, if
    /// it took longer.
    pub rounds_to_first: u32,
    /// Whether it took longer in half of the games, or never came.
    pub is_longer: bool,
    /// How often the likeliest candidate was her partner in the end: 1/candidates if nothing is known.
    pub first: f64,
    /// Entropy of the posterior in the end, in bits, on the average.
    pub entropy_bits: f64,
}

/// Plays all games.
pub fn intersect(setting: &Setting, games: &Games, candidates: u32, online: f64) -> Result<Churn, PrivacyError> {
    games.check()?;
    check_candidates(candidates)?;
    if !(online > 0.0 && online < 1.0) {
        return Err(invalid("online", online, "a chance between 0 and 1"));
    }
    let (simulator, ratio) = (Simulator::new(setting)?, MailboxRatio::new(setting)?);
    let crowd = Crowd { candidates, online: (online * 2_f64.powi(32)) as u32 };
    let play = |game| crowd.play(setting, &simulator, &ratio, games, game);
    let played: Vec<(u32, Standing)> = (0..games.games).into_par_iter().map(play).collect();
    let (found, standings): (Vec<u32>, Vec<Standing>) = played.into_iter().unzip();
    let median = median(found);
    let Standing { entropy, first, .. } = Standing::mean(&standings);
    Ok(Churn {
        games: *games,
        candidates,
        online,
        rounds_to_first: median.min(games.rounds),
        is_longer: median > games.rounds,
        first,
        entropy_bits: entropy,
    })
}

/// The upper one of two in the middle.
fn median(mut values: Vec<u32>) -> u32 {
    values.sort_unstable();
    values[values.len() / 2]
}

struct Crowd {
    candidates: u32,
    /// Below this a 32-bit number says that somebody is there.
    online: u32,
}

impl Crowd {
    fn is_online(&self, rng: &mut ChaCha20Rng) -> bool {
        rng.next_u32() < self.online
    }

    /// The round from which on the truth was the likeliest to the end, one more than all if it is not; and how it
    /// stands then.
    fn play(
        &self,
        setting: &Setting,
        simulator: &Simulator,
        ratio: &MailboxRatio,
        games: &Games,
        game: u32,
    ) -> (u32, Standing) {
        let mut rng = games.rng(game);
        let truth = below(self.candidates, &mut rng) as usize;
        let mut evidence = vec![0.0; self.candidates as usize];
        let mut first_from = 1;
        for round in 1..=games.rounds {
            let there: Vec<bool> = evidence.iter().map(|_| self.is_online(&mut rng)).collect();
            let talk = if there[truth] { setting.shift.by() } else { 0 };
            let told = ratio.of(simulator.noise(&mut rng) + talk);
            evidence.iter_mut().zip(&there).filter(|(_, there)| **there).for_each(|(sum, _)| *sum += told);
            let is_first = evidence.iter().enumerate().all(|(other, sum)| other == truth || *sum < evidence[truth]);
            first_from = if is_first { first_from } else { round + 1 };
        }
        (first_from, Standing::of(&evidence, truth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_the_middle() {
        assert_eq!((median(vec![5]), median(vec![9, 1, 4]), median(vec![1, 9, 2, 3])), (5, 4, 3));
    }
}
