//! Digests: BLAKE3 in key-derivation mode, one label for each use, fields framed by their lengths.

use core::fmt;

/// A 32-byte BLAKE3 digest of something whose kind the label of its [`Hash`] says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex(&self.0[..6]))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Builds a [`Digest`] of typed fields under a label; two different sequences of fields never hash alike.
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Starts a digest for one purpose. The label is a constant of the code, such as `hippodrome v1 directory`.
    pub fn new(label: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(label))
    }

    /// Absorbs a field of variable length, behind its length.
    pub fn bytes(mut self, field: &[u8]) -> Self {
        self.0.update(&(field.len() as u64).to_le_bytes());
        self.0.update(field);
        self
    }

    /// Absorbs a number.
    pub fn number(mut self, field: u64) -> Self {
        self.0.update(&field.to_le_bytes());
        self
    }

    /// Absorbs a digest.
    pub fn digest(mut self, field: &Digest) -> Self {
        self.0.update(&field.0);
        self
    }

    /// Absorbs 32-byte fields one after another, behind their count.
    pub fn list<'a>(mut self, fields: impl ExactSizeIterator<Item = &'a [u8; 32]>) -> Self {
        self.0.update(&(fields.len() as u64).to_le_bytes());
        for field in fields {
            self.0.update(field);
        }
        self
    }

    /// The digest.
    pub fn finish(self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
