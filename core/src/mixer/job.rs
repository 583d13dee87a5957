//! Heavy work as values: the machine emits a [`Job`], the shell runs it on its pool and hands back what came of it.

use std::sync::Arc;

use hippodrome_crypto::{
    hop::HopSecret,
    key_list::KeyList,
    onion::{self, ReturnKeys},
    permutation::Permutation,
    records::Records,
    shuffle::{self, Mixing, Precomputed, ShuffleProof, Statement, VerifiedHop, aggregate, aggregate::AggregateProof},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::{
    context::RoundContext,
    distribute::{Distribution, distribute},
    exchange::exchange,
    gate::{Held, HeldReplies, Received},
    input::{self, Assembled, CheckedOffer, NoInput},
    noise::{self, ChainNoise},
    receipts::{self, Found, Search},
};
use crate::{
    ids::{Layer, Place, Position, Round, Stage},
    message::{BatchCommitment, InputCommitment, InputOffer, Parcel},
    params::Verification,
    statement,
};

/// A computation that the machine wants done, with everything that it needs.
pub struct Job {
    pub(crate) id: JobId,
    pub(crate) seed: Zeroizing<[u8; 32]>,
    pub(crate) context: Arc<RoundContext>,
    pub(crate) work: Work,
}

/// What a job was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobId {
    pub(crate) round: Round,
    /// None for work of the round as a whole.
    pub(crate) stage: Option<Stage>,
}

/// A job's result, to be handed back to the machine that emitted it.
#[derive(Debug)]
pub struct JobDone {
    pub(crate) id: JobId,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Work {
    Noise(Arc<hippodrome_crypto::signing::SigningKey>),
    AssembleSubmissions(Records),
    AssembleParcels(Arc<Vec<Parcel>>),
    CheckOffer(Box<InputOffer>),
    FindNoise(Search),
    Prepare(usize),
    Decode(BatchCommitment, Records),
    Mix(Box<MixWork>),
    Prove(Box<Prover>),
    Verify(Box<VerifyWork>),
    Distribute(Records),
    Exchange(Records),
    Seal(Box<SealWork>),
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Noise(Vec<ChainNoise>),
    NoiseFound(Layer, Found),
    Assembled(Result<Assembled, NoInput>),
    Offer(InputCommitment, Option<CheckedOffer>),
    Prepared(Precomputed),
    Decoded(BatchCommitment, Option<Incoming>),
    Mixed(Box<MixedBatch>),
    Proved(Vec<u8>, Permutation),
    Verified(Position, Option<Box<VerifiedHop>>),
    Distributed(Option<Distribution>),
    Exchanged(Records),
    Sealed(HeldReplies<Records>),
}

/// A batch that is ready to be mixed.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) received: Received,
    pub(crate) keys: Arc<KeyList>,
    pub(crate) bodies: Records,
}

pub(crate) struct MixWork {
    pub(crate) place: Place,
    pub(crate) secret: HopSecret,
    pub(crate) incoming: Incoming,
    pub(crate) prepared: Option<Precomputed>,
}

/// What a hop has made of its batch.
#[derive(Debug)]
pub(crate) struct MixedBatch {
    pub(crate) output: Held<Output>,
    pub(crate) back: BackSecrets,
    /// None at the last hop, whose proof has no reader, and in networks without verification.
    pub(crate) prover: Option<Prover>,
}

/// What leaves the hop, once the gate is open.
#[derive(Debug)]
pub(crate) enum Output {
    /// Another hop follows in the chain.
    Batch { batch: BatchCommitment, keys: Arc<KeyList>, records: Records },
    /// The chain ends here: what its onions held.
    Payloads(Records),
}

/// What the way back needs.
#[derive(Debug)]
pub(crate) struct BackSecrets {
    pub(crate) returns: ReturnKeys,
    /// With the prover until the proof is made.
    pub(crate) permutation: Option<Permutation>,
    /// Ascending output places of records that did not open and were dropped (networks without verification only).
    pub(crate) dropped: Vec<usize>,
    /// Records put out.
    pub(crate) put_out: usize,
}

/// A proof to be made of a mix.
pub(crate) struct Prover {
    place: Place,
    secret: HopSecret,
    received: Received,
    inputs: Arc<KeyList>,
    outputs: Arc<KeyList>,
    output_root: hippodrome_crypto::hash::Digest,
    shuffled: Shuffled,
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prover({})", self.place)
    }
}

/// How a batch was shuffled, for the proof of the network's verification mode.
enum Shuffled {
    Argument(Box<Mixing>),
    Plain(Permutation),
}

impl Shuffled {
    fn permutation(&self) -> &Permutation {
        match self {
            Self::Argument(mixing) => mixing.permutation(),
            Self::Plain(permutation) => permutation,
        }
    }
}

