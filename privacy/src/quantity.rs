//! Quantities that cannot be out of range.

use std::fmt;

use serde::Serialize;

use crate::error::{PrivacyError, invalid};

/// ε of (ε, δ): 0 or more, finite. The odds of two stories change by at most `e^ε`, except with probability δ.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Epsilon(f64);

impl Epsilon {
    /// ε = 0: the stories cannot be told apart at all.
    pub const ZERO: Self = Self(0.0);

    /// A finite number, 0 or more.
    pub fn new(value: f64) -> Result<Self, PrivacyError> {
        match value.is_finite() && value >= 0.0 {
            true => Ok(Self(value)),
            false => Err(invalid("epsilon", value, "a finite number, 0 or more")),
        }
    }

    /// As a number.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// δ of (ε, δ): a probability.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Delta(f64);

impl Delta {
    /// A number from 0 to 1.
    pub fn new(value: f64) -> Result<Self, PrivacyError> {
        match (0.0..=1.0).contains(&value) {
            true => Ok(Self(value)),
            false => Err(invalid("delta", value, "a number from 0 to 1")),
        }
    }

    /// An upper bound on a probability: 1 where it says nothing.
    pub(crate) fn bound(value: f64) -> Self {
        Self(if value < 1.0 { value.max(0.0) } else { 1.0 })
    }

    /// As a number.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// Rounds in which somebody's two stories differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Rounds(u64);

impl Rounds {
    /// A single one.
    pub const ONE: Self = Self(1);
    /// Most rounds: centuries at one a second, and few enough that products of them are exact.
    pub const MOST: u64 = 1 << 40;

    /// From 1 to [`Rounds::MOST`].
    pub fn new(count: u64) -> Result<Self, PrivacyError> {
        match (1..=Self::MOST).contains(&count) {
            true => Ok(Self(count)),
            false => Err(invalid("rounds", count, "1 to 2^40")),
        }
    }

    /// As a number.
    pub fn count(self) -> u64 {
        self.0
    }
}

/// How far one person's two stories move a count in one round: at least 1; with `k` slots, `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Shift(u32);

impl Shift {
    /// One conversation.
    pub const ONE: Self = Self(1);
    /// The largest shift that is accounted for.
    pub const MOST: u32 = 256;

    /// From 1 to [`Shift::MOST`].
    pub fn new(by: u32) -> Result<Self, PrivacyError> {
        match (1..=Self::MOST).contains(&by) {
            true => Ok(Self(by)),
            false => Err(invalid("shift", by, "1 to 256")),
        }
    }

    /// As a number.
    pub fn by(self) -> u32 {
        self.0
    }
}

/// Honest servers whose noise adds up: at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Servers(u32);

impl Servers {
    /// A single one.
    pub const ONE: Self = Self(1);
    /// More than any network has.
    pub const MOST: u32 = 1 << 16;

    /// From 1 to [`Servers::MOST`].
    pub fn new(count: u32) -> Result<Self, PrivacyError> {
        match (1..=Self::MOST).contains(&count) {
            true => Ok(Self(count)),
            false => Err(invalid("servers", count, "1 to 65536")),
        }
    }

    /// As a number.
    pub fn count(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6e}", self.0)
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused() {
        for wrong in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(Epsilon::new(wrong).is_err() && Delta::new(wrong).is_err(), "{wrong}");
        }
        assert!(Delta::new(1.1).is_err() && Delta::new(1.0).is_ok() && Delta::new(0.0).is_ok());
        assert!(Rounds::new(0).is_err() && Rounds::new(Rounds::MOST + 1).is_err() && Rounds::new(1).is_ok());
        assert!(Shift::new(0).is_err() && Shift::new(257).is_err() && Shift::new(256).is_ok());
        assert!(Servers::new(0).is_err() && Servers::new(1 << 17).is_err() && Servers::new(75).is_ok());
    }
}
