//! Distributions of counts: masses, and ratios of neighbouring masses, which are what losses are made of.

use crate::{
    error::PrivacyError,
    quantity::Shift,
    spectrum::{UNIT, convolve, fast_length},
};

/// Most values that a count may have with probabilities that matter.
const MOST_VALUES: u64 = 1 << 23;

/// Masses below e to this, against the mass where the walk began, are left out and bounded.
const NEGLIGIBLE: f64 = -60.0;

/// Chances this small, as powers of e, are left out of sums.
const NEGLIGIBLE_TAIL: f64 = -55.0;

/// Sums with up to so many values are convolved directly.
const DIRECT: u64 = 6000;

/// Roundoffs in the logarithm of a mass, for each unit of it.
const ROUNDOFFS: f64 = 8.0 * UNIT;

/// Relative errors above this are not worth a loss: the mass counts as one that shows the truth.
const WORST_RELATIVE_ERROR: f64 = 0.01;

/// A distribution on 0, 1, … by its ratios.
pub(crate) struct Ratios<'a> {
    /// Where to begin, near the bulk.
    pub(crate) start: f64,
    /// `ln f(x)/f(x − 1)`.
    pub(crate) ratio: &'a dyn Fn(f64) -> f64,
    /// The last value, if there is one.
    pub(crate) last: Option<f64>,
    /// Logarithm of a factor on the mass at 0.
    pub(crate) at_zero: f64,
    /// What the ratio tends to, if it does not fall for ever.
    pub(crate) limit: f64,
    /// Whether it looks the same from both ends.
    pub(crate) symmetric: bool,
}

impl<'a> Ratios<'a> {
    /// A distribution without a last value, with ratios that fall for ever.
    pub(crate) fn new(start: f64, ratio: &'a dyn Fn(f64) -> f64) -> Self {
        Self { start: start.floor(), ratio, last: None, at_zero: 0.0, limit: f64::NEG_INFINITY, symmetric: false }
    }

    fn ln_ratio(&self, x: f64) -> f64 {
        (self.ratio)(x) - if x == 1.0 { self.at_zero } else { 0.0 }
    }

    /// Ratios from the value after the start on, while masses matter, and the bound on what is above, against the mass at
    /// the start.
    fn upwards(&self) -> Result<(Vec<f64>, f64), PrivacyError> {
        let mut sum = Compensated::default();
        let mut ratios = Vec::new();
        for x in (1..).map(|step| self.start + f64::from(step)).take_while(|&x| self.last.is_none_or(|last| x <= last))
        {
            let ratio = self.ln_ratio(x);
            if sum.value() + ratio < NEGLIGIBLE && ratio < 0.0 {
                let steepest = ratio.max(self.limit);
                return Ok((ratios, (sum.value() + ratio).exp() / -steepest.exp_m1()));
            }
            sum.add(ratio);
            push(&mut ratios, ratio)?;
        }
        Ok((ratios, 0.0))
    }

    /// Ratios from that at the start down, while masses matter, and the bound on what is below.
    fn downwards(&self) -> Result<(Vec<f64>, f64), PrivacyError> {
        let mut sum = Compensated::default();
        let mut ratios = Vec::new();
        for x in (0..).map(|step| self.start - f64::from(step)).take_while(|&x| x >= 1.0) {
            let ratio = self.ln_ratio(x);
            let at_zero_at_most = self.at_zero.max(0.0);
            if sum.value() - ratio < NEGLIGIBLE && ratio > 0.0 {
                return Ok((ratios, (sum.value() - ratio + at_zero_at_most).exp() / -(-ratio).exp_m1()));
            }
            sum.add(-ratio);
            push(&mut ratios, ratio)?;
        }
        Ok((ratios, 0.0))
    }
}

fn push(ratios: &mut Vec<f64>, ratio: f64) -> Result<(), PrivacyError> {
    check_size(ratios.len() as u64 + 1)?;
    ratios.push(ratio);
    Ok(())
}

fn check_size(values: u64) -> Result<(), PrivacyError> {
    match values <= MOST_VALUES {
        true => Ok(()),
        false => Err(PrivacyError::TooLarge { what: "the distribution of a count", needed: values, most: MOST_VALUES }),
    }
}

/// A sum whose roundoff does not grow with its length (Neumaier).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compensated {
    sum: f64,
    lost: f64,
}

