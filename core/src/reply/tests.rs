//! Who is guilty of a reply that does not open: whoever spoiled it, and nobody else.

use std::sync::Arc;

use hippodrome_crypto::{
    merkle::Tree,
    onion::{self, HopKdf, ReturnKeys},
    permutation::below,
    records::Records,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    message::InputCommitment,
    mixer::{
        blame::tests::{World, place},
        noise::ChainNoise,
        replies::{KeptReturn, reply_tree},
    },
    submission::ReplyBroken,
    wire::MAILBOX_LEN,
};

pub(crate) const OWNER: ServerId = ServerId(1);
/// Hops on a record's way: two layers of three.
const HOPS: usize = 6;

pub(crate) fn at(hop: usize) -> Place {
    place((hop / 3) as u8, (hop % 3) as u8)
}

/// Two noise records that have come to the mailboxes, all hops having worked on them in turn.
struct Forward {
    world: World,
    noise: ChainNoise,
    received: Vec<Arc<Tree>>,
    returns: Vec<ReturnKeys>,
    contents: Records,
}

fn forward() -> Forward {
    let world = World::with_noise(1);
    let noise = world.noise(OWNER).remove(0);
    let mut keys: Vec<Element> = noise.records.iter().map(|record| *record.opening.entry(Layer(0)).1).collect();
    let mut bodies = Records::new(world.basis.sizes.body(0, 0));
    noise.records.iter().for_each(|record| bodies.push(&record.body));
    let (mut received, mut returns) = (Vec::new(), Vec::new());
    let mut leaves = merkle::leaves(&onion::encode(&keys, &bodies));
    for hop in 0..HOPS {
        received.push(Arc::new(Tree::new(leaves)));
        let secret = world.secret(at(hop));
        let (shared, blinded) = (onion::derive(secret, &keys), onion::blind(secret, &keys));
        let opened = onion::open(&HopKdf::new(&world.basis.hop_context(at(hop))), &keys, &shared, &blinded, &bodies);
        assert!(opened.failed.is_empty());
        returns.push(opened.returns);
        (keys, bodies) = (blinded, opened.payloads);
        leaves = if hop == 2 {
            let inner = bodies.iter().map(|payload| Forwarded::decode(&world.basis.sizes, Layer(1), payload));
            let inner: Vec<_> = inner.map(|forwarded| forwarded.expect("noise is well-formed").record).collect();
            keys = inner.iter().map(|record| record.key).collect();
            bodies = Records::new(world.basis.sizes.body(1, 0));
            inner.iter().for_each(|record| bodies.push(&record.body));
            inner.iter().map(|record| record.leaf()).collect()
        } else {
            merkle::leaves(&onion::encode(&keys, &bodies))
        };
    }
    let mut contents = Records::new(bodies.width() - MAILBOX_LEN);
    bodies.iter().for_each(|access| contents.push(&access[MAILBOX_LEN..]));
    Forward { world, noise, received, returns, contents }
}

/// What a hop does to the replies.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cheat {
    None,
    /// It sends something else than it has sealed.
    Sends(usize),
    /// It seals something else than it got.
    Seals(usize),
    /// It says that what it got was wrong or late.
    Replaces(usize),
}

/// What came back, as every hop has signed it.
pub(crate) struct Returned {
    pub(crate) world: World,
    noise: ChainNoise,
    kept: Vec<KeptReturn>,
    reply: Vec<u8>,
}

fn spoil(replies: &mut Records) {
    replies.record_mut(0)[5] ^= 1;
}

pub(crate) fn back(cheat: Cheat) -> Returned {
    let Forward { world, noise, received, returns, contents: mut replies } = forward();
    let digest = *world.basis.digest();
    let mut kept: Vec<KeptReturn> = Vec::new();
    for (hop, returns) in returns.into_iter().enumerate().rev() {
        let source = kept.first().map(|kept| statement::returned(&digest, &kept.signed.replies));
        let mut sources: Vec<Option<Digest>> = source.map(Some).into_iter().collect();
        match cheat {
            Cheat::Seals(cheater) if cheater == hop => spoil(&mut replies),
            Cheat::Replaces(replacer) if replacer == hop => {
                spoil(&mut replies);
                sources = vec![None];
            }
            _ => {}
        }
        replies = onion::seal(&HopKdf::new(&world.basis.hop_context(at(hop))), returns, &replies);
        if cheat == Cheat::Sends(hop) {
            spoil(&mut replies);
        }
        let tree = Arc::new(reply_tree(&replies));
        let commitment = ReturnCommitment {
            place: at(hop),
            to: (hop == 3).then_some(ChainId(0)),
            count: 2,
            root: *tree.root(),
            answers: *received[hop].root(),
            sealed: statement::sealed(&sources),
        };
        let signature = world.key(at(hop)).sign(&statement::returned(&digest, &commitment));
        let signed = SignedReturn { replies: commitment, signature };
        kept.insert(0, KeptReturn { signed, sources, records: Arc::clone(&received[hop]), replies: tree });
    }
    Returned { world, noise, kept, reply: replies.record(0).to_vec() }
}

