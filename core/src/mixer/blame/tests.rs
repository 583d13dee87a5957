//! Attacks on traces and on evidence, mounted on the hops of a chain: who lies is named, nobody else is, and no honest
//! record is opened.

use std::{collections::BTreeSet, num::NonZeroU32};

use hippodrome_crypto::{
    group::SecretScalar,
    hash::Hasher,
    hop::HopPublic,
    onion::{self, HopKdf, open_layer, tag_holds},
    permutation::Permutation,
};
use hippodrome_pledge::NoiseSeed;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::{
    descriptor::Descriptor,
    directory::Directory,
    epoch::EpochDraft,
    evidence::{
        BadProof, BrokenRule, Case, CaseError, Evidence, Flaw, NotProven, Offence, RoundBasis, SignedStatement,
        Statement, Stopped, Traced, Unlinked, Verdict,
    },
    ids::{Author, ChainId, ClientId, Position, Round, ServerId, Stage},
    message::{
        AgreedInput, BatchCommitment, EpochPlan, InputCommitment, InputOffer, Parcel, ParcelCommitment, Proof, Standing,
    },
    mixer::{
        hop::Upstream,
        input::{assemble_submissions, check_submissions},
        noise::{self, ChainNoise},
    },
    noise::NoiseParams,
    params::{NetworkParams, Verification},
    pledge::{self, NoisePledge},
    roster::Roster,
    statement,
    submission::{Access, Composer},
    testing,
};

const SERVERS: u16 = 4;
const CLIENTS: u32 = 6;
const ROUND: Round = Round(12);
/// The client that misbehaves, where one does.
const MALLORY: u32 = 5;

fn params(name: &str, verification: Verification) -> NetworkParams {
    NetworkParams {
        name: name.into(),
        chains: 1,
        chain_len: 3,
        layers: 2,
        verification,
        slots: 1,
        noise: NoiseParams::NONE,
        period_ms: 1000,
        collect_ms: 500,
        deadline_ms: 3000,
        max_batch: 1000,
        bad_servers: 1,
        min_live: 4,
        failure_bits: 0,
        epoch_ms: 10_000,
    }
}

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A network with one chain of three in each of two layers, and one round of it whose secrets the tests have.
pub(crate) struct World {
    directory: Arc<Directory>,
    servers: Vec<SigningKey>,
    clients: Vec<SigningKey>,
    pub(crate) basis: RoundBasis,
    secrets: BTreeMap<Place, Arc<HopSecret>>,
}

pub(crate) fn place(layer: u8, position: u8) -> Place {
    Place { stage: Stage { round: ROUND, layer: Layer(layer), chain: ChainId(0) }, position: Position(position) }
}

/// What a client submits.
pub(crate) enum Onion {
    Honest,
    /// The tag is wrong at this position of the input chain.
    WrongTag(u8),
    /// It opens, and holds what is no payload.
    BadContent,
}

fn noise_seed(owner: ServerId) -> NoiseSeed {
    NoiseSeed::random(&mut rng(2000 + u64::from(owner.0)))
}

fn pledge_of(directory: &Directory, roster: &Roster, owner: ServerId) -> NoisePledge {
    let (terms, seed) = (pledge::terms(directory, roster, ROUND, owner), noise_seed(owner));
    let counts = noise::counts(directory.params(), roster, &seed);
    NoisePledge::make(&terms, Digest([owner.0 as u8; 32]), &seed, &counts).expect("its own counts")
}

impl World {
    fn new() -> Self {
        Self::in_mode(Verification::Full)
    }

    fn in_mode(verification: Verification) -> Self {
        Self::of(params("a test", verification))
    }

    /// With so many slots of noise from each server, in the only input chain.
    pub(crate) fn with_noise(slots: u32) -> Self {
        Self::of(NetworkParams { noise: NoiseParams::uniform(slots), ..params("a test", Verification::Full) })
    }

    /// The same, pledged and audited.
    pub(crate) fn audited(slots: u32) -> Self {
        let noise = NoiseParams { audit: NonZeroU32::new(1), ..NoiseParams::uniform(slots) };
        Self::of(NetworkParams { noise, ..params("a test", Verification::Full) })
    }

    /// What all of a server's noise follows from.
    pub(crate) fn noise_seed(&self, owner: ServerId) -> NoiseSeed {
        noise_seed(owner)
    }

    /// A server's pledge of its noise.
    pub(crate) fn pledge(&self, owner: ServerId) -> NoisePledge {
        pledge_of(&self.directory, &self.basis.roster, owner)
    }

