//! When a server speaks about bad replies to its own noise: the sparse-vector test.
//!
//! A server that answered to each bad reply would say which records are noise: spoil the two accesses of one mailbox, and
//! silence means that two people met there. So it compares the *number* of bad replies of a round, plus fresh noise,
//! with a threshold that has noise of its own, drawn once and kept until a claim (Dwork and Roth, *The Algorithmic
//! Foundations of Differential Privacy*, section 3.6; Lyu, Su and Li, PVLDB 10(6), 2017, algorithm 1). Rounds in which it
//! stays silent cost nothing more, however many there are. `paper-notes/src/receipts.md` has the derivation.
//!
//! The noise is the discrete Laplace distribution, sampled exactly with integers (Canonne, Kamath and Steinke, NeurIPS
//! 2020, algorithms 1 and 2): rounded floating point would give the threshold away bit by bit.

use hippodrome_crypto::permutation::below;
use rand_core::CryptoRng;

use crate::{
    ids::Round,
    marks::{Act, Marks},
    params::NetworkParams,
};

/// By how much one exchange can change the number of bad replies: both accesses of a pair.
const SENSITIVITY: u32 = 2;
/// Scale of the threshold's noise, in records: `SENSITIVITY / ε₁` with `ε₁ = 1/2`. Times the spread.
const THRESHOLD_SCALE: u32 = SENSITIVITY * 2;
/// Scale of each round's noise, in records: `2 · SENSITIVITY / ε₂` with `ε₂ = 1/2`, for one claim. Times the spread.
const ROUND_SCALE: u32 = 2 * SENSITIVITY * 2;
/// Bad replies that are borne at least, times the spread. A claim needs a bad record to show, so silence for want of one
/// must be as rare as the privacy argument's δ: the two noises together reach this far with probability below 2^-38 a round.
const TOLERATED_AT_LEAST: i64 = 240;
/// One bad reply in so many is borne beyond that.
const TOLERATED_SHARE: usize = 200;

/// What a network allows the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// All noise is so many times what one exchange takes for ε = 1: so many exchanges cost ε = 1 together.
    pub(crate) spread: u32,
    /// Thresholds that a server draws, ever; as many as it takes if none.
    pub(crate) limits: Option<u64>,
}

impl Terms {
    /// A network that states a guarantee says what of it may be spent: nothing, if it does not. In others everybody's
    /// exchanges together cost ε = 1 with every threshold.
    pub(crate) fn of(params: &NetworkParams) -> Option<Self> {
        match params.noise.guarantee {
            None => Some(Self { spread: params.slots.max(1).into(), limits: None }),
            Some(guarantee) => {
                guarantee.replies.map(|it| Self { spread: it.spread.into(), limits: Some(it.limits.into()) })
            }
        }
    }
}

/// A noisy threshold: how many bad replies are borne. Secret; kept until a claim, then drawn afresh.
pub(crate) struct Threshold {
    noise: i64,
    spread: u32,
}

impl Threshold {
    /// A new threshold, if the network allows this server one more. It is to be drawn whatever came, and is counted durably
    /// before it is used: a restart, which forgets it, costs one.
    pub(crate) fn new<R: CryptoRng>(terms: Terms, marks: &mut Marks, rng: &mut R) -> Option<Self> {
        if let Some(limits) = terms.limits {
            let drawn = marks.highest(Act::ReplyLimit).ok()?.map_or(0, |drawn| drawn.0);
            let next = Some(Round(drawn + 1)).filter(|next| next.0 <= limits)?;
            let _once = marks.claim(Act::ReplyLimit, next).ok()?;
        }
        Some(Self::draw(terms.spread, rng))
    }

    /// Draws a threshold's noise.
    fn draw<R: CryptoRng>(spread: u32, rng: &mut R) -> Self {
        Self { noise: laplace(THRESHOLD_SCALE * spread, rng), spread }
    }

    /// Whether `bad` of `records` replies are to be complained of; draws the round's noise. Once for each round; after a
    /// complaint the threshold is used up.
    pub(crate) fn is_passed<R: CryptoRng>(&self, bad: usize, records: usize, rng: &mut R) -> bool {
        let tolerated = (TOLERATED_AT_LEAST * i64::from(self.spread)).max((records / TOLERATED_SHARE) as i64);
        bad as i64 + laplace(ROUND_SCALE * self.spread, rng) >= tolerated + self.noise
    }
}

