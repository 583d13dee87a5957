//! The accountant against closed forms, direct enumeration, and reference values of an independent program.

use hippodrome_privacy::{
    PrivacyError,
    account::{Account, Composed, Resolution},
    noise::{BelowZero, Noise},
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};

const LN_2: f64 = std::f64::consts::LN_2;

fn epsilon(value: f64) -> Epsilon {
    Epsilon::new(value).expect("not negative")
}

fn rounds(count: u64) -> Rounds {
    Rounds::new(count).expect("at least one")
}

fn servers(count: u32) -> Servers {
    Servers::new(count).expect("at least one")
}

fn shift(by: u32) -> Shift {
    Shift::new(by).expect("at least one")
}

fn counted(noise: Result<Noise, PrivacyError>, of: u32, by: u32, over: u64) -> Account {
    let account = Account::new().with_count(&noise.expect("possible noise"), servers(of), shift(by), rounds(over));
    account.expect("it fits")
}

fn composed(noise: Result<Noise, PrivacyError>, of: u32, by: u32, over: u64) -> Composed {
    counted(noise, of, by, over).compose(Resolution::Fine).expect("it fits")
}

/// Checks an upper bound: not below the value but for its last digit, and above it by a share of at most `excess`.
fn assert_bounds(found: f64, value: f64, excess: f64) {
    assert!(found >= value * (1.0 - 1e-6) && found <= value * (1.0 + excess), "{found:e} for {value:e}");
}

#[test]
fn randomized_response_is_the_binomial_sum() {
    let cases = [
        (0.01, 1000, 0.5, 9.753760e-3),
        (0.01, 10_000, LN_2, 1.906156e-1),
        (0.01, 10_000, 4.0, 4.698253e-5),
        (0.0021725434, 10_000, LN_2, 5.860881e-5),
    ];
    for (loss, over, at, delta) in cases {
        let account = Account::new().with_randomized_response(loss, rounds(over)).expect("a loss");
        let composed = account.compose(Resolution::Fine).expect("it fits");
        assert_bounds(composed.delta(epsilon(at)).value(), delta, 1e-4);
    }
}

#[test]
fn the_gaussian_mechanism_is_the_formula() {
    // Φ(−ε/μ + μ/2) − e^ε·Φ(−ε/μ − μ/2).
    for (mu, at, delta) in
        [(0.2, LN_2, 1.886218e-5), (0.226837, LN_2, 9.999766e-5), (0.236704, 1.0, 9.999669e-7), (1.0, 1.0, 1.269367e-1)]
    {
        for over in [1, 10_000] {
            let each = mu / (over as f64).sqrt();
            let account = Account::new().with_gaussian(each, rounds(over)).expect("a parameter");
            let found = account.compose(Resolution::Fine).expect("it fits").delta(epsilon(at));
            assert_bounds(found.value(), delta, 1e-4);
        }
    }
}

#[test]
fn reference_values_are_met_to_four_digits() {
    let symmetric: [(_, u32, u64, f64, f64); 6] = [
        (Noise::binomial(80_000), 1, 1000, LN_2, 8.409881e-5),
        (Noise::beta_binomial(100, 3.0), 1, 10, 1.0, 7.157309e-4),
        (Noise::beta_binomial(1000, 4.0), 1, 1000, LN_2, 3.729586e-5),
        (Noise::beta_binomial(2900, 3.5), 1, 10_000, LN_2, 7.207464e-5),
        (Noise::beta_binomial(9000, 3.5), 1, 100_000, LN_2, 7.987740e-5),
        (Noise::beta_binomial(50, 0.25), 64, 1000, LN_2, 1.075062e-5),
    ];
    for (noise, of, over, at, delta) in symmetric {
        assert_bounds(composed(noise, of, 1, over).delta(epsilon(at)).value(), delta, 2e-4);
    }
}

#[test]
fn asymmetric_noise_pays_for_the_worse_direction_in_every_round() {
    // The worse direction alone, and the pair that dominates both.
    let cases = [
        (Noise::poisson(30.0), 1, 1, LN_2, 1.061150e-4, 1.061150e-4),
        (Noise::poisson(100.0), 2, 1, 0.5, 1.017219e-3, 1.017219e-3),
        (Noise::poisson(1000.0), 1, 100, 1.0, 1.148688e-4, 1.2292e-4),
        (Noise::poisson(20_000.0), 1, 1000, LN_2, 8.434925e-5, 8.6102e-5),
        (Noise::negative_binomial(5.0, 500.0), 1, 1000, LN_2, 1.605455e-5, 1.01704e-4),
        (Noise::discrete_laplace(2400.0, 145.0, BelowZero::Clipped), 1, 1000, LN_2, 9.353896e-5, 9.353919e-5),
        (Noise::discrete_laplace(1640.0, 148.0, BelowZero::Redrawn), 1, 1000, LN_2, 9.879464e-5, 9.883345e-5),
        (Noise::discrete_gaussian(690.0, 145.0), 1, 1000, LN_2, 9.483807e-5, 9.488969e-5),
    ];
    for (noise, by, over, at, one_way, both_ways) in cases {
        let account = counted(noise, 1, by, over);
        let delta = |account: &Account| account.compose(Resolution::Fine).expect("it fits").delta(epsilon(at)).value();
        assert_bounds(account.one_way().iter().map(delta).fold(0.0, f64::max), one_way, 2e-4);
        let found = delta(&account);
        assert!((found / both_ways - 1.0).abs() < 6e-4, "{found:e} {both_ways:e}");
    }
}

