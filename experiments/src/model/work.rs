//! The kinds of work that a round is made of.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// In place of a stage's name: what clients do.
pub(super) const CLIENTS: &str = "clients";

/// A kind of work. Several kinds may be one stage of the ledger of `bench round`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Wrapping messages and opening their replies, by clients: records are counted once for each hop.
    Wrap,
    /// Checking clients' submissions at the coordinator's gate.
    Admit,
    /// Composing a server's noise: records are counted once for each hop that they are wrapped for.
    Noise,
    /// Putting a chain's input together at its first server.
    Assemble,
    /// Checking an input at the chain's other members.
    Offer,
    /// A server's look for its own noise in the inputs of a layer.
    Receipts,
    /// A server's look through the replies to its noise.
    Check,
    /// The part of a proof that needs no batch.
    Prepare,
    /// Decoding and checking a batch.
    Decode,
    /// Opening, blinding and shuffling a batch.
    Mix,
    /// The rest of a proof.
    Prove,
    /// Checking a proof.
    Verify,
    /// Sorting a batch into parcels.
    Distribute,
    /// Looking mailboxes up.
    Exchange,
    /// Sealing the replies of a hop.
    Return,
    /// What a server does between jobs: signatures of each message, trees over each record that comes back.
    Machines,
    /// Making and checking the round's keys: a record is one hop's keys, looked at by one server.
    Keying,
    /// What the coordinator does with records and messages.
    Coordinator,
}

impl Work {
    /// All kinds, in the order in which they come in a round.
    pub const ALL: [Self; 18] = [
        Self::Coordinator,
        Self::Keying,
        Self::Prepare,
        Self::Noise,
        Self::Wrap,
        Self::Admit,
        Self::Assemble,
        Self::Offer,
        Self::Receipts,
        Self::Check,
        Self::Decode,
        Self::Mix,
        Self::Prove,
        Self::Verify,
        Self::Distribute,
        Self::Exchange,
        Self::Return,
        Self::Machines,
    ];

    /// The name under which `bench round` has it; it has clients' work apart from all stages.
    pub fn stage(self) -> &'static str {
        match self {
            Self::Wrap => CLIENTS,
            Self::Admit => "admit",
            Self::Noise => "noise",
            Self::Assemble | Self::Offer => "input",
            Self::Receipts | Self::Check => "receipts",
            Self::Prepare => "prepare",
            Self::Decode => "decode",
            Self::Mix => "mix",
            Self::Prove => "prove",
            Self::Verify => "verify",
            Self::Distribute => "distribute",
            Self::Exchange => "exchange",
            Self::Return => "return",
            Self::Machines | Self::Keying => "machines",
            Self::Coordinator => "coordinator",
        }
    }

    /// Whether the thread of the server's machine does it, and not the pool of jobs.
    pub(super) fn is_of_machine(self) -> bool {
        matches!(self, Self::Machines | Self::Keying | Self::Coordinator)
    }
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Units {
    /// Jobs, or messages.
    pub jobs: u64,
    /// Records of all of them together.
    pub records: u64,
}

impl Units {
    /// One job on so many records.
    pub(super) fn job(records: u64) -> Self {
        Self { jobs: 1, records }
    }

    /// So many messages.
    pub(super) fn messages(jobs: u64) -> Self {
        Self { jobs, records: 0 }
    }
}

impl AddAssign for Units {
    fn add_assign(&mut self, more: Self) {
        self.jobs += more.jobs;
        self.records += more.records;
    }
}
