//! A round under way at a server: its hops, and the confirmation of each layer that they wait for.

use std::{collections::BTreeMap, sync::Arc};

use hippodrome_crypto::{group::Element, permutation::below, signing::Signature};
use hippodrome_pledge::NoiseSeed;

use super::{
    Env, Notice,
    audit::{Audit, Entered},
    claims::{Claims, Inputs, Progress, Question},
    confirm::{ConfirmedLayer, Confirming, Contradiction},
    context::RoundContext,
    hop::{Hop, Kept, Step},
    input::{InputLists, SignedInput},
    job::{JobDone, Outcome, Work},
    receipts::{BadReceipt, Found, Receipts, Search},
    replies::{Checked, KeptReturn, OwnReplies, ReplyClaims, Returns},
    tracing::Traces,
};
use crate::{
    claim,
    evidence::{Evidence, Traced, Trail},
    ids::{ChainId, Layer, Party, Place, ServerId, Stage},
    marks::Act,
    message::{
        Abort, AbortReason, Awaited, Confirmation, InputCommitment, Message, Missing, Noise, NoiseAnswer, ReplyAnswer,
        ReplySource, Report, SignedReturn,
    },
    participant::CLOCK_TOLERANCE_MS,
    reply::{self, EnteredInput, Replacement, ReplyClaim},
    statement,
};

/// A round from its announcement to its end.
pub(crate) struct Running {
    pub(crate) context: Arc<RoundContext>,
    layers: Layers,
    receipts: Receipts,
    claims: Claims,
    /// What is left of hops that ended with a failure.
    kept: BTreeMap<(Layer, ChainId), Kept>,
    own_replies: OwnReplies,
    replies_checked: bool,
    reply_claims: ReplyClaims,
    /// What hops have signed of the replies that they sent back.
    returns: Returns,
    /// What is left of the way back of hops that are done.
    returned: Vec<KeptReturn>,
    hops: BTreeMap<(Layer, ChainId), Hop>,
    traces: Traces,
    hops_verified: u32,
    noise_sent: bool,
    failed: bool,
    reported: bool,
}

struct LayerState {
    confirming: Confirming,
    /// The lists of the inputs, until the layer is confirmed.
    lists: BTreeMap<ChainId, Arc<InputLists>>,
    /// What was left out of the inputs by rule, which the replies are judged by.
    left_out: BTreeMap<ChainId, Vec<Element>>,
    signed: bool,
    confirmed: Option<ConfirmedLayer>,
}

impl LayerState {
    /// All inputs with their lists.
    fn inputs(&self) -> Vec<(InputCommitment, Arc<InputLists>)> {
        let listed = self
            .lists
            .iter()
            .filter_map(|(chain, lists)| Some((*self.confirming.input(*chain)?.commitment(), Arc::clone(lists))));
        listed.collect()
    }
}

/// The layers of a round, in order.
struct Layers(Vec<LayerState>);

impl Layers {
    fn input(&self, stage: Stage) -> Option<&SignedInput> {
        self.0.get(usize::from(stage.layer.0))?.confirming.input(stage.chain)
    }
}

/// What claims are judged by.
struct Known<'a> {
    layers: &'a Layers,
    traces: &'a Traces,
}

impl Inputs for Known<'_> {
    fn input(&self, stage: Stage) -> Option<&SignedInput> {
        self.layers.input(stage)
    }

    fn lists(&self, stage: Stage) -> Option<&InputLists> {
        self.layers.0.get(usize::from(stage.layer.0))?.lists.get(&stage.chain).map(Arc::as_ref)
    }

    fn trail(&self, place: Place) -> Option<(&Trail, &Traced)> {
        self.traces.trail(place)
    }
}

/// Whether a round goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    GoesOn,
    Over,
}

impl Running {
    /// Begins a round: noise and the offline parts of the proofs are made at once.
    pub(crate) fn begin(
        env: &mut Env<'_>,
        secrets: Vec<(Place, hippodrome_crypto::hop::HopSecret)>,
        seed: Arc<NoiseSeed>,
    ) -> Self {
        let context = Arc::clone(env.context);
        let key = Arc::clone(env.key);
        env.run(None, Work::Noise(key, seed));
        let hops: BTreeMap<_, _> = secrets
            .into_iter()
            .map(|(place, secret)| ((place.stage.layer, place.stage.chain), Hop::new(&context, place, secret)))
            .collect();
        hops.values().for_each(|hop| hop.prepare(env));
        let layers = (0..context.params().layers)
            .map(|layer| LayerState {
                confirming: Confirming::new(Layer(layer)),
                lists: BTreeMap::new(),
                left_out: BTreeMap::new(),
                signed: false,
                confirmed: None,
            })
            .collect();
        let (layers, receipts, claims) = (Layers(layers), Receipts::default(), Claims::default());
        Self {
            context,
            layers,
            receipts,
            claims,
            kept: BTreeMap::new(),
            own_replies: OwnReplies::default(),
            replies_checked: false,
            reply_claims: ReplyClaims::default(),
            returns: Returns::default(),
            returned: Vec::new(),
            hops,
            traces: Traces::default(),
            hops_verified: 0,
            noise_sent: false,
            failed: false,
            reported: false,
        }
    }

