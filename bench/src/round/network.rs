//! Coordinator, mix servers and clients, and the mail between them.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use hippodrome_core::{
    coordinator::{self, Coordinator},
    descriptor::RoundView,
    directory::{Directory, DirectoryDraft, ServerEntry},
    ids::{Layer, Party, Round, ServerId},
    marks::{Marks, MemoryMarks},
    message::{Hello, Message},
    mixer::{self, Mixer},
    params::NetworkParams,
};
use hippodrome_crypto::{hash::Hasher, signing::SigningKey};
use hippodrome_proto::convert::encoded_len;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use super::{RoundError, clients::Clients, ledger::Ledger};
use crate::memory::PeakMemory;

/// When everything begins, milliseconds since 1970: any time does.
const START_MS: u64 = 1_700_000_000_000;
/// Milliseconds between a server's hellos.
const HELLO_MS: u64 = 1000;
/// Periods within which a round has to be over: it takes three.
const PATIENCE: u64 = 10;

/// A network in one process.
pub(super) struct Network {
    now_ms: u64,
    greeted_ms: u64,
    directory: Arc<Directory>,
    coordinator: Coordinator,
    mixers: Vec<Mixer>,
    clients: Clients,
    mail: VecDeque<(Party, Party, Arc<Message>)>,
    /// Rounds that clients have submitted to.
    submitted: BTreeSet<Round>,
    delivered: BTreeSet<Round>,
    failed: Option<String>,
    ledger: Ledger,
    /// Since the last collection ended.
    memory: PeakMemory,
}

