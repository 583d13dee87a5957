//! A mix server that cheats, or writes down what it should forget.
//!
//! It is the shell of an honest one, made of the same public parts, around the same machine; what it receives and sends
//! passes the adversary of the simulator, which signs what it changes with the server's own key. No product code knows
//! that there is such a thing.

mod observer;
mod shell;

use std::{io, path::PathBuf};

use hippodrome_core::{ids::Round, mixer::MailboxCounts};
use hippodrome_mixnode::MixnodeConfig;
use hippodrome_proto::{
    tls::TlsError,
    transport::{BindError, ServeError},
};
use hippodrome_sim::adversary::cheat::{By, CHEATS, Cheat, OTHER_NOISE, Role};
use hippodrome_store::{key_file::KeyFileError, marks::MarksError, network_file::NetworkFileError};

use self::shell::Shell;

/// Why a mutant does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum MutantError {
    /// The network file.
    #[error(transparent)]
    Network(#[from] NetworkFileError),
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The state directory.
    #[error(transparent)]
    Marks(#[from] MarksError),
    /// The key belongs to no server of the network.
    #[error("{}: its key is not in the directory of the network", .0.display())]
    NotInDirectory(PathBuf),
    /// Nobody says where the coordinator is.
    #[error("where is the coordinator? neither the settings nor the network file say it")]
    NoCoordinator,
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The own certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener stopped.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The system gives no sockets or randomness.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// The cheats that a server can mount by itself.
pub fn cheats() -> impl Iterator<Item = &'static Cheat> {
    CHEATS.iter().filter(|cheat| matches!(cheat.by, By::Server(_))).chain([&OTHER_NOISE])
}

/// What a mutant tells.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// It has changed something in a round: the cheat's name.
    Mounted(&'static str, Round),
    /// It has seen mailboxes.
    Saw(MailboxCounts),
}

/// Whether a cheat can wait until a network runs.
pub fn can_wait(cheat: &Cheat) -> bool {
    !matches!(cheat.by, By::Server(Role::Founder))
}

/// Runs a mix server that mounts a cheat whenever it has the turn for it, or does nothing wrong, until the process is
/// killed. It is honest until `begin` is done, and in all rounds that it has heard of by then. `tell` hears of every round in
/// which something was changed, and of all mailboxes. Must be called inside a tokio runtime.
///
/// # Errors
/// Whatever keeps it from starting: files, the state directory, the address.
pub async fn run(
    config: &MixnodeConfig,
    cheat: Option<&'static Cheat>,
    begin: impl Future<Output = ()>,
    tell: impl FnMut(Told),
) -> Result<(), MutantError> {
    Shell::start(config, cheat, tell).await?.run(begin).await
}
