//! What an independent implementation (`vectors/make_vectors.py`, standard library only) says is what this crate says.

use core::convert::Infallible;

use hippodrome_crypto::{
    group::{Element, SecretScalar},
    hash::{Digest, Hasher, hex},
    hop::{HopContext, HopProof, HopPublic, HopSecret},
    key_list::KeyList,
    knowledge::{Claim, Knowledge, verify_batch},
    merkle::{self, InclusionProof, Tree},
    onion::{mix, open_layer, seal_replies, wrap},
    permutation::Permutation,
    records::Records,
    shuffle::{self, ShuffleProof, Statement, aggregate},
    transcript::Transcript,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::{TryCryptoRng, TryRng};
use serde::{Deserialize, Deserializer, de::Error};

/// Bytes that JSON holds as hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.as_bytes().as_chunks::<2>().0.iter();
        let bytes = digits.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).expect("ASCII"), 16));
        bytes.collect::<Result<_, _>>().map(Self).map_err(D::Error::custom)
    }
}

impl Bytes {
    fn array<const LEN: usize>(&self) -> [u8; LEN] {
        self.0.as_slice().try_into().expect("the length of its kind")
    }

    fn digest(&self) -> Digest {
        Digest(self.array())
    }

    fn element(&self) -> Element {
        Element::decode(&self.array()).expect("an element")
    }

    fn secret(&self) -> SecretScalar {
        SecretScalar::random(&mut Given(self.0.clone()))
    }
}

/// A generator that gives 32 bytes of a scalar, then zeros, so that the reduction of 64 bytes leaves that scalar.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unimplemented!("scalars are drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unimplemented!("scalars are drawn as bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0);
        bytes[..self.0.len()].copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Given {}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).expect("the script's own format")
}

#[derive(Deserialize)]
struct TranscriptFile {
    transcripts: Vec<TranscriptCase>,
    digests: Vec<DigestCase>,
    hash_to_group: Vec<HashCase>,
    knowledge: Vec<KnowledgeCase>,
    hop: HopCase,
}

fn transcript_file() -> TranscriptFile {
    read(include_str!("../../vectors/transcript.json"))
}

#[derive(Deserialize)]
struct TranscriptCase {
    label: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    label: String,
    #[serde(flatten)]
    value: Field,
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "lowercase")]
enum Field {
    Bytes([Bytes; 1]),
    Number([u64; 1]),
    Digest([Bytes; 1]),
    Element([Bytes; 1]),
    Commitments(Vec<Bytes>),
    List(Vec<Bytes>),
    Scalar([Bytes; 1]),
    Wide([Bytes; 1]),
}

fn leak(label: &str) -> &'static [u8] {
    Box::leak(label.as_bytes().into())
}

#[test]
fn transcripts_draw_the_same_challenges() {
    for case in transcript_file().transcripts {
        let mut transcript = Transcript::new(leak(&case.label));
        let mut drawn = 0;
        for step in case.steps {
            let label = leak(&step.label);
            match step.value {
                Field::Bytes([value]) => transcript.bytes(label, &value.0),
                Field::Number([value]) => transcript.number(label, value),
                Field::Digest([value]) => transcript.digest(label, &value.digest()),
                Field::Element([value]) => transcript.element(label, &value.element()),
                Field::Commitments(values) => {
                    let compress = |value: &Bytes| curve25519_dalek::ristretto::CompressedRistretto(value.array());
                    transcript.commitments(label, &values.iter().map(compress).collect::<Vec<_>>());
                }
                Field::Scalar([expected]) => {
                    assert_eq!(hex(transcript.scalar(label).as_bytes()), hex(&expected.0), "{}", step.label);
                    drawn += 1;
                }
                Field::Wide([expected]) => {
                    assert_eq!(hex(&transcript.wide(label)), hex(&expected.0), "{}", step.label);
                    drawn += 1;
                }
                Field::List(_) => panic!("no step of a transcript"),
            }
        }
        assert!(drawn >= 3);
    }
}

#[derive(Deserialize)]
struct DigestCase {
    label: String,
    fields: Vec<Field>,
    digest: Bytes,
}

