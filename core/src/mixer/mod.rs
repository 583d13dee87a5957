//! The mix server as a machine: time and inputs in, messages and jobs out.
//!
//! One module for each phase of a round, in the order of the data's way: [`keying`] → [`noise`] → [`input`] (collect) →
//! [`confirm`] → [`hop`] (mix, behind the [`gate`]) → [`distribute`] → [`exchange`] → [`back`].

mod audit;
mod back;
pub(crate) mod blame;
mod claims;
mod confirm;
mod context;
mod distribute;
mod exchange;
mod founding;
pub mod gate;
mod hop;
mod input;
mod intake;
mod job;
mod keying;
pub(crate) mod noise;
mod receipts;
pub(crate) mod replies;
mod round;
mod sparse;
mod tracing;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use hippodrome_crypto::{
    hash::Digest,
    records::Records,
    signing::{Signature, SigningKey},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::Rng;
use zeroize::Zeroizing;

use self::{
    audit::{Audit, NotTheShares},
    context::RoundContext,
    founding::Founding,
    gate::Convictions,
    job::{JobId, Outcome, Task, Work},
    keying::{Announced, Keeper, Keying},
    round::{Life, Running},
    sparse::{Terms, Threshold},
};
pub use self::{
    founding::FoundingError,
    job::{Job, JobDone, MailboxCounts, Urgency},
    keying::KeyingError,
};
use crate::{
    directory::Directory,
    evidence::{Case, Evidence, Judged, RoundBasis, SignedStatement, Verdict, queue::ChargeQueue},
    ids::{Party, Place, RosterId, Round, ServerId, Stage},
    marks::{Act, Marks, Once, Refused},
    message::{
        AbortReason, Amendment, AmendmentSignature, AmendmentStart, Announcement, Charge, Coin, CoinShare,
        DescriptorProposal, DescriptorSignature, EpochStart, Keys, KeysCall, Message, NoiseOpening,
    },
    params::MAX_ROUNDS_IN_FLIGHT,
    pledge::{self, NoisePledge},
    roster::{AmendmentError, Roster},
};

/// What happens to a mix server.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // an input is handled where it is made, never stored
pub enum Input {
    /// A message came, from a party whose certificate is pinned.
    Message {
        /// Who sent it.
        from: Party,
        /// What it says.
        message: Message,
    },
    /// A job is done.
    Done(JobDone),
    /// Time has passed.
    Tick,
}

/// What a mix server wants done.
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: Party,
        /// What.
        message: Arc<Message>,
        /// When it is no longer of use, milliseconds since 1970.
        until_ms: u64,
    },
    /// Run a job on the pool and hand back its result.
    Run(Job),
    /// Peers are reached at these addresses, in the directory's order.
    Peers(Vec<String>),
    /// Keep this: it convicts somebody, and anyone who has the directory can check it.
    Evidence(Box<Case>, Verdict),
    /// Tell the operator. Nothing in it is about a user, but for one that is convicted.
    Notice(Notice),
}

/// What an operator may want to know. Nothing about a user or that depends on a secret is ever in one.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Notice {
    #[error("epoch {number} has begun with {clients} registered clients")]
    Epoch { number: u64, clients: usize },
    #[error("{roster}: {active} servers are active")]
    Amended { roster: RosterId, active: usize },
    #[error("{0} is announced")]
    Announced(Round),
    #[error("{0} is over")]
    RoundOver(Round),
    #[error("{stage}: this server releases nothing more: {reason}")]
    Aborted { stage: Stage, reason: AbortReason },
    #[error("{stage}: {server} releases nothing more: {reason}")]
    AbortedBy { server: ServerId, stage: Stage, reason: AbortReason },
    #[error("{place}: the replies that came were wrong or late, and are replaced by random bytes")]
    RepliesReplaced { place: Place },
    #[error("{round}: convicted: {verdict}")]
    Convicted { round: Round, verdict: Verdict },
    #[error("{0} is not audited: its coin has not fallen")]
    NotAudited(Round),
    #[error("refused: {why}")]
    Refused { why: String },
    #[error("ignored: {what}")]
    Ignored { what: &'static str },
}

/// A mix server.
pub struct Mixer {
    identity: Identity,
    directory: Arc<Directory>,
    marks: Marks,
    convictions: Convictions,
    rng: ChaCha20Rng,
    /// How many bad replies are borne; drawn when it is first asked for, and again after a claim.
    threshold: Option<Threshold>,
    founding: Founding,
    /// By the number of the epoch: the newest, and the one before it, whose rounds may still be under way.
    rosters: BTreeMap<u64, Arc<Roster>>,
    /// Amendments that overtook their epochs, by the number of the epoch.
    early_amendments: BTreeMap<u64, AmendmentStart>,
    rounds: BTreeMap<Round, RoundState>,
    /// Rounds that were announced not long ago, so that evidence about them can still be judged.
    recent: BTreeMap<Round, Recent>,
    charges: ChargeQueue,
}

