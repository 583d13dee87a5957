//! Faults as they happen: drawn from a seed, each with its end.

use hippodrome_core::ids::ServerId;
use hippodrome_crypto::permutation::below;
use rand_chacha::ChaCha20Rng;

use crate::network::{Fault, LinkQuality, Network, Node};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Messages are lost and come twice, on every link.
    Loss,
    /// Links are slow and uneven.
    Delay,
    /// Two servers cannot reach each other.
    Partition,
    /// The coordinator cannot reach a server.
    CoordinatorPartition,
    /// A server dies and comes back.
    ServerCrash,
    /// The coordinator dies and comes back.
    CoordinatorCrash,
    /// A server stops, and goes on as if nothing had been.
    FrozenServer,
    /// The coordinator stops, and goes on as if nothing had been.
    FrozenCoordinator,
    /// A server is slow.
    SlowServer,
    /// A server's disk is full.
    FullDisk,
    /// The coordinator's disk is full.
    FullCoordinatorDisk,
    /// Everybody's clock is a little off.
    ClockSkew,
    /// One server's clock is an hour off.
    ClockFarOff,
    /// A client's clock is an hour off.
    ClientClockFarOff,
    /// Clients die and come back.
    ClientCrash,
    /// Clients lose their connection.
    ClientOffline,
}

/// Most milliseconds by which a clock that is a little off differs.
const SKEW_MS: u32 = 200;
/// An hour.
const FAR_MS: i64 = 3_600_000;

impl Trouble {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::Loss,
        Self::Delay,
        Self::Partition,
        Self::CoordinatorPartition,
        Self::ServerCrash,
        Self::CoordinatorCrash,
        Self::FrozenServer,
        Self::FrozenCoordinator,
        Self::SlowServer,
        Self::FullDisk,
        Self::FullCoordinatorDisk,
        Self::ClockSkew,
        Self::ClockFarOff,
        Self::ClientClockFarOff,
        Self::ClientCrash,
        Self::ClientOffline,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Partition => "partition",
            Self::CoordinatorPartition => "coordinator-partition",
            Self::ServerCrash => "server-crash",
            Self::CoordinatorCrash => "coordinator-crash",
            Self::FrozenServer => "frozen-server",
            Self::FrozenCoordinator => "frozen-coordinator",
            Self::SlowServer => "slow-server",
            Self::FullDisk => "full-disk",
            Self::FullCoordinatorDisk => "full-coordinator-disk",
            Self::ClockSkew => "clock-skew",
            Self::ClockFarOff => "clock-far-off",
            Self::ClientClockFarOff => "client-clock-far-off",
            Self::ClientCrash => "client-crash",
            Self::ClientOffline => "client-offline",
        }
    }

    /// Lets it happen and end within the next `span_ms` milliseconds.
    pub(super) fn schedule(self, network: &mut Network, clients: usize, span_ms: u64, rng: &mut ChaCha20Rng) {
        let start = u64::from(below(span_ms as u32 / 2, rng));
        let end = start + 1 + u64::from(below((span_ms - start) as u32 - 1, rng));
        let server = |rng: &mut ChaCha20Rng| Node::Server(ServerId(below(network.servers().into(), rng) as u16));
        let client = |rng: &mut ChaCha20Rng| Node::Client(below(clients as u32, rng) as usize);
        let pairs: Vec<(Fault, Fault)> = match self {
            Self::Loss => {
                let lossy = LinkQuality { loss_per_mille: 20 + u64::from(below(150, rng)), ..LinkQuality::default() };
                vec![(Fault::Links(lossy), Fault::Links(LinkQuality::default()))]
            }
            Self::Delay => {
                let uneven = LinkQuality { delay_ms: 10, jitter_ms: 60, ..LinkQuality::default() };
                vec![(Fault::Links(uneven), Fault::Links(LinkQuality::default()))]
            }
            Self::Partition => {
                let (one, other) = (server(rng), server(rng));
                vec![(Fault::Cut(one, other), Fault::Heal(one, other))]
            }
            Self::CoordinatorPartition => {
                let one = server(rng);
                vec![(Fault::Cut(one, Node::Coordinator), Fault::Heal(one, Node::Coordinator))]
            }
            Self::ServerCrash => crash(server(rng)),
            Self::CoordinatorCrash => crash(Node::Coordinator),
            Self::FrozenServer => freeze(server(rng)),
            Self::FrozenCoordinator => freeze(Node::Coordinator),
            Self::SlowServer => {
                let (slow, by_ms) = (server(rng), 20 + u64::from(below(400, rng)));
                vec![(Fault::Slow(slow, by_ms), Fault::Slow(slow, 0))]
            }
            Self::FullDisk => fill(server(rng)),
            Self::FullCoordinatorDisk => fill(Node::Coordinator),
            Self::ClockSkew => {
                let servers = (0..network.servers()).map(|id| Node::Server(ServerId(id)));
                let all = servers.chain((0..clients).map(Node::Client)).chain([Node::Coordinator]);
                let skew = |rng: &mut ChaCha20Rng| i64::from(below(2 * SKEW_MS, rng)) - i64::from(SKEW_MS);
                all.map(|node| (Fault::Skew(node, skew(rng)), Fault::Skew(node, 0))).collect()
            }
            Self::ClockFarOff => far_off(server(rng), rng),
            Self::ClientClockFarOff => far_off(client(rng), rng),
            Self::ClientCrash => (0..clients).flat_map(|_| crash(client(rng))).collect(),
            Self::ClientOffline => {
                let offline = (0..clients).map(|_| client(rng));
                offline.map(|one| (Fault::Cut(one, Node::Coordinator), Fault::Heal(one, Node::Coordinator))).collect()
            }
        };
        for (begin, over) in pairs {
            network.schedule_fault(start, begin);
            network.schedule_fault(end, over);
        }
    }
}

fn crash(node: Node) -> Vec<(Fault, Fault)> {
    vec![(Fault::Crash(node), Fault::Restart(node))]
}

fn freeze(node: Node) -> Vec<(Fault, Fault)> {
    vec![(Fault::Freeze(node), Fault::Thaw(node))]
}

fn fill(node: Node) -> Vec<(Fault, Fault)> {
    vec![(Fault::FillDisk(node), Fault::EmptyDisk(node))]
}

fn far_off(node: Node, rng: &mut ChaCha20Rng) -> Vec<(Fault, Fault)> {
    let ahead_ms = if below(2, rng) == 0 { FAR_MS } else { -FAR_MS };
    vec![(Fault::Skew(node, ahead_ms), Fault::Skew(node, 0))]
}
