//! Receipts: a server sees that its own noise arrives, and signs the inputs of no layer from which some is missing.
//!
//! In layer 0 the first server of each chain shows a branch for the server's records. In later layers every chain's signed
//! input lists fingerprints, and the server looks for its own by itself: it asks about no record. If some are missing it
//! shows one of them, drawn at random, and never says how many.

#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use hippodrome_crypto::{
    fingerprint::{Fingerprint, fingerprint},
    group::ENCODED_LEN,
    hash::Digest,
    merkle::{RangeProof, VerifiedRange},
    permutation::below,
};
use rand_chacha::ChaCha20Rng;

use super::{
    context::RoundContext,
    input::{InputLists, SignedInput},
    noise::{ChainNoise, NoiseRecord},
};
use crate::{
    claim::{self, NoiseClaim, ShownSubmission},
    ids::{ChainId, Layer, ServerId},
    message::{InputCommitment, NoiseReceipt},
    statement,
    submission::Opening,
};

/// A server's own noise of a round, and what it has seen of its arrival.
#[derive(Default)]
pub(crate) struct Receipts {
    noise: Option<Arc<Vec<ChainNoise>>>,
    pending: BTreeMap<ChainId, NoiseReceipt>,
    shown: BTreeMap<ChainId, VerifiedRange>,
    /// The branches that have shown it.
    branches: BTreeMap<ChainId, RangeProof>,
    /// Layers whose lists were looked through, or are being looked through; all are in the end, in order.
    searched: u8,
    found: u8,
    claimed: bool,
}

/// The first server of an input chain has shown something else than this server's noise in the chain's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadReceipt(pub(crate) ServerId);

/// One record: the input chain, by its place in the server's noise, and the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    chain: usize,
    slot: usize,
}

/// What a look through a layer's lists has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All own records.
    All,
    /// This one is missing, and maybe others.
    Missing(Slot),
    /// Some are missing, but none can be shown: each shares its fingerprint with another own record, or is said to have
    /// been left out because its key came twice.
    Unclear,
}

/// A layer's lists to be looked through.
pub(crate) struct Search {
    pub(crate) layer: Layer,
    pub(crate) inputs: Vec<(InputCommitment, Arc<InputLists>)>,
    pub(crate) noise: Arc<Vec<ChainNoise>>,
}

impl Receipts {
    /// Takes the round's noise.
    pub(crate) fn set_noise(&mut self, noise: Vec<ChainNoise>) {
        self.noise = Some(Arc::new(noise));
    }

    /// Takes a receipt; another one for the same chain changes nothing.
    pub(crate) fn on_receipt(&mut self, context: &RoundContext, from: ServerId, receipt: NoiseReceipt) {
        let chain = receipt.stage.chain;
        if context.first_of(receipt.stage) == from && !self.shown.contains_key(&chain) {
            self.pending.entry(chain).or_insert(receipt);
        }
    }

