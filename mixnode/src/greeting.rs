//! When to say hello to the coordinator: at once, and then again and again, all the while. A coordinator that was
//! restarted knows nobody's address, and one that counts a server as silent learns that it is back.

/// From one hello to the next, milliseconds.
pub(crate) const HEARTBEAT_MS: u64 = 2_000;
/// From one complaint to the next that there is no answer, milliseconds.
const COMPLAINT_MS: u64 = 10_000;

/// What there is to say about a hello that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The first.
    First,
    /// One more, of which nobody need be told.
    Again,
    /// No list of peers has come in all this time.
    Unanswered {
        /// Milliseconds since the first hello.
        waited_ms: u64,
    },
    /// The coordinator, once there, says nothing any more.
    Silent {
        /// Milliseconds since its last word.
        silent_ms: u64,
    },
}

/// The state of the greeting.
pub(crate) struct Greeting {
    silence_ms: u64,
    first_ms: Option<u64>,
    said_ms: u64,
    complained_ms: u64,
    heard_ms: u64,
    has_peers: bool,
}

impl Greeting {
    /// A coordinator answers a hello, and speaks several times in each round; several periods without a word are
    /// silence.
    pub(crate) fn new(period_ms: u64) -> Self {
        let silence_ms = period_ms.saturating_mul(3).max(3 * HEARTBEAT_MS);
        Self { silence_ms, first_ms: None, said_ms: 0, complained_ms: 0, heard_ms: 0, has_peers: false }
    }

    /// The coordinator said something.
    pub(crate) fn on_word(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// The coordinator has sent the addresses of the peers.
    pub(crate) fn on_peers(&mut self) {
        self.has_peers = true;
    }

    /// Whether to say hello now; if so, it counts as said.
    pub(crate) fn due(&mut self, now_ms: u64) -> Option<Due> {
        let Some(first_ms) = self.first_ms else {
            (self.first_ms, self.said_ms, self.complained_ms) = (Some(now_ms), now_ms, now_ms);
            return Some(Due::First);
        };
        if now_ms.saturating_sub(self.said_ms) < HEARTBEAT_MS {
            return None;
        }
        self.said_ms = now_ms;
        let silent_ms = now_ms.saturating_sub(self.heard_ms);
        let all_is_well = self.has_peers && silent_ms < self.silence_ms;
        if all_is_well || now_ms.saturating_sub(self.complained_ms) < COMPLAINT_MS {
            return Some(Due::Again);
        }
        self.complained_ms = now_ms;
        let waited_ms = now_ms.saturating_sub(first_ms);
        Some(if self.has_peers { Due::Silent { silent_ms } } else { Due::Unanswered { waited_ms } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_hello_all_the_while_and_complains_until_peers_come() {
        let mut greeting = Greeting::new(1_000);
        assert_eq!(greeting.due(10_000), Some(Due::First));
        assert_eq!(greeting.due(11_999), None);
        for now_ms in (12_000..20_000).step_by(2_000) {
            assert_eq!(greeting.due(now_ms), Some(Due::Again));
            assert_eq!(greeting.due(now_ms + 1_999), None);
        }
        assert_eq!(greeting.due(20_000), Some(Due::Unanswered { waited_ms: 10_000 }));
        greeting.on_word(20_001);
        assert_eq!(greeting.due(30_000), Some(Due::Unanswered { waited_ms: 20_000 }), "a word alone is no answer");
        greeting.on_word(39_000);
        greeting.on_peers();
        assert_eq!(greeting.due(40_000), Some(Due::Again));
    }

    #[test]
    fn complains_when_the_coordinator_falls_silent() {
        let mut greeting = Greeting::new(4_000);
        assert_eq!(greeting.due(0), Some(Due::First));
        greeting.on_peers();
        for now_ms in (2_000..100_000).step_by(2_000) {
            greeting.on_word(now_ms);
            assert_eq!(greeting.due(now_ms), Some(Due::Again));
        }
        assert_eq!(greeting.due(98_000 + 11_999), Some(Due::Again));
        assert_eq!(greeting.due(98_000 + 14_000), Some(Due::Silent { silent_ms: 14_000 }));
        assert_eq!(greeting.due(98_000 + 16_000), Some(Due::Again), "not at every chance");
        assert_eq!(greeting.due(98_000 + 24_000), Some(Due::Silent { silent_ms: 24_000 }));
    }
}
