//! Collect and confirm: what enters a chain, checked by its first server and signed by all its members.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hippodrome_crypto::{
    group::{ENCODED_LEN, Element},
    hash::{Digest, Hasher},
    key_list::KeyList,
    knowledge::{Claim, KNOWLEDGE_LEN, Knowledge, verify_batch},
    merkle,
    records::Records,
    signing::Signature,
};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use super::context::RoundContext;
use crate::{
    directory::MissingSignature,
    ids::{Author, ChainId, Layer, ServerId, Stage},
    message::{InputCommitment, InputRoot, Parcel},
    params::Verification,
    statement,
    submission::{Fields, Origin, ParcelRecord, Submission, decode_author, encode_author},
    wire::{CHAIN_LEN, DIGEST_LEN},
};

/// Where the replies to a chain's input go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Layer 0: author and slot of each record.
    Authors(Vec<Origin>),
    /// Later layers: for each open source chain, the place of each of its records in the input; none for a dropped one.
    Parcels(Vec<Vec<Option<u32>>>),
}

/// A chain's input as its first server has put it together.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) input: InputCommitment,
    pub(crate) keys: Arc<KeyList>,
    pub(crate) bodies: Records,
    pub(crate) entries: Vec<u8>,
    pub(crate) origins: Origins,
}

/// A record that may enter: everything but its body is in its entry.
struct Entry<O> {
    origin: O,
    key: Element,
    body: Digest,
    knowledge: Knowledge,
    signature: Option<Signature>,
}

/// Puts together the input of a chain of layer 0.
///
/// What has no valid signatures is no submission and is left out. Of two submissions for one slot the first stays. A
/// key that two authors used has one author behind both, who knows its exponent: all copies are left out.
pub(crate) fn assemble_submissions(
    context: &RoundContext,
    stage: Stage,
    submissions: &Records,
    rng: &mut ChaCha20Rng,
) -> Assembled {
    let mut valid: BTreeMap<Origin, Submission> = BTreeMap::new();
    for submission in well_signed(context, stage.chain, submissions) {
        valid.entry(Origin { author: submission.author, slot: submission.slot }).or_insert(submission);
    }
    let claims: Vec<Claim> = valid
        .iter()
        .map(|(origin, submission)| {
            outer_claim(
                context,
                stage.chain,
                origin,
                &submission.key,
                &merkle::body_hash(&submission.body),
                &submission.knowledge,
            )
        })
        .collect();
    let unknown = verify_batch(&Element::base(), &claims, rng).err().unwrap_or_default();
    let known = valid.into_iter().enumerate().filter(|(index, _)| unknown.binary_search(index).is_err());
    let mut kept: Vec<(Origin, Submission)> = known.map(|(_, submission)| submission).collect();
    drop_repeated_keys(&mut kept, |(_, submission)| submission.key);
    keep_within(&mut kept, context.params().max_batch as usize);

    let mut bodies = Records::with_capacity(context.sizes.body(0, 0), kept.len());
    kept.iter().for_each(|(_, submission)| bodies.push(&submission.body));
    let entries: Vec<_> = kept
        .into_iter()
        .map(|(origin, submission)| Entry {
            origin,
            key: submission.key,
            body: merkle::body_hash(&submission.body),
            knowledge: submission.knowledge,
            signature: Some(submission.signature),
        })
        .collect();
    let origins = Origins::Authors(entries.iter().map(|entry| entry.origin).collect());
    finish(context, stage, entries, bodies, origins, |entry, bytes| {
        bytes.extend(encode_author(entry.origin.author));
        bytes.extend(entry.origin.slot.to_le_bytes());
    })
}

/// Surplus submissions of clients are left out, in registry order from the end; noise never is.
fn keep_within<T>(kept: &mut Vec<(Origin, T)>, limit: usize) {
    let is_client = |origin: &Origin| matches!(origin.author, Author::Client(_));
    let clients = kept.iter().filter(|(origin, _)| is_client(origin)).count();
    let mut room = clients.saturating_sub(kept.len().saturating_sub(limit));
    kept.retain(|(origin, _)| {
        let stays = !is_client(origin) || room > 0;
        room -= usize::from(stays && is_client(origin));
        stays
    });
}

fn well_signed(context: &RoundContext, chain: ChainId, submissions: &Records) -> Vec<Submission> {
    submissions
        .as_bytes()
        .par_chunks(submissions.width())
        .filter_map(|record| {
            let submission = Submission::decode(&context.sizes, record).ok()?;
            submission.check_author(&context.directory, &context.roster, context.digest(), chain).ok()?;
            Some(submission)
        })
        .collect()
}

fn outer_claim(
    context: &RoundContext,
    chain: ChainId,
    origin: &Origin,
    key: &Element,
    body: &Digest,
    knowledge: &Knowledge,
) -> Claim {
    let author =
        context.roster.epoch().author_key(&context.directory, origin.author).expect("the author was looked up before");
    let context = origin.context(context.digest(), chain, author, key, body);
    Claim { public: *key, context, proof: *knowledge }
}

