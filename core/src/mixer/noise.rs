//! Noise: every active server sends a constant number of records through each open input chain each round.
//!
//! The records are accesses in *slots* of two: both to one fresh mailbox, or each to one of its own. All records are
//! dealt to the input chains by one uniform permutation, so that a record's input chain tells nothing of its slot.

use hippodrome_crypto::{hash::Digest, merkle, permutation::below, signing::SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use subtle::{Choice, ConditionallySelectable};

use super::context::RoundContext;
use crate::{
    ids::{Author, ChainId, Layer},
    noise::shared_slots,
    submission::{Access, Composed, Composer, Opening, ReplyRoute},
    wire::{FRAME_LEN, MAILBOX_LEN},
};

/// A server's noise for one input chain: what it sends, and what it keeps until the round ends.
#[derive(Debug)]
pub(crate) struct ChainNoise {
    pub(crate) chain: ChainId,
    /// Encoded, slot by slot.
    pub(crate) submissions: Vec<u8>,
    /// Slot by slot.
    pub(crate) records: Vec<NoiseRecord>,
    /// What opens the replies, slot by slot.
    pub(crate) routes: Vec<ReplyRoute>,
}

/// A noise record as its owner keeps it: secret, unless one is shown with a claim.
pub(crate) struct NoiseRecord {
    pub(crate) opening: Opening,
    /// The body in layer 0.
    pub(crate) body: Vec<u8>,
    /// The leaf in layer 0.
    pub(crate) leaf: Digest,
}

impl std::fmt::Debug for NoiseRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NoiseRecord(..)")
    }
}

/// Composes the submissions of one round for each open input chain: the same work whatever is drawn.
pub(crate) fn compose(context: &RoundContext, key: &SigningKey, rng: &mut ChaCha20Rng) -> Vec<ChainNoise> {
    let chains = context.open(Layer(0));
    let per_chain = context.roster.noise_per_chain() as usize;
    let slots = (per_chain * chains.len() / 2) as u32;
    let shared = shared_slots(context.params().noise.shape, slots, rng);
    let mut accesses = accesses(slots, shared, rng);
    shuffle(&mut accesses, rng);
    let mut dealt = accesses.into_iter();
    chains
        .iter()
        .map(|&chain| {
            let view = context.descriptor.own_view(chain);
            let composer = Composer { view: &view, author: Author::Server(context.me), key };
            let mut noise = ChainNoise {
                chain,
                submissions: Vec::with_capacity(per_chain * context.sizes.submission),
                records: Vec::with_capacity(per_chain),
                routes: Vec::with_capacity(per_chain),
            };
            for (slot, access) in dealt.by_ref().take(per_chain).enumerate() {
                let Composed { submission, route, opening } = composer.compose(slot as u16, &access, rng);
                noise.submissions.extend(submission.encode());
                let leaf = merkle::leaf(submission.key.encoded(), &merkle::body_hash(&submission.body));
                noise.records.push(NoiseRecord { opening, body: submission.body, leaf });
                noise.routes.push(route);
            }
            noise
        })
        .collect()
}

/// Accesses, slot by slot. The same steps are taken for a slot that is shared and for one that is not.
fn accesses(slots: u32, shared: u32, rng: &mut ChaCha20Rng) -> Vec<Access> {
    let mut accesses = Vec::with_capacity(2 * slots as usize);
    for slot in 0..slots {
        let first = random_access(rng);
        let mut second = random_access(rng);
        second.mailbox.conditional_assign(&first.mailbox, Choice::from(u8::from(slot < shared)));
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

#[cfg(test)]
mod tests;
