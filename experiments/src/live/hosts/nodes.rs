//! The nodes of a run on hosts.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use super::{Host, Hosts, HostsError, each, script::Script};
use crate::live::{LiveError, NET, Run, net::Nodes, usage::Usage};

/// What is packed for hosts.
const PACKED: &str = "hosts";
/// Every line of a run.
const COMMANDS: &str = "commands.sh";

/// The nodes of a run on hosts.
pub(in crate::live) struct OnHosts<'a> {
    hosts: &'a Hosts,
    script: Script<'a>,
    /// The run's directory.
    dir: PathBuf,
}

impl<'a> OnHosts<'a> {
    /// Those of a run, which have not been started.
    pub(in crate::live) fn new(run: &Run<'a>, hosts: &'a Hosts) -> Result<Self, LiveError> {
        let placed = hosts.place(run.point).map_err(HostsError::from)?;
        Ok(Self { hosts, script: Script::new(run, placed), dir: run.dir.clone() })
    }

    fn all(&self) -> Vec<&Host> {
        self.script.placed.iter().map(|placed| placed.host).collect()
    }

    /// Runs a line for each of some hosts.
    fn on(&self, hosts: &[&Host], line: impl Fn(&Host) -> String + Sync) -> Result<Vec<String>, HostsError> {
        each(hosts, |host| self.hosts.run(&self.dir, &host.title(), &line(host)))
    }

    fn prepare(&self) -> Result<(), LiveError> {
        let path = self.dir.join(COMMANDS);
        fs::write(&path, self.script.text()).map_err(|source| LiveError::File { path, source })?;
        let here = |line: &String| self.hosts.run(&self.dir, &"this machine", line).map(drop);
        Ok(self.script.prepare().iter().try_for_each(here)?)
    }

    /// No key outlives the run on this machine, either.
    fn unpack(&self) {
        // What was never packed is not there.
        let _ = fs::remove_dir_all(self.dir.join(PACKED));
    }

    /// Stops the nodes of a host, has what they wrote brought back, and leaves nothing there, even where nothing came back. Of
    /// a network that was not founded there is nothing to bring.
    fn end_one(&self, host: &Host) -> Result<(), HostsError> {
        let run = |line: String| self.hosts.run(&self.dir, &host.title(), &line);
        run(host.stop()).map_err(HostsError::left)?;
        let fetched = if self.net().is_dir() { run(host.fetch()).map(drop) } else { Ok(()) };
        run(host.clear()).map_err(HostsError::left)?;
        fetched
    }

    fn net(&self) -> PathBuf {
        self.dir.join(NET)
    }

    /// The host of a node.
    fn host(&self, node: &str) -> Option<&Host> {
        self.script.placed.iter().find(|placed| placed.has(node)).map(|placed| placed.host)
    }

    fn gone(&self, node: &str) -> LiveError {
        let host = self.host(node).map_or("no host".to_owned(), Host::title);
        let source = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no such process"));
        LiveError::Gone { node: node.to_owned(), source, logs: self.net().join("logs") }
    }
}

impl Nodes for OnHosts<'_> {
    fn start(&self) -> Result<(), LiveError> {
        self.on(&self.all(), Host::clear)?;
        self.prepare()?;
        self.on(&self.all(), Host::copy)?;
        self.unpack();
        for part in self.script.parts() {
            self.on(&part, Host::start)?;
        }
        Ok(())
    }

    fn make(&self, deed: &str, node: &str) -> Result<(), LiveError> {
        let host = self.host(node).ok_or_else(|| self.gone(node))?;
        self.on(&[host], |host| host.make(deed, node))?;
        Ok(())
    }

    fn usage(&self, nodes: &[String]) -> Result<Vec<Usage>, LiveError> {
        let said = self.on(&self.all(), Host::usage)?;
        let mut used = BTreeMap::new();
        for (host, said) in self.all().into_iter().zip(said) {
            let answer: Result<BTreeMap<String, Usage>, _> = serde_json::from_str(&said);
            used.extend(answer.map_err(|_| HostsError::Answer { host: host.name.clone(), said })?);
        }
        nodes.iter().map(|node| used.get(node).copied().ok_or_else(|| self.gone(node))).collect()
    }

    fn end(&self) -> Result<(), LiveError> {
        self.unpack();
        match each(&self.all(), |host| self.end_one(host)) {
            // Whoever has closed the hosts leaves nothing there.
            Ok(_) | Err(HostsError::Closed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
