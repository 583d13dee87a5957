//! Why a mix server does not start, or stops by itself.

use std::{io, path::PathBuf};

use hippodrome_proto::{
    tls::TlsError,
    transport::{BindError, ServeError},
};
use hippodrome_store::{file::WriteError, key_file::KeyFileError, marks::MarksError, network_file::NetworkFileError};

use crate::LedgerError;

/// Why a mix server does not start, or stops by itself. Never a peer's fault.
#[derive(Debug, thiserror::Error)]
pub enum MixnodeError {
    /// The network file.
    #[error("network file: {0}")]
    Network(#[from] NetworkFileError),
    /// The key file.
    #[error("key file: {0}")]
    Key(#[from] KeyFileError),
    /// The state directory.
    #[error(transparent)]
    Marks(#[from] MarksError),
    /// The key belongs to no server of the network.
    #[error("{}: its key is not in the directory of {}; is this the right key file for this network?", key.display(), network.display())]
    NotInDirectory {
        /// The key file.
        key: PathBuf,
        /// The network file.
        network: PathBuf,
    },
    /// The key is in the directory, but with another certificate.
    #[error("{}: {} pins another certificate for this server; was the key file made anew after the network was signed?", key.display(), network.display())]
    CertificateNotPinned {
        /// The key file.
        key: PathBuf,
        /// The network file.
        network: PathBuf,
    },
    /// Nobody says where the coordinator is.
    #[error("where is the coordinator? set `coordinator` to its host:port; the network file does not say it either")]
    NoCoordinator,
    /// An address without a port.
    #[error("`{setting}` is `{value}`: expected host:port")]
    Address {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// The server listens on all addresses and cannot know which of them others reach.
    #[error(
        "`listen` is {listen}, which others cannot connect to; set `advertise` to the host:port at which they reach this server"
    )]
    NoAdvertise {
        /// Where it listens.
        listen: String,
    },
    /// The file that says where the server listens cannot be written.
    #[error("`address_file`: {0}")]
    AddressFile(WriteError),
    /// What rounds cost cannot be written down.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The address cannot be listened on.
    #[error("`listen`: {0}")]
    Bind(#[from] BindError),
    /// The address for metrics cannot be listened on.
    #[error("`metrics`: {0}")]
    Metrics(BindError),
    /// The own certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener stopped.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The system gives no threads, sockets or randomness.
    #[error("{what}: {source}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A bug: the machine panicked.
    #[error("the mix server's machine failed; this is a bug, and the log above says where")]
    MachineFailed,
}
