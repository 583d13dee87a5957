//! One hop: what a server does to a batch of onions, in microseconds of wall-clock time for each message.
//!
//! The batch consists of real onions: each wrapped by a client for a chain of three servers, with a payload of the
//! width that the first of two layers carries. Measured is the first server of that chain.
//!
//! **`hop_verified`** is one span of time from the received bytes to the bytes sent on and the bytes of the proof, plus
//! the time of one verification of that proof. It contains, nothing overlapping and nothing left out between them:
//! * `prove_offline`: masks, permutation and their commitments, made for exactly this batch;
//! * `decode`: every key is decoded and checked, keys and bodies are parted;
//! * `digest`: digests of the lists of input and output keys, Merkle roots of the batches received and put out;
//! * `derive`: `a·X`, encoded; `blind`: `b·X`, encoded (both in constant time);
//! * `open`: every tag checked, one layer decrypted, return keys derived and kept;
//! * `permute`, `encode`: the bytes of the next hop's batch;
//! * `prove_online`: the rest of the proof, and its bytes;
//! * `verify`: the proof is parsed from its bytes and verified, as the next hop does it. That hop has the decoded
//!   output keys and their digest from its own `decode` and `digest`, and the input keys from the offer that it checked
//!   before; so decoding them is not counted here a second time.
//!
//! **`hop_unverified`** is the same span in a network without proofs: the permutation is drawn (in `permute`), nothing
//! is proved or verified, all else is the same. It is another run on the same batch, in alternation with the other.
//!
//! Not in it: the network, signatures of batches, the way back.
//!
//! Every figure is the median over the repeats; hops are timed as wholes, so their medians differ a little from the
//! sums of the stages' medians. Every run is checked: the proof has to verify, and every record put out has to be the
//! one that a second way of opening, record by record down to what the client had wrapped, gives.

pub(crate) mod batch;
mod report;
pub(crate) mod run;
pub(crate) mod stopwatch;

use std::time::Instant;

use hippodrome_core::params::Verification;
use hippodrome_crypto::shuffle::{MAX_COUNT, ShuffleError};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub use report::{HopReport, UsPerMessage};

use crate::memory::PeakMemory;
use batch::Batch;
use run::{Samples, mix, verify};

/// Most threads that a bench may ask for.
pub const MAX_THREADS: usize = 1024;

/// Records of the hop that is run before anything is measured: it derives the commitment key and wakes all threads.
const WARM_UP: usize = 64;

/// What to measure, from the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct HopArgs {
    /// Messages in the batch.
    #[arg(long, default_value_t = 16384)]
    pub messages: usize,
    /// Threads that work on it.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// How the hop shows that it shuffled: full, aggregate or none.
    #[arg(long, default_value = "full", value_parser = parse_verification)]
    pub verification: Verification,
    /// Runs that the medians are taken over.
    #[arg(long, default_value_t = 5)]
    pub repeats: usize,
    /// Print one JSON object in place of the table.
    #[arg(long)]
    pub json: bool,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopBench {
    /// Messages in the batch: 1 to 2^24.
    pub messages: usize,
    /// Threads of the pool that works on it: 1 to [`MAX_THREADS`].
    pub threads: usize,
    /// How the hop shows that it shuffled.
    pub verification: Verification,
    /// Runs that the medians are taken over: at least 1.
    pub repeats: usize,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No batch has so many messages.
    #[error("--messages is {0}: a batch has 1 to {MAX_COUNT} messages")]
    Messages(usize),
    /// No pool has so many threads.
    #[error("--threads is {0}: between 1 and {MAX_THREADS} are possible")]
    Threads(usize),
    /// There are not so many malformed onions.
    #[error("--malformed is {malformed}: between 1 and {limit} are possible with so many messages")]
    Malformed {
        /// How many were asked for.
        malformed: usize,
        /// How many there can be.
        limit: usize,
    },
    /// Nothing to take a median over.
    #[error("--repeats is 0: at least one run is needed")]
    Repeats,
    /// The threads could not be started.
    #[error("starting the threads: {0}")]
    Pool(#[from] rayon::ThreadPoolBuildError),
    /// The hop did not do what it has to do, so its time means nothing.
    #[error("the measured hop is wrong: {0}")]
    Wrong(&'static str),
    /// A proof was not made, or was refused.
    #[error("the measured proof is wrong: {0}")]
    Proof(#[from] ShuffleError),
}

/// Measures what the command line asks for. How long the clients' side took goes to standard error.
pub fn run_hop(args: &HopArgs) -> Result<HopReport, BenchError> {
    let &HopArgs { messages, threads, verification, repeats, .. } = args;
    HopBench { messages, threads, verification, repeats }.run()
}

impl HopBench {
    /// Wraps the onions on all cores, then measures the hop on a pool of its own.
    pub fn run(&self) -> Result<HopReport, BenchError> {
        self.check()?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build()?;
        let mut rng = ChaCha20Rng::from_rng(&mut rand::rng());
        let warm_up = Batch::wrap(WARM_UP, &mut rng)?;
        pool.install(|| self.sample(&warm_up, &mut rng, &mut Samples::default()))?;
        let memory = PeakMemory::before();
        let started = Instant::now();
        let batch = Batch::wrap(self.messages, &mut rng)?;
        eprintln!("wrapped {} onions in {:.2} s", self.messages, started.elapsed().as_secs_f64());
        pool.install(|| self.measure(&batch, &memory, &mut rng))
    }

    /// Refuses what cannot be measured, before anything is allocated.
    fn check(&self) -> Result<(), BenchError> {
        match self {
            Self { messages, .. } if !(1..=MAX_COUNT).contains(messages) => Err(BenchError::Messages(*messages)),
            Self { threads, .. } if !(1..=MAX_THREADS).contains(threads) => Err(BenchError::Threads(*threads)),
            Self { repeats: 0, .. } => Err(BenchError::Repeats),
            _ => Ok(()),
        }
    }

    fn measure(&self, batch: &Batch, memory: &PeakMemory, rng: &mut ChaCha20Rng) -> Result<HopReport, BenchError> {
        let (outgoing, peak) = memory.during(batch.held_bytes(), || mix(batch, self.verification, rng));
        verify(batch, outgoing?, rng)?;
        let mut samples = Samples::default();
        for _ in 0..self.repeats {
            self.sample(batch, rng, &mut samples)?;
        }
        Ok(report::report(self, &samples, peak))
    }

    /// One run with the proof and one without.
    fn sample(&self, batch: &Batch, rng: &mut ChaCha20Rng, samples: &mut Samples) -> Result<(), BenchError> {
        let plain = mix(batch, Verification::None, rng)?;
        samples.unverified.push(verify(batch, plain, rng)?);
        let proved = mix(batch, self.verification, rng)?;
        samples.proof_bytes = proved.proof_bytes();
        samples.verified.push(verify(batch, proved, rng)?);
        Ok(())
    }
}

pub(crate) fn parse_verification(name: &str) -> Result<Verification, String> {
    Verification::named(name).ok_or_else(|| "expected full, aggregate or none".to_owned())
}

#[cfg(test)]
mod tests;
