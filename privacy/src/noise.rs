//! How noise in a count can be distributed.

use std::fmt;

use crate::{
    counts::{Counts, Ratios},
    error::{PrivacyError, invalid},
    quantity::Servers,
};

/// Most slots, and largest mean or width: every sum stays exact in a double.
const MOST: f64 = (1_u64 << 40) as f64;

/// What becomes of noise that would be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BelowZero {
    /// It is 0 (Vuvuzela, SOSP 2015, §4).
    Clipped,
    /// It is drawn again.
    Redrawn,
}

/// A distribution of the noise that one server adds to a count in one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Noise(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Poisson {
        mean: f64,
    },
    Binomial {
        slots: f64,
    },
    /// With urn weights of shared and lone slots.
    BetaBinomial {
        slots: f64,
        shared: f64,
        lone: f64,
    },
    NegativeBinomial {
        shape: f64,
        mean: f64,
    },
    DiscreteLaplace {
        mean: f64,
        scale: f64,
        below: BelowZero,
    },
    DiscreteGaussian {
        mean: f64,
        sigma: f64,
    },
}

impl Noise {
    /// Poisson (Stadium, SOSP 2017, §6).
    pub fn poisson(mean: f64) -> Result<Self, PrivacyError> {
        Ok(Self(Kind::Poisson { mean: positive("mean", mean)? }))
    }

    /// A fair coin for each of `slots` slots.
    pub fn binomial(slots: u64) -> Result<Self, PrivacyError> {
        Ok(Self(Kind::Binomial { slots: some_slots(slots)? }))
    }

    /// Beta-binomial(n, α, α), what Hippodrome draws: a coin for each of `slots` slots, of a bias that is drawn for all of
    /// them from Beta(α, α). `shape` is α.
    pub fn beta_binomial(slots: u64, shape: f64) -> Result<Self, PrivacyError> {
        Self::beta_binomial_but(slots, shape, 0, 0)
    }

    /// What is left of it when an owner has shown that of its slots `shared` are shared and `lone` are not: the urn goes on
    /// from there.
    pub fn beta_binomial_but(slots: u64, shape: f64, shared: u64, lone: u64) -> Result<Self, PrivacyError> {
        let shape = positive("shape", shape)?;
        let slots = some_slots(slots.saturating_sub(shared.saturating_add(lone)))?;
        Ok(Self(Kind::BetaBinomial { slots, shared: shape + shared as f64, lone: shape + lone as f64 }))
    }

    /// Negative binomial of a shape (real, the number of failures) and a mean.
    pub fn negative_binomial(shape: f64, mean: f64) -> Result<Self, PrivacyError> {
        Ok(Self(Kind::NegativeBinomial { shape: positive("shape", shape)?, mean: positive("mean", mean)? }))
    }

    /// Integers `x` with weight `exp(−|x − mean|/scale)`, none below 0. Rounding Laplace noise up, as Vuvuzela does, has the
    /// same losses.
    pub fn discrete_laplace(mean: f64, scale: f64, below: BelowZero) -> Result<Self, PrivacyError> {
        Ok(Self(Kind::DiscreteLaplace { mean: positive("mean", mean)?, scale: positive("scale", scale)?, below }))
    }

    /// Integers `x` with weight `exp(−(x − mean)²/(2·sigma²))`, redrawn below 0.
    pub fn discrete_gaussian(mean: f64, sigma: f64) -> Result<Self, PrivacyError> {
        Ok(Self(Kind::DiscreteGaussian { mean: positive("mean", mean)?, sigma: positive("sigma", sigma)? }))
    }

    /// The sum over `servers` servers that draw independently.
    pub(crate) fn sum(&self, servers: Servers) -> Result<Counts, PrivacyError> {
        match self.closed_sum(f64::from(servers.count())) {
            Some(sum) => sum.counts(),
            None => self.counts()?.power(servers.count()),
        }
    }

    /// The sum as one draw of the same kind, where there is one.
    fn closed_sum(&self, servers: f64) -> Option<Self> {
        match self.0 {
            _ if servers == 1.0 => Some(self.clone()),
            Kind::Poisson { mean } => Some(Self(Kind::Poisson { mean: mean * servers })),
            Kind::Binomial { slots } => Some(Self(Kind::Binomial { slots: slots * servers })),
            Kind::NegativeBinomial { shape, mean } => {
                Some(Self(Kind::NegativeBinomial { shape: shape * servers, mean: mean * servers }))
            }
            _ => None,
        }
    }

