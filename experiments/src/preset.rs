//! What an experiment is: a file of settings, some of them with several values.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{charts::Chart, live::shaper::Links};

/// Most points of a sweep: more would take days.
const MOST_POINTS: usize = 1000;

/// Presets that come with the program.
pub const BUILT_IN: &[(&str, &str)] =
    &[("quick", include_str!("../presets/quick.toml")), ("model", include_str!("../presets/model.toml"))];

/// An experiment as its file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// A word for file names.
    pub name: String,
    /// A line for the report.
    pub title: String,
    /// What is to be learnt from it, for the report.
    pub about: String,
    /// Where everything random of it comes from.
    pub seed: u64,
    /// Runs of each point, at least one.
    pub repeats: u32,
    /// Settings of all points.
    #[serde(default)]
    pub point: Table,
    /// Settings with several values.
    #[serde(default)]
    pub sweep: Sweep,
    /// What is drawn.
    #[serde(default)]
    pub figures: Vec<Chart>,
}

/// Settings with several values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// How values of several settings go together.
    #[serde(default)]
    pub mode: Mode,
    /// The values of each.
    #[serde(default)]
    pub axes: BTreeMap<String, Vec<Value>>,
}

/// How values of several settings go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Each with each.
    #[default]
    Cross,
    /// The first with the first, the second with the second.
    Zip,
}

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
        }
    }
}

/// What is wrong with a preset.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// It cannot be read.
    #[error("{}: {source}; `hippodrome experiment list` shows the presets that come with the program", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{origin}: {source}")]
    Parse {
        /// The file.
        origin: String,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A setting that no point has, or of another type.
    #[error("{origin}: {what}: {source}")]
    Point {
        /// The file.
        origin: String,
        /// Which point, in words.
        what: String,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// A value that no network or crowd can have.
    #[error("{origin}: `{field}` is {value}: expected {expected}")]
    Value {
        /// The file.
        origin: String,
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Axes that do not go together.
    #[error("{origin}: the axes of a zip have {0:?} values: expected as many of each", lengths)]
    Zip {
        /// The file.
        origin: String,
        /// How many values each has.
        lengths: Vec<usize>,
    },
    /// An axis without values, or too many points.
    #[error("{origin}: a sweep of {points} points: expected 1 to {MOST_POINTS}")]
    Points {
        /// The file.
        origin: String,
        /// How many there would be.
        points: usize,
    },
}

impl Preset {
    /// Reads a preset: a file, or the name of one that comes with the program.
    pub fn load(path: &Path) -> Result<Self, PresetError> {
        let built_in = BUILT_IN.iter().find(|(name, _)| Path::new(name) == path);
        match built_in {
            Some((name, text)) => Self::parse(name, text),
            None => {
                let text =
                    fs::read_to_string(path).map_err(|source| PresetError::Read { path: path.into(), source })?;
                Self::parse(&path.display().to_string(), &text)
            }
        }
    }

    /// Reads a preset's text; its points are checked, too.
    pub fn parse(origin: &str, text: &str) -> Result<Self, PresetError> {
        let preset: Self = toml::from_str(text)
            .map_err(|source| PresetError::Parse { origin: origin.into(), source: Box::new(source) })?;
        if !(1..=100).contains(&preset.repeats) {
            return Err(wrong(origin, "repeats", preset.repeats, "1 to 100"));
        }
        preset.points_of(origin).map(|_| preset)
    }

    /// As TOML.
    pub fn text(&self) -> String {
        toml::to_string_pretty(self).expect("plain values and tables")
    }

    /// All points, with what sets each apart.
    pub fn points(&self) -> Result<Vec<Numbered>, PresetError> {
        self.points_of(&self.name)
    }

    fn points_of(&self, origin: &str) -> Result<Vec<Numbered>, PresetError> {
        let choices = self.sweep.choices(origin)?;
        let of = |(number, choice): (usize, Table)| {
            let mut settings = self.point.clone();
            settings.extend(choice.clone());
            let label = Label(choice);
            let what = || format!("point {number} ({label})");
            let point: Point = settings.try_into().map_err(|source| PresetError::Point {
                origin: origin.into(),
                what: what(),
                source: Box::new(source),
            })?;
            point.check(origin)?;
            Ok(Numbered { number, label, point })
        };
        choices.into_iter().enumerate().map(of).collect()
    }
}

fn wrong(origin: &str, field: &'static str, value: impl fmt::Display, expected: &'static str) -> PresetError {
    PresetError::Value { origin: origin.into(), field, value: value.to_string(), expected }
}

impl Sweep {
    /// The settings that each point has of its own.
    fn choices(&self, origin: &str) -> Result<Vec<Table>, PresetError> {
        let lengths: Vec<usize> = self.axes.values().map(Vec::len).collect();
        let points = match self.mode {
            Mode::Cross => lengths.iter().try_fold(1_usize, |all, length| all.checked_mul(*length)),
            Mode::Zip if lengths.windows(2).any(|pair| pair[0] != pair[1]) => {
                return Err(PresetError::Zip { origin: origin.into(), lengths });
            }
            Mode::Zip => Some(lengths.first().copied().unwrap_or(1)),
        };
        let points = points.unwrap_or(usize::MAX);
        if !(1..=MOST_POINTS).contains(&points) {
            return Err(PresetError::Points { origin: origin.into(), points });
        }
        Ok((0..points).map(|number| self.choice(number)).collect())
    }

    fn choice(&self, number: usize) -> Table {
        let mut rest = number;
        let value = |(name, values): (&String, &Vec<Value>)| {
            let index = match self.mode {
                Mode::Zip => number,
                Mode::Cross => {
                    let index = rest % values.len();
                    rest /= values.len();
                    index
                }
            };
            (name.clone(), values[index].clone())
        };
        self.axes.iter().map(value).collect()
    }
}

/// A point of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// Its number, from 0.
    pub number: usize,
    /// What sets it apart.
    pub label: Label,
    /// All of its settings.
    pub point: Point,
}

/// The settings that a point does not share with all others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Label(Table);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the only one");
        }
        for (number, (name, value)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { " " };
            match value {
                Value::String(text) => write!(f, "{separator}{name}={text}")?,
                other => write!(f, "{separator}{name}={other}")?,
            }
        }
        Ok(())
    }
}

