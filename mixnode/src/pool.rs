//! The threads that mix and prove.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
};

use hippodrome_core::{
    ids::Round,
    mixer::{Job, JobDone, Urgency},
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::mpsc;

use crate::ledger::{Spell, Timer};

/// What came of a job, and when it ran.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) done: JobDone,
    pub(crate) spell: Spell,
}

/// Runs jobs and hands back what came of them: first those without which a round is not opened, then those of the oldest
/// round. Shared evenly among all rounds under way, too little time would make all of them miss their deadlines.
pub(crate) struct Pool {
    threads: ThreadPool,
    turns: Arc<Turns>,
}

/// Whose turn it is.
struct Turns {
    waiting: Mutex<Waiting>,
    /// Most jobs under way. A thread that waits for parts of one job begins another meanwhile, on top of it; so there
    /// are never more to begin than there are threads.
    most: usize,
    done: mpsc::UnboundedSender<Finished>,
}

/// Jobs whose turn has not come.
struct Waiting<J = Job> {
    /// The most urgent first; then by round, and then in the order in which they came.
    jobs: BTreeMap<(Urgency, Round, u64), J>,
    came: u64,
    /// Jobs under way, those included that a thread has been asked for and that still wait.
    under_way: usize,
    asked_for: usize,
}

impl<J> Waiting<J> {
    fn new() -> Self {
        Self { jobs: BTreeMap::new(), came: 0, under_way: 0, asked_for: 0 }
    }

    fn add(&mut self, urgency: Urgency, round: Round, job: J) {
        self.jobs.insert((urgency, round, self.came), job);
        self.came += 1;
    }

    /// Whether one more may begin, which then counts as under way.
    fn begin(&mut self, most: usize) -> bool {
        let begins = self.under_way < most && self.jobs.len() > self.asked_for;
        self.under_way += usize::from(begins);
        self.asked_for += usize::from(begins);
        begins
    }

    /// The job whose turn it is, for a thread that was asked.
    fn take(&mut self) -> Option<J> {
        self.asked_for -= 1;
        self.jobs.pop_first().map(|(_, job)| job)
    }
}

impl Pool {
    /// A pool of `threads` threads, or of one for each core if that is 0, and where its results come out.
    pub(crate) fn new(threads: usize) -> io::Result<(Self, mpsc::UnboundedReceiver<Finished>)> {
        let threads = if threads == 0 { available_parallelism()?.get() } else { threads };
        let threads = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("mix-{index}"))
            .panic_handler(|_| tracing::error!("a job failed: this is a bug; its round ends at the deadline"))
            .build()
            .map_err(io::Error::other)?;
        let (done, results) = mpsc::unbounded_channel();
        let turns = Turns { waiting: Mutex::new(Waiting::new()), most: threads.current_num_threads(), done };
        Ok((Self { threads, turns: Arc::new(turns) }, results))
    }

    /// Runs a job when its turn comes.
    pub(crate) fn run(&self, job: Job) {
        if self.turns.add(job) {
            let turns = Arc::clone(&self.turns);
            self.threads.spawn_fifo(move || turns.take());
        }
    }
}

impl Turns {
    /// Puts a job in line; whether a thread is to be asked for it.
    fn add(&self, job: Job) -> bool {
        let mut waiting = self.lock();
        waiting.add(job.urgency(), job.round(), job);
        waiting.begin(self.most)
    }

    /// Runs the job whose turn it is, and asks for the next.
    fn take(self: Arc<Self>) {
        let turn = Turn(self);
        let next = turn.0.lock().take();
        if let Some(job) = next {
            let timer = Timer::start(&job);
            let done = job.run();
            // Nobody listens any more when the node has stopped.
            let _ = turn.0.done.send(Finished { done, spell: timer.stop() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No job runs while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job under way; over when this is dropped, also by a panic.
struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.under_way -= 1;
        if waiting.begin(self.0.most) {
            let turns = Arc::clone(&self.0);
            rayon::spawn_fifo(move || turns.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_round_comes_first_and_what_no_round_waits_for_last() {
        let mut waiting = Waiting::new();
        for (urgency, round, job) in [
            (Urgency::Aside, 1, "a charge"),
            (Urgency::UnderWay, 7, "7"),
            (Urgency::UnderWay, 5, "5"),
            (Urgency::UnderWay, 5, "5 again"),
            (Urgency::Aside, 9, "another charge"),
            (Urgency::Opening, 8, "to open 8"),
        ] {
            waiting.add(urgency, Round(round), job);
        }
        let order: Vec<_> = (0..6).map(|_| (waiting.begin(9), waiting.take())).collect();
        let expected = ["to open 8", "5", "5 again", "7", "a charge", "another charge"];
        assert_eq!(order, expected.map(|job| (true, Some(job))));
    }

    #[test]
    fn no_more_jobs_begin_than_there_are_threads_and_none_is_forgotten() {
        let mut waiting = Waiting::new();
        (0..5).for_each(|job| waiting.add(Urgency::UnderWay, Round(1), job));
        assert!(waiting.begin(2) && waiting.begin(2) && !waiting.begin(2));
        assert_eq!((waiting.take(), waiting.take()), (Some(0), Some(1)));
        // Each that ends asks for one.
        for job in 2..5 {
            waiting.under_way -= 1;
            assert!(waiting.begin(2));
            assert_eq!(waiting.take(), Some(job));
        }
        waiting.under_way -= 2;
        assert!(!waiting.begin(2), "nothing waits");
    }
}
