//! The numbers behind a figure.

use super::{Figure, Point};

pub(super) fn write(figure: &Figure) -> String {
    let columns = [&figure.x.title(), &figure.y.title()].map(|title| quoted(title)).join(",");
    let head = format!("series,origin,{columns},low,high\n");
    let lines = figure.series.iter().flat_map(|series| {
        let start = format!("{},{}", quoted(&series.label), series.origin.name());
        series.points.iter().map(move |point| format!("{start},{}\n", fields(figure, point)))
    });
    std::iter::once(head).chain(lines).collect()
}

/// Numbers have as few digits as give the same number back, rows their names.
fn fields(figure: &Figure, point: &Point) -> String {
    let (low, high) = point.interval.map(|interval| (interval.low.to_string(), interval.high.to_string())).unzip();
    let y = figure.y.scale.name(point.y).map_or_else(|| point.y.to_string(), quoted);
    format!("{},{y},{},{}", point.x, low.unwrap_or_default(), high.unwrap_or_default())
}

/// A field as RFC 4180 has it.
fn quoted(field: &str) -> String {
    match field.contains(['"', ',', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}
