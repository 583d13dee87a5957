//! What two stories show over all rounds.

use super::{Deployment, Goal, Guarantee, Replies};
use crate::{
    account::{Account, Resolution},
    error::{PrivacyError, invalid},
    links::{Links, Neighbours},
    noise::Noise,
    quantity::{Delta, Epsilon, Rounds, Servers},
};

/// Beyond this loss over all rounds a search need not look closely.
const HOPELESS_MU: f64 = 50.0;

/// Everything that two stories show in one round.
struct Seen {
    mailboxes: Account,
    talking_or_idle: Account,
    bob_or_charlie: Option<Account>,
    chains_known: Option<Account>,
    /// The larger μ of links.
    mu: f64,
}

impl Seen {
    /// `honest` servers' records are on the links. Mailbox counts are hidden by the noise of `counted` servers only: an
    /// upper bound if that is not all of them.
    fn new(deployment: &Deployment, shape: f64, slots: u64, honest: u32, counted: u32) -> Result<Self, PrivacyError> {
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
        let mus = [Neighbours::TalkingOrIdle, Neighbours::BobOrCharlie].map(|neighbours| of(neighbours).unwrap_or(0.0));
        Ok(Self {
            mailboxes,
            talking_or_idle,
            bob_or_charlie: alone(of(Neighbours::BobOrCharlie))?,
            chains_known: alone(links.mu_with_chains_known(shift))?,
            mu: mus[0].max(mus[1]),
        })
    }
}

/// What is seen in rounds in which one honest server's noise is opened.
enum Opened {
    /// There are no such rounds.
    Never,
    /// Everything: it was the only honest server.
    All,
    /// What the others hide.
    By(Box<Seen>),
}

/// How many rounds are of which kind.
struct Split {
    usual: u64,
    opened: u64,
    /// At most so likely more are opened.
    beyond: f64,
}

/// Everything that two stories show, in all rounds together.
pub(super) struct Views<'a> {
    deployment: &'a Deployment,
    honest: Servers,
    usual: Seen,
    opened: Opened,
    /// Dialing, and what is said of replies: everything that it tells, and without the mailboxes that claims show,
    /// where mailboxes tell nothing.
    besides: Account,
    besides_alone: Account,
}

impl<'a> Views<'a> {
    /// What noise of so many slots and this shape at each of `honest` servers lets see; of it, that of `counted` counts
    /// where mailboxes are counted.
    pub(super) fn new(
        deployment: &'a Deployment,
        shape: f64,
        slots: u64,
        honest: u32,
        counted: u32,
    ) -> Result<Self, PrivacyError> {
        let seen = |honest: u32| Seen::new(deployment, shape, slots, honest, counted.min(honest));
        let (opened, unopened) = match (deployment.audit, honest) {
            (None, _) => (Opened::Never, honest),
            (Some(_), 1) => (Opened::All, honest),
            _ => (Opened::By(Box::new(seen(honest - 1)?)), honest - 1),
        };
        // Replies may be spoken of in any round, an opened one, too.
        let (replies, replies_alone) = said_of_replies(deployment, shape, slots, honest, counted.min(unopened))?;
        // Nothing says that rounds of dialing are spared.
        let dialing = deployment.dialing.map(|dialing| dialing.account(Servers::new(unopened)?)).transpose()?;
        let dialing = dialing.unwrap_or_default();
        let (besides, besides_alone) = (replies.and(&dialing), replies_alone.and(&dialing));
        let usual = seen(honest)?;
        Ok(Self { deployment, honest: Servers::new(honest)?, usual, opened, besides, besides_alone })
    }

    fn split(&self, rounds: Rounds, delta: Delta) -> Split {
        let (all, opened) = (rounds.count(), self.deployment.most_opened(self.honest, rounds, delta));
        let beyond = match &self.opened {
            Opened::Never => 0.0,
            _ if opened == all => 0.0,
            _ => super::SHARE_OF_OPENING * delta.value(),
        };
        Split { usual: all - opened, opened, beyond }
    }

