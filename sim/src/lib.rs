//! All machines of the protocol in one process, under a simulated clock and network, with real cryptography.
//!
//! Everything follows from one seed. Messages take a simulated time; jobs run inline and take a simulated time too.
//! [`Fault`]s happen to the parties of a [`Network`], an [`Adversary`] sees every message between servers and decides
//! what is delivered in its place, and a [`Watcher`] looks for what must never happen.
//!
//! * [`network`]: the machines, their clocks, disks and links;
//! * [`client`], [`person`]: who submits, and what an observer of their lines sees;
//! * [`adversary`]: every attack of the protocol's review as a switch;
//! * [`scenario`]: what is run, what must hold in it, and what is reported.

pub mod adversary;
pub mod client;
pub mod network;
pub mod person;
pub mod scenario;

pub use self::{
    adversary::{Adversary, Passive},
    client::{Behaviour, Visitor},
    network::{Fault, Network, Node, Watcher},
};
use hippodrome_core::{
    noise::NoiseParams,
    params::{NetworkParams, Verification},
};

/// Parameters of a small network, to be changed where a scenario needs others.
pub fn small_params() -> NetworkParams {
    NetworkParams {
        name: "simulated".into(),
        chains: 3,
        chain_len: 3,
        layers: 2,
        verification: Verification::Full,
        slots: 1,
        noise: NoiseParams::uniform(6),
        period_ms: 1000,
        collect_ms: 500,
        deadline_ms: 3000,
        max_batch: 4096,
        bad_servers: 1,
        min_live: 4,
        failure_bits: 0,
        epoch_ms: 5000,
    }
}