impl Returned {
    /// What a hop has signed of its replies.
    pub(crate) fn signed(&self, hop: usize) -> SignedReturn {
        self.kept[hop].signed
    }

    fn broken(&mut self) -> Option<ReplyBroken> {
        self.noise.routes.remove(0).open(&self.reply).err()
    }

    fn sign(&self, mut claim: ReplyClaim) -> ReplyClaim {
        claim.signature = self.world.key_of(OWNER).sign(&claim.statement(self.world.basis.digest()));
        claim
    }

    /// A claim that shows the exponents of so many layers.
    pub(crate) fn claim(&self, layers: u8) -> ReplyClaim {
        let (record, first) = (&self.noise.records[0], &self.kept[0]);
        let path = first.records.inclusion(0).expect("there are two");
        let shown = ShownReturn {
            signed: first.signed,
            sources: first.sources.clone(),
            index: 0,
            record_path: path.clone(),
            reply: leaf(&self.reply),
            path: first.replies.inclusion(0).expect("there are two"),
        };
        let stage = at(0).stage;
        let record = ShownSubmission { stage, input: Digest([3; 32]), index: 0, body: record.body.clone(), path };
        let exponents = self.noise.records[0].opening.show_before(Layer(layers));
        let (reply, signature) = (self.reply.clone(), Signature([0; 64]));
        self.sign(ReplyClaim { claimant: OWNER, record, exponents, shown, reply, signature })
    }

    fn entered(&self, left_out: Vec<Element>) -> EnteredInput {
        let (root, other) = (Digest([1; 32]), Digest([2; 32]));
        let input = InputCommitment {
            stage: at(3).stage,
            count: 2,
            root,
            keys: other,
            entries: other,
            fingerprints: other,
            left_out: rules::left_out_digest(&left_out),
        };
        EnteredInput { agreed: self.world.agree(input), left_out }
    }

    /// The claim, with what the hops on its way show if they can.
    fn case(&self, claim: ReplyClaim) -> ReplyCase {
        let way = follow(&self.world.basis, &claim);
        let stations = way.as_ref().map_or(&[][..], |way| &way.stations()[1..]);
        let shown = stations.iter().flat_map(|station| self.kept.iter().filter_map(|kept| kept.show(station)));
        let (shown, entered) = (shown.collect(), Some(self.entered(Vec::new())));
        ReplyCase { claim, entered, shown }
    }

    fn guilty(&self, case: &ReplyCase) -> Option<ServerId> {
        match case.judge(&self.world.basis) {
            Finding::Spoiled(server) => Some(server),
            Finding::Open | Finding::Nothing => None,
        }
    }
}

/// The case of an honest owner.
pub(crate) fn claimed(cheat: Cheat) -> (Returned, ReplyCase) {
    let mut returned = back(cheat);
    let broken = returned.broken().expect("it was spoiled");
    let case = returned.case(returned.claim(broken.layer.0 + 1));
    (returned, case)
}

#[test]
fn whoever_sends_what_its_record_does_not_open_is_guilty() {
    for hop in 0..HOPS {
        let (returned, case) = claimed(Cheat::Sends(hop));
        assert_eq!(returned.guilty(&case), Some(returned.world.server(at(hop))), "{hop}");
    }
}

#[test]
fn whoever_seals_something_else_than_it_got_is_guilty() {
    // The last hop of all seals what it has exchanged, where nobody looks.
    for hop in 0..HOPS - 1 {
        let (returned, case) = claimed(Cheat::Seals(hop));
        assert_eq!(returned.guilty(&case), Some(returned.world.server(at(hop))), "{hop}");
    }
}

#[test]
fn nobody_is_guilty_of_what_was_replaced_publicly() {
    for hop in 0..HOPS - 1 {
        let (returned, case) = claimed(Cheat::Replaces(hop));
        assert!(matches!(case.judge(&returned.world.basis), Finding::Nothing), "{hop}");
    }
}

#[test]
fn a_claim_of_a_reply_that_opens_gives_nothing() {
    let mut returned = back(Cheat::None);
    assert_eq!(returned.broken(), None);
    for layers in 0..=2 {
        let case = returned.case(returned.claim(layers));
        assert!(matches!(case.judge(&returned.world.basis), Finding::Nothing), "{layers}");
    }
}

