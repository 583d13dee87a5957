//! One layer of one record: encrypt, then tag; check the tag, then decrypt.

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use poly1305::{
    Block, Poly1305,
    universal_hash::{KeyInit, UniversalHash},
};
use subtle::ConstantTimeEq;

use super::{
    TAG_LEN,
    kdf::{HEADER_LEN, HopKdf, LayerKey},
};
use crate::group::{ENCODED_LEN, Element};

/// The tag of a layer does not fit its header, key and ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tag of the layer is wrong")]
pub struct WrongTag;

/// Whether a body's tag is right, given `shared = a·X`: what an accusation shows, and it shows no more than this.
pub fn tag_holds(kdf: &HopKdf, key: &Element, shared: &Element, body: &[u8]) -> bool {
    checked_ciphertext(kdf, key.encoded(), shared.encoded(), body).is_ok()
}

/// Opens one body, given `shared = a·X` and `blinded = b·X`: for traces. Batches go through [`open`](super::open).
pub fn open_layer(
    kdf: &HopKdf,
    key: &Element,
    shared: &Element,
    blinded: &Element,
    body: &[u8],
) -> Result<Vec<u8>, WrongTag> {
    let mut payload = vec![0; body.len().checked_sub(TAG_LEN).ok_or(WrongTag)?];
    open_into(kdf, key.encoded(), shared.encoded(), blinded.encoded(), body, &mut payload)?;
    Ok(payload)
}

/// Opens one body into a buffer shorter by a tag, which stays as it was when the tag is wrong.
pub(super) fn open_into(
    kdf: &HopKdf,
    key: &[u8; ENCODED_LEN],
    shared: &[u8; ENCODED_LEN],
    blinded: &[u8; ENCODED_LEN],
    body: &[u8],
    payload: &mut [u8],
) -> Result<(), WrongTag> {
    payload.copy_from_slice(checked_ciphertext(kdf, key, shared, body)?);
    crypt(&kdf.cipher_key(key, shared, blinded), payload);
    Ok(())
}

/// Puts a layer around `body`, in place: the buffer grows by a tag.
pub(super) fn close(
    kdf: &HopKdf,
    key: &[u8; ENCODED_LEN],
    shared: &[u8; ENCODED_LEN],
    blinded: &[u8; ENCODED_LEN],
    body: &mut Vec<u8>,
) {
    crypt(&kdf.cipher_key(key, shared, blinded), body);
    let tag = tag(&kdf.tag_key(key, shared), &kdf.forward, key, body);
    body.extend_from_slice(&tag);
}

fn checked_ciphertext<'a>(
    kdf: &HopKdf,
    key: &[u8; ENCODED_LEN],
    shared: &[u8; ENCODED_LEN],
    body: &'a [u8],
) -> Result<&'a [u8], WrongTag> {
    let (ciphertext, received) = body.split_last_chunk::<TAG_LEN>().ok_or(WrongTag)?;
    let expected = tag(&kdf.tag_key(key, shared), &kdf.forward, key, ciphertext);
    if bool::from(expected.ct_eq(received)) { Ok(ciphertext) } else { Err(WrongTag) }
}

/// ChaCha20 (RFC 8439) with nonce and counter 0; each key meets one text only.
fn crypt(key: &LayerKey, text: &mut [u8]) {
    ChaCha20::new((&**key).into(), &[0; 12].into()).apply_keystream(text);
}

/// Poly1305 (RFC 8439, section 2.5) under a one-time key over header ‖ X ‖ ciphertext.
fn tag(key: &LayerKey, header: &[u8; HEADER_LEN], public: &[u8; ENCODED_LEN], ciphertext: &[u8]) -> [u8; TAG_LEN] {
    let mut mac = Poly1305::new((&**key).into());
    mac.update(Block::slice_as_chunks(header).0);
    mac.update(Block::slice_as_chunks(public).0);
    let (blocks, rest) = Block::slice_as_chunks(ciphertext);
    mac.update(blocks);
    mac.compute_unpadded(rest).into()
}
