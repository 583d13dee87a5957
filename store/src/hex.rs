//! Bytes as hexadecimal digits in text files.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use hippodrome_crypto::{hash::hex, signing::PublicKey};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

/// Exactly `LEN` bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hex<const LEN: usize>(pub(crate) [u8; LEN]);

/// A public signing key, checked.
#[derive(Clone, Copy)]
pub(crate) struct KeyHex(pub(crate) PublicKey);

/// Decodes exactly `LEN` bytes; none if there are more or fewer, or other characters.
pub(crate) fn decode<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    let fits = HEXLOWER_PERMISSIVE.decode_len(text.len()) == Ok(LEN);
    (fits && HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut bytes).is_ok()).then_some(bytes)
}

impl<const LEN: usize> Serialize for Hex<LEN> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de, const LEN: usize> Deserialize<'de> for Hex<LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(HexVisitor::<LEN>).map(Self)
    }
}

struct HexVisitor<const LEN: usize>;

impl<const LEN: usize> Visitor<'_> for HexVisitor<LEN> {
    type Value = [u8; LEN];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hexadecimal digits", 2 * LEN)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        decode(text).ok_or_else(|| E::custom(format_args!("expected {} hexadecimal digits", 2 * LEN)))
    }
}

impl Serialize for KeyHex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(self.0.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for KeyHex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Hex::<32>::deserialize(deserializer)?;
        PublicKey::decode(&bytes.0).map(Self).map_err(D::Error::custom)
    }
}
