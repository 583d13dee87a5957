//! Claims of noise that is missing: what an owner shows of one record, and what follows from it.
//!
//! The owner shows one of its missing records: where it stands in its chain's input, which all members signed, and its
//! exponent in every layer up to the one where it is missing, never of a later one. Everybody then recomputes the record's
//! way. Nobody else opens anything. See `paper-notes/src/receipts.md`.

use hippodrome_crypto::{
    fingerprint::{FINGERPRINT_LEN, fingerprint},
    group::{Element, ShownScalar},
    hash::{Digest, Hasher},
    merkle::{self, InclusionProof},
    onion::ShownOnion,
    signing::Signature,
};

use crate::{
    descriptor::Descriptor,
    ids::{Layer, ServerId, Stage},
    message::InputCommitment,
    statement,
    submission::{Forwarded, ParcelRecord},
};

/// Server → everyone: one of its noise records has been lost between two layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoiseClaim {
    /// The owner.
    pub claimant: ServerId,
    /// The record.
    pub record: ShownSubmission,
    /// Its exponents in layer 0, 1 and so on; its input into the layer after these lacks it.
    pub exponents: Vec<ShownScalar>,
    /// [`crate::statement::input`] of the input that lacks it.
    pub lacking: Digest,
    /// The owner's, over all of it.
    pub signature: Signature,
}

/// A submission in its chain's signed input, with its branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSubmission {
    /// The input chain.
    pub stage: Stage,
    /// [`crate::statement::input`] of its input.
    pub input: Digest,
    /// Place in the input.
    pub index: u32,
    /// The body; the key follows from the exponent.
    pub body: Vec<u8>,
    /// From the record to the input's root.
    pub path: InclusionProof,
}

/// Why a signed claim is false, whatever anybody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FalseClaim {
    /// It shows exponents for no layer, or for more than lie before the last.
    #[error("it does not show one exponent for each layer before the one where the record is missing")]
    Layers,
    /// There is no such record in the input.
    #[error("the record is not in the input that it is said to be in")]
    NotInInput,
    /// An exponent that is not the record's.
    #[error("the exponent shown for {0} is not the record's")]
    ForeignExponent(Layer),
    /// The record was never well-formed.
    #[error("the record is malformed in {0}")]
    Malformed(Layer),
    /// The record is there.
    #[error("the input that is said to lack the record lists it")]
    Listed,
    /// The owner sent the record's key twice.
    #[error("the record was left out by rule: its author used one key twice")]
    Doubled,
}

/// A record that was followed up to where it is missing. Only [`follow`] makes it.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// The parcel record into each layer after layer 0, with the chains that it goes from and to.
    steps: Vec<Step>,
}

/// A record on its way from one layer to the next.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) source: Stage,
    pub(crate) destination: Stage,
    pub(crate) record: ParcelRecord,
}

impl NoiseClaim {
    /// What the owner signs.
    pub fn statement(&self, descriptor: &Digest) -> Digest {
        statement::claim(descriptor, &self.content())
    }

    /// Digest of everything but the signature.
    pub fn content(&self) -> Digest {
        let hasher = Hasher::new("hippodrome v1 noise claim's content")
            .number(self.claimant.0.into())
            .digest(&self.record.digest())
            .digest(&self.lacking)
            .number(self.exponents.len() as u64);
        self.exponents.iter().fold(hasher, |hasher, exponent| hasher.bytes(&exponent.encoded())).finish()
    }

    /// Bytes of what is not of fixed size.
    pub(crate) fn body_len(&self) -> usize {
        let ShownSubmission { body, path, .. } = &self.record;
        body.len() + std::mem::size_of_val(&*path.0) + std::mem::size_of_val(&*self.exponents)
    }
}

impl ShownSubmission {
    /// Digest of everything shown.
    pub fn digest(&self) -> Digest {
        Hasher::new("hippodrome v1 shown submission")
            .number(self.stage.layer.0.into())
            .number(self.stage.chain.0.into())
            .digest(&self.input)
            .number(self.index.into())
            .bytes(&self.body)
            .list(self.path.0.iter().map(|sibling| sibling.as_bytes()))
            .finish()
    }

    /// Whether the record with this key is where it is said to be in `input`.
    pub(crate) fn is_in(&self, input: &InputCommitment, key: &Element) -> bool {
        let leaf = merkle::leaf(key.encoded(), &merkle::body_hash(&self.body));
        merkle::verify(&input.root, input.count.into(), self.index.into(), &leaf, &self.path).is_ok()
    }
}

/// Whether the descriptor has keys for a stage: an open chain of its round.
fn has(descriptor: &Descriptor, stage: Stage) -> bool {
    stage.round == descriptor.round() && descriptor.roster().is_open(stage.layer, stage.chain)
}

