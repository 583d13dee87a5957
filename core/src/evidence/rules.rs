//! What a server can check by itself about an input, a parcel or a batch before it signs it: whoever signs one that
//! breaks these rules is guilty.

use std::collections::{BTreeMap, HashSet};

use hippodrome_crypto::{
    fingerprint::fingerprints,
    group::{ENCODED_LEN, Element},
    hash::{Digest, Hasher},
    key_list::KeyList,
    knowledge::{Claim, verify_batch},
    merkle,
    records::Records,
};
use rand_core::CryptoRng;
use rayon::prelude::*;

use super::{RoundBasis, before, entry::Entry};
use crate::{
    ids::{Author, Layer, Place, ServerId, Stage},
    message::{BatchCommitment, InputCommitment, Parcel, ParcelCommitment},
    statement,
    submission::{Origin, ParcelRecord},
};

/// The rule that a signed list breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenRule {
    /// The list has another length than was signed, or is too long.
    #[error("it has another number of records than was signed, or more than a chain may have")]
    Count,
    /// A record is malformed.
    #[error("a record of it is malformed")]
    Malformed,
    /// One key is there twice.
    #[error("it holds one key twice")]
    RepeatedKey,
    /// Signed digests are not those of the list.
    #[error("the digests that were signed with it are not those of its records")]
    Digests,
    /// Authors and slots do not ascend.
    #[error("its authors and slots do not ascend, each there once")]
    Order,
    /// Noise is missing.
    #[error("it lacks noise of {0}, which takes part")]
    NoiseLeftOut(ServerId),
    /// A record has no valid signatures.
    #[error("a record of it lacks the valid signatures of someone who may send it there")]
    Signatures,
}

/// Whether any of the encoded keys is there twice.
fn repeats<'a>(mut keys: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut seen = HashSet::new();
    !keys.all(|key| seen.insert(key))
}

/// Most records of a chain's input: what submissions are capped to, and for later layers all of the layer before.
pub(crate) fn layer_limit(basis: &RoundBasis, layer: Layer) -> u32 {
    let params = basis.params();
    if layer.0 == 0 { params.max_batch } else { params.max_batch.saturating_mul(params.chains.into()).min(1 << 24) }
}

/// Whether entries are the ones that an input's signers committed to, be they good or bad.
pub(crate) fn entries_are_of(basis: &RoundBasis, input: &InputCommitment, entries: &[u8]) -> bool {
    entries.len().is_multiple_of(basis.sizes.entry(input.stage.layer.0.into()))
        && entries_root(basis, input.stage.layer, entries) == input.entries
}

/// Merkle root over entries.
pub(crate) fn entries_root(basis: &RoundBasis, layer: Layer, entries: &[u8]) -> Digest {
    merkle::root_of(&entry_leaves(basis, layer, entries))
}

/// The leaves under [`entries_root`].
pub(crate) fn entry_leaves(basis: &RoundBasis, layer: Layer, entries: &[u8]) -> Vec<Digest> {
    entries.par_chunks_exact(basis.sizes.entry(layer.0.into())).map(Entry::leaf).collect()
}

/// Checks the form of an input: the entries make root, key list and fingerprints, no key is repeated, malformed or too
/// many; in layer 0 authors and slots ascend, and all noise is there.
pub(crate) fn check_entries(
    basis: &RoundBasis,
    input: &InputCommitment,
    entries: &[u8],
) -> Result<KeyList, BrokenRule> {
    let layer = input.stage.layer;
    let width = basis.sizes.entry(layer.0.into());
    if entries.len() != width * input.count as usize || input.count > layer_limit(basis, layer) {
        return Err(BrokenRule::Count);
    }
    let parsed = parse(layer, width, entries)?;
    if repeats(parsed.iter().map(|entry| entry.key.encoded().as_slice())) {
        return Err(BrokenRule::RepeatedKey);
    }
    let leaves: Vec<Digest> = parsed.iter().map(|entry| merkle::leaf(entry.key.encoded(), &entry.body)).collect();
    let keys = KeyList::new(parsed.iter().map(|entry| entry.key).collect());
    let found = (merkle::root_of(&leaves), *keys.digest(), entries_root(basis, layer, entries));
    let listed = fingerprints_digest(&listed(layer, &input.root, &keys));
    let nothing_left_out = layer.0 > 0 || input.left_out == left_out_digest(&[]);
    if found != (input.root, input.keys, input.entries) || listed != input.fingerprints || !nothing_left_out {
        return Err(BrokenRule::Digests);
    }
    if layer.0 == 0 {
        check_authors(basis, input.stage, &parsed)?;
    }
    Ok(keys)
}

