//! Servers that write down what they see.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use hippodrome_core::ids::{ChainId, Round};

use crate::{TrialError, testnet::Testnet};

/// What was seen of mailboxes in one chain: accessed once, and twice.
pub(super) type Seen = (i64, i64);

/// All that witnesses saw.
#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<BTreeMap<Round, BTreeMap<ChainId, Seen>>>>);

impl Notes {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<Round, BTreeMap<ChainId, Seen>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a line of a witness: round, chain, mailboxes accessed once, twice, more often.
    fn read(&self, line: &str) {
        let numbers: Vec<u64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
        if let [round, chain, once, twice, _] = numbers[..] {
            let chain = ChainId(chain.try_into().unwrap_or(u16::MAX));
            self.lock().entry(Round(round)).or_default().insert(chain, (once as i64, twice as i64));
        }
    }
}

/// A witness in place of a server; it is killed when this is dropped.
pub(super) struct Witness(Child);

impl Witness {
    /// Replaces a server of a network, with all of its files.
    pub(super) fn replace(net: &Testnet, mutant: &Path, server: &str, notes: &Notes) -> Result<Self, TrialError> {
        net.kill(server)?;
        let path = |name: String| net.dir().join(name);
        let refused = |path: &Path| {
            let path = path.to_owned();
            move |source| TrialError::File { path, source }
        };
        let address = path("coordinator.address".into());
        let coordinator = fs::read_to_string(&address).map_err(refused(&address))?;
        let settings = format!(
            "network = {:?}\nkey = {:?}\nstate_dir = {:?}\nlisten = \"127.0.0.1:0\"\ncoordinator = {:?}\n",
            path("network.toml".into()),
            path(format!("keys/{server}.key")),
            path(format!("state/{server}")),
            coordinator.trim(),
        );
        let (config, log) = (path(format!("{server}.witness.toml")), path(format!("logs/{server}.witness.log")));
        fs::write(&config, settings).map_err(refused(&config))?;
        let log = File::create(&log).map_err(refused(&log))?;
        let mut command = Command::new(mutant);
        command.arg("--config").arg(&config).arg("--witness");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let started = |source| TrialError::Process { what: format!("the witness in place of {server}"), source };
        let mut child = command.spawn().map_err(started)?;
        if let Some(output) = child.stdout.take() {
            let notes = notes.clone();
            thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).for_each(|line| notes.read(&line))
            });
        }
        Ok(Self(child))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
