//! Links as they are between cities, on one machine: everything that nodes and clients send each other passes a shaper that
//! delays it.
//!
//! In front of every node stands an address of the shaper, which nodes and clients believe to be the node's. Whoever connects
//! there is found out by the process that holds the connection's other end, so that each pair of places can have a link of
//! its own. A stream arrives in order and whole, as TCP has it; what a lossy link costs is time: a lost segment comes a
//! round trip later, and everything behind it waits.

mod links;

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

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

pub use self::links::{Links, Schedule};
use super::owner::owner_of;
use crate::seeds::Seed;

/// Pieces on their way in one direction of a connection; more wait with their sender.
const PIECES: usize = 256;
/// Longest piece.
const PIECE: usize = 1 << 14;
/// How long a node may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

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
    use crate::preset::Link;

    #[test]
    fn a_connection_passes_the_shaper_and_is_as_slow_as_its_links() {
        let place = tempfile::tempdir().expect("a directory");
        fs::create_dir(place.path().join("run")).expect("made");
        let node = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let usual = Link { delay_ms: 40.0, ..Link::default() };
        let links = Links { usual, regions: BTreeMap::new(), delays_ms: BTreeMap::new() };
        let shaper =
            Shaper::start(["server-0".to_owned()].into_iter(), place.path(), links, Seed::master(1)).expect("started");
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
        assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
        echo.join().expect("it ends");
    }
}
