//! What servers and the coordinator say to each other, as plain values; `proto` converts them to and from the wire.
//!
//! A message has fixed fields and at most one body of fixed-size records. Fields are well-formed (right lengths,
//! canonical group elements) when a value of these types exists; everything else about them is checked by the machine
//! that receives them. Who sent a message is known from the connection's pinned certificate.

use std::{fmt, sync::Arc};

use hippodrome_crypto::{
    group::Element,
    hash::Digest,
    hop::{HopProof, HopPublic},
    merkle::{InclusionProof, RangeProof},
    signing::{PublicKey, Signature},
};

pub use crate::{
    audit::NoiseOpening,
    claim::{NoiseClaim, ShownSubmission},
    evidence::{Accusation, TraceStep},
    pledge::NoisePledge,
    reply::{ReplyClaim, ShownReturn},
};
use crate::{
    evidence::Evidence,
    ids::{ChainId, Layer, Place, Position, RosterId, Round, ServerId, Stage},
};

/// Any message between servers and the coordinator.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each variant is documented at its type
pub enum Message {
    Hello(Hello),
    Peers(Peers),
    SeedCall(SeedCall),
    SeedCommitment(SeedCommitment),
    SeedCommitments(SeedCommitments),
    SeedReveal(SeedReveal),
    EpochProposal(EpochProposal),
    EpochSignature(EpochSignature),
    EpochStart(EpochStart),
    AmendmentProposal(AmendmentProposal),
    AmendmentSignature(AmendmentSignature),
    AmendmentStart(AmendmentStart),
    KeysCall(KeysCall),
    Keys(Keys),
    DescriptorProposal(DescriptorProposal),
    DescriptorSignature(DescriptorSignature),
    Announcement(Announcement),
    Noise(Noise),
    Submissions(Submissions),
    InputOffer(InputOffer),
    InputSignature(InputSignature),
    InputRoot(InputRoot),
    NoiseReceipt(NoiseReceipt),
    Receipts(Receipts),
    Confirmation(Confirmation),
    NoiseClaim(NoiseClaim),
    NoiseAnswer(NoiseAnswer),
    ShareCall(ShareCall),
    CoinShare(CoinShare),
    Coin(Coin),
    NoiseOpening(NoiseOpening),
    Batch(Batch),
    Proof(Proof),
    Parcel(Parcel),
    Return(Return),
    Replaced(Replaced),
    NoiseReplies(NoiseReplies),
    ReplyClaim(ReplyClaim),
    ReplyAnswer(ReplyAnswer),
    Replies(Replies),
    Report(Report),
    Abort(Abort),
    Accusation(Accusation),
    TraceStep(TraceStep),
    Charge(Charge),
}

/// Server → everyone: evidence about a round, for each to judge.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The round that it is about.
    pub round: Round,
    /// The evidence.
    pub evidence: Arc<Evidence>,
}

/// Server → coordinator, every few seconds: "I am up, and peers reach me here."
#[derive(Clone, Debug)]
pub struct Hello {
    /// `host:port` at which peers reach the server; not trusted, the certificate is.
    pub address: String,
    /// The newest epoch and amendment that the server knows; epoch 0 if it knows none, as after a restart.
    pub roster: RosterId,
}

/// Coordinator → servers: where each server said that it is, in the directory's order.
#[derive(Clone, Debug)]
pub struct Peers {
    /// `host:port` of each server; empty where it is not known yet.
    pub addresses: Vec<String>,
}

/// What an epoch is to be, before its seed is known. Client keys are in it, so that nobody picks a key after the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochPlan {
    /// Number of the epoch, from 1.
    pub number: u64,
    /// Keys of the clients that may submit, in registry order.
    pub registry: Vec<PublicKey>,
    /// The first round of the epoch; round numbers go on from epoch to epoch and never back.
    pub first_round: Round,
    /// Start of that round's window, milliseconds since 1970.
    pub start_ms: u64,
    /// The servers that make the seed and are drawn from, ascending; at least the network's `min_live`.
    pub live: Vec<ServerId>,
    /// One a server of the directory, in its order.
    pub standings: Vec<Standing>,
}

