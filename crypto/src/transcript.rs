//! Fiat–Shamir: one merlin transcript for each proof, with typed messages.
//!
//! Long lists are absorbed as one digest, since STROBE is slow over megabytes.

use curve25519_dalek::{ristretto::CompressedRistretto, scalar::Scalar};

use crate::{group::Element, hash::Digest};

/// A merlin transcript with the message types of this crate.
#[derive(Clone)]
pub struct Transcript(merlin::Transcript);

impl Transcript {
    /// Starts the transcript of one kind of proof; the label names protocol version and proof.
    pub fn new(label: &'static [u8]) -> Self {
        Self(merlin::Transcript::new(label))
    }

    /// Absorbs bytes.
    pub fn bytes(&mut self, label: &'static [u8], message: &[u8]) {
        self.0.append_message(label, message);
    }

    /// Absorbs a number as 8 little-endian bytes.
    pub fn number(&mut self, label: &'static [u8], value: u64) {
        self.0.append_u64(label, value);
    }

    /// Absorbs a digest.
    pub fn digest(&mut self, label: &'static [u8], digest: &Digest) {
        self.0.append_message(label, digest.as_bytes());
    }

    /// Absorbs a group element.
    pub fn element(&mut self, label: &'static [u8], element: &Element) {
        self.0.append_message(label, element.encoded());
    }

    /// Absorbs commitments, which may be the identity, behind their count.
    pub fn commitments(&mut self, label: &'static [u8], commitments: &[CompressedRistretto]) {
        self.0.append_u64(label, commitments.len() as u64);
        for commitment in commitments {
            self.0.append_message(label, commitment.as_bytes());
        }
    }

    /// Draws a full-size scalar: 64 bytes reduced.
    pub fn scalar(&mut self, label: &'static [u8]) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.wide(label))
    }

    /// Draws 64 bytes.
    pub fn wide(&mut self, label: &'static [u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        self.0.challenge_bytes(label, &mut bytes);
        bytes
    }
}
