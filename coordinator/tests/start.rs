//! What keeps a coordinator from starting, and that it stops.

use std::{future::ready, os::unix::fs::MetadataExt, path::Path, time::Duration};

use hippodrome_coordinator::{CoordinatorConfig, CoordinatorError, run};
use hippodrome_core::{
    directory::{Directory, DirectoryDraft},
    ids::{ChainId, ClientId, Party, Round},
    noise::NoiseParams,
    params::{NetworkParams, Verification},
};
use hippodrome_proto::{
    gateway::{GatewayError, Refusal, SubmitRequest, connect_gateway},
    tls::Fingerprint,
    transport::{BindError, bind},
};
use hippodrome_store::{
    key_file::{CoordinatorKeys, ServerKeys},
    marks::MarkFile,
    network_file::NetworkFile,
    registry_file,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, time::timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// A network of one server with everything that its coordinator needs.
fn found() -> (TempDir, CoordinatorConfig, Directory) {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    let (server, coordinator) =
        (ServerKeys::generate("only").expect("keys"), CoordinatorKeys::generate().expect("keys"));
    coordinator.create(&path("coordinator.key")).expect("written");
    let params = NetworkParams {
        name: "alone".into(),
        chains: 1,
        chain_len: 1,
        layers: 1,
        verification: Verification::Full,
        slots: 1,
        noise: NoiseParams::uniform(1),
        period_ms: 1000,
        collect_ms: 500,
        deadline_ms: 2000,
        max_batch: 100,
        bad_servers: 0,
        min_live: 1,
        failure_bits: 0,
        epoch_ms: 60_000,
    };
    let draft =
        DirectoryDraft { params, servers: vec![server.public_entry()], coordinator: coordinator.fingerprint().0 };
    let mut file = NetworkFile::new(draft, None);
    file.sign(&server).expect("listed");
    file.save(&path("network.toml")).expect("written");
    registry_file::save(&path("registry.txt"), &[]).expect("written");
    let config = CoordinatorConfig {
        network: path("network.toml"),
        key: path("coordinator.key"),
        registry: path("registry.txt"),
        state_dir: path("state"),
        listen: "127.0.0.1:0".into(),
        metrics: None,
        address_file: Some(path("address")),
    };
    let directory = file.verify().expect("signed");
    (root, config, directory)
}

async fn refused(config: CoordinatorConfig) -> CoordinatorError {
    timeout(PATIENCE, run(config, ready(()))).await.expect("in time").expect_err("it does not start")
}

#[tokio::test]
async fn says_what_keeps_it_from_starting() {
    let (root, config, _) = found();
    let other = root.path().join("other.key");
    CoordinatorKeys::generate().expect("keys").create(&other).expect("written");
    let error = refused(CoordinatorConfig { key: other.clone(), ..config.clone() }).await;
    assert!(matches!(&error, CoordinatorError::NotPinned { path, .. } if *path == other), "{error}");

    let missing = root.path().join("nowhere.txt");
    let error = refused(CoordinatorConfig { registry: missing.clone(), ..config.clone() }).await.to_string();
    assert!(error.contains("nowhere.txt does not exist"), "{error}");

    let taken = bind("127.0.0.1:0").await.expect("a free port");
    let listen = taken.local_addr().expect("bound").to_string();
    let error = refused(CoordinatorConfig { listen, ..config.clone() }).await;
    assert!(matches!(error, CoordinatorError::Bind(BindError::InUse { .. })), "{error}");

    let address_file = Some(Path::new("/proc/nothing/address").to_owned());
    let error = refused(CoordinatorConfig { address_file, ..config.clone() }).await;
    assert!(matches!(error, CoordinatorError::AddressFile { .. }), "{error}");

    let _open = MarkFile::open(&config.state_dir).expect("free again");
    let error = refused(config).await;
    assert!(error.to_string().contains("another process uses the state directory"), "{error}");
}

/// Runs a coordinator until it has written where it listens, and gives that.
async fn starts(config: &CoordinatorConfig) -> String {
    let file = config.address_file.clone().expect("set");
    let (before, (stop, stopped)) = (file.metadata().ok().map(|file| file.ino()), oneshot::channel::<()>());
    let running = tokio::spawn(run(config.clone(), async { drop(stopped.await) }));
    let written = async {
        while file.metadata().ok().map(|file| file.ino()) == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, written).await.expect("it listens");
    drop(stop);
    timeout(PATIENCE, running).await.expect("in time").expect("no panic").expect("it ends in good order");
    std::fs::read_to_string(&file).expect("written").trim().to_owned()
}

#[tokio::test]
async fn takes_the_port_of_its_last_start_again_if_it_is_free() {
    let (_root, config, _) = found();
    let first = starts(&config).await;
    assert_eq!(starts(&config).await, first);
    let _taken = bind(&first).await.expect("free");
    assert_ne!(starts(&config).await, first);
}

#[tokio::test]
async fn answers_clients_before_any_server_is_up_and_stops_when_told() {
    let (_root, config, directory) = found();
    let address_file = config.address_file.clone().expect("set");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(run(config, async { drop(stopped.await) }));
    let written = async {
        loop {
            match std::fs::read_to_string(&address_file) {
                Ok(address) => return address.trim().to_owned(),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let address = timeout(PATIENCE, written).await.expect("it listens");
    let pinned = directory.certificate(Party::Coordinator).copied().map(Fingerprint::from);
    let client = connect_gateway(&address, pinned.expect("pinned")).await.expect("it answers");
    let info = client.network().await.expect("an answer");
    assert!(info.epoch.is_none() && String::from_utf8_lossy(&info.directory).contains("alone"));
    assert_eq!(client.status().await.expect("an answer").servers_up, [false]);
    let (round, chain) = (Round(1), ChainId(0));
    let not_found = |refused: &GatewayError| matches!(refused, GatewayError::Refused(Refusal::NotFound(_)));
    let early = client.submit(SubmitRequest { round, chain, records: vec![1] }).await.expect_err("no such round");
    assert!(not_found(&early) && early.to_string().contains("not open for submissions"), "{early}");
    assert!(not_found(&client.fetch(round, ClientId(0)).await.expect_err("no replies")));
    let elsewhere = client.rounds(ChainId(1)).await.expect_err("no such chain");
    assert!(not_found(&elsewhere), "{elsewhere}");
    let mut events = client.rounds(chain).await.expect("a stream");

    stop.send(()).expect("it runs");
    assert!(!matches!(timeout(PATIENCE, events.next()).await.expect("the stream ends"), Ok(Some(_))));
    timeout(PATIENCE, running).await.expect("in time").expect("no panic").expect("it ends in good order");
}
