//! Attacks on the proofs from outside the crate, with nothing but what an adversary has: its own secrets and everybody's
//! public values. Each says what stops it, or what the proof is known not to say.

use curve25519_dalek::{ristretto::RistrettoPoint, traits::Identity};
use hippodrome_crypto::{
    equality::{EqualityClaim, EqualityProof},
    group::{Element, SecretScalar},
    hash::{Digest, Hasher},
    hop::{HopContext, HopPublic, HopSecret},
    key_list::KeyList,
    knowledge::{Claim, Knowledge, verify_batch},
    onion::{self, HopKdf},
    records::Records,
    shuffle::{
        Precomputed, ShuffleError, ShuffleProof, Statement, Strength, aggregate, aggregate::AggregateProof, verify,
    },
    transcript::Transcript,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn digest(label: &str) -> Digest {
    Hasher::new("hippodrome test redteam").bytes(label.as_bytes()).finish()
}

/// A hop with its secret `b`, the statement about it, and honest inputs.
struct Hop {
    b: SecretScalar,
    statement: Statement,
    inputs: Vec<Element>,
    rng: ChaCha20Rng,
}

impl Hop {
    fn new(count: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let (base, b) = (SecretScalar::random(&mut rng).multiply(&Element::base()), SecretScalar::random(&mut rng));
        let statement = Statement {
            context: digest("context"),
            blinded_base: b.multiply(&base),
            base,
            input_root: digest("input"),
            output_root: digest("output"),
            removed: digest("removed"),
        };
        let inputs = (0..count).map(|_| SecretScalar::random(&mut rng).multiply(&Element::base())).collect();
        Self { b, statement, inputs, rng }
    }

    fn outputs(&self) -> Vec<Element> {
        self.inputs.iter().map(|key| self.b.multiply(key)).collect()
    }

    fn aggregate(&mut self, inputs: &[Element], outputs: &[Element]) -> Result<Strength, ShuffleError> {
        let (inputs, outputs) = (KeyList::new(inputs.to_vec()), KeyList::new(outputs.to_vec()));
        let proof = aggregate::prove(&self.statement, &inputs, &outputs, &self.b, &mut self.rng)?;
        aggregate::verify(&self.statement, &inputs, &outputs, &proof).map(|hop| hop.strength())
    }
}

fn element(point: RistrettoPoint) -> Element {
    Element::from_point(point).expect("not the identity")
}

#[test]
fn sums_that_vanish_prove_nothing_more_and_nothing_less_than_other_sums() {
    // Two keys that cancel: their author knows that they do, and with proofs of knowledge it is all his own.
    let mut hop = Hop::new(2);
    let opposite = element(-hop.inputs[0].point());
    let inputs = [hop.inputs[0], opposite];
    let honest = [hop.b.multiply(&inputs[0]), hop.b.multiply(&inputs[1])];
    assert_eq!(hop.aggregate(&inputs, &honest), Ok(Strength::Aggregate));
    // Any other two that cancel pass as well: the sum alone does not keep them.
    let stranger = SecretScalar::random(&mut hop.rng).multiply(&Element::base());
    let replaced = [stranger, element(-stranger.point())];
    assert_eq!(hop.aggregate(&inputs, &replaced), Ok(Strength::Aggregate));
    // Two that do not cancel do not, although b times the identity is the identity.
    assert_eq!(hop.aggregate(&inputs, &[stranger, honest[1]]), Err(ShuffleError::Sum));
    // And outputs that cancel do not answer for inputs that do not.
    let inputs = hop.inputs.clone();
    assert_eq!(hop.aggregate(&inputs, &replaced), Err(ShuffleError::Sum));
}

#[test]
fn a_proof_of_one_strength_never_passes_for_the_other() {
    let mut hop = Hop::new(1);
    let (inputs, outputs) = (KeyList::new(hop.inputs.clone()), KeyList::new(hop.outputs()));
    let weak = aggregate::prove(&hop.statement, &inputs, &outputs, &hop.b, &mut hop.rng).expect("one key");
    assert!(matches!(ShuffleProof::parse(&weak.to_bytes(), 1), Err(ShuffleError::Length { .. })));
    let mixing = Precomputed::prepare(1, &mut hop.rng).begin(1, &mut hop.rng).expect("one key");
    let (strong, _) = mixing.prove(&hop.statement, &inputs, &outputs, &hop.b, &mut hop.rng).expect("one key");
    let verified = verify(&hop.statement, &inputs, &outputs, &strong, &mut hop.rng).expect("honest");
    assert_eq!(verified.strength(), Strength::Full);
    // No 64 bytes of the strong proof are a weak one.
    for window in strong.to_bytes().as_chunks::<32>().0.windows(2) {
        let bytes: [u8; AggregateProof::LEN] = window.concat().try_into().expect("two halves");
        if let Ok(proof) = AggregateProof::parse(&bytes) {
            assert!(aggregate::verify(&hop.statement, &inputs, &outputs, &proof).is_err());
        }
    }
}

#[test]
fn an_aggregate_proof_is_for_its_lists_in_their_order() {
    let mut hop = Hop::new(3);
    let (inputs, mut reordered) = (hop.inputs.clone(), hop.outputs());
    let outputs = KeyList::new(reordered.clone());
    let proof = aggregate::prove(&hop.statement, &KeyList::new(inputs.clone()), &outputs, &hop.b, &mut hop.rng);
    let proof = proof.expect("three keys");
    reordered.swap(0, 2); // the sum stays
    let refused = aggregate::verify(&hop.statement, &KeyList::new(inputs), &KeyList::new(reordered), &proof);
    assert_eq!(refused.map(|hop| hop.count()), Err(ShuffleError::Sum));
}

#[test]
fn an_equality_proof_for_a_record_is_not_one_for_a_batch_of_one() {
    // The same claim, under the transcript of another use.
    let mut hop = Hop::new(1);
    let output = hop.b.multiply(&hop.inputs[0]);
    let claim = EqualityClaim::of_elements(&hop.statement.base, &hop.statement.blinded_base, &hop.inputs[0], &output);
    let elsewhere = Transcript::new(b"hippodrome test accusation");
    let proof = EqualityProof::prove(&hop.b, &claim, elsewhere, &mut hop.rng);
    let (inputs, outputs) = (KeyList::new(hop.inputs.clone()), KeyList::new(vec![output]));
    let moved = AggregateProof::parse(&proof.to_bytes()).expect("canonical");
    assert!(aggregate::verify(&hop.statement, &inputs, &outputs, &moved).is_err());
}

#[test]
fn equality_over_identities_says_nothing_of_another_pair() {
    let mut hop = Hop::new(1);
    let (zero, point) = (RistrettoPoint::identity(), *hop.inputs[0].point());
    let (base, power) = (hop.statement.base, hop.statement.blinded_base);
    let prove = |x: &RistrettoPoint, y: &RistrettoPoint, rng: &mut ChaCha20Rng, b: &SecretScalar| {
        let claim = EqualityClaim { base: &base, power: &power, other_base: x, other_power: y };
        let proof = EqualityProof::prove(b, &claim, Transcript::new(b"hippodrome test"), rng);
        proof.verify(&claim, Transcript::new(b"hippodrome test")).is_ok()
    };
    assert!(prove(&zero, &zero, &mut hop.rng, &hop.b));
    assert!(!prove(&zero, &point, &mut hop.rng, &hop.b));
    assert!(!prove(&point, &zero, &mut hop.rng, &hop.b));
}

#[test]
fn a_related_key_cannot_be_vouched_for_with_what_others_have_signed() {
    // X' = X + d·P for a d of the adversary's choice; it has the honest proof for X and knows d, not x.
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let base = Element::base();
    let (x, d) = (SecretScalar::random(&mut rng), SecretScalar::random(&mut rng));
    let (honest, shift) = (x.multiply(&base), d.multiply(&base));
    let context = digest("submission");
    let proof = Knowledge::sign(&x, &base, &honest, &context, &mut rng);
    let related = element(honest.point() + shift.point());
    let of_shift = Knowledge::sign(&d, &base, &related, &context, &mut rng);
    // Halves of both, in all ways.
    let (one, two) = (proof.to_bytes(), of_shift.to_bytes());
    for (commitment, response) in [(&one, &one), (&one, &two), (&two, &one), (&two, &two)] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&commitment[..32]);
        bytes[32..].copy_from_slice(&response[32..]);
        assert!(Knowledge::from_bytes(bytes).verify(&base, &related, &context).is_err());
    }
    // In a batch two false claims whose errors would cancel under equal weights do not.
    let twisted = |public: Element, proof: Knowledge| Claim { public, context, proof };
    let opposite = element(honest.point() - shift.point());
    let claims = [twisted(related, proof), twisted(honest, proof), twisted(opposite, proof)];
    assert_eq!(verify_batch(&base, &claims, &mut rng), Err(vec![0, 2]));
}

