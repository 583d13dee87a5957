//! What has been let into a chain, so that each client can be shown its part.

use std::{collections::BTreeMap, ops::Range};

use hippodrome_crypto::{merkle::Tree, signing::Signature};

use crate::{
    ids::{Author, ClientId},
    message::{InputCommitment, Receipts},
    participant::Inclusion,
    submission::ReceiptRecord,
};

/// The input of a chain, with the places of each client's records. Whether it is signed is for the clients to check.
pub(super) struct Included {
    input: InputCommitment,
    signatures: Vec<Signature>,
    tree: Tree,
    places: BTreeMap<ClientId, Range<usize>>,
}

impl Included {
    /// Takes what the chain's first server says; none if its records do not make the root that it names.
    pub(super) fn new(receipts: &Receipts) -> Option<Self> {
        let (records, []) = receipts.records.as_chunks::<{ ReceiptRecord::LEN }>() else { return None };
        if records.len() != receipts.input.count as usize {
            return None;
        }
        let records: Vec<ReceiptRecord> = records.iter().map(ReceiptRecord::decode).collect::<Result<_, _>>().ok()?;
        let mut places: BTreeMap<ClientId, Range<usize>> = BTreeMap::new();
        for (place, record) in records.iter().enumerate() {
            if let Author::Client(client) = record.author {
                // Authors ascend in what members sign; of anything else the client will find its branch wrong.
                places.entry(client).or_insert(place..place).end = place + 1;
            }
        }
        let tree = Tree::new(records.iter().map(|record| record.leaf).collect());
        let Receipts { input, signatures, .. } = receipts;
        (*tree.root() == input.root).then(|| Self { input: *input, signatures: signatures.clone(), tree, places })
    }

    /// What shows a client its part.
    pub(super) fn of(&self, client: ClientId) -> Option<Inclusion> {
        let range = self.places.get(&client)?.clone();
        let (start, branch) = (u32::try_from(range.start).ok()?, self.tree.range(range)?);
        Some(Inclusion { input: self.input, signatures: self.signatures.clone(), start, branch })
    }
}
