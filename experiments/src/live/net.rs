//! The processes of a run: a network, a crowd, and what they use.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use super::{LiveError, Run, crowd, shaper::Shaper, trouble::Mutant, usage::Usage};
use crate::preset::{Point, Trouble};

/// How long a round of a crowd may take to come back, milliseconds, besides ten periods.
const PATIENCE_MS: u64 = 60_000;

/// The process of a crowd; it is killed when this is dropped, and ends by itself when this process does.
pub(super) struct CrowdProcess(Child);

impl CrowdProcess {
    pub(super) fn start(run: &Run<'_>, net: &Net<'_>) -> Result<Self, LiveError> {
        let Point { pairs, warm_up, rounds, period_ms, .. } = run.point;
        let patience_ms = PATIENCE_MS + 10 * period_ms;
        let mut command = Command::new(&run.programs.hippodrome);
        command.args(["experiment", "crowd", "--network"]).arg(&net.dir).arg("--out").arg(&run.dir);
        let mut flag = |name: &str, value: String| {
            command.arg(format!("--{name}")).arg(value);
        };
        flag("pairs", pairs.to_string());
        flag("warm-up", warm_up.to_string());
        flag("rounds", rounds.to_string());
        flag("patience", format!("{patience_ms}ms"));
        flag("seed", run.talk.to_string());
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map(Self);
        started.map_err(|source| LiveError::Start { command: "experiment crowd".into(), source })
    }
}

impl Drop for CrowdProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What processes used from one moment to another.
pub(super) struct Spent {
    pub(super) servers_cpu_s: f64,
    pub(super) coordinator_cpu_s: f64,
    pub(super) crowd_cpu_s: f64,
    pub(super) server_peak_bytes: u64,
}

/// What all of them have used until now.
struct Snapshot {
    servers: Vec<Usage>,
    coordinator: Usage,
    crowd: Usage,
}

impl Snapshot {
    fn since(&self, before: &Self) -> Spent {
        let of_all = |snapshot: &Self| snapshot.servers.iter().map(|usage| usage.cpu_s).sum::<f64>();
        Spent {
            servers_cpu_s: of_all(self) - of_all(before),
            coordinator_cpu_s: self.coordinator.cpu_s - before.coordinator.cpu_s,
            crowd_cpu_s: self.crowd.cpu_s - before.crowd.cpu_s,
            server_peak_bytes: self.servers.iter().map(|usage| usage.peak_bytes).max().unwrap_or(0),
        }
    }
}

/// A network that runs; it is stopped when this is dropped.
pub(super) struct Net<'a> {
    binary: &'a Path,
    dir: PathBuf,
    servers: u16,
    /// The node that trouble happens to: what it uses is not counted, since it may be another process each time.
    aside: Option<&'a str>,
}

impl<'a> Net<'a> {
    /// Starts it, with a mutant in the place of a server if one is to cheat.
    pub(super) fn up(run: &Run<'a>, shaper: Option<&Shaper>) -> Result<(Self, Option<Mutant>), LiveError> {
        let (binary, trouble) = (run.programs.hippodrome.as_path(), run.point.trouble.as_ref());
        let aside = trouble.and_then(Trouble::node);
        let net = Self { binary, dir: run.net(), servers: run.point.servers, aside };
        let mut arguments = vec!["testnet".to_owned(), "up".into(), "--dir".into(), net.dir.display().to_string()];
        arguments.extend(run.point.flags(run.network));
        if let Some(shaper) = shaper {
            let path = run.dir.join("fronts.toml");
            arguments.extend(["--fronts".into(), path.display().to_string()]);
            fs::write(&path, shaper.fronts().text()).map_err(|source| LiveError::File { path, source })?;
        }
        let Some(cheat @ (server, _)) = trouble.and_then(Trouble::cheat) else {
            hippodrome(binary, &arguments)?;
            return Ok((net, None));
        };
        arguments.extend(["--leave".into(), server.into()]);
        let mutant = Mutant::join(&run.programs.mutant, &net.dir, cheat, || hippodrome(binary, &arguments))?;
        Ok((net, Some(mutant)))
    }

    /// Where its files are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Does something to a node: `kill`, `freeze`, `thaw` or `start`.
    pub(super) fn make(&self, deed: &str, node: &str) -> Result<(), LiveError> {
        hippodrome(
            self.binary,
            &["testnet".as_ref(), deed.as_ref(), "--dir".as_ref(), self.dir.as_os_str(), node.as_ref()],
        )
    }

    fn usage(&self, node: &str) -> Result<Usage, LiveError> {
        if self.aside == Some(node) {
            return Ok(Usage::default());
        }
        let found = Usage::of_holder(&self.dir.join("run").join(format!("{node}.pid")));
        found.map_err(|source| LiveError::Gone { node: node.into(), source, logs: self.dir.join("logs") })
    }

    fn snapshot(&self, crowd: &CrowdProcess) -> Result<Snapshot, LiveError> {
        let gone = |source| LiveError::Gone { node: "the crowd".into(), source, logs: self.dir.join("logs") };
        Ok(Snapshot {
            servers: (0..self.servers).map(|id| self.usage(&format!("server-{id}"))).collect::<Result<_, _>>()?,
            coordinator: self.usage("coordinator")?,
            crowd: Usage::of(crowd.0.id()).map_err(gone)?,
        })
    }

    /// Looks at all processes when the crowd says that its warm-up is over, and when it says that all is. What is to happen
    /// between these is begun at once, and is over before this is.
    pub(super) fn watch<T: Send>(
        &self,
        crowd: &mut CrowdProcess,
        when_warm: impl FnOnce() -> Result<T, LiveError> + Send,
    ) -> Result<(Spent, T), LiveError> {
        let output = crowd.0.stdout.take().expect("its output was asked for");
        thread::scope(|scope| {
            let (mut when_warm, mut warm, mut spent) = (Some(when_warm), None, None);
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                match (line.as_str(), &warm) {
                    (crowd::WARM, None) => {
                        let before = self.snapshot(crowd)?;
                        warm = when_warm.take().map(|deed| (before, scope.spawn(deed)));
                    }
                    (crowd::DONE, Some((before, _))) => spent = Some(self.snapshot(crowd)?.since(before)),
                    _ => {}
                }
            }
            let deed = warm.map(|(_, deed)| deed.join().unwrap_or_else(|panic| resume_unwind(panic))).transpose()?;
            self.ended(crowd, spent.zip(deed))
        })
    }

    /// What came of a crowd that has nothing more to say, if it has ended well.
    fn ended<T>(&self, crowd: &mut CrowdProcess, result: Option<T>) -> Result<T, LiveError> {
        let refused = |source| LiveError::Start { command: "experiment crowd".into(), source };
        let status = crowd.0.wait().map_err(refused)?;
        result.filter(|_| status.success()).ok_or_else(|| LiveError::Failed {
            command: "experiment crowd".into(),
            status,
            said: format!("what it said is above; the logs of the nodes are in {}", self.dir.join("logs").display()),
        })
    }
}

impl Drop for Net<'_> {
    fn drop(&mut self) {
        down(self.binary, &self.dir);
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
