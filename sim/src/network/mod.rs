//! The network: real machines, the links between them, and the faults that they meet.

mod clock;
mod disk;
mod drive;
mod faults;
mod gateway;
mod links;
mod seat;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hippodrome_core::{
    coordinator::{self, Coordinator, CoordinatorState},
    descriptor::RoundView,
    directory::{Directory, DirectoryDraft, ServerEntry},
    evidence::{Case, Verdict},
    ids::{ChainId, Party, Round, ServerId},
    message::Message,
    mixer::{self, MailboxCounts, Mixer, Notice},
    params::NetworkParams,
    participant::NotIncluded,
    roster::Roster,
};
use hippodrome_crypto::{
    hash::Hasher,
    signing::{PublicKey, SigningKey},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::Rng;

pub(crate) use self::disk::Disk;
use self::{
    clock::{Agenda, Skew},
    gateway::{Heard, Request},
    links::Links,
    seat::Seat,
};
pub use self::{faults::Fault, links::LinkQuality};
use crate::{
    adversary::twin::Twin,
    adversary::{Adversary, Passive},
    client::{Behaviour, Sight},
};

/// A party of the simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// The coordinator.
    Coordinator,
    /// A mix server.
    Server(ServerId),
    /// A client, by its place in the list of clients.
    Client(usize),
}

impl Node {
    fn number(self) -> u64 {
        match self {
            Self::Coordinator => 0,
            Self::Server(id) => 1 << 24 | u64::from(id.0),
            Self::Client(index) => 2 << 24 | index as u64,
        }
    }
}

impl From<Party> for Node {
    fn from(party: Party) -> Self {
        match party {
            Party::Coordinator => Self::Coordinator,
            Party::Server(id) => Self::Server(id),
        }
    }
}

/// How a party fares.
#[derive(Default)]
struct Condition {
    is_down: bool,
    is_frozen: bool,
    /// Milliseconds that everything it does takes longer.
    slow_ms: u64,
    skew: Skew,
    /// Counts its processes: what belongs to an earlier one is gone.
    life: u32,
    /// What came while it was frozen.
    stalled: Vec<What>,
    /// When it last looked at the clock without cause.
    ticked_ms: u64,
}

/// Watches what happens, for instance for what must never happen. Nothing that it does changes the run.
pub trait Watcher {
    /// A machine sent a message, before any adversary saw it.
    fn sent(&mut self, now_ms: u64, from: Party, to: Party, message: &Message) {
        let _ = (now_ms, from, to, message);
    }

    /// A message reached a machine.
    fn arrived(&mut self, now_ms: u64, from: Party, to: Party, message: &Message) {
        let _ = (now_ms, from, to, message);
    }

    /// A round was announced, to be held by these.
    fn announced(&mut self, round: Round, roster: &Roster) {
        let _ = (round, roster);
    }

    /// A server saw mailboxes at the end of a chain of the last layer, as a bad one would.
    fn saw(&mut self, counts: MailboxCounts) {
        let _ = counts;
    }

    /// A server was restarted, and has forgotten all but its marks.
    fn restarted(&mut self, server: ServerId) {
        let _ = server;
    }

    /// A server told its operator something.
    fn noticed(&mut self, server: ServerId, notice: &Notice) {
        let _ = (server, notice);
    }

    /// A server gave its operator evidence, by which it has come to a verdict.
    fn judged(&mut self, server: ServerId, directory: &Arc<Directory>, case: &Case, verdict: &Verdict) {
        let _ = (server, directory, case, verdict);
    }
}

/// A watcher that looks away.
struct Nobody;

impl Watcher for Nobody {}