/// An integer with the discrete Laplace distribution: `k` with a probability proportional to `exp(−|k| / scale)`.
fn laplace<R: CryptoRng>(scale: u32, rng: &mut R) -> i64 {
    loop {
        let low = below(scale, rng);
        if !bernoulli_exp(low, scale, rng) {
            continue;
        }
        let mut high = 0_u32;
        while bernoulli_exp(1, 1, rng) {
            high += 1;
        }
        let magnitude = i64::from(low) + i64::from(scale) * i64::from(high);
        match below(2, rng) {
            // Zero has one sign only, or it would be drawn twice as often.
            0 if magnitude == 0 => {}
            0 => return -magnitude,
            _ => return magnitude,
        }
    }
}

/// True with probability `exp(−numerator / denominator)`, for fractions of at most 1.
fn bernoulli_exp<R: CryptoRng>(numerator: u32, denominator: u32, rng: &mut R) -> bool {
    let mut terms = 1;
    while below(denominator * terms, rng) < numerator {
        terms += 1;
    }
    terms % 2 == 1
}

impl std::fmt::Debug for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Threshold(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    /// Probability of `k`.
    fn laplace_mass(scale: u32, k: i64) -> f64 {
        let ratio = (-1.0 / f64::from(scale)).exp();
        (1.0 - ratio) / (1.0 + ratio) * ratio.powf(k.unsigned_abs() as f64)
    }

    #[test]
    fn the_noise_has_the_discrete_laplace_distribution() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for scale in [1, THRESHOLD_SCALE, ROUND_SCALE] {
            const DRAWS: u32 = 60_000;
            let reach = 3 * i64::from(scale);
            let mut counts = vec![0_u32; 2 * reach as usize + 1];
            for _ in 0..DRAWS {
                if let Some(count) =
                    usize::try_from(laplace(scale, &mut rng) + reach).ok().and_then(|k| counts.get_mut(k))
                {
                    *count += 1;
                }
            }
            for (count, k) in counts.iter().zip(-reach..) {
                let expected = f64::from(DRAWS) * laplace_mass(scale, k);
                let deviation = (f64::from(*count) - expected).abs() / expected.sqrt();
                assert!(deviation < 5.5, "scale {scale}, {k}: {count} draws where {expected:.0} are expected");
            }
        }
    }

    #[test]
    fn a_round_without_bad_replies_passes_no_threshold() {
        // Exactly: the chance that the difference of the two noises reaches the least tolerance less one pair.
        let reach = 4000_i64;
        let tail = |scale: u32, from: i64| -> f64 { (from..from + reach).map(|k| laplace_mass(scale, k)).sum() };
        let least = TOLERATED_AT_LEAST - i64::from(SENSITIVITY);
        let passed: f64 = (-reach..reach)
            .map(|threshold| laplace_mass(THRESHOLD_SCALE, threshold) * tail_of(ROUND_SCALE, least + threshold, &tail))
            .sum();
        assert!(passed < 2_f64.powi(-38), "{passed:e}");
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let threshold = Threshold::draw(1, &mut rng);
        assert!((0..2000).all(|_| !threshold.is_passed(0, 1000, &mut rng)));
    }

    fn tail_of(scale: u32, from: i64, tail: &impl Fn(u32, i64) -> f64) -> f64 {
        if from > 0 { tail(scale, from) } else { 1.0 - tail(scale, 1 - from) }
    }

    #[test]
    fn replies_spoiled_beyond_the_tolerated_share_are_complained_of_at_once() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        for _ in 0..200 {
            let threshold = Threshold::draw(1, &mut rng);
            assert!(threshold.is_passed(2000, 200_000, &mut rng));
            assert!(threshold.is_passed(500, 1000, &mut rng));
            let wide = Threshold::draw(16, &mut rng);
            assert!(wide.is_passed(16 * 500, 16_000, &mut rng) && !wide.is_passed(500, 16_000, &mut rng));
        }
    }

    #[test]
    fn noise_grows_with_the_slots_of_a_client_and_a_stated_guarantee_says_what_is_spent() {
        use crate::noise::{Guarantee, NoiseParams, ReplyBudget};
        let of = |slots: u16, guarantee: Option<Guarantee>| {
            let noise = NoiseParams { guarantee, ..NoiseParams::uniform(6) };
            Terms::of(&NetworkParams { slots, noise, ..crate::params::tests::params() })
        };
        assert_eq!(of(1, None), Some(Terms { spread: 1, limits: None }));
        assert_eq!(of(5, None), Some(Terms { spread: 5, limits: None }), "five exchanges cost what one does");
        let stated = Guarantee { rounds: 10, epsilon_millionths: 1, delta_billionths: 1, replies: None };
        assert_eq!(of(1, Some(stated)), None, "what is not planned for is not spent");
        let budget = Guarantee { replies: Some(ReplyBudget { limits: 3, spread: 40 }), ..stated };
        assert_eq!(of(2, Some(budget)), Some(Terms { spread: 40, limits: Some(3) }));
    }

    #[test]
    fn a_server_draws_no_more_limits_than_are_planned_for_however_often_it_restarts() {
        use crate::marks::MemoryMarks;
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let store = MemoryMarks::default();
        let terms = Terms { spread: 7, limits: Some(3) };
        for is_left in [true, true, true, false, false] {
            let mut restarted = Marks::new(Box::new(store.clone()));
            assert_eq!(Threshold::new(terms, &mut restarted, &mut rng).is_some(), is_left);
        }
        let mut marks = Marks::new(Box::new(store));
        let more = Terms { limits: Some(4), ..terms };
        assert!(Threshold::new(more, &mut marks, &mut rng).is_some());
        assert!(Threshold::new(more, &mut marks, &mut rng).is_none());
        let endless = Terms { limits: None, ..terms };
        assert!((0..9).all(|_| Threshold::new(endless, &mut marks, &mut rng).is_some()));
    }

    #[test]
    fn noise_of_any_spread_hides_as_many_exchanges() {
        // With noise of scale `spread` times as large, `spread` exchanges are what one is with the least noise.
        for spread in [3, 40] {
            let (scale, shift) = (THRESHOLD_SCALE * spread, i64::from(SENSITIVITY * spread));
            let ratio = |scale: u32, k: i64, shift: i64| (laplace_mass(scale, k) / laplace_mass(scale, k + shift)).ln();
            for k in [-500, -3, 0, 1, 77, 500] {
                let all = ratio(scale, k, shift).abs() + 2.0 * ratio(ROUND_SCALE * spread, k, shift).abs();
                assert!(all <= 1.0 + 1e-9, "{all}");
            }
            let mut rng = ChaCha20Rng::seed_from_u64(4);
            let draws: Vec<f64> = (0..4000).map(|_| laplace(scale, &mut rng).abs() as f64).collect();
            let mean = draws.iter().sum::<f64>() / 4000.0;
            assert!((mean / f64::from(scale) - 1.0).abs() < 0.1, "{mean} for scale {scale}");
        }
    }

    #[test]
    fn a_pair_more_or_less_changes_no_reaction_beyond_the_privacy_budget() {
        // The chance to stay silent for `rounds` rounds, exactly: sum over thresholds of the product over rounds.
        let silent = |bad: i64, rounds: i32| -> f64 {
            let tail = |scale: u32, from: i64| -> f64 { (from..from + 600).map(|k| laplace_mass(scale, k)).sum() };
            let at = |threshold: i64| {
                let passes = tail_of(ROUND_SCALE, TOLERATED_AT_LEAST + threshold - bad, &tail);
                laplace_mass(THRESHOLD_SCALE, threshold) * (1.0 - passes).powi(rounds)
            };
            (-80..80).map(at).sum()
        };
        for rounds in [1, 10, 1000] {
            for bad in [150, 200, 220, 238] {
                let (one, other) = (silent(bad, rounds), silent(bad + i64::from(SENSITIVITY), rounds));
                assert!((one / other).ln().abs() <= 1.0, "{bad} bad replies in each of {rounds} rounds");
            }
        }
    }
}
