//! Widths of the fixed-size records, and their fields' places.

use hippodrome_crypto::{group::ENCODED_LEN, knowledge::KNOWLEDGE_LEN, onion};

/// Bytes of a sealed text frame: what a mailbox holds, and what an access gets back.
pub const FRAME_LEN: usize = 256;
/// Bytes of a mailbox id.
pub const MAILBOX_LEN: usize = 16;
/// Bytes of a chain number inside an onion.
pub const CHAIN_LEN: usize = 2;
/// Bytes of an author: a kind and a number.
pub const AUTHOR_LEN: usize = 5;
/// Bytes of a slot number.
pub const SLOT_LEN: usize = 2;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;
/// Bytes of a digest.
pub const DIGEST_LEN: usize = 32;

/// Widths, in bytes, of every kind of record in a network of one topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    hops: usize,
    layers: usize,
    /// A client's or server's submission.
    pub submission: usize,
    /// A reply handed to its author, behind author and slot.
    pub reply_record: usize,
}

impl Sizes {
    /// The sizes of a network with `layers` layers of chains of `hops` servers.
    pub fn new(hops: usize, layers: usize) -> Self {
        let mut sizes = Self { hops, layers, submission: 0, reply_record: 0 };
        sizes.submission = AUTHOR_LEN + SLOT_LEN + ENCODED_LEN + sizes.body(0, 0) + KNOWLEDGE_LEN + SIGNATURE_LEN;
        sizes.reply_record = AUTHOR_LEN + SLOT_LEN + sizes.reply(0, 0);
        sizes
    }

    /// What a layer's chains find at their end.
    pub fn payload(&self, layer: usize) -> usize {
        if layer + 1 == self.layers { MAILBOX_LEN + FRAME_LEN } else { CHAIN_LEN + self.parcel_record(layer + 1) }
    }

    /// Body of a record that the hop at `position` receives.
    pub fn body(&self, layer: usize, position: usize) -> usize {
        onion::body_len(self.payload(layer), self.hops - position)
    }

    /// Key and body of a record that the hop at `position` receives.
    pub fn record(&self, layer: usize, position: usize) -> usize {
        ENCODED_LEN + self.body(layer, position)
    }

    /// Record of a parcel into `layer`: key, signature of knowledge, body.
    pub fn parcel_record(&self, layer: usize) -> usize {
        ENCODED_LEN + KNOWLEDGE_LEN + self.body(layer, 0)
    }

    /// Entry of an input offer: what members need to check and sign an input without its bodies.
    pub fn entry(&self, layer: usize) -> usize {
        let origin = if layer == 0 { AUTHOR_LEN + SLOT_LEN + SIGNATURE_LEN } else { CHAIN_LEN };
        ENCODED_LEN + DIGEST_LEN + origin + KNOWLEDGE_LEN
    }

    /// Reply that the hop at `position` sends to the hop before it.
    pub fn reply(&self, layer: usize, position: usize) -> usize {
        let hops = (self.layers - 1 - layer) * self.hops + (self.hops - position);
        onion::reply_len(FRAME_LEN, hops)
    }

    /// Reply that the hop at `position` receives, from the hop after it, the next layer or the mailboxes.
    pub fn inner_reply(&self, layer: usize, position: usize) -> usize {
        let hops = (self.layers - 1 - layer) * self.hops + (self.hops - 1 - position);
        onion::reply_len(FRAME_LEN, hops)
    }
}
