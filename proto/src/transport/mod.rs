//! gRPC over pinned TLS: [`Listener`] takes messages in, [`Peers`] sends them.

use std::io;

use tokio::net::TcpListener;

mod accept;
mod connection;
mod deliver;
mod dial;
mod link;
mod listener;
#[cfg(test)]
mod tests;
mod traffic;

pub use dial::ConnectError;
pub(crate) use dial::{Target, channel, lazy_channel};
pub(crate) use link::explain;
pub use link::{Link, Peers, SendError};
pub use listener::{Limits, Listener, ServeError};
pub use traffic::{Class, Traffic};

/// HTTP/2 window of one stream: a batch flows without waiting for the other end at 8 MiB a round trip.
const STREAM_WINDOW: u32 = 8 << 20;
/// HTTP/2 window of a connection: bounds what it can make the receiver hold unread.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// HTTP/2 frame: small enough that a confirmation is not held up behind a piece of a batch.
const FRAME: u32 = 256 << 10;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("cannot listen on {address}: the port is in use; stop what listens there or choose another port")]
    InUse {
        /// The address.
        address: String,
    },
    /// The system does not allow it.
    #[error("cannot listen on {address}: not permitted; choose a port from 1024 on or grant the permission")]
    Denied {
        /// The address.
        address: String,
    },
    /// Anything else: the host is unknown, or is not this machine.
    #[error("cannot listen on {address}: {source}; expected host:port with an address of this machine")]
    Other {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Listens on `host:port`; port 0 takes any free one.
pub async fn bind(address: &str) -> Result<TcpListener, BindError> {
    let refused = |source: io::Error| {
        let address = address.to_owned();
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            io::ErrorKind::PermissionDenied => BindError::Denied { address },
            _ => BindError::Other { address, source },
        }
    };
    TcpListener::bind(address).await.map_err(refused)
}
