//! The challenges of the argument: prover and verifier absorb the same messages in the same order.

use core::iter;

use curve25519_dalek::scalar::Scalar;
use rayon::prelude::*;

use super::{
    ShuffleError, Statement,
    commitment::{Commitment, encodings},
};
use crate::{key_list::KeyList, transcript::Transcript};

/// Bytes of one challenge `t_j`: 128 bits bound the error of the linear relation, and no factor N comes in there.
const SHORT_CHALLENGE_LEN: usize = 16;

/// Challenges expanded by one task.
const CHUNK: usize = 4096;

/// The transcript of one proof.
pub(super) struct Oracle(Transcript);

impl Oracle {
    /// Step 0: absorbs the whole statement.
    pub(super) fn new(statement: &Statement, inputs: &KeyList, outputs: &KeyList) -> Self {
        let mut transcript = Transcript::new(b"hippodrome v1 shuffle");
        absorb_statement(&mut transcript, statement, inputs, outputs);
        Self(transcript)
    }

    /// Steps 1 and 2: absorbs C, draws `t_1..t_N`.
    pub(super) fn matching_challenges(&mut self, permutation: &[Commitment], count: usize) -> Vec<Scalar> {
        self.0.commitments(b"C", &encodings(permutation));
        expand_short(&self.0.wide(b"t"), count)
    }

    /// Steps 3 and 4: absorbs E, draws λ and z.
    pub(super) fn product_challenges(&mut self, matching: &[Commitment]) -> (Scalar, Scalar) {
        self.0.commitments(b"E", &encodings(matching));
        (self.0.scalar(b"lambda"), self.0.scalar(b"z"))
    }

    /// Steps 5 and 6: absorbs the first messages, draws e.
    pub(super) fn response_challenge(&mut self, first: &FirstMessages) -> Result<Scalar, ShuffleError> {
        self.0.commitments(b"D", &encodings(&first.masks));
        self.0.commitments(b"C_Delta", &encodings(&first.mask_products));
        self.0.commitments(b"C_a", &encodings(&first.cross_terms));
        self.0.commitments(b"R", &[first.link.encoded]);
        self.0.commitments(b"B'", &[first.key_mask.encoded]);
        nonzero(self.0.scalar(b"e"))
    }
}

/// The messages of step 5.
pub(super) struct FirstMessages {
    /// D.
    pub(super) masks: Vec<Commitment>,
    /// C_Δ.
    pub(super) mask_products: Vec<Commitment>,
    /// C_a.
    pub(super) cross_terms: Vec<Commitment>,
    /// R.
    pub(super) link: Commitment,
    /// B'.
    pub(super) key_mask: Commitment,
}

/// Absorbs a statement with the two lists of keys.
pub(super) fn absorb_statement(
    transcript: &mut Transcript,
    statement: &Statement,
    inputs: &KeyList,
    outputs: &KeyList,
) {
    transcript.digest(b"context", &statement.context);
    transcript.number(b"count", inputs.len() as u64);
    transcript.element(b"P", &statement.base);
    transcript.element(b"Q", &statement.blinded_base);
    transcript.digest(b"X", inputs.digest());
    transcript.digest(b"Y", outputs.digest());
    transcript.digest(b"input root", &statement.input_root);
    transcript.digest(b"output root", &statement.output_root);
    transcript.digest(b"removed", &statement.removed);
}

/// Refuses the challenge zero: its inverse would be taken to be zero, and every batch would pass.
pub(super) fn nonzero(e: Scalar) -> Result<Scalar, ShuffleError> {
    if e == Scalar::ZERO { Err(ShuffleError::ZeroChallenge) } else { Ok(e) }
}

/// Expands 64 bytes into 128-bit challenges.
pub(super) fn expand_short(seed: &[u8; 64], count: usize) -> Vec<Scalar> {
    let mut hasher = blake3::Hasher::new_derive_key("hippodrome v1 shuffle challenge t");
    hasher.update(seed);
    let expand = |chunk: usize| {
        let mut bytes = vec![[0; SHORT_CHALLENGE_LEN]; CHUNK.min(count - chunk * CHUNK)];
        let mut stream = hasher.finalize_xof();
        stream.set_position((chunk * CHUNK * SHORT_CHALLENGE_LEN) as u64);
        stream.fill(bytes.as_flattened_mut());
        bytes.into_iter().map(|bytes| Scalar::from(u128::from_le_bytes(bytes))).collect::<Vec<_>>()
    };
    (0..count.div_ceil(CHUNK)).into_par_iter().flat_map_iter(expand).collect()
}

/// `u_j = λj + t_j − z` with j counted from 1.
pub(super) fn public_values(lambda: &Scalar, z: &Scalar, t: &[Scalar]) -> Vec<Scalar> {
    let multiples = iter::successors(Some(lambda - z), |multiple| Some(multiple + lambda));
    multiples.zip(t).map(|(multiple, t)| multiple + t).collect()
}
