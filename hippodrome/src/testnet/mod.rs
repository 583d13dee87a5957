//! `testnet`: a network that keeps running in a directory of this machine.

mod host;
mod nodes;
mod status;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::{Args, Parser, Subcommand};
use hippodrome_core::ids::ServerId;
use hippodrome_mixnode::TESTBED;
use hippodrome_proto::gateway::NetworkStatus;
use hippodrome_store::{
    key_file::KeySource,
    network_file::Network,
    registry_file::{self, RegistryError},
};
use tokio::time::sleep;

use self::{
    host::{HostArgs, HostRefused},
    nodes::{Deed, NodeArgs, NodeRefused},
};
use crate::{
    founding::{self, FoundingError, Shape, ShapeError, Usual},
    local_network::{self, LocalNetworkError, network_in_words},
    network_dir::{Addresses, NetworkDir, NetworkDirError, NoNode, Node},
    node::stop_signal,
    processes::{self, Condition, LOOK_AGAIN, Life, ProcessError},
    status::StatusError,
    values,
};

/// What holds if nothing else is asked for.
pub(crate) const USUAL: Usual = Usual { period: Duration::from_secs(2), noise: None };
/// How long another command may take to start or stop nodes before a network is stopped.
const OTHERS: Duration = Duration::from_secs(60);
/// Seats, if nothing else is asked for.
const SEATS: u16 = 16;

const EXAMPLES: &str = "\
Examples:
  hippodrome testnet up --dir net
  hippodrome testnet up --dir small --servers 3 --chains 1 --layers 1 --period 500ms
  hippodrome chat --network net --as alice
  hippodrome testnet status --dir net --json
  hippodrome testnet wait --dir net --rounds 10
  hippodrome testnet kill --dir net server-2
  hippodrome testnet start --dir net server-2
  hippodrome testnet down --dir net";

/// Keep a network running in a directory of this machine
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TestnetArgs {
    #[command(subcommand)]
    command: TestnetCommand,
}