/// A round that was announced.
struct Recent {
    context: Arc<RoundContext>,
    /// How many charges of each server have been judged, or are being so. Each of an honest one convicts another server.
    charges: BTreeMap<ServerId, usize>,
    /// Where noise is audited.
    audit: Option<Audit>,
}

impl Recent {
    /// When the round is audited no more.
    fn audit_ends_ms(&self) -> u64 {
        self.context.deadline_ms().saturating_add(AUDIT_MS)
    }
}

struct Identity {
    me: ServerId,
    key: Arc<SigningKey>,
}

/// A round at a server.
enum RoundState {
    /// Keys are being made; what others send already is kept for later.
    Keying { keying: Box<Keying>, early: Early },
    /// Announced.
    Running(Box<Running>),
}

/// What others send for a round whose announcement has not come yet.
#[derive(Default)]
struct Early {
    messages: Vec<(Party, Message)>,
    bytes: usize,
}

impl Early {
    /// Keeps a message, within bounds: a round that nobody has announced has hardly begun for anybody else.
    fn keep(&mut self, from: Party, message: Message) -> bool {
        let bytes = self.bytes.saturating_add(message.body_len());
        let fits = self.messages.len() < MAX_EARLY && bytes <= MAX_EARLY_BYTES;
        if fits {
            self.bytes = bytes;
            self.messages.push((from, message));
        }
        fits
    }
}

/// Epochs that a server knows at a time: the newest, and the one before it, whose last rounds are still opened.
const KEPT_ROSTERS: usize = 2;
/// Most rounds that a server keeps open at a time: all that a deadline may keep in flight, with those ahead of the
/// clock; epochs begun one behind another do not add to them.
const MAX_OPEN_ROUNDS: usize = MAX_ROUNDS_IN_FLIGHT as usize + 8;
/// Milliseconds after the deadline for which a word to the coordinator about the round's end is of use.
const LAST_WORD_MS: u64 = 2000;
/// Milliseconds after a round's deadline for which its noise can be audited: longer than the coordinator waits for anybody.
const AUDIT_MS: u64 = 60_000;
/// Most messages kept for a round that is not announced yet: every server's inputs and confirmations, and more.
const MAX_EARLY: usize = 4096;
/// Most bytes of bodies kept for such a round.
const MAX_EARLY_BYTES: usize = 64 << 20;

/// A key that is in no entry of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory has no server with this key: is this the right key file for this network?")]
pub struct NotInDirectory;

impl Mixer {
    /// A server with its signing key, durable marks and a seed for its generator, from the operating system.
    pub fn new(
        directory: Arc<Directory>,
        key: SigningKey,
        marks: Marks,
        seed: [u8; 32],
    ) -> Result<Self, NotInDirectory> {
        let me = directory.server_of(&key.public()).ok_or(NotInDirectory)?;
        Ok(Self {
            identity: Identity { me, key: Arc::new(key) },
            directory,
            marks,
            convictions: Convictions::default(),
            rng: ChaCha20Rng::from_seed(seed),
            threshold: None,
            founding: Founding::Idle,
            rosters: BTreeMap::new(),
            early_amendments: BTreeMap::new(),
            rounds: BTreeMap::new(),
            recent: BTreeMap::new(),
            charges: ChargeQueue::default(),
        })
    }

    /// The server's place in the directory.
    pub fn id(&self) -> ServerId {
        self.identity.me
    }

    /// The newest epoch and amendment that the server knows; epoch 0 if it knows none.
    pub fn roster_id(&self) -> RosterId {
        let newest = self.rosters.last_key_value().map(|(_, roster)| roster.id());
        newest.unwrap_or(RosterId { epoch: 0, amendment: 0 })
    }

    /// Takes an input in at `now_ms` (milliseconds since 1970) and says what is to be done.
    pub fn handle(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        self.renew_generator();
        let mut out = Outbox::default();
        // What is over by the clock is over, also when a message overtakes the tick.
        if self.next_tick_ms().is_some_and(|due_ms| now_ms >= due_ms) {
            self.on_tick(now_ms, &mut out);
        }
        match input {
            Input::Message { from, message } => self.on_message(now_ms, from, message, &mut out),
            Input::Done(JobDone { id, outcome: Outcome::Judged(from, judged) }) => {
                self.on_judged(now_ms, id.round, from, *judged, &mut out);
            }
            Input::Done(JobDone { id, outcome: Outcome::Pledged(pledge) }) => {
                self.on_pledged(now_ms, id.round, *pledge, &mut out);
            }
            Input::Done(JobDone { id, outcome: Outcome::PledgesChecked(bad) }) => {
                bad.into_iter().for_each(|judged| self.take_own_verdict(now_ms, id.round, judged, &mut out));
            }
            Input::Done(JobDone { id, outcome: Outcome::OpeningChecked(judged) }) => {
                self.take_own_verdict(now_ms, id.round, *judged, &mut out);
            }
            Input::Done(done) => {
                let round = done.id.round;
                self.with_running(now_ms, round, &mut out, |running, env| running.on_done(env, done));
            }
            Input::Tick => self.on_tick(now_ms, &mut out),
        }
        while let Some(message) = out.local.pop_front() {
            self.on_message(now_ms, Party::Server(self.identity.me), message, &mut out);
        }
        out.outputs
    }

