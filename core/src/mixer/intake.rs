//! The parts of a chain's submissions at its first server, as they come and are checked.

use std::collections::BTreeMap;

use super::input::CheckedSubmission;
use crate::message::MAX_PARTS;

/// Parts by their numbers. They may come in any order; what comes twice, or does not fit to the rest, is as if not sent.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// None for those that are being checked.
    parts: BTreeMap<u32, Option<Vec<CheckedSubmission>>>,
    /// How many there are, once the last has come.
    count: Option<u32>,
    records: usize,
    is_over: bool,
}

impl Intake {
    /// Whether a part of so many records is to be checked. All parts together have at most `limit` records.
    pub(crate) fn expect(&mut self, part: u32, is_last: bool, records: usize, limit: usize) -> bool {
        let is_new = part < MAX_PARTS && !self.parts.contains_key(&part);
        let fits = match self.count {
            Some(count) => !is_last && part < count,
            None => !is_last || self.parts.keys().all(|other| *other < part),
        };
        if self.is_over || !is_new || !fits || self.records + records > limit {
            return false;
        }
        self.parts.insert(part, None);
        self.records += records;
        self.count = self.count.or(is_last.then_some(part + 1));
        true
    }

    /// Keeps what is left of a part that was checked.
    pub(crate) fn put(&mut self, part: u32, checked: Vec<CheckedSubmission>) {
        if let Some(place) = self.parts.get_mut(&part) {
            *place = Some(checked);
        }
    }

    /// All submissions in the order of their parts, once: when every part has come and was checked.
    pub(crate) fn complete(&mut self) -> Option<Vec<CheckedSubmission>> {
        let has_all = self.count.is_some_and(|count| self.parts.len() == count as usize);
        if self.is_over || !has_all || self.parts.values().any(Option::is_none) {
            return None;
        }
        self.is_over = true;
        Some(std::mem::take(&mut self.parts).into_values().flatten().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 10;

    #[test]
    fn parts_are_complete_when_all_up_to_the_last_were_checked_in_any_order() {
        let mut intake = Intake::default();
        assert!(intake.expect(2, true, 1, LIMIT) && intake.expect(0, false, 1, LIMIT));
        intake.put(2, Vec::new());
        intake.put(0, Vec::new());
        assert!(intake.complete().is_none(), "one is missing");
        assert!(intake.expect(1, false, 1, LIMIT));
        assert!(intake.complete().is_none(), "one is being checked");
        intake.put(1, Vec::new());
        assert!(intake.complete().is_some());
        assert!(intake.complete().is_none(), "once");
        assert!(!intake.expect(1, false, 1, LIMIT) && !intake.expect(3, false, 1, LIMIT), "over is over");
    }

    #[test]
    fn what_comes_twice_or_behind_the_last_or_is_too_much_is_as_if_not_sent() {
        let mut intake = Intake::default();
        assert!(intake.expect(1, false, 4, LIMIT));
        assert!(!intake.expect(1, false, 1, LIMIT), "twice");
        assert!(!intake.expect(0, true, 1, LIMIT), "the last before another");
        assert!(!intake.expect(2, false, 7, LIMIT), "too much");
        assert!(!intake.expect(MAX_PARTS, true, 1, LIMIT), "too many");
        assert!(intake.expect(2, true, 6, LIMIT));
        assert!(!intake.expect(3, false, 0, LIMIT) && !intake.expect(3, true, 0, LIMIT), "behind the last");
    }
}
