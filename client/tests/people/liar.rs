//! A session with a coordinator that the test plays: what is not signed by all servers is refused, whatever it says.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hippodrome_client::{
    idle::Idle,
    session::{Session, SessionError},
    uplink::{Uplink, UplinkError},
    voice::{Notice, Voice, VoiceError},
};
use hippodrome_core::{
    descriptor::{ClientDescriptor, Descriptor, hop_context},
    directory::{Directory, DirectoryDraft},
    epoch::EpochDraft,
    ids::{ChainId, ClientId, Layer, Place, Position, Round, ServerId, Stage},
    layout::Turn,
    marks::{Marks, MemoryMarks},
    message::{Amendment, AmendmentStart, EpochPlan, EpochStart, Ground, ProvenHopKeys, Standing, Strike},
    noise::NoiseParams,
    params::{NetworkParams, Verification},
    participant::SlotReply,
    roster::Roster,
    submission::Access,
};
use hippodrome_crypto::{group::Element, hash::Digest, hop::HopSecret, signing::SigningKey};
use hippodrome_proto::{
    gateway::{Fetched, Gateway, NetworkInfo, NetworkStatus, Refusal, RoundEvent, SubmitRequest, async_trait},
    tls::{NodeCertificate, Pins},
    transport::{ConnectError, Limits, Listener, bind},
};
use hippodrome_store::key_file::ServerKeys;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

fn params() -> NetworkParams {
    NetworkParams {
        name: "lied to".into(),
        chains: 1,
        chain_len: 2,
        layers: 1,
        verification: Verification::Full,
        slots: 2,
        noise: NoiseParams::uniform(1),
        period_ms: 3000,
        collect_ms: 2900,
        deadline_ms: 9000,
        max_batch: 1000,
        bad_servers: 1,
        min_live: 2,
        failure_bits: 0,
        epoch_ms: 3000,
    }
}

/// Some servers, whose keys the test has, and one seat.
struct World {
    directory: Arc<Directory>,
    servers: Vec<ServerKeys>,
    certificate: Arc<NodeCertificate>,
    seat: SigningKey,
}

impl World {
    /// One chain of two servers.
    fn new() -> Self {
        Self::with(&["one", "two"], params())
    }

    fn with(names: &[&str], params: NetworkParams) -> Self {
        let servers: Vec<ServerKeys> = names.iter().map(|name| ServerKeys::generate(name).expect("keys")).collect();
        let certificate = NodeCertificate::generate().expect("a certificate");
        let draft = DirectoryDraft {
            params,
            servers: servers.iter().map(ServerKeys::public_entry).collect(),
            coordinator: certificate.fingerprint().0,
        };
        let signatures: Vec<_> = servers.iter().map(|keys| draft.sign(&keys.signing_key())).collect();
        let directory = Arc::new(draft.verify(&signatures).expect("a good directory"));
        Self { directory, servers, certificate: Arc::new(certificate), seat: SigningKey::from_seed(&[1; 32]) }
    }

    fn seat(&self) -> SigningKey {
        SigningKey::from_seed(&self.seat.expose_seed())
    }

    /// An epoch in which round 1 begins now.
    fn epoch(&self, number: u64) -> (Arc<Roster>, EpochStart) {
        self.epoch_from(number, Round(1), now_ms())
    }

    /// An epoch that begins with the next round of another.
    fn epoch_after(&self, number: u64, before: &Roster) -> (Arc<Roster>, EpochStart) {
        let next = before.epoch().round_at(now_ms()).expect("it has begun").next();
        self.epoch_from(number, next, before.epoch().window_start_ms(next))
    }

    fn epoch_from(&self, number: u64, first_round: Round, start_ms: u64) -> (Arc<Roster>, EpochStart) {
        let registry = vec![self.seat.public()];
        let count = self.servers.len();
        let (live, standings) = (self.directory.server_ids().collect(), vec![Standing::default(); count]);
        let plan = EpochPlan { number, registry, first_round, start_ms, live, standings };
        let shares = vec![[number as u8; 32]; count];
        let draft = EpochDraft::new(&self.directory, plan.clone(), &shares).expect("a good plan");
        let signatures: Vec<_> =
            (0..).map(ServerId).zip(self.servers.iter().map(|keys| draft.sign(&keys.signing_key()))).collect();
        let epoch = Arc::new(draft.verify(&self.directory, &signatures).expect("all have signed"));
        (Arc::new(Roster::new(&self.directory, epoch)), EpochStart { plan, shares, signatures })
    }

