//! A second, plain implementation of the argument with rules that can be weakened one at a time and a prover that may
//! lie at every step. Attacks are mounted against a weakened variant, to show that they work there, and against the
//! real rules, under which transcript and verdict are those of the real verifier.

use core::iter;

use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::{IsIdentity, VartimeMultiscalarMul},
};
use rand_chacha::ChaCha20Rng;

use super::*;
use crate::{
    group::random_scalar,
    hash::Hasher,
    shuffle::{
        algebra::{cross_terms, mask_products, product_response, respond},
        commitment::{Commitment, CommittedRows, encodings},
        oracle::{FirstMessages, expand_short, public_values},
        proof::Responses,
    },
    transcript::Transcript,
};

/// The rules of a variant. [`REAL`] are those of the argument.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// Bits of `t_j`.
    pub(super) t_bits: u32,
    /// Bits of e, or full size.
    pub(super) e_bits: Option<u32>,
    /// C is hashed before t is drawn, not after.
    pub(super) commits_permutation_first: bool,
    /// Y is hashed.
    pub(super) hashes_outputs: bool,
    /// E is hashed.
    pub(super) hashes_matching: bool,
    /// R and B' are hashed.
    pub(super) hashes_link: bool,
    /// P, Q and Y must not be the identity.
    pub(super) refuses_identity: bool,
    /// e must not be zero.
    pub(super) refuses_zero: bool,
    /// Check 1.
    pub(super) checks_openings: bool,
    /// Check 2.
    pub(super) checks_product: bool,
    /// Check 3, first half.
    pub(super) checks_link: bool,
    /// Check 3, second half.
    pub(super) checks_key: bool,
}

pub(super) const REAL: Rules = Rules {
    t_bits: 128,
    e_bits: None,
    commits_permutation_first: true,
    hashes_outputs: true,
    hashes_matching: true,
    hashes_link: true,
    refuses_identity: true,
    refuses_zero: true,
    checks_openings: true,
    checks_product: true,
    checks_link: true,
    checks_key: true,
};

/// A statement over any points, the identity included.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) p: RistrettoPoint,
    pub(super) q: RistrettoPoint,
    pub(super) x: Vec<RistrettoPoint>,
    pub(super) y: Vec<RistrettoPoint>,
}

impl Claim {
    /// Inputs with known logarithms `x`, and outputs in the order of the inputs: nothing is wrong with it yet.
    pub(super) fn in_order(x: &[Scalar], b: Scalar, rng: &mut ChaCha20Rng) -> Self {
        let p = *SecretScalar::random(rng).multiply(&Element::base()).point();
        let x: Vec<_> = x.iter().map(|x| p * x).collect();
        Self { p, q: p * b, y: x.iter().map(|x| x * b).collect(), x }
    }

    /// The same for the real verifier, unless a point is the identity.
    fn real(&self) -> Option<(Statement, KeyList, KeyList)> {
        let list = |points: &[RistrettoPoint]| {
            points.iter().map(|&point| Element::from_point(point)).collect::<Result<_, _>>().map(KeyList::new).ok()
        };
        let statement = Statement {
            context: Digest([1; 32]),
            base: Element::from_point(self.p).ok()?,
            blinded_base: Element::from_point(self.q).ok()?,
            input_root: Digest([2; 32]),
            output_root: Digest([3; 32]),
            removed: Digest([4; 32]),
        };
        Some((statement, list(&self.x)?, list(&self.y)?))
    }
}

/// The challenges of one transcript.
#[derive(Clone)]
pub(super) struct Challenges {
    pub(super) t: Vec<Scalar>,
    pub(super) lambda: Scalar,
    pub(super) z: Scalar,
    pub(super) e: Scalar,
}

impl Challenges {
    /// `u_1..u_N`.
    pub(super) fn u(&self) -> Vec<Scalar> {
        public_values(&self.lambda, &self.z, &self.t)
    }
}

