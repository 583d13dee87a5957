//! What evidence about a round is judged by: public things that everybody has, all of them signed.

use std::sync::Arc;

use hippodrome_crypto::{
    group::Element,
    hash::Digest,
    hop::{HopContext, HopPublic},
    signing::Signature,
};
use hippodrome_pledge::Terms;

use crate::{
    descriptor::SignedDescriptor,
    directory::{Directory, MissingSignature},
    ids::{ChainId, Layer, Place, Position, Round, ServerId, Stage},
    layout::Turn,
    message::{AgreedInput, SignedBatch},
    params::{NetworkParams, Verification},
    pledge,
    roster::Roster,
    statement,
    wire::Sizes,
};

/// The public side of a round: directory, roster and signed descriptor.
#[derive(Clone)]
pub struct RoundBasis {
    /// Who the servers are.
    pub directory: Arc<Directory>,
    /// Who takes part.
    pub roster: Arc<Roster>,
    /// The round's keys.
    pub descriptor: Arc<SignedDescriptor>,
    pub(crate) sizes: Sizes,
}

/// The published keys of a hop, with the base that they were made over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HopKeys {
    /// `P_{i−1}`.
    pub(crate) base: Element,
    /// `A_i` and `P_i`.
    pub(crate) public: HopPublic,
}

impl RoundBasis {
    /// The round that a signed descriptor announces.
    pub fn new(directory: Arc<Directory>, descriptor: impl Into<Arc<SignedDescriptor>>) -> Self {
        let descriptor = descriptor.into();
        let sizes = directory.params().sizes();
        Self { roster: Arc::clone(descriptor.roster()), directory, descriptor, sizes }
    }

    /// The round.
    pub fn round(&self) -> Round {
        self.descriptor.round()
    }

    /// The digest under every signature of the round.
    pub fn digest(&self) -> &Digest {
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

    /// What a server's pledge of the round's noise is about.
    pub(crate) fn pledge_terms(&self, server: ServerId) -> Terms {
        pledge::terms(&self.directory, &self.roster, self.round(), server)
    }

    /// The servers that take part in the round, ascending.
    pub(crate) fn active(&self) -> &[ServerId] {
        self.roster.active()
    }

    /// The open chains of a layer, ascending.
    pub(crate) fn open(&self, layer: Layer) -> &[ChainId] {
        self.roster.open(layer)
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

    /// Whether `server` signed `statement`.
    pub(crate) fn signed_by(&self, server: ServerId, statement: &Digest, signature: &Signature) -> bool {
        self.directory.server_key(server).is_some_and(|key| key.verify(statement, signature).is_ok())
    }

    /// Whether the hop that a batch names has signed it.
    pub(crate) fn batch_is_signed(&self, SignedBatch { batch, signature }: &SignedBatch) -> bool {
        self.has(batch.place.stage)
            && self
                .server_at(batch.place)
                .is_some_and(|server| self.signed_by(server, &statement::batch(self.digest(), batch), signature))
    }

    /// Whether all members of a chain have signed its input.
    pub(crate) fn check_input(&self, root: &AgreedInput) -> Result<(), MissingSignature> {
        let members = self.members(root.input.stage);
        if root.signatures.len() != members.len() {
            return Err(MissingSignature::Count { got: root.signatures.len(), expected: members.len() });
        }
        let signed = statement::input(self.digest(), &root.input);
        for (&member, signature) in members.iter().zip(&root.signatures) {
            if !self.signed_by(member, &signed, signature) {
                return Err(MissingSignature::Bad(member));
            }
        }
        Ok(())
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

    /// All published keys of a hop of an open chain.
    pub(crate) fn hop_keys(&self, place: Place) -> HopKeys {
        let keys = self.descriptor.chain(place.stage.layer, place.stage.chain);
        HopKeys { base: self.blinding(place).0, public: keys[usize::from(place.position.0)] }
    }

    /// What a hop's proof is about besides keys and roots.
    pub(crate) fn hop_statement(&self, place: Place, server: ServerId) -> Digest {
        statement::hop(self.digest(), place, server)
    }
}

impl std::fmt::Debug for RoundBasis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoundBasis({}, {:?})", self.round(), self.digest())
    }
}
