//! Schnorr signatures of knowledge (Schnorr, J. Cryptology 1991): whoever published `public = secret · base` knows the
//! secret, and says so for one context.
//!
//! A proof is commitment `R = k·base` and response `s = k + c·secret`, where the challenge `c` binds base, public key,
//! context and commitment. Sending `R` rather than `c` lets many proofs be checked as one sum.

use core::fmt;

use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{IsIdentity, VartimeMultiscalarMul},
};
use rand_core::CryptoRng;
use rayon::prelude::*;

use crate::{
    group::{DecodeError, ENCODED_LEN, Element, SecretScalar, decode_scalar},
    hash::{Digest, hex},
    transcript::Transcript,
};

/// Bytes of an encoded proof.
pub const KNOWLEDGE_LEN: usize = 2 * ENCODED_LEN;

/// Claims checked in one sum: two terms each, and larger sums gain nothing from wider windows.
const CLAIMS_PER_SUM: usize = 2048;

/// Below this many claims, looking at each costs no more than halving further.
const CLAIMS_ONE_BY_ONE: usize = 8;

/// Why a proof of knowledge is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnowledgeError {
    /// The first half is not an element.
    #[error("the commitment of a proof of knowledge: {0}")]
    Commitment(DecodeError),
    /// The second half is not a scalar.
    #[error("the response of a proof of knowledge: {0}")]
    Response(DecodeError),
    /// The proof is for another secret, base, public key or context.
    #[error("the proof of knowledge does not hold for this base, public key and context")]
    Refuted,
}

/// A proof of knowledge as it travels: commitment, then response. Nothing is checked before [`Knowledge::verify`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Knowledge([u8; KNOWLEDGE_LEN]);

impl Knowledge {
    /// Proves knowledge of `secret`, where `public = secret · base`, for one context.
    pub fn sign<R: CryptoRng>(
        secret: &SecretScalar,
        base: &Element,
        public: &Element,
        context: &Digest,
        rng: &mut R,
    ) -> Self {
        let nonce = SecretScalar::random(rng);
        let commitment = nonce.multiply(base);
        let challenge = challenge(transcript(base), public, context, &commitment);
        let response = nonce.expose() + challenge * secret.expose();
        let mut bytes = [0; KNOWLEDGE_LEN];
        bytes[..ENCODED_LEN].copy_from_slice(commitment.encoded());
        bytes[ENCODED_LEN..].copy_from_slice(response.as_bytes());
        Self(bytes)
    }

    /// Checks this one proof. For many, [`verify_batch`] costs a fraction.
    pub fn verify(&self, base: &Element, public: &Element, context: &Digest) -> Result<(), KnowledgeError> {
        let equation = Equation::parse(self, transcript(base), public, context, Scalar::ONE)?;
        if holds(base, core::slice::from_ref(&equation)) { Ok(()) } else { Err(KnowledgeError::Refuted) }
    }

    /// Takes 64 bytes as they came; what they are worth, [`Knowledge::verify`] says.
    pub fn from_bytes(bytes: [u8; KNOWLEDGE_LEN]) -> Self {
        Self(bytes)
    }

    /// Commitment, then response.
    pub fn to_bytes(&self) -> [u8; KNOWLEDGE_LEN] {
        self.0
    }
}

impl fmt::Debug for Knowledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Knowledge({})", hex(&self.0[..4]))
    }
}

/// One proof to be checked among many over the same base.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// What the secret times the base is.
    pub public: Element,
    /// What the proof was made for.
    pub context: Digest,
    /// The proof.
    pub proof: Knowledge,
}