#[test]
fn least_slots_for_a_goal_are_those_of_the_reference() {
    let cases: [(f64, f64, u64, f64, u32, u64); 6] = [
        (LN_2, 1e-4, 1000, 3.5, 1, 935),
        (LN_2, 1e-4, 10_000, 3.5, 1, 2818),
        (1.098612, 1e-4, 1000, 3.5, 1, 642),
        (1.0, 1e-6, 1000, 3.5, 1, 2041),
        (LN_2, 1e-4, 1000, 1.0, 8, 171),
        (1.0, 1e-6, 1000, 1.0, 32, 81),
    ];
    for (at, goal, over, shape, of, slots) in cases {
        let delta = |slots| composed(Noise::beta_binomial(slots, shape), of, 1, over).delta(epsilon(at)).value();
        assert!(delta(slots) <= goal && delta(slots - 1) > goal, "{slots}: {:e} {:e}", delta(slots), delta(slots - 1));
    }
}

/// δ by going through every sequence of counts.
fn enumerated(masses: &[f64], by: usize, over: u32, at: f64, up: bool) -> f64 {
    let padded: Vec<f64> = std::iter::repeat_n(0.0, by).chain(masses.iter().copied()).chain(vec![0.0; by]).collect();
    let pairs: Vec<(f64, f64)> = (by..padded.len()).map(|x| (padded[x], padded[x - by])).collect();
    let pairs: Vec<(f64, f64)> = pairs.into_iter().map(|(p, q)| if up { (p, q) } else { (q, p) }).collect();
    let step =
        |joint: Vec<(f64, f64)>| joint.iter().flat_map(|a| pairs.iter().map(|b| (a.0 * b.0, a.1 * b.1))).collect();
    let joint: Vec<(f64, f64)> = (0..over).fold(vec![(1.0, 1.0)], |joint, _| step(joint));
    joint.iter().map(|(p, q)| (p - at.exp() * q).max(0.0)).sum()
}

#[test]
fn small_cases_are_those_of_enumeration() {
    // Beta-binomial(4, 2, 2) by its urn, and sums of three fair coins over two servers.
    let urn = [5.0, 8.0, 9.0, 8.0, 5.0].map(|ways| ways / 35.0);
    let coins = [1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0].map(|ways| ways / 64.0);
    for (by, over) in [(1, 1), (1, 4), (2, 3), (4, 2)] {
        for at in [0.0, 0.1, 0.7, 1.5] {
            let urn_delta = composed(Noise::beta_binomial(4, 2.0), 1, by, over.into()).delta(epsilon(at)).value();
            assert_bounds(urn_delta, enumerated(&urn, by as usize, over, at, true), 1e-3);
            let coins_delta = composed(Noise::binomial(3), 2, by, over.into()).delta(epsilon(at)).value();
            assert_bounds(coins_delta, enumerated(&coins, by as usize, over, at, true), 1e-3);
        }
    }
}

#[test]
fn sums_over_servers_are_those_of_enumeration() {
    // Two servers of beta-binomial(4, 2, 2), and two of Laplace noise clipped at 0.
    let urn = [5.0, 8.0, 9.0, 8.0, 5.0].map(|ways| ways / 35.0);
    let mut sum = [0.0; 9];
    for (i, a) in urn.iter().enumerate() {
        urn.iter().enumerate().for_each(|(j, b)| sum[i + j] += a * b);
    }
    for (by, over) in [(1, 1), (2, 3)] {
        let found = composed(Noise::beta_binomial(4, 2.0), 2, by, over.into());
        for at in [0.0, 0.2, 1.0] {
            assert_bounds(found.delta(epsilon(at)).value(), enumerated(&sum, by as usize, over, at, true), 1e-3);
        }
    }
}

