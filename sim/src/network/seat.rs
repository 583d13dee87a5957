//! A client's place in the network: it hears of rounds, submits at its time by its own clock, and fetches its replies.

use std::{collections::BTreeMap, sync::Arc};

use hippodrome_core::{
    descriptor::RoundView,
    directory::Directory,
    ids::{Author, ChainId, ClientId, Round},
    marks::Act,
    participant::{CLOCK_TOLERANCE_MS, Inclusion, NotIncluded, Participant, Pending, check_window},
    roster::Roster,
    submission::Composer,
};
use hippodrome_crypto::signing::SigningKey;
use rand_chacha::ChaCha20Rng;

use super::{clock::Skew, copy_key, disk::Disk};
use crate::client::{Behaviour, Sight, SightKind};

/// A client, and what of it survives a crash: key, marks, and what its behaviour keeps.
pub(super) struct Seat {
    pub(super) key: SigningKey,
    pub(super) disk: Disk,
    pub(super) behaviour: Box<dyn Behaviour>,
    pub(super) sights: Vec<Sight>,
    /// Rounds with replies of which nobody could show that its submissions were let in.
    pub(super) not_included: Vec<(Round, NotIncluded)>,
    rng: ChaCha20Rng,
    /// Its place under the roster that was looked at last.
    place: Option<(Arc<Roster>, Participant)>,
    due: BTreeMap<Round, Arc<RoundView>>,
    pending: BTreeMap<Round, (ClientId, Pending)>,
}

/// What a client sends to submit.
#[derive(Clone)]
pub(super) struct Submitted {
    pub(super) round: Round,
    pub(super) chain: ChainId,
    pub(super) records: Vec<u8>,
    pub(super) until_ms: u64,
}

/// When things are due in a round, by the client's own clock.
pub(super) struct Dues {
    pub(super) submit_ms: u64,
    pub(super) ask_ms: u64,
}

impl Seat {
    pub(super) fn new(key: SigningKey, behaviour: Box<dyn Behaviour>, rng: ChaCha20Rng) -> Self {
        Self {
            key,
            disk: Disk::default(),
            behaviour,
            sights: Vec::new(),
            not_included: Vec::new(),
            rng,
            place: None,
            due: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    /// A new process: rounds submitted before are lost, since what opens their replies was only in memory.
    pub(super) fn restart(&mut self) {
        self.place = None;
        self.due.clear();
        self.pending.clear();
        self.behaviour.restart();
    }

    /// The client's chain in the rounds of a roster; none if it is not registered.
    pub(super) fn chain(&mut self, directory: &Directory, roster: &Arc<Roster>) -> Option<ChainId> {
        self.participant(directory, roster).map(Participant::chain)
    }

    fn participant(&mut self, directory: &Directory, roster: &Arc<Roster>) -> Option<&Participant> {
        if self.place.as_ref().is_none_or(|(known, _)| known.digest() != roster.digest()) {
            let participant = Participant::new(directory, roster, copy_key(&self.key)).ok()?;
            self.place = Some((Arc::clone(roster), participant));
        }
        self.place.as_ref().map(|(_, participant)| participant)
    }

    /// Notes an announced round; gives the times at which something is to be done for it.
    pub(super) fn hear(&mut self, directory: &Directory, view: Arc<RoundView>) -> Option<Dues> {
        let (roster, round) = (Arc::clone(view.roster()), view.round());
        if self.due.contains_key(&round) || self.pending.contains_key(&round) {
            return None;
        }
        self.due.insert(round, view);
        let (start_ms, params) = (roster.epoch().window_start_ms(round), directory.params());
        // Each client has its own offset, the same in every round, in the first half of the collection.
        let spread = u64::from(self.key.public().as_bytes()[0]);
        let submit_ms = start_ms + params.collect_ms / 8 + params.collect_ms * spread / 768;
        Some(Dues { submit_ms, ask_ms: start_ms + params.deadline_ms + CLOCK_TOLERANCE_MS })
    }

    /// Makes the submissions of a round, once ever.
    pub(super) fn submit(
        &mut self,
        directory: &Directory,
        skew: Skew,
        world_ms: u64,
        round: Round,
    ) -> Option<Submitted> {
        let (view, now_ms) = (self.due.remove(&round)?, skew.local(world_ms));
        let epoch = Arc::clone(view.roster().epoch());
        check_window(directory, &epoch, round, now_ms).ok()?;
        self.disk.marks().keep_origin(epoch.plan().origin_ms(directory.params())?).ok()?;
        let once = self.disk.marks().claim(Act::Submit, round).ok()?;
        let clock = epoch.round_at(now_ms + CLOCK_TOLERANCE_MS).unwrap_or(round);
        let accesses = self.behaviour.accesses(round, clock);
        self.participant(directory, view.roster())?;
        let (_, participant) = self.place.as_ref()?;
        let client = participant.client();
        let (records, pending) = participant.compose(&view, once, &accesses, &mut self.rng);
        let composer = Composer { view: &view, author: Author::Client(client), key: &self.key };
        let records = match self.behaviour.forge(&composer, &mut self.rng) {
            Some(forged) => forged.encode(),
            None => records,
        };
        self.pending.insert(round, (client, pending));
        self.sights.push(Sight { at_ms: world_ms, round, kind: SightKind::Submission, bytes: records.len() });
        let end_ms = skew.world(epoch.window_start_ms(round) + directory.params().collect_ms);
        Some(Submitted { round, chain: view.chain(), records, until_ms: end_ms })
    }

    /// The client's number and whether it waits for replies of the round.
    pub(super) fn waits_for(&self, round: Round) -> Option<ClientId> {
        self.pending.get(&round).map(|(client, _)| *client)
    }

    /// Checks what the coordinator shows of the submissions of a round.
    pub(super) fn check_inclusion(&mut self, directory: &Directory, round: Round, shown: Option<&Inclusion>) {
        let checked = self.pending.get(&round).map(|(_, pending)| pending.check_inclusion(directory, shown));
        self.not_included.extend(checked.and_then(Result::err).map(|not| (round, not)));
    }

    /// Opens the replies of a round, or gives it up.
    pub(super) fn open(&mut self, round: Round, replies: Option<&[u8]>) {
        let Some((_, pending)) = self.pending.remove(&round) else { return };
        let opened = replies.and_then(|replies| pending.open(replies).ok());
        self.behaviour.replies(round, opened);
    }

    /// Gives up a round for which nothing was sent.
    pub(super) fn forget(&mut self, round: Round) {
        self.due.remove(&round);
    }

    pub(super) fn saw(&mut self, at_ms: u64, round: Round, kind: SightKind, bytes: usize) {
        self.sights.push(Sight { at_ms, round, kind, bytes });
    }
}
