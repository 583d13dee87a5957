//! One hop: a server's turn in one chain of one round, from the chain's input to the release of its batch. The way back
//! is in [`super::back`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hippodrome_crypto::{
    hash::Digest,
    hop::HopSecret,
    key_list::KeyList,
    merkle::{self, Tree},
    records::Records,
    shuffle::{Precomputed, VerifiedHop},
    signing::Signature,
};

use super::{
    Env,
    back::Back,
    blame::{KeptHop, Origin as Source, Stepping},
    claims::signed_batch,
    confirm::{ConfirmedLayer, Confirming, the_one},
    context::RoundContext,
    distribute::Distribution,
    gate::{Checked, Checks, Linked, Received, Remainder, Shut, remove},
    input::{Assembled, CheckedOffer, CheckedSubmission, InputLists, KeptParcel, NoInput, Origins, SignedInput},
    intake::Intake,
    job::{Incoming, MixWork, MixedBatch, Output, Prover, StuckBatch, VerifyWork, Work},
    replies::KeptReturn,
};
use crate::{
    claim::{self, Step as ClaimedStep},
    evidence::{
        BadProof, Evidence, Judged, SignedStatement, Statement, Trace, Trail, Unlinked, before, proof_is_signed,
        removal, rules, source_fits,
    },
    ids::{Author, ChainId, Layer, Place, Position, ServerId, Stage},
    message::{
        AbortReason, Awaited, Batch, BatchCommitment, InputCommitment, InputOffer, InputRoot, InputSignature, Message,
        Missing, NoiseReceipt, Parcel, ParcelCommitment, Proof, Receipts, ShownPart, SignedBatch, Submissions,
    },
    params::Verification,
    statement,
    submission::{Origin, ReceiptRecord},
};

/// A step of a hop fails with the reason for which the server ends the round.
pub(crate) type Step = Result<(), AbortReason>;

/// A server's turn in a chain.
pub(crate) struct Hop {
    place: Place,
    secret: Option<HopSecret>,
    pub(crate) shows: Option<KeptHop>,
    prepared: Option<Precomputed>,
    entry: EntryState,
    input_keys: Option<Arc<KeyList>>,
    batch_taken: bool,
    received: Option<Received>,
    batch_keys: Option<Arc<KeyList>>,
    upstream: Vec<Upstream>,
    forward: Forward,
    pub(crate) back: Back,
    signatures: InputSignatures,
    accused: bool,
    pub(crate) hops_verified: u32,
}

/// Whether every signature of the chain's input has been checked, as it must be before anything is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InputSignatures {
    Unchecked,
    BeingChecked,
    Hold,
}

/// How far the chain's input is.
#[derive(Default)]
struct EntryState {
    intake: Intake,
    parcels: Vec<Parcel>,
    kept: Kept,
    signed_parcels: BTreeMap<ChainId, SignedStatement>,
    /// Chains whose parcel has come, but not the trail, if any, of what was removed from it.
    unexplained: BTreeSet<ChainId>,
    kept_parcels: Arc<Vec<KeptParcel>>,
    /// Later layers, at the first server: the parcel and the place in it of each record of the input.
    places: Arc<Vec<(u16, u32)>>,
    offered: Option<InputCommitment>,
    /// The first server's signature on it.
    offer_signature: Option<Signature>,
    entries: Arc<Vec<u8>>,
    signatures: BTreeMap<ServerId, Signature>,
    /// What is published once all members have signed.
    assembled: Option<Published>,
}

/// What a hop keeps to answer claims with, nothing of it secret.
#[derive(Default)]
pub(crate) struct Kept {
    /// At a first server: the parcels that its input was made of, until the layer is confirmed.
    parcels: Option<Arc<Vec<Parcel>>>,
    /// At a first server: the tree over the input of a layer between the first and the last.
    tree: Option<Arc<Tree>>,
    /// What it received from the hop before, until the next layer is confirmed.
    received: Option<(SignedBatch, Arc<KeyList>, Arc<Records>)>,
    /// What it put out, until then.
    sent: Option<(SignedBatch, Arc<Tree>)>,
}

impl Kept {
    /// The parcel in which a record should have come.
    pub(crate) fn parcel(&self, step: &ClaimedStep) -> Option<ShownPart> {
        let parcel = self.parcels.as_ref()?.iter().find(|parcel| parcel.source == step.source)?;
        Some(ShownPart::Parcel(parcel.clone()))
    }

    /// Where a record came into the chain's input.
    pub(crate) fn entered(&self, step: &ClaimedStep) -> Option<ShownPart> {
        let (tree, leaf) = (self.tree.as_ref()?, step.input_leaf());
        let index = tree.leaves().iter().position(|other| *other == leaf)?;
        let path = tree.inclusion(index)?;
        Some(ShownPart::Input { stage: step.destination, index: index as u32, path })
    }

    /// The record as the hop put it out; if it did not, what it received in its place.
    pub(crate) fn passed(&self, step: &ClaimedStep) -> Option<ShownPart> {
        self.put_out(step).or_else(|| self.given(step))
    }

    fn put_out(&self, step: &ClaimedStep) -> Option<ShownPart> {
        let (signed, tree) = self.sent.as_ref()?;
        let (key, body) = step.output(signed.batch.place.position.0.into())?;
        let leaf = merkle::leaf(key, body);
        let index = tree.leaves().iter().position(|other| *other == leaf)?;
        Some(ShownPart::Batch { signed: *signed, index: index as u32, body: *body, path: tree.inclusion(index)? })
    }

