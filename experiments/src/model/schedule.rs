//! What a round consists of, and what waits for what: the order of `hippodrome-core`'s machines as a graph.
//!
//! In each layer: inputs are put together, checked by all members and shown to all servers; these look for their noise and
//! confirm the layer. Meanwhile the first hop mixes. A hop lets its batch out when it is mixed, the layer is confirmed and
//! every proof before it was verified; then it makes its own proof. So proofs are off the way of the batch, but the gate of
//! the next hop waits for them. Behind the last layer replies go back the same way, hop by hop.

mod back;
mod forward;
mod opening;

use std::collections::BTreeMap;

use hippodrome_core::{
    ids::{ChainId, Layer, ServerId},
    layout::Layout,
    params::Verification,
    wire::Sizes,
};
use hippodrome_crypto::hash::Hasher;

use super::{
    costs::{Costs, Transport, nanos},
    deployment::{Deployment, Placement},
    engine::{Activity, Compute, Id, Nanos, Network, Node, What},
    work::{Units, Work},
};

/// Bytes of a message beside its records: header, commitments and signatures.
const MESSAGE: u64 = 256;

/// All rounds of a deployment.
pub(super) struct Schedule {
    pub(super) network: Network,
    pub(super) activities: Vec<Activity>,
    /// What there is to do in all rounds.
    pub(super) work: BTreeMap<Work, Units>,
    /// Core time of each server, the coordinator, and all clients.
    pub(super) cpu: Vec<Nanos>,
    /// Bytes that each of them sends to others; those of clients are not counted.
    pub(super) sent: Vec<u64>,
    /// Messages between nodes.
    pub(super) messages: u64,
    /// For each round when its collection ends, and what is over when its last reply is there.
    pub(super) rounds: Vec<(Nanos, Id)>,
}

impl Schedule {
    /// Of a deployment that was checked.
    pub(super) fn of(deployment: &Deployment, costs: &Costs) -> Self {
        let mut builder = Builder::new(deployment, costs);
        (0..deployment.rounds).for_each(|round| builder.round(round));
        builder.schedule
    }
}

struct Builder<'a> {
    deployment: &'a Deployment,
    costs: &'a Costs,
    sizes: Sizes,
    layout: Layout,
    round: u32,
    schedule: Schedule,
}

impl<'a> Builder<'a> {
    fn new(deployment: &'a Deployment, costs: &'a Costs) -> Self {
        let &Deployment { servers, layers, chains, chain_len, .. } = deployment;
        let ids: Vec<ServerId> = (0..servers).map(ServerId).collect();
        let seed = Hasher::new("hippodrome experiments layout").number(servers.into()).finish();
        let nodes = usize::from(servers) + 2;
        let schedule = Schedule {
            network: network(deployment, costs),
            activities: Vec::new(),
            work: BTreeMap::new(),
            cpu: vec![0; nodes],
            sent: vec![0; nodes],
            messages: 0,
            rounds: Vec::new(),
        };
        let layout = Layout::draw(&seed, &ids, layers, chains, chain_len);
        let sizes = Sizes::new(chain_len.into(), layers.into());
        Self { deployment, costs, sizes, layout, round: 0, schedule }
    }

    /// A round is opened one period before its collection begins.
    fn round(&mut self, round: u32) {
        self.round = round;
        let period = nanos(self.deployment.period_s);
        let opened = period.saturating_mul(round.into());
        let collecting = opened.saturating_add(period);
        let collected = collecting.saturating_add(nanos(self.deployment.collect_s));
        let begun = self.add(What::Wait(opened), &[]);
        let (checked, submitted) = self.collect(collecting, collected);
        let handed_over = self.open(begun, submitted);
        let mut inputs: Vec<Vec<Id>> = self.hand_over(handed_over, checked);
        let mut layers = Vec::new();
        for layer in 0..self.deployment.layers {
            let hops = self.layer(Layer(layer), begun, &inputs);
            inputs = self.leave(Layer(layer), &hops);
            layers.push(hops);
        }
        let delivered = self.way_back(&layers, inputs);
        self.schedule.rounds.push((collected, delivered));
    }

    // Activities.

