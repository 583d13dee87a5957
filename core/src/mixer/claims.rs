//! Claims of missing noise in a round, each server's own and those of others, until they are judged.
//!
//! A claim that does not hold convicts its signer. One that holds is answered by the servers on the record's way: each shows
//! what it put out in its place, and what it was given if that was something else. Then exactly one is guilty.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{
    confirm::Contradiction,
    context::RoundContext,
    input::{InputLists, SignedInput},
};
use crate::{
    claim::{self, Finding, Followed, NoiseCase, NoiseClaim},
    evidence::{SignedStatement, Statement, Traced, Trail, rules},
    ids::{ChainId, Layer, Place, Position, ServerId, Stage},
    message::{AbortReason, NoiseAnswer, ShownPart, SignedBatch},
    statement,
};

/// Most parts that one server shows to one claim: what it was given, what it put out, and what came into its chain. One of
/// them is a parcel at most.
const MAX_PARTS: usize = 3;
/// Longest branch of a Merkle tree.
const MAX_PATH: usize = 32;

/// The claims of a round, one a server at most.
#[derive(Default)]
pub(crate) struct Claims {
    by_claimant: BTreeMap<ServerId, Pending>,
    /// Batches, and parcels with their destination, that servers have signed: one for each place.
    signed: BTreeMap<(Place, Option<ChainId>), SignedStatement>,
}

struct Pending {
    claim: NoiseClaim,
    shown: Vec<ShownPart>,
    /// By whom each of these was shown.
    senders: Vec<ServerId>,
    /// The chains whose inputs the claim is about, once the first of these inputs is known: only the first if the record
    /// cannot be followed.
    way: Option<Vec<Stage>>,
    /// The record's way, once all those inputs are known and the claim holds so far.
    followed: Option<Followed>,
    is_settled: bool,
    has_news: bool,
}

/// A claim that this server may be able to answer: the record's way up to where it is missing.
pub(crate) struct Question {
    pub(crate) claim: NoiseClaim,
    pub(crate) followed: Followed,
}

/// What came of looking at the claims.
pub(crate) enum Progress {
    /// A claim holds so far: what is there of its record is to be shown.
    Asks(Box<Question>),
    /// Somebody is guilty.
    Guilty(Box<NoiseCase>, fn(ServerId) -> AbortReason),
}

/// The signed inputs that a server knows.
pub(crate) trait Inputs {
    /// The input of a stage, if it is known.
    fn input(&self, stage: Stage) -> Option<&SignedInput>;

    /// The lists that came with it, while the layer is not confirmed.
    fn lists(&self, stage: Stage) -> Option<&InputLists>;

    /// The trail of what was removed at a hop, once it is complete.
    fn trail(&self, place: Place) -> Option<(&Trail, &Traced)>;
}

impl Claims {
    /// Takes a claim, from whomever; two different ones of one server contradict each other.
    pub(crate) fn take(&mut self, context: &RoundContext, claim: NoiseClaim) -> Result<(), Contradiction> {
        let claimant = claim.claimant;
        match self.by_claimant.get(&claimant) {
            _ if !claim.is_signed(context) => Ok(()),
            Some(earlier) if earlier.claim.statement(context.digest()) == claim.statement(context.digest()) => Ok(()),
            Some(earlier) => {
                let signed = |claim: &NoiseClaim| SignedStatement {
                    signer: claimant,
                    statement: Statement::Claim { content: claim.content() },
                    signature: claim.signature,
                };
                Err(Contradiction(Box::new([signed(&earlier.claim), signed(&claim)])))
            }
            None => {
                let pending = Pending {
                    claim,
                    shown: Vec::new(),
                    senders: Vec::new(),
                    way: None,
                    followed: None,
                    is_settled: false,
                    has_news: true,
                };
                self.by_claimant.insert(claimant, pending);
                Ok(())
            }
        }
    }