/// Puts together the input of a chain of a later layer from the parcels of all open chains before, in chain order.
///
/// A parcel with a record that is malformed, whose signature of knowledge does not hold for this source and
/// destination, or with a key twice, convicts its signed sender; nobody opens anything. A key in two parcels, each
/// with a valid signature, has one author: all copies are left out.
pub(crate) fn assemble_parcels(
    context: &RoundContext,
    stage: Stage,
    parcels: &[Parcel],
    rng: &mut ChaCha20Rng,
) -> Result<Assembled, ServerId> {
    let mut records: Vec<(usize, ChainId, ParcelRecord)> = Vec::new();
    for (index, parcel) in parcels.iter().enumerate() {
        let sender = context.last_of(parcel.source);
        let received = check_parcel(context, stage, parcel, rng).ok_or(sender)?;
        records.extend(received.into_iter().map(|record| (index, parcel.source.chain, record)));
    }
    let repeated = repeated_keys(records.iter().map(|(_, _, record)| record.key));
    let mut next = 0_u32;
    let mut places: Vec<Vec<Option<u32>>> = vec![Vec::new(); parcels.len()];
    let mut bodies = Records::with_capacity(context.sizes.body(stage.layer.0.into(), 0), records.len());
    let mut entries = Vec::with_capacity(records.len());
    for (index, (parcel, source, record)) in records.into_iter().enumerate() {
        let place = (!repeated[index]).then_some(next);
        places[parcel].push(place);
        if place.is_some() {
            next += 1;
            bodies.push(&record.body);
            let body = merkle::body_hash(&record.body);
            entries.push(Entry { origin: source, key: record.key, body, knowledge: record.knowledge, signature: None });
        }
    }
    let origins = Origins::Parcels(places);
    Ok(finish(context, stage, entries, bodies, origins, |entry, bytes| bytes.extend(entry.origin.0.to_le_bytes())))
}

/// The records of a parcel, unless it breaks a rule that its sender could check.
fn check_parcel(
    context: &RoundContext,
    stage: Stage,
    parcel: &Parcel,
    rng: &mut ChaCha20Rng,
) -> Option<Vec<ParcelRecord>> {
    let width = context.sizes.parcel_record(stage.layer.0.into());
    let raw = Records::from_bytes(width, parcel.records.clone()).ok()?;
    let records: Vec<ParcelRecord> = raw.iter().map(ParcelRecord::decode).collect::<Result<_, _>>().ok()?;
    if parcel_root(&records) != parcel.root {
        return None;
    }
    if repeated_keys(records.iter().map(|record| record.key)).contains(&true) {
        return None;
    }
    let claim = |record: &ParcelRecord| record.claim(context.digest(), stage.layer, parcel.source.chain, stage.chain);
    let claims: Vec<Claim> = records.iter().map(claim).collect();
    verify_batch(&Element::base(), &claims, rng).is_ok().then_some(records)
}

/// Merkle root over the records of a parcel, their signatures of knowledge included.
pub(crate) fn parcel_root(records: &[ParcelRecord]) -> Digest {
    let leaf = |record: &ParcelRecord| {
        let rest = [record.knowledge.to_bytes().as_slice(), &record.body].concat();
        merkle::leaf(record.key.encoded(), &merkle::body_hash(&rest))
    };
    merkle::root_of(&records.iter().map(leaf).collect::<Vec<_>>())
}

/// For each key whether it occurs more than once.
pub(crate) fn repeated_keys(keys: impl Iterator<Item = Element> + Clone) -> Vec<bool> {
    let mut counts: HashMap<[u8; ENCODED_LEN], u32> = HashMap::new();
    keys.clone().for_each(|key| *counts.entry(*key.encoded()).or_default() += 1);
    keys.map(|key| counts[key.encoded()] > 1).collect()
}

fn drop_repeated_keys<T>(records: &mut Vec<T>, key: impl Fn(&T) -> Element) {
    let repeated = repeated_keys(records.iter().map(&key).collect::<Vec<_>>().into_iter());
    let mut index = 0;
    records.retain(|_| {
        index += 1;
        !repeated[index - 1]
    });
}

fn finish<O>(
    context: &RoundContext,
    stage: Stage,
    entries: Vec<Entry<O>>,
    bodies: Records,
    origins: Origins,
    encode_origin: impl Fn(&Entry<O>, &mut Vec<u8>),
) -> Assembled {
    let width = context.sizes.entry(stage.layer.0.into());
    let mut encoded = Vec::with_capacity(width * entries.len());
    for entry in &entries {
        encoded.extend(entry.key.encoded());
        encoded.extend(entry.body.as_bytes());
        encode_origin(entry, &mut encoded);
        encoded.extend(entry.knowledge.to_bytes());
        encoded.extend(entry.signature.iter().flat_map(|signature| signature.0));
    }
    let leaves: Vec<Digest> = entries.iter().map(|entry| merkle::leaf(entry.key.encoded(), &entry.body)).collect();
    let keys = Arc::new(KeyList::new(entries.into_iter().map(|entry| entry.key).collect()));
    let count = keys.len() as u32;
    let (root, entries) = (merkle::root_of(&leaves), entries_digest(&encoded));
    let input = InputCommitment { stage, count, root, keys: *keys.digest(), entries };
    Assembled { input, keys, bodies, entries: encoded, origins }
}

