use std::collections::BTreeMap;

use hippodrome_bench::round::{RoundArgs, run_round};
use hippodrome_core::params::Verification;
use proptest::prelude::*;

use super::*;

/// One core does everything, and nothing is far away.
fn alone() -> Deployment {
    Deployment {
        servers: 1,
        cores: 1,
        threads: 1,
        placement: Placement::Together,
        link: Link { delay_s: 0.0, bits_per_s: 0.0 },
        chains: 1,
        chain_len: 1,
        layers: 1,
        verification: Verification::Full,
        messages: 1000,
        clients: 0,
        noise_slots: 0,
        period_s: 100.0,
        collect_s: 50.0,
        rounds: 1,
    }
}

fn network() -> Deployment {
    Deployment { servers: 6, cores: 4, threads: 4, chains: 3, chain_len: 3, layers: 2, noise_slots: 30, ..apart() }
}

fn apart() -> Deployment {
    Deployment { placement: Placement::Apart, ..alone() }
}

/// Every record of every kind of work takes so long, and every job or message.
fn costs(record_s: f64, job_s: f64) -> Costs {
    let rates: BTreeMap<Work, Rate> = Work::ALL.into_iter().map(|work| (work, Rate { job_s, record_s })).collect();
    Costs::uniform(Rates(rates))
}

fn only(work: Work, record_s: f64) -> Costs {
    Costs::uniform(Rates([(work, Rate { job_s: 0.0, record_s })].into()))
}

fn latency(deployment: &Deployment, costs: &Costs) -> f64 {
    simulate(deployment, costs).expect("a deployment").latency_s()
}

fn near(value: f64, expected: f64) {
    assert!((value - expected).abs() <= 1e-6 + 1e-9 * expected.abs(), "{value} instead of {expected}");
}

#[test]
fn one_server_on_one_core_takes_the_sum_of_its_work() {
    // Of 1000 records at 1 ms: receipts (none), mix, exchange, seal, and one tree over the replies; beside the way the leaves
    // are told to the coordinator, who is on the same core. Of what is assembled an eighth is left.
    near(latency(&alone(), &costs(1e-3, 0.0)), 0.125 + 4.0 + 1.0);
    near(latency(&Deployment { messages: 2000, ..alone() }, &costs(1e-3, 0.0)), 0.25 + 10.0);
}

#[test]
fn without_work_only_delays_are_left() {
    let link = Link { delay_s: 0.1, bits_per_s: 0.0 };
    let deployment = Deployment { link, ..network() };
    // Submissions; in each layer offer, signature, input, confirmation, and for each later hop the batch; parcels; the way
    // back hop by hop, parcels, to the coordinator; the client is told, asks, and is answered.
    let (hops, layers) = (3.0, 2.0);
    let messages = 1.0 + layers * (4.0 + hops - 1.0) + 1.0 + layers * (hops - 1.0) + 1.0 + 1.0 + 3.0;
    near(latency(&deployment, &Costs::none()), 0.1 * messages);
    let plain = Deployment { verification: Verification::None, ..deployment };
    near(latency(&plain, &Costs::none()), 0.1 * messages);
    // 32 requests at a time, three of which tell of rounds.
    near(latency(&Deployment { clients: 29, ..plain.clone() }, &Costs::none()), 0.1 * messages);
    near(latency(&Deployment { clients: 30, ..plain }, &Costs::none()), 0.1 * (messages + 2.0));
}

#[test]
fn a_gate_waits_for_the_proof_before_it() {
    // Proving and verifying lie between the release of one batch and that of the next, once a hop but the last.
    let deployment = Deployment { layers: 1, chains: 1, servers: 3, noise_slots: 0, cores: 1, threads: 1, ..network() };
    near(latency(&deployment, &only(Work::Prove, 1e-3)), 2.0);
    near(latency(&deployment, &only(Work::Verify, 1e-3)), 2.0);
    let plain = Deployment { verification: Verification::None, ..deployment };
    near(latency(&plain, &only(Work::Prove, 1e-3)), 0.0);
}

