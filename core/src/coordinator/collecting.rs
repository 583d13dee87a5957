//! A round from its announcement to the delivery of its replies, as the coordinator sees it: bytes in, bytes out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hippodrome_crypto::{hash::Digest, records::Records};

use super::{
    Output, RepliesByClient,
    charges::Charges,
    included::Included,
    intake::{Intake, NotTaken, PARTS},
    verdict::{self, Heard, Word},
};
use crate::{
    descriptor::SignedDescriptor,
    directory::Directory,
    evidence::RoundBasis,
    ids::{Author, ChainId, ClientId, Layer, Place, Round, ServerId, Stage},
    layout::Turn,
    message::{Abort, Message, Noise, Receipts, Replaced, Replies, Report, Submissions},
    participant::Inclusion,
    reply::{self, Replacement},
    roster::Roster,
    submission::{ReplyRecord, Submission, SubmissionError},
};

/// Why a submission is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitRefusal {
    /// The round is not announced, or is over.
    #[error("{0} is not open for submissions: it is not announced yet, or it is over")]
    NotOpen(Round),
    /// Collection has ended.
    #[error("the collection of {0} has ended")]
    Closed(Round),
    /// There is no such chain, or it is closed.
    #[error("this round has no input {0}: there is no such chain, or it is closed")]
    NoSuchChain(ChainId),
    /// The chain is full.
    #[error("{0} takes no more submissions in this round")]
    Full(ChainId),
    /// Another submission for the same slot is there already.
    #[error("another submission for this slot of this round is there already: it stays")]
    SlotTaken,
    /// Evidence convicts the client.
    #[error("{0} is convicted of malformed submissions, and refused for the rest of the epoch")]
    Convicted(ClientId),
    /// The submission is no good.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
}

/// A submission whose author signed it for this round and chain. Only [`Gatekeeper::admit`] makes it.
pub struct AdmittedSubmission {
    chain: ChainId,
    author: Author,
    slot: u16,
    record: Vec<u8>,
}

/// Checks submissions to one chain in one round: without this, anybody could take Alice's slot before her.
#[derive(Clone)]
pub struct Gatekeeper {
    directory: Arc<Directory>,
    roster: Arc<Roster>,
    descriptor: Digest,
    chain: ChainId,
    convicted: BTreeSet<ClientId>,
}

impl Gatekeeper {
    /// Splits `records` into submissions of clients and checks each.
    pub fn admit(&self, records: &[u8]) -> Result<Vec<AdmittedSubmission>, SubmitRefusal> {
        let sizes = self.directory.params().sizes();
        if records.is_empty() || !records.len().is_multiple_of(sizes.submission) {
            return Err(SubmissionError::Length { expected: sizes.submission, got: records.len() }.into());
        }
        let slots = usize::from(self.directory.params().slots);
        if records.len() / sizes.submission > slots {
            return Err(SubmissionError::Length { expected: slots * sizes.submission, got: records.len() }.into());
        }
        records.chunks_exact(sizes.submission).map(|record| self.admit_one(record)).collect()
    }

    fn admit_one(&self, record: &[u8]) -> Result<AdmittedSubmission, SubmitRefusal> {
        let submission = Submission::decode(&self.directory.params().sizes(), record)?;
        match submission.author {
            Author::Server(_) => return Err(SubmissionError::UnknownAuthor(submission.author).into()),
            Author::Client(client) if self.convicted.contains(&client) => return Err(SubmitRefusal::Convicted(client)),
            Author::Client(_) => {}
        }
        submission.check_author(&self.directory, &self.roster, &self.descriptor, self.chain)?;
        let Submission { author, slot, .. } = submission;
        Ok(AdmittedSubmission { chain: self.chain, author, slot, record: record.to_vec() })
    }
}

/// How a round ended.
pub(super) enum Outcome {
    Delivered,
    Failed(String),
}

/// What servers report of a completed round.
pub(super) struct Totals {
    pub(super) hops_verified: u64,
    pub(super) mixing_ms: u64,
}

