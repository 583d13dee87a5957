//! Runs of real processes: a network, a crowd of clients, and what both of them wrote down.

pub mod crowd;
pub mod ledgers;
mod owner;
pub mod shaper;
pub mod usage;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use serde::{Deserialize, Serialize};

use self::{ledgers::Ledgers, shaper::Shaper, usage::Usage};
use crate::{preset::Point, seeds::Seed};

/// How long a round of a crowd may take to come back, milliseconds, besides ten periods.
const PATIENCE_MS: u64 = 60_000;

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A command of the program.
    #[error("`hippodrome {command}` failed ({status}): {said}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// It cannot even be started.
    #[error("cannot start `hippodrome {command}`: {source}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// Nothing can be put between the nodes.
    #[error("cannot take addresses in front of the nodes: {0}")]
    Shaper(io::Error),
    /// A file of the run.
    #[error("{}: {source}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// A node is gone in the middle.
    #[error("{node} is gone: {source}; its log is in {}", logs.display())]
    Gone {
        /// The node.
        node: String,
        /// What was found in its place.
        source: io::Error,
        /// The logs of all nodes.
        logs: PathBuf,
    },
    /// What came back cannot be read.
    #[error("{}, line {line}: expected `{}`", path.display(), OfRound::COLUMNS)]
    Garbled {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// A round as the crowd saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfRound {
    /// Its number.
    pub round: u64,
    /// Clients that took part.
    pub clients: u64,
    /// Replies that were intact, and others.
    pub intact: u64,
    /// Replies that were not.
    pub broken: u64,
    /// Clients to which nothing came back.
    pub lost: u64,
    /// Milliseconds from the end of collection until the first client had its replies; none if nobody had.
    pub first_ms: Option<f64>,
    /// Until half of them had.
    pub median_ms: Option<f64>,
    /// Until the last one had.
    pub last_ms: Option<f64>,
}

impl OfRound {
    const COLUMNS: &str = "round,clients,intact,broken,lost,first_ms,median_ms,last_ms";

    /// Whether everybody got everything back.
    pub fn is_whole(&self) -> bool {
        self.broken == 0 && self.lost == 0
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let [round, clients, intact, broken, lost, first, median, last] = fields[..] else { return None };
        let number = |text: &str| text.parse().ok();
        let ms = |text: &str| text.parse().ok();
        Some(Self {
            round: number(round)?,
            clients: number(clients)?,
            intact: number(intact)?,
            broken: number(broken)?,
            lost: number(lost)?,
            first_ms: ms(first),
            median_ms: ms(median),
            last_ms: ms(last),
        })
    }

    fn read(path: &Path) -> Result<Vec<Self>, LiveError> {
        let text = fs::read_to_string(path).map_err(|source| LiveError::File { path: path.into(), source })?;
        let parse = |(number, line)| {
            Self::parse(line).ok_or_else(|| LiveError::Garbled { path: path.into(), line: number + 1 })
        };
        text.lines().enumerate().skip(1).map(parse).collect()
    }
}

/// What one run of a point came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Rounds that were counted.
    pub rounds: Vec<OfRound>,
    /// Seconds of CPU time of all mix servers in the counted rounds.
    pub servers_cpu_s: f64,
    /// Of the coordinator.
    pub coordinator_cpu_s: f64,
    /// Of the crowd.
    pub crowd_cpu_s: f64,
    /// The most memory that any mix server had, bytes.
    pub server_peak_bytes: u64,
    /// What servers wrote down.
    pub ledgers: Ledgers,
}

impl Measured {
    /// Rounds that were not whole.
    pub fn lost(&self) -> usize {
        self.rounds.iter().filter(|round| !round.is_whole()).count()
    }

    /// Whether anything was lost: such a run says nothing about speed.
    pub fn is_valid(&self) -> bool {
        self.lost() == 0
    }

    /// Per counted round.
    pub fn per_round(&self, total: f64) -> f64 {
        total / self.rounds.len().max(1) as f64
    }
}

