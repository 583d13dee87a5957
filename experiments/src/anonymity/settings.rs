//! What a preset asks of anonymity.

use std::fmt;

use hippodrome_privacy::{
    attack::{Mechanism, partner::MOST_CANDIDATES},
    plan::Shape,
    quantity::Rounds,
};
use serde::{Deserialize, Serialize};

use crate::preset::{Numbered, PresetError, wrong};

/// Most chains whose links an attacker looks at.
const MOST_CHAINS: u16 = 256;

/// The table `[anonymity]`: what is accounted for, and what attackers try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Rounds in which two stories differ, for what is proved.
    pub rounds: u64,
    /// δ of everything that is proved and shown.
    pub delta: f64,
    /// The chance that what is shown does not hold.
    pub doubt: f64,
    /// Games of talk or none, half of them for learning.
    pub games: u32,
    /// Rounds of each of them, and of a game that asks with whom.
    pub game_rounds: u32,
    /// Games that ask with whom, and games in which people come and go.
    pub searches: u32,
    /// People that Alice could talk with.
    pub candidates: u32,
    /// The chance of each of them to be there in a round, where people come and go.
    pub online: f64,
    /// Rounds of a game in which they do.
    pub long_rounds: u32,
    /// Share of servers that are corrupt, for the odds of bad chains; a part of a server counts as one.
    pub corrupt: f64,
    /// Servers whose noise is relied on; as many as the network relies on, if nothing is said.
    pub honest: Option<u16>,
    /// Noise that is sent in place of what was planned: each kind is attacked, too.
    pub sent: Vec<Sent>,
}

/// Noise that is not what was planned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// How it is drawn.
    pub mechanism: Draw,
    /// Slots, as a share of those that were planned.
    #[serde(default = "all")]
    pub share: f64,
    /// Bits of the one number that `coarse` draws.
    #[serde(default = "few_bits")]
    pub bits: u8,
}

/// How noise is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Draw {
    /// As servers do, by an urn of the planned shape.
    Urn,
    /// A fair coin for each slot.
    Coins,
    /// Poisson of the same mean.
    Poisson,
    /// The urn's law from one number of few bits.
    Coarse,
}

fn all() -> f64 {
    1.0
}

fn few_bits() -> u8 {
    6
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rounds: 10_000,
            delta: 1e-4,
            doubt: 0.05,
            games: 2000,
            game_rounds: 100,
            searches: 40,
            candidates: 32,
            online: 0.5,
            long_rounds: 2000,
            corrupt: 0.2,
            honest: None,
            sent: Vec::new(),
        }
    }
}

impl Settings {
    /// Refuses what cannot be accounted for, and points that nothing can be said of.
    pub(crate) fn check(&self, origin: &str, points: &[Numbered]) -> Result<(), PresetError> {
        let chance = |field, value: f64| match value > 0.0 && value < 1.0 {
            true => Ok(()),
            false => Err(wrong(origin, field, value, "between 0 and 1")),
        };
        chance("anonymity.delta", self.delta)?;
        chance("anonymity.doubt", self.doubt)?;
        chance("anonymity.online", self.online)?;
        if !(0.0..1.0).contains(&self.corrupt) {
            return Err(wrong(origin, "anonymity.corrupt", self.corrupt, "0 or more, and below 1"));
        }
        let count = |field, value: u64, least: u64, most: u64, expected| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(wrong(origin, field, value, expected)),
        };
        count("anonymity.rounds", self.rounds, 1, Rounds::MOST, "1 to 2^40")?;
        count("anonymity.games", self.games.into(), 4, 1_000_000, "4 to 1000000: half of them are for learning")?;
        count("anonymity.game_rounds", self.game_rounds.into(), 1, 1_000_000, "1 to 1000000")?;
        count("anonymity.searches", self.searches.into(), 1, 1_000_000, "1 to 1000000")?;
        count("anonymity.long_rounds", self.long_rounds.into(), 1, 10_000_000, "1 to 10000000")?;
        count("anonymity.candidates", self.candidates.into(), 2, MOST_CANDIDATES.into(), "2 to 65536")?;
        self.sent.iter().try_for_each(|sent| sent.check(origin))?;
        points.iter().try_for_each(|numbered| self.check_point(origin, numbered))
    }

    fn check_point(&self, origin: &str, Numbered { point, .. }: &Numbered) -> Result<(), PresetError> {
        if point.noise == 0 && point.guarantee.is_none() {
            return Err(wrong(origin, "noise", 0, "some noise where there is a table `anonymity`"));
        }
        if point.chains > MOST_CHAINS {
            return Err(wrong(origin, "chains", point.chains, "at most 256 where there is a table `anonymity`"));
        }
        match self.honest {
            Some(honest) if !(1..=point.servers).contains(&honest) => {
                Err(wrong(origin, "anonymity.honest", honest, "at least 1, and at most as many as there are servers"))
            }
            _ => Ok(()),
        }
    }

    /// Corrupt ones of so many servers.
    pub(super) fn corrupt_servers(&self, servers: u16) -> u16 {
        // But for what the last bit of a share is off.
        (self.corrupt * f64::from(servers) - 1e-9).ceil() as u16
    }
}

impl Sent {
    fn check(&self, origin: &str) -> Result<(), PresetError> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            return Err(wrong(origin, "anonymity.sent.share", self.share, "above 0, at most 1"));
        }
        match (1..=24).contains(&self.bits) {
            true => Ok(()),
            false => Err(wrong(origin, "anonymity.sent.bits", self.bits, "1 to 24")),
        }
    }

    /// What is drawn where so many slots of this shape were planned.
    pub(super) fn mechanism(&self, planned: u32, shape: Shape) -> Mechanism {
        let slots = (self.share * f64::from(planned)).round().max(1.0) as u32;
        match self.mechanism {
            Draw::Urn => Mechanism::Urn { slots, shape },
            Draw::Coins => Mechanism::Coins { slots },
            Draw::Poisson => Mechanism::Poisson { slots },
            Draw::Coarse => Mechanism::Coarse { slots, shape, bits: self.bits },
        }
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Urn => "urn",
            Self::Coins => "coins",
            Self::Poisson => "poisson",
            Self::Coarse => "coarse",
        })
    }
}
