//! The prover.

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    ShuffleError, Statement,
    algebra::{cross_terms, mask_products, respond},
    commitment::{Commitment, CommittedRows, random_scalars},
    common_count,
    multiscalar::multiscalar,
    oracle::{FirstMessages, Oracle, public_values},
    precompute::{Masks, Mixing},
    proof::{Responses, ShuffleProof},
};
use crate::{
    group::{Element, SecretScalar},
    key_list::KeyList,
    permutation::Permutation,
};

impl Mixing {
    /// Proves that `outputs` are `inputs` under [`Mixing::permutation`], each multiplied by `b`, where
    /// `statement.blinded_base` is `b` times `statement.base`. That it is so is not checked: the proof of anything
    /// else is refused by the verifier.
    ///
    /// Gives the permutation back, for the way back of the replies. The masks are wiped whether or not this succeeds.
    pub fn prove<R: CryptoRng>(
        self,
        statement: &Statement,
        inputs: &KeyList,
        outputs: &KeyList,
        b: &SecretScalar,
        rng: &mut R,
    ) -> Result<(ShuffleProof, Permutation), ShuffleError> {
        let count = common_count(inputs, outputs)?;
        if self.permutation.len() != count {
            return Err(ShuffleError::CountMismatch { expected: count, actual: self.permutation.len() });
        }
        let rows = self.key.rows(count);

        // Step 0.
        let mut oracle = Oracle::new(statement, inputs, outputs);
        // Steps 1 and 2.
        let permutation = self.permutation_rows.publish();
        let t = oracle.matching_challenges(&permutation, count);
        // Steps 3 and 4.
        let matching_rows = CommittedRows::commit(self.key, &Zeroizing::new(self.permutation.apply(&t)), rows, rng);
        let matching = matching_rows.publish();
        let (lambda, z) = oracle.product_challenges(&matching);
        let v = Zeroizing::new(self.permutation.apply(&public_values(&lambda, &z, &t)));
        // Step 5.
        let terms = Zeroizing::new(cross_terms(&v, &self.masks.d, &self.masks.delta));
        let cross_randomizers = random_scalars(rows, rng);
        let (cross_rows, link) = rayon::join(
            || CommittedRows::commit_with(self.key, &terms, cross_randomizers),
            || masked_link(&self.masks, &self.permutation, &v, inputs.keys(), b),
        );
        let first = FirstMessages {
            masks: self.mask_rows.publish(),
            mask_products: self.mask_product_rows.publish(),
            cross_terms: cross_rows.publish(),
            link: Commitment::from(link),
            key_mask: Commitment::from(statement.base.point() * self.masks.beta),
        };
        // Step 6.
        let e = oracle.response_challenge(&first)?;
        // Step 7.
        let (values, products) = rayon::join(
            || respond(e, &v, &self.masks.d),
            || respond(e, &terms, &Zeroizing::new(mask_products(&self.masks.d, &self.masks.delta))),
        );
        let openings = Zeroizing::new(respond(lambda, &self.permutation_rows.randomizers, &matching_rows.randomizers));
        let responses = Responses {
            values,
            products,
            key: e * b.expose() + self.masks.beta,
            value_randomizers: respond(e, &openings, &self.mask_rows.randomizers),
            product_randomizers: respond(e, &cross_rows.randomizers, &self.mask_product_rows.randomizers),
        };
        Ok((ShuffleProof { permutation, matching, first, responses }, self.permutation))
    }
}

/// `R = Σ d_i·Y_i − β·T`, computed over the inputs alone: `Σ_j (b·d_{π⁻¹(j)} − β·u_j)·X_j`.
fn masked_link(
    masks: &Masks,
    permutation: &Permutation,
    v: &[Scalar],
    inputs: &[Element],
    b: &SecretScalar,
) -> RistrettoPoint {
    let mut coefficients = Zeroizing::new(vec![Scalar::ZERO; v.len()]);
    for (output, (d, v)) in masks.d.iter().zip(v).enumerate() {
        coefficients[permutation.source(output)] = b.expose() * d - masks.beta * v;
    }
    multiscalar(&coefficients, inputs, Element::point)
}
