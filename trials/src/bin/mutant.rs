//! A mix server that cheats, from the command line.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use hippodrome_mixnode::MixnodeConfig;
use hippodrome_sim::adversary::cheat::Cheat;
use hippodrome_trials::mutant::{self, Told};

const EXAMPLES: &str = "\
Examples:
  mutant --list
  mutant --config server.toml --cheat dropped-record
  mutant --config server.toml --witness";

/// Run a mix server that cheats, to see what the honest ones make of it
#[derive(Parser, Debug)]
#[command(name = "mutant", after_help = EXAMPLES)]
struct Arguments {
    /// Settings as those of `hippodrome mixnode`
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    config: Option<PathBuf>,
    /// What it does whenever it has the turn for it; `--list` shows what there is
    #[arg(long, value_parser = cheat, required_unless_present_any = ["list", "witness"])]
    cheat: Option<&'static Cheat>,
    /// It does nothing wrong, and prints what it sees of mailboxes as the last server of a chain: round, chain, how many were
    /// accessed once, twice, more often
    #[arg(long, conflicts_with = "cheat")]
    witness: bool,
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
    let config = arguments.config.expect("it is required without --list");
    match run(&config, arguments.cheat) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mutant: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Path, cheat: Option<&'static Cheat>) -> Result<(), Box<dyn std::error::Error>> {
    let config = MixnodeConfig::load(config)?;
    let is_witness = cheat.is_none();
    let tell = |told| match told {
        Told::Mounted(cheat, round) => println!("{cheat} in {round}"),
        Told::Saw(seen) if is_witness => {
            println!("{} {} {} {} {}", seen.round.0, seen.chain.0, seen.once, seen.twice, seen.more);
        }
        Told::Saw(_) => {}
    };
    Ok(tokio::runtime::Runtime::new()?.block_on(mutant::run(&config, cheat, tell))?)
}
