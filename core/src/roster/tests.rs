use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    epoch::{EpochDraft, EpochError},
    message::Standing,
    noise::NoiseParams,
    params::Verification,
    testing,
};

const SERVERS: u16 = 8;
const PERIOD_MS: u64 = 1000;
const EPOCH_MS: u64 = 10_000;

/// Eight servers of whom one may be bad, so that five are a quorum, and at least six are live.
struct World {
    directory: Directory,
    keys: Vec<SigningKey>,
}

fn params() -> NetworkParams {
    NetworkParams {
        name: "a test".into(),
        chains: 4,
        chain_len: 2,
        layers: 2,
        verification: Verification::Full,
        slots: 1,
        noise: NoiseParams::uniform(4),
        period_ms: PERIOD_MS,
        collect_ms: 500,
        deadline_ms: 3000,
        max_batch: 100,
        bad_servers: 1,
        min_live: 6,
        failure_bits: 0,
        epoch_ms: EPOCH_MS,
    }
}

fn ids(servers: impl IntoIterator<Item = u16>) -> Vec<ServerId> {
    servers.into_iter().map(ServerId).collect()
}

fn strike(server: u16) -> Strike {
    Strike { server: ServerId(server), ground: Ground::Silent }
}

impl World {
    fn new(params: NetworkParams) -> Self {
        let keys = testing::keys(SERVERS.into(), 1);
        Self { directory: testing::found(params, &keys), keys }
    }

    fn draft(&self, plan: EpochPlan) -> Result<EpochDraft, EpochError> {
        let shares = vec![[7; 32]; plan.live.len()];
        EpochDraft::new(&self.directory, plan, &shares)
    }

    fn signed(&self, signers: impl IntoIterator<Item = u16>, sign: impl Fn(&SigningKey) -> Signature) -> Signed {
        ids(signers).into_iter().map(|id| (id, sign(&self.keys[usize::from(id.0)]))).collect()
    }

    fn roster(&self, plan: EpochPlan) -> Roster {
        let draft = self.draft(plan).expect("a good plan");
        let signatures = self.signed(0..5, |key| draft.sign(key));
        let epoch = draft.verify(&self.directory, &signatures).expect("a quorum");
        Roster::new(&self.directory, Arc::new(epoch))
    }

    fn start(&self, roster: &Roster, amendment: Amendment) -> AmendmentStart {
        let signatures = self.signed(3..8, |key| amendment.sign(roster.epoch(), key));
        AmendmentStart { amendment, signatures }
    }

    fn strike(&self, roster: &Roster, number: u32, servers: &[u16]) -> Result<Roster, AmendmentError> {
        let strikes: Vec<_> = servers.iter().copied().map(strike).collect();
        roster.amend(&self.directory, &self.start(roster, Amendment::after(roster, number, &strikes)))
    }
}

type Signed = Vec<(ServerId, Signature)>;

/// An epoch of all servers.
fn plan() -> EpochPlan {
    EpochPlan {
        number: 3,
        registry: (0..40).map(|seed| SigningKey::from_seed(&[seed + 100; 32]).public()).collect(),
        first_round: Round(11),
        start_ms: 1_000_000,
        live: ids(0..SERVERS),
        standings: vec![Standing::default(); SERVERS.into()],
    }
}

/// The earliest epoch that may follow on [`plan`].
fn next() -> EpochPlan {
    let rounds = EPOCH_MS / PERIOD_MS;
    EpochPlan { number: 4, first_round: Round(11 + rounds), start_ms: 1_000_000 + EPOCH_MS, ..plan() }
}

#[test]
fn an_epoch_is_of_enough_live_servers_in_order_who_are_not_out() {
    let world = World::new(params());
    let refused = |plan| world.draft(plan).expect_err("refused");
    assert!(world.draft(plan()).is_ok());
    assert!(world.draft(EpochPlan { live: ids(2..8), ..plan() }).is_ok());
    assert_eq!(refused(EpochPlan { live: ids(3..8), ..plan() }), EpochError::TooFewLive { got: 5, expected: 6 });
    for live in [ids([0, 1, 2, 3, 5, 4]), ids([0, 1, 2, 3, 4, 4]), ids([0, 1, 2, 3, 4, 8])] {
        assert_eq!(refused(EpochPlan { live, ..plan() }), EpochError::LiveOrder);
    }
    let mut out = plan();
    out.standings[2].out_until_ms = out.start_ms + 1;
    assert!(matches!(refused(out.clone()), EpochError::Out { server: ServerId(2), .. }));
    assert!(world.draft(EpochPlan { live: ids([0, 1, 3, 4, 5, 6, 7]), ..out }).is_ok());
    let mut short = plan();
    short.standings.pop();
    assert_eq!(refused(short), EpochError::Count { got: 7, expected: 8 });
}