/// A simulated network.
pub struct Network {
    now_ms: u64,
    agenda: Agenda<What>,
    links: Links,
    conditions: BTreeMap<Node, Condition>,
    directory: Arc<Directory>,
    registry: Vec<PublicKey>,
    coordinator: Coordinator,
    coordinator_disk: Disk,
    /// What the coordinator has kept.
    coordinator_state: Option<CoordinatorState>,
    mixers: Vec<Mixer>,
    /// Who pledges other noise than it sends.
    twins: BTreeMap<ServerId, Twin>,
    server_keys: Vec<SigningKey>,
    server_disks: Vec<Disk>,
    seats: Vec<Seat>,
    views: BTreeMap<(Round, ChainId), Arc<RoundView>>,
    adversary: Box<dyn Adversary>,
    watcher: Box<dyn Watcher>,
    rng: ChaCha20Rng,
    records: bool,
    /// That of the last round announced.
    newest_roster: Option<Arc<Roster>>,
    redrawn_ms: Option<u64>,
    completed: BTreeSet<Round>,
    failed: BTreeMap<Round, String>,
    /// What servers told their operators, with the server.
    pub notices: Vec<(ServerId, Notice)>,
    /// Evidence that servers gave to their operators, with the server.
    pub cases: Vec<(ServerId, Case)>,
    /// What the coordinator told its operator.
    pub coordinator_notices: Vec<String>,
    /// What was put on its way, in order, after any adversary; see [`Network::keep_no_record`].
    pub delivered: Vec<(Party, Party, Message)>,
}

/// Something that happens at its time.
enum What {
    Arrive(Envelope),
    Done { server: ServerId, life: u32, done: Box<mixer::JobDone> },
    Judged { life: u32, finding: Box<coordinator::Finding> },
    Greet { server: ServerId, life: u32 },
    Hear { client: usize, life: u32, heard: Heard },
    Submit { client: usize, life: u32, round: Round },
    Ask { client: usize, life: u32, round: Round },
    AtGateway { client: usize, life: u32, request: Request, attempt: u32 },
    Fault(Fault),
}

/// A message on its way between machines.
struct Envelope {
    from: Party,
    to: Party,
    message: Arc<Message>,
    until_ms: u64,
    /// The sender's process: when it is gone, nobody tries again.
    life: u32,
    attempt: u32,
}

/// Simulated milliseconds that a job takes.
const JOB_MS: u64 = 3;
/// Milliseconds from one hello of a server to the next.
const GREETING_MS: u64 = 1000;
/// Start of the simulated time, milliseconds since 1970: late enough for a clock that is an hour behind.
const START_MS: u64 = 1_700_000_000_000;
/// Simulated milliseconds after the last round of [`Network::run`]: clients fetch their replies.
const FETCH_MS: u64 = 100;

impl Network {
    /// A network of `servers` servers whose clients behave as given.
    pub fn new(params: NetworkParams, servers: usize, clients: Vec<Box<dyn Behaviour>>, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let server_keys: Vec<SigningKey> = (0..servers).map(|_| SigningKey::generate(&mut rng)).collect();
        let directory = Arc::new(found_directory(params, &server_keys));
        let server_disks: Vec<Disk> = (0..servers).map(|_| Disk::default()).collect();
        let seats: Vec<Seat> = clients.into_iter().map(|behaviour| new_seat(behaviour, &mut rng)).collect();
        let registry: Vec<PublicKey> = seats.iter().map(|seat| seat.key.public()).collect();
        let coordinator_disk = Disk::default();
        let coordinator = Coordinator::new(Arc::clone(&directory), registry.clone(), coordinator_disk.marks());
        let mut network = Self {
            now_ms: START_MS,
            agenda: Agenda::new(),
            links: Links::new(seed),
            conditions: BTreeMap::new(),
            directory,
            registry,
            coordinator,
            coordinator_disk,
            coordinator_state: None,
            mixers: Vec::new(),
            twins: BTreeMap::new(),
            server_keys,
            server_disks,
            seats,
            views: BTreeMap::new(),
            adversary: Box::new(Passive),
            watcher: Box::new(Nobody),
            rng,
            records: true,
            newest_roster: None,
            redrawn_ms: None,
            completed: BTreeSet::new(),
            failed: BTreeMap::new(),
            notices: Vec::new(),
            cases: Vec::new(),
            coordinator_notices: Vec::new(),
            delivered: Vec::new(),
        };
        let clients = (0..network.seats.len()).map(Node::Client);
        let servers = network.directory.server_ids().map(Node::Server);
        let nodes: Vec<Node> = [Node::Coordinator].into_iter().chain(servers).chain(clients).collect();
        network.conditions = nodes.into_iter().map(|node| (node, Condition::default())).collect();
        for id in network.directory.clone().server_ids() {
            let mixer = network.new_mixer(id);
            network.mixers.push(mixer);
            network.greet(id);
        }
        network
    }

    /// Puts an adversary between the machines.
    pub fn set_adversary(&mut self, adversary: impl Adversary + 'static) {
        self.adversary = Box::new(adversary);
    }

