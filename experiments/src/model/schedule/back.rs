//! The way back: replies from hop to hop, to whoever sent what they answer.

use hippodrome_core::{ids::Layer, params::Verification};

use super::{Builder, Id, Node, Units, Work, forward::Turn};

impl Builder<'_> {
    /// From the mailboxes to the coordinator; over when it has all replies, and clients have asked for them.
    pub(super) fn way_back(&mut self, layers: &[Vec<Vec<Turn>>], exchanged: Vec<Vec<Id>>) -> Id {
        let mut replies = exchanged;
        for (layer, chains) in layers.iter().enumerate().rev() {
            let layer = Layer(layer as u8);
            let ends: Vec<Id> =
                chains.iter().zip(&replies).map(|(turns, arrived)| self.chain_back(layer, turns, arrived)).collect();
            replies = match layer.0.checked_sub(1) {
                Some(before) => self.parcels_back(layer, chains, &layers[usize::from(before)], &ends),
                None => vec![self.hand_out(chains, &ends)],
            };
        }
        let handed_out: Vec<Id> = replies.into_iter().flatten().collect();
        let units = Units::messages(handed_out.len() as u64);
        let complete = self.compute(self.coordinator(), Work::Coordinator, units, &handed_out);
        self.serve_clients(&[complete])
    }

    /// One chain from its last hop to its first; over when the first has signed what it sends on.
    fn chain_back(&mut self, layer: Layer, turns: &[Turn], arrived: &[Id]) -> Id {
        let batch = self.batch();
        let mut arrived = arrived.to_vec();
        for (position, turn) in turns.iter().enumerate().rev() {
            let is_end = position + 1 == turns.len() && self.is_last(layer);
            if !is_end {
                let units = Units { jobs: arrived.len() as u64, records: batch };
                arrived = vec![self.compute(turn.node, Work::Machines, units, &arrived)];
            }
            arrived.push(turn.proved);
            let sealed = self.compute(turn.node, Work::Return, Units::job(batch), &arrived);
            let signed = self.compute(turn.node, Work::Machines, Units::job(batch), &[sealed]);
            let Some(before) = position.checked_sub(1) else { return signed };
            let bytes = batch * self.sizes.reply(layer.0.into(), position) as u64;
            arrived = vec![self.send(turn.node, turns[before].node, bytes, &[signed])];
        }
        unreachable!("the loop ends at position 0, which every chain has")
    }

    /// From each chain's first hop to the last hops of all chains of the layer before.
    fn parcels_back(&mut self, layer: Layer, chains: &[Vec<Turn>], before: &[Vec<Turn>], ends: &[Id]) -> Vec<Vec<Id>> {
        let bytes = self.parcel() * self.sizes.reply(layer.0.into(), 0) as u64;
        let mut parcels = Vec::new();
        for turns in before {
            let last = turns.last().expect("chains have members").node;
            let send = |(from, &end): (&Vec<Turn>, &Id)| self.send(from[0].node, last, bytes, &[end]);
            parcels.push(chains.iter().zip(ends).map(send).collect());
        }
        parcels
    }

    /// From the first servers of the input chains to the coordinator.
    fn hand_out(&mut self, chains: &[Vec<Turn>], ends: &[Id]) -> Vec<Id> {
        let (all, coordinator) = (self.batch() * self.sizes.reply_record as u64, self.coordinator());
        let send = |(turns, &end): (&Vec<Turn>, &Id)| self.send(turns[0].node, coordinator, all, &[end]);
        let handed_out = chains.iter().zip(ends).map(send).collect();
        if self.deployment.verification == Verification::Full && self.deployment.noise_slots > 0 {
            self.servers().for_each(|server| self.check_noise(server, chains, ends));
        }
        handed_out
    }

    /// A server gets the replies to its own noise and looks through them. Nobody waits for it.
    fn check_noise(&mut self, server: Node, chains: &[Vec<Turn>], ends: &[Id]) {
        let own = self.deployment.noise_per_chain() * self.sizes.reply(0, 0) as u64;
        let send = |(turns, &end): (&Vec<Turn>, &Id)| self.send(turns[0].node, server, own, &[end]);
        let got: Vec<Id> = chains.iter().zip(ends).map(send).collect();
        let heard = self.compute(server, Work::Machines, Units::messages(got.len() as u64), &got);
        self.compute(server, Work::Check, Units::job(self.deployment.noise_per_server()), &[heard]);
    }
}
