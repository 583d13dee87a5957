//! Does Alice talk with Bob?
//!
//! In each game a coin says so for all of its rounds. The attacker adds up the logarithms of the likelihood ratio. Half
//! of the games teach it where to draw the line, the other half are judged: what they show holds with the confidence
//! that is asked for, whatever was learnt.

use rand_chacha::rand_core::Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::{
    Games, Score, Setting,
    likelihood::{LinkRatio, MailboxRatio},
    round::Simulator,
};
use crate::{
    error::{PrivacyError, invalid},
    quantity::{Delta, Epsilon},
};

/// Lines that are tried, at most.
const LINES: usize = 400;

/// What came of the games that were judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Talk {
    /// How all were played.
    #[serde(flatten)]
    pub games: Games,
    /// δ of what is shown.
    pub delta: Delta,
    /// So seldom may what is shown be wrong.
    pub doubt: f64,
    /// Guesses with the line that showed most in games that were not judged.
    pub score: Score,
    /// ε that these guesses show at least, over all rounds, whatever the noise is.
    pub shown: Epsilon,
    /// ε that guesses at a line in the middle show at least, if the loss of all rounds is normal.
    pub shown_if_normal: Epsilon,
    /// Share of right guesses with the line in the middle.
    pub accuracy: f64,
}

/// A game that is over: the attacker's evidence of talk, and the truth.
#[derive(Clone, Copy, Debug)]
struct Played {
    evidence: f64,
    talks: bool,
}

/// Plays all games: at least four.
pub fn play(setting: &Setting, games: &Games, delta: Delta, doubt: f64) -> Result<Talk, PrivacyError> {
    games.check()?;
    if games.games < 4 {
        return Err(invalid("games", games.games, "at least four: half of them are for learning"));
    }
    let all = evidence(setting, games)?;
    let (known, judged) = all.split_at(all.len() / 2);
    let (best, middle) = lines(known, delta, doubt);
    let (score, halves) = (guessed(judged, best), guessed(judged, middle));
    Ok(Talk {
        games: *games,
        delta,
        doubt,
        score,
        shown: score.epsilon(delta, doubt)?,
        shown_if_normal: halves.normal_epsilon(delta, doubt)?,
        accuracy: halves.accuracy(),
    })
}

fn evidence(setting: &Setting, games: &Games) -> Result<Vec<Played>, PrivacyError> {
    let (simulator, mailboxes) = (Simulator::new(setting)?, MailboxRatio::new(setting)?);
    let play = |game: u32| {
        let mut rng = games.rng(game);
        let people = [simulator.person(&mut rng), simulator.person(&mut rng)];
        let talks = rng.next_u32() & 1 == 1;
        let round = |_| {
            if !setting.has_links() {
                let shared = if talks { setting.shift.by() } else { 0 };
                return mailboxes.of(simulator.noise(&mut rng) + shared);
            }
            let seen = simulator.round(&people, talks.then_some(1), &mut rng);
            let links = LinkRatio::new(setting, &seen).map_or(0.0, |links| links.of(people[0], people[1]));
            mailboxes.of(seen.shared()) + links
        };
        Played { evidence: (0..games.rounds).map(round).sum(), talks }
    };
    Ok((0..games.games).into_par_iter().map(play).collect())
}

/// The line that shows most in these games, and that which halves them.
fn lines(known: &[Played], delta: Delta, doubt: f64) -> (f64, f64) {
    let mut sorted: Vec<f64> = known.iter().map(|played| played.evidence).collect();
    sorted.sort_by(f64::total_cmp);
    let tried = sorted.iter().step_by(sorted.len().div_ceil(LINES));
    let shown = |line: f64| guessed(known, line).shows(delta, doubt);
    let best = tried.map(|&line| (line, shown(line))).max_by(|a, b| a.1.total_cmp(&b.1));
    let middle = sorted[sorted.len() / 2];
    (best.map_or(middle, |best| best.0), middle)
}

/// Guesses talk where there is evidence enough.
fn guessed(played: &[Played], line: f64) -> Score {
    played.iter().fold(Score::default(), |score, played| score.with(played.talks, played.evidence >= line))
}
