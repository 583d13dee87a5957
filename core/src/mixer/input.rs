//! Collect and confirm: what enters a chain, checked by its first server and signed by all its members.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hippodrome_crypto::{
    fingerprint::{FINGERPRINT_LEN, fingerprints},
    group::{ENCODED_LEN, Element},
    hash::{Digest, Hasher},
    key_list::KeyList,
    knowledge::{Claim, KNOWLEDGE_LEN, Knowledge, verify_batch},
    merkle::{self, Tree},
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
    /// Entries of records that came in two parcels.
    pub(crate) left_out: LeftOut,
    pub(crate) lists: InputLists,
    pub(crate) origins: Origins,
    pub(crate) tree: Tree,
}

/// Entries that are left out of an input because their keys came twice, one behind another.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut {
    pub(crate) entries: Vec<u8>,
}

/// The lists that go with a signed input, so that every server can look for its own noise.
#[derive(Clone, Debug, Default)]
pub(crate) struct InputLists {
    /// Of the keys, in order; none in layer 0.
    pub(crate) fingerprints: Vec<u8>,
    /// Keys that came in two parcels, with their copies.
    pub(crate) left_out: Vec<Element>,
}

impl InputLists {
    /// Digests of the two lists, as an input commitment holds them.
    fn digests(&self) -> [Digest; 2] {
        let fingerprints = Hasher::new("hippodrome v1 fingerprint list").bytes(&self.fingerprints).finish();
        let left_out =
            Hasher::new("hippodrome v1 keys left out").list(self.left_out.iter().map(Element::encoded)).finish();
        [fingerprints, left_out]
    }

    /// Whether these are the lists of a commitment, one fingerprint a record in later layers.
    fn are_of(&self, input: &InputCommitment) -> bool {
        let listed = if input.stage.layer.0 == 0 { 0 } else { input.count as usize };
        self.fingerprints.len() == listed * FINGERPRINT_LEN && self.digests() == [input.fingerprints, input.left_out]
    }
}

/// Why there is no input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoInput {
    /// The sender of a parcel broke a rule.
    BadParcel(ServerId),
    /// The noise of an active server is not there, or is not well-formed.
    NoiseLeftOut(ServerId),
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
) -> Result<Assembled, NoInput> {
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
    if let Some(owner) = lacking_noise(context, kept.iter().map(|(origin, _)| *origin)) {
        return Err(NoInput::NoiseLeftOut(owner));
    }

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
    Ok(finish(context, stage, entries, &[], bodies, origins, |entry, bytes| {
        bytes.extend(encode_author(entry.origin.author));
        bytes.extend(entry.origin.slot.to_le_bytes());
    }))
}

