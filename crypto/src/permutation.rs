//! The secret of a mix: which output came from which input.

use core::fmt;

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::records::Records;

/// A secret uniform permutation: output `i` is made from input `source(i)`. Neither `Clone` nor printable, wiped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Permutation(Vec<u32>);

impl Permutation {
    /// Draws one of `count` elements by Fisher–Yates with unbiased integers.
    pub fn random<R: CryptoRng>(count: usize, rng: &mut R) -> Self {
        let count = u32::try_from(count).expect("batches have fewer than 2^32 records");
        let mut sources: Vec<u32> = (0..count).collect();
        for last in (1..count).rev() {
            sources.swap(last as usize, below(last + 1, rng) as usize);
        }
        Self(sources)
    }

    /// How many elements it permutes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it permutes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The input that output `output` is made from.
    pub(crate) fn source(&self, output: usize) -> usize {
        self.0[output] as usize
    }

    /// The inputs that the given outputs are made from, unless there is no such output. As secret as the permutation.
    pub fn sources_of(&self, outputs: &[u32]) -> Option<Vec<u32>> {
        outputs.iter().map(|&output| self.0.get(output as usize).copied()).collect()
    }

    /// Outputs from inputs, forward.
    pub(crate) fn apply<T: Copy>(&self, inputs: &[T]) -> Vec<T> {
        assert_eq!(inputs.len(), self.len());
        self.0.iter().map(|&source| inputs[source as usize]).collect()
    }

    /// Output records from input records, forward.
    pub(crate) fn apply_records(&self, inputs: &Records) -> Records {
        assert_eq!(inputs.len(), self.len());
        let mut outputs = Records::with_capacity(inputs.width(), inputs.len());
        self.0.iter().for_each(|&source| outputs.push(inputs.record(source as usize)));
        outputs
    }

    /// Input records from output records: the way back.
    pub(crate) fn invert_records(&self, outputs: &Records) -> Records {
        assert_eq!(outputs.len(), self.len());
        let mut inputs = Records::zeroed(outputs.width(), outputs.len());
        for (output, &source) in outputs.iter().zip(&self.0) {
            inputs.record_mut(source as usize).copy_from_slice(output);
        }
        inputs
    }
}

impl fmt::Debug for Permutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permutation(..)")
    }
}

/// A uniform integer below `bound`, unbiased by rejection (Lemire, ACM TOMACS 2019).
pub fn below<R: CryptoRng>(bound: u32, rng: &mut R) -> u32 {
    assert!(bound > 0);
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        if product as u32 >= bound.wrapping_neg() % bound {
            return (product >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn the_way_back_undoes_the_way_forward() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for count in [0, 1, 2, 3, 100] {
            let permutation = Permutation::random(count, &mut rng);
            let mut inputs = Records::new(2);
            (0..count).for_each(|i| inputs.push(&(i as u16).to_le_bytes()));
            assert_eq!(permutation.invert_records(&permutation.apply_records(&inputs)), inputs);
        }
    }

    #[test]
    fn all_permutations_of_four_are_equally_likely() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut counts = std::collections::HashMap::<Vec<u32>, u32>::new();
        for _ in 0..24_000 {
            *counts.entry(Permutation::random(4, &mut rng).0.clone()).or_default() += 1;
        }
        assert_eq!(counts.len(), 24);
        let chi_square: f64 = counts.values().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_square < 60.0, "chi-square {chi_square} with 23 degrees of freedom");
    }
}
