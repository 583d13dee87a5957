//! The pledge: made, encoded, verified, opened.

use core::fmt;

use hippodrome_crypto::{
    group::{DecodeError, ENCODED_LEN, Element},
    hash::{Digest, Hasher},
    knowledge::{KNOWLEDGE_LEN, Knowledge},
};
use rayon::prelude::*;

use crate::{
    commitment::{ChainCommitments, Openings, blinding_base, excess},
    counts::{Counts, CountsError},
    range,
    seed::NoiseSeed,
    terms::Terms,
};

/// Bytes of the seed's commitment.
const DIGEST_LEN: usize = 32;

/// What a server says of its noise of one round: public, and worth nothing before [`Pledge::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Pledge {
    pub(crate) seed: Digest,
    pub(crate) chains: Vec<ChainCommitments>,
    pub(crate) sum: Knowledge,
    pub(crate) ranges: Vec<u8>,
}

/// Why a pledge is refused: always the fault of the server that signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PledgeError {
    /// The terms fix the length.
    #[error("a pledge of {found} bytes: expected {expected}")]
    Length {
        /// Bytes by the terms.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// A commitment is no element.
    #[error("a commitment for output chain {chain} of those open: {error}")]
    Commitment {
        /// Place in the list of open output chains, from 0.
        chain: usize,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The committed numbers are not shown to make up the volume.
    #[error("the pledged slots and records are not shown to make up the {records} records of the terms")]
    Sum {
        /// Records by the terms.
        records: u32,
    },
    /// Some committed number is not shown to be within bounds.
    #[error("range proof {part} does not hold: some pledged number is negative or too large")]
    Range {
        /// Place of the proof in the pledge, from 0.
        part: usize,
    },
}

impl Pledge {
    /// Makes the pledge of noise with these counts. The same terms, seed and counts give the same bytes again.
    ///
    /// # Errors
    ///
    /// Counts that are not those of any noise under the terms.
    pub fn make(terms: &Terms, seed: &NoiseSeed, counts: &Counts) -> Result<Self, CountsError> {
        counts.check(terms)?;
        let openings = Openings::derive(terms, seed, counts);
        let (commitment, chains) = (seed.commitment(terms), openings.commit());
        let context = statement(terms, &commitment, &chains);
        let mut rng = seed.stream("hippodrome v1 pledge proofs", &counts.topic(terms));
        let secret = openings.excess_blinding();
        let excess = secret.multiply(blinding_base());
        let sum = Knowledge::sign(&secret, blinding_base(), &excess, &context, &mut rng);
        let ranges = range::prove(&openings, terms.width(), &context, rng);
        Ok(Self { seed: commitment, chains, sum, ranges })
    }

    /// Bytes of every pledge under the terms.
    pub fn encoded_len(terms: &Terms) -> usize {
        let values = 2 * terms.chain_count();
        DIGEST_LEN + values * ENCODED_LEN + KNOWLEDGE_LEN + range::len(values, terms.width())
    }

    /// The seed's commitment; for chain after chain the commitments to shared slots and to lone records; the proof of
    /// the sum; the range proofs.
    pub fn to_bytes(&self) -> Vec<u8> {
        let commitments = self.chains.iter().flat_map(ChainCommitments::both);
        let mut bytes = self.seed.as_bytes().to_vec();
        commitments.for_each(|element| bytes.extend(element.encoded()));
        bytes.extend(self.sum.to_bytes());
        bytes.extend(&self.ranges);
        bytes
    }

    /// Parses a pledge under the terms that it has to be for. Its length is checked before anything is allocated.
    ///
    /// # Errors
    ///
    /// Another length, and commitments that are not canonical or the identity. Proofs are parsed by [`Self::verify`].
    pub fn from_bytes(terms: &Terms, bytes: &[u8]) -> Result<Self, PledgeError> {
        let wrong_length = PledgeError::Length { expected: Self::encoded_len(terms), found: bytes.len() };
        let (seed, rest) = bytes.split_first_chunk::<DIGEST_LEN>().ok_or(wrong_length)?;
        let commitments_len = 2 * terms.chain_count() * ENCODED_LEN;
        let (commitments, rest) = rest.split_at_checked(commitments_len).ok_or(wrong_length)?;
        let (sum, ranges) = rest.split_first_chunk::<KNOWLEDGE_LEN>().ok_or(wrong_length)?;
        if bytes.len() != Self::encoded_len(terms) {
            return Err(wrong_length);
        }
        let pairs = commitments.as_chunks::<ENCODED_LEN>().0.as_chunks::<2>().0.iter().enumerate();
        let chains = pairs.map(|(chain, [shared, lone])| {
            let decode = |bytes| Element::decode(bytes).map_err(|error| PledgeError::Commitment { chain, error });
            Ok(ChainCommitments { shared: decode(shared)?, lone: decode(lone)? })
        });
        let chains = chains.collect::<Result<_, _>>()?;
        Ok(Self { seed: Digest(*seed), chains, sum: Knowledge::from_bytes(*sum), ranges: ranges.to_vec() })
    }

    /// Checks that the committed numbers are those of some noise under the terms: none is negative, and they make up the
    /// volume.
    ///
    /// # Errors
    ///
    /// What does not hold. It is the fault of the server that the terms name, if the pledge is signed by it.
    pub fn verify(self, terms: &Terms) -> Result<VerifiedPledge, PledgeError> {
        self.check_lengths(terms)?;
        let context = statement(terms, &self.seed, &self.chains);
        self.check_sum(terms, &context)?;
        self.check_ranges(terms, &context)?;
        Ok(VerifiedPledge { terms: *terms, pledge: self })
    }

    /// A pledge parsed under other terms may have other lengths.
    fn check_lengths(&self, terms: &Terms) -> Result<(), PledgeError> {
        let values = 2 * terms.chain_count();
        if self.chains.len() == terms.chain_count() && self.ranges.len() == range::len(values, terms.width()) {
            return Ok(());
        }
        Err(PledgeError::Length { expected: Self::encoded_len(terms), found: self.to_bytes().len() })
    }

    pub(crate) fn check_sum(&self, terms: &Terms, context: &Digest) -> Result<(), PledgeError> {
        let refuted = PledgeError::Sum { records: terms.records() };
        let excess = Element::from_point(excess(&self.chains, terms.records())).map_err(|_| refuted)?;
        self.sum.verify(blinding_base(), &excess, context).map_err(|_| refuted)
    }

    fn check_ranges(&self, terms: &Terms, context: &Digest) -> Result<(), PledgeError> {
        let commitments: Vec<Element> = self.chains.iter().flat_map(ChainCommitments::both).copied().collect();
        range::verify(&commitments, terms.width(), context, &self.ranges)
            .map_err(|refuted| PledgeError::Range { part: refuted.part })
    }
}

impl fmt::Debug for Pledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pledge({} chains, seed {:?})", self.chains.len(), self.seed)
    }
}

