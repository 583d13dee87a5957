//! Which faults happen, in which order.

use std::{fmt, time::Duration};

/// Something that happens to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The coordinator is killed and started again after a moment.
    KillCoordinator,
    /// A server is killed, and started again once rounds go on without it.
    KillServer(u16),
    /// A server's time stands still for a while.
    FreezeServer(u16, Duration),
}

impl Fault {
    /// The node that it happens to.
    pub fn node(&self) -> String {
        match self {
            Self::KillCoordinator => "coordinator".into(),
            Self::KillServer(id) | Self::FreezeServer(id, _) => format!("server-{id}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillCoordinator | Self::KillServer(_) => write!(f, "kill {}", self.node()),
            Self::FreezeServer(_, span) => write!(f, "freeze {} for {} s", self.node(), span.as_secs_f64()),
        }
    }
}

/// How many faults of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How often the coordinator is killed.
    pub coordinator_kills: u16,
    /// Servers of the network.
    pub servers: u16,
    /// How many of them are killed and frozen, from the first on.
    pub servers_hit: u16,
    /// For how long they are frozen.
    pub frozen: Duration,
}

impl Schedule {
    /// Everything: each of six servers is killed and frozen for 20 s, the coordinator is killed ten times.
    pub const FULL: Self = Self { coordinator_kills: 10, servers: 6, servers_hit: 6, frozen: Duration::from_secs(20) };
    /// One fault of each kind, for those who cannot wait.
    pub const SHORT: Self = Self { coordinator_kills: 1, servers: 6, servers_hit: 1, frozen: Duration::from_secs(3) };

    /// The faults in order.
    pub fn faults(&self) -> impl Iterator<Item = Fault> + use<> {
        let Self { coordinator_kills, servers_hit, frozen, .. } = *self;
        let coordinator = (0..coordinator_kills).map(|_| Fault::KillCoordinator);
        let servers = (0..servers_hit).flat_map(move |id| [Fault::KillServer(id), Fault::FreezeServer(id, frozen)]);
        coordinator.chain(servers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_schedule_hits_every_server_in_both_ways_and_the_coordinator_ten_times() {
        let faults: Vec<Fault> = Schedule::FULL.faults().collect();
        let count = |fault: Fault| faults.iter().filter(|seen| **seen == fault).count();
        assert_eq!(count(Fault::KillCoordinator), 10);
        for id in 0..6 {
            assert_eq!(count(Fault::KillServer(id)), 1);
            assert_eq!(count(Fault::FreezeServer(id, Duration::from_secs(20))), 1);
        }
        assert_eq!(faults.len(), 22);
    }
}
