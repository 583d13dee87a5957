//! What runs came to, in numbers that can be compared.

use std::collections::BTreeSet;

use crate::{
    anonymity::Anonymity,
    live::{Measured, Toll},
    preset::{Numbered, Point, Preset},
    rundir::{RunDir, RunDirError},
    seeds::Seed,
    stats::{self, Estimate},
    text::put,
};

/// Confidence of the intervals.
pub const CONFIDENCE: f64 = 0.95;

/// Something that is measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Its name, in columns and figures.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
}

impl Metric {
    fn new(name: &str, unit: &'static str) -> Self {
        Self { name: name.into(), unit }
    }
}

/// All values of all metrics in one run: several of what each round has, one of what is of all rounds.
pub fn values(point: &Point, measured: &Measured) -> Vec<(Metric, Vec<f64>)> {
    let of_rounds = |of: fn(&crate::live::OfRound) -> Option<f64>| measured.rounds.iter().filter_map(of).collect();
    let per_round = |total: f64| vec![measured.per_round(total)];
    let mut values = vec![
        (Metric::new("latency_first", "ms"), of_rounds(|round| round.first_ms)),
        (Metric::new("latency_median", "ms"), of_rounds(|round| round.median_ms)),
        (Metric::new("latency_last", "ms"), of_rounds(|round| round.last_ms)),
        (Metric::new("rounds_in_flight", ""), in_flight(point, measured)),
        (Metric::new("messages_per_s", "1/s"), vec![point.messages_per_s()]),
        (Metric::new("servers_cpu", "s/round"), per_round(measured.servers_cpu_s)),
        (Metric::new("coordinator_cpu", "s/round"), per_round(measured.coordinator_cpu_s)),
        (Metric::new("clients_cpu", "s/round"), per_round(measured.crowd_cpu_s)),
        (Metric::new("server_peak_memory", "MB"), vec![measured.server_peak_bytes as f64 / 1e6]),
        (Metric::new("servers_sent", "MB/round"), vec![measured.ledgers.sent_per_round() / 1e6]),
    ];
    let of_trouble = measured.toll.iter().flat_map(Toll::figures);
    values.extend(of_trouble.map(|(name, unit, value)| (Metric::new(name, unit), vec![value])));
    let per_record = point.records_per_round().map(|records| per_round(1000.0 * measured.servers_cpu_s / records));
    values.extend(per_record.map(|values| (Metric::new("servers_cpu_per_record", "ms"), values)));
    let busy = measured.ledgers.busy_s.iter();
    values.extend(busy.map(|(part, seconds)| (Metric::new(&format!("part_{part}"), "s/round"), per_round(*seconds))));
    let sent = measured.ledgers.sent_bytes.iter();
    values.extend(
        sent.map(|(kind, bytes)| (Metric::new(&format!("sent_{kind}"), "MB/round"), per_round(*bytes as f64 / 1e6))),
    );
    values
}

/// Rounds that are collected and not over, on the average: as many as periods fit into the time that one takes (Little, Oper.
/// Res. 9, 1961).
fn in_flight(point: &Point, measured: &Measured) -> Vec<f64> {
    let took = measured.rounds.iter().filter_map(|round| round.last_ms);
    took.map(|took_ms| took_ms / point.period_ms as f64).collect()
}

impl Point {
    /// Messages of all clients that the network carries a second if no round is lost.
    fn messages_per_s(&self) -> f64 {
        f64::from(self.clients) * f64::from(self.slots) * 1e3 / self.period_ms as f64
    }

    /// Records of clients and servers together that a round begins with; none where the network plans its noise itself.
    pub fn records_per_round(&self) -> Option<f64> {
        let noise = f64::from(self.noise) * f64::from(self.servers) * f64::from(self.chains);
        self.guarantee.is_none().then(|| f64::from(self.clients) * f64::from(self.slots) + noise)
    }
}

/// A point and what came of it.
#[derive(Clone, Debug)]
pub struct OfPoint {
    /// The point.
    pub numbered: Numbered,
    /// Its runs, by their numbers.
    pub runs: Vec<(u32, Measured)>,
    /// Medians with their intervals, over all valid runs.
    pub estimates: Vec<(Metric, Estimate)>,
    /// What is known of its anonymity, if the preset asks for it.
    pub anonymity: Option<Anonymity>,
}

impl OfPoint {
    /// The estimate of a metric.
    pub fn estimate(&self, name: &str) -> Option<Estimate> {
        self.estimates.iter().find(|(metric, _)| metric.name == name).map(|(_, estimate)| *estimate)
    }

    /// Runs in which nothing was lost.
    pub fn valid(&self) -> usize {
        self.runs.iter().filter(|(_, measured)| measured.is_valid()).count()
    }
}

/// What came of an experiment so far.
#[derive(Clone, Debug)]
pub struct Results {
    /// The experiment.
    pub preset: Preset,
    /// All points, also those that have not been run.
    pub points: Vec<OfPoint>,
}

