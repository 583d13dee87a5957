//! Rounds in their time: opened one period before their window, judged when they are over.

use std::sync::Arc;

use super::{
    Coordinator, KEPT_ROUNDS, Output, auditing::Auditing, collecting, collecting::Collecting, founding::Founding,
    opening::Opening,
};
use crate::{
    epoch::Epoch,
    ids::{Round, ServerId},
    marks::Act,
    message::{AbortReason, Message},
    roster::Roster,
    statement,
};

impl Coordinator {
    pub(super) fn on_opening(&mut self, now_ms: u64, from: ServerId, message: Message, out: &mut Vec<Output>) {
        let Some(round) = message.round() else { return };
        let Some(opening) = self.opening.get_mut(&round) else { return };
        match opening.on_message(now_ms, &mut self.marks, from, message, out) {
            Ok(Some(descriptor)) => {
                let collecting = Collecting::new(&self.directory, descriptor, opening.began_ms());
                let auditing = Auditing::new(&self.directory, collecting.descriptor(), opening);
                self.opening.remove(&round);
                self.audit(round, auditing);
                self.collecting.insert(round, collecting);
                self.status.round = self.status.round.max(round.0);
                out.push(Output::Announced(round));
            }
            Ok(None) => {}
            Err(error) => out.push(Output::Notice(format!("{round} does not open: {error}"))),
        }
    }

    pub(super) fn on_collecting(&mut self, now_ms: u64, from: ServerId, message: Message, out: &mut Vec<Output>) {
        let Some(collecting) = message.round().and_then(|round| self.collecting.get_mut(&round)) else { return };
        match message {
            Message::Noise(noise) => collecting.on_noise(from, &noise, out),
            Message::Receipts(receipts) => collecting.on_receipts(from, &receipts, out),
            Message::Replies(replies) => collecting.on_replies(from, &replies, out),
            Message::Report(report) => collecting.on_report(from, &report),
            Message::Replaced(replaced) if collecting.takes_part(from) => collecting.on_replaced(&replaced),
            Message::Abort(abort) => {
                let signed = statement::abort(collecting.descriptor().digest(), abort.stage, &abort.reason);
                let key = self.directory.server_key(from);
                if key.is_some_and(|key| key.verify(&signed, &abort.signature).is_ok()) {
                    self.unsettled |= collecting.takes_part(from) && matches!(abort.reason, AbortReason::Convicted(_));
                    collecting.on_abort(from, &abort);
                }
            }
            _ => {}
        }
        self.finish_rounds(now_ms, out);
    }

    /// When the keys of a round are made: one period before its window.
    fn opens_at_ms(&self, epoch: &Epoch, round: Round) -> u64 {
        epoch.window_start_ms(round).saturating_sub(self.directory.params().period_ms)
    }

    /// Who holds a round: the current epoch from its first round on, the one before until then.
    fn roster_for(&self, round: Round) -> Option<&Arc<Roster>> {
        let rosters = self.epoch.iter().chain(&self.ending).map(|current| &current.roster);
        rosters.into_iter().find(|roster| roster.epoch().plan().first_round <= round)
    }

    /// When the next round is to be opened, if it is known by whom; rounds of an epoch that is being founded wait.
    pub(super) fn open_due_ms(&self) -> Option<u64> {
        let waits = self.founding.as_ref().is_some_and(|founding| self.next_round >= founding.first_round());
        let roster = self.roster_for(self.next_round).filter(|_| !waits)?;
        Some(self.opens_at_ms(roster.epoch(), self.next_round))
    }

    /// Whether servers have so much to mix that another round would only take from the time of those under way: half of
    /// what could be under way until its deadline. Without this, a network that is too slow for its period by a little
    /// completes no round at all.
    pub(super) fn is_behind(&self, now_ms: u64) -> bool {
        let params = self.directory.params();
        let most = ((params.deadline_ms - params.collect_ms) / params.period_ms / 2).max(2);
        let mixed = self.collecting.values().filter(|round| round.is_being_mixed(now_ms));
        mixed.count() as u64 >= most
    }

