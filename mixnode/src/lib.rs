//! A mix server: the shell around [`hippodrome_core::mixer::Mixer`].
//!
//! It reads the clock, keeps keys and marks, carries messages, and runs jobs on a pool of threads. What a message means
//! is decided by the machine alone. Logs say nothing about users.

mod clock;
mod config;
mod error;
mod greeting;
mod ledger;
mod machine;
mod metrics;
mod node;
mod pool;

pub use config::MixnodeConfig;
pub use error::MixnodeError;
pub use ledger::{COLUMNS as LEDGER_COLUMNS, LedgerError, TESTBED};
pub use node::run;
