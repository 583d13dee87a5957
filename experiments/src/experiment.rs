//! An experiment from its preset to its report.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    charts::{self, ChartError},
    live::{self, LiveError, Run},
    preset::{Numbered, Preset},
    report,
    results::Results,
    rundir::{RunDir, RunDirError},
};

/// Why an experiment has no report.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// Its directory, or a file in it.
    #[error(transparent)]
    Dir(#[from] RunDirError),
    /// A figure.
    #[error(transparent)]
    Chart(#[from] ChartError),
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
}

/// An experiment in its directory.
pub struct Experiment {
    dir: RunDir,
    preset: Preset,
    points: Vec<Numbered>,
}

impl Experiment {
    /// Begins one in a new directory, or goes on with it where it was left.
    pub fn begin(preset: &Preset, dir: &Path) -> Result<Self, ExperimentError> {
        RunDir::begin(dir, preset)?;
        Self::open(dir)
    }

    /// Opens one that was begun.
    pub fn open(dir: &Path) -> Result<Self, ExperimentError> {
        let dir = RunDir::open(dir)?;
        let preset = dir.preset()?;
        let points = preset.points().map_err(RunDirError::from)?;
        Ok(Self { dir, preset, points })
    }

    /// Does all runs that have not been done, with the program at `binary`. The runs of one point are not made one after
    /// the other, so that what the machine does besides hits all points alike.
    pub fn run(&self, binary: &Path, mut tell: impl FnMut(&dyn fmt::Display)) -> Result<(), ExperimentError> {
        for repeat in 0..self.preset.repeats {
            for numbered in &self.points {
                if self.dir.measured(numbered, repeat)?.is_none() {
                    self.run_one(binary, numbered, repeat, &mut tell)?;
                }
            }
        }
        Ok(())
    }

    /// Stops the network of the run that is under way.
    pub fn stop(&self, binary: &Path) {
        for numbered in &self.points {
            (0..self.preset.repeats).for_each(|repeat| live::stop(binary, &self.dir.repeat(numbered, repeat)));
        }
    }

    fn run_one(
        &self,
        binary: &Path,
        numbered: &Numbered,
        repeat: u32,
        tell: &mut impl FnMut(&dyn fmt::Display),
    ) -> Result<(), ExperimentError> {
        let Numbered { number, label, point } = numbered;
        let dir = self.dir.repeat(numbered, repeat);
        // What an earlier attempt left.
        live::stop(binary, &dir);
        let _ = std::fs::remove_dir_all(&dir);
        let (network, talk) = (self.dir.network(&self.preset, numbered), self.dir.talk(&self.preset, numbered));
        let measured = Run { binary, point, network, talk, dir }.measure().map_err(|source| ExperimentError::Run {
            point: *number,
            label: label.to_string(),
            repeat,
            source,
        })?;
        let verdict = match measured.lost() {
            0 => format!("{} rounds", measured.rounds.len()),
            lost => format!("{lost} of {} rounds were lost: this run does not count", measured.rounds.len()),
        };
        tell(&format_args!("point {number} ({label}), repeat {repeat}: {verdict}"));
        Ok(self.dir.keep(numbered, repeat, &measured)?)
    }

    /// Makes tables and figures of the runs that have been done.
    pub fn plot(&self) -> Result<(), ExperimentError> {
        let results = Results::read(&self.dir)?;
        self.dir.write("runs.csv", &results.runs_csv())?;
        self.dir.write("results.csv", &results.results_csv())?;
        for (name, svg, csv) in charts::all(&results)? {
            self.dir.write(&format!("figures/{name}.svg"), &svg)?;
            self.dir.write(&format!("figures/{name}.csv"), &csv)?;
        }
        Ok(())
    }

    /// Writes the report, and gives its path.
    pub fn report(&self) -> Result<PathBuf, ExperimentError> {
        let results = Results::read(&self.dir)?;
        self.dir.write("report.md", &report::text(&results, &self.dir.manifest()?))?;
        Ok(self.dir.path().join("report.md"))
    }
}
