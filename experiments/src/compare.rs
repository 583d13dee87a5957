//! Two runs of an experiment beside each other.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use crate::{
    results::{Metric, OfPoint, Results},
    rundir::{RunDir, RunDirError},
    stats::Estimate,
};

/// Why two runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One of them.
    #[error(transparent)]
    Dir(#[from] RunDirError),
    /// They have nothing in common.
    #[error("{} and {} have no point in common: expected two runs of one preset", before.display(), after.display())]
    NothingInCommon {
        /// The one.
        before: PathBuf,
        /// The other.
        after: PathBuf,
    },
}

/// A table of every metric of every point that both have: the median of each, the ratio, and whether the intervals are
/// apart.
pub fn text(before: &Path, after: &Path) -> Result<String, CompareError> {
    let read = |path: &Path| Results::read(&RunDir::open(path)?);
    let (first, second) = (read(before)?, read(after)?);
    let nothing = || CompareError::NothingInCommon { before: before.to_owned(), after: after.to_owned() };
    let mut text = format!("{:<40} {:<28} {:>12} {:>12} {:>7}\n", "point", "metric", "before", "after", "ratio");
    let mut lines = 0;
    for of in &first.points {
        let same = |other: &&OfPoint| other.numbered.point == of.numbered.point;
        let Some(other) = second.points.iter().find(same) else { continue };
        for (metric, estimate) in &of.estimates {
            if let Some(now) = other.estimate(&metric.name) {
                lines += 1;
                writeln!(text, "{}", line(of, metric, estimate, &now)).expect("text takes everything");
            }
        }
    }
    if lines == 0 { Err(nothing()) } else { Ok(text) }
}

fn line(of: &OfPoint, metric: &Metric, before: &Estimate, after: &Estimate) -> String {
    let label = of.numbered.label.to_string();
    let name = format!("{} ({})", metric.name, metric.unit);
    let ratio = if before.value == 0.0 { String::from("–") } else { format!("{:.3}", after.value / before.value) };
    let apart = before.interval.high < after.interval.low || after.interval.high < before.interval.low;
    let verdict = if apart { "  intervals apart" } else { "" };
    format!("{label:<40} {name:<28} {:>12.4} {:>12.4} {ratio:>7}{verdict}", before.value, after.value)
}
