//! Attacks on the machines by a coordinator, servers and clients who stop at nothing. Those that failed are here too:
//! each says which property held.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use hippodrome_core::{
    directory::{Directory, DirectoryDraft, ServerEntry},
    epoch::{Epoch, EpochDraft},
    ids::{Author, ChainId, ClientId, Layer, Party, Place, Position, RosterId, Round, ServerId, Stage},
    marks::{Marks, MemoryMarks},
    message::{
        Abort, AbortReason, Announcement, Confirmation, DescriptorProposal, DescriptorSignature, EpochPlan,
        EpochProposal, EpochSignature, EpochStart, Keys, KeysCall, Message, Parcel, ParcelCommitment, ProvenHopKeys,
        Replies, ReturnCommitment, SeedCall, SeedCommitment, SeedCommitments, SeedReveal, Standing, Submissions,
    },
    mixer::{Input, Mixer, Notice, Output},
    noise::NoiseParams,
    params::{NetworkParams, Verification},
    participant::{CLOCK_TOLERANCE_MS, SlotReply, check_window},
    roster::{Roster, output_chain},
    statement,
    submission::{Access, Composer, ReplyRecord, Submission},
};
use hippodrome_crypto::{
    group::Element,
    hash::{Digest, Hasher},
    merkle,
    records::Records,
    signing::{Signature, SigningKey},
};
use hippodrome_sim::{
    Adversary, Behaviour, Network,
    adversary::forge::{Forge, garbage_in_layer_1, inner_record},
    small_params,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

// A coordinator that says what it likes to real servers.

struct Rig {
    now_ms: u64,
    directory: Arc<Directory>,
    marks: Vec<MemoryMarks>,
    keys: Vec<SigningKey>,
    mixers: Vec<Mixer>,
    notices: Vec<(usize, Notice)>,
}

const SERVERS: usize = 6;

/// The first epoch as it was drawn.
const UNAMENDED: RosterId = RosterId { epoch: 1, amendment: 0 };

fn copy_key(key: &SigningKey) -> SigningKey {
    SigningKey::from_seed(&key.expose_seed())
}

impl Rig {
    fn new(params: NetworkParams) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let keys: Vec<SigningKey> = (0..SERVERS).map(|_| SigningKey::generate(&mut rng)).collect();
        let certificate = |number: u64| Hasher::new("certificate of a test").number(number).finish();
        let servers = keys.iter().enumerate().map(|(index, key)| ServerEntry {
            name: format!("server-{index}"),
            key: key.public(),
            certificate: certificate(index as u64 + 1),
        });
        let draft = DirectoryDraft { params, servers: servers.collect(), coordinator: certificate(0) };
        let signatures: Vec<_> = keys.iter().map(|key| draft.sign(key)).collect();
        let directory = Arc::new(draft.verify(&signatures).expect("all servers sign"));
        let marks = vec![(); SERVERS].into_iter().map(|()| MemoryMarks::default()).collect();
        let mut rig = Self { now_ms: 10_000_000, directory, marks, keys, mixers: Vec::new(), notices: Vec::new() };
        rig.mixers = (0..SERVERS).map(|index| rig.start(index)).collect();
        rig
    }

    fn start(&self, index: usize) -> Mixer {
        let marks = Marks::new(Box::new(self.marks[index].clone()));
        Mixer::new(Arc::clone(&self.directory), copy_key(&self.keys[index]), marks, [index as u8; 32])
            .expect("a server")
    }

    /// What a server answers to a message; jobs are run and their results handed back, replies collected.
    fn tell(&mut self, index: usize, from: Party, message: Message) -> Vec<(Party, Message)> {
        let mut inputs = vec![Input::Message { from, message }];
        let mut sent = Vec::new();
        while let Some(input) = inputs.pop() {
            for output in self.mixers[index].handle(self.now_ms, input) {
                match output {
                    Output::Send { to, message, .. } => sent.push((to, (*message).clone())),
                    Output::Run(job) => inputs.push(Input::Done(job.run())),
                    Output::Notice(notice) => self.notices.push((index, notice)),
                    Output::Peers(_) | Output::Evidence(..) => {}
                }
            }
        }
        sent
    }

    fn ask(&mut self, index: usize, message: Message) -> Option<Message> {
        self.tell(index, Party::Coordinator, message).into_iter().next().map(|(_, message)| message)
    }

    fn plan(&self, number: u64, first_round: u64) -> EpochPlan {
        let live = self.directory.server_ids().collect();
        let standings = vec![Standing::default(); SERVERS];
        // Round 1 starts two seconds after the rig does, and the others on the grid that follows.
        let start_ms = 10_002_000 + (first_round - 1) * self.directory.params().period_ms;
        EpochPlan { number, registry: Vec::new(), first_round: Round(first_round), start_ms, live, standings }
    }

    /// What a server commits to when it is called to a plan.
    fn commit(&mut self, server: ServerId, plan: &EpochPlan) -> Option<(Digest, Signature)> {
        let call = Message::SeedCall(SeedCall { plan: plan.clone() });
        match self.ask(server.0.into(), call)? {
            Message::SeedCommitment(SeedCommitment { commitment, signature, .. }) => Some((commitment, signature)),
            _ => None,
        }
    }

    /// The share that a server reveals on everybody's commitments.
    fn reveal(&mut self, server: ServerId, epoch: u64, commitments: &[(Digest, Signature)]) -> Option<[u8; 32]> {
        let message = SeedCommitments { epoch, commitments: commitments.to_vec() };
        match self.ask(server.0.into(), Message::SeedCommitments(message))? {
            Message::SeedReveal(SeedReveal { share, .. }) => Some(share),
            _ => None,
        }
    }

    /// A server's signature under what everybody's shares make.
    fn sign(&mut self, server: ServerId, epoch: u64, shares: &[[u8; 32]]) -> Option<(ServerId, Signature)> {
        let message = EpochProposal { epoch, shares: shares.to_vec() };
        match self.ask(server.0.into(), Message::EpochProposal(message))? {
            Message::EpochSignature(EpochSignature { signature, .. }) => Some((server, signature)),
            _ => None,
        }
    }

    /// Commit and reveal at all live servers; none if one of them refuses.
    fn shares(&mut self, plan: &EpochPlan) -> Option<Vec<[u8; 32]>> {
        let commitments: Option<Vec<_>> = plan.live.iter().map(|server| self.commit(*server, plan)).collect();
        let commitments = commitments?;
        plan.live.iter().map(|server| self.reveal(*server, plan.number, &commitments)).collect()
    }

    /// Commit, reveal and sign at all live servers; none if one of them refuses.
    fn found(&mut self, plan: &EpochPlan) -> Option<EpochStart> {
        let shares = self.shares(plan)?;
        let signatures: Option<_> = plan.live.iter().map(|server| self.sign(*server, plan.number, &shares)).collect();
        Some(EpochStart { plan: plan.clone(), shares, signatures: signatures? })
    }

    fn begin(&mut self, start: &EpochStart) -> Arc<Epoch> {
        for index in 0..SERVERS {
            self.ask(index, Message::EpochStart(start.clone()));
        }
        let draft = EpochDraft::new(&self.directory, start.plan.clone(), &start.shares).expect("a founded epoch");
        Arc::new(draft.verify(&self.directory, &start.signatures).expect("all servers sign"))
    }

    fn epoch(&mut self, number: u64, first_round: u64) -> Arc<Epoch> {
        let plan = self.plan(number, first_round);
        let start = self.found(&plan).expect("an honest plan");
        self.begin(&start)
    }

    /// Keys of a round, position by position.
    fn keys_of(&mut self, epoch: &Epoch, round: Round) -> Vec<ProvenHopKeys> {
        let mut all: HashMap<(Layer, ChainId, Position), ProvenHopKeys> = HashMap::new();
        let turns: Vec<_> = epoch.layout().turns().collect();
        for position in (0..self.directory.params().chain_len).map(Position) {
            for index in 0..SERVERS {
                let mine: Vec<_> = epoch
                    .layout()
                    .turns_of(ServerId(index as u16))
                    .filter(|turn| turn.position == position)
                    .map(|turn| (turn.layer, turn.chain))
                    .collect();
                if mine.is_empty() {
                    continue;
                }
                let before = |(layer, chain): &(Layer, ChainId)| {
                    (0..position.0).map(|at| all[&(*layer, *chain, Position(at))].clone()).collect::<Vec<_>>()
                };
                let upstream = mine.iter().flat_map(before).collect();
                let call = Message::KeysCall(KeysCall { round, roster: UNAMENDED, position, upstream });
                let Some(Message::Keys(Keys { keys, .. })) = self.ask(index, call) else {
                    panic!("{:?}", self.notices)
                };
                all.extend(keys.into_iter().map(|hop| ((hop.layer, hop.chain, hop.position), hop)));
            }
        }
        turns.iter().map(|(turn, _)| all[&(turn.layer, turn.chain, turn.position)].clone()).collect()
    }

    fn descriptor_signatures(&mut self, round: Round, keys: &[ProvenHopKeys]) -> Vec<Signature> {
        let signed = (0..SERVERS).map(|index| {
            let proposal = Message::DescriptorProposal(DescriptorProposal {
                round,
                roster: UNAMENDED,
                keys: keys.to_vec(),
                pledges: Vec::new(),
            });
            match self.ask(index, proposal) {
                Some(Message::DescriptorSignature(DescriptorSignature { signature, .. })) => signature,
                other => panic!("{other:?} {:?}", self.notices),
            }
        });
        signed.collect()
    }

    fn announced(&self) -> usize {
        self.notices.iter().filter(|(_, notice)| matches!(notice, Notice::Announced(_))).count()
    }

    fn refusals(&self) -> Vec<String> {
        let refused = self.notices.iter().filter_map(|(_, notice)| match notice {
            Notice::Refused { why } => Some(why.clone()),
            _ => None,
        });
        refused.collect()
    }
}

