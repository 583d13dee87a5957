//! What it takes to look at servers' noise, and how soon who cheats is caught.

use std::num::NonZeroU16;

use hippodrome_crypto::hash::Digest;
use hippodrome_pledge::{Context, Pledge, Terms};
use hippodrome_privacy::quantity::{Epsilon, Rounds};
use serde::Serialize;

/// Milliseconds of making a pledge, and of each bit of its range proofs. With those below: a line through the table of
/// `paper-notes/src/pledge.md`, which it meets within a twelfth; one thread of an Intel Xeon with AVX-512.
const MAKE_MS: (f64, f64) = (1.5, 0.145);
/// Of verifying one.
const VERIFY_MS: (f64, f64) = (0.8, 0.0107);
/// Of comparing an opened one with its noise, for each of its values. Drawing that noise again is not in it.
const OPEN_MS: f64 = 0.029;

/// Values of one range proof, at most.
const VALUES_PER_PROOF: usize = 64;

/// Shares of rounds in which somebody cheats.
const SHARES: [f64; 4] = [1.0, 0.3, 0.1, 0.01];

/// An audit's price and use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Audit {
    /// R: at least the number of servers.
    pub(super) one_in: u32,
    /// Rounds in which one server fewer is counted with.
    pub(super) rounds_opened: u64,
    /// ε of the same noise if nobody's were opened.
    pub(super) epsilon_without: Option<Epsilon>,
    /// Noise records of each server in each round that would then reach the goal.
    pub(super) noise_per_server_without: u64,
    pub(super) caught: Vec<Caught>,
    #[serde(flatten)]
    pub(super) cost: Pledges,
}

/// How soon a server is caught that cheats in a share of its rounds, at random.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Caught {
    pub(super) share: f64,
    /// The chance within the planned rounds.
    pub(super) chance: f64,
    /// Rounds after which it is more likely caught than not.
    pub(super) rounds_to_half: u64,
}

/// In each round every share of it is opened with a probability of one in so many.
pub(super) fn caught(one_in: u32, rounds: Rounds) -> Vec<Caught> {
    let of = |share: f64| {
        let escape = (-share / f64::from(one_in)).ln_1p();
        let chance = -(rounds.count() as f64 * escape).exp_m1();
        Caught { share, chance, rounds_to_half: (0.5_f64.ln() / escape).ceil() as u64 }
    };
    SHARES.map(of).to_vec()
}

/// What pledges cost each server in each round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Pledges {
    /// Milliseconds of one core: making one's own, verifying the others', and comparing what is opened. Not in it:
    /// drawing opened noise again.
    pub(super) cpu_ms_per_server: f64,
    /// Bytes of one pledge.
    pub(super) pledge_bytes: u64,
    /// Bytes of the others'.
    pub(super) bytes_received_per_server: u64,
}

impl Pledges {
    /// Of so many servers with so many slots of noise each, which goes to all chains. Each round opens one pledge at
    /// most.
    pub(super) fn new(servers: u16, chains: u16, slots: u64) -> Self {
        let numbers: Vec<u16> = (0..NonZeroU16::new(chains).map_or(1, NonZeroU16::get)).collect();
        let context = Context { network: Digest([0; 32]), epoch: 0, round: 0, server: 0 };
        let terms = Terms::new(context, &numbers, slots as u32).expect("plans have at most 1024 chains and 2^15 slots");
        let pledge_bytes = Pledge::encoded_len(&terms) as u64;
        let (values, bits) = (2 * usize::from(chains), proof_bits(&terms));
        let line = |(fixed, of_bit): (f64, f64)| fixed + of_bit * bits;
        let others = u64::from(servers) - 1;
        let cpu_ms_per_server = line(MAKE_MS) + others as f64 * line(VERIFY_MS) + OPEN_MS * values as f64;
        Self { cpu_ms_per_server, pledge_bytes, bytes_received_per_server: others * pledge_bytes }
    }
}

/// Bits of all range proofs, those that fill the last one up included.
fn proof_bits(terms: &Terms) -> f64 {
    let values = 2 * terms.chain_count();
    let rest = match values % VALUES_PER_PROOF {
        0 => 0,
        rest => rest.next_power_of_two(),
    };
    let width = [8, 16, 32].into_iter().find(|width| u64::from(terms.records()) < 1 << width).unwrap_or(32);
    ((values - values % VALUES_PER_PROOF + rest) * width) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pledges_cost_what_was_measured() {
        // Chains, slots, bytes, milliseconds to make and to verify: the table of the notes.
        let table = [
            (3, 100, 960, 11.0, 1.4),
            (3, 3000, 1024, 20.0, 2.1),
            (10, 3000, 1600, 75.0, 5.8),
            (100, 3000, 10_016, 464.0, 35.0),
        ];
        for (chains, slots, bytes, make, verify) in table {
            let alone = Pledges::new(1, chains, slots);
            assert_eq!((alone.pledge_bytes, alone.bytes_received_per_server), (bytes, 0));
            let opening = OPEN_MS * 2.0 * f64::from(chains);
            let made = alone.cpu_ms_per_server - opening;
            let verified = Pledges::new(2, chains, slots).cpu_ms_per_server - alone.cpu_ms_per_server;
            assert!((made / make - 1.0).abs() < 0.09, "{chains} chains: {made} ms for {make}");
            assert!((verified / verify - 1.0).abs() < 0.09, "{chains} chains: {verified} ms for {verify}");
        }
    }

    #[test]
    fn the_odds_of_being_caught_are_those_of_the_notes() {
        // R = 60; cheating rounds and the chance in per cent.
        for (rounds, per_cent) in [(1, 1.7), (10, 15.5), (60, 63.5), (180, 95.1), (275, 99.0), (412, 99.9)] {
            let always = caught(60, Rounds::new(rounds).expect("some"))[0];
            assert!((100.0 * always.chance - per_cent).abs() < 0.06, "{rounds}: {}", always.chance);
            assert_eq!(always.rounds_to_half, 42);
        }
        // A tenth of ten times as many rounds is nearly the same.
        let tenth = caught(60, Rounds::new(600).expect("some"))[2];
        assert!((tenth.share, (tenth.chance - 0.632).abs() < 0.005) == (0.1, true), "{}", tenth.chance);
    }
}