#[derive(Subcommand, Debug)]
enum TestnetCommand {
    /// Found a network in a new directory, or take the one that is there, and start it
    Up(UpArgs),
    /// Found a network in a new directory, and start nothing
    Found(Foundation),
    /// Start those nodes of a network whose keys are in a directory, where the others are on other machines
    Host(HostArgs),
    /// Print how the network is doing
    Status {
        /// The network's directory
        #[arg(long)]
        dir: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Wait until more rounds are completed
    Wait {
        /// The network's directory
        #[arg(long)]
        dir: PathBuf,
        /// How many, from now on
        #[arg(long, default_value_t = 1)]
        rounds: u64,
        /// How long to wait
        #[arg(long, default_value = "60s", value_parser = values::duration)]
        timeout: Duration,
    },
    /// Kill a node without warning (SIGKILL)
    Kill(NodeArgs),
    /// Let a node's time stand still (SIGSTOP)
    Freeze(NodeArgs),
    /// Let a frozen node go on (SIGCONT)
    Thaw(NodeArgs),
    /// Start a node that was killed again, with its old files
    Start(NodeArgs),
    /// Stop all its nodes, frozen ones too; `up` starts them again
    Down {
        /// The network's directory
        #[arg(long)]
        dir: PathBuf,
        /// Say nothing if none of them is there
        #[arg(long)]
        if_up: bool,
    },
    /// Print what the nodes that are there have used, as JSON
    #[command(hide = true)]
    Usage {
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(Args, Debug)]
struct UpArgs {
    #[command(flatten)]
    foundation: Foundation,
    /// How long the first round may take to be announced
    #[arg(long, default_value = "60s", value_parser = values::duration)]
    timeout: Duration,
    /// A server that somebody else starts, with its files in the directory
    #[arg(long, value_name = "SERVER", value_parser = server)]
    leave: Option<ServerId>,
}

/// What a network is founded with.
#[derive(Args, Debug)]
struct Foundation {
    /// The network's directory
    #[arg(long)]
    dir: PathBuf,
    #[command(flatten)]
    shape: Shape,
    /// Clients that may take part [default: 16]
    #[arg(long)]
    seats: Option<u16>,
    /// A network for measuring and for nothing else: its servers write into `ledgers` what rounds cost, which tells how many
    /// take part, and all its keys follow from SEED, which anybody may know
    #[arg(long, value_name = "SEED")]
    testbed: Option<u64>,
    /// Where others reach each node when something stands in front of it: lines as `server-0 = "host:port"`
    #[arg(long, value_name = "FILE")]
    fronts: Option<PathBuf>,
}

/// Why no network can be founded with some flags.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoNetwork {
    #[error(transparent)]
    Flags(#[from] clap::Error),
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Whether a network could be founded with these flags of `up` or `found`.
pub(crate) fn check(flags: &[String]) -> Result<(), NoNetwork> {
    #[derive(Parser)]
    struct Found {
        #[command(flatten)]
        foundation: Foundation,
    }
    let line = ["found", "--dir", "net"].into_iter().chain(flags.iter().map(String::as_str));
    let Found { foundation } = Found::try_parse_from(line)?;
    Ok(foundation.shape.params(TESTBED, USUAL).map(drop)?)
}

/// Reads the name of a server.
fn server(name: &str) -> Result<ServerId, String> {
    match name.parse() {
        Ok(Node::Server(id)) => Ok(id),
        Ok(Node::Coordinator) | Err(NoNode) => Err("expected a server, as `server-0`".into()),
    }
}

/// Why a command about a testnet fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestnetError {
    #[error(transparent)]
    Founding(#[from] FoundingError),
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error(transparent)]
    Dir(#[from] NetworkDirError),
    #[error(transparent)]
    Network(#[from] LocalNetworkError),
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Node(#[from] NodeRefused),
    #[error(transparent)]
    Host(#[from] HostRefused),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(
        "the network in {} was founded with {flag} {has}, not {asked}: that is fixed for its life; choose another \
         directory",
        dir.display()
    )]
    Conflict { dir: PathBuf, flag: &'static str, asked: String, has: String },
    #[error("the network in {0} runs already; `hippodrome testnet down --dir {0}` stops it", dir.display())]
    Runs { dir: PathBuf },
    #[error("the network in {0} does not run; `hippodrome testnet up --dir {0}` starts it", dir.display())]
    DoesNotRun { dir: PathBuf },
    #[error(
        "the coordinator of the network in {0} is frozen; `hippodrome testnet thaw --dir {0} coordinator` lets it go on",
        dir.display()
    )]
    Frozen { dir: PathBuf },
    #[error("another command that starts or stops nodes is at work in {}", .0.display())]
    Busy(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("interrupted: nothing is left running")]
    Interrupted,
    #[error("{done} of {wanted} rounds were completed within {} s{why}", timeout.as_secs_f64())]
    Timeout { done: u64, wanted: u64, timeout: Duration, why: String },
}

pub(crate) async fn run(args: TestnetArgs) -> Result<(), TestnetError> {
    match args.command {
        TestnetCommand::Up(args) => up(args).await,
        TestnetCommand::Found(args) => found(&args),
        TestnetCommand::Host(args) => host::run(&args).await,
        TestnetCommand::Status { dir, json } => status::print(&NetworkDir::new(dir), json).await,
        TestnetCommand::Wait { dir, rounds, timeout } => wait(&NetworkDir::new(dir), rounds, timeout).await,
        TestnetCommand::Kill(args) => nodes::run(Deed::Kill, args).await,
        TestnetCommand::Freeze(args) => nodes::run(Deed::Freeze, args).await,
        TestnetCommand::Thaw(args) => nodes::run(Deed::Thaw, args).await,
        TestnetCommand::Start(args) => nodes::run(Deed::Start, args).await,
        TestnetCommand::Down { dir, if_up } => down(&NetworkDir::new(dir), if_up).await,
        TestnetCommand::Usage { dir } => host::usage(&NetworkDir::new(dir)),
    }
}

fn found(args: &Foundation) -> Result<(), TestnetError> {
    let dir = NetworkDir::new(&args.dir);
    let network = found_or_check(&dir, args)?;
    set_fronts(&dir, args.fronts.as_deref())?;
    println!("{} is founded in {}", network_in_words(&network), dir.root().display());
    Ok(())
}

async fn up(args: UpArgs) -> Result<(), TestnetError> {
    let dir = NetworkDir::new(&args.foundation.dir);
    let network = found_or_check(&dir, &args.foundation)?;
    if let Some(id) = args.leave.filter(|id| usize::from(id.0) >= network.directory.servers().len()) {
        return Err(NodeRefused::no_such(&dir, &network, Node::Server(id)).into());
    }
    let _lock = lock(&dir)?;
    set_fronts(&dir, args.foundation.fronts.as_deref())?;
    if present(&dir, &network).next().is_some() {
        return Err(TestnetError::Runs { dir: dir.root().to_owned() });
    }
    let interrupted = stop_signal().map_err(|source| io_error(&dir, source))?;
    tokio::select! {
        started = local_network::start(&dir, &network, Life::OwnSession, args.leave, args.timeout) => {
            let (nodes, _) = started?;
            nodes.detach();
            say_how_to_go_on(&dir, &network);
            Ok(())
        }
        () = interrupted => Err(TestnetError::Interrupted),
    }
}

fn found_or_check(dir: &NetworkDir, args: &Foundation) -> Result<Network, TestnetError> {
    let Foundation { shape, seats, testbed, .. } = args;
    if !dir.has_network() {
        let (name, keys) = testbed.map_or(("testnet", KeySource::System), |seed| (TESTBED, KeySource::Testbed(seed)));
        let seat = |dir: &NetworkDir| founding::free_seats(dir, &keys, seats.unwrap_or(SEATS));
        return Ok(founding::found(dir, shape.params(name, USUAL)?, shape.servers(), &keys, seat)?);
    }
    let network = dir.load()?;
    let seated = registry_file::load(&dir.registry())?.len();
    let other_seats = || {
        seats
            .filter(|seats| usize::from(*seats) != seated)
            .map(|seats| ("--seats", seats.to_string(), seated.to_string()))
    };
    let params = network.directory.params();
    let no_testbed =
        || (testbed.is_some() && params.name != TESTBED).then(|| ("--testbed", TESTBED.into(), params.name.clone()));
    let conflict = shape.conflict(params, network.directory.servers().len()).or_else(other_seats).or_else(no_testbed);
    match conflict {
        Some((flag, asked, has)) => Err(TestnetError::Conflict { dir: dir.root().to_owned(), flag, asked, has }),
        None => Ok(network),
    }
}

/// Keeps what stands in front of nodes for as long as the network lives.
fn set_fronts(dir: &NetworkDir, fronts: Option<&Path>) -> Result<(), TestnetError> {
    let Some(fronts) = fronts else { return Ok(()) };
    Addresses::read(fronts)?;
    let file = dir.fronts_file();
    fs::copy(fronts, &file).map(drop).map_err(|source| TestnetError::Io { path: file, source })
}

fn say_how_to_go_on(dir: &NetworkDir, network: &Network) {
    let dir = dir.root().display();
    println!("{} runs in {dir}", network_in_words(network));
    println!("talk, in two terminals:");
    println!("    hippodrome chat --network {dir} --as alice");
    println!("    hippodrome chat --network {dir} --as bob");
    println!("stop it:");
    println!("    hippodrome testnet down --dir {dir}");
}

/// Keeps others from starting or stopping nodes for as long as it is held.
fn lock(dir: &NetworkDir) -> Result<File, TestnetError> {
    let refused = |source| io_error(dir, source);
    dir.make_rooms().map_err(refused)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(dir.lock_file()).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TestnetError::Busy(dir.root().to_owned())),
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

/// The same once whoever else starts or stops nodes has done so.
async fn lock_when_free(dir: &NetworkDir) -> Result<File, TestnetError> {
    let patience = Instant::now() + OTHERS;
    loop {
        match lock(dir) {
            Err(TestnetError::Busy(_)) if Instant::now() < patience => sleep(LOOK_AGAIN).await,
            locked => return locked,
        }
    }
}

fn io_error(dir: &NetworkDir, source: io::Error) -> TestnetError {
    TestnetError::Io { path: dir.root().to_owned(), source }
}

/// All nodes with what their processes do.
fn conditions<'a>(dir: &'a NetworkDir, network: &'a Network) -> impl Iterator<Item = (Node, Condition)> + 'a {
    local_network::nodes(&network.directory).map(|node| (node, Condition::of_holder(&dir.pid_file(node))))
}

/// The nodes that are there now, frozen ones too.
fn present<'a>(dir: &'a NetworkDir, network: &'a Network) -> impl Iterator<Item = Node> + 'a {
    conditions(dir, network).filter(|(_, condition)| *condition != Condition::Gone).map(|(node, _)| node)
}

async fn down(dir: &NetworkDir, if_up: bool) -> Result<(), TestnetError> {
    let network = dir.load()?;
    let _lock = lock_when_free(dir).await?;
    let up = present(dir, &network).count();
    if up == 0 && if_up {
        return Ok(());
    }
    if up == 0 {
        return Err(TestnetError::DoesNotRun { dir: dir.root().to_owned() });
    }
    let pid_files: Vec<PathBuf> = local_network::nodes(&network.directory).map(|node| dir.pid_file(node)).collect();
    let killed = processes::stop_holders(&pid_files).await;
    for path in &killed {
        eprintln!("{} did not stop when asked, and was killed", path.display());
    }
    println!("stopped {up} nodes in {}", dir.root().display());
    Ok(())
}

async fn wait(dir: &NetworkDir, rounds: u64, timeout: Duration) -> Result<(), TestnetError> {
    let network = dir.load()?;
    let until = Instant::now() + timeout;
    let gateway = status::gateway(dir, &network).await?;
    let status =
        || async { Ok::<NetworkStatus, TestnetError>(gateway.status().await.map_err(LocalNetworkError::from)?) };
    let before = status().await?;
    loop {
        let now = status().await?;
        let done = now.rounds_completed.saturating_sub(before.rounds_completed);
        if done >= rounds {
            println!("{done} rounds completed");
            return Ok(());
        }
        if Instant::now() >= until {
            let why = if now.rounds_failed > before.rounds_failed { now.last_failure } else { String::new() };
            let why = if why.is_empty() { why } else { format!("; the last that failed: {why}") };
            return Err(TestnetError::Timeout { done, wanted: rounds, timeout, why });
        }
        sleep(LOOK_AGAIN).await;
    }
}
