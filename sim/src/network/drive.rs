//! Time goes on, and machines are given what is due.

use std::sync::Arc;

use hippodrome_core::{
    ids::{Party, ServerId},
    message::{Hello, Message},
};

use super::{
    Envelope, GREETING_MS, JOB_MS, Network, Node, What, coordinator,
    links::{Attempt, backoff_ms},
    mixer,
};

impl Network {
    /// The next thing that happens.
    pub(super) fn step(&mut self) {
        let tick = self.next_tick();
        match (self.agenda.next_ms(), tick) {
            (Some(at_ms), tick) if tick.is_none_or(|(tick_ms, _)| at_ms <= tick_ms) => {
                self.now_ms = self.now_ms.max(at_ms);
                if let Some(what) = self.agenda.pop() {
                    self.happen(what);
                }
            }
            (_, Some((tick_ms, node))) => {
                self.now_ms = self.now_ms.max(tick_ms);
                self.tick(node);
            }
            (_, None) => self.now_ms += 1,
        }
    }

    /// Whose clock is due first, and when.
    fn next_tick(&self) -> Option<(u64, Node)> {
        let servers = self.directory.server_ids().filter_map(|id| {
            let due_ms = self.mixers[usize::from(id.0)].next_tick_ms()?;
            Some((due_ms, Node::Server(id)))
        });
        let coordinator_ms = self.coordinator.next_tick_ms(self.clock_of(Node::Coordinator));
        let due = servers.chain([(coordinator_ms, Node::Coordinator)]).filter_map(|(local_ms, node)| {
            let condition = self.condition(node);
            let at_ms = condition.skew.world(local_ms).max(condition.ticked_ms + 1);
            (!condition.is_down && !condition.is_frozen).then_some((at_ms, node))
        });
        due.min()
    }

    fn tick(&mut self, node: Node) {
        self.condition_mut(node).ticked_ms = self.now_ms;
        match node {
            Node::Coordinator => self.drive_coordinator(coordinator::Input::Tick),
            Node::Server(id) => self.drive_server(id, mixer::Input::Tick),
            Node::Client(_) => {}
        }
    }

    /// The party that something happens to.
    fn node_of(what: &What) -> Option<Node> {
        match what {
            What::Arrive(envelope) => Some(envelope.to.into()),
            What::Done { server, .. } | What::Greet { server, .. } => Some(Node::Server(*server)),
            What::Hear { client, .. } | What::Submit { client, .. } | What::Ask { client, .. } => {
                Some(Node::Client(*client))
            }
            What::AtGateway { .. } | What::Judged { .. } => Some(Node::Coordinator),
            What::Fault(_) => None,
        }
    }

    pub(super) fn happen(&mut self, what: What) {
        if let Some(node) = Self::node_of(&what)
            && self.condition(node).is_frozen
        {
            return self.condition_mut(node).stalled.push(what);
        }
        match what {
            What::Arrive(envelope) => self.arrive(envelope),
            What::Done { server, life, done } => {
                if self.life(Node::Server(server)) == life {
                    self.drive_server(server, mixer::Input::Done(*done));
                }
            }
            What::Judged { life, finding } => {
                if self.life(Node::Coordinator) == life {
                    self.drive_coordinator(coordinator::Input::Judged(finding));
                }
            }
            What::Greet { server, life } => {
                if self.life(Node::Server(server)) == life {
                    self.greet(server);
                }
            }
            What::Hear { client, life, heard } => self.hear(client, life, heard),
            What::Submit { client, life, round } => self.submit(client, life, round),
            What::Ask { client, life, round } => self.ask(client, life, round),
            What::AtGateway { client, life, request, attempt } => self.at_gateway(client, life, request, attempt),
            What::Fault(fault) => self.apply(fault),
        }
    }

    /// A server says that it is there, now and regularly: a coordinator that restarted knows nobody's address.
    pub(super) fn greet(&mut self, id: ServerId) {
        let life = self.life(Node::Server(id));
        let message = Message::Hello(Hello {
            address: format!("simulated:{}", id.0),
            roster: self.mixers[usize::from(id.0)].roster_id(),
        });
        let until_ms = self.now_ms + GREETING_MS;
        self.send(Party::Server(id), Party::Coordinator, &Arc::new(message), until_ms);
        self.agenda.add(self.now_ms + GREETING_MS, What::Greet { server: id, life });
    }

