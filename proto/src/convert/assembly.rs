//! Puts a message together from its chunks.

use hippodrome_core::message::Message;

use super::{WireError, decode_kind, has_body};
use crate::pb::{Chunk, chunk::Part, header::Kind};

/// A message of which some chunks have come. It grows with what has come, never with what was announced, and refuses the
/// first chunk that goes too far.
pub(crate) struct Assembly {
    limit: usize,
    kind: Option<Kind>,
    body: Vec<u8>,
}

impl Assembly {
    /// Nothing yet; the body may have up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kind: None, body: Vec::new() }
    }

    /// Takes the next chunk.
    pub(crate) fn push(&mut self, chunk: Chunk) -> Result<(), WireError> {
        match (chunk.part, &self.kind) {
            (None, _) => Err(WireError::EmptyChunk),
            // A stream of these would never end and never reach the limit.
            (Some(Part::Records(records)), _) if records.is_empty() => Err(WireError::EmptyChunk),
            (Some(Part::Header(_)), Some(_)) => Err(WireError::SecondHeader),
            (Some(Part::Header(header)), None) => {
                self.kind = Some(header.kind.ok_or(WireError::UnknownKind)?);
                Ok(())
            }
            (Some(Part::Records(_)), None) => Err(WireError::RecordsBeforeHeader),
            (Some(Part::Records(_)), Some(kind)) if !has_body(kind) => Err(WireError::UnexpectedBody),
            (Some(Part::Records(records)), Some(_)) => self.extend(&records),
        }
    }

    fn extend(&mut self, records: &[u8]) -> Result<(), WireError> {
        if records.len() > self.limit - self.body.len() {
            return Err(WireError::BodyTooLong { limit: self.limit });
        }
        self.body.extend_from_slice(records);
        Ok(())
    }

    /// Bytes of the body so far.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// The message, after the last chunk.
    pub(crate) fn finish(self) -> Result<Message, WireError> {
        decode_kind(self.kind.ok_or(WireError::NoHeader)?, self.body)
    }
}
