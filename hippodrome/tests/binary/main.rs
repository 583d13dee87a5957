//! The real binary, run as people run it.

mod by_hand;
mod demo;
mod experiment;
mod harness;
mod hosts;
mod nodes;
mod operating;
mod refusals;
mod testnet;