impl Compensated {
    pub(crate) fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        self.lost += if self.sum.abs() >= term.abs() { (self.sum - sum) + term } else { (term - sum) + self.sum };
        self.sum = sum;
    }

    pub(crate) fn value(self) -> f64 {
        self.sum + self.lost
    }
}

/// A sum of many terms.
pub(crate) fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let mut sum = Compensated::default();
    terms.for_each(|term| sum.add(term));
    sum.value()
}

/// A distribution of a count, on an interval.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    /// What the first mass is of.
    first: u64,
    /// Masses.
    mass: Vec<f64>,
    /// `ln mass[i + 1]/mass[i]`.
    ln_ratio: Vec<f64>,
    /// Whether it looks the same from both ends, so that both directions of a shift are alike.
    symmetric: bool,
    /// At most so much mass is left out.
    lost: f64,
    /// Bounds on the masses' relative errors.
    relative_error: Vec<f64>,
}

/// One direction of a shift: the losses and masses of the one story against the other.
#[derive(Clone, Debug)]
pub(crate) struct Atoms {
    /// Loss and mass, in order of losses, all finite.
    pub(crate) finite: Vec<(f64, f64)>,
    /// Mass of what is impossible in the other story.
    pub(crate) infinite: f64,
}

impl Atoms {
    /// Mass that is moved to the worse without being worth keeping apart.
    const TRIM: f64 = 1e-22;

    /// Losses beyond this count as this or as infinite: e to it is still a number.
    const MOST: f64 = 300.0;

    /// Sorts, and moves tails of no weight to where they are worse: an infinite loss, or the least one kept.
    pub(crate) fn new(mut finite: Vec<(f64, f64)>, mut infinite: f64) -> Self {
        infinite += sum(finite.iter().filter(|atom| atom.0 > Self::MOST).map(|atom| atom.1));
        finite.retain(|atom| atom.0 <= Self::MOST);
        finite.iter_mut().for_each(|atom| atom.0 = atom.0.max(-Self::MOST));
        finite.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut tail = 0.0;
        while let Some(&(_, mass)) = finite.last() {
            if tail + mass > Self::TRIM {
                break;
            }
            tail += mass;
            finite.pop();
        }
        infinite += tail;
        let mut tail = 0.0;
        let low = finite.iter().take_while(|(_, mass)| {
            tail += mass;
            tail <= Self::TRIM
        });
        let low = low.count();
        if let Some(&(least, _)) = finite.get(low) {
            finite[..low].iter_mut().for_each(|(loss, _)| *loss = least);
        }
        Self { finite, infinite: infinite.min(1.0) }
    }

    /// Mean square of the finite losses.
    pub(crate) fn mean_square(&self) -> f64 {
        sum(self.finite.iter().map(|(loss, mass)| mass * loss * loss))
    }
}

impl Counts {
    /// Masses, and the count that the first of them is of.
    pub(crate) fn masses(&self) -> (u64, &[f64]) {
        (self.first, &self.mass)
    }

    /// The distribution with these ratios.
    pub(crate) fn from_ratios(ratios: &Ratios) -> Result<Self, PrivacyError> {
        let (below, lost_below) = ratios.downwards()?;
        let (above, lost_above) = ratios.upwards()?;
        let mut sums = Compensated::default();
        let up: Vec<f64> = above
            .iter()
            .map(|&ratio| {
                sums.add(ratio);
                sums.value()
            })
            .collect();
        let mut sums = Compensated::default();
        let down: Vec<f64> = below
            .iter()
            .map(|&ratio| {
                sums.add(-ratio);
                sums.value()
            })
            .collect();
        let logs: Vec<f64> = down.iter().rev().copied().chain([0.0]).chain(up).collect();
        let peak = logs.iter().copied().fold(0.0, f64::max);
        let total = sum(logs.iter().map(|log| (log - peak).exp()));
        let mass: Vec<f64> = logs.iter().map(|log| (log - peak).exp() / total).collect();
        let ln_ratio: Vec<f64> = below.iter().rev().copied().chain(above).collect();
        let relative_error = logs.iter().map(|log| ROUNDOFFS * (1.0 + peak + (log - peak).abs())).collect();
        let lost = (lost_below + lost_above) * (-peak).exp() / total;
        let first = ratios.start as u64 - below.len() as u64;
        Ok(Self { first, mass, ln_ratio, symmetric: ratios.symmetric, lost, relative_error })
    }

