//! Provers of false statements. Each succeeds against the variant that lacks what stops it, and fails against the
//! real rules.

use std::collections::HashSet;

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar, traits::Identity};

use super::{
    lab::{Checks, Claim, Lab, Masked, REAL, Rules, combine, in_order, solve_last_product},
    *,
};
use crate::{
    group::random_scalar,
    permutation::below,
    shuffle::{algebra::product_response, commitment::Commitment, proof::Responses, verify::Weights},
};

const ALL: Checks = Checks { openings: true, product: true, link: true, key: true };

/// A lab over a statement of `count` keys in order, whose logarithms the caller gets, with b.
fn lab(rules: Rules, width: usize, count: usize, rng: &mut ChaCha20Rng) -> (Lab, Vec<Scalar>, Scalar) {
    let x: Vec<_> = (0..count).map(|_| random_scalar(rng)).collect();
    let b = random_scalar(rng);
    let claim = Claim::in_order(&x, b, rng);
    (Lab { rules, key: key(width), claim }, x, b)
}

fn random_points(count: usize, rng: &mut ChaCha20Rng) -> Vec<RistrettoPoint> {
    (0..count).map(|_| RistrettoPoint::mul_base(&random_scalar(rng))).collect()
}

// Wrong witnesses.

#[test]
fn outputs_that_are_not_the_blinded_inputs_are_refused() {
    let count = 5;
    type Change = fn(&mut Claim, Scalar);
    let changes: [(&str, Change); 7] = [
        ("another order than committed", |claim, _| claim.y.swap(0, 3)),
        ("a replaced key", |claim, b| claim.y[1] = RistrettoPoint::mul_base(&b)),
        ("a scaled key", |claim, b| claim.y[2] *= b),
        ("an output given twice", |claim, _| claim.y[4] = claim.y[3]),
        ("a change that keeps the sum", |claim, b| {
            claim.y[0] += RistrettoPoint::mul_base(&b);
            claim.y[1] -= RistrettoPoint::mul_base(&b);
        }),
        ("another blinding key", |claim, b| claim.q *= b),
        ("an input key changed", |claim, b| claim.x[2] *= b),
    ];
    for (name, change) in changes {
        let mut rng = rng(1);
        let (mut lab, _, b) = lab(REAL, 3, count, &mut rng);
        let honest_outputs = lab.claim.y.clone();
        change(&mut lab.claim, b);
        // R from the outputs that are there, and from those that an honest server would have put out.
        for outputs in [lab.claim.y.clone(), honest_outputs] {
            let permuted = lab.commit(in_order(count), &mut rng);
            let t = permuted.t.clone();
            let masked = lab.mask(permuted, &t, &mut rng);
            let link = combine(&masked.d, &outputs) - combine(&masked.u, &lab.claim.x) * masked.beta;
            let proof = lab.send(masked, link, &mut rng).respond(b);
            assert!(lab.really_refuses(&proof), "{name}");
        }
    }
}

#[test]
fn an_output_given_twice_is_refused_even_when_committed_to() {
    let mut rng = rng(2);
    let (mut lab, _, b) = lab(REAL, 3, 5, &mut rng);
    lab.claim.y[4] = lab.claim.y[3];
    let mut c = in_order(5);
    c[4] = c[3];
    let proof = lab.prove(c, |t| vec![t[0], t[1], t[2], t[3], t[3]], b, &mut rng);
    assert!(lab.really_refuses(&proof));
}

#[test]
fn equal_inputs_may_be_proved_honestly() {
    let mut rng = rng(3);
    let (mut lab, _, b) = lab(REAL, 3, 4, &mut rng);
    lab.claim.x[1] = lab.claim.x[0];
    lab.claim.y[1] = lab.claim.y[0];
    let proof = lab.prove(in_order(4), <[Scalar]>::to_vec, b, &mut rng);
    assert_eq!(lab.real_verdict(&proof, &mut rng), Some(Ok(())));
    // But three outputs of two equal inputs are refused.
    lab.claim.y[2] = lab.claim.y[0];
    let proof = lab.prove(in_order(4), <[Scalar]>::to_vec, b, &mut rng);
    assert!(lab.really_refuses(&proof));
}

