//! The coordinator as a machine: it sequences epochs and rounds and carries bytes. It holds no secret and is trusted
//! for liveness only; what it says is checked by signatures of others.
//!
//! One module for each phase: [`founding`] (an epoch) → [`opening`] (keys and descriptor of a round) → [`collecting`]
//! (submissions, replies).

mod charges;
mod collecting;
mod founding;
mod included;
mod opening;
mod state;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hippodrome_crypto::{hash::Digest, signing::PublicKey};

use self::{charges::Charges, collecting::Collecting, founding::Founding, opening::Opening, state::Current};
pub use self::{
    collecting::{AdmittedSubmission, Gatekeeper, SubmitRefusal},
    state::{CoordinatorState, RestoreError},
};
use crate::{
    descriptor::ClientDescriptor,
    directory::Directory,
    epoch::Epoch,
    ids::{ChainId, ClientId, Round, ServerId},
    marks::{Act, Marks},
    message::{AbortReason, AmendmentStart, EpochPlan, EpochStart, Message, Peers, Standing},
    participant::Inclusion,
    roster::Roster,
    statement,
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
    /// Time has passed.
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
    /// Tell the operator. Nothing in it is about a user.
    Notice(String),
}

/// How the network is doing; public.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Number of the epoch, 0 before the first.
    pub epoch: u64,
    /// Registered clients.
    pub clients: usize,
    /// The last round announced, 0 before the first.
    pub round: u64,
    /// For each server whether it has said that it is up.
    pub servers_up: Vec<bool>,
    /// Rounds whose replies were delivered and on which all servers have reported.
    pub rounds_completed: u64,
    /// Rounds announced that ended otherwise.
    pub rounds_failed: u64,
    /// Hop proofs that servers have checked in the completed rounds.
    pub hops_verified: u64,
    /// Milliseconds from the end of collection to the last report, of the last completed round.
    pub mixing_ms: u64,
    /// Why the last failed round failed.
    pub last_failure: Option<String>,
}

/// The coordinator.
pub struct Coordinator {
    directory: Arc<Directory>,
    marks: Marks,
    registry: Vec<PublicKey>,
    addresses: Vec<Option<String>>,
    founding: Option<Founding>,
    /// The epoch before the current one, while rounds of it are still to be opened.
    ending: Option<Current>,
    epoch: Option<Current>,
    /// A server refuses to work with another for the rest of the epoch.
    unsettled: bool,
    next_round: Round,
    opening: BTreeMap<Round, Opening>,
    collecting: BTreeMap<Round, Collecting>,
    charges: Charges,
    status: Status,
}

/// Bytes of the longest address: a host name and a port. What a server says here goes out to all.
const MAX_ADDRESS_LEN: usize = 300;

/// Rounds whose replies are kept for clients that fetch late.
const KEPT_ROUNDS: u64 = 16;

impl Coordinator {
    /// A coordinator for a network and its registered clients, with durable marks for round and epoch numbers.
    pub fn new(directory: Arc<Directory>, registry: Vec<PublicKey>, marks: Marks) -> Self {
        let servers = directory.servers().len();
        Self {
            directory,
            marks,
            registry,
            addresses: vec![None; servers],
            founding: None,
            ending: None,
            epoch: None,
            unsettled: false,
            next_round: Round(1),
            opening: BTreeMap::new(),
            collecting: BTreeMap::new(),
            charges: Charges::default(),
            status: Status { servers_up: vec![false; servers], ..Status::default() },
        }
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
        Ok(coordinator)
    }

