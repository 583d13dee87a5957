//! Tracing malformed onions: what it costs against the hops of a round.
//!
//! A round is a way through two layers of chains of three, so six hops. An equal share of the malformed onions fails at
//! each of them. For each hop that is one accusation, and one step of every hop upstream on the way; what is measured is
//! all of that as it follows on each other, on the components that run in a network:
//!
//! * the accuser and each server upstream: the tree over the whole batch again, branches to the records, `a·X` (and `b·X`
//!   for steps) of each, and one proof of each list of points;
//! * everybody: branches, proofs, and the tag or the layer of every record;
//! * for each chain in which something fails: every signature of knowledge of its whole input, as it is checked before
//!   anything is opened.
//!
//! It is set against six hops of [`hop`](crate::hop) with the same number of messages: mixed, proved and verified. Both
//! are wall-clock time on the same threads. Not in it: the network, and the signatures that servers put on what they show.
//!
//! Every run is checked: each proof has to verify, each tag that is said to be wrong has to be wrong, and every layer has to
//! open to what it holds.

mod report;

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use hippodrome_core::params::Verification;
use hippodrome_crypto::{
    group::{ENCODED_LEN, Element, SecretScalar},
    hash::{Digest, Hasher},
    knowledge::{Claim, Knowledge, verify_batch},
    merkle::{self, InclusionProof, Tree},
    onion::{HopKdf, open_layer, tag_holds},
    records::Records,
    shuffle::MAX_COUNT,
    trace::{PowersClaim, powers, prove, verify},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rayon::prelude::*;

pub use report::TraceReport;

use crate::hop::{BenchError, MAX_THREADS, batch::Batch, run};

/// Hops of a round: two layers of chains of three.
pub const HOPS: usize = 6;
/// Hops of one chain.
const CHAIN: usize = 3;

/// What to measure, from the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct TraceArgs {
    /// Messages in each hop's batch.
    #[arg(long, default_value_t = 20_000)]
    pub messages: usize,
    /// Malformed onions, of which an equal share fails at each of six hops.
    #[arg(long, default_value_t = 1000)]
    pub malformed: usize,
    /// Threads that work on it.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Print one JSON object in place of the table.
    #[arg(long)]
    pub json: bool,
}

/// Measures what the command line asks for.
pub fn run_trace(args: &TraceArgs) -> Result<TraceReport, BenchError> {
    let &TraceArgs { messages, malformed, threads, .. } = args;
    if !(1..=MAX_COUNT).contains(&messages) {
        return Err(BenchError::Messages(messages));
    }
    if !(1..=MAX_THREADS).contains(&threads) {
        return Err(BenchError::Threads(threads));
    }
    if malformed == 0 || malformed.div_ceil(HOPS) > messages {
        return Err(BenchError::Malformed { malformed, limit: messages.saturating_mul(HOPS) });
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let mut rng = ChaCha20Rng::from_rng(&mut rand::rng());
    let batch = Batch::wrap(messages, &mut rng)?;
    let claims = claims(messages);
    pool.install(|| {
        let hop = hop_time(&batch, &mut rng)?;
        let parts = Parts::measure(&batch, &claims, malformed, &mut rng)?;
        Ok(TraceReport::new(args, hop, &parts))
    })
}

/// One hop: mixed, proved and verified.
fn hop_time(batch: &Batch, rng: &mut ChaCha20Rng) -> Result<Duration, BenchError> {
    let outgoing = run::mix(batch, Verification::Full, rng)?;
    Ok(run::verify(batch, outgoing, rng)?.whole)
}

/// A signature of knowledge for each record of an input.
fn claims(count: usize) -> Vec<Claim> {
    let claim = |index: usize| {
        let mut rng = ChaCha20Rng::seed_from_u64(index as u64);
        let exponent = SecretScalar::random(&mut rng);
        let public = exponent.multiply(&Element::base());
        let context = Hasher::new("hippodrome bench entry").number(index as u64).finish();
        Claim { public, context, proof: Knowledge::sign(&exponent, &Element::base(), &public, &context, &mut rng) }
    };
    (0..count).into_par_iter().map(claim).collect()
}

/// What the parts of all traces took.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) signatures: Duration,
    pub(super) accusing: Duration,
    pub(super) stepping: Duration,
    pub(super) checking: Duration,
}

/// Which points a server shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// `a·X`, under which the tags are wrong.
    WrongTags,
    /// `a·X` and `b·X`.
    Layers,
}

/// What a server shows of some records.
struct Shown {
    records: Vec<(u32, InclusionProof)>,
    lists: Vec<(Vec<Element>, hippodrome_crypto::equality::EqualityProof)>,
}

impl Parts {
    fn measure(batch: &Batch, claims: &[Claim], malformed: usize, rng: &mut ChaCha20Rng) -> Result<Self, BenchError> {
        let mut parts = Self::default();
        let spoiled = spoiled(batch);
        for hop in 0..HOPS {
            let share = malformed / HOPS + usize::from(hop < malformed % HOPS);
            if hop % CHAIN == 0 {
                parts.check_signatures(claims, rng)?;
            }
            if share == 0 {
                continue;
            }
            let records: Vec<u32> = (0..share as u32).collect();
            parts.show(batch, &spoiled, &records, Shows::WrongTags, rng)?;
            for _ in 0..hop {
                parts.show(batch, &batch.records, &records, Shows::Layers, rng)?;
            }
        }
        Ok(parts)
    }

