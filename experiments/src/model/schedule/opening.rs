//! Until the submissions are handed over: keys, noise, the collection.

use hippodrome_core::{ids::Layer, params::Verification};

use super::{Builder, Id, MESSAGE, Nanos, Node, Units, What, Work, nanos};

/// Bytes of a hop's keys with their proofs.
const HOP_KEYS: u64 = 192;
/// Bytes of a signature.
const SIGNATURE: u64 = 64;

impl Builder<'_> {
    /// The collection; over when it has ended and the coordinator has checked all submissions.
    pub(super) fn submit(&mut self, collecting: Nanos, collected: Nanos) -> Id {
        let (messages, wraps) = (self.deployment.messages, self.wraps());
        let mut submitted = self.add(What::Wait(collecting), &[]);
        if let Some(clients) = self.clients() {
            submitted = self.compute(clients, Work::Wrap, Units::job(messages * wraps), &[submitted]);
        }
        let asked = self.serve_clients(&[submitted]);
        let admitted = self.compute(self.coordinator(), Work::Admit, Units::job(messages), &[asked]);
        let ended = self.add(What::Wait(collected), &[]);
        self.join(&[admitted, ended])
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

    /// What the first server of each input chain waits for.
    pub(super) fn hand_over(&mut self, ready: Id) -> Vec<Vec<Id>> {
        let bytes = self.batch() * self.sizes.submission as u64;
        let chains: Vec<u16> = self.chains().collect();
        let hand_over = |chain| {
            let first = self.members(Layer(0), chain)[0];
            vec![self.send(self.coordinator(), first, bytes, &[ready])]
        };
        chains.into_iter().map(hand_over).collect()
    }
}
