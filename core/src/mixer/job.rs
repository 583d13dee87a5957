//! Heavy work as values: the machine emits a [`Job`], the shell runs it on its pool and hands back what came of it.

use std::{collections::BTreeSet, sync::Arc};

use hippodrome_crypto::{
    group::Element,
    hop::HopSecret,
    key_list::KeyList,
    merkle::{self, Tree},
    onion::{self, HopKdf, ReturnKeys},
    permutation::Permutation,
    records::Records,
    shuffle::{Mixing, Precomputed, VerifiedHop, aggregate},
    signing::SigningKey,
};
use hippodrome_pledge::NoiseSeed;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::{
    blame::{Accusing, Stepping},
    context::RoundContext,
    distribute::{Distribution, distribute},
    exchange::{exchange, occupancy},
    gate::{Held, HeldReplies, Received},
    input::{self, Assembled, BadOffer, CheckedOffer, CheckedSubmission, NoInput},
    noise::{self, ChainNoise, Pledging},
    receipts::{self, Found, Search},
    replies::{Check, Checked},
};
use crate::{
    audit::OpeningCase,
    evidence::{
        Accusation, BadPledge, BadProof, Evidence, Judged, Stopped, Trace, TraceStep, Traced, check_proof,
        faulty_payloads, removal, rules, shuffle_statement,
    },
    ids::{Author, ChainId, Layer, Place, Position, Round, ServerId, Stage},
    message::{Batch, BatchCommitment, InputCommitment, InputOffer, Parcel, Proof},
    params::Verification,
    pledge::NoisePledge,
    statement,
};

/// A computation that the machine wants done, with everything that it needs.
pub struct Job {
    pub(crate) id: JobId,
    pub(crate) task: Task,
}

/// What is to be computed.
pub(crate) enum Task {
    /// For a round that is announced, with a seed for what is drawn.
    Round(Arc<RoundContext>, Zeroizing<[u8; 32]>, Work),
    /// A pledge of noise, before there is a descriptor.
    Pledge(Box<Pledging>),
}

/// How soon a job is wanted, soonest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A round is not opened before it is done; it is short.
    Opening,
    /// A round under way waits for it.
    UnderWay,
    /// No round waits for it.
    Aside,
}

/// What a job was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobId {
    pub(crate) round: Round,
    /// None for work of the round as a whole.
    pub(crate) stage: Option<Stage>,
}

/// What the last server of a chain of the last layer sees of mailboxes: counts, which are all that noise has to hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxCounts {
    /// The round.
    pub round: Round,
    /// The output chain.
    pub chain: ChainId,
    /// Mailboxes that were accessed once.
    pub once: usize,
    /// Mailboxes that were accessed twice.
    pub twice: usize,
    /// Mailboxes that were accessed more often.
    pub more: usize,
}

