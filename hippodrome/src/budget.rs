//! `budget`: what is left of the rounds for which a network hides whom somebody talks with.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use hippodrome_client::person::{Person, PersonError};
use serde::Serialize;

use crate::{
    chat,
    network_dir::{NetworkDir, NetworkDirError},
};

const EXAMPLES: &str = "\
Examples:
  hippodrome budget --network net --as alice
  hippodrome budget --network net --as alice --json

While `chat` runs under the name, its `status` says the same.";

/// Say what is left of the rounds for which the network hides whom you talk with
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BudgetArgs {
    /// The network's directory
    #[arg(long, value_name = "DIR")]
    network: PathBuf,
    /// Your name on this machine
    #[arg(long = "as", value_name = "NAME", value_parser = chat::name)]
    name: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BudgetError {
    #[error(transparent)]
    Dir(#[from] NetworkDirError),
    #[error(transparent)]
    Person(#[from] PersonError),
    #[error("nobody called `{0}` has taken a seat in this network from this directory: `hippodrome chat` takes one")]
    Nobody(String),
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    /// Rounds submitted to, ever.
    submitted: u64,
    /// `unstated`, `left`, `nearly-spent` or `spent`.
    standing: &'static str,
    /// Rounds left; none where the network states nothing.
    left: Option<u64>,
    /// Rounds of the guarantee, its ε and its δ.
    rounds: Option<u64>,
    epsilon: Option<f64>,
    delta: Option<f64>,
    /// Whether texts are sent when nothing is left.
    overspends: bool,
}

pub(crate) fn run(args: BudgetArgs) -> Result<(), BudgetError> {
    let dir = NetworkDir::new(args.network);
    let network = dir.load()?;
    let home = dir.person(&args.name);
    if !home.exists() {
        return Err(BudgetError::Nobody(args.name));
    }
    let (person, _events) = Person::open(&home, Arc::new(network.directory))?;
    let (budget, overspends) = (person.budget()?, person.overspends()?);
    let report = Report {
        submitted: budget.submitted,
        standing: budget.standing().name(),
        left: budget.left(),
        rounds: budget.stated.map(|stated| stated.rounds),
        epsilon: budget.stated.map(|stated| stated.epsilon()),
        delta: budget.stated.map(|stated| stated.delta()),
        overspends,
    };
    match args.json {
        true => println!("{}", serde_json::to_string(&report).expect("a report has text keys and plain values")),
        false => println!("{budget}"),
    }
    Ok(())
}
