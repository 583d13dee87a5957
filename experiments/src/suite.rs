//! All experiments that come with the program, one after the other, and what of them is kept for others to read.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    experiment::{COSTS, Experiment, ExperimentError, FITTED_COSTS},
    modelled::CostsFrom,
    preset::{BUILT_IN, Preset},
    rundir::{RunDir, RunDirError},
};

/// The experiment that others take their costs from: it is the first.
const CALIBRATION: &str = "model";

/// Files of an experiment that are published, if there are any.
const PUBLISHED: [&str; 9] = [
    "manifest.toml",
    "preset.toml",
    "report.md",
    "results.csv",
    "runs.csv",
    "anonymity.csv",
    "prediction.csv",
    COSTS,
    FITTED_COSTS,
];

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
    /// of them.
    ///
    /// # Errors
    /// [`RunDirError::File`] if something cannot be read or written.
    pub fn publish(&self, to: &Path) -> Result<(), RunDirError> {
        let mut list = "# Results\n\n| experiment | what it shows | runs |\n|---|---|--:|\n".to_owned();
        for preset in Self::presets()? {
            let (from, to) = (self.out.join(&preset.name), to.join(&preset.name));
            if !from.join("report.md").is_file() {
                continue;
            }
            let points = preset.points().map_err(RunDirError::from)?.len();
            let runs = points * preset.repeats as usize;
            copy_all(&RunDir::open(&from)?, &to)?;
            writeln!(list, "| [{0}]({0}/report.md) | {1} | {runs} |", preset.name, preset.title)
                .expect("text takes everything");
        }
        list.push_str("\nMade by `hippodrome experiment all`; each directory says on what machine, and when.\n");
        let path = to.join("README.md");
        fs::write(&path, list).map_err(|source| RunDirError::File { path, source })
    }
}

/// Copies what is published of one experiment in the place of what was there.
fn copy_all(run: &RunDir, to: &Path) -> Result<(), RunDirError> {
    let refused = |source: io::Error| RunDirError::File { path: to.to_owned(), source };
    if to.exists() {
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
        experiment.plot().and_then(|()| experiment.report()).expect("a report without figures");
        fs::create_dir_all(out.join(&preset.name).join("figures")).expect("a directory");
        fs::write(out.join(&preset.name).join("figures/a.svg"), "<svg/>").expect("written");
        suite.publish(&to).expect("published");
        let published = to.join(&preset.name);
        for name in ["report.md", "manifest.toml", "preset.toml", "figures/a.svg"] {
            assert!(published.join(name).is_file(), "{name}");
        }
        assert!(!published.join("points").exists());
        let list = fs::read_to_string(to.join("README.md")).expect("a list");
        assert!(list.contains(&format!("{}/report.md", preset.name)) && !list.contains("quick"), "{list}");
    }
}
