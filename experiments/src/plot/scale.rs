//! From values to lengths, and where the ticks are.

use super::Scale;

/// Ticks that a linear axis has at most, beside the one at its beginning.
const TICKS: f64 = 7.0;
/// What a linear axis has beyond its last value, as a share of its length.
const MARGIN: f64 = 0.03;

/// The values of an axis, from its beginning to its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Range {
    scale: Scale,
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// Whether a value has a place.
    pub(super) fn takes(&self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Linear => true,
                Self::Log => value > 0.0,
                Self::Rows(_) => self.name(value).is_some(),
            }
    }

    /// The row that a value is in or next to.
    pub(super) fn name(&self, value: f64) -> Option<&str> {
        let Self::Rows(names) = self else { return None };
        (value > -0.5).then_some(value.round() as usize).and_then(|row| names.get(row)).map(String::as_str)
    }
}

impl Range {
    /// The range that shows all values and begins with a round number.
    pub(super) fn of(scale: &Scale, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (value.min(low), value.max(high)));
        match scale {
            Scale::Linear => Self::linear(low.min(0.0), high),
            Scale::Log => Self::log(low, high),
            Scale::Rows(names) => Self { scale: scale.clone(), low: -0.5, high: names.len() as f64 - 0.5, step: 1.0 },
        }
    }

    fn linear(low: f64, high: f64) -> Self {
        let span = if high > low { high - low } else { 1.0 };
        let step = round_above(span / TICKS);
        Self { scale: Scale::Linear, low: (low / step).floor() * step, high: low + (1.0 + MARGIN) * span, step }
    }

    /// Ended by 1, 2 or 5 times a power of ten.
    fn log(low: f64, high: f64) -> Self {
        let (low, high) = (round_below(low), round_above(high));
        Self { scale: Scale::Log, low, high: if high > low { high } else { low * 10.0 }, step: 10.0 }
    }

    /// Where a value lies, 0 at the beginning and 1 at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        match &self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).log10() / (self.high / self.low).log10(),
            // The first is at the top.
            Scale::Rows(_) => (self.high - value) / (self.high - self.low),
        }
    }

    /// What is written at a tick.
    pub(super) fn label(&self, tick: f64) -> String {
        match self.scale.name(tick) {
            Some(name) => name.to_owned(),
            None if tick.abs() >= 1e4 => format!("{}k", short(tick / 1e3)),
            None => short(tick),
        }
    }

    /// Values with a tick and a number.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match &self.scale {
            Scale::Linear => {
                let count = ((self.high - self.low) / self.step).floor() as i64;
                (0..=count).map(|tick| self.low + tick as f64 * self.step).collect()
            }
            Scale::Log => self.log_ticks(),
            Scale::Rows(names) => (0..names.len()).map(|row| row as f64).collect(),
        }
    }

    /// Powers of ten; with 2 and 5 times these where they are few.
    fn log_ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let factors: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let exponents = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let all = exponents.flat_map(|exponent| factors.iter().map(move |factor| factor * 10_f64.powi(exponent)));
        let slack = 1.0 + 1e-9;
        all.filter(|tick| (self.low / slack..=self.high * slack).contains(tick)).collect()
    }
}

/// A tick's value with the few digits that a round number has.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The least of 1, 2 and 5 times a power of ten that is not below.
fn round_above(value: f64) -> f64 {
    let decade = 10_f64.powi(value.log10().floor() as i32);
    [1.0, 2.0, 5.0].into_iter().map(|factor| factor * decade).find(|&round| round >= value).unwrap_or(10.0 * decade)
}

/// The greatest of these that is not above.
fn round_below(value: f64) -> f64 {
    let decade = 10_f64.powi(value.log10().floor() as i32);
    [5.0, 2.0, 1.0].into_iter().map(|factor| factor * decade).find(|&round| round <= value).unwrap_or(decade)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let linear = Range::of(&Scale::Linear, [3.0, 31.0].into_iter());
        assert_eq!(linear.ticks(), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        let log = Range::of(&Scale::Log, [0.3, 40.0].into_iter());
        assert_eq!(log.ticks(), [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(Range::of(&Scale::Linear, [0.0].into_iter()).ticks()[..2], [0.0, 0.2], "also of a single value");
        assert_eq!([0.25, 20.0, 20_000.0].map(|tick| linear.label(tick)), ["0.25", "20", "20k"]);
    }

    #[test]
    fn rows_lie_below_each_other_by_their_names() {
        let names = ["first", "second", "third"].map(str::to_owned).to_vec();
        let rows = Range::of(&Scale::Rows(names.clone()), [1.0].into_iter());
        let labels: Vec<String> = rows.ticks().into_iter().map(|tick| rows.label(tick)).collect();
        assert_eq!(labels, names);
        assert!(rows.place(0.0) > rows.place(0.2) && rows.place(0.2) > rows.place(1.0));
        let scale = Scale::Rows(names);
        assert_eq!([-0.4, 0.4, 2.4].map(|value| scale.name(value)), [Some("first"), Some("first"), Some("third")]);
        assert!([-0.6, 2.6, f64::NAN].into_iter().all(|value| !scale.takes(value)));
    }

    proptest! {
        #[test]
        fn every_value_lies_between_the_ends(values in prop::collection::vec(1e-3..1e6f64, 1..10)) {
            for scale in [Scale::Linear, Scale::Log] {
                let range = Range::of(&scale, values.iter().copied());
                for &value in &values {
                    prop_assert!((-1e-9..=1.0 + 1e-9).contains(&range.place(value)));
                }
                let ticks = range.ticks();
                prop_assert!((1..=12).contains(&ticks.len()), "{:?}", ticks);
            }
        }
    }
}
