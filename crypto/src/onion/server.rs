//! A server's side: the stages of mixing one batch, each over flat buffers and on all cores.
//!
//! Forward: [`decode_keys`], [`derive()`], [`blind`], [`open`], [`permute`], [`encode`]; back: [`unpermute`], [`seal`].
//! [`mix`] and [`seal_replies`] put them together for a batch from which nothing is removed.

use core::{fmt, ops::RangeInclusive};

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use curve25519_dalek::ristretto::RistrettoPoint;
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::{TAG_LEN, kdf::HopKdf, layer};
use crate::{
    group::{DecodeError, ENCODED_LEN, Element, SecretScalar},
    hop::{HopContext, HopSecret},
    key_list::KeyList,
    permutation::Permutation,
    records::Records,
};

/// Records that one core works on at a time: enough to share the inversion of a batched encoding, few enough that all cores
/// get some of a small batch.
const CHUNK: RangeInclusive<usize> = 32..=256;

fn chunk(count: usize) -> usize {
    count.div_ceil(rayon::current_num_threads()).clamp(*CHUNK.start(), *CHUNK.end())
}

/// `a·X` of a batch, encoded: with the published `b·X` it opens every record, so it is wiped and never shown.
pub struct SharedKeys(Zeroizing<Vec<[u8; ENCODED_LEN]>>);

/// The return keys of a batch, in input order: one use, neither `Clone` nor printable, wiped on drop.
///
/// Sealing two different batches of replies under the same keys would give away their difference, hence:
/// ```compile_fail
/// # use hippodrome_crypto::{onion::{HopKdf, ReturnKeys, seal}, records::Records};
/// fn seal_twice(kdf: &HopKdf, keys: ReturnKeys, first: &Records, second: &Records) -> [Records; 2] {
///     [seal(kdf, keys, first), seal(kdf, keys, second)]
/// }
/// ```
pub struct ReturnKeys(Zeroizing<Vec<[u8; 32]>>);

/// A batch with one layer taken off, in input order.
#[derive(Debug)]
pub struct Opened {
    /// What the layers held; zeros where the tag was wrong.
    pub payloads: Records,
    /// The return key of every record, those that failed included.
    pub returns: ReturnKeys,
    /// The ascending indices of the records whose tag was wrong.
    pub failed: Vec<usize>,
}

/// What a server has made of a batch.
#[derive(Debug)]
pub struct Mixed {
    /// `b·X` of the records, in output order.
    pub keys: Vec<Element>,
    /// The next hop's bodies, in output order; zeros where the tag was wrong.
    pub bodies: Records,
    /// The return keys, in input order.
    pub returns: ReturnKeys,
    /// The ascending *input* indices of the records whose tag was wrong. The caller decides what becomes of them.
    pub failed: Vec<usize>,
}

