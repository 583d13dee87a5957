use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hippodrome_core::{
    coordinator::Strikes,
    descriptor::ClientDescriptor,
    ids::{ChainId, ClientId, Party, RosterId, Round, ServerId},
    message::Ground,
};
use hippodrome_crypto::merkle::InclusionProof;
use proptest::{prelude::*, sample::Index};
use prost::Message as _;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Fetched, Gateway, GatewayClient, GatewayError, NetworkInfo, NetworkStatus, Refusal, RoundEvent, StruckServer,
    SubmitRequest, async_trait, connect_gateway, convert::NetworkAssembly, convert::network_parts,
};
use crate::{
    convert::WireError,
    fuzz::{damaged, damages},
    pb,
    samples::Sampler,
    tls::{NodeCertificate, Pins},
    transport::{ConnectError, Limits, Link, Listener, bind},
};

const LONG: Duration = Duration::from_secs(60);

/// A coordinator that has an answer to everything.
struct Oracle {
    network: Arc<NetworkInfo>,
    events: Vec<RoundEvent>,
    open: Mutex<Vec<mpsc::Sender<RoundEvent>>>,
}

/// The chain whose stream of events never ends.
const ENDLESS: ChainId = ChainId(98);

#[async_trait]
impl Gateway for Oracle {
    async fn network(&self) -> Result<Arc<NetworkInfo>, Refusal> {
        Ok(Arc::clone(&self.network))
    }

    async fn rounds(&self, chain: ChainId) -> Result<mpsc::Receiver<RoundEvent>, Refusal> {
        if chain.0 == 99 {
            return Err(Refusal::NotFound("there is no chain 99".to_owned()));
        }
        let (sender, receiver) = mpsc::channel(self.events.len().max(1));
        for event in &self.events {
            sender.try_send(event.clone()).expect("room for all events");
        }
        if chain == ENDLESS {
            self.open.lock().expect("nobody panicked").push(sender);
        }
        Ok(receiver)
    }

    async fn submit(&self, request: SubmitRequest) -> Result<(), Refusal> {
        match request.round.0 {
            1 => Ok(()),
            2 => Err(Refusal::Refused(format!("round 2 is closed for {} bytes", request.records.len()))),
            _ => Err(Refusal::Busy("later".to_owned())),
        }
    }

    async fn fetch(&self, round: Round, client: ClientId) -> Result<Fetched, Refusal> {
        let inclusion = (round.0 != 5).then(|| Sampler::new(client.0.into()).inclusion());
        Ok(Fetched { replies: format!("replies of {round} for {client}").into_bytes(), inclusion })
    }

    async fn status(&self) -> Result<NetworkStatus, Refusal> {
        Ok(status())
    }
}

fn status() -> NetworkStatus {
    NetworkStatus {
        epoch: 1,
        round: 2,
        servers_up: vec![true, false, true],
        rounds_completed: 3,
        rounds_failed: 4,
        hops_verified: 5,
        last_failure: "server 1 did not answer".to_owned(),
        rounds_unopened: 6,
        idle: "server 1 is being struck".to_owned(),
        struck: vec![
            StruckServer { server: ServerId(1), ground: Ground::Silent, since_ms: None },
            StruckServer { server: ServerId(2), ground: Ground::Convicted, since_ms: Some(7) },
        ],
        strikes: Strikes { silent: 8, aborted: 9, convicted: 10 },
        evidence_held: 11,
    }
}

fn network(clients: usize) -> NetworkInfo {
    let mut sampler = Sampler::new(30);
    NetworkInfo {
        directory: sampler.bytes(500),
        signatures: sampler.signatures(3),
        epoch: Some(sampler.epoch_start(clients)),
        amendment: Some(sampler.amendment_start()),
    }
}

fn descriptor() -> ClientDescriptor {
    let mut sampler = Sampler::new(31);
    let mut chain = |hops| (0..hops).map(|_| sampler.proven().public).collect::<Vec<_>>();
    let entry = chain(3);
    let later = vec![vec![chain(3), chain(3)], vec![chain(3), chain(2)]];
    ClientDescriptor {
        roster: RosterId { epoch: 5, amendment: 2 },
        round: Round(8),
        chain: ChainId(1),
        entry,
        entry_root: sampler.digest(),
        branch: InclusionProof(vec![sampler.digest(), sampler.digest()]),
        later,
        pledges: Some(sampler.digest()),
        signatures: sampler.signatures(3),
    }
}

