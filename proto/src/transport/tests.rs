use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hippodrome_core::{
    ids::{Party, ServerId},
    message::Message,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tonic::{Code, Status};

use super::{
    BindError, Class, ConnectError, Limits, Link, Listener, Peers, SendError, Target, bind, explain, lazy_channel,
};
use crate::{
    convert::{CHUNK_LEN, chunks, encode},
    pb::{self, chunk::Part, link_client::LinkClient},
    samples::Sampler,
    tls::{Fingerprint, NodeCertificate, Pins},
};

const COORDINATOR: Party = Party::Coordinator;
const FIRST: Party = Party::Server(ServerId(0));
const SECOND: Party = Party::Server(ServerId(1));
/// Longer than anything here takes; only a failing test waits for it.
const LONG: Duration = Duration::from_secs(60);

fn certificate() -> Arc<NodeCertificate> {
    Arc::new(NodeCertificate::generate().expect("a certificate"))
}

fn pins(parties: &[(Party, &NodeCertificate)]) -> Pins {
    parties.iter().map(|(party, certificate)| (certificate.fingerprint(), *party)).collect()
}

fn later() -> Instant {
    Instant::now() + LONG
}

/// A listener at work.
struct Node {
    address: String,
    inbox: mpsc::Receiver<(Party, Message)>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Node {
    async fn start(own: &Arc<NodeCertificate>, pins: Pins) -> Self {
        let tcp = bind("127.0.0.1:0").await.expect("a free port");
        Self::start_on(tcp, own, pins, Limits::default(), 64)
    }

    fn start_on(tcp: TcpListener, own: &Arc<NodeCertificate>, pins: Pins, limits: Limits, inbox_len: usize) -> Self {
        let address = tcp.local_addr().expect("a bound socket has an address").to_string();
        let (messages, inbox) = mpsc::channel(inbox_len);
        let (stop, stopped) = oneshot::channel();
        let listener = Listener::new(tcp, Arc::clone(own), pins, limits, messages);
        let serving = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            listener.serve(stopped).await.expect("serves until it is stopped");
        });
        Self { address, inbox, stop, serving }
    }

    async fn receive(&mut self) -> (Party, Message) {
        timeout(LONG, self.inbox.recv()).await.expect("a message in time").expect("the node is up")
    }

    async fn stop(self) -> String {
        self.stop.send(()).expect("the node is up");
        timeout(LONG, self.serving).await.expect("stops in time").expect("serves without a panic");
        self.address
    }
}

/// One delivery, without retries.
async fn deliver(
    own: Option<&NodeCertificate>,
    expected: &NodeCertificate,
    address: &str,
    chunks: impl tokio_stream::Stream<Item = pb::Chunk> + Send + 'static,
) -> Result<(), Status> {
    let (_, address) = watch::channel(Some(address.to_owned()));
    let target = Target::new(COORDINATOR, expected.fingerprint(), own, address).expect("a good certificate");
    LinkClient::new(lazy_channel(target)).deliver(chunks).await.map(drop)
}

fn in_chunks(message: Message) -> impl tokio_stream::Stream<Item = pb::Chunk> + Send + 'static {
    let (header, body) = encode(&Arc::new(message));
    tokio_stream::iter(chunks(header, body))
}

/// Tells any two messages apart: the header, and a digest of the body.
fn summary(message: &Arc<Message>) -> String {
    let (header, body) = encode(message);
    format!("{header:?} {}", Fingerprint::of(&body))
}

#[tokio::test]
async fn two_parties_exchange_every_kind_of_message_and_large_batches() {
    let (one, two) = (certificate(), certificate());
    let both = pins(&[(FIRST, &one), (SECOND, &two)]);
    let mut nodes = [Node::start(&one, both.clone()).await, Node::start(&two, both).await];
    let peers_of_one = Peers::new(&one, [(SECOND, two.fingerprint())]).expect("good certificates");
    let peers_of_two = Peers::new(&two, [(FIRST, one.fingerprint())]).expect("good certificates");
    peers_of_one.set_address(SECOND, nodes[1].address.clone());
    peers_of_two.set_address(FIRST, nodes[0].address.clone());

    let mut sampler = Sampler::new(10);
    let mut messages: Vec<_> = sampler.every_kind().into_iter().map(Arc::new).collect();
    messages.push(Arc::new(sampler.batch(40 << 20)));
    for message in &messages {
        peers_of_one.send(SECOND, message, later()).expect("room in the queue");
        peers_of_two.send(FIRST, message, later()).expect("room in the queue");
    }
    let mut expected: Vec<_> = messages.iter().map(summary).collect();
    expected.sort();
    for (node, sender) in nodes.iter_mut().zip([SECOND, FIRST]) {
        let mut received = Vec::new();
        for _ in &messages {
            let (party, message) = node.receive().await;
            assert_eq!(party, sender);
            received.push(summary(&Arc::new(message)));
        }
        received.sort();
        assert_eq!(received, expected);
    }
    assert_eq!(peers_of_one.send(COORDINATOR, &messages[0], later()), Err(SendError::NoLink(COORDINATOR)));
}

