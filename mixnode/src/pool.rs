//! The threads that mix and prove.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
};

use hippodrome_core::{
    ids::Round,
    mixer::{Job, JobDone},
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::mpsc;

/// Runs jobs, those of the oldest round first, and hands back what came of them. Shared evenly among all rounds under
/// way, too little time would make all of them miss their deadlines.
pub(crate) struct Pool {
    threads: ThreadPool,
    waiting: Arc<Mutex<Waiting>>,
    done: mpsc::UnboundedSender<JobDone>,
}

/// Jobs whose turn has not come.
#[derive(Default)]
struct Waiting {
    /// By round, and then in the order in which they came.
    jobs: BTreeMap<(Round, u64), Job>,
    came: u64,
}

impl Waiting {
    fn add(&mut self, job: Job) {
        self.jobs.insert((job.round(), self.came), job);
        self.came += 1;
    }
}

impl Pool {
    /// A pool of `threads` threads, or of one for each core if that is 0, and where its results come out.
    pub(crate) fn new(threads: usize) -> io::Result<(Self, mpsc::UnboundedReceiver<JobDone>)> {
        let threads = if threads == 0 { available_parallelism()?.get() } else { threads };
        let threads = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("mix-{index}"))
            .panic_handler(|_| tracing::error!("a job failed: this is a bug; its round ends at the deadline"))
            .build()
            .map_err(io::Error::other)?;
        let (done, results) = mpsc::unbounded_channel();
        Ok((Self { threads, waiting: Arc::default(), done }, results))
    }

    /// Runs a job when its turn comes.
    pub(crate) fn run(&self, job: Job) {
        let (waiting, done) = (Arc::clone(&self.waiting), self.done.clone());
        lock(&waiting).add(job);
        // One call for each job, but not for this one.
        self.threads.spawn_fifo(move || {
            let first = lock(&waiting).jobs.pop_first();
            if let Some((_, job)) = first {
                // Nobody listens any more when the node has stopped.
                let _ = done.send(job.run());
            }
        });
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    // No job runs while it is held.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
