//! What a simulated client does, and what somebody who watches its line sees.

use hippodrome_core::{
    ids::Round,
    participant::SlotReply,
    submission::{Access, Composer, Submission},
};
use rand_chacha::ChaCha20Rng;

/// What a client does in a round, and what it got.
pub trait Behaviour {
    /// The accesses of a round, one for each slot. `clock` is the latest round that the client's own clock allows.
    fn accesses(&mut self, round: Round, clock: Round) -> Vec<Access>;

    /// What a cheating client submits in place of an honest submission; the composer has its real keys.
    fn forge(&mut self, composer: &Composer<'_>, rng: &mut ChaCha20Rng) -> Option<Submission> {
        let _ = (composer, rng);
        None
    }

    /// The replies; none when the round was lost for this client.
    fn replies(&mut self, round: Round, replies: Option<Vec<SlotReply>>);

    /// The client's process died and started anew: what it had not kept durably is gone.
    fn restart(&mut self) {}
}

/// A client with one slot that visits one mailbox in each round, the same as all of its kind, and looks at no reply.
pub struct Visitor;

impl Behaviour for Visitor {
    fn accesses(&mut self, round: Round, _: Round) -> Vec<Access> {
        vec![Access { mailbox: [round.0 as u8; 16], content: [1; 256] }]
    }

    fn replies(&mut self, _: Round, _: Option<Vec<SlotReply>>) {}
}

/// Something that passed over a client's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// When, by the world's clock, in milliseconds.
    pub at_ms: u64,
    /// The round that it was for.
    pub round: Round,
    /// What it was.
    pub kind: SightKind,
    /// How many bytes.
    pub bytes: usize,
}

/// Kinds of messages on a client's line; each has a size of its own, so that an observer tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SightKind {
    /// The keys of a round, to the client.
    Keys,
    /// Submissions, from the client.
    Submission,
    /// A request for replies, from the client.
    Request,
    /// Replies, to the client.
    Replies,
}
