//! Latency against ε, ours and others' in the same units: every noise that is known is accounted for by the same
//! accountant, with the same δ, over the same number of rounds.

use hippodrome_core::params::Verification;
use hippodrome_privacy::{
    PrivacyError,
    account::{Account, Resolution},
    links::{Layers, Links, Neighbours},
    noise::{BelowZero, Noise},
    quantity::{Delta, Rounds, Servers, Shift},
};

use super::{
    Cluster, Costs, DELTA, Figure, FigureError, ROUNDS, noise_slots,
    table::{Line, Table},
};
use crate::plot::{Axis, Origin, Point, Series};

/// What papers publish of their noise and their latency.
const PUBLISHED: &str = include_str!("../../data/anonymity.csv");

/// ε's that are planned for; those that take more noise than servers can send have no points.
const EPSILONS: [f64; 6] = [0.35, 0.5, 0.75, 1.0, 1.5, 2.5];
/// Noise records of each server, where noise is drawn otherwise than we do.
const RECORDS: [f64; 5] = [8_000.0, 12_000.0, 20_000.0, 35_000.0, 60_000.0];

/// Servers, each with a chain of its own, servers in a chain, and messages of users.
const SERVERS: u16 = 100;
const HONEST: u16 = SERVERS - SERVERS / 4;
const CHAIN_LEN: u8 = 9;
const MESSAGES: u64 = 2_000_000;

/// Mean over scale of Vuvuzela's noise, so that it hardly ever comes out below 0.
const VUVUZELA_RATIO: f64 = 300_000.0 / 13_800.0;

/// Systems of the table, with their names in the legend.
const SYSTEMS: [(&str, &str); 4] = [
    ("vuvuzela", "Vuvuzela, accounted"),
    ("stadium, 3 a chain", "Stadium, chains of 3, accounted"),
    ("stadium, 9 a chain", "Stadium, chains of 9, accounted"),
    ("karaoke", "Karaoke, its own claim"),
];

/// The figure.
pub(super) fn figure(costs: &Costs) -> Result<Figure, FigureError> {
    let mut series = planned(costs)?;
    let poisson = over_records(costs, Apart::poisson)?;
    let geometric = over_records(costs, Apart::geometric)?;
    for (label, points) in [("full, Poisson noise", poisson), ("full, geometric noise", geometric)] {
        series.push(Series { label: label.into(), origin: Origin::Modelled, style: series.len(), points });
    }
    let table = Table::parse(PUBLISHED);
    for (system, label) in SYSTEMS {
        let wanted = [("system", system)];
        let points = table.with(&wanted).map(|line| published(&line)).collect::<Result<Vec<_>, _>>()?;
        let points = points.into_iter().flatten().collect();
        series.push(Series { label: label.into(), origin: Origin::Published, style: series.len(), points });
    }
    Ok(Figure {
        name: "latency-epsilon".into(),
        title: "Latency against ε, two million users".into(),
        x: Axis::log("ε", ""),
        y: Axis::log("latency of a round", "s"),
        series,
        note: note(costs),
    })
}

fn note(costs: &Costs) -> String {
    format!(
        "ε with δ = {DELTA} over {ROUNDS} rounds in which the stories differ, all by the same accountant. Ours: a \
         model of {SERVERS} servers of 36 cores, three quarters of them honest, chains of {CHAIN_LEN} in two layers, rates \
         of {}; without proofs ε holds only if servers do no more than watch. Of geometric noise one honest server's hides \
         mailboxes, as in Vuvuzela. Vuvuzela: 3 servers, one of them honest. Stadium: 1.5 million users. Karaoke: over 245 rounds in \
         which it loses records, four fifths of the servers honest.",
        costs.source.cpu
    )
}

