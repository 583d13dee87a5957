//! The coordinator of a network: the machine of `hippodrome_core::coordinator` with sockets, a disk and a clock.
//!
//! One task feeds the machine with messages of servers and with the time ([`run`]); clients come in through the
//! gateway, which looks into the machine and never waits in it. Nothing that is logged is about a user.

mod config;
mod gateway;
mod metrics;
mod shell;

use std::{io, path::PathBuf};

use hippodrome_core::{coordinator::RestoreError, ids::Party};
use hippodrome_proto::{
    tls::{Fingerprint, TlsError},
    transport::{BindError, ServeError},
};
use hippodrome_store::{
    epoch_file::EpochFileError, file::WriteError, key_file::KeyFileError, marks::MarksError,
    network_file::NetworkFileError, registry_file::RegistryError,
};

pub use self::{config::CoordinatorConfig, shell::run};

/// Why a coordinator does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The network file is no good.
    #[error(transparent)]
    Network(#[from] NetworkFileError),
    /// The key file is no good.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The registry is no good.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The state directory cannot be used.
    #[error(transparent)]
    Marks(#[from] MarksError),
    /// The epoch that was kept cannot be read.
    #[error(transparent)]
    Epoch(#[from] EpochFileError),
    /// The epoch that was kept is not of this network.
    #[error("{}: {source}; does the state directory belong to this network?", path.display())]
    Restore {
        /// The state directory.
        path: PathBuf,
        /// What does not hold.
        source: RestoreError,
    },
    /// The key is another coordinator's.
    #[error("{} has certificate {got}, but the network file pins {pinned} for the coordinator", path.display())]
    NotPinned {
        /// The key file.
        path: PathBuf,
        /// Its certificate.
        got: Fingerprint,
        /// The one that servers and clients expect.
        pinned: Fingerprint,
    },
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The address for metrics cannot be listened on.
    #[error("`metrics`: {0}")]
    Metrics(BindError),
    /// The system does not say where metrics are fetched.
    #[error("cannot tell where metrics are fetched: {0}")]
    MetricsAddress(io::Error),
    /// The file that says where the coordinator listens cannot be written.
    #[error("`address_file`: {0}")]
    AddressFile(WriteError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener stopped.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// The coordinator's own entry among the parties of a network.
const SELF: Party = Party::Coordinator;
