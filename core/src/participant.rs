//! A client's part in a round, without I/O: the same number of equal-sized messages every round, busy or idle.

use std::sync::Arc;

use hippodrome_crypto::{
    hash::Digest,
    merkle::{self, RangeProof},
    signing::{Signature, SigningKey},
};
use rand_core::CryptoRng;

use crate::{
    descriptor::RoundView,
    directory::{Directory, MissingSignature},
    epoch::Epoch,
    ids::{Author, ChainId, ClientId, Layer, Round, Stage},
    marks::{Act, Once},
    message::InputCommitment,
    roster::Roster,
    statement,
    submission::{Access, Composed, Composer, ReplyBroken, ReplyRoute},
    wire::{FRAME_LEN, Sizes},
};

/// A client of an epoch, in the rounds of one roster.
#[derive(Debug)]
pub struct Participant {
    key: SigningKey,
    client: ClientId,
    chain: ChainId,
    slots: u16,
    sizes: Sizes,
}

/// Why a client takes part in no round of a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSeat {
    /// The key is not registered.
    #[error("this client's key is not registered in the epoch: clients are registered before an epoch begins")]
    NotRegistered,
    /// No input chain is open: there are no rounds before the next epoch.
    #[error("every input chain holds a struck server: there are no rounds before the next epoch")]
    NoOpenChain,
}

/// Why a client does not take part in a round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutsideWindow {
    /// The clock says that the round is over.
    #[error("{round} stopped collecting {late_ms} ms ago by this computer's clock: is the clock right?")]
    Late {
        /// The round.
        round: Round,
        /// By how much.
        late_ms: u64,
    },
    /// The clock says that the round has not begun.
    #[error("{round} begins in {early_ms} ms by this computer's clock: is the clock right?")]
    Early {
        /// The round.
        round: Round,
        /// By how much.
        early_ms: u64,
    },
}

/// A round's window by the client's own clock, with the tolerance for clocks that differ.
pub fn check_window(directory: &Directory, epoch: &Epoch, round: Round, now_ms: u64) -> Result<(), OutsideWindow> {
    let start = epoch.window_start_ms(round);
    let end = start.saturating_add(directory.params().collect_ms);
    if now_ms.saturating_add(CLOCK_TOLERANCE_MS) < start {
        return Err(OutsideWindow::Early { round, early_ms: start - now_ms });
    }
    if now_ms > end.saturating_add(CLOCK_TOLERANCE_MS) {
        return Err(OutsideWindow::Late { round, late_ms: now_ms - end });
    }
    Ok(())
}

/// How far clocks may differ, milliseconds.
pub const CLOCK_TOLERANCE_MS: u64 = 500;

impl Participant {
    /// The client with `key`, if the epoch registers it.
    pub fn new(directory: &Directory, roster: &Roster, key: SigningKey) -> Result<Self, NoSeat> {
        let public = key.public();
        let client = roster.epoch().client_of(&public).ok_or(NoSeat::NotRegistered)?;
        let chain = roster.input_chain(&public).ok_or(NoSeat::NoOpenChain)?;
        let params = directory.params();
        Ok(Self { chain, key, client, slots: params.slots, sizes: params.sizes() })
    }

    /// The client's place in the registry.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// The client's input chain.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// How many accesses every round takes.
    pub fn slots(&self) -> usize {
        self.slots.into()
    }

