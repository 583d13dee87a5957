//! One run of a scenario, and what came of it.

use std::{cell::RefCell, collections::BTreeSet, num::NonZeroU32, rc::Rc};

use hippodrome_core::{
    ids::Round,
    noise::NoiseParams,
    params::{NetworkParams, Verification},
    submission::{Access, Composer, Submission},
};
use hippodrome_crypto::{hash::Digest, permutation::below};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    invariants::{Cast, Findings, Invariants},
    list::{Kind, Scenario},
    trouble::Trouble,
};
use crate::{
    Behaviour, Network,
    adversary::{
        Mounted, Plot, Plotter,
        cheat::{Answer, By, CHEATS, Cheat, Names, Role},
        forge::Forge,
    },
    client::Sight,
    person::{Diary, Person, check_pair, text_of},
    small_params,
};

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Rounds that were announced and ended, in whatever way.
    pub rounds: u64,
    /// Those of them of which nobody got replies.
    pub failed: u64,
    /// Rounds in which a cheat changed something.
    pub mounted: u64,
    /// Those of them that ended, or in which something was publicly refused or replaced.
    pub detected: u64,
    /// Those of them in which the cheat was named.
    pub named: u64,
    /// Simulated milliseconds from the end of collection of the first round in which a cheat changed something until somebody
    /// was first named; none if nobody was.
    pub naming_ms: Option<u64>,
    /// What must never happen, and did.
    pub violations: Vec<String>,
    /// A digest of who sent what and when, where one was asked for.
    pub digest: Option<Digest>,
}

/// Rounds before the trouble begins.
const WARM_UP_ROUNDS: usize = 2;
/// Periods of trouble.
const TROUBLE_PERIODS: u64 = 4;
/// Periods after the trouble within which everything must have come right again.
const RECOVERY_PERIODS: u64 = 60;
/// Rounds that must complete after the trouble.
const ROUNDS_AFTER: usize = 3;

/// Runs a scenario; everything follows from `seed`. A digest of all messages is made if `with_digest`.
pub fn run(scenario: &Scenario, seed: u64, with_digest: bool) -> Outcome {
    match &scenario.kind {
        Kind::Observed(troubles) => {
            let [talking, silent] = [true, false].map(|talks| {
                let mut stage = Stage::new(&scenario.kind, seed, (troubles.clone(), Vec::new()), talks, with_digest);
                stage.play_for_a_fixed_time();
                stage
            });
            compare(talking, silent)
        }
        kind => {
            let mut rng = ChaCha20Rng::seed_from_u64(seed ^ 0x5ce0_a210);
            let mut stage = Stage::new(kind, seed, cast(kind, &mut rng), true, with_digest);
            match kind {
                Kind::Lasting(ailment) => stage.play_lasting(*ailment),
                _ => stage.play(),
            }
            stage.outcome()
        }
    }
}

/// The faults and cheats of a run.
fn cast(kind: &Kind, rng: &mut ChaCha20Rng) -> Evils {
    let mut pick = |count: u32, of: usize| -> Vec<usize> {
        (0..1 + below(count, rng)).map(|_| below(of as u32, rng) as usize).collect()
    };
    let mut troubles = |count| pick(count, Trouble::ALL.len()).into_iter().map(|index| Trouble::ALL[index]).collect();
    match kind {
        Kind::Calm | Kind::Audited | Kind::Observed(_) | Kind::Lasting(_) => (Vec::new(), Vec::new()),
        Kind::Faults(troubles) => (troubles.clone(), Vec::new()),
        Kind::Cheat(cheat) => (Vec::new(), vec![cheat]),
        Kind::MixedFaults => (troubles(4), Vec::new()),
        Kind::MixedCheats => (Vec::new(), mixable(&pick(3, usize::from(u16::MAX)))),
        Kind::Mixed => (troubles(3), mixable(&pick(2, usize::from(u16::MAX)))),
    }
}

/// Cheats of servers and the coordinator, by chance.
fn mixable(chosen: &[usize]) -> Vec<&'static Cheat> {
    let able: Vec<_> = CHEATS.iter().filter(|cheat| matches!(cheat.by, By::Server(_) | By::Coordinator)).collect();
    let mut seen = BTreeSet::new();
    let cheats = chosen.iter().map(|index| able[index % able.len()]);
    cheats.filter(|cheat| seen.insert(cheat.name)).collect()
}

