//! Names of things: small integers that cannot be mistaken for one another.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $word:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}"), self.0)
            }
        }
    };
}

id!(
    /// A mix server: its place in the directory, from 0.
    ServerId(u16),
    "server"
);
id!(
    /// A client of the epoch: its place in the registry, from 0.
    ClientId(u32),
    "client"
);
id!(
    /// A chain of a layer, from 0.
    ChainId(u16),
    "chain"
);
id!(
    /// A layer of chains, from 0: clients enter at layer 0, mailboxes are in the last.
    Layer(u8),
    "layer"
);
id!(
    /// A position in a chain, from 0.
    Position(u8),
    "position"
);
id!(
    /// A round of the epoch.
    Round(u64),
    "round"
);

impl Round {
    /// The round after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which servers and chains take part: an epoch and an amendment of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RosterId {
    /// Number of the epoch.
    pub epoch: u64,
    /// Number of the amendment; 0 is none.
    pub amendment: u32,
}

impl fmt::Display for RosterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}, amendment {}", self.epoch, self.amendment)
    }
}

/// A chain of one layer in one round: what batches belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stage {
    /// The round.
    pub round: Round,
    /// The layer.
    pub layer: Layer,
    /// The chain within the layer.
    pub chain: ChainId,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.round, self.layer, self.chain)
    }
}

/// One hop: a stage and the position of a server in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The chain that the hop belongs to.
    pub stage: Stage,
    /// The position in that chain.
    pub position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.stage, self.position)
    }
}

/// Who wrote a submission: a client, or a mix server that sends noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Author {
    /// A client of the epoch's registry.
    Client(ClientId),
    /// A mix server.
    Server(ServerId),
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client) => client.fmt(f),
            Self::Server(server) => server.fmt(f),
        }
    }
}

/// Who sends or gets a message between servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The coordinator: trusted for liveness only.
    Coordinator,
    /// A mix server.
    Server(ServerId),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("the coordinator"),
            Self::Server(server) => server.fmt(f),
        }
    }
}
