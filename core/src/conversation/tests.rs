//! Two conversations and a mailbox between them, with everything that can go wrong.

use core::num::NonZeroU16;
use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::*;
use crate::wire::MAILBOX_LEN;

const NETWORK: Digest = Digest([9; 32]);

fn schedule(stride: u16) -> Schedule {
    Schedule { first_round: 100, lane: 2, stride: NonZeroU16::new(stride).expect("not 0") }
}

/// Alice, who invites, and Bob, who accepts.
fn pair(seed: u64, stride: u16) -> (Conversation, Conversation) {
    let (alice, code, bob) = strangers(seed, stride);
    let mut rng = ChaCha20Rng::seed_from_u64(seed + 1000);
    (alice, Conversation::accept(&NETWORK, &bob, code.reveal(), &mut rng).expect("a good code"))
}

fn strangers(seed: u64, stride: u16) -> (Conversation, InviteCode, Identity) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let (alice, bob) = (Identity::random(&mut rng), Identity::random(&mut rng));
    let (conversation, code) = Conversation::invite(&NETWORK, &alice, schedule(stride), &mut rng);
    (conversation, code, bob)
}

fn copy(conversation: &Conversation) -> Conversation {
    Conversation::import(&conversation.export()).expect("its own state")
}

fn access(conversation: &mut Conversation, round: u64) -> Access {
    conversation.submit(round, round).expect("scheduled").access
}

/// Swaps the contents where two meet; who is alone gets its own.
fn exchange(accesses: &[&Access]) -> Vec<[u8; FRAME_LEN]> {
    let partner = |at: usize| {
        let same = |other: &usize| *other != at && accesses[*other].mailbox == accesses[at].mailbox;
        (0..accesses.len()).find(same).unwrap_or(at)
    };
    (0..accesses.len()).map(|at| accesses[partner(at)].content).collect()
}

/// One round without faults or delay; what each side learned.
fn meet(alice: &mut Conversation, bob: &mut Conversation, round: u64) -> [Vec<Event>; 2] {
    let sent = [access(alice, round), access(bob, round)];
    let replies = exchange(&[&sent[0], &sent[1]]);
    [alice.receive(round, &replies[0]), bob.receive(round, &replies[1])]
}

fn established(seed: u64) -> (Conversation, Conversation, u64) {
    let (mut alice, mut bob) = pair(seed, 1);
    (100..106).for_each(|round| drop(meet(&mut alice, &mut bob, round)));
    assert_eq!((alice.stage(), bob.stage()), (Stage::Established, Stage::Established));
    (alice, bob, 106)
}

#[test]
fn two_people_agree_whatever_their_schedule() {
    for stride in [1, 2, 3, 10] {
        let (mut alice, mut bob) = pair(1, stride);
        assert_eq!((alice.stage(), bob.stage()), (Stage::Invited, Stage::Confirming));
        let rounds = (0..6).map(|turn| 100 + turn * u64::from(stride));
        let events: Vec<_> = rounds.flat_map(|round| meet(&mut alice, &mut bob, round)).flatten().collect();
        let safety = alice.safety_number().expect("established");
        assert_eq!(events, [Event::Established { safety }, Event::Established { safety }], "stride {stride}");
        assert_eq!(bob.safety_number(), Some(safety));
        assert!(alice.partner().is_some() && alice.partner() != bob.partner());
    }
}

#[test]
fn no_text_leaves_before_both_sides_have_confirmed() {
    let (mut alice, mut bob) = pair(2, 1);
    let texts = [alice.say("from Alice").expect("a text"), bob.say("from Bob").expect("a text")];
    let mut is_established = [false; 2];
    let mut sent = [false; 2];
    for round in 100..112 {
        let submissions = [&mut alice, &mut bob].map(|side| side.submit(round, round).expect("scheduled"));
        for (at, submission) in submissions.iter().enumerate() {
            if submission.events == [(Event::Sent { text: texts[at], round })] {
                assert!(is_established[at]);
                sent[at] = true;
            }
        }
        let replies = exchange(&[&submissions[0].access, &submissions[1].access]);
        for (at, side) in [&mut alice, &mut bob].into_iter().enumerate() {
            side.receive(round, &replies[at]);
            is_established[at] = side.stage() == Stage::Established;
        }
    }
    assert_eq!(sent, [true; 2]);
    assert_eq!(alice.pending().chain(bob.pending()).count(), 0, "all delivered");
}

