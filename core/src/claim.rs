//! Claims of noise that is missing: what an owner shows of one record, and what follows from it.
//!
//! The owner shows one of its missing records: where it stands in its chain's input, which all members signed, and its
//! exponent in every layer up to the one where it is missing, never of a later one. Everybody then recomputes the record's
//! way. Nobody else opens anything. See `paper-notes/src/receipts.md`.

use std::ops::Range;

use hippodrome_crypto::{
    fingerprint::{FINGERPRINT_LEN, fingerprint},
    group::{ENCODED_LEN, Element, ShownScalar},
    hash::{Digest, Hasher},
    merkle::{self, InclusionProof},
    onion::ShownOnion,
    signing::Signature,
};

use crate::{
    evidence::{RoundBasis, Traced, Trail, rules},
    ids::{Layer, Place, Position, ServerId, Stage},
    message::{AgreedInput, BatchCommitment, InputCommitment, Parcel, ShownPart},
    params::Verification,
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
    /// It is another's record, or nobody's.
    #[error("the record is not one of the claimant's own")]
    Foreign,
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
}

/// Everything that is shown about one claim, by which anybody can judge it.
#[derive(Clone, Debug)]
pub struct NoiseCase {
    /// The claim.
    pub claim: NoiseClaim,
    /// The inputs of the chains on the record's way, layer by layer; the last lacks it.
    pub inputs: Vec<AgreedInput>,
    /// The fingerprints that the last one lists.
    pub fingerprints: Vec<u8>,
    /// The keys that were left out of it.
    pub left_out: Vec<Element>,
    /// What servers have shown of the record.
    pub shown: Vec<ShownPart>,
    /// The trail of what was removed from the batch of the last server of the chain that lost it, if something was.
    pub trail: Option<Traced>,
}

/// What follows from a case.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// This server received the record and put out something else.
    Dropped(ServerId),
    /// The claim is false, and its signer guilty.
    False(FalseClaim),
    /// The claim holds so far, and not enough is shown to say more.
    Open(Box<Followed>),
    /// Nothing: it is not signed, or about inputs that are not the ones here, or about a record that is said to have been
    /// left out by rule. Members that all cheat can say that of any, so that it shows nothing about its author.
    Nothing,
}

/// A record that was followed up to where it is missing. Only [`follow`] makes it.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// One for each layer before the one that lacks it.
    steps: Vec<Step>,
}

/// A record on its way through one chain to the next layer.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) source: Stage,
    pub(crate) destination: Stage,
    /// What each hop but the last puts out: key and digest of the body.
    hops: Vec<([u8; ENCODED_LEN], Digest)>,
    record: ParcelRecord,
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

    /// Whether it can be made in the round, and its owner has signed it.
    pub(crate) fn is_signed(&self, basis: &RoundBasis) -> bool {
        may_be_made(basis)
            && basis.roster.is_active(self.claimant)
            && basis.signed_by(self.claimant, &self.statement(basis.digest()), &self.signature)
    }

    /// Bytes of what is not of fixed size.
    pub(crate) fn body_len(&self) -> usize {
        self.record.body_len() + std::mem::size_of_val(&*self.exponents)
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

    /// Bytes of what is not of fixed size.
    pub(crate) fn body_len(&self) -> usize {
        self.body.len() + std::mem::size_of_val(&*self.path.0)
    }

    /// Whether the record with this key is where it is said to be in `input`.
    pub(crate) fn is_in(&self, input: &InputCommitment, key: &Element) -> bool {
        let leaf = merkle::leaf(key.encoded(), &merkle::body_hash(&self.body));
        merkle::verify(&input.root, input.count.into(), self.index.into(), &leaf, &self.path).is_ok()
    }
}

/// Whether a record stands where the claimant's noise stands: members sign only inputs that end with the noise of all
/// active servers, in their order.
fn is_own(basis: &RoundBasis, input: &InputCommitment, claim: &NoiseClaim) -> bool {
    own_places(basis, input.count, claim.claimant).is_some_and(|own| own.contains(&claim.record.index))
}

