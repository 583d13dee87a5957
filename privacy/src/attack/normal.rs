//! The normal law, and what a normal loss hides.

use crate::quantity::Delta;

/// Halvings that pin a number down to its last digits.
const HALVINGS: usize = 60;

/// Chances of 10^-15 are the least that are looked for.
const FAR: f64 = 8.0;

/// Where the continued fraction is as good as the series.
const TAIL: f64 = 3.0;

/// Levels of the continued fraction that make it accurate to 10^-12 in the tail.
const LEVELS: u32 = 80;

/// Φ: the chance of less than `x`, accurate in relation to itself where it is small.
pub(super) fn below(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    match x {
        _ if x > 0.0 => 1.0 - below(-x),
        // 1/2 + φ(x)·(x + x³/3 + x⁵/(3·5) + …).
        _ if x > -TAIL => {
            let terms = (1..).scan(x, |term, k: u32| {
                let this = *term;
                *term *= x * x / f64::from(2 * k + 1);
                Some(this)
            });
            0.5 + density * terms.take_while(|term| term.abs() > 1e-17).sum::<f64>()
        }
        // φ(x)/(|x| + 1/(|x| + 2/(|x| + 3/(…)))).
        _ => density / (1..=LEVELS).rev().fold(-x, |rest, level| f64::from(level) / rest - x),
    }
}

/// Where Φ has a value.
pub(super) fn quantile(chance: f64) -> f64 {
    least(-FAR, FAR, |x| below(x) >= chance)
}

/// The ε that a normal loss of parameter μ has with a δ: the root of δ = Φ(−ε/μ + μ/2) − e^ε·Φ(−ε/μ − μ/2), or 0.
pub(super) fn epsilon(mu: f64, delta: Delta) -> f64 {
    if mu <= 0.0 {
        return 0.0;
    }
    let reached = |epsilon: f64| {
        let place = |side: f64| below(-epsilon / mu + side * mu / 2.0);
        place(1.0) - epsilon.exp() * place(-1.0)
    };
    least(0.0, mu * (mu / 2.0 + FAR), |epsilon| reached(epsilon) <= delta.value())
}

/// The least number between two at which something that stays true is true.
fn least(mut low: f64, mut high: f64, is_true: impl Fn(f64) -> bool) -> f64 {
    if is_true(low) {
        return low;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if is_true(middle) { high = middle } else { low = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_law_is_that_of_the_tables() {
        let table =
            [(0.0, 0.5), (1.0, 0.841_344_746_068_543), (-2.0, 0.022_750_131_948_179), (4.0, 0.999_968_328_758_167)];
        for (x, chance) in table {
            assert!((below(x) - chance).abs() < 1e-14, "{x}: {}", below(x));
            assert!((quantile(chance) - x).abs() < 1e-9, "{chance}: {}", quantile(chance));
        }
        assert!((below(-6.0) / 9.865_876_450_376_98e-10 - 1.0).abs() < 1e-10, "{:e}", below(-6.0));
        assert!((below(-2.999_999) - below(-3.000_001)).abs() < 1e-8 && below(9.0) == 1.0);
    }

    #[test]
    fn a_normal_loss_has_the_epsilon_of_the_formula() {
        for (mu, epsilon_of, delta) in
            [(0.2, std::f64::consts::LN_2, 1.886_218e-5), (0.341_096, 1.098_612, 1.000_012e-4), (1.0, 1.0, 0.126_936_7)]
        {
            let found = epsilon(mu, Delta::new(delta).expect("a chance"));
            assert!((found - epsilon_of).abs() < 2e-6, "{mu}: {found}");
        }
        assert_eq!(epsilon(-1.0, Delta::new(1e-3).expect("a chance")), 0.0);
        assert_eq!(epsilon(0.1, Delta::new(0.5).expect("a chance")), 0.0);
    }
}
