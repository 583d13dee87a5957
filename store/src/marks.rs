//! Durable marks in a small database: one table, one commit to the disk for each mark.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use hippodrome_core::marks::{MarkStore, StoreError};
use redb::{Database, DatabaseError, Durability, TableDefinition};

const MARKS: TableDefinition<'_, u64, u64> = TableDefinition::new("marks");
/// The file in the state directory.
const FILE: &str = "marks.redb";

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MarksError {
    /// Another process has it open. Two processes that act as one party would act twice.
    #[error(
        "another process uses the state directory {}; each node needs its own, and must run only once",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be made.
    #[error("cannot make the state directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database in it cannot be used. Marks must not be forgotten, so nothing is made anew in its place.
    #[error("cannot use {}: {source}; marks keep a node from acting twice, so the file is not replaced", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: Box<redb::Error>,
    },
}

/// The marks of one party, in a state directory that no other process can open meanwhile.
pub struct MarkFile {
    database: Database,
}

impl MarkFile {
    /// Opens the marks in a state directory; both are made if they do not exist.
    pub fn open(directory: &Path) -> Result<Self, MarksError> {
        let not_made = |source| MarksError::Directory { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(not_made)?;
        let path = directory.join(FILE);
        let refused = |source| MarksError::Database { path: path.clone(), source: Box::new(source) };
        let database = Database::create(&path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => MarksError::InUse { path: directory.to_owned() },
            other => refused(other.into()),
        })?;
        let marks = Self { database };
        marks.commit(None).map_err(refused)?;
        Ok(marks)
    }

    /// Writes a mark, or makes just the table; returns when it is on the disk.
    fn commit(&self, mark: Option<(u64, u64)>) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let mut table = transaction.open_table(MARKS)?;
        if let Some((key, round)) = mark {
            table.insert(key, round)?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn get(&self, key: u64) -> Result<Option<u64>, redb::Error> {
        use redb::ReadableDatabase;
        let table = self.database.begin_read()?.open_table(MARKS)?;
        Ok(table.get(key)?.map(|round| round.value()))
    }
}

impl MarkStore for MarkFile {
    fn read(&self, key: u64) -> Result<Option<u64>, StoreError> {
        self.get(key).map_err(|error| StoreError(error.into()))
    }

    fn write(&mut self, key: u64, round: u64) -> Result<(), StoreError> {
        self.commit(Some((key, round))).map_err(|error| StoreError(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hippodrome_core::{
        ids::{ChainId, Layer, Round},
        marks::{Act, Marks, Refused},
    };

    use super::*;

    fn marks(directory: &Path) -> Marks {
        Marks::new(Box::new(MarkFile::open(directory).expect("a state directory")))
    }

    #[test]
    fn what_was_done_before_a_restart_is_refused_after_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = directory.path().join("node").join("state");
        let act = Act::Forward(Layer(1), ChainId(2));
        let mut before = marks(&state);
        assert_eq!(before.highest(act).expect("read"), None);
        assert!(before.claim(act, Round(7)).is_ok());
        drop(before);
        let mut after = marks(&state);
        assert!(matches!(after.claim(act, Round(7)), Err(Refused::Before { mark: Round(7), .. })));
        assert!(matches!(after.claim(act, Round(6)), Err(Refused::Before { .. })));
        assert!(after.claim(act, Round(8)).is_ok());
        assert!(after.claim(Act::Descriptor, Round(3)).is_ok());
        assert_eq!(after.highest(act).expect("read"), Some(Round(8)));
    }

    #[test]
    fn refuses_a_state_directory_that_is_in_use() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = MarkFile::open(directory.path()).expect("a state directory");
        let refused = MarkFile::open(directory.path()).err().expect("in use");
        assert!(matches!(refused, MarksError::InUse { .. }), "{refused}");
        assert!(refused.to_string().starts_with("another process uses the state directory"), "{refused}");
        drop(first);
        assert!(MarkFile::open(directory.path()).is_ok());
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE);
        fs::write(&path, "these are not marks").expect("written");
        let refused = MarkFile::open(directory.path()).err().expect("no database");
        assert!(matches!(refused, MarksError::Database { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("still there"), "these are not marks");
    }

    #[test]
    fn refuses_a_directory_that_cannot_be_made() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("written");
        assert!(matches!(MarkFile::open(&file.join("state")), Err(MarksError::Directory { .. })));
    }
}
