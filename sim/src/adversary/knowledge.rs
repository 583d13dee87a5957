//! What an adversary knows: everything public, and the signing keys of the servers that it owns.

use std::{collections::BTreeMap, sync::Arc};

use hippodrome_core::{
    directory::Directory,
    ids::{Layer, Party, Place, Position, Round, ServerId},
    message::{
        Batch, BatchCommitment, Confirmation, InputOffer, Message, Parcel, ParcelCommitment, Proof, Return,
        ReturnCommitment, SignedReturn,
    },
    params::NetworkParams,
    roster::Roster,
    statement,
    wire::Sizes,
};
use hippodrome_crypto::{hash::Digest, key_list::KeyList, merkle, onion, records::Records, signing::SigningKey};

use crate::Network;

/// What an adversary knows.
pub struct Known {
    /// The network's parameters.
    pub params: NetworkParams,
    /// Widths of records.
    pub sizes: Sizes,
    servers: u16,
    keys: BTreeMap<ServerId, SigningKey>,
    rounds: BTreeMap<Round, (Digest, Arc<Roster>)>,
}

impl Known {
    /// All that there is to know about a network; which keys are used is the adversary's honour.
    pub fn of(network: &Network) -> Self {
        let ids = network.directory().server_ids();
        let keys = ids.map(|id| (id, SigningKey::from_seed(&network.server_key(id).expose_seed())));
        Self::new(network.directory(), keys.collect())
    }

    /// What a single server knows of its network.
    pub fn of_server(directory: &Directory, server: ServerId, key: SigningKey) -> Self {
        Self::new(directory, [(server, key)].into())
    }

    fn new(directory: &Directory, keys: BTreeMap<ServerId, SigningKey>) -> Self {
        let (params, servers) = (directory.params().clone(), directory.servers().len() as u16);
        Self { sizes: params.sizes(), params, servers, keys, rounds: BTreeMap::new() }
    }

    /// Takes note of an announced round.
    pub fn learn(&mut self, round: Round, descriptor: &Digest, roster: &Arc<Roster>) {
        self.rounds.insert(round, (*descriptor, Arc::clone(roster)));
    }

    /// The digest that a round's statements are signed under; before its announcement, nobody's.
    pub fn digest(&self, round: Round) -> &Digest {
        const UNKNOWN: Digest = Digest([0; 32]);
        self.rounds.get(&round).map_or(&UNKNOWN, |(digest, _)| digest)
    }

    /// Who takes part in a round, once it was announced.
    pub fn roster(&self, round: Round) -> Option<&Arc<Roster>> {
        self.rounds.get(&round).map(|(_, roster)| roster)
    }

    /// The last round announced, with who takes part in it.
    pub fn latest(&self) -> Option<(Round, &Arc<Roster>)> {
        self.rounds.last_key_value().map(|(round, (_, roster))| (*round, roster))
    }

    /// How many servers there are.
    pub fn servers(&self) -> u16 {
        self.servers
    }

    /// The signing key of a server; panics if the adversary does not own it.
    pub fn key(&self, server: ServerId) -> &SigningKey {
        &self.keys[&server]
    }

    /// The signing key of a party; panics for the coordinator, which has none.
    pub fn key_of(&self, party: Party) -> &SigningKey {
        match party {
            Party::Server(server) => self.key(server),
            Party::Coordinator => panic!("the coordinator has no signing key"),
        }
    }

    /// Whether a hop is the last of its chain.
    pub fn is_last(&self, place: Place) -> bool {
        place.position == Position(self.params.chain_len - 1)
    }

    /// The last layer.
    pub fn last_layer(&self) -> Layer {
        Layer(self.params.layers - 1)
    }

    /// The records of an honest batch.
    pub fn records(&self, batch: &Batch) -> Records {
        let place = batch.batch.place;
        let width = self.sizes.record(place.stage.layer.0.into(), usize::from(place.position.0) + 1);
        Records::from_bytes(width, batch.records.clone()).expect("honest batches are whole")
    }

    /// What a batch of these records is signed as.
    pub fn commit(&self, batch: &BatchCommitment, records: &Records) -> BatchCommitment {
        let keys = KeyList::new(onion::decode_keys(records).expect("the cheat sends canonical keys"));
        let root = merkle::root_of(&merkle::leaves(records));
        BatchCommitment { count: records.len() as u32, root, keys: *keys.digest(), ..*batch }
    }

    /// A batch of the given records, signed by its sender as if it were what its hop made.
    pub fn sign_batch(&self, from: Party, batch: &BatchCommitment, records: &Records) -> Message {
        let batch = self.commit(batch, records);
        let signature = self.key_of(from).sign(&statement::batch(self.digest(batch.place.stage.round), &batch));
        Message::Batch(Batch { batch, signature, records: records.as_bytes().to_vec() })
    }

