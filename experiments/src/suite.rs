//! All experiments that come with the program, one after the other, and what of them is kept for others to read.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    experiment::{COSTS, Experiment, ExperimentError, FITTED_COSTS, REPORT},
    modelled::CostsFrom,
    preset::{BUILT_IN, Preset},
    rundir::{MANIFEST, PRESET, RunDir, RunDirError},
};

/// The experiment that others take their costs from: it is the first.
const CALIBRATION: &str = "model";

/// Files of an experiment that are published, if there are any.
const PUBLISHED: [&str; 9] =
    [MANIFEST, PRESET, REPORT, "results.csv", "runs.csv", "anonymity.csv", "prediction.csv", COSTS, FITTED_COSTS];

/// Where all experiments are, each in a directory by its name.
#[derive(Clone, Debug)]
pub struct Suite {
    out: PathBuf,
}

impl Suite {
    /// In this directory, which need not be there.
    pub fn new(out: &Path) -> Self {
        Self { out: out.to_owned() }
    }

    /// All presets in the order in which they are run.
    ///
    /// # Errors
    /// [`RunDirError::Preset`]: one that does not parse, which a test rules out.
    pub fn presets() -> Result<Vec<Preset>, RunDirError> {
        let mut all = BUILT_IN.iter().map(|(name, text)| Preset::parse(name, text)).collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|preset| preset.name != CALIBRATION);
        Ok(all)
    }

    /// Begins one of them, or goes on with it. The costs of its model are those that the first has fitted, if it has.
    ///
    /// # Errors
    /// [`ExperimentError::Dir`] if the directory cannot be used.
    pub fn begin(&self, preset: &Preset) -> Result<Experiment, ExperimentError> {
        let experiment = Experiment::begin(preset, &self.out.join(&preset.name))?;
        let measured = preset.model.as_ref().is_some_and(|model| model.costs == CostsFrom::Measured);
        let fitted = self.out.join(CALIBRATION).join(FITTED_COSTS);
        if measured && preset.name != CALIBRATION && fitted.is_file() {
            let text = fs::read_to_string(&fitted).map_err(|source| RunDirError::File { path: fitted, source })?;
            experiment.take_costs(&text)?;
        }
        Ok(experiment)
    }

    /// Copies what people look at: reports, tables, figures and manifests of all experiments that have a report, and a list
    /// of them. Gives their names.
    ///
    /// # Errors
    /// [`RunDirError::File`] if something cannot be read or written, or has other files in it. [`RunDirError::NoExperiment`]
    /// if no experiment has a report.
    pub fn publish(&self, to: &Path) -> Result<Vec<String>, RunDirError> {
        let with_report = |preset: &Preset| self.out.join(&preset.name).join(REPORT).is_file();
        let names: Vec<String> = Self::presets()?.into_iter().filter(with_report).map(|preset| preset.name).collect();
        if names.is_empty() {
            return Err(RunDirError::NoExperiment(self.out.clone()));
        }
        let mut list = "# Results\n\n| experiment | what it shows | runs |\n|---|---|--:|\n".to_owned();
        for name in &names {
            let run = RunDir::open(&self.out.join(name))?;
            let preset = run.preset()?;
            let runs = preset.points()?.len() * preset.repeats as usize;
            copy_all(&run, &to.join(name))?;
            writeln!(list, "| [{name}]({name}/{REPORT}) | {} | {runs} |", preset.title).expect("text takes everything");
        }
        list.push_str("\nEach manifest says by what command, on what machine, and when.\n");
        let path = to.join("README.md");
        fs::write(&path, list).map_err(|source| RunDirError::File { path, source })?;
        Ok(names)
    }
}

/// Copies what is published of one experiment in the place of what was there.
fn copy_all(run: &RunDir, to: &Path) -> Result<(), RunDirError> {
    let refused = |source: io::Error| RunDirError::File { path: to.to_owned(), source };
    if to.exists() {
        let is_earlier = [REPORT, MANIFEST].iter().all(|name| to.join(name).is_file());
        let other = "it has something else in it than an experiment that was published";
        is_earlier.then_some(()).ok_or_else(|| refused(io::Error::other(other)))?;
        fs::remove_dir_all(to).map_err(refused)?;
    }
    fs::create_dir_all(to.join("figures")).map_err(refused)?;
    let figures = fs::read_dir(run.path().join("figures")).map_err(refused)?;
    let names = figures.flatten().map(|entry| Path::new("figures").join(entry.file_name()));
    for name in PUBLISHED.iter().map(PathBuf::from).chain(names) {
        let from = run.path().join(&name);
        if from.is_file() {
            fs::copy(&from, to.join(&name)).map_err(refused)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_comes_first_and_every_preset_once() {
        let names: Vec<String> = Suite::presets().expect("presets").into_iter().map(|preset| preset.name).collect();
        assert_eq!(names.len(), BUILT_IN.len());
        assert_eq!(names[0], CALIBRATION);
    }

    #[test]
    fn what_is_published_is_what_people_look_at() {
        let place = tempfile::tempdir().expect("a directory");
        let (out, to) = (place.path().join("out"), place.path().join("published"));
        let suite = Suite::new(&out);
        let preset = Suite::presets().expect("presets").into_iter().find(|preset| preset.repeats == 0).expect("one");
        let experiment = suite.begin(&preset).expect("begun");
        experiment.conclude().expect("a report without figures");
        fs::create_dir_all(out.join(&preset.name).join("figures")).expect("a directory");
        fs::write(out.join(&preset.name).join("figures/a.svg"), "<svg/>").expect("written");
        assert!(matches!(Suite::new(&to).publish(&to), Err(RunDirError::NoExperiment(_))));
        for _ in 0..2 {
            assert_eq!(suite.publish(&to).expect("published"), [preset.name.as_str()]);
        }
        let published = to.join(&preset.name);
        for name in ["report.md", "manifest.toml", "preset.toml", "figures/a.svg"] {
            assert!(published.join(name).is_file(), "{name}");
        }
        assert!(!published.join("points").exists());
        fs::remove_file(published.join("manifest.toml")).expect("removed");
        assert!(matches!(suite.publish(&to), Err(RunDirError::File { .. })), "somebody else's directory is left alone");
        let list = fs::read_to_string(to.join("README.md")).expect("a list");
        assert!(list.contains(&format!("{}/report.md", preset.name)) && !list.contains("quick"), "{list}");
    }
}
