//! The coordinator with real mix servers, killed between any two of the things that it wants done.

use std::{collections::VecDeque, sync::Mutex};

use hippodrome_crypto::signing::SigningKey;

use super::*;
use crate::{
    evidence::{BadProof, Evidence},
    ids::{Layer, Party, RosterId, Stage},
    marks::{Act, MemoryMarks},
    message::{Abort, AbortReason, Awaited, Charge, Missing, Proof},
    mixer::{self, Mixer},
    noise::NoiseParams,
    params::{NetworkParams, Verification},
    statement, testing,
};

const SERVERS: u16 = 4;
/// Milliseconds from one look at the clock to the next.
const STEP_MS: u64 = 50;

fn params() -> NetworkParams {
    NetworkParams {
        name: "a test".into(),
        chains: 1,
        chain_len: 2,
        layers: 1,
        verification: Verification::Full,
        slots: 1,
        noise: NoiseParams::uniform(1),
        period_ms: 1000,
        collect_ms: 500,
        deadline_ms: 2000,
        max_batch: 100,
        bad_servers: 1,
        min_live: 3,
        failure_bits: 0,
        epoch_ms: 4000,
    }
}

fn key(server: ServerId) -> SigningKey {
    SigningKey::from_seed(&[server.0 as u8 + 1; 32])
}

/// A message, from whom and to whom.
type Letter = (Party, Party, Message);

/// What becomes of a message.
enum Fate {
    Arrives,
    /// Never.
    Lost,
    /// After so many milliseconds.
    Later(u64),
}

/// Machines whose messages arrive at once, and what is on their disks.
struct World {
    now_ms: u64,
    /// By how much the coordinator's clock is ahead.
    ahead_ms: u64,
    directory: Arc<Directory>,
    coordinator: Coordinator,
    coordinator_marks: MemoryMarks,
    kept: Option<CoordinatorState>,
    /// None while it is down.
    mixers: Vec<Option<Mixer>>,
    on_their_way: VecDeque<Letter>,
    /// What was delayed, and when it arrives.
    delayed: Vec<(u64, Letter)>,
    /// What came for the coordinator while it does nothing; none if it is awake.
    inbox: Option<Vec<(ServerId, Message)>>,
    /// What is to be judged, while that takes its time; none if it is done at once.
    inquiries: Option<Vec<Inquiry>>,
    /// Decides about each message that is sent.
    fate: Box<dyn FnMut(&Letter) -> Fate>,
    /// Things that the coordinator still gets done before it is killed.
    lives: usize,
    killed: usize,
    /// Rounds whose descriptor was proposed, and by which coordinator.
    proposed: BTreeMap<Round, usize>,
    completed: BTreeSet<Round>,
    /// Who was found at fault, in order.
    at_fault: Vec<ServerId>,
}

impl World {
    fn new() -> Self {
        Self::with(params())
    }

    fn with(params: NetworkParams) -> Self {
        let keys: Vec<_> = (0..SERVERS).map(|index| key(ServerId(index))).collect();
        let directory = Arc::new(testing::found(params, &keys));
        // With one seed for all, two servers could make noise with the same keys, of which none is let in.
        let mixer = |(seed, key): (u8, SigningKey)| {
            let marks = Marks::new(Box::<MemoryMarks>::default());
            Mixer::new(Arc::clone(&directory), key, marks, [seed; 32]).expect("its key is in the directory")
        };
        let mixers = (0..).zip(keys).map(|keyed| Some(mixer(keyed))).collect();
        let marks = MemoryMarks::default();
        let coordinator = Coordinator::new(Arc::clone(&directory), Vec::new(), Marks::new(Box::new(marks.clone())));
        Self {
            now_ms: 1_700_000_000_000,
            ahead_ms: 0,
            directory,
            coordinator,
            coordinator_marks: marks,
            kept: None,
            mixers,
            on_their_way: VecDeque::new(),
            delayed: Vec::new(),
            inbox: None,
            inquiries: None,
            fate: Box::new(|_| Fate::Arrives),
            lives: usize::MAX,
            killed: 0,
            proposed: BTreeMap::new(),
            completed: BTreeSet::new(),
            at_fault: Vec::new(),
        }
    }