    /// Takes an input in at `now_ms` (milliseconds since 1970) and says what is to be done.
    pub fn handle(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Message { from, message } => self.on_message(now_ms, from, message, &mut out),
            Input::Tick => {}
        }
        self.on_clock(now_ms, &mut out);
        out
    }

    /// When [`Input::Tick`] is due next, milliseconds since 1970.
    pub fn next_tick_ms(&self, now_ms: u64) -> u64 {
        let founding = self.founding.as_ref().map(Founding::deadline_ms);
        let held = self.founding.as_ref().is_some_and(|founding| self.next_round >= founding.first_round());
        let next = self.roster_for(self.next_round).filter(|_| !held);
        let opening = next.map(|roster| self.opens_at_ms(roster.epoch(), self.next_round));
        let rounds = self.collecting.values().map(|round| round.next_tick_ms(now_ms));
        let unopened = self.opening.values().map(Opening::next_tick_ms);
        founding.into_iter().chain(opening).chain(rounds).chain(unopened).min().unwrap_or(now_ms + 1000)
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

    /// Who takes part in an announced round.
    pub fn roster_of(&self, round: Round) -> Option<&Arc<Roster>> {
        self.collecting.get(&round).map(|collecting| collecting.descriptor().roster())
    }

    /// How the network is doing.
    pub fn status(&self) -> &Status {
        &self.status
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
            Message::Hello(hello) => self.on_hello(now_ms, from, hello.address, out),
            Message::SeedCommitment(_) | Message::SeedReveal(_) | Message::EpochSignature(_) => {
                self.on_founding(now_ms, from, message, out);
            }
            Message::Keys(_) | Message::DescriptorSignature(_) => self.on_opening(from, message, out),
            Message::Noise(_) | Message::Receipts(_) | Message::Replies(_) | Message::Report(_) | Message::Abort(_) => {
                self.on_collecting(now_ms, from, message, out);
            }
            Message::Charge(charge) => self.on_charge(from, &charge, out),
            _ => out.push(Output::Notice(format!("ignored a message that {from} has no cause to send here"))),
        }
    }

    fn on_hello(&mut self, now_ms: u64, from: ServerId, address: String, out: &mut Vec<Output>) {
        if address.len() > MAX_ADDRESS_LEN {
            out.push(Output::Notice(format!("ignored an address of {} bytes, which {from} sent", address.len())));
            return;
        }
        let index = usize::from(from.0);
        let moved = self.addresses[index].replace(address.clone()).is_some_and(|earlier| earlier != address);
        let first = !std::mem::replace(&mut self.status.servers_up[index], true);
        if first || moved {
            out.push(Output::Notice(format!("{from} is up at {address}")));
        }
        // A server that restarted takes the epoch in again.
        self.send_epoch(now_ms, from, out);
        if self.addresses.iter().any(Option::is_none) {
            let known = self.addresses.iter().map(|address| address.clone().unwrap_or_default()).collect();
            out.push(Output::Peers(known));
            return;
        }
        let addresses: Vec<String> = self.addresses.iter().flatten().cloned().collect();
        out.push(Output::Peers(addresses.clone()));
        let until_ms = now_ms + self.directory.params().deadline_ms;
        let peers = Arc::new(Message::Peers(Peers { addresses }));
        let receivers: Vec<ServerId> = if first || moved { self.directory.server_ids().collect() } else { vec![from] };
        for to in receivers {
            out.push(Output::Send { to, message: Arc::clone(&peers), until_ms });
        }
        if self.epoch.is_none() && self.founding.is_none() {
            self.found(now_ms, out);
        }
    }

    /// Begins an attempt at an epoch, under a number that was never used before.
    fn found(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let last = |act| self.marks.highest(act).map(|mark| mark.map_or(0, |round: Round| round.0));
        let (number, opened) = match (last(Act::Epoch), last(Act::Open)) {
            (Ok(epoch), Ok(round)) => (epoch + 1, Round(round)),
            (Err(error), _) | (_, Err(error)) => {
                out.push(Output::Notice(format!("no epoch can begin: {error}")));
                return;
            }
        };
        if let Err(error) = self.marks.claim(Act::Epoch, Round(number)) {
            out.push(Output::Notice(format!("no epoch can begin: {error}")));
            return;
        }
        let registry = self.registry.clone();
        let plan = match &self.epoch {
            Some(current) => founding::plan_after(&self.directory, &current.roster, registry, number, opened, now_ms),
            None => EpochPlan {
                number,
                registry,
                first_round: opened.next(),
                start_ms: now_ms + founding::LEAD_MS,
                live: self.directory.server_ids().collect(),
                standings: vec![Standing::default(); self.directory.servers().len()],
            },
        };
        self.founding = Some(Founding::begin(plan, now_ms, out));
    }

    fn on_founding(&mut self, now_ms: u64, from: ServerId, message: Message, out: &mut Vec<Output>) {
        let Some(founding) = &mut self.founding else { return };
        match founding.on_message(&self.directory, from, message, out) {
            Ok(Some((epoch, start))) => {
                let roster = Arc::new(Roster::new(&self.directory, epoch));
                self.enter(Current { roster, start, amendment: None });
                self.keep(out);
                self.directory.server_ids().for_each(|to| self.send_epoch(now_ms, to, out));
            }
            Ok(None) => {}
            Err(error) => out.push(Output::Notice(format!("{from} ends this attempt at an epoch: {error}"))),
        }
    }

    /// Goes on in an epoch; rounds before its first are still held in the one before.
    fn enter(&mut self, current: Current) {
        self.status.epoch = current.epoch().plan().number;
        self.status.clients = current.epoch().plan().registry.len();
        self.ending = self.epoch.replace(current);
        self.founding = None;
        self.unsettled = false;
    }

    fn keep(&self, out: &mut Vec<Output>) {
        out.extend(self.epoch.as_ref().map(|current| Output::Keep(Box::new(current.state()))));
    }

    /// Hands epoch and amendment to a server, which may have forgotten them.
    fn send_epoch(&self, now_ms: u64, to: ServerId, out: &mut Vec<Output>) {
        let until_ms = now_ms + self.directory.params().deadline_ms;
        for current in self.ending.iter().chain(&self.epoch) {
            let start = Message::EpochStart(current.start.clone());
            let amendment = current.amendment.clone().map(Message::AmendmentStart);
            let messages = [Some(start), amendment].into_iter().flatten();
            out.extend(messages.map(|message| Output::Send { to, message: Arc::new(message), until_ms }));
        }
    }

    /// Whether the epoch should give way to another: clients wait to be registered, or servers refuse each other.
    fn wants_epoch(&self, current: &Current) -> bool {
        self.unsettled || current.start.plan.registry != self.registry
    }

    /// Begins the next epoch when there is cause, and its least length allows.
    fn found_next(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(current) = self.epoch.as_ref().filter(|_| self.founding.is_none()) else { return };
        let plan = &current.start.plan;
        let ripe_ms = plan.start_ms.saturating_add(self.directory.params().epoch_ms);
        let lead_ms = founding::LEAD_MS + self.directory.params().period_ms;
        if now_ms.saturating_add(lead_ms) >= ripe_ms && self.wants_epoch(current) {
            self.found(now_ms, out);
        }
    }

    fn on_opening(&mut self, from: ServerId, message: Message, out: &mut Vec<Output>) {
        let Some(round) = message.round() else { return };
        let Some(opening) = self.opening.get_mut(&round) else { return };
        match opening.on_message(from, message, out) {
            Ok(Some(descriptor)) => {
                self.opening.remove(&round);
                let collecting = Collecting::new(&self.directory, descriptor);
                self.collecting.insert(round, collecting);
                self.status.round = self.status.round.max(round.0);
                out.push(Output::Announced(round));
            }
            Ok(None) => {}
            Err(error) => out.push(Output::Notice(format!("{round} does not open: {error}"))),
        }
    }

    fn on_collecting(&mut self, now_ms: u64, from: ServerId, message: Message, out: &mut Vec<Output>) {
        let Some(collecting) = message.round().and_then(|round| self.collecting.get_mut(&round)) else { return };
        match message {
            Message::Noise(noise) => collecting.on_noise(from, &noise, out),
            Message::Receipts(receipts) => collecting.on_receipts(from, &receipts, out),
            Message::Replies(replies) => collecting.on_replies(from, &replies, out),
            Message::Report(report) => collecting.on_report(from, &report),
            Message::Abort(abort) => {
                let signed = statement::abort(collecting.descriptor().digest(), abort.stage, &abort.reason);
                let key = self.directory.server_key(from);
                if key.is_some_and(|key| key.verify(&signed, &abort.signature).is_ok()) {
                    self.unsettled |= matches!(abort.reason, AbortReason::Convicted(_));
                    collecting.on_abort(from, &abort);
                }
            }
            _ => {}
        }
        self.finish_rounds(now_ms, out);
    }

    fn on_clock(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        if self.founding.as_ref().is_some_and(|founding| now_ms >= founding.deadline_ms()) {
            out.push(Output::Notice("an attempt at an epoch failed: not every server answered in time".into()));
            self.founding = None;
            if self.epoch.is_none() {
                self.found(now_ms, out);
            }
        }
        self.found_next(now_ms, out);
        self.open_due_rounds(now_ms, out);
        self.opening.values_mut().for_each(|opening| opening.on_clock(now_ms, out));
        self.opening.retain(|round, opening| {
            let due = now_ms >= opening.deadline_ms();
            if due {
                let missing = opening.missing();
                out.push(Output::Notice(format!("{round} did not open in time: {missing}")));
            }
            !due
        });
        for collecting in self.collecting.values_mut() {
            collecting.on_clock(now_ms, out);
        }
        self.finish_rounds(now_ms, out);
    }

    /// When the keys of a round are made: one period before its window.
    fn opens_at_ms(&self, epoch: &Epoch, round: Round) -> u64 {
        epoch.window_start_ms(round).saturating_sub(self.directory.params().period_ms)
    }

    /// Who holds a round: the current epoch from its first round on, the one before until then.
    fn roster_for(&self, round: Round) -> Option<&Arc<Roster>> {
        let begun = |current: &&Current| current.epoch().plan().first_round <= round;
        self.epoch.iter().chain(&self.ending).find(begun).map(|current| &current.roster)
    }

    fn open_due_rounds(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(first) = self.ending.as_ref().or(self.epoch.as_ref()).map(|current| current.epoch()) else { return };
        // Rounds that were slept through are never announced.
        let current = first.round_at(now_ms).unwrap_or(first.plan().first_round);
        self.next_round = self.next_round.max(current);
        // Rounds of an epoch that is being founded wait for it.
        let end = self.founding.as_ref().map_or(Round(u64::MAX), Founding::first_round);
        while let Some(roster) = self.roster_for(self.next_round).cloned()
            && self.next_round < end
            && now_ms >= self.opens_at_ms(roster.epoch(), self.next_round)
        {
            let round = self.next_round;
            self.next_round = round.next();
            match self.marks.claim(Act::Open, round) {
                Ok(_once) => {
                    let opening = Opening::begin(&self.directory, &roster, round, now_ms, out);
                    self.opening.insert(round, opening);
                }
                Err(error) => out.push(Output::Notice(format!("{round} is not opened: {error}"))),
            }
        }
        if self.epoch.as_ref().is_some_and(|current| current.epoch().plan().first_round <= self.next_round) {
            self.ending = None;
        }
    }

    fn finish_rounds(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        for (round, collecting) in &mut self.collecting {
            if let Some(outcome) = collecting.outcome(now_ms) {
                match outcome {
                    collecting::Outcome::Delivered => out.push(Output::Delivered(*round)),
                    collecting::Outcome::Failed(reason) => {
                        self.status.rounds_failed += 1;
                        self.status.last_failure = Some(format!("{round}: {reason}"));
                        out.push(Output::Failed { round: *round, reason });
                    }
                }
            }
            if let Some(totals) = collecting.totals(now_ms) {
                self.status.rounds_completed += 1;
                self.status.hops_verified += totals.hops_verified;
                self.status.mixing_ms = totals.mixing_ms;
            }
        }
        let newest = self.status.round;
        self.collecting.retain(|round, collecting| !collecting.is_over() || round.0 + KEPT_ROUNDS > newest);
        self.forget_charges();
    }
}

/// The replies of a round, by client.
type RepliesByClient = HashMap<ClientId, Vec<u8>>;
