//! Reading and writing small files: bounded, whole or not at all, with errors that name the path.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile};
use zeroize::Zeroizing;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing has that name.
    #[error("{} does not exist; expected {expected}", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// A directory, a pipe or a device.
    #[error("{} is not a file; expected {expected}", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// Far longer than such a file ever is.
    #[error("{} is longer than {limit} bytes; expected {expected}", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Most bytes that are read.
        limit: u64,
        /// What was looked for.
        expected: &'static str,
    },
    /// Not UTF-8.
    #[error("{} is not text; expected {expected}", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// The system refuses.
    #[error("cannot read {}: {source}; expected {expected}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Something has that name, and what is written must not replace anything.
    #[error("{} exists already and is not overwritten; choose another path or move it away", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A file that is open, with what it should be, for error messages.
pub(crate) struct Source<'a> {
    path: &'a Path,
    expected: &'static str,
    file: File,
}

impl<'a> Source<'a> {
    /// Opens a regular file.
    pub(crate) fn open(path: &'a Path, expected: &'static str) -> Result<Self, ReadError> {
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => ReadError::Missing { path: path.to_owned(), expected },
            _ => ReadError::Io { path: path.to_owned(), expected, source },
        };
        // Looked at before it is opened: opening a pipe would wait for its other end.
        if !fs::metadata(path).map_err(refused)?.is_file() {
            return Err(ReadError::NotAFile { path: path.to_owned(), expected });
        }
        Ok(Self { path, expected, file: File::open(path).map_err(refused)? })
    }

    /// Permission bits of the file that is open, whatever has its name by now.
    pub(crate) fn mode(&self) -> Result<u32, ReadError> {
        Ok(self.file.metadata().map_err(|source| self.io(source))?.permissions().mode() & 0o7777)
    }

    /// All of it.
    pub(crate) fn read_bytes(self, limit: u64) -> Result<Vec<u8>, ReadError> {
        let Self { path, expected, ref file } = self;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| self.io(source))?;
        if bytes.len() as u64 > limit {
            return Err(ReadError::TooLong { path: path.to_owned(), limit, expected });
        }
        Ok(bytes)
    }

    /// All of it, wiped when dropped.
    pub(crate) fn read(self, limit: u64) -> Result<Zeroizing<String>, ReadError> {
        let Self { path, expected, ref file } = self;
        // Big enough from the start for what is small, so that no copy of a secret stays behind in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit.min(64 << 10) as usize + 1));
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| self.io(source))?;
        if bytes.len() as u64 > limit {
            return Err(ReadError::TooLong { path: path.to_owned(), limit, expected });
        }
        match String::from_utf8(std::mem::take(&mut *bytes)) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(ReadError::NotText { path: path.to_owned(), expected })
            }
        }
    }

    fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.path.to_owned(), expected: self.expected, source }
    }
}

/// Writes a new file with these permission bits, whole or not at all; whatever has its name stays.
pub(crate) fn create(path: &Path, mode: u32, contents: impl AsRef<[u8]>) -> Result<(), WriteError> {
    write_beside(path, mode, contents.as_ref())?
        .persist_noclobber(path)
        .map_err(|failed| refused(path, failed.error))?;
    sync_directory(path)
}

/// Writes a file with these permission bits, whole or not at all, in place of what has its name.
pub(crate) fn replace(path: &Path, mode: u32, contents: impl AsRef<[u8]>) -> Result<(), WriteError> {
    write_beside(path, mode, contents.as_ref())?.persist(path).map_err(|failed| refused(path, failed.error))?;
    sync_directory(path)
}

fn write_beside(path: &Path, mode: u32, contents: &[u8]) -> Result<NamedTempFile, WriteError> {
    let refused = |source| refused(path, source);
    let mut file = Builder::new()
        .prefix(".hippodrome-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory_of(path))
        .map_err(refused)?;
    file.write_all(contents).map_err(refused)?;
    file.as_file().sync_all().map_err(refused)?;
    Ok(file)
}

/// A name is durable only when its directory is.
fn sync_directory(path: &Path) -> Result<(), WriteError> {
    File::open(directory_of(path)).and_then(|directory| directory.sync_all()).map_err(|source| refused(path, source))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn refused(path: &Path, source: io::Error) -> WriteError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::AlreadyExists => WriteError::Exists { path },
        _ => WriteError::Io { path, source },
    }
}
