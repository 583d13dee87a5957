//! Machines, and what runs on them.

use std::collections::BTreeMap;

use super::{Compute, Id, Nanos, Network, Node};

/// Parts of a core that are shared out, if it never stands idle.
const CORE: u128 = 1 << 20;

/// Work that is to be done, or being done.
#[derive(Clone, Debug)]
pub(super) struct Task {
    id: Id,
    node: Node,
    lane: Lane,
    round: u32,
    /// Core time on one core, then on several; each in parts of a core.
    left: [u128; 2],
    width: u32,
    /// Parts of a core that it has now.
    rate: u128,
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// The thread of the machine that a server is.
    Machine,
    /// The pool of threads for jobs.
    Pool,
}

impl Task {
    pub(super) fn new(id: Id, compute: &Compute) -> Self {
        let Compute { node, work, round, serial, parallel, width } = *compute;
        let lane = if work.is_of_machine() { Lane::Machine } else { Lane::Pool };
        let left = [serial, parallel].map(|nanos| u128::from(nanos) * CORE);
        Self { id, node, lane, round, left, width: width.max(1), rate: 0 }
    }

    /// Which part is under way: on one core, or on several.
    fn part(&self) -> usize {
        usize::from(self.left[0] == 0)
    }

    /// Most cores that it can use.
    fn most(&self) -> u32 {
        if self.part() == 0 { 1 } else { self.width }
    }

    fn is_done(&self) -> bool {
        self.left == [0, 0]
    }

    fn advance(&mut self, time: Nanos) {
        let part = self.part();
        self.left[part] = self.left[part].saturating_sub(self.rate * u128::from(time));
    }

    /// How long the part that is under way still takes.
    fn time_left(&self) -> Nanos {
        self.left[self.part()].div_ceil(self.rate.max(1)).min(u128::from(u64::MAX >> 8)) as u64
    }
}

/// All machines.
pub(super) struct Machines {
    machine_of: Vec<u32>,
    cores: Cores,
    threads: u32,
    all: Vec<Machine>,
}

/// The cores of a machine.
#[derive(Clone, Copy)]
struct Cores {
    count: u32,
    /// Parts of each that are shared out.
    parts: u128,
}

#[derive(Default)]
struct Machine {
    running: Vec<Task>,
    /// By node and who does it; then by round, and in the order in which they came.
    waiting: BTreeMap<(Node, Lane), BTreeMap<(u32, u64), Task>>,
    under_way: BTreeMap<(Node, Lane), u32>,
    came: u64,
    since: Nanos,
    version: u64,
    busy: u128,
}

impl Machines {
    pub(super) fn new(network: &Network) -> Self {
        let count = network.machine_of.iter().max().map_or(0, |&last| last as usize + 1);
        let all = (0..count).map(|_| Machine::default()).collect();
        let cores = Cores { count: network.cores, parts: (CORE as f64 / (1.0 + network.idle)) as u128 };
        Self { machine_of: network.machine_of.clone(), cores, threads: network.threads, all }
    }

    /// Takes a task in, which begins at once if its node has a thread for it. Gives the machine.
    pub(super) fn add(&mut self, task: Task, now: Nanos) -> u32 {
        let index = self.machine_of[task.node as usize];
        let (threads, cores) = (self.threads, self.cores);
        let machine = &mut self.all[index as usize];
        machine.pass(now);
        let place = (task.node, task.lane);
        machine.waiting.entry(place).or_default().insert((task.round, machine.came), task);
        machine.came += 1;
        machine.fill(place, threads);
        machine.share(cores);
        index
    }

    /// Lets time pass on a machine, and gives the tasks that are done; none if its tasks have changed since that was
    /// foreseen.
    pub(super) fn advance(&mut self, index: u32, version: u64, now: Nanos) -> Option<Vec<Id>> {
        let (threads, cores) = (self.threads, self.cores);
        let machine = &mut self.all[index as usize];
        if machine.version != version {
            return None;
        }
        machine.pass(now);
        let (done, running) = std::mem::take(&mut machine.running).into_iter().partition(Task::is_done);
        machine.running = running;
        let done: Vec<Task> = done;
        for task in &done {
            let place = (task.node, task.lane);
            machine.under_way.entry(place).and_modify(|count| *count -= 1);
            machine.fill(place, threads);
        }
        machine.share(cores);
        Some(done.into_iter().map(|task| task.id).collect())
    }

    /// When the next part of a task is done, and of which version of the machine's tasks that holds.
    pub(super) fn next(&self, index: u32, now: Nanos) -> Option<(Nanos, u64)> {
        let machine = &self.all[index as usize];
        machine.running.iter().map(Task::time_left).min().map(|left| (now + left, machine.version))
    }

    /// Core time of each machine that was used.
    pub(super) fn busy(&self) -> Vec<Nanos> {
        self.all.iter().map(|machine| (machine.busy / CORE) as u64).collect()
    }
}

impl Machine {
    fn pass(&mut self, now: Nanos) {
        let time = now - self.since;
        for task in &mut self.running {
            let before: u128 = task.left.iter().sum();
            task.advance(time);
            self.busy += before - task.left.iter().sum::<u128>();
        }
        self.since = now;
    }

    /// Begins tasks of a node while there are threads for them.
    fn fill(&mut self, place: (Node, Lane), threads: u32) {
        let most = if place.1 == Lane::Machine { 1 } else { threads };
        let (waiting, under_way) = (self.waiting.entry(place).or_default(), self.under_way.entry(place).or_default());
        while *under_way < most
            && let Some((_, mut task)) = waiting.pop_first()
        {
            task.width = task.width.min(threads);
            *under_way += 1;
            self.running.push(task);
        }
    }

    /// Shares the cores: who can use least first, each no more than its share of what is left.
    fn share(&mut self, Cores { count, parts }: Cores) {
        self.version += 1;
        self.running.sort_by_key(|task| (task.most(), task.id));
        let (mut left, mut sharers) = (u128::from(count) * parts, self.running.len() as u128);
        for task in &mut self.running {
            task.rate = (u128::from(task.most()) * parts).min(left / sharers);
            left -= task.rate;
            sharers -= 1;
        }
    }
}
