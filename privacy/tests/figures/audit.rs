//! The attacker against noise of known laws: what is proved it never exceeds, and noise that is too little it finds.

use hippodrome_privacy::{
    account::{Account, Resolution},
    audit::{Attacker, Round},
    noise::Noise,
    quantity::{Delta, Rounds, Servers, Shift},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

const SLOTS: u64 = 40;
const SERVERS: u32 = 2;
const SHIFT: u32 = 4;
/// Rounds of a game.
const ROUNDS: usize = 20_000;
/// So seldom may a bound fail.
const DOUBT: f64 = 1e-4;

fn delta() -> Delta {
    Delta::new(0.01).expect("a chance")
}

fn planned() -> Noise {
    Noise::beta_binomial(SLOTS, 3.5).expect("noise")
}

/// ε of the planned noise in a single round.
fn proved() -> f64 {
    let (servers, shift) = (Servers::new(SERVERS).expect("some"), Shift::new(SHIFT).expect("some"));
    let account = Account::new().with_count(&planned(), servers, shift, Rounds::ONE).expect("it fits");
    account.compose(Resolution::Fine).expect("it fits").epsilon(delta()).expect("there is one").value()
}

fn by_law(noise: &Noise) -> Attacker {
    let (servers, shift) = (Servers::new(SERVERS).expect("some"), Shift::new(SHIFT).expect("some"));
    Attacker::by_law(noise, servers, shift, ROUNDS as u64 / 2, delta()).expect("it fits")
}

/// A game in which every server draws its noise by `draw`.
fn game(seed: u64, draw: impl Fn(&mut ChaCha20Rng) -> i64) -> Vec<Round> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut round = || {
        let talks = rng.next_u32() % 2 == 1;
        let noise: i64 = (0..SERVERS).map(|_| draw(&mut rng)).sum();
        Round { count: noise + if talks { i64::from(SHIFT) } else { 0 }, talks }
    };
    (0..ROUNDS).map(|_| round()).collect()
}

/// Pólya's urn with α = 7/2.
fn urn(slots: u32) -> impl Fn(&mut ChaCha20Rng) -> i64 {
    move |rng| {
        let draw = |shared: u32, before: u32| u32::from(rng.next_u32() % (14 + 2 * before) < 7 + 2 * shared);
        i64::from(
            (0..slots)
                .fold((draw, 0), |(mut draw, shared), before| {
                    let more = draw(shared, before);
                    (draw, shared + more)
                })
                .1,
        )
    }
}

fn uniform(rng: &mut ChaCha20Rng) -> f64 {
    f64::from(rng.next_u32()) / 2_f64.powi(32)
}

fn shown(attacker: &Attacker, rounds: &[Round]) -> f64 {
    attacker.play(rounds).epsilon(delta(), DOUBT).expect("a doubt").value()
}

#[test]
fn planned_noise_never_shows_more_than_is_proved_and_not_much_less() {
    let (proved, attacker) = (proved(), by_law(&planned()));
    let found: Vec<f64> = (0..10).map(|seed| shown(&attacker, &game(seed, urn(SLOTS as u32)))).collect();
    assert!(found.iter().all(|found| *found <= proved), "{found:?}, proved {proved}");
    let best = found.iter().copied().fold(0.0, f64::max);
    assert!(best > proved / 3.0, "{best} of {proved}: this attacker would find nothing anywhere");
    let game = game(10, urn(SLOTS as u32));
    let (known, unknown) = game.split_at(ROUNDS / 2);
    assert!(shown(&Attacker::trained(known), unknown) <= proved);
}

#[test]
fn noise_of_a_tenth_and_of_half_the_slots_is_found() {
    let proved = proved();
    for slots in [SLOTS / 10, SLOTS / 2] {
        let noise = Noise::beta_binomial(slots, 3.5).expect("noise");
        let found = shown(&by_law(&noise), &game(1, urn(slots as u32)));
        assert!(found > proved, "{slots} slots: {found}, proved {proved}");
    }
}

#[test]
fn poisson_noise_of_the_same_mean_is_found() {
    let mean = SLOTS as f64 / 2.0;
    let draw = |rng: &mut ChaCha20Rng| {
        let (mut count, mut product) = (0, uniform(rng));
        while product > (-mean).exp() {
            product *= uniform(rng);
            count += 1;
        }
        count
    };
    let found = shown(&by_law(&Noise::poisson(mean).expect("noise")), &game(2, draw));
    assert!(found > proved(), "{found}, proved {}", proved());
}

#[test]
fn a_sampler_with_gaps_is_found_by_an_attacker_that_has_seen_it_before() {
    // A normal number of few bits, scaled up: some counts never come, and each says what was added to it.
    let draw = |rng: &mut ChaCha20Rng| {
        let normal: f64 = (0..12).map(|_| uniform(rng)).sum::<f64>() - 6.0;
        ((normal * 2.0).round() / 2.0 * 14.0) as i64 + 20
    };
    let game = game(3, draw);
    let (known, unknown) = game.split_at(ROUNDS / 2);
    let found = shown(&Attacker::trained(known), unknown);
    assert!(found > proved(), "{found}, proved {}", proved());
}
