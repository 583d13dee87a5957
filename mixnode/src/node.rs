//! A mix server from its files to its end.

use std::{future::Future, io, net::SocketAddr, sync::Arc, thread};

use hippodrome_core::{
    directory::Directory,
    ids::{Party, ServerId},
    marks::Marks,
    mixer::Mixer,
};
use hippodrome_proto::{
    tls::{Fingerprint, NodeCertificate},
    transport::{Limits, Listener, Peers, Traffic, bind},
};
use hippodrome_store::{
    address_file, evidence_file::EvidenceDir, key_file::ServerKeys, marks::MarkFile, network_file::Network,
};
use hippodrome_telemetry::{Endpoint, register_links, register_process};
use rand::{TryRng, rngs::SysRng};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use crate::{
    MixnodeConfig, MixnodeError,
    greeting::Greeting,
    ledger::Ledger,
    machine::{Inbox, Machine, waiting_runtime},
    metrics::Metrics,
    pool::Pool,
};

/// Messages that have come, but which the machine has not looked at. More wait at their senders.
const INBOX: usize = 64;

/// Runs a mix server until `shutdown` is done: then it takes no more messages, lets jobs that run end if that is within
/// two seconds, and closes. Must be called inside a tokio runtime.
///
/// # Errors
/// Whatever keeps it from starting: files, the state directory, the address. Peers that are missing or wrong do not.
pub async fn run(config: MixnodeConfig, shutdown: impl Future<Output = ()> + Send) -> Result<(), MixnodeError> {
    let identity = Identity::load(&config)?;
    let coordinator = coordinator_address(&config, identity.coordinator_address.as_deref())?;
    let tcp = bind(&config.listen).await?;
    let advertised = advertised(&config, &tcp)?;
    say_where(&config, &tcp)?;
    let Identity { directory, mixer, certificate, .. } = identity;
    let ledger = config.ledger.as_deref().map(|path| Ledger::create(path, directory.params())).transpose()?;

    let metrics_tcp = match &config.metrics {
        Some(address) => Some(bind(address).await.map_err(MixnodeError::Metrics)?),
        None => None,
    };
    let parties: Vec<(Party, Fingerprint)> = others(&directory, mixer.id()).collect();
    let peers = Peers::new(&certificate, parties.iter().copied())?;
    peers.set_address(Party::Coordinator, coordinator.clone());
    let traffic = peers.traffic();
    let metrics = Metrics::default();
    let _endpoint = metrics_tcp.map(|tcp| open_metrics(tcp, &metrics, &traffic)).transpose()?;
    let (pool, results) =
        Pool::new(config.threads).map_err(|source| system("cannot start the mixing threads", source))?;
    let (incoming, messages) = mpsc::channel(INBOX);
    let (stop, stopped) = oneshot::channel();
    let inbox = Inbox { messages, results, stop: stopped };
    let greeting = Greeting::new(directory.params().period_ms);
    tracing::info!(network = %directory.id(), server = %mixer.id(), address = %advertised, "mix server starts");
    let evidence = EvidenceDir::of(&config.state_dir);
    let machine = Machine { mixer, peers, pool, inbox, greeting, metrics, evidence, ledger, advertised, coordinator };
    let (thread, ended) = spawn(machine).map_err(|source| system("cannot start the machine's thread", source))?;

    let pins = parties.into_iter().map(|(party, fingerprint)| (fingerprint, party)).collect();
    let listener = Listener::new(tcp, Arc::new(certificate), pins, Limits::default(), incoming).with_traffic(traffic);
    let served = listener.serve(async move {
        tokio::select! {
            () = shutdown => {}
            _ = ended => {}
        }
        drop(stop);
    });
    // Whichever way this ends, the machine has been told to stop.
    let served = served.await;
    match spawn_blocking(|| thread.join()).await {
        Ok(Ok(())) => {}
        _ => return Err(MixnodeError::MachineFailed),
    }
    tracing::info!("mix server has stopped");
    Ok(served?)
}

/// Answers with what the server counts.
fn open_metrics(tcp: TcpListener, metrics: &Metrics, traffic: &Arc<Traffic>) -> Result<Endpoint, MixnodeError> {
    let mut registry = hippodrome_telemetry::registry();
    metrics.register(&mut registry);
    register_links(&mut registry, Arc::clone(traffic));
    register_process(&mut registry);
    let endpoint =
        Endpoint::open(tcp, registry).map_err(|source| system("cannot tell where metrics are fetched", source))?;
    tracing::info!(address = %endpoint.address(), "metrics are fetched here");
    Ok(endpoint)
}

