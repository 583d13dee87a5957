//! How much noise every server sends and of what kind: its volume is constant and public, what it does is random.
//!
//! A server's noise of a round is made of *slots*, two records each. `B` slots are shared: both records go to one fresh
//! mailbox. In the others each record has a fresh mailbox of its own. All that is seen of a round but public totals is
//! how many mailboxes have one access and how many have two, and one conversation moves those by (−2, +1): along the
//! very line along which `B` moves them. `B` follows the beta-binomial law with parameters (α, α), drawn by an urn
//! (Pólya's) from integers alone: samplers that use floating-point numbers are known to leak (Mironov, CCS 2012).

use std::{fmt, num::NonZeroU32, str::FromStr};

use hippodrome_crypto::{
    hash::{Digest, Hasher},
    permutation::below,
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

/// Most slots of a server: where only one chain is open, all its records go there, numbered by 16 bits.
pub const MAX_NOISE_SLOTS: u32 = 1 << 15;

/// The noise of every server, a property of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseParams {
    /// Slots of two records that each server fills in each round, at least: as many more as it takes to send every open
    /// input chain the same number of records. 0 is a network without noise.
    pub slots: u32,
    /// α: how far the number of shared slots spreads.
    pub shape: Shape,
    /// R, if every server pledges its noise, and each has one round's in R opened afterwards, so that it sends what it
    /// should. None: nobody sees what a server makes of its noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<NonZeroU32>,
    /// What it is said to hide. Whoever takes part checks that it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<Guarantee>,
}

/// (ε, δ) for everybody who submits in a number of rounds. In whole numbers, so that it is the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarantee {
    /// Rounds in which somebody submits, delivered or not.
    pub rounds: u64,
    /// ε, in millionths.
    pub epsilon_millionths: u32,
    /// δ, in billionths.
    pub delta_billionths: u32,
    /// What of it may be spent on saying that replies were spoiled; if nothing, no server ever says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies: Option<ReplyBudget>,
}

/// How often, and from how many on, servers say that replies to their noise were spoiled, in the whole life of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyBudget {
    /// Noisy limits that each server draws, ever: one serves until the server has spoken, or restarts.
    pub limits: u16,
    /// Noise of each limit and of each count: with 1 a limit costs a client of one slot ε = 1, with more it costs in
    /// proportion less, and as many more spoiled replies are borne.
    pub spread: u16,
}

impl Guarantee {
    /// ε and δ over so many rounds, rounded down to what can be stated. Nothing of it is for what is said of replies.
    pub fn new(rounds: u64, epsilon: f64, delta: f64) -> Self {
        // Down, but for what the last bit of a fraction is off.
        let parts = |value: f64, of_one: f64| (value * of_one + 1e-6).floor() as u32;
        Self { rounds, epsilon_millionths: parts(epsilon, 1e6), delta_billionths: parts(delta, 1e9), replies: None }
    }

    /// ε.
    pub fn epsilon(&self) -> f64 {
        f64::from(self.epsilon_millionths) / 1e6
    }

    /// δ.
    pub fn delta(&self) -> f64 {
        f64::from(self.delta_billionths) / 1e9
    }

    fn digest(&self) -> Digest {
        Hasher::new("hippodrome v1 guarantee")
            .number(self.rounds)
            .number(self.epsilon_millionths.into())
            .number(self.delta_billionths.into())
            .number(self.replies.map_or(0, |replies| replies.limits.into()))
            .number(self.replies.map_or(0, |replies| replies.spread.into()))
            .finish()
    }
}

impl NoiseParams {
    /// No noise, and no privacy.
    pub const NONE: Self = Self::uniform(0);

    /// Noise whose number of shared slots is uniform (α = 1): what stays best if fewer servers are honest than planned.
    pub const fn uniform(slots: u32) -> Self {
        Self { slots, shape: Shape { numerator: 1, denominator: 1 }, audit: None, guarantee: None }
    }

    /// Records that each server sends into each of `open` input chains: the least number that fills all planned slots
    /// and no half one.
    pub fn per_chain(&self, open: usize) -> u32 {
        let records = 2 * u64::from(self.slots);
        let Some(least) = (open > 0).then(|| records.div_ceil(open as u64)) else { return 0 };
        let per_chain = if (least * open as u64).is_multiple_of(2) { least } else { least + 1 };
        u32::try_from(per_chain).unwrap_or(u32::MAX)
    }