    /// A proof said to be of another batch, with the keys of that batch where the proof brings keys.
    pub fn sign_proof(&self, from: Party, proof: &Proof, batch: BatchCommitment, records: &Records) -> Message {
        let signature = self.key_of(from).sign(&statement::batch(self.digest(batch.place.stage.round), &batch));
        let keys = match proof.keys.is_empty() {
            true => Vec::new(),
            false => onion::decode_keys(records).expect("the cheat sends canonical keys"),
        };
        self.resign_proof(from, Proof { batch, signature, keys, ..proof.clone() })
    }

    /// A proof that was changed, signed anew by its sender.
    pub fn resign_proof(&self, from: Party, mut proof: Proof) -> Message {
        let digest = self.digest(proof.batch.place.stage.round);
        let signed = statement::proof(digest, &proof.batch, proof.source.as_ref(), &proof.proof);
        proof.proof_signature = self.key_of(from).sign(&signed);
        Message::Proof(proof)
    }

    /// A parcel of other records, signed by its sender.
    pub fn sign_parcel(&self, from: Party, parcel: &Parcel, records: &Records) -> Message {
        let root = merkle::root_of(&merkle::leaves(records));
        let digest = self.digest(parcel.source.round);
        let (source, destination, origin) = (parcel.source, parcel.destination, parcel.origin);
        let count = records.len() as u32;
        let signed = statement::parcel(digest, &ParcelCommitment { source, destination, count, root, origin });
        let signature = self.key_of(from).sign(&signed);
        Message::Parcel(Parcel { root, signature, records: records.as_bytes().to_vec(), ..parcel.clone() })
    }

    /// The records of an honest parcel.
    pub fn parcel_records(&self, parcel: &Parcel) -> Records {
        let width = self.sizes.parcel_record(usize::from(parcel.source.layer.0) + 1);
        Records::from_bytes(width, parcel.records.clone()).expect("honest parcels are whole")
    }

    /// Other replies in place of a hop's, signed.
    pub fn sign_return(&self, from: Party, back: &Return, replies: &Records) -> Message {
        let commitment =
            ReturnCommitment { count: replies.len() as u32, root: reply_root(replies), ..back.signed.replies };
        let signed = self.signed_return(from, commitment);
        Message::Return(Return { signed, replies: replies.as_bytes().to_vec(), ..back.clone() })
    }

    /// What a hop says of the replies that it sends back, signed.
    pub fn signed_return(&self, from: Party, replies: ReturnCommitment) -> SignedReturn {
        let signed = statement::returned(self.digest(replies.place.stage.round), &replies);
        SignedReturn { replies, signature: self.key_of(from).sign(&signed) }
    }

    /// The replies that an honest hop sends back.
    pub fn replies(&self, back: &Return) -> Records {
        let place = back.place();
        let width = self.sizes.reply(place.stage.layer.0.into(), place.position.0.into());
        Records::from_bytes(width, back.replies.clone()).expect("honest replies are whole")
    }

    /// An offer of other entries, signed by the first server.
    pub fn sign_offer(&self, from: Party, offer: &InputOffer, entries: &Records) -> Message {
        let leaf = |entry: &[u8]| {
            let key: [u8; 32] = entry[..32].try_into().expect("32 bytes");
            merkle::leaf(&key, &Digest(entry[32..64].try_into().expect("32 bytes")))
        };
        let mut forged = offer.clone();
        forged.entries = entries.as_bytes().to_vec();
        forged.input.count = entries.len() as u32;
        forged.input.root = merkle::root_of(&entries.iter().map(leaf).collect::<Vec<_>>());
        forged.input.keys = *KeyList::new(onion::decode_keys(entries).expect("honest keys")).digest();
        forged.input.entries = merkle::root_of(&merkle::leaves(entries));
        self.resign_offer(from, forged)
    }

    /// An offer whose commitment was changed, signed anew.
    pub fn resign_offer(&self, from: Party, mut offer: InputOffer) -> Message {
        let digest = self.digest(offer.input.stage.round);
        offer.signature = self.key_of(from).sign(&statement::input(digest, &offer.input));
        Message::InputOffer(offer)
    }

    /// The entries of an honest offer.
    pub fn entries(&self, offer: &InputOffer) -> Records {
        let width = self.sizes.entry(offer.input.stage.layer.0.into());
        Records::from_bytes(width, offer.entries.clone()).expect("whole entries")
    }

    /// A confirmation of another vector.
    pub fn sign_confirmation(&self, from: Party, confirmation: &Confirmation, vector: Digest) -> Message {
        let digest = self.digest(confirmation.round);
        let signed = statement::confirmation(digest, confirmation.layer, &vector);
        let signature = self.key_of(from).sign(&signed);
        Message::Confirmation(Confirmation { vector, signature, ..confirmation.clone() })
    }
}

fn reply_root(replies: &Records) -> Digest {
    let leaf = |reply: &[u8]| merkle::leaf(&[0; 32], &merkle::body_hash(reply));
    merkle::root_of(&replies.iter().map(leaf).collect::<Vec<_>>())
}
