//! What every step of a round looks up: directory, roster, signed descriptor, and who we are.

use std::sync::Arc;

use hippodrome_crypto::{
    group::Element,
    hash::Digest,
    hop::HopContext,
    merkle,
    records::Records,
    signing::{PublicKey, Signature},
};

use crate::{
    descriptor::SignedDescriptor,
    directory::Directory,
    ids::{ChainId, Layer, Place, Position, Round, ServerId, Stage},
    layout::Turn,
    message::BatchCommitment,
    params::{NetworkParams, Verification},
    roster::Roster,
    statement,
    wire::Sizes,
};

/// A round as one server sees it, from its announcement on.
pub(crate) struct RoundContext {
    pub(crate) directory: Arc<Directory>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) descriptor: SignedDescriptor,
    pub(crate) me: ServerId,
    pub(crate) sizes: Sizes,
}

impl RoundContext {
    pub(crate) fn round(&self) -> Round {
        self.descriptor.round()
    }

    pub(crate) fn digest(&self) -> &Digest {
        self.descriptor.digest()
    }

    pub(crate) fn params(&self) -> &NetworkParams {
        self.directory.params()
    }

    pub(crate) fn verification(&self) -> Verification {
        self.params().verification
    }

    pub(crate) fn last_layer(&self) -> Layer {
        Layer(self.params().layers - 1)
    }

    pub(crate) fn last_position(&self) -> Position {
        Position(self.params().chain_len - 1)
    }

    pub(crate) fn stage(&self, layer: Layer, chain: ChainId) -> Stage {
        Stage { round: self.round(), layer, chain }
    }

    /// The servers that take part in the round, ascending.
    pub(crate) fn active(&self) -> &[ServerId] {
        self.roster.active()
    }

    /// The open chains of a layer, ascending.
    pub(crate) fn open(&self, layer: Layer) -> &[ChainId] {
        self.roster.open(layer)
    }

    /// The stage that stands for a whole layer: that of its first open chain.
    pub(crate) fn whole(&self, layer: Layer) -> Option<Stage> {
        self.open(layer).first().map(|&chain| self.stage(layer, chain))
    }

    /// Whether there is such a stage in this round: an open chain.
    pub(crate) fn has(&self, stage: Stage) -> bool {
        stage.round == self.round() && self.roster.is_open(stage.layer, stage.chain)
    }

    /// Members of a chain; panics on a stage that the network does not have.
    pub(crate) fn members(&self, stage: Stage) -> &[ServerId] {
        self.roster.members(stage.layer, stage.chain)
    }

    pub(crate) fn server_at(&self, place: Place) -> Option<ServerId> {
        let Place { stage, position } = place;
        self.roster.epoch().layout().server_at(Turn { layer: stage.layer, chain: stage.chain, position })
    }

    pub(crate) fn first_of(&self, stage: Stage) -> ServerId {
        self.members(stage)[0]
    }

    pub(crate) fn last_of(&self, stage: Stage) -> ServerId {
        self.members(stage)[usize::from(self.last_position().0)]
    }

    pub(crate) fn server_key(&self, server: ServerId) -> &PublicKey {
        self.directory.server_key(server).expect("the layout holds servers of the directory")
    }

    /// Whether `server` signed `statement`.
    pub(crate) fn signed_by(&self, server: ServerId, statement: &Digest, signature: &Signature) -> bool {
        self.server_key(server).verify(statement, signature).is_ok()
    }

    /// Whether the hop that a batch names has signed it.
    pub(crate) fn batch_is_signed(&self, batch: &BatchCommitment, signature: &Signature) -> bool {
        self.server_at(batch.place)
            .is_some_and(|server| self.signed_by(server, &statement::batch(self.digest(), batch), signature))
    }

    pub(crate) fn hop_context(&self, place: Place) -> HopContext {
        HopContext {
            descriptor: *self.digest(),
            layer: place.stage.layer.0,
            chain: place.stage.chain.0,
            position: place.position.0,
        }
    }

    /// `P_{i−1}` and `P_i` of a hop.
    pub(crate) fn blinding(&self, place: Place) -> (Element, Element) {
        self.descriptor.blinding(place)
    }

    /// What a hop's proof is about besides keys and roots.
    pub(crate) fn hop_statement(&self, place: Place, server: ServerId) -> Digest {
        statement::hop(self.digest(), place, server)
    }

    pub(crate) fn window_start_ms(&self) -> u64 {
        self.roster.epoch().window_start_ms(self.round())
    }

    pub(crate) fn deadline_ms(&self) -> u64 {
        self.window_start_ms().saturating_add(self.params().deadline_ms)
    }

    /// When the first replies are due, at the mailboxes: half-way from the end of collection to the deadline.
    pub(crate) fn first_due_ms(&self) -> u64 {
        let params = self.params();
        let collected = self.window_start_ms().saturating_add(params.collect_ms);
        collected.saturating_add((params.deadline_ms - params.collect_ms) / 2)
    }

    /// When the replies that a hop waits for are replaced. Each hop on the way back has its share of the time that is
    /// left, so that a replacement made deeper still arrives in time everywhere else.
    pub(crate) fn replies_due_ms(&self, place: Place) -> u64 {
        let params = self.params();
        let hops = u64::from(params.layers) * u64::from(params.chain_len);
        let depth = u64::from(place.stage.layer.0) * u64::from(params.chain_len) + u64::from(place.position.0);
        let way_back = (params.deadline_ms - params.collect_ms) / 2;
        self.first_due_ms().saturating_add(way_back * (hops - 1 - depth) / (hops + 1))
    }
}

/// Merkle root over replies, which have no keys: the leaf of a reply is its body under an empty key.
pub(crate) fn reply_root(replies: &Records) -> Digest {
    let leaves: Vec<Digest> = replies.iter().map(|reply| merkle::leaf(&[0; 32], &merkle::body_hash(reply))).collect();
    merkle::root_of(&leaves)
}
