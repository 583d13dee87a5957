//! What a node tells its operator in numbers.
//!
//! A node registers its metrics, all under `hippodrome_`, and an [`Endpoint`] answers `GET /metrics` with them. The rule
//! for what may be counted: nothing that depends on what users do, and nothing of a server's own noise. So there is no
//! number of submissions, of records in a batch, of mailboxes, and no metric has a client in a label; rounds, proofs and
//! bytes of messages of constant size are the same whoever takes part.

mod endpoint;
mod links;
mod process;

pub use prometheus_client::{encoding, metrics, registry};
use prometheus_client::{
    metrics::histogram::{Histogram, exponential_buckets},
    registry::Registry,
};

pub use self::{endpoint::Endpoint, links::register_links, process::register_process};

/// An empty registry, whose metrics all begin with `hippodrome_`.
pub fn registry() -> Registry {
    Registry::with_prefix("hippodrome")
}

/// A histogram for the lengths of a round's stages, in seconds: from 10 ms to 82 s, each bucket twice the one before.
pub fn stage_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 14))
}
