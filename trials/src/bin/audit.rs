//! The audit game, from the command line.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use hippodrome_core::noise::NoiseParams;
use hippodrome_privacy::quantity::Delta;
use hippodrome_trials::{
    audit::{self, Finding, Game, Options, Proved},
    binary::{self, Binary},
};

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p hippodrome-trials --bin audit
  cargo run --release -p hippodrome-trials --bin audit -- --rounds 20 --json

Two networks of real processes, one with the noise that `--epsilon --delta` take over a single round and one with a tenth
of it. It is good if the first shows no more than is proved, and the second is found out.";

/// Play an attacker who guesses from counts of mailboxes who talks, against planned noise and against a tenth of it
#[derive(Parser, Debug)]
#[command(name = "audit", after_help = EXAMPLES)]
struct Arguments {
    /// Rounds of each game
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// From one round to the next, as `testnet up` reads it
    #[arg(long, default_value = "2s")]
    period: String,
    /// What the planned noise hides in one round: ε
    #[arg(long, default_value = "1")]
    epsilon: String,
    /// But for this chance
    #[arg(long, default_value_t = 0.05)]
    delta: f64,
    /// Slots of each of the two clients: so far does their talk move the count
    #[arg(long, default_value_t = 16)]
    slots: u16,
    /// Decides the coins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The networks' directory, new or empty; it stays
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The `hippodrome` binary [default: the one beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Print one JSON object a network
    #[arg(long)]
    json: bool,
    /// More flags of `testnet up`
    #[arg(last = true, default_values = ["--servers", "4", "--chains", "2", "--chain-len", "2", "--layers", "2"])]
    shape: Vec<String>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("audit: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the attacker found what is there to be found, and nothing else.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let delta = Delta::new(arguments.delta)?;
    let stated = arguments.delta.to_string();
    let planned = ["--epsilon", &arguments.epsilon, "--delta", &stated, "--budget", "1"].map(str::to_owned);
    let game = play(arguments, "planned", &planned)?;
    let proved = Proved::of(&game.params, delta)?;
    let honest = report(arguments, Finding::new(proved, proved.slots, &game.rounds)?);
    // As much as there is in a tenth of the plan, rounded up to what fills all chains, of the plan's shape.
    let tenth = NoiseParams::uniform(proved.slots.div_ceil(10)).per_chain(game.params.chains.into());
    let shape = game.params.noise.shape.to_string();
    let noise = ["--noise", &tenth.to_string(), "--noise-shape", &shape].map(str::to_owned);
    let game = play(arguments, "tenth", &noise)?;
    let short = report(arguments, Finding::new(proved, game.params.noise.slots, &game.rounds)?);
    Ok(!honest.is_too_little() && short.is_too_little())
}

fn play(arguments: &Arguments, name: &str, noise: &[String]) -> Result<Game, Failure> {
    let binary = Binary::locate(arguments.binary.clone())?;
    let place = tempfile::Builder::new().prefix("hippodrome-audit-").tempdir()?;
    let slots = arguments.slots.to_string();
    let own = ["--slots", &slots, "--period", &arguments.period].map(str::to_owned);
    let options = Options {
        dir: arguments.dir.as_deref().unwrap_or(place.path()).join(name),
        mutant: binary::beside("mutant")?,
        shape: [&own, noise, &arguments.shape].concat(),
        rounds: arguments.rounds,
        patience: Duration::from_secs(300),
        seed: arguments.seed,
    };
    Ok(audit::play(&binary, &options, |rounds| eprintln!("{name}: {rounds} of {} rounds", arguments.rounds))?)
}

fn report(arguments: &Arguments, finding: Finding) -> Finding {
    if arguments.json {
        println!("{}", serde_json::to_string(&finding).expect("a finding has text keys and plain values"));
    } else {
        println!("{finding}\n");
    }
    finding
}
