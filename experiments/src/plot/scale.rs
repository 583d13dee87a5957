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
    pub(super) fn takes(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }
}

impl Range {
    /// The range that shows all values and begins with a round number.
    pub(super) fn of(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (value.min(low), value.max(high)));
        match scale {
            Scale::Linear => Self::linear(low.min(0.0), high),
            Scale::Log => Self::log(low, high),
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
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).log10() / (self.high / self.low).log10(),
        }
    }

    /// Values with a tick and a number.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let count = ((self.high - self.low) / self.step).floor() as i64;
                (0..=count).map(|tick| self.low + tick as f64 * self.step).collect()
            }
            Scale::Log => self.log_ticks(),
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
        let linear = Range::of(Scale::Linear, [3.0, 31.0].into_iter());
        assert_eq!(linear.ticks(), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        let log = Range::of(Scale::Log, [0.3, 40.0].into_iter());
        assert_eq!(log.ticks(), [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(Range::of(Scale::Linear, [0.0].into_iter()).ticks()[..2], [0.0, 0.2], "also of a single value");
    }

    proptest! {
        #[test]
        fn every_value_lies_between_the_ends(values in prop::collection::vec(1e-3..1e6f64, 1..10)) {
            for scale in [Scale::Linear, Scale::Log] {
                let range = Range::of(scale, values.iter().copied());
                for &value in &values {
                    prop_assert!((-1e-9..=1.0 + 1e-9).contains(&range.place(value)));
                }
                let ticks = range.ticks();
                prop_assert!((1..=12).contains(&ticks.len()), "{:?}", ticks);
            }
        }
    }
}
