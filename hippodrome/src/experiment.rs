//! `experiment`: sweeps of real networks, from a preset to a report.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand};
use hippodrome_experiments::{
    compare::{self, CompareError},
    experiment::{Experiment, ExperimentError},
    live::{
        Programs,
        crowd::{self, Crowd, CrowdError},
        hosts::{Hosts, HostsError, HostsFile},
    },
    model::{Costs, CostsError},
    preset::{BUILT_IN, Label, Numbered, Preset, PresetError},
    suite::Suite,
};

use tokio::task::spawn_blocking;

use crate::{
    node::{end_of_stdin, stop_signal},
    testnet::{self, NoNetwork},
    values,
};

const EXAMPLES: &str = "\
Examples:
  hippodrome experiment list
  hippodrome experiment run quick --dry-run
  hippodrome experiment run quick --out first
  hippodrome experiment run my-sweep.toml --out second
  hippodrome experiment run attacks --out third --mutant target/release/mutant
  hippodrome experiment run quick --out fourth --hosts hosts.toml
  hippodrome experiment compare first second
  hippodrome experiment all --out runs --publish published

`run` goes on where it was left, if it was interrupted. `plot` and `report` make their files again.";

/// Run networks of processes on this machine or on others, and report what they cost
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExperimentArgs {
    #[command(subcommand)]
    command: ExperimentCommand,
}

#[derive(Subcommand, Debug)]
enum ExperimentCommand {
    /// Print the presets that come with the program
    List,
    /// Do all runs of a preset that have not been done, then plot and report
    Run {
        /// A preset's file, or the name of one that `list` prints
        preset: PathBuf,
        /// Where everything goes: a new directory, or that of an earlier run to go on with
        #[arg(long, required_unless_present = "dry_run")]
        out: Option<PathBuf>,
        /// In place of the preset's own
        #[arg(long)]
        seed: Option<u64>,
        /// Costs for the model, as `model costs` prints them, in place of measuring them
        #[arg(long, value_name = "FILE")]
        costs: Option<PathBuf>,
        /// Print the points and how long they take at least, and stop
        #[arg(long)]
        dry_run: bool,
        /// The program of servers that cheat, where a preset has such [default: `mutant` beside this program]
        #[arg(long, value_name = "PATH")]
        mutant: Option<PathBuf>,
        /// A list of hosts that all nodes run on, in place of this machine; with --dry-run also print all command lines
        #[arg(long, value_name = "FILE")]
        hosts: Option<PathBuf>,
    },
    /// Do all experiments that come with the program, one after the other
    All {
        /// Where each gets a directory: a new one, or that of an earlier call to go on with
        #[arg(long)]
        out: PathBuf,
        /// Then copy reports, tables and figures here
        #[arg(long, value_name = "DIR")]
        publish: Option<PathBuf>,
        /// The program of servers that cheat [default: `mutant` beside this program]
        #[arg(long, value_name = "PATH")]
        mutant: Option<PathBuf>,
    },
    /// Copy reports, tables and figures of the experiments of an `all` that have a report
    Publish {
        /// Where `all` was told to put them
        dir: PathBuf,
        /// Where they are to be read
        to: PathBuf,
    },
    /// Make tables and figures of a run directory again
    Plot {
        /// The directory
        dir: PathBuf,
    },
    /// Write the report of a run directory again
    Report {
        /// The directory
        dir: PathBuf,
    },
    /// Print what differs between the results of two run directories
    Compare {
        /// The one
        before: PathBuf,
        /// The other
        after: PathBuf,
    },
    /// Take part with many clients at once
    #[command(hide = true)]
    Crowd(CrowdArgs),
}

#[derive(Args, Debug)]
struct CrowdArgs {
    #[arg(long)]
    network: PathBuf,
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    pairs: usize,
    #[arg(long)]
    warm_up: usize,
    #[arg(long)]
    rounds: usize,
    #[arg(long, value_parser = values::duration)]
    patience: Duration,
    #[arg(long)]
    seed: u64,
}