    pub(super) fn open_due_rounds(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(first) = self.ending.as_ref().or(self.epoch.as_ref()).map(|current| current.epoch()) else { return };
        // Rounds whose window has begun are never opened: too little time is left for their keys.
        let current = first.round_at(now_ms).map_or(first.plan().first_round, Round::next);
        let opened = match self.marks.highest(Act::Open) {
            Ok(opened) => opened.unwrap_or(Round(0)),
            Err(error) => return out.push(Output::Notice(format!("no round is opened: {error}"))),
        };
        self.next_round = self.next_round.max(current).max(opened.next());
        let end = self.founding.as_ref().map_or(Round(u64::MAX), Founding::first_round);
        while let Some(roster) = self.roster_for(self.next_round).cloned()
            && self.next_round < end
            && now_ms >= self.opens_at_ms(roster.epoch(), self.next_round)
            && !self.waits_for_return(now_ms)
            && !self.is_held(&roster)
            && !self.is_behind(now_ms)
            && roster.is_usable()
        {
            let round = self.next_round;
            self.next_round = round.next();
            let opening = Opening::begin(&self.directory, &roster, round, now_ms, out);
            self.opening.insert(round, opening);
        }
        if self.epoch.as_ref().is_some_and(|current| current.epoch().plan().first_round <= self.next_round) {
            self.ended = self.ending.take().or(self.ended.take());
        }
    }

    /// Gives up rounds whose keys have not come in time.
    pub(super) fn end_openings(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        self.opening.values_mut().for_each(|opening| opening.on_clock(now_ms, out));
        let due = self.opening.iter().filter(|(_, opening)| now_ms >= opening.deadline_ms());
        let due: Vec<Round> = due.map(|(round, _)| *round).collect();
        for round in due {
            let Some(opening) = self.opening.remove(&round) else { continue };
            let missing: Vec<String> = opening.missing().iter().map(ToString::to_string).collect();
            self.status.rounds_unopened += 1;
            self.status.last_failure = Some(format!("{round} did not open: nothing came from {}", missing.join(", ")));
            out.extend(self.status.last_failure.clone().map(Output::Notice));
            self.judge_opening(now_ms, &opening, out);
        }
    }

    /// Says how rounds have ended.
    pub(super) fn finish_rounds(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        for (round, collecting) in &mut self.collecting {
            if let Some(outcome) = collecting.outcome(now_ms) {
                match outcome {
                    collecting::Outcome::Delivered => out.push(Output::Delivered(*round)),
                    collecting::Outcome::Failed(reason) => {
                        self.status.rounds_failed += 1;
                        self.status.last_failure = Some(format!("{round}: {reason}"));
                        out.push(Output::Failed { round: *round, reason });
                    }
                }
            }
            if let Some(totals) = collecting.totals(now_ms) {
                self.status.rounds_completed += 1;
                self.status.hops_verified += totals.hops_verified;
                self.status.mixing_ms = totals.mixing_ms;
            }
        }
    }

    /// Judges rounds that are over, once all evidence that was shown about them is judged, and forgets old ones.
    pub(super) fn judge_rounds(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let charges = &self.charges;
        let rounds = self.collecting.iter_mut().filter(|(round, _)| !charges.is_open(**round));
        let faults: Vec<_> = rounds.filter_map(|(_, round)| Some((round.began_ms(), round.faults(now_ms)?))).collect();
        faults.iter().for_each(|(began_ms, heard)| self.judge_round(now_ms, *began_ms, heard, out));
        let newest = self.status.round;
        let (collecting, auditing) = (&mut self.collecting, &self.auditing);
        let is_kept = |round: &Round| round.0 + KEPT_ROUNDS > newest || auditing.contains_key(round);
        collecting.retain(|round, collecting| !collecting.is_over() || is_kept(round));
        self.forget_charges();
    }
}
