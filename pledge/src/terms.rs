//! What everybody knows before a pledge is made: whose it is, for which round, and what its counts add up to.

use hippodrome_crypto::hash::{Digest, Hasher};

use crate::range;

/// Most open output chains.
pub const MAX_CHAINS: usize = 1024;

/// Most slots of a server, so that the number of its records fits into 32 bits.
pub const MAX_SLOTS: u32 = u32::MAX / 2;

/// Whose noise, and of which round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The network id.
    pub network: Digest,
    /// The epoch's number.
    pub epoch: u64,
    /// The round's number in the epoch.
    pub round: u64,
    /// The server's number in the directory.
    pub server: u16,
}

/// Why there can be no pledge under such terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// No chain, or too many.
    #[error("{0} open output chains: expected 1 to {MAX_CHAINS}")]
    ChainCount(usize),
    /// A chain is listed twice or out of order.
    #[error("the open output chains are not in ascending order, each of them once")]
    ChainOrder,
    /// More slots than 32 bits can count the records of.
    #[error("{0} slots: expected at most {MAX_SLOTS}")]
    Slots(u32),
}

/// The public terms of one pledge, within limits: everything that a verifier must know beside the pledge itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    context: Context,
    chain_count: usize,
    slots: u32,
    digest: Digest,
}

impl Terms {
    /// Terms for noise of `slots` slots, two records each, that goes to these open output chains (ascending numbers).
    pub fn new(context: Context, chains: &[u16], slots: u32) -> Result<Self, TermsError> {
        if chains.is_empty() || chains.len() > MAX_CHAINS {
            return Err(TermsError::ChainCount(chains.len()));
        }
        if !chains.is_sorted_by(|chain, next| chain < next) {
            return Err(TermsError::ChainOrder);
        }
        if slots > MAX_SLOTS {
            return Err(TermsError::Slots(slots));
        }
        Ok(Self { context, chain_count: chains.len(), slots, digest: digest(&context, chains, slots) })
    }

    /// Whose noise, and of which round.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// How many output chains are open.
    pub fn chain_count(&self) -> usize {
        self.chain_count
    }

    /// Slots of the server in this round.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Records of the server in this round: what the pledged counts add up to.
    pub fn records(&self) -> u32 {
        2 * self.slots
    }

    /// Binds all of the terms.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The least width of a range proof that holds the number of records.
    pub(crate) fn width(&self) -> range::Width {
        range::Width::holding(self.records())
    }
}

fn digest(context: &Context, chains: &[u16], slots: u32) -> Digest {
    let start = Hasher::new("hippodrome v1 pledge terms")
        .digest(&context.network)
        .number(context.epoch)
        .number(context.round)
        .number(context.server.into())
        .number(slots.into())
        .number(chains.len() as u64);
    chains.iter().fold(start, |hasher, &chain| hasher.number(chain.into())).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context { network: Digest([1; 32]), epoch: 2, round: 3, server: 4 }
    }

    #[test]
    fn terms_out_of_bounds_are_refused() {
        let chains: Vec<u16> = (0..=MAX_CHAINS as u16).collect();
        assert_eq!(Terms::new(context(), &[], 1), Err(TermsError::ChainCount(0)));
        assert_eq!(Terms::new(context(), &chains, 1), Err(TermsError::ChainCount(MAX_CHAINS + 1)));
        assert!(Terms::new(context(), &chains[1..], 1).is_ok());
        assert_eq!(Terms::new(context(), &[2, 1], 1), Err(TermsError::ChainOrder));
        assert_eq!(Terms::new(context(), &[1, 1], 1), Err(TermsError::ChainOrder));
        assert_eq!(Terms::new(context(), &[1], MAX_SLOTS + 1), Err(TermsError::Slots(MAX_SLOTS + 1)));
        assert_eq!(Terms::new(context(), &[1], MAX_SLOTS).expect("the limit").records(), u32::MAX - 1);
    }

    #[test]
    fn terms_that_differ_in_anything_have_different_digests() {
        let terms = |context: Context, chains: &[u16], slots| *Terms::new(context, chains, slots).expect("ok").digest();
        let digests = [
            terms(context(), &[0, 1], 8),
            terms(context(), &[0, 2], 8),
            terms(context(), &[0], 8),
            terms(context(), &[0, 1], 9),
            terms(Context { network: Digest([2; 32]), ..context() }, &[0, 1], 8),
            terms(Context { epoch: 3, ..context() }, &[0, 1], 8),
            terms(Context { round: 4, ..context() }, &[0, 1], 8),
            terms(Context { server: 5, ..context() }, &[0, 1], 8),
        ];
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }
}
