//! Runs scenarios until the time is up, and says what came of them.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use hippodrome_sim::{
    adversary::{cheat::CHEATS, review::FINDINGS},
    scenario::{self, Outcome, Scenario},
};
use serde_json::json;

/// Simulates networks in trouble: servers, coordinator and clients with faults and cheats, and checks what must hold.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// How long to go on, minutes; one run of every scenario without it.
    #[arg(long)]
    minutes: Option<f64>,
    /// The first seed; one after the other follows. By the clock without it.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this scenario. With a seed and without --minutes, it is run once.
    #[arg(long)]
    scenario: Option<String>,
    /// The last line of the output is one JSON object.
    #[arg(long)]
    json: bool,
    /// Append failing seeds to the file of kept seeds.
    #[arg(long)]
    keep: bool,
    /// Run every kept seed, and nothing else.
    #[arg(long)]
    replay: bool,
    /// Name all scenarios, and do nothing.
    #[arg(long)]
    list: bool,
    /// Print the table of all cheats, and do nothing.
    #[arg(long)]
    cheats: bool,
    /// Print the table of the review's findings, and do nothing.
    #[arg(long)]
    findings: bool,
    /// Threads; as many as there are cores without it.
    #[arg(long)]
    threads: Option<usize>,
}

/// Seeds that once failed, one a line: scenario and number.
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds.txt");

/// Rounds between two words about the progress.
const PROGRESS: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        scenario::all().iter().for_each(|scenario| println!("{}", scenario.name));
        return ExitCode::SUCCESS;
    }
    if options.cheats {
        CHEATS.iter().for_each(|cheat| println!("{}", cheat.row()));
        return ExitCode::SUCCESS;
    }
    if options.findings {
        FINDINGS.iter().for_each(|finding| println!("{}", finding.row()));
        return ExitCode::SUCCESS;
    }
    match jobs(&options) {
        Ok(jobs) => simulate(&options, &jobs),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// What is to be run: scenarios turn by turn with seed after seed, or a list of both.
enum Jobs {
    Turns { scenarios: Vec<Scenario>, first_seed: u64 },
    Listed(Vec<(Scenario, u64)>),
}

impl Jobs {
    fn get(&self, index: u64) -> Option<(&Scenario, u64)> {
        match self {
            Self::Turns { scenarios, first_seed } => {
                let scenario = &scenarios[index as usize % scenarios.len()];
                Some((scenario, first_seed.wrapping_add(index / scenarios.len() as u64)))
            }
            Self::Listed(jobs) => jobs.get(usize::try_from(index).ok()?).map(|(scenario, seed)| (scenario, *seed)),
        }
    }
}

fn jobs(options: &Options) -> Result<Jobs, String> {
    let find = |name: &str| {
        scenario::named(name).ok_or_else(|| format!("there is no scenario `{name}`: --list names them all"))
    };
    if options.replay {
        return Ok(Jobs::Listed(kept_seeds(Path::new(SEEDS), find)?));
    }
    let scenarios = match &options.scenario {
        Some(name) => vec![find(name)?],
        None => scenario::all(),
    };
    let first_seed = options.seed.unwrap_or_else(seed_by_the_clock);
    Ok(Jobs::Turns { scenarios, first_seed })
}

fn seed_by_the_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Small enough to be typed, and to stay a whole number in every reader of JSON.
    since.as_millis() as u64 % (1 << 40)
}

fn kept_seeds(path: &Path, find: impl Fn(&str) -> Result<Scenario, String>) -> Result<Vec<(Scenario, u64)>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let job = |line: &str| {
        let bad = || format!("{}: expected a scenario and a seed, not `{line}`", path.display());
        let (name, seed) = line.split_once(' ').ok_or_else(bad)?;
        Ok((find(name)?, seed.trim().parse().map_err(|_| bad())?))
    };
    lines.map(job).collect()
}

/// What came of all runs.
#[derive(Default)]
struct Report {
    runs: u64,
    rounds: u64,
    violations: u64,
    scenarios: BTreeMap<String, Line>,
}

/// What came of the runs of one scenario.
#[derive(Default)]
struct Line {
    runs: u64,
    rounds: u64,
    failed: u64,
    mounted: u64,
    detected: u64,
    named: u64,
    /// Runs in which somebody was named, and how long that took in all of them together.
    naming_runs: u64,
    naming_ms: u64,
    violations: u64,
}

impl Line {
    /// On the average of the runs in which somebody was named.
    fn mean_naming_ms(&self) -> Option<f64> {
        (self.naming_runs > 0).then(|| self.naming_ms as f64 / self.naming_runs as f64)
    }
}

