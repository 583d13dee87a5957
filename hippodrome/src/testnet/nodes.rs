//! `testnet kill|freeze|thaw|start`: what can happen to a single node, made to happen.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use hippodrome_store::network_file::Network;

use super::{TestnetError, lock};
use crate::{
    local_network,
    network_dir::{NetworkDir, Node},
    processes::{self, Condition, Life},
};

/// How long a node that is started again may take until it is there.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// One node of a network.
#[derive(Args, Debug)]
pub(super) struct NodeArgs {
    /// The network's directory
    #[arg(long)]
    dir: PathBuf,
    /// `coordinator`, or `server-0` and so on
    node: Node,
}

/// What is done to a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Kill,
    Freeze,
    Thaw,
    Start,
}

/// Why nothing can be done to a node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeRefused {
    #[error("the network in {} has no {node}: it has a coordinator and server-0 to server-{last}", dir.display())]
    NoSuch { dir: PathBuf, node: Node, last: usize },
    #[error("{node} does not run; `hippodrome testnet start --dir {} {node}` starts it", dir.display())]
    DoesNotRun { dir: PathBuf, node: Node },
    #[error("{node} runs already")]
    Runs { node: Node },
    #[error("{node} is frozen; `hippodrome testnet thaw --dir {} {node}` lets it go on", dir.display())]
    Frozen { dir: PathBuf, node: Node },
    #[error("{node} is not frozen, it runs")]
    NotFrozen { node: Node },
}

impl NodeRefused {
    pub(super) fn no_such(dir: &NetworkDir, network: &Network, node: Node) -> Self {
        let last = network.directory.servers().len() - 1;
        Self::NoSuch { dir: dir.root().to_owned(), node, last }
    }
}

pub(super) async fn run(deed: Deed, args: NodeArgs) -> Result<(), TestnetError> {
    let (dir, node) = (NetworkDir::new(args.dir), args.node);
    let network = dir.load()?;
    let root = || dir.root().to_owned();
    if !local_network::nodes(&network.directory).any(|known| known == node) {
        return Err(NodeRefused::no_such(&dir, &network, node).into());
    }
    let _lock = lock(&dir)?;
    let pid_file = dir.pid_file(node);
    match (deed, Condition::of_holder(&pid_file)) {
        (Deed::Kill, Condition::Runs(pid) | Condition::Frozen(pid)) => processes::kill(&pid_file, pid).await?,
        (Deed::Freeze, Condition::Runs(pid)) => processes::freeze(&pid_file, pid).await?,
        (Deed::Thaw, Condition::Frozen(pid)) => processes::thaw(&pid_file, pid).await?,
        (Deed::Start, Condition::Gone) => {
            local_network::start_again(&dir, &network, node, Life::OwnSession, START_PATIENCE).await?.detach();
        }
        (Deed::Kill | Deed::Freeze | Deed::Thaw, Condition::Gone) => {
            return Err(NodeRefused::DoesNotRun { dir: root(), node }.into());
        }
        (Deed::Freeze | Deed::Start, Condition::Frozen(_)) => {
            return Err(NodeRefused::Frozen { dir: root(), node }.into());
        }
        (Deed::Thaw, Condition::Runs(_)) => return Err(NodeRefused::NotFrozen { node }.into()),
        (Deed::Start, Condition::Runs(_)) => return Err(NodeRefused::Runs { node }.into()),
    }
    println!("{node} is {}", Condition::of_holder(&pid_file).name());
    Ok(())
}
