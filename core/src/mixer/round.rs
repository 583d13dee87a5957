//! A round under way at a server: its hops, and the confirmation of each layer that they wait for.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Env, Notice,
    confirm::{ConfirmedLayer, Confirming, Contradiction},
    context::RoundContext,
    hop::{Hop, Step},
    input::SignedInput,
    job::{JobDone, Outcome, Work},
};
use crate::{
    ids::{ChainId, Layer, Party, Place, ServerId, Stage},
    marks::Act,
    message::{Abort, AbortReason, Confirmation, Message, Noise, Report},
    statement,
};

/// A round from its announcement to its end.
pub(crate) struct Running {
    pub(crate) context: Arc<RoundContext>,
    layers: Vec<LayerState>,
    hops: BTreeMap<(Layer, ChainId), Hop>,
    hops_verified: u32,
    noise_sent: bool,
    failed: bool,
}

struct LayerState {
    confirming: Confirming,
    signed: bool,
    confirmed: Option<ConfirmedLayer>,
}

/// Whether a round goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    GoesOn,
    Over,
}

impl Running {
    /// Begins a round: noise and the offline parts of the proofs are made at once.
    pub(crate) fn begin(env: &mut Env<'_>, secrets: Vec<(Place, hippodrome_crypto::hop::HopSecret)>) -> Self {
        let context = Arc::clone(env.context);
        let key = Arc::clone(env.key);
        env.run(None, Work::Noise(key));
        let hops: BTreeMap<_, _> = secrets
            .into_iter()
            .map(|(place, secret)| ((place.stage.layer, place.stage.chain), Hop::new(&context, place, secret)))
            .collect();
        hops.values().for_each(|hop| hop.prepare(env));
        let layers = (0..context.params().layers)
            .map(|layer| LayerState { confirming: Confirming::new(Layer(layer)), signed: false, confirmed: None })
            .collect();
        Self { context, layers, hops, hops_verified: 0, noise_sent: false, failed: false }
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
            Message::Confirmation(message) => whole(message.layer),
            Message::Batch(message) => Some(message.batch.place.stage),
            Message::Proof(message) => Some(message.batch.place.stage),
            Message::Parcel(message) => Some(Stage {
                layer: Layer(message.source.layer.0.checked_add(1)?),
                chain: message.destination,
                ..message.source
            }),
            Message::ReturnBatch(message) => Some(message.place.stage),
            Message::ReturnParcel(message) => Some(Stage {
                layer: Layer(message.source.layer.0.checked_sub(1)?),
                chain: message.destination,
                ..message.source
            }),
            Message::Abort(message) => Some(message.stage),
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
                match SignedInput::verify(&self.context, &message) {
                    Ok(input) => {
                        let confirming = &mut self.layers[usize::from(stage.layer.0)].confirming;
                        let added = confirming.add_input(&self.context, input);
                        self.contradicted(env, added)
                    }
                    Err(_) if from == self.context.first_of(stage) => Err(AbortReason::BadMessage(from)),
                    Err(_) => {
                        env.notice(Notice::Ignored { what: "an input that not all members signed, from a stranger" });
                        Ok(())
                    }
                }
            }
            Message::Confirmation(message) => {
                let confirming = &mut self.layers[usize::from(message.layer.0)].confirming;
                let added = confirming.add_confirmation(&self.context, from, &message);
                self.contradicted(env, added)
            }
            Message::Abort(message) => self.on_abort(env, from, &message),
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
            Message::ReturnBatch(message) => self.at(message.place.stage, |hop| {
                hop.back.on_batch(env, from, message);
                Ok(())
            }),
            Message::ReturnParcel(message) => {
                let stage = self.context.stage(Layer(message.source.layer.0 - 1), message.destination);
                self.at(stage, |hop| {
                    hop.back.on_parcel(env, from, message);
                    Ok(())
                })
            }
            _ => {
                env.notice(Notice::Ignored { what: "a message that servers do not send each other" });
                Ok(())
            }
        }
    }

    /// Two signed statements that contradict each other convict. They end the round, unless it is closed: then the gate
    /// holds back just the chains that the liar is in.
    fn contradicted(&self, env: &mut Env<'_>, added: Result<(), Contradiction>) -> Step {
        let Err(Contradiction(liar)) = added else { return Ok(()) };
        let reason = env.convict(liar, AbortReason::Equivocation(liar));
        if self.is_closed() { Ok(()) } else { Err(reason) }
    }

    fn hop(&mut self, stage: Stage) -> Option<&mut Hop> {
        self.hops.get_mut(&(stage.layer, stage.chain))
    }

    /// What is sent to us about a chain in which we have no turn is dropped.
    fn at(&mut self, stage: Stage, step: impl FnOnce(&mut Hop) -> Step) -> Step {
        self.hop(stage).map_or(Ok(()), step)
    }

    /// Another server releases nothing more: before the last layer is confirmed that ends the round for all, after it
    /// only the chain's.
    fn on_abort(&mut self, env: &mut Env<'_>, from: ServerId, abort: &Abort) -> Step {
        let signed = statement::abort(self.context.digest(), abort.stage, &abort.reason);
        if self.context.signed_by(from, &signed, &abort.signature) && !self.is_closed() {
            env.notice(Notice::AbortedBy { server: from, stage: abort.stage, reason: abort.reason });
            self.failed = true;
            self.hops.clear();
        }
        Ok(())
    }

    /// Whether the last layer's inputs are confirmed, so that chains may fail alone.
    fn is_closed(&self) -> bool {
        self.layers.last().is_some_and(|layer| layer.confirmed.is_some())
    }

    /// Takes the result of a job in.
    pub(crate) fn on_done(&mut self, env: &mut Env<'_>, done: JobDone) -> Life {
        let Some(stage) = done.id.stage else {
            if let Outcome::Noise(noise) = done.outcome {
                for (chain, submissions) in noise {
                    let stage = self.context.stage(Layer(0), chain);
                    env.send_coordinator(Message::Noise(Noise { stage, submissions }));
                }
                self.noise_sent = true;
            }
            return Life::GoesOn;
        };
        let step = self.hop(stage).map_or(Ok(()), |hop| match done.outcome {
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
            Outcome::Noise(_) => Ok(()),
        });
        self.settle(env, stage, step)
    }

    /// Goes as far as possible after a step, or ends what the step's failure ends.
    fn settle(&mut self, env: &mut Env<'_>, stage: Stage, step: Step) -> Life {
        if let Err(reason) = step {
            self.fail(env, stage, reason);
        }
        // One chain that fails keeps no other from going on; each failure takes a hop away.
        for _ in 0..=self.hops.len() {
            if self.failed {
                break;
            }
            match self.progress(env) {
                Ok(()) => break,
                Err((stage, reason)) => self.fail(env, stage, reason),
            }
        }
        self.finish_hops();
        if self.is_over() { self.end(env) } else { Life::GoesOn }
    }

    /// A server that has no turn in a round still sends noise and confirms every layer.
    fn is_over(&self) -> bool {
        let part_done = self.noise_sent && self.layers.iter().all(|layer| layer.confirmed.is_some());
        self.hops.is_empty() && (self.failed || part_done)
    }

    fn progress(&mut self, env: &mut Env<'_>) -> Result<(), (Stage, AbortReason)> {
        for layer in 0..self.layers.len() {
            let whole = self.context.whole(Layer(layer as u8)).expect("a signed round has open chains");
            self.confirm(env, layer).map_err(|reason| (whole, reason))?;
        }
        for ((layer, _), hop) in &mut self.hops {
            let state = &self.layers[usize::from(layer.0)];
            hop.progress(env, &state.confirming, state.confirmed.as_ref())
                .map_err(|reason| (hop.place().stage, reason))?;
        }
        Ok(())
    }

    /// Signs a layer's vector once all its inputs are there, and notes when everybody has.
    fn confirm(&mut self, env: &mut Env<'_>, index: usize) -> Step {
        let layer = Layer(index as u8);
        // Layers close in order: nothing may enter a later one before the one before is closed for everybody.
        if index.checked_sub(1).is_some_and(|before| self.layers[before].confirmed.is_none()) {
            return Ok(());
        }
        let state = &mut self.layers[index];
        if let (false, Some(vector)) = (state.signed, state.confirming.vector(&self.context)) {
            let _once = env.claim(Act::Confirm(layer))?;
            state.signed = true;
            let signature = env.sign(&statement::confirmation(self.context.digest(), layer, &vector));
            let round = self.context.round();
            env.broadcast(Message::Confirmation(Confirmation { round, layer, vector, signature }));
        }
        if state.confirmed.is_none() {
            state.confirmed = state.confirming.confirmed(&self.context);
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
            if let Some(hop) = self.hops.remove(&(stage.layer, stage.chain)) {
                self.hops_verified += hop.hops_verified;
            }
        } else {
            self.failed = true;
            self.hops.clear();
        }
    }

    fn finish_hops(&mut self) {
        let done: Vec<_> = self
            .hops
            .iter()
            .filter(|(_, hop)| hop.back.is_done())
            .map(|(key, hop)| (*key, hop.hops_verified))
            .collect();
        for (key, verified) in done {
            self.hops.remove(&key);
            self.hops_verified += verified;
        }
    }

    fn end(&mut self, env: &mut Env<'_>) -> Life {
        let round = self.context.round();
        let collected = self.context.window_start_ms() + self.context.params().collect_ms;
        let mixing_ms = env.now_ms.saturating_sub(collected);
        env.send_coordinator(Message::Report(Report { round, hops_verified: self.hops_verified, mixing_ms }));
        Life::Over
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
        let whole = self.context.whole(Layer(0)).expect("a signed round has open chains");
        self.settle(env, whole, Ok(()))
    }

    fn run_out_of_time(&mut self, env: &mut Env<'_>) -> Life {
        if let Some(hop) = self.hops.values().next() {
            let confirmed = self.layers[usize::from(hop.place().stage.layer.0)].confirmed.is_some();
            let (stage, reason) = (hop.place().stage, AbortReason::Deadline(hop.awaited(confirmed)));
            self.fail(env, stage, reason);
        }
        self.hops.clear();
        self.end(env)
    }

    /// When the clock has to be looked at next, milliseconds since 1970.
    pub(crate) fn next_tick_ms(&self) -> u64 {
        if !self.is_closed() {
            return self.context.first_due_ms();
        }
        let due = self.hops.values().filter_map(|hop| hop.back.due_ms());
        due.chain([self.context.deadline_ms()]).min().unwrap_or(u64::MAX)
    }
}