#[test]
fn noise_that_leans_is_bounded_in_both_directions() {
    let weight = |x: usize| 0.5_f64.powi(x as i32) * (x + 1) as f64 / 4.0;
    let masses: Vec<f64> = (0..60).map(weight).collect();
    for over in [1, 2] {
        let found = composed(Noise::negative_binomial(2.0, 2.0), 1, 1, over.into());
        for at in [0.0, 0.3, 1.0] {
            let exact = |up| enumerated(&masses, 1, over, at, up);
            let worst = exact(true).max(exact(false));
            assert!(found.delta(epsilon(at)).value() >= worst - 1e-14);
            if over == 1 {
                assert_bounds(found.delta(epsilon(at)).value(), worst, 1e-3);
            }
        }
    }
}

#[test]
fn what_an_owner_has_shown_hides_nothing() {
    // Of beta-binomial(4, 2, 2), with a shared slot shown: beta-binomial(3, 3, 2).
    let left = [4.0, 9.0, 12.0, 10.0].map(|ways| ways / 35.0);
    let found = composed(Noise::beta_binomial_but(4, 2.0, 1, 0), 1, 1, 1);
    let mirrored = composed(Noise::beta_binomial_but(4, 2.0, 0, 1), 1, 1, 1);
    for at in [0.0, 0.3, 1.0] {
        let worst = enumerated(&left, 1, 1, at, true).max(enumerated(&left, 1, 1, at, false));
        assert_bounds(found.delta(epsilon(at)).value(), worst, 1e-3);
        assert!((mirrored.delta(epsilon(at)).value() - found.delta(epsilon(at)).value()).abs() < 1e-9);
    }
    let all = composed(Noise::beta_binomial(935, 3.5), 1, 1, 1000).delta(epsilon(LN_2));
    assert!(composed(Noise::beta_binomial_but(935, 3.5, 1, 0), 1, 1, 1000).delta(epsilon(LN_2)) > all);
    assert!(Noise::beta_binomial_but(4, 2.0, 3, 1).is_err(), "nothing is left");
}

#[test]
fn a_shape_with_two_peaks_is_bounded_at_every_smaller_shift() {
    // Beta-binomial(6, 0.1, 0.1) is worse at a shift of 1 than at 6 for some ε.
    let noise = || Noise::beta_binomial(6, 0.1);
    let (one, three) = (composed(noise(), 1, 1, 1), composed(noise(), 1, 3, 1));
    for at in [0.0, 0.5, 1.0, 2.0] {
        assert!(three.delta(epsilon(at)) >= one.delta(epsilon(at)), "{at}");
    }
}

#[test]
fn renyi_divergences_never_come_out_below() {
    let cases = [
        composed(Noise::beta_binomial(2900, 3.5), 1, 1, 10_000),
        composed(Noise::poisson(1000.0), 1, 1, 100),
        composed(Noise::discrete_laplace(2400.0, 145.0, BelowZero::Clipped), 1, 2, 1000),
        Account::new().with_gaussian(0.3, Rounds::ONE).and_then(|a| a.compose(Resolution::Fine)).expect("it fits"),
        Account::new()
            .with_randomized_response(0.5, rounds(40))
            .and_then(|a| a.compose(Resolution::Fine))
            .expect("it fits"),
    ];
    for composed in cases {
        for at in [0.1, 0.3, LN_2, 1.0, 2.0] {
            let (delta, renyi) = (composed.delta(epsilon(at)), composed.renyi_delta(epsilon(at)));
            // The lower of the two bounds is what δ is: equal means that transforms came out above.
            assert!(renyi > delta || delta.value() < 100.0 * composed.slack(), "{at}: {renyi} {delta}");
        }
    }
}

#[test]
fn epsilon_is_the_inverse_of_delta() {
    let composed = composed(Noise::beta_binomial(2900, 3.5), 1, 1, 10_000);
    for goal in [1e-2, 1e-3, 1e-4, 5e-5] {
        let goal = Delta::new(goal).expect("a probability");
        let least = composed.epsilon(goal).expect("reachable");
        assert!((composed.delta(least).value() / goal.value() - 1.0).abs() < 1e-6);
    }
    let certain = composed.epsilon(Delta::new(1.0).expect("a probability")).expect("reachable");
    assert_eq!(certain, Epsilon::ZERO);
}

#[test]
fn a_coarse_grid_is_looser_and_never_tighter() {
    let noise = Noise::beta_binomial(935, 3.5).expect("noise");
    let account = Account::new().with_count(&noise, Servers::ONE, Shift::ONE, rounds(1000)).expect("it fits");
    let at = |resolution| account.compose(resolution).expect("it fits").delta(epsilon(LN_2)).value();
    let (coarse, fine) = (at(Resolution::Coarse), at(Resolution::Fine));
    assert!(coarse >= fine && coarse <= fine * 1.001, "{coarse:e} {fine:e}");
}

