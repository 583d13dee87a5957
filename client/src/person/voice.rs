//! A person's voice: one conversation in its lane, dummies in all others, and everything on the disk first.

use std::collections::BTreeMap;

use hippodrome_core::{
    conversation::{Access, Conversation, DummyReply, Event, SubmitError, dummy_access},
    ids::Round,
    participant::SlotReply,
};

use super::{Inner, Person, PersonError, PersonEvent};
use crate::voice::{Notice, Voice, VoiceError};

/// Rounds whose dummies are remembered.
const MAX_IN_FLIGHT: usize = 64;

/// What the slots of a round hold: a dummy, or nothing where the conversation spoke.
type Slots = Vec<Option<DummyReply>>;

/// What a session asks; the person's other users share the state behind it.
pub(super) struct PersonVoice {
    person: Person,
    in_flight: BTreeMap<Round, Slots>,
}

impl PersonVoice {
    pub(super) fn new(person: Person) -> Self {
        Self { person, in_flight: BTreeMap::new() }
    }
}

impl Voice for PersonVoice {
    fn accesses(&mut self, round: Round, clock: Round) -> Result<Vec<Access>, VoiceError> {
        let mut inner = self.person.lock()?;
        let mut rng = rand::rng();
        let (mut accesses, mut slots): (Vec<Access>, Slots) = (0..inner.slots)
            .map(|_| {
                let (access, reply) = dummy_access(&mut rng);
                (access, Some(reply))
            })
            .unzip();
        if let Some((lane, access)) = inner.sealed(round, clock)? {
            (accesses[lane], slots[lane]) = (access, None);
        }
        self.in_flight.insert(round, slots);
        while self.in_flight.len() > MAX_IN_FLIGHT {
            self.in_flight.pop_first();
        }
        Ok(accesses)
    }

    fn replies(&mut self, round: Round, replies: Vec<SlotReply>) -> Result<(), VoiceError> {
        let slots = self.in_flight.remove(&round).unwrap_or_default();
        let mut inner = self.person.lock()?;
        let mut is_whole = true;
        for (dummy, reply) in slots.into_iter().zip(replies) {
            match (dummy, reply) {
                (Some(dummy), reply) => {
                    if !reply.is_ok_and(|content| dummy.is_echo(&content)) {
                        is_whole = false;
                        inner.tell(PersonEvent::RoundFailed { round: round.0, reason: BROKEN.into() });
                    }
                }
                (None, Ok(content)) => inner.change(|conversation| conversation.receive(round.0, &content))?,
                (None, Err(broken)) => {
                    is_whole = false;
                    inner.lose(round, &broken.to_string())?;
                }
            }
        }
        if is_whole {
            inner.tell(PersonEvent::RoundCompleted { round: round.0 });
        }
        Ok(())
    }

    fn lost(&mut self, round: Round, reason: &str) -> Result<(), VoiceError> {
        self.in_flight.remove(&round);
        Ok(self.person.lock()?.lose(round, reason)?)
    }

    fn notice(&mut self, notice: Notice) {
        let Ok(mut inner) = self.person.lock() else { return };
        let event = match notice {
            Notice::Waiting { servers_up, servers } => PersonEvent::Waiting { servers_up, servers },
            Notice::Joined(epoch) => {
                let number = epoch.plan().number;
                inner.epoch = Some(epoch);
                PersonEvent::Joined { epoch: number }
            }
            Notice::Connected => PersonEvent::Connected,
            Notice::Interrupted { reason } => PersonEvent::Interrupted { reason },
            Notice::Stalled { reason } => PersonEvent::Stalled { reason },
            Notice::Refused { round, reason } => PersonEvent::Refused { round: round.0, reason },
            Notice::Counted(budget) => {
                inner.budget = budget;
                PersonEvent::Counted { budget }
            }
            Notice::Submitted(round) => PersonEvent::Submitted { round: round.0 },
            Notice::NotIncluded { round, reason } => PersonEvent::NotIncluded { round: round.0, reason },
            Notice::SatOut { round, reason } => PersonEvent::SatOut { round: round.0, reason },
        };
        inner.tell(event);
    }
}

const BROKEN: &str = "what came back is not what was sent";

impl Inner {
    /// The conversation's access for a round with its slot, after the state behind it is durable.
    fn sealed(&mut self, round: Round, clock: Round) -> Result<Option<(usize, Access)>, PersonError> {
        if self.sends_cover_only() {
            return Ok(None);
        }
        let slots = self.slots;
        let Some(conversation) = &mut self.conversation else { return Ok(None) };
        let lane = usize::from(conversation.schedule().lane);
        if lane >= slots {
            return Ok(None);
        }
        match conversation.submit(round.0, clock.0) {
            Ok(sealed) => {
                let events = sealed.events;
                self.change(|_| events)?;
                Ok(Some((lane, sealed.access)))
            }
            Err(SubmitError::NotScheduled(_) | SubmitError::Void) => Ok(None),
            Err(error @ SubmitError::Ratchet(_)) => {
                self.tell(PersonEvent::SatOut { round: round.0, reason: error.to_string() });
                Ok(None)
            }
        }
    }

    fn lose(&mut self, round: Round, reason: &str) -> Result<(), PersonError> {
        self.change(|conversation| {
            conversation.lost(round.0);
            Vec::new()
        })?;
        self.tell(PersonEvent::RoundFailed { round: round.0, reason: reason.to_owned() });
        Ok(())
    }

    /// Changes the conversation, makes it durable together with what happened, and only then tells.
    pub(super) fn change(&mut self, work: impl FnOnce(&mut Conversation) -> Vec<Event>) -> Result<(), PersonError> {
        let Some(conversation) = &mut self.conversation else { return Ok(()) };
        let events = work(conversation);
        if let Err(error) = self.store.keep(conversation, &events) {
            return Err(self.spoil(error));
        }
        events.into_iter().for_each(|event| self.tell(event.into()));
        Ok(())
    }
}
