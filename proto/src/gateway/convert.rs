//! Between the gateway's values and what is on the wire.

use std::sync::Arc;

use bytes::Bytes;
use hippodrome_core::{
    coordinator::Strikes,
    descriptor::ClientDescriptor,
    ids::{ChainId, Round},
    message::{AmendmentStart, EpochStart},
    participant::Inclusion,
};
use hippodrome_crypto::{
    hash::Digest,
    hop::HopPublic,
    merkle::{InclusionProof, RANGE_PROOF_LIMIT, RangeProof},
};

use super::{Fetched, NetworkInfo, NetworkStatus, RoundEvent, StruckServer, SubmitRequest};
use crate::{
    convert::{
        Wire, WireError,
        fields::{
            branch, bytes_of, chain, digest, hop_keys, input_commitment, join_digests, join_hop_keys, join_signatures,
            records, required, roster, server, signatures,
        },
        ground, ground_code, split,
    },
    pb::{self, network_part::Part, round_event::Event},
};

/// Most servers: as many as there are ids.
const SERVER_LIMIT: usize = 1 << 16;

/// The parts in which directory and epoch travel.
pub(super) fn network_parts(info: &NetworkInfo) -> impl Iterator<Item = pb::NetworkPart> + Send + use<> {
    let body = info.epoch.as_ref().map_or_else(Vec::new, |epoch| epoch.body().into_owned());
    let amendment_body = info.amendment.as_ref().map_or_else(Vec::new, |amendment| amendment.body().into_owned());
    let header = pb::NetworkHeader {
        directory: Bytes::copy_from_slice(&info.directory),
        signatures: join_signatures(&info.signatures).into(),
        epoch: info.epoch.as_ref().map(Wire::header),
        amendment: info.amendment.as_ref().map(Wire::header),
        amendment_body: amendment_body.into(),
    };
    let body = split(body.into()).map(Part::Epoch);
    std::iter::once(Part::Header(header)).chain(body).map(|part| pb::NetworkPart { part: Some(part) })
}

/// Directory and epoch of which some parts have come.
pub(super) struct NetworkAssembly {
    limit: usize,
    header: Option<pb::NetworkHeader>,
    body: Vec<u8>,
}

impl NetworkAssembly {
    /// Nothing yet; the epoch may have up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, header: None, body: Vec::new() }
    }

    pub(super) fn push(&mut self, part: pb::NetworkPart) -> Result<(), WireError> {
        match (part.part.ok_or(WireError::EmptyChunk)?, &self.header) {
            (Part::Header(_), Some(_)) => Err(WireError::SecondHeader),
            (Part::Header(header), None) => {
                self.header = Some(header);
                Ok(())
            }
            (Part::Epoch(_), None) => Err(WireError::RecordsBeforeHeader),
            (Part::Epoch(_), Some(header)) if header.epoch.is_none() => Err(WireError::UnexpectedBody),
            (Part::Epoch(piece), Some(_)) if piece.is_empty() => Err(WireError::EmptyChunk),
            (Part::Epoch(piece), Some(_)) => self.extend(&piece),
        }
    }

    fn extend(&mut self, piece: &[u8]) -> Result<(), WireError> {
        if piece.len() > self.limit - self.body.len() {
            return Err(WireError::BodyTooLong { limit: self.limit });
        }
        self.body.extend_from_slice(piece);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<NetworkInfo, WireError> {
        let header = self.header.ok_or(WireError::NoHeader)?;
        let epoch = header.epoch.map(|epoch| EpochStart::decode(epoch, self.body)).transpose()?;
        let amendment_body = header.amendment_body.to_vec();
        let amendment = header.amendment.map(|start| AmendmentStart::decode(start, amendment_body)).transpose()?;
        let signatures = signatures("signatures", &header.signatures)?;
        Ok(NetworkInfo { directory: header.directory.to_vec(), signatures, epoch, amendment })
    }
}

impl From<RoundEvent> for pb::RoundEvent {
    fn from(event: RoundEvent) -> Self {
        let event = match event {
            RoundEvent::Announced(descriptor) => Event::Announced(pb::ClientDescriptor::from(&*descriptor)),
            RoundEvent::Closed { round, roster } => {
                Event::Closed(pb::ClosedChain { round: round.0, roster: Some(roster.into()) })
            }
            RoundEvent::Delivered(round) => Event::Delivered(round.0),
            RoundEvent::Failed { round, reason } => Event::Failed(pb::RoundFailure { round: round.0, reason }),
        };
        Self { event: Some(event) }
    }
}

impl TryFrom<pb::RoundEvent> for RoundEvent {
    type Error = WireError;

    fn try_from(event: pb::RoundEvent) -> Result<Self, WireError> {
        Ok(match required("event", event.event)? {
            Event::Announced(descriptor) => Self::Announced(Arc::new(client_descriptor(descriptor)?)),
            Event::Closed(closed) => {
                Self::Closed { round: Round(closed.round), roster: roster("roster", closed.roster)? }
            }
            Event::Delivered(round) => Self::Delivered(Round(round)),
            Event::Failed(failure) => Self::Failed { round: Round(failure.round), reason: printable(failure.reason) },
        })
    }
}

impl From<&ClientDescriptor> for pb::ClientDescriptor {
    fn from(descriptor: &ClientDescriptor) -> Self {
        let chain_keys = |keys: &Vec<HopPublic>| Bytes::from(join_hop_keys(keys));
        let layer_keys = |chains: &Vec<_>| pb::LayerKeys { chains: chains.iter().map(chain_keys).collect() };
        Self {
            roster: Some(descriptor.roster.into()),
            round: descriptor.round.0,
            chain: descriptor.chain.0.into(),
            entry: chain_keys(&descriptor.entry),
            entry_root: bytes_of(&descriptor.entry_root),
            branch: descriptor.branch.0.iter().flat_map(|digest| digest.0).collect(),
            later: descriptor.later.iter().map(layer_keys).collect(),
            signatures: join_signatures(&descriptor.signatures).into(),
            pledges: descriptor.pledges.iter().flat_map(|pledges| pledges.0).collect(),
        }
    }
}

