//! Tests of the argument: completeness, tampering, zero knowledge, and provers that forge against weakened variants.

mod aggregate;
mod completeness;
mod forgeries;
mod lab;
mod reuse;
mod tampering;
mod zero_knowledge;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rayon::prelude::*;

use super::{commitment::CommitmentKey, *};
use crate::{group::SecretScalar, permutation::Permutation};

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A key of rows of `width` columns, for the rest of the process.
fn key(width: usize) -> &'static CommitmentKey {
    Box::leak(Box::new(CommitmentKey::derive(width)))
}

fn random_keys(count: usize, rng: &mut ChaCha20Rng) -> KeyList {
    let secrets: Vec<_> = (0..count).map(|_| SecretScalar::random(rng)).collect();
    KeyList::new(secrets.par_iter().map(|secret| secret.multiply(&Element::base())).collect())
}

fn mix(inputs: &KeyList, permutation: &Permutation, b: &SecretScalar) -> KeyList {
    KeyList::new(permutation.apply(inputs.keys()).par_iter().map(|key| b.multiply(key)).collect())
}

fn statement(b: &SecretScalar) -> Statement {
    let base = SecretScalar::random(&mut rng(99)).multiply(&Element::base());
    Statement {
        context: Digest([1; 32]),
        base,
        blinded_base: b.multiply(&base),
        input_root: Digest([2; 32]),
        output_root: Digest([3; 32]),
        removed: Digest([4; 32]),
    }
}

/// An honest hop with its proof.
struct Hop {
    statement: Statement,
    inputs: KeyList,
    outputs: KeyList,
    b: SecretScalar,
    proof: ShuffleProof,
    permutation: Permutation,
}

impl Hop {
    fn new(key: &'static CommitmentKey, expected: usize, count: usize, rng: &mut ChaCha20Rng) -> Self {
        let mixing = Precomputed::prepare_rows(key, expected, rng).begin(count, rng).expect("an allowed count");
        Self::prove(mixing, random_keys(count, rng), SecretScalar::random(rng), rng)
    }

    fn prove(mixing: Mixing, inputs: KeyList, b: SecretScalar, rng: &mut ChaCha20Rng) -> Self {
        let outputs = mix(&inputs, mixing.permutation(), &b);
        let statement = statement(&b);
        let (proof, permutation) = mixing.prove(&statement, &inputs, &outputs, &b, rng).expect("equal lengths");
        Self { statement, inputs, outputs, b, proof, permutation }
    }

    fn verify(&self, key: &CommitmentKey, rng: &mut ChaCha20Rng) -> Result<VerifiedHop, ShuffleError> {
        verify::verify_rows(key, &self.statement, &self.inputs, &self.outputs, &self.proof, rng)
    }
}
