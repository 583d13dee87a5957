//! Founding an epoch: carry commitments, then shares, then signatures between the servers.

use std::sync::Arc;

use hippodrome_crypto::{hash::Digest, signing::Signature};

use super::Output;
use crate::{
    directory::Directory,
    epoch::{Epoch, EpochDraft, EpochError},
    ids::ServerId,
    message::{EpochPlan, EpochProposal, EpochStart, Message, SeedCall, SeedCommitments},
};

/// Milliseconds from the first call to the first round's window.
pub(super) const LEAD_MS: u64 = 2000;

/// An attempt at an epoch.
pub(super) struct Founding {
    plan: EpochPlan,
    deadline_ms: u64,
    commitments: Vec<Option<(Digest, Signature)>>,
    shares: Vec<Option<[u8; 32]>>,
    draft: Option<EpochDraft>,
    signatures: Vec<Option<Signature>>,
}

impl Founding {
    /// Calls for commitments.
    pub(super) fn begin(directory: &Directory, plan: EpochPlan, now_ms: u64, out: &mut Vec<Output>) -> Self {
        let servers = directory.servers().len();
        let founding = Self {
            deadline_ms: now_ms + LEAD_MS,
            commitments: vec![None; servers],
            shares: vec![None; servers],
            draft: None,
            signatures: vec![None; servers],
            plan: plan.clone(),
        };
        founding.to_all(directory, Message::SeedCall(SeedCall { plan }), out);
        founding
    }

    pub(super) fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    fn to_all(&self, directory: &Directory, message: Message, out: &mut Vec<Output>) {
        let message = Arc::new(message);
        for to in directory.server_ids() {
            out.push(Output::Send { to, message: Arc::clone(&message), until_ms: self.deadline_ms });
        }
    }

    /// Takes a step of a server; gives the epoch when all have signed it.
    pub(super) fn on_message(
        &mut self,
        directory: &Directory,
        from: ServerId,
        message: Message,
        out: &mut Vec<Output>,
    ) -> Result<Option<(Arc<Epoch>, EpochStart)>, EpochError> {
        let index = usize::from(from.0);
        let epoch = self.plan.number;
        match message {
            Message::SeedCommitment(message) if message.epoch == epoch => {
                self.commitments[index].get_or_insert((message.commitment, message.signature));
                if let (Some(commitments), None) = (all(&self.commitments), &self.draft) {
                    self.to_all(directory, Message::SeedCommitments(SeedCommitments { epoch, commitments }), out);
                }
            }
            Message::SeedReveal(message) if message.epoch == epoch => {
                self.shares[index].get_or_insert(message.share);
                if let (Some(shares), None) = (all(&self.shares), &self.draft) {
                    self.draft = Some(EpochDraft::new(directory, self.plan.clone(), &shares)?);
                    self.to_all(directory, Message::EpochProposal(EpochProposal { epoch, shares }), out);
                }
            }
            Message::EpochSignature(message) if message.epoch == epoch => {
                self.signatures[index] = Some(message.signature);
                return self.finish(directory, out);
            }
            _ => {}
        }
        Ok(None)
    }

    fn finish(
        &mut self,
        directory: &Directory,
        out: &mut Vec<Output>,
    ) -> Result<Option<(Arc<Epoch>, EpochStart)>, EpochError> {
        let (Some(draft), Some(signatures), Some(shares)) = (&self.draft, all(&self.signatures), all(&self.shares))
        else {
            return Ok(None);
        };
        let epoch = draft.clone().verify(directory, &signatures)?;
        let start = EpochStart { plan: self.plan.clone(), shares, signatures };
        self.to_all(directory, Message::EpochStart(start.clone()), out);
        Ok(Some((Arc::new(epoch), start)))
    }
}

/// All entries, once none is missing.
pub(super) fn all<T: Clone>(entries: &[Option<T>]) -> Option<Vec<T>> {
    entries.iter().cloned().collect()
}