    /// The stories of a count that is moved by up to `shift`: every pair that could be the worst, in every direction.
    pub(crate) fn shifted(&self, shift: Shift) -> Vec<Atoms> {
        let most = shift.by() as usize;
        // With falling ratios likelihood ratios are monotone, and a larger shift is always worse.
        let falling = self.ln_ratio.windows(2).all(|pair| pair[1] <= pair[0]);
        let least = if falling { most } else { 1 };
        (least..=most)
            .flat_map(|by| {
                let up = [self.against_shifted(by, true)];
                up.into_iter().chain((!self.symmetric).then(|| self.against_shifted(by, false)))
            })
            .collect()
    }

    /// Noise against noise that is moved up `by`, or the other way round. Masses and losses are taken as large as they may
    /// be: δ only rises with both.
    fn against_shifted(&self, by: usize, plain: bool) -> Atoms {
        let by = by.min(self.mass.len());
        let most = |x: usize| self.mass[x] * (1.0 + self.relative_error[x]);
        let finite = (by..self.mass.len()).filter_map(|x| {
            let loss = self.loss(x - by, x);
            let (mass, loss) = if plain { (most(x), loss) } else { (most(x - by), -loss) };
            let error = self.relative_error[x] + self.relative_error[x - by] + ROUNDOFFS * loss.abs();
            (mass > 0.0 && loss < f64::INFINITY).then_some((loss + error, mass))
        });
        let finite: Vec<(f64, f64)> = finite.collect();
        let impossible = (by..self.mass.len()).filter(|&x| self.loss(x - by, x).is_infinite()).map(|x| match plain {
            true => {
                if self.mass[x - by] == 0.0 {
                    most(x)
                } else {
                    0.0
                }
            }
            false => {
                if self.mass[x] == 0.0 {
                    most(x - by)
                } else {
                    0.0
                }
            }
        });
        let edge = if plain { 0..by } else { self.mass.len() - by..self.mass.len() };
        let infinite = self.lost + sum(edge.map(most).chain(impossible));
        Atoms::new(finite, infinite)
    }

    /// `ln mass[to]/mass[from]`.
    fn loss(&self, from: usize, to: usize) -> f64 {
        let loss: f64 = self.ln_ratio[from..to].iter().sum();
        if loss.is_nan() { (self.mass[to] / self.mass[from]).ln() } else { loss }
    }

    /// The sum of `servers` independent draws.
    pub(crate) fn power(&self, servers: u32) -> Result<Self, PrivacyError> {
        let len = (self.mass.len() as u64 - 1).saturating_mul(servers.into()).saturating_add(1);
        check_size(len)?;
        let mut sum = if len <= DIRECT { self.direct_power(servers) } else { self.tilted_power(servers, len as usize) };
        sum.first += self.first * u64::from(servers);
        let servers = f64::from(servers);
        sum.lost += servers * self.lost;
        let of_one = self.relative_error.iter().copied().fold(0.0, f64::max);
        sum.relative_error.iter_mut().for_each(|error| *error += 1.01 * servers * of_one);
        Ok(sum)
    }

    /// By direct convolution, which keeps relative accuracy since nothing cancels: three roundoffs for each server.
    fn direct_power(&self, servers: u32) -> Self {
        let mut power = vec![1.0];
        for bit in (0..=servers.ilog2()).rev() {
            power = direct(&power, &power);
            if servers >> bit & 1 == 1 {
                power = direct(&power, &self.mass);
            }
        }
        let negligible = |masses: &mut dyn Iterator<Item = &f64>| {
            let mut tail = 0.0;
            let values = masses.take_while(|mass| {
                tail += *mass;
                tail < NEGLIGIBLE_TAIL.exp()
            });
            values.count()
        };
        let first = negligible(&mut power.iter());
        let last = power.len() - 1 - negligible(&mut power.iter().rev());
        let relative_error = vec![3.0 * UNIT * f64::from(servers); power.len()];
        Best { most: power.clone(), mass: power, relative_error }.counts(first, last, self.symmetric)
    }

