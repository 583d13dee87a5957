//! `plan`: the least noise for a goal, and what it costs.

mod audit;
mod cost;
mod report;

use std::num::NonZeroU32;

use clap::Args;
use hippodrome_core::params::MIN_AUDITED;
use hippodrome_privacy::{
    PrivacyError,
    links::Layers,
    plan::{Deployment, Dialing, Goal, NoisePlan, Replies, plan},
    quantity::{Delta, Epsilon, Rounds, Servers, Shift},
};

use crate::{
    account::{delta, epsilon, rounds},
    print_report,
};
use audit::{Audit, Pledges};
use cost::Traffic;
use report::{After, Alternative, Calls, Fewer, Report};
pub(crate) use report::{LINKS_NOT_PROVED, Links};

const EXAMPLES: &str = "\
Examples:
  hippodrome plan --users 2000000 --servers 100 --honest 75 --chains 100 --layers 2 --rounds 10000 \\
      --epsilon 0.693147 --delta 1e-4
  hippodrome plan --users 1000 --servers 6 --honest 5 --chains 3 --layers 3 --rounds 1000 --epsilon 1 --delta 1e-4 --json

What mailbox counts tell is proved. What links between chains tell is simulated, not proved; it is counted with a
safety factor of 1.25.";

/// The least noise that hides a person's choice, and what it costs
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PlanArgs {
    /// Clients that take part in every round
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Mix servers
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    servers: u16,
    /// Servers that are relied on
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    honest: u16,
    /// Open chains in each layer
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    chains: u16,
    /// Servers in a chain [default: enough that one draw fails with less than 2^-32]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=31))]
    chain_len: Option<u8>,
    /// Layers of chains: 1 (with one chain), 2 or 3
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    layers: u8,
    /// Messages that each client sends in each round
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    slots: u16,
    /// How often each server may say, ever, that replies to its noise were spoiled [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    reply_limits: Option<u16>,
    /// With --reply-limits: each costs 1/N of ε for each slot of a client
    #[arg(long, value_name = "N", default_value_t = 100, requires = "reply_limits")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    reply_spread: u16,
    /// Servers pledge their noise, and each shows that of one round in R once it is over [default: nobody looks at it]
    #[arg(long, value_name = "R")]
    audit: Option<NonZeroU32>,
    /// Rounds in which somebody's two stories differ, spoiled ones too
    #[arg(long, value_parser = rounds)]
    rounds: Rounds,
    /// Rounds of their own in which people call each other and somebody's stories differ, besides [default: none]
    #[arg(long, value_name = "N", value_parser = rounds)]
    dialing_rounds: Option<Rounds>,
    /// With --dialing-rounds: places where calls are left, each for a part of all people
    #[arg(long, value_name = "N", default_value_t = 1, requires = "dialing_rounds")]
    dialing_buckets: u32,
    /// With --dialing-rounds: slots of each server for each bucket in each chain [default: so many that dialing alone
    /// takes half of epsilon with half of delta]
    #[arg(long, value_name = "N", requires = "dialing_rounds")]
    dialing_slots: Option<u32>,
    /// The odds of the two stories may change by e to this
    #[arg(long, value_parser = epsilon)]
    epsilon: Epsilon,
    /// But for this chance
    #[arg(long, value_parser = delta)]
    delta: Delta,
    /// Microseconds of a record at a hop, its proof and the others' verification included [default: as measured]
    #[arg(long, value_name = "US", value_parser = positive)]
    cpu_us_per_hop: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("chains of {chain_len} servers: there are only {servers}")]
    LongChains { chain_len: u8, servers: u16 },
    #[error(
        "--audit with {honest} honest servers: at least {MIN_AUDITED} have to be relied on, since opened noise hides nothing"
    )]
    FewAudited { honest: u16 },
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number: &f64| number.is_finite() && number > 0.0);
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

pub(crate) fn run(args: &PlanArgs) -> Result<(), PlanError> {
    print_report(&args.report()?, args.json);
    Ok(())
}

