//! Settings of one point.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{PresetError, Trouble, wrong};
use crate::live::shaper::Links;

/// Settings of one point: a network, who uses it, and the links between its nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Point {
    /// Mix servers.
    pub servers: u16,
    /// Chains in each layer.
    pub chains: u16,
    /// Servers in each chain.
    pub chain_len: u8,
    /// Layers of chains.
    pub layers: u8,
    /// `full`, `aggregate` or `none`.
    pub verification: String,
    /// Messages of each client in each round.
    pub slots: u16,
    /// Noise records of each server in each chain and round.
    pub noise: u32,
    /// In place of `noise`: as much as hides whom somebody talks with.
    pub guarantee: Option<Target>,
    /// From one round to the next, milliseconds.
    pub period_ms: u64,
    /// Clients, all of which take part in every round.
    pub clients: u16,
    /// Pairs of clients who talk with each other.
    pub pairs: u16,
    /// Rounds that are not counted.
    pub warm_up: usize,
    /// Rounds that are counted.
    pub rounds: usize,
    /// Conditions on all links between nodes, and between clients and the coordinator; none for those of this machine.
    pub link: Option<Link>,
    /// Where nodes are: by name, and `clients`.
    pub regions: BTreeMap<String, String>,
    /// One-way delays between regions, milliseconds; in each direction the same, unless both are given.
    pub delays_ms: BTreeMap<String, BTreeMap<String, f64>>,
    /// Servers' noise is looked at, one round in so many; 0 for never.
    pub audit: u32,
    /// What goes wrong.
    pub trouble: Option<Trouble>,
}

/// What noise is to hide.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Odds change by e to this at most,
    pub epsilon: f64,
    /// but for this chance,
    pub delta: f64,
    /// over so many rounds.
    pub rounds: u64,
}

/// Conditions on links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// One way, milliseconds.
    pub delay_ms: f64,
    /// Up to so much more, uniformly, milliseconds.
    pub jitter_ms: f64,
    /// Of each connection and direction, megabits a second; 0 for as fast as it goes.
    pub rate_mbit: f64,
    /// Share of segments that are lost, and come a retransmission later.
    pub loss: f64,
}

impl Default for Point {
    fn default() -> Self {
        Self {
            servers: 6,
            chains: 3,
            chain_len: 3,
            layers: 2,
            verification: "full".into(),
            slots: 1,
            noise: 8,
            guarantee: None,
            period_ms: 1000,
            clients: 20,
            pairs: 5,
            warm_up: 4,
            rounds: 5,
            link: None,
            regions: BTreeMap::new(),
            delays_ms: BTreeMap::new(),
            audit: 0,
            trouble: None,
        }
    }
}

impl Point {
    /// What the network itself does not check when it is founded.
    pub(super) fn check(&self, origin: &str) -> Result<(), PresetError> {
        if 2 * u32::from(self.pairs) > u32::from(self.clients) {
            return Err(wrong(origin, "pairs", self.pairs, "at most half of the clients"));
        }
        if self.warm_up == 0 {
            return Err(wrong(
                origin,
                "warm_up",
                0,
                "at least one that is not counted: what is used is looked at when it ends",
            ));
        }
        if self.rounds == 0 {
            return Err(wrong(origin, "rounds", 0, "at least one that is counted"));
        }
        let link = self.link.unwrap_or_default();
        let number = |field, value: f64, most: f64, expected| match (0.0..=most).contains(&value) {
            true => Ok(()),
            false => Err(wrong(origin, field, value, expected)),
        };
        number("link.delay_ms", link.delay_ms, 10_000.0, "0 to 10000")?;
        number("link.jitter_ms", link.jitter_ms, 10_000.0, "0 to 10000")?;
        number("link.rate_mbit", link.rate_mbit, 1e6, "0 to 1000000")?;
        number("link.loss", link.loss, 0.5, "0 to 0.5")?;
        let mut delays = self.delays_ms.values().flat_map(BTreeMap::values);
        delays.try_for_each(|delay| number("delays_ms", *delay, 10_000.0, "0 to 10000"))?;
        self.trouble.iter().try_for_each(|trouble| trouble.check(self, origin))?;
        self.check_regions(origin)
    }

    fn check_regions(&self, origin: &str) -> Result<(), PresetError> {
        let expected = "regions of `delays_ms`";
        let of_delays = |region: &String| {
            self.delays_ms.contains_key(region) || self.delays_ms.values().any(|others| others.contains_key(region))
        };
        match self.regions.values().find(|region| !of_delays(region)) {
            Some(unknown) => Err(wrong(origin, "regions", unknown, expected)),
            None => Ok(()),
        }
    }

    /// The links between its nodes; none if they are those of this machine.
    pub fn links(&self) -> Option<Links> {
        let has_some = self.link.is_some() || !self.delays_ms.is_empty();
        let (regions, delays_ms) = (self.regions.clone(), self.delays_ms.clone());
        has_some.then(|| Links { usual: self.link.unwrap_or_default(), regions, delays_ms })
    }

    /// Flags of `testnet up` for such a network.
    pub fn flags(&self, seed: u64) -> Vec<String> {
        let mut flags = vec!["--testbed".to_owned(), seed.to_string()];
        let mut flag = |name: &str, value: &dyn fmt::Display| flags.extend([format!("--{name}"), value.to_string()]);
        flag("servers", &self.servers);
        flag("chains", &self.chains);
        flag("chain-len", &self.chain_len);
        flag("layers", &self.layers);
        flag("verification", &self.verification);
        flag("slots", &self.slots);
        flag("period", &format!("{}ms", self.period_ms));
        flag("seats", &self.clients);
        if self.audit > 0 {
            flag("audit", &self.audit);
        }
        match self.guarantee {
            None => flag("noise", &self.noise),
            Some(Target { epsilon, delta, rounds }) => {
                flag("epsilon", &epsilon);
                flag("delta", &delta);
                flag("budget", &rounds);
            }
        }
        flags
    }

    /// Seconds that one run of it takes at least: all rounds, one after the other, and the start of the network.
    pub fn least_seconds(&self) -> f64 {
        const START_S: f64 = 4.0;
        START_S + (self.warm_up + self.rounds + 2) as f64 * self.period_ms as f64 / 1000.0
    }
}
