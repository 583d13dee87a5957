//! A client's part in the rounds of a network, from the announcement to the replies.
//!
//! In each round a client submits once, at the same offset from the round's start, and opens every reply, whatever its
//! [`Voice`] has to say. It believes its own clock and signatures, nothing else.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::Future,
    sync::Arc,
};

use hippodrome_core::{
    descriptor::RoundView,
    directory::Directory,
    ids::{ClientId, Round},
    marks::{Act, Marks, OffGrid, Refused, StoreError},
    participant::{CLOCK_TOLERANCE_MS, Participant, Pending, check_window},
    roster::Roster,
};
use hippodrome_crypto::{
    hash::{Hasher, hex},
    signing::{PublicKey, SigningKey},
};
use hippodrome_proto::{
    gateway::{Fetched, GatewayClient, GatewayError, NetworkStatus, Refusal, SubmitRequest},
    transport::ConnectError,
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinSet,
};

use crate::{
    budget::Budget,
    clock::{Backoff, now_ms, sleep_until_ms},
    uplink::{Heard, Uplink, UplinkError},
    voice::{Notice, Voice, VoiceError},
};

/// Submissions are made this long before they are sent, so that the time at which they leave does not tell how long
/// making them took.
const PREPARE_MS: u64 = 60;
/// Rounds are announced one period ahead; keys of rounds further ahead than this many are of no use.
const FURTHEST_PERIODS: u64 = 4;
/// A client that has heard of no round for so many periods, and some time, asks why.
const QUIET_PERIODS: u64 = 3;
const QUIET_GRACE_MS: u64 = 2000;
/// Replies are asked for at most this long after a round's deadline.
const FETCH_GRACE_MS: u64 = 5000;

/// Why a session does not begin, or ends.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The coordinator cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The coordinator gives an epoch that is not this network's.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// The key has no seat in the epoch.
    #[error(
        "the client key {} is not registered in epoch {epoch}; the coordinator's operator adds it to the registry file, \
         and it is registered in the next epoch, which begins when the coordinator is started again",
        hex(key.as_bytes())
    )]
    NotRegistered {
        /// The client's key.
        key: Box<PublicKey>,
        /// Number of the epoch.
        epoch: u64,
    },
    /// The epoch's rounds do not count from where those of the network did.
    #[error("epoch {epoch} is refused: {why}")]
    OffGrid {
        /// Number of the epoch.
        epoch: u64,
        /// What is wrong.
        why: OffGrid,
    },
    /// What makes *once* durable fails.
    #[error(transparent)]
    Marks(#[from] StoreError),
    /// The voice cannot go on.
    #[error("{0}")]
    Voice(VoiceError),
}

/// A client that takes part in a network.
pub struct Session {
    uplink: Uplink,
    key: SigningKey,
    marks: Marks,
}

impl Session {
    /// Connects to the coordinator at `host:port`, which must show the certificate that the directory pins.
    pub async fn connect(
        directory: Arc<Directory>,
        address: &str,
        key: SigningKey,
        marks: Marks,
    ) -> Result<Self, SessionError> {
        Ok(Self::over(Uplink::connect(directory, address).await?, key, marks))
    }

    /// Takes part over a connection that others may use, too. `marks` are this client's alone.
    pub fn over(uplink: Uplink, key: SigningKey, marks: Marks) -> Self {
        Self { uplink, key, marks }
    }

    /// Takes part in every round until `shutdown` is done. A broken connection is made again; what ends a session is
    /// listed in [`SessionError`]. Without an epoch it waits for one.
    pub async fn run<V: Voice>(
        self,
        voice: &mut V,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), SessionError> {
        tokio::select! {
            ended = self.take_part(voice) => ended,
            () = shutdown => Ok(()),
        }
    }

