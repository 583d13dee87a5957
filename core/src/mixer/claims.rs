//! Claims of missing noise in a round, each server's own and those of others, until they are judged.
//!
//! A claim that does not hold convicts its signer. One that holds is answered by the first servers of the chains that the
//! record should have come into; then exactly one server is guilty: the last of the chain that it came from, whose signed
//! parcel lacks it, or the first of the chain that it went to, which left it out of the input.

use std::collections::BTreeMap;

use hippodrome_crypto::merkle;

use super::{confirm::Contradiction, context::RoundContext, input::InputLists};
use crate::{
    claim::{self, Dropped, Followed, NoiseClaim, Step},
    evidence::{SignedStatement, Statement, rules},
    ids::{Layer, ServerId, Stage},
    message::{AbortReason, InputCommitment, NoiseAnswer, Parcel, ShownPart},
    params::Verification,
    statement,
    submission::ParcelRecord,
};

/// Answers that are kept for a claim before it can be judged.
const MAX_EARLY_ANSWERS: usize = 8;

/// The claims of a round, one a server at most.
#[derive(Default)]
pub(crate) struct Claims(BTreeMap<ServerId, Case>);

struct Case {
    claim: NoiseClaim,
    /// What came before the inputs that the claim is about.
    early: Vec<NoiseAnswer>,
    state: State,
}

enum State {
    /// Some input is not known yet.
    New,
    /// The claim holds, whatever the answers are.
    Open(Box<Open>),
    /// Judged, or about inputs that nobody knows.
    Settled,
}

struct Open {
    followed: Followed,
    /// For each chain on the way before the last one, whether its first server has shown the record.
    arrived: Vec<bool>,
    dropped: Option<Dropped>,
}

/// A part of an answer that this server may have: the claim, where the record should have come, and whether it is missing.
pub(crate) struct Question {
    pub(crate) claim: NoiseClaim,
    pub(crate) step: Step,
    pub(crate) is_missing: bool,
}

/// The signed inputs that a server knows, with their lists.
pub(crate) trait Inputs {
    /// The input of a stage, if it is known.
    fn input(&self, stage: Stage) -> Option<&InputCommitment>;

    /// The lists that came with it, while the layer is not confirmed.
    fn lists(&self, stage: Stage) -> Option<&InputLists>;
}

impl Claims {
    /// Takes a claim, from whomever; two different ones of one server contradict each other.
    pub(crate) fn take(&mut self, context: &RoundContext, claim: NoiseClaim) -> Result<(), Contradiction> {
        let claimant = claim.claimant;
        let is_signed = may_be_made(context)
            && context.roster.is_active(claimant)
            && context.signed_by(claimant, &claim.statement(context.digest()), &claim.signature);
        match self.0.get(&claimant) {
            _ if !is_signed => Ok(()),
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
                self.0.insert(claimant, Case { claim, early: Vec::new(), state: State::New });
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
        if !context.has(answer.stage) || context.first_of(answer.stage) != from {
            return Ok(());
        }
        self.take(context, answer.claim.clone())?;
        if let Some(case) = self.0.get_mut(&answer.claim.claimant) {
            let is_new = case.early.iter().all(|earlier| earlier.stage != answer.stage);
            if is_new && case.early.len() < MAX_EARLY_ANSWERS && !matches!(case.state, State::Settled) {
                case.early.push(answer);
            }
        }
        Ok(())
    }

    /// Where a record should have come whose claim holds so far and has not been answered.
    pub(crate) fn waits_for(&self, context: &RoundContext) -> Option<Stage> {
        let open = |case: &Case| match &case.state {
            State::Open(open) => Some(open.followed.last().destination),
            State::New | State::Settled => None,
        };
        self.0.values().find_map(open).filter(|stage| context.has(*stage))
    }

    /// Opens the next claim whose inputs are known: what this server may be able to answer, or whom it convicts.
    pub(crate) fn open_next(
        &mut self,
        context: &RoundContext,
        inputs: &impl Inputs,
    ) -> Option<Result<Vec<Question>, AbortReason>> {
        self.0.iter_mut().filter(|(_, case)| matches!(case.state, State::New)).find_map(|(&claimant, case)| {
            case.state = match examine(context, inputs, &case.claim) {
                Ok(State::New) => return None,
                Ok(state) => state,
                Err(_) => {
                    case.state = State::Settled;
                    return Some(Err(AbortReason::FalseClaim(claimant)));
                }
            };
            match &case.state {
                State::Open(open) => Some(Ok(questions_to(context, &case.claim, &open.followed).collect())),
                State::New | State::Settled => Some(Ok(Vec::new())),
            }
        })
    }

    /// Judges what has been answered; names the next server that is found guilty.
    pub(crate) fn judge_next(&mut self, context: &RoundContext, inputs: &impl Inputs) -> Option<AbortReason> {
        self.0.iter_mut().find_map(|(&claimant, case)| {
            let State::Open(open) = &mut case.state else { return None };
            let mut answers = std::mem::take(&mut case.early).into_iter();
            let guilty = match answers.try_for_each(|answer| open.weigh(context, inputs, &answer)) {
                Err(_) => AbortReason::FalseClaim(claimant),
                Ok(()) => AbortReason::DroppedNoise(open.guilty(context)?),
            };
            case.state = State::Settled;
            Some(guilty)
        })
    }
}

/// Whether noise can be claimed to be missing. It takes a layer after the first, and proofs that every single key came
/// through: without them it could have been lost at any hop by rule, so that nothing would follow from a claim.
pub(crate) fn may_be_made(context: &RoundContext) -> bool {
    let params = context.params();
    params.layers > 1 && params.noise_per_chain > 0 && params.verification == Verification::Full
}

/// The claim's state, as far as the inputs are known.
fn examine(context: &RoundContext, inputs: &impl Inputs, claim: &NoiseClaim) -> Result<State, claim::FalseClaim> {
    let entered = claim.record.stage;
    if !context.has(entered) || entered.layer != Layer(0) {
        return Err(claim::FalseClaim::NotInInput);
    }
    let Some(entry) = inputs.input(entered) else { return Ok(State::New) };
    if statement::input(context.digest(), entry) != claim.record.input {
        return Ok(State::Settled);
    }
    let followed = claim::follow(&context.descriptor, entry, claim)?;
    let destination = followed.last().destination;
    let Some(input) = inputs.input(destination) else { return Ok(State::New) };
    let Some(lists) = inputs.lists(destination).filter(|_| names(context, claim, input)) else {
        return Ok(State::Settled);
    };
    claim::check_absent(followed.last(), input, &lists.fingerprints, &lists.left_out)?;
    let arrived = vec![false; followed.earlier().len()];
    Ok(State::Open(Box::new(Open { followed, arrived, dropped: None })))
}

/// Whether a claim is about this input.
fn names(context: &RoundContext, claim: &NoiseClaim, input: &InputCommitment) -> bool {
    statement::input(context.digest(), input) == claim.lacking
}

/// The parts of a record's way at whose end this server is the first of a chain.
fn questions_to<'a>(
    context: &'a RoundContext,
    claim: &'a NoiseClaim,
    followed: &'a Followed,
) -> impl Iterator<Item = Question> + 'a {
    let parts = followed.earlier().iter().map(|step| (step, false)).chain([(followed.last(), true)]);
    parts.filter(|(step, _)| context.first_of(step.destination) == context.me).map(|(step, is_missing)| Question {
        claim: claim.clone(),
        step: step.clone(),
        is_missing,
    })
}