fn onion(descriptor: &Descriptor, stage: Stage, exponent: &ShownScalar) -> ShownOnion {
    let hops = descriptor.chain(stage.layer, stage.chain);
    ShownOnion::new(descriptor.digest(), stage.layer.0, stage.chain.0, hops, exponent)
}

/// Follows the record of a claim whose signature holds. `input` is the signed input of the record's chain.
pub(crate) fn follow(
    descriptor: &Descriptor,
    input: &InputCommitment,
    claim: &NoiseClaim,
) -> Result<Followed, FalseClaim> {
    let NoiseClaim { record, exponents, .. } = claim;
    let Some((first, later)) =
        exponents.split_first().filter(|_| exponents.len() < descriptor.roster().open_layers().len())
    else {
        return Err(FalseClaim::Layers);
    };
    if !has(descriptor, record.stage) || record.stage.layer != Layer(0) {
        return Err(FalseClaim::NotInInput);
    }
    let first_onion = onion(descriptor, record.stage, first);
    if !record.is_in(input, first_onion.first_key()) {
        return Err(FalseClaim::NotInInput);
    }
    let mut steps = vec![step(descriptor, record.stage, &first_onion, &record.body)?];
    for exponent in later {
        let Step { destination: stage, record, .. } = &steps[steps.len() - 1];
        let next_onion = onion(descriptor, *stage, exponent);
        if *next_onion.first_key() != record.key {
            return Err(FalseClaim::ForeignExponent(stage.layer));
        }
        let next = step(descriptor, *stage, &next_onion, &record.body)?;
        steps.push(next);
    }
    Ok(Followed { steps })
}

/// Follows a record through one chain, to the parcel that it leaves in.
fn step(descriptor: &Descriptor, source: Stage, onion: &ShownOnion, body: &[u8]) -> Result<Step, FalseClaim> {
    let malformed = FalseClaim::Malformed(source.layer);
    let bodies = onion.open(body).map_err(|_| malformed)?;
    let payload = bodies.last().ok_or(malformed)?;
    let Forwarded { destination, record } = Forwarded::decode(payload).map_err(|_| malformed)?;
    let destination = Stage { layer: Layer(source.layer.0 + 1), chain: destination, ..source };
    if !has(descriptor, destination) {
        return Err(malformed);
    }
    let claim = record.claim(descriptor.digest(), destination.layer, source.chain, destination.chain);
    claim.proof.verify(&Element::base(), &claim.public, &claim.context).map_err(|_| malformed)?;
    Ok(Step { source, destination, record })
}

impl Followed {
    /// The step after which the record is missing.
    pub(crate) fn last(&self) -> &Step {
        self.steps.last().expect("a claim shows at least one exponent")
    }

    /// The steps before it: into these chains the record did come, if the claim is true.
    pub(crate) fn earlier(&self) -> &[Step] {
        &self.steps[..self.steps.len() - 1]
    }
}

impl Step {
    /// The leaf of the record in the input of its destination.
    pub(crate) fn input_leaf(&self) -> Digest {
        merkle::leaf(self.record.key.encoded(), &merkle::body_hash(&self.record.body))
    }

    /// Whether a parcel's records hold it, byte for byte.
    fn is_among(&self, records: &[u8]) -> bool {
        let record = self.record.encode();
        records.chunks_exact(record.len()).any(|other| other == record)
    }
}

/// Who dropped a record that was followed to where it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The last server of the source: its signed parcel lacks the record.
    BySender,
    /// The first server of the destination: the parcel has it, the input that it signed does not.
    ByReceiver,
}

/// Judges a claim that was followed, by the input that is said to lack the record: its fingerprints and the keys left
/// out of it by rule, both of which all members signed, and by the records of the parcel in which it should have come.
pub(crate) fn judge(
    followed: &Followed,
    input: &InputCommitment,
    fingerprints: &[u8],
    left_out: &[Element],
    parcel: &[u8],
) -> Result<Dropped, FalseClaim> {
    let step = followed.last();
    check_absent(step, input, fingerprints, left_out)?;
    Ok(if step.is_among(parcel) { Dropped::ByReceiver } else { Dropped::BySender })
}

/// Checks that the signed input does not list the record, and that no rule left it out.
pub(crate) fn check_absent(
    step: &Step,
    input: &InputCommitment,
    fingerprints: &[u8],
    left_out: &[Element],
) -> Result<(), FalseClaim> {
    let own = fingerprint(&input.root, &step.record.key);
    if fingerprints.as_chunks::<FINGERPRINT_LEN>().0.contains(&own) {
        return Err(FalseClaim::Listed);
    }
    if left_out.contains(&step.record.key) {
        return Err(FalseClaim::Doubled);
    }
    Ok(())
}
