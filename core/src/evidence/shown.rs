//! What servers show when a record is traced: the accusation, and each step upstream.
//!
//! Everything that is judged stands under the shower's signature, byte for byte, so that nothing can be pinned on a
//! server that it has not said.

use hippodrome_crypto::{
    equality::EqualityProof,
    group::Element,
    hash::{Digest, Hasher},
    knowledge::Knowledge,
    merkle::InclusionProof,
    signing::Signature,
};

use crate::{
    ids::{Place, Position},
    message::{AgreedInput, SignedBatch, SignedParcel},
    statement,
};

/// Records of a hop's input, and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Showing {
    /// What has the records under its root.
    pub source: Source,
    /// The records.
    pub records: Vec<ShownRecord>,
}

/// A record with its branch to the root of the batch that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRecord {
    /// Its place in the batch.
    pub index: u32,
    /// Key and body.
    pub record: Vec<u8>,
    /// From the record to the root.
    pub path: InclusionProof,
}

/// Where the records of a hop's input come from; lists have one entry for each record, in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The hop before, which signed the batch.
    Batch(SignedBatch),
    /// The input of a chain of layer 0.
    Submissions {
        /// Signed by all members.
        input: AgreedInput,
        /// The entries, which name authors.
        entries: Vec<ShownEntry>,
    },
    /// The input of a chain of a later layer.
    Parcels {
        /// Signed by all members.
        input: AgreedInput,
        /// The parcels that hold the records, each once.
        parcels: Vec<SignedParcel>,
        /// Where in the parcels they are.
        records: Vec<ParcelPlace>,
    },
}

/// An entry of an input, with its branch to the root over all entries. Its place is that of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownEntry {
    /// The entry.
    pub entry: Vec<u8>,
    /// From the entry to the root.
    pub path: InclusionProof,
}

/// Where a record is in a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParcelPlace {
    /// Which of the parcels shown.
    pub parcel: u16,
    /// Its place in that parcel.
    pub index: u32,
    /// The signature of knowledge that the parcel has with it.
    pub knowledge: Knowledge,
    /// From the parcel's record to the parcel's root.
    pub path: InclusionProof,
}

/// A server says of records that it received, all that fail at its hop, that they cannot go on.
///
/// Of most it shows that their tag is wrong, with `a·X` alone, under which nothing decrypts. Those whose tag is right,
/// but whose content is malformed or doubled, it opens in full before anyone upstream opens anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// The accuser's hop.
    pub place: Place,
    /// The accused records, ascending.
    pub shown: Showing,
    /// `a·X` of each.
    pub shared: Vec<Element>,
    /// That these are the keys times the hop's `a`.
    pub shared_proof: EqualityProof,
    /// Records whose tag is right, ascending: which of those shown, and `b·X`.
    pub malformed: Vec<(u32, Element)>,
    /// That these are the keys times the hop's `b`.
    pub blinded_proof: EqualityProof,
    /// The accuser's, over all of it.
    pub signature: Signature,
}

/// A server upstream opens its step of the records that are traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    /// [`Accusation::digest`] of what is traced.
    pub accusation: Digest,
    /// The server's hop.
    pub place: Place,
    /// What the traced records were made from, in the order in which they are traced.
    pub shown: Showing,
    /// `a·X` of each.
    pub shared: Vec<Element>,
    /// That these are the keys times the hop's `a`.
    pub shared_proof: EqualityProof,
    /// `b·X` of each.
    pub blinded: Vec<Element>,
    /// That these are the keys times the hop's `b`.
    pub blinded_proof: EqualityProof,
    /// The server's, over all of it.
    pub signature: Signature,
}

/// Which of a hop's two secrets points are shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    /// `a`: tags.
    Shared,
    /// `b`: keys put out, and with `a` what encrypts.
    Blinded,
}

/// The context of the proof of points that a hop shows.
pub(crate) fn powers_context(descriptor: &Digest, place: Place, secret: Secret) -> Digest {
    let label = match secret {
        Secret::Shared => "hippodrome v1 shown shared keys",
        Secret::Blinded => "hippodrome v1 shown blinded keys",
    };
    statement::placed(label, descriptor, place).finish()
}

impl Accusation {
    /// What is signed, and what steps name.
    pub fn digest(&self, descriptor: &Digest) -> Digest {
        statement::accusation(descriptor, self.place, &self.content(descriptor))
    }

    /// Digest of everything but place and signature.
    pub fn content(&self, descriptor: &Digest) -> Digest {
        let hasher = Hasher::new("hippodrome v1 accusation's content")
            .digest(&self.shown.digest(descriptor))
            .list(self.shared.iter().map(Element::encoded))
            .bytes(&self.shared_proof.to_bytes())
            .number(self.malformed.len() as u64);
        self.malformed
            .iter()
            .fold(hasher, |hasher, (record, blinded)| hasher.number((*record).into()).bytes(blinded.encoded()))
            .bytes(&self.blinded_proof.to_bytes())
            .finish()
    }