#[test]
fn a_round_keeps_the_epoch_that_its_keys_were_made_in() {
    // Signed under one epoch, announced after the next has begun: were the layouts mixed, a chain whose members are all
    // bad in the new one would sign the input of a hop of the old one.
    let mut rig = Rig::new(NetworkParams { noise: NoiseParams::NONE, ..small_params() });
    let first = rig.epoch(1, 1);
    let keys = rig.keys_of(&first, Round(1));
    let signatures = rig.descriptor_signatures(Round(1), &keys);
    let second = rig.epoch(2, 100);
    assert_ne!(first.layout(), second.layout());
    for index in 0..SERVERS {
        let message = Announcement { round: Round(1), signatures: signatures.clone() };
        rig.ask(index, Message::Announcement(message));
    }
    assert_eq!(rig.announced(), SERVERS);
    // Each first server offers its chain's input to the members of the old epoch, whatever the new one says.
    let layer = Layer(0);
    let mut differ = 0;
    for chain in (0..3).map(ChainId) {
        let members = first.members(layer, chain);
        let stage = Stage { round: Round(1), layer, chain };
        let submissions = Submissions { stage, part: 0, is_last: true, submissions: Vec::new() };
        let sent = rig.tell(usize::from(members[0].0), Party::Coordinator, Message::Submissions(submissions));
        let offered: Vec<_> =
            sent.iter().filter(|(_, message)| matches!(message, Message::InputOffer(_))).map(|(to, _)| *to).collect();
        assert_eq!(offered, [Party::Server(members[1]), Party::Server(members[2])]);
        differ += usize::from(members[1..] != second.members(layer, chain)[1..]);
    }
    assert!(differ > 0, "choose another seed for this test");
}

