//! The coordinator as a machine: it sequences epochs and rounds and carries bytes. It holds no secret and is trusted
//! for liveness only; what it says is checked by signatures of others.
//!
//! One module for each duty: who is there ([`presence`]), an epoch ([`founding`], and when: [`epochs`]), the keys and
//! the descriptor of a round ([`opening`]), its submissions and replies ([`collecting`], [`intake`], [`included`], and when:
//! [`rounds`]), whose noise is opened ([`auditing`]), evidence ([`charges`]), who is at fault without ([`verdict`]) and what follows ([`striking`]), what is kept
//! ([`state`]) and told ([`status`]).

mod auditing;
mod charges;
mod collecting;
mod epochs;
mod founding;
mod included;
mod intake;
mod opening;
mod presence;
mod rounds;
mod state;
mod status;
mod striking;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hippodrome_crypto::{hash::Digest, signing::PublicKey};

use self::{
    auditing::Auditing,
    charges::Charges,
    collecting::Collecting,
    founding::Founding,
    opening::Opening,
    presence::{News, Presence},
    state::Current,
    striking::{Amending, Fault},
    verdict::Disputes,
};
pub use self::{
    charges::{Finding, Inquiry},
    collecting::{AdmittedSubmission, Gatekeeper, SubmitRefusal},
    state::{CoordinatorState, RestoreError},
    status::{ServerStatus, Status, Strikes},
};
use crate::{
    descriptor::ClientDescriptor,
    directory::Directory,
    epoch::Epoch,
    evidence::{Case, Verdict},
    ids::{ChainId, ClientId, RosterId, Round, ServerId},
    marks::Marks,
    message::{AmendmentStart, EpochStart, Hello, Message, Peers},
    participant::Inclusion,
    roster::Roster,
};

/// What happens to the coordinator.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // an input is handled where it is made, never stored
pub enum Input {
    /// A message came from a server whose certificate is pinned.
    Message {
        /// Who sent it.
        from: ServerId,
        /// What it says.
        message: Message,
    },
    /// Evidence has been judged.
    Judged(Box<Finding>),
    /// Time has passed, and every message that had come by then was handled before: only now is anybody judged.
    Tick,
}

/// What the coordinator wants done.
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: ServerId,
        /// What.
        message: Arc<Message>,
        /// When it is no longer of use, milliseconds since 1970.
        until_ms: u64,
    },
    /// Keep this durably in place of what was kept before, before anything after it goes out.
    Keep(Box<CoordinatorState>),
    /// Judge this away from the coordinator, and hand in what it comes to: [`Input::Judged`]. There is one for each server
    /// at a time at most.
    Judge(Box<Inquiry>),
    /// Servers are reached at these addresses, in the directory's order.
    Peers(Vec<String>),
    /// A round is announced: clients may take their views and submit.
    Announced(Round),
    /// Replies of a round may be fetched.
    Delivered(Round),
    /// A round ended without replies.
    Failed {
        /// The round.
        round: Round,
        /// Why, for people.
        reason: String,
    },
    /// Keep this: it convicts somebody, and anyone who has the directory can check it.
    Evidence(Box<Case>, Verdict),
    /// Tell the operator. Nothing in it is about a user, but for one that is convicted.
    Notice(String),
}

/// The coordinator.
pub struct Coordinator {
    directory: Arc<Directory>,
    marks: Marks,
    registry: Vec<PublicKey>,
    presence: Presence,
    founding: Option<Founding>,
    /// Not before this is an attempt at an epoch made.
    found_ms: u64,
    attempts_failed: u32,
    /// Servers whose part was missing in attempts since the last epoch.
    defaulted: BTreeSet<ServerId>,
    /// The epoch before the current one, while rounds of it are still to be opened.
    ending: Option<Current>,
    /// The one of which all rounds have been opened, and the last may still have to be announced.
    ended: Option<Current>,
    epoch: Option<Current>,
    /// A server refuses to work with another for the rest of the epoch.
    unsettled: bool,
    /// Active servers that are to be struck: no round is opened with them.
    faulty: BTreeMap<ServerId, Fault>,
    amending: Option<Amending>,
    /// Not before this is an amendment proposed.
    amend_ms: u64,
    /// Servers struck in the epoch, and when they were found at fault.
    struck_ms: BTreeMap<ServerId, u64>,
    /// Servers of which a restart was pardoned in the epoch, and when that was.
    pardoned: BTreeMap<ServerId, u64>,
    /// Where only one of two could be struck.
    disputes: Disputes,
    /// Nobody is judged by rounds that were called for before this.
    forgiven_ms: u64,
    /// When the clock was looked at last; 0 is never.
    looked_ms: u64,
    /// When it should be looked at next.
    due_ms: u64,
    grace_ms: u64,
    /// Until when servers that are not up are waited for.
    grace_ends_ms: u64,
    next_round: Round,
    opening: BTreeMap<Round, Opening>,
    collecting: BTreeMap<Round, Collecting>,
    auditing: BTreeMap<Round, Auditing>,
    charges: Charges,
    status: Status,
}

