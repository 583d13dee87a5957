//! What stands under each signature: one label for each kind of statement, every field that gives it its meaning.
//!
//! The descriptor's digest is in all of them; it binds protocol version, network, epoch and round.

use hippodrome_crypto::hash::{Digest, Hasher};

use crate::{
    ids::{Layer, Place, Stage},
    message::{
        AbortReason, Awaited, BatchCommitment, InputCommitment, Missing, ParcelCommitment, ReturnCommitment,
        SignedBatch,
    },
};

fn staged(label: &str, descriptor: &Digest, stage: Stage) -> Hasher {
    Hasher::new(label).digest(descriptor).number(stage.layer.0.into()).number(stage.chain.0.into())
}

pub(crate) fn placed(label: &str, descriptor: &Digest, place: Place) -> Hasher {
    staged(label, descriptor, place.stage).number(place.position.0.into())
}

/// A chain's input, signed by all its members.
pub fn input(descriptor: &Digest, input: &InputCommitment) -> Digest {
    staged("hippodrome v1 input", descriptor, input.stage)
        .number(input.count.into())
        .digest(&input.root)
        .digest(&input.keys)
        .digest(&input.entries)
        .digest(&input.fingerprints)
        .digest(&input.left_out)
        .finish()
}

/// The vector of a layer's inputs, in chain order.
pub fn vector(descriptor: &Digest, layer: Layer, inputs: &[InputCommitment]) -> Digest {
    let hasher =
        Hasher::new("hippodrome v1 input vector").digest(descriptor).number(layer.0.into()).number(inputs.len() as u64);
    inputs.iter().fold(hasher, |hasher, chain| hasher.digest(&input(descriptor, chain))).finish()
}

/// A server's confirmation of a vector.
pub fn confirmation(descriptor: &Digest, layer: Layer, vector: &Digest) -> Digest {
    Hasher::new("hippodrome v1 confirmation").digest(descriptor).number(layer.0.into()).digest(vector).finish()
}

/// A mixed batch on its way forward.
pub fn batch(descriptor: &Digest, batch: &BatchCommitment) -> Digest {
    placed("hippodrome v1 batch", descriptor, batch.place)
        .number(batch.count.into())
        .digest(&batch.root)
        .digest(&batch.keys)
        .digest(&batch.source)
        .digest(&batch.source_keys)
        .digest(&batch.removed)
        .finish()
}

/// A hop's proof, with the batch that it is about and the one that this was made from.
pub fn proof(descriptor: &Digest, about: &BatchCommitment, source: Option<&SignedBatch>, proof: &[u8]) -> Digest {
    let hasher = Hasher::new("hippodrome v1 proof").digest(&batch(descriptor, about)).number(source.is_some().into());
    source
        .iter()
        .fold(hasher, |hasher, source| hasher.digest(&batch(descriptor, &source.batch)).bytes(&source.signature.0))
        .bytes(proof)
        .finish()
}

/// The context of a hop's proof: which hop of which round, and whose.
pub fn hop(descriptor: &Digest, place: Place, server: crate::ids::ServerId) -> Digest {
    placed("hippodrome v1 hop", descriptor, place).number(server.0.into()).finish()
}

/// An accusation of records that fail at a hop, by the digest of its content.
pub fn accusation(descriptor: &Digest, place: Place, content: &Digest) -> Digest {
    placed("hippodrome v1 accusation", descriptor, place).digest(content).finish()
}

/// A claim of missing noise, or of a spoiled reply to it, by the digest of its content.
pub fn claim(descriptor: &Digest, content: &Digest) -> Digest {
    Hasher::new("hippodrome v1 noise claim").digest(descriptor).digest(content).finish()
}

/// A hop's word that it has replaced the replies of another one, or what did not come from it.
pub fn replaced(descriptor: &Digest, place: Place, from: Place) -> Digest {
    placed("hippodrome v1 replaced replies", descriptor, place)
        .number(from.stage.layer.0.into())
        .number(from.stage.chain.0.into())
        .number(from.position.0.into())
        .finish()
}

/// That no records were removed from a hop's input before it was mixed.
pub fn no_removals() -> Digest {
    Hasher::new("hippodrome v1 removals").number(0).finish()
}

/// A parcel between layers, forward.
pub fn parcel(descriptor: &Digest, parcel: &ParcelCommitment) -> Digest {
    staged("hippodrome v1 parcel", descriptor, parcel.source)
        .number(parcel.destination.0.into())
        .number(parcel.count.into())
        .digest(&parcel.root)
        .digest(&parcel.origin)
        .finish()
}

/// What a parcel says of where its records come from: the root of the batch that its sender received, and what was
/// removed from that.
pub fn parcel_origin(received: &Digest, removed: &Digest) -> Digest {
    Hasher::new("hippodrome v1 origin of a parcel").digest(received).digest(removed).finish()
}

/// Replies on their way back, with what they answer and what they were sealed from.
pub fn returned(descriptor: &Digest, replies: &ReturnCommitment) -> Digest {
    let to = replies.to.map_or(0, |chain| 1 + u64::from(chain.0));
    placed("hippodrome v1 return", descriptor, replies.place)
        .number(to)
        .number(replies.count.into())
        .digest(&replies.root)
        .digest(&replies.answers)
        .digest(&replies.sealed)
        .finish()
}