    /// The roster without a server, and its proof.
    fn without(&self, roster: &Roster, server: ServerId) -> (Arc<Roster>, AmendmentStart) {
        let amendment = Amendment::after(roster, 1, &[Strike { server, ground: Ground::Silent }]);
        let sign = |keys: &ServerKeys| amendment.sign(roster.epoch(), &keys.signing_key());
        let signatures = (0..).map(ServerId).zip(self.servers.iter().map(sign)).collect();
        let start = AmendmentStart { amendment, signatures };
        (Arc::new(roster.amend(&self.directory, &start).expect("a good amendment")), start)
    }

    /// A round's keys for the clients of the first open chain, signed by all who are active.
    fn descriptor(&self, roster: &Arc<Roster>, round: u64) -> ClientDescriptor {
        let mut rng = ChaCha20Rng::seed_from_u64(round);
        let mut base = Element::base();
        let mut keys = Vec::new();
        let open = |turn: &Turn| roster.is_open(turn.layer, turn.chain);
        for (turn, server) in roster.epoch().layout().turns().filter(|(turn, _)| open(turn)) {
            if turn.position == Position(0) {
                base = Element::base();
            }
            let stage = Stage { round: Round(round), layer: turn.layer, chain: turn.chain };
            let place = Place { stage, position: turn.position };
            let context = hop_context(&self.directory, roster.epoch(), place, server);
            let (_, public, proof) = HopSecret::generate(&base, &context, &mut rng);
            base = public.blinding;
            let (layer, chain, position) = (turn.layer, turn.chain, turn.position);
            keys.push(ProvenHopKeys { layer, chain, position, public, proof });
        }
        let descriptor =
            Descriptor::new(&self.directory, roster, Round(round), &keys, Vec::new()).expect("one key pair a hop");
        let active = roster.active().iter().map(|id| &self.servers[usize::from(id.0)]);
        let signatures: Vec<_> = active.map(|keys| descriptor.sign(&keys.signing_key())).collect();
        let signed = descriptor.verify(&self.directory, &signatures).expect("all have signed");
        signed.view(roster.open(Layer(0))[0]).expect("the chain is open")
    }
}

/// What the played coordinator says, and what it was given.
struct Liar {
    epoch: Mutex<Option<EpochStart>>,
    amendment: Mutex<Option<AmendmentStart>>,
    events: Mutex<Vec<RoundEvent>>,
    /// Open streams, which end with the coordinator.
    streams: Mutex<Vec<mpsc::Sender<RoundEvent>>>,
    submissions: mpsc::UnboundedSender<SubmitRequest>,
    busy: Mutex<usize>,
    /// Why nothing is taken, if nothing is.
    refusal: Mutex<Option<String>>,
}

#[async_trait]
impl Gateway for Liar {
    async fn network(&self) -> Result<Arc<NetworkInfo>, Refusal> {
        let epoch = self.epoch.lock().expect("no panic").clone();
        let amendment = self.amendment.lock().expect("no panic").clone();
        Ok(Arc::new(NetworkInfo { directory: Vec::new(), signatures: Vec::new(), epoch, amendment }))
    }

    async fn rounds(&self, _: ChainId) -> Result<mpsc::Receiver<RoundEvent>, Refusal> {
        let (events, stream) = mpsc::channel(16);
        for event in self.events.lock().expect("no panic").iter() {
            events.try_send(event.clone()).expect("few events");
        }
        self.streams.lock().expect("no panic").push(events);
        Ok(stream)
    }

    async fn submit(&self, request: SubmitRequest) -> Result<(), Refusal> {
        self.submissions.send(request).expect("the test listens");
        if let Some(why) = self.refusal.lock().expect("no panic").clone() {
            return Err(Refusal::Refused(why));
        }
        let mut busy = self.busy.lock().expect("no panic");
        if *busy > 0 {
            *busy -= 1;
            return Err(Refusal::Busy("not now".into()));
        }
        Ok(())
    }

    async fn fetch(&self, _: Round, _: ClientId) -> Result<Fetched, Refusal> {
        Ok(Fetched { replies: vec![0; 7], inclusion: None })
    }

    async fn status(&self) -> Result<NetworkStatus, Refusal> {
        let idle = "server 1 is being struck".to_owned();
        Ok(NetworkStatus { servers_up: vec![true, false], idle, ..NetworkStatus::default() })
    }
}