/// A job's result, to be handed back to the machine that emitted it.
#[derive(Debug)]
pub struct JobDone {
    pub(crate) id: JobId,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Work {
    Noise(Arc<SigningKey>, Arc<NoiseSeed>),
    /// Those of all active servers, in order.
    CheckPledges(Arc<Vec<NoisePledge>>),
    CheckOpening(Box<OpeningCase>),
    /// A part of them, by its number.
    CheckSubmissions(u32, Records),
    /// Without what these clients send, who are convicted.
    AssembleSubmissions(Vec<CheckedSubmission>, BTreeSet<Author>),
    AssembleParcels(Arc<Vec<Parcel>>),
    CheckOffer(Box<InputOffer>),
    FindNoise(Search),
    CheckReplies(Check),
    Prepare(usize),
    Decode(Box<Batch>),
    Mix(Box<MixWork>),
    /// Goes on with a batch without the records that failed; their trail is complete.
    Shuffle(Box<StuckBatch>),
    Prove(Box<Prover>),
    Verify(Box<VerifyWork>),
    Distribute(Records),
    Exchange(Records),
    Seal(Box<SealWork>),
    CheckSignatures(Box<InputOffer>),
    Accuse(Box<Accusing>, Arc<SigningKey>),
    OpenTrace(Arc<Accusation>),
    FollowTrace(Box<Trace>, Arc<TraceStep>),
    Step(Box<Stepping>, Arc<SigningKey>),
    /// Evidence that another server has sent.
    Judge(ServerId, Arc<Evidence>),
}

impl Work {
    fn purpose(&self) -> &'static str {
        match self {
            Self::Noise(..) => "noise",
            Self::CheckSubmissions(..)
            | Self::AssembleSubmissions(..)
            | Self::AssembleParcels(_)
            | Self::CheckOffer(_)
            | Self::CheckSignatures(_) => "input",
            Self::FindNoise(_) | Self::CheckReplies(_) => "receipts",
            Self::Prepare(_) => "prepare",
            Self::Decode(_) => "decode",
            Self::Mix(_) | Self::Shuffle(_) => "mix",
            Self::Prove(_) => "prove",
            Self::Verify(_) => "verify",
            Self::Distribute(_) => "distribute",
            Self::Exchange(_) => "exchange",
            Self::Seal(_) => "return",
            Self::CheckPledges(_) | Self::CheckOpening(_) => "audit",
            Self::Accuse(..) | Self::OpenTrace(_) | Self::FollowTrace(..) | Self::Step(..) | Self::Judge(..) => "blame",
        }
    }
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Pledged(Box<NoisePledge>),
    /// What convicts those whose pledges do not hold.
    PledgesChecked(Vec<Judged>),
    /// Noise that was opened, judged.
    OpeningChecked(Box<Judged>),
    Noise(Vec<ChainNoise>),
    NoiseFound(Layer, Found),
    RepliesChecked(Checked),
    SubmissionsChecked(u32, Vec<CheckedSubmission>),
    Assembled(Result<Assembled, NoInput>),
    Offer(InputCommitment, Result<CheckedOffer, Option<Box<Judged>>>),
    Prepared(Precomputed),
    Decoded(BatchCommitment, Result<Incoming, Option<Box<Judged>>>),
    Mixed(Box<MixedBatch>),
    Stuck(Box<StuckBatch>),
    Proved(Vec<u8>, Permutation),
    Verified(Position, Result<Box<VerifiedHop>, Box<Judged>>),
    Distributed(Option<Distribution>),
    Exchanged(Records),
    Sealed(HeldReplies<Records>),
    SignaturesChecked(Result<(), Box<Judged>>),
    Accused(Box<Accusation>),
    /// Of the accuser's place: the trace, or what the one who stopped it is judged by.
    Traced(Place, Result<Box<Trace>, Option<Box<Judged>>>),
    Stepped(Box<TraceStep>),
    Judged(ServerId, Box<Judged>),
}

/// A batch that is ready to be mixed.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) received: Received,
    pub(crate) keys: Arc<KeyList>,
    pub(crate) bodies: Records,
    /// Over what came from each sender: one batch, the submissions, or the parcels of all open chains.
    pub(crate) trees: Vec<Arc<Tree>>,
}

pub(crate) struct MixWork {
    pub(crate) place: Place,
    pub(crate) secret: Arc<HopSecret>,
    pub(crate) received: Received,
    pub(crate) keys: Arc<KeyList>,
    pub(crate) bodies: Arc<Records>,
    pub(crate) prepared: Option<Precomputed>,
}

/// A batch with its layer off, in input order, some of whose records cannot go on. It is as secret as what is held.
pub(crate) struct StuckBatch {
    secret: Arc<HopSecret>,
    received: Received,
    keys: Arc<KeyList>,
    blinded: Vec<Element>,
    payloads: Records,
    returns: ReturnKeys,
    prepared: Option<Precomputed>,
    /// Ascending places of records whose tag is wrong.
    wrong_tags: Vec<u32>,
    /// Ascending places of records that hold what no honest client makes.
    malformed: Vec<u32>,
}

impl std::fmt::Debug for StuckBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StuckBatch({})", self.received.place)
    }
}

impl StuckBatch {
    pub(crate) fn wrong_tags(&self) -> &[u32] {
        &self.wrong_tags
    }

    pub(crate) fn malformed(&self) -> &[u32] {
        &self.malformed
    }

