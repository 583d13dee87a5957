//! The planner against the table of the notes.

use std::num::NonZeroU32;

use hippodrome_privacy::{
    PrivacyError,
    account::Resolution,
    links::Layers,
    plan::{Deployment, Dialing, Goal, NoisePlan, Shape, delta_of, guarantee_of, plan},
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};

fn servers(count: u32) -> Servers {
    Servers::new(count).expect("at least one")
}

fn rounds(count: u64) -> Rounds {
    Rounds::new(count).expect("at least one")
}

fn goal(over: u64) -> Goal {
    let epsilon = Epsilon::new(std::f64::consts::LN_2).expect("not negative");
    Goal::new(epsilon, Delta::new(1e-4).expect("a probability"), rounds(over)).expect("above 0")
}

/// Noise for as many chains as servers, three quarters of them honest.
fn planned(count: u32, layers: Layers, over: u64) -> NoisePlan {
    let chains = if layers == Layers::One { 1 } else { count };
    let deployment = Deployment::new(servers(count), servers(count * 3 / 4), layers, chains, Shift::ONE);
    plan(&deployment.expect("possible"), &goal(over)).expect("a plan")
}

#[test]
fn noise_per_server_is_that_of_the_table_within_two_per_cent() {
    // Servers, rounds, then records per server and round: one chain, two layers, three layers.
    let table: [(u32, u64, [u64; 3]); 5] = [
        (3, 10_000, [2924, 3240, 2926]),
        (10, 10_000, [950, 3548, 956]),
        (25, 10_000, [510, 5112, 524]),
        (100, 10_000, [250, 9432, 294]),
        (10, 1000, [302, 1122, 306]),
    ];
    for (count, over, row) in table {
        for (layers, expected) in [Layers::One, Layers::Two, Layers::Three].into_iter().zip(row) {
            let found = planned(count, layers, over).per_server();
            // As many as go into whole records for each chain.
            let chains = if layers == Layers::One { 1 } else { u64::from(count) };
            let unit = if chains % 2 == 0 { chains } else { 2 * chains };
            let (low, high) = (expected * 98 / 100, (expected * 102 / 100).div_ceil(unit) * unit);
            assert!(
                (low..=high).contains(&found),
                "{count} servers, {layers:?}, {over} rounds: {found}, not {expected}"
            );
        }
    }
}

#[test]
fn a_plan_reaches_its_goal_and_a_step_less_does_not() {
    let found = planned(10, Layers::Two, 1000);
    let reached = found.guarantee(servers(7), rounds(1000)).expect("it fits");
    let epsilon = reached.epsilon.expect("finite");
    assert!(epsilon.value() <= std::f64::consts::LN_2 && epsilon.value() > 0.67, "{epsilon}");
    assert!(reached.mailboxes.expect("finite") < epsilon && reached.chains_known.expect("finite") > epsilon);
}

#[test]
fn fewer_honest_servers_than_planned_hide_less_by_degrees() {
    let found = planned(100, Layers::Three, 1000);
    let of = |honest| found.guarantee(servers(honest), rounds(1000)).expect("it fits").epsilon.expect("finite");
    let (all, one_less, half) = (of(75), of(74), of(37));
    assert!(all < one_less && one_less < half && one_less.value() < 1.05 * all.value(), "{all} {one_less} {half}");
    assert!(half.value() < 5.0, "{half}");
    let after = found.guarantees(servers(75), &[rounds(1), rounds(10), rounds(100)]).expect("it fits");
    assert!(after.windows(2).all(|pair| pair[0].epsilon < pair[1].epsilon));
}

#[test]
fn a_tiny_delta_is_within_reach() {
    let deployment = Deployment::new(servers(100), servers(75), Layers::Three, 100, Shift::ONE).expect("possible");
    let tiny = Delta::new(1e-9).expect("a probability");
    let goal = Goal::new(Epsilon::new(1.0).expect("not negative"), tiny, rounds(10_000)).expect("above 0");
    let found = plan(&deployment, &goal).expect("a plan").per_server();
    assert!((300..=600).contains(&found), "{found}");
}

