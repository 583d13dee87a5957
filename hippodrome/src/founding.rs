//! Founding a network on one machine: keys of everybody, a directory that all servers sign, seats for people.

use std::{fs, io, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::Args;
use hippodrome_core::{
    directory::DirectoryDraft,
    ids::ServerId,
    noise::{self, Guarantee, NoiseParams, ReplyBudget},
    params::{BadParameter, NetworkParams, Verification},
};
use hippodrome_privacy::{
    PrivacyError,
    quantity::{Delta, Epsilon, Rounds},
};
use hippodrome_store::{
    guarantee::{self, Overstated},
    key_file::{KeyFileError, KeySource, ServerKeys},
    network_file::{Network, NetworkFile, NetworkFileError, SignError},
    registry_file::{self, Registrant, RegistryError},
};

use crate::{
    account::{delta, epsilon, rounds},
    network_dir::{NetworkDir, Node},
    values,
};

/// Noise records of honest servers in a chain's batch of which at least one is in any hundredth part of the batch, with
/// probability over 0.999: 100 ln 1000 (`paper-notes`, receipts).
const WATCHFUL_NOISE: u32 = 691;
/// Records beyond the noise for which a chain has room.
const ROOM_FOR_CLIENTS: u32 = 1 << 16;
/// A round that takes longer than this is given up, whatever the period.
const LEAST_DEADLINE: Duration = Duration::from_secs(10);
/// Periods after which a round is given up.
const DEADLINE_PERIODS: u32 = 8;

/// What noise is spread by in what servers say of replies, if nobody asks for more or less.
const REPLY_SPREAD: u16 = 100;

/// Periods that an epoch lasts at least.
const EPOCH_PERIODS: u32 = 10;

/// The shape of a network, as asked for.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub(crate) struct Shape {
    /// Mix servers [default: 6]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) servers: Option<u16>,
    /// Chains in each layer [default: 3]
    #[arg(long)]
    pub(crate) chains: Option<u16>,
    /// Servers in a chain [default: 3]
    #[arg(long)]
    pub(crate) chain_len: Option<u8>,
    /// Layers of chains: 1 (with one chain), 2 or 3 [default: 2]
    #[arg(long)]
    pub(crate) layers: Option<u8>,
    /// How hops are verified: by the shuffle argument, by sums of keys, not at all [default: full]
    #[arg(long, value_parser = values::verification())]
    pub(crate) verification: Option<Verification>,
    /// From one round to the next, as in `2s` or `500ms` [default: 2s; demo: 1s]
    #[arg(long, value_parser = values::duration)]
    pub(crate) period: Option<Duration>,
    /// Noise records that each server sends into each chain in each round [default: so many that who loses one record in a
    /// hundred is caught; demo: 8]
    #[arg(long, value_name = "N", conflicts_with = "epsilon")]
    pub(crate) noise: Option<u32>,
    /// How far noise spreads that --epsilon does not plan: alpha, a fraction as in 7/2 [default: 1]
    #[arg(long, value_name = "ALPHA", conflicts_with = "epsilon")]
    pub(crate) noise_shape: Option<noise::Shape>,
    /// Noise that hides whom somebody talks with: the odds change by e to this at most, but for --delta, over --budget rounds
    #[arg(long, value_parser = epsilon, requires_all = ["delta", "budget"])]
    pub(crate) epsilon: Option<Epsilon>,
    /// With --epsilon: the chance that it does not hold
    #[arg(long, value_parser = delta, requires = "epsilon")]
    pub(crate) delta: Option<Delta>,
    /// With --epsilon: rounds for which it holds
    #[arg(long, value_name = "ROUNDS", value_parser = rounds, requires = "epsilon")]
    pub(crate) budget: Option<Rounds>,
    /// Servers pledge their noise, and each shows that of one round in R once it is over: who sends other noise is convicted.
    /// Where --epsilon is given too, at least eight servers have to be relied on [default: nobody looks at it]
    #[arg(long, value_name = "R")]
    pub(crate) audit: Option<NonZeroU32>,
    /// With --epsilon: how often each server may say, ever, that replies to its noise were spoiled [default: never]
    #[arg(long, value_name = "N", requires = "epsilon", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) reply_limits: Option<u16>,
    /// With --reply-limits: each costs 1/N of ε for each slot, and servers bear 240·N spoiled replies [default: 100]
    #[arg(long, value_name = "N", requires = "reply_limits", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) reply_spread: Option<u16>,
    /// Messages that each client sends in each round [default: 1]
    #[arg(long)]
    pub(crate) slots: Option<u16>,
}

