//! The mathematics of Hippodrome: group, transcript, proofs of knowledge and equality, onion and shuffle argument.
//!
//! Nothing here reads a clock, draws its own randomness or does I/O: randomness is an argument everywhere. Work over
//! whole batches runs on the rayon pool that the caller has installed.

pub mod equality;
pub mod fingerprint;
pub mod group;
pub mod hash;
pub mod hop;
pub mod key_list;
pub mod knowledge;
pub mod merkle;
pub mod onion;
pub mod permutation;
pub mod records;
pub mod shuffle;
pub mod signing;
pub mod trace;
pub mod transcript;
