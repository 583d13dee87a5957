//! One person with one conversation, in a directory of their own.
//!
//! | file | what |
//! |---|---|
//! | `seat.key` | the client key that the network registers |
//! | `identity.key` | the secret that the conversation's keys depend on |
//! | `state.redb` | conversation, history, marks |
//!
//! Every step is durable before its bytes leave or its texts are shown, so a process may be killed at any instant:
//! after the next start no text is lost, doubled or out of order. None of it belongs into a backup, and only one process
//! opens it at a time.

mod identity;
mod state;
#[cfg(test)]
mod tests;
mod voice;

use std::{
    fs::DirBuilder,
    future::Future,
    io,
    num::NonZeroU16,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use hippodrome_core::{
    conversation::{
        Conversation, Event, Identity, InviteCode, InviteError, SafetyNumber, SayError, Schedule, Stage, TextId,
        VoidReason,
    },
    directory::Directory,
    epoch::Epoch,
    marks::{Marks, StoreError},
};
use hippodrome_crypto::signing::PublicKey;
use hippodrome_proto::transport::ConnectError;
use hippodrome_store::key_file::{ClientKeys, KeyFileError};
use tokio::sync::mpsc;

pub use self::{
    identity::IdentityError,
    state::{Line, LineKind, StateError, TextState},
};
use self::{state::Store, voice::PersonVoice};
use crate::{
    budget::Budget,
    clock::{Backoff, now_ms},
    session::{Session, SessionError},
    uplink::Uplink,
};

const SEAT: &str = "seat.key";
const IDENTITY: &str = "identity.key";
const STATE: &str = "state.redb";

/// Why a person's program cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// The directory cannot be made.
    #[error("cannot make the directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The seat's key is no good.
    #[error(transparent)]
    Seat(#[from] KeyFileError),
    /// The identity is no good.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The state is no good.
    #[error(transparent)]
    State(#[from] StateError),
    /// The state could not be written once, and what is in memory may not be on the disk.
    #[error("the state could not be written, so nothing more is sent: start anew when the disk works again")]
    Spoiled,
    /// What makes counts durable fails.
    #[error(transparent)]
    Marks(#[from] StoreError),
    /// There is no epoch yet, so no round in which to meet.
    #[error("the network has not begun yet: an invite names the round in which it does")]
    NoEpoch,
    /// There is nobody to talk to.
    #[error("there is no conversation yet: make an invite, or accept one")]
    NoConversation,
    /// There is somebody already.
    #[error("there is a conversation already, and there can be one only")]
    Talking,
    /// The code is no good.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The invite's slot does not exist here.
    #[error("the invite is for slot {lane}, but this network has {slots}")]
    Lane {
        /// The slot, from 0.
        lane: u8,
        /// Slots of the network.
        slots: usize,
    },
    /// The text is not taken.
    #[error(transparent)]
    Say(#[from] SayError),
}

/// What happens to a person. What is told here is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonEvent {
    /// There is no epoch yet: not all servers are up.
    Waiting {
        /// Servers that are up.
        servers_up: usize,
        /// All servers.
        servers: usize,
    },
    /// Takes part in this epoch.
    Joined {
        /// Its number.
        epoch: u64,
    },
    /// Events of the network come in.
    Connected,
    /// They don't; connecting is tried again.
    Interrupted {
        /// What is wrong.
        reason: String,
    },
    /// No round has been announced for long: servers are away.
    Stalled {
        /// Why, by the coordinator's word.
        reason: String,
    },
    /// The coordinator does not take what is submitted in this person's name, now or later.
    Refused {
        /// The round.
        round: u64,
        /// Why, by its word.
        reason: String,
    },
    /// A round is about to be submitted to, and counts.
    Counted {
        /// With it.
        budget: Budget,
    },
    /// Took part in a round.
    Submitted {
        /// The round.
        round: u64,
    },
    /// Nobody shows that what was sent in a round was let in: the coordinator or a server may have left it out.
    NotIncluded {
        /// The round.
        round: u64,
        /// What is wrong.
        reason: String,
    },
    /// Did not take part in a round, or not with the conversation.
    SatOut {
        /// The round.
        round: u64,
        /// Why.
        reason: String,
    },
    /// What was sent in a round has come back, as it does when all is well.
    RoundCompleted {
        /// The round.
        round: u64,
    },
    /// Nothing useful came back from a round; what was sent in it is sent again.
    RoundFailed {
        /// The round.
        round: u64,
        /// Why.
        reason: String,
    },
    /// Both sides have the same keys and know it.
    Established {
        /// The number to compare.
        safety: SafetyNumber,
    },
    /// The whole of an own text has been sent.
    Sent {
        /// The text.
        id: TextId,
        /// The round in which its last piece went.
        round: u64,
    },
    /// The partner has an own text.
    Delivered {
        /// The text.
        id: TextId,
    },
    /// A text of the partner.
    Received {
        /// Counted from 0.
        seq: u64,
        /// The text, control characters included.
        text: String,
    },
    /// Something in place of a text.
    Unreadable {
        /// Its number.
        seq: u64,
    },
    /// Somebody else used the invite: the conversation is over.
    InviteVoid {
        /// What was seen.
        reason: VoidReason,
    },
}

impl From<Event> for PersonEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Established { safety } => Self::Established { safety },
            Event::Sent { text, round } => Self::Sent { id: text, round },
            Event::Delivered { text } => Self::Delivered { id: text },
            Event::Received { seq, text } => Self::Received { seq, text },
            Event::Unreadable { seq } => Self::Unreadable { seq },
            Event::InviteVoid { reason } => Self::InviteVoid { reason },
        }
    }
}

