//! Evidence: what anyone can check against a server or a client, from public things alone.
//!
//! Evidence is made of what the guilty have signed. [`Evidence::verify`] is the only maker of a [`Verdict`], and nobody
//! is treated as guilty without one; silence, and what only one server has seen, is never evidence.

mod basis;
mod case;
pub(crate) mod entry;
pub(crate) mod queue;
pub(crate) mod rules;
mod shown;
mod signed;
mod trace;

use std::{collections::BTreeSet, sync::Arc};

use hippodrome_crypto::{
    group::Element,
    hash::{Digest, Hasher},
    key_list::KeyList,
    shuffle::{
        self, ShuffleError, ShuffleProof, Statement as ShuffleStatement, VerifiedHop, aggregate,
        aggregate::AggregateProof,
    },
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::CryptoRng;

pub use self::{
    basis::RoundBasis,
    case::{Case, CaseError, RosterRecord},
    rules::BrokenRule,
    shown::{Accusation, ParcelPlace, Showing, ShownEntry, ShownRecord, Source, TraceStep, removal},
    signed::{SignedStatement, Statement},
    trace::{Flaw, Stopped, Trace, Trail},
};
pub(crate) use self::{
    shown::{Secret, before, powers_context},
    trace::{Output, faulty_payloads},
};
use crate::{
    audit::{self, FalseOpening, OpeningCase},
    claim::{FalseClaim, Finding, NoiseCase},
    ids::{Author, Place, ServerId},
    message::{Batch, InputCommitment, InputOffer, Parcel, Proof, SignedBatch},
    params::Verification,
    pledge::{NoisePledge, PledgeError},
    reply::{self, ReplyCase},
    statement,
};

/// What is shown against somebody about one round.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// Two different statements of which a server may sign one.
    Equivocation(Box<[SignedStatement; 2]>),
    /// A first hop's batch that was not made from the input that the same server signed.
    Unlinked(Box<Unlinked>),
    /// A proof that does not hold.
    BadProof(Box<BadProof>),
    /// An input with an entry that should not have been let in.
    BadInput(Box<InputOffer>),
    /// A batch with keys that no honest hop puts out.
    BadBatch(Box<Batch>),
    /// A parcel with a record that should not have been sent.
    BadParcel(Box<Parcel>),
    /// An accusation that does not hold.
    FalseAccusation(Arc<Accusation>),
    /// A trace whose last step does not add up.
    WrongStep(Traced),
    /// A trace that ends at authors.
    Trail(Traced),
    /// A claim that noise is missing, with what was shown of it.
    Noise(Box<NoiseCase>),
    /// A claim that a reply was spoiled, with what was shown of it.
    Reply(Box<ReplyCase>),
    /// A pledge of noise that proves nothing.
    BadPledge(Box<BadPledge>),
    /// The opening of noise that is not what was pledged, or not what was sent.
    FalseOpening(Box<OpeningCase>),
}

/// A pledge that a round's descriptor holds for a server: all active servers have signed the descriptor, and an honest one
/// signs none that has another pledge than its own in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPledge {
    /// The server.
    pub server: ServerId,
    /// What it pledged.
    pub pledge: NoisePledge,
}

/// An accusation with steps, in an order in which they can be followed.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The accusation.
    pub accusation: Arc<Accusation>,
    /// The steps.
    pub steps: Vec<Arc<TraceStep>>,
}

/// An input that a chain's first server signed, and the batch that it signed as the first hop.
#[derive(Clone, Copy, Debug)]
pub struct Unlinked {
    /// The input.
    pub input: InputCommitment,
    /// The first server's signature on it.
    pub signature: hippodrome_crypto::signing::Signature,
    /// The batch.
    pub batch: SignedBatch,
}

/// A proof with the keys that it is about.
#[derive(Clone, Debug)]
pub struct BadProof {
    /// The proof, with the keys that were put out.
    pub proof: Proof,
    /// The keys that went in; none are needed if the proof's source is what is wrong.
    pub inputs: Vec<Element>,
}

/// Who is guilty, and of what. Only [`Evidence::verify`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    guilty: BTreeSet<Author>,
    offence: Offence,
}

impl Verdict {
    /// Servers and clients that are guilty, at least one.
    pub fn guilty(&self) -> &BTreeSet<Author> {
        &self.guilty
    }

