//! The onion: what a client sends through one chain, and the reply that comes back.
//!
//! A record at a hop is the key `X` of 32 bytes and the hop's *body*; a body is ciphertext and tag. Each hop takes one
//! layer off (the body shrinks by [`TAG_LEN`]) and turns `X` into `b·X`. On the way back it puts one layer on.
//!
//! **Two kinds of keys.** The key of a layer's tag comes from `a·X` alone; the keys that encrypt, forward and back, come
//! from `a·X` *and* `b·X`. So a server can show that a tag is wrong by giving away `a·X`, and still nobody can read the
//! record, nor an original that somebody upstream altered into this one. Hence not the AEAD of RFC 8439, which takes
//! its tag key out of the cipher key: a layer is ChaCha20 with nonce and counter 0, then Poly1305 under the tag key over
//! header, `X` and ciphertext, all of fixed length. Every key is used once, since `X` is.
//!
//! **Reply layers** nobody but the client opens, so they are plain ChaCha20-Poly1305 (RFC 8439) under the return key.

mod client;
mod kdf;
mod layer;
mod server;
mod shown;

pub use client::{BrokenReply, Onion, ReplyKeys, wrap};
pub use kdf::HopKdf;
pub use layer::{WrongTag, open_layer, tag_holds};
pub use server::{
    Mixed, Opened, ReturnKeys, SharedKeys, blind, bodies, decode_keys, derive, encode, mix, open, permute, seal,
    seal_replies, unpermute,
};
pub use shown::{BrokenOnion, ShownOnion};

use crate::group::ENCODED_LEN;

/// Bytes that a layer adds, forward and back.
pub const TAG_LEN: usize = 16;

/// Bytes of the body that carries a payload through `hops` hops.
pub const fn body_len(payload_len: usize, hops: usize) -> usize {
    payload_len + TAG_LEN * hops
}

/// Bytes of the record that carries a payload through `hops` hops: a key and a body.
pub const fn record_len(payload_len: usize, hops: usize) -> usize {
    ENCODED_LEN + body_len(payload_len, hops)
}

/// Bytes of a reply that `hops` hops have sealed.
pub const fn reply_len(payload_len: usize, hops: usize) -> usize {
    payload_len + TAG_LEN * hops
}
