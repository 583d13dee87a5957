//! Outbound messages: a queue for each peer, a connection that is made again when it breaks, retries until a deadline.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hippodrome_core::{ids::Party, message::Message};
use prost::Message as _;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{sleep_until, timeout_at},
};
use tonic::{Code, Status, transport::Channel};

use super::{
    Target,
    dial::moved,
    lazy_channel,
    traffic::{Class, Traffic},
};
use crate::{
    convert::{CHUNK_LEN, chunks, encode, kind_name},
    pb::{self, link_client::LinkClient},
    tls::{Fingerprint, NodeCertificate, TlsError},
};

/// Messages that wait for a peer, in each lane.
const QUEUE: usize = 1024;
/// Messages with big bodies that are on their way to a peer at once.
const BULK_IN_FLIGHT: usize = 3;
/// Other messages that are on their way to a peer at once.
const SMALL_IN_FLIGHT: usize = 5;
/// Wait before the first retry; each further one waits twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// Longest wait before a retry.
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// Why a message was not taken for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer takes messages more slowly than they are made, or is down.
    #[error("{QUEUE} messages are waiting for {0} already")]
    QueueFull(Party),
    /// The directory does not have this party, or it is the node itself.
    #[error("there is no link to {0}")]
    NoLink(Party),
}

/// A message on its way: encoded once, however often it is tried.
struct Outgoing {
    kind: &'static str,
    class: Option<Class>,
    header: pb::Header,
    body: Bytes,
    give_up: Instant,
}

impl Outgoing {
    fn new(message: &Arc<Message>, give_up: Instant) -> Self {
        let (header, body) = encode(message);
        Self { kind: kind_name(message), class: Class::of(message), header, body, give_up }
    }
}

/// The way to one peer. Dropping it drops what has not been sent.
pub struct Link {
    party: Party,
    address: watch::Sender<Option<String>>,
    bulk: mpsc::Sender<Outgoing>,
    small: mpsc::Sender<Outgoing>,
    _lanes: JoinSet<()>,
}

impl Link {
    /// A link to `party`, which shows the certificate `expected`. Nothing is connected before there is something to
    /// send and an address to send it to. Must be called inside a tokio runtime.
    pub fn new(
        party: Party,
        address: Option<String>,
        expected: Fingerprint,
        own: &NodeCertificate,
    ) -> Result<Self, TlsError> {
        Self::counted(party, address, expected, own, Arc::default())
    }

    fn counted(
        party: Party,
        address: Option<String>,
        expected: Fingerprint,
        own: &NodeCertificate,
        traffic: Arc<Traffic>,
    ) -> Result<Self, TlsError> {
        let (address, address_seen) = watch::channel(address);
        let target = Target::new(party, expected, Some(own), address_seen.clone())?.counted(Arc::clone(&traffic));
        let client = LinkClient::new(lazy_channel(target));
        let courier = Courier { party, client, address: address_seen, traffic, is_lossy: Arc::default() };
        let mut lanes = JoinSet::new();
        let bulk = open_lane(&mut lanes, courier.clone(), BULK_IN_FLIGHT);
        let small = open_lane(&mut lanes, courier, SMALL_IN_FLIGHT);
        Ok(Self { party, address, bulk, small, _lanes: lanes })
    }

    /// Queues a message. It is tried until `give_up`, and may arrive twice or after a
    /// message that was queued later.
    pub fn send(&self, message: &Arc<Message>, give_up: Instant) -> Result<(), SendError> {
        let outgoing = Outgoing::new(message, give_up);
        let lane = if outgoing.body.len() > CHUNK_LEN { &self.bulk } else { &self.small };
        lane.try_send(outgoing).map_err(|_| SendError::QueueFull(self.party))
    }

    /// Says where the peer is. If it was elsewhere before, the connection there ends, and what it did not answer is
    /// sent again to the new address at once.
    pub fn set_address(&self, address: String) {
        self.address.send_if_modified(|known| {
            let moves = known.as_ref() != Some(&address);
            *known = Some(address);
            moves
        });
    }
}

/// A lane of its own for big messages, so that they never keep a small one waiting in a queue.
fn open_lane(lanes: &mut JoinSet<()>, courier: Courier, in_flight: usize) -> mpsc::Sender<Outgoing> {
    let (sender, mut queue) = mpsc::channel::<Outgoing>(QUEUE);
    lanes.spawn(async move {
        let slots = Arc::new(Semaphore::new(in_flight));
        let mut deliveries = JoinSet::new();
        while let (Ok(slot), Some(outgoing)) = (Arc::clone(&slots).acquire_owned().await, queue.recv().await) {
            let courier = courier.clone();
            deliveries.spawn(async move {
                courier.deliver(outgoing).await;
                drop(slot);
            });
            while deliveries.try_join_next().is_some() {}
        }
    });
    sender
}