/// Sizes that are small enough for many rounds, drawn from the seed.
fn draw_params(rng: &mut ChaCha20Rng, cheats: &[&Cheat]) -> (NetworkParams, usize) {
    // Layers, chains, length of a chain, servers. The smallest comes oftenest: rounds are what is wanted.
    const SHAPES: [(u8, u16, u8, usize); 8] = [
        (2, 2, 2, 4),
        (2, 2, 2, 4),
        (2, 2, 2, 4),
        (2, 2, 2, 4),
        (2, 1, 3, 4),
        (2, 2, 3, 5),
        (2, 3, 2, 6),
        (3, 2, 2, 4),
    ];
    let (layers, chains, chain_len, servers) = SHAPES[below(SHAPES.len() as u32, rng) as usize];
    // In the other modes, no claims of missing noise are made.
    let claims = cheats.iter().any(|cheat| cheat.is_of_claims || cheat.attack == "F6");
    let verification = match below(6, rng) {
        _ if claims => Verification::Full,
        0 => Verification::Aggregate,
        1 if cheats.is_empty() => Verification::None,
        _ => Verification::Full,
    };
    let slots = 1 + u16::from(below(4, rng) == 0);
    let noise = NoiseParams::uniform(chains.into());
    let params = NetworkParams { layers, chains, chain_len, verification, slots, noise, ..small_params() };
    let min_live = params.quorum(servers) as u16;
    (NetworkParams { min_live, ..params }, servers)
}

/// A network with its people, and what watches them.
pub(super) struct Stage {
    pub(super) network: Network,
    diaries: Vec<Diary>,
    clients: usize,
    troubles: Vec<Trouble>,
    cheats: Vec<&'static Cheat>,
    mounted: Rc<RefCell<Mounted>>,
    findings: Rc<RefCell<Findings>>,
    pub(super) violations: Vec<String>,
    pub(super) rng: ChaCha20Rng,
}

