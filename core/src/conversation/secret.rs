//! Secrets of a conversation: wiped when dropped, never printed, never copied by accident.

use core::fmt;

use hippodrome_crypto::hash::Digest;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a chain key, a message key, an invite's secret.
pub(super) const SECRET_LEN: usize = 32;

/// 32 secret bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Secret([u8; SECRET_LEN]);

impl Secret {
    pub(super) fn random(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Self([0; SECRET_LEN]);
        rng.fill_bytes(&mut secret.0);
        secret
    }

    pub(super) fn new(bytes: &[u8; SECRET_LEN]) -> Self {
        Self(*bytes)
    }

    pub(super) fn expose(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }

    /// Whether the bytes are these, in a time that does not depend on them.
    pub(super) fn matches(&self, bytes: &[u8; SECRET_LEN]) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(*bytes)
    }
}

/// Derives keys from secrets and context under a label; every field has a fixed length or stands behind its length.
pub(super) struct Kdf(blake3::Hasher);

impl Kdf {
    /// One label for each purpose.
    pub(super) fn new(label: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(label))
    }

    pub(super) fn fixed<const N: usize>(mut self, field: &[u8; N]) -> Self {
        self.0.update(field);
        self
    }

    pub(super) fn secret(self, secret: &Secret) -> Self {
        self.fixed(secret.expose())
    }

    pub(super) fn digest(self, digest: &Digest) -> Self {
        self.fixed(digest.as_bytes())
    }

    pub(super) fn number(self, number: u64) -> Self {
        self.fixed(&number.to_le_bytes())
    }

    pub(super) fn finish(self) -> Secret {
        let mut secret = Secret([0; SECRET_LEN]);
        self.fill(&mut secret.0);
        secret
    }

    /// The first `N` bytes of what [`Kdf::finish`] would give, for values that need not stay secret.
    pub(super) fn public<const N: usize>(self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    fn fill(self, bytes: &mut [u8]) {
        let mut reader = self.0.finalize_xof();
        reader.fill(bytes);
        reader.zeroize();
    }
}

impl Drop for Kdf {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A conversation's whole state in bytes: keys, unacknowledged texts, partly received texts. For the client's sealed
/// state store and for nothing else: it must be in no backup, since a restored copy would use its keys twice.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes bytes that were read from the state store.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn wrap(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the state store.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}
