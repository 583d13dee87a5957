//! What feeds the machine, and carries out what it wants done.

use std::{
    fs,
    future::{Future, pending},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hippodrome_core::{
    coordinator::{Coordinator, CoordinatorState, Finding, Input, Output},
    directory::Directory,
    evidence::{Case, Verdict},
    ids::{ChainId, Party, RosterId, Round, ServerId},
    marks::Marks,
    message::Message,
};
use hippodrome_proto::{
    gateway::RoundEvent,
    tls::{Fingerprint, Pins},
    transport::{BindError, Limits, Listener, Peers, bind},
};
use hippodrome_store::{
    address_file, epoch_file, evidence_file::EvidenceDir, file::WriteError, key_file::CoordinatorKeys, marks::MarkFile,
    network_file::NetworkFile, registry_file,
};
use hippodrome_telemetry::{Endpoint, register_links, register_process, registry::Registry};
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc, watch},
    time::sleep,
};

use crate::{CoordinatorConfig, CoordinatorError, SELF, gateway::Desk, metrics::Metrics};

/// Messages of servers that wait for the machine; when there are more, their senders wait.
const INBOX: usize = 256;
/// Events that a client may fall behind before its stream is ended: more than two for every round that is kept.
const EVENTS: usize = 64;
/// How often the port of the last start is tried, and the pause between.
const TAKE_AGAIN: usize = 10;
const TAKE_AGAIN_PAUSE: Duration = Duration::from_millis(50);
/// Longest time that the machine is left without a look at the clock, which may be set.
const LONGEST_WAIT_MS: u64 = 1000;

/// Runs a coordinator until `shutdown` is done; then it stops listening, ends open streams and returns.
pub async fn run(config: CoordinatorConfig, shutdown: impl Future<Output = ()> + Send) -> Result<(), CoordinatorError> {
    let file = NetworkFile::load(&config.network)?;
    let directory = Arc::new(hippodrome_store::network_file::Network::load(&config.network)?.directory);
    let keys = CoordinatorKeys::load(&config.key)?;
    check_pinned(&config, &directory, &keys)?;
    let registry = registry_file::load(&config.registry)?.into_iter().map(|registrant| registrant.key).collect();
    let marks = Marks::new(Box::new(MarkFile::open(&config.state_dir)?));
    let machine = match epoch_file::load(&config.state_dir)? {
        Some(state) => {
            let refused = |source| CoordinatorError::Restore { path: config.state_dir.clone(), source };
            Coordinator::restore(Arc::clone(&directory), registry, marks, state).map_err(refused)?
        }
        None => Coordinator::new(Arc::clone(&directory), registry, marks),
    };
    let tcp = listen(&config).await?;
    if let Ok(address) = tcp.local_addr() {
        tracing::info!(network = %directory.id(), %address, "the coordinator listens");
        let written = config.address_file.as_deref().map_or(Ok(()), |path| address_file::write(path, address));
        written.map_err(CoordinatorError::AddressFile)?;
    }

    let metrics_tcp = match &config.metrics {
        Some(address) => Some(bind(address).await.map_err(CoordinatorError::Metrics)?),
        None => None,
    };

    let certificate = Arc::new(keys.into_certificate());
    let pins = servers(&directory).map(|(party, pinned)| (pinned, party)).collect::<Pins>();
    let peers = Peers::new(&certificate, servers(&directory))?;
    let (messages, inbox) = mpsc::channel(INBOX);
    let (stop, stopping) = watch::channel(false);
    let traffic = peers.traffic();
    let mut counters = hippodrome_telemetry::registry();
    let metrics = Metrics::new(machine.status(), &mut counters);
    register_links(&mut counters, Arc::clone(&traffic));
    register_process(&mut counters);
    let _endpoint = metrics_tcp.map(|tcp| open_metrics(tcp, counters)).transpose()?;
    // The machine has one inquiry made for each server at a time.
    let (findings, found) = mpsc::channel(directory.servers().len());
    let shell = Arc::new(Shell::new(directory, machine, metrics, peers, findings, config.state_dir));
    let desk = Desk::new(Arc::clone(&shell), file.to_text().into_bytes(), stopping.clone());
    let limits = Limits { max_body_bytes: largest_body(&shell.directory), ..Limits::default() };
    let listener = Listener::new(tcp, certificate, pins, limits, messages);
    let listener = listener.with_traffic(traffic).with_gateway(Arc::new(desk));

    let serving = listener.serve(until(stopping.clone()));
    let turning = async {
        shell.turn(inbox, found, stopping).await;
        pending().await
    };
    let stopping = async {
        shutdown.await;
        tracing::info!("stopping");
        stop.send_replace(true);
        pending().await
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = turning => Ok(()),
        () = stopping => Ok(()),
    }
}