    /// Replaces the generator by one seeded from its own output, so that no memory read later gives what it drew
    /// before: round secrets that are erased stay erased.
    fn renew_generator(&mut self) {
        let mut seed = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(&mut *seed);
        self.rng = ChaCha20Rng::from_seed(*seed);
    }

    /// When [`Input::Tick`] is due next, milliseconds since 1970.
    pub fn next_tick_ms(&self) -> Option<u64> {
        let ticks = self.rounds.iter().map(|(round, state)| match state {
            RoundState::Running(running) => running.next_tick_ms(),
            RoundState::Keying { keying, .. } => self.keying_ends_ms(keying.roster(), *round),
        });
        let audits = self.recent.values().filter(|recent| recent.audit.is_some()).map(Recent::audit_ends_ms);
        ticks.chain(audits).min()
    }

    fn on_message(&mut self, now_ms: u64, from: Party, message: Message, out: &mut Outbox) {
        match (from, message) {
            // From its owner, or from the coordinator, who hands on what an owner may have shown to nobody else.
            (_, Message::NoiseOpening(opening)) => self.on_opening(now_ms, opening, out),
            (Party::Coordinator, Message::Submissions(message)) => {
                self.on_round_message(now_ms, from, Message::Submissions(message), out);
            }
            (Party::Coordinator, message) => {
                if let Err(why) = self.on_coordinator(now_ms, message, out) {
                    out.outputs.push(Output::Notice(Notice::Refused { why: why.to_string() }));
                }
            }
            (Party::Server(server), Message::Charge(charge)) => self.on_charge(now_ms, server, &charge, out),
            (Party::Server(_), message) => self.on_round_message(now_ms, from, message, out),
        }
    }

    /// Evidence that another server has: it is judged before it changes anything, one charge of each server at a time.
    /// Who takes no part is not heard: what it sees others see as well.
    fn on_charge(&mut self, now_ms: u64, from: ServerId, charge: &Charge, out: &mut Outbox) {
        let Some(recent) = self.recent.get_mut(&charge.round) else { return };
        let heard = recent.charges.entry(from).or_default();
        let roster = &recent.context.roster;
        let is_heard = roster.is_active(from) && *heard < roster.active().len();
        if is_heard && self.charges.add(from, roster.id().epoch, charge) {
            *heard += 1;
            self.judge_next(now_ms, from, out);
        }
    }

    /// Has the next charge of a server judged. Who has charged falsely is not heard again about rounds of that epoch.
    fn judge_next(&mut self, now_ms: u64, from: ServerId, out: &mut Outbox) {
        let Self { charges, recent, .. } = self;
        let Some(charge) = charges.next(from, |charge| recent.contains_key(&charge.round)) else { return };
        let Some(recent) = recent.get(&charge.round) else { return };
        let context = Arc::clone(&recent.context);
        self.env(now_ms, &context, out).run(None, Work::Judge(from, charge.evidence));
    }

    fn on_judged(&mut self, now_ms: u64, round: Round, from: ServerId, judged: Judged, out: &mut Outbox) {
        self.charges.done(from, round);
        self.take_verdict(now_ms, round, from, judged, out);
        self.judge_next(now_ms, from, out);
    }

    fn take_verdict(&mut self, now_ms: u64, round: Round, from: ServerId, judged: Judged, out: &mut Outbox) {
        let Some(recent) = self.recent.get_mut(&round) else { return };
        let Judged { evidence, verdict: Ok(verdict) } = judged else {
            self.charges.lied(from, recent.context.roster.id().epoch);
            return;
        };
        let context = Arc::clone(&recent.context);
        // What convicts a server counts for nothing: it happens once to each, and an honest server has to be heard.
        if verdict.servers().any(|server| !self.convictions.holds(&context, server))
            && let Some(heard) = recent.charges.get_mut(&from)
        {
            *heard = heard.saturating_sub(1);
        }
        self.env(now_ms, &context, out).convict(evidence, &verdict);
        self.act_on_conviction(now_ms, out);
    }

