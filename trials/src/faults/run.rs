//! The trial itself.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::Rng;

use super::{Fault, FaultReport, Options, Report};
use crate::{
    TrialError,
    binary::Binary,
    chat::Chat,
    testnet::Testnet,
    texts,
    watch::{Standing, Watch},
};

/// Rounds that have to complete after a fault before it counts as overcome.
const ROUNDS_AFTER: u64 = 3;
/// How long a conversation may take to begin, and its last texts to be delivered.
const TALK_PATIENCE: Duration = Duration::from_secs(300);

/// Runs the trial; tells what happens, a fault at a time.
///
/// # Errors
/// Whatever keeps the trial from being made. What the network does wrong is in the report.
pub fn run(binary: &Binary, options: &Options, mut tell: impl FnMut(&FaultReport)) -> Result<Report, TrialError> {
    let trial = Trial::begin(binary, options)?;
    let mut rng = ChaCha20Rng::seed_from_u64(options.seed);
    let mut faults = Vec::new();
    for fault in options.schedule.faults() {
        let report = trial.undergo(&fault, &mut rng)?;
        tell(&report);
        faults.push(report);
    }
    trial.end(options.seed, faults)
}

/// A network with two people who talk.
struct Trial<'a> {
    options: &'a Options,
    // Fields are dropped in this order: who looks and talks goes before the network.
    watch: Watch,
    alice: Chat,
    bob: Chat,
    net: Arc<Testnet>,
    began: Instant,
}

impl<'a> Trial<'a> {
    fn begin(binary: &Binary, options: &'a Options) -> Result<Self, TrialError> {
        let (servers, period) = (options.schedule.servers.to_string(), format!("{}ms", options.period.as_millis()));
        let mut flags = vec!["--servers", &servers, "--period", &period, "--seats", "2"];
        flags.extend(options.shape.iter().map(String::as_str));
        let net = Arc::new(Testnet::up(binary, &options.dir, &flags)?);
        let (alice, bob) = (Chat::start(&net, "alice")?, Chat::start(&net, "bob")?);
        alice.introduce(&bob, TALK_PATIENCE)?;
        alice.talk(options.seed);
        bob.talk(options.seed.wrapping_add(1));
        let watch = Watch::new(Arc::clone(&net));
        let trial = Self { options, watch, alice, bob, net, began: Instant::now() };
        let until = Instant::now() + options.patience;
        if !trial.watch.wait(until, |standing| standing.completed >= ROUNDS_AFTER) {
            return Err(TrialError::Late { what: "a first round".into(), patience: options.patience });
        }
        Ok(trial)
    }

    /// Lets a fault happen, and waits until it is overcome.
    fn undergo(&self, fault: &Fault, rng: &mut ChaCha20Rng) -> Result<FaultReport, TrialError> {
        self.pause(2 * self.options.period, rng);
        let mut course = Course::new(self.watch.standing());
        let at = self.began.elapsed();
        let lost = match fault {
            Fault::KillCoordinator => self.kill_coordinator(&mut course, rng)?,
            Fault::KillServer(_) => self.kill_server(&fault.node(), &mut course).map(|()| 0)?,
            Fault::FreezeServer(_, span) => self.freeze_server(&fault.node(), *span, &mut course).map(|()| 0)?,
        };
        let after = self.watch.standing();
        Ok(FaultReport {
            fault: fault.to_string(),
            at_s: at.as_secs_f64(),
            rounds_failed: after.failed - course.before.failed,
            rounds_lost: lost,
            next_round_s: course.next_round.map(|span| span.as_secs_f64()),
            longest_gap_s: self.watch.longest_gap(course.began).map(|span| span.as_secs_f64()),
            membership: after.changes[course.before.changes.len()..].to_vec(),
            delivered: self.delivered(),
            problem: course.problem,
        })
    }

    fn kill_coordinator(&self, course: &mut Course, rng: &mut ChaCha20Rng) -> Result<u64, TrialError> {
        self.net.kill("coordinator")?;
        let lost = course.before.in_flight;
        self.pause(self.options.period, rng);
        self.net.start("coordinator")?;
        self.wait_for_rounds(course, "after the coordinator was back");
        Ok(lost)
    }

    fn kill_server(&self, node: &str, course: &mut Course) -> Result<(), TrialError> {
        self.net.kill(node)?;
        self.wait_for_rounds(course, "without it");
        self.net.start(node)?;
        self.wait_for_return(node, course);
        Ok(())
    }

