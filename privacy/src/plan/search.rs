//! The search for the least volume, and the shape that then hides most.

use std::collections::BTreeMap;

use super::{Deployment, Goal, Replies, Shape, slots, views::Views};
use crate::error::PrivacyError;

/// Values of a sum over servers beyond which a search takes fewer servers, whose noise hides less.
const SEARCH_VALUES: u64 = 1 << 16;

/// A search over volumes and shapes.
pub(super) struct Search<'a> {
    deployment: &'a Deployment,
    goal: &'a Goal,
    /// Number of the least shape.
    least_shape: usize,
    /// Number of the best shape so far.
    pub(super) number: usize,
    /// What was computed already.
    known: BTreeMap<(u32, usize), f64>,
}

impl<'a> Search<'a> {
    pub(super) fn new(deployment: &'a Deployment, goal: &'a Goal) -> Self {
        let at_least = if deployment.replies.is_some() { Replies::LEAST_SHAPE } else { 0.0 };
        let least_shape = Shape::least_for(deployment.honest.count(), at_least);
        Self { deployment, goal, least_shape, number: least_shape, known: BTreeMap::new() }
    }

    /// The best shape so far.
    pub(super) fn shape(&self) -> Shape {
        Shape::at(self.number)
    }

    /// δ of a volume and a shape.
    pub(super) fn delta(&mut self, per_chain: u32, shape: usize) -> Result<f64, PrivacyError> {
        if let Some(&delta) = self.known.get(&(per_chain, shape)) {
            return Ok(delta);
        }
        let slots = slots(self.deployment, per_chain);
        let honest = self.deployment.honest.count();
        let counted = u64::from(honest).min(SEARCH_VALUES / slots).max(1) as u32;
        let views = Views::new(self.deployment, Shape::at(shape).value(), slots, honest, counted)?;
        let delta = views.delta(self.goal)?;
        self.known.insert((per_chain, shape), delta);
        Ok(delta)
    }

    /// The least volume that is enough with the present shape; `enough` is.
    pub(super) fn least(&mut self, enough: u32) -> Result<u32, PrivacyError> {
        let step = self.deployment.step();
        let (mut low, mut high) = (0, enough / step);
        while high - low > 1 {
            let middle = (low + high) / 2;
            match self.delta(middle * step, self.number)? <= self.goal.delta.value() {
                true => high = middle,
                false => low = middle,
            }
        }
        Ok(high * step)
    }

    /// Takes the best shape for this volume.
    pub(super) fn improve(&mut self, per_chain: u32) -> Result<(), PrivacyError> {
        self.number = self.improved(per_chain)?.0;
        Ok(())
    }

    /// The shape with the least δ at this volume, by ever smaller steps from the present one.
    pub(super) fn improved(&mut self, per_chain: u32) -> Result<(usize, f64), PrivacyError> {
        let mut best = (self.number, self.delta(per_chain, self.number)?);
        for step in [4, 2, 1] {
            for next in [best.0.saturating_sub(step).max(self.least_shape), (best.0 + step).min(Shape::COUNT - 1)] {
                let delta = self.delta(per_chain, next)?;
                if delta < best.1 {
                    best = (next, delta);
                }
            }
        }
        Ok(best)
    }
}
