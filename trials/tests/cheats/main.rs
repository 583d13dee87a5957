//! Cheating servers in networks of real processes: whoever cheats is named.

mod harness;

use crate::harness::Trap;

#[test]
fn a_server_that_drops_a_record_is_named() {
    Trap::with_mutant("dropped-record").names_the_mutant();
}

#[test]
fn a_server_that_replaces_a_record_is_named() {
    Trap::with_mutant("replaced-record").names_the_mutant();
}

#[test]
fn a_server_that_tags_a_record_is_named() {
    Trap::with_mutant("tagged-key").names_the_mutant();
}

#[test]
fn a_server_that_proves_another_order_than_it_sends_is_named() {
    Trap::with_mutant("wrong-order").names_the_mutant();
}

#[test]
fn a_server_that_sends_no_real_proof_is_named() {
    Trap::with_mutant("lazy-prover").names_the_mutant();
}

#[test]
fn a_server_that_confirms_two_vectors_is_named() {
    Trap::with_mutant("two-vectors").names_the_mutant();
}
