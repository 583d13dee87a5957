//! The descriptor of a round: every public key of every hop of every open chain, signed by all active servers as one
//! statement for the whole network, so that no two clients can be given different keys.
//!
//! A client takes the keys of its own input chain with a Merkle branch, and all keys of every later layer: what it
//! fetches tells nothing about where its messages go.

use std::sync::Arc;

use hippodrome_crypto::{
    group::Element,
    hash::{Digest, Hasher},
    hop::{HopError, HopPublic},
    merkle::{self, InclusionProof, MerkleError, Tree},
    signing::{Signature, SigningKey},
};

use crate::{
    directory::{Directory, MissingSignature},
    epoch::Epoch,
    ids::{ChainId, Layer, Place, Position, RosterId, Round, ServerId, Stage},
    layout::Turn,
    message::ProvenHopKeys,
    params::NetworkParams,
    pledge,
    roster::Roster,
};

/// Why a descriptor, or keys for it, are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// The keys are not one for each hop, in order.
    #[error("keys of {layer}, {chain}, {position} are missing or out of place")]
    Keys {
        /// Layer of the first hop that is wrong.
        layer: Layer,
        /// Its chain.
        chain: ChainId,
        /// Its position.
        position: Position,
    },
    /// The owner of a hop's keys has not proven that it knows their secrets.
    #[error("the keys of {server} are not proven: {error}")]
    Unproven {
        /// The owner.
        server: ServerId,
        /// What does not hold.
        error: HopError,
    },
    /// The descriptor is of another roster.
    #[error("the round's descriptor is of {got}, not of {expected}")]
    Roster {
        /// The one that it names.
        got: RosterId,
        /// The one at hand.
        expected: RosterId,
    },
    /// The client's view has the wrong number of layers, chains or hops.
    #[error("the round's keys have the wrong shape: expected {expected}")]
    Shape {
        /// What is expected.
        expected: &'static str,
    },
    /// The branch of the client's input chain does not lead to the signed root.
    #[error("the keys of the input chain are not in the round's descriptor: {0}")]
    Branch(#[from] MerkleError),
    /// Not all active servers have signed.
    #[error("the round's descriptor: {0}")]
    Signatures(#[from] MissingSignature),
}

/// What the owner of a hop's keys proves their knowledge for.
pub fn hop_context(directory: &Directory, epoch: &Epoch, place: Place, server: ServerId) -> Digest {
    Hasher::new("hippodrome v1 hop keys")
        .digest(directory.id())
        .digest(epoch.digest())
        .number(place.stage.round.0)
        .number(place.stage.layer.0.into())
        .number(place.stage.chain.0.into())
        .number(place.position.0.into())
        .number(server.0.into())
        .finish()
}

/// Checks the proofs of a chain's keys up to some position and gives the base for the next one.
///
/// `keys` are the hops of one chain in order from position 0; an empty slice gives the group's base point.
pub fn check_chain(
    directory: &Directory,
    epoch: &Epoch,
    stage: Stage,
    keys: &[&ProvenHopKeys],
) -> Result<Element, DescriptorError> {
    let mut base = Element::base();
    for (index, hop) in keys.iter().enumerate() {
        let position = Position(index as u8);
        let turn = Turn { layer: stage.layer, chain: stage.chain, position };
        let out_of_place = DescriptorError::Keys { layer: stage.layer, chain: stage.chain, position };
        let server = epoch.layout().server_at(turn).ok_or(out_of_place.clone())?;
        if (hop.layer, hop.chain, hop.position) != (stage.layer, stage.chain, position) {
            return Err(out_of_place);
        }
        let context = hop_context(directory, epoch, Place { stage, position }, server);
        hop.public.verify(&base, &context, &hop.proof).map_err(|error| DescriptorError::Unproven { server, error })?;
        base = hop.public.blinding;
    }
    Ok(base)
}

/// Keys of one chain, in order; none of a chain that is closed.
type ChainKeys = Vec<HopPublic>;

fn chain_leaf(keys: &[HopPublic]) -> Digest {
    let hasher = Hasher::new("hippodrome v1 descriptor chain").number(keys.len() as u64);
    keys.iter().fold(hasher, |hasher, hop| hasher.bytes(&hop.to_bytes())).finish()
}

fn layer_digest(chains: &[ChainKeys]) -> Digest {
    let hasher = Hasher::new("hippodrome v1 descriptor layer").number(chains.len() as u64);
    chains.iter().fold(hasher, |hasher, keys| hasher.digest(&chain_leaf(keys))).finish()
}

fn descriptor_digest(
    directory: &Directory,
    roster: &Roster,
    round: Round,
    entry_root: &Digest,
    later: &[Vec<ChainKeys>],
    pledges: Option<&Digest>,
) -> Digest {
    let epoch = roster.epoch();
    let hasher = Hasher::new("hippodrome v1 descriptor")
        .digest(directory.id())
        .digest(&directory.params().digest())
        .digest(epoch.digest())
        .digest(roster.digest())
        .number(round.0)
        .number(epoch.window_start_ms(round))
        .digest(entry_root)
        .number(later.len() as u64);
    let hasher = later.iter().fold(hasher, |hasher, chains| hasher.digest(&layer_digest(chains)));
    pledges.into_iter().fold(hasher, Hasher::digest).finish()
}

/// Digest of the pledges of all active servers where noise is audited; there are none elsewhere.
fn pledges_digest(
    params: &NetworkParams,
    roster: &Roster,
    pledges: &[Digest],
) -> Result<Option<Digest>, DescriptorError> {
    let expected = if pledge::is_pledged(params) { roster.active().len() } else { 0 };
    if pledges.len() != expected {
        return Err(DescriptorError::Shape { expected: "the pledge of each active server where noise is audited" });
    }
    Ok(pledge::is_pledged(params).then(|| pledge::all_digest(pledges)))
}

pub(crate) fn check_usable(roster: &Roster) -> Result<(), DescriptorError> {
    let expected = "an open chain in every layer";
    if roster.is_usable() { Ok(()) } else { Err(DescriptorError::Shape { expected }) }
}

/// What all active servers sign.
fn signed_digest(descriptor: &Digest) -> Digest {
    Hasher::new("hippodrome v1 descriptor signature").digest(descriptor).finish()
}

/// A descriptor as the servers know it: complete, not yet signed by all.
pub struct Descriptor {
    roster: Arc<Roster>,
    round: Round,
    digest: Digest,
    keys: Vec<Vec<ChainKeys>>,
    entry: Tree,
    pledges: Vec<Digest>,
}

impl Descriptor {
    /// Arranges the keys of all hops of open chains, given in order of layer, chain and position. Proofs are checked by
    /// [`check_chain`]: each server checks those of the chains that it is in. `pledges` are the digests of the active
    /// servers' pledges of noise, in order, where it is audited.
    pub fn new(
        directory: &Directory,
        roster: &Arc<Roster>,
        round: Round,
        keys: &[ProvenHopKeys],
        pledges: Vec<Digest>,
    ) -> Result<Self, DescriptorError> {
        check_usable(roster)?;
        let mut given = keys.iter();
        let mut layers =
            vec![vec![ChainKeys::new(); directory.params().chains.into()]; directory.params().layers.into()];
        let open = |(turn, _): &(Turn, ServerId)| roster.is_open(turn.layer, turn.chain);
        for (turn, _) in roster.epoch().layout().turns().filter(open) {
            let out_of_place = DescriptorError::Keys { layer: turn.layer, chain: turn.chain, position: turn.position };
            match given.next() {
                Some(hop) if (hop.layer, hop.chain, hop.position) == (turn.layer, turn.chain, turn.position) => {
                    layers[usize::from(turn.layer.0)][usize::from(turn.chain.0)].push(hop.public);
                }
                _ => return Err(out_of_place),
            }
        }
        if given.next().is_some() {
            return Err(DescriptorError::Shape { expected: "one key pair for each hop of an open chain" });
        }
        let entry = Tree::new(layers[0].iter().map(|keys| chain_leaf(keys)).collect());
        let pledged = pledges_digest(directory.params(), roster, &pledges)?;
        let digest = descriptor_digest(directory, roster, round, entry.root(), &layers[1..], pledged.as_ref());
        Ok(Self { roster: Arc::clone(roster), round, digest, keys: layers, entry, pledges })
    }

    /// Takes the keys of every hop by layer, chain and position; none of a closed chain. For those who judge a round
    /// afterwards: that the keys are proven is what the signatures say.
    pub fn arrange(
        directory: &Directory,
        roster: &Arc<Roster>,
        round: Round,
        keys: Vec<Vec<Vec<HopPublic>>>,
        pledges: Vec<Digest>,
    ) -> Result<Self, DescriptorError> {
        check_usable(roster)?;
        let params = directory.params();
        let hops_of = |layer, chain| if roster.is_open(layer, chain) { usize::from(params.chain_len) } else { 0 };
        let fits = |(layer, chains): (Layer, &Vec<ChainKeys>)| {
            chains.len() == usize::from(params.chains)
                && (0..).map(ChainId).zip(chains).all(|(chain, keys)| keys.len() == hops_of(layer, chain))
        };
        if keys.len() != usize::from(params.layers) || !(0..).map(Layer).zip(&keys).all(fits) {
            return Err(DescriptorError::Shape {
                expected: "the keys of every hop of every open chain, and of no other",
            });
        }
        let entry = Tree::new(keys[0].iter().map(|keys| chain_leaf(keys)).collect());
        let pledged = pledges_digest(params, roster, &pledges)?;
        let digest = descriptor_digest(directory, roster, round, entry.root(), &keys[1..], pledged.as_ref());
        Ok(Self { roster: Arc::clone(roster), round, digest, keys, entry, pledges })
    }

    /// Who takes part in the round.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// The round.
    pub fn round(&self) -> Round {
        self.round
    }

    /// Keys of every hop: layers, chains, positions; none of a closed chain.
    pub fn all_keys(&self) -> &[Vec<Vec<HopPublic>>] {
        &self.keys
    }

    /// Digests of the active servers' pledges of noise, in order; none where noise is not audited.
    pub fn pledges(&self) -> &[Digest] {
        &self.pledges
    }

    /// The digest under every proof and signature of the round.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Keys of a chain in order, none if it is closed; panics on a chain that the network does not have.
    pub fn chain(&self, layer: Layer, chain: ChainId) -> &[HopPublic] {
        &self.keys[usize::from(layer.0)][usize::from(chain.0)]
    }

    /// Base and blinding key of a hop: `P_{i−1}` and `P_i`.
    pub fn blinding(&self, place: Place) -> (Element, Element) {
        let keys = self.chain(place.stage.layer, place.stage.chain);
        let index = usize::from(place.position.0);
        let base = index.checked_sub(1).map_or_else(Element::base, |before| keys[before].blinding);
        (base, keys[index].blinding)
    }

    /// A server's signature.
    pub fn sign(&self, key: &SigningKey) -> Signature {
        key.sign(&signed_digest(&self.digest))
    }

    /// Checks one server's signature.
    pub fn verify_one(&self, directory: &Directory, server: ServerId, signature: &Signature) -> bool {
        directory.verify_one(&signed_digest(&self.digest), server, signature).is_ok()
    }

    /// Whether all active servers have signed it, in their order.
    pub fn check(&self, directory: &Directory, signatures: &[Signature]) -> Result<(), DescriptorError> {
        Ok(directory.verify_each(&signed_digest(&self.digest), self.roster.active(), signatures)?)
    }

    /// The descriptor, if all active servers have signed it.
    pub fn verify(self, directory: &Directory, signatures: &[Signature]) -> Result<SignedDescriptor, DescriptorError> {
        self.check(directory, signatures)?;
        Ok(SignedDescriptor { descriptor: self, signatures: signatures.to_vec() })
    }
}

/// A descriptor that all active servers have signed.
pub struct SignedDescriptor {
    descriptor: Descriptor,
    signatures: Vec<Signature>,
}

impl std::ops::Deref for SignedDescriptor {
    type Target = Descriptor;

    fn deref(&self) -> &Descriptor {
        &self.descriptor
    }
}

impl SignedDescriptor {
    /// Everybody's signatures, in order.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// What a client of input chain `chain` is given, if that chain is open.
    pub fn view(&self, chain: ChainId) -> Option<ClientDescriptor> {
        self.roster.open_index(Layer(0), chain)?;
        let index = usize::from(chain.0);
        let keys = self.descriptor.keys[0].get(index)?.clone();
        Some(ClientDescriptor {
            roster: self.roster.id(),
            round: self.descriptor.round,
            chain,
            entry: keys,
            entry_root: *self.descriptor.entry.root(),
            branch: self.descriptor.entry.inclusion(index)?,
            later: self.descriptor.keys[1..].to_vec(),
            pledges: (!self.descriptor.pledges.is_empty()).then(|| pledge::all_digest(&self.descriptor.pledges)),
            signatures: self.signatures.clone(),
        })
    }
}

/// A client's view of a round's descriptor, not yet checked.
#[derive(Clone, Debug)]
pub struct ClientDescriptor {
    /// Who takes part in the round: the epoch and the amendment under which it was opened.
    pub roster: RosterId,
    /// The round.
    pub round: Round,
    /// The client's input chain.
    pub chain: ChainId,
    /// Keys of that chain, in order.
    pub entry: Vec<HopPublic>,
    /// Merkle root over the input chains.
    pub entry_root: Digest,
    /// Branch from the chain's keys to the root.
    pub branch: InclusionProof,
    /// Keys of every chain of every later layer; none of a closed chain.
    pub later: Vec<Vec<Vec<HopPublic>>>,
    /// Digest of all servers' pledges of noise, where it is audited.
    pub pledges: Option<Digest>,
    /// One signature an active server, in order.
    pub signatures: Vec<Signature>,
}

impl ClientDescriptor {
    /// Checks roster, shape, branch and the signatures of all active servers.
    pub fn verify(
        self,
        directory: &Directory,
        roster: &Arc<Roster>,
        chain: ChainId,
    ) -> Result<RoundView, DescriptorError> {
        if self.roster != roster.id() {
            return Err(DescriptorError::Roster { got: self.roster, expected: roster.id() });
        }
        check_usable(roster)?;
        let params = directory.params();
        let hops = usize::from(params.chain_len);
        if self.chain != chain {
            return Err(DescriptorError::Shape { expected: "the keys of the client's own input chain" });
        }
        if self.entry.len() != hops {
            return Err(DescriptorError::Shape { expected: "the network's chain length" });
        }
        if self.later.len() + 1 != usize::from(params.layers) {
            return Err(DescriptorError::Shape { expected: "the network's number of layers" });
        }
        if self.later.iter().any(|chains| chains.len() != usize::from(params.chains)) {
            return Err(DescriptorError::Shape { expected: "every chain of every later layer" });
        }
        for (layer, chains) in (1..).map(Layer).zip(&self.later) {
            let hops_of = |chain| if roster.is_open(layer, chain) { hops } else { 0 };
            if (0..).map(ChainId).zip(chains).any(|(chain, keys)| keys.len() != hops_of(chain)) {
                return Err(DescriptorError::Shape { expected: "the keys of every open chain, and of no other" });
            }
        }
        if self.pledges.is_some() != pledge::is_pledged(params) {
            return Err(DescriptorError::Shape { expected: "pledges where noise is audited, and only there" });
        }
        let leaf = chain_leaf(&self.entry);
        merkle::verify(&self.entry_root, params.chains.into(), chain.0.into(), &leaf, &self.branch)?;
        let pledges = self.pledges.as_ref();
        let digest = descriptor_digest(directory, roster, self.round, &self.entry_root, &self.later, pledges);
        directory.verify_each(&signed_digest(&digest), roster.active(), &self.signatures)?;
        let (roster, entry) = (Arc::clone(roster), self.entry);
        Ok(RoundView { roster, round: self.round, digest, chain, entry, later: self.later })
    }
}

/// A round's keys as a client uses them: checked against directory and roster.
#[derive(Clone, Debug)]
pub struct RoundView {
    roster: Arc<Roster>,
    round: Round,
    digest: Digest,
    chain: ChainId,
    entry: Vec<HopPublic>,
    later: Vec<Vec<Vec<HopPublic>>>,
}

impl RoundView {
    /// Who takes part in the round.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// The round.
    pub fn round(&self) -> Round {
        self.round
    }

    /// The descriptor's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The client's input chain.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// Number of layers.
    pub fn layers(&self) -> u8 {
        self.later.len() as u8 + 1
    }

    /// Keys of a hop's chain; in layer 0 only the own input chain is known.
    pub fn keys(&self, layer: Layer, chain: ChainId) -> &[HopPublic] {
        match layer.0.checked_sub(1) {
            None => &self.entry,
            Some(later) => &self.later[usize::from(later)][usize::from(chain.0)],
        }
    }
}

impl Descriptor {
    /// The view of a server that sends noise: every chain is known to it.
    pub fn own_view(&self, chain: ChainId) -> RoundView {
        RoundView {
            roster: Arc::clone(&self.roster),
            round: self.round,
            digest: self.digest,
            chain,
            entry: self.chain(Layer(0), chain).to_vec(),
            later: self.keys[1..].to_vec(),
        }
    }
}
