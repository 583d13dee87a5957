//! What a tuple used twice, or short masks, give away. The public types make neither possible; here the tuple is
//! duplicated by a generator that repeats itself.

use std::collections::HashMap;

use curve25519_dalek::scalar::Scalar;

use super::{
    lab::{Challenges, Claim, Lab, REAL, in_order},
    *,
};
use crate::group::random_scalar;

fn challenges(key: &'static CommitmentKey, hop: &Hop) -> Challenges {
    let points = |list: &KeyList| list.keys().iter().map(|key| *key.point()).collect();
    let (p, q) = (*hop.statement.base.point(), *hop.statement.blinded_base.point());
    let lab = Lab { rules: REAL, key, claim: Claim { p, q, x: points(&hop.inputs), y: points(&hop.outputs) } };
    assert!(lab.accepts(&hop.proof));
    lab.challenges(&hop.proof)
}

/// Two hops with two batches, permutations and secrets, with masks from one seed or from two.
fn two_hops(key: &'static CommitmentKey, count: usize, seeds: [u64; 2]) -> [Hop; 2] {
    let mut rng = rng(1);
    seeds.map(|seed| {
        let tuple = Precomputed::prepare_rows(key, count, &mut super::rng(seed));
        let mixing = tuple.begin_with(Permutation::random(count, &mut rng), &mut rng).expect("some keys");
        Hop::prove(mixing, random_keys(count, &mut rng), SecretScalar::random(&mut rng), &mut rng)
    })
}

/// Looks up `g_i − g'_i = e·u_{π(i)} − e'·u'_{π'(i)}` in a table of all e'·u'; counts the links that come out right.
fn links_found(key: &'static CommitmentKey, [first, second]: &[Hop; 2]) -> usize {
    let (one, two) = (challenges(key, first), challenges(key, second));
    let table: HashMap<_, _> = two.u().iter().enumerate().map(|(source, u)| ((two.e * u).to_bytes(), source)).collect();
    let weighted: Vec<_> = one.u().iter().map(|u| one.e * u).collect();
    let responses = first.proof.responses.values.iter().zip(&second.proof.responses.values);
    responses
        .enumerate()
        .filter(|(output, (g, other))| {
            let difference = *g - *other;
            weighted.iter().enumerate().any(|(source, weighted)| {
                let pair = table.get(&(weighted - difference).to_bytes()).map(|&other| (source, other));
                pair == Some((first.permutation.source(*output), second.permutation.source(*output)))
            })
        })
        .count()
}

#[test]
fn a_tuple_used_for_two_batches_gives_both_permutations_away() {
    let (key, count) = (key(64), 150);
    assert_eq!(links_found(key, &two_hops(key, count, [5, 5])), count);
    assert_eq!(links_found(key, &two_hops(key, count, [5, 6])), 0);
}

#[test]
fn a_tuple_used_twice_for_one_batch_gives_b_away() {
    let key = key(4);
    let recover = |seeds: [u64; 2]| {
        let mut rng = rng(2);
        let inputs = random_keys(6, &mut rng);
        let hops = seeds.map(|seed| {
            let b = SecretScalar::random(&mut super::rng(3));
            let mixing = Precomputed::prepare_rows(key, 6, &mut super::rng(seed)).begin(6, &mut rng).expect("6 keys");
            // What the prover draws online differs, as it would after a restart from a snapshot.
            Hop::prove(mixing, inputs.clone(), b, &mut rng)
        });
        let e = hops.each_ref().map(|hop| challenges(key, hop).e);
        let recovered = (hops[0].proof.responses.key - hops[1].proof.responses.key) * (e[0] - e[1]).invert();
        recovered == *hops[0].b.expose()
    };
    assert!(recover([5, 5]));
    assert!(!recover([5, 6]));
}

#[test]
fn masks_of_240_bits_give_the_permutation_away_in_one_proof() {
    let count = 40;
    let mut rng = rng(4);
    let links_found = |bytes: usize, rng: &mut ChaCha20Rng| {
        let (b, x) = (random_scalar(rng), (0..count).map(|_| random_scalar(rng)).collect::<Vec<_>>());
        let mut lab = Lab { rules: REAL, key: key(count), claim: Claim::in_order(&x, b, rng) };
        // π(i) = 11·i modulo 40.
        let sources: Vec<_> = (0..count).map(|output| output * 11 % count).collect();
        let outputs = sources.iter().map(|&source| lab.claim.y[source]).collect();
        lab.claim.y = outputs;
        let permuted = lab.commit(sources.iter().map(|&source| in_order(count)[source]).collect(), rng);
        let epsilon: Vec<_> = sources.iter().map(|&source| permuted.t[source]).collect();
        let mut masked = lab.mask(permuted, &epsilon, rng);
        for d in &mut masked.d {
            let mut short = d.to_bytes();
            short[bytes..].fill(0);
            *d = Scalar::from_bytes_mod_order(short);
        }
        let mut delta: Vec<_> = (0..count).map(|_| random_scalar(rng)).collect();
        (delta[0], delta[count - 1]) = (masked.d[0], Scalar::ZERO);
        masked.derive(&delta);
        let link = lab.honest_link(&masked);
        let proof = lab.send(masked, link, rng).respond(b);
        assert_eq!(lab.real_verdict(&proof, rng), Some(Ok(())));

        let challenges = lab.challenges(&proof);
        let guesses = proof
            .responses
            .values
            .iter()
            .map(|g| challenges.u().iter().position(|u| (g - challenges.e * u).as_bytes()[30..] == [0, 0]));
        guesses.zip(&sources).filter(|(guess, source)| guess.as_ref() == Some(source)).count()
    };
    assert_eq!(links_found(30, &mut rng), count);
    assert!(links_found(32, &mut rng) < 5);
}