/// Bytes of the longest address: a host name and a port. What a server says here goes out to all.
const MAX_ADDRESS_LEN: usize = 300;

/// Milliseconds for which a restarted coordinator waits for the hellos of servers that take part.
const RETURN_MS: u64 = 10_000;

/// Milliseconds without a look at the clock that count as sleep.
const SLEEP_MS: u64 = 3000;

/// Milliseconds by which a look at the clock may be late before that excuses others.
const STALL_MS: u64 = 500;

/// Milliseconds from one look at the clock to the next at most.
const LOOK_MS: u64 = 1000;

/// Rounds whose replies are kept for clients that fetch late.
const KEPT_ROUNDS: u64 = 16;

impl Coordinator {
    /// A coordinator for a network and its registered clients, with durable marks for round and epoch numbers.
    pub fn new(directory: Arc<Directory>, registry: Vec<PublicKey>, marks: Marks) -> Self {
        let servers = directory.servers().len();
        let mut coordinator = Self {
            directory,
            marks,
            registry,
            presence: Presence::new(servers),
            founding: None,
            found_ms: 0,
            attempts_failed: 0,
            defaulted: BTreeSet::new(),
            ending: None,
            ended: None,
            epoch: None,
            unsettled: false,
            faulty: BTreeMap::new(),
            amending: None,
            amend_ms: 0,
            struck_ms: BTreeMap::new(),
            pardoned: BTreeMap::new(),
            disputes: Disputes::default(),
            forgiven_ms: 0,
            looked_ms: 0,
            due_ms: u64::MAX,
            grace_ms: epochs::GRACE_MS,
            grace_ends_ms: 0,
            next_round: Round(1),
            opening: BTreeMap::new(),
            collecting: BTreeMap::new(),
            auditing: BTreeMap::new(),
            charges: Charges::default(),
            status: Status::default(),
        };
        coordinator.refresh_status(0);
        coordinator
    }

    /// A coordinator that goes on from what an earlier one kept.
    pub fn restore(
        directory: Arc<Directory>,
        registry: Vec<PublicKey>,
        marks: Marks,
        state: CoordinatorState,
    ) -> Result<Self, RestoreError> {
        let current = Current::restore(&directory, state)?;
        let mut coordinator = Self::new(directory, registry, marks);
        coordinator.enter(current);
        coordinator.grace_ms = RETURN_MS;
        coordinator.refresh_status(0);
        Ok(coordinator)
    }

    /// Takes an input in at `now_ms` (milliseconds since 1970) and says what is to be done.
    pub fn handle(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.look_at_clock(now_ms);
        match input {
            Input::Message { from, message } => {
                self.presence.hear(now_ms, from);
                self.on_message(now_ms, from, message, &mut out);
            }
            Input::Judged(finding) => self.on_finding(now_ms, *finding, &mut out),
            Input::Tick => self.end_what_is_due(now_ms, &mut out),
        }
        self.on_clock(now_ms, &mut out);
        self.refresh_status(now_ms);
        self.due_ms = self.next_tick_ms(now_ms).max(now_ms);
        out
    }

    /// Begins the time of grace, at first and after a sleep: what servers said meanwhile has not been heard yet.
    fn look_at_clock(&mut self, now_ms: u64) {
        let slept =
            now_ms > self.looked_ms.saturating_add(SLEEP_MS) || now_ms.saturating_add(SLEEP_MS) < self.looked_ms;
        if now_ms.saturating_add(SLEEP_MS) < self.looked_ms {
            self.unlearn_future(now_ms);
        }
        if slept {
            self.grace_ends_ms = now_ms.saturating_add(self.grace_ms);
            self.founding = None;
            (self.found_ms, self.amend_ms) = (now_ms, now_ms);
            // For one period servers may still be busy with what another coordinator, or clock, called them for.
            self.forgiven_ms = now_ms.saturating_add(self.directory.params().period_ms);
        }
        // What others did meanwhile may have been too late by the coordinator's fault.
        if now_ms > self.due_ms.saturating_add(STALL_MS) {
            self.forgive_until(now_ms);
        }
        self.looked_ms = now_ms;
    }

