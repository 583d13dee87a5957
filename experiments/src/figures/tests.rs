use std::collections::BTreeMap;

use super::*;
use crate::{
    model::{Rate, Rates, Work},
    plot::Origin,
};

/// One microsecond for each record of everything.
fn costs() -> Costs {
    let rate = Rate { job_s: 1e-5, record_s: 1e-6 };
    Costs::uniform(Rates(Work::ALL.into_iter().map(|work| (work, rate)).collect::<BTreeMap<_, _>>()))
}

#[test]
fn a_figure_has_ours_and_theirs_and_is_the_same_every_time() {
    let draw = || stadium::chain_length(&costs(), &[3, 5]).expect("a figure");
    let figure = draw();
    for series in &figure.series {
        assert_eq!(series.points.len(), if series.origin == Origin::Modelled { 2 } else { 7 }, "{}", series.label);
    }
    assert_eq!(figure.svg().expect("a drawing"), draw().svg().expect("a drawing"));
    assert_eq!(figure.csv(), draw().csv());
    let stadium = figure.series.iter().find(|series| series.label == "Stadium, 100K").expect("Stadium");
    assert_eq!((stadium.points[0].x, stadium.points[0].y), (3.0, 43.6), "as in the paper");
}

#[test]
fn every_system_of_the_headlines_has_its_points() {
    for (system, label) in headlines::SYSTEMS {
        assert_eq!(headlines::published(system).len(), 2, "{label}");
    }
}

#[test]
fn every_number_of_a_paper_is_read_with_what_of_ours_is_set_beside_it() {
    let lines = claims::published();
    assert_eq!(lines.len(), 10);
    assert!(lines.iter().all(|line| line.latency_s > 0.0));
    let of_stadium: Vec<_> = lines.iter().filter(|line| line.of.starts_with("Stadium")).collect();
    assert_eq!(of_stadium.iter().map(|line| line.ours.chain_len).collect::<Vec<_>>(), [3, 6, 9, 3, 6, 9]);
    let modes = |mode| lines.iter().filter(|line| line.ours.verification == mode).count();
    assert_eq!((modes(Verification::Full), modes(Verification::Aggregate)), (8, 2));
}

#[test]
fn less_epsilon_takes_more_noise_and_too_little_cannot_be_had() {
    let loose = noise_slots(25, 10_f64.ln()).expect("a search").expect("a plan");
    let tight = noise_slots(25, 1.0).expect("a search");
    assert!(tight.is_none_or(|tight| tight > loose), "{loose} {tight:?}");
    assert_eq!(noise_slots(25, 1e-3).expect("a search"), None);
}

#[test]
fn more_users_wait_longer_and_longer_chains_too() {
    let latency =
        |chain_len, messages| Cluster::full(10, chain_len, 0).latency_s(messages, &costs()).expect("a deployment");
    assert!(latency(3, 1_000_000) < latency(3, 2_000_000));
    assert!(latency(3, 1_000_000) < latency(6, 1_000_000));
}

#[test]
fn the_costs_that_are_kept_are_costs_of_every_kind_of_work() {
    let costs = Costs::from_toml(include_str!("../../data/costs-reference.toml")).expect("costs");
    let lacks = |work: &Work| costs.full.0.get(work).is_none_or(|rate| rate.job_s + rate.record_s <= 0.0);
    assert_eq!(Work::ALL.into_iter().find(lacks), None);
    assert!(costs.source.backend.contains("avx") && !costs.source.backend.contains("without"), "of an optimised build");
}