/// A round that is announced.
pub(super) struct Collecting {
    directory: Arc<Directory>,
    roster: Arc<Roster>,
    descriptor: Arc<SignedDescriptor>,
    /// One for each open input chain, in order.
    intakes: Vec<Intake>,
    /// How many times parts of them have been handed over.
    handed_over: u32,
    closed: bool,
    included: BTreeMap<ChainId, Included>,
    replies: BTreeMap<ChainId, RepliesByClient>,
    reports: BTreeMap<ServerId, Report>,
    /// What servers say of faults in the round.
    heard: Heard,
    /// Links whose replies were replaced.
    replaced: BTreeSet<(Place, Place)>,
    /// How many complaints of each server are among it.
    complaints: BTreeMap<ServerId, usize>,
    /// Servers that have said that they release nothing more in some chain.
    aborted: BTreeSet<ServerId>,
    failure: Option<String>,
    /// When the first call for the round's keys went out.
    began_ms: u64,
    ended: bool,
    counted: bool,
    judged: bool,
}

/// Milliseconds after the deadline within which a server's last word of a round is waited for.
const LAST_WORD_MS: u64 = 1000;
/// Most complaints of one server that are kept in a round: two for each of its chains would do.
const MAX_COMPLAINTS: usize = 64;

impl Collecting {
    pub(super) fn new(directory: &Arc<Directory>, descriptor: SignedDescriptor, began_ms: u64) -> Self {
        let roster = Arc::clone(descriptor.roster());
        let inputs = roster.open(Layer(0)).len();
        Self {
            directory: Arc::clone(directory),
            roster,
            descriptor: Arc::new(descriptor),
            intakes: (0..inputs).map(|_| Intake::default()).collect(),
            handed_over: 0,
            closed: false,
            included: BTreeMap::new(),
            replies: BTreeMap::new(),
            reports: BTreeMap::new(),
            heard: Heard::default(),
            replaced: BTreeSet::new(),
            complaints: BTreeMap::new(),
            aborted: BTreeSet::new(),
            failure: None,
            began_ms,
            ended: false,
            counted: false,
            judged: false,
        }
    }

    pub(super) fn descriptor(&self) -> &Arc<SignedDescriptor> {
        &self.descriptor
    }

    /// Whether a server is active in the round.
    pub(super) fn takes_part(&self, server: ServerId) -> bool {
        self.roster.is_active(server)
    }

    /// The place of an input chain among the open ones.
    fn input_index(&self, chain: ChainId) -> Option<usize> {
        self.roster.open_index(Layer(0), chain)
    }

    fn round(&self) -> Round {
        self.descriptor.round()
    }

    fn collected_ms(&self) -> u64 {
        self.roster.epoch().window_start_ms(self.round()) + self.directory.params().collect_ms
    }

    /// When what has come by then is handed over.
    fn next_part_ms(&self) -> u64 {
        let collect_ms = self.directory.params().collect_ms;
        self.collected_ms() - collect_ms + collect_ms * u64::from(self.handed_over + 1) / u64::from(PARTS)
    }

    /// When late noise is no longer waited for.
    fn noise_due_ms(&self) -> u64 {
        let params = self.directory.params();
        self.collected_ms() + (params.deadline_ms - params.collect_ms) / 4
    }

    fn deadline_ms(&self) -> u64 {
        self.roster.epoch().window_start_ms(self.round()) + self.directory.params().deadline_ms
    }

    /// When a server that has said nothing of the round's end counts as silent.
    fn last_word_ms(&self) -> u64 {
        self.deadline_ms() + LAST_WORD_MS
    }

    /// When the round's servers were first called.
    pub(super) fn began_ms(&self) -> u64 {
        self.began_ms
    }

    pub(super) fn takes_submissions(&self, now_ms: u64) -> bool {
        !self.closed && now_ms < self.collected_ms()
    }

