//! Fields that many messages have.

use bytes::Bytes;
use hippodrome_core::{
    ids::{ChainId, Layer, Place, Position, RosterId, Round, ServerId, Stage},
    message::{BatchCommitment, EpochPlan, InputCommitment, SignedBatch, Standing},
};
use hippodrome_crypto::{
    group::{ENCODED_LEN, Element},
    hash::Digest,
    hop::{HOP_PUBLIC_LEN, HopPublic},
    signing::{PublicKey, SIGNATURE_LEN, Signature},
};

use super::WireError;
use crate::pb;

/// Most bytes of `host:port`: the longest DNS name, a colon and five digits.
const ADDRESS_LIMIT: usize = 253 + 6;

pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or(WireError::Missing { field })
}

pub(crate) fn array<const LEN: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; LEN], WireError> {
    bytes.try_into().map_err(|_| WireError::Length { field, expected: LEN, got: bytes.len() })
}

pub(crate) fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, WireError> {
    array(field, bytes).map(Digest)
}

pub(crate) fn signature(field: &'static str, bytes: &[u8]) -> Result<Signature, WireError> {
    array(field, bytes).map(Signature)
}

/// The records of a list, which must be a whole number of them.
pub(crate) fn records<'a, const WIDTH: usize>(
    field: &'static str,
    bytes: &'a [u8],
) -> Result<&'a [[u8; WIDTH]], WireError> {
    match bytes.as_chunks() {
        (records, []) => Ok(records),
        _ => Err(WireError::Ragged { field, width: WIDTH, got: bytes.len() }),
    }
}

/// Entries of a list, for a header. More than the number can say do not fit any body that a receiver takes.
pub(crate) fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

/// The first `count` records of a body, and what follows them.
pub(crate) fn split_list<'a, const WIDTH: usize>(
    field: &'static str,
    count: u32,
    body: &'a [u8],
) -> Result<(&'a [u8], &'a [u8]), WireError> {
    let expected = u64::from(count) * WIDTH as u64;
    let split = usize::try_from(expected).ok().and_then(|length| body.split_at_checked(length));
    split.ok_or(WireError::TooShort { field, expected, got: body.len() })
}

pub(crate) fn signatures(field: &'static str, bytes: &[u8]) -> Result<Vec<Signature>, WireError> {
    Ok(records::<SIGNATURE_LEN>(field, bytes)?.iter().copied().map(Signature).collect())
}

/// A branch of a tree: at most `limit` digests.
pub(crate) fn branch(field: &'static str, limit: usize, bytes: &[u8]) -> Result<Vec<Digest>, WireError> {
    let digests = records::<32>(field, bytes)?;
    if digests.len() > limit {
        return Err(WireError::TooMany { field, limit, got: digests.len() });
    }
    Ok(digests.iter().copied().map(Digest).collect())
}

pub(crate) fn join_digests(digests: &[Digest]) -> Bytes {
    digests.iter().flat_map(|digest| digest.0).collect()
}

pub(crate) fn join_signatures(signatures: &[Signature]) -> Vec<u8> {
    signatures.iter().flat_map(|signature| signature.0).collect()
}

/// Bytes of a server's number with its signature.
const SIGNED_BY_LEN: usize = 2 + SIGNATURE_LEN;

/// Signatures behind the numbers of those who made them.
pub(crate) fn signed_by(field: &'static str, bytes: &[u8]) -> Result<Vec<(ServerId, Signature)>, WireError> {
    let split = |record: &[u8; SIGNED_BY_LEN]| {
        let [low, high, rest @ ..] = record;
        Ok((ServerId(u16::from_le_bytes([*low, *high])), signature(field, rest)?))
    };
    records(field, bytes)?.iter().map(split).collect()
}

pub(crate) fn join_signed_by(signatures: &[(ServerId, Signature)]) -> Vec<u8> {
    let mut body = Vec::with_capacity(signatures.len() * SIGNED_BY_LEN);
    for (server, signature) in signatures {
        body.extend(server.0.to_le_bytes());
        body.extend(signature.0);
    }
    body
}

fn public_keys(field: &'static str, bytes: &[u8]) -> Result<Vec<PublicKey>, WireError> {
    let decode = |key| PublicKey::decode(key).map_err(|source| WireError::PublicKey { field, source });
    records::<32>(field, bytes)?.iter().map(decode).collect()
}