// Checks left out: the proof fails this check only.

fn assert_only_stopped_by(lab: &Lab, proof: &ShuffleProof, failed: Checks, weakened: Rules) {
    assert_eq!(lab.checks(&lab.challenges(proof), proof), failed);
    assert!(Lab { rules: weakened, ..lab.clone() }.accepts(proof));
    assert!(lab.really_refuses(proof));
}

#[test]
fn without_the_opening_check_an_honest_key_is_scaled() {
    let mut rng = rng(4);
    let (mut lab, _, b) = lab(REAL, 3, 5, &mut rng);
    let s = Scalar::from(7u64);
    lab.claim.y[0] *= s;
    let (proof, _) = prove_with_unopened_value(&lab, s, b, &mut rng);
    let rules = Rules { checks_openings: false, ..REAL };
    assert_only_stopped_by(&lab, &proof, Checks { openings: false, ..ALL }, rules);
}

/// Answers as if `v_1` were `u_1/s`, and makes the product come out; the openings are wrong. Also gives the change of
/// `g_1` and of the last f.
fn prove_with_unopened_value(
    lab: &Lab,
    s: Scalar,
    b: Scalar,
    rng: &mut ChaCha20Rng,
) -> (ShuffleProof, (Scalar, Scalar)) {
    let permuted = lab.commit(in_order(lab.claim.x.len()), rng);
    let t = permuted.t.clone();
    let masked = lab.mask(permuted, &t, rng);
    let link = lab.honest_link(&masked);
    let sent = lab.send(masked, link, rng);
    let (e, u) = (sent.e, sent.masked.u.clone());
    let mut proof = sent.respond(b);
    let change = e * u[0] * (s.invert() - Scalar::ONE);
    let last = *proof.responses.products.last().expect("several keys");
    proof.responses.values[0] += change;
    solve_last_product(e, &u, &mut proof.responses);
    let last_change = proof.responses.products.last().expect("several keys") - last;
    (proof, (change, last_change))
}

#[test]
fn without_the_product_check_keys_are_shifted() {
    let mut rng = rng(5);
    let (mut lab, x, b) = lab(REAL, 3, 5, &mut rng);
    let shifted = Shifted::new(&mut lab.claim, &x, b);
    let proof = lab.prove(shifted.c(5), |t| shifted.epsilon(t), b, &mut rng);
    let rules = Rules { checks_product: false, ..REAL };
    assert_only_stopped_by(&lab, &proof, Checks { product: false, ..ALL }, rules);
}

#[test]
fn without_the_link_check_all_outputs_are_replaced() {
    let mut rng = rng(6);
    let (mut lab, _, b) = lab(REAL, 3, 5, &mut rng);
    lab.claim.y = random_points(5, &mut rng);
    let proof = lab.prove(in_order(5), <[Scalar]>::to_vec, b, &mut rng);
    assert_only_stopped_by(&lab, &proof, Checks { link: false, ..ALL }, Rules { checks_link: false, ..REAL });
}

#[test]
fn without_the_key_check_another_secret_is_used() {
    let mut rng = rng(7);
    let (mut lab, _, b) = lab(REAL, 3, 5, &mut rng);
    let other = random_scalar(&mut rng);
    lab.claim.q = lab.claim.p * other;
    let proof = lab.prove(in_order(5), <[Scalar]>::to_vec, b, &mut rng);
    assert_only_stopped_by(&lab, &proof, Checks { key: false, ..ALL }, Rules { checks_key: false, ..REAL });
}

// Messages left out of the hash.

