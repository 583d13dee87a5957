//! What is kept of claims of spoiled replies, and of what is shown of them.

use super::*;
use crate::{
    evidence::Evidence,
    reply::tests::{Cheat, OWNER, Returned, at, back, claimed},
    statement,
};

#[test]
fn two_claims_of_one_server_about_replies_contradict_each_other() {
    let (returned, case) = claimed(Cheat::Sends(4));
    let context = returned.world.context_of(OWNER);
    let mut claims = ReplyClaims::default();
    assert!(claims.take(&context, &case.claim).expect("one claim").is_some());
    assert!(claims.take(&context, &case.claim).expect("the same claim").is_none());
    let Contradiction(signed) = claims.take(&context, &returned.claim(1)).expect_err("another claim");
    let verdict = Evidence::Equivocation(signed).verify(&returned.world.basis).expect("it convicts");
    assert!(verdict.servers().eq([OWNER]));
}

#[test]
fn of_an_answer_is_kept_what_its_sender_has_to_show() {
    let (returned, case) = claimed(Cheat::Seals(3));
    let context = returned.world.context_of(OWNER);
    let mut claims = ReplyClaims::default();
    claims.take(&context, &case.claim).expect("one claim").expect("it holds");
    let mut kept = |from: ServerId, shown: &ShownReturn| {
        let answer = ReplyAnswer { claim: case.claim.clone(), shown: shown.clone() };
        claims.take_answer(&context, from, answer);
        claims.0[&OWNER].open.as_ref().map_or(0, |open| open.shown.len())
    };
    let shown = case.shown.iter().find(|shown| shown.signed.replies.place == at(4)).expect("its hop shows it");
    let (sender, receiver) = (returned.world.server(at(4)), returned.world.server(at(3)));
    let others = (0..4).map(ServerId).filter(|server| ![sender, receiver].contains(server));
    others.for_each(|other| assert_eq!(kept(other, shown), 0));
    let mut unsigned = shown.clone();
    unsigned.signed.signature.0[0] ^= 1;
    let mut elsewhere = shown.clone();
    elsewhere.index ^= 1;
    assert_eq!((kept(sender, &unsigned), kept(sender, &elsewhere)), (0, 0));
    assert_eq!((kept(sender, shown), kept(sender, shown), kept(receiver, shown)), (1, 1, 2));
}

#[test]
fn a_claim_is_judged_again_only_when_something_new_is_shown_of_it() {
    let (returned, case) = claimed(Cheat::Sends(3));
    let context = returned.world.context_of(OWNER);
    let mut claims = ReplyClaims::default();
    claims.take(&context, &case.claim).expect("one claim").expect("it holds");
    let judged = std::cell::Cell::new(0);
    let look = |claims: &mut ReplyClaims, known: Option<&EnteredInput>| {
        let entered = |_| {
            judged.set(judged.get() + 1);
            known.cloned()
        };
        claims.settle(&context, entered).len()
    };
    // As long as the input is not known it is looked for, and no more.
    assert_eq!((look(&mut claims, None), look(&mut claims, None)), (0, 0));
    assert_eq!(judged.replace(0), 2);
    let known = case.entered.as_ref();
    for _ in 0..100 {
        assert_eq!(look(&mut claims, known), 0, "nobody has shown anything yet");
    }
    assert_eq!(judged.replace(0), 1);
    for (index, shown) in case.shown.iter().enumerate() {
        let from = returned.world.server(shown.signed.replies.place);
        for _ in 0..20 {
            let answer = ReplyAnswer { claim: case.claim.clone(), shown: shown.clone() };
            claims.take_answer(&context, from, answer);
            let is_last = index + 1 == case.shown.len();
            assert!(look(&mut claims, known) <= usize::from(is_last));
        }
    }
    assert_eq!(judged.get(), case.shown.len(), "the same again is nothing new");
}

#[test]
fn a_hop_that_signs_two_returns_for_one_place_is_convicted_once_both_are_seen() {
    let (spoiled, right) = (back(Cheat::Sends(2)), back(Cheat::None));
    let (context, place) = (spoiled.world.context_of(OWNER), at(2));
    let signed = |returned: &Returned| returned.signed(2);
    let mut returns = Returns::default();
    // What nobody has signed is nobody's word.
    let mut forged = signed(&spoiled);
    forged.signature.0[0] ^= 1;
    returns.note(&context, &forged).expect("it is not signed");
    for _ in 0..2 {
        returns.note(&context, &signed(&spoiled)).expect("it is one statement");
        returns.note(&context, &forged).expect("it is not signed");
    }
    let Contradiction(both) = returns.note(&context, &signed(&right)).expect_err("there are two");
    let verdict = Evidence::Equivocation(both).verify(&spoiled.world.basis).expect("it convicts");
    assert!(verdict.servers().eq([spoiled.world.server(place)]));
    // Replies go back from no such hop, whoever signs it.
    let mut elsewhere = signed(&right).replies;
    elsewhere.to = Some(ChainId(0));
    let signature = spoiled.world.key(place).sign(&statement::returned(context.digest(), &elsewhere));
    returns.note(&context, &SignedReturn { replies: elsewhere, signature }).expect("there is no such link");
    assert_eq!(returns.0.len(), 1);
}
