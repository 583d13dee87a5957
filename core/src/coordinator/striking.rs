//! Striking servers from an epoch: what is wrong becomes an amendment that a quorum signs, and the next rounds go on
//! without them.
//!
//! What began before somebody was found at fault is explained by that, and nobody is judged by it. A server that was
//! restarted is pardoned what it had begun, once in an epoch: it takes part in the next round.

use std::{collections::BTreeMap, sync::Arc};

use hippodrome_crypto::signing::Signature;

use super::{Coordinator, Input, Output, opening::Opening, verdict::Heard};
use crate::{
    ids::{Round, ServerId},
    marks::{Act, Refused},
    message::{Amendment, AmendmentProposal, AmendmentSignature, AmendmentStart, Ground, Message, Strike},
    roster::Roster,
};

/// Milliseconds after which an amendment that no quorum has signed is proposed again, under the next number.
const AGAIN_MS: u64 = 2000;

/// What a server is to be struck for.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    pub(super) ground: Ground,
    pub(super) since_ms: u64,
}

/// An amendment that servers are asked to sign.
pub(super) struct Amending {
    amendment: Amendment,
    signatures: BTreeMap<ServerId, Signature>,
}

impl Coordinator {
    /// There is evidence against a server, which the caller has verified: it is struck as soon as a quorum signs.
    pub fn convict(&mut self, now_ms: u64, server: ServerId) -> Vec<Output> {
        let mut out = Vec::new();
        self.find_fault(now_ms, Strike { server, ground: Ground::Convicted }, &mut out);
        out.extend(self.handle(now_ms, Input::Tick));
        out
    }

    /// Whether a round of this roster would wait for somebody at fault.
    pub(super) fn is_held(&self, roster: &Roster) -> bool {
        let struck = self.epoch.as_ref().map(|current| current.roster.amendment());
        roster.active().iter().any(|server| {
            self.faulty.contains_key(server)
                || struck.is_some_and(|amendment| amendment.strikes(*server) && roster.id().epoch != amendment.epoch)
        })
    }

    /// What began before this explains itself.
    pub(super) fn forgive_until(&mut self, now_ms: u64) {
        self.forgiven_ms = self.forgiven_ms.max(now_ms);
    }

    /// Judges an opening that has come to nothing.
    pub(super) fn judge_opening(&mut self, now_ms: u64, opening: &Opening, out: &mut Vec<Output>) {
        // One that began late gave its servers less time than they have.
        let is_fair = opening.began_ms().saturating_add(self.directory.params().period_ms / 2) <= opening.deadline_ms();
        let began_ms = opening.began_ms();
        if is_fair && began_ms > self.forgiven_ms {
            let strikes = opening.at_fault().into_iter().map(|server| Strike { server, ground: Ground::Silent });
            self.pronounce(now_ms, began_ms, strikes.collect(), out);
        }
    }

    /// Judges a round in which something was wrong.
    pub(super) fn judge_round(&mut self, now_ms: u64, began_ms: u64, heard: &Heard, out: &mut Vec<Output>) {
        if began_ms <= self.forgiven_ms {
            return;
        }
        // Those who waited for one that was restarted say so, and are right.
        if heard.awaited_first().into_iter().any(|server| self.is_pardoned(server, began_ms, out)) {
            return;
        }
        let Some(current) = &self.epoch else { return };
        let params = self.directory.params();
        let limit = current.roster.active().len().saturating_sub(params.min_live.into());
        let strikes = heard.judge(params.bad_servers.into(), limit, &mut self.disputes);
        self.pronounce(now_ms, began_ms, strikes, out);
    }

    /// Pardons those that were restarted; the others are at fault.
    fn pronounce(&mut self, now_ms: u64, began_ms: u64, strikes: Vec<Strike>, out: &mut Vec<Output>) {
        for strike in strikes {
            if !(strike.ground == Ground::Silent && self.is_pardoned(strike.server, began_ms, out)) {
                self.find_fault(now_ms, strike, out);
            }
        }
    }

    /// Whether a server's silence in something that began before its restart is pardoned: one restart in an epoch is.
    fn is_pardoned(&mut self, server: ServerId, began_ms: u64, out: &mut Vec<Output>) -> bool {
        let Some(restarted_ms) = self.presence.restarted_ms(server).filter(|ms| *ms >= began_ms) else { return false };
        let pardoned_ms = *self.pardoned.entry(server).or_insert_with(|| {
            out.push(Output::Notice(format!("{server} was restarted: rounds that it had begun are lost")));
            restarted_ms
        });
        pardoned_ms == restarted_ms
    }

    pub(super) fn find_fault(&mut self, now_ms: u64, strike: Strike, out: &mut Vec<Output>) {
        let Strike { server, ground } = strike;
        let is_active = self.epoch.as_ref().is_some_and(|current| current.roster.is_active(server));
        let known = self.faulty.get(&server).is_some_and(|fault| fault.ground >= ground);
        if !is_active || known {
            return;
        }
        self.forgive_until(now_ms);
        if ground == Ground::Silent {
            self.presence.lose(server);
        }
        out.push(Output::Notice(format!("{server} is to be struck: {ground}")));
        self.faulty.insert(server, Fault { ground, since_ms: now_ms });
        // An amendment that leaves it out is too late.
        (self.amending, self.amend_ms) = (None, now_ms);
    }