/// How often a server was struck, and until when that keeps it out of epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How often it was struck.
    pub strikes: u16,
    /// Epochs that start before this, milliseconds since 1970, do without it.
    pub out_until_ms: u64,
}

/// Coordinator → live servers: make a seed for this plan.
#[derive(Clone, Debug)]
pub struct SeedCall {
    /// The epoch to be.
    pub plan: EpochPlan,
}

/// Server → coordinator: commitment to its share of the seed.
#[derive(Clone, Debug)]
pub struct SeedCommitment {
    /// Epoch number.
    pub epoch: u64,
    /// Commitment to the share.
    pub commitment: Digest,
    /// Over plan and commitment.
    pub signature: Signature,
}

/// Coordinator → live servers: everybody's commitments, in the plan's order.
#[derive(Clone, Debug)]
pub struct SeedCommitments {
    /// Epoch number.
    pub epoch: u64,
    /// One commitment and signature a live server.
    pub commitments: Vec<(Digest, Signature)>,
}

/// Server → coordinator: its share of the seed.
#[derive(Clone, Debug)]
pub struct SeedReveal {
    /// Epoch number.
    pub epoch: u64,
    /// The 32 random bytes committed to.
    pub share: [u8; 32],
}

/// Coordinator → live servers: everybody's shares, in the plan's order; the epoch follows from them.
#[derive(Clone, Debug)]
pub struct EpochProposal {
    /// Epoch number.
    pub epoch: u64,
    /// One share a live server.
    pub shares: Vec<[u8; 32]>,
}

/// Server → coordinator: signature on the epoch.
#[derive(Clone, Debug)]
pub struct EpochSignature {
    /// Epoch number.
    pub epoch: u64,
    /// Over the epoch's digest.
    pub signature: Signature,
}

/// Coordinator → servers: the whole epoch with a quorum's signatures, so that a restarted server can take it in too.
#[derive(Clone, Debug)]
pub struct EpochStart {
    /// Number, registry, start and servers.
    pub plan: EpochPlan,
    /// The live servers' shares of the seed, in the plan's order.
    pub shares: Vec<[u8; 32]>,
    /// Signatures of a quorum of the directory's servers, ascending.
    pub signatures: Vec<(ServerId, Signature)>,
}

/// Servers that are out of an epoch from some round on, and every chain with them. Amendments only ever add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// Number of the epoch.
    pub epoch: u64,
    /// Number of the amendment, from 1; 0 is that of an epoch that nobody was struck in.
    pub number: u32,
    /// The servers struck so far in the epoch, ascending.
    pub struck: Vec<Strike>,
}

/// A server that is struck, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The server.
    pub server: ServerId,
    /// What for.
    pub ground: Ground,
}

/// Why a server is struck. Nobody has to prove it: safety does not depend on who is struck, only on how many are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Ground {
    /// It did not answer, or one who waited for it said so.
    #[error("it was silent")]
    Silent,
    /// It ended a round without evidence against anybody.
    #[error("it ended a round without evidence")]
    Aborted,
    /// There is evidence against it.
    #[error("there is evidence against it")]
    Convicted,
}

/// Coordinator → servers: sign this amendment.
#[derive(Clone, Debug)]
pub struct AmendmentProposal {
    /// The amendment.
    pub amendment: Amendment,
}

/// Server → coordinator: signature on an amendment.
#[derive(Clone, Debug)]
pub struct AmendmentSignature {
    /// The amendment's epoch and number.
    pub roster: RosterId,
    /// Over the amendment's digest.
    pub signature: Signature,
}

/// Coordinator → servers: the amendment with a quorum's signatures. It holds for rounds announced from now on.
#[derive(Clone, Debug)]
pub struct AmendmentStart {
    /// The amendment.
    pub amendment: Amendment,
    /// Signatures of a quorum of the directory's servers, ascending.
    pub signatures: Vec<(ServerId, Signature)>,
}

