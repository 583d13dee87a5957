//! The least noise for a goal.

mod dialing;
mod search;
mod shape;
mod views;

use std::num::NonZeroU32;

use serde::Serialize;

pub use self::{dialing::Dialing, shape::Shape};
use self::{search::Search, views::Views};
use crate::{
    binomial::seldom_exceeded,
    error::{PrivacyError, invalid},
    links::Layers,
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};

/// Most slots of a server: where only one chain is open, all its records go there, numbered by 16 bits.
pub const MOST_SLOTS: u32 = 1 << 15;

/// The share of δ for the chance that more rounds are opened than a guarantee counts with.
const SHARE_OF_OPENING: f64 = 0.01;

/// Who makes noise, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deployment {
    servers: Servers,
    honest: Servers,
    layers: Layers,
    chains: u32,
    shift: Shift,
    replies: Option<Replies>,
    /// Each server's noise is opened in one round in so many.
    audit: Option<NonZeroU32>,
    dialing: Option<Dialing>,
}

/// How often servers may say that replies to their noise were spoiled. What hides whose replies these were is noise in
/// a count and in the limit that it passes or not (the sparse-vector test); a limit serves for one word and any silence
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Replies {
    limits: u32,
    spread: u32,
}

impl Replies {
    /// All servers that are relied on draw at most `limits` limits together, ever; one conversation's replies cost ε =
    /// 1/`spread` with each.
    pub fn new(limits: u32, spread: u32) -> Result<Self, PrivacyError> {
        match (1..=1 << 26).contains(&limits) && (1..=1 << 16).contains(&spread) {
            true => Ok(Self { limits, spread }),
            false => Err(invalid("limits and spread", limits.min(spread), "1 to 2^26, and 1 to 65536")),
        }
    }

    /// Least α with several honest servers. Noise of a log-concave law is one record's worth of one server away from
    /// what another story would have it be, given the sum of all; with a smaller α that is not so.
    const LEAST_SHAPE: f64 = 1.0;
}

impl Deployment {
    /// `honest` of `servers` servers are relied on; `chains` chains are open in each layer, one if there is one layer;
    /// clients have as many slots as `shift` says.
    pub fn new(
        servers: Servers,
        honest: Servers,
        layers: Layers,
        chains: u32,
        shift: Shift,
    ) -> Result<Self, PrivacyError> {
        if honest > servers {
            return Err(invalid("honest servers", honest.count(), "at most as many as there are servers"));
        }
        if !(1..=1024).contains(&chains) {
            return Err(invalid("chains", chains, "1 to 1024"));
        }
        if layers == Layers::One && chains != 1 {
            return Err(invalid(
                "chains",
                chains,
                "1 where there is one layer: clients of two chains would never meet",
            ));
        }
        Ok(Self { servers, honest, layers, chains, shift, replies: None, audit: None, dialing: None })
    }

    /// Servers speak of spoiled replies, too.
    pub fn with_replies(self, replies: Replies) -> Self {
        Self { replies: Some(replies), ..self }
    }

    /// People call each other in rounds of their own.
    pub fn with_dialing(self, dialing: Dialing) -> Self {
        Self { dialing: Some(dialing), ..self }
    }

    /// In each round a coin picks at most one server, each with a probability of one in so many, whose noise everybody
    /// sees when the round is over. There are at least as many sides as servers.
    pub fn with_audit(self, one_in: NonZeroU32) -> Self {
        let servers = NonZeroU32::new(self.servers.count()).unwrap_or(NonZeroU32::MIN);
        Self { audit: Some(one_in.max(servers)), ..self }
    }

    /// Rounds of so many in which noise of one of `honest` servers is opened: the least number that is exceeded with a
    /// chance of at most a hundredth of δ, which has to be added to δ. The coin knows nothing of what people do, and
    /// whoever keeps one from falling has less opened.
    pub fn most_opened(&self, honest: Servers, rounds: Rounds, delta: Delta) -> u64 {
        let count = |one_in: NonZeroU32| {
            let chance = f64::from(honest.count()) / f64::from(one_in.get());
            seldom_exceeded(rounds.count(), chance, SHARE_OF_OPENING * delta.value())
        };
        self.audit.map_or(0, count)
    }

    /// Rounds in which people call each other.
    pub fn dialing(&self) -> Option<Dialing> {
        self.dialing
    }

    /// Servers that are relied on in rounds in which one's noise is opened.
    fn unopened(&self) -> Result<Servers, PrivacyError> {
        Servers::new(self.honest.count() - u32::from(self.audit.is_some()))
    }

    /// Servers that are relied on.
    pub fn honest(&self) -> Servers {
        self.honest
    }

    /// Records in each chain must make whole slots.
    fn step(&self) -> u32 {
        if self.chains.is_multiple_of(2) { 1 } else { 2 }
    }

    /// A multiple of the step.
    fn most_per_chain(&self) -> u32 {
        2 * MOST_SLOTS / self.chains / self.step() * self.step()
    }
}

