//! The way back of one hop: replies come in whole, are put back into the order of the batch that had been received,
//! sealed, and sent on whole. A wrong or late batch is replaced whole by random bytes, publicly.

use hippodrome_crypto::{permutation::Permutation, records::Records, signing::Signature};

use super::{
    Env, Notice,
    context::{RoundContext, reply_root},
    gate::{HeldReplies, PassedForward},
    hop::Step,
    input::Origins,
    job::{BackSecrets, SealWork, Work},
    random_records,
};
use crate::{
    evidence as traced,
    ids::{Layer, Place, Position, ServerId, Stage},
    message::{AbortReason, BatchCommitment, Message, Replies, ReturnBatch, ReturnParcel},
    statement,
    submission::ReplyRecord,
};

/// A hop's way back.
pub(crate) struct Back {
    place: Place,
    width: usize,
    origins: Option<Origins>,
    sent: Option<(BatchCommitment, Signature)>,
    secrets: Option<BackSecrets>,
    passed: Option<PassedForward>,
    parcels: Vec<ReturningParcel>,
    replies: Option<Records>,
    sealed: Option<HeldReplies<Records>>,
    due_ms: Option<u64>,
    done: bool,
}

/// The replies to one parcel: where they belong in the chain's output, and what came.
struct ReturningParcel {
    places: Vec<usize>,
    replies: Option<Records>,
}

impl Back {
    pub(crate) fn new(context: &RoundContext, place: Place) -> Self {
        let width = context.sizes.inner_reply(place.stage.layer.0.into(), place.position.0.into());
        Self {
            place,
            width,
            origins: None,
            sent: None,
            secrets: None,
            passed: None,
            parcels: Vec::new(),
            replies: None,
            sealed: None,
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

    pub(crate) fn set_origins(&mut self, origins: Origins) {
        self.origins = Some(origins);
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
                let parcel = self.parcels.get(context.roster.open_index(next, *chain)?)?;
                parcel.places.get(*record as usize).map(|place| *place as u32)
            }
        };
        let outputs: Option<Vec<u32>> = outputs.iter().map(place).collect();
        permutation.sources_of(&outputs?)
    }

    pub(crate) fn set_replies(&mut self, replies: Records) {
        self.replies.get_or_insert(replies);
    }

    pub(crate) fn expect_parcels(&mut self, places: Vec<Vec<usize>>) {
        self.parcels = places.into_iter().map(|places| ReturningParcel { places, replies: None }).collect();
    }

    fn put_out(&self) -> Option<usize> {
        self.secrets.as_ref().map(|secrets| secrets.put_out)
    }

    /// Replies from the hop after this one.
    pub(crate) fn on_batch(&mut self, env: &mut Env<'_>, from: ServerId, message: ReturnBatch) {
        let ReturnBatch { place, root, signature, replies } = message;
        let Some(put_out) = self.put_out() else { return };
        let next = Place { stage: self.stage(), position: Position(self.place.position.0 + 1) };
        if self.replies.is_some() || place != next || env.context.server_at(next) != Some(from) {
            return;
        }
        let records = self.checked(env, from, replies, put_out, &root, &signature, |context, count| {
            statement::return_batch(context.digest(), place, count, &root)
        });
        self.replies = Some(records);
    }

    /// Replies from the first server of a chain of the next layer.
    pub(crate) fn on_parcel(&mut self, env: &mut Env<'_>, from: ServerId, message: ReturnParcel) {
        let ReturnParcel { source, destination, root, signature, replies } = message;
        let here = self.stage();
        let fits = env.context.has(source)
            && source.layer.0 == here.layer.0 + 1
            && destination == here.chain
            && env.context.first_of(source) == from;
        let index = env.context.roster.open_index(source.layer, source.chain).unwrap_or(usize::MAX);
        let Some(count) =
            self.parcels.get(index).filter(|parcel| fits && parcel.replies.is_none()).map(|p| p.places.len())
        else {
            return;
        };
        let records = self.checked(env, from, replies, count, &root, &signature, |context, count| {
            statement::return_parcel(context.digest(), source, destination, count, &root)
        });
        self.parcels[index].replies = Some(records);
    }