#[tokio::test]
async fn small_messages_overtake_large_batches() {
    let (sender, receiver) = (certificate(), certificate());
    let mut node = Node::start(&receiver, pins(&[(FIRST, &sender)])).await;
    let link = Link::new(SECOND, Some(node.address.clone()), receiver.fingerprint(), &sender).expect("a link");
    let mut sampler = Sampler::new(11);
    let batch = Arc::new(sampler.batch(30 << 20));
    for _ in 0..6 {
        link.send(&batch, later()).expect("room in the queue");
    }
    link.send(&Arc::new(sampler.confirmation(1)), later()).expect("room in the queue");
    let mut batches_before = 0;
    while matches!(node.receive().await.1, Message::Batch(_)) {
        batches_before += 1;
    }
    assert!(batches_before < 6, "the confirmation came after all batches");
}

#[tokio::test]
async fn refuses_senders_that_are_not_pinned() {
    let (receiver, known, stranger) = (certificate(), certificate(), certificate());
    let mut node = Node::start(&receiver, pins(&[(FIRST, &known)])).await;
    let mut sampler = Sampler::new(12);
    for own in [Some(&*stranger), None] {
        deliver(own, &receiver, &node.address, in_chunks(sampler.confirmation(1))).await.expect_err("refused");
    }
    deliver(Some(&known), &receiver, &node.address, in_chunks(sampler.confirmation(2))).await.expect("delivered");
    let (party, message) = node.receive().await;
    assert_eq!(party, FIRST);
    assert!(matches!(message, Message::Confirmation(confirmation) if confirmation.round.0 == 2));
    assert!(node.inbox.try_recv().is_err());
}

#[tokio::test]
async fn refuses_receivers_that_are_not_the_pinned_one() {
    let (receiver, sender, other) = (certificate(), certificate(), certificate());
    let mut node = Node::start(&receiver, pins(&[(FIRST, &sender)])).await;
    let message = Sampler::new(13).confirmation(1);
    let refused = deliver(Some(&sender), &other, &node.address, in_chunks(message)).await.expect_err("refused");
    let expected = ConnectError::WrongCertificate { party: COORDINATOR, address: node.address.clone() };
    assert_eq!(explain(&refused), expected.to_string());
    assert!(node.inbox.try_recv().is_err());
}

#[tokio::test]
async fn silent_and_babbling_connections_hold_up_nobody() {
    let (receiver, sender) = (certificate(), certificate());
    let mut node = Node::start(&receiver, pins(&[(FIRST, &sender)])).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(&node.address).await.expect("connects"));
    }
    let mut babbling = TcpStream::connect(&node.address).await.expect("connects");
    babbling.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("writes");

    // A known party that never finishes a message.
    let (header, _) = encode(&Arc::new(Sampler::new(14).batch(10)));
    let (stalled, chunks) = mpsc::channel(1);
    stalled.send(pb::Chunk { part: Some(Part::Header(header)) }).await.expect("room");
    let (own, expected, address) = (Arc::clone(&sender), Arc::clone(&receiver), node.address.clone());
    let stalling = tokio::spawn(async move {
        deliver(Some(&own), &expected, &address, tokio_stream::wrappers::ReceiverStream::new(chunks)).await
    });

    let link = Link::new(SECOND, Some(node.address.clone()), receiver.fingerprint(), &sender).expect("a link");
    link.send(&Arc::new(Sampler::new(15).confirmation(7)), later()).expect("room in the queue");
    assert!(matches!(node.receive().await.1, Message::Confirmation(_)));
    let mut answer = Vec::new();
    timeout(LONG, babbling.read_to_end(&mut answer)).await.expect("is closed").ok();
    assert!(!stalling.is_finished());
    drop(stalled); // ends the message, which is now a batch without records
    timeout(LONG, stalling).await.expect("ends").expect("no panic").expect("delivered");
}