    fn counts(&self) -> Result<Counts, PrivacyError> {
        let one_sided = |start: f64, ratio: &dyn Fn(f64) -> f64| Counts::from_ratios(&Ratios::new(start, ratio));
        match self.0 {
            Kind::Poisson { mean } => one_sided(mean, &|x| ln_quotient(mean - x, x)),
            Kind::Binomial { slots } => Counts::from_ratios(&Ratios {
                last: Some(slots),
                symmetric: true,
                ..Ratios::new(slots / 2.0, &|x| ln_quotient(slots + 1.0 - 2.0 * x, x))
            }),
            Kind::BetaBinomial { slots, shared, lone } => {
                // (x − 1 + a)/x · (n − x + 1)/(n − x + b), without cancellation.
                let excess = |x: f64| (shared - 1.0) * (slots + 1.0 - 2.0 * x) + (shared - lone) * x;
                Counts::from_ratios(&Ratios {
                    last: Some(slots),
                    symmetric: shared == lone,
                    ..Ratios::new(slots * shared / (shared + lone), &|x| ln_quotient(excess(x), x * (slots - x + lone)))
                })
            }
            Kind::NegativeBinomial { shape, mean } => {
                // q·(x + r − 1)/x with q = 1 − p.
                let p = shape / (mean + shape);
                Counts::from_ratios(&Ratios {
                    limit: (-p).ln_1p(),
                    ..Ratios::new(mean, &|x| ln_quotient((1.0 - p) * (shape - 1.0) - p * x, x))
                })
            }
            Kind::DiscreteLaplace { mean, scale, below } => {
                let step = |x: f64| ((x - 1.0 - mean).abs() - (x - mean).abs()) / scale;
                // All that would be at or below 0, over what is at 0: a geometric sum.
                let clipped = || -(-(-1.0 / scale).exp_m1()).ln();
                let at_zero = if below == BelowZero::Clipped { clipped() } else { 0.0 };
                Counts::from_ratios(&Ratios { at_zero, ..Ratios::new(mean, &step) })
            }
            Kind::DiscreteGaussian { mean, sigma } => {
                one_sided(mean, &|x| (2.0 * (mean - x) + 1.0) / (2.0 * sigma * sigma))
            }
        }
    }
}

/// `ln((base + excess)/base)`, accurate where the quotient is near 1 and where it is near 0.
fn ln_quotient(excess: f64, base: f64) -> f64 {
    let excess = excess / base;
    if excess > -0.5 { excess.ln_1p() } else { (1.0 + excess).ln() }
}

fn positive(what: &'static str, value: f64) -> Result<f64, PrivacyError> {
    match value > 0.0 && value <= MOST {
        true => Ok(value),
        false => Err(invalid(what, value, "a number above 0, at most 2^40")),
    }
}

fn some_slots(slots: u64) -> Result<f64, PrivacyError> {
    match (1..=MOST as u64).contains(&slots) {
        true => Ok(slots as f64),
        false => Err(invalid("slots", slots, "1 to 2^40")),
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Poisson { mean } => write!(f, "poisson({mean})"),
            Kind::Binomial { slots } => write!(f, "binomial({slots}, 1/2)"),
            Kind::BetaBinomial { slots, shared, lone } => write!(f, "beta-binomial({slots}, {shared}, {lone})"),
            Kind::NegativeBinomial { shape, mean } => write!(f, "negative-binomial(shape {shape}, mean {mean})"),
            Kind::DiscreteLaplace { mean, scale, below } => {
                write!(f, "discrete-laplace(mean {mean}, scale {scale}, {below})")
            }
            Kind::DiscreteGaussian { mean, sigma } => {
                write!(f, "discrete-gaussian(mean {mean}, sigma {sigma}, redrawn below 0)")
            }
        }
    }
}

impl fmt::Display for BelowZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clipped => "clipped at 0",
            Self::Redrawn => "redrawn below 0",
        })
    }
}