#[test]
fn an_epoch_is_signed_by_a_quorum_of_distinct_servers() {
    let world = World::new(params());
    let verify = |signers: Vec<u16>| {
        let draft = world.draft(plan()).expect("a good plan");
        let signatures = world.signed(signers, |key| draft.sign(key));
        draft.verify(&world.directory, &signatures).map(|epoch| *epoch.digest())
    };
    assert_eq!(verify(vec![0, 1, 2, 3, 4]), verify(vec![3, 4, 5, 6, 7]));
    for signers in [vec![0, 1, 2, 3], vec![0, 1, 2, 3, 3], vec![0, 1, 2, 4, 3]] {
        assert!(matches!(verify(signers), Err(EpochError::Signatures(_))));
    }
    let draft = world.draft(plan()).expect("a good plan");
    let mut stolen = world.signed(0..5, |key| draft.sign(key));
    stolen[4].0 = ServerId(6);
    let refused = draft.verify(&world.directory, &stolen).expect_err("another's signature");
    assert_eq!(refused, EpochError::Signatures(MissingSignature::Bad(ServerId(6))));
}

#[test]
fn draws_are_counted_and_one_too_many_is_refused() {
    // Two of eight may be bad: a chain of two among at least six is bad with 1/15, one of eight of a draw with 8/15.
    let bad = NetworkParams { bad_servers: 2, chain_len: 2, failure_bits: 0, ..params() };
    let world = World::new(bad.clone());
    assert!(world.draft(EpochPlan { number: 1 << 40, ..plan() }).is_ok(), "a network that claims nothing");
    let one = NetworkParams { chains: 1, layers: 1, ..bad };
    let claims = World::new(NetworkParams { failure_bits: 2, ..one });
    assert!(claims.draft(EpochPlan { number: 3, ..plan() }).is_ok(), "3/15 is less than 1/4");
    let refused = claims.draft(EpochPlan { number: 4, ..plan() }).expect_err("4/15 is not");
    assert!(matches!(refused, EpochError::Odds { draws: 4, .. }), "{refused}");
}

#[test]
fn an_amendment_closes_the_chains_of_the_struck_and_moves_only_their_clients() {
    let world = World::new(params());
    let before = world.roster(plan());
    assert!(before.is_usable() && before.active() == ids(0..SERVERS));
    let after = world.strike(&before, 1, &[4]).expect("one may be struck");
    assert_eq!(after.active(), ids([0, 1, 2, 3, 5, 6, 7]));
    assert!(!after.is_active(ServerId(4)) && after.is_active(ServerId(5)));
    for layer in [Layer(0), Layer(1)] {
        for chain in (0..4).map(ChainId) {
            assert_eq!(after.is_open(layer, chain), !before.members(layer, chain).contains(&ServerId(4)));
        }
        assert!(after.open(layer).len() < 4, "four chains of two of eight hold every server");
    }
    for client in &plan().registry {
        let (was, is) = (before.input_chain(client).expect("open"), after.input_chain(client).expect("open"));
        assert!(after.is_open(Layer(0), is));
        assert!(was == is || !after.is_open(Layer(0), was), "the chain is open, and the client has moved");
    }
    let output = |mailbox: u8| after.output_chain(&[mailbox; MAILBOX_LEN]).expect("open");
    assert!((0..=255).all(|mailbox| after.is_open(Layer(1), output(mailbox))));
    assert_ne!(before.digest(), after.digest());
}

