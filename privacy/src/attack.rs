//! What somebody finds out who sees everything that may be seen, and tries: games against simulated noise, which show
//! how much the noise hides at most. A proof says how much it hides at least.
//!
//! Rounds are simulated as servers make them: the number of shared slots by Pólya's urn from integers alone, records
//! dealt to input chains by one permutation, a fresh output chain for each mailbox, a fresh middle chain for each
//! record. The attacker has counts of mailboxes on each output chain and the numbers of records from chain to chain,
//! and knows the law of the noise. All of it follows from a seed, on however many cores games are played at a time.
//!
//! * [`talk`]: does Alice talk with Bob? An upper bound on what noise can hide, with a confidence.
//! * [`partner`]: with whom of many does she talk?
//! * [`churn`]: the same if people come and go, and it is seen who is there.
//! * [`guess`] and [`score`]: guesses in single rounds, also of real networks, and what they show.
//!
//! Where links between chains are seen the attacker's likelihood ratio is right to leading order only: what it shows
//! holds all the same, but somebody might show more.

pub mod churn;
pub mod guess;
mod likelihood;
pub mod mechanism;
mod normal;
pub mod partner;
mod ranking;
mod round;
pub mod score;
pub mod talk;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::Serialize;

pub use self::{
    guess::{Attacker, Round},
    mechanism::Mechanism,
    score::Score,
};
use crate::{
    error::{PrivacyError, invalid},
    links::Layers,
    quantity::{Servers, Shift},
};

/// Most chains: links are matrices, one for each pair of layers.
const MOST_CHAINS: u32 = 256;

/// Who makes noise, where it goes, and what is to be hidden in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Setting {
    servers: Servers,
    layers: Layers,
    chains: u32,
    shift: Shift,
    noise: Mechanism,
}

impl Setting {
    /// Each of `servers` honest servers makes `noise`, with as many more slots as it takes to fill all of `chains`
    /// chains equally. People have as many slots as `shift` says, and talk in all of them or in none.
    pub fn new(
        servers: Servers,
        layers: Layers,
        chains: u32,
        shift: Shift,
        noise: Mechanism,
    ) -> Result<Self, PrivacyError> {
        if !(1..=MOST_CHAINS).contains(&chains) || (layers == Layers::One && chains != 1) {
            return Err(invalid("chains", chains, "1 to 256, 1 where there is one layer"));
        }
        let noise = noise.filling(chains);
        noise.check(servers)?;
        Ok(Self { servers, layers, chains, shift, noise })
    }

    /// Noise of one server, with all slots that it fills.
    pub fn noise(&self) -> &Mechanism {
        &self.noise
    }

    /// Whether records are seen to go from chain to chain.
    fn has_links(&self) -> bool {
        self.layers != Layers::One && self.chains > 1
    }
}

/// How often a game is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Games {
    /// How many games.
    pub games: u32,
    /// Rounds of each.
    pub rounds: u32,
    /// Everything that is random follows from it.
    pub seed: u64,
}

impl Games {
    fn check(&self) -> Result<(), PrivacyError> {
        match self.games > 0 && self.rounds > 0 {
            true => Ok(()),
            false => Err(invalid("games and rounds", self.games.min(self.rounds), "at least 1")),
        }
    }

    /// What is random in one of the games.
    fn rng(&self, game: u32) -> ChaCha20Rng {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        rng.set_stream(game.into());
        rng
    }
}

/// A number below `bound`, each as likely as any other (Lemire, ACM Trans. Model. Comput. Simul. 29, 2019).
fn below(bound: u32, rng: &mut ChaCha20Rng) -> u32 {
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        let low = product as u32;
        if low >= bound || low >= bound.wrapping_neg() % bound {
            return (product >> 32) as u32;
        }
    }
}

/// Puts values into an order that is uniformly random.
fn shuffle<T>(values: &mut [T], rng: &mut ChaCha20Rng) {
    for last in (1..values.len()).rev() {
        values.swap(last, below(last as u32 + 1, rng) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_orders_are_uniform() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut orders = std::collections::BTreeMap::new();
        for _ in 0..48_000 {
            let mut order = [0, 1, 2, 3];
            shuffle(&mut order, &mut rng);
            *orders.entry(order).or_insert(0_i32) += 1;
        }
        assert!(orders.len() == 24 && orders.values().all(|count| (count - 2000).abs() < 220), "{orders:?}");
        let mut sixths = [0; 6];
        (0..60_000).for_each(|_| sixths[below(6, &mut rng) as usize] += 1);
        assert!(sixths.iter().all(|count: &i32| (count - 10_000).abs() < 460), "{sixths:?}");
    }

    #[test]
    fn a_setting_is_possible_or_refused() {
        let noise = Mechanism::Coins { slots: 10 };
        let of = |layers, chains| Setting::new(Servers::ONE, layers, chains, Shift::ONE, noise);
        assert_eq!(of(Layers::Two, 3).expect("possible").noise().slots(), 12, "records for three chains alike");
        assert_eq!(of(Layers::Two, 4).expect("possible").noise().slots(), 10);
        assert!(of(Layers::One, 2).is_err() && of(Layers::Two, 0).is_err() && of(Layers::Two, 257).is_err());
        let many = Mechanism::Coins { slots: 1 << 20 };
        assert!(Setting::new(Servers::ONE, Layers::One, 1, Shift::ONE, many).is_err());
        assert!(Games { games: 0, rounds: 1, seed: 0 }.check().is_err());
    }
}
