//! What can be seen of the rounds from outside.

use std::{collections::BTreeSet, time::Duration};

use hippodrome_core::{
    epoch::Epoch,
    ids::{ChainId, Round},
    params::{NetworkParams, Verification},
};
use hippodrome_proto::gateway::{GatewayClient, GatewayError, NetworkStatus, RoundEvent};
use tokio::time::sleep;

use super::Narrator;
use crate::values::now_ms;

/// Between two questions how many proofs have been verified.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What begins at a fixed time of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Collecting,
    Mixing,
}

/// Follows the rounds of a network.
pub(super) struct Rounds<'a> {
    gateway: &'a GatewayClient,
    epoch: &'a Epoch,
    params: &'a NetworkParams,
    servers: usize,
    narrator: &'a Narrator,
    begin: BTreeSet<(u64, Round, Phase)>,
    seen: NetworkStatus,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(
        gateway: &'a GatewayClient,
        epoch: &'a Epoch,
        params: &'a NetworkParams,
        servers: usize,
        narrator: &'a Narrator,
    ) -> Self {
        Self { gateway, epoch, params, servers, narrator, begin: BTreeSet::new(), seen: NetworkStatus::default() }
    }

    /// Narrates for as long as the coordinator answers.
    pub(super) async fn narrate(mut self) -> GatewayError {
        loop {
            if let Err(error) = self.follow().await {
                return error;
            }
        }
    }

    /// Until the coordinator ends the stream of events, which it does to whoever falls behind.
    async fn follow(&mut self) -> Result<(), GatewayError> {
        let mut events = self.gateway.rounds(ChainId(0)).await?;
        loop {
            let next_ms = self.begin.first().map_or(u64::MAX, |(at_ms, ..)| *at_ms);
            let wait = Duration::from_millis(next_ms.saturating_sub(now_ms())).min(ASK_AGAIN);
            tokio::select! {
                event = events.next() => match event? {
                    Some(event) => self.on_event(event),
                    None => return Ok(()),
                },
                () = sleep(wait) => self.on_clock().await?,
            }
        }
    }

    fn on_event(&mut self, event: RoundEvent) {
        match event {
            RoundEvent::Announced(view) => self.on_announced(view.round),
            RoundEvent::Closed { round, .. } => self.on_announced(round),
            RoundEvent::Delivered(round) => {
                self.narrator.round(round.0, "delivered", "every client gets a reply, all of one size");
            }
            RoundEvent::Failed { round, reason } => self.narrator.round(round.0, "failed", &reason),
        }
    }

    fn on_announced(&mut self, round: Round) {
        let start_ms = self.epoch.window_start_ms(round);
        let keys = format!("{} hops have fresh keys, signed by all {} servers", self.hops(), self.servers);
        self.narrator.round(round.0, "announced", &keys);
        self.begin.insert((start_ms, round, Phase::Collecting));
        self.begin.insert((start_ms + self.params.collect_ms, round, Phase::Mixing));
    }

    async fn on_clock(&mut self) -> Result<(), GatewayError> {
        while let Some((_, round, phase)) = self.begin.first().filter(|(at_ms, ..)| *at_ms <= now_ms()).copied() {
            self.begin.pop_first();
            self.on_phase(round, phase);
        }
        let status = self.gateway.status().await?;
        if status.rounds_completed > self.seen.rounds_completed {
            self.on_completed(&status);
            self.seen = status;
        }
        Ok(())
    }

    fn on_phase(&self, round: Round, phase: Phase) {
        let (clients, noise) = (self.messages_of_clients(), self.noise());
        let bytes = self.params.sizes().submission;
        match phase {
            Phase::Collecting => self.narrator.round(
                round.0,
                "collecting",
                &format!("{clients} messages of clients and {noise} of noise, {bytes} bytes each, indistinguishable"),
            ),
            Phase::Mixing => self.narrator.round(
                round.0,
                "mixing",
                &format!("{} messages go through {} hops, {}", clients + noise, self.hops(), self.proof()),
            ),
        }
    }

    fn on_completed(&self, status: &NetworkStatus) {
        let NetworkStatus { rounds_completed, hops_verified, .. } = status;
        let since = hops_verified - self.seen.hops_verified;
        self.narrator.say(&format!(
            "{:10}verified   {since} hop proofs; {hops_verified} in {rounds_completed} completed rounds, where {} are due",
            "",
            rounds_completed * self.params.hops_verified_per_round()
        ));
    }

    fn proof(&self) -> &'static str {
        match self.params.verification {
            Verification::Full => "each of which proves its shuffle to those after it",
            Verification::Aggregate => "each of which proves a sum over its keys to those after it",
            Verification::None => "none of which proves anything",
        }
    }

    fn hops(&self) -> u64 {
        u64::from(self.params.layers) * u64::from(self.params.chains) * u64::from(self.params.chain_len)
    }

    fn messages_of_clients(&self) -> u64 {
        self.epoch.plan().registry.len() as u64 * u64::from(self.params.slots)
    }

    fn noise(&self) -> u64 {
        u64::from(self.params.noise.per_chain(self.params.chains.into()))
            * u64::from(self.params.chains)
            * self.servers as u64
    }
}
