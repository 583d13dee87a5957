//! A mix server as a whole, on loopback, with a coordinator that the test plays.

use std::{
    fs,
    future::{Future, pending},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hippodrome_core::{
    directory::DirectoryDraft,
    epoch::{commit, signed_commitment},
    ids::{Party, Round, ServerId},
    message::{EpochPlan, Message, SeedCall, SeedCommitment, Standing},
    noise::NoiseParams,
    params::{NetworkParams, Verification},
};
use hippodrome_mixnode::{MixnodeConfig, MixnodeError, run};
use hippodrome_proto::{
    tls::{Fingerprint, NodeCertificate},
    transport::{BindError, Limits, Listener, Peers, bind},
};
use hippodrome_store::{
    key_file::{ClientKeys, CoordinatorKeys, KeyFileError, ServerKeys},
    marks::{MarkFile, MarksError},
    network_file::{NetworkFile, NetworkFileError},
};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// Long enough for a loaded machine; nothing waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn params() -> NetworkParams {
    NetworkParams {
        name: "loopback".to_owned(),
        chains: 1,
        chain_len: 3,
        layers: 1,
        verification: Verification::Full,
        slots: 1,
        noise: NoiseParams::uniform(1),
        period_ms: 1_000,
        collect_ms: 500,
        deadline_ms: 3_000,
        max_batch: 1_000,
        bad_servers: 1,
        min_live: 3,
        failure_bits: 0,
        epoch_ms: 60_000,
    }
}

/// Three servers and a coordinator with their files in a directory; the test's node is server 1.
struct Network {
    directory: TempDir,
    file: NetworkFile,
    coordinator: Arc<NodeCertificate>,
}

impl Network {
    fn found() -> Self {
        Self::found_with(|_| {})
    }

    fn found_with(change: impl FnOnce(&mut DirectoryDraft)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let servers = ["alpha", "beta", "gamma"].map(|name| ServerKeys::generate(name).expect("keys"));
        servers[1].create(&directory.path().join("server.key")).expect("created");
        let coordinator = CoordinatorKeys::generate().expect("keys");
        let mut draft = DirectoryDraft {
            params: params(),
            servers: servers.iter().map(ServerKeys::public_entry).collect(),
            coordinator: coordinator.fingerprint().0,
        };
        change(&mut draft);
        let mut file = NetworkFile::new(draft, None);
        for keys in &servers {
            let signature = file.draft().sign(&keys.signing_key());
            file.add_signature(signature).expect("a listed server");
        }
        file.save(&directory.path().join("network.toml")).expect("saved");
        Self { directory, file, coordinator: Arc::new(coordinator.into_certificate()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Settings of the test's node, whose coordinator is at `address`.
    fn config(&self, address: &str) -> MixnodeConfig {
        MixnodeConfig {
            network: self.path("network.toml"),
            key: self.path("server.key"),
            state_dir: self.path("state"),
            listen: "127.0.0.1:0".to_owned(),
            advertise: None,
            address_file: None,
            coordinator: Some(address.to_owned()),
            metrics: None,
            threads: 1,
            ledger: None,
        }
    }

    async fn refusal(&self, change: impl FnOnce(&mut MixnodeConfig)) -> MixnodeError {
        let mut config = self.config("127.0.0.1:1");
        change(&mut config);
        timeout(PATIENCE, run(config, pending())).await.expect("refused at once").expect_err("it must not start")
    }

    fn certificate_of(&self, server: ServerId) -> Fingerprint {
        Fingerprint(self.file.draft().servers[usize::from(server.0)].certificate)
    }

    /// Plays the coordinator on a port.
    fn coordinate(&self, tcp: TcpListener) -> Coordinator {
        let (incoming, messages) = mpsc::channel(16);
        let (stop, stopped) = oneshot::channel::<()>();
        let pins = (0..3).map(ServerId).map(|id| (self.certificate_of(id), Party::Server(id))).collect();
        let listener = Listener::new(tcp, Arc::clone(&self.coordinator), pins, Limits::default(), incoming);
        tokio::spawn(listener.serve(async move { drop(stopped.await) }));
        Coordinator { messages, _stop: stop }
    }
}

struct Coordinator {
    messages: mpsc::Receiver<(Party, Message)>,
    _stop: oneshot::Sender<()>,
}

impl Coordinator {
    async fn next(&mut self) -> Message {
        let (from, message) = timeout(PATIENCE, self.messages.recv()).await.expect("in time").expect("open");
        assert_eq!(from, Party::Server(ServerId(1)));
        message
    }

    async fn hello(&mut self) -> String {
        match self.next().await {
            Message::Hello(hello) => hello.address,
            other => panic!("expected a hello, got {other:?}"),
        }
    }

    async fn commitment(&mut self) -> SeedCommitment {
        loop {
            match self.next().await {
                Message::Hello(_) => {}
                Message::SeedCommitment(answer) => return answer,
                other => panic!("expected a commitment, got {other:?}"),
            }
        }
    }
}

/// A running node.
struct Node {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), MixnodeError>>,
}

impl Node {
    fn start(config: MixnodeConfig) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(config, async move { drop(stopped.await) }));
        Self { stop, task }
    }

