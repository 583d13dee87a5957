//! What a deployment of Hippodrome would do, measured and modelled, and figures of it. Nothing here runs a network.

pub mod model;
pub mod plot;
pub mod stats;
