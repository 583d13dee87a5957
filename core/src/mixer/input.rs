//! Collect and confirm: what enters a chain, checked by its first server and signed by all its members.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hippodrome_crypto::{
    group::{ENCODED_LEN, Element},
    hash::Digest,
    key_list::KeyList,
    knowledge::{Claim, Knowledge, verify_batch},
    merkle::{self, Tree},
    records::Records,
    signing::Signature,
};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use super::context::RoundContext;
use crate::{
    claim,
    directory::MissingSignature,
    evidence::{Evidence, Judged, entry::Entry as SignedEntry, rules},
    ids::{Author, ChainId, ServerId, Stage},
    message::{AgreedInput, InputCommitment, InputOffer, InputRoot, Parcel, SignedParcel},
    params::Verification,
    submission::{Origin, ParcelRecord, Submission, encode_author},
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
    pub(crate) tree: Arc<Tree>,
    /// Later layers: what is kept of the parcels, in the order of their chains.
    pub(crate) parcels: Vec<KeptParcel>,
}

/// What a trace, or a claim of spoiled replies, needs of a parcel.
#[derive(Debug)]
pub(crate) struct KeptParcel {
    pub(crate) signed: SignedParcel,
    /// Over its records.
    pub(crate) tree: Arc<Tree>,
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
    /// Whether these are the lists of a commitment.
    fn are_of(&self, input: &InputCommitment) -> bool {
        claim::lists_hold(input, &self.fingerprints, &self.left_out)
    }
}

