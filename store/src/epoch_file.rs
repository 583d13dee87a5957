//! The file in which a coordinator keeps its epoch, so that it goes on with the same one after a restart.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use hippodrome_core::coordinator::CoordinatorState;
use hippodrome_proto::{convert::WireError, kept};

use crate::file::{self, ReadError, Source, WriteError};

/// The file in the state directory.
const FILE: &str = "epoch.hex";
/// Longest file: the largest registry, and the servers, in two digits a byte.
const MAX_LEN: u64 = 2 << 30;
/// Nothing in an epoch is secret.
const MODE: u32 = 0o644;

/// Why what was kept is refused.
#[derive(Debug, thiserror::Error)]
pub enum EpochFileError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file is damaged.
    #[error("{} is damaged: {source}; restore it from a copy, since servers refuse an epoch that does not follow", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Reads what was kept in a state directory; none if nothing ever was.
pub fn load(state_dir: &Path) -> Result<Option<CoordinatorState>, EpochFileError> {
    let path = state_dir.join(FILE);
    let source = match Source::open(&path, "a coordinator's epoch") {
        Err(ReadError::Missing { .. }) => return Ok(None),
        opened => opened?,
    };
    let damaged = |source| EpochFileError::Damaged { path: path.clone(), source };
    let text = source.read(MAX_LEN)?;
    let bytes = HEXLOWER.decode(text.trim_end().as_bytes()).map_err(|error| damaged(error.into()))?;
    kept::decode_state(&bytes).map(Some).map_err(|error: WireError| damaged(error.into()))
}

/// Keeps a state in place of what was kept before; returns when it is on the disk.
pub fn save(state_dir: &Path, state: &CoordinatorState) -> Result<(), WriteError> {
    let text = HEXLOWER.encode(&kept::encode_state(state)) + "\n";
    file::replace(&state_dir.join(FILE), MODE, &text)
}
