//! The attacker against noise of known laws: what is proved it never exceeds, and noise that is too little it finds.

use hippodrome_privacy::{
    account::{Account, Resolution},
    attack::{Attacker, Games, Mechanism, Round, Setting, churn, partner, talk},
    links::Layers,
    noise::Noise,
    plan::{Deployment, Shape, guarantee_of},
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

const SHAPE: Shape = Shape { numerator: 7, denominator: 2 };

/// Two servers; talk moves the count by 2.
fn setting(layers: Layers, chains: u32, noise: Mechanism) -> Setting {
    let (servers, shift) = (Servers::new(SERVERS).expect("some"), Shift::new(2).expect("some"));
    Setting::new(servers, layers, chains, shift, noise).expect("possible")
}

fn urn_of(slots: u32) -> Mechanism {
    Mechanism::Urn { slots, shape: SHAPE }
}

/// ε of planned noise of so many slots in such games.
fn proved_of(layers: Layers, chains: u32, slots: u32, rounds: u32) -> f64 {
    let (servers, shift) = (Servers::new(SERVERS).expect("some"), Shift::new(2).expect("some"));
    let deployment = Deployment::new(servers, servers, layers, chains, shift).expect("possible");
    let slots = setting(layers, chains, urn_of(slots)).noise().slots();
    let rounds = Rounds::new(rounds.into()).expect("some");
    let found = guarantee_of(&deployment, 3.5, slots.into(), rounds, delta()).expect("it fits");
    found.epsilon.expect("finite").value()
}

fn games(games: u32, rounds: u32) -> Games {
    Games { games, rounds, seed: 7 }
}

#[test]
fn planned_noise_shows_no_more_than_is_proved_in_any_topology_and_not_much_less() {
    for (layers, chains, slots, rounds, played) in [
        (Layers::One, 1, 40, 10, 10_000),
        (Layers::One, 1, 80, 40, 10_000),
        (Layers::Two, 4, 60, 20, 6000),
        (Layers::Three, 4, 60, 20, 6000),
    ] {
        let proved = proved_of(layers, chains, slots, rounds);
        let found = talk::play(&setting(layers, chains, urn_of(slots)), &games(played, rounds), delta(), DOUBT);
        let found = found.expect("possible");
        let (shown, if_normal) = (found.shown.value(), found.shown_if_normal.value());
        assert!(shown <= proved && if_normal <= proved, "{layers:?}: {shown} and {if_normal} of {proved}");
        assert!(if_normal > proved / 3.0, "{layers:?}: {if_normal} of {proved}: it would find nothing anywhere");
    }
}

#[test]
fn noise_that_is_not_the_planned_one_is_found_in_games_of_many_rounds() {
    let (slots, rounds) = (100, 60);
    let proved = proved_of(Layers::One, 1, slots, rounds);
    for sent in [
        urn_of(slots / 2),
        urn_of(slots / 10),
        Mechanism::Poisson { slots },
        Mechanism::Coins { slots },
        Mechanism::Coarse { slots, shape: SHAPE, bits: 4 },
    ] {
        let found = talk::play(&setting(Layers::One, 1, sent), &games(6000, rounds), delta(), DOUBT);
        let shown = found.expect("possible").shown.value();
        assert!(shown > proved, "{sent:?}: {shown}, proved {proved}");
    }
}

#[test]
fn links_tell_what_counts_do_not_and_enough_noise_hides_it() {
    // With six records of each server on six chains nearly every coincidence is a meeting.
    let little = setting(Layers::Two, 6, urn_of(6));
    let found = partner::search(&little, &games(60, 40), 12).expect("possible");
    assert!(found.first > 0.3 && found.entropy_bits < 3.0 && found.rank < 4.0, "{found:?}");
    let three = partner::search(&setting(Layers::Three, 6, urn_of(6)), &games(60, 40), 12).expect("possible");
    assert!(three.entropy_bits > found.entropy_bits, "a random chain between them hides more: {three:?}");
    let enough = partner::search(&setting(Layers::Two, 6, urn_of(600)), &games(60, 40), 12).expect("possible");
    assert!(enough.first < 0.25 && enough.entropy_bits > 3.4, "{enough:?}");
    // A single chain has no links.
    let one = partner::search(&setting(Layers::One, 1, urn_of(6)), &games(5, 5), 8).expect("possible");
    assert_eq!((one.entropy_bits, one.rank, one.first), (3.0, 4.5, 0.125));
}

#[test]
fn who_is_online_tells_in_the_end_unless_noise_hides_that_there_was_talk() {
    let played = games(21, 600);
    let little = churn::intersect(&setting(Layers::One, 1, urn_of(12)), &played, 16, 0.5).expect("possible");
    assert!(!little.is_longer && little.rounds_to_first < 400 && little.first > 0.9, "{little:?}");
    assert!(little.entropy_bits < 1.0);
    let less = churn::intersect(&setting(Layers::One, 1, urn_of(4)), &played, 16, 0.5).expect("possible");
    assert!(less.rounds_to_first < little.rounds_to_first, "the less noise, the sooner: {less:?}");
    let played = Games { games: 101, ..played };
    let enough = churn::intersect(&setting(Layers::One, 1, urn_of(600)), &played, 16, 0.5).expect("possible");
    assert!(enough.is_longer && enough.rounds_to_first == 600 && enough.first < 0.2, "{enough:?}");
    assert!(enough.entropy_bits > 3.8);
}

#[test]
fn games_follow_from_their_seed_and_impossible_ones_are_refused() {
    let setting = setting(Layers::Two, 3, urn_of(12));
    let found = |seed| talk::play(&setting, &Games { seed, ..games(40, 3) }, delta(), DOUBT).expect("possible");
    assert_eq!(found(1), found(1));
    assert_ne!(found(1).score, found(2).score);
    assert!(talk::play(&setting, &games(3, 1), delta(), DOUBT).is_err());
    assert!(talk::play(&setting, &games(4, 0), delta(), DOUBT).is_err());
    assert!(talk::play(&setting, &games(4, 1), delta(), 0.0).is_err());
    assert!(partner::search(&setting, &games(1, 1), 1).is_err());
    assert!(churn::intersect(&setting, &games(1, 1), 4, 1.0).is_err());
}
