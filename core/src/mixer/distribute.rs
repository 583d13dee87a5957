//! Between layers: the payloads of a chain become parcels for the chains of the next layer.

use std::sync::Arc;

use hippodrome_crypto::{
    merkle::{self, Tree},
    records::Records,
};

use super::context::RoundContext;
use crate::{
    ids::{ChainId, Layer, Stage},
    wire::CHAIN_LEN,
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
    /// Over the records.
    pub(crate) tree: Arc<Tree>,
    pub(crate) places: Vec<usize>,
}

/// Sorts payloads into parcels. Those that no honest client makes have been looked for and removed before the batch was
/// shuffled; none if one is left that goes nowhere.
pub(crate) fn distribute(context: &RoundContext, stage: Stage, payloads: &Records) -> Option<Distribution> {
    let next = Layer(stage.layer.0 + 1);
    let width = context.sizes.parcel_record(next.0.into());
    let parcels: Vec<_> = context.open(next).iter().map(|&chain| parcel(payloads, width, chain)).collect();
    let sorted: usize = parcels.iter().map(|parcel| parcel.places.len()).sum();
    (sorted == payloads.len()).then_some(Distribution { parcels })
}

fn parcel(payloads: &Records, width: usize, destination: ChainId) -> OutgoingParcel {
    let (mut records, mut places) = (Records::new(width), Vec::new());
    for (place, payload) in payloads.iter().enumerate() {
        let (chain, record) = payload.split_at(CHAIN_LEN);
        if chain == destination.0.to_le_bytes() {
            records.push(record);
            places.push(place);
        }
    }
    let tree = Arc::new(Tree::new(merkle::leaves(&records)));
    OutgoingParcel { records: records.into_bytes(), tree, places }
}
