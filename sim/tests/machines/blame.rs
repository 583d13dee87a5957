//! Blame: malformed onions are traced to those who made them, cheats are named, and nothing honest is ever opened.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use hippodrome_core::{
    evidence::{Flaw, Offence},
    ids::{Author, ChainId, ClientId, Layer, Party, Place, Position, Round},
    message::{AbortReason, Message},
    mixer::Notice,
    params::NetworkParams,
    participant::SlotReply,
    submission::{Access, Composer, Submission},
};
use hippodrome_crypto::{
    group::{Element, SecretScalar},
    hash::Hasher,
    hop::HopPublic,
    knowledge::Knowledge,
    merkle,
    onion::wrap,
    records::Records,
};
use hippodrome_sim::{
    Behaviour, Network,
    adversary::{Informed, Known},
    small_params,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// What a client got, round by round.
type Replies = Rc<RefCell<Vec<(Round, Option<Vec<SlotReply>>)>>>;

/// How a client's onions are malformed.
#[derive(Clone, Copy, Debug)]
enum Malformed {
    /// The tag is wrong at this hop: layer and position.
    Tag(u8, usize),
    /// The payload of the input chain goes to a chain that does not exist.
    Nowhere,
    /// The inner key has no signature of knowledge.
    Unknown,
    /// The inner key is that of everybody else who does the same.
    Doubled,
}

struct Client {
    mailbox: u8,
    malformed: Option<Malformed>,
    replies: Replies,
}

impl Behaviour for Client {
    fn accesses(&mut self, round: Round, _: Round) -> Vec<Access> {
        vec![Access { mailbox: [self.mailbox ^ round.0 as u8; 16], content: [self.mailbox; 256] }]
    }

    fn forge(&mut self, composer: &Composer<'_>, rng: &mut ChaCha20Rng) -> Option<Submission> {
        self.malformed.map(|malformed| malformed.compose(composer, rng))
    }

    fn replies(&mut self, round: Round, replies: Option<Vec<SlotReply>>) {
        self.replies.borrow_mut().push((round, replies));
    }
}

impl Malformed {
    fn compose(self, composer: &Composer<'_>, rng: &mut ChaCha20Rng) -> Submission {
        let view = composer.view;
        let chain = view.chain();
        // A layer made for another key than the hop's has a tag that is wrong there.
        let spoil = |layer: u8, keys: &[HopPublic]| {
            let mut keys = keys.to_vec();
            if let Self::Tag(at, position) = self
                && at == layer
            {
                keys[position].key = keys[position].blinding;
            }
            keys
        };
        let mut inner_rng = match self {
            Self::Doubled => ChaCha20Rng::seed_from_u64(view.round().0),
            _ => ChaCha20Rng::from_seed(
                *Hasher::new("test").bytes(&composer.key.public().to_bytes()).finish().as_bytes(),
            ),
        };
        let x = SecretScalar::random(&mut inner_rng);
        let keys = spoil(1, view.keys(Layer(1), ChainId(0)));
        let onion = wrap(view.digest(), 1, 0, &keys, &x, &[9; 16 + 256]);
        let mut context = Hasher::new("hippodrome v1 inner onion")
            .digest(view.digest())
            .number(1)
            .number(chain.0.into())
            .number(0)
            .bytes(onion.key.encoded())
            .digest(&merkle::body_hash(&onion.body))
            .finish();
        if let Self::Unknown = self {
            context.0[0] ^= 1;
        }
        let knowledge = Knowledge::sign(&x, &Element::base(), &onion.key, &context, rng);
        let destination: u16 = if let Self::Nowhere = self { 99 } else { 0 };
        let record = [onion.key.encoded().as_slice(), &knowledge.to_bytes(), &onion.body].concat();
        let payload = [destination.to_le_bytes().as_slice(), &record].concat();
        let x = SecretScalar::random(rng);
        let outer = wrap(view.digest(), 0, chain.0, &spoil(0, view.keys(Layer(0), chain)), &x, &payload);
        composer.sign(0, outer.key, outer.body, &x, rng)
    }
}

struct Scene {
    network: Network,
    replies: Vec<Replies>,
}

const SERVERS: usize = 6;
/// Clients that behave, two and two to a mailbox.
const HONEST: usize = 4;

fn watch(_: &Known, _: Party, _: Party, message: &Message) -> Vec<Message> {
    vec![message.clone()]
}

fn scene(
    params: NetworkParams,
    malformed: &[Malformed],
    mut act: impl FnMut(&Known, Party, Party, &Message) -> Vec<Message> + 'static,
) -> Scene {
    let replies: Vec<Replies> = (0..HONEST + malformed.len()).map(|_| Rc::default()).collect();
    let clients = replies.iter().enumerate().map(|(index, replies)| {
        let malformed = index.checked_sub(HONEST).map(|index| malformed[index]);
        let mailbox = 64 + (index / 2) as u8;
        Box::new(Client { mailbox, malformed, replies: Rc::clone(replies) }) as Box<dyn Behaviour>
    });
    let mut network = Network::new(params, SERVERS, clients.collect(), 23);
    let in_round_1 = move |known: &Known, from, to, message: &Message| match message.round() {
        Some(Round(1)) => act(known, from, to, message),
        _ => vec![message.clone()],
    };
    network.set_adversary(Informed::of(&network, in_round_1));
    Scene { network, replies }
}

/// Enough time for traces of several servers each.
fn params() -> NetworkParams {
    NetworkParams { deadline_ms: 6000, ..small_params() }
}

impl Scene {
    fn run_one_round(&mut self) {
        self.network.run(1, 30_000);
    }

    /// Whom each case about round 1 convicts of what, by directory and case alone.
    fn convicted(&self) -> Vec<(BTreeSet<Author>, Offence)> {
        let directory = self.network.directory();
        let cases = self.network.cases.iter().filter(|(_, case)| case.round == Round(1));
        let verdicts = cases.map(|(_, case)| {
            let verdict = case.verify(directory).expect("servers keep what convicts");
            (verdict.guilty().clone(), *verdict.offence())
        });
        verdicts.collect()
    }

    fn guilty(&self) -> BTreeSet<Author> {
        self.convicted().into_iter().flat_map(|(guilty, _)| guilty).collect()
    }

    /// Whether the honest clients met in round 1.
    fn assert_honest_met(&self) {
        for (client, replies) in self.replies.iter().take(HONEST).enumerate() {
            let replies = replies.borrow();
            let (_, replies) = replies.iter().find(|(round, _)| *round == Round(1)).expect("round 1 is over");
            let reply = replies.as_ref().expect("round 1 was delivered")[0].as_ref().expect("nothing broke");
            assert_eq!(reply.to_vec(), vec![64 + (client / 2) as u8; 256]);
        }
    }

    fn reasons(&self) -> Vec<AbortReason> {
        let aborted = self.network.notices.iter().filter_map(|(_, notice)| match notice {
            Notice::Aborted { stage, reason } if stage.round == Round(1) => Some(*reason),
            _ => None,
        });
        aborted.collect()
    }
}

fn clients(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<Author> {
    numbers.into_iter().map(|number| Author::Client(ClientId(number as u32))).collect()
}

#[test]
fn onions_malformed_at_every_hop_are_traced_to_their_clients_and_the_round_goes_on() {
    let malformed: Vec<Malformed> =
        (0..2).flat_map(|layer| (0..3).map(move |position| Malformed::Tag(layer, position))).collect();
    let mut scene = scene(params(), &malformed, watch);
    scene.run_one_round();
    assert_eq!(scene.reasons(), []);
    scene.assert_honest_met();
    assert_eq!(scene.guilty(), clients(HONEST..HONEST + malformed.len()));
}

#[test]
fn contents_that_no_honest_client_makes_are_traced_to_their_clients_and_the_round_goes_on() {
    // Those who double a key meet where their input chain is the same, and otherwise drop out untraced.
    let malformed: Vec<Malformed> =
        [Malformed::Nowhere, Malformed::Unknown].into_iter().chain([Malformed::Doubled; 6]).collect();
    let mut scene = scene(params(), &malformed, watch);
    scene.run_one_round();
    assert_eq!(scene.reasons(), []);
    scene.assert_honest_met();
    let guilty = scene.guilty();
    assert!(guilty.is_superset(&clients(HONEST..HONEST + 2)), "{guilty:?}");
    assert!(guilty.len() > HONEST, "doubled keys are traced where they meet: {guilty:?}");
    assert!(guilty.is_disjoint(&clients(0..HONEST)), "{guilty:?}");
}

#[test]
fn a_client_that_is_convicted_is_refused_for_the_rest_of_the_epoch() {
    let mut scene = scene(params(), &[Malformed::Tag(0, 1)], watch);
    scene.run_one_round();
    let convict = ClientId(HONEST as u32);
    assert_eq!(scene.guilty(), clients([HONEST]));
    let rounds = scene.network.coordinator().status().rounds_completed;
    scene.network.run(rounds + 2, 30_000);
    // Had it been let in again, there would be another case.
    let about: BTreeSet<Round> = scene.network.cases.iter().map(|(_, case)| case.round).collect();
    assert_eq!(about, BTreeSet::from([Round(1)]), "{convict} was let in again");
    assert!(scene.network.coordinator().status().rounds_completed > rounds);
}

/// Where a trace's accuser stands; panics if nothing was accused.
fn accused_at(scene: &Scene) -> Place {
    let accused = scene.network.delivered.iter().find_map(|(_, _, message)| match message {
        Message::Accusation(accusation) => Some(accusation.place),
        _ => None,
    });
    accused.expect("there was an accusation")
}

/// Positions of the steps that were shown, of whatever chain.
fn steps_shown(scene: &Scene) -> BTreeSet<Position> {
    let steps = scene.network.delivered.iter().filter_map(|(_, _, message)| match message {
        Message::TraceStep(step) => Some(step.place.position),
        _ => None,
    });
    steps.collect()
}

impl Scene {
    /// Nothing was released behind the hop at which records failed, and nobody got replies.
    fn assert_nothing_released_behind(&self, accuser: Place) {
        let released = |(_, _, message): &(Party, Party, Message)| match message {
            Message::Batch(batch) => batch.batch.place == accuser,
            Message::Parcel(parcel) => parcel.source == accuser.stage,
            _ => false,
        };
        assert!(!self.network.delivered.iter().any(released));
        for replies in &self.replies {
            assert!(replies.borrow().iter().all(|(round, replies)| *round != Round(1) || replies.is_none()));
        }
    }

    fn server_at(&self, place: Place) -> Author {
        let (epoch, _) = self.network.coordinator().epoch().expect("there is an epoch");
        let members = epoch.members(place.stage.layer, place.stage.chain);
        Author::Server(members[usize::from(place.position.0)])
    }
}

#[test]
fn a_trace_that_ends_in_silence_convicts_nobody_and_releases_nothing() {
    let mut scene = scene(params(), &[Malformed::Tag(0, 2)], |_, _, _, message| match message {
        Message::TraceStep(_) => Vec::new(),
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    scene.assert_nothing_released_behind(accused_at(&scene));
    assert_eq!(scene.guilty(), BTreeSet::new());
}

#[test]
fn a_server_that_keeps_its_step_back_is_the_only_one_complained_of() {
    // At the end of the input chain, so that the first servers of all later chains wait for the accuser's parcels.
    let mut scene = scene(params(), &[Malformed::Tag(0, 2)], |_, _, _, message| match message {
        Message::TraceStep(step) if step.place.position == Position(0) => Vec::new(),
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    let Author::Server(silent) = scene.server_at(Place { position: Position(0), ..accused_at(&scene) }) else {
        panic!("places are of servers")
    };
    // Later rounds are over before the time of this one is.
    let mut rounds = 1;
    while scene.reasons().is_empty() && rounds < 10 {
        rounds += 1;
        scene.network.run(rounds, 30_000);
    }
    // What the silent server's own machine says is its own affair: it has seen the step.
    let aborts = scene.network.delivered.iter().filter_map(|(from, to, message)| match message {
        Message::Abort(abort) if *to == Party::Coordinator && *from != Party::Server(silent) => Some(abort),
        _ => None,
    });
    let named: BTreeSet<_> = aborts
        .filter(|abort| abort.stage.round == Round(1))
        .filter_map(|abort| match abort.reason {
            AbortReason::Deadline(missing) => missing.from,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(named, BTreeSet::from([silent]));
}

#[test]
fn an_accuser_that_shows_false_points_is_convicted_by_all_and_nobody_opens_anything() {
    let mut scene = scene(params(), &[Malformed::Tag(0, 2)], |known, from, _, message| match message {
        Message::Accusation(accusation) => {
            let mut forged = accusation.clone();
            forged.shared[0] = Element::base();
            forged.signature = known.key_of(from).sign(&forged.digest(known.digest(Round(1))));
            vec![Message::Accusation(forged)]
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    let accuser = accused_at(&scene);
    scene.assert_nothing_released_behind(accuser);
    let convicted = (BTreeSet::from([scene.server_at(accuser)]), Offence::FalseAccusation(Flaw::Powers));
    assert!(scene.convicted().contains(&convicted), "{:?}", scene.convicted());
    assert_eq!(scene.guilty(), convicted.0);
    // The liar's own machine knows nothing of the lie, and may wait for steps; those of others do not come.
    assert_eq!(steps_shown(&scene), BTreeSet::new());
}

#[test]
fn a_step_with_false_points_convicts_its_server_and_nobody_before_it_opens_anything() {
    let mut scene = scene(params(), &[Malformed::Tag(0, 2)], |known, from, _, message| match message {
        Message::TraceStep(step) if step.place.position == Position(1) => {
            let mut forged = step.clone();
            forged.blinded[0] = Element::base();
            forged.signature = known.key_of(from).sign(&forged.digest(known.digest(Round(1))));
            vec![Message::TraceStep(forged)]
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    let accuser = accused_at(&scene);
    scene.assert_nothing_released_behind(accuser);
    let liar = scene.server_at(Place { position: Position(1), ..accuser });
    assert!(scene.convicted().contains(&(BTreeSet::from([liar]), Offence::WrongStep(Flaw::Powers))));
    assert_eq!(scene.guilty(), BTreeSet::from([liar]));
    assert_eq!(steps_shown(&scene), BTreeSet::from([Position(1)]));
}

#[test]
fn a_last_server_that_drops_noise_is_convicted_also_where_a_client_s_record_was_removed() {
    // The client is the cheat's own: behind its record the rest of the batch was once out of everybody's sight.
    let mut accused = None;
    let mut scene = scene(params(), &[Malformed::Tag(0, 2)], move |known, _, _, message| match message {
        Message::Accusation(accusation) => {
            accused = Some(accusation.place);
            vec![message.clone()]
        }
        Message::Parcel(parcel) if accused.is_some_and(|place| place.stage == parcel.source) => {
            let place = accused.expect("looked at");
            let roster = known.roster(Round(1)).expect("an announced round");
            let sender = roster.epoch().members(place.stage.layer, place.stage.chain)[2];
            let none = Records::new(known.parcel_records(parcel).width());
            vec![known.sign_parcel(Party::Server(sender), parcel, &none)]
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    let cheat = scene.server_at(accused_at(&scene));
    let verdicts = scene.convicted();
    let dropped = verdicts.iter().filter(|(_, offence)| *offence == Offence::DroppedNoise);
    assert!(dropped.clone().count() >= SERVERS - 1, "{verdicts:?}");
    assert!(dropped.into_iter().all(|(guilty, _)| *guilty == BTreeSet::from([cheat])), "{verdicts:?}");
}
