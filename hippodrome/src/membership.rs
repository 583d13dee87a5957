//! Who takes part in a network, for `status`.
//!
//! Everything is checked against the servers' signatures, but for who is up and since when somebody is struck: that is
//! the coordinator's word.

use std::fmt;

use hippodrome_core::{
    directory::Directory,
    ids::{ChainId, Layer, ServerId},
    params::NetworkParams,
    roster::{Roster, penalty_ms},
};
use hippodrome_proto::gateway::NetworkStatus;
use serde::Serialize;

use crate::network_dir::Node;

/// Servers and chains of an epoch, as printed with `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Membership {
    epoch: u64,
    amendment: u32,
    /// Draws of chains since the network was founded.
    draws: u64,
    /// Servers that may be bad.
    bad_servers: u16,
    /// With so many, the chance that a chain of any draw has bad servers alone is below 2 to the minus this; null if it
    /// is none.
    odds_bits: f64,
    /// What that must not fall below; 0 claims nothing.
    failure_bits: u16,
    servers: Vec<ServerReport>,
    /// By layer.
    chains: Vec<Vec<ChainReport>>,
}

/// A server's part.
#[derive(Debug, Serialize)]
struct ServerReport {
    server: String,
    name: String,
    /// Whether it has said lately that it is.
    up: bool,
    part: Part,
    /// Why it is struck, or about to be.
    ground: Option<String>,
    struck_since_ms: Option<u64>,
    /// How often it was struck in earlier epochs.
    strikes: u16,
    /// The earliest start of an epoch that may have it, if it takes no part in this one.
    returns_ms: Option<u64>,
}

/// What a server does in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// It takes part in rounds.
    Active,
    /// It did until it was struck.
    Struck,
    /// The epoch was drawn without it.
    Out,
}

#[derive(Debug, Serialize)]
struct ChainReport {
    servers: Vec<String>,
    open: bool,
}

fn name_of(server: ServerId) -> String {
    Node::Server(server).to_string()
}

impl Membership {
    /// What a roster says, with the coordinator's word beside it.
    pub(crate) fn new(directory: &Directory, roster: &Roster, status: &NetworkStatus) -> Self {
        let (params, epoch) = (directory.params(), roster.epoch());
        let chain = |layer, chain| ChainReport {
            servers: roster.members(layer, chain).iter().copied().map(name_of).collect(),
            open: roster.is_open(layer, chain),
        };
        let layer = |layer| (0..params.chains).map(|id| chain(layer, ChainId(id))).collect();
        Self {
            epoch: roster.id().epoch,
            amendment: roster.id().amendment,
            draws: epoch.draws(),
            bad_servers: params.bad_servers,
            odds_bits: epoch.odds().bits(),
            failure_bits: params.failure_bits,
            servers: directory.server_ids().map(|id| ServerReport::new(directory, roster, status, id)).collect(),
            chains: (0..params.layers).map(|id| layer(Layer(id))).collect(),
        }
    }

    /// The report for people, at a time of this machine's clock.
    pub(crate) fn at(&self, now_ms: u64) -> impl fmt::Display + '_ {
        Shown { membership: self, now_ms }
    }
}

impl ServerReport {
    fn new(directory: &Directory, roster: &Roster, status: &NetworkStatus, id: ServerId) -> Self {
        let plan = roster.epoch().plan();
        let index = usize::from(id.0);
        let standing = plan.standings.get(index).copied().unwrap_or_default();
        let said = status.struck.iter().find(|struck| struck.server == id);
        let signed = roster.amendment().struck.iter().find(|strike| strike.server == id);
        let part = match signed {
            Some(_) => Part::Struck,
            None if roster.is_active(id) => Part::Active,
            None => Part::Out,
        };
        let ground = signed.map(|strike| strike.ground).or(said.map(|struck| struck.ground));
        Self {
            server: name_of(id),
            name: directory.servers().get(index).map_or_else(String::new, |entry| entry.name.clone()),
            up: status.servers_up.get(index).copied().unwrap_or(false),
            part,
            ground: ground.map(|ground| ground.to_string()),
            struck_since_ms: said.and_then(|struck| struck.since_ms),
            strikes: standing.strikes,
            returns_ms: match part {
                Part::Active => None,
                Part::Struck => Some(returns_after_strike_ms(directory.params(), plan.start_ms, standing.strikes)),
                Part::Out => Some(standing.out_until_ms.max(plan.start_ms.saturating_add(directory.params().epoch_ms))),
            },
        }
    }
}

/// The next epoch, which begins at the earliest when this one has had its least length, keeps a server out that was
/// struck in this one.
fn returns_after_strike_ms(params: &NetworkParams, start_ms: u64, strikes: u16) -> u64 {
    start_ms.saturating_add(params.epoch_ms).saturating_add(penalty_ms(params, strikes.saturating_add(1)))
}