/// The keys of one hop with the proof that their owner knows the secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenHopKeys {
    /// Layer of the chain.
    pub layer: Layer,
    /// Chain of the layer.
    pub chain: ChainId,
    /// Position in the chain.
    pub position: Position,
    /// `A_i` and `P_i`.
    pub public: HopPublic,
    /// Knowledge of both exponents to the base `P_{i−1}`.
    pub proof: HopProof,
}

/// Coordinator → server: publish your keys of this round at this position; the positions before are done.
#[derive(Clone, Debug)]
pub struct KeysCall {
    /// The round.
    pub round: Round,
    /// Which servers and chains take part; a server that does not know it yet refuses, and is called again.
    pub roster: RosterId,
    /// The position whose keys are wanted, in every open chain in which the server has it.
    pub position: Position,
    /// All keys of the positions before, in those chains that are open.
    pub upstream: Vec<ProvenHopKeys>,
}

/// Server → coordinator: its keys at one position.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The round.
    pub round: Round,
    /// The position.
    pub position: Position,
    /// Keys for each open chain in which the server has that position.
    pub keys: Vec<ProvenHopKeys>,
    /// With the keys of the first position, which every active server is called for, where noise is audited: the server's
    /// pledge.
    pub pledge: Option<NoisePledge>,
}

/// Coordinator → servers: all keys of a round, to be signed as one descriptor.
#[derive(Clone, Debug)]
pub struct DescriptorProposal {
    /// The round.
    pub round: Round,
    /// Which servers and chains take part.
    pub roster: RosterId,
    /// Every hop of every open chain of every layer, in order (layer, chain, position).
    pub keys: Vec<ProvenHopKeys>,
    /// Where noise is audited, the pledge of each active server, in order; otherwise none.
    pub pledges: Vec<NoisePledge>,
}

/// Server → coordinator: signature on the descriptor.
#[derive(Clone, Debug)]
pub struct DescriptorSignature {
    /// The round.
    pub round: Round,
    /// Over the descriptor's digest.
    pub signature: Signature,
}

/// Coordinator → servers: everybody's signatures on the descriptor: the round is announced.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The round.
    pub round: Round,
    /// One signature an active server, ascending.
    pub signatures: Vec<Signature>,
}

/// Server → coordinator: its noise for one input chain.
#[derive(Clone, Debug)]
pub struct Noise {
    /// Round and input chain (layer 0).
    pub stage: Stage,
    /// Submissions, encoded records of the round's submission width.
    pub submissions: Vec<u8>,
}

/// Most parts in which submissions are handed over.
pub const MAX_PARTS: u32 = 64;

/// Coordinator → first server of an input chain: a part of what was submitted to it. Parts come while others submit; they
/// are checked meanwhile.
#[derive(Clone, Debug)]
pub struct Submissions {
    /// Round and input chain (layer 0).
    pub stage: Stage,
    /// The part's number, from 0.
    pub part: u32,
    /// Whether there are no more.
    pub is_last: bool,
    /// Submissions of clients and servers, encoded records of the round's submission width.
    pub submissions: Vec<u8>,
}

/// What the members of a chain sign before anything is mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputCommitment {
    /// The chain whose input this is.
    pub stage: Stage,
    /// Number of records.
    pub count: u32,
    /// Merkle root over the records.
    pub root: Digest,
    /// Digest of the key list.
    pub keys: Digest,
    /// Merkle root over the entries: it binds origins and signatures too.
    pub entries: Digest,
    /// Digest of the fingerprints of the keys, in order; of none in layer 0.
    pub fingerprints: Digest,
    /// Digest of the keys that came in two parcels and were left out; of none in layer 0.
    pub left_out: Digest,
}

