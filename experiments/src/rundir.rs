//! The directory of an experiment: what was asked for, what came of each run, and what was made of it.
//!
//! | file | is |
//! |---|---|
//! | `preset.toml` | the experiment, with every setting |
//! | `manifest.toml` | program, machine, and when |
//! | `hosts.toml` | the hosts of all nodes, if they are not on this machine |
//! | `points.csv` | the points of the sweep |
//! | `points/NNN/conversations.csv` | who says what to whom |
//! | `points/NNN/repeat-R/measured.json` | what a run came to; without it, it has not been done |
//! | `points/NNN/repeat-R/…` | rounds, texts, ledgers, logs of that run |
//! | `points/NNN/anonymity.json` | what is proved and shown of a point; without it, nobody has looked |
//! | `runs.csv`, `results.csv`, `anonymity.csv` | one line a run, one line a metric or an attack of a point |
//! | `costs.toml`, `costs-fitted.toml`, `prediction.csv` | what the model reckons with, and how far it is off |
//! | `figures/`, `report.md` | what people look at |
//!
//! Everything in `preset.toml`, `points.csv`, `conversations.csv` and `network.toml` follows from the preset and its seed.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    anonymity::Anonymity,
    live::{
        Measured, crowd,
        hosts::{Hosts, HostsError, HostsFile},
    },
    preset::{Numbered, Preset, PresetError},
    seeds::Seed,
};

/// Program and machine.
pub(crate) const MANIFEST: &str = "manifest.toml";
/// What was asked for.
pub(crate) const PRESET: &str = "preset.toml";
/// The hosts of all nodes.
const HOSTS: &str = "hosts.toml";

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// It has something else in it.
    #[error("{} is not empty and not the directory of an experiment; choose a new one", .0.display())]
    NotEmpty(PathBuf),
    /// It is the directory of another experiment.
    #[error("{} belongs to the experiment \"{has}\" with other settings; choose a new directory", dir.display())]
    Another {
        /// The directory.
        dir: PathBuf,
        /// The name of its experiment.
        has: String,
    },
    /// Its runs are made elsewhere.
    #[error("the runs in {} {}; choose a new directory", dir.display(), whereabouts(has))]
    OtherHosts {
        /// The directory.
        dir: PathBuf,
        /// Names of the hosts of its runs; none where they are made on this machine.
        has: Vec<String>,
    },
    /// The file that lists its hosts.
    #[error(transparent)]
    Hosts(Box<HostsError>),
    /// It is no experiment's.
    #[error("{} is not the directory of an experiment: it has no preset.toml (`hippodrome experiment run` makes one)", .0.display())]
    NoExperiment(PathBuf),
    /// Its preset.
    #[error(transparent)]
    Preset(#[from] PresetError),
    /// A result that cannot be read.
    #[error("{}: {source}; delete the file and run the experiment again", path.display())]
    Result {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

fn whereabouts(hosts: &[String]) -> String {
    match hosts {
        [] => "are made on this machine, without `--hosts`".to_owned(),
        hosts => format!("are made on other hosts ({}), or these with other settings", hosts.join(", ")),
    }
}

/// Program and machine of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the program.
    pub version: String,
    /// Whether it was built with optimisation.
    pub optimised: bool,
    /// The command line.
    pub command: Vec<String>,
    /// The processor's name, as the system says.
    pub processor: String,
    /// Its cores, as far as this process may use them.
    pub cores: usize,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// The system's name and version.
    pub system: String,
    /// Seconds since 1970 at which the experiment began.
    pub began_unix_s: u64,
    /// The hosts of all nodes; none where they were on this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

impl Manifest {
    /// Of this process on this machine.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(String::new(), |rest| rest.trim_start_matches([':', '\t', ' ']).to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kilobytes: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or(0);
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            optimised: !cfg!(debug_assertions),
            command: command(),
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kilobytes * 1024,
            system: ["ostype", "osrelease"]
                .map(|name| read(&format!("/proc/sys/kernel/{name}")).trim().to_owned())
                .join(" "),
            began_unix_s: since.map_or(0, |since| since.as_secs()),
            hosts: Vec::new(),
        }
    }
}

