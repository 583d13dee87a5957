//! The network of a point, as far as it says what is hidden. It follows the rules by which networks are founded.

use std::num::NonZeroU32;

use hippodrome_core::{
    noise::{Guarantee, NoiseParams},
    params::{NetworkParams, Verification},
};
use hippodrome_privacy::{
    PrivacyError,
    attack::{Mechanism, Setting},
    links::Layers,
    plan::{self, Deployment, Guarantee as Reached, Shape},
    quantity::{Delta, Rounds, Servers, Shift},
};
use hippodrome_store::guarantee::{self, Overstated};

use super::{AnonymityError, Settings};
use crate::preset::Point;

/// Parameters with which the network of a point is founded, as far as they say what it hides and how often chains are
/// bad.
///
/// # Errors
/// [`AnonymityError`] if there is no such mode of verification, or no noise that reaches the guarantee.
pub fn params(point: &Point) -> Result<NetworkParams, AnonymityError> {
    let slots = (point.noise.saturating_mul(point.chains.into())) / 2;
    let stated = point.guarantee.map(|target| Guarantee::new(target.rounds, target.epsilon, target.delta));
    let params = NetworkParams {
        name: String::new(),
        chains: point.chains,
        chain_len: point.chain_len,
        layers: point.layers,
        verification: verification(point)?,
        slots: point.slots,
        noise: NoiseParams { guarantee: stated, audit: NonZeroU32::new(point.audit), ..NoiseParams::uniform(slots) },
        period_ms: point.period_ms,
        collect_ms: 0,
        deadline_ms: 0,
        max_batch: 0,
        bad_servers: point.servers / 4,
        min_live: 0,
        failure_bits: 0,
        epoch_ms: 0,
    };
    let min_live = params.quorum(point.servers.into()).max(point.chain_len.into());
    let params = NetworkParams { min_live: u16::try_from(min_live).unwrap_or(u16::MAX), ..params };
    Ok(NetworkParams { noise: guarantee::least_noise(&params)?, ..params })
}

fn verification(point: &Point) -> Result<Verification, AnonymityError> {
    let known = Verification::named(&point.verification);
    known.ok_or_else(|| AnonymityError::Verification(point.verification.clone()))
}

/// Odds that some chain of one draw has no honest server, if so many servers are corrupt: at most the number of chains
/// times those of one, as the network itself counts them.
pub(super) fn compromise_odds(params: &NetworkParams, servers: u16, corrupt: u16) -> f64 {
    let all = NetworkParams { bad_servers: corrupt, min_live: servers, ..params.clone() };
    (-all.odds(1).bits()).exp2()
}

/// Honest servers' noise, where it goes, and how far one person moves a count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    pub(super) honest: Servers,
    servers: Servers,
    /// One server's noise is opened in one round in so many: accounted for, and not simulated.
    audit: Option<NonZeroU32>,
    pub(super) layers: Layers,
    pub(super) chains: u32,
    pub(super) shift: Shift,
    /// Slots of each server, with those that fill all chains equally.
    pub(super) slots: u32,
    pub(super) shape: Shape,
}

impl Noise {
    pub(super) fn of(params: &NetworkParams, ask: &Settings) -> Result<Self, AnonymityError> {
        let relied_on = || params.min_live.checked_sub(params.bad_servers).filter(|honest| *honest > 0);
        let honest = ask.honest.or_else(relied_on);
        let honest = honest.ok_or(Overstated::NobodyHonest { min_live: params.min_live })?;
        let noise = Self {
            honest: Servers::new(honest.into())?,
            servers: Servers::new(params.min_live.max(honest).into())?,
            audit: params.noise.audit,
            layers: Layers::try_from(params.layers)?,
            chains: params.chains.into(),
            shift: Shift::new(params.slots.into())?,
            slots: params.noise.slots,
            shape: params.noise.shape.to_string().parse()?,
        };
        let filling = noise.setting(noise.mechanism())?.noise().slots();
        Ok(Self { slots: filling, ..noise })
    }

    /// As servers draw it.
    pub(super) fn mechanism(&self) -> Mechanism {
        Mechanism::Urn { slots: self.slots, shape: self.shape }
    }

    /// What an attacker faces if `sent` is sent.
    pub(super) fn setting(&self, sent: Mechanism) -> Result<Setting, PrivacyError> {
        Setting::new(self.honest, self.layers, self.chains, self.shift, sent)
    }

    /// What an attacker faces who counts mailboxes and no links.
    pub(super) fn of_mailboxes(&self, sent: Mechanism) -> Result<Setting, PrivacyError> {
        Setting::new(self.honest, Layers::One, 1, self.shift, sent)
    }

    /// ε that the planned noise has with δ over so many rounds; none where no finite one does.
    pub(super) fn reached(&self, rounds: u64, delta: Delta) -> Result<Reached, PrivacyError> {
        let deployment = Deployment::new(self.servers, self.honest, self.layers, self.chains, self.shift)?;
        let deployment = self.audit.map_or(deployment, |one_in| deployment.with_audit(one_in));
        let rounds = Rounds::new(rounds)?;
        match plan::guarantee_of(&deployment, self.shape.value(), self.slots.into(), rounds, delta) {
            // So much is learnt that the accountant does not hold it.
            Err(PrivacyError::TooLarge { .. } | PrivacyError::Invalid { what: "mu", .. }) => {
                Ok(Reached { epsilon: None, mailboxes: None, chains_known: None })
            }
            reached => reached,
        }
    }
}