#[test]
fn parts_compose() {
    // Two normal losses are one.
    let two =
        Account::new().with_gaussian(0.3, Rounds::ONE).and_then(|a| a.with_gaussian(0.04, rounds(100))).expect("parts");
    let one = Account::new().with_gaussian(0.5, Rounds::ONE).expect("a part");
    let delta = |account: &Account| account.compose(Resolution::Fine).expect("it fits").delta(epsilon(1.0)).value();
    assert_bounds(delta(&two), delta(&one), 1e-4);
    // Two halves of the rounds are all of them.
    let noise = Noise::beta_binomial(935, 3.5).expect("noise");
    let half = |account: Account| account.with_count(&noise, Servers::ONE, Shift::ONE, rounds(500));
    let halves = half(Account::new()).and_then(half).expect("parts");
    assert!((delta(&halves) / composed(Ok(noise), 1, 1, 1000).delta(epsilon(1.0)).value() - 1.0).abs() < 1e-6);
}

#[test]
fn an_edge_that_is_reached_too_often_has_no_epsilon() {
    // One in eleven rounds shows the truth.
    let composed = composed(Noise::beta_binomial(10, 1.0), 1, 1, 1);
    assert!((composed.infinite().value() - 1.0 / 11.0).abs() < 1e-12);
    let refused = composed.epsilon(Delta::new(0.05).expect("a probability"));
    assert!(matches!(refused, Err(PrivacyError::Unreachable { .. })), "{refused:?}");
    assert_eq!(composed.epsilon(Delta::new(0.1).expect("a probability")), Ok(Epsilon::ZERO));
    // Noise that is always at its edge hides nothing.
    for (noise, by) in
        [(Noise::poisson(1e-9), 1), (Noise::beta_binomial(5, 1e12), 6), (Noise::beta_binomial(1, 1e-9), 2)]
    {
        let nothing = self::composed(noise, 1, by, 10);
        assert!(nothing.delta(epsilon(50.0)).value() > 0.999 && nothing.delta(epsilon(0.0)).value() <= 1.0);
    }
}

#[test]
fn delta_below_the_slack_of_transforms_is_bounded_by_moments() {
    let account = Account::new().with_randomized_response(0.001, rounds(100_000)).expect("a part");
    let composed = account.compose(Resolution::Fine).expect("it fits");
    let tiny = composed.delta(epsilon(4.0)).value();
    assert!(tiny < composed.slack() / 10.0, "{tiny:e} {:e}", composed.slack());
}

#[test]
fn a_grid_that_memory_makes_coarser_still_bounds() {
    // μ = 0.2 over a thousand million rounds, and a loss of many sizes in a few.
    let account = Account::new().with_randomized_response(0.2 / 1e9_f64.sqrt(), rounds(1_000_000_000)).expect("a part");
    let found = account.compose(Resolution::Coarse).expect("it fits");
    assert_bounds(found.delta(epsilon(LN_2)).value() - found.slack(), 1.886218e-5, 1e-2);
    let leaning = composed(Noise::negative_binomial(4.5, 9000.0), 1, 1, 3);
    assert!(leaning.delta(epsilon(0.1)) < leaning.delta(epsilon(0.0)));
}

#[test]
fn what_is_impossible_or_too_large_is_refused() {
    assert!(Noise::poisson(0.0).is_err() && Noise::poisson(f64::NAN).is_err() && Noise::binomial(0).is_err());
    assert!(Noise::beta_binomial(10, -1.0).is_err() && Noise::negative_binomial(1.0, f64::INFINITY).is_err());
    assert!(Account::new().compose(Resolution::Fine).is_err());
    assert!(Account::new().with_gaussian(-1.0, Rounds::ONE).is_err());
    assert!(Account::new().with_randomized_response(0.0, Rounds::ONE).is_err());
    let huge = Noise::beta_binomial(1 << 30, 3.5).expect("noise");
    let refused = Account::new().with_count(&huge, Servers::ONE, Shift::ONE, Rounds::ONE);
    assert!(matches!(refused, Err(PrivacyError::TooLarge { .. })));
    let many = Noise::beta_binomial(100_000, 3.5).expect("noise");
    let refused = Account::new().with_count(&many, servers(1000), Shift::ONE, Rounds::ONE);
    assert!(matches!(refused, Err(PrivacyError::TooLarge { .. })));
    let noise = Noise::poisson(1e6).expect("noise");
    let endless = Account::new().with_count(&noise, Servers::ONE, Shift::ONE, rounds(Rounds::MOST)).expect("it fits");
    assert!(matches!(endless.compose(Resolution::Fine), Err(PrivacyError::TooLarge { .. })));
}
