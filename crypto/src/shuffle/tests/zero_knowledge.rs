//! Nothing about the order leaks: exact enumeration over a tiny field, a simulator over the real group, and a
//! statistic for someone who knows all links but two.

use core::ops::{Add, Mul, Sub};

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};

use super::{
    lab::{Challenges, Checks, Claim, Lab, REAL, Sent, combine},
    *,
};
use crate::{
    group::random_scalar,
    shuffle::{
        algebra::{Field, cross_terms, mask_products, product_response, respond},
        commitment::Commitment,
        oracle::FirstMessages,
        proof::Responses,
    },
};

// Enumeration over Z_5. The group is Z_5 as well, and commitments are as they are in the argument, so that the whole
// distribution of transcripts can be counted. N = 3 is the least count with a free Δ.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Five(u8);

impl Add for Five {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self((self.0 + other.0) % 5)
    }
}

impl Mul for Five {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0 % 5)
    }
}

impl Sub for Five {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self((self.0 + 5 - other.0) % 5)
    }
}

impl Field for Five {
    const ZERO: Self = Self(0);
}

const H: Five = Five(1);
const G: [Five; 3] = [Five(2), Five(3), Five(1)];
const TAPES: usize = 5usize.pow(10);

fn dot(a: &[Five], b: &[Five]) -> Five {
    a.iter().zip(b).fold(Five(0), |sum, (&a, &b)| sum + a * b)
}

fn commit(values: &[Five], randomizer: Five) -> Five {
    dot(values, &G) + randomizer * H
}

fn inverse(value: Five) -> Five {
    value * value * value
}

/// The base-5 digits of a number.
fn digits<const COUNT: usize>(mut number: usize) -> [Five; COUNT] {
    core::array::from_fn(|_| {
        let digit = Five((number % 5) as u8);
        number /= 5;
        digit
    })
}

struct Toy {
    x: [Five; 3],
    permutation: [usize; 3],
    b: Five,
    t: [Five; 3],
    lambda: Five,
    z: Five,
    e: Five,
}

/// How a prover departs from the argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    ZeroDelta,
    ZeroBeta,
    NoRandomizer,
    BetaIsMask,
    DeltaIsMask,
}

impl Toy {
    fn u(&self) -> [Five; 3] {
        core::array::from_fn(|j| self.lambda * Five(j as u8 + 1) + self.t[j] - self.z)
    }

    /// Runs the prover on all 5^10 random tapes, with the functions that the real prover uses. The ten free parts of
    /// a transcript number it; everything else must be what the simulator makes of them. Counts each number.
    fn count_transcripts(&self, mutant: Option<Mutant>) -> Vec<u16> {
        let (u, e) = (self.u(), self.e);
        let v = self.permutation.map(|source| u[source]);
        let y = self.permutation.map(|source| self.b * self.x[source]);
        let c = self.permutation.map(|source| Five(source as u8 + 1));
        let epsilon = self.permutation.map(|source| self.t[source]);
        let target = dot(&u, &self.x);
        let mut counts = vec![0; TAPES];
        for masks in 0..5usize.pow(4) {
            let [d_1, d_2, d_3, mut delta_2] = digits(masks);
            match mutant {
                Some(Mutant::ZeroDelta) => delta_2 = Five(0),
                Some(Mutant::DeltaIsMask) => delta_2 = d_2,
                _ => {}
            }
            let (d, delta) = ([d_1, d_2, d_3], [d_1, delta_2, Five(0)]);
            let (products, terms) = (mask_products(&d, &delta), cross_terms(&v, &d, &delta));
            let (g, f) = (respond(e, &v, &d), respond(e, &terms, &products));
            let second_product = product_response(inverse(e), &g[..2], &f[..1]);
            assert_eq!(product_response(inverse(e), &g, &f), e * u[0] * u[1] * u[2]);
            for tape in 0..5usize.pow(6) {
                let [r_c, r_e, mut r_a, r_d, r_delta, mut beta] = digits(tape);
                match mutant {
                    Some(Mutant::ZeroBeta) => beta = Five(0),
                    Some(Mutant::BetaIsMask) => beta = d_1,
                    Some(Mutant::NoRandomizer) => r_a = Five(0),
                    _ => {}
                }
                let (commitment, matching, cross) = (commit(&c, r_c), commit(&epsilon, r_e), commit(&terms, r_a));
                let r_g = e * (self.lambda * r_c + r_e) + r_d;
                let r_f = e * r_a + r_delta;
                let key = e * self.b + beta;
                // D, C_Δ, R and B' (for P = 1): what is sent is what the simulator computes.
                let value = self.lambda * commitment + matching - self.z * (G[0] + G[1] + G[2]);
                assert_eq!(commit(&d, r_d), commit(&g, r_g) - e * value);
                assert_eq!(commit(&products, r_delta), commit(&f, r_f) - e * cross);
                assert_eq!(dot(&d, &y) - beta * target, dot(&g, &y) - key * target);
                assert_eq!(beta, key - e * self.b);
                let free = [commitment, matching, cross, g[0], g[1], g[2], second_product, r_g, r_f, key];
                counts[free.iter().fold(0, |number, digit| number * 5 + usize::from(digit.0))] += 1;
            }
        }
        counts
    }
}

