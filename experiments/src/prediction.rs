//! What the model says of an experiment's points, set against what came of them.

use hippodrome_core::params::Verification;

use crate::{
    model::{
        BadDeployment, Compared, Costs, Deployment, Link, Measured, Placement, Validation, ValidationRow, validate,
    },
    plot::{Axis, Figure, Origin, Point, Series},
    preset,
    results::{OfPoint, Results},
    stats::Errors,
    text::put,
};

/// Costs that have not been fitted yet are fitted to one point in so many, the first of them included; all others are held
/// out.
const FITTED: usize = 3;

/// Rounds that are played: enough that those in the middle have others before and behind them.
const ROUNDS: u32 = 4;

/// Predicts every point of an experiment that has valid runs, on one machine of so many cores. Left out are points whose
/// noise follows from a guarantee, since what they send is not in the preset, and those whose links do more than delay.
///
/// # Errors
/// [`BadDeployment`] if a point is of a network that the model does not know.
pub fn of(results: &Results, costs: &Costs, cores: usize) -> Result<Validation, BadDeployment> {
    let measured = results.points.iter().filter_map(|of| measured(of, cores));
    let is_held_out = |index: usize| costs.are_fitted() || !index.is_multiple_of(FITTED);
    let runs: Vec<Measured> =
        measured.enumerate().map(|(index, run)| Measured { is_held_out: is_held_out(index), ..run }).collect();
    validate(costs, &runs)
}

fn measured(of: &OfPoint, cores: usize) -> Option<Measured> {
    let value = |name| Some(of.estimate(name)?.value);
    Some(Measured {
        name: of.numbered.label.to_string(),
        deployment: deployment(&of.numbered.point, cores)?,
        wall_s: value("latency_last")? / 1e3,
        cpu_s: value("servers_cpu")? + value("coordinator_cpu")?,
        bytes: value("servers_sent")? * 1e6,
        is_held_out: true,
    })
}

/// A point's network, as `testnet` founds it; none where the model knows nothing like it.
pub(crate) fn deployment(point: &preset::Point, cores: usize) -> Option<Deployment> {
    let period_s = point.period_ms as f64 / 1e3;
    let cores = u16::try_from(cores).ok()?;
    (point.guarantee.is_none() && point.regions.is_empty()).then_some(())?;
    Some(Deployment {
        servers: point.servers,
        cores,
        threads: cores,
        placement: Placement::Together,
        link: link(point)?,
        chains: point.chains,
        chain_len: point.chain_len,
        layers: point.layers,
        verification: Verification::named(&point.verification)?,
        messages: u64::from(point.clients) * u64::from(point.slots),
        clients: point.clients.into(),
        noise_slots: point.noise * u32::from(point.chains) / 2,
        period_s,
        collect_s: period_s / 2.0,
        rounds: ROUNDS,
    })
}

/// The links, if they only delay.
fn link(point: &preset::Point) -> Option<Link> {
    let preset::Link { delay_ms, jitter_ms, rate_mbit, loss } = point.link.unwrap_or_default();
    let only_delays = [jitter_ms, rate_mbit, loss].iter().all(|value| *value == 0.0);
    only_delays.then_some(Link { delay_s: delay_ms / 1e3, bits_per_s: 0.0 })
}

/// The table of a report, as Markdown, with what it comes to.
pub fn table(validation: &Validation) -> String {
    let mut text =
        "| point | | wall-clock, s: model | measured | off by | CPU, s a round: model | measured | off by |\n\
                    |---|---|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for ValidationRow { name, is_held_out, wall_s, cpu_s, .. } in &validation.rows {
        let role = if *is_held_out { "held out" } else { "fitted" };
        put(&mut text, format_args!("| {name} | {role} | {} | {} |\n", cells(wall_s), cells(cpu_s)));
    }
    let (wall, cpu) = validation.held_out();
    for (what, errors) in [("Wall-clock time", wall), ("CPU time", cpu)] {
        if let Some(Errors { count, median, worst }) = errors {
            let [median, worst] = [median, worst].map(|error| 100.0 * error);
            let line = format_args!(
                "\n{what} of {count} held-out points: off by {median:.1} % in the median, {worst:.1} % at most.\n"
            );
            put(&mut text, line);
        }
    }
    text
}

