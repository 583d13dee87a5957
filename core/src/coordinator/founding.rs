//! Founding an epoch: plan it, then carry commitments, then shares, then signatures between the servers.

use std::{collections::BTreeSet, sync::Arc};

use hippodrome_crypto::{
    hash::Digest,
    signing::{PublicKey, Signature},
};

use super::Output;
use crate::{
    directory::Directory,
    epoch::{Epoch, EpochDraft, EpochError, commit, signed_commitment},
    ids::{Round, ServerId},
    marks::{Act, Marks, OffGrid, Refused},
    message::{
        EpochPlan, EpochProposal, EpochSignature, EpochStart, Message, SeedCall, SeedCommitment, SeedCommitments,
        SeedReveal, Standing,
    },
    params::NetworkParams,
    roster::{Roster, penalty_ms},
};

/// Milliseconds from the first call to the end of an attempt.
const LEAD_MS: u64 = 3000;
/// Most doublings of that: servers accept plans that start within the hour.
const MAX_LEAD_DOUBLINGS: u32 = 7;
/// Milliseconds before an attempt is made again.
const RETRY_MS: u64 = 1000;
/// Most doublings of that for attempts that drew nothing.
const MAX_DOUBLINGS: u32 = 7;
/// Most doublings of that for draws that came to nothing: a year and more.
const MAX_DRAW_DOUBLINGS: u64 = 25;

/// Milliseconds from the first call to the end of an attempt after so many that failed: a plan of many clients takes its
/// time to reach all.
pub(super) fn lead_ms(failed: u32) -> u64 {
    LEAD_MS << failed.min(MAX_LEAD_DOUBLINGS)
}

/// Milliseconds from an attempt to the next, after so many that failed, and so many draws since the last epoch. Each
/// draw makes the odds of every later epoch worse, so they become rarer for ever.
pub(super) fn retry_ms(failed: u32, drawn: u64) -> u64 {
    (RETRY_MS << failed.min(MAX_DOUBLINGS)).max(RETRY_MS << drawn.min(MAX_DRAW_DOUBLINGS))
}

/// Why an attempt cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error(transparent)]
    Epoch(#[from] EpochError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    OffGrid(#[from] OffGrid),
}

/// What an epoch could be, but for number and registry.
pub(super) struct Outline {
    pub(super) first_round: Round,
    pub(super) start_ms: u64,
    pub(super) live: Vec<ServerId>,
    pub(super) standings: Vec<Standing>,
}

impl Outline {
    /// The first epoch of all, if it is found by `found_ms`: with it the rounds begin to count; or, if a draw has been
    /// made before, they count from `origin_ms` already.
    pub(super) fn first(directory: &Directory, origin_ms: Option<u64>, opened: Round, found_ms: u64) -> Self {
        let params = directory.params();
        let (first_round, start_ms) = match origin_ms {
            Some(origin_ms) => next_on_grid(params, (Round(1), origin_ms), opened, found_ms + params.period_ms),
            None => (opened.next(), found_ms),
        };
        let standings = vec![Standing::default(); directory.servers().len()];
        Self { first_round, start_ms, live: Vec::new(), standings }
    }

    /// An epoch that follows on a roster: on its grid of rounds, in time for the first round to be opened after the
    /// attempt, above every round that was opened, and not before the least length of the epoch before. Those struck
    /// stand accordingly.
    pub(super) fn after(directory: &Directory, roster: &Roster, opened: Round, found_ms: u64) -> Self {
        let (params, before) = (directory.params(), roster.epoch().plan());
        let earliest_ms = (found_ms + params.period_ms).max(before.start_ms.saturating_add(params.epoch_ms));
        let base = (before.first_round, before.start_ms);
        let (first_round, start_ms) = next_on_grid(params, base, opened, earliest_ms);
        let struck = directory.server_ids().filter(|server| roster.amendment().strikes(*server)).collect();
        Self { first_round, start_ms, live: Vec::new(), standings: before.standings.clone() }.strike(params, &struck)
    }

