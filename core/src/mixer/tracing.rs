//! The traces of a round at one server: accusations and steps as they come in, each checked in its turn.
//!
//! Every server checks every trace, whether or not it has a part in it, so that the removal of records needs no further
//! message. A server opens its own step only when everything that was shown before it holds.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hippodrome_crypto::{hash::Digest, signing::Signature};

use super::{Env, confirm::the_one, context::RoundContext, hop::Step, job::Work};
use crate::{
    evidence::{Accusation, Evidence, Judged, SignedStatement, Statement, Trace, TraceStep, Traced, Trail, rules},
    ids::{Layer, Place, ServerId, Stage},
    message::AbortReason,
    params::Verification,
};

/// Most traces of a round: each hop accuses once.
fn most_traces(context: &RoundContext) -> usize {
    let layers = (0..context.params().layers).map(|layer| context.open(Layer(layer)).len());
    layers.sum::<usize>() * usize::from(context.params().chain_len)
}

/// Most bytes of a step that shows so many records of a hop.
fn most_bytes(context: &RoundContext, place: Place, records: usize) -> usize {
    let (layer, hop) = (place.stage.layer.0.into(), place.position.0.into());
    let record = context.sizes.record(layer, hop) + context.sizes.entry(layer) + MAX_SHOWN_LEN;
    records.min(rules::layer_limit(context, place.stage.layer) as usize).saturating_mul(record)
}

/// Most bytes of one server's steps that come before the accusation that they are for: a thousand records of some hops.
const MAX_EARLY_LEN: usize = 8 << 20;

/// Most bytes of everything about a shown record but record and entry: two branches and two points, and the rest.
const MAX_SHOWN_LEN: usize = 2 * 32 * 32 + 256;

/// The traces of a round.
#[derive(Default)]
pub(crate) struct Traces {
    by_accuser: BTreeMap<Place, Tracing>,
    /// Signed steps that wait for their turn, by hop and accusation.
    steps: BTreeMap<(Place, Digest), Arc<TraceStep>>,
    trails: BTreeMap<Place, Trail>,
    /// What each of these trails is shown by.
    shown: BTreeMap<Place, Traced>,
}

struct Tracing {
    digest: Digest,
    content: Digest,
    signature: Signature,
    /// Records that it accuses.
    records: usize,
    state: State,
    /// Own hops whose step is being made, or has been.
    stepped: BTreeSet<Place>,
}

enum State {
    /// An accusation or a step is being checked.
    Busy,
    /// Everything so far holds.
    Open(Box<Trace>),
    /// At authors, or at a server that lied.
    Ended,
}

impl Traces {
    /// Traces that have come to their end, by the hop at which the records failed.
    pub(crate) fn trails(&self) -> &BTreeMap<Place, Trail> {
        &self.trails
    }

    /// A trail with what it is shown by.
    pub(crate) fn trail(&self, place: Place) -> Option<(&Trail, &Traced)> {
        self.trails.get(&place).zip(self.shown.get(&place))
    }

    /// Takes an accusation. Each hop has one in a round.
    pub(crate) fn on_accusation(&mut self, env: &mut Env<'_>, from: ServerId, accusation: Arc<Accusation>) -> Step {
        let (place, signature) = (accusation.place, accusation.signature);
        let descriptor = env.context.digest();
        let (digest, content) = (accusation.digest(descriptor), accusation.content(descriptor));
        let is_heard = env.context.verification() == Verification::Full
            && env.context.server_at(place) == Some(from)
            && env.context.signed_by(from, &digest, &signature);
        if !is_heard {
            env.notice(super::Notice::Ignored { what: "an accusation that is not signed by its accuser" });
            return Ok(());
        }
        if let Some(earlier) = self.by_accuser.get(&place) {
            let signed = |content, signature| SignedStatement {
                signer: from,
                statement: Statement::Accusation { place, content },
                signature,
            };
            let (earlier, later) = (signed(earlier.content, earlier.signature), signed(content, signature));
            return if earlier.statement == later.statement { Ok(()) } else { env.contradiction(earlier, later) };
        }
        let (records, stepped) = (accusation.shown.records.len(), BTreeSet::new());
        let tracing = Tracing { digest, content, signature, records, state: State::Busy, stepped };
        self.by_accuser.insert(place, tracing);
        env.run(Some(place.stage), Work::OpenTrace(accusation));
        Ok(())
    }

    /// Keeps a step until its turn, which may come before its accusation does.
    pub(crate) fn on_step(&mut self, env: &mut Env<'_>, from: ServerId, step: Arc<TraceStep>) {
        let is_heard = self.has_room(env.context, from, &step)
            && env.context.server_at(step.place) == Some(from)
            && env.context.signed_by(from, &step.digest(env.context.digest()), &step.signature);
        if is_heard {
            self.steps.entry((step.place, step.accusation)).or_insert(step);
        } else {
            env.notice(super::Notice::Ignored { what: "a step of a trace that is not signed by its hop" });
        }
    }

