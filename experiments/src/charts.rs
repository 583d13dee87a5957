//! The figures of an experiment, as its preset asks for them.

use serde::{Deserialize, Serialize};

use crate::{
    plot::{Axis, Figure, Origin, PlotError, Point, Series},
    results::{OfPoint, Results},
    stats::{Estimate, Interval},
};

/// A figure that a preset asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    /// The stem of its files' names.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// A setting or a metric, along the bottom.
    pub x: String,
    /// A metric.
    pub y: String,
    /// Points with the same value of this setting belong together.
    pub series: Option<String>,
    /// Axes by ratios.
    #[serde(default)]
    pub log: bool,
}

impl Chart {
    /// The figure; none if there is nothing to draw yet.
    pub fn figure(&self, results: &Results) -> Option<Figure> {
        let mut series: Vec<Series> = Vec::new();
        for of in &results.points {
            let (Some((x, _)), Some((y, _))) = (of.coordinate(&self.x), of.coordinate(&self.y)) else { continue };
            let point = Point { x: x.value, y: y.value, interval: Some(y.interval) };
            let label = self.series.as_ref().map_or("measured".into(), |name| of.setting(name));
            match series.iter_mut().find(|series| series.label == label) {
                Some(known) => known.points.push(point),
                None => {
                    let style = series.len();
                    series.push(Series { label, origin: Origin::Measured, style, points: vec![point] });
                }
            }
        }
        series.iter_mut().for_each(|series| series.points.sort_by(|a, b| a.x.total_cmp(&b.x)));
        let unit = |name: &str| results.points.iter().find_map(|of| of.coordinate(name)).map_or("", |(_, unit)| unit);
        let axis = |name: &str| match self.log {
            true => Axis::log(&name.replace('_', " "), unit(name)),
            false => Axis::linear(&name.replace('_', " "), unit(name)),
        };
        let (name, title) = (self.name.clone(), self.title.clone());
        let note = "Median of all runs; bars: 95 % confidence.".to_owned();
        (!series.is_empty()).then(|| Figure { name, title, x: axis(&self.x), y: axis(&self.y), series, note })
    }
}

impl OfPoint {
    /// A metric, or a setting that is a number, with its unit.
    fn coordinate(&self, name: &str) -> Option<(Estimate, &'static str)> {
        let metric = self.estimates.iter().find(|(metric, _)| metric.name == name);
        let exactly = |value: f64| (Estimate { value, interval: Interval { low: value, high: value } }, "");
        match metric {
            Some((metric, estimate)) => Some((*estimate, metric.unit)),
            None => self.setting(name).parse().ok().map(exactly),
        }
    }

    /// A setting as text; nested ones as `link.delay_ms`.
    fn setting(&self, name: &str) -> String {
        let settings = serde_json::to_value(&self.numbered.point).expect("plain values");
        match settings.pointer(&format!("/{}", name.replace('.', "/"))) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }
}

/// A figure that cannot be drawn, and why.
#[derive(Debug, thiserror::Error)]
#[error("figure {name}: {source}")]
pub struct ChartError {
    name: String,
    source: PlotError,
}

/// All figures of an experiment that have something to draw: name, SVG and CSV.
pub fn all(results: &Results) -> Result<Vec<(String, String, String)>, ChartError> {
    let figures = results.preset.figures.iter().filter_map(|chart| chart.figure(results));
    figures
        .map(|figure| {
            let svg = figure.svg().map_err(|source| ChartError { name: figure.name.clone(), source })?;
            Ok((figure.name.clone(), svg, figure.csv()))
        })
        .collect()
}
