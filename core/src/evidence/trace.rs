//! The trace of records that fail: an accusation, then one step after another upstream, each checked before the next
//! server opens anything. It ends at authors whose signed submissions are to blame, or at the first server that lies.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hippodrome_crypto::{
    equality::EqualityProof,
    group::Element,
    hash::Digest,
    knowledge::{Claim, verify_batch},
    merkle,
    onion::{HopKdf, open_layer, tag_holds},
    trace::{PowersClaim, verify as verify_powers},
};
use rand_core::CryptoRng;
use rayon::prelude::*;

use super::{
    RoundBasis,
    entry::Entry,
    shown::{Accusation, ParcelPlace, Secret, Showing, ShownEntry, Source, TraceStep, before, powers_context, removal},
};
use crate::{
    ids::{Author, ChainId, Layer, Place, Stage},
    message::{AgreedInput, SignedBatch, SignedParcel},
    statement,
    submission::{Forwarded, ParcelRecord},
};

/// What is wrong with something that a server has signed in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The lists are not one entry for each record, or records are too wide or out of order.
    #[error("its lists do not belong together, or its records are not of the network's size and in order")]
    Shape,
    /// The root under which the records are shown is not signed by whom it should be.
    #[error("the root under which it shows records is not signed by those who should have signed it")]
    Unsigned,
    /// The records are shown under another root than that of the batch that it worked from.
    #[error("it shows records of another batch than the one from which it made its own")]
    OtherBatch,
    /// A record is not under the root.
    #[error("a record that it shows is not under the root that was signed")]
    NotUnderRoot,
    /// A key is not an element.
    #[error("a record that it shows has a malformed key")]
    Key,
    /// The points shown are not the keys times the published secret.
    #[error("the points that it shows are not the records' keys times its published secrets")]
    Powers,
    /// The tag of an accused record is right.
    #[error("the tag of a record that it accuses is right")]
    HonestTag,
    /// What an accused record holds is neither malformed nor doubled.
    #[error("what a record that it accuses holds is well-formed")]
    HonestContent,
    /// The record shown does not open to the record that is traced.
    #[error("the record that it shows does not open to the one that is traced")]
    OtherRecord,
    /// The input's entry is not for the record, or its author has not signed it.
    #[error("it let a record in without valid signatures of an author who may send it")]
    Entry,
}

/// Why a step or an accusation goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Nobody signed it who could be held to it, or it is about nothing that is traced: it is as if not said.
    #[error("it is not signed by the server whose turn it is")]
    Unheard,
    /// Its signer is guilty.
    #[error("{0}")]
    Flawed(Flaw),
}

/// An accusation that holds, with the steps that have added up so far. Only [`Trace::open`] makes it.
#[derive(Clone, Debug)]
pub struct Trace {
    accusation: Arc<Accusation>,
    digest: Digest,
    steps: Vec<Arc<TraceStep>>,
    wanted: BTreeMap<Place, Wanted>,
    authors: BTreeSet<Author>,
}

/// What a server's step has to lead to.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The batch that the server signed; none for the last server of a chain, which signed parcels.
    batch: Option<SignedBatch>,
    /// The traced records: place in the batch put out (or in the parcel), and the bytes.
    records: Vec<WantedRecord>,
}

#[derive(Clone, Debug)]
struct WantedRecord {
    output: Output,
    bytes: Vec<u8>,
}

/// Where a server put a record out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// In its batch.
    Batch(u32),
    /// In the parcel to a chain of the next layer.
    Parcel(ChainId, u32),
}

impl Wanted {
    /// Where the server put the traced records out, in the order of the trace.
    pub(crate) fn outputs(&self) -> impl ExactSizeIterator<Item = Output> + '_ {
        self.records.iter().map(|record| record.output)
    }
}

/// A trace that has come to its end: every accused record has a trail to an author who signed its submission. Only
/// [`Trace::trail`] makes it, and nothing is released of a batch with failing records without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    place: Place,
    root: Digest,
    indices: Vec<u32>,
    authors: BTreeSet<Author>,
}

