//! Cheating clients: what they submit hurts nobody's privacy, and what ends a round says why.

use std::{cell::RefCell, rc::Rc};

use hippodrome_core::{
    ids::{ChainId, Layer, Party, Round},
    message::{AbortReason, Message},
    mixer::Notice,
    noise::NoiseParams,
    params::{NetworkParams, Verification},
    participant::SlotReply,
    submission::{Access, Composer, Submission},
};
use hippodrome_crypto::signing::PublicKey;
use hippodrome_sim::{
    Behaviour, Network,
    adversary::forge::{self, Forge},
    small_params,
};
use rand_chacha::ChaCha20Rng;

type Replies = Rc<RefCell<Vec<Option<Vec<SlotReply>>>>>;

struct Client {
    params: NetworkParams,
    mailbox: u8,
    forge: Option<Forge>,
    replies: Replies,
}

impl Behaviour for Client {
    fn accesses(&mut self, _: Round, _: Round) -> Vec<Access> {
        vec![Access { mailbox: [self.mailbox; 16], content: [self.mailbox; 256] }]
    }

    fn forge(&mut self, composer: &Composer<'_>, rng: &mut ChaCha20Rng) -> Option<Submission> {
        self.forge.map(|forge| forge(composer, &self.params, rng))
    }

    fn replies(&mut self, _: Round, replies: Option<Vec<SlotReply>>) {
        self.replies.borrow_mut().push(replies);
    }
}

/// Runs a round in which the last clients cheat; gives the network and the honest clients' replies.
fn run(params: &NetworkParams, cheats: &[Forge]) -> (Network, Replies) {
    let honest = Replies::default();
    let client = |mailbox, forge, replies| {
        Box::new(Client { params: params.clone(), mailbox, forge, replies }) as Box<dyn Behaviour>
    };
    let mut clients: Vec<_> = (1..4).map(|mailbox| client(mailbox, None, Rc::clone(&honest))).collect();
    clients.extend(cheats.iter().map(|&forge| client(99, Some(forge), Replies::default())));
    let mut network = Network::new(params.clone(), 6, clients, 3);
    network.run(1, 30_000);
    (network, honest)
}

/// An onion that opens at `DEPTH` hops of the input chain and then holds random bytes.
fn garbage_after<const DEPTH: usize>(
    composer: &Composer<'_>,
    params: &NetworkParams,
    rng: &mut ChaCha20Rng,
) -> Submission {
    forge::garbage_after(DEPTH, composer, params, rng)
}

fn reasons(network: &Network) -> Vec<AbortReason> {
    let aborted = network.notices.iter().filter_map(|(_, notice)| match notice {
        Notice::Aborted { reason, .. } => Some(*reason),
        _ => None,
    });
    aborted.collect()
}

#[test]
fn a_layer_that_does_not_open_ends_the_round_and_says_so_wherever_it_is() {
    // In `full` networks it is traced.
    let params = NetworkParams { verification: Verification::Aggregate, ..small_params() };
    for forge in [garbage_after::<1> as Forge, garbage_after::<2>, garbage_after::<3>] {
        let (network, honest) = run(&params, &[forge]);
        assert_eq!(network.coordinator().status().rounds_failed, 1);
        assert!(honest.borrow().iter().all(Option::is_none));
        assert!(reasons(&network).contains(&AbortReason::LayerDidNotOpen), "{:?}", reasons(&network));
    }
}

#[test]
fn nothing_leaves_the_hop_at_which_a_layer_does_not_open() {
    let params = NetworkParams { verification: Verification::Aggregate, ..small_params() };
    let (network, _) = run(&params, &[garbage_after::<1>]);
    let failed = network.notices.iter().find_map(|(server, notice)| match notice {
        Notice::Aborted { stage, reason: AbortReason::LayerDidNotOpen } => Some((*server, *stage)),
        _ => None,
    });
    let (server, stage) = failed.expect("the layer did not open");
    let released = network.delivered.iter().filter(|(from, _, message)| match message {
        Message::Batch(batch) => *from == Party::Server(server) && batch.batch.place.stage == stage,
        _ => false,
    });
    assert_eq!(released.count(), 0);
}

#[test]
fn without_verification_what_does_not_open_is_dropped_and_the_others_are_served() {
    for forge in [garbage_after::<1> as Forge, garbage_after::<2>] {
        let params = NetworkParams { verification: Verification::None, ..small_params() };
        let (network, honest) = run(&params, &[forge]);
        assert_eq!(network.coordinator().status().rounds_completed, 1);
        let opened = |replies: &Option<Vec<SlotReply>>| replies.as_ref().expect("delivered")[0].expect("opens");
        let mut contents: Vec<[u8; 256]> = honest.borrow().iter().map(opened).collect();
        // Clients fetch in any order.
        contents.sort_unstable();
        assert_eq!(contents, [[1; 256], [2; 256], [3; 256]]);
    }
}

#[test]
fn one_key_of_two_clients_is_left_out_and_the_others_are_served() {
    // Enough cheats that two of them share an input chain; a lone one's onion is garbage and would end the round, so
    // the cheats of every chain come in pairs or not at all: without verification garbage is dropped, too.
    let params = NetworkParams { verification: Verification::None, noise: NoiseParams::NONE, ..small_params() };
    let (network, honest) = run(&params, &[forge::shared_key as Forge; 7]);
    assert_eq!(network.coordinator().status().rounds_completed, 1);
    let entered: u32 = network
        .delivered
        .iter()
        .map(|(_, to, message)| match message {
            Message::InputRoot(root) if root.input.stage.layer == Layer(0) && *to == Party::Server(first(&network)) => {
                root.input.count
            }
            _ => 0,
        })
        .sum();
    let lone = |chain: u16| {
        let roster = network.coordinator().roster().expect("an epoch");
        let submits_there = |key: &&PublicKey| roster.input_chain(key) == Some(ChainId(chain));
        let there = roster.epoch().plan().registry.iter().skip(3).filter(submits_there).count();
        usize::from(there == 1)
    };
    let lone: usize = (0..3).map(lone).sum();
    // What the watched server does not hear of itself is missing from the count; nothing doubled is in it.
    assert!(entered as usize <= 3 + lone, "{entered} records entered");
    assert_eq!(honest.borrow().len(), 3);
    assert!(honest.borrow().iter().all(|replies| replies.as_ref().expect("delivered")[0].is_ok()));
}

/// A server that is first in no chain of layer 0, if there is one: it hears of every input.
fn first(network: &Network) -> hippodrome_core::ids::ServerId {
    let (epoch, _) = network.coordinator().epoch().expect("an epoch");
    let firsts: Vec<_> = (0..3).map(|chain| epoch.members(Layer(0), hippodrome_core::ids::ChainId(chain))[0]).collect();
    network.directory().server_ids().find(|id| !firsts.contains(id)).expect("three of six servers are first")
}
