//! Durable marks in a small database: one table, one commit to the disk for each mark.

use std::{
    cell::RefCell,
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
///
/// A disk that fails, for example because it is full, costs the marks that could not be written, and nothing else: the
/// database, which refuses everything after a failure, is opened again at the next use.
pub struct MarkFile {
    /// None after a failure.
    database: RefCell<Option<Database>>,
    open_again: Box<dyn Fn() -> Result<Database, DatabaseError> + Send>,
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
        // A file that is gone by then is never made anew: the marks in it would be forgotten.
        let open_again = Box::new(move || Database::open(&path));
        let marks = Self { database: RefCell::new(Some(database)), open_again };
        let path = directory.join(FILE);
        marks.commit(None).map_err(|source| MarksError::Database { path, source: Box::new(source) })?;
        Ok(marks)
    }

    /// Works on the database; after a failure of either it is let go.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let mut place = self.database.borrow_mut();
        let database = match place.take() {
            Some(database) => database,
            None => (self.open_again)()?,
        };
        let done = work(&database)?;
        *place = Some(database);
        Ok(done)
    }

    /// Writes a mark, or makes just the table; returns when it is on the disk.
    fn commit(&self, mark: Option<(u64, u64)>) -> Result<(), redb::Error> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            let mut table = transaction.open_table(MARKS)?;
            if let Some((key, round)) = mark {
                table.insert(key, round)?;
            }
            drop(table);
            Ok(transaction.commit()?)
        })
    }

    fn get(&self, key: u64) -> Result<Option<u64>, redb::Error> {
        use redb::ReadableDatabase;
        self.with(|database| {
            let table = database.begin_read()?.open_table(MARKS)?;
            Ok(table.get(key)?.map(|round| round.value()))
        })
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
    use std::{
        fs::{self, OpenOptions},
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use hippodrome_core::{
        ids::{ChainId, Layer, Round},
        marks::{Act, Marks, Refused},
    };

    use redb::{StorageBackend, backends::FileBackend};

    use super::*;

    /// A file on a disk that may be full.
    #[derive(Debug)]
    struct Disk {
        file: FileBackend,
        is_full: Arc<AtomicBool>,
    }

    impl Disk {
        fn room(&self) -> io::Result<()> {
            match self.is_full.load(Ordering::Relaxed) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.room().and_then(|()| self.file.set_len(len))
        }

        fn sync_data(&self) -> io::Result<()> {
            self.room().and_then(|()| self.file.sync_data())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room().and_then(|()| self.file.write(offset, data))
        }
    }

    /// Marks on a disk that is full whenever `is_full` says so.
    fn marks_on(directory: &Path, is_full: &Arc<AtomicBool>) -> Marks {
        let (path, is_full) = (directory.join(FILE), Arc::clone(is_full));
        let open_again = move || {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let disk = Disk { file: FileBackend::new(file)?, is_full: Arc::clone(&is_full) };
            Database::builder().create_with_backend(disk)
        };
        let marks = MarkFile { database: RefCell::new(None), open_again: Box::new(open_again) };
        marks.commit(None).expect("the disk has room");
        Marks::new(Box::new(marks))
    }

    #[test]
    fn a_full_disk_costs_what_is_not_written_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let is_full = Arc::new(AtomicBool::new(false));
        let mut marks = marks_on(directory.path(), &is_full);
        let act = Act::Forward(Layer(0), ChainId(0));
        assert!(marks.claim(act, Round(1)).is_ok());
        for round in [2, 3].map(Round) {
            is_full.store(true, Ordering::Relaxed);
            for _ in 0..3 {
                assert!(matches!(marks.claim(act, round), Err(Refused::Store(_))));
            }
            is_full.store(false, Ordering::Relaxed);
            assert!(
                matches!(marks.claim(act, Round(round.0 - 1)), Err(Refused::Before { .. })),
                "nothing is forgotten"
            );
            // What was not written may still have reached the disk; the next round is free in any case.
            let _ = marks.claim(act, round);
        }
        assert!(marks.claim(act, Round(4)).is_ok());
        assert_eq!(marks.highest(act).expect("read"), Some(Round(4)));
    }

    #[test]
    fn a_file_that_goes_away_is_not_made_anew_behind_the_back_of_its_owner() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = MarkFile::open(directory.path()).expect("a state directory");
        file.database.replace(None);
        fs::remove_file(directory.path().join(FILE)).expect("removed");
        let mut marks = Marks::new(Box::new(file));
        assert!(matches!(marks.claim(Act::Descriptor, Round(1)), Err(Refused::Store(_))));
        assert!(!directory.path().join(FILE).exists());
    }

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
