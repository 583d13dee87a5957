//! What a server shows of its step of traced records: that many points are one secret of the hop times many keys.
//!
//! Claimed is `Y_j = s·X_j` for every j, where `Q = s·P` is published: with `s = a` the points are what the keys of
//! tags come from, with `s = b` they are the keys put out. One equality proof shows it for all records at once, over
//! `Σ w_j·X_j` and `Σ w_j·Y_j` with 128-bit weights that the transcript gives after it has absorbed every point
//! (Bellare, Garay and Rabin, EUROCRYPT 1998). If one `Y_j` is wrong, the sums are related by s with probability 2^-128,
//! so a forger hashes 2^128 lists.
//!
//! [`open_layer`](crate::onion::open_layer) then says what a record holds under the points shown: a wrong tag or bytes.

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use rand_core::CryptoRng;
use rayon::prelude::*;

use crate::{
    equality::{EqualityClaim, EqualityError, EqualityProof},
    group::{Element, SecretScalar},
    hash::{Digest, Hasher},
    shuffle::multiscalar::multiscalar,
    transcript::Transcript,
};

/// Bytes of one weight.
const WEIGHT_LEN: usize = 16;

/// Keys that one core multiplies at a time.
const CHUNK: usize = 16;

/// That each point of `powers` is the secret of `power` times the key beside it in `keys`.
///
/// No keys at all are allowed, and say nothing about any record.
#[derive(Clone, Copy, Debug)]
pub struct PowersClaim<'a> {
    /// What the points are shown for: it says which secret of which hop is meant, and binds the rest of the message.
    pub context: &'a Digest,
    /// `P`: the blinding key of the hop before, or the base point.
    pub base: &'a Element,
    /// `Q = s·P`, from the signed descriptor.
    pub power: &'a Element,
    /// `X_1..X_n`.
    pub keys: &'a [Element],
    /// `Y_1..Y_n`.
    pub powers: &'a [Element],
}

/// Why points shown for a trace are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PowersError {
    /// Not one point for each key.
    #[error("{powers} points are shown for {keys} keys")]
    Count {
        /// Keys.
        keys: usize,
        /// Points.
        powers: usize,
    },
    /// A point is not the secret times its key.
    #[error("the points shown are not the keys times the published secret")]
    Refuted(#[from] EqualityError),
}

/// `secret · X` of every key, in constant time.
pub fn powers(secret: &SecretScalar, keys: &[Element]) -> Vec<Element> {
    keys.par_iter().with_min_len(CHUNK).map(|key| secret.multiply(key)).collect()
}

/// Proves a claim with its secret: in constant time, but for sums of what is shown anyway.
///
/// Panics when there is not one point for each key.
pub fn prove<R: CryptoRng>(secret: &SecretScalar, claim: &PowersClaim<'_>, rng: &mut R) -> EqualityProof {
    let (transcript, combined) = claim.combine().expect("the prover shows one point for each key");
    EqualityProof::prove(secret, &claim.equality(&combined), transcript, rng)
}

/// Verifies a claim about all its records.
pub fn verify(claim: &PowersClaim<'_>, proof: &EqualityProof) -> Result<(), PowersError> {
    let (transcript, combined) = claim.combine()?;
    Ok(proof.verify(&claim.equality(&combined), transcript)?)
}

impl PowersClaim<'_> {
    /// The weighted sums of keys and points, behind a transcript that has absorbed all of them.
    fn combine(&self) -> Result<(Transcript, [RistrettoPoint; 2]), PowersError> {
        let Self { context, base, power, keys, powers } = self;
        if keys.len() != powers.len() {
            return Err(PowersError::Count { keys: keys.len(), powers: powers.len() });
        }
        let mut transcript = Transcript::new(b"hippodrome v1 trace");
        transcript.digest(b"context", context);
        transcript.element(b"P", base);
        transcript.element(b"Q", power);
        transcript.digest(b"X", &digest(keys));
        transcript.digest(b"Y", &digest(powers));
        let weights = weights(&transcript.wide(b"w"), keys.len());
        let sum = |points| multiscalar(&weights, points, Element::point);
        let (keys, powers) = rayon::join(|| sum(keys), || sum(powers));
        Ok((transcript, [keys, powers]))
    }

    fn equality<'a>(&'a self, [keys, powers]: &'a [RistrettoPoint; 2]) -> EqualityClaim<'a> {
        EqualityClaim { base: self.base, power: self.power, other_base: keys, other_power: powers }
    }
}

