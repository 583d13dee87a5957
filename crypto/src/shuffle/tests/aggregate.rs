//! The aggregate proof: what it refuses, and what it lets pass that the full argument refuses.

use super::*;
use crate::shuffle::aggregate::{AggregateProof, prove, verify as verify_sum};

#[test]
fn an_honest_aggregate_proof_is_accepted_and_says_that_it_is_one() {
    let mut rng = rng(1);
    let hop = Hop::new(key(2), 5, 5, &mut rng);
    let proof = prove(&hop.statement, &hop.inputs, &hop.outputs, &hop.b, &mut rng).expect("equal lengths");
    let proof = AggregateProof::parse(&proof.to_bytes()).expect("an honest proof is well-formed");
    let verified = verify_sum(&hop.statement, &hop.inputs, &hop.outputs, &proof).expect("an honest proof");
    assert_eq!((verified.strength(), verified.count()), (Strength::Aggregate, 5));
    assert_eq!(verified.output_root(), &hop.statement.output_root);
}

#[test]
fn a_changed_statement_list_or_proof_is_refused() {
    let mut rng = rng(2);
    let hop = Hop::new(key(2), 3, 3, &mut rng);
    let proof = prove(&hop.statement, &hop.inputs, &hop.outputs, &hop.b, &mut rng).expect("equal lengths");
    for index in 0..AggregateProof::LEN {
        let mut bytes = proof.to_bytes();
        bytes[index] ^= 1;
        if let Ok(changed) = AggregateProof::parse(&bytes) {
            let verdict = verify_sum(&hop.statement, &hop.inputs, &hop.outputs, &changed);
            assert_eq!(verdict, Err(ShuffleError::Sum), "byte {index}");
        }
    }
    for change in [
        |statement: &mut Statement| statement.context.0[0] ^= 1,
        |statement: &mut Statement| statement.input_root.0[0] ^= 1,
        |statement: &mut Statement| statement.output_root.0[0] ^= 1,
        |statement: &mut Statement| statement.removed.0[0] ^= 1,
        |statement: &mut Statement| core::mem::swap(&mut statement.base, &mut statement.blinded_base),
    ] {
        let mut changed = hop.statement.clone();
        change(&mut changed);
        assert_eq!(verify_sum(&changed, &hop.inputs, &hop.outputs, &proof), Err(ShuffleError::Sum));
    }
    // The sums stay the same when a list is put in another order: the lists themselves are bound.
    let reordered = KeyList::new(hop.outputs.keys().iter().rev().copied().collect());
    assert_eq!(verify_sum(&hop.statement, &hop.inputs, &reordered, &proof), Err(ShuffleError::Sum));
    let dropped = KeyList::new(hop.outputs.keys()[1..].to_vec());
    let mismatch = ShuffleError::CountMismatch { expected: 3, actual: 2 };
    assert_eq!(verify_sum(&hop.statement, &hop.inputs, &dropped, &proof), Err(mismatch));
}

#[test]
fn a_replaced_key_is_refused() {
    let mut rng = rng(3);
    let hop = Hop::new(key(2), 4, 4, &mut rng);
    let mut keys = hop.outputs.keys().to_vec();
    keys[1] = random_keys(1, &mut rng).keys()[0];
    let outputs = KeyList::new(keys);
    let proof = prove(&hop.statement, &hop.inputs, &outputs, &hop.b, &mut rng).expect("equal lengths");
    assert_eq!(verify_sum(&hop.statement, &hop.inputs, &outputs, &proof), Err(ShuffleError::Sum));
}

#[test]
fn a_change_that_keeps_the_sum_passes_here_and_is_refused_by_the_full_argument() {
    let mut rng = rng(4);
    let key = key(2);
    let mixing = Precomputed::prepare_rows(key, 4, &mut rng).begin(4, &mut rng).expect("4 keys");
    let (inputs, b) = (random_keys(4, &mut rng), SecretScalar::random(&mut rng));
    let mut keys = mix(&inputs, mixing.permutation(), &b).keys().to_vec();
    let moved = random_keys(1, &mut rng).keys()[0];
    keys[0] = Element::from_point(keys[0].point() + moved.point()).expect("not the identity");
    keys[1] = Element::from_point(keys[1].point() - moved.point()).expect("not the identity");
    let (outputs, statement) = (KeyList::new(keys), statement(&b));

    let proof = prove(&statement, &inputs, &outputs, &b, &mut rng).expect("equal lengths");
    assert!(verify_sum(&statement, &inputs, &outputs, &proof).is_ok());
    let (proof, _) = mixing.prove(&statement, &inputs, &outputs, &b, &mut rng).expect("equal lengths");
    let verdict = verify::verify_rows(key, &statement, &inputs, &outputs, &proof, &mut rng);
    assert_eq!(verdict, Err(ShuffleError::Relation));
}
