//! What the model says in an experiment: of points that are run, of points beyond them, and beside other people's systems.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    figures::{self, Claim, FigureError},
    model::{BadDeployment, Costs, CostsError, Effort, MeasureError, Outcome, Source, Validation, simulate},
    plot::Figure,
    prediction,
    preset::{Numbered, PresetError},
    results::{Metric, Results},
};

/// Costs that come with the program: what is drawn with them is the same on every machine.
const KEPT: &str = include_str!("../data/costs-reference.toml");

/// What a preset asks the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Modelled {
    /// Which costs.
    pub costs: CostsFrom,
    /// Whether all runs are predicted, and the errors shown.
    pub validate: bool,
    /// Figures with other systems, by their names in [`figures::FIGURES`].
    pub figures: Vec<String>,
    /// Whether the numbers of papers are set beside ours in the report.
    pub claims: bool,
    /// Settings that go on where the runs end: as the axes of a sweep, in place of those of the runs.
    pub beyond: BTreeMap<String, Vec<toml::Value>>,
}

/// Where costs come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CostsFrom {
    /// They are measured on the spot, and kept in the experiment's directory.
    #[default]
    Measured,
    /// They come with the program.
    Kept,
}

/// Why the model says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ModelledError {
    /// Costs that cannot be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// Costs that cannot be read.
    #[error("costs.toml: {0}")]
    Costs(#[from] CostsError),
    /// A figure.
    #[error(transparent)]
    Figure(#[from] FigureError),
    /// A point.
    #[error(transparent)]
    Deployment(#[from] BadDeployment),
    /// A point beyond the runs.
    #[error(transparent)]
    Preset(#[from] PresetError),
}

impl CostsFrom {
    /// The costs, as TOML.
    ///
    /// # Errors
    /// [`ModelledError::Measure`] if they are to be measured and cannot be.
    pub fn text(self) -> Result<String, ModelledError> {
        match self {
            Self::Kept => Ok(KEPT.to_owned()),
            Self::Measured => Ok(Costs::measure(Effort::USUAL, "hippodrome experiment run")?.to_toml()),
        }
    }
}

/// What the model has said.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Where the costs come from.
    pub source: Source,
    /// Every run and its prediction, if that was asked for.
    pub validation: Option<Validation>,
    /// The points of the runs, and those beyond.
    pub points: Vec<Predicted>,
    /// Figures with other systems.
    pub figures: Vec<Figure>,
    /// Numbers of papers, with ours.
    pub claims: Vec<Claim>,
}

/// A point as the model has it.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// The point.
    pub numbered: Numbered,
    /// Those metrics of runs that the model knows.
    pub metrics: Vec<(Metric, f64)>,
}

/// Asks the model what the preset wants to know. If runs are predicted, everything else is said with what has been fitted to
/// some of them: what processes take beyond their work. None if the preset asks nothing.
///
/// # Errors
/// [`ModelledError`] if `costs` are none, or something is asked of a network that there cannot be.
pub fn answers(results: &Results, costs: &str, cores: usize) -> Result<Option<Answers>, ModelledError> {
    let Some(asked) = &results.preset.model else { return Ok(None) };
    let mut costs = Costs::from_toml(costs)?;
    let runs = results.points.iter().any(|of| of.valid() > 0);
    let validation = (asked.validate && runs).then(|| prediction::of(results, &costs, cores)).transpose()?;
    if let Some(fitted) = &validation {
        costs = fitted.costs.clone();
    }
    Ok(Some(Answers {
        source: costs.source.clone(),
        validation,
        points: predicted(results, &costs, cores)?,
        figures: figures::named(&asked.figures, &costs)?,
        claims: if asked.claims { figures::claims(&costs)? } else { Vec::new() },
    }))
}

/// All points that the model can play: those of the runs, then those beyond. If nothing is run there are none.
fn predicted(results: &Results, costs: &Costs, cores: usize) -> Result<Vec<Predicted>, ModelledError> {
    if results.preset.repeats == 0 {
        return Ok(Vec::new());
    }
    let run = results.points.iter().map(|of| of.numbered.clone());
    let known = run.chain(results.preset.beyond()?);
    let played = known.filter_map(|numbered| Some((prediction::deployment(&numbered.point, cores)?, numbered)));
    let points = played.map(|(deployment, numbered)| {
        let metrics = metrics(&simulate(&deployment, costs)?);
        Ok(Predicted { numbered, metrics })
    });
    points.collect()
}

fn metrics(outcome: &Outcome) -> Vec<(Metric, f64)> {
    let coordinator = outcome.cpu_s.last().copied().unwrap_or(0.0);
    [
        ("latency_last", "ms", 1e3 * outcome.latency_s()),
        ("servers_cpu", "s/round", outcome.total_cpu_s() - coordinator),
        ("coordinator_cpu", "s/round", coordinator),
        ("servers_sent", "MB/round", outcome.servers_bytes() as f64 / 1e6),
    ]
    .into_iter()
    .map(|(name, unit, value)| (Metric { name: name.into(), unit }, value))
    .collect()
}