#[test]
fn a_claimant_that_shows_anything_else_convicts_nobody() {
    let returned = back(Cheat::None);
    let world = &returned.world;
    type Change = fn(&mut ReplyClaim, &Returned);
    let cheats: [(&str, Change); 6] = [
        ("another reply", |claim, _| claim.reply[7] ^= 1),
        ("another reply, with its leaf", |claim, _| {
            claim.reply[7] ^= 1;
            claim.shown.reply = leaf(&claim.reply);
        }),
        ("the reply to another record", |claim, returned| {
            claim.shown.index = 1;
            claim.shown.reply = returned.kept[0].replies.leaves()[1];
            claim.shown.path = returned.kept[0].replies.inclusion(1).expect("there are two");
        }),
        ("another exponent", |claim, returned| {
            claim.exponents = returned.noise.records[1].opening.show_before(Layer(2))
        }),
        ("another body", |claim, _| claim.record.body[0] ^= 1),
        ("sources that were not signed", |claim, _| claim.shown.sources = vec![Some(Digest([9; 32]))]),
    ];
    for (what, change) in cheats {
        for layers in 1..=2 {
            let mut claim = returned.claim(layers);
            change(&mut claim, &returned);
            let case = returned.case(returned.sign(claim));
            assert!(matches!(case.judge(&world.basis), Finding::Nothing), "{what}");
        }
    }
    // Others cannot make claims in an honest server's name.
    let (returned, mut case) = claimed(Cheat::Sends(1));
    case.claim.signature = returned.world.key(at(0)).sign(&Digest([0; 32]));
    assert_eq!(returned.guilty(&case), None);
}

#[test]
fn a_hop_that_signs_other_replies_later_convicts_no_honest_one() {
    // Hop 2 sent garbage; when it is asked it shows, signed, what would be right, to have hop 1 guilty.
    let (spoiled, mut case) = claimed(Cheat::Sends(2));
    let right = back(Cheat::None);
    let broken = follow(&spoiled.world.basis, &case.claim).expect("it is spoiled");
    let station = broken.stations().last().expect("a hop").clone();
    assert_eq!(station.place, at(2));
    case.shown.retain(|shown| shown.signed.replies.place != at(2));
    assert!(matches!(case.judge(&spoiled.world.basis), Finding::Open));
    case.shown.push(right.kept[2].show(&station).expect("its record"));
    assert!(matches!(case.judge(&spoiled.world.basis), Finding::Open));
}

#[test]
fn nobody_is_convicted_by_silence() {
    let (returned, mut case) = claimed(Cheat::Seals(3));
    case.shown.clear();
    assert!(matches!(case.judge(&returned.world.basis), Finding::Open));
}

#[test]
fn a_first_server_that_left_a_record_out_by_rule_is_not_guilty_of_its_random_reply() {
    let (returned, mut case) = claimed(Cheat::Sends(3));
    let (_, key) = returned.noise.records[0].opening.entry(Layer(1));
    case.entered = Some(returned.entered(vec![*key]));
    assert!(matches!(case.judge(&returned.world.basis), Finding::Nothing));
    // Which rule that was, all members have signed; another list is no word of theirs.
    case.entered = Some(EnteredInput { left_out: vec![*key], ..returned.entered(Vec::new()) });
    assert!(matches!(case.judge(&returned.world.basis), Finding::Open));
    case.entered = None;
    assert!(matches!(case.judge(&returned.world.basis), Finding::Open));
}

/// A case with one thing changed of what is shown, with the claim signed anew.
fn changed(returned: &Returned, case: &ReplyCase, rng: &mut ChaCha20Rng) -> ReplyCase {
    let mut case = case.clone();
    let at = |len: usize, rng: &mut ChaCha20Rng| below(len.max(1) as u32, rng) as usize;
    let mut claim = case.claim.clone();
    match below(9, rng) {
        0 => claim.record.body.truncate(at(claim.record.body.len(), rng)),
        1 => claim.record.body.extend([7; 100]),
        2 => claim.reply.truncate(at(claim.reply.len(), rng)),
        3 => claim.exponents.truncate(at(claim.exponents.len(), rng)),
        4 => claim.exponents.extend(returned.noise.records[1].opening.show_before(Layer(2))),
        5 => claim.record.stage.layer.0 = below(4, rng) as u8,
        6 => claim.record.stage.chain.0 = below(3, rng) as u16,
        7 => case.entered = None,
        _ => {}
    }
    let parts = 1 + case.shown.len();
    let shown = match at(parts, rng) {
        0 => &mut claim.shown,
        part => &mut case.shown[part - 1],
    };
    match below(9, rng) {
        0 => shown.index = below(5, rng),
        1 => drop(shown.path.0.pop()),
        2 => drop(shown.record_path.0.pop()),
        3 => shown.sources.clear(),
        4 => shown.sources.push(None),
        5 => shown.signed.replies.count = below(4, rng),
        6 => shown.signed.replies.place.position.0 = below(256, rng) as u8,
        7 => shown.signed.replies.place.stage.layer.0 = below(4, rng) as u8,
        _ => shown.signed.replies.to = Some(ChainId(below(3, rng) as u16)),
    }
    case.claim = returned.sign(claim);
    case
}

#[test]
fn whatever_is_changed_of_a_case_it_convicts_nobody_else_and_never_panics() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    for cheat in [Cheat::Sends(2), Cheat::Seals(4)] {
        let (returned, case) = claimed(cheat);
        let guilty = returned.guilty(&case);
        let verdicts: Vec<_> = (0..300).map(|_| returned.guilty(&changed(&returned, &case, &mut rng))).collect();
        assert!(verdicts.iter().all(|verdict| verdict.is_none() || *verdict == guilty));
        assert!(verdicts.iter().any(Option::is_none));
    }
}
