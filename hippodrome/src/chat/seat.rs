//! Seats: whoever comes first takes one, and keeps it under a name.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use hippodrome_client::person::{Person, PersonError};

use crate::network_dir::NetworkDir;

/// Most bytes of a name.
const MAX_NAME: usize = 64;

/// Why somebody has no seat.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeatError {
    #[error("no seat is free in {}: its operator makes more with a larger network, or `hippodrome keys client new` makes a key to be registered", .0.display())]
    NoneFree(PathBuf),
    #[error("`{0}` talks in another process already")]
    InUse(String),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Person(#[from] PersonError),
}

/// A person's place in a network, held by this process.
pub(crate) struct Seat {
    /// The person's directory.
    pub(crate) home: PathBuf,
    _locked: File,
}

/// Reads a name that is fit for a directory.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let fit = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let good = (1..=MAX_NAME).contains(&text.len()) && text.chars().all(fit) && !text.starts_with('.');
    if good { Ok(text.to_owned()) } else { Err("expected letters, digits, `-`, `_` and `.`, 64 bytes at most".into()) }
}

/// Sits down: at the seat that the name has, or at one that is free.
pub(crate) fn take(dir: &NetworkDir, name: &str) -> Result<Seat, SeatError> {
    let home = dir.person(name);
    let refused = |source| SeatError::Io { path: home.clone(), source };
    if !home.join("seat.key").exists() && free(dir).next().is_none() {
        return Err(SeatError::NoneFree(dir.seats()));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&home).map_err(refused)?;
    let locked = File::create(home.join("lock")).map_err(refused)?;
    match locked.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(SeatError::InUse(name.to_owned())),
        Err(TryLockError::Error(source)) => return Err(refused(source)),
    }
    claim(dir, &home.join("seat.key"))?;
    Person::prepare(&home, name)?;
    Ok(Seat { home, _locked: locked })
}

/// Keys of free seats, the first one first.
fn free(dir: &NetworkDir) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(dir.seats()).into_iter().flatten().flatten();
    let mut keys: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    keys.retain(|path| path.extension().is_some_and(|extension| extension == "key"));
    keys.sort();
    keys.into_iter()
}

/// Moves a free seat's key to `own`, unless there is one. Moving is atomic: nobody else gets the same seat.
fn claim(dir: &NetworkDir, own: &Path) -> Result<(), SeatError> {
    if own.exists() {
        return Ok(());
    }
    for key in free(dir) {
        match fs::rename(&key, own) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(SeatError::Io { path: key, source }),
        }
    }
    Err(SeatError::NoneFree(dir.seats()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hippodrome_store::key_file::{ClientKeys, KeySource};

    use super::*;
    use crate::founding::free_seats;

    fn network(seats: u16) -> (tempfile::TempDir, NetworkDir) {
        let place = tempfile::tempdir().expect("a temporary directory");
        let dir = NetworkDir::new(place.path());
        dir.make_rooms().expect("directories");
        free_seats(&dir, &KeySource::System, seats).expect("seats");
        (place, dir)
    }

    #[test]
    fn everybody_gets_another_seat_and_keeps_it() {
        let (_place, dir) = network(8);
        let homes: Vec<PathBuf> = std::thread::scope(|scope| {
            let sit = |number: usize| {
                let dir = &dir;
                scope.spawn(move || take(dir, &format!("person-{number}")).expect("enough seats").home)
            };
            let sitting: Vec<_> = (0..8).map(sit).collect();
            sitting.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let key = |home: &PathBuf| ClientKeys::load(&home.join("seat.key")).expect("a key file").public();
        assert_eq!(homes.iter().map(key).collect::<HashSet<_>>().len(), 8);
        let again = take(&dir, "person-3").expect("the seat is still there");
        assert_eq!(key(&again.home), key(&homes[3]));
    }

    #[test]
    fn who_comes_too_late_gets_none_and_leaves_nothing() {
        let (_place, dir) = network(1);
        let _first = take(&dir, "alice").expect("one seat");
        assert!(matches!(take(&dir, "bob"), Err(SeatError::NoneFree(_))));
        assert!(!dir.person("bob").exists());
    }

    #[test]
    fn a_name_is_used_by_one_process_at_a_time() {
        let (_place, dir) = network(2);
        let _first = take(&dir, "alice").expect("a seat");
        assert!(matches!(take(&dir, "alice"), Err(SeatError::InUse(_))));
    }

    #[test]
    fn names_are_fit_for_directories() {
        for good in ["alice", "Zoë", "a.b-c_1"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for wrong in ["", ".", "..", ".hidden", "a/b", "a b", "a\n", &"x".repeat(65)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