    /// All that failed, ascending.
    pub(crate) fn failed(&self) -> Vec<u32> {
        let mut failed = [self.wrong_tags.as_slice(), &self.malformed].concat();
        failed.sort_unstable();
        failed
    }
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
    Batch { batch: Box<BatchCommitment>, keys: Arc<KeyList>, records: Records, tree: Arc<Tree> },
    /// The chain ends here: what its onions held.
    Payloads(Records),
}

/// What the way back needs.
#[derive(Debug)]
pub(crate) struct BackSecrets {
    pub(crate) returns: ReturnKeys,
    /// With the prover until the proof is made.
    pub(crate) permutation: Option<Permutation>,
    /// Ascending places, in the batch received, of records that were removed before the shuffle.
    pub(crate) removed: Vec<u32>,
}

/// A proof to be made of a mix.
pub(crate) struct Prover {
    batch: BatchCommitment,
    secret: Arc<HopSecret>,
    inputs: Arc<KeyList>,
    outputs: Arc<KeyList>,
    shuffled: Shuffled,
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prover({})", self.batch.place)
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
    pub(crate) inputs: Arc<KeyList>,
    pub(crate) outputs: Arc<KeyList>,
    pub(crate) proof: Proof,
}

pub(crate) struct SealWork {
    pub(crate) place: Place,
    pub(crate) returns: ReturnKeys,
    pub(crate) permutation: Permutation,
    pub(crate) removed: Vec<u32>,
    pub(crate) replies: Records,
}

impl Job {
    /// The round that the work is for.
    pub fn round(&self) -> Round {
        self.id.round
    }

    /// The chain that it is work of; none if it is for no chain.
    pub fn stage(&self) -> Option<Stage> {
        self.id.stage
    }

    /// What this server can see of mailboxes with it, if it ends a chain of the last layer. An honest server has no use for
    /// it; that is what one that is not would write down.
    pub fn mailboxes(&self) -> Option<MailboxCounts> {
        let (Task::Round(_, _, Work::Exchange(accesses)), Some(stage)) = (&self.task, self.id.stage) else {
            return None;
        };
        let [once, twice, more] = occupancy(accesses);
        Some(MailboxCounts { round: self.id.round, chain: stage.chain, once, twice, more })
    }

    /// How soon it is wanted.
    pub fn urgency(&self) -> Urgency {
        match self.task {
            Task::Pledge(_) => Urgency::Opening,
            Task::Round(_, _, Work::Judge(..) | Work::CheckPledges(_) | Work::CheckOpening(_)) => Urgency::Aside,
            Task::Round(..) => Urgency::UnderWay,
        }
    }

    /// What it is for, in a word: the work of every server in every round has these parts.
    pub fn purpose(&self) -> &'static str {
        match &self.task {
            Task::Pledge(_) => "audit",
            Task::Round(_, _, work) => work.purpose(),
        }
    }

    /// Does the work, on the rayon pool that the caller has installed.
    pub fn run(self) -> JobDone {
        let outcome = match self.task {
            Task::Round(context, seed, work) => run(&context, self.id.stage, work, &mut ChaCha20Rng::from_seed(*seed)),
            Task::Pledge(pledging) => Outcome::Pledged(Box::new(pledging.run())),
        };
        JobDone { id: self.id, outcome }
    }
}

