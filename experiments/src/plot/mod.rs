//! Figures: what is in one, drawn as SVG at the width of a column, with all its numbers as CSV.
//!
//! A figure is 8.5 cm wide and its text 8 or 9 points high, so that it is read in print as it is drawn. Colours are those
//! of Okabe and Ito, which people with any kind of colour vision tell apart; each goes with a marker and dashes of its own.
//! Filled markers were measured, dashed lines come from a model, hollow markers are somebody else's figures, and dotted
//! lines are somebody else's extrapolation. The same figure gives the same bytes: no times, no random names, fonts by name.

mod csv;
mod layout;
mod scale;
mod svg;

use crate::stats::Interval;

/// One diagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The stem of its files' names.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// The axis at the bottom.
    pub x: Axis,
    /// The axis at the left.
    pub y: Axis,
    /// What is drawn, in the legend's order.
    pub series: Vec<Series>,
    /// What the reader has to know, set under the legend.
    pub note: String,
}

/// What an axis measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it is.
    pub label: String,
    /// In which unit; nothing for plain numbers.
    pub unit: String,
    /// How values are laid out.
    pub scale: Scale,
}

/// How values are laid out along an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences have equal lengths, and the axis begins at 0 if no value is below.
    Linear,
    /// Equal ratios have equal lengths; all values are above 0.
    Log,
    /// Things with names, one below the other, on the upright axis only. Values are their numbers from 0, and near these to
    /// be drawn beside each other.
    Rows(Vec<String>),
}

/// Where points come from, which decides how they are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Runs of ours: filled markers.
    Measured,
    /// A model of ours: dashed lines.
    Modelled,
    /// Somebody else's measurements: hollow markers.
    Published,
    /// Somebody else's extrapolation: dotted lines.
    Projected,
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub label: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Which colour, marker and dashes it has. Series that are to be compared have the same number.
    pub style: usize,
    /// In the order in which they are joined.
    pub points: Vec<Point>,
}

/// One point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Along the bottom.
    pub x: f64,
    /// Upwards.
    pub y: f64,
    /// Where `y` may be, drawn as a bar; or `x`, where there are rows.
    pub interval: Option<Interval>,
}

/// Why a figure cannot be drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlotError {
    /// There is nothing to draw.
    #[error("figure `{0}` has no points")]
    Empty(String),
    /// A value has no place on its axis.
    #[error(
        "figure `{figure}`: {value} of series `{series}` has no place on its axis: finite values only, above 0 on a \
             logarithmic axis"
    )]
    Value {
        /// The figure.
        figure: String,
        /// The series.
        series: String,
        /// The value.
        value: f64,
    },
}

impl Axis {
    /// An axis whose values lie evenly.
    pub fn linear(label: &str, unit: &str) -> Self {
        Self { label: label.to_owned(), unit: unit.to_owned(), scale: Scale::Linear }
    }

    /// An upright axis with a row for each of these.
    pub fn rows(label: &str, names: Vec<String>) -> Self {
        Self { scale: Scale::Rows(names), ..Self::linear(label, "") }
    }

    /// An axis by ratios.
    pub fn log(label: &str, unit: &str) -> Self {
        Self { scale: Scale::Log, ..Self::linear(label, unit) }
    }

    /// Label and unit.
    fn title(&self) -> String {
        if self.unit.is_empty() { self.label.clone() } else { format!("{} ({})", self.label, self.unit) }
    }
}

impl Origin {
    /// The word in CSV files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Modelled => "modelled",
            Self::Published => "published",
            Self::Projected => "projected",
        }
    }
}

impl Point {
    /// A value without an interval.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, interval: None }
    }

    /// A value, and the ends of its interval if that lies along its axis.
    fn values(&self, value: f64, has_interval: bool) -> impl Iterator<Item = f64> + use<> {
        let interval = self.interval.filter(|_| has_interval);
        [value].into_iter().chain(interval.into_iter().flat_map(|interval| [interval.low, interval.high]))
    }
}

impl Figure {
    /// The drawing.
    ///
    /// # Errors
    /// [`PlotError`] if there are no points, or values that have no place on an axis.
    pub fn svg(&self) -> Result<String, PlotError> {
        self.check()?;
        Ok(svg::draw(self))
    }

    /// The numbers: one line for each point, behind a line that names the columns.
    pub fn csv(&self) -> String {
        csv::write(self)
    }

    /// Every value of a point along the bottom.
    fn along(&self, point: &Point) -> impl Iterator<Item = f64> + use<> {
        point.values(point.x, self.has_rows())
    }

    /// Every value of a point upwards.
    fn upwards(&self, point: &Point) -> impl Iterator<Item = f64> + use<> {
        point.values(point.y, !self.has_rows())
    }

    fn has_rows(&self) -> bool {
        matches!(self.y.scale, Scale::Rows(_))
    }

    /// The first value of a point that has no place on its axis.
    fn misfit(&self, point: &Point) -> Option<f64> {
        let along = self.along(point).find(|value| !self.x.scale.takes(*value));
        along.or_else(|| self.upwards(point).find(|value| !self.y.scale.takes(*value)))
    }

    /// Leaves out points that have no place on an axis; gives how many.
    pub fn leave_out_misfits(&mut self) -> usize {
        let count = |figure: &Self| figure.series.iter().map(|series| series.points.len()).sum::<usize>();
        let all = count(self);
        let mut series = std::mem::take(&mut self.series);
        series.iter_mut().for_each(|series| series.points.retain(|point| self.misfit(point).is_none()));
        series.retain(|series| !series.points.is_empty());
        self.series = series;
        all - count(self)
    }

    fn check(&self) -> Result<(), PlotError> {
        if self.series.iter().all(|series| series.points.is_empty()) {
            return Err(PlotError::Empty(self.name.clone()));
        }
        for series in &self.series {
            if let Some(value) = series.points.iter().find_map(|point| self.misfit(point)) {
                return Err(PlotError::Value { figure: self.name.clone(), series: series.label.clone(), value });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
