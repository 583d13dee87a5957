//! The shell around the machine, with the cheat between the machine and everybody else.

use std::{
    collections::BTreeSet,
    future::pending,
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hippodrome_core::{
    directory::Directory,
    ids::{Party, Round, ServerId},
    marks::Marks,
    message::{Hello, Message},
    mixer::{Input, Job, JobDone, Mixer, Output},
};
use hippodrome_mixnode::MixnodeConfig;
use hippodrome_proto::{
    tls::Fingerprint,
    transport::{Limits, Listener, Peers, bind},
};
use hippodrome_sim::adversary::{
    Adversary, Known, Plotter,
    cheat::{Cheat, OTHER_NOISE},
    twin::Twin,
};
use hippodrome_store::{key_file::ServerKeys, marks::MarkFile, network_file::Network};
use rand::{TryRng, rngs::SysRng};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Interval, interval, sleep},
};

use super::{MutantError, Told, observer::Observer};

/// Messages that wait for the machine.
const INBOX: usize = 64;
/// From one hello to the next: a cheat wants to take part.
const HELLO: Duration = Duration::from_secs(2);
/// The longest time until the machine looks at its clock again, milliseconds.
const IDLE_MS: u64 = 1_000;
/// A round that never comes.
const NEVER: Round = Round(u64::MAX);

/// A mix server that cheats, and where others reach it.
pub(super) struct Shell<F> {
    machine: Machine<F>,
    listener: Listener,
    messages: mpsc::Receiver<(Party, Message)>,
    results: mpsc::UnboundedReceiver<JobDone>,
    hello: Interval,
}

impl<F: FnMut(Told)> Shell<F> {
    pub(super) async fn start(
        config: &MixnodeConfig,
        cheat: Option<&'static Cheat>,
        tell: F,
    ) -> Result<Self, MutantError> {
        let Network { directory, coordinator_address } = Network::load(&config.network)?;
        let directory = Arc::new(directory);
        let keys = ServerKeys::load(&config.key)?;
        let not_listed = || MutantError::NotInDirectory(config.key.clone());
        let me = directory.server_of(&keys.public_entry().key).ok_or_else(not_listed)?;
        let marks = Marks::new(Box::new(MarkFile::open(&config.state_dir)?));
        let mixer = Mixer::new(Arc::clone(&directory), keys.signing_key(), marks, seed()?).map_err(|_| not_listed())?;
        let known = Known::of_server(&directory, me, keys.signing_key());
        let twin = match cheat.is_some_and(|cheat| cheat.name == OTHER_NOISE.name) {
            true => Twin::new(&directory, keys.signing_key(), seed()?),
            false => None,
        };

        let tcp = bind(&config.listen).await?;
        let advertised = match &config.advertise {
            Some(address) => address.clone(),
            None => tcp.local_addr()?.to_string(),
        };
        let certificate = keys.into_certificate();
        let parties: Vec<(Party, Fingerprint)> = others(&directory, me).collect();
        let peers = Peers::new(&certificate, parties.iter().copied())?;
        let coordinator = config.coordinator.clone().or(coordinator_address).ok_or(MutantError::NoCoordinator)?;
        peers.set_address(Party::Coordinator, coordinator);
        let pins = parties.into_iter().map(|(party, fingerprint)| (fingerprint, party)).collect();
        let (incoming, messages) = mpsc::channel(INBOX);
        let listener = Listener::new(tcp, Arc::new(certificate), pins, Limits::default(), incoming);

        let (done, results) = mpsc::unbounded_channel();
        let mut plotter = Plotter::of_server(known, me, cheat, u64::from(me.0));
        plotter.hold_until(NEVER);
        let observer = Observer::new(directory);
        let (told, first, newest) = (BTreeSet::new(), NEVER, Round(0));
        let machine =
            Machine { me, mixer, twin, peers, plotter, first, newest, observer, advertised, told, tell, done };
        Ok(Self { machine, listener, messages, results, hello: interval(HELLO) })
    }

    /// Runs until its listener fails; it cheats from the first round on that it hears of after `begin` is done.
    pub(super) async fn run(self, begin: impl Future<Output = ()>) -> Result<(), MutantError> {
        let Self { mut machine, listener, mut messages, mut results, mut hello } = self;
        let turning = async {
            let mut begin = std::pin::pin!(begin);
            loop {
                let wait = machine.wait();
                tokio::select! {
                    () = &mut begin, if machine.first == NEVER => machine.begin(),
                    Some(done) = results.recv() => machine.handle(Input::Done(done)),
                    Some((from, message)) = messages.recv() => machine.receive(from, message),
                    _ = hello.tick() => machine.say_hello(),
                    () = sleep(wait) => machine.handle(Input::Tick),
                }
            }
        };
        tokio::select! {
            served = listener.serve(pending()) => Ok(served?),
            () = turning => Ok(()),
        }
    }
}

