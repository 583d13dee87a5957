//! What a client has spent of the rounds for which its network hides whom it talks with.

use std::fmt;

use hippodrome_core::noise::Guarantee;

/// With so large a part of the rounds left or less, a client warns.
const NEARLY: u64 = 10;

/// Rounds that a client has submitted to, against those for which its network states a guarantee.
///
/// Every round counts in which it submitted, with or without somebody to talk to, and also if the round was given up:
/// whoever looks on may have seen its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Rounds that it has submitted to, ever.
    pub submitted: u64,
    /// What the network states, if anything.
    pub stated: Option<Guarantee>,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The network states nothing: nothing is promised.
    Unstated,
    /// There are rounds left.
    Left,
    /// There are few left: a tenth at most.
    Nearly,
    /// There are none.
    Spent,
}

impl Standing {
    /// The word in machine-readable output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unstated => "unstated",
            Self::Left => "left",
            Self::Nearly => "nearly-spent",
            Self::Spent => "spent",
        }
    }
}

impl Budget {
    /// Rounds for which the guarantee still holds; none if there is no guarantee.
    pub fn left(&self) -> Option<u64> {
        Some(self.stated?.rounds.saturating_sub(self.submitted))
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        match self.stated.zip(self.left()) {
            None => Standing::Unstated,
            Some((_, 0)) => Standing::Spent,
            Some((stated, left)) if left <= stated.rounds / NEARLY => Standing::Nearly,
            Some(_) => Standing::Left,
        }
    }

    /// Whether the last round that was counted is beyond those that the guarantee covers.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.stated.is_some_and(|stated| self.submitted > stated.rounds)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let submitted = self.submitted;
        match self.stated.zip(self.left()) {
            None => write!(
                f,
                "this network states no guarantee: nothing is promised about who can tell whom you talk with; rounds \
                 submitted to: {submitted}"
            ),
            Some((stated, 0)) => {
                let beyond = submitted.saturating_sub(stated.rounds);
                write!(f, "all {} rounds of this network's guarantee are used up, {beyond} more since", stated.rounds)
            }
            Some((stated, left)) => write!(
                f,
                "{left} of {} rounds left for which this network hides whom you talk with (epsilon {}, delta {})",
                stated.rounds,
                stated.epsilon(),
                stated.delta()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_left_then_nearly_spent_then_spent_and_stays_so() {
        let stated = Guarantee { rounds: 50, epsilon_millionths: 693_147, delta_billionths: 100_000, replies: None };
        let at = |submitted| Budget { submitted, stated: Some(stated) };
        let expected = [(0, Standing::Left), (44, Standing::Left), (45, Standing::Nearly), (49, Standing::Nearly)];
        expected.into_iter().for_each(|(submitted, standing)| assert_eq!(at(submitted).standing(), standing));
        assert_eq!((at(50).standing(), at(50).is_exceeded()), (Standing::Spent, false), "the last one is covered");
        assert_eq!((at(51).standing(), at(51).is_exceeded()), (Standing::Spent, true));
        assert_eq!((at(u64::MAX).left(), at(20).left()), (Some(0), Some(30)));
        assert!(at(20).to_string().starts_with("30 of 50 rounds left"), "{}", at(20));
        assert!(at(57).to_string().contains("7 more since"), "{}", at(57));
        let unstated = Budget { submitted: 3, stated: None };
        assert_eq!((unstated.standing(), unstated.left()), (Standing::Unstated, None));
        assert!(unstated.to_string().contains("nothing is promised"), "{unstated}");
    }
}