    /// By transforms.
    ///
    /// They keep absolute accuracy only, and losses in the tails need relative accuracy. So the masses are tilted,
    /// `f(x)·exp(θx)` normalised, for several θ that move the bulk of the sum to different places; each value of the sum is
    /// read where it is known best.
    fn tilted_power(&self, servers: u32, len: usize) -> Self {
        let up = Tilt::furthest(&self.mass, servers, 1.0);
        let down = Tilt::furthest(&self.mass, servers, -1.0);
        let mut best = Best::new(len);
        for theta in [0.0, up.theta / 2.0, up.theta] {
            best.offer(&self.mass, servers, &Tilt::new(&self.mass, theta));
        }
        if self.symmetric {
            best.mirror();
        } else {
            for theta in [down.theta / 2.0, down.theta] {
                best.offer(&self.mass, servers, &Tilt::new(&self.mass, theta));
            }
        }
        let servers = f64::from(servers);
        let first = if down.is_everything { 0 } else { (down.mean * servers).floor().max(0.0) as usize };
        let last = if up.is_everything { len - 1 } else { ((up.mean * servers).ceil() as usize).min(len - 1) };
        best.counts(first, last, self.symmetric)
    }
}

/// Convolution of positive masses, each value accurate to three roundoffs.
fn direct(a: &[f64], b: &[f64]) -> Vec<f64> {
    let value = |x: usize| {
        let from = x.saturating_sub(b.len() - 1);
        sum(a[from..a.len().min(x + 1)].iter().zip(b[..=x - from].iter().rev()).map(|(a, b)| a * b))
    };
    (0..a.len() + b.len() - 1).map(value).collect()
}

/// An exponential tilt of a distribution.
struct Tilt {
    theta: f64,
    /// `ln Σ f(x)·exp(θx)`.
    cumulant: f64,
    /// Mean of the tilted distribution.
    mean: f64,
    /// Of a furthest tilt: whether even the last value of the sum is not negligible.
    is_everything: bool,
}

impl Tilt {
    fn new(mass: &[f64], theta: f64) -> Self {
        // From the end to which it tilts, so that no term overflows.
        let end = if theta > 0.0 { (mass.len() - 1) as f64 } else { 0.0 };
        let weight = |x: usize| mass[x] * (theta * (x as f64 - end)).exp();
        let total = sum((0..mass.len()).map(weight));
        let mean = sum((0..mass.len()).map(|x| x as f64 * weight(x))) / total;
        Self { theta, cumulant: total.ln() + theta * end, mean, is_everything: false }
    }

    /// Chernoff's bound on the chance that the sum lies beyond its tilted mean, as a power of e.
    fn bound(&self, servers: u32) -> f64 {
        f64::from(servers) * (self.cumulant - self.theta * self.mean)
    }

    /// The tilt to one side beyond whose mean the sum has a negligible chance, or nearly the end if there is none.
    fn furthest(mass: &[f64], servers: u32, side: f64) -> Self {
        let last = if side > 0.0 { mass[mass.len() - 1] } else { mass[0] };
        let least = 0.95 * f64::from(servers) * last.ln();
        let is_everything = least > NEGLIGIBLE_TAIL;
        let goal = least.max(NEGLIGIBLE_TAIL);
        let reaches = |size: f64| Self::new(mass, side * size).bound(servers) <= goal;
        let mut high = 1.0 / mass.len() as f64;
        while !reaches(high) && high < 1e3 {
            high *= 2.0;
        }
        let mut low = 0.0;
        for _ in 0..30 {
            let middle = (low + high) / 2.0;
            if reaches(middle) { high = middle } else { low = middle }
        }
        Self { is_everything, ..Self::new(mass, side * high) }
    }
}

/// The best known masses of a sum.
struct Best {
    mass: Vec<f64>,
    relative_error: Vec<f64>,
    /// Bounds on the masses.
    most: Vec<f64>,
}

impl Best {
    fn new(len: usize) -> Self {
        Self { mass: vec![0.0; len], relative_error: vec![f64::INFINITY; len], most: vec![1.0; len] }
    }

    /// Takes what is better known from one tilt.
    fn offer(&mut self, mass: &[f64], servers: u32, tilt: &Tilt) {
        let weights = mass.iter().enumerate().map(|(x, mass)| mass * (tilt.theta * x as f64 - tilt.cumulant).exp());
        let mut padded: Vec<f64> = weights.collect();
        padded.resize(fast_length(self.mass.len()), 0.0);
        let convolution = convolve(vec![(padded, servers.into())]);
        let size = tilt.theta.abs() * mass.len() as f64 + tilt.cumulant.abs();
        let of_tilt = if tilt.theta == 0.0 { 0.0 } else { f64::from(servers) * 4.0 * UNIT * (1.0 + size) };
        let from = f64::from(servers) * tilt.cumulant;
        for (x, &tilted) in convolution.values[..self.mass.len()].iter().enumerate() {
            let relative_error = convolution.each_error / tilted + of_tilt;
            let back = (from - tilt.theta * x as f64).exp();
            self.most[x] = self.most[x].min((tilted + convolution.each_error) * back);
            if relative_error < self.relative_error[x] {
                self.relative_error[x] = relative_error;
                self.mass[x] = tilted * back;
            }
        }
    }

