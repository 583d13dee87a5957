//! `audit`: what an attacker finds in simulated rounds, beside what is guaranteed.

use std::fmt;

use clap::{Args, ValueEnum};
use hippodrome_privacy::{
    PrivacyError,
    attack::{
        Games, Mechanism, Score, Setting,
        churn::{self, Churn},
        partner::{self, Partner},
        talk::{self, Talk},
    },
    links::Layers,
    plan::{self, Deployment, Guarantee, Shape},
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};
use serde::Serialize;

use crate::{
    account::{delta, servers, shift},
    plan::{LINKS_NOT_PROVED, Links},
    print_report,
};

const EXAMPLES: &str = "\
Examples:
  hippodrome audit
  hippodrome audit --slots 300 --sent-slots 30
  hippodrome audit --slots 300 --mechanism poisson
  hippodrome audit --slots 120 --servers 4 --layers 3 --chains 6 --rounds 50 --games 4000 --json

Three games with noise as servers draw it: does Alice talk with Bob, with whom of many does she talk, and the same if
people come and go. What is shown holds with the confidence that is asked for; that nothing is shown proves nothing.";

/// What an attacker finds out from counts in simulated rounds, beside what is guaranteed
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    /// Slots of noise of each honest server, as planned
    #[arg(long, default_value_t = 300)]
    slots: u32,
    /// Alpha of the planned beta-binomial noise, a fraction
    #[arg(long, default_value = "7/2")]
    shape: Shape,
    /// Slots that are really sent [default: as planned]
    #[arg(long, value_name = "M")]
    sent_slots: Option<u32>,
    /// How the noise that is sent is drawn
    #[arg(long, default_value = "urn")]
    mechanism: Draw,
    /// Bits of the one number that `coarse` draws
    #[arg(long, default_value_t = 8)]
    bits: u8,
    /// Honest servers whose noise adds up
    #[arg(long, default_value = "1", value_parser = servers)]
    servers: Servers,
    /// Open chains in each layer
    #[arg(long, default_value_t = 1)]
    chains: u32,
    /// Layers of chains: 1 (with one chain), 2 or 3
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    layers: u8,
    /// Slots of each client: people talk in all of them or in none
    #[arg(long, default_value = "1", value_parser = shift)]
    client_slots: Shift,
    /// Rounds of a game in which Alice talks or does not, and of one that asks with whom
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Games of talk or none, half of them for learning
    #[arg(long, default_value_t = 20_000)]
    games: u32,
    /// Games that ask with whom
    #[arg(long, default_value_t = 100)]
    searches: u32,
    /// People that Alice could talk with
    #[arg(long, default_value_t = 64)]
    candidates: u32,
    /// Chance of each of them to be online in a round, in the last game
    #[arg(long, default_value_t = 0.5)]
    online: f64,
    /// Rounds of the last game
    #[arg(long, default_value_t = 10_000)]
    long_rounds: u32,
    /// The chance that what is guaranteed does not hold
    #[arg(long, default_value = "1e-4", value_parser = delta)]
    delta: Delta,
    /// The chance that what is shown does not hold
    #[arg(long, default_value_t = 0.05)]
    doubt: f64,
    /// Decides everything that is random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Draw {
    /// As servers do: beta-binomial, from integers
    Urn,
    /// A fair coin for each slot
    Coins,
    /// Poisson of the same mean
    Poisson,
    /// Beta-binomial from one number of few bits, with the gaps of a floating-point sampler
    Coarse,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    /// Slots of each server that the guarantee is about.
    planned_slots: u32,
    shape: String,
    rounds: Rounds,
    delta: Delta,
    /// Of the planned noise; none if no finite one holds. Proved if there are no links.
    guaranteed: Option<Epsilon>,
    links: Links,
    /// Of mailbox counts alone: proved.
    guaranteed_mailboxes: Option<Epsilon>,
    /// What the attacker faced.
    sent: Setting,
    /// Whether it showed more than is guaranteed: the noise that is sent is not what was planned.
    too_little: bool,
    talk: Talk,
    partner: Partner,
    churn: Churn,
    /// The last game with the planned noise, if other noise is sent.
    churn_as_planned: Option<Churn>,
}

