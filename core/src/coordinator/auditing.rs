//! The audit of a round as the coordinator sees it: it asks for the shares of the coin, then for the noise of the server
//! that the coin picks. Whoever stays silent is struck, whatever came of the round.

use std::{collections::BTreeMap, sync::Arc};

use hippodrome_crypto::hash::Digest;

use super::{Coordinator, Output, opening::Opening};
use crate::{
    audit::NoiseOpening,
    descriptor::SignedDescriptor,
    directory::Directory,
    evidence::RoundBasis,
    ids::{Round, ServerId},
    message::{Coin, CoinShare, Ground, Message, ShareCall, Strike},
    participant::CLOCK_TOLERANCE_MS,
    pledge,
};

/// Milliseconds after which what has not come is called for again.
const CALL_AGAIN_MS: u64 = 1000;
/// Milliseconds from the first call within which everything has to come.
const AUDIT_MS: u64 = 15_000;

/// A round that is over, or will be, and has not been audited.
pub(super) struct Auditing {
    basis: RoundBasis,
    /// The active servers' commitments to their shares, in order.
    coins: Vec<Digest>,
    shares: BTreeMap<ServerId, [u8; 32]>,
    /// Once the coin has fallen: whom it picks.
    picked: Option<Option<ServerId>>,
    opened: bool,
    /// When something was called for first, and last.
    begun_ms: Option<u64>,
    called_ms: u64,
}

impl Auditing {
    /// The audit of a round that is announced; none where noise is not audited.
    pub(super) fn new(
        directory: &Arc<Directory>,
        descriptor: &Arc<SignedDescriptor>,
        opening: &Opening,
    ) -> Option<Self> {
        pledge::is_pledged(directory.params()).then(|| Self {
            basis: RoundBasis::new(Arc::clone(directory), Arc::clone(descriptor)),
            coins: opening.coins(),
            shares: BTreeMap::new(),
            picked: None,
            opened: false,
            begun_ms: None,
            called_ms: 0,
        })
    }

    /// When the round is over by every server's clock.
    fn over_ms(&self) -> u64 {
        let start_ms = self.basis.roster.epoch().window_start_ms(self.basis.round());
        start_ms.saturating_add(self.basis.params().deadline_ms).saturating_add(CLOCK_TOLERANCE_MS)
    }

    fn ends_ms(&self) -> u64 {
        self.begun_ms.unwrap_or_else(|| self.over_ms()).saturating_add(AUDIT_MS)
    }

    /// When a tick is due next.
    pub(super) fn next_tick_ms(&self) -> u64 {
        match self.begun_ms {
            None => self.over_ms(),
            Some(_) => self.ends_ms().min(self.called_ms.saturating_add(CALL_AGAIN_MS)),
        }
    }

    /// Whether nothing more is to come.
    fn is_done(&self) -> bool {
        self.opened || self.picked == Some(None)
    }

    /// Whose part is missing.
    fn owing(&self) -> Vec<ServerId> {
        match self.picked {
            Some(picked) => picked.into_iter().filter(|_| !self.opened).collect(),
            None => {
                let active = self.basis.active().iter().copied();
                active.filter(|server| !self.shares.contains_key(server)).collect()
            }
        }
    }

    /// Calls, once the round is over, and again for what has not come.
    fn on_clock(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        if now_ms >= self.next_tick_ms() && now_ms < self.ends_ms() && !self.is_done() {
            self.begun_ms.get_or_insert(now_ms);
            self.call(now_ms, out);
        }
    }

    /// Asks for what is missing.
    fn call(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        self.called_ms = now_ms;
        let message = match self.coin() {
            Some(coin) => Message::Coin(coin),
            None => Message::ShareCall(ShareCall { round: self.basis.round() }),
        };
        self.send(now_ms, &self.owing(), message, out);
    }

    fn send(&self, now_ms: u64, to: &[ServerId], message: Message, out: &mut Vec<Output>) {
        let (message, until_ms) = (Arc::new(message), now_ms.saturating_add(CALL_AGAIN_MS));
        out.extend(to.iter().map(|&to| Output::Send { to, message: Arc::clone(&message), until_ms }));
    }

    /// All shares, in order, once they are there.
    fn coin(&self) -> Option<Coin> {
        let shares: Option<Vec<_>> =
            self.basis.active().iter().map(|server| self.shares.get(server).copied()).collect();
        Some(Coin { round: self.basis.round(), shares: shares? })
    }

    /// Takes a share. With the last one the coin falls, and everybody hears of it.
    fn on_share(&mut self, now_ms: u64, from: ServerId, share: &CoinShare, out: &mut Vec<Output>) {
        let bound = self.basis.active().binary_search(&from).ok().and_then(|index| self.coins.get(index));
        let commitment = pledge::coin_commitment(&self.basis.directory, &self.basis.roster, share.round, &share.share);
        if self.begun_ms.is_none() || self.picked.is_some() || bound != Some(&commitment) {
            return;
        }
        self.shares.insert(from, share.share);
        let Some(coin) = self.coin() else { return };
        let coins = self.coins.iter().copied();
        self.picked = pledge::picked(&self.basis.directory, &self.basis.roster, &coin, coins);
        self.called_ms = now_ms;
        self.send(now_ms, self.basis.active(), Message::Coin(coin), out);
    }

    /// Takes the noise of the server that was picked, and hands it to everybody: they say if it is not what it should be.
    fn on_opening(&mut self, now_ms: u64, from: ServerId, opening: NoiseOpening, out: &mut Vec<Output>) {
        let is_due = self.picked == Some(Some(from)) && !self.opened;
        if is_due && opening.server == from && opening.is_signed(&self.basis) {
            self.opened = true;
            self.send(now_ms, self.basis.active(), Message::NoiseOpening(opening), out);
        }
    }
}

impl Coordinator {
    /// Begins to wait for the audit of a round that is announced.
    pub(super) fn audit(&mut self, round: Round, auditing: Option<Auditing>) {
        self.auditing.extend(auditing.map(|auditing| (round, auditing)));
    }

    pub(super) fn on_audit(&mut self, now_ms: u64, from: ServerId, message: Message, out: &mut Vec<Output>) {
        let Some(auditing) = message.round().and_then(|round| self.auditing.get_mut(&round)) else { return };
        match message {
            Message::CoinShare(share) => auditing.on_share(now_ms, from, &share, out),
            Message::NoiseOpening(opening) => auditing.on_opening(now_ms, from, opening, out),
            _ => {}
        }
        self.auditing.retain(|_, auditing| !auditing.is_done());
    }

    /// Calls for what audits need; whose part is missing when the time is over is struck. A restart excuses nobody: whose
    /// turn it is would choose to have one.
    pub(super) fn audit_in_time(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        self.auditing.values_mut().for_each(|auditing| auditing.on_clock(now_ms, out));
        let over: Vec<Round> =
            self.auditing.iter().filter(|(_, audit)| now_ms >= audit.ends_ms()).map(|(round, _)| *round).collect();
        for round in over {
            let Some(auditing) = self.auditing.remove(&round) else { continue };
            let is_fair = auditing.begun_ms.is_some_and(|begun_ms| begun_ms > self.forgiven_ms);
            for server in auditing.owing().into_iter().filter(|_| is_fair) {
                out.push(Output::Notice(format!("{round} is not audited: nothing came from {server}")));
                self.find_fault(now_ms, Strike { server, ground: Ground::Silent }, out);
            }
        }
    }
}
