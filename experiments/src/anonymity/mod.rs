//! How much a point hides: what is proved of it, and what an attacker finds who tries.
//!
//! A proof bounds what anybody can learn from above, an attacker who plays against simulated rounds bounds it from
//! below: *shown* above *proved* would be a mistake in the proof or in the noise. So noise that is broken on purpose is
//! attacked, too, and has to be found out. Both are over the same number of rounds, and against the same adversary:
//!
//! * In `full` and `aggregate` networks what is proved holds against servers that cheat: they cannot drop the noise
//!   that hides somebody before the counts are seen.
//! * In `none` networks it holds against servers that only watch. Nothing is proved against those that cheat; what is
//!   left of the noise if they drop what they can is attacked in its place.
//!
//! Everything follows from the preset and its seed. `paper-notes/src/privacy.md` has the mathematics.

mod attack;
mod dropped;
mod network;
mod settings;
mod table;

use std::fmt;

use hippodrome_core::params::Verification;
use hippodrome_privacy::{
    PrivacyError,
    quantity::{Delta, Epsilon},
};
use hippodrome_store::guarantee::Overstated;
use serde::{Deserialize, Serialize};

pub use self::{
    attack::{Found, Intersection, Whom},
    network::params,
    settings::{Draw, Sent, Settings},
    table::{csv, report},
};
use self::{dropped::Left, network::Noise};
use crate::{preset::Point, seeds::Seed};

/// Why nothing can be said of a point.
#[derive(Debug, thiserror::Error)]
pub enum AnonymityError {
    /// There is no such mode.
    #[error("`verification` is {0}: expected full, aggregate or none")]
    Verification(String),
    /// Its network cannot have the guarantee that was asked for.
    #[error(transparent)]
    Guarantee(#[from] Overstated),
    /// It cannot be accounted for, or not be simulated.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
}

/// What is known of the anonymity of a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anonymity {
    /// Servers whose noise is relied on.
    pub honest: u32,
    /// Slots of noise of each server.
    pub slots: u32,
    /// α of it.
    pub shape: String,
    /// Against whom all of [`proved`](Self::proved) holds.
    pub against: Adversary,
    /// What is proved of the noise as planned.
    pub proved: Proved,
    /// Odds that one draw of all chains has one without an honest server, at most.
    pub compromise_odds: f64,
    /// Everything that was attacked, the noise as planned first.
    pub attacked: Vec<Attacked>,
}

/// What corrupt servers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Adversary {
    /// Whatever they like.
    Active,
    /// What they should, and look.
    Passive,
}

/// ε with the δ of the preset; none where no finite one holds. With one chain all of it is proved; with several, what
/// links between chains tell rests on simulation, and what mailboxes tell is proved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proved {
    /// Over all rounds of the preset.
    pub all: Option<f64>,
    /// The same of mailboxes alone.
    pub mailboxes: Option<f64>,
    /// In one round.
    pub round: Option<f64>,
    /// Over the rounds of a game: what is to be compared with what games show.
    pub game: Option<f64>,
}

/// Noise that was attacked, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attacked {
    /// Why it was.
    pub variant: Variant,
    /// What each honest server sent, in words.
    pub sent: String,
    /// What came of it.
    pub found: Found,
}

/// What noise is attacked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// As planned: it should hide what is proved.
    Planned,
    /// What is left where servers drop what they can, since nothing is verified.
    Dropped,
    /// Broken on purpose: it should be found out.
    Broken,
}

/// What an attack says of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No more was shown than is proved.
    Within,
    /// More was shown of noise that is as planned: proof or noise is wrong.
    Refuted,
    /// More was shown of noise that is broken.
    FoundOut,
    /// Noise that is broken was not found out in so many games.
    Missed,
    /// Nothing is proved that could be refuted.
    NothingProved,
}

/// Accounts for a point, and attacks it in every variant. The same settings and seed give the same.
///
/// # Errors
/// [`AnonymityError`] if no network can be like this, or it is too large to be simulated.
pub fn of(point: &Point, ask: &Settings, seed: &Seed) -> Result<Anonymity, AnonymityError> {
    let params = params(point)?;
    let noise = Noise::of(&params, ask)?;
    let against = match params.verification {
        Verification::Full | Verification::Aggregate => Adversary::Active,
        Verification::None => Adversary::Passive,
    };
    let mut attacked = vec![planned(&noise, ask, seed)?];
    if against == Adversary::Passive {
        attacked.extend(dropped(&noise, ask, seed)?);
    }
    for (number, sent) in (0..).zip(&ask.sent) {
        attacked.push(broken(&noise, sent, ask, &seed.of("sent", number))?);
    }
    Ok(Anonymity {
        honest: noise.honest.count(),
        slots: noise.slots,
        shape: noise.shape.to_string(),
        against,
        proved: Proved::of(&noise, ask)?,
        compromise_odds: network::compromise_odds(&params, point.servers, ask.corrupt_servers(point.servers)),
        attacked,
    })
}

