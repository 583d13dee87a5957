//! Honest pledges, and the fixtures of all tests.

use hippodrome_crypto::{group::Element, hash::Digest};
use proptest::prelude::*;

use crate::{
    Context, Counts, CountsError, NoiseSeed, OpenError, Pledge, PledgeError, SEED_LEN, Terms, VerifiedPledge,
    verify_all,
};

pub(crate) fn context() -> Context {
    Context { network: Digest([7; 32]), epoch: 3, round: 41, server: 5 }
}

pub(crate) fn terms(chains: u16, slots: u32) -> Terms {
    Terms::new(context(), &(0..chains).collect::<Vec<_>>(), slots).expect("within limits")
}

pub(crate) fn seed(byte: u8) -> NoiseSeed {
    NoiseSeed::from_bytes([byte; SEED_LEN])
}

pub(crate) fn counts(shared: &[u32], lone: &[u32]) -> Counts {
    Counts { shared: shared.to_vec(), lone: lone.to_vec() }
}

/// Three chains, ten slots: four shared ones, twelve lone records.
pub(crate) fn small() -> (Terms, Counts) {
    (terms(3, 10), counts(&[1, 0, 3], &[5, 4, 3]))
}

pub(crate) fn pledge(terms: &Terms, seed: &NoiseSeed, counts: &Counts) -> Pledge {
    Pledge::make(terms, seed, counts).expect("counts of some noise")
}

fn verified(terms: &Terms, seed: &NoiseSeed, counts: &Counts) -> VerifiedPledge {
    pledge(terms, seed, counts).verify(terms).expect("an honest pledge")
}

/// Counts that add up, from arbitrary numbers: each slot goes where its number says.
fn spread(chains: u16, draws: &[(bool, u16, u16)]) -> Counts {
    let mut counts = counts(&vec![0; chains.into()], &vec![0; chains.into()]);
    for &(is_shared, one, other) in draws {
        let [one, other] = [one, other].map(|drawn| usize::from(drawn % chains));
        match is_shared {
            true => counts.shared[one] += 1,
            false => [one, other].iter().for_each(|&chain| counts.lone[chain] += 1),
        }
    }
    counts
}

#[test]
fn an_honest_pledge_holds_travels_and_opens() {
    let (terms, counts) = small();
    let bytes = pledge(&terms, &seed(1), &counts).to_bytes();
    assert_eq!(bytes.len(), Pledge::encoded_len(&terms));
    let verified = Pledge::from_bytes(&terms, &bytes).and_then(|pledge| pledge.verify(&terms)).expect("honest");
    assert_eq!(verified.opens(&seed(1), &counts), Ok(()));
    assert_eq!(verified.pledge().to_bytes(), bytes);
}

#[test]
fn who_learns_the_seed_makes_the_pledge_again_byte_for_byte() {
    let (terms, counts) = small();
    assert_eq!(pledge(&terms, &seed(1), &counts), pledge(&terms, &seed(1), &counts));
}

#[test]
fn every_width_holds_the_counts_at_its_ends() {
    for slots in [0, 1, 127, 128, 32_767, 32_768, u32::MAX / 2] {
        let terms = terms(1, slots);
        for (shared, lone) in [(slots, 0), (0, 2 * slots)] {
            let counts = counts(&[shared], &[lone]);
            assert_eq!(verified(&terms, &seed(2), &counts).opens(&seed(2), &counts), Ok(()), "{slots} slots");
        }
    }
}

#[test]
fn pledges_of_one_proof_and_of_several_hold() {
    for chains in [32, 33, 65] {
        let mut counts = counts(&vec![1; chains], &vec![0; chains]);
        counts.shared[chains - 1] = 0;
        counts.lone[0] = 2;
        let terms = terms(chains as u16, chains as u32);
        assert_eq!(verified(&terms, &seed(3), &counts).opens(&seed(3), &counts), Ok(()), "{chains} chains");
    }
}

#[test]
fn lengths_follow_from_the_terms() {
    // Seed, commitments, sum; then 9 parts and two for each halving of the bits of each proof.
    assert_eq!(Pledge::encoded_len(&terms(1, 10)), 32 + 64 + 64 + 32 * (9 + 2 * 4));
    assert_eq!(Pledge::encoded_len(&terms(3, 10)), 32 + 192 + 64 + 32 * (9 + 2 * 6));
    assert_eq!(Pledge::encoded_len(&terms(3, 1000)), 32 + 192 + 64 + 32 * (9 + 2 * 7));
    assert_eq!(Pledge::encoded_len(&terms(1024, 1 << 20)), 32 + 65_536 + 64 + 32 * 32 * (9 + 2 * 11));
}

#[test]
fn counts_of_no_noise_are_not_pledged() {
    let terms = terms(2, 10);
    let make = |shared: &[u32], lone: &[u32]| Pledge::make(&terms, &seed(1), &counts(shared, lone)).err();
    let sum = Some(CountsError::Sum { records: 20 });
    assert_eq!(make(&[5, 5], &[0, 1]), sum);
    assert_eq!(make(&[5, 4], &[0, 1]), sum);
    assert_eq!(make(&[1 << 31, 5], &[0, 10]), sum, "twice the number is more than 32 bits hold");
    assert_eq!(make(&[5], &[5, 5]), Some(CountsError::Length { chains: 2, shared: 1, lone: 2 }));
    assert_eq!(make(&[5, 5, 0], &[0, 0, 0]), Some(CountsError::Length { chains: 2, shared: 3, lone: 3 }));
}

