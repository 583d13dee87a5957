//! What came back to a crowd, round by round.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use hippodrome_core::{epoch::Epoch, ids::Round, params::NetworkParams};

use crate::live::measured;

/// What every client writes its rounds into.
#[derive(Clone)]
pub(super) struct Tally(Arc<Shared>);

struct Shared {
    /// Start of round 0.
    origin_ms: u64,
    period_ms: u64,
    collect_ms: u64,
    slots: usize,
    clients: usize,
    rounds: Mutex<BTreeMap<Round, OfRound>>,
}

#[derive(Clone, Debug, Default)]
struct OfRound {
    /// Clients that submitted.
    submitted: usize,
    /// Replies to slots that hold, and others.
    intact: usize,
    broken: usize,
    /// Milliseconds from the end of collection until each client had its replies.
    waited_ms: Vec<i64>,
    /// Clients to which nothing came back.
    lost: usize,
}

impl OfRound {
    /// Whether every client knows what became of it.
    fn is_over(&self) -> bool {
        self.submitted > 0 && self.waited_ms.len() + self.lost >= self.submitted
    }
}

impl Tally {
    /// For so many clients.
    pub(super) fn new(params: &NetworkParams, epoch: &Epoch, clients: usize) -> Self {
        let NetworkParams { period_ms, collect_ms, slots, .. } = *params;
        let plan = epoch.plan();
        let origin_ms = plan.start_ms.saturating_sub(plan.first_round.0.saturating_mul(period_ms));
        Self(Arc::new(Shared {
            origin_ms,
            period_ms,
            collect_ms,
            slots: slots.into(),
            clients,
            rounds: Mutex::default(),
        }))
    }

    /// Slots of each client.
    pub(super) fn slots(&self) -> usize {
        self.0.slots
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Round, OfRound>> {
        self.0.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a round's collection ends, milliseconds since 1970.
    fn collected_ms(&self, round: Round) -> u64 {
        self.0.origin_ms + round.0.saturating_mul(self.0.period_ms) + self.0.collect_ms
    }

    fn since_collection_ms(&self, round: Round) -> i64 {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        now_ms - self.collected_ms(round) as i64
    }

    /// A client takes part.
    pub(super) fn submits(&self, round: Round) {
        self.lock().entry(round).or_default().submitted += 1;
    }

    /// A client has its replies, so many of them intact and so many not.
    pub(super) fn returned(&self, round: Round, intact: usize, broken: usize) {
        let waited_ms = self.since_collection_ms(round);
        let mut rounds = self.lock();
        let of = rounds.entry(round).or_default();
        of.waited_ms.push(waited_ms);
        of.intact += intact;
        of.broken += broken;
    }

    /// Nothing came back to a client.
    pub(super) fn lost(&self, round: Round) {
        self.lock().entry(round).or_default().lost += 1;
    }

    /// Rounds that are over for all, from the first in which all took part: in the ones before, clients still came. While a
    /// round is collected it may have been refused to some, and others may still come.
    fn over(&self) -> Vec<(Round, OfRound)> {
        let rounds = self.lock();
        let all = rounds.iter().skip_while(|(_, of)| of.submitted < self.0.clients);
        let over = all.take_while(|(round, of)| of.is_over() && self.since_collection_ms(**round) >= 0);
        over.map(|(round, of)| (*round, of.clone())).collect()
    }

    /// How many.
    pub(super) fn ended(&self) -> usize {
        self.over().len()
    }

    /// One line a round, those of the warm-up left out.
    pub(super) fn write(&self, file: &mut dyn Write, warm_up: usize, rounds: usize) -> io::Result<()> {
        writeln!(file, "{}", measured::OfRound::COLUMNS)?;
        for (round, mut of) in self.over().into_iter().skip(warm_up).take(rounds) {
            of.waited_ms.sort_unstable();
            let of_rank = |rank: usize| of.waited_ms.get(rank).map_or(String::new(), i64::to_string);
            let last = of.waited_ms.len().wrapping_sub(1);
            let OfRound { submitted, intact, broken, lost, .. } = &of;
            let (first, median, last) = (of_rank(0), of_rank(of.waited_ms.len() / 2), of_rank(last));
            let collected = self.collected_ms(round);
            writeln!(file, "{},{submitted},{intact},{broken},{lost},{first},{median},{last},{collected}", round.0)?;
        }
        Ok(())
    }
}
