//! Whoever loses a record between two layers is caught in the same round and named; whoever says so falsely is, too.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use hippodrome_core::{
    claim::FalseClaim,
    evidence::{Offence, removal},
    ids::{ChainId, Layer, Party, Place, Position, Round, ServerId, Stage},
    layout::Turn,
    message::{
        AbortReason, Message, NoiseClaim, Parcel, Receipts, Return, ReturnCommitment, ShownSubmission, SignedReturn,
    },
    mixer::Notice,
    noise::NoiseParams,
    params::NetworkParams,
    participant::NotIncluded,
    statement,
    submission::ReceiptRecord,
};
use hippodrome_crypto::{group::SecretScalar, hash::Digest, merkle, records::Records, signing::Signature};
use hippodrome_sim::{
    Behaviour, Network, Visitor,
    adversary::{Informed, Known, forge},
    small_params,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::Rng;

const SERVERS: usize = 6;

struct Scene {
    network: Network,
    known: Rc<RefCell<Known>>,
}

fn scene(
    params: NetworkParams,
    seed: u64,
    act: impl FnMut(&Known, Party, Party, &Message) -> Vec<Message> + 'static,
) -> Scene {
    let clients = (0..4).map(|_| Box::new(Visitor) as Box<dyn Behaviour>);
    let mut network = Network::new(params, SERVERS, clients.collect(), seed);
    let adversary = Informed::of(&network, act);
    let known = adversary.known();
    network.set_adversary(adversary);
    Scene { network, known }
}

impl Scene {
    /// Who ended the first round, and why.
    fn reasons(&self) -> Vec<(ServerId, AbortReason)> {
        let aborted = self.network.notices.iter().filter_map(|(server, notice)| match notice {
            Notice::Aborted { stage, reason } if stage.round == Round(1) => Some((*server, *reason)),
            _ => None,
        });
        aborted.collect()
    }

    fn server_at(&self, layer: u8, chain: u16, position: u8) -> ServerId {
        let known = self.known.borrow();
        let turn = Turn { layer: Layer(layer), chain: ChainId(chain), position: Position(position) };
        let roster = known.roster(Round(1)).expect("an announced round");
        roster.epoch().layout().server_at(turn).expect("a turn of the layout")
    }

    /// That every other server has judged by itself that this one is guilty, and of what, and nobody else is.
    fn assert_guilty(&self, cheat: ServerId, of: fn(&Offence) -> bool) {
        let verdicts = self.network.notices.iter().filter_map(|(server, notice)| match notice {
            Notice::Convicted { verdict, .. } if *server != cheat => Some((*server, verdict)),
            _ => None,
        });
        let mut convinced = BTreeSet::new();
        for (server, verdict) in verdicts {
            assert_eq!(verdict.servers().collect::<Vec<_>>(), [cheat], "{server}: {verdict}");
            assert!(of(verdict.offence()), "{server}: {verdict}");
            convinced.insert(server);
        }
        assert_eq!(convinced.len(), SERVERS - 1, "{cheat}: {:?}", self.reasons());
    }
}

fn dropped(offence: &Offence) -> bool {
    *offence == Offence::DroppedNoise
}

/// The parcels that leave input chain 0 in round 1 for other servers, changed by their sender.
fn change_parcels(
    mut change: impl FnMut(&Known, &Parcel, &Records) -> Records + 'static,
) -> impl FnMut(&Known, Party, Party, &Message) -> Vec<Message> {
    move |known, from, _, message| match message {
        Message::Parcel(parcel) if parcel.source.chain == ChainId(0) && parcel.source.round == Round(1) => {
            let records = change(known, parcel, &known.parcel_records(parcel));
            vec![known.sign_parcel(from, parcel, &records)]
        }
        _ => vec![message.clone()],
    }
}

/// Which one in a hundred records a cheat picks: it cannot tell them apart.
fn one_in_a_hundred(count: usize, rng: &mut ChaCha20Rng) -> Vec<usize> {
    let mut picked = Vec::new();
    while picked.len() < count / 100 {
        let index = (rng.next_u64() % count as u64) as usize;
        if !picked.contains(&index) {
            picked.push(index);
        }
    }
    picked.sort_unstable_by(|one, two| two.cmp(one));
    picked
}

/// One chain a layer, with a thousand records in each.
fn thousand() -> NetworkParams {
    NetworkParams { chains: 1, noise: NoiseParams::uniform(84), ..small_params() }
}

#[test]
fn a_last_server_that_drops_one_record_in_a_hundred_is_caught_in_the_round_and_named() {
    for seed in [1, 2, 3] {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut scene = scene(
            thousand(),
            seed,
            change_parcels(move |_, _, records| {
                assert!(records.len() >= 1000);
                let picked = one_in_a_hundred(records.len(), &mut rng);
                picked.into_iter().fold(records.clone(), |records, index| forge::without(&records, index))
            }),
        );
        scene.network.run(1, 30_000);
        scene.assert_guilty(scene.server_at(0, 0, 2), dropped);
    }
}

#[test]
fn a_last_server_that_replaces_one_record_in_a_hundred_is_caught_in_the_round_and_named() {
    for seed in [1, 2] {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut scene = scene(
            thousand(),
            seed,
            change_parcels(move |known, parcel, records| {
                let mut changed = records.clone();
                for index in one_in_a_hundred(records.len(), &mut rng) {
                    let (source, to) = (parcel.source.chain, parcel.destination);
                    let digest = known.digest(parcel.source.round);
                    let other = forge::inner_record(digest, source, to, records.width(), &mut rng);
                    changed.record_mut(index).copy_from_slice(&other);
                }
                changed
            }),
        );
        scene.network.run(1, 30_000);
        scene.assert_guilty(scene.server_at(0, 0, 2), dropped);
    }
}

/// An input chain whose last server is the first of a later chain, and that later chain.
fn turning(known: &Known) -> (ChainId, ChainId) {
    let roster = known.roster(Round(1)).expect("an announced round");
    let at = |layer, chain, position| {
        let turn = Turn { layer: Layer(layer), chain: ChainId(chain), position: Position(position) };
        roster.epoch().layout().server_at(turn)
    };
    let pairs = (0..3).flat_map(|chain| (0..3).map(move |later| (chain, later)));
    let mut turning = pairs.filter(|(chain, later)| at(0, *chain, 2) == at(1, *later, 0));
    let (chain, later) = turning.next().expect("this seed has one");
    (ChainId(chain), ChainId(later))
}

fn first_of_turn(known: &Known) -> ServerId {
    let roster = known.roster(Round(1)).expect("an announced round");
    roster.epoch().members(Layer(1), turning(known).1)[0]
}

#[test]
fn made_up_replies_do_not_keep_the_hop_before_from_showing_what_it_put_out() {
    let mut scene = scene(small_params(), 1, |known, from, to, message| match message {
        // Long before there can be any replies, and before anybody has looked for noise.
        Message::InputRoot(root) if root.input.stage.layer == Layer(1) && root.input.stage.round == Round(1) => {
            let (chain, later) = turning(known);
            let stage = Stage { layer: Layer(0), chain, ..root.input.stage };
            let members = known.roster(Round(1)).map(|roster| roster.epoch().members(Layer(0), chain).to_vec());
            let is_before = members.is_some_and(|members| to == Party::Server(members[1]));
            let place = Place { stage, position: Position(2) };
            let (digest, signature) = (Digest([0; 32]), Signature([0; 64]));
            let replies = ReturnCommitment { place, to: None, count: 0, root: digest, answers: digest, sealed: digest };
            let made_up =
                Return { signed: SignedReturn { replies, signature }, sources: Vec::new(), replies: Vec::new() };
            match is_before && root.input.stage.chain == later {
                true => vec![Message::Return(made_up), message.clone()],
                false => vec![message.clone()],
            }
        }
        // The cheat itself shows nothing, so that all depends on the hop before.
        Message::NoiseAnswer(_) if from == Party::Server(first_of_turn(known)) => Vec::new(),
        Message::Parcel(parcel) if parcel.source.round == Round(1) && parcel.source.chain == turning(known).0 => {
            vec![known.sign_parcel(from, parcel, &Records::new(known.parcel_records(parcel).width()))]
        }
        _ => vec![message.clone()],
    });
    scene.network.run(1, 30_000);
    let (chain, _) = turning(&scene.known.borrow());
    scene.assert_guilty(scene.server_at(0, chain.0, 2), dropped);
}

#[test]
fn a_last_server_that_signs_another_origin_for_what_it_has_thinned_out_is_complained_of_before_all_others() {
    let removed = |parcel: &Parcel, batch: &Digest| {
        let place = Place { stage: parcel.source, position: Position(2) };
        statement::parcel_origin(batch, &removal(place, &[1]))
    };
    let random = |_: &Parcel, _: &Digest| Digest([7; 32]);
    let origins: [fn(&Parcel, &Digest) -> Digest; 2] = [random, removed];
    for origin in origins {
        let mut scene = scene(small_params(), 1, move |known, from, _, message| match message {
            Message::Parcel(parcel) if parcel.source.chain == ChainId(0) && parcel.source.round == Round(1) => {
                let batch = parcel.batch.expect("chains have more than one hop").batch;
                let other = Parcel { origin: origin(parcel, &batch.root), ..parcel.clone() };
                vec![known.sign_parcel(from, &other, &forge::without(&known.parcel_records(parcel), 0))]
            }
            _ => vec![message.clone()],
        });
        // Later rounds are over before the time of this one is.
        scene.network.run(4, 30_000);
        let cheat = scene.server_at(0, 0, 2);
        let to_coordinator = scene.network.delivered.iter().filter_map(|(from, to, message)| match message {
            Message::Abort(abort) if *to == Party::Coordinator && *from != Party::Server(cheat) => Some(abort),
            _ => None,
        });
        let named: BTreeSet<ServerId> = to_coordinator
            // What others say of the first servers comes after it.
            .filter(|abort| (abort.stage.round, abort.stage.layer) == (Round(1), Layer(0)))
            .filter_map(|abort| match abort.reason {
                AbortReason::Deadline(missing) => missing.from,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(named, BTreeSet::from([cheat]));
    }
}

#[test]
fn a_mass_drop_has_each_server_open_one_record_at_most() {
    let mut scene = scene(small_params(), 1, change_parcels(|_, _, records| Records::new(records.width())));
    scene.network.run(1, 30_000);
    let mut claims: Vec<(ServerId, Digest)> = Vec::new();
    for (from, _, message) in &scene.network.delivered {
        if let (Party::Server(_), Message::NoiseClaim(claim)) = (from, message) {
            let claimed = (claim.claimant, claim.record.digest());
            if !claims.contains(&claimed) {
                claims.push(claimed);
            }
            assert_eq!(claim.exponents.len(), 1, "nothing of the layer with the mailbox is shown");
        }
    }
    let mut claimants: Vec<ServerId> = claims.iter().map(|(claimant, _)| *claimant).collect();
    claimants.sort_unstable();
    let shown = claimants.len();
    claimants.dedup();
    assert!(shown > 0 && claimants.len() == shown, "{claimants:?}");
    scene.assert_guilty(scene.server_at(0, 0, 2), dropped);
}

/// A claim about a record of an input whose leaves are known, with an exponent that is not the record's.
fn false_claim(known: &Known, claimant: ServerId, receipts: &Receipts, index: usize) -> Message {
    let digest = known.digest(Round(1));
    let leaves = receipts
        .records
        .chunks_exact(ReceiptRecord::LEN)
        .map(|record| Digest(record[ReceiptRecord::LEN - 32..].try_into().expect("a leaf")));
    let path = merkle::Tree::new(leaves.collect()).inclusion(index).expect("a record of the input");
    let input = statement::input(digest, &receipts.input);
    let record = ShownSubmission { stage: receipts.input.stage, input, index: index as u32, body: Vec::new(), path };
    let exponents = vec![SecretScalar::random(&mut ChaCha20Rng::seed_from_u64(1)).show()];
    let signature = Signature([0; 64]);
    let mut claim = NoiseClaim { claimant, record, exponents, lacking: Digest([9; 32]), signature };
    claim.signature = known.key(claimant).sign(&claim.statement(digest));
    Message::NoiseClaim(claim)
}

#[test]
fn a_false_claim_convicts_its_signer_and_is_answered_by_nobody() {
    // About a client's record, and about one of the liar's own with an exponent that is not the record's.
    for (is_own, why) in [(false, FalseClaim::Foreign), (true, FalseClaim::NotInInput)] {
        let liar = ServerId(SERVERS as u16 - 1);
        let mut seen: Option<Receipts> = None;
        let mut scene = scene(small_params(), 1, move |known, from, _, message| match (message, &seen) {
            (Message::Receipts(receipts), None) if receipts.input.stage.round == Round(1) => {
                seen = Some(receipts.clone());
                vec![message.clone()]
            }
            (Message::Confirmation(_), Some(receipts)) if from == Party::Server(liar) => {
                let index = if is_own { receipts.input.count as usize - 1 } else { 0 };
                vec![message.clone(), false_claim(known, liar, receipts, index)]
            }
            _ => vec![message.clone()],
        });
        scene.network.run(1, 30_000);
        let is_answer = |(_, _, message): &(Party, Party, Message)| matches!(message, Message::NoiseAnswer(_));
        assert!(!scene.network.delivered.iter().any(is_answer));
        match why {
            FalseClaim::Foreign => {
                scene.assert_guilty(liar, |offence| *offence == Offence::FalseClaim(FalseClaim::Foreign));
            }
            _ => scene.assert_guilty(liar, |offence| *offence == Offence::FalseClaim(FalseClaim::NotInInput)),
        }
    }
}

#[test]
fn a_client_sees_whether_its_submissions_were_let_in() {
    let mut honest = scene(small_params(), 1, |_, _, _, message| vec![message.clone()]);
    honest.network.run(2, 30_000);
    assert!((0..4).all(|client| honest.network.not_included(client).is_empty()));

    let mut silent = scene(small_params(), 1, |_, _, _, message| match message {
        Message::Receipts(_) => vec![],
        _ => vec![message.clone()],
    });
    silent.network.run(1, 30_000);
    let first = |scene: &Scene, client| scene.network.not_included(client).first().cloned();
    assert!((0..4).all(|client| first(&silent, client) == Some((Round(1), NotIncluded::NotShown))));

    // Another record stands where a client's should be, under a root that no member has signed.
    let mut lying = scene(small_params(), 1, |_, _, _, message| match message {
        Message::Receipts(receipts) => {
            let mut lying = receipts.clone();
            let leaves = lying.records.chunks_exact_mut(ReceiptRecord::LEN).map(|record| {
                record[ReceiptRecord::LEN - 1] ^= 1;
                Digest(record[ReceiptRecord::LEN - 32..].try_into().expect("a leaf"))
            });
            lying.input.root = merkle::root_of(&leaves.collect::<Vec<_>>());
            vec![Message::Receipts(lying)]
        }
        _ => vec![message.clone()],
    });
    lying.network.run(1, 30_000);
    assert!((0..4).all(|client| matches!(first(&lying, client), Some((Round(1), NotIncluded::Signature(_))))));
}
