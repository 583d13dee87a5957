//! The primitives, one by one, on one thread each where they are not batches.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hippodrome_crypto::{
    group::{Element, SecretScalar},
    hash::{Digest, Hasher},
    hop::{HopContext, HopPublic, HopSecret},
    key_list::KeyList,
    knowledge::{Claim, Knowledge, verify_batch},
    onion::{self, HopKdf},
    permutation::Permutation,
    records::Records,
    shuffle::{Precomputed, ShuffleProof, Statement, verify},
    signing::SigningKey,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// Keys of a shuffled batch: one full row of the commitment key.
const BATCH: usize = 4096;
/// Claims and records of a small batch.
const SMALL_BATCH: usize = 1024;
/// Bytes of a payload.
const PAYLOAD_LEN: usize = 418;

fn digest(number: u64) -> Digest {
    Hasher::new("hippodrome bench primitives").number(number).finish()
}

fn group(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let secret = SecretScalar::random(&mut rng);
    let element = SecretScalar::random(&mut rng).multiply(&Element::base());
    criterion.bench_function("decode", |bencher| bencher.iter(|| Element::decode(element.encoded())));
    criterion.bench_function("multiply", |bencher| bencher.iter(|| secret.multiply(&element)));
}

fn signature(criterion: &mut Criterion) {
    let key = SigningKey::generate(&mut ChaCha20Rng::seed_from_u64(7));
    let (public, signature) = (key.public(), key.sign(&digest(0)));
    criterion.bench_function("signature verify", |bencher| bencher.iter(|| public.verify(&digest(0), &signature)));
}

fn knowledge(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let base = Element::base();
    let secret = SecretScalar::random(&mut rng);
    let public = secret.multiply(&base);
    criterion.bench_function("knowledge sign", |bencher| {
        bencher.iter(|| Knowledge::sign(&secret, &base, &public, &digest(0), &mut rng));
    });
    let claims: Vec<Claim> = (0..SMALL_BATCH as u64)
        .map(|number| {
            let secret = SecretScalar::random(&mut rng);
            let (public, context) = (secret.multiply(&base), digest(number));
            Claim { public, context, proof: Knowledge::sign(&secret, &base, &public, &context, &mut rng) }
        })
        .collect();
    let mut group = criterion.benchmark_group("knowledge");
    group.throughput(Throughput::Elements(SMALL_BATCH as u64));
    group.bench_function("verify_batch", |bencher| bencher.iter(|| verify_batch(&base, &claims, &mut rng)));
    group.finish();
}

fn onions(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let descriptor = digest(0);
    let mut base = Element::base();
    let hops: Vec<(HopSecret, HopPublic)> = (0..3)
        .map(|_| {
            let (secret, public, _) = HopSecret::generate(&base, &descriptor, &mut rng);
            base = public.blinding;
            (secret, public)
        })
        .collect();
    let publics: Vec<HopPublic> = hops.iter().map(|(_, public)| *public).collect();
    let payload = [7; PAYLOAD_LEN];
    criterion.bench_function("wrap for 3 hops", |bencher| {
        bencher.iter(|| onion::wrap(&descriptor, 0, 0, &publics, &SecretScalar::random(&mut rng), &payload));
    });
    let (keys, bodies): (Vec<Element>, Vec<Vec<u8>>) = (0..SMALL_BATCH)
        .map(|_| onion::wrap(&descriptor, 0, 0, &publics, &SecretScalar::random(&mut rng), &payload))
        .map(|onion| (onion.key, onion.body))
        .unzip();
    let bodies = Records::from_bytes(bodies[0].len(), bodies.concat()).expect("bodies of one width");
    let (secret, _) = &hops[0];
    let (shared, blinded) = (onion::derive(secret, &keys), onion::blind(secret, &keys));
    let kdf = HopKdf::new(&HopContext { descriptor, layer: 0, chain: 0, position: 0 });
    let mut group = criterion.benchmark_group("onion");
    group.throughput(Throughput::Elements(SMALL_BATCH as u64));
    group.bench_function("open", |bencher| {
        bencher.iter(|| onion::open(&kdf, &keys, &shared, &blinded, &bodies).failed.len());
    });
    group.finish();
}

fn shuffle(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let secret = SecretScalar::random(&mut rng);
    let keys = (0..BATCH).map(|_| SecretScalar::random(&mut rng).multiply(&Element::base())).collect();
    let inputs = KeyList::new(keys);
    let mut mixing = || {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        Precomputed::prepare(BATCH, &mut rng).begin(BATCH, &mut rng).expect("a batch of allowed size")
    };
    // The same seed gives the same permutation each time, so one output serves all proofs: for measuring only.
    let outputs = shuffled(&inputs, mixing().permutation(), &secret);
    let statement = Statement {
        context: digest(1),
        base: Element::base(),
        blinded_base: secret.multiply(&Element::base()),
        input_root: digest(2),
        output_root: digest(3),
        removed: digest(4),
    };
    let mut group = criterion.benchmark_group("shuffle");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
    group.bench_function("prove_offline", |bencher| bencher.iter(|| Precomputed::prepare(BATCH, &mut rng)));
    let mut prove_rng = ChaCha20Rng::seed_from_u64(6);
    group.bench_function("prove_online", |bencher| {
        bencher.iter_batched(
            &mut mixing,
            |mixing| mixing.prove(&statement, &inputs, &outputs, &secret, &mut prove_rng),
            criterion::BatchSize::PerIteration,
        );
    });
    let (proof, _) =
        mixing().prove(&statement, &inputs, &outputs, &secret, &mut prove_rng).expect("lists of one length");
    let bytes = proof.to_bytes();
    group.bench_function("verify", |bencher| {
        bencher.iter(|| {
            let proof = ShuffleProof::parse(&bytes, BATCH).expect("its own bytes");
            verify(&statement, &inputs, &outputs, &proof, &mut rng).expect("an honest proof")
        });
    });
    group.finish();
}

fn shuffled(inputs: &KeyList, permutation: &Permutation, secret: &SecretScalar) -> KeyList {
    let blinded: Vec<Element> = inputs.keys().iter().map(|key| secret.multiply(key)).collect();
    let (keys, _) = onion::permute(permutation, &blinded, &Records::zeroed(1, inputs.len()));
    KeyList::new(keys)
}

criterion_group!(primitives, group, signature, knowledge, onions, shuffle);
criterion_main!(primitives);
