//! What rounds cost a server, part by part, written down for whoever measures.
//!
//! How long a job takes and how many bytes a batch has tells how many take part, so no node of a network that people use
//! may keep a ledger: a server opens one only in a network whose directory, which everybody who takes part has, carries
//! the name [`TESTBED`].

use std::{
    collections::BTreeMap,
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hippodrome_core::{
    ids::{Round, Stage},
    message::Message,
    mixer::Job,
    params::NetworkParams,
};
use hippodrome_proto::convert::{encoded_len, kind_name};

/// The name that a network has if its servers may keep ledgers.
pub const TESTBED: &str = "testbed";

/// The columns of a ledger: round; `job`, `sent` or `received`; the job's purpose or the message's kind; layer and chain
/// of a job, empty if it is for no chain; how many there were; microseconds from the first one's start to the last one's
/// end, and microseconds in all of them; bytes of messages.
pub const COLUMNS: &str = "round,what,name,layer,chain,times,span_us,busy_us,bytes";

/// Rounds that are kept in memory; the oldest is written when there are more, whether it is over or not.
const MAX_ROUNDS: usize = 64;

/// Why a server keeps no ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The network is not for measuring.
    #[error(
        "a ledger tells how many take part, so there is none in the network \"{0}\": only one named \"{TESTBED}\" has \
         ledgers (`hippodrome testnet up --testbed` founds one)"
    )]
    NotATestbed(String),
    /// The file.
    #[error("cannot write the ledger {}: {source}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
}

/// When a job ran.
#[derive(Debug)]
pub(crate) struct Spell {
    round: Round,
    purpose: &'static str,
    stage: Option<Stage>,
    began: Instant,
    ended: Instant,
}

/// A job that is under way.
pub(crate) struct Timer {
    round: Round,
    purpose: &'static str,
    stage: Option<Stage>,
    began: Instant,
}

impl Timer {
    pub(crate) fn start(job: &Job) -> Self {
        Self { round: job.round(), purpose: job.purpose(), stage: job.stage(), began: Instant::now() }
    }

    pub(crate) fn stop(self) -> Spell {
        let Self { round, purpose, stage, began } = self;
        Spell { round, purpose, stage, began, ended: Instant::now() }
    }
}

/// What is added up by itself.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    what: &'static str,
    name: &'static str,
    /// Layer and chain.
    place: Option<(u8, u16)>,
}

/// Sums of one item in one round.
#[derive(Debug)]
struct Sum {
    times: u64,
    span: Option<(Instant, Instant)>,
    busy: Duration,
    bytes: u64,
}

type Page = BTreeMap<Item, Sum>;

/// The ledger of a server.
pub(crate) struct Ledger {
    file: BufWriter<File>,
    pages: BTreeMap<Round, Page>,
}

impl Ledger {
    /// Begins a file, or goes on with one.
    pub(crate) fn create(path: &Path, params: &NetworkParams) -> Result<Self, LedgerError> {
        if params.name != TESTBED {
            return Err(LedgerError::NotATestbed(params.name.clone()));
        }
        let refused = |source| LedgerError::File { path: path.to_owned(), source };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(refused)?;
        let is_new = file.metadata().map_err(refused)?.len() == 0;
        let mut file = BufWriter::new(file);
        if is_new {
            writeln!(file, "{COLUMNS}").and_then(|()| file.flush()).map_err(refused)?;
        }
        Ok(Self { file, pages: BTreeMap::new() })
    }

    /// A job has ended.
    pub(crate) fn job(&mut self, spell: &Spell) {
        let place = spell.stage.map(|stage| (stage.layer.0, stage.chain.0));
        let sum = self.sum(spell.round, Item { what: "job", name: spell.purpose, place });
        sum.times += 1;
        sum.busy += spell.ended - spell.began;
        let (began, ended) = sum.span.unwrap_or((spell.began, spell.ended));
        sum.span = Some((began.min(spell.began), ended.max(spell.ended)));
    }

    /// A message leaves.
    pub(crate) fn sent(&mut self, message: &Message) {
        self.message("sent", message);
    }

    /// A message has come.
    pub(crate) fn received(&mut self, message: &Message) {
        self.message("received", message);
    }

    fn message(&mut self, what: &'static str, message: &Message) {
        let Some(round) = message.round() else { return };
        let sum = self.sum(round, Item { what, name: kind_name(message), place: None });
        sum.times += 1;
        sum.bytes += encoded_len(message) as u64;
    }

    fn sum(&mut self, round: Round, item: Item) -> &mut Sum {
        let nothing = || Sum { times: 0, span: None, busy: Duration::ZERO, bytes: 0 };
        self.pages.entry(round).or_default().entry(item).or_insert_with(nothing)
    }

