//! All machines of the protocol in one process, under a simulated clock and network, with real cryptography.
//!
//! Everything follows from one seed. Messages take a simulated time; jobs run inline and take a simulated time too. An
//! [`Adversary`] sees every message between servers and decides what is delivered in its place.

use std::{
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};

use hippodrome_core::{
    coordinator::{self, Coordinator},
    directory::{Directory, DirectoryDraft, ServerEntry},
    epoch::Epoch,
    ids::{Author, Party, Round, ServerId},
    marks::{Act, Marks, MemoryMarks},
    message::{Hello, Message},
    mixer::{self, Mixer, Notice},
    params::{NetworkParams, Verification},
    participant::{Participant, Pending, SlotReply},
    submission::{Access, Composer, Submission},
};
use hippodrome_crypto::{
    hash::{Digest, Hasher},
    permutation::below,
    signing::{PublicKey, SigningKey},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::Rng;

/// Parameters of a small network, to be changed where a scenario needs others.
pub fn small_params() -> NetworkParams {
    NetworkParams {
        name: "simulated".into(),
        chains: 3,
        chain_len: 3,
        layers: 2,
        verification: Verification::Full,
        slots: 1,
        noise_per_chain: 4,
        period_ms: 1000,
        collect_ms: 500,
        deadline_ms: 3000,
        max_batch: 4096,
        bad_servers: 1,
    }
}

/// Who sees and changes messages between servers. The default adversary only watches.
pub trait Adversary {
    /// What `to` receives in place of `message`; an empty list drops it.
    fn intercept(&mut self, from: Party, to: Party, message: &Message) -> Vec<Message> {
        let _ = (from, to);
        vec![message.clone()]
    }

    /// A round was announced: the digest that its statements are signed under, and its chains.
    fn announced(&mut self, round: Round, descriptor: &Digest, epoch: &Arc<Epoch>) {
        let _ = (round, descriptor, epoch);
    }
}

/// An adversary that changes nothing.
pub struct Passive;

impl Adversary for Passive {}

impl<F: FnMut(Party, Party, &Message) -> Vec<Message>> Adversary for F {
    fn intercept(&mut self, from: Party, to: Party, message: &Message) -> Vec<Message> {
        self(from, to, message)
    }
}

/// What a client does in a round, and what it got.
pub trait Behaviour {
    /// The accesses of a round: one for each slot.
    fn accesses(&mut self, round: Round) -> Vec<Access>;
    /// What a cheating client submits in place of an honest submission; the composer has its real keys.
    fn forge(&mut self, composer: &Composer<'_>, rng: &mut ChaCha20Rng) -> Option<Submission> {
        let _ = (composer, rng);
        None
    }
    /// The replies; none when the round failed.
    fn replies(&mut self, round: Round, replies: Option<Vec<SlotReply>>);
}

/// A simulated network.
pub struct Network {
    now_ms: u64,
    sequence: u64,
    events: BinaryHeap<Event>,
    directory: Arc<Directory>,
    coordinator: Coordinator,
    mixers: Vec<Mixer>,
    server_keys: Vec<SigningKey>,
    server_marks: Vec<MemoryMarks>,
    clients: Vec<Client>,
    adversary: Box<dyn Adversary>,
    rng: ChaCha20Rng,
    /// What servers told their operators, with the server.
    pub notices: Vec<(ServerId, Notice)>,
    /// What the coordinator told its operator.
    pub coordinator_notices: Vec<String>,
    /// What was delivered, in order.
    pub delivered: Vec<(Party, Party, Message)>,
}

struct Client {
    key: SigningKey,
    participant: Option<Participant>,
    marks: Marks,
    behaviour: Box<dyn Behaviour>,
    pending: BTreeMap<Round, Pending>,
}

struct Event {
    at_ms: u64,
    sequence: u64,
    what: What,
}

enum What {
    ToCoordinator(coordinator::Input),
    ToServer(ServerId, mixer::Input),
    Submit { round: Round, client: usize },
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The heap gives its greatest: the earliest event, and of those the first made.
        (other.at_ms, other.sequence).cmp(&(self.at_ms, self.sequence))
    }
}

/// Simulated milliseconds that a message takes at least.
const LINK_MS: u64 = 2;
/// Simulated milliseconds that a message may take more: messages overtake each other.
const JITTER_MS: u32 = 20;
/// Simulated milliseconds that a job takes.
const JOB_MS: u64 = 3;