    pub(super) fn drive_server(&mut self, id: ServerId, input: mixer::Input) {
        let node = Node::Server(id);
        let (now_ms, life, skew) = (self.clock_of(node), self.life(node), self.condition(node).skew);
        let mut swapped = match (self.twins.get_mut(&id), &input) {
            (Some(twin), mixer::Input::Message { from: Party::Coordinator, message }) => twin.hear(now_ms, message),
            _ => Vec::new(),
        };
        for output in self.mixers[usize::from(id.0)].handle(now_ms, input) {
            match output {
                mixer::Output::Send { to, message, until_ms } => {
                    self.send(Party::Server(id), to, &message, skew.world(until_ms));
                }
                mixer::Output::Run(job) => {
                    if let Some(counts) = job.mailboxes() {
                        self.watcher.saw(counts);
                    }
                    let done = Box::new(swapped.pop().unwrap_or(job).run());
                    self.schedule(node, JOB_MS, What::Done { server: id, life, done });
                }
                mixer::Output::Peers(_) => {}
                mixer::Output::Evidence(case, verdict) => {
                    self.watcher.judged(id, &self.directory, &case, &verdict);
                    if self.records {
                        self.cases.push((id, *case));
                    }
                }
                mixer::Output::Notice(notice) => {
                    self.watcher.noticed(id, &notice);
                    if self.records {
                        self.notices.push((id, notice));
                    }
                }
            }
        }
    }

    pub(super) fn drive_coordinator(&mut self, input: coordinator::Input) {
        let now_ms = self.clock_of(Node::Coordinator);
        let outputs = self.coordinator.handle(now_ms, input);
        self.perform(outputs);
    }

    /// Has the coordinator verify evidence against a server.
    pub fn convict(&mut self, server: ServerId) {
        let now_ms = self.clock_of(Node::Coordinator);
        let outputs = self.coordinator.convict(now_ms, server);
        self.perform(outputs);
    }

    fn perform(&mut self, outputs: Vec<coordinator::Output>) {
        for output in outputs {
            match output {
                coordinator::Output::Send { to, message, until_ms } => {
                    let until_ms = self.condition(Node::Coordinator).skew.world(until_ms);
                    self.send(Party::Coordinator, Party::Server(to), &message, until_ms);
                }
                coordinator::Output::Announced(round) => self.announced(round),
                coordinator::Output::Delivered(round) => {
                    self.completed.insert(round);
                    self.delivered(round);
                }
                coordinator::Output::Failed { round, reason } => {
                    self.failed.insert(round, reason);
                    self.round_failed(round);
                }
                coordinator::Output::Judge(inquiry) => {
                    let (life, finding) = (self.life(Node::Coordinator), Box::new(inquiry.run()));
                    self.schedule(Node::Coordinator, JOB_MS, What::Judged { life, finding });
                }
                coordinator::Output::Keep(state) => self.coordinator_state = Some(*state),
                coordinator::Output::Peers(_) | coordinator::Output::Evidence(..) => {}
                coordinator::Output::Notice(notice) => {
                    if self.records {
                        self.coordinator_notices.push(notice);
                    }
                }
            }
        }
    }

    /// Puts a message, or what the adversary makes of it, on its way.
    fn send(&mut self, from: Party, to: Party, message: &Arc<Message>, until_ms: u64) {
        self.watcher.sent(self.now_ms, from, to, message);
        match self.adversary.intercept(from, to, message) {
            None => self.post(from, to, Arc::clone(message), until_ms),
            Some(changed) => {
                changed.into_iter().for_each(|message| self.post(from, to, Arc::new(message), until_ms));
            }
        }
        for (from, to, message) in self.adversary.inject() {
            self.post(from, to, Arc::new(message), until_ms);
        }
    }

    fn post(&mut self, from: Party, to: Party, message: Arc<Message>, until_ms: u64) {
        if from == to {
            return;
        }
        if self.records {
            self.delivered.push((from, to, (*message).clone()));
        }
        let life = self.life(from.into());
        let delay_ms = self.links.delay_ms(from.into(), to.into());
        let envelope = Envelope { from, to, message, until_ms, life, attempt: 0 };
        self.schedule(from.into(), delay_ms, What::Arrive(envelope));
    }

    /// An attempt at delivery, and what follows if it fails.
    fn arrive(&mut self, envelope: Envelope) {
        let (from, to): (Node, Node) = (envelope.from.into(), envelope.to.into());
        let attempt = match self.condition(to).is_down {
            true => Attempt::Lost,
            false => self.links.attempt(from, to),
        };
        let again_ms = self.now_ms + backoff_ms(envelope.attempt);
        let tries_again = again_ms < envelope.until_ms && self.life(from) == envelope.life;
        if attempt != Attempt::Arrives && tries_again {
            let message = Arc::clone(&envelope.message);
            let again = Envelope { message, attempt: envelope.attempt + 1, ..envelope };
            self.agenda.add(again_ms, What::Arrive(again));
        }
        if attempt != Attempt::Lost {
            self.hand_in(envelope.from, envelope.to, envelope.message);
        }
    }

    fn hand_in(&mut self, from: Party, to: Party, message: Arc<Message>) {
        self.watcher.arrived(self.now_ms, from, to, &message);
        let message = Arc::unwrap_or_clone(message);
        match (from, to) {
            (Party::Server(from), Party::Coordinator) => {
                self.drive_coordinator(coordinator::Input::Message { from, message });
            }
            (from, Party::Server(to)) => self.drive_server(to, mixer::Input::Message { from, message }),
            (Party::Coordinator, Party::Coordinator) => {}
        }
    }
}
