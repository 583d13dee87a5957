//! Noise: every active server sends a constant number of records through each open input chain each round.
//!
//! The records are accesses in *slots* of two: both to one fresh mailbox, or each to one of its own. All records are
//! dealt to the input chains by one uniform permutation, so that a record's input chain tells nothing of its slot.

use hippodrome_crypto::{permutation::below, signing::SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use super::context::RoundContext;
use crate::{
    ids::{Author, ChainId, Layer},
    submission::{Access, Composer},
    wire::{FRAME_LEN, MAILBOX_LEN},
};

/// Composes the submissions of one round, encoded, for each open input chain. Half of the slots are shared.
pub(crate) fn compose(context: &RoundContext, key: &SigningKey, rng: &mut ChaCha20Rng) -> Vec<(ChainId, Vec<u8>)> {
    let params = context.params();
    let per_chain = params.noise_per_chain as usize;
    let chains = context.open(Layer(0));
    let slots = per_chain * chains.len() / 2;
    let mut accesses = accesses(slots, slots / 2, rng);
    shuffle(&mut accesses, rng);
    let mut dealt = accesses.into_iter();
    chains
        .iter()
        .map(|&chain| {
            let view = context.descriptor.own_view(chain);
            let composer = Composer { view: &view, author: Author::Server(context.me), key };
            let mut records = Vec::with_capacity(per_chain * context.sizes.submission);
            for (slot, access) in dealt.by_ref().take(per_chain).enumerate() {
                // The replies are looked at by their number only, which needs no keys yet.
                let (submission, _) = composer.compose(slot as u16, &access, rng);
                records.extend(submission.encode());
            }
            (chain, records)
        })
        .collect()
}

fn accesses(slots: usize, shared: usize, rng: &mut ChaCha20Rng) -> Vec<Access> {
    let mut accesses = Vec::with_capacity(2 * slots);
    for slot in 0..slots {
        let first = random_access(rng);
        let mut second = random_access(rng);
        if slot < shared {
            second.mailbox = first.mailbox;
        }
        accesses.extend([first, second]);
    }
    accesses
}

fn random_access(rng: &mut ChaCha20Rng) -> Access {
    let mut access = Access { mailbox: [0; MAILBOX_LEN], content: [0; FRAME_LEN] };
    rng.fill_bytes(&mut access.mailbox);
    rng.fill_bytes(&mut access.content);
    access
}

/// Fisher–Yates.
fn shuffle<T>(items: &mut [T], rng: &mut ChaCha20Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last as u32 + 1, rng) as usize);
    }
}