    /// Takes a message in, and goes as far as it allows.
    pub(crate) fn on_message(&mut self, env: &mut Env<'_>, from: Party, message: Message) -> Life {
        let Some(stage) = self.stage_of(&message) else {
            env.notice(Notice::Ignored { what: "a message for a chain that the network does not have" });
            return Life::GoesOn;
        };
        let step = match from {
            Party::Coordinator => self.hear_coordinator(env, message),
            Party::Server(server) => self.hear_server(env, server, message),
        };
        self.settle(env, stage, step)
    }

    /// The stage that a message is about, if the network has it; round-wide ones count for its first open chain.
    fn stage_of(&self, message: &Message) -> Option<Stage> {
        let whole = |layer| self.context.whole(layer);
        let stage = match message {
            Message::Submissions(message) => Some(message.stage),
            Message::InputOffer(message) => Some(message.input.stage),
            Message::InputSignature(message) => Some(message.stage),
            Message::InputRoot(message) => Some(message.input.stage),
            Message::NoiseReceipt(message) => Some(message.stage).filter(|stage| stage.layer == Layer(0)),
            Message::NoiseClaim(_) | Message::NoiseAnswer(_) => whole(Layer(0)),
            Message::Confirmation(message) => whole(message.layer),
            Message::Batch(message) => Some(message.batch.place.stage),
            Message::Proof(message) => Some(message.batch.place.stage),
            Message::Parcel(message) => Some(Stage {
                layer: Layer(message.source.layer.0.checked_add(1)?),
                chain: message.destination,
                ..message.source
            }),
            Message::Return(message) => message.stage(),
            Message::Replaced(message) => Some(message.place.stage),
            Message::NoiseReplies(message) => Some(message.signed.replies.place.stage),
            Message::ReplyClaim(_) | Message::ReplyAnswer(_) => whole(Layer(0)),
            Message::Abort(message) => Some(message.stage),
            Message::Accusation(message) => Some(message.place.stage),
            Message::TraceStep(message) => Some(message.place.stage),
            _ => None,
        };
        stage.filter(|stage| self.context.has(*stage))
    }

    fn hear_coordinator(&mut self, env: &mut Env<'_>, message: Message) -> Step {
        match message {
            Message::Submissions(message) => {
                self.hop(message.stage).map_or(Ok(()), |hop| hop.on_submissions(env, message))
            }
            _ => {
                env.notice(Notice::Ignored { what: "a message that only servers send, from the coordinator" });
                Ok(())
            }
        }
    }

