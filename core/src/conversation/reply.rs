//! The reply of a round, and what it can be. Text or dummy, it is looked at in the same way.

use super::{
    codec::{ImportError, Reader, Writer},
    frame::{Frame, OpenKey, SealKey},
};
use crate::wire::FRAME_LEN;

/// What a client keeps of an access until its reply comes, and erases with it.
pub(super) struct Expected {
    sent: [u8; 32],
    ours: OpenKey,
    theirs: OpenKey,
}

/// What a reply turned out to be.
pub(super) enum Reply {
    /// Our own content: nobody else was at the mailbox.
    Echo,
    /// The partner's frame.
    Partner(Frame),
    /// A frame that is not ours, under our side's key: somebody else holds our side's secrets.
    Namesake(Frame),
    /// Anything else.
    Garbage,
}

impl Expected {
    /// Seals `frame` and remembers what its reply has to be compared with.
    pub(super) fn seal(frame: &Frame, ours: SealKey, theirs: OpenKey) -> ([u8; FRAME_LEN], Self) {
        let (content, ours) = ours.seal(frame);
        let sent = *blake3::hash(&content).as_bytes();
        (content, Self { sent, ours, theirs })
    }

    /// Looks at a reply; both keys are tried and the echo is compared whatever the outcome.
    pub(super) fn read(self, content: &[u8; FRAME_LEN]) -> Reply {
        let echo = blake3::hash(content) == blake3::Hash::from_bytes(self.sent);
        let theirs = self.theirs.open(content);
        let ours = self.ours.open(content);
        match (echo, theirs, ours) {
            (true, ..) => Reply::Echo,
            (false, Some(frame), _) => Reply::Partner(frame),
            (false, None, Some(frame)) => Reply::Namesake(frame),
            (false, None, None) => Reply::Garbage,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.raw(&self.sent);
        out.secret(self.ours.secret());
        out.secret(self.theirs.secret());
    }

    pub(super) fn read_state(input: &mut Reader<'_>) -> Result<Self, ImportError> {
        Ok(Self { sent: input.array()?, ours: OpenKey::new(input.secret()?), theirs: OpenKey::new(input.secret()?) })
    }
}