    /// Takes an answer, which brings its claim with it.
    pub(crate) fn take_answer(
        &mut self,
        context: &RoundContext,
        from: ServerId,
        answer: NoiseAnswer,
    ) -> Result<(), Contradiction> {
        let NoiseAnswer { claim, shown } = answer;
        let claimant = claim.claimant;
        self.take(context, claim)?;
        if !may_show(context, from, &shown) {
            return Ok(());
        }
        signed_in(context, &shown).into_iter().try_for_each(|signed| self.note(context, signed))?;
        if let Some(pending) = self.by_claimant.get_mut(&claimant).filter(|pending| !pending.is_settled)
            && pending.has_room(from, &shown)
        {
            pending.shown.push(shown);
            pending.senders.push(from);
            pending.has_news = true;
        }
        Ok(())
    }

    /// Takes what a server has signed of a batch or a parcel; two different ones for one place contradict each other,
    /// whoever shows them.
    pub(crate) fn note(&mut self, context: &RoundContext, signed: SignedStatement) -> Result<(), Contradiction> {
        let last = context.last_position();
        let place = match signed.statement {
            Statement::Batch(batch) => (batch.place, None),
            Statement::Parcel(parcel) => (Place { stage: parcel.source, position: last }, Some(parcel.destination)),
            _ => return Ok(()),
        };
        let earlier = *self.signed.entry(place).or_insert(signed);
        let contradicts = earlier.contradicts(context, &signed);
        if contradicts { Err(Contradiction(Box::new([earlier, signed]))) } else { Ok(()) }
    }

    /// Where a record should have come whose claim holds so far and has not been answered.
    pub(crate) fn waits_for(&self) -> Option<Stage> {
        let open = self.by_claimant.values().filter(|pending| !pending.is_settled);
        open.filter_map(|pending| pending.followed.as_ref()).map(|followed| followed.last().destination).next()
    }

    /// A trail has come to its end, which may be what a claim waits for.
    pub(crate) fn look_again(&mut self) {
        self.by_claimant.values_mut().for_each(|pending| pending.has_news = true);
    }

    /// Looks at the next claim about which there is something new.
    pub(crate) fn next(&mut self, context: &RoundContext, inputs: &impl Inputs) -> Option<Progress> {
        self.by_claimant.values_mut().find_map(|pending| pending.proceed(context, inputs))
    }
}

/// Whether a server shows what is its to show, no larger than it can be, and under the signature that it should have: what
/// anybody could make up takes no room.
fn may_show(context: &RoundContext, from: ServerId, part: &ShownPart) -> bool {
    match part {
        ShownPart::Input { stage, path, .. } => {
            path.0.len() <= MAX_PATH && context.has(*stage) && context.first_of(*stage) == from
        }
        ShownPart::Batch { signed, path, .. } => {
            let Place { stage, position } = signed.batch.place;
            let next = Place { stage, position: Position(position.0.saturating_add(1)) };
            let has_seen = [signed.batch.place, next].map(|place| context.server_at(place)).contains(&Some(from));
            path.0.len() <= MAX_PATH && has_seen && context.batch_is_signed(signed)
        }
        ShownPart::Parcel(parcel) => {
            let Some(commitment) = rules::parcel_commitment(context, parcel) else { return false };
            let (limit, width) = (
                rules::layer_limit(context, parcel.source.layer),
                context.sizes.parcel_record(usize::from(parcel.source.layer.0) + 1),
            );
            let next = context.stage(Layer(parcel.source.layer.0 + 1), parcel.destination);
            let signed = statement::parcel(context.digest(), &commitment);
            parcel.records.len() <= limit as usize * width
                && rules::parcel_batch_fits(context, parcel)
                && context.first_of(next) == from
                && context.signed_by(context.last_of(parcel.source), &signed, &parcel.signature)
        }
    }
}

/// What stands under signatures in a part that may be shown.
fn signed_in(context: &RoundContext, part: &ShownPart) -> Vec<SignedStatement> {
    match part {
        ShownPart::Input { .. } => Vec::new(),
        ShownPart::Batch { signed, .. } => signed_batch(context, signed).into_iter().collect(),
        ShownPart::Parcel(parcel) => {
            let sent = rules::parcel_commitment(context, parcel).map(|commitment| SignedStatement {
                signer: context.last_of(parcel.source),
                statement: Statement::Parcel(commitment),
                signature: parcel.signature,
            });
            let made_from = parcel.batch.as_ref().and_then(|signed| signed_batch(context, signed));
            sent.into_iter().chain(made_from).collect()
        }
    }
}

