//! What a node's links count for its operator: nothing whose number or size depends on what anybody does.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use hippodrome_core::message::Message;

/// Messages whose number and sizes follow from parameters, layout and the course of the rounds alone.
///
/// Nothing else is counted: how long a batch or a parcel is tells how many take part, or what noise does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Greetings, epochs, keys, descriptors, signatures, confirmations, reports.
    Control,
    /// A server's noise for an input chain: the same number of records in every round.
    Noise,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Control, Self::Noise];

    /// The class as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Noise => "noise",
        }
    }

    /// The class of a message; none for one that is not counted, as every kind is that is not named here.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        match message {
            Message::Hello(_)
            | Message::Peers(_)
            | Message::SeedCall(_)
            | Message::SeedCommitment(_)
            | Message::SeedCommitments(_)
            | Message::SeedReveal(_)
            | Message::EpochProposal(_)
            | Message::EpochSignature(_)
            | Message::EpochStart(_)
            | Message::KeysCall(_)
            | Message::Keys(_)
            | Message::DescriptorProposal(_)
            | Message::DescriptorSignature(_)
            | Message::Announcement(_)
            | Message::ShareCall(_)
            | Message::CoinShare(_)
            | Message::Coin(_)
            | Message::InputSignature(_)
            | Message::Confirmation(_)
            | Message::Report(_) => Some(Self::Control),
            Message::Noise(_) => Some(Self::Noise),
            _ => None,
        }
    }
}

/// Counters of a node's links.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: [AtomicU64; Class::ALL.len()],
    received: [AtomicU64; Class::ALL.len()],
    connected: AtomicUsize,
}

impl Traffic {
    /// Bytes of the messages of a class that were delivered to others.
    pub fn sent(&self, class: Class) -> u64 {
        self.sent[class as usize].load(Ordering::Relaxed)
    }

    /// Bytes of the messages of a class that others delivered.
    pub fn received(&self, class: Class) -> u64 {
        self.received[class as usize].load(Ordering::Relaxed)
    }

    /// Links that have a connection.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    pub(crate) fn count_sent(&self, class: Option<Class>, bytes: usize) {
        count(&self.sent, class, bytes);
    }

    pub(crate) fn count_received(&self, class: Option<Class>, bytes: usize) {
        count(&self.received, class, bytes);
    }

    /// Counts a link as connected until this is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> Alive {
        self.connected.fetch_add(1, Ordering::Relaxed);
        Alive(Arc::clone(self))
    }
}

fn count(counters: &[AtomicU64], class: Option<Class>, bytes: usize) {
    if let Some(counter) = class.and_then(|class| counters.get(class as usize)) {
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A connection that lives.
pub(crate) struct Alive(Arc<Traffic>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}