/// What binds an input's signers to every byte of its entries.
fn entries_digest(entries: &[u8]) -> Digest {
    Hasher::new("hippodrome v1 input entries").bytes(entries).finish()
}

/// Checks what the first server offers for signature: the entries make the root and the key list, no key is repeated,
/// malformed or too many. In `aggregate` networks every member also checks every signature of knowledge, on which the
/// argument about sums stands.
pub(crate) fn check_offer(
    context: &RoundContext,
    input: &InputCommitment,
    entries: &[u8],
    rng: &mut ChaCha20Rng,
) -> Option<KeyList> {
    let layer = input.stage.layer;
    let width = context.sizes.entry(layer.0.into());
    if entries.len() != width * input.count as usize || input.count > layer_limit(context, layer) {
        return None;
    }
    let parsed: Vec<OfferedEntry> =
        entries.par_chunks(width).map(|entry| OfferedEntry::decode(layer, entry)).collect::<Option<_>>()?;
    if repeated_keys(parsed.iter().map(|entry| entry.key)).contains(&true) {
        return None;
    }
    let leaves: Vec<Digest> = parsed.iter().map(|entry| merkle::leaf(entry.key.encoded(), &entry.body)).collect();
    let keys = KeyList::new(parsed.iter().map(|entry| entry.key).collect());
    if (merkle::root_of(&leaves), *keys.digest(), entries_digest(entries)) != (input.root, input.keys, input.entries) {
        return None;
    }
    if context.verification() == Verification::Aggregate {
        let claims: Vec<Claim> = parsed.iter().map(|entry| entry.claim(context, input.stage)).collect::<Option<_>>()?;
        verify_batch(&Element::base(), &claims, rng).ok()?;
    }
    Some(keys)
}

/// Most records of a chain's input: what submissions are capped to, and for later layers all of the layer before.
pub(crate) fn layer_limit(context: &RoundContext, layer: Layer) -> u32 {
    let params = context.params();
    if layer.0 == 0 { params.max_batch } else { params.max_batch.saturating_mul(params.chains.into()).min(1 << 24) }
}

struct OfferedEntry {
    key: Element,
    body: Digest,
    origin: OfferedOrigin,
    knowledge: Knowledge,
}

enum OfferedOrigin {
    Author(Origin, Signature),
    Chain(ChainId),
}

impl OfferedEntry {
    fn decode(layer: Layer, entry: &[u8]) -> Option<Self> {
        let mut fields = Fields(entry);
        let key = Element::decode(&fields.array()).ok()?;
        let body = Digest(fields.array::<DIGEST_LEN>());
        if layer.0 == 0 {
            let author = decode_author(fields.array()).ok()?;
            let slot = u16::from_le_bytes(fields.array());
            let knowledge = Knowledge::from_bytes(fields.array::<KNOWLEDGE_LEN>());
            let origin = OfferedOrigin::Author(Origin { author, slot }, Signature(fields.array()));
            Some(Self { key, body, origin, knowledge })
        } else {
            let origin = OfferedOrigin::Chain(ChainId(u16::from_le_bytes(fields.array::<CHAIN_LEN>())));
            let knowledge = Knowledge::from_bytes(fields.array::<KNOWLEDGE_LEN>());
            Some(Self { key, body, origin, knowledge })
        }
    }

    /// What must hold for the entry; none if its author does not exist or has not signed.
    fn claim(&self, context: &RoundContext, stage: Stage) -> Option<Claim> {
        match &self.origin {
            OfferedOrigin::Author(origin, signature) => {
                let author = origin.check(&context.directory, &context.roster, stage.chain).ok()?;
                let signed =
                    origin.signed(context.digest(), stage.chain, author, &self.key, &self.body, &self.knowledge);
                author.verify(&signed, signature).ok()?;
                Some(outer_claim(context, stage.chain, origin, &self.key, &self.body, &self.knowledge))
            }
            OfferedOrigin::Chain(source) => {
                let inner = crate::submission::inner_context(
                    context.digest(),
                    stage.layer,
                    *source,
                    stage.chain,
                    &self.key,
                    &self.body,
                );
                Some(Claim { public: self.key, context: inner, proof: self.knowledge })
            }
        }
    }
}

/// A chain's input that all its members have signed. Only [`SignedInput::verify`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedInput(InputCommitment);

impl SignedInput {
    pub(crate) fn verify(context: &RoundContext, root: &InputRoot) -> Result<Self, MissingSignature> {
        let members = context.members(root.input.stage);
        if root.signatures.len() != members.len() {
            return Err(MissingSignature::Count { got: root.signatures.len(), expected: members.len() });
        }
        let signed = statement::input(context.digest(), &root.input);
        for (&member, signature) in members.iter().zip(&root.signatures) {
            if !context.signed_by(member, &signed, signature) {
                return Err(MissingSignature::Bad(member));
            }
        }
        Ok(Self(root.input))
    }

    pub(crate) fn commitment(&self) -> &InputCommitment {
        &self.0
    }
}
