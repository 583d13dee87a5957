//! What is wrong at present, so that each trouble is shown once and its end is shown, too.

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The network has not begun.
    NotBegun,
    /// The coordinator cannot be reached.
    Disconnected,
    /// No rounds are held.
    Stalled,
    /// The coordinator refuses what is submitted.
    Refused,
    /// A round was left out.
    SatOut,
    /// What was sent in a round may have been left out.
    NotIncluded,
    /// A round brought nothing.
    Lost,
}

/// Troubles that are not over, with their newest words; the last to change comes last.
#[derive(Debug, Default)]
pub(super) struct Troubles(Vec<(Kind, String)>);

impl Troubles {
    /// Notes a trouble; whether it is worth saying: it is not there already, nor does a greater one explain it.
    pub(super) fn begin(&mut self, kind: Kind, words: &str) -> bool {
        let is_new = !self.end(kind);
        let is_explained = matches!(kind, Kind::SatOut | Kind::Lost)
            && [Kind::Disconnected, Kind::Refused].into_iter().any(|greater| self.has(greater));
        // Without a word said about it, nothing needs to be said about its end.
        if is_new && is_explained {
            return false;
        }
        self.0.push((kind, words.to_owned()));
        is_new
    }

    /// Notes the end of a trouble; whether it was there.
    pub(super) fn end(&mut self, kind: Kind) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| *known != kind);
        self.0.len() < before
    }

    /// The newest.
    pub(super) fn last(&self) -> Option<&str> {
        self.0.last().map(|(_, words)| words.as_str())
    }

    fn has(&self, kind: Kind) -> bool {
        self.0.iter().any(|(known, _)| *known == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_worth_saying_once_until_it_is_over() {
        let mut troubles = Troubles::default();
        assert!(!troubles.end(Kind::Lost));
        assert!(troubles.begin(Kind::Lost, "round 1"));
        assert!(!troubles.begin(Kind::Lost, "round 2"));
        assert_eq!(troubles.last(), Some("round 2"));
        assert!(troubles.end(Kind::Lost));
        assert!(troubles.begin(Kind::Lost, "round 9"));
    }

    #[test]
    fn who_is_refused_need_not_hear_that_the_round_brought_nothing() {
        let mut troubles = Troubles::default();
        assert!(troubles.begin(Kind::Refused, "evidence"));
        assert!(!troubles.begin(Kind::Lost, "round 1"));
        assert_eq!(troubles.last(), Some("evidence"));
    }

    #[test]
    fn what_a_lost_connection_explains_is_not_said_nor_is_its_end() {
        let mut troubles = Troubles::default();
        assert!(troubles.begin(Kind::Disconnected, "gone"));
        assert!(!troubles.begin(Kind::Lost, "round 1"));
        assert_eq!(troubles.last(), Some("gone"));
        assert!(!troubles.end(Kind::Lost) && troubles.end(Kind::Disconnected));
        assert_eq!(troubles.last(), None);
    }
}
