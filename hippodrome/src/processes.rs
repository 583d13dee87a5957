//! Nodes as processes of this same binary: started, watched, stopped.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Seek, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::network_dir::{NetworkDir, Node};

/// How long a node may take to stop when asked, before it is killed.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(8);
/// How long the system may take to carry out a signal that no process can refuse.
const SIGNAL_GRACE: Duration = Duration::from_secs(10);
/// Between two looks at whether something has happened.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long somebody who only looks whether a pid file is held may keep its holder from taking it.
const GLANCE: Duration = Duration::from_millis(200);
/// Last lines of a log that are shown when its node has died.
const LAST_LINES: usize = 8;

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    #[error("cannot start {node}: {source}")]
    Start { node: Node, source: io::Error },
    #[error("{node} ended ({status}); the end of {}:\n{tail}", log.display())]
    Died { node: Node, status: ExitStatus, log: PathBuf, tail: String },
    #[error("{}: {source}", path.display())]
    PidFile { path: PathBuf, source: io::Error },
    #[error("{} is held by a process that runs already", path.display())]
    Runs { path: PathBuf },
    #[error("{}: its process did not become {wanted} within {} s", path.display(), SIGNAL_GRACE.as_secs())]
    Unmoved { path: PathBuf, wanted: &'static str },
}

/// Whether nodes live as long as their starter, or on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// They stop when the process that started them is gone, however it ended.
    WithStarter,
    /// They have a session of their own and go on.
    OwnSession,
}

/// A node that this process has started.
struct Running {
    node: Node,
    log: PathBuf,
    child: Child,
}

/// Nodes that this process has started; those that still run are killed when this is dropped.
#[derive(Default)]
pub(crate) struct Nodes(Vec<Running>);

