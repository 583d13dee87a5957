//! Opening a round: keys position by position, then one descriptor that all active servers sign.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hippodrome_crypto::{group::Element, hash::Digest, signing::Signature};

use super::{Output, founding::all};
use crate::{
    descriptor::{Descriptor, DescriptorError, SignedDescriptor, hop_context},
    directory::Directory,
    ids::{Place, Position, Round, ServerId, Stage},
    layout::Turn,
    marks::{Act, Marks, Refused},
    message::{Announcement, DescriptorProposal, KeysCall, Message, ProvenHopKeys},
    pledge::{self, NoisePledge},
    roster::Roster,
};

/// Why an opening cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpeningError {
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// A round whose keys are being made.
pub(super) struct Opening {
    directory: Arc<Directory>,
    roster: Arc<Roster>,
    round: Round,
    position: Position,
    waiting: BTreeSet<ServerId>,
    keys: BTreeMap<(u8, u16, u8), ProvenHopKeys>,
    /// Of noise, where it is audited.
    pledges: BTreeMap<ServerId, NoisePledge>,
    /// Once all keys are there.
    descriptor: Option<Descriptor>,
    /// One for each active server, in order.
    signatures: Vec<Option<Signature>>,
    began_ms: u64,
    called_ms: u64,
    /// When the step that is waited for was called for first.
    step_ms: u64,
    /// Those who left less than their fair share of the time to the steps after theirs.
    late: BTreeSet<ServerId>,
}

/// Milliseconds after which a call that was not answered is made again; servers answer a repeated call alike.
const CALL_AGAIN_MS: u64 = 400;

impl Opening {
    /// Calls for the keys of the first position.
    pub(super) fn begin(
        directory: &Arc<Directory>,
        roster: &Arc<Roster>,
        round: Round,
        now_ms: u64,
        out: &mut Vec<Output>,
    ) -> Self {
        let mut opening = Self {
            directory: Arc::clone(directory),
            roster: Arc::clone(roster),
            round,
            position: Position(0),
            waiting: BTreeSet::new(),
            keys: BTreeMap::new(),
            pledges: BTreeMap::new(),
            descriptor: None,
            signatures: vec![None; roster.active().len()],
            began_ms: now_ms,
            called_ms: now_ms,
            step_ms: now_ms,
            late: BTreeSet::new(),
        };
        opening.wait_for_position();
        opening.call(out);
        opening
    }

    /// When a tick is due next.
    pub(super) fn next_tick_ms(&self) -> u64 {
        self.deadline_ms().min(self.called_ms.saturating_add(CALL_AGAIN_MS))
    }

    /// Calls again for what has not come.
    pub(super) fn on_clock(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        if now_ms >= self.called_ms.saturating_add(CALL_AGAIN_MS) {
            self.called_ms = now_ms;
            if self.is_complete() { self.propose(out) } else { self.call(out) }
        }
    }

    /// When the round is given up: when the next one is opened. A server that has opened that refuses this one for ever,
    /// and would be taken for silent.
    pub(super) fn deadline_ms(&self) -> u64 {
        self.roster.epoch().window_start_ms(self.round)
    }

    /// The active servers' commitments to their shares of the coin, in order, where noise is audited.
    pub(super) fn coins(&self) -> Vec<Digest> {
        self.pledges.values().map(|pledge| pledge.coin).collect()
    }

    /// When it began; nothing that its servers did before counts.
    pub(super) fn began_ms(&self) -> u64 {
        self.began_ms
    }

    /// Milliseconds that each step may take: as many positions as a chain has, and the signatures.
    fn share_ms(&self) -> u64 {
        let steps = u64::from(self.directory.params().chain_len) + 1;
        self.deadline_ms().saturating_sub(self.began_ms) / steps
    }