#[test]
fn keys_over_a_base_of_the_adversarys_choice_are_not_a_hops() {
    // The second server of a chain answers the first one's P with keys over another base whose relation it knows.
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let context = digest("hop");
    let (_, first, _) = HopSecret::generate(&Element::base(), &context, &mut rng);
    let s = SecretScalar::random(&mut rng);
    for base in [Element::base(), s.multiply(&first.blinding), first.key] {
        let (_, public, proof) = HopSecret::generate(&base, &context, &mut rng);
        assert!(public.verify(&first.blinding, &context, &proof).is_err());
    }
    // Nor does a hop with A and P in one pass with one proof twice.
    let (_, public, proof) = HopSecret::generate(&first.blinding, &context, &mut rng);
    let doubled = HopPublic { key: public.blinding, blinding: public.blinding };
    assert!(doubled.verify(&first.blinding, &context, &proof).is_err());
}

#[test]
fn a_layer_opens_at_no_other_place_round_or_direction() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let here = HopContext { descriptor: digest("round 1"), layer: 0, chain: 3, position: 0 };
    let (secret, public, _) = HopSecret::generate(&Element::base(), &digest("hop"), &mut rng);
    let x = SecretScalar::random(&mut rng);
    let onion = onion::wrap(&here.descriptor, here.layer, here.chain, &[public], &x, &[7; 40]);
    let mut bodies = Records::new(onion.body.len());
    bodies.push(&onion.body);
    let opens = |context: &HopContext, key: &Element| {
        let keys = [*key];
        let (shared, blinded) = (onion::derive(&secret, &keys), onion::blind(&secret, &keys));
        onion::open(&HopKdf::new(context), &keys, &shared, &blinded, &bodies).failed.is_empty()
    };
    assert!(opens(&here, &onion.key));
    let elsewhere = [
        HopContext { descriptor: digest("round 2"), ..here },
        HopContext { layer: 1, ..here },
        HopContext { chain: 0x0300, ..here },
        HopContext { chain: 2, ..here },
        HopContext { position: 1, ..here },
        HopContext { layer: 3, chain: 0, ..here },
    ];
    assert!(elsewhere.iter().all(|context| !opens(context, &onion.key)));
    // Nor under a related key, which gives related shared keys.
    for related in [element(onion.key.point() + onion.key.point()), element(-onion.key.point())] {
        assert!(!opens(&here, &related));
    }
}
