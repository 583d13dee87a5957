//! The group: Ristretto255, written additively, with types that keep bad encodings and secrets apart.
//!
//! An [`Element`] is canonical and not the identity by construction; it can only be made by [`Element::decode`], by
//! multiplying an element by a non-zero secret, or by hashing. Whatever comes from the network becomes an element or an
//! error.

use core::fmt;

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT,
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::IsIdentity,
};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of an encoded element and of an encoded scalar.
pub const ENCODED_LEN: usize = 32;

/// Why 32 bytes are not an [`Element`] or a canonical scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not the one canonical encoding of a group element.
    #[error("not a canonical Ristretto255 encoding")]
    NonCanonicalElement,
    /// The identity, which no honest party ever sends.
    #[error("the identity element is refused")]
    Identity,
    /// The bytes are not a scalar below the group order.
    #[error("not a canonical scalar")]
    NonCanonicalScalar,
}

/// A group element that is canonical and not the identity, beside its encoding.
#[derive(Clone, Copy)]
pub struct Element {
    point: RistrettoPoint,
    encoded: [u8; ENCODED_LEN],
}

impl Element {
    /// Decodes 32 bytes; refuses non-canonical encodings and the identity.
    pub fn decode(bytes: &[u8; ENCODED_LEN]) -> Result<Self, DecodeError> {
        let point = CompressedRistretto(*bytes).decompress().ok_or(DecodeError::NonCanonicalElement)?;
        if point.is_identity() {
            return Err(DecodeError::Identity);
        }
        Ok(Self { point, encoded: *bytes })
    }

    /// The base point of the group: `P_0` of every chain.
    pub fn base() -> Self {
        Self::from_point(RISTRETTO_BASEPOINT_POINT).expect("the base point is not the identity")
    }

    /// Wraps a computed point, unless it is the identity.
    pub fn from_point(point: RistrettoPoint) -> Result<Self, DecodeError> {
        Self::from_parts(point, point.compress().to_bytes())
    }

    /// Wraps a computed point whose encoding the caller has computed in a batch.
    pub(crate) fn from_parts(point: RistrettoPoint, encoded: [u8; ENCODED_LEN]) -> Result<Self, DecodeError> {
        if point.is_identity() {
            return Err(DecodeError::Identity);
        }
        debug_assert_eq!(point.compress().to_bytes(), encoded);
        Ok(Self { point, encoded })
    }

    /// An element with no known discrete logarithm: hash-to-group of a domain label and an index.
    ///
    /// The 64 uniform bytes are BLAKE3 in key-derivation mode under `label` over the index as 8 little-endian bytes.
    pub fn hash(label: &str, index: u64) -> RistrettoPoint {
        let mut wide = [0; 64];
        blake3::Hasher::new_derive_key(label).update(&index.to_le_bytes()).finalize_xof().fill(&mut wide);
        RistrettoPoint::from_uniform_bytes(&wide)
    }

    /// The canonical encoding.
    pub fn encoded(&self) -> &[u8; ENCODED_LEN] {
        &self.encoded
    }

    /// The point, for arithmetic.
    pub fn point(&self) -> &RistrettoPoint {
        &self.point
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Element {}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({})", crate::hash::hex(&self.encoded[..4]))
    }
}

/// A secret scalar, uniform and not zero: neither `Clone` nor printable, wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretScalar(Scalar);

impl SecretScalar {
    /// Draws a uniform non-zero scalar from 64 random bytes.
    pub fn random<R: CryptoRng>(rng: &mut R) -> Self {
        loop {
            let scalar = random_scalar(rng);
            if scalar != Scalar::ZERO {
                return Self(scalar);
            }
        }
    }

    /// A secret that follows from others, such as the blinding factor of a sum of commitments; none if it is zero.
    pub fn from_scalar(scalar: Scalar) -> Option<Self> {
        (scalar != Scalar::ZERO).then_some(Self(scalar))
    }

    /// The scalar, for arithmetic inside this crate.
    pub(crate) fn expose(&self) -> &Scalar {
        &self.0
    }

    /// Gives the secret up, for everybody to see.
    pub fn show(&self) -> ShownScalar {
        ShownScalar(self.0)
    }

    /// `self · base`, in constant time.
    pub fn multiply(&self, base: &Element) -> Element {
        Element::from_point(base.point * self.0).expect("a non-zero scalar times a non-identity element of prime order")
    }
}

/// A scalar that was secret once and that its owner has shown: canonical and not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownScalar(Scalar);

impl ShownScalar {
    /// Decodes 32 bytes; refuses scalars that are not reduced, and zero.
    pub fn decode(bytes: &[u8; ENCODED_LEN]) -> Result<Self, DecodeError> {
        decode_scalar(bytes).map(Self).and_then(|shown| match shown.0 == Scalar::ZERO {
            true => Err(DecodeError::NonCanonicalScalar),
            false => Ok(shown),
        })
    }

    /// The canonical encoding.
    pub fn encoded(&self) -> [u8; ENCODED_LEN] {
        self.0.to_bytes()
    }

    /// The scalar, for arithmetic inside this crate.
    pub(crate) fn scalar(&self) -> &Scalar {
        &self.0
    }
}

impl fmt::Debug for SecretScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretScalar(..)")
    }
}

/// A uniform scalar: 64 random bytes reduced, so that no bias is left (shorter masks leak, see the shuffle argument).
pub(crate) fn random_scalar<R: CryptoRng>(rng: &mut R) -> Scalar {
    let mut wide = [0; 64];
    rng.fill_bytes(&mut wide);
    let scalar = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    scalar
}

/// Decodes a canonical scalar.
pub(crate) fn decode_scalar(bytes: &[u8; ENCODED_LEN]) -> Result<Scalar, DecodeError> {
    Option::from(Scalar::from_canonical_bytes(*bytes)).ok_or(DecodeError::NonCanonicalScalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_the_identity_and_non_canonical_encodings() {
        assert_eq!(Element::decode(&[0; 32]), Err(DecodeError::Identity));
        assert_eq!(Element::decode(&[0xff; 32]), Err(DecodeError::NonCanonicalElement));
        // p itself is a non-canonical zero; 1 is odd, hence negative, hence refused by Ristretto.
        let mut p = [0xff; 32];
        p[0] = 0xed;
        p[31] = 0x7f;
        assert_eq!(Element::decode(&p), Err(DecodeError::NonCanonicalElement));
        let mut one = [0; 32];
        one[0] = 1;
        assert_eq!(Element::decode(&one), Err(DecodeError::NonCanonicalElement));
    }

    #[test]
    fn refuses_scalars_at_and_above_the_group_order() {
        let order: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        assert_eq!(decode_scalar(&order), Err(DecodeError::NonCanonicalScalar));
        assert!(decode_scalar(&[0; 32]).is_ok());
        assert!(ShownScalar::decode(&order).is_err());
        assert!(ShownScalar::decode(&[0; 32]).is_err());
        assert!(SecretScalar::from_scalar(Scalar::ZERO).is_none());
    }
}