impl PlanArgs {
    fn report(&self) -> Result<Report, PlanError> {
        if self.audit.is_some() && self.honest < MIN_AUDITED {
            return Err(PlanError::FewAudited { honest: self.honest });
        }
        let found = self.plan(self.layers, self.chains)?;
        let traffic = self.traffic(self.layers, self.chains, found.per_chain())?;
        let alternatives = self.alternatives(&found, traffic.chain_len)?;
        let after = self.after(&found)?;
        let last = after.last().expect("at least one round").clone();
        let records = f64::from(self.users) * f64::from(self.slots);
        Ok(Report {
            noise_per_chain: found.per_chain(),
            noise_per_server: found.per_server(),
            noise_total: found.total(),
            overhead: found.total() as f64 / records,
            noise_slots: found.slots(),
            shape: found.shape().to_string(),
            shape_value: found.shape().value(),
            epsilon: last.epsilon,
            delta: self.delta,
            rounds: self.rounds,
            epsilon_mailboxes: last.mailboxes,
            epsilon_chains_known: last.chains_known,
            mailboxes: "proved",
            links: if self.chains == 1 { Links::None } else { Links::Seen(LINKS_NOT_PROVED) },
            after,
            fewer_honest: self.fewer_honest(&found)?,
            audit: self.audit.map(|one_in| self.audited(one_in, &found)).transpose()?,
            dialing: found
                .deployment()
                .dialing()
                .map(|dialing| self.called(&dialing, found.deployment()))
                .transpose()?,
            layers: self.layers,
            chains: self.chains,
            chain_len: traffic.chain_len,
            failure_bits: traffic.failure_bits(),
            cost: traffic.cost(self.cpu_us_per_hop),
            loss_caught: traffic.loss_caught(),
            cheapest_layers: report::cheapest(&alternatives),
            alternatives,
        })
    }

    fn plan(&self, layers: u8, chains: u16) -> Result<NoisePlan, PrivacyError> {
        let deployment = self.deployment(layers, chains)?;
        let deployment = self.audit.map_or(deployment, |one_in| deployment.with_audit(one_in));
        plan(&self.with_dialing(deployment)?, &self.goal()?)
    }

    fn with_dialing(&self, deployment: Deployment) -> Result<Deployment, PrivacyError> {
        let dialing = self.dialing_rounds.map(|rounds| self.dialing(rounds, &deployment)).transpose()?;
        Ok(dialing.map_or(deployment, |dialing| deployment.with_dialing(dialing)))
    }

    /// Dialing with the noise that was asked for, or with the least that leaves enough of the goal for conversations.
    fn dialing(&self, rounds: Rounds, deployment: &Deployment) -> Result<Dialing, PrivacyError> {
        let least = || Dialing::least(deployment, &self.goal()?, rounds, self.dialing_buckets);
        let given = |slots| Dialing::new(rounds, self.dialing_buckets, slots, Dialing::usual_shape(deployment)?);
        self.dialing_slots.map_or_else(least, given)
    }

    fn goal(&self) -> Result<Goal, PrivacyError> {
        Goal::new(self.epsilon, self.delta, self.rounds)
    }

    /// The network, if nobody's noise is opened.
    fn deployment(&self, layers: u8, chains: u16) -> Result<Deployment, PrivacyError> {
        let layers = Layers::try_from(layers)?;
        let [servers, honest] = [self.servers, self.honest].map(|count| Servers::new(count.into()));
        let deployment = Deployment::new(servers?, honest?, layers, chains.into(), Shift::new(self.slots.into())?)?;
        let of_all = |limits: u16| Replies::new(u32::from(limits) * u32::from(self.honest), self.reply_spread.into());
        let replies = self.reply_limits.map(of_all);
        Ok(replies.transpose()?.map_or(deployment, |replies| deployment.with_replies(replies)))
    }

    fn called(&self, dialing: &Dialing, deployment: &Deployment) -> Result<Calls, PrivacyError> {
        Ok(Calls {
            rounds: dialing.rounds(),
            buckets: self.dialing_buckets,
            slots: dialing.slots(),
            shape: dialing.shape().to_string(),
            requests_per_server: dialing.per_server(deployment),
            epsilon_alone: dialing.epsilon(deployment, self.delta)?,
        })
    }

    /// What it takes to look at noise, and what it finds.
    fn audited(&self, one_in: NonZeroU32, found: &NoisePlan) -> Result<Audit, PlanError> {
        let unseen = plan(&self.with_dialing(self.deployment(self.layers, self.chains)?)?, &self.goal()?)?;
        let without = found.without_audit().guarantee(Servers::new(self.honest.into())?, self.rounds)?;
        let one_in = one_in.get().max(self.servers.into());
        Ok(Audit {
            one_in,
            rounds_opened: found.most_opened(),
            epsilon_without: without.epsilon,
            noise_per_server_without: unseen.per_server(),
            caught: audit::caught(one_in, self.rounds),
            cost: Pledges::new(self.servers, self.chains, found.slots()),
        })
    }