/// A batch as what its server signs once.
pub(crate) fn signed_batch(context: &RoundContext, signed: &SignedBatch) -> Option<SignedStatement> {
    let SignedBatch { batch, signature } = *signed;
    Some(SignedStatement { signer: context.server_at(batch.place)?, statement: Statement::Batch(batch), signature })
}

impl Pending {
    /// Whether a server may show this besides what it has shown, as far as the record's way is known.
    fn has_room(&self, from: ServerId, part: &ShownPart) -> bool {
        let shown = || self.senders.iter().zip(&self.shown);
        let earlier = || shown().filter(|(earlier, _)| **earlier == from).map(|(_, part)| part);
        let is_parcel = |part: &ShownPart| matches!(part, ShownPart::Parcel(_));
        earlier().count() < MAX_PARTS
            && !(is_parcel(part) && earlier().any(is_parcel))
            && self.way.as_ref().is_none_or(|way| is_on(way, part))
    }

    fn proceed(&mut self, context: &RoundContext, inputs: &impl Inputs) -> Option<Progress> {
        if self.is_settled || !self.has_news {
            return None;
        }
        let case = self.case(context, inputs)?;
        self.has_news = false;
        let trail = self.trail(context, inputs).map(|(trail, _)| trail);
        let finding = case.judge(context, trail);
        self.is_settled = !matches!(finding, Finding::Open(_));
        match finding {
            Finding::Open(followed) => {
                self.shown = case.shown;
                let is_new = self.followed.is_none();
                let followed = self.followed.insert(*followed).clone();
                is_new.then(|| Progress::Asks(Box::new(Question { claim: self.claim.clone(), followed })))
            }
            Finding::Nothing => None,
            Finding::Dropped(_) => Some(Progress::Guilty(Box::new(case), AbortReason::DroppedNoise)),
            Finding::False(_) => Some(Progress::Guilty(Box::new(case), AbortReason::FalseClaim)),
        }
    }

    /// The chains that the claim is about, once that can be told. A record that cannot be followed makes the claim false by
    /// itself.
    fn way(&mut self, context: &RoundContext, inputs: &impl Inputs) -> Option<&[Stage]> {
        if self.way.is_none() {
            let first = self.claim.record.stage;
            let followed = claim::follow(context, inputs.input(first)?.commitment(), &self.claim);
            let way = followed.map_or_else(|_| vec![first], |followed| followed.stages().collect());
            let shown = std::mem::take(&mut self.senders).into_iter().zip(std::mem::take(&mut self.shown));
            (self.senders, self.shown) = shown.filter(|(_, part)| is_on(&way, part)).unzip();
            self.way = Some(way);
        }
        self.way.as_deref()
    }

    /// The case as far as it is known, with what was shown moved into it; none while an input on the record's way is not
    /// known.
    fn case(&mut self, context: &RoundContext, known: &impl Inputs) -> Option<NoiseCase> {
        let way = self.way(context, known)?;
        let roots: Option<Vec<_>> = way.iter().map(|stage| Some(known.input(*stage)?.agreed().clone())).collect();
        let lists = way.get(1..).and_then(<[Stage]>::last).and_then(|lacking| known.lists(*lacking));
        let (fingerprints, left_out) =
            lists.map(|lists| (lists.fingerprints.clone(), lists.left_out.clone())).unwrap_or_default();
        let (claim, inputs) = (self.claim.clone(), roots?);
        let shown = std::mem::take(&mut self.shown);
        let trail = self.trail(context, known).map(|(_, traced)| traced.clone());
        Some(NoiseCase { claim, inputs, fingerprints, left_out, shown, trail })
    }

    /// The trail at the end of the chain that is to have lost the record.
    fn trail<'a>(&self, context: &RoundContext, inputs: &'a impl Inputs) -> Option<(&'a Trail, &'a Traced)> {
        let [.., source, _] = self.way.as_deref()? else { return None };
        inputs.trail(Place { stage: *source, position: context.last_position() })
    }
}

/// Whether a part is about one of these chains.
fn is_on(way: &[Stage], part: &ShownPart) -> bool {
    way.contains(match part {
        ShownPart::Input { stage, .. } => stage,
        ShownPart::Batch { signed, .. } => &signed.batch.place.stage,
        ShownPart::Parcel(parcel) => &parcel.source,
    })
}