    fn of(params: NetworkParams) -> Self {
        let (servers, clients) = (testing::keys(SERVERS.into(), 1), testing::keys(CLIENTS, 100));
        let directory = Arc::new(testing::found(params, &servers));
        let plan = EpochPlan {
            number: 3,
            registry: clients.iter().map(SigningKey::public).collect(),
            first_round: Round(11),
            start_ms: 1_000_000,
            live: (0..SERVERS).map(ServerId).collect(),
            standings: vec![Standing::default(); SERVERS.into()],
        };
        let draft = EpochDraft::new(&directory, plan, &[[7; 32]; SERVERS as usize]).expect("a good plan");
        let signed: Vec<_> = (0..).map(ServerId).zip(servers.iter().map(|key| draft.sign(key))).collect();
        let epoch = draft.verify(&directory, &signed).expect("all have signed");
        let roster = Arc::new(Roster::new(&directory, Arc::new(epoch)));
        let mut secrets = BTreeMap::new();
        let mut chain = |layer: u8| {
            let mut base = Element::base();
            let hop = |position| {
                let context = Hasher::new("keys of a test").finish();
                let seed = u64::from(layer) * 10 + u64::from(position);
                let (secret, public, _) = HopSecret::generate(&base, &context, &mut rng(seed));
                base = public.blinding;
                secrets.insert(place(layer, position), Arc::new(secret));
                public
            };
            (0..3).map(hop).collect::<Vec<HopPublic>>()
        };
        let keys = vec![vec![chain(0)], vec![chain(1)]];
        let pledged = directory.params().noise.audit.map_or(0, |_| SERVERS);
        let pledges = (0..pledged).map(|server| pledge_of(&directory, &roster, ServerId(server)).digest()).collect();
        let descriptor = Descriptor::arrange(&directory, &roster, ROUND, keys, pledges).expect("keys of every hop");
        let signatures: Vec<Signature> = servers.iter().map(|key| descriptor.sign(key)).collect();
        let descriptor = descriptor.verify(&directory, &signatures).expect("all have signed");
        let basis = RoundBasis::new(Arc::clone(&directory), descriptor);
        Self { directory, servers, clients, basis, secrets }
    }

    pub(crate) fn secret(&self, place: Place) -> &HopSecret {
        &self.secrets[&place]
    }

    pub(crate) fn server(&self, place: Place) -> ServerId {
        self.basis.server_at(place).expect("a place of the chain")
    }

    pub(crate) fn key(&self, place: Place) -> &SigningKey {
        self.key_of(self.server(place))
    }

    pub(crate) fn key_of(&self, server: ServerId) -> &SigningKey {
        &self.servers[usize::from(server.0)]
    }

    fn context(&self, place: Place) -> RoundContext {
        self.context_of(self.server(place))
    }

    pub(crate) fn context_of(&self, me: ServerId) -> RoundContext {
        RoundContext { basis: self.basis.clone(), me }
    }

    pub(crate) fn noise(&self, owner: ServerId) -> Vec<ChainNoise> {
        noise::compose(&self.context_of(owner), self.key_of(owner), &noise_seed(owner))
    }

    fn submit(&self, client: u32, onion: &Onion) -> Vec<u8> {
        let view = self.basis.descriptor.own_view(ChainId(0));
        let (author, key) = (Author::Client(ClientId(client)), &self.clients[client as usize]);
        let composer = Composer { view: &view, author, key };
        let mut rng = rng(1000 + u64::from(client));
        let access = Access { mailbox: [client as u8; 16], content: [client as u8; 256] };
        let mut hops = view.keys(Layer(0), ChainId(0)).to_vec();
        match onion {
            Onion::Honest => return composer.compose(0, &access, &mut rng).submission.encode(),
            Onion::WrongTag(position) => {
                let hop = &mut hops[usize::from(*position)];
                hop.key = hop.blinding;
            }
            Onion::BadContent => {}
        }
        let x = SecretScalar::random(&mut rng);
        let payload = vec![0xff; self.basis.sizes.payload(0)];
        let onion = onion::wrap(view.digest(), 0, 0, &hops, &x, &payload);
        composer.sign(0, onion.key, onion.body, &x, &mut rng).encode()
    }

    /// Runs the input chain; `tamper` may change what a hop puts out, before it signs that.
    pub(crate) fn run(&self, mallory: Onion, tamper: impl Fn(u8, &mut Records)) -> Chain {
        self.run_from(self.input(mallory), tamper)
    }

    fn input(&self, mallory: Onion) -> Input {
        self.input_of(|client| if client == MALLORY { &mallory } else { &Onion::Honest })
    }