#[test]
fn refuses_rounds_that_are_over_ahead_of_the_clock_or_not_its_own_and_changes_nothing() {
    let (mut alice, _) = pair(3, 3);
    access(&mut alice, 103);
    let before = alice.export();
    let mut refused = |round, clock| alice.submit(round, clock).err().expect("refused");
    let past = |round| SubmitError::Ratchet(RatchetError::Past { round, next: 104 });
    assert_eq!(refused(103, 200), past(103));
    assert_eq!(refused(100, 200), past(100));
    assert_eq!(refused(104, 200), SubmitError::NotScheduled(104));
    assert_eq!(refused(97, 200), SubmitError::NotScheduled(97));
    let jump = 100 + 3 * (1 << 40);
    let beyond = RatchetError::BeyondClock { round: jump, clock: 110 };
    assert_eq!(refused(jump, 110), SubmitError::Ratchet(beyond));
    assert!(matches!(refused(jump, jump), SubmitError::Ratchet(RatchetError::TooFar { .. })));
    assert_eq!(alice.export().expose(), before.expose());
    assert!(alice.submit(106, 106).is_ok());
}

#[test]
fn its_own_frame_coming_back_is_an_absent_partner() {
    let (mut alice, _, round) = established(4);
    let text = alice.say("hello").expect("a text");
    let sent = access(&mut alice, round);
    assert_eq!(alice.receive(round, &sent.content), []);
    assert_eq!(alice.tally().absent, 1 + absent_before(4));
    assert_eq!(alice.pending().collect::<Vec<_>>(), [text]);

    access(&mut alice, round + 1);
    assert_eq!(alice.receive(round + 1, &sent.content), [], "nor is one of an earlier round");
    assert_eq!(alice.tally().garbage, 1);
}

fn absent_before(seed: u64) -> u64 {
    established(seed).0.tally().absent
}

#[test]
fn garbage_is_counted_and_nothing_else_happens() {
    let (mut alice, _, round) = established(5);
    access(&mut alice, round);
    assert_eq!(alice.receive(round, &[0x5a; FRAME_LEN]), []);
    assert_eq!(alice.receive(round, &[0x5a; FRAME_LEN]), [], "a second reply of a round");
    assert_eq!((alice.tally().garbage, alice.tally().unexpected), (1, 1));
}

#[test]
fn what_a_lost_round_carried_goes_again_before_anything_new() {
    let fates: [fn(&mut Conversation, u64, &Access); 3] = [
        |alice, round, _| alice.lost(round),
        |alice, round, own| drop(alice.receive(round, &own.content)),
        |alice, round, _| drop(alice.receive(round, &[0x5a; FRAME_LEN])),
    ];
    for fate in fates {
        let (mut alice, mut bob, round) = established(5);
        let text = alice.say("hello").expect("a text");
        alice.say(&"and more ".repeat(300)).expect("a text");
        let own = access(&mut alice, round);
        fate(&mut alice, round, &own);
        let [_, events] = meet(&mut alice, &mut bob, round + 1);
        assert_eq!(events, [Event::Received { seq: 0, text: "hello".to_owned() }]);
        let [events, _] = meet(&mut alice, &mut bob, round + 2);
        assert_eq!(events, [Event::Delivered { text }]);
    }
}

#[test]
fn every_chain_of_keys_moves_behind_a_submitted_round() {
    let (mut alice, mut bob) = pair(19, 1);
    let mut stages = Vec::new();
    for round in 100..108 {
        let sent = [access(&mut alice, round), access(&mut bob, round)];
        for side in [&alice, &bob] {
            stages.push((side.role, side.stage()));
            let chains = match &side.phase {
                Phase::Waiting { invite, .. } => vec![invite],
                Phase::Answering { invite, link } | Phase::Greeting { invite, link } => vec![invite, &link.root],
                Phase::Established { link } => vec![&link.root],
                Phase::Void => vec![],
            };
            let past = Err(RatchetError::Past { round, next: round + 1 });
            assert!(chains.into_iter().all(|chain| chain.check(round, round) == past));
        }
        let replies = exchange(&[&sent[0], &sent[1]]);
        alice.receive(round, &replies[0]);
        bob.receive(round, &replies[1]);
    }
    for stage in [(Role::Inviter, Stage::Invited), (Role::Inviter, Stage::Confirming)] {
        assert!(stages.contains(&stage), "{stage:?}");
    }
    assert!(stages.contains(&(Role::Acceptor, Stage::Confirming)));
}