    /// Goes on until something holds, for so many seconds at most.
    #[track_caller]
    fn run_until(&mut self, seconds: u64, holds: impl Fn(&Self) -> bool) {
        for step in 0..seconds * 1000 / STEP_MS {
            if holds(self) {
                return;
            }
            self.now_ms += STEP_MS;
            if step.is_multiple_of(20) {
                self.greet();
            }
            self.drive_coordinator(Input::Tick);
            for index in 0..SERVERS {
                self.drive_mixer(ServerId(index), mixer::Input::Tick);
            }
            let now_ms = self.now_ms;
            self.on_their_way.extend(self.delayed.extract_if(.., |(due_ms, _)| *due_ms <= now_ms).map(|(_, it)| it));
            while let Some((from, to, message)) = self.on_their_way.pop_front() {
                match (from, to) {
                    (Party::Server(from), Party::Coordinator) => {
                        self.drive_coordinator(Input::Message { from, message });
                    }
                    (from, Party::Server(to)) => self.drive_mixer(to, mixer::Input::Message { from, message }),
                    (Party::Coordinator, Party::Coordinator) => {}
                }
            }
        }
        assert!(holds(self), "{:#?}", self.coordinator.status());
    }

    fn greet(&mut self) {
        for (id, mixer) in (0..).map(ServerId).zip(&self.mixers) {
            let Some(mixer) = mixer else { continue };
            let hello = Hello { address: format!("host:{}", id.0 + 1), roster: mixer.roster_id() };
            self.on_their_way.push_back((Party::Server(id), Party::Coordinator, Message::Hello(hello)));
        }
    }

    /// Has the coordinator do nothing for so long, and then hear what came.
    fn pause_coordinator(&mut self, ms: u64) {
        self.inbox = Some(Vec::new());
        let until_ms = self.now_ms + ms;
        self.run_until(ms / 1000 + 1, |world| world.now_ms >= until_ms);
        for (from, message) in self.inbox.take().unwrap_or_default() {
            self.drive_coordinator(Input::Message { from, message });
        }
    }

    fn send(&mut self, letter: Letter) {
        match (self.fate)(&letter) {
            Fate::Arrives => self.on_their_way.push_back(letter),
            Fate::Lost => {}
            Fate::Later(after_ms) => self.delayed.push((self.now_ms + after_ms, letter)),
        }
    }

    fn drive_mixer(&mut self, id: ServerId, input: mixer::Input) {
        let mut inputs = VecDeque::from([input]);
        while let (Some(input), Some(mixer)) = (inputs.pop_front(), &mut self.mixers[usize::from(id.0)]) {
            for output in mixer.handle(self.now_ms, input) {
                match output {
                    mixer::Output::Send { to, message, .. } => {
                        self.send((Party::Server(id), to, (*message).clone()));
                    }
                    mixer::Output::Run(job) => inputs.push_back(mixer::Input::Done(job.run())),
                    _ => {}
                }
            }
        }
    }

    fn drive_coordinator(&mut self, input: Input) {
        if let Some(inbox) = &mut self.inbox {
            if let Input::Message { from, message } = input {
                inbox.push((from, message));
            }
            return;
        }
        let before: Vec<ServerId> = self.coordinator.faulty.keys().copied().collect();
        let outputs = self.coordinator.handle(self.now_ms + self.ahead_ms, input);
        self.at_fault.extend(self.coordinator.faulty.keys().filter(|server| !before.contains(server)));
        self.perform(outputs);
    }

    /// Has everything judged that waits for it, and from now on all at once.
    fn judge(&mut self) {
        for inquiry in self.inquiries.take().into_iter().flatten() {
            self.drive_coordinator(Input::Judged(Box::new(inquiry.run())));
        }
    }