#[test]
fn amendments_only_ever_add_and_leave_enough_servers() {
    let world = World::new(params());
    let none = world.roster(plan());
    let one = world.strike(&none, 1, &[4]).expect("one may be struck");
    let two = world.strike(&one, 5, &[6]).expect("and another");
    assert_eq!(two.id(), RosterId { epoch: 3, amendment: 5 });
    assert_eq!(two.active().len(), 6);
    let too_few = AmendmentError::TooFew { left: 5, expected: 6 };
    assert_eq!(world.strike(&two, 6, &[0]).expect_err("fewer than min_live"), too_few);
    let check = |amendment: Amendment| one.check(&world.directory, &amendment).expect_err("refused");
    let amendment = |number, struck: &[Strike]| Amendment { epoch: 3, number, struck: struck.to_vec() };
    assert_eq!(check(amendment(2, &[strike(5)])), AmendmentError::Dropped(ServerId(4)));
    let other_ground = Strike { server: ServerId(4), ground: Ground::Convicted };
    assert_eq!(check(amendment(2, &[other_ground, strike(5)])), AmendmentError::Dropped(ServerId(4)));
    assert_eq!(check(amendment(2, &[strike(4)])), AmendmentError::Nothing);
    assert_eq!(check(amendment(2, &[strike(5), strike(4)])), AmendmentError::Order);
    assert_eq!(check(amendment(2, &[strike(4), strike(4)])), AmendmentError::Order);
    assert_eq!(check(amendment(2, &[strike(4), strike(9)])), AmendmentError::Order);
    for number in [0, 1, MAX_AMENDMENTS] {
        let refused = check(amendment(number, &[strike(4), strike(5)]));
        assert_eq!(refused, AmendmentError::Number { got: number, last: 1 });
    }
    let elsewhere = Amendment { epoch: 4, ..amendment(2, &[strike(4), strike(5)]) };
    assert_eq!(check(elsewhere), AmendmentError::Epoch { got: 4, expected: 3 });
    // A server that is not live in the epoch has nothing to be struck from.
    let without = world.roster(EpochPlan { live: ids(1..8), ..plan() });
    assert_eq!(world.strike(&without, 1, &[0]).expect_err("not live"), AmendmentError::Order);
}

#[test]
fn an_amendment_is_signed_by_a_quorum() {
    let world = World::new(params());
    let roster = world.roster(plan());
    let start = world.start(&roster, Amendment::after(&roster, 1, &[strike(4)]));
    let refused = |start: &AmendmentStart| roster.amend(&world.directory, start).expect_err("refused");
    let mut few = start.clone();
    few.signatures.pop();
    let quorum = MissingSignature::Quorum { got: 4, expected: 5 };
    assert_eq!(refused(&few), AmendmentError::Signatures(quorum));
    let other = AmendmentStart { amendment: Amendment::after(&roster, 1, &[strike(5)]), ..start };
    assert!(matches!(refused(&other), AmendmentError::Signatures(MissingSignature::Bad(_))));
}

#[test]
fn any_trust_loses_no_server() {
    let world = World::new(NetworkParams { bad_servers: 3, min_live: 8, ..params() });
    assert_eq!(world.directory.quorum(), 8);
    let draft = world.draft(plan()).expect("all are live");
    assert!(draft.clone().verify(&world.directory, &world.signed(0..7, |key| draft.sign(key))).is_err());
    let epoch = draft.clone().verify(&world.directory, &world.signed(0..8, |key| draft.sign(key))).expect("all signed");
    let roster = Roster::new(&world.directory, Arc::new(epoch));
    assert!(matches!(world.strike(&roster, 1, &[0]), Err(AmendmentError::TooFew { left: 7, expected: 8 })));
}

#[test]
fn an_epoch_follows_on_the_grid_of_rounds_and_not_too_early() {
    let world = World::new(params());
    let previous = world.roster(plan());
    let check = |plan: EpochPlan| follows(&params(), &previous, &plan);
    assert_eq!(check(next()), Ok(()));
    assert!(matches!(check(EpochPlan { number: 3, ..next() }), Err(TransitionError::Number { .. })));
    let shifted = [
        EpochPlan { start_ms: next().start_ms + 1, ..next() },
        EpochPlan { first_round: next().first_round.next(), ..next() },
        EpochPlan { first_round: Round(11), start_ms: 1_000_000, ..next() },
        EpochPlan { first_round: Round(5), ..next() },
        EpochPlan { first_round: Round(1 << 48), ..next() },
    ];
    for plan in shifted {
        assert!(matches!(check(plan), Err(TransitionError::Grid { .. })));
    }
    let early = EpochPlan { first_round: Round(20), start_ms: 1_009_000, ..next() };
    assert!(matches!(check(early), Err(TransitionError::Early { earliest_ms: 1_010_000, .. })));
}

