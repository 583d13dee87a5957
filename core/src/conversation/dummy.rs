//! The access of a slot in which there is nobody to talk to.

use rand_core::CryptoRng;

use super::{
    Access,
    frame::{Ack, Body, Frame, OpenKey, SealKey},
    reply::{Expected, Reply},
    secret::Secret,
};
use crate::wire::{FRAME_LEN, MAILBOX_LEN};

/// What a dummy's reply is compared with.
pub struct DummyReply(Expected);

impl DummyReply {
    /// Whether the reply is what an empty mailbox gives back. If not, the round was lost for this client, which is
    /// handled just as if a text had been lost in it.
    pub fn is_echo(self, content: &[u8; FRAME_LEN]) -> bool {
        matches!(self.0.read(content), Reply::Echo)
    }
}

/// A text to a mailbox id of fresh random bytes, sealed under a random key: in nothing different from one of a
/// conversation, and its reply is looked at in the same way.
pub fn dummy_access(rng: &mut impl CryptoRng) -> (Access, DummyReply) {
    let mut mailbox = [0; MAILBOX_LEN];
    rng.fill_bytes(&mut mailbox);
    let idle = Frame { ack: Ack::default(), body: Body::Idle };
    let (ours, theirs) = (SealKey::new(Secret::random(rng)), OpenKey::new(Secret::random(rng)));
    let (content, expected) = Expected::seal(&idle, ours, theirs);
    (Access { mailbox, content }, DummyReply(expected))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn knows_its_echo_and_nothing_else() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (access, reply) = dummy_access(&mut rng);
        assert!(reply.is_echo(&access.content));
        let (other, reply) = dummy_access(&mut rng);
        assert!(!reply.is_echo(&access.content));
        assert_ne!(access.mailbox, other.mailbox);
    }
}