#[test]
fn with_r_outside_the_hash_all_outputs_are_replaced() {
    for rules in [Rules { hashes_link: false, ..REAL }, REAL] {
        let mut rng = rng(8);
        let (mut lab, _, b) = lab(rules, 3, 5, &mut rng);
        lab.claim.y = random_points(5, &mut rng);
        lab.claim.q = random_points(1, &mut rng)[0];
        let permuted = lab.commit(in_order(5), &mut rng);
        let t = permuted.t.clone();
        let masked = lab.mask(permuted, &t, &mut rng);
        let link = lab.honest_link(&masked);
        let sent = lab.send(masked, link, &mut rng);
        let (e, target) = (sent.e, combine(&sent.masked.u, &lab.claim.x));
        let mut proof = sent.respond(b);
        let responses = &proof.responses;
        let link = combine(&responses.values, &lab.claim.y) - target * responses.key;
        let key_mask = lab.claim.p * responses.key - lab.claim.q * e;
        proof.first.link = Commitment::from(link);
        proof.first.key_mask = Commitment::from(key_mask);
        assert_eq!(lab.accepts(&proof), !rules.hashes_link);
        assert!(lab.really_refuses(&proof));
    }
}

#[test]
fn with_the_outputs_outside_the_hash_all_but_one_are_replaced() {
    for rules in [Rules { hashes_outputs: false, ..REAL }, REAL] {
        let mut rng = rng(9);
        let (mut lab, _, b) = lab(rules, 3, 5, &mut rng);
        let permuted = lab.commit(in_order(5), &mut rng);
        let t = permuted.t.clone();
        let masked = lab.mask(permuted, &t, &mut rng);
        let target = combine(&masked.u, &lab.claim.x);
        let link = lab.honest_link(&masked);
        let proof = lab.send(masked, link, &mut rng).respond(b);
        let g = &proof.responses.values;
        lab.claim.y = random_points(5, &mut rng);
        let rest = target * proof.responses.key + link - combine(&g[..4], &lab.claim.y[..4]);
        lab.claim.y[4] = rest * g[4].invert();
        assert_eq!(lab.accepts(&proof), !rules.hashes_outputs);
        assert!(lab.really_refuses(&proof));
    }
}

#[test]
fn with_e_outside_the_hash_honest_keys_are_scaled() {
    for rules in [Rules { hashes_matching: false, ..REAL }, REAL] {
        let mut rng = rng(10);
        let (mut lab, _, b) = lab(rules, 3, 5, &mut rng);
        let s = Scalar::from(7u64);
        lab.claim.y[0] *= s;
        lab.claim.y[1] *= s.invert();
        let permuted = lab.commit(in_order(5), &mut rng);
        let (lambda, z) = lab.product_challenges_without_matching(&permuted);
        let mut v = oracle::public_values(&lambda, &z, &permuted.t);
        v[0] *= s.invert();
        v[1] *= s;
        let epsilon: Vec<_> = v.iter().zip(&permuted.c).map(|(v, c)| v - lambda * c + z).collect();
        let masked = lab.mask(permuted, &epsilon, &mut rng);
        let link = lab.honest_link(&masked);
        let proof = lab.send(masked, link, &mut rng).respond(b);
        assert_eq!(lab.accepts(&proof), !rules.hashes_matching);
        assert!(lab.really_refuses(&proof));
    }
}

