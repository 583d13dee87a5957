//! Rounds of their own in which people call each other.
//!
//! In each of them every client sends one request. It goes to one of a few public *buckets*, those of the person who is
//! called, or to none if nobody is. The adversary may be told how many requests each bucket got from each input chain:
//! more than it sees if further chains mix them. To call somebody or nobody moves one of these counts by 1; to call Bob
//! or Charlie moves two of them, one up and one down. Every server fills `slots` slots for each bucket in each input
//! chain, each with a request to the bucket or with one to none, as Pólya's urn has it: so its volume is constant, and
//! all counts have independent noise. `paper-notes/src/privacy.md` has the derivation.

use serde::Serialize;

use super::{Deployment, Goal, MOST_SLOTS, Shape};
use crate::{
    account::{Account, Resolution},
    error::{PrivacyError, invalid},
    noise::Noise,
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};

/// Most buckets.
const MOST_BUCKETS: u32 = 1 << 16;

/// Dialing rounds in which somebody's stories differ, and their noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dialing {
    rounds: Rounds,
    buckets: u32,
    slots: u32,
    shape: Shape,
}

impl Dialing {
    /// In each of `rounds` rounds, each server fills `slots` slots of a spread of `shape` for each of `buckets` buckets
    /// in each input chain.
    pub fn new(rounds: Rounds, buckets: u32, slots: u32, shape: Shape) -> Result<Self, PrivacyError> {
        let range = |what, value, most| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(invalid(what, value, "1 to 65536 buckets, 1 to 32768 slots")),
        };
        range("buckets", buckets, MOST_BUCKETS)?;
        range("slots", slots, MOST_SLOTS)?;
        Ok(Self { rounds, buckets, slots, shape })
    }

    /// The least α that is safe with so many honest servers.
    pub fn usual_shape(deployment: &Deployment) -> Result<Shape, PrivacyError> {
        Ok(Shape::at(Shape::least_for(deployment.unopened()?.count(), 0.0)))
    }

    /// The least noise with which dialing alone takes half of a goal's ε with half of its δ, over `rounds` rounds of
    /// its own. Losses add up by their squares, so that it takes about a quarter of what there is to spend.
    ///
    /// # Errors
    /// [`PrivacyError::NoPlan`] if [`MOST_SLOTS`] slots are not enough.
    pub fn least(deployment: &Deployment, goal: &Goal, rounds: Rounds, buckets: u32) -> Result<Self, PrivacyError> {
        let (honest, shape) = (deployment.unopened()?, Self::usual_shape(deployment)?);
        let of = |slots| Self::new(rounds, buckets, slots, shape);
        let epsilon = Epsilon::new(goal.epsilon.value() / 2.0)?;
        let is_enough = |slots: u32| {
            let composed = of(slots)?.account(honest)?.compose(Resolution::Coarse)?;
            Ok::<_, PrivacyError>(composed.delta(epsilon).value() <= goal.delta.value() / 2.0)
        };
        let (mut low, mut high) = (0, 1);
        while !is_enough(high)? {
            if high == MOST_SLOTS {
                return Err(PrivacyError::NoPlan { most: MOST_SLOTS });
            }
            (low, high) = (high, (2 * high).min(MOST_SLOTS));
        }
        while high - low > 1 {
            let middle = u32::midpoint(low, high);
            if is_enough(middle)? { high = middle } else { low = middle }
        }
        of(high)
    }

    /// What these rounds let see of one person's choices, by the noise of so many honest servers: at most two counts
    /// that move by 1, each in its own noise.
    pub fn account(&self, honest: Servers) -> Result<Account, PrivacyError> {
        let noise = Noise::beta_binomial(self.slots.into(), self.shape.value())?;
        let seen = Rounds::new(self.rounds.count() * u64::from(self.counts_moved()))?;
        Account::new().with_count(&noise, honest, Shift::ONE, seen)
    }

    /// ε of these rounds alone; none if no finite one has this δ.
    pub fn epsilon(&self, deployment: &Deployment, delta: Delta) -> Result<Option<Epsilon>, PrivacyError> {
        match self.account(deployment.unopened()?)?.compose(Resolution::Coarse)?.epsilon(delta) {
            Err(PrivacyError::Unreachable { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// With a single bucket nothing says who is called.
    fn counts_moved(&self) -> u32 {
        self.buckets.min(2)
    }

    /// Rounds in which stories differ.
    pub fn rounds(&self) -> Rounds {
        self.rounds
    }

    /// Slots for each bucket in each input chain.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// α.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Requests of each server in each of these rounds.
    pub fn per_server(&self, deployment: &Deployment) -> u64 {
        u64::from(self.slots) * u64::from(self.buckets) * u64::from(deployment.chains)
    }
}
