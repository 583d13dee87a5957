//! `account`: what noise hides.

use std::{fmt, str::FromStr};

use clap::{Args, Parser, ValueEnum};
use hippodrome_privacy::{
    PrivacyError,
    account::{Account, Resolution},
    noise::{BelowZero, Noise},
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};
use serde::Serialize;

use crate::print_report;

const EXAMPLES: &str = "\
Examples:
  hippodrome account --mechanism beta-binomial --slots 2818 --shape 3.5 --rounds 10000 --epsilon 0.693147
  hippodrome account --mechanism poisson --mean 200000 --rounds 10000 --delta 1e-4 --json
  hippodrome account --mechanism gaussian --mu 0.01 --rounds 500 --epsilon 1
  hippodrome account --mechanism beta-binomial --slots 2818 --shape 3.5 --rounds 10000 --epsilon 1 \\
      --and beta-binomial,slots=400,shape=3.5,rounds=100 --and randomized-response,loss=0.01,rounds=10

What is printed is an upper bound that holds: every numerical error is part of delta.";

/// What noise hides: delta for an epsilon, or epsilon for a delta
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AccountArgs {
    #[command(flatten)]
    part: Part,
    /// What is seen besides, as often as there is more: a mechanism and its flags, as in `poisson,mean=30,rounds=5`
    #[arg(long, value_name = "PART", value_parser = part)]
    and: Vec<Part>,
    #[command(flatten)]
    goal: Goal,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// One kind of count, or of loss, with its rounds.
#[derive(Args, Clone, Debug)]
struct Part {
    /// How the noise in a count is distributed
    #[arg(long)]
    mechanism: Mechanism,
    #[command(flatten)]
    parameters: Parameters,
    /// Honest servers whose noise adds up
    #[arg(long, default_value = "1", value_parser = servers)]
    servers: Servers,
    /// How far the two stories move the count in a round, at most
    #[arg(long, default_value = "1", value_parser = shift)]
    shift: Shift,
    /// Rounds in which the stories differ
    #[arg(long, value_parser = rounds)]
    rounds: Rounds,
}

/// A part by itself.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Alone {
    #[command(flatten)]
    part: Part,
}