/// What holds where nothing else is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usual {
    /// From one round to the next.
    pub(crate) period: Duration,
    /// Noise records of each server for each chain; enough that losses are seen, if none.
    pub(crate) noise: Option<u32>,
}

impl Shape {
    pub(crate) fn servers(&self) -> u16 {
        self.servers.unwrap_or(6)
    }

    /// Parameters of this shape, with what is usual where nothing was asked for.
    pub(crate) fn params(&self, name: &str, usual: Usual) -> Result<NetworkParams, ShapeError> {
        let period = self.period.unwrap_or(usual.period);
        let chains = self.chains.unwrap_or(3);
        let bad_servers = self.servers() / 4;
        let noise = match self.noise.or(usual.noise) {
            Some(per_chain) => noise_of(per_chain, chains)?,
            None => watchful_noise(self.servers() - bad_servers, chains),
        };
        let shape = self.noise_shape.unwrap_or(noise.shape);
        let noise = NoiseParams { shape, audit: self.audit, ..noise };
        let deadline = (period * DEADLINE_PERIODS).max(LEAST_DEADLINE);
        let params = NetworkParams {
            name: name.to_owned(),
            chains,
            chain_len: self.chain_len.unwrap_or(3),
            layers: self.layers.unwrap_or(2),
            verification: self.verification.unwrap_or(Verification::Full),
            slots: self.slots.unwrap_or(1),
            noise,
            period_ms: millis(period),
            collect_ms: millis(period / 2),
            deadline_ms: millis(deadline),
            max_batch: room(noise, self.servers()),
            bad_servers,
            min_live: 0,
            failure_bits: 0,
            epoch_ms: millis(EPOCH_PERIODS * period),
        };
        // As few as can still sign an epoch, and fill a chain.
        let min_live = params.quorum(self.servers().into()).max(params.chain_len.into());
        let params = self.with_planned_noise(NetworkParams { min_live: min_live as u16, ..params })?;
        params.check(self.servers().into())?;
        Ok(params)
    }

    /// Takes the least noise that reaches the guarantee that was asked for, if one was.
    fn with_planned_noise(&self, params: NetworkParams) -> Result<NetworkParams, ShapeError> {
        let (Some(epsilon), Some(delta), Some(budget)) = (self.epsilon, self.delta, self.budget) else {
            return Ok(params);
        };
        let stated = Guarantee::new(budget.count(), epsilon.value(), delta.value());
        let stated = Guarantee { replies: self.reply_budget(), ..stated };
        let params = NetworkParams { noise: NoiseParams { guarantee: Some(stated), ..params.noise }, ..params };
        let noise = guarantee::least_noise(&params).map_err(|refused| match refused {
            Overstated::Impossible(why) => ShapeError::Noise(why),
            other => other.into(),
        })?;
        Ok(NetworkParams { noise, max_batch: room(noise, self.servers()), ..params })
    }

    fn reply_budget(&self) -> Option<ReplyBudget> {
        let spread = self.reply_spread.unwrap_or(REPLY_SPREAD);
        self.reply_limits.map(|limits| ReplyBudget { limits, spread })
    }