    fn traffic(&self, layers: u8, chains: u16, noise_per_chain: u32) -> Result<Traffic, PlanError> {
        let traffic = Traffic {
            servers: self.servers,
            honest: self.honest,
            layers,
            chains,
            chain_len: self.chain_len.unwrap_or(1),
            from_clients: f64::from(self.users) * f64::from(self.slots),
            noise_per_chain,
        };
        match self.chain_len {
            Some(chain_len) if u16::from(chain_len) > self.servers => {
                Err(PlanError::LongChains { chain_len, servers: self.servers })
            }
            Some(_) => Ok(traffic),
            None => Ok(traffic.with_default_chain_len()),
        }
    }

    /// ε after 1, 10, 100, … rounds, and all.
    fn after(&self, found: &NoisePlan) -> Result<Vec<After>, PrivacyError> {
        let powers = (0..).map(|exponent| 10_u64.pow(exponent)).take_while(|&power| power < self.rounds.count());
        let all: Vec<Rounds> = powers.map(Rounds::new).chain([Ok(self.rounds)]).collect::<Result<_, _>>()?;
        let guarantees = found.guarantees(Servers::new(self.honest.into())?, &all)?;
        let after = |(rounds, found): (Rounds, hippodrome_privacy::plan::Guarantee)| After {
            rounds,
            epsilon: found.epsilon,
            mailboxes: found.mailboxes,
            chains_known: found.chains_known,
        };
        Ok(all.into_iter().zip(guarantees).map(after).collect())
    }

    /// ε if one, a quarter or half of those relied on are not honest.
    fn fewer_honest(&self, found: &NoisePlan) -> Result<Vec<Fewer>, PrivacyError> {
        let mut counts = [self.honest - 1, self.honest * 3 / 4, self.honest / 2].to_vec();
        counts.dedup();
        let fewer = |honest: u16| {
            let epsilon = match honest {
                0 => None,
                _ => found.guarantee(Servers::new(honest.into())?, self.rounds)?.epsilon,
            };
            Ok(Fewer { honest, epsilon })
        };
        counts.into_iter().map(fewer).collect()
    }

    /// The same goal with one, two and three layers; none where there is no plan.
    fn alternatives(&self, planned: &NoisePlan, chain_len: u8) -> Result<Vec<Alternative>, PlanError> {
        let mut alternatives = Vec::new();
        for layers in 1..=3 {
            let chains = if layers == 1 { 1 } else { self.chains };
            let found = if layers == self.layers { Ok(*planned) } else { self.plan(layers, chains) };
            let found = match found {
                Err(PrivacyError::NoPlan { .. } | PrivacyError::TooLarge { .. }) => continue,
                found => found?,
            };
            let traffic = Traffic { chain_len, ..self.traffic(layers, chains, found.per_chain())? };
            let cost = traffic.cost(self.cpu_us_per_hop);
            alternatives.push(Alternative { layers, chains, noise_total: found.total(), cost });
        }
        Ok(alternatives)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        args: PlanArgs,
    }

    fn report(line: &str) -> Result<Report, PlanError> {
        let all = ["plan"].into_iter().chain(line.split(' '));
        Line::try_parse_from(all).expect("a line that clap takes").args.report()
    }

    const LARGE: &str =
        "--users 2000000 --servers 100 --honest 75 --chains 100 --rounds 10000 --epsilon 0.693147 --delta 1e-4";

    #[test]
    fn a_large_network_needs_less_than_a_million_records_in_two_layers_and_35_000_in_three() {
        let two = report(&format!("{LARGE} --layers 2")).expect("a plan");
        assert!(two.noise_total < 1_000_000 && two.overhead < 0.5, "{two}");
        let noise = |layers| two.alternatives.iter().find(|found| found.layers == layers).expect("a plan").noise_total;
        assert_eq!(noise(2), two.noise_total);
        assert!(noise(3) < 35_000);
        assert!(two.epsilon.expect("finite").value() <= std::f64::consts::LN_2);
        assert!(two.epsilon_mailboxes < two.epsilon && two.epsilon_chains_known > two.epsilon);
        assert_eq!(two.after.iter().map(|after| after.rounds.count()).collect::<Vec<_>>(), [1, 10, 100, 1000, 10_000]);
        assert_eq!(two.fewer_honest.iter().map(|fewer| fewer.honest).collect::<Vec<_>>(), [74, 56, 37]);
        assert!(two.loss_caught > 0.999 && two.failure_bits.expect("possible") > 32.0);
        let json = serde_json::to_value(&two).expect("plain values");
        assert_eq!(json["links"], "simulated, not proved");
        assert!(json["noise_total"].is_u64() && json["cpu_s_per_server"].is_f64(), "{json}");
        assert!(two.to_string().contains("simulated, not proved"));
    }

