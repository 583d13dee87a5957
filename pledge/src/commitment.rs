//! Pedersen commitments (Pedersen, CRYPTO 1991) to the counts of a pledge: `v·B + ρ·H`, hiding `v` perfectly and binding
//! whoever knows no logarithm of `H`.

use std::sync::LazyLock;

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_TABLE,
    ristretto::{RistrettoBasepointTable, RistrettoPoint},
    scalar::Scalar,
};
use hippodrome_crypto::group::{Element, SecretScalar};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use zeroize::{Zeroize, Zeroizing};

use crate::{counts::Counts, seed::NoiseSeed, terms::Terms};

/// `H`: an element of which nobody knows the logarithm.
static BLINDING_BASE: LazyLock<Element> = LazyLock::new(|| {
    Element::from_point(Element::hash("hippodrome v1 pledge blinding base", 0)).expect("a hash is not the identity")
});

static BLINDING_TABLE: LazyLock<RistrettoBasepointTable> =
    LazyLock::new(|| RistrettoBasepointTable::create(BLINDING_BASE.point()));

/// The base of the blinding factors.
pub(crate) fn blinding_base() -> &'static Element {
    &BLINDING_BASE
}

/// What is committed to for one output chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainCommitments {
    /// To the number of shared slots.
    pub shared: Element,
    /// To the number of lone records.
    pub lone: Element,
}

impl ChainCommitments {
    /// Both, in the order of encodings and range proofs.
    pub(crate) fn both(&self) -> [&Element; 2] {
        [&self.shared, &self.lone]
    }
}

/// What the commitments of a pledge open to: for chain after chain a value and a blinding factor of each kind.
pub(crate) struct Openings {
    pub(crate) values: Zeroizing<Vec<u32>>,
    pub(crate) blindings: Zeroizing<Vec<Scalar>>,
}

impl Openings {
    /// Derives the blinding factors: other terms or counts give others, so that a seed used twice shows no difference.
    pub(crate) fn derive(terms: &Terms, seed: &NoiseSeed, counts: &Counts) -> Self {
        let mut rng = seed.stream("hippodrome v1 pledge blinding", &counts.topic(terms));
        let mut values = Zeroizing::new(Vec::with_capacity(2 * terms.chain_count()));
        values.extend(counts.values().flatten());
        let blindings = Zeroizing::new(values.iter().map(|_| scalar(&mut rng)).collect());
        Self { values, blindings }
    }

    /// The commitments, in constant time.
    pub(crate) fn commit(&self) -> Vec<ChainCommitments> {
        let elements: Vec<Element> =
            self.values.iter().zip(&*self.blindings).map(|(&value, blinding)| commit(value, blinding)).collect();
        elements.as_chunks().0.iter().map(|&[shared, lone]| ChainCommitments { shared, lone }).collect()
    }

    /// The blinding factor of [`excess`]: `Σ 2σ + λ`.
    pub(crate) fn excess_blinding(&self) -> SecretScalar {
        let sum = self.blindings.as_chunks().0.iter().map(|[shared, lone]| shared + shared + lone).sum();
        SecretScalar::from_scalar(sum).expect("a sum of hashes is zero with probability 2^-252")
    }
}

fn commit(value: u32, blinding: &Scalar) -> Element {
    let point = RISTRETTO_BASEPOINT_TABLE * &Scalar::from(value) + &*BLINDING_TABLE * blinding;
    Element::from_point(point).expect("a commitment under a hash is the identity with probability 2^-252")
}

fn scalar(rng: &mut ChaCha20Rng) -> Scalar {
    let mut wide = [0; 64];
    rng.fill_bytes(&mut wide);
    let scalar = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    scalar
}

/// `Σ (2·S + L) − records·B`: a multiple of the blinding base alone if and only if the committed numbers make up the
/// volume.
pub(crate) fn excess(commitments: &[ChainCommitments], records: u32) -> RistrettoPoint {
    let shared: RistrettoPoint = commitments.iter().map(|chain| chain.shared.point()).sum();
    let lone: RistrettoPoint = commitments.iter().map(|chain| chain.lone.point()).sum();
    shared + shared + lone - RISTRETTO_BASEPOINT_TABLE * &Scalar::from(records)
}
