//! Whose noise is opened: a public function of a coin that nobody knew when the noise was pledged.

use core::num::NonZeroU32;
use std::collections::BTreeSet;

use hippodrome_crypto::{
    hash::{Digest, Hasher},
    permutation::below,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// The server whose noise of `round` is opened, if any: at most one a round, each of them with probability exactly
/// 1/`one_in`, and 1/|servers| where `one_in` is less than their number.
///
/// `servers` is a set: order and repetitions do not matter. The coin must be unpredictable to every server until all of
/// the round's pledges are fixed, and nobody may be able to choose it.
pub fn picked(coin: &Digest, round: u64, servers: &[u16], one_in: NonZeroU32) -> Option<u16> {
    let servers: BTreeSet<u16> = servers.iter().copied().collect();
    let sides = one_in.get().max(u32::try_from(servers.len()).expect("at most 2^16 servers"));
    let seed = Hasher::new("hippodrome v1 audit coin").digest(coin).number(round).finish();
    let thrown = below(sides, &mut ChaCha20Rng::from_seed(seed.0));
    servers.into_iter().nth(thrown as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn one_in(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).expect("not zero")
    }

    fn coin(number: u64) -> Digest {
        Hasher::new("test coin").number(number).finish()
    }

    fn frequencies(servers: &[u16], rate: u32, rounds: u64) -> BTreeMap<Option<u16>, f64> {
        let mut counts = BTreeMap::new();
        for round in 0..rounds {
            *counts.entry(picked(&coin(round), round, servers, one_in(rate))).or_insert(0.0) += 1.0;
        }
        counts
    }

    #[test]
    fn each_server_is_picked_once_in_so_many_rounds() {
        let (servers, rate, rounds) = ([3, 5, 8, 900, 65_535], 12, 60_000);
        let counts = frequencies(&servers, rate, rounds);
        assert_eq!(counts.len(), servers.len() + 1, "nobody else");
        for (picked, count) in counts {
            let chance = if picked.is_some() { 1.0 / 12.0 } else { 7.0 / 12.0 };
            let (mean, deviation) = (rounds as f64 * chance, (rounds as f64 * chance * (1.0 - chance)).sqrt());
            assert!((count - mean).abs() < 5.0 * deviation, "{picked:?}: {count} times, {mean} expected");
        }
    }

    #[test]
    fn picks_of_successive_rounds_under_one_coin_are_independent() {
        let (servers, rounds) = ([1, 2], 40_000);
        let picks: Vec<_> = (0..rounds).map(|round| picked(&coin(0), round, &servers, one_in(4))).collect();
        let twice = picks.windows(2).filter(|pair| pair[0] == Some(1) && pair[1] == Some(1)).count() as f64;
        let (mean, deviation) = (f64::from(rounds as u32) / 16.0, (f64::from(rounds as u32) / 16.0).sqrt());
        assert!((twice - mean).abs() < 5.0 * deviation, "{twice} times, {mean} expected");
    }

    #[test]
    fn order_and_repetitions_do_not_matter() {
        for round in 0..200 {
            let expected = picked(&coin(1), round, &[1, 2, 3], one_in(4));
            assert_eq!(picked(&coin(1), round, &[3, 1, 2, 3, 3], one_in(4)), expected);
        }
    }

    #[test]
    fn a_rate_higher_than_one_a_round_picks_someone_in_every_round() {
        let counts = frequencies(&[1, 2, 3], 1, 3_000);
        assert!(!counts.contains_key(&None));
        assert!(counts.values().all(|count| (count - 1000.0).abs() < 5.0 * 26.0), "{counts:?}");
        assert_eq!(picked(&coin(2), 0, &[], one_in(1)), None, "nobody is there");
    }
}
