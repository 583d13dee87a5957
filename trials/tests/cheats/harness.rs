//! A network one of whose servers is a mutant.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hippodrome_trials::{binary::Binary, testnet::Testnet};
use serde::Deserialize;
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// The server that cheats. In every layout each of six servers has each of three positions once.
const MUTANT: &str = "server-2";
const SHAPE: [&str; 8] = ["--servers", "6", "--seats", "2", "--noise", "2", "--period", "1s"];
/// Rounds that show that a network goes on.
const ROUNDS: &str = "2";

/// A network with a mutant in it.
pub(crate) struct Trap {
    mutant: Child,
    net: Testnet,
    /// It goes on to say what it does.
    acts: Lines<BufReader<ChildStdout>>,
    _place: TempDir,
}

/// What `evidence verify --json` says.
#[derive(Deserialize)]
struct Verdict {
    guilty: Vec<Guilty>,
    offence: String,
}

#[derive(Deserialize)]
struct Guilty {
    author: String,
}

impl Trap {
    /// A network in which a server has been replaced by a mutant, which has mounted its cheat.
    pub(crate) fn with_mutant(cheat: &str) -> Self {
        Self::in_network(cheat, &[])
    }

    /// The same where some server's noise is opened in every round.
    pub(crate) fn with_audited_mutant(cheat: &str) -> Self {
        Self::in_network(cheat, &["--audit", "1"])
    }

    fn in_network(cheat: &str, more: &[&str]) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let binary = Binary::locate(None).expect("the binary of this workspace");
        let net = Testnet::up(&binary, &place.path().join("net"), &[&SHAPE, more].concat()).expect("a network");
        net.kill(MUTANT).expect("it runs");
        let mut mutant = start(&net, cheat);
        let acts = BufReader::new(mutant.stdout.take().expect("a pipe")).lines();
        let mut trap = Self { mutant, net, acts, _place: place };
        let act = trap.acts.next().expect("it cheats before it ends").expect("text");
        assert!(act.starts_with(cheat), "{act}");
        trap
    }

    /// Waits until an honest server keeps evidence, which must convict the mutant alone, of one of `offences`.
    pub(crate) fn convicts_the_mutant_of(&self, offences: &[&str]) {
        let file = eventually("evidence in the state directory of an honest server", || {
            let honest = (0..6).map(|id| format!("server-{id}")).filter(|name| name != MUTANT);
            honest.flat_map(|name| evidence(&self.net.dir().join("state").join(name))).next()
        });
        let network = self.net.dir().join("network.toml");
        let [verify, verified, network_flag, json] = ["evidence", "verify", "--network", "--json"].map(OsStr::new);
        let arguments = [verify, verified, file.as_os_str(), network_flag, network.as_os_str(), json];
        let printed = self.net.binary().run(&arguments).expect("the evidence holds");
        let verdict: Verdict = serde_json::from_str(printed.trim()).expect("one JSON object");
        let guilty: Vec<String> = verdict.guilty.into_iter().map(|guilty| guilty.author).collect();
        assert_eq!(guilty, [MUTANT]);
        assert!(offences.iter().any(|offence| verdict.offence.contains(offence)), "{}", verdict.offence);
    }

    /// Waits until the mutant takes no part any more, and rounds complete.
    pub(crate) fn goes_on_without_the_mutant(&self) {
        eventually("rounds without the mutant", || {
            let status = self.net.status().expect("a status");
            let parts = status["membership"]["servers"].as_array()?;
            let mutant = parts.iter().find(|server| server["server"] == MUTANT)?;
            (mutant["part"] != "active").then_some(())
        });
        let patience = format!("{}s", PATIENCE.as_secs());
        let [testnet, wait, dir, rounds, timeout] =
            ["testnet", "wait", "--dir", "--rounds", "--timeout"].map(OsStr::new);
        let arguments =
            [testnet, wait, dir, self.net.dir().as_os_str(), rounds, ROUNDS.as_ref(), timeout, patience.as_ref()];
        self.net.binary().run(&arguments).expect("rounds go on");
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        let _ = self.mutant.kill();
        let _ = self.mutant.wait();
    }
}

/// The files of evidence in a node's state directory.
fn evidence(state: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let files = fs::read_dir(state.join("evidence")).into_iter().flatten().flatten().map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "evidence"))
}

/// Starts the mutant with the files of the server that it replaces.
fn start(net: &Testnet, cheat: &str) -> Child {
    let coordinator = fs::read_to_string(net.dir().join("coordinator.address")).expect("the coordinator's address");
    let path = |name: &str| -> PathBuf { net.dir().join(name) };
    let settings = format!(
        "network = {:?}\nkey = {:?}\nstate_dir = {:?}\nlisten = \"127.0.0.1:0\"\ncoordinator = {:?}\n",
        path("network.toml"),
        path(&format!("keys/{MUTANT}.key")),
        path(&format!("state/{MUTANT}")),
        coordinator.trim(),
    );
    fs::write(path("mutant.toml"), settings).expect("written");
    let log = fs::File::create(path("logs/mutant.log")).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mutant"));
    command.arg("--config").arg(path("mutant.toml")).args(["--cheat", cheat]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("the mutant starts")
}

/// Looks again and again until there is something.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "not in time: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