fn toys() -> [Toy; 2] {
    [
        Toy {
            x: [Five(1), Five(2), Five(4)],
            permutation: [1, 2, 0],
            b: Five(3),
            t: [Five(1), Five(4), Five(2)],
            lambda: Five(2),
            z: Five(1),
            e: Five(3),
        },
        Toy {
            x: [Five(2), Five(2), Five(3)],
            permutation: [0, 2, 1],
            b: Five(2),
            t: [Five(0), Five(3), Five(3)],
            lambda: Five(4),
            z: Five(2),
            e: Five(1),
        },
    ]
}

#[test]
fn over_a_tiny_field_real_and_simulated_transcripts_are_equally_distributed() {
    // The simulator draws the ten free parts uniformly: every number comes up once.
    toys().par_iter().for_each(|toy| assert!(toy.count_transcripts(None).iter().all(|&count| count == 1)));
}

#[test]
fn over_a_tiny_field_every_missing_mask_is_seen() {
    use Mutant::*;
    [ZeroDelta, ZeroBeta, NoRandomizer, BetaIsMask, DeltaIsMask].par_iter().for_each(|&mutant| {
        let counts = toys()[0].count_transcripts(Some(mutant));
        assert!(counts.iter().any(|&count| count != 1), "{mutant:?} is not seen");
    });
}

#[test]
fn two_permutations_that_fit_equal_inputs_give_the_same_transcripts() {
    let [_, one] = toys();
    let other = Toy { permutation: [1, 2, 0], ..toys()[1] };
    let outputs = |toy: &Toy| toy.permutation.map(|source| toy.b * toy.x[source]);
    assert_eq!(outputs(&one), outputs(&other), "both fit");
    assert_eq!(one.count_transcripts(None), other.count_transcripts(None));
}

// The simulator over the real group.

/// A transcript for given challenges, from the statement alone.
fn simulate(lab: &Lab, challenges: &Challenges, rng: &mut ChaCha20Rng) -> ShuffleProof {
    let Challenges { lambda, z, e, .. } = challenges;
    let (claim, key, u) = (&lab.claim, lab.key, challenges.u());
    let count = claim.x.len();
    let rows = key.rows(count);
    let scalars = |length: usize, rng: &mut ChaCha20Rng| (0..length).map(|_| random_scalar(rng)).collect::<Vec<_>>();
    let points = |rng: &mut ChaCha20Rng| {
        (0..rows).map(|_| Commitment::from(RistrettoPoint::mul_base(&random_scalar(rng)))).collect::<Vec<_>>()
    };
    let (permutation, matching, cross) = (points(rng), points(rng), points(rng));
    let g = scalars(count, rng);
    let mut products = scalars(count, rng);
    products[0] = g[0];
    products[count - 1] = e * u.iter().product::<Scalar>();
    let f: Vec<_> = (1..count).map(|next| e * products[next] - products[next - 1] * g[next]).collect();
    let (value_randomizers, product_randomizers) = (scalars(rows, rng), scalars(rows, rng));
    let response = random_scalar(rng);
    let masks = (0..rows).map(|row| {
        let g = key.row(&g, row);
        let columns: RistrettoPoint = key.generators[..g.len()].iter().sum();
        let value = lambda * permutation[row].point + matching[row].point - z * columns;
        Commitment::from(key.commit_row(g, &value_randomizers[row]) - e * value)
    });
    let mask_products = (0..rows).map(|row| {
        let opened = key.commit_row(key.row(&f, row), &product_randomizers[row]);
        Commitment::from(opened - e * cross[row].point)
    });
    let first = FirstMessages {
        masks: masks.collect(),
        mask_products: mask_products.collect(),
        cross_terms: cross,
        link: Commitment::from(combine(&g, &claim.y) - combine(&u, &claim.x) * response),
        key_mask: Commitment::from(claim.p * response - claim.q * e),
    };
    ShuffleProof {
        permutation,
        matching,
        first,
        responses: Responses { values: g, products: f, key: response, value_randomizers, product_randomizers },
    }
}