impl Trail {
    /// The hop at which the records failed.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Merkle root of the batch that the hop had received.
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// The records' places in it, ascending.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// What the hop's batch says about the removed records.
    pub fn removed(&self) -> Digest {
        removal(self.place, &self.indices)
    }

    /// Who is guilty.
    pub fn authors(&self) -> &BTreeSet<Author> {
        &self.authors
    }
}

impl Trace {
    /// Checks an accusation.
    pub fn open<R: CryptoRng>(basis: &RoundBasis, accusation: Arc<Accusation>, rng: &mut R) -> Result<Self, Stopped> {
        let place = accusation.place;
        let digest = accusation.digest(basis.digest());
        let accuser = basis.server_at(place).filter(|_| basis.has(place.stage)).ok_or(Stopped::Unheard)?;
        if !basis.signed_by(accuser, &digest, &accusation.signature) {
            return Err(Stopped::Unheard);
        }
        let mut trace =
            Self { accusation, digest, steps: Vec::new(), wanted: BTreeMap::new(), authors: BTreeSet::new() };
        let accusation = Arc::clone(&trace.accusation);
        let keys = check_showing(basis, place, None, &accusation.shown).map_err(Stopped::Flawed)?;
        check_accusation(basis, &accusation, &keys, rng).map_err(Stopped::Flawed)?;
        trace.go_on(basis, place, &accusation.shown, &keys, rng).map_err(Stopped::Flawed)?;
        Ok(trace)
    }

    /// Checks the step of a server whose turn it is.
    pub fn follow<R: CryptoRng>(
        mut self,
        basis: &RoundBasis,
        step: Arc<TraceStep>,
        rng: &mut R,
    ) -> Result<Self, Stopped> {
        let server = basis.server_at(step.place).ok_or(Stopped::Unheard)?;
        let signed = step.digest(basis.digest());
        let wanted = self.wanted.remove(&step.place).ok_or(Stopped::Unheard)?;
        if step.accusation != self.digest || !basis.signed_by(server, &signed, &step.signature) {
            return Err(Stopped::Unheard);
        }
        let keys = check_showing(basis, step.place, wanted.batch.as_ref(), &step.shown).map_err(Stopped::Flawed)?;
        check_step(basis, &step, &keys, &wanted).map_err(Stopped::Flawed)?;
        self.go_on(basis, step.place, &step.shown, &keys, rng).map_err(Stopped::Flawed)?;
        self.steps.push(step);
        Ok(self)
    }

    /// The accusation.
    pub fn accusation(&self) -> &Arc<Accusation> {
        &self.accusation
    }

    /// The accusation's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The steps that have added up.
    pub fn steps(&self) -> &[Arc<TraceStep>] {
        &self.steps
    }

    /// Whose step is wanted next, and for which records.
    pub fn wanted(&self) -> &BTreeMap<Place, Wanted> {
        &self.wanted
    }

    /// The trail, once every record has one.
    pub fn trail(&self) -> Option<Trail> {
        let Accusation { place, shown, .. } = &*self.accusation;
        self.wanted.is_empty().then(|| Trail {
            place: *place,
            root: *shown.source.root(),
            indices: self.accusation.indices(),
            authors: self.authors.clone(),
        })
    }

    /// From records that are shown to those who put them there.
    fn go_on<R: CryptoRng>(
        &mut self,
        basis: &RoundBasis,
        place: Place,
        shown: &Showing,
        keys: &[Element],
        rng: &mut R,
    ) -> Result<(), Flaw> {
        match &shown.source {
            Source::Batch(signed) => {
                let records = shown.records.iter();
                let records = records
                    .map(|shown| WantedRecord { output: Output::Batch(shown.index), bytes: shown.record.clone() });
                let before = before(place).ok_or(Flaw::Unsigned)?;
                self.wanted.insert(before, Wanted { batch: Some(*signed), records: records.collect() });
            }
            Source::Submissions { input, entries } => {
                let authors = check_entries(basis, place.stage, input, shown, keys, entries, rng)?;
                self.authors.extend(authors);
            }
            Source::Parcels { parcels, records, .. } => {
                self.fork(basis, place.stage, shown, keys, parcels, records, rng)?;
            }
        }
        Ok(())
    }