#[tokio::test]
async fn a_message_whose_next_chunk_does_not_come_is_given_up() {
    let (receiver, sender) = (certificate(), certificate());
    let tcp = bind("127.0.0.1:0").await.expect("a free port");
    let limits = Limits { chunk_timeout: Duration::from_millis(50), ..Limits::default() };
    let node = Node::start_on(tcp, &receiver, pins(&[(FIRST, &sender)]), limits, 1);
    let (stalled, chunks) = mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(chunks);
    let refused = deliver(Some(&sender), &receiver, &node.address, stream).await.expect_err("given up");
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    drop(stalled);
}

#[tokio::test]
async fn handshakes_that_stall_are_closed_and_bounded() {
    let (receiver, sender) = (certificate(), certificate());
    let tcp = bind("127.0.0.1:0").await.expect("a free port");
    let limits = Limits { handshake_timeout: Duration::from_millis(200), handshakes: 2, ..Limits::default() };
    let mut node = Node::start_on(tcp, &receiver, pins(&[(FIRST, &sender)]), limits, 1);
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(&node.address).await.expect("connects"));
    }
    for mut connection in silent {
        let read = timeout(LONG, connection.read(&mut [0; 1])).await.expect("is closed in time");
        assert!(matches!(read, Ok(0) | Err(_)), "the node said something to a silent connection");
    }
    let link = Link::new(SECOND, Some(node.address.clone()), receiver.fingerprint(), &sender).expect("a link");
    link.send(&Arc::new(Sampler::new(16).confirmation(1)), later()).expect("room in the queue");
    node.receive().await;
}

#[tokio::test]
async fn a_link_delivers_after_its_peer_restarts() {
    let (receiver, sender) = (certificate(), certificate());
    let known = pins(&[(FIRST, &sender)]);
    let mut node = Node::start(&receiver, known.clone()).await;
    let link = Link::new(SECOND, Some(node.address.clone()), receiver.fingerprint(), &sender).expect("a link");
    let mut sampler = Sampler::new(17);
    link.send(&Arc::new(sampler.confirmation(1)), later()).expect("room in the queue");
    node.receive().await;

    let address = node.stop().await;
    link.send(&Arc::new(sampler.confirmation(2)), later()).expect("room in the queue");
    link.send(&Arc::new(sampler.confirmation(3)), Instant::now()).expect("room in the queue");
    let tcp = bind(&address).await.expect("the port is free again");
    let mut node = Node::start_on(tcp, &receiver, known, Limits::default(), 1);
    // The third is not waited for: its time is over.
    assert!(matches!(node.receive().await.1, Message::Confirmation(confirmation) if confirmation.round.0 == 2));
    link.send(&Arc::new(sampler.confirmation(4)), later()).expect("room in the queue");
    assert!(matches!(node.receive().await.1, Message::Confirmation(confirmation) if confirmation.round.0 == 4));
}

#[tokio::test]
async fn a_link_follows_its_peer_to_another_address() {
    let (receiver, sender) = (certificate(), certificate());
    let link = Link::new(SECOND, None, receiver.fingerprint(), &sender).expect("a link");
    let mut sampler = Sampler::new(18);
    link.send(&Arc::new(sampler.confirmation(1)), later()).expect("room in the queue");
    for round in 1..3 {
        let mut node = Node::start(&receiver, pins(&[(FIRST, &sender)])).await;
        link.set_address(node.address.clone());
        assert!(matches!(node.receive().await.1, Message::Confirmation(confirmation) if confirmation.round.0 == round));
        node.stop().await;
        link.send(&Arc::new(sampler.confirmation(round + 1)), later()).expect("room in the queue");
    }
}

