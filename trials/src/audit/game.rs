//! The game in a network of real processes.

use std::{fs, path::PathBuf, sync::Arc, time::Instant};

use hippodrome_client::{swarm::Swarm, uplink::Uplink};
use hippodrome_core::marks::{Marks, MemoryMarks};
use hippodrome_privacy::attack::Round;
use hippodrome_store::{key_file::ClientKeys, network_file::Network};

use super::{
    Game, Options,
    script::{Actor, Coins, Whole},
    witness::{self, Notes},
};
use crate::{LOOK_AGAIN, TrialError, binary::Binary, testnet::Testnet};

/// Those who talk.
const CLIENTS: usize = 2;

/// Runs a network of witnesses until there are rounds enough; `tell` hears how many there are.
pub fn play(binary: &Binary, options: &Options, mut tell: impl FnMut(usize)) -> Result<Game, TrialError> {
    let seats = CLIENTS.to_string();
    let flags: Vec<&str> = options.shape.iter().map(String::as_str).chain(["--seats", &seats]).collect();
    let net = Testnet::up(binary, &options.dir, &flags)?;
    let unreadable = |what: &str, error: &dyn std::error::Error| TrialError::Process {
        what: what.to_owned(),
        source: std::io::Error::other(error.to_string()),
    };
    let network = Network::load(&net.dir().join("network.toml")).map_err(|error| unreadable("the network", &error))?;
    let (directory, notes) = (Arc::new(network.directory), Notes::default());
    let params = directory.params().clone();
    let servers = (0..directory.servers().len()).map(|id| format!("server-{id}"));
    let witnesses: Result<Vec<_>, _> =
        servers.map(|server| witness::replace(&net, &options.mutant, &server, &notes)).collect();
    let _witnesses = witnesses?;

    let runtime = tokio::runtime::Runtime::new().map_err(|error| unreadable("the clients", &error))?;
    let address = net.dir().join("coordinator.address");
    let address = fs::read_to_string(&address).map_err(|source| TrialError::File { path: address, source })?;
    let uplink = runtime.block_on(Uplink::connect(Arc::clone(&directory), address.trim()));
    let uplink = uplink.map_err(|error| unreadable("the clients", &error))?;
    let (coins, whole) = (Coins::new(options.seed), Whole::default());
    let mut swarm = Swarm::new(uplink);
    {
        let _inside = runtime.enter();
        for (number, seat) in seat_keys(&net)?.into_iter().take(CLIENTS).enumerate() {
            let keys = ClientKeys::load(&seat).map_err(|error| unreadable("a seat", &error))?;
            let actor = Actor { number, slots: params.slots, coins: coins.clone(), whole: whole.clone() };
            swarm.add(keys.signing_key(), Marks::new(Box::new(MemoryMarks::default())), actor);
        }
    }
    let mut last = Instant::now();
    let mut rounds: Vec<Round> = Vec::new();
    while rounds.len() < options.rounds {
        if last.elapsed() > options.patience {
            return Err(TrialError::Late { what: "a round of the game".into(), patience: options.patience });
        }
        std::thread::sleep(LOOK_AGAIN);
        let seen = collect(&notes, &whole, &coins, params.chains.into());
        if !seen.is_empty() {
            last = Instant::now();
            rounds.extend(seen);
            tell(rounds.len());
        }
    }
    rounds.truncate(options.rounds);
    Ok(Game { params, rounds })
}

/// The rounds that are complete by now, once each.
fn collect(notes: &Notes, whole: &Whole, coins: &Coins, chains: usize) -> Vec<Round> {
    let mut notes = notes.lock();
    let complete = notes.extract_if(.., |round, seen| seen.len() == chains && whole.has(*round, CLIENTS));
    let of = |(round, seen): (hippodrome_core::ids::Round, std::collections::BTreeMap<_, (i64, i64)>)| {
        let (once, twice) = seen.values().fold((0, 0), |sum, seen| (sum.0 + seen.0, sum.1 + seen.1));
        // Noise of which half of the slots is shared, and clients half of whose slots talk, make 0 of this.
        Round { count: 4 * twice - (once + 2 * twice), talks: coins.talks(round) }
    };
    complete.map(of).collect()
}

fn seat_keys(net: &Testnet) -> Result<Vec<PathBuf>, TrialError> {
    let seats = net.dir().join("seats");
    let refused = |source| TrialError::File { path: seats.clone(), source };
    let mut keys = fs::read_dir(&seats)
        .map_err(refused)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(refused)?;
    keys.retain(|path| path.extension().is_some_and(|extension| extension == "key"));
    keys.sort();
    Ok(keys)
}
