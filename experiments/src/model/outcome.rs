//! What has come of a deployment's rounds.

use serde::Serialize;

use super::{
    deployment::Deployment,
    engine::{Nanos, Played},
    schedule::Schedule,
};
use crate::stats::median;

/// What a deployment does, by the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The rounds in order.
    pub rounds: Vec<RoundOutcome>,
    /// Seconds of one core that each server computes in a round, on the average; the coordinator's come last.
    pub cpu_s: Vec<f64>,
    /// Seconds of one core that all clients compute in a round, where they are on the servers' machine.
    pub clients_cpu_s: f64,
    /// Bytes that each server sends in a round, on the average; the coordinator's come last.
    pub bytes_sent: Vec<u64>,
    /// Messages between servers and coordinator in a round.
    pub messages: u64,
    /// The share of all cores' time that is used, from the first round's start to the last reply.
    pub utilisation: f64,
    /// Clients' messages a second, from the end of the first collection to the last reply of the last round.
    pub messages_per_s: f64,
}

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RoundOutcome {
    /// Seconds from the end of collection until the last client has its replies.
    pub latency_s: f64,
    /// Seconds from the submission of a message to its reply, for who submits in the middle of the collection.
    pub submission_to_reply_s: f64,
}

impl Outcome {
    /// The median round's latency, in seconds.
    pub fn latency_s(&self) -> f64 {
        let latencies: Vec<f64> = self.rounds.iter().map(|round| round.latency_s).collect();
        median(&latencies).unwrap_or(0.0)
    }

    /// Seconds of one core that all servers and the coordinator compute in a round.
    pub fn total_cpu_s(&self) -> f64 {
        self.cpu_s.iter().sum()
    }

    /// Bytes that all servers send in a round.
    pub fn servers_bytes(&self) -> u64 {
        self.bytes_sent.split_last().map_or(0, |(_, servers)| servers.iter().sum())
    }

    /// Bytes that all servers and the coordinator send in a round.
    pub fn total_bytes(&self) -> u64 {
        self.bytes_sent.iter().sum()
    }
}

pub(super) fn of(deployment: &Deployment, schedule: &Schedule, played: &Played) -> Outcome {
    let (rounds, delay) = (f64::from(deployment.rounds), deployment.link.delay_s);
    let round = |&(collected, delivered): &(Nanos, u32)| {
        let told_s = delay * deployment.delays_of_clients() as f64;
        let latency_s = seconds(played.ended[delivered as usize].saturating_sub(collected)) + told_s;
        RoundOutcome { latency_s, submission_to_reply_s: latency_s + deployment.collect_s / 2.0 + delay }
    };
    let end = schedule.rounds.iter().map(|&(_, delivered)| played.ended[delivered as usize]).max().unwrap_or(0);
    let collected = schedule.rounds.first().map_or(0, |&(collected, _)| collected);
    let machines = played.busy.len() as f64 * f64::from(deployment.cores);
    let mut cpu_s: Vec<f64> = schedule.cpu.iter().map(|&nanos| seconds(nanos) / rounds).collect();
    let clients_cpu_s = cpu_s.pop().unwrap_or(0.0);
    let nodes = cpu_s.len();
    let busy: f64 = played.busy.iter().copied().map(seconds).sum();
    Outcome {
        rounds: schedule.rounds.iter().map(round).collect(),
        cpu_s,
        clients_cpu_s,
        bytes_sent: schedule.sent[..nodes].iter().map(|&bytes| bytes / u64::from(deployment.rounds)).collect(),
        messages: schedule.messages / u64::from(deployment.rounds),
        utilisation: share(busy, seconds(end) * machines),
        messages_per_s: share(deployment.messages as f64 * rounds, seconds(end - collected)),
    }
}

fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

/// A part of a whole; of nothing, 0.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
