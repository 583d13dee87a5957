//! A model of a deployment: what a round takes on servers, links and machines that need not exist.
//!
//! A round is a graph of activities, computing and sending, each of which waits for others: the `schedule` builds it as the
//! machines of `hippodrome-core` order their work. The `engine` plays it out on machines whose cores are shared by what
//! runs, and on links with a delay and a rate. What an activity takes is in [`Costs`], which are measured on the spot by
//! whole rounds of `hippodrome-bench`. [`validate()`] sets what comes out against real runs.
//!
//! All times inside are whole nanoseconds, and nothing is drawn at random: the same deployment and costs give the same
//! outcome.
//!
//! Left out: losses and faults, traces, audits and claims; keys and epochs but for what a round's keys cost; batches of
//! unequal size; memory and what it costs to run out of it; clients, but where they share the servers' machine; congestion
//! beyond the ends of links.

mod costs;
mod deployment;
mod engine;
mod fit;
mod measure;
mod outcome;
mod schedule;
mod validate;
mod work;

pub use costs::{Costs, CostsError, Rate, Rates, Source, Transport};
pub use deployment::{BadDeployment, Deployment, Link, Placement};
pub use measure::{Effort, MeasureError};
pub use outcome::{Outcome, RoundOutcome};
pub use validate::{Compared, Measured, Validation, ValidationRow, validate};
pub use work::{Units, Work};

use engine::run;
use schedule::Schedule;

/// Plays a deployment's rounds out.
///
/// # Errors
/// [`BadDeployment`] if there is no such deployment.
pub fn simulate(deployment: &Deployment, costs: &Costs) -> Result<Outcome, BadDeployment> {
    deployment.check()?;
    let schedule = Schedule::of(deployment, costs);
    let played = run(&schedule.network, &schedule.activities);
    Ok(outcome::of(deployment, &schedule, &played))
}

/// How much of each kind of work one round of a deployment is, all servers and the coordinator together.
///
/// # Errors
/// [`BadDeployment`] if there is no such deployment.
pub fn count_work(deployment: &Deployment) -> Result<std::collections::BTreeMap<Work, Units>, BadDeployment> {
    let one = Deployment { rounds: 1, ..deployment.clone() };
    one.check()?;
    Ok(Schedule::of(&one, &Costs::none()).work)
}

#[cfg(test)]
mod tests;
