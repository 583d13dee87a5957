//! What a network costs a server, and how often it fails or catches a loss.

use hippodrome_core::{
    noise::NoiseParams,
    params::{NetworkParams, Verification},
    wire::Sizes,
};
use serde::Serialize;

/// Opening and blinding one record: `hop_unverified` of `hippodrome bench hop --messages 16384 --threads 1`, on one core
/// of an Intel Xeon with AVX-512, binary as `cargo build --release` makes it.
const MIX_US: f64 = 41.0;
/// Proving it, both stages; the same run.
const PROVE_US: f64 = 10.0;
/// Verifying it once; the same run.
const VERIFY_US: f64 = 4.0;
/// Bytes of a proof for each record; the same run.
const PROOF_BYTES: f64 = 64.0;
/// Bytes of a key's fingerprint, which every server gets of every input but the first layer's.
const FINGERPRINT_BYTES: f64 = 4.0;

/// One record in so many is lost by the cheat whose odds are given.
const LOSS: f64 = 100.0;

/// Bits of the failure odds of one draw that chains are made long enough for, if nobody says how long.
const DEFAULT_FAILURE_BITS: u16 = 32;

/// A network's shape, and what passes it in a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    pub(super) servers: u16,
    pub(super) honest: u16,
    pub(super) layers: u8,
    pub(super) chains: u16,
    pub(super) chain_len: u8,
    /// Records of clients.
    pub(super) from_clients: f64,
    /// Noise records that each server sends into each input chain.
    pub(super) noise_per_chain: u32,
}

/// What one round costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Cost {
    /// Seconds of one core of the server with the most turns: mixing, proving, verifying. Not in it: replies, submissions'
    /// signatures, and composing noise.
    pub(super) cpu_s_per_server: f64,
    /// Bytes that a server sends, on the average: batches, parcels, offers, proofs, fingerprints, replies. Not in it:
    /// signatures and framing.
    pub(super) bytes_sent_per_server: f64,
}

impl Traffic {
    /// Records in each chain, on the average.
    fn batch(&self) -> f64 {
        let noise = f64::from(self.noise_per_chain) * f64::from(self.servers);
        self.from_clients / f64::from(self.chains) + noise
    }

    /// The cost; `us_per_hop` in place of the measured time of a record at a hop.
    pub(super) fn cost(&self, us_per_hop: Option<f64>) -> Cost {
        let hops = u32::from(self.layers) * u32::from(self.chains) * u32::from(self.chain_len);
        // Places are dealt from decks, so no server has two more than another.
        let turns = f64::from(hops.div_ceil(self.servers.into()));
        let us = us_per_hop.unwrap_or_else(|| self.us_per_hop());
        Cost {
            cpu_s_per_server: turns * self.batch() * us * 1e-6,
            bytes_sent_per_server: f64::from(self.chains) * self.batch() * self.bytes_per_record()
                / f64::from(self.servers),
        }
    }

    /// A record at a hop; every hop after it verifies the proof.
    fn us_per_hop(&self) -> f64 {
        MIX_US + PROVE_US + VERIFY_US * f64::from(self.chain_len - 1) / 2.0
    }

    /// Bytes that all servers together send for one record in a round.
    fn bytes_per_record(&self) -> f64 {
        let (layers, hops) = (usize::from(self.layers), usize::from(self.chain_len));
        let sizes = Sizes::new(hops, layers);
        let others = (hops - 1) as f64;
        let of_layer = |layer: usize| {
            let batches: usize = (1..hops).map(|position| sizes.record(layer, position)).sum();
            let replies: usize = (0..hops).map(|position| sizes.reply(layer, position)).sum();
            let parcels = if layer + 1 < layers { sizes.parcel_record(layer + 1) } else { 0 };
            let fingerprints = if layer > 0 { FINGERPRINT_BYTES * f64::from(self.servers) } else { 0.0 };
            let proofs = PROOF_BYTES * others * hops as f64 / 2.0;
            (batches + replies + parcels) as f64 + sizes.entry(layer) as f64 * others + proofs + fingerprints
        };
        (0..layers).map(of_layer).sum()
    }

