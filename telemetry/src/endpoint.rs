//! The door at which metrics are fetched: plain HTTP/1, meant for an address that only the operator reaches.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{encoding::text, registry::Registry};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

/// What a scraper sends is short and comes at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest life of a connection: nobody needs to hold one.
const LONGEST: Duration = Duration::from_secs(60);
/// Connections at once; more are closed.
const CONNECTIONS: usize = 16;
/// How long to wait when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What the answer is: the text form that Prometheus reads.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `GET /metrics` until it is dropped.
pub struct Endpoint {
    address: SocketAddr,
    /// Ends with this value.
    _serving: JoinSet<()>,
}

impl Endpoint {
    /// Answers on a bound socket with what is in a registry. Must be called inside a tokio runtime.
    pub fn open(tcp: TcpListener, registry: Registry) -> io::Result<Self> {
        let address = tcp.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(serve(tcp, Arc::new(registry)));
        Ok(Self { address, _serving: serving })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(tcp: TcpListener, registry: Arc<Registry>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        match tcp.accept().await {
            Ok((stream, _)) => {
                if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
                    connections.spawn(converse(stream, Arc::clone(&registry), permit));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection that asks for metrics");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, registry: Arc<Registry>, _permit: OwnedSemaphorePermit) {
    let answering = service_fn(move |request| {
        let answer = answer(&request, &registry);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    let http = http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    // Whoever breaks the connection off has seen enough.
    let _ = timeout(LONGEST, http.serve_connection(TokioIo::new(stream), answering)).await;
}

fn answer(request: &Request<Incoming>, registry: &Registry) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    if request.uri().path() != "/metrics" {
        *answer.status_mut() = StatusCode::NOT_FOUND;
        *answer.body_mut() = "only /metrics is here\n".into();
    } else if request.method() != Method::GET && request.method() != Method::HEAD {
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        answer.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("a constant of plain letters"));
    } else {
        let mut metrics = String::new();
        text::encode(&mut metrics, registry).expect("a string takes whatever is written");
        answer.headers_mut().insert(CONTENT_TYPE, FORMAT.parse().expect("a constant of plain letters"));
        *answer.body_mut() = metrics.into();
    }
    answer
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Longer than anything here takes; only a failing test waits for it.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn open() -> (Endpoint, Counter) {
        let mut registry = crate::registry();
        let counter = Counter::<u64>::default();
        registry.register("things", "Things that happened", counter.clone());
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        (Endpoint::open(tcp, registry).expect("bound"), counter)
    }

    async fn ask(endpoint: &Endpoint, request: &str) -> String {
        let mut tcp = TcpStream::connect(endpoint.address()).await.expect("it listens");
        tcp.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        timeout(PATIENCE, tcp.read_to_string(&mut answer)).await.expect("in time").expect("text");
        answer
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn gives_what_is_registered_and_nothing_else() {
        let (endpoint, counter) = open().await;
        counter.inc_by(3);
        let answer = ask(&endpoint, &get("/metrics")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
        assert!(answer.contains("# HELP hippodrome_things Things that happened.\n"), "{answer}");
        assert!(answer.contains("\nhippodrome_things_total 3\n") && answer.ends_with("# EOF\n"), "{answer}");
        assert!(ask(&endpoint, &get("/")).await.starts_with("HTTP/1.1 404"));
        let post = get("/metrics").replacen("GET", "POST", 1);
        assert!(ask(&endpoint, &post).await.starts_with("HTTP/1.1 405"));
    }

    #[tokio::test]
    async fn silent_connections_hold_up_nobody_up_to_a_bound() {
        let (endpoint, _) = open().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS - 1 {
            silent.push(TcpStream::connect(endpoint.address()).await.expect("it listens"));
        }
        assert!(ask(&endpoint, &get("/metrics")).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn ends_when_it_is_dropped() {
        let (endpoint, _) = open().await;
        let address = endpoint.address();
        drop(endpoint);
        let gone = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("the port is closed");
    }
}