/// Our noise, in every mode of verification.
fn planned(costs: &Costs) -> Result<Vec<Series>, FigureError> {
    let mut noise = Vec::new();
    for epsilon in EPSILONS {
        noise.extend(noise_slots(SERVERS, epsilon)?.map(|slots| (epsilon, slots)));
    }
    let modes =
        [("full", Verification::Full), ("aggregate", Verification::Aggregate), ("none, watched", Verification::None)];
    let series = |(style, (label, verification)): (usize, (&str, Verification))| -> Result<Series, FigureError> {
        let point = |&(epsilon, slots): &(f64, u32)| -> Result<Point, FigureError> {
            Ok(Point::new(epsilon, cluster(verification, slots).latency_s(MESSAGES, costs)?))
        };
        let points = noise.iter().map(point).collect::<Result<_, _>>()?;
        Ok(Series { label: label.into(), origin: Origin::Modelled, style, points })
    };
    modes.into_iter().enumerate().map(series).collect()
}

fn cluster(verification: Verification, noise_slots: u32) -> Cluster {
    Cluster { verification, ..Cluster::full(SERVERS, CHAIN_LEN, noise_slots) }
}

/// Full proofs with another noise, for several volumes of it, the most first.
fn over_records(costs: &Costs, of: fn(f64) -> Result<Apart, PrivacyError>) -> Result<Vec<Point>, FigureError> {
    let mut points = Vec::new();
    for records in RECORDS.into_iter().rev() {
        let Some(epsilon) = of(records)?.epsilon(Rounds::new(ROUNDS)?, Delta::new(DELTA)?)? else { continue };
        let latency = cluster(Verification::Full, (records / 2.0) as u32).latency_s(MESSAGES, costs)?;
        points.push(Point::new(epsilon, latency));
    }
    Ok(points)
}

/// A system's point: ε of its noise if that is known, otherwise what it claims.
fn published(line: &Line<'_>) -> Result<Option<Point>, PrivacyError> {
    let epsilon = match Apart::published(line)? {
        Some(noise) => noise.epsilon(Rounds::new(ROUNDS)?, Delta::new(DELTA)?)?,
        None => line.number("claimed_epsilon"),
    };
    Ok(epsilon.zip(line.number("latency_s")).map(|(epsilon, latency)| Point::new(epsilon, latency)))
}

/// Noise whose lone and shared mailboxes are drawn independently of each other. Talk moves the one count by two and the
/// other by one, and what both tell composes.
#[derive(Debug)]
struct Apart {
    lone: Noise,
    shared: Noise,
    /// Honest servers whose noise adds up where mailboxes are counted.
    honest: Servers,
    /// Chains in each of two layers.
    chains: u32,
    /// Honest noise records on all links from layer to layer, in the mean.
    on_links: f64,
}

impl Apart {
    /// As Stadium splits it: half of the records alone, half in twos; of three quarters of our servers.
    fn poisson(records: f64) -> Result<Self, PrivacyError> {
        let (lone, shared) = (Noise::poisson(records / 2.0)?, Noise::poisson(records / 4.0)?);
        let (honest, on_links) = (Servers::new(HONEST.into())?, f64::from(HONEST) * records);
        Ok(Self { lone, shared, honest, chains: SERVERS.into(), on_links })
    }

    /// As Vuvuzela has it, in whole numbers: what hides mailboxes is one honest server's.
    fn geometric(records: f64) -> Result<Self, PrivacyError> {
        let of = |mean: f64| Noise::discrete_laplace(mean, mean / VUVUZELA_RATIO, BelowZero::Clipped);
        let (lone, shared) = (of(records / 2.0)?, of(records / 4.0)?);
        Ok(Self { lone, shared, honest: Servers::ONE, chains: SERVERS.into(), on_links: f64::from(HONEST) * records })
    }

