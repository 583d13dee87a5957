//! Where things are on the page, in points.

use super::{Figure, Scale};

/// 8.5 cm.
pub(super) const WIDTH: f64 = 241.0;
/// Height of the title's and the axes' letters.
pub(super) const TEXT: f64 = 9.0;
/// Height of the letters of ticks and legend.
pub(super) const SMALL: f64 = 8.0;
/// From one line of text to the next.
pub(super) const LINE: f64 = 11.0;
/// Height of the diagram itself.
const PLOT: f64 = 140.0;
/// Height of a row of one that has rows.
const ROW: f64 = 17.0;
const LEFT: f64 = 38.0;
/// Most that names of rows may take of the width.
const MOST_LEFT: f64 = 0.55 * WIDTH;
const RIGHT: f64 = 10.0;
/// Width of a sample of a series in the legend.
pub(super) const SAMPLE: f64 = 22.0;

/// The page of one figure.
pub(super) struct Page {
    pub(super) title: Vec<String>,
    pub(super) note: Vec<String>,
    rows: usize,
    column_widths: Vec<f64>,
    left: f64,
    /// Height of the diagram itself.
    plot: f64,
}

impl Page {
    pub(super) fn of(figure: &Figure) -> Self {
        let widths: Vec<f64> = figure.series.iter().map(|series| SAMPLE + 8.0 + width(&series.label, SMALL)).collect();
        let fits = |columns: usize| column_widths(&widths, columns).iter().sum::<f64>() <= WIDTH - 4.0;
        let column_widths = column_widths(&widths, (1..=3).rev().find(|&columns| fits(columns)).unwrap_or(1));
        let rows = widths.len().div_ceil(column_widths.len());
        let [title, note] = [(&figure.title, TEXT), (&figure.note, SMALL)].map(|(text, size)| wrap(text, size));
        let (left, plot) = match &figure.y.scale {
            Scale::Rows(names) => (left_of(names), ROW * names.len() as f64),
            Scale::Linear | Scale::Log => (LEFT, PLOT),
        };
        Self { title, note, rows, column_widths, left, plot }
    }

    pub(super) fn left(&self) -> f64 {
        self.left
    }

    pub(super) fn right(&self) -> f64 {
        WIDTH - RIGHT
    }

    pub(super) fn top(&self) -> f64 {
        6.0 + LINE * self.title.len() as f64
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top() + self.plot
    }

    /// Base line of the lower axis's title.
    pub(super) fn axis_title(&self) -> f64 {
        self.bottom() + 23.0
    }

    /// Left end and base line of an entry of the legend, which is filled row by row.
    pub(super) fn entry(&self, index: usize) -> (f64, f64) {
        let (row, column) = (index / self.column_widths.len(), index % self.column_widths.len());
        let left: f64 = self.column_widths[..column].iter().sum();
        (4.0 + left, self.axis_title() + LINE * (row + 1) as f64 + 4.0)
    }

    /// Base line of a line of the note.
    pub(super) fn note_line(&self, line: usize) -> f64 {
        self.axis_title() + LINE * (self.rows + line + 1) as f64 + 6.0
    }

    pub(super) fn height(&self) -> f64 {
        self.note_line(self.note.len()) - 5.0
    }
}

/// Where a diagram begins that has these names at its left.
fn left_of(names: &[String]) -> f64 {
    let widest = names.iter().map(|name| width(name, SMALL)).fold(0.0, f64::max);
    (widest + 10.0).min(MOST_LEFT)
}

/// The widest entry of each column.
fn column_widths(widths: &[f64], columns: usize) -> Vec<f64> {
    let widest = |column| widths.iter().skip(column).step_by(columns).copied().fold(0.0, f64::max);
    (0..columns).map(widest).collect()
}

/// About how wide a text is: Helvetica's letters are half as wide as high, on the average.
fn width(text: &str, size: f64) -> f64 {
    0.5 * size * text.chars().count() as f64
}

/// Breaks a text at spaces into lines that fit.
fn wrap(text: &str, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| width(line, size) + width(word, size) + size <= WIDTH - 8.0) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
