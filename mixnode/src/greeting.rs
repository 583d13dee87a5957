//! When to say hello to the coordinator: at once, again until it answers, and again whenever it has fallen silent, since
//! a coordinator that was restarted knows nobody's address.

/// From one hello to the next while there is no answer, milliseconds.
pub(crate) const AGAIN_MS: u64 = 5_000;

/// What there is to say about a hello that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The first.
    First,
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
    heard_ms: u64,
    has_peers: bool,
}

impl Greeting {
    /// A coordinator that runs rounds speaks several times in each; three periods without a word are silence.
    pub(crate) fn new(period_ms: u64) -> Self {
        let silence_ms = period_ms.saturating_mul(3).max(AGAIN_MS);
        Self { silence_ms, first_ms: None, said_ms: 0, heard_ms: 0, has_peers: false }
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
            (self.first_ms, self.said_ms) = (Some(now_ms), now_ms);
            return Some(Due::First);
        };
        let silent_ms = now_ms.saturating_sub(self.heard_ms);
        if now_ms.saturating_sub(self.said_ms) < AGAIN_MS || (self.has_peers && silent_ms < self.silence_ms) {
            return None;
        }
        self.said_ms = now_ms;
        let waited_ms = now_ms.saturating_sub(first_ms);
        Some(if self.has_peers { Due::Silent { silent_ms } } else { Due::Unanswered { waited_ms } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_hello_until_peers_come() {
        let mut greeting = Greeting::new(1_000);
        assert_eq!(greeting.due(10_000), Some(Due::First));
        assert_eq!(greeting.due(14_999), None);
        assert_eq!(greeting.due(15_000), Some(Due::Unanswered { waited_ms: 5_000 }));
        greeting.on_word(15_001);
        assert_eq!(greeting.due(20_000), Some(Due::Unanswered { waited_ms: 10_000 }), "a word alone is no answer");
        greeting.on_word(20_001);
        greeting.on_peers();
        assert_eq!(greeting.due(25_000), None);
    }

    #[test]
    fn says_hello_again_when_the_coordinator_falls_silent() {
        let mut greeting = Greeting::new(4_000);
        assert_eq!(greeting.due(0), Some(Due::First));
        greeting.on_word(100);
        greeting.on_peers();
        for now_ms in (100..100_000).step_by(1_000) {
            greeting.on_word(now_ms);
            assert_eq!(greeting.due(now_ms + 999), None);
        }
        assert_eq!(greeting.due(99_100 + 11_999), None);
        assert_eq!(greeting.due(99_100 + 12_000), Some(Due::Silent { silent_ms: 12_000 }));
        assert_eq!(greeting.due(99_100 + 16_999), None, "not at every chance");
        assert_eq!(greeting.due(99_100 + 17_000), Some(Due::Silent { silent_ms: 17_000 }));
    }
}