fn join_public_keys(keys: &[PublicKey]) -> Vec<u8> {
    keys.iter().flat_map(PublicKey::to_bytes).collect()
}

pub(crate) fn hop_keys(field: &'static str, bytes: &[u8]) -> Result<Vec<HopPublic>, WireError> {
    let decode = |hop| HopPublic::from_bytes(hop).map_err(|source| WireError::Element { field, source });
    records::<HOP_PUBLIC_LEN>(field, bytes)?.iter().map(decode).collect()
}

pub(crate) fn join_hop_keys(keys: &[HopPublic]) -> Vec<u8> {
    keys.iter().flat_map(HopPublic::to_bytes).collect()
}

pub(crate) fn elements(field: &'static str, bytes: &[u8]) -> Result<Vec<Element>, WireError> {
    let decode = |key| Element::decode(key).map_err(|source| WireError::Element { field, source });
    records::<ENCODED_LEN>(field, bytes)?.iter().map(decode).collect()
}

/// A number that must fit the id it names.
fn narrow<T: TryFrom<u32>>(field: &'static str, limit: u64, value: u32) -> Result<T, WireError> {
    T::try_from(value).map_err(|_| WireError::Range { field, limit, got: value.into() })
}

pub(crate) fn layer(field: &'static str, value: u32) -> Result<Layer, WireError> {
    narrow(field, u8::MAX.into(), value).map(Layer)
}

pub(crate) fn chain(field: &'static str, value: u32) -> Result<ChainId, WireError> {
    narrow(field, u16::MAX.into(), value).map(ChainId)
}

pub(crate) fn position(field: &'static str, value: u32) -> Result<Position, WireError> {
    narrow(field, u8::MAX.into(), value).map(Position)
}

pub(crate) fn server(field: &'static str, value: u32) -> Result<ServerId, WireError> {
    narrow(field, u16::MAX.into(), value).map(ServerId)
}

/// `host:port`, whoever may be there.
pub(crate) fn address(field: &'static str, value: String) -> Result<String, WireError> {
    let printable = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
    let parts = value.rsplit_once(':');
    if value.len() <= ADDRESS_LIMIT && parts.is_some_and(|(host, port)| printable(host) && port.parse::<u16>().is_ok())
    {
        Ok(value)
    } else {
        Err(WireError::Address { field, limit: ADDRESS_LIMIT })
    }
}

pub(crate) fn bytes_of(digest: &Digest) -> Bytes {
    Bytes::copy_from_slice(digest.as_bytes())
}

pub(crate) fn bytes_of_signature(signature: &Signature) -> Bytes {
    Bytes::copy_from_slice(&signature.0)
}

impl From<Stage> for pb::Stage {
    fn from(stage: Stage) -> Self {
        Self { round: stage.round.0, layer: stage.layer.0.into(), chain: stage.chain.0.into() }
    }
}

pub(crate) fn stage(field: &'static str, stage: Option<pb::Stage>) -> Result<Stage, WireError> {
    let stage = required(field, stage)?;
    Ok(Stage {
        round: Round(stage.round),
        layer: layer("stage.layer", stage.layer)?,
        chain: chain("stage.chain", stage.chain)?,
    })
}

impl From<RosterId> for pb::RosterId {
    fn from(roster: RosterId) -> Self {
        Self { epoch: roster.epoch, amendment: roster.amendment }
    }
}

pub(crate) fn roster(field: &'static str, roster: Option<pb::RosterId>) -> Result<RosterId, WireError> {
    let pb::RosterId { epoch, amendment } = required(field, roster)?;
    Ok(RosterId { epoch, amendment })
}

impl From<&EpochPlan> for pb::EpochPlan {
    fn from(plan: &EpochPlan) -> Self {
        Self {
            number: plan.number,
            first_round: plan.first_round.0,
            start_ms: plan.start_ms,
            client_count: count(&plan.registry),
            live_count: count(&plan.live),
            server_count: count(&plan.standings),
        }
    }
}