    /// Takes the upper half for the lower one.
    fn mirror(&mut self) {
        fn reflect(values: &mut [f64]) {
            let half = values.len() / 2;
            let (low, high) = values.split_at_mut(half);
            low.iter_mut().zip(high.iter().rev()).for_each(|(low, high)| *low = *high);
        }
        [&mut self.mass, &mut self.relative_error, &mut self.most].into_iter().for_each(|values| reflect(values));
    }

    /// The masses of an interval; those that are not known well enough are left out.
    fn counts(self, first: usize, last: usize, symmetric: bool) -> Counts {
        let Self { mut mass, relative_error, most } = self;
        let mut lost = 0.0;
        for x in (first..=last).filter(|&x| relative_error[x] > WORST_RELATIVE_ERROR) {
            lost += most[x];
            mass[x] = 0.0;
        }
        lost += 2.0 * NEGLIGIBLE_TAIL.exp();
        let relative_error = relative_error[first..=last].iter().map(|error| 1.01 * error.min(1.0)).collect();
        let mass = mass[first..=last].to_vec();
        let ln_ratio = mass.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect();
        Counts { first: first as u64, mass, ln_ratio, symmetric, lost, relative_error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beta_binomial(slots: f64, shape: f64) -> Counts {
        let ratio = |x: f64| ((shape - 1.0) * (slots + 1.0 - 2.0 * x) / (x * (slots - x + shape))).ln_1p();
        let ratios = Ratios { last: Some(slots), symmetric: true, ..Ratios::new(slots / 2.0, &ratio) };
        Counts::from_ratios(&ratios).expect("it fits")
    }

    #[test]
    fn tilted_transforms_give_the_masses_of_direct_convolution_down_to_the_tails() {
        for (slots, shape, servers) in [(40.0, 0.5, 20), (100.0, 1.0, 8), (300.0, 3.5, 3)] {
            let one = beta_binomial(slots, shape);
            let exact = one.direct_power(servers);
            let found = one.tilted_power(servers, slots as usize * servers as usize + 1);
            let middle = |counts: &Counts| counts.mass.len() / 2;
            for by in 0..middle(&exact).min(middle(&found)) {
                let at = |counts: &Counts| (counts.mass[middle(counts) - by], counts.mass[middle(counts) + by]);
                let ((a, b), (c, d)) = (at(&exact), at(&found));
                let worst = if a > 1e-9 { 1e-7 } else { 1e-3 };
                let agree = (a / c - 1.0).abs() < worst && (b / d - 1.0).abs() < worst;
                assert!(agree || a < 1e-23, "{by}: {a:e} {c:e}");
            }
            let error =
                |counts: &Counts| sum(counts.mass.iter().zip(&counts.relative_error).map(|(mass, error)| mass * error));
            assert!(error(&found) < 1e-11 && error(&exact) < 1e-11, "{:e} {:e}", error(&found), error(&exact));
            assert!(found.lost < 1e-20 && exact.lost < 1e-20);
        }
    }

    #[test]
    fn masses_are_those_of_the_urn() {
        let one = beta_binomial(4.0, 2.0);
        let exact = [5.0, 8.0, 9.0, 8.0, 5.0].map(|ways| ways / 35.0);
        assert!(one.mass.iter().zip(exact).all(|(found, exact)| (found - exact).abs() < 1e-15), "{:?}", one.mass);
    }

    #[test]
    fn what_is_left_out_is_bounded() {
        let mean = 3.0_f64;
        let counts = Counts::from_ratios(&Ratios::new(mean, &|x| (mean / x).ln())).expect("it fits");
        // The chance of a value beyond the last: a Poisson tail, by its first terms.
        let beyond = |from: usize| {
            let term = |x: usize| (1..=x).fold((-mean).exp(), |product, k| product * mean / k as f64);
            (from..from + 20).map(term).sum::<f64>()
        };
        let missed = beyond(counts.mass.len());
        assert!(missed > 0.0 && counts.lost >= missed && counts.lost < 10.0 * missed, "{:e} {missed:e}", counts.lost);
    }
}