#[test]
fn bytes_take_their_time_on_the_line() {
    let deployment = Deployment { servers: 2, chain_len: 1, layers: 1, ..apart() };
    let fast =
        latency(&Deployment { link: Link { delay_s: 0.0, bits_per_s: 1e12 }, ..deployment.clone() }, &Costs::none());
    let slow =
        latency(&Deployment { link: Link { delay_s: 0.0, bits_per_s: 1e6 }, ..deployment.clone() }, &Costs::none());
    let sizes = hippodrome_core::wire::Sizes::new(1, 1);
    // The last eighth of submissions comes, leaves go to the coordinator, who gets all replies behind them.
    let least = 8.0 * (125.0 * sizes.submission as f64 + 1000.0 * sizes.reply_record as f64) / 1e6;
    assert!(fast < 0.01 && (least..1.2 * least).contains(&slow), "{fast} {slow} {least}");
}

#[test]
fn all_work_is_done_by_some_core_and_none_twice() {
    for placement in [Placement::Apart, Placement::Together] {
        let deployment = Deployment { placement, rounds: 3, period_s: 0.5, collect_s: 0.25, ..network() };
        let costs = costs(1e-6, 1e-5);
        let schedule = Schedule::of(&deployment, &costs);
        let played = run(&schedule.network, &schedule.activities);
        let spent: u64 = schedule.cpu.iter().sum();
        assert_eq!(played.busy.iter().sum::<u64>(), spent, "to the nanosecond");
        let outcome = simulate(&deployment, &costs).expect("a deployment");
        assert!(outcome.utilisation > 0.0 && outcome.utilisation <= 1.0, "{}", outcome.utilisation);
        near((outcome.total_cpu_s() + outcome.clients_cpu_s) * 3.0, spent as f64 / 1e9);
    }
}

#[test]
fn cores_that_stand_idle_take_longer_and_work_no_more() {
    let work = costs(1e-5, 1e-4);
    let idle = Costs { transport: Transport { idle: 0.5, ..Transport::default() }, ..work.clone() };
    let outcome = |costs| simulate(&alone(), costs).expect("a deployment");
    near(outcome(&idle).latency_s(), 1.5 * outcome(&work).latency_s());
    near(outcome(&idle).total_cpu_s(), outcome(&work).total_cpu_s());
}

#[test]
fn the_same_deployment_gives_the_same_outcome() {
    let run = || simulate(&Deployment { rounds: 2, ..network() }, &costs(1.3e-6, 1.7e-5)).expect("a deployment");
    assert_eq!(run(), run());
}

#[test]
fn rounds_in_flight_wait_for_each_other_only_when_cores_are_short() {
    let idle = Deployment { rounds: 4, ..network() };
    let costs = costs(1e-5, 0.0);
    let rounds = simulate(&idle, &costs).expect("a deployment").rounds;
    assert!(rounds.iter().all(|round| (round.latency_s - rounds[0].latency_s).abs() < 1e-6), "{rounds:?}");
    let busy = simulate(&Deployment { period_s: 0.004, collect_s: 0.004, ..idle }, &costs).expect("a deployment");
    assert!(busy.rounds[3].latency_s > 2.0 * rounds[0].latency_s, "{busy:?}");
    assert!(busy.utilisation > 0.4);
}

#[test]
fn what_there_cannot_be_is_refused_by_name() {
    let refused = |deployment: Deployment| simulate(&deployment, &Costs::none()).expect_err("refused").to_string();
    assert!(refused(Deployment { chain_len: 4, servers: 3, ..network() }).contains("chain_len"));
    assert!(refused(Deployment { cores: 0, ..network() }).contains("cores"));
    assert!(refused(Deployment { collect_s: 200.0, ..network() }).contains("collect_s"));
    assert!(refused(Deployment { link: Link { delay_s: f64::NAN, bits_per_s: 0.0 }, ..network() }).contains("delay_s"));
}

