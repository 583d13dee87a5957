//! Claims of missing noise in a round, each server's own and those of others, until they are judged.
//!
//! A claim that does not hold convicts its signer. One that holds is answered by the servers on the record's way: each shows
//! what it put out in its place, and what it was given if that was something else. Then exactly one is guilty.

use std::collections::BTreeMap;

use super::{
    confirm::Contradiction,
    context::RoundContext,
    input::{InputLists, SignedInput},
};
use crate::{
    claim::{self, Finding, Followed, NoiseCase, NoiseClaim},
    evidence::{SignedStatement, Statement},
    ids::{ServerId, Stage},
    message::{AbortReason, NoiseAnswer, ShownPart},
};

/// Most parts that one server shows to one claim: what it was given, what it put out, and what came into its chain.
const MAX_PARTS: usize = 3;

/// The claims of a round, one a server at most.
#[derive(Default)]
pub(crate) struct Claims(BTreeMap<ServerId, Pending>);

struct Pending {
    claim: NoiseClaim,
    /// By whom it was shown.
    shown: Vec<(ServerId, ShownPart)>,
    /// The record's way, once the inputs that the claim is about are known and it holds so far.
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
}

impl Claims {
    /// Takes a claim, from whomever; two different ones of one server contradict each other.
    pub(crate) fn take(&mut self, context: &RoundContext, claim: NoiseClaim) -> Result<(), Contradiction> {
        let claimant = claim.claimant;
        match self.0.get(&claimant) {
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
                let pending = Pending { claim, shown: Vec::new(), followed: None, is_settled: false, has_news: true };
                self.0.insert(claimant, pending);
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
        if let Some(pending) = self.0.get_mut(&claimant).filter(|pending| !pending.is_settled)
            && pending.shown.iter().filter(|(earlier, _)| *earlier == from).count() < MAX_PARTS
        {
            pending.shown.push((from, shown));
            pending.has_news = true;
        }
        Ok(())
    }

    /// Where a record should have come whose claim holds so far and has not been answered.
    pub(crate) fn waits_for(&self) -> Option<Stage> {
        let open = self.0.values().filter(|pending| !pending.is_settled);
        open.filter_map(|pending| pending.followed.as_ref()).map(|followed| followed.last().destination).next()
    }

    /// Looks at the next claim about which there is something new.
    pub(crate) fn next(&mut self, context: &RoundContext, inputs: &impl Inputs) -> Option<Progress> {
        self.0.values_mut().find_map(|pending| pending.proceed(context, inputs))
    }
}

impl Pending {
    fn proceed(&mut self, context: &RoundContext, inputs: &impl Inputs) -> Option<Progress> {
        if self.is_settled || !self.has_news {
            return None;
        }
        let case = self.case(context, inputs)?;
        self.has_news = false;
        match case.judge(context) {
            Finding::Open(followed) => {
                let is_new = self.followed.is_none();
                let followed = self.followed.insert(*followed).clone();
                is_new.then(|| Progress::Asks(Box::new(Question { claim: self.claim.clone(), followed })))
            }
            Finding::Nothing => {
                self.is_settled = true;
                None
            }
            Finding::Dropped(_) => {
                self.is_settled = true;
                Some(Progress::Guilty(Box::new(case), AbortReason::DroppedNoise))
            }
            Finding::False(_) => {
                self.is_settled = true;
                Some(Progress::Guilty(Box::new(case), AbortReason::FalseClaim))
            }
        }
    }

    /// The case as far as it is known; none while an input on the record's way is not.
    fn case(&self, context: &RoundContext, inputs: &impl Inputs) -> Option<NoiseCase> {
        let entered = inputs.input(self.claim.record.stage)?;
        let mut case = NoiseCase {
            claim: self.claim.clone(),
            inputs: vec![entered.agreed().clone()],
            fingerprints: Vec::new(),
            left_out: Vec::new(),
            shown: self.shown.iter().map(|(_, part)| part.clone()).collect(),
        };
        // A record that cannot be followed makes the claim false by itself.
        if let Ok(followed) = claim::follow(context, entered.commitment(), &self.claim) {
            for stage in followed.stages().skip(1) {
                case.inputs.push(inputs.input(stage)?.agreed().clone());
            }
            if let Some(lists) = inputs.lists(followed.last().destination) {
                case.fingerprints.clone_from(&lists.fingerprints);
                case.left_out.clone_from(&lists.left_out);
            }
        }
        Some(case)
    }
}