    /// Takes what this server has found and judged by itself besides the course of a round.
    fn take_own_verdict(&mut self, now_ms: u64, round: Round, judged: Judged, out: &mut Outbox) {
        let (Some(recent), Ok(verdict)) = (self.recent.get(&round), &judged.verdict) else { return };
        let context = Arc::clone(&recent.context);
        self.env(now_ms, &context, out).convict(judged.evidence, verdict);
        self.act_on_conviction(now_ms, out);
    }

    /// A conviction counts in every round under way, not only in the one that it is about.
    fn act_on_conviction(&mut self, now_ms: u64, out: &mut Outbox) {
        let rounds: Vec<Round> = self.rounds.keys().copied().collect();
        for round in rounds {
            self.with_running(now_ms, round, out, |running, env| running.on_conviction(env));
        }
    }

    fn on_coordinator(&mut self, now_ms: u64, message: Message, out: &mut Outbox) -> Result<(), RefusedCall> {
        let until_ms = now_ms + self.directory.params().deadline_ms;
        let Self { identity, directory, marks, rng, founding, rosters, .. } = self;
        let reply = match message {
            Message::Peers(message) => {
                out.outputs.push(Output::Peers(message.addresses));
                return Ok(());
            }
            Message::SeedCall(message) => {
                let newest = rosters.last_key_value().map(|(_, roster)| &**roster);
                founding::check_plausible(directory, marks, newest, now_ms, &message.plan)?;
                Message::SeedCommitment(founding.commit(directory, identity.me, &identity.key, message, rng)?)
            }
            Message::SeedCommitments(message) => {
                Message::SeedReveal(founding.reveal(directory, identity.me, marks, message)?)
            }
            Message::EpochProposal(message) => {
                Message::EpochSignature(founding.sign(directory, marks, &identity.key, &message)?)
            }
            Message::EpochStart(message) => return self.on_epoch(message, out),
            Message::AmendmentProposal(message) => self.on_amendment_proposal(&message.amendment)?,
            Message::AmendmentStart(message) => return self.on_amendment(message, out),
            Message::KeysCall(message) => match self.on_keys_call(now_ms, &message, out)? {
                Some(keys) => Message::Keys(keys),
                None => return Ok(()),
            },
            Message::DescriptorProposal(message) => self.on_descriptor(now_ms, &message)?,
            Message::Announcement(message) => return self.on_announcement(now_ms, message, out),
            Message::ShareCall(call) => Message::CoinShare(self.on_share_call(now_ms, call.round)?),
            Message::Coin(coin) => return self.on_coin(now_ms, &coin, out),
            _ => return Err(RefusedCall::NotForCoordinator),
        };
        out.outputs.push(Output::Send { to: Party::Coordinator, message: Arc::new(reply), until_ms });
        Ok(())
    }

    fn on_epoch(&mut self, message: EpochStart, out: &mut Outbox) -> Result<(), RefusedCall> {
        let epoch = founding::start(&self.directory, &mut self.marks, message)?;
        let number = epoch.plan().number;
        // After a restart the newest may come first, and then the one before it.
        let is_older = self.rosters.last_key_value().is_some_and(|(newest, _)| *newest >= number);
        if self.rosters.contains_key(&number) || is_older && self.rosters.len() >= KEPT_ROSTERS {
            return Ok(());
        }
        out.outputs.push(Output::Notice(Notice::Epoch { number, clients: epoch.plan().registry.len() }));
        self.rosters.insert(number, Arc::new(Roster::new(&self.directory, epoch)));
        while self.rosters.len() > KEPT_ROSTERS {
            self.rosters.pop_first();
        }
        match self.early_amendments.remove(&number) {
            Some(amendment) => self.on_amendment(amendment, out),
            None => Ok(()),
        }
    }

    /// Keeps an amendment, which nobody has verified, until its epoch is there; the newest few only.
    fn keep_early(&mut self, message: AmendmentStart) {
        self.early_amendments.insert(message.amendment.epoch, message);
        while self.early_amendments.len() > KEPT_ROSTERS {
            self.early_amendments.pop_first();
        }
    }

    /// Signs an amendment, one for each number: it could follow on what this server knows.
    fn on_amendment_proposal(&mut self, amendment: &Amendment) -> Result<Message, RefusedCall> {
        let roster = self.rosters.get(&amendment.epoch).ok_or(RefusedCall::NoEpoch)?;
        roster.check(&self.directory, amendment)?;
        let _once = self.marks.claim(Act::Amend, amendment.mark())?;
        let signature = amendment.sign(roster.epoch(), &self.identity.key);
        Ok(Message::AmendmentSignature(AmendmentSignature { roster: amendment.id(), signature }))
    }

