//! `testnet` and `chat`.

use std::path::{Path, PathBuf};

use crate::harness::{Running, fails, hippodrome, last_object, running_nodes, succeeds};

/// A network that is stopped when it is dropped.
pub(crate) struct Testnet {
    _place: tempfile::TempDir,
    pub(crate) dir: PathBuf,
}

impl Testnet {
    /// A network whose nodes log what `filter` lets through.
    pub(crate) fn up_logging(filter: &str) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let net = Self { dir: place.path().join("net"), _place: place };
        let mut command = hippodrome(["testnet", "up", "--dir", net.dir(), "--period", "400ms", "--noise", "8"]);
        command.args(["--servers", "3", "--chains", "1", "--layers", "1"]).env("RUST_LOG", filter);
        assert!(command.output().expect("the binary ends").status.success());
        net
    }

    pub(crate) fn up(more: &[&str]) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let net = Self { dir: place.path().join("net"), _place: place };
        let mut args = vec!["testnet", "up", "--dir", net.dir(), "--servers", "3", "--chains", "1", "--layers", "1"];
        args.extend(["--period", "400ms", "--noise", "8"]);
        args.extend(more);
        let said = succeeds(&args);
        assert!(said.contains(&format!("chat --network {} --as", net.dir())), "{said}");
        net
    }

    pub(crate) fn dir(&self) -> &str {
        self.dir.to_str().expect("a path in text")
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        last_object(&succeeds(&["testnet", "status", "--dir", self.dir(), "--json"]))
    }

    fn chat(&self, name: &str) -> Running {
        Running::start(hippodrome(["chat", "--network", self.dir(), "--as", name]))
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        let _ = hippodrome(["testnet", "down", "--dir", self.dir()]).output();
        assert!(std::thread::panicking() || running_nodes(&self.dir).is_empty(), "nodes go on");
    }
}

fn received(line: &str) -> Option<&str> {
    line.strip_prefix("< ")
}

fn is_code(line: &str) -> bool {
    line.starts_with("hippo1-")
}

/// Alice's and Bob's chats, with a conversation between them.
pub(crate) fn introduce(net: &Testnet) -> (Running, Running) {
    let (mut alice, mut bob) = (net.chat("alice"), net.chat("bob"));
    alice.type_line("invite");
    let code = alice.wait_for("a code", is_code);
    bob.type_line(&format!("accept {code}"));
    for chat in [&mut alice, &mut bob] {
        chat.wait_for_words("you talk to each other now");
    }
    (alice, bob)
}

#[test]
fn a_network_goes_up_and_down_and_up_again() {
    let net = Testnet::up(&["--seats", "3"]);
    fails(&["testnet", "up", "--dir", net.dir()], &["runs already", "testnet down --dir"]);
    succeeds(&["testnet", "wait", "--dir", net.dir(), "--rounds", "2"]);
    let status = net.status();
    assert_eq!(status["running"], true);
    assert_eq!(status["servers_running"], 3);
    assert_eq!(status["servers_connected"], 3);
    assert_eq!(status["seats_free"], 3);
    let rounds = status["rounds_completed"].as_u64().expect("a number");
    assert!(rounds >= 2);
    assert_eq!(status["hops_verified"], rounds * 3);
    succeeds(&["testnet", "down", "--dir", net.dir()]);
    assert!(running_nodes(&net.dir).is_empty());
    assert_eq!(net.status()["running"], false);
    fails(&["testnet", "down", "--dir", net.dir()], &["does not run", "testnet up --dir"]);
    fails(&["testnet", "wait", "--dir", net.dir()], &["does not run"]);
    fails(&["testnet", "up", "--dir", net.dir(), "--servers", "4"], &["--servers 3, not 4", "another directory"]);
    succeeds(&["testnet", "up", "--dir", net.dir()]);
    let again = net.status();
    assert_eq!(again["epoch"], 1, "the epoch that was kept goes on");
    assert!(again["round"].as_u64() > status["round"].as_u64(), "what was done before the stop is not done again");
}

#[test]
fn rounds_that_do_not_come_are_waited_for_only_so_long() {
    let net = Testnet::up(&[]);
    let args = ["testnet", "wait", "--dir", net.dir(), "--rounds", "100000", "--timeout", "1ms"];
    fails(&args, &["of 100000 rounds", "within 0.001 s"]);
}

