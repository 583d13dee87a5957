//! The least noise for a goal.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    account::{Account, Resolution},
    error::{PrivacyError, invalid},
    links::{Layers, Links, Neighbours},
    noise::Noise,
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};

/// Most slots of a server: where only one chain is open, all its records go there, numbered by 16 bits.
pub const MOST_SLOTS: u32 = 1 << 15;

/// Shapes add up: with less than this over all honest servers, noise fails all of a sudden when a few are not honest.
const LEAST_TOTAL_SHAPE: f64 = 3.5;

/// Shapes that are tried, p and q of p/q. What they cost differs little from one to the next. Smaller ones would take less
/// noise of many servers, but then one record that an owner reveals tells nearly all that this server has drawn.
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

/// Values of a sum over servers beyond which a search takes fewer servers, whose noise hides less.
const SEARCH_VALUES: u64 = 1 << 16;

/// Beyond this loss over all rounds a search need not look closely.
const HOPELESS_MU: f64 = 50.0;

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

/// Who makes noise, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deployment {
    servers: Servers,
    honest: Servers,
    layers: Layers,
    chains: u32,
    shift: Shift,
    replies: Option<Replies>,
}

/// How often servers may say that replies to their noise were spoiled. What hides whose replies these were is noise in a
/// count and in the limit that it passes or not (the sparse-vector test); a limit serves for one word and any silence
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Replies {
    limits: u32,
    spread: u32,
}

impl Replies {
    /// All servers that are relied on draw at most `limits` limits together, ever; one conversation's replies cost ε = 1/`spread` with each.
    pub fn new(limits: u32, spread: u32) -> Result<Self, PrivacyError> {
        match (1..=1 << 26).contains(&limits) && (1..=1 << 16).contains(&spread) {
            true => Ok(Self { limits, spread }),
            false => Err(invalid("limits and spread", limits.min(spread), "1 to 2^26, and 1 to 65536")),
        }
    }

    /// Least α with several honest servers. Noise of a log-concave law is one record's worth of one server away from what
    /// another story would have it be, given the sum of all; with a smaller α that is not so.
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
        Ok(Self { servers, honest, layers, chains, shift, replies: None })
    }

    /// Servers speak of spoiled replies, too.
    pub fn with_replies(self, replies: Replies) -> Self {
        Self { replies: Some(replies), ..self }
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
    /// Of everything that is seen. Proved for one chain; for several it rests on [`crate::links`].
    pub epsilon: Option<Epsilon>,
    /// Of mailbox counts alone: proved.
    pub mailboxes: Option<Epsilon>,
    /// If the adversary were told everyone's chains in every round, to leading order; none with one chain.
    pub chains_known: Option<Epsilon>,
}

/// Everything that two stories show in one round.
struct Views {
    mailboxes: Account,
    talking_or_idle: Account,
    bob_or_charlie: Option<Account>,
    chains_known: Option<Account>,
    /// The larger μ of links.
    mu: f64,
    /// What is said of replies, in all rounds together: everything that it tells, and without the mailboxes that claims
    /// show, where mailboxes tell nothing.
    replies: Account,
    replies_alone: Account,
}

impl Views {
    fn new(deployment: &Deployment, shape: Shape, per_chain: u32, honest: u32) -> Result<Self, PrivacyError> {
        let slots = slots(deployment, per_chain);
        let counted = u64::from(honest).min(SEARCH_VALUES / slots).max(1) as u32;
        Self::with_mailboxes_of(deployment, shape.value(), slots, honest, counted)
    }

