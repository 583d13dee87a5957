//! The figures of Stadium and the headlines of others, with what the model says of Hippodrome on the same machines.
//!
//! Published points are in `experiments/data`, with their sources. They were measured on hardware of their time, for
//! guarantees that differ: what is compared is in each figure's note, and in `paper-notes/src/model.md`.
//!
//! All of ours is modelled: 100 servers are at nobody's hand. Messages go through two layers of as many chains as there are
//! servers; noise is planned by `hippodrome-privacy` with three quarters of the servers honest.

mod anonymity;
mod claims;
mod headlines;
mod stadium;
mod table;

pub use claims::{Claim, claims};

use hippodrome_core::params::Verification;
use hippodrome_privacy::{
    PrivacyError,
    links::Layers,
    plan::{Deployment as Noisy, Goal, plan},
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};

use crate::model::{BadDeployment, Costs, Deployment, Link, Outcome, Placement, simulate};
use crate::plot::Figure;

/// Cores of every server: vCPUs of the machines that Stadium and Karaoke ran on.
const CORES: u16 = 36;
/// From server to server and back it takes a tenth of a second.
const DELAY_S: f64 = 0.05;
/// Their machines' lines, each way.
const BITS_PER_S: f64 = 10e9;
/// Time enough to do beforehand what can be done beforehand: the figures are about one round by itself.
const COLLECT_S: f64 = 3600.0;
/// δ and rounds of Stadium's own figures.
const DELTA: f64 = 1e-4;
const ROUNDS: u64 = 10_000;

/// Why a figure cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// There is no such deployment.
    #[error(transparent)]
    Deployment(#[from] BadDeployment),
    /// The noise cannot be planned.
    #[error("planning noise: {0}")]
    Privacy(#[from] PrivacyError),
}

/// A figure's name, and how it is made.
pub type Drawn = (&'static str, fn(&Costs) -> Result<Figure, FigureError>);

/// All figures by their names: latency against chain length, against users for chains of 3, 6 and 9, against servers, and
/// against ε; the headlines of several papers; and latency against ε of all of them in the same units. The same costs give
/// the same figures to the last byte.
pub const FIGURES: &[Drawn] = &[
    ("latency-chain-length", |costs| stadium::chain_length(costs, &stadium::LENGTHS)),
    ("latency-users-3", |costs| stadium::users(costs, 3)),
    ("latency-users-6", |costs| stadium::users(costs, 6)),
    ("latency-users-9", |costs| stadium::users(costs, 9)),
    ("latency-servers", stadium::servers),
    ("epsilon-latency", stadium::epsilon),
    ("latency-headlines", headlines::figure),
    ("latency-epsilon", anonymity::figure),
];

/// All figures.
///
/// # Errors
/// [`FigureError`]: a mistake in what the figures ask for, not in the costs.
pub fn all(costs: &Costs) -> Result<Vec<Figure>, FigureError> {
    FIGURES.iter().map(|(_, draw)| draw(costs)).collect()
}

/// Those with these names, in the order of [`FIGURES`]; others are left out.
///
/// # Errors
/// As [`all`].
pub fn named(names: &[String], costs: &Costs) -> Result<Vec<Figure>, FigureError> {
    let wanted = FIGURES.iter().filter(|(name, _)| names.iter().any(|asked| asked == name));
    wanted.map(|(_, draw)| draw(costs)).collect()
}

/// Servers of their own, in two layers of as many chains.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cluster {
    servers: u16,
    chain_len: u8,
    verification: Verification,
    noise_slots: u32,
}

impl Cluster {
    fn full(servers: u16, chain_len: u8, noise_slots: u32) -> Self {
        Self { servers, chain_len, verification: Verification::Full, noise_slots }
    }

    fn deployment(&self, messages: u64) -> Deployment {
        Deployment {
            servers: self.servers,
            cores: CORES,
            threads: CORES,
            placement: Placement::Apart,
            link: Link { delay_s: DELAY_S, bits_per_s: BITS_PER_S },
            chains: self.servers,
            chain_len: self.chain_len,
            layers: 2,
            verification: self.verification,
            messages,
            clients: 0,
            noise_slots: self.noise_slots,
            period_s: COLLECT_S,
            collect_s: COLLECT_S,
            rounds: 1,
        }
    }

    /// Seconds from the end of collection to the last reply.
    fn latency_s(&self, messages: u64, costs: &Costs) -> Result<f64, BadDeployment> {
        Ok(self.outcome(messages, costs)?.latency_s())
    }

    fn outcome(&self, messages: u64, costs: &Costs) -> Result<Outcome, BadDeployment> {
        simulate(&self.deployment(messages), costs)
    }
}

/// Slots of noise of every server that reach ε with [`DELTA`] over [`ROUNDS`], for clients of one slot; none where no
/// noise that servers can send is enough.
fn noise_slots(servers: u16, epsilon: f64) -> Result<Option<u32>, PrivacyError> {
    let all = u32::from(servers);
    let (all, honest) = (Servers::new(all)?, Servers::new(all - all / 4)?);
    let noisy = Noisy::new(all, honest, Layers::Two, servers.into(), Shift::ONE)?;
    let goal = Goal::new(Epsilon::new(epsilon)?, Delta::new(DELTA)?, Rounds::new(ROUNDS)?)?;
    match plan(&noisy, &goal) {
        Ok(plan) => Ok(u32::try_from(plan.slots()).ok()),
        Err(PrivacyError::NoPlan { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests;