    fn perform(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            let Some(lives) = self.lives.checked_sub(1) else { return self.restart() };
            self.lives = lives;
            match output {
                Output::Send { to, message, .. } => {
                    if let Message::DescriptorProposal(proposal) = &*message {
                        let by = *self.proposed.entry(proposal.round).or_insert(self.killed);
                        assert_eq!(by, self.killed, "{} is proposed by two coordinators", proposal.round);
                    }
                    self.send((Party::Coordinator, Party::Server(to), (*message).clone()));
                }
                Output::Keep(state) => {
                    assert_eq!(Some(state.roster_id()), self.coordinator.roster().map(|roster| roster.id()));
                    self.kept = Some(*state);
                }
                Output::Judge(inquiry) => match &mut self.inquiries {
                    Some(inquiries) => inquiries.push(*inquiry),
                    None => self.drive_coordinator(Input::Judged(Box::new(inquiry.run()))),
                },
                Output::Delivered(round) => drop(self.completed.insert(round)),
                _ => {}
            }
        }
    }

    /// What was not done is never done; what was kept is all that is left.
    fn restart(&mut self) {
        let (directory, marks) = (Arc::clone(&self.directory), Marks::new(Box::new(self.coordinator_marks.clone())));
        self.coordinator = match self.kept.clone() {
            Some(kept) => Coordinator::restore(directory, Vec::new(), marks, kept).expect("a coordinator kept it"),
            None => Coordinator::new(directory, Vec::new(), marks),
        };
        self.lives = usize::MAX;
        self.killed += 1;
    }

    /// Who has a position in the first chain.
    fn member(&self, position: usize) -> ServerId {
        let roster = self.coordinator.roster().expect("an epoch");
        roster.members(Layer(0), ChainId(0))[position]
    }

    /// A round under way in which a server takes part, while nobody is at fault.
    fn round_with(&self, server: ServerId) -> Option<Round> {
        let open = self.coordinator.open_rounds(self.now_ms);
        let taken = |round: &Round| self.coordinator.roster_of(*round).is_some_and(|roster| roster.is_active(server));
        let is_quiet = self.coordinator.faulty.is_empty();
        open.into_iter().rfind(|round| {
            is_quiet && self.coordinator.collecting[round].began_ms() > self.coordinator.forgiven_ms && taken(round)
        })
    }

    /// Has a bad server say that it releases nothing more in a round, although it does.
    fn abort(&mut self, from: ServerId, round: Round, reason: AbortReason) {
        let stage = Stage { round, layer: Layer(0), chain: ChainId(0) };
        let digest = self.coordinator.descriptor_digest(round).expect("an announced round");
        let signature = key(from).sign(&statement::abort(&digest, stage, &reason));
        let message = Message::Abort(Abort { stage, reason, signature });
        self.on_their_way.push_back((Party::Server(from), Party::Coordinator, message));
    }

    /// Has a server show evidence.
    fn charge(&mut self, from: ServerId, round: Round, evidence: &Arc<Evidence>) {
        let charge = Message::Charge(Charge { round, evidence: Arc::clone(evidence) });
        self.on_their_way.push_back((Party::Server(from), Party::Coordinator, charge));
    }

    /// Has a server say a hello as it does when it was restarted.
    fn forget(&mut self, server: ServerId) {
        let hello = Hello { address: format!("host:{}", server.0 + 1), roster: RosterId { epoch: 0, amendment: 0 } };
        self.on_their_way.push_back((Party::Server(server), Party::Coordinator, Message::Hello(hello)));
    }

    fn takes_no_part(&self, server: ServerId, round: Round) -> bool {
        self.coordinator.roster_of(round).is_some_and(|roster| !roster.is_active(server))
    }

    fn active(&self) -> usize {
        self.coordinator.roster().map_or(0, |roster| roster.active().len())
    }
}

#[test]
fn a_coordinator_killed_between_any_two_steps_goes_on_and_proposes_no_round_twice() {
    for lives in (0..150).step_by(3) {
        let mut world = World::new();
        world.lives = lives;
        world.run_until(60, |world| world.killed == 1 && world.completed.len() >= 2);
        assert_eq!(world.active(), SERVERS.into(), "killed after {lives} things: {:#?}", world.coordinator.status());
    }
}

#[test]
fn a_coordinator_killed_between_any_two_steps_of_an_amendment_strikes_again() {
    for lives in (0..100).step_by(3) {
        let mut world = World::new();
        world.run_until(20, |world| !world.completed.is_empty());
        world.mixers[2] = None;
        world.lives = lives;
        world.run_until(60, |world| world.killed == 1 && world.active() == 3);
        let completed = world.completed.len();
        world.run_until(60, |world| world.completed.len() >= completed + 2);
    }
}

