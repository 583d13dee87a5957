//! How noise is drawn: as it should be, and otherwise.

use std::fmt;

use rand_chacha::{ChaCha20Rng, rand_core::Rng};
use serde::Serialize;

use super::below;
use crate::{
    counts::sum,
    error::{PrivacyError, invalid},
    noise::Noise,
    plan::Shape,
    quantity::Servers,
};

/// Most slots of all servers together.
const MOST_SLOTS: u64 = 1 << 16;

/// Most bits of a coarse sampler: its law is made value by value.
const MOST_BITS: u8 = 24;

/// How one server decides which of its slots are shared. All fill as many slots in every round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "mechanism", rename_all = "kebab-case")]
pub enum Mechanism {
    /// By an urn from integers alone: beta-binomial(`slots`, α, α). What servers do.
    Urn {
        /// Slots.
        slots: u32,
        /// α.
        shape: Shape,
    },
    /// A fair coin for each slot.
    Coins {
        /// Slots.
        slots: u32,
    },
    /// Poisson of the same mean, at most all slots.
    Poisson {
        /// Slots.
        slots: u32,
    },
    /// The urn's law, by a single number of so many bits that is looked up in it: values less likely than that never
    /// come. Samplers that work with floating-point numbers have such gaps.
    Coarse {
        /// Slots.
        slots: u32,
        /// α.
        shape: Shape,
        /// Bits.
        bits: u8,
    },
}

impl Mechanism {
    /// Slots that a server fills.
    pub fn slots(&self) -> u32 {
        match *self {
            Self::Urn { slots, .. } | Self::Coins { slots } | Self::Poisson { slots } | Self::Coarse { slots, .. } => {
                slots
            }
        }
    }

    /// The same with another number of slots.
    pub fn with_slots(self, slots: u32) -> Self {
        match self {
            Self::Urn { shape, .. } => Self::Urn { slots, shape },
            Self::Coins { .. } => Self::Coins { slots },
            Self::Poisson { .. } => Self::Poisson { slots },
            Self::Coarse { shape, bits, .. } => Self::Coarse { slots, shape, bits },
        }
    }

    /// With the least number of slots, at least as many, whose records fill all chains equally.
    pub(super) fn filling(self, chains: u32) -> Self {
        let least = (2 * u64::from(self.slots())).div_ceil(chains.into());
        let per_chain = if (least * u64::from(chains)).is_multiple_of(2) { least } else { least + 1 };
        self.with_slots(u32::try_from(per_chain * u64::from(chains) / 2).unwrap_or(u32::MAX))
    }

    pub(super) fn check(&self, servers: Servers) -> Result<(), PrivacyError> {
        let slots = u64::from(self.slots()) * u64::from(servers.count());
        if !(1..=MOST_SLOTS).contains(&slots) {
            return Err(invalid("slots of all servers", slots, "1 to 65536"));
        }
        match *self {
            Self::Urn { shape, .. } | Self::Coarse { shape, .. } if !is_small(shape) => {
                Err(invalid("shape", shape, "a fraction of numbers from 1 to 65535"))
            }
            Self::Coarse { bits, .. } if !(1..=MOST_BITS).contains(&bits) => Err(invalid("bits", bits, "1 to 24")),
            _ => Ok(()),
        }
    }

    /// Chances of 0, 1, …, all shared slots.
    fn law(&self) -> Result<Vec<f64>, PrivacyError> {
        let slots = u64::from(self.slots());
        match *self {
            Self::Urn { shape, .. } => of_noise(&Noise::beta_binomial(slots, shape.value())?, slots),
            Self::Coins { .. } => of_noise(&Noise::binomial(slots)?, slots),
            Self::Poisson { .. } => of_noise(&Noise::poisson(slots as f64 / 2.0)?, slots),
            Self::Coarse { shape, bits, .. } => {
                Ok(coarse(&of_noise(&Noise::beta_binomial(slots, shape.value())?, slots)?, bits))
            }
        }
    }

    /// Chances of 0, 1, … shared slots of so many servers together.
    pub(super) fn law_of(&self, servers: Servers) -> Result<Vec<f64>, PrivacyError> {
        let one = self.law()?;
        Ok((1..servers.count()).fold(one.clone(), |law, _| convolution(&law, &one)))
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Urn { slots, shape } => write!(f, "{slots} slots of shape {shape} by an urn"),
            Self::Coins { slots } => write!(f, "{slots} slots by fair coins"),
            Self::Poisson { slots } => write!(f, "{slots} slots, poisson({})", f64::from(*slots) / 2.0),
            Self::Coarse { slots, shape, bits } => write!(f, "{slots} slots of shape {shape} by {bits} bits"),
        }
    }
}

/// Whether an urn of this shape fits into 32 bits.
fn is_small(shape: Shape) -> bool {
    [shape.numerator, shape.denominator].iter().all(|part| (1..=0xffff).contains(part))
}

/// Masses up to `most`, which stands for all above.
fn of_noise(noise: &Noise, most: u64) -> Result<Vec<f64>, PrivacyError> {
    let counts = noise.sum(Servers::ONE)?;
    let (first, masses) = counts.masses();
    let mut law = vec![0.0; most as usize + 1];
    (first..).zip(masses).for_each(|(count, mass)| law[count.min(most) as usize] += mass);
    Ok(law)
}

