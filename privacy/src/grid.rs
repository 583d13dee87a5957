//! Privacy loss distributions of one round on a grid, such that they never understate.
//!
//! A pair of distributions P, Q is described by the mass of P at each loss `l = ln P/Q`; at `∞` lies what Q never shows.
//! Its curve `δ(ε) = P(∞) + Σ_{l > ε} P(l)·(1 − e^(ε−l))` says all about it, and a pair whose curve is nowhere lower
//! *dominates*: it stays so under composition (Zhu, Dong, Wang, AISTATS 2022, Theorem 10).

use crate::{
    counts::{Atoms, Compensated, sum},
    spectrum::UNIT,
};

/// Roundoff of a curve: of two exponentials, four products and sums, in each of two curves.
const CURVE_ROUNDOFF: f64 = 16.0 * UNIT;

/// Masses of P at multiples of a step, for one round.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    /// The step.
    pub(crate) step: f64,
    /// The least loss, in steps.
    pub(crate) first: i64,
    /// Masses at `first`, `first + 1`, … steps.
    pub(crate) mass: Vec<f64>,
    /// Mass at ∞.
    pub(crate) infinite: f64,
}

impl Grid {
    /// Moves every atom to the two grid points beside it such that P and Q keep their masses: by Jensen's inequality no
    /// `δ(ε)` falls, since `(1 − e^ε·Q/P)⁺` is convex in Q/P (Doroshenko et al., PoPETs 2022: *connecting the dots*).
    pub(crate) fn new(step: f64, atoms: &Atoms) -> Self {
        let place = |loss: f64| (loss / step).floor() as i64;
        let first = atoms.finite.first().map_or(0, |atom| place(atom.0));
        let last = atoms.finite.last().map_or(0, |atom| place(atom.0)) + 1;
        let mut grid = Self { step, first, mass: vec![0.0; (last - first + 1) as usize], infinite: atoms.infinite };
        for &(loss, mass) in &atoms.finite {
            grid.add(place(loss), loss, mass);
        }
        grid
    }

    fn add(&mut self, place: i64, loss: f64, mass: f64) {
        let beyond = (loss - place as f64 * self.step).clamp(0.0, self.step);
        let up = mass * ((-beyond).exp_m1() / (-self.step).exp_m1());
        let index = (place - self.first) as usize;
        self.mass[index] += mass - up;
        self.mass[index + 1] += up;
    }

    /// The Gaussian mechanism: P's loss is normal with mean μ²/2 and variance μ². The normal density is integrated over
    /// each cell, or over parts of it, by Gauss–Legendre quadrature with four points, which at these widths is exact to
    /// the last digits.
    pub(crate) fn gaussian(step: f64, mu: f64) -> Self {
        /// Standard deviations beyond which nothing matters: a mass of 10^-22 on both sides.
        const REACH: f64 = 9.8;
        const NODES: [(f64, f64); 4] = [
            (-0.861_136_311_594_052_6, 0.347_854_845_137_453_86),
            (-0.339_981_043_584_856_3, 0.652_145_154_862_546_2),
            (0.339_981_043_584_856_3, 0.652_145_154_862_546_2),
            (0.861_136_311_594_052_6, 0.347_854_845_137_453_86),
        ];
        let mean = mu * mu / 2.0;
        let first = ((mean - REACH * mu) / step).floor() as i64;
        let last = ((mean + REACH * mu) / step).ceil() as i64;
        let mut grid = Self { step, first, mass: vec![0.0; (last - first + 1) as usize], infinite: 1e-22 };
        let parts = (8.0 * step / mu).ceil().max(1.0);
        let half = step / parts / 2.0;
        let scale = half / (mu * std::f64::consts::TAU.sqrt());
        for place in first..last {
            for part in 0..parts as u32 {
                let middle = place as f64 * step + half * (1.0 + 2.0 * f64::from(part));
                for (node, weight) in NODES {
                    let loss = middle + half * node;
                    let z = (loss - mean) / mu;
                    grid.add(place, loss, scale * weight * (-z * z / 2.0).exp());
                }
            }
        }
        // What lies below is worth the least loss at most.
        grid.mass[0] += 1e-22;
        grid
    }

    /// A pair that dominates both, on the same grid: the one with the higher of the two curves. Whoever has made which
    /// choice in which round, its composition bounds them all.
    ///
    /// Between grid points both curves are linear in `e^ε`, so the chords of the higher values lie nowhere below. Returns
    /// a bound on the roundoff, too.
    pub(crate) fn dominating(self, other: &Self) -> (Self, f64) {
        debug_assert_eq!(self.step, other.step);
        let step = self.step;
        let first = self.first.min(other.first) - 1;
        let last = (self.first + self.mass.len() as i64).max(other.first + other.mass.len() as i64);
        let len = (last - first + 1) as usize;
        let (own, others) = (Curve::new(&self, first, len), Curve::new(other, first, len));
        let own_is_higher: Vec<bool> = own.delta.iter().zip(&others.delta).map(|(a, b)| a >= b).collect();
        let delta = |i: usize| if own_is_higher[i] { own.delta[i] } else { others.delta[i] };
        // The slope between i and i + 1, against e^ε at i.
        let slope = |i: usize| match (own_is_higher[i], own_is_higher[i + 1]) {
            (true, true) => own.slope[i],
            (false, false) => others.slope[i],
            _ => (delta(i) - delta(i + 1)) / step.exp_m1(),
        };
        let mut mass = vec![0.0; len];
        for i in 1..len - 1 {
            let same = own_is_higher[i - 1] == own_is_higher[i] && own_is_higher[i] == own_is_higher[i + 1];
            mass[i] = match same {
                true => (if own_is_higher[i] { &self } else { other }).at(first + i as i64),
                false => (step.exp() * slope(i - 1) - slope(i)).max(0.0),
            };
        }
        let infinite = self.infinite.max(other.infinite);
        mass[0] = (1.0 - infinite - mass.iter().sum::<f64>()).max(0.0);
        (Self { step, first, mass, infinite }, CURVE_ROUNDOFF)
    }