    fn freeze_server(&self, node: &str, span: Duration, course: &mut Course) -> Result<(), TrialError> {
        self.net.freeze(node)?;
        let thaw = Instant::now() + span;
        // A short freeze may be over before anybody has given up the server.
        self.watch.wait(thaw, |standing| course.is_overcome(standing));
        thread::sleep(thaw.saturating_duration_since(Instant::now()));
        self.net.thaw(node)?;
        self.wait_for_rounds(course, "after it was frozen");
        self.wait_for_return(node, course);
        Ok(())
    }

    /// Waits until some rounds have completed that were announced after the fault.
    fn wait_for_rounds(&self, course: &mut Course, when: &str) {
        let patience = self.options.patience;
        if !self.watch.wait(Instant::now() + patience, |standing| course.is_overcome(standing)) {
            course.blame(format!("no {ROUNDS_AFTER} rounds within {} s {when}", patience.as_secs_f64()));
        }
    }

    /// Waits until a server that is there again takes part, and rounds complete.
    fn wait_for_return(&self, node: &str, course: &mut Course) {
        let patience = self.options.return_patience;
        if !self
            .watch
            .wait(Instant::now() + patience, |standing| !standing.membership.out.iter().any(|out| out == node))
        {
            course.blame(format!("it did not take part again within {} s", patience.as_secs_f64()));
        }
        let mut again = Course::new(self.watch.standing());
        self.wait_for_rounds(&mut again, "once it was back");
        course.next_round = course.next_round.or(again.next_round.map(|_| course.began.elapsed()));
        again.problem.into_iter().for_each(|problem| course.blame(problem));
    }

    /// Waits for some time below `longest`, so that faults meet rounds in every phase.
    fn pause(&self, longest: Duration, rng: &mut ChaCha20Rng) {
        thread::sleep(longest.mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX)));
    }

    fn delivered(&self) -> usize {
        self.alice.counts().1 + self.bob.counts().1
    }

    /// Lets both people finish, and compares what each said with what the other has.
    fn end(self, seed: u64, faults: Vec<FaultReport>) -> Result<Report, TrialError> {
        let people = [&self.alice, &self.bob];
        people.iter().for_each(|person| person.fall_silent());
        let mut problems: Vec<String> =
            faults.iter().filter_map(|fault| Some(format!("{}: {}", fault.fault, fault.problem.as_ref()?))).collect();
        for person in people {
            let late = person.wait_until_delivered(TALK_PATIENCE).err();
            problems.extend(late.map(|late| late.to_string()));
        }
        let (alice, bob) = (self.alice.history(TALK_PATIENCE)?, self.bob.history(TALK_PATIENCE)?);
        let (alice_said, alice_received) = self.alice.said_and_received();
        let (bob_said, bob_received) = self.bob.said_and_received();
        for (what, said, got) in [
            ("bob's screen", &alice_said, &bob_received),
            ("bob's history", &alice_said, &bob.theirs),
            ("alice's own history", &alice_said, &alice.own),
            ("alice's screen", &bob_said, &alice_received),
            ("alice's history", &bob_said, &alice.theirs),
            ("bob's own history", &bob_said, &bob.own),
        ] {
            problems.extend(texts::difference(said, got).map(|difference| format!("{what}: {difference}")));
        }
        let standing = self.watch.standing();
        Ok(Report {
            seed,
            seconds: self.began.elapsed().as_secs_f64(),
            rounds_completed: standing.completed,
            rounds_failed: standing.failed,
            rounds_lost: faults.iter().map(|fault| fault.rounds_lost).sum(),
            texts_said: alice_said.len() + bob_said.len(),
            texts_delivered: alice_received.len() + bob_received.len(),
            texts_longer_than_a_frame: alice_said.iter().chain(&bob_said).filter(|text| texts::is_long(text)).count(),
            faults,
            problems,
        })
    }
}

/// What a fault has led to so far.
struct Course {
    began: Instant,
    before: Standing,
    /// Rounds completed when the first round after the fault was announced: whatever completes up to then may have been
    /// past harm already.
    completed_before: Option<u64>,
    /// How long it took until the next round completed.
    next_round: Option<Duration>,
    problem: Option<String>,
}

impl Course {
    fn new(before: Standing) -> Self {
        Self { began: Instant::now(), before, completed_before: None, next_round: None, problem: None }
    }

    /// Whether enough rounds have completed.
    fn is_overcome(&mut self, standing: &Standing) -> bool {
        if !standing.up || standing.announced <= self.before.announced {
            return false;
        }
        let base = *self.completed_before.get_or_insert(standing.completed);
        if standing.completed > base {
            self.next_round.get_or_insert_with(|| self.began.elapsed());
        }
        standing.completed >= base + ROUNDS_AFTER
    }

    /// Notes what is wrong; the first counts.
    fn blame(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}
