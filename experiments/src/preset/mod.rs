//! What an experiment is: a file of settings, some of them with several values.

mod delays;
mod point;
mod sweep;
mod trouble;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::Table;

pub use self::{
    point::{Link, Point, Target},
    sweep::{Label, Mode, Sweep},
    trouble::Trouble,
};
use crate::{anonymity::Settings, charts::Chart, figures::FIGURES, modelled::Modelled};

/// Most points of a sweep: more would take days.
const MOST_POINTS: usize = 1000;

/// Presets that come with the program.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("quick", include_str!("../../presets/quick.toml")),
    ("chain-length", include_str!("../../presets/chain-length.toml")),
    ("wan", include_str!("../../presets/wan.toml")),
    ("model", include_str!("../../presets/model.toml")),
    ("verification-modes", include_str!("../../presets/verification-modes.toml")),
    ("pipelining", include_str!("../../presets/pipelining.toml")),
    ("scaling", include_str!("../../presets/scaling.toml")),
    ("latency-vs-anonymity", include_str!("../../presets/latency-vs-anonymity.toml")),
    ("stadium-figures", include_str!("../../presets/stadium-figures.toml")),
    ("faults", include_str!("../../presets/faults.toml")),
    ("attacks", include_str!("../../presets/attacks.toml")),
];

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
    /// Runs of each point; with none, everything is modelled.
    pub repeats: u32,
    /// A file of delays between regions, beside the preset's own. Once it is read they are among the settings of all points.
    #[serde(default, skip_serializing)]
    pub delays_file: Option<PathBuf>,
    /// Settings of all points.
    #[serde(default)]
    pub point: Table,
    /// Settings with several values.
    #[serde(default)]
    pub sweep: Sweep,
    /// What is to be known of anonymity.
    pub anonymity: Option<Settings>,
    /// What the model is asked.
    pub model: Option<Modelled>,
    /// What is drawn.
    #[serde(default)]
    pub figures: Vec<Chart>,
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
    /// A file of delays.
    #[error("{}, line {line}: expected two regions and milliseconds, as in `paris,rome,15`", path.display())]
    Delays {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
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
                Self::read(&path.display().to_string(), &text, path.parent().unwrap_or(Path::new("")))
            }
        }
    }

    /// Reads a preset's text; its points are checked, too. Files that it names are looked for where this process runs.
    pub fn parse(origin: &str, text: &str) -> Result<Self, PresetError> {
        Self::read(origin, text, Path::new(""))
    }

    /// The same with the files that it names in a directory.
    fn read(origin: &str, text: &str, dir: &Path) -> Result<Self, PresetError> {
        let mut preset: Self = toml::from_str(text)
            .map_err(|source| PresetError::Parse { origin: origin.into(), source: Box::new(source) })?;
        if let Some(file) = preset.delays_file.take() {
            delays::read_into(&mut preset.point, &dir.join(file))?;
        }
        preset.check(origin)?;
        Ok(preset)
    }

    fn check(&self, origin: &str) -> Result<(), PresetError> {
        if self.repeats > 100 {
            return Err(wrong(origin, "repeats", self.repeats, "0 to 100"));
        }
        if let Some(chart) = self.figures.iter().find(|chart| !chart.is_sound()) {
            return Err(wrong(origin, "figures", &chart.name, "a metric `y`, or a setting `rows` in its place"));
        }
        self.check_model(origin)?;
        let points = self.points_of(origin)?;
        self.anonymity.iter().try_for_each(|ask| ask.check(origin, &points))
    }

    fn check_model(&self, origin: &str) -> Result<(), PresetError> {
        let Some(model) = &self.model else { return Ok(()) };
        let unknown = model.figures.iter().find(|asked| FIGURES.iter().all(|(name, _)| name != asked));
        if let Some(unknown) = unknown {
            return Err(wrong(origin, "model.figures", unknown, "figures that `hippodrome model figures` draws"));
        }
        if !model.beyond.is_empty() && self.sweep.mode == Mode::Zip {
            return Err(wrong(origin, "model.beyond", "there", "a sweep of each with each, so that axes can go on"));
        }
        self.beyond_of(origin).map(|_| ())
    }

    /// Points that are only modelled: the axes of the sweep with others in the place of some. They are numbered behind the
    /// points that are run.
    ///
    /// # Errors
    /// As [`Preset::parse`].
    pub fn beyond(&self) -> Result<Vec<Numbered>, PresetError> {
        self.beyond_of(&self.name)
    }

    fn beyond_of(&self, origin: &str) -> Result<Vec<Numbered>, PresetError> {
        let Some(model) = self.model.as_ref().filter(|model| !model.beyond.is_empty()) else { return Ok(Vec::new()) };
        let mut sweep = self.sweep.clone();
        sweep.axes.extend(model.beyond.clone());
        let run = self.sweep.choices(origin)?.len();
        let points = Self { sweep, ..self.clone() }.points_of(origin)?;
        Ok(points.into_iter().map(|of| Numbered { number: run + of.number, ..of }).collect())
    }

    /// Whether both make the same runs, with the same costs for the model, and differ at most in what is said, drawn and
    /// modelled of them.
    pub fn runs_as(&self, other: &Self) -> bool {
        let runs = |preset: &Self| {
            let (title, about) = (String::new(), String::new());
            Self { title, about, figures: Vec::new(), model: None, ..preset.clone() }
        };
        let costs = |preset: &Self| preset.model.as_ref().map(|model| model.costs);
        runs(self) == runs(other) && costs(self) == costs(other)
    }

    /// As TOML.
    pub fn text(&self) -> String {
        toml::to_string_pretty(self).expect("plain values and tables")
    }

    /// All points of the runs, with what sets each apart.
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

