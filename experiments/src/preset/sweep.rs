//! Settings with several values, and how they go together.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{MOST_POINTS, PresetError};

/// Settings with several values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// How values of several settings go together.
    #[serde(default)]
    pub mode: Mode,
    /// The values of each.
    #[serde(default)]
    pub axes: BTreeMap<String, Vec<Value>>,
}

/// How values of several settings go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Each with each.
    #[default]
    Cross,
    /// The first with the first, the second with the second.
    Zip,
}

impl Sweep {
    /// The settings that each point has of its own.
    pub(super) fn choices(&self, origin: &str) -> Result<Vec<Table>, PresetError> {
        let lengths: Vec<usize> = self.axes.values().map(Vec::len).collect();
        let points = match self.mode {
            Mode::Cross => lengths.iter().try_fold(1_usize, |all, length| all.checked_mul(*length)),
            Mode::Zip if lengths.windows(2).any(|pair| pair[0] != pair[1]) => {
                return Err(PresetError::Zip { origin: origin.into(), lengths });
            }
            Mode::Zip => Some(lengths.first().copied().unwrap_or(1)),
        };
        let points = points.unwrap_or(usize::MAX);
        if !(1..=MOST_POINTS).contains(&points) {
            return Err(PresetError::Points { origin: origin.into(), points });
        }
        Ok((0..points).map(|number| self.choice(number)).collect())
    }

    fn choice(&self, number: usize) -> Table {
        let mut rest = number;
        let value = |(name, values): (&String, &Vec<Value>)| {
            let index = match self.mode {
                Mode::Zip => number,
                Mode::Cross => {
                    let index = rest % values.len();
                    rest /= values.len();
                    index
                }
            };
            (name.clone(), values[index].clone())
        };
        self.axes.iter().map(value).collect()
    }
}

/// The settings that a point does not share with all others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Label(pub(super) Table);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("the only one") } else { write_settings(f, &self.0) }
    }
}

/// Settings one behind the other, without quotes and commas, so that labels stand in tables.
fn write_settings(f: &mut fmt::Formatter<'_>, settings: &Table) -> fmt::Result {
    for (number, (name, value)) in settings.iter().enumerate() {
        let separator = if number == 0 { "" } else { " " };
        write!(f, "{separator}{name}=")?;
        match value {
            Value::String(text) => f.write_str(text)?,
            Value::Table(inner) => {
                f.write_str("{")?;
                write_settings(f, inner)?;
                f.write_str("}")?;
            }
            other => write!(f, "{other}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_no_commas_and_no_quotes_however_deep_settings_are() {
        let settings = "chains = 2\nlink = {}\ntrouble = { kind = \"kill\", node = \"server-1\" }";
        let label = Label(settings.parse().expect("settings"));
        assert_eq!(label.to_string(), "chains=2 link={} trouble={kind=kill node=server-1}");
        assert_eq!(Label::default().to_string(), "the only one");
    }
}