    /// A round is over: its page is written, and what comes of it afterwards makes another one.
    pub(crate) fn over(&mut self, round: Round) -> io::Result<()> {
        if let Some(page) = self.pages.remove(&round) {
            self.write(round, &page)?;
        }
        while self.pages.len() > MAX_ROUNDS {
            let (round, page) = self.pages.pop_first().expect("there are more than none");
            self.write(round, &page)?;
        }
        Ok(())
    }

    /// Writes what is left: rounds that are not over when the server stops.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        std::mem::take(&mut self.pages).iter().try_for_each(|(round, page)| self.write(*round, page))
    }

    /// Whole pages only, so that a reader never sees half of one but at the very end.
    fn write(&mut self, round: Round, page: &Page) -> io::Result<()> {
        for (item, sum) in page {
            writeln!(self.file, "{},{item},{sum}", round.0)?;
        }
        self.file.flush()
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, name, place } = self;
        match place {
            Some((layer, chain)) => write!(f, "{what},{name},{layer},{chain}"),
            None => write!(f, "{what},{name},,"),
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.span.map_or(Duration::ZERO, |(began, ended)| ended - began);
        write!(f, "{},{},{},{}", self.times, span.as_micros(), self.busy.as_micros(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hippodrome_core::{
        ids::{ChainId, Layer, RosterId},
        message::{Hello, ShareCall},
        noise::NoiseParams,
        params::Verification,
    };

    use super::*;

    fn params(name: &str) -> NetworkParams {
        NetworkParams {
            name: name.to_owned(),
            chains: 1,
            chain_len: 1,
            layers: 1,
            verification: Verification::Full,
            slots: 1,
            noise: NoiseParams::NONE,
            period_ms: 1_000,
            collect_ms: 500,
            deadline_ms: 3_000,
            max_batch: 100,
            bad_servers: 0,
            min_live: 1,
            failure_bits: 0,
            epoch_ms: 60_000,
        }
    }

    fn spell(round: u64, from_us: u64, until_us: u64, zero: Instant) -> Spell {
        let stage = Some(Stage { round: Round(round), layer: Layer(1), chain: ChainId(2) });
        let at = |us| zero + Duration::from_micros(us);
        Spell { round: Round(round), purpose: "mix", stage, began: at(from_us), ended: at(until_us) }
    }

    #[test]
    fn a_network_that_people_may_use_has_no_ledgers() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("ledger.csv");
        for name in ["testnet", "demo", "Testbed", ""] {
            assert!(matches!(Ledger::create(&path, &params(name)), Err(LedgerError::NotATestbed(_))), "{name}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_page_has_the_sums_of_its_round_and_comes_when_that_is_over() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("ledger.csv");
        let mut ledger = Ledger::create(&path, &params(TESTBED)).expect("a ledger");
        let zero = Instant::now();
        ledger.job(&spell(7, 100, 300, zero));
        ledger.job(&spell(7, 250, 900, zero));
        ledger.job(&spell(8, 0, 5, zero));
        let call = Message::ShareCall(ShareCall { round: Round(7) });
        ledger.sent(&call);
        ledger.received(&call);
        ledger.sent(&Message::Hello(Hello { address: "a:1".into(), roster: RosterId { epoch: 0, amendment: 0 } }));
        let text = || fs::read_to_string(&path).expect("a file");
        assert_eq!(text(), format!("{COLUMNS}\n"));
        ledger.over(Round(7)).expect("written");
        let bytes = encoded_len(&call);
        let lines = [
            COLUMNS.to_owned(),
            "7,job,mix,1,2,2,800,850,0".to_owned(),
            format!("7,received,ShareCall,,,1,0,0,{bytes}"),
            format!("7,sent,ShareCall,,,1,0,0,{bytes}"),
        ];
        assert_eq!(text().lines().collect::<Vec<_>>(), lines);
        ledger.close().expect("written");
        assert_eq!(text().lines().last(), Some("8,job,mix,1,2,1,5,5,0"));
        // Whoever starts again goes on with the file.
        drop(Ledger::create(&path, &params(TESTBED)).expect("a ledger"));
        assert_eq!(text().lines().count(), lines.len() + 1);
    }

    #[test]
    fn rounds_that_never_end_do_not_fill_the_memory() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("ledger.csv");
        let mut ledger = Ledger::create(&path, &params(TESTBED)).expect("a ledger");
        let zero = Instant::now();
        (0..3 * MAX_ROUNDS as u64).for_each(|round| ledger.job(&spell(round, 0, 1, zero)));
        ledger.over(Round(u64::MAX)).expect("written");
        assert_eq!(ledger.pages.len(), MAX_ROUNDS);
    }
}
