//! What the coordinator keeps: it goes on with the same epoch after a restart.

use std::sync::Arc;

use crate::{
    directory::Directory,
    epoch::{Epoch, EpochDraft, EpochError},
    ids::RosterId,
    message::{AmendmentStart, EpochStart},
    roster::{AmendmentError, Roster},
};

/// What survives a restart of the coordinator besides its marks. Servers refuse an epoch that does not follow on the one
/// that they know, so a coordinator that forgot it could found none.
#[derive(Clone, Debug)]
pub struct CoordinatorState {
    /// The newest epoch.
    pub epoch: EpochStart,
    /// Its newest amendment, if anybody was struck in it.
    pub amendment: Option<AmendmentStart>,
}

impl CoordinatorState {
    /// The roster that it goes on with.
    pub fn roster_id(&self) -> RosterId {
        let amendment = self.amendment.as_ref().map_or(0, |start| start.amendment.number);
        RosterId { epoch: self.epoch.plan.number, amendment }
    }
}

/// Why a kept state is refused: it is not of this network, or damaged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RestoreError {
    /// The epoch does not hold.
    #[error("the epoch that was kept: {0}")]
    Epoch(#[from] EpochError),
    /// The amendment does not hold.
    #[error("the amendment that was kept: {0}")]
    Amendment(#[from] AmendmentError),
}

/// An epoch that rounds are held in, with what proves it.
pub(super) struct Current {
    pub(super) roster: Arc<Roster>,
    pub(super) start: EpochStart,
    pub(super) amendment: Option<AmendmentStart>,
}

impl Current {
    /// Takes up what was kept.
    pub(super) fn restore(directory: &Directory, state: CoordinatorState) -> Result<Self, RestoreError> {
        let CoordinatorState { epoch: start, amendment } = state;
        let draft = EpochDraft::new(directory, start.plan.clone(), &start.shares)?;
        let epoch = draft.verify(directory, &start.signatures)?;
        let mut roster = Roster::new(directory, Arc::new(epoch));
        if let Some(amendment) = &amendment {
            roster = roster.amend(directory, amendment)?;
        }
        Ok(Self { roster: Arc::new(roster), start, amendment })
    }

    pub(super) fn epoch(&self) -> &Arc<Epoch> {
        self.roster.epoch()
    }

    pub(super) fn state(&self) -> CoordinatorState {
        CoordinatorState { epoch: self.start.clone(), amendment: self.amendment.clone() }
    }
}