/// First server → members of its chain: this is our input.
#[derive(Clone, Debug)]
pub struct InputOffer {
    /// What is to be signed.
    pub input: InputCommitment,
    /// The first server's own signature.
    pub signature: Signature,
    /// Key, body digest, author or source, and signature of knowledge of each record, fixed-size.
    pub entries: Vec<u8>,
    /// Such entries of records whose keys came in two parcels: all copies are left out.
    pub left_out: Vec<u8>,
}

/// Member → first server: signature on the input.
#[derive(Clone, Debug)]
pub struct InputSignature {
    /// The chain.
    pub stage: Stage,
    /// Over the input commitment.
    pub signature: Signature,
}

/// A chain's input with what makes it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedInput {
    /// What was signed.
    pub input: InputCommitment,
    /// One signature a member, in chain order.
    pub signatures: Vec<Signature>,
}

/// First server → all active servers: the chain's input, signed by all its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRoot {
    /// What was signed.
    pub input: InputCommitment,
    /// One signature a member, in chain order.
    pub signatures: Vec<Signature>,
    /// Fingerprints of the input's keys, in order, 4 bytes each; none in layer 0, where owners get branches.
    pub fingerprints: Vec<u8>,
    /// The keys that were left out, with their copies.
    pub left_out: Vec<Element>,
}

/// First server of an input chain → a server: your noise is in the chain's input, as all members have signed it.
#[derive(Clone, Debug)]
pub struct NoiseReceipt {
    /// Round and input chain (layer 0).
    pub stage: Stage,
    /// Place of the first of the server's records in the input; the others follow it, slot by slot.
    pub start: u32,
    /// From the records to the input's root.
    pub branch: RangeProof,
}

/// First server of an input chain → coordinator: what is in the input, so that each client can be shown its own part.
#[derive(Clone, Debug)]
pub struct Receipts {
    /// The input.
    pub input: InputCommitment,
    /// One signature a member, in chain order.
    pub signatures: Vec<Signature>,
    /// Author, slot and leaf of each record, fixed-size, in order.
    pub records: Vec<u8>,
}

/// Server → all active servers, to a claim that a record is missing: what there is of it.
#[derive(Clone, Debug)]
pub struct NoiseAnswer {
    /// The claim, which may not have come to everybody.
    pub claim: NoiseClaim,
    /// The answer.
    pub shown: ShownPart,
}

/// What a server has of a record that is claimed to be missing. It is as good from whomever it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownPart {
    /// The record came into a chain before the one that lacks it.
    Input {
        /// The chain.
        stage: Stage,
        /// Its place.
        index: u32,
        /// From the record to the input's root.
        path: InclusionProof,
    },
    /// What a hop put out under the record's key.
    Batch {
        /// The hop's batch.
        signed: SignedBatch,
        /// The place in it.
        index: u32,
        /// Digest of the body that stands there.
        body: Digest,
        /// From the record to the batch's root.
        path: InclusionProof,
    },
    /// The parcel in which the record should have come.
    Parcel(Parcel),
}

/// Server → all active servers: "this is the vector of input roots of the layer that I have seen".
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// The round.
    pub round: Round,
    /// The layer.
    pub layer: Layer,
    /// Digest of the vector of input commitments.
    pub vector: Digest,
    /// Over the confirmation.
    pub signature: Signature,
}

/// What the sender of a batch signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchCommitment {
    /// The hop that made the batch.
    pub place: Place,
    /// Number of records.
    pub count: u32,
    /// Merkle root over the records.
    pub root: Digest,
    /// Digest of the key list.
    pub keys: Digest,
    /// Merkle root over the batch that it was made from.
    pub source: Digest,
    /// Digest of the keys that it was made from: those of that batch less the removed.
    pub source_keys: Digest,
    /// Digest of the places of the records that were removed from that batch: [`crate::evidence::removal`].
    pub removed: Digest,
}

/// A batch that its hop has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedBatch {
    /// What was signed.
    pub batch: BatchCommitment,
    /// The hop's signature.
    pub signature: Signature,
}