fn cells(Compared { predicted, measured, error }: &Compared) -> String {
    let error = error.map_or("–".to_owned(), |error| format!("{:+.1} %", 100.0 * error));
    format!("{predicted:.3} | {measured:.3} | {error}")
}

/// Every held-out prediction against what was measured; on the line both are the same. None if nothing was held out.
pub fn figure(validation: &Validation) -> Option<Figure> {
    let points = |of: fn(&ValidationRow) -> Compared| {
        let held_out = validation.rows.iter().filter(|row| row.is_held_out).map(of);
        let mut points: Vec<Point> =
            held_out.map(|Compared { predicted, measured, .. }| Point::new(measured, predicted)).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        points
    };
    let [wall, cpu] = [points(|row| row.wall_s), points(|row| row.cpu_s)];
    let all = wall.iter().chain(&cpu).map(|point| point.x).filter(|x| *x > 0.0);
    let (least, most) = all.fold((f64::INFINITY, 0.0_f64), |(least, most), x| (least.min(x), most.max(x)));
    (least < most).then_some(())?;
    let line = |label: &str, origin, factor: f64| Series {
        label: label.into(),
        origin,
        style: 6,
        points: [least, most].map(|x| Point::new(x, factor * x)).to_vec(),
    };
    let measured = |label: &str, style, points| Series { label: label.into(), origin: Origin::Measured, style, points };
    Some(Figure {
        name: "predicted-measured".into(),
        title: "Predicted against measured, points held out".into(),
        x: Axis::log("measured", "s"),
        y: Axis::log("predicted", "s"),
        series: vec![
            measured("wall-clock", 0, wall),
            measured("CPU of a round", 1, cpu),
            line("the same", Origin::Modelled, 1.0),
            line("15 % more", Origin::Projected, 1.15),
            line("15 % less", Origin::Projected, 0.85),
        ],
        note: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validation() -> Validation {
        let costs = Costs::none();
        let run = |clients: u16, is_held_out| {
            let point = preset::Point { clients, ..preset::Point::default() };
            let deployment = deployment(&point, 2).expect("a network");
            let name = format!("clients={clients}");
            Measured {
                name,
                deployment,
                wall_s: f64::from(clients),
                cpu_s: 2.0 * f64::from(clients),
                bytes: 1e6,
                is_held_out,
            }
        };
        validate(&costs, &[run(10, false), run(20, true), run(40, true)]).expect("networks")
    }

    #[test]
    fn a_point_is_modelled_as_the_testnet_founds_it() {
        let point = preset::Point { noise: 8, chains: 3, clients: 20, slots: 2, ..preset::Point::default() };
        let deployment = deployment(&point, 2).expect("a network");
        assert_eq!((deployment.noise_per_chain(), deployment.messages), (8, 40));
        assert_eq!((deployment.period_s, deployment.collect_s), (1.0, 0.5));
        let delayed = preset::Link { delay_ms: 20.0, ..preset::Link::default() };
        let linked = |link| preset::Point { link: Some(link), ..point.clone() };
        assert_eq!(super::deployment(&linked(delayed), 2).map(|network| network.link.delay_s), Some(0.02));
        assert_eq!(super::deployment(&linked(preset::Link { loss: 0.1, ..delayed }), 2), None);
        assert_eq!(super::deployment(&preset::Point { verification: "some".into(), ..point }, 2), None);
    }

    #[test]
    fn the_table_says_what_was_fitted_and_how_far_the_rest_is_off() {
        let table = table(&validation());
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[2].starts_with("| clients=10 | fitted |") && lines[3].starts_with("| clients=20 | held out |"));
        assert!(table.contains("of 2 held-out points"), "{table}");
        let figure = figure(&validation()).expect("points");
        assert_eq!(figure.series[0].points.len(), 2, "only what was held out");
        assert!(figure.svg().is_ok());
    }
}