/// Where the noise of an active server stands in an input of layer 0 with so many records.
pub(crate) fn own_places(basis: &RoundBasis, count: u32, owner: ServerId) -> Option<Range<u32>> {
    let each = basis.roster.noise_per_chain();
    let later = basis.active().iter().rev().position(|server| *server == owner)? as u32;
    let end = count.checked_sub(later.checked_mul(each)?)?;
    Some(end.checked_sub(each)?..end)
}

pub(crate) fn onion(basis: &RoundBasis, stage: Stage, exponent: &ShownScalar) -> ShownOnion {
    let hops = basis.descriptor.chain(stage.layer, stage.chain);
    ShownOnion::new(basis.digest(), stage.layer.0, stage.chain.0, hops, exponent)
}

/// Follows the record of a claim whose signature holds. `input` is the signed input of the record's chain.
pub(crate) fn follow(basis: &RoundBasis, input: &InputCommitment, claim: &NoiseClaim) -> Result<Followed, FalseClaim> {
    let NoiseClaim { record, exponents, .. } = claim;
    let Some((first, later)) = exponents.split_first().filter(|_| exponents.len() <= basis.last_layer().0.into())
    else {
        return Err(FalseClaim::Layers);
    };
    if !is_own(basis, input, claim) {
        return Err(FalseClaim::Foreign);
    }
    let first_onion = onion(basis, record.stage, first);
    if !record.is_in(input, first_onion.first_key()) {
        return Err(FalseClaim::NotInInput);
    }
    if record.body.len() != basis.sizes.body(0, 0) {
        return Err(FalseClaim::Malformed(Layer(0)));
    }
    let mut steps = vec![step(basis, record.stage, &first_onion, &record.body)?];
    for exponent in later {
        let Step { destination: stage, record, .. } = &steps[steps.len() - 1];
        let next_onion = onion(basis, *stage, exponent);
        if *next_onion.first_key() != record.key {
            return Err(FalseClaim::ForeignExponent(stage.layer));
        }
        let next = step(basis, *stage, &next_onion, &record.body)?;
        steps.push(next);
    }
    Ok(Followed { steps })
}

/// Follows a record through one chain, to the parcel that it leaves in.
fn step(basis: &RoundBasis, source: Stage, onion: &ShownOnion, body: &[u8]) -> Result<Step, FalseClaim> {
    let malformed = FalseClaim::Malformed(source.layer);
    let bodies = onion.open(body).map_err(|_| malformed)?;
    let (payload, between) = bodies.split_last().ok_or(malformed)?;
    let hops = between.iter().enumerate().map(|(hop, body)| (*onion.key(hop + 1), merkle::body_hash(body))).collect();
    let next = Layer(source.layer.0 + 1);
    let Forwarded { destination, record } = Forwarded::decode(&basis.sizes, next, payload).ok_or(malformed)?;
    let destination = Stage { layer: next, chain: destination, ..source };
    if !basis.has(destination) {
        return Err(malformed);
    }
    let claim = record.claim(basis.digest(), destination.layer, source.chain, destination.chain);
    claim.proof.verify(&Element::base(), &claim.public, &claim.context).map_err(|_| malformed)?;
    Ok(Step { source, destination, hops, record })
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

    /// The chains that the record goes through, and the one that lacks it.
    pub(crate) fn stages(&self) -> impl Iterator<Item = Stage> + '_ {
        self.steps.iter().map(|step| step.source).chain([self.last().destination])
    }
}

impl Step {
    /// The leaf of the record in the input of its destination.
    pub(crate) fn input_leaf(&self) -> Digest {
        merkle::leaf(self.record.key.encoded(), &merkle::body_hash(&self.record.body))
    }

