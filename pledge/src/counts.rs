//! The secret numbers that a pledge commits to.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::terms::Terms;

/// How one server's noise of one round spreads over the open output chains, in the order of [`Terms`]: neither `Clone`
/// nor printable, wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Counts {
    /// For each chain, the shared slots whose mailbox it serves.
    pub shared: Vec<u32>,
    /// For each chain, the lone records whose mailbox it serves.
    pub lone: Vec<u32>,
}

/// Why counts are not those of any noise under the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountsError {
    /// Not one number of each kind for each chain.
    #[error("{shared} counts of shared slots and {lone} of lone records for {chains} chains: expected one each")]
    Length {
        /// Open output chains.
        chains: usize,
        /// Counts of shared slots.
        shared: usize,
        /// Counts of lone records.
        lone: usize,
    },
    /// Slots and records do not make up the volume. What they make up is secret.
    #[error("twice the shared slots and the lone records do not make up the {records} records of the terms")]
    Sum {
        /// Records by the terms.
        records: u32,
    },
}

impl Counts {
    /// Whether these are counts of noise under the terms: one of each kind for each chain, and all records counted.
    pub(crate) fn check(&self, terms: &Terms) -> Result<(), CountsError> {
        let (chains, shared, lone) = (terms.chain_count(), self.shared.len(), self.lone.len());
        if shared != chains || lone != chains {
            return Err(CountsError::Length { chains, shared, lone });
        }
        // At most 1024 · 3 · 2^32: no overflow.
        let records: u64 = self.values().map(|[shared, lone]| 2 * u64::from(shared) + u64::from(lone)).sum();
        if records == u64::from(terms.records()) { Ok(()) } else { Err(CountsError::Sum { records: terms.records() }) }
    }

    /// Both numbers of each chain.
    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = [u32; 2]> {
        self.shared.iter().zip(&self.lone).map(|(&shared, &lone)| [shared, lone])
    }

    /// Keeps apart what is drawn for pledges of different terms or counts. As secret as the counts.
    pub(crate) fn topic(&self, terms: &Terms) -> Zeroizing<Vec<u8>> {
        let values = 2 * self.shared.len();
        let mut topic = Zeroizing::new(Vec::with_capacity(terms.digest().as_bytes().len() + 4 * values));
        topic.extend(terms.digest().as_bytes());
        self.values().flatten().for_each(|value| topic.extend(value.to_le_bytes()));
        topic
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counts(..)")
    }
}