    async fn stop(self) {
        drop(self.stop);
        let ended = timeout(PATIENCE, self.task).await.expect("it stops").expect("it does not panic");
        ended.expect("it stops without an error");
    }
}

fn run_test<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// Milliseconds since 1970: servers found epochs that begin soon, by their own clocks.
fn in_a_minute_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    (now + Duration::from_secs(60)).as_millis() as u64
}

async fn loopback() -> (TcpListener, String) {
    let tcp = bind("127.0.0.1:0").await.expect("a free port");
    let address = tcp.local_addr().expect("an address").to_string();
    (tcp, address)
}

#[test]
fn says_hello_with_the_port_that_it_got_and_stops_when_told() {
    run_test(async {
        let network = Network::found();
        let (tcp, address) = loopback().await;
        let mut coordinator = network.coordinate(tcp);
        let node = Node::start(network.config(&address));
        let said = coordinator.hello().await;
        assert!(said.starts_with("127.0.0.1:") && !said.ends_with(":0"), "{said}");
        node.stop().await;
        assert!(bind(&said).await.is_ok(), "its port is free again");
        assert!(MarkFile::open(&network.path("state")).is_ok(), "its state directory is free again");
    });
}

#[test]
fn advertises_what_it_is_told_to() {
    run_test(async {
        let network = Network::found();
        let (tcp, address) = loopback().await;
        let mut coordinator = network.coordinate(tcp);
        let mut config = network.config(&address);
        config.listen = "0.0.0.0:0".to_owned();
        config.advertise = Some("mix.example:7701".to_owned());
        let node = Node::start(config);
        assert_eq!(coordinator.hello().await, "mix.example:7701");
        node.stop().await;
    });
}

#[test]
fn keeps_trying_until_the_coordinator_is_there() {
    run_test(async {
        let network = Network::found();
        let (tcp, address) = loopback().await;
        let node = Node::start(network.config(&address));
        // The first connections end without a handshake: somebody is there, but not the coordinator.
        for _ in 0..2 {
            drop(timeout(PATIENCE, tcp.accept()).await.expect("it tries").expect("a connection"));
        }
        let mut coordinator = network.coordinate(tcp);
        coordinator.hello().await;
        node.stop().await;
    });
}

#[test]
fn answers_the_coordinator_with_what_its_machine_says() {
    run_test(async {
        let network = Network::found();
        let (tcp, address) = loopback().await;
        let mut coordinator = network.coordinate(tcp);
        let node = Node::start(network.config(&address));
        let me = Party::Server(ServerId(1));
        let links = Peers::new(&network.coordinator, [(me, network.certificate_of(ServerId(1)))]).expect("links");
        links.set_address(me, coordinator.hello().await);
        let plan = EpochPlan {
            number: 1,
            registry: Vec::new(),
            start_ms: in_a_minute_ms(),
            first_round: Round(1),
            live: [0, 1, 2].map(ServerId).to_vec(),
            standings: vec![Standing::default(); 3],
        };
        let call = Arc::new(Message::SeedCall(SeedCall { plan: plan.clone() }));
        links.send(me, &call, Instant::now() + PATIENCE).expect("queued");
        let answer = timeout(PATIENCE, coordinator.commitment()).await.expect("in time");
        let digest = plan.digest(&network.file.draft().network_id());
        let statement = signed_commitment(&digest, &answer.commitment);
        assert_eq!(network.file.draft().servers[1].key.verify(&statement, &answer.signature), Ok(()));
        assert_ne!(answer.commitment, commit(&digest, ServerId(1), &[0; 32]), "the share is drawn");
        node.stop().await;
    });
}