    #[test]
    fn a_single_chain_is_proved_throughout_and_cannot_lose_its_only_honest_server() {
        let one = "--users 100 --servers 3 --honest 1 --chains 1 --chain-len 3 --layers 1 --rounds 100 --epsilon 1 --delta 1e-3";
        let found = report(one).expect("a plan");
        assert_eq!(found.epsilon, found.epsilon_mailboxes);
        assert_eq!(found.epsilon_chains_known, None);
        assert_eq!((found.fewer_honest[0].honest, found.fewer_honest[0].epsilon), (0, None));
        assert!(!found.to_string().contains("not proved"), "{found}");
    }

    #[test]
    fn an_audit_costs_little_noise_and_says_what_it_finds() {
        let line = "--users 1000 --servers 10 --honest 8 --chains 2 --layers 2 --rounds 300 --epsilon 1 --delta 1e-4";
        let (plain, audited) = (report(line).expect("a plan"), report(&format!("{line} --audit 60")).expect("a plan"));
        let audit = audited.audit.as_ref().expect("it was asked for");
        assert_eq!(audit.noise_per_server_without, plain.noise_per_server);
        let more = audited.noise_per_server as f64 / plain.noise_per_server as f64;
        assert!((1.0..1.1).contains(&more), "{} for {}", audited.noise_per_server, plain.noise_per_server);
        assert!(audit.epsilon_without < audited.epsilon && audited.epsilon.expect("finite").value() <= 1.0);
        assert!((40..100).contains(&audit.rounds_opened), "forty in the mean: {}", audit.rounds_opened);
        let json = serde_json::to_value(&audited).expect("plain values");
        assert!(json["audit"]["cpu_ms_per_server"].is_f64() && json["audit"]["caught"][0]["chance"].is_f64(), "{json}");
        assert!(audited.to_string().contains("one round in 60") && plain.audit.is_none());
        let few = report(&line.replace("--honest 8", "--honest 7 --audit 60")).expect_err("seven are too few");
        assert!(few.to_string().contains("at least 8"), "{few}");
    }

    #[test]
    fn dialing_is_planned_beside_conversations() {
        let line = "--users 1000 --servers 6 --honest 5 --chains 3 --layers 3 --rounds 300 --epsilon 1 --delta 1e-4";
        let plain = report(line).expect("a plan");
        let calling = report(&format!("{line} --dialing-rounds 20 --dialing-buckets 4")).expect("a plan");
        let calls = calling.dialing.as_ref().expect("it was asked for");
        assert_eq!(calls.requests_per_server, 3 * 4 * u64::from(calls.slots), "for each bucket in each chain");
        let alone = calls.epsilon_alone.expect("finite").value();
        assert!((0.3..0.52).contains(&alone), "{alone}");
        assert!(calling.noise_per_server > plain.noise_per_server, "conversations have less to spend");
        assert!(calling.epsilon.expect("finite").value() <= 1.0 && calling.to_string().contains("dialing"));
        let more = calls.slots * 4;
        let quiet = report(&format!("{line} --dialing-rounds 20 --dialing-buckets 4 --dialing-slots {more}"));
        let quiet = quiet.expect("a plan");
        assert!(quiet.noise_per_server < calling.noise_per_server && quiet.dialing.expect("asked for").slots == more);
    }

    #[test]
    fn what_cannot_be_planned_is_refused() {
        let of = |shape: &str| report(&format!("--users 100 {shape} --rounds 100 --epsilon 1 --delta 1e-3"));
        let honest = of("--servers 3 --honest 4 --chains 2 --layers 2").expect_err("four of three");
        assert!(honest.to_string().contains("honest"), "{honest}");
        assert!(of("--servers 3 --honest 2 --chains 2 --layers 1").is_err());
        let long = of("--servers 3 --honest 2 --chains 2 --layers 2 --chain-len 4").expect_err("four of three");
        assert!(matches!(long, PlanError::LongChains { chain_len: 4, servers: 3 }));
        assert!(
            report("--users 1 --servers 1 --honest 1 --chains 1 --layers 1 --rounds 1 --epsilon 1 --delta 0").is_err()
        );
    }
}
