//! Times of the stages of one run.

use std::time::{Duration, Instant};

/// What a hop spends time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Decode,
    Derive,
    Blind,
    Open,
    Permute,
    Encode,
    Digest,
    ProveOffline,
    ProveOnline,
    Verify,
}

impl Stage {
    const COUNT: usize = Self::Verify as usize + 1;
}

/// Laps added up by stage, and the whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    stages: [Duration; Stage::COUNT],
    /// From start to the end of the last stage, as one span (or the sum of two spans that were appended).
    pub(crate) whole: Duration,
}

impl Times {
    pub(crate) fn of(&self, stage: Stage) -> Duration {
        self.stages[stage as usize]
    }

    /// Adds a span that was measured apart.
    pub(crate) fn append(&mut self, later: &Self) {
        self.whole += later.whole;
        self.stages.iter_mut().zip(later.stages).for_each(|(stage, more)| *stage += more);
    }
}

/// Runs from its start to [`Stopwatch::stop`]; one stage follows the other without a gap.
pub(crate) struct Stopwatch {
    started: Instant,
    lap: Instant,
    times: Times,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let started = Instant::now();
        Self { started, lap: started, times: Times::default() }
    }

    /// What has passed since the last lap was this stage's.
    pub(crate) fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        self.times.stages[stage as usize] += now - self.lap;
        self.lap = now;
    }

    /// The whole ends where its last stage ended, so that it is the sum of its stages and no reading of the clock more.
    pub(crate) fn stop(mut self) -> Times {
        self.times.whole = self.lap - self.started;
        self.times
    }
}
