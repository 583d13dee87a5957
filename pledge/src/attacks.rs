//! Cheating servers: what they would pledge, and which check stops them. Each attack gets everything else right.

use curve25519_dalek::{constants::RISTRETTO_BASEPOINT_POINT, scalar::Scalar};
use hippodrome_crypto::{
    group::{DecodeError, Element, SecretScalar},
    hash::Digest,
    knowledge::Knowledge,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use crate::{
    Context, OpenError, Pledge, PledgeError, Terms,
    commitment::{ChainCommitments, Openings, blinding_base},
    range,
    tests::{context, counts, pledge, seed, small, terms},
};

const SEED_PLACE: usize = 32;

/// A server that commits to whatever it likes.
struct Cheat {
    /// What it commits to, for chain after chain: shared slots, lone records.
    committed: Vec<Scalar>,
    /// What it makes its range proofs for.
    claimed: Vec<u32>,
    blindings: Vec<Scalar>,
}

impl Cheat {
    fn new(committed: &[Scalar], claimed: &[u32]) -> Self {
        let blindings = (0..committed.len()).map(|index| Scalar::from(0x1234_5678_9abc_u64 + index as u64));
        Self { committed: committed.to_vec(), claimed: claimed.to_vec(), blindings: blindings.collect() }
    }

    /// One that commits to what it makes its range proofs for.
    fn of(values: &[u32]) -> Self {
        let committed: Vec<Scalar> = values.iter().map(|&value| value.into()).collect();
        Self::new(&committed, values)
    }

    fn commitments(&self) -> Vec<ChainCommitments> {
        let elements = self.committed.iter().zip(&self.blindings).map(|(value, blinding)| {
            Element::from_point(value * RISTRETTO_BASEPOINT_POINT + blinding * blinding_base().point())
        });
        let elements: Vec<Element> = elements.map(|element| element.expect("not the identity")).collect();
        elements.as_chunks().0.iter().map(|&[shared, lone]| ChainCommitments { shared, lone }).collect()
    }

    /// A pledge of the commitments, with the best proofs that the cheat can make.
    fn pledge(&self, terms: &Terms) -> Pledge {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (seed, chains) = (seed(9).commitment(terms), self.commitments());
        let context = crate::pledge::statement(terms, &seed, &chains);
        let openings = self.openings();
        let secret = openings.excess_blinding();
        let excess = Element::from_point(crate::commitment::excess(&chains, terms.records())).expect("not zero");
        let sum = Knowledge::sign(&secret, blinding_base(), &excess, &context, &mut rng);
        let ranges = range::prove(&openings, terms.width(), &context, rng);
        Pledge { seed, chains, sum, ranges }
    }

    fn openings(&self) -> Openings {
        let (values, blindings) = (self.claimed.clone(), self.blindings.clone());
        Openings { values: Zeroizing::new(values), blindings: Zeroizing::new(blindings) }
    }

    /// What a verifier says that looks at the sum only, and one that looks at everything.
    fn verdicts(&self, terms: &Terms) -> (bool, Option<PledgeError>) {
        let pledge = self.pledge(terms);
        let context = crate::pledge::statement(terms, &pledge.seed, &pledge.chains);
        (pledge.check_sum(terms, &context).is_ok(), pledge.verify(terms).err())
    }
}

fn scalars(values: &[i64]) -> Vec<Scalar> {
    let scalar = |&value: &i64| match value < 0 {
        true => -Scalar::from(value.unsigned_abs()),
        false => Scalar::from(value.unsigned_abs()),
    };
    values.iter().map(scalar).collect()
}

const RANGE: Option<PledgeError> = Some(PledgeError::Range { part: 0 });

fn refused(terms: &Terms, bytes: &[u8]) -> PledgeError {
    let verdict = Pledge::from_bytes(terms, bytes).and_then(|pledge| pledge.verify(terms));
    verdict.expect_err("a changed pledge")
}

#[test]
fn a_cheat_that_commits_to_true_counts_is_believed() {
    let values = [1, 5, 0, 4, 3, 3];
    let honest = Cheat::of(&values);
    assert_eq!(honest.verdicts(&terms(3, 10)), (true, None), "so the attacks fail for what they change");
}

#[test]
fn negative_counts_are_refused_though_the_sum_is_right() {
    // Ten slots. All of them are pledged twice over, and twenty lone records fewer than none make up for it.
    let committed = scalars(&[5, 10, 5, 10, 0, -20]);
    for claimed in [[5, 10, 5, 10, 0, 0], [5, 10, 5, 10, 0, 20], [5, 10, 5, 10, 0, 236]] {
        assert_eq!(Cheat::new(&committed, &claimed).verdicts(&terms(3, 10)), (true, RANGE), "{claimed:?}");
    }
    let minus_one = scalars(&[-1, 22]);
    assert_eq!(Cheat::new(&minus_one, &[u32::MAX, 22]).verdicts(&terms(1, 10)), (true, RANGE));
}

#[test]
fn half_a_slot_is_refused_though_the_sum_is_right() {
    let half = Scalar::from(2_u64).invert();
    let committed = [half, Scalar::from(19_u64)];
    assert_eq!(Cheat::new(&committed, &[0, 19]).verdicts(&terms(1, 10)), (true, RANGE));
}

#[test]
fn counts_over_the_width_are_refused_though_the_sum_is_right() {
    // 254 records fit into 8 bits, 256 of them do not; nor does 2^16 into 16.
    assert_eq!(Cheat::new(&scalars(&[0, 256, 0, -2]), &[0, 0, 0, 0]).verdicts(&terms(2, 127)), (true, RANGE));
    let claimed = [0, 1 << 16, 0, 0];
    let over = scalars(&[0, 1 << 16, -1, 0]);
    assert_eq!(Cheat::new(&over, &claimed).verdicts(&terms(2, 32_767)), (true, RANGE));
    let all_bits = Cheat::new(&scalars(&[256, 0]), &[256, 0]);
    assert_eq!(all_bits.verdicts(&terms(1, 127)).1, Some(PledgeError::Sum { records: 254 }));
}

#[test]
fn counts_within_the_width_that_do_not_make_up_the_volume_are_refused() {
    for values in [[0, 21], [10, 1], [9, 1], [0, 0], [255, 255], [0, 19]] {
        let cheat = Cheat::of(&values);
        assert_eq!(cheat.verdicts(&terms(1, 10)), (false, Some(PledgeError::Sum { records: 20 })), "{values:?}");
    }
}

#[test]
fn a_pledge_holds_under_its_own_terms_only() {
    let (terms, counts) = small();
    let bytes = pledge(&terms, &seed(1), &counts).to_bytes();
    let here = context();
    let moved = |context: Context, chains: &[u16], slots| Terms::new(context, chains, slots).expect("within limits");
    let others = [
        moved(Context { network: Digest([8; 32]), ..here }, &[0, 1, 2], 10),
        moved(Context { epoch: 4, ..here }, &[0, 1, 2], 10),
        moved(Context { round: 42, ..here }, &[0, 1, 2], 10),
        moved(Context { server: 6, ..here }, &[0, 1, 2], 10),
        moved(here, &[0, 1, 3], 10),
        moved(here, &[0, 1, 2], 11),
    ];
    for other in others {
        assert_eq!(refused(&other, &bytes), PledgeError::Sum { records: other.records() });
    }
}

#[test]
fn each_proof_by_itself_is_bound_to_its_terms() {
    // The sum is proved again for other terms, by a server that knows the opening; the range proof is the old one.
    let values = [1, 5, 0, 4, 3, 3];
    let cheat = Cheat::of(&values);
    let (here, there) = (terms(3, 10), Terms::new(Context { round: 42, ..context() }, &[0, 1, 2], 10));
    let there = there.expect("within limits");
    let mut moved = cheat.pledge(&there);
    moved.ranges = cheat.pledge(&here).ranges;
    assert_eq!(moved.verify(&there).err(), RANGE);
    let mut moved = cheat.pledge(&there);
    moved.sum = cheat.pledge(&here).sum;
    assert_eq!(moved.verify(&there).err(), Some(PledgeError::Sum { records: 20 }));
    let mut moved = cheat.pledge(&there);
    moved.seed = cheat.pledge(&here).seed;
    assert_eq!(moved.verify(&there).err(), Some(PledgeError::Sum { records: 20 }));
}

#[test]
fn exchanged_commitments_are_refused() {
    let (terms, counts) = small();
    let honest = pledge(&terms, &seed(1), &counts);
    let mut chains = honest.clone();
    chains.chains.swap(0, 1);
    let mut kinds = honest;
    let chain = &mut kinds.chains[0];
    core::mem::swap(&mut chain.shared, &mut chain.lone);
    for exchanged in [chains, kinds] {
        assert_eq!(exchanged.verify(&terms).err(), Some(PledgeError::Sum { records: 20 }));
    }
}

#[test]
fn commitments_exchanged_by_their_owner_need_new_range_proofs() {
    let values = [1, 5, 0, 4, 3, 3];
    let cheat = Cheat::of(&values);
    let mut exchanged = Cheat::of(&[0, 4, 1, 5, 3, 3]);
    exchanged.blindings = [2, 3, 0, 1, 4, 5].map(|index| cheat.blindings[index]).to_vec();
    let mut pledge = exchanged.pledge(&terms(3, 10));
    assert_eq!(pledge.chains[0], cheat.commitments()[1], "the same commitments in another order");
    pledge.ranges = cheat.pledge(&terms(3, 10)).ranges;
    assert_eq!(pledge.verify(&terms(3, 10)).err(), RANGE);
}

#[test]
fn range_proofs_exchanged_within_a_pledge_are_refused() {
    let chains = 64;
    let (terms, counts) = (terms(chains, chains.into()), counts(&[1; 64], &[0; 64]));
    let mut pledge = pledge(&terms, &seed(1), &counts);
    let half = pledge.ranges.len() / 2;
    pledge.ranges.rotate_left(half);
    assert_eq!(pledge.verify(&terms).err(), RANGE);
}

#[test]
fn records_hidden_in_the_padding_are_refused() {
    // Six values are padded to eight. The cheat proves a range for two more, which would make up what is missing.
    let short = Cheat::of(&[0, 0, 0, 0, 0, 10]);
    assert_eq!(short.verdicts(&terms(3, 10)).1, Some(PledgeError::Sum { records: 20 }));
    let values = [1, 5, 0, 4, 3, 3];
    let honest = Cheat::of(&values).pledge(&terms(3, 10));
    let context = crate::pledge::statement(&terms(3, 10), &honest.seed, &honest.chains);
    for hidden in [[5, 0], [0, 0]] {
        let padded = Cheat::new(&[Scalar::ZERO; 8], &[1, 5, 0, 4, 3, 3, hidden[0], hidden[1]]);
        let rng = ChaCha20Rng::seed_from_u64(2);
        let ranges = range::prove(&padded.openings(), terms(3, 10).width(), &context, rng);
        assert_eq!(ranges.len(), honest.ranges.len(), "the proof has the right length");
        assert_eq!(Pledge { ranges, ..honest.clone() }.verify(&terms(3, 10)).err(), RANGE, "{hidden:?}");
    }
}

#[test]
fn a_pledge_for_more_or_fewer_chains_is_refused() {
    let (terms, counts) = (terms(4, 10), counts(&[1, 0, 3, 0], &[5, 4, 3, 0]));
    let pledge = pledge(&terms, &seed(1), &counts);
    for chains in [1, 3, 5] {
        let other = self::terms(chains, 10);
        let length = PledgeError::Length { expected: Pledge::encoded_len(&other), found: Pledge::encoded_len(&terms) };
        assert_eq!(refused(&other, &pledge.to_bytes()), length);
        assert_eq!(pledge.clone().verify(&other).err(), Some(length), "parsed under other terms");
    }
}

#[test]
fn identities_are_refused_wherever_an_element_stands() {
    let (terms, counts) = small();
    let honest = pledge(&terms, &seed(1), &counts).to_bytes();
    let zeroed = |place: usize| {
        let mut bytes = honest.clone();
        bytes[place..place + 32].fill(0);
        refused(&terms, &bytes)
    };
    for value in 0..6 {
        let identity = PledgeError::Commitment { chain: value / 2, error: DecodeError::Identity };
        assert_eq!(zeroed(SEED_PLACE + 32 * value), identity);
    }
    let sum = SEED_PLACE + 6 * 32;
    assert_eq!(zeroed(sum), PledgeError::Sum { records: 20 });
    // A, S, T1, T2; then L and R of six halvings behind three scalars.
    for part in (0..4).chain(7..19) {
        assert_eq!(zeroed(sum + 64 + 32 * part), PledgeError::Range { part: 0 }, "part {part}");
    }
}

#[test]
fn every_changed_byte_of_a_pledge_is_refused() {
    let (terms, counts) = (terms(1, 10), counts(&[3], &[14]));
    let honest = pledge(&terms, &seed(1), &counts).to_bytes();
    for place in 0..honest.len() {
        let mut bytes = honest.clone();
        bytes[place] ^= 1 << (place % 8);
        refused(&terms, &bytes);
    }
}

#[test]
fn scalars_that_are_not_reduced_are_refused() {
    // The same scalars, the group's order added: the equations would hold, but a pledge has one encoding.
    let (terms, counts) = small();
    let honest = pledge(&terms, &seed(1), &counts).to_bytes();
    let response = SEED_PLACE + 6 * 32 + 32;
    let ranges = response + 32;
    for place in [response, ranges + 4 * 32, ranges + 5 * 32, ranges + 6 * 32, honest.len() - 64, honest.len() - 32] {
        let mut bytes = honest.clone();
        let mut carry = 1_u16;
        for (byte, add) in bytes[place..place + 32].iter_mut().zip((-Scalar::ONE).to_bytes()) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        refused(&terms, &bytes);
    }
}

#[test]
fn elements_that_are_not_canonical_are_refused() {
    let (terms, counts) = small();
    let honest = pledge(&terms, &seed(1), &counts).to_bytes();
    for place in [SEED_PLACE, SEED_PLACE + 5 * 32] {
        let mut bytes = honest.clone();
        bytes[place..place + 32].fill(0xff);
        let chain = (place - SEED_PLACE) / 64;
        let error = DecodeError::NonCanonicalElement;
        assert_eq!(refused(&terms, &bytes), PledgeError::Commitment { chain, error });
    }
}

#[test]
fn cut_and_lengthened_pledges_are_refused() {
    let (terms, counts) = (terms(1, 10), counts(&[3], &[14]));
    let mut bytes = pledge(&terms, &seed(1), &counts).to_bytes();
    let expected = bytes.len();
    bytes.extend([0; 100]);
    for found in (0..expected).chain(expected + 1..bytes.len()) {
        assert_eq!(refused(&terms, &bytes[..found]), PledgeError::Length { expected, found });
    }
}

#[test]
fn true_counts_under_blinding_factors_of_ones_own_do_not_open() {
    // The pledge holds, but nobody could recompute it from the seed: at an audit that is a lie like any other.
    let values = [1, 5, 0, 4, 3, 3];
    let verified = Cheat::of(&values).pledge(&terms(3, 10)).verify(&terms(3, 10));
    let verified = verified.expect("true counts");
    assert_eq!(verified.opens(&seed(9), &counts(&[1, 0, 3], &[5, 4, 3])), Err(OpenError::Commitments));
}

#[test]
fn a_commitment_made_from_anothers_is_refused() {
    // A copy with a shift that cancels in the sum, by a server that knows no opening of the copied commitments.
    let (terms, counts) = small();
    let mut copied = pledge(&terms, &seed(1), &counts);
    let shift = SecretScalar::random(&mut ChaCha20Rng::seed_from_u64(3)).multiply(&Element::base());
    let moved = |element: &Element, by| Element::from_point(element.point() + by).expect("not the identity");
    copied.chains[0].lone = moved(&copied.chains[0].lone, shift.point());
    copied.chains[1].lone = moved(&copied.chains[1].lone, &-shift.point());
    assert_eq!(copied.verify(&terms).err(), Some(PledgeError::Sum { records: 20 }));
}
