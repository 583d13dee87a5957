//! Rates from measurements: least squares, with no rate below 0.

/// One measurement: how often each part occurs in it, and what all of them took together.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) parts: Vec<f64>,
    /// Of it, what is known to come from something else.
    pub(super) known: f64,
    pub(super) took: f64,
}

/// The rates, one for each part, that fit samples best: with the least sum of squared errors, each taken as a share of what
/// was measured, so that small samples count as much as large ones. No rate is below 0. With few parts every set of those
/// that are not 0 can be tried, which finds the optimum without iterations.
///
/// Samples that took no time say nothing and are passed over.
pub(super) fn rates(samples: &[Sample]) -> Vec<f64> {
    let count = samples.iter().map(|sample| sample.parts.len()).max().unwrap_or(0);
    debug_assert!(count <= 8, "all subsets are tried");
    let timed: Vec<&Sample> = samples.iter().filter(|sample| sample.took > 0.0).collect();
    let solutions = (1_u32..1 << count).filter_map(|subset| solve(&timed, count, subset));
    let possible = solutions.filter(|rates| rates.iter().all(|&rate| rate >= 0.0)).chain([vec![0.0; count]]);
    possible.min_by(|a, b| error(&timed, a).total_cmp(&error(&timed, b))).unwrap_or_default()
}

/// Sum of the squared relative errors.
fn error(samples: &[&Sample], rates: &[f64]) -> f64 {
    samples.iter().map(|sample| (predicted(sample, rates) / sample.took - 1.0).powi(2)).sum()
}

fn predicted(sample: &Sample, rates: &[f64]) -> f64 {
    sample.known + sample.parts.iter().zip(rates).map(|(part, rate)| part * rate).sum::<f64>()
}

/// Least squares over the parts of a subset, all other rates 0; none where the samples do not tell the parts apart.
fn solve(samples: &[&Sample], count: usize, subset: u32) -> Option<Vec<f64>> {
    let chosen: Vec<usize> = (0..count).filter(|part| subset & (1 << part) != 0).collect();
    let scale = |&part: &usize| samples.iter().map(|sample| sample.parts[part] / sample.took).fold(0.0, f64::max);
    let scales: Vec<f64> = chosen.iter().map(scale).collect();
    if scales.iter().any(|&scale| scale <= 0.0) {
        return None;
    }
    let row = |sample: &&Sample| -> Vec<f64> {
        chosen.iter().zip(&scales).map(|(&part, scale)| sample.parts[part] / sample.took / scale).collect()
    };
    let rows: Vec<Vec<f64>> = samples.iter().map(row).collect();
    let size = chosen.len();
    let entry = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum();
    let matrix = (0..size).map(|i| {
        let right: f64 =
            rows.iter().zip(samples).map(|(row, sample)| row[i] * (1.0 - sample.known / sample.took)).sum();
        (0..size).map(|j| entry(i, j)).chain([right]).collect()
    });
    let solution = eliminate(matrix.collect())?;
    let mut rates = vec![0.0; count];
    chosen.iter().zip(solution.iter().zip(&scales)).for_each(|(&part, (value, scale))| rates[part] = value / scale);
    Some(rates)
}

/// Least pivot of a system whose rows are about 1: below it the parts are not told apart.
const LEAST_PIVOT: f64 = 1e-9;

/// Gauss and Jordan's elimination of a symmetric system, its right side in the last column.
fn eliminate(mut matrix: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = matrix.len();
    for pivot in 0..size {
        let best = (pivot..size).max_by(|&a, &b| matrix[a][pivot].abs().total_cmp(&matrix[b][pivot].abs()))?;
        matrix.swap(pivot, best);
        if matrix[pivot][pivot].abs() < LEAST_PIVOT {
            return None;
        }
        let row = matrix[pivot].clone();
        for (_, other) in matrix.iter_mut().enumerate().filter(|(index, _)| *index != pivot) {
            let factor = other[pivot] / row[pivot];
            other.iter_mut().zip(&row).for_each(|(value, above)| *value -= factor * above);
        }
    }
    Some((0..size).map(|index| matrix[index][size] / matrix[index][index]).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(parts: &[f64], took: f64) -> Sample {
        Sample { parts: parts.to_vec(), known: 0.0, took }
    }

    #[test]
    fn rates_that_explain_everything_are_found() {
        let of = |jobs: f64, records: f64| sample(&[jobs, records], 0.002 * jobs + 1e-6 * records);
        let found = rates(&[of(1.0, 100.0), of(1.0, 10_000.0), of(7.0, 3000.0)]);
        assert!((found[0] - 0.002).abs() < 1e-9 && (found[1] - 1e-6).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn what_would_be_negative_is_zero() {
        // Less than in proportion: only a negative start would fit.
        let found = rates(&[sample(&[1.0, 10.0], 5.0), sample(&[1.0, 20.0], 15.0)]);
        assert_eq!(found[0], 0.0);
        assert!(found[1] > 0.5 && found[1] < 0.75, "{found:?}");
    }

    #[test]
    fn what_is_known_is_not_explained_again() {
        let of = |known: f64, bytes: f64| Sample { parts: vec![bytes], known, took: known + 0.5 * bytes };
        assert_eq!(rates(&[of(3.0, 2.0), of(100.0, 4.0)]), [0.5]);
        let less = Sample { parts: vec![1.0], known: 2.0, took: 1.0 };
        assert_eq!(rates(&[less]), [0.0], "nothing is left to explain");
    }

    #[test]
    fn parts_that_never_occur_cost_nothing() {
        assert_eq!(rates(&[sample(&[0.0, 2.0], 4.0)]), [0.0, 2.0]);
        assert_eq!(rates(&[sample(&[1.0, 2.0], 0.0)]), [0.0, 0.0]);
        assert!(rates(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn no_rate_is_negative_and_none_fits_better(
            samples in prop::collection::vec((0.1..10.0f64, 0.1..10.0f64, 0.1..10.0f64), 2..6),
            nudge in (-0.1..0.1f64, -0.1..0.1f64),
        ) {
            let samples: Vec<Sample> = samples.iter().map(|&(a, b, took)| sample(&[a, b], took)).collect();
            let timed: Vec<&Sample> = samples.iter().collect();
            let found = rates(&samples);
            prop_assert!(found.iter().all(|&rate| rate >= 0.0));
            let other = [(found[0] + nudge.0).max(0.0), (found[1] + nudge.1).max(0.0)];
            prop_assert!(error(&timed, &found) <= error(&timed, &other) + 1e-9);
        }
    }
}
