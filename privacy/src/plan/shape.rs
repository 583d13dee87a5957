//! How far noise spreads, and which spreads are worth trying.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::error::{PrivacyError, invalid};

/// Shapes add up: with less than this over all honest servers, noise fails all of a sudden when a few are not honest.
const LEAST_TOTAL_SHAPE: f64 = 3.5;

/// Shapes that are tried, p and q of p/q. What they cost differs little from one to the next. Smaller ones would take
/// less noise of many servers, but then one record that an owner reveals tells nearly all that this server has drawn.
const SHAPES: [(u32, u32); 17] = [
    (1, 4),
    (1, 2),
    (3, 4),
    (1, 1),
    (3, 2),
    (2, 1),
    (5, 2),
    (3, 1),
    (7, 2),
    (4, 1),
    (9, 2),
    (5, 1),
    (6, 1),
    (7, 1),
    (8, 1),
    (10, 1),
    (12, 1),
];

/// α of beta-binomial noise, a fraction in lowest terms, so that it can be drawn with integers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// p of p/q.
    pub numerator: u32,
    /// q of p/q.
    pub denominator: u32,
}

impl Shape {
    /// As a number.
    pub fn value(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            _ => write!(f, "{}/{}", self.numerator, self.denominator),
        }
    }
}

impl Shape {
    /// How many are tried.
    pub(super) const COUNT: usize = SHAPES.len();

    /// One of those that are tried, in order.
    pub(super) fn at(number: usize) -> Self {
        let (numerator, denominator) = SHAPES[number];
        Self { numerator, denominator }
    }

    /// Number of the least shape that so many honest servers may have, and that is not below `at_least`.
    pub(super) fn least_for(honest: u32, at_least: f64) -> usize {
        let least = (LEAST_TOTAL_SHAPE / f64::from(honest)).max(at_least);
        (0..SHAPES.len()).find(|&number| Self::at(number).value() >= least).unwrap_or(0)
    }
}

impl FromStr for Shape {
    type Err = PrivacyError;

    /// Reads `7/2` or `1`.
    fn from_str(text: &str) -> Result<Self, PrivacyError> {
        let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
        let part = |text: &str| text.parse().ok().filter(|part| (1..=0xffff).contains(part));
        let shape = part(numerator).zip(part(denominator));
        let shape = shape.map(|(numerator, denominator)| Self { numerator, denominator });
        shape.ok_or_else(|| invalid("shape", text, "a fraction of numbers from 1 to 65535, as in 7/2 or 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_fractions() {
        for text in ["7/2", "1", "1/4"] {
            assert_eq!(text.parse::<Shape>().expect("a shape").to_string(), text);
        }
        for text in ["", "0", "1/0", "3.5", "65536", "1/2/3", "-1"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}
