//! The planner against the table of the notes.

use hippodrome_privacy::{
    PrivacyError,
    links::Layers,
    plan::{Deployment, Goal, NoisePlan, plan},
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
