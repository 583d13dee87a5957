//! Somebody who looks at a network's status again and again.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use crate::{LOOK_AGAIN, testnet::Testnet};

/// From one look to the next.
const PACE: Duration = Duration::from_millis(100);

/// What is known about the network after some looks. A coordinator that begins to count anew is counted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether the coordinator answered at the last look.
    pub up: bool,
    /// Who takes part.
    pub membership: Membership,
    /// How that has changed so far, in words.
    pub changes: Vec<String>,
    /// The last round announced.
    pub round: u64,
    /// Rounds seen announced.
    pub announced: u64,
    /// Rounds completed.
    pub completed: u64,
    /// Rounds that the coordinator says have failed.
    pub failed: u64,
    /// Rounds that the coordinator which runs now has announced and not ended.
    pub in_flight: u64,
    /// Why the last of them failed.
    pub last_failure: String,
}

/// Who takes part in rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// The epoch.
    pub epoch: u64,
    /// The amendment, 0 for none.
    pub amendment: u64,
    /// Servers that take no part, by name.
    pub out: Vec<String>,
}

impl Membership {
    /// What `testnet status` says; none while there is no epoch.
    fn read(status: &Value) -> Option<Self> {
        let said = status["membership"].as_object()?;
        let servers = said["servers"].as_array()?.iter().filter(|server| server["part"] != "active");
        let out = servers.filter_map(|server| server["server"].as_str().map(str::to_owned)).collect();
        Some(Self { epoch: said["epoch"].as_u64()?, amendment: said["amendment"].as_u64()?, out })
    }

    /// What has changed since an earlier one, in words; none if nothing has.
    fn since(&self, before: &Self) -> Option<String> {
        let newly = |word: &str, these: &[String], those: &[String]| {
            let names: Vec<&str> = these.iter().filter(|name| !those.contains(name)).map(String::as_str).collect();
            if names.is_empty() { String::new() } else { format!(" {word} {}", names.join(" ")) }
        };
        let head = match (self.epoch != before.epoch, self.amendment) {
            (true, 0) => format!("epoch {}", self.epoch),
            (_, amendment) => format!("epoch {} amended {amendment}", self.epoch),
        };
        let (out, back) = (newly("without", &self.out, &before.out), newly("with", &before.out, &self.out));
        (self != before).then(|| format!("{head}{out}{back}"))
    }
}

/// The counters of one coordinator process.
#[derive(Clone, Copy, Default)]
struct Counters {
    completed: u64,
    failed: u64,
}

/// Adds up what one coordinator after another reports.
#[derive(Default)]
struct Sum {
    standing: Standing,
    last: Counters,
    /// There was a first look: rounds announced before it are nobody's concern.
    begun: bool,
    /// The coordinator has restarted and announced no round yet: the numbers to the next one were never announced.
    jumps: bool,
    /// When rounds were seen to be completed.
    completions: Vec<Instant>,
}

impl Sum {
    fn take(&mut self, status: &Value) {
        let was_up = std::mem::replace(&mut self.standing.up, status["running"].as_bool().unwrap_or_default());
        if self.standing.up {
            self.count(status, was_up);
            self.standing.last_failure = status["last_failure"].as_str().unwrap_or_default().to_owned();
            if let Some(membership) = Membership::read(status) {
                self.follow(membership);
            }
        }
    }

    fn count(&mut self, status: &Value, was_up: bool) {
        let number = |key: &str| status[key].as_u64().unwrap_or_default();
        let now = Counters { completed: number("rounds_completed"), failed: number("rounds_failed") };
        let standing = &mut self.standing;
        // A coordinator that has just restarted may know of no round yet.
        let round = number("round").max(standing.round);
        if !std::mem::replace(&mut self.begun, true) {
            standing.in_flight = round.saturating_sub(now.completed + now.failed);
            (self.last, standing.round) = (now, round);
            return;
        }
        let anew = now.completed < self.last.completed || now.failed < self.last.failed;
        if anew || !was_up {
            (standing.in_flight, self.jumps) = (0, true);
        }
        let before = if anew { Counters::default() } else { self.last };
        let announced = if self.jumps { (round - standing.round).min(1) } else { round - standing.round };
        self.jumps &= announced == 0;
        let (completed, failed) = (now.completed - before.completed, now.failed - before.failed);
        if completed > 0 {
            self.completions.push(Instant::now());
        }
        standing.announced += announced;
        standing.completed += completed;
        standing.failed += failed;
        standing.in_flight = (standing.in_flight + announced).saturating_sub(completed + failed);
        (self.last, standing.round) = (now, round);
    }

