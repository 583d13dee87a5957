//! Between clients and the coordinator: announcements, submissions through the same checks that the real ones pass, and
//! replies.

use std::sync::Arc;

use hippodrome_core::{
    descriptor::RoundView,
    ids::{ChainId, Round},
    participant::Inclusion,
};

use super::{
    Network, Node, What,
    links::{Attempt, backoff_ms},
    seat::Submitted,
};
use crate::client::SightKind;

/// What a client hears from the coordinator.
pub(super) enum Heard {
    /// A round may be submitted to.
    Announced(Arc<RoundView>),
    /// The replies of a round may be fetched.
    Delivered(Round),
    /// A round is over without replies, or the client's part in it is.
    Lost(Round),
    /// What was fetched; none if the coordinator has nothing for this client.
    Replies(Round, Option<Vec<u8>>, Option<Box<Inclusion>>),
}

/// What a client asks of the coordinator.
#[derive(Clone)]
pub(super) enum Request {
    Submit(Submitted),
    Fetch { round: Round, until_ms: u64 },
}

/// Milliseconds after the deadline for which a client asks for replies.
const FETCH_GRACE_MS: u64 = 2000;

impl Network {
    pub(super) fn announced(&mut self, round: Round) {
        let Some(roster) = self.coordinator.roster_of(round) else { return };
        self.watcher.announced(round, roster);
        if let Some(digest) = self.coordinator.descriptor_digest(round) {
            self.adversary.announced(round, &digest, roster);
        }
        let is_redrawn = self.newest_roster.as_ref().is_some_and(|before| before.id().epoch != roster.id().epoch);
        if is_redrawn && self.redrawn_ms.is_none() {
            self.redrawn_ms = Some(roster.epoch().plan().start_ms);
        }
        self.newest_roster = Some(Arc::clone(roster));
        (0..self.seats.len()).for_each(|client| self.tell_round(client, round));
        self.views.retain(|(other, _), _| other.0 + 8 > round.0);
    }

    /// Tells a client of a round, with the keys for its chain.
    fn tell_round(&mut self, client: usize, round: Round) {
        let Some(roster) = self.coordinator.roster_of(round) else { return };
        let Some(chain) = self.seats[client].chain(&self.directory, roster) else { return };
        if let Some(view) = self.view(round, chain) {
            self.tell(client, Heard::Announced(view));
        }
    }

    /// The keys of a round for one chain, verified once for all clients, as those of one process do.
    fn view(&mut self, round: Round, chain: ChainId) -> Option<Arc<RoundView>> {
        if let Some(view) = self.views.get(&(round, chain)) {
            return Some(Arc::clone(view));
        }
        let view = self.coordinator.view(round, chain)?;
        let roster = self.coordinator.roster_of(round)?;
        let view = Arc::new(view.verify(&self.directory, roster, chain).expect("all active servers have signed"));
        self.views.insert((round, chain), Arc::clone(&view));
        Some(view)
    }

    pub(super) fn delivered(&mut self, round: Round) {
        (0..self.seats.len()).for_each(|client| self.tell(client, Heard::Delivered(round)));
    }

    pub(super) fn round_failed(&mut self, round: Round) {
        (0..self.seats.len()).for_each(|client| self.tell(client, Heard::Lost(round)));
    }

    fn tell(&mut self, client: usize, heard: Heard) {
        let node = Node::Client(client);
        if self.links.is_cut(Node::Coordinator, node) || self.condition(node).is_down {
            return;
        }
        let (delay_ms, life) = (self.links.delay_ms(Node::Coordinator, node), self.life(node));
        self.schedule(Node::Coordinator, delay_ms, What::Hear { client, life, heard });
    }

    /// A client that connects hears of the rounds that are open.
    pub(super) fn connect(&mut self, client: usize) {
        let open = self.coordinator.open_rounds(self.clock_of(Node::Coordinator));
        open.into_iter().for_each(|round| self.tell_round(client, round));
    }

