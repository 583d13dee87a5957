//! What a server keeps of a round whose noise may be opened, until the coin has fallen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hippodrome_crypto::{
    merkle::RangeProof,
    signing::{Signature, SigningKey},
};
use hippodrome_pledge::NoiseSeed;

use super::context::RoundContext;
use crate::{
    audit::{NoiseOpening, OpeningCase},
    ids::ServerId,
    message::{Coin, InputCommitment},
    pledge::{self, NoisePledge},
};

/// A round that may be audited.
pub(crate) struct Audit {
    /// Until the coin has fallen.
    seed: Option<Arc<NoiseSeed>>,
    pledges: Arc<Vec<NoisePledge>>,
    /// To the own noise in each input chain, in order, once this server has confirmed the inputs.
    pub(super) branches: Option<Vec<RangeProof>>,
    pub(super) entered: Option<Entered>,
    opening: Option<NoiseOpening>,
    /// Whose opening was looked at.
    heard: BTreeSet<ServerId>,
}

/// The inputs of layer 0, as all active servers have confirmed them.
pub(crate) struct Entered {
    pub(crate) inputs: Vec<InputCommitment>,
    pub(crate) confirmations: BTreeMap<ServerId, Signature>,
}

/// The shares are not those that the servers are bound to.
#[derive(Debug, thiserror::Error)]
#[error("the shares of the coin are not one of each active server, as it was committed to")]
pub(crate) struct NotTheShares;

impl Audit {
    pub(crate) fn new(seed: Arc<NoiseSeed>, pledges: Arc<Vec<NoisePledge>>) -> Self {
        Self { seed: Some(seed), pledges, branches: None, entered: None, opening: None, heard: BTreeSet::new() }
    }

    /// The coin has fallen: the seed is shown if it picks this server, and erased in any case. The same again when asked
    /// again.
    pub(crate) fn fall(
        &mut self,
        context: &RoundContext,
        key: &SigningKey,
        coin: &Coin,
    ) -> Result<Option<NoiseOpening>, NotTheShares> {
        let coins = self.pledges.iter().map(|pledge| pledge.coin);
        let picked = pledge::picked(context.directory.as_ref(), &context.roster, coin, coins).ok_or(NotTheShares)?;
        let seed = self.seed.take();
        if picked != Some(context.me) {
            return Ok(None);
        }
        if let Some(seed) = seed {
            let mut opening = NoiseOpening {
                round: context.round(),
                server: context.me,
                seed: seed.show(),
                branches: self.branches.take().unwrap_or_default(),
                signature: Signature([0; 64]),
            };
            opening.signature = key.sign(&opening.statement(context.digest()));
            self.opening = Some(opening);
        }
        Ok(self.opening.clone())
    }

    /// Whether the coin has fallen.
    pub(crate) fn has_fallen(&self) -> bool {
        self.seed.is_none()
    }

    /// What an opening is judged by: the first one of each server that is signed by it.
    pub(crate) fn take_opening(&mut self, context: &RoundContext, opening: NoiseOpening) -> Option<OpeningCase> {
        let server = opening.server;
        if self.heard.contains(&server) || !opening.is_signed(context) {
            return None;
        }
        let pledge = self.pledges.get(context.active().binary_search(&server).ok()?)?.clone();
        self.heard.insert(server);
        let confirmation = self.entered.as_ref().and_then(|entered| entered.confirmations.get(&server).copied());
        let inputs = self.entered.as_ref().map(|entered| entered.inputs.clone()).unwrap_or_default();
        Some(OpeningCase { opening, pledge, inputs, confirmation })
    }
}