impl Nodes {
    /// Starts a node with the arguments of its command; what it logs goes to its file in `dir`.
    pub(crate) fn start(
        &mut self,
        dir: &NetworkDir,
        node: Node,
        life: Life,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<(), ProcessError> {
        let refused = |source| ProcessError::Start { node, source };
        let log = dir.log(node);
        let log_file = OpenOptions::new().create(true).append(true).open(&log).map_err(refused)?;
        let mut command = Command::new(std::env::current_exe().map_err(refused)?);
        arguments(&mut command);
        command.arg("--pid-file").arg(dir.pid_file(node));
        match life {
            Life::WithStarter => command.arg("--stop-with-stdin").stdin(Stdio::piped()),
            Life::OwnSession => command.arg("--own-session").stdin(Stdio::null()),
        };
        // A group of its own: Ctrl-C is for the starter, which stops its nodes in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdout(Stdio::null()).stderr(log_file).spawn().map_err(refused)?;
        self.0.push(Running { node, log, child });
        Ok(())
    }

    /// An error if any of them has ended.
    pub(crate) fn check(&mut self) -> Result<(), ProcessError> {
        for Running { node, log, child } in &mut self.0 {
            let (node, log) = (*node, log.clone());
            if let Some(status) = child.try_wait().map_err(|source| ProcessError::Start { node, source })? {
                let tail = last_lines(&log);
                return Err(ProcessError::Died { node, status, log, tail });
            }
        }
        Ok(())
    }

    /// Lets them go on without this process.
    pub(crate) fn detach(mut self) {
        self.0.clear();
    }

    /// Asks all to stop, and kills those that have not after a grace.
    pub(crate) async fn stop(mut self) {
        for running in &self.0 {
            terminate(Pid::from_child(&running.child));
        }
        let patience = Instant::now() + STOP_GRACE;
        while Instant::now() < patience && !self.all_ended() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn all_ended(&mut self) -> bool {
        self.0.iter_mut().all(|running| matches!(running.child.try_wait(), Ok(Some(_))))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for running in &mut self.0 {
            // It may have ended by itself; what can fail here has no other remedy.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// Asks a process to stop; one that is frozen is thawed, so that it hears.
fn terminate(pid: Pid) {
    // A process that is gone already is what is wanted.
    let _ = kill_process(pid, Signal::TERM);
    let _ = kill_process(pid, Signal::CONT);
}

/// The end of a log, for whoever has to find out why a node died.
fn last_lines(log: &Path) -> String {
    let lines = File::open(log).map(|file| BufReader::new(file).lines().map_while(Result::ok));
    let mut last = VecDeque::new();
    for line in lines.into_iter().flatten() {
        last.push_back(format!("    {line}"));
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    }
    if last.is_empty() { "    (it is empty)".into() } else { Vec::from(last).join("\n") }
}

/// A file with a process id, locked for as long as that process runs. The lock, not the number, says who runs: numbers
/// are given away again.
pub(crate) struct PidFile {
    _locked: File,
    path: PathBuf,
}

impl PidFile {
    /// Takes the file for this process.
    pub(crate) fn hold(path: &Path) -> Result<Self, ProcessError> {
        let refused = |source| ProcessError::PidFile { path: path.to_owned(), source };
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(refused)?;
        let patience = Instant::now() + GLANCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < patience => std::thread::yield_now(),
                Err(TryLockError::WouldBlock) => return Err(ProcessError::Runs { path: path.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(refused(source)),
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(refused)?;
        writeln!(file, "{}", std::process::id()).map_err(refused)?;
        Ok(Self { _locked: file, path: path.to_owned() })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The lock is still held here, so this is nobody else's file.
        let _ = fs::remove_file(&self.path);
    }
}

/// The process that holds a pid file, if one does.
pub(crate) fn holder(path: &Path) -> Option<Pid> {
    let mut file = File::open(path).ok()?;
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

/// What a node's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Runs(Pid),
    /// It is there, but its clock stands still (SIGSTOP).
    Frozen(Pid),
    Gone,
}

impl Condition {
    /// The condition of whoever holds a pid file.
    pub(crate) fn of_holder(path: &Path) -> Self {
        match holder(path) {
            None => Self::Gone,
            Some(pid) if is_frozen(pid) => Self::Frozen(pid),
            Some(pid) => Self::Runs(pid),
        }
    }

    /// In one word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Runs(_) => "running",
            Self::Frozen(_) => "frozen",
            Self::Gone => "dead",
        }
    }
}

/// Whether a process is stopped, where the system shows it in `/proc`; elsewhere it counts as running.
fn is_frozen(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The name before the state may hold anything, parentheses too.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

/// Sends a process a signal that it cannot refuse, and waits until it has worked.
async fn force(path: &Path, pid: Pid, signal: Signal, wanted: Condition) -> Result<(), ProcessError> {
    // A process that is gone is seen below.
    let _ = kill_process(pid, signal);
    let patience = Instant::now() + SIGNAL_GRACE;
    loop {
        match Condition::of_holder(path) {
            condition if condition == wanted => return Ok(()),
            condition if condition == Condition::Gone || Instant::now() >= patience => {
                return Err(ProcessError::Unmoved { path: path.to_owned(), wanted: wanted.name() });
            }
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Kills the process that holds a pid file, without warning.
pub(crate) async fn kill(path: &Path, pid: Pid) -> Result<(), ProcessError> {
    force(path, pid, Signal::KILL, Condition::Gone).await?;
    // It could not remove its file itself.
    let _ = fs::remove_file(path);
    Ok(())
}

/// Stops the clock of the process that holds a pid file.
pub(crate) async fn freeze(path: &Path, pid: Pid) -> Result<(), ProcessError> {
    force(path, pid, Signal::STOP, Condition::Frozen(pid)).await
}

/// Lets a frozen process go on.
pub(crate) async fn thaw(path: &Path, pid: Pid) -> Result<(), ProcessError> {
    force(path, pid, Signal::CONT, Condition::Runs(pid)).await
}

/// Stops the processes that hold these pid files: asks, waits, and kills those that did not listen. Gives the paths of
/// those that had to be killed.
pub(crate) async fn stop_holders(paths: &[PathBuf]) -> Vec<PathBuf> {
    let running = || paths.iter().filter_map(|path| Some((path, holder(path)?)));
    running().for_each(|(_, pid)| terminate(pid));
    let patience = Instant::now() + STOP_GRACE;
    while Instant::now() < patience && running().next().is_some() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let stubborn: Vec<(PathBuf, Pid)> = running().map(|(path, pid)| (path.clone(), pid)).collect();
    for (_, pid) in &stubborn {
        let _ = kill_process(*pid, Signal::KILL);
    }
    while running().next().is_some() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    paths.iter().for_each(|path| drop(fs::remove_file(path)));
    stubborn.into_iter().map(|(path, _)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_has_one_holder_and_goes_with_it() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("node.pid");
        let held = PidFile::hold(&path).expect("nobody holds it");
        assert!(matches!(PidFile::hold(&path), Err(ProcessError::Runs { .. })));
        assert_eq!(holder(&path), Some(rustix::process::getpid()));
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn the_number_of_a_process_that_is_gone_holds_nothing() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("node.pid");
        fs::write(&path, "1\n").expect("written");
        assert_eq!(holder(&path), None);
        assert!(PidFile::hold(&path).is_ok());
    }

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let log = place.path().join("node.log");
        assert_eq!(last_lines(&log), "    (it is empty)");
        let text: String = (0..100).map(|line| format!("line {line}\n")).collect();
        fs::write(&log, text).expect("written");
        assert_eq!(last_lines(&log).lines().count(), LAST_LINES);
        assert!(last_lines(&log).ends_with("line 99"));
    }
}