    pub(super) fn hear(&mut self, client: usize, life: u32, heard: Heard) {
        let node = Node::Client(client);
        if self.life(node) != life || self.condition(node).is_down {
            return;
        }
        let now_ms = self.now_ms;
        let seat = &mut self.seats[client];
        match heard {
            Heard::Announced(view) => self.plan(client, view),
            Heard::Delivered(round) => self.ask(client, life, round),
            Heard::Lost(round) => {
                seat.forget(round);
                seat.open(round, None);
            }
            Heard::Replies(round, replies, inclusion) => {
                let bytes = replies.as_ref().map_or(0, Vec::len);
                seat.saw(now_ms, round, SightKind::Replies, bytes);
                if replies.is_some() {
                    seat.check_inclusion(&self.directory, round, inclusion.as_deref());
                }
                seat.open(round, replies.as_deref());
            }
        }
    }

    fn plan(&mut self, client: usize, view: Arc<RoundView>) {
        let (round, node) = (view.round(), Node::Client(client));
        let (skew, life) = (self.condition(node).skew, self.life(node));
        let seat = &mut self.seats[client];
        if seat.chain(&self.directory, view.roster()) != Some(view.chain()) {
            return;
        }
        if let Some(dues) = seat.hear(&self.directory, view) {
            seat.saw(self.now_ms, round, SightKind::Keys, 0);
            let at = |local_ms: u64| skew.world(local_ms).max(self.now_ms);
            let (submit_ms, ask_ms) = (at(dues.submit_ms), at(dues.ask_ms));
            self.agenda.add(submit_ms, What::Submit { client, life, round });
            self.agenda.add(ask_ms, What::Ask { client, life, round });
        }
    }

    pub(super) fn submit(&mut self, client: usize, life: u32, round: Round) {
        let node = Node::Client(client);
        if self.life(node) != life || self.condition(node).is_down {
            return;
        }
        let skew = self.condition(node).skew;
        if let Some(submitted) = self.seats[client].submit(&self.directory, skew, self.now_ms, round) {
            self.request(client, Request::Submit(submitted));
        }
    }

    /// Fetches the replies of a round, once for each cause to think that they are there.
    pub(super) fn ask(&mut self, client: usize, life: u32, round: Round) {
        let node = Node::Client(client);
        if self.life(node) != life || self.seats[client].waits_for(round).is_none() {
            return;
        }
        self.seats[client].saw(self.now_ms, round, SightKind::Request, 0);
        self.request(client, Request::Fetch { round, until_ms: self.now_ms + FETCH_GRACE_MS });
    }

    fn request(&mut self, client: usize, request: Request) {
        let node = Node::Client(client);
        let (delay_ms, life) = (self.links.delay_ms(node, Node::Coordinator), self.life(node));
        self.schedule(node, delay_ms, What::AtGateway { client, life, request, attempt: 0 });
    }

    pub(super) fn at_gateway(&mut self, client: usize, life: u32, request: Request, attempt: u32) {
        let node = Node::Client(client);
        if self.life(node) != life {
            return;
        }
        let outcome = match self.condition(Node::Coordinator).is_down {
            true => Attempt::Lost,
            false => self.links.attempt(node, Node::Coordinator),
        };
        let until_ms = match &request {
            Request::Submit(submitted) => submitted.until_ms,
            Request::Fetch { until_ms, .. } => *until_ms,
        };
        let again_ms = self.now_ms + backoff_ms(attempt);
        if outcome != Attempt::Arrives && again_ms < until_ms {
            let request = request.clone();
            self.agenda.add(again_ms, What::AtGateway { client, life, request, attempt: attempt + 1 });
        } else if outcome == Attempt::Lost {
            let round = match request {
                Request::Submit(submitted) => submitted.round,
                Request::Fetch { round, .. } => round,
            };
            return self.seats[client].open(round, None);
        }
        if outcome != Attempt::Lost {
            self.answer(client, request);
        }
    }

    fn answer(&mut self, client: usize, request: Request) {
        match request {
            Request::Submit(Submitted { round, chain, records, .. }) => {
                let admitted = self.coordinator.gatekeeper(round, chain).and_then(|keeper| keeper.admit(&records));
                let now_ms = self.clock_of(Node::Coordinator);
                let taken = admitted.and_then(|admitted| self.coordinator.submit(now_ms, round, admitted));
                if taken.is_err() {
                    self.tell(client, Heard::Lost(round));
                }
            }
            Request::Fetch { round, .. } => {
                let Some(number) = self.seats[client].waits_for(round) else { return };
                let replies = self.coordinator.replies(round, number);
                let inclusion = self.coordinator.inclusion(round, number).map(Box::new);
                self.tell(client, Heard::Replies(round, replies, inclusion));
            }
        }
    }
}