    fn check_signatures(&mut self, claims: &[Claim], rng: &mut ChaCha20Rng) -> Result<(), BenchError> {
        let started = Instant::now();
        verify_batch(&Element::base(), claims, rng).map_err(|_| BenchError::Wrong("a signature does not hold"))?;
        self.signatures += started.elapsed();
        Ok(())
    }

    /// One server shows its records, and everybody checks.
    fn show(
        &mut self,
        batch: &Batch,
        received: &Records,
        records: &[u32],
        shows: Shows,
        rng: &mut ChaCha20Rng,
    ) -> Result<(), BenchError> {
        let started = Instant::now();
        let tree = Tree::new(merkle::leaves(received));
        let keys = keys_of(received, records)?;
        let shown = show(batch, &tree, records, &keys, shows, rng)?;
        let made = started.elapsed();
        match shows {
            Shows::WrongTags => self.accusing += made,
            Shows::Layers => self.stepping += made,
        }
        let started = Instant::now();
        check(batch, received, tree.root(), &shown, shows)?;
        self.checking += started.elapsed();
        Ok(())
    }
}

/// The batch with the last byte of every body changed, so that every tag is wrong.
fn spoiled(batch: &Batch) -> Records {
    let mut spoiled = batch.records.clone();
    for index in 0..spoiled.len() {
        if let Some(last) = spoiled.record_mut(index).last_mut() {
            *last ^= 1;
        }
    }
    spoiled
}

fn keys_of(received: &Records, records: &[u32]) -> Result<Vec<Element>, BenchError> {
    let key = |index: &u32| {
        let (key, _) = received.record(*index as usize).split_first_chunk().ok_or(BenchError::Wrong("a record"))?;
        Element::decode(key).map_err(|_| BenchError::Wrong("a key does not decode"))
    };
    records.par_iter().map(key).collect()
}

/// For each of the lists that are shown: which secret, and what it is published as.
fn secrets(batch: &Batch, shows: Shows) -> Vec<(&SecretScalar, &Element)> {
    let shared = (&batch.secret.a, &batch.public.key);
    let blinded = (&batch.secret.b, &batch.public.blinding);
    match shows {
        Shows::WrongTags => vec![shared],
        Shows::Layers => vec![shared, blinded],
    }
}

fn show(
    batch: &Batch,
    tree: &Tree,
    records: &[u32],
    keys: &[Element],
    shows: Shows,
    rng: &mut ChaCha20Rng,
) -> Result<Shown, BenchError> {
    let path = |index: &u32| tree.inclusion(*index as usize).map(|path| (*index, path));
    let paths: Option<Vec<_>> = records.iter().map(path).collect();
    let mut lists = Vec::new();
    for (secret, power) in secrets(batch, shows) {
        let points = powers(secret, keys);
        let proof = prove(secret, &claim(&batch.context.descriptor, power, keys, &points), rng);
        lists.push((points, proof));
    }
    Ok(Shown { records: paths.ok_or(BenchError::Wrong("a record is not in the tree"))?, lists })
}

/// The first hop's keys are made over the base point.
static BASE: LazyLock<Element> = LazyLock::new(Element::base);

fn claim<'a>(context: &'a Digest, power: &'a Element, keys: &'a [Element], powers: &'a [Element]) -> PowersClaim<'a> {
    PowersClaim { context, base: &BASE, power, keys, powers }
}

/// What every server does with what is shown.
fn check(batch: &Batch, received: &Records, root: &Digest, shown: &Shown, shows: Shows) -> Result<(), BenchError> {
    let indices: Vec<u32> = shown.records.iter().map(|(index, _)| *index).collect();
    let keys = keys_of(received, &indices)?;
    let is_under_root = |(index, path): &(u32, InclusionProof)| {
        let record = received.record(*index as usize);
        record.split_first_chunk().is_some_and(|(key, body)| {
            let leaf = merkle::leaf(key, &merkle::body_hash(body));
            merkle::verify(root, received.len() as u64, u64::from(*index), &leaf, path).is_ok()
        })
    };
    if !shown.records.par_iter().all(is_under_root) {
        return Err(BenchError::Wrong("a record is not under the root"));
    }
    for ((points, proof), (_, power)) in shown.lists.iter().zip(secrets(batch, shows)) {
        verify(&claim(&batch.context.descriptor, power, &keys, points), proof)
            .map_err(|_| BenchError::Wrong("points are not what they are shown as"))?;
    }
    let kdf = HopKdf::new(&batch.context);
    let as_said = |at: usize| {
        let (index, shared) = (indices[at] as usize, &shown.lists[0].0[at]);
        let body = &received.record(index)[ENCODED_LEN..];
        match shows {
            Shows::WrongTags => !tag_holds(&kdf, &keys[at], shared, body),
            Shows::Layers => {
                let blinded = &shown.lists[1].0[at];
                let opened = open_layer(&kdf, &keys[at], shared, blinded, body);
                opened
                    .is_ok_and(|opened| [blinded.encoded(), opened.as_slice()].concat() == batch.expected.record(index))
            }
        }
    };
    if (0..indices.len()).into_par_iter().all(as_said) {
        Ok(())
    } else {
        Err(BenchError::Wrong("a record holds something else than is said"))
    }
}

#[cfg(test)]
mod tests;