    fn given(&self, step: &ClaimedStep) -> Option<ShownPart> {
        let (signed, keys, bodies) = self.received.as_ref()?;
        let (key, _) = step.output(signed.batch.place.position.0.into())?;
        let index = keys.keys().iter().position(|other| other.encoded() == key)?;
        let hashes: Vec<Digest> = bodies.iter().map(merkle::body_hash).collect();
        let leaves = keys.keys().iter().zip(&hashes).map(|(key, body)| merkle::leaf(key.encoded(), body));
        let path = Tree::new(leaves.collect()).inclusion(index)?;
        Some(ShownPart::Batch { signed: *signed, index: index as u32, body: hashes[index], path })
    }
}

/// What a first server keeps of its input until all members have signed it.
struct Published {
    lists: InputLists,
    origins: Vec<Origin>,
    tree: Arc<Tree>,
}

/// What is known of one hop before this one.
#[derive(Default)]
pub(crate) struct Upstream {
    pub(crate) batch: Option<SignedBatch>,
    keys: Option<Arc<KeyList>>,
    /// What it worked on: the keys before it, less those that were removed.
    entering: Option<Arc<KeyList>>,
    proof: Option<Proof>,
    /// The proof is verified, or being so: a later copy is not verified again.
    proof_taken: bool,
    checks: Checks,
}

impl Upstream {
    /// The keys that the hop worked on, of those before it: where records were removed, what is left by the complete
    /// trail. It is worked out once, since every step of the round asks for it. A trail of all records needs no word of the
    /// hop: who has nothing left to mix proves nothing, so that hops further on than the next hear nothing of it.
    pub(crate) fn entering(&mut self, before: &Arc<KeyList>, trail: Option<&Trail>) -> Option<Arc<KeyList>> {
        let removed = match &self.batch {
            Some(signed) => signed.batch.removed,
            None => trail.filter(|trail| trail.indices().len() == before.len())?.removed(),
        };
        if self.entering.is_none() && removed == statement::no_removals() {
            self.entering = Some(Arc::clone(before));
        } else if self.entering.is_none() {
            let (rest, remainder) = remove(trail.filter(|trail| trail.removed() == removed)?, before);
            self.checks.remainder = Some(remainder);
            self.entering = Some(Arc::new(rest));
        }
        self.entering.clone()
    }
}

/// A message about a chain from a server that has no such part in it changes nothing: only members can fail a chain.
fn ignore_stranger(env: &mut Env<'_>) -> Step {
    env.notice(super::Notice::Ignored { what: "a message from a server that has no such part in the chain" });
    Ok(())
}

/// How far the batch is.
enum Forward {
    Waiting,
    Mixing,
    /// Records of the batch failed; it waits for their trail.
    Stuck(Box<StuckBatch>),
    Held(Box<MixedBatch>),
    Released,
}

impl Hop {
    pub(crate) fn new(context: &RoundContext, place: Place, secret: HopSecret) -> Self {
        Self {
            place,
            secret: Some(secret),
            shows: None,
            prepared: None,
            entry: EntryState::default(),
            input_keys: None,
            batch_taken: false,
            received: None,
            batch_keys: None,
            upstream: (0..place.position.0).map(|_| Upstream::default()).collect(),
            forward: Forward::Waiting,
            back: Back::new(context, place),
            signatures: if place.position.0 == 0 { InputSignatures::Hold } else { InputSignatures::Unchecked },
            accused: false,
            hops_verified: 0,
        }
    }