fn print(info: &NetworkInfo) -> String {
    format!("{info:?}")
}

struct Coordinator {
    address: String,
    certificate: Arc<NodeCertificate>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn coordinator(clients: usize) -> Coordinator {
    let failed = RoundEvent::Failed { round: Round(9), reason: "server 2\u{1b}[31m fell silent".to_owned() };
    let roster = RosterId { epoch: 3, amendment: 2 };
    let closed = RoundEvent::Closed { round: Round(10), roster };
    let events = vec![RoundEvent::Announced(Arc::new(descriptor())), RoundEvent::Delivered(Round(8)), failed, closed];
    let oracle = Arc::new(Oracle { network: Arc::new(network(clients)), events, open: Mutex::default() });
    let certificate = Arc::new(NodeCertificate::generate().expect("a certificate"));
    let tcp = bind("127.0.0.1:0").await.expect("a free port");
    let address = tcp.local_addr().expect("bound").to_string();
    let (messages, _) = mpsc::channel(1);
    let listener = Listener::new(tcp, Arc::clone(&certificate), Pins::new(), Limits::default(), messages);
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or(()) };
        listener.with_gateway(oracle).serve(stopped).await.expect("serves until it is stopped");
    });
    Coordinator { address, certificate, stop, serving }
}

async fn connect(coordinator: &Coordinator) -> GatewayClient {
    connect_gateway(&coordinator.address, coordinator.certificate.fingerprint()).await.expect("connects")
}

#[tokio::test]
async fn clients_get_directory_and_a_registry_of_many_chunks() {
    let coordinator = coordinator(100_000).await;
    let client = connect(&coordinator).await;
    let info = client.network().await.expect("an answer");
    assert!(print(&info) == print(&network(100_000)), "what arrived is not what was sent");
}

#[tokio::test]
async fn clients_get_events_with_keys_and_printable_reasons() {
    let coordinator = coordinator(1).await;
    let client = connect(&coordinator).await;
    let mut events = client.rounds(ChainId(1)).await.expect("a stream");
    let mut next = async || events.next().await.expect("a good event");
    let Some(RoundEvent::Announced(announced)) = next().await else { panic!("the round is announced first") };
    assert_eq!(format!("{announced:?}"), format!("{:?}", descriptor()));
    assert!(matches!(next().await, Some(RoundEvent::Delivered(Round(8)))));
    let Some(RoundEvent::Failed { round: Round(9), reason }) = next().await else { panic!("round 9 failed") };
    assert_eq!(reason, "server 2[31m fell silent");
    let Some(RoundEvent::Closed { round: Round(10), roster: named }) = next().await else {
        panic!("round 10 is closed")
    };
    assert_eq!(named, RosterId { epoch: 3, amendment: 2 });
    assert!(next().await.is_none());
    let refused = client.rounds(ChainId(99)).await.expect_err("no such chain");
    assert_eq!(refused.to_string(), "the coordinator refuses: there is no chain 99");
}

#[tokio::test]
async fn clients_submit_fetch_and_ask() {
    let coordinator = coordinator(1).await;
    let client = connect(&coordinator).await;
    let submit = |round| {
        let (client, round) = (client.clone(), Round(round));
        async move { client.submit(SubmitRequest { round, chain: ChainId(1), records: vec![1; 10] }).await }
    };
    submit(1).await.expect("taken");
    let refused = submit(2).await.expect_err("refused");
    assert!(
        matches!(refused, GatewayError::Refused(Refusal::Refused(text)) if text == "round 2 is closed for 10 bytes")
    );
    assert!(matches!(submit(3).await, Err(GatewayError::Refused(Refusal::Busy(_)))));
    let fetched = client.fetch(Round(4), ClientId(5)).await.expect("replies");
    assert_eq!(fetched.replies, b"replies of round 4 for client 5");
    assert_eq!(fetched.inclusion, Some(Sampler::new(5).inclusion()));
    assert_eq!(client.fetch(Round(5), ClientId(5)).await.expect("replies").inclusion, None);
    assert_eq!(client.status().await.expect("a status"), status());
}

