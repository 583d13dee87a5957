//! Between layers: the payloads of a chain become parcels for the chains of the next layer.

use std::collections::HashSet;

use hippodrome_crypto::{
    group::Element,
    hash::Digest,
    knowledge::{Claim, verify_batch},
    records::Records,
};
use rand_chacha::ChaCha20Rng;

use super::{context::RoundContext, input::parcel_root};
use crate::{
    ids::{ChainId, Layer, Stage},
    submission::{Forwarded, ParcelRecord},
};

/// A chain's payloads, sorted by destination.
#[derive(Debug)]
pub(crate) struct Distribution {
    /// One parcel for each open chain of the next layer, in order.
    pub(crate) parcels: Vec<OutgoingParcel>,
}

/// A parcel, and where its records stood in the chain's output: the way back needs it.
#[derive(Debug)]
pub(crate) struct OutgoingParcel {
    pub(crate) records: Vec<u8>,
    pub(crate) root: Digest,
    pub(crate) places: Vec<usize>,
}

/// Sorts payloads into parcels; none if one is malformed, doubled, or lacks the knowledge of its key, which an honest
/// client never makes. The sender looks for these itself: a parcel that has one convicts whoever signed it.
pub(crate) fn distribute(
    context: &RoundContext,
    stage: Stage,
    payloads: &Records,
    rng: &mut ChaCha20Rng,
) -> Option<Distribution> {
    let next = Layer(stage.layer.0 + 1);
    let forwarded: Vec<Forwarded> = payloads.iter().map(Forwarded::decode).collect::<Result<_, _>>().ok()?;
    if forwarded.iter().any(|payload| !context.roster.is_open(next, payload.destination)) {
        return None;
    }
    let mut seen = HashSet::with_capacity(forwarded.len());
    if !forwarded.iter().all(|payload| seen.insert(*payload.record.key.encoded())) {
        return None;
    }
    let claim = |payload: &Forwarded| payload.record.claim(context.digest(), next, stage.chain, payload.destination);
    let claims: Vec<Claim> = forwarded.iter().map(claim).collect();
    verify_batch(&Element::base(), &claims, rng).ok()?;
    let parcels = context.open(next).iter().map(|&chain| parcel(&forwarded, chain)).collect();
    Some(Distribution { parcels })
}

fn parcel(forwarded: &[Forwarded], destination: ChainId) -> OutgoingParcel {
    let (places, records): (Vec<usize>, Vec<ParcelRecord>) = forwarded
        .iter()
        .enumerate()
        .filter(|(_, payload)| payload.destination == destination)
        .map(|(place, payload)| (place, payload.record.clone()))
        .unzip();
    let root = parcel_root(&records);
    OutgoingParcel { records: records.iter().flat_map(ParcelRecord::encode).collect(), root, places }
}