/// Listens. Where any port will do, the one of the last start is taken again if it is free: that is where clients and
/// servers look.
async fn listen(config: &CoordinatorConfig) -> Result<TcpListener, BindError> {
    if let Some(earlier) = earlier_address(config) {
        // A process that was killed a moment ago may not have let go of its port yet.
        for _ in 0..TAKE_AGAIN {
            match bind(&earlier).await {
                Ok(tcp) => return Ok(tcp),
                Err(BindError::InUse { .. }) => sleep(TAKE_AGAIN_PAUSE).await,
                Err(_) => break,
            }
        }
        tracing::warn!(address = earlier, "the port of the last start is in use: clients must be told of another");
    }
    bind(&config.listen).await
}

/// The address to listen on with the port of the last start; none if there was no last start, or a port is asked for.
fn earlier_address(config: &CoordinatorConfig) -> Option<String> {
    let host = config.listen.strip_suffix(":0")?;
    let earlier = fs::read_to_string(config.address_file.as_deref()?).ok()?;
    let port: u16 = earlier.trim().rsplit_once(':')?.1.parse().ok()?;
    Some(format!("{host}:{port}"))
}

/// Answers with what the coordinator counts.
fn open_metrics(tcp: TcpListener, counters: Registry) -> Result<Endpoint, CoordinatorError> {
    let endpoint = Endpoint::open(tcp, counters).map_err(CoordinatorError::MetricsAddress)?;
    tracing::info!(address = %endpoint.address(), "metrics are fetched here");
    Ok(endpoint)
}

fn check_pinned(
    config: &CoordinatorConfig,
    directory: &Directory,
    keys: &CoordinatorKeys,
) -> Result<(), CoordinatorError> {
    let got = keys.fingerprint();
    match directory.certificate(SELF).copied().map(Fingerprint::from) {
        Some(pinned) if pinned != got => Err(CoordinatorError::NotPinned { path: config.key.clone(), got, pinned }),
        _ => Ok(()),
    }
}

fn servers(directory: &Directory) -> impl Iterator<Item = (Party, Fingerprint)> {
    directory.server_ids().zip(directory.servers()).map(|(id, entry)| (Party::Server(id), entry.certificate.into()))
}

/// The replies to a full chain, or a server's noise for it.
fn largest_body(directory: &Directory) -> usize {
    let (params, sizes) = (directory.params(), directory.params().sizes());
    params.max_batch as usize * sizes.submission.max(sizes.reply_record)
}