    /// From here on rounds are opened without the struck. Those whose descriptor this server has signed already may
    /// have been announced, and go on as they are.
    fn on_amendment(&mut self, message: AmendmentStart, out: &mut Outbox) -> Result<(), RefusedCall> {
        let id = message.amendment.id();
        let Some(roster) = self.rosters.get(&id.epoch) else {
            self.keep_early(message);
            return Err(RefusedCall::NoEpoch);
        };
        if roster.amendment() == &message.amendment {
            return Ok(());
        }
        let amended = Arc::new(roster.amend(&self.directory, &message)?);
        out.outputs.push(Output::Notice(Notice::Amended { roster: id, active: amended.active().len() }));
        self.rosters.insert(id.epoch, amended);
        self.rounds.retain(|_, state| match state {
            RoundState::Keying { keying, .. } => keying.is_signed() || keying.roster().id().epoch != id.epoch,
            RoundState::Running(_) => true,
        });
        Ok(())
    }

    /// Publishes keys; none yet if the call waits for the pledge of the own noise, which a job makes.
    fn on_keys_call(&mut self, now_ms: u64, call: &KeysCall, out: &mut Outbox) -> Result<Option<Keys>, RefusedCall> {
        let (keying, mut keeper) = self.keying(now_ms, call.round, call.roster)?;
        let Some(is_first) = keying.wait_for_pledge(call) else {
            return Ok(Some(keying.publish(&mut keeper, call)?));
        };
        if is_first {
            let Self { identity: Identity { me, key }, directory, rounds, .. } = self;
            if let Some(RoundState::Keying { keying, .. }) = rounds.get(&call.round) {
                let task = Task::Pledge(Box::new(keying.pledge(directory, *me, key)));
                out.outputs.push(Output::Run(Job { id: JobId { round: call.round, stage: None }, task }));
            }
        }
        Ok(None)
    }

    /// The own noise is pledged: the call that waited for it is answered.
    fn on_pledged(&mut self, now_ms: u64, round: Round, pledge: NoisePledge, out: &mut Outbox) {
        let Some(RoundState::Keying { keying, .. }) = self.rounds.get_mut(&round) else { return };
        let Some(call) = keying.set_pledge(pledge) else { return };
        if let Err(why) = self.on_coordinator(now_ms, Message::KeysCall(call), out) {
            out.outputs.push(Output::Notice(Notice::Refused { why: why.to_string() }));
        }
    }

    fn on_descriptor(&mut self, now_ms: u64, proposal: &DescriptorProposal) -> Result<Message, RefusedCall> {
        let round = proposal.round;
        let (keying, mut keeper) = self.keying(now_ms, round, proposal.roster)?;
        let signature = keying.sign(&mut keeper, proposal)?;
        Ok(Message::DescriptorSignature(DescriptorSignature { round, signature }))
    }

    /// The round whose keys are being made, with what its keeper needs; opened by the first call that names it, which
    /// for a server without a turn in a small network is the descriptor. A round stays with the roster that it began
    /// under: the newest of the epoch that it belongs to.
    fn keying(
        &mut self,
        now_ms: u64,
        round: Round,
        called: RosterId,
    ) -> Result<(&mut Keying, Keeper<'_>), RefusedCall> {
        let roster = self.roster_of(round).cloned();
        let Self { identity, directory, marks, rng, rounds, .. } = self;
        let Identity { me, key } = &*identity;
        let mut keeper = Keeper { directory, me: *me, key, marks, rng, now_ms };
        if !rounds.contains_key(&round) {
            if rounds.len() >= MAX_OPEN_ROUNDS {
                return Err(RefusedCall::TooManyRounds);
            }
            let roster = match roster {
                Some(roster) if roster.id() == called => roster,
                other => {
                    let expected = other.map(|roster| roster.id());
                    return Err(KeyingError::Roster { round, got: called, expected }.into());
                }
            };
            let keying = Box::new(Keying::open(&mut keeper, &roster, round)?);
            rounds.insert(round, RoundState::Keying { keying, early: Early::default() });
        }
        match rounds.get_mut(&round) {
            Some(RoundState::Keying { keying, .. }) => Ok((keying, keeper)),
            _ => Err(RefusedCall::Keying(KeyingError::Signed(round))),
        }
    }

    /// The newest roster of the epoch that a round belongs to: of those known, the last that has begun by then.
    fn roster_of(&self, round: Round) -> Option<&Arc<Roster>> {
        self.rosters.values().rev().find(|roster| roster.epoch().plan().first_round <= round)
    }