fn run(context: &RoundContext, stage: Option<Stage>, work: Work, rng: &mut ChaCha20Rng) -> Outcome {
    let stage = || stage.expect("work of a chain names its stage");
    match work {
        Work::Noise(key, seed) => Outcome::Noise(noise::compose(context, &key, &seed)),
        Work::CheckPledges(pledges) => Outcome::PledgesChecked(check_pledges(context, &pledges)),
        Work::CheckOpening(case) => Outcome::OpeningChecked(judge(context, Evidence::FalseOpening(case))),
        Work::CheckSubmissions(part, records) => {
            Outcome::SubmissionsChecked(part, input::check_submissions(context, stage().chain, &records, rng))
        }
        Work::AssembleSubmissions(checked, convicted) => {
            Outcome::Assembled(input::assemble_submissions(context, stage(), checked, &convicted))
        }
        Work::AssembleParcels(parcels) => Outcome::Assembled(input::assemble_parcels(context, stage(), &parcels, rng)),
        Work::CheckOffer(offer) => check_offer(context, *offer, rng),
        Work::FindNoise(search) => Outcome::NoiseFound(search.layer, receipts::search(&search, rng)),
        Work::CheckReplies(check) => Outcome::RepliesChecked(check.run()),
        Work::Prepare(count) => Outcome::Prepared(Precomputed::prepare(count, rng)),
        Work::Decode(batch) => Outcome::Decoded(batch.batch, decode(context, *batch)),
        Work::Mix(work) => mix(context, *work, rng),
        Work::Shuffle(stuck) => {
            let failed = stuck.failed();
            Outcome::Mixed(Box::new(shuffle_rest(context, *stuck, failed, rng)))
        }
        Work::Prove(prover) => prove(context, *prover, rng),
        Work::Verify(work) => verify(context, *work, rng),
        Work::Distribute(payloads) => Outcome::Distributed(distribute(context, stage(), &payloads)),
        Work::Exchange(payloads) => Outcome::Exchanged(exchange(&payloads)),
        Work::Seal(work) => Outcome::Sealed(HeldReplies::new(seal(context, *work, rng))),
        Work::CheckSignatures(offer) => Outcome::SignaturesChecked(check_signatures(context, *offer, rng)),
        Work::Accuse(accusing, key) => Outcome::Accused(Box::new(accusing.make(context, &key, rng))),
        Work::OpenTrace(accusation) => open_trace(context, accusation, rng),
        Work::FollowTrace(trace, step) => follow_trace(context, *trace, step, rng),
        Work::Step(stepping, key) => Outcome::Stepped(Box::new(stepping.make(context, &key, rng))),
        Work::Judge(from, evidence) => Outcome::Judged(from, Box::new(Judged::new(context, evidence))),
    }
}

/// Looks at every pledge but the own one.
fn check_pledges(context: &RoundContext, pledges: &[NoisePledge]) -> Vec<Judged> {
    let others = context.active().par_iter().zip(pledges).filter(|(server, _)| **server != context.me);
    let bad = others.filter(|(server, pledge)| pledge.verify(&context.pledge_terms(**server)).is_err());
    let evidence = |(server, pledge): (&ServerId, &NoisePledge)| {
        Evidence::BadPledge(Box::new(BadPledge { server: *server, pledge: pledge.clone() }))
    };
    bad.map(|bad| Judged::new(context, evidence(bad))).collect()
}

fn judge(context: &RoundContext, evidence: Evidence) -> Box<Judged> {
    Box::new(Judged::new(context, evidence))
}

fn check_offer(context: &RoundContext, offer: InputOffer, rng: &mut ChaCha20Rng) -> Outcome {
    let (input, checked) = (offer.input, input::check_offer(context, &offer, rng));
    let judged = checked.map_err(|bad| match bad {
        BadOffer::Broken => Some(judge(context, Evidence::BadInput(Box::new(offer)))),
        BadOffer::LeftOut => None,
    });
    Outcome::Offer(input, judged)
}

/// Checks every signature of a chain's input, before anything is opened.
fn check_signatures(context: &RoundContext, offer: InputOffer, rng: &mut ChaCha20Rng) -> Result<(), Box<Judged>> {
    rules::check_signatures(context, offer.input.stage, &offer.entries, rng)
        .map_err(|_| judge(context, Evidence::BadInput(Box::new(offer))))
}

fn open_trace(context: &RoundContext, accusation: Arc<Accusation>, rng: &mut ChaCha20Rng) -> Outcome {
    let place = accusation.place;
    let opened = Trace::open(context, Arc::clone(&accusation), rng).map(Box::new);
    Outcome::Traced(
        place,
        opened.map_err(|stopped| match stopped {
            Stopped::Unheard => None,
            Stopped::Flawed(_) => Some(judge(context, Evidence::FalseAccusation(accusation))),
        }),
    )
}

