//! Servers that write down what they see.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use hippodrome_core::ids::{ChainId, Round};
use hippodrome_experiments::live::trouble::StandIn;

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

/// Puts a witness in the place of a server of a network.
pub(super) fn replace(net: &Testnet, mutant: &Path, server: &str, notes: &Notes) -> Result<StandIn, TrialError> {
    net.kill(server)?;
    let started = StandIn::start(mutant, net.dir(), server, &["--witness"]);
    let what = || format!("the witness in place of {server}");
    let mut witness = started.map_err(|source| TrialError::Process { what: what(), source })?;
    let (lines, notes) = (witness.lines(), notes.clone());
    thread::spawn(move || lines.for_each(|line| notes.read(&line)));
    Ok(witness)
}
