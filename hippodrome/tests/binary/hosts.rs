//! Experiments on hosts. Here these are directories of this machine, each with an address of its own: all of 127.0.0.0/8 is
//! this machine, so the same ports are free at every one of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use crate::{
    experiment::{column, text},
    harness::{Running, eventually, fails, hippodrome, running_nodes, succeeds},
};

const PRESET: &str = r#"
name = "small"
title = "A small experiment"
about = "Two layers of two chains."
seed = 3
repeats = 1

[point]
servers = 4
chains = 2
chain_len = 2
layers = 2
noise = 2
verification = "aggregate"
period_ms = 700
clients = 6
pairs = 2
warm_up = 4
rounds = 4
"#;

const PROGRAM: &str = env!("CARGO_BIN_EXE_hippodrome");
/// Runs a line on this machine.
const SHELL: [&str; 2] = ["sh", "-c"];

/// Hosts, with a preset for them.
struct Place(tempfile::TempDir);

impl Place {
    /// Takes hosts by their names, each with what runs its lines.
    fn new<const WORDS: usize>(hosts: &[(&str, [&str; WORDS])]) -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        let net: [u8; 2] = rand::random();
        let table = |(number, (name, shell)): (usize, &(&str, [&str; WORDS]))| {
            let (directory, address) = (place.directory(name), format!("127.{}.{}.{}", net[0], net[1], number + 1));
            format!(
                "[[hosts]]\nname = {name:?}\naddress = {address:?}\nfirst_port = 7400\nshell = {shell:?}\n\
                 directory = {directory:?}\nprogram = {PROGRAM:?}\n"
            )
        };
        let tables: String = hosts.iter().enumerate().map(table).collect();
        fs::write(place.file("hosts.toml"), tables).expect("written");
        place.preset(PRESET);
        place
    }

    fn preset(&self, preset: &str) {
        fs::write(self.file("preset.toml"), preset).expect("written");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The directory of a host, with a name that shells have to be told of with care.
    fn directory(&self, host: &str) -> PathBuf {
        self.file(&format!("{host}'s own"))
    }

    /// Where the files of a host's nodes are.
    fn share(&self, host: &str) -> PathBuf {
        self.directory(host).join("experiment")
    }

    fn out(&self) -> PathBuf {
        self.file("out")
    }

    /// A command that runs the preset on the hosts.
    fn run(&self) -> Vec<String> {
        let words = ["preset.toml", "hosts.toml", "out"].map(|name| text(&self.file(name)).to_owned());
        let [preset, hosts, out] = words;
        vec!["experiment".into(), "run".into(), preset, "--hosts".into(), hosts, "--out".into(), out]
    }

    /// Nothing runs on any host, and nothing of the run is left there.
    fn is_left_alone(&self, hosts: &[&str]) {
        for host in hosts {
            assert!(running_nodes(&self.share(host)).is_empty(), "nodes go on on {host}");
            let left = fs::read_dir(self.directory(host)).into_iter().flatten().count();
            assert_eq!(left, 0, "something is left on {host}");
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn an_experiment_on_three_hosts_brings_everything_back_and_leaves_nothing_there() {
    let place = Place::new(&[("anna", SHELL), ("bert", SHELL), ("carla", SHELL)]);
    let trouble = "trouble = [{ kind = \"none\" }, { kind = \"restart\", node = \"server-1\", after_ms = 200 }]";
    place.preset(&format!("{PRESET}\n[sweep.axes]\n{trouble}\n"));
    let dry = succeeds(&[&place.run()[..], &["--dry-run".into()]].concat());
    for words in ["server-1     bert", "hosts/anna.tar network.toml fronts.toml registry.txt", "testnet host --dir"] {
        assert!(dry.contains(words), "no `{words}` in {dry}");
    }
    assert!(!place.out().exists());
    place.is_left_alone(&["anna", "bert", "carla"]);

    succeeds(&place.run());
    assert_eq!(column(&place.out().join("runs.csv"), "valid"), ["true", "true"]);
    let calm = place.out().join("points/000/repeat-0");
    assert_eq!(column(&calm.join("rounds.csv"), "intact"), ["6"; 4]);
    for node in ["coordinator", "server-0", "server-1", "server-2", "server-3"] {
        assert!(calm.join(format!("logs/{node}.log")).is_file(), "no log of {node}");
    }
    let costs = (0..4).map(|server| read(&calm.join(format!("ledgers/server-{server}.csv"))));
    assert!(costs.into_iter().all(|ledger| ledger.lines().count() > 1));
    let used = |name: &str| column(&place.out().join("runs.csv"), name)[0].parse::<f64>().expect("a number");
    assert!(used("server_peak_memory[MB]") > 0.0 && used("servers_cpu[s/round]") >= 0.0);
    let script = read(&calm.join("commands.sh"));
    assert!(script.contains("testnet down") && script.contains("experiment crowd --network net"), "{script}");
    assert!(!calm.join("net").exists() && !calm.join("hosts").exists(), "keys are left behind");
    assert!(read(&place.out().join("report.md")).contains("nodes were on hosts: anna, bert, carla."));
    place.is_left_alone(&["anna", "bert", "carla"]);

    // It goes on with the hosts that it has, and with no others.
    let (preset, out) = (place.file("preset.toml"), place.out());
    let again = ["experiment", "run", text(&preset), "--out", text(&out)];
    assert_eq!(succeeds(&again).lines().count(), 1);
    fs::write(place.file("hosts.toml"), read(&place.file("hosts.toml")).replace("7400", "7500")).expect("written");
    fails(&place.run(), &["are made on other hosts (anna, bert, carla)", "choose a new directory"]);
}

#[test]
fn of_hosts_the_one_that_is_not_there_is_named_and_nothing_is_asked_of_the_others() {
    let steady = "exec sh -c \"$0\"";
    let gone = "echo no route >&2; exit 255";
    let hosts = [("anna", steady), ("bert", steady), ("carla", gone)].map(|(name, line)| (name, ["sh", "-c", line]));
    let said = fails(&Place::new(&hosts).run(), &["on host `carla`", "no route"]);
    assert!(!said.contains("host `anna`") && !said.contains("host `bert`"), "{said}");
}

#[test]
fn a_host_whose_shell_fails_is_named_and_nothing_goes_on_elsewhere() {
    // Takes every line but the one that starts nodes.
    let fickle = "case $0 in *' host '*) echo no route >&2; exit 255;; *) exec sh -c \"$0\";; esac";
    let steady = "exec sh -c \"$0\"";
    let hosts = [("anna", steady), ("bert", steady), ("carla", fickle)].map(|(name, line)| (name, ["sh", "-c", line]));
    let place = Place::new(&hosts);
    let said = fails(&place.run(), &["point 0", "on host `carla`", "testnet host", "no route", "255"]);
    assert!(!said.contains("host `bert`"), "{said}");
    place.is_left_alone(&["anna", "bert", "carla"]);
    let run = place.out().join("points/000/repeat-0");
    assert!(!run.join("measured.json").exists() && !run.join("hosts").exists());
}

#[test]
fn an_experiment_on_hosts_that_is_stopped_leaves_nothing_running() {
    let place = Place::new(&[("anna", SHELL), ("bert", SHELL)]);
    // Far more rounds than this test waits for.
    place.preset(&PRESET.replace("rounds = 4", "rounds = 500"));
    let mut running = Running::start(hippodrome(place.run()));
    let up = || running_nodes(&place.share("anna")).len() + running_nodes(&place.share("bert")).len();
    eventually("all nodes", || (up() == 5).then_some(()));
    running.signal(Signal::TERM);
    assert!(!running.ends_well());
    place.is_left_alone(&["anna", "bert"]);
}

#[test]
fn what_hosts_cannot_do_is_refused_before_anything_is_run() {
    let place = Place::new(&[("anna", SHELL)]);
    let refused = |settings: &str, words: &[&str]| {
        place.preset(&format!("{PRESET}{settings}\n"));
        fails(&place.run(), words);
        fails(&[&place.run()[..], &["--dry-run".into()]].concat(), words);
        assert!(!place.out().exists());
    };
    refused("link = { delay_ms = 5 }", &["point 0", "`link`", "netem"]);
    let cheat = "trouble = { kind = \"cheat\", node = \"server-1\", cheat = \"two-vectors\" }";
    refused(cheat, &["point 0", "--hosts"]);
    fs::write(place.file("hosts.toml"), "[[hosts]]\nname = \"anna\"\nport = 1\n").expect("written");
    refused("", &["hosts.toml", "line 3", "unknown field `port`"]);
}