    fn at(&self, place: i64) -> f64 {
        usize::try_from(place - self.first).ok().and_then(|index| self.mass.get(index)).copied().unwrap_or(0.0)
    }

    /// Variance of the finite losses.
    pub(crate) fn variance(&self) -> f64 {
        let mean = sum(self.atoms().map(|(loss, mass)| loss * mass));
        sum(self.atoms().map(|(loss, mass)| (loss - mean).powi(2) * mass))
    }

    /// Losses and masses where there is any mass.
    pub(crate) fn atoms(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let losses = (self.first..).map(|place| place as f64 * self.step);
        losses.zip(self.mass.iter().copied()).filter(|(_, mass)| *mass > 0.0)
    }
}

/// δ at grid points, and how it falls from one to the next.
struct Curve {
    delta: Vec<f64>,
    /// `(δ_i − δ_{i+1})/(e^step − 1)`: the mass of Q above i, times e^(loss at i).
    slope: Vec<f64>,
}

impl Curve {
    /// Compensated sums of positive terms only: nothing cancels, and roundoff does not grow.
    fn new(grid: &Grid, first: i64, len: usize) -> Self {
        let (mut delta, mut slope) = (vec![grid.infinite; len], vec![0.0; len]);
        let loss = |i: usize| (first + i as i64) as f64 * grid.step;
        let growth = grid.step.exp_m1();
        let (mut of_q, mut rise) = (Compensated::default(), Compensated::default());
        for i in (0..len - 1).rev() {
            of_q.add(grid.at(first + 1 + i as i64) * (-loss(i + 1)).exp());
            slope[i] = of_q.value() * loss(i).exp();
            rise.add(growth * slope[i]);
            delta[i] += rise.value();
        }
        Self { delta, slope }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(atoms: impl Iterator<Item = (f64, f64)>, infinite: f64, epsilon: f64) -> f64 {
        infinite
            + atoms
                .filter(|(loss, _)| *loss > epsilon)
                .map(|(loss, mass)| -mass * (epsilon - loss).exp_m1())
                .sum::<f64>()
    }

    fn atoms() -> Atoms {
        Atoms::new(vec![(-0.3, 0.2), (0.11, 0.3), (0.123, 0.2), (0.7, 0.25)], 0.05)
    }

    #[test]
    fn a_grid_never_understates_and_is_exact_at_its_points() {
        let atoms = atoms();
        for step in [0.05, 0.013, 1.0] {
            let grid = Grid::new(step, &atoms);
            for place in -60..60 {
                let exact = |epsilon| delta(atoms.finite.iter().copied(), atoms.infinite, epsilon);
                let found = |epsilon| delta(grid.atoms(), grid.infinite, epsilon);
                let point = f64::from(place) * step;
                assert!((exact(point) - found(point)).abs() < 1e-14, "{step} {place}");
                assert!(found(point + 0.3 * step) >= exact(point + 0.3 * step) - 1e-15, "{step} {place}");
            }
            let mass: f64 = grid.mass.iter().sum();
            assert!((mass + grid.infinite - 1.0).abs() < 1e-14);
        }
    }

    #[test]
    fn the_dominating_pair_has_the_higher_curve_and_all_of_the_mass() {
        let step = 0.01;
        let one = Grid::new(step, &atoms());
        let two = Grid::new(step, &Atoms::new(vec![(-0.6, 0.3), (0.2, 0.3), (0.4, 0.4)], 0.0));
        let (both, _) = one.clone().dominating(&two);
        for place in -80..90 {
            let at = |grid: &Grid| delta(grid.atoms(), grid.infinite, f64::from(place) * step);
            assert!((at(&both) - at(&one).max(at(&two))).abs() < 1e-13, "{place}");
        }
        assert!((both.mass.iter().sum::<f64>() + both.infinite - 1.0).abs() < 1e-13);
    }

    #[test]
    fn the_normal_density_is_integrated_to_the_last_digits() {
        for (step, mu) in [(0.001, 0.2), (0.1, 0.2), (0.5, 0.01), (0.02, 1.0)] {
            let grid = Grid::gaussian(step, mu);
            let moment = |power: i32| grid.atoms().map(|(loss, mass)| mass * loss.powi(power)).sum::<f64>();
            assert!((moment(0) - 1.0).abs() < 1e-12, "{step} {mu}");
            // Mass of Q.
            let others: f64 = grid.atoms().map(|(loss, mass)| mass * (-loss).exp()).sum();
            assert!((others - 1.0).abs() < 1e-9, "{step} {mu} {others}");
        }
    }
}
