//! `testnet status`.

use std::{fs, path::Path, sync::Arc};

use hippodrome_client::uplink::Uplink;
use hippodrome_core::roster::Roster;
use hippodrome_proto::gateway::{GatewayClient, NetworkStatus};
use hippodrome_store::{network_file::Network, registry_file};
use serde::Serialize;

use super::{TestnetError, conditions};
use crate::{
    local_network::{self, LocalNetworkError, network_in_words},
    membership::Membership,
    network_dir::{NetworkDir, Node},
    processes::Condition,
    status::{self, Rounds},
    values::now_ms,
};

/// What the process of a node does: `running`, `frozen` or `dead`.
#[derive(Debug, Serialize)]
struct NodeReport {
    node: String,
    process: &'static str,
}

/// How a network is doing, as printed with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    network: String,
    running: bool,
    coordinator: Option<String>,
    servers: usize,
    servers_running: usize,
    servers_connected: usize,
    chains: u16,
    chain_len: u8,
    layers: u8,
    verification: &'static str,
    period_ms: u64,
    epoch: u64,
    #[serde(flatten)]
    rounds: Rounds,
    /// Null while the coordinator does not run, and before the first epoch.
    membership: Option<Membership>,
    seats: usize,
    seats_free: usize,
    people: Vec<String>,
    logs: String,
    nodes: Vec<NodeReport>,
}

/// A connection to the coordinator of a network that runs.
pub(super) async fn gateway(dir: &NetworkDir, network: &Network) -> Result<GatewayClient, TestnetError> {
    let address = coordinator_address(dir, network)?;
    Ok(local_network::connect(network, &address).await.map_err(LocalNetworkError::from)?)
}

/// Where the coordinator of a network is that runs.
fn coordinator_address(dir: &NetworkDir, network: &Network) -> Result<String, TestnetError> {
    match Condition::of_holder(&dir.pid_file(Node::Coordinator)) {
        Condition::Runs(_) => {}
        Condition::Frozen(_) => return Err(TestnetError::Frozen { dir: dir.root().to_owned() }),
        Condition::Gone => return Err(TestnetError::DoesNotRun { dir: dir.root().to_owned() }),
    }
    Ok(dir.coordinator_address(network)?)
}

pub(super) async fn print(dir: &NetworkDir, json: bool) -> Result<(), TestnetError> {
    let network = dir.load()?;
    let answer = match coordinator_address(dir, &network) {
        Ok(address) => {
            let uplink = Uplink::connect(Arc::new(network.directory.clone()), &address).await;
            let uplink = uplink.map_err(LocalNetworkError::from)?;
            Some(status::ask(&uplink).await?)
        }
        Err(TestnetError::DoesNotRun { .. } | TestnetError::Frozen { .. }) => None,
        Err(error) => return Err(error),
    };
    let report = report(dir, &network, answer)?;
    if json {
        println!("{}", serde_json::to_string(&report).expect("a report has text keys and plain values"));
    } else {
        print_for_people(&report, &network);
    }
    Ok(())
}

/// What the coordinator answers: its own word, and who takes part.
type Answer = (NetworkStatus, Option<Arc<Roster>>);

fn report(dir: &NetworkDir, network: &Network, answer: Option<Answer>) -> Result<Report, TestnetError> {
    let params = network.directory.params();
    let nodes: Vec<(Node, Condition)> = conditions(dir, network).collect();
    let runs =
        |(node, condition): &&(Node, Condition)| *node != Node::Coordinator && matches!(condition, Condition::Runs(_));
    let is_running = answer.is_some();
    let (status, roster) = answer.unwrap_or_default();
    Ok(Report {
        network: network.directory.id().to_string(),
        running: is_running,
        coordinator: if is_running { Some(dir.coordinator_address(network)?) } else { None },
        servers: network.directory.servers().len(),
        servers_running: nodes.iter().filter(runs).count(),
        servers_connected: status.servers_up.iter().filter(|up| **up).count(),
        chains: params.chains,
        chain_len: params.chain_len,
        layers: params.layers,
        verification: params.verification.name(),
        period_ms: params.period_ms,
        epoch: status.epoch,
        rounds: Rounds::new(network, &status),
        membership: roster.map(|roster| Membership::new(&network.directory, &roster, &status)),
        seats: registry_file::load(&dir.registry())?.len(),
        seats_free: names(&dir.seats()).len(),
        people: names(&dir.people()),
        logs: dir.root().join("logs").display().to_string(),
        nodes: nodes
            .iter()
            .map(|(node, condition)| NodeReport { node: node.to_string(), process: condition.name() })
            .collect(),
    })
}

/// Names of what is in a directory, sorted; none if it cannot be read.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn print_for_people(report: &Report, network: &Network) {
    println!("network      {}", report.network);
    println!("             {}", network_in_words(network));
    match &report.coordinator {
        Some(address) => println!("coordinator  runs, at {address}"),
        None => println!("coordinator  does not run"),
    }
    println!("processes    {} of {} servers run", report.servers_running, report.servers);
    // A network that is down is down as a whole.
    let some = report.nodes.iter().any(|node| node.process != Condition::Gone.name());
    for node in report.nodes.iter().filter(|node| some && node.process != "running") {
        println!("             {} is {}", node.node, node.process);
    }
    if report.running {
        report.rounds.print();
    }
    if let Some(membership) = &report.membership {
        println!("{}", membership.at(now_ms()));
    }
    let people = if report.people.is_empty() { "nobody".into() } else { report.people.join(", ") };
    println!("seats        {} of {} free; taken by {people}", report.seats_free, report.seats);
    println!("logs         {}", report.logs);
}
