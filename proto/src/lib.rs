//! The wire of Hippodrome: how messages become bytes, and how the bytes travel.
//!
//! * [`convert`] turns core's messages into protobuf headers and bodies of fixed-size records, and back; nothing that is
//!   malformed gets through, and no protobuf type gets out.
//! * [`tls`] pins certificates: a connection's other end is exactly the party that the directory names, or anonymous.
//! * [`transport`] carries messages between servers and the coordinator: a [`transport::Listener`] takes them in, a
//!   [`transport::Peers`] sends them.
//! * [`gateway`] is what clients ask of the coordinator.

pub mod convert;
#[cfg(test)]
mod fuzz;
pub mod gateway;
pub mod kept;
#[cfg(test)]
mod samples;
pub mod tls;
pub mod transport;

/// What the build makes of `proto/hippodrome.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
mod pb {
    tonic::include_proto!("hippodrome.v1");
}