/// A run of a point, with everything of it in a directory of its own.
pub struct Run<'a> {
    /// The program.
    pub binary: &'a Path,
    /// What is run.
    pub point: &'a Point,
    /// The seed of the network's keys: the same in every run of a point.
    pub network: u64,
    /// The seed of what is said.
    pub talk: u64,
    /// A new or empty directory.
    pub dir: PathBuf,
}

impl Run<'_> {
    /// Runs it; whatever happens, no process outlives it.
    pub fn measure(&self) -> Result<Measured, LiveError> {
        fs::create_dir_all(&self.dir).map_err(|source| LiveError::File { path: self.dir.clone(), source })?;
        let shaper = self.start_shaper()?;
        let net = Net::up(self, shaper.as_ref())?;
        let mut crowd = self.start_crowd(&net)?;
        let spent = net.watch(&mut crowd)?;
        drop((net, shaper));
        self.keep_what_matters()?;
        let rounds = OfRound::read(&self.dir.join("rounds.csv"))?;
        let numbers: BTreeSet<u64> = rounds.iter().map(|round| round.round).collect();
        let path = self.dir.join("ledgers");
        let ledgers = Ledgers::read(&path, &numbers).map_err(|source| LiveError::File { path, source })?;
        let Spent { servers_cpu_s, coordinator_cpu_s, crowd_cpu_s, server_peak_bytes } = spent;
        Ok(Measured { rounds, servers_cpu_s, coordinator_cpu_s, crowd_cpu_s, server_peak_bytes, ledgers })
    }

    /// Something between all nodes, if their links are to be other than those of this machine.
    fn start_shaper(&self) -> Result<Option<Shaper>, LiveError> {
        let Some(links) = self.point.links() else { return Ok(None) };
        let servers = (0..self.point.servers).map(|id| format!("server-{id}"));
        let nodes = ["coordinator".to_owned()].into_iter().chain(servers);
        let started = Shaper::start(nodes, &self.net(), links, Seed::master(self.network));
        started.map(Some).map_err(LiveError::Shaper)
    }

    fn net(&self) -> PathBuf {
        self.dir.join("net")
    }

    fn start_crowd(&self, net: &Net<'_>) -> Result<CrowdProcess, LiveError> {
        let Point { pairs, warm_up, rounds, period_ms, .. } = self.point;
        let patience_ms = PATIENCE_MS + 10 * period_ms;
        let mut command = Command::new(self.binary);
        command.args(["experiment", "crowd", "--network"]).arg(&net.dir).arg("--out").arg(&self.dir);
        let mut flag = |name: &str, value: String| {
            command.arg(format!("--{name}")).arg(value);
        };
        flag("pairs", pairs.to_string());
        flag("warm-up", warm_up.to_string());
        flag("rounds", rounds.to_string());
        flag("patience", format!("{patience_ms}ms"));
        flag("seed", self.talk.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let started = command.spawn().map(CrowdProcess);
        started.map_err(|source| LiveError::Start { command: "experiment crowd".into(), source })
    }

    /// Leaves of the network what tells something, and no keys.
    fn keep_what_matters(&self) -> Result<(), LiveError> {
        let net = self.net();
        let refused = |path: PathBuf| move |source| LiveError::File { path, source };
        for name in ["network.toml", "ledgers", "logs"] {
            fs::rename(net.join(name), self.dir.join(name)).map_err(refused(net.join(name)))?;
        }
        fs::remove_dir_all(&net).map_err(refused(net))
    }
}

/// The process of a crowd; it is killed when this is dropped.
struct CrowdProcess(Child);

impl Drop for CrowdProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What processes used from one moment to another.
struct Spent {
    servers_cpu_s: f64,
    coordinator_cpu_s: f64,
    crowd_cpu_s: f64,
    server_peak_bytes: u64,
}

/// What all of them have used until now.
struct Snapshot {
    servers: Vec<Usage>,
    coordinator: Usage,
    crowd: Usage,
}

