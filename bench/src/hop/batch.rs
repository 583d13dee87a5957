//! The clients' side: a batch of real onions, and what each hop has to make of it.

use hippodrome_core::wire::Sizes;
use hippodrome_crypto::{
    group::{ENCODED_LEN, Element, SecretScalar},
    hash::{Digest, Hasher},
    hop::{HopContext, HopPublic, HopSecret},
    onion::{self, HopKdf},
    records::Records,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::Rng;
use rayon::prelude::*;

use super::BenchError;

/// Servers in the chain.
const HOPS: usize = 3;
/// Layers of chains.
const LAYERS: usize = 2;
/// Onions that one task wraps with one generator.
const CHUNK: usize = 64;

/// Onions as they arrive at the first hop of a chain, and the hop's keys.
pub(crate) struct Batch {
    /// What arrives, each a key and a body.
    pub(crate) records: Records,
    /// What the first hop has to make of each record, in input order.
    pub(crate) expected: Records,
    /// The first hop.
    pub(crate) secret: HopSecret,
    pub(crate) public: HopPublic,
    pub(crate) context: HopContext,
}

impl Batch {
    /// Wraps `count` onions on all cores of rayon's global pool.
    pub(crate) fn wrap(count: usize, rng: &mut ChaCha20Rng) -> Result<Self, BenchError> {
        let mut chain = Chain::new(rng)?;
        let sizes = Sizes::new(HOPS, LAYERS);
        let mut records = Records::zeroed(sizes.record(0, 0), count);
        let mut expected = Records::zeroed(sizes.record(0, 1), count);
        let (width, expected_width) = (records.width(), expected.width());
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let tasks = records.as_bytes_mut().par_chunks_mut(width * CHUNK);
        let tasks = tasks.zip(expected.as_bytes_mut().par_chunks_mut(expected_width * CHUNK)).enumerate();
        tasks.try_for_each(|(task, (records, expected))| {
            let mut rng = ChaCha20Rng::from_seed(seed);
            rng.set_stream(task as u64);
            let mut slots = records.chunks_exact_mut(width).zip(expected.chunks_exact_mut(expected_width));
            slots.try_for_each(|(record, expected)| {
                chain.wrap(&mut vec![0; sizes.payload(0)], record, expected, &mut rng)
            })
        })?;
        let (secret, public) = chain.hops.swap_remove(0);
        Ok(Self { records, expected, secret, public, context: chain.context(0) })
    }

    /// Bytes that the bench itself holds while a hop is measured.
    pub(crate) fn held_bytes(&self) -> usize {
        self.records.as_bytes().len() + self.expected.as_bytes().len()
    }
}

/// The servers of one chain with their keys.
struct Chain {
    descriptor: Digest,
    hops: Vec<(HopSecret, HopPublic)>,
}

impl Chain {
    fn new(rng: &mut ChaCha20Rng) -> Result<Self, BenchError> {
        let descriptor = Hasher::new("hippodrome bench descriptor").number(rng.next_u64()).finish();
        let mut hops = Vec::with_capacity(HOPS);
        let mut base = Element::base();
        for _ in 0..HOPS {
            let (secret, public, proof) = HopSecret::generate(&base, &descriptor, rng);
            public.verify(&base, &descriptor, &proof).map_err(|_| BenchError::Wrong("a hop's keys are refused"))?;
            base = public.blinding;
            hops.push((secret, public));
        }
        Ok(Self { descriptor, hops })
    }

    fn context(&self, position: u8) -> HopContext {
        HopContext { descriptor: self.descriptor, layer: 0, chain: 0, position }
    }

    /// Wraps a random payload; opens it again, hop by hop, to see that it is what comes out at the end.
    fn wrap(
        &self,
        payload: &mut [u8],
        record: &mut [u8],
        expected: &mut [u8],
        rng: &mut ChaCha20Rng,
    ) -> Result<(), BenchError> {
        rng.fill_bytes(payload);
        let publics: Vec<HopPublic> = self.hops.iter().map(|(_, public)| *public).collect();
        let onion = onion::wrap(&self.descriptor, 0, 0, &publics, &SecretScalar::random(rng), payload);
        join(&onion.key, &onion.body, record);
        let (key, body) = self.open(0, &onion.key, &onion.body)?;
        join(&key, &body, expected);
        let (_, opened) = (1..HOPS).try_fold((key, body), |(key, body), hop| self.open(hop, &key, &body))?;
        if opened == payload { Ok(()) } else { Err(BenchError::Wrong("a payload is not what was wrapped")) }
    }

    /// One record at one hop, by the way that shares nothing with batches.
    fn open(&self, hop: usize, key: &Element, body: &[u8]) -> Result<(Element, Vec<u8>), BenchError> {
        let (secret, _) = &self.hops[hop];
        let (shared, blinded) = (secret.a.multiply(key), secret.b.multiply(key));
        let opened = onion::open_layer(&HopKdf::new(&self.context(hop as u8)), key, &shared, &blinded, body);
        Ok((blinded, opened.map_err(|_| BenchError::Wrong("an onion does not open"))?))
    }
}

fn join(key: &Element, body: &[u8], record: &mut [u8]) {
    record[..ENCODED_LEN].copy_from_slice(key.encoded());
    record[ENCODED_LEN..].copy_from_slice(body);
}