/// A played coordinator that listens.
struct Played {
    liar: Arc<Liar>,
    address: String,
    submissions: mpsc::UnboundedReceiver<SubmitRequest>,
    _stop: oneshot::Sender<()>,
}

async fn listen(certificate: Arc<NodeCertificate>, epoch: Option<EpochStart>, events: Vec<RoundEvent>) -> Played {
    let (given, submissions) = mpsc::unbounded_channel();
    let liar = Arc::new(Liar {
        epoch: Mutex::new(epoch),
        amendment: Mutex::default(),
        events: Mutex::new(events),
        streams: Mutex::default(),
        submissions: given,
        busy: Mutex::new(0),
        refusal: Mutex::default(),
    });
    let tcp = bind("127.0.0.1:0").await.expect("a free port");
    let address = tcp.local_addr().expect("bound").to_string();
    let (messages, _) = mpsc::channel(1);
    let gateway = Arc::clone(&liar);
    let listener = Listener::new(tcp, certificate, Pins::new(), Limits::default(), messages).with_gateway(gateway);
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(async move { listener.serve(async { drop(stopped.await) }).await.expect("it serves") });
    Played { liar, address, submissions, _stop: stop }
}

/// An idle client whose notices the test sees.
struct Watched {
    idle: Idle,
    seen: mpsc::UnboundedSender<Seen>,
}

#[derive(Debug)]
enum Seen {
    Asked,
    Lost(Round, String),
    Notice(Notice),
}

impl Voice for Watched {
    fn accesses(&mut self, round: Round, clock: Round) -> Result<Vec<Access>, VoiceError> {
        assert!(round.0 <= clock.0 + 1, "the clock allows what it is asked for");
        let _ = self.seen.send(Seen::Asked);
        self.idle.accesses(round, clock)
    }

    fn replies(&mut self, round: Round, replies: Vec<SlotReply>) -> Result<(), VoiceError> {
        self.idle.replies(round, replies)
    }

    fn lost(&mut self, round: Round, reason: &str) -> Result<(), VoiceError> {
        let _ = self.seen.send(Seen::Lost(round, reason.to_owned()));
        self.idle.lost(round, reason)
    }

    fn notice(&mut self, notice: Notice) {
        let _ = self.seen.send(Seen::Notice(notice));
    }
}

fn take_part(world: &World, address: &str, marks: &MemoryMarks) -> mpsc::UnboundedReceiver<Seen> {
    let (seen, watching) = mpsc::unbounded_channel();
    let (directory, key, address) = (Arc::clone(&world.directory), world.seat(), address.to_owned());
    let marks = Marks::new(Box::new(marks.clone()));
    tokio::spawn(async move {
        let session = Session::connect(directory, &address, key, marks).await.expect("it listens");
        let mut voice = Watched { idle: Idle::new(2), seen };
        // The receiver is dropped at the end of the test.
        let closed = voice.seen.clone();
        session.run(&mut voice, async move { closed.closed().await }).await.expect("only the test ends it");
    });
    watching
}

async fn wait<T>(seen: &mut mpsc::UnboundedReceiver<Seen>, mut wanted: impl FnMut(Seen) -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = wanted(seen.recv().await.expect("the session goes on")) {
                return found;
            }
        }
    };
    timeout(PATIENCE, waiting).await.expect("in time")
}

fn announced(descriptor: ClientDescriptor) -> RoundEvent {
    RoundEvent::Announced(Arc::new(descriptor))
}

#[tokio::test]
async fn only_descriptors_that_all_servers_signed_get_a_submission() {
    let world = World::new();
    let (epoch, start) = world.epoch(1);
    let mut missing = world.descriptor(&epoch, 2);
    missing.signatures.pop();
    let mut swapped = world.descriptor(&epoch, 2);
    swapped.signatures.reverse();
    let mut changed = world.descriptor(&epoch, 2);
    changed.signatures[1].0[40] ^= 1;
    let mut other_keys = world.descriptor(&epoch, 2);
    other_keys.entry = world.descriptor(&epoch, 3).entry;
    let mut other_round = world.descriptor(&epoch, 3);
    other_round.round = Round(2);
    let lies = [missing, swapped, changed, other_keys, other_round];
    let count = lies.len();
    let good = announced(world.descriptor(&epoch, 2));
    let events = lies.into_iter().map(announced).chain([good.clone(), good]).collect();
    let mut stage = listen(Arc::clone(&world.certificate), Some(start), events).await;
    let mut seen = take_part(&world, &stage.address, &MemoryMarks::default());

    for _ in 0..count {
        let reason = |seen| match seen {
            Seen::Notice(Notice::SatOut { round, reason }) => Some((round, reason)),
            Seen::Asked => panic!("asked for a round whose keys are not signed"),
            _ => None,
        };
        let (round, reason) = wait(&mut seen, reason).await;
        assert_eq!(round, Round(2));
        assert!(reason.contains("round's descriptor") || reason.contains("keys of the input chain"), "{reason}");
    }
    wait(&mut seen, |seen| matches!(seen, Seen::Notice(Notice::Submitted(Round(2)))).then_some(())).await;
    let first = stage.submissions.recv().await.expect("a submission");
    assert_eq!((first.round, first.chain), (Round(2), ChainId(0)));
    assert_eq!(first.records.len(), 2 * world.directory.params().sizes().submission);
    assert!(now_ms() >= epoch.epoch().window_start_ms(Round(2)), "not before the round begins");
    assert!(stage.submissions.try_recv().is_err(), "once, although it was announced twice");
}

