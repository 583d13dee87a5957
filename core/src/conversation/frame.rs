//! The text frame: 256 bytes on the wire, whatever it holds.
//!
//! A frame is a plaintext of 240 bytes under ChaCha20-Poly1305 with a key that seals exactly one frame (so the nonce is
//! constant), followed by the 16-byte tag. Plaintext, numbers little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | kind: 0 idle, 1 segment, 2 hello, 3 confirm |
//! | 1 | flags: bit 0, the segment ends its text |
//! | 2 | length of the payload |
//! | 4 | segment number |
//! | 4 | acknowledgement: segments below this number have arrived |
//! | 4 | acknowledgement: bit `i` set if segment `acknowledged + 1 + i` has arrived too |
//! | 224 | payload, then zeros |

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::secret::Secret;
use crate::wire::FRAME_LEN;

/// Bytes of payload that a frame holds.
pub const PAYLOAD_LEN: usize = PLAINTEXT_LEN - HEADER_LEN;

const TAG_LEN: usize = 16;
const PLAINTEXT_LEN: usize = FRAME_LEN - TAG_LEN;
const HEADER_LEN: usize = 16;
const ENDS_TEXT: u8 = 1;

/// A frame before it is sealed.
#[derive(PartialEq)]
pub(super) struct Frame {
    pub(super) ack: Ack,
    pub(super) body: Body,
}

/// What has arrived of the partner's segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ack {
    /// All segments below this number have arrived.
    pub(super) next: u32,
    /// Bit `i` stands for segment `next + 1 + i`.
    pub(super) beyond: u32,
}

/// What a frame is for.
#[derive(PartialEq)]
pub(super) enum Body {
    /// Nothing to say.
    Idle,
    /// A piece of a text.
    Segment(Segment),
    /// The acceptor's half of the handshake.
    Hello(Payload),
    /// The inviter's answer to it.
    Confirm(Payload),
}

/// A numbered piece of a text.
#[derive(PartialEq)]
pub(super) struct Segment {
    pub(super) number: u32,
    /// Whether the text ends here.
    pub(super) ends_text: bool,
    /// 1 to [`PAYLOAD_LEN`] bytes.
    pub(super) payload: Payload,
}

/// At most [`PAYLOAD_LEN`] bytes, wiped when dropped.
#[derive(PartialEq, Zeroize, ZeroizeOnDrop)]
pub(super) struct Payload(Vec<u8>);

impl Payload {
    /// Takes the bytes, unless they are too many for a frame.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= PAYLOAD_LEN).then(|| Self(bytes.to_vec()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Frame {
    fn encode(&self) -> Zeroizing<[u8; PLAINTEXT_LEN]> {
        let (kind, flags, number, payload): (u8, u8, u32, &[u8]) = match &self.body {
            Body::Idle => (0, 0, 0, &[]),
            Body::Segment(segment) => {
                let flags = if segment.ends_text { ENDS_TEXT } else { 0 };
                (1, flags, segment.number, segment.payload.bytes())
            }
            Body::Hello(payload) => (2, 0, 0, payload.bytes()),
            Body::Confirm(payload) => (3, 0, 0, payload.bytes()),
        };
        let mut plain = Zeroizing::new([0; PLAINTEXT_LEN]);
        plain[0] = kind;
        plain[1] = flags;
        plain[2..4].copy_from_slice(&(payload.len() as u16).to_le_bytes());
        plain[4..8].copy_from_slice(&number.to_le_bytes());
        plain[8..12].copy_from_slice(&self.ack.next.to_le_bytes());
        plain[12..16].copy_from_slice(&self.ack.beyond.to_le_bytes());
        plain[HEADER_LEN..HEADER_LEN + payload.len()].copy_from_slice(payload);
        plain
    }

    /// Reads a plaintext; `None` unless it is the one encoding of some frame.
    fn decode(plain: &[u8; PLAINTEXT_LEN]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([plain[at], plain[at + 1], plain[at + 2], plain[at + 3]]);
        let (kind, flags, number) = (plain[0], plain[1], word(4));
        let len = u16::from_le_bytes([plain[2], plain[3]]) as usize;
        let (payload, padding) = plain[HEADER_LEN..].split_at_checked(len)?;
        if padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        let body = match (kind, flags, number) {
            (0, 0, 0) if payload.is_empty() => Body::Idle,
            (1, 0 | ENDS_TEXT, _) if !payload.is_empty() => {
                Body::Segment(Segment { number, ends_text: flags == ENDS_TEXT, payload: Payload::new(payload)? })
            }
            (2, 0, 0) => Body::Hello(Payload::new(payload)?),
            (3, 0, 0) => Body::Confirm(Payload::new(payload)?),
            _ => return None,
        };
        Some(Self { ack: Ack { next: word(8), beyond: word(12) }, body })
    }
}

/// A key that has sealed nothing yet; sealing consumes it and leaves a key that can only open.
pub(super) struct SealKey(Secret);

/// A key that opens the one frame sealed under it.
pub(super) struct OpenKey(Secret);

