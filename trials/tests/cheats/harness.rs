//! A network one of whose servers is a mutant.

use std::{
    ffi::OsStr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use hippodrome_experiments::live::trouble::{StandIn, evidence_files};
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
    // It is gone before the network is.
    _mutant: StandIn,
    net: Testnet,
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
        let program = Path::new(env!("CARGO_BIN_EXE_mutant"));
        let mut mutant = StandIn::start(program, net.dir(), MUTANT, &["--cheat", cheat]).expect("the mutant starts");
        let mut acts = mutant.lines();
        let act = acts.next().expect("it cheats before it ends");
        assert!(act.starts_with(cheat), "{act}");
        // Read to their end, so that it is not held up.
        thread::spawn(move || acts.for_each(drop));
        Self { _mutant: mutant, net, _place: place }
    }

    /// Waits until an honest server keeps evidence, which must convict the mutant alone, of one of `offences`.
    pub(crate) fn convicts_the_mutant_of(&self, offences: &[&str]) {
        let file = eventually("evidence in the state directory of an honest server", || {
            let honest = (0..6).map(|id| format!("server-{id}")).filter(|name| name != MUTANT);
            honest.flat_map(|name| evidence_files(&self.net.dir().join("state").join(name))).next()
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
