//! The onion through whole chains: what opens, what comes back, and what does not open.

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use hippodrome_crypto::{
    group::{DecodeError, Element, SecretScalar},
    hash::{Digest, Hasher},
    hop::{HopContext, HopPublic, HopSecret},
    key_list::KeyList,
    onion::{
        BrokenReply, HopKdf, Mixed, TAG_LEN, WrongTag, blind, bodies, body_len, decode_keys, derive, encode, mix, open,
        open_layer, permute, record_len, reply_len, seal, seal_replies, tag_holds, unpermute, wrap,
    },
    permutation::Permutation,
    records::Records,
};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const LAYER: u8 = 1;
const CHAIN: u16 = 300;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn descriptor() -> Digest {
    Hasher::new("test descriptor").finish()
}

fn context(position: usize) -> HopContext {
    HopContext { descriptor: descriptor(), layer: LAYER, chain: CHAIN, position: position as u8 }
}

/// The keys of a chain, each hop's over the blinding key of the one before.
fn chain(hops: usize, rng: &mut ChaCha20Rng) -> (Vec<HopSecret>, Vec<HopPublic>) {
    let mut base = Element::base();
    let keys = (0..hops).map(|_| {
        let (secret, public, proof) = HopSecret::generate(&base, &descriptor(), rng);
        assert_eq!(public.verify(&base, &descriptor(), &proof), Ok(()));
        base = public.blinding;
        (secret, public)
    });
    keys.unzip()
}

/// One wrapped onion and the first hop that opens it.
struct Wrapped {
    secrets: Vec<HopSecret>,
    key: Element,
    body: Vec<u8>,
}

fn wrapped(hops: usize, payload: &[u8], rng: &mut ChaCha20Rng) -> Wrapped {
    let (secrets, publics) = chain(hops, rng);
    let onion = wrap(&descriptor(), LAYER, CHAIN, &publics, &SecretScalar::random(rng), payload);
    Wrapped { secrets, key: onion.key, body: onion.body }
}

impl Wrapped {
    fn opens_as(&self, context: &HopContext, key: &Element, body: &[u8]) -> Result<Vec<u8>, WrongTag> {
        let (shared, blinded) = (self.secrets[0].a.multiply(key), self.secrets[0].b.multiply(key));
        open_layer(&HopKdf::new(context), key, &shared, &blinded, body)
    }
}

fn payload(index: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (index * 31 + at) as u8).collect()
}