impl SealKey {
    pub(super) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// Seals one frame.
    pub(super) fn seal(self, frame: &Frame) -> ([u8; FRAME_LEN], OpenKey) {
        let mut plain = frame.encode();
        let tag = cipher(&self.0)
            .encrypt_inout_detached(&Nonce::default(), &[], plain.as_mut_slice().into())
            .expect("a frame is far below the cipher's limit");
        let mut content = [0; FRAME_LEN];
        content[..PLAINTEXT_LEN].copy_from_slice(plain.as_slice());
        content[PLAINTEXT_LEN..].copy_from_slice(&tag);
        (content, OpenKey(self.0))
    }
}

impl OpenKey {
    pub(super) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// Opens a frame; `None` if it was not sealed under this key or is no frame.
    pub(super) fn open(&self, content: &[u8; FRAME_LEN]) -> Option<Frame> {
        let (body, tag) = content.split_at(PLAINTEXT_LEN);
        let mut plain = Zeroizing::new([0; PLAINTEXT_LEN]);
        plain.copy_from_slice(body);
        let tag = Tag::try_from(tag).ok()?;
        cipher(&self.0).decrypt_inout_detached(&Nonce::default(), &[], plain.as_mut_slice().into(), &tag).ok()?;
        Frame::decode(&plain)
    }
}

fn cipher(key: &Secret) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.expose().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bodies() -> impl Strategy<Value = Body> {
        let payload = |min| prop::collection::vec(any::<u8>(), min..=PAYLOAD_LEN);
        prop_oneof![
            Just(()).prop_map(|()| Body::Idle),
            (any::<u32>(), any::<bool>(), payload(1)).prop_map(|(number, ends_text, bytes)| {
                Body::Segment(Segment { number, ends_text, payload: Payload(bytes) })
            }),
            payload(0).prop_map(|bytes| Body::Hello(Payload(bytes))),
            payload(0).prop_map(|bytes| Body::Confirm(Payload(bytes))),
        ]
    }

    fn frames() -> impl Strategy<Value = Frame> {
        (any::<u32>(), any::<u32>(), bodies())
            .prop_map(|(next, beyond, body)| Frame { ack: Ack { next, beyond }, body })
    }

    impl core::fmt::Debug for Frame {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(f, "Frame({:?})", self.encode())
        }
    }

    impl core::fmt::Debug for Body {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("Body")
        }
    }

    proptest! {
        #[test]
        fn opens_what_was_sealed_and_nothing_else(frame in frames(), key: [u8; 32], bit in 0..FRAME_LEN * 8) {
            let (mut content, own) = SealKey::new(Secret::new(&key)).seal(&frame);
            prop_assert!(own.open(&content) == Some(frame));
            let mut other = key;
            other[bit % 32] ^= 1;
            prop_assert!(OpenKey::new(Secret::new(&other)).open(&content).is_none());
            content[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(own.open(&content).is_none());
        }

        #[test]
        fn a_plaintext_is_refused_or_the_one_encoding_of_its_frame(
            head in prop::array::uniform16(any::<u8>()),
            kind in 0u8..5,
            flags in 0u8..3,
            len in 0u16..=300,
            numbered: bool,
            fill in prop::collection::vec(any::<u8>(), 0..=PAYLOAD_LEN),
        ) {
            let mut plain = [0; PLAINTEXT_LEN];
            plain[..HEADER_LEN].copy_from_slice(&head);
            plain[0] = kind;
            plain[1] = flags;
            plain[2..4].copy_from_slice(&len.to_le_bytes());
            if !numbered {
                plain[4..8].fill(0);
            }
            plain[HEADER_LEN..HEADER_LEN + fill.len()].copy_from_slice(&fill);
            if let Some(frame) = Frame::decode(&plain) {
                prop_assert_eq!(*frame.encode(), plain);
            }
        }
    }

    fn idle() -> [u8; PLAINTEXT_LEN] {
        *Frame { ack: Ack::default(), body: Body::Idle }.encode()
    }

    #[test]
    fn refuses_each_kind_of_nonsense() {
        assert!(Frame::decode(&idle()).is_some());
        let spoiled = |edits: &[(usize, u8)]| {
            let mut plain = idle();
            for (at, value) in edits {
                plain[*at] = *value;
            }
            Frame::decode(&plain).is_none()
        };
        assert!(spoiled(&[(0, 4)]), "unknown kind");
        assert!(spoiled(&[(1, 1)]), "an idle frame ends no text");
        assert!(spoiled(&[(4, 1)]), "an idle frame has no number");
        assert!(spoiled(&[(2, 1)]), "an idle frame has no payload");
        assert!(spoiled(&[(0, 1)]), "a segment is not empty");
        assert!(spoiled(&[(0, 1), (1, 2), (2, 1)]), "unknown flag");
        assert!(spoiled(&[(0, 1), (2, 225)]), "longer than a frame");
        assert!(spoiled(&[(0, 1), (2, 255), (3, 255)]), "far longer than a frame");
        assert!(spoiled(&[(PLAINTEXT_LEN - 1, 1)]), "padding that is not zero");
    }
}
