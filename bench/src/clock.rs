//! How fast the processor's clock runs for whoever computes now.
//!
//! A machine that is shared, or hot, gives a core fewer steps a second than its name says, and on another day more. Times
//! are worth little without it; times multiplied by it can be compared.

use std::{hint::black_box, time::Instant};

use crate::median;

/// Links of a chain, each of which waits for the one before: some milliseconds.
const CHAIN: u32 = 4_000_000;
/// Steps until the next link can begin: three of `imul` on all x86-64 processors since Nehalem, one of `xor` (Fog, "Instruction
/// tables").
const STEPS: f64 = 4.0;
/// Chains that the median is taken over.
const CHAINS: usize = 5;

/// Thousands of millions of steps a second, by chains of multiplications. None on processors whose multiplication is not known to
/// take three steps.
pub(crate) fn ghz() -> Option<f64> {
    cfg!(target_arch = "x86_64").then(|| median((0..CHAINS).map(|_| chain_ghz())))
}

/// Behind the name of the back end.
pub(crate) fn in_words(ghz: Option<f64>) -> String {
    ghz.map_or(String::new(), |ghz| format!(", {ghz:.2} GHz"))
}

fn chain_ghz() -> f64 {
    let factor = black_box(6_364_136_223_846_793_005_u64);
    let start = Instant::now();
    // Products alone could be taken together, several links in one.
    let end = (0..CHAIN).fold(1_u64, |product, _| product.wrapping_mul(factor) ^ factor);
    black_box(end);
    STEPS * f64::from(CHAIN) / start.elapsed().as_secs_f64() / 1e9
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_clock_runs_at_a_rate_that_clocks_run_at() {
        let ghz = super::ghz().expect("known");
        // Wide: the machine may be busy, and code that is not optimised takes more steps.
        assert!(ghz > 0.001 && ghz < 10.0, "{ghz}");
    }
}