    fn hear_server(&mut self, env: &mut Env<'_>, from: ServerId, message: Message) -> Step {
        match message {
            Message::InputRoot(message) => {
                let stage = message.input.stage;
                match SignedInput::verify(&self.context, message) {
                    Ok((input, lists)) => {
                        let layer = &mut self.layers.0[usize::from(stage.layer.0)];
                        let added = layer.confirming.add_input(&self.context, input);
                        if layer.confirmed.is_none() {
                            layer.left_out.entry(stage.chain).or_insert_with(|| lists.left_out.clone());
                            layer.lists.entry(stage.chain).or_insert_with(|| Arc::new(lists));
                        }
                        self.contradicted(env, added)
                    }
                    Err(_) if from == self.context.first_of(stage) => Err(AbortReason::BadMessage(from)),
                    Err(_) => {
                        env.notice(Notice::Ignored { what: "an input that not all members signed, from a stranger" });
                        Ok(())
                    }
                }
            }
            Message::NoiseReceipt(receipt) => {
                self.receipts.on_receipt(&self.context, from, receipt);
                Ok(())
            }
            Message::NoiseClaim(claim) => {
                let taken = self.claims.take(&self.context, claim);
                self.contradicted(env, taken)
            }
            Message::NoiseAnswer(answer) => {
                let taken = self.take_answer(from, answer);
                self.contradicted(env, taken)
            }
            Message::Confirmation(message) => {
                let confirming = &mut self.layers.0[usize::from(message.layer.0)].confirming;
                let added = confirming.add_confirmation(&self.context, from, &message);
                self.contradicted(env, added)
            }
            Message::Abort(message) => self.on_abort(env, from, &message),
            Message::Accusation(message) => self.traces.on_accusation(env, from, Arc::new(message)),
            Message::TraceStep(message) => {
                self.traces.on_step(env, from, Arc::new(message));
                Ok(())
            }
            Message::InputOffer(message) => self.at(message.input.stage, |hop| hop.on_offer(env, from, message)),
            Message::InputSignature(message) => {
                self.at(message.stage, |hop| hop.on_input_signature(env, from, message))
            }
            Message::Batch(message) => self.at(message.batch.place.stage, |hop| hop.on_batch(env, from, message)),
            Message::Proof(message) => self.at(message.batch.place.stage, |hop| hop.on_proof(env, from, message)),
            Message::Parcel(message) => {
                let stage = self.context.stage(Layer(message.source.layer.0 + 1), message.destination);
                self.at(stage, |hop| hop.on_parcel(env, from, message))
            }
            Message::Return(message) => {
                let noted = self.note_returns(&message.signed, &message.sources);
                let hop = message.stage().and_then(|stage| self.hop(stage));
                let replaced = hop.map(|hop| hop.back.on_return(env, from, message)).unwrap_or_default();
                for replacement in replaced {
                    // A hop that spoils replies need not have said so to anybody else.
                    env.broadcast_to_others(Message::Replaced(replacement.said()));
                    self.note_replaced(env, &replacement);
                }
                self.contradicted(env, noted)
            }
            Message::Replaced(message) => {
                if !self.own_replies.has_heard(&message)
                    && let Some(replacement) = Replacement::verify(&self.context, &message)
                {
                    self.note_replaced(env, &replacement);
                }
                Ok(())
            }
            Message::NoiseReplies(message) => {
                let noted = self.note_returns(&message.signed, &message.sources);
                if let Some(input) = self.layers.input(message.signed.replies.place.stage) {
                    let replaced = self.own_replies.on_replies(&self.context, from, message, input.commitment());
                    replaced.iter().for_each(|replacement| self.note_replaced(env, replacement));
                }
                self.contradicted(env, noted)
            }
            Message::ReplyClaim(claim) => {
                let noted = self.returns.note(&self.context, &claim.shown.signed);
                let taken = self.take_reply_claim(env, &claim);
                self.contradicted(env, noted.and(taken))
            }
            Message::ReplyAnswer(answer) => {
                let shown = [&answer.claim.shown, &answer.shown];
                let noted = shown.iter().try_for_each(|shown| self.returns.note(&self.context, &shown.signed));
                let taken = self.take_reply_claim(env, &answer.claim);
                self.reply_claims.take_answer(&self.context, from, answer);
                self.contradicted(env, noted.and(taken))
            }
            _ => {
                env.notice(Notice::Ignored { what: "a message that servers do not send each other" });
                Ok(())
            }
        }
    }

    /// Compares what a hop has signed of replies, and those behind it, with what they have signed to others.
    fn note_returns(&mut self, signed: &SignedReturn, sources: &[ReplySource]) -> Result<(), Contradiction> {
        let returned = sources.iter().filter_map(|source| match source {
            ReplySource::Returned(signed) => Some(signed),
            ReplySource::Replaced(_) => None,
        });
        [signed].into_iter().chain(returned).try_for_each(|signed| self.returns.note(&self.context, signed))
    }

    /// What was replaced is no longer counted, and the coordinator hears of it, from whomever it came.
    fn note_replaced(&mut self, env: &mut Env<'_>, replacement: &Replacement) {
        if self.own_replies.on_replaced(replacement) {
            env.send_coordinator(Message::Replaced(replacement.said()));
        }
    }

    /// Takes an answer to a claim: what is shown under a signature is compared with what the same server has signed to the
    /// own hops, and to whoever else has answered.
    fn take_answer(&mut self, from: ServerId, answer: NoiseAnswer) -> Result<(), Contradiction> {
        for signed in self.hops.values().flat_map(|hop| hop.has_signed(&self.context)) {
            self.claims.note(&self.context, signed)?;
        }
        self.claims.take_answer(&self.context, from, answer)
    }

    /// Two signed statements that contradict each other convict. They end the round, unless it is closed: then the gate
    /// holds back just the chains that the liar is in.
    fn contradicted(&self, env: &mut Env<'_>, added: Result<(), Contradiction>) -> Step {
        let Err(Contradiction(signed)) = added else { return Ok(()) };
        let proven = env.prove(Evidence::Equivocation(signed), AbortReason::Equivocation);
        if self.is_closed() { Ok(()) } else { proven }
    }

    fn hop(&mut self, stage: Stage) -> Option<&mut Hop> {
        self.hops.get_mut(&(stage.layer, stage.chain))
    }

    /// What is sent to us about a chain in which we have no turn is dropped.
    fn at(&mut self, stage: Stage, step: impl FnOnce(&mut Hop) -> Step) -> Step {
        self.hop(stage).map_or(Ok(()), step)
    }

