//! What servers have written down of their rounds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use serde::{Deserialize, Serialize};

/// Sums over servers and rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledgers {
    /// Rounds that were counted.
    pub rounds: usize,
    /// Seconds in jobs of a purpose.
    pub busy_s: BTreeMap<String, f64>,
    /// Bytes of messages of a kind that were sent.
    pub sent_bytes: BTreeMap<String, u64>,
    /// Bytes of messages of a kind that came.
    pub received_bytes: BTreeMap<String, u64>,
}

impl Ledgers {
    /// Adds up the ledgers of a directory, those of the given rounds only.
    pub fn read(dir: &Path, rounds: &BTreeSet<u64>) -> io::Result<Self> {
        let mut all = Self { rounds: rounds.len(), ..Self::default() };
        for entry in fs::read_dir(dir)? {
            let text = fs::read_to_string(entry?.path())?;
            text.lines().skip(1).filter_map(Line::parse).filter(|line| rounds.contains(&line.round)).for_each(|line| {
                match line.what {
                    "job" => *all.busy_s.entry(line.name.into()).or_default() += line.busy_us as f64 / 1e6,
                    "sent" => *all.sent_bytes.entry(line.name.into()).or_default() += line.bytes,
                    _ => *all.received_bytes.entry(line.name.into()).or_default() += line.bytes,
                }
            });
        }
        Ok(all)
    }

    /// Bytes that servers sent in a round, on the average.
    pub fn sent_per_round(&self) -> f64 {
        self.sent_bytes.values().sum::<u64>() as f64 / self.rounds.max(1) as f64
    }
}

/// A line of a ledger.
struct Line<'a> {
    round: u64,
    what: &'a str,
    name: &'a str,
    busy_us: u64,
    bytes: u64,
}

impl<'a> Line<'a> {
    /// None for a line that is not whole: a server may have been killed while it wrote.
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let [round, what, name, _, _, _, _, busy_us, bytes] = fields[..] else { return None };
        let number = |text: &str| text.parse().ok();
        Some(Self { round: number(round)?, what, name, busy_us: number(busy_us)?, bytes: number(bytes)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_the_wanted_rounds_are_added_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let lines = "3,job,mix,0,1,2,900,800,0\n3,sent,Batch,,,2,0,0,500\n3,received,Batch,,,1,0,0,7\n";
        let text =
            format!("{}\n2,job,mix,0,1,2,900,800,0\n{lines}3,sent,Batch,,,2,0,", hippodrome_mixnode::LEDGER_COLUMNS);
        fs::write(dir.path().join("server-0.csv"), &text).expect("written");
        fs::write(dir.path().join("server-1.csv"), format!("{}\n{lines}", hippodrome_mixnode::LEDGER_COLUMNS))
            .expect("written");
        let ledgers = Ledgers::read(dir.path(), &[3].into()).expect("read");
        assert_eq!(ledgers.busy_s, [("mix".to_owned(), 0.0016)].into());
        assert_eq!(ledgers.sent_bytes, [("Batch".to_owned(), 1000)].into());
        assert_eq!(ledgers.received_bytes, [("Batch".to_owned(), 14)].into());
        assert_eq!(ledgers.sent_per_round(), 1000.0);
    }
}
