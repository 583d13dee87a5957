//! How the truth stands among all that could be.

/// What a posterior over candidates says, if all were equally likely before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    /// Entropy of the posterior, in bits.
    pub(super) entropy: f64,
    /// Place of the truth, from 1; in the middle of those that are as likely.
    pub(super) rank: f64,
    /// The chance that a guess at one of the likeliest is right.
    pub(super) first: f64,
}

impl Standing {
    /// Of log-likelihoods, that of the truth among them.
    pub(super) fn of(evidence: &[f64], truth: usize) -> Self {
        let own = evidence[truth];
        let count = |matches: &dyn Fn(f64) -> bool| evidence.iter().filter(|other| matches(**other)).count() as f64;
        let (better, alike) = (count(&|other| other > own), count(&|other| other == own));
        let first = if better == 0.0 { 1.0 / alike } else { 0.0 };
        Self { entropy: entropy(evidence), rank: 1.0 + better + (alike - 1.0) / 2.0, first }
    }

    /// The mean of several.
    pub(super) fn mean(all: &[Self]) -> Self {
        let of = |field: fn(&Self) -> f64| all.iter().map(field).sum::<f64>() / all.len() as f64;
        Self { entropy: of(|it| it.entropy), rank: of(|it| it.rank), first: of(|it| it.first) }
    }
}

/// ln Σ e^x − Σ x·e^x/Σ e^x, in bits.
fn entropy(evidence: &[f64]) -> f64 {
    let most = evidence.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weight = |x: &f64| (x - most).exp();
    let total: f64 = evidence.iter().map(weight).sum();
    let mean: f64 = evidence.iter().map(|x| (x - most) * weight(x)).sum::<f64>() / total;
    ((total.ln() - mean) / std::f64::consts::LN_2).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_and_rank_are_those_of_the_posterior() {
        let even = Standing::of(&[3.0; 8], 5);
        assert!((even.entropy - 3.0).abs() < 1e-12 && even.rank == 4.5 && even.first == 0.125);
        // Chances of 1/2, 1/4, 1/4.
        let half = Standing::of(&[0.0, 2_f64.ln(), 0.0], 1);
        assert!((half.entropy - 1.5).abs() < 1e-12 && half.rank == 1.0 && half.first == 1.0);
        let behind = Standing::of(&[0.0, 2_f64.ln(), 0.0], 0);
        assert!(behind.rank == 2.5 && behind.first == 0.0);
        let sure = Standing::of(&[-7000.0, 0.0], 0);
        assert!(sure.entropy < 1e-9 && sure.rank == 2.0);
        assert_eq!(Standing::mean(&[half, behind]).rank, 1.75);
    }
}