impl Snapshot {
    fn since(&self, before: &Self) -> Spent {
        let of_all = |snapshot: &Self| snapshot.servers.iter().map(|usage| usage.cpu_s).sum::<f64>();
        Spent {
            servers_cpu_s: of_all(self) - of_all(before),
            coordinator_cpu_s: self.coordinator.cpu_s - before.coordinator.cpu_s,
            crowd_cpu_s: self.crowd.cpu_s - before.crowd.cpu_s,
            server_peak_bytes: self.servers.iter().map(|usage| usage.peak_bytes).max().unwrap_or(0),
        }
    }
}

/// A network that runs; it is stopped when this is dropped.
struct Net<'a> {
    binary: &'a Path,
    dir: PathBuf,
    servers: u16,
}

impl<'a> Net<'a> {
    fn up(run: &Run<'a>, shaper: Option<&Shaper>) -> Result<Self, LiveError> {
        let net = Self { binary: run.binary, dir: run.net(), servers: run.point.servers };
        let mut arguments = vec!["testnet".to_owned(), "up".into(), "--dir".into(), net.dir.display().to_string()];
        arguments.extend(run.point.flags(run.network));
        if let Some(shaper) = shaper {
            let path = run.dir.join("fronts.toml");
            arguments.extend(["--fronts".into(), path.display().to_string()]);
            fs::write(&path, shaper.fronts().text()).map_err(|source| LiveError::File { path, source })?;
        }
        hippodrome(run.binary, &arguments)?;
        Ok(net)
    }

    fn usage(&self, node: &str) -> Result<Usage, LiveError> {
        let found = Usage::of_holder(&self.dir.join("run").join(format!("{node}.pid")));
        found.map_err(|source| LiveError::Gone { node: node.into(), source, logs: self.dir.join("logs") })
    }

    fn snapshot(&self, crowd: &CrowdProcess) -> Result<Snapshot, LiveError> {
        let gone = |source| LiveError::Gone { node: "the crowd".into(), source, logs: self.dir.join("logs") };
        Ok(Snapshot {
            servers: (0..self.servers).map(|id| self.usage(&format!("server-{id}"))).collect::<Result<_, _>>()?,
            coordinator: self.usage("coordinator")?,
            crowd: Usage::of(crowd.0.id()).map_err(gone)?,
        })
    }

    /// Looks at all processes when the crowd says that its warm-up is over, and when it says that all is.
    fn watch(&self, crowd: &mut CrowdProcess) -> Result<Spent, LiveError> {
        let output = crowd.0.stdout.take().expect("its output was asked for");
        let (mut warm, mut spent) = (None, None);
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            match (line.as_str(), &warm) {
                (crowd::WARM, _) => warm = Some(self.snapshot(crowd)?),
                (crowd::DONE, Some(warm)) => spent = Some(self.snapshot(crowd)?.since(warm)),
                _ => {}
            }
        }
        let refused = |source| LiveError::Start { command: "experiment crowd".into(), source };
        let status = crowd.0.wait().map_err(refused)?;
        spent.filter(|_| status.success()).ok_or_else(|| LiveError::Failed {
            command: "experiment crowd".into(),
            status,
            said: format!("what it said is above; the logs of the nodes are in {}", self.dir.join("logs").display()),
        })
    }
}

impl Drop for Net<'_> {
    fn drop(&mut self) {
        // It may be down already, which is as good.
        let arguments = ["testnet".as_ref(), "down".as_ref(), "--dir".as_ref(), self.dir.as_os_str()];
        let _ = hippodrome(self.binary, &arguments);
    }
}

/// Runs a command of the program to its end, which must be good.
fn hippodrome(binary: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<(), LiveError> {
    let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
    let command = words.join(" ");
    let output = Command::new(binary)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LiveError::Start { command: command.clone(), source })?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        true => Ok(()),
        false => Err(LiveError::Failed { command, status: output.status, said: said() }),
    }
}