/// Which checks a proof passes: openings, product, link, key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checks {
    pub(super) openings: bool,
    pub(super) product: bool,
    pub(super) link: bool,
    pub(super) key: bool,
}

/// Rules, key and statement of one attempt.
#[derive(Clone)]
pub(super) struct Lab {
    pub(super) rules: Rules,
    pub(super) key: &'static CommitmentKey,
    pub(super) claim: Claim,
}

pub(super) fn combine(scalars: &[Scalar], points: &[RistrettoPoint]) -> RistrettoPoint {
    RistrettoPoint::vartime_multiscalar_mul(scalars, points)
}

fn shorten(scalar: Scalar, bits: Option<u32>) -> Scalar {
    let low = u128::from_le_bytes(scalar.as_bytes()[..16].try_into().expect("16 of 32 bytes"));
    match bits {
        None => scalar,
        Some(bits) => Scalar::from(low & (u128::MAX >> (128 - bits))),
    }
}

impl Lab {
    // The transcript, message by message.

    fn start(&self) -> Transcript {
        let mut transcript = Transcript::new(b"hippodrome v1 shuffle");
        let digest = |points: &[RistrettoPoint]| {
            let encoded: Vec<_> = points.iter().map(|point| point.compress().to_bytes()).collect();
            Hasher::new("hippodrome v1 key list").list(encoded.iter()).finish()
        };
        transcript.digest(b"context", &Digest([1; 32]));
        transcript.number(b"count", self.claim.x.len() as u64);
        transcript.bytes(b"P", self.claim.p.compress().as_bytes());
        transcript.bytes(b"Q", self.claim.q.compress().as_bytes());
        transcript.digest(b"X", &digest(&self.claim.x));
        if self.rules.hashes_outputs {
            transcript.digest(b"Y", &digest(&self.claim.y));
        }
        transcript.digest(b"input root", &Digest([2; 32]));
        transcript.digest(b"output root", &Digest([3; 32]));
        transcript.digest(b"removed", &Digest([4; 32]));
        transcript
    }

    fn draw_t(&self, transcript: &mut Transcript, permutation: &[CompressedRistretto]) -> Vec<Scalar> {
        if self.rules.commits_permutation_first {
            transcript.commitments(b"C", permutation);
        }
        let t = expand_short(&transcript.wide(b"t"), self.claim.x.len());
        t.into_iter().map(|t| shorten(t, Some(self.rules.t_bits))).collect()
    }

    fn draw_lambda_z(
        &self,
        transcript: &mut Transcript,
        permutation: &[CompressedRistretto],
        matching: &[CompressedRistretto],
    ) -> (Scalar, Scalar) {
        if !self.rules.commits_permutation_first {
            transcript.commitments(b"C", permutation);
        }
        if self.rules.hashes_matching {
            transcript.commitments(b"E", matching);
        }
        (transcript.scalar(b"lambda"), transcript.scalar(b"z"))
    }

    fn draw_e(&self, transcript: &mut Transcript, first: &FirstMessages) -> Scalar {
        transcript.commitments(b"D", &encodings(&first.masks));
        transcript.commitments(b"C_Delta", &encodings(&first.mask_products));
        transcript.commitments(b"C_a", &encodings(&first.cross_terms));
        if self.rules.hashes_link {
            transcript.commitments(b"R", &[first.link.encoded]);
            transcript.commitments(b"B'", &[first.key_mask.encoded]);
        }
        shorten(transcript.scalar(b"e"), self.rules.e_bits)
    }

    /// t as it would be if no commitment to the permutation came before it.
    pub(super) fn t_without_permutation(&self) -> Vec<Scalar> {
        self.draw_t(&mut self.start(), &[])
    }

    pub(super) fn challenges(&self, proof: &ShuffleProof) -> Challenges {
        let mut transcript = self.start();
        let permutation = encodings(&proof.permutation);
        let t = self.draw_t(&mut transcript, &permutation);
        let (lambda, z) = self.draw_lambda_z(&mut transcript, &permutation, &encodings(&proof.matching));
        let e = self.draw_e(&mut transcript, &proof.first);
        Challenges { t, lambda, z, e }
    }