    /// The records of a later layer's input go back to the last servers of the chains that they came from.
    #[allow(clippy::too_many_arguments)] // the parts of one showing
    fn fork<R: CryptoRng>(
        &mut self,
        basis: &RoundBasis,
        stage: Stage,
        shown: &Showing,
        keys: &[Element],
        parcels: &[SignedParcel],
        places: &[ParcelPlace],
        rng: &mut R,
    ) -> Result<(), Flaw> {
        let mut seen = BTreeSet::new();
        for SignedParcel { parcel, signature } in parcels {
            let fits = parcel.destination == stage.chain
                && basis.has(parcel.source)
                && parcel.source.layer.0.checked_add(1) == Some(stage.layer.0)
                && seen.insert(parcel.source);
            let signed = statement::parcel(basis.digest(), parcel);
            if !fits || !basis.signed_by(basis.last_of(parcel.source), &signed, signature) {
                return Err(Flaw::Unsigned);
            }
        }
        if places.len() != shown.records.len() {
            return Err(Flaw::Shape);
        }
        let mut claims = Vec::with_capacity(places.len());
        for ((at, record), &key) in places.iter().zip(&shown.records).zip(keys) {
            let SignedParcel { parcel, .. } = parcels.get(usize::from(at.parcel)).ok_or(Flaw::Shape)?;
            let record = ParcelRecord { key, knowledge: at.knowledge, body: record.record[32..].to_vec() };
            merkle::verify(&parcel.root, parcel.count.into(), at.index.into(), &record.leaf(), &at.path)
                .map_err(|_| Flaw::NotUnderRoot)?;
            claims.push(record.claim(basis.digest(), stage.layer, parcel.source.chain, stage.chain));
            let last = Place { stage: parcel.source, position: basis.last_position() };
            let bytes = Forwarded { destination: stage.chain, record }.encode();
            let output = Output::Parcel(stage.chain, at.index);
            let wanted = self.wanted.entry(last).or_insert_with(|| Wanted { batch: None, records: Vec::new() });
            wanted.records.push(WantedRecord { output, bytes });
        }
        verify_batch(&Element::base(), &claims, rng).map_err(|_| Flaw::Entry)
    }
}

impl Source {
    /// The root under which the records are shown.
    pub fn root(&self) -> &Digest {
        match self {
            Self::Batch(signed) => &signed.batch.root,
            Self::Submissions { input, .. } | Self::Parcels { input, .. } => &input.input.root,
        }
    }

    fn count(&self) -> u32 {
        match self {
            Self::Batch(signed) => signed.batch.count,
            Self::Submissions { input, .. } | Self::Parcels { input, .. } => input.input.count,
        }
    }
}

/// Checks that records are under a root that was signed, and gives their keys. `made` is the batch that the hop made.
fn check_showing(
    basis: &RoundBasis,
    place: Place,
    made: Option<&SignedBatch>,
    shown: &Showing,
) -> Result<Vec<Element>, Flaw> {
    check_source(basis, place, &shown.source)?;
    let (root, count) = (*shown.source.root(), u64::from(shown.source.count()));
    if made.is_some_and(|made| made.batch.source != root) {
        return Err(Flaw::OtherBatch);
    }
    let width = basis.sizes.record(place.stage.layer.0.into(), place.position.0.into());
    if shown.records.iter().any(|shown| shown.record.len() != width) {
        return Err(Flaw::Shape);
    }
    let keys = shown.records.par_iter().map(|shown| {
        let (key, body) = shown.record.split_first_chunk().ok_or(Flaw::Shape)?;
        let leaf = merkle::leaf(key, &merkle::body_hash(body));
        merkle::verify(&root, count, shown.index.into(), &leaf, &shown.path).map_err(|_| Flaw::NotUnderRoot)?;
        Element::decode(key).map_err(|_| Flaw::Key)
    });
    keys.collect()
}