    /// Another server releases nothing more: before the last layer is confirmed that ends the round for all, after it
    /// only the chain's. A server that has signed the last vector may have it complete before we do.
    fn on_abort(&mut self, env: &mut Env<'_>, from: ServerId, abort: &Abort) -> Step {
        let signed = statement::abort(self.context.digest(), abort.stage, &abort.reason);
        let last = self.layers.0.last().filter(|_| abort.stage.layer == self.context.last_layer());
        let may_be_closed = last.is_some_and(|layer| layer.confirming.has_signed(from));
        if self.context.signed_by(from, &signed, &abort.signature) && !self.is_closed() && !may_be_closed {
            env.notice(Notice::AbortedBy { server: from, stage: abort.stage, reason: abort.reason });
            self.complain(env, &abort.reason);
            self.give_up();
        }
        Ok(())
    }

    /// Whether the last layer's inputs are confirmed, so that chains may fail alone.
    fn is_closed(&self) -> bool {
        self.layers.0.last().is_some_and(|layer| layer.confirmed.is_some())
    }

    /// Takes the result of a job in.
    pub(crate) fn on_done(&mut self, env: &mut Env<'_>, done: JobDone) -> Life {
        let Some(stage) = done.id.stage else {
            return self.on_round_done(env, done.outcome);
        };
        if let Outcome::Traced(accuser, checked) = done.outcome {
            let step = self.traces.on_checked(env, accuser, checked);
            return self.settle(env, stage, step);
        }
        let step = self.hop(stage).map_or(Ok(()), |hop| match done.outcome {
            Outcome::SubmissionsChecked(part, checked) => hop.on_submissions_checked(env, part, checked),
            Outcome::Assembled(assembled) => hop.on_assembled(env, assembled),
            Outcome::Offer(input, keys) => hop.on_offer_checked(env, input, keys),
            Outcome::Prepared(prepared) => {
                hop.on_prepared(prepared);
                Ok(())
            }
            Outcome::Decoded(batch, incoming) => hop.on_decoded(env, batch, incoming),
            Outcome::Mixed(mixed) => {
                hop.on_mixed(mixed);
                Ok(())
            }
            Outcome::Stuck(stuck) => {
                hop.on_stuck(stuck);
                Ok(())
            }
            Outcome::SignaturesChecked(checked) => hop.on_signatures_checked(env, checked),
            Outcome::Accused(accusation) => {
                env.broadcast(Message::Accusation(*accusation));
                Ok(())
            }
            Outcome::Stepped(step) => {
                env.broadcast(Message::TraceStep(*step));
                Ok(())
            }
            Outcome::Proved(proof, permutation) => {
                hop.on_proved(env, proof, permutation);
                Ok(())
            }
            Outcome::Verified(position, verified) => hop.on_verified(env, position, verified),
            Outcome::Distributed(distribution) => hop.on_distributed(env, distribution),
            Outcome::Exchanged(replies) => {
                hop.on_exchanged(replies);
                Ok(())
            }
            Outcome::Sealed(replies) => {
                hop.back.on_sealed(replies);
                Ok(())
            }
            Outcome::Pledged(_)
            | Outcome::PledgesChecked(_)
            | Outcome::OpeningChecked(_)
            | Outcome::Noise(_)
            | Outcome::NoiseFound(..)
            | Outcome::RepliesChecked(_)
            | Outcome::Traced(..)
            | Outcome::Judged(..) => Ok(()),
        });
        self.settle(env, stage, step)
    }

    /// Takes the result of a job of the round as a whole in.
    fn on_round_done(&mut self, env: &mut Env<'_>, outcome: Outcome) -> Life {
        let (layer, step) = match outcome {
            Outcome::Noise(mut noise) => {
                for own in &mut noise {
                    let (stage, submissions) =
                        (self.context.stage(Layer(0), own.chain), std::mem::take(&mut own.submissions));
                    env.send_coordinator(Message::Noise(Noise { stage, submissions }));
                    self.own_replies.expect(own.chain, std::mem::take(&mut own.routes));
                }
                self.noise_sent = true;
                self.receipts.set_noise(noise);
                (Layer(0), Ok(()))
            }
            Outcome::NoiseFound(layer, found) => (layer, self.on_noise_found(env, layer, found)),
            Outcome::RepliesChecked(checked) => {
                self.on_replies_checked(env, &checked);
                (Layer(0), Ok(()))
            }
            _ => return Life::GoesOn,
        };
        let whole = self.context.whole(layer).expect("a signed round has open chains");
        self.settle(env, whole, step)
    }

    /// Signs the layer if all own noise is there; else shows one record that is missing, and signs nothing.
    fn on_noise_found(&mut self, env: &mut Env<'_>, layer: Layer, found: Found) -> Step {
        let missing = match found {
            Found::All => {
                self.receipts.set_found(layer);
                return Ok(());
            }
            _ if !claim::may_be_made(&self.context) => return Err(AbortReason::NoiseMissing),
            Found::Unclear => return Err(AbortReason::NoiseMissing),
            Found::Missing(missing) => missing,
        };
        let layers = &self.layers;
        let input = |layer, chain| Some(*layers.input(self.context.stage(layer, chain))?.commitment());
        let claim = self.receipts.claim(&self.context, layer, missing, input, |signed| env.sign(signed));
        if let Some(claim) = claim {
            env.broadcast(Message::NoiseClaim(claim));
        }
        Ok(())
    }

