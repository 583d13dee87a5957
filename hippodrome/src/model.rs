//! `model`: what deployments would do that nobody has at hand.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use hippodrome_experiments::{
    figures::{self, FigureError},
    model::{BadDeployment, Costs, CostsError, Effort, MeasureError},
    plot::{Figure, PlotError},
    prediction,
    results::Results,
    rundir::{RunDir, RunDirError},
};

const EXAMPLES: &str = "\
Examples:
  hippodrome model costs > costs.toml
  hippodrome model figures --costs costs.toml --out drawn
  hippodrome experiment run model --out runs
  hippodrome model predict runs --costs costs.toml";

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
    /// Set the model against the runs of an experiment: a table, and files in its directory
    Predict {
        /// The experiment's directory
        dir: PathBuf,
        /// What `costs` has printed on the same machine
        #[arg(long)]
        costs: PathBuf,
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
    #[error(transparent)]
    Deployment(#[from] BadDeployment),
    #[error(transparent)]
    Runs(#[from] RunDirError),
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
        ModelCommand::Predict { dir, costs } => predict(&dir, &load(&costs)?),
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

fn predict(dir: &Path, costs: &Costs) -> Result<(), ModelError> {
    let run = RunDir::open(dir)?;
    let validation = prediction::of(&Results::read(&run)?, costs, run.manifest()?.cores)?;
    let table = prediction::table(&validation);
    write(dir.join("prediction.md"), &table)?;
    write(dir.join("prediction.csv"), &validation.csv())?;
    write(dir.join("prediction-costs.toml"), &validation.costs.to_toml())?;
    println!("{table}");
    prediction::figure(&validation).iter().try_for_each(|figure| draw(figure, dir))
}
