//! The seed from which all of a server's noise of one round follows.

use core::fmt;

use hippodrome_crypto::hash::{Digest, Hasher};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::terms::Terms;

/// Bytes of a seed.
pub const SEED_LEN: usize = 32;

/// The secret of one server's noise of one round: neither `Clone` nor printable, wiped on drop. Draw a fresh one for
/// each round.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct NoiseSeed([u8; SEED_LEN]);

impl NoiseSeed {
    /// Draws a seed.
    pub fn random<R: CryptoRng>(rng: &mut R) -> Self {
        let mut seed = Self([0; SEED_LEN]);
        rng.fill_bytes(&mut seed.0);
        seed
    }

    /// A seed that its owner has shown or kept.
    pub fn from_bytes(bytes: [u8; SEED_LEN]) -> Self {
        Self(bytes)
    }

    /// Gives the secret up, for an audit or for the owner's own store.
    pub fn show(&self) -> [u8; SEED_LEN] {
        self.0
    }

    /// The stream of random numbers for one use, independent of those of all other labels. The label is a constant of
    /// the code; the same label gives the same stream again.
    pub fn rng(&self, label: &str) -> ChaCha20Rng {
        self.stream("hippodrome v1 noise stream", label.as_bytes())
    }

    /// The stream of random numbers for one of many uses of a kind, independent of all others: those with another label,
    /// other numbers, and those of [`Self::rng`].
    pub fn rng_of(&self, label: &str, numbers: [u16; 2]) -> ChaCha20Rng {
        let topic = Hasher::new("hippodrome v1 noise stream of many").bytes(label.as_bytes());
        let topic = numbers.into_iter().fold(topic, |topic, number| topic.number(number.into())).finish();
        self.stream("hippodrome v1 noise stream of many", topic.as_bytes())
    }

    /// What binds a server to its seed before the round: its digest, which is no other round's.
    pub(crate) fn commitment(&self, terms: &Terms) -> Digest {
        Hasher::new("hippodrome v1 noise seed commitment").digest(terms.digest()).bytes(&self.0).finish()
    }

    /// What only this seed gives under a label and a topic.
    pub(crate) fn stream(&self, label: &str, topic: &[u8]) -> ChaCha20Rng {
        let mut hasher = blake3::Hasher::new_derive_key(label);
        let key = Zeroizing::new(*hasher.update(&self.0).update(topic).finalize().as_bytes());
        hasher.zeroize();
        ChaCha20Rng::from_seed(*key)
    }
}

impl fmt::Debug for NoiseSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoiseSeed(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;

    #[test]
    fn each_label_has_a_stream_of_its_own_that_only_the_seed_gives() {
        let draw = |byte, label: &str| NoiseSeed::from_bytes([byte; SEED_LEN]).rng(label).next_u64();
        assert_eq!(draw(1, "mailboxes"), draw(1, "mailboxes"));
        let different: std::collections::BTreeSet<_> =
            [draw(1, "mailboxes"), draw(1, "order"), draw(1, ""), draw(2, "mailboxes")].into();
        assert_eq!(different.len(), 4);
        let draw = |label: &str, numbers| NoiseSeed::from_bytes([1; SEED_LEN]).rng_of(label, numbers).next_u64();
        assert_eq!(draw("record", [1, 2]), draw("record", [1, 2]));
        let different: std::collections::BTreeSet<_> =
            [draw("record", [1, 2]), draw("record", [2, 1]), draw("other", [1, 2]), draw("", [0, 0])].into();
        assert_eq!(different.len(), 4);
    }

    #[test]
    fn a_printed_seed_tells_nothing() {
        assert_eq!(format!("{:?}", NoiseSeed::from_bytes([0xab; SEED_LEN])), "NoiseSeed(..)");
    }
}
