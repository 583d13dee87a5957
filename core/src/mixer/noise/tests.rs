use std::collections::BTreeMap;

use hippodrome_crypto::{group::Element, records::Records};
use rand_core::SeedableRng;

use super::*;
use crate::{
    conversation::dummy_access,
    ids::{ClientId, Layer, ServerId},
    mixer::{
        blame::tests::{World, rng},
        exchange::exchange,
    },
    submission::{Forwarded, Submission},
};

const CHAIN: ChainId = ChainId(0);

/// Everything that the members of all chains together see of submissions, hop by hop, once what everybody sees of their
/// authors is off.
fn seen(world: &World, submissions: &[Submission]) -> Vec<Records> {
    let sizes = &world.basis.sizes;
    let columns = |parts: &mut dyn Iterator<Item = (Element, Vec<u8>)>, width: usize| {
        let mut bodies = Records::new(width);
        let keys: Vec<Element> = parts.map(|(key, body)| (bodies.push(&body), key).1).collect();
        (keys, bodies)
    };
    let mut entering =
        submissions.iter().map(|Submission { key, body, .. }| (*key, body.clone())).collect::<Vec<_>>().into_iter();
    let (keys, bodies) = columns(&mut entering, sizes.body(0, 0));
    let mut seen = vec![bodies.clone()];
    seen.extend(world.opened(0, keys, bodies));
    let payloads = seen.last().expect("the last hop's").clone();
    let forwarded = payloads.iter().map(|payload| Forwarded::decode(sizes, Layer(1), payload).expect("well formed"));
    let mut inner = forwarded.map(|Forwarded { destination, record }| {
        assert_eq!(destination, CHAIN);
        (record.key, record.body)
    });
    let (keys, bodies) = columns(&mut inner, sizes.body(1, 0));
    seen.extend(world.opened(1, keys, bodies));
    seen
}

/// By how many standard deviations the bytes of two groups of records differ more than those of one group's halves
/// would: Pearson's statistic of two samples over 256 values.
fn difference(one: &Records, other: &Records) -> f64 {
    let counts = |records: &Records| {
        let mut counts = [0.0; 256];
        records.iter().flatten().for_each(|byte| counts[usize::from(*byte)] += 1.0);
        counts
    };
    let (one, other) = (counts(one), counts(other));
    let (all_one, all_other): (f64, f64) = (one.iter().sum(), other.iter().sum());
    let (scale, back) = ((all_other / all_one).sqrt(), (all_one / all_other).sqrt());
    let cells = one.iter().zip(&other).filter(|(a, b)| *a + *b > 0.0);
    let statistic: f64 = cells.map(|(a, b)| (scale * a - back * b).powi(2) / (a + b)).sum();
    (statistic - 255.0) / 510_f64.sqrt()
}

#[test]
fn no_chain_tells_noise_from_what_clients_send() {
    let world = World::with_noise(40);
    let noise = (0..4).map(ServerId).flat_map(|owner| world.noise(owner)).flat_map(|noise| noise.submissions);
    let noise: Vec<u8> = noise.collect();
    let sizes = &world.basis.sizes;
    let noise = noise.chunks_exact(sizes.submission);
    let noise: Vec<_> = noise.map(|record| Submission::decode(sizes, record).expect("well formed")).collect();
    let view = world.basis.descriptor.own_view(CHAIN);
    let key = SigningKey::from_seed(&[9; 32]);
    let composer = Composer { view: &view, author: Author::Client(ClientId(0)), key: &key };
    let mut rng = rng(1);
    let mut dummy = |_| composer.compose(0, &dummy_access(&mut rng).0, &mut ChaCha20Rng::from_rng(&mut rng)).submission;
    let dummies: Vec<Submission> = (0..noise.len()).map(&mut dummy).collect();
    let submission = |submissions: &[Submission]| submissions[0].encode().len();
    assert_eq!(submission(&noise), submission(&dummies));
    for (hop, (noise, dummies)) in seen(&world, &noise).iter().zip(seen(&world, &dummies)).enumerate() {
        assert_eq!((noise.width(), noise.len()), (dummies.width(), dummies.len()), "hop {hop}");
        let differ = difference(noise, &dummies);
        assert!(differ < 5.0, "hop {hop}: the bytes differ by {differ} standard deviations");
    }
    // The comparison itself: contents that are not sealed are told from noise at once.
    let plain = |_| Access { mailbox: [1; 16], content: [b'a'; 256] };
    let plain: Vec<_> =
        (0..noise.len()).map(|n| composer.compose(0, &plain(n), &mut self::rng(2)).submission).collect();
    let last = |submissions: &[Submission]| seen(&world, submissions).pop().expect("the last hop's");
    assert!(difference(&last(&noise), &last(&plain)) > 5.0);
}

#[test]
fn shared_slots_meet_and_lone_ones_do_not() {
    for shared in [0, 1, 7, 20] {
        let accesses = accesses(20, shared, &mut rng(u64::from(shared)));
        let mut visits: BTreeMap<[u8; MAILBOX_LEN], u32> = BTreeMap::new();
        let mut records = Records::new(MAILBOX_LEN + FRAME_LEN);
        for access in &accesses {
            *visits.entry(access.mailbox).or_default() += 1;
            records.push(&[access.mailbox.as_slice(), &access.content].concat());
        }
        assert_eq!(visits.values().filter(|visits| **visits == 2).count(), shared as usize);
        assert_eq!(visits.values().filter(|visits| **visits == 1).count(), 2 * (20 - shared as usize));
        let partner = |index: usize| if index < 2 * shared as usize { index ^ 1 } else { index };
        let expected = (0..accesses.len()).map(|index| accesses[partner(index)].content.as_slice());
        assert!(exchange(&records).iter().eq(expected), "{shared} shared");
    }
}

#[test]
fn every_order_in_which_records_are_dealt_is_as_likely() {
    let (draws, mut rng) = (12_000, rng(3));
    let mut counts: BTreeMap<[u8; 4], f64> = BTreeMap::new();
    for _ in 0..draws {
        let mut items = [0, 1, 2, 3];
        shuffle(&mut items, &mut rng);
        *counts.entry(items).or_default() += 1.0;
    }
    let expected = f64::from(draws) / 24.0;
    let statistic: f64 = counts.values().map(|count| (count - expected).powi(2) / expected).sum();
    assert!(counts.len() == 24 && statistic < 70.0, "chi-square of 23: {statistic}");
}

#[test]
fn all_of_a_servers_noise_follows_from_one_seed() {
    let world = World::with_noise(6);
    let (context, key) = (world.context_of(ServerId(1)), world.key_of(ServerId(1)));
    let composed = |byte: u8| {
        let noise = compose(&context, key, &NoiseSeed::from_bytes([byte; 32]));
        noise.into_iter().flat_map(|noise| noise.submissions).collect::<Vec<u8>>()
    };
    assert_eq!(composed(1), composed(1));
    let width = world.basis.sizes.submission;
    let (one, other) = (composed(1), composed(2));
    assert!(one.chunks(width).zip(other.chunks(width)).all(|(one, other)| one != other), "each record is another's");
}