    fn input_of<'a>(&self, onion: impl Fn(u32) -> &'a Onion) -> Input {
        let first = place(0, 0);
        let mut submissions = Records::new(self.basis.sizes.submission);
        (0..CLIENTS).for_each(|client| submissions.push(&self.submit(client, onion(client))));
        for owner in (0..SERVERS).map(ServerId) {
            let noise = self.noise(owner).into_iter().flat_map(|noise| noise.submissions).collect::<Vec<u8>>();
            noise.chunks_exact(self.basis.sizes.submission).for_each(|submission| submissions.push(submission));
        }
        let (context, nobody) = (self.context(first), BTreeSet::new());
        let checked = check_submissions(&context, first.stage.chain, &submissions, &mut rng(1));
        let assembled = assemble_submissions(&context, first.stage, checked, &nobody);
        let assembled = assembled.expect("all noise is there");
        let signature = self.key(first).sign(&statement::input(self.basis.digest(), &assembled.input));
        let offer = InputOffer { input: assembled.input, signature, entries: assembled.entries, left_out: Vec::new() };
        Input { offer, keys: assembled.keys, bodies: assembled.bodies }
    }

    pub(crate) fn agree(&self, input: InputCommitment) -> AgreedInput {
        let signed = statement::input(self.basis.digest(), &input);
        let members = self.basis.members(input.stage);
        let signatures = members.iter().map(|member| self.key_of(*member).sign(&signed)).collect();
        AgreedInput { input, signatures }
    }

    fn run_from(&self, Input { offer, keys, bodies }: Input, tamper: impl Fn(u8, &mut Records)) -> Chain {
        let agreed = self.agree(offer.input);
        let (mut source, mut keys, mut bodies) = (agreed.input.root, keys, Arc::new(bodies));
        let mut hops = Vec::new();
        for position in 0..3 {
            let hop = self.hop(place(0, position), source, &keys, &bodies, &tamper);
            let records = &hop.records;
            source = merkle::root_of(&merkle::leaves(records));
            if position < 2 {
                keys = Arc::new(KeyList::new(onion::decode_keys(records).expect("keys are intact")));
                bodies = Arc::new(onion::bodies(records));
            }
            hops.push(hop);
        }
        Chain { offer, agreed, hops }
    }

    fn hop(
        &self,
        place: Place,
        source: Digest,
        keys: &Arc<KeyList>,
        bodies: &Arc<Records>,
        tamper: &impl Fn(u8, &mut Records),
    ) -> Hop {
        let secret = Arc::clone(&self.secrets[&place]);
        let (shared, blinded) = (onion::derive(&secret, keys.keys()), onion::blind(&secret, keys.keys()));
        let opened = onion::open(&HopKdf::new(&self.basis.hop_context(place)), keys.keys(), &shared, &blinded, bodies);
        let permutation = Permutation::random(keys.len(), &mut rng(u64::from(place.position.0)));
        let (out_keys, out_bodies) = onion::permute(&permutation, &blinded, &opened.payloads);
        let ends = place.position.0 == 2;
        let mut records = if ends { out_bodies } else { onion::encode(&out_keys, &out_bodies) };
        tamper(place.position.0, &mut records);
        let commitment = BatchCommitment {
            place,
            count: records.len() as u32,
            root: merkle::root_of(&merkle::leaves(&records)),
            keys: *KeyList::new(out_keys).digest(),
            source,
            source_keys: *keys.digest(),
            removed: statement::no_removals(),
        };
        let signature = self.key(place).sign(&statement::batch(self.basis.digest(), &commitment));
        let kept = KeptHop::new(secret, place, Arc::clone(keys), Arc::clone(bodies));
        let failed = opened.failed.iter().map(|&index| index as u32).collect();
        let batch = SignedBatch { batch: commitment, signature };
        Hop { kept, permutation, batch, records, failed }
    }

    /// What each hop of a layer's chain puts out for records that nobody has tampered with.
    pub(crate) fn opened(&self, layer: u8, mut keys: Vec<Element>, mut bodies: Records) -> Vec<Records> {
        let mut hop = |position| {
            let at = place(layer, position);
            let secret = &self.secrets[&at];
            let (shared, blinded) = (onion::derive(secret, &keys), onion::blind(secret, &keys));
            let opened = onion::open(&HopKdf::new(&self.basis.hop_context(at)), &keys, &shared, &blinded, &bodies);
            assert!(opened.failed.is_empty());
            let permutation = Permutation::random(keys.len(), &mut rng(u64::from(position)));
            let (out_keys, out_bodies) = onion::permute(&permutation, &blinded, &opened.payloads);
            let batch = if position == 2 { out_bodies.clone() } else { onion::encode(&out_keys, &out_bodies) };
            (keys, bodies) = (out_keys, out_bodies);
            batch
        };
        (0..3).map(&mut hop).collect()
    }

    fn origin(&self, chain: &Chain, position: u8) -> Origin {
        match position.checked_sub(1) {
            Some(before) => Origin::Batch(chain.hops[usize::from(before)].batch),
            None => {
                let entries = Arc::new(chain.offer.entries.clone());
                Origin::Submissions { input: chain.agreed.clone(), entries }
            }
        }
    }

    fn accuse(&self, chain: &Chain, position: u8, wrong_tags: &[u32], malformed: &[u32]) -> Arc<Accusation> {
        let at = place(0, position);
        let accusing =
            chain.hops[usize::from(position)].kept.accuse(self.origin(chain, position), wrong_tags, malformed);
        Arc::new(accusing.make(&self.context(at), self.key(at), &mut rng(77)))
    }

    /// The step that an honest server makes.
    fn step(&self, chain: &Chain, position: u8, trace: &Trace) -> Arc<TraceStep> {
        self.step_from(chain, position, trace, |sources| sources)
    }

    /// The first step of the trace of what failed at the chain's end.
    pub(crate) fn honest_step(&self, chain: &Chain, position: u8) -> TraceStep {
        let at = position + 1;
        let accusation = self.accuse(chain, at, &chain.hops[usize::from(at)].failed, &[]);
        let trace = self.open(&accusation).expect("the tag is wrong");
        (*self.step(chain, position, &trace)).clone()
    }

    /// A step that shows other records than the ones that were asked for.
    fn step_from(
        &self,
        chain: &Chain,
        position: u8,
        trace: &Trace,
        change: impl Fn(Vec<u32>) -> Vec<u32>,
    ) -> Arc<TraceStep> {
        let (hop, at) = (&chain.hops[usize::from(position)], place(0, position));
        let sources = |outputs: Vec<Output>| {
            let places = outputs.iter().map(|output| match output {
                Output::Batch(place) | Output::Parcel(_, place) => *place,
            });
            hop.permutation.sources_of(&places.collect::<Vec<u32>>()).map(&change)
        };
        let stepping = hop.kept.step(trace, self.origin(chain, position), sources).expect("it is asked for");
        Arc::new(stepping.make(&self.context(at), self.key(at), &mut rng(78)))
    }

    fn open(&self, accusation: &Arc<Accusation>) -> Result<Trace, Stopped> {
        Trace::open(&self.basis, Arc::clone(accusation), &mut rng(5))
    }

    fn follow(&self, trace: Trace, step: &Arc<TraceStep>) -> Result<Trace, Stopped> {
        trace.follow(&self.basis, Arc::clone(step), &mut rng(6))
    }

    /// Follows an accusation to the end, all servers being honest.
    fn trace(&self, chain: &Chain, accusation: &Arc<Accusation>) -> (Trace, Vec<Arc<TraceStep>>) {
        let mut trace = self.open(accusation).expect("the accusation holds");
        let mut steps = Vec::new();
        for position in (0..accusation.place.position.0).rev() {
            let step = self.step(chain, position, &trace);
            trace = self.follow(trace, &step).expect("the step adds up");
            steps.push(step);
        }
        (trace, steps)
    }

    fn judge(&self, evidence: Evidence) -> Result<Verdict, NotProven> {
        evidence.verify(&self.basis)
    }

    fn assert_convicts(&self, evidence: Evidence, server: ServerId, offence: Offence) {
        let verdict = self.judge(evidence).expect("it convicts");
        assert_eq!(verdict.guilty(), &BTreeSet::from([Author::Server(server)]));
        assert_eq!(*verdict.offence(), offence);
    }
}

