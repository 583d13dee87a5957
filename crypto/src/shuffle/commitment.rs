//! Pedersen commitments to vectors, row by row over a fixed set of generators.

use std::sync::LazyLock;

use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
};
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::multiscalar::multiscalar;
use crate::group::{DecodeError, Element};

/// Columns of a row: the key and the verifier's work on the generators stay constant however large a batch is.
pub const ROW_WIDTH: usize = 4096;

/// Wide random bytes drawn at once, so that a system generator is asked seldom.
const SCALARS_PER_DRAW: usize = 1024;

static KEY: LazyLock<CommitmentKey> = LazyLock::new(|| CommitmentKey::derive(ROW_WIDTH));

/// The generators `H, G_1..G_n`, hashed to the group, so that nobody knows a relation between them.
pub(super) struct CommitmentKey {
    /// `H`, which carries the randomizer.
    pub(super) blinding: RistrettoPoint,
    /// `G_1..G_n`.
    pub(super) generators: Vec<RistrettoPoint>,
}

impl CommitmentKey {
    /// The key of the protocol, derived once in a process.
    pub(super) fn global() -> &'static Self {
        &KEY
    }

    /// Derives the key for rows of `width` columns.
    pub(super) fn derive(width: usize) -> Self {
        Self {
            blinding: Element::hash("hippodrome v1 commitment key H", 0),
            // Not on the thread pool: a thread that waits inside the initialisation of the process-wide key might take
            // up another task that needs it.
            generators: (0..width as u64)
                .map(|column| Element::hash("hippodrome v1 commitment key G", column))
                .collect(),
        }
    }

    /// Columns of a row.
    pub(super) fn width(&self) -> usize {
        self.generators.len()
    }

    /// Rows of every vector of a batch of `count` keys.
    pub(super) fn rows(&self, count: usize) -> usize {
        count.div_ceil(self.width())
    }

    /// The part of a vector that lies in row `row`; empty where the vector has ended.
    pub(super) fn row<'a, T>(&self, values: &'a [T], row: usize) -> &'a [T] {
        let start = (row * self.width()).min(values.len());
        let end = (start + self.width()).min(values.len());
        &values[start..end]
    }

    /// Commits to one row.
    pub(super) fn commit_row(&self, values: &[Scalar], randomizer: &Scalar) -> RistrettoPoint {
        debug_assert!(values.len() <= self.width());
        multiscalar(values, &self.generators[..values.len()], |point| point) + self.blinding * randomizer
    }
}

/// A commitment, or another point of a proof, beside its encoding.
///
/// It may be the identity: no check gains from refusing it, and a perfectly complete proof may contain it.
#[derive(Clone, Copy)]
pub(super) struct Commitment {
    pub(super) point: RistrettoPoint,
    pub(super) encoded: CompressedRistretto,
}

impl Commitment {
    /// Decodes 32 bytes; refuses non-canonical encodings.
    pub(super) fn decode(bytes: &[u8; 32]) -> Result<Self, DecodeError> {
        let encoded = CompressedRistretto(*bytes);
        let point = encoded.decompress().ok_or(DecodeError::NonCanonicalElement)?;
        Ok(Self { point, encoded })
    }
}

impl From<RistrettoPoint> for Commitment {
    fn from(point: RistrettoPoint) -> Self {
        Self { point, encoded: point.compress() }
    }
}

/// The encodings of some commitments, for the transcript.
pub(super) fn encodings(commitments: &[Commitment]) -> Vec<CompressedRistretto> {
    commitments.iter().map(|commitment| commitment.encoded).collect()
}

/// The prover's side of a committed vector: one randomizer and one commitment for each row. Wiped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct CommittedRows {
    pub(super) randomizers: Vec<Scalar>,
    pub(super) points: Vec<RistrettoPoint>,
}

impl CommittedRows {
    /// Commits to a vector in `rows` rows.
    pub(super) fn commit<R: CryptoRng>(key: &CommitmentKey, values: &[Scalar], rows: usize, rng: &mut R) -> Self {
        Self::commit_with(key, values, random_scalars(rows, rng))
    }

    /// Commits to a vector with given randomizers, one for each row.
    pub(super) fn commit_with(key: &CommitmentKey, values: &[Scalar], mut randomizers: Zeroizing<Vec<Scalar>>) -> Self {
        let points = commit_rows(key, values, &randomizers, 0);
        Self { randomizers: core::mem::take(&mut *randomizers), points }
    }

    /// Keeps the first `kept` rows and commits to the vector anew from there up to `rows` rows.
    pub(super) fn recommit_from<R: CryptoRng>(
        &mut self,
        key: &CommitmentKey,
        kept: usize,
        values: &[Scalar],
        rows: usize,
        rng: &mut R,
    ) {
        let mut randomizers = random_scalars(rows, rng);
        randomizers[..kept].copy_from_slice(&self.randomizers[..kept]);
        self.points.truncate(kept);
        self.points.extend(commit_rows(key, values, &randomizers, kept));
        self.randomizers.zeroize();
        self.randomizers = core::mem::take(&mut *randomizers);
    }

    /// The commitments for the proof.
    pub(super) fn publish(&self) -> Vec<Commitment> {
        self.points.iter().map(|&point| Commitment::from(point)).collect()
    }
}

/// Commitments to the rows of a vector from row `first` on.
fn commit_rows(key: &CommitmentKey, values: &[Scalar], randomizers: &[Scalar], first: usize) -> Vec<RistrettoPoint> {
    let rows = (first..randomizers.len()).into_par_iter();
    rows.map(|row| key.commit_row(key.row(values, row), &randomizers[row])).collect()
}

/// Uniform scalars: 64 random bytes reduced, each.
pub(super) fn random_scalars<R: CryptoRng>(count: usize, rng: &mut R) -> Zeroizing<Vec<Scalar>> {
    let mut scalars = Zeroizing::new(Vec::with_capacity(count));
    let mut wide = Zeroizing::new(vec![[0u8; 64]; count.min(SCALARS_PER_DRAW)]);
    while scalars.len() < count {
        let drawn = wide.len().min(count - scalars.len());
        rng.fill_bytes(wide[..drawn].as_flattened_mut());
        scalars.extend(wide[..drawn].iter().map(Scalar::from_bytes_mod_order_wide));
    }
    scalars
}
