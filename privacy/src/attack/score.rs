//! What guesses show.
//!
//! If they are right so often that noise of some (ε, δ) could not have let them be, the noise has less privacy than
//! that. Chances are bounded as Clopper and Pearson do, so what is found is found with the confidence that is asked
//! for, whatever the noise is; that nothing is found proves nothing.

use serde::Serialize;

use super::normal;
use crate::{
    binomial::at_least,
    error::{PrivacyError, invalid},
    quantity::{Delta, Epsilon},
};

/// How an attacker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Rounds of talk that were guessed to be so.
    pub hits: u64,
    /// Rounds of talk.
    pub talking: u64,
    /// Other rounds that were guessed to be of talk.
    pub false_alarms: u64,
    /// Other rounds.
    pub idle: u64,
}

impl Score {
    /// With one guess more.
    pub fn with(mut self, talks: bool, guess: bool) -> Self {
        let (of, guesses) = match talks {
            true => (&mut self.talking, &mut self.hits),
            false => (&mut self.idle, &mut self.false_alarms),
        };
        *of += 1;
        *guesses += u64::from(guess);
        self
    }

    /// The share of right guesses.
    pub fn accuracy(&self) -> f64 {
        let right = self.hits + self.idle - self.false_alarms;
        right as f64 / (self.talking + self.idle).max(1) as f64
    }

    /// The largest ε that these guesses rule out: noise of a smaller one, with this δ, lets guesses be so good with a
    /// probability of at most `doubt`.
    pub fn epsilon(&self, delta: Delta, doubt: f64) -> Result<Epsilon, PrivacyError> {
        Epsilon::new(self.shows(delta, check_doubt(doubt)?).max(0.0))
    }

    /// The ε of a normal loss that lets guesses be so good with a probability of at most `doubt`: more than
    /// [`epsilon`](Self::epsilon), since one threshold then tells about the whole curve. It holds as far as the loss of
    /// all rounds is normal: not for single rounds, nor where an edge shows the truth.
    pub fn normal_epsilon(&self, delta: Delta, doubt: f64) -> Result<Epsilon, PrivacyError> {
        let doubt = check_doubt(doubt)?;
        let (hits, false_alarms) = self.chances(doubt);
        Epsilon::new(normal::epsilon(normal::quantile(hits) - normal::quantile(false_alarms), delta))
    }

    /// [`epsilon`](Self::epsilon) as it comes out, below 0 too. With both bounds both stories are judged.
    pub(super) fn shows(&self, delta: Delta, doubt: f64) -> f64 {
        let (hits, false_alarms) = self.chances(doubt);
        let of = |often: f64, seldom: f64| ((often - delta.value()).max(0.0) / seldom).ln();
        of(hits, false_alarms).max(of(1.0 - false_alarms, 1.0 - hits))
    }

    /// The least chance of hits and the largest of false alarms, which share the doubt.
    fn chances(&self, doubt: f64) -> (f64, f64) {
        let hits = at_least(self.hits, self.talking, doubt / 2.0);
        (hits, 1.0 - at_least(self.idle - self.false_alarms, self.idle, doubt / 2.0))
    }
}

fn check_doubt(doubt: f64) -> Result<f64, PrivacyError> {
    match doubt > 0.0 && doubt < 1.0 {
        true => Ok(doubt),
        false => Err(invalid("doubt", doubt, "between 0 and 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::{Account, Resolution},
        quantity::Rounds,
    };

    #[test]
    fn guesses_that_are_always_right_show_no_more_than_their_number_allows() {
        let score = Score { hits: 100, talking: 100, false_alarms: 0, idle: 100 };
        let shown = score.epsilon(Delta::new(0.0).expect("a chance"), 0.05).expect("a doubt").value();
        assert!((3.2..3.4).contains(&shown), "{shown}");
        assert_eq!(score.accuracy(), 1.0);
        let even = Score { hits: 50, talking: 100, false_alarms: 50, idle: 100 };
        assert_eq!(even.epsilon(Delta::new(0.0).expect("a chance"), 0.05), Ok(Epsilon::ZERO));
        assert!(score.epsilon(Delta::new(0.0).expect("a chance"), 0.0).is_err());
        assert_eq!(Score::default().epsilon(Delta::new(0.0).expect("a chance"), 0.05), Ok(Epsilon::ZERO));
    }

    #[test]
    fn one_threshold_shows_the_whole_of_a_normal_loss() {
        // With μ = 1 a threshold halfway is passed by 69 % of the one kind, and 31 % of the other.
        let many = 10_000_000;
        let often = (normal::below(0.5) * many as f64) as u64;
        let score = Score { hits: often, talking: many, false_alarms: many - often, idle: many };
        let delta = Delta::new(1e-3).expect("a chance");
        let account = Account::new().with_gaussian(1.0, Rounds::ONE).expect("a parameter");
        let proved = account.compose(Resolution::Fine).expect("it fits").epsilon(delta).expect("there is one").value();
        let shown = score.normal_epsilon(delta, 0.05).expect("a doubt").value();
        assert!(shown < proved && shown > 0.995 * proved, "{shown} of {proved}");
        assert!(score.epsilon(delta, 0.05).expect("a doubt").value() < 0.5 * shown);
        let none = Score { hits: 5, talking: 10, false_alarms: 5, idle: 10 };
        assert_eq!(none.normal_epsilon(delta, 0.05), Ok(Epsilon::ZERO));
        assert!(none.normal_epsilon(delta, 1.0).is_err());
    }
}