/// Whether a hop's input is what those before it have signed.
fn check_source(basis: &RoundBasis, place: Place, source: &Source) -> Result<(), Flaw> {
    let fits = match (source, before(place)) {
        (Source::Batch(signed), Some(before)) => signed.batch.place == before && basis.batch_is_signed(signed),
        (Source::Submissions { input, .. }, None) => {
            place.stage.layer == Layer(0) && input_is_signed(basis, place, input)
        }
        (Source::Parcels { input, .. }, None) => place.stage.layer > Layer(0) && input_is_signed(basis, place, input),
        _ => false,
    };
    if fits { Ok(()) } else { Err(Flaw::Unsigned) }
}

fn input_is_signed(basis: &RoundBasis, place: Place, input: &AgreedInput) -> bool {
    input.input.stage == place.stage && basis.check_input(input).is_ok()
}

/// Checks that points shown are the keys times the hop's secret.
fn check_powers(
    basis: &RoundBasis,
    place: Place,
    secret: Secret,
    keys: &[Element],
    powers: &[Element],
    proof: &EqualityProof,
) -> Result<(), Flaw> {
    let hop = basis.hop_keys(place);
    let power = match secret {
        Secret::Shared => &hop.public.key,
        Secret::Blinded => &hop.public.blinding,
    };
    let context = powers_context(basis.digest(), place, secret);
    let claim = PowersClaim { context: &context, base: &hop.base, power, keys, powers };
    verify_powers(&claim, proof).map_err(|_| Flaw::Powers)
}

/// Checks that accused records are in order, that the tags of most are wrong, and that the others hold what no honest
/// client makes.
fn check_accusation<R: CryptoRng>(
    basis: &RoundBasis,
    accusation: &Accusation,
    keys: &[Element],
    rng: &mut R,
) -> Result<(), Flaw> {
    let Accusation { place, shown, shared, shared_proof, malformed, blinded_proof, .. } = accusation;
    let in_order = shown.records.windows(2).all(|pair| pair[0].index < pair[1].index)
        && malformed.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && malformed.last().is_none_or(|(record, _)| (*record as usize) < keys.len());
    if shown.records.is_empty() || shared.len() != keys.len() || !in_order {
        return Err(Flaw::Shape);
    }
    check_powers(basis, *place, Secret::Shared, keys, shared, shared_proof)?;
    let (opened_keys, blinded): (Vec<Element>, Vec<Element>) =
        malformed.iter().map(|(record, blinded)| (keys[*record as usize], *blinded)).unzip();
    check_powers(basis, *place, Secret::Blinded, &opened_keys, &blinded, blinded_proof)?;
    let opened: HashMap<usize, &Element> =
        malformed.iter().map(|(record, blinded)| (*record as usize, blinded)).collect();
    let kdf = HopKdf::new(&basis.hop_context(*place));
    let wrong_tag =
        |index: &usize| tag_holds(&kdf, &keys[*index], &shared[*index], &shown.records[*index].record[32..]);
    if (0..keys.len()).into_par_iter().filter(|index| !opened.contains_key(index)).any(|index| wrong_tag(&index)) {
        return Err(Flaw::HonestTag);
    }
    let open = |(record, blinded): &(u32, Element)| {
        let index = *record as usize;
        let body = &shown.records[index].record[32..];
        open_layer(&kdf, &keys[index], &shared[index], blinded, body).map_err(|_| Flaw::HonestContent)
    };
    let payloads: Vec<Vec<u8>> = malformed.par_iter().map(open).collect::<Result<_, _>>()?;
    let ends_a_layer = place.position == basis.last_position() && place.stage.layer < basis.last_layer();
    let bad = if ends_a_layer { faulty_payloads(basis, place.stage, &payloads, rng) } else { BTreeSet::new() };
    if bad.len() == payloads.len() { Ok(()) } else { Err(Flaw::HonestContent) }
}