fn planned(noise: &Noise, ask: &Settings, seed: &Seed) -> Result<Attacked, PrivacyError> {
    let setting = noise.setting(noise.mechanism())?;
    let found = attack::all(&setting, ask, &seed.of("planned", 0))?;
    Ok(Attacked { variant: Variant::Planned, sent: setting.noise().to_string(), found })
}

fn broken(noise: &Noise, sent: &Sent, ask: &Settings, seed: &Seed) -> Result<Attacked, PrivacyError> {
    let setting = noise.setting(sent.mechanism(noise.slots, noise.shape))?;
    let found = attack::all(&setting, ask, seed)?;
    Ok(Attacked { variant: Variant::Broken, sent: setting.noise().to_string(), found })
}

/// Counts of mailboxes alone: links tell more, and so this attacker shows no more than somebody could.
fn dropped(noise: &Noise, ask: &Settings, seed: &Seed) -> Result<Option<Attacked>, PrivacyError> {
    let attacked = |sent, found| Some(Attacked { variant: Variant::Dropped, sent, found });
    match dropped::left(noise.slots, noise.layers, noise.chains) {
        Left::All => Ok(None),
        Left::Nothing => Ok(attacked("nothing is left".to_owned(), attack::truth(ask)?)),
        Left::Slots(slots) => {
            let setting = noise.of_mailboxes(noise.mechanism().with_slots(slots))?;
            let found = attack::counts(&setting, ask, &seed.of("dropped", 0))?;
            Ok(attacked(format!("{} are left", setting.noise()), found))
        }
    }
}

impl Proved {
    fn of(noise: &Noise, ask: &Settings) -> Result<Self, PrivacyError> {
        let delta = Delta::new(ask.delta)?;
        let value = |epsilon: Option<Epsilon>| epsilon.map(Epsilon::value);
        let all = noise.reached(ask.rounds, delta)?;
        let over = |rounds| noise.reached(rounds, delta).map(|reached| value(reached.epsilon));
        Ok(Self {
            all: value(all.epsilon),
            mailboxes: value(all.mailboxes),
            round: over(1)?,
            game: over(ask.game_rounds.into())?,
        })
    }
}

impl Anonymity {
    /// What one of its attacks says of its proof.
    pub fn verdict(&self, attacked: &Attacked) -> Verdict {
        let is_more = self.proved.game.map(|proved| attacked.found.shown > proved);
        match (attacked.variant, is_more) {
            (Variant::Dropped, _) | (_, None) => Verdict::NothingProved,
            (Variant::Planned, Some(false)) => Verdict::Within,
            (Variant::Planned, Some(true)) => Verdict::Refuted,
            (Variant::Broken, Some(true)) => Verdict::FoundOut,
            (Variant::Broken, Some(false)) => Verdict::Missed,
        }
    }

    /// Whether noise that is as planned showed more than is proved of it.
    pub fn is_refuted(&self) -> bool {
        self.attacked.iter().any(|attacked| self.verdict(attacked) == Verdict::Refuted)
    }

    /// A number of it by the name that figures call it by, with its unit. Proved and shown are against servers that
    /// cheat: nothing is proved where nothing is verified, and what is shown there is of what is left of the noise.
    pub fn metric(&self, name: &str) -> Option<(f64, &'static str)> {
        let of = |variant| self.attacked.iter().find(|it| it.variant == variant).map(|it| it.found);
        let planned = of(Variant::Planned)?;
        let worst = of(Variant::Dropped).unwrap_or(planned);
        let active = |epsilon: Option<f64>| epsilon.filter(|_| self.against == Adversary::Active);
        let found_after = |it: Intersection| (!it.is_longer).then_some((f64::from(it.rounds), "rounds"));
        match name {
            "epsilon_proved" => Some((active(self.proved.all)?, "")),
            "epsilon_passive" => Some((self.proved.all?, "")),
            "epsilon_shown" => Some((worst.shown, "")),
            "epsilon_shown_if_normal" => Some((worst.shown_if_normal, "")),
            "entropy_bits" => Some((planned.whom?.entropy_bits, "bits")),
            "intersection_rounds" => worst.intersection.and_then(found_after),
            "compromise_odds" => Some((self.compromise_odds, "")),
            _ => None,
        }
    }
}

impl Adversary {
    /// In tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

impl Variant {
    /// In tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Dropped => "dropped",
            Self::Broken => "broken",
        }
    }
}

impl Verdict {
    /// In tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Refuted => "refuted",
            Self::FoundOut => "found-out",
            Self::Missed => "missed",
            Self::NothingProved => "nothing-proved",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Within => "within what is proved",
            Self::Refuted => "**more than is proved: broken**",
            Self::FoundOut => "more than is proved: caught",
            Self::Missed => "not caught in so many games",
            Self::NothingProved => "nothing is proved",
        })
    }
}

impl fmt::Display for Anonymity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = |attacked: &Attacked| format!("{} {}", attacked.variant.name(), self.verdict(attacked));
        let verdicts: Vec<String> = self.attacked.iter().map(verdict).collect();
        write!(f, "{}", verdicts.join(", "))
    }
}

#[cfg(test)]
mod tests;