/// What is to be hidden.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Goal {
    epsilon: Epsilon,
    delta: Delta,
    rounds: Rounds,
}

impl Goal {
    /// (ε, δ) over all rounds in which the two stories differ. Bounded noise has no ε for δ = 0.
    pub fn new(epsilon: Epsilon, delta: Delta, rounds: Rounds) -> Result<Self, PrivacyError> {
        match delta.value() > 0.0 {
            true => Ok(Self { epsilon, delta, rounds }),
            false => Err(invalid("delta", delta.value(), "above 0: noise of constant volume can show the truth")),
        }
    }
}

/// Noise that reaches a goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NoisePlan {
    deployment: Deployment,
    goal: Goal,
    shape: Shape,
    per_chain: u32,
}

/// ε that holds with the plan's δ; none where no finite ε does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Guarantee {
    /// Of everything that is seen, dialing and what is said of replies included. Proved for one chain; for several it
    /// rests on [`crate::links`].
    pub epsilon: Option<Epsilon>,
    /// Of mailbox counts alone: proved.
    pub mailboxes: Option<Epsilon>,
    /// If the adversary were told everyone's chains in every round, to leading order; none with one chain.
    pub chains_known: Option<Epsilon>,
}

fn slots(deployment: &Deployment, per_chain: u32) -> u64 {
    u64::from(per_chain) * u64::from(deployment.chains) / 2
}

impl NoisePlan {
    /// Slots of each server: half of its records.
    pub fn slots(&self) -> u64 {
        slots(&self.deployment, self.per_chain)
    }

    /// α.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Noise records that each server sends into each open input chain in each round.
    pub fn per_chain(&self) -> u32 {
        self.per_chain
    }

    /// Noise records that each server sends in each round.
    pub fn per_server(&self) -> u64 {
        2 * self.slots()
    }

    /// Noise records of all servers in each round.
    pub fn total(&self) -> u64 {
        self.per_server() * u64::from(self.deployment.servers.count())
    }

    /// Who makes it, and where it goes.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The same noise where nobody's is ever opened.
    pub fn without_audit(self) -> Self {
        Self { deployment: Deployment { audit: None, ..self.deployment }, ..self }
    }

    /// Rounds in which the guarantee counts with one server fewer, since noise of one is opened.
    pub fn most_opened(&self) -> u64 {
        self.deployment.most_opened(self.deployment.honest, self.goal.rounds, self.goal.delta)
    }

    /// The guarantee after `rounds` rounds if `honest` servers are honest.
    pub fn guarantee(&self, honest: Servers, rounds: Rounds) -> Result<Guarantee, PrivacyError> {
        self.guarantees(honest, &[rounds]).map(|all| all[0])
    }

    /// The guarantees after each of several numbers of rounds.
    pub fn guarantees(&self, honest: Servers, rounds: &[Rounds]) -> Result<Vec<Guarantee>, PrivacyError> {
        let honest = honest.count();
        let views = Views::new(&self.deployment, self.shape.value(), self.slots(), honest, honest)?;
        rounds.iter().map(|&rounds| views.guarantee(rounds, self.goal.delta)).collect()
    }
}

/// The least noise that reaches the goal, with the shape that then hides most.
///
/// # Errors
/// [`PrivacyError::NoPlan`] if [`MOST_SLOTS`] slots of each server are not enough.
pub fn plan(deployment: &Deployment, goal: &Goal) -> Result<NoisePlan, PrivacyError> {
    let mut search = Search::new(deployment, goal);
    let step = deployment.step();
    let mut enough = step;
    while search.delta(enough, search.number)? > goal.delta.value() {
        if enough >= deployment.most_per_chain() {
            return Err(PrivacyError::NoPlan { most: MOST_SLOTS });
        }
        enough = (2 * enough).min(deployment.most_per_chain());
    }
    // Less than `enough` by one step with the best shape is too little in the end.
    loop {
        enough = search.least(enough)?;
        search.improve(enough)?;
        if enough == step {
            break;
        }
        let (shape, delta) = search.improved(enough - step)?;
        if delta > goal.delta.value() {
            break;
        }
        (search.number, enough) = (shape, enough - step);
    }
    Ok(NoisePlan { deployment: *deployment, goal: *goal, shape: search.shape(), per_chain: enough })
}

/// δ that noise has with the goal's ε over its rounds, every error added: noise that is given, as slots of each server
/// and their α, not searched for.
pub fn delta_of(deployment: &Deployment, shape: f64, slots: u64, goal: &Goal) -> Result<f64, PrivacyError> {
    let honest = deployment.honest.count();
    Views::new(deployment, shape, slots, honest, honest)?.delta(goal)
}

/// ε that given noise has with this δ over so many rounds.
pub fn guarantee_of(
    deployment: &Deployment,
    shape: f64,
    slots: u64,
    rounds: Rounds,
    delta: Delta,
) -> Result<Guarantee, PrivacyError> {
    let honest = deployment.honest.count();
    Views::new(deployment, shape, slots, honest, honest)?.guarantee(rounds, delta)
}