impl Network {
    /// A network of `servers` servers whose clients behave as given.
    pub fn new(params: NetworkParams, servers: usize, clients: Vec<Box<dyn Behaviour>>, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let server_keys: Vec<SigningKey> = (0..servers).map(|_| SigningKey::generate(&mut rng)).collect();
        let directory = Arc::new(found_directory(params, &server_keys));
        let server_marks: Vec<MemoryMarks> = (0..servers).map(|_| MemoryMarks::default()).collect();
        let clients: Vec<Client> = clients
            .into_iter()
            .map(|behaviour| Client {
                key: SigningKey::generate(&mut rng),
                participant: None,
                marks: Marks::new(Box::new(MemoryMarks::default())),
                behaviour,
                pending: BTreeMap::new(),
            })
            .collect();
        let registry: Vec<PublicKey> = clients.iter().map(|client| client.key.public()).collect();
        let coordinator =
            Coordinator::new(Arc::clone(&directory), registry, Marks::new(Box::new(MemoryMarks::default())));
        let mut network = Self {
            now_ms: 1_000_000,
            sequence: 0,
            events: BinaryHeap::new(),
            directory,
            coordinator,
            mixers: Vec::new(),
            server_keys,
            server_marks,
            clients,
            adversary: Box::new(Passive),
            rng,
            notices: Vec::new(),
            coordinator_notices: Vec::new(),
            delivered: Vec::new(),
        };
        for id in network.directory.clone().server_ids() {
            let mixer = network.start_server(id);
            network.mixers.push(mixer);
            network.say_hello(id);
        }
        network
    }

    /// Puts an adversary between the servers.
    pub fn set_adversary(&mut self, adversary: impl Adversary + 'static) {
        self.adversary = Box::new(adversary);
    }

    /// The simulated time, milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The network's directory.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The coordinator.
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// The signing key of a server, for adversaries that own it.
    pub fn server_key(&self, id: ServerId) -> &SigningKey {
        &self.server_keys[usize::from(id.0)]
    }

    /// Restarts a server: everything but its durable marks is lost.
    pub fn restart_server(&mut self, id: ServerId) {
        let index = usize::from(id.0);
        self.mixers[index] = self.start_server(id);
        self.say_hello(id);
    }

    /// Gives a server an input out of turn.
    pub fn inject(&mut self, to: ServerId, from: Party, message: Message) {
        self.schedule(0, What::ToServer(to, mixer::Input::Message { from, message }));
    }

    fn start_server(&mut self, id: ServerId) -> Mixer {
        let index = usize::from(id.0);
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let key = copy_key(&self.server_keys[index]);
        let marks = Marks::new(Box::new(self.server_marks[index].clone()));
        Mixer::new(Arc::clone(&self.directory), key, marks, seed).expect("the directory holds the key")
    }

    fn say_hello(&mut self, id: ServerId) {
        let message = Message::Hello(Hello { address: format!("simulated:{}", id.0) });
        self.schedule(LINK_MS, What::ToCoordinator(coordinator::Input::Message { from: id, message }));
    }

    fn schedule(&mut self, after_ms: u64, what: What) {
        self.sequence += 1;
        self.events.push(Event { at_ms: self.now_ms + after_ms, sequence: self.sequence, what });
    }

    /// Runs until `rounds` rounds have been completed or have failed, or `limit_ms` of simulated time have passed.
    pub fn run(&mut self, rounds: u64, limit_ms: u64) {
        let end = self.now_ms + limit_ms;
        while self.now_ms < end {
            let status = self.coordinator.status();
            if status.rounds_completed + status.rounds_failed >= rounds {
                return;
            }
            self.step();
        }
    }

    /// Runs for some simulated milliseconds.
    pub fn run_for(&mut self, span_ms: u64) {
        let end = self.now_ms + span_ms;
        while self.now_ms < end {
            self.step();
        }
    }

    fn step(&mut self) {
        let tick_ms = self.next_tick_ms();
        match self.events.peek() {
            Some(event) if event.at_ms <= tick_ms => {
                if let Some(event) = self.events.pop() {
                    self.now_ms = self.now_ms.max(event.at_ms);
                    self.handle(event.what);
                }
            }
            _ => {
                self.now_ms = self.now_ms.max(tick_ms) + 1;
                self.tick();
            }
        }
    }

    fn next_tick_ms(&self) -> u64 {
        let mixers = self.mixers.iter().filter_map(Mixer::next_tick_ms);
        mixers.chain([self.coordinator.next_tick_ms(self.now_ms)]).min().unwrap_or(self.now_ms)
    }

    fn tick(&mut self) {
        self.drive_coordinator(coordinator::Input::Tick);
        for id in self.directory.clone().server_ids() {
            self.drive_server(id, mixer::Input::Tick);
        }
    }

    fn handle(&mut self, what: What) {
        match what {
            What::ToCoordinator(input) => self.drive_coordinator(input),
            What::ToServer(id, input) => self.drive_server(id, input),
            What::Submit { round, client } => self.submit(round, client),
        }
    }

