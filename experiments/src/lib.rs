//! What a deployment of Hippodrome would do: a model whose costs are measured on the spot, and figures of it.
//!
//! [`model`] predicts latency, CPU time and bytes of deployments that nobody has at hand; [`figures`] draws what it says
//! beside what others have published; [`stats`] and [`plot`] are what both are made with. Nothing here runs a network.
//! `paper-notes/src/model.md` says what is modelled, and what is not.

pub mod figures;
pub mod model;
pub mod plot;
pub mod stats;