    /// Whether a step may wait: one that is for a known accusation, if it shows no more than was accused; of those that
    /// are not, a few from each server.
    fn has_room(&self, context: &RoundContext, from: ServerId, step: &TraceStep) -> bool {
        let accused = |digest| self.by_accuser.values().find(|tracing| tracing.digest == digest);
        if let Some(tracing) = accused(step.accusation) {
            return step.len_bytes() <= most_bytes(context, step.place, tracing.records);
        }
        let early = self.steps.iter().filter(|((place, accusation), _)| {
            context.server_at(*place) == Some(from) && accused(*accusation).is_none()
        });
        let (count, len_bytes) =
            early.fold((0, step.len_bytes()), |(count, len), (_, step)| (count + 1, len + step.len_bytes()));
        count < most_traces(context) && len_bytes <= MAX_EARLY_LEN
    }

    /// Takes what checking an accusation or a step gave. Who stopped the trace by something false is convicted.
    pub(crate) fn on_checked(
        &mut self,
        env: &mut Env<'_>,
        accuser: Place,
        checked: Result<Box<Trace>, Option<Box<Judged>>>,
    ) -> Step {
        let Some(tracing) = self.by_accuser.get_mut(&accuser) else { return Ok(()) };
        match checked {
            Ok(trace) => {
                tracing.state = State::Open(trace);
                Ok(())
            }
            Err(judged) => {
                tracing.state = State::Ended;
                judged.map_or(Ok(()), |judged| Err(env.judged(*judged, AbortReason::Convicted)))
            }
        }
    }

    /// Checks the next steps that are there, and notes the trails of traces that have come to their end.
    pub(crate) fn progress(&mut self, env: &mut Env<'_>) {
        for (place, tracing) in &mut self.by_accuser {
            let State::Open(trace) = &tracing.state else { continue };
            if let Some(trail) = trace.trail() {
                let verdict = trace.verdict().expect("a trail ends at somebody");
                let traced = Traced { accusation: Arc::clone(trace.accusation()), steps: trace.steps().to_vec() };
                let is_ours = env.context.server_at(*place) == Some(env.context.me);
                env.convict_by_trail(Evidence::Trail(traced.clone()), &verdict, is_ours);
                // Noise that is malformed convicts a server, and nothing is released behind that.
                if verdict.servers().next().is_none() {
                    self.trails.insert(*place, trail);
                    self.shown.insert(*place, traced);
                }
                tracing.state = State::Ended;
            } else if let Some(step) =
                trace.wanted().keys().find_map(|place| self.steps.remove(&(*place, tracing.digest)))
                && let State::Open(trace) = std::mem::replace(&mut tracing.state, State::Busy)
            {
                env.run(Some(place.stage), Work::FollowTrace(trace, step));
            }
        }
    }

    /// The traces that ask for a step of a hop of this server which has not been begun.
    pub(crate) fn asked(&self, is_own: impl Fn(Place) -> bool) -> Vec<(Place, Place)> {
        let asked = self.by_accuser.iter().filter_map(|(accuser, tracing)| match &tracing.state {
            State::Open(trace) => Some((accuser, trace, &tracing.stepped)),
            State::Busy | State::Ended => None,
        });
        let places = asked.flat_map(|(accuser, trace, stepped)| {
            trace.wanted().keys().filter(|place| !stepped.contains(place)).map(|place| (*accuser, *place))
        });
        places.filter(|(_, place)| is_own(*place)).collect()
    }

    /// Traces that wait for a step: the stage at which records failed, and from whom, if that is one server.
    pub(crate) fn waiting<'a>(
        &'a self,
        context: &'a RoundContext,
    ) -> impl Iterator<Item = (Stage, Option<ServerId>)> + 'a {
        self.by_accuser.iter().filter_map(|(accuser, tracing)| match &tracing.state {
            State::Open(trace) => {
                let owners = trace.wanted().keys().filter_map(|place| context.server_at(*place));
                Some((accuser.stage, the_one(owners)))
            }
            State::Busy | State::Ended => None,
        })
    }

    /// A trace that goes on, by the hop at which the records failed.
    pub(crate) fn open(&self, accuser: Place) -> Option<&Trace> {
        match &self.by_accuser.get(&accuser)?.state {
            State::Open(trace) => Some(trace),
            State::Busy | State::Ended => None,
        }
    }

    /// Notes that the step of an own hop is being made: it is made once.
    pub(crate) fn set_stepped(&mut self, accuser: Place, place: Place) {
        if let Some(tracing) = self.by_accuser.get_mut(&accuser) {
            tracing.stepped.insert(place);
        }
    }
}