#[test]
fn numbers_that_would_use_up_those_of_honest_epochs_are_refused_and_nothing_overflows() {
    let mut rig = Rig::new(small_params());
    let honest = rig.plan(1, 1);
    let lies = [
        EpochPlan { number: u64::MAX, ..honest.clone() },
        EpochPlan { number: 0, ..honest.clone() },
        EpochPlan { number: 1 << 40, ..honest.clone() },
        EpochPlan { first_round: Round(u64::MAX), ..honest.clone() },
        EpochPlan { first_round: Round(1 << 48), ..honest.clone() },
        EpochPlan { first_round: Round(1 << 40), ..honest.clone() },
        EpochPlan { first_round: Round(0), ..honest.clone() },
        EpochPlan { start_ms: u64::MAX, ..honest.clone() },
        EpochPlan { start_ms: 1 << 48, ..honest.clone() },
        EpochPlan { start_ms: 0, first_round: Round(2), ..honest.clone() },
    ];
    for lie in lies {
        assert!(rig.found(&lie).is_none(), "{lie:?}");
    }
    let epoch = rig.epoch(1, 1);
    let keys = rig.keys_of(&epoch, Round(1));
    assert_eq!(rig.descriptor_signatures(Round(1), &keys).len(), SERVERS);
    // Neither its own rounds nor those of an earlier epoch come again.
    assert!(rig.found(&rig.plan(2, 1)).is_none());
    assert!(rig.found(&rig.plan(1, 50)).is_none());

    for round in [Round(u64::MAX), Round(u64::MAX - 1), Round(1 << 63)] {
        assert!(check_window(&rig.directory, &epoch, round, rig.now_ms).is_err());
        assert!(check_window(&rig.directory, &epoch, round, u64::MAX).is_ok(), "the window at the end of time");
        let call = KeysCall { round, roster: UNAMENDED, position: Position(0), upstream: Vec::new() };
        assert!(rig.ask(0, Message::KeysCall(call)).is_none());
    }
    let start = epoch.window_start_ms(Round(1));
    assert!(check_window(&rig.directory, &epoch, Round(1), start - CLOCK_TOLERANCE_MS).is_ok());
}

#[test]
fn servers_that_were_all_restarted_still_know_the_grid_of_rounds() {
    let mut rig = Rig::new(small_params());
    // One signature is enough to know it, also if nothing comes of the attempt.
    rig.found(&rig.plan(1, 1)).expect("an honest plan");
    for number in [2, 3] {
        rig.mixers = (0..SERVERS).map(|index| rig.start(index)).collect();
        let honest = rig.plan(number, 100 * number);
        let lies = [
            EpochPlan { first_round: Round(5000), ..honest.clone() },
            EpochPlan { first_round: Round(99), ..honest.clone() },
            EpochPlan { start_ms: honest.start_ms + 1, ..honest.clone() },
        ];
        for lie in lies {
            assert!(rig.found(&lie).is_none(), "{lie:?}");
            assert!(rig.refusals().pop().is_some_and(|why| why.contains("rounds count from")), "{:?}", rig.refusals());
        }
        rig.epoch(number, 100 * number);
    }
}

#[test]
fn a_coordinator_that_has_two_plans_revealed_parts_nobody_from_the_others() {
    let mut rig = Rig::new(small_params());
    let plan = rig.plan(1, 1);
    let moved = EpochPlan { start_ms: plan.start_ms + 1, ..plan.clone() };
    let commit = |rig: &mut Rig, plan: &EpochPlan| -> Vec<_> {
        let commitments = plan.live.iter().map(|server| rig.commit(*server, plan));
        commitments.collect::<Option<_>>().expect("both plans are honest so far")
    };
    let (mut one, other) = (commit(&mut rig, &plan), commit(&mut rig, &moved));
    // One half comes back to the first plan; what the others have committed to in it still stands.
    let (half, rest) = plan.live.split_at(SERVERS / 2);
    for &server in half {
        one[usize::from(server.0)] = rig.commit(server, &plan).expect("it is called anew");
    }
    assert!(half.iter().all(|server| rig.reveal(*server, 1, &one).is_some()));
    assert!(rest.iter().all(|server| rig.reveal(*server, 1, &other).is_some()));
    for plan in [rig.plan(2, 1), EpochPlan { number: 3, ..moved }] {
        assert!(rig.shares(&plan).is_some(), "whatever grid it is on: {:?}", rig.refusals());
    }
}

#[test]
fn whoever_signed_an_epoch_that_never_began_takes_part_in_the_one_that_did() {
    let mut rig = Rig::new(small_params());
    let moved = EpochPlan { start_ms: rig.plan(1, 1).start_ms + 1, ..rig.plan(1, 1) };
    let shares = rig.shares(&moved).expect("honest so far");
    rig.sign(ServerId(0), 1, &shares).expect("everybody has revealed");
    assert!(rig.commit(ServerId(0), &rig.plan(2, 1)).is_none(), "it has signed for another grid");
    let without = EpochPlan { live: (1..SERVERS as u16).map(ServerId).collect(), ..rig.plan(2, 1) };
    let start = rig.found(&without).expect("the others have not");
    rig.begin(&start);
    let next = rig.plan(3, 100);
    assert!(rig.found(&next).is_some(), "all are on the grid of the epoch that began: {:?}", rig.refusals());
}