#[test]
fn refuses_a_key_that_is_not_in_the_directory() {
    run_test(async {
        let network = Network::found();
        ServerKeys::generate("beta").expect("keys").create(&network.path("other.key")).expect("created");
        let refused = network.refusal(|config| config.key = network.path("other.key")).await;
        assert!(matches!(refused, MixnodeError::NotInDirectory { .. }), "{refused}");
        assert!(refused.to_string().contains("other.key: its key is not in the directory of"), "{refused}");
    });
}

#[test]
fn refuses_a_certificate_that_is_not_the_pinned_one() {
    run_test(async {
        let other = ServerKeys::generate("beta").expect("keys").public_entry().certificate;
        let network = Network::found_with(|draft| draft.servers[1].certificate = other);
        let refused = network.refusal(|_| {}).await;
        assert!(matches!(refused, MixnodeError::CertificateNotPinned { .. }), "{refused}");
    });
}

#[test]
fn refuses_missing_exposed_and_wrong_files() {
    run_test(async {
        let network = Network::found();
        let refused = network.refusal(|config| config.network = network.path("nowhere.toml")).await;
        assert!(matches!(refused, MixnodeError::Network(NetworkFileError::Read(_))), "{refused}");
        let refused = network.refusal(|config| config.key = network.path("nowhere.key")).await;
        assert!(matches!(refused, MixnodeError::Key(KeyFileError::Read(_))), "{refused}");
        ClientKeys::generate("alice").expect("keys").create(&network.path("client.key")).expect("created");
        let refused = network.refusal(|config| config.key = network.path("client.key")).await;
        assert!(matches!(refused, MixnodeError::Key(KeyFileError::WrongKind { .. })), "{refused}");
        let everybody = fs::Permissions::from_mode(0o644);
        fs::set_permissions(network.path("server.key"), everybody).expect("permissions set");
        let refused = network.refusal(|_| {}).await;
        assert!(matches!(refused, MixnodeError::Key(KeyFileError::Exposed { .. })), "{refused}");
    });
}

#[test]
fn refuses_a_state_directory_that_another_node_uses() {
    run_test(async {
        let network = Network::found();
        let _other = MarkFile::open(&network.path("state")).expect("a state directory");
        let refused = network.refusal(|_| {}).await;
        assert!(matches!(refused, MixnodeError::Marks(MarksError::InUse { .. })), "{refused}");
    });
}

#[test]
fn refuses_a_port_in_use_and_says_which() {
    run_test(async {
        let network = Network::found();
        let (_tcp, address) = loopback().await;
        let refused = network.refusal(|config| config.listen = address.clone()).await;
        assert!(matches!(refused, MixnodeError::Bind(BindError::InUse { .. })), "{refused}");
        let said = refused.to_string();
        assert!(said.contains(&address) && said.contains("choose another port"), "{said}");
    });
}

#[test]
fn refuses_addresses_that_lead_nowhere() {
    run_test(async {
        let network = Network::found();
        let refused = network.refusal(|config| config.listen = "0.0.0.0:0".to_owned()).await;
        assert!(matches!(refused, MixnodeError::NoAdvertise { .. }), "{refused}");
        let refused = network.refusal(|config| config.coordinator = None).await;
        assert!(matches!(refused, MixnodeError::NoCoordinator), "{refused}");
        for value in ["example.org", ":7700", "example.org:", "example.org:99999"] {
            let refused = network.refusal(|config| config.coordinator = Some(value.to_owned())).await;
            assert!(matches!(refused, MixnodeError::Address { setting: "coordinator", .. }), "{value}: {refused}");
            let refused = network.refusal(|config| config.advertise = Some(value.to_owned())).await;
            assert!(matches!(refused, MixnodeError::Address { setting: "advertise", .. }), "{value}: {refused}");
        }
    });
}
