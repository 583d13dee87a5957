//! Somebody who asks again and again whether a server takes part.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use hippodrome_client::uplink::Uplink;
use hippodrome_core::{directory::Directory, ids::ServerId};
use tokio::{sync::oneshot, time::sleep};

use super::now_ms;
use crate::live::place;

/// From one question to the next.
const PACE: Duration = Duration::from_millis(100);

/// Asks until it is dropped, or until servers have signed that rounds are held without one of them.
pub(super) struct Watch {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Option<u64>>,
}

impl Watch {
    /// Begins to ask the coordinator of a network in a directory.
    pub(super) fn start(net: &Path, directory: Arc<Directory>, server: ServerId) -> Self {
        let (stop, stopped) = oneshot::channel();
        let net = net.to_owned();
        let look = async move {
            tokio::select! {
                at_ms = until_out(net, directory, server) => Some(at_ms),
                _ = stopped => None,
            }
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.ok().and_then(|runtime| runtime.block_on(look))
        });
        Self { stop, thread }
    }

    /// Ends, and gives when the server was first seen to be out, milliseconds since 1970; none if it never was.
    pub(super) fn end(self) -> Option<u64> {
        drop(self.stop);
        // It has said why, if it panicked.
        self.thread.join().unwrap_or_default()
    }
}

/// Asks until the newest roster is without the server; gives the time.
async fn until_out(net: PathBuf, directory: Arc<Directory>, server: ServerId) -> u64 {
    let mut uplink = None;
    loop {
        if uplink.is_none() {
            uplink = connect(&net, &directory).await;
        }
        // While the coordinator is away there is no answer.
        let roster = match &uplink {
            Some(uplink) => uplink.roster().await.ok().flatten(),
            None => None,
        };
        if roster.is_some_and(|roster| !roster.is_active(server)) {
            return now_ms();
        }
        sleep(PACE).await;
    }
}

async fn connect(net: &Path, directory: &Arc<Directory>) -> Option<Uplink> {
    let address = place::coordinator(net).ok()?;
    Uplink::connect(Arc::clone(directory), &address).await.ok()
}
