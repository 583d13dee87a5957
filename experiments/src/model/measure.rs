//! Costs measured on the spot: whole rounds of `bench round`, small ones of different shapes, and the rates that fit them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    thread::available_parallelism,
};

use hippodrome_bench::round::{RoundArgs, RoundError, RoundReport, run_round};
use hippodrome_core::params::Verification;

use super::{
    costs::{Costs, Rate, Rates, Source, Transport},
    count_work,
    deployment::{BadDeployment, Deployment, Link, Placement},
    fit::{Sample, rates},
    work::{CLIENTS, Units, Work},
};

/// How long measuring may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Messages of the largest rounds; the smallest have a hundredth.
    pub messages: usize,
    /// Rounds of each shape that medians are taken over.
    pub repeats: usize,
}

impl Effort {
    /// About five minutes of a program that was compiled with full optimisation, on two cores that do nothing else.
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
const SHAPES: [(u8, u16, u8, u16, usize); 8] = [
    (2, 2, 3, 4, 100),
    (2, 3, 4, 6, 40),
    (2, 2, 3, 4, 10),
    (2, 2, 3, 4, 1),
    (2, 2, 2, 4, 2),
    (2, 3, 5, 6, 2),
    (2, 6, 4, 9, 4),
    (1, 1, 3, 4, 4),
];

/// Stages that are the same work in every mode: what they take is fitted to the rounds of all modes together.
const OF_ALL_MODES: [&str; 8] = [CLIENTS, "admit", "noise", "decode", "mix", "distribute", "exchange", "return"];

impl Costs {
    /// Measures every mode on all cores of this machine. `command` is noted as what has done so.
    ///
    /// # Errors
    /// [`MeasureError`] if some round does not do what it is there for.
    pub fn measure(effort: Effort, command: &str) -> Result<Self, MeasureError> {
        let [full, aggregate, none] = Verification::ALL.map(|verification| rounds(effort, verification));
        let (full, aggregate, none) = (full?, aggregate?, none?);
        let backend = full.first().map(|report| report.backend.clone()).unwrap_or_default();
        let source = Source { cpu: cpu_name(), backend, threads: threads(), command: command.to_owned() };
        let all: Vec<RoundReport> = [&full[..], &aggregate, &none].concat();
        Ok(Self {
            source,
            transport: Transport::default(),
            full: fit(&full, &all)?,
            aggregate: fit(&aggregate, &all)?,
            none: fit(&none, &all)?,
        })
    }
}

/// A round of each shape.
fn rounds(effort: Effort, verification: Verification) -> Result<Vec<RoundReport>, RoundError> {
    SHAPES.iter().map(|shape| run_round(&args(effort, verification, *shape))).collect()
}

fn args(effort: Effort, verification: Verification, shape: (u8, u16, u8, u16, usize)) -> RoundArgs {
    let (layers, chains, chain_len, servers, part) = shape;
    // An even number, and one that lets all clients have several messages.
    let messages = (effort.messages / part).max(16).next_multiple_of(16);
    let (threads, repeats) = (threads(), effort.repeats);
    let noise = (messages / 200).clamp(2, 40) as u32;
    RoundArgs { messages, layers, chains, chain_len, servers, noise, verification, threads, repeats, json: false }
}

/// The rates that fit the rounds of one mode, stage by stage; where all modes do the same, those that fit all rounds.
fn fit(of_mode: &[RoundReport], all: &[RoundReport]) -> Result<Rates, BadDeployment> {
    let stages: BTreeSet<&str> = Work::ALL.into_iter().map(Work::stage).collect();
    let mut fitted = BTreeMap::new();
    for stage in stages {
        let reports = if OF_ALL_MODES.contains(&stage) { all } else { of_mode };
        let kinds: Vec<Work> = Work::ALL.into_iter().filter(|work| work.stage() == stage).collect();
        let samples = reports.iter().map(|report| {
            let work = count_work(&deployment(report))?;
            Ok(Sample { parts: parts(&kinds, &work), known: 0.0, took: seconds_of(report, stage) })
        });
        let found = rates(&samples.collect::<Result<Vec<_>, BadDeployment>>()?);
        let pairs = found.chunks(2).map(|pair| Rate { job_s: pair[0], record_s: pair[1] });
        fitted.extend(kinds.iter().copied().zip(pairs).filter(|(_, rate)| *rate != Rate::default()));
    }
    Ok(Rates(fitted))
}

/// Jobs and records of each kind.
fn parts(kinds: &[Work], work: &BTreeMap<Work, Units>) -> Vec<f64> {
    let units = kinds.iter().map(|kind| work.get(kind).copied().unwrap_or_default());
    units.flat_map(|units| [units.jobs as f64, units.records as f64]).collect()
}

/// Core time of a stage in a round.
fn seconds_of(report: &RoundReport, stage: &str) -> f64 {
    let found = report.stages.iter().find(|cost| cost.stage == stage).map(|cost| cost.cpu_ms_per_message);
    let millis = if stage == CLIENTS { report.client_ms_per_message } else { found.unwrap_or(0.0) };
    millis * 1e-3 * report.messages as f64
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
        clients: 0,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_has_rates_for_its_work_and_for_no_other() {
        let costs = Costs::measure(Effort { messages: 16, repeats: 1 }, "a test").expect("costs");
        let Costs { full, none, .. } = costs;
        let takes = |rates: &Rates, work| rates.0.get(&work).is_some_and(|rate| rate.job_s + rate.record_s > 0.0);
        for work in [Work::Wrap, Work::Admit, Work::Mix, Work::Decode, Work::Exchange, Work::Return] {
            assert!(takes(&full, work) && takes(&none, work), "{work:?}");
        }
        for work in [Work::Prepare, Work::Prove, Work::Verify] {
            assert!(takes(&full, work) && !takes(&none, work), "{work:?}");
        }
    }
}
