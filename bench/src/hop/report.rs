//! The figures.

use core::{fmt, time::Duration};

use serde::Serialize;

use crate::{backend, clock, median};

use super::{
    HopBench, Verification,
    run::Samples,
    stopwatch::{Stage, Times},
};

/// What a hop costs; [the module](super) says what is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopReport {
    /// Messages in the batch.
    pub messages: usize,
    /// Threads that worked on it.
    pub threads: usize,
    /// How the hop showed that it shuffled.
    pub verification: Verification,
    /// Runs that the medians are taken over.
    pub repeats: usize,
    /// Which arithmetic of the group ran, and what the program was compiled for.
    pub backend: String,
    /// Thousands of millions of steps a second that the processor's clock made right after; none where that is not known.
    pub clock_ghz: Option<f64>,
    /// The stages, µs for each message.
    pub us_per_message: UsPerMessage,
    /// A whole hop without proof, µs for each message.
    pub hop_unverified: f64,
    /// A whole hop with its proof and one verification, µs for each message; none without verification.
    pub hop_verified: Option<f64>,
    /// `hop_verified / hop_unverified`, each repeat's two runs set against each other.
    pub verified_ratio: Option<f64>,
    /// Bytes of the proof, for each message.
    pub proof_bytes_per_message: f64,
    /// Most memory that the hop took while mixing and proving, from the received batch to batch and proof put out, in
    /// bytes for each message: an upper bound from the process's resident memory. None outside Linux.
    pub peak_bytes_per_message: Option<u64>,
}

/// The stages of a hop with its proof, in µs for each message; none where the mode has no such stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct UsPerMessage {
    /// Decoding keys.
    pub decode: f64,
    /// `a·X`.
    pub derive: f64,
    /// `b·X`.
    pub blind: f64,
    /// Checking tags, decrypting, deriving return keys.
    pub open: f64,
    /// Permuting keys and bodies.
    pub permute: f64,
    /// Writing the records.
    pub encode: f64,
    /// Digests of key lists and Merkle roots, of input and output.
    pub digest: f64,
    /// The part of the proof that needs no batch.
    pub prove_offline: Option<f64>,
    /// The rest of it.
    pub prove_online: Option<f64>,
    /// One verification.
    pub verify: Option<f64>,
}

pub(super) fn report(bench: &HopBench, samples: &Samples, peak_bytes: Option<u64>) -> HopReport {
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / bench.messages as f64;
    let stage = |stage| median(samples.verified.iter().map(|times| micros(times.of(stage))));
    let whole = |samples: &[Times]| median(samples.iter().map(|times| micros(times.whole)));
    let proves = bench.verification != Verification::None;
    let pairs = samples.verified.iter().zip(&samples.unverified);
    HopReport {
        messages: bench.messages,
        threads: bench.threads,
        verification: bench.verification,
        repeats: bench.repeats,
        backend: backend::describe(),
        clock_ghz: clock::ghz(),
        us_per_message: UsPerMessage {
            decode: stage(Stage::Decode),
            derive: stage(Stage::Derive),
            blind: stage(Stage::Blind),
            open: stage(Stage::Open),
            permute: stage(Stage::Permute),
            encode: stage(Stage::Encode),
            digest: stage(Stage::Digest),
            prove_offline: (bench.verification == Verification::Full).then(|| stage(Stage::ProveOffline)),
            prove_online: proves.then(|| stage(Stage::ProveOnline)),
            verify: proves.then(|| stage(Stage::Verify)),
        },
        hop_unverified: whole(&samples.unverified),
        hop_verified: proves.then(|| whole(&samples.verified)),
        verified_ratio: proves
            .then(|| median(pairs.map(|(verified, plain)| verified.whole.as_secs_f64() / plain.whole.as_secs_f64()))),
        proof_bytes_per_message: samples.proof_bytes as f64 / bench.messages as f64,
        peak_bytes_per_message: peak_bytes.map(|bytes| bytes.div_ceil(bench.messages as u64)),
    }
}

impl UsPerMessage {
    /// The stages by name, in the order in which they run.
    pub fn stages(&self) -> [(&'static str, Option<f64>); 10] {
        [
            ("prove_offline", self.prove_offline),
            ("decode", Some(self.decode)),
            ("derive", Some(self.derive)),
            ("blind", Some(self.blind)),
            ("open", Some(self.open)),
            ("permute", Some(self.permute)),
            ("encode", Some(self.encode)),
            ("digest", Some(self.digest)),
            ("prove_online", self.prove_online),
            ("verify", self.verify),
        ]
    }
}

impl fmt::Display for HopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, threads, repeats, backend, .. } = self;
        writeln!(f, "one hop: {messages} messages, {threads} thread(s), median of {repeats} run(s)")?;
        writeln!(f, "verification {}, {backend}{}", self.verification.name(), clock::in_words(self.clock_ghz))?;
        writeln!(f, "{:<16}{:>12}", "stage", "µs/message")?;
        let wholes = [("hop_unverified", Some(self.hop_unverified)), ("hop_verified", self.hop_verified)];
        for (name, micros) in self.us_per_message.stages().into_iter().chain(wholes) {
            match micros {
                Some(micros) => writeln!(f, "{name:<16}{micros:>12.2}")?,
                None => writeln!(f, "{name:<16}{:>12}", "-")?,
            }
        }
        if let Some(ratio) = self.verified_ratio {
            writeln!(f, "a proved and verified hop costs {ratio:.2} times a plain one")?;
        }
        write!(f, "proof: {:.1} bytes/message", self.proof_bytes_per_message)?;
        match self.peak_bytes_per_message {
            Some(bytes) => write!(f, "; memory at its peak: at most {bytes} bytes/message"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert_eq!(median([7.0].into_iter()), 7.0);
    }
}