#[tokio::test]
async fn a_retry_sends_the_same_bytes_and_a_restart_sends_nothing() {
    let world = World::new();
    let (epoch, start) = world.epoch(1);
    let events = vec![announced(world.descriptor(&epoch, 1))];
    let mut stage = listen(Arc::clone(&world.certificate), Some(start), events).await;
    *stage.liar.busy.lock().expect("no panic") = 2;
    let marks = MemoryMarks::default();
    let mut seen = take_part(&world, &stage.address, &marks);
    wait(&mut seen, |seen| matches!(seen, Seen::Notice(Notice::Submitted(_))).then_some(())).await;
    let mut tries = Vec::new();
    while let Ok(request) = stage.submissions.try_recv() {
        tries.push(request);
    }
    assert_eq!(tries.len(), 3);
    assert!(tries.iter().all(|request| *request == tries[0]));

    drop(seen);
    let mut again = take_part(&world, &stage.address, &marks);
    let refused = |seen| match seen {
        Seen::Notice(Notice::SatOut { round: Round(1), reason }) => Some(reason),
        Seen::Asked => panic!("asked again for a round that was submitted to"),
        _ => None,
    };
    let reason = wait(&mut again, refused).await;
    assert!(reason.contains("at most once, also after a restart"), "{reason}");
    assert!(stage.submissions.try_recv().is_err());
}

#[tokio::test]
async fn a_client_that_is_refused_is_told_why_and_loses_the_round() {
    let world = World::new();
    let (epoch, start) = world.epoch(1);
    let stage = listen(Arc::clone(&world.certificate), Some(start), Vec::new()).await;
    *stage.liar.refusal.lock().expect("no panic") = Some("there is evidence against client 0".to_owned());
    let event = announced(world.descriptor(&epoch, 1));
    stage.liar.events.lock().expect("no panic").push(event);
    let mut seen = take_part(&world, &stage.address, &MemoryMarks::default());
    let refused =
        |seen| if let Seen::Notice(Notice::Refused { round, reason }) = seen { Some((round, reason)) } else { None };
    let told = wait(&mut seen, refused).await;
    assert_eq!(told, (Round(1), "there is evidence against client 0".to_owned()));
    wait(&mut seen, |seen| matches!(seen, Seen::Lost(Round(1), _)).then_some(())).await;
}

#[tokio::test]
async fn a_client_whose_chain_is_closed_goes_to_another() {
    let params = NetworkParams { chains: 2, layers: 2, min_live: 3, ..params() };
    let world = World::with(&["one", "two", "three", "four"], params);
    // An epoch in which the client's chain has a server without which rounds can go on.
    let drawn = (1..200).find_map(|number| {
        let (roster, start) = world.epoch(number);
        let own = roster.input_chain(&world.seat.public()).expect("chains are open");
        let amended = roster.members(Layer(0), own).iter().map(|member| world.without(&roster, *member));
        let amended = amended.into_iter().find(|(amended, _)| amended.is_usable())?;
        Some((start, own, amended))
    });
    let (start, own, (amended, proof)) = drawn.expect("one of many draws");
    let mut stage = listen(Arc::clone(&world.certificate), Some(start), Vec::new()).await;
    let mut seen = take_part(&world, &stage.address, &MemoryMarks::default());
    wait(&mut seen, |seen| matches!(seen, Seen::Notice(Notice::Connected)).then_some(())).await;

    *stage.liar.amendment.lock().expect("no panic") = Some(proof);
    stage.liar.events.lock().expect("no panic").push(announced(world.descriptor(&amended, 2)));
    let closed = RoundEvent::Closed { round: Round(2), roster: amended.id() };
    let listening = stage.liar.streams.lock().expect("no panic")[0].clone();
    listening.send(closed).await.expect("the client listens");
    let submitted = stage.submissions.recv().await.expect("a submission");
    assert_eq!((submitted.round, submitted.chain), (Round(2), ChainId(1 - own.0)));
}

