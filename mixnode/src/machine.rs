//! The thread that runs the machine: waits for a message, a result or the time, and does what the machine says.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use hippodrome_core::{
    evidence::{Case, Verdict},
    ids::{ChainId, Layer, Party, Place, RosterId, Round, ServerId, Stage},
    message::{Hello, Message},
    mixer::{Input, Mixer, Notice, Output},
};
use hippodrome_proto::transport::Peers;
use hippodrome_store::evidence_file::EvidenceDir;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
    time::{sleep, timeout_at},
};

use crate::{
    clock::{instant_of, now_ms},
    greeting::{Due, Greeting, HEARTBEAT_MS},
    ledger::{Ledger, Spell},
    metrics::{Metrics, kind},
    pool::{Finished, Pool},
};

/// The longest wait for anything: even an idle server looks at its clock this often, and erases what is out of date.
const IDLE_MS: u64 = 1_000;
/// The shortest wait: a machine that always wants time to pass does not keep messages from coming in.
const LEAST_MS: u64 = 1;
/// How long jobs that run may go on after the node was told to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// Everything that the machine's thread has.
pub(crate) struct Machine {
    pub(crate) mixer: Mixer,
    pub(crate) peers: Peers,
    pub(crate) pool: Pool,
    pub(crate) inbox: Inbox,
    pub(crate) greeting: Greeting,
    pub(crate) metrics: Metrics,
    pub(crate) evidence: EvidenceDir,
    pub(crate) ledger: Option<Ledger>,
    /// Where peers reach this server.
    pub(crate) advertised: String,
    /// Where the coordinator is, for the log.
    pub(crate) coordinator: String,
}

/// What a machine waits for.
pub(crate) struct Inbox {
    pub(crate) messages: mpsc::Receiver<(Party, Message)>,
    pub(crate) results: mpsc::UnboundedReceiver<Finished>,
    /// Ends, with or without a word, when the node is to stop.
    pub(crate) stop: oneshot::Receiver<()>,
}

impl Inbox {
    /// What happens next, with when the job ran if one has ended; none when the node is to stop. Results go first: they free memory, and the rounds that they
    /// belong to are the oldest.
    async fn next(&mut self, wait: Duration) -> Option<(Input, Option<Spell>)> {
        tokio::select! {
            biased;
            _ = &mut self.stop => None,
            Some(Finished { done, spell }) = self.results.recv() => Some((Input::Done(done), Some(spell))),
            Some((from, message)) = self.messages.recv() => Some((Input::Message { from, message }, None)),
            () = sleep(wait) => Some((Input::Tick, None)),
        }
    }
}

impl Machine {
    /// Runs until it is told to stop; jobs that run may end first, if that is soon.
    pub(crate) fn run(self, waiting: &Runtime) {
        let Self { mixer, peers, pool, mut inbox, greeting, metrics, evidence, ledger, advertised, coordinator } = self;
        let pool = Some(pool);
        metrics.hold_evidence(evidence.against_servers());
        let jobs_running = 0;
        let mut driver =
            Driver { mixer, peers, pool, greeting, metrics, evidence, ledger, advertised, coordinator, jobs_running };
        loop {
            driver.greet(now_ms());
            if driver.tick_in_ms(now_ms()) == 0 {
                driver.handle(Input::Tick);
            }
            let wait = Duration::from_millis(driver.tick_in_ms(now_ms()).max(LEAST_MS));
            match waiting.block_on(inbox.next(wait)) {
                Some((input, spell)) => driver.take_in(input, spell.as_ref()),
                None => break,
            }
        }
        driver.drain(inbox, waiting);
    }
}

/// A runtime for the machine's thread, which only waits on it.
pub(crate) fn waiting_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_time().build()
}

/// Does what the machine says.
struct Driver {
    mixer: Mixer,
    peers: Peers,
    /// None once the node is stopping: no job begins any more.
    pool: Option<Pool>,
    greeting: Greeting,
    metrics: Metrics,
    evidence: EvidenceDir,
    ledger: Option<Ledger>,
    advertised: String,
    coordinator: String,
    jobs_running: usize,
}

impl Driver {
    fn tick_in_ms(&self, now_ms: u64) -> u64 {
        self.mixer.next_tick_ms().map_or(IDLE_MS, |tick| tick.saturating_sub(now_ms).min(IDLE_MS))
    }

    /// Writes down what it costs, and hands it to the machine.
    fn take_in(&mut self, input: Input, spell: Option<&Spell>) {
        if let Some(ledger) = &mut self.ledger {
            spell.iter().for_each(|spell| ledger.job(spell));
            if let Input::Message { message, .. } = &input {
                ledger.received(message);
            }
        }
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        let now_ms = now_ms();
        match &input {
            Input::Message { from: Party::Coordinator, .. } => self.greeting.on_word(now_ms),
            Input::Done(_) => self.jobs_running = self.jobs_running.saturating_sub(1),
            Input::Message { .. } | Input::Tick => {}
        }
        for output in self.mixer.handle(now_ms, input) {
            self.metrics.observe(&output);
            self.perform(output, now_ms);
        }
    }

