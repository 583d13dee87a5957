//! `demo`.

use rustix::process::Signal;

use crate::harness::{Running, eventually, fails, hippodrome, last_object, running_nodes, succeeds};

const SMALL: [&str; 10] =
    ["demo", "--servers", "3", "--chains", "1", "--layers", "1", "--clients", "4", "--period=400ms"];

fn plays(more: &[&str]) -> serde_json::Value {
    let args: Vec<&str> = SMALL.into_iter().chain(["--json"]).chain(more.iter().copied()).collect();
    let report = last_object(&succeeds(&args));
    assert_eq!(report["delivered"], report["sent"]);
    assert_eq!(report["sent"], 4);
    assert_eq!(report["clients"], 6);
    let rounds = report["rounds"].as_u64().expect("a number");
    assert!(rounds >= 4, "{report}");
    assert!(report["wall_s"].as_f64().expect("a number") > 0.4 * rounds as f64, "{report}");
    report
}

#[test]
fn one_chain_delivers_every_text_and_verifies_every_hop() {
    let report = plays(&[]);
    for (field, value) in [("servers", 3), ("chains", 1), ("chain_len", 3), ("layers", 1)] {
        assert_eq!(report[field], value, "{field}");
    }
    assert_eq!(report["verification"], "full");
    let rounds = report["rounds"].as_u64().expect("a number");
    assert_eq!(report["hops_verified"], rounds * 3, "each of three hops by those after it");
    assert_eq!(report["hops_expected"], rounds * 3);
}

#[test]
fn two_layers_deliver_with_aggregate_proofs() {
    let report = plays(&["--layers", "2", "--chains", "2", "--verification", "aggregate"]);
    assert_eq!(report["verification"], "aggregate");
    let rounds = report["rounds"].as_u64().expect("a number");
    assert_eq!(report["hops_verified"], rounds * 2 * 2 * 3);
}

#[test]
fn without_verification_no_proof_is_claimed() {
    let report = plays(&["--verification", "none"]);
    assert_eq!(report["hops_verified"], 0);
    assert_eq!(report["hops_expected"], 0);
}

#[test]
fn a_network_without_room_for_the_conversation_is_a_failure() {
    let mut args: Vec<&str> = SMALL.to_vec();
    args.extend(["--timeout", "1ms", "--json"]);
    let output = hippodrome(&args).output().expect("the binary runs");
    assert!(!output.status.success());
    let report = last_object(&String::from_utf8(output.stdout).expect("text"));
    assert!(report["delivered"].as_u64() < report["texts"].as_u64(), "{report}");
}

fn kept_demo() -> (tempfile::TempDir, std::path::PathBuf, Running) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let dir = place.path().join("kept");
    let mut command = hippodrome(SMALL);
    command.arg("--keep").arg(&dir);
    let mut demo = Running::start(command);
    demo.wait_for_words("mixing");
    assert_eq!(running_nodes(&dir).len(), 4);
    (place, dir, demo)
}

#[test]
fn an_interrupted_demo_leaves_nothing_running() {
    for signal in [Signal::INT, Signal::TERM] {
        let (_place, dir, mut demo) = kept_demo();
        demo.signal(signal);
        assert!(!demo.ends_well());
        assert_eq!(running_nodes(&dir), [] as [std::path::PathBuf; 0]);
    }
}

#[test]
fn the_nodes_of_a_killed_demo_stop_by_themselves() {
    let (_place, dir, mut demo) = kept_demo();
    demo.kill();
    eventually("the end of all nodes", || running_nodes(&dir).is_empty().then_some(()));
}

#[test]
fn a_kept_network_is_not_overwritten() {
    let place = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(place.path().join("mine"), "").expect("written");
    let path = place.path().to_str().expect("a path in text");
    fails(&["demo", "--keep", path], &["is not empty"]);
}