fn one_in(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

/// So many servers on one chain, all of them honest.
fn all_honest(count: u32) -> Deployment {
    Deployment::new(servers(count), servers(count), Layers::One, 1, Shift::ONE).expect("possible")
}

#[test]
fn rounds_that_are_opened_cost_what_the_notes_say() {
    // Five servers, α = 1: ε with the mean number of opened rounds, where a guarantee counts with a few more.
    let delta = Delta::new(1e-4).expect("a probability");
    let epsilon = |deployment: &Deployment, slots| {
        let found = guarantee_of(deployment, 1.0, slots, rounds(10_000), delta).expect("it fits");
        found.epsilon.expect("finite").value()
    };
    let table = [
        (700, 0.680, vec![(60, 0.689)], 0.780),
        (800, 0.585, vec![(360, 0.586), (120, 0.589), (60, 0.593), (30, 0.600)], 0.671),
        (900, 0.513, vec![(60, 0.519)], 0.588),
    ];
    for (slots, never, audits, always) in table {
        assert!((epsilon(&all_honest(5), slots) - never).abs() < 6e-4, "{slots} slots");
        assert!((epsilon(&all_honest(4), slots) - always).abs() < 6e-4, "{slots} slots, four servers");
        for (number, mean) in audits {
            let found = epsilon(&all_honest(5).with_audit(one_in(number)), slots);
            assert!((mean - 6e-4..mean + 4e-3).contains(&found), "{slots} slots, one in {number}: {found} for {mean}");
        }
    }
}

#[test]
fn rounds_that_are_opened_are_bounded_by_enumeration() {
    // Beta-binomial(4, 2, 2) at each of two servers, one of which may be opened; three rounds.
    let one: Vec<f64> = [5.0, 8.0, 9.0, 8.0, 5.0].map(|ways| ways / 35.0).to_vec();
    let two: Vec<f64> = (0..9_usize)
        .map(|sum| (0..5).filter(|&x| sum >= x && sum - x < 5).map(|x| one[x] * one[sum - x]).sum())
        .collect();
    let of = |masses: &[f64], chance: f64| -> Vec<(f64, f64)> {
        let at = |x: usize| masses.get(x).copied().unwrap_or(0.0) * chance;
        (0..=masses.len()).map(|x| (at(x), if x == 0 { 0.0 } else { at(x - 1) })).collect()
    };
    let goal = Goal::new(Epsilon::new(0.3).expect("an ε"), Delta::new(0.5).expect("a probability"), rounds(3));
    let goal = goal.expect("above 0");
    let bound = |deployment: &Deployment| delta_of(deployment, 2.0, 4, &goal).expect("it fits");
    for (number, opened) in [(4000, 0), (400, 1), (40, 2), (4, 3)] {
        let audited = all_honest(2).with_audit(one_in(number));
        let delta = Delta::new(0.5).expect("a probability");
        assert_eq!(audited.most_opened(servers(2), rounds(3), delta), opened, "one in {number}");
        let chance = 2.0 / f64::from(number);
        let round = [of(&two, 1.0 - chance), of(&one, chance)].concat();
        let mut joint = vec![(1.0, 1.0)];
        for _ in 0..3 {
            joint = joint.iter().flat_map(|a| round.iter().map(|b| (a.0 * b.0, a.1 * b.1))).collect();
        }
        let exact: f64 = joint.iter().map(|(p, q): &(f64, f64)| (p - 0.3_f64.exp() * q).max(0.0)).sum();
        let found = bound(&audited);
        assert!(found >= exact * (1.0 - 1e-9), "one in {number}: {found} for {exact}");
        assert!(found <= bound(&all_honest(1)) + 0.005, "hardly worse than always");
        if opened == 0 {
            assert!((found - bound(&all_honest(2)) - 0.005).abs() < 1e-9, "only the chance that there is one: {found}");
        }
    }
}

#[test]
fn an_audit_of_fewer_rounds_costs_less_and_of_the_only_honest_server_all() {
    let over = goal(1000);
    let delta = |deployment: Deployment| delta_of(&deployment, 1.0, 171, &over).expect("it fits");
    let [often, seldom, never] =
        [all_honest(8).with_audit(one_in(8)), all_honest(8).with_audit(one_in(1000)), all_honest(8)].map(delta);
    assert!(often > seldom && seldom > never, "{often} {seldom} {never}");
    assert_eq!(all_honest(8).with_audit(one_in(1)), all_honest(8).with_audit(one_in(8)), "no more often than once");
    assert_eq!(delta(all_honest(1).with_audit(one_in(60))), 1.0);
    let chance = Delta::new(1e-4).expect("a probability");
    let alone = guarantee_of(&all_honest(1).with_audit(one_in(60)), 1.0, 171, rounds(1000), chance).expect("it fits");
    assert_eq!((alone.epsilon, alone.mailboxes), (None, None));
    let deployment = Deployment::new(servers(10), servers(8), Layers::Two, 10, Shift::ONE).expect("possible");
    let found = |deployment: &Deployment| plan(deployment, &over).expect("a plan");
    let (plain, audited) = (found(&deployment), found(&deployment.with_audit(one_in(60))));
    assert!(audited.per_server() > plain.per_server() && audited.per_server() < plain.per_server() * 106 / 100);
    let epsilon = |plan: NoisePlan| plan.guarantee(servers(8), rounds(1000)).expect("it fits").epsilon;
    assert!(epsilon(audited.without_audit()) < epsilon(audited) && audited.most_opened() > 133);
    assert!(epsilon(audited).expect("finite").value() <= std::f64::consts::LN_2);
}

#[test]
fn dialing_tells_no_more_than_two_counts_a_round() {
    // Beta-binomial(4, 2, 2) for each of two counts in two rounds: one moves up, one down.
    let masses = [5.0, 8.0, 9.0, 8.0, 5.0].map(|ways| ways / 35.0);
    let at = |x: usize| masses.get(x).copied().unwrap_or(0.0);
    let up: Vec<(f64, f64)> = (0..6).map(|x| (at(x), if x == 0 { 0.0 } else { at(x - 1) })).collect();
    let down: Vec<(f64, f64)> = up.iter().map(|&(p, q)| (q, p)).collect();
    let exact = |views: &[&Vec<(f64, f64)>], epsilon: f64| -> f64 {
        let with = |joint: Vec<(f64, f64)>, view: &Vec<(f64, f64)>| {
            joint.iter().flat_map(|a| view.iter().map(|b| (a.0 * b.0, a.1 * b.1))).collect()
        };
        let joint = views.iter().fold(vec![(1.0, 1.0)], |joint, view| with(joint, view));
        joint.iter().map(|(p, q)| (p - epsilon.exp() * q).max(0.0)).sum()
    };
    let found = |buckets, epsilon| {
        let shape = Shape { numerator: 2, denominator: 1 };
        let dialing = Dialing::new(rounds(2), buckets, 4, shape).expect("possible");
        let composed = dialing.account(servers(1)).and_then(|account| account.compose(Resolution::Fine));
        composed.expect("it fits").delta(Epsilon::new(epsilon).expect("not negative")).value()
    };
    for epsilon in [0.0, 0.3, 1.0] {
        let whom = exact(&[&up, &down, &up, &down], epsilon);
        let whether = exact(&[&up, &up], epsilon);
        assert!(found(4, epsilon) >= whom - 1e-12 && found(4, epsilon) <= whom * 1.001, "{epsilon}: whom");
        assert!(found(1, epsilon) >= whether - 1e-12 && found(1, epsilon) <= whether * 1.001, "{epsilon}: whether");
        assert!(whether < whom && found(4, epsilon) == found(2, epsilon));
    }
}

#[test]
fn dialing_composes_with_conversations() {
    let (deployment, over) = (all_honest(8), goal(1000));
    let dialing = |buckets| Dialing::least(&deployment, &over, rounds(100), buckets).expect("a plan");
    let (one, many) = (dialing(1), dialing(50));
    assert!(one.slots() < many.slots() && many.slots() < 2 * one.slots(), "{} {}", one.slots(), many.slots());
    assert_eq!(many.per_server(&deployment), 50 * u64::from(many.slots()));
    let half = Delta::new(0.5e-4).expect("a probability");
    let alone = many.epsilon(&deployment, half).expect("it fits").expect("finite").value();
    assert!(alone <= std::f64::consts::LN_2 / 2.0 && alone > 0.9 * std::f64::consts::LN_2 / 2.0, "{alone}");
    let both = deployment.with_dialing(many);
    let delta = |deployment: &Deployment, slots| delta_of(deployment, 1.0, slots, &over).expect("it fits");
    assert!(delta(&both, 171) > 1e-4 && delta(&deployment, 171) <= 1e-4, "it is part of what is spent");
    let found = plan(&both, &over).expect("a plan");
    let plain = plan(&deployment, &over).expect("a plan");
    assert!(found.slots() > plain.slots() && found.slots() < plain.slots() * 13 / 10, "{}", found.slots());
    // With an audit one server fewer hides calls, whenever they are made.
    let audited = both.with_audit(one_in(1_000_000));
    assert!(delta(&audited, 200) > delta(&both, 200));
    let shape = Shape { numerator: 1, denominator: 1 };
    assert!(Dialing::new(rounds(1), 0, 1, shape).is_err() && Dialing::new(rounds(1), 1, 0, shape).is_err());
    assert!(Dialing::new(rounds(1), 1 << 17, 1, shape).is_err());
}

#[test]
fn what_no_plan_can_be_made_for_is_refused() {
    let of =
        |count, honest, layers, chains| Deployment::new(servers(count), servers(honest), layers, chains, Shift::ONE);
    assert!(of(3, 4, Layers::Two, 3).is_err());
    assert!(of(3, 3, Layers::One, 3).is_err());
    assert!(of(3, 3, Layers::Two, 0).is_err() && of(3, 3, Layers::Two, 1025).is_err());
    let never = Goal::new(Epsilon::ZERO, Delta::new(0.0).expect("a probability"), rounds(1));
    assert!(never.is_err());
    let much = plan(&of(3, 1, Layers::One, 1).expect("possible"), &goal(100_000_000));
    assert!(matches!(much, Err(PrivacyError::NoPlan { .. })), "{much:?}");
}