pub(crate) struct Input {
    offer: InputOffer,
    keys: Arc<KeyList>,
    bodies: Records,
}

/// A chain that has run.
pub(crate) struct Chain {
    pub(crate) offer: InputOffer,
    pub(crate) agreed: AgreedInput,
    pub(crate) hops: Vec<Hop>,
}

pub(crate) struct Hop {
    kept: KeptHop,
    permutation: Permutation,
    pub(crate) batch: SignedBatch,
    pub(crate) records: Records,
    failed: Vec<u32>,
}

pub(crate) fn intact(_: u8, _: &mut Records) {}

/// The second hop flips a byte of the first record that it puts out, the key being intact.
fn flip_at_the_second_hop(position: u8, records: &mut Records) {
    if position == 1
        && let Some(last) = records.record_mut(0).last_mut()
    {
        *last ^= 1;
    }
}

#[test]
fn a_trail_ends_at_the_author_of_a_malformed_onion_wherever_it_fails() {
    let world = World::new();
    for position in 0..3 {
        let chain = world.run(Onion::WrongTag(position), intact);
        let failed = &chain.hops[usize::from(position)].failed;
        assert_eq!(failed.len(), 1);
        let accusation = world.accuse(&chain, position, failed, &[]);
        let (trace, steps) = world.trace(&chain, &accusation);
        let trail = trace.trail().expect("it has ended");
        let guilty = BTreeSet::from([Author::Client(ClientId(MALLORY))]);
        assert_eq!((trail.authors(), trail.indices()), (&guilty, failed.as_slice()));
        let traced = |steps: &[Arc<TraceStep>]| Traced { accusation: Arc::clone(&accusation), steps: steps.to_vec() };
        let verdict = world.judge(Evidence::Trail(traced(&steps))).expect("it convicts");
        assert_eq!((verdict.guilty(), *verdict.offence()), (&guilty, Offence::MalformedSubmission));
        // What holds is evidence of nothing else, and half of it of nothing at all.
        assert_eq!(world.judge(Evidence::FalseAccusation(Arc::clone(&accusation))), Err(NotProven::NothingWrong));
        if let Some((_, fewer)) = steps.split_last() {
            assert_eq!(world.judge(Evidence::Trail(traced(fewer))), Err(NotProven::Unfinished));
            assert_eq!(world.judge(Evidence::WrongStep(traced(&steps))), Err(NotProven::NothingWrong));
        }
    }
}

