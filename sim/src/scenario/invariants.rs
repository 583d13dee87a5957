//! What must hold after every step of every run.
//!
//! * No honest server names an honest server.
//! * A server says one thing only for each act of a round, across restarts.
//! * Nothing mixed leaves an honest server before it has heard the confirmations of all others who are active.
//! * A server that holds evidence against another releases nothing more, in any round in flight, in chains that contain
//!   it, and opens nothing more in rounds in which it takes part.
//! * No number is announced twice, and every round has as many active servers as the network wants at least.
//! * While everybody is honest and nothing goes wrong, nothing that somebody says is refused, and everybody takes part.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use hippodrome_core::{
    directory::Directory,
    evidence::{Case, Verdict},
    ids::{Author, Layer, Party, Round, ServerId, Stage},
    message::{AbortReason, Message, Return, SignedReturn},
    mixer::Notice,
    roster::Roster,
};
use hippodrome_crypto::hash::{Digest, Hasher};

use crate::{adversary::Mounted, network::Watcher};

/// What was found in a run.
#[derive(Default)]
pub(super) struct Findings {
    /// What must never happen, and did.
    pub(super) violations: Vec<String>,
    /// Rounds in which an honest server publicly refused something, ended the round, or replaced replies.
    pub(super) signs: BTreeSet<Round>,
    /// Rounds in which an honest server named the cheat.
    pub(super) accused: BTreeSet<Round>,
    /// Rounds in which an honest server could show that it was the cheat.
    pub(super) named: BTreeSet<Round>,
    /// When that was first so, by the simulated clock.
    pub(super) first_named_ms: Option<u64>,
    /// Servers of which that could be shown.
    pub(super) guilty: BTreeSet<ServerId>,
    /// Servers that some announced round did without.
    pub(super) inactive: BTreeSet<ServerId>,
    /// Rounds of which some server has shown its noise to another.
    pub(super) opened: BTreeSet<Round>,
    /// A digest of who sent what, and when.
    pub(super) digest: Option<Digest>,
}

impl Findings {
    /// In a round the cheat was named.
    fn name(&mut self, round: Round, now_ms: u64) {
        self.named.insert(round);
        self.first_named_ms.get_or_insert(now_ms);
    }
}

/// Who is there.
#[derive(Clone, Copy)]
pub(super) struct Cast {
    pub(super) servers: u16,
    /// Fewest servers that may be active.
    pub(super) min_live: usize,
    /// Clients that come after these cheat.
    pub(super) honest_clients: usize,
    /// Nobody cheats, and nothing goes wrong.
    pub(super) is_calm: bool,
}

/// Watches a run.
pub(super) struct Invariants {
    cast: Cast,
    /// Who takes part, by round.
    rosters: BTreeMap<Round, Roster>,
    /// Servers against which a server, since its start, holds evidence about an epoch, by its number.
    evidence: BTreeMap<(ServerId, u64), BTreeSet<ServerId>>,
    mounted: Rc<RefCell<Mounted>>,
    findings: Rc<RefCell<Findings>>,
    acts: BTreeMap<(Round, ServerId, Act), Digest>,
    confirmations: BTreeMap<(Round, Layer, ServerId), BTreeSet<ServerId>>,
    newest: Round,
    announced: BTreeSet<Round>,
    /// When something was last sent or arrived.
    now_ms: u64,
    keeps_digest: bool,
}

/// What a server does at most once in a round: a kind, a stage, and a party or position.
type Act = (u8, Layer, u16, u16);

/// Rounds that are looked at; older ones are over for everybody.
const ROUNDS_KEPT: u64 = 16;

impl Invariants {
    pub(super) fn new(cast: Cast, mounted: Rc<RefCell<Mounted>>, keeps_digest: bool) -> (Self, Rc<RefCell<Findings>>) {
        let findings = Rc::<RefCell<Findings>>::default();
        let invariants = Self {
            cast,
            rosters: BTreeMap::new(),
            evidence: BTreeMap::new(),
            mounted,
            findings: Rc::clone(&findings),
            acts: BTreeMap::new(),
            confirmations: BTreeMap::new(),
            newest: Round(0),
            announced: BTreeSet::new(),
            now_ms: 0,
            keeps_digest,
        };
        (invariants, findings)
    }

    fn is_honest(&self, server: ServerId) -> bool {
        self.mounted.borrow().culprit != Some(server)
    }

    fn violated(&self, what: String) {
        self.findings.borrow_mut().violations.push(what);
    }

