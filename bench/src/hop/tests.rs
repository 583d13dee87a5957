use clap::Parser;

use super::*;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    hop: HopArgs,
}

fn args(flags: &str) -> Result<HopArgs, clap::Error> {
    CommandLine::try_parse_from(["bench"].into_iter().chain(flags.split_whitespace())).map(|line| line.hop)
}

fn run(flags: &str) -> Result<HopReport, BenchError> {
    run_hop(&args(flags).expect("flags parse"))
}

fn json(report: &HopReport) -> serde_json::Value {
    serde_json::to_value(report).expect("a report is plain data")
}

#[test]
fn a_proved_hop_reports_every_stage() {
    let report = run("--messages 130 --threads 2 --repeats 3 --json").expect("a hop");
    let object = json(&report);
    let stages = object["us_per_message"].as_object().expect("an object");
    let names =
        ["decode", "derive", "blind", "open", "permute", "encode", "digest", "prove_offline", "prove_online", "verify"];
    assert_eq!(stages.len(), names.len());
    assert!(names.iter().all(|&name| stages[name].as_f64().is_some_and(|micros| micros > 0.0)), "{stages:?}");
    assert_eq!((object["messages"].as_u64(), object["threads"].as_u64()), (Some(130), Some(2)));
    assert_eq!((object["verification"].as_str(), object["repeats"].as_u64()), (Some("full"), Some(3)));
    let whole = |name: &str| object[name].as_f64().expect("a number");
    // Which of the two is longer is a matter of the machine's mood at this size; that both are there is not.
    assert!(whole("hop_verified") > 0.0 && whole("hop_unverified") > 0.0);
    let proof_bytes = hippodrome_crypto::shuffle::ShuffleProof::encoded_len(130).expect("a count");
    assert_eq!(whole("proof_bytes_per_message"), proof_bytes as f64 / 130.0);
    assert!(object["backend"].as_str().is_some_and(|backend| backend.contains("built")));
    assert_eq!(object["peak_bytes_per_message"].is_u64(), cfg!(target_os = "linux"));
    let table = report.to_string();
    assert!(names.iter().all(|name| table.contains(name)), "{table}");
}

#[test]
fn stages_of_one_run_add_up_to_the_whole() {
    let report = run("--messages 70 --repeats 1").expect("a hop");
    let sum: f64 = report.us_per_message.stages().iter().filter_map(|(_, micros)| *micros).sum();
    let whole = report.hop_verified.expect("verified");
    // One reading of the clock ends a stage and begins the next, so only rounding can lie between the two.
    assert!((whole - sum).abs() <= 1e-9 * whole, "{whole} is not {sum}");
}

#[test]
fn weaker_modes_report_no_stage_that_they_do_not_have() {
    let aggregate = json(&run("--messages 5 --verification aggregate --repeats 1").expect("a hop"));
    assert!(aggregate["us_per_message"]["prove_offline"].is_null());
    assert!(aggregate["us_per_message"]["verify"].is_f64() && aggregate["hop_verified"].is_f64());
    let none = json(&run("--messages 5 --verification none --repeats 1").expect("a hop"));
    assert!(["prove_offline", "prove_online", "verify"].iter().all(|&stage| none["us_per_message"][stage].is_null()));
    assert!(none["hop_verified"].is_null() && none["hop_unverified"].is_f64());
    assert_eq!(none["proof_bytes_per_message"].as_f64(), Some(0.0));
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    assert!(matches!(run("--messages 0"), Err(BenchError::Messages(0))));
    assert!(matches!(run("--messages 16777217"), Err(BenchError::Messages(16_777_217))));
    assert!(matches!(run("--threads 0"), Err(BenchError::Threads(0))));
    assert!(matches!(run("--threads 1025"), Err(BenchError::Threads(1025))));
    assert!(matches!(run("--repeats 0"), Err(BenchError::Repeats)));
    let refusal = args("--verification most").expect_err("no such mode").to_string();
    assert!(refusal.contains("full, aggregate or none"), "{refusal}");
    assert!(args("--messages many").is_err());
}

#[test]
fn a_hop_that_does_something_else_is_not_measured() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut batch = Batch::wrap(5, &mut rng).expect("a batch");
    // One payload differs from what the clients wrapped.
    batch.expected.record_mut(3)[100] ^= 1;
    let outgoing = mix(&batch, Verification::Full, &mut rng).expect("mixing does not know");
    assert!(matches!(verify(&batch, outgoing, &mut rng), Err(BenchError::Wrong(_))));
    batch.expected.record_mut(3)[100] ^= 1;
    // A layer does not open.
    batch.records.record_mut(2)[40] ^= 1;
    assert!(matches!(mix(&batch, Verification::Full, &mut rng), Err(BenchError::Wrong(_))));
    batch.records.record_mut(2)[40] ^= 1;
    // The proof is about another key than the published one.
    batch.public.blinding = batch.public.key;
    for verification in [Verification::Full, Verification::Aggregate] {
        let outgoing = mix(&batch, verification, &mut rng).expect("mixing does not know");
        assert!(matches!(verify(&batch, outgoing, &mut rng), Err(BenchError::Proof(_))));
    }
}