#[tokio::test]
async fn anonymous_connections_deliver_no_messages() {
    let coordinator = coordinator(1).await;
    let address = tokio::sync::watch::channel(Some(coordinator.address.clone())).1;
    let expected = coordinator.certificate.fingerprint();
    let target = crate::transport::Target::new(Party::Coordinator, expected, None, address).expect("a target");
    let mut link = pb::link_client::LinkClient::new(crate::transport::lazy_channel(target));
    let (header, body) = crate::convert::encode(&Arc::new(Sampler::new(32).confirmation(1)));
    let stream = tokio_stream::iter(crate::convert::chunks(header, body));
    let refused = link.deliver(stream).await.expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert_eq!(refused.message(), "only parties whose certificate the directory pins deliver messages");
}

#[tokio::test]
async fn says_why_there_is_no_connection() {
    let coordinator = coordinator(1).await;
    let other = NodeCertificate::generate().expect("a certificate");
    let refused = connect_gateway(&coordinator.address, other.fingerprint()).await.expect_err("another certificate");
    assert!(matches!(refused, ConnectError::WrongCertificate { .. }), "{refused}");
    let free = bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound").to_string();
    let refused = connect_gateway(&free, other.fingerprint()).await.expect_err("nobody there");
    assert!(refused.to_string().starts_with(&format!("the coordinator does not answer at {free}: ")), "{refused}");
    let refused = connect_gateway("nonsense", other.fingerprint()).await.expect_err("no address");
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{refused}");
}

#[tokio::test]
async fn a_coordinator_that_stops_cuts_its_clients_off_and_says_so() {
    let coordinator = coordinator(1).await;
    let client = connect(&coordinator).await;
    let mut events = client.rounds(ENDLESS).await.expect("a stream");
    coordinator.stop.send(()).expect("it is up");
    timeout(LONG, coordinator.serving).await.expect("stops in time").expect("no panic");
    for _ in 0..4 {
        events.next().await.expect("what was sent before");
    }
    events.next().await.expect_err("the stream is cut");
    let error = client.status().await.expect_err("it is gone");
    assert!(matches!(error, GatewayError::Broken(_)), "{error}");
    // Whether that one noticed the old connection's end or not, this one tries a new connection.
    let error = client.status().await.expect_err("it is gone");
    assert!(error.to_string().contains(&coordinator.address), "{error}");
}

#[tokio::test]
async fn links_and_clients_share_a_port() {
    let server = NodeCertificate::generate().expect("a certificate");
    let certificate = Arc::new(NodeCertificate::generate().expect("a certificate"));
    let tcp = bind("127.0.0.1:0").await.expect("a free port");
    let address = tcp.local_addr().expect("bound").to_string();
    let (messages, mut inbox) = mpsc::channel(1);
    let pins = Pins::from([(server.fingerprint(), Party::Server(ServerId(4)))]);
    let oracle = Arc::new(Oracle { network: Arc::new(network(0)), events: vec![], open: Mutex::default() });
    let listener = Listener::new(tcp, Arc::clone(&certificate), pins, Limits::default(), messages).with_gateway(oracle);
    tokio::spawn(listener.serve(std::future::pending()));
    let link =
        Link::new(Party::Coordinator, Some(address.clone()), certificate.fingerprint(), &server).expect("a link");
    link.send(&Arc::new(Sampler::new(33).confirmation(1)), std::time::Instant::now() + LONG).expect("room");
    let (party, _) = timeout(LONG, inbox.recv()).await.expect("in time").expect("a message");
    assert_eq!(party, Party::Server(ServerId(4)));
    let client = connect_gateway(&address, certificate.fingerprint()).await.expect("connects");
    client.status().await.expect("a status");
}

/// Bytes of an epoch of two clients: their keys, two live servers, three standings, two shares, three signatures.
const EPOCH_LEN: usize = 2 * 32 + 2 * 2 + 3 * 10 + 2 * 32 + 3 * 66;

