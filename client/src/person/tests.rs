//! Two people without a network: the test carries their accesses, and kills them whenever it likes.

use std::fs;

use hippodrome_core::{
    directory::DirectoryDraft,
    epoch::EpochDraft,
    ids::{Layer, Round, ServerId},
    marks::Act,
    message::{EpochPlan, Standing},
    noise::{Guarantee, NoiseParams},
    params::{NetworkParams, Verification},
    participant::SlotReply,
    submission::{Access, ReplyBroken},
};
use hippodrome_store::key_file::{CoordinatorKeys, ServerKeys};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::*;
use crate::{
    budget,
    voice::{Notice, Voice},
};

const SLOTS: u16 = 2;

struct World {
    root: TempDir,
    directory: Arc<Directory>,
    epoch: Arc<Epoch>,
}

impl World {
    fn new() -> Self {
        Self::stating(None)
    }

    /// A network that states a guarantee over some rounds.
    fn stating(rounds: Option<u64>) -> Self {
        let of = |rounds| Guarantee { rounds, epsilon_millionths: 700_000, delta_billionths: 100_000, replies: None };
        let noise = NoiseParams { guarantee: rounds.map(of), ..NoiseParams::uniform(1) };
        let server = ServerKeys::generate("only").expect("keys");
        let params = NetworkParams {
            name: "carried".into(),
            chains: 1,
            chain_len: 1,
            layers: 1,
            verification: Verification::Full,
            slots: SLOTS,
            noise,
            period_ms: 1000,
            collect_ms: 500,
            deadline_ms: 2000,
            max_batch: 100,
            bad_servers: 0,
            min_live: 1,
            failure_bits: 0,
            epoch_ms: 60_000,
        };
        let coordinator = CoordinatorKeys::generate().expect("keys").fingerprint().0;
        let draft = DirectoryDraft { params, servers: vec![server.public_entry()], coordinator };
        let signatures = [draft.sign(&server.signing_key())];
        let directory = Arc::new(draft.verify(&signatures).expect("a good directory"));
        let plan = EpochPlan {
            number: 1,
            registry: Vec::new(),
            first_round: Round(1),
            start_ms: now_ms(),
            live: vec![ServerId(0)],
            standings: vec![Standing::default()],
        };
        let draft = EpochDraft::new(&directory, plan, &[[1; 32]]).expect("a good plan");
        let signatures = [(ServerId(0), draft.sign(&server.signing_key()))];
        let epoch = Arc::new(draft.verify(&directory, &signatures).expect("all have signed"));
        Self { root: tempfile::tempdir().expect("a directory"), directory, epoch }
    }

    fn person(&self, name: &'static str) -> Mortal<'_> {
        let path = self.root.path().join(name);
        Person::prepare(&path, name).expect("made");
        Mortal::open(self, name, 0, path)
    }
}

/// A person who may die at any instant, and goes on from what was on the disk then.
struct Mortal<'w> {
    world: &'w World,
    name: &'static str,
    lives: u32,
    path: PathBuf,
    person: Person,
    events: mpsc::UnboundedReceiver<PersonEvent>,
    voice: PersonVoice,
}

impl<'w> Mortal<'w> {
    fn open(world: &'w World, name: &'static str, lives: u32, path: PathBuf) -> Self {
        let (person, events) = Person::open(&path, Arc::clone(&world.directory)).expect("a good directory");
        let mut voice = PersonVoice::new(person.clone());
        voice.notice(Notice::Joined(Arc::clone(&world.epoch)));
        Self { world, name, lives, path, person, events, voice }
    }

    /// What is on the disk at this instant is all that is left: nothing gets the chance to close a file.
    fn die(&mut self) {
        let path = self.world.root.path().join(format!("{}-{}", self.name, self.lives + 1));
        DirBuilder::new().mode(0o700).create(&path).expect("a directory");
        for file in [SEAT, IDENTITY, STATE] {
            fs::copy(self.path.join(file), path.join(file)).expect("copied");
        }
        *self = Self::open(self.world, self.name, self.lives + 1, path);
    }

    /// What a session does before it asks for a round's accesses.
    fn count(&mut self, round: Round) {
        let store = self.person.lock().expect("open").store.marks();
        let mut marks = Marks::new(Box::new(store));
        let _once = marks.claim(Act::Submit, round).expect("the first time");
        let (submitted, stated) = (marks.submissions().expect("kept"), self.world.directory.params().noise.guarantee);
        self.voice.notice(Notice::Counted(Budget { submitted, stated }));
    }

    fn lines(&self) -> Vec<LineKind> {
        self.person.history().expect("readable").into_iter().map(|line| line.kind).collect()
    }

    fn theirs(&self) -> Vec<(u64, String)> {
        let history = self.person.history().expect("readable").into_iter();
        history
            .filter_map(|line| match line.kind {
                LineKind::Theirs { seq } => Some((seq, line.text)),
                _ => None,
            })
            .collect()
    }
}

/// What befalls somebody in a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    DiesBeforeSending,
    DiesBeforeReply,
    DiesAfterReply,
    ReplyBreaks,
    RoundFails,
}