/// In layer 0 authors and slots ascend, and every active server's noise is there whole, signed by it.
fn check_authors(basis: &RoundBasis, stage: Stage, entries: &[Entry]) -> Result<(), BrokenRule> {
    let origins: Vec<Origin> = entries.iter().filter_map(Entry::origin).collect();
    if !origins.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(BrokenRule::Order);
    }
    if let Some(owner) = lacking_noise(basis, origins.iter().copied()) {
        return Err(BrokenRule::NoiseLeftOut(owner));
    }
    let is_noise = |origin: &Origin| matches!(origin.author, Author::Server(_));
    let noise = entries.par_iter().zip(&origins).filter(|(_, origin)| is_noise(origin));
    let are_signed = noise.into_par_iter().all(|(entry, _)| entry.claim(basis, stage).is_some());
    if are_signed { Ok(()) } else { Err(BrokenRule::Signatures) }
}

/// The first active server some of whose noise is not among the authors of an input, each of whom has each slot once.
pub(crate) fn lacking_noise(basis: &RoundBasis, origins: impl Iterator<Item = Origin>) -> Option<ServerId> {
    let mut counts: BTreeMap<ServerId, u32> = basis.active().iter().map(|&server| (server, 0)).collect();
    for origin in origins {
        if let Author::Server(server) = origin.author
            && let Some(count) = counts.get_mut(&server)
        {
            *count += 1;
        }
    }
    let expected = basis.roster.noise_per_chain();
    counts.into_iter().find(|(_, count)| *count != expected).map(|(server, _)| server)
}

/// The fingerprints that a layer's inputs list: in layer 0 none, since owners get branches.
pub(crate) fn listed(layer: Layer, root: &Digest, keys: &KeyList) -> Vec<u8> {
    if layer.0 == 0 { Vec::new() } else { fingerprints(root, keys.keys()) }
}

/// Digest of an input's fingerprints, as its signers bind them.
pub(crate) fn fingerprints_digest(fingerprints: &[u8]) -> Digest {
    Hasher::new("hippodrome v1 fingerprint list").bytes(fingerprints).finish()
}

/// Digest of the keys left out of an input, as its signers bind them.
pub(crate) fn left_out_digest(keys: &[Element]) -> Digest {
    Hasher::new("hippodrome v1 keys left out").list(keys.iter().map(Element::encoded)).finish()
}

fn parse(layer: Layer, width: usize, entries: &[u8]) -> Result<Vec<Entry>, BrokenRule> {
    let parsed: Option<Vec<Entry>> = entries.par_chunks_exact(width).map(|entry| Entry::decode(layer, entry)).collect();
    parsed.ok_or(BrokenRule::Malformed)
}

/// Checks every author's signature and every signature of knowledge of an input: in `full` networks when something
/// fails, before anything is opened.
pub(crate) fn check_signatures<R: CryptoRng>(
    basis: &RoundBasis,
    stage: Stage,
    entries: &[u8],
    rng: &mut R,
) -> Result<(), BrokenRule> {
    let parsed = parse(stage.layer, basis.sizes.entry(stage.layer.0.into()), entries)?;
    let claims: Option<Vec<Claim>> = parsed.par_iter().map(|entry| entry.claim(basis, stage)).collect();
    let claims = claims.ok_or(BrokenRule::Signatures)?;
    verify_batch(&Element::base(), &claims, rng).map_err(|_| BrokenRule::Signatures)
}

