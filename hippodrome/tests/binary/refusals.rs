//! Bad input: each has an error that says what was expected.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::harness::{Running, fails, hippodrome, succeeds};

/// A network of one server and a coordinator, founded with `keys`.
struct Founded {
    place: tempfile::TempDir,
}

impl Founded {
    fn new() -> Self {
        let founded = Self { place: tempfile::tempdir().expect("a temporary directory") };
        let path = |name: &str| founded.path(name);
        let entry = |name: &str, text: String| fs::write(path(name), text).expect("written");
        entry("server.toml", succeeds(&["keys", "server", "new", "--name", "anna", "--out", &path("server.key")]));
        entry("coordinator.toml", succeeds(&["keys", "coordinator", "new", "--out", &path("coordinator.key")]));
        let shape = ["--servers", "1", "--chains", "1", "--chain-len", "1", "--layers", "1", "--noise", "8"];
        entry("params.toml", succeeds(&[&["keys", "params"][..], &shape].concat()));
        fs::write(path("registry.txt"), "").expect("written");
        succeeds(
            &[
                &["keys", "draft", "--params", &path("params.toml"), "--coordinator", &path("coordinator.toml")][..],
                &["--server", &path("server.toml"), "--out", &path("network.toml")],
            ]
            .concat(),
        );
        founded
    }

    fn sign(self) -> Self {
        succeeds(&["keys", "sign", "--network", &self.path("network.toml"), "--key", &self.path("server.key")]);
        self
    }

