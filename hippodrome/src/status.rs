//! `status`: how a network is doing, wherever it is.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use hippodrome_client::uplink::{Uplink, UplinkError};
use hippodrome_core::{coordinator::Strikes, roster::Roster};
use hippodrome_proto::{
    gateway::{GatewayError, NetworkStatus},
    transport::ConnectError,
};
use hippodrome_store::network_file::Network;
use serde::Serialize;

use crate::{
    local_network::network_in_words,
    membership::Membership,
    network_dir::{NetworkDir, NetworkDirError},
    values::now_ms,
};

const EXAMPLES: &str = "\
Examples:
  hippodrome status --network net
  hippodrome status --network network.toml --address coordinator.example:7400 --json

Who takes part is checked against the servers' signatures; counts, and who is up, are the coordinator's word.";

/// Print how a network is doing: rounds, epoch, chains, and which servers are out, why and until when
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// The network's directory, or its network file
    #[arg(long, value_name = "DIR|FILE")]
    network: PathBuf,
    /// Where the coordinator is [default: what the directory or the network file says]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why a network cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    #[error(transparent)]
    Dir(#[from] NetworkDirError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

/// How a network is doing, as printed with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    network: String,
    coordinator: String,
    servers: usize,
    servers_connected: usize,
    #[serde(flatten)]
    rounds: Rounds,
    /// Null before the first epoch.
    membership: Option<Membership>,
}

/// How rounds went since the coordinator's start.
#[derive(Debug, Serialize)]
pub(crate) struct Rounds {
    round: u64,
    rounds_completed: u64,
    rounds_failed: u64,
    rounds_unopened: u64,
    hops_verified: u64,
    hops_verified_per_round: u64,
    strikes: StrikeCounts,
    /// Files of evidence against servers that the coordinator keeps.
    evidence_held: u64,
    last_failure: Option<String>,
    /// Why no rounds are opened.
    idle: Option<String>,
}

/// How often servers were struck since the coordinator's start, by the ground.
#[derive(Debug, Serialize)]
struct StrikeCounts {
    silent: u64,
    aborted: u64,
    convicted: u64,
}

impl Rounds {
    pub(crate) fn new(network: &Network, status: &NetworkStatus) -> Self {
        let Strikes { silent, aborted, convicted } = status.strikes;
        let said = |words: &String| Some(words.clone()).filter(|words| !words.is_empty());
        Self {
            round: status.round,
            rounds_completed: status.rounds_completed,
            rounds_failed: status.rounds_failed,
            rounds_unopened: status.rounds_unopened,
            hops_verified: status.hops_verified,
            hops_verified_per_round: network.directory.params().hops_verified_per_round(),
            strikes: StrikeCounts { silent, aborted, convicted },
            evidence_held: status.evidence_held,
            last_failure: said(&status.last_failure),
            idle: said(&status.idle),
        }
    }

    pub(crate) fn print(&self) {
        let Self { round, rounds_completed, rounds_failed, rounds_unopened, hops_verified, .. } = self;
        let unopened = if *rounds_unopened > 0 { format!(", {rounds_unopened} not opened") } else { String::new() };
        println!(
            "rounds       {rounds_completed} completed, {rounds_failed} failed{unopened}, the last announced is {round}"
        );
        if let Some(idle) = &self.idle {
            println!("             none are opened: {idle}");
        }
        if let Some(failure) = &self.last_failure {
            println!("last failure {failure}");
        }
        println!("proofs       {hops_verified} verified, {} a round", self.hops_verified_per_round);
        let StrikeCounts { silent, aborted, convicted } = self.strikes;
        println!("strikes      {silent} for silence, {aborted} for aborts without evidence, {convicted} by evidence");
        println!("evidence     {} files against servers, at the coordinator", self.evidence_held);
    }
}

/// Asks a coordinator how the network is doing, and who takes part; what it says of that must be signed.
pub(crate) async fn ask(uplink: &Uplink) -> Result<(NetworkStatus, Option<Arc<Roster>>), StatusError> {
    let roster = uplink.roster().await?;
    Ok((uplink.status().await?, roster))
}

pub(crate) async fn run(args: StatusArgs) -> Result<(), StatusError> {
    let (dir, network) = NetworkDir::find(&args.network)?;
    let address = match args.address {
        Some(address) => address,
        None => dir.coordinator_address(&network)?,
    };
    let uplink = Uplink::connect(Arc::new(network.directory.clone()), &address).await?;
    let (status, roster) = ask(&uplink).await?;
    let report = Report {
        network: network.directory.id().to_string(),
        coordinator: address,
        servers: network.directory.servers().len(),
        servers_connected: status.servers_up.iter().filter(|up| **up).count(),
        rounds: Rounds::new(&network, &status),
        membership: roster.map(|roster| Membership::new(&network.directory, &roster, &status)),
    };
    if args.json {
        println!("{}", serde_json::to_string(&report).expect("a report has text keys and plain values"));
    } else {
        print_for_people(&report, &network);
    }
    Ok(())
}

fn print_for_people(report: &Report, network: &Network) {
    println!("network      {}", report.network);
    println!("             {}", network_in_words(network));
    println!("coordinator  answers at {}", report.coordinator);
    report.rounds.print();
    match &report.membership {
        Some(membership) => println!("{}", membership.at(now_ms())),
        None => println!("servers      {} of {} are up; no epoch yet", report.servers_connected, report.servers),
    }
}