    /// Wraps one access for each slot: the records to submit, and what opens the replies.
    ///
    /// `once` is the durable mark for this round: a client takes part in a round number at most once.
    pub fn compose<R: CryptoRng>(
        &self,
        view: &RoundView,
        once: Once,
        accesses: &[Access],
        rng: &mut R,
    ) -> (Vec<u8>, Pending) {
        assert!(once.is_for(Act::Submit, view.round()), "the mark is for this act");
        assert_eq!(accesses.len(), self.slots(), "one access for each slot, busy or idle");
        let composer = Composer { view, author: Author::Client(self.client), key: &self.key };
        let mut records = Vec::with_capacity(self.sizes.submission * accesses.len());
        let mut routes = Vec::with_capacity(accesses.len());
        let mut leaves = Vec::with_capacity(accesses.len());
        for (slot, access) in accesses.iter().enumerate() {
            let Composed { submission, route, .. } = composer.compose(slot as u16, access, rng);
            records.extend(submission.encode());
            leaves.push(merkle::leaf(submission.key.encoded(), &merkle::body_hash(&submission.body)));
            routes.push(route);
        }
        let sent = Sent {
            stage: Stage { round: view.round(), layer: Layer(0), chain: view.chain() },
            roster: Arc::clone(view.roster()),
            descriptor: *view.digest(),
            leaves,
        };
        (records, Pending { routes, width: self.sizes.reply(0, 0), sent })
    }
}

/// What opens the replies of a round, used once, and tells whether the submissions were let in.
pub struct Pending {
    routes: Vec<ReplyRoute>,
    width: usize,
    sent: Sent,
}

/// What was submitted, as it must stand in the chain's input.
struct Sent {
    stage: Stage,
    roster: Arc<Roster>,
    descriptor: Digest,
    leaves: Vec<Digest>,
}

/// Where a client's submissions stand in the signed input of its chain, as the coordinator shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The input.
    pub input: InputCommitment,
    /// One signature a member, in chain order.
    pub signatures: Vec<Signature>,
    /// Place of the first of the submissions; the others follow it, slot by slot.
    pub start: u32,
    /// From the submissions to the input's root.
    pub branch: RangeProof,
}

/// Why a client does not know that its submissions were let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotIncluded {
    /// Nothing was shown.
    #[error("nobody shows that the submissions are in the chain's input")]
    NotShown,
    /// What was shown is about something else.
    #[error("what is shown is about another round or chain")]
    Elsewhere,
    /// A member has not signed the input.
    #[error("the input that is shown is not signed by every member of the chain: {0}")]
    Signature(#[from] MissingSignature),
    /// Other records stand there.
    #[error("the submissions are not where they are said to be")]
    Branch,
}

/// What came back for one slot.
pub type SlotReply = Result<[u8; FRAME_LEN], ReplyBroken>;

/// The replies are not one for each slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} bytes of replies where {expected} were expected")]
pub struct WrongReplies {
    /// Bytes that came.
    pub got: usize,
    /// Bytes for all slots.
    pub expected: usize,
}

impl Pending {
    /// The round.
    pub fn round(&self) -> Round {
        self.sent.stage.round
    }

    /// Checks that all submissions are in the chain's input, which every member signed.
    pub fn check_inclusion(&self, directory: &Directory, shown: Option<&Inclusion>) -> Result<(), NotIncluded> {
        let Sent { stage, roster, descriptor, leaves } = &self.sent;
        let Inclusion { input, signatures, start, branch } = shown.ok_or(NotIncluded::NotShown)?;
        if input.stage != *stage {
            return Err(NotIncluded::Elsewhere);
        }
        let members = roster.members(stage.layer, stage.chain);
        if signatures.len() != members.len() {
            return Err(MissingSignature::Count { got: signatures.len(), expected: members.len() }.into());
        }
        let signed = statement::input(descriptor, input);
        for (&member, signature) in members.iter().zip(signatures) {
            let key = directory.server_key(member).ok_or(MissingSignature::Bad(member))?;
            key.verify(&signed, signature).map_err(|_| MissingSignature::Bad(member))?;
        }
        let range = branch.verify(&input.root, input.count.into(), (*start).into(), leaves.clone());
        range.map(drop).map_err(|_| NotIncluded::Branch)
    }

    /// Opens all replies; the same work whatever they hold.
    pub fn open(self, replies: &[u8]) -> Result<Vec<SlotReply>, WrongReplies> {
        let expected = self.width * self.routes.len();
        if replies.len() != expected {
            return Err(WrongReplies { got: replies.len(), expected });
        }
        Ok(self
            .routes
            .into_iter()
            .zip(replies.chunks_exact(self.width))
            .map(|(route, reply)| route.open(reply))
            .collect())
    }
}