    fn follow(&mut self, membership: Membership) {
        let before = std::mem::replace(&mut self.standing.membership, membership);
        if before.epoch > 0 {
            self.standing.changes.extend(self.standing.membership.since(&before));
        }
    }

    /// The longest time without a completed round, of those that ended after `instant`.
    fn longest_gap(&self, instant: Instant) -> Option<Duration> {
        let gaps = self.completions.windows(2).filter(|gap| gap[1] > instant);
        gaps.map(|gap| gap[1] - gap[0]).max()
    }
}

/// Looks in a thread of its own for as long as it lives.
pub struct Watch {
    sum: Arc<Mutex<Sum>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look.
    pub fn new(net: Arc<Testnet>) -> Self {
        let (sum, stop) = (Arc::<Mutex<Sum>>::default(), Arc::<AtomicBool>::default());
        let (seen, stopped) = (Arc::clone(&sum), Arc::clone(&stop));
        let look = move || {
            while !stopped.load(Ordering::Relaxed) {
                // While the coordinator dies or starts, a look may fail; that is as if it were not there.
                let status = net.status().unwrap_or_default();
                lock(&seen).take(&status);
                thread::sleep(PACE);
            }
        };
        Self { sum, stop, thread: Some(thread::spawn(look)) }
    }

    /// What is known now.
    pub fn standing(&self) -> Standing {
        lock(&self.sum).standing.clone()
    }

    /// The longest time without a completed round, of those that ended after `instant`; none if no round completed.
    pub fn longest_gap(&self, instant: Instant) -> Option<Duration> {
        lock(&self.sum).longest_gap(instant)
    }

    /// Waits until the standing is as wanted; false if that does not come in time.
    pub fn wait(&self, until: Instant, mut wanted: impl FnMut(&Standing) -> bool) -> bool {
        loop {
            if wanted(&self.standing()) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}

fn lock(sum: &Mutex<Sum>) -> MutexGuard<'_, Sum> {
    sum.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn look(sum: &mut Sum, round: u64, completed: u64, failed: u64) {
        sum.take(&json!({
            "running": true, "round": round, "rounds_completed": completed, "rounds_failed": failed,
        }));
    }

    #[test]
    fn rounds_are_counted_on_when_a_coordinator_begins_anew() {
        let mut sum = Sum::default();
        look(&mut sum, 10, 7, 1);
        assert_eq!(sum.standing.in_flight, 2);
        look(&mut sum, 11, 9, 1);
        look(&mut sum, 12, 9, 2);
        assert_eq!((sum.standing.announced, sum.standing.completed, sum.standing.failed), (2, 2, 1));
        sum.take(&json!({ "running": false }));
        assert!(!sum.standing.up);
        look(&mut sum, 0, 0, 0);
        assert_eq!((sum.standing.announced, sum.standing.in_flight), (2, 0));
        look(&mut sum, 40, 0, 0);
        look(&mut sum, 41, 1, 0);
        assert_eq!((sum.standing.announced, sum.standing.completed, sum.standing.failed), (4, 3, 1));
        assert_eq!(sum.standing.in_flight, 1);
    }

    #[test]
    fn changes_of_who_takes_part_are_told_one_by_one() {
        let mut sum = Sum::default();
        let mut look = |epoch: u64, amendment: u64, parts: [&str; 2]| {
            let servers = [("server-0", parts[0]), ("server-1", parts[1])];
            let servers: Vec<Value> =
                servers.iter().map(|(server, part)| json!({ "server": server, "part": part })).collect();
            let membership = json!({ "epoch": epoch, "amendment": amendment, "servers": servers });
            sum.take(&json!({ "running": true, "membership": membership }));
            sum.take(&json!({ "running": true, "membership": null }));
        };
        look(1, 0, ["active", "active"]);
        look(1, 1, ["struck", "active"]);
        look(2, 0, ["out", "active"]);
        look(4, 0, ["active", "active"]);
        assert_eq!(sum.standing.changes, ["epoch 1 amended 1 without server-0", "epoch 2", "epoch 4 with server-0"]);
    }
}
