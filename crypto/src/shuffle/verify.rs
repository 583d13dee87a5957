//! The verifier.

use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{IsIdentity, VartimeMultiscalarMul},
};
use rand_core::CryptoRng;

use super::{
    ShuffleError, Statement, Strength, VerifiedHop,
    algebra::product_response,
    commitment::{Commitment, CommitmentKey},
    common_count,
    multiscalar::{multiscalar, plain_and_indexed_sums},
    oracle::{Oracle, public_values},
    proof::ShuffleProof,
};
use crate::{group::Element, key_list::KeyList};

/// Verifies a proof. `rng` must be unpredictable to the prover: it gives the weights that fold the equations into one.
pub fn verify<R: CryptoRng>(
    statement: &Statement,
    inputs: &KeyList,
    outputs: &KeyList,
    proof: &ShuffleProof,
    rng: &mut R,
) -> Result<VerifiedHop, ShuffleError> {
    verify_rows(CommitmentKey::global(), statement, inputs, outputs, proof, rng)
}

pub(super) fn verify_rows<R: CryptoRng>(
    key: &CommitmentKey,
    statement: &Statement,
    inputs: &KeyList,
    outputs: &KeyList,
    proof: &ShuffleProof,
    rng: &mut R,
) -> Result<VerifiedHop, ShuffleError> {
    let count = common_count(inputs, outputs)?;
    if proof.count() != count {
        return Err(ShuffleError::CountMismatch { expected: count, actual: proof.count() });
    }

    // Step 0.
    let mut oracle = Oracle::new(statement, inputs, outputs);
    // Steps 1 and 2.
    let t = oracle.matching_challenges(&proof.permutation, count);
    // Steps 3 and 4.
    let (lambda, z) = oracle.product_challenges(&proof.matching);
    // Steps 5 and 6.
    let e = oracle.response_challenge(&proof.first)?;
    let challenges = Challenges { t, lambda, z, e };

    let weights = Weights::draw(key.rows(count), rng);
    let (product, relation) = rayon::join(
        || challenges.product_holds(proof),
        || challenges.relations_hold(key, statement, inputs.keys(), outputs.keys(), proof, &weights),
    );
    match (product, relation) {
        (false, _) => Err(ShuffleError::Product),
        (_, false) => Err(ShuffleError::Relation),
        (true, true) => Ok(VerifiedHop::new(statement, inputs, outputs, Strength::Full)),
    }
}

/// What the hash gave.
struct Challenges {
    t: Vec<Scalar>,
    lambda: Scalar,
    z: Scalar,
    e: Scalar,
}

impl Challenges {
    /// Check 2: `F_N = e·Π u_j`.
    fn product_holds(&self, proof: &ShuffleProof) -> bool {
        let public: Scalar = public_values(&self.lambda, &self.z, &self.t).iter().product();
        product_response(self.e.invert(), &proof.responses.values, &proof.responses.products) == self.e * public
    }

    /// Checks 1 and 3 as one sum that has to vanish. The relation `Σ g_i·Y_i − b̂·T = R` has weight 1, so that its
    /// scalars stay as they are; every other equation has its own random weight.
    fn relations_hold(
        &self,
        key: &CommitmentKey,
        statement: &Statement,
        inputs: &[Element],
        outputs: &[Element],
        proof: &ShuffleProof,
        weights: &Weights,
    ) -> bool {
        let (outputs, (inputs, rest)) = rayon::join(
            || multiscalar(&proof.responses.values, outputs, Element::point),
            || {
                rayon::join(
                    || self.input_combination(inputs),
                    || self.weighted_openings(key, proof, weights) + self.weighted_key(statement, proof, weights),
                )
            },
        );
        (outputs - inputs * proof.responses.key - proof.first.link.point + rest).is_identity()
    }

    /// `T = Σ u_j·X_j`, split so that only the short challenges are multiplied: `Σ t_j·X_j + λ·Σ j·X_j − z·Σ X_j`.
    fn input_combination(&self, inputs: &[Element]) -> RistrettoPoint {
        let (short, (plain, indexed)) = rayon::join(
            || multiscalar(&self.t, inputs, Element::point),
            || plain_and_indexed_sums(inputs, Element::point),
        );
        short + indexed * self.lambda - plain * self.z
    }

    /// Check 1: `Σ_r ρ_r·(com(g) − e·V − D) + σ_r·(com(f) − e·C_a − C_Δ)` over the rows r.
    fn weighted_openings(&self, key: &CommitmentKey, proof: &ShuffleProof, weights: &Weights) -> RistrettoPoint {
        let (responses, first) = (&proof.responses, &proof.first);
        let mut columns = vec![Scalar::ZERO; key.width().min(responses.values.len())];
        let mut blinding = Scalar::ZERO;
        let mut rows = Vec::with_capacity(5 * weights.values.len());
        for (row, (value, product)) in weights.values.iter().zip(&weights.products).enumerate() {
            let weighted_z = value * self.e * self.z;
            for (column, g) in columns.iter_mut().zip(key.row(&responses.values, row)) {
                // Only columns in use are part of z·ΣG.
                *column += value * g + weighted_z;
            }
            for (column, f) in columns.iter_mut().zip(key.row(&responses.products, row)) {
                *column += product * f;
            }
            blinding += value * responses.value_randomizers[row] + product * responses.product_randomizers[row];
            rows.push((-(value * self.e * self.lambda), &proof.permutation[row]));
            rows.push((-(value * self.e), &proof.matching[row]));
            rows.push((-value, &first.masks[row]));
            rows.push((-(product * self.e), &first.cross_terms[row]));
            rows.push((-product, &first.mask_products[row]));
        }
        let rows = RistrettoPoint::vartime_multiscalar_mul(
            rows.iter().map(|(scalar, _)| scalar).chain([&blinding]),
            rows.iter().map(|(_, Commitment { point, .. })| point).chain([&key.blinding]),
        );
        rows + multiscalar(&columns, &key.generators[..columns.len()], |point| point)
    }

    /// Check 3b: `τ·(b̂·P − e·Q − B')`.
    fn weighted_key(&self, statement: &Statement, proof: &ShuffleProof, weights: &Weights) -> RistrettoPoint {
        RistrettoPoint::vartime_multiscalar_mul(
            [weights.key * proof.responses.key, -(weights.key * self.e), -weights.key],
            [statement.base.point(), statement.blinded_base.point(), &proof.first.key_mask.point],
        )
    }
}

/// One random 128-bit weight for each equation but one, drawn when the whole proof is there.
pub(super) struct Weights {
    /// ρ, for the rows of `com(g) = e·V + D`.
    pub(super) values: Vec<Scalar>,
    /// σ, for the rows of `com(f) = e·C_a + C_Δ`.
    pub(super) products: Vec<Scalar>,
    /// τ, for `b̂·P = e·Q + B'`.
    pub(super) key: Scalar,
}

impl Weights {
    pub(super) fn draw<R: CryptoRng>(rows: usize, rng: &mut R) -> Self {
        let mut weight = || {
            let mut bytes = [0; 16];
            rng.fill_bytes(&mut bytes);
            Scalar::from(u128::from_le_bytes(bytes))
        };
        Self {
            values: (0..rows).map(|_| weight()).collect(),
            products: (0..rows).map(|_| weight()).collect(),
            key: weight(),
        }
    }
}
