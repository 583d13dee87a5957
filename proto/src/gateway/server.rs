//! The coordinator's end of `Gateway`.

use std::{pin::Pin, sync::Arc};

use hippodrome_core::ids::{ClientId, Round};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, async_trait};

use super::{Gateway, Refusal, convert};
use crate::{
    convert::WireError,
    pb::{self, gateway_server},
};

/// Converts requests and answers around a [`Gateway`].
pub(crate) struct GatewayEnd {
    gateway: Arc<dyn Gateway>,
}

impl GatewayEnd {
    pub(crate) fn new(gateway: Arc<dyn Gateway>) -> Self {
        Self { gateway }
    }
}

type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn refused(refusal: Refusal) -> Status {
    match refusal {
        Refusal::NotFound(text) => Status::not_found(text),
        Refusal::Refused(text) => Status::failed_precondition(text),
        Refusal::Busy(text) => Status::resource_exhausted(text),
    }
}

fn malformed(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}

#[async_trait]
impl gateway_server::Gateway for GatewayEnd {
    type NetworkStream = Parts<pb::NetworkPart>;
    type RoundsStream = Parts<pb::RoundEvent>;

    async fn network(&self, _: Request<pb::Empty>) -> Result<Response<Self::NetworkStream>, Status> {
        let info = self.gateway.network().await.map_err(refused)?;
        Ok(Response::new(Box::pin(tokio_stream::iter(convert::network_parts(&info)).map(Ok))))
    }

    async fn rounds(&self, request: Request<pb::RoundsRequest>) -> Result<Response<Self::RoundsStream>, Status> {
        let chain = convert::rounds_request(request.get_ref()).map_err(malformed)?;
        let events = self.gateway.rounds(chain).await.map_err(refused)?;
        Ok(Response::new(Box::pin(ReceiverStream::new(events).map(|event| Ok(event.into())))))
    }

    async fn submit(&self, request: Request<pb::SubmitRequest>) -> Result<Response<pb::Empty>, Status> {
        let request = request.into_inner().try_into().map_err(malformed)?;
        self.gateway.submit(request).await.map_err(refused)?;
        Ok(Response::new(pb::Empty {}))
    }

    async fn fetch(&self, request: Request<pb::FetchRequest>) -> Result<Response<pb::FetchReply>, Status> {
        let request = request.into_inner();
        let fetched = self.gateway.fetch(Round(request.round), ClientId(request.client)).await.map_err(refused)?;
        Ok(Response::new(fetched.into()))
    }

    async fn status(&self, _: Request<pb::Empty>) -> Result<Response<pb::StatusReply>, Status> {
        let status = self.gateway.status().await.map_err(refused)?;
        Ok(Response::new(status.into()))
    }
}
