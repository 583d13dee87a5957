//! Whoever spoils replies on their way back is named, once it spoils so many that to say so tells nothing of anybody.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use hippodrome_core::{
    evidence::Offence,
    ids::{ChainId, Layer, Party, Place, Position, Round, ServerId},
    layout::Turn,
    message::{Message, Return, ReturnCommitment, SignedReturn},
    mixer::Notice,
    noise::{Guarantee, NoiseParams, ReplyBudget},
    params::NetworkParams,
    statement,
};
use hippodrome_sim::{
    Behaviour, Network, Visitor,
    adversary::{Informed, Known, forge},
    small_params,
};

const SERVERS: usize = 4;
const SEED: u64 = 6;

/// Slots of noise of a server, of two records, of which more is spoiled with a chain than is borne.
const ENOUGH: u32 = 165;

/// One chain a layer, through which all noise of all servers goes; rounds one after another.
fn params(noise: NoiseParams) -> NetworkParams {
    NetworkParams { chains: 1, min_live: 3, noise, period_ms: 10_000, epoch_ms: 60_000, ..small_params() }
}

struct Scene {
    network: Network,
    known: Rc<RefCell<Known>>,
}

/// Runs one round in which the replies of the first round are changed between servers.
fn run(slots: u32, act: impl FnMut(&Known, Party, Party, &Return) -> Option<Vec<Return>> + 'static) -> Scene {
    run_with(NoiseParams::uniform(slots), SEED, act)
}

/// The same, with noise of which the network says something.
fn run_with(
    noise: NoiseParams,
    seed: u64,
    mut act: impl FnMut(&Known, Party, Party, &Return) -> Option<Vec<Return>> + 'static,
) -> Scene {
    let clients = (0..2).map(|_| Box::new(Visitor) as Box<dyn Behaviour>);
    let mut network = Network::new(params(noise), SERVERS, clients.collect(), seed);
    let cheat = Informed::of(&network, move |known: &Known, from: Party, to: Party, message: &Message| match message {
        Message::Return(back) if back.place().stage.round == Round(1) => {
            let unchanged = || vec![message.clone()];
            act(known, from, to, back).map_or_else(unchanged, |back| back.into_iter().map(Message::Return).collect())
        }
        _ => vec![message.clone()],
    });
    let known = cheat.known();
    network.set_adversary(cheat);
    network.run(1, 60_000);
    // Claims are made and answered before the round's deadline.
    network.run_for(params(noise).deadline_ms);
    let scene = Scene { network, known };
    let [last, first] = [scene.server_at(0, 2), scene.server_at(1, 0)];
    assert_ne!(last, first, "another seed is needed: what a server sends to itself nobody changes");
    scene
}

/// A hop by its place on the way.
fn is_at(back: &Return, layer: u8, position: u8) -> bool {
    let Place { stage, position: at } = back.place();
    (stage.layer, at) == (Layer(layer), Position(position))
}

/// What a server sends back, with all replies changed.
fn garbled(known: &Known, from: Party, back: &Return) -> Return {
    let mut replies = known.replies(back);
    (0..replies.len()).for_each(|index| replies = forge::garbled(&replies, index));
    let Message::Return(garbled) = known.sign_return(from, back, &replies) else { panic!("it is a return") };
    garbled
}

impl Scene {
    fn server_at(&self, layer: u8, position: u8) -> ServerId {
        let known = self.known.borrow();
        let turn = Turn { layer: Layer(layer), chain: ChainId(0), position: Position(position) };
        known.roster(Round(1)).expect("announced").epoch().layout().server_at(turn).expect("a turn of the layout")
    }

    /// Who every other server says is guilty.
    fn assert_guilty(&self, cheat: ServerId) {
        let mut convinced = BTreeSet::new();
        for (server, notice) in &self.network.notices {
            if let Notice::Convicted { verdict, .. } = notice {
                assert_eq!(verdict.servers().collect::<Vec<_>>(), [cheat], "{server}: {verdict}");
                assert_eq!(*verdict.offence(), Offence::SpoiledReply);
                convinced.insert(*server);
            }
        }
        assert!(convinced.len() >= SERVERS - 1, "{convinced:?} are convinced that it was {cheat}");
    }

