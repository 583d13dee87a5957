//! What nodes and people keep on disk.
//!
//! * [`key_file`]: secret keys, readable by their owner only.
//! * [`network_file`]: parameters and parties of a network, signed by its servers.
//! * [`registry_file`]: keys of the clients that an epoch registers.
//! * [`marks`]: what makes *once* survive a crash.
//! * [`epoch_file`]: the epoch that a coordinator goes on with.
//! * [`address_file`]: where a node listens.
//! * [`evidence_file`]: what convicts somebody, for everybody to check.
//! * [`config`]: settings of a node.
//! * [`mod@file`]: how all of them are read and written.

pub mod address_file;
pub mod config;
pub mod epoch_file;
pub mod evidence_file;
pub mod file;
pub mod guarantee;
mod hex;
pub mod key_file;
pub mod marks;
pub mod network_file;
pub mod registry_file;