    /// Digest of everything that is stated.
    pub(crate) fn digest(&self) -> Digest {
        let hasher = Hasher::new("hippodrome v1 noise")
            .number(self.slots.into())
            .number(self.shape.numerator.into())
            .number(self.shape.denominator.into())
            .number(u64::from(self.guarantee.is_some()));
        let hasher = self.guarantee.iter().fold(hasher, |hasher, guarantee| hasher.digest(&guarantee.digest()));
        self.audit.iter().fold(hasher, |hasher, one_in| hasher.number(one_in.get().into())).finish()
    }

    /// Most records that a server may send into one chain: all, where only one is open.
    pub fn most_per_chain(&self) -> u32 {
        self.slots.saturating_mul(2)
    }
}

/// α, as a fraction, so that the urn needs integers only. Written `7/2` or `1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shape {
    numerator: u16,
    denominator: u16,
}

/// Text that is no shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the shape of noise: expected a fraction of two whole numbers from 1 to 65535, as in 7/2 or 1")]
pub struct BadShape(String);

impl Shape {
    /// The fraction; none if one of its parts is 0.
    pub fn new(numerator: u16, denominator: u16) -> Option<Self> {
        (numerator > 0 && denominator > 0).then_some(Self { numerator, denominator })
    }

    /// The nearest number that a machine has.
    pub fn value(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => self.numerator.fmt(f),
            _ => write!(f, "{}/{}", self.numerator, self.denominator),
        }
    }
}

impl FromStr for Shape {
    type Err = BadShape;

    fn from_str(text: &str) -> Result<Self, BadShape> {
        let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
        let part = |text: &str| text.trim().parse().ok();
        let shape = part(numerator).zip(part(denominator)).and_then(|(p, q)| Self::new(p, q));
        shape.ok_or_else(|| BadShape(text.to_owned()))
    }
}

impl TryFrom<String> for Shape {
    type Error = BadShape;

    fn try_from(text: String) -> Result<Self, BadShape> {
        text.parse()
    }
}

impl From<Shape> for String {
    fn from(shape: Shape) -> Self {
        shape.to_string()
    }
}