    fn strike(mut self, params: &NetworkParams, struck: &BTreeSet<ServerId>) -> Self {
        let standings = (0..).map(ServerId).zip(&mut self.standings);
        for (_, standing) in standings.filter(|(server, _)| struck.contains(server)) {
            *standing = struck_again(params, *standing, self.start_ms);
        }
        self
    }

    /// Has all live that are up and not out; strikes `failed` too if enough are left without them. None if too few
    /// are live.
    pub(super) fn staff(
        self,
        directory: &Directory,
        failed: &BTreeSet<ServerId>,
        is_up: impl Fn(ServerId) -> bool,
    ) -> Option<Self> {
        let params = directory.params();
        let live = |standings: &[Standing]| -> Vec<ServerId> {
            let standings = directory.server_ids().zip(standings);
            let may = standings.filter(|(server, standing)| standing.out_until_ms <= self.start_ms && is_up(*server));
            may.map(|(server, _)| server).collect()
        };
        let all = live(&self.standings);
        let left = all.iter().filter(|server| !failed.contains(server)).count();
        let Self { first_round, start_ms, standings, .. } = self;
        let least = usize::from(params.min_live);
        let outline = Self { first_round, start_ms, live: all, standings };
        match left >= least {
            true => {
                let mut outline = outline.strike(params, failed);
                outline.live.retain(|server| !failed.contains(server));
                Some(outline)
            }
            false => Some(outline).filter(|outline| outline.live.len() >= least),
        }
    }

    /// The plan.
    pub(super) fn plan(self, number: u64, registry: Vec<PublicKey>) -> EpochPlan {
        let Self { first_round, start_ms, live, standings } = self;
        EpochPlan { number, registry, first_round, start_ms, live, standings }
    }
}

/// The first round, with its start, on a grid that holds the round `base`, not before `earliest_ms` and after every round
/// that was opened.
fn next_on_grid(params: &NetworkParams, base: (Round, u64), opened: Round, earliest_ms: u64) -> (Round, u64) {
    let (base, base_ms) = base;
    let periods = earliest_ms.saturating_sub(base_ms).div_ceil(params.period_ms);
    let round = Round((base.0 + periods).max(opened.0 + 1));
    (round, base_ms + (round.0 - base.0) * params.period_ms)
}

/// A standing with one more strike, counted in an epoch that starts at `start_ms`.
fn struck_again(params: &NetworkParams, standing: Standing, start_ms: u64) -> Standing {
    let strikes = standing.strikes.saturating_add(1);
    let out_until_ms = start_ms.saturating_add(penalty_ms(params, strikes)).max(standing.out_until_ms);
    Standing { strikes, out_until_ms }
}

/// An attempt at an epoch.
pub(super) struct Founding {
    directory: Arc<Directory>,
    plan: EpochPlan,
    digest: Digest,
    deadline_ms: u64,
    commitments: Vec<Option<(Digest, Signature)>>,
    shares: Vec<Option<[u8; 32]>>,
    draft: Option<EpochDraft>,
    signatures: Vec<Option<Signature>>,
}

