//! Faults cost rounds, nothing else: whoever is silent is struck, rounds go on without it, and it comes back.

use std::collections::{BTreeMap, BTreeSet};

use hippodrome_core::{
    coordinator::Strikes,
    ids::{Party, Round, ServerId},
    message::{Ground, Message},
    noise::NoiseParams,
    params::NetworkParams,
};
use hippodrome_sim::{Fault, Network, Node, small_params};

/// Six servers of whom one may be bad: four sign, and must be left.
fn network(seed: u64) -> Network {
    Network::new(NetworkParams { noise: NoiseParams::uniform(3), ..small_params() }, 6, Vec::new(), seed)
}

/// Runs until something holds, for so many simulated seconds at most.
#[track_caller]
fn run_until(network: &mut Network, seconds: u64, what: &str, holds: impl Fn(&Network) -> bool) {
    for _ in 0..seconds * 10 {
        if holds(network) {
            return;
        }
        network.run_for(100);
    }
    assert!(holds(network), "{what}: {:#?}\n{:#?}", network.coordinator().status(), network.coordinator_notices);
}

/// Runs until so many more rounds are completed.
#[track_caller]
fn run_rounds(network: &mut Network, rounds: usize) {
    let completed = network.completed().len();
    let what = format!("{rounds} more rounds are completed");
    run_until(network, 10 + 2 * rounds as u64, &what, |network| network.completed().len() >= completed + rounds);
}

fn struck(network: &Network) -> Vec<(ServerId, Ground)> {
    let servers = (0..).map(ServerId).zip(&network.coordinator().status().servers);
    servers.filter_map(|(id, server)| Some((id, server.struck?))).collect()
}

fn active(network: &Network) -> Vec<u16> {
    let roster = network.coordinator().roster();
    roster.map_or(Vec::new(), |roster| roster.active().iter().map(|id| id.0).collect())
}

fn epoch(network: &Network) -> u64 {
    network.coordinator().status().epoch
}

const ALL: [u16; 6] = [0, 1, 2, 3, 4, 5];

/// Every round that was announced, once, with its signatures; none is announced twice with others.
fn announced(network: &Network) -> Vec<Round> {
    let mut rounds = BTreeMap::new();
    let mut order = Vec::new();
    for (from, _, message) in &network.delivered {
        if let (Party::Coordinator, Message::Announcement(announcement)) = (from, message) {
            let signatures = rounds.entry(announcement.round).or_insert_with(|| {
                order.push(announcement.round);
                announcement.signatures.clone()
            });
            assert_eq!(*signatures, announcement.signatures, "{} is announced twice", announcement.round);
        }
    }
    order
}

/// How many rounds the clock has passed that were not completed, since the first.
fn lost(network: &Network) -> u64 {
    let completed = network.completed();
    let span = completed.last().expect("some").0 - completed.first().expect("some").0 + 1;
    span - completed.len() as u64
}

#[test]
fn a_killed_server_is_struck_rounds_go_on_without_it_and_it_returns() {
    let mut network = network(2);
    run_rounds(&mut network, 3);
    network.apply(Fault::Crash(Node::Server(ServerId(2))));
    run_until(&mut network, 10, "it is struck", |network| active(network) == [0, 1, 3, 4, 5]);
    assert_eq!(struck(&network), [(ServerId(2), Ground::Silent)]);
    let status = network.coordinator().status();
    assert_eq!((status.epoch, status.amendment), (1, 1), "inside the epoch, without a new draw");
    assert!(status.servers[2].struck_since_ms.is_some() && !status.servers_up[2]);
    run_rounds(&mut network, 2);
    run_until(&mut network, 20, "the next epoch is without it", |network| epoch(network) == 2);
    assert_eq!(active(&network), [0, 1, 3, 4, 5]);
    assert!(network.coordinator().status().servers[2].out_until_ms > network.now_ms());
    network.apply(Fault::Restart(Node::Server(ServerId(2))));
    run_until(&mut network, 20, "it is back", |network| active(network) == ALL);
    run_rounds(&mut network, 5);
    assert_eq!(struck(&network), []);
    assert!(lost(&network) <= 6, "{} rounds lost: {:?}", lost(&network), network.completed());
    let status = network.coordinator().status();
    assert_eq!(status.servers[2].strikes, 1, "not forgotten");
    assert_eq!(status.strikes, Strikes { silent: 1, ..Strikes::default() }, "counted once");
}

