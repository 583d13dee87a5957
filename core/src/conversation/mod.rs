//! A conversation of two people, as a machine without I/O: it takes round numbers and replies, and gives accesses.
//!
//! In every round of its [`Schedule`] a conversation has exactly one [`Access`], a mailbox id and 256 bytes, whether
//! there is something to say or not. The two sides meet in the mailbox and get each other's bytes; whoever is alone
//! gets its own. Everything else is made of that: the handshake ([`Conversation::invite`], [`Conversation::accept`]),
//! the ratchet of keys, and texts that arrive whole, once and in order over rounds that get lost.
//!
//! # What the caller owes
//!
//! * [`Conversation::export`] is written durably **before** the bytes of an access leave, and in one transaction with
//!   what events brought (a received text goes into the history together with the state in which it was received).
//!   Then a client may die at any instant: a restored state never sends under a key that was used, and loses, doubles
//!   or reorders no text.
//! * After a restart, nothing is sent for a round submitted before it: [`Conversation::in_flight`] lists these rounds,
//!   and those whose reply cannot come any more are given to [`Conversation::lost`].
//! * `clock` is the latest round that the client's *own* clock allows; what others announce never moves the keys.
//! * Exported states are in no backup, and one identity has one active device: a copy would use keys twice.
//! * Received texts are what the partner wrote, control characters included: whoever shows them makes them harmless.
//!
//! In the rounds and slots of no conversation the client sends [`dummy_access`].

mod codec;
mod dummy;
mod frame;
mod handshake;
mod inbox;
mod invite;
mod outbox;
mod ratchet;
mod reply;
mod secret;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use hippodrome_crypto::hash::Digest;
use rand_core::CryptoRng;

pub use self::{
    codec::ImportError,
    dummy::{DummyReply, dummy_access},
    frame::PAYLOAD_LEN,
    handshake::SafetyNumber,
    invite::{Identity, IdentityKey, InviteCode, InviteError, Schedule},
    outbox::{MAX_TEXT_LEN, SayError},
    ratchet::{MAX_ADVANCE, RatchetError},
    secret::SecretBytes,
};
use self::{
    frame::{Ack, Body, Frame, Payload},
    handshake::{Hello, Link},
    inbox::Inbox,
    invite::{Invite, Offer},
    outbox::Outbox,
    ratchet::{Ratchet, RoundKeys},
    reply::{Expected, Reply},
};
pub use crate::submission::Access;
use crate::wire::FRAME_LEN;

/// Rounds that may wait for their replies; the oldest is given up for the next one, and its keys are erased.
pub const MAX_IN_FLIGHT: usize = 16;

/// A text of this side, numbered from 0 in the order of [`Conversation::say`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextId(pub u64);

/// Something that the person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both sides have the same keys and know it.
    Established {
        /// Equal on the other side, or somebody stands between.
        safety: SafetyNumber,
    },
    /// The whole of a text has been sent at least once.
    Sent {
        /// The text.
        text: TextId,
        /// The round in which its last segment went.
        round: u64,
    },
    /// The partner has the text, durably.
    Delivered {
        /// The text.
        text: TextId,
    },
    /// A text of the partner, in order.
    Received {
        /// Counted from 0.
        seq: u64,
        /// The text as the partner wrote it.
        text: String,
    },
    /// The partner's program sent a text that is too long or not UTF-8.
    Unreadable {
        /// Its place among the received texts.
        seq: u64,
    },
    /// The invite was used by somebody else too: the conversation is over. Make a new invite, hand it over by a better
    /// way, and compare safety numbers.
    InviteVoid {
        /// What was seen.
        reason: VoidReason,
    },
}

/// How a second user of an invite was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoidReason {
    /// A second person accepted the invite.
    SecondAcceptor,
    /// The inviter, or somebody in the inviter's place, agreed with somebody else.
    AnsweredAnother,
    /// Somebody else speaks in our own place.
    Impostor,
}

/// Why there is no access for a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The two don't meet in this round: it gets a dummy.
    #[error("round {0} is not one of this conversation's")]
    NotScheduled(u64),
    /// The conversation is over: its rounds get dummies.
    #[error("the invite of this conversation is void")]
    Void,
    /// The keys do not move to this round.
    #[error(transparent)]
    Ratchet(#[from] RatchetError),
}

