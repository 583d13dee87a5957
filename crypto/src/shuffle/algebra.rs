//! The scalar side of the argument over any field, so that tests can enumerate it over a tiny one.

use core::ops::{Add, Mul, Sub};

use curve25519_dalek::scalar::Scalar;

/// A field element, passed by value.
pub(super) trait Field: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// Zero, since a difference from it is cheaper than the negation that scalars come with.
    const ZERO: Self;
}

impl Field for Scalar {
    const ZERO: Self = Scalar::ZERO;
}

/// The values under C_Δ: `−Δ_i·d_{i+1}` for i < N.
pub(super) fn mask_products<F: Field>(d: &[F], delta: &[F]) -> Vec<F> {
    delta.iter().zip(&d[1..]).map(|(&delta, &d)| F::ZERO - delta * d).collect()
}

/// The values under C_a: `Δ_{i+1} − a_i·d_{i+1} − Δ_i·v_{i+1}` for i < N, with `a_i = v_1…v_i`.
pub(super) fn cross_terms<F: Field>(v: &[F], d: &[F], delta: &[F]) -> Vec<F> {
    let mut prefix_product = v[0];
    (1..v.len())
        .map(|next| {
            let term = delta[next] - prefix_product * d[next] - delta[next - 1] * v[next];
            prefix_product = prefix_product * v[next];
            term
        })
        .collect()
}

/// `e·value + mask`, position by position.
pub(super) fn respond<F: Field>(e: F, values: &[F], masks: &[F]) -> Vec<F> {
    values.iter().zip(masks).map(|(&value, &mask)| e * value + mask).collect()
}

/// `F_N` of check 2: `F_1 = g_1` and `F_{i+1} = (F_i·g_{i+1} + f_i)/e`.
pub(super) fn product_response<F: Field>(e_inverse: F, g: &[F], f: &[F]) -> F {
    g[1..].iter().zip(f).fold(g[0], |product, (&g, &f)| (product * g + f) * e_inverse)
}