#[test]
fn the_simulator_satisfies_every_check_for_true_and_false_statements() {
    let mut rng = rng(1);
    for count in [2, 3, 7] {
        let x: Vec<_> = (0..count).map(|_| random_scalar(&mut rng)).collect();
        let mut lab = Lab { rules: REAL, key: key(3), claim: Claim::in_order(&x, random_scalar(&mut rng), &mut rng) };
        for statement_is_true in [true, false] {
            if !statement_is_true {
                lab.claim.y[1] = RistrettoPoint::mul_base(&random_scalar(&mut rng));
            }
            let challenges = Challenges {
                t: (0..count).map(|_| random_scalar(&mut rng)).collect(),
                lambda: random_scalar(&mut rng),
                z: random_scalar(&mut rng),
                e: random_scalar(&mut rng),
            };
            let proof = simulate(&lab, &challenges, &mut rng);
            let all = Checks { openings: true, product: true, link: true, key: true };
            assert_eq!(lab.checks(&challenges, &proof), all);
            // With challenges from the hash it is no proof, even of a true statement.
            assert!(lab.really_refuses(&proof));
        }
    }
}

// All links known but two.

/// N = 6, everything known but which of inputs 1 and 2 became output 1, and which output 2.
const OPEN: [[usize; 6]; 2] = [[0, 1, 3, 4, 5, 2], [1, 0, 3, 4, 5, 2]];

/// A proof of one of the two candidates over fresh keys, before its responses are made.
fn prove_candidate(candidate: usize, mask_bytes: usize, rng: &mut ChaCha20Rng) -> (Lab, Sent, Scalar) {
    let sources = OPEN[candidate];
    let (b, x) = (random_scalar(rng), (0..6).map(|_| random_scalar(rng)).collect::<Vec<_>>());
    let mut lab = Lab { rules: REAL, key: shared_key(), claim: Claim::in_order(&x, b, rng) };
    let outputs = sources.map(|source| lab.claim.y[source]);
    lab.claim.y = outputs.to_vec();
    let permuted = lab.commit(sources.map(|source| Scalar::from(source as u64 + 1)).to_vec(), rng);
    let epsilon = sources.map(|source| permuted.t[source]);
    let mut masked = lab.mask(permuted, &epsilon, rng);
    for d in &mut masked.d {
        let mut bytes = d.to_bytes();
        bytes[mask_bytes..].fill(0);
        *d = Scalar::from_bytes_mod_order(bytes);
    }
    let mut delta: Vec<_> = (0..6).map(|_| random_scalar(rng)).collect();
    (delta[0], delta[5]) = (masked.d[0], Scalar::ZERO);
    masked.derive(&delta);
    let link = lab.honest_link(&masked);
    let sent = lab.send(masked, link, rng);
    (lab, sent, b)
}

fn shared_key() -> &'static CommitmentKey {
    static KEY: std::sync::OnceLock<&'static CommitmentKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| key(6))
}

