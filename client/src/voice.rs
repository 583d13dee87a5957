//! What a session asks and tells whoever it takes part for.

use std::sync::Arc;

use hippodrome_core::{epoch::Epoch, ids::Round, participant::SlotReply, submission::Access};

use crate::budget::Budget;

/// Why a voice cannot go on: its session ends.
pub type VoiceError = Box<dyn std::error::Error + Send + Sync>;

/// Decides what goes into a client's slots, and takes what comes back.
///
/// For every round for which [`Voice::accesses`] was asked, in increasing order, there is one [`Voice::replies`] or one
/// [`Voice::lost`] later, unless the session ends before.
pub trait Voice: Send {
    /// One access for each slot of a round. What must be remembered of them is durable when this returns.
    ///
    /// `clock` is the latest round that this computer's own clock allows.
    fn accesses(&mut self, round: Round, clock: Round) -> Result<Vec<Access>, VoiceError>;

    /// What came back for each slot of a round.
    fn replies(&mut self, round: Round, replies: Vec<SlotReply>) -> Result<(), VoiceError>;

    /// Nothing comes back from a round any more; `reason` is for people.
    fn lost(&mut self, round: Round, reason: &str) -> Result<(), VoiceError>;

    /// How the session is doing.
    fn notice(&mut self, notice: Notice) {
        let _ = notice;
    }
}

/// How a session is doing, for people.
#[derive(Clone, Debug)]
pub enum Notice {
    /// There is no epoch yet: not all servers are up.
    Waiting {
        /// Servers that are up.
        servers_up: usize,
        /// All servers.
        servers: usize,
    },
    /// Takes part in this epoch, which all servers have signed, from the next round on.
    Joined(Arc<Epoch>),
    /// The coordinator's events come in.
    Connected,
    /// They don't; connecting is tried again.
    Interrupted {
        /// What is wrong.
        reason: String,
    },
    /// No round has been announced for long.
    Stalled {
        /// Why, by the coordinator's word.
        reason: String,
    },
    /// The coordinator does not take what this client submits, now or later.
    Refused {
        /// The round.
        round: Round,
        /// Why, by its word.
        reason: String,
    },
    /// A round has been counted, durably, that is about to be submitted to; comes before its [`Voice::accesses`].
    Counted(Budget),
    /// The submissions of a round have been handed in.
    Submitted(Round),
    /// Nobody shows that the submissions of a round were let into the input of their chain.
    NotIncluded {
        /// The round.
        round: Round,
        /// What is wrong.
        reason: String,
    },
    /// A round is left out.
    SatOut {
        /// The round.
        round: Round,
        /// Why.
        reason: String,
    },
}