/// The first active server some of whose noise is not among the authors of an input, each of whom has each slot once.
fn lacking_noise(context: &RoundContext, origins: impl Iterator<Item = Origin>) -> Option<ServerId> {
    let mut counts: BTreeMap<ServerId, u32> = context.active().iter().map(|&server| (server, 0)).collect();
    for origin in origins {
        if let Author::Server(server) = origin.author
            && let Some(count) = counts.get_mut(&server)
        {
            *count += 1;
        }
    }
    let expected = context.params().noise_per_chain;
    counts.into_iter().find(|(_, count)| *count != expected).map(|(server, _)| server)
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
) -> Result<Assembled, NoInput> {
    let mut records: Vec<(usize, ChainId, ParcelRecord)> = Vec::new();
    for (index, parcel) in parcels.iter().enumerate() {
        let sender = context.last_of(parcel.source);
        let received = check_parcel(context, stage, parcel, rng).ok_or(NoInput::BadParcel(sender))?;
        records.extend(received.into_iter().map(|record| (index, parcel.source.chain, record)));
    }
    let repeated = repeated_keys(records.iter().map(|(_, _, record)| record.key));
    let mut next = 0_u32;
    let mut places: Vec<Vec<Option<u32>>> = vec![Vec::new(); parcels.len()];
    let mut bodies = Records::with_capacity(context.sizes.body(stage.layer.0.into(), 0), records.len());
    let mut entries = Vec::with_capacity(records.len());
    let mut left_out = Vec::new();
    for (index, (parcel, source, record)) in records.into_iter().enumerate() {
        let place = (!repeated[index]).then_some(next);
        places[parcel].push(place);
        let body = merkle::body_hash(&record.body);
        let entry = Entry { origin: source, key: record.key, body, knowledge: record.knowledge, signature: None };
        if place.is_some() {
            next += 1;
            bodies.push(&record.body);
            entries.push(entry);
        } else {
            left_out.push(entry);
        }
    }
    let origins = Origins::Parcels(places);
    let encode_origin = |entry: &Entry<ChainId>, bytes: &mut Vec<u8>| bytes.extend(entry.origin.0.to_le_bytes());
    Ok(finish(context, stage, entries, &left_out, bodies, origins, encode_origin))
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
    left_out: &[Entry<O>],
    bodies: Records,
    origins: Origins,
    encode_origin: impl Fn(&Entry<O>, &mut Vec<u8>),
) -> Assembled {
    let width = context.sizes.entry(stage.layer.0.into());
    let encode = |entries: &[Entry<O>]| {
        let mut encoded = Vec::with_capacity(width * entries.len());
        for entry in entries {
            encoded.extend(entry.key.encoded());
            encoded.extend(entry.body.as_bytes());
            encode_origin(entry, &mut encoded);
            encoded.extend(entry.knowledge.to_bytes());
            encoded.extend(entry.signature.iter().flat_map(|signature| signature.0));
        }
        encoded
    };
    let encoded = encode(&entries);
    let leaves: Vec<Digest> = entries.iter().map(|entry| merkle::leaf(entry.key.encoded(), &entry.body)).collect();
    let left_keys = left_out.iter().map(|entry| entry.key).collect();
    let left_out = LeftOut { entries: encode(left_out) };
    let keys = Arc::new(KeyList::new(entries.into_iter().map(|entry| entry.key).collect()));
    let tree = Tree::new(leaves);
    let (count, root, entries) = (keys.len() as u32, *tree.root(), entries_digest(&encoded));
    let lists = InputLists { fingerprints: listed(stage.layer, &root, &keys), left_out: left_keys };
    let [fingerprints, left] = lists.digests();
    let input = InputCommitment { stage, count, root, keys: *keys.digest(), entries, fingerprints, left_out: left };
    Assembled { input, keys, bodies, entries: encoded, left_out, lists, origins, tree }
}

/// The fingerprints that a layer's inputs list: in layer 0 none, since owners get branches.
fn listed(layer: Layer, root: &Digest, keys: &KeyList) -> Vec<u8> {
    if layer.0 == 0 { Vec::new() } else { fingerprints(root, keys.keys()) }
}

/// What binds an input's signers to every byte of its entries.
fn entries_digest(entries: &[u8]) -> Digest {
    Hasher::new("hippodrome v1 input entries").bytes(entries).finish()
}

/// An offer of the first server that a member may sign.
#[derive(Debug)]
pub(crate) struct CheckedOffer {
    pub(crate) keys: KeyList,
}

/// Checks what the first server offers for signature: the entries make the root, the key list and the fingerprints, no
/// key is repeated, malformed or too many; in layer 0 authors and slots ascend, and all noise of every active server is
/// there; in later layers only keys with two authenticated copies are left out. In `aggregate` networks every member also
/// checks every signature of knowledge, on which the argument about sums stands.
pub(crate) fn check_offer(
    context: &RoundContext,
    input: &InputCommitment,
    entries: &[u8],
    left_out: &[u8],
    rng: &mut ChaCha20Rng,
) -> Option<CheckedOffer> {
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
    let left_out = check_left_out(context, input.stage, &parsed, left_out, rng)?;
    let lists = InputLists { fingerprints: listed(layer, &input.root, &keys), left_out };
    if !lists.are_of(input) || layer.0 == 0 && !check_authors(context, input.stage, &parsed) {
        return None;
    }
    if context.verification() == Verification::Aggregate {
        let claims: Vec<Claim> = parsed.iter().map(|entry| entry.claim(context, input.stage)).collect::<Option<_>>()?;
        verify_batch(&Element::base(), &claims, rng).ok()?;
    }
    Some(CheckedOffer { keys })
}

