//! Registry files: the clients that an epoch is to register, one to a line.
//!
//! A line is a public key as 64 hexadecimal digits, then, if wanted, ` # ` and a name for people. Empty lines and lines
//! that begin with `#` mean nothing.

use std::{
    collections::HashMap,
    fmt::Write,
    path::{Path, PathBuf},
};

use hippodrome_core::epoch::MAX_CLIENTS;
use hippodrome_crypto::{hash::hex, signing::PublicKey};

use crate::{
    file::{self, ReadError, Source, WriteError},
    hex::decode,
};

/// Longest registry file: as many lines as an epoch has clients, of this many bytes on average.
const MAX_LEN: u64 = MAX_CLIENTS as u64 * 160;
/// Nothing in a registry file is secret.
const MODE: u32 = 0o644;

/// A client that may take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registrant {
    /// The key that signs its submissions.
    pub key: PublicKey,
    /// A name for people.
    pub name: Option<String>,
}

/// Why a registry file is refused.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A line is no key.
    #[error("{}, line {line}: expected a client's public key as 64 hexadecimal digits, then ` # name` if wanted", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// A key stands there twice.
    #[error("{}, line {line}: the key of line {first} again; each client is registered once", path.display())]
    Repeated {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The line that has the key first.
        first: usize,
    },
    /// More clients than an epoch can register.
    #[error("{}: more than {limit} clients", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// Most clients.
        limit: usize,
    },
}

/// Reads a registry file.
pub fn load(path: &Path) -> Result<Vec<Registrant>, RegistryError> {
    let text = Source::open(path, "a registry file of client keys")?.read(MAX_LEN)?;
    parse(path, &text, MAX_CLIENTS)
}

/// Writes a registry file in place of what is there.
pub fn save(path: &Path, registrants: &[Registrant]) -> Result<(), RegistryError> {
    let mut text = String::from("# Public keys of the clients that may take part, one to a line.\n");
    for Registrant { key, name } in registrants {
        text.push_str(&hex(key.as_bytes()));
        if let Some(name) = name {
            let _ = write!(text, " # {name}");
        }
        text.push('\n');
    }
    Ok(file::replace(path, MODE, &text)?)
}

fn parse(path: &Path, text: &str, limit: usize) -> Result<Vec<Registrant>, RegistryError> {
    let mut registrants = Vec::new();
    let mut lines: HashMap<PublicKey, usize> = HashMap::new();
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim().is_empty() || content.trim_start().starts_with('#') {
            continue;
        }
        let registrant = registrant(content).ok_or_else(|| RegistryError::Malformed { path: path.to_owned(), line })?;
        if let Some(first) = lines.insert(registrant.key, line) {
            return Err(RegistryError::Repeated { path: path.to_owned(), line, first });
        }
        if registrants.len() == limit {
            return Err(RegistryError::TooMany { path: path.to_owned(), limit });
        }
        registrants.push(registrant);
    }
    Ok(registrants)
}

fn registrant(line: &str) -> Option<Registrant> {
    let (key, name) = line.split_once('#').map_or((line, None), |(key, name)| (key, Some(name.trim().to_owned())));
    let key = PublicKey::decode(&decode(key.trim())?).ok()?;
    Some(Registrant { key, name: name.filter(|name| !name.is_empty()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_file::ClientKeys;

    #[test]
    fn refuses_more_clients_than_the_limit() {
        let line = || hex(ClientKeys::generate("someone").expect("keys").public().as_bytes()) + "\n";
        let text: String = (0..3).map(|_| line()).collect();
        assert_eq!(parse(Path::new("clients"), &text, 3).expect("just enough").len(), 3);
        let refused = parse(Path::new("clients"), &text, 2).expect_err("one too many");
        assert!(matches!(refused, RegistryError::TooMany { limit: 2, .. }), "{refused}");
    }
}