    /// A verdict names the cheating server, or a client that cheats.
    fn convicted(&self, round: Round, guilty: Author) {
        let innocent = match guilty {
            Author::Server(server) => self.is_honest(server),
            Author::Client(client) => (client.0 as usize) < self.cast.honest_clients,
        };
        if innocent {
            self.violated(format!("{guilty} was convicted in {round}, and is honest"));
        }
        let mut findings = self.findings.borrow_mut();
        if let Author::Server(server) = guilty {
            findings.guilty.insert(server);
        }
        findings.signs.insert(round);
        findings.accused.insert(round);
        findings.name(round, self.now_ms);
    }

    fn check_once(&mut self, from: ServerId, message: &Message) {
        let (Some(round), Some((act, what))) = (message.round(), act_of(message)) else { return };
        let said = *self.acts.entry((round, from, act)).or_insert(what);
        if said != what {
            self.violated(format!("{from} acted twice in {round}: {act:?}"));
        }
    }

    /// What depends on round secrets leaves only after all others have confirmed the layer.
    fn check_gate(&self, from: ServerId, message: &Message) {
        let stage: Option<Stage> = match message {
            Message::Batch(message) => Some(message.batch.place.stage),
            Message::Proof(message) => Some(message.batch.place.stage),
            Message::Parcel(message) => Some(message.source),
            _ => None,
        };
        let Some(stage) = stage else { return };
        let heard = self.confirmations.get(&(stage.round, stage.layer, from)).map_or(0, BTreeSet::len);
        let others = self.rosters.get(&stage.round).map_or(usize::MAX, |roster| roster.active().len() - 1);
        if heard < others {
            self.violated(format!("{from} let something out in {stage} after {heard} confirmations of others"));
        }
    }

    /// A caught server does not cheat in all rounds in flight: who holds the evidence does nothing more with it.
    fn check_evidence(&self, from: ServerId, message: &Message) {
        let Some(round) = message.round() else { return };
        let Some(roster) = self.rosters.get(&round) else { return };
        let Some(guilty) = self.evidence.get(&(from, roster.id().epoch)) else { return };
        let members = |stage: Stage| roster.members(stage.layer, stage.chain);
        let with = match message {
            Message::Batch(message) => members(message.batch.place.stage),
            Message::Proof(message) => members(message.batch.place.stage),
            Message::Parcel(message) => members(message.source),
            Message::Return(message) => members(message.place().stage),
            Message::Replies(message) => members(message.stage),
            Message::Accusation(_) | Message::TraceStep(_) => roster.active(),
            _ => return,
        };
        if let Some(guilty) = with.iter().find(|server| guilty.contains(server)) {
            self.violated(format!("{from} goes on with {guilty} in {round}, and holds evidence against it"));
        }
    }

    fn forget_old(&mut self, round: Round) {
        if round > self.newest {
            self.newest = round;
            let oldest = Round(round.0.saturating_sub(ROUNDS_KEPT));
            self.acts.retain(|(round, ..), _| *round >= oldest);
            self.confirmations.retain(|(round, ..), _| *round >= oldest);
            self.rosters.retain(|round, _| *round >= oldest);
        }
    }

    fn add_to_digest(&mut self, now_ms: u64, from: Party, to: Party, message: &Message) {
        let mut findings = self.findings.borrow_mut();
        let before = findings.digest.unwrap_or(Digest([0; 32]));
        let what = format!("{now_ms} {from} {to} {message:?}");
        findings.digest = Some(Hasher::new("simulated run").digest(&before).bytes(what.as_bytes()).finish());
    }
}

impl Watcher for Invariants {
    fn sent(&mut self, now_ms: u64, from: Party, to: Party, message: &Message) {
        self.now_ms = now_ms;
        if self.keeps_digest {
            self.add_to_digest(now_ms, from, to, message);
        }
        if let Party::Server(server) = from
            && self.is_honest(server)
        {
            self.check_once(server, message);
            self.check_gate(server, message);
            self.check_evidence(server, message);
            message.round().into_iter().for_each(|round| self.forget_old(round));
        }
    }

    fn arrived(&mut self, now_ms: u64, from: Party, to: Party, message: &Message) {
        self.now_ms = now_ms;
        if let (Party::Server(from), Party::Server(to), Message::Confirmation(message)) = (from, to, message) {
            self.confirmations.entry((message.round, message.layer, to)).or_default().insert(from);
        }
        if let (Party::Server(_), Message::NoiseOpening(opening)) = (to, message) {
            self.findings.borrow_mut().opened.insert(opening.round);
        }
    }

    fn announced(&mut self, round: Round, roster: &Roster) {
        if !self.announced.insert(round) {
            self.violated(format!("{round} was announced twice"));
        }
        let active = roster.active().len();
        if active < self.cast.min_live {
            self.violated(format!("{round} was announced with {active} active servers"));
        }
        self.rosters.insert(round, roster.clone());
        let inactive = (0..self.cast.servers).map(ServerId).filter(|server| !roster.is_active(*server));
        if let Some(struck) = inactive.clone().find(|_| self.cast.is_calm) {
            self.violated(format!("{round} was announced without {struck}, and nothing had gone wrong"));
        }
        self.findings.borrow_mut().inactive.extend(inactive);
    }

