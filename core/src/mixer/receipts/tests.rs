//! What chains whose members all cheat can have an honest server say of its noise: nothing that convicts it.

use std::sync::Arc;

use hippodrome_crypto::{group::Element, merkle::Tree, signing::Signature};

use super::*;
use crate::{
    claim::{Finding, NoiseCase},
    evidence::rules,
    ids::ServerId,
    message::{AgreedInput, InputRoot},
    mixer::blame::tests::{Chain, Onion, World, intact, place, rng},
};

const NOISE: u32 = 2;
pub(crate) const OWNER: ServerId = ServerId(1);

/// A server that has seen its noise enter, and the input chain behind it.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) chain: Chain,
    receipts: Receipts,
}

fn leaves(world: &World) -> Vec<Digest> {
    let noise = world.noise(OWNER);
    noise[0].records.iter().map(|record| record.leaf).collect()
}

/// What the owner thinks of its receipt in an input with these leaves.
fn hear(world: &World, receipts: &mut Receipts, agreed: &AgreedInput, leaves: Vec<Digest>) -> Result<(), BadReceipt> {
    let context = world.context_of(OWNER);
    let own = self::leaves(world);
    let start = leaves.iter().position(|leaf| *leaf == own[0]).expect("it is there");
    let branch = Tree::new(leaves).range(start..start + own.len()).expect("a range of the input");
    let AgreedInput { input, signatures } = agreed.clone();
    let root = InputRoot { input, signatures, fingerprints: Vec::new(), left_out: Vec::new() };
    let (signed, _) = SignedInput::verify(&context, root).expect("all members have signed it");
    receipts.set_noise(world.noise(OWNER));
    let receipt = NoiseReceipt { stage: input.stage, start: start as u32, branch };
    receipts.on_receipt(&context, context.first_of(input.stage), receipt);
    receipts.check(&context, |_| Some(&signed))
}

fn entered(world: &World, chain: &Chain) -> Vec<Digest> {
    let width = world.basis.sizes.entry(0);
    let leaf = |entry: &[u8]| {
        let key = entry[..32].try_into().expect("32 bytes");
        hippodrome_crypto::merkle::leaf(key, &Digest(entry[32..64].try_into().expect("32 bytes")))
    };
    chain.offer.entries.chunks_exact(width).map(leaf).collect()
}

pub(crate) fn scene() -> Scene {
    let world = World::with_noise(NOISE / 2);
    let chain = world.run(Onion::Honest, intact);
    let mut receipts = Receipts::default();
    hear(&world, &mut receipts, &chain.agreed, entered(&world, &chain)).expect("the noise is in its place");
    Scene { world, chain, receipts }
}

/// An input of layer 1 without any noise, signed by all members, which says that these keys came twice.
fn without_noise(world: &World, left_out: Vec<Element>) -> (AgreedInput, InputLists) {
    let lists = InputLists { fingerprints: vec![0xa5; 4], left_out };
    let input = InputCommitment {
        stage: place(1, 0).stage,
        count: 1,
        root: Digest([1; 32]),
        keys: Digest([2; 32]),
        entries: Digest([3; 32]),
        fingerprints: rules::fingerprints_digest(&lists.fingerprints),
        left_out: rules::left_out_digest(&lists.left_out),
    };
    (world.agree(input), lists)
}

fn key(world: &World, slot: usize) -> Element {
    *world.noise(OWNER)[0].records[slot].opening.entry(Layer(1)).1
}

impl Scene {
    fn search(&self, left_out: Vec<Element>) -> Found {
        let (agreed, lists) = without_noise(&self.world, left_out);
        let (inputs, noise) = (vec![(agreed.input, Arc::new(lists))], Arc::new(self.world.noise(OWNER)));
        search(&Search { layer: Layer(1), inputs, noise }, &mut rng(3))
    }

    /// The case of a claim that a record is missing, with nothing shown of it yet.
    pub(crate) fn case(&mut self, left_out: Vec<Element>) -> NoiseCase {
        let (agreed, InputLists { fingerprints, left_out }) = without_noise(&self.world, left_out);
        let entered = self.chain.agreed.clone();
        let input = |layer, _| Some(if layer == Layer(0) { entered.input } else { agreed.input });
        let (context, key) = (self.world.context_of(OWNER), self.world.key_of(OWNER));
        let sign = |signed: &Digest| -> Signature { key.sign(signed) };
        let claim = self.receipts.claim(&context, Layer(1), Slot { chain: 0, slot: 0 }, input, sign);
        let claim = claim.expect("the first of this round");
        NoiseCase { claim, inputs: vec![entered, agreed], fingerprints, left_out, shown: Vec::new(), trail: None }
    }
}

#[test]
fn noise_that_is_shown_in_another_place_than_its_own_is_no_receipt() {
    let Scene { world, chain, .. } = scene();
    // All members sign an input in which the places of two servers' noise are swapped: a claim of it would be refused.
    let mut leaves = entered(&world, &chain);
    leaves.rotate_right(NOISE as usize);
    let mut input = chain.agreed.input;
    input.root = *Tree::new(leaves.clone()).root();
    let heard = hear(&world, &mut Receipts::default(), &world.agree(input), leaves);
    assert_eq!(heard, Err(BadReceipt(world.server(place(0, 0)))));
}

#[test]
fn nobody_claims_a_record_that_is_said_to_have_come_twice() {
    let scene = scene();
    let keys = [key(&scene.world, 0), key(&scene.world, 1)];
    assert!(matches!(scene.search(Vec::new()), Found::Missing(_)));
    assert_eq!(scene.search(vec![keys[0]]), Found::Missing(Slot { chain: 0, slot: 1 }));
    assert_eq!(scene.search(keys.to_vec()), Found::Unclear);
}

#[test]
fn a_claim_of_a_record_that_is_said_to_have_come_twice_shows_nothing() {
    let key = key(&scene().world, 0);
    let mut honest = scene();
    assert!(matches!(honest.case(Vec::new()).judge(&honest.world.basis, None), Finding::Open(_)));
    let mut framed = scene();
    assert!(matches!(framed.case(vec![key]).judge(&framed.world.basis, None), Finding::Nothing));
}
