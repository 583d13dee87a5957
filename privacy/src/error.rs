//! What can be asked for that has no answer.

use crate::quantity::Delta;

/// Why there is no guarantee, or no plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PrivacyError {
    /// A quantity outside its range: the caller's mistake.
    #[error("{what} is {value}: expected {expected}")]
    Invalid {
        /// Which quantity.
        what: &'static str,
        /// What was given.
        value: String,
        /// Its range.
        expected: &'static str,
    },
    /// No ε is enough for this δ: so often the noise itself shows the truth, at its edge.
    #[error(
        "no epsilon has delta {goal}: with probability up to {least} the noise hides nothing at all, since it reached its \
         edge or the limits of the arithmetic; take more slots, a larger shape, fewer rounds or a larger delta"
    )]
    Unreachable {
        /// The δ that was asked for.
        goal: Delta,
        /// The least δ that some finite ε has.
        least: Delta,
    },
    /// More memory than the accountant takes.
    #[error("{what} needs {needed} entries, more than {most}: take fewer rounds or less noise")]
    TooLarge {
        /// What is to be held.
        what: &'static str,
        /// Entries.
        needed: u64,
        /// Most entries.
        most: u64,
    },
    /// No amount of noise that a server may send reaches the goal.
    #[error(
        "no noise of at most {most} slots a server reaches this goal; take a larger epsilon or delta, fewer rounds, fewer \
         chains or three layers"
    )]
    NoPlan {
        /// Most slots.
        most: u32,
    },
}

/// An error that says which values are possible.
pub(crate) fn invalid(what: &'static str, value: impl ToString, expected: &'static str) -> PrivacyError {
    PrivacyError::Invalid { what, value: value.to_string(), expected }
}