    fn stage(&self) -> Stage {
        self.place.stage
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    fn is_first(&self) -> bool {
        self.place.position.0 == 0
    }

    /// Work that can be done before the batch is there: the proof's offline part.
    pub(crate) fn prepare(&self, env: &mut Env<'_>) {
        let params = env.context.params();
        if params.verification == Verification::Full && self.place.position != env.context.last_position() {
            let noise = env.context.roster.noise_per_chain() as usize * env.context.active().len();
            let clients = env.context.roster.epoch().plan().registry.len() * usize::from(params.slots);
            // The registry is the coordinator's, the limit is the network's.
            let count = (noise + clients.div_ceil(env.context.open(self.stage().layer).len().max(1)))
                .min(params.max_batch as usize);
            env.run(Some(self.stage()), Work::Prepare(count));
        }
    }

    pub(crate) fn on_prepared(&mut self, prepared: Precomputed) {
        self.prepared = Some(prepared);
    }

    // The chain's input, at its first server.

    pub(crate) fn on_submissions(&mut self, env: &mut Env<'_>, submissions: Submissions) -> Step {
        let Submissions { part, is_last, submissions, .. } = submissions;
        let records = Records::from_bytes(env.context.sizes.submission, submissions);
        let is_input = self.is_first() && self.stage().layer == Layer(0);
        // As many as enter, and room for some that do not.
        let limit = 2 * env.context.params().max_batch as usize;
        match records {
            Ok(records) if is_input && self.entry.intake.expect(part, is_last, records.len(), limit) => {
                env.run(Some(self.stage()), Work::CheckSubmissions(part, records));
            }
            // The coordinator is trusted with nothing: what it sends twice or cut short is as if not sent.
            _ => env.notice(super::Notice::Ignored { what: "submissions that are cut short, repeated or misplaced" }),
        }
        Ok(())
    }

    pub(crate) fn on_submissions_checked(
        &mut self,
        env: &mut Env<'_>,
        part: u32,
        checked: Vec<CheckedSubmission>,
    ) -> Step {
        self.entry.intake.put(part, checked);
        if let Some(checked) = self.entry.intake.complete() {
            let convicted = env.convictions.of_epoch(env.context);
            env.run(Some(self.stage()), Work::AssembleSubmissions(checked, convicted));
        }
        Ok(())
    }

    pub(crate) fn on_parcel(&mut self, env: &mut Env<'_>, from: ServerId, parcel: Parcel) -> Step {
        let stage = self.stage();
        let width = env.context.sizes.parcel_record(stage.layer.0.into());
        let count = parcel.records.len() / width;
        let may_send = self.is_first()
            && env.context.has(parcel.source)
            && parcel.source.layer.0 + 1 == stage.layer.0
            && env.context.last_of(parcel.source) == from;
        if !may_send {
            return ignore_stranger(env);
        }
        let fits = parcel.records.len().is_multiple_of(width)
            && count <= rules::layer_limit(env.context, parcel.source.layer) as usize
            && parcel.destination == stage.chain
            && rules::parcel_batch_fits(env.context, &parcel);
        let Some(commitment) = rules::parcel_commitment(env.context, &parcel) else { return ignore_stranger(env) };
        let is_signed = statement::parcel(env.context.digest(), &commitment);
        if !fits || !env.context.signed_by(from, &is_signed, &parcel.signature) {
            return Err(AbortReason::BadMessage(from));
        }
        let statement = Statement::Parcel(commitment);
        let signed = SignedStatement { signer: from, statement, signature: parcel.signature };
        if let Some(earlier) = self.entry.signed_parcels.get(&parcel.source.chain) {
            let earlier = *earlier;
            return if earlier.statement == statement { Ok(()) } else { env.contradiction(earlier, signed) };
        }
        self.entry.signed_parcels.insert(parcel.source.chain, signed);
        self.entry.parcels.push(parcel);
        Ok(())
    }

    /// Puts the input together once all parcels are there, each made from what it says: a sender that could sign any origin
    /// would be guilty of nothing that it drops.
    fn gather(&mut self, env: &mut Env<'_>, trails: &BTreeMap<Place, Trail>) -> Step {
        let stage = self.stage();
        let unexplained = self.entry.parcels.iter().filter(|parcel| !is_explained(env.context, parcel, trails));
        self.entry.unexplained = unexplained.map(|parcel| parcel.source.chain).collect();
        let Some(layer) = stage.layer.0.checked_sub(1).map(Layer) else { return Ok(()) };
        if self.entry.parcels.len() < env.context.open(layer).len() || !self.entry.unexplained.is_empty() {
            return Ok(());
        }
        let mut parcels = std::mem::take(&mut self.entry.parcels);
        parcels.sort_unstable_by_key(|parcel| parcel.source.chain);
        let width = env.context.sizes.parcel_record(stage.layer.0.into());
        let total: usize = parcels.iter().map(|parcel| parcel.records.len() / width).sum();
        if total > rules::layer_limit(env.context, stage.layer) as usize {
            // Each is within its own limit, so nobody is to blame; no member would sign this input.
            return Err(AbortReason::Deadline(Awaited::Input.into()));
        }
        let parcels = Arc::new(parcels);
        self.entry.kept.parcels = Some(Arc::clone(&parcels));
        env.run(Some(stage), Work::AssembleParcels(parcels));
        Ok(())
    }

    pub(crate) fn on_assembled(&mut self, env: &mut Env<'_>, assembled: Result<Assembled, NoInput>) -> Step {
        let assembled = assembled.map_err(|none| match none {
            NoInput::NotWhatWasSigned(sender) => AbortReason::BadMessage(sender),
            NoInput::BadParcel(judged) => env.judged(*judged, AbortReason::BadMessage),
            NoInput::NoiseLeftOut(owner) => AbortReason::NoiseLeftOut(owner),
        })?;
        let Assembled { input, keys, bodies, entries, left_out, lists, origins, tree, parcels } = assembled;
        let authors = match &origins {
            Origins::Authors(authors) => authors.clone(),
            Origins::Parcels(places) => {
                self.entry.places = Arc::new(places_of(places, keys.len()));
                Vec::new()
            }
        };
        let trees = match self.stage().layer {
            Layer(0) => vec![Arc::clone(&tree)],
            _ => parcels.iter().map(|parcel| Arc::clone(&parcel.tree)).collect(),
        };
        self.entry.kept_parcels = Arc::new(parcels);
        self.entry.entries = Arc::new(entries.clone());
        self.entry.assembled = Some(Published { lists, origins: authors, tree });
        self.back.set_origins(origins);
        let signature = self.sign_input(env, input)?;
        self.entry.offer_signature = Some(signature);
        self.input_keys = Some(Arc::clone(&keys));
        for &member in env.context.clone().members(self.stage()) {
            if member != env.context.me {
                let (entries, left_out) = (entries.clone(), left_out.entries.clone());
                env.send(member, Message::InputOffer(InputOffer { input, signature, entries, left_out }));
            }
        }
        let received = Received { place: self.place, count: keys.len(), root: input.root, keys: *keys.digest() };
        self.mix(env, Incoming { received, keys, bodies, trees });
        self.publish_input(env);
        Ok(())
    }

    fn sign_input(&mut self, env: &mut Env<'_>, input: InputCommitment) -> Result<Signature, AbortReason> {
        let _once = env.claim(self.stage().input())?;
        let signature = env.sign(&statement::input(env.context.digest(), &input));
        self.entry.offered = Some(input);
        self.entry.signatures.insert(env.context.me, signature);
        Ok(signature)
    }

    pub(crate) fn on_input_signature(&mut self, env: &mut Env<'_>, from: ServerId, message: InputSignature) -> Step {
        let Some(input) = self.entry.offered.filter(|_| self.is_first()) else { return Ok(()) };
        let signed = statement::input(env.context.digest(), &input);
        if env.context.members(self.stage()).contains(&from) && env.context.signed_by(from, &signed, &message.signature)
        {
            self.entry.signatures.insert(from, message.signature);
            self.publish_input(env);
        }
        Ok(())
    }

    /// Sends the input to all servers once every member has signed it; in layer 0 with a branch for the owners of noise,
    /// and to the coordinator with the leaves, so that clients can be shown theirs.
    fn publish_input(&mut self, env: &mut Env<'_>) {
        let members = env.context.members(self.stage());
        let signatures: Option<Vec<Signature>> =
            members.iter().map(|member| self.entry.signatures.get(member).copied()).collect();
        if let (Some(input), Some(signatures)) = (self.entry.offered, signatures)
            && let Some(Published { lists, origins, tree }) = self.entry.assembled.take()
        {
            let is_middle = input.stage.layer > Layer(0) && input.stage.layer < env.context.last_layer();
            let InputLists { fingerprints, left_out } = lists;
            if input.stage.layer == Layer(0) {
                self.send_receipts(env, input, signatures.clone(), &origins, &tree);
            }
            env.broadcast(Message::InputRoot(InputRoot { input, signatures, fingerprints, left_out }));
            self.entry.kept.tree = is_middle.then_some(tree);
        }
    }

    fn send_receipts(
        &self,
        env: &mut Env<'_>,
        input: InputCommitment,
        signatures: Vec<Signature>,
        origins: &[Origin],
        tree: &Tree,
    ) {
        let stage = self.stage();
        let clients = origins.partition_point(|origin| matches!(origin.author, Author::Client(_)));
        // Authors ascend, so that what is left are the servers, each with all its slots.
        let per_server = (env.context.roster.noise_per_chain() as usize).max(1);
        for (index, noise) in origins[clients..].chunks(per_server).enumerate() {
            let start = clients + index * per_server;
            if let (Some(branch), Author::Server(owner)) = (tree.range(start..start + noise.len()), noise[0].author) {
                env.send(owner, Message::NoiseReceipt(NoiseReceipt { stage, start: start as u32, branch }));
            }
        }
        let records = origins.iter().zip(tree.leaves()).flat_map(|(origin, leaf)| {
            ReceiptRecord { author: origin.author, slot: origin.slot, leaf: *leaf }.encode()
        });
        let records = records.collect();
        env.send_coordinator(Message::Receipts(Receipts { input, signatures, records }));
    }

    /// What this first server has to answer claims with.
    pub(crate) fn kept(&self) -> &Kept {
        &self.entry.kept
    }

    /// What it has to answer claims with, when the rest of the hop goes: of the records, and of the replies.
    pub(crate) fn into_kept(self) -> (Kept, Vec<KeptReturn>) {
        (self.entry.kept, self.back.into_kept())
    }

    /// What others have signed to this hop: batches upstream, and parcels.
    pub(crate) fn has_signed(&self, context: &RoundContext) -> Vec<SignedStatement> {
        let batches = self.upstream.iter().filter_map(|upstream| signed_batch(context, &upstream.batch?));
        batches.chain(self.entry.signed_parcels.values().copied()).collect()
    }

    /// A layer is confirmed: no claim can be made of its inputs any more.
    pub(crate) fn forget(&mut self, confirmed: Layer) {
        let kept = &mut self.entry.kept;
        if self.place.stage.layer == confirmed {
            kept.parcels = None;
        } else if self.place.stage.layer < confirmed {
            (kept.received, kept.sent) = (None, None);
        }
    }

    // The chain's input, at its other members.

    pub(crate) fn on_offer(&mut self, env: &mut Env<'_>, from: ServerId, offer: InputOffer) -> Step {
        let first = env.context.first_of(self.stage());
        let signed = statement::input(env.context.digest(), &offer.input);
        if from != first {
            return ignore_stranger(env);
        }
        if !env.context.signed_by(first, &signed, &offer.signature) {
            return Err(AbortReason::BadMessage(from));
        }
        match (self.entry.offered, self.entry.offer_signature) {
            (Some(earlier), _) if earlier == offer.input => Ok(()),
            (Some(earlier), Some(signature)) => {
                let signed =
                    |input, signature| SignedStatement { signer: from, statement: Statement::Input(input), signature };
                env.contradiction(signed(earlier, signature), signed(offer.input, offer.signature))
            }
            _ => {
                self.entry.offered = Some(offer.input);
                self.entry.offer_signature = Some(offer.signature);
                self.entry.entries = Arc::new(offer.entries.clone());
                env.run(Some(self.stage()), Work::CheckOffer(Box::new(offer)));
                Ok(())
            }
        }
    }

    pub(crate) fn on_offer_checked(
        &mut self,
        env: &mut Env<'_>,
        input: InputCommitment,
        checked: Result<CheckedOffer, Option<Box<Judged>>>,
    ) -> Step {
        let first = env.context.first_of(self.stage());
        let CheckedOffer { keys } = checked.map_err(|judged| match judged {
            Some(judged) => env.judged(*judged, AbortReason::BadMessage),
            None => AbortReason::BadMessage(first),
        })?;
        self.input_keys = Some(Arc::new(keys));
        let signature = self.sign_input(env, input)?;
        env.send(first, Message::InputSignature(InputSignature { stage: self.stage(), signature }));
        Ok(())
    }

    // The batch.

    pub(crate) fn on_batch(&mut self, env: &mut Env<'_>, from: ServerId, message: Batch) -> Step {
        let Batch { batch, signature, records } = message;
        if !self.is_of_upstream(env, from, &batch) {
            return ignore_stranger(env);
        }
        self.take_commitment(env, from, SignedBatch { batch, signature })?;
        if batch.place.position.0 + 1 != self.place.position.0 {
            return Err(AbortReason::BadMessage(from));
        }
        if std::mem::replace(&mut self.batch_taken, true) {
            return Ok(());
        }
        let width = env.context.sizes.record(self.stage().layer.0.into(), self.place.position.0.into());
        let count = batch.count.min(rules::layer_limit(env.context, self.stage().layer));
        if records.len() != width * count as usize || count != batch.count {
            return Err(AbortReason::BadMessage(from));
        }
        env.run(Some(self.stage()), Work::Decode(Box::new(Batch { batch, signature, records })));
        Ok(())
    }

    pub(crate) fn on_decoded(
        &mut self,
        env: &mut Env<'_>,
        batch: BatchCommitment,
        decoded: Result<Incoming, Option<Box<Judged>>>,
    ) -> Step {
        let sender = env.context.server_at(batch.place).unwrap_or(env.context.me);
        let incoming = decoded.map_err(|judged| match judged {
            Some(judged) => env.judged(*judged, AbortReason::BadMessage),
            None => AbortReason::BadMessage(sender),
        })?;
        self.upstream[usize::from(batch.place.position.0)].keys = Some(Arc::clone(&incoming.keys));
        self.mix(env, incoming);
        Ok(())
    }

    /// Starts mixing: computing early is allowed, only letting out is gated. The secret is used up, but for what a
    /// trace may ask for.
    fn mix(&mut self, env: &mut Env<'_>, incoming: Incoming) {
        let Some(secret) = self.secret.take() else { return };
        let Incoming { received, keys, bodies, trees } = incoming;
        self.back.set_received(trees);
        let (secret, bodies) = (Arc::new(secret), Arc::new(bodies));
        self.received = Some(received);
        self.batch_keys = Some(Arc::clone(&keys));
        self.shows = Some(KeptHop::new(Arc::clone(&secret), self.place, Arc::clone(&keys), Arc::clone(&bodies)));
        if let Some(before) = before(self.place).filter(|_| claim::may_be_made(env.context))
            && let Some(signed) = self.upstream[usize::from(before.position.0)].batch
            && self.stage().layer < env.context.last_layer()
        {
            self.entry.kept.received = Some((signed, Arc::clone(&keys), Arc::clone(&bodies)));
        }
        self.forward = Forward::Mixing;
        let prepared = self.prepared.take();
        let work = MixWork { place: self.place, secret, received, keys, bodies, prepared };
        env.run(Some(self.stage()), Work::Mix(Box::new(work)));
    }

    pub(crate) fn on_mixed(&mut self, mixed: Box<MixedBatch>) {
        if let Forward::Mixing = self.forward {
            if let Some(kept) = &mut self.shows {
                kept.set_removed(mixed.back.removed.clone());
            }
            self.forward = Forward::Held(mixed);
        }
    }

    pub(crate) fn on_stuck(&mut self, stuck: Box<StuckBatch>) {
        if let Forward::Mixing = self.forward {
            self.forward = Forward::Stuck(stuck);
        }
    }

    // The proofs upstream.

    /// Whether a batch is of a hop before this one, from the server that stands there.
    fn is_of_upstream(&self, env: &Env<'_>, from: ServerId, batch: &BatchCommitment) -> bool {
        let Place { stage, position } = batch.place;
        stage == self.stage() && position < self.place.position && env.context.server_at(batch.place) == Some(from)
    }

    /// Notes what a hop before this one signed; a second, different batch convicts it.
    fn take_commitment(&mut self, env: &mut Env<'_>, from: ServerId, signed: SignedBatch) -> Step {
        let upstream = self
            .upstream
            .get_mut(usize::from(signed.batch.place.position.0))
            .filter(|_| env.context.batch_is_signed(&signed))
            .ok_or(AbortReason::BadMessage(from))?;
        match upstream.batch {
            Some(earlier) if earlier.batch != signed.batch => {
                let statement = |SignedBatch { batch, signature }| SignedStatement {
                    signer: from,
                    statement: Statement::Batch(batch),
                    signature,
                };
                env.contradiction(statement(earlier), statement(signed))
            }
            _ => {
                upstream.batch = Some(signed);
                Ok(())
            }
        }
    }

    pub(crate) fn on_proof(&mut self, env: &mut Env<'_>, from: ServerId, message: Proof) -> Step {
        let place = message.batch.place;
        if !self.is_of_upstream(env, from, &message.batch) {
            return ignore_stranger(env);
        }
        self.take_commitment(env, from, SignedBatch { batch: message.batch, signature: message.signature })?;
        if !proof_is_signed(env.context, from, &message) {
            return Err(AbortReason::BadMessage(from));
        }
        if !source_fits(env.context, &message) {
            let bad = BadProof { proof: message, inputs: Vec::new() };
            return env.prove(Evidence::BadProof(Box::new(bad)), AbortReason::BadProof);
        }
        if let (Some(source), Some(before)) = (message.source, before(place)) {
            let signer = env.context.server_at(before).unwrap_or(from);
            self.take_commitment(env, signer, source)?;
        }
        if place.position.0 == 0 {
            self.check_first_hop(env, SignedBatch { batch: message.batch, signature: message.signature })?;
        }
        let upstream = &mut self.upstream[usize::from(place.position.0)];
        if !message.keys.is_empty() && upstream.keys.is_none() {
            let keys = KeyList::new(message.keys.clone());
            // The keys are under no signature but that of the batch: whoever altered them, it shows nothing.
            if *keys.digest() != message.batch.keys {
                return Err(AbortReason::BadMessage(from));
            }
            upstream.keys = Some(Arc::new(keys));
        }
        if !upstream.proof_taken {
            upstream.proof.get_or_insert(message);
        }
        Ok(())
    }

    /// The first hop's input is what it signed as the chain's first server.
    fn check_first_hop(&self, env: &mut Env<'_>, batch: SignedBatch) -> Step {
        let (Some(input), Some(signature)) = (self.entry.offered, self.entry.offer_signature) else { return Ok(()) };
        let unlinked = Unlinked { input, signature, batch };
        if unlinked.links(env.context.verification()) {
            return Ok(());
        }
        env.prove(Evidence::Unlinked(Box::new(unlinked)), AbortReason::BadProof)
    }

    /// Starts every verification whose two lists are there. Where records were removed, the list that went in is the
    /// one before without those whose trail is complete.
    fn verify_upstream(&mut self, env: &mut Env<'_>, trails: &BTreeMap<Place, Trail>) {
        let mut before = self.input_keys.clone();
        for (index, upstream) in self.upstream.iter_mut().enumerate() {
            let place = Place { stage: self.place.stage, position: Position(index as u8) };
            let entering = before.as_ref().and_then(|keys| upstream.entering(keys, trails.get(&place)));
            let Some(SignedBatch { batch, .. }) = upstream.batch else { return };
            if let (Some(inputs), Some(outputs)) = (entering, upstream.keys.clone())
                && *inputs.digest() == batch.source_keys
                && let Some(proof) = upstream.proof.take()
            {
                upstream.proof_taken = true;
                env.run(Some(place.stage), Work::Verify(Box::new(VerifyWork { inputs, outputs, proof })));
            }
            before.clone_from(&upstream.keys);
        }
    }

    pub(crate) fn on_verified(
        &mut self,
        env: &mut Env<'_>,
        position: Position,
        verified: Result<Box<VerifiedHop>, Box<Judged>>,
    ) -> Step {
        let verified = verified.map_err(|judged| env.judged(*judged, AbortReason::BadProof))?;
        self.upstream[usize::from(position.0)].checks.verified = Some(*verified);
        self.hops_verified += 1;
        Ok(())
    }

    /// All hops before this one, if nothing of them is missing any more.
    fn linked(&self, env: &Env<'_>, input: &SignedInput) -> Option<Result<Linked, AbortReason>> {
        let received = self.received?;
        let unproven = env.context.verification() == Verification::None || input.commitment().count == 0;
        // Behind a hop at which everything was removed there is nothing that could be proven.
        let is_left = |upstream: &&Upstream| !upstream.checks.remainder.as_ref().is_some_and(Remainder::is_empty);
        let is_checked = |upstream: &Upstream| {
            upstream.checks.verified.is_some() || upstream.batch.is_some_and(|signed| signed.batch.count == 0)
        };
        if !unproven && !self.upstream.iter().take_while(is_left).all(is_checked) {
            return None;
        }
        let hops: Vec<Checks> = self.upstream.iter().map(|upstream| upstream.checks.clone()).collect();
        let linked = Linked::new(env.context, input.clone(), &hops, received);
        Some(linked.map_err(|unlinked| AbortReason::BadProof(unlinked.0)))
    }

    // The gate.

    /// Goes as far as what is there allows; the way back only once the last layer is confirmed, `is_closed`.
    pub(crate) fn progress(
        &mut self,
        env: &mut Env<'_>,
        confirming: &Confirming,
        confirmed: Option<&ConfirmedLayer>,
        trails: &BTreeMap<Place, Trail>,
        is_closed: bool,
    ) -> Step {
        self.gather(env, trails)?;
        self.verify_upstream(env, trails);
        if let (Forward::Held(_) | Forward::Stuck(_), Some(layer), Some(input)) =
            (&self.forward, confirmed, confirming.input(self.stage().chain))
            && let Some(linked) = self.linked(env, input)
        {
            let (linked, trail) = (linked?, trails.get(&self.place));
            match &self.forward {
                Forward::Stuck(_) => self.unstick(env, layer, &linked, trail)?,
                _ => self.release(env, layer, &linked, trail)?,
            }
        }
        self.back.progress(env, is_closed)
    }

    /// Gets on with records that failed: first every signature of the chain's input is checked, then all of them are
    /// accused at once, and when their trail is complete the batch is shuffled without them.
    fn unstick(&mut self, env: &mut Env<'_>, layer: &ConfirmedLayer, linked: &Linked, trail: Option<&Trail>) -> Step {
        if env.context.verification() != Verification::Full {
            return Err(AbortReason::LayerDidNotOpen);
        }
        if let Some(convicted) = env.convictions.active(env.context) {
            return Err(AbortReason::Convicted(convicted));
        }
        if !linked.is_confirmed(layer) {
            return Err(AbortReason::BadMessage(env.context.first_of(self.place.stage)));
        }
        if trail.is_some() {
            if let Forward::Stuck(stuck) = std::mem::replace(&mut self.forward, Forward::Mixing) {
                env.run(Some(self.stage()), Work::Shuffle(stuck));
            }
        } else if self.signatures_hold(env) && !self.accused {
            let origin = self.origin(linked.input());
            if let (Forward::Stuck(stuck), Some(kept), Some(origin)) = (&self.forward, &self.shows, origin) {
                let accusing = kept.accuse(origin, stuck.wrong_tags(), stuck.malformed());
                self.accused = true;
                let key = Arc::clone(env.key);
                env.run(Some(self.stage()), Work::Accuse(Box::new(accusing), key));
            }
        }
        Ok(())
    }

    /// Whether every signature of the chain's input holds; starts to check them if nobody has asked before.
    fn signatures_hold(&mut self, env: &mut Env<'_>) -> bool {
        if let (InputSignatures::Unchecked, Some(input), Some(signature)) =
            (self.signatures, self.entry.offered, self.entry.offer_signature)
        {
            self.signatures = InputSignatures::BeingChecked;
            let entries = self.entry.entries.to_vec();
            let offer = InputOffer { input, signature, entries, left_out: Vec::new() };
            env.run(Some(self.stage()), Work::CheckSignatures(Box::new(offer)));
        }
        self.signatures == InputSignatures::Hold
    }

    pub(crate) fn on_signatures_checked(&mut self, env: &mut Env<'_>, checked: Result<(), Box<Judged>>) -> Step {
        checked.map_err(|judged| env.judged(*judged, AbortReason::BadMessage))?;
        self.signatures = InputSignatures::Hold;
        Ok(())
    }

    /// What shows where the records of this hop's input came from.
    fn origin(&self, input: &SignedInput) -> Option<Source> {
        if let Some(before) = before(self.place) {
            return self.upstream[usize::from(before.position.0)].batch.map(Source::Batch);
        }
        let (input, entries) = (input.agreed().clone(), Arc::clone(&self.entry.entries));
        Some(if self.stage().layer == Layer(0) {
            Source::Submissions { input, entries }
        } else {
            let (parcels, places) = (Arc::clone(&self.entry.kept_parcels), Arc::clone(&self.entry.places));
            Source::Parcels { input, entries, parcels, places }
        })
    }

    /// The step that a trace asks for, if it may be shown: this hop has passed its own forward gate, for which it has
    /// checked every proof upstream, and every signature of the chain's input holds.
    pub(crate) fn step(&mut self, env: &mut Env<'_>, input: &SignedInput, trace: &Trace) -> Option<Stepping> {
        if !matches!(self.forward, Forward::Released) || !self.signatures_hold(env) {
            return None;
        }
        let origin = self.origin(input)?;
        let (back, context) = (&self.back, Arc::clone(env.context));
        self.shows.as_ref()?.step(trace, origin, |outputs| back.sources_of(&context, &outputs))
    }

    fn release(&mut self, env: &mut Env<'_>, layer: &ConfirmedLayer, linked: &Linked, trail: Option<&Trail>) -> Step {
        let Forward::Held(mixed) = std::mem::replace(&mut self.forward, Forward::Released) else { return Ok(()) };
        let MixedBatch { output, back, prover } = *mixed;
        let checked = Checked::forward(env.context, layer, linked, &output, trail, env.convictions).map_err(
            |shut| match shut {
                Shut::LayerDidNotOpen => AbortReason::LayerDidNotOpen,
                Shut::NotConfirmed => AbortReason::BadMessage(env.context.first_of(self.place.stage)),
                Shut::Convicted(member) => AbortReason::Convicted(member),
            },
        )?;
        let permit = checked.permit(env.claim(self.stage().forward())?);
        let (output, passed) = output.release(permit);
        self.back.begin(back, passed);
        match output {
            Output::Batch { batch, keys, records, tree } => {
                self.back.expect_batch(Arc::clone(&tree));
                self.send_batch(env, *batch, &keys, records, prover);
                if let Some((batch, signature)) = self.back.sent().filter(|_| claim::may_be_made(env.context)) {
                    self.entry.kept.sent = Some((SignedBatch { batch, signature }, tree));
                }
            }
            Output::Payloads(payloads) if self.stage().layer == env.context.last_layer() => {
                env.run(Some(self.stage()), Work::Exchange(payloads));
            }
            Output::Payloads(payloads) => env.run(Some(self.stage()), Work::Distribute(payloads)),
        }
        Ok(())
    }

    fn send_batch(
        &mut self,
        env: &mut Env<'_>,
        batch: BatchCommitment,
        keys: &Arc<KeyList>,
        records: Records,
        prover: Option<Prover>,
    ) {
        let signature = env.sign(&statement::batch(env.context.digest(), &batch));
        let next = env.context.members(self.stage())[usize::from(self.place.position.0) + 1];
        env.send(next, Message::Batch(Batch { batch, signature, records: records.into_bytes() }));
        if let Some(prover) = prover {
            self.batch_keys = Some(Arc::clone(keys));
            self.back.set_sent(batch, signature);
            env.run(Some(self.stage()), Work::Prove(Box::new(prover)));
        }
    }

    pub(crate) fn on_proved(
        &mut self,
        env: &mut Env<'_>,
        proof: Vec<u8>,
        permutation: hippodrome_crypto::permutation::Permutation,
    ) {
        let Some((batch, signature)) = self.back.set_permutation(permutation) else { return };
        let before = before(self.place).map(|before| usize::from(before.position.0));
        let source = before.and_then(|before| self.upstream[before].batch);
        let proof_signature = env.sign(&statement::proof(env.context.digest(), &batch, source.as_ref(), &proof));
        let members = env.context.clone();
        let later = members.members(self.stage()).iter().skip(usize::from(self.place.position.0) + 1);
        for (distance, &member) in later.enumerate() {
            // The next hop has the keys in its batch.
            let keys = match (distance, &self.batch_keys) {
                (0, _) | (_, None) => Vec::new(),
                (_, Some(keys)) => keys.keys().to_vec(),
            };
            let proof = proof.clone();
            env.send(member, Message::Proof(Proof { batch, signature, source, keys, proof, proof_signature }));
        }
    }

    pub(crate) fn on_distributed(&mut self, env: &mut Env<'_>, distribution: Option<Distribution>) -> Step {
        let distribution = distribution.ok_or(AbortReason::LayerDidNotOpen)?;
        let source = self.stage();
        let width = env.context.sizes.parcel_record(usize::from(source.layer.0) + 1);
        let destinations = env.context.open(Layer(source.layer.0 + 1)).to_vec();
        let batch = before(self.place).and_then(|before| self.upstream[usize::from(before.position.0)].batch);
        let received = self.received.map_or(Digest([0; 32]), |received| received.root);
        let origin = statement::parcel_origin(&received, &removal(self.place, self.back.removed()));
        for (destination, parcel) in destinations.into_iter().zip(&distribution.parcels) {
            let count = (parcel.records.len() / width) as u32;
            let root = *parcel.tree.root();
            let commitment = ParcelCommitment { source, destination, count, root, origin };
            let signature = env.sign(&statement::parcel(env.context.digest(), &commitment));
            let next = env.context.stage(Layer(source.layer.0 + 1), destination);
            let records = parcel.records.clone();
            let first = env.context.first_of(next);
            env.send(first, Message::Parcel(Parcel { source, destination, root, origin, batch, signature, records }));
        }
        let parcels = distribution.parcels.into_iter().map(|parcel| (parcel.tree, parcel.places));
        self.back.expect_parcels(env.context, parcels.collect());
        Ok(())
    }

    /// What the hop waits for, and from whom: the first of all that it has not got.
    pub(crate) fn missing(&self, context: &RoundContext, confirming: &Confirming, confirmed: bool) -> Missing {
        let (stage, members) = (self.stage(), context.members(self.stage()));
        let missing = |what, from| Missing { what, from };
        match self.forward {
            Forward::Released => Awaited::Replies.into(),
            Forward::Waiting if self.is_first() => missing(Awaited::Input, self.parcel_missing(context)),
            _ if self.entry.offered.is_none() => missing(Awaited::Input, Some(context.first_of(stage))),
            _ if self.is_first() && self.entry.assembled.is_some() => {
                let signed = |member: &ServerId| self.entry.signatures.contains_key(member);
                missing(Awaited::InputSignatures, the_one(members.iter().copied().filter(|member| !signed(member))))
            }
            _ if !confirmed => confirming.missing(context),
            Forward::Waiting => {
                let before = self.place.position.0.checked_sub(1).map(|before| members[usize::from(before)]);
                missing(Awaited::Batch, before)
            }
            Forward::Stuck(_) if self.accused => Awaited::Trail.into(),
            Forward::Mixing | Forward::Stuck(_) | Forward::Held(_) => {
                let upstream = members.iter().zip(&self.upstream);
                let unproven =
                    upstream.filter(|(_, upstream)| upstream.checks.verified.is_none()).map(|(member, _)| *member);
                missing(Awaited::Proofs, the_one(unproven))
            }
        }
    }

    /// Chains whose parcels are said to lack records of which no trail is known: who sent them has to show one.
    pub(crate) fn unexplained(&self) -> impl Iterator<Item = Stage> + '_ {
        let layer = Layer(self.stage().layer.0.saturating_sub(1));
        self.entry.unexplained.iter().map(move |&chain| Stage { layer, chain, ..self.stage() })
    }

