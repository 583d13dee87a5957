//! The stored form of a conversation, written and read by hand: no secret passes through a general serializer that
//! would leave copies of it behind.

use hippodrome_crypto::hash::Digest;
use zeroize::Zeroizing;

use super::secret::{Secret, SecretBytes};

/// Why stored bytes are not a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The bytes end before the state does.
    #[error("the stored conversation ends too early")]
    Truncated,
    /// The bytes go on after the state.
    #[error("the stored conversation has {0} bytes too many")]
    Trailing(usize),
    /// Written by another version of the program.
    #[error("stored conversation of version {found}, expected {expected}")]
    Version {
        /// The version that this program writes.
        expected: u8,
        /// The version found.
        found: u8,
    },
    /// A field holds what no conversation writes.
    #[error("stored conversation: {0}")]
    Invalid(&'static str),
}

/// Writes fields one after another; a buffer that it outgrows is wiped.
pub(super) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(4096)))
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        if self.0.len() + bytes.len() > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * (self.0.len() + bytes.len())));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn secret(&mut self, secret: &Secret) {
        self.raw(secret.expose());
    }

    pub(super) fn digest(&mut self, digest: &Digest) {
        self.raw(digest.as_bytes());
    }

    /// Bytes of any length below 4 GiB, behind their length.
    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// The length of a list whose items follow; all lists of a conversation are bounded far below 2³².
    pub(super) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("lists of a conversation are bounded"));
    }

    pub(super) fn finish(self) -> SecretBytes {
        SecretBytes::wrap(self.0)
    }
}

/// Reads what a [`Writer`] wrote; believes no length that it is told.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn raw(&mut self, len: usize) -> Result<&'a [u8], ImportError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(ImportError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        Ok(self.raw(N)?.try_into().expect("N bytes were taken"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, ImportError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn flag(&mut self) -> Result<bool, ImportError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ImportError::Invalid("a flag is neither 0 nor 1")),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, ImportError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, ImportError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, ImportError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn secret(&mut self) -> Result<Secret, ImportError> {
        let bytes = self.raw(super::secret::SECRET_LEN)?;
        Ok(Secret::new(bytes.try_into().expect("32 bytes were taken")))
    }

    pub(super) fn digest(&mut self) -> Result<Digest, ImportError> {
        Ok(Digest(self.array()?))
    }

    pub(super) fn blob(&mut self) -> Result<&'a [u8], ImportError> {
        let len = self.u32()?;
        self.raw(len as usize)
    }

    pub(super) fn finish(self) -> Result<(), ImportError> {
        if self.0.is_empty() { Ok(()) } else { Err(ImportError::Trailing(self.0.len())) }
    }
}
