//! Thousands of clients in one process: pairs who talk with each other, and others with nobody to talk to.
//!
//! All of them are clients as people have them, down to the ratchet of each conversation; only what they say is written
//! beforehand, by a seed, and nothing of them is kept on disk.

mod talker;
mod tally;

use std::{
    collections::VecDeque,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use hippodrome_client::{swarm::Swarm, uplink::Uplink};
use hippodrome_core::{
    epoch::Epoch,
    marks::{Marks, MemoryMarks},
};
use hippodrome_crypto::{hash::Digest, signing::SigningKey};
use hippodrome_store::{
    key_file::{ClientKeys, KeyFileError},
    network_file::{Network, NetworkFileError},
};
use tokio::time::{sleep, timeout};

use self::{
    talker::{Alone, Talker, pair},
    tally::Tally,
};
use super::place;
use crate::{preset::Point, seeds::Seed};

/// What a crowd prints when its warm-up is over.
pub const WARM: &str = "warm";
/// What it prints when all rounds are.
pub const DONE: &str = "done";

/// How long a connection and an epoch may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what has come.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A crowd, and how long it stays.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// The network's directory: its file, where the coordinator is, the seats.
    pub network: PathBuf,
    /// Pairs who talk; each takes two seats.
    pub pairs: usize,
    /// Rounds that are not counted, until everything runs.
    pub warm_up: usize,
    /// Rounds that are counted.
    pub rounds: usize,
    /// How long a round may take to come back, the first one and any other.
    pub patience: Duration,
    /// Of what is said.
    pub seed: u64,
    /// Where what came back is written: `rounds.csv` and `texts.csv`.
    pub out: PathBuf,
}