    /// Mailbox counts are hidden by the noise of `counted` servers only: an upper bound if that is not all of them.
    fn with_mailboxes_of(
        deployment: &Deployment,
        shape: f64,
        slots: u64,
        honest: u32,
        counted: u32,
    ) -> Result<Self, PrivacyError> {
        let Deployment { layers, chains, shift, .. } = *deployment;
        let noise = Noise::beta_binomial(slots, shape)?;
        let mailboxes = Account::new().with_count(&noise, Servers::new(counted)?, shift, Rounds::ONE)?;
        let links = Links { layers, chains, records: 2.0 * slots as f64 * f64::from(honest) };
        let normal = |account: &Account, mu: f64| account.clone().with_gaussian(mu, Rounds::ONE);
        let of = |neighbours| links.mu(neighbours, shift);
        let talking_or_idle = match of(Neighbours::TalkingOrIdle) {
            Some(mu) => normal(&mailboxes, mu)?,
            None => mailboxes.clone(),
        };
        let alone = |mu: Option<f64>| mu.map(|mu| normal(&Account::new(), mu)).transpose();
        let (replies, replies_alone) = said_of_replies(deployment, shape, slots, honest, counted)?;
        let mus = [Neighbours::TalkingOrIdle, Neighbours::BobOrCharlie].map(|neighbours| of(neighbours).unwrap_or(0.0));
        Ok(Self {
            mailboxes,
            talking_or_idle,
            bob_or_charlie: alone(of(Neighbours::BobOrCharlie))?,
            chains_known: alone(links.mu_with_chains_known(shift))?,
            mu: mus[0].max(mus[1]),
            replies,
            replies_alone,
        })
    }

    /// δ of the worse pair of stories; of one of them if that is too much already.
    fn delta(&self, goal: &Goal) -> Result<f64, PrivacyError> {
        if self.mu * (goal.rounds.count() as f64).sqrt() > HOPELESS_MU {
            return Ok(1.0);
        }
        let infinite = self.mailboxes.over(goal.rounds).and(&self.replies).infinite();
        if infinite > goal.delta.value() {
            return Ok(infinite);
        }
        let of = |account: &Account, replies: &Account| -> Result<f64, PrivacyError> {
            let composed = account.over(goal.rounds).and(replies).compose(Resolution::Coarse)?;
            Ok(composed.delta(goal.epsilon).value())
        };
        let who = self.bob_or_charlie.as_ref().map_or(Ok(0.0), |account| of(account, &self.replies_alone))?;
        match who > goal.delta.value() {
            true => Ok(who),
            false => Ok(who.max(of(&self.talking_or_idle, &self.replies)?)),
        }
    }

    fn guarantee(&self, rounds: Rounds, delta: Delta) -> Result<Guarantee, PrivacyError> {
        let with = |account: &Account, replies: &Account| match account
            .over(rounds)
            .and(replies)
            .compose(Resolution::Coarse)?
            .epsilon(delta)
        {
            Err(PrivacyError::Unreachable { .. }) => Ok(None),
            found => found.map(Some),
        };
        let of = |account: &Account| with(account, &Account::new());
        let talking = with(&self.talking_or_idle, &self.replies)?;
        let who = self.bob_or_charlie.as_ref();
        let who = who.map_or(Ok(Some(Epsilon::ZERO)), |account| with(account, &self.replies_alone))?;
        let worse = |(a, b): (Epsilon, Epsilon)| if a > b { a } else { b };
        Ok(Guarantee {
            epsilon: talking.zip(who).map(worse),
            mailboxes: of(&self.mailboxes)?,
            chains_known: self.chains_known.as_ref().map_or(Ok(None), |account| match of(account) {
                Err(PrivacyError::Invalid { .. } | PrivacyError::TooLarge { .. }) => Ok(None),
                found => found,
            })?,
        })
    }
}