/// A round's frame, sealed for the mailbox where the two sides meet in that round alone.
pub struct Sealed {
    /// What goes into the slot.
    pub access: Access,
    /// The text that has now been sent as a whole for the first time, as [`Event::Sent`].
    pub events: Vec<Event>,
}

/// What the replies were, for the person who wonders why nothing arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The partner's frame came.
    pub met: u64,
    /// The own content came back: the partner was absent.
    pub absent: u64,
    /// What came was no frame of this conversation, or nonsense in one.
    pub garbage: u64,
    /// No reply came.
    pub lost: u64,
    /// A reply for a round that waits for none.
    pub unexpected: u64,
}

/// Where the handshake stands, as one shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Our invite is out, nobody has answered.
    Invited,
    /// The other side is known; its confirmation is missing.
    Confirming,
    /// Both sides have confirmed.
    Established,
    /// The invite was used twice.
    Void,
}

/// The side of the invite on which one is; the message keys of the two never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Inviter = 0,
    Acceptor = 1,
}

impl Role {
    fn other(self) -> Self {
        match self {
            Self::Inviter => Self::Acceptor,
            Self::Acceptor => Self::Inviter,
        }
    }
}

/// The handshake's phases, with the chains of keys that still exist in each.
enum Phase {
    /// Inviter, before a hello.
    Waiting { invite: Ratchet, offer: Box<Offer> },
    /// Inviter, after a hello: turn by turn in the invite's mailbox and in the conversation's.
    Answering { invite: Ratchet, link: Box<Link> },
    /// Acceptor, before the confirmation.
    Greeting { invite: Ratchet, link: Box<Link> },
    /// Both sides, for good.
    Established { link: Box<Link> },
    /// Nobody.
    Void,
}

/// Which of the two mailboxes of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Invite,
    Root,
}

struct InFlight {
    round: u64,
    turn: u64,
    place: Place,
    segment: Option<u32>,
    expected: Expected,
}

/// A conversation with one contact, from the invite on.
pub struct Conversation {
    role: Role,
    network: Digest,
    schedule: Schedule,
    phase: Phase,
    in_flight: VecDeque<InFlight>,
    outbox: Outbox,
    inbox: Inbox,
    tally: Tally,
}

impl Conversation {
    /// Makes an invite, and the inviter's side of the conversation that it begins.
    pub fn invite(
        network: &Digest,
        identity: &Identity,
        schedule: Schedule,
        rng: &mut impl CryptoRng,
    ) -> (Self, InviteCode) {
        let offer = Offer::new(network, identity, schedule, rng);
        let code = offer.invite.code();
        let phase = Phase::Waiting { invite: offer.invite.ratchet(), offer: Box::new(offer) };
        (Self::new(Role::Inviter, *network, schedule, phase), code)
    }