pub(crate) struct VerifyWork {
    pub(crate) place: Place,
    pub(crate) input_root: hippodrome_crypto::hash::Digest,
    pub(crate) output_root: hippodrome_crypto::hash::Digest,
    pub(crate) inputs: Arc<KeyList>,
    pub(crate) outputs: Arc<KeyList>,
    pub(crate) proof: Vec<u8>,
}

pub(crate) struct SealWork {
    pub(crate) place: Place,
    pub(crate) returns: ReturnKeys,
    pub(crate) permutation: Permutation,
    pub(crate) dropped: Vec<usize>,
    pub(crate) replies: Records,
}

impl Job {
    /// The round that the work is for.
    pub fn round(&self) -> Round {
        self.id.round
    }

    /// Does the work, on the rayon pool that the caller has installed.
    pub fn run(self) -> JobDone {
        let mut rng = ChaCha20Rng::from_seed(*self.seed);
        let outcome = run(&self.context, self.id.stage, self.work, &mut rng);
        JobDone { id: self.id, outcome }
    }
}

fn run(context: &RoundContext, stage: Option<Stage>, work: Work, rng: &mut ChaCha20Rng) -> Outcome {
    let stage = || stage.expect("work of a chain names its stage");
    match work {
        Work::Noise(key) => Outcome::Noise(noise::compose(context, &key, rng)),
        Work::AssembleSubmissions(records) => {
            Outcome::Assembled(input::assemble_submissions(context, stage(), &records, rng))
        }
        Work::AssembleParcels(parcels) => Outcome::Assembled(input::assemble_parcels(context, stage(), &parcels, rng)),
        Work::CheckOffer(offer) => {
            let InputOffer { input, entries, left_out, .. } = *offer;
            Outcome::Offer(input, input::check_offer(context, &input, &entries, &left_out, rng))
        }
        Work::FindNoise(search) => Outcome::NoiseFound(search.layer, receipts::search(&search, rng)),
        Work::Prepare(count) => Outcome::Prepared(Precomputed::prepare(count, rng)),
        Work::Decode(batch, records) => Outcome::Decoded(batch, decode(&batch, &records)),
        Work::Mix(work) => Outcome::Mixed(Box::new(mix(context, *work, rng))),
        Work::Prove(prover) => prove(context, *prover, rng),
        Work::Verify(work) => verify(context, *work, rng),
        Work::Distribute(payloads) => Outcome::Distributed(distribute(context, stage(), &payloads, rng)),
        Work::Exchange(payloads) => Outcome::Exchanged(exchange(&payloads)),
        Work::Seal(work) => Outcome::Sealed(HeldReplies::new(seal(context, *work, rng))),
    }
}

/// Checks a batch against what its sender signed: every key is an element, none is there twice, and the records make
/// root and key list.
fn decode(batch: &BatchCommitment, records: &Records) -> Option<Incoming> {
    let keys = KeyList::new(onion::decode_keys(records).ok()?);
    if input::repeated_keys(keys.keys().iter().copied()).contains(&true) {
        return None;
    }
    let root = hippodrome_crypto::merkle::root_of(&hippodrome_crypto::merkle::leaves(records));
    if root != batch.root || *keys.digest() != batch.keys {
        return None;
    }
    let place = Place { stage: batch.place.stage, position: Position(batch.place.position.0 + 1) };
    let received = Received { place, count: keys.len(), root, keys: *keys.digest() };
    Some(Incoming { received, keys: Arc::new(keys), bodies: onion::bodies(records) })
}

fn mix(context: &RoundContext, work: MixWork, rng: &mut ChaCha20Rng) -> MixedBatch {
    let MixWork { place, secret, incoming, prepared } = work;
    let Incoming { received, keys: inputs, bodies } = incoming;
    let last = place.position == context.last_position();
    let shuffled = begin(context, last, prepared, received.count, rng);
    let mut mixed = onion::mix(&secret, &context.hop_context(place), &inputs, bodies, shuffled.permutation());
    let unopened = mixed.failed.len();
    let dropped = match context.verification() {
        Verification::None => drop_unopened(&mut mixed, shuffled.permutation()),
        // A layer that does not open ends the round: the gate sees the count and nothing leaves.
        Verification::Full | Verification::Aggregate => Vec::new(),
    };
    let mut back = BackSecrets { returns: mixed.returns, permutation: None, dropped, put_out: mixed.keys.len() };
    if last {
        back.permutation = shuffled.into_permutation();
        let output = Held::new(received, unopened, Output::Payloads(mixed.bodies));
        return MixedBatch { output, back, prover: None };
    }
    let records = onion::encode(&mixed.keys, &mixed.bodies);
    let outputs = Arc::new(KeyList::new(mixed.keys));
    let root = hippodrome_crypto::merkle::root_of(&hippodrome_crypto::merkle::leaves(&records));
    let batch =
        BatchCommitment { place, count: outputs.len() as u32, root, keys: *outputs.digest(), source: received.root };
    let prover = if context.verification() == Verification::None || received.count == 0 {
        back.permutation = shuffled.into_permutation();
        None
    } else {
        let outputs = Arc::clone(&outputs);
        Some(Prover { place, secret, received, inputs, outputs, output_root: root, shuffled })
    };
    let output = Held::new(received, unopened, Output::Batch { batch, keys: outputs, records });
    MixedBatch { output, back, prover }
}