    async fn take_part<V: Voice>(mut self, voice: &mut V) -> Result<(), SessionError> {
        let roster = wait_for_roster(&self.uplink, voice).await?;
        let seat = Arc::new(Seat::new(&mut self, roster)?);
        voice.notice(Notice::Joined(Arc::clone(seat.roster.epoch())));
        let (recent, heard) = self.uplink.listen(seat.participant.chain());
        let errands = JoinSet::new();
        let (due, in_flight) = (BTreeMap::new(), BTreeMap::new());
        let quiet_since_ms = Some(now_ms());
        let mut running = Running { session: self, voice, seat, heard, quiet_since_ms, due, in_flight, errands };
        for heard in recent {
            running.on_heard(heard)?;
        }
        running.run().await
    }
}

/// Asks for an epoch until there is one with an open chain.
async fn wait_for_roster<V: Voice>(uplink: &Uplink, voice: &mut V) -> Result<Arc<Roster>, SessionError> {
    let mut backoff = Backoff::new();
    loop {
        let waiting = match uplink.roster().await {
            Ok(Some(roster)) if roster.is_usable() => return Ok(roster),
            Ok(_) => uplink.status().await,
            Err(UplinkError::Gateway(error)) => Err(error),
            Err(error) => return Err(error.into()),
        };
        voice.notice(match waiting {
            Ok(status) => {
                let servers_up = status.servers_up.iter().filter(|up| **up).count();
                Notice::Waiting { servers_up, servers: uplink.directory().servers().len() }
            }
            Err(error) => Notice::Interrupted { reason: error.to_string() },
        });
        backoff.wait().await;
    }
}

/// A client's place in the rounds of a roster.
struct Seat {
    roster: Arc<Roster>,
    participant: Participant,
}

impl Seat {
    /// Takes a seat; the roster is usable. Its rounds are on the grid of all before, ever: to one that jumps a client
    /// would lose its keys.
    fn new(session: &mut Session, roster: Arc<Roster>) -> Result<Self, SessionError> {
        if let Some(origin_ms) = roster.epoch().plan().origin_ms(session.uplink.directory().params()) {
            let epoch = roster.id().epoch;
            session.marks.keep_origin(origin_ms).map_err(|why| SessionError::OffGrid { epoch, why })?;
        }
        let key = SigningKey::from_seed(&session.key.expose_seed());
        let participant = Participant::new(session.uplink.directory(), &roster, key).map_err(|_| {
            SessionError::NotRegistered { key: Box::new(session.key.public()), epoch: roster.id().epoch }
        })?;
        Ok(Self { roster, participant })
    }

    fn window_start_ms(&self, round: Round) -> u64 {
        self.roster.epoch().window_start_ms(round)
    }
}

/// A round that is to be submitted to.
struct Due {
    seat: Arc<Seat>,
    view: Arc<RoundView>,
}

/// When a client submits: at an offset that follows from its key, in the second to fourth eighth of the collection.
fn offset_ms(key: &PublicKey, collect_ms: u64) -> u64 {
    let digest = Hasher::new("hippodrome v1 client offset").bytes(key.as_bytes()).finish();
    let number = digest.0.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let span = (collect_ms / 2 - collect_ms / 8).max(1);
    collect_ms / 8 + number % span
}

/// A session that takes part.
struct Running<'a, V> {
    session: Session,
    voice: &'a mut V,
    /// In the newest roster; rounds that were announced under another have their own.
    seat: Arc<Seat>,
    heard: Receiver<Heard>,
    /// When a round was last heard of, or asked why none is; none while nothing can be heard.
    quiet_since_ms: Option<u64>,
    due: BTreeMap<Round, Due>,
    in_flight: BTreeMap<Round, InFlight>,
    errands: JoinSet<Errand>,
}

/// A round that was submitted to.
struct InFlight {
    pending: Pending,
    client: ClientId,
    deadline_ms: u64,
    asked: bool,
}

/// What a request to the coordinator led to.
enum Errand {
    Submitted(Round, Result<(), GatewayError>),
    Fetched(Round, Result<Box<Fetched>, GatewayError>),
    AskedWhy(Result<NetworkStatus, GatewayError>),
}

