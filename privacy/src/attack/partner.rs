//! With whom of many does Alice talk?
//!
//! The attacker knows that she talks, in all rounds with the same person, and adds up what links between chains say of
//! each candidate. Counts of mailboxes are the same whoever it is, so with one chain nothing is found; candidates of
//! one input chain cannot be told apart.

use rayon::prelude::*;
use serde::Serialize;

use super::{
    Games, Setting, below,
    likelihood::LinkRatio,
    ranking::Standing,
    round::{Person, Simulator},
};
use crate::error::{PrivacyError, invalid};

/// Most people that Alice could talk with.
pub const MOST_CANDIDATES: u32 = 1 << 16;

/// What is known of her partner in the end, on the average of all games.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Partner {
    /// How they were played.
    #[serde(flatten)]
    pub games: Games,
    /// People that she could talk with, all of them online in every round.
    pub candidates: u32,
    /// Entropy of the posterior, in bits: the logarithm of the candidates if nothing is known.
    pub entropy_bits: f64,
    /// Place of her partner by likelihood, from 1; (candidates + 1)/2 if nothing is known.
    pub rank: f64,
    /// How often the likeliest candidate is her partner.
    pub first: f64,
}

/// Plays all games.
pub fn search(setting: &Setting, games: &Games, candidates: u32) -> Result<Partner, PrivacyError> {
    games.check()?;
    check_candidates(candidates)?;
    let simulator = Simulator::new(setting)?;
    let play = |game| play(setting, &simulator, games, game, candidates);
    let all: Vec<Standing> = (0..games.games).into_par_iter().map(play).collect();
    let Standing { entropy, rank, first } = Standing::mean(&all);
    Ok(Partner { games: *games, candidates, entropy_bits: entropy, rank, first })
}

pub(super) fn check_candidates(candidates: u32) -> Result<(), PrivacyError> {
    match (2..=MOST_CANDIDATES).contains(&candidates) {
        true => Ok(()),
        false => Err(invalid("candidates", candidates, "2 to 65536")),
    }
}

fn play(setting: &Setting, simulator: &Simulator, games: &Games, game: u32, candidates: u32) -> Standing {
    let mut rng = games.rng(game);
    let people: Vec<Person> = (0..=candidates).map(|_| simulator.person(&mut rng)).collect();
    let truth = below(candidates, &mut rng) as usize;
    let mut by_chain = vec![0.0; setting.chains as usize];
    for _ in 0..if setting.has_links() { games.rounds } else { 0 } {
        let seen = simulator.round(&people, Some(truth + 1), &mut rng);
        let Some(links) = LinkRatio::new(setting, &seen) else { continue };
        for (input, evidence) in by_chain.iter_mut().enumerate() {
            *evidence += links.of(people[0], Person { input });
        }
    }
    let evidence: Vec<f64> = people[1..].iter().map(|person| by_chain[person.input]).collect();
    Standing::of(&evidence, truth)
}
