//! Where people find a network.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the coordinator of a network in a directory is reached: at what stands in front of it, or else where it listens.
///
/// # Errors
/// The file that should say so, and what is wrong with it.
pub(super) fn coordinator(net: &Path) -> Result<String, (PathBuf, io::Error)> {
    if let Some(front) = front(&net.join("fronts.toml"))? {
        return Ok(front);
    }
    let path = net.join("coordinator.address");
    let address = fs::read_to_string(&path).map_err(|source| (path, source))?;
    Ok(address.trim().to_owned())
}

/// What stands in front of the coordinator.
fn front(path: &Path) -> Result<Option<String>, (PathBuf, io::Error)> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err((path.to_owned(), source)),
    };
    let fronts: toml::Table =
        toml::from_str(&text).map_err(|error| (path.to_owned(), io::Error::other(error.to_string())))?;
    Ok(fronts.get("coordinator").and_then(|address| address.as_str()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coordinator_is_at_its_front_if_it_has_one_and_else_where_it_listens() {
        let net = tempfile::tempdir().expect("a directory");
        assert!(coordinator(net.path()).expect_err("nobody says").0.ends_with("coordinator.address"));
        fs::write(net.path().join("coordinator.address"), "127.0.0.1:7400\n").expect("written");
        assert_eq!(coordinator(net.path()).expect("said"), "127.0.0.1:7400");
        fs::write(net.path().join("fronts.toml"), "coordinator = \"192.0.2.1:7400\"\n").expect("written");
        assert_eq!(coordinator(net.path()).expect("said"), "192.0.2.1:7400");
        fs::write(net.path().join("fronts.toml"), "coordinator").expect("written");
        assert!(coordinator(net.path()).expect_err("garbled").0.ends_with("fronts.toml"));
    }
}