#[test]
fn without_a_commitment_before_t_the_order_of_colluders_is_chosen_to_replace_honest_keys() {
    // Two honest keys, shifted by a known amount, and colluders with small logarithms: after t is known their order
    // is chosen so that the shifts cancel. Short t keep the search small; the order of the two steps decides.
    let short = Rules { t_bits: 8, ..REAL };
    let (colluders, count) = (12, 14);
    let mut rng = rng(11);
    let (mut lab, mut x, b) = lab(Rules { commits_permutation_first: false, ..short }, 4, count, &mut rng);
    // Logarithms in no order, so that the sums can move both ways.
    let log = |i: usize| i as i64 * 5 % 12 + 1;
    (0..colluders).for_each(|i| x[2 + i] = Scalar::from(log(i) as u64));
    lab.claim = Claim::in_order(&x, b, &mut rng);
    lab.claim.y[0] += lab.claim.p * b;
    lab.claim.y[1] -= lab.claim.p * b;

    let t = lab.t_without_permutation();
    let small = |scalar: &Scalar| i64::from(scalar.as_bytes()[0]);
    let shift = [-1, small(&t[0]) - small(&t[1])];
    let mut order: Vec<usize> = (0..colluders).collect();
    let cancels = |order: &[usize]| {
        let sums = order.iter().enumerate().fold(shift, |[indices, challenges], (i, &source)| {
            let moved = small(&t[2 + source]) - small(&t[2 + i]);
            [indices + log(i) * (source as i64 - i as i64), challenges + log(i) * moved]
        });
        sums == [0, 0]
    };
    let tries = (0..20_000_000).find(|_| {
        order.swap(below(colluders as u32, &mut rng) as usize, below(colluders as u32, &mut rng) as usize);
        cancels(&order)
    });
    assert!(tries.is_some(), "no order cancels the shift");

    let sources: Vec<_> = [0, 1].into_iter().chain(order.iter().map(|source| source + 2)).collect();
    let c: Vec<_> = sources.iter().map(|&source| Scalar::from(source as u64 + 1)).collect();
    let permute = |t: &[Scalar]| sources.iter().map(|&source| t[source]).collect::<Vec<_>>();
    let proof = lab.prove(c.clone(), permute, b, &mut rng);
    assert!(lab.accepts(&proof));
    assert!(lab.really_refuses(&proof));
    for rules in [short, REAL] {
        let lab = Lab { rules, ..lab.clone() };
        let proof = lab.prove(c.clone(), permute, b, &mut rng);
        assert!(!lab.accepts(&proof));
        assert!(lab.really_refuses(&proof));
    }
}

// Short challenges.

/// `Y_1 += σb·P`, `Y_2 −= σb·P`, and what a colluder with key `x_3·P` must commit to instead of (3, t_3) so that the
/// linear relation holds for all λ and z. Only the product is wrong then.
struct Shifted {
    sigma: Scalar,
    x_3: Scalar,
}

impl Shifted {
    fn new(claim: &mut Claim, x: &[Scalar], b: Scalar) -> Self {
        let sigma = Scalar::from(5u64);
        claim.y[0] += claim.p * sigma * b;
        claim.y[1] -= claim.p * sigma * b;
        Self { sigma, x_3: x[2] }
    }

    fn c(&self, count: usize) -> Vec<Scalar> {
        let mut c = in_order(count);
        c[2] += self.sigma * self.x_3.invert();
        c
    }

    fn epsilon(&self, t: &[Scalar]) -> Vec<Scalar> {
        let mut epsilon = t.to_vec();
        epsilon[2] -= (t[0] - t[1]) * self.sigma * self.x_3.invert();
        epsilon
    }
}

/// `a·b` for polynomials, lowest coefficient first.
fn multiply(a: &[Scalar], b: &[Scalar; 2]) -> Vec<Scalar> {
    let mut product = vec![Scalar::ZERO; a.len() + 1];
    for (i, a) in a.iter().enumerate() {
        product[i] += a * b[0];
        product[i + 1] += a * b[1];
    }
    product
}

