//! Costs measured on the spot: whole rounds of `bench round`, small ones of different shapes, and the rates that fit them.

use std::{collections::BTreeMap, fs, thread::available_parallelism};

use hippodrome_bench::round::{RoundArgs, RoundError, RoundReport, run_round};
use hippodrome_core::params::Verification;

use super::{
    costs::{Costs, Rate, Rates, Source, Transport},
    count_work,
    deployment::{BadDeployment, Deployment, Link, Placement},
    fit::{Sample, rates},
    work::{Units, Work},
};

/// How long measuring may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Messages of the largest rounds; the smallest have a tenth.
    pub messages: usize,
    /// Rounds of each shape that medians are taken over.
    pub repeats: usize,
}

impl Effort {
    /// About two minutes of a program that was compiled with full optimisation.
    pub const USUAL: Self = Self { messages: 8000, repeats: 3 };
}

/// Why there are no costs.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A round could not be measured.
    #[error("measuring a round: {0}")]
    Round(#[from] RoundError),
    /// A round that was measured cannot be modelled.
    #[error("modelling a round that was measured: {0}")]
    Deployment(#[from] BadDeployment),
}

/// Layers, chains, chain length, servers, and which part of the messages: enough shapes to tell what a job takes from what
/// a record takes, and both from what a message between servers takes.
const SHAPES: [(u8, u16, u8, u16, usize); 6] =
    [(2, 2, 3, 4, 10), (2, 2, 3, 4, 1), (2, 2, 2, 4, 2), (2, 3, 5, 6, 2), (2, 6, 4, 9, 4), (1, 1, 3, 4, 4)];

/// Slots of noise of every server in them.
const NOISE: u32 = 40;

impl Costs {
    /// Measures every mode on all cores of this machine. `command` is noted as what has done so.
    ///
    /// # Errors
    /// [`MeasureError`] if some round does not do what it is there for.
    pub fn measure(effort: Effort, command: &str) -> Result<Self, MeasureError> {
        let mode = |verification| measure_mode(effort, verification);
        let (full, backend) = mode(Verification::Full)?;
        let ((aggregate, _), (none, _)) = (mode(Verification::Aggregate)?, mode(Verification::None)?);
        let source = Source { cpu: cpu_name(), backend, threads: threads(), command: command.to_owned() };
        Ok(Self { source, transport: Transport::default(), full, aggregate, none })
    }
}

fn measure_mode(effort: Effort, verification: Verification) -> Result<(Rates, String), MeasureError> {
    let args: Vec<RoundArgs> = SHAPES.iter().map(|shape| args(effort, verification, *shape)).collect();
    let reports = args.iter().map(run_round).collect::<Result<Vec<_>, _>>()?;
    let backend = reports.first().map(|report| report.backend.clone()).unwrap_or_default();
    Ok((fit(&reports)?, backend))
}

fn args(effort: Effort, verification: Verification, shape: (u8, u16, u8, u16, usize)) -> RoundArgs {
    let (layers, chains, chain_len, servers, part) = shape;
    // An even number, and one that lets all clients have several messages.
    let messages = (effort.messages / part).max(16).next_multiple_of(16);
    let (noise, threads, repeats) = (NOISE, threads(), effort.repeats);
    RoundArgs { messages, layers, chains, chain_len, servers, noise, verification, threads, repeats, json: false }
}

/// The rates that fit what was measured, stage by stage.
fn fit(reports: &[RoundReport]) -> Result<Rates, BadDeployment> {
    let counted = reports.iter().map(|report| count_work(&deployment(report))).collect::<Result<Vec<_>, _>>()?;
    let mut fitted = BTreeMap::new();
    for report in reports.first().iter().flat_map(|report| &report.stages) {
        let kinds: Vec<Work> = Work::ALL.into_iter().filter(|work| work.stage() == report.stage).collect();
        let samples: Vec<Sample> =
            reports.iter().zip(&counted).map(|(report, work)| sample(report, &kinds, work)).collect();
        let pairs = rates(&samples);
        for (&work, pair) in kinds.iter().zip(pairs.chunks(2)) {
            fitted.insert(work, Rate { job_s: pair[0], record_s: pair[1] });
        }
    }
    fitted.retain(|_, rate| *rate != Rate::default());
    Ok(Rates(fitted))
}

/// Jobs and records of each kind of a stage's work, and what the stage took.
fn sample(report: &RoundReport, kinds: &[Work], work: &BTreeMap<Work, Units>) -> Sample {
    let units = |kind: &Work| work.get(kind).copied().unwrap_or_default();
    let parts = kinds.iter().map(units).flat_map(|units| [units.jobs as f64, units.records as f64]).collect();
    let stage = kinds.first().and_then(|kind| report.stages.iter().find(|stage| stage.stage == kind.stage()));
    let took = stage.map_or(0.0, |stage| stage.cpu_ms_per_message * 1e-3 * report.messages as f64);
    Sample { parts, known: 0.0, took }
}

/// The deployment that a round was measured on: all servers in one process.
pub(super) fn deployment(report: &RoundReport) -> Deployment {
    let threads = report.threads.clamp(1, 1024) as u16;
    Deployment {
        servers: report.servers,
        cores: threads,
        threads,
        placement: Placement::Together,
        link: Link { delay_s: 0.0, bits_per_s: 0.0 },
        chains: report.chains,
        chain_len: report.chain_len,
        layers: report.layers,
        verification: report.verification,
        messages: report.messages as u64,
        noise_slots: report.noise,
        period_s: 1.0,
        collect_s: 1.0,
        rounds: 1,
    }
}

fn threads() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// What the system calls the processor.
fn cpu_name() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}