#[test]
fn what_is_due_stays_due_until_the_coordinator_looks() {
    let mut world = World::new();
    while world.completed.len() < 3 {
        let now_ms = world.now_ms;
        let due_ms = world.coordinator.next_tick_ms(now_ms);
        for late_ms in [0, 1, 20, 300] {
            let still_ms = world.coordinator.next_tick_ms(due_ms + late_ms);
            assert!(still_ms <= due_ms, "due at {due_ms} ms, but {late_ms} ms after that at {still_ms} ms");
        }
        world.run_until(1, |world| world.now_ms > now_ms);
    }
}

#[test]
fn a_server_that_keeps_its_last_word_back_does_not_slow_down_the_others() {
    let mut world = World::with(NetworkParams { deadline_ms: 5000, ..params() });
    world.run_until(20, |world| !world.completed.is_empty());
    let lingers = world.member(0);
    world.fate = Box::new(move |(from, _, message)| match message {
        Message::Replies(_) | Message::Report(_) if *from == Party::Server(lingers) => Fate::Later(4000),
        _ => Fate::Arrives,
    });
    let (before, end_ms) = (world.proposed.len(), world.now_ms + 20_000);
    world.run_until(21, |world| world.now_ms >= end_ms);
    let opened = world.proposed.len() - before;
    assert!(opened >= 19, "{opened} rounds were opened in 20 periods: {:#?}", world.coordinator.status());
}

#[test]
fn many_restarts_use_up_numbers_and_repeat_none() {
    let mut world = World::new();
    for lives in [11, 70, 5, 120, 33, 61, 2, 90] {
        let killed = world.killed;
        world.lives = lives;
        world.run_until(60, |world| world.killed > killed);
    }
    let completed = world.completed.len();
    world.run_until(60, |world| world.completed.len() > completed + 2);
    let rounds: Vec<_> = world.proposed.iter().collect();
    assert!(rounds.windows(2).all(|pair| pair[0].1 <= pair[1].1), "rounds only go up: {rounds:?}");
}

/// Opens rounds with a first server that is late with the keys of one, and a second one that is slow.
fn strikes_for_late_keys(late_ms: u64, slow_ms: u64) -> (Vec<ServerId>, ServerId) {
    let mut world = World::new();
    world.run_until(20, |world| !world.completed.is_empty());
    let (first, second) = (world.member(0), world.member(1));
    let mut late = None;
    world.fate = Box::new(move |letter| match letter {
        (Party::Server(from), Party::Coordinator, Message::Keys(keys)) if *from == first => {
            if *late.get_or_insert(keys.round) == keys.round { Fate::Later(late_ms) } else { Fate::Arrives }
        }
        (Party::Server(from), Party::Coordinator, Message::Keys(_)) if *from == second => Fate::Later(slow_ms),
        _ => Fate::Arrives,
    });
    world.run_until(20, |world| !world.at_fault.is_empty());
    (world.at_fault, first)
}

#[test]
fn whoever_keeps_keys_back_until_others_have_opened_the_next_round_is_struck_alone() {
    for (late_ms, slow_ms) in [(1000, 0), (1100, 0), (900, 200), (1300, 100)] {
        let (struck, first) = strikes_for_late_keys(late_ms, slow_ms);
        assert_eq!(struck, [first], "{late_ms} ms late");
    }
}

#[test]
fn a_liar_that_accuses_one_after_another_is_struck_about_as_often_as_they_are() {
    let (mut world, liar) = (World::new(), ServerId(0));
    for lie in 0..6 {
        world.run_until(300, |world| world.round_with(liar).is_some());
        let round = world.round_with(liar).expect("just found");
        let active = world.coordinator.roster_of(round).expect("announced").active();
        let others: Vec<ServerId> = active.iter().copied().filter(|server| *server != liar).collect();
        let victim = others[lie % others.len()];
        let struck = world.at_fault.len();
        world.abort(liar, round, AbortReason::BadMessage(victim));
        world.run_until(20, |world| world.at_fault.len() > struck);
        let lost = world.at_fault.iter().filter(|server| **server == liar).count();
        assert!(world.at_fault.len() - lost <= lost + 1, "the liar is server 0: {:?}", world.at_fault);
    }
}

