//! People: those who talk, over a conversation that they keep durably, and those who never say a word.

use std::{cell::RefCell, collections::BTreeMap, num::NonZeroU16, rc::Rc};

use hippodrome_core::{
    conversation::{
        Conversation, DummyReply, Event, Identity, PAYLOAD_LEN, Schedule, SecretBytes, Stage, dummy_access,
    },
    ids::Round,
    participant::SlotReply,
    submission::Access,
};
use hippodrome_crypto::hash::{Digest, Hasher};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::client::Behaviour;

/// What two people said to each other and what arrived, as both know it for sure.
pub type Diary = Rc<RefCell<Entries>>;

/// The pages of a [`Diary`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// What this person has said, in order.
    pub said: Vec<String>,
    /// What of the partner's arrived, in order.
    pub received: Vec<String>,
    /// Rounds that gave this person what came of its submission.
    pub answered: u64,
    /// Rounds that were lost for this person, or in which a reply broke.
    pub lost: u64,
    /// Things that must never happen to a conversation.
    pub broken: Vec<String>,
}

/// One person with one contact, or none.
pub struct Person {
    slots: usize,
    conversation: Option<Conversation>,
    /// What is on the disk.
    kept: Option<SecretBytes>,
    to_say: Vec<(Round, String)>,
    dummies: BTreeMap<Round, Vec<Option<DummyReply>>>,
    diary: Diary,
    rng: ChaCha20Rng,
}

/// Rounds whose dummies are remembered.
const MAX_IN_FLIGHT: usize = 64;

impl Person {
    /// Somebody who has no contact.
    pub fn idle(slots: u16, seed: u64) -> (Self, Diary) {
        Self::new(slots, None, Vec::new(), seed)
    }

    /// Two people of whom one has invited the other. Each says its texts in the given rounds or as soon as possible
    /// after them.
    pub fn pair(slots: u16, texts: [Vec<(Round, String)>; 2], seed: u64) -> [(Self, Diary); 2] {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let network: Digest = Hasher::new("simulated network").number(seed).finish();
        let (inviter, acceptor) = (Identity::random(&mut rng), Identity::random(&mut rng));
        let lane = (seed % u64::from(slots)) as u8;
        let schedule = Schedule { first_round: 1, lane, stride: NonZeroU16::MIN };
        let (first, code) = Conversation::invite(&network, &inviter, schedule, &mut rng);
        let second = Conversation::accept(&network, &acceptor, code.reveal(), &mut rng).expect("a fresh invite");
        let [first_texts, second_texts] = texts;
        [
            Self::new(slots, Some(first), first_texts, seed ^ 1 << 62),
            Self::new(slots, Some(second), second_texts, seed ^ 1 << 63),
        ]
    }

    fn new(slots: u16, conversation: Option<Conversation>, to_say: Vec<(Round, String)>, seed: u64) -> (Self, Diary) {
        let diary = Diary::default();
        let kept = conversation.as_ref().map(Conversation::export);
        let person = Self {
            slots: slots.into(),
            conversation,
            kept,
            to_say,
            dummies: BTreeMap::new(),
            diary: Rc::clone(&diary),
            rng: ChaCha20Rng::seed_from_u64(seed),
        };
        (person, diary)
    }

    /// Keeps the conversation on the disk together with what happened in it.
    fn keep(&mut self, events: Vec<Event>) {
        self.kept = self.conversation.as_ref().map(Conversation::export);
        let mut diary = self.diary.borrow_mut();
        for event in events {
            match event {
                Event::Received { seq, text } => {
                    if seq != diary.received.len() as u64 {
                        let expected = diary.received.len();
                        diary.broken.push(format!("text {seq} came where text {expected} was expected"));
                    }
                    diary.received.push(text);
                }
                Event::Unreadable { seq } => diary.broken.push(format!("text {seq} cannot be read")),
                Event::InviteVoid { reason } => diary.broken.push(format!("the invite is void: {reason:?}")),
                Event::Established { .. } | Event::Sent { .. } | Event::Delivered { .. } => {}
            }
        }
    }