/// Checks all claims as a few folded sums; otherwise returns the ascending indices of exactly those that fail.
///
/// Each claim's equation gets a fresh 128-bit weight from `rng`, so a sum with a false equation vanishes with
/// probability 2^-128 (Bellare, Garay and Rabin, EUROCRYPT 1998). The weights must be unpredictable to the provers.
pub fn verify_batch<R: CryptoRng>(base: &Element, claims: &[Claim], rng: &mut R) -> Result<(), Vec<usize>> {
    let mut weights = vec![0; claims.len() * 16];
    rng.fill_bytes(&mut weights);
    let transcript = transcript(base);
    let bad: Vec<usize> = claims
        .par_chunks(CLAIMS_PER_SUM)
        .zip(weights.par_chunks(CLAIMS_PER_SUM * 16))
        .enumerate()
        .flat_map_iter(|(chunk, (claims, weights))| {
            refuted(base, &transcript, claims, weights).into_iter().map(move |index| chunk * CLAIMS_PER_SUM + index)
        })
        .collect();
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

/// The ascending indices of the bad claims of one chunk: those that do not parse, and those that do not hold.
fn refuted(base: &Element, transcript: &Transcript, claims: &[Claim], weights: &[u8]) -> Vec<usize> {
    let mut bad = Vec::new();
    let mut indices = Vec::with_capacity(claims.len());
    let mut equations = Vec::with_capacity(claims.len());
    for (index, (claim, weight)) in claims.iter().zip(weights.as_chunks::<16>().0).enumerate() {
        let weight = Scalar::from(u128::from_le_bytes(*weight));
        match Equation::parse(&claim.proof, transcript.clone(), &claim.public, &claim.context, weight) {
            Ok(equation) => {
                indices.push(index);
                equations.push(equation);
            }
            Err(_) => bad.push(index),
        }
    }
    search(base, &equations, &indices, &mut bad);
    bad.sort_unstable();
    bad
}

/// Adds the indices of the equations that fail, halving until few are left. The weights stay: the claims were fixed
/// before they were drawn, and no verdict has left this function.
fn search(base: &Element, equations: &[Equation], indices: &[usize], bad: &mut Vec<usize>) {
    if equations.is_empty() || holds(base, equations) {
        return;
    }
    if equations.len() <= CLAIMS_ONE_BY_ONE {
        let each = equations.iter().zip(indices);
        bad.extend(each.filter(|(one, _)| !holds(base, core::slice::from_ref(*one))).map(|(_, &index)| index));
        return;
    }
    let half = equations.len() / 2;
    search(base, &equations[..half], &indices[..half], bad);
    search(base, &equations[half..], &indices[half..], bad);
}

/// `weight · (R + c·public − s·base) = 0`, parsed.
struct Equation {
    commitment: RistrettoPoint,
    public: RistrettoPoint,
    response: Scalar,
    challenge: Scalar,
    weight: Scalar,
}

impl Equation {
    fn parse(
        proof: &Knowledge,
        transcript: Transcript,
        public: &Element,
        context: &Digest,
        weight: Scalar,
    ) -> Result<Self, KnowledgeError> {
        let (commitment, response) = proof.0.split_at(ENCODED_LEN);
        let commitment = Element::decode(commitment.try_into().expect("half of the proof"));
        let commitment = commitment.map_err(KnowledgeError::Commitment)?;
        let response = decode_scalar(response.try_into().expect("half of the proof"));
        Ok(Self {
            commitment: *commitment.point(),
            public: *public.point(),
            response: response.map_err(KnowledgeError::Response)?,
            challenge: challenge(transcript, public, context, &commitment),
            weight,
        })
    }
}

/// Whether the weighted sum of the equations vanishes.
fn holds(base: &Element, equations: &[Equation]) -> bool {
    let on_base: Scalar = equations.iter().map(|equation| equation.weight * equation.response).sum();
    let on_publics = equations.iter().map(|equation| equation.weight * equation.challenge);
    // The commitments keep their sign, and thus scalars of 128 bits, which halve their part of the sum.
    let on_commitments = equations.iter().map(|equation| equation.weight);
    let scalars = core::iter::once(-on_base).chain(on_publics).chain(on_commitments);
    let points = core::iter::once(base.point())
        .chain(equations.iter().map(|equation| &equation.public))
        .chain(equations.iter().map(|equation| &equation.commitment));
    RistrettoPoint::vartime_multiscalar_mul(scalars, points).is_identity()
}

/// The transcript up to the base, the same for all claims of a batch.
fn transcript(base: &Element) -> Transcript {
    let mut transcript = Transcript::new(b"hippodrome v1 knowledge");
    transcript.element(b"base", base);
    transcript
}

fn challenge(mut transcript: Transcript, public: &Element, context: &Digest, commitment: &Element) -> Scalar {
    transcript.element(b"public", public);
    transcript.digest(b"context", context);
    transcript.element(b"commitment", commitment);
    transcript.scalar(b"challenge")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::hash::Hasher;

    fn context(number: u64) -> Digest {
        Hasher::new("test context").number(number).finish()
    }

    fn claim(number: u64, rng: &mut ChaCha20Rng) -> Claim {
        let secret = SecretScalar::random(rng);
        let public = secret.multiply(&Element::base());
        let proof = Knowledge::sign(&secret, &Element::base(), &public, &context(number), rng);
        Claim { public, context: context(number), proof }
    }

    fn verify(claim: &Claim) -> Result<(), KnowledgeError> {
        claim.proof.verify(&Element::base(), &claim.public, &claim.context)
    }

    #[test]
    fn a_proof_holds_for_its_own_base_public_key_and_context_only() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let base = SecretScalar::random(&mut rng).multiply(&Element::base());
        let secret = SecretScalar::random(&mut rng);
        let public = secret.multiply(&base);
        let proof = Knowledge::sign(&secret, &base, &public, &context(0), &mut rng);
        assert_eq!(proof.verify(&base, &public, &context(0)), Ok(()));
        let other = SecretScalar::random(&mut rng).multiply(&Element::base());
        assert_eq!(proof.verify(&base, &public, &context(1)), Err(KnowledgeError::Refuted));
        assert_eq!(proof.verify(&base, &other, &context(0)), Err(KnowledgeError::Refuted));
        assert_eq!(proof.verify(&other, &public, &context(0)), Err(KnowledgeError::Refuted));
        assert_eq!(proof.verify(&Element::base(), &public, &context(0)), Err(KnowledgeError::Refuted));
    }

    #[test]
    fn any_flipped_bit_is_refused_singly_and_in_a_batch() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut claims = [claim(0, &mut rng), claim(1, &mut rng)];
        let good = claims[1].proof;
        for bit in 0..8 * KNOWLEDGE_LEN {
            let mut bytes = good.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            claims[1].proof = Knowledge::from_bytes(bytes);
            assert!(verify(&claims[1]).is_err(), "bit {bit}");
            assert_eq!(verify_batch(&Element::base(), &claims, &mut rng), Err(vec![1]), "bit {bit}");
        }
    }

    #[test]
    fn refuses_identity_commitments_and_scalars_that_are_not_reduced() {
        let claim = claim(0, &mut ChaCha20Rng::seed_from_u64(3));
        let refused = |bytes| Knowledge::from_bytes(bytes).verify(&Element::base(), &claim.public, &claim.context);
        let mut identity = claim.proof.to_bytes();
        identity[..32].fill(0);
        assert_eq!(refused(identity), Err(KnowledgeError::Commitment(DecodeError::Identity)));
        // The same response, q added: the equation would hold, but a proof must have one encoding.
        let order = *(-Scalar::ONE).as_bytes();
        let mut carry = 1_u16;
        let mut unreduced = claim.proof.to_bytes();
        for (byte, add) in unreduced[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(refused(unreduced), Err(KnowledgeError::Response(DecodeError::NonCanonicalScalar)));
    }

    #[test]
    fn a_key_related_to_anothers_cannot_be_claimed() {
        // X' = X + d·P: its author knows d, not x + d. Neither x's proof, nor one for d, nor their sum will do.
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let honest = claim(0, &mut rng);
        let shift = SecretScalar::random(&mut rng);
        let related = Element::from_point(honest.public.point() + shift.multiply(&Element::base()).point());
        let related = related.expect("not the identity");
        let for_shift = Knowledge::sign(&shift, &Element::base(), &related, &honest.context, &mut rng);
        let shifted_response = |by: Scalar| {
            let response: [u8; 32] = honest.proof.0[32..].try_into().expect("half");
            let mut bytes = honest.proof.0;
            bytes[32..].copy_from_slice((decode_scalar(&response).expect("canonical") + by).as_bytes());
            Knowledge(bytes)
        };
        let commitment = Element::decode(honest.proof.0.first_chunk().expect("half")).expect("an element");
        let c = challenge(transcript(&Element::base()), &related, &honest.context, &commitment);
        for proof in [honest.proof, for_shift, shifted_response(*shift.expose()), shifted_response(c * shift.expose())]
        {
            let refused = proof.verify(&Element::base(), &related, &honest.context);
            assert_eq!(refused, Err(KnowledgeError::Refuted));
        }
    }

    #[test]
    fn errors_that_cancel_in_an_unweighted_sum_are_found() {
        // Rogue sum: one response too high, another too low by as much. Without weights the batch would hold.
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let mut claims: Vec<Claim> = (0..3).map(|number| claim(number, &mut rng)).collect();
        let shift = random_shift(&mut rng);
        for (index, by) in [(0, shift), (2, -shift)] {
            let response: [u8; 32] = claims[index].proof.0[32..].try_into().expect("half");
            let moved = decode_scalar(&response).expect("canonical") + by;
            claims[index].proof.0[32..].copy_from_slice(moved.as_bytes());
        }
        assert!(sum_without_weights_holds(&claims), "the attack is the one described");
        assert_eq!(verify_batch(&Element::base(), &claims, &mut rng), Err(vec![0, 2]));
    }

    fn random_shift(rng: &mut ChaCha20Rng) -> Scalar {
        crate::group::random_scalar(rng)
    }

    fn sum_without_weights_holds(claims: &[Claim]) -> bool {
        let base = Element::base();
        let parse = |claim: &Claim| {
            Equation::parse(&claim.proof, transcript(&base), &claim.public, &claim.context, Scalar::ONE)
        };
        holds(&base, &claims.iter().map(parse).collect::<Result<Vec<_>, _>>().expect("all parse"))
    }

    #[test]
    fn a_batch_of_several_sums_is_checked_to_its_last_claim() {
        let mut rng = ChaCha20Rng::seed_from_u64(6);
        let mut claims: Vec<Claim> = (0..2 * CLAIMS_PER_SUM as u64 + 3).map(|number| claim(number, &mut rng)).collect();
        assert_eq!(verify_batch(&Element::base(), &claims, &mut rng), Ok(()));
        let bad = [0, CLAIMS_PER_SUM - 1, CLAIMS_PER_SUM, 2 * CLAIMS_PER_SUM + 2];
        bad.iter().for_each(|&index| claims[index].context = context(u64::MAX));
        assert_eq!(verify_batch(&Element::base(), &claims, &mut rng), Err(bad.to_vec()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_batch_names_exactly_the_bad_claims(count in 0..60_u64, damage: Vec<(u8, u8)>, seed: u64) {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let mut claims: Vec<Claim> = (0..count).map(|number| claim(number, &mut rng)).collect();
            for (index, at) in damage.into_iter().take(6) {
                if let Some(claim) = claims.get_mut(usize::from(index)) {
                    claim.proof.0[usize::from(at) % KNOWLEDGE_LEN] ^= 1;
                }
            }
            let bad: Vec<usize> = (0..claims.len()).filter(|&index| verify(&claims[index]).is_err()).collect();
            let expected = if bad.is_empty() { Ok(()) } else { Err(bad) };
            prop_assert_eq!(verify_batch(&Element::base(), &claims, &mut rng), expected);
        }
    }
}
