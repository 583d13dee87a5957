//! The shuffle argument: a server shows in zero knowledge that its outputs are its inputs, each multiplied by the one
//! secret `b` of its blinding key, in an order that it does not tell.
//!
//! # What is proved
//! Public are the input keys `X_1..X_N`, the output keys `Y_1..Y_N` and the blinding key `Q = b·P`. The prover knows
//! a permutation π and `b` with `Y_i = b·X_{π(i)}` for every i. Someone who knows all links but two learns nothing
//! about those two: the transcript can be simulated perfectly from `(X, Y, P, Q)`.
//!
//! # How
//! The skeleton is Groth's shuffle of known content (*A Verifiable Secret Shuffle of Homomorphic Encryptions*,
//! J. Cryptology 2010), with the commitment to the permutation before the challenges as in Bayer and Groth (EUROCRYPT
//! 2012). One exponent shared by all outputs lets one vector of responses serve the product and the linear relation.
//! Vectors are committed row by row over fixed generators `G_1..G_n` with `n = 4096` ([`ROW_WIDTH`]); position i lies
//! in row ⌊(i−1)/n⌋ and column (i−1) mod n, every vector has ⌈N/n⌉ rows, and no row holds padding. `com` below is the
//! list of row commitments.
//!
//! * **Step 0, statement.** Context digest, N, P, Q, digests of all X and all Y, both Merkle roots and the digest of
//!   the removed records are hashed before anything else.
//! * **Step 1, permutation.** `C = com(π(1)..π(N))`.
//! * **Step 2, challenges** `t_1..t_N` of 128 bits: π was fixed before they were known.
//! * **Step 3, permuted challenges.** `E = com(t_{π(1)}..t_{π(N)})`.
//! * **Step 4, challenges** λ and z of full size. Now `V = λC + E − z·ΣG` commits to `v_i = λπ(i) + t_{π(i)} − z`, and
//!   honest v are a permutation of the public `u_j = λj + t_j − z`.
//! * **Step 5, first messages.** With uniform masks d, Δ, β (`Δ_1 = d_1`, `Δ_N = 0`, for N = 1 also `d_1 = 0`) and
//!   the prefix products `a_i = v_1…v_i`: `D = com(d)`, `C_Δ = com(−Δ_i·d_{i+1})`, `C_a = com(Δ_{i+1} − a_i·d_{i+1} −
//!   Δ_i·v_{i+1})`, the latter two of N − 1 values; `R = Σ d_i·Y_i − β·T` for `T = Σ u_j·X_j`; `B' = β·P`.
//! * **Step 6, challenge** e of full size, not zero. A prover can place up to N roots of check 2, so a short e would
//!   lose log2 N bits.
//! * **Step 7, responses.** `g_i = e·v_i + d_i`, `f_i = e·(C_a's value) + (C_Δ's value)`, `b̂ = e·b + β`, and the
//!   randomizers that open `e·V + D` and `e·C_a + C_Δ`.
//!
//! The verifier accepts when
//! 1. `com(g) = e·V + D` and `com(f) = e·C_a + C_Δ` in every row;
//! 2. with `F_1 = g_1` and `F_{i+1} = (F_i·g_{i+1} + f_i)/e`, the last is `F_N = e·Π u_j`;
//! 3. `Σ g_i·Y_i − b̂·T = R` and `b̂·P = e·Q + B'`;
//! 4. everything is canonical, P, Q and all Y are not the identity (by type: [`Element`]), lengths agree and e ≠ 0.
//!
//! Checks 1 and 2 say that the v are a permutation of the u as polynomials in λ and z, hence that π is a permutation
//! and E matches it; check 3 says `Σ v_i·Y_i = b·Σ u_j·X_j` without ever showing that point, which would let links be
//! tested. Checks 1 and 3 are folded into one multiscalar multiplication with fresh random weights of the verifier.
//! Forging takes about `1 / max(2^-128, N/q)` hashes, or a discrete logarithm among the generators.
//!
//! That the X are distinct and come with proofs of knowledge is established before, where a batch enters a chain: a
//! violation there is the submitter's and not the prover's.
//!
//! # Limits
//! Multiscalar multiplications over secrets run in variable time. Against observers on the network only their total
//! over N terms shows; against an attacker on the same machine the prover is not protected.

pub mod aggregate;
mod algebra;
mod commitment;
pub(crate) mod multiscalar;
mod oracle;
mod precompute;
mod proof;
mod prove;
#[cfg(test)]
mod tests;
mod verify;

pub use commitment::ROW_WIDTH;
pub use precompute::{Mixing, Precomputed};
pub use proof::ShuffleProof;
pub use verify::verify;

use crate::{
    group::{DecodeError, Element},
    hash::Digest,
    key_list::KeyList,
};

/// The most keys of one batch: the soundness bound is stated for it, and larger counts are refused before allocation.
pub const MAX_COUNT: usize = 1 << 24;

