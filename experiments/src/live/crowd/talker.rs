//! Clients of a crowd: those who talk, and those who are alone.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    num::NonZeroU16,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use hippodrome_client::voice::{Voice, VoiceError};
use hippodrome_core::{
    conversation::{Conversation, DummyReply, Event, Identity, MAX_IN_FLIGHT, Schedule, TextId, dummy_access},
    epoch::Epoch,
    ids::Round,
    participant::SlotReply,
    submission::Access,
};
use hippodrome_crypto::hash::Digest;
use rand_core::Rng;

use super::tally::Tally;
use crate::seeds::Seed;

/// Rounds from now until a pair meets for the first time.
const BEFORE_FIRST: u64 = 2;
/// Texts that wait for being sent, so that no round goes unused.
const AHEAD: u64 = 2;

/// The two ends of a conversation that one has invited the other to.
pub(super) fn pair(seed: &Seed, number: usize, network: &Digest, epoch: &Epoch) -> [Conversation; 2] {
    let mut rng = seed.of("pair", number as u64).rng();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let first_round = epoch.round_at(now_ms).map_or(epoch.plan().first_round, |round| round.next());
    let schedule = Schedule { first_round: first_round.0 + BEFORE_FIRST, lane: 0, stride: NonZeroU16::MIN };
    let [alice, bob] = [0, 1].map(|_| Identity::random(&mut rng));
    let (invites, code) = Conversation::invite(network, &alice, schedule, &mut rng);
    let accepts = Conversation::accept(network, &bob, code.reveal(), &mut rng).expect("an invite of this network");
    [invites, accepts]
}

/// The text that one side of a pair says as its `number`th.
pub(super) fn text(seed: &Seed, pair: usize, side: usize, number: u64) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz     ";
    let mut rng = seed.of("text", pair as u64).of("side", side as u64).of("number", number).rng();
    let length = 20 + rng.next_u32() % 180;
    (0..length).map(|_| char::from(LETTERS[rng.next_u32() as usize % LETTERS.len()])).collect()
}

/// What became of one side's texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) pair: usize,
    pub(super) side: usize,
    fates: Mutex<Fates>,
}

/// By number: the rounds in which a text was ready, had left as a whole, and was known to have arrived.
#[derive(Debug, Default)]
struct Fates {
    own: BTreeMap<u64, [Option<u64>; 3]>,
    /// Texts of the partner that were not what it said, or not in order.
    wrong: u64,
}

impl Texts {
    fn lock(&self) -> MutexGuard<'_, Fates> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line a text.
pub(super) fn write(file: &mut dyn Write, all: &[Arc<Texts>]) -> io::Result<()> {
    writeln!(file, "pair,side,text,ready_round,left_round,arrived_round")?;
    for texts in all {
        for (number, fate) in &texts.lock().own {
            let [ready, left, arrived] = fate.map(|round| round.map_or(String::new(), |round| round.to_string()));
            writeln!(file, "{},{},{number},{ready},{left},{arrived}", texts.pair, texts.side)?;
        }
    }
    Ok(())
}

/// Texts that were not what was said.
pub(super) fn wrong(all: &[Arc<Texts>]) -> u64 {
    all.iter().map(|texts| texts.lock().wrong).sum()
}

/// Slots that wait for their replies; none where a conversation has the slot.
type InFlight = BTreeMap<Round, Vec<Option<DummyReply>>>;

/// Dummies for all slots.
fn dummies(slots: usize) -> (Vec<Access>, Vec<Option<DummyReply>>) {
    let mut rng = rand::rng();
    let dummy = |_| {
        let (access, reply) = dummy_access(&mut rng);
        (access, Some(reply))
    };
    (0..slots).map(dummy).unzip()
}

fn keep(in_flight: &mut InFlight, round: Round, slots: Vec<Option<DummyReply>>) {
    in_flight.insert(round, slots);
    while in_flight.len() > MAX_IN_FLIGHT {
        in_flight.pop_first();
    }
}

/// One end of a conversation.
pub(super) struct Talker {
    seed: Seed,
    conversation: Conversation,
    slots: usize,
    said: u64,
    delivered: u64,
    heard: u64,
    in_flight: InFlight,
    texts: Arc<Texts>,
    tally: Tally,
}

impl Talker {
    pub(super) fn new(seed: &Seed, pair: usize, side: usize, conversation: Conversation, tally: Tally) -> Self {
        let texts = Arc::new(Texts { pair, side, fates: Mutex::default() });
        let (seed, slots) = (seed.clone(), tally.slots());
        Self { seed, conversation, slots, said: 0, delivered: 0, heard: 0, in_flight: InFlight::new(), texts, tally }
    }

