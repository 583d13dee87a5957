//! The figures of Stadium (Tyagi and others, SOSP 2017), redrawn with ours beside them.

use super::{BITS_PER_S, Cluster, Costs, DELTA, Figure, FigureError, ROUNDS, noise_slots, table::Table};
use crate::plot::{Axis, Origin, Point, Series};

/// Points of the paper's plots.
const PUBLISHED: &str = include_str!("../../data/stadium_measured.csv");

/// Lengths of chains that are modelled.
pub(super) const LENGTHS: [u8; 9] = [3, 5, 7, 9, 12, 16, 20, 25, 31];

/// Millions of users that are modelled.
const USERS: [f64; 8] = [1.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0];

/// Numbers of servers that are modelled.
const SERVERS: [u16; 6] = [50, 75, 100, 150, 200, 300];

/// ε's that are planned for; the least of them take more noise than servers can send, and have no points.
const EPSILONS: [f64; 9] = [0.3, 0.35, 0.4, 0.45, 0.5, 0.75, 1.0, 1.5, 2.0];

/// Points of one series of one plot of the paper, where there are users.
fn published(plot: &str, kind: &str, name: &str) -> Vec<Point> {
    let table = Table::parse(PUBLISHED);
    let wanted = [("figure", plot), ("kind", kind), ("series", name)];
    let points = table.with(&wanted).filter_map(|line| Some(Point::new(line.number("x")?, line.number("y")?)));
    points.filter(|point| point.x > 0.0).collect()
}

fn machines(costs: &Costs) -> String {
    format!(
        "Ours: a model of 36 cores a server, 100 ms there and back, lines of {} Gbit/s, two layers, full proofs; rates \
         of {}.",
        BITS_PER_S / 1e9,
        costs.source.cpu
    )
}

/// Latency against chain length, for three loads: 100 servers, noise among the messages.
pub(super) fn chain_length(costs: &Costs, lengths: &[u8]) -> Result<Figure, FigureError> {
    let mut series = Vec::new();
    for (style, thousands) in [100_u64, 300, 500].into_iter().enumerate() {
        let latency = |&length: &u8| -> Result<Point, FigureError> {
            let latency = Cluster::full(100, length, 0).latency_s(100_000 * thousands, costs)?;
            Ok(Point::new(length.into(), latency))
        };
        let points = lengths.iter().map(latency).collect::<Result<_, _>>()?;
        let name = format!("{thousands}K msgs/server");
        series.push(Series { label: format!("ours, {thousands}K a server"), origin: Origin::Modelled, style, points });
        let points = published("chainplot.pdf", "measured", &name);
        series.push(Series { label: format!("Stadium, {thousands}K"), origin: Origin::Published, style, points });
    }
    Ok(Figure {
        name: "latency-chain-length".into(),
        title: "Latency against chain length, 100 servers".into(),
        x: Axis::linear("servers in a chain", ""),
        y: Axis::log("latency of a round", "s"),
        series,
        note: machines(costs),
    })
}

/// Latency against users, for four numbers of servers, with noise for e^ε = 10.
pub(super) fn users(costs: &Costs, chain_len: u8) -> Result<Figure, FigureError> {
    let mut series = Vec::new();
    for (style, servers) in [25_u16, 50, 75, 100].into_iter().enumerate() {
        if let Some(slots) = noise_slots(servers, 10_f64.ln())? {
            let points = over_users(costs, Cluster::full(servers, chain_len, slots))?;
            let label = format!("ours, {servers} servers");
            series.push(Series { label, origin: Origin::Modelled, style, points });
        }
        let points = published("scaling.pdf", "measured", &format!("m={servers} l={chain_len}"));
        series.push(Series { label: format!("Stadium, {servers}"), origin: Origin::Published, style, points });
    }
    Ok(Figure {
        name: format!("latency-users-{chain_len}"),
        title: format!("Latency against users, chains of {chain_len}"),
        x: Axis::linear("users", "millions"),
        y: Axis::log("latency of a round", "s"),
        series,
        note: format!(
            "Both with noise for ε = ln 10, δ = {DELTA} over {ROUNDS} rounds, each by its own accounting; ours with \
             three quarters of the servers honest. {}",
            machines(costs)
        ),
    })
}

/// Points of a cluster for all numbers of users.
pub(super) fn over_users(costs: &Costs, cluster: Cluster) -> Result<Vec<Point>, FigureError> {
    let latency = |millions: f64| -> Result<Point, FigureError> {
        Ok(Point::new(millions, cluster.latency_s((millions * 1e6) as u64, costs)?))
    };
    USERS.into_iter().map(latency).collect()
}

/// Latency against servers, for 30 million users and noise for e^ε = 3.
pub(super) fn servers(costs: &Costs) -> Result<Figure, FigureError> {
    let mut planned = Vec::new();
    for servers in SERVERS {
        let noise = noise_slots(servers, 3_f64.ln())?;
        planned.extend(noise.map(|slots| (servers.into(), Cluster::full(servers, 3, slots))));
    }
    Ok(Figure {
        name: "latency-servers".into(),
        title: "Latency against servers: 30 million users".into(),
        x: Axis::linear("servers, and chains", ""),
        y: Axis::log("latency of a round", "s"),
        series: projected(costs, &planned, "latvsrv.pdf", "30M users, e^eps=3")?,
        note: format!(
            "Noise for ε = ln 3, δ = {DELTA} over {ROUNDS} rounds, each by its own accounting. Stadium's lines are its \
             authors' extrapolation. {}",
            machines(costs)
        ),
    })
}

/// ε against latency, for 30 million users of 100 servers.
pub(super) fn epsilon(costs: &Costs) -> Result<Figure, FigureError> {
    let mut planned = Vec::new();
    for epsilon in EPSILONS {
        planned.extend(noise_slots(100, epsilon)?.map(|slots| (epsilon, Cluster::full(100, 3, slots))));
    }
    Ok(Figure {
        name: "epsilon-latency".into(),
        title: "What ε costs: 30 million users, 100 servers".into(),
        x: Axis::linear("ε", ""),
        y: Axis::log("latency of a round", "s"),
        series: projected(costs, &planned, "epsvlat.pdf", "30M users, m=100")?,
        note: format!(
            "δ = {DELTA} over {ROUNDS} rounds. Stadium's lines are its authors' extrapolation. {}",
            machines(costs)
        ),
    })
}

/// Ours for 30 million users, with chains of 3, 6 and 9 in each of the clusters, and what Stadium's authors extrapolated.
fn projected(costs: &Costs, planned: &[(f64, Cluster)], plot: &str, load: &str) -> Result<Vec<Series>, FigureError> {
    let mut series = Vec::new();
    for (style, chain_len) in [3_u8, 6, 9].into_iter().enumerate() {
        let point = |&(x, cluster): &(f64, Cluster)| -> Result<Point, FigureError> {
            Ok(Point::new(x, Cluster { chain_len, ..cluster }.latency_s(30_000_000, costs)?))
        };
        let points = planned.iter().map(point).collect::<Result<_, _>>()?;
        series.push(Series { label: format!("ours, chains of {chain_len}"), origin: Origin::Modelled, style, points });
        let points = published(plot, "projected/interpolated", &format!("l={chain_len} {load}"));
        series.push(Series { label: format!("Stadium, {chain_len}"), origin: Origin::Projected, style, points });
    }
    Ok(series)
}