/// What the sender of a parcel signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParcelCommitment {
    /// The chain that the records come from.
    pub source: Stage,
    /// The chain of the next layer that they go to.
    pub destination: ChainId,
    /// Number of records.
    pub count: u32,
    /// Merkle root over the records.
    pub root: Digest,
    /// What they were made from: [`crate::statement::parcel_origin`].
    pub origin: Digest,
}

/// A parcel that its sender has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedParcel {
    /// What was signed.
    pub parcel: ParcelCommitment,
    /// The sender's signature.
    pub signature: Signature,
}

/// Hop → next hop, forward: the mixed batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the sender signed.
    pub batch: BatchCommitment,
    /// The sender's signature.
    pub signature: Signature,
    /// Records of key and body.
    pub records: Vec<u8>,
}

/// Hop → every hop after it: proof that its batch is a shuffle of its input.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The batch that the proof is about.
    pub batch: BatchCommitment,
    /// The sender's signature on the batch.
    pub signature: Signature,
    /// The batch that it was made from, as the hop before signed it; none at the first hop.
    pub source: Option<SignedBatch>,
    /// The keys put out, in order.
    pub keys: Vec<Element>,
    /// The encoded proof of the network's verification mode.
    pub proof: Vec<u8>,
    /// The sender's signature over batch, source and proof: what is judged is what it said.
    pub proof_signature: Signature,
}

/// Last server of a chain → first server of a chain of the next layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The chain that the records come from.
    pub source: Stage,
    /// The chain of the next layer that they go to.
    pub destination: ChainId,
    /// Merkle root over the records; empty parcels have the root of no leaves.
    pub root: Digest,
    /// What they were made from: [`crate::statement::parcel_origin`].
    pub origin: Digest,
    /// What the hop before the sender has signed, to which the origin has to go back; none in chains of one hop.
    pub batch: Option<SignedBatch>,
    /// The sender's signature over source, destination, count, root and origin.
    pub signature: Signature,
    /// Records of key, body and signature of knowledge.
    pub records: Vec<u8>,
}

/// What the sender of replies signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnCommitment {
    /// The hop that sends them.
    pub place: Place,
    /// The chain of the layer before that they go to; none within a chain, and at the end of the way.
    pub to: Option<ChainId>,
    /// Number of replies.
    pub count: u32,
    /// Merkle root over them.
    pub root: Digest,
    /// Merkle root over the records that they answer, in the same order: a batch, a parcel, or the input of layer 0.
    pub answers: Digest,
    /// What they were sealed from: [`crate::statement::sealed`].
    pub sealed: Digest,
}

/// Replies that their hop has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedReturn {
    /// What was signed.
    pub replies: ReturnCommitment,
    /// The hop's signature.
    pub signature: Signature,
}

/// From where a hop has what it sealed, for one of the hops behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplySource {
    /// From that hop, which has signed it.
    Returned(SignedReturn),
    /// From nowhere: random bytes. The hop's own signature as under [`Replaced`], which everybody is to hear of.
    Replaced(Signature),
}

/// Hop → hop before it, in the same chain or, from a first server, at the end of a chain of the layer before: replies, in
/// the order of the batch or parcel that had come from there.
#[derive(Clone, Debug)]
pub struct Return {
    /// What the sender signed.
    pub signed: SignedReturn,
    /// From where the sender has what it sealed, for each hop after it.
    pub sources: Vec<ReplySource>,
    /// Sealed replies.
    pub replies: Vec<u8>,
}

impl Return {
    /// The hop that sends the replies.
    pub fn place(&self) -> Place {
        self.signed.replies.place
    }

    /// The chain that they are for: the sender's own, or one of the layer before.
    pub fn stage(&self) -> Option<Stage> {
        let Place { stage, .. } = self.place();
        match self.signed.replies.to {
            None => Some(stage),
            Some(chain) => Some(Stage { layer: Layer(stage.layer.0.checked_sub(1)?), chain, ..stage }),
        }
    }
}