impl Fate {
    const ALL: [Self; 6] = [
        Self::Fine,
        Self::DiesBeforeSending,
        Self::DiesBeforeReply,
        Self::DiesAfterReply,
        Self::ReplyBreaks,
        Self::RoundFails,
    ];
}

/// One round: both submit, the mailbox swaps, both get their replies, as far as they live.
fn round<'w>(number: u64, alice: (&mut Mortal<'w>, Fate), bob: (&mut Mortal<'w>, Fate)) {
    let round = Round(number);
    let mut sides = [alice, bob];
    let sent: Vec<Option<Vec<Access>>> = sides
        .iter_mut()
        .map(|(who, fate)| {
            who.count(round);
            let accesses = who.voice.accesses(round, round).expect("the disk works");
            assert_eq!(accesses.len(), usize::from(SLOTS));
            if *fate == Fate::DiesBeforeSending {
                who.die();
                return None;
            }
            Some(accesses)
        })
        .collect();
    for (side, (who, fate)) in sides.iter_mut().enumerate() {
        let Some(own) = &sent[side] else { continue };
        let swapped = |slot: usize| match &sent[1 - side] {
            Some(other) if other[slot].mailbox == own[slot].mailbox => other[slot].content,
            _ => own[slot].content,
        };
        let mut replies: Vec<SlotReply> = (0..own.len()).map(|slot| Ok(swapped(slot))).collect();
        match fate {
            Fate::DiesBeforeReply => {
                who.die();
                continue;
            }
            Fate::RoundFails => {
                who.voice.lost(round, "it failed").expect("the disk works");
                continue;
            }
            Fate::ReplyBreaks => replies[0] = Err(ReplyBroken { layer: Layer(0), position: 0 }),
            _ => {}
        }
        who.voice.replies(round, replies).expect("the disk works");
        if *fate == Fate::DiesAfterReply {
            who.die();
        }
    }
}

#[test]
fn whoever_dies_at_any_instant_loses_doubles_and_reorders_nothing() {
    let world = World::new();
    let (mut alice, mut bob) = (world.person("alice"), world.person("bob"));
    let code = alice.person.invite().expect("there is an epoch");
    bob.person.accept(code.reveal()).expect("a good code");
    let mut rng = StdRng::seed_from_u64(1);
    let mut said: [Vec<String>; 2] = Default::default();
    let mut number = 2;
    while said[0].len() < 12 || [&alice, &bob].into_iter().any(|who| unfinished(who)) {
        assert!(number < 2000, "it ends");
        for (side, who) in [&alice, &bob].into_iter().enumerate() {
            if said[0].len() < 12 && rng.random_bool(0.3) {
                let text = format!("{} {}", said[side].len(), "x".repeat(rng.random_range(0..700)));
                who.person.say(&text).expect("queued");
                said[side].push(text);
            }
        }
        let mut fate = || if rng.random_bool(0.5) { Fate::Fine } else { Fate::ALL[rng.random_range(0..6)] };
        let fates = (fate(), fate());
        round(number, (&mut alice, fates.0), (&mut bob, fates.1));
        number += 1;
    }
    let numbered = |texts: &[String]| (0..).zip(texts.iter().cloned()).collect::<Vec<(u64, String)>>();
    assert_eq!(bob.theirs(), numbered(&said[0]));
    assert_eq!(alice.theirs(), numbered(&said[1]));
    assert!(alice.lives > 5 && bob.lives > 5, "they died {} and {} times", alice.lives, bob.lives);
    assert_eq!(alice.person.safety_number().expect("open"), bob.person.safety_number().expect("open"));
}

fn unfinished(who: &Mortal<'_>) -> bool {
    let is_open = |kind: &LineKind| matches!(kind, LineKind::Own { state, .. } if *state != TextState::Delivered);
    who.lines().iter().any(is_open)
}

#[test]
fn an_own_text_goes_from_queued_to_sent_to_delivered_in_history_and_events() {
    let world = World::new();
    let (mut alice, mut bob) = (world.person("alice"), world.person("bob"));
    let code = alice.person.invite().expect("there is an epoch");
    bob.person.accept(code.reveal()).expect("a good code");
    let id = alice.person.say("hello").expect("queued");
    let own = |state| vec![LineKind::Own { id: id.0, state }];
    assert_eq!(alice.lines(), own(TextState::Queued));
    let mut sent = None;
    for number in 2..40 {
        round(number, (&mut alice, Fate::Fine), (&mut bob, Fate::Fine));
        while let Ok(event) = alice.events.try_recv() {
            match event {
                PersonEvent::Sent { id: which, round } => {
                    assert_eq!((which, round), (id, number));
                    assert_eq!(alice.lines(), own(TextState::Sent { round }));
                    sent = Some(round);
                }
                PersonEvent::Delivered { id: which } => {
                    assert!(which == id && sent.is_some());
                    assert_eq!(alice.lines(), own(TextState::Delivered));
                    assert_eq!(bob.theirs(), [(0, "hello".to_owned())]);
                    return;
                }
                _ => {}
            }
        }
    }
    panic!("it was never delivered");
}