    /// Bytes that it takes, about.
    pub(crate) fn len_bytes(&self) -> usize {
        self.shown.len_bytes() + 32 * self.shared.len() + 36 * self.malformed.len()
    }

    /// The places of the accused records in the accuser's input.
    pub fn indices(&self) -> Vec<u32> {
        self.shown.records.iter().map(|shown| shown.index).collect()
    }
}

impl TraceStep {
    /// Bytes that it takes, about.
    pub(crate) fn len_bytes(&self) -> usize {
        self.shown.len_bytes() + 64 * self.shared.len()
    }

    /// Digest of everything but the signature: what is signed.
    pub fn digest(&self, descriptor: &Digest) -> Digest {
        statement::placed("hippodrome v1 trace step", descriptor, self.place)
            .digest(&self.accusation)
            .digest(&self.shown.digest(descriptor))
            .list(self.shared.iter().map(Element::encoded))
            .bytes(&self.shared_proof.to_bytes())
            .list(self.blinded.iter().map(Element::encoded))
            .bytes(&self.blinded_proof.to_bytes())
            .finish()
    }
}

impl Showing {
    /// Digest of everything shown.
    pub fn digest(&self, descriptor: &Digest) -> Digest {
        let hasher = Hasher::new("hippodrome v1 shown records")
            .digest(&self.source.digest(descriptor))
            .number(self.records.len() as u64);
        self.records
            .iter()
            .fold(hasher, |hasher, shown| path(hasher.number(shown.index.into()).bytes(&shown.record), &shown.path))
            .finish()
    }

    /// Bytes that it takes.
    pub(crate) fn len_bytes(&self) -> usize {
        let records: usize = self.records.iter().map(|shown| shown.record.len() + 32 * shown.path.0.len() + 8).sum();
        let source: usize = match &self.source {
            Source::Batch(_) => 0,
            Source::Submissions { entries, .. } => {
                entries.iter().map(|shown| shown.entry.len() + 32 * shown.path.0.len() + 8).sum()
            }
            Source::Parcels { parcels, records, .. } => {
                parcels.len() * 128 + records.iter().map(|shown| 80 + 32 * shown.path.0.len()).sum::<usize>()
            }
        };
        records + source
    }
}

impl Source {
    fn digest(&self, descriptor: &Digest) -> Digest {
        let hasher = Hasher::new("hippodrome v1 source of shown records").digest(descriptor);
        match self {
            Self::Batch(signed) => hasher
                .number(0)
                .digest(&statement::batch(descriptor, &signed.batch))
                .bytes(&signed.signature.0)
                .finish(),
            Self::Submissions { input, entries } => {
                let hasher = absorb_input(hasher.number(1), descriptor, input).number(entries.len() as u64);
                entries.iter().fold(hasher, |hasher, shown| path(hasher.bytes(&shown.entry), &shown.path)).finish()
            }
            Self::Parcels { input, parcels, records } => {
                let hasher = absorb_input(hasher.number(2), descriptor, input).number(parcels.len() as u64);
                let hasher = parcels.iter().fold(hasher, |hasher, SignedParcel { parcel, signature }| {
                    hasher.digest(&statement::parcel(descriptor, parcel)).bytes(&signature.0)
                });
                let hasher = hasher.number(records.len() as u64);
                let absorb = |hasher: Hasher, shown: &ParcelPlace| {
                    let hasher = hasher.number(shown.parcel.into()).number(shown.index.into());
                    path(hasher.bytes(&shown.knowledge.to_bytes()), &shown.path)
                };
                records.iter().fold(hasher, absorb).finish()
            }
        }
    }
}

fn absorb_input(hasher: Hasher, descriptor: &Digest, root: &AgreedInput) -> Hasher {
    let hasher = hasher.digest(&statement::input(descriptor, &root.input)).number(root.signatures.len() as u64);
    root.signatures.iter().fold(hasher, |hasher, signature| hasher.bytes(&signature.0))
}

fn path(hasher: Hasher, path: &InclusionProof) -> Hasher {
    hasher.list(path.0.iter().map(|sibling| sibling.as_bytes()))
}

/// What a hop's batch commitment says about records that were removed at the hop: their places in its input.
pub fn removal(place: Place, indices: &[u32]) -> Digest {
    if indices.is_empty() {
        return statement::no_removals();
    }
    let hasher = Hasher::new("hippodrome v1 removals")
        .number(indices.len() as u64)
        .number(place.stage.layer.0.into())
        .number(place.stage.chain.0.into())
        .number(place.position.0.into());
    indices.iter().fold(hasher, |hasher, index| hasher.number((*index).into())).finish()
}

/// The hop before a place in its chain, if there is one.
pub(crate) fn before(place: Place) -> Option<Place> {
    place.position.0.checked_sub(1).map(|position| Place { position: Position(position), ..place })
}