    fn on_announcement(&mut self, now_ms: u64, message: Announcement, out: &mut Outbox) -> Result<(), RefusedCall> {
        let round = message.round;
        match self.rounds.get(&round) {
            Some(RoundState::Keying { keying, .. }) => keying.check(&self.directory, &message.signatures)?,
            Some(RoundState::Running(_)) => return Ok(()),
            None => return Err(RefusedCall::Keying(KeyingError::Clock(round))),
        }
        let Some(RoundState::Keying { keying, early }) = self.rounds.remove(&round) else { return Ok(()) };
        let Announced { descriptor, secrets, seed, pledges } = keying.announce(&self.directory, &message.signatures)?;
        let basis = RoundBasis::new(Arc::clone(&self.directory), descriptor);
        let context = Arc::new(RoundContext { basis, me: self.identity.me });
        let pledges = Arc::new(pledges);
        let audit = (!pledges.is_empty()).then(|| Audit::new(Arc::clone(&seed), Arc::clone(&pledges)));
        self.recent.insert(round, Recent { context: Arc::clone(&context), charges: BTreeMap::new(), audit });
        while self.recent.len() > MAX_OPEN_ROUNDS {
            self.recent.pop_first();
        }
        if let Some((_, oldest)) = self.recent.first_key_value() {
            self.charges.forget_before(oldest.context.roster.id().epoch);
        }
        out.outputs.push(Output::Notice(Notice::Announced(round)));
        let mut env = self.env(now_ms, &context, out);
        let running = Running::begin(&mut env, secrets, seed);
        if !pledges.is_empty() {
            env.run(None, Work::CheckPledges(pledges));
        }
        self.rounds.insert(round, RoundState::Running(Box::new(running)));
        early.messages.into_iter().for_each(|(from, message)| self.on_round_message(now_ms, from, message, out));
        Ok(())
    }

    /// Reveals the own share of a round's coin, once the round is over by the own clock: by then noise is sent, and replies
    /// are out.
    fn on_share_call(&self, now_ms: u64, round: Round) -> Result<CoinShare, RefusedCall> {
        let roster = self.roster_of(round).ok_or(RefusedCall::NoEpoch)?;
        if self.directory.params().noise.audit.is_none() || now_ms < self.over_ms(roster, round) {
            return Err(RefusedCall::NotOver(round));
        }
        let share = pledge::coin_share(&self.directory, roster, round, &self.identity.key);
        Ok(CoinShare { round, share })
    }

    /// When a round is over, whatever comes of it.
    fn over_ms(&self, roster: &Roster, round: Round) -> u64 {
        roster.epoch().window_start_ms(round).saturating_add(self.directory.params().deadline_ms)
    }

    /// A coin has fallen: whom it picks shows its noise to everybody.
    fn on_coin(&mut self, now_ms: u64, coin: &Coin, out: &mut Outbox) -> Result<(), RefusedCall> {
        let round = coin.round;
        let over_ms = self.recent.get(&round).map(|recent| self.over_ms(&recent.context.roster, round));
        let Some(recent) = self.recent.get_mut(&round).filter(|_| over_ms.is_some_and(|over_ms| now_ms >= over_ms))
        else {
            return Err(RefusedCall::NotOver(round));
        };
        let context = Arc::clone(&recent.context);
        let Some(audit) = &mut recent.audit else { return Err(RefusedCall::NotOver(round)) };
        if let Some(opening) = audit.fall(&context, &self.identity.key, coin)? {
            self.env(now_ms, &context, out).send_late(Message::NoiseOpening(opening));
        }
        Ok(())
    }

    /// Another server has shown its noise, or somebody says so for it: a job draws it again.
    fn on_opening(&mut self, now_ms: u64, opening: NoiseOpening, out: &mut Outbox) {
        let Some(recent) = self.recent.get_mut(&opening.round) else { return };
        let context = Arc::clone(&recent.context);
        let case = recent.audit.as_mut().and_then(|audit| audit.take_opening(&context, opening));
        if let Some(case) = case {
            self.env(now_ms, &context, out).run(None, Work::CheckOpening(Box::new(case)));
        }
    }

    fn on_round_message(&mut self, now_ms: u64, from: Party, message: Message, out: &mut Outbox) {
        let Some(round) = message.round() else {
            out.outputs.push(Output::Notice(Notice::Ignored { what: "a message that belongs to no round" }));
            return;
        };
        match self.rounds.get_mut(&round) {
            Some(RoundState::Keying { early, .. }) => {
                if !early.keep(from, message) {
                    out.outputs
                        .push(Output::Notice(Notice::Ignored { what: "too much for a round not announced yet" }));
                }
            }
            Some(RoundState::Running(_)) => {
                self.with_running(now_ms, round, out, |running, env| running.on_message(env, from, message));
            }
            _ => out.outputs.push(Output::Notice(Notice::Ignored { what: "a message for a round that is not open" })),
        }
    }

