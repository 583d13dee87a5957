//! What servers may show of a claim, and how much of it is kept.

use hippodrome_crypto::{
    hash::Digest,
    merkle::{self, InclusionProof},
    records::Records,
};

use super::*;
use crate::{
    evidence::Evidence,
    message::{BatchCommitment, InputRoot, Parcel, ParcelCommitment},
    mixer::{
        blame::tests::place,
        receipts::tests::{OWNER, Scene, scene},
    },
};

/// Only the input of layer 0 has come.
struct Known(SignedInput);

impl Inputs for Known {
    fn input(&self, stage: Stage) -> Option<&SignedInput> {
        Some(&self.0).filter(|input| input.commitment().stage == stage)
    }

    fn lists(&self, _: Stage) -> Option<&InputLists> {
        None
    }

    fn trail(&self, _: Place) -> Option<(&Trail, &Traced)> {
        None
    }
}

fn known(scene: &Scene, context: &RoundContext) -> Known {
    let (input, signatures) = (scene.chain.agreed.input, scene.chain.agreed.signatures.clone());
    let root = InputRoot { input, signatures, fingerprints: Vec::new(), left_out: Vec::new() };
    Known(SignedInput::verify(context, root).expect("all members have signed it").0)
}

/// A parcel of so many records of junk, signed by whom a parcel of the chain is from.
fn junk(scene: &Scene, count: u32, byte: u8) -> Parcel {
    let (basis, last) = (&scene.world.basis, place(0, 2));
    let width = basis.sizes.parcel_record(1);
    let records = Records::from_bytes(width, vec![byte; width * count as usize]).expect("whole records");
    let (root, origin) = (merkle::root_of(&merkle::leaves(&records)), Digest([8; 32]));
    let (source, destination) = (last.stage, place(1, 0).stage.chain);
    let commitment = ParcelCommitment { source, destination, count, root, origin };
    let signature = scene.world.key(last).sign(&statement::parcel(basis.digest(), &commitment));
    let batch = Some(scene.chain.hops[1].batch);
    Parcel { source, destination, root, origin, batch, signature, records: records.into_bytes() }
}

#[test]
fn junk_that_is_shown_of_an_early_claim_takes_no_room() {
    let mut scene = scene();
    let claim = scene.case(Vec::new()).claim;
    let (first, limit) = (place(1, 0), rules::layer_limit(&scene.world.basis, Layer(0)));
    let context = scene.world.context_of(OWNER);
    let mut claims = Claims::default();
    let mut show = |from, shown| {
        let answer = NoiseAnswer { claim: claim.clone(), shown: ShownPart::Parcel(shown) };
        claims.take_answer(&context, from, answer).expect("one claim");
        claims.by_claimant[&OWNER].shown.len()
    };
    let sender = scene.world.server(first);
    let mut unsigned = junk(&scene, 3, 1);
    unsigned.signature.0[0] ^= 1;
    assert_eq!(show(sender, unsigned), 0);
    assert_eq!(show(sender, junk(&scene, limit + 1, 1)), 0);
    let stranger = (0..4).map(ServerId).find(|server| *server != sender).expect("there are four");
    assert_eq!(show(stranger, junk(&scene, 3, 1)), 0);
    // Of those that could be true each server shows one.
    assert_eq!(show(sender, junk(&scene, 3, 1)), 1);
    assert_eq!(show(sender, junk(&scene, 3, 1)), 1);
}

#[test]
fn who_signed_two_batches_for_one_place_is_convicted_once_both_are_shown() {
    let mut scene = scene();
    let claim = scene.case(Vec::new()).claim;
    let context = scene.world.context_of(OWNER);
    let (liar, next) = (place(0, 1), place(0, 2));
    let one = scene.chain.hops[1].batch;
    let batch = BatchCommitment { root: Digest([6; 32]), ..one.batch };
    let signature = scene.world.key(liar).sign(&statement::batch(context.digest(), &batch));
    let two = SignedBatch { batch, signature };
    let shown = |signed| ShownPart::Batch { signed, index: 0, body: Digest([5; 32]), path: InclusionProof(Vec::new()) };
    // The hop behind it shows what it was given, and it shows something else itself.
    let mut claims = Claims::default();
    let given = NoiseAnswer { claim: claim.clone(), shown: shown(one) };
    claims.take_answer(&context, scene.world.server(next), given).expect("one batch");
    let answer = NoiseAnswer { claim, shown: shown(two) };
    let liar = scene.world.server(liar);
    let Contradiction(signed) = claims.take_answer(&context, liar, answer).expect_err("there are two");
    let verdict = Evidence::Equivocation(signed).verify(&scene.world.basis).expect("it convicts");
    assert!(verdict.servers().eq([liar]));
}

#[test]
fn a_claim_whose_inputs_have_not_come_is_followed_once_and_keeps_what_was_shown() {
    let mut scene = scene();
    let claim = scene.case(Vec::new()).claim;
    let context = scene.world.context_of(OWNER);
    let inputs = known(&scene, &context);
    let mut claims = Claims::default();
    let from = scene.world.server(place(1, 0));
    let shown = ShownPart::Parcel(junk(&scene, 3, 1));
    claims.take_answer(&context, from, NoiseAnswer { claim, shown }).expect("one claim");
    for _ in 0..3 {
        assert!(claims.next(&context, &inputs).is_none());
        let pending = &claims.by_claimant[&OWNER];
        assert_eq!(pending.way.as_deref(), Some([place(0, 0).stage, place(1, 0).stage].as_slice()));
        assert_eq!((pending.shown.len(), pending.senders.len()), (1, 1));
    }
}