/// What all proofs of a pledge are bound to: the terms and everything that is committed to.
pub(crate) fn statement(terms: &Terms, seed: &Digest, chains: &[ChainCommitments]) -> Digest {
    let commitments: Vec<&[u8; ENCODED_LEN]> =
        chains.iter().flat_map(ChainCommitments::both).map(Element::encoded).collect();
    let hasher = Hasher::new("hippodrome v1 pledge statement").digest(terms.digest()).digest(seed);
    hasher.list(commitments.into_iter()).finish()
}

/// A pledge that holds under its terms. Only [`Pledge::verify`] makes one.
///
/// ```compile_fail
/// use hippodrome_pledge::{Pledge, Terms, VerifiedPledge};
///
/// fn believe(terms: Terms, pledge: Pledge) -> VerifiedPledge {
///     VerifiedPledge { terms, pledge }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPledge {
    terms: Terms,
    pledge: Pledge,
}

/// Why a seed and counts are not those that were pledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The seed has another commitment.
    #[error("this is not the seed that was pledged")]
    Seed,
    /// Counts that are not those of any noise under the terms.
    #[error("{0}")]
    Counts(CountsError),
    /// Seed and counts give other commitments.
    #[error("these are not the counts that were pledged, or their blinding factors were not drawn from the seed")]
    Commitments,
}

impl VerifiedPledge {
    /// What it holds under.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The pledge.
    pub fn pledge(&self) -> &Pledge {
        &self.pledge
    }

    /// The commitments, one pair for each open output chain. Those of several servers add up to their sum's.
    pub fn commitments(&self) -> &[ChainCommitments] {
        &self.pledge.chains
    }

    /// Whether this seed was pledged, and these counts with it. That the counts are those of the noise that follows from
    /// the seed is for the caller to see, who draws that noise again and counts.
    ///
    /// The proofs are not compared: any that hold say the same.
    ///
    /// # Errors
    ///
    /// What was not pledged. If the seed is right and the counts follow from it, the server has lied.
    pub fn opens(&self, seed: &NoiseSeed, counts: &Counts) -> Result<(), OpenError> {
        if seed.commitment(&self.terms) != self.pledge.seed {
            return Err(OpenError::Seed);
        }
        counts.check(&self.terms).map_err(OpenError::Counts)?;
        let commitments = Openings::derive(&self.terms, seed, counts).commit();
        if commitments == self.pledge.chains { Ok(()) } else { Err(OpenError::Commitments) }
    }
}

/// Verifies the pledges of many servers, each under its own terms and on its own, in parallel: the verdicts come in the
/// order of the pledges, so that every bad one is named.
pub fn verify_all(pledges: Vec<(Terms, Pledge)>) -> Vec<Result<VerifiedPledge, PledgeError>> {
    pledges.into_par_iter().map(|(terms, pledge)| pledge.verify(&terms)).collect()
}
