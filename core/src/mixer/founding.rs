//! How an epoch begins, at a server: commit, reveal, sign. If a reveal is missing, no seed comes of the attempt.

use std::sync::Arc;

use hippodrome_crypto::{
    hash::Digest,
    signing::{Signature, SigningKey},
};
use rand_core::CryptoRng;

use crate::{
    directory::Directory,
    epoch::{Epoch, EpochDraft, EpochError, check_commitments, check_shares, commit, signed_commitment},
    ids::{Round, ServerId},
    marks::{Act, Marks, OffGrid, Refused},
    message::{
        EpochPlan, EpochProposal, EpochSignature, EpochStart, SeedCall, SeedCommitment, SeedCommitments, SeedReveal,
    },
    roster::{Roster, TransitionError, follows},
};

/// Where a server stands on the way to an epoch.
#[derive(Default)]
pub(crate) enum Founding {
    /// No attempt is under way.
    #[default]
    Idle,
    /// Committed to a share.
    Committed { plan: EpochPlan, share: [u8; 32], commitment: SeedCommitment },
    /// Everybody's commitments were there, so the share is out.
    Revealed { plan: EpochPlan, commitments: Vec<(Digest, Signature)> },
}

/// Why a step towards an epoch is refused.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// The message does not belong to the attempt that is under way.
    #[error("this step towards the epoch does not follow on the last one")]
    OutOfTurn,
    /// Something in it is wrong.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The plan's numbers do not follow on this server's clock and marks.
    #[error("epoch {epoch} from {first_round} at {start_ms} ms does not follow on this server's clock and marks")]
    Implausible {
        /// The epoch's number.
        epoch: u64,
        /// Its first round.
        first_round: Round,
        /// Its start.
        start_ms: u64,
    },
    /// It does not follow on the epoch that this server knows.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// The plan does without this server.
    #[error("the plan of epoch {0} does without this server")]
    NotLive(u64),
    /// Its rounds are not on the network's grid.
    #[error(transparent)]
    OffGrid(#[from] OffGrid),
    /// This server has signed that epoch number before.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Most epoch numbers that may be left out: attempts that failed while this server was away.
const MAX_SKIPPED_EPOCHS: u64 = 1 << 20;
/// How long before its start an epoch is founded at most, milliseconds.
const MAX_LEAD_MS: u64 = 3_600_000;

/// Refuses a plan that does not follow on the newest roster, or, also where none is known any more, whose numbers would
/// use up those of honest epochs for ever: marks and the keys of conversations never go back. So its rounds are on the
/// grid of those before, to which the clock ties their numbers.
pub(crate) fn check_plausible(
    directory: &Directory,
    marks: &Marks,
    newest: Option<&Roster>,
    now_ms: u64,
    plan: &EpochPlan,
) -> Result<(), FoundingError> {
    plan.check(directory)?;
    newest.map_or(Ok(()), |newest| follows(directory.params(), newest, plan))?;
    let &EpochPlan { number, first_round, start_ms, .. } = plan;
    let last = |act| marks.highest(act).map(|mark| mark.map_or(0, |mark| mark.0)).map_err(Refused::Store);
    let (last_epoch, last_round) = (last(Act::Epoch)?, last(Act::Open)?);
    let follows = number > last_epoch
        && number <= last_epoch.saturating_add(MAX_SKIPPED_EPOCHS)
        && first_round.0 > last_round
        && start_ms <= now_ms.saturating_add(MAX_LEAD_MS);
    if !follows {
        return Err(implausible(plan));
    }
    Ok(marks.check_origin(origin_ms(directory, plan)?)?)
}

/// From when a plan's rounds count.
fn origin_ms(directory: &Directory, plan: &EpochPlan) -> Result<u64, FoundingError> {
    plan.origin_ms(directory.params()).ok_or_else(|| implausible(plan))
}

fn implausible(plan: &EpochPlan) -> FoundingError {
    FoundingError::Implausible { epoch: plan.number, first_round: plan.first_round, start_ms: plan.start_ms }
}

impl Founding {
    /// Commits to a fresh share; an attempt under way is given up. A repeated call gets the same commitment.
    pub(crate) fn commit<R: CryptoRng>(
        &mut self,
        directory: &Directory,
        me: ServerId,
        key: &SigningKey,
        call: SeedCall,
        rng: &mut R,
    ) -> Result<SeedCommitment, FoundingError> {
        if let Self::Committed { plan, commitment, .. } = self
            && *plan == call.plan
        {
            return Ok(commitment.clone());
        }
        let plan = call.plan;
        if !plan.live.contains(&me) {
            return Err(FoundingError::NotLive(plan.number));
        }
        let mut share = [0; 32];
        rng.fill_bytes(&mut share);
        let digest = plan.digest(directory.id());
        let value = commit(&digest, me, &share);
        let signature = key.sign(&signed_commitment(&digest, &value));
        let commitment = SeedCommitment { epoch: plan.number, commitment: value, signature };
        *self = Self::Committed { plan, share, commitment: commitment.clone() };
        Ok(commitment)
    }

    /// Reveals the share once everybody has committed; one share for each epoch number, ever, so that nobody who has
    /// seen the others' shares can ask for another draw under the same number.
    pub(crate) fn reveal(
        &mut self,
        directory: &Directory,
        me: ServerId,
        marks: &mut Marks,
        message: SeedCommitments,
    ) -> Result<SeedReveal, FoundingError> {
        let Self::Committed { plan, share, commitment } = &*self else { return Err(FoundingError::OutOfTurn) };
        if plan.number != message.epoch {
            return Err(FoundingError::OutOfTurn);
        }
        check_commitments(directory, plan, &message.commitments)?;
        let mut entries = plan.live.iter().zip(&message.commitments);
        if !entries.any(|(server, (value, _))| *server == me && *value == commitment.commitment) {
            return Err(EpochError::OwnCommitmentMissing.into());
        }
        let _once = marks.claim(Act::Epoch, Round(message.epoch))?;
        let reveal = SeedReveal { epoch: message.epoch, share: *share };
        *self = Self::Revealed { plan: plan.clone(), commitments: message.commitments };
        Ok(reveal)
    }

    /// Signs the epoch that everybody's shares make, once for each share revealed. With that the server is bound to its grid
    /// of rounds. Bound by its share, it could be parted from the others by a coordinator that has two plans revealed, each
    /// by one half of the servers; but nobody signs what not everybody has revealed his share of.
    pub(crate) fn sign(
        &mut self,
        directory: &Directory,
        marks: &mut Marks,
        key: &SigningKey,
        message: &EpochProposal,
    ) -> Result<EpochSignature, FoundingError> {
        let Self::Revealed { plan, commitments } = &*self else { return Err(FoundingError::OutOfTurn) };
        if plan.number != message.epoch {
            return Err(FoundingError::OutOfTurn);
        }
        check_shares(directory, plan, commitments, &message.shares)?;
        let draft = EpochDraft::new(directory, plan.clone(), &message.shares)?;
        marks.sign_origin(origin_ms(directory, plan)?)?;
        *self = Self::Idle;
        Ok(EpochSignature { epoch: message.epoch, signature: draft.sign(key) })
    }
}

/// Takes an epoch that a quorum of the servers has signed, and with it its grid of rounds, if none has begun before.
pub(crate) fn start(
    directory: &Directory,
    marks: &mut Marks,
    message: EpochStart,
) -> Result<Arc<Epoch>, FoundingError> {
    let EpochStart { plan, shares, signatures } = message;
    let epoch = EpochDraft::new(directory, plan, &shares)?.verify(directory, &signatures)?;
    marks.keep_origin(origin_ms(directory, epoch.plan())?)?;
    Ok(Arc::new(epoch))
}