#[test]
fn contents_that_no_honest_client_makes_are_opened_by_the_accuser_and_traced_to_their_author() {
    let world = World::new();
    let chain = world.run(Onion::BadContent, intact);
    let bad = (0..CLIENTS).find(|&output| chain.hops[2].records.record(output as usize)[0] == 0xff);
    let sources = chain.hops[2].permutation.sources_of(&[bad.expect("it is there")]).expect("it has a source");
    assert!(chain.hops[2].failed.is_empty());
    let accusation = world.accuse(&chain, 2, &[], &sources);
    let (trace, _) = world.trace(&chain, &accusation);
    assert_eq!(trace.trail().expect("it has ended").authors(), &BTreeSet::from([Author::Client(ClientId(MALLORY))]));
}

#[test]
fn who_flips_a_byte_of_an_honest_onion_is_named_and_nothing_that_opens_it_is_shown() {
    let world = World::new();
    let chain = world.run(Onion::Honest, flip_at_the_second_hop);
    let (liar, last) = (place(0, 1), place(0, 2));
    assert_eq!(chain.hops[2].failed, [0]);
    let accusation = world.accuse(&chain, 2, &[0], &[]);
    let trace = world.open(&accusation).expect("the tag is wrong");
    // The liar is asked first, and its step leads to another record: nobody before it is asked for anything.
    assert_eq!(trace.wanted().keys().collect::<Vec<_>>(), [&liar]);
    let step = world.step(&chain, 1, &trace);
    assert_eq!(world.follow(trace, &step).err(), Some(Stopped::Flawed(Flaw::OtherRecord)));
    let traced = Traced { accusation: Arc::clone(&accusation), steps: vec![Arc::clone(&step)] };
    world.assert_convicts(Evidence::WrongStep(traced), world.server(liar), Offence::WrongStep(Flaw::OtherRecord));

    // The honest accuser has shown a·X, under which the tag of the onion as it was holds; no point shown by anybody is
    // the b·X without which it does not open.
    let key = Element::decode(&accusation.shown.records[0].record[..32].try_into().expect("32 bytes")).expect("a key");
    let mut body = accusation.shown.records[0].record[32..].to_vec();
    *body.last_mut().expect("bodies are not empty") ^= 1;
    let kdf = HopKdf::new(&world.basis.hop_context(last));
    let shared = &accusation.shared[0];
    assert!(tag_holds(&kdf, &key, shared, &body) && accusation.malformed.is_empty());
    let truth = open_layer(&kdf, &key, shared, &world.secrets[&last].b.multiply(&key), &body).expect("it was honest");
    let published = world.basis.descriptor.chain(Layer(0), ChainId(0)).iter().flat_map(|hop| [hop.key, hop.blinding]);
    let shown = [&accusation.shared, &step.shared, &step.blinded].into_iter().flatten().copied();
    for point in shown.chain(published).chain([key]) {
        assert_ne!(open_layer(&kdf, &key, shared, &point, &body).as_ref(), Ok(&truth));
    }
}

#[test]
fn an_accusation_of_an_honest_record_convicts_the_accuser() {
    let world = World::new();
    let chain = world.run(Onion::Honest, intact);
    for position in 0..3 {
        let accuser = world.server(place(0, position));
        for (wrong_tags, malformed, flaw) in
            [(vec![3], vec![], Flaw::HonestTag), (vec![], vec![3], Flaw::HonestContent), (vec![], vec![], Flaw::Shape)]
        {
            let accusation = world.accuse(&chain, position, &wrong_tags, &malformed);
            assert_eq!(world.open(&accusation).err(), Some(Stopped::Flawed(flaw)));
            world.assert_convicts(Evidence::FalseAccusation(accusation), accuser, Offence::FalseAccusation(flaw));
        }
    }
}

#[test]
fn a_step_that_shows_another_record_or_other_points_convicts_who_makes_it() {
    let world = World::new();
    let chain = world.run(Onion::WrongTag(2), intact);
    let liar = place(0, 1);
    let accusation = world.accuse(&chain, 2, &chain.hops[2].failed, &[]);
    let trace = || world.open(&accusation).expect("the tag is wrong");
    let other = world.step_from(&chain, 1, &trace(), |sources| sources.iter().map(|at| (at + 1) % CLIENTS).collect());
    let none = world.step_from(&chain, 1, &trace(), |_| Vec::new());
    let mut points = (*world.step(&chain, 1, &trace())).clone();
    points.blinded[0] = points.shared[0];
    points.signature = world.key(liar).sign(&points.digest(world.basis.digest()));
    for (step, flaw) in [(other, Flaw::OtherRecord), (none, Flaw::Shape), (Arc::new(points), Flaw::Powers)] {
        let traced = Traced { accusation: Arc::clone(&accusation), steps: vec![step] };
        world.assert_convicts(Evidence::WrongStep(traced), world.server(liar), Offence::WrongStep(flaw));
    }
}

