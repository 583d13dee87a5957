//! A mix server that cheats, from the command line.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use hippodrome_mixnode::MixnodeConfig;
use hippodrome_sim::adversary::cheat::Cheat;
use hippodrome_trials::mutant;

const EXAMPLES: &str = "\
Examples:
  mutant --list
  mutant --config server.toml --cheat dropped-record";

/// Run a mix server that cheats, to see what the honest ones make of it
#[derive(Parser, Debug)]
#[command(name = "mutant", after_help = EXAMPLES)]
struct Arguments {
    /// Settings as those of `hippodrome mixnode`
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    config: Option<PathBuf>,
    /// What it does whenever it has the turn for it; `--list` shows what there is
    #[arg(long, value_parser = cheat, required_unless_present = "list")]
    cheat: Option<&'static Cheat>,
    /// Print the names of all cheats, and stop
    #[arg(long)]
    list: bool,
}

fn cheat(name: &str) -> Result<&'static Cheat, String> {
    mutant::cheats().find(|cheat| cheat.name == name).ok_or_else(|| "expected a name that `--list` shows".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        mutant::cheats().for_each(|cheat| println!("{}", cheat.name));
        return ExitCode::SUCCESS;
    }
    let (config, cheat) = arguments.config.zip(arguments.cheat).expect("both are required without --list");
    match run(&config, cheat) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mutant: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Path, cheat: &'static Cheat) -> Result<(), Box<dyn std::error::Error>> {
    let config = MixnodeConfig::load(config)?;
    let tell = |cheat, round| println!("{cheat} in {round}");
    Ok(tokio::runtime::Runtime::new()?.block_on(mutant::run(&config, cheat, tell))?)
}