/// Faults and cheats of a run.
type Evils = (Vec<Trouble>, Vec<&'static Cheat>);

impl Stage {
    fn new(kind: &Kind, seed: u64, (troubles, cheats): Evils, talks: bool, with_digest: bool) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (mut params, servers) = draw_params(&mut rng, &cheats);
        if matches!(kind, Kind::Audited) {
            // So often that a coin picks somebody in every round.
            params.noise.audit = Some(NonZeroU32::MIN);
        }
        let (mut people, diaries) = people(&params, talks, seed, &mut rng);
        let honest_clients = people.len();
        // Two, of which the second is under way before the first is over.
        let rounds = Round(4)..=Round(5);
        for cheat in &cheats {
            let forges: Vec<Forge> = match cheat.by {
                By::Client(forge) => vec![forge],
                By::Clients(forge) => vec![forge; 6],
                By::Server(_) | By::Coordinator => Vec::new(),
            };
            let cheating = forges.into_iter().map(|forge| {
                Box::new(Cheating { params: params.clone(), forge, rounds: rounds.clone() }) as Box<dyn Behaviour>
            });
            people.extend(cheating);
        }
        let (clients, min_live) = (people.len(), params.min_live.into());
        let mut network = Network::new(params, servers, people, seed);
        network.keep_no_record();
        let (plotter, mounted) = Plotter::new(&network, Plot { cheats: cheats.clone(), rounds, seed });
        network.set_adversary(plotter);
        let cast = Cast { servers: servers as u16, min_live, honest_clients, is_calm: kind.is_calm() };
        let (invariants, findings) = Invariants::new(cast, Rc::clone(&mounted), with_digest);
        network.set_watcher(invariants);
        Self { network, diaries, clients, troubles, cheats, mounted, findings, violations: Vec::new(), rng }
    }

    fn period_ms(&self) -> u64 {
        self.network.directory().params().period_ms
    }

    /// Runs step by step until something holds, but not for longer than some periods.
    pub(super) fn run_until(&mut self, periods: u64, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.network.now_ms() + periods * self.period_ms();
        while self.network.now_ms() < end {
            if holds(self) {
                return true;
            }
            self.network.run_for(self.period_ms() / 4);
        }
        holds(self)
    }

    pub(super) fn completed(&self) -> usize {
        self.network.completed().len()
    }

    /// Warm-up, trouble, quiet, end.
    fn play(&mut self) {
        if !self.warm_up() {
            return;
        }
        self.make_trouble();
        let over = self.newest_round() + TROUBLE_PERIODS;
        self.run_until(2 * TROUBLE_PERIODS, |stage| stage.newest_round() >= over);
        let before = self.completed();
        let came_right = |stage: &Self| {
            stage.completed() >= before + ROUNDS_AFTER && stage.all_arrived().is_ok() && stage.guilty_is_out()
        };
        if !self.run_until(RECOVERY_PERIODS, came_right) {
            self.violations.push(format!(
                "no recovery: {} rounds completed after the trouble; {:?}; cheat struck: {}; last failure: {:?}",
                self.completed() - before,
                self.all_arrived(),
                self.guilty_is_out(),
                self.network.failed().last_key_value(),
            ));
        }
        let params = self.network.directory().params();
        let (deadline_ms, audit) = (params.deadline_ms, params.noise.audit);
        if !self.cheats.is_empty() {
            // A round may be delivered while somebody waits in it until its deadline, and says only then for whom.
            self.network.run_for(deadline_ms);
        }
        if audit.is_some() {
            // Coins fall when a round's deadline is over.
            self.network.run_for(deadline_ms + self.period_ms());
            if self.findings.borrow().opened.is_empty() {
                self.violations.push("no noise was opened".into());
            }
        }
    }

    /// Runs the first rounds; whether they complete.
    pub(super) fn warm_up(&mut self) -> bool {
        let completes = self.run_until(RECOVERY_PERIODS, |stage| stage.completed() >= WARM_UP_ROUNDS);
        if !completes {
            self.violations.push("the first rounds do not complete".into());
        }
        completes
    }

    /// As many periods as it takes to talk, whatever happens in them.
    fn play_for_a_fixed_time(&mut self) {
        self.network.run_for(6 * self.period_ms());
        self.make_trouble();
        self.network.run_for((TROUBLE_PERIODS + 8) * self.period_ms());
    }

    /// Whether whoever is guilty, or did not let an epoch begin, has been struck.
    fn guilty_is_out(&self) -> bool {
        let findings = self.findings.borrow();
        let culprit = self.mounted.borrow().culprit;
        let founds = self.cheats.iter().any(|cheat| matches!(cheat.by, By::Server(Role::Founder)));
        let founder = culprit.filter(|_| founds);
        findings.guilty.iter().chain(&founder).all(|server| findings.inactive.contains(server))
    }

    fn make_trouble(&mut self) {
        let span_ms = TROUBLE_PERIODS * self.period_ms();
        for trouble in self.troubles.clone() {
            trouble.schedule(&mut self.network, self.clients, span_ms, &mut self.rng);
        }
    }

    fn newest_round(&self) -> u64 {
        self.network.coordinator().status().round
    }

    /// Whether every text has arrived.
    pub(super) fn all_arrived(&self) -> Result<(), String> {
        self.check_people(true)
    }

    fn check_people(&self, all: bool) -> Result<(), String> {
        self.diaries.chunks_exact(2).try_for_each(|pair| check_pair(&pair[0].borrow(), &pair[1].borrow(), all))
    }

    fn outcome(mut self) -> Outcome {
        if let Err(broken) = self.check_people(false) {
            self.violations.push(broken);
        }
        let mut outcome = Outcome::default();
        self.judge_cheats(&mut outcome);
        let findings = self.findings.borrow();
        outcome.failed = self.network.failed().len() as u64;
        outcome.rounds = self.network.completed().len() as u64 + outcome.failed;
        outcome.naming_ms = self.mounted_ms().zip(findings.first_named_ms).map(|(from, to)| to.saturating_sub(from));
        outcome.violations = self.violations;
        outcome.violations.extend(findings.violations.iter().chain(&self.mounted.borrow().broken).cloned());
        outcome.digest = findings.digest;
        outcome
    }

    /// Cheats with the rounds in which they were mounted; of a client's, the first.
    fn acts(&self) -> Vec<(&'static str, Round)> {
        let is_clients = |cheat: &&&Cheat| matches!(cheat.by, By::Client(_) | By::Clients(_));
        let by_client = self.cheats.iter().find(is_clients).map(|cheat| (cheat.name, Round(4)));
        self.mounted.borrow().acts.iter().copied().chain(by_client).collect()
    }

    /// When collection ended of the first round in which something was mounted.
    fn mounted_ms(&self) -> Option<u64> {
        let epoch = self.network.newest_roster()?.epoch();
        let first = self.acts().into_iter().map(|(_, round)| round).min()?;
        Some(epoch.window_start_ms(first) + self.network.directory().params().collect_ms)
    }

    /// Compares what was mounted with what must come of it.
    fn judge_cheats(&mut self, outcome: &mut Outcome) {
        let findings = self.findings.borrow();
        let mounted = self.mounted.borrow();
        for (name, round) in self.acts() {
            let Some(cheat) = Cheat::named(name) else { continue };
            let detected = findings.signs.contains(&round) || !self.network.completed().contains(&round);
            let named = findings.named.contains(&round);
            outcome.mounted += 1;
            outcome.detected += u64::from(detected);
            outcome.named += u64::from(named);
            // Where several things happen at once, one may keep another from being noticed.
            if !self.troubles.is_empty() || self.cheats.len() > 1 {
                continue;
            }
            match cheat.answer {
                Answer::Detected if !detected => self.violations.push(format!("{name} in {round} went undetected")),
                Answer::Harmless if detected => self.violations.push(format!("{name} in {round} did harm")),
                _ => {}
            }
            let accused = findings.accused.contains(&round);
            let is_full = self.network.directory().params().verification == Verification::Full;
            let as_said = match cheat.names {
                Names::Culprit => named,
                Names::Traced => named || !is_full,
                Names::Accused => accused,
                Names::Nobody => true,
            };
            if !as_said {
                self.violations.push(format!("{name} in {round}: nobody was named"));
            }
            let innocent = findings.inactive.iter().find(|server| mounted.culprit != Some(**server));
            if let (Names::Culprit, Some(innocent)) = (cheat.names, innocent) {
                self.violations.push(format!("{name} in {round}: {innocent} was struck for it, too"));
            }
        }
    }

    /// What was seen on each client's line, up to a time.
    fn sights_until(&self, end_ms: u64) -> Vec<Vec<Sight>> {
        let lines = (0..self.clients).map(|client| self.network.sights(client).iter());
        lines.map(|line| line.copied().filter(|sight| sight.at_ms < end_ms).collect()).collect()
    }
}

