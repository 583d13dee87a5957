//! The way back of one hop: replies come in whole, are put back into the order of the batch that had been received,
//! sealed, and sent on whole. A wrong or late batch is replaced whole by random bytes, publicly.

use std::sync::Arc;

use hippodrome_crypto::{hash::Digest, merkle::Tree, permutation::Permutation, records::Records, signing::Signature};

use super::{
    Env, Notice,
    context::RoundContext,
    gate::{HeldReplies, PassedForward},
    hop::Step,
    input::Origins,
    job::{BackSecrets, SealWork, Work},
    random_records,
    replies::{KeptReturn, reply_tree},
};
use crate::{
    claim, evidence as traced,
    ids::{ChainId, Layer, Place, Position, ServerId, Stage},
    message::{
        AbortReason, BatchCommitment, Message, NoiseReplies, Replaced, Replies, ReplySource, Return, ReturnCommitment,
        SignedReturn,
    },
    reply::{self, Replacement, SignedSources},
    statement,
    submission::{Origin, ReplyRecord},
};

/// A hop's way back.
pub(crate) struct Back {
    place: Place,
    width: usize,
    origins: Option<Origins>,
    /// What the hop received, for each chain of the layer before from which some came: its own answers to it.
    received: Vec<Arc<Tree>>,
    sent: Option<(BatchCommitment, Signature)>,
    secrets: Option<BackSecrets>,
    passed: Option<PassedForward>,
    /// What was sent on, and the replies to it; nothing at the mailboxes.
    parts: Vec<Part>,
    replies: Option<Records>,
    /// What was sealed, once it was.
    sources: Vec<ReplySource>,
    sealed: Option<HeldReplies<Records>>,
    kept: Vec<KeptReturn>,
    due_ms: Option<u64>,
    done: bool,
}

/// A batch or a parcel that was sent on: where its records stood in the hop's output, and the replies to it.
struct Part {
    /// The hop that it went to.
    from: Place,
    /// The chain of this hop, if that is one of the next layer.
    to: Option<ChainId>,
    records: Arc<Tree>,
    places: Vec<usize>,
    replies: Option<Records>,
    /// From where these are.
    source: Option<ReplySource>,
}

/// A hop's replies that hold, with what there is to show of them and what the hop has replaced itself.
struct Checked {
    replies: Records,
    kept: KeptReturn,
    replaced: Vec<Replacement>,
}

impl Back {
    pub(crate) fn new(context: &RoundContext, place: Place) -> Self {
        let width = context.sizes.inner_reply(place.stage.layer.0.into(), place.position.0.into());
        Self {
            place,
            width,
            origins: None,
            received: Vec::new(),
            sent: None,
            secrets: None,
            passed: None,
            parts: Vec::new(),
            replies: None,
            sources: Vec::new(),
            sealed: None,
            kept: Vec::new(),
            due_ms: Some(context.replies_due_ms(place)),
            done: false,
        }
    }