    /// The first thing asked for that a network which exists already does not have: flag, asked for, has.
    pub(crate) fn conflict(&self, params: &NetworkParams, servers: usize) -> Option<(&'static str, String, String)> {
        let differs = |flag, asked: Option<String>, has: String| {
            asked.filter(|asked| *asked != has).map(|asked| (flag, asked, has))
        };
        let stated = params.noise.guarantee;
        let of = |field: &dyn Fn(&Guarantee) -> f64| stated.as_ref().map_or("none".into(), |it| field(it).to_string());
        let replies = |field: fn(ReplyBudget) -> u16| {
            stated.and_then(|stated| stated.replies).map_or("none".into(), |replies| field(replies).to_string())
        };
        let text = |number: Option<u64>| number.map(|number| number.to_string());
        let audit = params.noise.audit.map_or("none".into(), |one_in| one_in.to_string());
        let Self { chains, chain_len, layers, verification, period, noise, slots, .. } = self;
        [
            differs("--servers", text(self.servers.map(Into::into)), servers.to_string()),
            differs("--chains", text(chains.map(Into::into)), params.chains.to_string()),
            differs("--chain-len", text(chain_len.map(Into::into)), params.chain_len.to_string()),
            differs("--layers", text(layers.map(Into::into)), params.layers.to_string()),
            differs("--verification", verification.map(|mode| mode.name().into()), params.verification.name().into()),
            differs("--period", period.map(|p| format!("{}ms", millis(p))), format!("{}ms", params.period_ms)),
            differs("--noise", text(noise.map(Into::into)), params.noise.per_chain(params.chains.into()).to_string()),
            differs("--noise-shape", self.noise_shape.map(|it| it.to_string()), params.noise.shape.to_string()),
            differs("--epsilon", self.epsilon.map(|it| it.value().to_string()), of(&|stated| stated.epsilon())),
            differs("--delta", self.delta.map(|it| it.value().to_string()), of(&|stated| stated.delta())),
            differs("--budget", text(self.budget.map(Rounds::count)), of(&|stated| stated.rounds as f64)),
            differs("--audit", text(self.audit.map(|it| it.get().into())), audit),
            differs("--reply-limits", text(self.reply_limits.map(Into::into)), replies(|it| it.limits)),
            differs("--reply-spread", text(self.reply_spread.map(Into::into)), replies(|it| it.spread)),
            differs("--slots", text(slots.map(Into::into)), params.slots.to_string()),
        ]
        .into_iter()
        .flatten()
        .next()
    }
}

/// Noise of which `per_chain` records go into each chain while all are open.
fn noise_of(per_chain: u32, chains: u16) -> Result<NoiseParams, BadParameter> {
    let records = per_chain.saturating_mul(chains.into());
    let expected = "a number that fills slots of two records in the chains together: it must be even, or the chains";
    let odd = BadParameter { field: "noise", value: per_chain.to_string(), expected };
    if records.is_multiple_of(2) { Ok(NoiseParams::uniform(records / 2)) } else { Err(odd) }
}

/// So much noise that a server that loses one record in a hundred behind the last honest mix is caught.
fn watchful_noise(honest_servers: u16, chains: u16) -> NoiseParams {
    let records = WATCHFUL_NOISE.div_ceil(honest_servers.into()) * u32::from(chains);
    NoiseParams::uniform(records.div_ceil(2))
}