#[test]
fn whoever_accuses_one_that_takes_no_part_is_struck() {
    let mut world = World::new();
    world.run_until(20, |world| world.round_with(ServerId(1)).is_some());
    let round = world.round_with(ServerId(1)).expect("just found");
    world.abort(ServerId(1), round, AbortReason::BadMessage(ServerId(77)));
    world.run_until(20, |world| !world.at_fault.is_empty());
    assert_eq!(world.at_fault, [ServerId(1)]);
}

#[test]
fn whoever_waited_for_a_restarted_server_is_not_struck_for_saying_so() {
    let mut world = World::new();
    world.run_until(20, |world| world.round_with(ServerId(2)).is_some());
    let round = world.round_with(ServerId(2)).expect("just found");
    world.forget(ServerId(2));
    let missing = Missing { what: Awaited::Batch, from: Some(ServerId(2)) };
    // It came off before, so it is the one that would be struck.
    let about_another = AbortReason::Deadline(Missing { what: Awaited::Batch, from: Some(ServerId(3)) });
    world.coordinator.disputes.came_off(ServerId(1));
    world.abort(ServerId(1), round, AbortReason::Deadline(missing));
    let completed = world.completed.len();
    world.run_until(20, |world| world.completed.len() > completed + 4);
    assert_eq!(world.at_fault, []);
    let round = world.round_with(ServerId(1)).expect("rounds go on");
    world.abort(ServerId(1), round, about_another);
    world.run_until(20, |world| !world.at_fault.is_empty());
    assert_eq!(world.at_fault, [ServerId(1)], "nobody was restarted");
}

/// A network without spare servers, of which one keeps to itself what `is_kept` says, for so many simulated seconds: how
/// many draws there were.
fn draws_of_a_network_with_a_mute_server(seconds: u64, is_kept: impl Fn(&Message) -> bool + 'static) -> u64 {
    let mut world = World::with(NetworkParams { min_live: SERVERS, ..params() });
    world.fate = Box::new(move |(from, _, message)| match is_kept(message) && *from == Party::Server(ServerId(1)) {
        true => Fate::Lost,
        false => Fate::Arrives,
    });
    let until_ms = world.now_ms + seconds * 1000;
    world.run_until(seconds, |world| world.now_ms >= until_ms);
    assert!(world.coordinator.epoch().is_none());
    let marks = Marks::new(Box::new(world.coordinator_marks.clone()));
    marks.highest(Act::Epoch).expect("memory").map_or(0, |number| number.0)
}

#[test]
fn a_server_that_commits_to_nothing_costs_no_draw() {
    assert_eq!(draws_of_a_network_with_a_mute_server(3600, |message| matches!(message, Message::SeedCommitment(_))), 0);
}

#[test]
fn a_server_that_keeps_its_share_back_costs_fewer_and_fewer_draws() {
    let is_kept = |message: &Message| matches!(message, Message::SeedReveal(_));
    let (hour, four_hours) = (3600, 4 * 3600);
    let draws = draws_of_a_network_with_a_mute_server(hour, is_kept);
    assert!((5..=12).contains(&draws), "{draws} draws in an hour");
    assert!(draws_of_a_network_with_a_mute_server(four_hours, is_kept) <= draws + 2);
}

#[test]
fn a_coordinator_that_lost_its_epoch_founds_another_on_the_same_grid() {
    let mut world = World::new();
    let origin_ms = |world: &World| {
        let roster = world.coordinator.roster().expect("an epoch");
        roster.epoch().plan().origin_ms(world.directory.params())
    };
    world.run_until(20, |world| !world.completed.is_empty());
    let (before, last) = (origin_ms(&world), *world.completed.last().expect("just seen"));
    world.kept = None;
    world.restart();
    world.run_until(120, |world| world.completed.last().is_some_and(|round| *round > last));
    assert_eq!(origin_ms(&world), before);
}

