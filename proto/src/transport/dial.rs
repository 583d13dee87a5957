//! Outbound connections: TCP, then TLS with one pinned certificate, then HTTP/2.

use std::{
    future::pending,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hippodrome_core::ids::Party;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::{
    CONNECTION_WINDOW, STREAM_WINDOW,
    connection::Connection,
    traffic::{Alive, Traffic},
};
use crate::tls::{self, Fingerprint, NodeCertificate, TlsError};

/// How long TCP and TLS may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing comes for this long is asked whether it is alive.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How long the answer may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection to a party.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody has said yet where the party is.
    #[error("the address of {party} is not known yet")]
    NoAddress {
        /// The party.
        party: Party,
    },
    /// Nothing answers there.
    #[error("{party} does not answer at {address}: {source}; is it running, and is this its address?")]
    Unreachable {
        /// The party.
        party: Party,
        /// Where it was looked for.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// Something may be there, but too slow.
    #[error("{party} does not answer at {address} within {seconds} seconds")]
    Timeout {
        /// The party.
        party: Party,
        /// Where it was looked for.
        address: String,
        /// How long.
        seconds: u64,
    },
    /// Somebody else answers.
    #[error("what answers at {address} shows a certificate that is not the one pinned for {party} in the directory")]
    WrongCertificate {
        /// The party.
        party: Party,
        /// Where it was looked for.
        address: String,
    },
    /// TLS failed otherwise.
    #[error("no secure connection to {party} at {address}: {source}")]
    Handshake {
        /// The party.
        party: Party,
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        source: io::Error,
    },
    /// HTTP/2 failed on the connection.
    #[error("what answers for {party} at {address} does not speak the protocol: {source}")]
    Protocol {
        /// The party.
        party: Party,
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        source: tonic::transport::Error,
    },
    /// The own certificate is no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Whom to connect to, where, and how to know it.
#[derive(Clone)]
pub(crate) struct Target {
    party: Party,
    tls: TlsConnector,
    address: watch::Receiver<Option<String>>,
    traffic: Arc<Traffic>,
}

impl Target {
    /// `party` shows the certificate `expected`; the address may change or come later.
    pub(crate) fn new(
        party: Party,
        expected: Fingerprint,
        own: Option<&NodeCertificate>,
        address: watch::Receiver<Option<String>>,
    ) -> Result<Self, TlsError> {
        let tls = TlsConnector::from(Arc::new(tls::client_config(own, expected)?));
        Ok(Self { party, tls, address, traffic: Arc::default() })
    }

    /// Counts connections there.
    pub(crate) fn counted(self, traffic: Arc<Traffic>) -> Self {
        Self { traffic, ..self }
    }

    /// `host:port`, if it is known.
    pub(crate) fn address(&self) -> Option<String> {
        self.address.borrow().clone()
    }
}

/// A connection that ends when its target moves.
type Outward = Connection<TlsStream<TcpStream>, Alive>;

/// Connects to where the target is now; if it moves meanwhile, to where it moves.
async fn dial(target: &Target) -> Result<Outward, ConnectError> {
    let party = target.party;
    let mut address_seen = target.address.clone();
    loop {
        let address = address_seen.borrow_and_update().clone().ok_or(ConnectError::NoAddress { party })?;
        let connected = tokio::select! {
            connected = timeout(CONNECT_TIMEOUT, handshake(target, &address)) => connected,
            () = moved(&mut address_seen) => continue,
        };
        return match connected {
            Ok(connected) => {
                let alive = target.traffic.connection();
                Ok(Connection::new(connected?, alive, async move { moved(&mut address_seen).await }))
            }
            Err(_) => Err(ConnectError::Timeout { party, address, seconds: CONNECT_TIMEOUT.as_secs() }),
        };
    }
}

/// Done when the address is another than the one seen last; never if it cannot change any more.
pub(crate) async fn moved(address_seen: &mut watch::Receiver<Option<String>>) {
    if address_seen.changed().await.is_err() {
        pending().await
    }
}

async fn handshake(target: &Target, address: &str) -> Result<TlsStream<TcpStream>, ConnectError> {
    let party = target.party;
    let address = || address.to_owned();
    let unreachable = |source| ConnectError::Unreachable { party, address: address(), source };
    let tcp = TcpStream::connect(address()).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    target.tls.connect(tls::server_name(), tcp).await.map_err(|source| {
        if source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some_and(tls::is_unpinned) {
            ConnectError::WrongCertificate { party, address: address() }
        } else {
            ConnectError::Handshake { party, address: address(), source }
        }
    })
}

/// A channel that connects at its first use, and again after a connection broke.
pub(crate) fn lazy_channel(target: Target) -> Channel {
    let connector = service_fn(move |_: Uri| {
        let target = target.clone();
        async move { dial(&target).await.map(TokioIo::new) }
    });
    endpoint().connect_with_connector_lazy(connector)
}

/// A channel that is connected, so that what is wrong with the address shows here; later it reconnects by itself.
pub(crate) async fn channel(target: Target) -> Result<Channel, ConnectError> {
    let party = target.party;
    let address = target.address().unwrap_or_default();
    let first = Arc::new(Mutex::new(Some(dial(&target).await?)));
    let connector = service_fn(move |_: Uri| {
        let (target, first) = (target.clone(), Arc::clone(&first));
        async move {
            let ready = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            match ready {
                Some(stream) => Ok(TokioIo::new(stream)),
                None => dial(&target).await.map(TokioIo::new),
            }
        }
    });
    let protocol = |source| ConnectError::Protocol { party, address, source };
    endpoint().connect_with_connector(connector).await.map_err(protocol)
}

/// The address in it is never looked up: the connector knows where to go.
fn endpoint() -> Endpoint {
    Endpoint::from_static("http://hippodrome.invalid")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
}
