//! Evidence that nodes have kept: when, against whom, of what.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use hippodrome_core::{directory::Directory, ids::Author};
use hippodrome_store::evidence_file;

use crate::live::LiveError;

/// Evidence that a node has kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conviction {
    /// When its file was whole, milliseconds since 1970.
    pub(super) kept_ms: u64,
    /// Whom it convicts.
    pub(super) guilty: BTreeSet<String>,
    /// Of what.
    pub(super) offence: String,
}

impl Conviction {
    /// Judges a file as everybody does who has the network's directory.
    fn read(path: &Path, directory: &Arc<Directory>) -> Result<Self, LiveError> {
        let void = |why: String| LiveError::Evidence { path: path.to_owned(), why };
        let modified = fs::metadata(path).and_then(|of| of.modified()).map_err(|error| void(error.to_string()))?;
        let case = evidence_file::load(path).map_err(|error| void(error.to_string()))?;
        let verdict = case.verify(directory).map_err(|error| void(error.to_string()))?;
        Ok(Self {
            kept_ms: modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            guilty: verdict.guilty().iter().map(name).collect(),
            offence: verdict.offence().to_string(),
        })
    }
}

/// The name of a party, as commands have it.
fn name(author: &Author) -> String {
    match author {
        Author::Server(server) => format!("server-{}", server.0),
        Author::Client(client) => format!("client-{}", client.0),
    }
}

/// The files of evidence in a node's state directory, or whatever directory has one for evidence.
pub fn evidence_files(state: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let files = fs::read_dir(state.join("evidence")).into_iter().flatten().flatten().map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "evidence"))
}

/// Takes all evidence out of the state directories of a network, into a directory with one for each node.
pub(in crate::live) fn keep(net: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(net.join("state"))? {
        let entry = entry?;
        let (from, node) = (entry.path().join("evidence"), to.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir_all(&node)?;
            fs::rename(from, node.join("evidence"))?;
        }
    }
    Ok(())
}

/// Judges all evidence that was kept, but for that of one node.
pub(super) fn read(
    kept: &Path,
    except: Option<&str>,
    directory: &Arc<Directory>,
) -> Result<Vec<Conviction>, LiveError> {
    let nodes = fs::read_dir(kept).into_iter().flatten().flatten();
    let believed = nodes.filter(|node| node.file_name().to_str() != except);
    let files = believed.flat_map(|node| evidence_files(&node.path()));
    files.map(|file| Conviction::read(&file, directory)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_kept_by_node_and_only_its_files_are_found() {
        let place = tempfile::tempdir().expect("a directory");
        let (net, kept) = (place.path().join("net"), place.path().join("evidence"));
        let of = |node: &str| net.join("state").join(node).join("evidence");
        fs::create_dir_all(of("server-1")).expect("made");
        fs::create_dir_all(net.join("state/server-2")).expect("made");
        for file in ["round-3-server-0.evidence", "half-written.tmp"] {
            fs::write(of("server-1").join(file), "x").expect("written");
        }
        keep(&net, &kept).expect("kept");
        let found: Vec<_> = evidence_files(&kept.join("server-1")).collect();
        assert_eq!(found, [kept.join("server-1/evidence/round-3-server-0.evidence")]);
        assert!(!kept.join("server-2").exists() && !of("server-1").exists());
    }
}
