//! Nodes as processes of this machine.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{LiveError, net::Nodes, usage::Usage};

/// The nodes of a network in a directory of this machine.
pub(super) struct Here<'a> {
    binary: &'a Path,
    dir: PathBuf,
    /// Flags of `testnet up`.
    flags: Vec<String>,
}

impl<'a> Here<'a> {
    /// Those of a network that is founded with these flags when they start.
    pub(super) fn new(binary: &'a Path, dir: PathBuf, flags: Vec<String>) -> Self {
        Self { binary, dir, flags }
    }

    fn testnet(&self, command: &str, more: &[String]) -> Result<(), LiveError> {
        let words: [&OsStr; 4] = ["testnet".as_ref(), command.as_ref(), "--dir".as_ref(), self.dir.as_os_str()];
        let words: Vec<&OsStr> = words.into_iter().chain(more.iter().map(OsStr::new)).collect();
        hippodrome(self.binary, &words)
    }
}

impl Nodes for Here<'_> {
    fn start(&self) -> Result<(), LiveError> {
        self.testnet("up", &self.flags)
    }

    fn make(&self, deed: &str, node: &str) -> Result<(), LiveError> {
        self.testnet(deed, &[node.to_owned()])
    }

    fn usage(&self, nodes: &[String]) -> Result<Vec<Usage>, LiveError> {
        let gone = |node: &str, source| LiveError::Gone { node: node.into(), source, logs: self.dir.join("logs") };
        let usage = |node: &String| {
            let found = Usage::of_holder(&self.dir.join("run").join(format!("{node}.pid")));
            found.map_err(|source| gone(node, source))
        };
        nodes.iter().map(usage).collect()
    }

    fn end(&self) -> Result<(), LiveError> {
        down(self.binary, &self.dir);
        Ok(())
    }
}

/// Stops whatever runs in a network's directory.
pub(super) fn down(binary: &Path, net: &Path) {
    // It may be down already, which is as good.
    let _ = hippodrome(binary, &["testnet".as_ref(), "down".as_ref(), "--dir".as_ref(), net.as_os_str()]);
}

/// Runs a command of the program to its end, which must be good.
fn hippodrome(binary: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<(), LiveError> {
    let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
    let command = words.join(" ");
    let output = Command::new(binary)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LiveError::Start { command: command.clone(), source })?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        true => Ok(()),
        false => Err(LiveError::Failed { command, status: output.status, said: said() }),
    }
}
