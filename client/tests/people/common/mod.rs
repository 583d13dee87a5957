//! A whole network on loopback, every party a task.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hippodrome_client::person::{Person, PersonEvent};
use hippodrome_coordinator::CoordinatorConfig;
use hippodrome_core::{
    directory::{Directory, DirectoryDraft},
    noise::NoiseParams,
    params::{NetworkParams, Verification},
};
use hippodrome_crypto::signing::PublicKey;
use hippodrome_mixnode::MixnodeConfig;
use hippodrome_store::{
    key_file::{CoordinatorKeys, ServerKeys},
    network_file::NetworkFile,
    registry_file::{self, Registrant},
};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{interval, timeout},
};

/// Long enough for a loaded machine; nothing waits for it unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// One chain of three servers, with a period that a loaded machine keeps up with.
pub(crate) fn params() -> NetworkParams {
    NetworkParams {
        name: "loopback".into(),
        chains: 1,
        chain_len: 3,
        layers: 1,
        verification: Verification::Full,
        slots: 1,
        noise: NoiseParams::uniform(1),
        period_ms: 500,
        collect_ms: 300,
        deadline_ms: 4000,
        max_batch: 1000,
        bad_servers: 1,
        min_live: 3,
        failure_bits: 0,
        epoch_ms: 60_000,
    }
}

/// The files of a network and its running nodes, which end with it.
pub(crate) struct Network {
    pub(crate) directory: Arc<Directory>,
    pub(crate) root: TempDir,
    stop: watch::Sender<bool>,
    nodes: JoinSet<()>,
}

impl Network {
    /// Founds a network and registers clients; nothing runs.
    pub(crate) fn found(params: NetworkParams, clients: &[PublicKey], root: TempDir) -> Self {
        let path = |name: &str| root.path().join(name);
        let servers: Vec<ServerKeys> =
            (0..3).map(|index| ServerKeys::generate(&format!("server-{index}")).expect("keys")).collect();
        let coordinator = CoordinatorKeys::generate().expect("keys");
        coordinator.create(&path("coordinator.key")).expect("written");
        let draft = DirectoryDraft {
            params,
            servers: servers.iter().map(ServerKeys::public_entry).collect(),
            coordinator: coordinator.fingerprint().0,
        };
        let mut file = NetworkFile::new(draft, None);
        for keys in &servers {
            keys.create(&path(&format!("{}.key", keys.name()))).expect("written");
            file.sign(keys).expect("listed");
        }
        file.save(&path("network.toml")).expect("written");
        let registrants: Vec<Registrant> = clients.iter().map(|key| Registrant { key: *key, name: None }).collect();
        registry_file::save(&path("registry.txt"), &registrants).expect("written");
        let directory = Arc::new(file.verify().expect("all servers have signed"));
        Self { directory, root, stop: watch::Sender::new(false), nodes: JoinSet::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move { drop(stop.wait_for(|stop| *stop).await) }
    }

    /// Starts the coordinator and gives its address.
    pub(crate) async fn start_coordinator(&mut self) -> String {
        let address_file = self.path("address");
        let config = CoordinatorConfig {
            network: self.path("network.toml"),
            key: self.path("coordinator.key"),
            registry: self.path("registry.txt"),
            state_dir: self.path("coordinator-state"),
            listen: "127.0.0.1:0".into(),
            metrics: None,
            address_file: Some(address_file.clone()),
        };
        let stopped = self.stopped();
        self.nodes.spawn(async move { hippodrome_coordinator::run(config, stopped).await.expect("it runs") });
        let mut look = interval(Duration::from_millis(10));
        let written = async {
            loop {
                look.tick().await;
                if let Ok(address) = std::fs::read_to_string(&address_file) {
                    return address.trim().to_owned();
                }
            }
        };
        timeout(PATIENCE, written).await.expect("the coordinator listens")
    }

    /// Starts all servers.
    pub(crate) fn start_servers(&mut self, coordinator: &str) {
        for index in 0..3 {
            let config = MixnodeConfig {
                network: self.path("network.toml"),
                key: self.path(&format!("server-{index}.key")),
                state_dir: self.path(&format!("server-{index}-state")),
                listen: "127.0.0.1:0".into(),
                advertise: None,
                coordinator: Some(coordinator.to_owned()),
                metrics: None,
                threads: 1,
                ledger: None,
                address_file: None,
            };
            let stopped = self.stopped();
            self.nodes.spawn(async move { hippodrome_mixnode::run(config, stopped).await.expect("it runs") });
        }
    }

    /// Stops everything in good order.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let all = async {
            while let Some(node) = self.nodes.join_next().await.transpose().expect("no panic") {
                node
            }
        };
        timeout(PATIENCE, all).await.expect("nodes stop when they are told to");
    }
}

/// A person who takes part, until killed.
pub(crate) struct Running {
    pub(crate) person: Person,
    events: mpsc::UnboundedReceiver<PersonEvent>,
    session: JoinSet<()>,
}

impl Running {
    /// Opens a person's directory and takes part.
    pub(crate) fn start(path: PathBuf, directory: &Arc<Directory>, address: &str) -> Self {
        let (person, events) = Person::open(&path, Arc::clone(directory)).expect("a good directory");
        let (own, address) = (person.clone(), address.to_owned());
        let mut session = JoinSet::new();
        session.spawn(async move { own.run(&address, std::future::pending()).await.expect("only killing ends it") });
        Self { person, events, session }
    }

    /// Waits for an event, over all others.
    pub(crate) async fn wait<T>(&mut self, what: &str, mut wanted: impl FnMut(PersonEvent) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let event = self.events.recv().await.expect("the person is open");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{} waited for {what}", self.person.name()))
    }

    /// Ends the session in the middle of whatever it does, and closes the state.
    pub(crate) async fn kill(mut self) {
        self.session.abort_all();
        while self.session.join_next().await.is_some() {}
    }
}