#[test]
fn refuses_malformed_answers() {
    let parts: Vec<_> = network_parts(&network(2)).collect();
    let assemble = |parts: Vec<&pb::NetworkPart>, limit| {
        let mut assembly = NetworkAssembly::new(limit);
        parts.into_iter().try_for_each(|part| assembly.push(part.clone()))?;
        assembly.finish()
    };
    assert_eq!(print(&assemble(parts.iter().collect(), EPOCH_LEN).expect("all parts")), print(&network(2)));
    let assemble = |parts, limit| assemble(parts, limit).expect_err("refused");
    assert_eq!(assemble(parts.iter().collect(), EPOCH_LEN - 1), WireError::BodyTooLong { limit: EPOCH_LEN - 1 });
    assert_eq!(assemble(vec![], 64), WireError::NoHeader);
    assert_eq!(assemble(vec![&parts[1]], 64), WireError::RecordsBeforeHeader);
    assert_eq!(assemble(vec![&parts[0], &parts[0]], 64), WireError::SecondHeader);
    assert_eq!(assemble(vec![&pb::NetworkPart { part: None }], 64), WireError::EmptyChunk);

    use pb::round_event::Event;
    let announced = || pb::ClientDescriptor::from(&descriptor());
    let refused = |event| RoundEvent::try_from(pb::RoundEvent { event }).expect_err("refused");
    assert_eq!(refused(None), WireError::Missing { field: "event" });
    let short = pb::ClientDescriptor { entry: announced().entry.slice(1..), ..announced() };
    assert_eq!(refused(Some(Event::Announced(short))), WireError::Ragged { field: "entry", width: 64, got: 191 });
    let garbage = pb::ClientDescriptor { entry: vec![0xff; 64].into(), ..announced() };
    assert!(matches!(refused(Some(Event::Announced(garbage))), WireError::Element { field: "entry", .. }));
    let rootless = pb::ClientDescriptor { entry_root: vec![].into(), ..announced() };
    let expected = WireError::Length { field: "entry_root", expected: 32, got: 0 };
    assert_eq!(refused(Some(Event::Announced(rootless))), expected);
    let misplaced = pb::ClientDescriptor { chain: 1 << 16, ..announced() };
    assert!(matches!(refused(Some(Event::Announced(misplaced))), WireError::Range { field: "chain", .. }));
}

/// Parts as a stream brings them, put together again.
fn assembled(parts: &[Vec<u8>]) -> Result<NetworkInfo, WireError> {
    let mut assembly = NetworkAssembly::new(1 << 16);
    for part in parts {
        assembly.push(pb::NetworkPart::decode(&part[..]).map_err(|_| WireError::EmptyChunk)?)?;
    }
    assembly.finish()
}

proptest! {
    #[test]
    fn damaged_answers_are_refused_or_are_answers(
        damage in damages(),
        at in any::<Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut parts: Vec<Vec<u8>> = network_parts(&network(2)).map(|part| part.encode_to_vec()).collect();
        let at = at.index(parts.len());
        parts[at] = damaged(parts[at].clone(), &damage);
        let _ = assembled(&parts);
        parts[at].clone_from(&garbage);
        let _ = assembled(&parts);

        let event = pb::RoundEvent::from(RoundEvent::Announced(Arc::new(descriptor()))).encode_to_vec();
        let submitted = SubmitRequest { round: Round(1), chain: ChainId(2), records: vec![3; 40] };
        let submitted = pb::SubmitRequest::from(submitted).encode_to_vec();
        let status = pb::StatusReply::from(status()).encode_to_vec();
        for bytes in [damaged(event, &damage), damaged(submitted, &damage), damaged(status, &damage), garbage] {
            let _ = pb::RoundEvent::decode(&bytes[..]).map(RoundEvent::try_from);
            let _ = pb::SubmitRequest::decode(&bytes[..]).map(SubmitRequest::try_from);
            let _ = pb::StatusReply::decode(&bytes[..]).map(NetworkStatus::try_from);
        }
    }
}
