//! A mix server that cheats, from the command line.

use std::{
    future::pending,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use hippodrome_mixnode::MixnodeConfig;
use hippodrome_sim::adversary::cheat::Cheat;
use hippodrome_trials::mutant::{self, Told};
use tokio::sync::oneshot::{self, Receiver};

const EXAMPLES: &str = "\
Examples:
  mutant --list
  mutant --config server.toml --cheat dropped-record
  mutant --config server.toml --cheat other-noise --when-told
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
    /// It is honest until a line comes on its standard input, and ends when that ends
    #[arg(long, requires = "cheat")]
    when_told: bool,
    /// Print the names of all cheats, and stop
    #[arg(long)]
    list: bool,
}

fn cheat(name: &str) -> Result<&'static Cheat, String> {
    let known = || mutant::cheats().map(|cheat| cheat.name).collect::<Vec<_>>().join(", ");
    mutant::cheats().find(|cheat| cheat.name == name).ok_or_else(|| format!("expected one of: {}", known()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        mutant::cheats().for_each(|cheat| println!("{}", cheat.name));
        return ExitCode::SUCCESS;
    }
    let config = arguments.config.expect("it is required without --list");
    match run(&config, arguments.cheat, arguments.when_told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mutant: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Path, cheat: Option<&'static Cheat>, when_told: bool) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(cheat) = cheat.filter(|cheat| when_told && !mutant::can_wait(cheat)) {
        return Err(format!("{} is mounted while the first epoch is founded: it cannot wait", cheat.name).into());
    }
    let config = MixnodeConfig::load(config)?;
    let is_witness = cheat.is_none();
    let tell = |told| match told {
        Told::Mounted(cheat, round) => println!("{cheat} in {round}"),
        Told::Saw(seen) if is_witness => {
            println!("{} {} {} {} {}", seen.round.0, seen.chain.0, seen.once, seen.twice, seen.more);
        }
        Told::Saw(_) => {}
    };
    let (told, ended) = when_told.then(standard_input).unzip();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        tokio::select! {
            stopped = mutant::run(&config, cheat, begins(told), tell) => Ok(stopped?),
            () = ends(ended) => Ok(()),
        }
    })
}

/// Gives the first line of standard input, and its end, as they come.
fn standard_input() -> (Receiver<()>, Receiver<()>) {
    let ((line, told), (end, ended)) = (oneshot::channel(), oneshot::channel());
    std::thread::spawn(move || {
        let mut lines = io::stdin().lines().map_while(Result::ok);
        // Nobody listens any more when the mutant has stopped.
        let _ = lines.next().map(|_| line.send(()));
        lines.for_each(drop);
        let _ = end.send(());
    });
    (told, ended)
}

/// At once, or when it is told to.
async fn begins(told: Option<Receiver<()>>) {
    if let Some(told) = told
        && told.await.is_err()
    {
        pending().await
    }
}

/// When whoever tells it things is gone; never, if nobody does.
async fn ends(ended: Option<Receiver<()>>) {
    match ended {
        Some(ended) => drop(ended.await),
        None => pending().await,
    }
}