    /// The servers among them.
    pub fn servers(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.guilty.iter().filter_map(|author| match author {
            Author::Server(server) => Some(*server),
            Author::Client(_) => None,
        })
    }

    /// What they did.
    pub fn offence(&self) -> &Offence {
        &self.offence
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, author) in self.guilty.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{author}")?;
        }
        write!(f, ": {}", self.offence)
    }
}

/// Evidence with what judging it gave.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) evidence: Arc<Evidence>,
    pub(crate) verdict: Result<Verdict, NotProven>,
}

impl Judged {
    pub(crate) fn new(basis: &RoundBasis, evidence: impl Into<Arc<Evidence>>) -> Self {
        let evidence = evidence.into();
        let verdict = evidence.verify(basis);
        Self { evidence, verdict }
    }
}

/// What somebody is guilty of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Offence {
    /// Two statements where there may be one.
    #[error("it signed two different statements where it may sign only one")]
    Equivocation,
    /// A batch that does not come from the signed input.
    #[error("it mixed another batch than the input that it signed")]
    Unlinked,
    /// A proof whose source is wrong.
    #[error("its proof is not about the batch that the hop before it signed")]
    WrongSource,
    /// A proof that does not hold.
    #[error("its proof does not hold: {0}")]
    BadProof(ShuffleError),
    /// An input that breaks a rule.
    #[error("the input that it signed breaks a rule: {0}")]
    BadInput(BrokenRule),
    /// A batch that breaks a rule.
    #[error("the batch that it signed breaks a rule: {0}")]
    BadBatch(BrokenRule),
    /// A parcel that breaks a rule.
    #[error("the parcel that it signed breaks a rule: {0}")]
    BadParcel(BrokenRule),
    /// A false accusation.
    #[error("its accusation does not hold: {0}")]
    FalseAccusation(Flaw),
    /// A false step.
    #[error("its step of a trace does not add up: {0}")]
    WrongStep(Flaw),
    /// A record that came in and did not go out.
    #[error("it was given a record of noise and put out something else")]
    DroppedNoise,
    /// A false claim.
    #[error("it claimed falsely that noise is missing: {0}")]
    FalseClaim(FalseClaim),
    /// A reply that did not come back as it should.
    #[error("it did not send back what it was given, sealed for the record that it answers")]
    SpoiledReply,
    /// A pledge that does not hold.
    #[error("its pledge of noise does not hold: {0}")]
    BadPledge(PledgeError),
    /// Other noise than was pledged.
    #[error("the noise that it opened is false: {0}")]
    FalseOpening(FalseOpening),
    /// A malformed submission.
    #[error("the trace of malformed records ends at submissions that are signed by it")]
    MalformedSubmission,
}

/// Why evidence shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// It is about another round, or about chains and servers that the round does not have.
    #[error("it is about a round, chain or server that this descriptor does not have")]
    Elsewhere,
    /// A signature on which it rests does not hold.
    #[error("a signature on which it rests does not hold")]
    Unsigned,
    /// What it shows is not what was signed.
    #[error("the records or keys that it shows are not the ones that were signed")]
    NotWhatWasSigned,
    /// What it shows breaks no rule.
    #[error("what it shows breaks no rule: nobody is guilty of it")]
    NothingWrong,
    /// A trace that goes on, or whose steps do not belong to it.
    #[error("the trace does not end: a step is missing, or does not belong to it")]
    Unfinished,
}

impl Evidence {
    /// Judges the evidence from what is public about the round. Everybody comes to the same verdict.
    pub fn verify(&self, basis: &RoundBasis) -> Result<Verdict, NotProven> {
        let rng = &mut self.weights(basis.digest());
        match self {
            Self::Equivocation(signed) => judge_equivocation(basis, signed),
            Self::Unlinked(unlinked) => judge_unlinked(basis, unlinked),
            Self::BadProof(bad) => judge_proof(basis, bad, rng),
            Self::BadInput(offer) => judge_input(basis, offer, rng),
            Self::BadBatch(batch) => judge_batch(basis, batch),
            Self::BadParcel(parcel) => judge_parcel(basis, parcel, rng),
            Self::FalseAccusation(accusation) => judge_accusation(basis, accusation, rng),
            Self::WrongStep(traced) => judge_step(basis, traced, rng),
            Self::Trail(traced) => judge_trail(basis, traced, rng),
            Self::Noise(case) => judge_noise(basis, case, rng),
            Self::Reply(case) => judge_reply(basis, case),
            Self::BadPledge(bad) => judge_pledge(basis, bad),
            Self::FalseOpening(case) => judge_opening(basis, case),
        }
    }

