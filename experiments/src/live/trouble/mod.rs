//! Runs in which something goes wrong, once and while people talk: a node dies or stands still, or a server cheats. What it
//! costs is seen from outside: in what comes back to people, in what servers sign, and in the evidence that they keep.

mod convictions;
mod course;
mod mutant;
mod stand_in;
mod toll;
mod watch;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hippodrome_core::{directory::Directory, ids::ServerId};
use hippodrome_store::network_file::Network;

pub use self::{convictions::evidence_files, stand_in::StandIn, toll::Toll};
pub(super) use self::{
    convictions::keep,
    mutant::{Mutant, cheats},
};
use self::{
    course::{Course, Texts},
    mutant::Act,
    watch::Watch,
};
use super::{LiveError, OfRound, Run, net::Net};
use crate::preset::Trouble;

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Trouble under way.
pub(super) struct Happening {
    began_ms: u64,
    watch: Option<Watch>,
    mutant: Option<Mutant>,
}

impl Happening {
    /// Lets it happen, from its beginning to its end if it has one. The mutant has the place of the server that is to cheat.
    pub(super) fn begin(trouble: &Trouble, net: &Net<'_>, mutant: Option<Mutant>) -> Result<Self, LiveError> {
        let server = trouble.node().and_then(server_id);
        let directory = directory_of(net.dir())?;
        let watch = server.map(|server| Watch::start(net.dir(), directory, server));
        let mut happening = Self { began_ms: now_ms(), watch, mutant };
        happening.run(trouble, net).map(|()| happening)
    }

    fn run(&mut self, trouble: &Trouble, net: &Net<'_>) -> Result<(), LiveError> {
        match trouble {
            Trouble::Nothing {} => Ok(()),
            Trouble::Kill { node } => net.make("kill", node),
            Trouble::Freeze { node, for_ms } => {
                net.make("freeze", node)?;
                thread::sleep(Duration::from_millis(*for_ms));
                net.make("thaw", node)
            }
            Trouble::Restart { node, after_ms } => {
                net.make("kill", node)?;
                thread::sleep(Duration::from_millis(*after_ms));
                net.make("start", node)
            }
            Trouble::Cheat { node, .. } => self.mutant.iter_mut().try_for_each(|mutant| mutant.begin(node)),
        }
    }

    /// Looks no longer, and gives what was seen.
    pub(super) fn end(self) -> Seen {
        let acts = self.mutant.as_ref().map_or(Vec::new(), Mutant::acts);
        Seen { began_ms: self.began_ms, out_at_ms: self.watch.and_then(Watch::end), acts }
    }
}

/// What was seen of trouble while it was there.
pub(super) struct Seen {
    began_ms: u64,
    /// When it was first signed that rounds are held without the node, milliseconds since 1970.
    out_at_ms: Option<u64>,
    /// What a mutant said that it did.
    acts: Vec<Act>,
}

impl Seen {
    /// What it cost, with what the crowd and the nodes have left in the run's directory.
    pub(super) fn toll(&self, run: &Run<'_>, rounds: &[OfRound]) -> Result<Toll, LiveError> {
        let culprit = run.point.trouble.as_ref().and_then(Trouble::cheat).map(|(server, _)| server);
        let began_ms = self.acts.first().map_or(self.began_ms, |act| act.at_ms);
        let since = |at_ms: u64| at_ms.saturating_sub(began_ms) as f64;
        let convictions = convictions::read(&run.evidence(), culprit, &directory_of(&run.dir)?)?;
        let detected_ms = convictions.iter().map(|conviction| conviction.kept_ms).min();
        let texts = Texts::read(&run.dir.join("texts.csv"))?;
        let course = Course { rounds, clients: run.point.clients.into() };
        let toll = Toll {
            happened: culprit.is_none() || !self.acts.is_empty(),
            rounds_lost: course.lost(),
            recovery_ms: course.recovery_ms(began_ms),
            texts_lost: texts.lost(),
            out_ms: self.out_at_ms.map(since),
            culprit: culprit.map(str::to_owned),
            detection_ms: detected_ms.map(since),
            detection_rounds: detected_ms.map(|at_ms| rounds_by(&self.acts, at_ms)),
            named: convictions.iter().flat_map(|conviction| conviction.guilty.iter().cloned()).collect(),
            offences: convictions.iter().map(|conviction| conviction.offence.clone()).collect(),
            ..Toll::default()
        };
        Ok(toll.with_delays(&texts.delays(rounds.last().map_or(0, |round| round.round))))
    }
}

/// Rounds in which a mutant had cheated by a moment; the first one counts, though its word may come after what it says.
fn rounds_by(acts: &[Act], at_ms: u64) -> u64 {
    let by_then: BTreeSet<u64> = acts.iter().filter(|act| act.at_ms <= at_ms).map(|act| act.round).collect();
    by_then.len().max(acts.len().min(1)) as u64
}

/// The directory of the network whose file is in a directory.
fn directory_of(dir: &Path) -> Result<Arc<Directory>, LiveError> {
    Ok(Arc::new(Network::load(&dir.join("network.toml")).map_err(Box::new)?.directory))
}

/// The server with a name.
fn server_id(node: &str) -> Option<ServerId> {
    node.strip_prefix("server-")?.parse().ok().map(ServerId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_until_detection_are_those_in_which_there_was_cheating() {
        let acts = [(7, 100), (8, 200), (9, 300)].map(|(round, at_ms)| Act { round, at_ms });
        assert_eq!([99, 100, 250, 1000].map(|at_ms| rounds_by(&acts, at_ms)), [1, 1, 2, 3]);
        assert_eq!(rounds_by(&[], 100), 0);
    }

    #[test]
    fn servers_have_numbers_and_the_coordinator_has_none() {
        assert_eq!(server_id("server-12"), Some(ServerId(12)));
        assert_eq!(server_id("coordinator"), None);
    }
}