#[tokio::test]
async fn a_link_leaves_an_address_where_somebody_still_answers() {
    let (receiver, sender) = (certificate(), certificate());
    let known = pins(&[(FIRST, &sender)]);
    let mut old = Node::start(&receiver, known.clone()).await;
    let mut new = Node::start(&receiver, known).await;
    let link = Link::new(SECOND, Some(old.address.clone()), receiver.fingerprint(), &sender).expect("a link");
    let mut sampler = Sampler::new(25);
    link.send(&Arc::new(sampler.confirmation(1)), later()).expect("room in the queue");
    old.receive().await;
    link.set_address(new.address.clone());
    link.send(&Arc::new(sampler.confirmation(2)), later()).expect("room in the queue");
    assert!(matches!(new.receive().await.1, Message::Confirmation(confirmation) if confirmation.round.0 == 2));
    assert!(old.inbox.try_recv().is_err());
}

#[tokio::test]
async fn what_an_old_address_never_answered_goes_to_the_new_one() {
    let (receiver, sender) = (certificate(), certificate());
    // Takes connections, as the system does for a process that is stopped, and never says a word.
    let silent = bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("bound").to_string();
    let link = Link::new(SECOND, Some(address), receiver.fingerprint(), &sender).expect("a link");
    let mut sampler = Sampler::new(26);
    for round in 0..20 {
        link.send(&Arc::new(sampler.confirmation(round)), later()).expect("room in the queue");
    }
    let _connection = timeout(LONG, silent.accept()).await.expect("it connects").expect("a connection");
    let mut node = Node::start(&receiver, pins(&[(FIRST, &sender)])).await;
    link.set_address(node.address.clone());
    for _ in 0..20 {
        node.receive().await;
    }
}

#[tokio::test]
async fn only_what_has_the_same_size_whoever_takes_part_is_counted() {
    let (receiver, sender) = (certificate(), certificate());
    let mut node = Node::start(&receiver, pins(&[(FIRST, &sender)])).await;
    let peers = Peers::new(&sender, [(SECOND, receiver.fingerprint())]).expect("good certificates");
    peers.set_address(SECOND, node.address.clone());
    let traffic = peers.traffic();
    let mut sampler = Sampler::new(27);
    peers.send(SECOND, &Arc::new(sampler.batch(5000)), later()).expect("room in the queue");
    node.receive().await;
    assert_eq!(traffic.connected(), 1);
    let confirmation = Arc::new(sampler.confirmation(1));
    peers.send(SECOND, &confirmation, later()).expect("room in the queue");
    node.receive().await;
    // Counted when its delivery is acknowledged, shortly after it has come in.
    let counted = async {
        while traffic.sent(Class::Control) == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, counted).await.expect("it is counted");
    let (header, body) = encode(&confirmation);
    assert_eq!(traffic.sent(Class::Control), (prost::Message::encoded_len(&header) + body.len()) as u64);
    assert_eq!(traffic.sent(Class::Noise), 0);
    assert_eq!(Class::ALL.map(|class| traffic.received(class)), [0, 0]);
}

#[tokio::test]
async fn a_full_inbox_makes_senders_wait_and_loses_nothing() {
    let (receiver, sender) = (certificate(), certificate());
    let tcp = bind("127.0.0.1:0").await.expect("a free port");
    let mut node = Node::start_on(tcp, &receiver, pins(&[(FIRST, &sender)]), Limits::default(), 1);
    let link = Link::new(SECOND, Some(node.address.clone()), receiver.fingerprint(), &sender).expect("a link");
    let mut sampler = Sampler::new(19);
    for round in 0..40 {
        link.send(&Arc::new(sampler.confirmation(round)), later()).expect("room in the queue");
    }
    let mut rounds = Vec::new();
    for _ in 0..40 {
        let Message::Confirmation(confirmation) = node.receive().await.1 else { panic!("another kind of message") };
        rounds.push(confirmation.round.0);
    }
    rounds.sort_unstable();
    assert!(rounds.into_iter().eq(0..40));
}

#[tokio::test]
async fn a_queue_for_a_peer_that_is_down_is_bounded() {
    let (receiver, sender) = (certificate(), certificate());
    let link = Link::new(SECOND, None, receiver.fingerprint(), &sender).expect("a link");
    let message = Arc::new(Sampler::new(20).confirmation(1));
    let full = (0..10_000).find_map(|_| link.send(&message, later()).err());
    assert_eq!(full, Some(SendError::QueueFull(SECOND)));
}

