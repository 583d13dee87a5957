//! Messages with something in them changed at random, as any server may send them.

use hippodrome_core::{
    ids::{ChainId, Layer, Place, Position, Round, Stage},
    message::Message,
};
use hippodrome_crypto::{hash::Digest, permutation::below, signing::Signature};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

/// What can be changed in a message.
#[derive(Default)]
struct Parts<'a> {
    round: Option<&'a mut Round>,
    stage: Option<&'a mut Stage>,
    place: Option<&'a mut Place>,
    chain: Option<&'a mut ChainId>,
    layer: Option<&'a mut Layer>,
    count: Option<&'a mut u32>,
    digest: Option<&'a mut Digest>,
    signature: Option<&'a mut Signature>,
    bytes: Option<&'a mut Vec<u8>>,
}

/// The parts of what servers send each other.
fn parts(message: &mut Message) -> Parts<'_> {
    let parts = Parts::default();
    match message {
        Message::InputOffer(said) => Parts {
            stage: Some(&mut said.input.stage),
            count: Some(&mut said.input.count),
            digest: Some(&mut said.input.root),
            signature: Some(&mut said.signature),
            bytes: Some(&mut said.entries),
            ..parts
        },
        Message::InputSignature(said) => {
            Parts { stage: Some(&mut said.stage), signature: Some(&mut said.signature), ..parts }
        }
        Message::InputRoot(said) => Parts {
            stage: Some(&mut said.input.stage),
            count: Some(&mut said.input.count),
            digest: Some(&mut said.input.keys),
            signature: said.signatures.first_mut(),
            ..parts
        },
        Message::Confirmation(said) => Parts {
            round: Some(&mut said.round),
            layer: Some(&mut said.layer),
            digest: Some(&mut said.vector),
            signature: Some(&mut said.signature),
            ..parts
        },
        Message::Batch(said) => Parts {
            place: Some(&mut said.batch.place),
            count: Some(&mut said.batch.count),
            digest: Some(&mut said.batch.source),
            signature: Some(&mut said.signature),
            bytes: Some(&mut said.records),
            ..parts
        },
        Message::Proof(said) => Parts {
            place: Some(&mut said.batch.place),
            count: Some(&mut said.batch.count),
            digest: Some(&mut said.batch.root),
            signature: Some(&mut said.signature),
            bytes: Some(&mut said.proof),
            ..parts
        },
        Message::Parcel(said) => Parts {
            stage: Some(&mut said.source),
            chain: Some(&mut said.destination),
            digest: Some(&mut said.root),
            signature: Some(&mut said.signature),
            bytes: Some(&mut said.records),
            ..parts
        },
        Message::Return(said) => Parts {
            place: Some(&mut said.signed.replies.place),
            chain: said.signed.replies.to.as_mut(),
            count: Some(&mut said.signed.replies.count),
            digest: Some(&mut said.signed.replies.root),
            signature: Some(&mut said.signed.signature),
            bytes: Some(&mut said.replies),
            ..parts
        },
        Message::NoiseReplies(said) => Parts {
            place: Some(&mut said.signed.replies.place),
            count: Some(&mut said.signed.replies.count),
            digest: Some(&mut said.signed.replies.sealed),
            signature: Some(&mut said.signed.signature),
            bytes: Some(&mut said.replies),
            ..parts
        },
        Message::Replaced(said) => Parts { place: Some(&mut said.from), signature: Some(&mut said.signature), ..parts },
        Message::Abort(said) => Parts { stage: Some(&mut said.stage), signature: Some(&mut said.signature), ..parts },
        Message::Noise(said) => Parts { stage: Some(&mut said.stage), bytes: Some(&mut said.submissions), ..parts },
        Message::Replies(said) => Parts { stage: Some(&mut said.stage), bytes: Some(&mut said.replies), ..parts },
        _ => parts,
    }
}

/// A copy in which one or more parts are changed.
pub fn mangled(message: &Message, rng: &mut ChaCha20Rng) -> Message {
    let mut copy = message.clone();
    for _ in 0..1 + below(3, rng) {
        change(parts(&mut copy), rng);
    }
    copy
}

fn change(parts: Parts<'_>, rng: &mut ChaCha20Rng) {
    let odd = |limit: u32, rng: &mut ChaCha20Rng| if below(4, rng) == 0 { u32::MAX } else { below(limit, rng) };
    match below(9, rng) {
        0 => parts.round.into_iter().for_each(|round| round.0 = u64::from(odd(20, rng))),
        1 => parts.stage.into_iter().for_each(|stage| change_stage(stage, rng)),
        2 => parts.place.into_iter().for_each(|place| match below(2, rng) {
            0 => change_stage(&mut place.stage, rng),
            _ => place.position = Position(odd(5, rng) as u8),
        }),
        3 => parts.chain.into_iter().for_each(|chain| chain.0 = odd(4, rng) as u16),
        4 => parts.layer.into_iter().for_each(|layer| layer.0 = odd(4, rng) as u8),
        5 => parts.count.into_iter().for_each(|count| *count = odd(20, rng)),
        6 => parts.digest.into_iter().for_each(|digest| digest.0[below(32, rng) as usize] ^= 1),
        7 => parts.signature.into_iter().for_each(|signature| rng.fill_bytes(&mut signature.0)),
        _ => parts.bytes.into_iter().for_each(|bytes| change_bytes(bytes, rng)),
    }
}

fn change_stage(stage: &mut Stage, rng: &mut ChaCha20Rng) {
    match below(3, rng) {
        0 => stage.round.0 = stage.round.0.wrapping_add(u64::from(below(5, rng))).wrapping_sub(2),
        1 => stage.layer.0 = below(5, rng) as u8,
        _ => stage.chain.0 = below(5, rng) as u16,
    }
}

fn change_bytes(bytes: &mut Vec<u8>, rng: &mut ChaCha20Rng) {
    let at = below(bytes.len().max(1) as u32, rng) as usize;
    match below(5, rng) {
        0 => bytes.truncate(at),
        1 if !bytes.is_empty() => bytes.extend_from_within(..at),
        2 if !bytes.is_empty() => bytes.rotate_left(at),
        3 => bytes.clear(),
        _ => bytes.iter_mut().skip(at).take(1 + below(40, rng) as usize).for_each(|byte| *byte ^= 0x55),
    }
}