    /// Looks through the replies to the own noise, once, whatever has come of them.
    fn check_replies(&mut self, env: &mut Env<'_>) {
        let is_due = env.now_ms >= self.context.replies_checked_ms() && reply::may_be_made(&self.context);
        if is_due && !std::mem::replace(&mut self.replies_checked, true) {
            env.run(None, Work::CheckReplies(self.own_replies.check()));
        }
    }

    /// Says something of bad replies only if the threshold is passed, and then shows one of them.
    fn on_replies_checked(&mut self, env: &mut Env<'_>, checked: &Checked) {
        let spoiled = self.own_replies.spoiled(&self.context, &self.receipts, checked);
        if !env.speaks_of(spoiled.len(), checked.records()) || spoiled.is_empty() {
            return;
        }
        let (chain, slot, layer) = spoiled[below(spoiled.len() as u32, env.rng) as usize];
        if let Some(claim) = self.reply_claim(env, chain, slot, layer) {
            env.broadcast(Message::ReplyClaim(claim));
        }
    }

    /// What is said of the reply to one own record, which does not open in a layer.
    fn reply_claim(&self, env: &Env<'_>, chain: ChainId, slot: usize, layer: Layer) -> Option<ReplyClaim> {
        let entered = self.layers.input(self.context.stage(Layer(0), chain))?.commitment();
        let record = self.receipts.show(&self.context, chain, slot, entered)?;
        let exponents = self.receipts.opening(chain, slot)?.show_before(Layer(layer.0 + 1));
        let (shown, reply) = self.own_replies.show(chain, slot, record.path.clone())?;
        let signature = Signature([0; 64]);
        let mut claim = ReplyClaim { claimant: self.context.me, record, exponents, shown, reply, signature };
        claim.signature = env.sign(&claim.statement(self.context.digest()));
        Some(claim)
    }

    /// Takes a claim of a spoiled reply. If it holds so far, this server shows what it has sent and got of the reply.
    fn take_reply_claim(&mut self, env: &mut Env<'_>, claim: &ReplyClaim) -> Result<(), Contradiction> {
        let Some(way) = self.reply_claims.take(&self.context, claim)? else { return Ok(()) };
        let of_hops = self.hops.values().flat_map(|hop| hop.back.kept());
        let kept: Vec<_> = self.returned.iter().chain(of_hops).collect();
        for shown in way.stations()[1..].iter().flat_map(|hop| kept.iter().filter_map(|kept| kept.show(hop))) {
            env.broadcast(Message::ReplyAnswer(ReplyAnswer { claim: claim.clone(), shown }));
        }
        Ok(())
    }

    /// Judges claims of spoiled replies. The round is closed by then, and a verdict holds back just the guilty's chains.
    fn settle_reply_claims(&mut self, env: &mut Env<'_>) {
        let layers = &self.layers;
        let entered = |stage: Stage| {
            let left_out = &layers.0.get(usize::from(stage.layer.0))?.left_out;
            let left_out = left_out.get(&stage.chain).cloned().unwrap_or_default();
            Some(EnteredInput { agreed: layers.input(stage)?.agreed().clone(), left_out })
        };
        for case in self.reply_claims.settle(&self.context, entered) {
            // There is nothing left to end.
            let _ = env.prove(Evidence::Reply(Box::new(case)), AbortReason::Convicted);
        }
    }

    /// Judges claims, and answers those that are about this server's chains.
    fn settle_claims(&mut self, env: &mut Env<'_>) -> Step {
        let mut step = Ok(());
        while let Some(progress) =
            self.claims.next(&self.context, &Known { layers: &self.layers, traces: &self.traces })
        {
            match progress {
                Progress::Asks(question) => self.answer(env, &question),
                Progress::Guilty(case, reason) => step = step.and(env.prove(Evidence::Noise(case), reason)),
            }
        }
        // In a closed round the gate holds back just the chains that the guilty are in.
        if self.is_closed() { Ok(()) } else { step }
    }

    /// Shows what there is of a record whose claim concerns this server's chains.
    fn answer(&self, env: &mut Env<'_>, Question { claim, followed }: &Question) {
        let kept = |stage: Stage| {
            let here = (stage.layer, stage.chain);
            self.hops.get(&here).map(Hop::kept).or_else(|| self.kept.get(&here))
        };
        let last = followed.last();
        let entered = followed.earlier().iter().filter_map(|step| kept(step.destination)?.entered(step));
        let passed = kept(last.source).and_then(|kept| kept.passed(last));
        let gathered = kept(last.destination).and_then(|kept| kept.parcel(last));
        for shown in entered.chain(passed).chain(gathered) {
            env.broadcast(Message::NoiseAnswer(NoiseAnswer { claim: claim.clone(), shown }));
        }
    }