/// What the sender of a parcel has signed, if the round has such chains.
pub(crate) fn parcel_commitment(basis: &RoundBasis, parcel: &Parcel) -> Option<ParcelCommitment> {
    let Parcel { source, destination, root, origin, records, .. } = parcel;
    let next = Layer(source.layer.0.checked_add(1)?);
    (basis.has(*source) && basis.roster.is_open(next, *destination)).then_some(())?;
    let count = u32::try_from(records.len() / basis.sizes.parcel_record(next.0.into())).ok()?;
    Some(ParcelCommitment { source: *source, destination: *destination, count, root: *root, origin: *origin })
}

/// Whether the last server of a parcel's source has signed it, and its records are those that it signed.
pub(crate) fn parcel_is_whole(basis: &RoundBasis, parcel: &Parcel) -> bool {
    parcel_commitment(basis, parcel).is_some_and(|commitment| {
        let signed = statement::parcel(basis.digest(), &commitment);
        basis.signed_by(basis.last_of(parcel.source), &signed, &parcel.signature)
            && parcel_records(basis, &commitment, &parcel.records).is_some()
    })
}

/// Whether a parcel brings what the hop before its sender has signed.
pub(crate) fn parcel_batch_fits(basis: &RoundBasis, parcel: &Parcel) -> bool {
    let sender = Place { stage: parcel.source, position: basis.last_position() };
    match (&parcel.batch, before(sender)) {
        (None, None) => true,
        (Some(batch), Some(before)) => batch.batch.place == before && basis.batch_is_signed(batch),
        _ => false,
    }
}

/// The records of a parcel, if they are the ones that its sender signed, be they good or bad.
pub(crate) fn parcel_records(basis: &RoundBasis, parcel: &ParcelCommitment, records: &[u8]) -> Option<Records> {
    let width = basis.sizes.parcel_record(usize::from(parcel.source.layer.0) + 1);
    let records = Records::from_bytes(width, records.to_vec()).ok()?;
    (merkle::root_of(&merkle::leaves(&records)) == parcel.root).then_some(records)
}

/// Checks the records of a parcel: every one well-formed, with knowledge of its key for this source and destination,
/// and no key twice.
pub(crate) fn check_parcel<R: CryptoRng>(
    basis: &RoundBasis,
    parcel: &ParcelCommitment,
    records: &Records,
    rng: &mut R,
) -> Result<Vec<ParcelRecord>, BrokenRule> {
    if records.len() != parcel.count as usize {
        return Err(BrokenRule::Count);
    }
    let layer = Layer(parcel.source.layer.0 + 1);
    let parsed = records.iter().map(|record| ParcelRecord::decode(&basis.sizes, layer, record));
    let parsed: Vec<ParcelRecord> = parsed.collect::<Option<_>>().ok_or(BrokenRule::Malformed)?;
    if repeats(parsed.iter().map(|record| record.key.encoded().as_slice())) {
        return Err(BrokenRule::RepeatedKey);
    }
    let claim = |record: &ParcelRecord| record.claim(basis.digest(), layer, parcel.source.chain, parcel.destination);
    let claims: Vec<Claim> = parsed.iter().map(claim).collect();
    verify_batch(&Element::base(), &claims, rng).map_err(|_| BrokenRule::Signatures)?;
    Ok(parsed)
}

/// Checks the keys of a batch whose records are those under the signed root.
pub(crate) fn check_batch(batch: &BatchCommitment, records: &Records) -> Result<KeyList, BrokenRule> {
    if records.len() != batch.count as usize {
        return Err(BrokenRule::Count);
    }
    let keys = hippodrome_crypto::onion::decode_keys(records).map_err(|_| BrokenRule::Malformed)?;
    if repeats(records.iter().map(|record| &record[..ENCODED_LEN])) {
        return Err(BrokenRule::RepeatedKey);
    }
    let keys = KeyList::new(keys);
    if *keys.digest() == batch.keys { Ok(keys) } else { Err(BrokenRule::Digests) }
}
