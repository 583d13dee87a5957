//! Who is there: where servers are reached, when they were heard last, and what they know.

use crate::ids::{RosterId, ServerId};

/// Milliseconds for which a server counts as up after its last word; it says hello every few seconds.
const UP_MS: u64 = 10_000;

/// Milliseconds for which what one hello has led to is not done again for another of the same server.
const HELLO_MS: u64 = 1000;

/// Whether something is to be done again, and notes that it is.
fn is_due(last_ms: &mut Option<u64>, now_ms: u64) -> bool {
    let is_due = last_ms.is_none_or(|last_ms| now_ms >= last_ms.saturating_add(HELLO_MS));
    if is_due {
        *last_ms = Some(now_ms);
    }
    is_due
}

/// All servers, as they were heard.
pub(super) struct Presence(Vec<Seen>);

#[derive(Clone, Default)]
struct Seen {
    address: Option<String>,
    heard_ms: Option<u64>,
    roster: Option<RosterId>,
    restarted_ms: Option<u64>,
    /// Others have not been told of its return yet.
    is_news: bool,
    /// When others were last told of its return.
    told_ms: Option<u64>,
    /// When the epoch was last sent to it because of a hello.
    sent_ms: Option<u64>,
}

/// What a hello says that was not known.
pub(super) struct News {
    /// The server was not up, or is reached elsewhere than before, and others are to be told.
    pub(super) is_back: bool,
    /// It knows less than before: its process is a new one.
    pub(super) restarted: bool,
}

impl Presence {
    pub(super) fn new(servers: usize) -> Self {
        Self(vec![Seen::default(); servers])
    }

    fn of(&self, server: ServerId) -> Option<&Seen> {
        self.0.get(usize::from(server.0))
    }

    /// Whether a server that says hello is to be sent the epoch: large as that is, not for each of many hellos.
    pub(super) fn may_send_epoch(&mut self, now_ms: u64, server: ServerId) -> bool {
        self.0.get_mut(usize::from(server.0)).is_some_and(|seen| is_due(&mut seen.sent_ms, now_ms))
    }

    /// Notes a word of a server.
    pub(super) fn hear(&mut self, now_ms: u64, server: ServerId) {
        if let Some(seen) = self.0.get_mut(usize::from(server.0)) {
            seen.heard_ms = Some(now_ms);
        }
    }

    /// Notes a hello.
    pub(super) fn hello(&mut self, now_ms: u64, server: ServerId, address: String, roster: RosterId) -> News {
        let was_up = self.is_up(now_ms, server);
        let Some(seen) = self.0.get_mut(usize::from(server.0)) else {
            return News { is_back: false, restarted: false };
        };
        let restarted = seen.roster.replace(roster).is_some_and(|earlier| roster < earlier);
        let moved = seen.address.as_ref() != Some(&address);
        seen.address = Some(address);
        seen.heard_ms = Some(now_ms);
        if restarted {
            seen.restarted_ms = Some(now_ms);
        }
        seen.is_news |= moved || !was_up || restarted;
        let is_back = seen.is_news && is_due(&mut seen.told_ms, now_ms);
        seen.is_news &= !is_back;
        News { is_back, restarted }
    }

    /// A server was silent when it should have spoken: it is not up until it is heard again.
    pub(super) fn lose(&mut self, server: ServerId) {
        if let Some(seen) = self.0.get_mut(usize::from(server.0)) {
            seen.heard_ms = None;
        }
    }

    /// Forgets what was heard by a clock that has been set back.
    pub(super) fn unlearn_future(&mut self, now_ms: u64) {
        for seen in &mut self.0 {
            seen.heard_ms = seen.heard_ms.filter(|heard_ms| *heard_ms <= now_ms);
            seen.restarted_ms = seen.restarted_ms.filter(|restarted_ms| *restarted_ms <= now_ms);
            (seen.told_ms, seen.sent_ms) = (None, None);
        }
    }

    /// Whether a server said hello, and something not long ago.
    pub(super) fn is_up(&self, now_ms: u64, server: ServerId) -> bool {
        let seen = self.of(server).filter(|seen| seen.address.is_some());
        seen.and_then(|seen| seen.heard_ms).is_some_and(|heard_ms| now_ms < heard_ms.saturating_add(UP_MS))
    }

    /// Whether a server was heard after `since_ms`.
    pub(super) fn heard_since(&self, server: ServerId, since_ms: u64) -> bool {
        self.of(server).and_then(|seen| seen.heard_ms).is_some_and(|heard_ms| heard_ms > since_ms)
    }

    /// When a server's process, not the first that was heard, said its first hello.
    pub(super) fn restarted_ms(&self, server: ServerId) -> Option<u64> {
        self.of(server)?.restarted_ms
    }

    /// Whether a server is known to know this epoch and amendment.
    pub(super) fn knows(&self, server: ServerId, roster: RosterId) -> bool {
        self.of(server).and_then(|seen| seen.roster).is_some_and(|known| known >= roster)
    }

    /// Where servers are, in the directory's order; empty where that is not known.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.0.iter().map(|seen| seen.address.clone().unwrap_or_default()).collect()
    }
}
