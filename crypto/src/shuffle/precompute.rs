//! The part of a proof that is made before the batch is there.

use core::fmt;

use curve25519_dalek::scalar::Scalar;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{
    ShuffleError,
    algebra::mask_products,
    check_count,
    commitment::{CommitmentKey, CommittedRows, random_scalars},
};
use crate::{group::random_scalar, permutation::Permutation};

/// The masks of one proof. Used twice, they give away the permutation and b.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Masks {
    /// `d_1..d_N`.
    pub(super) d: Vec<Scalar>,
    /// `Δ_1..Δ_N`; `Δ_N` becomes 0 when N is known.
    pub(super) delta: Vec<Scalar>,
    /// β.
    pub(super) beta: Scalar,
}

impl Masks {
    fn random<R: CryptoRng>(count: usize, rng: &mut R) -> Self {
        let mut masks = Self { d: Vec::new(), delta: Vec::new(), beta: random_scalar(rng) };
        masks.resize(count, rng);
        masks
    }

    /// Drops masks beyond `count` or draws the missing ones. The old vectors are wiped.
    fn resize<R: CryptoRng>(&mut self, count: usize, rng: &mut R) {
        for masks in [&mut self.d, &mut self.delta] {
            let mut resized = random_scalars(count, rng);
            let kept = masks.len().min(count);
            resized[..kept].copy_from_slice(&masks[..kept]);
            masks.zeroize();
            *masks = core::mem::take(&mut *resized);
        }
        if count == 1 {
            // Δ_1 = d_1 and Δ_N = 0 are one condition then.
            self.d[0] = Scalar::ZERO;
        }
        if count > 0 {
            self.delta[0] = self.d[0];
        }
    }
}

/// Everything of one proof that does not depend on the batch: masks, their commitments, and a permutation with its
/// commitments. It is for one batch: neither `Clone` nor serialisable, consumed by [`Precomputed::begin`], and wiped.
///
/// ```compile_fail
/// # use hippodrome_crypto::shuffle::Precomputed;
/// # fn twice<R: rand_core::CryptoRng>(tuple: Precomputed, rng: &mut R) {
/// let first = tuple.begin(100, rng);
/// let second = tuple.begin(100, rng); // use of moved value
/// # }
/// ```
///
/// ```compile_fail
/// # use hippodrome_crypto::shuffle::Precomputed;
/// # fn twice(tuple: &Precomputed) -> Precomputed {
/// tuple.clone() // there is no such method
/// # }
/// ```
#[must_use = "making this is most of the prover's work"]
pub struct Precomputed {
    key: &'static CommitmentKey,
    masks: Masks,
    mask_rows: CommittedRows,
    mask_product_rows: CommittedRows,
    permutation: Permutation,
    permutation_rows: CommittedRows,
}

impl Precomputed {
    /// Prepares a proof for a batch of about `expected_count` keys (at most [`MAX_COUNT`](super::MAX_COUNT)).
    ///
    /// Whole rows of it serve for any other count too; a count of exactly `expected_count` uses all of it.
    pub fn prepare<R: CryptoRng>(expected_count: usize, rng: &mut R) -> Self {
        Self::prepare_rows(CommitmentKey::global(), expected_count, rng)
    }

    pub(super) fn prepare_rows<R: CryptoRng>(key: &'static CommitmentKey, count: usize, rng: &mut R) -> Self {
        let count = count.min(super::MAX_COUNT);
        let rows = key.rows(count);
        let masks = Masks::random(count, rng);
        let permutation = Permutation::random(count, rng);
        Self {
            key,
            mask_rows: CommittedRows::commit(key, &masks.d, rows, rng),
            mask_product_rows: commit_mask_products(key, &masks, rows, rng),
            permutation_rows: commit_permutation(key, &permutation, rng),
            masks,
            permutation,
        }
    }

    /// Fixes the number of keys and with it the permutation to mix with; what is missing is made now.
    pub fn begin<R: CryptoRng>(self, count: usize, rng: &mut R) -> Result<Mixing, ShuffleError> {
        check_count(count)?;
        if count != self.permutation.len() {
            return self.begin_with(Permutation::random(count, rng), rng);
        }
        let Self { key, mut masks, mask_rows, mask_product_rows, permutation, permutation_rows } = self;
        masks.delta[count - 1] = Scalar::ZERO;
        Ok(Mixing { key, masks, mask_rows, mask_product_rows, permutation, permutation_rows })
    }

    /// Fixes a permutation that was mixed with before, to prove that mix with fresh masks.
    pub fn begin_with<R: CryptoRng>(self, permutation: Permutation, rng: &mut R) -> Result<Mixing, ShuffleError> {
        let count = permutation.len();
        check_count(count)?;
        let Self { key, mut masks, mut mask_rows, mut mask_product_rows, permutation: prepared, .. } = self;
        if count != prepared.len() {
            // Rows stay good that are full and hold neither position N of Δ nor the special mask of a single key.
            let common = if count == 1 || prepared.len() == 1 { 0 } else { count.min(prepared.len()) };
            let (kept, kept_products) = (common / key.width(), common.saturating_sub(1) / key.width());
            if common == 0 {
                masks = Masks::random(count, rng);
            } else {
                masks.resize(count, rng);
            }
            let rows = key.rows(count);
            mask_rows.recommit_from(key, kept, &masks.d, rows, rng);
            let products = zeroize::Zeroizing::new(mask_products(&masks.d, &masks.delta));
            mask_product_rows.recommit_from(key, kept_products, &products, rows, rng);
        }
        masks.delta[count - 1] = Scalar::ZERO;
        let permutation_rows = commit_permutation(key, &permutation, rng);
        Ok(Mixing { key, masks, mask_rows, mask_product_rows, permutation, permutation_rows })
    }
}

impl fmt::Debug for Precomputed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Precomputed(for {} keys)", self.permutation.len())
    }
}

fn commit_mask_products<R: CryptoRng>(key: &CommitmentKey, masks: &Masks, rows: usize, rng: &mut R) -> CommittedRows {
    let products = match masks.d.len() {
        0 => Vec::new(),
        _ => mask_products(&masks.d, &masks.delta),
    };
    CommittedRows::commit(key, &zeroize::Zeroizing::new(products), rows, rng)
}

/// C of step 1: the sources counted from 1.
fn commit_permutation<R: CryptoRng>(key: &CommitmentKey, permutation: &Permutation, rng: &mut R) -> CommittedRows {
    let count = permutation.len();
    let sources: Vec<_> = (0..count).map(|output| Scalar::from(permutation.source(output) as u64 + 1)).collect();
    CommittedRows::commit(key, &zeroize::Zeroizing::new(sources), key.rows(count), rng)
}

/// A batch that is being mixed: holds the permutation to mix with, and waits for the proof. Wiped on drop.
#[must_use = "a mix is proved"]
pub struct Mixing {
    pub(super) key: &'static CommitmentKey,
    pub(super) masks: Masks,
    pub(super) mask_rows: CommittedRows,
    pub(super) mask_product_rows: CommittedRows,
    pub(super) permutation: Permutation,
    pub(super) permutation_rows: CommittedRows,
}

impl Mixing {
    /// The permutation to mix with: output i comes from input π(i).
    pub fn permutation(&self) -> &Permutation {
        &self.permutation
    }
}

impl fmt::Debug for Mixing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mixing({} keys)", self.permutation.len())
    }
}