/// Why an experiment comes to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Preset(#[from] PresetError),
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    #[error("{preset}: point {point} ({label}): {source}")]
    NoNetwork { preset: String, point: usize, label: Label, source: Box<NoNetwork> },
    #[error(transparent)]
    Hosts(#[from] HostsError),
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error(transparent)]
    Crowd(#[from] CrowdError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Costs { path: PathBuf, source: CostsError },
    #[error("cannot tell where this program is: {0}")]
    NoBinary(io::Error),
    #[error("the system gives no threads or signals: {0}")]
    Runtime(io::Error),
    #[error("interrupted: nothing is left running; the same command goes on with the next run")]
    Interrupted,
}

pub(crate) fn run(args: ExperimentArgs) -> Result<(), CommandError> {
    match args.command {
        ExperimentCommand::List => list(),
        ExperimentCommand::Run { preset, out, seed, costs, dry_run, mutant, hosts } => {
            let (preset, programs) = (load(&preset, seed)?, programs(mutant)?);
            check_networks(&preset)?;
            let hosts = hosts.as_deref().map(Hosts::load).transpose()?;
            match out.filter(|_| !dry_run) {
                Some(out) => run_one(&preset, &out, costs.as_deref(), hosts.as_ref(), &programs),
                None => dry_run_of(&preset, hosts.as_ref(), &programs),
            }
        }
        ExperimentCommand::All { out, publish, mutant } => {
            run_suite(&Suite::new(&out), publish.as_deref(), &programs(mutant)?)
        }
        ExperimentCommand::Publish { dir, to } => publish(&Suite::new(&dir), &to),
        ExperimentCommand::Plot { dir } => Ok(Experiment::open(&dir)?.plot()?),
        ExperimentCommand::Report { dir } => report(&Experiment::open(&dir)?),
        ExperimentCommand::Compare { before, after } => {
            print!("{}", compare::text(&before, &after)?);
            Ok(())
        }
        ExperimentCommand::Crowd(args) => crowd(args),
    }
}

fn list() -> Result<(), CommandError> {
    for (name, text) in BUILT_IN {
        let preset = Preset::parse(name, text)?;
        let (points, seconds) = (preset.points()?.len(), least_seconds(&preset)?);
        println!("{name:<24} {points:>3} points, {:>5.0} s   {}", seconds, preset.title);
    }
    Ok(())
}

fn load(path: &Path, seed: Option<u64>) -> Result<Preset, CommandError> {
    let preset = Preset::load(path)?;
    Ok(Preset { seed: seed.unwrap_or(preset.seed), ..preset })
}

/// Whether there are networks for all points: it is better to know before the first run than before the last.
fn check_networks(preset: &Preset) -> Result<(), CommandError> {
    preset.points()?.into_iter().try_for_each(|Numbered { number, label, point }| {
        let refused = |source| CommandError::NoNetwork { preset: preset.name.clone(), point: number, label, source };
        testnet::check(&point.flags(0)).map_err(Box::new).map_err(refused)
    })
}

fn least_seconds(preset: &Preset) -> Result<f64, CommandError> {
    let of_each: f64 = preset.points()?.iter().map(|numbered| numbered.point.least_seconds()).sum();
    Ok(of_each * f64::from(preset.repeats))
}

fn dry_run_of(preset: &Preset, hosts: Option<&HostsFile>, programs: &Programs) -> Result<(), CommandError> {
    for Numbered { number, label, point } in preset.points()? {
        println!("point {number:<4} {:>6.0} s   {label}", point.least_seconds() * f64::from(preset.repeats));
    }
    println!("at least {:.0} s in all, with {} runs of each", least_seconds(preset)?, preset.repeats);
    if let Some(hosts) = hosts {
        print!("{}", Experiment::plan(hosts, preset, programs)?);
    }
    Ok(())
}

fn run_one(
    preset: &Preset,
    out: &Path,
    costs: Option<&Path>,
    hosts: Option<&HostsFile>,
    programs: &Programs,
) -> Result<(), CommandError> {
    let costs = costs.map(read_costs).transpose()?;
    let experiment = match hosts {
        Some(hosts) => Experiment::begin_on(hosts, preset, out)?,
        None => Experiment::begin(preset, out)?,
    };
    costs.map_or(Ok(()), |costs| experiment.take_costs(&costs))?;
    run_to_report(experiment, programs)
}