    fn restarted(&mut self, server: ServerId) {
        self.evidence.retain(|(holder, _), _| *holder != server);
    }

    /// Whoever has the file and the directory comes to the same verdict as the machine did.
    fn judged(&mut self, server: ServerId, directory: &Arc<Directory>, case: &Case, verdict: &Verdict) {
        if !self.is_honest(server) {
            return;
        }
        match case.verify(directory) {
            Ok(again) if again == *verdict => {}
            Ok(again) => {
                self.violated(format!("{server} has evidence of {verdict} in {}, which shows {again}", case.round));
            }
            Err(why) => {
                self.violated(format!(
                    "{server} has evidence of {verdict} in {}, which shows nothing: {why}",
                    case.round
                ));
            }
        }
    }

    fn noticed(&mut self, server: ServerId, notice: &Notice) {
        if !self.is_honest(server) {
            return;
        }
        let (round, reason) = match notice {
            Notice::Aborted { stage, reason } => (stage.round, Some(*reason)),
            Notice::RepliesReplaced { place } => (place.stage.round, None),
            Notice::Convicted { round, verdict } => {
                verdict.guilty().iter().for_each(|guilty| self.convicted(*round, *guilty));
                if let Some(roster) = self.rosters.get(round) {
                    self.evidence.entry((server, roster.id().epoch)).or_default().extend(verdict.servers());
                }
                return;
            }
            Notice::Refused { why } if self.cast.is_calm => {
                return self.violated(format!("{server} refused what an honest party said: {why}"));
            }
            _ => return,
        };
        self.findings.borrow_mut().signs.insert(round);
        match reason.and_then(|reason| named_by(&reason)) {
            Some(named) if self.is_honest(named) => {
                self.violated(format!("{server} named {named}, which is honest, in {round}: {reason:?}"));
            }
            Some(named) => {
                let mut findings = self.findings.borrow_mut();
                findings.accused.insert(round);
                if reason.as_ref().is_some_and(is_shown_to_all) {
                    findings.name(round, self.now_ms);
                    findings.guilty.insert(named);
                }
            }
            None => {}
        }
    }
}

/// The server that a reason names as guilty.
fn named_by(reason: &AbortReason) -> Option<ServerId> {
    match reason {
        AbortReason::BadMessage(server)
        | AbortReason::BadProof(server)
        | AbortReason::Equivocation(server)
        | AbortReason::Convicted(server)
        | AbortReason::BadReceipt(server)
        | AbortReason::DroppedNoise(server)
        | AbortReason::FalseClaim(server) => Some(*server),
        // The noise goes through the coordinator, which may have kept it.
        AbortReason::NoiseLeftOut(_)
        | AbortReason::Deadline(_)
        | AbortReason::LayerDidNotOpen
        | AbortReason::NoiseMissing
        | AbortReason::ActedBefore
        | AbortReason::Unproven
        | AbortReason::Storage => None,
    }
}

/// Whether everybody comes to the same from the inputs that all have signed.
fn is_shown_to_all(reason: &AbortReason) -> bool {
    matches!(reason, AbortReason::DroppedNoise(_) | AbortReason::FalseClaim(_))
}

/// What a server does at most once, and what it did.
fn act_of(message: &Message) -> Option<(Act, Digest)> {
    let staged = |kind: u8, stage: Stage, other: u16| (kind, stage.layer, stage.chain.0, other);
    let bytes = |bytes: &[u8]| Hasher::new("act").bytes(bytes).finish();
    Some(match message {
        Message::DescriptorSignature(said) => ((0, Layer(0), 0, 0), bytes(&said.signature.0)),
        Message::Noise(said) => (staged(1, said.stage, 0), bytes(&said.submissions)),
        Message::InputOffer(said) => (staged(2, said.input.stage, 0), said.input.entries),
        Message::InputSignature(said) => (staged(3, said.stage, 0), bytes(&said.signature.0)),
        Message::Confirmation(said) => ((4, said.layer, 0, 0), said.vector),
        Message::Batch(said) => {
            (staged(5, said.batch.place.stage, said.batch.place.position.0.into()), said.batch.root)
        }
        Message::Parcel(said) => (staged(6, said.source, said.destination.0), said.root),
        Message::Return(Return { signed: SignedReturn { replies, .. }, .. }) => match replies.to {
            None => (staged(7, replies.place.stage, replies.place.position.0.into()), replies.root),
            Some(chain) => (staged(8, replies.place.stage, chain.0), replies.root),
        },
        _ => return None,
    })
}
