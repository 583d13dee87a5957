//! What came of it.

use std::fmt;

use serde::Serialize;

/// What a fault has led to.
#[derive(Clone, Debug, Serialize)]
pub struct FaultReport {
    /// What happened, to whom.
    pub fault: String,
    /// When, in seconds from the beginning.
    pub at_s: f64,
    /// Rounds that the coordinator gave up from then until it was overcome.
    pub rounds_failed: u64,
    /// Rounds in flight when the coordinator was killed: they have no end.
    pub rounds_lost: u64,
    /// Seconds from the fault until a round completed again; none if none did.
    pub next_round_s: Option<f64>,
    /// The longest time without a completed round from before the fault until it was overcome, in seconds.
    pub longest_gap_s: Option<f64>,
    /// What changed in who takes part, change by change.
    pub membership: Vec<String>,
    /// Texts delivered so far.
    pub delivered: usize,
    /// What is wrong.
    pub problem: Option<String>,
}

impl FaultReport {
    /// The head of a table of such reports.
    pub const HEAD: &str = "fault                      at s  failed  lost  next s   gap s  texts  who takes part";
}

impl fmt::Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |span: Option<f64>| span.map_or("never".to_owned(), |seconds| format!("{seconds:.1}"));
        let (next, gap) = (seconds(self.next_round_s), seconds(self.longest_gap_s));
        let Self { fault, at_s, rounds_failed, rounds_lost, delivered, membership, .. } = self;
        let membership = if membership.is_empty() { "as before".to_owned() } else { membership.join(", ") };
        write!(
            f,
            "{fault:<24} {at_s:>6.1} {rounds_failed:>7} {rounds_lost:>5} {next:>7} {gap:>7} {delivered:>6}  {membership}"
        )?;
        self.problem.as_ref().map_or(Ok(()), |problem| write!(f, "\n    WRONG: {problem}"))
    }
}

/// What came of the whole trial.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What chose instants and texts.
    pub seed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Fault by fault.
    pub faults: Vec<FaultReport>,
    /// Rounds completed.
    pub rounds_completed: u64,
    /// Rounds that the coordinator gave up.
    pub rounds_failed: u64,
    /// Rounds in flight when the coordinator was killed.
    pub rounds_lost: u64,
    /// Texts typed by both people.
    pub texts_said: usize,
    /// Texts that came, doubled ones counted twice.
    pub texts_delivered: usize,
    /// Texts that needed several frames.
    pub texts_longer_than_a_frame: usize,
    /// All that is wrong.
    pub problems: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed           {}", self.seed)?;
        writeln!(f, "faults         {} in {:.0} s", self.faults.len(), self.seconds)?;
        let Self { rounds_completed, rounds_failed, rounds_lost, .. } = self;
        writeln!(f, "rounds         {rounds_completed} completed, {rounds_failed} failed, {rounds_lost} lost")?;
        let Self { texts_said, texts_delivered, texts_longer_than_a_frame: long, .. } = self;
        writeln!(f, "texts          {texts_said} said ({long} longer than a frame), {texts_delivered} delivered")?;
        if self.is_good() {
            return write!(f, "nothing is lost, doubled or out of order, and rounds went on after every fault");
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "WRONG          {problem}"))
    }
}