#[test]
fn no_server_stands_better_than_before_and_the_struck_are_out_for_twice_as_long_each_time() {
    let world = World::new(params());
    let mut earlier = plan();
    earlier.standings[1] = Standing { strikes: 2, out_until_ms: 900_000 };
    earlier.standings[2] = Standing { strikes: 1, out_until_ms: 5_000_000 };
    earlier.live = ids([0, 1, 3, 4, 5, 6, 7]);
    let previous = world.strike(&world.roster(earlier.clone()), 1, &[1]).expect("one may be struck");
    let with = |server: usize, strikes, out_until_ms| {
        let mut plan = EpochPlan { standings: earlier.standings.clone(), live: ids([0, 3, 4, 5, 6, 7]), ..next() };
        plan.standings[1] = Standing { strikes: 3, out_until_ms: plan.start_ms + 4 * EPOCH_MS };
        plan.standings[server] = Standing { strikes, out_until_ms };
        follows(&params(), &previous, &plan)
    };
    let out = next().start_ms + 4 * EPOCH_MS;
    assert_eq!(with(1, 3, out), Ok(()));
    assert_eq!(with(0, 1, next().start_ms + EPOCH_MS), Ok(()), "others may be struck for missing an attempt");
    let worse = [(1, 2, out), (1, 3, out - 1), (1, 3, 900_000), (2, 0, 5_000_000), (2, 1, 4_999_999), (0, 1, 0)];
    for (server, strikes, out_until_ms) in worse {
        let refused = with(server, strikes, out_until_ms).expect_err("refused");
        assert!(matches!(refused, TransitionError::Standing { server: named, .. } if usize::from(named.0) == server));
    }
    assert_eq!(penalty_ms(&params(), 0), 0);
    assert_eq!(penalty_ms(&params(), 1), EPOCH_MS);
    assert_eq!(penalty_ms(&params(), u16::MAX), EPOCH_MS << 10);
}

#[test]
fn a_descriptor_binds_its_amendment_and_has_keys_of_open_chains_only() {
    use crate::{
        descriptor::{Descriptor, hop_context},
        ids::{Place, Stage},
        message::ProvenHopKeys,
    };
    let world = World::new(params());
    let before = Arc::new(world.roster(plan()));
    let after = Arc::new(world.strike(&before, 1, &[4]).expect("one may be struck"));
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut base = hippodrome_crypto::group::Element::base();
    let all: Vec<ProvenHopKeys> = before
        .epoch()
        .layout()
        .turns()
        .map(|(turn, server)| {
            if turn.position.0 == 0 {
                base = hippodrome_crypto::group::Element::base();
            }
            let stage = Stage { round: Round(11), layer: turn.layer, chain: turn.chain };
            let context =
                hop_context(&world.directory, before.epoch(), Place { stage, position: turn.position }, server);
            let (_, public, proof) = hippodrome_crypto::hop::HopSecret::generate(&base, &context, &mut rng);
            base = public.blinding;
            ProvenHopKeys { layer: turn.layer, chain: turn.chain, position: turn.position, public, proof }
        })
        .collect();
    let open: Vec<_> = all.iter().filter(|hop| after.is_open(hop.layer, hop.chain)).cloned().collect();
    assert!(Descriptor::new(&world.directory, &after, Round(11), &all, Vec::new()).is_err());
    assert!(Descriptor::new(&world.directory, &before, Round(11), &open, Vec::new()).is_err());
    let whole = Descriptor::new(&world.directory, &before, Round(11), &all, Vec::new()).expect("every chain");
    let descriptor = Descriptor::new(&world.directory, &after, Round(11), &open, Vec::new()).expect("every open chain");
    assert_ne!(whole.digest(), descriptor.digest());
    // The active servers sign, each in its place, and nobody else.
    let sign = |servers: &[ServerId]| -> Vec<Signature> {
        servers.iter().map(|id| descriptor.sign(&world.keys[usize::from(id.0)])).collect()
    };
    assert!(descriptor.check(&world.directory, &sign(before.active())).is_err());
    let signatures = sign(after.active());
    let signed = descriptor.verify(&world.directory, &signatures).expect("all active servers have signed");
    for chain in (0..4).map(ChainId) {
        let Some(view) = signed.view(chain) else {
            assert!(!after.is_open(Layer(0), chain));
            continue;
        };
        assert!(view.clone().verify(&world.directory, &before, chain).is_err(), "another roster");
        let mut filled = view.clone();
        let closed = filled.later[0].iter().position(Vec::is_empty).expect("a chain of layer 1 is closed");
        filled.later[0][closed] = view.entry.clone();
        assert!(filled.verify(&world.directory, &after, chain).is_err(), "keys of a closed chain");
        assert_eq!(view.verify(&world.directory, &after, chain).expect("a good view").chain(), chain);
    }
}
