//! `demo`: a whole network, many idle clients and two people who talk, with everything checked at the end.

mod narrator;
mod people;
mod report;
mod rounds;

use std::{
    future::pending,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use hippodrome_client::{
    person::{Person, PersonError},
    session::SessionError,
    swarm::Swarm,
    uplink::{Uplink, UplinkError},
};
use hippodrome_crypto::signing::{PublicKey, SigningKey};
use hippodrome_proto::{gateway::GatewayError, transport::ConnectError};
use hippodrome_store::{key_file::KeySource, network_file::Network, registry_file::Registrant};
use tempfile::TempDir;
use tokio::time::sleep;

use self::{
    narrator::Narrator,
    people::{SCRIPT, Side, Talk},
    report::Report,
    rounds::Rounds,
};
use crate::{
    founding::{self, FoundingError, Shape, ShapeError, Usual},
    local_network::{self, LocalNetworkError, network_in_words},
    network_dir::NetworkDir,
    node::stop_signal,
    processes::{LOOK_AGAIN, Life, Nodes, ProcessError},
    values,
};

/// What holds if nothing else is asked for.
const USUAL: Usual = Usual { period: Duration::from_secs(1), noise: Some(8) };
/// How long the network may take to come up.
const START_PATIENCE: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Examples:
  hippodrome demo
  hippodrome demo --json | tail -n 1
  hippodrome demo --layers 1 --chains 1 --servers 3 --verification aggregate
  hippodrome demo --keep kept     the network's files and logs stay in kept/";

/// Start a whole network, let two people talk through it, and tell what happens; succeeds if every text arrives
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Idle clients, besides the two who talk
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    clients: u32,
    /// How long the conversation may take
    #[arg(long, default_value = "120s", value_parser = values::duration)]
    timeout: Duration,
    /// Make the network in this new directory and leave it there
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Tell what happens on standard error, and print one JSON object at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shape: Shape,
}

/// Why a demo fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error(transparent)]
    Founding(#[from] FoundingError),
    #[error(transparent)]
    Network(#[from] LocalNetworkError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    #[error("the coordinator: {0}")]
    Gateway(#[from] GatewayError),
    #[error("{side}: {source}")]
    Person { side: Side, source: PersonError },
    #[error("{side} left: {source}")]
    Session { side: Side, source: SessionError },
    #[error("an idle client left: {0}")]
    Idle(SessionError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the network has no epoch, although a round was announced")]
    NoEpoch,
    #[error("interrupted: nothing is left running")]
    Interrupted,
    #[error("what arrived is not what was sent")]
    Garbled,
    #[error("{delivered} of {texts} texts arrived in time")]
    Incomplete { delivered: usize, texts: usize },
    #[error("{verified} hop proofs were verified in {rounds} rounds, where {expected} were to be")]
    Unverified { verified: u64, expected: u64, rounds: u64 },
}

/// Plays the demo; whatever happens, no node outlives it.
pub(crate) async fn run(args: DemoArgs) -> Result<(), DemoError> {
    let stop = stop_signal()?;
    let narrator = Narrator::new(SCRIPT.len(), args.json);
    let played = tokio::select! {
        played = play(&args, &narrator) => played,
        () = stop => Err(DemoError::Interrupted),
    };
    narrator.finish();
    let report = played?;
    if args.json {
        println!("{}", serde_json::to_string(&report).expect("a report has text keys and plain values"));
    } else {
        println!("{}", report.sentence());
    }
    report.check()
}

async fn play(args: &DemoArgs, narrator: &Narrator) -> Result<Report, DemoError> {
    let (dir, _temporary) = place(args.keep.as_deref())?;
    let (network, idle_keys) = found(args, &dir)?;
    narrator.say(&format!("founded {}", network_in_words(&network)));
    let (mut nodes, gateway) = local_network::start(&dir, &network, Life::WithStarter, None, START_PATIENCE).await?;
    let servers = network.directory.servers().len();
    narrator.say(&format!("started the coordinator and {servers} mix servers, each a process with keys of its own"));

    let directory = Arc::new(network.directory.clone());
    let uplink =
        Uplink::connect(Arc::clone(&directory), &dir.coordinator_address(&network).map_err(LocalNetworkError::from)?)
            .await?;
    let epoch = uplink.epoch().await?.ok_or(DemoError::NoEpoch)?;
    let mut swarm = Swarm::new(uplink.clone());
    idle_keys.into_iter().for_each(|key| drop(swarm.add_idle(key)));
    let clients = swarm.len() + Side::BOTH.len();
    narrator.say(&format!(
        "{clients} clients take part; alice and bob are two of them, and the others have nobody to talk to"
    ));

    let mut talk = Talk::new(&dir, &directory)?;
    let sessions = talk.sessions(&uplink);
    let rounds = Rounds::new(&gateway, &epoch, directory.params(), servers, narrator);
    tokio::select! {
        talked = talk.run(narrator) => talked?,
        failed = sessions => return Err(failed),
        failed = idle_client_left(&mut swarm) => return Err(failed),
        failed = node_died(&mut nodes) => return Err(failed.into()),
        failed = rounds.narrate() => return Err(failed.into()),
        () = sleep(args.timeout) => narrator.say("the time is over"),
    }
    let status = gateway.status().await?;
    drop(swarm);
    nodes.stop().await;
    narrator.say("stopped all nodes");
    Ok(Report::new(&network, clients, &talk, &status, narrator.began()))
}

/// Where the network is: in a directory that stays, or in one that goes with the demo.
fn place(keep: Option<&Path>) -> Result<(NetworkDir, Option<TempDir>), DemoError> {
    if let Some(path) = keep {
        return Ok((NetworkDir::new(path), None));
    }
    let temporary = tempfile::Builder::new().prefix("hippodrome-demo-").tempdir()?;
    Ok((NetworkDir::new(temporary.path()), Some(temporary)))
}

/// Founds the network; gives it with the keys of the idle clients.
fn found(args: &DemoArgs, dir: &NetworkDir) -> Result<(Network, Vec<SigningKey>), DemoError> {
    let params = args.shape.params("demo", USUAL)?;
    let idle: Vec<SigningKey> = (0..args.clients).map(|_| SigningKey::generate(&mut rand::rng())).collect();
    let mut registry: Vec<PublicKey> = idle.iter().map(SigningKey::public).collect();
    let mut people = Ok(());
    let network = founding::found(dir, params, args.shape.servers(), &KeySource::System, |dir| {
        for side in Side::BOTH {
            match Person::prepare(&dir.person(side.name()), side.name()) {
                Ok(key) => registry.push(key),
                Err(source) => people = Err(DemoError::Person { side, source }),
            }
        }
        Ok(registry.into_iter().map(|key| Registrant { key, name: None }).collect())
    })?;
    people.map(|()| (network, idle))
}

async fn idle_client_left(swarm: &mut Swarm) -> DemoError {
    loop {
        match swarm.ended().await {
            Some(Err(error)) => return DemoError::Idle(error),
            Some(Ok(())) => {}
            None => pending().await,
        }
    }
}

async fn node_died(nodes: &mut Nodes) -> ProcessError {
    loop {
        if let Err(died) = nodes.check() {
            return died;
        }
        sleep(LOOK_AGAIN).await;
    }
}
