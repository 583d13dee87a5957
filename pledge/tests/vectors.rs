//! What an independent implementation (`vectors/make_vectors.py`, standard library only) says is what this crate says.

use hippodrome_crypto::hash::{Digest, hex};
use hippodrome_pledge::{Context, Counts, NoiseSeed, Pledge, Terms};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    network: String,
    epoch: u64,
    round: u64,
    server: u16,
    chains: Vec<u16>,
    slots: u32,
    seed: String,
    shared: Vec<u32>,
    lone: Vec<u32>,
    pledge: String,
}

fn array(digits: &str) -> [u8; 32] {
    let pairs = digits.as_bytes().as_chunks::<2>().0.iter();
    let bytes = pairs.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).expect("ASCII"), 16).expect("a digit"));
    bytes.collect::<Vec<_>>().try_into().expect("32 bytes")
}

#[test]
fn an_independent_implementation_makes_the_same_bytes() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../vectors/pledges.json")).expect("the script's file");
    assert!(!cases.is_empty());
    for case in cases {
        let network = Digest(array(&case.network));
        let context = Context { network, epoch: case.epoch, round: case.round, server: case.server };
        let terms = Terms::new(context, &case.chains, case.slots).expect("within limits");
        let (seed, counts) =
            (NoiseSeed::from_bytes(array(&case.seed)), Counts { shared: case.shared, lone: case.lone });
        let pledge = Pledge::make(&terms, &seed, &counts).expect("counts of some noise");
        assert_eq!(hex(&pledge.to_bytes()), case.pledge, "{} chains, {} slots", case.chains.len(), case.slots);
        let verified = pledge.verify(&terms).expect("an honest pledge");
        assert_eq!(verified.opens(&seed, &counts), Ok(()));
    }
}