    /// The weights of batched checks: they follow from everything that is checked, so that nobody can choose one after
    /// the other.
    fn weights(&self, descriptor: &Digest) -> ChaCha20Rng {
        let encoded = |elements: &[Element]| elements.iter().map(|element| *element.encoded()).collect::<Vec<_>>();
        let hasher = Hasher::new("hippodrome v1 weights of a judgement").digest(descriptor);
        let hasher = match self {
            Self::Equivocation(_)
            | Self::Unlinked(_)
            | Self::BadBatch(_)
            | Self::Reply(_)
            | Self::BadPledge(_)
            | Self::FalseOpening(_) => hasher,
            Self::BadProof(bad) => {
                hasher.list(encoded(&bad.inputs).iter()).list(encoded(&bad.proof.keys).iter()).bytes(&bad.proof.proof)
            }
            Self::BadInput(offer) => hasher.bytes(&offer.entries),
            Self::BadParcel(parcel) => hasher.bytes(&parcel.records),
            Self::FalseAccusation(accusation) => hasher.digest(&accusation.digest(descriptor)),
            Self::WrongStep(traced) | Self::Trail(traced) => traced.hash(hasher, descriptor),
            Self::Noise(case) => case.trail.iter().fold(hasher, |hasher, traced| traced.hash(hasher, descriptor)),
        };
        ChaCha20Rng::from_seed(*hasher.finish().as_bytes())
    }

    /// Bytes that it takes in memory, about.
    pub(crate) fn len_bytes(&self) -> usize {
        match self {
            Self::Equivocation(_) | Self::Unlinked(_) => 0,
            Self::BadProof(bad) => bad.proof.proof.len() + 32 * (bad.proof.keys.len() + bad.inputs.len()),
            Self::BadInput(offer) => offer.entries.len(),
            Self::BadBatch(batch) => batch.records.len(),
            Self::BadParcel(parcel) => parcel.records.len(),
            Self::FalseAccusation(accusation) => accusation.len_bytes(),
            Self::WrongStep(traced) | Self::Trail(traced) => traced.len_bytes(),
            Self::Noise(case) => case.len_bytes(),
            Self::Reply(case) => case.len_bytes(),
            Self::BadPledge(bad) => bad.pledge.len_bytes(),
            Self::FalseOpening(case) => case.len_bytes(),
        }
    }
}

impl Traced {
    /// Adds everything that is checked of it.
    fn hash(&self, hasher: Hasher, descriptor: &Digest) -> Hasher {
        let hasher = hasher.digest(&self.accusation.digest(descriptor));
        self.steps.iter().fold(hasher, |hasher, step| hasher.digest(&step.digest(descriptor)))
    }

    /// Bytes that it takes in memory, about.
    pub(crate) fn len_bytes(&self) -> usize {
        self.accusation.len_bytes() + self.steps.iter().map(|step| step.len_bytes()).sum::<usize>()
    }
}

fn guilty(server: ServerId, offence: Offence) -> Verdict {
    Verdict { guilty: BTreeSet::from([Author::Server(server)]), offence }
}

/// The server at a place of an open chain of the round.
fn server_at(basis: &RoundBasis, place: Place) -> Result<ServerId, NotProven> {
    basis.server_at(place).filter(|_| basis.has(place.stage)).ok_or(NotProven::Elsewhere)
}

fn judge_noise<R: CryptoRng>(basis: &RoundBasis, case: &NoiseCase, rng: &mut R) -> Result<Verdict, NotProven> {
    let trace = case.trail.as_ref().map(|traced| follow(basis, &traced.accusation, &traced.steps, rng)).transpose()?;
    let trail = trace.as_ref().and_then(Trace::trail);
    match case.judge(basis, trail.as_ref()) {
        Finding::Dropped(server) => Ok(guilty(server, Offence::DroppedNoise)),
        Finding::False(why) => Ok(guilty(case.claim.claimant, Offence::FalseClaim(why))),
        Finding::Open(_) => Err(NotProven::Unfinished),
        Finding::Nothing => Err(NotProven::NothingWrong),
    }
}

