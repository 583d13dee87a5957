//! Games against simulated rounds of a point.

use hippodrome_privacy::{
    PrivacyError,
    attack::{
        Games, Score, Setting, churn,
        partner::{self, Partner},
        talk,
    },
    quantity::Delta,
};
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::seeds::Seed;

/// What an attacker found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// ε that guesses of talk show at least, over the rounds of a game, with the confidence that was asked for.
    pub shown: f64,
    /// The same, if the loss of all rounds is normal.
    pub shown_if_normal: f64,
    /// Share of right guesses.
    pub accuracy: f64,
    /// What links tell of whom she talks with; none where they were not looked at.
    pub whom: Option<Whom>,
    /// When the partner is found if people come and go; none where nobody has played that.
    pub intersection: Option<Intersection>,
}

/// What is known of the partner after the rounds of a game.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whom {
    /// Entropy of the posterior over all candidates, on the average.
    pub entropy_bits: f64,
    /// Place of the partner by likelihood, from 1, on the average.
    pub rank: f64,
}

/// When the partner was first and stayed so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intersection {
    /// After so many rounds in half of the games, or the rounds that were played.
    pub rounds: u32,
    /// Whether it takes longer.
    pub is_longer: bool,
    /// How often the partner was first in the end.
    pub first: f64,
}

/// Plays all games in a setting.
pub(super) fn all(setting: &Setting, ask: &Settings, seed: &Seed) -> Result<Found, PrivacyError> {
    let searches = Games { games: ask.searches, rounds: ask.game_rounds, seed: seed.of("whom", 0).number() };
    let Partner { entropy_bits, rank, .. } = partner::search(setting, &searches, ask.candidates)?;
    Ok(Found { whom: Some(Whom { entropy_bits, rank }), ..counts(setting, ask, seed)? })
}

/// Plays those in which counts are all that is looked at.
pub(super) fn counts(setting: &Setting, ask: &Settings, seed: &Seed) -> Result<Found, PrivacyError> {
    let games = |part, games, rounds| Games { games, rounds, seed: seed.of(part, 0).number() };
    let talk = talk::play(setting, &games("talk", ask.games, ask.game_rounds), Delta::new(ask.delta)?, ask.doubt)?;
    let long = games("come and go", ask.searches, ask.long_rounds);
    let churn = churn::intersect(setting, &long, ask.candidates, ask.online)?;
    let intersection = Intersection { rounds: churn.rounds_to_first, is_longer: churn.is_longer, first: churn.first };
    Ok(Found {
        shown: talk.shown.value(),
        shown_if_normal: talk.shown_if_normal.value(),
        accuracy: talk.accuracy,
        whom: None,
        intersection: Some(intersection),
    })
}

/// What somebody shows who sees the truth: every guess is right.
pub(super) fn truth(ask: &Settings) -> Result<Found, PrivacyError> {
    let each = u64::from(ask.games / 4);
    let score = Score { hits: each, talking: each, false_alarms: 0, idle: each };
    let shown = score.epsilon(Delta::new(ask.delta)?, ask.doubt)?.value();
    Ok(Found { shown, shown_if_normal: shown, accuracy: 1.0, whom: None, intersection: None })
}