#[test]
fn calls_that_bring_more_than_is_needed_are_refused_and_not_kept() {
    let mut rig = Rig::new(small_params());
    let epoch = rig.epoch(1, 1);
    let keys = rig.keys_of(&epoch, Round(1));
    let before = rig.refusals().len();
    for position in [0, 1, 2, 3, 200, 255].map(Position) {
        let flood = keys.iter().cycle().take(500).cloned().collect();
        let call = KeysCall { round: Round(1), roster: UNAMENDED, position, upstream: flood };
        assert!(rig.ask(0, Message::KeysCall(call)).is_none());
    }
    assert_eq!(rig.refusals().len(), before + 6);
    // The keys that were published before still stand.
    assert_eq!(rig.descriptor_signatures(Round(1), &keys).len(), SERVERS);
}

#[test]
fn keys_are_never_kept_when_a_predecessor_changes() {
    let mut rig = Rig::new(small_params());
    let epoch = rig.epoch(1, 1);
    let keys = rig.keys_of(&epoch, Round(1));
    // Another, equally proven key of the first server of chain 0, by its owner.
    let stage = Stage { round: Round(1), layer: Layer(0), chain: ChainId(0) };
    let members = epoch.members(Layer(0), ChainId(0));
    let second = usize::from(members[1].0);
    let place = Place { stage, position: Position(0) };
    let context = hippodrome_core::descriptor::hop_context(&rig.directory, &epoch, place, members[0]);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (_, public, proof) = hippodrome_crypto::hop::HopSecret::generate(&Element::base(), &context, &mut rng);
    let turns: Vec<_> = epoch.layout().turns_of(members[1]).filter(|turn| turn.position == Position(1)).collect();
    let upstream = |change: bool| -> Vec<ProvenHopKeys> {
        let of_turn = |turn: &hippodrome_core::layout::Turn| {
            let hop =
                keys.iter().find(|hop| (hop.layer, hop.chain, hop.position) == (turn.layer, turn.chain, Position(0)));
            let mut hop = hop.expect("every hop has keys").clone();
            if change && (turn.layer, turn.chain) == (Layer(0), ChainId(0)) {
                (hop.public, hop.proof) = (public, proof);
            }
            hop
        };
        turns.iter().map(of_turn).collect()
    };
    let mut call = |change| {
        let call = KeysCall { round: Round(1), roster: UNAMENDED, position: Position(1), upstream: upstream(change) };
        match rig.ask(second, Message::KeysCall(call)) {
            Some(Message::Keys(keys)) => keys.keys,
            other => panic!("{other:?}"),
        }
    };
    let (first, again, changed, back) = (call(false), call(false), call(true), call(false));
    assert_eq!(first, again);
    for (one, other) in [(&first, &changed), (&changed, &back), (&first, &back)] {
        assert!(one.iter().all(|hop| other.iter().all(|other| other.public != hop.public)), "a key was used twice");
    }
    // And the descriptor with the keys of the first call is no longer signed.
    let proposal = Message::DescriptorProposal(DescriptorProposal {
        round: Round(1),
        roster: UNAMENDED,
        keys: keys.clone(),
        pledges: Vec::new(),
    });
    assert!(rig.ask(second, proposal).is_none());
}

