//! How often something of a known chance comes true in many tries, and what its chance is if it came true so often.

use crate::counts::sum;

/// Halvings that pin a probability down to its last digits.
const HALVINGS: usize = 60;

/// Weights below this, against that of the mean, are as good as none.
const NO_WEIGHT: f64 = 1e-300;

/// Relative error of a tail with as many terms as there can be, and more than it.
const ROUNDOFF: f64 = 1e-6;

/// What a chance is at least if it came true `times` of `tries` times, but for a probability of `doubt`: the chance
/// with which it comes true so often or more often with exactly this probability (Clopper and Pearson, Biometrika 26,
/// 1934).
pub(crate) fn at_least(times: u64, tries: u64, doubt: f64) -> f64 {
    if times == 0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        match so_often(times, tries, middle) <= doubt {
            true => low = middle,
            false => high = middle,
        }
    }
    low
}

/// The least number that is exceeded with a probability of at most `doubt` in `tries` tries, each with chance `p`.
pub(crate) fn seldom_exceeded(tries: u64, p: f64, doubt: f64) -> u64 {
    if p >= 1.0 {
        return tries;
    }
    let bulk = Bulk::new(tries, p, doubt * 1e-12);
    let most = doubt * bulk.total() / (1.0 + ROUNDOFF);
    let mut tail = bulk.left_out_above();
    let reached = bulk.up.iter().rposition(|weight| {
        tail += weight;
        tail > most
    });
    bulk.mean + reached.map_or(0, |index| index as u64 + 1)
}

/// The chance of `times` or more of `tries`, each with chance `p`.
fn so_often(times: u64, tries: u64, p: f64) -> f64 {
    let bulk = Bulk::new(tries, p, NO_WEIGHT);
    let above = |from: u64| sum(bulk.up.iter().skip((from - bulk.mean - 1) as usize).copied());
    match times > bulk.mean {
        true => above(times) / bulk.total(),
        false => 1.0 - sum(bulk.down.iter().skip((bulk.mean - times) as usize).copied()) / bulk.total(),
    }
}

/// Weights of a binomial law against that of its mean, so that nothing over- or underflows where it matters.
struct Bulk {
    tries: f64,
    odds: f64,
    mean: u64,
    /// Of the numbers above the mean, from the first on.
    up: Vec<f64>,
    /// Of those below it, downwards.
    down: Vec<f64>,
    /// Smaller weights are left out.
    least: f64,
}

impl Bulk {
    fn new(tries: u64, p: f64, least: f64) -> Self {
        let (n, odds) = (tries as f64, p / (1.0 - p));
        let mean = (n * p).floor().clamp(0.0, n) as u64;
        let up = weights((mean + 1..=tries).map(|k| ratio(n, odds, k)), least);
        let down = weights((1..=mean).rev().map(|k| 1.0 / ratio(n, odds, k)), least);
        Self { tries: n, odds, mean, up, down, least }
    }

    /// A bound on what lies above the last weight: ratios only fall.
    fn left_out_above(&self) -> f64 {
        match ratio(self.tries, self.odds, self.mean + self.up.len() as u64 + 1) {
            ratio if ratio > 0.0 => self.least / (1.0 - ratio),
            _ => 0.0,
        }
    }

    fn total(&self) -> f64 {
        sum(self.up.iter().chain(&self.down).copied()) + 1.0
    }
}

/// The mass at `k` over that before it.
fn ratio(tries: f64, odds: f64, k: u64) -> f64 {
    (tries - k as f64 + 1.0) / k as f64 * odds
}

/// Products of ratios from the first on, while they matter.
fn weights(ratios: impl Iterator<Item = f64>, least: f64) -> Vec<f64> {
    let mut weight = 1.0;
    let products = ratios.map(|ratio| {
        weight *= ratio;
        weight
    });
    products.take_while(|weight| *weight > least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chance of `times` or more, summed without tricks.
    fn tail(times: u64, tries: u64, p: f64) -> f64 {
        let mut mass = (1.0 - p).powi(tries as i32);
        let mut above = 0.0;
        for k in 0..=tries {
            above += if k >= times { mass } else { 0.0 };
            mass *= (tries - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
        }
        above
    }

    #[test]
    fn bounds_on_chances_are_those_of_clopper_and_pearson() {
        // With no failure in n tries the bound is doubt^(1/n); one of one likewise.
        for (tries, doubt) in [(1, 0.05), (10, 0.025), (100, 0.025), (5000, 1e-4)] {
            let bound = at_least(tries, tries, doubt);
            assert!((bound - doubt.powf(1.0 / tries as f64)).abs() < 1e-9, "{tries}: {bound}");
            let one = at_least(1, tries, doubt);
            assert!((one - (1.0 - (1.0 - doubt).powf(1.0 / tries as f64))).abs() < 1e-9, "{tries}: {one}");
        }
        assert_eq!(at_least(0, 10, 0.05), 0.0);
        for (times, tries, p) in [(3, 10, 0.2), (7, 10, 0.2), (50, 100, 0.5), (95, 100, 0.9), (1, 40, 0.01)] {
            let (found, exact) = (so_often(times, tries, p), tail(times, tries, p));
            assert!((found - exact).abs() < 1e-12, "{times} of {tries}: {found} for {exact}");
        }
    }

    #[test]
    fn a_number_that_is_seldom_exceeded_is_the_least_such_number() {
        for (tries, p) in [(1, 0.3), (5, 0.01), (40, 0.5), (300, 0.02), (60, 0.95)] {
            for doubt in [0.5, 0.01, 1e-6, 1e-12] {
                let found = seldom_exceeded(tries, p, doubt);
                assert!(tail(found + 1, tries, p) <= doubt, "{tries}, {p}, {doubt}: {found}");
                assert!(found == 0 || tail(found, tries, p) > doubt * (1.0 - 1e-5), "{tries}, {p}, {doubt}: {found}");
            }
        }
        assert_eq!((seldom_exceeded(7, 1.0, 0.1), seldom_exceeded(7, 0.0, 0.1)), (7, 0));
        // Where the law is nearly normal: 4.753 standard deviations for one in a million.
        let (mean, deviation) = (1e6 / 12.0, (1e6 / 12.0 * 11.0 / 12.0_f64).sqrt());
        let deviations = (seldom_exceeded(1_000_000, 1.0 / 12.0, 1e-6) as f64 - mean) / deviation;
        assert!((4.74..4.79).contains(&deviations), "{deviations}");
    }
}