    fn perform(&mut self, output: Output, now_ms: u64) {
        match output {
            Output::Send { to, message, until_ms } => self.send(to, &message, instant_of(until_ms, now_ms)),
            Output::Run(job) => {
                if let Some(pool) = &self.pool {
                    self.jobs_running += 1;
                    pool.run(job);
                }
            }
            Output::Peers(addresses) => self.set_peers(addresses),
            Output::Evidence(case, verdict) => self.keep_evidence(&case, &verdict),
            Output::Notice(notice) => self.note(&notice),
        }
    }

    fn note(&mut self, notice: &Notice) {
        log(notice);
        if let Notice::RoundOver(round) = notice {
            self.write_down(|ledger| ledger.over(*round));
        }
    }

    fn write_down(&mut self, write: impl FnOnce(&mut Ledger) -> io::Result<()>) {
        if let Some(Err(error)) = self.ledger.as_mut().map(write) {
            tracing::error!(%error, "what rounds cost cannot be written down");
        }
    }

    fn send(&mut self, to: Party, message: &Arc<Message>, give_up: Instant) {
        self.ledger.iter_mut().for_each(|ledger| ledger.sent(message));
        if let Err(error) = self.peers.send(to, message, give_up) {
            tracing::warn!(%to, %error, "a message is dropped");
        }
    }

    fn keep_evidence(&self, case: &Case, verdict: &Verdict) {
        let round = case.round.0;
        match self.evidence.keep(case, verdict.guilty()) {
            Ok(file) => tracing::info!(round, file = %file.display(), "evidence is kept"),
            Err(error) => tracing::error!(round, %verdict, %error, "evidence cannot be kept"),
        }
        self.metrics.hold_evidence(self.evidence.against_servers());
    }

    fn set_peers(&mut self, addresses: Vec<String>) {
        self.greeting.on_peers();
        // The list has this server's own address too, to which there is no link, and none for who is not known yet.
        for (id, address) in (0..).zip(addresses).filter(|(_, address)| !address.is_empty()) {
            self.peers.set_address(Party::Server(ServerId(id)), address);
        }
    }

    fn greet(&mut self, now_ms: u64) {
        let coordinator = &self.coordinator;
        match self.greeting.due(now_ms) {
            None => return,
            Some(Due::Again) => {}
            Some(Due::First) => tracing::info!(coordinator, advertised = self.advertised, "saying hello"),
            Some(Due::Unanswered { waited_ms }) => tracing::info!(
                coordinator,
                waited_s = waited_ms / 1_000,
                "no list of peers yet: the coordinator is not there, or waits for other servers; saying hello again and again"
            ),
            Some(Due::Silent { silent_ms }) => {
                tracing::warn!(
                    coordinator,
                    silent_s = silent_ms / 1_000,
                    "the coordinator is silent; saying hello again and again"
                );
            }
        }
        let hello =
            Arc::new(Message::Hello(Hello { address: self.advertised.clone(), roster: self.mixer.roster_id() }));
        self.send(Party::Coordinator, &hello, instant_of(now_ms + HEARTBEAT_MS, now_ms));
    }

    /// Takes in the results of the jobs that still run; begins none.
    fn drain(mut self, mut inbox: Inbox, waiting: &Runtime) {
        self.pool = None;
        drop(inbox.messages);
        let end = tokio::time::Instant::now() + DRAIN;
        while self.jobs_running > 0 {
            match waiting.block_on(async { timeout_at(end, inbox.results.recv()).await }) {
                Ok(Some(Finished { done, spell })) => self.take_in(Input::Done(done), Some(&spell)),
                _ => break,
            }
        }
        self.write_down(Ledger::close);
    }
}

/// Nothing in a notice is about a user.
fn log(notice: &Notice) {
    match notice {
        Notice::Epoch { number, clients } => tracing::info!(epoch = number, clients, "an epoch has begun"),
        Notice::Amended { roster, active } => {
            let RosterId { epoch, amendment } = roster;
            tracing::info!(epoch, amendment, active, "the epoch is amended");
        }
        Notice::Announced(round) => tracing::debug!(round = round.0, "announced"),
        Notice::RoundOver(round) => tracing::debug!(round = round.0, "over"),
        Notice::NotAudited(round) => tracing::warn!(round = round.0, "not audited: its coin has not fallen"),
        Notice::Aborted { stage, reason } => {
            let Stage { round: Round(round), layer: Layer(layer), chain: ChainId(chain) } = stage;
            tracing::warn!(round, layer, chain, reason = kind(reason), why = %reason, "this server releases nothing more");
        }
        Notice::AbortedBy { server, stage, reason } => {
            let Stage { round: Round(round), layer: Layer(layer), chain: ChainId(chain) } = stage;
            let (server, reason, why) = (server.0, kind(reason), reason.to_string());
            tracing::warn!(round, layer, chain, server, reason, why, "another server releases nothing more");
        }
        Notice::RepliesReplaced { place: Place { stage, position } } => {
            let Stage { round: Round(round), layer: Layer(layer), chain: ChainId(chain) } = stage;
            let position = position.0;
            tracing::warn!(
                round,
                layer,
                chain,
                position,
                "replies were wrong or late, and are replaced by random bytes"
            );
        }
        Notice::Convicted { round, verdict } => tracing::warn!(round = round.0, %verdict, "convicted"),
        Notice::Refused { why } => tracing::warn!(why, "a call of the coordinator is refused"),
        Notice::Ignored { what } => tracing::debug!(what, "ignored"),
    }
}
