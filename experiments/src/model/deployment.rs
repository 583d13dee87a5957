//! Servers, links and load.

use hippodrome_core::{noise::NoiseParams, params::Verification};
use hippodrome_proto::transport::Limits;
use serde::{Deserialize, Serialize};

/// A network on machines, and what it has to carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Servers.
    pub servers: u16,
    /// Cores of each machine.
    pub cores: u16,
    /// Threads of each server's pool.
    pub threads: u16,
    /// Which servers are on which machine.
    pub placement: Placement,
    /// Every server's link, and the coordinator's.
    pub link: Link,
    /// Chains in each layer.
    pub chains: u16,
    /// Servers in a chain.
    pub chain_len: u8,
    /// Layers of chains.
    pub layers: u8,
    /// How hops are verified.
    pub verification: Verification,
    /// Messages of all clients in a round.
    pub messages: u64,
    /// Clients that bring their messages to the coordinator, and get the replies there; 0 where others do that for it.
    pub clients: u64,
    /// Slots of noise of every server, two records each, at least.
    pub noise_slots: u32,
    /// Seconds from the start of one round to the start of the next.
    pub period_s: f64,
    /// Seconds in which submissions are taken, from the start of a round.
    pub collect_s: f64,
    /// Rounds that are played, one period after the other.
    pub rounds: u32,
}

/// Which servers are on which machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Each on its own, and the coordinator on another one like theirs.
    Apart,
    /// All on one, together with the coordinator: a testbed.
    Together,
}

/// One end of a line. On one machine there is hardly a delay, and no limit, unless a testbed makes them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Seconds that a bit is under way from one node to another.
    pub delay_s: f64,
    /// Bits a second, each way; 0 if there is no limit.
    pub bits_per_s: f64,
}

/// A deployment that there cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("deployment: {field} is {value}: {expected}")]
pub struct BadDeployment {
    field: &'static str,
    value: String,
    expected: &'static str,
}

impl Deployment {
    /// Refuses what there cannot be.
    ///
    /// # Errors
    /// [`BadDeployment`] names the field.
    pub fn check(&self) -> Result<(), BadDeployment> {
        let bad = |field, value: String, expected| Err(BadDeployment { field, value, expected });
        let whole = |value: u64, allowed: std::ops::RangeInclusive<u64>| allowed.contains(&value);
        let longest = u64::from(self.servers.min(31));
        for (field, value, allowed, expected) in [
            ("servers", self.servers.into(), 1..=10_000, "1 to 10000"),
            ("cores", self.cores.into(), 1..=1024, "1 to 1024"),
            ("threads", self.threads.into(), 1..=1024, "1 to 1024"),
            ("chains", self.chains.into(), 1..=1024, "1 to 1024"),
            ("chain_len", self.chain_len.into(), 1..=longest, "1 to 31, and no more than there are servers"),
            ("layers", self.layers.into(), 1..=3, "1 to 3"),
            ("messages", self.messages, 1..=1 << 32, "1 to 2^32"),
            ("rounds", self.rounds.into(), 1..=64, "1 to 64"),
        ] {
            if !whole(value, allowed) {
                return bad(field, value.to_string(), expected);
            }
        }
        let seconds = [("period_s", self.period_s), ("collect_s", self.collect_s), ("delay_s", self.link.delay_s)];
        for (field, value) in seconds.into_iter().chain([("bits_per_s", self.link.bits_per_s)]) {
            if !(value.is_finite() && (0.0..1e15).contains(&value)) {
                return bad(field, value.to_string(), "a finite number, 0 or more");
            }
        }
        match self.collect_s > self.period_s {
            true => bad("collect_s", self.collect_s.to_string(), "no more than period_s"),
            false => Ok(()),
        }
    }

    /// One-way delays from when the coordinator has all replies until the last client has its own: clients are told, ask, and
    /// are answered. Those of a testbed share a connection; which takes a request for each chain for as long as it lasts, and
    /// so many others at a time.
    pub(super) fn delays_of_clients(&self) -> u64 {
        let at_once = (Limits::default().deliveries_per_party as u64).saturating_sub(self.chains.into());
        1 + 2 * self.clients.div_ceil(at_once.max(1)).max(1)
    }

    /// Noise records that each server sends into each input chain.
    pub fn noise_per_chain(&self) -> u64 {
        NoiseParams::uniform(self.noise_slots).per_chain(self.chains.into()).into()
    }

    /// Noise records of one server.
    pub fn noise_per_server(&self) -> u64 {
        self.noise_per_chain() * u64::from(self.chains)
    }

    /// Records in each chain of each layer: all of clients and servers, spread evenly.
    pub fn batch(&self) -> u64 {
        self.messages.div_ceil(self.chains.into()) + self.noise_per_chain() * u64::from(self.servers)
    }
}