/// A plan with its lists from the start of a body, and what follows them.
pub(crate) fn epoch_plan(plan: Option<pb::EpochPlan>, body: &[u8]) -> Result<(EpochPlan, &[u8]), WireError> {
    let plan = required("plan", plan)?;
    let (registry, rest) = split_list::<32>("registry", plan.client_count, body)?;
    let (live, rest) = split_list::<2>("live", plan.live_count, rest)?;
    let (standings, rest) = split_list::<STANDING_LEN>("standings", plan.server_count, rest)?;
    let live = records::<2>("live", live)?.iter().map(|id| ServerId(u16::from_le_bytes(*id))).collect();
    let standings = records::<STANDING_LEN>("standings", standings)?.iter().map(standing).collect();
    let plan = EpochPlan {
        number: plan.number,
        registry: public_keys("registry", registry)?,
        first_round: Round(plan.first_round),
        start_ms: plan.start_ms,
        live,
        standings,
    };
    Ok((plan, rest))
}

/// Bytes of a server's standing.
const STANDING_LEN: usize = 2 + 8;

fn standing(record: &[u8; STANDING_LEN]) -> Standing {
    let [low, high, out_until @ ..] = *record;
    Standing { strikes: u16::from_le_bytes([low, high]), out_until_ms: u64::from_le_bytes(out_until) }
}

/// The lists of a plan, for a body.
pub(crate) fn join_plan(plan: &EpochPlan) -> Vec<u8> {
    let mut body = join_public_keys(&plan.registry);
    body.extend(plan.live.iter().flat_map(|server| server.0.to_le_bytes()));
    for Standing { strikes, out_until_ms } in &plan.standings {
        body.extend(strikes.to_le_bytes());
        body.extend(out_until_ms.to_le_bytes());
    }
    body
}

impl From<Place> for pb::Place {
    fn from(place: Place) -> Self {
        Self { stage: Some(place.stage.into()), position: place.position.0.into() }
    }
}

pub(crate) fn place(place: Option<pb::Place>) -> Result<Place, WireError> {
    let place = required("place", place)?;
    Ok(Place { stage: stage("place.stage", place.stage)?, position: position("place.position", place.position)? })
}

impl From<&InputCommitment> for pb::InputCommitment {
    fn from(input: &InputCommitment) -> Self {
        Self {
            stage: Some(input.stage.into()),
            count: input.count,
            root: bytes_of(&input.root),
            keys: bytes_of(&input.keys),
            entries: bytes_of(&input.entries),
            fingerprints: bytes_of(&input.fingerprints),
            left_out: bytes_of(&input.left_out),
        }
    }
}

pub(crate) fn input_commitment(input: Option<pb::InputCommitment>) -> Result<InputCommitment, WireError> {
    let input = required("input", input)?;
    Ok(InputCommitment {
        stage: stage("input.stage", input.stage)?,
        count: input.count,
        root: digest("input.root", &input.root)?,
        keys: digest("input.keys", &input.keys)?,
        entries: digest("input.entries", &input.entries)?,
        fingerprints: digest("input.fingerprints", &input.fingerprints)?,
        left_out: digest("input.left_out", &input.left_out)?,
    })
}

impl From<&BatchCommitment> for pb::BatchCommitment {
    fn from(batch: &BatchCommitment) -> Self {
        Self {
            place: Some(batch.place.into()),
            count: batch.count,
            root: bytes_of(&batch.root),
            keys: bytes_of(&batch.keys),
            source: bytes_of(&batch.source),
            source_keys: bytes_of(&batch.source_keys),
            removed: bytes_of(&batch.removed),
        }
    }
}

pub(crate) fn batch_commitment(batch: Option<pb::BatchCommitment>) -> Result<BatchCommitment, WireError> {
    let batch = required("batch", batch)?;
    Ok(BatchCommitment {
        place: place(batch.place)?,
        count: batch.count,
        root: digest("batch.root", &batch.root)?,
        keys: digest("batch.keys", &batch.keys)?,
        source: digest("batch.source", &batch.source)?,
        source_keys: digest("batch.source_keys", &batch.source_keys)?,
        removed: digest("batch.removed", &batch.removed)?,
    })
}

impl From<&SignedBatch> for pb::SignedBatch {
    fn from(signed: &SignedBatch) -> Self {
        Self { batch: Some((&signed.batch).into()), signature: bytes_of_signature(&signed.signature) }
    }
}

pub(crate) fn signed_batch(signed: pb::SignedBatch) -> Result<SignedBatch, WireError> {
    Ok(SignedBatch {
        batch: batch_commitment(signed.batch)?,
        signature: signature("signed_batch.signature", &signed.signature)?,
    })
}

pub(crate) fn join_elements(elements: &[Element]) -> Vec<u8> {
    elements.iter().flat_map(|element| *element.encoded()).collect()
}
