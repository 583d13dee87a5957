//! The public keys of a batch beside their digest, so that linked hops hash each list once.

use crate::{
    group::Element,
    hash::{Digest, Hasher},
};

/// The keys of a batch in order, decoded, with the digest of their encodings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyList {
    keys: Vec<Element>,
    digest: Digest,
}

impl KeyList {
    /// Takes the keys of a batch and digests their encodings.
    pub fn new(keys: Vec<Element>) -> Self {
        let digest = Hasher::new("hippodrome v1 key list").list(keys.iter().map(Element::encoded)).finish();
        Self { keys, digest }
    }

    /// The keys.
    pub fn keys(&self) -> &[Element] {
        &self.keys
    }

    /// The digest of count and encodings.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