    pub(super) fn next_tick_ms(&self, now_ms: u64) -> u64 {
        match (self.closed, self.ended && self.counted) {
            (_, true) if self.judged => u64::MAX,
            (_, true) if self.has_all_said() => now_ms,
            (_, true) => self.last_word_ms(),
            (false, _) if now_ms < self.collected_ms() => self.next_part_ms().min(self.collected_ms()),
            (false, _) => self.noise_due_ms(),
            (true, _) => self.deadline_ms(),
        }
    }

    pub(super) fn gatekeeper(&self, chain: ChainId, charges: &Charges) -> Result<Gatekeeper, SubmitRefusal> {
        self.input_index(chain).ok_or(SubmitRefusal::NoSuchChain(chain))?;
        Ok(Gatekeeper {
            directory: Arc::clone(&self.directory),
            roster: Arc::clone(&self.roster),
            descriptor: *self.descriptor.digest(),
            chain,
            convicted: charges.clients(self.roster.id().epoch),
        })
    }

    pub(super) fn submit(&mut self, now_ms: u64, submissions: Vec<AdmittedSubmission>) -> Result<(), SubmitRefusal> {
        if !self.takes_submissions(now_ms) {
            return Err(SubmitRefusal::Closed(self.round()));
        }
        let noise = self.roster.noise_per_chain() as usize * self.roster.active().len();
        let limit = self.directory.params().max_batch as usize - noise;
        for submission in submissions {
            let AdmittedSubmission { chain, author, slot, record } = submission;
            let index = self.input_index(chain).ok_or(SubmitRefusal::NoSuchChain(chain))?;
            self.intakes[index].take((author, slot), &record, limit).map_err(|why| match why {
                NotTaken::SlotTaken => SubmitRefusal::SlotTaken,
                NotTaken::Full => SubmitRefusal::Full(chain),
            })?;
        }
        Ok(())
    }

    pub(super) fn on_noise(&mut self, from: ServerId, noise: &Noise, out: &mut Vec<Output>) {
        let expected = self.roster.noise_per_chain() as usize * self.directory.params().sizes().submission;
        let is_active = self.roster.is_active(from);
        let index = self.input_index(noise.stage.chain).filter(|_| is_active && !self.closed);
        let Some(index) = index.filter(|_| noise.submissions.len() == expected) else {
            out.push(Output::Notice(format!("{}: noise of {from} came late or has the wrong size", self.round())));
            return;
        };
        self.intakes[index].keep_noise(from, &noise.submissions);
    }

    pub(super) fn on_clock(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        while now_ms >= self.next_part_ms() && now_ms < self.collected_ms() {
            self.handed_over += 1;
            self.hand_over(out, Intake::next_part);
        }
        let noise_complete = self.intakes.iter().all(|intake| intake.noisy() == self.roster.active().len());
        let due = now_ms >= self.collected_ms() && (noise_complete || now_ms >= self.noise_due_ms());
        if !self.closed && due {
            self.closed = true;
            // Without all noise no input is signed.
            let active = self.roster.active().iter().copied();
            let late = active.filter(|server| self.intakes.iter().any(|intake| !intake.has_noise_of(*server)));
            self.heard.own.extend(late);
            self.hand_over(out, |intake, stage| Some(intake.last_part(stage)));
        }
    }

    /// Sends a part of every input chain's submissions, if there is one, to its first server.
    fn hand_over(&mut self, out: &mut Vec<Output>, part: impl Fn(&mut Intake, Stage) -> Option<Submissions>) {
        let (round, until_ms) = (self.round(), self.deadline_ms());
        for (&chain, intake) in self.roster.open(Layer(0)).iter().zip(&mut self.intakes) {
            let stage = Stage { round, layer: Layer(0), chain };
            let to = self.roster.members(stage.layer, stage.chain)[0];
            let sent = part(intake, stage).map(|part| Arc::new(Message::Submissions(part)));
            out.extend(sent.map(|message| Output::Send { to, message, until_ms }));
        }
    }