/// The shuffle of a batch: with the argument's masks where a proof of it will be made.
fn begin(
    context: &RoundContext,
    last: bool,
    prepared: Option<Precomputed>,
    count: usize,
    rng: &mut ChaCha20Rng,
) -> Shuffled {
    if context.verification() != Verification::Full || last || count == 0 {
        return Shuffled::Plain(Permutation::random(count, rng));
    }
    let prepared = prepared.unwrap_or_else(|| Precomputed::prepare(count, rng));
    Shuffled::Argument(Box::new(prepared.begin(count, rng).expect("batches are bounded, and this one is not empty")))
}

impl Shuffled {
    /// The permutation, when no proof will be made.
    fn into_permutation(self) -> Option<Permutation> {
        match self {
            Self::Plain(permutation) => Some(permutation),
            Self::Argument(_) => None,
        }
    }
}

/// Leaves out the records that did not open; gives their output places, where the way back puts random bytes.
fn drop_unopened(mixed: &mut onion::Mixed, permutation: &Permutation) -> Vec<usize> {
    let dropped = permutation.outputs_of(&mixed.failed);
    if !dropped.is_empty() {
        let mut bodies = Records::with_capacity(mixed.bodies.width(), mixed.bodies.len() - dropped.len());
        let mut keys = Vec::with_capacity(bodies.len());
        for index in (0..mixed.keys.len()).filter(|index| dropped.binary_search(index).is_err()) {
            keys.push(mixed.keys[index]);
            bodies.push(mixed.bodies.record(index));
        }
        (mixed.keys, mixed.bodies) = (keys, bodies);
    }
    dropped
}

fn hop_statement(
    context: &RoundContext,
    place: Place,
    input_root: hippodrome_crypto::hash::Digest,
    output_root: hippodrome_crypto::hash::Digest,
) -> Statement {
    let server = context.server_at(place).expect("places of the layout");
    let (base, blinded_base) = context.blinding(place);
    Statement {
        context: context.hop_statement(place, server),
        base,
        blinded_base,
        input_root,
        output_root,
        removed: statement::no_removals(),
    }
}

fn prove(context: &RoundContext, prover: Prover, rng: &mut ChaCha20Rng) -> Outcome {
    let Prover { place, secret, received, inputs, outputs, output_root, shuffled } = prover;
    let statement = hop_statement(context, place, received.root, output_root);
    let (proof, permutation) = match shuffled {
        Shuffled::Argument(mixing) => {
            let (proof, permutation) =
                mixing.prove(&statement, &inputs, &outputs, &secret.b, rng).expect("lists of one non-zero length");
            (proof.to_bytes(), permutation)
        }
        Shuffled::Plain(permutation) => {
            let proof =
                aggregate::prove(&statement, &inputs, &outputs, &secret.b, rng).expect("lists of one non-zero length");
            (proof.to_bytes().to_vec(), permutation)
        }
    };
    Outcome::Proved(proof, permutation)
}

fn verify(context: &RoundContext, work: VerifyWork, rng: &mut ChaCha20Rng) -> Outcome {
    let VerifyWork { place, input_root, output_root, inputs, outputs, proof } = work;
    let statement = hop_statement(context, place, input_root, output_root);
    let verified = match context.verification() {
        Verification::Full => ShuffleProof::parse(&proof, inputs.len())
            .and_then(|proof| shuffle::verify(&statement, &inputs, &outputs, &proof, rng)),
        Verification::Aggregate | Verification::None => proof
            .as_slice()
            .try_into()
            .map_err(|_| shuffle::ShuffleError::Length { expected: AggregateProof::LEN, actual: proof.len() })
            .and_then(AggregateProof::parse)
            .and_then(|proof| aggregate::verify(&statement, &inputs, &outputs, &proof)),
    };
    Outcome::Verified(place.position, verified.ok().map(Box::new))
}

fn seal(context: &RoundContext, work: SealWork, rng: &mut ChaCha20Rng) -> Records {
    let SealWork { place, returns, permutation, dropped, replies } = work;
    let replies = refill(replies, &dropped, rng);
    onion::seal_replies(returns, &context.hop_context(place), replies, permutation)
}

/// Puts random bytes where records were dropped.
fn refill(replies: Records, dropped: &[usize], rng: &mut ChaCha20Rng) -> Records {
    if dropped.is_empty() {
        return replies;
    }
    let mut filled = super::random_records(replies.width(), replies.len() + dropped.len(), rng);
    let mut next = replies.iter();
    for index in (0..filled.len()).filter(|index| dropped.binary_search(index).is_err()) {
        filled.record_mut(index).copy_from_slice(next.next().expect("as many replies as records put out"));
    }
    filled
}
