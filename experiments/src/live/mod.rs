//! Runs of real processes: a network, a crowd of clients, and what both of them wrote down.

pub mod crowd;
mod here;
pub mod hosts;
pub mod ledgers;
mod measured;
mod net;
mod owner;
mod place;
mod programs;
pub mod shaper;
pub mod trouble;
pub mod usage;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use hippodrome_store::network_file::NetworkFileError;

use self::{
    hosts::{Hosts, HostsError},
    ledgers::Ledgers,
    net::{CrowdProcess, Net, Spent},
    shaper::Shaper,
    trouble::Happening,
};
pub use self::{
    measured::{Measured, OfRound},
    programs::Programs,
    trouble::Toll,
};
use crate::{preset::Point, seeds::Seed};

/// The network's directory in that of its run.
const NET: &str = "net";

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
    /// A server is to cheat, and there is no program for it.
    #[error(
        "{}: {source}; a server is to cheat, which is another program's work: `cargo build --release -p \
         hippodrome-trials` builds it, or say with --mutant where it is",
        path.display()
    )]
    NoMutant {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A cheat that the program does not know.
    #[error("there is no cheat `{cheat}`; expected one of: {known}")]
    UnknownCheat {
        /// Its name.
        cheat: String,
        /// The names that there are.
        known: String,
    },
    /// What is to cheat in the place of a server does not start, or cannot be spoken to.
    #[error("the mutant in the place of {node}: {source}")]
    Mutant {
        /// The server.
        node: String,
        /// What the system says.
        source: io::Error,
    },
    /// The hosts of the nodes.
    #[error(transparent)]
    Hosts(Box<HostsError>),
    /// The network file of the run.
    #[error(transparent)]
    Network(#[from] Box<NetworkFileError>),
    /// A node has kept evidence that shows nothing.
    #[error("{} is no evidence: {why}", path.display())]
    Evidence {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
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

impl From<HostsError> for LiveError {
    fn from(error: HostsError) -> Self {
        Self::Hosts(Box::new(error))
    }
}

/// A run of a point, with everything of it in a directory of its own.
pub struct Run<'a> {
    /// What it is made of.
    pub programs: &'a Programs,
    /// Where its nodes are, if they are not on this machine.
    pub hosts: Option<&'a Hosts>,
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
    /// Runs it. No process outlives this, but if the own one is killed; [`stop`] stops what is left then.
    pub fn measure(&self) -> Result<Measured, LiveError> {
        fs::create_dir_all(&self.dir).map_err(|source| LiveError::File { path: self.dir.clone(), source })?;
        let shaper = self.start_shaper()?;
        let (net, mutant) = Net::up(self, shaper.as_ref())?;
        let mut crowd = CrowdProcess::start(self, &net)?;
        let trouble = self.point.trouble.as_ref();
        let make_trouble = || trouble.map(|trouble| Happening::begin(trouble, &net, mutant)).transpose();
        let (spent, happening) = net.watch(&mut crowd, make_trouble)?;
        let seen = happening.map(Happening::end);
        net.end()?;
        drop(shaper);
        self.keep_what_matters()?;
        let rounds = OfRound::read(&self.dir.join("rounds.csv"))?;
        let toll = seen.map(|seen| seen.toll(self, &rounds)).transpose()?;
        let numbers: BTreeSet<u64> = rounds.iter().map(|round| round.round).collect();
        let path = self.dir.join("ledgers");
        let ledgers = Ledgers::read(&path, &numbers).map_err(|source| LiveError::File { path, source })?;
        let Spent { servers_cpu_s, coordinator_cpu_s, crowd_cpu_s, server_peak_bytes } = spent;
        Ok(Measured { rounds, servers_cpu_s, coordinator_cpu_s, crowd_cpu_s, server_peak_bytes, ledgers, toll })
    }

    /// Something between all nodes, if their links are to be other than those of this machine.
    fn start_shaper(&self) -> Result<Option<Shaper>, LiveError> {
        let Some(links) = self.point.links() else { return Ok(None) };
        let nodes = net::node_names(self.point.servers);
        let started = Shaper::start(nodes, &self.net(), links, Seed::master(self.network));
        started.map(Some).map_err(LiveError::Shaper)
    }

    fn net(&self) -> PathBuf {
        self.dir.join(NET)
    }

    /// Where the evidence of all nodes goes.
    fn evidence(&self) -> PathBuf {
        self.dir.join("evidence")
    }

    /// Leaves of the network what tells something, and no keys.
    fn keep_what_matters(&self) -> Result<(), LiveError> {
        let net = self.net();
        let refused = |path: PathBuf| move |source| LiveError::File { path, source };
        for name in ["network.toml", "ledgers", "logs"] {
            fs::rename(net.join(name), self.dir.join(name)).map_err(refused(net.join(name)))?;
        }
        trouble::keep(&net, &self.evidence()).map_err(refused(self.evidence()))?;
        fs::remove_dir_all(&net).map_err(refused(net))
    }
}

/// Stops the network of a run that is under way in a directory of this machine, or was when its process was killed.
pub fn stop(binary: &Path, dir: &Path) {
    let net = dir.join(NET);
    if net.exists() {
        here::down(binary, &net);
    }
}