#[test]
fn two_people_talk_while_one_of_them_is_killed_and_the_network_restarted() {
    let net = Testnet::up(&[]);
    let (mut alice, mut bob) = introduce(&net);
    alice.type_line("hello bob");
    bob.type_line("say invite");
    assert_eq!(bob.wait_for("a text", |line| received(line).is_some()), "< hello bob");
    alice.wait_for_all(&["* text 1 delivered", "< invite"]);

    // Bob dies, with texts on their way in both directions.
    let long = "many words ".repeat(60);
    bob.type_line(long.trim());
    bob.wait_for_words("text 2 queued");
    alice.type_line("are you still there?");
    alice.wait_for_words("text 2 sent in round");
    bob.kill();
    alice.type_line("bob?");
    let mut bob = net.chat("bob");
    bob.wait_for("the long text in the history", |line| line.starts_with("> many words"));
    alice.wait_for_all(&["* text 2 delivered", "* text 3 delivered", &format!("< {}", long.trim())]);

    // Nobody chats while the network restarts; both go on after it.
    for chat in [&mut alice, &mut bob] {
        chat.type_line("quit");
        assert!(chat.ends_well());
    }
    succeeds(&["testnet", "down", "--dir", net.dir()]);
    succeeds(&["testnet", "up", "--dir", net.dir()]);
    let (mut alice, mut bob) = (net.chat("alice"), net.chat("bob"));
    alice.type_line("and now?");
    alice.wait_for_words("text 4 delivered");
    alice.type_line("quit");
    assert!(alice.ends_well());

    bob.wait_for("the last text", |line| line == "< and now?");
    assert_eq!(history(&mut bob), ["hello bob", "are you still there?", "bob?", "and now?"]);
    let mut alice = net.chat("alice");
    assert_eq!(history(&mut alice), ["invite", long.trim()]);
}

/// What somebody has received, from the history.
fn history(chat: &mut Running) -> Vec<String> {
    // The history shown at the start is left behind.
    for command in ["help", "history", "help"] {
        chat.type_line(command);
    }
    let is_help = |line: &str| line.starts_with("quit ");
    chat.wait_for("help", is_help);
    let mut texts = Vec::new();
    loop {
        let line = chat.wait_for("the history", |line| received(line).is_some() || is_help(line));
        match received(&line) {
            Some(text) => texts.push(text.to_owned()),
            None => return texts,
        }
    }
}

#[test]
fn what_is_piped_in_is_delivered_before_the_chat_ends() {
    let net = Testnet::up(&[]);
    let (mut alice, mut bob) = introduce(&net);
    alice.type_line("from a pipe");
    alice.end_input();
    assert!(alice.ends_well());
    assert_eq!(bob.wait_for("a text", |line| received(line).is_some()), "< from a pipe");
    bob.end_input();
    assert!(bob.ends_well());
}

#[test]
fn a_bad_invite_code_is_explained_and_the_chat_goes_on() {
    let net = Testnet::up(&["--seats", "2"]);
    let mut alice = net.chat("alice");
    for (code, reason) in [
        ("accept", "needs the code"),
        ("accept nonsense", "an invite code begins with `hippo1-`"),
        ("accept hippo1-abc", "is cut off: 3 of"),
        ("invite", "give this code"),
    ] {
        alice.type_line(code);
        alice.wait_for_words(reason);
    }
    let code = alice.wait_for("a code", is_code);
    let mut bob = net.chat("bob");
    let typo = code.replacen('-', if code.contains("-7") { "-8" } else { "-7" }, 1);
    bob.type_line(&format!("accept {}", &typo[..code.len()]));
    bob.wait_for_words("typing error");
    bob.type_line("hello?");
    bob.wait_for_words("there is no conversation yet");
    alice.type_line(&format!("accept {code}"));
    alice.wait_for_words("your own invite");
    // Both seats are taken now, and alice's by somebody who is there.
    fails(&["chat", "--network", net.dir(), "--as", "carol"], &["no seat is free"]);
    fails(&["chat", "--network", net.dir(), "--as", "alice"], &["`alice` talks in another process already"]);
    bob.type_line(&format!("accept {code}"));
    bob.wait_for_words("you talk to each other now");
}

#[test]
fn a_server_that_dies_at_the_start_is_shown_with_its_log() {
    let net = Testnet::up(&[]);
    succeeds(&["testnet", "down", "--dir", net.dir()]);
    let key: &Path = &net.dir.join("keys/server-1.key");
    std::fs::write(key, "no key").expect("written");
    let said = fails(&["testnet", "up", "--dir", net.dir()], &["server-1 ended", "server-1.log"]);
    assert!(said.contains("this is not the key file of a server"), "{said}");
    assert!(running_nodes(&net.dir).is_empty(), "the others are not left running");
}

#[test]
fn an_invite_that_is_piped_in_is_printed_before_the_chat_ends() {
    let net = Testnet::up(&[]);
    let mut alice = net.chat("alice");
    alice.type_line("invite");
    alice.end_input();
    alice.wait_for("a code", is_code);
    assert!(alice.ends_well());
}
