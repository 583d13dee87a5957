//! Trials: networks of real processes that are killed, frozen and replaced by cheats, seen only from outside.
//!
//! Everything here runs the `hippodrome` binary as its users do, and reads what it prints. The [`faults`] trial makes
//! every kind of fault happen while two people talk, and shows that each costs some rounds and nothing else. The
//! [`mutant`] is a mix server that cheats, to be put into such a network in place of an honest one. The [`audit`] plays an
//! attacker who guesses from what servers see who talks.

pub mod audit;
pub mod binary;
pub mod chat;
pub mod faults;
pub mod mutant;
pub mod testnet;
pub mod texts;
pub mod watch;

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// Between two looks at whether something has happened.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why a trial cannot go on. What the network does wrong is a finding of the trial, and no error.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// There is no binary to try.
    #[error("{} does not exist; `cargo build --release -p hippodrome` makes it, or name another with --binary", .0.display())]
    NoBinary(PathBuf),
    /// The binary could not be built.
    #[error("the hippodrome binary cannot be built: {0}")]
    Build(ExitStatus),
    /// A process does not start, or cannot be spoken to.
    #[error("{what}: {source}")]
    Process {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A command of the binary failed.
    #[error("`hippodrome {command}` failed: {said}")]
    Failed {
        /// Its arguments.
        command: String,
        /// What it printed to standard error.
        said: String,
    },
    /// What a command printed is not what it should print.
    #[error("`hippodrome {command}` printed something else than one JSON object: {source}")]
    NotJson {
        /// Its arguments.
        command: String,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// Something did not happen.
    #[error("{what} did not happen within {} s", patience.as_secs_f64())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        patience: Duration,
    },
    /// A chat ended by itself.
    #[error("the chat of {0} ended by itself")]
    Ended(String),
    /// A file or directory cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
