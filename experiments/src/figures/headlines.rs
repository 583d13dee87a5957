//! What several papers say of whole systems, and ours.

use hippodrome_core::params::Verification;

use super::{Cluster, Costs, DELTA, Figure, FigureError, ROUNDS, noise_slots, stadium::over_users, table::Table};
use crate::plot::{Axis, Origin, Point, Series};

const PUBLISHED: &str = include_str!("../../data/headlines.csv");

/// Systems of the table, with their names in the legend.
pub(super) const SYSTEMS: [(&str, &str); 4] = [
    ("vuvuzela", "Vuvuzela"),
    ("stadium, 3 a chain", "Stadium, chains of 3"),
    ("stadium, 9 a chain", "Stadium, chains of 9"),
    ("karaoke", "Karaoke"),
];

/// Latency against users, of systems whose guarantees differ.
pub(super) fn figure(costs: &Costs) -> Result<Figure, FigureError> {
    let servers = 100;
    let noise = noise_slots(servers, 10_f64.ln())?.unwrap_or(0);
    let mut series = Vec::new();
    for (style, (label, chain_len, verification)) in [
        ("ours, full proofs, chains of 3", 3, Verification::Full),
        ("ours, full proofs, chains of 9", 9, Verification::Full),
        ("ours, aggregate, chains of 9", 9, Verification::Aggregate),
    ]
    .into_iter()
    .enumerate()
    {
        let points = over_users(costs, Cluster { verification, ..Cluster::full(servers, chain_len, noise) })?;
        series.push(Series { label: label.into(), origin: Origin::Modelled, style, points });
    }
    series.extend((3..).zip(SYSTEMS).map(|(style, (system, label))| Series {
        label: label.into(),
        origin: Origin::Published,
        style,
        points: published(system),
    }));
    Ok(Figure {
        name: "latency-headlines".into(),
        title: "Latency against users: ours and others' headlines".into(),
        x: Axis::log("users", "millions"),
        y: Axis::log("latency of a round", "s"),
        series,
        note: format!(
            "Guarantees differ: Karaoke trusts 80 % of the servers and sends two messages a user; Vuvuzela has three \
             servers and checks nothing. Ours: 100 servers of 36 cores, noise for ε = ln 10, δ = {DELTA} over {ROUNDS} \
             rounds, one message a user; rates of {}.",
            costs.source.cpu
        ),
    })
}

pub(super) fn published(system: &str) -> Vec<Point> {
    let table = Table::parse(PUBLISHED);
    let lines = [("system", system)];
    table
        .with(&lines)
        .filter_map(|line| Some(Point::new(line.number("users_millions")?, line.number("latency_s")?)))
        .collect()
}