#[tokio::test]
async fn a_client_that_hears_of_no_round_asks_why() {
    let world = World::new();
    let (_, start) = world.epoch(1);
    let stage = listen(Arc::clone(&world.certificate), Some(start), Vec::new()).await;
    let mut seen = take_part(&world, &stage.address, &MemoryMarks::default());
    let stalled = |seen| if let Seen::Notice(Notice::Stalled { reason }) = seen { Some(reason) } else { None };
    assert_eq!(wait(&mut seen, stalled).await, "server 1 is being struck");
}

#[tokio::test]
async fn replies_that_are_not_whole_lose_the_round() {
    let world = World::new();
    let (epoch, start) = world.epoch(1);
    let events = vec![announced(world.descriptor(&epoch, 1))];
    let stage = listen(Arc::clone(&world.certificate), Some(start), events).await;
    let mut seen = take_part(&world, &stage.address, &MemoryMarks::default());
    wait(&mut seen, |seen| matches!(seen, Seen::Notice(Notice::Submitted(_))).then_some(())).await;
    let stream = stage.liar.streams.lock().expect("no panic")[0].clone();
    stream.send(RoundEvent::Delivered(Round(1))).await.expect("the client listens");
    let lost = |seen| if let Seen::Lost(round, reason) = seen { Some((round, reason)) } else { None };
    let (round, reason) = wait(&mut seen, lost).await;
    assert_eq!(round, Round(1));
    assert!(reason.starts_with("7 bytes of replies where"), "{reason}");
}

#[tokio::test]
async fn a_newer_epoch_is_entered_when_its_rounds_are_announced_and_an_older_one_never() {
    let world = World::new();
    let (before, first) = world.epoch(1);
    let stage = listen(Arc::clone(&world.certificate), Some(first.clone()), Vec::new()).await;
    let mut seen = take_part(&world, &stage.address, &MemoryMarks::default());
    let joined = |seen| if let Seen::Notice(Notice::Joined(epoch)) = seen { Some(epoch.plan().number) } else { None };
    assert_eq!(wait(&mut seen, joined).await, 1);
    wait(&mut seen, |seen| matches!(seen, Seen::Notice(Notice::Connected)).then_some(())).await;

    let (epoch, second) = world.epoch_after(2, &before);
    let round = second.plan.first_round;
    *stage.liar.epoch.lock().expect("no panic") = Some(second);
    let stream = stage.liar.streams.lock().expect("no panic")[0].clone();
    stream.send(announced(world.descriptor(&epoch, round.0))).await.expect("the client listens");
    assert_eq!(wait(&mut seen, joined).await, 2);
    wait(&mut seen, |seen| matches!(seen, Seen::Notice(Notice::Submitted(at)) if at == round).then_some(())).await;

    *stage.liar.epoch.lock().expect("no panic") = Some(first);
    let mut forged = world.descriptor(&epoch, round.0 + 1);
    forged.signatures.clear();
    stream.send(announced(forged)).await.expect("the client listens");
    let refused = |seen| if let Seen::Notice(Notice::SatOut { reason, .. }) = seen { Some(reason) } else { None };
    assert!(wait(&mut seen, refused).await.contains("went back from epoch 2 to epoch 1"));
}

#[tokio::test]
async fn an_epoch_whose_rounds_jump_is_refused_also_after_a_restart() {
    let world = World::new();
    let marks = MemoryMarks::default();
    let ends = async |start: EpochStart| {
        let stage = listen(Arc::clone(&world.certificate), Some(start), Vec::new()).await;
        let marks = Marks::new(Box::new(marks.clone()));
        let session = Session::connect(Arc::clone(&world.directory), &stage.address, world.seat(), marks).await;
        let (joined, mut joins) = mpsc::unbounded_channel();
        let mut voice = Watched { idle: Idle::new(2), seen: joined };
        let until_joined = async move {
            let joined = |seen| matches!(seen, Some(Seen::Notice(Notice::Joined(_))) | None);
            while !joined(joins.recv().await) {}
        };
        timeout(PATIENCE, session.expect("it listens").run(&mut voice, until_joined)).await.expect("in time")
    };
    let (before, first) = world.epoch(1);
    ends(first).await.expect("the first epoch of all is as good as any");
    let (_, next) = world.epoch_after(2, &before);
    let (_, jump) = world.epoch_from(3, Round(next.plan.first_round.0 + 1_000_000), next.plan.start_ms);
    let ended = ends(jump).await.expect_err("its rounds are others");
    assert!(matches!(ended, SessionError::OffGrid { epoch: 3, .. }), "{ended}");
    ends(next).await.expect("its rounds are those of the first");
}