    fn add(&mut self, what: What, after: &[Id]) -> Id {
        let id = self.schedule.activities.len() as Id;
        self.schedule.activities.push(Activity { what, waits_for: after.len() as u32, then: Vec::new() });
        after.iter().for_each(|&before| self.schedule.activities[before as usize].then.push(id));
        id
    }

    /// Over when all others are.
    fn join(&mut self, after: &[Id]) -> Id {
        self.add(What::Wait(0), after)
    }

    fn compute(&mut self, node: Node, work: Work, units: Units, after: &[Id]) -> Id {
        let (serial, parallel) = self.costs.rates(self.deployment.verification).time(work, units);
        *self.schedule.work.entry(work).or_default() += units;
        self.spend(node, work, (serial, parallel), units.records, after)
    }

    fn spend(&mut self, node: Node, work: Work, (serial, parallel): (Nanos, Nanos), records: u64, after: &[Id]) -> Id {
        self.schedule.cpu[node as usize] += serial + parallel;
        let width = records.div_ceil(self.grain(work)).clamp(1, self.deployment.cores.into()) as u32;
        self.add(What::Compute(Compute { node, work, round: self.round, serial, parallel, width }), after)
    }

    /// Records that are worth a thread of their own: sums of many points and batches of signatures are split late, since a
    /// large one takes less for each record.
    fn grain(&self, work: Work) -> u64 {
        match work {
            Work::Prepare | Work::Prove | Work::Verify => 1024,
            Work::Offer if self.deployment.verification == Verification::Aggregate => 2048,
            _ => 32,
        }
    }

    /// A message with so many bytes of records. Over when it was received.
    fn send(&mut self, from: Node, to: Node, records: u64, after: &[Id]) -> Id {
        self.send_all(from, to, Units { jobs: 1, records }, after)
    }

    /// Some messages, with so many bytes of records in all of them.
    fn send_all(&mut self, from: Node, to: Node, Units { jobs: messages, records }: Units, after: &[Id]) -> Id {
        if from == to {
            return self.join(after);
        }
        let bytes = records + messages * MESSAGE;
        self.schedule.sent[from as usize] += bytes;
        self.schedule.messages += messages;
        let received = self.add(What::Send { from, to, bytes }, after);
        let Transport { byte_s, message_s, .. } = self.costs.transport;
        match nanos(byte_s * bytes as f64 + message_s * messages as f64) {
            0 => received,
            spent => self.spend(to, Work::Machines, (spent, 0), 0, &[received]),
        }
    }

    // Who is where.

    fn coordinator(&self) -> Node {
        self.deployment.servers.into()
    }

    /// All clients, where they are on the servers' machine.
    fn clients(&self) -> Option<Node> {
        (self.deployment.placement == Placement::Together).then(|| self.coordinator() + 1)
    }

    fn servers(&self) -> std::ops::Range<Node> {
        0..self.deployment.servers.into()
    }

    fn chains(&self) -> std::ops::Range<u16> {
        0..self.deployment.chains
    }

    fn len(&self) -> usize {
        self.deployment.chain_len.into()
    }

    fn members(&self, layer: Layer, chain: u16) -> Vec<Node> {
        let members = self.layout.members(layer, ChainId(chain)).expect("all chains are drawn");
        members.iter().map(|server| Node::from(server.0)).collect()
    }

    /// Records in each chain.
    fn batch(&self) -> u64 {
        self.deployment.batch()
    }

    /// Records from one chain to another.
    fn parcel(&self) -> u64 {
        self.batch().div_ceil(self.deployment.chains.into())
    }

    fn is_last(&self, layer: Layer) -> bool {
        layer.0 + 1 == self.deployment.layers
    }
}

fn network(deployment: &Deployment, costs: &Costs) -> Network {
    let &Deployment { servers, cores, threads, placement, link, .. } = deployment;
    let machine_of = match placement {
        Placement::Apart => (0..=u32::from(servers)).collect(),
        Placement::Together => vec![0; usize::from(servers) + 2],
    };
    Network {
        machine_of,
        cores: cores.into(),
        threads: threads.into(),
        idle: costs.transport.idle,
        delay: nanos(link.delay_s + costs.transport.message_late_s),
        bits_per_s: link.bits_per_s as u64,
    }
}
