//! An attacker who sees what the last server of a chain sees, against real machines with planned noise and with too little.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use hippodrome_core::{
    ids::Round,
    mixer::MailboxCounts,
    noise::NoiseParams,
    params::{NetworkParams, Verification},
    participant::SlotReply,
    submission::Access,
};
use hippodrome_privacy::{
    account::{Account, Resolution},
    attack::{self, Attacker, Score},
    noise::Noise,
    quantity::{Delta, Rounds, Servers, Shift},
};
use hippodrome_sim::{Behaviour, Network, Watcher, small_params};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

const SERVERS: usize = 3;
/// Of these so many are relied on.
const HONEST: u32 = 2;
const SLOTS: u16 = 16;
const PLANNED: u32 = 70;
const SHAPE: &str = "2";
const ROUNDS: usize = 40;

fn delta() -> Delta {
    Delta::new(0.05).expect("a chance")
}

/// Whether there is talk in a round.
fn coin(round: Round) -> bool {
    ChaCha20Rng::seed_from_u64(round.0).next_u32() & 1 == 1
}

/// Meets the other one in all slots, or nobody.
struct Actor(ChaCha20Rng);

impl Behaviour for Actor {
    fn accesses(&mut self, round: Round, _: Round) -> Vec<Access> {
        let mut together = ChaCha20Rng::seed_from_u64(!round.0);
        let mut access = || {
            let (mut alone, mut shared) = ([0; 16], [0; 16]);
            self.0.fill_bytes(&mut alone);
            together.fill_bytes(&mut shared);
            Access { mailbox: if coin(round) { shared } else { alone }, content: [1; 256] }
        };
        (0..SLOTS).map(|_| access()).collect()
    }

    fn replies(&mut self, _: Round, _: Option<Vec<SlotReply>>) {}
}

/// Writes down what the last server sees.
struct Spy(Rc<RefCell<BTreeMap<Round, MailboxCounts>>>);

impl Watcher for Spy {
    fn saw(&mut self, counts: MailboxCounts) {
        self.0.borrow_mut().insert(counts.round, counts);
    }
}

/// How the attacker does in a network with so many slots of noise.
fn attack(noise_slots: u32) -> Score {
    let noise = NoiseParams { shape: SHAPE.parse().expect("a shape"), ..NoiseParams::uniform(noise_slots) };
    let params = NetworkParams {
        chains: 1,
        chain_len: 2,
        layers: 1,
        min_live: SERVERS as u16,
        verification: Verification::None,
        slots: SLOTS,
        noise,
        ..small_params()
    };
    let clients = (0..2).map(|seed| Box::new(Actor(ChaCha20Rng::seed_from_u64(seed))) as Box<dyn Behaviour>);
    let mut network = Network::new(params, SERVERS, clients.collect(), 5);
    let seen = Rc::<RefCell<BTreeMap<_, _>>>::default();
    network.set_watcher(Spy(Rc::clone(&seen)));
    network.run(ROUNDS as u64, 600_000);
    let seen = seen.borrow();
    assert!(seen.len() >= ROUNDS, "{} rounds were seen", seen.len());
    let of = |(round, counts): (&Round, &MailboxCounts)| {
        let (once, twice) = (counts.once as i64, counts.twice as i64);
        let records = once + 2 * twice;
        let all = 2 * i64::from(noise_slots) * SERVERS as i64 + 2 * i64::from(SLOTS);
        assert_eq!((records, counts.more), (all, 0), "{round}: the volume is public and constant");
        attack::Round { count: 4 * twice - records, talks: coin(*round) }
    };
    let rounds: Vec<attack::Round> = seen.iter().map(of).collect();
    Attacker::from_count(1).play(&rounds)
}

#[test]
fn machines_with_planned_noise_show_no_more_than_is_proved_and_with_a_tenth_are_found_out() {
    let noise = Noise::beta_binomial(PLANNED.into(), 2.0).expect("noise");
    let (servers, shift) = (Servers::new(HONEST).expect("some"), Shift::new(SLOTS.into()).expect("some"));
    let account = Account::new().with_count(&noise, servers, shift, Rounds::ONE).expect("it fits");
    let proved = account.compose(Resolution::Fine).expect("it fits").epsilon(delta()).expect("there is one");
    let shown = |slots| attack(slots).epsilon(delta(), 0.05).expect("a doubt");
    let (planned, tenth) = (shown(PLANNED), shown(PLANNED / 10));
    assert!(planned <= proved, "{planned} is shown, {proved} is proved");
    assert!(tenth > proved, "{tenth} is shown, {proved} is proved");
}
