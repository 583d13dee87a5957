//! Networks whose noise is audited: who pledges other noise than it sends is convicted, who stays silent is struck, and
//! nobody else is.

use std::{num::NonZeroU32, sync::Arc};

use hippodrome_core::{
    audit::FalseOpening,
    evidence::{Evidence, Offence},
    ids::{Author, Party, Round, ServerId},
    message::{Coin, Ground, Message, ShareCall},
    mixer::Notice,
    noise::NoiseParams,
    params::NetworkParams,
};
use hippodrome_sim::{
    Behaviour, Network, Visitor,
    adversary::{Informed, twin::Twin},
    small_params,
};

const SERVERS: usize = 4;
const LIAR: ServerId = ServerId(2);
/// So often, somebody is picked in every round.
const OFTEN: u32 = 1;

fn network() -> Network {
    let noise = NoiseParams { audit: NonZeroU32::new(OFTEN), ..NoiseParams::uniform(2) };
    let params = NetworkParams { chains: 2, chain_len: 2, min_live: 3, noise, ..small_params() };
    let clients = [(); 2].map(|()| Box::new(Visitor) as Box<dyn Behaviour>);
    Network::new(params, SERVERS, clients.into(), 5)
}

/// Whether a server is to be struck, or was, in this epoch or one before it.
fn is_struck(network: &Network, server: ServerId) -> bool {
    let status = &network.coordinator().status().servers[usize::from(server.0)];
    status.struck.is_some() || status.strikes > 0
}

fn the_liar_alone_is_struck(network: &Network) -> bool {
    (0..SERVERS as u16).map(ServerId).all(|id| is_struck(network, id) == (id == LIAR))
}

/// Rounds in which somebody has shown its noise.
fn opened(network: &Network) -> Vec<(Round, ServerId)> {
    let mut opened: Vec<_> = network
        .delivered
        .iter()
        .filter_map(|(.., message)| match message {
            Message::NoiseOpening(opening) => Some((opening.round, opening.server)),
            _ => None,
        })
        .collect();
    opened.sort();
    opened.dedup();
    opened
}

#[test]
fn honest_servers_open_the_noise_that_they_pledged_and_sent() {
    let mut network = network();
    network.run(5, 60_000);
    network.run_for(6_000);
    let opened = opened(&network);
    assert!(opened.len() >= 5, "{opened:?}");
    assert!(opened.windows(2).all(|pair| pair[0].0 < pair[1].0), "one server a round: {opened:?}");
    assert!(network.cases.is_empty(), "nobody is convicted");
    assert!(network.coordinator().status().servers.iter().all(|server| server.struck.is_none()));
    let refused = network.notices.iter().find(|(_, notice)| matches!(notice, Notice::Refused { .. }));
    assert!(refused.is_none(), "{refused:?}");
}

/// The liar pledges the noise of its twin, and sends its own.
fn has_the_liar_send_other_noise(network: &mut Network) {
    let key = network.server_key(LIAR).expose_seed();
    let key = hippodrome_crypto::signing::SigningKey::from_seed(&key);
    network.set_twin(LIAR, Twin::new(network.directory(), key, [1; 32]).expect("it is listed"));
}

/// Runs until the coin has picked the liar, and the others have judged what it has shown.
fn every_other_server_convicts(network: &mut Network) {
    let mut rounds = 0;
    while network.cases.is_empty() && rounds < 60 {
        rounds += 1;
        network.run_for(1_000);
    }
    network.run_for(1_000);
    let convicting: Vec<ServerId> = network.cases.iter().map(|(server, _)| *server).collect();
    assert!((0..SERVERS as u16).map(ServerId).all(|id| id == LIAR || convicting.contains(&id)), "{convicting:?}");
}

#[test]
fn a_server_that_shows_other_noise_to_the_coordinator_alone_is_convicted_by_all() {
    let mut network = network();
    has_the_liar_send_other_noise(&mut network);
    network.set_adversary(Informed::of(&network, |_, from, to, message| match message {
        Message::NoiseOpening(_) if from == Party::Server(LIAR) && to != Party::Coordinator => Vec::new(),
        _ => vec![message.clone()],
    }));
    every_other_server_convicts(&mut network);
    network.run_for(6_000);
    assert!(the_liar_alone_is_struck(&network));
}