    fn on_tick(&mut self, now_ms: u64, out: &mut Outbox) {
        let rounds: Vec<Round> = self.rounds.keys().copied().collect();
        for round in rounds {
            self.with_running(now_ms, round, out, |running, env| running.on_tick(env));
        }
        // A coin that has not fallen by now falls no more: seeds go.
        for (round, recent) in &mut self.recent {
            let ends_ms = recent.audit_ends_ms();
            let over = recent.audit.take_if(|_| now_ms >= ends_ms);
            if over.is_some_and(|audit| !audit.has_fallen()) {
                out.outputs.push(Output::Notice(Notice::NotAudited(*round)));
            }
        }
        // Rounds whose announcement never came go with their secrets.
        let unannounced = self.rounds.iter().filter(|(round, state)| match state {
            RoundState::Keying { keying, .. } => now_ms >= self.keying_ends_ms(keying.roster(), **round),
            RoundState::Running(_) => false,
        });
        let over: Vec<Round> = unannounced.map(|(round, _)| *round).collect();
        over.iter().for_each(|round| drop(self.rounds.remove(round)));
    }

    /// When a round that is not announced yet is given up.
    fn keying_ends_ms(&self, roster: &Roster, round: Round) -> u64 {
        roster.epoch().window_start_ms(round).saturating_add(self.directory.params().collect_ms)
    }

    /// Does something with a running round, and lets it go with all its secrets when it is over.
    fn with_running(
        &mut self,
        now_ms: u64,
        round: Round,
        out: &mut Outbox,
        step: impl FnOnce(&mut Running, &mut Env<'_>) -> Life,
    ) {
        match self.rounds.remove(&round) {
            Some(RoundState::Running(mut running)) => {
                let context = Arc::clone(&running.context);
                let life = step(&mut running, &mut self.env(now_ms, &context, out));
                if let Some(audit) = self.recent.get_mut(&round).and_then(|recent| recent.audit.as_mut()) {
                    running.note_inputs(audit);
                }
                match life {
                    Life::GoesOn => drop(self.rounds.insert(round, RoundState::Running(running))),
                    Life::Over => out.outputs.push(Output::Notice(Notice::RoundOver(round))),
                }
            }
            Some(other) => drop(self.rounds.insert(round, other)),
            None => {}
        }
    }

    fn env<'a>(&'a mut self, now_ms: u64, context: &'a Arc<RoundContext>, out: &'a mut Outbox) -> Env<'a> {
        Env {
            now_ms,
            context,
            key: &self.identity.key,
            marks: &mut self.marks,
            convictions: &mut self.convictions,
            rng: &mut self.rng,
            threshold: &mut self.threshold,
            out,
        }
    }
}