    fn drive_server(&mut self, id: ServerId, input: mixer::Input) {
        for output in self.mixers[usize::from(id.0)].handle(self.now_ms, input) {
            match output {
                mixer::Output::Send { to, message, .. } => self.deliver(Party::Server(id), to, &message),
                mixer::Output::Run(job) => {
                    let done = job.run();
                    self.schedule(JOB_MS, What::ToServer(id, mixer::Input::Done(done)));
                }
                mixer::Output::Peers(_) => {}
                mixer::Output::Notice(notice) => self.notices.push((id, notice)),
            }
        }
    }

    fn deliver(&mut self, from: Party, to: Party, message: &Message) {
        for message in self.adversary.intercept(from, to, message) {
            self.delivered.push((from, to, message.clone()));
            let what = match (from, to) {
                (Party::Server(from), Party::Coordinator) => {
                    What::ToCoordinator(coordinator::Input::Message { from, message })
                }
                (from, Party::Server(to)) => What::ToServer(to, mixer::Input::Message { from, message }),
                (Party::Coordinator, Party::Coordinator) => continue,
            };
            let jitter = below(JITTER_MS, &mut self.rng);
            self.schedule(LINK_MS + u64::from(jitter), what);
        }
    }

    fn drive_coordinator(&mut self, input: coordinator::Input) {
        for output in self.coordinator.handle(self.now_ms, input) {
            match output {
                coordinator::Output::Send { to, message, .. } => {
                    self.deliver(Party::Coordinator, Party::Server(to), &message);
                }
                coordinator::Output::Announced(round) => {
                    if let (Some((epoch, _)), Some(digest)) =
                        (self.coordinator.epoch(), self.coordinator.descriptor_digest(round))
                    {
                        self.adversary.announced(round, &digest, epoch);
                    }
                    let window = self.coordinator.epoch().map_or(0, |(epoch, _)| epoch.window_start_ms(round));
                    let wait = window.saturating_sub(self.now_ms) + LINK_MS;
                    (0..self.clients.len()).for_each(|client| self.schedule(wait, What::Submit { round, client }));
                }
                coordinator::Output::Delivered(round) => self.hand_out(round, true),
                coordinator::Output::Failed { round, .. } => self.hand_out(round, false),
                coordinator::Output::Peers(_) => {}
                coordinator::Output::Notice(notice) => self.coordinator_notices.push(notice),
            }
        }
    }

    /// One client's submission, through the same checks that the real one passes.
    fn submit(&mut self, round: Round, index: usize) {
        let Some((epoch, _)) = self.coordinator.epoch() else { return };
        let client = &mut self.clients[index];
        let participant = client.participant.get_or_insert_with(|| {
            Participant::new(&self.directory, epoch, copy_key(&client.key)).expect("every client is registered")
        });
        let Some(view) = self.coordinator.view(round, participant.chain()) else { return };
        let view = view.verify(&self.directory, epoch, participant.chain()).expect("all servers have signed");
        let once = client.marks.claim(Act::Submit, round).expect("a round is announced once");
        let accesses = client.behaviour.accesses(round);
        let (records, pending) = participant.compose(&view, once, &accesses, &mut self.rng);
        let chains = self.directory.params().chains;
        let author = Author::Client(participant.client());
        let composer = Composer { view: &view, chains, author, key: &client.key };
        let forged = client.behaviour.forge(&composer, &mut self.rng);
        let records = forged.map_or(records, |submission| submission.encode());
        client.pending.insert(round, pending);
        let admitted = self
            .coordinator
            .gatekeeper(round, participant.chain())
            .and_then(|gatekeeper| gatekeeper.admit(&records))
            .expect("every author of the simulation signs what it submits");
        self.coordinator.submit(self.now_ms, round, admitted).expect("collection is open");
    }

    fn hand_out(&mut self, round: Round, delivered: bool) {
        for client in &mut self.clients {
            let (Some(pending), Some(participant)) = (client.pending.remove(&round), &client.participant) else {
                continue;
            };
            let replies = delivered.then(|| self.coordinator.replies(round, participant.client())).flatten();
            let opened = replies.and_then(|replies| pending.open(&replies).ok());
            client.behaviour.replies(round, opened);
        }
    }
}

fn found_directory(params: NetworkParams, keys: &[SigningKey]) -> Directory {
    let certificate = |number: u64| Hasher::new("simulated certificate").number(number).finish();
    let servers = keys.iter().enumerate().map(|(index, key)| ServerEntry {
        name: format!("server-{index}"),
        key: key.public(),
        certificate: certificate(index as u64 + 1),
    });
    let draft = DirectoryDraft { params, servers: servers.collect(), coordinator: certificate(0) };
    let signatures: Vec<_> = keys.iter().map(|key| draft.sign(key)).collect();
    draft.verify(&signatures).expect("parameters of scenarios are possible and all servers sign")
}

/// The simulation owns all keys; a machine owns its own.
fn copy_key(key: &SigningKey) -> SigningKey {
    SigningKey::from_seed(&key.expose_seed())
}
