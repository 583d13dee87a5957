//! The client's side: wrapping an onion, opening its reply.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use zeroize::Zeroizing;

use super::{
    TAG_LEN, body_len,
    kdf::{HEADER_LEN, HopKdf, LayerKey},
    layer,
};
use crate::{
    group::{Element, SecretScalar},
    hash::Digest,
    hop::{HopContext, HopPublic},
};

/// A wrapped payload, ready for the first hop of a chain.
#[derive(Debug)]
pub struct Onion {
    /// `X = x·P_0`.
    pub key: Element,
    /// The first hop's body, [`body_len`] bytes.
    pub body: Vec<u8>,
    /// What opens the reply.
    pub replies: ReplyKeys,
}

/// The return keys of one onion, first hop first: used once, neither `Clone` nor printable, wiped on drop.
///
/// ```compile_fail
/// # use hippodrome_crypto::onion::ReplyKeys;
/// fn open_twice(keys: ReplyKeys, first: &[u8], second: &[u8]) {
///     let _ = (keys.open(first), keys.open(second));
/// }
/// ```
pub struct ReplyKeys(Vec<ReplyLayer>);

pub(super) struct ReplyLayer {
    pub(super) key: LayerKey,
    pub(super) header: [u8; HEADER_LEN],
}

/// A reply that somebody on the way back has not sealed, or has not sealed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply does not open at position {position} of the chain")]
pub struct BrokenReply {
    /// The first hop whose layer does not open: it, or whoever carried its output, changed the reply.
    pub position: u8,
}

/// Wraps a payload for the hops of one chain, which the caller has verified. `x` must be fresh for each onion.
///
/// Panics unless there are 1 to 255 hops.
pub fn wrap(descriptor: &Digest, layer: u8, chain: u16, hops: &[HopPublic], x: &SecretScalar, payload: &[u8]) -> Onion {
    assert!((1..=usize::from(u8::MAX)).contains(&hops.len()), "a chain has 1 to 255 hops");
    let context = |position| HopContext { descriptor: *descriptor, layer, chain, position };
    let kdfs: Vec<HopKdf> = (0..hops.len()).map(|position| HopKdf::new(&context(position as u8))).collect();
    let path = Path::new(hops, x.expose());
    let mut body = Vec::with_capacity(body_len(payload.len(), hops.len()));
    body.extend_from_slice(payload);
    for (position, kdf) in kdfs.iter().enumerate().rev() {
        layer::close(kdf, path.key(position), path.shared(position), path.key(position + 1), &mut body);
    }
    let reply_layer = |(position, kdf): (usize, &HopKdf)| ReplyLayer {
        key: kdf.return_key(path.key(position), path.shared(position), path.key(position + 1)),
        header: kdf.back,
    };
    let replies = ReplyKeys(kdfs.iter().enumerate().map(reply_layer).collect());
    Onion { key: path.first, body, replies }
}

/// The points that a client meets: `x·P_0 … x·P_ℓ`, then `x·A_1 … x·A_ℓ`, encoded. Secret but for the first.
pub(super) struct Path {
    pub(super) first: Element,
    encodings: Zeroizing<Vec<[u8; 32]>>,
    hops: usize,
}

impl Path {
    /// `x` is not zero.
    pub(super) fn new(hops: &[HopPublic], x: &Scalar) -> Self {
        // Halves, because their doubles encode as a batch.
        let half = Zeroizing::new(x.div_by_2());
        let published = hops.iter().map(|hop| &hop.blinding).chain(hops.iter().map(|hop| &hop.key));
        let products = published.map(|base| base.point() * *half);
        let halves: Vec<_> = core::iter::once(RistrettoPoint::mul_base(&half)).chain(products).collect();
        let halves = Zeroizing::new(halves);
        let encodings = RistrettoPoint::double_and_compress_batch(halves.iter());
        let encodings: Vec<[u8; 32]> = encodings.into_iter().map(|encoding| encoding.to_bytes()).collect();
        let first = Element::from_parts(halves[0] + halves[0], encodings[0]).expect("x is not zero");
        Self { first, encodings: Zeroizing::new(encodings), hops: hops.len() }
    }

    /// The key as it arrives at a hop; the one after the last hop is what that hop puts out.
    pub(super) fn key(&self, position: usize) -> &[u8; 32] {
        &self.encodings[position]
    }

    /// `a·X` of a hop.
    pub(super) fn shared(&self, position: usize) -> &[u8; 32] {
        &self.encodings[self.hops + 1 + position]
    }
}

impl ReplyKeys {
    /// Takes off the layers of all hops, the first hop's first.
    pub fn open(self, reply: &[u8]) -> Result<Vec<u8>, BrokenReply> {
        let mut text = reply.to_vec();
        for (position, layer) in self.0.iter().enumerate() {
            layer.open(&mut text).ok_or(BrokenReply { position: position as u8 })?;
        }
        Ok(text)
    }
}

impl ReplyLayer {
    pub(super) fn open(&self, text: &mut Vec<u8>) -> Option<()> {
        let (ciphertext, tag) = text.split_last_chunk_mut::<TAG_LEN>()?;
        let cipher = ChaCha20Poly1305::new((&*self.key).into());
        cipher.decrypt_inout_detached(&[0; 12].into(), &self.header, ciphertext.into(), &(*tag).into()).ok()?;
        text.truncate(text.len() - TAG_LEN);
        Some(())
    }
}

impl core::fmt::Debug for ReplyKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ReplyKeys(..)")
    }
}
