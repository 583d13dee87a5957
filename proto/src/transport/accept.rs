//! Inbound connections: TCP and TLS, before HTTP/2 sees anything.

use std::{io, sync::Arc, time::Duration};

use hippodrome_core::ids::Party;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use super::{connection::Connection, listener::Limits};
use crate::tls::{Fingerprint, Pins};

/// How long to wait when the system has no more descriptors, before asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The party whose certificate was shown, or none: a client.
    pub(crate) party: Option<Party>,
}

/// Who is connected, and the permit to be.
pub(crate) struct Guest {
    peer: Peer,
    /// Held while the connection lives: there are only so many anonymous ones.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connected for Guest {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

/// A connection after its handshake.
pub(crate) type Inward = Connection<TlsStream<TcpStream>, Guest>;

/// Takes connections and shakes hands, each on its own, so that one that is slow or talks garbage holds up no other.
pub(crate) struct Acceptor {
    pub(crate) tls: TlsAcceptor,
    pub(crate) pins: Arc<Pins>,
    pub(crate) limits: Limits,
    /// Turns true when connections are to be cut.
    pub(crate) cut: watch::Receiver<bool>,
    pub(crate) ready: mpsc::Sender<io::Result<Inward>>,
}

impl Acceptor {
    /// Runs until it is dropped, or nobody takes connections any more.
    pub(crate) async fn run(self, tcp: TcpListener) {
        let acceptor = Arc::new(self);
        let handshakes = Arc::new(Semaphore::new(acceptor.limits.handshakes));
        let anonymous = Arc::new(Semaphore::new(acceptor.limits.anonymous_connections));
        let mut running = JoinSet::new();
        while !acceptor.ready.is_closed() {
            let stream = match tcp.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while running.try_join_next().is_some() {}
            // Above the limit connections are closed at once, rather than queued behind those that may be stalling.
            if let Ok(handshake) = Arc::clone(&handshakes).try_acquire_owned() {
                running.spawn(Arc::clone(&acceptor).admit(stream, Arc::clone(&anonymous), handshake));
            }
        }
    }

    async fn admit(self: Arc<Self>, stream: TcpStream, anonymous: Arc<Semaphore>, _handshake: OwnedSemaphorePermit) {
        match timeout(self.limits.handshake_timeout, self.shake_hands(stream)).await {
            Ok(Ok((tls, peer))) => self.hand_on(tls, peer, anonymous).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection failed its handshake"),
            Err(_) => tracing::debug!("a connection did not complete its handshake in time"),
        }
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Peer)> {
        stream.set_nodelay(true)?;
        let tls = self.tls.accept(stream).await?;
        let shown = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let party = shown.and_then(|certificate| self.pins.get(&Fingerprint::of(certificate)).copied());
        Ok((tls, Peer { party }))
    }

    async fn hand_on(&self, tls: TlsStream<TcpStream>, peer: Peer, anonymous: Arc<Semaphore>) {
        let permit = match peer.party {
            Some(_) => None,
            None => match anonymous.try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => return tracing::debug!("a client is turned away: too many are connected"),
            },
        };
        let mut cut = self.cut.clone();
        // Either way of ending, word or silence, means that the node has stopped.
        let cut = async move {
            let _ = cut.wait_for(|cut| *cut).await;
        };
        let _ = self.ready.send(Ok(Connection::new(tls, Guest { peer, _permit: permit }, cut))).await;
    }
}
