//! What nodes tell their operators: status, metrics and logs, of which the latter say nothing about a user.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    harness::{Running, eventually, fails, hippodrome, last_object, succeeds},
    testnet::{Testnet, introduce},
};

/// Every metric that a node may have.
const SERVER_METRICS: &[&str] = &[
    "hippodrome_rounds_announced",
    "hippodrome_rounds_completed",
    "hippodrome_rounds_failed",
    "hippodrome_hop_proofs_verified",
    "hippodrome_epoch_number",
    "hippodrome_amendment_number",
    "hippodrome_round_mixing_seconds",
    "hippodrome_evidence_held",
    "hippodrome_peers_connected",
    "hippodrome_link_bytes",
    "hippodrome_process_cpu_seconds",
    "hippodrome_process_resident_memory_bytes",
];

/// Those that the coordinator has besides.
const COORDINATOR_METRICS: &[&str] = &["hippodrome_servers_up", "hippodrome_strikes"];

/// Every label that a metric may have.
const LABELS: &[&str] = &["reason", "class", "direction", "le"];

/// Starts a node of a testnet by hand, with metrics, and gives where they are fetched.
fn start_with_metrics(arguments: &[&str]) -> (Running, String) {
    let common = ["--metrics", "127.0.0.1:0", "--log-format", "json"];
    let mut node = Running::start_logging(hippodrome(arguments.iter().chain(&common)));
    let line = node.wait_for_words("metrics are fetched here");
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
    (node, line["address"].as_str().expect("an address").to_owned())
}

fn scrape(address: &str) -> String {
    let mut tcp = TcpStream::connect(address).expect("it listens");
    tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("# EOF\n"), "{answer}");
    answer
}

/// Names of the metrics, each with a help text, and of all labels.
fn names(metrics: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let after = |word: &str| -> BTreeSet<&str> {
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(word));
        lines.filter_map(|line| line.split(' ').next()).collect()
    };
    let (helped, typed) = (after("# HELP "), after("# TYPE "));
    assert_eq!(helped, typed);
    let samples = metrics.lines().filter(|line| line.starts_with("hippodrome"));
    let labels = samples.filter_map(|line| line.split_once('{')?.1.split_once('}').map(|(labels, _)| labels));
    let labels = labels.flat_map(|labels| labels.split("\",")).filter_map(|label| label.split_once('='));
    (typed, labels.map(|(name, _)| name).collect())
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {metrics}")).parse().expect("a number")
}

/// Scrapes until these metrics say that rounds were completed, and checks the names of all. The number of proofs that a
/// server has checked may stay at 0: the first server of a chain has nobody before it.
fn check(address: &str, allowed: &[&[&str]]) {
    let counters = ["rounds_announced", "rounds_completed", "process_cpu_seconds"];
    let metrics = eventually("completed rounds", || {
        let has_counted = |metrics: &String| {
            let counted = |counter| value(metrics, &format!("hippodrome_{counter}_total")) > 0.0;
            counters.into_iter().all(counted) && value(metrics, "hippodrome_round_mixing_seconds_count") > 0.0
        };
        Some(scrape(address)).filter(has_counted)
    });
    let (names, labels) = names(&metrics);
    let allowed: BTreeSet<&str> = allowed.iter().flat_map(|names| names.iter().copied()).collect();
    assert!(names.is_subset(&allowed), "{names:?}");
    assert!(labels.iter().all(|label| LABELS.contains(label)), "{labels:?}");
}

