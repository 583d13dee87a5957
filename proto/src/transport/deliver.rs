//! The receiving end of `Link`: reads a message from its chunks and hands it to the node.

use std::{collections::HashMap, sync::Arc};

use hippodrome_core::{ids::Party, message::Message};
use prost::Message as _;
use tokio::{
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
    time::timeout,
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    accept::Peer,
    listener::Limits,
    traffic::{Class, Traffic},
};
use crate::{
    convert::{Assembly, WireError},
    pb::{Chunk, Delivered, chunk::Part, link_server},
    tls::Pins,
};

/// Bodies above this are decoded away from the threads that serve connections: a key takes microseconds, a batch has many.
const DECODE_INLINE: usize = 64 << 10;

/// Takes messages of pinned parties.
pub(crate) struct Inbound {
    limits: Limits,
    /// How many messages each party may be delivering at once, over all its connections.
    permits: HashMap<Party, Semaphore>,
    messages: mpsc::Sender<(Party, Message)>,
    traffic: Arc<Traffic>,
}

impl Inbound {
    pub(crate) fn new(
        limits: Limits,
        pins: &Pins,
        messages: mpsc::Sender<(Party, Message)>,
        traffic: Arc<Traffic>,
    ) -> Self {
        let permits = pins.values().map(|party| (*party, Semaphore::new(limits.deliveries_per_party))).collect();
        Self { limits, permits, messages, traffic }
    }

    async fn read(&self, mut chunks: Streaming<Chunk>) -> Result<Message, Status> {
        let mut assembly = Assembly::new(self.limits.max_body_bytes);
        let late = |_| Status::deadline_exceeded("the next chunk of the message did not come in time");
        let mut bytes = 0;
        while let Some(chunk) = timeout(self.limits.chunk_timeout, chunks.message()).await.map_err(late)?? {
            bytes += len(&chunk);
            assembly.push(chunk).map_err(malformed)?;
        }
        let message = decode(assembly).await?;
        self.traffic.count_received(Class::of(&message), bytes);
        Ok(message)
    }
}

/// Bytes of the header or of the piece of the body.
fn len(chunk: &Chunk) -> usize {
    match &chunk.part {
        Some(Part::Header(header)) => header.encoded_len(),
        Some(Part::Records(records)) => records.len(),
        None => 0,
    }
}

async fn decode(assembly: Assembly) -> Result<Message, Status> {
    let message = if assembly.len() > DECODE_INLINE {
        let stopped = |_| Status::unavailable("the node is stopping");
        spawn_blocking(|| assembly.finish()).await.map_err(stopped)?
    } else {
        assembly.finish()
    };
    message.map_err(malformed)
}

fn malformed(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl link_server::Link for Arc<Inbound> {
    async fn deliver(&self, request: Request<Streaming<Chunk>>) -> Result<Response<Delivered>, Status> {
        let party = request.extensions().get::<Peer>().and_then(|peer| peer.party).ok_or_else(|| {
            Status::unauthenticated("only parties whose certificate the directory pins deliver messages")
        })?;
        let permits = self.permits.get(&party).ok_or_else(|| Status::internal("a pinned party has no permits"))?;
        // Not waited for: what waits holds unread data, and would take the connection's window from what is being read.
        let too_many = |_| Status::unavailable("too many messages of this party are being delivered at once");
        let _permit = permits.try_acquire().map_err(too_many)?;
        let message = self.read(request.into_inner()).await?;
        let stopped = |_| Status::unavailable("the node is stopping");
        self.messages.send((party, message)).await.map_err(stopped)?;
        Ok(Response::new(Delivered {}))
    }
}