fn judge_reply(basis: &RoundBasis, case: &ReplyCase) -> Result<Verdict, NotProven> {
    match case.judge(basis) {
        reply::Finding::Spoiled(server) => Ok(guilty(server, Offence::SpoiledReply)),
        reply::Finding::Open => Err(NotProven::Unfinished),
        reply::Finding::Nothing => Err(NotProven::NothingWrong),
    }
}

/// Whether the round's descriptor holds the pledge for the server.
fn is_pledged(basis: &RoundBasis, server: ServerId, pledge: &NoisePledge) -> bool {
    let index = basis.active().binary_search(&server).ok();
    index.is_some_and(|index| basis.descriptor.pledges().get(index) == Some(&pledge.digest()))
}

fn judge_pledge(basis: &RoundBasis, BadPledge { server, pledge }: &BadPledge) -> Result<Verdict, NotProven> {
    if !is_pledged(basis, *server, pledge) {
        return Err(NotProven::NotWhatWasSigned);
    }
    match pledge.verify(&basis.pledge_terms(*server)) {
        Ok(_) => Err(NotProven::NothingWrong),
        Err(error) => Ok(guilty(*server, Offence::BadPledge(error))),
    }
}

fn judge_opening(basis: &RoundBasis, case: &OpeningCase) -> Result<Verdict, NotProven> {
    let server = case.opening.server;
    if !is_pledged(basis, server, &case.pledge) {
        return Err(NotProven::NotWhatWasSigned);
    }
    match case.judge(basis) {
        audit::Finding::False(why) => Ok(guilty(server, Offence::FalseOpening(why))),
        audit::Finding::Holds => Err(NotProven::NothingWrong),
        audit::Finding::Unsigned => Err(NotProven::Unsigned),
    }
}

fn judge_equivocation(basis: &RoundBasis, [one, two]: &[SignedStatement; 2]) -> Result<Verdict, NotProven> {
    if !one.contradicts(basis, two) {
        return Err(NotProven::NothingWrong);
    }
    if !one.holds(basis) || !two.holds(basis) {
        return Err(NotProven::Unsigned);
    }
    Ok(guilty(one.signer, Offence::Equivocation))
}

fn judge_unlinked(basis: &RoundBasis, unlinked: &Unlinked) -> Result<Verdict, NotProven> {
    let Unlinked { input, signature, batch } = unlinked;
    let first = server_at(basis, batch.batch.place)?;
    if batch.batch.place.position.0 > 0 || batch.batch.place.stage != input.stage {
        return Err(NotProven::Elsewhere);
    }
    let signed = basis.signed_by(first, &statement::input(basis.digest(), input), signature);
    if !signed || !basis.batch_is_signed(batch) {
        return Err(NotProven::Unsigned);
    }
    let links = unlinked.links(basis.verification());
    if links { Err(NotProven::NothingWrong) } else { Ok(guilty(first, Offence::Unlinked)) }
}

impl Unlinked {
    /// Whether the batch was made from the input, as far as their signed digests tell. Without verification a hop drops
    /// what does not open, and signs no removal: there only the root tells.
    pub(crate) fn links(&self, mode: Verification) -> bool {
        let Self { input, batch: SignedBatch { batch, .. }, .. } = self;
        let untouched = mode != Verification::None && batch.removed == statement::no_removals();
        batch.source == input.root && (!untouched || (batch.source_keys, batch.count) == (input.keys, input.count))
    }
}

