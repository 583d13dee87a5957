//! The model against real runs.
//!
//! What real processes take beyond the work itself, and cannot be measured in one process, is fitted to some of the runs:
//! the numbers of [`Transport`], and the pace of the work itself, which shares caches and arithmetic units with other
//! processes otherwise than in one. All other runs are held out, and show what the model is worth.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::{
    costs::{Costs, Transport},
    deployment::{BadDeployment, Deployment},
    fit::{Sample, rates},
    outcome::Outcome,
    simulate,
};
use crate::stats::{Errors, relative_error};

/// A real run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// What it is called in tables.
    pub name: String,
    /// What ran.
    pub deployment: Deployment,
    /// Seconds from the end of collection until the coordinator has the last reply, for the median round.
    pub wall_s: f64,
    /// Seconds of one core of all servers and the coordinator, for each round.
    pub cpu_s: f64,
    /// Bytes that all servers have sent to each other and to the coordinator, for each round.
    pub bytes: f64,
    /// Whether nothing is fitted to it.
    pub is_held_out: bool,
}

/// How well the model predicts real runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Validation {
    /// The costs with what was fitted.
    pub costs: Costs,
    /// A row for each run, in their order.
    pub rows: Vec<ValidationRow>,
}

/// One run and its prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidationRow {
    /// The run.
    pub name: String,
    /// Whether nothing was fitted to it.
    pub is_held_out: bool,
    /// Seconds from the end of collection to the last reply.
    pub wall_s: Compared,
    /// Seconds of one core.
    pub cpu_s: Compared,
    /// Bytes that servers sent.
    pub bytes: Compared,
}

/// What was predicted, and what was so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// By the model.
    pub predicted: f64,
    /// In the run.
    pub measured: f64,
    /// The difference as a share of what was measured; none where that is 0.
    pub error: Option<f64>,
}

impl Compared {
    fn new(predicted: f64, measured: f64) -> Self {
        Self { predicted, measured, error: relative_error(predicted, measured) }
    }
}

/// Fits what cannot be measured in one process to the runs that are not held out, and predicts all runs. If all are held
/// out, the costs are taken as they are.
///
/// # Errors
/// [`BadDeployment`] if some run is of a deployment that there cannot be.
pub fn validate(costs: &Costs, runs: &[Measured]) -> Result<Validation, BadDeployment> {
    let is_fitted = runs.iter().any(|run| !run.is_held_out);
    let costs = if is_fitted { calibrate(costs, runs)? } else { costs.clone() };
    let rows = runs.iter().map(|run| row(&costs, run)).collect::<Result<_, _>>()?;
    Ok(Validation { costs, rows })
}

fn row(costs: &Costs, run: &Measured) -> Result<ValidationRow, BadDeployment> {
    let outcome = simulate(&run.deployment, costs)?;
    Ok(ValidationRow {
        name: run.name.clone(),
        is_held_out: run.is_held_out,
        wall_s: Compared::new(outcome.latency_s(), run.wall_s),
        cpu_s: Compared::new(outcome.total_cpu_s(), run.cpu_s),
        bytes: Compared::new(outcome.servers_bytes() as f64, run.bytes),
    })
}

/// How idle cores are tried to be, to see for how much work a round waits.
const TRIED_IDLE: f64 = 0.1;
/// A lateness of messages that is tried, to see for how many of them a round waits one after the other.
const TRIED_LATE_S: f64 = 1e-3;

fn calibrate(costs: &Costs, runs: &[Measured]) -> Result<Costs, BadDeployment> {
    let fitted: Vec<&Measured> = runs.iter().filter(|run| !run.is_held_out).collect();
    let bare = Costs { transport: Transport::default(), ..costs.clone() };
    let outcomes = outcomes(&bare, &fitted)?;
    let samples: Vec<Sample> = fitted.iter().zip(&outcomes).map(|(run, outcome)| cpu_sample(run, outcome)).collect();
    let found = rates(&samples);
    let [pace, byte_s, message_s, server_round_s, client_s] =
        [0, 1, 2, 3, 4].map(|part| found.get(part).copied().unwrap_or(0.0));
    let transport = Transport { byte_s, message_s, server_round_s, client_s, ..Transport::default() };
    let computing = Costs { transport, ..bare.at_pace(pace) };
    with_waiting(&computing, &fitted)
}

fn outcomes(costs: &Costs, runs: &[&Measured]) -> Result<Vec<Outcome>, BadDeployment> {
    runs.iter().map(|run| simulate(&run.deployment, costs)).collect()
}

/// What a run computes, by its work, bytes, messages, servers and clients.
fn cpu_sample(run: &Measured, outcome: &Outcome) -> Sample {
    let Deployment { servers, clients, .. } = run.deployment;
    let sent = [outcome.total_bytes() as f64, outcome.messages as f64];
    let parts = [outcome.total_cpu_s()].into_iter().chain(sent).chain([f64::from(servers), clients as f64]).collect();
    Sample { parts, known: 0.0, took: run.cpu_s }
}

/// The costs with what makes rounds take as long as they did: cores that stand idle, and messages that are late.
fn with_waiting(costs: &Costs, runs: &[&Measured]) -> Result<Costs, BadDeployment> {
    let waiting = |transport: Transport| Costs { transport, ..costs.clone() };
    let idle = waiting(Transport { idle: TRIED_IDLE, ..costs.transport });
    let late = waiting(Transport { message_late_s: TRIED_LATE_S, ..costs.transport });
    let samples = runs.iter().map(|run| {
        let latency = |costs| Ok(simulate(&run.deployment, costs)?.latency_s());
        let known = latency(costs)?;
        let parts = vec![(latency(&idle)? - known) / TRIED_IDLE, (latency(&late)? - known) / TRIED_LATE_S];
        Ok(Sample { parts, known, took: run.wall_s })
    });
    let found = rates(&samples.collect::<Result<Vec<_>, _>>()?);
    let [idle, message_late_s] = [0, 1].map(|part| found.get(part).copied().unwrap_or(0.0));
    Ok(waiting(Transport { idle, message_late_s, ..costs.transport }))
}

impl Validation {
    /// Whether anything was fitted to these runs.
    pub fn is_fitted(&self) -> bool {
        self.rows.iter().any(|row| !row.is_held_out)
    }

    /// The errors of held-out runs: of wall-clock time, then of CPU time. None where there are none.
    pub fn held_out(&self) -> (Option<Errors>, Option<Errors>) {
        let held_out = || self.rows.iter().filter(|row| row.is_held_out);
        let errors = |of: fn(&ValidationRow) -> Compared| {
            Errors::of(&held_out().filter_map(|row| of(row).error).collect::<Vec<f64>>())
        };
        (errors(|row| row.wall_s), errors(|row| row.cpu_s))
    }

    /// The table: one line for each run.
    pub fn csv(&self) -> String {
        let columns = ["wall_s", "cpu_s", "bytes"].map(|of| format!("{of}_predicted,{of}_measured,{of}_error"));
        let mut table = format!("run,held_out,{}\n", columns.join(","));
        for row in &self.rows {
            let fields = [row.wall_s, row.cpu_s, row.bytes].map(|Compared { predicted, measured, error }| {
                format!("{predicted},{measured},{}", error.map(|error| error.to_string()).unwrap_or_default())
            });
            let name = row.name.replace([',', '"', '\n'], " ");
            writeln!(table, "{name},{},{}", row.is_held_out, fields.join(",")).expect("a string takes everything");
        }
        table
    }
}
