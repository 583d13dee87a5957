//! Cheats at work: who mounts which, and in which rounds.

use std::{cell::RefCell, collections::BTreeSet, ops::RangeInclusive, rc::Rc, sync::Arc};

use hippodrome_core::{
    ids::{Party, Round, ServerId},
    message::Message,
    roster::Roster,
};
use hippodrome_crypto::{hash::Digest, permutation::below};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    Adversary, Known,
    cheat::{By, Cheat, Role, Scene, Trick},
};
use crate::Network;

/// What was really mounted: cheats with the rounds in which something was changed.
#[derive(Clone, Debug, Default)]
pub struct Mounted {
    /// The server that cheats, once it is known.
    pub culprit: Option<ServerId>,
    /// The first rounds of each cheat.
    pub acts: BTreeSet<(&'static str, Round)>,
    /// What a cheat got that none may ever get.
    pub broken: Vec<String>,
}

/// What is to be mounted.
pub struct Plot {
    /// The cheats, all by the same server or by the coordinator.
    pub cheats: Vec<&'static Cheat>,
    /// The rounds in which they are mounted.
    pub rounds: RangeInclusive<Round>,
    /// Chooses the server.
    pub seed: u64,
}

/// Mounts a [`Plot`].
pub struct Plotter {
    known: Known,
    tricks: Vec<(&'static Cheat, Trick)>,
    rounds: RangeInclusive<Round>,
    mounted: Rc<RefCell<Mounted>>,
    rng: ChaCha20Rng,
    besides: Vec<(Party, Party, Message)>,
}

impl Plotter {
    /// Gives a plotter, to be set as a network's adversary, and what it will have mounted.
    pub fn new(network: &Network, plot: Plot) -> (Self, Rc<RefCell<Mounted>>) {
        let mounted = Rc::<RefCell<Mounted>>::default();
        let founds = |(cheat, _): &(&Cheat, Trick)| matches!(cheat.by, By::Server(Role::Founder));
        let mut plotter = Self {
            known: Known::of(network),
            tricks: plot.cheats.into_iter().map(|cheat| (cheat, cheat.trick())).collect(),
            rounds: plot.rounds,
            mounted: Rc::clone(&mounted),
            rng: ChaCha20Rng::seed_from_u64(plot.seed),
            besides: Vec::new(),
        };
        if plotter.tricks.iter().any(founds) {
            let founder = below(plotter.known.servers().into(), &mut plotter.rng) as u16;
            mounted.borrow_mut().culprit = Some(ServerId(founder));
        }
        (plotter, mounted)
    }

    /// A plotter that is one server, and mounts one cheat in every round, or none ever.
    pub fn of_server(known: Known, server: ServerId, cheat: Option<&'static Cheat>, seed: u64) -> Self {
        let mounted = Mounted { culprit: Some(server), ..Mounted::default() };
        Self {
            known,
            tricks: cheat.into_iter().map(|cheat| (cheat, cheat.trick())).collect(),
            rounds: Round(0)..=Round(u64::MAX),
            mounted: Rc::new(RefCell::new(mounted)),
            rng: ChaCha20Rng::seed_from_u64(seed),
            besides: Vec::new(),
        }
    }

    /// Mounts nothing before a round. Until it is known which, that is a round which never comes.
    pub fn hold_until(&mut self, round: Round) {
        self.rounds = round..=Round(u64::MAX);
    }

    /// What was mounted so far.
    pub fn mounted(&self) -> Mounted {
        self.mounted.borrow().clone()
    }

    /// The round that what a cheat does with a message now counts to; none if it is not its time.
    fn round_of(&self, cheat: &Cheat, message: &Message) -> Option<Round> {
        let latest = self.known.latest().map(|(round, _)| round);
        match cheat.by {
            By::Server(Role::Founder) => latest.is_none().then_some(Round(0)),
            // What belongs to no round counts to the last one announced.
            _ => message.round().or(latest).filter(|round| self.rounds.contains(round)),
        }
    }

    /// One of the servers that have the turns which all cheats need.
    fn choose_culprit(&mut self, roster: &Roster) {
        let params = &self.known.params;
        let fits = |server: &ServerId| {
            self.tricks.iter().all(|(cheat, _)| match cheat.by {
                By::Server(role) => roster.epoch().layout().turns_of(*server).any(|turn| role.has(&turn, params)),
                By::Coordinator | By::Client(_) | By::Clients(_) => true,
            })
        };
        let able: Vec<ServerId> = (0..self.known.servers()).map(ServerId).filter(fits).collect();
        if !able.is_empty() {
            let chosen = able[below(able.len() as u32, &mut self.rng) as usize];
            self.mounted.borrow_mut().culprit = Some(chosen);
        }
    }
}

impl Adversary for Plotter {
    fn intercept(&mut self, from: Party, to: Party, message: &Arc<Message>) -> Option<Vec<Message>> {
        let me = self.mounted.borrow().culprit?;
        let rounds: Vec<_> = self.tricks.iter().map(|(cheat, _)| self.round_of(cheat, message)).collect();
        let Self { known, tricks, rng, besides, mounted, .. } = self;
        for ((cheat, trick), round) in tricks.iter_mut().zip(rounds) {
            let Some(round) = round else { continue };
            let concerned = match cheat.by {
                By::Server(_) => from == Party::Server(me) || to == Party::Server(me),
                By::Coordinator => from == Party::Coordinator || to == Party::Coordinator,
                By::Client(_) | By::Clients(_) => false,
            };
            if !concerned {
                continue;
            }
            let mut broken = Vec::new();
            let mut scene = Scene { known, me, from, to, rng, besides, broken: &mut broken };
            let changed = trick(&mut scene, message);
            mounted.borrow_mut().broken.append(&mut broken);
            if let Some(changed) = changed {
                mounted.borrow_mut().acts.insert((cheat.name, round));
                return Some(changed);
            }
        }
        None
    }

    fn inject(&mut self) -> Vec<(Party, Party, Message)> {
        std::mem::take(&mut self.besides)
    }

    fn announced(&mut self, round: Round, descriptor: &Digest, roster: &Arc<Roster>) {
        self.known.learn(round, descriptor, roster);
        if self.mounted.borrow().culprit.is_none() {
            self.choose_culprit(roster);
        }
    }
}