    fn path(&self, name: &str) -> String {
        self.file(name).into_os_string().into_string().expect("a path in text")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn mixnode(&self, more: &[&str]) -> Vec<String> {
        self.node("mixnode", "server.key", &["--coordinator", "127.0.0.1:1"], more)
    }

    fn coordinator(&self, more: &[&str]) -> Vec<String> {
        self.node("coordinator", "coordinator.key", &["--registry", &self.path("registry.txt")], more)
    }

    fn node(&self, command: &str, key: &str, own: &[&str], more: &[&str]) -> Vec<String> {
        let (network, key, state) = (self.path("network.toml"), self.path(key), self.path("state"));
        let common = [command, "--network", &network, "--key", &key, "--state-dir", &state, "--listen", "127.0.0.1:0"];
        common.iter().chain(own).chain(more).map(|arg| (*arg).to_owned()).collect()
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.file(name)).expect("it exists");
        assert!(text.contains(from), "{text}");
        fs::write(self.file(name), text.replacen(from, to, 1)).expect("written");
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own file");
}

#[test]
fn a_missing_malformed_exposed_or_foreign_key_file() {
    let net = Founded::new().sign();
    let key = net.file("server.key");
    set_mode(&key, 0o644);
    fails(&net.mixnode(&[]), &["others can read", "chmod 600"]);
    set_mode(&key, 0o600);
    net.edit("server.key", "seed", "sead");
    fails(&net.mixnode(&[]), &["this is not the key file of a server", "expected exactly"]);
    fs::copy(net.file("coordinator.key"), &key).expect("copied");
    fails(&net.mixnode(&[]), &["is the key file of a coordinator", "expected the key file of a server"]);
    fs::remove_file(&key).expect("it exists");
    fails(&net.mixnode(&[]), &["server.key does not exist"]);
    succeeds(&["keys", "server", "new", "--name", "anna", "--out", &net.path("server.key")]);
    fails(&net.mixnode(&[]), &["not in the directory"]);
    fails(&["keys", "server", "new", "--name", "a", "--out", &net.path("server.key")], &["exists already"]);
}

#[test]
fn a_port_in_use() {
    let net = Founded::new().sign();
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("it listens").to_string();
    for node in [net.mixnode(&["--listen", &address]), net.coordinator(&["--listen", &address])] {
        fails(&node, &[&address, "the port is in use"]);
    }
}

#[test]
fn a_network_file_that_is_unsigned_changed_or_none() {
    let net = Founded::new();
    let verify = ["keys", "verify", &net.path("network.toml")];
    fails(&verify, &["not signed by anna", "keys sign"]);
    fails(&net.mixnode(&[]), &["not signed by anna"]);
    let net = net.sign();
    assert!(succeeds(&["keys", "verify", &net.path("network.toml")]).contains("server 0     anna, signed"));
    net.edit("network.toml", "slots = 4\n", "slots = 40\n");
    let verify = ["keys", "verify", &net.path("network.toml")];
    fails(&verify, &["the signature of server `anna`", "changed after it signed"]);
    fails(&net.mixnode(&[]), &["the signature of server `anna`"]);
    fails(&net.coordinator(&[]), &["the signature of server `anna`"]);
    fs::write(net.file("network.toml"), "hello = 1\n").expect("written");
    fails(&net.mixnode(&[]), &["network.toml, line 1", "`hello`"]);
}

#[test]
fn noise_that_does_not_reach_what_the_network_states() {
    let net = Founded::new();
    let (network, key) = (net.path("network.toml"), net.path("server.key"));
    let stated = "[params.noise.guarantee]\nrounds = 1000\nepsilon_millionths = 693147\ndelta_billionths = 100000\n";
    net.edit("network.toml", "shape = \"1\"\n", &format!("shape = \"1\"\n\n{stated}"));
    let sign = ["keys", "sign", "--network", &network, "--key", &key];
    fails(&sign, &["epsilon 0.693147", "delta 0.0001", "over 1000 rounds", "4 slots of shape 1", "`hippodrome plan`"]);
    net.edit("network.toml", "shape = \"1\"", "shape = \"3.5\"");
    fails(&sign, &["network.toml, line", "`3.5` is not the shape of noise", "7/2"]);
    fails(&["keys", "params", "--epsilon", "0.7"], &["--delta", "--budget"]);
    let goal = ["--delta", "1e-9", "--budget", "1000000000"];
    fails(
        &[&["keys", "params", "--epsilon", "0.001"][..], &goal].concat(),
        &["--epsilon", "no noise of at most 32768 slots"],
    );
    fails(&["keys", "params", "--noise", "8", "--epsilon", "0.7"], &["cannot be used with"]);
}

#[test]
fn a_network_is_founded_with_the_noise_that_a_guarantee_takes() {
    let shape = ["keys", "params", "--servers", "3", "--chains", "1", "--layers", "1"];
    let params = succeeds(&[&shape[..], &["--epsilon", "0.693147", "--delta", "1e-4", "--budget", "100"]].concat());
    assert!(params.contains("[noise.guarantee]\nrounds = 100\nepsilon_millionths = 693147\n"), "{params}");
    let slots = params.split("[noise]\nslots = ").nth(1).and_then(|rest| rest.lines().next());
    let slots: u32 = slots.expect("it states slots").parse().expect("a number");
    assert!((100..400).contains(&slots), "three honest servers together, where one alone needs 367: {slots}");
}

#[test]
fn signatures_and_entries_that_are_none() {
    let net = Founded::new();
    let network = net.path("network.toml");
    fails(&["keys", "add", "--network", &network, "abc"], &["signature 1", "128 hexadecimal digits"]);
    fails(&["keys", "add", "--network", &network, &"00".repeat(64)], &["no server's signature of this network"]);
    let other = net.path("other.key");
    succeeds(&["keys", "server", "new", "--name", "eve", "--out", &other]);
    fails(&["keys", "sign", "--network", &network, "--key", &other], &["no server of the network file has this key"]);
    let draft = |entry: &str, out: &str| {
        let (params, coordinator) = (net.path("params.toml"), net.path("coordinator.toml"));
        let mut args: Vec<String> = ["keys", "draft", "--params", &params].map(str::to_owned).to_vec();
        args.extend(["--coordinator", &coordinator, "--server", entry, "--out", out].map(str::to_owned));
        args
    };
    fails(&draft(&net.path("coordinator.toml"), &net.path("new.toml")), &["coordinator.toml, line"]);
    fails(&draft(&net.path("server.toml"), &network), &["exists already"]);
    net.edit("params.toml", "layers = 1", "layers = 9");
    fails(&draft(&net.path("server.toml"), &net.path("new.toml")), &["`layers` is 9", "1, 2 or 3"]);
}

#[test]
fn unknown_settings_and_flags_and_bad_values() {
    let net = Founded::new().sign();
    fs::write(net.file("node.toml"), "threads = 2\nlisten_on = \"127.0.0.1:0\"\n").expect("written");
    fails(&["mixnode", "--config", &net.path("node.toml")], &["line 2", "`listen_on`", "unknown field"]);
    fs::write(net.file("node.toml"), "listen_on = \"127.0.0.1:0\"\n").expect("written");
    fails(&["coordinator", "--config", &net.path("node.toml")], &["line 1", "`listen_on`", "unknown field"]);
    fails(&["coordinator", "--config", &net.path("none.toml")], &["none.toml does not exist"]);
    fails(&["demo", "--servres", "3"], &["unexpected argument '--servres'", "--servers"]);
    fails(&["demo", "--period", "fast"], &["'fast'", "expected a number and a unit"]);
    fails(&["demo", "--verification", "some"], &["possible values: full, aggregate, none"]);
    fails(&["demo", "--layers", "1"], &["`chains` is 3", "where there is one layer"]);
    fails(&["demo", "--noise", "3", "--chains", "3"], &["`noise` is 3", "must be even"]);
    fails(&["testnet", "up", "--dir", "x", "--log", "a=b=c"], &["expected a level"]);
    fails(&["testnet", "up", "--dir", "x", "--leave", "coordinator"], &["expected a server, as `server-0`"]);
    fails(&["chat", "--network", "x", "--as", "../bob"], &["expected letters, digits"]);
    fails(&["bench", "hop", "--messages", "0"], &["1 to"]);
    fails(&["keys", "coordinator", "new", "--out", "x", "--address", "nowhere"], &["expected `host:port`"]);
}

#[test]
fn settings_that_are_in_force_are_printed_and_read_back() {
    let net = Founded::new();
    for command in ["coordinator", "mixnode"] {
        let printed = succeeds(&[command, "--listen", "127.0.0.1:9", "--key", "/k", "--print-config"]);
        assert!(printed.contains("listen = \"127.0.0.1:9\""), "{printed}");
        fs::write(net.file("printed.toml"), &printed).expect("written");
        let again =
            succeeds(&[command, "--config", &net.path("printed.toml"), "--listen", "127.0.0.1:8", "--print-config"]);
        assert!(again.contains("listen = \"127.0.0.1:8\"") && again.contains("key = \"/k\""), "{again}");
    }
}

#[test]
fn directories_without_a_network_and_networks_without_a_coordinator() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let dir = place.path().to_str().expect("a path in text");
    for command in ["status", "wait", "down"] {
        fails(&["testnet", command, "--dir", dir], &["is not the directory of a network", "testnet up"]);
    }
    fails(&["chat", "--network", dir, "--as", "alice"], &["is not the directory of a network"]);
    fs::write(place.path().join("mine"), "").expect("written");
    fails(&["testnet", "up", "--dir", dir], &["is not empty"]);

