//! When epochs are founded, and what follows when one is.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Coordinator, Output,
    founding::{Founding, Outline, lead_ms, retry_ms},
    state::Current,
};
use crate::{
    epoch::Epoch,
    ids::{Round, ServerId},
    marks::{Act, StoreError},
    message::{EpochPlan, EpochStart, Ground, Message},
    roster::Roster,
};

/// Milliseconds for which the first epoch waits for servers that are not up, once enough are.
pub(super) const GRACE_MS: u64 = 5000;

impl Coordinator {
    /// How many servers are up.
    pub(super) fn servers_up(&self, now_ms: u64) -> usize {
        self.directory.server_ids().filter(|id| self.presence.is_up(now_ms, *id)).count()
    }

    /// When the next epoch may begin at the earliest.
    pub(super) fn ripe_ms(&self) -> u64 {
        let start_ms = self.epoch.as_ref().map(|current| current.start.plan.start_ms);
        start_ms.map_or(0, |start_ms| start_ms.saturating_add(self.directory.params().epoch_ms))
    }

    /// When to look for a next epoch.
    pub(super) fn found_due_ms(&self) -> u64 {
        let lead_ms = lead_ms(self.attempts_failed) + self.directory.params().period_ms;
        match &self.founding {
            Some(founding) => founding.deadline_ms(),
            None => self.found_ms.max(self.ripe_ms().saturating_sub(lead_ms)),
        }
    }

    /// Ends an attempt whose time is over, and begins one when there is cause.
    pub(super) fn found_in_time(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        if self.founding.as_ref().is_some_and(|founding| now_ms >= founding.deadline_ms())
            && let Some(founding) = self.founding.take()
        {
            self.end_attempt(now_ms, &founding, out);
        }
        // A draw that an amendment overtakes is lost; both need a quorum.
        let waits = self.founding.is_some() || self.amending.is_some();
        if !waits && now_ms >= self.found_due_ms() && self.is_staffed(now_ms) {
            self.found(now_ms, out);
        }
    }

    /// The epoch that a quorum has signed at least; or those whose part is missing are struck in the next attempt.
    fn end_attempt(&mut self, now_ms: u64, founding: &Founding, out: &mut Vec<Output>) {
        if let Ok(Some((epoch, start))) = founding.finish() {
            return self.begin_epoch(now_ms, epoch, start, out);
        }
        let missing = founding.missing();
        let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
        out.push(Output::Notice(format!("an attempt at an epoch failed: nothing came from {}", names.join(", "))));
        missing.iter().for_each(|server| self.presence.lose(*server));
        self.defaulted.extend(missing);
        self.found_ms = now_ms.saturating_add(retry_ms(self.attempts_failed, self.draws_failed()));
        self.attempts_failed = self.attempts_failed.saturating_add(1);
    }

    /// Whether everybody who may be in the next epoch is up, or has had time to be.
    fn is_staffed(&self, now_ms: u64) -> bool {
        let plan = self.epoch.as_ref().map(|current| &current.start.plan);
        let out_until_ms = |id: ServerId| plan.map_or(0, |plan| plan.standings[usize::from(id.0)].out_until_ms);
        let is_there = |id| self.presence.is_up(now_ms, id) || out_until_ms(id) > now_ms;
        now_ms >= self.grace_ends_ms || self.directory.server_ids().all(is_there)
    }

    fn highest(&self, act: Act) -> Result<u64, StoreError> {
        Ok(self.marks.highest(act)?.map_or(0, |round| round.0))
    }

    /// How many draws since the last epoch have come to nothing, also before a restart.
    fn draws_failed(&self) -> u64 {
        let number = self.epoch.as_ref().map_or(0, |current| current.epoch().plan().number);
        // If the marks cannot be read no attempt is made at all.
        self.highest(Act::Epoch).map_or(0, |drawn| drawn.saturating_sub(number))
    }

    /// What an epoch begun now would be; none if too few servers are up.
    fn outline(&self, now_ms: u64) -> Result<Option<Outline>, StoreError> {
        let opened = Round(self.highest(Act::Open)?);
        let found_ms = now_ms + lead_ms(self.attempts_failed);
        let outline = match &self.epoch {
            Some(current) => Outline::after(&self.directory, &current.roster, opened, found_ms),
            None => Outline::first(&self.directory, self.marks.origin_ms()?, opened, found_ms),
        };
        let failed: BTreeSet<ServerId> = self.faulty.keys().chain(&self.defaulted).copied().collect();
        Ok(outline.staff(&self.directory, &failed, |server| self.presence.is_up(now_ms, server)))
    }