pub(crate) fn run(args: &AuditArgs) -> Result<(), PrivacyError> {
    print_report(&args.report()?, args.json);
    Ok(())
}

impl AuditArgs {
    fn report(&self) -> Result<Report, PrivacyError> {
        let planned = self.setting(Mechanism::Urn { slots: self.slots, shape: self.shape })?;
        let sent = self.setting(self.sent())?;
        let planned_slots = planned.noise().slots();
        let planned_guarantee = self.guarantee(planned_slots)?;
        let games = Games { games: self.games, rounds: self.rounds, seed: self.seed };
        let searches = Games { games: self.searches, ..games };
        let long = Games { rounds: self.long_rounds, ..searches };
        let talk = talk::play(&sent, &games, self.delta, self.doubt)?;
        let churn = |setting: &Setting| churn::intersect(setting, &long, self.candidates, self.online);
        Ok(Report {
            planned_slots,
            shape: self.shape.to_string(),
            rounds: Rounds::new(self.rounds.into())?,
            delta: self.delta,
            guaranteed: planned_guarantee.epsilon,
            links: if self.chains == 1 { Links::None } else { Links::Seen(LINKS_NOT_PROVED) },
            guaranteed_mailboxes: planned_guarantee.mailboxes,
            sent,
            too_little: planned_guarantee.epsilon.is_some_and(|guaranteed| talk.shown > guaranteed),
            talk,
            partner: partner::search(&sent, &searches, self.candidates)?,
            churn: churn(&sent)?,
            churn_as_planned: (sent != planned).then(|| churn(&planned)).transpose()?,
        })
    }

    fn setting(&self, noise: Mechanism) -> Result<Setting, PrivacyError> {
        Setting::new(self.servers, Layers::try_from(self.layers)?, self.chains, self.client_slots, noise)
    }

    fn sent(&self) -> Mechanism {
        let (slots, shape) = (self.sent_slots.unwrap_or(self.slots), self.shape);
        match self.mechanism {
            Draw::Urn => Mechanism::Urn { slots, shape },
            Draw::Coins => Mechanism::Coins { slots },
            Draw::Poisson => Mechanism::Poisson { slots },
            Draw::Coarse => Mechanism::Coarse { slots, shape, bits: self.bits },
        }
    }

    /// Of the planned noise, over the rounds of a game.
    fn guarantee(&self, slots: u32) -> Result<Guarantee, PrivacyError> {
        let deployment = Deployment::new(
            self.servers,
            self.servers,
            Layers::try_from(self.layers)?,
            self.chains,
            self.client_slots,
        )?;
        let rounds = Rounds::new(self.rounds.into())?;
        plan::guarantee_of(&deployment, self.shape.value(), slots.into(), rounds, self.delta)
    }
}