#[test]
fn digests_of_typed_fields_agree() {
    for case in transcript_file().digests {
        let absorbed = case.fields.iter().fold(Hasher::new(&case.label), |hasher, field| match field {
            Field::Bytes([value]) => hasher.bytes(&value.0),
            Field::Number([value]) => hasher.number(*value),
            Field::Digest([value]) => hasher.digest(&value.digest()),
            Field::List(values) => hasher.list(values.iter().map(Bytes::array).collect::<Vec<_>>().iter()),
            _ => panic!("no field of a digest"),
        });
        assert_eq!(absorbed.finish(), case.digest.digest(), "{}", case.label);
    }
}

#[derive(Deserialize)]
struct HashCase {
    label: String,
    index: u64,
    element: Bytes,
}

#[test]
fn labels_and_indices_hash_to_the_same_elements() {
    for case in transcript_file().hash_to_group {
        let point = Element::hash(&case.label, case.index);
        assert_eq!(hex(point.compress().as_bytes()), hex(&case.element.0));
    }
}

#[derive(Deserialize)]
struct KnowledgeCase {
    base: Bytes,
    public: Bytes,
    context: Bytes,
    proof: Bytes,
}

#[test]
fn foreign_proofs_of_knowledge_hold() {
    for case in transcript_file().knowledge {
        let proof = Knowledge::from_bytes(case.proof.array());
        let (public, context) = (case.public.element(), case.context.digest());
        assert_eq!(proof.verify(&case.base.element(), &public, &context), Ok(()));
        let claims = [Claim { public, context, proof }; 3];
        assert_eq!(verify_batch(&case.base.element(), &claims, &mut ChaCha20Rng::seed_from_u64(1)), Ok(()));
    }
}

#[derive(Deserialize)]
struct HopCase {
    base: Bytes,
    context: Bytes,
    public: Bytes,
    proof: Bytes,
}

#[test]
fn foreign_hop_keys_hold() {
    let case = transcript_file().hop;
    let public = HopPublic::from_bytes(&case.public.array()).expect("two elements");
    let proof = HopProof::from_bytes(&case.proof.array());
    assert_eq!(public.verify(&case.base.element(), &case.context.digest(), &proof), Ok(()));
}

#[derive(Deserialize)]
struct OnionCase {
    descriptor: Bytes,
    layer: u8,
    chain: u16,
    x: Bytes,
    a: Vec<Bytes>,
    b: Vec<Bytes>,
    hops: Vec<Bytes>,
    payload: Bytes,
    reply: Bytes,
    steps: Vec<OnionStep>,
}

#[derive(Deserialize)]
struct OnionStep {
    key: Bytes,
    shared: Bytes,
    blinded: Bytes,
    body: Bytes,
    reply: Bytes,
}

impl OnionCase {
    fn context(&self, position: usize) -> HopContext {
        let (descriptor, layer, chain) = (self.descriptor.digest(), self.layer, self.chain);
        HopContext { descriptor, layer, chain, position: position as u8 }
    }

    fn secret(&self, position: usize) -> HopSecret {
        HopSecret { a: self.a[position].secret(), b: self.b[position].secret() }
    }
}

fn onion_cases() -> Vec<OnionCase> {
    read(include_str!("../../vectors/onion.json"))
}

fn one_record(bytes: &[u8]) -> Records {
    Records::from_bytes(bytes.len(), bytes.to_vec()).expect("one record")
}

#[test]
fn wrapped_onions_and_opened_replies_are_the_same_bytes() {
    for case in onion_cases() {
        let hops: Vec<HopPublic> =
            case.hops.iter().map(|hop| HopPublic::from_bytes(&hop.array()).expect("two elements")).collect();
        let payload = &case.payload.0;
        let onion = wrap(&case.descriptor.digest(), case.layer, case.chain, &hops, &case.x.secret(), payload);
        assert_eq!(hex(onion.key.encoded()), hex(&case.steps[0].key.0));
        assert_eq!(hex(&onion.body), hex(&case.steps[0].body.0));
        assert_eq!(onion.replies.open(&case.steps[0].reply.0).as_ref(), Ok(&case.reply.0));
    }
}

