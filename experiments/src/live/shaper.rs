//! Links as they are between cities, on one machine: everything that nodes and clients send each other passes a shaper that
//! delays it.
//!
//! In front of every node stands an address of the shaper, which nodes and clients believe to be the node's. Whoever connects
//! there is found out by the process that holds the connection's other end, so that each pair of places can have a link of
//! its own. A stream arrives in order and whole, as TCP has it; what a lossy link costs is time: a lost segment comes a
//! round trip later, and everything behind it waits.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Runtime,
    sync::mpsc,
    time::{sleep, sleep_until},
};

use super::owner::owner_of;
use crate::{preset::Link, seeds::Seed};

/// Bytes of a TCP segment on an Ethernet.
const SEGMENT: usize = 1448;
/// What a sender needs to notice a loss, besides a round trip.
const NOTICE: Duration = Duration::from_millis(10);
/// Pieces on their way in one direction of a connection; more wait with their sender.
const PIECES: usize = 256;
/// Longest piece.
const PIECE: usize = 1 << 14;
/// How long a node may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The links between all places. A place is a node or the clients.
#[derive(Clone, Debug)]
pub struct Links {
    /// The link where none of its own is named.
    pub usual: Link,
    /// Where each place is; the usual link for those that are nowhere.
    pub regions: BTreeMap<String, String>,
    /// One-way delays between regions, milliseconds, in place of the usual link's.
    pub delays_ms: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Links {
    /// The link from one place to another.
    pub fn between(&self, from: &str, to: &str) -> Link {
        let delay = || {
            let (from, to) = (self.regions.get(from)?, self.regions.get(to)?);
            let of = |a: &str, b: &str| self.delays_ms.get(a)?.get(b).copied();
            of(from, to).or_else(|| of(to, from))
        };
        delay().map_or(self.usual, |delay_ms| Link { delay_ms, ..self.usual })
    }
}

/// When what is sent in one direction of a connection arrives.
pub struct Schedule {
    link: Link,
    rng: ChaCha20Rng,
    /// When the line is free again.
    free: Instant,
    /// When what was sent last arrives.
    last: Instant,
}

impl Schedule {
    /// A line that is free from now on.
    pub fn new(link: Link, seed: &Seed, now: Instant) -> Self {
        Self { link, rng: seed.rng(), free: now, last: now }
    }

    /// When `len` bytes arrive whose last one is handed to the line `now`: never before anything that was sent earlier.
    pub fn arrival(&mut self, now: Instant, len: usize) -> Instant {
        let Link { delay_ms, jitter_ms, rate_mbit, .. } = self.link;
        let sending = if rate_mbit > 0.0 { len as f64 * 8.0 / (rate_mbit * 1e6) } else { 0.0 };
        self.free = self.free.max(now) + Duration::from_secs_f64(sending);
        let on_the_way = (delay_ms + jitter_ms * self.uniform()) / 1000.0;
        let arrival = self.free + Duration::from_secs_f64(on_the_way) + self.retransmission(len);
        self.last = self.last.max(arrival);
        self.last
    }

    /// What lost segments cost: those of one piece are sent again together.
    fn retransmission(&mut self, len: usize) -> Duration {
        let loss = self.link.loss;
        let is_lost = (0..len.div_ceil(SEGMENT)).fold(false, |lost, _| (self.uniform() < loss) | lost);
        match is_lost {
            true => NOTICE + Duration::from_secs_f64(2.0 * self.link.delay_ms / 1000.0),
            false => Duration::ZERO,
        }
    }

    fn uniform(&mut self) -> f64 {
        self.rng.next_u32() as f64 / 2_f64.powi(32)
    }
}

/// Who is in front of which node.
#[derive(Clone, Debug)]
pub struct Fronts(BTreeMap<String, SocketAddr>);

impl Fronts {
    /// Where a node seems to be.
    pub fn of(&self, node: &str) -> Option<SocketAddr> {
        self.0.get(node).copied()
    }

