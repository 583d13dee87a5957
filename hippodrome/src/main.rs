//! Hippodrome: the one binary. It parses the command line and calls the crates.

mod account;
mod audit;
mod budget;
mod chat;
mod demo;
mod evidence;
mod experiment;
mod founding;
mod keys;
mod local_network;
mod logs;
mod membership;
mod model;
mod network_dir;
mod node;
mod plan;
mod processes;
mod status;
mod testnet;
mod values;

use std::{error::Error, fmt::Display, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use hippodrome_bench::{
    hop::{BenchError, HopArgs},
    round::{RoundArgs, RoundError},
    trace::TraceArgs,
};
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  hippodrome demo                            a network, two people, one conversation
  hippodrome testnet up --dir net            a network that keeps running
  hippodrome chat --network net --as alice   talk through it
  hippodrome status --network net            how it is doing
  hippodrome help keys                       how to found a network on several machines";

/// A messenger that hides who talks to whom: onions through mix servers that prove their shuffles
#[derive(Parser, Debug)]
#[command(name = "hippodrome", version, after_help = EXAMPLES, args_override_self = true)]
struct Cli {
    #[command(flatten)]
    logs: logs::LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(demo::DemoArgs),
    Testnet(testnet::TestnetArgs),
    Chat(chat::ChatArgs),
    Budget(budget::BudgetArgs),
    Status(status::StatusArgs),
    Evidence(evidence::EvidenceArgs),
    Coordinator(node::CoordinatorArgs),
    Mixnode(node::MixnodeArgs),
    Keys(keys::KeysArgs),
    Account(account::AccountArgs),
    Plan(plan::PlanArgs),
    Experiment(experiment::ExperimentArgs),
    Audit(audit::AuditArgs),
    Model(model::ModelArgs),
    /// Measure what mixing costs
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[derive(Subcommand, Debug)]
enum BenchCommand {
    /// One hop, stage by stage, in microseconds per message
    Hop(HopBenchArgs),
    /// A whole round of a network, in milliseconds of CPU time per message
    Round(RoundBenchArgs),
    /// Tracing malformed onions, against the hops of a round
    Trace(TraceBenchArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  hippodrome bench hop --messages 16384 --threads 1 --json")]
struct HopBenchArgs {
    #[command(flatten)]
    hop: HopArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  hippodrome bench round --messages 20000 --layers 2 --chains 3 --chain-len 3 --servers 6 --json"
)]
struct RoundBenchArgs {
    #[command(flatten)]
    round: RoundArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  hippodrome bench trace --messages 20000 --malformed 1000 --json")]
struct TraceBenchArgs {
    #[command(flatten)]
    trace: TraceArgs,
}

impl Command {
    /// What is logged if nobody says: nodes tell what they do, other commands only what goes wrong.
    fn log_level(&self) -> &'static str {
        match self {
            Self::Coordinator(_) | Self::Mixnode(_) => "info",
            _ => "error",
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hippodrome: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { logs, command }: Cli) -> Result<(), Box<dyn Error>> {
    logs::install(&logs, command.log_level())?;
    // What computes for long needs no runtime.
    let command = match command {
        Command::Keys(args) => return Ok(keys::run(args)?),
        Command::Evidence(args) => return Ok(evidence::run(args)?),
        Command::Budget(args) => return Ok(budget::run(args)?),
        Command::Account(args) => return Ok(account::run(&args)?),
        Command::Plan(args) => return Ok(plan::run(&args)?),
        Command::Experiment(args) => return Ok(experiment::run(args)?),
        Command::Audit(args) => return Ok(audit::run(&args)?),
        Command::Model(args) => return Ok(model::run(args)?),
        Command::Bench(BenchCommand::Hop(args)) => return Ok(bench_hop(&args.hop)?),
        Command::Bench(BenchCommand::Round(args)) => return Ok(bench_round(&args.round)?),
        Command::Bench(BenchCommand::Trace(args)) => return Ok(bench_trace(&args.trace)?),
        command => command,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args).await?,
            Command::Chat(args) => chat::run(args).await?,
            Command::Status(args) => status::run(args).await?,
            Command::Testnet(args) => testnet::run(args).await?,
            Command::Coordinator(args) => node::run_coordinator(args).await?,
            Command::Mixnode(args) => node::run_mixnode(args).await?,
            Command::Keys(_)
            | Command::Evidence(_)
            | Command::Budget(_)
            | Command::Account(_)
            | Command::Plan(_)
            | Command::Experiment(_)
            | Command::Audit(_)
            | Command::Model(_)
            | Command::Bench(_) => {}
        }
        Ok(())
    })
}

fn bench_hop(args: &HopArgs) -> Result<(), BenchError> {
    let report = hippodrome_bench::hop::run_hop(args)?;
    print_report(&report, args.json);
    Ok(())
}

fn bench_round(args: &RoundArgs) -> Result<(), RoundError> {
    let report = hippodrome_bench::round::run_round(args)?;
    print_report(&report, args.json);
    Ok(())
}

fn bench_trace(args: &TraceArgs) -> Result<(), BenchError> {
    let report = hippodrome_bench::trace::run_trace(args)?;
    print_report(&report, args.json);
    Ok(())
}

fn print_report<R: Serialize + Display>(report: &R, as_json: bool) {
    if as_json {
        println!("{}", serde_json::to_string(report).expect("a report has text keys and plain values"));
    } else {
        println!("{report}");
    }
}