    /// Checks the receipts whose inputs are known.
    pub(crate) fn check<'a>(
        &mut self,
        context: &RoundContext,
        input: impl Fn(ChainId) -> Option<&'a SignedInput>,
    ) -> Result<(), BadReceipt> {
        let Some(noise) = &self.noise else { return Ok(()) };
        for (chain, NoiseReceipt { stage, start, branch }) in std::mem::take(&mut self.pending) {
            let (Some(input), Some(own)) = (input(chain), noise.iter().find(|own| own.chain == chain)) else {
                self.pending.insert(chain, NoiseReceipt { stage, start, branch });
                continue;
            };
            // The noise of each server has its place: who shows it elsewhere shows it where no claim of it would hold.
            let place = claim::own_places(context, input.commitment().count, context.me);
            let range = verify(input.commitment(), own, start, &branch)
                .filter(|_| place.is_some_and(|place| place.start == start));
            self.shown.insert(chain, range.ok_or(BadReceipt(context.first_of(stage)))?);
            self.branches.insert(chain, branch);
        }
        Ok(())
    }

    /// Whether this server's noise is in the inputs of a layer, as far as it has looked.
    pub(crate) fn are_complete(&self, context: &RoundContext, layer: Layer) -> bool {
        let silent = context.roster.noise_per_chain() == 0;
        silent
            || match layer.0 {
                0 => self.shown.len() == context.open(layer).len(),
                later => self.found >= later,
            }
    }

    /// What has shown that all own noise is in the inputs of layer 0, in the order of the chains.
    pub(crate) fn branches(&self) -> Vec<RangeProof> {
        self.branches.values().cloned().collect()
    }

    /// The first input chain of layer 0 whose first server has shown nothing.
    pub(crate) fn lacking(&self, context: &RoundContext) -> Option<ServerId> {
        let mut open = context.open(Layer(0)).iter();
        let chain = open.find(|chain| !self.shown.contains_key(chain))?;
        Some(context.first_of(context.stage(Layer(0), *chain)))
    }

    /// The noise to look for in a layer, once; none if it is being looked for, or there is none.
    pub(crate) fn begin_search(&mut self, layer: Layer) -> Option<Arc<Vec<ChainNoise>>> {
        if layer.0 != self.searched + 1 {
            return None;
        }
        let noise = Arc::clone(self.noise.as_ref()?);
        self.searched = layer.0;
        Some(noise)
    }

    /// All noise has come into this layer.
    pub(crate) fn set_found(&mut self, layer: Layer) {
        self.found = layer.0;
    }

    /// What the owner says of a record that is missing from the inputs of a layer: once a round, signed by `sign`.
    pub(crate) fn claim(
        &mut self,
        context: &RoundContext,
        layer: Layer,
        missing: Slot,
        input: impl Fn(Layer, ChainId) -> Option<InputCommitment>,
        sign: impl FnOnce(&Digest) -> hippodrome_crypto::signing::Signature,
    ) -> Option<NoiseClaim> {
        if std::mem::replace(&mut self.claimed, true) {
            return None;
        }
        let own = self.noise.as_ref()?.get(missing.chain)?;
        let (record, (chain, _)) = (own.records.get(missing.slot)?, own.records[missing.slot].opening.entry(layer));
        let shown = self.show(context, own.chain, missing.slot, &input(Layer(0), own.chain)?)?;
        let mut claim = NoiseClaim {
            claimant: context.me,
            record: shown,
            exponents: record.opening.show_before(layer),
            lacking: statement::input(context.digest(), &input(layer, chain)?),
            signature: hippodrome_crypto::signing::Signature([0; 64]),
        };
        claim.signature = sign(&claim.statement(context.digest()));
        Some(claim)
    }

    /// What opens one record of the own noise.
    pub(crate) fn opening(&self, chain: ChainId, slot: usize) -> Option<&Opening> {
        Some(&self.record(chain, slot)?.opening)
    }

    fn record(&self, chain: ChainId, slot: usize) -> Option<&NoiseRecord> {
        self.noise.as_ref()?.iter().find(|own| own.chain == chain)?.records.get(slot)
    }

    /// One record in the input of its chain.
    pub(crate) fn show(
        &self,
        context: &RoundContext,
        chain: ChainId,
        slot: usize,
        entered: &InputCommitment,
    ) -> Option<ShownSubmission> {
        let (record, range) = (self.record(chain, slot)?, self.shown.get(&chain)?);
        let index = range.start() + slot as u64;
        Some(ShownSubmission {
            stage: context.stage(Layer(0), chain),
            input: statement::input(context.digest(), entered),
            index: index as u32,
            body: record.body.clone(),
            path: range.inclusion(index)?,
        })
    }
}

fn verify(input: &InputCommitment, own: &ChainNoise, start: u32, branch: &RangeProof) -> Option<VerifiedRange> {
    let leaves = own.records.iter().map(|record| record.leaf).collect();
    branch.verify(&input.root, input.count.into(), start.into(), leaves).ok()
}

/// Looks for own records in a layer's lists; of those missing it draws one.
///
/// Lists hold fingerprints, not keys, so two own records with one fingerprint are looked for together.
pub(crate) fn search(search: &Search, rng: &mut ChaCha20Rng) -> Found {
    let Search { layer, inputs, noise } = search;
    let mut own: HashMap<(ChainId, Fingerprint), (Vec<Slot>, usize)> = HashMap::new();
    let roots: BTreeMap<ChainId, &Digest> = inputs.iter().map(|(input, _)| (input.stage.chain, &input.root)).collect();
    for (chain, chain_noise) in noise.iter().enumerate() {
        for (slot, record) in chain_noise.records.iter().enumerate() {
            let (destination, key) = record.opening.entry(*layer);
            if let Some(root) = roots.get(&destination) {
                own.entry((destination, fingerprint(root, key))).or_default().0.push(Slot { chain, slot });
            }
        }
    }
    for (input, lists) in inputs {
        for listed in lists.fingerprints.as_chunks().0 {
            if let Some((_, count)) = own.get_mut(&(input.stage.chain, *listed)) {
                *count += 1;
            }
        }
    }
    let missing = own.into_values().filter(|(slots, count)| *count < slots.len());
    let (gone, mut unclear): (Vec<_>, Vec<_>) = missing.partition(|(_, count)| *count == 0);
    let left_out: HashSet<(ChainId, &[u8; ENCODED_LEN])> = inputs
        .iter()
        .flat_map(|(input, lists)| lists.left_out.iter().map(|key| (input.stage.chain, key.encoded())))
        .collect();
    let is_left_out = |slot: &Slot| {
        let (chain, key) = noise[slot.chain].records[slot.slot].opening.entry(*layer);
        left_out.contains(&(chain, key.encoded()))
    };
    let (excused, mut gone): (Vec<Slot>, Vec<Slot>) =
        gone.into_iter().flat_map(|(slots, _)| slots).partition(is_left_out);
    if !excused.is_empty() {
        unclear.push((excused, 0));
    }
    // A map has no order of its own: the draw must follow from the generator alone.
    gone.sort_unstable_by_key(|slot| (slot.chain, slot.slot));
    match (gone.len(), unclear.len()) {
        (0, 0) => Found::All,
        (0, _) => Found::Unclear,
        (count, _) => Found::Missing(gone[below(count as u32, rng) as usize]),
    }
}
