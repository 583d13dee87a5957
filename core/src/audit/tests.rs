//! What opened noise convicts its owner of, and what it does not.

use hippodrome_crypto::merkle::Tree;
use hippodrome_pledge::SEED_LEN;

use super::*;
use crate::{
    evidence::{Evidence, NotProven, Offence},
    mixer::blame::tests::{World, place},
};

const OWNER: ServerId = ServerId(1);
const STRANGER: ServerId = ServerId(2);

fn other_seed() -> NoiseSeed {
    NoiseSeed::from_bytes([9; SEED_LEN])
}

/// A case in which the owner has sent what follows from `sent`, confirmed that, and shows `shown`.
fn case(world: &World, sent: &NoiseSeed, shown: &NoiseSeed) -> OpeningCase {
    let basis = &world.basis;
    let of = |server| if server == OWNER { sent.show() } else { world.noise_seed(server).show() };
    let noise = basis.active().iter().flat_map(|server| noise::leaves(basis, &NoiseSeed::from_bytes(of(*server))));
    let leaves: Vec<Digest> = noise.flat_map(|(_, leaves)| leaves).collect();
    let count = leaves.len() as u32;
    let tree = Tree::new(leaves);
    let own = claim::own_places(basis, count, OWNER).expect("it takes part");
    let branch = tree.range(own.start as usize..own.end as usize).expect("places of the input");
    let (stage, any) = (place(0, 0).stage, Digest([0; 32]));
    let input =
        InputCommitment { stage, count, root: *tree.root(), keys: any, entries: any, fingerprints: any, left_out: any };
    let vector = statement::vector(basis.digest(), Layer(0), &[input]);
    let confirmation = world.key_of(OWNER).sign(&statement::confirmation(basis.digest(), Layer(0), &vector));
    let opening = NoiseOpening {
        round: basis.round(),
        server: OWNER,
        seed: shown.show(),
        branches: vec![branch],
        signature: Signature([0; 64]),
    };
    let pledge = world.pledge(OWNER);
    sign(world, OpeningCase { opening, pledge, inputs: vec![input], confirmation: Some(confirmation) })
}

fn sign(world: &World, mut case: OpeningCase) -> OpeningCase {
    case.opening.signature = world.key_of(OWNER).sign(&case.opening.statement(world.basis.digest()));
    case
}

fn judge(world: &World, case: OpeningCase) -> Result<Offence, NotProven> {
    let verdict = Evidence::FalseOpening(Box::new(case)).verify(&world.basis)?;
    assert_eq!(verdict.servers().collect::<Vec<_>>(), [OWNER]);
    Ok(*verdict.offence())
}

#[test]
fn noise_that_was_pledged_and_sent_convicts_nobody() {
    let world = World::audited(6);
    let seed = world.noise_seed(OWNER);
    assert_eq!(judge(&world, case(&world, &seed, &seed)), Err(NotProven::NothingWrong));
}

#[test]
fn noise_that_was_sent_and_not_pledged_convicts_whatever_seed_is_shown() {
    let world = World::audited(6);
    let (pledged, sent) = (world.noise_seed(OWNER), other_seed());
    let records = Offence::FalseOpening(FalseOpening::Records(place(0, 0).stage.chain));
    assert_eq!(judge(&world, case(&world, &sent, &pledged)), Ok(records));
    let seed = Offence::FalseOpening(FalseOpening::Counts(OpenError::Seed));
    assert_eq!(judge(&world, case(&world, &sent, &sent)), Ok(seed));
}

#[test]
fn an_owner_that_shows_no_branch_to_what_it_has_confirmed_is_convicted() {
    let world = World::audited(6);
    let seed = world.noise_seed(OWNER);
    let mut without = case(&world, &seed, &seed);
    without.opening.branches.clear();
    let records = Offence::FalseOpening(FalseOpening::Records(place(0, 0).stage.chain));
    assert_eq!(judge(&world, sign(&world, without)), Ok(records));
}

#[test]
fn where_inputs_were_not_confirmed_only_the_pledge_is_compared() {
    let world = World::audited(6);
    let unconfirmed = |case: OpeningCase| {
        let mut case = OpeningCase { inputs: Vec::new(), confirmation: None, ..case };
        case.opening.branches.clear();
        sign(&world, case)
    };
    let (pledged, other) = (world.noise_seed(OWNER), other_seed());
    assert_eq!(judge(&world, unconfirmed(case(&world, &other, &pledged))), Err(NotProven::NothingWrong));
    let seed = Offence::FalseOpening(FalseOpening::Counts(OpenError::Seed));
    assert_eq!(judge(&world, unconfirmed(case(&world, &other, &other))), Ok(seed));
}

#[test]
fn nobody_is_convicted_by_what_others_have_signed_or_pledged() {
    let world = World::audited(6);
    let (pledged, sent) = (world.noise_seed(OWNER), other_seed());
    let good = || case(&world, &sent, &pledged);
    let digest = world.basis.digest();
    let stranger = |statement| world.key_of(STRANGER).sign(&statement);

    let mut unsigned = good();
    unsigned.opening.seed[0] ^= 1;
    assert_eq!(judge(&world, unsigned), Err(NotProven::Unsigned));
    let mut framed = good();
    framed.opening.signature = stranger(framed.opening.statement(digest));
    assert_eq!(judge(&world, framed), Err(NotProven::Unsigned));
    // Inputs that the owner has not confirmed.
    let mut other_inputs = good();
    other_inputs.inputs[0].root = Digest([1; 32]);
    assert_eq!(judge(&world, other_inputs), Err(NotProven::Unsigned));
    let confirmed = statement::confirmation(digest, Layer(0), &statement::vector(digest, Layer(0), &good().inputs));
    assert_eq!(
        judge(&world, OpeningCase { confirmation: Some(stranger(confirmed)), ..good() }),
        Err(NotProven::Unsigned)
    );
    // A pledge that the descriptor does not hold for the owner.
    let foreign = OpeningCase { pledge: world.pledge(STRANGER), ..good() };
    assert_eq!(judge(&world, foreign), Err(NotProven::NotWhatWasSigned));
    let mut elsewhere = good();
    elsewhere.opening.round = elsewhere.opening.round.next();
    assert_eq!(judge(&world, sign(&world, elsewhere)), Err(NotProven::Unsigned));
}
