//! Many clients in one process over one connection.

use std::sync::Arc;

use hippodrome_core::marks::{Marks, MemoryMarks};
use hippodrome_crypto::signing::SigningKey;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::{
    idle::{Idle, IdleTally},
    session::{Session, SessionError},
    uplink::Uplink,
    voice::Voice,
};

/// Clients that share a connection, each with a session of its own. Dropping it ends them at once.
pub struct Swarm {
    uplink: Uplink,
    sessions: JoinSet<Result<(), SessionError>>,
    stop: watch::Sender<bool>,
}

impl Swarm {
    /// No clients yet.
    pub fn new(uplink: Uplink) -> Self {
        Self { uplink, sessions: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    /// Adds a client; its session begins.
    pub fn add(&mut self, key: SigningKey, marks: Marks, mut voice: impl Voice + 'static) {
        let session = Session::over(self.uplink.clone(), key, marks);
        let mut stopping = self.stop.subscribe();
        self.sessions.spawn(async move {
            // An error means that the swarm is gone.
            let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
            session.run(&mut voice, stopped).await
        });
    }

    /// Adds an idle client, whose marks last as long as it: it must not come back in the same epoch.
    pub fn add_idle(&mut self, key: SigningKey) -> Arc<IdleTally> {
        let voice = Idle::new(self.uplink.directory().params().slots);
        let tally = voice.tally();
        self.add(key, Marks::new(Box::new(MemoryMarks::default())), voice);
        tally
    }

    /// Clients that take part.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no client.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Waits until a client ends by itself, and says why; none when there is none left.
    pub async fn ended(&mut self) -> Option<Result<(), SessionError>> {
        self.sessions.join_next().await.map(settled)
    }

    /// Ends all clients, and gives the first error that one of them had.
    pub async fn stop(mut self) -> Result<(), SessionError> {
        self.stop.send_replace(true);
        let mut result = Ok(());
        while let Some(ended) = self.ended().await {
            result = result.and(ended);
        }
        result
    }
}

fn settled(joined: Result<Result<(), SessionError>, JoinError>) -> Result<(), SessionError> {
    joined.unwrap_or_else(|error| Err(SessionError::Voice(error.into())))
}
