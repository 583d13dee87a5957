//! Network parameters: the same everywhere, part of the network's identity, never a node's own setting.

use hippodrome_crypto::hash::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::{
    noise::{MAX_NOISE_SLOTS, NoiseParams},
    wire,
};

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
    /// Every mode, the strictest first.
    pub const ALL: [Self; 3] = [Self::Full, Self::Aggregate, Self::None];

    /// The mode with a name; none if no mode has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

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
    /// What noise each server sends in each round.
    pub noise: NoiseParams,
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
    /// Fewest servers that an epoch, less those struck in it, may have: noise and failure odds are computed for them.
    pub min_live: u16,
    /// The chance that any chain of any draw ever made is all bad stays below 2^-`failure_bits`; 0 claims nothing.
    pub failure_bits: u16,
    /// Least milliseconds from the start of one epoch to the start of the next.
    pub epoch_ms: u64,
}

/// Most rounds that a deadline may keep under way at a time.
pub const MAX_ROUNDS_IN_FLIGHT: u64 = 128;

/// Most bits that a network can claim: far from the resolution of [`Odds`].
pub const MAX_FAILURE_BITS: u16 = 64;

/// Longest least length of an epoch: 34 years, so that no doubling of it overflows.
const MAX_EPOCH_MS: u64 = 1 << 40;

/// Fewest servers that a network relies on if it states a guarantee and audits noise.
pub const MIN_AUDITED: u16 = 8;

/// A bound on a chance, in units of 2^-110 and rounded up, so that everybody computes the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Odds(u128);

impl Odds {
    const ONE_BITS: u16 = 110;

    /// Whether the chance is less than 2^-`bits`; any chance is for 0 bits, which claim nothing.
    pub fn is_below(self, bits: u16) -> bool {
        bits == 0 || bits < Self::ONE_BITS && self.0 < 1 << (Self::ONE_BITS - bits)
    }

