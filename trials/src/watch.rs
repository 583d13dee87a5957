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
    /// The epoch, 0 for none.
    pub epoch: u64,
    /// The amendment, 0 for none.
    pub amendment: u64,
    /// Servers that do not take part, by name.
    pub out: Vec<String>,
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

impl Standing {
    /// What has changed in who takes part since an earlier standing, in words; empty if nothing.
    pub fn membership_since(&self, before: &Self) -> String {
        let mut changes = Vec::new();
        if self.epoch != before.epoch {
            changes.push(format!("epoch {} to {}", before.epoch, self.epoch));
        }
        if (self.epoch, self.amendment) != (before.epoch, before.amendment) {
            changes.push(format!("amendment {}", self.amendment));
        }
        let newly = |these: &[String], those: &[String]| {
            these.iter().filter(|name| !those.contains(name)).cloned().collect::<Vec<_>>().join(" ")
        };
        let (out, back) = (newly(&self.out, &before.out), newly(&before.out, &self.out));
        changes.extend((!out.is_empty()).then(|| format!("out {out}")));
        changes.extend((!back.is_empty()).then(|| format!("back {back}")));
        changes.join(", ")
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
}

impl Sum {
    fn take(&mut self, status: &Value) {
        let number = |key: &str| status[key].as_u64().unwrap_or_default();
        let standing = &mut self.standing;
        let was_up = std::mem::replace(&mut standing.up, status["running"].as_bool().unwrap_or_default());
        if !standing.up {
            return;
        }
        let now = Counters { completed: number("rounds_completed"), failed: number("rounds_failed") };
        let round = number("round");
        let anew = now.completed < self.last.completed || now.failed < self.last.failed;
        let before = if anew { Counters::default() } else { self.last };
        if self.begun {
            // Behind a restart numbers jump, and nobody has announced those between.
            let restarted = anew || !was_up;
            let announced = round.saturating_sub(standing.round).min(if restarted { 1 } else { u64::MAX });
            let (completed, failed) = (now.completed - before.completed, now.failed - before.failed);
            let in_flight = announced + if restarted { 0 } else { standing.in_flight };
            standing.announced += announced;
            standing.completed += completed;
            standing.failed += failed;
            standing.in_flight = in_flight.saturating_sub(completed + failed);
        } else {
            standing.in_flight = round.saturating_sub(now.completed + now.failed);
        }
        (self.last, self.begun) = (now, true);
        standing.round = round;
        standing.epoch = number("epoch");
        standing.amendment = number("amendment");
        standing.out = names(&status["out"]);
        standing.last_failure = status["last_failure"].as_str().unwrap_or_default().to_owned();
    }
}

/// A list of names, or of objects with a `server` in them.
fn names(list: &Value) -> Vec<String> {
    let name = |item: &Value| {
        let item = if item.is_object() { &item["server"] } else { item };
        item.as_str().map_or_else(|| item.to_string(), str::to_owned)
    };
    list.as_array().map(|list| list.iter().map(name).collect()).unwrap_or_default()
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
            "running": true, "round": round, "rounds_completed": completed, "rounds_failed": failed, "epoch": 1,
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
        look(&mut sum, 40, 0, 0);
        look(&mut sum, 41, 1, 0);
        assert_eq!((sum.standing.announced, sum.standing.completed, sum.standing.failed), (4, 3, 1));
        assert_eq!(sum.standing.in_flight, 1);
    }

    #[test]
    fn changes_of_who_takes_part_are_said() {
        let before = Standing { epoch: 1, out: vec!["server-1".into()], ..Standing::default() };
        let after = Standing { epoch: 2, amendment: 1, out: vec!["server-4".into()], ..Standing::default() };
        assert_eq!(after.membership_since(&before), "epoch 1 to 2, amendment 1, out server-4, back server-1");
        assert_eq!(after.membership_since(&after), "");
    }
}