/// The command line, with the program's name in place of its path.
fn command() -> Vec<String> {
    let mut words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        *program = env!("CARGO_PKG_NAME").trim_end_matches("-experiments").to_owned();
    }
    words
}

/// The directory of an experiment.
#[derive(Clone, Debug)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Takes a new or empty directory for an experiment, or goes on with the same one; what is said and drawn of it may have
    /// changed since.
    pub fn begin(path: &Path, preset: &Preset) -> Result<Self, RunDirError> {
        Self::begin_on(None, path, preset)
    }

    /// The same with all nodes on hosts. One that is gone on with has its hosts already: others are refused.
    pub fn begin_on(hosts: Option<&HostsFile>, path: &Path, preset: &Preset) -> Result<Self, RunDirError> {
        let dir = Self(path.to_owned());
        let refused = |source| RunDirError::File { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(refused)?;
        if dir.preset_file().exists() {
            let has = dir.preset()?;
            return match has.runs_as(preset) {
                true => {
                    dir.goes_on_with(hosts)?;
                    dir.write(PRESET, &preset.text()).map(|()| dir)
                }
                false => Err(RunDirError::Another { dir: path.to_owned(), has: has.name }),
            };
        }
        if fs::read_dir(path).map_err(refused)?.next().is_some() {
            return Err(RunDirError::NotEmpty(path.to_owned()));
        }
        let manifest = Manifest { hosts: hosts.map_or(Vec::new(), HostsFile::names), ..Manifest::here() };
        dir.write(MANIFEST, &toml::to_string_pretty(&manifest).expect("plain values"))?;
        hosts.map_or(Ok(()), |hosts| dir.write(HOSTS, hosts.text()))?;
        let points = preset.points()?;
        dir.write("points.csv", &points_csv(&points))?;
        for numbered in &points {
            let script = crowd::script(talk_seed(preset, numbered), &numbered.point);
            dir.write_at(&dir.point(numbered).join("conversations.csv"), &script)?;
        }
        // Last: a directory with this file is an experiment's.
        dir.write(PRESET, &preset.text())?;
        Ok(dir)
    }

    /// Opens the directory of an experiment.
    pub fn open(path: &Path) -> Result<Self, RunDirError> {
        let dir = Self(path.to_owned());
        if dir.preset_file().is_file() { Ok(dir) } else { Err(RunDirError::NoExperiment(path.to_owned())) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The hosts of its nodes; none if they are on this machine.
    pub fn hosts(&self) -> Result<Option<HostsFile>, RunDirError> {
        let path = self.0.join(HOSTS);
        let refused = |error| RunDirError::Hosts(Box::new(error));
        if path.exists() { Hosts::load(&path).map(Some).map_err(refused) } else { Ok(None) }
    }

    /// Refuses hosts that are not those with which it was begun.
    fn goes_on_with(&self, hosts: Option<&HostsFile>) -> Result<(), RunDirError> {
        let has = self.hosts()?;
        match hosts.is_none() || hosts == has.as_ref() {
            true => Ok(()),
            false => {
                let has = has.as_ref().map_or(Vec::new(), HostsFile::names);
                Err(RunDirError::OtherHosts { dir: self.0.clone(), has })
            }
        }
    }

    fn preset_file(&self) -> PathBuf {
        self.0.join(PRESET)
    }

    /// The experiment.
    pub fn preset(&self) -> Result<Preset, RunDirError> {
        Ok(Preset::load(&self.preset_file())?)
    }

    /// Program and machine.
    pub fn manifest(&self) -> Result<Manifest, RunDirError> {
        let path = self.0.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|source| RunDirError::File { path: path.clone(), source })?;
        toml::from_str(&text).map_err(|error| RunDirError::File { path, source: io::Error::other(error.to_string()) })
    }

    /// Where everything of a point is.
    pub fn point(&self, numbered: &Numbered) -> PathBuf {
        self.0.join("points").join(format!("{:03}", numbered.number))
    }

    /// Where everything of a run is.
    pub fn repeat(&self, numbered: &Numbered, repeat: u32) -> PathBuf {
        self.point(numbered).join(format!("repeat-{repeat}"))
    }

    /// What a run came to; none if it has not been done.
    pub fn measured(&self, numbered: &Numbered, repeat: u32) -> Result<Option<Measured>, RunDirError> {
        result_at(self.repeat(numbered, repeat).join("measured.json"))
    }

    /// What is known of a point's anonymity; none if nobody has looked.
    pub fn anonymity(&self, numbered: &Numbered) -> Result<Option<Anonymity>, RunDirError> {
        result_at(self.point(numbered).join("anonymity.json"))
    }

    /// Keeps what is known of a point's anonymity.
    pub fn keep_anonymity(&self, numbered: &Numbered, known: &Anonymity) -> Result<(), RunDirError> {
        let text = serde_json::to_string(known).expect("plain values");
        self.write_at(&self.point(numbered).join("anonymity.json"), &text)
    }

    /// Keeps what a run came to.
    pub fn keep(&self, numbered: &Numbered, repeat: u32, measured: &Measured) -> Result<(), RunDirError> {
        let text = serde_json::to_string(measured).expect("plain values");
        self.write_at(&self.repeat(numbered, repeat).join("measured.json"), &text)
    }

    /// Reads a file of the experiment; none if there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<String>, RunDirError> {
        text_at(&self.0.join(name))
    }

    /// Writes a file of the experiment.
    pub fn write(&self, name: &str, text: &str) -> Result<(), RunDirError> {
        self.write_at(&self.0.join(name), text)
    }

    /// Leaves nothing of a file or directory of the experiment that an earlier report had.
    pub fn clear(&self, name: &str) -> Result<(), RunDirError> {
        let path = self.0.join(name);
        let cleared = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match cleared {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(RunDirError::File { path, source }),
            _ => Ok(()),
        }
    }

    fn write_at(&self, path: &Path, text: &str) -> Result<(), RunDirError> {
        let directory = path.parent().unwrap_or(&self.0);
        let written = fs::create_dir_all(directory).and_then(|()| fs::write(path, text));
        written.map_err(|source| RunDirError::File { path: path.to_owned(), source })
    }
}