/// Why there is no input.
#[derive(Debug)]
pub(crate) enum NoInput {
    /// The records of a parcel are not under the root that was signed: nobody else could tell who altered them.
    NotWhatWasSigned(ServerId),
    /// A parcel breaks a rule that its sender could check.
    BadParcel(Box<Judged>),
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

/// A submission whose author's signature and signature of knowledge hold. Only [`check_submissions`] makes it.
#[derive(Debug)]
pub(crate) struct CheckedSubmission {
    origin: Origin,
    submission: Submission,
    /// Of its body.
    body: Digest,
}

/// Checks a part of what was submitted to a chain of layer 0. What has no valid signatures is no submission and is left out.
pub(crate) fn check_submissions(
    context: &RoundContext,
    chain: ChainId,
    records: &Records,
    rng: &mut ChaCha20Rng,
) -> Vec<CheckedSubmission> {
    let signed = well_signed(context, chain, records);
    let claim = |(origin, submission, body): &(Origin, Submission, Digest)| {
        outer_claim(context, chain, origin, &submission.key, body, &submission.knowledge)
    };
    let claims: Vec<Claim> = signed.iter().map(claim).collect();
    let unknown = verify_batch(&Element::base(), &claims, rng).err().unwrap_or_default();
    let known = signed.into_iter().enumerate().filter(|(index, _)| unknown.binary_search(index).is_err());
    known.map(|(_, (origin, submission, body))| CheckedSubmission { origin, submission, body }).collect()
}

/// Puts together the input of a chain of layer 0, in the order of authors and slots.
///
/// What convicted clients send is left out. Of two submissions for one slot the first stays. A key that two authors used has
/// one author behind both, who knows its exponent: all copies are left out.
pub(crate) fn assemble_submissions(
    context: &RoundContext,
    stage: Stage,
    checked: Vec<CheckedSubmission>,
    convicted: &BTreeSet<Author>,
) -> Result<Assembled, NoInput> {
    // Noise is never refused.
    let is_out = |author: &Author| matches!(author, Author::Client(_)) && convicted.contains(author);
    let mut valid: BTreeMap<Origin, (Submission, Digest)> = BTreeMap::new();
    for CheckedSubmission { origin, submission, body } in checked {
        if !is_out(&origin.author) {
            valid.entry(origin).or_insert((submission, body));
        }
    }
    let mut kept: Vec<(Origin, (Submission, Digest))> = valid.into_iter().collect();
    drop_repeated_keys(&mut kept, |(_, (submission, _))| submission.key);
    keep_within(&mut kept, context.params().max_batch as usize);
    if let Some(owner) = rules::lacking_noise(context, kept.iter().map(|(origin, _)| *origin)) {
        return Err(NoInput::NoiseLeftOut(owner));
    }

    let mut bodies = Records::with_capacity(context.sizes.body(0, 0), kept.len());
    kept.iter().for_each(|(_, (submission, _))| bodies.push(&submission.body));
    let entries: Vec<_> = kept
        .into_iter()
        .map(|(origin, (submission, body))| Entry {
            origin,
            key: submission.key,
            body,
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

/// Those with the signature of an author who may send them; signatures of knowledge are not looked at.
fn well_signed(context: &RoundContext, chain: ChainId, submissions: &Records) -> Vec<(Origin, Submission, Digest)> {
    submissions
        .as_bytes()
        .par_chunks(submissions.width())
        .filter_map(|record| {
            let submission = Submission::decode(&context.sizes, record).ok()?;
            let body = submission.check_author(&context.directory, &context.roster, context.digest(), chain).ok()?;
            let origin = Origin { author: submission.author, slot: submission.slot };
            Some((origin, submission, body))
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
    let mut kept = Vec::with_capacity(parcels.len());
    for (index, parcel) in parcels.iter().enumerate() {
        let (received, parcel_kept) = open_parcel(context, parcel, rng)?;
        records.extend(received.into_iter().map(|record| (index, parcel.source.chain, record)));
        kept.push(parcel_kept);
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
    let assembled = finish(context, stage, entries, &left_out, bodies, origins, encode_origin);
    Ok(Assembled { parcels: kept, ..assembled })
}

/// The records of a parcel, and what is kept of it for traces, unless it breaks a rule.
fn open_parcel(
    context: &RoundContext,
    parcel: &Parcel,
    rng: &mut ChaCha20Rng,
) -> Result<(Vec<ParcelRecord>, KeptParcel), NoInput> {
    let refused = NoInput::NotWhatWasSigned(context.last_of(parcel.source));
    let Some(commitment) = rules::parcel_commitment(context, parcel) else { return Err(refused) };
    let Some(records) = rules::parcel_records(context, &commitment, &parcel.records) else { return Err(refused) };
    let signed = SignedParcel { parcel: commitment, signature: parcel.signature };
    match rules::check_parcel(context, &commitment, &records, rng) {
        Ok(parsed) => Ok((parsed, KeptParcel { signed, tree: Arc::new(Tree::new(merkle::leaves(&records))) })),
        Err(_) => {
            let evidence = Evidence::BadParcel(Box::new(parcel.clone()));
            Err(NoInput::BadParcel(Box::new(Judged::new(context, evidence))))
        }
    }
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
    let tree = Arc::new(Tree::new(leaves));
    let (count, root, entries) = (keys.len() as u32, *tree.root(), rules::entries_root(context, stage.layer, &encoded));
    let lists = InputLists { fingerprints: rules::listed(stage.layer, &root, &keys), left_out: left_keys };
    let input = InputCommitment {
        stage,
        count,
        root,
        keys: *keys.digest(),
        entries,
        fingerprints: rules::fingerprints_digest(&lists.fingerprints),
        left_out: rules::left_out_digest(&lists.left_out),
    };
    Assembled { input, keys, bodies, entries: encoded, left_out, lists, origins, tree, parcels: Vec::new() }
}

/// An offer of the first server that a member may sign.
#[derive(Debug)]
pub(crate) struct CheckedOffer {
    pub(crate) keys: KeyList,
}

/// Why a member does not sign an offer.
#[derive(Debug)]
pub(crate) enum BadOffer {
    /// The input breaks a rule that the first server could check.
    Broken,
    /// What it left out does not show why. What is shown is under no signature, so that it shows nothing to others.
    LeftOut,
}

/// Checks what the first server offers for signature: the input breaks no rule, and only keys with two authenticated
/// copies are left out. In `aggregate` networks every member also checks every signature of knowledge, on which the
/// argument about sums stands; in `full` networks that waits until something fails.
pub(crate) fn check_offer(
    context: &RoundContext,
    offer: &InputOffer,
    rng: &mut ChaCha20Rng,
) -> Result<CheckedOffer, BadOffer> {
    let InputOffer { input, entries, left_out, .. } = offer;
    let keys = rules::check_entries(context, input, entries).map_err(|_| BadOffer::Broken)?;
    let left_out = check_left_out(context, input.stage, &keys, left_out, rng).ok_or(BadOffer::LeftOut)?;
    if rules::left_out_digest(&left_out) != input.left_out {
        return Err(BadOffer::LeftOut);
    }
    if context.verification() == Verification::Aggregate {
        rules::check_signatures(context, input.stage, entries, rng).map_err(|_| BadOffer::Broken)?;
    }
    Ok(CheckedOffer { keys })
}

/// The keys of the entries left out, if each has at least two copies there, from different chains, whose signatures of
/// knowledge hold: then one author made them all.
fn check_left_out(
    context: &RoundContext,
    stage: Stage,
    kept: &KeyList,
    left_out: &[u8],
    rng: &mut ChaCha20Rng,
) -> Option<Vec<Element>> {
    let width = context.sizes.entry(stage.layer.0.into());
    let room = (rules::layer_limit(context, stage.layer) as usize).saturating_sub(kept.len());
    if !left_out.len().is_multiple_of(width)
        || left_out.len() / width > room
        || stage.layer.0 == 0 && !left_out.is_empty()
    {
        return None;
    }
    let entries: Vec<SignedEntry> =
        left_out.chunks_exact(width).map(|entry| SignedEntry::decode(stage.layer, entry)).collect::<Option<_>>()?;
    let mut sources: HashMap<[u8; ENCODED_LEN], Vec<ChainId>> = HashMap::new();
    for entry in &entries {
        sources.entry(*entry.key.encoded()).or_default().extend(entry.source());
    }
    let is_doubled = |sources: &Vec<ChainId>| {
        let distinct: BTreeSet<_> = sources.iter().collect();
        sources.len() > 1 && distinct.len() == sources.len()
    };
    if !sources.values().all(is_doubled) || kept.keys().iter().any(|key| sources.contains_key(key.encoded())) {
        return None;
    }
    let claims: Vec<Claim> = entries.iter().map(|entry| entry.claim(context, stage)).collect::<Option<_>>()?;
    verify_batch(&Element::base(), &claims, rng).ok()?;
    Some(entries.iter().map(|entry| entry.key).collect())
}

/// A chain's input that all its members have signed. Only [`SignedInput::verify`] makes it.
#[derive(Clone, Debug)]
pub(crate) struct SignedInput(Arc<AgreedInput>);

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
        let InputRoot { input, signatures, fingerprints, left_out } = root;
        let agreed = AgreedInput { input, signatures };
        context.check_input(&agreed)?;
        let lists = InputLists { fingerprints, left_out };
        if lists.are_of(&agreed.input) { Ok((Self(Arc::new(agreed)), lists)) } else { Err(UnsignedInput::Lists) }
    }

    pub(crate) fn commitment(&self) -> &InputCommitment {
        &self.0.input
    }

    /// With all signatures, for others to check.
    pub(crate) fn agreed(&self) -> &AgreedInput {
        &self.0
    }
}
