//! Runs whose nodes are on listed hosts: machines, containers, or network namespaces of one machine.
//!
//! A host is whatever runs command lines: [`Host::shell`] is put before a line, and that is all that is asked of it, besides
//! the program itself and `tar`. Everything that is done there is a line of the [run's script](script), and stands in its
//! `commands.sh`.

mod file;
mod lines;
mod nodes;
mod placement;
mod script;

use std::{
    fmt, io,
    os::unix::process::CommandExt,
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{PoisonError, RwLock},
    thread,
};

pub(super) use self::nodes::OnHosts;
pub use self::{
    file::{FileError, Host, HostsFile},
    placement::PlacementError,
};
use self::{
    placement::{Placed, deal},
    script::Script,
};
use super::Run;
use crate::preset::{Numbered, Point, Trouble};

/// Why nodes cannot be on hosts.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// The file that lists them.
    #[error("{}: {source}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// A point cannot be run on them.
    #[error("point {point} ({label}): {source}")]
    Point {
        /// The point's number.
        point: usize,
        /// What sets it apart.
        label: String,
        /// Why.
        source: Unfit,
    },
    /// The same where the point is known.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A line does not end well.
    #[error("on {place}: `{line}` failed ({status}){}", after_colon(said))]
    Failed {
        /// Where.
        place: String,
        /// The line, as it was run on this machine.
        line: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// There is no shell on this machine.
    #[error("cannot run `sh`: {0}")]
    NoShell(io::Error),
    /// An answer that nobody understands.
    #[error("host `{host}` says `{said}`, not what its nodes have used: is its program of this version?")]
    Answer {
        /// The host.
        host: String,
        /// What it said.
        said: String,
    },
    /// Something could not be stopped.
    #[error("{0}; its nodes may go on there, until this line is run again")]
    Left(Box<HostsError>),
    /// Nothing more is done: somebody wants this to end.
    #[error("nothing more is done on hosts")]
    Closed,
}

impl HostsError {
    /// The same where nodes were to be stopped.
    fn left(self) -> Self {
        if matches!(self, Self::Closed) { self } else { Self::Left(Box::new(self)) }
    }
}

/// Why a point cannot be run on hosts.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It has links of its own.
    #[error(
        "links are made by a shaper on this machine only: leave `link` and `delays_ms` out, and delay the hosts' own links \
         (`tc qdisc add dev eth0 root netem delay 20ms`)"
    )]
    Links,
    /// A server cheats.
    #[error("servers cheat on this machine only: leave `--hosts` out, or this point")]
    Cheat,
    /// Its nodes have no place.
    #[error(transparent)]
    Placement(#[from] PlacementError),
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// Hosts for nodes, until they are closed.
#[derive(Debug)]
pub struct Hosts {
    list: Vec<Host>,
    /// Read by whoever has a line run, for as long as it runs.
    is_open: RwLock<bool>,
}

impl Hosts {
    /// Those of a file.
    pub fn new(file: &HostsFile) -> Self {
        Self { list: file.hosts().to_vec(), is_open: RwLock::new(true) }
    }

    /// Reads and checks a file that lists hosts.
    pub fn load(path: &Path) -> Result<HostsFile, HostsError> {
        HostsFile::load(path).map_err(|source| HostsError::File { path: path.to_owned(), source })
    }

    /// Whether these points can be run on them.
    pub fn check(&self, points: &[Numbered]) -> Result<(), HostsError> {
        points.iter().try_for_each(|Numbered { number, label, point }| {
            let refused = |source| HostsError::Point { point: *number, label: label.to_string(), source };
            self.place(point).map(drop).map_err(refused)
        })
    }

    /// Gives the nodes of a point their hosts.
    fn place(&self, point: &Point) -> Result<Vec<Placed<'_>>, Unfit> {
        if point.links().is_some() {
            return Err(Unfit::Links);
        }
        if point.trouble.as_ref().and_then(Trouble::cheat).is_some() {
            return Err(Unfit::Cheat);
        }
        Ok(deal(&self.list, point.servers)?)
    }

    /// Which node goes where in a run, and all of its command lines.
    pub fn plan(&self, run: &Run<'_>) -> Result<String, HostsError> {
        let script = Script::new(run, self.place(run.point)?);
        Ok(format!("{}\n{}", script.places(), script.text()))
    }

    /// Has no more lines run, and leaves nothing on any host once those under way have ended.
    pub fn close(&self) -> Result<(), HostsError> {
        let mut is_open = self.is_open.write().unwrap_or_else(PoisonError::into_inner);
        *is_open = false;
        let hosts: Vec<&Host> = self.list.iter().collect();
        let clear = |host: &Host| run_line(Path::new("."), &host.title(), &host.clear()).map_err(HostsError::left);
        each(&hosts, clear).map(drop)
    }

    /// Runs a line in a directory of this machine; gives what it said. `place` is where its work is done.
    fn run(&self, dir: &Path, place: &dyn fmt::Display, line: &str) -> Result<String, HostsError> {
        let is_open = self.is_open.read().unwrap_or_else(PoisonError::into_inner);
        if *is_open { run_line(dir, place, line) } else { Err(HostsError::Closed) }
    }
}