#[tokio::test]
async fn an_epoch_that_not_all_servers_signed_is_refused() {
    let world = World::new();
    let (_, mut start) = world.epoch(1);
    start.plan.registry.push(SigningKey::from_seed(&[9; 32]).public());
    let stage = listen(Arc::clone(&world.certificate), Some(start), Vec::new()).await;
    let uplink = Uplink::connect(Arc::clone(&world.directory), &stage.address).await.expect("it listens");
    assert!(matches!(uplink.epoch().await, Err(UplinkError::Epoch(_))));
    let marks = Marks::new(Box::new(MemoryMarks::default()));
    let session = Session::over(uplink, world.seat(), marks);
    let ended = timeout(PATIENCE, session.run(&mut Idle::new(2), std::future::pending())).await.expect("in time");
    assert!(matches!(ended, Err(SessionError::Uplink(UplinkError::Epoch(_)))));
}

#[tokio::test]
async fn a_key_without_a_seat_is_told_what_to_do() {
    let world = World::new();
    let (_, start) = world.epoch(1);
    let stage = listen(Arc::clone(&world.certificate), Some(start), Vec::new()).await;
    let stranger = SigningKey::from_seed(&[9; 32]);
    let key = stranger.public();
    let marks = Marks::new(Box::new(MemoryMarks::default()));
    let session = Session::connect(Arc::clone(&world.directory), &stage.address, stranger, marks).await;
    let mut idle = Idle::new(2);
    let running = session.expect("it listens").run(&mut idle, std::future::pending());
    let ended = timeout(PATIENCE, running).await.expect("in time").expect_err("it has no seat").to_string();
    let hex = hippodrome_crypto::hash::hex(key.as_bytes());
    assert!(
        ended.contains(&format!("{hex} is not registered in epoch 1")) && ended.contains("registry file"),
        "{ended}"
    );
}

#[tokio::test]
async fn a_coordinator_with_another_certificate_is_refused() {
    let world = World::new();
    let impostor = Arc::new(NodeCertificate::generate().expect("a certificate"));
    let stage = listen(impostor, None, Vec::new()).await;
    let refused = Uplink::connect(Arc::clone(&world.directory), &stage.address).await.err().expect("it is not pinned");
    assert!(matches!(refused, ConnectError::WrongCertificate { .. }));
    assert!(refused.to_string().contains(&stage.address), "{refused}");
}

#[tokio::test]
async fn a_coordinator_that_is_not_there_is_named() {
    let world = World::new();
    let address = {
        let tcp = bind("127.0.0.1:0").await.expect("a free port");
        tcp.local_addr().expect("bound").to_string()
    };
    let refused = Uplink::connect(Arc::clone(&world.directory), &address).await.err().expect("nobody is there");
    assert!(refused.to_string().starts_with(&format!("the coordinator does not answer at {address}")), "{refused}");
}

#[tokio::test]
async fn without_an_epoch_a_session_says_who_is_missing_and_waits() {
    let world = World::new();
    let stage = listen(Arc::clone(&world.certificate), None, Vec::new()).await;
    let mut seen = take_part(&world, &stage.address, &MemoryMarks::default());
    let waiting = |seen| match seen {
        Seen::Notice(Notice::Waiting { servers_up, servers }) => Some((servers_up, servers)),
        _ => None,
    };
    assert_eq!(wait(&mut seen, waiting).await, (1, 2));
    let (roster, start) = world.epoch(1);
    *stage.liar.epoch.lock().expect("no panic") = Some(start);
    let joined = |seen| if let Seen::Notice(Notice::Joined(joined)) = seen { Some(*joined.digest()) } else { None };
    let joined: Digest = wait(&mut seen, joined).await;
    assert_eq!(joined, *roster.epoch().digest());
}
