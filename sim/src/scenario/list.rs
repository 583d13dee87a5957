//! The scenarios by name.

use super::{lasting::Ailment, trouble::Trouble};
use crate::adversary::cheat::{CHEATS, Cheat};

/// Something to run, again and again with other seeds.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, for command lines and reports.
    pub name: String,
    /// What happens in it.
    pub kind: Kind,
}

/// What happens in a scenario.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing.
    Calm,
    /// Nothing, in a network that has the noise of some server opened after each round.
    Audited,
    /// The same run is made with people who talk and with people who don't: nobody who watches may see which.
    Observed(Vec<Trouble>),
    /// Faults.
    Faults(Vec<Trouble>),
    /// A fault that lasts.
    Lasting(Ailment),
    /// One cheat.
    Cheat(&'static Cheat),
    /// Faults, drawn at random.
    MixedFaults,
    /// Cheats, drawn at random, all by one server.
    MixedCheats,
    /// Faults and cheats at once.
    Mixed,
}

/// Every scenario.
pub fn all() -> Vec<Scenario> {
    let scenario = |name: String, kind| Scenario { name, kind };
    let faults = Trouble::ALL.iter().map(|trouble| scenario(trouble.name().into(), Kind::Faults(vec![*trouble])));
    let ailments = Ailment::ALL.iter().map(|ailment| scenario(ailment.name().into(), Kind::Lasting(*ailment)));
    let cheats = CHEATS.iter().map(|cheat| scenario(cheat.name.into(), Kind::Cheat(cheat)));
    let watched = [
        ("calm", Kind::Calm),
        ("audited", Kind::Audited),
        ("observed", Kind::Observed(Vec::new())),
        ("observed-in-trouble", Kind::Observed(vec![Trouble::Loss, Trouble::ServerCrash, Trouble::ClientOffline])),
    ];
    let mixed = [("mixed-faults", Kind::MixedFaults), ("mixed-cheats", Kind::MixedCheats), ("mixed", Kind::Mixed)];
    let named = |(name, kind): (&str, Kind)| scenario(name.into(), kind);
    watched
        .into_iter()
        .map(named)
        .chain(faults)
        .chain(ailments)
        .chain(cheats)
        .chain(mixed.into_iter().map(named))
        .collect()
}

impl Kind {
    /// Whether everybody is honest, and nothing goes wrong.
    pub(super) fn is_calm(&self) -> bool {
        matches!(self, Self::Calm | Self::Audited)
    }
}

/// The scenario with a name.
pub fn named(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}
