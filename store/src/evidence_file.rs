//! Files of evidence: what a node keeps against somebody, and what anyone who has the network file can check.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use hippodrome_core::{evidence::Case, ids::Author};
use hippodrome_proto::convert::{CaseFileError, decode_case, encode_case};

use crate::file::{self, ReadError, Source, WriteError};

/// The directory in the state directory.
const DIRECTORY: &str = "evidence";
/// Files that a node keeps at most, so that nobody fills its disk.
const MOST: usize = 256;
/// Longest file: the largest registry, and what a server takes as one message.
const MAX_LEN: u64 = 2 << 30;
/// Evidence is for everybody.
const MODE: u32 = 0o644;

/// Why evidence is not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// There is enough of it.
    #[error("{} has {MOST} files already; move them elsewhere to make room", directory.display())]
    Full {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory cannot be made or read.
    #[error("cannot use {}: {source}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a file is refused as evidence, before it is judged.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceFileError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It holds no case.
    #[error("{}: {source}", path.display())]
    Case {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CaseFileError,
    },
}

/// The evidence that a node keeps in its state directory.
#[derive(Debug)]
pub struct EvidenceDir(PathBuf);

impl EvidenceDir {
    /// The evidence in a state directory, which need not hold any yet.
    pub fn of(state_dir: &Path) -> Self {
        Self(state_dir.join(DIRECTORY))
    }

    /// Keeps a case against these, and gives its file: whole and on the disk, or not at all. One case about the same
    /// round against the same first one is enough.
    pub fn keep(&self, case: &Case, guilty: &BTreeSet<Author>) -> Result<PathBuf, KeepError> {
        let path = self.0.join(file_name(case, guilty));
        if path.exists() {
            return Ok(path);
        }
        let refused = |source| KeepError::Directory { directory: self.0.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(refused)?;
        if fs::read_dir(&self.0).map_err(refused)?.count() >= MOST {
            return Err(KeepError::Full { directory: self.0.clone() });
        }
        match file::create(&path, MODE, encode_case(case)) {
            Ok(()) | Err(WriteError::Exists { .. }) => Ok(path),
            Err(error) => Err(error.into()),
        }
    }

    /// How many files there are against servers, less those moved elsewhere; none if the directory cannot be read.
    pub fn against_servers(&self) -> usize {
        let names = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_str().is_some_and(is_against_server)).count()
    }
}

/// Whether a name is one that [`file_name`] gives evidence against a server.
fn is_against_server(name: &str) -> bool {
    let numbers = name.strip_prefix("round-").and_then(|rest| rest.strip_suffix(".evidence"));
    numbers.and_then(|rest| rest.split_once("-server-")).is_some()
}

/// For example `round-17-server-3.evidence`. A server comes before all clients: any number of them can be somebody's.
fn file_name(case: &Case, guilty: &BTreeSet<Author>) -> String {
    let round = case.round.0;
    let is_server = |author: &&Author| matches!(author, Author::Server(_));
    match guilty.iter().find(is_server).or(guilty.first()) {
        Some(Author::Server(server)) => format!("round-{round}-server-{}.evidence", server.0),
        Some(Author::Client(client)) => format!("round-{round}-client-{}.evidence", client.0),
        None => format!("round-{round}.evidence"),
    }
}

/// Reads a file of evidence. What it is worth, [`Case::verify`] says.
pub fn load(path: &Path) -> Result<Case, EvidenceFileError> {
    let bytes = Source::open(path, "a file of evidence")?.read_bytes(MAX_LEN)?;
    decode_case(&bytes).map_err(|source| EvidenceFileError::Case { path: path.to_owned(), source })
}