    /// The first server of an input chain says what is in the chain's input.
    pub(super) fn on_receipts(&mut self, from: ServerId, receipts: &Receipts, out: &mut Vec<Output>) {
        let stage = receipts.input.stage;
        let is_open = stage.layer == Layer(0) && self.input_index(stage.chain).is_some();
        let is_first = is_open && self.roster.members(Layer(0), stage.chain)[0] == from;
        match Included::new(receipts).filter(|_| is_first) {
            Some(included) => drop(self.included.entry(stage.chain).or_insert(included)),
            None => out.push(Output::Notice(format!("{}: receipts of {from} do not hold", self.round()))),
        }
    }

    pub(super) fn on_replies(&mut self, from: ServerId, replies: &Replies, out: &mut Vec<Output>) {
        let (sizes, stage) = (self.directory.params().sizes(), replies.stage);
        let is_open = self.input_index(stage.chain).is_some();
        let is_first = is_open && self.roster.members(Layer(0), stage.chain)[0] == from;
        let records = Records::from_bytes(sizes.reply_record, replies.replies.clone());
        let (true, Ok(records), false) = (is_first, records, self.ended) else {
            out.push(Output::Notice(format!("{}: replies of {from} came late or are not whole", self.round())));
            return;
        };
        let mut by_client = RepliesByClient::new();
        for record in records.iter().filter_map(|record| ReplyRecord::decode(&sizes, record).ok()) {
            if let Author::Client(client) = record.author {
                by_client.entry(client).or_default().extend(record.reply);
            }
        }
        self.replies.entry(stage.chain).or_insert(by_client);
    }

    pub(super) fn on_report(&mut self, from: ServerId, report: &Report) {
        if !self.roster.is_active(from) {
            return;
        }
        self.reports.entry(from).or_insert_with(|| report.clone());
    }

    pub(super) fn on_abort(&mut self, from: ServerId, abort: &Abort) {
        if !self.roster.is_active(from) {
            return;
        }
        let word = verdict::word(from, abort.stage, &abort.reason);
        // Who lacks replies has done its own part of the round.
        if !matches!(&word, Word::Complaint(complaint) if complaint.is_about_replies()) {
            self.aborted.insert(from);
            self.failure
                .get_or_insert_with(|| format!("{from} releases nothing more in {}: {}", abort.stage, abort.reason));
        }
        match word {
            // An honest server knows who takes part.
            Word::Complaint(complaint) if !self.roster.is_active(complaint.about()) => {
                self.heard.own.insert(from);
            }
            Word::Complaint(complaint) => {
                let of_it = self.complaints.entry(from).or_default();
                if *of_it < MAX_COMPLAINTS && self.heard.complaints.insert(complaint) {
                    *of_it += 1;
                }
            }
            Word::Own => {
                self.heard.own.insert(from);
            }
            Word::Nothing => {}
        }
    }

    /// A hop's word that it has replaced the replies of another one, from whomever; once for each link.
    pub(super) fn on_replaced(&mut self, replaced: &Replaced) {
        if self.replaced.contains(&(replaced.place, replaced.from)) {
            return;
        }
        let basis = RoundBasis::new(Arc::clone(&self.directory), Arc::clone(&self.descriptor));
        self.replaced.extend(Replacement::verify(&basis, replaced).map(|replacement| replacement.link()));
    }

    /// Counts links whose replies were replaced, and what is said of replies. Who has ended its part of the round has said
    /// so: then that counts.
    fn hear_of_replies(&mut self) {
        let layout = self.roster.epoch().layout();
        let server_at = |Place { stage, position }: Place| {
            layout.server_at(Turn { layer: stage.layer, chain: stage.chain, position })
        };
        for (place, hop) in std::mem::take(&mut self.replaced) {
            let (Some(from), Some(about)) = (server_at(place), server_at(hop)) else { continue };
            match verdict::replaced(from, about, hop) {
                Word::Complaint(complaint) => drop(self.heard.complaints.insert(complaint)),
                Word::Own if !self.aborted.contains(&about) => drop(self.heard.own.insert(about)),
                Word::Own | Word::Nothing => {}
            }
        }
        let aborted = &self.aborted;
        self.heard
            .complaints
            .retain(|complaint| !complaint.is_about_replies() || !aborted.contains(&complaint.about()));
    }

