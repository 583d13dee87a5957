//! Charges that wait to be judged, one at a time for each server that shows them: nobody has others work for him alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    ids::{Round, ServerId},
    message::Charge,
};

/// Charges of one server that wait: one for each of its hops would do.
const MAX_WAITING: usize = 64;
/// Bytes of evidence in them, if there is more than one.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// Charges of all servers.
#[derive(Default)]
pub(crate) struct ChargeQueue {
    /// The round of the one charge of each server that is being judged.
    judging: BTreeMap<ServerId, Round>,
    /// Those that wait for the one before of the same server.
    waiting: BTreeMap<ServerId, VecDeque<Charge>>,
    /// Servers that have charged falsely, with the epoch: they are not heard any more in it.
    liars: BTreeSet<(u64, ServerId)>,
}

impl ChargeQueue {
    /// Whether there is a charge about a round that is not judged yet.
    pub(crate) fn is_open(&self, round: Round) -> bool {
        let waiting = self.waiting.values().flatten().map(|charge| charge.round);
        self.judging.values().copied().chain(waiting).any(|other| other == round)
    }

    /// Takes a charge about a round of an epoch in, if there is room for it and its sender is heard; whether it was.
    pub(crate) fn add(&mut self, from: ServerId, epoch: u64, charge: &Charge) -> bool {
        if self.liars.contains(&(epoch, from)) {
            return false;
        }
        let waiting = self.waiting.entry(from).or_default();
        let bytes: usize = waiting.iter().chain([charge]).map(|charge| charge.evidence.len_bytes()).sum();
        let has_room = waiting.is_empty() || waiting.len() < MAX_WAITING && bytes <= MAX_WAITING_BYTES;
        if has_room {
            waiting.push_back(charge.clone());
        }
        has_room
    }

    /// The next charge of a server to be judged, unless one of it is; those that are not to be heard are dropped.
    pub(crate) fn next(&mut self, from: ServerId, hears: impl Fn(&Charge) -> bool) -> Option<Charge> {
        if self.judging.contains_key(&from) {
            return None;
        }
        let waiting = self.waiting.get_mut(&from)?;
        while let Some(charge) = waiting.pop_front() {
            if hears(&charge) {
                self.judging.insert(from, charge.round);
                return Some(charge);
            }
        }
        self.waiting.remove(&from);
        None
    }

    /// One is judged; whether it was being judged.
    pub(crate) fn done(&mut self, from: ServerId, round: Round) -> bool {
        self.judging.remove(&from) == Some(round)
    }

    /// Forgets who charged falsely in epochs before one; nothing about their rounds is taken in any more.
    pub(crate) fn forget_before(&mut self, epoch: u64) {
        self.liars.retain(|(of, _)| *of >= epoch);
    }

    /// A server has charged falsely: nothing that waits of it is judged.
    pub(crate) fn lied(&mut self, from: ServerId, epoch: u64) {
        self.liars.insert((epoch, from));
        self.waiting.remove(&from);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hippodrome_crypto::{hash::Digest, signing::Signature};

    use super::*;
    use crate::{
        evidence::{Evidence, SignedStatement, Statement},
        ids::{ChainId, Layer, Stage},
        message::{InputCommitment, InputOffer},
    };

    const ALICE: ServerId = ServerId(1);
    const BOB: ServerId = ServerId(2);

    fn small(round: u64) -> Charge {
        let statement = Statement::Confirmation { layer: Layer(0), vector: Digest([0; 32]) };
        let signed = SignedStatement { signer: BOB, statement, signature: Signature([0; 64]) };
        let evidence = Evidence::Equivocation(Box::new([signed, signed]));
        Charge { round: Round(round), evidence: Arc::new(evidence) }
    }

    fn large(bytes: usize) -> Charge {
        let nothing = Digest([0; 32]);
        let stage = Stage { round: Round(1), layer: Layer(0), chain: ChainId(0) };
        let input = InputCommitment {
            stage,
            count: 0,
            root: nothing,
            keys: nothing,
            entries: nothing,
            fingerprints: nothing,
            left_out: nothing,
        };
        let offer = InputOffer { input, signature: Signature([0; 64]), entries: vec![0; bytes], left_out: Vec::new() };
        Charge { round: Round(1), evidence: Arc::new(Evidence::BadInput(Box::new(offer))) }
    }

    #[test]
    fn one_charge_of_each_server_is_judged_at_a_time_whatever_round_it_is_about() {
        let mut queue = ChargeQueue::default();
        let taken = (0..1000).filter(|round| queue.add(ALICE, 3, &small(*round))).count();
        assert_eq!(taken, MAX_WAITING);
        assert!(queue.add(BOB, 3, &small(7)), "others have room of their own");
        assert_eq!(queue.next(ALICE, |_| true).map(|charge| charge.round), Some(Round(0)));
        assert!(queue.next(ALICE, |_| true).is_none(), "one at a time");
        assert_eq!(queue.next(BOB, |_| true).map(|charge| charge.round), Some(Round(7)));
        assert!(queue.done(ALICE, Round(0)));
        let odd = |charge: &Charge| charge.round.0 % 2 == 1;
        assert_eq!(queue.next(ALICE, odd).map(|charge| charge.round), Some(Round(1)));
        assert!(queue.is_open(Round(1)) && queue.is_open(Round(4)));
        assert!(queue.done(ALICE, Round(1)));
        queue.lied(ALICE, 3);
        assert!(queue.next(ALICE, |_| true).is_none() && !queue.is_open(Round(4)));
        assert!(!queue.add(ALICE, 3, &small(8)), "a liar is not heard any more in the epoch");
        assert!(queue.add(ALICE, 4, &small(9)), "but in the next one");
    }

    #[test]
    fn much_evidence_waits_only_alone() {
        let mut queue = ChargeQueue::default();
        assert!(queue.add(ALICE, 3, &large(2 * MAX_WAITING_BYTES)), "an honest server may have just this one");
        assert!(!queue.add(ALICE, 3, &large(1)));
        assert!(queue.next(ALICE, |_| true).is_some());
        assert!((0..9).all(|_| queue.add(ALICE, 3, &large(MAX_WAITING_BYTES / 10))));
        assert!(!queue.add(ALICE, 3, &large(MAX_WAITING_BYTES / 5)));
    }
}
