//! A network one of whose servers is a mutant.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hippodrome_trials::{binary::Binary, testnet::Testnet};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// The server that cheats. In every layout each of six servers has each of three positions once.
const MUTANT: &str = "server-2";
const SHAPE: [&str; 8] = ["--servers", "6", "--seats", "2", "--noise", "2", "--period", "1s"];

/// A network with a mutant in it.
pub(crate) struct Trap {
    mutant: Child,
    net: Testnet,
    _place: TempDir,
}

impl Trap {
    /// A network in which a server has been replaced by a mutant, which has mounted its cheat.
    pub(crate) fn with_mutant(cheat: &str) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let binary = Binary::locate(None).expect("the binary of this workspace");
        let net = Testnet::up(&binary, &place.path().join("net"), &SHAPE).expect("a network");
        net.kill(MUTANT).expect("it runs");
        let mut mutant = start(&net, cheat);
        let acts = BufReader::new(mutant.stdout.take().expect("a pipe"));
        let trap = Self { mutant, net, _place: place };
        let act = acts.lines().next().expect("it cheats before it ends").expect("text");
        assert!(act.starts_with(cheat), "{act}");
        trap
    }

    /// Waits until an honest server has said who cheats.
    pub(crate) fn names_the_mutant(&self) {
        eventually("an abort that names the mutant", || {
            let honest = (0..6).filter(|id| format!("server-{id}") != MUTANT);
            let mut logs = honest.map(|id| self.net.dir().join(format!("logs/server-{id}.log")));
            logs.any(|log| fs::read_to_string(log).is_ok_and(|log| accuses_the_mutant(&log))).then_some(())
        });
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        let _ = self.mutant.kill();
        let _ = self.mutant.wait();
    }
}

fn accuses_the_mutant(log: &str) -> bool {
    let mutant = MUTANT.replace('-', " ");
    log.lines().any(|line| line.contains("releases nothing more") && line.contains(&mutant))
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
