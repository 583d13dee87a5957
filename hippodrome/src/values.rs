//! Values of the command line that have a form of their own, and the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use hippodrome_core::params::Verification;

/// Reads `2s`, `1.5s` or `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and a unit, as in `2s`, `1.5s` or `250ms`".to_owned();
    let (number, unit_s) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').ok_or_else(expected)?, 1.0),
    };
    let number: f64 = number.trim().parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(number * unit_s).map_err(|_| expected())
}

/// Reads `full`, `aggregate` or `none`.
pub(crate) fn verification() -> impl TypedValueParser<Value = Verification> {
    PossibleValuesParser::new(Verification::ALL.map(Verification::name))
        .map(|name| Verification::named(&name).expect("only names of modes are possible"))
}

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "2", "s", "ms", "-1s", "2m", "1e400s", "NaNs", "two s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