/// What is said of replies: a word or silence with every limit, and with every word the kind of one slot of its speaker,
/// so that in that round the noise of all others has to do.
fn said_of_replies(
    deployment: &Deployment,
    shape: f64,
    slots: u64,
    honest: u32,
    counted: u32,
) -> Result<(Account, Account), PrivacyError> {
    let Some(replies) = deployment.replies else { return Ok((Account::new(), Account::new())) };
    if honest > 1 && shape < Replies::LEAST_SHAPE {
        return Err(invalid("shape of noise", shape, "at least 1 where servers may speak of spoiled replies"));
    }
    let limits = Rounds::new(replies.limits.into())?;
    let loss = f64::from(deployment.shift.by()) / f64::from(replies.spread);
    let said = Account::new().with_randomized_response(loss, limits)?;
    let (noise, servers) = match counted {
        1 => (Noise::beta_binomial_but(slots, shape, 1, 0)?, Servers::ONE),
        _ => (Noise::beta_binomial(slots, shape)?, Servers::new(counted - 1)?),
    };
    Ok((said.clone().with_count(&noise, servers, deployment.shift, limits)?, said))
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

    /// The guarantee after `rounds` rounds if `honest` servers are honest.
    pub fn guarantee(&self, honest: Servers, rounds: Rounds) -> Result<Guarantee, PrivacyError> {
        self.guarantees(honest, &[rounds]).map(|all| all[0])
    }

    /// The guarantees after each of several numbers of rounds.
    pub fn guarantees(&self, honest: Servers, rounds: &[Rounds]) -> Result<Vec<Guarantee>, PrivacyError> {
        let honest = honest.count();
        let views = Views::with_mailboxes_of(&self.deployment, self.shape.value(), self.slots(), honest, honest)?;
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
    while search.delta(enough, search.shape)? > goal.delta.value() {
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
        (search.shape, enough) = (shape, enough - step);
    }
    Ok(NoisePlan { deployment: *deployment, goal: *goal, shape: shape_at(search.shape), per_chain: enough })
}

/// δ that noise has with the goal's ε over its rounds, every error added: noise that is given, as slots of each server and
/// their α, not searched for.
pub fn delta_of(deployment: &Deployment, shape: f64, slots: u64, goal: &Goal) -> Result<f64, PrivacyError> {
    let honest = deployment.honest.count();
    Views::with_mailboxes_of(deployment, shape, slots, honest, honest)?.delta(goal)
}

/// A search over volumes and shapes.
struct Search<'a> {
    deployment: &'a Deployment,
    goal: &'a Goal,
    /// Number of the least shape.
    least_shape: usize,
    /// Number of the best shape so far.
    shape: usize,
    /// What was computed already.
    known: BTreeMap<(u32, usize), f64>,
}

fn shape_at(number: usize) -> Shape {
    let (numerator, denominator) = SHAPES[number];
    Shape { numerator, denominator }
}

impl<'a> Search<'a> {
    fn new(deployment: &'a Deployment, goal: &'a Goal) -> Self {
        let alone = LEAST_TOTAL_SHAPE / f64::from(deployment.honest.count());
        let least = if deployment.replies.is_some() { alone.max(Replies::LEAST_SHAPE) } else { alone };
        let least_shape = (0..SHAPES.len()).find(|&number| shape_at(number).value() >= least).unwrap_or(0);
        Self { deployment, goal, least_shape, shape: least_shape, known: BTreeMap::new() }
    }

    fn delta(&mut self, per_chain: u32, shape: usize) -> Result<f64, PrivacyError> {
        if let Some(&delta) = self.known.get(&(per_chain, shape)) {
            return Ok(delta);
        }
        let honest = self.deployment.honest.count();
        let delta = Views::new(self.deployment, shape_at(shape), per_chain, honest)?.delta(self.goal)?;
        self.known.insert((per_chain, shape), delta);
        Ok(delta)
    }

    /// The least volume that is enough with the present shape; `enough` is.
    fn least(&mut self, enough: u32) -> Result<u32, PrivacyError> {
        let step = self.deployment.step();
        let (mut low, mut high) = (0, enough / step);
        while high - low > 1 {
            let middle = (low + high) / 2;
            match self.delta(middle * step, self.shape)? <= self.goal.delta.value() {
                true => high = middle,
                false => low = middle,
            }
        }
        Ok(high * step)
    }

    /// Takes the best shape for this volume.
    fn improve(&mut self, per_chain: u32) -> Result<(), PrivacyError> {
        self.shape = self.improved(per_chain)?.0;
        Ok(())
    }

    /// The shape with the least δ at this volume, by ever smaller steps from the present one.
    fn improved(&mut self, per_chain: u32) -> Result<(usize, f64), PrivacyError> {
        let mut best = (self.shape, self.delta(per_chain, self.shape)?);
        for step in [4, 2, 1] {
            for next in [best.0.saturating_sub(step).max(self.least_shape), (best.0 + step).min(SHAPES.len() - 1)] {
                let delta = self.delta(per_chain, next)?;
                if delta < best.1 {
                    best = (next, delta);
                }
            }
        }
        Ok(best)
    }
}