    /// Whether a step that is answered at `now_ms` took more than its share.
    fn is_late(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.step_ms) > self.share_ms()
    }

    /// Whose part is missing.
    pub(super) fn missing(&self) -> Vec<ServerId> {
        match self.waiting.is_empty() {
            false => self.waiting.iter().copied().collect(),
            true => self.unsigned().collect(),
        }
    }

    /// By whom the round came to nothing: those whose part is missing; but where they were called too late, those who
    /// used up their time.
    pub(super) fn at_fault(&self) -> Vec<ServerId> {
        let were_in_time = self.deadline_ms().saturating_sub(self.step_ms) >= self.share_ms();
        if were_in_time || self.late.is_empty() { self.missing() } else { self.late.iter().copied().collect() }
    }

    /// The active servers that have not signed.
    fn unsigned(&self) -> impl Iterator<Item = ServerId> + '_ {
        let signed = self.roster.active().iter().zip(&self.signatures);
        signed.filter(|(_, signature)| signature.is_none()).map(|(id, _)| *id)
    }

    /// The turns at the current position in open chains.
    fn turns(&self) -> Vec<(Turn, ServerId)> {
        let is_due = |turn: &Turn| turn.position == self.position && self.roster.is_open(turn.layer, turn.chain);
        self.roster.epoch().layout().turns().filter(|(turn, _)| is_due(turn)).collect()
    }

    fn wait_for_position(&mut self) {
        self.waiting = self.turns().iter().map(|(_, server)| *server).collect();
        if self.wants_pledges() {
            self.waiting.extend(self.roster.active());
        }
    }

    /// Whether every active server pledges its noise with the keys at the current position.
    fn wants_pledges(&self) -> bool {
        pledge::is_pledged(self.directory.params()) && self.position.0 == 0
    }

    /// Calls every server whose keys at the current position are missing.
    fn call(&self, out: &mut Vec<Output>) {
        let turns = self.turns();
        for &to in &self.waiting {
            let upstream = turns.iter().filter(|(_, server)| *server == to).flat_map(|(turn, _)| {
                let chain = (turn.layer.0, turn.chain.0);
                self.keys
                    .range((chain.0, chain.1, 0)..(chain.0, chain.1, self.position.0))
                    .map(|(_, keys)| keys.clone())
            });
            let (round, roster, position) = (self.round, self.roster.id(), self.position);
            let call = KeysCall { round, roster, position, upstream: upstream.collect() };
            out.push(self.send(to, Arc::new(Message::KeysCall(call))));
        }
    }

    /// Proposes the descriptor to every server that has not signed it.
    fn propose(&self, out: &mut Vec<Output>) {
        let keys = self.keys.values().cloned().collect();
        let proposal = Arc::new(Message::DescriptorProposal(DescriptorProposal {
            round: self.round,
            roster: self.roster.id(),
            keys,
            pledges: self.pledges.values().cloned().collect(),
        }));
        for to in self.unsigned() {
            out.push(self.send(to, Arc::clone(&proposal)));
        }
    }

    fn send(&self, to: ServerId, message: Arc<Message>) -> Output {
        Output::Send { to, message, until_ms: self.deadline_ms() }
    }

    fn to_all(&self, message: Message, out: &mut Vec<Output>) {
        let message = Arc::new(message);
        self.roster.active().iter().for_each(|&to| out.push(self.send(to, Arc::clone(&message))));
    }

    /// Takes a server's keys or signature; gives the descriptor when all active servers have signed it.
    pub(super) fn on_message(
        &mut self,
        now_ms: u64,
        marks: &mut Marks,
        from: ServerId,
        message: Message,
        out: &mut Vec<Output>,
    ) -> Result<Option<SignedDescriptor>, OpeningError> {
        match message {
            Message::Keys(message) if message.position == self.position && self.waiting.contains(&from) => {
                if self.take_pledge(from, message.pledge) && self.take_keys(from, message.keys) {
                    self.waiting.remove(&from);
                    if self.is_late(now_ms) {
                        self.late.insert(from);
                    }
                    self.advance(now_ms, marks, out)?;
                }
                Ok(None)
            }
            Message::DescriptorSignature(message) => {
                let signer = self.roster.active().binary_search(&from);
                let descriptor = self.descriptor.as_ref();
                let holds = descriptor.is_some_and(|keys| keys.verify_one(&self.directory, from, &message.signature));
                match signer {
                    Ok(index) if holds => {
                        self.signatures[index] = Some(message.signature);
                        self.announce(out)
                    }
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// Whether there is a pledge of the right length where one has to be. What it proves the servers look at.
    fn take_pledge(&mut self, from: ServerId, pledge: Option<NoisePledge>) -> bool {
        match pledge {
            Some(pledge) if self.wants_pledges() => {
                let fits = pledge.fits(&pledge::terms(&self.directory, &self.roster, self.round, from));
                if fits {
                    self.pledges.insert(from, pledge);
                }
                fits
            }
            pledge => pledge.is_none() && !self.wants_pledges(),
        }
    }

    /// Whether the keys are exactly those that the server has at this position, and proven.
    fn take_keys(&mut self, from: ServerId, keys: Vec<ProvenHopKeys>) -> bool {
        let expected: Vec<Turn> =
            self.turns().into_iter().filter(|(_, server)| *server == from).map(|(turn, _)| turn).collect();
        let given = keys.iter().map(|hop| Turn { layer: hop.layer, chain: hop.chain, position: hop.position });
        if !given.eq(expected.iter().copied()) || !keys.iter().all(|hop| self.is_proven(from, hop)) {
            return false;
        }
        for hop in keys {
            self.keys.insert((hop.layer.0, hop.chain.0, hop.position.0), hop);
        }
        true
    }

    fn is_proven(&self, owner: ServerId, hop: &ProvenHopKeys) -> bool {
        let before =
            hop.position.0.checked_sub(1).and_then(|before| self.keys.get(&(hop.layer.0, hop.chain.0, before)));
        let base = before.map_or_else(Element::base, |before| before.public.blinding);
        let stage = Stage { round: self.round, layer: hop.layer, chain: hop.chain };
        let place = Place { stage, position: hop.position };
        let context = hop_context(&self.directory, self.roster.epoch(), place, owner);
        hop.public.verify(&base, &context, &hop.proof).is_ok()
    }

    fn is_complete(&self) -> bool {
        self.position.0 == self.directory.params().chain_len
    }

    /// Goes on to the next position. With the last keys all servers with a turn agree that it is time for the round: only
    /// then is its number used up, whatever the coordinator's clock says.
    fn advance(&mut self, now_ms: u64, marks: &mut Marks, out: &mut Vec<Output>) -> Result<(), OpeningError> {
        if !self.waiting.is_empty() || self.is_complete() {
            return Ok(());
        }
        self.position = Position(self.position.0 + 1);
        self.step_ms = now_ms;
        self.wait_for_position();
        if self.is_complete() {
            let _once = marks.claim(Act::Open, self.round)?;
            let keys: Vec<ProvenHopKeys> = self.keys.values().cloned().collect();
            let pledges = self.pledges.values().map(NoisePledge::digest).collect();
            self.descriptor = Some(Descriptor::new(&self.directory, &self.roster, self.round, &keys, pledges)?);
            self.propose(out);
        } else {
            self.call(out);
        }
        Ok(())
    }

    fn announce(&mut self, out: &mut Vec<Output>) -> Result<Option<SignedDescriptor>, OpeningError> {
        let Some(signatures) = all(&self.signatures) else { return Ok(None) };
        let Some(descriptor) = self.descriptor.take() else { return Ok(None) };
        let descriptor = descriptor.verify(&self.directory, &signatures)?;
        self.to_all(Message::Announcement(Announcement { round: self.round, signatures }), out);
        Ok(Some(descriptor))
    }
}
