//! The proof and its one encoding.

use curve25519_dalek::scalar::Scalar;

use super::{
    ShuffleError, check_count,
    commitment::{Commitment, CommitmentKey},
    oracle::FirstMessages,
};
use crate::group::{DecodeError, ENCODED_LEN, decode_scalar};

/// A parsed proof: about 64 bytes for each key. It holds no secret.
///
/// On the wire, each part as 32 bytes and without any length: rows of C, E, D, C_Δ, C_a; R; B'; g (N scalars);
/// f (N − 1 scalars); b̂; the randomizers of the rows of g and of f.
pub struct ShuffleProof {
    /// C, of step 1.
    pub(super) permutation: Vec<Commitment>,
    /// E, of step 3.
    pub(super) matching: Vec<Commitment>,
    /// D, C_Δ, C_a, R, B', of step 5.
    pub(super) first: FirstMessages,
    /// The answers of step 7.
    pub(super) responses: Responses,
}

/// The answers of step 7.
pub(super) struct Responses {
    /// g.
    pub(super) values: Vec<Scalar>,
    /// f.
    pub(super) products: Vec<Scalar>,
    /// b̂.
    pub(super) key: Scalar,
    /// Randomizers of `e·V + D`.
    pub(super) value_randomizers: Vec<Scalar>,
    /// Randomizers of `e·C_a + C_Δ`.
    pub(super) product_randomizers: Vec<Scalar>,
}

impl ShuffleProof {
    /// Parses the proof of a batch of `count` keys: all lengths follow from `count`, which is the caller's.
    pub fn parse(bytes: &[u8], count: usize) -> Result<Self, ShuffleError> {
        Self::parse_rows(CommitmentKey::global(), bytes, count)
    }

    pub(super) fn parse_rows(key: &CommitmentKey, bytes: &[u8], count: usize) -> Result<Self, ShuffleError> {
        check_count(count)?;
        let rows = key.rows(count);
        let expected = ENCODED_LEN * encoded_parts(count, rows);
        if bytes.len() != expected {
            return Err(ShuffleError::Length { expected, actual: bytes.len() });
        }
        let mut parts = Parts(bytes.as_chunks().0);
        Ok(Self {
            permutation: parts.commitments(rows)?,
            matching: parts.commitments(rows)?,
            first: FirstMessages {
                masks: parts.commitments(rows)?,
                mask_products: parts.commitments(rows)?,
                cross_terms: parts.commitments(rows)?,
                link: parts.commitment()?,
                key_mask: parts.commitment()?,
            },
            responses: Responses {
                values: parts.scalars(count)?,
                products: parts.scalars(count - 1)?,
                key: parts.scalar()?,
                value_randomizers: parts.scalars(rows)?,
                product_randomizers: parts.scalars(rows)?,
            },
        })
    }

    /// The encoding that [`ShuffleProof::parse`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { permutation, matching, first, responses } = self;
        let rows = [permutation, matching, &first.masks, &first.mask_products, &first.cross_terms];
        let mut bytes = Vec::with_capacity(ENCODED_LEN * encoded_parts(self.count(), permutation.len()));
        for commitment in rows.into_iter().flatten().chain([&first.link, &first.key_mask]) {
            bytes.extend_from_slice(commitment.encoded.as_bytes());
        }
        let scalars = responses.values.iter().chain(&responses.products).chain([&responses.key]);
        for scalar in scalars.chain(&responses.value_randomizers).chain(&responses.product_randomizers) {
            bytes.extend_from_slice(scalar.as_bytes());
        }
        bytes
    }

    /// How many keys the proof is about.
    pub fn count(&self) -> usize {
        self.responses.values.len()
    }

    /// Bytes of the proof of a batch of `count` keys.
    pub fn encoded_len(count: usize) -> Result<usize, ShuffleError> {
        check_count(count)?;
        Ok(ENCODED_LEN * encoded_parts(count, count.div_ceil(super::ROW_WIDTH)))
    }
}

impl core::fmt::Debug for ShuffleProof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ShuffleProof({} keys)", self.count())
    }
}

/// Points and scalars of a proof: five vectors of commitments, R and B'; g, f, b̂ and two vectors of randomizers.
fn encoded_parts(count: usize, rows: usize) -> usize {
    (5 * rows + 2) + (count + (count - 1) + 1 + 2 * rows)
}

/// The 32-byte parts of a proof whose number was checked before.
struct Parts<'a>(&'a [[u8; ENCODED_LEN]]);

impl<'a> Parts<'a> {
    fn take(&mut self, count: usize) -> &'a [[u8; ENCODED_LEN]] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn commitment(&mut self) -> Result<Commitment, DecodeError> {
        Commitment::decode(&self.take(1)[0])
    }

    fn commitments(&mut self, count: usize) -> Result<Vec<Commitment>, DecodeError> {
        self.take(count).iter().map(Commitment::decode).collect()
    }

    fn scalar(&mut self) -> Result<Scalar, DecodeError> {
        decode_scalar(&self.take(1)[0])
    }

    fn scalars(&mut self, count: usize) -> Result<Vec<Scalar>, DecodeError> {
        self.take(count).iter().map(decode_scalar).collect()
    }
}