fn judge_proof<R: CryptoRng>(basis: &RoundBasis, bad: &BadProof, rng: &mut R) -> Result<Verdict, NotProven> {
    let BadProof { proof, inputs } = bad;
    let prover = server_at(basis, proof.batch.place)?;
    let is_signed = basis.batch_is_signed(&SignedBatch { batch: proof.batch, signature: proof.signature });
    if !is_signed || !proof_is_signed(basis, prover, proof) {
        return Err(NotProven::Unsigned);
    }
    if !source_fits(basis, proof) {
        return Ok(guilty(prover, Offence::WrongSource));
    }
    // Nobody computes over more keys than a hop can have been given.
    let limit = rules::layer_limit(basis, proof.batch.place.stage.layer) as usize;
    if inputs.len() > limit || proof.keys.len() > limit {
        return Err(NotProven::NotWhatWasSigned);
    }
    let (inputs, outputs) = (KeyList::new(inputs.clone()), KeyList::new(proof.keys.clone()));
    if (*inputs.digest(), *outputs.digest()) != (proof.batch.source_keys, proof.batch.keys) {
        return Err(NotProven::NotWhatWasSigned);
    }
    match check_proof(basis, proof, &inputs, &outputs, rng) {
        Ok(_) => Err(NotProven::NothingWrong),
        Err(error) => Ok(guilty(prover, Offence::BadProof(error))),
    }
}

/// Whether the prover has signed batch, source and proof.
pub(crate) fn proof_is_signed(basis: &RoundBasis, prover: ServerId, proof: &Proof) -> bool {
    let Proof { batch, source, proof, proof_signature, .. } = proof;
    basis.signed_by(prover, &statement::proof(basis.digest(), batch, source.as_ref(), proof), proof_signature)
}

/// Whether a proof names, as what its batch was made from, what the hop before has signed; a first hop names nothing,
/// since its input is signed by itself.
pub(crate) fn source_fits(basis: &RoundBasis, proof: &Proof) -> bool {
    let batch = &proof.batch;
    match (&proof.source, before(batch.place)) {
        (None, None) => true,
        (Some(source), Some(before)) => {
            let untouched = batch.removed == statement::no_removals();
            let same_keys = (batch.source_keys, batch.count) == (source.batch.keys, source.batch.count);
            source.batch.place == before
                && basis.batch_is_signed(source)
                && source.batch.root == batch.source
                && (!untouched || same_keys)
        }
        _ => false,
    }
}

/// Verifies a hop's proof between two lists of keys.
pub(crate) fn check_proof<R: CryptoRng>(
    basis: &RoundBasis,
    proof: &Proof,
    inputs: &KeyList,
    outputs: &KeyList,
    rng: &mut R,
) -> Result<VerifiedHop, ShuffleError> {
    let statement = shuffle_statement(basis, &proof.batch);
    match basis.verification() {
        Verification::Full => {
            let proof = ShuffleProof::parse(&proof.proof, inputs.len())?;
            shuffle::verify(&statement, inputs, outputs, &proof, rng)
        }
        Verification::Aggregate | Verification::None => {
            let length = ShuffleError::Length { expected: AggregateProof::LEN, actual: proof.proof.len() };
            let proof = AggregateProof::parse(proof.proof.as_slice().try_into().map_err(|_| length)?)?;
            aggregate::verify(&statement, inputs, outputs, &proof)
        }
    }
}

/// What the proof about a batch states; panics for a place that the network does not have.
pub(crate) fn shuffle_statement(basis: &RoundBasis, batch: &crate::message::BatchCommitment) -> ShuffleStatement {
    let server = basis.server_at(batch.place).expect("places of the layout");
    let (base, blinded_base) = basis.blinding(batch.place);
    ShuffleStatement {
        context: basis.hop_statement(batch.place, server),
        base,
        blinded_base,
        input_root: batch.source,
        output_root: batch.root,
        removed: batch.removed,
    }
}

fn judge_input<R: CryptoRng>(basis: &RoundBasis, offer: &InputOffer, rng: &mut R) -> Result<Verdict, NotProven> {
    let InputOffer { input, signature, entries, .. } = offer;
    if !basis.has(input.stage) {
        return Err(NotProven::Elsewhere);
    }
    let first = basis.first_of(input.stage);
    if !basis.signed_by(first, &statement::input(basis.digest(), input), signature) {
        return Err(NotProven::Unsigned);
    }
    if !rules::entries_are_of(basis, input, entries) {
        return Err(NotProven::NotWhatWasSigned);
    }
    let checked = rules::check_entries(basis, input, entries)
        .and_then(|_| rules::check_signatures(basis, input.stage, entries, rng));
    match checked {
        Ok(()) => Err(NotProven::NothingWrong),
        Err(rule) => Ok(guilty(first, Offence::BadInput(rule))),
    }
}