    /// As a line of the table has it; none if it does not say.
    fn published(line: &Line<'_>) -> Result<Option<Self>, PrivacyError> {
        let number = |column: &str| line.number(column).unwrap_or_default();
        let law = |kind: &str| {
            let (mean, scale) = (number(&format!("{kind}_mean")), number(&format!("{kind}_scale")));
            match line.text("law") {
                "poisson" => Noise::poisson(mean).map(Some),
                "laplace" => Noise::discrete_laplace(mean, scale, BelowZero::Clipped).map(Some),
                _ => Ok(None),
            }
        };
        let (Some(lone), Some(shared)) = (law("lone")?, law("shared")?) else { return Ok(None) };
        let honest = Servers::new(number("honest") as u32)?;
        let on_links = number("honest") * (number("lone_mean") + 2.0 * number("shared_mean"));
        Ok(Some(Self { lone, shared, honest, chains: number("chains") as u32, on_links }))
    }

    /// ε with δ over so many rounds; none if no finite one holds.
    fn epsilon(&self, rounds: Rounds, delta: Delta) -> Result<Option<f64>, PrivacyError> {
        let lone = Account::new().with_count(&self.lone, self.honest, Shift::new(2)?, rounds)?;
        let counts = lone.with_count(&self.shared, self.honest, Shift::ONE, rounds)?;
        let links = Links { layers: Layers::Two, chains: self.chains, records: self.on_links };
        let talking = match links.mu(Neighbours::TalkingOrIdle, Shift::ONE) {
            Some(mu) => counts.with_gaussian(mu, rounds)?,
            None => counts,
        };
        let who = links.mu(Neighbours::BobOrCharlie, Shift::ONE);
        let who = who.map(|mu| Account::new().with_gaussian(mu, rounds)).transpose()?;
        let mut worst = Some(0.0);
        for account in [talking].into_iter().chain(who) {
            worst = match account.compose(Resolution::Coarse)?.epsilon(delta) {
                Err(PrivacyError::Unreachable { .. }) => None,
                found => worst.zip(Some(found?.value())).map(|(worst, this)| f64::max(worst, this)),
            };
        }
        Ok(worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(name: &str) -> Apart {
        let table = Table::parse(PUBLISHED);
        let wanted = [("system", name)];
        let line = table.with(&wanted).next().expect("a line of the table");
        Apart::published(&line).expect("a law").expect("noise that is known")
    }

    fn epsilon(noise: &Apart, rounds: u64) -> f64 {
        let (rounds, delta) = (Rounds::new(rounds).expect("some"), Delta::new(DELTA).expect("a chance"));
        noise.epsilon(rounds, delta).expect("it fits").expect("finite")
    }

    #[test]
    fn published_noise_hides_what_was_computed_of_it_by_other_means() {
        // Independent computations of both: 0.334 for Vuvuzela over the rounds of its theorem, and e^ε = 1.44 for
        // Stadium with 100 000 records of each server.
        let vuvuzela = epsilon(&system("vuvuzela"), 239_520);
        assert!((vuvuzela / 0.334 - 1.0).abs() < 0.01, "{vuvuzela}");
        let stadium = epsilon(&Apart::poisson(100_000.0).expect("a law"), ROUNDS);
        assert!((stadium / 1.44_f64.ln() - 1.0).abs() < 0.03, "{stadium}");
    }

    #[test]
    fn every_system_has_a_point_and_those_that_are_accounted_for_claim_no_less_than_they_hide() {
        let table = Table::parse(PUBLISHED);
        for (name, label) in SYSTEMS {
            let wanted = [("system", name)];
            let line = table.with(&wanted).next().expect("a line of the table");
            assert!(published(&line).expect("a point").is_some(), "{label}");
            if let Some(noise) = Apart::published(&line).expect("a law") {
                let number = |column| line.number(column).expect("a number");
                let hides = epsilon(&noise, number("claimed_rounds") as u64);
                assert!(hides < number("claimed_epsilon"), "{label}: {hides}");
            }
        }
    }

    #[test]
    fn more_noise_of_any_kind_hides_more() {
        for of in [Apart::poisson, Apart::geometric] {
            let epsilon = |records| epsilon(&of(records).expect("a law"), ROUNDS);
            assert!(epsilon(8_000.0) > 1.5 * epsilon(60_000.0));
        }
    }
}
