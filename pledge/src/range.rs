//! Aggregated range proofs (Bünz et al., "Bulletproofs", IEEE S&P 2018): every committed value is below a power of two.
//!
//! The only place that sees the older generation of the group's library, which the proofs are built on. The two share
//! their encodings, and nothing else crosses.

use std::{ops::Range, sync::LazyLock};

use bulletproofs::{BulletproofGens, PedersenGens, RangeProof};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek_4::{
    constants::RISTRETTO_BASEPOINT_POINT, ristretto::CompressedRistretto, scalar::Scalar as ProofScalar,
};
use hippodrome_crypto::{
    group::{ENCODED_LEN, Element},
    hash::{Digest, Hasher},
};
use merlin::Transcript;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::Rng;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::commitment::{Openings, blinding_base};

/// Most values of one proof. More would make the proofs shorter, and the table of generators longer.
const VALUES_PER_PROOF: usize = 64;

/// Elements and scalars of a proof beside the two elements for each halving of its bits.
const FIXED_PARTS: usize = 9;

/// Bits of the committed values: all that the proofs can be made for and a pledge needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Bits8 = 8,
    Bits16 = 16,
    Bits32 = 32,
}

impl Width {
    /// The least that holds a number.
    pub(crate) fn holding(number: u32) -> Self {
        match number {
            0..0x100 => Self::Bits8,
            0x100..0x1_0000 => Self::Bits16,
            _ => Self::Bits32,
        }
    }
}

/// A proof does not hold for its part of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refuted {
    pub(crate) part: usize,
}

struct Generators {
    commitment: PedersenGens,
    bits: BulletproofGens,
}

static GENERATORS: LazyLock<Generators> = LazyLock::new(|| Generators {
    commitment: PedersenGens {
        B: RISTRETTO_BASEPOINT_POINT,
        B_blinding: CompressedRistretto(*blinding_base().encoded()).decompress().expect("an encoded element"),
    },
    bits: BulletproofGens::new(Width::Bits32 as usize, VALUES_PER_PROOF),
});

/// The values of each proof.
fn parts(count: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    (0..count.div_ceil(VALUES_PER_PROOF))
        .map(move |part| part * VALUES_PER_PROOF..count.min((part + 1) * VALUES_PER_PROOF))
}

/// Bytes of the proof for one part.
fn part_len(values: usize, width: Width) -> usize {
    let halvings = (width as usize * values.next_power_of_two()).ilog2() as usize;
    (FIXED_PARTS + 2 * halvings) * ENCODED_LEN
}

/// Bytes of all proofs for so many values.
pub(crate) fn len(count: usize, width: Width) -> usize {
    parts(count).map(|part| part_len(part.len(), width)).sum()
}

/// Proves that all values have `width` bits, which is the caller's to see to, in a context.
pub(crate) fn prove(openings: &Openings, width: Width, context: &Digest, mut rng: ChaCha20Rng) -> Vec<u8> {
    let parts: Vec<_> = parts(openings.values.len()).map(|part| (part, ChaCha20Rng::from_rng(&mut rng))).collect();
    let proofs = parts.into_par_iter().enumerate().map(|(index, (part, rng))| {
        let (values, blindings) = padded(openings, part);
        let mut transcript = transcript(context, index);
        let generators = &*GENERATORS;
        let proof = RangeProof::prove_multiple_with_rng(
            &generators.bits,
            &generators.commitment,
            &mut transcript,
            &values,
            &blindings,
            width as usize,
            &mut ProofRng(rng),
        );
        proof.expect("the generators suffice, and the number of values is a power of two").0.to_bytes()
    });
    proofs.collect::<Vec<_>>().concat()
}

/// Checks the proofs of all parts, whose bytes are as many as [`len`] says; otherwise names the first that does not hold.
pub(crate) fn verify(commitments: &[Element], width: Width, context: &Digest, proofs: &[u8]) -> Result<(), Refuted> {
    let mut rest = proofs;
    let parts: Vec<_> = parts(commitments.len())
        .map(|part| {
            let (proof, behind) = rest.split_at_checked(part_len(part.len(), width)).unwrap_or((rest, &[]));
            rest = behind;
            (&commitments[part], proof)
        })
        .collect();
    let holds = |index: usize| holds(parts[index].0, width, context, index, parts[index].1);
    match (0..parts.len()).into_par_iter().find_first(|&index| !holds(index)) {
        Some(part) => Err(Refuted { part }),
        None => Ok(()),
    }
}

fn holds(commitments: &[Element], width: Width, context: &Digest, part: usize, proof: &[u8]) -> bool {
    let Ok(parsed) = RangeProof::from_bytes(proof) else { return false };
    // A commitment to zero without blinding is the identity, which has only zeros.
    let mut encoded = vec![CompressedRistretto([0; ENCODED_LEN]); commitments.len().next_power_of_two()];
    encoded.iter_mut().zip(commitments).for_each(|(encoded, commitment)| encoded.0 = *commitment.encoded());
    let generators = &*GENERATORS;
    let verdict = parsed.verify_multiple_with_rng(
        &generators.bits,
        &generators.commitment,
        &mut transcript(context, part),
        &encoded,
        width as usize,
        &mut weights(context, part, proof),
    );
    verdict.is_ok()
}

/// Values and blinding factors of a part, with zeros up to the next power of two.
fn padded(openings: &Openings, part: Range<usize>) -> (Zeroizing<Vec<u64>>, Zeroizing<Vec<ProofScalar>>) {
    let count = part.len().next_power_of_two();
    let mut values = Zeroizing::new(vec![0; count]);
    let mut blindings = Zeroizing::new(vec![ProofScalar::ZERO; count]);
    values.iter_mut().zip(&openings.values[part.clone()]).for_each(|(to, &from)| *to = from.into());
    blindings.iter_mut().zip(&openings.blindings[part]).for_each(|(to, from)| *to = convert(from));
    (values, blindings)
}

fn convert(scalar: &Scalar) -> ProofScalar {
    Option::from(ProofScalar::from_canonical_bytes(scalar.to_bytes())).expect("both generations have one encoding")
}

/// Binds a proof to the context and to its part. The proof's own protocol absorbs width, count and commitments.
fn transcript(context: &Digest, part: usize) -> Transcript {
    let mut transcript = Transcript::new(b"hippodrome v1 pledge range");
    transcript.append_message(b"context", context.as_bytes());
    transcript.append_u64(b"part", part as u64);
    transcript
}

/// What weighs the two equations of a proof against each other: from all that the prover has said, so that it could not
/// know the weight before.
fn weights(context: &Digest, part: usize, proof: &[u8]) -> ProofRng {
    let seed =
        Hasher::new("hippodrome v1 pledge range weights").digest(context).number(part as u64).bytes(proof).finish();
    ProofRng(ChaCha20Rng::from_seed(seed.0))
}

/// A generator as the proofs' library wants it.
struct ProofRng(ChaCha20Rng);

impl rand_core_06::RngCore for ProofRng {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for ProofRng {}
