//! Inbound connections: TCP and TLS, before HTTP/2 sees anything.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hippodrome_core::ids::Party;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use super::listener::Limits;
use crate::tls::{Fingerprint, Pins};

/// How long to wait when the system has no more descriptors, before asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The party whose certificate was shown, or none: a client.
    pub(crate) party: Option<Party>,
}

/// A connection after its handshake.
pub(crate) struct Connection {
    tls: TlsStream<TcpStream>,
    peer: Peer,
    /// Held while the connection lives: there are only so many anonymous ones.
    _permit: Option<OwnedSemaphorePermit>,
    /// Ready when the node stops waiting for connections to end; none after that.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Connection {
    fn is_cut(&mut self, cx: &mut Context<'_>) -> bool {
        if self.cut.as_mut().is_some_and(|cut| cut.as_mut().poll(cx).is_ready()) {
            self.cut = None;
        }
        self.cut.is_none()
    }
}

/// Takes connections and shakes hands, each on its own, so that one that is slow or talks garbage holds up no other.
pub(crate) struct Acceptor {
    pub(crate) tls: TlsAcceptor,
    pub(crate) pins: Arc<Pins>,
    pub(crate) limits: Limits,
    /// Turns true when connections are to be cut.
    pub(crate) cut: watch::Receiver<bool>,
    pub(crate) ready: mpsc::Sender<io::Result<Connection>>,
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
        let cut = Box::pin(async move {
            let _ = cut.wait_for(|cut| *cut).await;
        });
        let _ = self.ready.send(Ok(Connection { tls, peer, _permit: permit, cut: Some(cut) })).await;
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }
}
