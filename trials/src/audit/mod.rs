//! The audit: an attacker who sees what one server per chain and the coordinator see guesses who talks, round by round.
//!
//! A network of real processes runs; every server in it is a witness, which does all that an honest one does and prints
//! what it sees of mailboxes when it ends a chain of the last layer. Two clients talk in all their slots, or in none, as a
//! secret coin says in each round. The attacker has the witnesses' counts, nothing else, and its score bounds ε from below
//! ([`hippodrome_privacy::attack`]).

mod game;
mod script;
mod witness;

use std::{fmt, path::PathBuf, time::Duration};

use hippodrome_core::params::NetworkParams;
use hippodrome_privacy::{
    account::{Account, Resolution},
    attack::{Attacker, Round, Score},
    noise::Noise,
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};
use serde::Serialize;

pub use self::game::play;

/// So seldom may a measured bound be wrong.
pub const DOUBT: f64 = 0.05;

/// A network to be attacked, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its files go: new or empty.
    pub dir: PathBuf,
    /// The `mutant` program.
    pub mutant: PathBuf,
    /// Flags of `testnet up`: shape and noise.
    pub shape: Vec<String>,
    /// Rounds whose coins are guessed.
    pub rounds: usize,
    /// How long a round may take to come, the first one and any other.
    pub patience: Duration,
    /// The secret of the coins.
    pub seed: u64,
}

/// What came of a game.
#[derive(Clone, Debug)]
pub struct Game {
    /// The network's parameters.
    pub params: NetworkParams,
    /// What the attacker saw, with the coins that it did not.
    pub rounds: Vec<Round>,
}

/// What noise is proved to hide in one round, from whom it is relied on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Proved {
    /// ε of one round in which all slots of two clients talk, or none.
    pub epsilon: Epsilon,
    /// With this δ.
    pub delta: Delta,
    /// How far talk moves the count.
    pub shift: u32,
    /// Servers whose noise is relied on.
    pub honest: u32,
    /// Slots of noise of each.
    pub slots: u32,
}

impl Proved {
    /// What a network's noise is proved to hide in a round, with a δ.
    pub fn of(params: &NetworkParams, delta: Delta) -> Result<Self, hippodrome_privacy::PrivacyError> {
        let honest = u32::from(params.min_live.saturating_sub(params.bad_servers));
        let noise = Noise::beta_binomial(params.noise.slots.into(), params.noise.shape.value())?;
        let shift = Shift::new(params.slots.into())?;
        let account = Account::new().with_count(&noise, Servers::new(honest)?, shift, Rounds::ONE)?;
        let epsilon = account.compose(Resolution::Fine)?.epsilon(delta)?;
        Ok(Self { epsilon, delta, shift: shift.by(), honest, slots: params.noise.slots })
    }
}

/// What an attacker found in a game, against what was proved of noise that may have been other noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What is proved of the noise that was planned.
    pub proved: Proved,
    /// Slots of noise that each server really had.
    pub slots: u32,
    /// The attacker's guesses.
    pub score: Score,
    /// ε that the guesses show at least, with confidence `1 − DOUBT`.
    pub shown: Epsilon,
    /// Share of right guesses.
    pub accuracy: f64,
}

impl Finding {
    /// Lets the attacker play: it guesses talk where more mailboxes were shared than noise shares on average.
    pub fn new(proved: Proved, slots: u32, rounds: &[Round]) -> Result<Self, hippodrome_privacy::PrivacyError> {
        let score = Attacker::from_count(1).play(rounds);
        let shown = score.epsilon(proved.delta, DOUBT)?;
        Ok(Self { proved, slots, score, shown, accuracy: score.accuracy() })
    }

    /// Whether the noise cannot have been what was planned.
    pub fn is_too_little(&self) -> bool {
        self.shown > self.proved.epsilon
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proved, slots, score, shown, accuracy } = self;
        let Proved { epsilon, delta, shift, honest, slots: planned } = proved;
        writeln!(
            f,
            "planned      {planned} slots at each of {honest} honest servers; talk moves the count by {shift}"
        )?;
        writeln!(f, "  proved     epsilon {epsilon} with delta {delta}, in one round")?;
        writeln!(f, "sent         {slots} slots a server")?;
        let Score { hits, talking, false_alarms, idle } = score;
        writeln!(f, "guesses      {hits} of {talking} rounds of talk, {false_alarms} of {idle} others by mistake")?;
        writeln!(f, "  right      {accuracy:.3}")?;
        let verdict = if self.is_too_little() { "too little: not the noise that was planned" } else { "as proved" };
        write!(f, "shown        epsilon of at least {shown} ({:.0} % confidence): {verdict}", 100.0 * (1.0 - DOUBT))
    }
}
