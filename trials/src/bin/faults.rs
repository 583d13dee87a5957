//! The trial of faults, from the command line.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use hippodrome_trials::{
    TrialError,
    binary::Binary,
    faults::{self, FaultReport, Options, Report, Schedule},
    testnet,
};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p hippodrome-trials --bin faults
  cargo run --release -p hippodrome-trials --bin faults -- --short --json
  cargo run --release -p hippodrome-trials --bin faults -- --dir trial --period 2s --seed 7";

/// Kill and freeze every node of a network while two people talk: no text may be lost, doubled or out of order
#[derive(Parser, Debug)]
#[command(name = "faults", after_help = EXAMPLES)]
struct Arguments {
    /// The network's directory, new or empty; it stays. Without it, one that stays only if something is wrong
    #[arg(long)]
    dir: Option<PathBuf>,
    /// From one round to the next, in milliseconds or as in `1s`
    #[arg(long, default_value = "1s", value_parser = duration)]
    period: Duration,
    /// Chooses instants and texts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One fault of each kind
    #[arg(long)]
    short: bool,
    /// How long rounds may take to go on after a fault
    #[arg(long, default_value = "60s", value_parser = duration)]
    patience: Duration,
    /// How long a server that was struck may take to take part again
    #[arg(long, default_value = "300s", value_parser = duration)]
    return_patience: Duration,
    /// The `hippodrome` binary [default: the one beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Make the last line one JSON object
    #[arg(long)]
    json: bool,
    /// Flags of `testnet up` that give the network its shape: little noise, so that all of it fits on two cores
    #[arg(last = true, default_values = ["--noise", "8"])]
    shape: Vec<String>,
}

/// Reads `1s`, `1.5s` or `250ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and a unit, as in `1s`, `1.5s` or `250ms`".to_owned();
    let (number, unit_s) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').ok_or_else(expected)?, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(number * unit_s).map_err(|_| expected())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            println!("\n{report}");
            if arguments.json {
                println!("{}", serde_json::to_string(&report).expect("a report has text keys and plain values"));
            }
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("faults: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The nodes live on their own: whoever interrupts the trial wants them gone, too.
fn stop_when_interrupted(binary: Binary, dir: PathBuf) {
    let interrupted = async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::io::Result::Ok(())
    };
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_io().build();
        // Without signals the trial goes on, and ends when it is killed.
        if runtime.and_then(|runtime| runtime.block_on(interrupted)).is_ok() {
            testnet::down(&binary, &dir);
            std::process::exit(130);
        }
    });
}

fn run(arguments: &Arguments) -> Result<Report, TrialError> {
    let binary = Binary::locate(arguments.binary.clone())?;
    let refused = |source| TrialError::File { path: std::env::temp_dir(), source };
    let place = tempfile::Builder::new().prefix("hippodrome-faults-").tempdir().map_err(refused)?;
    let options = Options {
        dir: arguments.dir.clone().unwrap_or_else(|| place.path().join("net")),
        period: arguments.period,
        seed: arguments.seed,
        schedule: if arguments.short { Schedule::SHORT } else { Schedule::FULL },
        patience: arguments.patience,
        return_patience: arguments.return_patience,
        shape: arguments.shape.clone(),
    };
    stop_when_interrupted(binary.clone(), options.dir.clone());
    println!("{}", FaultReport::HEAD);
    let report = faults::run(&binary, &options, |fault| println!("{fault}"));
    if arguments.dir.is_none() && !report.as_ref().is_ok_and(Report::is_good) {
        eprintln!("faults: the network's files and logs stay in {}", place.keep().display());
    }
    report
}
