//! A server's pledge of one round's noise, made before the round's descriptor is signed.
//!
//! A server's noise is *slots* of two records: a shared slot has both records on one mailbox, a lone record has one of
//! its own. The mailbox decides the record's output chain. A [`Pledge`] commits to how many shared slots and how many
//! lone records lead to each open output chain, proves that these are counts which add up to the volume that everybody
//! knows, and commits to the [`NoiseSeed`] from which all of the round's noise follows. It hides everything else.
//!
//! Whether the records that are sent are those that were pledged, only an audit tells: [`picked`] says whose seed is
//! opened, and [`VerifiedPledge::opens`] compares. The mathematics, and what all this does not prove, are in
//! `paper-notes/src/pledge.md`.
//!
//! Nothing here reads a clock, draws its own randomness or does I/O. What is random in a pledge follows from its seed.
//! Range proofs are made and checked on the rayon pool that the caller has installed.

mod coin;
mod commitment;
mod counts;
mod pledge;
mod range;
mod seed;
mod terms;

pub use coin::picked;
pub use commitment::ChainCommitments;
pub use counts::{Counts, CountsError};
pub use pledge::{OpenError, Pledge, PledgeError, VerifiedPledge, verify_all};
pub use seed::{NoiseSeed, SEED_LEN};
pub use terms::{Context, MAX_CHAINS, MAX_SLOTS, Terms, TermsError};

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod tests;
