//! The threads that mix and prove.

use std::{io, thread::available_parallelism};

use hippodrome_core::mixer::{Job, JobDone};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::mpsc;

/// Runs jobs in the order in which they come, and hands back what came of them.
pub(crate) struct Pool {
    threads: ThreadPool,
    done: mpsc::UnboundedSender<JobDone>,
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
        Ok((Self { threads, done }, results))
    }

    /// Runs a job when its turn comes.
    pub(crate) fn run(&self, job: Job) {
        let done = self.done.clone();
        self.threads.spawn_fifo(move || {
            // Nobody listens any more when the node has stopped.
            let _ = done.send(job.run());
        });
    }
}
