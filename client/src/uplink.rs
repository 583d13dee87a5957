//! The connection to the coordinator: epoch and rounds, checked against the directory before anybody sees them.
//!
//! Sessions in one process share a connection, and those of one input chain share what they hear of its rounds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hippodrome_core::{
    descriptor::{ClientDescriptor, DescriptorError, RoundView},
    directory::Directory,
    epoch::{Epoch, EpochDraft, EpochError},
    ids::{ChainId, Party, Round},
    message::EpochStart,
};
use hippodrome_crypto::hash::Digest;
use hippodrome_proto::{
    gateway::{GatewayClient, GatewayError, NetworkStatus, RoundEvent, connect_gateway},
    tls::Fingerprint,
    transport::ConnectError,
};
use tokio::sync::broadcast;

use crate::clock::Backoff;

/// Announced rounds that are kept for sessions that begin later.
const RECENT: usize = 8;
/// What a session may fall behind; it only loses rounds by that.
const HEARD: usize = 256;

/// Why there is no epoch.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The coordinator does not answer, or answers nonsense.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// It gives an epoch that this network's servers have not signed.
    #[error("the coordinator's epoch is refused: {0}")]
    Epoch(#[from] EpochError),
    /// It gives an older epoch than before.
    #[error("the coordinator went back from epoch {known} to epoch {given}, which is refused")]
    Older {
        /// Number of the epoch that is known.
        known: u64,
        /// Number of the one given.
        given: u64,
    },
}

/// A connection to the coordinator; clones share it.
#[derive(Clone)]
pub struct Uplink(Arc<Shared>);

struct Shared {
    directory: Arc<Directory>,
    gateway: GatewayClient,
    epoch: Mutex<Option<Arc<Epoch>>>,
    feeds: Mutex<HashMap<ChainId, Feed>>,
}

/// What is heard of the rounds of an input chain.
struct Feed {
    recent: BTreeMap<Round, Heard>,
    listeners: broadcast::Sender<Heard>,
}

/// What a session hears.
#[derive(Clone)]
pub(crate) enum Heard {
    /// A round with its keys, signed by all servers of its epoch.
    Announced {
        epoch: Arc<Epoch>,
        view: Arc<RoundView>,
    },
    /// A round whose keys are not.
    Refused {
        round: Round,
        reason: String,
    },
    Delivered(Round),
    Failed {
        round: Round,
        reason: String,
    },
    Connected,
    Interrupted(String),
}

impl Uplink {
    /// Connects to the coordinator of a network at `host:port`; it must show the certificate that the directory pins.
    pub async fn connect(directory: Arc<Directory>, address: &str) -> Result<Self, ConnectError> {
        let pinned = directory.certificate(Party::Coordinator).copied().map(Fingerprint::from);
        let no_pin = ConnectError::NoAddress { party: Party::Coordinator };
        let gateway = connect_gateway(address, pinned.ok_or(no_pin)?).await?;
        Ok(Self(Arc::new(Shared { directory, gateway, epoch: Mutex::default(), feeds: Mutex::default() })))
    }

    /// The network's directory.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.0.directory
    }

    /// Asks for the epoch and checks the signatures of all servers; none if there is none yet.
    pub async fn epoch(&self) -> Result<Option<Arc<Epoch>>, UplinkError> {
        self.0.refresh().await
    }

    /// How the network is doing, by the coordinator's word.
    pub async fn status(&self) -> Result<NetworkStatus, GatewayError> {
        self.0.gateway.status().await
    }

    pub(crate) fn gateway(&self) -> &GatewayClient {
        &self.0.gateway
    }

    /// What is heard of a chain: its last rounds, and everything from now on.
    pub(crate) fn listen(&self, chain: ChainId) -> (Vec<Heard>, broadcast::Receiver<Heard>) {
        let mut feeds = self.0.feeds();
        let feed = feeds.entry(chain).or_insert_with(|| {
            tokio::spawn(Arc::clone(&self.0).follow(chain));
            Feed { recent: BTreeMap::new(), listeners: broadcast::Sender::new(HEARD) }
        });
        (feed.recent.values().cloned().collect(), feed.listeners.subscribe())
    }
}