    /// Accepts an invite; the schedule is the one that it names.
    pub fn accept(
        network: &Digest,
        identity: &Identity,
        code: &str,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, InviteError> {
        let invite = Invite::parse(code, network)?;
        let link = Box::new(Link::accept(&invite, identity, rng)?);
        let phase = Phase::Greeting { invite: invite.ratchet(), link };
        Ok(Self::new(Role::Acceptor, *network, invite.schedule, phase))
    }

    fn new(role: Role, network: Digest, schedule: Schedule, phase: Phase) -> Self {
        Self {
            role,
            network,
            schedule,
            phase,
            in_flight: VecDeque::new(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            tally: Tally::default(),
        }
    }

    /// The rounds and the lane in which the two meet.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Where the handshake stands.
    pub fn stage(&self) -> Stage {
        match &self.phase {
            Phase::Waiting { .. } => Stage::Invited,
            Phase::Answering { .. } | Phase::Greeting { .. } => Stage::Confirming,
            Phase::Established { .. } => Stage::Established,
            Phase::Void => Stage::Void,
        }
    }

    /// The partner's identity as far as it is known; proven only once the conversation is established.
    pub fn partner(&self) -> Option<IdentityKey> {
        self.link().map(|link| link.partner)
    }

    /// The number to compare, once the conversation is established.
    pub fn safety_number(&self) -> Option<SafetyNumber> {
        match &self.phase {
            Phase::Established { link } => Some(link.safety),
            _ => None,
        }
    }

    /// Texts that the partner has not acknowledged, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = TextId> {
        self.outbox.pending()
    }

    /// Rounds that wait for their replies, oldest first.
    pub fn in_flight(&self) -> impl Iterator<Item = u64> {
        self.in_flight.iter().map(|access| access.round)
    }

    /// What the replies were so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Queues a text of 1 to [`MAX_TEXT_LEN`] bytes. Nothing is sent before both sides have confirmed the keys.
    pub fn say(&mut self, text: &str) -> Result<TextId, SayError> {
        match self.phase {
            Phase::Void => Err(SayError::Void),
            _ => self.outbox.push(text),
        }
    }

    /// The access of a round, once for each round and in increasing order. `clock` is the latest round that the
    /// client's own clock allows. After an error nothing has changed.
    pub fn submit(&mut self, round: u64, clock: u64) -> Result<Sealed, SubmitError> {
        let turn = self.schedule.turn(round).ok_or(SubmitError::NotScheduled(round))?;
        let (place, keys) = self.take_keys(round, turn, clock)?;
        while self.in_flight.len() >= MAX_IN_FLIGHT {
            self.give_up_oldest();
        }
        let (body, sent) = self.body(place, turn);
        let segment = if let Body::Segment(segment) = &body { Some(segment.number) } else { None };
        let ack = if place == Place::Root { self.inbox.ack() } else { Ack::default() };
        let (content, expected) = Expected::seal(&Frame { ack, body }, keys.ours, keys.theirs);
        self.in_flight.push_back(InFlight { round, turn, place, segment, expected });
        let events = sent.map(|text| Event::Sent { text, round }).into_iter().collect();
        Ok(Sealed { access: Access { mailbox: keys.mailbox, content }, events })
    }

    /// Takes the reply of a round. A reply for a round that waits for none is only counted.
    pub fn receive(&mut self, round: u64, content: &[u8; FRAME_LEN]) -> Vec<Event> {
        let Some(access) = self.take_in_flight(round) else {
            self.tally.unexpected += 1;
            return Vec::new();
        };
        let InFlight { turn, place, segment, expected, .. } = access;
        let events = match (expected.read(content), place) {
            (Reply::Echo, _) => {
                self.tally.absent += 1;
                None
            }
            (Reply::Partner(frame), Place::Root) => self.on_root_frame(frame),
            (Reply::Partner(frame), Place::Invite) => self.on_invite_frame(frame.body),
            (Reply::Namesake(frame), Place::Invite) => Some(self.on_namesake(&frame.body)),
            (Reply::Namesake(_) | Reply::Garbage, _) => self.garbage(),
        };
        match events {
            Some(events) => events,
            None => {
                self.failed(segment, turn);
                Vec::new()
            }
        }
    }

    /// The round has failed, or its reply can't come any more: its key is erased, its segment goes again at once.
    pub fn lost(&mut self, round: u64) {
        if let Some(access) = self.take_in_flight(round) {
            self.tally.lost += 1;
            self.failed(access.segment, access.turn);
        }
    }

    fn take_in_flight(&mut self, round: u64) -> Option<InFlight> {
        let at = self.in_flight.iter().position(|access| access.round == round)?;
        self.in_flight.remove(at)
    }

    fn give_up_oldest(&mut self) {
        if let Some(round) = self.in_flight.front().map(|access| access.round) {
            self.lost(round);
        }
    }

    fn failed(&mut self, segment: Option<u32>, turn: u64) {
        if let Some(number) = segment {
            self.outbox.failed(number, turn);
        }
    }

    fn garbage(&mut self) -> Option<Vec<Event>> {
        self.tally.garbage += 1;
        None
    }

    fn link(&self) -> Option<&Link> {
        match &self.phase {
            Phase::Answering { link, .. } | Phase::Greeting { link, .. } | Phase::Established { link } => Some(link),
            Phase::Waiting { .. } | Phase::Void => None,
        }
    }

    /// Moves every chain that still exists behind the round, so that no round comes twice, and takes the keys of the
    /// mailbox that this turn goes to.
    fn take_keys(&mut self, round: u64, turn: u64, clock: u64) -> Result<(Place, RoundKeys), SubmitError> {
        let role = self.role;
        let (here, elsewhere, place) = match &mut self.phase {
            Phase::Waiting { invite, .. } => (invite, None, Place::Invite),
            Phase::Answering { invite, link } if turn % 2 == 1 => (invite, Some(&mut link.root), Place::Invite),
            Phase::Answering { invite, link } => (&mut link.root, Some(invite), Place::Root),
            Phase::Greeting { invite, link } => (invite, Some(&mut link.root), Place::Invite),
            Phase::Established { link } => (&mut link.root, None, Place::Root),
            Phase::Void => return Err(SubmitError::Void),
        };
        here.check(round, clock)?;
        if let Some(chain) = elsewhere {
            chain.pass(round, clock)?;
        }
        Ok((place, here.take(round, clock, role)?))
    }

    /// What to say at a place; texts only once both sides have confirmed.
    fn body(&mut self, place: Place, turn: u64) -> (Body, Option<TextId>) {
        match (&self.phase, place) {
            (Phase::Greeting { link, .. }, Place::Invite) => (Body::Hello(link.hello.payload()), None),
            (Phase::Answering { link, .. }, Place::Invite) => (Body::Confirm(link.confirm_payload()), None),
            (Phase::Established { .. }, Place::Root) => match self.outbox.next(turn) {
                Some(outgoing) => (Body::Segment(outgoing.segment), outgoing.sent),
                None => (Body::Idle, None),
            },
            _ => (Body::Idle, None),
        }
    }

    /// A frame under the conversation's own keys: the partner has the root. `None` if it is nonsense.
    fn on_root_frame(&mut self, frame: Frame) -> Option<Vec<Event>> {
        let mut events = self.establish();
        let delivered = match &frame.body {
            Body::Idle | Body::Segment(_) => self.outbox.acknowledge(frame.ack),
            Body::Hello(_) | Body::Confirm(_) => None,
        };
        let Some(delivered) = delivered else {
            self.garbage();
            return (!events.is_empty()).then_some(events);
        };
        self.tally.met += 1;
        events.extend(delivered.into_iter().map(|text| Event::Delivered { text }));
        if let Body::Segment(segment) = frame.body {
            events.extend(self.inbox.take(segment));
        }
        Some(events)
    }

    /// A frame of the other role in the invite's mailbox. `None` if it is nonsense.
    fn on_invite_frame(&mut self, body: Body) -> Option<Vec<Event>> {
        let events = match (self.role, body) {
            (_, Body::Idle) => Some(Vec::new()),
            (Role::Inviter, Body::Hello(payload)) => Hello::parse(&payload).and_then(|hello| self.on_hello(hello)),
            (Role::Acceptor, Body::Confirm(payload)) => Some(self.on_confirm(&payload)),
            _ => None,
        };
        match events {
            Some(events) => {
                self.tally.met += 1;
                Some(events)
            }
            None => self.garbage(),
        }
    }

    fn on_hello(&mut self, hello: Hello) -> Option<Vec<Event>> {
        match core::mem::replace(&mut self.phase, Phase::Void) {
            Phase::Waiting { invite, offer } => match Link::answer(&offer, hello) {
                Some(link) => self.phase = Phase::Answering { invite, link: Box::new(link) },
                None => {
                    self.phase = Phase::Waiting { invite, offer };
                    return None;
                }
            },
            phase => {
                self.phase = phase;
                if self.link().is_some_and(|link| link.hello != hello) {
                    return Some(self.void(VoidReason::SecondAcceptor));
                }
            }
        }
        Some(Vec::new())
    }

    fn on_confirm(&mut self, payload: &Payload) -> Vec<Event> {
        match self.link() {
            Some(link) if link.confirmed_by(payload) => self.establish(),
            Some(_) => self.void(VoidReason::AnsweredAnother),
            None => Vec::new(),
        }
    }

    /// Somebody with our side's keys of the invite's mailboxes, which only the code gives.
    fn on_namesake(&mut self, body: &Body) -> Vec<Event> {
        let second_acceptor = self.role == Role::Acceptor && matches!(body, Body::Hello(_));
        self.void(if second_acceptor { VoidReason::SecondAcceptor } else { VoidReason::Impostor })
    }

    fn establish(&mut self) -> Vec<Event> {
        match core::mem::replace(&mut self.phase, Phase::Void) {
            Phase::Answering { link, .. } | Phase::Greeting { link, .. } => {
                let safety = link.safety;
                self.phase = Phase::Established { link };
                vec![Event::Established { safety }]
            }
            phase => {
                self.phase = phase;
                Vec::new()
            }
        }
    }

    fn void(&mut self, reason: VoidReason) -> Vec<Event> {
        if matches!(self.phase, Phase::Void) {
            return Vec::new();
        }
        self.phase = Phase::Void;
        self.in_flight.clear();
        vec![Event::InviteVoid { reason }]
    }
}