fn read_costs(path: &Path) -> Result<String, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|source| CommandError::File { path: path.into(), source })?;
    let refused = |source| CommandError::Costs { path: path.into(), source };
    Costs::from_toml(&text).map_err(refused).map(|_| text)
}

fn run_suite(suite: &Suite, to: Option<&Path>, programs: &Programs) -> Result<(), CommandError> {
    let presets = Suite::presets().map_err(ExperimentError::from)?;
    for preset in &presets {
        check_networks(preset)?;
        programs.check(preset.points()?.iter().map(|numbered| &numbered.point)).map_err(ExperimentError::from)?;
    }
    for preset in presets {
        println!("{}: {}", preset.name, preset.title);
        run_to_report(suite.begin(&preset)?, programs)?;
    }
    to.map_or(Ok(()), |to| publish(suite, to))
}

fn publish(suite: &Suite, to: &Path) -> Result<(), CommandError> {
    for name in suite.publish(to).map_err(ExperimentError::from)? {
        println!("{}", to.join(name).display());
    }
    Ok(())
}

/// This program, and the one of servers that cheat.
fn programs(mutant: Option<PathBuf>) -> Result<Programs, CommandError> {
    Ok(Programs::new(std::env::current_exe().map_err(CommandError::NoBinary)?, mutant))
}

fn run_to_report(experiment: Experiment, programs: &Programs) -> Result<(), CommandError> {
    let experiment = Arc::new(experiment);
    let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Runtime)?;
    let result = runtime.block_on(until_stopped(Arc::clone(&experiment), programs.clone()));
    // A run that was stopped is not waited for.
    runtime.shutdown_background();
    result?;
    println!("{}", experiment.conclude()?.display());
    Ok(())
}

/// Makes all runs, or stops the processes of the one under way if somebody wants this to end.
async fn until_stopped(experiment: Arc<Experiment>, programs: Programs) -> Result<(), CommandError> {
    let stopped = stop_signal().map_err(CommandError::Runtime)?;
    let (running, hippodrome) = (Arc::clone(&experiment), programs.hippodrome.clone());
    let runs = spawn_blocking(move || running.run(&programs, |line| println!("{line}")));
    tokio::select! {
        ended = runs => Ok(ended.map_err(|error| CommandError::Runtime(error.into()))??),
        () = stopped => {
            experiment.stop(&hippodrome)?;
            Err(CommandError::Interrupted)
        }
    }
}

fn report(experiment: &Experiment) -> Result<(), CommandError> {
    println!("{}", experiment.report()?.display());
    Ok(())
}

fn crowd(args: CrowdArgs) -> Result<(), CommandError> {
    let CrowdArgs { network, out, pairs, warm_up, rounds, patience, seed } = args;
    let crowd = Crowd { network, out, pairs, warm_up, rounds, patience, seed };
    let tell = |told| match told {
        crowd::Told::Warm => println!("{}", crowd::WARM),
        crowd::Told::Done => println!("{}", crowd::DONE),
    };
    let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Runtime)?;
    runtime.block_on(async {
        tokio::select! {
            ran = crowd.run(tell) => Ok(ran?),
            // Whoever wanted to know is gone.
            _ = end_of_stdin() => Err(CommandError::Interrupted),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_networks_for_all_points_of_the_presets_that_come_with_the_program() {
        for (name, text) in BUILT_IN {
            check_networks(&Preset::parse(name, text).expect("a preset")).expect(name);
        }
    }

    #[test]
    fn a_point_without_a_network_is_named_before_anything_runs() {
        let head = "name = \"t\"\ntitle = \"T\"\nabout = \"a\"\nseed = 1\nrepeats = 1\n";
        let preset = Preset::parse("t", &format!("{head}[point]\nchains = 2\n[sweep.axes]\nlayers = [2, 1]\n"));
        let said = check_networks(&preset.expect("a preset")).expect_err("two chains in one layer").to_string();
        assert!(said.contains("point 1 (layers=1)") && said.contains("`chains`"), "{said}");
    }
}
