//! A network whose nodes are processes on this machine.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use hippodrome_core::{
    directory::Directory,
    ids::{Party, ServerId},
};
use hippodrome_mixnode::TESTBED;
use hippodrome_proto::{
    gateway::{GatewayClient, GatewayError, NetworkStatus, connect_gateway},
    tls::Fingerprint,
    transport::ConnectError,
};
use hippodrome_store::network_file::Network;
use tokio::time::sleep;

use crate::{
    network_dir::{Addresses, NetworkDir, NetworkDirError, Node, parse_address},
    processes::{self, LOOK_AGAIN, Life, Nodes, ProcessError},
};

/// Any free port of this machine, and nobody else can connect.
const ANY_LOCAL_PORT: &str = "127.0.0.1:0";
/// A server that cannot start at all ends within this time.
const FIRST_MOMENTS: Duration = Duration::from_millis(500);

/// Why a network does not come up, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalNetworkError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Dir(#[from] NetworkDirError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("{what} within {} s; the logs are in {logs}", patience.as_secs_f64())]
    Late { what: &'static str, patience: Duration, logs: String },
}

/// All nodes of a network, in the order in which they start.
pub(crate) fn nodes(directory: &Directory) -> impl Iterator<Item = Node> {
    [Node::Coordinator].into_iter().chain(directory.server_ids().map(Node::Server))
}

/// Starts all nodes, but for a server that is left to somebody else, and waits until the first round is announced. If that
/// fails, none is left running.
pub(crate) async fn start(
    dir: &NetworkDir,
    network: &Network,
    life: Life,
    left: Option<ServerId>,
    patience: Duration,
) -> Result<(Nodes, GatewayClient), LocalNetworkError> {
    let mut start = Start { dir, running: Nodes::default(), patience, until: Instant::now() + patience };
    let node = Node::Coordinator;
    start.running.start(dir, node, life, |command| coordinator_command(command, dir, ANY_LOCAL_PORT))?;
    let (address, gateway) = start.coordinator(network).await?;
    let places = Places::load(dir)?;
    for id in network.directory.server_ids().filter(|id| Some(*id) != left) {
        let node = Node::Server(id);
        start
            .running
            .start(dir, node, life, |command| server_command(command, dir, network, node, &places, &address))?;
    }
    start.first_round(&gateway).await?;
    Ok((start.running, gateway))
}

/// Starts one node with the files that it had, and waits until it is there: until the coordinator answers, or until a
/// server has got over its first moments, in which it reads its files and begins to listen. If it ends instead, that is
/// an error.
pub(crate) async fn start_again(
    dir: &NetworkDir,
    network: &Network,
    node: Node,
    life: Life,
    patience: Duration,
) -> Result<Nodes, LocalNetworkError> {
    let mut start = Start { dir, running: Nodes::default(), patience, until: Instant::now() + patience };
    let places = Places::load(dir)?;
    match node {
        Node::Coordinator => {
            // Where the others look for it.
            let address = dir.coordinator_address(network)?;
            start.running.start(dir, node, life, |command| coordinator_command(command, dir, &address))?;
            while connect(network, &address).await.is_err() {
                start.look_again("the coordinator did not answer").await?;
            }
        }
        Node::Server(_) => {
            let address = places.coordinator(dir, network)?;
            start
                .running
                .start(dir, node, life, |command| server_command(command, dir, network, node, &places, &address))?;
            let settled = Instant::now() + FIRST_MOMENTS;
            while Instant::now() < settled || processes::holder(&dir.pid_file(node)).is_none() {
                start.look_again("the server did not start").await?;
            }
        }
    }
    start.running.check()?;
    Ok(start.running)
}

/// Starts some nodes of a network whose others are on other machines, and waits until they listen. If that fails, none is
/// left running.
pub(crate) async fn start_share(
    dir: &NetworkDir,
    network: &Network,
    nodes: &[Node],
    life: Life,
    patience: Duration,
) -> Result<Nodes, LocalNetworkError> {
    let mut start = Start { dir, running: Nodes::default(), patience, until: Instant::now() + patience };
    let places = Places::load(dir)?;
    let coordinator = places.coordinator(dir, network)?;
    for node in nodes.iter().copied() {
        // What an earlier start has written says nothing about this one.
        let _ = fs::remove_file(dir.address_file(node));
        start.running.start(dir, node, life, |command| match node {
            Node::Coordinator => coordinator_command(command, dir, places.listen(node)),
            Node::Server(_) => server_command(command, dir, network, node, &places, &coordinator),
        })?;
    }
    while !nodes.iter().all(|node| dir.address_file(*node).is_file()) {
        start.look_again("not all nodes listened").await?;
    }
    start.running.check()?;
    Ok(start.running)
}

