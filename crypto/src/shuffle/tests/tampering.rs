//! Whatever is changed in statement, lists or proof, the proof is refused.

use super::*;

/// A change to a list of keys.
type Change<'a> = dyn Fn(&mut Vec<Element>) + 'a;

/// Parses and verifies a changed proof.
fn accepts(key: &CommitmentKey, hop: &Hop, bytes: &[u8], rng: &mut ChaCha20Rng) -> bool {
    ShuffleProof::parse_rows(key, bytes, hop.inputs.len())
        .and_then(|proof| verify::verify_rows(key, &hop.statement, &hop.inputs, &hop.outputs, &proof, rng))
        .is_ok()
}

#[test]
fn every_single_changed_byte_of_a_small_proof_is_refused() {
    for (width, count) in [(2, 5), (3, 3), (4, 1), (2, 2), (1, 3)] {
        let key = key(width);
        let hop = Hop::new(key, count, count, &mut rng(1));
        let bytes = hop.proof.to_bytes();
        assert!(accepts(key, &hop, &bytes, &mut rng(2)));
        (0..bytes.len()).into_par_iter().for_each(|index| {
            // Both the lowest bits, which keep scalars canonical, and the highest, which do not.
            for flip in [1, 0x80] {
                let mut changed = bytes.clone();
                changed[index] ^= flip;
                assert!(!accepts(key, &hop, &changed, &mut rng(2)), "byte {index} of {count} by {width}");
            }
        });
    }
}

#[test]
fn changed_bytes_of_a_proof_with_real_rows_are_refused() {
    let count = 5000;
    let hop = Hop::new(CommitmentKey::global(), count, count, &mut rng(3));
    let bytes = hop.proof.to_bytes();
    assert!(accepts(CommitmentKey::global(), &hop, &bytes, &mut rng(4)));
    // One byte of each kind of part, and around position 4096 of g and f.
    let (points, g) = (5 * 2 + 2, 5 * 2 + 2);
    let f = g + count;
    let tail = f + count - 1;
    let parts = (0..points).chain([g, g + 4095, g + 4096, f - 1, f, f + 4094, f + 4095, f + 4096, tail - 1]);
    for part in parts.chain(tail..tail + 5) {
        let mut changed = bytes.clone();
        changed[32 * part + 3] ^= 4;
        assert!(!accepts(CommitmentKey::global(), &hop, &changed, &mut rng(4)), "part {part}");
    }
}

#[test]
fn every_changed_field_of_the_statement_is_refused() {
    let (key, mut rng) = (key(2), rng(5));
    let hop = Hop::new(key, 5, 5, &mut rng);
    let mut refuse = |name: &str, change: &dyn Fn(&mut Statement)| {
        let mut changed = hop.statement.clone();
        change(&mut changed);
        let verdict = verify::verify_rows(key, &changed, &hop.inputs, &hop.outputs, &hop.proof, &mut rng);
        assert!(verdict.is_err(), "{name}");
    };
    for index in 0..32 {
        refuse("context", &|statement| statement.context.0[index] ^= 1);
        refuse("input root", &|statement| statement.input_root.0[index] ^= 1);
        refuse("output root", &|statement| statement.output_root.0[index] ^= 1);
        refuse("removed", &|statement| statement.removed.0[index] ^= 1);
    }
    let other = SecretScalar::random(&mut super::rng(6)).multiply(&Element::base());
    refuse("P", &|statement| statement.base = other);
    refuse("Q", &|statement| statement.blinded_base = other);
    refuse("P and Q swapped", &|statement| core::mem::swap(&mut statement.base, &mut statement.blinded_base));
}

#[test]
fn every_changed_key_of_either_list_is_refused() {
    for (width, count) in [(2, 5), (4, 1), (3, 3)] {
        let (key, mut rng) = (key(width), rng(7));
        let hop = Hop::new(key, count, count, &mut rng);
        let other = random_keys(1, &mut rng).keys()[0];
        for index in 0..count {
            let changed = |list: &KeyList, change: &Change<'_>| {
                let mut keys = list.keys().to_vec();
                change(&mut keys);
                KeyList::new(keys)
            };
            let replace = |keys: &mut Vec<Element>| keys[index] = other;
            let swap = |keys: &mut Vec<Element>| keys.swap(index, (index + 1) % count);
            let changes: &[&Change<'_>] = if count > 1 { &[&replace, &swap] } else { &[&replace] };
            for change in changes {
                for (inputs, outputs) in [
                    (changed(&hop.inputs, change), hop.outputs.clone()),
                    (hop.inputs.clone(), changed(&hop.outputs, change)),
                ] {
                    let verdict = verify::verify_rows(key, &hop.statement, &inputs, &outputs, &hop.proof, &mut rng);
                    assert!(verdict.is_err(), "key {index} of {count}");
                }
            }
        }
    }
}

#[test]
fn proofs_of_another_length_are_refused_before_anything_is_allocated() {
    let key = key(2);
    let hop = Hop::new(key, 5, 5, &mut rng(8));
    let bytes = hop.proof.to_bytes();
    let parse = |bytes: &[u8], count| ShuffleProof::parse_rows(key, bytes, count).map(|proof| proof.count());
    assert_eq!(parse(&bytes, 5), Ok(5));
    let expected = bytes.len();
    for actual in [0, 1, expected - 32, expected - 1] {
        assert_eq!(parse(&bytes[..actual], 5), Err(ShuffleError::Length { expected, actual }));
    }
    let longer: Vec<_> = bytes.iter().copied().chain([0]).collect();
    assert_eq!(parse(&longer, 5), Err(ShuffleError::Length { expected, actual: expected + 1 }));
    assert!(matches!(parse(&bytes, 4), Err(ShuffleError::Length { .. })));
    assert_eq!(parse(&bytes, 0), Err(ShuffleError::EmptyBatch));
    assert_eq!(parse(&bytes, usize::MAX), Err(ShuffleError::TooManyKeys { count: usize::MAX }));
}

#[test]
fn non_canonical_parts_are_refused() {
    let key = key(2);
    let hop = Hop::new(key, 2, 2, &mut rng(9));
    let bytes = hop.proof.to_bytes();
    let points = 5 + 2;
    for part in 0..bytes.len() / 32 {
        let mut changed = bytes.clone();
        changed[32 * part..][..32].fill(0xff);
        let expected = if part < points { DecodeError::NonCanonicalElement } else { DecodeError::NonCanonicalScalar };
        let refused = ShuffleProof::parse_rows(key, &changed, 2).map(|proof| proof.count());
        assert_eq!(refused, Err(ShuffleError::Malformed(expected)), "part {part}");
    }
}

#[test]
fn the_challenge_zero_is_refused() {
    use curve25519_dalek::scalar::Scalar;
    assert_eq!(oracle::nonzero(Scalar::ZERO), Err(ShuffleError::ZeroChallenge));
    assert_eq!(oracle::nonzero(Scalar::ONE), Ok(Scalar::ONE));
}
