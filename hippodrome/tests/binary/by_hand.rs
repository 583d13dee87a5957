//! A network founded by three operators, each with the files that he or she has.

use std::{fs, path::PathBuf};

use rustix::process::Signal;

use crate::harness::{Running, eventually, hippodrome, succeeds};

const OPERATORS: [&str; 3] = ["anna", "bert", "carla"];

struct Desks(tempfile::TempDir);

impl Desks {
    fn path(&self, who: &str, name: &str) -> PathBuf {
        let desk = self.0.path().join(who);
        fs::create_dir_all(&desk).expect("made");
        desk.join(name)
    }

    fn text(&self, who: &str, name: &str) -> String {
        self.path(who, name).into_os_string().into_string().expect("a path in text")
    }

    /// Gives a copy of a file to somebody else.
    fn send(&self, from: &str, name: &str, to: &str) {
        fs::copy(self.path(from, name), self.path(to, name)).expect("copied");
    }

    /// Keys, draft and signatures, as in the operating guide.
    fn found(&self) {
        for who in OPERATORS {
            let entry = succeeds(&["keys", "server", "new", "--name", who, "--out", &self.text(who, "server.key")]);
            assert_eq!(entry, succeeds(&["keys", "show", &self.text(who, "server.key")]));
            fs::write(self.path("anna", &format!("{who}.toml")), entry).expect("written");
        }
        let coordinator = ["keys", "coordinator", "new", "--address", "192.0.2.1:7400", "--out"];
        let entry = succeeds(&[&coordinator[..], &[&self.text("anna", "coordinator.key")]].concat());
        fs::write(self.path("anna", "coordinator.toml"), entry).expect("written");
        let shape = ["--servers", "3", "--chains", "1", "--layers", "1", "--period", "400ms", "--noise", "8"];
        let params = succeeds(&[&["keys", "params", "--name", "ours"][..], &shape].concat());
        fs::write(self.path("anna", "params.toml"), params).expect("written");

        let anna = |name: &str| self.text("anna", name);
        let mut draft = vec!["keys".to_owned(), "draft".into(), "--params".into(), anna("params.toml")];
        draft.extend(["--coordinator".into(), anna("coordinator.toml"), "--out".into(), anna("network.toml")]);
        OPERATORS.iter().for_each(|who| draft.extend(["--server".into(), anna(&format!("{who}.toml"))]));
        let identity = succeeds(&draft);

        let mut add = vec!["keys".to_owned(), "add".into(), "--network".into(), anna("network.toml")];
        for who in ["bert", "carla"] {
            self.send("anna", "network.toml", who);
            let (network, key) = (self.text(who, "network.toml"), self.text(who, "server.key"));
            add.push(succeeds(&["keys", "sign", "--network", &network, "--key", &key]).trim().to_owned());
        }
        succeeds(&["keys", "sign", "--network", &anna("network.toml"), "--key", &anna("server.key")]);
        assert_eq!(succeeds(&add).lines().collect::<Vec<_>>(), ["signed by bert", "signed by carla"]);
        let verified = succeeds(&["keys", "verify", &anna("network.toml")]);
        assert!(verified.contains(identity.trim()) && verified.contains("192.0.2.1:7400"), "{verified}");
        ["bert", "carla", "alice"].into_iter().for_each(|who| self.send("anna", "network.toml", who));
    }

    /// Alice makes a key, and Anna registers it.
    fn register(&self) {
        fs::create_dir(self.path("alice", "seats")).expect("made");
        let seat = self.text("alice", "seats/alice.key");
        let line = succeeds(&["keys", "client", "new", "--name", "alice", "--out", &seat]);
        assert!(line.ends_with("# alice\n"), "{line}");
        fs::write(self.path("anna", "registry.txt"), line).expect("written");
    }

    fn start_coordinator(&self) -> (Running, String) {
        let settings = format!(
            "network = {:?}\nkey = {:?}\nregistry = {:?}\nstate_dir = {:?}\nlisten = \"127.0.0.1:0\"\n",
            self.path("anna", "network.toml"),
            self.path("anna", "coordinator.key"),
            self.path("anna", "registry.txt"),
            self.path("anna", "coordinator-state"),
        );
        fs::write(self.path("anna", "coordinator-settings.toml"), settings).expect("written");
        let said = self.path("anna", "address");
        let mut command = hippodrome(["coordinator", "--config", &self.text("anna", "coordinator-settings.toml")]);
        command.arg("--address-file").arg(&said);
        let coordinator = Running::start(command);
        let address = eventually("the coordinator's address", || fs::read_to_string(&said).ok());
        (coordinator, address.trim().to_owned())
    }

    fn start_server(&self, who: &str, coordinator: &str) -> Running {
        let settings = format!("listen = \"127.0.0.1:0\"\ncoordinator = {coordinator:?}\nthreads = 1\n");
        fs::write(self.path(who, "server-settings.toml"), settings).expect("written");
        // Paths in the settings are where the settings are.
        Running::start(hippodrome([
            "mixnode",
            "--config",
            &self.text(who, "server-settings.toml"),
            "--log-format",
            "json",
        ]))
    }
}

#[test]
fn three_operators_found_a_network_and_a_client_takes_part() {
    let desks = Desks(tempfile::tempdir().expect("a temporary directory"));
    desks.found();
    desks.register();
    let (mut coordinator, address) = desks.start_coordinator();
    let mut servers = OPERATORS.map(|who| desks.start_server(who, &address));
    fs::write(desks.path("alice", "coordinator.address"), &address).expect("written");
    let mut alice = Running::start(hippodrome(["chat", "--network", &desks.text("alice", ""), "--as", "alice"]));
    alice.type_line("invite");
    alice.wait_for("a code", |line| line.starts_with("hippo1-"));
    for node in servers.iter_mut().chain([&mut coordinator]) {
        node.signal(Signal::TERM);
        assert!(node.ends_well(), "a node that is told to stop stops in good order");
    }
    alice.type_line("status");
    alice.wait_for_words("your invite waits");
}