/// A person; clones share the same state.
#[derive(Clone)]
pub struct Person(Arc<Shared>);

struct Shared {
    seat: ClientKeys,
    directory: Arc<Directory>,
    inner: Mutex<Inner>,
}

struct Inner {
    identity: Identity,
    store: Store,
    conversation: Option<Conversation>,
    epoch: Option<Arc<Epoch>>,
    slots: usize,
    budget: Budget,
    /// The person wants to talk on without a guarantee.
    overspends: bool,
    events: mpsc::UnboundedSender<PersonEvent>,
    spoiled: bool,
}

impl Inner {
    fn tell(&mut self, event: PersonEvent) {
        // An error means that nobody looks; the history has it.
        let _ = self.events.send(event);
    }

    /// What is in memory may differ from what is on the disk: nothing more is made from it.
    fn spoil(&mut self, error: StateError) -> PersonError {
        self.spoiled = true;
        error.into()
    }
}

impl Person {
    /// Makes the directory and the keys of a person called `name` where they are missing; gives the key of the seat,
    /// which has to be registered before its owner can take part.
    pub fn prepare(directory: &Path, name: &str) -> Result<PublicKey, PersonError> {
        let not_made = |source| PersonError::Directory { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(not_made)?;
        let (seat, identity) = (directory.join(SEAT), directory.join(IDENTITY));
        if !seat.exists() {
            ClientKeys::generate(name)?.create(&seat)?;
        }
        if !identity.exists() {
            identity::create(&identity, &Identity::random(&mut rand::rng()))?;
        }
        Ok(ClientKeys::load(&seat)?.public())
    }

    /// Opens a person's directory, and gives what happens from now on. Rounds that a former process submitted to are
    /// given up: their replies can be opened no more.
    pub fn open(
        path: &Path,
        directory: Arc<Directory>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<PersonEvent>), PersonError> {
        let seat = ClientKeys::load(&path.join(SEAT))?;
        let identity = identity::load(&path.join(IDENTITY))?;
        let (store, conversation) = Store::open(&path.join(STATE), seat.name(), directory.id())?;
        let (events, receiver) = mpsc::unbounded_channel();
        let params = directory.params();
        let submitted = Marks::new(Box::new(store.marks())).submissions()?;
        let budget = Budget { submitted, stated: params.noise.guarantee };
        let (slots, overspends) = (params.slots.into(), store.overspends()?);
        let mut inner =
            Inner { identity, store, conversation, epoch: None, slots, budget, overspends, events, spoiled: false };
        inner.change(|conversation| {
            let gone: Vec<u64> = conversation.in_flight().collect();
            gone.into_iter().for_each(|round| conversation.lost(round));
            Vec::new()
        })?;
        Ok((Self(Arc::new(Shared { seat, directory, inner: Mutex::new(inner) })), receiver))
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>, PersonError> {
        // A thread that panicked may have left it half changed.
        let inner = self.0.inner.lock().map_err(|_| PersonError::Spoiled)?;
        if inner.spoiled { Err(PersonError::Spoiled) } else { Ok(inner) }
    }

    /// The name in the seat's key file.
    pub fn name(&self) -> &str {
        self.0.seat.name()
    }

    /// The key of the seat.
    pub fn seat(&self) -> PublicKey {
        self.0.seat.public()
    }

    /// Takes part in the network until `shutdown` is done; the coordinator is at `host:port`. While it does not answer
    /// there, connecting is tried again.
    pub async fn run(&self, address: &str, shutdown: impl Future<Output = ()> + Send) -> Result<(), SessionError> {
        tokio::pin!(shutdown);
        let uplink = tokio::select! {
            uplink = self.connect(address) => uplink?,
            () = &mut shutdown => return Ok(()),
        };
        self.run_over(uplink, shutdown).await
    }

    async fn connect(&self, address: &str) -> Result<Uplink, SessionError> {
        let mut backoff = Backoff::new();
        loop {
            let error = match Uplink::connect(Arc::clone(&self.0.directory), address).await {
                Ok(uplink) => return Ok(uplink),
                Err(error) => error,
            };
            if !matches!(error, ConnectError::Unreachable { .. } | ConnectError::Timeout { .. }) {
                return Err(error.into());
            }
            self.tell(PersonEvent::Interrupted { reason: error.to_string() })?;
            backoff.wait().await;
        }
    }

    fn tell(&self, event: PersonEvent) -> Result<(), SessionError> {
        self.lock().map_err(|error| SessionError::Voice(error.into()))?.tell(event);
        Ok(())
    }

    /// Takes part over a connection that others may use, too.
    pub async fn run_over(
        &self,
        uplink: Uplink,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), SessionError> {
        let marks = self.lock().map_err(|error| SessionError::Voice(error.into()))?.store.marks();
        let session = Session::over(uplink, self.0.seat.signing_key(), Marks::new(Box::new(marks)));
        session.run(&mut PersonVoice::new(self.clone()), shutdown).await
    }

    /// Makes an invite: a line to hand over to the other person by a way that both trust.
    pub fn invite(&self) -> Result<InviteCode, PersonError> {
        let mut inner = self.lock()?;
        inner.check_free()?;
        let epoch = inner.epoch.clone().ok_or(PersonError::NoEpoch)?;
        let begins = epoch.round_at(now_ms()).map_or(epoch.plan().first_round, |round| round.next());
        let schedule = Schedule { first_round: begins.0, lane: 0, stride: NonZeroU16::MIN };
        let network = self.0.directory.id();
        let (conversation, code) = Conversation::invite(network, &inner.identity, schedule, &mut rand::rng());
        inner.begin(conversation)?;
        Ok(code)
    }

    /// Accepts an invite that somebody else has made.
    pub fn accept(&self, code: &str) -> Result<(), PersonError> {
        let mut inner = self.lock()?;
        inner.check_free()?;
        let network = self.0.directory.id();
        let conversation = Conversation::accept(network, &inner.identity, code.trim(), &mut rand::rng())?;
        let lane = conversation.schedule().lane;
        if usize::from(lane) >= inner.slots {
            return Err(PersonError::Lane { lane, slots: inner.slots });
        }
        inner.begin(conversation)
    }

    /// Queues a text. It is durable when this returns, and is sent until the partner has it.
    pub fn say(&self, text: &str) -> Result<TextId, PersonError> {
        let mut inner = self.lock()?;
        let inner = &mut *inner;
        let conversation = inner.conversation.as_mut().ok_or(PersonError::NoConversation)?;
        let id = conversation.say(text)?;
        match inner.store.say(conversation, id, text) {
            Ok(()) => Ok(id),
            Err(error) => Err(inner.spoil(error)),
        }
    }

    /// All texts, oldest first, with what became of them.
    pub fn history(&self) -> Result<Vec<Line>, PersonError> {
        Ok(self.lock()?.store.history()?)
    }

    /// Where the handshake stands; none without a conversation.
    pub fn stage(&self) -> Result<Option<Stage>, PersonError> {
        Ok(self.lock()?.conversation.as_ref().map(Conversation::stage))
    }

    /// Rounds submitted to, by all former processes too, against those for which the network states a guarantee.
    pub fn budget(&self) -> Result<Budget, PersonError> {
        Ok(self.lock()?.budget)
    }

    /// Whether the person talks on without a guarantee when the budget is spent.
    pub fn overspends(&self) -> Result<bool, PersonError> {
        Ok(self.lock()?.overspends)
    }

    /// Talks on without a guarantee when the budget is spent, from now on and for ever. Until somebody asks for it, only
    /// cover is sent then: it is the same whoever talks with whom, so that it spends nothing.
    pub fn overspend(&self) -> Result<(), PersonError> {
        let mut inner = self.lock()?;
        if let Err(error) = inner.store.overspend() {
            return Err(inner.spoil(error));
        }
        inner.overspends = true;
        Ok(())
    }

    /// The number to compare, once the conversation is established.
    pub fn safety_number(&self) -> Result<Option<SafetyNumber>, PersonError> {
        Ok(self.lock()?.conversation.as_ref().and_then(Conversation::safety_number))
    }
}

impl Inner {
    /// Whether the round that was counted last is to be the same whoever talks with whom.
    fn sends_cover_only(&self) -> bool {
        self.budget.is_exceeded() && !self.overspends
    }

    /// An invite that nobody has answered, or that is void, may be replaced.
    fn check_free(&self) -> Result<(), PersonError> {
        match self.conversation.as_ref().map(Conversation::stage) {
            None | Some(Stage::Invited | Stage::Void) => Ok(()),
            Some(Stage::Confirming | Stage::Established) => Err(PersonError::Talking),
        }
    }

    fn begin(&mut self, conversation: Conversation) -> Result<(), PersonError> {
        if let Err(error) = self.store.begin(&conversation) {
            return Err(self.spoil(error));
        }
        self.conversation = Some(conversation);
        Ok(())
    }
}
