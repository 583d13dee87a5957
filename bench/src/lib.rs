//! What mixing costs, measured on the components that run in a network, every result checked.
//!
//! [`hop`] measures one whole hop and its stages, [`trace`] what malformed onions cost a round; `cargo bench` measures the primitives one by one.

pub mod hop;
pub mod trace;