#[test]
fn every_hop_makes_the_same_bytes_of_a_record_and_of_its_reply() {
    for case in onion_cases() {
        for (position, step) in case.steps.iter().enumerate() {
            let (secret, context) = (case.secret(position), case.context(position));
            let key = step.key.element();
            assert_eq!(secret.a.multiply(&key), step.shared.element());
            let permutation = Permutation::random(1, &mut ChaCha20Rng::seed_from_u64(1));
            let mixed = mix(&secret, &context, &KeyList::new(vec![key]), one_record(&step.body.0), &permutation);
            let (next_body, reply) = match case.steps.get(position + 1) {
                Some(next) => (&next.body, &next.reply),
                None => (&case.payload, &case.reply),
            };
            assert_eq!(mixed.failed, Vec::<usize>::new());
            assert_eq!(mixed.keys, [step.blinded.element()]);
            assert_eq!(hex(mixed.bodies.as_bytes()), hex(&next_body.0));
            let sealed = seal_replies(mixed.returns, &context, one_record(&reply.0), permutation);
            assert_eq!(hex(sealed.as_bytes()), hex(&step.reply.0));

            let kdf = hippodrome_crypto::onion::HopKdf::new(&context);
            let opened = open_layer(&kdf, &key, &step.shared.element(), &step.blinded.element(), &step.body.0);
            assert_eq!(opened.as_ref(), Ok(&next_body.0));
        }
    }
}

#[derive(Deserialize)]
struct MerkleCase {
    records: Vec<Bytes>,
    leaves: Vec<Bytes>,
    root: Bytes,
    branches: Vec<Vec<Bytes>>,
}

#[test]
fn trees_have_the_same_leaves_roots_and_branches() {
    for case in read::<Vec<MerkleCase>>(include_str!("../../vectors/merkle.json")) {
        let mut records = Records::new(32 + 41);
        case.records.iter().for_each(|record| records.push(&record.0));
        let leaves: Vec<Digest> = case.leaves.iter().map(Bytes::digest).collect();
        assert_eq!(merkle::leaves(&records), leaves);
        let tree = Tree::new(leaves);
        assert_eq!(*tree.root(), case.root.digest());
        for (index, branch) in case.branches.iter().enumerate() {
            let expected = InclusionProof(branch.iter().map(Bytes::digest).collect());
            assert_eq!(tree.inclusion(index), Some(expected));
        }
    }
}

#[derive(Deserialize)]
struct ShuffleCase {
    base: Bytes,
    blinded_base: Bytes,
    context: Bytes,
    input_root: Bytes,
    output_root: Bytes,
    removed: Bytes,
    inputs: Vec<Bytes>,
    outputs: Vec<Bytes>,
    proof: Bytes,
    aggregate: Bytes,
}

impl ShuffleCase {
    fn statement(&self) -> Statement {
        Statement {
            context: self.context.digest(),
            base: self.base.element(),
            blinded_base: self.blinded_base.element(),
            input_root: self.input_root.digest(),
            output_root: self.output_root.digest(),
            removed: self.removed.digest(),
        }
    }

    fn lists(&self) -> [KeyList; 2] {
        [&self.inputs, &self.outputs].map(|keys| KeyList::new(keys.iter().map(Bytes::element).collect()))
    }
}

fn shuffle_cases() -> Vec<ShuffleCase> {
    read(include_str!("../../vectors/shuffle.json"))
}

#[test]
fn foreign_shuffle_proofs_hold_for_their_own_statement_only() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for case in shuffle_cases() {
        let [inputs, outputs] = case.lists();
        let proof = ShuffleProof::parse(&case.proof.0, inputs.len()).expect("a proof of this length");
        assert_eq!(proof.to_bytes(), case.proof.0);
        let verified = shuffle::verify(&case.statement(), &inputs, &outputs, &proof, &mut rng).expect("a true proof");
        assert_eq!(verified.count(), inputs.len());
        let other = Statement { output_root: case.removed.digest(), ..case.statement() };
        assert!(shuffle::verify(&other, &inputs, &outputs, &proof, &mut rng).is_err());
    }
}

#[test]
fn foreign_aggregate_proofs_hold_for_their_own_statement_only() {
    for case in shuffle_cases() {
        let [inputs, outputs] = case.lists();
        let proof = aggregate::AggregateProof::parse(&case.aggregate.array()).expect("canonical scalars");
        assert!(aggregate::verify(&case.statement(), &inputs, &outputs, &proof).is_ok());
        let other = Statement { context: case.removed.digest(), ..case.statement() };
        assert!(aggregate::verify(&other, &inputs, &outputs, &proof).is_err());
    }
}