#[test]
fn a_server_that_sends_other_noise_than_it_pledged_is_convicted_and_out() {
    let mut network = network();
    has_the_liar_send_other_noise(&mut network);
    every_other_server_convicts(&mut network);
    for (_, case) in &network.cases {
        let verdict = case.verify(network.directory()).expect("servers keep what convicts");
        assert_eq!(verdict.guilty().iter().collect::<Vec<_>>(), [&Author::Server(LIAR)]);
        assert!(matches!(verdict.offence(), Offence::FalseOpening(FalseOpening::Counts(_))), "{verdict}");
        // Under another owner's name it shows nothing.
        let Evidence::FalseOpening(shown) = &*case.evidence else { panic!("{verdict}") };
        let mut framed = (**shown).clone();
        framed.opening.server = ServerId(0);
        let framed = hippodrome_core::evidence::Case {
            evidence: Arc::new(Evidence::FalseOpening(Box::new(framed))),
            ..case.clone()
        };
        assert!(framed.verify(network.directory()).is_err());
    }
    network.run_for(6_000);
    assert!(the_liar_alone_is_struck(&network) && network.coordinator().status().strikes.on(Ground::Convicted) == 1);
}

#[test]
fn who_is_picked_and_shows_nothing_is_struck() {
    let mut network = network();
    network.set_adversary(Informed::of(&network, |_, from, _, message| match message {
        Message::NoiseOpening(_) if from == Party::Server(LIAR) => Vec::new(),
        _ => vec![message.clone()],
    }));
    let mut seconds = 0;
    while !is_struck(&network, LIAR) && seconds < 90 {
        seconds += 1;
        network.run_for(1_000);
    }
    assert!(the_liar_alone_is_struck(&network), "{:?}", network.coordinator_notices);
    assert!(network.cases.is_empty(), "silence is no evidence");
}

#[test]
fn who_keeps_its_share_of_the_coin_back_is_struck() {
    let mut network = network();
    network.set_adversary(Informed::of(&network, |_, from, _, message| match message {
        Message::CoinShare(_) if from == Party::Server(LIAR) => Vec::new(),
        _ => vec![message.clone()],
    }));
    network.run_for(24_000);
    assert!(the_liar_alone_is_struck(&network), "{:?}", network.coordinator_notices);
}

#[test]
fn a_round_that_was_aborted_is_audited_too() {
    let mut network = network();
    network.set_adversary(Informed::of(&network, |_, _, _, message| match message {
        Message::Confirmation(confirmation) if confirmation.round == Round(1) => Vec::new(),
        _ => vec![message.clone()],
    }));
    network.run(1, 30_000);
    network.run_for(6_000);
    assert!(network.failed().contains_key(&Round(1)), "{:?}", network.failed());
    assert!(opened(&network).iter().any(|(round, _)| *round == Round(1)));
    assert!(network.cases.is_empty());
}

#[test]
fn no_share_is_revealed_before_the_round_is_over_and_no_noise_for_a_false_coin() {
    let mut network = network();
    while !network.delivered.iter().any(|(.., message)| matches!(message, Message::Announcement(_))) {
        network.run_for(50);
    }
    for server in (0..SERVERS as u16).map(ServerId) {
        network.inject(server, Party::Coordinator, Message::ShareCall(ShareCall { round: Round(1) }));
    }
    network.run_for(200);
    let is_share = |message: &Message| matches!(message, Message::CoinShare(_));
    assert!(!network.delivered.iter().any(|(.., message)| is_share(message)), "round 1 is not over");
    network.set_adversary(Informed::of(&network, |_, _, _, message| match message {
        Message::Coin(coin) => {
            let shares = coin.shares.iter().map(|share| share.map(|byte| byte ^ 1)).collect();
            vec![Message::Coin(Coin { shares, ..coin.clone() })]
        }
        _ => vec![message.clone()],
    }));
    network.run_for(6_000);
    assert!(network.delivered.iter().any(|(.., message)| is_share(message)));
    assert!(opened(&network).is_empty(), "nobody was picked by it");
}

#[test]
fn servers_tell_their_operators_when_no_coin_falls() {
    let mut network = network();
    network.run(1, 30_000);
    network.set_adversary(Informed::of(&network, |_, from, _, message| match from {
        Party::Coordinator => Vec::new(),
        Party::Server(_) => vec![message.clone()],
    }));
    network.run_for(70_000);
    for server in (0..SERVERS as u16).map(ServerId) {
        let told = |(by, notice): &(ServerId, Notice)| *by == server && matches!(notice, Notice::NotAudited(_));
        assert!(network.notices.iter().any(told), "{server}");
    }
}