/// Chooses the values under C_Δ and C_a so that the product check, which is wrong as a polynomial in e, holds at the
/// given N challenges: with `G_i = e^{i−1}·F_i`, the coefficients of `G_N` are triangular in C_Δ's values.
fn plant_roots(masked: &mut Masked, roots: &[Scalar]) {
    let count = masked.v.len();
    let linear = |i: usize| [masked.d[i], masked.v[i]];
    // tails[i] = Π_{k ≥ i} (e·v_k + d_k), counted from 0.
    let mut tails = vec![vec![Scalar::ONE]];
    (0..count).rev().for_each(|i| tails.push(multiply(&tails[tails.len() - 1], &linear(i))));
    tails.reverse();
    let (wrong, right): (Scalar, Scalar) = (masked.v.iter().product(), masked.u.iter().product());
    let mut missing = roots.iter().fold(vec![wrong - right], |product, root| multiply(&product, &[-root, Scalar::ONE]));
    missing[count] += right;
    missing.iter_mut().zip(&tails[0]).for_each(|(missing, have)| *missing -= have);
    // G_N gains Σ_i e^i·(e·m_i + p_i)·tails[i + 2]: each p_i settles coefficient i, the last m coefficient N − 1.
    masked.terms.fill(Scalar::ZERO);
    for i in 0..count - 1 {
        let p = missing[i] * tails[i + 2][0].invert();
        masked.products[i] = p;
        tails[i + 2].iter().enumerate().for_each(|(k, tail)| missing[i + k] -= p * tail);
    }
    masked.terms[count - 2] = missing[count - 1];
    missing[count - 1] = Scalar::ZERO;
    assert!(missing.iter().all(|&coefficient| coefficient == Scalar::ZERO), "the polynomials differ");
}

/// Plants N roots below `2^bits` and hashes with one β after another until e is one of them.
fn forge_with_planted_roots(rules: Rules, bits: u32, tries: usize) -> (Lab, ShuffleProof, usize) {
    let mut rng = rng(12);
    let count = 64;
    let (mut lab, x, b) = lab(rules, count, count, &mut rng);
    let shifted = Shifted::new(&mut lab.claim, &x, b);
    let permuted = lab.commit(shifted.c(count), &mut rng);
    let epsilon = shifted.epsilon(&permuted.t);
    let mut masked = lab.mask(permuted, &epsilon, &mut rng);
    let mut roots = HashSet::new();
    while roots.len() < count {
        roots.insert(below((1 << bits) - 1, &mut rng) + 1);
    }
    let roots: Vec<_> = roots.into_iter().map(Scalar::from).collect();
    plant_roots(&mut masked, &roots);

    let (outputs, target) = (combine(&masked.d, &lab.claim.y), combine(&masked.u, &lab.claim.x));
    let link = lab.honest_link(&masked);
    let mut sent = lab.send(masked, link, &mut rng);
    let (mut beta, mut hashes) = (sent.masked.beta, 1);
    while hashes < tries && !roots.contains(&sent.e) {
        beta += Scalar::ONE;
        hashes += 1;
        lab.send_again(&mut sent, beta, outputs - target * beta);
    }
    (lab, sent.respond(b), hashes)
}

#[test]
fn planted_roots_forge_with_a_short_e_faster_by_the_number_of_keys() {
    let (lab, proof, hashes) = forge_with_planted_roots(Rules { e_bits: Some(13), ..REAL }, 13, 1 << 13);
    assert!(lab.accepts(&proof));
    // 2^13 challenges with 64 roots: about 128 hashes.
    assert!(hashes < 1 << 11, "{hashes} hashes");
    assert!(lab.really_refuses(&proof));

    let (lab, proof, _) = forge_with_planted_roots(REAL, 13, 1 << 9);
    assert_eq!(lab.checks(&lab.challenges(&proof), &proof), Checks { product: false, ..ALL });
    assert!(lab.really_refuses(&proof));
}

