//! The processes of a run: a network, a crowd, and what they use.

use std::{
    fs,
    io::{BufRead, BufReader},
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use super::{LiveError, Run, crowd, here::Here, hosts::OnHosts, shaper::Shaper, trouble::Mutant, usage::Usage};
use crate::preset::{Point, Trouble};

/// The node that all others look for.
pub(super) const COORDINATOR: &str = "coordinator";

/// Names of all nodes of a network.
pub(super) fn node_names(servers: u16) -> impl Iterator<Item = String> {
    [COORDINATOR.to_owned()].into_iter().chain((0..servers).map(|id| format!("server-{id}")))
}

/// How long a round of a crowd may take to come back, milliseconds, besides ten periods.
const PATIENCE_MS: u64 = 60_000;

/// The process of a crowd; it is killed when this is dropped, and ends by itself when this process does.
pub(super) struct CrowdProcess(Child);

impl CrowdProcess {
    pub(super) fn start(run: &Run<'_>, net: &Net<'_>) -> Result<Self, LiveError> {
        let mut command = Command::new(&run.programs.hippodrome);
        command.args(["experiment", "crowd", "--network"]).arg(&net.dir).arg("--out").arg(&run.dir);
        command.args(crowd_flags(run));
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

/// How many come to a run, for how long, and what they say.
pub(super) fn crowd_flags(run: &Run<'_>) -> Vec<String> {
    let Point { pairs, warm_up, rounds, period_ms, .. } = run.point;
    let patience_ms = PATIENCE_MS + 10 * period_ms;
    let flags = [
        ("pairs", pairs.to_string()),
        ("warm-up", warm_up.to_string()),
        ("rounds", rounds.to_string()),
        ("patience", format!("{patience_ms}ms")),
        ("seed", run.talk.to_string()),
    ];
    flags.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect()
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

/// The nodes of a run, wherever they are.
pub(super) trait Nodes: Sync {
    /// Founds their network in the run's directory, and starts them.
    fn start(&self) -> Result<(), LiveError>;

    /// Does something to one of them: `kill`, `freeze`, `thaw` or `start`.
    fn make(&self, deed: &str, node: &str) -> Result<(), LiveError>;

    /// What these have used until now, in their order.
    fn usage(&self, nodes: &[String]) -> Result<Vec<Usage>, LiveError>;

    /// Stops all that run, and has what they wrote in the network's directory.
    fn end(&self) -> Result<(), LiveError>;
}

/// A network that runs; it is stopped when this is dropped.
pub(super) struct Net<'a> {
    nodes: Box<dyn Nodes + 'a>,
    is_up: bool,
    dir: PathBuf,
    servers: u16,
    /// The node that trouble happens to: what it uses is not counted, since it may be another process each time.
    aside: Option<&'a str>,
}

impl<'a> Net<'a> {
    /// Starts it, with a mutant in the place of a server if one is to cheat.
    pub(super) fn up(run: &Run<'a>, shaper: Option<&Shaper>) -> Result<(Self, Option<Mutant>), LiveError> {
        let trouble = run.point.trouble.as_ref();
        let aside = trouble.and_then(Trouble::node);
        let (nodes, servers) = (nodes(run, shaper)?, run.point.servers);
        let net = Self { nodes, is_up: true, dir: run.net(), servers, aside };
        let Some(cheat) = trouble.and_then(Trouble::cheat) else {
            net.nodes.start()?;
            return Ok((net, None));
        };
        let mutant = Mutant::join(&run.programs.mutant, &net.dir, cheat, || net.nodes.start())?;
        Ok((net, Some(mutant)))
    }

    /// Stops it, and has all that its nodes wrote in its directory.
    pub(super) fn end(mut self) -> Result<(), LiveError> {
        self.is_up = false;
        self.nodes.end()
    }

    /// Where its files are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Does something to a node: `kill`, `freeze`, `thaw` or `start`.
    pub(super) fn make(&self, deed: &str, node: &str) -> Result<(), LiveError> {
        self.nodes.make(deed, node)
    }

    fn snapshot(&self, crowd: &CrowdProcess) -> Result<Snapshot, LiveError> {
        let gone = |source| LiveError::Gone { node: "the crowd".into(), source, logs: self.dir.join("logs") };
        let crowd = Usage::of(crowd.0.id()).map_err(gone)?;
        let names: Vec<String> = node_names(self.servers).filter(|node| Some(node.as_str()) != self.aside).collect();
        let (mut servers, mut coordinator) = (Vec::new(), Usage::default());
        for (node, usage) in names.iter().zip(self.nodes.usage(&names)?) {
            match node == COORDINATOR {
                true => coordinator = usage,
                false => servers.push(usage),
            }
        }
        Ok(Snapshot { servers, coordinator, crowd })
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
        if self.is_up
            && let Err(error) = self.nodes.end()
        {
            // The run has failed before, and says why; but nobody else says that something may go on elsewhere.
            eprintln!("hippodrome: {error}");
        }
    }
}

/// The nodes of a run: on its hosts if it has some, else here, behind the shaper, and without the server that cheats.
fn nodes<'a>(run: &Run<'a>, shaper: Option<&Shaper>) -> Result<Box<dyn Nodes + 'a>, LiveError> {
    if let Some(hosts) = run.hosts {
        return Ok(Box::new(OnHosts::new(run, hosts)?));
    }
    let mut flags = run.point.flags(run.network);
    if let Some(shaper) = shaper {
        let path = run.dir.join("fronts.toml");
        flags.extend(["--fronts".into(), path.display().to_string()]);
        fs::write(&path, shaper.fronts().text()).map_err(|source| LiveError::File { path, source })?;
    }
    if let Some((server, _)) = run.point.trouble.as_ref().and_then(Trouble::cheat) {
        flags.extend(["--leave".into(), server.into()]);
    }
    Ok(Box::new(Here::new(&run.programs.hippodrome, run.net(), flags)))
}