impl Network {
    /// A new network of so many servers, in which nothing has happened yet.
    pub(super) fn new(
        params: NetworkParams,
        servers: u16,
        clients: Clients,
        rng: &mut ChaCha20Rng,
    ) -> Result<Self, RoundError> {
        let keys: Vec<SigningKey> = (0..servers).map(|_| SigningKey::generate(rng)).collect();
        let directory = Arc::new(found(params, &keys)?);
        let marks = || Marks::new(Box::<MemoryMarks>::default());
        let mut mixer = |key| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            Mixer::new(Arc::clone(&directory), key, marks(), seed).map_err(|why| RoundError::Wrong(why.to_string()))
        };
        let mixers = keys.into_iter().map(&mut mixer).collect::<Result<_, _>>()?;
        Ok(Self {
            now_ms: START_MS,
            greeted_ms: 0,
            coordinator: Coordinator::new(Arc::clone(&directory), clients.registry(), marks()),
            directory,
            mixers,
            clients,
            mail: VecDeque::new(),
            submitted: BTreeSet::new(),
            delivered: BTreeSet::new(),
            failed: None,
            ledger: Ledger::default(),
            memory: PeakMemory::before(),
        })
    }

    /// Goes on until one more round is over, with all that is done for the next ones meanwhile: in the long run each round
    /// is opened once. Gives what it cost.
    pub(super) fn play_round(&mut self) -> Result<Ledger, RoundError> {
        self.ledger = Ledger::default();
        let (completed, verified) = self.progress();
        let end_ms = self.now_ms + PATIENCE * self.directory.params().period_ms;
        while self.progress().0 == completed {
            self.step()?;
            if let Some(why) = self.failed.take() {
                return Err(RoundError::Wrong(why));
            }
            if self.now_ms > end_ms {
                return Err(RoundError::Wrong(format!("no round completes: {:?}", self.coordinator.status())));
            }
        }
        let asked = self.directory.params().hops_verified_per_round();
        let mut ledger = std::mem::take(&mut self.ledger);
        ledger.hops_verified = self.progress().1 - verified;
        ledger.peak_bytes = self.memory.peak();
        // Without noise a chain may be empty, and then there is nothing to prove.
        let may_be_empty = self.directory.params().noise.slots == 0 && ledger.hops_verified < asked;
        if ledger.hops_verified != asked && !may_be_empty {
            let got = ledger.hops_verified;
            return Err(RoundError::Wrong(format!("{got} proofs were checked, where there are {asked} to check")));
        }
        Ok(ledger)
    }

    /// Rounds completed and proofs checked so far.
    fn progress(&self) -> (u64, u64) {
        let status = self.coordinator.status();
        (status.rounds_completed, status.hops_verified)
    }

    /// Delivers all mail, then lets the time pass to what is due next.
    fn step(&mut self) -> Result<(), RoundError> {
        while let Some((from, to, message)) = self.mail.pop_front() {
            self.deliver(from, to, message)?;
        }
        let due = self.mixers.iter().filter_map(Mixer::next_tick_ms);
        let due_ms = due.chain([self.coordinator.next_tick_ms(self.now_ms), self.greeted_ms + HELLO_MS]).min();
        self.now_ms = due_ms.unwrap_or(0).max(self.now_ms + 1);
        if self.now_ms >= self.greeted_ms + HELLO_MS {
            self.greet();
        }
        self.submit()?;
        self.drive_coordinator(coordinator::Input::Tick)?;
        (0..self.mixers.len()).for_each(|index| self.drive_mixer(index, mixer::Input::Tick));
        Ok(())
    }

    fn greet(&mut self) {
        self.greeted_ms = self.now_ms;
        for (id, mixer) in self.directory.server_ids().zip(&self.mixers) {
            let hello = Hello { address: format!("bench:{}", id.0), roster: mixer.roster_id() };
            self.mail.push_back((Party::Server(id), Party::Coordinator, Arc::new(Message::Hello(hello))));
        }
    }

    fn deliver(&mut self, from: Party, to: Party, message: Arc<Message>) -> Result<(), RoundError> {
        self.ledger.server_bytes += encoded_len(&message) as u64;
        // Each receiver has a copy of its own, as it would have from the wire.
        let message = self.ledger.spend("machines", || Arc::unwrap_or_clone(message));
        match (from, to) {
            (Party::Server(from), Party::Coordinator) => {
                self.drive_coordinator(coordinator::Input::Message { from, message })?;
            }
            (from, Party::Server(to)) => {
                self.drive_mixer(usize::from(to.0), mixer::Input::Message { from, message });
            }
            (Party::Coordinator, Party::Coordinator) => {}
        }
        Ok(())
    }

    fn drive_mixer(&mut self, index: usize, input: mixer::Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let (now_ms, mixer) = (self.now_ms, &mut self.mixers[index]);
            let outputs = self.ledger.spend("machines", || mixer.handle(now_ms, input));
            for output in outputs {
                match output {
                    mixer::Output::Send { to, message, .. } => {
                        self.mail.push_back((Party::Server(ServerId(index as u16)), to, message));
                    }
                    mixer::Output::Run(job) => {
                        let done = self.ledger.spend(job.purpose(), || job.run());
                        inputs.push_back(mixer::Input::Done(done));
                    }
                    mixer::Output::Notice(notice @ (mixer::Notice::Aborted { .. } | mixer::Notice::Refused { .. })) => {
                        self.failed.get_or_insert_with(|| format!("server {index}: {notice}"));
                    }
                    mixer::Output::Evidence(_, verdict) => {
                        self.failed.get_or_insert_with(|| format!("server {index} convicts: {verdict}"));
                    }
                    mixer::Output::Peers(_) | mixer::Output::Notice(_) => {}
                }
            }
        }
    }

    fn drive_coordinator(&mut self, input: coordinator::Input) -> Result<(), RoundError> {
        let (now_ms, coordinator) = (self.now_ms, &mut self.coordinator);
        let outputs = self.ledger.spend("coordinator", || coordinator.handle(now_ms, input));
        for output in outputs {
            match output {
                coordinator::Output::Send { to, message, .. } => {
                    self.mail.push_back((Party::Coordinator, Party::Server(to), message));
                }
                coordinator::Output::Delivered(round) => self.open_replies(round)?,
                coordinator::Output::Failed { round, reason } => {
                    return Err(RoundError::Wrong(format!("{round}: {reason}")));
                }
                coordinator::Output::Judge(_) | coordinator::Output::Evidence(..) => {
                    return Err(RoundError::Wrong("somebody is charged with something".into()));
                }
                coordinator::Output::Keep(_)
                | coordinator::Output::Peers(_)
                | coordinator::Output::Announced(_)
                | coordinator::Output::Notice(_) => {}
            }
        }
        Ok(())
    }

    /// All clients submit to the rounds whose collection has begun.
    fn submit(&mut self) -> Result<(), RoundError> {
        let begun = |round: &Round| {
            let roster = self.coordinator.roster_of(*round);
            roster.is_some_and(|roster| roster.epoch().window_start_ms(*round) <= self.now_ms)
        };
        let open = self.coordinator.open_rounds(self.now_ms);
        for round in open.into_iter().filter(begun).collect::<Vec<_>>() {
            if self.submitted.insert(round) {
                self.submit_to(round)?;
            }
        }
        Ok(())
    }

    fn submit_to(&mut self, round: Round) -> Result<(), RoundError> {
        let views = self.views(round)?;
        let (clients, directory) = (&mut self.clients, &self.directory);
        let sent = self.ledger.spend_client(|| clients.submit(directory, &views))?;
        let wrong = |why: &dyn std::fmt::Display| RoundError::Wrong(format!("{round}: a submission is refused: {why}"));
        for sent in sent {
            self.ledger.client_bytes += sent.records.len() as u64;
            let (now_ms, coordinator) = (self.now_ms, &mut self.coordinator);
            self.ledger
                .spend("admit", || {
                    let gatekeeper = coordinator.gatekeeper(round, sent.chain)?;
                    coordinator.submit(now_ms, round, gatekeeper.admit(&sent.records)?)
                })
                .map_err(|why| wrong(&why))?;
        }
        self.memory = PeakMemory::before();
        Ok(())
    }

    /// The keys of a round for each open input chain, checked as clients check them.
    fn views(&mut self, round: Round) -> Result<Vec<Arc<RoundView>>, RoundError> {
        let wrong = |why: &dyn std::fmt::Display| RoundError::Wrong(format!("{round}: {why}"));
        let roster = self.coordinator.roster_of(round).ok_or_else(|| wrong(&"it has no roster"))?;
        let view = |chain| {
            let view = self.coordinator.view(round, chain).ok_or_else(|| wrong(&"a chain has no keys"))?;
            view.verify(&self.directory, roster, chain).map(Arc::new).map_err(|why| wrong(&why))
        };
        roster.open(Layer(0)).iter().map(|chain| view(*chain)).collect()
    }

    fn open_replies(&mut self, round: Round) -> Result<(), RoundError> {
        if !self.submitted.contains(&round) || !self.delivered.insert(round) {
            return Err(RoundError::Wrong(format!("{round} was delivered out of turn")));
        }
        let (clients, coordinator, directory) = (&mut self.clients, &self.coordinator, &self.directory);
        self.ledger.client_bytes += self.ledger.spend_client(|| clients.open(coordinator, directory, round))?;
        Ok(())
    }
}

/// The directory of a network whose certificates nobody asks for.
fn found(params: NetworkParams, keys: &[SigningKey]) -> Result<Directory, RoundError> {
    let certificate = |number: u64| Hasher::new("hippodrome bench certificate").number(number).finish();
    let server = |(number, key): (u64, &SigningKey)| ServerEntry {
        name: format!("server-{number}"),
        key: key.public(),
        certificate: certificate(number),
    };
    let servers = (1..).zip(keys).map(server).collect();
    let draft = DirectoryDraft { params, servers, coordinator: certificate(0) };
    let signatures: Vec<_> = keys.iter().map(|key| draft.sign(key)).collect();
    draft.verify(&signatures).map_err(|why| RoundError::Wrong(why.to_string()))
}
