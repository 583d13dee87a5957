//! Running the binary, and waiting for what it says.

use std::{
    ffi::OsStr,
    fmt::Debug,
    fs::{self, File, TryLockError},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The binary with some arguments.
pub(crate) fn hippodrome<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hippodrome"));
    command.args(args).env_remove("RUST_LOG");
    command
}

/// Runs it to its end; somebody could type, but does not.
fn run<A: AsRef<OsStr> + Debug>(args: &[A]) -> Output {
    let mut command = hippodrome(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let _silent = child.stdin.take();
    child.wait_with_output().expect("the binary ends")
}

/// Runs it to its end, which must be good; gives its standard output.
pub(crate) fn succeeds<A: AsRef<OsStr> + Debug>(args: &[A]) -> String {
    let output = run(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} failed: {errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Runs it to its end, which must be an error with all these words; gives its standard error.
pub(crate) fn fails<A: AsRef<OsStr> + Debug>(args: &[A], words: &[&str]) -> String {
    let output = run(args);
    let errors = String::from_utf8(output.stderr).expect("it prints text");
    assert!(!output.status.success(), "{args:?} succeeded");
    assert!(!errors.contains("panicked"), "{args:?} panicked: {errors}");
    for word in words {
        assert!(errors.contains(word), "{args:?} does not say `{word}` but: {errors}");
    }
    errors
}

/// Looks again and again until there is something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that is killed when it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    /// Starts the binary with pipes for its input and output; errors go to this test's.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let lines = lines_of(child.stdout.take().expect("its output is a pipe"));
        let stdin = child.stdin.take();
        Self { child, stdin, lines, seen: Vec::new() }
    }

    /// Starts the binary; its lines are those of its log.
    pub(crate) fn start_logging(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let lines = lines_of(child.stderr.take().expect("its log is a pipe"));
        Self { child, stdin: None, lines, seen: Vec::new() }
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        writeln!(stdin, "{line}").expect("it reads its input");
    }

    /// Ends its input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line that is wanted, and gives it.
    pub(crate) fn wait_for(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("not in time: {what}; it said {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before {what}; it said {:#?}", self.seen),
            }
        }
    }

    /// Waits for a line with these words.
    pub(crate) fn wait_for_words(&mut self, words: &str) -> String {
        self.wait_for(words, |line| line.contains(words))
    }

    /// Waits for lines that begin like these, in any order.
    pub(crate) fn wait_for_all(&mut self, beginnings: &[&str]) {
        let mut missing = beginnings.to_vec();
        while !missing.is_empty() {
            let line = self.wait_for("more lines", |line| missing.iter().any(|begin| line.starts_with(begin)));
            missing.retain(|begin| !line.starts_with(begin));
        }
    }

    /// Kills it without warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for its end, and gives whether it was a good one.
    pub(crate) fn ends_well(&mut self) -> bool {
        eventually("its end", || self.child.try_wait().expect("it is our child")).success()
    }
}

/// Lines as they come.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (lines, receiver) = channel();
    std::thread::spawn(move || {
        // Read to its end also when nobody wants more of it, so that the process is not held up.
        BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)));
    });
    receiver
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pid files in a network's directory whose processes run.
pub(crate) fn running_nodes(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("run")).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_held = |path: &PathBuf| {
        let is_pid_file = path.extension().is_some_and(|extension| extension == "pid");
        let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        is_pid_file && File::open(path).is_ok_and(held)
    };
    entries.filter(is_held).collect()
}

/// The last line of an output as JSON.
pub(crate) fn last_object(output: &str) -> serde_json::Value {
    let line = output.lines().next_back().expect("it prints something");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}
