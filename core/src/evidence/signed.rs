//! Statements of which a server signs one for each place, ever.

use hippodrome_crypto::{hash::Digest, signing::Signature};

use super::RoundBasis;
use crate::{
    ids::{Layer, Place, ServerId},
    message::{BatchCommitment, InputCommitment, ParcelCommitment, ReturnCommitment},
    statement,
};

/// A statement with the server that signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedStatement {
    /// Whose signature it is.
    pub signer: ServerId,
    /// What was signed.
    pub statement: Statement,
    /// The signature.
    pub signature: Signature,
}

/// What a server signs once for each place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// A chain's input.
    Input(InputCommitment),
    /// The vector of a layer's inputs.
    Confirmation {
        /// The layer.
        layer: Layer,
        /// Digest of the vector.
        vector: Digest,
    },
    /// A batch on its way forward.
    Batch(BatchCommitment),
    /// A parcel on its way forward.
    Parcel(ParcelCommitment),
    /// Replies on their way back.
    Return(ReturnCommitment),
    /// An accusation.
    Accusation {
        /// The accuser's hop.
        place: Place,
        /// [`super::Accusation::content`].
        content: Digest,
    },
    /// A claim of missing noise, of which a server makes one in a round.
    Claim {
        /// [`crate::claim::NoiseClaim::content`].
        content: Digest,
    },
}

impl Statement {
    /// What stands under the signature.
    pub fn digest(&self, descriptor: &Digest) -> Digest {
        match self {
            Self::Input(input) => statement::input(descriptor, input),
            Self::Confirmation { layer, vector } => statement::confirmation(descriptor, *layer, vector),
            Self::Batch(batch) => statement::batch(descriptor, batch),
            Self::Parcel(parcel) => statement::parcel(descriptor, parcel),
            Self::Return(replies) => statement::returned(descriptor, replies),
            Self::Accusation { place, content } => statement::accusation(descriptor, *place, content),
            Self::Claim { content } => statement::claim(descriptor, content),
        }
    }

    /// Whether both are of one kind and for one place, so that a server signs one of them only.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Input(one), Self::Input(two)) => one.stage == two.stage,
            (Self::Claim { .. }, Self::Claim { .. }) => true,
            (Self::Confirmation { layer: one, .. }, Self::Confirmation { layer: two, .. }) => one == two,
            (Self::Batch(one), Self::Batch(two)) => one.place == two.place,
            (Self::Parcel(one), Self::Parcel(two)) => (one.source, one.destination) == (two.source, two.destination),
            (Self::Return(one), Self::Return(two)) => (one.place, one.to) == (two.place, two.to),
            (Self::Accusation { place: one, .. }, Self::Accusation { place: two, .. }) => one == two,
            _ => false,
        }
    }
}

impl SignedStatement {
    /// Whether the signature holds.
    pub(crate) fn holds(&self, basis: &RoundBasis) -> bool {
        basis.signed_by(self.signer, &self.statement.digest(basis.digest()), &self.signature)
    }

    /// Whether this server may sign only one of the two. Two values of which one and the same was signed are one.
    pub(crate) fn contradicts(&self, basis: &RoundBasis, other: &Self) -> bool {
        let digest = |signed: &Self| signed.statement.digest(basis.digest());
        self.signer == other.signer && self.statement.excludes(&other.statement) && digest(self) != digest(other)
    }
}