/// Starts the machine's thread. The receiver ends when the thread does, in whatever way.
fn spawn(machine: Machine) -> io::Result<(thread::JoinHandle<()>, oneshot::Receiver<()>)> {
    let waiting = waiting_runtime()?;
    let (alive, ended) = oneshot::channel();
    let thread = thread::Builder::new().name("machine".to_owned()).spawn(move || {
        let _alive = alive;
        machine.run(&waiting);
    })?;
    Ok((thread, ended))
}

/// Who the server is, by its files.
struct Identity {
    directory: Arc<Directory>,
    coordinator_address: Option<String>,
    mixer: Mixer,
    certificate: NodeCertificate,
}

impl Identity {
    fn load(config: &MixnodeConfig) -> Result<Self, MixnodeError> {
        let MixnodeConfig { network, key, .. } = config;
        let Network { directory, coordinator_address } = Network::load(network)?;
        let directory = Arc::new(directory);
        let keys = ServerKeys::load(key)?;
        let not_listed = || MixnodeError::NotInDirectory { key: key.clone(), network: network.clone() };
        let me = directory.server_of(&keys.public_entry().key).ok_or_else(not_listed)?;
        if directory.certificate(Party::Server(me)) != Some(&keys.certificate().fingerprint().0) {
            return Err(MixnodeError::CertificateNotPinned { key: key.clone(), network: network.clone() });
        }
        let marks = Marks::new(Box::new(MarkFile::open(&config.state_dir)?));
        let mixer = Mixer::new(Arc::clone(&directory), keys.signing_key(), marks, seed()?).map_err(|_| not_listed())?;
        Ok(Self { directory, coordinator_address, mixer, certificate: keys.into_certificate() })
    }
}

/// A seed of the system for the machine's generator.
fn seed() -> Result<[u8; 32], MixnodeError> {
    let mut seed = [0; 32];
    SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|error| system("the system gives no random bytes", io::Error::other(error)))?;
    Ok(seed)
}

fn coordinator_address(config: &MixnodeConfig, hint: Option<&str>) -> Result<String, MixnodeError> {
    let address = config.coordinator.as_deref().or(hint).ok_or(MixnodeError::NoCoordinator)?;
    host_and_port("coordinator", address)
}

/// Writes down where the server listens, if somebody wants to know.
fn say_where(config: &MixnodeConfig, tcp: &TcpListener) -> Result<(), MixnodeError> {
    let Some(path) = &config.address_file else { return Ok(()) };
    let local = tcp.local_addr().map_err(|source| system("cannot tell the own address", source))?;
    address_file::write(path, local).map_err(MixnodeError::AddressFile)
}

/// Where others reach the server: where it listens, with the port that it got, unless something else is set.
fn advertised(config: &MixnodeConfig, tcp: &TcpListener) -> Result<String, MixnodeError> {
    if let Some(address) = &config.advertise {
        return host_and_port("advertise", address);
    }
    let local: SocketAddr = tcp.local_addr().map_err(|source| system("cannot tell the own address", source))?;
    if local.ip().is_unspecified() {
        return Err(MixnodeError::NoAdvertise { listen: config.listen.clone() });
    }
    Ok(local.to_string())
}

fn host_and_port(setting: &'static str, value: &str) -> Result<String, MixnodeError> {
    let fits = value.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if fits { Ok(value.to_owned()) } else { Err(MixnodeError::Address { setting, value: value.to_owned() }) }
}

/// Everybody but the server itself, with their pinned certificates.
fn others(directory: &Directory, me: ServerId) -> impl Iterator<Item = (Party, Fingerprint)> {
    let servers = directory.server_ids().filter(move |id| *id != me).map(Party::Server);
    let parties = std::iter::once(Party::Coordinator).chain(servers);
    parties.filter_map(|party| directory.certificate(party).map(|digest| (party, Fingerprint(*digest))))
}

fn system(what: &'static str, source: io::Error) -> MixnodeError {
    MixnodeError::System { what, source }
}
