//! Fingerprints of keys: four bytes each, by which the owner of a key sees that it is in a list without asking for it.
//!
//! They are hashes under the root of the records that the list belongs to, so that nobody can look for keys with equal
//! fingerprints before that root is fixed.

use rayon::prelude::*;

use crate::{
    group::{ENCODED_LEN, Element},
    hash::{Digest, Hasher},
};

/// Bytes of a fingerprint.
pub const FINGERPRINT_LEN: usize = 4;

/// A key's fingerprint under one root. Of a list of N others, one agrees with it with probability N/2^32.
pub type Fingerprint = [u8; FINGERPRINT_LEN];

/// Keys that one core hashes at a time.
const CHUNK: usize = 1024;

/// The fingerprint of a key under `root`.
pub fn fingerprint(root: &Digest, key: &Element) -> Fingerprint {
    hash(&list_key(root), key.encoded())
}

/// The fingerprints of keys under `root`, in order, one behind another.
pub fn fingerprints(root: &Digest, keys: &[Element]) -> Vec<u8> {
    let list = list_key(root);
    let mut bytes = vec![0; keys.len() * FINGERPRINT_LEN];
    let (places, _) = bytes.as_chunks_mut::<FINGERPRINT_LEN>();
    places.par_iter_mut().zip(keys).with_min_len(CHUNK).for_each(|(place, key)| *place = hash(&list, key.encoded()));
    bytes
}

fn list_key(root: &Digest) -> Digest {
    Hasher::new("hippodrome v1 fingerprints").digest(root).finish()
}

fn hash(list: &Digest, key: &[u8; ENCODED_LEN]) -> Fingerprint {
    let [a, b, c, d, ..] = *blake3::keyed_hash(list.as_bytes(), key).as_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::group::SecretScalar;

    #[test]
    fn a_list_holds_each_keys_fingerprint_in_order_and_for_its_own_root_only() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let keys: Vec<Element> = (0..40).map(|_| SecretScalar::random(&mut rng).multiply(&Element::base())).collect();
        let (root, other) = (Digest([1; 32]), Digest([2; 32]));
        let single: Vec<u8> = keys.iter().flat_map(|key| fingerprint(&root, key)).collect();
        assert_eq!(fingerprints(&root, &keys), single);
        assert_ne!(fingerprints(&other, &keys), single);
        assert!(fingerprints(&root, &[]).is_empty());
    }
}
