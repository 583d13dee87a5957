//! What clients ask of the coordinator, and its answers, as plain values.
//!
//! Nothing here is believed: directory, epoch and descriptors are signed, submissions and replies are sealed. The
//! coordinator can only keep them back.

use std::sync::Arc;

use hippodrome_core::{
    coordinator::Strikes,
    descriptor::ClientDescriptor,
    ids::{ChainId, ClientId, RosterId, Round, ServerId},
    message::{AmendmentStart, EpochStart, Ground},
    participant::Inclusion,
};
use hippodrome_crypto::signing::Signature;
use tokio::sync::mpsc;
/// For implementations of [`Gateway`].
pub use tonic::async_trait;

mod client;
mod convert;
pub(crate) mod server;
#[cfg(test)]
mod tests;

pub use client::{GatewayClient, GatewayError, RoundEvents, connect_gateway};

/// Directory, epoch and amendment as the coordinator gives them to clients: to be verified.
#[derive(Clone, Debug)]
pub struct NetworkInfo {
    /// The directory document.
    pub directory: Vec<u8>,
    /// One signature a server on the directory, in its order.
    pub signatures: Vec<Signature>,
    /// The epoch, if there is one yet.
    pub epoch: Option<EpochStart>,
    /// The amendment of that epoch, if anybody was struck in it.
    pub amendment: Option<AmendmentStart>,
}

/// What happened with a round.
#[derive(Clone, Debug)]
pub enum RoundEvent {
    /// It is announced: these are its keys.
    Announced(Arc<ClientDescriptor>),
    /// It is announced, but the chain is closed in it: by its roster, clients have another.
    Closed {
        /// The round.
        round: Round,
        /// Who takes part in it.
        roster: RosterId,
    },
    /// Its replies can be fetched.
    Delivered(Round),
    /// It ended without replies.
    Failed {
        /// The round.
        round: Round,
        /// Why, for people.
        reason: String,
    },
}

/// All submissions of one client for one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitRequest {
    /// The round.
    pub round: Round,
    /// The client's input chain.
    pub chain: ChainId,
    /// Encoded submissions, one a slot.
    pub records: Vec<u8>,
}

/// What a client gets of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its sealed replies, one a slot.
    pub replies: Vec<u8>,
    /// That its submissions were let in, if the coordinator was told: to be verified.
    pub inclusion: Option<Inclusion>,
}

/// How the network is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkStatus {
    /// Number of the epoch, 0 before the first.
    pub epoch: u64,
    /// The last announced round, 0 before the first.
    pub round: u64,
    /// Which servers are connected, in the directory's order.
    pub servers_up: Vec<bool>,
    /// Rounds whose replies were delivered.
    pub rounds_completed: u64,
    /// Rounds that ended without.
    pub rounds_failed: u64,
    /// Hop proofs checked by servers in all completed rounds.
    pub hops_verified: u64,
    /// Why the last failed round failed, or nothing.
    pub last_failure: String,
    /// Rounds that were called for and not announced.
    pub rounds_unopened: u64,
    /// Why no rounds are opened, or nothing.
    pub idle: String,
    /// Servers that are struck from the epoch, or are about to be.
    pub struck: Vec<StruckServer>,
    /// Strikes since the coordinator's start.
    pub strikes: Strikes,
    /// Files of evidence against servers that the coordinator keeps.
    pub evidence_held: u64,
}

/// A server that is out of rounds, by the coordinator's word; what a quorum has signed is in the amendment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StruckServer {
    /// The server.
    pub server: ServerId,
    /// Why.
    pub ground: Ground,
    /// Since when, milliseconds since 1970; none if the coordinator has forgotten.
    pub since_ms: Option<u64>,
}

/// Why the coordinator does not do what a client asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing, or not yet.
    #[error("{0}")]
    NotFound(String),
    /// The request breaks a rule; asking again is no use.
    #[error("{0}")]
    Refused(String),
    /// Not now.
    #[error("{0}")]
    Busy(String),
}

/// The coordinator's side. Each text in a [`Refusal`] is shown to the client's user.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// Directory and epoch.
    async fn network(&self) -> Result<Arc<NetworkInfo>, Refusal>;
    /// Events for clients of one input chain from now on; the stream ends when the sender is dropped.
    async fn rounds(&self, chain: ChainId) -> Result<mpsc::Receiver<RoundEvent>, Refusal>;
    /// Takes the submissions of a client.
    async fn submit(&self, request: SubmitRequest) -> Result<(), Refusal>;
    /// Gives what a client gets of a round.
    async fn fetch(&self, round: Round, client: ClientId) -> Result<Fetched, Refusal>;
    /// How the network is doing.
    async fn status(&self) -> Result<NetworkStatus, Refusal>;
}
