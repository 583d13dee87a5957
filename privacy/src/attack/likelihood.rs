//! How much likelier what was seen is if people talk.

use super::{
    Setting,
    round::{Person, Seen},
};
use crate::error::PrivacyError;

/// Nothing counts for more than this, so that what is impossible in one story stays a number.
const MOST: f64 = 700.0;

/// ln P[seen | talk]/P[seen | idle], of mailbox counts: exact.
pub(super) struct MailboxRatio {
    law: Vec<f64>,
    shift: usize,
}

impl MailboxRatio {
    pub(super) fn new(setting: &Setting) -> Result<Self, PrivacyError> {
        Ok(Self { law: setting.noise.law_of(setting.servers)?, shift: setting.shift.by() as usize })
    }

    /// Of a number of mailboxes with two accesses: all else follows from public totals.
    pub(super) fn of(&self, shared: u32) -> f64 {
        let mass = |count: Option<usize>| count.and_then(|count| self.law.get(count)).copied().unwrap_or(0.0);
        let (idle, talking) = (mass(Some(shared as usize)), mass((shared as usize).checked_sub(self.shift)));
        match idle > 0.0 || talking > 0.0 {
            true => (talking / idle).ln().clamp(-MOST, MOST),
            false => 0.0,
        }
    }
}

/// The same of links, given the counts: what the coincidence of two people's records on an output chain says of their
/// talk. Exact for two layers, one slot and records on independent input chains; otherwise to leading order.
pub(super) struct LinkRatio<'a> {
    seen: &'a Seen,
    /// Records on each output chain.
    total: Vec<f64>,
    /// Records that arrived in each middle chain, if there are any.
    middle: Option<Vec<f64>>,
    slots: f64,
}

impl<'a> LinkRatio<'a> {
    /// None where no links are seen.
    pub(super) fn new(setting: &Setting, seen: &'a Seen) -> Option<Self> {
        let first = seen.first.as_ref()?;
        let chains = setting.chains as usize;
        let total = seen.once.iter().zip(&seen.twice).map(|(once, twice)| f64::from(once + 2 * twice));
        let arrived = |middle: usize| (0..chains).map(|input| f64::from(first.row(input)[middle])).sum::<f64>();
        let middle = seen.second.is_some().then(|| (0..chains).map(arrived).collect());
        Some(Self { seen, total: total.collect(), middle, slots: f64::from(setting.shift.by()) })
    }

    /// The logarithm for two people: that they talk in all slots, against that both are idle.
    pub(super) fn of(&self, alice: Person, bob: Person) -> f64 {
        let (a, b) = (self.arrivals(alice), self.arrivals(bob));
        let both = self.both(alice, bob, &a, &b);
        let ratio = self.together(&both) / self.apart(&a, &b, &both);
        let one = if ratio.is_nan() { 0.0 } else { ratio.ln() };
        (self.slots * one).clamp(-MOST, MOST)
    }

    /// How many records of somebody's input chain came to each output chain, as far as can be told.
    fn arrivals(&self, person: Person) -> Vec<f64> {
        match (&self.seen.second, self.shares(person)) {
            (Some(second), Some(shares)) => {
                let way = |output: usize| {
                    shares.iter().enumerate().map(|(r, share)| share * f64::from(second.row(r)[output])).sum()
                };
                (0..self.total.len()).map(way).collect()
            }
            _ => self.first_row(person),
        }
    }

    fn first_row(&self, person: Person) -> Vec<f64> {
        let row = self.seen.first.as_ref().map(|links| links.row(person.input));
        row.unwrap_or_default().iter().map(|count| f64::from(*count)).collect()
    }

    /// The chance of a record that left a middle chain to have come from somebody's input chain.
    fn shares(&self, person: Person) -> Option<Vec<f64>> {
        let arrived = self.middle.as_ref()?;
        let share = |(count, all): (f64, &f64)| if *all > 0.0 { count / all } else { 0.0 };
        Some(self.first_row(person).into_iter().zip(arrived).map(share).collect())
    }

    /// Ordered pairs of different records on each output chain, one from each one's input chain.
    fn both(&self, alice: Person, bob: Person, a: &[f64], b: &[f64]) -> Vec<f64> {
        let products = a.iter().zip(b).map(|(a, b)| a * b);
        match (&self.seen.second, self.shares(alice).zip(self.shares(bob))) {
            (Some(second), Some((x, y))) => {
                let same = |output: usize| {
                    let squares = x.iter().zip(&y).enumerate();
                    squares.map(|(r, (x, y))| x * y * f64::from(second.row(r)[output])).sum::<f64>()
                };
                products.enumerate().map(|(output, product)| product - same(output)).collect()
            }
            _ if alice.input == bob.input => a.iter().map(|a| a * (a - 1.0)).collect(),
            _ => products.collect(),
        }
    }

