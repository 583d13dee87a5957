//! What the numbers of records from chain to chain tell.
//!
//! With several chains the adversary sees how many records went from each input chain to each output chain. A mailbox
//! lies on a uniformly random output chain that is fresh and secret each round, so these numbers tell about one person
//! only to second order: two bumps must coincide. The formulas here are the variance of the logarithm of the likelihood
//! ratio, to leading order, for a loss that is normal in the limit.
//!
//! **Simulated, not proved.** Exact likelihood ratios agreed with them within 15 %, hence [`SAFETY`]. They hold for one
//! slot; for more, the shift is taken to multiply the loss, as it does for groups.

use serde::Serialize;

use crate::{
    error::{PrivacyError, invalid},
    quantity::Shift,
};

/// Factor on the variance: simulation found up to 1.15.
pub const SAFETY: f64 = 1.25;

/// Layers of chains that a record passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "u8")]
pub enum Layers {
    /// A single chain.
    One,
    /// An input and an output chain, fixed by the client's number and by the mailbox.
    Two,
    /// A uniformly random chain between the two.
    Three,
}

impl From<Layers> for u8 {
    fn from(layers: Layers) -> Self {
        match layers {
            Layers::One => 1,
            Layers::Two => 2,
            Layers::Three => 3,
        }
    }
}

impl TryFrom<u8> for Layers {
    type Error = PrivacyError;

    fn try_from(count: u8) -> Result<Self, PrivacyError> {
        match count {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            3 => Ok(Self::Three),
            _ => Err(invalid("layers", count, "1 to 3")),
        }
    }
}

/// Two stories that differ in what somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// Alice talks with Bob, or both are idle.
    TalkingOrIdle,
    /// Alice talks with Bob, or with Charlie; mailboxes tell nothing.
    BobOrCharlie,
}

/// What honest servers send in a round, all of them together, half of it in pairs on the average.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    /// Layers of chains.
    pub layers: Layers,
    /// Open chains in each layer.
    pub chains: u32,
    /// Honest noise records in a round.
    pub records: f64,
}

impl Links {
    /// μ of one round's normal loss, with the safety factor; none where there are no links to see.
    pub fn mu(&self, neighbours: Neighbours, shift: Shift) -> Option<f64> {
        (self.are_seen()).then(|| f64::from(shift.by()) * (SAFETY * self.variance(neighbours)).sqrt())
    }

    /// The same if the adversary were told everyone's chains in every round, mailbox counts included: a pair more on one
    /// chain, two lone records fewer, and one link instead of another.
    pub fn mu_with_chains_known(&self, shift: Shift) -> Option<f64> {
        let m = f64::from(self.chains);
        let variance = (2.0 * m * m + 8.0 * m) / self.records;
        (self.are_seen()).then(|| f64::from(shift.by()) * variance.sqrt())
    }

    fn are_seen(&self) -> bool {
        self.layers != Layers::One && self.chains > 1
    }

    /// Variance of one round's loss.
    fn variance(&self, neighbours: Neighbours) -> f64 {
        let (m, all) = (f64::from(self.chains), self.records);
        // Of the shares of lone records and of pairs among the output chains: 1/M1 + 1/M2 at L/2 and L/4.
        let shares = 6.0 / all;
        let others = 1.0 - 1.0 / m;
        match (self.layers, neighbours) {
            (Layers::One, _) => 0.0,
            (Layers::Two, Neighbours::TalkingOrIdle) => {
                m.powi(3) / all.powi(2) * others.powi(3) + 2.0 * m * m / all * others * (1.0 - 2.0 / m) * shares
            }
            (Layers::Two, Neighbours::BobOrCharlie) => {
                2.0 * m.powi(3) / all.powi(2) * others.powi(3) + 2.0 * m * m / all * others * shares
            }
            (Layers::Three, neighbours) => {
                let per_link = all / (m * m);
                let both = 1.0 / (per_link.powi(4) * m.powi(3));
                // Charlie's links are a second chance to coincide.
                let times = if neighbours == Neighbours::BobOrCharlie { 2.0 } else { 1.0 };
                2.0 * m.powi(3) / all.powi(2) * shares + times * both
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(layers: Layers, chains: u32, records: f64) -> Links {
        Links { layers, chains, records }
    }

    #[test]
    fn one_chain_has_no_links() {
        assert_eq!(links(Layers::One, 1, 100.0).mu(Neighbours::TalkingOrIdle, Shift::ONE), None);
        assert_eq!(links(Layers::Three, 1, 100.0).mu(Neighbours::BobOrCharlie, Shift::ONE), None);
        assert_eq!(links(Layers::Two, 1, 100.0).mu_with_chains_known(Shift::ONE), None);
    }

    #[test]
    fn the_formulas_are_those_of_the_notes() {
        // m = 10, L = 2000, by hand: 1000/4·10^6·0.729 + 200/2000·0.9·0.8·0.003, and with 2·, without 0.8.
        let two = links(Layers::Two, 10, 2000.0);
        assert!((two.variance(Neighbours::TalkingOrIdle) - (1.8225e-4 + 2.16e-4)).abs() < 1e-12);
        assert!((two.variance(Neighbours::BobOrCharlie) - (3.645e-4 + 2.7e-4)).abs() < 1e-12);
        // 20 noise records a link: 2000/4·10^6·0.003 + 1/(160000·1000).
        let three = links(Layers::Three, 10, 2000.0);
        assert!((three.variance(Neighbours::TalkingOrIdle) - (1.5e-6 + 6.25e-9)).abs() < 1e-15);
        let mu = three.mu(Neighbours::TalkingOrIdle, Shift::ONE).expect("links");
        assert!((mu * mu - 1.25 * 1.50625e-6).abs() < 1e-15);
        let twice = three.mu(Neighbours::TalkingOrIdle, Shift::new(2).expect("a shift")).expect("links");
        assert!((twice - 2.0 * mu).abs() < 1e-12);
    }

    #[test]
    fn known_chains_tell_far_more() {
        let two = links(Layers::Two, 10, 2000.0);
        let secret = two.mu(Neighbours::BobOrCharlie, Shift::ONE).expect("links");
        assert!(two.mu_with_chains_known(Shift::ONE).expect("links") > 10.0 * secret);
    }
}