/// Why a crowd goes home.
#[derive(Debug, thiserror::Error)]
pub enum CrowdError {
    /// The network file.
    #[error(transparent)]
    Network(#[from] NetworkFileError),
    /// A seat.
    #[error(transparent)]
    Seat(#[from] KeyFileError),
    /// A file or directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// There are fewer seats than people.
    #[error("{seats} seats are too few for {pairs} pairs; found the network with more (`testnet up --seats N`)")]
    Seats {
        /// Seats of the network.
        seats: usize,
        /// Pairs that are wanted.
        pairs: usize,
    },
    /// The coordinator cannot be asked.
    #[error("the coordinator at {address}: {why}")]
    Coordinator {
        /// Where it is said to be.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// A client cannot go on.
    #[error(transparent)]
    Session(#[from] hippodrome_client::session::SessionError),
    /// The network has changed what was said.
    #[error("{wrong} texts arrived that nobody had said: this is a bug")]
    Garbled {
        /// How many.
        wrong: u64,
    },
    /// Nothing comes back.
    #[error("{done} of {wanted} rounds came back, and then none for {} s", patience.as_secs_f64())]
    Late {
        /// Rounds that did.
        done: usize,
        /// Rounds that were to.
        wanted: usize,
        /// How long was waited.
        patience: Duration,
    },
}

impl Crowd {
    /// Takes part until there are rounds enough, and writes down what came back. `tell` hears of the last round of the
    /// warm-up, and of the last one of all, as they come.
    pub async fn run(&self, mut tell: impl FnMut(Told)) -> Result<(), CrowdError> {
        let network = Network::load(&self.network.join("network.toml"))?;
        let directory = Arc::new(network.directory);
        let keys = self.seats()?;
        let address = place::coordinator(&self.network).map_err(|(path, source)| CrowdError::File { path, source })?;
        let unreachable = |why: String| CrowdError::Coordinator { address: address.clone(), why };
        let connected = timeout(PATIENCE, Uplink::connect(Arc::clone(&directory), &address)).await;
        let uplink = connected.map_err(|late| unreachable(late.to_string()))?;
        let uplink = uplink.map_err(|error| unreachable(error.to_string()))?;
        let epoch = timeout(PATIENCE, first_epoch(&uplink)).await;
        let epoch = epoch.map_err(|late| unreachable(late.to_string()))?.map_err(unreachable)?;

        let tally = Tally::new(directory.params(), &epoch, keys.len());
        let mut swarm = Swarm::new(uplink);
        let texts = self.seat_all(&mut swarm, keys, directory.id(), &epoch, &tally);
        let played = tokio::select! {
            ended = swarm.ended() => Err(ended.and_then(Result::err).map_or(CrowdError::Late {
                done: 0,
                wanted: self.rounds,
                patience: self.patience,
            }, Into::into)),
            counted = self.count(&tally, &mut tell) => counted,
        };
        drop(swarm);
        played?;
        self.write("rounds.csv", |file| tally.write(file, self.warm_up, self.rounds))?;
        self.write("texts.csv", |file| talker::write(file, &texts))?;
        match talker::wrong(&texts) {
            0 => Ok(()),
            wrong => Err(CrowdError::Garbled { wrong }),
        }
    }

    fn seats(&self) -> Result<VecDeque<SigningKey>, CrowdError> {
        let seats = self.network.join("seats");
        let refused = |source| CrowdError::File { path: seats.clone(), source };
        let mut files: Vec<PathBuf> = fs::read_dir(&seats)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(refused)?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "key"));
        files.sort();
        if files.len() < 2 * self.pairs {
            return Err(CrowdError::Seats { seats: files.len(), pairs: self.pairs });
        }
        files.iter().map(|file| Ok(ClientKeys::load(file)?.signing_key())).collect()
    }

    /// Gives everybody a seat, those who talk first.
    fn seat_all(
        &self,
        swarm: &mut Swarm,
        mut keys: VecDeque<SigningKey>,
        network: &Digest,
        epoch: &Epoch,
        tally: &Tally,
    ) -> Vec<Arc<talker::Texts>> {
        let (seed, mut texts) = (Seed::master(self.seed), Vec::new());
        let marks = || Marks::new(Box::new(MemoryMarks::default()));
        for number in 0..self.pairs {
            for (side, conversation) in pair(&seed, number, network, epoch).into_iter().enumerate() {
                let talker = Talker::new(&seed, number, side, conversation, tally.clone());
                texts.push(talker.texts());
                let key = keys.pop_front().expect("there are seats for all pairs");
                swarm.add(key, marks(), talker);
            }
        }
        keys.into_iter().for_each(|key| swarm.add(key, marks(), Alone::new(tally.clone())));
        texts
    }

    /// Waits for all rounds.
    async fn count(&self, tally: &Tally, tell: &mut impl FnMut(Told)) -> Result<(), CrowdError> {
        let wanted = self.warm_up + self.rounds;
        let (mut done, mut last) = (0, Instant::now());
        while done < wanted {
            sleep(LOOK_AGAIN).await;
            let now = tally.ended();
            if now == done && last.elapsed() > self.patience {
                return Err(CrowdError::Late { done, wanted, patience: self.patience });
            }
            if now > done {
                if done < self.warm_up && now >= self.warm_up {
                    tell(Told::Warm);
                }
                (done, last) = (now, Instant::now());
            }
        }
        tell(Told::Done);
        Ok(())
    }

    fn write(&self, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CrowdError> {
        let path = self.out.join(name);
        let written = create(&path).and_then(|mut file| {
            write(&mut file)?;
            file.flush()
        });
        written.map_err(|source| CrowdError::File { path, source })
    }
}

fn create(path: &Path) -> io::Result<io::BufWriter<fs::File>> {
    Ok(io::BufWriter::new(fs::File::create(path)?))
}

/// The first epoch, once there is one.
async fn first_epoch(uplink: &Uplink) -> Result<Arc<Epoch>, String> {
    loop {
        match uplink.epoch().await {
            Ok(Some(epoch)) => return Ok(epoch),
            Ok(None) => sleep(LOOK_AGAIN).await,
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// What a crowd tells while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The last round of the warm-up has come back.
    Warm,
    /// The last of all has.
    Done,
}

/// What the pairs of a point say to each other, in order; how far they get is another matter.
pub fn script(seed: u64, point: &Point) -> String {
    let seed = Seed::master(seed);
    let mut lines = "pair,side,text,words\n".to_owned();
    let texts = (point.warm_up + point.rounds) as u64;
    for pair in 0..usize::from(point.pairs) {
        for side in 0..2 {
            for number in 0..texts {
                let words = talker::text(&seed, pair, side, number);
                lines.push_str(&format!("{pair},{side},{number},{words}\n"));
            }
        }
    }
    lines
}
