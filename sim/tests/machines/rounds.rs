//! Whole rounds of every topology and verification mode, with real cryptography and a simulated clock.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use hippodrome_core::{
    ids::{Party, Round},
    message::Message,
    noise::NoiseParams,
    params::{NetworkParams, Verification},
    participant::SlotReply,
    submission::Access,
};
use hippodrome_sim::{
    Behaviour, Network,
    adversary::{Adversary, Passive},
    small_params,
};

/// What a client's slots got, by round.
type Log = Rc<RefCell<BTreeMap<Round, Option<Vec<SlotReply>>>>>;

/// Leaves `content` in a mailbox that depends on the round.
struct Visitor {
    mailbox: u8,
    content: u8,
    slots: usize,
    log: Log,
}

impl Behaviour for Visitor {
    fn accesses(&mut self, round: Round, _: Round) -> Vec<Access> {
        let access = |slot: usize| Access {
            mailbox: [self.mailbox ^ (round.0 as u8).rotate_left(4) ^ (slot as u8) << 6; 16],
            content: [self.content; 256],
        };
        (0..self.slots).map(access).collect()
    }

    fn replies(&mut self, round: Round, replies: Option<Vec<SlotReply>>) {
        self.log.borrow_mut().insert(round, replies);
    }
}

/// Runs a network in which clients 0 and 1 meet, and the others are alone; gives everybody's log.
fn run(params: NetworkParams, servers: usize, rounds: u64) -> (Network, Vec<Log>) {
    let slots = usize::from(params.slots);
    let logs: Vec<Log> = (0..5).map(|_| Log::default()).collect();
    let clients = logs.iter().enumerate().map(|(index, log)| {
        let mailbox = if index < 2 { 100 } else { index as u8 };
        Box::new(Visitor { mailbox, content: index as u8, slots, log: Rc::clone(log) }) as Box<dyn Behaviour>
    });
    let mut network = Network::new(params, servers, clients.collect(), 7);
    network.run(rounds, 60_000);
    (network, logs)
}

fn assert_swapped(logs: &[Log], rounds: usize, slots: usize) {
    for (index, log) in logs.iter().enumerate() {
        let expected = match index {
            0 => 1,
            1 => 0,
            alone => alone as u8,
        };
        assert!(log.borrow().len() >= rounds, "client {index} saw {} rounds", log.borrow().len());
        for (round, replies) in log.borrow().iter().take(rounds) {
            let replies = replies.as_ref().unwrap_or_else(|| panic!("client {index}, {round}: no replies"));
            assert_eq!(replies.len(), slots);
            for reply in replies {
                assert_eq!(reply.expect("the reply opens"), [expected; 256], "client {index}, {round}");
            }
        }
    }
}

#[test]
fn contents_swap_in_every_topology_and_every_verification_mode() {
    for (layers, chains, chain_len, servers) in
        [(1, 1, 3, 3), (2, 3, 3, 6), (3, 2, 2, 4), (1, 1, 1, 2), (2, 1, 1, 1), (2, 4, 2, 3), (1, 1, 3, 6)]
    {
        for verification in [Verification::Full, Verification::Aggregate, Verification::None] {
            let bad_servers = u16::from(servers > 1);
            let params = NetworkParams { layers, chains, chain_len, verification, bad_servers, ..small_params() };
            let min_live = params.quorum(servers).max(chain_len.into()) as u16;
            let params = NetworkParams { min_live, ..params };
            let per_round = params.hops_verified_per_round();
            let (network, logs) = run(params, servers, 2);
            let status = network.coordinator().status();
            assert_eq!(status.rounds_failed, 0, "{layers} {chains} {chain_len} {verification:?}: {status:?}");
            assert_eq!(status.hops_verified, per_round * status.rounds_completed);
            assert_swapped(&logs, 2, 1);
        }
    }
}

#[test]
fn every_slot_of_a_client_is_answered() {
    let params = NetworkParams { slots: 3, ..small_params() };
    let (_, logs) = run(params, 6, 2);
    assert_swapped(&logs, 2, 3);
}

#[test]
fn rounds_complete_without_noise_and_with_empty_chains() {
    // Five clients over eight chains: some inputs and many parcels are empty.
    let params = NetworkParams { noise: NoiseParams::NONE, chains: 8, ..small_params() };
    let (network, logs) = run(params, 6, 3);
    assert_eq!(network.coordinator().status().rounds_failed, 0, "{:?}", network.coordinator().status());
    assert_swapped(&logs, 3, 1);
}

/// Keeps everything that is said of one round once mixing has begun, until the next round is over.
struct Overtaking {
    late: Round,
    kept: Vec<(Party, Party, Message)>,
    is_over: bool,
}

impl Adversary for Overtaking {
    fn intercept(&mut self, from: Party, to: Party, message: &Arc<Message>) -> Option<Vec<Message>> {
        let (late, next) = (self.late, Round(self.late.0 + 1));
        self.is_over |= message.round() == Some(next) && matches!(**message, Message::Report(_));
        let is_mixing = matches!(**message, Message::Batch(_)) || !self.kept.is_empty();
        if message.round() != Some(late) || !is_mixing || self.is_over {
            return None;
        }
        self.kept.push((from, to, (**message).clone()));
        Some(Vec::new())
    }

    fn inject(&mut self) -> Vec<(Party, Party, Message)> {
        if self.is_over { std::mem::take(&mut self.kept) } else { Vec::new() }
    }
}

#[test]
fn a_round_that_is_overtaken_by_the_next_one_completes_all_the_same() {
    let params = NetworkParams { deadline_ms: 8000, ..small_params() };
    let mut network = Network::new(params, 6, Vec::new(), 3);
    network.run(1, 60_000);
    let late = Round(network.coordinator().status().round + 2);
    network.set_adversary(Overtaking { late, kept: Vec::new(), is_over: false });
    network.run(6, 60_000);
    assert!(network.completed().contains(&late), "{:?}", network.failed());
    assert!(network.failed().is_empty(), "{:?}", network.failed());
    let order: Vec<_> = network
        .delivered
        .iter()
        .filter_map(|(_, _, message)| match message {
            Message::Report(report) => Some(report.round),
            _ => None,
        })
        .collect();
    let first = |round| order.iter().position(|reported| *reported == round);
    assert!(first(late) > first(Round(late.0 + 1)), "it was overtaken");
}

#[test]
fn a_network_that_is_too_slow_for_its_period_waits_for_the_rounds_under_way() {
    // Nine and a half periods from the end of collection to the deadline: four rounds at most are mixed together.
    let params = NetworkParams { deadline_ms: 10_000, ..small_params() };
    let mut network = Network::new(params, 6, Vec::new(), 5);
    network.run(1, 60_000);
    let last_good = network.coordinator().status().round;
    network.set_adversary(|_, _, message: &Message| match message {
        Message::Replies(_) | Message::Report(_) => Vec::new(),
        _ => vec![message.clone()],
    });
    network.run_for(9_000);
    let status = network.coordinator().status();
    let reason = status.idle.as_deref().expect("no more rounds are opened");
    assert!(reason.contains("too slow for the period"), "{reason}");
    // Two were opened before the first of the four began to be mixed.
    assert!((4..=6).contains(&(status.round - last_good)), "{last_good}, {}", status.round);
    network.set_adversary(Passive);
    network.run_for(20_000);
    let recovered = network.completed().iter().filter(|round| round.0 > last_good).count();
    assert!(recovered >= 3, "{:?} {:?}", network.completed(), network.coordinator().status());
}
