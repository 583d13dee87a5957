//! Signatures of servers and clients: Ed25519 (RFC 8032) over labelled digests, verified strictly.
//!
//! What is signed is always a [`Digest`], whose label says what kind of statement it is, so no signature serves twice.

use core::fmt;

use ed25519_dalek::{Signer, VerifyingKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::hash::{Digest, hex};

/// Why 32 bytes are not a [`PublicKey`], or a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// Not the one encoding of a curve point.
    #[error("not a canonical Ed25519 public key")]
    NonCanonicalKey,
    /// A point of small order, under which one signature fits many messages.
    #[error("an Ed25519 public key of small order is refused")]
    WeakKey,
    /// Another key, another statement, or not a signature at all.
    #[error("the signature does not hold for this key and statement")]
    Refuted,
}

/// A signing key: neither `Clone` nor printable, wiped on drop.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The seed, for the key file and for nothing else; wiped when dropped.
    pub fn expose_seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The key that belongs to 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Draws a key.
    pub fn generate<R: CryptoRng>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self::from_seed(&seed)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a labelled digest.
    pub fn sign(&self, statement: &Digest) -> Signature {
        Signature(self.0.sign(statement.as_bytes()).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// A public key that is canonical and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Decodes 32 bytes.
    pub fn decode(bytes: &[u8; 32]) -> Result<Self, SigningError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| SigningError::NonCanonicalKey)?;
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(SigningError::NonCanonicalKey);
        }
        if key.is_weak() { Err(SigningError::WeakKey) } else { Ok(Self(key)) }
    }

    /// The encoded key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The encoding.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Checks a signature of a labelled digest, by the strict rules, so that all parties agree.
    pub fn verify(&self, statement: &Digest, signature: &Signature) -> Result<(), SigningError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(statement.as_bytes(), &signature).map_err(|_| SigningError::Refuted)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex(&self.0.as_bytes()[..4]))
    }
}

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// A signature as it travels; [`PublicKey::verify`] says what it is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; SIGNATURE_LEN]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex(&self.0[..4]))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::hash::Hasher;

    fn statement(label: &str) -> Digest {
        Hasher::new(label).finish()
    }

    #[test]
    fn a_signature_holds_for_its_own_key_and_statement_only() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (key, other) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
        let signature = key.sign(&statement("a"));
        assert_eq!(key.public().verify(&statement("a"), &signature), Ok(()));
        assert_eq!(key.public().verify(&statement("b"), &signature), Err(SigningError::Refuted));
        assert_eq!(other.public().verify(&statement("a"), &signature), Err(SigningError::Refuted));
        for bit in 0..8 * SIGNATURE_LEN {
            let mut flipped = signature;
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.public().verify(&statement("a"), &flipped), Err(SigningError::Refuted), "bit {bit}");
        }
    }

    #[test]
    fn keys_come_back_from_their_bytes_and_seeds() {
        let key = SigningKey::from_seed(&[7; 32]);
        assert_eq!(PublicKey::decode(&key.public().to_bytes()), Ok(key.public()));
        assert_eq!(SigningKey::from_seed(&[7; 32]).public(), key.public());
        assert!(!format!("{key:?}").contains('7'));
    }

    #[test]
    fn refuses_small_order_and_non_canonical_public_keys() {
        let mut one = [0; 32];
        one[0] = 1;
        assert_eq!(PublicKey::decode(&one), Err(SigningError::WeakKey), "the identity");
        assert_eq!(PublicKey::decode(&[0; 32]), Err(SigningError::WeakKey), "a point of order four");
        // y = p + 1 encodes the identity a second time.
        let mut twice = [0xff; 32];
        twice[0] = 0xee;
        twice[31] = 0x7f;
        assert_eq!(PublicKey::decode(&twice), Err(SigningError::NonCanonicalKey));
        let mut no_point = [0; 32];
        no_point[0] = 2;
        assert_eq!(PublicKey::decode(&no_point), Err(SigningError::NonCanonicalKey));
    }
}