pub(crate) async fn until(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the node.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The machine with its ways out.
pub(crate) struct Shell {
    pub(crate) directory: Arc<Directory>,
    machine: Mutex<Coordinator>,
    metrics: Mutex<Metrics>,
    peers: Peers,
    /// What inquiries come to.
    findings: mpsc::Sender<Box<Finding>>,
    state_dir: PathBuf,
    /// What the disk would not take.
    unkept: Mutex<Option<Box<CoordinatorState>>>,
    /// The roster that the disk holds.
    kept: Mutex<RosterId>,
    /// One for each input chain.
    events: Vec<broadcast::Sender<RoundEvent>>,
}

impl Shell {
    fn new(
        directory: Arc<Directory>,
        machine: Coordinator,
        metrics: Metrics,
        peers: Peers,
        findings: mpsc::Sender<Box<Finding>>,
        state_dir: PathBuf,
    ) -> Self {
        let events = (0..directory.params().chains).map(|_| broadcast::Sender::new(EVENTS)).collect();
        // A machine that is not fed yet knows what was on the disk.
        let kept = machine.roster().map_or(RosterId { epoch: 0, amendment: 0 }, |roster| roster.id());
        metrics.hold_evidence(EvidenceDir::of(&state_dir).against_servers());
        let (machine, metrics) = (Mutex::new(machine), Mutex::new(metrics));
        let (unkept, kept) = (Mutex::new(None), Mutex::new(kept));
        Self { directory, machine, metrics, peers, findings, state_dir, unkept, kept, events }
    }

    /// The roster that a restart would go on with: clients are told of no later one.
    pub(crate) fn kept(&self) -> RosterId {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine. It is held for moments only: signatures are checked and messages encoded without it.
    pub(crate) fn machine(&self) -> MutexGuard<'_, Coordinator> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feeds the machine until the node stops. Nobody else gives it an input, so what it sends goes out in order.
    async fn turn(
        &self,
        mut inbox: mpsc::Receiver<(Party, Message)>,
        mut found: mpsc::Receiver<Box<Finding>>,
        stopping: watch::Receiver<bool>,
    ) {
        let stopped = until(stopping);
        tokio::pin!(stopped);
        // Messages handled since a tick fell due: whatever waited then was among them.
        let mut overdue = 0;
        loop {
            let now = now_ms();
            let due_ms = self.machine().next_tick_ms(now);
            overdue = if due_ms <= now { overdue + 1 } else { 0 };
            let wait = due_ms.saturating_sub(now).clamp(1, LONGEST_WAIT_MS);
            // Nobody is judged while its word waits here; nor does whoever sends much put that off.
            let input = tokio::select! {
                biased;
                () = &mut stopped => return,
                () = std::future::ready(()), if overdue > INBOX => {
                    overdue = 0;
                    Input::Tick
                }
                Some(finding) = found.recv() => Input::Judged(finding),
                message = inbox.recv() => match message {
                    Some((Party::Server(from), message)) => Input::Message { from, message },
                    Some((Party::Coordinator, _)) => continue,
                    None => return,
                },
                () = sleep(Duration::from_millis(wait)) => Input::Tick,
            };
            self.handle(input);
        }
    }

    fn handle(&self, input: Input) {
        let mut machine = self.machine();
        let outputs = machine.handle(now_ms(), input);
        self.metrics().observe(&outputs, &machine);
        // Clients that subscribe see either the machine before these events, and then them, or after.
        outputs.iter().for_each(|output| self.tell_clients(&machine, output));
        drop(machine);
        for output in outputs.into_iter().filter_map(|output| self.inquire(output)) {
            match self.keep(output) {
                Ok(output) => output.into_iter().for_each(|output| self.carry_out(output)),
                Err(error) => tracing::error!(%error, "the epoch cannot be kept: nothing goes out until it is"),
            }
        }
    }

    /// Begins an inquiry, whatever the disk does: the machine waits for what it comes to. Gives back all else.
    fn inquire(&self, output: Output) -> Option<Output> {
        let Output::Judge(inquiry) = output else { return Some(output) };
        let findings = self.findings.clone();
        // An error means that the node has stopped.
        tokio::task::spawn_blocking(move || findings.blocking_send(Box::new(inquiry.run())));
        None
    }

    /// Gives back what is to be carried out now. All that comes after a state depends on it: until the state is on the
    /// disk, it is tried again, and all else is dropped; the machine says it again where it matters.
    fn keep(&self, output: Output) -> Result<Option<Output>, WriteError> {
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        let output = match output {
            Output::Keep(state) => {
                *unkept = Some(state);
                None
            }
            other => Some(other),
        };
        if let Some(state) = &*unkept {
            epoch_file::save(&self.state_dir, state)?;
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = state.roster_id();
            *unkept = None;
        }
        Ok(output)
    }

    fn tell_clients(&self, machine: &Coordinator, output: &Output) {
        for (chain, events) in (0..).map(ChainId).zip(&self.events) {
            let event = match output {
                Output::Announced(round) => announced(machine, *round, chain),
                Output::Delivered(round) => Some(RoundEvent::Delivered(*round)),
                Output::Failed { round, reason } => Some(RoundEvent::Failed { round: *round, reason: reason.clone() }),
                _ => None,
            };
            // An error means that nobody listens.
            let _ = event.map(|event| events.send(event));
        }
    }

    fn carry_out(&self, output: Output) {
        match output {
            Output::Keep(_) | Output::Judge(_) => {}
            Output::Send { to, message, until_ms } => self.send(to, &message, until_ms),
            Output::Peers(addresses) => {
                for (id, address) in self.directory.server_ids().zip(addresses) {
                    if !address.is_empty() {
                        self.peers.set_address(Party::Server(id), address);
                    }
                }
            }
            Output::Evidence(case, verdict) => self.keep_evidence(&case, &verdict),
            Output::Announced(round) => tracing::debug!(round = round.0, "announced"),
            Output::Delivered(round) => tracing::info!(round = round.0, "delivered"),
            Output::Failed { round, reason } => tracing::warn!(round = round.0, reason, "failed"),
            Output::Notice(notice) => tracing::info!("{notice}"),
        }
    }

    fn keep_evidence(&self, case: &Case, verdict: &Verdict) {
        let (round, evidence) = (case.round.0, EvidenceDir::of(&self.state_dir));
        match evidence.keep(case, verdict.guilty()) {
            Ok(file) => tracing::info!(round, file = %file.display(), "evidence is kept"),
            Err(error) => tracing::error!(round, %verdict, %error, "evidence cannot be kept"),
        }
        self.metrics().hold_evidence(evidence.against_servers());
    }

    fn metrics(&self) -> MutexGuard<'_, Metrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files of evidence against servers.
    pub(crate) fn evidence_held(&self) -> u64 {
        self.metrics().evidence_held()
    }

    fn send(&self, to: ServerId, message: &Arc<Message>, until_ms: u64) {
        let give_up = Instant::now() + Duration::from_millis(until_ms.saturating_sub(now_ms()));
        if let Err(error) = self.peers.send(Party::Server(to), message, give_up) {
            tracing::warn!(%error, "a message was not sent");
        }
    }

    /// Events of a chain from now on, and before them the rounds that are open; none if there is no such chain.
    pub(crate) fn subscribe(&self, chain: ChainId) -> Option<(Vec<RoundEvent>, broadcast::Receiver<RoundEvent>)> {
        let machine = self.machine();
        let live = self.events.get(usize::from(chain.0))?.subscribe();
        let open = machine.open_rounds(now_ms());
        Some((open.into_iter().filter_map(|round| announced(&machine, round, chain)).collect(), live))
    }
}

/// A round's keys for the clients of a chain; if it is closed, they have to know that they are another chain's.
fn announced(machine: &Coordinator, round: Round, chain: ChainId) -> Option<RoundEvent> {
    match machine.view(round, chain) {
        Some(view) => Some(RoundEvent::Announced(Arc::new(view))),
        None => machine.roster_of(round).map(|roster| RoundEvent::Closed { round, roster: roster.id() }),
    }
}
