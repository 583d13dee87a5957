//! Delays between regions from a file of their own, so that many presets can share one.
//!
//! A line has two regions and what a bit takes from the first to the second, milliseconds: `paris,rome,15`. Lines that begin
//! with `#` are comments.

use std::{collections::BTreeMap, fs, path::Path};

use toml::{Table, Value};

use super::PresetError;

/// One-way delays by where from and where to.
type Delays = BTreeMap<String, BTreeMap<String, f64>>;

/// Reads a file of delays, and puts them among the settings of all points. Delays that the settings have already stay.
pub(super) fn read_into(point: &mut Table, path: &Path) -> Result<(), PresetError> {
    let text = fs::read_to_string(path).map_err(|source| PresetError::Read { path: path.into(), source })?;
    let delays = parse(&text).map_err(|line| PresetError::Delays { path: path.into(), line })?;
    let own = point.entry("delays_ms").or_insert_with(|| Value::Table(Table::new()));
    // What is no table is refused where points are made.
    let Some(own) = own.as_table_mut() else { return Ok(()) };
    for (from, row) in delays {
        let Some(known) = own.entry(from).or_insert_with(|| Value::Table(Table::new())).as_table_mut() else {
            continue;
        };
        for (to, delay) in row {
            known.entry(to).or_insert(Value::Float(delay));
        }
    }
    Ok(())
}

/// All lines; or the number of the first that is none, from 1.
fn parse(text: &str) -> Result<Delays, usize> {
    let mut delays = Delays::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [from, to, delay] = fields[..] else { return Err(number) };
        let delay = delay.parse::<f64>().ok().filter(|delay| delay.is_finite()).ok_or(number)?;
        delays.entry(from.to_owned()).or_default().insert(to.to_owned(), delay);
    }
    Ok(delays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_what_is_none_is_named() {
        let delays = parse("# one way\n\nparis, rome, 15\nrome,paris,16.5\n").expect("delays");
        assert_eq!((delays["paris"]["rome"], delays["rome"]["paris"]), (15.0, 16.5));
        for (text, line) in [("paris,rome\n", 1), ("# a\nparis,rome,far\n", 2), ("a,b,1\na,b,NaN\n", 2)] {
            assert_eq!(parse(text), Err(line), "{text}");
        }
    }
}
