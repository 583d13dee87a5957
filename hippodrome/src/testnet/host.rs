//! `testnet host`: one host's share of a network whose nodes are on several.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use clap::Args;
use hippodrome_experiments::live::usage::Usage;
use hippodrome_store::network_file::Network;

use super::{TestnetError, conditions, io_error, lock, present};
use crate::{
    local_network,
    network_dir::{Addresses, NetworkDir, Node},
    node::stop_signal,
    processes::{Condition, Life},
    values,
};

/// A host's share of a network.
#[derive(Args, Debug)]
pub(super) struct HostArgs {
    /// A directory with the network file, `keys/` of the nodes to start, `fronts.toml` of where all are reached, and
    /// `registry.txt` for the coordinator
    #[arg(long)]
    dir: PathBuf,
    /// Listen at this address of the host, if it is not the one where others reach it
    #[arg(long, value_name = "HOST")]
    listen: Option<String>,
    /// How long nodes may take until they listen
    #[arg(long, default_value = "60s", value_parser = values::duration)]
    timeout: Duration,
}

/// Why no share of a network is started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostRefused {
    #[error("{} has no key of a node of the network: there is nothing to start", .0.display())]
    NoKeys(PathBuf),
    #[error("{} does not say where {node} is reached; expected a line as `{node} = \"host:port\"`", file.display())]
    NoFront { file: PathBuf, node: Node },
}

pub(super) async fn run(args: &HostArgs) -> Result<(), TestnetError> {
    let dir = NetworkDir::new(&args.dir);
    let network = dir.load()?;
    let nodes = share(&dir, &network)?;
    let _lock = lock(&dir)?;
    if present(&dir, &network).next().is_some() {
        return Err(TestnetError::Runs { dir: dir.root().to_owned() });
    }
    let listens = listens(&dir, &nodes, args.listen.as_deref())?;
    let file = dir.listens_file();
    fs::write(&file, listens.to_string()).map_err(|source| TestnetError::Io { path: file, source })?;
    let interrupted = stop_signal().map_err(|source| io_error(&dir, source))?;
    tokio::select! {
        started = local_network::start_share(&dir, &network, &nodes, Life::OwnSession, args.timeout) => {
            started?.detach();
            print!("{listens}");
            Ok(())
        }
        () = interrupted => Err(TestnetError::Interrupted),
    }
}

/// The nodes whose keys are there.
fn share(dir: &NetworkDir, network: &Network) -> Result<Vec<Node>, HostRefused> {
    let nodes: Vec<Node> = local_network::nodes(&network.directory).filter(|node| dir.key(*node).is_file()).collect();
    if nodes.is_empty() { Err(HostRefused::NoKeys(dir.root().join("keys"))) } else { Ok(nodes) }
}

/// Where nodes are to listen: at the ports at which they are reached.
fn listens(dir: &NetworkDir, nodes: &[Node], host: Option<&str>) -> Result<Addresses, TestnetError> {
    let fronts = dir.fronts()?;
    let listen = |node: &Node| {
        let missing = || HostRefused::NoFront { file: dir.fronts_file(), node: *node };
        let (reached, port) = fronts.of(*node).and_then(|front| front.rsplit_once(':')).ok_or_else(missing)?;
        Ok((*node, format!("{}:{port}", host.unwrap_or(reached))))
    };
    nodes.iter().map(listen).collect()
}

/// Prints what the nodes that are there have used.
pub(super) fn usage(dir: &NetworkDir) -> Result<(), TestnetError> {
    let network = dir.load()?;
    let there = conditions(dir, &network).filter(|(_, condition)| *condition != Condition::Gone);
    // One that ends at this moment has used nothing that anybody could know.
    let usage = |(node, _): (Node, Condition)| Some((node.to_string(), Usage::of_holder(&dir.pid_file(node)).ok()?));
    let used: BTreeMap<String, Usage> = there.filter_map(usage).collect();
    println!("{}", serde_json::to_string(&used).expect("text keys and plain values"));
    Ok(())
}