    /// The replies as they came, or, if anything about them is wrong, as many random ones.
    #[allow(clippy::too_many_arguments)] // one call for each of two kinds of message
    fn checked(
        &self,
        env: &mut Env<'_>,
        from: ServerId,
        replies: Vec<u8>,
        count: usize,
        root: &hippodrome_crypto::hash::Digest,
        signature: &Signature,
        signed: impl Fn(&RoundContext, usize) -> hippodrome_crypto::hash::Digest,
    ) -> Records {
        Records::from_bytes(self.width, replies)
            .ok()
            .filter(|records| records.len() == count && reply_root(records) == *root)
            .filter(|_| env.context.signed_by(from, &signed(env.context, count), signature))
            .unwrap_or_else(|| self.replacement(env, count))
    }

    fn replacement(&self, env: &mut Env<'_>, count: usize) -> Records {
        env.notice(Notice::RepliesReplaced { place: self.place });
        random_records(self.width, count, env.rng)
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
        let Some(put_out) = self.put_out() else { return };
        for index in 0..self.parcels.len() {
            if self.parcels[index].replies.is_none() {
                self.parcels[index].replies = Some(self.replacement(env, self.parcels[index].places.len()));
            }
        }
        let waits = self.replies.is_none() && self.parcels.is_empty();
        if waits && self.place.position != env.context.last_position() {
            self.replies = Some(self.replacement(env, put_out));
        }
    }

    /// Goes as far as what is there allows. Replies are there before the last layer is confirmed only if somebody made
    /// them up; they wait until then, since sealing uses up what a trace or a claim may still ask of the hop.
    pub(crate) fn progress(&mut self, env: &mut Env<'_>, is_closed: bool) -> Step {
        if is_closed {
            self.gather_parcels();
            self.seal(env);
        }
        self.release(env)
    }

    /// Puts the replies to all parcels into the order of the chain's output.
    fn gather_parcels(&mut self) {
        if self.replies.is_some()
            || self.parcels.is_empty()
            || self.parcels.iter().any(|parcel| parcel.replies.is_none())
        {
            return;
        }
        let count = self.parcels.iter().map(|parcel| parcel.places.len()).sum();
        let mut gathered = Records::zeroed(self.width, count);
        for parcel in std::mem::take(&mut self.parcels) {
            let replies = parcel.replies.iter().flat_map(Records::iter);
            parcel
                .places
                .iter()
                .zip(replies)
                .for_each(|(&place, reply)| gathered.record_mut(place).copy_from_slice(reply));
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
            (Some(before), _) => self.send_batch(env, Position(before), replies),
            (None, Some(Origins::Authors(authors))) => {
                let records = authors.iter().zip(replies.iter()).flat_map(|(origin, reply)| {
                    ReplyRecord { author: origin.author, slot: origin.slot, reply: reply.to_vec() }.encode()
                });
                let replies = Replies { stage: self.stage(), replies: records.collect() };
                env.send_coordinator(Message::Replies(replies));
            }
            (None, Some(Origins::Parcels(places))) => self.send_parcels(env, &places, &replies),
            (None, None) => {}
        }
        Ok(())
    }

    fn send_batch(&self, env: &mut Env<'_>, before: Position, replies: Records) {
        let Some(receiver) = env.context.server_at(Place { stage: self.stage(), position: before }) else { return };
        let root = reply_root(&replies);
        let signature = env.sign(&statement::return_batch(env.context.digest(), self.place, replies.len(), &root));
        let replies = replies.into_bytes();
        env.send(receiver, Message::ReturnBatch(ReturnBatch { place: self.place, root, signature, replies }));
    }

    /// The replies of each parcel in its order; random bytes where a record of it had been left out.
    fn send_parcels(&self, env: &mut Env<'_>, places: &[Vec<Option<u32>>], replies: &Records) {
        let source = self.stage();
        let destinations = env.context.open(Layer(source.layer.0 - 1)).to_vec();
        for (destination, places) in destinations.into_iter().zip(places) {
            let mut records = random_records(replies.width(), places.len(), env.rng);
            for (reply, place) in places.iter().enumerate() {
                if let Some(place) = place {
                    records.record_mut(reply).copy_from_slice(replies.record(*place as usize));
                }
            }
            let root = reply_root(&records);
            let signed = statement::return_parcel(env.context.digest(), source, destination, records.len(), &root);
            let signature = env.sign(&signed);
            let receiver = env.context.last_of(env.context.stage(Layer(source.layer.0 - 1), destination));
            let replies = records.into_bytes();
            let parcel = ReturnParcel { source, destination, root, signature, replies };
            env.send(receiver, Message::ReturnParcel(parcel));
        }
    }
}
