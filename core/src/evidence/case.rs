//! A case: evidence with everything public that it is judged by, so that a file and the directory are enough.

use std::sync::Arc;

use hippodrome_crypto::{hash::Digest, hop::HopPublic, signing::Signature};

use super::{Evidence, NotProven, RoundBasis, Verdict};
use crate::{
    descriptor::{Descriptor, DescriptorError},
    directory::Directory,
    epoch::{EpochDraft, EpochError},
    ids::Round,
    message::{AmendmentStart, EpochStart},
    roster::{AmendmentError, Roster},
};

/// How a roster came about: the signed epoch, and the signed amendment that holds.
#[derive(Clone, Debug)]
pub struct RosterRecord {
    /// The epoch.
    pub epoch: EpochStart,
    /// The amendment, if there is one.
    pub amendment: Option<AmendmentStart>,
}

/// Evidence with the signed things from which its basis is rebuilt.
#[derive(Clone, Debug)]
pub struct Case {
    /// Who took part.
    pub record: RosterRecord,
    /// The round.
    pub round: Round,
    /// The keys of every hop: layers, chains, positions; none of a closed chain.
    pub keys: Vec<Vec<Vec<HopPublic>>>,
    /// Digests of all servers' pledges of noise, where it is audited.
    pub pledges: Vec<Digest>,
    /// Everybody's signatures on the round's descriptor, in order.
    pub signatures: Vec<Signature>,
    /// The evidence.
    pub evidence: Arc<Evidence>,
}

/// Why a case convicts nobody.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CaseError {
    /// The epoch is not one of this network.
    #[error("the case's epoch is not one of this network: {0}")]
    Epoch(#[from] EpochError),
    /// The amendment is not one of this epoch.
    #[error("the case's amendment is not one of its epoch: {0}")]
    Amendment(#[from] AmendmentError),
    /// The descriptor was not signed by those who took part.
    #[error("the case's round was never announced: {0}")]
    Descriptor(#[from] DescriptorError),
    /// The evidence shows nothing.
    #[error("the evidence convicts nobody: {0}")]
    NotProven(#[from] NotProven),
}

impl RosterRecord {
    /// Checks all signatures and gives the roster.
    pub fn verify(&self, directory: &Directory) -> Result<Arc<Roster>, CaseError> {
        let EpochStart { plan, shares, signatures } = self.epoch.clone();
        let epoch = EpochDraft::new(directory, plan, &shares)?.verify(directory, &signatures)?;
        let roster = Roster::new(directory, Arc::new(epoch));
        Ok(Arc::new(match &self.amendment {
            Some(start) => roster.amend(directory, start)?,
            None => roster,
        }))
    }
}

impl Case {
    /// A case about a round.
    pub fn new(basis: &RoundBasis, evidence: Arc<Evidence>) -> Self {
        let descriptor = &basis.descriptor;
        let (keys, signatures) = (descriptor.all_keys().to_vec(), descriptor.signatures().to_vec());
        let (record, pledges) = (basis.roster.record(), descriptor.pledges().to_vec());
        Self { record, round: basis.round(), keys, pledges, signatures, evidence }
    }

    /// Rebuilds what was public about the round, from the directory alone, and judges the evidence by it.
    pub fn verify(&self, directory: &Arc<Directory>) -> Result<Verdict, CaseError> {
        let roster = self.record.verify(directory)?;
        let descriptor = Descriptor::arrange(directory, &roster, self.round, self.keys.clone(), self.pledges.clone())?;
        let descriptor = descriptor.verify(directory, &self.signatures)?;
        let basis = RoundBasis::new(Arc::clone(directory), descriptor);
        Ok(self.evidence.verify(&basis)?)
    }
}
