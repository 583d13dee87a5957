//! An entry of a chain's input: everything about a record but its body, as its members sign it.

use hippodrome_crypto::{
    group::Element,
    hash::Digest,
    knowledge::{Claim, KNOWLEDGE_LEN, Knowledge},
    merkle,
    signing::Signature,
};

use super::RoundBasis;
use crate::{
    ids::{Author, ChainId, Layer, Stage},
    submission::{Fields, Origin, decode_author, inner_context},
    wire::{CHAIN_LEN, DIGEST_LEN},
};

/// An entry that parses; whether its signatures hold is another matter.
pub(crate) struct Entry {
    pub(crate) key: Element,
    pub(crate) body: Digest,
    origin: EntryOrigin,
    knowledge: Knowledge,
}

enum EntryOrigin {
    Author(Origin, Signature),
    Chain(ChainId),
}

impl Entry {
    /// Parses an entry whose length has been checked.
    pub(crate) fn decode(layer: Layer, entry: &[u8]) -> Option<Self> {
        let mut fields = Fields(entry);
        let key = Element::decode(&fields.array()).ok()?;
        let body = Digest(fields.array::<DIGEST_LEN>());
        if layer.0 > 0 {
            let origin = EntryOrigin::Chain(ChainId(u16::from_le_bytes(fields.array::<CHAIN_LEN>())));
            let knowledge = Knowledge::from_bytes(fields.array::<KNOWLEDGE_LEN>());
            return Some(Self { key, body, origin, knowledge });
        }
        let author = decode_author(fields.array()).ok()?;
        let slot = u16::from_le_bytes(fields.array());
        let knowledge = Knowledge::from_bytes(fields.array::<KNOWLEDGE_LEN>());
        let origin = EntryOrigin::Author(Origin { author, slot }, Signature(fields.array()));
        Some(Self { key, body, origin, knowledge })
    }

    /// The leaf of an entry under an input's root over its entries: key, then hash of the rest.
    pub(crate) fn leaf(entry: &[u8]) -> Digest {
        let (key, rest) = entry.split_first_chunk().expect("entries begin with a key");
        merkle::leaf(key, &merkle::body_hash(rest))
    }

    /// Who sent the record into layer 0.
    pub(crate) fn author(&self) -> Option<Author> {
        match &self.origin {
            EntryOrigin::Author(origin, _) => Some(origin.author),
            EntryOrigin::Chain(_) => None,
        }
    }

    /// The chain of the layer before that the record came from, in later layers.
    pub(crate) fn source(&self) -> Option<ChainId> {
        match &self.origin {
            EntryOrigin::Author(..) => None,
            EntryOrigin::Chain(source) => Some(*source),
        }
    }

    /// Knowledge of the key's exponent.
    pub(crate) fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// Author and slot of a record of layer 0.
    pub(crate) fn origin(&self) -> Option<Origin> {
        match &self.origin {
            EntryOrigin::Author(origin, _) => Some(*origin),
            EntryOrigin::Chain(_) => None,
        }
    }

    /// The signature of knowledge that must hold for the entry; none if its author may not send it here or has not
    /// signed it, or its source is not open.
    pub(crate) fn claim(&self, basis: &RoundBasis, stage: Stage) -> Option<Claim> {
        let context = match &self.origin {
            EntryOrigin::Author(origin, signature) => {
                let author = origin.check(&basis.directory, &basis.roster, stage.chain).ok()?;
                let (key, body) = (&self.key, &self.body);
                let signed = origin.signed(basis.digest(), stage.chain, author, key, body, &self.knowledge);
                author.verify(&signed, signature).ok()?;
                origin.context(basis.digest(), stage.chain, author, key, body)
            }
            EntryOrigin::Chain(source) => {
                let before = Layer(stage.layer.0.checked_sub(1)?);
                basis.roster.is_open(before, *source).then_some(())?;
                inner_context(basis.digest(), stage.layer, *source, stage.chain, &self.key, &self.body)
            }
        };
        Some(Claim { public: self.key, context, proof: self.knowledge })
    }
}
