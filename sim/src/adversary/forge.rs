//! Submissions that no honest client makes, and records that no honest server makes.

use hippodrome_core::{
    ids::{ChainId, Layer},
    params::NetworkParams,
    submission::{Composer, Submission},
};
use hippodrome_crypto::{
    group::{Element, SecretScalar},
    hash::{Digest, Hasher},
    knowledge::Knowledge,
    merkle, onion,
    records::Records,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::Rng;

/// What a cheating client makes of its turn.
pub type Forge = fn(&Composer<'_>, &NetworkParams, &mut ChaCha20Rng) -> Submission;

/// An onion that opens at `depth` hops of the input chain and then holds random bytes; at the depth of the whole chain
/// its payload is malformed.
pub fn garbage_after(
    depth: usize,
    composer: &Composer<'_>,
    params: &NetworkParams,
    rng: &mut ChaCha20Rng,
) -> Submission {
    let (sizes, chain) = (params.sizes(), composer.view.chain());
    let depth = depth.min(params.chain_len.into());
    let hops = &composer.view.keys(Layer(0), chain)[..depth];
    let x = SecretScalar::random(rng);
    let whole = depth == usize::from(params.chain_len);
    let mut rest = vec![0; if whole { sizes.payload(0) } else { sizes.body(0, depth) }];
    rng.fill_bytes(&mut rest);
    let onion = onion::wrap(composer.view.digest(), 0, chain.0, hops, &x, &rest);
    composer.sign(0, onion.key, onion.body, &x, rng)
}

/// The same key whoever submits it: two authors with one exponent are one author.
pub fn shared_key(composer: &Composer<'_>, params: &NetworkParams, _: &mut ChaCha20Rng) -> Submission {
    garbage_after(1, composer, params, &mut ChaCha20Rng::seed_from_u64(1))
}

/// Opens at every hop of the input chain, and holds an inner onion that opens nowhere.
pub fn garbage_in_layer_1(composer: &Composer<'_>, params: &NetworkParams, rng: &mut ChaCha20Rng) -> Submission {
    let (view, chain) = (composer.view, composer.view.chain());
    let x = SecretScalar::random(rng);
    let record = inner_record(view.digest(), chain, ChainId(0), params.sizes().parcel_record(1), rng);
    let payload = [0_u16.to_le_bytes().as_slice(), &record].concat();
    let onion = onion::wrap(view.digest(), 0, chain.0, view.keys(Layer(0), chain), &x, &payload);
    composer.sign(0, onion.key, onion.body, &x, rng)
}

/// A record of a parcel into layer 1 with a good signature of knowledge around a body of random bytes.
pub fn inner_record(digest: &Digest, source: ChainId, to: ChainId, width: usize, rng: &mut ChaCha20Rng) -> Vec<u8> {
    let x = SecretScalar::random(rng);
    let key = x.multiply(&Element::base());
    let mut body = vec![0; width - 96];
    rng.fill_bytes(&mut body);
    let context = Hasher::new("hippodrome v1 inner onion")
        .digest(digest)
        .number(1)
        .number(source.0.into())
        .number(to.0.into())
        .bytes(key.encoded())
        .digest(&merkle::body_hash(&body))
        .finish();
    let knowledge = Knowledge::sign(&x, &Element::base(), &key, &context, rng);
    [key.encoded().as_slice(), &knowledge.to_bytes(), &body].concat()
}

/// Another key in place of a record's: the record's own, moved by a multiple of the base that the cheat knows.
pub fn related_key(records: &Records, index: usize, rng: &mut ChaCha20Rng) -> Records {
    let mut changed = records.clone();
    let key: [u8; 32] = records.record(index)[..32].try_into().expect("records begin with a key");
    let shift = SecretScalar::random(rng).multiply(&Element::base());
    let moved = Element::decode(&key).and_then(|key| Element::from_point(key.point() + shift.point()));
    if let Ok(moved) = moved {
        changed.record_mut(index)[..32].copy_from_slice(moved.encoded());
    }
    changed
}

/// A fresh key and random bytes in place of a record.
pub fn replaced(records: &Records, index: usize, rng: &mut ChaCha20Rng) -> Records {
    let mut changed = records.clone();
    let key = SecretScalar::random(rng).multiply(&Element::base());
    let record = changed.record_mut(index);
    rng.fill_bytes(record);
    record[..32].copy_from_slice(key.encoded());
    changed
}

/// All records but one.
pub fn without(records: &Records, index: usize) -> Records {
    let mut fewer = Records::new(records.width());
    records.iter().enumerate().filter(|(at, _)| *at != index).for_each(|(_, record)| fewer.push(record));
    fewer
}

/// One bit of a record's body changed, its key intact.
pub fn garbled(records: &Records, index: usize) -> Records {
    let mut garbled = records.clone();
    if let Some(last) = garbled.record_mut(index).last_mut() {
        *last ^= 1;
    }
    garbled
}

/// One record's key a second time, in place of another's.
pub fn with_a_key_twice(records: &Records) -> Records {
    let mut doubled = records.clone();
    let key = records.record(1)[..32].to_vec();
    doubled.record_mut(0)[..32].copy_from_slice(&key);
    doubled
}

/// All records, in another order.
pub fn turned(records: &Records) -> Records {
    let mut turned = records.clone();
    let width = records.width();
    turned.as_bytes_mut().rotate_left(width);
    turned
}
