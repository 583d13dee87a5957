//! `testnet kill|freeze|thaw|start`: single nodes, with real processes.

use crate::{
    harness::{fails, running_nodes, succeeds},
    testnet::{Testnet, introduce},
};

impl Testnet {
    fn node(&self, deed: &str, node: &str) {
        succeeds(&["testnet", deed, "--dir", self.dir(), node]);
    }

    fn refuses(&self, deed: &str, node: &str, words: &[&str]) {
        fails(&["testnet", deed, "--dir", self.dir(), node], words);
    }

    /// What the process of a node does.
    fn process(&self, node: &str) -> String {
        let status = self.status();
        let nodes = status["nodes"].as_array().expect("a list");
        let known = nodes.iter().find(|known| known["node"] == node).expect("a node of the network");
        known["process"].as_str().expect("a word").to_owned()
    }

    fn completes_rounds(&self) {
        succeeds(&["testnet", "wait", "--dir", self.dir(), "--rounds", "2", "--timeout", "120s"]);
    }
}

#[test]
fn a_server_that_is_killed_and_started_again_takes_part_again() {
    let net = Testnet::up(&[]);
    net.node("kill", "server-1");
    assert_eq!(net.process("server-1"), "dead");
    assert_eq!(net.status()["servers_running"], 2);
    for deed in ["kill", "freeze", "thaw"] {
        net.refuses(deed, "server-1", &["server-1 does not run", "testnet start --dir"]);
    }
    net.node("start", "server-1");
    assert_eq!(net.process("server-1"), "running");
    net.refuses("start", "server-1", &["server-1 runs already"]);
    net.completes_rounds();
}

#[test]
fn a_server_that_is_frozen_and_thawed_takes_part_again() {
    let net = Testnet::up(&[]);
    net.node("freeze", "server-0");
    assert_eq!(net.process("server-0"), "frozen");
    for deed in ["freeze", "start"] {
        net.refuses(deed, "server-0", &["server-0 is frozen", "testnet thaw --dir"]);
    }
    net.node("thaw", "server-0");
    assert_eq!(net.process("server-0"), "running");
    net.refuses("thaw", "server-0", &["server-0 is not frozen"]);
    net.completes_rounds();
}

#[test]
fn a_coordinator_that_is_killed_and_started_again_is_found_where_it_was() {
    let net = Testnet::up(&[]);
    let address = net.status()["coordinator"].clone();
    net.node("kill", "coordinator");
    assert_eq!(net.status()["running"], false);
    net.node("start", "coordinator");
    assert_eq!(net.status()["coordinator"], address);
    net.completes_rounds();
}

#[test]
fn a_chat_says_that_the_coordinator_is_away_and_goes_on_when_it_is_back() {
    let net = Testnet::up(&[]);
    let (mut alice, mut bob) = introduce(&net);
    net.node("kill", "coordinator");
    alice.wait_for_words("no connection, trying again and again");
    alice.type_line("are you there?");
    alice.wait_for_words("text 1 queued");
    net.node("start", "coordinator");
    alice.wait_for_all(&["* connected again", "* text 1 delivered"]);
    bob.wait_for_words("< are you there?");
}

#[test]
fn frozen_nodes_are_shown_and_go_down_with_the_others() {
    let net = Testnet::up(&[]);
    net.node("freeze", "coordinator");
    net.node("freeze", "server-2");
    assert_eq!(net.status()["running"], false, "a frozen coordinator is not waited for");
    fails(&["testnet", "wait", "--dir", net.dir()], &["coordinator", "is frozen", "testnet thaw --dir"]);
    fails(&["testnet", "up", "--dir", net.dir()], &["runs already"]);
    let shown = succeeds(&["testnet", "status", "--dir", net.dir()]);
    assert!(shown.contains("coordinator is frozen") && shown.contains("server-2 is frozen"), "{shown}");
    net.node("freeze", "server-0");
    net.node("kill", "server-0");
    assert_eq!(net.process("server-0"), "dead", "a frozen node can be killed, too");
    succeeds(&["testnet", "down", "--dir", net.dir()]);
    assert!(running_nodes(&net.dir).is_empty());
}

#[test]
fn nodes_that_the_network_does_not_have_are_refused() {
    let net = Testnet::up(&[]);
    for deed in ["kill", "freeze", "thaw", "start"] {
        net.refuses(deed, "server-3", &["has no server-3", "server-0 to server-2"]);
        net.refuses(deed, "alice", &["'alice'", "expected `coordinator`, or `server-0`"]);
    }
    fails(&["testnet", "kill", "--dir", "/nonexistent", "server-0"], &["is not the directory of a network"]);
}

#[test]
fn a_server_that_cannot_start_again_is_shown_with_its_log() {
    let net = Testnet::up(&[]);
    net.node("kill", "server-1");
    std::fs::write(net.dir.join("keys/server-1.key"), "no key").expect("written");
    net.refuses("start", "server-1", &["server-1 ended", "this is not the key file of a server"]);
    assert_eq!(net.process("server-1"), "dead");
}