    /// Goes as far as possible after a step, or ends what the step's failure ends.
    fn settle(&mut self, env: &mut Env<'_>, stage: Stage, step: Step) -> Life {
        if let Err(reason) = step {
            self.fail(env, stage, reason);
        }
        // One chain that fails keeps no other from going on; each failure takes a hop away.
        for _ in 0..=self.hops.len() {
            if self.failed {
                self.settle_late_claims(env);
                break;
            }
            match self.progress(env) {
                Ok(()) => break,
                Err((stage, reason)) => self.fail(env, stage, reason),
            }
        }
        self.finish_hops();
        self.settle_reply_claims(env);
        if self.failed || self.is_done() {
            self.report(env);
        }
        if self.is_over(env.now_ms) { Life::Over } else { Life::GoesOn }
    }

    /// Judges claims after the round has failed.
    fn settle_late_claims(&mut self, env: &mut Env<'_>) {
        if let Err(reason) = self.settle_claims(env) {
            let entry = self.context.whole(Layer(0)).expect("a signed round has open chains");
            self.fail(env, entry, reason);
        }
    }

    /// Whether this server has done its part of a closed round. One that has no turn still sends noise and confirms every
    /// layer.
    fn is_done(&self) -> bool {
        self.hops.is_empty() && self.noise_sent && self.layers.0.iter().all(|layer| layer.confirmed.is_some())
    }

    /// Whether the round can go. It stays as long as claims may be made, and this server may be asked.
    fn is_over(&self, now_ms: u64) -> bool {
        let may_be_asked = reply::may_be_made(&self.context) && now_ms < self.context.deadline_ms();
        self.is_done() && !may_be_asked || self.hops.is_empty() && self.failed && !self.may_be_claimed(now_ms)
    }

    fn progress(&mut self, env: &mut Env<'_>) -> Result<(), (Stage, AbortReason)> {
        let entry = self.context.whole(Layer(0)).expect("a signed round has open chains");
        self.settle_claims(env).map_err(|reason| (entry, reason))?;
        let confirming = &self.layers.0[0].confirming;
        self.receipts
            .check(&self.context, |chain| confirming.input(chain))
            .map_err(|BadReceipt(first)| (entry, AbortReason::BadReceipt(first)))?;
        for layer in 0..self.layers.0.len() {
            let whole = self.context.whole(Layer(layer as u8)).expect("a signed round has open chains");
            self.confirm(env, layer).map_err(|reason| (whole, reason))?;
        }
        let trails = self.traces.trails().len();
        self.traces.progress(env);
        if self.traces.trails().len() > trails {
            self.claims.look_again();
        }
        self.open_steps(env);
        let is_closed = self.is_closed();
        for ((layer, _), hop) in &mut self.hops {
            let state = &self.layers.0[usize::from(layer.0)];
            hop.progress(env, &state.confirming, state.confirmed.as_ref(), self.traces.trails(), is_closed)
                .map_err(|reason| (hop.place().stage, reason))?;
        }
        Ok(())
    }

    /// Opens the own steps that traces ask for. Nothing is opened for a chain whose layer is not confirmed, nor when
    /// anybody who takes part is convicted.
    fn open_steps(&mut self, env: &mut Env<'_>) {
        if env.convictions.active(&self.context).is_some() {
            return;
        }
        let is_own = |place: Place| self.context.server_at(place) == Some(self.context.me);
        for (accuser, place) in self.traces.asked(is_own) {
            let is_confirmed = |stage: Stage| self.layers.0[usize::from(stage.layer.0)].confirmed.is_some();
            let Some(trace) = self.traces.open(accuser).filter(|_| is_confirmed(accuser.stage)) else { continue };
            let Some(hop) = self.hops.get_mut(&(place.stage.layer, place.stage.chain)) else { continue };
            let confirming = &self.layers.0[usize::from(place.stage.layer.0)].confirming;
            let Some(input) = confirming.input(place.stage.chain) else { continue };
            if let Some(stepping) = hop.step(env, input, trace) {
                self.traces.set_stepped(accuser, place);
                let key = Arc::clone(env.key);
                env.run(Some(place.stage), Work::Step(Box::new(stepping), key));
            }
        }
    }

    /// Notes what an audit of the round needs: that the own noise is in the inputs, and who has confirmed them.
    pub(crate) fn note_inputs(&self, audit: &mut Audit) {
        let entry = &self.layers.0[0];
        if audit.branches.is_none() && entry.signed {
            audit.branches = Some(self.receipts.branches());
        }
        if audit.entered.is_none()
            && let Some(confirmed) = &entry.confirmed
        {
            let (inputs, confirmations) = (confirmed.inputs().to_vec(), entry.confirming.signatures());
            audit.entered = Some(Entered { inputs, confirmations });
        }
    }