/// Whether authors and slots ascend, and every active server's noise is there whole, signed by it.
fn check_authors(context: &RoundContext, stage: Stage, entries: &[OfferedEntry]) -> bool {
    let origins = entries.iter().filter_map(|entry| match entry.origin {
        OfferedOrigin::Author(origin, _) => Some(origin),
        OfferedOrigin::Chain(_) => None,
    });
    let origins: Vec<Origin> = origins.collect();
    let is_noise = |origin: &Origin| matches!(origin.author, Author::Server(_));
    let noise = entries.par_iter().zip(&origins).filter(|(_, origin)| is_noise(origin));
    origins.windows(2).all(|pair| pair[0] < pair[1])
        && lacking_noise(context, origins.iter().copied()).is_none()
        && noise.into_par_iter().all(|(entry, _)| entry.claim(context, stage).is_some())
}

/// The keys of the entries left out, if each has at least two copies there, from different chains, whose signatures of
/// knowledge hold: then one author made them all.
fn check_left_out(
    context: &RoundContext,
    stage: Stage,
    kept: &[OfferedEntry],
    left_out: &[u8],
    rng: &mut ChaCha20Rng,
) -> Option<Vec<Element>> {
    let width = context.sizes.entry(stage.layer.0.into());
    let room = (layer_limit(context, stage.layer) as usize).saturating_sub(kept.len());
    if !left_out.len().is_multiple_of(width)
        || left_out.len() / width > room
        || stage.layer.0 == 0 && !left_out.is_empty()
    {
        return None;
    }
    let entries: Vec<OfferedEntry> =
        left_out.chunks_exact(width).map(|entry| OfferedEntry::decode(stage.layer, entry)).collect::<Option<_>>()?;
    let mut sources: HashMap<[u8; ENCODED_LEN], Vec<ChainId>> = HashMap::new();
    for entry in &entries {
        if let OfferedOrigin::Chain(source) = entry.origin {
            sources.entry(*entry.key.encoded()).or_default().push(source);
        }
    }
    let is_doubled = |sources: &Vec<ChainId>| {
        let distinct: std::collections::BTreeSet<_> = sources.iter().collect();
        sources.len() > 1 && distinct.len() == sources.len()
    };
    if !sources.values().all(is_doubled) || kept.iter().any(|entry| sources.contains_key(entry.key.encoded())) {
        return None;
    }
    let claims: Vec<Claim> = entries.iter().map(|entry| entry.claim(context, stage)).collect::<Option<_>>()?;
    verify_batch(&Element::base(), &claims, rng).ok()?;
    Some(entries.iter().map(|entry| entry.key).collect())
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

/// Why an input is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnsignedInput {
    #[error(transparent)]
    Signature(#[from] MissingSignature),
    #[error("the lists that came with the input are not those that its members signed")]
    Lists,
}

impl SignedInput {
    /// Checks the signatures of all members, and gives the lists that they signed.
    pub(crate) fn verify(context: &RoundContext, root: InputRoot) -> Result<(Self, InputLists), UnsignedInput> {
        let members = context.members(root.input.stage);
        if root.signatures.len() != members.len() {
            return Err(MissingSignature::Count { got: root.signatures.len(), expected: members.len() }.into());
        }
        let signed = statement::input(context.digest(), &root.input);
        for (&member, signature) in members.iter().zip(&root.signatures) {
            if !context.signed_by(member, &signed, signature) {
                return Err(MissingSignature::Bad(member).into());
            }
        }
        let lists = InputLists { fingerprints: root.fingerprints, left_out: root.left_out };
        if lists.are_of(&root.input) { Ok((Self(root.input), lists)) } else { Err(UnsignedInput::Lists) }
    }

    pub(crate) fn commitment(&self) -> &InputCommitment {
        &self.0
    }
}
