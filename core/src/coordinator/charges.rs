//! Evidence that servers show: the coordinator judges it by itself before it acts on it, in jobs that nothing else waits
//! for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{Coordinator, Output};
use crate::{
    evidence::{Case, Judged, NotProven, RoundBasis, Verdict, queue::ChargeQueue},
    ids::{Author, ClientId, Round, ServerId},
    message::{Charge, Ground, Strike},
};

/// Evidence that a server shows, to be judged away from the coordinator: that may take as long as a server needs for a
/// whole batch.
pub struct Inquiry {
    from: ServerId,
    basis: RoundBasis,
    charge: Charge,
}

/// What an [`Inquiry`] has come to; only [`Inquiry::run`] makes it.
pub struct Finding {
    from: ServerId,
    round: Round,
    basis: RoundBasis,
    judged: Judged,
}

impl Inquiry {
    /// Judges the evidence.
    pub fn run(self) -> Finding {
        let Self { from, basis, charge: Charge { round, evidence } } = self;
        let judged = Judged::new(&basis, evidence);
        Finding { from, round, basis, judged }
    }
}

impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inquiry({} about {})", self.from, self.charge.round)
    }
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Finding({} about {}: {:?})", self.from, self.round, self.judged.verdict)
    }
}

/// What was charged, and who is convicted.
#[derive(Default)]
pub(super) struct Charges {
    /// Whom a server has convicted of something in a round.
    convicted: BTreeMap<(Round, ServerId), BTreeSet<Author>>,
    /// Servers that have shown what convicts nobody new in a round, and are not heard any more about it.
    useless: BTreeSet<(Round, ServerId)>,
    queue: ChargeQueue,
    /// Clients that are refused, each in an epoch by its number.
    clients: BTreeSet<(u64, ClientId)>,
}

impl Charges {
    /// Clients that are refused in an epoch.
    pub(super) fn clients(&self, epoch: u64) -> BTreeSet<ClientId> {
        self.clients.range((epoch, ClientId(0))..=(epoch, ClientId(u32::MAX))).map(|(_, client)| *client).collect()
    }

    /// Whether there is a charge about a round that is not judged yet.
    pub(super) fn is_open(&self, round: Round) -> bool {
        self.queue.is_open(round)
    }
}

impl Coordinator {
    /// Has evidence judged about a round that is not forgotten yet.
    pub(super) fn on_charge(&mut self, from: ServerId, charge: &Charge, out: &mut Vec<Output>) {
        let Some(collecting) = self.collecting.get(&charge.round) else { return };
        let epoch = collecting.descriptor().roster().id().epoch;
        // Who takes no part has nothing to lose by false charges, and what it sees others see as well.
        let is_useless = self.charges.useless.contains(&(charge.round, from));
        if collecting.takes_part(from) && !is_useless && self.charges.queue.add(from, epoch, charge) {
            self.judge_next(from, out);
        }
    }

    /// Has the next charge of a server judged, one at a time: nobody makes the coordinator work for him alone.
    fn judge_next(&mut self, from: ServerId, out: &mut Vec<Output>) {
        let Charges { queue, useless, .. } = &mut self.charges;
        let hears =
            |charge: &Charge| self.collecting.contains_key(&charge.round) && !useless.contains(&(charge.round, from));
        let Some(charge) = queue.next(from, hears) else { return };
        let Some(collecting) = self.collecting.get(&charge.round) else { return };
        let basis = RoundBasis::new(Arc::clone(&self.directory), Arc::clone(collecting.descriptor()));
        out.push(Output::Judge(Box::new(Inquiry { from, basis, charge })));
    }

    pub(super) fn on_finding(&mut self, now_ms: u64, finding: Finding, out: &mut Vec<Output>) {
        let Finding { from, round, basis, judged: Judged { evidence, verdict } } = finding;
        if !self.charges.queue.done(from, round) {
            return;
        }
        match verdict {
            Ok(verdict) => {
                self.convict_all(now_ms, from, &basis, &verdict, out);
                out.push(Output::Evidence(Box::new(Case::new(&basis, evidence)), verdict));
            }
            Err(refused) => self.on_false_charge(now_ms, from, &basis, &refused, out),
        }
        self.judge_next(from, out);
    }

    fn convict_all(
        &mut self,
        now_ms: u64,
        from: ServerId,
        basis: &RoundBasis,
        verdict: &Verdict,
        out: &mut Vec<Output>,
    ) {
        let (round, epoch) = (basis.descriptor.round(), basis.roster.id().epoch);
        let by_it = self.charges.convicted.entry((round, from)).or_default();
        let before = by_it.len();
        by_it.extend(verdict.guilty());
        // Each charge of an honest server convicts somebody new.
        if by_it.len() == before {
            self.charges.useless.insert((round, from));
        }
        out.push(Output::Notice(format!("{round}: convicted: {verdict}")));
        for guilty in verdict.guilty() {
            match *guilty {
                Author::Client(client) => drop(self.charges.clients.insert((epoch, client))),
                Author::Server(server) => {
                    self.find_fault(now_ms, Strike { server, ground: Ground::Convicted }, out);
                }
            }
        }
    }

    /// An honest server has judged what it shows, by the same public things: who charges falsely is struck, and not heard
    /// again in the epoch.
    fn on_false_charge(
        &mut self,
        now_ms: u64,
        from: ServerId,
        basis: &RoundBasis,
        refused: &NotProven,
        out: &mut Vec<Output>,
    ) {
        self.charges.queue.lied(from, basis.roster.id().epoch);
        let round = basis.descriptor.round();
        out.push(Output::Notice(format!("{from} shows evidence about {round} that shows nothing: {refused}")));
        self.find_fault(now_ms, Strike { server: from, ground: Ground::Aborted }, out);
    }

    /// Forgets what was said about rounds that are forgotten themselves, and about epochs before the last.
    pub(super) fn forget_charges(&mut self) {
        let (collecting, charges) = (&self.collecting, &mut self.charges);
        charges.convicted.retain(|(round, _), _| collecting.contains_key(round));
        charges.useless.retain(|(round, _)| collecting.contains_key(round));
        let epoch = self.status.epoch;
        charges.clients.retain(|(number, _)| number + 1 >= epoch);
        charges.queue.forget_before(epoch.saturating_sub(1));
    }
}