    pub(super) fn texts(&self) -> Arc<Texts> {
        Arc::clone(&self.texts)
    }

    /// Says what comes next, so that something always waits.
    fn say(&mut self, round: Round) -> Result<(), VoiceError> {
        while self.said < self.delivered + AHEAD {
            let text = text(&self.seed, self.texts.pair, self.texts.side, self.said);
            self.conversation.say(&text)?;
            self.texts.lock().own.insert(self.said, [Some(round.0), None, None]);
            self.said += 1;
        }
        Ok(())
    }

    fn on_events(&mut self, round: Round, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Sent { text: TextId(number), .. } => self.note(number, 1, round),
                Event::Delivered { text: TextId(number) } => {
                    self.delivered = self.delivered.max(number + 1);
                    self.note(number, 2, round);
                }
                Event::Received { text: heard, .. } => {
                    let said = text(&self.seed, self.texts.pair, 1 - self.texts.side, self.heard);
                    self.texts.lock().wrong += u64::from(heard != said);
                    self.heard += 1;
                }
                Event::Unreadable { .. } | Event::InviteVoid { .. } => self.texts.lock().wrong += 1,
                Event::Established { .. } => {}
            }
        }
    }

    fn note(&self, number: u64, step: usize, round: Round) {
        if let Some(fate) = self.texts.lock().own.get_mut(&number) {
            fate[step].get_or_insert(round.0);
        }
    }
}

impl Voice for Talker {
    fn accesses(&mut self, round: Round, clock: Round) -> Result<Vec<Access>, VoiceError> {
        self.say(round)?;
        let (mut accesses, mut slots) = dummies(self.slots);
        let lane = usize::from(self.conversation.schedule().lane);
        // In the rounds before the first one of theirs it has a dummy, as everybody.
        if let Ok(sealed) = self.conversation.submit(round.0, clock.0) {
            (accesses[lane], slots[lane]) = (sealed.access, None);
            self.on_events(round, sealed.events);
        }
        keep(&mut self.in_flight, round, slots);
        self.tally.submits(round);
        Ok(accesses)
    }

    fn replies(&mut self, round: Round, replies: Vec<SlotReply>) -> Result<(), VoiceError> {
        let slots = self.in_flight.remove(&round).unwrap_or_default();
        let (mut intact, mut broken) = (0, 0);
        for (dummy, reply) in slots.into_iter().zip(replies) {
            let holds = match (dummy, reply) {
                (Some(dummy), reply) => reply.is_ok_and(|content| dummy.is_echo(&content)),
                (None, Ok(content)) => {
                    let events = self.conversation.receive(round.0, &content);
                    self.on_events(round, events);
                    true
                }
                (None, Err(_)) => {
                    self.conversation.lost(round.0);
                    false
                }
            };
            *(if holds { &mut intact } else { &mut broken }) += 1;
        }
        self.tally.returned(round, intact, broken);
        Ok(())
    }

    fn lost(&mut self, round: Round, _reason: &str) -> Result<(), VoiceError> {
        self.in_flight.remove(&round);
        self.conversation.lost(round.0);
        self.tally.lost(round);
        Ok(())
    }
}

/// A client with nobody to talk to.
pub(super) struct Alone {
    slots: usize,
    in_flight: InFlight,
    tally: Tally,
}

impl Alone {
    pub(super) fn new(tally: Tally) -> Self {
        Self { slots: tally.slots(), in_flight: InFlight::new(), tally }
    }
}

impl Voice for Alone {
    fn accesses(&mut self, round: Round, _clock: Round) -> Result<Vec<Access>, VoiceError> {
        let (accesses, slots) = dummies(self.slots);
        keep(&mut self.in_flight, round, slots);
        self.tally.submits(round);
        Ok(accesses)
    }

    fn replies(&mut self, round: Round, replies: Vec<SlotReply>) -> Result<(), VoiceError> {
        let slots = self.in_flight.remove(&round).unwrap_or_default();
        let is_echo = |(dummy, reply): (Option<DummyReply>, SlotReply)| {
            dummy.is_some_and(|dummy| reply.is_ok_and(|content| dummy.is_echo(&content)))
        };
        let all = slots.len();
        let intact = slots.into_iter().zip(replies).map(is_echo).filter(|intact| *intact).count();
        self.tally.returned(round, intact, all - intact);
        Ok(())
    }

    fn lost(&mut self, round: Round, _reason: &str) -> Result<(), VoiceError> {
        self.in_flight.remove(&round);
        self.tally.lost(round);
        Ok(())
    }
}
