//! What trouble has cost, as a table.

use std::{collections::BTreeSet, fmt::Arguments};

use super::figure;
use crate::{
    live::Toll,
    results::{OfPoint, Results},
    text::put,
};

/// Metrics of trouble, with the heads of their columns.
const COLUMNS: &[(&str, &str)] = &[
    ("rounds_lost", "rounds lost"),
    ("recovery", "whole rounds again after (ms)"),
    ("texts_lost", "texts lost"),
    ("texts_late", "texts late"),
    ("out", "left out after (ms)"),
    ("detection", "evidence after (ms)"),
    ("detection_rounds", "rounds with cheating until then"),
];

/// One row a point with trouble: medians over its runs, and who was named for what in any of them.
pub(super) fn table(text: &mut String, results: &Results) {
    let troubled: Vec<_> = results.points.iter().filter(|of| of.numbered.point.trouble.is_some()).collect();
    if troubled.is_empty() {
        return;
    }
    text.push_str("What went wrong, and what it cost (medians of all runs in which it happened):\n\n| trouble |");
    COLUMNS.iter().for_each(|(_, head)| put(text, format_args!(" {head} |")));
    put(text, format_args!(" named | for |\n|---|{}---|---|\n", "---|".repeat(COLUMNS.len())));
    troubled.into_iter().for_each(|of| row(text, of));
    text.push('\n');
}

fn row(text: &mut String, of: &OfPoint) {
    let mut cell = |what: Arguments<'_>| put(text, format_args!("| {what} "));
    of.numbered.point.trouble.iter().for_each(|trouble| cell(format_args!("{trouble}")));
    for (name, _) in COLUMNS {
        cell(format_args!("{}", of.estimate(name).map_or("–".into(), |estimate| figure(estimate.value))));
    }
    cell(format_args!("{}", named(of)));
    cell(format_args!("{}", words(of, |toll| toll.offences.iter().cloned().collect())));
    text.push_str("|\n");
}

/// Who was named, and in how many runs if not in all.
fn named(of: &OfPoint) -> String {
    let tolls = || of.runs.iter().filter_map(|(_, measured)| measured.toll.as_ref());
    let names = words(of, |toll| toll.named.iter().cloned().collect());
    let (with_name, all) = (tolls().filter(|toll| !toll.named.is_empty()).count(), tolls().count());
    let in_some =
        if with_name == all || with_name == 0 { String::new() } else { format!(" in {with_name} of {all} runs") };
    match tolls().any(Toll::names_wrongly) {
        true => format!("**wrong name**: {names}{in_some}"),
        false => format!("{names}{in_some}"),
    }
}

/// All words of all runs, each once.
fn words(of: &OfPoint, of_toll: impl Fn(&Toll) -> Vec<String>) -> String {
    let tolls = of.runs.iter().filter_map(|(_, measured)| measured.toll.as_ref());
    let all: BTreeSet<String> = tolls.flat_map(of_toll).collect();
    if all.is_empty() { "–".into() } else { all.into_iter().collect::<Vec<_>>().join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        live::{Measured, OfRound, ledgers::Ledgers},
        preset::Preset,
    };

    /// Results of two runs of one point, in which these were named.
    fn results(named: [&[&str]; 2]) -> Results {
        let head = "name = \"t\"\ntitle = \"T\"\nabout = \"a\"\nseed = 1\nrepeats = 2\n[point]\n";
        let trouble = "trouble = { kind = \"cheat\", node = \"server-2\", cheat = \"two-vectors\" }";
        let preset = Preset::parse("t", &format!("{head}{trouble}\n")).expect("a preset");
        let run = |names: &[&str]| {
            let toll = Toll {
                happened: true,
                culprit: Some("server-2".into()),
                named: names.iter().map(|name| (*name).to_owned()).collect(),
                ..Toll::default()
            };
            let rounds = Vec::<OfRound>::new();
            let (servers_cpu_s, coordinator_cpu_s, crowd_cpu_s, server_peak_bytes) = (0.0, 0.0, 0.0, 0);
            let (ledgers, toll) = (Ledgers::default(), Some(toll));
            Measured { rounds, servers_cpu_s, coordinator_cpu_s, crowd_cpu_s, server_peak_bytes, ledgers, toll }
        };
        let numbered = preset.points().expect("points").remove(0);
        let runs = (0..).zip(named.map(run)).collect();
        Results { preset, points: vec![OfPoint { numbered, runs, estimates: Vec::new(), anonymity: None }] }
    }

    fn table_of(named: [&[&str]; 2]) -> String {
        let mut text = String::new();
        table(&mut text, &results(named));
        text
    }

    #[test]
    fn whoever_is_named_wrongly_stands_out() {
        assert!(table_of([&["server-2"], &["server-2"]]).contains("| server-2 | –"));
        assert!(table_of([&["server-2"], &[]]).contains("| server-2 in 1 of 2 runs |"));
        assert!(table_of([&[], &[]]).contains("two-vectors by server-2"));
        assert!(table_of([&["server-2"], &["server-1"]]).contains("**wrong name**: server-1; server-2"));
    }

    #[test]
    fn every_row_has_as_many_cells_as_the_head() {
        let text = table_of([&["server-2"], &[]]);
        let cells: Vec<usize> =
            text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
        assert_eq!(cells, [cells[0]; 3]);
    }
}