    /// What the hop at a position puts out, if it is not the last: key and digest of the body.
    pub(crate) fn output(&self, position: usize) -> Option<&([u8; ENCODED_LEN], Digest)> {
        self.hops.get(position)
    }

    /// Whether a parcel's records hold it, byte for byte.
    fn is_among(&self, records: &[u8]) -> bool {
        let record = self.record.encode();
        records.chunks_exact(record.len()).any(|other| other == record)
    }
}

/// The place of the record in a signed batch or input.
struct Standing {
    root: Digest,
    index: u32,
}

impl NoiseCase {
    /// Bytes that it takes, about.
    pub(crate) fn len_bytes(&self) -> usize {
        let shown: usize = self.shown.iter().map(ShownPart::body_len).sum();
        let trail = self.trail.as_ref().map_or(0, Traced::len_bytes);
        self.claim.body_len() + self.fingerprints.len() + shown + trail
    }

    /// Judges the claim, from what is public and what is shown.
    ///
    /// Every server on the way signed what it put out, and what that was made from. The one that is guilty is the one
    /// that was given the record and put out something else in its place, and nobody else: an author who knows all keys
    /// can have its record changed by a hop that it owns, so that it is missing behind an honest one.
    /// `trail` is the case's own, followed to its end, if it has one.
    pub(crate) fn judge(&self, basis: &RoundBasis, trail: Option<&Trail>) -> Finding {
        let Self { claim, inputs, .. } = self;
        let holds = |root: &AgreedInput| basis.has(root.input.stage) && basis.check_input(root).is_ok();
        let is = |root: &AgreedInput, digest: &Digest| statement::input(basis.digest(), &root.input) == *digest;
        let Some(entered) = inputs.first().filter(|root| {
            let here = root.input.stage == claim.record.stage && root.input.stage.layer == Layer(0);
            here && claim.is_signed(basis) && holds(root) && is(root, &claim.record.input)
        }) else {
            return Finding::Nothing;
        };
        let followed = match follow(basis, &entered.input, claim) {
            Ok(followed) => followed,
            Err(why) => return Finding::False(why),
        };
        let are_on_the_way = followed.stages().eq(inputs.iter().map(|root| root.input.stage));
        let lacking = &inputs[inputs.len() - 1];
        let is_known = are_on_the_way && inputs[1..].iter().all(holds) && is(lacking, &claim.lacking);
        if !is_known || !lists_hold(&lacking.input, &self.fingerprints, &self.left_out) {
            return Finding::Nothing;
        }
        if self.left_out.contains(&followed.last().record.key) {
            return Finding::Nothing;
        }
        match self.check_absent(followed.last(), &lacking.input) {
            Err(why) => Finding::False(why),
            Ok(()) => match self.locate(basis, &followed, trail) {
                Some(server) => Finding::Dropped(server),
                None => Finding::Open(Box::new(followed)),
            },
        }
    }

    /// Checks that the signed input does not list the record.
    fn check_absent(&self, step: &Step, lacking: &InputCommitment) -> Result<(), FalseClaim> {
        let own = fingerprint(&lacking.root, &step.record.key);
        if self.fingerprints.as_chunks::<FINGERPRINT_LEN>().0.contains(&own) {
            return Err(FalseClaim::Listed);
        }
        Ok(())
    }

    /// Who was given the record and put out something else, if that is shown.
    fn locate(&self, basis: &RoundBasis, followed: &Followed, trail: Option<&Trail>) -> Option<ServerId> {
        let step = followed.last();
        let mut standing = match followed.earlier().last() {
            None => Standing { root: self.inputs[0].input.root, index: self.claim.record.index },
            Some(before) => self.arrived(before)?,
        };
        for (hop, (key, expected)) in step.hops.iter().enumerate() {
            let place = Place { stage: step.source, position: Position(hop as u8) };
            let (next, body) = self.put_out(basis, place, &standing.root, key, expected)?;
            if body != *expected {
                return basis.server_at(place);
            }
            standing = next;
        }
        let parcel = self.parcel(basis, step, &standing, trail)?;
        (!step.is_among(&parcel.records)).then(|| basis.last_of(step.source))
    }