impl Point {
    /// What the network itself does not check when it is founded.
    fn check(&self, origin: &str) -> Result<(), PresetError> {
        if 2 * u32::from(self.pairs) > u32::from(self.clients) {
            return Err(wrong(origin, "pairs", self.pairs, "at most half of the clients"));
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"t\"\ntitle = \"T\"\nabout = \"a\"\nseed = 1\nrepeats = 1\n";

    fn parse(rest: &str) -> Result<Preset, PresetError> {
        Preset::parse("t.toml", &format!("{HEAD}{rest}"))
    }

    fn points(rest: &str) -> Vec<Point> {
        let numbered = parse(rest).and_then(|preset| preset.points()).expect("a preset");
        numbered.into_iter().map(|numbered| numbered.point).collect()
    }

    #[test]
    fn all_presets_that_come_with_the_program_are_sound_and_have_their_own_names() {
        for (name, text) in BUILT_IN {
            let preset = Preset::parse(name, text).expect("a preset");
            assert_eq!(preset.name, *name);
            assert_eq!(Preset::parse(name, &preset.text()).expect("its own text"), preset);
        }
    }

    #[test]
    fn a_cross_has_each_value_with_each_and_a_zip_side_by_side() {
        let axes = "[sweep.axes]\nchains = [1, 2, 3]\nclients = [20, 40]\n";
        let cross = points(axes);
        assert_eq!(cross.len(), 6);
        let mut pairs: Vec<_> = cross.iter().map(|point| (point.chains, point.clients)).collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [(1, 20), (1, 40), (2, 20), (2, 40), (3, 20), (3, 40)]);
        let zip = points("[sweep]\nmode = \"zip\"\n[sweep.axes]\nchains = [1, 2]\nclients = [20, 40]\n");
        assert_eq!(zip.iter().map(|point| (point.chains, point.clients)).collect::<Vec<_>>(), [(1, 20), (2, 40)]);
        assert!(matches!(parse(&format!("[sweep]\nmode = \"zip\"\n{axes}")), Err(PresetError::Zip { .. })));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let said = |rest: &str| parse(rest).expect_err("a bad preset").to_string();
        assert!(said("[point]\nchians = 3\n").contains("chians"), "{}", said("[point]\nchians = 3\n"));
        assert!(said("[sweep.axes]\nchains = [3, \"four\"]\n").contains("point 1 (chains=four)"));
        assert!(said("[sweep.axes]\nchains = []\n").contains("0 points"));
        assert!(said("[point]\npairs = 11\n").contains("at most half"));
        assert!(said("[point]\nrounds = 0\n").contains("at least one"));
        assert!(said("[point]\nlink = { loss = 0.9 }\n").contains("link.loss"));
        assert!(said("[point]\nregions = { server-0 = \"paris\" }\n").contains("paris"));
        assert!(said("colour = 3\n").contains("line 6"), "{}", said("colour = 3\n"));
        let missing = Preset::load(Path::new("/nonexistent/p.toml")).expect_err("no file").to_string();
        assert!(missing.contains("experiment list"), "{missing}");
    }

    #[test]
    fn too_large_a_sweep_is_refused_before_it_is_made() {
        let values = (0..200).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let axes = ["clients", "pairs", "rounds", "noise", "warm_up", "period_ms", "slots", "servers", "chains"];
        let rest: String = axes.iter().map(|axis| format!("{axis} = [{values}]\n")).collect();
        assert!(matches!(parse(&format!("[sweep.axes]\n{rest}")), Err(PresetError::Points { .. })));
    }
}
