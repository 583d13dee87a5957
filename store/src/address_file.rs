//! Where a node listens, for those who wait until it does.

use std::{net::SocketAddr, path::Path};

use crate::file::{WriteError, replace};

/// Writes `host:port`, whole or not at all: whoever waits for the file reads an address that is listened on.
pub fn write(path: &Path, address: SocketAddr) -> Result<(), WriteError> {
    replace(path, 0o644, format!("{address}\n"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_address_takes_the_place_of_an_older_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("address");
        for port in [1, 2] {
            write(&path, SocketAddr::from(([127, 0, 0, 1], port))).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("there"), format!("127.0.0.1:{port}\n"));
        }
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
    }
}