/// What a hop's proof is about, beside the two lists of keys. The caller makes it from what it has checked itself:
/// keys from the signed descriptor, roots from signed batches; nothing of it is taken from the proof's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Digest of protocol version, network, epoch, descriptor, layer, chain, hop and server.
    pub context: Digest,
    /// `P`: the blinding key of the hop before, or the base point.
    pub base: Element,
    /// `Q = b·P`: the blinding key of this hop.
    pub blinded_base: Element,
    /// Merkle root of the batch as received.
    pub input_root: Digest,
    /// Merkle root of the batch as put out.
    pub output_root: Digest,
    /// Digest of the records that were publicly removed between `input_root` and the input keys.
    pub removed: Digest,
}

/// Why there is no proof, or why one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShuffleError {
    /// No keys: there is nothing to prove.
    #[error("a batch has at least one key")]
    EmptyBatch,
    /// More keys than [`MAX_COUNT`].
    #[error("{count} keys in a batch, at most {MAX_COUNT} are allowed")]
    TooManyKeys {
        /// Keys in the batch.
        count: usize,
    },
    /// Inputs, outputs and proof (or permutation) are not about one number of keys.
    #[error("{actual} keys where the batch has {expected}")]
    CountMismatch {
        /// Number of input keys.
        expected: usize,
        /// The other number.
        actual: usize,
    },
    /// The proof has not the length that the number of keys determines.
    #[error("a proof of {actual} bytes where {expected} are expected")]
    Length {
        /// Bytes that the number of keys determines.
        expected: usize,
        /// Bytes that came.
        actual: usize,
    },
    /// A commitment or a scalar of the proof is not canonical.
    #[error("a part of the proof is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The last challenge is zero, which happens by chance with probability 2^-252.
    #[error("the challenge e is zero")]
    ZeroChallenge,
    /// Check 2: the committed values are not a permutation of the public ones.
    #[error("the product check fails: the committed values are no permutation of the public ones")]
    Product,
    /// Checks 1 and 3: an opening, or the relation between inputs, outputs and the blinding key, does not hold.
    #[error("the openings or the linear relation between inputs and outputs do not hold")]
    Relation,
    /// The aggregate proof does not hold.
    #[error("the sum of the outputs is not the blinded sum of the inputs")]
    Sum,
}

/// How much a [`VerifiedHop`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// Every output is a blinded input, in a secret order.
    Full,
    /// The sum of the outputs is the blinded sum of the inputs: see [`aggregate`] for what else has to hold.
    Aggregate,
}

/// A hop whose proof was verified. Only the verifiers of this module make it.
#[must_use = "a verified hop is what later steps ask for"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedHop {
    statement: Statement,
    input_keys: Digest,
    output_keys: Digest,
    count: usize,
    strength: Strength,
}

impl VerifiedHop {
    fn new(statement: &Statement, inputs: &KeyList, outputs: &KeyList, strength: Strength) -> Self {
        Self {
            statement: statement.clone(),
            input_keys: *inputs.digest(),
            output_keys: *outputs.digest(),
            count: inputs.len(),
            strength,
        }
    }

    /// Digest of protocol version, network, epoch, descriptor, layer, chain, hop and server.
    pub fn context(&self) -> &Digest {
        &self.statement.context
    }

    /// `P`, under which the hop was verified.
    pub fn base(&self) -> &Element {
        &self.statement.base
    }

    /// `Q = b·P`, under which the hop was verified.
    pub fn blinded_base(&self) -> &Element {
        &self.statement.blinded_base
    }

    /// Digest of the input keys ([`KeyList::digest`]).
    pub fn input_keys(&self) -> &Digest {
        &self.input_keys
    }

    /// Digest of the output keys ([`KeyList::digest`]).
    pub fn output_keys(&self) -> &Digest {
        &self.output_keys
    }

    /// Merkle root of the batch as received.
    pub fn input_root(&self) -> &Digest {
        &self.statement.input_root
    }

    /// Merkle root of the batch as put out.
    pub fn output_root(&self) -> &Digest {
        &self.statement.output_root
    }

    /// Digest of the publicly removed records.
    pub fn removed(&self) -> &Digest {
        &self.statement.removed
    }

    /// How many keys went through.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What was verified about them.
    pub fn strength(&self) -> Strength {
        self.strength
    }
}

/// Refuses numbers of keys that no proof is made for.
fn check_count(count: usize) -> Result<(), ShuffleError> {
    match count {
        0 => Err(ShuffleError::EmptyBatch),
        1..=MAX_COUNT => Ok(()),
        _ => Err(ShuffleError::TooManyKeys { count }),
    }
}

/// Checks that both lists have one allowed length, and returns it.
fn common_count(inputs: &KeyList, outputs: &KeyList) -> Result<usize, ShuffleError> {
    let expected = inputs.len();
    check_count(expected)?;
    if outputs.len() != expected {
        return Err(ShuffleError::CountMismatch { expected, actual: outputs.len() });
    }
    Ok(expected)
}
