//! Whoever spoils replies on their way back is named, once it spoils so many that to say so tells nothing of anybody.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use hippodrome_core::{
    evidence::Offence,
    ids::{ChainId, Layer, Party, Place, Position, Round, ServerId},
    layout::Turn,
    message::{Message, ReplySource, Return, ReturnCommitment, SignedReturn},
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
/// Nobody is judged by rounds that were called for while the coordinator did not know the servers yet.
const JUDGED: Round = Round(3);
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
    run_all(Round(1), NoiseParams::uniform(slots), SEED, returns(act))
}

/// A change of what servers send back.
fn returns(
    mut act: impl FnMut(&Known, Party, Party, &Return) -> Option<Vec<Return>> + 'static,
) -> impl FnMut(&Known, Party, Party, &Message) -> Option<Vec<Message>> + 'static {
    move |known, from, to, message| match message {
        Message::Return(back) => Some(act(known, from, to, back)?.into_iter().map(Message::Return).collect()),
        _ => None,
    }
}

/// The same of a cheat that shows nothing of what it has done, and charges nobody, with noise of which the network may say
/// something.
fn run_silent(
    cheat: (u8, u8),
    noise: NoiseParams,
    seed: u64,
    act: impl FnMut(&Known, Party, Party, &Return) -> Option<Vec<Return>> + 'static,
) -> Scene {
    let mut act = returns(act);
    run_all(Round(1), noise, seed, move |known, from, to, message| match message {
        Message::ReplyAnswer(_) | Message::Charge(_) => {
            let its_own = from == Party::Server(server_at(known, cheat.0, cheat.1));
            its_own.then(Vec::new)
        }
        _ => act(known, from, to, message),
    })
}

/// Runs rounds up to one in which what is said is changed on its way.
fn run_with(
    round: Round,
    slots: u32,
    act: impl FnMut(&Known, Party, Party, &Message) -> Option<Vec<Message>> + 'static,
) -> Scene {
    run_all(round, NoiseParams::uniform(slots), SEED, act)
}

