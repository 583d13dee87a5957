//! A node's open door.

use std::{future::Future, sync::Arc, time::Duration};

use hippodrome_core::{ids::Party, message::Message};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Server, server::Router};

use super::{CONNECTION_WINDOW, FRAME, STREAM_WINDOW, accept::Acceptor, deliver::Inbound, traffic::Traffic};
use crate::{
    convert::CHUNK_LEN,
    gateway::{Gateway, server::GatewayEnd},
    pb::{gateway_server::GatewayServer, link_server::LinkServer},
    tls::{Anonymous, NodeCertificate, Pins, TlsError},
};

/// How long open requests may take to end when the node stops, before their connections are cut.
const GRACE: Duration = Duration::from_secs(2);
/// A silent connection is asked after this long whether it is alive.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Handshakes done, but not yet taken up by HTTP/2.
const READY_CONNECTIONS: usize = 64;
/// A header, or a chunk with its framing.
const CHUNK_LIMIT: usize = CHUNK_LEN + (64 << 10);
/// Requests of clients are small: the largest has the submissions of one client.
const REQUEST_LIMIT: usize = 256 << 10;

/// What a listener takes at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the body of one message.
    pub max_body_bytes: usize,
    /// Messages that one party may be delivering at once; with `max_body_bytes` it bounds the memory that a party takes.
    pub deliveries_per_party: usize,
    /// How long the next chunk of a message may take to come.
    pub chunk_timeout: Duration,
    /// Connections that may be shaking hands at once; more are closed.
    pub handshakes: usize,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Clients that may be connected at once.
    pub anonymous_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 512 << 20,
            deliveries_per_party: 32,
            chunk_timeout: Duration::from_secs(30),
            handshakes: 1024,
            handshake_timeout: Duration::from_secs(5),
            anonymous_connections: 16 << 10,
        }
    }
}

/// Why a listener does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The own certificate is no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server under it failed.
    #[error("the listener stopped: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Takes connections on one port: of pinned parties, which deliver messages, and, with a gateway, of clients.
pub struct Listener {
    tcp: TcpListener,
    certificate: Arc<NodeCertificate>,
    pins: Arc<Pins>,
    limits: Limits,
    messages: mpsc::Sender<(Party, Message)>,
    gateway: Option<Arc<dyn Gateway>>,
    traffic: Arc<Traffic>,
}

impl Listener {
    /// Messages of the parties in `pins` go to `messages`. When it is full, senders wait: that is the back-pressure.
    pub fn new(
        tcp: TcpListener,
        certificate: Arc<NodeCertificate>,
        pins: Pins,
        limits: Limits,
        messages: mpsc::Sender<(Party, Message)>,
    ) -> Self {
        let traffic = Arc::default();
        Self { tcp, certificate, pins: Arc::new(pins), limits, messages, gateway: None, traffic }
    }

    /// Takes clients, too, which show no certificate and have no more to do with than the gateway.
    #[must_use]
    pub fn with_gateway(mut self, gateway: Arc<dyn Gateway>) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// Counts what comes in there.
    #[must_use]
    pub fn with_traffic(mut self, traffic: Arc<Traffic>) -> Self {
        self.traffic = traffic;
        self
    }

    /// Serves until `shutdown` is done. Then no connection is taken any more, requests that are open may end, and what
    /// has not ended after two seconds is cut.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        let anonymous = if self.gateway.is_some() { Anonymous::Taken } else { Anonymous::Refused };
        let tls = TlsAcceptor::from(Arc::new(self.certificate.server_config(Arc::clone(&self.pins), anonymous)?));
        let router = self.router();
        let (cut, cut_seen) = watch::channel(false);
        let (ready, incoming) = mpsc::channel(READY_CONNECTIONS);
        let acceptor = Acceptor { tls, pins: self.pins, limits: self.limits, cut: cut_seen, ready };
        let mut accepting = JoinSet::new();
        accepting.spawn(acceptor.run(self.tcp));

        let (stop, stop_seen) = tokio::sync::oneshot::channel::<()>();
        let stopped = async {
            let _ = stop_seen.await;
        };
        let serving = router.serve_with_incoming_shutdown(ReceiverStream::new(incoming), stopped);
        let stopping = async {
            shutdown.await;
            accepting.shutdown().await;
            let _ = stop.send(());
            sleep(GRACE).await;
        };
        tokio::select! {
            served = serving => served?,
            () = stopping => {}
        }
        let _ = cut.send(true);
        Ok(())
    }

    fn router(&self) -> Router {
        let traffic = Arc::clone(&self.traffic);
        let inbound = Arc::new(Inbound::new(self.limits.clone(), &self.pins, self.messages.clone(), traffic));
        let link = LinkServer::new(inbound).max_decoding_message_size(CHUNK_LIMIT);
        let gateway = self
            .gateway
            .clone()
            .map(|gateway| GatewayServer::new(GatewayEnd::new(gateway)).max_decoding_message_size(REQUEST_LIMIT));
        Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_concurrent_streams(self.limits.deliveries_per_party as u32)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .add_service(link)
            .add_optional_service(gateway)
    }
}