/// How many of `slots` slots are shared: beta-binomial(`slots`, α, α), with one draw a slot whatever comes of it.
///
/// An urn with α = p/q: each slot is shared with probability (p + q·shared)/(2p + q·slots) over the slots before it.
/// At most [`MAX_NOISE_SLOTS`] slots and one more for each chain, so that the urn's content fits into 32 bits.
pub(crate) fn shared_slots<R: CryptoRng>(shape: Shape, slots: u32, rng: &mut R) -> u32 {
    let (p, q) = (u32::from(shape.numerator), u32::from(shape.denominator));
    (0..slots).fold(0, |shared, before| shared + u32::from(below(2 * p + q * before, rng) < p + q * shared))
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    fn shape(text: &str) -> Shape {
        text.parse().expect("a shape")
    }

    /// The law's weights, by the ratios of neighbours: f(b)/f(b−1) = (n−b+1)(b−1+α) / (b(n−b+α)).
    fn law(slots: u32, alpha: f64) -> Vec<f64> {
        let n = f64::from(slots);
        let mut weights = vec![1.0];
        for b in 1..=slots {
            let b = f64::from(b);
            let before = weights[weights.len() - 1];
            weights.push(before * (n - b + 1.0) * (b - 1.0 + alpha) / (b * (n - b + alpha)));
        }
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }

    fn drawn(slots: u32, shape: Shape, draws: u32, seed: u64) -> Vec<u32> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut counts = vec![0; slots as usize + 1];
        (0..draws).for_each(|_| counts[shared_slots(shape, slots, &mut rng) as usize] += 1);
        counts
    }

    /// How many standard deviations Pearson's statistic is above its mean, by the normal approximation of Wilson and
    /// Hilferty. Values that are expected fewer than ten times are taken together.
    fn deviation(counts: &[u32], law: &[f64]) -> f64 {
        let draws = f64::from(counts.iter().sum::<u32>());
        let mut cells: Vec<(f64, f64)> =
            counts.iter().zip(law).map(|(count, weight)| (f64::from(*count), draws * weight)).collect();
        let rare: Vec<_> = cells.extract_if(.., |(_, expected)| *expected < 10.0).collect();
        let rest = rare.iter().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        cells.extend((rest.1 > 0.0).then_some(rest));
        let statistic: f64 = cells.iter().map(|(count, expected)| (count - expected).powi(2) / expected).sum();
        let freedom = cells.len() as f64 - 1.0;
        let spread = 2.0 / (9.0 * freedom);
        ((statistic / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
    }

    #[test]
    fn the_number_of_shared_slots_follows_the_beta_binomial_law() {
        for (slots, text, seed) in [(12, "1", 1), (20, "7/2", 2), (50, "1/4", 3), (300, "7/2", 4), (2, "5", 5)] {
            let counts = drawn(slots, shape(text), 40_000, seed);
            let deviation = deviation(&counts, &law(slots, shape(text).value()));
            assert!(deviation < 4.8, "{slots} slots of shape {text}: off by {deviation} standard deviations");
        }
    }

    #[test]
    fn another_law_is_told_from_it() {
        let counts = drawn(20, shape("7/2"), 40_000, 6);
        assert!(deviation(&counts, &law(20, 3.0)) > 4.8, "another shape");
        let shifted: Vec<u32> = [&counts[20..], &counts[..20]].concat();
        assert!(deviation(&shifted, &law(20, 3.5)) > 4.8, "one too many");
        let fair = drawn(20, shape("65535/1"), 40_000, 7);
        assert!(deviation(&fair, &law(20, 3.5)) > 4.8, "a fair coin for each slot");
    }

    #[test]
    fn the_tails_are_as_heavy_as_they_should_be() {
        // Where noise runs out, privacy does: the chance that (nearly) no slot is shared, or nearly all.
        let (slots, draws) = (200, 100_000_u32);
        let (counts, law) = (drawn(slots, shape("3/2"), draws, 8), law(slots, 1.5));
        for width in [1, 3, 10] {
            let ends = |weights: &[f64]| {
                let upper: f64 = weights.iter().rev().take(width).sum();
                [weights.iter().take(width).sum(), upper]
            };
            let counted: Vec<f64> = counts.iter().map(|count| f64::from(*count)).collect();
            for (seen, chance) in ends(&counted).into_iter().zip(ends(&law)) {
                let expected = chance * f64::from(draws);
                assert!((seen - expected).abs() < 5.0 * expected.sqrt(), "{width}: {seen}, expected {expected}");
            }
        }
    }

    #[test]
    fn every_open_chain_gets_the_same_number_of_records_and_every_planned_slot_is_filled() {
        for slots in [0, 1, 5, 12, 100, 4_716, MAX_NOISE_SLOTS] {
            let noise = NoiseParams::uniform(slots);
            for open in 1..40_usize {
                let total = noise.per_chain(open) as usize * open;
                assert!(total.is_multiple_of(2) && total >= 2 * slots as usize, "{slots} slots in {open} chains");
                assert!(total < 2 * slots as usize + 2 * open, "no more than it takes");
                assert!(noise.per_chain(open) <= noise.most_per_chain());
            }
        }
        assert_eq!(NoiseParams::uniform(7).per_chain(0), 0);
    }

    #[test]
    fn shapes_are_fractions_of_whole_numbers() {
        for text in ["7/2", "1", "1/4", "65535/65535"] {
            assert_eq!(shape(text).to_string(), text);
        }
        assert_eq!(shape("3/1").to_string(), "3");
        for text in ["", "0", "1/0", "0/1", "3.5", "-1", "1/2/3", "65536", "a/b"] {
            assert_eq!(text.parse::<Shape>(), Err(BadShape(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn the_largest_urn_fits() {
        let largest = Shape::new(u16::MAX, u16::MAX).expect("a shape");
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        assert!(shared_slots(largest, MAX_NOISE_SLOTS, &mut rng) <= MAX_NOISE_SLOTS);
    }
}