/// What comes of a law if it is looked up at the middles of 2^bits equal parts.
fn coarse(law: &[f64], bits: u8) -> Vec<f64> {
    let parts = f64::from(1_u32 << bits);
    let (mut up_to, mut before) = (0.0, 0.0);
    let mut share = |mass: &f64| {
        up_to += mass;
        let middles = (up_to * parts - 0.5).ceil().clamp(before, parts);
        let share = (middles - before) / parts;
        before = middles;
        share
    };
    law.iter().map(&mut share).collect()
}

fn convolution(a: &[f64], b: &[f64]) -> Vec<f64> {
    let value = |x: usize| {
        let from = x.saturating_sub(b.len() - 1);
        sum(a[from..a.len().min(x + 1)].iter().zip(b[..=x - from].iter().rev()).map(|(a, b)| a * b))
    };
    (0..a.len() + b.len() - 1).map(value).collect()
}

/// Draws what one server draws.
pub(super) enum Sampler {
    /// p, q and slots.
    Urn(u32, u32, u32),
    /// Where a uniform 64-bit number passes from a value to the next.
    Table(Vec<u64>),
}

impl Sampler {
    pub(super) fn new(mechanism: &Mechanism) -> Result<Self, PrivacyError> {
        if let Mechanism::Urn { slots, shape } = *mechanism {
            return Ok(Self::Urn(shape.numerator, shape.denominator, slots));
        }
        let law = mechanism.law()?;
        // What roundoff has left goes to the last value that comes at all.
        let last = law.iter().rposition(|mass| *mass > 0.0).unwrap_or(0);
        let mut up_to = 0.0;
        let ends = law[..last].iter().map(|mass| {
            up_to += mass;
            (up_to * 2_f64.powi(64)) as u64
        });
        Ok(Self::Table(ends.collect()))
    }

    /// How many slots are shared.
    pub(super) fn draw(&self, rng: &mut ChaCha20Rng) -> u32 {
        match self {
            Self::Urn(p, q, slots) => (0..*slots)
                .fold(0, |shared, before| shared + u32::from(below(2 * p + q * before, rng) < p + q * shared)),
            Self::Table(ends) => {
                let number = rng.next_u64();
                ends.partition_point(|end| *end <= number) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    const SHAPE: Shape = Shape { numerator: 7, denominator: 2 };
    const SLOTS: u32 = 20;

    fn all() -> [Mechanism; 4] {
        [
            Mechanism::Urn { slots: SLOTS, shape: SHAPE },
            Mechanism::Coins { slots: SLOTS },
            Mechanism::Poisson { slots: SLOTS },
            Mechanism::Coarse { slots: SLOTS, shape: SHAPE, bits: 5 },
        ]
    }

    #[test]
    fn what_is_drawn_follows_the_law_that_the_attacker_knows() {
        for mechanism in all() {
            let (law, sampler) = (mechanism.law().expect("a law"), Sampler::new(&mechanism).expect("a law"));
            assert!((sum(law.iter().copied()) - 1.0).abs() < 1e-12, "{mechanism:?}");
            let (mut rng, mut counts) = (ChaCha20Rng::seed_from_u64(1), vec![0.0; law.len()]);
            (0..60_000).for_each(|_| counts[sampler.draw(&mut rng) as usize] += 1.0);
            for (count, mass) in counts.iter().zip(&law) {
                let expected = 60_000.0 * mass;
                assert!((count - expected).abs() <= 5.0 * expected.sqrt() + 1e-9, "{mechanism:?}: {count} {expected}");
            }
        }
    }

    #[test]
    fn a_coarse_sampler_has_the_urns_law_but_for_what_is_rare() {
        let [urn, .., coarse] = all();
        let fine = Mechanism::Coarse { slots: SLOTS, shape: SHAPE, bits: 24 };
        let laws = [urn, coarse, fine].map(|mechanism| mechanism.law().expect("a law"));
        let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart(&laws[0], &laws[2]) < 1e-6 && apart(&laws[0], &laws[1]) <= 1.0 / 32.0);
        assert!(laws[1][0] == 0.0 && laws[0][0] > 0.0 && laws[2][0] > 0.0, "the tails never come");
    }

    #[test]
    fn laws_of_several_servers_add_up() {
        let two = all()[0].law_of(Servers::new(2).expect("some")).expect("a law");
        let one = all()[0].law().expect("a law");
        assert_eq!(two.len(), 2 * SLOTS as usize + 1);
        assert!((two[1] - 2.0 * one[0] * one[1]).abs() < 1e-15 && (sum(two.iter().copied()) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_no_server_can_draw_is_refused() {
        let none = Shape { numerator: 0, denominator: 1 };
        assert!(Mechanism::Urn { slots: 10, shape: none }.check(Servers::ONE).is_err());
        assert!(Mechanism::Coarse { slots: 10, shape: SHAPE, bits: 25 }.check(Servers::ONE).is_err());
        assert!(Mechanism::Coins { slots: 0 }.check(Servers::ONE).is_err());
        assert!(Mechanism::Coins { slots: 10 }.check(Servers::ONE).is_ok());
    }
}