/// Records that a chain has to take.
fn room(noise: NoiseParams, servers: u16) -> u32 {
    noise.most_per_chain().saturating_mul(servers.into()).saturating_add(ROOM_FOR_CLIENTS)
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Why no network has the shape that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShapeError {
    #[error(transparent)]
    Parameter(#[from] BadParameter),
    #[error(transparent)]
    Guarantee(#[from] Overstated),
    #[error("noise for --epsilon, --delta and --budget: {0}")]
    Noise(PrivacyError),
}

/// Why a network cannot be founded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoundingError {
    #[error("{} is not empty and not the directory of a network; choose a new directory", .0.display())]
    NotEmpty(PathBuf),
    #[error("cannot make {}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Network(#[from] NetworkFileError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Founds a network of `servers` servers in a directory that is new or empty; `seat` makes the seats that it registers.
pub(crate) fn found(
    dir: &NetworkDir,
    params: NetworkParams,
    servers: u16,
    keys: &KeySource,
    seat: impl FnOnce(&NetworkDir) -> Result<Vec<Registrant>, KeyFileError>,
) -> Result<Network, FoundingError> {
    make_directories(dir)?;
    let coordinator = keys.coordinator()?;
    coordinator.create(&dir.key(Node::Coordinator))?;
    let servers = (0..servers).map(|id| make_server(dir, keys, ServerId(id))).collect::<Result<Vec<_>, _>>()?;
    registry_file::save(&dir.registry(), &seat(dir)?)?;
    let entries = servers.iter().map(ServerKeys::public_entry).collect();
    let draft = DirectoryDraft { params, servers: entries, coordinator: coordinator.fingerprint().0 };
    let mut network = NetworkFile::new(draft, None);
    for server in &servers {
        network.sign(server)?;
    }
    // Last: a directory with this file is that of a network.
    network.save(&dir.network_file())?;
    Ok(Network::load(&dir.network_file())?)
}

fn make_directories(dir: &NetworkDir) -> Result<(), FoundingError> {
    let refused = |source| FoundingError::Directory { path: dir.root().to_owned(), source };
    fs::create_dir_all(dir.root()).map_err(refused)?;
    if fs::read_dir(dir.root()).map_err(refused)?.next().is_some() {
        return Err(FoundingError::NotEmpty(dir.root().to_owned()));
    }
    dir.make_rooms().map_err(refused)
}

fn make_server(dir: &NetworkDir, keys: &KeySource, id: ServerId) -> Result<ServerKeys, KeyFileError> {
    let node = Node::Server(id);
    let keys = keys.server(&node.to_string())?;
    keys.create(&dir.key(node))?;
    Ok(keys)
}

/// Key files of seats that nobody has taken.
pub(crate) fn free_seats(dir: &NetworkDir, keys: &KeySource, count: u16) -> Result<Vec<Registrant>, KeyFileError> {
    (0..count)
        .map(|number| {
            let keys = keys.client(&format!("seat-{number:04}"))?;
            keys.create(&dir.seat(number))?;
            Ok(Registrant { key: keys.public(), name: Some(keys.name().to_owned()) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use hippodrome_experiments::{
        anonymity,
        preset::{Point, Target},
    };
    use hippodrome_store::key_file::ClientKeys;

    use super::*;

    const USUAL: Usual = Usual { period: Duration::from_secs(2), noise: Some(8) };

    #[test]
    fn a_founded_network_is_signed_by_all_and_its_seats_are_registered() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let dir = NetworkDir::new(place.path().join("net"));
        let shape = Shape { servers: Some(4), ..Shape::default() };
        let params = shape.params("test", USUAL).expect("a possible network");
        let network = found(&dir, params.clone(), 4, &KeySource::System, |dir| free_seats(dir, &KeySource::System, 3))
            .expect("founded");
        assert_eq!(network.directory.params(), &params);
        assert_eq!(network.directory.servers().len(), 4);
        let registered = registry_file::load(&dir.registry()).expect("a registry");
        for (number, registrant) in (0..).zip(&registered) {
            let keys = ClientKeys::load(&dir.seat(number)).expect("the seat's key file");
            assert_eq!(keys.public(), registrant.key);
        }
        assert_eq!(registered.len(), 3);
    }

    #[test]
    fn nothing_is_founded_where_something_else_is() {
        let place = tempfile::tempdir().expect("a temporary directory");
        fs::write(place.path().join("letter.txt"), "dear").expect("written");
        let params = Shape::default().params("test", USUAL).expect("a possible network");
        let refused = found(&NetworkDir::new(place.path()), params, 6, &KeySource::System, |_| Ok(Vec::new()));
        assert!(matches!(refused, Err(FoundingError::NotEmpty(_))));
        assert_eq!(fs::read_dir(place.path()).expect("readable").count(), 1);
    }

    #[test]
    fn noise_spreads_as_it_is_asked_to() {
        let spread = noise::Shape::new(7, 2);
        let params = Shape { noise_shape: spread, ..Shape::default() }.params("test", USUAL).expect("possible");
        let usual = Shape::default().params("test", USUAL).expect("possible");
        assert_eq!((Some(params.noise.shape), params.noise.slots), (spread, usual.noise.slots));
        assert_eq!(usual.noise.shape.to_string(), "1");
        assert!(Shape { noise_shape: spread, ..Shape::default() }.conflict(&params, 6).is_none());
    }

    #[derive(Parser, Debug)]
    struct Flags {
        #[command(flatten)]
        shape: Shape,
    }

    /// The shape of the network that is founded for a point.
    fn shape_of(point: &Point) -> Shape {
        let flags = point.flags(1);
        let of_shape = flags.chunks(2).filter(|flag| !["--testbed", "--seats"].contains(&flag[0].as_str()));
        let all = ["testnet".to_owned()].into_iter().chain(of_shape.flatten().cloned());
        Flags::try_parse_from(all).expect("flags of a network").shape
    }

    #[test]
    fn experiments_attack_the_noise_of_the_networks_that_they_found() {
        let guarantee = Some(Target { epsilon: 1.5, delta: 1e-4, rounds: 100 });
        for point in [
            Point::default(),
            Point { servers: 9, chains: 4, noise: 7, slots: 2, ..Point::default() },
            Point { servers: 3, chains: 1, layers: 1, ..Point::default() },
            Point { guarantee, ..Point::default() },
            Point { servers: 20, guarantee, audit: 50, ..Point::default() },
        ] {
            let founded = shape_of(&point).params("test", USUAL).expect("a possible network");
            let attacked = anonymity::params(&point).expect("a network");
            assert_eq!(attacked.noise, founded.noise, "{point:?}");
            let relied_on = |params: &NetworkParams| (params.min_live, params.bad_servers, params.verification);
            assert_eq!(relied_on(&attacked), relied_on(&founded), "{point:?}");
        }
    }

    #[test]
    fn a_shape_that_no_network_can_have_is_refused() {
        let shape = Shape { layers: Some(1), ..Shape::default() };
        let refused = shape.params("test", USUAL).expect_err("three chains of one layer");
        assert!(matches!(refused, ShapeError::Parameter(BadParameter { field: "chains", .. })));
    }

    #[test]
    fn the_usual_noise_is_enough_to_see_one_record_in_a_hundred_missing() {
        for servers in [1, 2, 4, 6, 20, 100, 1000] {
            for chains in [1, 3, 10] {
                let shape =
                    Shape { servers: Some(servers), chains: Some(chains), chain_len: Some(1), ..Shape::default() };
                let params = shape.params("test", Usual { noise: None, ..USUAL }).expect("a possible network");
                let honest = u32::from(servers - params.bad_servers) * params.noise.per_chain(chains.into());
                assert!((-f64::from(honest) / 100.0).exp() < 0.001, "{servers} servers, {chains} chains: {honest}");
            }
        }
    }

    #[test]
    fn whatever_a_network_does_not_have_is_a_conflict() {
        let params = Shape::default().params("test", USUAL).expect("a possible network");
        assert_eq!(Shape::default().conflict(&params, 6), None);
        let same = Shape { chains: Some(3), period: Some(USUAL.period), ..Shape::default() };
        assert_eq!(same.conflict(&params, 6), None);
        let other = [
            Shape { servers: Some(7), ..Shape::default() },
            Shape { chains: Some(2), ..Shape::default() },
            Shape { chain_len: Some(2), ..Shape::default() },
            Shape { layers: Some(3), ..Shape::default() },
            Shape { verification: Some(Verification::None), ..Shape::default() },
            Shape { period: Some(USUAL.period * 2), ..Shape::default() },
            Shape { noise: Some(9), ..Shape::default() },
            Shape { noise_shape: noise::Shape::new(7, 2), ..Shape::default() },
            Shape { slots: Some(2), ..Shape::default() },
        ];
        assert!(other.iter().all(|shape| shape.conflict(&params, 6).is_some()));
    }
}
