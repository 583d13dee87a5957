//! Medians, and how far to trust them.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::{Deserialize, Serialize};

/// Samples drawn with replacement for an interval.
const RESAMPLES: usize = 2000;

/// From one value to another, both of them in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The least value.
    pub low: f64,
    /// The greatest value.
    pub high: f64,
}

/// A median with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The sample's median.
    pub value: f64,
    /// Where the median of the population is, with the confidence that was asked for.
    pub interval: Interval,
}

/// The middle value, or the mean of the two in the middle; none of no values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value below which the share `p` of all values lies, linear between neighbours; none of no values, and for no `p`
/// outside 0 to 1.
pub fn quantile(values: &[f64], p: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, p)
}

fn quantile_of_sorted(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1).filter(|_| (0.0..=1.0).contains(&p))?;
    let place = p * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// The median, and its interval by the percentile bootstrap (Efron 1979): the quantiles of the medians of 2000 samples
/// drawn from the values with replacement. The same values and seed give the same interval.
///
/// None of no values, and for no confidence between 0 and 1. Few values make intervals that are too short: with fewer than
/// about ten, give the values themselves.
pub fn median_with_interval(values: &[f64], confidence: f64, seed: u64) -> Option<Estimate> {
    let value = median(values).filter(|_| confidence > 0.0 && confidence < 1.0)?;
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut medians: Vec<f64> = (0..RESAMPLES).filter_map(|_| median(&resample(values, &mut rng))).collect();
    medians.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let (low, high) = (quantile_of_sorted(&medians, tail)?, quantile_of_sorted(&medians, 1.0 - tail)?);
    Some(Estimate { value, interval: Interval { low, high } })
}

fn resample(values: &[f64], rng: &mut ChaCha20Rng) -> Vec<f64> {
    (0..values.len()).map(|_| values[below(values.len(), rng)]).collect()
}

/// A number below `limit`; its bias is below `limit`/2^64.
fn below(limit: usize, rng: &mut ChaCha20Rng) -> usize {
    ((u128::from(rng.next_u64()) * limit as u128) >> 64) as usize
}

/// How far a prediction is off, as a share of what was measured; positive where too much was predicted. None where nothing
/// was measured.
pub fn relative_error(predicted: f64, measured: f64) -> Option<f64> {
    let error = (predicted - measured) / measured;
    error.is_finite().then_some(error)
}

/// How far many predictions are off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Errors {
    /// Predictions.
    pub count: usize,
    /// Median of the errors' magnitudes.
    pub median: f64,
    /// The largest magnitude.
    pub worst: f64,
}

impl Errors {
    /// Of relative errors; none if there are none.
    pub fn of(errors: &[f64]) -> Option<Self> {
        let magnitudes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
        let worst = magnitudes.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { count: errors.len(), median: median(&magnitudes)?, worst })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.75), Some(2.5));
        assert_eq!(quantile(&[1.0], 1.5), None);
    }

    #[test]
    fn intervals_of_many_samples_hold_the_true_median_about_as_often_as_they_say() {
        // 31 uniform values around 0.5, 200 times; 90 % of the intervals should hold 0.5.
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut held = 0;
        for seed in 0..200 {
            let values: Vec<f64> = (0..31).map(|_| rng.next_u64() as f64 / u64::MAX as f64).collect();
            let Interval { low, high } = median_with_interval(&values, 0.9, seed).expect("values").interval;
            held += usize::from((low..=high).contains(&0.5));
        }
        assert!((165..=195).contains(&held), "{held} of 200");
    }

    #[test]
    fn errors_are_shares_of_what_was_measured() {
        assert_eq!(relative_error(11.0, 10.0).map(|error| (error * 1e9).round()), Some(1e8));
        assert_eq!(relative_error(1.0, 0.0), None);
        let errors = Errors::of(&[0.1, -0.3, 0.2]).expect("errors");
        assert_eq!((errors.count, errors.median, errors.worst), (3, 0.2, 0.3));
        assert_eq!(Errors::of(&[]), None);
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_median_and_lies_within_the_values(
            values in prop::collection::vec(-1e6..1e6f64, 1..20),
            seed in any::<u64>(),
        ) {
            let Estimate { value, interval: Interval { low, high } } =
                median_with_interval(&values, 0.95, seed).expect("values");
            let (least, most) = (quantile(&values, 0.0).expect("values"), quantile(&values, 1.0).expect("values"));
            prop_assert!(least <= low && low <= value && value <= high && high <= most);
            let again = median_with_interval(&values, 0.95, seed).expect("values");
            prop_assert_eq!(again.interval, Interval { low, high });
        }

        #[test]
        fn more_confidence_makes_no_interval_shorter(values in prop::collection::vec(0.0..1.0f64, 2..20)) {
            let length = |confidence| {
                let Interval { low, high } = median_with_interval(&values, confidence, 7).expect("values").interval;
                high - low
            };
            prop_assert!(length(0.5) <= length(0.9) && length(0.9) <= length(0.99));
        }
    }
}