impl Report {
    fn add(&mut self, scenario: &Scenario, outcome: &Outcome) {
        let violations = outcome.violations.len() as u64;
        self.runs += 1;
        self.rounds += outcome.rounds;
        self.violations += violations;
        let line = self.scenarios.entry(scenario.name.clone()).or_default();
        line.runs += 1;
        line.rounds += outcome.rounds;
        line.mounted += outcome.mounted;
        line.detected += outcome.detected;
        line.named += outcome.named;
        line.failed += outcome.failed;
        line.naming_runs += u64::from(outcome.naming_ms.is_some());
        line.naming_ms += outcome.naming_ms.unwrap_or(0);
        line.violations += violations;
    }

    fn to_json(&self, seconds: f64) -> serde_json::Value {
        let line = |line: &Line| {
            json!({
                "runs": line.runs, "rounds": line.rounds, "mounted": line.mounted, "detected": line.detected,
                "named": line.named, "violations": line.violations, "failed": line.failed,
                "naming_ms": line.mean_naming_ms(),
            })
        };
        let scenarios: serde_json::Map<_, _> =
            self.scenarios.iter().map(|(name, counts)| (name.clone(), line(counts))).collect();
        json!({
            "runs": self.runs, "rounds": self.rounds, "violations": self.violations, "seconds": seconds,
            "scenarios": scenarios,
        })
    }

    fn print(&self) {
        println!(
            "{:32}{:>7}{:>8}{:>8}{:>9}{:>10}{:>7}{:>11}{:>12}",
            "scenario", "runs", "rounds", "failed", "mounted", "detected", "named", "naming ms", "violations"
        );
        for (name, line) in &self.scenarios {
            let Line { runs, rounds, failed, mounted, detected, named, violations, .. } = line;
            let naming = line.mean_naming_ms().map_or("-".into(), |ms| format!("{ms:.0}"));
            println!(
                "{name:32}{runs:>7}{rounds:>8}{failed:>8}{mounted:>9}{detected:>10}{named:>7}{naming:>11}{violations:>12}"
            );
        }
        println!("{} rounds in {} runs, {} violations", self.rounds, self.runs, self.violations);
    }
}

fn simulate(options: &Options, jobs: &Jobs) -> ExitCode {
    let started = Instant::now();
    let ends = options.minutes.map(|minutes| started + Duration::from_secs_f64(minutes.max(0.0) * 60.0));
    let once = match jobs {
        Jobs::Turns { scenarios, .. } => scenarios.len() as u64,
        Jobs::Listed(listed) => listed.len() as u64,
    };
    let next = AtomicU64::new(0);
    let report = Mutex::new((Report::default(), started));
    let is_over = |index: u64| match (jobs, ends) {
        (Jobs::Turns { .. }, Some(ends)) => Instant::now() >= ends,
        _ => index >= once,
    };
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((scenario, seed)) = (!is_over(index)).then(|| jobs.get(index)).flatten() else { return };
            let outcome = scenario::run(scenario, seed, false);
            tell_violations(options, scenario, seed, &outcome);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.0.add(scenario, &outcome);
            if report.1.elapsed() >= PROGRESS {
                report.1 = Instant::now();
                let (rounds, seconds) = (report.0.rounds, started.elapsed().as_secs_f64());
                let violations = report.0.violations;
                eprintln!("{rounds} rounds, {:.1} a second, {violations} violations", rounds as f64 / seconds);
            }
        }
    };
    let threads = options.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            // Each run stays on its thread: many small networks side by side need no parallel batches.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be made");
            scope.spawn(move || pool.install(work));
        }
    });
    let (report, _) = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.print();
    if options.json {
        println!("{}", report.to_json(started.elapsed().as_secs_f64()));
    }
    if report.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell_violations(options: &Options, scenario: &Scenario, seed: u64, outcome: &Outcome) {
    if outcome.violations.is_empty() {
        return;
    }
    let name = &scenario.name;
    for violation in outcome.violations.iter().take(5) {
        eprintln!("{name}: {violation}");
    }
    eprintln!("again with: cargo run --release -p hippodrome-sim -- --scenario {name} --seed {seed}");
    if options.keep {
        let kept = OpenOptions::new().create(true).append(true).open(SEEDS);
        if let Err(error) = kept.and_then(|mut file| writeln!(file, "{name} {seed}")) {
            eprintln!("cannot keep the seed in {SEEDS}: {error}");
        }
    }
}
