//! Until the submissions are handed over: keys, noise, the collection.

use hippodrome_core::{ids::Layer, params::Verification};

use super::{Builder, Id, MESSAGE, Nanos, Node, Units, What, Work, nanos};

/// Bytes of a hop's keys with their proofs.
const HOP_KEYS: u64 = 192;
/// Parts in which submissions go to the first servers.
const PARTS: u64 = 8;
/// Bytes of a signature.
const SIGNATURE: u64 = 64;

impl Builder<'_> {
    /// The collection. Submissions come evenly, pass the gate, and go to the first servers in parts, which check all but the
    /// last of them meanwhile. Gives each chain's checks, and when the gate has let the last one through.
    pub(super) fn collect(&mut self, collecting: Nanos, collected: Nanos) -> (Vec<Vec<Id>>, Id) {
        let mut admitted = self.add(What::Wait(collecting), &[]);
        if let Some(clients) = self.clients() {
            let wrapped = Units::job(self.deployment.messages * self.wraps());
            admitted = self.compute(clients, Work::Wrap, wrapped, &[admitted]);
        }
        admitted = self.serve_clients(&[admitted]);
        let mut checked = vec![Vec::new(); self.deployment.chains.into()];
        for part in 0..PARTS {
            let records = share(self.deployment.messages, part);
            let units = Units { jobs: u64::from(part == 0), records };
            admitted = self.compute(self.coordinator(), Work::Admit, units, &[admitted]);
            if part + 1 < PARTS {
                let due = collecting + (collected - collecting) / PARTS * (part + 1);
                let due = self.add(What::Wait(due), &[]);
                let ready = self.join(&[admitted, due]);
                self.hand_over_part(part, ready, &mut checked);
            }
        }
        let ended = self.add(What::Wait(collected), &[]);
        (checked, self.join(&[admitted, ended]))
    }

    fn hand_over_part(&mut self, part: u64, ready: Id, checked: &mut [Vec<Id>]) {
        let records = share(self.of_clients(), part);
        for (chain, checked) in self.chains().zip(checked) {
            let first = self.members(Layer(0), chain)[0];
            let sent = self.send(self.coordinator(), first, records * self.sizes.submission as u64, &[ready]);
            checked.push(self.compute(first, Work::Assemble, Units { jobs: 0, records }, &[sent]));
        }
    }

    /// Clients' records of each chain.
    fn of_clients(&self) -> u64 {
        self.deployment.messages / u64::from(self.deployment.chains)
    }

    /// Records of each chain that are checked before the collection is over.
    fn early(&self) -> u64 {
        self.of_clients() - share(self.of_clients(), PARTS - 1)
    }

    /// Records of each chain that come with the last part.
    pub(super) fn late(&self) -> u64 {
        self.batch() - self.early()
    }

    /// One request of each client at the coordinator, on as many cores as there are.
    pub(super) fn serve_clients(&mut self, after: &[Id]) -> Id {
        let clients = self.deployment.clients;
        let spent = nanos(self.costs.transport.client_s * clients as f64 / 2.0);
        self.spend(self.coordinator(), Work::Coordinator, (0, spent), clients, after)
    }

    /// Hops that a record is wrapped for.
    fn wraps(&self) -> u64 {
        u64::from(self.deployment.layers) * u64::from(self.deployment.chain_len)
    }

    /// What servers do before the submissions are handed over; over when all is there.
    pub(super) fn open(&mut self, begun: Id, submitted: Id) -> Id {
        let mut ready = vec![submitted];
        for server in self.servers() {
            ready.push(self.prepare_server(server, begun));
        }
        self.join(&ready)
    }

    /// A server's keys and noise; over when the coordinator has its noise.
    fn prepare_server(&mut self, server: Node, begun: Id) -> Id {
        let turns = self.layout.turns().filter(|(_, member)| Node::from(member.0) == server).count() as u64;
        let hops = turns * u64::from(self.deployment.chain_len);
        let keyed = self.compute(server, Work::Keying, Units { jobs: 1, records: hops }, &[begun]);
        let fixed = nanos(self.costs.transport.server_round_s);
        let keyed = self.spend(server, Work::Keying, (fixed, 0), 0, &[keyed]);
        let coordinator = self.coordinator();
        let keys = self.send(server, coordinator, turns * HOP_KEYS, &[begun]);
        let all = u64::from(self.deployment.layers) * u64::from(self.deployment.chains);
        let descriptor =
            all * u64::from(self.deployment.chain_len) * HOP_KEYS + u64::from(self.deployment.servers) * SIGNATURE;
        self.send(coordinator, server, descriptor, &[keys]);
        let wraps = self.wraps();
        let own = self.deployment.noise_per_server();
        let noise = self.compute(server, Work::Noise, Units::job(own * wraps), &[keyed]);
        let bytes = own * self.sizes.submission as u64 + u64::from(self.deployment.chains) * MESSAGE;
        self.send(server, coordinator, bytes, &[noise])
    }

    /// The offline part of a hop's proof, if it will make one.
    pub(super) fn prepare_hop(&mut self, node: Node, position: usize, begun: Id) -> Option<Id> {
        let proves = self.deployment.verification == Verification::Full && position + 1 < self.len();
        let batch = self.batch();
        proves.then(|| self.compute(node, Work::Prepare, Units::job(batch), &[begun]))
    }

    /// Hands the last parts over. Gives what the first server of each input chain waits for.
    pub(super) fn hand_over(&mut self, ready: Id, checked: Vec<Vec<Id>>) -> Vec<Vec<Id>> {
        let bytes = self.late() * self.sizes.submission as u64;
        let hand_over = |(chain, mut checked): (u16, Vec<Id>)| {
            let first = self.members(Layer(0), chain)[0];
            checked.push(self.send(self.coordinator(), first, bytes, &[ready]));
            checked
        };
        (0..).zip(checked).map(hand_over).collect()
    }
}

/// One part of so many records, the last of which may be smaller.
fn share(records: u64, part: u64) -> u64 {
    let each = records.div_ceil(PARTS);
    each.min(records.saturating_sub(part * each))
}