    /// As a file for `testnet up --fronts`.
    pub fn text(&self) -> String {
        self.0.iter().map(|(node, address)| format!("{node} = \"{address}\"\n")).collect()
    }
}

/// What all connections share.
struct Shared {
    links: Links,
    seed: Seed,
    /// The network's directory, in which nodes write where they are, and who they are.
    net: PathBuf,
}

/// Everything between the nodes, until it is dropped.
pub struct Shaper {
    fronts: Fronts,
    _runtime: Runtime,
}

impl Shaper {
    /// Takes an address of this machine for each node of a network in the directory `net`, which need not be there yet.
    pub fn start(nodes: impl Iterator<Item = String>, net: &Path, links: Links, seed: Seed) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shared = Arc::new(Shared { links, seed, net: net.to_owned() });
        let mut fronts = BTreeMap::new();
        for node in nodes {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
            fronts.insert(node.clone(), listener.local_addr()?);
            runtime.spawn(Arc::clone(&shared).stand_in_front(node, listener));
        }
        Ok(Self { fronts: Fronts(fronts), _runtime: runtime })
    }

    /// Where nodes seem to be.
    pub fn fronts(&self) -> &Fronts {
        &self.fronts
    }
}

impl Shared {
    async fn stand_in_front(self: Arc<Self>, node: String, listener: TcpListener) {
        for number in 0.. {
            match listener.accept().await {
                Ok((stream, peer)) => drop(tokio::spawn(Arc::clone(&self).connect(node.clone(), stream, peer, number))),
                // Out of files, as a rule: others have to close first.
                Err(_) => sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Joins whoever has come with the node; a connection that cannot be made is closed, as the node's absence would.
    async fn connect(self: Arc<Self>, node: String, stream: TcpStream, peer: SocketAddr, number: u64) {
        let from = owner_of(peer, &self.net.join("run")).unwrap_or_else(|| "clients".to_owned());
        let Some(target) = self.target(&node).await else { return };
        let Ok(onward) = TcpStream::connect(target).await else { return };
        if stream.set_nodelay(true).and_then(|()| onward.set_nodelay(true)).is_err() {
            return;
        }
        let seed = self.seed.of(&from, 0).of(&node, number);
        let (there, back) = (self.links.between(&from, &node), self.links.between(&node, &from));
        let ((from_peer, to_peer), (from_node, to_node)) = (stream.into_split(), onward.into_split());
        let now = Instant::now();
        tokio::join!(
            carry(from_peer, to_node, Schedule::new(there, &seed.of("there", 0), now)),
            carry(from_node, to_peer, Schedule::new(back, &seed.of("back", 0), now)),
        );
    }

    /// Where a node listens, once it does.
    async fn target(&self, node: &str) -> Option<SocketAddr> {
        let file = match node {
            "coordinator" => self.net.join("coordinator.address"),
            server => self.net.join("run").join(format!("{server}.address")),
        };
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(address) = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()) {
                return Some(address);
            }
            sleep(LOOK_AGAIN).await;
        }
        None
    }
}

/// Carries one direction of a connection to its end.
async fn carry(mut from: OwnedReadHalf, to: OwnedWriteHalf, mut schedule: Schedule) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let delivery = tokio::spawn(deliver(receiver, to));
    let mut piece = vec![0; PIECE];
    while let Ok(len @ 1..) = from.read(&mut piece).await {
        let arrival = schedule.arrival(Instant::now(), len);
        if sender.send((arrival, piece[..len].to_vec())).await.is_err() {
            break;
        }
    }
    drop(sender);
    // It ends when the last piece has arrived, or with its runtime.
    let _ = delivery.await;
}