    /// A verdict against a server that takes part ends the round, unless it is closed: then the gate holds back just
    /// the chains that the convicted is in, and nothing is opened any more.
    pub(crate) fn on_conviction(&mut self, env: &mut Env<'_>) -> Life {
        let whole = self.context.whole(Layer(0)).expect("a signed round has open chains");
        let step = match env.convictions.active(&self.context) {
            Some(server) if !self.is_closed() => Err(AbortReason::Convicted(server)),
            _ => Ok(()),
        };
        self.settle(env, whole, step)
    }

    /// Signs a layer's vector once all its inputs are there, and notes when everybody has.
    fn confirm(&mut self, env: &mut Env<'_>, index: usize) -> Step {
        let layer = Layer(index as u8);
        // Layers close in order: nothing may enter a later one before the one before is closed for everybody.
        if index.checked_sub(1).is_some_and(|before| self.layers.0[before].confirmed.is_none()) {
            return Ok(());
        }
        let state = &mut self.layers.0[index];
        if state.confirming.vector(&self.context).is_some()
            && let Some(noise) = self.receipts.begin_search(layer)
        {
            let inputs = state.inputs();
            env.run(None, Work::FindNoise(Search { layer, inputs, noise }));
        }
        if let (false, true, Some(vector)) =
            (state.signed, self.receipts.are_complete(&self.context, layer), state.confirming.vector(&self.context))
        {
            let _once = env.claim(Act::Confirm(layer))?;
            state.signed = true;
            let signature = env.sign(&statement::confirmation(self.context.digest(), layer, &vector));
            let round = self.context.round();
            env.broadcast(Message::Confirmation(Confirmation { round, layer, vector, signature }));
        }
        if state.confirmed.is_none() {
            state.confirmed = state.confirming.confirmed(&self.context);
            if state.confirmed.is_some() {
                state.lists.clear();
                self.hops.values_mut().for_each(|hop| hop.forget(layer));
            }
        }
        Ok(())
    }

    /// Releases nothing more, and says so.
    fn fail(&mut self, env: &mut Env<'_>, stage: Stage, reason: AbortReason) {
        env.notice(Notice::Aborted { stage, reason });
        let signature = env.sign(&statement::abort(self.context.digest(), stage, &reason));
        let abort = Message::Abort(Abort { stage, reason, signature });
        env.send_coordinator(abort.clone());
        env.broadcast_to_others(abort);
        if self.is_closed() {
            self.finish(stage.layer, stage.chain);
        } else {
            self.give_up();
        }
    }

    /// Lets go of the hops with their secrets. What answers claims stays: whoever is claimed to have dropped a record
    /// does not get away by ending the round.
    fn give_up(&mut self) {
        self.failed = true;
        let hops = std::mem::take(&mut self.hops).into_iter();
        self.kept.extend(hops.map(|(place, hop)| (place, hop.into_kept().0)));
    }

    /// Whether claims may still be made in a round that has failed.
    fn may_be_claimed(&self, now_ms: u64) -> bool {
        claim::may_be_made(&self.context)
            && self.layers.0[0].confirmed.is_some()
            && now_ms < self.context.first_due_ms()
    }

    fn finish_hops(&mut self) {
        let done = self.hops.iter().filter(|(_, hop)| hop.back.is_done()).map(|(place, _)| *place);
        done.collect::<Vec<_>>().into_iter().for_each(|(layer, chain)| self.finish(layer, chain));
    }

    /// Lets go of one hop of a closed round. What answers claims of spoiled replies stays.
    fn finish(&mut self, layer: Layer, chain: ChainId) {
        if let Some(hop) = self.hops.remove(&(layer, chain)) {
            self.hops_verified += hop.hops_verified;
            self.returned.extend(hop.into_kept().1);
        }
    }

    /// Tells the coordinator, once, that nothing more is to be expected of this server.
    fn report(&mut self, env: &mut Env<'_>) {
        if std::mem::replace(&mut self.reported, true) {
            return;
        }
        let round = self.context.round();
        let collected = self.context.window_start_ms() + self.context.params().collect_ms;
        let mixing_ms = env.now_ms.saturating_sub(collected);
        env.send_coordinator(Message::Report(Report { round, hops_verified: self.hops_verified, mixing_ms }));
    }

    /// Looks at the clock. Replies that are due and have not come are replaced, if the last layer is closed; a round
    /// that has not come so far by then has failed for everybody. At the deadline it ends in any case, with its secrets.
    pub(crate) fn on_tick(&mut self, env: &mut Env<'_>) -> Life {
        let (due_ms, over) = (self.context.first_due_ms(), env.now_ms >= self.context.deadline_ms());
        if over || env.now_ms >= due_ms && !self.is_closed() {
            return self.run_out_of_time(env);
        }
        if env.now_ms < due_ms {
            return Life::GoesOn;
        }
        self.hops.values_mut().for_each(|hop| hop.back.on_clock(env));
        self.check_replies(env);
        let whole = self.context.whole(Layer(0)).expect("a signed round has open chains");
        self.settle(env, whole, Ok(()))
    }