impl ReturnKeys {
    /// How many records they are for.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether they are for none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Stage *decode*: the keys of a batch of records, or every index whose first 32 bytes are not an element.
///
/// Panics when the records are narrower than a key.
pub fn decode_keys(records: &Records) -> Result<Vec<Element>, Vec<(usize, DecodeError)>> {
    assert!(records.width() >= ENCODED_LEN, "records begin with a key");
    let decode = |record: &[u8]| Element::decode(record.first_chunk().expect("records begin with a key"));
    let decoded: Vec<Result<Element, DecodeError>> =
        records.as_bytes().par_chunks(records.width()).with_min_len(chunk(records.len())).map(decode).collect();
    let bad: Vec<(usize, DecodeError)> =
        decoded.iter().enumerate().filter_map(|(index, key)| key.err().map(|error| (index, error))).collect();
    if bad.is_empty() { Ok(decoded.into_iter().flatten().collect()) } else { Err(bad) }
}

/// The bodies of a batch of records, without their keys. Panics when nothing follows the key.
pub fn bodies(records: &Records) -> Records {
    assert!(records.width() > ENCODED_LEN, "records are a key and a body");
    let mut bodies = Records::with_capacity(records.width() - ENCODED_LEN, records.len());
    records.iter().for_each(|record| bodies.push(&record[ENCODED_LEN..]));
    bodies
}

/// Stage *derive*: `a·X` of every key, in constant time.
pub fn derive(secret: &HopSecret, keys: &[Element]) -> SharedKeys {
    let mut shared = Zeroizing::new(vec![[0; ENCODED_LEN]; keys.len()]);
    let chunk = chunk(keys.len());
    shared.par_chunks_mut(chunk).zip(keys.par_chunks(chunk)).for_each(|(shared, keys)| {
        let halves = Zeroizing::new(half_products(&secret.a, keys));
        let encodings = Zeroizing::new(RistrettoPoint::double_and_compress_batch(halves.iter()));
        shared.iter_mut().zip(encodings.iter()).for_each(|(shared, encoding)| *shared = encoding.to_bytes());
    });
    SharedKeys(shared)
}

/// Stage *blind*: `b·X` of every key, in constant time.
pub fn blind(secret: &HopSecret, keys: &[Element]) -> Vec<Element> {
    let blinded = keys.par_chunks(chunk(keys.len())).flat_map_iter(|keys| {
        let halves = half_products(&secret.b, keys);
        let encodings = RistrettoPoint::double_and_compress_batch(&halves);
        halves.into_iter().zip(encodings).map(|(half, encoding)| {
            Element::from_parts(half + half, encoding.to_bytes())
                .expect("a non-zero scalar times an element of prime order")
        })
    });
    blinded.collect()
}

/// The products with half of the secret. Their doubles, which are what is wanted, encode without a square root each:
/// a batch of them shares one inversion.
fn half_products(secret: &SecretScalar, keys: &[Element]) -> Vec<RistrettoPoint> {
    let half = Zeroizing::new(secret.expose().div_by_2());
    keys.iter().map(|key| key.point() * *half).collect()
}

/// Stage *open*: checks every tag, takes off one layer, keeps the return keys.
///
/// Panics when the four lists differ in length, or the bodies are no wider than a tag.
pub fn open(kdf: &HopKdf, keys: &[Element], shared: &SharedKeys, blinded: &[Element], bodies: &Records) -> Opened {
    let count = bodies.len();
    assert_eq!((keys.len(), shared.0.len(), blinded.len()), (count, count, count), "one key for each body");
    assert!(bodies.width() > TAG_LEN, "bodies hold more than a tag");
    let mut payloads = Records::zeroed(bodies.width() - TAG_LEN, count);
    let mut returns = Zeroizing::new(vec![[0; 32]; count]);
    let width = payloads.width();
    let outputs = payloads.as_bytes_mut().par_chunks_mut(width).zip(returns.par_iter_mut());
    let failed = outputs.enumerate().with_min_len(chunk(count)).filter_map(|(index, (payload, return_key))| {
        let (key, shared, blinded) = (keys[index].encoded(), &shared.0[index], blinded[index].encoded());
        *return_key = *kdf.return_key(key, shared, blinded);
        layer::open_into(kdf, key, shared, blinded, bodies.record(index), payload).err().map(|_| index)
    });
    let failed = failed.collect();
    Opened { payloads, returns: ReturnKeys(returns), failed }
}

/// Stage *permute*: keys and bodies from input to output order.
pub fn permute(permutation: &Permutation, keys: &[Element], bodies: &Records) -> (Vec<Element>, Records) {
    (permutation.apply(keys), permutation.apply_records(bodies))
}

/// Stage *encode*: the records that go on the wire, each a key and a body.
pub fn encode(keys: &[Element], bodies: &Records) -> Records {
    assert_eq!(keys.len(), bodies.len(), "one key for each body");
    let mut records = Records::zeroed(ENCODED_LEN + bodies.width(), bodies.len());
    let width = records.width();
    let filled =
        records.as_bytes_mut().par_chunks_mut(width).zip(keys).zip(bodies.as_bytes().par_chunks(bodies.width()));
    filled.with_min_len(chunk(keys.len())).for_each(|((record, key), body)| {
        record[..ENCODED_LEN].copy_from_slice(key.encoded());
        record[ENCODED_LEN..].copy_from_slice(body);
    });
    records
}

/// Opens, blinds and permutes one batch: the stages *derive* to *permute*. The shuffle of keys is proved elsewhere.
///
/// Takes the bodies, and lets go of them and of the shared keys as soon as the layer is off: what is in memory for one
/// message stays under 2 KB. Panics when keys, bodies and permutation differ in length, or the bodies are no wider than
/// a tag.
pub fn mix(
    secret: &HopSecret,
    context: &HopContext,
    keys: &KeyList,
    bodies: Records,
    permutation: &Permutation,
) -> Mixed {
    let shared = derive(secret, keys.keys());
    let blinded = blind(secret, keys.keys());
    let opened = open(&HopKdf::new(context), keys.keys(), &shared, &blinded, &bodies);
    drop((shared, bodies));
    let (keys, bodies) = permute(permutation, &blinded, &opened.payloads);
    Mixed { keys, bodies, returns: opened.returns, failed: opened.failed }
}

/// Brings replies from output back to input order. The permutation ends here.
///
/// Where records were removed before the permutation, the caller then puts other bytes in their places, so that there
/// is a reply for every return key again.
pub fn unpermute(permutation: Permutation, replies: &Records) -> Records {
    permutation.invert_records(replies)
}

/// Stage *seal*: puts this hop's layer on every reply; replies and keys in the same order.
pub fn seal(kdf: &HopKdf, returns: ReturnKeys, replies: &Records) -> Records {
    assert_eq!(returns.len(), replies.len(), "one return key for each reply");
    let mut sealed = Records::zeroed(replies.width() + TAG_LEN, replies.len());
    let width = sealed.width();
    let outputs = sealed.as_bytes_mut().par_chunks_mut(width).zip(replies.as_bytes().par_chunks(replies.width()));
    outputs.zip(returns.0.par_iter()).with_min_len(chunk(replies.len())).for_each(|((sealed, reply), key)| {
        let (text, tag) = sealed.split_at_mut(reply.len());
        text.copy_from_slice(reply);
        let cipher = ChaCha20Poly1305::new(key.into());
        let computed = cipher.encrypt_inout_detached(&[0; 12].into(), &kdf.back, text.into());
        tag.copy_from_slice(&computed.expect("a reply is shorter than 2^32 ChaCha20 blocks"));
    });
    sealed
}

/// Brings replies back from output to input order and seals them, 16 bytes wider. Keys and permutation end here.
///
/// Panics when keys, replies and permutation differ in length.
pub fn seal_replies(returns: ReturnKeys, context: &HopContext, replies: Records, permutation: Permutation) -> Records {
    seal(&HopKdf::new(context), returns, &unpermute(permutation, &replies))
}

impl fmt::Debug for SharedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKeys(..)")
    }
}

impl fmt::Debug for ReturnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReturnKeys(..)")
    }
}