/// A batch through a whole chain and back, with `alter` applied to the replies that reach each hop.
fn there_and_back(
    hops: usize,
    count: usize,
    len: usize,
    seed: u64,
    alter: impl Fn(usize, &mut Records),
) -> Vec<Result<Vec<u8>, BrokenReply>> {
    let mut rng = rng(seed);
    let (secrets, publics) = chain(hops, &mut rng);
    let mut records = Records::new(record_len(len, hops));
    let mut reply_keys = Vec::new();
    for index in 0..count {
        let onion = wrap(&descriptor(), LAYER, CHAIN, &publics, &SecretScalar::random(&mut rng), &payload(index, len));
        records.push(&[onion.key.encoded().as_slice(), &onion.body].concat());
        reply_keys.push(onion.replies);
    }
    let mut way_back = Vec::new();
    for (position, secret) in secrets.iter().enumerate() {
        let keys = KeyList::new(decode_keys(&records).expect("honest keys"));
        let permutation = Permutation::random(count, &mut rng);
        let mixed = mix(secret, &context(position), &keys, bodies(&records), &permutation);
        assert_eq!(mixed.failed, Vec::<usize>::new());
        records = encode(&mixed.keys, &mixed.bodies);
        assert_eq!(records.width(), record_len(len, hops - position - 1));
        way_back.push((mixed.returns, permutation));
    }
    let mut delivered: Vec<Vec<u8>> = bodies(&records).iter().map(<[u8]>::to_vec).collect();
    let mut replies = bodies(&records);
    delivered.sort();
    let mut sent: Vec<Vec<u8>> = (0..count).map(|index| payload(index, len)).collect();
    sent.sort();
    assert_eq!(delivered, sent);
    for (position, (returns, permutation)) in way_back.into_iter().enumerate().rev() {
        alter(position, &mut replies);
        replies = seal_replies(returns, &context(position), replies, permutation);
    }
    assert_eq!(replies.width(), reply_len(len, hops));
    replies.iter().zip(reply_keys).map(|(reply, keys)| keys.open(reply)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_payload_arrives_and_every_reply_comes_back_to_its_sender(
        hops in 1..5_usize, count in 1..20_usize, len in 1..200_usize, seed: u64,
    ) {
        let replies = there_and_back(hops, count, len, seed, |_, _| ());
        for (index, reply) in replies.into_iter().enumerate() {
            prop_assert_eq!(reply, Ok(payload(index, len)));
        }
    }

    #[test]
    fn sizes_depend_on_the_payload_length_and_the_hops_alone(hops in 1..5_usize, len in 1..600_usize, seed: u64) {
        let onion = wrapped(hops, &payload(0, len), &mut rng(seed));
        prop_assert_eq!(onion.body.len(), len + TAG_LEN * hops);
        prop_assert_eq!(onion.body.len(), body_len(len, hops));
    }
}

#[test]
fn a_batch_larger_than_one_chunk_arrives_in_full() {
    let replies = there_and_back(1, 700, 33, 5, |_, _| ());
    assert!(replies.into_iter().enumerate().all(|(index, reply)| reply == Ok(payload(index, 33))));
}

#[test]
fn any_flipped_byte_of_key_or_body_makes_the_tag_fail() {
    let sent = payload(0, 40);
    let onion = wrapped(2, &sent, &mut rng(1));
    assert_eq!(onion.opens_as(&context(0), &onion.key, &onion.body).expect("untouched").len(), body_len(40, 1));
    for at in 0..onion.body.len() {
        let mut body = onion.body.clone();
        body[at] ^= 1 << (at % 8);
        assert_eq!(onion.opens_as(&context(0), &onion.key, &body), Err(WrongTag), "byte {at} of the body");
    }
    let mut other_keys = 0;
    for at in 0..256 {
        let mut encoded = *onion.key.encoded();
        encoded[at / 8] ^= 1 << (at % 8);
        let Ok(key) = Element::decode(&encoded) else { continue };
        other_keys += 1;
        assert_eq!(onion.opens_as(&context(0), &key, &onion.body), Err(WrongTag), "bit {at} of the key");
    }
    assert!(other_keys > 10, "about one in sixteen flips is still an element");
}

#[test]
fn a_key_that_is_only_announced_but_not_used_makes_the_tag_fail() {
    // The shared key stays that of the true X; only the X named in the record differs.
    let mut rng = rng(2);
    let onion = wrapped(1, &payload(0, 40), &mut rng);
    let other = SecretScalar::random(&mut rng).multiply(&Element::base());
    let shared = onion.secrets[0].a.multiply(&onion.key);
    assert!(tag_holds(&HopKdf::new(&context(0)), &onion.key, &shared, &onion.body));
    assert!(!tag_holds(&HopKdf::new(&context(0)), &other, &shared, &onion.body));
}

#[test]
fn a_layer_opens_in_its_own_context_only() {
    let onion = wrapped(1, &payload(0, 40), &mut rng(3));
    let own = context(0);
    let contexts = [
        HopContext { layer: LAYER ^ 1, ..own },
        HopContext { chain: CHAIN + 1, ..own },
        HopContext { chain: CHAIN.swap_bytes(), ..own },
        HopContext { position: 1, ..own },
    ];
    let descriptors = (0..32).map(|at| {
        let mut changed = descriptor();
        changed.0[at] ^= 1;
        HopContext { descriptor: changed, ..own }
    });
    assert!(onion.opens_as(&own, &onion.key, &onion.body).is_ok());
    for other in contexts.into_iter().chain(descriptors) {
        assert_eq!(onion.opens_as(&other, &onion.key, &onion.body), Err(WrongTag), "{other:?}");
    }
}

#[test]
fn bodies_shorter_than_a_tag_do_not_open() {
    let onion = wrapped(1, &payload(0, 40), &mut rng(4));
    for len in 0..TAG_LEN {
        assert_eq!(onion.opens_as(&context(0), &onion.key, &onion.body[..len]), Err(WrongTag));
    }
}

/// What a key schedule that encrypts under `a·X` alone would do.
fn crypt_under_shared_key_only(label: &str, key: &Element, shared: &Element, text: &mut [u8]) {
    let header = header(&context(0));
    let hop_key = blake3::derive_key(label, &header);
    let key = blake3::keyed_hash(&hop_key, &[*key.encoded(), *shared.encoded()].concat());
    ChaCha20::new(key.as_bytes().into(), &[0; 12].into()).apply_keystream(text);
}

fn header(context: &HopContext) -> [u8; 48] {
    let mut header = [0; 48];
    header[..32].copy_from_slice(context.descriptor.as_bytes());
    header[32] = context.layer;
    header[33..35].copy_from_slice(&context.chain.to_le_bytes());
    header[35] = context.position;
    header
}

#[test]
fn what_an_accusation_shows_does_not_open_the_original() {
    // A bad server upstream keeps the original, passes on an altered copy, and the honest hop accuses: it shows a·X.
    let mut rng = rng(6);
    let (secrets, publics) = chain(1, &mut rng);
    let (x, sent) = (SecretScalar::random(&mut rng), payload(9, 64));
    let onion = wrap(&descriptor(), LAYER, CHAIN, &publics, &x, &sent);
    let kdf = HopKdf::new(&context(0));
    let mut altered = onion.body.clone();
    altered[5] ^= 4;
    let shown = secrets[0].a.multiply(&onion.key);
    assert!(!tag_holds(&kdf, &onion.key, &shown, &altered), "the accusation is true");

    // The attacker's tries: what was shown in place of the missing b·X, and each derivation without it.
    for guess in [&shown, &onion.key, &publics[0].blinding, &Element::base()] {
        assert_ne!(open_layer(&kdf, &onion.key, &shown, guess, &onion.body), Ok(sent.clone()));
    }
    for label in ["tag", "cipher", "return"] {
        let mut text = onion.body[..sent.len()].to_vec();
        crypt_under_shared_key_only(&format!("hippodrome v1 onion {label} key"), &onion.key, &shown, &mut text);
        assert_ne!(text, sent, "with the {label} key of a·X alone");
    }

    // Had the client encrypted under a·X alone, which it knows as x·A, the same evidence would open the original.
    let mut weak = sent.clone();
    let label = "hippodrome v1 onion cipher key";
    crypt_under_shared_key_only(label, &onion.key, &x.multiply(&publics[0].key), &mut weak);
    assert_ne!(weak, sent);
    crypt_under_shared_key_only(label, &onion.key, &shown, &mut weak);
    assert_eq!(weak, sent);

    // And b·X is all that was missing.
    let blinded = secrets[0].b.multiply(&onion.key);
    assert_eq!(open_layer(&kdf, &onion.key, &shown, &blinded, &onion.body), Ok(sent));
}

#[test]
fn a_batch_names_exactly_the_records_whose_tag_is_wrong_and_blanks_them() {
    let (count, len) = (600, 30);
    let mut rng = rng(7);
    let (secrets, publics) = chain(2, &mut rng);
    let mut keys = Vec::new();
    let mut batch = Records::new(body_len(len, 2));
    for index in 0..count {
        let onion = wrap(&descriptor(), LAYER, CHAIN, &publics, &SecretScalar::random(&mut rng), &payload(index, len));
        keys.push(onion.key);
        batch.push(&onion.body);
    }
    let bad = [0, 255, 256, 411, 599];
    bad.iter().for_each(|&index| batch.record_mut(index)[index % body_len(len, 2)] ^= 0x80);
    let keys = KeyList::new(keys);
    let permutation = Permutation::random(count, &mut rng);
    let Mixed { keys: mixed_keys, bodies: mixed, returns, failed } =
        mix(&secrets[0], &context(0), &keys, batch.clone(), &permutation);
    assert_eq!(failed, bad);
    assert_eq!(returns.len(), count);
    assert_eq!(mixed.iter().filter(|body| body.iter().all(|&byte| byte == 0)).count(), bad.len());

    let shared = derive(&secrets[0], keys.keys());
    let blinded = blind(&secrets[0], keys.keys());
    let opened = open(&HopKdf::new(&context(0)), keys.keys(), &shared, &blinded, &batch);
    assert!(bad.iter().all(|&index| opened.payloads.record(index) == vec![0; body_len(len, 1)]));
    let sorted = |keys: &[Element]| {
        let mut encodings: Vec<[u8; 32]> = keys.iter().map(|key| *key.encoded()).collect();
        encodings.sort_unstable();
        encodings
    };
    assert_eq!(sorted(&mixed_keys), sorted(&blinded), "failed records keep their keys");
}

#[test]
fn every_record_gets_a_reply_even_where_records_were_removed() {
    let (count, len, removed) = (7, 24, [2, 5]);
    let mut rng = rng(9);
    let (secrets, publics) = chain(1, &mut rng);
    let (mut keys, mut reply_keys, mut batch) = (Vec::new(), Vec::new(), Records::new(body_len(len, 1)));
    for index in 0..count {
        let onion = wrap(&descriptor(), LAYER, CHAIN, &publics, &SecretScalar::random(&mut rng), &payload(index, len));
        keys.push(onion.key);
        batch.push(&onion.body);
        reply_keys.push(onion.replies);
    }
    removed.iter().for_each(|&index| batch.record_mut(index)[0] ^= 1);
    let (kdf, blinded) = (HopKdf::new(&context(0)), blind(&secrets[0], &keys));
    let opened = open(&kdf, &keys, &derive(&secrets[0], &keys), &blinded, &batch);
    assert_eq!(opened.failed, removed);

    let stays = |index: &usize| !removed.contains(index);
    let mut kept = Records::new(len);
    (0..count).filter(stays).for_each(|index| kept.push(opened.payloads.record(index)));
    let kept_keys: Vec<Element> = (0..count).filter(stays).map(|index| blinded[index]).collect();
    let permutation = Permutation::random(kept.len(), &mut rng);
    let (_, outputs) = permute(&permutation, &kept_keys, &kept);
    let returned = unpermute(permutation, &outputs);
    let mut in_order = returned.iter();
    let mut replies = Records::new(len);
    for index in 0..count {
        let reply = if stays(&index) { in_order.next().expect("as many as were kept") } else { &[0xaa; 24] };
        replies.push(reply);
    }
    let sealed = seal(&kdf, opened.returns, &replies);
    for (index, keys) in reply_keys.into_iter().enumerate() {
        let expected = if stays(&index) { payload(index, len) } else { vec![0xaa; len] };
        // A removed record's keys follow from its own X, so even its sender could open what it is given.
        assert_eq!(keys.open(sealed.record(index)), Ok(expected));
    }
}

#[test]
fn batched_products_are_those_of_single_multiplications() {
    let mut rng = rng(8);
    let (secrets, _) = chain(1, &mut rng);
    let keys: Vec<Element> = (0..300).map(|_| SecretScalar::random(&mut rng).multiply(&Element::base())).collect();
    let single: Vec<Element> = keys.iter().map(|key| secrets[0].b.multiply(key)).collect();
    let batch = blind(&secrets[0], &keys);
    assert_eq!(batch, single);
    assert!(batch.iter().zip(&single).all(|(one, other)| one.point() == other.point()));
}

#[test]
fn a_reply_altered_before_a_hop_is_reported_at_the_position_behind_it() {
    let (hops, count, len) = (3, 4, 50);
    for altered_before in 0..hops {
        let alter = |position: usize, replies: &mut Records| {
            if position == altered_before {
                (0..count).for_each(|index| replies.record_mut(index)[index * 7] ^= 1);
            }
        };
        for (index, reply) in there_and_back(hops, count, len, 10, alter).into_iter().enumerate() {
            if altered_before == hops - 1 {
                // What reaches the last hop is content: the layers carry whatever they were given.
                assert_ne!(reply, Ok(payload(index, len)));
                assert!(reply.is_ok());
            } else {
                assert_eq!(reply, Err(BrokenReply { position: altered_before as u8 + 1 }));
            }
        }
    }
}

#[test]
fn a_delivered_reply_that_is_altered_cut_or_swapped_is_reported_at_the_first_hop() {
    let (secrets, publics) = chain(2, &mut rng(11));
    let broken = Err(BrokenReply { position: 0 });
    let changes: [fn(&mut Records); 3] = [
        |replies| replies.record_mut(0)[0] ^= 1,
        |replies| *replies.record_mut(0).last_mut().expect("not empty") ^= 0x80,
        |replies| {
            let (first, second) = (replies.record(0).to_vec(), replies.record(1).to_vec());
            replies.record_mut(0).copy_from_slice(&second);
            replies.record_mut(1).copy_from_slice(&first);
        },
    ];
    for change in changes {
        let (mut replies, mut keys) = two_replies(&secrets, &publics);
        change(&mut replies);
        assert_eq!(keys.remove(0).open(replies.record(0)), broken);
    }
    for len in [0, 1, TAG_LEN - 1, TAG_LEN, reply_len(20, 2) - 1] {
        let (replies, mut keys) = two_replies(&secrets, &publics);
        assert_eq!(keys.remove(0).open(&replies.record(0)[..len]), broken, "{len} bytes");
    }
    let (replies, mut keys) = two_replies(&secrets, &publics);
    assert_eq!(keys.remove(1).open(replies.record(1)), Ok(payload(1, 20)));
}

/// Two onions there and back through two hops.
fn two_replies(secrets: &[HopSecret], publics: &[HopPublic]) -> (Records, Vec<hippodrome_crypto::onion::ReplyKeys>) {
    let mut rng = rng(12);
    let (mut keys, mut reply_keys) = (Vec::new(), Vec::new());
    let mut batch = Records::new(body_len(20, 2));
    for index in 0..2 {
        let onion = wrap(&descriptor(), LAYER, CHAIN, publics, &SecretScalar::random(&mut rng), &payload(index, 20));
        keys.push(onion.key);
        batch.push(&onion.body);
        reply_keys.push(onion.replies);
    }
    let [there, back] = [0, 1].map(|_| Permutation::random(2, &mut rng));
    let first = mix(&secrets[0], &context(0), &KeyList::new(keys), batch, &there);
    let second = mix(&secrets[1], &context(1), &KeyList::new(first.keys), first.bodies, &back);
    let replies = seal_replies(second.returns, &context(1), second.bodies, back);
    (seal_replies(first.returns, &context(0), replies, there), reply_keys)
}

#[test]
fn keys_that_are_no_elements_are_refused_with_their_indices() {
    let mut records = Records::new(40);
    for index in 0..5 {
        let key = match index {
            1 => [0; 32],
            3 => [0xff; 32],
            _ => *Element::base().encoded(),
        };
        records.push(&[key.as_slice(), &[7; 8]].concat());
    }
    let refused = vec![(1, DecodeError::Identity), (3, DecodeError::NonCanonicalElement)];
    assert_eq!(decode_keys(&records), Err(refused));
}

#[test]
fn an_empty_batch_is_mixed_to_an_empty_batch() {
    let mut rng = rng(13);
    let (secrets, _) = chain(1, &mut rng);
    let permutation = Permutation::random(0, &mut rng);
    let mixed = mix(&secrets[0], &context(0), &KeyList::new(vec![]), Records::new(17), &permutation);
    assert!(mixed.keys.is_empty() && mixed.bodies.is_empty() && mixed.failed.is_empty());
    assert!(seal_replies(mixed.returns, &context(0), Records::new(1), permutation).is_empty());
}