    /// The clock was wrong, and has been set back: nothing is known of times to come.
    fn unlearn_future(&mut self, now_ms: u64) {
        self.presence.unlearn_future(now_ms);
        self.faulty.values_mut().for_each(|fault| fault.since_ms = fault.since_ms.min(now_ms));
        self.opening.clear();
        self.next_round = Round(1);
        (self.attempts_failed, self.due_ms) = (0, u64::MAX);
        self.defaulted.clear();
    }

    /// When [`Input::Tick`] is due next, milliseconds since 1970. What has become due since the last input stays due: its
    /// time may have come before anybody asked.
    pub fn next_tick_ms(&self, now_ms: u64) -> u64 {
        let waits = |round: &Round, collecting: &Collecting| collecting.is_unjudged() && self.charges.is_open(*round);
        let rounds = self.collecting.iter().filter(|(round, collecting)| !waits(round, collecting));
        let rounds = rounds.map(|(_, collecting)| collecting.next_tick_ms(self.looked_ms));
        let audits = self.auditing.values().map(Auditing::next_tick_ms);
        let unopened = self.opening.values().map(Opening::next_tick_ms);
        let amending = (!self.faulty.is_empty()).then_some(self.amend_ms);
        let founding = (self.founding.is_some() || self.epoch.is_some()).then(|| self.found_due_ms());
        // A look now and then, for what depends on who is up.
        let now_and_then = self.looked_ms.min(now_ms) + LOOK_MS;
        // What was due at the last look already waits for something else.
        let due = amending.into_iter().chain(founding).chain(self.open_due_ms());
        let due = due.filter(|due_ms| *due_ms > self.looked_ms);
        due.chain(rounds).chain(unopened).chain(audits).chain([now_and_then]).min().unwrap_or(now_and_then)
    }

    /// The epoch under way, with what proves it.
    pub fn epoch(&self) -> Option<(&Arc<Epoch>, &EpochStart)> {
        self.epoch.as_ref().map(|current| (current.epoch(), &current.start))
    }

    /// Who takes part in rounds from now on.
    pub fn roster(&self) -> Option<&Arc<Roster>> {
        self.epoch.as_ref().map(|current| &current.roster)
    }

    /// The amendment that holds, with what proves it; none if nobody was struck in the epoch.
    pub fn amendment(&self) -> Option<&AmendmentStart> {
        self.epoch.as_ref()?.amendment.as_ref()
    }

    /// Epoch and amendment in which the newest announced round is held, or those of the epoch if there is none, with what
    /// proves them. It is what clients have to know: rounds before the first of a new epoch are held in the one before, and
    /// whoever has been struck in that may be a stranger to them.
    pub fn held(&self) -> Option<(RosterId, &EpochStart, Option<&AmendmentStart>)> {
        let newest = self.collecting.last_key_value().map(|(_, round)| round.descriptor().roster().id().epoch);
        let known = [&self.ended, &self.ending, &self.epoch].into_iter().flatten();
        let mut of_newest = known.filter(|current| Some(current.roster.id().epoch) == newest);
        let current = of_newest.next().or(self.epoch.as_ref())?;
        Some((current.roster.id(), &current.start, current.amendment.as_ref()))
    }

    /// Who takes part in an announced round.
    pub fn roster_of(&self, round: Round) -> Option<&Arc<Roster>> {
        self.collecting.get(&round).map(|collecting| collecting.descriptor().roster())
    }

    /// Rounds that are announced and still collecting at `now_ms`, for a client that has just connected.
    pub fn open_rounds(&self, now_ms: u64) -> Vec<Round> {
        self.collecting.iter().filter(|(_, round)| round.takes_submissions(now_ms)).map(|(round, _)| *round).collect()
    }

    /// A client's view of a round's keys.
    pub fn view(&self, round: Round, chain: ChainId) -> Option<ClientDescriptor> {
        self.collecting.get(&round)?.descriptor().view(chain)
    }

    /// The digest of a round's descriptor, under which all its statements are signed.
    pub fn descriptor_digest(&self, round: Round) -> Option<Digest> {
        self.collecting.get(&round).map(|collecting| *collecting.descriptor().digest())
    }

