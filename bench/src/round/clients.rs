//! Clients who all talk, each message to the one that it meets.

use std::{fmt::Display, sync::Arc};

use hippodrome_core::{
    coordinator::Coordinator,
    descriptor::RoundView,
    directory::Directory,
    ids::{ChainId, Round},
    marks::{Act, Marks, MemoryMarks},
    participant::{Participant, Pending},
    submission::Access,
    wire::{FRAME_LEN, MAILBOX_LEN},
};
use hippodrome_crypto::{
    hash::Hasher,
    signing::{PublicKey, SigningKey},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rayon::prelude::*;

use super::RoundError;

/// Most messages of one client.
const MAX_SLOTS: usize = 16;

/// Messages of each client: as many as all clients can have the same number of.
pub(super) fn slots_of(messages: usize) -> u16 {
    1 << messages.trailing_zeros().min(MAX_SLOTS.trailing_zeros())
}

/// All clients of a network.
pub(super) struct Clients(Vec<Client>);

struct Client {
    key: SigningKey,
    marks: Marks,
    rng: ChaCha20Rng,
    /// The numbers of its messages.
    messages: std::ops::Range<usize>,
    /// What opens the replies of the round under way.
    pending: Option<(Participant, Pending)>,
}

/// What one client sends in a round.
pub(super) struct Sent {
    pub(super) chain: ChainId,
    pub(super) records: Vec<u8>,
}

impl Clients {
    pub(super) fn new(messages: usize, rng: &mut ChaCha20Rng) -> Self {
        let slots = usize::from(slots_of(messages));
        let client = |first: usize| Client {
            key: SigningKey::generate(rng),
            marks: Marks::new(Box::<MemoryMarks>::default()),
            rng: ChaCha20Rng::from_rng(rng),
            messages: first..first + slots,
            pending: None,
        };
        Self((0..messages).step_by(slots).map(client).collect())
    }

    /// The keys under which they are registered.
    pub(super) fn registry(&self) -> Vec<PublicKey> {
        self.0.iter().map(|client| client.key.public()).collect()
    }

    /// Wraps everything that is sent in a round.
    pub(super) fn submit(&mut self, directory: &Directory, views: &[Arc<RoundView>]) -> Result<Vec<Sent>, RoundError> {
        self.0.par_iter_mut().map(|client| client.submit(directory, views)).collect()
    }

    /// Opens all replies of a round, each of which has to be what its partner has sent; gives their bytes.
    pub(super) fn open(
        &mut self,
        coordinator: &Coordinator,
        directory: &Directory,
        round: Round,
    ) -> Result<u64, RoundError> {
        self.0.iter_mut().map(|client| client.open(coordinator, directory, round)).sum()
    }
}

impl Client {
    fn wrong(&self, what: &dyn Display) -> RoundError {
        RoundError::Wrong(format!("the client of messages {:?}: {what}", self.messages))
    }

    fn submit(&mut self, directory: &Directory, views: &[Arc<RoundView>]) -> Result<Sent, RoundError> {
        let roster = views.first().ok_or_else(|| self.wrong(&"no chain is open"))?.roster();
        let participant = Participant::new(directory, roster, SigningKey::from_seed(&self.key.expose_seed()))
            .map_err(|why| self.wrong(&why))?;
        let view = views.iter().find(|view| view.chain() == participant.chain());
        let view = view.ok_or_else(|| self.wrong(&"its chain is closed"))?;
        let once = self.marks.claim(Act::Submit, view.round()).map_err(|why| self.wrong(&why))?;
        let accesses: Vec<Access> = self.messages.clone().map(|message| access(view.round(), message)).collect();
        let (records, pending) = participant.compose(view, once, &accesses, &mut self.rng);
        self.pending = Some((participant, pending));
        Ok(Sent { chain: view.chain(), records })
    }

    fn open(&mut self, coordinator: &Coordinator, directory: &Directory, round: Round) -> Result<u64, RoundError> {
        let (participant, pending) = self.pending.take().ok_or_else(|| self.wrong(&"it has sent nothing"))?;
        let client = participant.client();
        pending
            .check_inclusion(directory, coordinator.inclusion(round, client).as_ref())
            .map_err(|why| self.wrong(&why))?;
        let replies = coordinator.replies(round, client).ok_or_else(|| self.wrong(&"there are no replies"))?;
        let opened = pending.open(&replies).map_err(|why| self.wrong(&why))?;
        for (message, reply) in self.messages.clone().zip(opened) {
            let reply = reply.map_err(|why| self.wrong(&why))?;
            if reply != access(round, partner_of(message)).content {
                return Err(self.wrong(&"a reply is not what the partner has sent"));
            }
        }
        Ok(replies.len() as u64)
    }
}

/// The message that one meets.
fn partner_of(message: usize) -> usize {
    message ^ 1
}

/// Where a message goes and what it says: both change from round to round.
fn access(round: Round, message: usize) -> Access {
    let draw = |what: &str, number: usize| {
        Hasher::new("hippodrome bench round").bytes(what.as_bytes()).number(round.0).number(number as u64).finish()
    };
    let (place, says) = (draw("mailbox", message / 2), draw("content", message));
    let mut access = Access { mailbox: [0; MAILBOX_LEN], content: [0; FRAME_LEN] };
    access.mailbox.copy_from_slice(&place.as_bytes()[..MAILBOX_LEN]);
    access.content.chunks_exact_mut(32).for_each(|chunk| chunk.copy_from_slice(says.as_bytes()));
    access
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clients_have_the_same_number_of_messages() {
        for messages in [2, 6, 8, 20_000, 131_072] {
            let slots = usize::from(slots_of(messages));
            assert!(messages.is_multiple_of(slots) && (1..=MAX_SLOTS).contains(&slots), "{messages} by {slots}");
        }
    }

    #[test]
    fn two_messages_meet_in_each_mailbox_and_say_different_things() {
        let round = Round(7);
        for message in 0..10 {
            let (one, other) = (access(round, message), access(round, partner_of(message)));
            assert_eq!(one.mailbox, other.mailbox);
            assert_ne!(one.content, other.content);
            assert_ne!(one.mailbox, access(round, message + 2).mailbox);
            assert_ne!(one.mailbox, access(Round(8), message).mailbox);
        }
    }
}
