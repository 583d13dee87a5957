//! Experiments: what they leave behind, and what they refuse.

use std::{fs, path::Path};

use rustix::process::Signal;

use crate::harness::{Running, eventually, fails, hippodrome, running_nodes, succeeds};

const SMALL: &str = r#"
name = "small"
title = "A small experiment"
about = "One chain of two servers."
seed = 3
repeats = 1

[point]
servers = 2
chains = 1
chain_len = 2
layers = 1
noise = 2
period_ms = 700
clients = 6
pairs = 2
warm_up = 4
rounds = 2
link = { delay_ms = 10 }

[sweep.axes]
verification = ["full", "none"]

[[figures]]
name = "cost"
title = "Cost"
x = "servers_cpu"
y = "latency_last"
series = "verification"
"#;

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in text")
}

/// The values of a column of a CSV file.
pub(crate) fn column(file: &Path, name: &str) -> Vec<String> {
    let file = fs::read_to_string(file).expect("a file");
    let mut lines = file.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let columns = lines.next().expect("a first line");
    let index = columns.iter().position(|column| column == name).expect("the column");
    lines.map(|fields| fields[index].clone()).collect()
}

#[test]
fn an_experiment_leaves_results_of_real_rounds_and_goes_on_where_it_was_left() {
    let place = tempfile::tempdir().expect("a directory");
    let (preset, out) = (place.path().join("small.toml"), place.path().join("out"));
    fs::write(&preset, SMALL).expect("written");
    let run = ["experiment", "run", text(&preset), "--out", text(&out)];
    let said = succeeds(&run);
    assert_eq!(said.matches(": 2 rounds").count(), 2, "{said}");

    assert_eq!(column(&out.join("runs.csv"), "valid"), ["true", "true"]);
    for point in ["points/000/repeat-0", "points/001/repeat-0"] {
        let of = out.join(point);
        // Replies of four who talk and two who do not, in each of two rounds.
        assert_eq!(column(&of.join("rounds.csv"), "intact"), ["6", "6"]);
        assert!(!column(&of.join("texts.csv"), "left_round").iter().all(String::is_empty));
        assert!(of.join("network.toml").is_file() && !of.join("net").exists(), "keys are left behind");
    }
    // Onions and replies pass four links at least, one after the other.
    let latency = column(&out.join("runs.csv"), "latency_last[ms]");
    assert!(latency.iter().all(|ms| ms.parse::<f64>().expect("a number") >= 40.0), "{latency:?}");
    let verifies = |point: &str| {
        let ledger = |server| out.join(point).join(format!("repeat-0/ledgers/server-{server}.csv"));
        (0..2).any(|server| fs::read_to_string(ledger(server)).expect("a ledger").contains(",verify,"))
    };
    assert!(verifies("points/000") && !verifies("points/001"));
    let report = fs::read_to_string(out.join("report.md")).expect("a report");
    for words in ["# A small experiment", "2 of 2 runs were made; 2 count", "figures/cost.svg", "Batch"] {
        assert!(report.contains(words), "no `{words}` in {report}");
    }
    assert!(fs::read_to_string(out.join("figures/cost.svg")).expect("a figure").starts_with("<svg"));

    // Again, nothing is left to be done; without a result, one run is.
    assert_eq!(succeeds(&run).lines().count(), 1);
    fs::remove_file(out.join("points/001/repeat-0/measured.json")).expect("removed");
    assert_eq!(succeeds(&run).matches(": 2 rounds").count(), 1);
    let table = succeeds(&["experiment", "compare", text(&out), text(&out)]);
    assert!(table.contains("latency_last (ms)") && table.contains("1.000"), "{table}");
    fails(&["experiment", "run", "quick", "--out", text(&out)], &["small", "new directory"]);
}

#[test]
fn a_server_that_is_killed_and_started_again_costs_rounds_and_no_text_and_nobody_is_named() {
    let place = tempfile::tempdir().expect("a directory");
    let (preset, out) = (place.path().join("fault.toml"), place.path().join("out"));
    // Two chains in each layer: with one of them closed, rounds go on.
    let shape = SMALL
        .replace("servers = 2", "servers = 4")
        .replace("chains = 1", "chains = 2")
        .replace("layers = 1", "layers = 2");
    let trouble = "trouble = { kind = \"restart\", node = \"server-1\", after_ms = 200 }";
    let shape = shape.replace("link = { delay_ms = 10 }", trouble).replace("rounds = 2", "rounds = 8");
    fs::write(&preset, shape.replace("\"full\", \"none\"", "\"full\"")).expect("written");
    let said = succeeds(&["experiment", "run", text(&preset), "--out", text(&out)]);
    assert!(said.contains("rounds lost"), "{said}");

    let of_runs = |name: &str| column(&out.join("runs.csv"), name);
    assert_eq!(of_runs("valid"), ["true"]);
    // Those that were announced: their keys died with the server.
    assert!(of_runs("rounds_lost[rounds]")[0].parse::<f64>().expect("a number") >= 1.0);
    assert_eq!(of_runs("texts_lost[texts]"), ["0.000000"]);
    assert_eq!([of_runs("named"), of_runs("offences")], [[""], [""]]);
    let report = fs::read_to_string(out.join("report.md")).expect("a report");
    assert!(report.contains("| restart server-1 after 200 ms |"), "{report}");
    assert!(!out.join("points/000/repeat-0/net").exists());
}

