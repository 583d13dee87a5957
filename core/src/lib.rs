//! The protocol of Hippodrome without I/O.
//!
//! Mixer, coordinator and client are machines: they take the time and an input, and give outputs to send and jobs to
//! run. Sockets, clocks, disks and threads are in the shells around them. Every verified thing is a type that only its
//! verifier makes, and the gate of [`mixer::gate`] releases nothing without the witnesses of what was checked.

pub mod audit;
pub mod claim;
pub mod coordinator;
pub mod descriptor;
pub mod directory;
pub mod epoch;
pub mod evidence;
pub mod ids;
pub mod layout;
pub mod marks;
pub mod message;
pub mod mixer;
pub mod noise;
pub mod params;
pub mod participant;
pub mod pledge;
pub mod reply;
pub mod roster;
pub mod statement;
pub mod submission;
#[cfg(test)]
mod testing;
pub mod wire;

pub mod conversation;
