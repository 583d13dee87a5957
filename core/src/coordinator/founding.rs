//! Founding an epoch: carry commitments, then shares, then signatures between the servers.

use std::sync::Arc;

use hippodrome_crypto::{
    hash::Digest,
    signing::{PublicKey, Signature},
};

use super::Output;
use crate::{
    directory::Directory,
    epoch::{Epoch, EpochDraft, EpochError},
    ids::{Round, ServerId},
    message::{EpochPlan, EpochProposal, EpochStart, Message, SeedCall, SeedCommitments, Standing},
    params::NetworkParams,
    roster::{Roster, penalty_ms},
};

/// Milliseconds from the first call to the end of an attempt.
pub(super) const LEAD_MS: u64 = 2000;

/// The plan of an attempt that follows on a roster: on its grid of rounds, in time for the first round to be opened
/// after the attempt, above every round that was opened, and not before the least length of the epoch before. Those
/// struck stand accordingly; everybody who is not out is to be live.
pub(super) fn plan_after(
    directory: &Directory,
    roster: &Roster,
    registry: Vec<PublicKey>,
    number: u64,
    opened: Round,
    now_ms: u64,
) -> EpochPlan {
    let (params, before) = (directory.params(), roster.epoch().plan());
    let earliest_ms = (now_ms + LEAD_MS + params.period_ms).max(before.start_ms.saturating_add(params.epoch_ms));
    let periods = earliest_ms.saturating_sub(before.start_ms).div_ceil(params.period_ms);
    let first_round = Round((before.first_round.0 + periods).max(opened.0 + 1));
    let start_ms = roster.epoch().window_start_ms(first_round);
    let standings: Vec<Standing> = directory
        .server_ids()
        .zip(&before.standings)
        .map(|(server, standing)| match roster.amendment().strikes(server) {
            true => struck_again(params, *standing, start_ms),
            false => *standing,
        })
        .collect();
    EpochPlan { number, registry, first_round, start_ms, live: not_out(&standings, start_ms), standings }
}

/// A standing with one more strike, counted in an epoch that starts at `start_ms`.
fn struck_again(params: &NetworkParams, standing: Standing, start_ms: u64) -> Standing {
    let strikes = standing.strikes.saturating_add(1);
    let out_until_ms = start_ms.saturating_add(penalty_ms(params, strikes)).max(standing.out_until_ms);
    Standing { strikes, out_until_ms }
}

/// The servers that an epoch which starts at `start_ms` may have.
fn not_out(standings: &[Standing], start_ms: u64) -> Vec<ServerId> {
    let standings = (0..).map(ServerId).zip(standings);
    standings.filter(|(_, standing)| standing.out_until_ms <= start_ms).map(|(server, _)| server).collect()
}

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
    pub(super) fn begin(plan: EpochPlan, now_ms: u64, out: &mut Vec<Output>) -> Self {
        let servers = plan.live.len();
        let founding = Self {
            deadline_ms: now_ms + LEAD_MS,
            commitments: vec![None; servers],
            shares: vec![None; servers],
            draft: None,
            signatures: vec![None; servers],
            plan: plan.clone(),
        };
        founding.to_live(Message::SeedCall(SeedCall { plan }), out);
        founding
    }

    /// The first round of the epoch to be.
    pub(super) fn first_round(&self) -> Round {
        self.plan.first_round
    }

    pub(super) fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    fn to_live(&self, message: Message, out: &mut Vec<Output>) {
        let message = Arc::new(message);
        let until_ms = self.deadline_ms;
        out.extend(self.plan.live.iter().map(|&to| Output::Send { to, message: Arc::clone(&message), until_ms }));
    }

    /// Takes a step of a server; gives the epoch when all live ones have signed it.
    pub(super) fn on_message(
        &mut self,
        directory: &Directory,
        from: ServerId,
        message: Message,
        out: &mut Vec<Output>,
    ) -> Result<Option<(Arc<Epoch>, EpochStart)>, EpochError> {
        let Ok(index) = self.plan.live.binary_search(&from) else { return Ok(None) };
        let epoch = self.plan.number;
        match message {
            Message::SeedCommitment(message) if message.epoch == epoch => {
                self.commitments[index].get_or_insert((message.commitment, message.signature));
                if let (Some(commitments), None) = (all(&self.commitments), &self.draft) {
                    self.to_live(Message::SeedCommitments(SeedCommitments { epoch, commitments }), out);
                }
            }
            Message::SeedReveal(message) if message.epoch == epoch => {
                self.shares[index].get_or_insert(message.share);
                if let (Some(shares), None) = (all(&self.shares), &self.draft) {
                    self.draft = Some(EpochDraft::new(directory, self.plan.clone(), &shares)?);
                    self.to_live(Message::EpochProposal(EpochProposal { epoch, shares }), out);
                }
            }
            Message::EpochSignature(message) if message.epoch == epoch => {
                self.signatures[index] = Some(message.signature);
                return self.finish(directory);
            }
            _ => {}
        }
        Ok(None)
    }

    fn finish(&mut self, directory: &Directory) -> Result<Option<(Arc<Epoch>, EpochStart)>, EpochError> {
        let (Some(draft), Some(signatures), Some(shares)) = (&self.draft, all(&self.signatures), all(&self.shares))
        else {
            return Ok(None);
        };
        let signatures: Vec<_> = self.plan.live.iter().copied().zip(signatures).collect();
        let epoch = draft.clone().verify(directory, &signatures)?;
        let start = EpochStart { plan: self.plan.clone(), shares, signatures };
        Ok(Some((Arc::new(epoch), start)))
    }
}

/// All entries, once none is missing.
pub(super) fn all<T: Clone>(entries: &[Option<T>]) -> Option<Vec<T>> {
    entries.iter().cloned().collect()
}
