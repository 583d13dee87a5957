//! The keys of one hop for one round, and where in the network that hop stands.
//!
//! Server i of a chain draws `a_i`, `b_i` and publishes `A_i = a_i·P_{i−1}` and `P_i = b_i·P_{i−1}`, where `P_0` is the
//! base point, with proofs that it knows both. So a client that knows `x` with `X = x·P_0` knows every `a_i·X_i` as
//! `x·A_i` and every key `X_i = x·P_i` on the way, and nobody else but the server does.

use rand_core::CryptoRng;

use crate::{
    group::{DecodeError, ENCODED_LEN, Element, SecretScalar},
    hash::{Digest, Hasher},
    knowledge::{KNOWLEDGE_LEN, Knowledge, KnowledgeError},
};

/// Which hop of the network a key or a layer belongs to; part of every key derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopContext {
    /// The round's signed descriptor, which fixes network, epoch and round.
    pub descriptor: Digest,
    /// Which layer of chains, from 0.
    pub layer: u8,
    /// Which chain of the layer, from 0.
    pub chain: u16,
    /// Which place in the chain, from 0.
    pub position: u8,
}

/// The two secrets of a server for one round, layer, chain and position: drawn once, wiped on drop, never stored.
#[derive(Debug)]
pub struct HopSecret {
    /// Opens layers: half of every key derivation.
    pub a: SecretScalar,
    /// Blinds keys on their way, and is the other half.
    pub b: SecretScalar,
}

/// What a server publishes of its [`HopSecret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopPublic {
    /// `A_i = a_i·P_{i−1}`.
    pub key: Element,
    /// `P_i = b_i·P_{i−1}`, the base of the next hop.
    pub blinding: Element,
}

/// Bytes of an encoded [`HopPublic`].
pub const HOP_PUBLIC_LEN: usize = 2 * ENCODED_LEN;

/// Bytes of an encoded [`HopProof`].
pub const HOP_PROOF_LEN: usize = 2 * KNOWLEDGE_LEN;

/// That a server knows both secrets behind its [`HopPublic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopProof {
    key: Knowledge,
    blinding: Knowledge,
}

/// Why the published keys of a hop are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HopError {
    /// Knowledge of `a` is not proved.
    #[error("the hop's key: {0}")]
    Key(KnowledgeError),
    /// Knowledge of `b` is not proved.
    #[error("the hop's blinding key: {0}")]
    Blinding(KnowledgeError),
}

impl HopSecret {
    /// Draws both secrets over `base`, which is the `P` of the hop before, and proves knowledge of them for `context`.
    pub fn generate<R: CryptoRng>(base: &Element, context: &Digest, rng: &mut R) -> (Self, HopPublic, HopProof) {
        let secret = Self { a: SecretScalar::random(rng), b: SecretScalar::random(rng) };
        let public = HopPublic { key: secret.a.multiply(base), blinding: secret.b.multiply(base) };
        let [for_key, for_blinding] = public.contexts(context);
        let proof = HopProof {
            key: Knowledge::sign(&secret.a, base, &public.key, &for_key, rng),
            blinding: Knowledge::sign(&secret.b, base, &public.blinding, &for_blinding, rng),
        };
        (secret, public, proof)
    }
}

impl HopPublic {
    /// Checks that both keys were made over `base` by someone who knows their secrets, for `context`.
    pub fn verify(&self, base: &Element, context: &Digest, proof: &HopProof) -> Result<(), HopError> {
        let [for_key, for_blinding] = self.contexts(context);
        proof.key.verify(base, &self.key, &for_key).map_err(HopError::Key)?;
        proof.blinding.verify(base, &self.blinding, &for_blinding).map_err(HopError::Blinding)
    }

    /// `A_i`, then `P_i`.
    pub fn to_bytes(&self) -> [u8; HOP_PUBLIC_LEN] {
        join(self.key.encoded(), self.blinding.encoded())
    }

    /// Decodes both elements.
    pub fn from_bytes(bytes: &[u8; HOP_PUBLIC_LEN]) -> Result<Self, DecodeError> {
        let (key, blinding) = split(bytes);
        Ok(Self { key: Element::decode(&key)?, blinding: Element::decode(&blinding)? })
    }