    /// The negative logarithm to base 2 of the chance that one draw has a chain without an honest server; none if it
    /// cannot.
    pub(super) fn failure_bits(&self) -> Option<f64> {
        Some(self.params().odds(1).bits()).filter(|bits| bits.is_finite())
    }

    /// Long enough chains for the odds that nobody has asked for; as long as possible if that is not enough.
    pub(super) fn with_default_chain_len(self) -> Self {
        let longest = self.servers.min(31) as u8;
        let long_enough = |&chain_len: &u8| Self { chain_len, ..self }.params().odds(1).is_below(DEFAULT_FAILURE_BITS);
        Self { chain_len: (1..=longest).find(long_enough).unwrap_or(longest), ..self }
    }

    /// At least so likely it is noticed in the round if a server drops one record in a hundred of its chain's batch:
    /// `1 − (1 − h/N)^(N/100)` with h noise records of honest servers among N.
    pub(super) fn loss_caught(&self) -> f64 {
        let batch = self.batch();
        let share = f64::from(self.honest) * f64::from(self.noise_per_chain) / batch;
        1.0 - (1.0 - share.min(1.0)).powf((batch / LOSS).ceil())
    }

    /// Parameters of such a network, as far as they matter for the odds.
    fn params(&self) -> NetworkParams {
        NetworkParams {
            name: "plan".to_owned(),
            chains: self.chains,
            chain_len: self.chain_len,
            layers: self.layers,
            verification: Verification::Full,
            slots: 1,
            noise: NoiseParams::NONE,
            period_ms: 0,
            collect_ms: 0,
            deadline_ms: 0,
            max_batch: 0,
            bad_servers: self.servers - self.honest,
            min_live: self.servers,
            failure_bits: 0,
            epoch_ms: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAFFIC: Traffic = Traffic {
        servers: 100,
        honest: 75,
        layers: 2,
        chains: 100,
        chain_len: 9,
        from_clients: 2e6,
        noise_per_chain: 95,
    };

    #[test]
    fn costs_count_every_hop_of_every_record() {
        // 2 · 100 · 9 / 100 = 18 turns of 20 000 + 9500 records at 41 + 10 + 4·4 µs.
        let cost = TRAFFIC.cost(None);
        assert!((cost.cpu_s_per_server - 18.0 * 29_500.0 * 67e-6).abs() < 1e-9, "{cost:?}");
        assert!((TRAFFIC.cost(Some(100.0)).cpu_s_per_server - 18.0 * 29_500.0 * 1e-4).abs() < 1e-9);
        // A record and its reply pass 18 hops with more than 256 bytes each.
        let records_per_server = 29_500.0;
        assert!(cost.bytes_sent_per_server > records_per_server * 18.0 * 512.0);
        assert!(cost.bytes_sent_per_server < records_per_server * 18.0 * 4096.0, "{cost:?}");
    }

    #[test]
    fn odds_are_those_of_the_protocol() {
        // One chain of 3 among 10 with 3 bad, 6 chains: 6/120.
        let small = Traffic { servers: 10, honest: 7, chains: 3, chain_len: 3, ..TRAFFIC };
        assert!((small.failure_bits().expect("possible") - 20_f64.log2()).abs() < 1e-9);
        assert_eq!(Traffic { honest: 8, ..small }.failure_bits(), None);
        let long = TRAFFIC.with_default_chain_len();
        assert!(long.failure_bits().expect("possible") > 32.0);
        assert!(Traffic { chain_len: long.chain_len - 1, ..long }.failure_bits().expect("possible") <= 32.0);
        assert_eq!(Traffic { servers: 3, honest: 1, ..TRAFFIC }.with_default_chain_len().chain_len, 3);
    }

    #[test]
    fn seven_hundred_honest_records_in_a_batch_catch_nearly_every_loss() {
        // The table of the notes on receipts: 700 of 10 000 records let 0.0009 pass.
        let tens = Traffic { servers: 6, honest: 5, chains: 1, from_clients: 9160.0, noise_per_chain: 140, ..TRAFFIC };
        assert!((1.0 - tens.loss_caught() - 0.0007).abs() < 1e-4, "{}", tens.loss_caught());
        assert_eq!(Traffic { noise_per_chain: 0, ..TRAFFIC }.loss_caught(), 0.0);
    }
}