#[test]
fn a_round_too_far_for_one_of_two_chains_moves_neither() {
    let (mut alice, mut bob) = pair(20, 1);
    access(&mut alice, 100);
    meet(&mut alice, &mut bob, 101);
    let before = alice.export();
    assert!((100..102).all(|round| alice.submit(round, 200).is_err()), "rounds that only one chain has passed");
    assert_eq!(alice.export().expose(), before.expose());
    // The invite's chain stands at 102, the conversation's still at 100.
    for far in [100 + MAX_ADVANCE + 1, 100 + MAX_ADVANCE + 2] {
        let error = alice.submit(far, far).err();
        assert!(matches!(error, Some(SubmitError::Ratchet(RatchetError::TooFar { .. }))));
        assert_eq!(alice.export().expose(), before.expose());
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_reply_is_garbage() {
    let (alice, bob, round) = established(6);
    for bit in 0..FRAME_LEN * 8 {
        let (mut alice, mut bob) = (copy(&alice), copy(&bob));
        access(&mut alice, round);
        let mut reply = access(&mut bob, round).content;
        reply[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(alice.receive(round, &reply), []);
        assert_eq!(alice.tally().garbage, 1);
    }
}

#[test]
fn a_second_acceptor_voids_the_invite_for_the_inviter() {
    let (mut alice, code, bob) = strangers(7, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(70);
    let mut accept = |who: &Identity| Conversation::accept(&NETWORK, who, code.reveal(), &mut rng).expect("good");
    let (mut first, mut second) = (accept(&bob), accept(&bob));
    meet(&mut alice, &mut first, 100);
    assert_eq!(alice.stage(), Stage::Confirming);
    let seen = (101..104).flat_map(|round| meet(&mut alice, &mut second, round)[0].clone()).next();
    assert_eq!(seen, Some(Event::InviteVoid { reason: VoidReason::SecondAcceptor }));
    assert_eq!(alice.submit(110, 110).err(), Some(SubmitError::Void));
    assert_eq!(alice.say("too late"), Err(SayError::Void));
    assert_eq!(copy(&alice).stage(), Stage::Void);
}

#[test]
fn a_late_second_hello_voids_even_an_established_conversation() {
    let (mut alice, code, bob) = strangers(8, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(80);
    let mut accept = |who: &Identity| Conversation::accept(&NETWORK, who, code.reveal(), &mut rng).expect("good");
    let (mut thief, mut real) = (accept(&bob), accept(&bob));
    access(&mut alice, 100);
    let late = access(&mut real, 100).content;
    (101..108).for_each(|round| drop(meet(&mut alice, &mut thief, round)));
    assert_eq!(alice.stage(), Stage::Established);
    let seen = alice.receive(100, &late);
    assert_eq!(seen, [Event::InviteVoid { reason: VoidReason::SecondAcceptor }]);
}

#[test]
fn two_acceptors_who_meet_see_each_other() {
    let (_, code, bob) = strangers(9, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(90);
    let mut accept = || Conversation::accept(&NETWORK, &bob, code.reveal(), &mut rng).expect("good");
    let (mut first, mut second) = (accept(), accept());
    let void = vec![Event::InviteVoid { reason: VoidReason::SecondAcceptor }];
    assert_eq!(meet(&mut first, &mut second, 100), [void.clone(), void]);
}

#[test]
fn an_acceptor_who_hears_a_confirmation_for_another_is_warned() {
    let (mut alice, code, bob) = strangers(10, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(100);
    let mut accept = || Conversation::accept(&NETWORK, &bob, code.reveal(), &mut rng).expect("good");
    let (mut first, mut second) = (accept(), accept());
    meet(&mut alice, &mut first, 100);
    let seen = (101..104).flat_map(|round| meet(&mut alice, &mut second, round)[1].clone()).next();
    assert_eq!(seen, Some(Event::InviteVoid { reason: VoidReason::AnsweredAnother }));
}

#[test]
fn somebody_else_in_the_inviters_place_is_noticed() {
    let (alice, ..) = strangers(11, 1);
    let (mut alice, mut restored) = (copy(&alice), alice);
    let void = vec![Event::InviteVoid { reason: VoidReason::Impostor }];
    access(&mut alice, 100);
    // The same frame in the same round would be an echo; a copy that has met Bob says something else there.
    let (_, code, bob) = strangers(11, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(110);
    let mut bob = Conversation::accept(&NETWORK, &bob, code.reveal(), &mut rng).expect("good");
    meet(&mut restored, &mut bob, 100);
    access(&mut alice, 101);
    let confirm = access(&mut restored, 101).content;
    assert_eq!(alice.receive(101, &confirm), void);
}

#[test]
fn a_leaked_code_opens_nothing_of_the_conversation() {
    let (mut alice, code, bob) = strangers(12, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(120);
    let mut bob = Conversation::accept(&NETWORK, &bob, code.reveal(), &mut rng).expect("good");
    (100..106).for_each(|round| drop(meet(&mut alice, &mut bob, round)));
    bob.say("between us").expect("a text");
    let mut leaked = Invite::parse(code.reveal(), &NETWORK).expect("good").ratchet();
    for round in 106..130 {
        let sent = [access(&mut alice, round), access(&mut bob, round)];
        assert!(sent[0].mailbox == sent[1].mailbox);
        let keys = leaked.take(round, round, Role::Inviter).expect("in order");
        assert_ne!(keys.mailbox, sent[0].mailbox);
        let (_, ours) = keys.ours.seal(&Frame { ack: Ack::default(), body: Body::Idle });
        assert!(sent.iter().all(|sent| ours.open(&sent.content).is_none()));
        assert!(sent.iter().all(|sent| keys.theirs.open(&sent.content).is_none()));
    }
}

#[test]
fn what_one_has_to_say_moves_no_mailbox_and_no_size() {
    let (mut alice, mut bob, start) = established(13);
    let (mut idle_alice, mut idle_bob) = (copy(&alice), copy(&bob));
    alice.say(&"a long text ".repeat(200)).expect("a text");
    bob.say(&"another ".repeat(200)).expect("a text");
    for round in start..start + 40 {
        let busy = [access(&mut alice, round), access(&mut bob, round)];
        let idle = [access(&mut idle_alice, round), access(&mut idle_bob, round)];
        for (busy, idle) in busy.iter().zip(&idle) {
            assert_eq!(busy.mailbox, idle.mailbox);
            assert_eq!(busy.content.len(), idle.content.len());
        }
        assert_ne!(busy[0].content[..16], busy[1].content[..16], "nor is the header to be seen");
        alice.receive(round, &busy[1].content);
        bob.receive(round, &busy[0].content);
        idle_alice.receive(round, &idle[1].content);
        idle_bob.receive(round, &idle[0].content);
    }
    assert_eq!(alice.pending().chain(bob.pending()).count(), 0);
    assert_eq!((alice.tally(), bob.tally()), (idle_alice.tally(), idle_bob.tally()));
}

#[test]
fn too_many_unanswered_rounds_give_up_the_oldest() {
    let (mut alice, mut bob, round) = established(14);
    let content = access(&mut bob, round).content;
    let end = round + MAX_IN_FLIGHT as u64;
    (round..=end).for_each(|round| _ = access(&mut alice, round));
    assert_eq!(alice.in_flight().collect::<Vec<_>>(), (round + 1..=end).collect::<Vec<_>>());
    assert_eq!(alice.tally().lost, 1);
    assert_eq!(alice.receive(round, &content), [], "its key is gone");
    assert_eq!(alice.tally().unexpected, 1);
}

/// States of every phase, with texts in both directions and rounds in flight.
fn states() -> Vec<Conversation> {
    let (mut alice, mut bob) = pair(15, 1);
    let mut states = Vec::new();
    alice.say(&"é".repeat(300)).expect("a text");
    bob.say(&"b".repeat(3000)).expect("a text");
    for round in 100..112 {
        states.extend([copy(&alice), copy(&bob)]);
        let sent = [access(&mut alice, round), access(&mut bob, round)];
        states.extend([copy(&alice), copy(&bob)]);
        let replies = exchange(&[&sent[0], &sent[1]]);
        if round % 4 != 0 {
            alice.receive(round, &replies[0]);
            bob.receive(round, &replies[1]);
        }
    }
    alice.void(VoidReason::Impostor);
    states.push(alice);
    states
}

#[test]
fn a_state_reads_back_as_it_was_and_every_cut_is_refused() {
    for state in states() {
        let bytes = state.export();
        assert_eq!(copy(&state).export().expose(), bytes.expose());
        for len in 0..bytes.expose().len() {
            assert!(Conversation::import(&SecretBytes::new(bytes.expose()[..len].to_vec())).is_err());
        }
        let mut longer = bytes.expose().to_vec();
        longer.push(0);
        assert_eq!(Conversation::import(&SecretBytes::new(longer)).err(), Some(ImportError::Trailing(1)));
        let mut newer = bytes.expose().to_vec();
        newer[0] = 2;
        let version = ImportError::Version { expected: 1, found: 2 };
        assert_eq!(Conversation::import(&SecretBytes::new(newer)).err(), Some(version));
    }
}

#[test]
fn secrets_are_not_printed() {
    let (alice, code, _) = strangers(16, 1);
    assert_eq!(format!("{:?}", alice.export()), format!("SecretBytes({} bytes)", alice.export().expose().len()));
    assert!(code.reveal().starts_with("hippo1-"));
}

// Everything at once, from here on.

/// What happens to one side in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Fine,
    Offline,
    /// Dies after `submit`, before the state is on disk.
    KilledBeforePersist,
    /// Dies when the state is on disk, before the bytes leave.
    KilledBeforeSending,
    /// The bytes are lost on the way to the mailbox.
    SubmissionLost,
    /// The partner gets the bytes, but no reply comes back.
    ReplyLost,
    ReplyGarbled,
    /// A bad last server gives the own content back although it gave it to the partner, too.
    Reflected,
    /// The reply comes twice.
    ReplyTwice,
    /// Dies after `receive` of this round's reply, before the state is on disk.
    KilledOnReceive,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    fate: Fate,
    /// Rounds until the reply comes.
    delay: u64,
    /// Length of a text said in this round.
    say: Option<usize>,
    /// Whether a restart in this round gives up the rounds in flight, or still hopes for their replies.
    gives_up: bool,
    /// Whether it is told of a loss, or has to find out.
    told: bool,
}

const FINE: Step = Step { fate: Fate::Fine, delay: 2, say: None, gives_up: true, told: true };

/// What one side has durably.
#[derive(Default)]
struct History {
    said: Vec<String>,
    received: Vec<String>,
    delivered: Vec<TextId>,
    safety: Vec<SafetyNumber>,
}

struct Arrival {
    due: u64,
    round: u64,
    content: [u8; FRAME_LEN],
    fate: Fate,
    gives_up: bool,
}

struct Node {
    live: Conversation,
    disk: SecretBytes,
    history: History,
    unsaved: Vec<String>,
    arrivals: Vec<Arrival>,
}

impl Node {
    fn new(live: Conversation) -> Self {
        let disk = live.export();
        Self { live, disk, history: History::default(), unsaved: Vec::new(), arrivals: Vec::new() }
    }

    /// State and history in one transaction.
    fn persist(&mut self, events: Vec<Event>) {
        self.history.said.append(&mut self.unsaved);
        for event in events {
            match event {
                Event::Received { seq, text } => {
                    assert_eq!(seq as usize, self.history.received.len());
                    self.history.received.push(text);
                }
                Event::Delivered { text } => self.history.delivered.push(text),
                Event::Established { safety } => self.history.safety.push(safety),
                Event::Sent { .. } => {}
                other => panic!("{other:?} between honest people"),
            }
        }
        self.disk = self.live.export();
    }

    fn die(&mut self, gives_up: bool) {
        self.live = Conversation::import(&self.disk).expect("its own state");
        self.unsaved.clear();
        if gives_up {
            self.arrivals.clear();
            let rounds: Vec<_> = self.live.in_flight().collect();
            rounds.into_iter().for_each(|round| self.live.lost(round));
        }
    }

    /// The bytes that leave this side in a round.
    fn step(&mut self, round: u64, step: Step) -> Option<Access> {
        if step.fate == Fate::Offline {
            return None;
        }
        if let Some(len) = step.say {
            let text: String =
                format!("{}:", self.history.said.len()).chars().chain("añ€".chars().cycle()).take(len).collect();
            self.live.say(&text).expect("room for it");
            self.unsaved.push(text);
        }
        let submission = self.live.submit(round, round).expect("scheduled");
        if step.fate == Fate::KilledBeforePersist {
            self.die(step.gives_up);
            return None;
        }
        self.persist(submission.events);
        match step.fate {
            Fate::KilledBeforeSending => self.die(step.gives_up),
            Fate::SubmissionLost if step.told => self.live.lost(round),
            Fate::SubmissionLost => {}
            _ => return Some(submission.access),
        }
        None
    }

    /// What the mailbox gave, on its way.
    fn expect_reply(&mut self, round: u64, step: Step, own: &Access, mut content: [u8; FRAME_LEN]) {
        match step.fate {
            Fate::ReplyLost if step.told => self.live.lost(round),
            Fate::ReplyGarbled => content[17] ^= 1,
            Fate::Reflected => content = own.content,
            _ => {}
        }
        if step.fate == Fate::ReplyLost {
            return;
        }
        let (due, gives_up) = (round + step.delay, step.gives_up);
        let copies = if step.fate == Fate::ReplyTwice { 2 } else { 1 };
        self.arrivals.extend((0..copies).map(|_| Arrival { due, round, content, fate: step.fate, gives_up }));
    }

    fn take_replies(&mut self, now: u64) {
        let (due, later) = core::mem::take(&mut self.arrivals).into_iter().partition(|reply| reply.due <= now);
        self.arrivals = later;
        for Arrival { round, content, fate, gives_up, .. } in due {
            let events = self.live.receive(round, &content);
            if fate == Fate::KilledOnReceive {
                self.die(gives_up);
            } else {
                self.persist(events);
            }
        }
    }
}

struct World {
    nodes: [Node; 2],
    round: u64,
    /// Every mailbox that a side has gone to.
    visited: [HashSet<[u8; MAILBOX_LEN]>; 2],
}

impl World {
    fn new(seed: u64, stride: u16) -> Self {
        let (alice, bob) = pair(seed, stride);
        Self { nodes: [Node::new(alice), Node::new(bob)], round: 100, visited: Default::default() }
    }

    fn step(&mut self, steps: [Step; 2]) {
        let round = self.round;
        let mut mailboxes: HashMap<_, Vec<usize>> = HashMap::new();
        let accesses: Vec<_> = (0..2).map(|at| self.nodes[at].step(round, steps[at])).collect();
        for (at, access) in accesses.iter().enumerate() {
            if let Some(access) = access {
                assert!(self.visited[at].insert(access.mailbox), "a mailbox id came twice");
                mailboxes.entry(access.mailbox).or_default().push(at);
            }
        }
        for visitors in mailboxes.values() {
            for at in visitors {
                let from = visitors.iter().find(|other| *other != at).unwrap_or(at);
                let [own, reply] = [*at, *from].map(|at| accesses[at].as_ref().expect("it visited"));
                self.nodes[*at].expect_reply(round, steps[*at], own, reply.content);
            }
        }
        self.nodes.iter_mut().for_each(|node| node.take_replies(round));
        self.round += u64::from(self.nodes[0].live.schedule().stride.get());
        self.check();
    }

    /// What must hold at every instant: prefixes in order, and nothing called delivered that is not.
    fn check(&self) {
        for (from, to) in [(0, 1), (1, 0)] {
            let (from, to) = (&self.nodes[from].history, &self.nodes[to].history);
            assert!(from.said.starts_with(&to.received), "a text was lost, doubled, altered or reordered");
            let ids: Vec<_> = (0..from.delivered.len() as u64).map(TextId).collect();
            assert_eq!(from.delivered, ids);
            assert!(from.delivered.len() <= to.received.len(), "called delivered too early");
        }
    }

    fn is_done(&self) -> bool {
        let [a, b] = [0, 1].map(|at| &self.nodes[at].history);
        let arrived = a.received.len() == b.said.len() && b.received.len() == a.said.len();
        let known = a.delivered.len() == a.said.len() && b.delivered.len() == b.said.len();
        arrived && known && a.safety.len() == 1 && a.safety == b.safety
    }

    /// Rounds without faults until all is said and known.
    fn settle(&mut self, limit: usize) -> Option<usize> {
        (0..limit).find(|_| {
            self.step([FINE; 2]);
            self.is_done()
        })
    }
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        10 => Just(Fate::Fine),
        2 => Just(Fate::Offline),
        1 => Just(Fate::KilledBeforePersist),
        1 => Just(Fate::KilledBeforeSending),
        1 => Just(Fate::SubmissionLost),
        1 => Just(Fate::ReplyLost),
        1 => Just(Fate::ReplyGarbled),
        1 => Just(Fate::Reflected),
        1 => Just(Fate::ReplyTwice),
        1 => Just(Fate::KilledOnReceive),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    (fates(), 0u64..=4, prop::option::weighted(0.15, 1usize..900), any::<bool>(), any::<bool>())
        .prop_map(|(fate, delay, say, gives_up, told)| Step { fate, delay, say, gives_up, told })
}

proptest! {
    #[test]
    fn every_text_arrives_once_and_in_order_whatever_happens(
        seed: u64,
        stride in 1u16..4,
        schedule in prop::collection::vec([steps(), steps()], 0..120),
    ) {
        let mut world = World::new(seed >> 1, stride);
        schedule.into_iter().for_each(|steps| world.step(steps));
        prop_assert!(world.settle(600).is_some(), "no progress after the faults have ended");
    }

    #[test]
    fn a_damaged_state_never_panics(
        at in 0usize..1000,
        bytes in prop::array::uniform4(any::<u8>()),
        which in 0usize..49,
    ) {
        let mut state = states().swap_remove(which).export().expose().to_vec();
        let at = at % (state.len() - 4);
        state[at..at + 4].copy_from_slice(&bytes);
        if let Ok(mut conversation) = Conversation::import(&SecretBytes::new(state)) {
            let round = conversation.schedule().first_round.saturating_add(50);
            let _ = conversation.submit(round, 1000);
            let rounds: Vec<_> = conversation.in_flight().collect();
            rounds.into_iter().for_each(|round| drop(conversation.receive(round, &[0; FRAME_LEN])));
            drop(conversation.export());
        }
    }

    #[test]
    fn any_reply_is_survived(reply in prop::collection::vec(any::<u8>(), FRAME_LEN), which in 0usize..48) {
        let mut state = states().swap_remove(which);
        let before = state.stage();
        let content = reply.try_into().expect("a frame's length");
        let rounds: Vec<_> = state.in_flight().collect();
        for round in rounds {
            prop_assert!(state.receive(round, &content).is_empty());
        }
        prop_assert_eq!(state.stage(), before);
    }
}

#[test]
fn a_long_text_through_a_deep_pipeline_needs_hardly_more_turns_than_it_has_segments() {
    let mut world = World::new(17, 1);
    let slow = Step { delay: 4, ..FINE };
    (0..20).for_each(|_| world.step([slow; 2]));
    world.step([Step { say: Some(20_000), ..slow }; 2]);
    let segments = world.nodes[0].history.said[0].len().div_ceil(PAYLOAD_LEN);
    let turns = (0..1000).find(|_| {
        world.step([slow; 2]);
        world.is_done()
    });
    let turns = turns.expect("it arrives");
    assert!(turns <= segments + 12, "{turns} turns for {segments} segments");
}

#[test]
fn half_of_all_rounds_lost_is_only_slow() {
    let mut world = World::new(18, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(18);
    let mut step = |say| {
        use rand::RngExt;
        let fate = if rng.random_bool(0.5) { Fate::SubmissionLost } else { Fate::Fine };
        Step { fate, delay: rng.random_range(1..=4), say, ..FINE }
    };
    world.step([step(Some(10_000)), step(Some(10_000))]);
    let turns = (0..2000).find(|_| {
        world.step([step(None), step(None)]);
        world.is_done()
    });
    assert!(turns.is_some());
}