/// Hop → everyone: what came from another hop on the way back was wrong or late, and is replaced by random bytes. Whoever
/// hears of it first from what the hop has returned tells all others, and everybody the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The hop that replaces.
    pub place: Place,
    /// The hop after it, of its own chain or the next layer, whose replies are replaced.
    pub from: Place,
    /// Its signature over both.
    pub signature: Signature,
}

/// First server of an input chain → a server: the replies to its noise.
#[derive(Clone, Debug)]
pub struct NoiseReplies {
    /// What the first server signed of all replies of the chain, in the order of its input.
    pub signed: SignedReturn,
    /// From where the first server has what it sealed, for each hop after it.
    pub sources: Vec<ReplySource>,
    /// From the server's own replies to the root.
    pub branch: RangeProof,
    /// The server's own replies, slot by slot.
    pub replies: Vec<u8>,
}

/// Server → all active servers, to a claim that a reply was spoiled: what there is of it.
#[derive(Clone, Debug)]
pub struct ReplyAnswer {
    /// The claim, which may not have come to everybody.
    pub claim: ReplyClaim,
    /// The answer.
    pub shown: ShownReturn,
}

/// First server of an input chain → coordinator: all replies, each behind its author and slot.
#[derive(Clone, Debug)]
pub struct Replies {
    /// Round and input chain (layer 0).
    pub stage: Stage,
    /// Encoded reply records.
    pub replies: Vec<u8>,
}

/// Coordinator → server: the round is over; reveal your share of the coin that decides whose noise is opened.
#[derive(Clone, Debug)]
pub struct ShareCall {
    /// The round.
    pub round: Round,
}

/// Server → coordinator: its share of a round's coin.
#[derive(Clone, Debug)]
pub struct CoinShare {
    /// The round.
    pub round: Round,
    /// What its pledge has a commitment to.
    pub share: [u8; 32],
}

/// Coordinator → servers: a round's coin has fallen.
#[derive(Clone, Debug)]
pub struct Coin {
    /// The round.
    pub round: Round,
    /// One share an active server, in order.
    pub shares: Vec<[u8; 32]>,
}

/// Server → coordinator: the round is over for this server; nothing in it depends on a secret.
#[derive(Clone, Debug)]
pub struct Report {
    /// The round.
    pub round: Round,
    /// Hop proofs of other servers that it checked.
    pub hops_verified: u32,
    /// Milliseconds from the end of collection to the server's last message of the round.
    pub mixing_ms: u64,
}

/// Server → everyone: it releases nothing more in this round.
#[derive(Clone, Debug)]
pub struct Abort {
    /// The chain in which it happened.
    pub stage: Stage,
    /// What went wrong, and whose fault it is if that is known.
    pub reason: AbortReason,
    /// Over stage and reason.
    pub signature: Signature,
}

/// Why a server ends a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AbortReason {
    /// The round ended, at its deadline or by another server's abort, before everything that the gate needs had come.
    #[error("the round ended before {0} came")]
    Deadline(Missing),
    /// A batch, parcel or offer broke a rule that its sender could check.
    #[error("what {0} sent breaks a rule of the protocol")]
    BadMessage(ServerId),
    /// A shuffle proof did not hold.
    #[error("the shuffle proof of {0} does not hold")]
    BadProof(ServerId),
    /// Two signed statements of one server contradict each other.
    #[error("{0} signed two different statements")]
    Equivocation(ServerId),
    /// The server holds evidence against a member of the chain, from this round or an earlier one.
    #[error("there is evidence against {0}, a member of the chain")]
    Convicted(ServerId),
    /// A layer of the own batch did not open, or opened to something malformed.
    #[error("a layer of the batch did not open")]
    LayerDidNotOpen,
    /// The server had acted on this round before: it restarted inside it.
    #[error("the server has acted on this round before")]
    ActedBefore,
    /// Something does not hold, and it cannot be shown whose fault that is.
    #[error("something did not hold, and it cannot be shown whose fault that is")]
    Unproven,
    /// The server cannot keep its durable marks.
    #[error("the server cannot write its durable marks")]
    Storage,
    /// The chain's input would lack noise of an active server.
    #[error("the noise of {0} is not among what was submitted to the chain")]
    NoiseLeftOut(ServerId),
    /// What the first server of an input chain shows of this server's noise does not show that it is in the input.
    #[error("what {0} shows does not put all noise of this server into the chain's input")]
    BadReceipt(ServerId),
    /// Noise of this server is missing, and nothing that it could show would say whose fault that is.
    #[error("noise of this server is missing from the input")]
    NoiseMissing,
    /// A record that was claimed to be missing was dropped.
    #[error("{0} dropped a record of noise")]
    DroppedNoise(ServerId),
    /// A signed claim does not hold.
    #[error("{0} claimed that noise is missing, falsely")]
    FalseClaim(ServerId),
}

