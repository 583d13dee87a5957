//! `coordinator` and `mixnode`: one node, until it is told to stop.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use hippodrome_coordinator::{CoordinatorConfig, CoordinatorError};
use hippodrome_mixnode::{MixnodeConfig, MixnodeError};
use hippodrome_store::config::{self, ConfigError};
use serde::Serialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::processes::{PidFile, ProcessError};

const COORDINATOR_EXAMPLES: &str = "\
Examples:
  hippodrome coordinator --print-config > coordinator.toml   the defaults, to be edited
  hippodrome coordinator --config coordinator.toml
  hippodrome coordinator --network network.toml --key coordinator.key --registry registry.txt \\
      --listen 0.0.0.0:7400 --state-dir /var/lib/hippodrome";

const MIXNODE_EXAMPLES: &str = "\
Examples:
  hippodrome mixnode --print-config > server.toml   the defaults, to be edited
  hippodrome mixnode --config server.toml
  hippodrome mixnode --network network.toml --key server.key --coordinator 192.0.2.1:7400 \\
      --listen 0.0.0.0:7401 --advertise 192.0.2.2:7401 --state-dir /var/lib/hippodrome";

/// What both kinds of nodes can be told.
#[derive(Args, Debug)]
struct NodeArgs {
    /// Settings as TOML; flags count more
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings that would be in force as TOML, and stop
    #[arg(long)]
    print_config: bool,
    /// Hold this file locked while running, with the process id in it
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Where `/metrics` answers, for you alone
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<String>,
    /// Stop when standard input ends, and so when whoever started this is gone
    #[arg(long)]
    stop_with_stdin: bool,
    /// Leave the terminal's session
    #[arg(long, hide = true)]
    own_session: bool,
}

/// Run a coordinator until it is told to stop (SIGINT, SIGTERM)
#[derive(Args, Debug)]
#[command(after_help = COORDINATOR_EXAMPLES)]
pub(crate) struct CoordinatorArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The network file, signed by all servers
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// The coordinator's key file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Public keys of the clients that may take part
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Directory of the durable marks
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where to write the address that is listened on, once it is
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

/// Run a mix server until it is told to stop (SIGINT, SIGTERM)
#[derive(Args, Debug)]
#[command(after_help = MIXNODE_EXAMPLES)]
pub(crate) struct MixnodeArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The network file, signed by all servers
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// The server's key file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Directory of the durable marks
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where others reach this server, if that is not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where to write the address that is listened on, once it is
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
    /// Where the coordinator is, if not where the network file says
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: Option<String>,
    /// Threads that mix and verify; 0 takes all cores
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where to write what rounds cost; only in networks for measuring (`testnet up --testbed`)
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    #[error(transparent)]
    Mixnode(#[from] MixnodeError),
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

pub(crate) async fn run_coordinator(args: CoordinatorArgs) -> Result<(), NodeError> {
    let mut config: CoordinatorConfig = settings(args.node.config.as_deref(), CoordinatorConfig::load)?;
    let CoordinatorArgs { node, network, key, registry, state_dir, listen, address_file } = args;
    set(&mut config.network, network);
    set(&mut config.key, key);
    set(&mut config.registry, registry);
    set(&mut config.state_dir, state_dir);
    set(&mut config.listen, listen);
    config.address_file = address_file.or(config.address_file);
    config.metrics = node.metrics.clone().or(config.metrics);
    let Some((_held, stop)) = begin(&node, &config)? else { return Ok(()) };
    Ok(hippodrome_coordinator::run(config, stop).await?)
}

pub(crate) async fn run_mixnode(args: MixnodeArgs) -> Result<(), NodeError> {
    let mut config: MixnodeConfig = settings(args.node.config.as_deref(), MixnodeConfig::load)?;
    let MixnodeArgs { node, network, key, state_dir, listen, advertise, address_file, coordinator, threads, ledger } =
        args;
    set(&mut config.network, network);
    set(&mut config.key, key);
    set(&mut config.state_dir, state_dir);
    set(&mut config.listen, listen);
    set(&mut config.threads, threads);
    config.advertise = advertise.or(config.advertise);
    config.address_file = address_file.or(config.address_file);
    config.coordinator = coordinator.or(config.coordinator);
    config.ledger = ledger.or(config.ledger);
    config.metrics = node.metrics.clone().or(config.metrics);
    let Some((_held, stop)) = begin(&node, &config)? else { return Ok(()) };
    Ok(hippodrome_mixnode::run(config, stop).await?)
}

fn settings<T: Default>(
    file: Option<&Path>,
    load: impl FnOnce(&Path) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    file.map_or_else(|| Ok(T::default()), load)
}

fn set<T>(setting: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *setting = value;
    }
}

/// Prints the settings if that is all that is wanted; else makes this process a node, and says when it has to stop.
fn begin<T: Serialize>(
    args: &NodeArgs,
    config: &T,
) -> Result<Option<(Option<PidFile>, impl Future<Output = ()> + Send + use<T>)>, NodeError> {
    if args.print_config {
        print!("{}", config::print(config));
        return Ok(None);
    }
    if args.own_session {
        // Fails only where the process leads a group, and then it has no terminal to lose.
        let _ = rustix::process::setsid();
    }
    let held = args.pid_file.as_deref().map(PidFile::hold).transpose()?;
    let signals = stop_signal().map_err(NodeError::Signals)?;
    let stdin_ends = args.stop_with_stdin.then(end_of_stdin);
    let stop = async move {
        match stdin_ends {
            Some(stdin_ends) => tokio::select! {
                () = signals => {}
                _ = stdin_ends => {}
            },
            None => signals.await,
        }
    };
    Ok(Some((held, stop)))
}

/// Done at the first SIGINT or SIGTERM. From the call on, these signals no longer end the process.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Done when standard input ends. Its thread may outlive everything but the process.
pub(crate) fn end_of_stdin() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0; 512];
        while matches!(io::stdin().read(&mut sink), Ok(1..)) {}
        let _ = ended.send(());
    });
    end
}