fn digest(points: &[Element]) -> Digest {
    Hasher::new("hippodrome v1 trace points").list(points.iter().map(Element::encoded)).finish()
}

/// Expands 64 bytes into one 128-bit weight for each record.
fn weights(seed: &[u8; 64], count: usize) -> Vec<Scalar> {
    let mut bytes = vec![[0; WEIGHT_LEN]; count];
    let mut hasher = blake3::Hasher::new_derive_key("hippodrome v1 trace weights");
    hasher.update(seed).finalize_xof().fill(bytes.as_flattened_mut());
    bytes.into_iter().map(|bytes| Scalar::from(u128::from_le_bytes(bytes))).collect()
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::{
        hop::HopContext,
        onion::{HopKdf, WrongTag, open_layer, tag_holds, wrap},
    };

    struct Hop {
        secret: SecretScalar,
        base: Element,
        power: Element,
        keys: Vec<Element>,
        powers: Vec<Element>,
        rng: ChaCha20Rng,
    }

    fn context(number: u64) -> Digest {
        Hasher::new("test trace").number(number).finish()
    }

    fn hop(count: usize) -> Hop {
        let mut rng = ChaCha20Rng::seed_from_u64(count as u64);
        let mut draw = || SecretScalar::random(&mut rng);
        let (base, secret) = (draw().multiply(&Element::base()), draw());
        let keys: Vec<_> = (0..count).map(|_| draw().multiply(&Element::base())).collect();
        let (power, powers) = (secret.multiply(&base), powers(&secret, &keys));
        Hop { secret, base, power, keys, powers, rng }
    }

    impl Hop {
        fn claim<'a>(&'a self, context: &'a Digest, powers: &'a [Element]) -> PowersClaim<'a> {
            PowersClaim { context, base: &self.base, power: &self.power, keys: &self.keys, powers }
        }

        /// What the verifier says of `powers` when the prover does its best with its real secret.
        fn judge(&self, powers: &[Element]) -> Result<(), PowersError> {
            let context = context(0);
            let claim = self.claim(&context, powers);
            verify(&claim, &prove(&self.secret, &claim, &mut self.rng.clone()))
        }
    }

    const REFUTED: Result<(), PowersError> = Err(PowersError::Refuted(EqualityError));

    #[test]
    fn true_points_hold_under_their_own_context_and_keys_only() {
        for count in [0, 1, 2, 300] {
            let mut hop = hop(count);
            let (own, other) = (context(0), context(1));
            let claim =
                PowersClaim { context: &own, base: &hop.base, power: &hop.power, keys: &hop.keys, powers: &hop.powers };
            let proof = prove(&hop.secret, &claim, &mut hop.rng);
            assert_eq!(verify(&claim, &proof), Ok(()));
            assert_eq!(verify(&PowersClaim { context: &other, ..claim }, &proof), REFUTED);
            assert_eq!(verify(&PowersClaim { power: &hop.base, ..claim }, &proof), REFUTED);
        }
    }

    #[test]
    fn one_wrong_point_among_many_is_refused_wherever_it_stands() {
        let hop = hop(64);
        assert_eq!(hop.judge(&hop.powers), Ok(()));
        for index in [0, 31, 63] {
            let mut powers = hop.powers.clone();
            powers[index] = hop.keys[index];
            assert_eq!(hop.judge(&powers), REFUTED, "point {index}");
        }
    }

    #[test]
    fn swapped_pairs_and_errors_that_cancel_are_refused() {
        let hop = hop(3);
        let mut swapped = hop.powers.clone();
        swapped.swap(0, 2);
        assert_eq!(hop.judge(&swapped), REFUTED);

        // The plain sum stays: what one gets, another lacks.
        let mut moved = hop.powers.clone();
        let shift = hop.base.point();
        moved[0] = Element::from_point(moved[0].point() + shift).expect("not the identity");
        moved[1] = Element::from_point(moved[1].point() - shift).expect("not the identity");
        let sum = |points: &[Element]| points.iter().map(Element::point).sum::<RistrettoPoint>();
        assert_eq!(sum(&moved), sum(&hop.powers));
        assert_eq!(hop.judge(&moved), REFUTED);
    }

    #[test]
    fn keys_whose_plain_sum_is_the_identity_hide_nothing() {
        let mut hop = hop(2);
        hop.keys[1] = Element::from_point(-hop.keys[0].point()).expect("not the identity");
        hop.powers = powers(&hop.secret, &hop.keys);
        assert_eq!(hop.judge(&hop.powers), Ok(()));
        // Any opposite pair has the sum of the true one.
        let opposite = [hop.base, Element::from_point(-hop.base.point()).expect("not the identity")];
        assert_eq!(hop.judge(&opposite), REFUTED);
    }

    #[test]
    fn weights_chosen_before_the_points_would_be_of_no_use() {
        // A forger who knows the weights of one list cancels an error with them; its list then gets others.
        let hop = hop(2);
        let (context, shift) = (context(0), hop.base.point());
        let (mut transcript, _) = hop.claim(&context, &hop.powers).combine().expect("one point for each key");
        let known = weights(&transcript.wide(b"guess"), 2);
        let mut forged = hop.powers.clone();
        forged[0] = Element::from_point(forged[0].point() + shift * known[1]).expect("not the identity");
        forged[1] = Element::from_point(forged[1].point() - shift * known[0]).expect("not the identity");
        let sum = |points: &[Element]| multiscalar(&known, points, Element::point);
        assert_eq!(sum(&forged), sum(&hop.powers));
        assert_eq!(hop.judge(&forged), REFUTED);
    }

    #[test]
    fn a_missing_or_surplus_point_is_an_error() {
        let hop = hop(3);
        let proof = prove(&hop.secret, &hop.claim(&context(0), &hop.powers), &mut hop.rng.clone());
        let short = verify(&hop.claim(&context(0), &hop.powers[..2]), &proof);
        assert_eq!(short, Err(PowersError::Count { keys: 3, powers: 2 }));
    }

    #[test]
    fn what_a_trace_shows_opens_the_record_and_the_tag_key_alone_only_judges_it() {
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let descriptor = context(2);
        let (secret, public, _) = crate::hop::HopSecret::generate(&Element::base(), &descriptor, &mut rng);
        let x = SecretScalar::random(&mut rng);
        let onion = wrap(&descriptor, 0, 3, &[public], &x, b"twenty bytes payload");
        let kdf = HopKdf::new(&HopContext { descriptor, layer: 0, chain: 3, position: 0 });
        let shared = powers(&secret.a, &[onion.key])[0];
        let blinded = powers(&secret.b, &[onion.key])[0];
        assert!(tag_holds(&kdf, &onion.key, &shared, &onion.body));
        let opened = open_layer(&kdf, &onion.key, &shared, &blinded, &onion.body);
        assert_eq!(opened.as_deref(), Ok(b"twenty bytes payload".as_slice()));
        let mut altered = onion.body.clone();
        altered[0] ^= 1;
        assert_eq!(open_layer(&kdf, &onion.key, &shared, &blinded, &altered), Err(WrongTag));
        // Without `b·X` the cipher key is another one.
        let guessed = open_layer(&kdf, &onion.key, &shared, &shared, &onion.body);
        assert_ne!(guessed.as_deref(), Ok(b"twenty bytes payload".as_slice()));
    }
}
