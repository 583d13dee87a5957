//! What goes wrong in a network without anybody's ill will.

use std::mem;

use hippodrome_core::ids::ServerId;

use super::{Network, Node, What, clock::Skew, links::LinkQuality};

/// A fault, or its end.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The process dies: everything but what is on its disk is lost.
    Crash(Node),
    /// A new process in place of one that died; of one that lives, in its place.
    Restart(Node),
    /// The process stops as it is; what comes waits.
    Freeze(Node),
    /// It goes on where it stopped.
    Thaw(Node),
    /// Everything that it does takes so many milliseconds longer.
    Slow(Node, u64),
    /// Its clock is ahead by so many milliseconds; behind, if negative.
    Skew(Node, i64),
    /// No byte passes between the two.
    Cut(Node, Node),
    /// Bytes pass again.
    Heal(Node, Node),
    /// No mark can be written.
    FillDisk(Node),
    /// Marks can be written again.
    EmptyDisk(Node),
    /// How all links behave from now on.
    Links(LinkQuality),
}

impl Network {
    /// Lets a fault happen after a while.
    pub fn schedule_fault(&mut self, after_ms: u64, fault: Fault) {
        self.agenda.add(self.now_ms + after_ms, What::Fault(fault));
    }

    /// Restarts a server: everything but its durable marks is lost.
    pub fn restart_server(&mut self, id: ServerId) {
        self.apply(Fault::Restart(Node::Server(id)));
    }

    /// Lets a fault happen now.
    pub fn apply(&mut self, fault: Fault) {
        match fault {
            Fault::Crash(node) => self.crash(node),
            Fault::Restart(node) => self.restart(node),
            Fault::Freeze(node) => self.condition_mut(node).is_frozen = true,
            Fault::Thaw(node) => self.thaw(node),
            Fault::Slow(node, slow_ms) => self.condition_mut(node).slow_ms = slow_ms,
            Fault::Skew(node, ahead_ms) => self.condition_mut(node).skew = Skew(ahead_ms),
            Fault::Cut(one, other) => self.links.cut(one, other),
            Fault::Heal(one, other) => {
                self.links.heal(one, other);
                [one, other].into_iter().for_each(|node| self.reconnect(node));
            }
            Fault::FillDisk(node) => self.set_disk_full(node, true),
            Fault::EmptyDisk(node) => self.set_disk_full(node, false),
            Fault::Links(quality) => self.links.quality = quality,
        }
    }

    fn crash(&mut self, node: Node) {
        let condition = self.condition_mut(node);
        condition.is_down = true;
        condition.is_frozen = false;
        condition.life += 1;
        condition.stalled.clear();
    }

    fn restart(&mut self, node: Node) {
        self.crash(node);
        self.condition_mut(node).is_down = false;
        match node {
            Node::Server(id) => {
                self.mixers[usize::from(id.0)] = self.new_mixer(id);
                self.watcher.restarted(id);
                self.greet(id);
            }
            Node::Coordinator => {
                self.coordinator = self.new_coordinator();
                (0..self.seats.len()).for_each(|client| self.connect(client));
            }
            Node::Client(index) => {
                self.seats[index].restart();
                self.connect(index);
            }
        }
    }

    fn thaw(&mut self, node: Node) {
        let condition = self.condition_mut(node);
        condition.is_frozen = false;
        let stalled = mem::take(&mut condition.stalled);
        stalled.into_iter().for_each(|what| self.happen(what));
    }

    fn reconnect(&mut self, node: Node) {
        if let Node::Client(index) = node {
            self.connect(index);
        }
    }

    fn set_disk_full(&self, node: Node, full: bool) {
        match node {
            Node::Server(id) => self.server_disks[usize::from(id.0)].set_full(full),
            Node::Coordinator => self.coordinator_disk.set_full(full),
            Node::Client(index) => self.seats[index].disk.set_full(full),
        }
    }
}