    fn say_what_is_due(&mut self, round: Round) {
        let Some(conversation) = &mut self.conversation else { return };
        let due = self.to_say.iter().take_while(|(at, _)| *at <= round).count();
        for (_, text) in self.to_say.drain(..due) {
            conversation.say(&text).expect("scenarios say little, and nobody steals an invite");
            self.diary.borrow_mut().said.push(text);
        }
        self.keep(Vec::new());
    }

    /// The conversation's access with its slot.
    fn sealed(&mut self, round: Round, clock: Round) -> Option<(usize, Access)> {
        let conversation = self.conversation.as_mut()?;
        let lane = usize::from(conversation.schedule().lane);
        let sealed = conversation.submit(round.0, clock.0).ok()?;
        self.keep(sealed.events);
        Some((lane, sealed.access))
    }

    fn lose(&mut self, round: Round) {
        if let Some(conversation) = &mut self.conversation {
            conversation.lost(round.0);
        }
        self.keep(Vec::new());
    }
}

impl Behaviour for Person {
    fn accesses(&mut self, round: Round, clock: Round) -> Vec<Access> {
        self.say_what_is_due(round);
        let dummies = (0..self.slots).map(|_| dummy_access(&mut self.rng));
        let (mut accesses, mut replies): (Vec<_>, Vec<_>) =
            dummies.map(|(access, reply)| (access, Some(reply))).unzip();
        if let Some((lane, access)) = self.sealed(round, clock) {
            (accesses[lane], replies[lane]) = (access, None);
        }
        self.dummies.insert(round, replies);
        while self.dummies.len() > MAX_IN_FLIGHT {
            self.dummies.pop_first();
        }
        accesses
    }

    fn replies(&mut self, round: Round, replies: Option<Vec<SlotReply>>) {
        let dummies = self.dummies.remove(&round).unwrap_or_default();
        let Some(replies) = replies else {
            self.diary.borrow_mut().lost += 1;
            return self.lose(round);
        };
        let mut whole = true;
        for (dummy, reply) in dummies.into_iter().zip(replies) {
            match (dummy, reply) {
                (Some(dummy), reply) => whole &= reply.is_ok_and(|content| dummy.is_echo(&content)),
                (None, Ok(content)) => {
                    let events = self.conversation.as_mut().map(|own| own.receive(round.0, &content));
                    self.keep(events.unwrap_or_default());
                }
                (None, Err(_)) => {
                    whole = false;
                    self.lose(round);
                }
            }
        }
        let mut diary = self.diary.borrow_mut();
        if whole { diary.answered += 1 } else { diary.lost += 1 }
    }

    fn restart(&mut self) {
        self.dummies.clear();
        let restored = self.kept.as_ref().map(Conversation::import);
        self.conversation = restored.map(|state| state.expect("what was exported can be imported"));
        let gone: Vec<u64> = self.conversation.iter().flat_map(Conversation::in_flight).collect();
        gone.into_iter().for_each(|round| self.lose(Round(round)));
    }
}

/// A text that fills a given number of frames, and is unlike every other one.
pub fn text_of(frames: usize, number: u64) -> String {
    let start = format!("text {number}: ");
    let filler = "the horses go round and round ".chars().cycle();
    let length = (frames.max(1) - 1) * PAYLOAD_LEN + PAYLOAD_LEN / 2;
    start.chars().chain(filler).take(length.max(start.len())).collect()
}

/// Whether two people have all that the other one said, in order; less is allowed while texts are under way.
pub fn check_pair(one: &Entries, other: &Entries, all: bool) -> Result<(), String> {
    for (speaker, listener) in [(one, other), (other, one)] {
        if let Some(broken) = listener.broken.first() {
            return Err(broken.clone());
        }
        if !speaker.said.starts_with(&listener.received) {
            return Err("a text was doubled, reordered or changed".into());
        }
        let missing = speaker.said.len() - listener.received.len();
        if all && missing > 0 {
            return Err(format!("{missing} of {} texts did not arrive", speaker.said.len()));
        }
    }
    Ok(())
}

impl Person {
    /// Whether both sides have confirmed the keys; false without a contact.
    pub fn is_established(&self) -> bool {
        self.conversation.as_ref().is_some_and(|conversation| conversation.stage() == Stage::Established)
    }
}