/// What replies were sealed from: [`returned`] of each hop from which some came, none where they were replaced by random
/// bytes. At the mailboxes the list is empty.
pub fn sealed(sources: &[Option<Digest>]) -> Digest {
    let hasher = Hasher::new("hippodrome v1 sealed replies").number(sources.len() as u64);
    let add = |hasher: Hasher, source: &Option<Digest>| {
        let hasher = hasher.number(source.is_some().into());
        source.iter().fold(hasher, Hasher::digest)
    };
    sources.iter().fold(hasher, add).finish()
}

/// A server's word that it releases nothing more in a round.
pub fn abort(descriptor: &Digest, stage: Stage, reason: &AbortReason) -> Digest {
    let (kind, detail) = abort_code(reason);
    staged("hippodrome v1 abort", descriptor, stage).number(kind.into()).number(detail.into()).finish()
}

/// An abort's reason as two numbers: the kind, and the server or awaited thing that it names.
pub fn abort_code(reason: &AbortReason) -> (u8, u16) {
    match reason {
        AbortReason::Deadline(Missing { what, from: None }) => (0, awaited_code(*what).into()),
        AbortReason::Deadline(Missing { what, from: Some(server) }) => (64 + awaited_code(*what), server.0),
        AbortReason::BadMessage(server) => (1, server.0),
        AbortReason::BadProof(server) => (2, server.0),
        AbortReason::Equivocation(server) => (3, server.0),
        AbortReason::Convicted(server) => (7, server.0),
        AbortReason::LayerDidNotOpen => (4, 0),
        AbortReason::ActedBefore => (5, 0),
        AbortReason::Storage => (6, 0),
        AbortReason::NoiseLeftOut(server) => (16, server.0),
        AbortReason::BadReceipt(server) => (17, server.0),
        AbortReason::NoiseMissing => (18, 0),
        AbortReason::DroppedNoise(server) => (19, server.0),
        AbortReason::FalseClaim(server) => (20, server.0),
        AbortReason::Unproven => (8, 0),
    }
}

fn awaited_code(awaited: Awaited) -> u8 {
    match awaited {
        Awaited::Input => 0,
        Awaited::InputSignatures => 1,
        Awaited::Confirmations => 2,
        Awaited::Batch => 3,
        Awaited::Proofs => 4,
        Awaited::Replies => 5,
        Awaited::Inputs => 7,
        Awaited::Answer => 16,
        Awaited::Receipt => 17,
        Awaited::Trail => 6,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::ids::{ChainId, Position, Round, ServerId};

    fn digest(number: u64) -> Digest {
        Hasher::new("test").number(number).finish()
    }

    #[test]
    fn statements_of_different_kinds_or_fields_never_agree() {
        let stage = |layer, chain| Stage { round: Round(1), layer: Layer(layer), chain: ChainId(chain) };
        let place = |layer, chain, position| Place { stage: stage(layer, chain), position: Position(position) };
        let (d, r, k, e) = (digest(1), digest(2), digest(3), digest(4));
        let mut seen = HashSet::new();
        for (layer, chain) in [(0, 0), (0, 1), (1, 0)] {
            let here = stage(layer, chain);
            assert!(seen.insert(input(
                &d,
                &InputCommitment { stage: here, count: 2, root: r, keys: k, entries: e, fingerprints: e, left_out: e }
            )));
            let there = ParcelCommitment { source: here, destination: ChainId(0), count: 2, root: r, origin: e };
            assert!(seen.insert(parcel(&d, &there)));
            assert!(seen.insert(parcel(&d, &ParcelCommitment { destination: ChainId(1), ..there })));
            assert!(seen.insert(parcel(&d, &ParcelCommitment { origin: r, ..there })));
            for reason in
                [AbortReason::LayerDidNotOpen, AbortReason::BadProof(ServerId(0)), AbortReason::BadProof(ServerId(1))]
            {
                assert!(seen.insert(abort(&d, here, &reason)));
            }
            for position in 0..2 {
                let there = place(layer, chain, position);
                assert!(seen.insert(batch(
                    &d,
                    &BatchCommitment {
                        place: there,
                        count: 2,
                        root: r,
                        keys: k,
                        source: e,
                        source_keys: k,
                        removed: r
                    }
                )));
                assert!(seen.insert(batch(
                    &d,
                    &BatchCommitment {
                        place: there,
                        count: 3,
                        root: r,
                        keys: k,
                        source: e,
                        source_keys: k,
                        removed: r
                    }
                )));
                let replies = ReturnCommitment { place: there, to: None, count: 2, root: r, answers: k, sealed: e };
                assert!(seen.insert(returned(&d, &replies)));
                assert!(seen.insert(returned(&d, &ReturnCommitment { to: Some(ChainId(0)), ..replies })));
                assert!(seen.insert(returned(&d, &ReturnCommitment { answers: e, ..replies })));
                assert!(seen.insert(returned(&d, &ReturnCommitment { sealed: k, ..replies })));
                assert!(seen.insert(hop(&d, there, ServerId(0))));
                assert!(seen.insert(hop(&d, there, ServerId(1))));
            }
        }
    }
}