    /// Whether nothing is to be expected any more. Evidence for an accusation may still be on its way; and of the replies to
    /// their noise servers speak when their part is done.
    fn has_all_said(&self) -> bool {
        let speaks_late = reply::are_checked(self.directory.params()) && !self.replies.is_empty();
        self.reports.len() == self.roster.active().len() && !self.heard.is_accusation() && !speaks_late
    }

    /// What was heard of faults, said once, when every server has spoken or its time is over; none if nothing is wrong.
    pub(super) fn faults(&mut self, now_ms: u64) -> Option<Heard> {
        if self.judged || !self.ended || !(self.has_all_said() || now_ms >= self.last_word_ms()) {
            return None;
        }
        self.judged = true;
        self.hear_of_replies();
        let active = self.roster.active().iter().copied();
        let has_spoken = |server: &ServerId| self.reports.contains_key(server) || self.aborted.contains(server);
        let silent = active.filter(|server| !has_spoken(server)).collect();
        let open = self.roster.open(Layer(0)).iter().filter(|_| self.aborted.is_empty());
        let missing = open.filter(|chain| !self.replies.contains_key(chain));
        let replies_missing = missing.map(|chain| self.roster.members(Layer(0), *chain)[0]).collect();
        let heard = Heard { silent, replies_missing, ..std::mem::take(&mut self.heard) };
        (!heard.is_empty()).then_some(heard)
    }

    /// How the round ended, said once: with replies when all are there, or none more can come.
    pub(super) fn outcome(&mut self, now_ms: u64) -> Option<Outcome> {
        let complete = self.replies.len() == self.roster.open(Layer(0)).len();
        // Reports may overtake replies: only after an abort do they mean that no more replies come.
        let all_reported = self.reports.len() == self.roster.active().len();
        let hopeless = now_ms >= self.deadline_ms() || self.failure.is_some() && all_reported;
        if self.ended || !(complete || hopeless) {
            return None;
        }
        self.ended = true;
        if self.replies.is_empty() {
            self.counted = true;
            let reason = self.failure.take().unwrap_or_else(|| "its deadline passed without replies".into());
            return Some(Outcome::Failed(reason));
        }
        Some(Outcome::Delivered)
    }

    /// What the servers reported, said once, when all have or the deadline has passed.
    pub(super) fn totals(&mut self, now_ms: u64) -> Option<Totals> {
        let complete = self.reports.len() == self.roster.active().len() || now_ms >= self.deadline_ms();
        if self.counted || !self.ended || !complete {
            return None;
        }
        self.counted = true;
        let hops_verified = self.reports.values().map(|report| u64::from(report.hops_verified)).sum();
        let mixing_ms = self.reports.values().map(|report| report.mixing_ms).max().unwrap_or(0);
        Some(Totals { hops_verified, mixing_ms })
    }

    /// Whether nothing is left but to say who was at fault.
    pub(super) fn is_unjudged(&self) -> bool {
        self.ended && self.counted && !self.judged
    }

    /// Whether its servers should be mixing. Once all have done their part but as many as may be bad, they may be waiting
    /// for nothing but the last word of these.
    pub(super) fn is_being_mixed(&self, now_ms: u64) -> bool {
        let busy = self.roster.active().len() - self.reports.len();
        !self.ended && now_ms >= self.collected_ms() && busy > usize::from(self.directory.params().bad_servers)
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended && self.counted && self.judged
    }

    pub(super) fn replies_to(&self, client: ClientId) -> Option<Vec<u8>> {
        if !self.ended {
            return None;
        }
        self.replies.get(&self.chain_of(client)?)?.get(&client).cloned()
    }

    /// What shows a client that its submissions were let in.
    pub(super) fn inclusion_of(&self, client: ClientId) -> Option<Inclusion> {
        self.included.get(&self.chain_of(client)?)?.of(client)
    }

    /// A client's own chain: no other chain's first server has a say in what it gets.
    fn chain_of(&self, client: ClientId) -> Option<ChainId> {
        self.roster.input_chain(self.roster.epoch().plan().registry.get(client.0 as usize)?)
    }
}