impl Open {
    /// Takes in what an answer shows; what shows nothing is as if it had not come.
    fn weigh(
        &mut self,
        context: &RoundContext,
        inputs: &impl Inputs,
        answer: &NoiseAnswer,
    ) -> Result<(), claim::FalseClaim> {
        match &answer.shown {
            ShownPart::Input { index, path } => {
                let earlier = self.followed.earlier().iter().position(|step| step.destination == answer.stage);
                if let (Some(place), Some(input)) = (earlier, inputs.input(answer.stage)) {
                    let leaf = self.followed.earlier()[place].input_leaf();
                    let is_there = merkle::verify(&input.root, input.count.into(), (*index).into(), &leaf, path);
                    self.arrived[place] |= is_there.is_ok();
                }
            }
            ShownPart::Parcel(parcel) => {
                let step = self.followed.last();
                if let (Some(input), Some(lists)) = (inputs.input(step.destination), inputs.lists(step.destination))
                    && parcel_is_of(context, step, parcel)
                {
                    let InputLists { fingerprints, left_out } = lists;
                    self.dropped = Some(claim::judge(&self.followed, input, fingerprints, left_out, &parcel.records)?);
                }
            }
        }
        Ok(())
    }

    fn guilty(&self, context: &RoundContext) -> Option<ServerId> {
        let step = self.followed.last();
        match self.dropped? {
            Dropped::ByReceiver => Some(context.first_of(step.destination)),
            // Only what had come into the source can have been dropped by its last server.
            Dropped::BySender => self.arrived.iter().all(|arrived| *arrived).then(|| context.last_of(step.source)),
        }
    }
}

/// Whether a parcel is the one in which a record should have come, signed by the last server of the source.
fn parcel_is_of(context: &RoundContext, step: &Step, parcel: &Parcel) -> bool {
    let width = context.sizes.parcel_record(step.destination.layer.0.into());
    if parcel.source != step.source
        || parcel.destination != step.destination.chain
        || !parcel.records.len().is_multiple_of(width)
    {
        return false;
    }
    let Some(commitment) = rules::parcel_commitment(context, parcel) else { return false };
    let records = rules::parcel_records(context, &commitment, &parcel.records);
    let count = parcel.records.len() / width;
    let signed = statement::parcel(context.digest(), parcel.source, parcel.destination, count, &parcel.root);
    records.is_some_and(|records| records.iter().all(|record| ParcelRecord::decode(record).is_ok()))
        && context.signed_by(context.last_of(parcel.source), &signed, &parcel.signature)
}
