//! What is kept of claims of spoiled replies, and of what is shown of them.

use super::*;
use crate::{
    evidence::Evidence,
    reply::tests::{Cheat, OWNER, at, claimed},
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