    /// The chance that the two records of a pair came from these two chains.
    fn together(&self, both: &[f64]) -> f64 {
        let pairs: f64 = self.seen.twice.iter().map(|count| f64::from(*count)).sum();
        let terms = self.seen.twice.iter().zip(both).zip(&self.total);
        terms.map(|((twice, both), total)| 2.0 * f64::from(*twice) * both / pairs_of(*total)).sum::<f64>()
            / (2.0 * pairs)
    }

    /// The chance that two lone records did.
    fn apart(&self, a: &[f64], b: &[f64], both: &[f64]) -> f64 {
        let lone: Vec<f64> = self.seen.once.iter().map(|count| f64::from(*count)).collect();
        let all: f64 = lone.iter().sum();
        let of = |arrivals: &[f64]| -> Vec<f64> {
            let terms = arrivals.iter().zip(&lone).zip(&self.total);
            terms.map(|((count, lone), total)| if *total > 0.0 { lone * count / total } else { 0.0 }).collect()
        };
        let (x, y) = (of(a), of(b));
        let elsewhere =
            x.iter().sum::<f64>() * y.iter().sum::<f64>() - x.iter().zip(&y).map(|(x, y)| x * y).sum::<f64>();
        let terms = lone.iter().zip(both).zip(&self.total);
        let here: f64 = terms.map(|((lone, both), total)| lone * (lone - 1.0) * both / pairs_of(*total)).sum();
        (elsewhere + here) / pairs_of(all)
    }
}

/// Ordered pairs of so many; 1 where there are none, since then nothing is divided.
fn pairs_of(count: f64) -> f64 {
    (count * (count - 1.0)).max(1.0)
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::{
        attack::{Mechanism, round::Simulator},
        links::{Layers, Links, Neighbours},
        plan::Shape,
        quantity::{Servers, Shift},
    };

    fn setting(layers: Layers, chains: u32, slots: u32, shift: u32) -> Setting {
        let noise = Mechanism::Urn { slots, shape: Shape { numerator: 7, denominator: 2 } };
        let shift = Shift::new(shift).expect("some");
        Setting::new(Servers::ONE, layers, chains, shift, noise).expect("possible")
    }

    #[test]
    fn mailbox_ratios_are_those_of_the_law() {
        let ratio = MailboxRatio::new(&setting(Layers::One, 1, 4, 2)).expect("a law");
        let of = |shared| ratio.of(shared);
        assert_eq!((of(0), of(1), of(5), of(6), of(7)), (-MOST, -MOST, MOST, MOST, 0.0));
        let sum: f64 = (2..=4).map(|shared| ratio.law[shared] * of(shared as u32).exp()).sum();
        assert!((sum - (ratio.law[0] + ratio.law[1] + ratio.law[2])).abs() < 1e-12, "a change of measure: {sum}");
    }

    #[test]
    fn link_ratios_spread_as_the_formulas_of_links_say() {
        // Idle people: the mean square of the ratio's logarithm is the loss's variance, to leading order.
        for (layers, chains, slots, least, most) in
            [(Layers::Two, 5, 500, 0.8, 1.3), (Layers::Three, 10, 500, 0.4, 1.1)]
        {
            let setting = setting(layers, chains, slots, 1);
            let simulator = Simulator::new(&setting).expect("possible");
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let people = [Person { input: 0 }, Person { input: 1 }];
            let ratio = |_| {
                let seen = simulator.round(&people, None, &mut rng);
                LinkRatio::new(&setting, &seen).expect("links are seen").of(people[0], people[1])
            };
            let ratios: Vec<f64> = (0..1500).map(ratio).collect();
            let mean = ratios.iter().sum::<f64>() / 1500.0;
            let found = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / 1500.0;
            let links = Links { layers, chains, records: 2.0 * f64::from(setting.noise().slots()) };
            let expected =
                links.mu(Neighbours::TalkingOrIdle, Shift::ONE).expect("links").powi(2) / crate::links::SAFETY;
            let share = found / expected;
            assert!((least..most).contains(&share), "{layers:?}: {found:e} for {expected:e}");
        }
    }

    #[test]
    fn what_is_impossible_stays_a_number() {
        for layers in [Layers::Two, Layers::Three] {
            let setting = setting(layers, 3, 3, 2);
            let simulator = Simulator::new(&setting).expect("possible");
            let mut rng = ChaCha20Rng::seed_from_u64(2);
            for partner in [None, Some(1)].repeat(50) {
                let people = [simulator.person(&mut rng), simulator.person(&mut rng)];
                let seen = simulator.round(&people, partner, &mut rng);
                let ratio = LinkRatio::new(&setting, &seen).expect("links").of(people[0], people[1]);
                assert!(ratio.abs() <= MOST, "{ratio}");
            }
        }
    }
}