/// Brings messages to one peer.
#[derive(Clone)]
struct Courier {
    party: Party,
    client: LinkClient<Channel>,
    address: watch::Receiver<Option<String>>,
    traffic: Arc<Traffic>,
    /// Whether the last message that was settled was lost.
    is_lossy: Arc<AtomicBool>,
}

impl Courier {
    async fn deliver(mut self, outgoing: Outgoing) {
        let mut backoff = FIRST_BACKOFF;
        let mut last = None;
        self.address.mark_unchanged();
        while Instant::now() < outgoing.give_up {
            match timeout_at(outgoing.give_up.into(), self.attempt(&outgoing)).await {
                Ok(Ok(())) => return self.delivered(&outgoing),
                Ok(Err(status)) if is_final(&status) => return self.report(&outgoing, Some(&status)),
                Ok(Err(status)) => last = Some(status),
                Err(_) => break,
            }
            let again = (Instant::now() + backoff).min(outgoing.give_up);
            tokio::select! {
                () = sleep_until(again.into()) => backoff = (backoff * 2).min(LONGEST_BACKOFF),
                // Whoever has moved has only just come back.
                () = moved(&mut self.address) => backoff = FIRST_BACKOFF,
            }
        }
        self.report(&outgoing, last.as_ref());
    }

    async fn attempt(&self, outgoing: &Outgoing) -> Result<(), Status> {
        let stream = tokio_stream::iter(chunks(outgoing.header.clone(), outgoing.body.clone()));
        self.client.clone().deliver(stream).await.map(drop)
    }

    fn delivered(&self, outgoing: &Outgoing) {
        self.traffic.count_sent(outgoing.class, outgoing.header.encoded_len() + outgoing.body.len());
        if self.is_lossy.swap(false, Ordering::Relaxed) {
            tracing::info!(peer = %self.party, "messages are delivered again");
        }
    }

    /// Says which kind of message was lost, and nothing of its contents; of a peer that is away, the first one only.
    fn report(&self, outgoing: &Outgoing, status: Option<&Status>) {
        let (peer, kind) = (self.party, outgoing.kind);
        let reason = status.map_or_else(|| "no answer before the deadline".to_owned(), explain);
        if self.is_lossy.swap(true, Ordering::Relaxed) {
            tracing::debug!(%peer, kind, reason, "a message was not delivered");
        } else {
            tracing::warn!(%peer, kind, reason, "a message was not delivered; further ones are not mentioned");
        }
    }
}

/// The peer has looked at the message and will say the same to any copy of it.
fn is_final(status: &Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::OutOfRange)
}

/// The innermost cause: "transport error" alone helps nobody.
pub(crate) fn explain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        text = in_words(error);
        cause = if error.is::<super::ConnectError>() { None } else { error.source() };
    }
    text
}

/// What an error says; a connection that its other end dropped gets plainer words than its library has.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let dropped = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    };
    match error.downcast_ref::<io::Error>() {
        Some(error) if dropped(error) => "the other end has dropped it".to_owned(),
        _ => error.to_string(),
    }
}

/// Links to all other parties.
pub struct Peers {
    links: HashMap<Party, Link>,
    traffic: Arc<Traffic>,
}

impl Peers {
    /// Links to `parties`, none of them the node itself. Addresses follow. Must be called inside a tokio runtime.
    pub fn new(
        own: &NodeCertificate,
        parties: impl IntoIterator<Item = (Party, Fingerprint)>,
    ) -> Result<Self, TlsError> {
        let traffic = Arc::default();
        let link = |(party, expected)| Ok((party, Link::counted(party, None, expected, own, Arc::clone(&traffic))?));
        let links = parties.into_iter().map(link).collect::<Result<_, TlsError>>()?;
        Ok(Self { links, traffic })
    }

    /// What the links count.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// Queues a message for one party; see [`Link::send`].
    pub fn send(&self, party: Party, message: &Arc<Message>, give_up: Instant) -> Result<(), SendError> {
        self.links.get(&party).ok_or(SendError::NoLink(party))?.send(message, give_up)
    }

    /// Says where a party is; unknown parties are ignored.
    pub fn set_address(&self, party: Party, address: String) {
        if let Some(link) = self.links.get(&party) {
            link.set_address(address);
        }
    }
}
