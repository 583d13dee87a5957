//! Lines between nodes.

use std::collections::BTreeMap;

use super::{Id, Nanos, Network, Node};

/// Both ends of every node's line, each busy until some time.
pub(super) struct Lines {
    delay: Nanos,
    bits_per_s: u64,
    out: Vec<Nanos>,
    into: Vec<Nanos>,
    /// Where messages go, how long they keep a line busy, and when their last byte is there at the soonest.
    under_way: BTreeMap<Id, (Node, Nanos, Nanos)>,
}

impl Lines {
    pub(super) fn new(network: &Network) -> Self {
        let &Network { delay, bits_per_s, ref machine_of, .. } = network;
        let free = vec![0; machine_of.len()];
        Self { delay, bits_per_s, out: free.clone(), into: free, under_way: BTreeMap::new() }
    }

    /// When the first byte is there.
    pub(super) fn send(&mut self, id: Id, from: Node, to: Node, bytes: u64, now: Nanos) -> Nanos {
        let busy = self.busy(bytes);
        let line = &mut self.out[from as usize];
        let begins = now.max(*line);
        *line = begins + busy;
        self.under_way.insert(id, (to, busy, begins + busy + self.delay));
        begins + self.delay
    }

    /// When the last byte is there, of a message whose first one is.
    pub(super) fn receive(&mut self, id: Id, now: Nanos) -> Nanos {
        let Some((to, busy, soonest)) = self.under_way.remove(&id) else { return now };
        let line = &mut self.into[to as usize];
        *line = (now.max(*line) + busy).max(soonest);
        *line
    }

    fn busy(&self, bytes: u64) -> Nanos {
        let bits = u128::from(bytes) * 8 * 1_000_000_000;
        bits.checked_div(u128::from(self.bits_per_s)).map_or(0, |nanos| nanos.min(u128::from(u64::MAX >> 8)) as u64)
    }
}