    /// Has a server pledge the noise of its twin.
    pub fn set_twin(&mut self, server: ServerId, twin: Twin) {
        self.twins.insert(server, twin);
    }

    /// Has somebody watch.
    pub fn set_watcher(&mut self, watcher: impl Watcher + 'static) {
        self.watcher = Box::new(watcher);
    }

    /// Keeps neither messages nor notices, so that a long run needs no more memory than a short one.
    pub fn keep_no_record(&mut self) {
        self.records = false;
    }

    /// The simulated time, milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The network's directory.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// How many servers there are.
    pub fn servers(&self) -> u16 {
        self.directory.servers().len() as u16
    }

    /// The coordinator; while it is down, as it was.
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// The signing key of a server, for adversaries that own it.
    pub fn server_key(&self, id: ServerId) -> &SigningKey {
        &self.server_keys[usize::from(id.0)]
    }

    /// Who takes part in the last round that was announced; nobody before the first.
    pub fn newest_roster(&self) -> Option<&Arc<Roster>> {
        self.newest_roster.as_ref()
    }

    /// When the second epoch begins, once a round of it was announced.
    pub fn redrawn_ms(&self) -> Option<u64> {
        self.redrawn_ms
    }

    /// Rounds whose replies were handed out.
    pub fn completed(&self) -> &BTreeSet<Round> {
        &self.completed
    }

    /// Rounds that were announced and ended without replies, with the reason.
    pub fn failed(&self) -> &BTreeMap<Round, String> {
        &self.failed
    }

    /// Rounds with replies of which nobody could show a client that its submissions were let in.
    pub fn not_included(&self, client: usize) -> &[(Round, NotIncluded)] {
        &self.seats[client].not_included
    }

    /// What was to be seen on a client's line.
    pub fn sights(&self, client: usize) -> &[Sight] {
        &self.seats[client].sights
    }

    /// Has a server receive a message, out of turn.
    pub fn inject(&mut self, to: ServerId, from: Party, message: Message) {
        let message = Arc::new(message);
        let life = self.life(from.into());
        let envelope = Envelope { from, to: Party::Server(to), message, until_ms: u64::MAX, life, attempt: 0 };
        self.agenda.add(self.now_ms, What::Arrive(envelope));
    }

    /// Runs until `rounds` rounds have been completed or have failed, or `limit_ms` of simulated time have passed.
    pub fn run(&mut self, rounds: u64, limit_ms: u64) {
        let end = self.now_ms + limit_ms;
        while self.now_ms < end {
            let status = self.coordinator.status();
            if status.rounds_completed + status.rounds_failed >= rounds {
                return self.run_for(FETCH_MS);
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

    fn condition(&self, node: Node) -> &Condition {
        &self.conditions[&node]
    }

    fn condition_mut(&mut self, node: Node) -> &mut Condition {
        self.conditions.get_mut(&node).expect("every party has a condition")
    }

    fn life(&self, node: Node) -> u32 {
        self.condition(node).life
    }

    /// The time by a party's own clock.
    fn clock_of(&self, node: Node) -> u64 {
        self.condition(node).skew.local(self.now_ms)
    }

    /// Adds something after a while, which is longer for a slow party.
    fn schedule(&mut self, node: Node, after_ms: u64, what: What) {
        let slow_ms = self.condition(node).slow_ms;
        self.agenda.add(self.now_ms + after_ms + slow_ms, what);
    }

    fn new_mixer(&mut self, id: ServerId) -> Mixer {
        let index = usize::from(id.0);
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let key = copy_key(&self.server_keys[index]);
        Mixer::new(Arc::clone(&self.directory), key, self.server_disks[index].marks(), seed)
            .expect("the directory holds the key")
    }

    fn new_coordinator(&self) -> Coordinator {
        let (directory, registry) = (Arc::clone(&self.directory), self.registry.clone());
        let marks = self.coordinator_disk.marks();
        match self.coordinator_state.clone() {
            Some(state) => Coordinator::restore(directory, registry, marks, state).expect("it was a coordinator's"),
            None => Coordinator::new(directory, registry, marks),
        }
    }
}

fn new_seat(behaviour: Box<dyn Behaviour>, rng: &mut ChaCha20Rng) -> Seat {
    let key = SigningKey::generate(rng);
    // Of its own, so that what a client says changes nobody else's randomness.
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    Seat::new(key, behaviour, ChaCha20Rng::from_seed(seed))
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