#[test]
fn a_spent_budget_is_cover_only_until_its_owner_wants_more_and_no_death_gives_any_of_it_back() {
    let world = World::stating(Some(30));
    let (mut alice, mut bob) = (world.person("alice"), world.person("bob"));
    let code = alice.person.invite().expect("there is an epoch");
    bob.person.accept(code.reveal()).expect("a good code");
    let fates = [Fate::Fine, Fate::DiesBeforeSending, Fate::RoundFails, Fate::Fine, Fate::DiesBeforeReply, Fate::Fine];
    for (number, fate) in (2..32).zip(fates.into_iter().cycle()) {
        round(number, (&mut alice, fate), (&mut bob, Fate::Fine));
        assert_eq!(
            alice.person.budget().expect("open").submitted,
            number - 1,
            "every round counts, whatever came of it"
        );
    }
    assert_eq!(alice.person.stage().expect("open"), Some(Stage::Established));
    assert_eq!(alice.person.budget().expect("open").standing(), budget::Standing::Spent);

    alice.person.say("beyond").expect("queued");
    bob.person.overspend().expect("kept");
    for number in 32..40 {
        round(number, (&mut alice, Fate::Fine), (&mut bob, Fate::Fine));
        if number == 35 {
            alice.die();
        }
    }
    assert_eq!(bob.theirs(), [], "what goes out is the same whatever Alice says");
    assert_eq!(alice.lines().last(), Some(&LineKind::Own { id: 0, state: TextState::Queued }));
    assert_eq!(alice.person.budget().expect("open").submitted, 38);

    alice.person.overspend().expect("kept");
    alice.die();
    assert!(alice.person.overspends().expect("open"));
    for number in 40..60 {
        round(number, (&mut alice, Fate::Fine), (&mut bob, Fate::Fine));
    }
    assert_eq!(bob.theirs(), [(0, "beyond".to_owned())]);
}

#[test]
fn where_nothing_is_stated_nothing_ends() {
    let world = World::new();
    let mut alice = world.person("alice");
    (2..40).for_each(|number| alice.count(Round(number)));
    let budget = alice.person.budget().expect("open");
    assert_eq!((budget.submitted, budget.standing()), (38, budget::Standing::Unstated));
    assert!(!alice.person.lock().expect("open").sends_cover_only());
}

#[test]
fn says_why_it_cannot_invite_accept_or_say() {
    let world = World::new();
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    assert!(matches!(alice.person.say("hello"), Err(PersonError::NoConversation)));
    let code = alice.person.invite().expect("there is an epoch");
    let (cut, last) = code.reveal().split_at(code.reveal().len() - 1);
    let mistyped = format!("{cut}{}", if last == "7" { "8" } else { "7" });
    for bad in ["hello", &cut[..50], &mistyped] {
        assert!(matches!(bob.person.accept(bad), Err(PersonError::Invite(_))), "{bad}");
    }
    assert_eq!(bob.person.stage().expect("open"), None);
    bob.person.accept(code.reveal()).expect("a good code");
    assert!(matches!(bob.person.accept(code.reveal()), Err(PersonError::Talking)));
    assert!(matches!(bob.person.invite(), Err(PersonError::Talking)));
    assert!(matches!(bob.person.say(""), Err(PersonError::Say(SayError::Empty))));
    alice.person.invite().expect("an invite that nobody has answered can be replaced");
}

#[test]
fn one_process_at_a_time_and_only_its_owner() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::new();
    let alice = world.person("alice");
    let open = || Person::open(&alice.path, Arc::clone(&world.directory)).err().expect("refused").to_string();
    assert_eq!(open(), "`alice` is already open in another process");
    for file in [SEAT, IDENTITY, STATE] {
        let path = alice.path.join(file);
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        mode(0o644);
        assert!(open().contains("chmod 600"), "{file}: {}", open());
        mode(0o600);
    }
    assert_eq!(Person::prepare(&alice.path, "alice").expect("there already"), alice.person.seat());
}

#[test]
fn a_state_of_another_network_or_a_damaged_identity_is_refused() {
    let (world, other) = (World::new(), World::new());
    let alice = world.person("alice");
    let path = alice.path.clone();
    drop(alice);
    let refused = Person::open(&path, Arc::clone(&other.directory)).err().expect("refused");
    assert!(matches!(refused, PersonError::State(StateError::OtherNetwork { .. })));
    let good = fs::read(path.join(IDENTITY)).expect("readable");
    for bad in [&good[1..], b"", &[b'g'; 64], &[0xff; 65], &[b'0'; 1 << 20]] {
        fs::write(path.join(IDENTITY), bad).expect("written");
        let refused = Person::open(&path, Arc::clone(&world.directory)).err().expect("refused");
        assert!(matches!(refused, PersonError::Identity(IdentityError::Malformed { .. })));
    }
    fs::remove_file(path.join(IDENTITY)).expect("removed");
    let refused = Person::open(&path, Arc::clone(&world.directory)).err().expect("refused").to_string();
    assert!(refused.contains(IDENTITY), "{refused}");
}
