//! Network parameters: the same everywhere, part of the network's identity, never a node's own setting.

use hippodrome_crypto::hash::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::wire;

/// How a hop shows that it shuffled; a property of the network, never a switch at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verification {
    /// The shuffle argument.
    Full,
    /// One equality proof over the sums of keys (XRD, NSDI 2020), with every signature of knowledge checked by all.
    Aggregate,
    /// Nothing (Vuvuzela, SOSP 2015): for comparison only.
    None,
}

impl Verification {
    /// The word in configuration files and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Aggregate => "aggregate",
            Self::None => "none",
        }
    }
}

/// Everything that all parties must agree on. Hashed, with the directory, into the network's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkParams {
    /// A name for people.
    pub name: String,
    /// Chains in each layer.
    pub chains: u16,
    /// Servers in a chain.
    pub chain_len: u8,
    /// Layers of chains, 1 to 3.
    pub layers: u8,
    /// How hops are verified.
    pub verification: Verification,
    /// Messages that each client sends in each round.
    pub slots: u16,
    /// Noise records that each server sends into each input chain in each round; times `chains` it is even.
    pub noise_per_chain: u32,
    /// Milliseconds from the start of one round's window to the next.
    pub period_ms: u64,
    /// Milliseconds from the start of the window in which submissions are taken.
    pub collect_ms: u64,
    /// Milliseconds from the start of the window after which servers end the round and erase its secrets.
    pub deadline_ms: u64,
    /// Most records that a chain takes in one round; clients' surplus is refused, noise never.
    pub max_batch: u32,
    /// Servers assumed to be bad at most, for the topology's failure odds and the quorum.
    pub bad_servers: u16,
}

/// Most rounds that a deadline may keep under way at a time.
pub const MAX_ROUNDS_IN_FLIGHT: u64 = 128;

/// A parameter that no network can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("network parameter `{field}` is {value}: {expected}")]
pub struct BadParameter {
    /// Name of the field.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// What is expected.
    pub expected: &'static str,
}

impl NetworkParams {
    /// Checks that a network of `servers` servers can have these parameters.
    pub fn check(&self, servers: usize) -> Result<(), BadParameter> {
        let refuse = |field, value: u64, expected| Err(BadParameter { field, value: value.to_string(), expected });
        if self.name.is_empty() || self.name.len() > 64 {
            return refuse("name", self.name.len() as u64, "the name has 1 to 64 bytes");
        }
        if self.chains == 0 || self.chains > 1024 {
            return refuse("chains", self.chains.into(), "1 to 1024 chains");
        }
        if self.chain_len == 0 || self.chain_len > 31 || usize::from(self.chain_len) > servers {
            return refuse("chain_len", self.chain_len.into(), "1 to 31, and not more than there are servers");
        }
        if self.layers == 0 || self.layers > 3 {
            return refuse("layers", self.layers.into(), "1, 2 or 3 layers");
        }
        if self.layers == 1 && self.chains != 1 {
            return refuse(
                "chains",
                self.chains.into(),
                "1 where there is one layer: clients of two chains would never meet",
            );
        }
        if self.slots == 0 || self.slots > 16 {
            return refuse("slots", self.slots.into(), "1 to 16 messages a client and round");
        }
        if self.noise_per_chain > 1 << 16 {
            return refuse(
                "noise_per_chain",
                self.noise_per_chain.into(),
                "at most 65536, since slots are numbered by 16 bits",
            );
        }
        if !(u64::from(self.noise_per_chain) * u64::from(self.chains)).is_multiple_of(2) {
            return refuse("noise_per_chain", self.noise_per_chain.into(), "times `chains` it must be even");
        }
        if self.period_ms < 100 {
            return refuse("period_ms", self.period_ms, "at least 100 milliseconds");
        }
        if self.collect_ms == 0 || self.collect_ms > self.period_ms {
            return refuse("collect_ms", self.collect_ms, "more than 0 and not more than period_ms");
        }
        if self.deadline_ms <= self.collect_ms {
            return refuse("deadline_ms", self.deadline_ms, "later than collect_ms");
        }
        if self.deadline_ms > self.period_ms.saturating_mul(MAX_ROUNDS_IN_FLIGHT) {
            return refuse(
                "deadline_ms",
                self.deadline_ms,
                "at most 128 periods, since so many rounds would be in flight",
            );
        }
        let noise = u64::from(self.noise_per_chain) * servers as u64;
        if u64::from(self.max_batch) <= noise || self.max_batch > 1 << 24 {
            return refuse("max_batch", self.max_batch.into(), "more than the noise of all servers, at most 2^24");
        }
        if usize::from(self.bad_servers) >= servers {
            return refuse("bad_servers", self.bad_servers.into(), "fewer than there are servers");
        }
        Ok(())
    }

    /// Digest of all parameters and of the sizes that follow from them.
    pub fn digest(&self) -> Digest {
        Hasher::new("hippodrome v1 network parameters")
            .bytes(self.name.as_bytes())
            .number(self.chains.into())
            .number(self.chain_len.into())
            .number(self.layers.into())
            .bytes(self.verification.name().as_bytes())
            .number(self.slots.into())
            .number(self.noise_per_chain.into())
            .number(self.period_ms)
            .number(self.collect_ms)
            .number(self.deadline_ms)
            .number(self.max_batch.into())
            .number(self.bad_servers.into())
            .number(wire::FRAME_LEN as u64)
            .number(self.sizes().submission as u64)
            .finish()
    }

    /// The widths of records that follow from the parameters.
    pub fn sizes(&self) -> wire::Sizes {
        wire::Sizes::new(usize::from(self.chain_len), usize::from(self.layers))
    }

    /// Hop proofs that all servers together check in one round: each hop's by every hop after it.
    pub fn hops_verified_per_round(&self) -> u64 {
        match self.verification {
            Verification::None => 0,
            _ => {
                let len = u64::from(self.chain_len);
                u64::from(self.layers) * u64::from(self.chains) * (len * (len - 1) / 2)
            }
        }
    }
}
