//! Multiscalar multiplication over whole batches, in variable time, on the caller's rayon pool.

use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity, VartimeMultiscalarMul},
};
use rayon::prelude::*;

/// Terms of one task: the bucket method with 8-bit windows gains nothing from more than the greatest number, and on
/// many threads loses a fifth at the least.
const CHUNK: core::ops::RangeInclusive<usize> = 1024..=4096;

/// Terms of one task for a batch of `count`: as many as the threads can share.
fn chunk(count: usize) -> usize {
    count.div_ceil(rayon::current_num_threads()).clamp(*CHUNK.start(), *CHUNK.end())
}

/// `Σ scalars_i·points_i`.
pub(crate) fn multiscalar<'a, P: Sync + 'a>(
    scalars: &[Scalar],
    points: &'a [P],
    point: impl Fn(&'a P) -> &'a RistrettoPoint + Sync + Send,
) -> RistrettoPoint {
    debug_assert_eq!(scalars.len(), points.len());
    let chunk = chunk(points.len());
    scalars
        .par_chunks(chunk)
        .zip(points.par_chunks(chunk))
        .map(|(scalars, points)| RistrettoPoint::vartime_multiscalar_mul(scalars, points.iter().map(&point)))
        .reduce(RistrettoPoint::identity, |left, right| left + right)
}

/// A sum of points.
pub(super) fn sum<'a, P: Sync + 'a>(
    points: &'a [P],
    point: impl Fn(&'a P) -> &'a RistrettoPoint + Sync + Send,
) -> RistrettoPoint {
    points
        .par_chunks(chunk(points.len()))
        .map(|points| points.iter().map(&point).sum())
        .reduce(RistrettoPoint::identity, |left, right| left + right)
}

/// `Σ points_j` and `Σ j·points_j`, the index counted from 1, with two additions for each point.
pub(super) fn plain_and_indexed_sums<'a, P: Sync + 'a>(
    points: &'a [P],
    point: impl Fn(&'a P) -> &'a RistrettoPoint + Sync + Send,
) -> (RistrettoPoint, RistrettoPoint) {
    let chunk = chunk(points.len());
    points
        .par_chunks(chunk)
        .enumerate()
        .map(|(number, points)| {
            // From the back, every point is counted once more for each position before it.
            let zero = (RistrettoPoint::identity(), RistrettoPoint::identity());
            let (plain, indexed) = points.iter().rev().fold(zero, |(plain, indexed), item| {
                let plain = plain + point(item);
                (plain, indexed + plain)
            });
            (plain, indexed + plain * Scalar::from((number * chunk) as u64))
        })
        .reduce(
            || (RistrettoPoint::identity(), RistrettoPoint::identity()),
            |left, right| (left.0 + right.0, left.1 + right.1),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Element;

    #[test]
    fn sums_across_chunks_equal_the_plain_loop() {
        let points: Vec<_> = (0..*CHUNK.end() as u64 + 3).map(|i| Element::hash("hippodrome test points", i)).collect();
        let scalars: Vec<_> = (1..=points.len() as u64).map(Scalar::from).collect();
        let expected: RistrettoPoint = points.iter().zip(&scalars).map(|(point, scalar)| point * scalar).sum();
        assert_eq!(multiscalar(&scalars, &points, |point| point), expected);
        let (plain, indexed) = plain_and_indexed_sums(&points, |point| point);
        assert_eq!(indexed, expected);
        assert_eq!(plain, points.iter().sum());
        assert_eq!(sum(&points, |point| point), plain);
    }
}
