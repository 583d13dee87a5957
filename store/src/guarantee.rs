//! Whether a network's noise hides what the network says that it hides.
//!
//! Those relied on are the fewest servers that an epoch may have, less those that may be bad; all chains are open. With
//! fewer of them open there are more records on each link, and no fewer slots. Where noise is audited one server fewer
//! is relied on in as many rounds as may be opened. In an epoch with more servers an honest one's is opened more often,
//! but then as many are left as are relied on.

use hippodrome_core::{
    noise::{Guarantee, NoiseParams, ReplyBudget, Shape},
    params::NetworkParams,
};
use hippodrome_privacy::{
    PrivacyError,
    links::Layers,
    plan::{self, Deployment, Goal, Replies},
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};

/// Why what a network says of its noise is not so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Overstated {
    /// The noise is too little, or of the wrong shape.
    #[error(
        "the network states epsilon {} and delta {} over {} rounds, but with that epsilon its noise of {} slots of shape {} \
         at each of {honest} honest servers has delta {reached}{opened}{besides}: `hippodrome plan` says how many slots it \
         takes",
        stated.epsilon(), stated.delta(), stated.rounds, noise.slots, noise.shape,
        opened = if noise.audit.is_some() { ", with one server's noise opened now and then" } else { "" },
        besides = if stated.replies.is_some() { ", with what servers may say of spoiled replies" } else { "" }
    )]
    TooLittle {
        /// What the network states.
        stated: Guarantee,
        /// Its noise.
        noise: NoiseParams,
        /// Servers that are relied on.
        honest: u32,
        /// δ at the ε that is stated.
        reached: f64,
    },
    /// Nobody is left to rely on.
    #[error(
        "the network states a guarantee, but all of the {min_live} servers that an epoch may be made of may be bad: noise \
         hides something only if it is an honest server's"
    )]
    NobodyHonest {
        /// The network's `min_live`.
        min_live: u16,
    },
    /// No network has such a guarantee.
    #[error("the guarantee that the network states: {0}")]
    Impossible(#[from] PrivacyError),
}

/// Who makes noise in a network, and where it goes.
pub fn deployment(params: &NetworkParams) -> Result<Deployment, Overstated> {
    let min_live = params.min_live;
    let honest = min_live.checked_sub(params.bad_servers).filter(|honest| *honest > 0);
    let honest = honest.ok_or(Overstated::NobodyHonest { min_live })?;
    let layers = Layers::try_from(params.layers)?;
    let (servers, honest) = (Servers::new(min_live.into())?, Servers::new(honest.into())?);
    let shift = Shift::new(params.slots.into())?;
    let deployment = Deployment::new(servers, honest, layers, params.chains.into(), shift)?;
    let deployment = params.noise.audit.map_or(deployment, |one_in| deployment.with_audit(one_in));
    let replies = params.noise.guarantee.and_then(|stated| stated.replies);
    // All honest servers draw limits, also those that are in no small epoch: two quorums share one that is honest, so
    // there are fewer than twice as many as in the smallest.
    let speakers = 2 * u32::from(min_live - params.bad_servers) - 1;
    let of_all = |replies: ReplyBudget| Replies::new(speakers * u32::from(replies.limits), replies.spread.into());
    let replies = replies.map(of_all).transpose()?;
    Ok(replies.map_or(deployment, |replies| deployment.with_replies(replies)))
}

/// What is stated, as the accountant takes it.
pub fn goal(stated: &Guarantee) -> Result<Goal, Overstated> {
    let (epsilon, delta) = (Epsilon::new(stated.epsilon())?, Delta::new(stated.delta())?);
    Ok(Goal::new(epsilon, delta, Rounds::new(stated.rounds)?)?)
}

/// The least noise that reaches what the parameters state; the noise that they have, if they state nothing.
pub fn least_noise(params: &NetworkParams) -> Result<NoiseParams, Overstated> {
    let Some(stated) = params.noise.guarantee else { return Ok(params.noise) };
    let plan = plan::plan(&deployment(params)?, &goal(&stated)?)?;
    let part = |number: u32| u16::try_from(number).expect("shapes that are tried have small parts");
    let shape = Shape::new(part(plan.shape().numerator), part(plan.shape().denominator));
    Ok(NoiseParams {
        slots: plan.slots().try_into().unwrap_or(u32::MAX),
        shape: shape.expect("shapes that are tried have no part 0"),
        ..params.noise
    })
}

/// Checks that a network's noise reaches the guarantee that the network states, if it states one.
pub fn check(params: &NetworkParams) -> Result<(), Overstated> {
    let noise = params.noise;
    let Some(stated) = noise.guarantee else { return Ok(()) };
    let (deployment, goal) = (deployment(params)?, goal(&stated)?);
    let reached = match noise.slots {
        0 => 1.0,
        slots => plan::delta_of(&deployment, noise.shape.value(), slots.into(), &goal)?,
    };
    let honest = deployment.honest().count();
    let too_little = Overstated::TooLittle { stated, noise, honest, reached };
    if reached <= stated.delta() { Ok(()) } else { Err(too_little) }
}