#[test]
fn metrics_are_those_of_a_list_on_which_nothing_depends_on_users_or_noise() {
    let net = Testnet::up(&[]);
    let path = |file: &str| net.dir.join(file).display().to_string();
    let coordinator = net.status()["coordinator"].as_str().expect("an address").to_owned();
    let network = path("network.toml");
    succeeds(&["testnet", "kill", "--dir", net.dir(), "server-1"]);
    let (key, state) = (path("keys/server-1.key"), path("state/server-1"));
    let arguments = ["mixnode", "--network", &network, "--key", &key, "--state-dir", &state];
    let listen = ["--listen", "127.0.0.1:0", "--coordinator", &coordinator];
    let (_server, server_metrics) = start_with_metrics(&[&arguments[..], &listen].concat());
    succeeds(&["testnet", "kill", "--dir", net.dir(), "coordinator"]);
    let (key, state, registry) = (path("keys/coordinator.key"), path("state/coordinator"), path("registry.txt"));
    let arguments = ["coordinator", "--network", &network, "--key", &key, "--state-dir", &state];
    let listen = ["--listen", &coordinator, "--registry", &registry];
    let (_coordinator, coordinator_metrics) = start_with_metrics(&[&arguments[..], &listen].concat());
    check(&server_metrics, &[SERVER_METRICS]);
    check(&coordinator_metrics, &[SERVER_METRICS, COORDINATOR_METRICS]);
}

#[test]
fn status_shows_who_takes_part_to_whoever_has_the_network_file() {
    let net = Testnet::up(&[]);
    let testnet = net.status();
    let (file, address) = (net.dir.join("network.toml"), testnet["coordinator"].as_str().expect("an address"));
    let copy = tempfile::tempdir().expect("a temporary directory");
    fs::copy(&file, copy.path().join("network.toml")).expect("copied");
    let copied = copy.path().join("network.toml").display().to_string();
    fails(&["status", "--network", &copied], &["nobody says where the coordinator is"]);
    let status = last_object(&succeeds(&["status", "--network", &copied, "--address", address, "--json"]));
    assert_eq!(status["network"], testnet["network"]);
    let membership = &status["membership"];
    assert_eq!(membership, &testnet["membership"]);
    let servers = membership["servers"].as_array().expect("a list");
    assert!(servers.len() == 3 && servers.iter().all(|server| server["part"] == "active"), "{membership}");
    assert_eq!(membership["chains"][0][0]["open"], true);
    let said = succeeds(&["status", "--network", net.dir()]);
    assert!(said.contains("3 of 3 take part") && said.contains("layer 0, chain 0: server-"), "{said}");
    succeeds(&["testnet", "kill", "--dir", net.dir(), "coordinator"]);
    fails(&["status", "--network", net.dir()], &["the coordinator does not answer", address]);
}

/// Runs of hexadecimal digits that are long enough for a key or the id of a mailbox.
fn long_hex(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_hexdigit()).filter(|run| run.len() >= 16)
}

#[test]
fn the_most_talkative_logs_say_nothing_about_a_user() {
    let net = Testnet::up_logging("trace");
    let (mut alice, mut bob) = introduce(&net);
    alice.type_line("a text that nobody else may see");
    bob.wait_for_words("a text that nobody else may see");
    // A fault makes nodes say more.
    for deed in ["kill", "start"] {
        succeeds(&["testnet", deed, "--dir", net.dir(), "server-1"]);
    }
    bob.type_line("and an answer");
    alice.wait_for_words("and an answer");
    let network = net.status()["network"].as_str().expect("text").to_owned();
    let registry = fs::read_to_string(net.dir.join("registry.txt")).expect("a registry");
    let mut logs = 0;
    for entry in fs::read_dir(net.dir.join("logs")).expect("logs") {
        let log = fs::read_to_string(entry.expect("a log").path()).expect("text");
        assert!(log.contains("DEBUG") || log.contains("TRACE"), "the logs are talkative: {log}");
        for word in ["alice", "bob", "seat-", "hippo1-", "nobody else may see", "an answer"] {
            assert!(!log.contains(word), "{word} is in {log}");
        }
        // Neither keys, nor mailboxes, nor addresses of clients, whatever they look like.
        assert_eq!(long_hex(&log).find(|run| *run != network), None);
        assert!(long_hex(&registry).all(|key| !log.contains(&key[..8])), "a key is in {log}");
        logs += 1;
    }
    assert_eq!(logs, 4);
}
