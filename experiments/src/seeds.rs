//! Randomness that can be had again: everything random of an experiment follows from one number.

use hippodrome_crypto::hash::{Digest, Hasher};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// What some part of an experiment draws from. Parts have names, so that one more of them changes none of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed(Digest);

impl Seed {
    /// The seed of a whole experiment.
    pub fn master(number: u64) -> Self {
        Self(Hasher::new("hippodrome v1 experiment").number(number).finish())
    }

    /// The seed of a numbered part.
    pub fn of(&self, part: &str, number: u64) -> Self {
        Self(
            Hasher::new("hippodrome v1 part of experiment")
                .digest(&self.0)
                .bytes(part.as_bytes())
                .number(number)
                .finish(),
        )
    }

    /// A number, for what takes nothing longer.
    pub fn number(&self) -> u64 {
        self.0.0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The generator.
    pub fn rng(&self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_same_each_time_and_differ_from_each_other() {
        let parts = |number| {
            let master = Seed::master(number);
            [master.of("a", 0), master.of("a", 1), master.of("b", 0), master.of("a", 0).of("a", 0), master]
        };
        assert_eq!(parts(1), parts(1));
        let mut numbers: Vec<u64> = [parts(1), parts(2)].iter().flatten().map(Seed::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 10);
    }
}