impl Host {
    fn title(&self) -> String {
        format!("host `{}`", self.name)
    }
}

/// Does something for all hosts at the same time; gives what came of it in their order, or the first error. All have ended
/// then.
fn each<T: Send>(hosts: &[&Host], deed: impl Fn(&Host) -> Result<T, HostsError> + Sync) -> Result<Vec<T>, HostsError> {
    let deed = &deed;
    thread::scope(|scope| {
        let threads: Vec<_> = hosts.iter().copied().map(|host| scope.spawn(move || deed(host))).collect();
        let ended: Vec<_> =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect();
        ended.into_iter().collect()
    })
}

fn run_line(dir: &Path, place: &dyn fmt::Display, line: &str) -> Result<String, HostsError> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).current_dir(dir).stdin(Stdio::null());
    // A group of its own: Ctrl-C is for this process, which stops what is on the hosts in order.
    let output = command.process_group(0).output().map_err(HostsError::NoShell)?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => {
            let (place, line) = (place.to_string(), line.to_owned());
            Err(HostsError::Failed { place, line, status: output.status, said: said(&output.stderr) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::Preset;

    const HEAD: &str = "name = \"t\"\ntitle = \"T\"\nabout = \"a\"\nseed = 1\nrepeats = 1\n[point]\npairs = 2\n";

    fn hosts(directory: &Path) -> Hosts {
        let text = format!(
            "[[hosts]]\nname = \"anna\"\naddress = \"a\"\nfirst_port = 1\nshell = [\"sh\", \"-c\"]\ndirectory = {directory:?}\n"
        );
        Hosts::new(&HostsFile::parse(Path::new("hosts.toml"), text).expect("good"))
    }

    fn points(rest: &str) -> Vec<Numbered> {
        Preset::parse("t", &format!("{HEAD}{rest}\n")).expect("a preset").points().expect("points")
    }

    #[test]
    fn what_only_this_machine_can_do_is_refused_with_what_to_do() {
        let hosts = hosts(Path::new("/nowhere"));
        let refused = |rest: &str| hosts.check(&points(rest)).expect_err(rest).to_string();
        assert!(refused("link = { delay_ms = 5 }").contains("netem"));
        assert!(refused("delays_ms = { a = { b = 5 } }").contains("netem"));
        let cheat = "trouble = { kind = \"cheat\", node = \"server-1\", cheat = \"two-vectors\" }";
        assert!(refused(cheat).contains("leave `--hosts` out"));
        hosts.check(&points("trouble = { kind = \"kill\", node = \"server-1\" }")).expect("hosts can do that");
    }

    #[test]
    fn hosts_that_are_closed_are_cleared_and_do_nothing_more() {
        let place = tempfile::tempdir().expect("a directory");
        let hosts = hosts(place.path());
        std::fs::create_dir(place.path().join("experiment")).expect("made");
        assert_eq!(hosts.run(place.path(), &"here", "echo a && pwd").expect("it is open").lines().next(), Some("a"));
        hosts.close().expect("cleared");
        assert_eq!(std::fs::read_dir(place.path()).expect("a directory").count(), 0);
        assert!(matches!(hosts.run(place.path(), &"here", "touch b"), Err(HostsError::Closed)));
        assert_eq!(std::fs::read_dir(place.path()).expect("a directory").count(), 0);
    }

    #[test]
    fn a_line_that_fails_is_shown_with_where_and_what_it_said() {
        let hosts = hosts(Path::new("/nowhere"));
        let said = hosts.run(Path::new("."), &"host `anna`", "echo why >&2; exit 3").expect_err("it fails").to_string();
        for words in ["host `anna`", "exit 3", "exit status: 3", ": why"] {
            assert!(said.contains(words), "{said}");
        }
    }
}