    /// The contexts of the two proofs: each binds both keys and says which of the two it is for.
    fn contexts(&self, context: &Digest) -> [Digest; 2] {
        ["hippodrome v1 hop key", "hippodrome v1 hop blinding"]
            .map(|label| Hasher::new(label).digest(context).bytes(&self.to_bytes()).finish())
    }
}

impl HopProof {
    /// The proof for `A_i`, then that for `P_i`.
    pub fn to_bytes(&self) -> [u8; HOP_PROOF_LEN] {
        join(&self.key.to_bytes(), &self.blinding.to_bytes())
    }

    /// Takes the bytes as they came; [`HopPublic::verify`] says what they are worth.
    pub fn from_bytes(bytes: &[u8; HOP_PROOF_LEN]) -> Self {
        let (key, blinding) = split(bytes);
        Self { key: Knowledge::from_bytes(key), blinding: Knowledge::from_bytes(blinding) }
    }
}

fn join<const HALF: usize, const WHOLE: usize>(first: &[u8; HALF], second: &[u8; HALF]) -> [u8; WHOLE] {
    let mut bytes = [0; WHOLE];
    bytes[..HALF].copy_from_slice(first);
    bytes[HALF..].copy_from_slice(second);
    bytes
}

fn split<const HALF: usize, const WHOLE: usize>(bytes: &[u8; WHOLE]) -> ([u8; HALF], [u8; HALF]) {
    let half = |from: usize| core::array::from_fn(|index| bytes[from + index]);
    (half(0), half(HALF))
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    fn context(number: u64) -> Digest {
        Hasher::new("test hop").number(number).finish()
    }

    #[test]
    fn published_keys_hold_for_their_base_and_context_only() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let base = SecretScalar::random(&mut rng).multiply(&Element::base());
        let (secret, public, proof) = HopSecret::generate(&base, &context(0), &mut rng);
        assert_eq!((secret.a.multiply(&base), secret.b.multiply(&base)), (public.key, public.blinding));
        assert_eq!(public.verify(&base, &context(0), &proof), Ok(()));
        assert!(public.verify(&base, &context(1), &proof).is_err());
        assert!(public.verify(&Element::base(), &context(0), &proof).is_err());
    }

    #[test]
    fn the_two_keys_and_the_two_proofs_are_not_interchangeable() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let base = Element::base();
        let (_, public, proof) = HopSecret::generate(&base, &context(0), &mut rng);
        let (_, other, other_proof) = HopSecret::generate(&base, &context(0), &mut rng);
        let swapped = HopPublic { key: public.blinding, blinding: public.key };
        let swapped_proof = HopProof { key: proof.blinding, blinding: proof.key };
        assert!(swapped.verify(&base, &context(0), &swapped_proof).is_err());
        assert!(swapped.verify(&base, &context(0), &proof).is_err());
        // Each proof binds both keys: a pair cannot be put together from two.
        let mixed = HopPublic { key: public.key, blinding: other.blinding };
        let mixed_proof = HopProof { key: proof.key, blinding: other_proof.blinding };
        assert_eq!(mixed.verify(&base, &context(0), &mixed_proof), Err(HopError::Key(KnowledgeError::Refuted)));
        let half = HopProof { key: proof.key, blinding: other_proof.blinding };
        assert_eq!(public.verify(&base, &context(0), &half), Err(HopError::Blinding(KnowledgeError::Refuted)));
    }

    #[test]
    fn keys_and_proofs_come_back_from_their_bytes() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let (_, public, proof) = HopSecret::generate(&Element::base(), &context(0), &mut rng);
        assert_eq!(HopPublic::from_bytes(&public.to_bytes()), Ok(public));
        assert_eq!(HopProof::from_bytes(&proof.to_bytes()), proof);
        for half in [0..32, 32..64] {
            let mut bytes = public.to_bytes();
            bytes[half].fill(0);
            assert_eq!(HopPublic::from_bytes(&bytes), Err(DecodeError::Identity));
        }
    }
}
