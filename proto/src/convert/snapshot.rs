//! The wire format is frozen: one message of every kind, with fixed contents, has the bytes that it had.
//!
//! A change here is a change of the wire. It belongs into `CHANGELOG.md`, and into the label of the protocol's version.

use std::sync::Arc;

use hippodrome_crypto::hash::Hasher;
use prost::Message as _;

use super::{encode, kind_name};
use crate::samples::Sampler;

/// Kind, bytes of header and body, and a digest of both.
const FROZEN: &str = include_str!("snapshot.txt");

#[test]
fn the_wire_format_of_every_kind_is_as_it_was() {
    let lines = Sampler::new(1).every_kind().into_iter().map(|message| {
        let name = kind_name(&message);
        let (header, body) = encode(&Arc::new(message));
        let header = header.encode_to_vec();
        let digest = Hasher::new("hippodrome wire snapshot").bytes(&header).bytes(&body).finish();
        format!("{name} {} {} {digest}\n", header.len(), body.len())
    });
    let current: String = lines.collect();
    assert_eq!(current, FROZEN, "the wire has changed; if that is meant, this is the new snapshot:\n{current}");
}