    fn claims(&self) -> usize {
        let is_claim = |(_, _, message): &&(Party, Party, Message)| matches!(message, Message::ReplyClaim(_));
        self.network.delivered.iter().filter(is_claim).count()
    }
}

#[test]
fn a_server_that_spoils_the_replies_of_a_chain_is_named_by_all() {
    for (layer, position) in [(0, 1), (1, 0)] {
        let scene = run(ENOUGH, move |known, from, _, back| {
            is_at(back, layer, position).then(|| vec![garbled(known, from, back)])
        });
        scene.assert_guilty(scene.server_at(layer, position));
    }
}

#[test]
fn where_a_guarantee_is_stated_servers_speak_of_spoiled_replies_as_far_as_it_says() {
    let stating = |replies| {
        let guarantee = Guarantee { rounds: 10, epsilon_millionths: 1, delta_billionths: 1, replies };
        NoiseParams { guarantee: Some(guarantee), ..NoiseParams::uniform(ENOUGH) }
    };
    let spoil = |known: &Known, from: Party, _: Party, back: &Return| {
        is_at(back, 1, 0).then(|| vec![garbled(known, from, back)])
    };
    let silent = run_with(stating(None), 7, spoil);
    assert_eq!(silent.claims(), 0, "a word would tell what is not in the guarantee");
    assert!(!silent.network.notices.iter().any(|(_, notice)| matches!(notice, Notice::Convicted { .. })));
    let speaking = run_with(stating(Some(ReplyBudget { limits: 1, spread: 1 })), 8, spoil);
    speaking.assert_guilty(speaking.server_at(1, 0));
}

#[test]
fn a_server_that_seals_something_else_than_it_was_sent_is_named_by_all() {
    // The last server of the input chain makes up what it seals, and says that it was what the next layer sent.
    let mut sent: Option<SignedReturn> = None;
    let scene = run(ENOUGH, move |known, from, _, back| {
        if is_at(back, 1, 0) {
            sent = Some(back.signed);
            return Some(vec![garbled(known, from, back)]);
        }
        let honest = sent.filter(|_| is_at(back, 0, 2))?;
        let returned = statement::returned(known.digest(Round(1)), &honest.replies);
        let sealed = statement::sealed(&[Some(returned)]);
        let signed = known.signed_return(from, ReturnCommitment { sealed, ..back.signed.replies });
        Some(vec![Return { signed, sources: vec![Some(honest)], ..back.clone() }])
    });
    // The first server of the next layer shows what it has sent; the simulation had it sign both.
    scene.assert_guilty(scene.server_at(0, 2));
}

#[test]
fn few_spoiled_replies_are_borne_in_silence_whosever_they_are() {
    for index in [0, 7, 15] {
        let scene = run(2, move |known, from, _, back| {
            let replies = forge::garbled(&known.replies(back), index);
            match known.sign_return(from, back, &replies) {
                Message::Return(spoiled) if is_at(back, 1, 1) => Some(vec![spoiled]),
                _ => None,
            }
        });
        assert_eq!(scene.claims(), 0);
        assert!(!scene.network.notices.iter().any(|(_, notice)| matches!(notice, Notice::Convicted { .. })));
    }
}

#[test]
fn replies_that_do_not_come_are_replaced_publicly_and_nobody_claims_them() {
    let scene = run(ENOUGH, |_, _, _, back| is_at(back, 1, 1).then(Vec::new));
    let heard = |(_, _, message): &&(Party, Party, Message)| match message {
        Message::Replaced(replaced) => replaced.place.position == Position(0) && replaced.from.position == Position(1),
        _ => false,
    };
    assert!(scene.network.delivered.iter().filter(heard).count() >= SERVERS - 1);
    assert_eq!(scene.claims(), 0);
    assert!(!scene.network.notices.iter().any(|(_, notice)| matches!(notice, Notice::Convicted { .. })));
}