    /// Whether the epoch should give way to another: somebody was struck or is back, clients wait to be registered, or
    /// servers refuse each other.
    fn wants_epoch(&self, outline: &Outline) -> bool {
        let Some(current) = &self.epoch else { return true };
        let plan = &current.start.plan;
        let is_amended = current.roster.amendment().number > 0 || !self.faulty.is_empty();
        let somebody_is_back = outline.live.iter().any(|server| !plan.live.contains(server));
        self.unsettled || is_amended || somebody_is_back || plan.registry != self.registry
    }

    /// Begins an attempt at an epoch, if there is cause, under a number that was never drawn for before.
    fn found(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        match self.outline(now_ms) {
            Ok(Some(outline)) if self.wants_epoch(&outline) => match self.highest(Act::Epoch) {
                Ok(drawn) => {
                    let plan = outline.plan(drawn + 1, self.registry.clone());
                    let deadline_ms = now_ms + lead_ms(self.attempts_failed);
                    self.founding = Some(Founding::begin(&self.directory, plan, deadline_ms, out));
                }
                Err(error) => self.put_off(now_ms, &error, out),
            },
            Ok(_) => {
                // Nothing calls for an epoch without those who failed the last attempt: they may try again.
                self.defaulted.clear();
                self.found_ms = now_ms + retry_ms(0, 0);
            }
            Err(error) => self.put_off(now_ms, &error, out),
        }
    }

    fn put_off(&mut self, now_ms: u64, error: &StoreError, out: &mut Vec<Output>) {
        self.found_ms = now_ms + retry_ms(0, 0);
        out.push(Output::Notice(format!("no epoch can begin: {error}")));
    }

    pub(super) fn on_founding(&mut self, now_ms: u64, from: ServerId, message: Message, out: &mut Vec<Output>) {
        let Some(founding) = &mut self.founding else { return };
        match founding.on_message(&mut self.marks, from, message, out) {
            Ok(Some((epoch, start))) => self.begin_epoch(now_ms, epoch, start, out),
            Ok(None) => {}
            Err(error) => out.push(Output::Notice(format!("{from} ends this attempt at an epoch: {error}"))),
        }
    }

    fn begin_epoch(&mut self, now_ms: u64, epoch: Arc<Epoch>, start: EpochStart, out: &mut Vec<Output>) {
        let number = epoch.plan().number;
        self.count_strikes(epoch.plan());
        let roster = Arc::new(Roster::new(&self.directory, epoch));
        self.enter(Current { roster, start, amendment: None });
        self.keep(out);
        out.push(Output::Notice(format!("epoch {number} is signed")));
        self.directory.clone().server_ids().for_each(|to| self.send_epoch(now_ms, to, out));
    }

    /// Counts those who are struck from an epoch before it begins, and by no amendment.
    fn count_strikes(&mut self, plan: &EpochPlan) {
        let current = self.epoch.as_ref().map(|current| (&current.start.plan.standings, current.roster.amendment()));
        for (index, (server, standing)) in (0..).map(ServerId).zip(&plan.standings).enumerate() {
            let known = current.map_or(0, |(standings, amendment)| {
                let before = standings.get(index).map_or(0, |standing| standing.strikes);
                before.saturating_add(amendment.strikes(server).into())
            });
            if standing.strikes > known {
                let ground = self.faulty.get(&server).map_or(Ground::Silent, |fault| fault.ground);
                self.status.strikes.count(ground);
            }
        }
    }

    /// Goes on in an epoch; rounds before its first are still held in the one before.
    pub(super) fn enter(&mut self, current: Current) {
        self.ending = self.epoch.replace(current);
        self.founding = None;
        self.unsettled = false;
        self.amending = None;
        self.attempts_failed = 0;
        // Evidence does not age.
        let active = self.roster().map(Arc::clone);
        let is_active = |server| active.as_ref().is_some_and(|roster| roster.is_active(server));
        self.faulty.retain(|server, fault| fault.ground == Ground::Convicted && is_active(*server));
        self.defaulted.clear();
        self.pardoned.clear();
        self.struck_ms.clear();
    }

    pub(super) fn keep(&self, out: &mut Vec<Output>) {
        out.extend(self.epoch.as_ref().map(|current| Output::Keep(Box::new(current.state()))));
    }

    /// Hands epoch and amendment to a server, which may have forgotten them.
    pub(super) fn send_epoch(&self, now_ms: u64, to: ServerId, out: &mut Vec<Output>) {
        let until_ms = now_ms + self.directory.params().deadline_ms;
        for current in self.ending.iter().chain(&self.epoch) {
            let start = Message::EpochStart(current.start.clone());
            let amendment = current.amendment.clone().map(Message::AmendmentStart);
            let messages = [Some(start), amendment].into_iter().flatten();
            out.extend(messages.map(|message| Output::Send { to, message: Arc::new(message), until_ms }));
        }
    }
}