    fn run_out_of_time(&mut self, env: &mut Env<'_>) -> Life {
        if let Some(stage) = self.claims.waits_for().filter(|_| !self.is_closed()) {
            self.fail(env, stage, AbortReason::Deadline(Awaited::Answer.into()));
        }
        if let Some((stage, reason)) = self.complaint().filter(|_| !self.is_done()) {
            self.fail(env, stage, reason);
        }
        self.complain_of_replies(env);
        self.give_up();
        self.report(env);
        Life::Over
    }

    /// Tells the coordinator which first servers have not handed out the replies to the own noise, at the end of a round that
    /// was closed. Who has its reasons has said that it releases nothing more.
    fn complain_of_replies(&self, env: &mut Env<'_>) {
        if self.failed || !self.is_closed() || !reply::may_be_made(&self.context) {
            return;
        }
        for stage in self.own_replies.lacking(&self.context) {
            let from = Some(self.context.first_of(stage));
            let reason = AbortReason::Deadline(Missing { what: Awaited::Replies, from });
            let signature = env.sign(&statement::abort(self.context.digest(), stage, &reason));
            env.send_coordinator(Message::Abort(Abort { stage, reason, signature }));
        }
    }

    /// Whether everything has come that the first vector needs but the receipts for the own noise.
    fn lacks_receipts(&self) -> bool {
        let state = &self.layers.0[0];
        let complete = state.confirming.vector(&self.context).is_some();
        complete && !state.signed && !self.failed && self.context.roster.noise_per_chain() > 0
    }

    /// The first thing in the round that has not come; none once the round is over for this server.
    fn complaint(&self) -> Option<(Stage, AbortReason)> {
        let layer_of = |stage: Stage| &self.layers.0[usize::from(stage.layer.0)];
        let of_hop = |hop: &Hop| {
            let (stage, layer) = (hop.place().stage, layer_of(hop.place().stage));
            (stage, hop.missing(&self.context, &layer.confirming, layer.confirmed.is_some()))
        };
        let unconfirmed = (0..).map(Layer).zip(&self.layers.0).filter(|(_, layer)| layer.confirmed.is_none());
        let of_layers = unconfirmed
            .filter_map(|(layer, state)| Some((self.context.whole(layer)?, state.confirming.missing(&self.context))));
        // Who is asked for a step holds up everything behind the accuser. Once the round is closed replies may have used
        // up what the step is made of, and silence shows nothing.
        let of_traces = self
            .traces
            .waiting(&self.context)
            .map(|(stage, from)| (stage, Missing { what: Awaited::Trail, from: from.filter(|_| !self.is_closed()) }));
        let unexplained = self
            .hops
            .values()
            .flat_map(Hop::unexplained)
            .map(|stage| (stage, Missing { what: Awaited::Trail, from: Some(self.context.last_of(stage)) }));
        let of_receipts = self.receipts.lacking(&self.context).filter(|_| self.lacks_receipts());
        let of_receipts = of_receipts.zip(self.context.whole(Layer(0))).map(|(first, entry)| {
            let what = Awaited::Receipt;
            (entry, Missing { what, from: Some(first) })
        });
        let of_chains = self.hops.values().map(of_hop).chain(of_receipts);
        let missing = of_chains.chain(of_layers).chain(of_traces).chain(unexplained).filter(|_| !self.failed);
        let first = missing.min_by_key(|(stage, missing)| (stage.layer, missing.what, missing.from.is_none()))?;
        Some((first.0, AbortReason::Deadline(first.1)))
    }

    /// The coordinator hears what this server missed, also when another was the first to say that the time is over.
    fn complain(&self, env: &mut Env<'_>, heard: &AbortReason) {
        let is_due = env.now_ms.saturating_add(CLOCK_TOLERANCE_MS) >= self.context.first_due_ms();
        if let (AbortReason::Deadline(_), true, Some((stage, reason))) = (heard, is_due, self.complaint()) {
            let signature = env.sign(&statement::abort(self.context.digest(), stage, &reason));
            env.send_coordinator(Message::Abort(Abort { stage, reason, signature }));
        }
    }

    /// When the clock has to be looked at next, milliseconds since 1970.
    pub(crate) fn next_tick_ms(&self) -> u64 {
        if !self.is_closed() {
            return self.context.first_due_ms();
        }
        let due = self.hops.values().filter_map(|hop| hop.back.due_ms());
        let check_ms = Some(self.context.replies_checked_ms()).filter(|_| !self.replies_checked);
        due.chain(check_ms).chain([self.context.deadline_ms()]).min().unwrap_or(u64::MAX)
    }
}