fn run_all(
    round: Round,
    noise: NoiseParams,
    seed: u64,
    mut act: impl FnMut(&Known, Party, Party, &Message) -> Option<Vec<Message>> + 'static,
) -> Scene {
    let clients = (0..2).map(|_| Box::new(Visitor) as Box<dyn Behaviour>);
    let mut network = Network::new(params(noise), SERVERS, clients.collect(), seed);
    let cheat = Informed::of(&network, move |known: &Known, from: Party, to: Party, message: &Message| {
        let changed = message.round().filter(|of| *of == round).and_then(|_| act(known, from, to, message));
        changed.unwrap_or_else(|| vec![message.clone()])
    });
    let known = cheat.known();
    network.set_adversary(cheat);
    network.run(round.0, 60_000);
    // Claims are made and answered before the round's deadline, and faults judged a second after it.
    network.run_for(params(noise).deadline_ms + 2000);
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

fn server_at(known: &Known, layer: u8, position: u8) -> ServerId {
    let turn = Turn { layer: Layer(layer), chain: ChainId(0), position: Position(position) };
    known.roster(Round(1)).expect("announced").epoch().layout().server_at(turn).expect("a turn of the layout")
}

impl Scene {
    fn server_at(&self, layer: u8, position: u8) -> ServerId {
        server_at(&self.known.borrow(), layer, position)
    }

    /// Who every other server says is guilty.
    fn assert_guilty(&self, cheat: ServerId) {
        let mut convinced = BTreeSet::new();
        for (server, notice) in self.network.notices.iter().filter(|(server, _)| *server != cheat) {
            if let Notice::Convicted { verdict, .. } = notice {
                assert_eq!(verdict.servers().collect::<Vec<_>>(), [cheat], "{server}: {verdict}");
                assert_eq!(*verdict.offence(), Offence::SpoiledReply);
                convinced.insert(*server);
            }
        }
        assert!(convinced.len() >= SERVERS - 1, "{convinced:?} are convinced that it was {cheat}");
    }

    /// Servers that the coordinator strikes, in order.
    fn struck(&self) -> Vec<ServerId> {
        let roster = self.network.coordinator().roster().expect("an epoch is under way");
        roster.amendment().struck.iter().map(|strike| strike.server).collect()
    }

    /// One of them is struck: more may not be, of so few.
    fn assert_one_struck(&self, ends: [ServerId; 2]) {
        let struck = self.struck();
        let one = struck.len() == 1 && ends.contains(&struck[0]);
        assert!(one, "{struck:?} are struck: {:#?}", self.network.coordinator_notices);
    }

    /// Servers that claim that replies to their noise were spoiled.
    fn claimants(&self) -> BTreeSet<ServerId> {
        let claimant = |(_, _, message): &(Party, Party, Message)| match message {
            Message::ReplyClaim(claim) => Some(claim.claimant),
            _ => None,
        };
        self.network.delivered.iter().filter_map(claimant).collect()
    }
}

#[test]
fn a_server_that_spoils_the_replies_of_a_chain_is_named_by_all() {
    for (layer, position) in [(0, 1), (1, 0)] {
        let scene = run_silent((layer, position), NoiseParams::uniform(ENOUGH), SEED, move |known, from, _, back| {
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
    let silent = run_silent((1, 0), stating(None), 7, spoil);
    assert_eq!(silent.claimants(), BTreeSet::new(), "a word would tell what is not in the guarantee");
    assert!(!silent.network.notices.iter().any(|(_, notice)| matches!(notice, Notice::Convicted { .. })));
    let speaking = run_silent((1, 0), stating(Some(ReplyBudget { limits: 1, spread: 1 })), 8, spoil);
    speaking.assert_guilty(speaking.server_at(1, 0));
}

#[test]
fn a_server_that_seals_something_else_than_it_was_sent_is_named_by_all() {
    // The last server of the input chain makes up what it seals, and says that it was what the next layer sent.
    let mut sent: Option<SignedReturn> = None;
    let scene = run_silent((0, 2), NoiseParams::uniform(ENOUGH), SEED, move |known, from, _, back| {
        if is_at(back, 1, 0) {
            sent = Some(back.signed);
            return Some(vec![garbled(known, from, back)]);
        }
        let honest = sent.filter(|_| is_at(back, 0, 2))?;
        let returned = statement::returned(known.digest(Round(1)), &honest.replies);
        let sealed = statement::sealed(&[Some(returned)]);
        let signed = known.signed_return(from, ReturnCommitment { sealed, ..back.signed.replies });
        Some(vec![Return { signed, sources: vec![ReplySource::Returned(honest)], ..back.clone() }])
    });
    // The first server of the next layer shows what it has sent; the simulation had it sign both.
    scene.assert_guilty(scene.server_at(0, 2));
}

/// What a server sends back, with its word that it had nothing to seal.
fn replaced(known: &Known, from: Party, back: &Return) -> Return {
    let here = back.place();
    let behind = Place { position: Position(here.position.0 + 1), ..here };
    let signature = known.key_of(from).sign(&statement::replaced(known.digest(here.stage.round), here, behind));
    let sealed = statement::sealed(&[None]);
    let signed = known.signed_return(from, ReturnCommitment { sealed, ..back.signed.replies });
    Return { signed, sources: vec![ReplySource::Replaced(signature)], ..back.clone() }
}

#[test]
fn a_server_that_says_to_one_only_that_it_had_nothing_to_seal_is_struck_and_nobody_claims_anything() {
    let scene = run_with(JUDGED, ENOUGH, |known, from, _, message| match message {
        // It seals what nobody has sent.
        Message::Return(back) if is_at(back, 0, 2) => Some(vec![Message::Return(garbled(known, from, back))]),
        Message::Return(back) if is_at(back, 0, 1) => Some(vec![Message::Return(replaced(known, from, back))]),
        _ => None,
    });
    assert_eq!(scene.claimants(), BTreeSet::new());
    scene.assert_one_struck([scene.server_at(0, 1), scene.server_at(0, 2)]);
}

#[test]
fn a_first_server_that_tells_the_owners_only_what_it_has_replaced_is_struck_and_nobody_claims_anything() {
    let mut first = None;
    let scene = run_with(JUDGED, ENOUGH, move |known, from, _, message| match message {
        // What it hands out to itself nobody changes.
        Message::ReplyClaim(_) | Message::ReplyAnswer(_) | Message::Charge(_) if first == Some(from) => {
            Some(Vec::new())
        }
        Message::NoiseReplies(said) => {
            first = Some(from);
            let mut said = said.clone();
            let here = said.signed.replies.place;
            let behind = Place { position: Position(1), ..here };
            let signature = known.key_of(from).sign(&statement::replaced(known.digest(here.stage.round), here, behind));
            said.sources = vec![ReplySource::Replaced(signature)];
            let sealed = statement::sealed(&[None]);
            said.signed = known.signed_return(from, ReturnCommitment { sealed, ..said.signed.replies });
            Some(vec![Message::NoiseReplies(said)])
        }
        // The one behind it spoils them all.
        Message::Return(back) if is_at(back, 0, 1) => Some(vec![Message::Return(garbled(known, from, back))]),
        _ => None,
    });
    assert_eq!(scene.claimants(), BTreeSet::new());
    scene.assert_one_struck([scene.server_at(0, 0), scene.server_at(0, 1)]);
}

#[test]
fn a_server_that_signs_that_it_had_nothing_to_seal_and_says_so_to_nobody_is_replaced_itself() {
    let scene = run_with(JUDGED, ENOUGH, |known, from, _, message| match message {
        Message::Return(back) if is_at(back, 0, 1) => {
            let mut back = replaced(known, from, back);
            // It says it of another link.
            let elsewhere = statement::replaced(known.digest(JUDGED), back.place(), back.place());
            back.sources = vec![ReplySource::Replaced(known.key_of(from).sign(&elsewhere))];
            Some(vec![Message::Return(back)])
        }
        _ => None,
    });
    assert_eq!(scene.claimants(), BTreeSet::new());
    scene.assert_one_struck([scene.server_at(0, 0), scene.server_at(0, 1)]);
}

#[test]
fn a_first_server_that_hands_out_nothing_to_the_owners_of_noise_is_struck() {
    let scene = run_with(JUDGED, 2, |_, _, _, message| match message {
        Message::NoiseReplies(_) => Some(Vec::new()),
        _ => None,
    });
    assert_eq!(scene.struck(), [scene.server_at(0, 0)]);
}

#[test]
fn nobody_is_struck_for_replies_that_came() {
    let scene = run_with(JUDGED, 2, |_, _, _, _| None);
    assert_eq!(scene.struck(), []);
}

#[test]
fn a_server_that_shows_other_replies_than_it_has_sent_is_convicted_by_both() {
    let scene = run(ENOUGH, |known, from, _, back| is_at(back, 0, 1).then(|| vec![garbled(known, from, back)]));
    let cheat = scene.server_at(0, 1);
    let is_two = |notice: &Notice| match notice {
        Notice::Convicted { verdict, .. } => {
            assert!(verdict.servers().eq([cheat]));
            *verdict.offence() == Offence::Equivocation
        }
        _ => false,
    };
    assert!(scene.network.notices.iter().any(|(_, notice)| is_two(notice)));
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
        assert_eq!(scene.claimants(), BTreeSet::new());
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
    assert_eq!(scene.claimants(), BTreeSet::new());
    assert!(!scene.network.notices.iter().any(|(_, notice)| matches!(notice, Notice::Convicted { .. })));
}
