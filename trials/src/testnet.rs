//! A testnet, through the commands of the binary.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{TrialError, binary::Binary};

/// A network that was started; it is stopped when this is dropped.
#[derive(Debug)]
pub struct Testnet {
    binary: Binary,
    dir: PathBuf,
}

impl Testnet {
    /// Founds a network in a directory, with the flags of `testnet up`, and starts it.
    pub fn up(binary: &Binary, dir: &Path, flags: &[&str]) -> Result<Self, TrialError> {
        let net = Self { binary: binary.clone(), dir: dir.to_owned() };
        let mut arguments: Vec<&OsStr> = ["testnet", "up", "--dir"].map(OsStr::new).to_vec();
        arguments.push(dir.as_os_str());
        arguments.extend(flags.iter().map(OsStr::new));
        binary.run(&arguments)?;
        Ok(net)
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The binary that it is made of.
    pub fn binary(&self) -> &Binary {
        &self.binary
    }

    fn command(&self, name: &str, more: &[&str]) -> Result<String, TrialError> {
        let mut arguments: Vec<&OsStr> = ["testnet", name, "--dir"].map(OsStr::new).to_vec();
        arguments.push(self.dir.as_os_str());
        arguments.extend(more.iter().map(OsStr::new));
        self.binary.run(&arguments)
    }

    /// Kills a node without warning.
    pub fn kill(&self, node: &str) -> Result<(), TrialError> {
        self.command("kill", &[node]).map(drop)
    }

    /// Lets a node's time stand still.
    pub fn freeze(&self, node: &str) -> Result<(), TrialError> {
        self.command("freeze", &[node]).map(drop)
    }

    /// Lets a frozen node go on.
    pub fn thaw(&self, node: &str) -> Result<(), TrialError> {
        self.command("thaw", &[node]).map(drop)
    }

    /// Starts a node again that was killed.
    pub fn start(&self, node: &str) -> Result<(), TrialError> {
        self.command("start", &[node]).map(drop)
    }

    /// How the network is doing, as `testnet status --json` says.
    pub fn status(&self) -> Result<Value, TrialError> {
        let printed = self.command("status", &["--json"])?;
        let last = printed.lines().next_back().unwrap_or_default();
        serde_json::from_str(last)
            .map_err(|source| TrialError::NotJson { command: "testnet status --json".into(), source })
    }

    /// What `chat` is to be told to talk through this network.
    pub(crate) fn chat_arguments(&self, name: &str) -> Vec<OsString> {
        vec!["chat".into(), "--network".into(), self.dir.clone().into(), "--as".into(), name.into()]
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        down(&self.binary, &self.dir);
    }
}

/// Stops whatever runs in a network's directory.
pub fn down(binary: &Binary, dir: &Path) {
    // It may be down already, which is as good.
    let _ = binary.run(&["testnet".as_ref(), "down".as_ref(), "--dir".as_ref(), dir.as_os_str()]);
}
