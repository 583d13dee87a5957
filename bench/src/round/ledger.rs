//! What a round costs, as it comes up.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Time and bytes of one round.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// Of servers and the coordinator, by what it was spent on.
    pub(super) work: BTreeMap<&'static str, Spent>,
    /// Of clients.
    pub(super) clients: Spent,
    /// Bytes between servers, and between them and the coordinator.
    pub(super) server_bytes: u64,
    /// Bytes that clients send and get.
    pub(super) client_bytes: u64,
    /// Proofs that were checked.
    pub(super) hops_verified: u64,
    /// Most memory beyond what was held before the collection ended, if the system tells.
    pub(super) peak_bytes: Option<u64>,
}

/// Time as a clock on the wall has it, and as all threads together spend it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
    }
}

impl std::iter::Sum for Spent {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let mut sum = Self::default();
        all.for_each(|spent| sum += spent);
        sum
    }
}

impl Spent {
    /// What some work takes. Nothing else may be going on in the process.
    pub(super) fn on<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let (wall, cpu) = (Instant::now(), cpu_time());
        let result = work();
        (result, Self { wall: wall.elapsed(), cpu: cpu_time().saturating_sub(cpu) })
    }
}

impl Ledger {
    /// Does some work of servers or the coordinator and notes what it took.
    pub(super) fn spend<T>(&mut self, on: &'static str, work: impl FnOnce() -> T) -> T {
        let (result, spent) = Spent::on(work);
        *self.work.entry(on).or_default() += spent;
        result
    }

    /// Does some work of clients and notes what it took.
    pub(super) fn spend_client<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (result, spent) = Spent::on(work);
        self.clients += spent;
        result
    }

    /// All work of servers and the coordinator.
    pub(super) fn total(&self) -> Spent {
        self.work.values().copied().sum()
    }
}

/// What all threads of the process have computed so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