async fn deliver(mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: OwnedWriteHalf) {
    while let Some((arrival, piece)) = pieces.recv().await {
        sleep_until(arrival.into()).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn seed() -> Seed {
        Seed::master(1)
    }

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn what_is_sent_arrives_after_its_delay_and_in_order() {
        let now = Instant::now();
        let link = Link { delay_ms: 30.0, jitter_ms: 20.0, ..Link::default() };
        let mut schedule = Schedule::new(link, &seed(), now);
        let arrivals: Vec<Instant> = (0..200).map(|step| schedule.arrival(now + ms(step), 100)).collect();
        assert!(arrivals.is_sorted());
        for (step, arrival) in (0..).zip(&arrivals) {
            assert!((ms(30)..=ms(51)).contains(&(*arrival - (now + ms(step)))) || step > 0, "{step}");
            assert!(*arrival >= now + ms(step) + ms(30));
        }
        assert!(arrivals[0] > now + ms(30), "there is jitter");
    }

    #[test]
    fn a_line_is_as_fast_as_its_rate() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Link { rate_mbit: 8.0, ..Link::default() }, &seed(), now);
        // A megabyte a second.
        let last = (0..100).map(|_| schedule.arrival(now, 10_000)).last().expect("some");
        assert!((ms(999)..=ms(1001)).contains(&(last - now)));
    }

    #[test]
    fn losses_cost_a_round_trip_each_about_as_often_as_the_link_says() {
        let now = Instant::now();
        let link = Link { delay_ms: 50.0, loss: 0.1, ..Link::default() };
        let mut schedule = Schedule::new(link, &seed(), now);
        let is_late = |step: u64| {
            // So far apart that none waits for the one before.
            let sent = now + ms(1000 * step);
            schedule.arrival(sent, SEGMENT) - sent > ms(100)
        };
        let late = (0..2000).map(is_late).filter(|late| *late).count();
        assert!((150..=250).contains(&late), "{late}");
    }

    #[test]
    fn a_seed_gives_the_same_arrivals() {
        let now = Instant::now();
        let arrivals = |seed: &Seed| {
            let link = Link { delay_ms: 5.0, jitter_ms: 5.0, rate_mbit: 10.0, loss: 0.1 };
            let mut schedule = Schedule::new(link, seed, now);
            (0..100).map(|step| schedule.arrival(now + ms(step), 5000) - now).collect::<Vec<_>>()
        };
        assert_eq!(arrivals(&seed()), arrivals(&seed()));
        assert_ne!(arrivals(&seed()), arrivals(&seed().of("other", 0)));
    }

    #[test]
    fn places_in_regions_have_the_delays_between_them() {
        let regions = [("server-0", "paris"), ("server-1", "tokyo"), ("server-2", "paris")];
        let regions = regions.map(|(place, region)| (place.to_owned(), region.to_owned())).into();
        let of_paris = [("paris".to_owned(), 1.0), ("tokyo".to_owned(), 110.0)].into();
        let usual = Link { delay_ms: 20.0, rate_mbit: 100.0, ..Link::default() };
        let links = Links { usual, regions, delays_ms: [("paris".to_owned(), of_paris)].into() };
        let delay = |from, to| links.between(from, to).delay_ms;
        assert_eq!([delay("server-0", "server-1"), delay("server-1", "server-0")], [110.0, 110.0]);
        assert_eq!([delay("server-0", "server-2"), delay("server-0", "clients")], [1.0, 20.0]);
        assert_eq!(links.between("server-0", "server-1").rate_mbit, 100.0);
    }

    #[test]
    fn a_connection_passes_the_shaper_and_is_as_slow_as_its_links() {
        let place = tempfile::tempdir().expect("a directory");
        fs::create_dir(place.path().join("run")).expect("made");
        let node = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let usual = Link { delay_ms: 40.0, ..Link::default() };
        let links = Links { usual, regions: BTreeMap::new(), delays_ms: BTreeMap::new() };
        let shaper = Shaper::start(["server-0".to_owned()].into_iter(), place.path(), links, seed()).expect("started");
        let front = shaper.fronts().of("server-0").expect("it is in front of it");
        assert_eq!(shaper.fronts().text(), format!("server-0 = \"{front}\"\n"));
        let address = node.local_addr().expect("an address");
        let echo = std::thread::spawn(move || {
            let (mut stream, _) = node.accept().expect("a connection");
            let mut text = [0; 5];
            stream.read_exact(&mut text).expect("read");
            stream.write_all(&text).expect("written");
        });
        let mut stream = std::net::TcpStream::connect(front).expect("connected");
        // The node says where it is only after somebody has come for it.
        fs::write(place.path().join("run/server-0.address"), address.to_string()).expect("written");
        let began = Instant::now();
        stream.write_all(b"hello").expect("written");
        let mut text = [0; 5];
        stream.read_exact(&mut text).expect("an echo");
        assert_eq!(&text, b"hello");
        assert!(began.elapsed() >= ms(80), "{:?}", began.elapsed());
        echo.join().expect("it ends");
    }
}