impl Shared {
    fn feeds(&self) -> MutexGuard<'_, HashMap<ChainId, Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_epoch(&self) -> MutexGuard<'_, Option<Arc<Epoch>>> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(&self) -> Result<Option<Arc<Epoch>>, UplinkError> {
        let start = self.gateway.network().await?.epoch;
        let given = start.map(|start| self.verify(start)).transpose()?;
        let mut known = self.known_epoch();
        match (&*known, given) {
            (_, None) => return Ok(known.clone()),
            (Some(known), Some(given)) if given.plan().number < known.plan().number => {
                return Err(UplinkError::Older { known: known.plan().number, given: given.plan().number });
            }
            (Some(known), Some(given)) if given.digest() == known.digest() => {}
            (_, Some(given)) => *known = Some(Arc::new(given)),
        }
        Ok(known.clone())
    }

    fn verify(&self, start: EpochStart) -> Result<Epoch, EpochError> {
        let EpochStart { plan, shares, signatures } = start;
        EpochDraft::new(&self.directory, plan, &shares)?.verify(&self.directory, &signatures)
    }

    /// Follows a chain's rounds as long as somebody listens, over as many connections as it takes.
    async fn follow(self: Arc<Self>, chain: ChainId) {
        let mut backoff = Backoff::new();
        loop {
            let Some(reason) = self.follow_once(chain, &mut backoff).await else { return };
            if !self.tell(chain, Heard::Interrupted(reason)) {
                return;
            }
            backoff.wait().await;
        }
    }

    /// Gives the reason why the events ended; none if nobody listens any more.
    async fn follow_once(&self, chain: ChainId, backoff: &mut Backoff) -> Option<String> {
        let subscribed = async {
            self.refresh().await?;
            Ok::<_, UplinkError>(self.gateway.rounds(chain).await?)
        };
        let mut events = match subscribed.await {
            Ok(events) => events,
            Err(error) => return Some(error.to_string()),
        };
        let mut heard = Heard::Connected;
        while self.tell(chain, heard) {
            heard = match events.next().await {
                Ok(Some(RoundEvent::Announced(descriptor))) => self.check(chain, &descriptor).await,
                Ok(Some(RoundEvent::Delivered(round))) => Heard::Delivered(round),
                Ok(Some(RoundEvent::Failed { round, reason })) => Heard::Failed { round, reason },
                Ok(None) => return Some("the coordinator has ended the stream of events".into()),
                Err(error) => return Some(error.to_string()),
            };
            backoff.reset();
        }
        None
    }

    /// Checks a round's keys; if the epoch at hand does not fit, there may be a newer one.
    async fn check(&self, chain: ChainId, descriptor: &ClientDescriptor) -> Heard {
        let round = descriptor.round;
        match self.view(chain, descriptor) {
            Ok(announced) => announced,
            Err(first) => {
                let before = self.epoch_digest();
                let reason = match self.refresh().await {
                    Ok(_) if self.epoch_digest() == before => first.to_string(),
                    Ok(_) => match self.view(chain, descriptor) {
                        Ok(announced) => return announced,
                        Err(second) => second.to_string(),
                    },
                    Err(error) => error.to_string(),
                };
                Heard::Refused { round, reason }
            }
        }
    }

    fn view(&self, chain: ChainId, descriptor: &ClientDescriptor) -> Result<Heard, DescriptorError> {
        let epoch = self.known_epoch().clone().ok_or(DescriptorError::Shape { expected: "an epoch before a round" })?;
        let view = Arc::new(descriptor.clone().verify(&self.directory, &epoch, chain)?);
        Ok(Heard::Announced { epoch, view })
    }

    fn epoch_digest(&self) -> Option<Digest> {
        self.known_epoch().as_ref().map(|epoch| *epoch.digest())
    }

    /// Tells all sessions of a chain; if there is none any more, the feed ends.
    fn tell(&self, chain: ChainId, heard: Heard) -> bool {
        let mut feeds = self.feeds();
        let Some(feed) = feeds.get_mut(&chain) else { return false };
        if let Heard::Announced { view, .. } = &heard {
            feed.recent.insert(view.round(), heard.clone());
            while feed.recent.len() > RECENT {
                feed.recent.pop_first();
            }
        }
        if feed.listeners.send(heard).is_err() {
            feeds.remove(&chain);
            return false;
        }
        true
    }
}