#[test]
fn a_short_t_is_hashed_until_a_false_relation_holds() {
    // Y shifted by (S, −2S, S): the parts of λ and z cancel, and t_1 + t_3 = 2·t_2 is needed.
    let forge = |rules: Rules| {
        let mut rng = rng(13);
        let (mut lab, _, b) = lab(rules, 4, 4, &mut rng);
        let shift = random_points(1, &mut rng)[0];
        lab.claim.y[0] += shift;
        lab.claim.y[1] -= shift + shift;
        lab.claim.y[2] += shift;
        let mut permuted = lab.commit(in_order(4), &mut rng);
        let fits = |t: &[Scalar]| t[0] + t[2] == t[1] + t[1];
        for _ in 0..1 << 10 {
            if fits(&permuted.t) {
                break;
            }
            permuted = lab.commit(in_order(4), &mut rng);
        }
        let t = permuted.t.clone();
        let masked = lab.mask(permuted, &t, &mut rng);
        let link = lab.honest_link(&masked);
        let proof = lab.send(masked, link, &mut rng).respond(b);
        (lab, proof)
    };
    let (lab, proof) = forge(Rules { t_bits: 6, ..REAL });
    assert!(lab.accepts(&proof));
    assert!(lab.really_refuses(&proof));
    let (lab, proof) = forge(REAL);
    assert_eq!(lab.checks(&lab.challenges(&proof), &proof), Checks { link: false, ..ALL });
    assert!(lab.really_refuses(&proof));
}

#[test]
fn the_challenge_zero_would_let_everything_pass() {
    let weak = Rules { e_bits: Some(6), refuses_zero: false, ..REAL };
    let mut rng = rng(14);
    let (mut lab, _, b) = lab(weak, 3, 5, &mut rng);
    lab.claim.y = random_points(5, &mut rng);
    lab.claim.q = random_points(1, &mut rng)[0];
    let permuted = lab.commit(in_order(5), &mut rng);
    let t = permuted.t.clone();
    let masked = lab.mask(permuted, &t, &mut rng);
    let (outputs, target) = (combine(&masked.d, &lab.claim.y), combine(&masked.u, &lab.claim.x));
    let link = lab.honest_link(&masked);
    let mut sent = lab.send(masked, link, &mut rng);
    while sent.e != Scalar::ZERO {
        let beta = sent.masked.beta + Scalar::ONE;
        lab.send_again(&mut sent, beta, outputs - target * beta);
    }
    let proof = sent.respond(b);
    assert!(lab.accepts(&proof));
    assert!(!Lab { rules: Rules { refuses_zero: true, ..weak }, ..lab.clone() }.accepts(&proof));
    assert!(lab.really_refuses(&proof));
}

// The folding weights and the generators.

#[test]
fn a_prover_that_knows_the_weights_lets_wrong_openings_cancel() {
    let (width, count, seed) = (4, 8, 77);
    let mut rng = rng(15);
    let (mut lab, x, b) = lab(REAL, width, count, &mut rng);
    let zeta = Scalar::from(9u64);
    lab.claim.y[1] += lab.claim.p * zeta;
    let permuted = lab.commit(in_order(count), &mut rng);
    let t = permuted.t.clone();
    let masked = lab.mask(permuted, &t, &mut rng);
    let link = lab.honest_link(&masked);
    let sent = lab.send(masked, link, &mut rng);
    let (e, u, v) = (sent.e, sent.masked.u.clone(), sent.masked.v.clone());
    let mut proof = sent.respond(b);
    let weights = Weights::draw(2, &mut super::rng(seed));
    // Wrong g in one column of both rows, at two colluders, to make up for the wrong output.
    let ratio = weights.values[0] * weights.values[1].invert();
    let delta = -(e * v[1] * zeta) * (b * (x[0] - ratio * x[width])).invert();
    proof.responses.values[0] += delta;
    proof.responses.values[width] -= delta * ratio;
    // Wrong f in one column of both rows, to make the product come out, in which f is linear.
    let ratio = weights.products[0] * weights.products[1].invert();
    let move_products = |responses: &Responses, eta: Scalar| {
        let mut products = responses.products.clone();
        products[2] += eta;
        products[2 + width] -= eta * ratio;
        products
    };
    let product = |eta| product_response(e.invert(), &proof.responses.values, &move_products(&proof.responses, eta));
    let (at_zero, at_one) = (product(Scalar::ZERO), product(Scalar::ONE));
    let eta = (e * u.iter().product::<Scalar>() - at_zero) * (at_one - at_zero).invert();
    proof.responses.products = move_products(&proof.responses, eta);

    assert_eq!(lab.real_verdict(&proof, &mut super::rng(seed)), Some(Ok(())));
    assert_eq!(lab.real_verdict(&proof, &mut super::rng(seed + 1)), Some(Err(ShuffleError::Relation)));
    assert!(lab.really_refuses(&proof));
}