fn follow_trace(context: &RoundContext, trace: Trace, step: Arc<TraceStep>, rng: &mut ChaCha20Rng) -> Outcome {
    let accusation = Arc::clone(trace.accusation());
    let mut steps = trace.steps().to_vec();
    let followed = trace.follow(context, Arc::clone(&step), rng).map(Box::new);
    Outcome::Traced(
        accusation.place,
        followed.map_err(|stopped| match stopped {
            Stopped::Unheard => None,
            Stopped::Flawed(_) => {
                steps.push(step);
                Some(judge(context, Evidence::WrongStep(Traced { accusation, steps })))
            }
        }),
    )
}

/// Checks a batch against what its sender signed: every key is an element, none is there twice, and the records make
/// root and key list. Records that are not under the root show nothing about anybody.
fn decode(context: &RoundContext, batch: Batch) -> Result<Incoming, Option<Box<Judged>>> {
    let Batch { batch: commitment, signature, records } = batch;
    let Place { stage, position } = commitment.place;
    let place = Place { stage, position: Position(position.0 + 1) };
    let width = context.sizes.record(stage.layer.0.into(), place.position.0.into());
    let records = Records::from_bytes(width, records).map_err(|_| None)?;
    let tree = Tree::new(merkle::leaves(&records));
    let root = *tree.root();
    if root != commitment.root {
        return Err(None);
    }
    let keys = match rules::check_batch(&commitment, &records) {
        Ok(keys) => keys,
        Err(_) => {
            let batch = Batch { batch: commitment, signature, records: records.into_bytes() };
            return Err(Some(judge(context, Evidence::BadBatch(Box::new(batch)))));
        }
    };
    let received = Received { place, count: keys.len(), root, keys: *keys.digest() };
    Ok(Incoming { received, keys: Arc::new(keys), bodies: onion::bodies(&records), trees: vec![Arc::new(tree)] })
}

/// Takes the layer off, and goes on if everything has opened.
fn mix(context: &RoundContext, work: MixWork, rng: &mut ChaCha20Rng) -> Outcome {
    let MixWork { place, secret, received, keys, bodies, prepared } = work;
    let shared = onion::derive(&secret, keys.keys());
    let blinded = onion::blind(&secret, keys.keys());
    let opened = onion::open(&HopKdf::new(&context.hop_context(place)), keys.keys(), &shared, &blinded, &bodies);
    drop((shared, bodies));
    let wrong_tags: Vec<u32> = opened.failed.iter().map(|&index| index as u32).collect();
    let malformed = malformed(context, place, &opened.payloads, &wrong_tags, rng);
    let (payloads, returns) = (opened.payloads, opened.returns);
    let stuck = StuckBatch { secret, received, keys, blinded, payloads, returns, prepared, wrong_tags, malformed };
    let failed = stuck.failed();
    // Without verification, what fails is dropped; otherwise it waits for its trail.
    if failed.is_empty() || context.verification() == Verification::None {
        Outcome::Mixed(Box::new(shuffle_rest(context, stuck, failed, rng)))
    } else {
        Outcome::Stuck(Box::new(stuck))
    }
}

/// Which records that opened hold what no honest client makes: seen only at the end of a chain before the last layer.
fn malformed(
    context: &RoundContext,
    place: Place,
    payloads: &Records,
    wrong_tags: &[u32],
    rng: &mut ChaCha20Rng,
) -> Vec<u32> {
    if place.position != context.last_position() || place.stage.layer == context.last_layer() {
        return Vec::new();
    }
    let opened: Vec<u32> =
        (0..payloads.len() as u32).filter(|index| wrong_tags.binary_search(index).is_err()).collect();
    let contents: Vec<&[u8]> = opened.iter().map(|&index| payloads.record(index as usize)).collect();
    faulty_payloads(context, place.stage, &contents, rng).into_iter().map(|index| opened[index]).collect()
}