    fn stage(&self) -> Stage {
        self.place.stage
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Where the replies to the chain's input go.
    pub(crate) fn set_origins(&mut self, origins: Origins) {
        self.origins = Some(origins);
    }

    /// What the hop received: a batch or an input, or the parcels of all open chains in order.
    pub(crate) fn set_received(&mut self, received: Vec<Arc<Tree>>) {
        self.received = received;
    }

    /// What there is to show of replies that came to this hop or left it.
    pub(crate) fn kept(&self) -> &[KeptReturn] {
        &self.kept
    }

    /// The same, when the rest of the hop goes.
    pub(crate) fn into_kept(self) -> Vec<KeptReturn> {
        self.kept
    }

    pub(crate) fn set_sent(&mut self, batch: BatchCommitment, signature: Signature) {
        self.sent = Some((batch, signature));
    }

    /// What was sent on, if a proof of it is made.
    pub(crate) fn sent(&self) -> Option<(BatchCommitment, Signature)> {
        self.sent
    }

    /// Ascending places of the records that were removed from the batch received.
    pub(crate) fn removed(&self) -> &[u32] {
        self.secrets.as_ref().map_or(&[], |secrets| &secrets.removed)
    }

    /// The prover gives the permutation back; gives what the proof is about.
    pub(crate) fn set_permutation(&mut self, permutation: Permutation) -> Option<(BatchCommitment, Signature)> {
        self.secrets.as_mut()?.permutation = Some(permutation);
        self.sent
    }

    /// The forward gate was passed.
    pub(crate) fn begin(&mut self, secrets: BackSecrets, passed: PassedForward) {
        self.secrets = Some(secrets);
        self.passed = Some(passed);
    }

    /// What places in this hop's output were made from, among the records that were not removed: for a step of a trace.
    /// None before the proof is made, once the way back has used the permutation up, or if there is no such place.
    pub(crate) fn sources_of(&self, context: &RoundContext, outputs: &[traced::Output]) -> Option<Vec<u32>> {
        let permutation = self.secrets.as_ref()?.permutation.as_ref()?;
        let next = Layer(self.stage().layer.0 + 1);
        let place = |output: &traced::Output| match output {
            traced::Output::Batch(place) => Some(*place),
            traced::Output::Parcel(chain, record) => {
                let parcel = self.parts.get(context.roster.open_index(next, *chain)?)?;
                parcel.places.get(*record as usize).map(|place| *place as u32)
            }
        };
        let outputs: Option<Vec<u32>> = outputs.iter().map(place).collect();
        permutation.sources_of(&outputs?)
    }

    pub(crate) fn set_replies(&mut self, replies: Records) {
        self.replies.get_or_insert(replies);
    }

    /// What was sent on to the next hop.
    pub(crate) fn expect_batch(&mut self, records: Arc<Tree>) {
        let from = Place { stage: self.stage(), position: Position(self.place.position.0 + 1) };
        let places = (0..records.len()).collect();
        self.parts = vec![Part { from, to: None, records, places, replies: None, source: None }];
    }

    /// What was sent on to each open chain of the next layer, with its place in the hop's output.
    pub(crate) fn expect_parcels(&mut self, context: &RoundContext, parcels: Vec<(Arc<Tree>, Vec<usize>)>) {
        let froms = reply::sealed_from(context, self.place).into_iter();
        let part = |((from, to), (records, places))| Part { from, to, records, places, replies: None, source: None };
        self.parts = froms.zip(parcels).map(part).collect();
    }

    /// Replies from a hop after this one: as they came, or, if anything about them is wrong, as many random ones. Gives
    /// what that hop has replaced itself.
    pub(crate) fn on_return(&mut self, env: &mut Env<'_>, from: ServerId, message: Return) -> Vec<Replacement> {
        let ReturnCommitment { place, to, .. } = message.signed.replies;
        let is_part = |part: &Part| (part.from, part.to) == (place, to) && part.replies.is_none();
        let Some(index) = self.parts.iter().position(is_part).filter(|_| env.context.server_at(place) == Some(from))
        else {
            return Vec::new();
        };
        let Some(Checked { replies, kept, replaced }) = self.checked(env.context, &self.parts[index], message) else {
            self.replace(env, index);
            return Vec::new();
        };
        let part = &mut self.parts[index];
        (part.replies, part.source) = (Some(replies), Some(ReplySource::Returned(kept.signed)));
        self.keep(env.context, kept);
        replaced
    }

    fn checked(&self, context: &RoundContext, part: &Part, message: Return) -> Option<Checked> {
        let Return { signed, sources, replies } = message;
        let replies = Records::from_bytes(self.width, replies).ok()?;
        let tree = Arc::new(reply_tree(&replies));
        let ReturnCommitment { count, root, answers, .. } = signed.replies;
        let answers_it = answers == *part.records.root() && replies.len() == part.records.len();
        let SignedSources { named, replaced } = reply::signed_sources(context, &signed, &sources)?;
        let holds = answers_it && count as usize == replies.len() && root == *tree.root();
        let kept = KeptReturn { signed, sources: named, records: Arc::clone(&part.records), replies: tree };
        holds.then_some(Checked { replies, kept, replaced })
    }

    /// Random bytes in place of replies that are wrong or late, which everybody hears of.
    fn replace(&mut self, env: &mut Env<'_>, index: usize) {
        env.notice(Notice::RepliesReplaced { place: self.place });
        let (place, part) = (self.place, &mut self.parts[index]);
        let from = part.from;
        let signature = env.sign(&statement::replaced(env.context.digest(), place, from));
        part.replies = Some(random_records(self.width, part.places.len(), env.rng));
        part.source = Some(ReplySource::Replaced(signature));
        env.broadcast(Message::Replaced(Replaced { place, from, signature }));
    }

    /// When the replies are due, while nothing has been done about it.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// What is due and has not come is replaced.
    pub(crate) fn on_clock(&mut self, env: &mut Env<'_>) {
        if self.due_ms.take_if(|due_ms| env.now_ms >= *due_ms).is_none() {
            return;
        }
        let missing = (0..self.parts.len()).filter(|&index| self.parts[index].replies.is_none());
        missing.collect::<Vec<_>>().into_iter().for_each(|index| self.replace(env, index));
    }

    /// Goes as far as what is there allows. Replies are there before the last layer is confirmed only if somebody made
    /// them up; they wait until then, since sealing uses up what a trace or a claim may still ask of the hop.
    pub(crate) fn progress(&mut self, env: &mut Env<'_>, is_closed: bool) -> Step {
        if is_closed {
            self.gather();
            self.seal(env);
        }
        self.release(env)
    }

    /// Puts the replies to all that was sent on into the order of the hop's output.
    fn gather(&mut self) {
        let waits = self.parts.iter().any(|part| part.replies.is_none());
        if self.replies.is_some() || self.parts.is_empty() || waits {
            return;
        }
        let count = self.parts.iter().map(|part| part.places.len()).sum();
        let mut gathered = Records::zeroed(self.width, count);
        for part in std::mem::take(&mut self.parts) {
            let replies = part.replies.iter().flat_map(Records::iter);
            part.places
                .iter()
                .zip(replies)
                .for_each(|(&place, reply)| gathered.record_mut(place).copy_from_slice(reply));
            self.sources.extend(part.source);
        }
        self.replies = Some(gathered);
    }

    /// Starts sealing: return keys and permutation are used up.
    fn seal(&mut self, env: &mut Env<'_>) {
        let ready =
            self.replies.is_some() && self.secrets.as_ref().is_some_and(|secrets| secrets.permutation.is_some());
        if !ready {
            return;
        }
        if let (Some(replies), Some(BackSecrets { returns, permutation: Some(permutation), removed, .. })) =
            (self.replies.take(), self.secrets.take())
        {
            let work = SealWork { place: self.place, returns, permutation, removed, replies };
            env.run(Some(self.stage()), Work::Seal(Box::new(work)));
        }
    }

    pub(crate) fn on_sealed(&mut self, sealed: HeldReplies<Records>) {
        self.sealed = Some(sealed);
    }

    fn release(&mut self, env: &mut Env<'_>) -> Step {
        let Some(sealed) = self.sealed.take() else { return Ok(()) };
        let Some(passed) = self.passed.take() else { return Ok(()) };
        passed.may_return(env.context, env.convictions).map_err(AbortReason::Convicted)?;
        let permit = passed.permit(env.claim(self.stage().backward())?);
        let replies = sealed.release(permit);
        self.done = true;
        match (self.place.position.0.checked_sub(1), self.origins.take()) {
            (Some(before), _) => {
                let before = Place { stage: self.stage(), position: Position(before) };
                self.send_back(env, before, None, 0, replies);
            }
            (None, Some(Origins::Authors(authors))) => self.hand_out(env, &authors, &replies),
            (None, Some(Origins::Parcels(places))) => self.send_parcels(env, &places, &replies),
            (None, None) => {}
        }
        Ok(())
    }

    fn keep(&mut self, context: &RoundContext, kept: KeptReturn) {
        if reply::may_be_made(context) {
            self.kept.push(kept);
        }
    }

    /// Signs replies to what came from some chain, and keeps what there is to show of them.
    fn sign(
        &mut self,
        env: &Env<'_>,
        to: Option<ChainId>,
        index: usize,
        replies: &Records,
    ) -> Option<(SignedReturn, Arc<Tree>)> {
        let records = Arc::clone(self.received.get(index)?);
        let tree = Arc::new(reply_tree(replies));
        let digest = env.context.digest();
        let sources: Vec<Option<Digest>> = self.sources.iter().map(|source| reply::named(digest, source)).collect();
        let (count, root, answers) = (replies.len() as u32, *tree.root(), *records.root());
        let sealed = statement::sealed(&sources);
        let replies = ReturnCommitment { place: self.place, to, count, root, answers, sealed };
        let signed = SignedReturn { replies, signature: env.sign(&statement::returned(digest, &replies)) };
        self.keep(env.context, KeptReturn { signed, sources, records, replies: Arc::clone(&tree) });
        Some((signed, tree))
    }

    fn send_back(&mut self, env: &mut Env<'_>, before: Place, to: Option<ChainId>, index: usize, replies: Records) {
        let Some(receiver) = env.context.server_at(before) else { return };
        let Some((signed, _)) = self.sign(env, to, index, &replies) else { return };
        let (sources, replies) = (self.sources.clone(), replies.into_bytes());
        env.send(receiver, Message::Return(Return { signed, sources, replies }));
    }

    /// The replies of each parcel in its order; random bytes where a record of it had been left out.
    fn send_parcels(&mut self, env: &mut Env<'_>, places: &[Vec<Option<u32>>], replies: &Records) {
        let layer = Layer(self.stage().layer.0 - 1);
        let chains = env.context.open(layer).to_vec();
        for (index, (chain, places)) in chains.into_iter().zip(places).enumerate() {
            let mut records = random_records(replies.width(), places.len(), env.rng);
            for (reply, place) in places.iter().enumerate() {
                if let Some(place) = place {
                    records.record_mut(reply).copy_from_slice(replies.record(*place as usize));
                }
            }
            let before = Place { stage: env.context.stage(layer, chain), position: env.context.last_position() };
            self.send_back(env, before, Some(chain), index, records);
        }
    }

    /// The end of the way: to the coordinator for all, and to each owner of noise its own, signed.
    fn hand_out(&mut self, env: &mut Env<'_>, authors: &[Origin], replies: &Records) {
        let records = authors.iter().zip(replies.iter()).flat_map(|(origin, reply)| {
            ReplyRecord { author: origin.author, slot: origin.slot, reply: reply.to_vec() }.encode()
        });
        env.send_coordinator(Message::Replies(Replies { stage: self.stage(), replies: records.collect() }));
        let Some((signed, tree)) = self.sign(env, None, 0, replies).filter(|_| reply::may_be_made(env.context)) else {
            return;
        };
        for &owner in env.context.clone().active() {
            let Some(own) = claim::own_places(env.context, signed.replies.count, owner) else { continue };
            let own = own.start as usize..own.end as usize;
            if let Some(branch) = tree.range(own.clone()) {
                let sources = self.sources.clone();
                let replies = own.flat_map(|index| replies.record(index).to_vec()).collect();
                env.send(owner, Message::NoiseReplies(NoiseReplies { signed, sources, branch, replies }));
            }
        }
    }
}
