//! The weaker proof: the sum of the outputs is `b` times the sum of the inputs (after Kwon, Lu and Devadas, *XRD:
//! Scalable Messaging System with Cryptographic Privacy*, NSDI 2020, section 6).
//!
//! It costs three multiplications for a whole batch. Alone it says nothing about single outputs: whoever knows the
//! links can move a difference from one output to another. It keeps honest messages from being dropped or replaced
//! only together with proofs of knowledge for every input, distinct inputs, and opening every layer before anything is
//! released; and it names nobody. [`VerifiedHop::strength`] says [`Strength::Aggregate`].

use rand_core::CryptoRng;

use super::{ShuffleError, Statement, Strength, VerifiedHop, common_count, multiscalar::sum, oracle::absorb_statement};
use crate::{
    equality::{EqualityClaim, EqualityProof},
    group::{Element, SecretScalar},
    key_list::KeyList,
    transcript::Transcript,
};

/// An equality proof over the sums of both lists, bound to the whole statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateProof(EqualityProof);

impl AggregateProof {
    /// Bytes of the encoding.
    pub const LEN: usize = EqualityProof::LEN;

    /// The encoding.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        self.0.to_bytes()
    }

    /// Parses the encoding; refuses non-canonical scalars.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Result<Self, ShuffleError> {
        Ok(Self(EqualityProof::parse(bytes)?))
    }
}

/// Proves that the sum of `outputs` is `b` times the sum of `inputs`, and `statement.blinded_base` is `b` times
/// `statement.base`.
pub fn prove<R: CryptoRng>(
    statement: &Statement,
    inputs: &KeyList,
    outputs: &KeyList,
    b: &SecretScalar,
    rng: &mut R,
) -> Result<AggregateProof, ShuffleError> {
    common_count(inputs, outputs)?;
    with_claim(statement, inputs, outputs, |claim, transcript| {
        Ok(AggregateProof(EqualityProof::prove(b, &claim, transcript, rng)))
    })
}

/// Verifies an aggregate proof.
pub fn verify(
    statement: &Statement,
    inputs: &KeyList,
    outputs: &KeyList,
    proof: &AggregateProof,
) -> Result<VerifiedHop, ShuffleError> {
    common_count(inputs, outputs)?;
    with_claim(statement, inputs, outputs, |claim, transcript| {
        proof.0.verify(&claim, transcript).map_err(|_| ShuffleError::Sum)
    })?;
    Ok(VerifiedHop::new(statement, inputs, outputs, Strength::Aggregate))
}

/// Hands on the claim about the sums with a transcript that has absorbed the statement and both lists.
fn with_claim<T>(
    statement: &Statement,
    inputs: &KeyList,
    outputs: &KeyList,
    then: impl FnOnce(EqualityClaim<'_>, Transcript) -> Result<T, ShuffleError>,
) -> Result<T, ShuffleError> {
    let mut transcript = Transcript::new(b"hippodrome v1 aggregate");
    absorb_statement(&mut transcript, statement, inputs, outputs);
    let claim = EqualityClaim {
        base: &statement.base,
        power: &statement.blinded_base,
        other_base: &sum(inputs.keys(), Element::point),
        other_power: &sum(outputs.keys(), Element::point),
    };
    then(claim, transcript)
}
