//! Keys of one hop's layers.

use zeroize::Zeroizing;

use crate::{group::ENCODED_LEN, hop::HopContext};

/// Bytes of the header that a tag covers: a whole number of Poly1305 blocks.
pub(super) const HEADER_LEN: usize = 48;

/// A key of one layer of one record, wiped on drop.
pub(super) type LayerKey = Zeroizing<[u8; 32]>;

/// Which way a layer goes.
#[derive(Clone, Copy)]
enum Direction {
    Forward = 0,
    Back = 1,
}

/// The key derivations of one hop, made ready once so that each record costs only the hashes of its own keys.
///
/// Holds nothing secret: everything here follows from the public [`HopContext`].
pub struct HopKdf {
    tag: [u8; 32],
    cipher: [u8; 32],
    reply: [u8; 32],
    pub(super) forward: [u8; HEADER_LEN],
    pub(super) back: [u8; HEADER_LEN],
}

impl HopKdf {
    /// Derives the hop's three hash keys, one for each use, from the header of its direction.
    pub fn new(context: &HopContext) -> Self {
        let (forward, back) = (header(context, Direction::Forward), header(context, Direction::Back));
        Self {
            tag: blake3::derive_key("hippodrome v1 onion tag key", &forward),
            cipher: blake3::derive_key("hippodrome v1 onion cipher key", &forward),
            reply: blake3::derive_key("hippodrome v1 onion return key", &back),
            forward,
            back,
        }
    }

    /// The tag key, from `a·X` alone.
    pub(super) fn tag_key(&self, key: &[u8; ENCODED_LEN], shared: &[u8; ENCODED_LEN]) -> LayerKey {
        hash(&self.tag, [key, shared])
    }

    /// The cipher key, from `a·X` and `b·X`.
    pub(super) fn cipher_key(
        &self,
        key: &[u8; ENCODED_LEN],
        shared: &[u8; ENCODED_LEN],
        blinded: &[u8; ENCODED_LEN],
    ) -> LayerKey {
        hash(&self.cipher, [key, shared, blinded])
    }

    /// The return key, from `a·X` and `b·X`.
    pub(super) fn return_key(
        &self,
        key: &[u8; ENCODED_LEN],
        shared: &[u8; ENCODED_LEN],
        blinded: &[u8; ENCODED_LEN],
    ) -> LayerKey {
        hash(&self.reply, [key, shared, blinded])
    }
}

/// Descriptor, layer, chain (little-endian), position, direction; then zeros up to whole blocks.
fn header(context: &HopContext, direction: Direction) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..32].copy_from_slice(context.descriptor.as_bytes());
    header[32] = context.layer;
    header[33..35].copy_from_slice(&context.chain.to_le_bytes());
    header[35] = context.position;
    header[36] = direction as u8;
    header
}

/// Keyed BLAKE3 over encodings of fixed length.
fn hash<const COUNT: usize>(key: &[u8; 32], encodings: [&[u8; ENCODED_LEN]; COUNT]) -> LayerKey {
    let mut input = Zeroizing::new([[0; ENCODED_LEN]; COUNT]);
    for (slot, encoding) in input.iter_mut().zip(encodings) {
        *slot = *encoding;
    }
    Zeroizing::new(*blake3::keyed_hash(key, input.as_flattened()).as_bytes())
}
