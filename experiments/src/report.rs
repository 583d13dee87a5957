//! What an experiment came to, for people.

mod trouble;

use crate::{
    anonymity,
    figures::Claim,
    modelled::Answers,
    prediction,
    results::{OfPoint, Results},
    rundir::Manifest,
    stats::Estimate,
    text::put,
};

/// Metrics that every report has in its first table.
const MAIN: &[(&str, &str)] = &[
    ("latency_last", "all replies are back (ms)"),
    ("servers_cpu", "CPU of all servers (s/round)"),
    ("servers_cpu_per_record", "CPU per record (ms)"),
    ("servers_sent", "sent by servers (MB/round)"),
    ("server_peak_memory", "peak memory of a server (MB)"),
];

/// The report, as Markdown.
pub fn text(results: &Results, answers: Option<&Answers>, manifest: &Manifest) -> String {
    let mut text = format!("# {}\n\n{}\n\n", results.preset.title, results.preset.about.trim());
    machine(&mut text, manifest);
    if results.preset.repeats > 0 {
        runs(&mut text, results);
    }
    text.push_str(&anonymity::report(results));
    figures(&mut text, results);
    answers.into_iter().for_each(|answers| model(&mut text, answers));
    text.push_str(
        "\n`results.csv` has every metric with its interval, `runs.csv` every run, `points/` everything else.\n",
    );
    text
}

/// What was measured.
fn runs(text: &mut String, results: &Results) {
    validity(text, results);
    trouble::table(text, results);
    main_table(text, results);
    let jobs = "Seconds that jobs of all servers took a round, by what they are for (by the clock: on a busy machine they \
                wait, too)";
    parts_table(text, results, "part_", jobs);
    parts_table(text, results, "sent_", "Megabytes a round that servers sent, by kind of message");
}

/// What was modelled.
fn model(text: &mut String, answers: &Answers) {
    if let Some(validation) = &answers.validation {
        text.push_str("\n## The model against the runs\n\n");
        text.push_str(&prediction::table(validation));
        text.push_str("\n![Predicted against measured](figures/predicted-measured.svg)\n");
    }
    if !answers.claims.is_empty() {
        claims(text, answers);
    }
    for figure in &answers.figures {
        put(text, format_args!("\n![{}](figures/{}.svg)\n\n{}\n", figure.title, figure.name, figure.note));
    }
}

/// Numbers of papers, each with ours in the same line.
fn claims(text: &mut String, Answers { source, claims, .. }: &Answers) {
    put(
        text,
        format_args!(
            "\n## Numbers of papers, and ours\n\nOurs are modelled: 36 cores a server, 100 ms there and back, lines of 10 \
             Gbit/s, two layers, costs measured on {} by `{}`. Core time is of all servers, for each message; of others it is \
             latency times all their cores.\n\n",
            source.cpu, source.command
        ),
    );
    text.push_str(
        "| theirs | millions | s | core ms | ours | s | core ms | theirs / ours, s |\n|---|--:|--:|--:|---|--:|--:|--:|\n",
    );
    for Claim { of, millions, published, ours, beside } in claims {
        let ratio = published.latency_s / ours.latency_s;
        let cells = [published.latency_s, published.core_ms, ours.latency_s, ours.core_ms, ratio].map(figure);
        let [theirs_s, theirs_ms, ours_s, ours_ms, ratio] = cells;
        put(
            text,
            format_args!(
                "| {of} | {millions} | {theirs_s} | {theirs_ms} | {beside} | {ours_s} | {ours_ms} | {ratio} |\n"
            ),
        );
    }
}

fn machine(text: &mut String, manifest: &Manifest) {
    let Manifest { version, optimised, processor, cores, memory_bytes, .. } = manifest;
    let memory = *memory_bytes as f64 / f64::from(1 << 30);
    put(text, format_args!("Measured with version {version} on {processor}, {cores} cores, {memory:.0} GiB.\n"));
    if !manifest.hosts.is_empty() {
        put(text, format_args!("That is where the crowd was; nodes were on hosts: {}.\n", manifest.hosts.join(", ")));
    }
    if !optimised {
        text.push_str("**Built without optimisation: these figures say nothing about speed.**\n");
    }
    text.push('\n');
}

fn validity(text: &mut String, results: &Results) {
    let runs: usize = results.points.iter().map(|of| of.runs.len()).sum();
    let wanted = results.points.len() * results.preset.repeats as usize;
    let valid: usize = results.points.iter().map(OfPoint::valid).sum();
    put(text, format_args!("{runs} of {wanted} runs were made; {valid} count.\n"));
    for of in &results.points {
        for (repeat, measured) in of.runs.iter().filter(|(_, measured)| !measured.is_valid()) {
            let (label, flaw) = (&of.numbered.label, measured.flaw().unwrap_or_default());
            put(text, format_args!("* {label}, repeat {repeat}: {flaw}; it does not count.\n"));
        }
    }
    text.push('\n');
}

fn main_table(text: &mut String, results: &Results) {
    text.push_str("Medians, with the interval in which they are with 95 % confidence:\n\n| point |");
    MAIN.iter().for_each(|(_, title)| put(text, format_args!(" {title} |")));
    put(text, format_args!("\n|---|{}\n", "---|".repeat(MAIN.len())));
    for of in &results.points {
        put(text, format_args!("| {} |", of.numbered.label));
        for (name, _) in MAIN {
            put(text, format_args!(" {} |", of.estimate(name).map_or("–".into(), |estimate| with_interval(&estimate))));
        }
        text.push('\n');
    }
}

fn with_interval(Estimate { value, interval }: &Estimate) -> String {
    format!("{} ({} to {})", figure(*value), figure(interval.low), figure(interval.high))
}

/// Three digits that matter.
fn figure(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { (2 - value.abs().log10().floor() as i32).max(0) as usize };
    format!("{value:.digits$}")
}

/// Metrics whose names begin alike, points side by side.
fn parts_table(text: &mut String, results: &Results, prefix: &str, title: &str) {
    let mut names: Vec<&str> = results
        .points
        .iter()
        .flat_map(|of| of.estimates.iter().filter_map(|(metric, _)| metric.name.strip_prefix(prefix)))
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return;
    }
    put(text, format_args!("\n{title}:\n\n| |"));
    results.points.iter().for_each(|of| put(text, format_args!(" {} |", of.numbered.label)));
    put(text, format_args!("\n|---|{}\n", "---|".repeat(results.points.len())));
    for name in names {
        put(text, format_args!("| {name} |"));
        for of in &results.points {
            let estimate = of.estimate(&format!("{prefix}{name}"));
            put(text, format_args!(" {} |", estimate.map_or("–".into(), |estimate| figure(estimate.value))));
        }
        text.push('\n');
    }
}

fn figures(text: &mut String, results: &Results) {
    for figure in &results.preset.figures {
        put(text, format_args!("\n![{}](figures/{}.svg)\n", figure.title, figure.name));
    }
}
