//! What noise hides: how much two neighbouring stories of one person differ in everything that is counted, over all
//! rounds, as (ε, δ); and how little noise is enough.
//!
//! After verified mixing counts are all that is left to see: how many mailboxes were accessed once and twice, and how
//! many records went from chain to chain. Servers send noise, and the question is what it hides.
//!
//! * [`noise`]: distributions of the noise in one count, and sums of them over servers.
//! * [`account`]: what the adversary learns in many rounds. It works with the distribution of the *privacy loss* on a
//!   grid that never understates, composes rounds by FFT, and adds every error that it makes to δ.
//! * [`links`]: what records from chain to chain tell. A leading-order formula, checked by simulation, **not proved**.
//! * [`plan`]: the least noise for a goal.
//! * [`attack`]: what somebody finds who tries, against what is proved.
//!
//! `paper-notes/src/privacy.md` has the mathematics, and says of every claim what it rests on. No clock and no
//! I/O; what is random follows from seeds.

pub mod account;
pub mod attack;
mod binomial;
mod counts;
pub mod error;
mod grid;
pub mod links;

pub mod noise;
pub mod plan;

pub mod quantity;
mod spectrum;

pub use error::PrivacyError;