fn shown(epsilon: Option<Epsilon>) -> String {
    epsilon.map_or_else(|| "none".to_owned(), |epsilon| format!("{:.4}", epsilon.value()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { planned_slots, shape, rounds, delta, sent, .. } = self;
        writeln!(f, "planned      {planned_slots} slots of shape {shape} by an urn, a server")?;
        writeln!(f, "sent         {}", sent.noise())?;
        writeln!(f, "guaranteed   epsilon {} with delta {delta} over {rounds} rounds", shown(self.guaranteed))?;
        writeln!(f, "  mailboxes  {}: proved", shown(self.guaranteed_mailboxes))?;
        if let Links::Seen(how) = self.links {
            writeln!(f, "  links      {how}")?;
        }
        self.fmt_talk(f)?;
        let Partner { games, candidates, entropy_bits, rank, first } = &self.partner;
        writeln!(f, "whom         {candidates} people, {} rounds, {} games", games.rounds, games.games)?;
        writeln!(f, "  left       {entropy_bits:.2} bits of {:.2}", f64::from(*candidates).log2())?;
        writeln!(f, "  found      first in {first:.3} of games, in place {rank:.1} on the average")?;
        write!(f, "come and go  ")?;
        fmt_churn(&self.churn, f)?;
        match &self.churn_as_planned {
            Some(churn) => {
                write!(f, "\n  as planned ")?;
                fmt_churn(churn, f)
            }
            None => Ok(()),
        }
    }
}

impl Report {
    fn fmt_talk(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Talk { games, doubt, score, shown, shown_if_normal, accuracy, .. } = &self.talk;
        let Score { hits, talking, false_alarms, idle } = score;
        let verdict = if self.too_little { "more than is guaranteed: not the planned noise" } else { "as guaranteed" };
        let sure = 100.0 * (1.0 - doubt);
        writeln!(f, "talk         {} games of {} rounds; {accuracy:.3} guessed right", games.games, games.rounds)?;
        writeln!(f, "  guesses    {hits} of {talking} games of talk, {false_alarms} of {idle} others by mistake")?;
        writeln!(f, "  shown      epsilon of at least {:.4} ({sure:.0} % confidence): {verdict}", shown.value())?;
        writeln!(f, "  if normal  at least {:.4}", shown_if_normal.value())
    }
}

fn fmt_churn(churn: &Churn, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Churn { candidates, online, rounds_to_first, is_longer, first, entropy_bits, .. } = churn;
    let longer = if *is_longer { "more than " } else { "" };
    write!(
        f,
        "{candidates} people, online {online} of the time: found after {longer}{rounds_to_first} rounds (median), first \
         in {first:.3} of games, {entropy_bits:.2} bits left"
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        args: AuditArgs,
    }

    fn report(line: &str) -> Result<Report, PrivacyError> {
        let all = ["audit"].into_iter().chain(line.split(' '));
        Line::try_parse_from(all).expect("a line that clap takes").args.report()
    }

    const SMALL: &str =
        "--slots 60 --rounds 20 --games 2000 --searches 9 --candidates 8 --long-rounds 300 --delta 0.01";

    #[test]
    fn planned_noise_is_as_guaranteed_and_a_tenth_of_it_is_found() {
        let planned = report(SMALL).expect("possible");
        assert!(!planned.too_little && planned.churn.is_longer && planned.churn_as_planned.is_none(), "{planned}");
        let tenth = report(&format!("{SMALL} --sent-slots 6")).expect("possible");
        assert!(
            tenth.too_little && !tenth.churn.is_longer && tenth.talk.shown > tenth.guaranteed.expect("finite"),
            "{tenth}"
        );
        assert_eq!((tenth.guaranteed, tenth.churn_as_planned), (planned.guaranteed, Some(planned.churn)));
        assert!(tenth.to_string().contains("not the planned noise") && planned.to_string().contains("as guaranteed"));
        let json = serde_json::to_value(&tenth).expect("plain values");
        assert_eq!(json["sent"]["noise"]["mechanism"], "urn");
        assert!(json["talk"]["shown"].is_f64() && json["churn"]["rounds_to_first"].is_u64(), "{json}");
    }

    #[test]
    fn every_mechanism_and_topology_is_played() {
        for flags in
            ["--mechanism coins", "--mechanism poisson", "--mechanism coarse --bits 4", "--layers 3 --chains 3"]
        {
            let found = report(&format!("{SMALL} {flags}")).expect("possible");
            let is_more = Some(found.talk.shown_if_normal) > found.guaranteed;
            assert_eq!(found.to_string().contains("not proved"), flags.contains("layers"), "{found}");
            assert_eq!(is_more, flags.contains("mechanism"), "{flags}: {found}");
        }
        assert!(
            report("--layers 1 --chains 2").is_err() && report("--slots 0").is_err() && report("--online 2").is_err()
        );
    }
}