#[test]
fn nothing_can_be_pinned_on_a_server_that_it_has_not_signed() {
    let world = World::new();
    let chain = world.run(Onion::WrongTag(2), intact);
    let accusation = world.accuse(&chain, 2, &chain.hops[2].failed, &[]);
    let trace = world.open(&accusation).expect("the tag is wrong");
    let step = world.step(&chain, 1, &trace);

    let mut changed = (*accusation).clone();
    changed.shown.records[0].record[40] ^= 1;
    assert_eq!(world.judge(Evidence::FalseAccusation(Arc::new(changed.clone()))), Err(NotProven::Unsigned));
    // Another server's signature does not help.
    changed.signature = world.key(place(0, 1)).sign(&changed.digest(world.basis.digest()));
    assert_eq!(world.judge(Evidence::FalseAccusation(Arc::new(changed))), Err(NotProven::Unsigned));

    let mut changed = (*step).clone();
    changed.blinded[0] = changed.shared[0];
    let traced = Traced { accusation: Arc::clone(&accusation), steps: vec![Arc::new(changed)] };
    assert_eq!(world.judge(Evidence::WrongStep(traced)), Err(NotProven::Unsigned));
    // A step for another accusation is none for this one.
    let chain = world.run(Onion::WrongTag(1), intact);
    let other = world.accuse(&chain, 1, &chain.hops[1].failed, &[]);
    let elsewhere = world.step(&chain, 0, &world.open(&other).expect("the tag is wrong"));
    let traced = Traced { accusation, steps: vec![step, elsewhere] };
    assert_eq!(world.judge(Evidence::WrongStep(traced)), Err(NotProven::Unsigned));
}

/// What an honest server has signed for some purpose, said to be for another.
#[test]
fn signatures_on_other_things_make_no_equivocation() {
    let world = World::new();
    let chain = world.run(Onion::Honest, intact);
    let descriptor = world.basis.digest();
    let (first, second) = (place(0, 0), place(0, 1));
    let signer = world.server(second);
    let batch = chain.hops[1].batch;
    let signed = |statement, signature| SignedStatement { signer, statement, signature };
    let judge = |one, two| world.judge(Evidence::Equivocation(Box::new([one, two])));
    // The bare digests of two things that the server did sign.
    let input = statement::input(descriptor, &chain.offer.input);
    let position = world.basis.members(first.stage).iter().position(|member| *member == signer).expect("a member");
    let one = (statement::batch(descriptor, &batch.batch), batch.signature);
    let two = (input, chain.agreed.signatures[position]);
    let contents: [fn(Place, Digest) -> Statement; 2] =
        [|place, content| Statement::Accusation { place, content }, |_, content| Statement::Claim { content }];
    for content in contents {
        let disguised = |(digest, signature)| signed(content(second, digest), signature);
        assert_eq!(judge(disguised(one), disguised(two)), Err(NotProven::Unsigned));
    }
    // One statement is no contradiction, nor are two for different places.
    let honest = signed(Statement::Batch(batch.batch), batch.signature);
    assert_eq!(judge(honest, honest), Err(NotProven::NothingWrong));
    // Two for one place are.
    let other = BatchCommitment { count: 1, ..batch.batch };
    let signature = world.key(second).sign(&statement::batch(descriptor, &other));
    let other = signed(Statement::Batch(other), signature);
    world.assert_convicts(Evidence::Equivocation(Box::new([honest, other])), signer, Offence::Equivocation);
}

/// The entries' record with a changed body and everything that commits to it, as the first server may sign it.
fn frame(world: &World, input: &mut Input, client: usize) {
    let width = world.basis.sizes.entry(0);
    input.bodies.record_mut(client)[0] ^= 1;
    let body = merkle::body_hash(input.bodies.record(client));
    input.offer.entries[client * width + 32..][..32].copy_from_slice(body.as_bytes());
    let leaves = input.keys.keys().iter().zip(input.bodies.iter());
    let leaves: Vec<Digest> = leaves.map(|(key, body)| merkle::leaf(key.encoded(), &merkle::body_hash(body))).collect();
    input.offer.input.root = merkle::root_of(&leaves);
    input.offer.input.entries = rules::entries_root(&world.basis, Layer(0), &input.offer.entries);
    let signed = statement::input(world.basis.digest(), &input.offer.input);
    input.offer.signature = world.key(place(0, 0)).sign(&signed);
}

#[test]
fn a_first_server_that_frames_a_client_is_convicted_before_anything_is_opened() {
    let world = World::new();
    let first = world.server(place(0, 0));
    let mut input = world.input(Onion::Honest);
    frame(&world, &mut input, 2);
    // Every member looks at these signatures before it accuses anybody or opens a step.
    let offer = Box::new(input.offer.clone());
    world.assert_convicts(Evidence::BadInput(offer), first, Offence::BadInput(BrokenRule::Signatures));
    // Nor can the first server itself accuse her.
    let chain = world.run_from(input, intact);
    assert_eq!(chain.hops[0].failed, [2]);
    let accusation = world.accuse(&chain, 0, &[2], &[]);
    world.assert_convicts(Evidence::FalseAccusation(accusation), first, Offence::FalseAccusation(Flaw::Entry));
}

