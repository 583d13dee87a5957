//! An experiment from its preset to its report.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    anonymity::{self, AnonymityError},
    charts::{self, ChartError},
    live::{
        self, LiveError, Programs, Run,
        hosts::{Hosts, HostsFile},
    },
    modelled::{self, Answers, ModelledError},
    preset::{Numbered, Preset},
    report,
    results::Results,
    rundir::{self, RunDir, RunDirError},
    seeds::Seed,
};

/// Where figures are.
const FIGURES: &str = "figures";
/// What people read.
pub(crate) const REPORT: &str = "report.md";
/// What work takes, for the model.
pub(crate) const COSTS: &str = "costs.toml";
/// The same with what has been fitted to runs.
pub(crate) const FITTED_COSTS: &str = "costs-fitted.toml";

/// Why an experiment has no report.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// Its directory, or a file in it.
    #[error(transparent)]
    Dir(#[from] RunDirError),
    /// A figure.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelledError),
    /// The programs or hosts that it takes.
    #[error(transparent)]
    Programs(#[from] LiveError),
    /// A run.
    #[error("point {point} ({label}), repeat {repeat}: {source}")]
    Run {
        /// The point's number.
        point: usize,
        /// What sets it apart.
        label: String,
        /// The run's number.
        repeat: u32,
        /// What went wrong.
        source: LiveError,
    },
    /// What a point hides.
    #[error("point {point} ({label}), anonymity: {source}")]
    Anonymity {
        /// The point's number.
        point: usize,
        /// What sets it apart.
        label: String,
        /// What went wrong.
        source: AnonymityError,
    },
}

/// An experiment in its directory.
pub struct Experiment {
    dir: RunDir,
    preset: Preset,
    points: Vec<Numbered>,
    hosts: Option<Hosts>,
}

impl Experiment {
    /// Begins one in a new directory, or goes on with it where it was left.
    pub fn begin(preset: &Preset, dir: &Path) -> Result<Self, ExperimentError> {
        RunDir::begin(dir, preset)?;
        Self::open(dir)
    }

    /// The same with all nodes on hosts.
    pub fn begin_on(hosts: &HostsFile, preset: &Preset, dir: &Path) -> Result<Self, ExperimentError> {
        let points = preset.points().map_err(RunDirError::from)?;
        Hosts::new(hosts).check(&points).map_err(LiveError::from)?;
        RunDir::begin_on(Some(hosts), dir, preset)?;
        Self::open(dir)
    }

    /// What [`begin_on`](Self::begin_on) and [`run`](Self::run) would do on hosts, for people: for each point that puts nodes
    /// elsewhere than the one before, where they are, and the command lines of its first run.
    pub fn plan(hosts: &HostsFile, preset: &Preset, programs: &Programs) -> Result<String, ExperimentError> {
        let hosts = Hosts::new(hosts);
        let points = preset.points().map_err(RunDirError::from)?;
        hosts.check(&points).map_err(LiveError::from)?;
        let mut text = String::new();
        for numbered in points.chunk_by(|one, next| one.point.servers == next.point.servers).map(|alike| &alike[0]) {
            let (network, talk) = (rundir::network_seed(preset, numbered), rundir::talk_seed(preset, numbered));
            let run = Run { programs, hosts: None, point: &numbered.point, network, talk, dir: PathBuf::new() };
            let plan = hosts.plan(&run).map_err(LiveError::from)?;
            text += &format!("\npoint {} ({}) and those like it\n\n{plan}", numbered.number, numbered.label);
        }
        Ok(text)
    }

    /// Opens one that was begun.
    pub fn open(dir: &Path) -> Result<Self, ExperimentError> {
        let dir = RunDir::open(dir)?;
        let preset = dir.preset()?;
        let points = preset.points().map_err(RunDirError::from)?;
        let hosts = dir.hosts()?.as_ref().map(Hosts::new);
        Ok(Self { dir, preset, points, hosts })
    }

    /// Takes costs for the model, as [`Costs::to_toml`](crate::model::Costs::to_toml) writes them, in place of what it has.
    pub fn take_costs(&self, text: &str) -> Result<(), ExperimentError> {
        Ok(self.dir.write(COSTS, text)?)
    }

    /// Does all runs that have not been done, if there are programs for all of them, looks at the anonymity of all points if the
    /// preset asks for that, then measures what the model needs. The runs of one point are not made one after the other, so
    /// that what the machine does besides hits all points alike.
    pub fn run(&self, programs: &Programs, mut tell: impl FnMut(&dyn fmt::Display)) -> Result<(), ExperimentError> {
        programs.check(self.points.iter().map(|numbered| &numbered.point))?;
        self.hosts.iter().try_for_each(|hosts| hosts.check(&self.points)).map_err(LiveError::from)?;
        for repeat in 0..self.preset.repeats {
            for numbered in &self.points {
                if self.dir.measured(numbered, repeat)?.is_none() {
                    self.run_one(programs, numbered, repeat, &mut tell)?;
                }
            }
        }
        self.points.iter().try_for_each(|numbered| self.look_at_anonymity(numbered, &mut tell))?;
        if let Some(asked) = &self.preset.model
            && self.dir.read(COSTS)?.is_none()
        {
            tell(&"costs of all kinds of work, for the model");
            self.take_costs(&asked.costs.text()?)?;
        }
        Ok(())
    }

    fn look_at_anonymity(
        &self,
        numbered: &Numbered,
        tell: &mut impl FnMut(&dyn fmt::Display),
    ) -> Result<(), ExperimentError> {
        let Some(ask) = &self.preset.anonymity else { return Ok(()) };
        if self.dir.anonymity(numbered)?.is_some() {
            return Ok(());
        }
        let Numbered { number, label, point } = numbered;
        // The same for all: points whose networks hide alike show alike.
        let seed = Seed::master(self.preset.seed).of("anonymity", 0);
        let known = anonymity::of(point, ask, &seed).map_err(|source| ExperimentError::Anonymity {
            point: *number,
            label: label.to_string(),
            source,
        })?;
        tell(&format_args!("point {number} ({label}), anonymity: {known}"));
        Ok(self.dir.keep_anonymity(numbered, &known)?)
    }

    /// Stops the network of the run that is under way. On hosts, nothing is run any more after that.
    pub fn stop(&self, binary: &Path) -> Result<(), ExperimentError> {
        if let Some(hosts) = &self.hosts {
            return Ok(hosts.close().map_err(LiveError::from)?);
        }
        for numbered in &self.points {
            (0..self.preset.repeats).for_each(|repeat| live::stop(binary, &self.dir.repeat(numbered, repeat)));
        }
        Ok(())
    }

    fn run_one(
        &self,
        programs: &Programs,
        numbered: &Numbered,
        repeat: u32,
        tell: &mut impl FnMut(&dyn fmt::Display),
    ) -> Result<(), ExperimentError> {
        let Numbered { number, label, point } = numbered;
        let dir = self.dir.repeat(numbered, repeat);
        // What an earlier attempt left.
        live::stop(&programs.hippodrome, &dir);
        let _ = std::fs::remove_dir_all(&dir);
        let (network, talk) = (rundir::network_seed(&self.preset, numbered), rundir::talk_seed(&self.preset, numbered));
        let measured = Run { programs, hosts: self.hosts.as_ref(), point, network, talk, dir }
            .measure()
            .map_err(|source| ExperimentError::Run { point: *number, label: label.to_string(), repeat, source })?;
        let verdict = match (measured.flaw(), &measured.toll) {
            (Some(flaw), _) => format!("{flaw}: this run does not count"),
            (None, Some(toll)) => toll.to_string(),
            (None, None) => format!("{} rounds", measured.rounds.len()),
        };
        tell(&format_args!("point {number} ({label}), repeat {repeat}: {verdict}"));
        Ok(self.dir.keep(numbered, repeat, &measured)?)
    }

    /// The runs that have been done, and what the model says, if it is asked and has costs.
    fn read(&self) -> Result<(Results, Option<Answers>), ExperimentError> {
        let results = Results::read(&self.dir)?;
        let answers = match self.dir.read(COSTS)? {
            Some(costs) => modelled::answers(&results, &costs, self.dir.manifest()?.cores)?,
            None => None,
        };
        Ok((results, answers))
    }

    /// Makes tables and figures of the runs that have been done, and of what is modelled.
    pub fn plot(&self) -> Result<(), ExperimentError> {
        let (results, answers) = self.read()?;
        self.plot_of(&results, answers.as_ref())
    }

    /// Writes the report, and gives its path.
    pub fn report(&self) -> Result<PathBuf, ExperimentError> {
        let (results, answers) = self.read()?;
        self.report_of(&results, answers.as_ref())
    }

    /// Does both, with what is read and modelled once.
    pub fn conclude(&self) -> Result<PathBuf, ExperimentError> {
        let (results, answers) = self.read()?;
        self.plot_of(&results, answers.as_ref())?;
        self.report_of(&results, answers.as_ref())
    }

    fn plot_of(&self, results: &Results, answers: Option<&Answers>) -> Result<(), ExperimentError> {
        self.dir.write("runs.csv", &results.runs_csv())?;
        self.dir.write("results.csv", &results.results_csv())?;
        anonymity::csv(results).iter().try_for_each(|table| self.dir.write("anonymity.csv", table))?;
        if let Some(validation) = answers.and_then(|answers| answers.validation.as_ref()) {
            self.dir.write("prediction.csv", &validation.csv())?;
            match validation.is_fitted() {
                true => self.dir.write(FITTED_COSTS, &validation.costs.to_toml())?,
                false => self.dir.clear(FITTED_COSTS)?,
            }
        }
        self.dir.clear(FIGURES)?;
        for (name, svg, csv) in charts::all(results, answers)? {
            self.dir.write(&format!("{FIGURES}/{name}.svg"), &svg)?;
            self.dir.write(&format!("{FIGURES}/{name}.csv"), &csv)?;
        }
        Ok(())
    }

    fn report_of(&self, results: &Results, answers: Option<&Answers>) -> Result<PathBuf, ExperimentError> {
        self.dir.write(REPORT, &report::text(results, answers, &self.dir.manifest()?))?;
        Ok(self.dir.path().join(REPORT))
    }
}
