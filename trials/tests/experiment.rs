//! Cheats as experiments: what the experiment says of a server that cheats, seen from outside.

use std::{ffi::OsStr, fs, path::Path};

use hippodrome_trials::{TrialError, binary::Binary};

/// A small network in which a server cheats.
fn preset(cheat: &str) -> String {
    format!(
        r#"
name = "attack"
title = "An attack"
about = "One server of four cheats."
seed = 5
repeats = 1

[point]
servers = 4
chains = 2
chain_len = 2
layers = 2
noise = 2
period_ms = 1000
clients = 6
pairs = 2
warm_up = 2
rounds = 8
trouble = {{ kind = "cheat", node = "server-2", cheat = "{cheat}" }}
"#
    )
}

/// Runs the experiment of a preset in a directory.
fn run(place: &Path, cheat: &str) -> Result<String, TrialError> {
    let (file, out) = (place.join("attack.toml"), place.join("out"));
    fs::write(&file, preset(cheat)).expect("written");
    let [experiment, run, to, mutant] = ["experiment", "run", "--out", "--mutant"].map(OsStr::new);
    let program = OsStr::new(env!("CARGO_BIN_EXE_mutant"));
    let binary = Binary::locate(None).expect("the binary of this workspace");
    binary.run(&[experiment, run, file.as_os_str(), to, out.as_os_str(), mutant, program])
}

/// The value of a column in the only line of `runs.csv`.
fn of_the_run(place: &Path, name: &str) -> String {
    let table = fs::read_to_string(place.join("out/runs.csv")).expect("a table");
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let (columns, values) = (lines.next().expect("a head"), lines.next().expect("a run"));
    let index = columns.iter().position(|column| *column == name).expect("the column");
    values[index].to_owned()
}

#[test]
fn an_experiment_says_who_cheated_of_what_and_when_there_was_evidence() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let said = run(place.path(), "two-vectors").expect("an experiment");
    assert!(said.contains("server-2"), "{said}");
    let of = |name: &str| of_the_run(place.path(), name);
    assert_eq!(of("valid"), "true");
    assert_eq!(of("named"), "server-2");
    assert_eq!(of("offences"), "it signed two different statements where it may sign only one");
    assert!(of("detection[ms]").parse::<f64>().expect("a time") >= 0.0);
    assert!(of("detection_rounds[rounds]").parse::<f64>().expect("a number") >= 1.0);
    assert!(of("rounds_lost[rounds]").parse::<f64>().expect("a number") >= 1.0);
    assert_eq!(of("texts_lost[texts]"), "0.000000");
    let report = fs::read_to_string(place.path().join("out/report.md")).expect("a report");
    assert!(report.contains("| two-vectors by server-2 |"), "{report}");

    // The evidence is there for everybody to check, and no keys are.
    let run = place.path().join("out/points/000/repeat-0");
    let kept = fs::read_dir(run.join("evidence")).expect("evidence").count();
    assert!(kept >= 1 && run.join("logs/server-2.stand-in.log").is_file() && !run.join("net").exists());
}

#[test]
fn an_unknown_cheat_is_refused_with_a_list_before_anything_is_run() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let said = run(place.path(), "loud-singing").expect_err("no such cheat").to_string();
    for words in ["loud-singing", "two-vectors", "other-noise"] {
        assert!(said.contains(words), "no `{words}` in: {said}");
    }
    assert!(!place.path().join("out/points/000/repeat-0").exists());
}