#[test]
fn a_share_is_revealed_once_and_only_against_the_own_commitment_in_its_place() {
    let mut rig = Rig::new(small_params());
    let plan = rig.plan(1, 1);
    let call = Message::SeedCall(SeedCall { plan: plan.clone() });
    let commitments: Vec<_> = (0..SERVERS)
        .map(|index| match rig.ask(index, call.clone()) {
            Some(Message::SeedCommitment(message)) => (message.commitment, message.signature),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut ask = |commitments: Vec<(Digest, Signature)>| {
        let message = Message::SeedCommitments(SeedCommitments { epoch: 1, commitments });
        rig.ask(0, message)
    };
    // Server 1 signs the commitment of server 0 as its own; in place 0 stands what somebody else signed.
    let mut moved = commitments.clone();
    moved.swap(0, 1);
    assert!(ask(moved).is_none());
    assert!(ask(commitments[1..].to_vec()).is_none());
    assert!(matches!(ask(commitments.clone()), Some(Message::SeedReveal(_))));
    assert!(ask(commitments).is_none(), "a second reveal");
    // A fresh attempt under the same number draws no second share.
    assert!(rig.ask(0, call).is_none());
}

#[test]
fn a_server_that_is_told_too_late_neither_begins_nor_goes_on() {
    let mut rig = Rig::new(small_params());
    let epoch = rig.epoch(1, 1);
    let keys = rig.keys_of(&epoch, Round(1));
    let signatures = rig.descriptor_signatures(Round(1), &keys);
    let announcement = Message::Announcement(Announcement { round: Round(1), signatures });
    // Server 0 is told in time, server 1 after the round; neither has had a tick.
    rig.ask(0, announcement.clone());
    rig.now_ms = epoch.window_start_ms(Round(1)) + rig.directory.params().deadline_ms;
    rig.ask(1, announcement);
    assert_eq!(rig.announced(), 1);
    let stage = Stage { round: Round(1), layer: Layer(0), chain: ChainId(0) };
    for index in 0..2 {
        let submissions = Submissions { stage, part: 0, is_last: true, submissions: Vec::new() };
        let sent = rig.tell(index, Party::Coordinator, Message::Submissions(submissions));
        assert!(!sent.iter().any(|(_, message)| matches!(message, Message::InputOffer(_) | Message::InputRoot(_))));
    }
    assert!(rig.notices.iter().any(|(index, notice)| *index == 0 && matches!(notice, Notice::RoundOver(_))));
    assert_eq!(rig.mixers[0].next_tick_ms(), None, "its secrets are gone");
    assert_eq!(rig.mixers[1].next_tick_ms(), None, "its secrets are gone");
}

#[test]
fn epochs_begun_one_behind_another_open_a_bounded_number_of_rounds() {
    // Six chains of one server: everybody has a turn at position 0.
    let mut rig = Rig::new(NetworkParams { chain_len: 1, ..small_params() });
    let mut opened = 0;
    for number in 1..50 {
        let Some(start) = rig.found(&rig.plan(number, number * 10)) else { panic!("{:?}", rig.refusals()) };
        rig.begin(&start);
        for round in (number * 10..number * 10 + 8).map(Round) {
            let roster = RosterId { epoch: number, amendment: 0 };
            let call = KeysCall { round, roster, position: Position(0), upstream: Vec::new() };
            opened += usize::from(rig.ask(0, Message::KeysCall(call)).is_some());
        }
    }
    assert_eq!(opened, 136, "what a deadline of 128 periods could need, and 8 ahead of the clock");
    assert!(rig.refusals().iter().any(|why| why.contains("136 rounds are open already")));
}

// Servers and clients who cheat in a network of real machines.

type Opened = Rc<RefCell<Vec<(Round, Option<Vec<SlotReply>>)>>>;

/// A client that visits a mailbox, or submits what it has forged.
struct Client {
    params: NetworkParams,
    mailbox: u8,
    forge: Option<Forge>,
    opened: Opened,
}

impl Behaviour for Client {
    fn accesses(&mut self, _: Round, _: Round) -> Vec<Access> {
        vec![Access { mailbox: [self.mailbox; 16], content: [self.mailbox; 256] }]
    }

    fn forge(&mut self, composer: &Composer<'_>, rng: &mut ChaCha20Rng) -> Option<Submission> {
        self.forge.map(|forge| forge(composer, &self.params, rng))
    }

    fn replies(&mut self, round: Round, replies: Option<Vec<SlotReply>>) {
        self.opened.borrow_mut().push((round, replies));
    }
}

/// The digest that a round's statements are signed under, and its epoch, as any server knows them.
type Known = Rc<RefCell<Option<(Digest, Arc<Epoch>)>>>;

struct Cheat<F> {
    known: Known,
    keys: Vec<SigningKey>,
    act: F,
}

impl<F: FnMut(&Digest, &[SigningKey], Party, Party, &Message) -> Vec<Message>> Adversary for Cheat<F> {
    fn intercept(&mut self, from: Party, to: Party, message: &Arc<Message>) -> Option<Vec<Message>> {
        // Before the announcement there is no digest to sign under.
        let digest = self.known.borrow().as_ref().map_or(Digest([0; 32]), |(digest, _)| *digest);
        (message.round() == Some(Round(1))).then(|| (self.act)(&digest, &self.keys, from, to, message))
    }

    fn announced(&mut self, round: Round, descriptor: &Digest, roster: &Arc<Roster>) {
        if round == Round(1) {
            *self.known.borrow_mut() = Some((*descriptor, Arc::clone(roster.epoch())));
        }
    }
}

struct Scene {
    network: Network,
    known: Known,
    opened: Vec<Opened>,
}

/// A mailbox of the pair, in the output chain of the pair's number where there are three.
fn mailbox_of(pair: usize) -> u8 {
    let chain = ChainId(pair as u16 % 3);
    let fits = |byte: &u8| output_chain(&[*byte; 16], &[0, 1, 2].map(ChainId)) == Some(chain);
    (0..=255).filter(fits).nth(pair / 3).expect("256 mailboxes for three chains")
}

/// A network of six servers; clients 0 to 5 are honest, each pair shares a mailbox, and then come the forgers.
fn scene(
    params: &NetworkParams,
    forgers: &[Forge],
    act: impl FnMut(&Digest, &[SigningKey], Party, Party, &Message) -> Vec<Message> + 'static,
) -> Scene {
    let opened: Vec<Opened> = (0..6 + forgers.len()).map(|_| Opened::default()).collect();
    let clients = opened.iter().enumerate().map(|(index, opened)| {
        let forge = index.checked_sub(6).map(|index| forgers[index]);
        let (params, opened) = (params.clone(), Rc::clone(opened));
        Box::new(Client { params, mailbox: mailbox_of(index / 2), forge, opened }) as Box<dyn Behaviour>
    });
    let mut network = Network::new(params.clone(), SERVERS, clients.collect(), 7);
    let ids = network.directory().server_ids();
    let keys = ids.map(|id| copy_key(network.server_key(id))).collect();
    let known = Known::default();
    network.set_adversary(Cheat { known: Rc::clone(&known), keys, act });
    Scene { network, known, opened }
}

fn watch(_: &Digest, _: &[SigningKey], _: Party, _: Party, message: &Message) -> Vec<Message> {
    vec![message.clone()]
}

impl Scene {
    fn epoch(&self) -> Arc<Epoch> {
        Arc::clone(&self.known.borrow().as_ref().expect("round 1 was announced").1)
    }

    fn reasons(&self) -> Vec<(ServerId, AbortReason)> {
        let aborted = self.network.notices.iter().filter_map(|(server, notice)| match notice {
            Notice::Aborted { stage, reason } if stage.round == Round(1) => Some((*server, *reason)),
            _ => None,
        });
        aborted.collect()
    }

    /// Runs until a message of round 1 was delivered for which the predicate holds.
    fn run_until(&mut self, is_it: impl Fn(&Message) -> bool) {
        for _ in 0..20_000 {
            let seen = self.network.delivered.iter().rev().take(200);
            if seen.into_iter().any(|(_, _, message)| message.round() == Some(Round(1)) && is_it(message)) {
                return;
            }
            self.network.run_for(1);
        }
        panic!("it never happened");
    }

    /// Whether an honest client met its partner in round 1.
    fn met(&self, client: usize) -> bool {
        let opened = self.opened[client].borrow();
        let replies = opened.iter().find(|(round, _)| *round == Round(1)).and_then(|(_, replies)| replies.as_ref());
        replies.is_some_and(|replies| replies[0] == Ok([mailbox_of(client / 2); 256]))
    }
}

/// The stage that a message between servers is about.
fn stage_of(message: &Message) -> Option<Stage> {
    match message {
        Message::InputOffer(message) => Some(message.input.stage),
        Message::InputRoot(message) => Some(message.input.stage),
        Message::Batch(message) => Some(message.batch.place.stage),
        Message::Proof(message) => Some(message.batch.place.stage),
        Message::Parcel(message) => Some(Stage { layer: Layer(1), chain: message.destination, ..message.source }),
        Message::Return(message) => message.stage(),
        _ => None,
    }
}

#[test]
fn nobody_outside_a_chain_can_make_it_fail_once_the_round_is_closed() {
    let mut scene = scene(&small_params(), &[], watch);
    scene.run_until(|message| matches!(message, Message::Return(back) if back.signed.replies.to.is_none()));
    let epoch = scene.epoch();
    let heard: Vec<_> = scene.network.delivered.clone();
    for (from, to, message) in heard {
        let (Some(stage), Party::Server(server)) = (stage_of(&message), to) else { continue };
        let mut spoiled = message;
        match &mut spoiled {
            Message::InputOffer(offer) => offer.input.count ^= 1,
            Message::InputRoot(root) => root.signatures[0].0[0] ^= 1,
            Message::Batch(batch) => batch.batch.count ^= 1,
            Message::Proof(proof) => proof.proof = vec![1],
            Message::Parcel(parcel) => drop(parcel.records.pop()),
            Message::Return(back) => drop(back.replies.pop()),
            _ => {}
        }
        let members = epoch.members(stage.layer, stage.chain);
        let strangers = (0..SERVERS as u16)
            .map(ServerId)
            .filter(|id| !members.contains(id) && *id != server && Party::Server(*id) != from);
        for stranger in strangers {
            scene.network.inject(server, Party::Server(stranger), spoiled.clone());
        }
    }
    scene.network.run(1, 30_000);
    assert_eq!(scene.reasons(), []);
    assert!((0..6).all(|client| scene.met(client)));
}

#[test]
fn a_contradiction_after_the_round_is_closed_holds_back_only_the_chains_of_the_liar() {
    let mut scene = scene(&small_params(), &[], watch);
    scene.run_until(|message| matches!(message, Message::Return(back) if back.signed.replies.to.is_none()));
    let epoch = scene.epoch();
    let digest = scene.known.borrow().as_ref().expect("announced").0;
    let liar = epoch.members(Layer(0), ChainId(0))[0];
    for layer in (0..2).map(Layer) {
        let vector = Digest([9; 32]);
        let signature = scene.network.server_key(liar).sign(&statement::confirmation(&digest, layer, &vector));
        let confirmation = Confirmation { round: Round(1), layer, vector, signature };
        for to in (0..SERVERS as u16).map(ServerId) {
            scene.network.inject(to, Party::Server(liar), Message::Confirmation(confirmation.clone()));
        }
    }
    scene.network.run_for(5000);
    let aborted = scene.network.notices.iter().filter_map(|(_, notice)| match notice {
        Notice::Aborted { stage, reason } => Some((stage, reason)),
        _ => None,
    });
    for (stage, reason) in aborted {
        assert_eq!(*reason, AbortReason::Convicted(liar));
        assert!(epoch.members(stage.layer, stage.chain).contains(&liar), "{stage} failed without the liar in it");
    }
    assert!(scene.network.coordinator().status().rounds_completed >= 1);
}

#[test]
fn a_parcel_beyond_all_bounds_convicts_its_sender_and_not_the_honest_server_that_gathers_it() {
    // Well-formed and well-signed records, more than the whole chain could have taken in.
    let params = NetworkParams { max_batch: 100, ..small_params() };
    let width = params.sizes().parcel_record(1);
    let flood = 101;
    let mut scene = scene(&params, &[], move |digest, keys, from, _, message| match (message, from) {
        (Message::Parcel(parcel), Party::Server(sender)) if parcel.destination == ChainId(1) => {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let mut forged = parcel.clone();
            forged.records.clear();
            for _ in 0..flood {
                forged.records.extend(inner_record(digest, parcel.source.chain, ChainId(1), width, &mut rng));
            }
            forged.root = parcel_root(&forged.records, width);
            let signed = statement::parcel(digest, &commitment(&forged, flood));
            forged.signature = keys[usize::from(sender.0)].sign(&signed);
            vec![Message::Parcel(forged)]
        }
        _ => vec![message.clone()],
    });
    scene.network.run(1, 30_000);
    let epoch = scene.epoch();
    let senders: Vec<ServerId> = (0..params.chains).map(|chain| epoch.members(Layer(0), ChainId(chain))[2]).collect();
    let reasons = scene.reasons();
    assert!(!reasons.is_empty());
    let names_a_sender = |reason: &AbortReason| matches!(reason, AbortReason::BadMessage(id) if senders.contains(id));
    assert!(reasons.iter().all(|(_, reason)| names_a_sender(reason)), "{reasons:?}");
}

fn commitment(parcel: &Parcel, count: usize) -> ParcelCommitment {
    let (source, destination, root, origin) = (parcel.source, parcel.destination, parcel.root, parcel.origin);
    ParcelCommitment { source, destination, count: count as u32, root, origin }
}

fn parcel_root(records: &[u8], width: usize) -> Digest {
    let records = Records::from_bytes(width, records.to_vec()).expect("whole records");
    merkle::root_of(&merkle::leaves(&records))
}

#[test]
fn the_same_parcel_twice_is_one_parcel_and_another_one_convicts() {
    let mut copies = scene(&small_params(), &[], watch);
    copies.run_until(|message| matches!(message, Message::InputRoot(root) if root.input.stage.layer == Layer(1)));
    let heard = copies.network.delivered.clone();
    for (from, to, message) in heard {
        if let (Party::Server(server), Message::Parcel(_)) = (to, &message) {
            copies.network.inject(server, from, message);
        }
    }
    copies.network.run(1, 30_000);
    assert!((0..6).all(|client| copies.met(client)), "{:?}", copies.reasons());

    let mut scene = scene(&small_params(), &[], |digest, keys, from, _, message| match (message, from) {
        (Message::Parcel(parcel), Party::Server(sender)) if parcel.source.chain == ChainId(2) => {
            let mut other = Parcel { records: Vec::new(), root: merkle::root_of(&[]), ..parcel.clone() };
            let signed = statement::parcel(digest, &commitment(&other, 0));
            other.signature = keys[usize::from(sender.0)].sign(&signed);
            vec![message.clone(), Message::Parcel(other)]
        }
        _ => vec![message.clone()],
    });
    scene.network.run(1, 30_000);
    let sender = scene.epoch().members(Layer(0), ChainId(2))[2];
    let named = |(_, reason): &(ServerId, AbortReason)| *reason == AbortReason::Equivocation(sender);
    assert!(scene.reasons().iter().any(named), "{:?}", scene.reasons());
    assert!(!(0..6).any(|client| scene.met(client)));
}

#[test]
fn the_first_server_of_another_chain_has_no_say_in_a_clients_replies() {
    // Every first server hands out, besides its own, replies for all clients.
    let sizes = small_params().sizes();
    let mut scene = scene(&small_params(), &[], move |_, _, _, _, message| match message {
        Message::Replies(replies) => {
            let mut forged = Vec::new();
            for client in (0..6).map(ClientId) {
                let reply = vec![1; sizes.reply(0, 0)];
                forged.extend(ReplyRecord { author: Author::Client(client), slot: 0, reply }.encode());
            }
            let own = Records::from_bytes(sizes.reply_record, replies.replies.clone()).expect("whole records");
            let of = |record: &[u8]| ReplyRecord::decode(&sizes, record).expect("an honest record").author;
            let authors: Vec<Author> = own.iter().map(of).collect();
            let mut mixed = Records::new(sizes.reply_record);
            let forged = Records::from_bytes(sizes.reply_record, forged).expect("whole records");
            forged.iter().filter(|record| !authors.contains(&of(record))).for_each(|record| mixed.push(record));
            mixed.append(&own);
            vec![Message::Replies(Replies { stage: replies.stage, replies: mixed.into_bytes() })]
        }
        _ => vec![message.clone()],
    });
    scene.network.run(1, 30_000);
    let roster = scene.network.coordinator().roster().expect("an epoch");
    let registry = &roster.epoch().plan().registry;
    let chains: Vec<_> = registry.iter().map(|client| roster.input_chain(client)).collect();
    assert!(chains.iter().any(|chain| *chain != chains[0]), "choose another seed for this test");
    assert!((0..6).all(|client| scene.met(client)));
}

#[test]
fn whatever_is_repeated_to_a_server_that_restarted_it_acts_once() {
    for instant_ms in [60, 545, 620] {
        let mut scene = scene(&small_params(), &[], watch);
        scene.run_until(|message| matches!(message, Message::KeysCall(_)));
        scene.network.run_for(instant_ms + if instant_ms > 500 { 1000 } else { 0 });
        let server = scene.network.directory().server_ids().next().expect("a server");
        scene.network.restart_server(server);
        scene.network.run_for(10);
        let heard = scene.network.delivered.clone();
        for (from, _, message) in heard.iter().filter(|(_, to, _)| *to == Party::Server(server)) {
            scene.network.inject(server, *from, message.clone());
        }
        scene.network.run_for(2500);
        let mut said: HashMap<String, HashMap<String, u32>> = HashMap::new();
        for (_, _, message) in scene.network.delivered.iter().filter(|(from, ..)| *from == Party::Server(server)) {
            if let (Some(Round(1)), Some((act, what))) = (message.round(), act_of(message)) {
                *said.entry(act).or_default().entry(what).or_default() += 1;
            }
        }
        assert!(!said.is_empty());
        for (act, whats) in said {
            assert_eq!(whats.len(), 1, "{act} at {instant_ms} ms: two different ones left the server");
        }
    }
}

/// What a server does at most once, and what it did.
fn act_of(message: &Message) -> Option<(String, String)> {
    Some(match message {
        Message::Keys(keys) => (format!("keys at {}", keys.position), format!("{:?}", keys.keys)),
        Message::DescriptorSignature(signature) => ("descriptor".into(), format!("{:?}", signature.signature)),
        Message::Noise(noise) => (format!("noise {}", noise.stage), format!("{:?}", noise.submissions)),
        Message::InputOffer(offer) => (format!("offer {}", offer.input.stage), format!("{:?}", offer.input)),
        Message::InputSignature(signed) => (format!("input {}", signed.stage), format!("{:?}", signed.signature)),
        Message::Confirmation(vector) => (format!("confirmation {}", vector.layer), vector.vector.to_string()),
        Message::Batch(batch) => (format!("batch {}", batch.batch.place), format!("{:?}", batch.batch)),
        Message::Parcel(parcel) => {
            (format!("parcel {} to {}", parcel.source, parcel.destination), parcel.root.to_string())
        }
        Message::Return(back) => {
            let ReturnCommitment { place, to, root, .. } = back.signed.replies;
            (format!("return {place} to {to:?}"), root.to_string())
        }
        _ => return None,
    })
}

#[test]
fn in_an_aggregate_network_no_member_signs_an_entry_that_nobody_vouches_for() {
    let params = NetworkParams { verification: Verification::Aggregate, ..small_params() };
    let width = params.sizes().entry(0);
    // Byte 0 of the knowledge, byte 0 of the author's signature, and the slot of the first entry.
    for at in [32 + 32 + 7, 32 + 32 + 7 + 64, 32 + 32 + 5] {
        let mut scene = scene(&params, &[], move |digest, keys, from, _, message| match (message, from) {
            (Message::InputOffer(offer), Party::Server(first))
                if offer.input.stage.layer == Layer(0) && offer.input.stage.chain == ChainId(0) =>
            {
                let mut forged = offer.clone();
                assert!(forged.entries.len() > width);
                forged.entries[at] ^= 1;
                let entries = Records::from_bytes(width, forged.entries.clone()).expect("whole entries");
                forged.input.entries = merkle::root_of(&merkle::leaves(&entries));
                let signed = statement::input(digest, &forged.input);
                forged.signature = keys[usize::from(first.0)].sign(&signed);
                vec![Message::InputOffer(forged)]
            }
            _ => vec![message.clone()],
        });
        scene.network.run(1, 30_000);
        let first = scene.epoch().members(Layer(0), ChainId(0))[0];
        let reasons = scene.reasons();
        assert!(reasons.iter().any(|(_, reason)| *reason == AbortReason::BadMessage(first)), "{at}: {reasons:?}");
        let left = |(_, _, message): &(Party, Party, Message)| {
            message.round() == Some(Round(1))
                && matches!(message, Message::Batch(_) | Message::InputRoot(_))
                && stage_of(message)
                    .is_some_and(|stage| stage.chain == ChainId(0) || matches!(message, Message::Batch(_)))
        };
        assert!(!scene.network.delivered.iter().any(left));
    }
}

#[test]
fn a_chain_that_fails_in_the_last_layer_holds_up_no_other() {
    // Nothing is traced without the shuffle argument.
    let params = NetworkParams { verification: Verification::Aggregate, ..small_params() };
    let mut scene = scene(&params, &[garbage_in_layer_1], watch);
    scene.network.run(1, 30_000);
    let reasons = scene.reasons();
    assert!(reasons.iter().any(|(_, reason)| *reason == AbortReason::LayerDidNotOpen), "{reasons:?}");
    // The first server of chain 0 of the last layer holds back; all other chains of that layer bring their replies
    // home without anything having been replaced there.
    let returned: Vec<ChainId> = scene
        .network
        .delivered
        .iter()
        .filter_map(|(_, _, message)| match message {
            Message::Return(back) if back.place().stage.round == Round(1) && back.signed.replies.to.is_some() => {
                Some(back.place().stage.chain)
            }
            _ => None,
        })
        .collect();
    for chain in (0..3).map(ChainId) {
        assert_eq!(returned.contains(&chain), chain != ChainId(0), "{chain}: {returned:?}");
    }
    for client in 0..6 {
        assert_eq!(scene.met(client), client / 2 != 0, "client {client}");
    }
}

#[test]
fn an_announcement_that_comes_late_but_in_time_harms_nobody() {
    // Server 1 hears of the round when clients have submitted already.
    let held: Rc<RefCell<Vec<Message>>> = Rc::default();
    let keep = Rc::clone(&held);
    let mut scene = scene(&small_params(), &[], move |_, _, _, to, message| match (message, to) {
        (Message::Announcement(_), Party::Server(ServerId(1))) => {
            keep.borrow_mut().push(message.clone());
            vec![]
        }
        _ => vec![message.clone()],
    });
    for _ in 0..10_000 {
        let epoch = scene.network.coordinator().epoch().map(|(epoch, _)| epoch.window_start_ms(Round(1)));
        if epoch.is_some_and(|start_ms| scene.network.now_ms() >= start_ms) {
            break;
        }
        scene.network.run_for(1);
    }
    let announcement = held.borrow_mut().pop().expect("held");
    scene.network.inject(ServerId(1), Party::Coordinator, announcement);
    scene.network.run(1, 30_000);
    assert!((0..6).all(|client| scene.met(client)), "{:?}", scene.reasons());
}

#[test]
fn a_flood_for_a_round_not_announced_yet_is_bounded() {
    let mut rig = Rig::new(small_params());
    let epoch = rig.epoch(1, 1);
    rig.keys_of(&epoch, Round(1));
    let stage = Stage { round: Round(1), layer: Layer(0), chain: ChainId(0) };
    let big = || Message::Submissions(Submissions { stage, part: 0, is_last: true, submissions: vec![0; 8 << 20] });
    for _ in 0..20 {
        rig.tell(0, Party::Coordinator, big());
    }
    let ignored = |rig: &Rig| rig.notices.iter().filter(|(_, notice)| matches!(notice, Notice::Ignored { .. })).count();
    assert_eq!(ignored(&rig), 12, "64 MiB are kept");
    let reason = AbortReason::LayerDidNotOpen;
    let small = Abort { stage, reason, signature: Signature([0; 64]) };
    for _ in 0..5000 {
        rig.tell(0, Party::Server(ServerId(3)), Message::Abort(small.clone()));
    }
    assert_eq!(ignored(&rig), 12 + 5000 - (4096 - 8), "4096 messages are kept");
}
