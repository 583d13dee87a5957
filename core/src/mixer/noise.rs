//! Noise: every active server sends a constant number of records through each open input chain each round.
//!
//! The records are accesses in *slots* of two: both to one fresh mailbox, or each to one of its own. All records are
//! dealt to the input chains by one uniform permutation, so that a record's input chain tells nothing of its slot. All of
//! it follows from one seed, drawn afresh for each round.

use std::sync::Arc;

use hippodrome_crypto::{hash::Digest, merkle, permutation::below, signing::SigningKey};
use hippodrome_pledge::{Counts, NoiseSeed, Terms};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use rayon::prelude::*;
use subtle::{Choice, ConditionallySelectable};

use super::context::RoundContext;
use crate::{
    directory::Directory,
    evidence::RoundBasis,
    ids::{Author, ChainId, Layer, Round},
    noise::shared_slots,
    params::NetworkParams,
    pledge::{self, NoisePledge},
    roster::{Roster, output_chain},
    submission::{Access, Composed, Composer, Opening, ReplyRoute, Wrapped},
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

/// Composes the submissions of one round for each open input chain: the same work whatever follows from the seed.
pub(crate) fn compose(context: &RoundContext, key: &SigningKey, seed: &NoiseSeed) -> Vec<ChainNoise> {
    let (sizes, per_chain) = (&context.sizes, context.roster.noise_per_chain() as usize);
    let mut dealt = Drawn::new(context.params(), &context.roster, seed).dealt(seed).into_iter();
    let open = context.open(Layer(0)).iter();
    open.map(|&chain| {
        let view = context.descriptor.own_view(chain);
        let composer = Composer { view: &view, author: Author::Server(context.me), key };
        let mut noise = ChainNoise {
            chain,
            submissions: Vec::with_capacity(per_chain * sizes.submission),
            records: Vec::with_capacity(per_chain),
            routes: Vec::with_capacity(per_chain),
        };
        for (slot, access) in (0..).zip(dealt.by_ref().take(per_chain)) {
            let Composed { submission, route, opening } =
                composer.compose(slot, &access, &mut record_rng(seed, chain, slot));
            noise.submissions.extend(submission.encode());
            let leaf = merkle::leaf(submission.key.encoded(), &merkle::body_hash(&submission.body));
            noise.records.push(NoiseRecord { opening, body: submission.body, leaf });
            noise.routes.push(route);
        }
        noise
    })
    .collect()
}

/// The leaves of all records that follow from a seed, for each open input chain, slot by slot: what their owner's places in
/// the chain's input must hold.
pub(crate) fn leaves(basis: &RoundBasis, seed: &NoiseSeed) -> Vec<(ChainId, Vec<Digest>)> {
    let per_chain = basis.roster.noise_per_chain() as usize;
    let dealt = Drawn::new(basis.params(), &basis.roster, seed).dealt(seed);
    let chains = basis.open(Layer(0)).iter().zip(dealt.chunks(per_chain.max(1)));
    chains
        .map(|(&chain, accesses)| {
            let view = basis.descriptor.own_view(chain);
            let leaf = |(slot, access)| Wrapped::new(&view, access, &mut record_rng(seed, chain, slot as u16)).leaf();
            (chain, accesses.par_iter().enumerate().map(leaf).collect())
        })
        .collect()
}

/// What is drawn for one record: middle chains, exponents, proofs.
fn record_rng(seed: &NoiseSeed, chain: ChainId, slot: u16) -> ChaCha20Rng {
    seed.rng_of("record", [chain.0, slot])
}

/// The accesses that follow from a seed, slot by slot.
struct Drawn {
    /// How many slots are shared: the first ones.
    shared: u32,
    accesses: Vec<Access>,
}

impl Drawn {
    fn new(params: &NetworkParams, roster: &Roster, seed: &NoiseSeed) -> Self {
        let slots = roster.noise_slots();
        let shared = shared_slots(params.noise.shape, slots, &mut seed.rng("shared slots"));
        Self { shared, accesses: accesses(slots, shared, &mut seed.rng("accesses")) }
    }

    /// How many shared slots and lone records lead to each open output chain: the same work whatever they are.
    fn counts(&self, roster: &Roster, last: Layer) -> Counts {
        let open = roster.open(last);
        let mut counts = Counts { shared: vec![0; open.len()], lone: vec![0; open.len()] };
        for (slot, [first, second]) in (0..).zip(self.accesses.as_chunks().0) {
            let is_shared = u32::from(slot < self.shared);
            counts.shared[chain_index(first, open)] += is_shared;
            counts.lone[chain_index(first, open)] += 1 - is_shared;
            counts.lone[chain_index(second, open)] += 1 - is_shared;
        }
        counts
    }

    /// In the order in which they are dealt to the input chains.
    fn dealt(mut self, seed: &NoiseSeed) -> Vec<Access> {
        shuffle(&mut self.accesses, &mut seed.rng("order"));
        self.accesses
    }
}

/// The place of an access's output chain among the open ones.
fn chain_index(access: &Access, open: &[ChainId]) -> usize {
    let chain = output_chain(&access.mailbox, open).expect("a usable roster has open chains");
    open.binary_search(&chain).expect("one of them")
}

/// The noise of one round that a server pledges.
pub(crate) struct Pledging {
    pub(crate) terms: Terms,
    pub(crate) directory: Arc<Directory>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) seed: Arc<NoiseSeed>,
}

impl Pledging {
    /// Draws the noise, and pledges it.
    pub(crate) fn run(&self) -> NoisePledge {
        let counts = counts(self.directory.params(), &self.roster, &self.seed);
        let round = Round(self.terms.context().round);
        let share = pledge::coin_share(&self.directory, &self.roster, round, &self.key);
        let coin = pledge::coin_commitment(&self.directory, &self.roster, round, &share);
        NoisePledge::make(&self.terms, coin, &self.seed, &counts).expect("counts of all records of the terms")
    }
}

/// How the noise that follows from a seed spreads over the output chains.
pub(crate) fn counts(params: &NetworkParams, roster: &Roster, seed: &NoiseSeed) -> Counts {
    Drawn::new(params, roster, seed).counts(roster, Layer(params.layers - 1))
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