pub(crate) fn wrong(
    origin: &str,
    field: &'static str,
    value: impl fmt::Display,
    expected: &'static str,
) -> PresetError {
    PresetError::Value { origin: origin.into(), field, value: value.to_string(), expected }
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
    fn delays_come_from_a_file_beside_the_preset_and_stay_with_it() {
        let place = tempfile::tempdir().expect("a directory");
        let rest = "delays_file = \"regions.csv\"\n[point]\nregions = { server-0 = \"paris\", clients = \"rome\" }\n";
        let file = place.path().join("p.toml");
        fs::write(&file, format!("{HEAD}{rest}")).expect("written");
        let missing = Preset::load(&file).expect_err("no file").to_string();
        assert!(missing.contains("regions.csv"), "{missing}");
        fs::write(place.path().join("regions.csv"), "paris,rome,15\n").expect("written");
        let preset = Preset::load(&file).expect("a preset");
        assert_eq!(preset.points().expect("points")[0].point.delays_ms["paris"]["rome"], 15.0);
        // What is kept of it needs no other file.
        assert_eq!(Preset::parse("kept", &preset.text()).expect("its own text"), preset);
        fs::write(place.path().join("regions.csv"), "paris;rome;15\n").expect("written");
        assert!(Preset::load(&file).expect_err("no delays").to_string().contains("line 1"));
    }

    #[test]
    fn points_beyond_the_runs_have_other_values_on_their_axes() {
        let rest =
            "[sweep.axes]\nclients = [20, 40]\nverification = [\"full\", \"none\"]\n[model.beyond]\nclients = [500]\n";
        let preset = parse(rest).expect("a preset");
        let beyond = preset.beyond().expect("points");
        let of: Vec<_> =
            beyond.iter().map(|of| (of.number, of.point.clients, of.point.verification.as_str())).collect();
        assert_eq!(of, [(4, 500, "full"), (5, 500, "none")]);
        assert_eq!(preset.points().expect("points").len(), 4);
        assert_eq!(parse("[model]\n").and_then(|preset| preset.beyond()).expect("none"), []);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let said = |rest: &str| parse(rest).expect_err("a bad preset").to_string();
        assert!(said("[point]\nchians = 3\n").contains("chians"), "{}", said("[point]\nchians = 3\n"));
        assert!(said("[sweep.axes]\nchains = [3, \"four\"]\n").contains("point 1 (chains=four)"));
        assert!(said("[sweep.axes]\nchains = []\n").contains("0 points"));
        assert!(said("[point]\npairs = 11\n").contains("at most half"));
        assert!(said("[point]\nrounds = 0\n").contains("at least one"));
        assert!(said("[point]\nwarm_up = 0\n").contains("`warm_up` is 0"));
        assert!(said("[point]\nlink = { loss = 0.9 }\n").contains("link.loss"));
        assert!(said("[point]\nregions = { server-0 = \"paris\" }\n").contains("paris"));
        assert!(said("[model]\nfigures = [\"latency-moon\"]\n").contains("latency-moon"));
        let chart = |rest| said(&format!("[[figures]]\nname = \"f\"\ntitle = \"F\"\nx = \"recovery\"\n{rest}"));
        assert!(chart("").contains("`rows`") && chart("y = \"a\"\nrows = \"b\"\n").contains("`rows`"));
        assert!(said("[sweep]\nmode = \"zip\"\n[model.beyond]\nclients = [500]\n").contains("model.beyond"));
        assert!(said("[model.beyond]\nclients = [\"many\"]\n").contains("clients=many"));
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
