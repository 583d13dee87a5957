//! From a layer's inputs to the end of its chains.

use hippodrome_core::{ids::Layer, params::Verification};

use super::{Builder, Id, Node, Units, Work};

/// Bytes of a key's fingerprint.
const FINGERPRINT: u64 = 4;
/// Bytes of a key.
const KEY: u64 = 32;
/// Bytes of what the coordinator is told of each record of an input.
const RECEIPT: u64 = 39;
/// Records in a row of a shuffle proof.
const ROW: u64 = 4096;

/// An input that all members have signed.
struct Input {
    /// At the first server: the batch, ready to be mixed.
    assembled: Id,
    /// At each other member: the list of keys.
    offered: Vec<Id>,
    /// At each server: everything.
    shown: Vec<Id>,
}

/// One hop's turn.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub(super) node: Node,
    /// The batch is let out.
    pub(super) released: Id,
    /// The proof is made, if one is; without it no reply can be sealed.
    pub(super) proved: Id,
}

impl Builder<'_> {
    /// One layer from its inputs' arrival; gives the turns of each chain.
    pub(super) fn layer(&mut self, layer: Layer, begun: Id, arrived: &[Vec<Id>]) -> Vec<Vec<Turn>> {
        let inputs: Vec<Input> =
            self.chains().zip(arrived).map(|(chain, arrived)| self.input(layer, chain, arrived)).collect();
        let confirmed = self.confirm(layer, &inputs);
        self.chains().zip(&inputs).map(|(chain, input)| self.chain(layer, chain, begun, input, &confirmed)).collect()
    }

    fn input(&mut self, layer: Layer, chain: u16, arrived: &[Id]) -> Input {
        let (batch, members) = (self.batch(), self.members(layer, chain));
        let (first, others) = (members[0], &members[1..]);
        let heard = self.compute(first, Work::Machines, Units::messages(arrived.len() as u64), arrived);
        // Most of what clients send was checked while they sent it.
        let left = if layer == Layer(0) { self.late() } else { batch };
        let assembled = self.compute(first, Work::Assemble, Units::job(left), &[heard]);
        let entries = batch * self.sizes.entry(layer.0.into()) as u64;
        let (mut offered, mut signed) = (Vec::new(), vec![assembled]);
        for &member in others {
            let offer = self.send(first, member, entries, &[assembled]);
            let checked = self.compute(member, Work::Offer, Units::job(batch), &[offer]);
            offered.push(checked);
            signed.push(self.send(member, first, 0, &[checked]));
        }
        let agreed = self.compute(first, Work::Machines, Units::messages(others.len() as u64 + 1), &signed);
        self.tell_coordinator(layer, first, agreed);
        let shown = self.servers().map(|server| self.show(layer, first, server, agreed)).collect();
        Input { assembled, offered, shown }
    }

    /// The leaves of an input of the first layer, so that clients can be shown theirs. No round waits for it.
    fn tell_coordinator(&mut self, layer: Layer, first: Node, agreed: Id) {
        if layer == Layer(0) {
            let (batch, coordinator) = (self.batch(), self.coordinator());
            let told = self.send(first, coordinator, batch * RECEIPT, &[agreed]);
            self.compute(coordinator, Work::Coordinator, Units::job(batch), &[told]);
        }
    }

    fn show(&mut self, layer: Layer, first: Node, server: Node, agreed: Id) -> Id {
        let list = if layer == Layer(0) { 0 } else { self.batch() * FINGERPRINT };
        self.send(first, server, list + 64 * u64::from(self.deployment.chain_len), &[agreed])
    }

    /// Every server looks for its noise, which it can in later layers, and signs; gives when each has heard all others.
    fn confirm(&mut self, layer: Layer, inputs: &[Input]) -> Vec<Id> {
        let chains = u64::from(self.deployment.chains);
        let searched = Units::job(self.deployment.noise_per_server() + chains * self.batch());
        let mut signed = Vec::new();
        for server in self.servers() {
            let shown: Vec<Id> = inputs.iter().map(|input| input.shown[server as usize]).collect();
            let heard = self.compute(server, Work::Machines, Units::messages(chains), &shown);
            let is_searched = layer > Layer(0);
            signed.push(if is_searched { self.compute(server, Work::Receipts, searched, &[heard]) } else { heard });
        }
        self.exchange_signatures(&signed)
    }

    /// All to all: each hears the last one to sign a delay later, so that the last ones stand for all that it gets.
    fn exchange_signatures(&mut self, signed: &[Id]) -> Vec<Id> {
        let (all, servers) = (self.join(signed), self.deployment.servers);
        let others = u64::from(servers) - 1;
        let hear = |server: Node| {
            let other = (server + 1) % Node::from(servers);
            let heard = self.send_all(other, server, Units::messages(others), &[all]);
            self.compute(server, Work::Machines, Units::messages(others), &[heard])
        };
        (0..servers.into()).map(hear).collect()
    }

    fn chain(&mut self, layer: Layer, chain: u16, begun: Id, input: &Input, confirmed: &[Id]) -> Vec<Turn> {
        let (batch, members) = (self.batch(), self.members(layer, chain));
        let mut turns: Vec<Turn> = Vec::new();
        // Of each hop so far, for each member behind it: when proof and keys are there.
        let mut proofs: Vec<Vec<Id>> = Vec::new();
        for (position, &node) in members.iter().enumerate() {
            let received = match turns.last() {
                None => input.assembled,
                Some(before) => self.receive_batch(layer, position, before, node),
            };
            let prepared = self.prepare_hop(node, position, begun);
            let before_mixing: Vec<Id> = [received].into_iter().chain(prepared).collect();
            let mixed = self.compute(node, Work::Mix, Units::job(batch), &before_mixing);
            let mut gate = vec![mixed, confirmed[node as usize]];
            gate.extend(self.verify_upstream(&proofs, input, position, received, node));
            let released = self.join(&gate);
            let proved = self.prove(position, node, released);
            turns.push(Turn { node, released, proved });
            proofs.push(self.send_proofs(&members, position, proved));
        }
        turns
    }

    /// The batch of the hop before, decoded.
    fn receive_batch(&mut self, layer: Layer, position: usize, before: &Turn, node: Node) -> Id {
        let bytes = self.batch() * self.sizes.record(layer.0.into(), position) as u64;
        let batch = self.send(before.node, node, bytes, &[before.released]);
        let heard = self.compute(node, Work::Machines, Units::messages(1), &[batch]);
        self.compute(node, Work::Decode, Units::job(self.batch()), &[heard])
    }

    fn proves(&self, position: usize) -> bool {
        self.deployment.verification != Verification::None && position + 1 < self.len()
    }

    fn prove(&mut self, position: usize, node: Node, released: Id) -> Id {
        let batch = self.batch();
        if self.proves(position) { self.compute(node, Work::Prove, Units::job(batch), &[released]) } else { released }
    }

    /// Sends a proof to all members behind; the next has the keys in its batch. Gives when it is there, with the keys.
    fn send_proofs(&mut self, members: &[Node], position: usize, proved: Id) -> Vec<Id> {
        if !self.proves(position) {
            return Vec::new();
        }
        let (proof, keys) = (self.proof(), self.batch() * KEY);
        let send = |(distance, &member): (usize, &Node)| {
            let bytes = if distance == 0 { proof } else { proof + keys };
            self.send(members[position], member, bytes, &[proved])
        };
        members[position + 1..].iter().enumerate().map(send).collect()
    }

    /// A hop verifies the proofs of all before it, each when its two lists of keys are there.
    fn verify_upstream(
        &mut self,
        proofs: &[Vec<Id>],
        input: &Input,
        position: usize,
        received: Id,
        node: Node,
    ) -> Vec<Id> {
        let (mut verified, mut entering) = (Vec::new(), position.checked_sub(1).map(|other| input.offered[other]));
        for (before, arrived) in proofs.iter().enumerate() {
            let Some(&arrived) = arrived.get(position - before - 1) else { continue };
            let leaving = if before + 1 == position { received } else { arrived };
            let lists: Vec<Id> = [arrived, leaving].into_iter().chain(entering).collect();
            let heard = self.compute(node, Work::Machines, Units::messages(1), &lists);
            verified.push(self.compute(node, Work::Verify, Units::job(self.batch()), &[heard]));
            entering = Some(leaving);
        }
        verified
    }

    fn proof(&self) -> u64 {
        let batch = self.batch();
        match self.deployment.verification {
            Verification::Full => 32 * (2 * batch + 7 * batch.div_ceil(ROW) + 2),
            Verification::Aggregate => 64,
            Verification::None => 0,
        }
    }

    /// What the next layer's first servers, or the ends of the last layer's chains, wait for.
    pub(super) fn leave(&mut self, layer: Layer, chains: &[Vec<Turn>]) -> Vec<Vec<Id>> {
        let batch = Units::job(self.batch());
        if self.is_last(layer) {
            let exchange = |turns: &Vec<Turn>| {
                let last = turns.last().expect("chains have members");
                vec![self.compute(last.node, Work::Exchange, batch, &[last.released])]
            };
            return chains.iter().map(exchange).collect();
        }
        let next = Layer(layer.0 + 1);
        let bytes = self.parcel() * self.sizes.parcel_record(next.0.into()) as u64;
        let mut parcels = vec![Vec::new(); chains.len()];
        for turns in chains {
            let last = turns.last().expect("chains have members");
            let sorted = self.compute(last.node, Work::Distribute, batch, &[last.released]);
            for destination in self.chains() {
                let first = self.members(next, destination)[0];
                parcels[usize::from(destination)].push(self.send(last.node, first, bytes, &[sorted]));
            }
        }
        parcels
    }
}