    /// Proposes an amendment, or the next one if no quorum has signed in time. Where too few would be left, rounds wait
    /// for those at fault to be heard again, or for the next epoch.
    pub(super) fn amend(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(roster) = self.epoch.as_ref().map(|current| Arc::clone(&current.roster)) else { return };
        self.faulty.retain(|server, _| roster.is_active(*server));
        if self.faulty.is_empty() || now_ms < self.amend_ms {
            return;
        }
        self.amend_ms = now_ms + AGAIN_MS;
        self.amending = None;
        let Some(strikes) = self.strikes_that_fit(&roster) else {
            let (presence, faulty) = (&self.presence, &mut self.faulty);
            faulty.retain(|server, fault| {
                fault.ground == Ground::Convicted || !presence.heard_since(*server, fault.since_ms)
            });
            return;
        };
        match self.claim_amendment(&roster, &strikes) {
            Ok(amendment) => {
                let proposal = Message::AmendmentProposal(AmendmentProposal { amendment: amendment.clone() });
                self.to_everybody(now_ms + AGAIN_MS, proposal, out);
                self.amending = Some(Amending { amendment, signatures: BTreeMap::new() });
            }
            Err(error) => out.push(Output::Notice(format!("no amendment can be proposed: {error}"))),
        }
    }

    /// All that are at fault, or those that are convicted; none if too few would be left even so.
    fn strikes_that_fit(&self, roster: &Roster) -> Option<Vec<Strike>> {
        let least = usize::from(self.directory.params().min_live);
        let strike = |(server, fault): (&ServerId, &Fault)| Strike { server: *server, ground: fault.ground };
        let all: Vec<_> = self.faulty.iter().map(strike).collect();
        let convicted = all.iter().copied().filter(|strike| strike.ground == Ground::Convicted).collect();
        let fits = |strikes: &Vec<Strike>| !strikes.is_empty() && strikes.len() + least <= roster.active().len();
        [all, convicted].into_iter().find(fits)
    }

    /// An amendment under a number that was never used before.
    fn claim_amendment(&mut self, roster: &Roster, strikes: &[Strike]) -> Result<Amendment, Refused> {
        let claimed = self.marks.highest(Act::Amend)?;
        let mut amendment = Amendment::after(roster, roster.amendment().number + 1, strikes);
        if let Some(claimed) = claimed.filter(|claimed| *claimed >= amendment.mark()) {
            amendment.number += (claimed.0 - amendment.mark().0 + 1) as u32;
        }
        let _once = self.marks.claim(Act::Amend, amendment.mark())?;
        Ok(amendment)
    }

    /// Takes a signature; when a quorum has signed, the amendment holds for all rounds that are not announced yet.
    pub(super) fn on_amendment(
        &mut self,
        now_ms: u64,
        from: ServerId,
        message: &AmendmentSignature,
        out: &mut Vec<Output>,
    ) {
        let (Some(amending), Some(current)) = (&mut self.amending, &mut self.epoch) else { return };
        let Amending { amendment, signatures } = amending;
        let holds = amendment.verify_one(&self.directory, current.epoch(), from, &message.signature);
        if message.roster != amendment.id() || !holds {
            return;
        }
        signatures.insert(from, message.signature);
        if signatures.len() < self.directory.quorum() {
            return;
        }
        let signatures = signatures.iter().map(|(server, signature)| (*server, *signature)).collect();
        let start = AmendmentStart { amendment: amendment.clone(), signatures };
        self.amending = None;
        match current.roster.amend(&self.directory, &start) {
            Ok(roster) => {
                (current.roster, current.amendment) = (Arc::new(roster), Some(start));
                self.begin_amended(now_ms, out);
            }
            Err(error) => out.push(Output::Notice(format!("the amendment does not hold: {error}"))),
        }
    }

    fn begin_amended(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(current) = &self.epoch else { return };
        let (roster, start) = (Arc::clone(&current.roster), current.amendment.clone());
        for strike in &roster.amendment().struck {
            if let Some(fault) = self.faulty.remove(&strike.server) {
                self.struck_ms.insert(strike.server, fault.since_ms);
                self.status.strikes.count(strike.ground);
            }
        }
        let dropped: Vec<Round> = self.opening.keys().copied().collect();
        self.status.rounds_unopened += dropped.len() as u64;
        self.opening.clear();
        // A plan that was made before does not count these strikes.
        (self.founding, self.found_ms) = (None, now_ms);
        self.keep(out);
        let active = roster.active().len();
        out.push(Output::Notice(format!("{}: {active} servers are active", roster.id())));
        if let Some(start) = start {
            self.to_everybody(now_ms + self.directory.params().deadline_ms, Message::AmendmentStart(start), out);
        }
    }

    fn to_everybody(&self, until_ms: u64, message: Message, out: &mut Vec<Output>) {
        let message = Arc::new(message);
        let to = self.directory.server_ids();
        out.extend(to.map(|to| Output::Send { to, message: Arc::clone(&message), until_ms }));
    }
}
