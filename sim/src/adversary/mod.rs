//! Who sees and changes what servers and coordinator say to each other.
//!
//! An adversary owns the signing keys of the servers that it has corrupted, so that every signature holds that it wants
//! to hold; the machines themselves are always the real ones.

mod calls;
pub mod cheat;
pub mod forge;
mod knowledge;
pub mod mangle;
mod plot;
pub mod review;
pub mod twin;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use hippodrome_core::{
    ids::{Party, Round},
    message::Message,
    roster::Roster,
};
use hippodrome_crypto::hash::Digest;

pub use self::{
    knowledge::Known,
    plot::{Mounted, Plot, Plotter},
};
use crate::Network;

/// Who sees and changes messages between servers. The default adversary only watches.
pub trait Adversary {
    /// What `to` receives in place of `message`: none to let it pass as it is, an empty list to drop it.
    fn intercept(&mut self, from: Party, to: Party, message: &Arc<Message>) -> Option<Vec<Message>> {
        let _ = (from, to, message);
        None
    }

    /// What it sends by itself after what it has seen, with sender and receiver.
    fn inject(&mut self) -> Vec<(Party, Party, Message)> {
        Vec::new()
    }

    /// A round was announced: the digest that its statements are signed under, and who takes part.
    fn announced(&mut self, round: Round, descriptor: &Digest, roster: &Arc<Roster>) {
        let _ = (round, descriptor, roster);
    }
}

/// An adversary that changes nothing.
pub struct Passive;

impl Adversary for Passive {}

/// An adversary that does what a function says of each message, from what it knows.
pub struct Informed<F> {
    known: Rc<RefCell<Known>>,
    act: F,
}

impl<F: FnMut(&Known, Party, Party, &Message) -> Vec<Message>> Informed<F> {
    /// One that knows all that there is to know about a network.
    pub fn of(network: &Network, act: F) -> Self {
        Self { known: Rc::new(RefCell::new(Known::of(network))), act }
    }

    /// What it knows, to be looked at while it acts.
    pub fn known(&self) -> Rc<RefCell<Known>> {
        Rc::clone(&self.known)
    }
}

impl<F: FnMut(&Known, Party, Party, &Message) -> Vec<Message>> Adversary for Informed<F> {
    fn intercept(&mut self, from: Party, to: Party, message: &Arc<Message>) -> Option<Vec<Message>> {
        Some((self.act)(&self.known.borrow(), from, to, message))
    }

    fn announced(&mut self, round: Round, descriptor: &Digest, roster: &Arc<Roster>) {
        self.known.borrow_mut().learn(round, descriptor, roster);
    }
}

impl<F: FnMut(Party, Party, &Message) -> Vec<Message>> Adversary for F {
    fn intercept(&mut self, from: Party, to: Party, message: &Arc<Message>) -> Option<Vec<Message>> {
        Some(self(from, to, message))
    }
}
