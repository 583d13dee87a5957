//! Convolution powers by FFT, with a bound on what rounding does to them.

use realfft::{RealFftPlanner, num_complex::Complex64};

/// Unit roundoff of doubles.
pub(crate) const UNIT: f64 = f64::EPSILON / 2.0;

/// Roundoffs of one level of an FFT: a complex product (√5), a twiddle factor and an addition (Brent, Percival, Zimmermann,
/// Math. Comp. 2007).
const LEVEL: f64 = 4.0 * UNIT;

/// Below this power of e a value of the spectrum counts as 0: less than any rounding.
const VANISHING: f64 = -650.0;

/// A cyclic convolution of sequences that are probabilities.
pub(crate) struct Convolution {
    /// The values, 0 where rounding made them negative.
    pub(crate) values: Vec<f64>,
    /// Bound on the sum of all values' errors.
    pub(crate) total_error: f64,
    /// Bound on each value's error.
    pub(crate) each_error: f64,
}

/// A length of at least `least` that transforms fast.
pub(crate) fn fast_length(least: usize) -> usize {
    let two = least.max(16).next_power_of_two();
    if two / 4 * 3 >= least { two / 4 * 3 } else { two }
}

/// The product of the `power`-th cyclic convolution powers of `parts`, sequences of one even length that are not negative
/// and have sums of at most 1.
///
/// Error bound: every output of a transform is a tree of log₂ N levels whose nodes are partial sums of absolute value at
/// most 1, so it is off by at most `e = LEVEL·(log₂ N + 2)`. A product of powers moves by at most its derivative, taken at
/// `|F| + e`, times that and the roundoff of the powers; and by Cauchy–Schwarz the errors of the values add up to at most
/// the 2-norm of the error of the spectrum.
pub(crate) fn convolve(parts: Vec<(Vec<f64>, u64)>) -> Convolution {
    let length = parts.first().map_or(16, |(part, _)| part.len());
    let mut planner = RealFftPlanner::<f64>::new();
    let forward = planner.plan_fft_forward(length);
    let spectra: Vec<(Vec<Complex64>, u64)> = parts
        .into_iter()
        .map(|(mut part, power)| {
            let mut spectrum = forward.make_output_vec();
            forward.process(&mut part, &mut spectrum).expect("both have the lengths of the plan");
            (spectrum, power)
        })
        .collect();
    let error = LEVEL * ((length as f64).log2() + 2.0);
    let (mut product, sums) = multiply(&spectra, length / 2 + 1, error);
    let inverse = planner.plan_fft_inverse(length);
    let mut values = inverse.make_output_vec();
    drop(spectra);
    // Real sequences have real values there; rounding must not leave anything else.
    product[0].im = 0.0;
    product[length / 2].im = 0.0;
    inverse.process(&mut product, &mut values).expect("both have the lengths of the plan");
    let scale = 1.0 / length as f64;
    values.iter_mut().for_each(|value| *value = (*value * scale).max(0.0));
    let per_value = error + 3.0 * UNIT;
    Convolution {
        values,
        total_error: per_value * sums.derivative_square.sqrt() + error * sums.value_square.sqrt(),
        each_error: (per_value * sums.derivative + error * sums.value) * scale,
    }
}

/// Sums over the whole spectrum, of absolute values of the product and of its derivatives, and of their squares.
#[derive(Default)]
struct Sums {
    value: f64,
    value_square: f64,
    derivative: f64,
    derivative_square: f64,
}

fn multiply(spectra: &[(Vec<Complex64>, u64)], half: usize, error: f64) -> (Vec<Complex64>, Sums) {
    let mut sums = Sums::default();
    let product = (0..half)
        .map(|frequency| {
            let logs = || {
                spectra.iter().map(|(spectrum, power)| {
                    let base = (spectrum[frequency].norm_sqr().sqrt() + error).ln();
                    (base, *power as f64)
                })
            };
            let log: f64 = logs().map(|(base, power)| base * power).sum();
            if log < VANISHING {
                return Complex64::ZERO;
            }
            let derivative: f64 = logs().map(|(base, power)| power * (log - base).exp()).sum();
            let value = log.exp();
            // The other half of a real sequence's spectrum is the same.
            sums.value += 2.0 * value;
            sums.value_square += 2.0 * value * value;
            sums.derivative += 2.0 * derivative;
            sums.derivative_square += 2.0 * derivative * derivative;
            spectra.iter().map(|(spectrum, power)| raise(spectrum[frequency], *power)).product()
        })
        .collect();
    (product, sums)
}

/// `base^power` by squaring: `power − 1` roundoffs of √5 at most, to first order.
fn raise(mut base: Complex64, mut power: u64) -> Complex64 {
    let mut result = Complex64::ONE;
    loop {
        if power & 1 == 1 {
            result *= base;
        }
        power >>= 1;
        if power == 0 {
            return result;
        }
        base *= base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_direct_convolution_within_the_bound() {
        let coin = [0.25, 0.5, 0.0, 0.25];
        let die = [0.1, 0.2, 0.3, 0.4];
        let padded = |values: &[f64]| values.iter().copied().chain([0.0; 20]).collect::<Vec<_>>();
        let found = convolve(vec![(padded(&coin), 3), (padded(&die), 2)]);
        let direct = |a: &[f64], b: &[f64]| {
            let mut sum = vec![0.0; a.len() + b.len() - 1];
            for (i, x) in a.iter().enumerate() {
                b.iter().enumerate().for_each(|(j, y)| sum[i + j] += x * y);
            }
            sum
        };
        let expected = [&coin[..], &coin, &die, &die].iter().fold(coin.to_vec(), |sum, part| direct(&sum, part));
        assert_eq!(expected.len(), 16);
        let errors: Vec<f64> = expected.iter().zip(&found.values).map(|(a, b)| (a - b).abs()).collect();
        assert!(errors.iter().all(|error| *error <= found.each_error), "{errors:?}");
        assert!(errors.iter().sum::<f64>() <= found.total_error && found.total_error < 1e-12);
        assert!(found.values[16..].iter().all(|value| *value <= found.each_error));
    }

    #[test]
    fn fast_lengths_are_even_and_long_enough() {
        for least in [1, 16, 17, 24, 25, 1000, 1_000_000] {
            let length = fast_length(least);
            assert!(length >= least && length.is_multiple_of(2) && length <= 2 * least.max(16), "{least} {length}");
        }
    }
}
