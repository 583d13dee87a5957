//! The figures of an experiment, as its preset asks for them.

use serde::{Deserialize, Serialize};

use crate::{
    modelled::{Answers, Predicted},
    plot::{Axis, Figure, Origin, PlotError, Point, Series},
    prediction,
    preset::Numbered,
    results::{OfPoint, Results},
    stats::{Estimate, Interval},
    words,
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
    /// A metric, upwards.
    pub y: Option<String>,
    /// In its place a setting: each of its values has a row.
    pub rows: Option<String>,
    /// Points with the same value of this setting belong together.
    pub series: Option<String>,
    /// Axes by ratios.
    #[serde(default)]
    pub log: bool,
    /// What the model says of the same points, and of those beyond, is drawn as lines.
    #[serde(default)]
    pub modelled: bool,
}

/// How far series of one row are apart, of the height of a row.
const APART: f64 = 0.24;

impl Chart {
    /// Whether it has one upright axis.
    pub(crate) fn is_sound(&self) -> bool {
        self.y.is_some() != self.rows.is_some()
    }

    /// The figure; none if there is nothing to draw yet.
    pub fn figure(&self, results: &Results, answers: Option<&Answers>) -> Option<Figure> {
        let upright = self.upright(results)?;
        let mut series = Vec::new();
        for x in self.along() {
            results.points.iter().for_each(|of| self.put_measured(&mut series, of, x, &upright));
        }
        answers.filter(|_| self.modelled).iter().for_each(|answers| self.put_modelled(&mut series, answers, &upright));
        upright.lay_out(&mut series);
        let (name, title) = (self.name.clone(), self.title.clone());
        let (x, y) = (self.axis(&self.along(), results), self.upright_axis(upright, results));
        let mut figure = Figure { name, title, x, y, series, note: String::new() };
        let left_out = figure.leave_out_misfits();
        figure.note = note(&figure, left_out);
        (!figure.series.is_empty()).then_some(figure)
    }

    /// What is drawn along the bottom.
    fn along(&self) -> Vec<&str> {
        [&self.x].into_iter().chain(&self.beside).map(String::as_str).collect()
    }

