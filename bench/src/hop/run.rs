//! One run of one hop, stage by stage.

use hippodrome_core::params::Verification;
use hippodrome_crypto::{
    group::Element,
    hash::{Digest, Hasher},
    key_list::KeyList,
    merkle,
    onion::{self, HopKdf, ReturnKeys},
    permutation::Permutation,
    records::Records,
    shuffle::{
        self, Mixing, Precomputed, ShuffleError, ShuffleProof, Statement,
        aggregate::{self, AggregateProof},
    },
};
use rand_chacha::ChaCha20Rng;

use super::{
    BenchError,
    batch::Batch,
    stopwatch::{Stage, Stopwatch, Times},
};

/// What all repeats took.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) verified: Vec<Times>,
    pub(crate) unverified: Vec<Times>,
    pub(crate) proof_bytes: usize,
}

/// What a hop sends on and keeps.
pub(crate) struct Outgoing {
    statement: Statement,
    inputs: KeyList,
    outputs: KeyList,
    records: Records,
    returns: ReturnKeys,
    permutation: Permutation,
    proof: Proof,
    times: Times,
}

/// A proof as it travels.
enum Proof {
    Full(Vec<u8>),
    Aggregate([u8; AggregateProof::LEN]),
    None,
}

impl Outgoing {
    pub(crate) fn proof_bytes(&self) -> usize {
        match &self.proof {
            Proof::Full(bytes) => bytes.len(),
            Proof::Aggregate(bytes) => bytes.len(),
            Proof::None => 0,
        }
    }
}

/// The shuffle of a batch: with the argument's masks where that will be proved.
enum Shuffle {
    Argument(Box<Mixing>),
    Plain(Permutation),
}

impl Shuffle {
    fn permutation(&self) -> &Permutation {
        match self {
            Self::Argument(mixing) => mixing.permutation(),
            Self::Plain(permutation) => permutation,
        }
    }
}

/// Mixes the batch and proves the mix.
pub(crate) fn mix(batch: &Batch, verification: Verification, rng: &mut ChaCha20Rng) -> Result<Outgoing, BenchError> {
    let received = batch.records.clone();
    let mut watch = Stopwatch::start();
    let shuffle = begin(received.len(), verification, rng, &mut watch)?;

    let keys = onion::decode_keys(&received).map_err(|_| BenchError::Wrong("a key does not decode"))?;
    let bodies = onion::bodies(&received);
    watch.lap(Stage::Decode);

    let inputs = KeyList::new(keys);
    let input_root = merkle::root_of(&merkle::leaves(&received));
    drop(received);
    watch.lap(Stage::Digest);

    let shared = onion::derive(&batch.secret, inputs.keys());
    watch.lap(Stage::Derive);

    let blinded = onion::blind(&batch.secret, inputs.keys());
    watch.lap(Stage::Blind);

    let opened = onion::open(&HopKdf::new(&batch.context), inputs.keys(), &shared, &blinded, &bodies);
    drop((shared, bodies));
    watch.lap(Stage::Open);

    let (keys, bodies) = onion::permute(shuffle.permutation(), &blinded, &opened.payloads);
    drop((blinded, opened.payloads));
    watch.lap(Stage::Permute);

    let records = onion::encode(&keys, &bodies);
    drop(bodies);
    watch.lap(Stage::Encode);

    let outputs = KeyList::new(keys);
    let output_root = merkle::root_of(&merkle::leaves(&records));
    watch.lap(Stage::Digest);

    let statement = statement(batch, input_root, output_root);
    let (proof, permutation) = prove(batch, &statement, &inputs, &outputs, verification, shuffle, rng)?;
    watch.lap(Stage::ProveOnline);
    let times = watch.stop();

    if !opened.failed.is_empty() {
        return Err(BenchError::Wrong("a layer does not open"));
    }
    Ok(Outgoing { statement, inputs, outputs, records, returns: opened.returns, permutation, proof, times })
}

/// Draws the permutation, and with the argument all that can be made before the batch is there.
fn begin(
    count: usize,
    verification: Verification,
    rng: &mut ChaCha20Rng,
    watch: &mut Stopwatch,
) -> Result<Shuffle, ShuffleError> {
    if verification == Verification::Full {
        let mixing = Precomputed::prepare(count, rng).begin(count, rng)?;
        watch.lap(Stage::ProveOffline);
        return Ok(Shuffle::Argument(Box::new(mixing)));
    }
    let permutation = Permutation::random(count, rng);
    watch.lap(Stage::Permute);
    Ok(Shuffle::Plain(permutation))
}

fn prove(
    batch: &Batch,
    statement: &Statement,
    inputs: &KeyList,
    outputs: &KeyList,
    verification: Verification,
    shuffle: Shuffle,
    rng: &mut ChaCha20Rng,
) -> Result<(Proof, Permutation), ShuffleError> {
    match shuffle {
        Shuffle::Argument(mixing) => {
            let (proof, permutation) = mixing.prove(statement, inputs, outputs, &batch.secret.b, rng)?;
            Ok((Proof::Full(proof.to_bytes()), permutation))
        }
        Shuffle::Plain(permutation) if verification == Verification::Aggregate => {
            let proof = aggregate::prove(statement, inputs, outputs, &batch.secret.b, rng)?;
            Ok((Proof::Aggregate(proof.to_bytes()), permutation))
        }
        Shuffle::Plain(permutation) => Ok((Proof::None, permutation)),
    }
}

/// Verifies the proof as the next hop does, under the stopwatch; then, out of its sight, checks every record.
///
/// Gives the times of the whole: of mixing, proving and verifying.
pub(crate) fn verify(batch: &Batch, outgoing: Outgoing, rng: &mut ChaCha20Rng) -> Result<Times, BenchError> {
    let Outgoing { statement, inputs, records, returns, permutation, proof, mut times, outputs } = outgoing;
    drop(outputs);
    let keys = onion::decode_keys(&records).map_err(|_| BenchError::Wrong("a key put out does not decode"))?;
    let outputs = KeyList::new(keys);
    let mut watch = Stopwatch::start();
    let verified = match &proof {
        Proof::Full(bytes) => {
            let proof = ShuffleProof::parse(bytes, inputs.len())?;
            Some(shuffle::verify(&statement, &inputs, &outputs, &proof, rng)?)
        }
        Proof::Aggregate(bytes) => {
            Some(aggregate::verify(&statement, &inputs, &outputs, &AggregateProof::parse(bytes)?)?)
        }
        Proof::None => None,
    };
    watch.lap(Stage::Verify);
    times.append(&watch.stop());

    if verified.is_some_and(|hop| hop.count() != batch.records.len() || hop.output_keys() != outputs.digest()) {
        return Err(BenchError::Wrong("another hop was verified"));
    }
    if returns.len() != batch.records.len() || onion::unpermute(permutation, &records) != batch.expected {
        return Err(BenchError::Wrong("a record put out is not what opening it alone gives"));
    }
    Ok(times)
}

fn statement(batch: &Batch, input_root: Digest, output_root: Digest) -> Statement {
    Statement {
        context: Hasher::new("hippodrome bench hop").digest(&batch.context.descriptor).finish(),
        base: Element::base(),
        blinded_base: batch.public.blinding,
        input_root,
        output_root,
        removed: Hasher::new("hippodrome bench removals").number(0).finish(),
    }
}
