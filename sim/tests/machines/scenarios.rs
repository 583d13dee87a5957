//! Every scenario once, with its invariants; and that a seed says everything about a run.

use std::{collections::BTreeSet, fs, path::Path};

use hippodrome_sim::{
    adversary::{
        cheat::{By, CHEATS},
        review::FINDINGS,
    },
    scenario::{Kind, Outcome, Scenario, all, named, run},
};

/// Seeds of the runs of tests.
const SEED: u64 = 20;

fn assert_holds(scenario: &Scenario, outcome: &Outcome) {
    assert_eq!(outcome.violations, [""; 0], "again with: --scenario {} --seed {SEED}", scenario.name);
    assert!(outcome.failed <= outcome.rounds, "{}", scenario.name);
    assert!(outcome.named == 0 || outcome.naming_ms.is_some(), "{} is named at no time", scenario.name);
}

fn run_those(is_it: impl Fn(&Kind) -> bool) {
    let chosen: Vec<_> = all().into_iter().filter(|scenario| is_it(&scenario.kind)).collect();
    assert!(!chosen.is_empty());
    for scenario in chosen {
        let outcome = run(&scenario, SEED, false);
        assert!(outcome.rounds > 0, "{}", scenario.name);
        assert_holds(&scenario, &outcome);
    }
}

#[test]
fn a_seed_gives_the_same_run_down_to_the_last_byte() {
    for name in ["calm", "loss", "client-crash", "mixed"] {
        let scenario = named(name).expect("a scenario");
        let [first, second] = [(); 2].map(|()| run(&scenario, SEED, true).digest.expect("one was asked for"));
        assert_eq!(first, second, "{name}");
        let other = run(&scenario, SEED + 1, true).digest.expect("one was asked for");
        assert_ne!(first, other, "{name}");
    }
}

#[test]
fn texts_arrive_whole_once_and_in_order_through_every_fault() {
    run_those(|kind| matches!(kind, Kind::Calm | Kind::Faults(_)));
}

#[test]
fn whoever_ails_is_struck_and_rounds_go_on_without_it_until_it_is_back() {
    run_those(|kind| matches!(kind, Kind::Lasting(_)));
}

#[test]
fn every_cheat_of_a_server_is_detected_and_named_as_its_table_says() {
    run_those(|kind| matches!(kind, Kind::Cheat(cheat) if matches!(cheat.by, By::Server(_))));
}

#[test]
fn cheats_of_coordinator_and_clients_do_what_their_table_says_and_no_more() {
    run_those(|kind| matches!(kind, Kind::Cheat(cheat) if !matches!(cheat.by, By::Server(_))));
}

#[test]
fn mixtures_of_faults_and_cheats_lose_no_text_and_frame_nobody() {
    run_those(|kind| matches!(kind, Kind::MixedFaults | Kind::MixedCheats | Kind::Mixed));
}

#[test]
fn nobody_sees_on_a_clients_line_whether_it_talks() {
    run_those(|kind| matches!(kind, Kind::Observed(_)));
}

#[test]
fn names_of_scenarios_differ() {
    let names: BTreeSet<_> = all().into_iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), all().len());
    assert!(CHEATS.iter().all(|cheat| names.contains(cheat.name)));
}

#[test]
fn the_page_about_the_simulator_has_every_cheat_and_finding_as_the_code_has_them() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../paper-notes/src/simulator.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    for row in CHEATS.iter().map(|cheat| cheat.row()).chain(FINDINGS.iter().map(|finding| finding.row())) {
        assert!(page.contains(&row), "the page lacks this row:\n{row}");
    }
}

#[test]
fn every_finding_of_the_review_is_mounted_or_says_why_it_cannot_be() {
    let names: Vec<_> = FINDINGS.iter().map(|finding| finding.name.to_owned()).collect();
    let expected: Vec<_> = (1..=21).map(|number| format!("F{number}")).collect();
    assert_eq!(names, expected);
    for finding in FINDINGS {
        assert!(finding.cheats().next().is_some() || !finding.elsewhere.is_empty(), "{}", finding.name);
    }
    assert!(CHEATS.iter().all(|cheat| names.iter().any(|name| name == cheat.attack)));
}

#[test]
fn the_tests_that_findings_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    for folder in ["core/src", "crypto/src", "crypto/tests", "sim/tests"] {
        collect_sources(&root.join(folder), &mut sources);
    }
    for test in FINDINGS.iter().flat_map(|finding| finding.tests) {
        assert!(sources.contains(&format!("fn {test}(")), "there is no test `{test}`");
    }
}

fn collect_sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            collect_sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).expect("it can be read"));
        }
    }
}
