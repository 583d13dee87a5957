//! One hop: a server's turn in one chain of one round, from the chain's input to the release of its batch. The way back
//! is in [`super::back`].

use std::{collections::BTreeMap, sync::Arc};

use hippodrome_crypto::{
    hash::Digest,
    hop::HopSecret,
    key_list::KeyList,
    merkle::Tree,
    records::Records,
    shuffle::{Precomputed, VerifiedHop},
    signing::Signature,
};

use super::{
    Env,
    back::Back,
    confirm::{ConfirmedLayer, Confirming},
    context::RoundContext,
    distribute::Distribution,
    gate::{Checked, Linked, Received, Shut},
    input::{Assembled, CheckedOffer, InputLists, NoInput, Origins, SignedInput, layer_limit},
    job::{Incoming, MixWork, MixedBatch, Output, Prover, VerifyWork, Work},
};
use crate::{
    claim::Step as ClaimedStep,
    ids::{Author, ChainId, Layer, Place, Position, ServerId, Stage},
    message::{
        AbortReason, Awaited, Batch, BatchCommitment, InputCommitment, InputOffer, InputRoot, InputSignature, Message,
        NoiseReceipt, Parcel, Proof, Receipts, ShownPart, Submissions,
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
    prepared: Option<Precomputed>,
    entry: EntryState,
    input_keys: Option<Arc<KeyList>>,
    batch_taken: bool,
    received: Option<Received>,
    batch_keys: Option<Arc<KeyList>>,
    upstream: Vec<Upstream>,
    forward: Forward,
    pub(crate) back: Back,
    pub(crate) hops_verified: u32,
}

/// How far the chain's input is.
#[derive(Default)]
struct EntryState {
    collecting: bool,
    parcels: Vec<Parcel>,
    kept: Kept,
    parcel_roots: BTreeMap<ChainId, Digest>,
    offered: Option<InputCommitment>,
    signatures: BTreeMap<ServerId, Signature>,
    /// What is published once all members have signed.
    assembled: Option<Published>,
}

/// What a first server keeps to answer claims with.
#[derive(Default)]
pub(crate) struct Kept {
    /// The parcels that its input was made of, until the layer is confirmed.
    parcels: Option<Arc<Vec<Parcel>>>,
    /// The tree over the input of a layer between the first and the last.
    tree: Option<Tree>,
}

impl Kept {
    /// What there is of a record that is claimed to be missing, or to have come on its way there.
    pub(crate) fn answer(&self, step: &ClaimedStep, is_missing: bool) -> Option<ShownPart> {
        if is_missing {
            let parcel = self.parcels.as_ref()?.iter().find(|parcel| parcel.source == step.source)?;
            return Some(ShownPart::Parcel(parcel.clone()));
        }
        let (tree, leaf) = (self.tree.as_ref()?, step.input_leaf());
        let index = tree.leaves().iter().position(|other| *other == leaf)?;
        Some(ShownPart::Input { index: index as u32, path: tree.inclusion(index)? })
    }
}

/// What a first server keeps of its input until all members have signed it.
struct Published {
    lists: InputLists,
    origins: Vec<Origin>,
    tree: Tree,
}

/// What is known of one hop before this one.
#[derive(Default)]
struct Upstream {
    batch: Option<BatchCommitment>,
    keys: Option<Arc<KeyList>>,
    proof: Option<Vec<u8>>,
    verified: Option<VerifiedHop>,
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
    Held(Box<MixedBatch>),
    Released,
}

impl Hop {
    pub(crate) fn new(context: &RoundContext, place: Place, secret: HopSecret) -> Self {
        Self {
            place,
            secret: Some(secret),
            prepared: None,
            entry: EntryState::default(),
            input_keys: None,
            batch_taken: false,
            received: None,
            batch_keys: None,
            upstream: (0..place.position.0).map(|_| Upstream::default()).collect(),
            forward: Forward::Waiting,
            back: Back::new(context, place),
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
            let noise = params.noise_per_chain as usize * env.context.active().len();
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
        let records = Records::from_bytes(env.context.sizes.submission, submissions.submissions);
        let is_input = self.is_first() && self.stage().layer == Layer(0);
        match records {
            Ok(records) if is_input && !self.entry.collecting => {
                self.entry.collecting = true;
                env.run(Some(self.stage()), Work::AssembleSubmissions(records));
            }
            // The coordinator is trusted with nothing: what it sends twice or cut short is as if not sent.
            _ => env.notice(super::Notice::Ignored { what: "submissions that are cut short, repeated or misplaced" }),
        }
        Ok(())
    }

    pub(crate) fn on_parcel(&mut self, env: &mut Env<'_>, from: ServerId, parcel: Parcel) -> Step {
        let stage = self.stage();
        let width = env.context.sizes.parcel_record(stage.layer.0.into());
        let count = parcel.records.len() / width;
        let signed = statement::parcel(env.context.digest(), parcel.source, stage.chain, count, &parcel.root);
        let may_send = self.is_first()
            && env.context.has(parcel.source)
            && parcel.source.layer.0 + 1 == stage.layer.0
            && env.context.last_of(parcel.source) == from;
        if !may_send {
            return ignore_stranger(env);
        }
        let fits = parcel.records.len().is_multiple_of(width)
            && count <= layer_limit(env.context, parcel.source.layer) as usize
            && env.context.signed_by(from, &signed, &parcel.signature);
        if !fits {
            return Err(AbortReason::BadMessage(from));
        }
        if let Some(earlier) = self.entry.parcel_roots.get(&parcel.source.chain) {
            let same = *earlier == parcel.root;
            return if same { Ok(()) } else { Err(env.convict(from, AbortReason::Equivocation(from))) };
        }
        let parcel_layer = parcel.source.layer;
        self.entry.parcel_roots.insert(parcel.source.chain, parcel.root);
        self.entry.parcels.push(parcel);
        if self.entry.parcels.len() == env.context.open(parcel_layer).len() {
            let mut parcels = std::mem::take(&mut self.entry.parcels);
            parcels.sort_unstable_by_key(|parcel| parcel.source.chain);
            let total: usize = parcels.iter().map(|parcel| parcel.records.len() / width).sum();
            if total > layer_limit(env.context, stage.layer) as usize {
                // Each is within its own limit, so nobody is to blame; no member would sign this input.
                return Err(AbortReason::Deadline(Awaited::Input));
            }
            let parcels = Arc::new(parcels);
            self.entry.kept.parcels = Some(Arc::clone(&parcels));
            env.run(Some(stage), Work::AssembleParcels(parcels));
        }
        Ok(())
    }

    pub(crate) fn on_assembled(&mut self, env: &mut Env<'_>, assembled: Result<Assembled, NoInput>) -> Step {
        let Assembled { input, keys, bodies, entries, left_out, lists, origins, tree } =
            assembled.map_err(|none| match none {
                NoInput::BadParcel(sender) => env.convict(sender, AbortReason::BadMessage(sender)),
                NoInput::NoiseLeftOut(owner) => AbortReason::NoiseLeftOut(owner),
            })?;
        let authors = match &origins {
            Origins::Authors(authors) => authors.clone(),
            Origins::Parcels(_) => Vec::new(),
        };
        self.entry.assembled = Some(Published { lists, origins: authors, tree });
        self.back.set_origins(origins);
        let signature = self.sign_input(env, input)?;
        self.input_keys = Some(Arc::clone(&keys));
        for &member in env.context.clone().members(self.stage()) {
            if member != env.context.me {
                let (entries, left_out) = (entries.clone(), left_out.entries.clone());
                env.send(member, Message::InputOffer(InputOffer { input, signature, entries, left_out }));
            }
        }
        let received = Received { place: self.place, count: keys.len(), root: input.root, keys: *keys.digest() };
        self.mix(env, Incoming { received, keys, bodies });
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
        let per_server = (env.context.params().noise_per_chain as usize).max(1);
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

    /// What it has to answer claims with, when the rest of the hop goes.
    pub(crate) fn into_kept(self) -> Kept {
        self.entry.kept
    }

    /// The layer is confirmed: no claim can be made of its input any more.
    pub(crate) fn forget_parcels(&mut self) {
        self.entry.kept.parcels = None;
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
        match self.entry.offered {
            None => {
                self.entry.offered = Some(offer.input);
                env.run(Some(self.stage()), Work::CheckOffer(Box::new(offer)));
                Ok(())
            }
            Some(earlier) if earlier == offer.input => Ok(()),
            Some(_) => Err(env.convict(from, AbortReason::Equivocation(from))),
        }
    }

    pub(crate) fn on_offer_checked(
        &mut self,
        env: &mut Env<'_>,
        input: InputCommitment,
        checked: Option<CheckedOffer>,
    ) -> Step {
        let first = env.context.first_of(self.stage());
        let CheckedOffer { keys } = checked.ok_or_else(|| env.convict(first, AbortReason::BadMessage(first)))?;
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
        self.take_commitment(env, from, &batch, &signature)?;
        if batch.place.position.0 + 1 != self.place.position.0 {
            return Err(AbortReason::BadMessage(from));
        }
        if std::mem::replace(&mut self.batch_taken, true) {
            return Ok(());
        }
        let width = env.context.sizes.record(self.stage().layer.0.into(), self.place.position.0.into());
        let records = Records::from_bytes(width, records)
            .ok()
            .filter(|records| {
                records.len() == batch.count as usize && batch.count <= layer_limit(env.context, self.stage().layer)
            })
            .ok_or(AbortReason::BadMessage(from))?;
        env.run(Some(self.stage()), Work::Decode(batch, records));
        Ok(())
    }

    pub(crate) fn on_decoded(&mut self, env: &mut Env<'_>, batch: BatchCommitment, decoded: Option<Incoming>) -> Step {
        let sender = env.context.server_at(batch.place).unwrap_or(env.context.me);
        let incoming = decoded.ok_or_else(|| env.convict(sender, AbortReason::BadMessage(sender)))?;
        self.upstream[usize::from(batch.place.position.0)].keys = Some(Arc::clone(&incoming.keys));
        self.mix(env, incoming);
        Ok(())
    }

    /// Starts mixing: computing early is allowed, only letting out is gated. The secret is used up.
    fn mix(&mut self, env: &mut Env<'_>, incoming: Incoming) {
        let Some(secret) = self.secret.take() else { return };
        self.received = Some(incoming.received);
        self.batch_keys = Some(Arc::clone(&incoming.keys));
        self.forward = Forward::Mixing;
        let prepared = self.prepared.take();
        env.run(Some(self.stage()), Work::Mix(Box::new(MixWork { place: self.place, secret, incoming, prepared })));
    }

    pub(crate) fn on_mixed(&mut self, mixed: Box<MixedBatch>) {
        if let Forward::Mixing = self.forward {
            self.forward = Forward::Held(mixed);
        }
    }

    // The proofs upstream.

    /// Whether a batch is of a hop before this one, from the server that stands there.
    fn is_of_upstream(&self, env: &Env<'_>, from: ServerId, batch: &BatchCommitment) -> bool {
        let Place { stage, position } = batch.place;
        stage == self.stage() && position < self.place.position && env.context.server_at(batch.place) == Some(from)
    }

    /// Notes what a hop before this one signed; a second, different batch convicts it.
    fn take_commitment(
        &mut self,
        env: &mut Env<'_>,
        from: ServerId,
        batch: &BatchCommitment,
        signature: &Signature,
    ) -> Step {
        let upstream = self
            .upstream
            .get_mut(usize::from(batch.place.position.0))
            .filter(|_| env.context.batch_is_signed(batch, signature))
            .ok_or(AbortReason::BadMessage(from))?;
        match upstream.batch {
            Some(earlier) if earlier != *batch => Err(env.convict(from, AbortReason::Equivocation(from))),
            _ => {
                upstream.batch = Some(*batch);
                Ok(())
            }
        }
    }

    pub(crate) fn on_proof(&mut self, env: &mut Env<'_>, from: ServerId, message: Proof) -> Step {
        let Proof { batch, signature, keys, proof } = message;
        if !self.is_of_upstream(env, from, &batch) {
            return ignore_stranger(env);
        }
        self.take_commitment(env, from, &batch, &signature)?;
        let upstream = &mut self.upstream[usize::from(batch.place.position.0)];
        if !keys.is_empty() && upstream.keys.is_none() {
            let keys = KeyList::new(keys);
            if *keys.digest() != batch.keys {
                return Err(env.convict(from, AbortReason::BadMessage(from)));
            }
            upstream.keys = Some(Arc::new(keys));
        }
        if proof.is_empty() {
            return Err(env.convict(from, AbortReason::BadProof(from)));
        }
        upstream.proof.get_or_insert(proof);
        Ok(())
    }

    /// Starts every verification whose two lists and roots are there. A proof about another batch than the one that its
    /// predecessor shows *us* says nothing: one of the two has signed twice, and we cannot know which.
    fn verify_upstream(&mut self, env: &mut Env<'_>) {
        let Some(offered) = self.entry.offered else { return };
        let mut inputs = self.input_keys.clone();
        let mut input_root = Some(offered.root);
        for (index, upstream) in self.upstream.iter_mut().enumerate() {
            let output_root = upstream.batch.filter(|batch| Some(batch.source) == input_root).map(|batch| batch.root);
            let lists = (inputs.clone(), upstream.keys.clone(), input_root, output_root);
            if let (Some(inputs), Some(outputs), Some(input_root), Some(output_root)) = lists
                && let Some(proof) = upstream.proof.take_if(|proof| !proof.is_empty())
            {
                let place = Place { stage: self.place.stage, position: Position(index as u8) };
                let work = VerifyWork { place, input_root, output_root, inputs, outputs, proof };
                env.run(Some(place.stage), Work::Verify(Box::new(work)));
                // An empty proof stands for one that is being verified: a later copy is not verified again.
                upstream.proof = Some(Vec::new());
            }
            inputs.clone_from(&upstream.keys);
            input_root = output_root;
        }
    }

    pub(crate) fn on_verified(
        &mut self,
        env: &mut Env<'_>,
        position: Position,
        verified: Option<Box<VerifiedHop>>,
    ) -> Step {
        let place = Place { stage: self.stage(), position };
        let prover = env.context.server_at(place).unwrap_or(env.context.me);
        let verified = verified.ok_or_else(|| env.convict(prover, AbortReason::BadProof(prover)))?;
        self.upstream[usize::from(position.0)].verified = Some(*verified);
        self.hops_verified += 1;
        Ok(())
    }

    /// All hops before this one, if nothing of them is missing any more.
    fn linked(&self, env: &Env<'_>, input: &SignedInput) -> Option<Result<Linked, AbortReason>> {
        let received = self.received?;
        let proven = env.context.verification() != Verification::None && input.commitment().count > 0;
        let hops: Vec<VerifiedHop> = self.upstream.iter().filter_map(|upstream| upstream.verified.clone()).collect();
        if proven && hops.len() < self.upstream.len() {
            return None;
        }
        Some(Linked::new(env.context, *input, &hops, received).map_err(|unlinked| AbortReason::BadProof(unlinked.0)))
    }

    // The gate.

    /// Goes as far as what is there allows.
    pub(crate) fn progress(
        &mut self,
        env: &mut Env<'_>,
        confirming: &Confirming,
        confirmed: Option<&ConfirmedLayer>,
    ) -> Step {
        self.verify_upstream(env);
        if let (Forward::Held(_), Some(layer), Some(input)) =
            (&self.forward, confirmed, confirming.input(self.stage().chain))
            && let Some(linked) = self.linked(env, input)
        {
            self.release(env, layer, &linked?)?;
        }
        self.back.progress(env)
    }

    fn release(&mut self, env: &mut Env<'_>, layer: &ConfirmedLayer, linked: &Linked) -> Step {
        let Forward::Held(mixed) = std::mem::replace(&mut self.forward, Forward::Released) else { return Ok(()) };
        let MixedBatch { output, back, prover } = *mixed;
        let checked =
            Checked::forward(env.context, layer, linked, &output, env.convictions).map_err(|shut| match shut {
                Shut::LayerDidNotOpen => AbortReason::LayerDidNotOpen,
                Shut::NotConfirmed => AbortReason::BadMessage(env.context.first_of(self.place.stage)),
                Shut::Convicted(member) => AbortReason::Convicted(member),
            })?;
        let permit = checked.permit(env.claim(self.stage().forward())?);
        let (output, passed) = output.release(permit);
        self.back.begin(back, passed);
        match output {
            Output::Batch { batch, keys, records } => self.send_batch(env, batch, &keys, records, prover),
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
        let members = env.context.clone();
        let later = members.members(self.stage()).iter().skip(usize::from(self.place.position.0) + 1);
        for (distance, &member) in later.enumerate() {
            // The next hop has the keys in its batch.
            let keys = match (distance, &self.batch_keys) {
                (0, _) | (_, None) => Vec::new(),
                (_, Some(keys)) => keys.keys().to_vec(),
            };
            env.send(member, Message::Proof(Proof { batch, signature, keys, proof: proof.clone() }));
        }
    }

    pub(crate) fn on_distributed(&mut self, env: &mut Env<'_>, distribution: Option<Distribution>) -> Step {
        let distribution = distribution.ok_or(AbortReason::LayerDidNotOpen)?;
        let source = self.stage();
        let width = env.context.sizes.parcel_record(usize::from(source.layer.0) + 1);
        let destinations = env.context.open(Layer(source.layer.0 + 1)).to_vec();
        for (destination, parcel) in destinations.into_iter().zip(&distribution.parcels) {
            let count = parcel.records.len() / width;
            let signed = statement::parcel(env.context.digest(), source, destination, count, &parcel.root);
            let signature = env.sign(&signed);
            let next = env.context.stage(Layer(source.layer.0 + 1), destination);
            let (root, records) = (parcel.root, parcel.records.clone());
            let first = env.context.first_of(next);
            env.send(first, Message::Parcel(Parcel { source, destination, root, signature, records }));
        }
        self.back.expect_parcels(distribution.parcels.into_iter().map(|parcel| parcel.places).collect());
        Ok(())
    }

    /// What the hop waits for.
    pub(crate) fn awaited(&self, confirmed: bool) -> Awaited {
        match self.forward {
            Forward::Released => Awaited::Replies,
            Forward::Waiting if self.is_first() => Awaited::Input,
            Forward::Waiting => Awaited::Batch,
            Forward::Mixing | Forward::Held(_) if self.is_first() && self.entry.assembled.is_some() => {
                Awaited::InputSignatures
            }
            Forward::Mixing | Forward::Held(_) if !confirmed => Awaited::Confirmations,
            Forward::Mixing | Forward::Held(_) => Awaited::Proofs,
        }
    }

    pub(crate) fn on_exchanged(&mut self, replies: Records) {
        self.back.set_replies(replies);
    }
}