    // The verifier, equation by equation.

    pub(super) fn checks(&self, challenges: &Challenges, proof: &ShuffleProof) -> Checks {
        let Challenges { lambda, z, e, .. } = challenges;
        let (responses, first, u) = (&proof.responses, &proof.first, challenges.u());
        let opens = |row: usize| {
            let g = self.key.row(&responses.values, row);
            let columns: RistrettoPoint = self.key.generators[..g.len()].iter().sum();
            let value = lambda * proof.permutation[row].point + proof.matching[row].point - z * columns;
            let values = self.key.commit_row(g, &responses.value_randomizers[row]);
            let f = self.key.row(&responses.products, row);
            let products = self.key.commit_row(f, &responses.product_randomizers[row]);
            values == e * value + first.masks[row].point
                && products == e * first.cross_terms[row].point + first.mask_products[row].point
        };
        let product: Scalar = u.iter().product();
        let target = combine(&u, &self.claim.x) * responses.key;
        Checks {
            openings: (0..proof.permutation.len()).all(opens),
            product: product_response(e.invert(), &responses.values, &responses.products) == e * product,
            link: combine(&responses.values, &self.claim.y) - target == first.link.point,
            key: self.claim.p * responses.key == self.claim.q * e + first.key_mask.point,
        }
    }

    /// The verdict under the rules of the lab.
    pub(super) fn accepts(&self, proof: &ShuffleProof) -> bool {
        let (rules, claim) = (&self.rules, &self.claim);
        let challenges = self.challenges(proof);
        let checks = self.checks(&challenges, proof);
        let identity = iter::once(&claim.p).chain([&claim.q]).chain(&claim.y).any(IsIdentity::is_identity);
        !(rules.refuses_identity && identity
            || rules.refuses_zero && challenges.e == Scalar::ZERO
            || rules.checks_openings && !checks.openings
            || rules.checks_product && !checks.product
            || rules.checks_link && !checks.link
            || rules.checks_key && !checks.key)
    }

    /// The verdict of the real verifier on the bytes of the proof; `None` if its types cannot state the claim.
    pub(super) fn real_verdict(&self, proof: &ShuffleProof, rng: &mut ChaCha20Rng) -> Option<Result<(), ShuffleError>> {
        let (statement, inputs, outputs) = self.claim.real()?;
        let verdict = ShuffleProof::parse_rows(self.key, &proof.to_bytes(), inputs.len())
            .and_then(|proof| verify::verify_rows(self.key, &statement, &inputs, &outputs, &proof, rng));
        Some(verdict.map(|_| ()))
    }

    /// Whether lab and real verifier, which must agree under the real rules, refuse.
    pub(super) fn really_refuses(&self, proof: &ShuffleProof) -> bool {
        let real = Self { rules: REAL, ..self.clone() };
        let refused = !matches!(real.real_verdict(proof, &mut rng(1234)), Some(Ok(())));
        assert_eq!(refused, !real.accepts(proof), "lab and real verifier disagree");
        refused
    }

    // The prover, step by step. Every field may be changed between the steps.

    /// Steps 1 and 2, with anything for π.
    pub(super) fn commit(&self, c: Vec<Scalar>, rng: &mut ChaCha20Rng) -> Permuted {
        let rows = CommittedRows::commit(self.key, &c, self.key.rows(c.len()), rng);
        let mut transcript = self.start();
        let t = self.draw_t(&mut transcript, &encodings(&rows.publish()));
        Permuted { transcript, c, rows, t }
    }

    /// λ and z as they would be if E were not hashed.
    pub(super) fn product_challenges_without_matching(&self, permuted: &Permuted) -> (Scalar, Scalar) {
        let permutation = encodings(&permuted.rows.publish());
        self.draw_lambda_z(&mut permuted.transcript.clone(), &permutation, &[])
    }

