//! What a server shows of its own hop when records are traced.
//!
//! A hop's secrets stay with it, inside [`KeptHop`], until it is done with the round. Only two things use them again: the
//! accusation of what failed at the hop itself, and a step for records that a checked [`Trace`] asks for.

#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeMap, sync::Arc};

use hippodrome_crypto::{
    group::Element,
    hash::Digest,
    hop::HopSecret,
    key_list::KeyList,
    merkle::{self, Tree},
    records::Records,
    signing::{Signature, SigningKey},
    trace::{PowersClaim, powers, prove},
};
use rand_chacha::ChaCha20Rng;

use super::{context::RoundContext, input::KeptParcel};
use crate::{
    evidence::{
        Accusation, Output, ParcelPlace, Secret, Showing, ShownEntry, ShownRecord, Source, Trace, TraceStep,
        entry::Entry, powers_context, rules,
    },
    ids::{Layer, Place},
    message::{AgreedInput, SignedBatch},
};

/// What a hop keeps of its batch until it is done with the round: its secrets, and what it received.
pub(crate) struct KeptHop {
    secret: Arc<HopSecret>,
    place: Place,
    keys: Arc<KeyList>,
    bodies: Arc<Records>,
    /// Ascending places of the records that were removed before the shuffle.
    removed: Vec<u32>,
}

/// Where a hop's input came from, with what shows it.
#[derive(Clone)]
pub(crate) enum Origin {
    /// From the hop before.
    Batch(SignedBatch),
    /// From clients and servers.
    Submissions { input: AgreedInput, entries: Arc<Vec<u8>> },
    /// From the chains of the layer before; for each record of the input its parcel, and its place there.
    Parcels { input: AgreedInput, entries: Arc<Vec<u8>>, parcels: Arc<Vec<KeptParcel>>, places: Arc<Vec<(u16, u32)>> },
}

/// Records of a hop's input, to be shown.
pub(crate) struct ToShow {
    secret: Arc<HopSecret>,
    place: Place,
    keys: Arc<KeyList>,
    bodies: Arc<Records>,
    origin: Origin,
    indices: Vec<u32>,
}

/// An accusation to be made: records whose tag is wrong, and those that hold what no honest client makes.
pub(crate) struct Accusing {
    to_show: ToShow,
    malformed: Vec<u32>,
}

/// A step to be made, for a trace that was checked.
pub(crate) struct Stepping {
    to_show: ToShow,
    accusation: Digest,
}

impl KeptHop {
    pub(crate) fn new(secret: Arc<HopSecret>, place: Place, keys: Arc<KeyList>, bodies: Arc<Records>) -> Self {
        Self { secret, place, keys, bodies, removed: Vec::new() }
    }

    /// Notes which records were removed before the shuffle.
    pub(crate) fn set_removed(&mut self, removed: Vec<u32>) {
        self.removed = removed;
    }

    fn to_show(&self, origin: Origin, indices: Vec<u32>) -> ToShow {
        let Self { secret, place, keys, bodies, .. } = self;
        let (secret, keys, bodies) = (Arc::clone(secret), Arc::clone(keys), Arc::clone(bodies));
        ToShow { secret, place: *place, keys, bodies, origin, indices }
    }

    /// What is to be said of the records that failed here: ascending places of wrong tags, and of bad contents.
    pub(crate) fn accuse(&self, origin: Origin, wrong_tags: &[u32], malformed: &[u32]) -> Accusing {
        let mut indices = [wrong_tags, malformed].concat();
        indices.sort_unstable();
        Accusing { to_show: self.to_show(origin, indices), malformed: malformed.to_vec() }
    }

    /// The step that a checked trace asks for; none if it asks for records that this hop never put out. `sources` gives
    /// the inputs, among those that were not removed, that places in the hop's output were made from.
    pub(crate) fn step(
        &self,
        trace: &Trace,
        origin: Origin,
        sources: impl FnOnce(Vec<Output>) -> Option<Vec<u32>>,
    ) -> Option<Stepping> {
        let outputs = trace.wanted().get(&self.place)?.outputs().collect();
        let sources = sources(outputs)?;
        let kept = BTreeMap::from_iter(self.not_removed().zip(0_u32..).map(|(place, kept)| (kept, place)));
        let indices: Option<Vec<u32>> = sources.iter().map(|source| kept.get(source).copied()).collect();
        Some(Stepping { to_show: self.to_show(origin, indices?), accusation: *trace.digest() })
    }

    fn not_removed(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.keys.len() as u32).filter(|place| self.removed.binary_search(place).is_err())
    }
}

impl ToShow {
    fn keys(&self) -> Vec<Element> {
        self.indices.iter().map(|&index| self.keys.keys()[index as usize]).collect()
    }

    fn showing(&self, context: &RoundContext) -> Showing {
        let leaves = self.keys.keys().iter().zip(self.bodies.iter());
        let leaves = leaves.map(|(key, body)| merkle::leaf(key.encoded(), &merkle::body_hash(body)));
        let tree = Tree::new(leaves.collect());
        let record = |&index: &u32| ShownRecord {
            index,
            record: [self.keys.keys()[index as usize].encoded(), self.bodies.record(index as usize)].concat(),
            path: tree.inclusion(index as usize).expect("a record of the batch"),
        };
        Showing { source: self.source(context), records: self.indices.iter().map(record).collect() }
    }

