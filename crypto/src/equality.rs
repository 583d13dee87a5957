//! Proof that two pairs of points share one discrete logarithm (Chaum and Pedersen, CRYPTO 1992), made
//! non-interactive.
//!
//! It shows `Q = s·P` and `Y = s·X` for one secret s and reveals nothing else about s.

use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::VartimeMultiscalarMul,
};
use rand_core::CryptoRng;

use crate::{
    group::{DecodeError, ENCODED_LEN, Element, SecretScalar, decode_scalar},
    transcript::Transcript,
};

/// What is proved: the logarithm of `power` to `base` is that of `other_power` to `other_base`.
///
/// The second pair may be the identity, as a sum of keys may be; the first may not, so that it fixes the secret.
#[derive(Clone, Copy, Debug)]
pub struct EqualityClaim<'a> {
    /// `P`.
    pub base: &'a Element,
    /// `Q = s·P`, which is known to be the prover's.
    pub power: &'a Element,
    /// `X`.
    pub other_base: &'a RistrettoPoint,
    /// `Y = s·X`.
    pub other_power: &'a RistrettoPoint,
}

impl<'a> EqualityClaim<'a> {
    /// The claim about a single key of a batch.
    pub fn of_elements(
        base: &'a Element,
        power: &'a Element,
        other_base: &'a Element,
        other_power: &'a Element,
    ) -> Self {
        Self { base, power, other_base: other_base.point(), other_power: other_power.point() }
    }

    /// Draws the challenge for the commitments `k·P` and `k·X`.
    fn challenge(&self, mut transcript: Transcript, commitments: &[CompressedRistretto; 2]) -> Scalar {
        transcript.element(b"P", self.base);
        transcript.element(b"Q", self.power);
        transcript.commitments(b"X, Y", &[self.other_base.compress(), self.other_power.compress()]);
        transcript.commitments(b"K", commitments);
        transcript.scalar(b"c")
    }
}

/// The proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the two pairs are not shown to have one logarithm")]
pub struct EqualityError;

/// A proof of equal logarithms: challenge and response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EqualityProof {
    challenge: Scalar,
    response: Scalar,
}

impl EqualityProof {
    /// Bytes of the encoding: challenge, response.
    pub const LEN: usize = 2 * ENCODED_LEN;

    /// Proves a claim with its secret, in constant time. The transcript has absorbed the context, under a label that
    /// is this use's alone.
    pub fn prove<R: CryptoRng>(
        secret: &SecretScalar,
        claim: &EqualityClaim<'_>,
        transcript: Transcript,
        rng: &mut R,
    ) -> Self {
        let nonce = SecretScalar::random(rng);
        let commitments = [claim.base.point(), claim.other_base].map(|base| (base * nonce.expose()).compress());
        let challenge = claim.challenge(transcript, &commitments);
        Self { challenge, response: nonce.expose() + challenge * secret.expose() }
    }

    /// Verifies a claim against a transcript that has absorbed the same context.
    pub fn verify(&self, claim: &EqualityClaim<'_>, transcript: Transcript) -> Result<(), EqualityError> {
        let commitment = |base: &RistrettoPoint, power: &RistrettoPoint| {
            RistrettoPoint::vartime_multiscalar_mul([self.response, -self.challenge], [base, power]).compress()
        };
        let commitments =
            [commitment(claim.base.point(), claim.power.point()), commitment(claim.other_base, claim.other_power)];
        if claim.challenge(transcript, &commitments) == self.challenge { Ok(()) } else { Err(EqualityError) }
    }

    /// The encoding.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..ENCODED_LEN].copy_from_slice(self.challenge.as_bytes());
        bytes[ENCODED_LEN..].copy_from_slice(self.response.as_bytes());
        bytes
    }

    /// Parses the encoding; refuses non-canonical scalars.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Result<Self, DecodeError> {
        let mut halves = [[0; ENCODED_LEN]; 2];
        halves.as_flattened_mut().copy_from_slice(bytes);
        Ok(Self { challenge: decode_scalar(&halves[0])?, response: decode_scalar(&halves[1])? })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    fn transcript(context: &'static [u8]) -> Transcript {
        let mut transcript = Transcript::new(b"hippodrome test equality");
        transcript.bytes(b"context", context);
        transcript
    }

    #[test]
    fn a_true_claim_is_accepted_under_its_own_context_only() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (secret, other) = (SecretScalar::random(&mut rng), SecretScalar::random(&mut rng));
        let (p, x) = (Element::base(), other.multiply(&Element::base()));
        let (q, y) = (secret.multiply(&p), secret.multiply(&x));
        let claim = EqualityClaim::of_elements(&p, &q, &x, &y);
        let proof = EqualityProof::prove(&secret, &claim, transcript(b"one"), &mut rng);
        assert_eq!(proof.verify(&claim, transcript(b"one")), Ok(()));
        assert_eq!(proof.verify(&claim, transcript(b"two")), Err(EqualityError));

        let parsed = EqualityProof::parse(&proof.to_bytes()).expect("canonical scalars");
        assert_eq!(parsed, proof);
        for index in 0..EqualityProof::LEN {
            let mut bytes = proof.to_bytes();
            bytes[index] ^= 1;
            if let Ok(tampered) = EqualityProof::parse(&bytes) {
                assert_eq!(tampered.verify(&claim, transcript(b"one")), Err(EqualityError), "byte {index}");
            }
        }
    }

    #[test]
    fn a_false_claim_is_refused() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (secret, other) = (SecretScalar::random(&mut rng), SecretScalar::random(&mut rng));
        let (p, x) = (Element::base(), other.multiply(&Element::base()));
        let (q, y) = (secret.multiply(&p), secret.multiply(&x));
        for claim in [
            EqualityClaim::of_elements(&p, &q, &x, &x),
            EqualityClaim::of_elements(&p, &x, &x, &y),
            EqualityClaim::of_elements(&p, &q, &y, &x),
        ] {
            let proof = EqualityProof::prove(&secret, &claim, transcript(b"one"), &mut rng);
            assert_eq!(proof.verify(&claim, transcript(b"one")), Err(EqualityError));
        }
    }

    #[test]
    fn a_second_pair_of_identities_is_a_true_claim() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let secret = SecretScalar::random(&mut rng);
        let (p, zero) = (Element::base(), RistrettoPoint::default());
        let claim = EqualityClaim { base: &p, power: &secret.multiply(&p), other_base: &zero, other_power: &zero };
        let proof = EqualityProof::prove(&secret, &claim, transcript(b"sum"), &mut rng);
        assert_eq!(proof.verify(&claim, transcript(b"sum")), Ok(()));
        let moved = EqualityClaim { other_power: p.point(), ..claim };
        assert_eq!(proof.verify(&moved, transcript(b"sum")), Err(EqualityError));
    }
}
