//! What clients ask.

use std::sync::{Arc, Mutex, PoisonError};

use hippodrome_core::{
    coordinator::{ServerStatus, SubmitRefusal},
    ids::{ChainId, ClientId, RosterId, Round, ServerId},
};
use hippodrome_proto::gateway::{
    Fetched, Gateway, NetworkInfo, NetworkStatus, Refusal, RoundEvent, StruckServer, SubmitRequest, async_trait,
};
use tokio::sync::{broadcast, mpsc, watch};

use crate::shell::{Shell, now_ms, until};

/// Events that wait for a client's connection, before they wait in the ring that all clients share.
const QUEUE: usize = 16;

/// Answers clients from the machine's state.
pub(crate) struct Desk {
    shell: Arc<Shell>,
    document: Vec<u8>,
    /// The answer for this roster, epoch 0 before the first: a registry may be long.
    network: Mutex<(RosterId, Arc<NetworkInfo>)>,
    stopping: watch::Receiver<bool>,
}

impl Desk {
    /// `document` is the network file.
    pub(crate) fn new(shell: Arc<Shell>, document: Vec<u8>, stopping: watch::Receiver<bool>) -> Self {
        let (directory, signatures) = (document.clone(), Vec::new());
        let info = NetworkInfo { directory, signatures, epoch: None, amendment: None };
        let none = RosterId { epoch: 0, amendment: 0 };
        Self { shell, document, network: Mutex::new((none, Arc::new(info))), stopping }
    }
}

#[async_trait]
impl Gateway for Desk {
    async fn network(&self) -> Result<Arc<NetworkInfo>, Refusal> {
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = self.shell.machine();
        if let Some((roster, start, amendment)) = machine.held()
            && roster != network.0
            && roster <= self.shell.kept()
        {
            let info = NetworkInfo {
                directory: self.document.clone(),
                signatures: Vec::new(),
                epoch: Some(start.clone()),
                amendment: amendment.cloned(),
            };
            *network = (roster, Arc::new(info));
        }
        Ok(Arc::clone(&network.1))
    }

    async fn rounds(&self, chain: ChainId) -> Result<mpsc::Receiver<RoundEvent>, Refusal> {
        let none = || Refusal::NotFound(SubmitRefusal::NoSuchChain(chain).to_string());
        let (open, live) = self.shell.subscribe(chain).ok_or_else(none)?;
        let (events, stream) = mpsc::channel(QUEUE);
        let stopped = until(self.stopping.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = forward(open, live, events) => {}
                () = stopped => {}
            }
        });
        Ok(stream)
    }

    async fn submit(&self, request: SubmitRequest) -> Result<(), Refusal> {
        let SubmitRequest { round, chain, records } = request;
        let gatekeeper = self.shell.machine().gatekeeper(round, chain).map_err(refused)?;
        let admitted = gatekeeper.admit(&records).map_err(refused)?;
        self.shell.machine().submit(now_ms(), round, admitted).map_err(refused)
    }

    async fn fetch(&self, round: Round, client: ClientId) -> Result<Fetched, Refusal> {
        let none = || Refusal::NotFound(format!("{round} has no replies for this client, not yet or not any more"));
        let machine = self.shell.machine();
        let replies = machine.replies(round, client).ok_or_else(none)?;
        Ok(Fetched { replies, inclusion: machine.inclusion(round, client) })
    }

    async fn status(&self) -> Result<NetworkStatus, Refusal> {
        let status = self.shell.machine().status().clone();
        Ok(NetworkStatus {
            epoch: status.epoch,
            round: status.round,
            servers_up: status.servers_up,
            rounds_completed: status.rounds_completed,
            rounds_failed: status.rounds_failed,
            hops_verified: status.hops_verified,
            last_failure: status.last_failure.unwrap_or_default(),
            rounds_unopened: status.rounds_unopened,
            idle: status.idle.unwrap_or_default(),
            struck: struck(&status.servers).collect(),
            strikes: status.strikes,
            evidence_held: self.shell.evidence_held(),
        })
    }
}

/// The servers that are struck, of all in the directory's order.
fn struck(servers: &[ServerStatus]) -> impl Iterator<Item = StruckServer> + '_ {
    let servers = (0..).map(ServerId).zip(servers);
    servers.filter_map(|(server, status)| {
        Some(StruckServer { server, ground: status.struck?, since_ms: status.struck_since_ms })
    })
}

/// Carries events to one client. If it falls behind, its stream ends: that tells it to subscribe again, and it holds
/// up nobody.
async fn forward(open: Vec<RoundEvent>, mut live: broadcast::Receiver<RoundEvent>, events: mpsc::Sender<RoundEvent>) {
    for event in open {
        if events.send(event).await.is_err() {
            return;
        }
    }
    loop {
        let event = tokio::select! {
            event = live.recv() => event,
            () = events.closed() => return,
        };
        let Ok(event) = event else { return };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

fn refused(refusal: SubmitRefusal) -> Refusal {
    let text = refusal.to_string();
    match refusal {
        SubmitRefusal::NotOpen(_) | SubmitRefusal::NoSuchChain(_) => Refusal::NotFound(text),
        SubmitRefusal::Full(_) => Refusal::Busy(text),
        SubmitRefusal::Closed(_)
        | SubmitRefusal::SlotTaken
        | SubmitRefusal::Convicted(_)
        | SubmitRefusal::Submission(_) => Refusal::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_falls_behind_is_cut_off_and_holds_up_nobody() {
        let ring = broadcast::Sender::new(4);
        let delivered = |round| RoundEvent::Delivered(Round(round));
        let (slow, mut slow_stream) = mpsc::channel(1);
        let (quick, mut quick_stream) = mpsc::channel(1);
        tokio::spawn(forward(vec![delivered(0)], ring.subscribe(), slow));
        tokio::spawn(forward(vec![delivered(0)], ring.subscribe(), quick));
        let number = |event| if let RoundEvent::Delivered(round) = event { round.0 } else { u64::MAX };
        assert_eq!(quick_stream.recv().await.map(number), Some(0), "open rounds come first");
        for round in 1..=20 {
            ring.send(delivered(round)).expect("both listen");
            assert_eq!(quick_stream.recv().await.map(number), Some(round));
        }
        let mut got = Vec::new();
        while let Some(event) = slow_stream.recv().await {
            got.push(number(event));
        }
        assert!(got.len() < 21 && got.iter().copied().eq(0..got.len() as u64), "{got:?}");
    }
}