    fn source(&self, context: &RoundContext) -> Source {
        match &self.origin {
            Origin::Batch(signed) => Source::Batch(*signed),
            Origin::Submissions { input, entries } => {
                let width = context.sizes.entry(0);
                let tree = Tree::new(rules::entry_leaves(context, Layer(0), entries));
                let entry = |&index: &u32| ShownEntry {
                    entry: entries[index as usize * width..][..width].to_vec(),
                    path: tree.inclusion(index as usize).expect("an entry of the input"),
                };
                let entries = self.indices.iter().map(entry).collect();
                Source::Submissions { input: input.clone(), entries }
            }
            Origin::Parcels { input, entries, parcels, places } => {
                self.parcels(context, input.clone(), entries, parcels, places)
            }
        }
    }

    /// The parcels that hold the records, each once.
    fn parcels(
        &self,
        context: &RoundContext,
        input: AgreedInput,
        entries: &[u8],
        parcels: &[KeptParcel],
        places: &[(u16, u32)],
    ) -> Source {
        let layer = self.place.stage.layer;
        let width = context.sizes.entry(layer.0.into());
        let mut shown: BTreeMap<u16, (u16, &Tree)> = BTreeMap::new();
        let mut signed = Vec::new();
        let mut records = Vec::with_capacity(self.indices.len());
        for &index in &self.indices {
            let (parcel, place) = places[index as usize];
            let kept = &parcels[usize::from(parcel)];
            let (number, tree) = shown.entry(parcel).or_insert_with(|| {
                signed.push(kept.signed);
                (signed.len() as u16 - 1, &*kept.tree)
            });
            let entry = Entry::decode(layer, &entries[index as usize * width..][..width]).expect("entries of our own");
            let path = tree.inclusion(place as usize).expect("a record of the parcel");
            records.push(ParcelPlace { parcel: *number, index: place, knowledge: *entry.knowledge(), path });
        }
        Source::Parcels { input, parcels: signed, records }
    }
}

/// The points of one secret with their proof.
fn shown_powers(
    context: &RoundContext,
    to_show: &ToShow,
    secret: Secret,
    keys: &[Element],
    rng: &mut ChaCha20Rng,
) -> (Vec<Element>, hippodrome_crypto::equality::EqualityProof) {
    let hop = context.hop_keys(to_show.place);
    let (scalar, power) = match secret {
        Secret::Shared => (&to_show.secret.a, &hop.public.key),
        Secret::Blinded => (&to_show.secret.b, &hop.public.blinding),
    };
    let shown = powers(scalar, keys);
    let digest = powers_context(context.digest(), to_show.place, secret);
    let claim = PowersClaim { context: &digest, base: &hop.base, power, keys, powers: &shown };
    let proof = prove(scalar, &claim, rng);
    (shown, proof)
}

/// A signature to be put in once everything else is there.
const UNSIGNED: Signature = Signature([0; 64]);

impl Accusing {
    /// Makes the accusation.
    pub(crate) fn make(self, context: &RoundContext, key: &SigningKey, rng: &mut ChaCha20Rng) -> Accusation {
        let Self { to_show, malformed } = self;
        let keys = to_show.keys();
        let (shared, shared_proof) = shown_powers(context, &to_show, Secret::Shared, &keys, rng);
        let opened: Vec<usize> =
            malformed.iter().filter_map(|place| to_show.indices.binary_search(place).ok()).collect();
        let opened_keys: Vec<Element> = opened.iter().map(|&index| keys[index]).collect();
        let (blinded, blinded_proof) = shown_powers(context, &to_show, Secret::Blinded, &opened_keys, rng);
        let malformed = opened.into_iter().map(|index| index as u32).zip(blinded).collect();
        let (place, shown) = (to_show.place, to_show.showing(context));
        let mut accusation =
            Accusation { place, shown, shared, shared_proof, malformed, blinded_proof, signature: UNSIGNED };
        accusation.signature = key.sign(&accusation.digest(context.digest()));
        accusation
    }
}

impl Stepping {
    /// Makes the step.
    pub(crate) fn make(self, context: &RoundContext, key: &SigningKey, rng: &mut ChaCha20Rng) -> TraceStep {
        let Self { to_show, accusation } = self;
        let keys = to_show.keys();
        let (shared, shared_proof) = shown_powers(context, &to_show, Secret::Shared, &keys, rng);
        let (blinded, blinded_proof) = shown_powers(context, &to_show, Secret::Blinded, &keys, rng);
        let (place, shown) = (to_show.place, to_show.showing(context));
        let mut step =
            TraceStep { accusation, place, shown, shared, shared_proof, blinded, blinded_proof, signature: UNSIGNED };
        step.signature = key.sign(&step.digest(context.digest()));
        step
    }
}