/// Nothing on any client's line may tell the two worlds apart.
fn compare(talking: Stage, silent: Stage) -> Outcome {
    // What a server draws for its share of a seed depends on all that it drew before. So the layouts of a second epoch
    // differ from world to world, and with them its times, but only by chance do they tell which is which.
    let redrawn_ms = talking.network.redrawn_ms().into_iter().chain(silent.network.redrawn_ms()).min();
    let end_ms = redrawn_ms.map_or(u64::MAX, |redrawn_ms| redrawn_ms - 2 * talking.period_ms());
    let differ = first_difference(&talking.sights_until(end_ms), &silent.sights_until(end_ms));
    let silent_rounds = silent.outcome();
    let mut outcome = talking.outcome();
    outcome.rounds += silent_rounds.rounds;
    outcome.failed += silent_rounds.failed;
    outcome.violations.extend(silent_rounds.violations);
    if let Some((client, talking, silent)) = differ {
        let what = format!("the line of client {client} shows whether people talk: {talking:?}, and {silent:?} if not");
        outcome.violations.push(what);
    }
    outcome
}

/// The first client whose two lines differ, with what is first seen on one and not on the other.
fn first_difference(one: &[Vec<Sight>], other: &[Vec<Sight>]) -> Option<(usize, Option<Sight>, Option<Sight>)> {
    let lines = one.iter().zip(other).enumerate();
    let mut differing = lines.filter(|(_, (one, other))| one != other);
    let (client, (one, other)) = differing.next()?;
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    Some((client, one.get(same).copied(), other.get(same).copied()))
}

/// One or two pairs, and one person without a contact.
fn people(
    params: &NetworkParams,
    talks: bool,
    seed: u64,
    rng: &mut ChaCha20Rng,
) -> (Vec<Box<dyn Behaviour>>, Vec<Diary>) {
    let mut people: Vec<Box<dyn Behaviour>> = Vec::new();
    let mut diaries = Vec::new();
    for pair in 0..1 + u64::from(below(2, rng)) {
        let mut texts = || {
            let mut number = 0;
            let mut text = |round| {
                number += 1;
                (Round(round), text_of(1 + below(3, rng) as usize, seed.wrapping_add(number)))
            };
            let count = 1 + pair;
            (0..count).map(|index| text(1 + 3 * index)).collect::<Vec<_>>()
        };
        let texts = [texts(), texts()];
        let seed = seed.wrapping_mul(1 << 20).wrapping_add(1 + 2 * pair);
        let both: Vec<(Person, Diary)> = match talks {
            true => Person::pair(params.slots, texts, seed).into(),
            false => (0..2).map(|side| Person::idle(params.slots, seed + side)).collect(),
        };
        for (person, diary) in both {
            people.push(Box::new(person));
            diaries.push(diary);
        }
    }
    people.push(Box::new(Person::idle(params.slots, seed ^ 0xff).0));
    (people, diaries)
}

/// A client that submits forgeries for some rounds.
struct Cheating {
    params: NetworkParams,
    forge: Forge,
    rounds: std::ops::RangeInclusive<Round>,
}

impl Behaviour for Cheating {
    fn accesses(&mut self, round: Round, _: Round) -> Vec<Access> {
        let access = |slot: u16| Access { mailbox: [round.0 as u8 ^ slot as u8; 16], content: [0; 256] };
        (0..self.params.slots).map(access).collect()
    }

    fn forge(&mut self, composer: &Composer<'_>, rng: &mut ChaCha20Rng) -> Option<Submission> {
        let now = self.rounds.contains(&composer.view.round());
        now.then(|| (self.forge)(composer, &self.params, rng))
    }

    fn replies(&mut self, _: Round, _: Option<Vec<hippodrome_core::participant::SlotReply>>) {}
}