fn client_descriptor(descriptor: pb::ClientDescriptor) -> Result<ClientDescriptor, WireError> {
    let branch = records::<32>("branch", &descriptor.branch)?;
    Ok(ClientDescriptor {
        roster: roster("roster", descriptor.roster)?,
        round: Round(descriptor.round),
        chain: chain("chain", descriptor.chain)?,
        entry: hop_keys("entry", &descriptor.entry)?,
        entry_root: digest("entry_root", &descriptor.entry_root)?,
        branch: InclusionProof(branch.iter().copied().map(Digest).collect()),
        later: descriptor.later.into_iter().map(layer_keys).collect::<Result<_, _>>()?,
        signatures: signatures("signatures", &descriptor.signatures)?,
        pledges: match descriptor.pledges.is_empty() {
            true => None,
            false => Some(digest("pledges", &descriptor.pledges)?),
        },
    })
}

fn layer_keys(layer: pb::LayerKeys) -> Result<Vec<Vec<HopPublic>>, WireError> {
    layer.chains.iter().map(|keys| hop_keys("later", keys)).collect()
}

impl From<SubmitRequest> for pb::SubmitRequest {
    fn from(request: SubmitRequest) -> Self {
        Self { round: request.round.0, chain: request.chain.0.into(), records: request.records.into() }
    }
}

impl TryFrom<pb::SubmitRequest> for SubmitRequest {
    type Error = WireError;

    fn try_from(request: pb::SubmitRequest) -> Result<Self, WireError> {
        let records = Vec::from(request.records);
        Ok(Self { round: Round(request.round), chain: chain("chain", request.chain)?, records })
    }
}

pub(super) fn rounds_request(request: &pb::RoundsRequest) -> Result<ChainId, WireError> {
    chain("chain", request.chain)
}

impl From<NetworkStatus> for pb::StatusReply {
    fn from(status: NetworkStatus) -> Self {
        let Strikes { silent, aborted, convicted } = status.strikes;
        let strikes = pb::Strikes { silent, aborted, convicted };
        Self {
            epoch: status.epoch,
            round: status.round,
            servers_up: status.servers_up,
            rounds_completed: status.rounds_completed,
            rounds_failed: status.rounds_failed,
            hops_verified: status.hops_verified,
            last_failure: status.last_failure,
            rounds_unopened: status.rounds_unopened,
            idle: status.idle,
            struck: status.struck.into_iter().map(Into::into).collect(),
            strikes: Some(strikes),
            evidence_held: status.evidence_held,
        }
    }
}

impl TryFrom<pb::StatusReply> for NetworkStatus {
    type Error = WireError;

    fn try_from(status: pb::StatusReply) -> Result<Self, WireError> {
        let got = status.servers_up.len().max(status.struck.len());
        if got > SERVER_LIMIT {
            return Err(WireError::TooMany { field: "servers_up", limit: SERVER_LIMIT, got });
        }
        let pb::Strikes { silent, aborted, convicted } = status.strikes.unwrap_or_default();
        Ok(Self {
            epoch: status.epoch,
            round: status.round,
            servers_up: status.servers_up,
            rounds_completed: status.rounds_completed,
            rounds_failed: status.rounds_failed,
            hops_verified: status.hops_verified,
            last_failure: printable(status.last_failure),
            rounds_unopened: status.rounds_unopened,
            idle: printable(status.idle),
            struck: status.struck.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            strikes: Strikes { silent, aborted, convicted },
            evidence_held: status.evidence_held,
        })
    }
}

impl From<StruckServer> for pb::StruckServer {
    fn from(StruckServer { server, ground, since_ms }: StruckServer) -> Self {
        Self { server: server.0.into(), ground: ground_code(ground).into(), since_ms: since_ms.unwrap_or(0) }
    }
}

impl TryFrom<pb::StruckServer> for StruckServer {
    type Error = WireError;

    fn try_from(struck: pb::StruckServer) -> Result<Self, WireError> {
        let since_ms = Some(struck.since_ms).filter(|since_ms| *since_ms > 0);
        Ok(Self { server: server("server", struck.server)?, ground: ground(struck.ground)?, since_ms })
    }
}

/// Text that ends on a terminal: without control characters, and not endless.
pub(super) fn printable(text: String) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

impl From<Fetched> for pb::FetchReply {
    fn from(Fetched { replies, inclusion }: Fetched) -> Self {
        let inclusion = inclusion.map(|Inclusion { input, signatures, start, branch }| pb::Inclusion {
            input: Some((&input).into()),
            signatures: join_signatures(&signatures).into(),
            start,
            branch: join_digests(&branch.0),
        });
        Self { records: replies.into(), inclusion }
    }
}

impl TryFrom<pb::FetchReply> for Fetched {
    type Error = WireError;

    fn try_from(reply: pb::FetchReply) -> Result<Self, WireError> {
        let decode = |shown: pb::Inclusion| {
            Ok::<_, WireError>(Inclusion {
                input: input_commitment(shown.input)?,
                signatures: signatures("inclusion.signatures", &shown.signatures)?,
                start: shown.start,
                branch: RangeProof(branch("inclusion.branch", RANGE_PROOF_LIMIT, &shown.branch)?),
            })
        };
        Ok(Self { replies: reply.records.into(), inclusion: reply.inclusion.map(decode).transpose()? })
    }
}
