//! Honest proofs are accepted, whatever the number of keys, the width of the rows and the number that was expected.

use curve25519_dalek::scalar::Scalar;

use super::*;

#[test]
fn honest_proofs_are_accepted_for_every_small_count_and_row_width() {
    for width in [1, 2, 3, 4, 7] {
        let key = key(width);
        (1..=40).into_par_iter().for_each(|count| {
            let mut rng = rng(count as u64);
            let hop = Hop::new(key, count, count, &mut rng);
            let verified = hop.verify(key, &mut rng).unwrap_or_else(|error| panic!("{count} by {width}: {error}"));
            assert_eq!((verified.count(), verified.strength()), (count, Strength::Full));
        });
    }
}

#[test]
fn a_tuple_prepared_for_any_other_count_serves() {
    for width in [1, 2, 3, 4] {
        let key = key(width);
        (0..=9).into_par_iter().for_each(|expected| {
            for count in 1..=9 {
                let mut rng = rng(7);
                let hop = Hop::new(key, expected, count, &mut rng);
                assert!(hop.verify(key, &mut rng).is_ok(), "{count} keys of {expected} by {width}");
            }
        });
    }
}

#[test]
fn honest_proofs_are_accepted_at_the_ends_of_real_rows() {
    let mut rng = rng(1);
    for (expected, count) in [(1, 1), (2, 2), (4095, 4095), (4096, 4096), (4097, 4097), (8193, 4097), (40_000, 40_960)]
    {
        let mixing = Precomputed::prepare(expected, &mut rng).begin(count, &mut rng).expect("an allowed count");
        let hop = Hop::prove(mixing, random_keys(count, &mut rng), SecretScalar::random(&mut rng), &mut rng);
        let bytes = hop.proof.to_bytes();
        assert_eq!(ShuffleProof::encoded_len(count), Ok(bytes.len()));
        let parsed = ShuffleProof::parse(&bytes, count).expect("an honest proof is well-formed");
        let verified = verify::verify(&hop.statement, &hop.inputs, &hop.outputs, &parsed, &mut rng);
        let verified = verified.unwrap_or_else(|error| panic!("{count} keys: {error}"));
        assert_eq!(verified.count(), count);
        assert_eq!(verified.input_keys(), hop.inputs.digest());
        assert_eq!(verified.output_keys(), hop.outputs.digest());
        assert_eq!(verified.context(), &hop.statement.context);
    }
}

#[test]
fn a_mix_can_be_proved_again_with_fresh_masks() {
    let mut rng = rng(3);
    let key = key(4);
    let hop = Hop::new(key, 10, 10, &mut rng);
    let mixing = Precomputed::prepare_rows(key, 6, &mut rng).begin_with(hop.permutation, &mut rng).expect("10 keys");
    let again = Hop::prove(mixing, hop.inputs, hop.b, &mut rng);
    assert_eq!(again.outputs, hop.outputs);
    assert!(again.verify(key, &mut rng).is_ok());
    assert_ne!(again.proof.to_bytes(), hop.proof.to_bytes());
}

#[test]
fn an_empty_batch_or_one_of_another_length_is_an_error() {
    let mut rng = rng(4);
    let key = key(2);
    assert!(matches!(Precomputed::prepare_rows(key, 0, &mut rng).begin(0, &mut rng), Err(ShuffleError::EmptyBatch)));
    assert!(matches!(
        Precomputed::prepare_rows(key, 0, &mut rng).begin(MAX_COUNT + 1, &mut rng),
        Err(ShuffleError::TooManyKeys { .. })
    ));
    let hop = Hop::new(key, 3, 3, &mut rng);
    let (empty, two) = (KeyList::new(vec![]), random_keys(2, &mut rng));
    let check = |inputs: &KeyList, outputs: &KeyList| {
        verify::verify_rows(key, &hop.statement, inputs, outputs, &hop.proof, &mut super::rng(1)).map(|_| ())
    };
    assert_eq!(check(&empty, &empty), Err(ShuffleError::EmptyBatch));
    assert_eq!(check(&hop.inputs, &two), Err(ShuffleError::CountMismatch { expected: 3, actual: 2 }));
    assert_eq!(check(&two, &two), Err(ShuffleError::CountMismatch { expected: 2, actual: 3 }));
    let mixing = Precomputed::prepare_rows(key, 3, &mut rng).begin(3, &mut rng).expect("3 keys");
    let refused = mixing.prove(&hop.statement, &two, &two, &hop.b, &mut rng);
    assert!(matches!(refused, Err(ShuffleError::CountMismatch { expected: 2, actual: 3 })));
}

#[test]
fn only_a_batch_of_one_key_has_a_mask_of_zero() {
    let key = key(2);
    for expected in 0..6 {
        for count in 1..6 {
            let mut rng = rng(5);
            let mixing = Precomputed::prepare_rows(key, expected, &mut rng).begin(count, &mut rng).expect("few keys");
            let masks = &mixing.masks;
            assert_eq!((masks.d.len(), masks.delta.len()), (count, count));
            assert_eq!(masks.d.contains(&Scalar::ZERO), count == 1);
            assert_eq!(masks.delta[0], masks.d[0]);
            let zeros: Vec<_> = (0..count).filter(|&i| masks.delta[i] == Scalar::ZERO).collect();
            assert_eq!(zeros, [count - 1]);
        }
    }
}

#[test]
fn one_thread_and_many_make_the_same_proof() {
    let prove = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| Hop::new(CommitmentKey::global(), 5000, 5000, &mut rng(6)).proof.to_bytes())
    };
    assert_eq!(prove(1), prove(4));
}