/// What a server waited for when a round ended, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Missing {
    /// What it waited for.
    pub what: Awaited,
    /// From whom, where that is one server.
    pub from: Option<ServerId>,
}

impl From<Awaited> for Missing {
    fn from(what: Awaited) -> Self {
        Self { what, from: None }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(server) => write!(f, "{} from {server}", self.what),
            None => self.what.fmt(f),
        }
    }
}

/// What a server waited for when a round ended, in the order in which they come within a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[allow(missing_docs)]
pub enum Awaited {
    #[error("the chain's input")]
    Input,
    #[error("the signatures on the chain's input")]
    InputSignatures,
    #[error("what shows that its noise is in the chain's input")]
    Receipt,
    #[error("the inputs of all chains")]
    Inputs,
    #[error("the confirmations of all servers")]
    Confirmations,
    /// It holds up the batch of the hop at which records failed.
    #[error("the end of a trace")]
    Trail,
    #[error("the batch of the hop before")]
    Batch,
    #[error("the proofs of the hops before")]
    Proofs,
    #[error("the replies")]
    Replies,
    #[error("what is left of a record that is claimed to be missing")]
    Answer,
}

impl EpochPlan {
    fn body_len(&self) -> usize {
        self.registry.len() * 32 + std::mem::size_of_val(&*self.standings)
    }
}

impl NoiseAnswer {
    fn body_len(&self) -> usize {
        self.claim.body_len() + self.shown.body_len()
    }
}

impl ShownPart {
    pub(crate) fn body_len(&self) -> usize {
        match self {
            Self::Input { path, .. } | Self::Batch { path, .. } => std::mem::size_of_val(&*path.0),
            Self::Parcel(parcel) => parcel.records.len(),
        }
    }
}

impl NoiseReplies {
    fn body_len(&self) -> usize {
        self.replies.len() + std::mem::size_of_val(&*self.sources) + std::mem::size_of_val(&*self.branch.0)
    }
}

impl InputRoot {
    fn body_len(&self) -> usize {
        self.fingerprints.len() + std::mem::size_of_val(&*self.left_out)
    }
}