/// The seed of what is said in a point.
pub(crate) fn talk_seed(preset: &Preset, numbered: &Numbered) -> u64 {
    Seed::master(preset.seed).of("talk", numbered.number as u64).number()
}

/// The seed of the keys of a point's network.
pub(crate) fn network_seed(preset: &Preset, numbered: &Numbered) -> u64 {
    Seed::master(preset.seed).of("network", numbered.number as u64).number()
}

/// A file's text; none if there is no such file.
fn text_at(path: &Path) -> Result<Option<String>, RunDirError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RunDirError::File { path: path.to_owned(), source }),
    }
}

/// A result that is kept as JSON; none if there is no such file.
fn result_at<T: DeserializeOwned>(path: PathBuf) -> Result<Option<T>, RunDirError> {
    let Some(text) = text_at(&path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|source| RunDirError::Result { path, source })
}

/// One line a point, with every setting.
fn points_csv(points: &[Numbered]) -> String {
    let mut text = "point,label,settings\n".to_owned();
    for Numbered { number, label, point } in points {
        let settings = serde_json::to_string(point).expect("plain values");
        writeln!(text, "{number},{label},\"{}\"", settings.replace('"', "\"\"")).expect("text takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(seed: u64) -> Preset {
        let head = "name = \"t\"\ntitle = \"T\"\nabout = \"a\"\nrepeats = 2\n";
        let rest = "[point]\npairs = 2\n[sweep.axes]\nchains = [1, 2]\n";
        Preset::parse("t", &format!("{head}seed = {seed}\n{rest}")).expect("a preset")
    }

    #[test]
    fn the_same_preset_gives_the_same_files_and_another_seed_other_talk() {
        let place = tempfile::tempdir().expect("a directory");
        let begin = |name: &str, seed| RunDir::begin(&place.path().join(name), &preset(seed)).expect("begun");
        let (a, b, c) = (begin("a", 1), begin("b", 1), begin("c", 2));
        let text = |dir: &RunDir, file: &str| fs::read_to_string(dir.path().join(file)).expect("a file");
        for file in ["preset.toml", "points.csv", "points/000/conversations.csv", "points/001/conversations.csv"] {
            assert_eq!(text(&a, file), text(&b, file), "{file}");
        }
        assert_ne!(text(&a, "points/000/conversations.csv"), text(&c, "points/000/conversations.csv"));
        assert_ne!(text(&a, "points/000/conversations.csv"), text(&a, "points/001/conversations.csv"));
    }

    #[test]
    fn an_experiment_goes_on_in_its_own_directory_and_in_no_other() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("run");
        assert!(matches!(RunDir::open(&path), Err(RunDirError::NoExperiment(_))));
        RunDir::begin(&path, &preset(1)).expect("begun");
        RunDir::begin(&path, &preset(1)).expect("gone on with");
        assert!(matches!(RunDir::begin(&path, &preset(2)), Err(RunDirError::Another { .. })));
        assert_eq!(RunDir::open(&path).and_then(|dir| dir.preset()).expect("its preset"), preset(1));
        let other_words = Preset { title: "Other words".into(), ..preset(1) };
        let dir = RunDir::begin(&path, &other_words).expect("the same runs");
        assert_eq!(dir.preset().expect("its preset"), other_words);
        fs::write(place.path().join("letter.txt"), "dear").expect("written");
        assert!(matches!(RunDir::begin(place.path(), &preset(1)), Err(RunDirError::NotEmpty(_))));
    }

    #[test]
    fn an_experiment_goes_on_with_its_own_hosts_and_with_no_others() {
        let place = tempfile::tempdir().expect("a directory");
        let hosts = |name: &str| {
            let text = format!(
                "[[hosts]]\nname = {name:?}\naddress = \"a\"\nfirst_port = 1\nshell = [\"sh\", \"-c\"]\ndirectory = \"/h\"\n"
            );
            HostsFile::parse(Path::new("hosts.toml"), text).expect("good")
        };
        let begin = |dir: &str, hosts: Option<&HostsFile>| RunDir::begin_on(hosts, &place.path().join(dir), &preset(1));
        let (anna, bert) = (hosts("anna"), hosts("bert"));
        begin("elsewhere", Some(&anna)).expect("begun");
        begin("elsewhere", Some(&anna)).expect("gone on with");
        let dir = begin("elsewhere", None).expect("gone on with, too");
        assert_eq!(dir.hosts().expect("its hosts"), Some(anna));
        assert_eq!(dir.manifest().expect("its manifest").hosts, ["anna"]);
        let refused = begin("elsewhere", Some(&bert)).expect_err("other hosts").to_string();
        assert!(refused.contains("anna") && refused.contains("new directory"), "{refused}");
        begin("here", None).expect("begun");
        let refused = begin("here", Some(&bert)).expect_err("no hosts").to_string();
        assert!(refused.contains("on this machine"), "{refused}");
    }

    #[test]
    fn a_result_that_is_damaged_is_named() {
        let place = tempfile::tempdir().expect("a directory");
        let dir = RunDir::begin(&place.path().join("run"), &preset(1)).expect("begun");
        let numbered = &preset(1).points().expect("points")[0];
        assert_eq!(dir.measured(numbered, 0).expect("readable"), None);
        dir.write("points/000/repeat-0/measured.json", "{").expect("written");
        let said = dir.measured(numbered, 0).expect_err("damaged").to_string();
        assert!(said.contains("repeat-0/measured.json") && said.contains("delete"), "{said}");
    }
}