/// The model's round has the work that a real one has: as many proofs are checked, and the bytes agree.
#[test]
fn a_modelled_round_has_the_work_of_a_real_one() {
    for (verification, layers, chain_len) in
        [(Verification::Full, 2, 3), (Verification::Aggregate, 2, 2), (Verification::None, 1, 3)]
    {
        let chains = if layers == 1 { 1 } else { 2 };
        let (messages, servers, noise) = (160, 4, 4);
        let args = RoundArgs {
            messages,
            layers,
            chains,
            chain_len,
            servers,
            noise,
            verification,
            threads: 1,
            repeats: 1,
            json: false,
        };
        let real = run_round(&args).expect("a round");
        let deployment = Deployment { placement: Placement::Apart, ..measure::deployment(&real) };
        let work = count_work(&deployment).expect("a deployment");
        assert_eq!(work.get(&Work::Verify).map_or(0, |units| units.jobs), real.hops_verified);
        assert!(!work.contains_key(&Work::Wrap), "clients are elsewhere");
        for stage in &real.stages {
            let kinds = Work::ALL.into_iter().filter(|work| work.stage() == stage.stage);
            let is_modelled = kinds.flat_map(|kind| work.get(&kind)).any(|units| units.jobs > 0);
            let is_faults_only = ["audit", "blame"].contains(&stage.stage);
            assert_eq!(is_modelled, stage.cpu_ms_per_message > 0.0 && !is_faults_only, "{}", stage.stage);
        }
        let modelled = simulate(&deployment, &Costs::none()).expect("a deployment").total_bytes() as f64;
        let error = crate::stats::relative_error(modelled, real.bytes_on_wire_per_message * messages as f64);
        assert!(error.is_some_and(|error| error.abs() < 0.15), "{verification:?}: {error:?}");
    }
}

#[test]
fn what_was_measured_is_predicted_when_the_rest_was_fitted() {
    let true_costs = Costs {
        transport: Transport {
            byte_s: 2e-9,
            message_s: 3e-5,
            server_round_s: 1e-3,
            client_s: 2e-5,
            idle: 0.2,
            message_late_s: 2e-4,
        },
        ..costs(1e-5, 1e-4)
    };
    let run = |messages: u64, chain_len: u8, is_held_out: bool| {
        // Some bring one message each, others several.
        let clients = messages / u64::from(chain_len);
        let servers = 4 + 2 * u16::from(chain_len % 2);
        let deployment = Deployment { messages, chain_len, clients, servers, ..network() };
        let outcome = simulate(&deployment, &true_costs).expect("a deployment");
        Measured {
            name: format!("{messages}, {chain_len}"),
            deployment,
            wall_s: outcome.latency_s(),
            cpu_s: outcome.total_cpu_s(),
            bytes: outcome.servers_bytes() as f64,
            is_held_out,
        }
    };
    let fitted = [(200, 3), (5000, 2), (900, 4), (60, 1), (400, 2), (3000, 4)];
    let held_out = [(2000, 3), (700, 2)];
    let runs: Vec<Measured> = fitted
        .map(|(messages, len)| run(messages, len, false))
        .into_iter()
        .chain(held_out.map(|(messages, len)| run(messages, len, true)))
        .collect();
    let validation = validate(&costs(1e-5, 1e-4), &runs).expect("deployments");
    let (wall, cpu) = validation.held_out();
    let (wall, cpu) = (wall.expect("runs"), cpu.expect("runs"));
    assert_eq!((wall.count, cpu.count), (2, 2));
    assert!(wall.worst < 0.05 && cpu.worst < 0.02, "{wall:?} {cpu:?}");
    // What has been fitted is taken as it is by runs that are all held out.
    let others: Vec<Measured> = runs.iter().map(|run| Measured { is_held_out: true, ..run.clone() }).collect();
    let again = validate(&validation.costs, &others).expect("deployments");
    assert!(validation.is_fitted() && !again.is_fitted() && validation.costs.are_fitted());
    assert_eq!(again.costs, validation.costs);
    assert_eq!(again.rows[7], validation.rows[7]);
    let table = validation.csv();
    assert_eq!(table.lines().count(), 9);
    assert!(table.lines().nth(7).is_some_and(|line| line.starts_with("2000  3,true,")), "{table}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn more_to_do_never_takes_less(messages in 100..3000u64, len in 1..5u8, noise in 0..60u32, delay in 0.0..0.2f64) {
        let link = Link { delay_s: delay, bits_per_s: 1e8 };
        let less = Deployment { messages, chain_len: len, noise_slots: noise, link, ..network() };
        let costs = costs(1e-5, 1e-4);
        let took = latency(&less, &costs);
        let more = [
            Deployment { messages: messages + 600, ..less.clone() },
            Deployment { chain_len: len + 1, ..less.clone() },
            Deployment { noise_slots: noise + 20, ..less.clone() },
            Deployment { link: Link { delay_s: delay + 0.05, ..link }, ..less.clone() },
        ];
        for more in more {
            prop_assert!(latency(&more, &costs) >= took, "{more:?}");
        }
    }
}
