//! What can be wrong with bytes from the wire.

use hippodrome_crypto::{group::DecodeError, signing::SigningError};

/// Why bytes from the wire are not a message: what was expected, and what came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field that every message of the kind has is not there.
    #[error("`{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A fixed-length field has another length.
    #[error("`{field}` has {got} bytes, expected {expected}")]
    Length {
        /// The field.
        field: &'static str,
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// A list is not a whole number of records.
    #[error("`{field}` has {got} bytes, expected a multiple of {width}")]
    Ragged {
        /// The list.
        field: &'static str,
        /// Bytes of one record.
        width: usize,
        /// Bytes that came.
        got: usize,
    },
    /// A list is shorter than its header says.
    #[error("`{field}` has {got} bytes, expected at least {expected}")]
    TooShort {
        /// The list.
        field: &'static str,
        /// Bytes that it should have at least.
        expected: u64,
        /// Bytes that it has.
        got: usize,
    },
    /// A list is longer than any network needs.
    #[error("`{field}` has {got} entries, expected at most {limit}")]
    TooMany {
        /// The list.
        field: &'static str,
        /// Most entries.
        limit: usize,
        /// Entries that came.
        got: usize,
    },
    /// A number is too big for what it counts.
    #[error("`{field}` is {got}, expected at most {limit}")]
    Range {
        /// The field.
        field: &'static str,
        /// Greatest value.
        limit: u64,
        /// Value that came.
        got: u64,
    },
    /// A code stands for nothing.
    #[error("`{field}` is {got}, which stands for nothing")]
    Code {
        /// The field.
        field: &'static str,
        /// Value that came.
        got: i32,
    },
    /// An address is not `host:port`.
    #[error("`{field}` is not host:port in at most {limit} bytes")]
    Address {
        /// The field.
        field: &'static str,
        /// Most bytes.
        limit: usize,
    },
    /// 32 bytes are no group element.
    #[error("`{field}`: {source}")]
    Element {
        /// The field.
        field: &'static str,
        /// Why not.
        source: DecodeError,
    },
    /// 32 bytes are no public key.
    #[error("`{field}`: {source}")]
    PublicKey {
        /// The field.
        field: &'static str,
        /// Why not.
        source: SigningError,
    },
    /// A body that is one protobuf message is not.
    #[error("`{field}` is cut short or damaged")]
    Undecodable {
        /// What the body should be.
        field: &'static str,
    },
    /// The header is of no kind that this version knows.
    #[error("the header is of no known kind")]
    UnknownKind,
    /// The message has no header.
    #[error("the message has no header")]
    NoHeader,
    /// The message has a second header.
    #[error("the message has a second header")]
    SecondHeader,
    /// Records came before the header that says what they are.
    #[error("records came before the header")]
    RecordsBeforeHeader,
    /// A chunk holds nothing.
    #[error("a chunk holds neither header nor records")]
    EmptyChunk,
    /// A message of this kind has no body.
    #[error("a message of this kind has no body, but records came")]
    UnexpectedBody,
    /// The body is longer than the receiver takes.
    #[error("the body is longer than {limit} bytes")]
    BodyTooLong {
        /// Most bytes.
        limit: usize,
    },
}