/// The machine and its adversary.
struct Machine<F> {
    me: ServerId,
    mixer: Mixer,
    /// What pledges in its place.
    twin: Option<Twin>,
    peers: Peers,
    plotter: Plotter,
    /// The first round in which it cheats.
    first: Round,
    /// The newest round that it has heard of.
    newest: Round,
    observer: Observer,
    /// Where others reach this server.
    advertised: String,
    /// What was told already.
    told: BTreeSet<(&'static str, Round)>,
    tell: F,
    done: mpsc::UnboundedSender<JobDone>,
}

impl<F: FnMut(Told)> Machine<F> {
    /// How long the machine may wait for something to come.
    fn wait(&self) -> Duration {
        let now_ms = now_ms();
        let wait_ms = self.mixer.next_tick_ms().map_or(IDLE_MS, |tick| tick.saturating_sub(now_ms));
        Duration::from_millis(wait_ms.clamp(1, IDLE_MS))
    }

    /// Cheats from now on. What others have of it in rounds that have begun is honest, and stays so.
    fn begin(&mut self) {
        self.first = self.newest.next();
        self.plotter.hold_until(self.first);
    }

    /// Takes in what the cheat makes of a message.
    fn receive(&mut self, from: Party, message: Message) {
        if from == Party::Coordinator {
            self.newest = self.newest.max(message.round().unwrap_or(Round(0)));
        }
        if from == Party::Coordinator
            && let Some((round, digest, roster)) = self.observer.observe(&message)
        {
            self.plotter.announced(round, &digest, &roster);
        }
        let message = Arc::new(message);
        let changed = self.plotter.intercept(from, Party::Server(self.me), &message);
        self.send_besides();
        match changed {
            None => self.handle(Input::Message { from, message: Arc::unwrap_or_clone(message) }),
            Some(messages) => {
                messages.into_iter().for_each(|message| self.handle(Input::Message { from, message }));
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let now_ms = now_ms();
        let mut swapped = match (&mut self.twin, &input) {
            (Some(twin), Input::Message { from: Party::Coordinator, message })
                if message.round().is_none_or(|round| round >= self.first) =>
            {
                twin.hear(now_ms, message)
            }
            _ => Vec::new(),
        };
        for output in self.mixer.handle(now_ms, input) {
            match output {
                Output::Send { to, message, until_ms } => {
                    self.send(to, message, Instant::now() + Duration::from_millis(until_ms.saturating_sub(now_ms)));
                }
                Output::Run(job) => self.run_job(swapped.pop().unwrap_or(job)),
                Output::Peers(addresses) => (0..).zip(addresses).for_each(|(id, address)| {
                    self.peers.set_address(Party::Server(ServerId(id)), address);
                }),
                Output::Evidence(..) => {}
                Output::Notice(notice) => eprintln!("{notice}"),
            }
        }
    }

    /// Sends what the cheat makes of a message.
    fn send(&mut self, to: Party, message: Arc<Message>, give_up: Instant) {
        match self.plotter.intercept(Party::Server(self.me), to, &message) {
            None => self.post(to, &message, give_up),
            Some(messages) => {
                messages.into_iter().for_each(|message| self.post(to, &Arc::new(message), give_up));
            }
        }
        self.send_besides();
    }

    /// Sends what the cheat wants sent besides, in this server's name: it cannot speak in another's.
    fn send_besides(&mut self) {
        for (from, to, message) in self.plotter.inject() {
            if from == Party::Server(self.me) {
                self.post(to, &Arc::new(message), Instant::now() + Duration::from_millis(IDLE_MS));
            }
        }
        for (cheat, round) in self.plotter.mounted().acts {
            if self.told.insert((cheat, round)) {
                (self.tell)(Told::Mounted(cheat, round));
            }
        }
    }

    fn post(&self, to: Party, message: &Arc<Message>, give_up: Instant) {
        if let Err(error) = self.peers.send(to, message, give_up) {
            eprintln!("{error}");
        }
    }

    fn run_job(&mut self, job: Job) {
        if let Some(counts) = job.mailboxes() {
            (self.tell)(Told::Saw(counts));
        }
        let done = self.done.clone();
        spawn_blocking(move || {
            // Nobody listens any more when the mutant has stopped.
            let _ = done.send(job.run());
        });
    }

    fn say_hello(&self) {
        let hello =
            Arc::new(Message::Hello(Hello { address: self.advertised.clone(), roster: self.mixer.roster_id() }));
        self.post(Party::Coordinator, &hello, Instant::now() + HELLO);
    }
}

fn others(directory: &Directory, me: ServerId) -> impl Iterator<Item = (Party, Fingerprint)> {
    let servers = directory.server_ids().filter(move |id| *id != me).map(Party::Server);
    let parties = std::iter::once(Party::Coordinator).chain(servers);
    parties.filter_map(|party| directory.certificate(party).map(|digest| (party, Fingerprint(*digest))))
}

fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