/// Shuffles a batch without the records at the given places.
fn shuffle_rest(context: &RoundContext, stuck: StuckBatch, failed: Vec<u32>, rng: &mut ChaCha20Rng) -> MixedBatch {
    let StuckBatch { secret, received, keys, blinded, payloads, returns, prepared, .. } = stuck;
    let place = received.place;
    let last = place.position == context.last_position();
    let (inputs, blinded, payloads) = without(&failed, keys, blinded, payloads);
    let shuffled = begin(context, last, prepared, inputs.len(), rng);
    let (keys, bodies) = onion::permute(shuffled.permutation(), &blinded, &payloads);
    drop((blinded, payloads));
    let mut back = BackSecrets { returns, permutation: None, removed: failed.clone() };
    if last {
        back.permutation = shuffled.into_permutation();
        let output = Held::new(received, failed, Output::Payloads(bodies));
        return MixedBatch { output, back, prover: None };
    }
    let records = onion::encode(&keys, &bodies);
    let outputs = Arc::new(KeyList::new(keys));
    let tree = Arc::new(Tree::new(merkle::leaves(&records)));
    let root = *tree.root();
    let removed = match context.verification() {
        Verification::None => statement::no_removals(),
        Verification::Full | Verification::Aggregate => removal(place, &failed),
    };
    let batch = BatchCommitment {
        place,
        count: outputs.len() as u32,
        root,
        keys: *outputs.digest(),
        source: received.root,
        source_keys: *inputs.digest(),
        removed,
    };
    let prover = if context.verification() == Verification::None || inputs.is_empty() {
        back.permutation = shuffled.into_permutation();
        None
    } else {
        let outputs = Arc::clone(&outputs);
        Some(Prover { batch, secret, inputs, outputs, shuffled })
    };
    let output = Held::new(received, failed, Output::Batch { batch: Box::new(batch), keys: outputs, records, tree });
    MixedBatch { output, back, prover }
}

/// Leaves out the records at the given ascending places.
fn without(
    failed: &[u32],
    keys: Arc<KeyList>,
    blinded: Vec<Element>,
    payloads: Records,
) -> (Arc<KeyList>, Vec<Element>, Records) {
    if failed.is_empty() {
        return (keys, blinded, payloads);
    }
    let stays: Vec<usize> = (0..keys.len()).filter(|&index| failed.binary_search(&(index as u32)).is_err()).collect();
    let mut rest = Records::with_capacity(payloads.width(), stays.len());
    stays.iter().for_each(|&index| rest.push(payloads.record(index)));
    let inputs = KeyList::new(stays.iter().map(|&index| keys.keys()[index]).collect());
    (Arc::new(inputs), stays.iter().map(|&index| blinded[index]).collect(), rest)
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

fn prove(context: &RoundContext, prover: Prover, rng: &mut ChaCha20Rng) -> Outcome {
    let Prover { batch, secret, inputs, outputs, shuffled } = prover;
    let statement = shuffle_statement(context, &batch);
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
    let VerifyWork { inputs, outputs, mut proof } = work;
    let position = proof.batch.place.position;
    let verified = check_proof(context, &proof, &inputs, &outputs, rng).map(Box::new);
    Outcome::Verified(
        position,
        verified.map_err(|_| {
            proof.keys = outputs.keys().to_vec();
            judge(context, Evidence::BadProof(Box::new(BadProof { proof, inputs: inputs.keys().to_vec() })))
        }),
    )
}

fn seal(context: &RoundContext, work: SealWork, rng: &mut ChaCha20Rng) -> Records {
    let SealWork { place, returns, permutation, removed, replies } = work;
    let replies = refill(onion::unpermute(permutation, &replies), &removed, rng);
    onion::seal(&HopKdf::new(&context.hop_context(place)), returns, &replies)
}

/// Puts random bytes where records were removed.
fn refill(replies: Records, removed: &[u32], rng: &mut ChaCha20Rng) -> Records {
    if removed.is_empty() {
        return replies;
    }
    let mut filled = super::random_records(replies.width(), replies.len() + removed.len(), rng);
    let mut next = replies.iter();
    for index in (0..filled.len()).filter(|&index| removed.binary_search(&(index as u32)).is_err()) {
        filled.record_mut(index).copy_from_slice(next.next().expect("as many replies as records put out"));
    }
    filled
}