    /// One kind of what is seen, in all rounds; none if it is not seen in any.
    fn all(&self, split: &Split, kind: fn(&Seen) -> Option<&Account>) -> Option<Account> {
        let usual = kind(&self.usual)?.over(split.usual);
        match &self.opened {
            Opened::By(seen) => Some(usual.and(&kind(seen)?.over(split.opened))),
            Opened::Never | Opened::All => Some(usual),
        }
    }

    fn everything_is_seen(&self, split: &Split) -> bool {
        matches!(self.opened, Opened::All) && split.opened > 0
    }

    /// μ of links in all rounds.
    fn mu(&self, split: &Split) -> f64 {
        let of_opened = if let Opened::By(seen) = &self.opened { seen.mu } else { 0.0 };
        (split.usual as f64 * self.usual.mu.powi(2) + split.opened as f64 * of_opened.powi(2)).sqrt()
    }

    /// δ of the worse pair of stories; of one of them if that is too much already.
    pub(super) fn delta(&self, goal: &Goal) -> Result<f64, PrivacyError> {
        let split = self.split(goal.rounds, goal.delta);
        if self.everything_is_seen(&split) || self.mu(&split) > HOPELESS_MU {
            return Ok(1.0);
        }
        let mailboxes = self.all(&split, mailboxes).unwrap_or_default();
        let infinite = mailboxes.and(&self.besides).infinite() + split.beyond;
        if infinite > goal.delta.value() {
            return Ok(infinite);
        }
        let of = |account: Account, besides: &Account| -> Result<f64, PrivacyError> {
            let composed = account.and(besides).compose(Resolution::Coarse)?;
            Ok(composed.delta(goal.epsilon).value() + split.beyond)
        };
        let who = self.all(&split, bob_or_charlie);
        let who = who.map_or(Ok(0.0), |account| of(account, &self.besides_alone))?;
        if who > goal.delta.value() {
            return Ok(who);
        }
        let talking = self.all(&split, talking_or_idle).unwrap_or_default();
        Ok(who.max(of(talking, &self.besides)?))
    }

    /// ε with this δ over so many rounds.
    pub(super) fn guarantee(&self, rounds: Rounds, delta: Delta) -> Result<Guarantee, PrivacyError> {
        let split = self.split(rounds, delta);
        if self.everything_is_seen(&split) {
            return Ok(Guarantee { epsilon: None, mailboxes: None, chains_known: None });
        }
        let left = Delta::new(delta.value() - split.beyond)?;
        let with =
            |account: Account, besides: &Account| match account.and(besides).compose(Resolution::Coarse)?.epsilon(left)
            {
                Err(PrivacyError::Unreachable { .. }) => Ok(None),
                found => found.map(Some),
            };
        let of = |kind| self.all(&split, kind).map(|account| with(account, &Account::new())).transpose();
        let talking = self.all(&split, talking_or_idle).unwrap_or_default();
        let talking = with(talking, &self.besides)?;
        let who = self.all(&split, bob_or_charlie);
        let who = who.map_or(Ok(Some(Epsilon::ZERO)), |account| with(account, &self.besides_alone))?;
        let worse = |(a, b): (Epsilon, Epsilon)| if a > b { a } else { b };
        Ok(Guarantee {
            epsilon: talking.zip(who).map(worse),
            mailboxes: of(mailboxes)?.flatten(),
            chains_known: match of(chains_known) {
                Err(PrivacyError::Invalid { .. } | PrivacyError::TooLarge { .. }) => None,
                found => found?.flatten(),
            },
        })
    }
}

fn mailboxes(seen: &Seen) -> Option<&Account> {
    Some(&seen.mailboxes)
}

fn talking_or_idle(seen: &Seen) -> Option<&Account> {
    Some(&seen.talking_or_idle)
}

fn bob_or_charlie(seen: &Seen) -> Option<&Account> {
    seen.bob_or_charlie.as_ref()
}

fn chains_known(seen: &Seen) -> Option<&Account> {
    seen.chains_known.as_ref()
}

/// What is said of replies: a word or silence with every limit, and with every word the kind of one slot of its
/// speaker, so that in that round the noise of all others has to do.
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