    /// The server whose parcel for this chain has not come, if it is one.
    fn parcel_missing(&self, context: &RoundContext) -> Option<ServerId> {
        let layer = Layer(self.stage().layer.0.checked_sub(1)?);
        let missing = context.open(layer).iter().filter(|chain| !self.entry.signed_parcels.contains_key(chain));
        the_one(missing.map(|&chain| context.last_of(context.stage(layer, chain))))
    }

    pub(crate) fn on_exchanged(&mut self, replies: Records) {
        self.back.set_replies(replies);
    }
}

/// Whether a parcel's origin is the batch that the hop before its sender has signed, whole or without the records of a trail
/// that is complete. Where nothing follows from a claim, nothing follows from an origin either.
fn is_explained(context: &RoundContext, parcel: &Parcel, trails: &BTreeMap<Place, Trail>) -> bool {
    let Some(SignedBatch { batch, .. }) = parcel.batch.filter(|_| claim::may_be_made(context)) else { return true };
    let sender = Place { stage: parcel.source, position: context.last_position() };
    let is_from = |removed| parcel.origin == statement::parcel_origin(&batch.root, &removed);
    is_from(statement::no_removals()) || trails.get(&sender).is_some_and(|trail| is_from(trail.removed()))
}

/// For each record of an input its parcel, and its place there.
fn places_of(parcels: &[Vec<Option<u32>>], count: usize) -> Vec<(u16, u32)> {
    let mut places = vec![(0, 0); count];
    for (parcel, records) in (0..).zip(parcels) {
        for (index, place) in (0..).zip(records) {
            if let Some(place) = place {
                places[*place as usize] = (parcel, index);
            }
        }
    }
    places
}