    /// The bound's negative logarithm to base 2, for people: at least 0, infinite where nothing can go wrong.
    pub fn bits(self) -> f64 {
        (f64::from(Self::ONE_BITS) - (self.0 as f64).log2()).max(0.0)
    }
}

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
        if self.noise.slots > MAX_NOISE_SLOTS {
            let expected = "at most 32768 slots, since a chain's records of one server are numbered by 16 bits";
            return refuse("noise.slots", self.noise.slots.into(), expected);
        }
        self.check_audit()?;
        let replies = self.noise.guarantee.and_then(|guarantee| guarantee.replies);
        if let Some(replies) = replies.filter(|replies| replies.limits == 0 || replies.spread == 0) {
            let least = replies.limits.min(replies.spread).into();
            return refuse("noise.guarantee.replies", least, "limits and spread of at least 1, or no such table");
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
        let noise = u64::from(self.noise.most_per_chain()) * servers as u64;
        if u64::from(self.max_batch) <= noise || self.max_batch > 1 << 24 {
            let expected = "more than the noise of all servers where only one chain is open, at most 2^24";
            return refuse("max_batch", self.max_batch.into(), expected);
        }
        if usize::from(self.bad_servers) >= servers {
            return refuse("bad_servers", self.bad_servers.into(), "fewer than there are servers");
        }
        self.check_epochs(servers)
    }

    /// Opened noise hides nothing: where it is stated what the noise hides, there has to be much besides.
    fn check_audit(&self) -> Result<(), BadParameter> {
        let Some(one_in) = self.noise.audit else { return Ok(()) };
        let refuse = |expected| Err(BadParameter { field: "noise.audit", value: one_in.to_string(), expected });
        let relied_on = self.min_live.saturating_sub(self.bad_servers);
        match self.noise {
            NoiseParams { slots: 0, .. } => refuse("nothing, since there is no noise that could be pledged"),
            NoiseParams { guarantee: Some(_), .. } if relied_on < MIN_AUDITED => {
                refuse("nothing, since a guarantee is stated and fewer than eight servers are relied on")
            }
            _ => Ok(()),
        }
    }

    fn check_epochs(&self, servers: usize) -> Result<(), BadParameter> {
        let refuse = |field, value: u64, expected| Err(BadParameter { field, value: value.to_string(), expected });
        let min_live = usize::from(self.min_live);
        if min_live < self.quorum(servers) || min_live > servers {
            let expected = "at least the quorum (all servers, if a third of them may be bad), at most all servers";
            return refuse("min_live", self.min_live.into(), expected);
        }
        if self.min_live < self.chain_len.into() {
            return refuse("min_live", self.min_live.into(), "at least `chain_len`");
        }
        if self.failure_bits > MAX_FAILURE_BITS {
            return refuse("failure_bits", self.failure_bits.into(), "0 (nothing is claimed) to 64");
        }
        if !self.odds(1).is_below(self.failure_bits) {
            let expected = "less: a first draw already fails too often with these chains, `bad_servers` and `min_live`";
            return refuse("failure_bits", self.failure_bits.into(), expected);
        }
        if self.epoch_ms < self.period_ms || self.epoch_ms > MAX_EPOCH_MS {
            return refuse("epoch_ms", self.epoch_ms, "at least one period, at most 2^40 milliseconds");
        }
        Ok(())
    }

    /// How many of `servers` servers must sign an epoch or an amendment: any two quorums share an honest server, and
    /// the honest ones make one by themselves. If a third or more may be bad there is no such number, and all must.
    pub fn quorum(&self, servers: usize) -> usize {
        let bad = usize::from(self.bad_servers);
        if 3 * bad < servers { (servers + bad) / 2 + 1 } else { servers }
    }

    /// Bound on the chance that any chain of the first `draws` draws is all bad: `draws · layers · chains` times that
    /// of one chain among the fewest servers that an epoch may have. The bound is the same whoever is live or struck.
    pub fn odds(&self, draws: u64) -> Odds {
        let mut chain = 1_u128 << Odds::ONE_BITS;
        for taken in 0..u16::from(self.chain_len) {
            let bad = u128::from(self.bad_servers.saturating_sub(taken));
            let all = u128::from(self.min_live.saturating_sub(taken).max(1));
            chain = (chain * bad).div_ceil(all);
        }
        let chains = u128::from(self.layers) * u128::from(self.chains) * u128::from(draws);
        Odds(chain.saturating_mul(chains))
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
            .digest(&self.noise.digest())
            .number(self.period_ms)
            .number(self.collect_ms)
            .number(self.deadline_ms)
            .number(self.max_batch.into())
            .number(self.bad_servers.into())
            .number(self.min_live.into())
            .number(self.failure_bits.into())
            .number(self.epoch_ms)
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

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::noise::{Guarantee, ReplyBudget};

    pub(crate) fn params() -> NetworkParams {
        NetworkParams {
            name: "checked".into(),
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
            epoch_ms: 1000,
        }
    }

    #[test]
    fn two_quorums_share_an_honest_server_and_the_honest_ones_are_one() {
        for servers in 1..60 {
            for bad in 0..servers {
                let quorum = NetworkParams { bad_servers: bad as u16, ..params() }.quorum(servers);
                if 3 * bad < servers {
                    assert!(2 * quorum > servers + bad && quorum <= servers - bad, "{servers} {bad}");
                    assert!(2 * (quorum - 1) <= servers + bad, "the least such number");
                } else {
                    assert_eq!(quorum, servers, "any-trust");
                }
            }
        }
    }

    #[test]
    fn what_no_network_can_have_is_refused_by_name() {
        assert_eq!(params().check(6), Ok(()));
        let field = |change: NetworkParams| change.check(6).expect_err("refused").field;
        assert_eq!(field(NetworkParams { min_live: 3, ..params() }), "min_live");
        assert_eq!(field(NetworkParams { min_live: 7, ..params() }), "min_live");
        assert_eq!(field(NetworkParams { chain_len: 5, ..params() }), "min_live");
        assert_eq!(field(NetworkParams { bad_servers: 2, ..params() }), "min_live");
        let noise = |slots| NetworkParams { noise: NoiseParams::uniform(slots), ..params() };
        assert_eq!(field(noise(MAX_NOISE_SLOTS + 1)), "noise.slots");
        assert_eq!(field(noise(342)), "max_batch");
        let audit = NonZeroU32::new(60);
        let audited = |noise| NetworkParams { noise: NoiseParams { audit, ..noise }, ..params() };
        let guarantee = Some(Guarantee { rounds: 1, epsilon_millionths: 1, delta_billionths: 1, replies: None });
        assert_eq!(audited(params().noise).check(6), Ok(()), "where nothing is stated");
        assert_eq!(field(audited(NoiseParams::NONE)), "noise.audit");
        assert_eq!(field(audited(NoiseParams { guarantee, ..params().noise })), "noise.audit");
        let large = NetworkParams { min_live: 9, ..audited(NoiseParams { guarantee, ..params().noise }) };
        assert_eq!(large.check(9), Ok(()));
        assert_ne!(audited(params().noise).digest(), params().digest());
        let replies = |limits, spread| {
            let replies = Some(ReplyBudget { limits, spread });
            let guarantee = Guarantee { rounds: 10, epsilon_millionths: 1, delta_billionths: 1, replies };
            NetworkParams { noise: NoiseParams { guarantee: Some(guarantee), ..params().noise }, ..params() }
        };
        assert_eq!(field(replies(0, 1)), "noise.guarantee.replies");
        assert_eq!(field(replies(1, 0)), "noise.guarantee.replies");
        assert_eq!(replies(1, 1).check(6), Ok(()));
        assert_eq!(field(NetworkParams { failure_bits: 65, ..params() }), "failure_bits");
        assert_eq!(field(NetworkParams { failure_bits: 2, bad_servers: 3, min_live: 6, ..params() }), "failure_bits");
        assert_eq!(field(NetworkParams { epoch_ms: 999, ..params() }), "epoch_ms");
        assert_eq!(field(NetworkParams { epoch_ms: u64::MAX, ..params() }), "epoch_ms");
    }

    #[test]
    fn odds_count_every_chain_of_every_draw() {
        // One chain of 3 among 10 with 3 bad: 1/120; 6 chains a draw.
        let params = NetworkParams { bad_servers: 3, min_live: 10, ..params() };
        let one = params.odds(1);
        assert!((one.bits() - 20_f64.log2()).abs() < 1e-9, "{}", one.bits());
        assert!(one.is_below(4) && !one.is_below(5) && one.is_below(0));
        assert!(params.odds(2) > one && params.odds(u64::MAX) > params.odds(2));
        // Fewer bad servers than a chain has members: no chain is ever all bad.
        let safe = NetworkParams { bad_servers: 2, ..params };
        assert!(safe.odds(u64::MAX).is_below(MAX_FAILURE_BITS) && safe.odds(1).bits().is_infinite());
    }
}