impl Founding {
    /// Calls for commitments.
    pub(super) fn begin(directory: &Arc<Directory>, plan: EpochPlan, deadline_ms: u64, out: &mut Vec<Output>) -> Self {
        let servers = plan.live.len();
        let founding = Self {
            directory: Arc::clone(directory),
            digest: plan.digest(directory.id()),
            deadline_ms,
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

    /// The live servers whose part in the step that is under way is missing.
    pub(super) fn missing(&self) -> Vec<ServerId> {
        let missing = |has: &dyn Fn(usize) -> bool| {
            let live = self.plan.live.iter().enumerate();
            live.filter(|(index, _)| !has(*index)).map(|(_, server)| *server).collect::<Vec<_>>()
        };
        if self.draft.is_some() {
            return missing(&|index| self.signatures[index].is_some());
        }
        let uncommitted = missing(&|index| self.commitments[index].is_some());
        if uncommitted.is_empty() { missing(&|index| self.shares[index].is_some()) } else { uncommitted }
    }

    fn to_live(&self, message: Message, out: &mut Vec<Output>) {
        let message = Arc::new(message);
        let until_ms = self.deadline_ms;
        out.extend(self.plan.live.iter().map(|&to| Output::Send { to, message: Arc::clone(&message), until_ms }));
    }

    /// Takes a step of a server, if it is the right one; gives the epoch when all live ones have signed it.
    pub(super) fn on_message(
        &mut self,
        marks: &mut Marks,
        from: ServerId,
        message: Message,
        out: &mut Vec<Output>,
    ) -> Result<Option<(Arc<Epoch>, EpochStart)>, AttemptError> {
        let Ok(index) = self.plan.live.binary_search(&from) else { return Ok(None) };
        let epoch = self.plan.number;
        match message {
            Message::SeedCommitment(SeedCommitment { epoch: of, commitment, signature }) if of == epoch => {
                let signed = signed_commitment(&self.digest, &commitment);
                if self.commitments[index].is_none() && self.directory.verify_one(&signed, from, &signature).is_ok() {
                    self.commitments[index] = Some((commitment, signature));
                    if let Some(commitments) = all(&self.commitments) {
                        if let Some(origin_ms) = self.plan.origin_ms(self.directory.params()) {
                            marks.keep_origin(origin_ms)?;
                        }
                        // From here on it is a draw. Before that no server uses the number up, so nobody else does.
                        let _once = marks.claim(Act::Epoch, Round(epoch))?;
                        self.to_live(Message::SeedCommitments(SeedCommitments { epoch, commitments }), out);
                    }
                }
            }
            Message::SeedReveal(SeedReveal { epoch: of, share }) if of == epoch => {
                let committed = self.commitments[index].map(|(commitment, _)| commitment);
                if self.shares[index].is_none() && committed == Some(commit(&self.digest, from, &share)) {
                    self.shares[index] = Some(share);
                    if let Some(shares) = all(&self.shares) {
                        self.draft = Some(EpochDraft::new(&self.directory, self.plan.clone(), &shares)?);
                        self.to_live(Message::EpochProposal(EpochProposal { epoch, shares }), out);
                    }
                }
            }
            Message::EpochSignature(EpochSignature { epoch: of, signature }) if of == epoch => {
                let draft = self.draft.as_ref();
                if draft.is_some_and(|draft| draft.verify_one(&self.directory, from, &signature)) {
                    self.signatures[index] = Some(signature);
                    if self.signatures.iter().all(Option::is_some) {
                        return Ok(self.finish()?);
                    }
                }
            }
            _ => {}
        }
        Ok(None)
    }

    /// The epoch, if a quorum has signed it.
    pub(super) fn finish(&self) -> Result<Option<(Arc<Epoch>, EpochStart)>, EpochError> {
        let (Some(draft), Some(shares)) = (&self.draft, all(&self.shares)) else { return Ok(None) };
        let live = self.plan.live.iter().copied();
        let signatures = live.zip(&self.signatures).filter_map(|(server, signature)| Some((server, (*signature)?)));
        let signatures: Vec<_> = signatures.collect();
        if signatures.len() < self.directory.quorum() {
            return Ok(None);
        }
        let epoch = draft.clone().verify(&self.directory, &signatures)?;
        let start = EpochStart { plan: self.plan.clone(), shares, signatures };
        Ok(Some((Arc::new(epoch), start)))
    }
}

/// All entries, once none is missing.
pub(super) fn all<T: Clone>(entries: &[Option<T>]) -> Option<Vec<T>> {
    entries.iter().cloned().collect()
}