/// Which of a chain's payloads no honest client makes: malformed ones, those that go nowhere, those without knowledge
/// of their key, and of the rest all that have one key.
pub(crate) fn faulty_payloads<R: CryptoRng, P: AsRef<[u8]>>(
    basis: &RoundBasis,
    stage: Stage,
    payloads: &[P],
    rng: &mut R,
) -> BTreeSet<usize> {
    let next = Layer(stage.layer.0 + 1);
    let mut faulty = BTreeSet::new();
    let mut well_formed = Vec::with_capacity(payloads.len());
    let mut claims: Vec<Claim> = Vec::with_capacity(payloads.len());
    for (index, payload) in payloads.iter().enumerate() {
        match Forwarded::decode(&basis.sizes, next, payload.as_ref()) {
            Some(forwarded) if basis.roster.is_open(next, forwarded.destination) => {
                well_formed.push(index);
                claims.push(forwarded.record.claim(basis.digest(), next, stage.chain, forwarded.destination));
            }
            _ => drop(faulty.insert(index)),
        }
    }
    let unknown = verify_batch(&Element::base(), &claims, rng).err().unwrap_or_default();
    faulty.extend(unknown.iter().map(|&claim| well_formed[claim]));
    let mut by_key: HashMap<&[u8; 32], Vec<usize>> = HashMap::new();
    for (claim, &index) in claims.iter().zip(&well_formed).filter(|(_, index)| !faulty.contains(index)) {
        by_key.entry(claim.public.encoded()).or_default().push(index);
    }
    let doubled: Vec<usize> = by_key.into_values().filter(|places| places.len() > 1).flatten().collect();
    faulty.extend(doubled);
    faulty
}

/// Checks that the records shown open, byte for byte, to those that are traced.
fn check_step(basis: &RoundBasis, step: &TraceStep, keys: &[Element], wanted: &Wanted) -> Result<(), Flaw> {
    let TraceStep { place, shown, shared, shared_proof, blinded, blinded_proof, .. } = step;
    let count = wanted.records.len();
    if (keys.len(), shared.len(), blinded.len()) != (count, count, count) {
        return Err(Flaw::Shape);
    }
    check_powers(basis, *place, Secret::Shared, keys, shared, shared_proof)?;
    check_powers(basis, *place, Secret::Blinded, keys, blinded, blinded_proof)?;
    let kdf = HopKdf::new(&basis.hop_context(*place));
    let adds_up = |index: usize| {
        let body = &shown.records[index].record[32..];
        let Ok(opened) = open_layer(&kdf, &keys[index], &shared[index], &blinded[index], body) else { return false };
        let traced = &wanted.records[index].bytes;
        match wanted.records[index].output {
            Output::Batch(_) => traced.split_at_checked(32) == Some((blinded[index].encoded().as_slice(), &opened)),
            Output::Parcel(..) => *traced == opened,
        }
    };
    if (0..count).into_par_iter().all(adds_up) { Ok(()) } else { Err(Flaw::OtherRecord) }
}

/// Checks that each record of an input of layer 0 has an entry whose author has signed it, and gives the authors.
fn check_entries<R: CryptoRng>(
    basis: &RoundBasis,
    stage: Stage,
    input: &AgreedInput,
    shown: &Showing,
    keys: &[Element],
    entries: &[ShownEntry],
    rng: &mut R,
) -> Result<Vec<Author>, Flaw> {
    if entries.len() != shown.records.len() {
        return Err(Flaw::Shape);
    }
    let width = basis.sizes.entry(0);
    let mut authors = Vec::with_capacity(entries.len());
    let mut claims = Vec::with_capacity(entries.len());
    for ((record, key), ShownEntry { entry, path }) in shown.records.iter().zip(keys).zip(entries) {
        if entry.len() != width {
            return Err(Flaw::Shape);
        }
        let leaf = Entry::leaf(entry);
        merkle::verify(&input.input.entries, input.input.count.into(), record.index.into(), &leaf, path)
            .map_err(|_| Flaw::NotUnderRoot)?;
        let parsed = Entry::decode(stage.layer, entry).ok_or(Flaw::Entry)?;
        if parsed.key != *key || parsed.body != merkle::body_hash(&record.record[32..]) {
            return Err(Flaw::Entry);
        }
        claims.push(parsed.claim(basis, stage).ok_or(Flaw::Entry)?);
        authors.push(parsed.author().ok_or(Flaw::Entry)?);
    }
    verify_batch(&Element::base(), &claims, rng).map_err(|_| Flaw::Entry)?;
    Ok(authors)
}
