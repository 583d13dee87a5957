//! The file with a person's identity: 64 hexadecimal digits that only their owner can read.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use hippodrome_core::conversation::Identity;
use zeroize::Zeroizing;

/// Digits and a newline.
const LEN: u64 = 65;

/// Why an identity file is refused.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system refuses.
    #[error("cannot use the identity file {}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than the owner can read it.
    #[error("others can read {0}, which holds a secret key; run `chmod 600 {0}`", path.display())]
    Exposed {
        /// The path.
        path: PathBuf,
    },
    /// It holds something else. Its contents are not quoted.
    #[error("{} is not an identity file: expected one line of 64 hexadecimal digits", path.display())]
    Malformed {
        /// The path.
        path: PathBuf,
    },
}

/// Writes a new file; one that exists is never overwritten.
pub(super) fn create(path: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let mut text = Zeroizing::new(String::with_capacity(LEN as usize));
    HEXLOWER.encode_append(identity.expose(), &mut text);
    text.push('\n');
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| IdentityError::Io { path: path.to_owned(), source })
}

/// Reads the file.
pub(super) fn load(path: &Path) -> Result<Identity, IdentityError> {
    let refused = |source| IdentityError::Io { path: path.to_owned(), source };
    let malformed = || IdentityError::Malformed { path: path.to_owned() };
    let metadata = fs::metadata(path).map_err(refused)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned() });
    }
    if !metadata.is_file() || metadata.len() > LEN {
        return Err(malformed());
    }
    let text = Zeroizing::new(fs::read(path).map_err(refused)?);
    let digits = text.trim_ascii_end();
    let mut secret = Zeroizing::new([0; 32]);
    if digits.len() != 64 || HEXLOWER.decode_mut(digits, &mut *secret).is_err() {
        return Err(malformed());
    }
    Ok(Identity::from_bytes(&secret))
}
