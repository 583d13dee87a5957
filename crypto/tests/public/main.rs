//! What this crate offers, as others use and attack it.

mod onion;
mod redteam;
mod vectors;
