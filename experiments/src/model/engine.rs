//! Plays a graph of activities out: what runs on a machine shares its cores, what is sent waits for its turn on the line.
//!
//! Cores are shared as an operating system shares them, to the same extent by everything that can use them (max-min
//! fair); a server's pool begins no more jobs at a time than it has threads, and the oldest round's first. Lines are
//! served in the order of arrival, at both ends. A message counts as received when its last byte is there.

mod lines;
mod machines;

use std::{cmp::Reverse, collections::BinaryHeap};

use super::work::Work;
use lines::Lines;
use machines::{Machines, Task};

/// Whole nanoseconds since the first round's start.
pub(super) type Nanos = u64;

/// An activity's number in its schedule.
pub(super) type Id = u32;

/// A server; behind the last of them the coordinator, and behind it all clients.
pub(super) type Node = u32;

/// Something that takes time.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    pub(super) what: What,
    /// How many others have to be over before it begins.
    pub(super) waits_for: u32,
    /// What waits for it.
    pub(super) then: Vec<Id>,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Nothing happens but that time passes, from the first round's start or from what it waits for.
    Wait(Nanos),
    Compute(Compute),
    Send {
        from: Node,
        to: Node,
        bytes: u64,
    },
}

/// Work of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compute {
    pub(super) node: Node,
    pub(super) work: Work,
    pub(super) round: u32,
    /// On one core, before the rest.
    pub(super) serial: Nanos,
    /// On as many cores as `width`.
    pub(super) parallel: Nanos,
    pub(super) width: u32,
}

/// What activities need.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// The machine of each node.
    pub(super) machine_of: Vec<u32>,
    /// Cores of every machine.
    pub(super) cores: u32,
    /// Threads of each node's pool.
    pub(super) threads: u32,
    /// How long a core stands idle for each time that it works.
    pub(super) idle: f64,
    /// From one node to another.
    pub(super) delay: Nanos,
    /// Of each node's line, each way; 0 if there is no limit.
    pub(super) bits_per_s: u64,
}

/// What has come of it.
#[derive(Clone, Debug)]
pub(super) struct Played {
    /// When each activity was over.
    pub(super) ended: Vec<Nanos>,
    /// Core time of each machine that was used.
    pub(super) busy: Vec<Nanos>,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// An activity is over.
    Over(Id),
    /// A message's first byte is at the receiver's end of the line.
    Head(Id),
    /// Some task of a machine may be done, unless its tasks have changed since.
    Machine { machine: u32, version: u64 },
}

/// Plays all activities out. Each of them must be over in the end: the graph has no circles.
pub(super) fn run(network: &Network, activities: &[Activity]) -> Played {
    let mut engine = Engine::new(network, activities);
    for (id, activity) in (0..).zip(activities) {
        if activity.waits_for == 0 {
            engine.begin(id);
        }
    }
    while let Some(Reverse((now, _, event))) = engine.events.pop() {
        engine.now = now;
        engine.on(event);
    }
    debug_assert!(engine.waits_for.iter().all(|&others| others == 0), "every activity has begun");
    Played { ended: engine.ended, busy: engine.machines.busy() }
}

struct Engine<'a> {
    activities: &'a [Activity],
    now: Nanos,
    /// By time, then in the order in which they were foreseen.
    events: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    foreseen: u64,
    waits_for: Vec<u32>,
    ended: Vec<Nanos>,
    machines: Machines,
    lines: Lines,
}

impl<'a> Engine<'a> {
    fn new(network: &Network, activities: &'a [Activity]) -> Self {
        Self {
            activities,
            now: 0,
            events: BinaryHeap::new(),
            foreseen: 0,
            waits_for: activities.iter().map(|activity| activity.waits_for).collect(),
            ended: vec![0; activities.len()],
            machines: Machines::new(network),
            lines: Lines::new(network),
        }
    }

    fn foresee(&mut self, at: Nanos, event: Event) {
        self.events.push(Reverse((at, self.foreseen, event)));
        self.foreseen += 1;
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Over(id) => self.end(id),
            Event::Head(id) => {
                let over = self.lines.receive(id, self.now);
                self.foresee(over, Event::Over(id));
            }
            Event::Machine { machine, version } => {
                if let Some(done) = self.machines.advance(machine, version, self.now) {
                    done.into_iter().for_each(|id| self.end(id));
                    self.look_at(machine);
                }
            }
        }
    }

    fn begin(&mut self, id: Id) {
        match &self.activities[id as usize].what {
            What::Wait(time) => self.foresee(self.now + time, Event::Over(id)),
            What::Compute(compute) if compute.serial + compute.parallel == 0 => self.foresee(self.now, Event::Over(id)),
            What::Compute(compute) => {
                let machine = self.machines.add(Task::new(id, compute), self.now);
                self.look_at(machine);
            }
            &What::Send { from, to, bytes } => {
                let head = self.lines.send(id, from, to, bytes, self.now);
                self.foresee(head, Event::Head(id));
            }
        }
    }

    /// Foresees when the next task of a machine is done.
    fn look_at(&mut self, machine: u32) {
        if let Some((at, version)) = self.machines.next(machine, self.now) {
            self.foresee(at, Event::Machine { machine, version });
        }
    }

    fn end(&mut self, id: Id) {
        self.ended[id as usize] = self.now;
        let activities = self.activities;
        for &next in &activities[id as usize].then {
            self.waits_for[next as usize] -= 1;
            if self.waits_for[next as usize] == 0 {
                self.begin(next);
            }
        }
    }
}
