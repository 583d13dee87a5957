//! Evidence that servers show: the coordinator judges it by itself before it acts on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Coordinator, Output};
use crate::{
    evidence::{Case, RoundBasis},
    ids::{Author, ClientId, Round, ServerId},
    message::{Charge, Ground, Strike},
};

/// What was charged, and who is convicted.
#[derive(Default)]
pub(super) struct Charges {
    /// How many charges of a server about a round were judged. Each of an honest one convicts somebody new.
    heard: BTreeMap<(Round, ServerId), usize>,
    /// Clients that are refused, each in an epoch by its number.
    clients: BTreeSet<(u64, ClientId)>,
}

impl Charges {
    /// Clients that are refused in an epoch.
    pub(super) fn clients(&self, epoch: u64) -> BTreeSet<ClientId> {
        self.clients.range((epoch, ClientId(0))..=(epoch, ClientId(u32::MAX))).map(|(_, client)| *client).collect()
    }

    /// How many charges of a server about a round were judged.
    #[cfg(test)]
    pub(super) fn judged(&self, round: Round, from: ServerId) -> usize {
        self.heard.get(&(round, from)).copied().unwrap_or(0)
    }

    /// Whether another charge is heard: a server that charged falsely about a round is not heard about it again.
    fn hears(&mut self, from: ServerId, round: Round, limit: usize) -> bool {
        let heard = self.heard.entry((round, from)).or_default();
        *heard = heard.saturating_add(1);
        *heard <= limit
    }
}

impl Coordinator {
    /// Judges evidence about a round that is not forgotten yet.
    pub(super) fn on_charge(&mut self, now_ms: u64, from: ServerId, charge: &Charge, out: &mut Vec<Output>) {
        let Some(collecting) = self.collecting.get(&charge.round) else { return };
        // Who takes no part has nothing to lose by false charges, and what it sees others see as well.
        if !collecting.takes_part(from) {
            return;
        }
        let basis = RoundBasis::new(Arc::clone(&self.directory), Arc::clone(collecting.descriptor()));
        let epoch = basis.roster.id().epoch;
        // Servers that can be convicted, and a trace at each of its hops.
        let params = self.directory.params();
        let hops = usize::from(params.layers) * usize::from(params.chains) * usize::from(params.chain_len);
        if !self.charges.hears(from, charge.round, self.directory.servers().len() + hops) {
            return;
        }
        match charge.evidence.verify(&basis) {
            Ok(verdict) => {
                out.push(Output::Notice(format!("{}: convicted: {verdict}", charge.round)));
                for guilty in verdict.guilty() {
                    match *guilty {
                        Author::Client(client) => drop(self.charges.clients.insert((epoch, client))),
                        Author::Server(server) => {
                            self.find_fault(now_ms, Strike { server, ground: Ground::Convicted }, out);
                        }
                    }
                }
                let case = Case::new(&basis, Arc::clone(&charge.evidence));
                out.push(Output::Evidence(Box::new(case), verdict));
            }
            Err(refused) => {
                self.charges.heard.insert((charge.round, from), usize::MAX);
                out.push(Output::Notice(format!(
                    "{from} shows evidence about {} that shows nothing: {refused}",
                    charge.round
                )));
                // An honest server has judged what it shows, by the same public things.
                self.find_fault(now_ms, Strike { server: from, ground: Ground::Aborted }, out);
            }
        }
    }

    /// Forgets what was said about rounds that are forgotten themselves, and about epochs before the last.
    pub(super) fn forget_charges(&mut self) {
        let (collecting, charges) = (&self.collecting, &mut self.charges);
        charges.heard.retain(|(round, _), _| collecting.contains_key(round));
        let epoch = self.status.epoch;
        charges.clients.retain(|(number, _)| number + 1 >= epoch);
    }
}