/// What someone who knows all links but two would look at: the open responses, what would be left of them if candidate
/// 0 were true, the running products likewise, and every point.
fn features(lab: &Lab, proof: &ShuffleProof) -> Vec<[u8; 32]> {
    let challenges = lab.challenges(proof);
    let (e, u, responses, first) = (challenges.e, challenges.u(), &proof.responses, &proof.first);
    let (g, f) = (&responses.values, &responses.products);
    let mut prefix = Scalar::ONE;
    let mut scalars = vec![g[0], g[1], f[0], f[1], responses.key];
    for (output, &source) in OPEN[0].iter().enumerate() {
        prefix *= u[source];
        scalars.push(g[output] - e * u[source]);
        scalars.push(product_response(e.invert(), &g[..=output], &f[..output]) - e * prefix);
    }
    let columns: RistrettoPoint = lab.key.generators.iter().sum();
    let value = challenges.lambda * proof.permutation[0].point + proof.matching[0].point - challenges.z * columns;
    let guess: Vec<_> = OPEN[0].iter().map(|&source| u[source]).collect();
    let points = [
        value - combine(&guess, &lab.key.generators),
        first.masks[0].point,
        first.mask_products[0].point,
        first.cross_terms[0].point,
        first.link.point,
        combine(&guess, &lab.claim.y) * e + first.link.point,
    ];
    let scalars = scalars.iter().map(Scalar::to_bytes);
    scalars.chain(points.iter().map(|point| point.compress().to_bytes())).collect()
}

/// Counts every bit of every feature under both candidates. Gives the largest and the mean square of the normalised
/// differences.
fn statistic(transcripts: usize, mask_bytes: usize) -> (f64, f64) {
    let counts = [0, 1].map(|candidate| {
        let count = |index: usize| {
            let mut rng = rng((2 * index + candidate) as u64);
            let (lab, sent, b) = prove_candidate(candidate, mask_bytes, &mut rng);
            let bits = features(&lab, &sent.respond(b)).concat();
            (0..8 * bits.len()).map(|bit| u32::from(bits[bit / 8] >> (bit % 8) & 1)).collect::<Vec<_>>()
        };
        let add = |left: Vec<u32>, right: Vec<u32>| left.iter().zip(&right).map(|(left, right)| left + right).collect();
        (0..transcripts).into_par_iter().map(count).reduce_with(add).expect("some transcripts")
    });
    let total = transcripts as f64;
    let scores: Vec<f64> = counts[0]
        .iter()
        .zip(&counts[1])
        .map(|(&one, &two)| (f64::from(one), f64::from(two)))
        // Bits that are constant, such as the top bits of scalars, say nothing.
        .filter(|(one, two)| one + two > 0.0 && one + two < 2.0 * total)
        .map(|(one, two)| {
            let mean = (one + two) / (2.0 * total);
            (one - two) / (2.0 * total * mean * (1.0 - mean)).sqrt()
        })
        .collect();
    let largest = scores.iter().fold(0.0, |largest: f64, score| largest.max(score.abs()));
    (largest, scores.iter().map(|score| score * score).sum::<f64>() / scores.len() as f64)
}

#[test]
fn someone_who_knows_all_links_but_two_sees_no_difference() {
    let (largest, mean_square) = statistic(400, 32);
    assert!(largest < 5.0, "largest difference {largest} standard deviations");
    assert!((0.9..1.1).contains(&mean_square), "mean square {mean_square}");
    // The statistic is able to see one: masks of 240 bits leave the top of the residuals empty for the truth only.
    let (largest, _) = statistic(60, 30);
    assert!(largest > 5.0, "short masks are not seen: {largest}");
}

#[test]
fn the_unmasked_link_would_let_guesses_be_tested() {
    let mut rng = rng(3);
    for round in 0..20 {
        let truth = round % 2;
        let (lab, sent, b) = prove_candidate(truth, 32, &mut rng);
        let guess = |shown: RistrettoPoint, weights: &[Scalar]| {
            (0..2).position(|candidate| {
                let moved: Vec<_> = OPEN[candidate].iter().map(|&source| weights[source]).collect();
                combine(&moved, &lab.claim.y) == shown
            })
        };
        // W = b·Σ t_j·X_j in the clear, as some arguments show it, names the truth; so does b·T.
        let (t, u) = (sent.masked.t.clone(), sent.masked.u.clone());
        assert_eq!(guess(combine(&t, &lab.claim.x) * b, &t), Some(truth));
        assert_eq!(guess(combine(&u, &lab.claim.x) * b, &u), Some(truth));
        // What is shown instead is masked by β and d.
        let (link, e) = (sent.first.link.point, sent.e);
        let proof = sent.respond(b);
        assert_eq!(guess(link, &t), None);
        assert_eq!(guess(link, &u), None);
        let masked_target = combine(&u, &lab.claim.x) * proof.responses.key * e.invert();
        assert_eq!(guess(masked_target, &u), None);
    }
}