    /// Steps 3 to 5, with anything for the permuted t. The masks and the values under them are honest.
    pub(super) fn mask(&self, permuted: Permuted, epsilon: &[Scalar], rng: &mut ChaCha20Rng) -> Masked {
        let Permuted { mut transcript, c, rows, t } = permuted;
        let count = c.len();
        let matching_rows = CommittedRows::commit(self.key, epsilon, self.key.rows(count), rng);
        let published = encodings(&matching_rows.publish());
        let (lambda, z) = self.draw_lambda_z(&mut transcript, &encodings(&rows.publish()), &published);
        let v: Vec<_> = c.iter().zip(epsilon).map(|(c, epsilon)| lambda * c + epsilon - z).collect();
        let u = public_values(&lambda, &z, &t);
        let mut masked = Masked {
            transcript,
            permutation_rows: rows,
            matching_rows,
            t,
            lambda,
            v,
            u,
            d: (0..count).map(|_| random_scalar(rng)).collect(),
            products: Vec::new(),
            terms: Vec::new(),
            beta: random_scalar(rng),
        };
        let mut delta: Vec<_> = (0..count).map(|_| random_scalar(rng)).collect();
        delta[0] = masked.d[0];
        delta[count - 1] = Scalar::ZERO;
        masked.derive(&delta);
        masked
    }

    /// `R` as an honest prover makes it from the outputs that are really there.
    pub(super) fn honest_link(&self, masked: &Masked) -> RistrettoPoint {
        combine(&masked.d, &self.claim.y) - combine(&masked.u, &self.claim.x) * masked.beta
    }

    /// Step 6, with any R; B' is honest.
    pub(super) fn send(&self, masked: Masked, link: RistrettoPoint, rng: &mut ChaCha20Rng) -> Sent {
        let rows = masked.permutation_rows.points.len();
        let mask_rows = CommittedRows::commit(self.key, &masked.d, rows, rng);
        let product_rows = CommittedRows::commit(self.key, &masked.products, rows, rng);
        let cross_rows = CommittedRows::commit(self.key, &masked.terms, rows, rng);
        let first = FirstMessages {
            masks: mask_rows.publish(),
            mask_products: product_rows.publish(),
            cross_terms: cross_rows.publish(),
            link: Commitment::from(link),
            key_mask: Commitment::from(self.claim.p * masked.beta),
        };
        let e = self.draw_e(&mut masked.transcript.clone(), &first);
        Sent { masked, mask_rows, product_rows, cross_rows, first, e }
    }

    /// Step 6 again with another β and the R that belongs to it, by one hash.
    pub(super) fn send_again(&self, sent: &mut Sent, beta: Scalar, link: RistrettoPoint) {
        sent.masked.beta = beta;
        sent.first.link = Commitment::from(link);
        sent.first.key_mask = Commitment::from(self.claim.p * beta);
        sent.e = self.draw_e(&mut sent.masked.transcript.clone(), &sent.first);
    }

    /// The whole prover with c for π and ε of t, and R made from the outputs.
    pub(super) fn prove(
        &self,
        c: Vec<Scalar>,
        epsilon: impl Fn(&[Scalar]) -> Vec<Scalar>,
        b: Scalar,
        rng: &mut ChaCha20Rng,
    ) -> ShuffleProof {
        let permuted = self.commit(c, rng);
        let epsilon = epsilon(&permuted.t);
        let masked = self.mask(permuted, &epsilon, rng);
        let link = self.honest_link(&masked);
        self.send(masked, link, rng).respond(b)
    }
}

/// After steps 1 and 2.
pub(super) struct Permuted {
    transcript: Transcript,
    pub(super) c: Vec<Scalar>,
    rows: CommittedRows,
    pub(super) t: Vec<Scalar>,
}