    /// What checks submissions for a round; it can be used without holding the coordinator.
    pub fn gatekeeper(&self, round: Round, chain: ChainId) -> Result<Gatekeeper, SubmitRefusal> {
        self.collecting.get(&round).ok_or(SubmitRefusal::NotOpen(round))?.gatekeeper(chain, &self.charges)
    }

    /// Takes submissions that the round's gatekeeper has admitted. Copies of earlier ones are ignored.
    pub fn submit(
        &mut self,
        now_ms: u64,
        round: Round,
        submissions: Vec<AdmittedSubmission>,
    ) -> Result<(), SubmitRefusal> {
        self.collecting.get_mut(&round).ok_or(SubmitRefusal::NotOpen(round))?.submit(now_ms, submissions)
    }

    /// The sealed replies to a client's slots in a delivered round, one behind another.
    pub fn replies(&self, round: Round, client: ClientId) -> Option<Vec<u8>> {
        self.collecting.get(&round)?.replies_to(client)
    }

    /// What shows a client that its submissions in a round were let in.
    pub fn inclusion(&self, round: Round, client: ClientId) -> Option<Inclusion> {
        self.collecting.get(&round)?.inclusion_of(client)
    }

    fn on_message(&mut self, now_ms: u64, from: ServerId, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::Hello(hello) => self.on_hello(now_ms, from, hello, out),
            Message::AmendmentSignature(signature) => self.on_amendment(now_ms, from, &signature, out),
            Message::SeedCommitment(_) | Message::SeedReveal(_) | Message::EpochSignature(_) => {
                self.on_founding(now_ms, from, message, out);
            }
            Message::Keys(_) | Message::DescriptorSignature(_) => self.on_opening(now_ms, from, message, out),
            Message::Noise(_)
            | Message::Receipts(_)
            | Message::Replaced(_)
            | Message::Replies(_)
            | Message::Report(_)
            | Message::Abort(_) => {
                self.on_collecting(now_ms, from, message, out);
            }
            Message::CoinShare(_) | Message::NoiseOpening(_) => self.on_audit(now_ms, from, message, out),
            Message::Charge(charge) => self.on_charge(from, &charge, out),
            _ => out.push(Output::Notice(format!("ignored a message that {from} has no cause to send here"))),
        }
    }

    fn on_hello(&mut self, now_ms: u64, from: ServerId, hello: Hello, out: &mut Vec<Output>) {
        let Hello { address, roster } = hello;
        if address.len() > MAX_ADDRESS_LEN {
            out.push(Output::Notice(format!("ignored an address of {} bytes, which {from} sent", address.len())));
            return;
        }
        let News { is_back, restarted } = self.presence.hello(now_ms, from, address.clone(), roster);
        if is_back {
            let again = if restarted { ", restarted," } else { "" };
            out.push(Output::Notice(format!("{from}{again} is up at {address}")));
        }
        let addresses = self.presence.addresses();
        out.push(Output::Peers(addresses.clone()));
        let until_ms = now_ms + self.directory.params().deadline_ms;
        let peers = Arc::new(Message::Peers(Peers { addresses }));
        let receivers: Vec<ServerId> = if is_back { self.directory.server_ids().collect() } else { vec![from] };
        for to in receivers {
            out.push(Output::Send { to, message: Arc::clone(&peers), until_ms });
        }
        // A server that restarted takes the epoch in again.
        let knows = self.roster().is_none_or(|newest| self.presence.knows(from, newest.id()));
        if !knows && self.presence.may_send_epoch(now_ms, from) {
            self.send_epoch(now_ms, from, out);
        }
    }

    /// Whether a coordinator that was restarted, or slept, still waits to hear of servers that take part.
    fn waits_for_return(&self, now_ms: u64) -> bool {
        let active = self.roster().map_or(&[][..], |roster| roster.active());
        now_ms < self.grace_ends_ms && !active.iter().all(|server| self.presence.is_up(now_ms, *server))
    }

    /// Ends what others had their time for, and judges them.
    fn end_what_is_due(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        self.collecting.values_mut().for_each(|collecting| collecting.on_clock(now_ms, out));
        self.finish_rounds(now_ms, out);
        self.judge_rounds(now_ms, out);
        self.end_openings(now_ms, out);
        self.audit_in_time(now_ms, out);
    }

    fn on_clock(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        self.amend(now_ms, out);
        self.found_in_time(now_ms, out);
        self.open_due_rounds(now_ms, out);
    }
}

/// The replies of a round, by client.
type RepliesByClient = HashMap<ClientId, Vec<u8>>;

#[cfg(test)]
mod tests;