#[test]
fn a_cheat_without_a_program_for_it_is_refused_before_anything_is_run() {
    let place = tempfile::tempdir().expect("a directory");
    let (preset, out) = (place.path().join("attack.toml"), place.path().join("out"));
    let trouble = "trouble = { kind = \"cheat\", node = \"server-1\", cheat = \"two-vectors\" }";
    fs::write(&preset, SMALL.replace("link = { delay_ms = 10 }", trouble)).expect("written");
    let nowhere = place.path().join("mutant");
    let run = ["experiment", "run", text(&preset), "--out", text(&out), "--mutant", text(&nowhere)];
    fails(&run, &[text(&nowhere), "cargo build --release -p hippodrome-trials", "--mutant"]);
    assert!(!out.join("points/000/repeat-0").exists());
    let dry = succeeds(&["experiment", "run", text(&preset), "--dry-run"]);
    assert!(dry.contains("in all"), "{dry}");
}

#[test]
fn an_experiment_that_is_stopped_leaves_nothing_running() {
    let place = tempfile::tempdir().expect("a directory");
    let (preset, out) = (place.path().join("small.toml"), place.path().join("out"));
    // Far more rounds than this test waits for.
    fs::write(&preset, SMALL.replace("rounds = 2", "rounds = 500")).expect("written");
    let mut running = Running::start(hippodrome(["experiment", "run", text(&preset), "--out", text(&out)]));
    let net = out.join("points/000/repeat-0/net");
    eventually("all nodes", || (running_nodes(&net).len() == 3).then_some(()));
    running.signal(Signal::TERM);
    assert!(!running.ends_well());
    assert!(running_nodes(&net).is_empty());
}

#[test]
fn what_an_experiment_cannot_be_is_said_before_anything_is_run() {
    let place = tempfile::tempdir().expect("a directory");
    let (preset, out) = (place.path().join("p.toml"), place.path().join("out"));
    fs::write(&preset, SMALL.replace("pairs = 2", "pares = 2")).expect("written");
    fails(&["experiment", "run", text(&preset), "--out", text(&out)], &["point 0", "pares"]);
    fails(&["experiment", "run", "quik", "--out", text(&out)], &["quik", "experiment list"]);
    fails(&["experiment", "report", text(place.path())], &["preset.toml", "experiment run"]);
    assert!(!out.exists());
    let listed = succeeds(&["experiment", "list"]);
    assert!(listed.contains("quick"), "{listed}");
    let dry = succeeds(&["experiment", "run", "quick", "--dry-run"]);
    assert!(dry.contains("verification=aggregate") && dry.contains("in all"), "{dry}");
}

#[test]
fn only_a_testbed_says_what_rounds_cost() {
    let place = tempfile::tempdir().expect("a directory");
    let net = place.path().join("net");
    let shape = ["--servers", "2", "--chains", "1", "--layers", "1", "--chain-len", "2", "--noise", "2"];
    succeeds(&[&["testnet", "up", "--dir", text(&net), "--period", "500ms"], &shape[..]].concat());
    succeeds(&["testnet", "down", "--dir", text(&net)]);
    assert!(fs::read_dir(net.join("ledgers")).expect("a directory").next().is_none());
    let key = net.join("keys/server-0.key");
    let (network, ledger) = (net.join("network.toml"), net.join("ledger.csv"));
    let node = ["mixnode", "--network", text(&network), "--key", text(&key), "--coordinator", "127.0.0.1:1"];
    let state = net.join("state/server-0");
    let rest = ["--listen", "127.0.0.1:0", "--state-dir", text(&state), "--ledger", text(&ledger)];
    fails(&[&node[..], &rest].concat(), &["how many take part", "testbed"]);
    assert!(!ledger.exists());
    fails(&["testnet", "up", "--dir", text(&net), "--testbed", "1"], &["--testbed", "fixed for its life"]);
}

#[test]
fn a_seed_gives_the_same_testbed_and_another_seed_another() {
    let place = tempfile::tempdir().expect("a directory");
    let found = |name: &str, seed: &str| {
        let net = place.path().join(name);
        let shape = ["--servers", "2", "--chains", "1", "--layers", "1", "--chain-len", "2", "--noise", "2"];
        let up = ["testnet", "up", "--dir", text(&net), "--period", "500ms", "--testbed", seed, "--seats", "3"];
        succeeds(&[&up, &shape[..]].concat());
        succeeds(&["testnet", "down", "--dir", text(&net)]);
        ["network.toml", "registry.txt"].map(|file| fs::read_to_string(net.join(file)).expect("a file"))
    };
    let (first, again, other) = (found("a", "7"), found("b", "7"), found("c", "8"));
    assert_eq!(first, again);
    assert!(first[0] != other[0] && first[1] != other[1]);
}