#[test]
fn a_prover_that_knows_logarithms_of_the_generators_opens_commitments_as_it_likes() {
    let count = 4;
    let mut rng = rng(16);
    let (mut lab, _, b) = lab(REAL, count, count, &mut rng);
    let logs: Vec<_> = (0..count).map(|_| random_scalar(&mut rng)).collect();
    let log_h = random_scalar(&mut rng);
    let known: &'static CommitmentKey = Box::leak(Box::new(CommitmentKey {
        blinding: RistrettoPoint::mul_base(&log_h),
        generators: logs.iter().map(RistrettoPoint::mul_base).collect(),
    }));
    let s = Scalar::from(7u64);
    lab.claim.y[0] *= s;
    for (key, accepted) in [(known, true), (lab.key, false)] {
        let lab = Lab { key, ..lab.clone() };
        let (mut proof, (change, last_change)) = prove_with_unopened_value(&lab, s, b, &mut rng);
        let responses = &mut proof.responses;
        responses.value_randomizers[0] -= change * logs[0] * log_h.invert();
        responses.product_randomizers[0] -= last_change * logs[count - 2] * log_h.invert();
        assert_eq!(lab.real_verdict(&proof, &mut rng) == Some(Ok(())), accepted);
        assert_eq!(lab.accepts(&proof), accepted);
    }
}

// The identity.

#[test]
fn an_identity_for_p_and_q_would_leave_b_free() {
    let weak = Rules { refuses_identity: false, ..REAL };
    let mut rng = rng(17);
    let (mut lab, x, _) = lab(weak, 3, 5, &mut rng);
    let p = lab.claim.p;
    let y: Vec<_> = (0..5).map(|_| random_scalar(&mut rng)).collect();
    lab.claim.y = y.iter().map(|y| p * y).collect();
    (lab.claim.p, lab.claim.q) = (RistrettoPoint::identity(), RistrettoPoint::identity());
    let permuted = lab.commit(in_order(5), &mut rng);
    let t = permuted.t.clone();
    let masked = lab.mask(permuted, &t, &mut rng);
    let dot = |a: &[Scalar], b: &[Scalar]| a.iter().zip(b).map(|(a, b)| a * b).sum::<Scalar>();
    let b = dot(&masked.v, &y) * dot(&masked.u, &x).invert();
    let link = lab.honest_link(&masked);
    let proof = lab.send(masked, link, &mut rng).respond(b);
    assert!(lab.accepts(&proof));
    assert!(lab.real_verdict(&proof, &mut rng).is_none(), "the types cannot say it");
    assert!(lab.really_refuses(&proof));
}

#[test]
fn identities_as_outputs_would_pass_with_b_zero() {
    let weak = Rules { refuses_identity: false, ..REAL };
    let mut rng = rng(18);
    let (mut lab, _, _) = lab(weak, 3, 5, &mut rng);
    lab.claim.y = vec![RistrettoPoint::identity(); 5];
    lab.claim.q = RistrettoPoint::identity();
    let proof = lab.prove(in_order(5), <[Scalar]>::to_vec, Scalar::ZERO, &mut rng);
    assert!(lab.accepts(&proof));
    assert!(lab.really_refuses(&proof));
    assert_eq!(Element::from_point(RistrettoPoint::identity()), Err(DecodeError::Identity));
    assert_eq!(Element::decode(&[0; 32]), Err(DecodeError::Identity));
}