fn judge_batch(basis: &RoundBasis, batch: &Batch) -> Result<Verdict, NotProven> {
    let Batch { batch, signature, records } = batch;
    let server = server_at(basis, batch.place)?;
    if batch.place.position >= basis.last_position() {
        return Err(NotProven::Elsewhere);
    }
    if !basis.batch_is_signed(&SignedBatch { batch: *batch, signature: *signature }) {
        return Err(NotProven::Unsigned);
    }
    let width = basis.sizes.record(batch.place.stage.layer.0.into(), usize::from(batch.place.position.0) + 1);
    let records = hippodrome_crypto::records::Records::from_bytes(width, records.clone());
    let records = records.map_err(|_| NotProven::NotWhatWasSigned)?;
    if hippodrome_crypto::merkle::root_of(&hippodrome_crypto::merkle::leaves(&records)) != batch.root {
        return Err(NotProven::NotWhatWasSigned);
    }
    match rules::check_batch(batch, &records) {
        Ok(_) => Err(NotProven::NothingWrong),
        Err(rule) => Ok(guilty(server, Offence::BadBatch(rule))),
    }
}

fn judge_parcel<R: CryptoRng>(basis: &RoundBasis, parcel: &Parcel, rng: &mut R) -> Result<Verdict, NotProven> {
    let commitment = rules::parcel_commitment(basis, parcel).ok_or(NotProven::Elsewhere)?;
    let sender = basis.last_of(commitment.source);
    let signed =
        SignedStatement { signer: sender, statement: Statement::Parcel(commitment), signature: parcel.signature };
    if !signed.holds(basis) {
        return Err(NotProven::Unsigned);
    }
    let records = rules::parcel_records(basis, &commitment, &parcel.records).ok_or(NotProven::NotWhatWasSigned)?;
    match rules::check_parcel(basis, &commitment, &records, rng) {
        Ok(_) => Err(NotProven::NothingWrong),
        Err(rule) => Ok(guilty(sender, Offence::BadParcel(rule))),
    }
}

fn judge_accusation<R: CryptoRng>(
    basis: &RoundBasis,
    accusation: &Arc<Accusation>,
    rng: &mut R,
) -> Result<Verdict, NotProven> {
    match Trace::open(basis, Arc::clone(accusation), rng) {
        Ok(_) => Err(NotProven::NothingWrong),
        Err(Stopped::Unheard) => Err(NotProven::Unsigned),
        Err(Stopped::Flawed(flaw)) => Ok(guilty(server_at(basis, accusation.place)?, Offence::FalseAccusation(flaw))),
    }
}

fn follow<R: CryptoRng>(
    basis: &RoundBasis,
    accusation: &Arc<Accusation>,
    steps: &[Arc<TraceStep>],
    rng: &mut R,
) -> Result<Trace, NotProven> {
    let open = Trace::open(basis, Arc::clone(accusation), rng).map_err(|_| NotProven::Unfinished)?;
    steps
        .iter()
        .try_fold(open, |trace, step| trace.follow(basis, Arc::clone(step), rng).map_err(|_| NotProven::Unfinished))
}

fn judge_step<R: CryptoRng>(basis: &RoundBasis, traced: &Traced, rng: &mut R) -> Result<Verdict, NotProven> {
    let (last, good) = traced.steps.split_last().ok_or(NotProven::Unfinished)?;
    let trace = follow(basis, &traced.accusation, good, rng)?;
    match trace.follow(basis, Arc::clone(last), rng) {
        Ok(_) => Err(NotProven::NothingWrong),
        Err(Stopped::Unheard) => Err(NotProven::Unsigned),
        Err(Stopped::Flawed(flaw)) => Ok(guilty(server_at(basis, last.place)?, Offence::WrongStep(flaw))),
    }
}

fn judge_trail<R: CryptoRng>(basis: &RoundBasis, traced: &Traced, rng: &mut R) -> Result<Verdict, NotProven> {
    let trace = follow(basis, &traced.accusation, &traced.steps, rng)?;
    trace.verdict().ok_or(NotProven::Unfinished)
}

impl Trace {
    /// The verdict over the authors at whom the trace ends, once it has ended.
    pub fn verdict(&self) -> Option<Verdict> {
        let guilty = self.trail()?.authors().clone();
        Some(Verdict { guilty, offence: Offence::MalformedSubmission })
    }
}
