//! The trial of faults: every server is killed and frozen in turn, the coordinator is killed at random instants, and
//! all the while two people talk.
//!
//! A fault may cost the rounds in flight, and an epoch its chains; it may not cost a text. The trial fails if a text is
//! lost, doubled or out of order, or if rounds do not go on in time.

mod report;
mod run;
mod schedule;

use std::{path::PathBuf, time::Duration};

pub use self::{
    report::{FaultReport, Report},
    run::run,
    schedule::{Fault, Schedule},
};

/// What is tried, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network's directory, new or empty.
    pub dir: PathBuf,
    /// From one round to the next.
    pub period: Duration,
    /// Chooses instants and texts.
    pub seed: u64,
    /// What happens.
    pub schedule: Schedule,
    /// How long rounds may need to go on after a fault.
    pub patience: Duration,
    /// How long a server that was out may need to take part again.
    pub return_patience: Duration,
    /// More flags of `testnet up`.
    pub shape: Vec<String>,
}
