//! One whole round of a network: coordinator, all mix servers and all clients in this process, nothing left out but the
//! links between them.
//!
//! Every machine is the one that runs in a network: keys are made and signed, noise is sent, submissions are checked at the
//! gate, inputs agreed on, every hop mixed, proved and checked by all members behind it, parcels exchanged, mailboxes
//! opened, replies sealed and handed out. The clock stands still while anybody works, so nothing is ever late.
//!
//! What is counted is the servers' and the coordinator's work, all of it: jobs by what they are for, and what machines
//! do between them (`machines`: signatures, trees over what is handed out, copies). Clients wrap and unwrap their messages in
//! this process too; that is measured apart. Bytes are those of headers and bodies as they are encoded for the wire, without
//! framing and TLS.
//!
//! Two clients meet in each mailbox. Every run is checked: each reply has to be what the partner has sent, and as many
//! proofs have to be reported as checked as the network's parameters ask for.

mod clients;
mod ledger;
mod network;
mod report;

use std::time::Duration;

use hippodrome_core::{
    noise::NoiseParams,
    params::{BadParameter, NetworkParams, Verification},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub use report::RoundReport;

use crate::hop::{MAX_THREADS, parse_verification};

use clients::Clients;
use network::Network;

/// What to measure, from the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct RoundArgs {
    /// Messages of all clients together, an even number: two meet in each mailbox.
    #[arg(long, default_value_t = 20_000)]
    pub messages: usize,
    /// Layers of chains.
    #[arg(long, default_value_t = 2)]
    pub layers: u8,
    /// Chains in each layer.
    #[arg(long, default_value_t = 3)]
    pub chains: u16,
    /// Servers in a chain.
    #[arg(long, default_value_t = 3)]
    pub chain_len: u8,
    /// Servers.
    #[arg(long, default_value_t = 6)]
    pub servers: u16,
    /// Slots of noise, two records each, of every server. Noise is mixed like messages, and its cost is shared by these.
    #[arg(long, default_value_t = 8)]
    pub noise: u32,
    /// How the hops are verified: full, aggregate or none.
    #[arg(long, default_value = "full", value_parser = parse_verification)]
    pub verification: Verification,
    /// Threads that work on it.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Rounds that the medians are taken over; one more comes before them.
    #[arg(long, default_value_t = 3)]
    pub repeats: usize,
    /// Print one JSON object in place of the table.
    #[arg(long)]
    pub json: bool,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// Messages meet in pairs.
    #[error("--messages is {0}: an even number from 2 to 2^22 is needed, since two meet in each mailbox")]
    Messages(usize),
    /// No pool has so many threads.
    #[error("--threads is {0}: between 1 and {MAX_THREADS} are possible")]
    Threads(usize),
    /// Nothing to take a median over.
    #[error("--repeats is 0: at least one round is needed")]
    NoRepeats,
    /// There is no such network.
    #[error("there is no such network: {0}")]
    Params(#[from] BadParameter),
    /// The threads could not be started.
    #[error("cannot start the threads: {0}")]
    Pool(#[from] rayon::ThreadPoolBuildError),
    /// The network does not do what it is there for.
    #[error("the round is wrong: {0}")]
    Wrong(String),
}

/// Most messages of a round: onions and what opens their replies are all in memory.
const MAX_MESSAGES: usize = 1 << 22;

/// Measures what the command line asks for.
pub fn run_round(args: &RoundArgs) -> Result<RoundReport, RoundError> {
    if !args.messages.is_multiple_of(2) || !(2..=MAX_MESSAGES).contains(&args.messages) {
        return Err(RoundError::Messages(args.messages));
    }
    if !(1..=MAX_THREADS).contains(&args.threads) {
        return Err(RoundError::Threads(args.threads));
    }
    if args.repeats == 0 {
        return Err(RoundError::NoRepeats);
    }
    let params = params(args);
    params.check(args.servers.into())?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build()?;
    pool.install(|| {
        let mut rng = ChaCha20Rng::from_rng(&mut rand::rng());
        let clients = Clients::new(args.messages, &mut rng);
        let mut network = Network::new(params, args.servers, clients, &mut rng)?;
        // The first round derives what is derived once, and founds the epoch. Its memory is what counts: later rounds find
        // what earlier ones have given back to the allocator, and take no more from the system.
        let first = network.play_round()?;
        let rounds = (0..args.repeats).map(|_| network.play_round()).collect::<Result<Vec<_>, _>>()?;
        Ok(RoundReport::new(args, &rounds, first.peak_bytes))
    })
}

/// Milliseconds from one round to the next. Nobody works while the clock runs, so any period does.
const PERIOD: Duration = Duration::from_secs(4);

fn params(args: &RoundArgs) -> NetworkParams {
    let bad_servers = (args.servers.max(1) - 1) / 3;
    let period_ms = PERIOD.as_millis() as u64;
    NetworkParams {
        name: "bench".into(),
        chains: args.chains,
        chain_len: args.chain_len,
        layers: args.layers,
        verification: args.verification,
        slots: clients::slots_of(args.messages),
        noise: NoiseParams::uniform(args.noise),
        period_ms,
        collect_ms: period_ms / 2,
        deadline_ms: period_ms,
        max_batch: 1 << 24,
        bad_servers,
        min_live: args.servers,
        failure_bits: 0,
        epoch_ms: 1 << 40,
    }
}

#[cfg(test)]
mod tests;