/// Reads a part as in `poisson,mean=30,rounds=5`.
fn part(text: &str) -> Result<Part, String> {
    let (mechanism, flags) = text.split_once(',').unwrap_or((text, ""));
    let mut arguments = vec!["--mechanism".to_owned(), mechanism.to_owned()];
    for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
        let (name, value) = flag.split_once('=').ok_or_else(|| format!("`{flag}`: expected as in mean=30"))?;
        arguments.push(format!("--{name}={value}"));
    }
    // What is wrong, without the usage of a command that nobody typed.
    let what = |error: clap::Error| {
        let text = error.to_string();
        let wrong = text.split("Usage:").next().unwrap_or_default();
        wrong.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    Ok(Alone::try_parse_from(arguments).map_err(what)?.part)
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Goal {
    /// Print delta for this epsilon
    #[arg(long, value_parser = epsilon)]
    epsilon: Option<Epsilon>,
    /// Print the least epsilon for this delta
    #[arg(long, value_parser = delta)]
    delta: Option<Delta>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Parameters of the mechanism")]
struct Parameters {
    /// Slots of one server: binomial, beta-binomial
    #[arg(long)]
    slots: Option<u64>,
    /// Alpha of beta-binomial(slots, alpha, alpha); the shape of negative-binomial
    #[arg(long)]
    shape: Option<f64>,
    /// Slots of each server whose owner has shown, in each round, that they are shared: beta-binomial
    #[arg(long)]
    shown_shared: Option<u64>,
    /// Slots of which it has shown that they are not
    #[arg(long)]
    shown_lone: Option<u64>,
    /// Mean of one server's noise: poisson, negative-binomial, discrete-laplace, discrete-gaussian
    #[arg(long)]
    mean: Option<f64>,
    /// Scale of discrete-laplace
    #[arg(long)]
    scale: Option<f64>,
    /// Laplace noise below 0 [default: clip]
    #[arg(long)]
    below_zero: Option<Below>,
    /// Standard deviation of discrete-gaussian, before it is redrawn below 0
    #[arg(long)]
    sigma: Option<f64>,
    /// What gaussian loses in a round: the shift over the standard deviation
    #[arg(long)]
    mu: Option<f64>,
    /// What randomized-response loses in a round
    #[arg(long)]
    loss: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mechanism {
    /// What Hippodrome draws: slots with one random bias
    BetaBinomial,
    /// A fair coin for each slot
    Binomial,
    /// Stadium's noise
    Poisson,
    NegativeBinomial,
    /// Vuvuzela's noise
    DiscreteLaplace,
    DiscreteGaussian,
    /// A normal loss, without servers and shift
    Gaussian,
    /// A loss of two values, without servers and shift
    RandomizedResponse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Below {
    /// It is 0
    Clip,
    /// It is drawn again
    Redraw,
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("{mechanism} needs --{flag}")]
    Missing { mechanism: Mechanism, flag: &'static str },
    #[error("{mechanism} takes no --{flag}")]
    Superfluous { mechanism: Mechanism, flag: &'static str },
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
}

/// A part, as it is printed.
#[derive(Debug, Serialize)]
struct Seen {
    mechanism: String,
    servers: Servers,
    shift: Shift,
    rounds: Rounds,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    part: Seen,
    and: Vec<Seen>,
    epsilon: Epsilon,
    /// An upper bound.
    delta: Delta,
    /// The same if the stories moved the count the same way in every round.
    delta_one_way: Delta,
    /// The same as `delta` by Rényi divergences alone.
    renyi_delta: Delta,
    /// Chance that some round shows the truth.
    infinite: Delta,
    /// Numerical errors that delta includes.
    slack: f64,
}

pub(crate) fn run(args: &AccountArgs) -> Result<(), AccountError> {
    print_report(&args.report()?, args.json);
    Ok(())
}

impl Part {
    /// What is seen before, and this; and this in words.
    fn join(&self, before: Account) -> Result<(Account, Seen), AccountError> {
        let (mechanism, account) = self.account(before)?;
        let Self { servers, shift, rounds, .. } = *self;
        Ok((account, Seen { mechanism, servers, shift, rounds }))
    }

    fn account(&self, before: Account) -> Result<(String, Account), AccountError> {
        let Self { mechanism, parameters: given, rounds, .. } = self;
        self.refuse_superfluous()?;
        let need = |flag, value: Option<f64>| value.ok_or(AccountError::Missing { mechanism: *mechanism, flag });
        let slots = || given.slots.ok_or(AccountError::Missing { mechanism: *mechanism, flag: "slots" });
        let noise = match mechanism {
            Mechanism::BetaBinomial => {
                let shown = |slots: Option<u64>| slots.unwrap_or(0);
                let (shared, lone) = (shown(given.shown_shared), shown(given.shown_lone));
                Noise::beta_binomial_but(slots()?, need("shape", given.shape)?, shared, lone)
            }
            Mechanism::Binomial => Noise::binomial(slots()?),
            Mechanism::Poisson => Noise::poisson(need("mean", given.mean)?),
            Mechanism::NegativeBinomial => {
                Noise::negative_binomial(need("shape", given.shape)?, need("mean", given.mean)?)
            }
            Mechanism::DiscreteLaplace => {
                Noise::discrete_laplace(need("mean", given.mean)?, need("scale", given.scale)?, given.below_zero())
            }
            Mechanism::DiscreteGaussian => {
                Noise::discrete_gaussian(need("mean", given.mean)?, need("sigma", given.sigma)?)
            }
            Mechanism::Gaussian => {
                let mu = need("mu", given.mu)?;
                return Ok((format!("gaussian({mu})"), before.with_gaussian(mu, *rounds)?));
            }
            Mechanism::RandomizedResponse => {
                let loss = need("loss", given.loss)?;
                let account = before.with_randomized_response(loss, *rounds)?;
                return Ok((format!("randomized-response({loss})"), account));
            }
        }?;
        Ok((noise.to_string(), before.with_count(&noise, self.servers, self.shift, *rounds)?))
    }

    fn refuse_superfluous(&self) -> Result<(), AccountError> {
        let Self { mechanism, parameters, servers, shift, .. } = self;
        let of_losses = !mechanism.is_a_count();
        let elsewhere =
            [("servers", of_losses && *servers != Servers::ONE), ("shift", of_losses && *shift != Shift::ONE)];
        let parameters = parameters.given().into_iter().filter(|(flag, _)| !mechanism.takes().contains(flag));
        match parameters.chain(elsewhere).find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(AccountError::Superfluous { mechanism: *mechanism, flag }),
            None => Ok(()),
        }
    }
}

impl AccountArgs {
    fn report(&self) -> Result<Report, AccountError> {
        let (mut account, part) = self.part.join(Account::new())?;
        let mut and = Vec::new();
        for more in &self.and {
            let (with_it, seen) = more.join(account)?;
            account = with_it;
            and.push(seen);
        }
        Ok(self.judge(part, and, &account)?)
    }

    fn judge(&self, part: Seen, and: Vec<Seen>, account: &Account) -> Result<Report, PrivacyError> {
        let composed = account.compose(Resolution::Fine)?;
        let (epsilon, delta) = match (self.goal.epsilon, self.goal.delta) {
            (Some(epsilon), _) => (epsilon, composed.delta(epsilon)),
            (None, delta) => {
                let delta = delta.expect("clap asks for one of the two");
                (composed.epsilon(delta)?, delta)
            }
        };
        let one_way = |account: &Account| Ok(account.compose(Resolution::Fine)?.delta(epsilon));
        let ways = account.one_way().iter().map(one_way).collect::<Result<Vec<_>, PrivacyError>>()?;
        let delta_one_way = ways.into_iter().reduce(|a, b| if a > b { a } else { b }).unwrap_or(delta);
        Ok(Report {
            part,
            and,
            epsilon,
            delta,
            delta_one_way,
            renyi_delta: composed.renyi_delta(epsilon),
            infinite: composed.infinite(),
            slack: composed.slack(),
        })
    }
}

impl Parameters {
    fn given(&self) -> [(&'static str, bool); 10] {
        [
            ("slots", self.slots.is_some()),
            ("shape", self.shape.is_some()),
            ("shown-shared", self.shown_shared.is_some()),
            ("shown-lone", self.shown_lone.is_some()),
            ("mean", self.mean.is_some()),
            ("scale", self.scale.is_some()),
            ("below-zero", self.below_zero.is_some()),
            ("sigma", self.sigma.is_some()),
            ("mu", self.mu.is_some()),
            ("loss", self.loss.is_some()),
        ]
    }

    fn below_zero(&self) -> BelowZero {
        match self.below_zero {
            Some(Below::Redraw) => BelowZero::Redrawn,
            Some(Below::Clip) | None => BelowZero::Clipped,
        }
    }
}

impl Mechanism {
    fn takes(self) -> &'static [&'static str] {
        match self {
            Self::BetaBinomial => &["slots", "shape", "shown-shared", "shown-lone"],
            Self::Binomial => &["slots"],
            Self::Poisson => &["mean"],
            Self::NegativeBinomial => &["shape", "mean"],
            Self::DiscreteLaplace => &["mean", "scale", "below-zero"],
            Self::DiscreteGaussian => &["mean", "sigma"],
            Self::Gaussian => &["mu"],
            Self::RandomizedResponse => &["loss"],
        }
    }

    /// Whether it is noise in a count, and not a loss.
    fn is_a_count(self) -> bool {
        !matches!(self, Self::Gaussian | Self::RandomizedResponse)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no mechanism is hidden").get_name())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { mechanism, servers, shift, rounds } = &self.part;
        writeln!(f, "mechanism    {mechanism}, {} server(s), shift {}", servers.count(), shift.by())?;
        writeln!(f, "rounds       {rounds}")?;
        for Seen { mechanism, servers, shift, rounds } in &self.and {
            writeln!(f, "and          {mechanism}, {} server(s), shift {}", servers.count(), shift.by())?;
            writeln!(f, "  rounds     {rounds}")?;
        }
        writeln!(f, "epsilon      {}  (odds change by at most {:.4})", self.epsilon, self.epsilon.value().exp())?;
        writeln!(f, "delta        {}", self.delta)?;
        writeln!(
            f,
            "  one way    {}  (if the stories moved the count the same way in every round)",
            self.delta_one_way
        )?;
        writeln!(f, "  by Rényi   {}", self.renyi_delta)?;
        writeln!(f, "  infinite   {}  (some round shows the truth)", self.infinite)?;
        write!(f, "  numerical  {:.1e}  (errors that delta includes)", self.slack)
    }
}

/// Reads an ε.
pub(crate) fn epsilon(text: &str) -> Result<Epsilon, String> {
    read(text, Epsilon::new)
}

/// Reads a δ.
pub(crate) fn delta(text: &str) -> Result<Delta, String> {
    read(text, Delta::new)
}

/// Reads a number of rounds.
pub(crate) fn rounds(text: &str) -> Result<Rounds, String> {
    read(text, Rounds::new)
}

/// Reads a number of servers.
pub(crate) fn servers(text: &str) -> Result<Servers, String> {
    read(text, Servers::new)
}

/// Reads a shift.
pub(crate) fn shift(text: &str) -> Result<Shift, String> {
    read(text, Shift::new)
}

fn read<N: FromStr, Q>(text: &str, quantity: impl FnOnce(N) -> Result<Q, PrivacyError>) -> Result<Q, String> {
    let number = text.parse().map_err(|_| "expected a number".to_owned())?;
    quantity(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        args: AccountArgs,
    }

    fn report(line: &str) -> Result<Report, AccountError> {
        let line =
            Line::try_parse_from(["account"].into_iter().chain(line.split(' '))).expect("a line that clap takes");
        line.args.report()
    }

    #[test]
    fn every_mechanism_is_accounted_for_by_its_own_parameters() {
        let lines = [
            ("beta-binomial --slots 100 --shape 3 --rounds 10 --epsilon 1", 7.157309e-4),
            ("binomial --slots 80000 --rounds 1000 --epsilon 0.693147", 8.409881e-5),
            ("poisson --mean 10 --servers 3 --rounds 1 --epsilon 0.693147", 1.061150e-4),
            ("negative-binomial --shape 5 --mean 500 --rounds 1000 --epsilon 0.693147", 1.01704e-4),
            ("discrete-laplace --mean 2400 --scale 145 --rounds 1000 --epsilon 0.693147", 9.353919e-5),
            (
                "discrete-laplace --mean 1640 --scale 148 --below-zero redraw --rounds 1000 --epsilon 0.693147",
                9.8834e-5,
            ),
            ("discrete-gaussian --mean 690 --sigma 145 --rounds 1000 --epsilon 0.693147", 9.489e-5),
            ("gaussian --mu 0.02 --rounds 100 --epsilon 0.693147", 1.886218e-5),
            ("randomized-response --loss 0.01 --rounds 1000 --epsilon 0.5", 9.753760e-3),
        ];
        for (line, delta) in lines {
            let report = report(&format!("--mechanism {line}")).expect("possible");
            assert!((report.delta.value() / delta - 1.0).abs() < 6e-4, "{line}: {}", report.delta);
            assert!(report.renyi_delta >= report.delta && report.slack < report.delta.value() / 100.0, "{report:?}");
            assert!(report.to_string().contains(&report.part.mechanism));
        }
    }

    #[test]
    fn the_least_epsilon_is_found_for_a_delta() {
        let report = report("--mechanism gaussian --mu 0.226837 --rounds 1 --delta 1e-4").expect("possible");
        assert!((report.epsilon.value() - std::f64::consts::LN_2).abs() < 1e-5, "{report:?}");
        let json = serde_json::to_value(&report).expect("plain values");
        assert!(json["epsilon"].is_f64() && json["delta"] == 1e-4, "{json}");
    }

    #[test]
    fn parts_that_are_seen_besides_compose() {
        let twice = "gaussian --mu 0.1 --rounds 50 --epsilon 0.693147 --and gaussian,mu=0.1,rounds=50";
        let (parts, whole) =
            (report(&format!("--mechanism {twice}")), "gaussian --mu 0.1 --rounds 100 --epsilon 0.693147");
        let (parts, whole) = (parts.expect("possible"), report(&format!("--mechanism {whole}")).expect("possible"));
        assert!((parts.delta.value() / whole.delta.value() - 1.0).abs() < 1e-3, "{parts} {whole}");
        let alone =
            report("--mechanism beta-binomial --slots 100 --shape 3 --rounds 10 --epsilon 1").expect("possible");
        let more =
            "--and randomized-response,loss=0.1,rounds=3 --and beta-binomial,slots=90,shape=2,servers=2,rounds=1";
        let line = format!("--mechanism beta-binomial --slots 100 --shape 3 --rounds 10 --epsilon 1 {more}");
        let both = report(&line).expect("possible");
        assert!(
            both.delta > alone.delta && both.to_string().contains("and          randomized-response(0.1)"),
            "{both}"
        );
        let json = serde_json::to_value(&both).expect("plain values");
        assert_eq!((json["rounds"].as_u64(), json["and"][1]["servers"].as_u64()), (Some(10), Some(2)), "{json}");
        for (wrong, why) in [("poisson,mean", "mean=30"), ("poison,mean=3", "poison"), ("poisson,mean=3", "--rounds")] {
            let refused = part(wrong).expect_err("refused");
            assert!(refused.contains(why), "{wrong}: {refused}");
        }
        let lacking = report("--mechanism gaussian --mu 1 --rounds 1 --epsilon 1 --and poisson,slots=3,rounds=1");
        assert_eq!(lacking.expect_err("refused").to_string(), "poisson takes no --slots");
    }

    #[test]
    fn parameters_that_a_mechanism_lacks_or_does_not_take_are_named() {
        let missing = report("--mechanism beta-binomial --slots 4 --rounds 1 --epsilon 1").expect_err("no shape");
        assert_eq!(missing.to_string(), "beta-binomial needs --shape");
        let superfluous = report("--mechanism poisson --mean 4 --slots 3 --rounds 1 --epsilon 1").expect_err("slots");
        assert_eq!(superfluous.to_string(), "poisson takes no --slots");
        let superfluous =
            report("--mechanism gaussian --mu 1 --servers 3 --rounds 1 --epsilon 1").expect_err("servers");
        assert_eq!(superfluous.to_string(), "gaussian takes no --servers");
    }

    #[test]
    fn impossible_quantities_are_refused_with_what_is_possible() {
        let refused = |line: &str| {
            let all = ["account", "--mechanism", "poisson", "--mean", "3"].into_iter().chain(line.split(' '));
            Line::try_parse_from(all).expect_err("refused").to_string()
        };
        assert!(refused("--rounds 0 --epsilon 1").contains("1 to 2^40"));
        assert!(refused("--rounds 1 --delta 2").contains("from 0 to 1"));
        assert!(refused("--rounds 1 --epsilon nan").contains("0 or more"));
        assert!(refused("--rounds 1 --epsilon 1 --servers 0").contains("1 to 65536"));
        assert!(refused("--rounds 1").contains("--epsilon"));
        let never = report("--mechanism beta-binomial --slots 4 --shape 0.01 --rounds 1 --delta 1e-4");
        assert!(never.expect_err("always at an edge").to_string().contains("no epsilon"));
    }
}