#[test]
fn an_input_is_judged_by_what_its_first_server_signed_only() {
    let world = World::new();
    let first = world.server(place(0, 0));
    let offer = world.input(Onion::Honest).offer;
    let judge = |offer: &InputOffer| world.judge(Evidence::BadInput(Box::new(offer.clone())));
    assert_eq!(judge(&offer), Err(NotProven::NothingWrong));
    let mut changed = offer.clone();
    changed.entries[7] ^= 1;
    assert_eq!(judge(&changed), Err(NotProven::NotWhatWasSigned));
    changed.input.entries = rules::entries_root(&world.basis, Layer(0), &changed.entries);
    assert_eq!(judge(&changed), Err(NotProven::Unsigned));
    // What is left out is under no signature of its own, and counts for nothing.
    assert_eq!(judge(&InputOffer { left_out: vec![1; 99], ..offer.clone() }), Err(NotProven::NothingWrong));
    let mut miscounted = offer;
    miscounted.input.count += 1;
    miscounted.signature = world.key(place(0, 0)).sign(&statement::input(world.basis.digest(), &miscounted.input));
    world.assert_convicts(Evidence::BadInput(Box::new(miscounted)), first, Offence::BadInput(BrokenRule::Count));
}

#[test]
fn a_key_planted_between_layers_convicts_the_sender_of_the_parcel() {
    let world = World::new();
    let chain = world.run(Onion::Honest, intact);
    let last = place(0, 2);
    let width = world.basis.sizes.parcel_record(1);
    let mut records = Records::new(width);
    chain.hops[2].records.iter().for_each(|payload| records.push(&payload[2..]));
    let parcel = |records: &Records| {
        let root = merkle::root_of(&merkle::leaves(records));
        let (source, destination, origin) = (last.stage, ChainId(0), root);
        let commitment = ParcelCommitment { source, destination, count: records.len() as u32, root, origin };
        let signed = statement::parcel(world.basis.digest(), &commitment);
        let (signature, records) = (world.key(last).sign(&signed), records.as_bytes().to_vec());
        Parcel { source, destination, root, origin, batch: Some(chain.hops[1].batch), signature, records }
    };
    let honest = parcel(&records);
    let judge = |parcel: &Parcel| world.judge(Evidence::BadParcel(Box::new(parcel.clone())));
    assert_eq!(judge(&honest), Err(NotProven::NothingWrong));
    let mut changed = honest;
    changed.records[40] ^= 1;
    assert_eq!(judge(&changed), Err(NotProven::NotWhatWasSigned));

    // s·X in place of X: its trace would show what opens X, were anything opened.
    let victim = Element::decode(&records.record(1)[..32].try_into().expect("32 bytes")).expect("a key");
    let planted = SecretScalar::random(&mut rng(9)).multiply(&victim);
    records.record_mut(1)[..32].copy_from_slice(planted.encoded());
    let evidence = Evidence::BadParcel(Box::new(parcel(&records)));
    world.assert_convicts(evidence, world.server(last), Offence::BadParcel(BrokenRule::Signatures));
}

#[test]
fn garbage_that_a_prover_has_not_signed_is_no_evidence_against_it() {
    let world = World::new();
    let chain = world.run(Onion::Honest, intact);
    let descriptor = world.basis.digest();
    let (at, prover) = (place(0, 1), world.server(place(0, 1)));
    let SignedBatch { batch, signature } = chain.hops[1].batch;
    let bad = |source: Option<SignedBatch>, bytes: &[u8]| {
        let proof_signature = world.key(at).sign(&statement::proof(descriptor, &batch, source.as_ref(), bytes));
        let keys = onion::decode_keys(&chain.hops[1].records).expect("keys are intact");
        let proof = Proof { batch, signature, source, keys, proof: bytes.to_vec(), proof_signature };
        let inputs = onion::decode_keys(&chain.hops[0].records).expect("keys are intact");
        BadProof { proof, inputs }
    };
    let source = Some(chain.hops[0].batch);
    let signed = bad(source, &[7; 100]);
    let verdict = world.judge(Evidence::BadProof(Box::new(signed.clone()))).expect("it convicts");
    assert!(matches!(verdict.offence(), Offence::BadProof(_)) && verdict.servers().eq([prover]));

    let judge = |change: fn(&mut BadProof)| {
        let mut changed = signed.clone();
        change(&mut changed);
        world.judge(Evidence::BadProof(Box::new(changed)))
    };
    assert_eq!(judge(|bad| bad.proof.proof[3] ^= 1), Err(NotProven::Unsigned));
    assert_eq!(judge(|bad| bad.proof.source = None), Err(NotProven::Unsigned));
    assert_eq!(judge(|bad| bad.inputs.truncate(1)), Err(NotProven::NotWhatWasSigned));
    assert_eq!(judge(|bad| bad.proof.keys.swap(0, 1)), Err(NotProven::NotWhatWasSigned));
    // It says itself that it worked on another batch than the one that the hop before it put out.
    for source in [None, Some(chain.hops[1].batch)] {
        world.assert_convicts(Evidence::BadProof(Box::new(bad(source, &[7; 100]))), prover, Offence::WrongSource);
    }
}