/// Why a call of the coordinator is refused.
#[derive(Debug, thiserror::Error)]
enum RefusedCall {
    #[error("this server knows no such epoch")]
    NoEpoch,
    #[error("{MAX_OPEN_ROUNDS} rounds are open already")]
    TooManyRounds,
    #[error("{0} is not over, or its noise is not audited")]
    NotOver(Round),
    #[error(transparent)]
    Shares(#[from] NotTheShares),
    #[error("a message that the coordinator does not send")]
    NotForCoordinator,
    #[error(transparent)]
    Founding(#[from] FoundingError),
    #[error(transparent)]
    Keying(#[from] KeyingError),
    #[error(transparent)]
    Amendment(#[from] AmendmentError),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// What a machine gives out; what it sends to itself goes round without the network.
#[derive(Default)]
struct Outbox {
    outputs: Vec<Output>,
    local: VecDeque<Message>,
}

/// What a step of a round can use.
pub(crate) struct Env<'a> {
    now_ms: u64,
    context: &'a Arc<RoundContext>,
    key: &'a Arc<SigningKey>,
    marks: &'a mut Marks,
    convictions: &'a mut Convictions,
    rng: &'a mut ChaCha20Rng,
    threshold: &'a mut Option<Threshold>,
    out: &'a mut Outbox,
}

impl Env<'_> {
    fn claim(&mut self, act: Act) -> Result<Once, AbortReason> {
        self.marks.claim(act, self.context.round()).map_err(|refused| match refused {
            Refused::Before { .. } => AbortReason::ActedBefore,
            Refused::Store(_) => AbortReason::Storage,
        })
    }

    fn sign(&self, statement: &Digest) -> Signature {
        self.key.sign(statement)
    }

    /// Two statements of which a server may sign one: it is convicted, and that ends what it had a part in.
    fn contradiction(&mut self, one: SignedStatement, two: SignedStatement) -> Result<(), AbortReason> {
        self.prove(Evidence::Equivocation(Box::new([one, two])), AbortReason::Equivocation)
    }

    /// Judges evidence that is cheap to judge. What convicts nobody changes nothing.
    fn prove(&mut self, evidence: Evidence, reason: fn(ServerId) -> AbortReason) -> Result<(), AbortReason> {
        let judged = Judged::new(self.context, evidence);
        match &judged.verdict {
            Ok(_) => Err(self.judged(judged, reason)),
            Err(_) => Ok(()),
        }
    }

    /// Takes a verdict; gives the reason for which the round, or the chain, ends.
    fn judged(&mut self, judged: Judged, reason: fn(ServerId) -> AbortReason) -> AbortReason {
        let Judged { evidence, verdict } = judged;
        let Ok(verdict) = verdict else { return AbortReason::Unproven };
        self.convict(evidence, &verdict);
        verdict.servers().next().map_or(AbortReason::Unproven, reason)
    }

    /// Takes a verdict, and hands the evidence on if it convicts somebody anew. Of clients only the coordinator hears:
    /// every server has seen their trails by itself, and listens to so many charges of each other.
    fn convict(&mut self, evidence: Arc<Evidence>, verdict: &Verdict) {
        if self.note(&evidence, verdict) {
            let charge = Message::Charge(Charge { round: self.context.round(), evidence });
            match verdict.servers().next() {
                Some(_) => self.send_late(charge),
                None => self.send_coordinator(charge),
            }
        }
    }

    /// Takes the verdict of a trail, which every server has seen; its accuser tells the coordinator.
    fn convict_by_trail(&mut self, evidence: Evidence, verdict: &Verdict, is_ours: bool) {
        let evidence = Arc::new(evidence);
        if self.note(&evidence, verdict) && is_ours {
            self.send_coordinator(Message::Charge(Charge { round: self.context.round(), evidence }));
        }
    }

    /// Whether the verdict convicts somebody anew; then the operator gets the case.
    fn note(&mut self, evidence: &Arc<Evidence>, verdict: &Verdict) -> bool {
        let new = self.convictions.convict(self.context, verdict);
        if new {
            let (round, verdict) = (self.context.round(), verdict.clone());
            let case = Case::new(self.context, Arc::clone(evidence));
            self.out.outputs.push(Output::Evidence(Box::new(case), verdict.clone()));
            self.notice(Notice::Convicted { round, verdict });
        }
        new
    }

    /// Whether to speak of so many bad replies, of all those that came to own noise. To have spoken uses the threshold up.
    fn speaks_of(&mut self, bad: usize, replies: usize) -> bool {
        let Some(threshold) = self.threshold.take().or_else(|| self.new_threshold()) else { return false };
        let speaks = threshold.is_passed(bad, replies, self.rng);
        *self.threshold = Some(threshold).filter(|_| !speaks);
        speaks
    }

    fn new_threshold(&mut self) -> Option<Threshold> {
        Threshold::new(Terms::of(self.context.params())?, self.marks, self.rng)
    }

    fn run(&mut self, stage: Option<Stage>, work: Work) {
        let mut seed = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(&mut *seed);
        let id = JobId { round: self.context.round(), stage };
        let context = Arc::clone(self.context);
        self.out.outputs.push(Output::Run(Job { id, task: Task::Round(context, seed, work) }));
    }

    fn notice(&mut self, notice: Notice) {
        self.out.outputs.push(Output::Notice(notice));
    }

    fn send(&mut self, to: ServerId, message: Message) {
        if to == self.context.me {
            self.out.local.push_back(message);
        } else {
            self.send_shared(Party::Server(to), Arc::new(message));
        }
    }

    fn send_coordinator(&mut self, message: Message) {
        let until_ms = self.context.deadline_ms().saturating_add(LAST_WORD_MS);
        self.out.outputs.push(Output::Send { to: Party::Coordinator, message: Arc::new(message), until_ms });
    }

    /// Sends to the coordinator and to all other active servers what is of use also when the round is over.
    fn send_late(&mut self, message: Message) {
        let of_use_ms = self.now_ms.saturating_add(self.context.params().deadline_ms);
        let (message, until_ms) =
            (Arc::new(message), self.context.deadline_ms().saturating_add(LAST_WORD_MS).max(of_use_ms));
        let others = self.context.active().iter().filter(|server| **server != self.context.me);
        let to = others.map(|server| Party::Server(*server)).chain([Party::Coordinator]);
        let sends = to.map(|to| Output::Send { to, message: Arc::clone(&message), until_ms });
        self.out.outputs.extend(sends);
    }

    fn send_shared(&mut self, to: Party, message: Arc<Message>) {
        self.out.outputs.push(Output::Send { to, message, until_ms: self.context.deadline_ms() });
    }

    /// Sends to every active server, this one included.
    fn broadcast(&mut self, message: Message) {
        self.out.local.push_back(message.clone());
        self.broadcast_to_others(message);
    }

    fn broadcast_to_others(&mut self, message: Message) {
        let message = Arc::new(message);
        for &server in self.context.active().iter().filter(|server| **server != self.context.me) {
            self.send_shared(Party::Server(server), Arc::clone(&message));
        }
    }
}

/// Random bytes in the shape of a batch.
pub(crate) fn random_records(width: usize, count: usize, rng: &mut ChaCha20Rng) -> Records {
    let mut records = Records::zeroed(width, count);
    rng.fill_bytes(records.as_bytes_mut());
    records
}

impl fmt::Debug for Mixer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mixer({})", self.identity.me)
    }
}