/// Where nodes are reached, and where they are to listen.
struct Places {
    fronts: Addresses,
    listens: Addresses,
}

impl Places {
    fn load(dir: &NetworkDir) -> Result<Self, NetworkDirError> {
        Ok(Self { fronts: dir.fronts()?, listens: dir.listens()? })
    }

    fn listen(&self, node: Node) -> &str {
        self.listens.of(node).unwrap_or(ANY_LOCAL_PORT)
    }

    /// Where servers look for the coordinator.
    fn coordinator(&self, dir: &NetworkDir, network: &Network) -> Result<String, NetworkDirError> {
        let front = self.fronts.of(Node::Coordinator);
        front.map_or_else(|| dir.coordinator_address(network), |front| Ok(front.to_owned()))
    }
}

fn coordinator_command(command: &mut Command, dir: &NetworkDir, listen: &str) {
    let node = Node::Coordinator;
    command.arg("coordinator").arg("--network").arg(dir.network_file()).arg("--key").arg(dir.key(node));
    command.arg("--registry").arg(dir.registry()).arg("--state-dir").arg(dir.state(node));
    command.arg("--listen").arg(listen).arg("--address-file").arg(dir.address_file(node));
}

fn server_command(
    command: &mut Command,
    dir: &NetworkDir,
    network: &Network,
    node: Node,
    places: &Places,
    coordinator: &str,
) {
    command.arg("mixnode").arg("--network").arg(dir.network_file()).arg("--key").arg(dir.key(node));
    command.arg("--state-dir").arg(dir.state(node)).arg("--listen").arg(places.listen(node));
    command.arg("--coordinator").arg(places.fronts.of(Node::Coordinator).unwrap_or(coordinator));
    command.arg("--address-file").arg(dir.address_file(node));
    if let Some(front) = places.fronts.of(node) {
        command.arg("--advertise").arg(front);
    }
    if network.directory.params().name == TESTBED {
        command.arg("--ledger").arg(dir.ledger(node));
    }
}

/// A network in a few words.
pub(crate) fn network_in_words(network: &Network) -> String {
    let params = network.directory.params();
    let servers = network.directory.servers().len();
    let chains = match (params.layers, params.chains) {
        (1, _) => "one chain".to_owned(),
        (layers, 1) => format!("{layers} layers of one chain"),
        (layers, chains) => format!("{layers} layers of {chains} chains"),
    };
    let noise = match params.noise.guarantee {
        Some(stated) => {
            format!("epsilon {} and delta {} over {} rounds", stated.epsilon(), stated.delta(), stated.rounds)
        }
        None => "noise without a guarantee".to_owned(),
    };
    format!(
        "a network of {servers} servers: {chains} of {}, verification {}, a round every {} s, {noise}",
        params.chain_len,
        params.verification.name(),
        params.period_ms as f64 / 1000.0,
    )
}

/// Connects to the coordinator at an address.
pub(crate) async fn connect(network: &Network, address: &str) -> Result<GatewayClient, ConnectError> {
    let pinned = network.directory.certificate(Party::Coordinator).expect("every directory has a coordinator");
    connect_gateway(address, Fingerprint(*pinned)).await
}

/// A network that is coming up.
struct Start<'a> {
    dir: &'a NetworkDir,
    running: Nodes,
    patience: Duration,
    until: Instant,
}

impl Start<'_> {
    /// Waits until the coordinator answers at the address that it has written. It is the one of its last start if that
    /// is free, so that whoever looks for it there finds it.
    async fn coordinator(&mut self, network: &Network) -> Result<(String, GatewayClient), LocalNetworkError> {
        loop {
            let text = fs::read_to_string(self.dir.coordinator_address_file());
            if let Some(address) = text.ok().and_then(|text| parse_address(&text))
                && let Ok(gateway) = connect(network, &address).await
            {
                return Ok((address, gateway));
            }
            self.look_again("the coordinator did not answer").await?;
        }
    }

    async fn first_round(&mut self, gateway: &GatewayClient) -> Result<NetworkStatus, LocalNetworkError> {
        loop {
            let status = gateway.status().await?;
            if status.round > 0 {
                return Ok(status);
            }
            self.look_again("no round was announced").await?;
        }
    }

    /// Waits a little; an error if a node has ended or patience has.
    async fn look_again(&mut self, what: &'static str) -> Result<(), LocalNetworkError> {
        self.running.check()?;
        if Instant::now() >= self.until {
            let logs = self.dir.root().join("logs").display().to_string();
            return Err(LocalNetworkError::Late { what, patience: self.patience, logs });
        }
        sleep(LOOK_AGAIN).await;
        Ok(())
    }
}