/// Before the messages of step 5 are sent.
pub(super) struct Masked {
    transcript: Transcript,
    permutation_rows: CommittedRows,
    matching_rows: CommittedRows,
    pub(super) t: Vec<Scalar>,
    pub(super) lambda: Scalar,
    pub(super) v: Vec<Scalar>,
    pub(super) u: Vec<Scalar>,
    pub(super) d: Vec<Scalar>,
    /// The values under C_Δ.
    pub(super) products: Vec<Scalar>,
    /// The values under C_a.
    pub(super) terms: Vec<Scalar>,
    pub(super) beta: Scalar,
}

impl Masked {
    /// Makes the values under C_Δ and C_a honestly from the masks.
    pub(super) fn derive(&mut self, delta: &[Scalar]) {
        self.products = mask_products(&self.d, delta);
        self.terms = cross_terms(&self.v, &self.d, delta);
    }
}

/// After step 6.
pub(super) struct Sent {
    pub(super) masked: Masked,
    mask_rows: CommittedRows,
    product_rows: CommittedRows,
    cross_rows: CommittedRows,
    pub(super) first: FirstMessages,
    pub(super) e: Scalar,
}

impl Sent {
    /// Step 7.
    pub(super) fn respond(self, b: Scalar) -> ShuffleProof {
        let Self { masked, mask_rows, product_rows, cross_rows, first, e } = self;
        let openings = respond(masked.lambda, &masked.permutation_rows.randomizers, &masked.matching_rows.randomizers);
        ShuffleProof {
            permutation: masked.permutation_rows.publish(),
            matching: masked.matching_rows.publish(),
            first,
            responses: Responses {
                values: respond(e, &masked.v, &masked.d),
                products: respond(e, &masked.terms, &masked.products),
                key: e * b + masked.beta,
                value_randomizers: respond(e, &openings, &mask_rows.randomizers),
                product_randomizers: respond(e, &cross_rows.randomizers, &product_rows.randomizers),
            },
        }
    }
}

/// `1..=count` as scalars: C of the order of the inputs.
pub(super) fn in_order(count: usize) -> Vec<Scalar> {
    (1..=count as u64).map(Scalar::from).collect()
}

/// Adjusts the last f so that the product check holds: what a prover does who need not open anything.
pub(super) fn solve_last_product(e: Scalar, u: &[Scalar], responses: &mut Responses) {
    let (g, f) = (&responses.values, &responses.products);
    let last = g.len() - 1;
    let before = product_response(e.invert(), &g[..last], &f[..last - 1]);
    responses.products[last - 1] = e * e * u.iter().product::<Scalar>() - before * g[last];
}

#[test]
fn under_the_real_rules_lab_and_real_argument_are_one() {
    for (width, count) in [(4, 1), (4, 2), (2, 5), (3, 6)] {
        let mut rng = rng(1);
        let key = key(width);
        // A proof of the lab's prover before the real verifier.
        let (b, x) = (random_scalar(&mut rng), (0..count).map(|_| random_scalar(&mut rng)).collect::<Vec<_>>());
        let lab = Lab { rules: REAL, key, claim: Claim::in_order(&x, b, &mut rng) };
        if count > 1 {
            let proof = lab.prove(in_order(count), <[Scalar]>::to_vec, b, &mut rng);
            assert!(lab.accepts(&proof));
            assert_eq!(lab.real_verdict(&proof, &mut rng), Some(Ok(())));
        }
        // A proof of the real prover before the lab's verifier.
        let hop = Hop::new(key, count, count, &mut rng);
        let points = |list: &KeyList| list.keys().iter().map(|key| *key.point()).collect();
        let claim = Claim {
            p: *hop.statement.base.point(),
            q: *hop.statement.blinded_base.point(),
            x: points(&hop.inputs),
            y: points(&hop.outputs),
        };
        let lab = Lab { rules: REAL, key, claim };
        assert!(lab.accepts(&hop.proof));
    }
}
