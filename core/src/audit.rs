//! The audit of pledged noise: a server whose round a coin has picked shows the seed of its noise, and everybody draws the
//! noise again. See `paper-notes/src/pledge.md`.

use hippodrome_crypto::{
    hash::{Digest, Hasher},
    merkle::RangeProof,
    signing::Signature,
};
use hippodrome_pledge::{NoiseSeed, OpenError, SEED_LEN};

use crate::{
    claim,
    evidence::RoundBasis,
    ids::{ChainId, Layer, Round, ServerId},
    message::InputCommitment,
    mixer::noise,
    pledge::{NoisePledge, PledgeError},
    statement,
};

/// Server → everyone: what all of its noise of a round that is over follows from.
#[derive(Clone, PartialEq, Eq)]
pub struct NoiseOpening {
    /// The round.
    pub round: Round,
    /// The owner.
    pub server: ServerId,
    /// The seed.
    pub seed: [u8; SEED_LEN],
    /// For each open input chain, in order, what leads from the owner's places in the chain's input to its root; none if
    /// the owner has not confirmed the inputs.
    pub branches: Vec<RangeProof>,
    /// The owner's, over all of it.
    pub signature: Signature,
}

impl std::fmt::Debug for NoiseOpening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NoiseOpening({} of {})", self.round, self.server)
    }
}

impl NoiseOpening {
    /// What the owner signs.
    pub fn statement(&self, descriptor: &Digest) -> Digest {
        let hasher = Hasher::new("hippodrome v1 noise opening")
            .digest(descriptor)
            .number(self.server.0.into())
            .bytes(&self.seed)
            .number(self.branches.len() as u64);
        let branch = |hasher: Hasher, branch: &RangeProof| hasher.list(branch.0.iter().map(Digest::as_bytes));
        self.branches.iter().fold(hasher, branch).finish()
    }

    /// Whether its owner, who takes part in the round, has signed it.
    pub(crate) fn is_signed(&self, basis: &RoundBasis) -> bool {
        let takes_part = self.round == basis.round() && basis.roster.is_active(self.server);
        takes_part && basis.signed_by(self.server, &self.statement(basis.digest()), &self.signature)
    }

    /// Bytes of what is not of fixed size.
    pub(crate) fn body_len(&self) -> usize {
        self.branches.iter().map(|branch| std::mem::size_of_val(&*branch.0)).sum()
    }
}

/// An opening with what it is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningCase {
    /// The opening.
    pub opening: NoiseOpening,
    /// What the owner had pledged.
    pub pledge: NoisePledge,
    /// The inputs of all open chains of layer 0, in order; none if nobody is known to have confirmed them.
    pub inputs: Vec<InputCommitment>,
    /// The owner's signature under the vector of these inputs: that its noise is in them.
    pub confirmation: Option<Signature>,
}

/// Why an opening convicts its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FalseOpening {
    /// The pledge itself proves nothing.
    #[error("the pledge does not hold: {0}")]
    Pledge(PledgeError),
    /// The noise that follows from the seed is not the noise that was pledged.
    #[error("{0}")]
    Counts(OpenError),
    /// The noise that follows from the seed is not what the owner has sent.
    #[error("the noise that follows from the seed is not what it has in the input of {0}, which it confirmed")]
    Records(ChainId),
}

/// What follows from a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The owner has sent other noise than it pledged, or does not show that it has not.
    False(FalseOpening),
    /// The noise is what was pledged, as far as it was mixed.
    Holds,
    /// The owner has not signed the opening, or not the inputs.
    Unsigned,
}

impl OpeningCase {
    /// Bytes that it takes, about.
    pub(crate) fn len_bytes(&self) -> usize {
        self.opening.body_len() + self.pledge.len_bytes() + std::mem::size_of_val(&*self.inputs)
    }

    /// Draws the noise again, and compares. That the pledge is the one in the round's descriptor is for the caller to see.
    pub(crate) fn judge(&self, basis: &RoundBasis) -> Finding {
        if !self.opening.is_signed(basis)
            || self.confirmation.is_some_and(|signature| !self.confirms(basis, &signature))
        {
            return Finding::Unsigned;
        }
        let seed = NoiseSeed::from_bytes(self.opening.seed);
        let held = self.check_pledge(basis, &seed).and_then(|()| match self.confirmation {
            Some(_) => self.check_records(basis, &seed),
            // Nobody was bound to these inputs, and nothing was mixed.
            None => Ok(()),
        });
        held.map_or_else(Finding::False, |()| Finding::Holds)
    }

    fn confirms(&self, basis: &RoundBasis, signature: &Signature) -> bool {
        let vector = statement::vector(basis.digest(), Layer(0), &self.inputs);
        let signed = statement::confirmation(basis.digest(), Layer(0), &vector);
        basis.signed_by(self.opening.server, &signed, signature)
    }

    fn check_pledge(&self, basis: &RoundBasis, seed: &NoiseSeed) -> Result<(), FalseOpening> {
        let pledged = self.pledge.verify(&basis.pledge_terms(self.opening.server)).map_err(FalseOpening::Pledge)?;
        let counts = noise::counts(basis.params(), &basis.roster, seed);
        pledged.opens(seed, &counts).map_err(FalseOpening::Counts)
    }

    /// Whether the noise that follows from the seed is where the owner's noise stands in each input.
    fn check_records(&self, basis: &RoundBasis, seed: &NoiseSeed) -> Result<(), FalseOpening> {
        for (index, (chain, leaves)) in noise::leaves(basis, seed).into_iter().enumerate() {
            let here = || {
                let (input, branch) = (self.inputs.get(index)?, self.opening.branches.get(index)?);
                let own = claim::own_places(basis, input.count, self.opening.server)?;
                branch.verify(&input.root, input.count.into(), own.start.into(), leaves).ok()
            };
            here().ok_or(FalseOpening::Records(chain))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
