//! The connection to the coordinator: epochs, amendments and rounds, checked against the directory before anybody sees them.
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
    ids::{ChainId, Party, RosterId, Round},
    message::{AmendmentStart, EpochStart},
    roster::{AmendmentError, Roster},
};
use hippodrome_proto::{
    gateway::{GatewayClient, GatewayError, NetworkStatus, RoundEvent, connect_gateway},
    tls::Fingerprint,
    transport::ConnectError,
};
use tokio::sync::broadcast;

use crate::clock::Backoff;

/// Announced rounds that are kept for sessions that begin later.
const RECENT: usize = 8;
/// Rosters that are kept.
const KEPT_ROSTERS: usize = 4;
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
    /// It gives an amendment that no quorum has signed, or that drops a strike.
    #[error("the coordinator's amendment is refused: {0}")]
    Amendment(#[from] AmendmentError),
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
    /// The newest, and some before it: rounds keep the roster that they were announced under.
    rosters: Mutex<BTreeMap<RosterId, Arc<Roster>>>,
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
    /// A round with its keys, signed by all its active servers.
    Announced(Arc<RoundView>),
    /// Who takes part from now on; the client may belong to another chain.
    Roster(Arc<Roster>),
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
        Ok(Self(Arc::new(Shared { directory, gateway, rosters: Mutex::default(), feeds: Mutex::default() })))
    }

    /// The network's directory.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.0.directory
    }

    /// Asks for the epoch and checks its signatures; none if there is none yet.
    pub async fn epoch(&self) -> Result<Option<Arc<Epoch>>, UplinkError> {
        Ok(self.roster().await?.map(|roster| Arc::clone(roster.epoch())))
    }

    /// Asks for epoch and amendment and checks their signatures; none if there is no epoch yet.
    pub async fn roster(&self) -> Result<Option<Arc<Roster>>, UplinkError> {
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

    fn rosters(&self) -> MutexGuard<'_, BTreeMap<RosterId, Arc<Roster>>> {
        self.rosters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest(&self) -> Option<Arc<Roster>> {
        self.rosters().last_key_value().map(|(_, roster)| Arc::clone(roster))
    }

    async fn refresh(&self) -> Result<Option<Arc<Roster>>, UplinkError> {
        let info = self.gateway.network().await?;
        let Some(start) = info.epoch else { return Ok(self.newest()) };
        let (given, known) = (start.plan.number, self.newest());
        if let Some(known) = known.as_ref().map(|known| known.id().epoch)
            && given < known
        {
            return Err(UplinkError::Older { known, given });
        }
        let roster = self.verify(start, info.amendment, known)?;
        let mut rosters = self.rosters();
        rosters.insert(roster.id(), Arc::clone(&roster));
        while rosters.len() > KEPT_ROSTERS {
            rosters.pop_first();
        }
        Ok(Some(roster))
    }

    /// The roster that is given, or the known one of the same epoch if that is as new.
    fn verify(
        &self,
        start: EpochStart,
        amendment: Option<AmendmentStart>,
        known: Option<Arc<Roster>>,
    ) -> Result<Arc<Roster>, UplinkError> {
        let EpochStart { plan, shares, signatures } = start;
        let epoch = EpochDraft::new(&self.directory, plan, &shares)?.verify(&self.directory, &signatures)?;
        let base = match known.filter(|known| known.epoch().digest() == epoch.digest()) {
            Some(known) => known,
            None => Arc::new(Roster::new(&self.directory, Arc::new(epoch))),
        };
        match amendment.filter(|given| given.amendment.number > base.id().amendment) {
            Some(amendment) => Ok(Arc::new(base.amend(&self.directory, &amendment)?)),
            None => Ok(base),
        }
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
            let roster = self.refresh().await?;
            Ok::<_, UplinkError>((roster, self.gateway.rounds(chain).await?))
        };
        let (roster, mut events) = match subscribed.await {
            Ok(subscribed) => subscribed,
            Err(error) => return Some(error.to_string()),
        };
        // While there was no connection, the epoch may have changed.
        if let Some(roster) = roster.filter(|roster| roster.is_usable())
            && !self.tell(chain, Heard::Roster(roster))
        {
            return None;
        }
        let mut heard = Heard::Connected;
        while self.tell(chain, heard) {
            heard = match events.next().await {
                Ok(Some(RoundEvent::Announced(descriptor))) => self.check(chain, &descriptor).await,
                Ok(Some(RoundEvent::Closed { round, roster })) => self.move_on(round, roster).await,
                Ok(Some(RoundEvent::Delivered(round))) => Heard::Delivered(round),
                Ok(Some(RoundEvent::Failed { round, reason })) => Heard::Failed { round, reason },
                Ok(None) => return Some("the coordinator has ended the stream of events".into()),
                Err(error) => return Some(error.to_string()),
            };
            backoff.reset();
        }
        None
    }

    /// Checks a round's keys; if no roster at hand fits, there may be a newer one.
    async fn check(&self, chain: ChainId, descriptor: &ClientDescriptor) -> Heard {
        let round = descriptor.round;
        match self.view(chain, descriptor) {
            Ok(announced) => announced,
            Err(first) => {
                let before = self.newest().map(|roster| *roster.digest());
                let reason = match self.refresh().await {
                    Ok(after) if after.as_ref().map(|roster| *roster.digest()) == before => first.to_string(),
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

    /// The roster that closed the chain in a round.
    async fn move_on(&self, round: Round, named: RosterId) -> Heard {
        let roster = match self.newest() {
            Some(newest) if newest.id() >= named => Ok(Some(newest)),
            _ => self.refresh().await,
        };
        let reason = match roster {
            Ok(Some(roster)) if roster.is_usable() => return Heard::Roster(roster),
            Ok(_) => "no chain is open for this client".to_owned(),
            Err(error) => error.to_string(),
        };
        Heard::Refused { round, reason }
    }

    fn view(&self, chain: ChainId, descriptor: &ClientDescriptor) -> Result<Heard, DescriptorError> {
        let named = self.rosters().get(&descriptor.roster).cloned();
        let unknown = DescriptorError::Shape { expected: "an epoch and an amendment that are known" };
        let roster = named.ok_or(unknown)?;
        Ok(Heard::Announced(Arc::new(descriptor.clone().verify(&self.directory, &roster, chain)?)))
    }

    /// Tells all sessions of a chain; if there is none any more, the feed ends.
    fn tell(&self, chain: ChainId, heard: Heard) -> bool {
        let mut feeds = self.feeds();
        let Some(feed) = feeds.get_mut(&chain) else { return false };
        if let Heard::Announced(view) = &heard {
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