#[test]
fn only_the_pledged_seed_and_counts_open() {
    let (terms, counts) = small();
    let verified = verified(&terms, &seed(1), &counts);
    assert_eq!(verified.opens(&seed(2), &counts), Err(OpenError::Seed));
    let opens = |shared: &[u32], lone: &[u32]| verified.opens(&seed(1), &self::counts(shared, lone));
    assert_eq!(opens(&[0, 1, 3], &[5, 4, 3]), Err(OpenError::Commitments));
    assert_eq!(opens(&[1, 0, 3], &[4, 5, 3]), Err(OpenError::Commitments));
    assert_eq!(opens(&[1, 0, 2], &[5, 4, 5]), Err(OpenError::Commitments));
    assert_eq!(opens(&[1, 0, 3], &[5, 4, 4]), Err(OpenError::Counts(CountsError::Sum { records: 20 })));
    assert!(matches!(opens(&[1], &[5]), Err(OpenError::Counts(CountsError::Length { .. }))));
}

#[test]
fn a_seed_used_twice_gives_unrelated_blinding_factors_and_proofs() {
    // Equal blinding factors would show the difference of the counts, equal nonces the blinding factors.
    let (terms, counts) = small();
    let next = Terms::new(Context { round: 42, ..context() }, &[0, 1, 2], 10).expect("within limits");
    let others = [pledge(&terms, &seed(1), &self::counts(&[1, 0, 3], &[5, 3, 4])), pledge(&next, &seed(1), &counts)];
    let bytes = pledge(&terms, &seed(1), &counts).to_bytes();
    for (which, other) in others.iter().map(Pledge::to_bytes).enumerate() {
        let pairs = bytes.as_chunks::<32>().0.iter().zip(other.as_chunks::<32>().0).enumerate();
        let equal: Vec<usize> = pairs.filter(|(_, (one, other))| one == other).map(|(index, _)| index).collect();
        let expected: &[usize] = if which == 0 { &[0] } else { &[] };
        assert_eq!(equal, expected, "only the seed's commitment, under the same terms");
    }
}

#[test]
fn nothing_of_the_secrets_is_printed() {
    let (terms, counts) = small();
    assert_eq!(format!("{counts:?}"), "Counts(..)");
    let printed = format!("{:?}", verified(&terms, &seed(1), &counts));
    assert!(!printed.contains("[1, 0, 3]") && printed.contains("Pledge(3 chains"), "{printed}");
}

#[test]
fn every_bad_pledge_among_many_is_named() {
    let (terms, counts) = small();
    let other = Terms::new(Context { server: 6, ..context() }, &[0, 1, 2], 10).expect("within limits");
    let (good, moved) = (pledge(&terms, &seed(1), &counts), pledge(&other, &seed(2), &counts));
    let verdicts = verify_all(vec![
        (terms, good.clone()),
        (terms, moved.clone()),
        (other, moved.clone()),
        (other, good.clone()),
        (self::terms(4, 10), good),
    ]);
    let holds: Vec<bool> = verdicts.iter().map(Result::is_ok).collect();
    assert_eq!(holds, [true, false, true, false, false]);
    assert!(matches!(verdicts[4], Err(PledgeError::Length { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn pledges_of_any_noise_hold_and_open(
        chains in 1..7_u16, draws in prop::collection::vec(any::<(bool, u16, u16)>(), 0..200), key: [u8; SEED_LEN],
    ) {
        let (terms, counts) = (terms(chains, draws.len() as u32), spread(chains, &draws));
        let seed = NoiseSeed::from_bytes(key);
        let verified = Pledge::from_bytes(&terms, &pledge(&terms, &seed, &counts).to_bytes())
            .and_then(|pledge| pledge.verify(&terms));
        prop_assert_eq!(verified.expect("an honest pledge").opens(&seed, &counts), Ok(()));
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_panic(
        chains in 1..5_u16, slots in 0..100_000_u32, mut bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        fits: bool,
    ) {
        let terms = terms(chains, slots);
        if fits {
            bytes.resize(Pledge::encoded_len(&terms), 0x5a);
        }
        prop_assert!(Pledge::from_bytes(&terms, &bytes).and_then(|pledge| pledge.verify(&terms)).is_err());
    }

    #[test]
    fn range_proofs_of_arbitrary_parts_are_refused_without_panic(
        parts in prop::collection::vec(any::<(u8, u64)>(), 21),
    ) {
        let (terms, counts) = small();
        let mut pledge = pledge(&terms, &seed(1), &counts);
        let honest = pledge.ranges.clone();
        let choose = |(index, (kind, number)): (usize, &(u8, u64))| match kind % 4 {
            0 => Element::from_point(Element::hash("test part", *number)).expect("a hash").encoded().to_vec(),
            1 => [[0; 24].as_slice(), &number.to_le_bytes()[..7], &[0]].concat(),
            2 => [number.to_le_bytes(); 4].concat(),
            _ => honest[32 * index..32 * (index + 1)].to_vec(),
        };
        pledge.ranges = parts.iter().enumerate().flat_map(choose).collect();
        prop_assert_eq!(pledge.ranges.len(), honest.len());
        let is_honest = pledge.ranges == honest;
        prop_assert_eq!(pledge.verify(&terms).is_ok(), is_honest);
    }

    #[test]
    fn changed_pledges_are_refused(changes in prop::collection::vec((any::<u16>(), 1..=255_u8), 1..5)) {
        let (terms, counts) = small();
        let honest = pledge(&terms, &seed(1), &counts).to_bytes();
        let mut bytes = honest.clone();
        for (at, change) in changes {
            bytes[usize::from(at) % honest.len()] ^= change;
        }
        let verdict = Pledge::from_bytes(&terms, &bytes).and_then(|pledge| pledge.verify(&terms));
        prop_assert_eq!(verdict.is_ok(), bytes == honest);
    }
}
