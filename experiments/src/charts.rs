//! The figures of an experiment, as its preset asks for them.

use serde::{Deserialize, Serialize};

use crate::{
    modelled::{Answers, Predicted},
    plot::{Axis, Figure, Origin, PlotError, Point, Series},
    prediction,
    preset::Numbered,
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
    /// Another one, drawn along the bottom as series of its own.
    pub beside: Option<String>,
    /// A metric.
    pub y: String,
    /// Points with the same value of this setting belong together.
    pub series: Option<String>,
    /// Axes by ratios.
    #[serde(default)]
    pub log: bool,
    /// What the model says of the same points, and of those beyond, is drawn as lines.
    #[serde(default)]
    pub modelled: bool,
}

impl Chart {
    /// The figure; none if there is nothing to draw yet.
    pub fn figure(&self, results: &Results, answers: Option<&Answers>) -> Option<Figure> {
        let mut series = Vec::new();
        for x in [&self.x].into_iter().chain(&self.beside) {
            results.points.iter().for_each(|of| self.put_measured(&mut series, of, x));
        }
        for predicted in answers.filter(|_| self.modelled).iter().flat_map(|answers| &answers.points) {
            let (Some(x), Some(y)) = (predicted.coordinate(&self.x), predicted.coordinate(&self.y)) else { continue };
            let value = self.value(&predicted.numbered, &self.x);
            put(&mut series, value, Origin::Modelled, Point::new(x, y));
        }
        series.iter_mut().for_each(|series| series.points.sort_by(|a, b| a.x.total_cmp(&b.x)));
        let unit = |name: &str| results.points.iter().find_map(|of| of.coordinate(name)).map_or("", |(_, unit)| unit);
        let axis = |label: &str, name: &str| match self.log {
            true => Axis::log(label, unit(name)),
            false => Axis::linear(label, unit(name)),
        };
        let along: Vec<String> = [&self.x].into_iter().chain(&self.beside).map(|name| words(name)).collect();
        let (x, y) = (axis(&along.join(" or "), &self.x), axis(&words(&self.y), &self.y));
        let (name, title) = (self.name.clone(), self.title.clone());
        let has_model = series.iter().any(|series| series.origin == Origin::Modelled);
        let lines = if has_model { " Lines: the model." } else { "" };
        let note = format!("Median of all runs; bars: 95 % confidence.{lines}");
        (!series.is_empty()).then_some(Figure { name, title, x, y, series, note })
    }

    /// Adds a point, if it has both metrics.
    fn put_measured(&self, all: &mut Vec<Series>, of: &OfPoint, x: &str) {
        let (Some((along, _)), Some((y, _))) = (of.coordinate(x), of.coordinate(&self.y)) else { return };
        let point = Point { x: along.value, y: y.value, interval: Some(y.interval) };
        put(all, self.value(&of.numbered, x), Origin::Measured, point);
    }

    /// What points that belong together have in common.
    fn value(&self, of: &Numbered, x: &str) -> String {
        let setting = self.series.as_ref().map(|name| of.setting(name));
        let along = self.beside.as_ref().map(|_| words(x));
        [setting, along].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Adds a point to the series that it belongs to. What is modelled and what is measured have one style.
fn put(all: &mut Vec<Series>, value: String, origin: Origin, point: Point) {
    let label = match (origin, value.is_empty()) {
        (Origin::Measured, true) => "measured".into(),
        (Origin::Measured, false) => value.clone(),
        (_, true) => "modelled".into(),
        (_, false) => format!("{value}, modelled"),
    };
    if let Some(known) = all.iter_mut().find(|series| series.label == label) {
        return known.points.push(point);
    }
    let measured = if value.is_empty() { "measured" } else { &value };
    let distinct = all.iter().filter(|series| series.origin == Origin::Measured).count();
    let style = all.iter().find(|series| series.label == measured).map_or(distinct, |series| series.style);
    all.push(Series { label, origin, style, points: vec![point] });
}

/// The name of a setting or metric, for people.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

impl OfPoint {
    /// A metric, or a setting that is a number, with its unit.
    fn coordinate(&self, name: &str) -> Option<(Estimate, &'static str)> {
        let metric = self.estimates.iter().find(|(metric, _)| metric.name == name);
        if let Some((metric, estimate)) = metric {
            return Some((*estimate, metric.unit));
        }
        let exactly = |(value, unit)| (Estimate { value, interval: Interval { low: value, high: value } }, unit);
        let known = self.anonymity.as_ref().and_then(|anonymity| anonymity.metric(name));
        known.or_else(|| Some((self.numbered.setting(name).parse().ok()?, ""))).map(exactly)
    }
}

impl Predicted {
    /// A metric that the model knows, or a setting that is a number.
    fn coordinate(&self, name: &str) -> Option<f64> {
        let metric = self.metrics.iter().find(|(metric, _)| metric.name == name).map(|(_, value)| *value);
        metric.or_else(|| self.numbered.setting(name).parse().ok())
    }
}

impl Numbered {
    /// A setting as text; nested ones as `link.delay_ms`, and trouble in words.
    fn setting(&self, name: &str) -> String {
        if let ("trouble", Some(trouble)) = (name, &self.point.trouble) {
            return trouble.to_string();
        }
        let settings = serde_json::to_value(&self.point).expect("plain values");
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
pub fn all(results: &Results, answers: Option<&Answers>) -> Result<Vec<(String, String, String)>, ChartError> {
    let charts = results.preset.figures.iter().filter_map(|chart| chart.figure(results, answers));
    let asked = answers.into_iter().flat_map(|answers| {
        let predicted = answers.validation.as_ref().and_then(prediction::figure);
        predicted.into_iter().chain(answers.figures.iter().cloned())
    });
    charts
        .chain(asked)
        .map(|figure| {
            let svg = figure.svg().map_err(|source| ChartError { name: figure.name.clone(), source })?;
            Ok((figure.name.clone(), svg, figure.csv()))
        })
        .collect()
}
