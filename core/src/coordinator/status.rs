//! How the network is doing, for everybody: nothing in it is about a user.

use super::{Coordinator, striking::Fault};
use crate::{
    ids::{ChainId, Layer, ServerId},
    message::Ground,
    params::Odds,
};

/// How the network is doing; public.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Number of the epoch, 0 before the first.
    pub epoch: u64,
    /// Number of the amendment that holds, 0 if nobody was struck in the epoch.
    pub amendment: u32,
    /// Draws of chains made so far, failed ones included.
    pub draws: u64,
    /// Bound on the chance that a chain of any of them is all bad; none before the first epoch.
    pub odds: Option<Odds>,
    /// Registered clients.
    pub clients: usize,
    /// The last round announced, 0 before the first.
    pub round: u64,
    /// For each server whether it has said lately that it is up.
    pub servers_up: Vec<bool>,
    /// Each server's part in the epoch, in the directory's order.
    pub servers: Vec<ServerStatus>,
    /// The open chains of each layer; none before the first epoch.
    pub open_chains: Vec<Vec<ChainId>>,
    /// Why no rounds are opened; none if they are.
    pub idle: Option<String>,
    /// Rounds whose replies were delivered and on which all servers have reported.
    pub rounds_completed: u64,
    /// Rounds announced that ended otherwise.
    pub rounds_failed: u64,
    /// Rounds that were called for and not announced.
    pub rounds_unopened: u64,
    /// Strikes since the coordinator's start.
    pub strikes: Strikes,
    /// Hop proofs that servers have checked in the completed rounds.
    pub hops_verified: u64,
    /// Milliseconds from the end of collection to the last report, of the last completed round.
    pub mixing_ms: u64,
    /// Why the last failed round failed.
    pub last_failure: Option<String>,
}

/// How many strikes there were, by their ground.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strikes {
    /// For silence.
    pub silent: u64,
    /// For ending a round without evidence.
    pub aborted: u64,
    /// For what there is evidence of.
    pub convicted: u64,
}

impl Strikes {
    /// Those on a ground.
    pub fn on(&self, ground: Ground) -> u64 {
        match ground {
            Ground::Silent => self.silent,
            Ground::Aborted => self.aborted,
            Ground::Convicted => self.convicted,
        }
    }

    pub(super) fn count(&mut self, ground: Ground) {
        let strikes = match ground {
            Ground::Silent => &mut self.silent,
            Ground::Aborted => &mut self.aborted,
            Ground::Convicted => &mut self.convicted,
        };
        *strikes = strikes.saturating_add(1);
    }
}

/// A server's part in the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStatus {
    /// Whether the epoch was drawn over it.
    pub live: bool,
    /// Whether it takes part in rounds.
    pub active: bool,
    /// Why it was struck in this epoch, if it was, or is about to be.
    pub struck: Option<Ground>,
    /// Since when, milliseconds since 1970; none if that was before the coordinator's last start.
    pub struck_since_ms: Option<u64>,
    /// How often it was struck in the epochs before.
    pub strikes: u16,
    /// Epochs that start before this do without it, milliseconds since 1970; 0 is none.
    pub out_until_ms: u64,
}

impl Coordinator {
    /// How the network is doing.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Brings what follows from other state up to date.
    pub(super) fn refresh_status(&mut self, now_ms: u64) {
        let servers_up = self.directory.server_ids().map(|id| self.presence.is_up(now_ms, id)).collect();
        let servers = self.directory.server_ids().map(|id| self.status_of(id)).collect();
        let idle = self.why_idle(now_ms);
        let status = &mut self.status;
        (status.servers_up, status.servers, status.idle) = (servers_up, servers, idle);
        if let Some(roster) = self.epoch.as_ref().map(|current| &current.roster) {
            let epoch = roster.epoch();
            (status.epoch, status.amendment) = (epoch.plan().number, roster.amendment().number);
            (status.draws, status.odds) = (epoch.draws(), Some(epoch.odds()));
            status.clients = epoch.plan().registry.len();
            if status.open_chains != roster.open_layers() {
                status.open_chains = roster.open_layers().to_vec();
            }
        }
    }

    fn status_of(&self, id: ServerId) -> ServerStatus {
        let Some(roster) = self.epoch.as_ref().map(|current| &current.roster) else { return ServerStatus::default() };
        let plan = roster.epoch().plan();
        let standing = plan.standings.get(usize::from(id.0)).copied().unwrap_or_default();
        let about_to_be = self.faulty.get(&id).map(|fault| (fault.ground, Some(fault.since_ms)));
        let amended = roster.amendment().struck.iter().find(|strike| strike.server == id);
        let amended = amended.map(|strike| (strike.ground, self.struck_ms.get(&id).copied()));
        let struck = amended.or(about_to_be);
        ServerStatus {
            live: plan.live.contains(&id),
            active: roster.is_active(id),
            struck: struck.map(|(ground, _)| ground),
            struck_since_ms: struck.and_then(|(_, since_ms)| since_ms),
            strikes: standing.strikes,
            out_until_ms: standing.out_until_ms,
        }
    }

    fn why_idle(&self, now_ms: u64) -> Option<String> {
        let (least, up) = (self.directory.params().min_live, self.servers_up(now_ms));
        let Some(current) = &self.epoch else {
            return Some(match &self.founding {
                Some(_) => "the first epoch is being founded".into(),
                None => format!("{up} servers are up, and the first epoch waits for all, or for {least} and some time"),
            });
        };
        let roster = &current.roster;
        if self.waits_for_return(now_ms) {
            return Some("the coordinator has restarted and waits for the servers' hellos".into());
        }
        if let Some((server, Fault { ground, .. })) = self.faulty.first_key_value() {
            return Some(match self.amending {
                Some(_) => format!("{server} is being struck: {ground}"),
                None => format!(
                    "{server} cannot be struck ({ground}), since at least {least} of {} active servers must be left: \
                     rounds go on when it is back, or in another epoch",
                    roster.active().len()
                ),
            });
        }
        if self.is_behind(now_ms) {
            return Some("the servers are still busy with the rounds before: they are too slow for the period".into());
        }
        let closed = (0..).zip(roster.open_layers()).find(|(_, open)| open.is_empty());
        closed.map(|(layer, _)| {
            let earliest_ms = self.ripe_ms().saturating_sub(now_ms);
            format!(
                "{} has no open chain: the next epoch begins in {} s at the earliest",
                Layer(layer),
                earliest_ms / 1000
            )
        })
    }
}