#[test]
fn a_conviction_while_an_epoch_is_founded_holds_in_that_epoch() {
    let mut world = World::new();
    world.run_until(20, |world| !world.completed.is_empty());
    world.fate = Box::new(|(_, _, message)| match message {
        Message::SeedReveal(_) => Fate::Later(300),
        Message::AmendmentSignature(_) => Fate::Later(600),
        _ => Fate::Arrives,
    });
    world.coordinator.unsettled = true;
    world.run_until(20, |world| world.coordinator.founding.is_some());
    let (number, guilty) = (world.coordinator.status().epoch, ServerId(3));
    let now_ms = world.now_ms;
    let outputs = world.coordinator.convict(now_ms, guilty);
    world.perform(outputs);
    world.run_until(10, |world| world.coordinator.status().epoch > number);
    assert!(world.coordinator.is_held(world.coordinator.roster().expect("an epoch")), "no round waits for it");
    let is_struck = |world: &World| {
        let roster = world.coordinator.roster().expect("an epoch");
        roster.amendment().strikes(guilty)
    };
    world.run_until(5, is_struck);
}

/// A world in which rounds are completed, and a proof that holds, shown as one that does not.
fn world_with_false_evidence() -> (World, Arc<Evidence>) {
    let mut world = World::new();
    let proof = Arc::new(Mutex::new(None::<Proof>));
    let seen = Arc::clone(&proof);
    world.fate = Box::new(move |(_, _, message)| {
        if let Message::Proof(proof) = message {
            *seen.lock().expect("no test panics here") = Some(proof.clone());
        }
        Fate::Arrives
    });
    world.run_until(20, |world| !world.completed.is_empty());
    let proof = proof.lock().expect("no test panics here").take().expect("a round was mixed");
    (world, Arc::new(Evidence::BadProof(Box::new(BadProof { proof, inputs: Vec::new() }))))
}

#[test]
fn whoever_charges_falsely_is_struck_and_who_takes_no_part_is_not_heard() {
    let (mut world, evidence) = world_with_false_evidence();
    let liar = ServerId(0);
    world.run_until(10, |world| world.round_with(liar).is_some());
    world.charge(liar, world.round_with(liar).expect("just found"), &evidence);
    world.run_until(5, |world| !world.at_fault.is_empty());
    assert_eq!(world.at_fault, [liar]);
    world.run_until(10, |world| world.round_with(ServerId(1)).is_some_and(|round| world.takes_no_part(liar, round)));
    world.inquiries = Some(Vec::new());
    world.charge(liar, world.round_with(ServerId(1)).expect("just found"), &evidence);
    let completed = world.completed.len();
    world.run_until(10, |world| world.completed.len() > completed);
    assert_eq!(world.inquiries.map(|inquiries| inquiries.len()), Some(0), "it costs nothing to ignore it");
}

#[test]
fn rounds_go_on_while_evidence_is_judged_and_its_own_is_judged_after_it() {
    let (mut world, evidence) = world_with_false_evidence();
    let (liar, victim) = (ServerId(0), ServerId(1));
    world.run_until(10, |world| world.round_with(liar).is_some());
    let round = world.round_with(liar).expect("just found");
    world.inquiries = Some(Vec::new());
    for _ in 0..100 {
        world.charge(liar, round, &evidence);
    }
    world.abort(liar, round, AbortReason::BadProof(victim));
    let completed = world.completed.len();
    world.run_until(20, |world| world.completed.len() >= completed + 4);
    assert_eq!(world.at_fault, []);
    assert_eq!(world.inquiries.as_ref().map(Vec::len), Some(1), "one of a server at a time");
    world.judge();
    let completed = world.completed.len();
    world.run_until(20, |world| world.completed.len() >= completed + 2);
    assert_eq!(world.at_fault, [liar], "and not the one that it accuses");
}

#[test]
fn a_pause_of_the_coordinator_costs_no_server_its_place() {
    for pause_ms in [300, 450, 600, 1100, 1500, 2200, 2900] {
        for phase_ms in (0..1000).step_by(200) {
            let mut world = World::new();
            world.run_until(20, |world| !world.completed.is_empty());
            let until_ms = world.now_ms + phase_ms;
            world.run_until(2, |world| world.now_ms >= until_ms);
            world.pause_coordinator(pause_ms);
            let completed = world.completed.len();
            world.run_until(20, |world| world.completed.len() >= completed + 4);
            assert_eq!(world.at_fault, [], "after {pause_ms} ms at {phase_ms}");
        }
    }
}