impl Results {
    /// Reads all runs of a directory.
    pub fn read(dir: &RunDir) -> Result<Self, RunDirError> {
        let preset = dir.preset()?;
        let of = |numbered: Numbered| {
            let mut runs = Vec::new();
            for repeat in 0..preset.repeats {
                runs.extend(dir.measured(&numbered, repeat)?.map(|measured| (repeat, measured)));
            }
            let estimates = estimates(&preset, &numbered, &runs);
            let anonymity = dir.anonymity(&numbered)?;
            Ok(OfPoint { numbered, runs, estimates, anonymity })
        };
        let points = preset.points()?.into_iter().map(of).collect::<Result<_, RunDirError>>()?;
        Ok(Self { preset, points })
    }

    /// One line a run: point, settings, number, whether it counts, rounds, rounds that were lost, the median of each metric in
    /// it; where there was trouble, also who was named, and for what.
    pub fn runs_csv(&self) -> String {
        let of_runs = |of: &OfPoint| -> Vec<_> {
            of.runs.iter().map(|(_, measured)| values(&of.numbered.point, measured)).collect()
        };
        let all: Vec<Vec<_>> = self.points.iter().map(of_runs).collect();
        let metrics: BTreeSet<&Metric> = all.iter().flatten().flatten().map(|(metric, _)| metric).collect();
        let mut text = "point,label,repeat,valid,rounds,lost_rounds".to_owned();
        metrics.iter().for_each(|metric| put(&mut text, format_args!(",{}[{}]", metric.name, metric.unit)));
        let has_trouble = self.points.iter().any(|of| of.numbered.point.trouble.is_some());
        text.push_str(if has_trouble { ",named,offences\n" } else { "\n" });
        for (of, of_runs) in self.points.iter().zip(&all) {
            for ((repeat, measured), values) in of.runs.iter().zip(of_runs) {
                let (number, label) = (of.numbered.number, &of.numbered.label);
                let (valid, rounds, lost) = (measured.is_valid(), measured.rounds.len(), measured.lost());
                put(&mut text, format_args!("{number},{label},{repeat},{valid},{rounds},{lost}"));
                for metric in &metrics {
                    let found = values.iter().find(|(of, _)| of == *metric).and_then(|(_, all)| stats::median(all));
                    put(&mut text, format_args!(",{}", found.map_or(String::new(), |value| format!("{value:.6}"))));
                }
                if has_trouble {
                    let words = |of: fn(&Toll) -> String| measured.toll.as_ref().map_or(String::new(), of);
                    put(&mut text, format_args!(",{},{}", words(Toll::names), words(Toll::charges)));
                }
                text.push('\n');
            }
        }
        text
    }

    /// One line for each metric of each point: point, settings, metric, unit, median of all valid runs, and where it lies
    /// with 95 % confidence.
    pub fn results_csv(&self) -> String {
        let mut text = "point,label,metric,unit,median,low,high,runs\n".to_owned();
        for of in &self.points {
            let (number, label, valid) = (of.numbered.number, &of.numbered.label, of.valid());
            for (Metric { name, unit }, Estimate { value, interval }) in &of.estimates {
                let (low, high) = (interval.low, interval.high);
                let line = format_args!("{number},{label},{name},{unit},{value:.6},{low:.6},{high:.6},{valid}\n");
                put(&mut text, line);
            }
        }
        text
    }
}

/// Over all valid runs of a point. Values of rounds are pooled.
fn estimates(preset: &Preset, numbered: &Numbered, runs: &[(u32, Measured)]) -> Vec<(Metric, Estimate)> {
    let mut pooled: Vec<(Metric, Vec<f64>)> = Vec::new();
    for (_, measured) in runs.iter().filter(|(_, measured)| measured.is_valid()) {
        for (metric, values) in values(&numbered.point, measured) {
            match pooled.iter_mut().find(|(known, _)| *known == metric) {
                Some((_, all)) => all.extend(values),
                None => pooled.push((metric, values)),
            }
        }
    }
    let seed = Seed::master(preset.seed).of("bootstrap", numbered.number as u64);
    let estimate = |(metric, values): (Metric, Vec<f64>)| {
        Some((metric, stats::median_with_interval(&values, CONFIDENCE, seed.number())?))
    };
    pooled.into_iter().filter_map(estimate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::Target;

    #[test]
    fn records_are_known_only_where_the_preset_says_how_much_noise_there_is() {
        let point = Point { servers: 4, chains: 3, noise: 8, clients: 50, slots: 2, ..Point::default() };
        assert_eq!(point.records_per_round(), Some(50.0 * 2.0 + 8.0 * 4.0 * 3.0));
        let target = Target { epsilon: 1.0, delta: 1e-4, rounds: 10 };
        assert_eq!(Point { guarantee: Some(target), ..point }.records_per_round(), None);
    }
}
