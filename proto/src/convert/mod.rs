//! Between core's messages and what is on the wire: a protobuf header with the fixed fields, and a body of fixed-size
//! records.
//!
//! Every check of form is here: lengths, ranges, canonical encodings. What passes is a [`Message`], whose meaning the
//! machine that receives it judges; what does not is a [`WireError`] that says what was expected.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use hippodrome_core::message::{self, Message};
use prost::Message as _;

use crate::pb::{self, header::Kind};

mod amendment;
mod assembly;
mod audit;
mod epoch;
mod error;
mod evidence;
pub(crate) mod fields;
mod input;
mod keys;
mod mixing;
mod outcome;
mod receipts;
mod replies;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use amendment::{ground, ground_code};
pub(crate) use assembly::Assembly;
pub use error::WireError;
pub use evidence::{CaseFileError, decode_case, encode_case};

/// Bytes of a body that travel in one chunk.
pub const CHUNK_LEN: usize = 1 << 20;

/// The two halves of one kind of message.
pub(crate) trait Wire: Sized {
    /// The protobuf message with the fixed fields.
    type Header;
    /// Whether this kind has a body at all.
    const HAS_BODY: bool = true;

    /// The fixed fields.
    fn header(&self) -> Self::Header;

    /// The records: borrowed where the message keeps them as bytes already.
    fn body(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&[])
    }

    /// Puts the halves together again, unless one is malformed.
    fn decode(header: Self::Header, body: Vec<u8>) -> Result<Self, WireError>;
}

/// One table of all kinds, so that none is forgotten in one place.
macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        fn header_of(message: &Message) -> Kind {
            match message {
                $(Message::$kind(message) => Kind::$kind(message.header()),)*
            }
        }

        fn body_of(message: &Message) -> Cow<'_, [u8]> {
            match message {
                $(Message::$kind(message) => message.body(),)*
            }
        }

        fn has_body(kind: &Kind) -> bool {
            match kind {
                $(Kind::$kind(_) => <message::$kind as Wire>::HAS_BODY,)*
            }
        }

        fn decode_kind(kind: Kind, body: Vec<u8>) -> Result<Message, WireError> {
            match kind {
                $(Kind::$kind(header) => message::$kind::decode(header, body).map(Message::$kind),)*
            }
        }

        /// What kind of message it is, for logs.
        pub fn kind_name(message: &Message) -> &'static str {
            match message {
                $(Message::$kind(_) => stringify!($kind),)*
            }
        }
    };
}

kinds!(
    Hello,
    Peers,
    SeedCall,
    SeedCommitment,
    SeedCommitments,
    SeedReveal,
    EpochProposal,
    EpochSignature,
    EpochStart,
    KeysCall,
    Keys,
    DescriptorProposal,
    DescriptorSignature,
    Announcement,
    Noise,
    Submissions,
    InputOffer,
    InputSignature,
    InputRoot,
    NoiseReceipt,
    Receipts,
    NoiseClaim,
    NoiseAnswer,
    Confirmation,
    Batch,
    Proof,
    Parcel,
    Return,
    Replaced,
    Replies,
    NoiseReplies,
    ReplyClaim,
    ReplyAnswer,
    ShareCall,
    CoinShare,
    Coin,
    NoiseOpening,
    Report,
    Abort,
    AmendmentProposal,
    AmendmentSignature,
    AmendmentStart,
    Accusation,
    TraceStep,
    Charge,
);

/// A message's records, kept alive by the message, so that sending a batch to many peers copies nothing.
struct SharedBody(Arc<Message>);

impl AsRef<[u8]> for SharedBody {
    fn as_ref(&self) -> &[u8] {
        match body_of(&self.0) {
            Cow::Borrowed(records) => records,
            Cow::Owned(_) => &[], // `encode` wraps only borrowed bodies
        }
    }
}

/// Header and body of a message.
pub(crate) fn encode(message: &Arc<Message>) -> (pb::Header, Bytes) {
    let header = pb::Header { kind: Some(header_of(message)) };
    let body = match body_of(message) {
        Cow::Borrowed(_) => Bytes::from_owner(SharedBody(Arc::clone(message))),
        Cow::Owned(records) => Bytes::from(records),
    };
    (header, body)
}

/// Bytes of header and body of a message, as they are encoded; chunks and TLS add a little.
pub fn encoded_len(message: &Message) -> usize {
    let header = pb::Header { kind: Some(header_of(message)) };
    header.encoded_len() + body_of(message).len()
}

/// The chunks in which a message travels.
pub(crate) fn chunks(header: pb::Header, body: Bytes) -> impl Iterator<Item = pb::Chunk> + Send {
    use pb::chunk::Part;
    let records = split(body).map(Part::Records);
    std::iter::once(Part::Header(header)).chain(records).map(|part| pb::Chunk { part: Some(part) })
}

/// Pieces of at most [`CHUNK_LEN`] bytes.
pub(crate) fn split(mut body: Bytes) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || (!body.is_empty()).then(|| body.split_to(body.len().min(CHUNK_LEN))))
}