#[test]
fn rounds_resume_when_a_clock_that_was_set_forward_is_set_back() {
    // Servers accept no epoch that starts more than an hour ahead; one that starts earlier is waited for.
    for (ahead_ms, waits) in [(5_000, 10), (60_000, 70), (86_400_000, 10)] {
        let mut world = World::new();
        world.run_until(20, |world| !world.completed.is_empty());
        world.ahead_ms = ahead_ms;
        let until_ms = world.now_ms + 30_000;
        world.run_until(31, |world| world.now_ms >= until_ms);
        world.ahead_ms = 0;
        let completed = world.completed.len();
        world.run_until(waits, |world| world.completed.len() > completed);
    }
}

#[test]
fn a_flood_of_hellos_is_answered_with_one_epoch() {
    let mut world = World::new();
    world.run_until(20, |world| !world.completed.is_empty());
    let sent = Arc::new(Mutex::new(BTreeMap::<&str, usize>::new()));
    let counts = Arc::clone(&sent);
    world.fate = Box::new(move |(_, _, message)| {
        let kind = match message {
            Message::EpochStart(_) => "epochs",
            Message::Peers(_) => "peers",
            _ => "others",
        };
        *counts.lock().expect("no test panics here").entry(kind).or_default() += 1;
        Fate::Arrives
    });
    for number in 0..1000 {
        let roster = RosterId { epoch: 0, amendment: 0 };
        let hello = Hello { address: format!("elsewhere:{number}"), roster };
        world.on_their_way.push_back((Party::Server(ServerId(1)), Party::Coordinator, Message::Hello(hello)));
    }
    let until_ms = world.now_ms + 500;
    world.run_until(1, |world| world.now_ms >= until_ms);
    let sent = sent.lock().expect("no test panics here").clone();
    let count = |kind| sent.get(kind).copied().unwrap_or(0);
    assert!(count("epochs") <= 2 && count("peers") <= 1000 + 4 * usize::from(SERVERS), "{sent:?}");
}

#[test]
fn clients_are_told_of_the_epoch_and_amendment_of_the_newest_round_until_the_next_epoch_has_one() {
    let mut world = World::new();
    world.run_until(20, |world| !world.completed.is_empty());
    let told = |world: &World| world.coordinator.held().expect("an epoch").0;
    let newest = |world: &World| {
        let (_, round) = world.coordinator.collecting.last_key_value().expect("a round");
        round.descriptor().roster().id()
    };
    let before = newest(&world).epoch;
    let is_told = |world: &World| {
        let (told, newest) = (told(world), newest(world));
        assert!(told.epoch == newest.epoch && told >= newest, "{told:?} for rounds of {newest:?}");
    };
    // A server that is struck, and the epoch that follows at once.
    world.mixers[2] = None;
    world.run_until(20, |world| {
        is_told(world);
        world.coordinator.roster().is_some_and(|roster| roster.id().epoch > before)
    });
    assert_eq!(told(&world).epoch, before);
    world.run_until(20, |world| {
        is_told(world);
        newest(world).epoch > before
    });
}

#[test]
fn a_restarted_server_takes_epochs_and_amendments_in_any_order() {
    let mut world = World::new();
    world.run_until(20, |world| !world.completed.is_empty());
    // The next epoch takes its time.
    world.fate = Box::new(|(_, _, message)| match message {
        Message::SeedReveal(_) => Fate::Later(2500),
        _ => Fate::Arrives,
    });
    world.mixers[2] = None;
    world.run_until(20, |world| world.coordinator.amendment().is_some());
    let restarted = ServerId(1);
    let marks = Marks::new(Box::<MemoryMarks>::default());
    let mixer = Mixer::new(Arc::clone(&world.directory), key(restarted), marks, [99; 32]);
    world.mixers[1] = Some(mixer.expect("its key is in the directory"));
    world.fate = Box::new(|(_, to, message)| match message {
        Message::EpochStart(_) if *to == Party::Server(ServerId(1)) => Fate::Later(300),
        Message::SeedReveal(_) => Fate::Lost,
        _ => Fate::Arrives,
    });
    let newest = world.coordinator.roster().expect("an epoch").id();
    assert!(newest.amendment > 0, "the server that is down was struck");
    // One hello is enough.
    world.run_until(1, |world| world.mixers[1].as_ref().is_some_and(|mixer| mixer.roster_id() >= newest));
}
