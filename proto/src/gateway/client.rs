//! The client's end of `Gateway`.

use std::{future::Future, time::Duration};

use hippodrome_core::ids::{ChainId, ClientId, Party, Round};
use tokio::{sync::watch, time::timeout};
use tonic::{Code, Response, Status, Streaming, transport::Channel};

use super::{
    Fetched, NetworkInfo, NetworkStatus, Refusal, RoundEvent, SubmitRequest,
    convert::{NetworkAssembly, printable},
};
use crate::{
    convert::WireError,
    pb::{self, gateway_client},
    tls::Fingerprint,
    transport::{ConnectError, Target, channel, explain},
};

/// How long an answer, or the next piece of one, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of one answer: the keys of all later layers of the largest network.
const ANSWER_LIMIT: usize = 16 << 20;
/// Bytes of an epoch: as many clients as it may have, and 128 for each of as many servers as there are ids.
const EPOCH_LIMIT: usize = 32 * hippodrome_core::epoch::MAX_CLIENTS + (128 << 16);

/// Why the coordinator did not answer a request, or not with what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// It refuses.
    #[error("the coordinator refuses: {0}")]
    Refused(#[from] Refusal),
    /// It sent something malformed.
    #[error("the coordinator's answer is malformed: {0}")]
    Malformed(#[from] WireError),
    /// It does not answer in time.
    #[error("the coordinator does not answer within {} seconds", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    /// The connection broke, or could not be made again.
    #[error("the connection to the coordinator is broken: {0}")]
    Broken(String),
}

impl From<Status> for GatewayError {
    fn from(status: Status) -> Self {
        let text = || printable(status.message().to_owned());
        match status.code() {
            Code::NotFound => Refusal::NotFound(text()).into(),
            Code::FailedPrecondition | Code::InvalidArgument | Code::OutOfRange => Refusal::Refused(text()).into(),
            Code::ResourceExhausted => Refusal::Busy(text()).into(),
            _ => Self::Broken(printable(explain(&status))),
        }
    }
}

/// Connects to the coordinator at `host:port`, whose certificate the directory pins; shows none.
///
/// If the connection breaks later, the next request makes a new one.
pub async fn connect_gateway(address: &str, pinned: Fingerprint) -> Result<GatewayClient, ConnectError> {
    let (_, address) = watch::channel(Some(address.to_owned()));
    let channel = channel(Target::new(Party::Coordinator, pinned, None, address)?).await?;
    Ok(GatewayClient { client: gateway_client::GatewayClient::new(channel).max_decoding_message_size(ANSWER_LIMIT) })
}

/// A client's connection to the coordinator; clones share it.
#[derive(Clone, Debug)]
pub struct GatewayClient {
    client: gateway_client::GatewayClient<Channel>,
}

impl GatewayClient {
    /// Directory and epoch, to be verified.
    pub async fn network(&self) -> Result<NetworkInfo, GatewayError> {
        let mut parts = answer(self.client.clone().network(pb::Empty {})).await?;
        let mut assembly = NetworkAssembly::new(EPOCH_LIMIT);
        while let Some(part) = in_time(parts.message()).await?? {
            assembly.push(part)?;
        }
        Ok(assembly.finish()?)
    }

    /// Events for clients of an input chain from now on.
    pub async fn rounds(&self, chain: ChainId) -> Result<RoundEvents, GatewayError> {
        let request = pb::RoundsRequest { chain: chain.0.into() };
        Ok(RoundEvents { events: answer(self.client.clone().rounds(request)).await? })
    }

    /// Hands in all submissions of a client for a round.
    pub async fn submit(&self, request: SubmitRequest) -> Result<(), GatewayError> {
        answer(self.client.clone().submit(pb::SubmitRequest::from(request))).await.map(drop)
    }

    /// What a client gets of a round.
    pub async fn fetch(&self, round: Round, client: ClientId) -> Result<Fetched, GatewayError> {
        let request = pb::FetchRequest { round: round.0, client: client.0 };
        Ok(answer(self.client.clone().fetch(request)).await?.try_into()?)
    }

    /// How the network is doing.
    pub async fn status(&self) -> Result<NetworkStatus, GatewayError> {
        Ok(answer(self.client.clone().status(pb::Empty {})).await?.try_into()?)
    }
}

/// Events of rounds as they come.
#[derive(Debug)]
pub struct RoundEvents {
    events: Streaming<pb::RoundEvent>,
}

impl RoundEvents {
    /// Waits for the next event, however long; none when the coordinator ends the stream.
    pub async fn next(&mut self) -> Result<Option<RoundEvent>, GatewayError> {
        Ok(self.events.message().await?.map(TryInto::try_into).transpose()?)
    }
}

async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, GatewayError> {
    Ok(in_time(call).await??.into_inner())
}

async fn in_time<T>(pending: impl Future<Output = T>) -> Result<T, GatewayError> {
    timeout(ANSWER_TIMEOUT, pending).await.map_err(|_| GatewayError::Timeout)
}