    let net = Founded::new().sign();
    let chat = ["chat", "--network", net.place.path().to_str().expect("a path in text"), "--as", "alice"];
    fails(&chat, &["nobody says where the coordinator is"]);
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it listened").to_string();
    fs::write(net.file("coordinator.address"), &free).expect("written");
    fails(&chat, &["no seat is free"]);
    fs::create_dir(net.file("seats")).expect("made");
    succeeds(&["keys", "client", "new", "--name", "alice", "--out", &net.path("seats/alice.key")]);
    // The network may come later.
    let mut waiting = Running::start(hippodrome(chat));
    waiting.wait_for("the address", |line| line.contains("no connection") && line.contains(&free));
    waiting.type_line("quit");
    assert!(waiting.ends_well());
}

#[test]
fn what_is_no_evidence_convicts_nobody() {
    let net = Founded::new().sign();
    let (network, file) = (net.path("network.toml"), net.path("x.evidence"));
    let verify = ["evidence", "verify", &file, "--network", &network];
    fails(&verify, &["x.evidence does not exist", "expected a file of evidence"]);
    fs::write(&file, "guilty!").expect("written");
    fails(&verify, &["x.evidence", "no file of evidence"]);
    fs::write(&file, "hippodrome evidence 1\n").expect("written");
    fails(&verify, &["x.evidence"]);
    fails(&["evidence", "verify", &file, "--network", &file], &["x.evidence"]);
}

#[test]
fn help_and_version_are_there() {
    let version = succeeds(&["--version"]);
    assert_eq!(version.trim(), concat!("hippodrome ", env!("CARGO_PKG_VERSION")));
    for command in ["demo", "testnet", "chat", "status", "evidence", "keys", "coordinator", "mixnode"] {
        let help = succeeds(&[command, "--help"]);
        assert!(help.contains("hippodrome"), "{command} has no example: {help}");
    }
    let no_command = hippodrome([] as [&str; 0]).output().expect("the binary runs");
    assert!(!no_command.status.success());
}