#[test]
fn epochs_give_way_to_each_other_without_a_lost_round() {
    let mut network = network(2);
    run_rounds(&mut network, 3);
    network.apply(Fault::Crash(Node::Server(ServerId(4))));
    run_until(&mut network, 10, "it is struck", |network| active(network).len() == 5);
    run_rounds(&mut network, 1);
    let lost_by_the_fault = lost(&network);
    run_until(&mut network, 20, "an epoch without it", |network| epoch(network) >= 2);
    run_rounds(&mut network, 8);
    network.apply(Fault::Restart(Node::Server(ServerId(4))));
    run_until(&mut network, 30, "an epoch with it", |network| active(network) == ALL);
    run_rounds(&mut network, 8);
    assert_eq!(lost(&network), lost_by_the_fault, "{:?}", network.completed());
}

#[test]
fn a_frozen_server_is_struck_and_comes_back_when_it_thaws() {
    let mut network = network(3);
    run_rounds(&mut network, 3);
    network.apply(Fault::Freeze(Node::Server(ServerId(0))));
    run_until(&mut network, 10, "it is struck", |network| active(network) == [1, 2, 3, 4, 5]);
    run_rounds(&mut network, 3);
    network.run_for(15_000);
    network.apply(Fault::Thaw(Node::Server(ServerId(0))));
    run_until(&mut network, 20, "it is back", |network| active(network) == ALL);
    run_rounds(&mut network, 5);
    assert!(lost(&network) <= 6, "{} rounds lost", lost(&network));
}

#[test]
fn a_server_that_was_restarted_takes_part_in_the_next_round_and_is_not_struck() {
    let mut network = network(4);
    run_rounds(&mut network, 3);
    network.restart_server(ServerId(3));
    run_rounds(&mut network, 6);
    assert_eq!((active(&network), epoch(&network)), (ALL.to_vec(), 1), "{:#?}", network.coordinator_notices);
    assert!(lost(&network) <= 5, "{} rounds lost", lost(&network));
}

#[test]
fn both_ends_of_a_cut_link_are_struck_or_one_of_them_and_rounds_go_on() {
    let mut network = network(5);
    run_rounds(&mut network, 3);
    let (one, other) = (Node::Server(ServerId(1)), Node::Server(ServerId(4)));
    network.apply(Fault::Cut(one, other));
    run_until(&mut network, 15, "somebody is struck", |network| active(network).len() < 6);
    let active_now: BTreeSet<u16> = active(&network).into_iter().collect();
    assert!([0, 2, 3, 5].iter().all(|id| active_now.contains(id)), "{active_now:?}: {:#?}", struck(&network));
    assert!(!(active_now.contains(&1) && active_now.contains(&4)), "{active_now:?}");
    run_rounds(&mut network, 3);
    network.apply(Fault::Heal(one, other));
    run_until(&mut network, 60, "both are back", |network| active(network) == ALL);
    run_rounds(&mut network, 3);
}

#[test]
fn where_too_few_would_be_left_nobody_is_struck_and_rounds_wait() {
    let mut network = network(6);
    run_rounds(&mut network, 3);
    (0..3).for_each(|id| network.apply(Fault::Crash(Node::Server(ServerId(id)))));
    network.run_for(10_000);
    let status = network.coordinator().status().clone();
    assert!(active(&network).len() >= 4);
    assert!(status.idle.as_ref().is_some_and(|why| why.contains("cannot be struck")), "{status:#?}");
    let rounds = network.completed().len();
    network.run_for(5000);
    assert_eq!(network.completed().len(), rounds);
    (0..3).for_each(|id| network.apply(Fault::Restart(Node::Server(ServerId(id)))));
    run_rounds(&mut network, 3);
    assert_eq!(network.coordinator().status().idle, None);
}

#[test]
fn the_first_epoch_is_founded_without_a_server_that_does_not_come() {
    let mut network = network(7);
    network.apply(Fault::Crash(Node::Server(ServerId(5))));
    run_until(&mut network, 12, "an epoch of five", |network| active(network) == [0, 1, 2, 3, 4]);
    run_rounds(&mut network, 3);
    network.apply(Fault::Restart(Node::Server(ServerId(5))));
    run_until(&mut network, 30, "an epoch of six", |network| active(network) == ALL);
    run_rounds(&mut network, 3);
}