impl<V: Voice> Running<'_, V> {
    async fn run(mut self) -> Result<(), SessionError> {
        loop {
            let next_ms = self.next_ms();
            tokio::select! {
                heard = self.heard.recv() => match heard {
                    Ok(heard) => self.on_heard(heard)?,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => self.listen_anew()?,
                },
                Some(errand) = self.errands.join_next() => {
                    // An errand that was cut off by the end of its runtime has no result.
                    errand.map_or(Ok(()), |errand| self.on_errand(errand))?;
                }
                () = sleep_until_ms(next_ms) => self.on_clock()?,
            }
        }
    }

    fn on_heard(&mut self, heard: Heard) -> Result<(), SessionError> {
        match heard {
            Heard::Announced(view) => {
                self.quiet_since_ms = Some(now_ms());
                self.enter(view.roster())?;
                self.plan(view)?;
            }
            Heard::Roster(roster) => self.enter(&roster)?,
            Heard::Refused { round, reason } => self.voice.notice(Notice::SatOut { round, reason }),
            Heard::Delivered(round) => self.ask(round),
            Heard::Failed { round, reason } => {
                self.due.remove(&round);
                self.lose(round, &reason)?;
            }
            Heard::Connected => {
                self.quiet_since_ms = Some(now_ms());
                self.voice.notice(Notice::Connected);
            }
            Heard::Interrupted(reason) => {
                self.quiet_since_ms = None;
                self.voice.notice(Notice::Interrupted { reason });
            }
        }
        Ok(())
    }

    /// Takes a seat in a newer roster. Rounds announced before keep theirs.
    fn enter(&mut self, roster: &Arc<Roster>) -> Result<(), SessionError> {
        if roster.id() <= self.seat.roster.id() {
            return Ok(());
        }
        let left = Arc::clone(&self.seat);
        self.seat = Arc::new(Seat::new(&mut self.session, Arc::clone(roster))?);
        if left.roster.id().epoch != roster.id().epoch {
            self.voice.notice(Notice::Joined(Arc::clone(roster.epoch())));
        }
        if self.seat.participant.chain() != left.participant.chain() { self.listen_anew() } else { Ok(()) }
    }

    fn listen_anew(&mut self) -> Result<(), SessionError> {
        let (recent, heard) = self.session.uplink.listen(self.seat.participant.chain());
        self.heard = heard;
        recent.into_iter().try_for_each(|heard| self.on_heard(heard))
    }

    /// Notes a round for its time. Views of other chains than the client's in that round are of no use.
    fn plan(&mut self, view: Arc<RoundView>) -> Result<(), SessionError> {
        let seat = if view.roster().id() == self.seat.roster.id() {
            Arc::clone(&self.seat)
        } else {
            // One that is registered in the newest epoch may have no place in rounds that the one before still holds.
            match Seat::new(&mut self.session, Arc::clone(view.roster())) {
                Ok(seat) => Arc::new(seat),
                Err(outside) => {
                    self.voice.notice(Notice::SatOut { round: view.round(), reason: outside.to_string() });
                    return Ok(());
                }
            }
        };
        let params = self.session.uplink.directory().params();
        let start = seat.window_start_ms(view.round());
        let is_near = start <= now_ms() + FURTHEST_PERIODS * params.period_ms + CLOCK_TOLERANCE_MS;
        if view.chain() == seat.participant.chain() && is_near && now_ms() <= start + params.collect_ms {
            self.due.entry(view.round()).or_insert(Due { seat, view });
        }
        Ok(())
    }

    /// When this client submits in a round.
    fn submits_ms(&self, seat: &Seat, round: Round) -> u64 {
        let collect_ms = self.session.uplink.directory().params().collect_ms;
        seat.window_start_ms(round) + offset_ms(&self.session.key.public(), collect_ms)
    }

    /// When this client makes its submissions for a round.
    fn prepares_ms(&self, seat: &Seat, round: Round) -> u64 {
        self.submits_ms(seat, round).saturating_sub(PREPARE_MS).max(seat.window_start_ms(round))
    }

    fn next_ms(&self) -> u64 {
        let due = self.due.iter().next().map(|(round, due)| self.prepares_ms(&due.seat, *round));
        let deadline = self.in_flight.values().filter(|round| !round.asked).map(|round| round.deadline_ms).min();
        due.into_iter().chain(deadline).min().unwrap_or(u64::MAX).min(now_ms() + 1000)
    }

    fn on_clock(&mut self) -> Result<(), SessionError> {
        let now = now_ms();
        while let Some((round, due)) = self.due.pop_first() {
            if now < self.prepares_ms(&due.seat, round) {
                self.due.insert(round, due);
                break;
            }
            self.submit(round, &due)?;
        }
        let silent = self.in_flight.iter().filter(|(_, at)| !at.asked && now >= at.deadline_ms);
        let silent: Vec<Round> = silent.map(|(round, _)| *round).collect();
        silent.into_iter().for_each(|round| self.ask(round));
        self.ask_why_quiet(now);
        Ok(())
    }

    /// Asks what is wrong if no round has been heard of for long. All clients do, whatever they have to say.
    fn ask_why_quiet(&mut self, now: u64) {
        let period_ms = self.session.uplink.directory().params().period_ms;
        let patience_ms = QUIET_PERIODS * period_ms + QUIET_GRACE_MS;
        if self.quiet_since_ms.is_some_and(|since_ms| now >= since_ms.saturating_add(patience_ms)) {
            self.quiet_since_ms = Some(now);
            let gateway = self.session.uplink.gateway().clone();
            self.errands.spawn(async move { Errand::AskedWhy(gateway.status().await) });
        }
    }

    /// Makes the submissions of a round, once ever, and has them sent at this client's time.
    fn submit(&mut self, round: Round, Due { seat, view }: &Due) -> Result<(), SessionError> {
        let (directory, epoch) = (Arc::clone(self.session.uplink.directory()), Arc::clone(seat.roster.epoch()));
        if let Err(outside) = check_window(&directory, &epoch, round, now_ms()) {
            self.voice.notice(Notice::SatOut { round, reason: outside.to_string() });
            return Ok(());
        }
        let once = match self.session.marks.claim(Act::Submit, round) {
            Ok(once) => once,
            Err(Refused::Store(error)) => return Err(error.into()),
            Err(before @ Refused::Before { .. }) => {
                self.voice.notice(Notice::SatOut { round, reason: before.to_string() });
                return Ok(());
            }
        };
        let budget =
            Budget { submitted: self.session.marks.submissions()?, stated: directory.params().noise.guarantee };
        self.voice.notice(Notice::Counted(budget));
        let clock = epoch.round_at(now_ms() + CLOCK_TOLERANCE_MS).unwrap_or(round);
        let accesses = self.voice.accesses(round, clock).map_err(SessionError::Voice)?;
        let participant = &seat.participant;
        let (records, pending) = participant.compose(view, once, &accesses, &mut rand::rng());
        let params = directory.params();
        let start = epoch.window_start_ms(round);
        let deadline_ms = start + params.deadline_ms + CLOCK_TOLERANCE_MS;
        let in_flight = InFlight { pending, client: participant.client(), deadline_ms, asked: false };
        self.in_flight.insert(round, in_flight);
        let request = SubmitRequest { round, chain: view.chain(), records };
        let gateway = self.session.uplink.gateway().clone();
        let (at_ms, until_ms) = (self.submits_ms(seat, round), start + params.collect_ms);
        self.errands.spawn(async move {
            sleep_until_ms(at_ms).await;
            Errand::Submitted(round, insist(until_ms, || gateway.submit(request.clone())).await)
        });
        Ok(())
    }

    /// Fetches the replies of a round that this client takes part in.
    fn ask(&mut self, round: Round) {
        let Some(in_flight) = self.in_flight.get_mut(&round).filter(|in_flight| !in_flight.asked) else { return };
        in_flight.asked = true;
        let (gateway, client): (GatewayClient, ClientId) = (self.session.uplink.gateway().clone(), in_flight.client);
        let until_ms = in_flight.deadline_ms + FETCH_GRACE_MS;
        self.errands.spawn(async move {
            Errand::Fetched(round, insist(until_ms, || gateway.fetch(round, client)).await.map(Box::new))
        });
    }

    fn on_errand(&mut self, errand: Errand) -> Result<(), SessionError> {
        match errand {
            Errand::Submitted(round, Ok(())) => self.voice.notice(Notice::Submitted(round)),
            Errand::Submitted(round, Err(error)) => {
                if let GatewayError::Refused(Refusal::Refused(reason)) = &error {
                    self.voice.notice(Notice::Refused { round, reason: reason.clone() });
                }
                self.lose(round, &error.to_string())?;
            }
            Errand::Fetched(round, Ok(fetched)) => self.open(round, &fetched)?,
            Errand::Fetched(round, Err(error)) => self.lose(round, &error.to_string())?,
            Errand::AskedWhy(Ok(status)) => {
                let reason = why_quiet(status, self.session.uplink.directory().servers().len());
                self.voice.notice(Notice::Stalled { reason });
            }
            // The stream of events breaks as well, and says so.
            Errand::AskedWhy(Err(_)) => {}
        }
        Ok(())
    }

    fn open(&mut self, round: Round, Fetched { replies, inclusion }: &Fetched) -> Result<(), SessionError> {
        let Entry::Occupied(in_flight) = self.in_flight.entry(round) else { return Ok(()) };
        let pending = in_flight.remove().pending;
        if let Err(not) = pending.check_inclusion(self.session.uplink.directory(), inclusion.as_ref()) {
            self.voice.notice(Notice::NotIncluded { round, reason: not.to_string() });
        }
        match pending.open(replies) {
            Ok(replies) => self.voice.replies(round, replies),
            Err(wrong) => self.voice.lost(round, &wrong.to_string()),
        }
        .map_err(SessionError::Voice)
    }

    fn lose(&mut self, round: Round, reason: &str) -> Result<(), SessionError> {
        match self.in_flight.remove(&round) {
            Some(_) => self.voice.lost(round, reason).map_err(SessionError::Voice),
            None => Ok(()),
        }
    }
}