impl Message {
    /// Bytes of the message's body: what it holds besides fields of fixed size.
    pub fn body_len(&self) -> usize {
        let hop_keys = |keys: &[ProvenHopKeys]| std::mem::size_of_val(keys);
        let pledges = |pledges: &[NoisePledge]| pledges.iter().map(NoisePledge::len_bytes).sum::<usize>();
        match self {
            Self::SeedCall(message) => message.plan.body_len(),
            Self::EpochStart(message) => message.plan.body_len(),
            Self::KeysCall(message) => hop_keys(&message.upstream),
            Self::Keys(message) => hop_keys(&message.keys) + pledges(message.pledge.as_slice()),
            Self::DescriptorProposal(message) => hop_keys(&message.keys) + pledges(&message.pledges),
            Self::Noise(message) => message.submissions.len(),
            Self::Submissions(message) => message.submissions.len(),
            Self::InputOffer(message) => message.entries.len() + message.left_out.len(),
            Self::InputRoot(message) => message.body_len(),
            Self::Receipts(message) => message.records.len(),
            Self::NoiseClaim(message) => message.body_len(),
            Self::NoiseReceipt(message) => std::mem::size_of_val(&*message.branch.0),
            Self::NoiseAnswer(message) => message.body_len(),
            Self::Batch(message) => message.records.len(),
            Self::Proof(message) => message.proof.len() + std::mem::size_of_val(&*message.keys),
            Self::Parcel(message) => message.records.len(),
            Self::Return(message) => message.replies.len() + std::mem::size_of_val(&*message.sources),
            Self::NoiseReplies(message) => message.body_len(),
            Self::ReplyClaim(message) => message.body_len(),
            Self::ReplyAnswer(message) => message.claim.body_len() + message.shown.body_len(),
            Self::Replies(message) => message.replies.len(),
            Self::Coin(message) => std::mem::size_of_val(&*message.shares),
            Self::NoiseOpening(message) => message.body_len(),
            Self::Accusation(message) => message.len_bytes(),
            Self::TraceStep(message) => message.len_bytes(),
            Self::Charge(message) => message.evidence.len_bytes(),
            _ => 0,
        }
    }

    /// The round that a message belongs to; none for those that found an epoch.
    pub fn round(&self) -> Option<Round> {
        match self {
            Self::Hello(_)
            | Self::Peers(_)
            | Self::SeedCall(_)
            | Self::SeedCommitment(_)
            | Self::SeedCommitments(_)
            | Self::SeedReveal(_)
            | Self::EpochProposal(_)
            | Self::EpochSignature(_)
            | Self::EpochStart(_)
            | Self::AmendmentProposal(_)
            | Self::AmendmentSignature(_)
            | Self::AmendmentStart(_) => None,
            Self::KeysCall(message) => Some(message.round),
            Self::Keys(message) => Some(message.round),
            Self::DescriptorProposal(message) => Some(message.round),
            Self::DescriptorSignature(message) => Some(message.round),
            Self::Announcement(message) => Some(message.round),
            Self::Noise(message) => Some(message.stage.round),
            Self::Submissions(message) => Some(message.stage.round),
            Self::InputOffer(message) => Some(message.input.stage.round),
            Self::InputSignature(message) => Some(message.stage.round),
            Self::InputRoot(message) => Some(message.input.stage.round),
            Self::NoiseReceipt(message) => Some(message.stage.round),
            Self::Receipts(message) => Some(message.input.stage.round),
            Self::NoiseClaim(message) => Some(message.record.stage.round),
            Self::NoiseAnswer(message) => Some(message.claim.record.stage.round),
            Self::Confirmation(message) => Some(message.round),
            Self::Batch(message) => Some(message.batch.place.stage.round),
            Self::Proof(message) => Some(message.batch.place.stage.round),
            Self::Parcel(message) => Some(message.source.round),
            Self::Return(message) => Some(message.place().stage.round),
            Self::Replaced(message) => Some(message.place.stage.round),
            Self::NoiseReplies(message) => Some(message.signed.replies.place.stage.round),
            Self::ReplyClaim(message) => Some(message.record.stage.round),
            Self::ReplyAnswer(message) => Some(message.claim.record.stage.round),
            Self::Replies(message) => Some(message.stage.round),
            Self::Report(message) => Some(message.round),
            Self::Abort(message) => Some(message.stage.round),
            Self::Accusation(message) => Some(message.place.stage.round),
            Self::TraceStep(message) => Some(message.place.stage.round),
            Self::ShareCall(message) => Some(message.round),
            Self::CoinShare(message) => Some(message.round),
            Self::Coin(message) => Some(message.round),
            Self::NoiseOpening(message) => Some(message.round),
            Self::Charge(message) => Some(message.round),
        }
    }
}