#[test]
fn a_server_that_dies_while_an_epoch_is_founded_is_struck_in_the_next_attempt() {
    let mut network = network(8);
    while !network.delivered.iter().any(|(.., message)| matches!(message, Message::SeedCall(_))) {
        network.run_for(1);
    }
    network.apply(Fault::Crash(Node::Server(ServerId(1))));
    run_until(&mut network, 15, "an epoch of five", |network| active(network) == [0, 2, 3, 4, 5]);
    let status = network.coordinator().status();
    assert_eq!((status.servers[1].strikes, status.strikes), (1, Strikes { silent: 1, ..Strikes::default() }));
    assert_eq!(network.coordinator().status().draws, 1, "not all had committed in the attempt that failed");
    run_rounds(&mut network, 3);
}

#[test]
fn a_coordinator_killed_at_any_instant_goes_on_and_repeats_no_round() {
    for (seed, step_ms) in [(9, 610), (10, 1370), (11, 2290)] {
        let mut network = network(seed);
        run_rounds(&mut network, 2);
        for _ in 0..8 {
            network.run_for(step_ms);
            network.apply(Fault::Restart(Node::Coordinator));
        }
        run_rounds(&mut network, 3);
        assert_eq!((epoch(&network), active(&network)), (1, ALL.to_vec()), "{:#?}", network.coordinator_notices);
        let rounds = announced(&network);
        assert!(rounds.windows(2).all(|pair| pair[0] < pair[1]), "{rounds:?}");
    }
}

#[test]
fn a_coordinator_killed_while_it_strikes_and_founds_goes_on() {
    for step_ms in (200..2000).step_by(300) {
        let mut network = network(step_ms);
        run_rounds(&mut network, 2);
        network.apply(Fault::Crash(Node::Server(ServerId(3))));
        network.run_for(step_ms);
        network.apply(Fault::Restart(Node::Coordinator));
        run_until(&mut network, 30, "it is struck", |network| active(network) == [0, 1, 2, 4, 5]);
        network.run_for(step_ms);
        network.apply(Fault::Restart(Node::Coordinator));
        run_rounds(&mut network, 2);
        network.apply(Fault::Restart(Node::Server(ServerId(3))));
        run_until(&mut network, 40, "it is back", |network| active(network) == ALL);
        run_rounds(&mut network, 2);
        let rounds = announced(&network);
        assert!(rounds.windows(2).all(|pair| pair[0] < pair[1]), "{rounds:?}");
    }
}

#[test]
fn rounds_overlap() {
    let mut network = network(12);
    run_rounds(&mut network, 8);
    assert_eq!(lost(&network), 0, "each lasts longer than a period, and none waits for another");
}

#[test]
fn a_convicted_server_is_struck() {
    let mut network = network(13);
    // Early in the epoch: later, the next one could begin without it before an amendment is signed.
    run_rounds(&mut network, 1);
    network.convict(ServerId(5));
    run_until(&mut network, 5, "it is struck", |network| active(network) == [0, 1, 2, 3, 4]);
    assert_eq!(struck(&network), [(ServerId(5), Ground::Convicted)]);
    assert_eq!(network.coordinator().status().strikes, Strikes { convicted: 1, ..Strikes::default() });
    run_rounds(&mut network, 3);
}

#[test]
fn a_server_that_failed_an_attempt_comes_back_with_a_later_one() {
    let mut network = network(14);
    run_rounds(&mut network, 3);
    let node = Node::Server(ServerId(2));
    network.apply(Fault::FillDisk(node));
    run_until(&mut network, 20, "an epoch without it", |network| {
        epoch(network) == 2 && active(network) == [0, 1, 3, 4, 5]
    });
    run_until(&mut network, 30, "it is given a chance, and fails", |network| {
        network.coordinator_notices.iter().any(|notice| notice.contains("an attempt at an epoch failed"))
    });
    network.apply(Fault::EmptyDisk(node));
    run_until(&mut network, 60, "it is back", |network| active(network) == ALL);
    run_rounds(&mut network, 3);
}