#[test]
fn a_first_hop_that_mixes_another_input_than_it_signed_is_convicted() {
    let world = World::new();
    let chain = world.run(Onion::Honest, intact);
    let (first, InputOffer { input, signature, .. }) = (place(0, 0), &chain.offer);
    let unlinked = |batch| Evidence::Unlinked(Box::new(Unlinked { input: *input, signature: *signature, batch }));
    assert_eq!(world.judge(unlinked(chain.hops[0].batch)), Err(NotProven::NothingWrong));
    let batch = BatchCommitment { source: chain.hops[0].batch.batch.root, ..chain.hops[0].batch.batch };
    let signature = world.key(first).sign(&statement::batch(world.basis.digest(), &batch));
    world.assert_convicts(unlinked(SignedBatch { batch, signature }), world.server(first), Offence::Unlinked);
}

#[test]
fn a_first_server_that_drops_what_does_not_open_is_convicted_only_where_it_may_not() {
    for mode in [Verification::Full, Verification::Aggregate, Verification::None] {
        let world = World::in_mode(mode);
        let chain = world.run(Onion::WrongTag(0), intact);
        let (first, InputOffer { input, signature, .. }) = (place(0, 0), &chain.offer);
        let judge = |batch: BatchCommitment| {
            let signed = world.key(first).sign(&statement::batch(world.basis.digest(), &batch));
            let batch = SignedBatch { batch, signature: signed };
            world.judge(Evidence::Unlinked(Box::new(Unlinked { input: *input, signature: *signature, batch })))
        };
        let whole = chain.hops[0].batch.batch;
        let fewer = BatchCommitment { count: whole.count - 1, source_keys: Digest([3; 32]), ..whole };
        let convicts =
            |verdict: Result<Verdict, NotProven>| verdict.is_ok_and(|v| v.servers().eq([world.server(first)]));
        assert_eq!(convicts(judge(fewer)), mode != Verification::None, "{mode:?}");
        assert!(convicts(judge(BatchCommitment { source: Digest([3; 32]), ..whole })), "{mode:?}");
        assert_eq!(judge(whole), Err(NotProven::NothingWrong), "{mode:?}");
    }
}

#[test]
fn what_a_trail_leaves_of_a_batch_is_worked_out_once() {
    let world = World::new();
    let chain = world.run(Onion::WrongTag(1), intact);
    let accusation = world.accuse(&chain, 1, &chain.hops[1].failed, &[]);
    let trail = world.trace(&chain, &accusation).0.trail().expect("it has ended");
    let before = Arc::new(KeyList::new(onion::decode_keys(&chain.hops[0].records).expect("keys are intact")));
    let SignedBatch { batch, signature } = chain.hops[1].batch;
    let batch = BatchCommitment { removed: trail.removed(), ..batch };
    let mut upstream = Upstream::default();
    upstream.batch.replace(SignedBatch { batch, signature });
    assert!(upstream.entering(&before, None).is_none());
    assert!(Upstream::default().entering(&before, Some(&trail)).is_none(), "nothing says what it was given");
    let rest = upstream.entering(&before, Some(&trail)).expect("the trail is complete");
    assert_eq!(rest.len(), before.len() - 1);
    let again = upstream.entering(&before, Some(&trail)).expect("it is known");
    assert!(Arc::ptr_eq(&rest, &again));
}

#[test]
fn a_hop_at_which_everything_was_removed_needs_no_word_of_it() {
    let world = World::new();
    let input = world.input_of(|_| &Onion::WrongTag(0));
    let before = Arc::clone(&input.keys);
    let chain = world.run_from(input, intact);
    assert_eq!(chain.hops[0].failed.len(), CLIENTS as usize);
    let accusation = world.accuse(&chain, 0, &chain.hops[0].failed, &[]);
    let trail = world.trace(&chain, &accusation).0.trail().expect("it has ended");
    let rest = Upstream::default().entering(&before, Some(&trail)).expect("all are removed");
    assert_eq!(rest.len(), 0);
}

#[test]
fn a_case_is_judged_by_the_directory_alone() {
    let world = World::new();
    let chain = world.run(Onion::WrongTag(1), intact);
    let accusation = world.accuse(&chain, 1, &chain.hops[1].failed, &[]);
    let (trace, steps) = world.trace(&chain, &accusation);
    let evidence = Arc::new(Evidence::Trail(Traced { accusation, steps }));
    let case = Case::new(&world.basis, evidence);
    assert_eq!(case.verify(&world.directory).expect("it convicts"), trace.verdict().expect("it has ended"));

    let mut unsigned = case.clone();
    unsigned.signatures.swap(0, 1);
    assert!(matches!(unsigned.verify(&world.directory), Err(CaseError::Descriptor(_))));
    let mut shorter = case.clone();
    shorter.keys.pop();
    assert!(matches!(shorter.verify(&world.directory), Err(CaseError::Descriptor(_))));
    let mut later = case.clone();
    later.round = Round(13);
    assert!(matches!(later.verify(&world.directory), Err(CaseError::Descriptor(_))));
    let elsewhere = Arc::new(testing::found(params("another network", Verification::Full), &world.servers));
    assert!(matches!(case.verify(&elsewhere), Err(CaseError::Epoch(_))));
}
