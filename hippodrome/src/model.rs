//! `model`: what deployments would do that nobody has at hand.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use hippodrome_experiments::{
    figures::{self, FigureError},
    model::{Costs, CostsError, Effort, MeasureError},
    plot::{Figure, PlotError},
};

const EXAMPLES: &str = "\
Examples:
  hippodrome model costs > costs.toml
  hippodrome model figures --costs costs.toml --out drawn
  hippodrome experiment run model --costs costs.toml --out runs

The last sets the model against real runs, and says how far it is off.";

/// Predict what deployments take that nobody has at hand
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Subcommand, Debug)]
enum ModelCommand {
    /// Measure rounds on this machine and print what each kind of work takes, as TOML
    Costs {
        /// Messages of the largest rounds
        #[arg(long, default_value_t = Effort::USUAL.messages)]
        messages: usize,
        /// Rounds of each shape that medians are taken over
        #[arg(long, default_value_t = Effort::USUAL.repeats)]
        repeats: usize,
    },
    /// Draw the figures of other systems with ours beside them
    Figures {
        /// What `costs` has printed
        #[arg(long)]
        costs: PathBuf,
        /// A directory for them
        #[arg(long)]
        out: PathBuf,
    },
}

/// Why nothing is predicted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Costs { path: PathBuf, source: CostsError },
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Figure(#[from] FigureError),
    #[error(transparent)]
    Plot(#[from] PlotError),
}

pub(crate) fn run(args: ModelArgs) -> Result<(), ModelError> {
    match args.command {
        ModelCommand::Costs { messages, repeats } => {
            let command = format!("hippodrome model costs --messages {messages} --repeats {repeats}");
            print!("{}", Costs::measure(Effort { messages, repeats }, &command)?.to_toml());
            Ok(())
        }
        ModelCommand::Figures { costs, out } => {
            fs::create_dir_all(&out).map_err(|source| ModelError::File { path: out.clone(), source })?;
            figures::all(&load(&costs)?)?.iter().try_for_each(|figure| draw(figure, &out))
        }
    }
}

fn load(path: &Path) -> Result<Costs, ModelError> {
    let text = fs::read_to_string(path).map_err(|source| ModelError::File { path: path.into(), source })?;
    Costs::from_toml(&text).map_err(|source| ModelError::Costs { path: path.into(), source })
}

fn write(path: PathBuf, text: &str) -> Result<(), ModelError> {
    fs::write(&path, text).map_err(|source| ModelError::File { path, source })
}

fn draw(figure: &Figure, out: &Path) -> Result<(), ModelError> {
    let file = |extension: &str| out.join(format!("{}.{extension}", figure.name));
    write(file("csv"), &figure.csv())?;
    write(file("svg"), &figure.svg()?)?;
    println!("{}", file("svg").display());
    Ok(())
}
