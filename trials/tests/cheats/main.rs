//! Cheating servers in networks of real processes: whoever cheats is convicted by evidence that anyone can check, and
//! rounds go on without it.

mod harness;

use crate::harness::Trap;

/// What a server is convicted of that signs another batch than it should: that depends on whether it is its chain's
/// first hop, on what else it has to sign, and on which of it is seen first.
const BAD_BATCH: &[&str] = &[
    "it mixed another batch than the input that it signed",
    "the batch that it signed breaks a rule",
    "its proof is not about the batch that the hop before it signed",
    "its proof does not hold",
];
const BAD_PROOF: &[&str] = &["its proof does not hold"];
const TWO_STATEMENTS: &[&str] = &["it signed two different statements"];

/// What must come of a cheat.
fn comes_to_light(cheat: &str, offences: &[&str]) {
    let trap = Trap::with_mutant(cheat);
    trap.convicts_the_mutant_of(offences);
    trap.goes_on_without_the_mutant();
}

#[test]
fn a_server_that_drops_a_record_is_convicted() {
    comes_to_light("dropped-record", BAD_BATCH);
}

#[test]
fn a_server_that_replaces_a_record_is_convicted() {
    comes_to_light("replaced-record", BAD_BATCH);
}

#[test]
fn a_server_that_tags_a_record_is_convicted() {
    comes_to_light("tagged-key", BAD_BATCH);
}

#[test]
fn a_server_that_proves_another_order_than_it_sends_is_convicted() {
    comes_to_light("wrong-order", BAD_BATCH);
}

#[test]
fn a_server_that_sends_no_real_proof_is_convicted() {
    comes_to_light("lazy-prover", BAD_PROOF);
}

#[test]
fn a_server_that_confirms_two_vectors_is_convicted() {
    comes_to_light("two-vectors", TWO_STATEMENTS);
}

#[test]
fn a_server_that_pledges_other_noise_than_it_sends_is_convicted() {
    let trap = Trap::with_audited_mutant("other-noise");
    trap.convicts_the_mutant_of(&["the noise that it opened is false"]);
    trap.goes_on_without_the_mutant();
}