#[tokio::test]
async fn refuses_a_body_over_the_limit_while_it_comes() {
    let (receiver, sender) = (certificate(), certificate());
    let tcp = bind("127.0.0.1:0").await.expect("a free port");
    let limits = Limits { max_body_bytes: 2 * CHUNK_LEN, ..Limits::default() };
    let node = Node::start_on(tcp, &receiver, pins(&[(FIRST, &sender)]), limits, 1);
    let (header, _) = encode(&Arc::new(Sampler::new(21).batch(1)));
    let piece = Bytes::from(vec![0; CHUNK_LEN]);
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let records = (0..1000).map(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        pb::Chunk { part: Some(Part::Records(piece.clone())) }
    });
    let stream = tokio_stream::iter(std::iter::once(pb::Chunk { part: Some(Part::Header(header)) }).chain(records));
    let refused = deliver(Some(&sender), &receiver, &node.address, stream).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert_eq!(refused.message(), format!("the body is longer than {} bytes", 2 * CHUNK_LEN));
    assert!(made.load(Ordering::Relaxed) < 100, "{} MiB were taken", made.load(Ordering::Relaxed));
}

#[tokio::test]
async fn refuses_malformed_messages_and_says_why() {
    let (receiver, sender) = (certificate(), certificate());
    let node = Node::start(&receiver, pins(&[(FIRST, &sender)])).await;
    let (header, _) = encode(&Arc::new(Sampler::new(22).batch(1)));
    let header = pb::Chunk { part: Some(Part::Header(header)) };
    let records = pb::Chunk { part: Some(Part::Records(Bytes::from_static(&[1]))) };
    let cases = [
        (vec![], "the message has no header"),
        (vec![records, header.clone()], "records came before the header"),
        (vec![header.clone(), header], "the message has a second header"),
    ];
    for (chunks, expected) in cases {
        let refused = deliver(Some(&sender), &receiver, &node.address, tokio_stream::iter(chunks)).await;
        assert_eq!(refused.expect_err("refused").message(), expected);
    }
}

#[tokio::test]
async fn one_party_delivers_only_so_much_at_once() {
    let (receiver, sender) = (certificate(), certificate());
    let tcp = bind("127.0.0.1:0").await.expect("a free port");
    let limits = Limits { deliveries_per_party: 1, ..Limits::default() };
    let mut node = Node::start_on(tcp, &receiver, pins(&[(FIRST, &sender)]), limits, 4);
    let mut sampler = Sampler::new(23);
    let (header, _) = encode(&Arc::new(sampler.batch(1)));
    let (slow, chunks) = mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(chunks);
    let (own, expected, address) = (Arc::clone(&sender), Arc::clone(&receiver), node.address.clone());
    let first = tokio::spawn(async move { deliver(Some(&own), &expected, &address, stream).await });
    slow.send(pb::Chunk { part: Some(Part::Header(header)) }).await.expect("is read");
    let piece = Bytes::from(vec![0; CHUNK_LEN]);
    // More than fits into the windows: once all is sent, the node is reading.
    for _ in 0..20 {
        slow.send(pb::Chunk { part: Some(Part::Records(piece.clone())) }).await.expect("is read");
    }
    let second = deliver(Some(&sender), &receiver, &node.address, in_chunks(sampler.confirmation(1)));
    assert_eq!(second.await.expect_err("there is no room").code(), Code::Unavailable);
    drop(slow);
    timeout(LONG, first).await.expect("ends").expect("no panic").expect("delivered");
    assert!(matches!(node.receive().await.1, Message::Batch(_)));
    deliver(Some(&sender), &receiver, &node.address, in_chunks(sampler.confirmation(2))).await.expect("room again");
}

#[tokio::test]
async fn says_who_cannot_be_reached_where() {
    let (own, other) = (certificate(), certificate());
    let free = bind("127.0.0.1:0").await.expect("a free port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let message = Sampler::new(24).confirmation(1);
    let refused = deliver(Some(&own), &other, &address, in_chunks(message)).await.expect_err("nobody there");
    let text = explain(&refused);
    assert!(text.starts_with(&format!("the coordinator does not answer at {address}: ")), "{text}");
}

#[tokio::test]
async fn says_which_port_is_in_use() {
    let taken = bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let error = bind(&address).await.expect_err("in use");
    assert!(matches!(error, BindError::InUse { .. }));
    assert!(error.to_string().starts_with(&format!("cannot listen on {address}: the port is in use")), "{error}");
    assert!(matches!(bind("nonsense").await, Err(BindError::Other { .. })));
}
