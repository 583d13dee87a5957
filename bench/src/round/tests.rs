use clap::Parser;

use super::*;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    round: RoundArgs,
}

fn run(flags: &str) -> Result<RoundReport, RoundError> {
    let line = CommandLine::try_parse_from(["bench"].into_iter().chain(flags.split_whitespace()));
    run_round(&line.expect("flags parse").round)
}

#[test]
fn a_round_delivers_everything_and_reports_every_part_of_the_work() {
    let report = run("--messages 40 --repeats 1 --servers 4 --chains 2 --chain-len 2 --noise 2").expect("a round");
    let cost = |name: &str| report.stages.iter().find(|stage| stage.stage == name).expect("a stage").cpu_ms_per_message;
    let idle: Vec<_> = report.stages.iter().filter(|stage| stage.cpu_ms_per_message == 0.0).collect();
    assert_eq!(
        idle.iter().map(|stage| stage.stage).collect::<Vec<_>>(),
        ["audit", "blame"],
        "nobody is audited or cheats, all else is work"
    );
    let sum: f64 = report.stages.iter().map(|stage| stage.cpu_ms_per_message).sum();
    assert!((sum - report.cpu_ms_per_message).abs() <= 1e-9 * sum, "of one round the parts are the whole");
    assert!(cost("mix") > 0.0 && report.client_ms_per_message > 0.0 && report.wall_s > 0.0);
    assert_eq!(report.peak_bytes_per_message.is_some(), cfg!(target_os = "linux"));
    assert!(
        report.bytes_on_wire_per_message > report.client_bytes_per_message,
        "each hop sends what a client sends once"
    );
    let object = serde_json::to_value(&report).expect("plain data");
    assert!(object["cpu_ms_per_message"].as_f64().is_some_and(|millis| millis > 0.0));
    assert!(report.stages.iter().all(|stage| report.to_string().contains(stage.stage)), "{report}");
}

#[test]
fn all_modes_and_layers_deliver() {
    for flags in ["--layers 1 --chains 1", "--layers 3", "--verification aggregate", "--verification none", "--noise 0"]
    {
        let small = format!("--messages 8 --repeats 1 --servers 4 --chain-len 2 --threads 2 {flags}");
        let small = if flags.contains("chains") { small } else { small + " --chains 2" };
        run(&small).unwrap_or_else(|why| panic!("{small}: {why}"));
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let refused = |flags: &str| run(flags).expect_err("refused").to_string();
    assert!(refused("--messages 7").contains("an even number"));
    assert!(refused("--messages 0").contains("an even number"));
    assert!(refused("--threads 0").contains("between 1 and"));
    assert!(refused("--repeats 0").contains("at least one round"));
    assert!(refused("--chain-len 9 --servers 6").contains("chain_len"));
    assert!(refused("--layers 4").contains("layers"));
}