    fn upright(&self, results: &Results) -> Option<Upright<'_>> {
        let rows = self.rows.as_deref().map(|setting| {
            let mut names: Vec<String> = Vec::new();
            for name in results.points.iter().map(|of| of.numbered.setting(setting)) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            Upright::Rows { setting, names }
        });
        rows.or_else(|| self.y.as_deref().map(Upright::Metric))
    }

    fn axis(&self, names: &[&str], results: &Results) -> Axis {
        let unit_of =
            |name: &&str| results.points.iter().find_map(|of| of.coordinate(name)).map_or("", |(_, unit)| unit);
        let (label, unit) = words::of_all(names, names.first().map_or("", unit_of));
        if self.log { Axis::log(&label, &unit) } else { Axis::linear(&label, &unit) }
    }

    fn upright_axis(&self, upright: Upright<'_>, results: &Results) -> Axis {
        match upright {
            Upright::Metric(name) => self.axis(&[name], results),
            Upright::Rows { setting, names } => Axis::rows(&words::of(setting), names),
        }
    }

    /// Adds a point, if it has both coordinates.
    fn put_measured(&self, all: &mut Vec<Series>, of: &OfPoint, x: &str, upright: &Upright<'_>) {
        let Some((along, _)) = of.coordinate(x) else { return };
        let (y, interval) = match upright {
            Upright::Metric(name) => {
                let Some((up, _)) = of.coordinate(name) else { return };
                (up.value, up.interval)
            }
            Upright::Rows { setting, names } => {
                let row = names.iter().position(|name| *name == of.numbered.setting(setting));
                (row.unwrap_or(0) as f64, along.interval)
            }
        };
        let point = Point { x: along.value, y, interval: Some(interval) };
        put(all, self.value(&of.numbered, x), Origin::Measured, point);
    }

    /// Adds what the model says, as lines; rows have none.
    fn put_modelled(&self, all: &mut Vec<Series>, answers: &Answers, upright: &Upright<'_>) {
        let Upright::Metric(name) = upright else { return };
        for predicted in &answers.points {
            let (Some(x), Some(y)) = (predicted.coordinate(&self.x), predicted.coordinate(name)) else { continue };
            put(all, self.value(&predicted.numbered, &self.x), Origin::Modelled, Point::new(x, y));
        }
    }

    /// What points that belong together have in common.
    fn value(&self, of: &Numbered, x: &str) -> String {
        let setting = self.series.as_ref().map(|name| of.setting(name));
        let along = self.beside.as_ref().map(|_| words::of(x));
        [setting, along].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// What is drawn upwards: a metric, or the values of a setting in rows.
enum Upright<'a> {
    Metric(&'a str),
    Rows { setting: &'a str, names: Vec<String> },
}

impl Upright<'_> {
    /// Points along a line are joined in their order; those of one row lie beside each other.
    fn lay_out(&self, series: &mut [Series]) {
        let middle = (series.len() as f64 - 1.0) / 2.0;
        for (index, series) in series.iter_mut().enumerate() {
            match self {
                Self::Metric(_) => series.points.sort_by(|a, b| a.x.total_cmp(&b.x)),
                Self::Rows { .. } => {
                    series.points.iter_mut().for_each(|point| point.y += APART * (index as f64 - middle))
                }
            }
        }
    }
}

fn note(figure: &Figure, left_out: usize) -> String {
    let has_model = figure.series.iter().any(|series| series.origin == Origin::Modelled);
    let lines = if has_model { " Lines: the model." } else { "" };
    let without = match left_out {
        0 => String::new(),
        count => format!(" Without {count} of 0, for which this axis has no place."),
    };
    format!("Median of all runs; bars: 95 % confidence.{lines}{without}")
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

impl OfPoint {
    /// A metric, or a setting that is a number, with its unit.
    fn coordinate(&self, name: &str) -> Option<(Estimate, &'static str)> {
        let metric = self.estimates.iter().find(|(metric, _)| metric.name == name);
        if let Some((metric, estimate)) = metric {
            return Some((*estimate, metric.unit));
        }
        let exactly = |(value, unit)| (Estimate { value, interval: Interval { low: value, high: value } }, unit);
        let known = self.anonymity.as_ref().and_then(|anonymity| anonymity.metric(name));
        known.or_else(|| Some((self.numbered.setting(name).parse().ok()?, words::unit(name)))).map(exactly)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plot::Scale, preset::Preset, results::Metric};

    fn chart(rest: &str) -> Chart {
        toml::from_str(&format!("name = \"f\"\ntitle = \"F\"\n{rest}")).expect("a chart")
    }

    /// Two points, of one chain and of two, with these values of `recovery` and `out`.
    fn results(of_each: [[f64; 2]; 2]) -> Results {
        let head = "name = \"t\"\ntitle = \"T\"\nabout = \"a\"\nseed = 1\nrepeats = 1\n";
        let preset = Preset::parse("t", &format!("{head}[sweep.axes]\nchains = [1, 2]\n")).expect("a preset");
        let estimate = |value| Estimate { value, interval: Interval { low: value - 1.0, high: value + 1.0 } };
        let points = preset.points().expect("points").into_iter().zip(of_each).map(|(numbered, values)| {
            let named = ["recovery", "out"].into_iter().zip(values);
            let estimates = named.map(|(name, value)| (Metric { name: name.into(), unit: "ms" }, estimate(value)));
            OfPoint { numbered, runs: Vec::new(), estimates: estimates.collect(), anonymity: None }
        });
        Results { points: points.collect(), preset }
    }

    #[test]
    fn rows_have_one_value_of_a_setting_each_and_metrics_beside_each_other() {
        let results = results([[300.0, 100.0], [500.0, 200.0]]);
        let rows = chart("x = \"recovery\"\nbeside = \"out\"\nrows = \"chains\"\n");
        let figure = rows.figure(&results, None).expect("a figure");
        assert_eq!(figure.y.scale, Scale::Rows(vec!["1".into(), "2".into()]));
        assert_eq!((figure.x.label.as_str(), figure.x.unit.as_str()), ("time", "ms"));
        let labels: Vec<&str> = figure.series.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(labels, ["until all is well again", "until rounds go on without the node"]);
        let csv = figure.csv();
        assert!(csv.contains("until all is well again,measured,500,2,499,501"), "{csv}");
        figure.svg().expect("a drawing");
    }

    #[test]
    fn what_has_no_place_on_an_axis_by_ratios_is_left_out_and_said() {
        let upwards = chart("x = \"recovery\"\ny = \"out\"\nlog = true\n");
        let drawn = |of_each| upwards.figure(&results(of_each), None);
        let figure = drawn([[300.0, 100.0], [500.0, 0.0]]).expect("a figure");
        assert!(figure.series[0].points.len() == 1 && figure.note.contains("Without 1"), "{}", figure.note);
        assert!(drawn([[0.0, 100.0], [500.0, 0.0]]).is_none(), "there is nothing to draw");
        let linear = Chart { log: false, ..upwards.clone() };
        let all = linear.figure(&results([[300.0, 100.0], [500.0, 0.0]]), None).expect("a figure");
        assert_eq!(all.series[0].points.len(), 2);
    }
}
