//! A server that cheats, from when it is told to.

use std::{
    panic::resume_unwind,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{StandIn, now_ms};
use crate::live::LiveError;

/// Between two looks at whether there is a network.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A round in which it cheated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) round: u64,
    /// When it said so, milliseconds since 1970.
    pub(super) at_ms: u64,
}

impl Act {
    /// Reads for example `two-vectors in round 17`.
    fn parse(line: &str, at_ms: u64) -> Option<Self> {
        let (_, round) = line.rsplit_once(' ')?;
        Some(Self { round: round.parse().ok()?, at_ms })
    }
}

/// A mutant in the place of a server: honest until it is told to begin.
pub(in crate::live) struct Mutant {
    stand_in: StandIn,
    acts: Arc<Mutex<Vec<Act>>>,
}

impl Mutant {
    /// Starts one as soon as there is a network for it, which `up` starts, and which waits for it.
    pub(in crate::live) fn join(
        program: &Path,
        net: &Path,
        (server, cheat): (&str, &str),
        up: impl FnOnce() -> Result<(), LiveError> + Send,
    ) -> Result<Self, LiveError> {
        let is_there = || net.join("coordinator.address").is_file();
        thread::scope(|scope| {
            let network = scope.spawn(up);
            while !is_there() && !network.is_finished() {
                thread::sleep(LOOK_AGAIN);
            }
            let mutant = is_there().then(|| Self::start(program, net, server, cheat));
            network.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            mutant.expect("a network that is up has said where its coordinator is")
        })
    }

    fn start(program: &Path, net: &Path, server: &str, cheat: &str) -> Result<Self, LiveError> {
        let started = StandIn::start(program, net, server, &["--cheat", cheat, "--when-told"]);
        let mut stand_in = started.map_err(|source| LiveError::Mutant { node: server.to_owned(), source })?;
        let acts = Arc::<Mutex<Vec<Act>>>::default();
        let (lines, said) = (stand_in.lines(), Arc::clone(&acts));
        thread::spawn(move || {
            lines.filter_map(|line| Act::parse(&line, now_ms())).for_each(|act| lock(&said).push(act));
        });
        Ok(Self { stand_in, acts })
    }

    /// Has it cheat from now on.
    pub(super) fn begin(&mut self, node: &str) -> Result<(), LiveError> {
        self.stand_in.begin().map_err(|source| LiveError::Mutant { node: node.to_owned(), source })
    }

    /// What it has done so far, in order.
    pub(super) fn acts(&self) -> Vec<Act> {
        lock(&self.acts).clone()
    }
}

fn lock(acts: &Mutex<Vec<Act>>) -> MutexGuard<'_, Vec<Act>> {
    acts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cheats that a mutant knows, by its own word.
pub(in crate::live) fn cheats(program: &Path) -> Result<Vec<String>, LiveError> {
    let listed = Command::new(program).arg("--list").output();
    let listed = listed.map_err(|source| LiveError::NoMutant { path: program.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mutant_says_is_read_and_other_words_are_not() {
        assert_eq!(Act::parse("two-vectors in round 17", 5), Some(Act { round: 17, at_ms: 5 }));
        for odd in ["", "two-vectors", "two-vectors in round", "two-vectors in round -1"] {
            assert_eq!(Act::parse(odd, 5), None, "{odd}");
        }
    }
}