struct Shown<'a> {
    membership: &'a Membership,
    now_ms: u64,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Membership { epoch, amendment, draws, bad_servers, odds_bits, failure_bits, servers, chains } =
            self.membership;
        let chance = if odds_bits.is_finite() { format!("at most 2^-{odds_bits:.1}") } else { "none".to_owned() };
        let claimed = if *failure_bits > 0 { format!(" (2^-{failure_bits} is allowed)") } else { String::new() };
        writeln!(f, "epoch        {epoch}, amendment {amendment}")?;
        let draws = if *draws == 1 { "1 draw".to_owned() } else { format!("{draws} draws") };
        writeln!(
            f,
            "             {draws} of chains so far; if {bad_servers} of the servers are bad, the chance that one of these"
        )?;
        writeln!(f, "             chains has no other server is {chance}{claimed}")?;
        let active = servers.iter().filter(|server| server.part == Part::Active).count();
        let up = servers.iter().filter(|server| server.up).count();
        write!(f, "servers      {active} of {} take part, {up} are up", servers.len())?;
        for server in servers {
            self.fmt_server(f, server)?;
        }
        for (layer, chains) in chains.iter().enumerate() {
            for (chain, ChainReport { servers, open }) in chains.iter().enumerate() {
                let title = if (layer, chain) == (0, 0) { "chains" } else { "" };
                let closed = if *open { "" } else { ", closed" };
                write!(f, "\n{title:13}layer {layer}, chain {chain}{closed}: {}", servers.join(", "))?;
            }
        }
        Ok(())
    }
}

impl Shown<'_> {
    /// A line about a server, if there is anything to say about it.
    fn fmt_server(&self, f: &mut fmt::Formatter<'_>, server: &ServerReport) -> fmt::Result {
        let mut said = Vec::new();
        let ground = server.ground.as_ref().map_or_else(String::new, |ground| format!(": {ground}"));
        let since = server.struck_since_ms.map(|since| self.now_ms.saturating_sub(since));
        let since = since.map_or_else(String::new, |ms| format!(" {} ago", in_words(ms)));
        match server.part {
            Part::Active if server.ground.is_some() => said.push(format!("is about to be struck{ground}")),
            Part::Active => {}
            Part::Struck => said.push(format!("was struck{since}{ground}")),
            Part::Out => said.push("is out of this epoch".to_owned()),
        }
        match server.strikes {
            0 => {}
            1 => said.push("was struck once before".to_owned()),
            strikes => said.push(format!("was struck {strikes} times before")),
        }
        match server.returns_ms.map(|returns_ms| returns_ms.saturating_sub(self.now_ms)) {
            None => {}
            Some(0) => said.push("may take part in the next epoch".to_owned()),
            Some(ms) => said.push(format!("may take part in an epoch that begins in {} or later", in_words(ms))),
        }
        if !server.up {
            said.push("is not up".to_owned());
        }
        if said.is_empty() { Ok(()) } else { write!(f, "\n             {} {}", server.server, said.join("; ")) }
    }
}

/// A time in one unit.
fn in_words(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(part: Part) -> ServerReport {
        ServerReport {
            server: "server-1".to_owned(),
            name: "one".to_owned(),
            up: true,
            part,
            ground: None,
            struck_since_ms: None,
            strikes: 0,
            returns_ms: None,
        }
    }

    fn shown(server: ServerReport) -> String {
        let chain = |open| ChainReport { servers: vec!["server-0".to_owned(), "server-1".to_owned()], open };
        let chains = vec![vec![chain(true), chain(false)]];
        let membership = Membership {
            epoch: 3,
            amendment: 1,
            draws: 4,
            bad_servers: 1,
            odds_bits: 40.25,
            failure_bits: 30,
            servers: vec![server],
            chains,
        };
        membership.at(1_000_000).to_string()
    }

    #[test]
    fn a_server_that_takes_part_needs_no_words() {
        let text = shown(server(Part::Active));
        assert!(text.contains("epoch        3, amendment 1\n"), "{text}");
        assert!(text.contains("at most 2^-40.2 (2^-30 is allowed)"), "{text}");
        assert!(text.contains("1 of 1 take part, 1 are up\nchains"), "{text}");
        assert!(text.ends_with("\n             layer 0, chain 1, closed: server-0, server-1"), "{text}");
    }

    #[test]
    fn who_is_struck_is_shown_with_the_ground_and_when_it_may_return() {
        let struck = ServerReport {
            up: false,
            ground: Some("it was silent".to_owned()),
            struck_since_ms: Some(940_000),
            strikes: 2,
            returns_ms: Some(1_600_000),
            ..server(Part::Struck)
        };
        let expected = "server-1 was struck 60 s ago: it was silent; was struck 2 times before; \
                        may take part in an epoch that begins in 10 min or later; is not up\n";
        let text = shown(struck);
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn who_has_served_its_time_waits_for_the_next_epoch() {
        let out = ServerReport { returns_ms: Some(999_999), strikes: 1, ..server(Part::Out) };
        let text = shown(out);
        let expected = "server-1 is out of this epoch; was struck once before; may take part in the next epoch\n";
        assert!(text.contains(expected), "{text}");
    }
}