/// Why no rounds are announced, in words.
fn why_quiet(status: NetworkStatus, servers: usize) -> String {
    let servers_up = status.servers_up.iter().filter(|up| **up).count();
    if status.idle.is_empty() { format!("{servers_up} of {servers} servers are up") } else { status.idle }
}

/// Makes the same request until it is answered, refused for good, or of no use any more.
async fn insist<T, F: Future<Output = Result<T, GatewayError>>>(
    until_ms: u64,
    mut request: impl FnMut() -> F,
) -> Result<T, GatewayError> {
    let mut backoff = Backoff::new();
    loop {
        let error = match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let is_final = matches!(
            error,
            GatewayError::Refused(Refusal::NotFound(_) | Refusal::Refused(_)) | GatewayError::Malformed(_)
        );
        if is_final || now_ms() >= until_ms {
            return Err(error);
        }
        backoff.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_from_the_key_and_lie_in_the_first_half() {
        let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).public();
        let offsets: Vec<u64> = (0..50).map(|seed| offset_ms(&key(seed), 1000)).collect();
        assert!(offsets.iter().all(|offset| (125..500).contains(offset)), "{offsets:?}");
        assert_eq!(offsets, (0..50).map(|seed| offset_ms(&key(seed), 1000)).collect::<Vec<_>>());
        assert!(offsets.iter().any(|offset| *offset != offsets[0]), "clients are spread");
        assert_eq!(offset_ms(&key(1), 1), 0);
    }
}