    /// Where in the input a step before the last has brought the record to, if that is shown.
    fn arrived(&self, step: &Step) -> Option<Standing> {
        let root = self.inputs.iter().find(|root| root.input.stage == step.destination)?;
        let InputCommitment { root, count, .. } = root.input;
        self.shown.iter().find_map(|part| match part {
            ShownPart::Input { stage, index, path } if *stage == step.destination => {
                merkle::verify(&root, count.into(), (*index).into(), &step.input_leaf(), path).ok()?;
                Some(Standing { root, index: *index })
            }
            _ => None,
        })
    }

    /// What a hop that was given a batch put out under the record's key: where in its batch, and the body's digest. If more
    /// is shown, then what should be there.
    fn put_out(
        &self,
        basis: &RoundBasis,
        place: Place,
        source: &Digest,
        key: &[u8; ENCODED_LEN],
        expected: &Digest,
    ) -> Option<(Standing, Digest)> {
        let outputs = self.shown.iter().filter_map(|part| match part {
            ShownPart::Batch { signed, index, body, path } if signed.batch.place == place => {
                let BatchCommitment { root, count, source: made_from, .. } = signed.batch;
                let leaf = merkle::leaf(key, body);
                let is_there = made_from == *source
                    && basis.batch_is_signed(signed)
                    && merkle::verify(&root, count.into(), (*index).into(), &leaf, path).is_ok();
                is_there.then_some((Standing { root, index: *index }, *body))
            }
            _ => None,
        });
        outputs.max_by_key(|(_, body)| body == expected)
    }

    /// The parcel in which the record should have come, made from the batch in which it stands, or from what a trail left
    /// of that. If the record is one of those that the trail removed, there is none.
    fn parcel(&self, basis: &RoundBasis, step: &Step, made_from: &Standing, trail: Option<&Trail>) -> Option<&Parcel> {
        let last = Place { stage: step.source, position: basis.last_position() };
        let is_of_it = |trail: &&Trail| trail.place() == last && *trail.root() == made_from.root;
        let is_left = |trail: &&Trail| trail.indices().binary_search(&made_from.index).is_err();
        let removed = trail.filter(is_of_it).filter(is_left).map(Trail::removed);
        let is_origin = |origin: &Digest| {
            let from = |removed| *origin == statement::parcel_origin(&made_from.root, &removed);
            from(statement::no_removals()) || removed.is_some_and(from)
        };
        self.shown.iter().find_map(|part| match part {
            ShownPart::Parcel(parcel) => Some(parcel).filter(|parcel| {
                (parcel.source, parcel.destination) == (step.source, step.destination.chain)
                    && is_origin(&parcel.origin)
                    && rules::parcel_is_whole(basis, parcel)
            }),
            _ => None,
        })
    }
}

/// Whether noise can be claimed to be missing. It takes a layer after the first, and proofs that every single key came
/// through: without them it could have been lost at any hop by rule, so that nothing would follow from a claim.
pub(crate) fn may_be_made(basis: &RoundBasis) -> bool {
    let params = basis.params();
    params.layers > 1 && params.noise.slots > 0 && params.verification == Verification::Full
}

/// Whether lists are those that the members of a chain signed: in later layers one fingerprint a record.
pub(crate) fn lists_hold(input: &InputCommitment, fingerprints: &[u8], left_out: &[Element]) -> bool {
    let listed = if input.stage.layer == Layer(0) { 0 } else { input.count as usize };
    fingerprints.len() == listed * FINGERPRINT_LEN
        && rules::fingerprints_digest(fingerprints) == input.fingerprints
        && rules::left_out_digest(left_out) == input.left_out
}
