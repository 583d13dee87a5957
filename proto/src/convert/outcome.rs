//! Messages that end a round.

use hippodrome_core::{
    ids::Round,
    message::{Abort, AbortReason, Awaited, Missing, Report},
};

use super::{
    Wire, WireError,
    fields::{bytes_of_signature, required, server, signature, stage},
};
use crate::pb::{self, abort_reason::Reason};

impl Wire for Report {
    type Header = pb::Report;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::Report {
        pb::Report { round: self.round.0, hops_verified: self.hops_verified, mixing_ms: self.mixing_ms }
    }

    fn decode(header: pb::Report, _: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { round: Round(header.round), hops_verified: header.hops_verified, mixing_ms: header.mixing_ms })
    }
}

impl Wire for Abort {
    type Header = pb::Abort;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::Abort {
        pb::Abort {
            stage: Some(self.stage.into()),
            reason: Some(pb::AbortReason { reason: Some(reason_to_wire(&self.reason)) }),
            signature: bytes_of_signature(&self.signature),
        }
    }

    fn decode(header: pb::Abort, _: Vec<u8>) -> Result<Self, WireError> {
        let reason = required("reason", header.reason.and_then(|reason| reason.reason))?;
        Ok(Self {
            stage: stage("stage", header.stage)?,
            reason: reason_from_wire(reason)?,
            signature: signature("signature", &header.signature)?,
        })
    }
}

fn reason_to_wire(reason: &AbortReason) -> Reason {
    match reason {
        AbortReason::Deadline(Missing { what, from: None }) => Reason::Deadline(pb::Awaited::from(*what).into()),
        AbortReason::Deadline(Missing { what, from: Some(server) }) => {
            Reason::Missing(pb::Missing { what: pb::Awaited::from(*what).into(), server: server.0.into() })
        }
        AbortReason::BadMessage(server) => Reason::BadMessage(server.0.into()),
        AbortReason::BadProof(server) => Reason::BadProof(server.0.into()),
        AbortReason::Equivocation(server) => Reason::Equivocation(server.0.into()),
        AbortReason::Convicted(server) => Reason::Convicted(server.0.into()),
        AbortReason::LayerDidNotOpen => Reason::LayerDidNotOpen(pb::Empty {}),
        AbortReason::ActedBefore => Reason::ActedBefore(pb::Empty {}),
        AbortReason::Storage => Reason::Storage(pb::Empty {}),
        AbortReason::NoiseLeftOut(server) => Reason::NoiseLeftOut(server.0.into()),
        AbortReason::BadReceipt(server) => Reason::BadReceipt(server.0.into()),
        AbortReason::NoiseMissing => Reason::NoiseMissing(pb::Empty {}),
        AbortReason::DroppedNoise(server) => Reason::DroppedNoise(server.0.into()),
        AbortReason::FalseClaim(server) => Reason::FalseClaim(server.0.into()),
        AbortReason::Unproven => Reason::Unproven(pb::Empty {}),
    }
}

fn reason_from_wire(reason: Reason) -> Result<AbortReason, WireError> {
    Ok(match reason {
        Reason::Deadline(code) => AbortReason::Deadline(awaited(code)?.into()),
        Reason::Missing(pb::Missing { what, server: id }) => {
            AbortReason::Deadline(Missing { what: awaited(what)?, from: Some(server("missing", id)?) })
        }
        Reason::BadMessage(id) => AbortReason::BadMessage(server("bad_message", id)?),
        Reason::BadProof(id) => AbortReason::BadProof(server("bad_proof", id)?),
        Reason::Equivocation(id) => AbortReason::Equivocation(server("equivocation", id)?),
        Reason::Convicted(id) => AbortReason::Convicted(server("convicted", id)?),
        Reason::LayerDidNotOpen(_) => AbortReason::LayerDidNotOpen,
        Reason::ActedBefore(_) => AbortReason::ActedBefore,
        Reason::Storage(_) => AbortReason::Storage,
        Reason::NoiseLeftOut(id) => AbortReason::NoiseLeftOut(server("noise_left_out", id)?),
        Reason::BadReceipt(id) => AbortReason::BadReceipt(server("bad_receipt", id)?),
        Reason::NoiseMissing(_) => AbortReason::NoiseMissing,
        Reason::DroppedNoise(id) => AbortReason::DroppedNoise(server("dropped_noise", id)?),
        Reason::FalseClaim(id) => AbortReason::FalseClaim(server("false_claim", id)?),
        Reason::Unproven(_) => AbortReason::Unproven,
    })
}

impl From<Awaited> for pb::Awaited {
    fn from(awaited: Awaited) -> Self {
        match awaited {
            Awaited::Input => Self::Input,
            Awaited::InputSignatures => Self::InputSignatures,
            Awaited::Receipt => Self::Receipt,
            Awaited::Confirmations => Self::Confirmations,
            Awaited::Batch => Self::Batch,
            Awaited::Proofs => Self::Proofs,
            Awaited::Replies => Self::Replies,
            Awaited::Inputs => Self::Inputs,
            Awaited::Answer => Self::Answer,
            Awaited::Trail => Self::Trail,
        }
    }
}

fn awaited(code: i32) -> Result<Awaited, WireError> {
    match pb::Awaited::try_from(code) {
        Ok(pb::Awaited::Input) => Ok(Awaited::Input),
        Ok(pb::Awaited::InputSignatures) => Ok(Awaited::InputSignatures),
        Ok(pb::Awaited::Receipt) => Ok(Awaited::Receipt),
        Ok(pb::Awaited::Confirmations) => Ok(Awaited::Confirmations),
        Ok(pb::Awaited::Batch) => Ok(Awaited::Batch),
        Ok(pb::Awaited::Proofs) => Ok(Awaited::Proofs),
        Ok(pb::Awaited::Replies) => Ok(Awaited::Replies),
        Ok(pb::Awaited::Inputs) => Ok(Awaited::Inputs),
        Ok(pb::Awaited::Answer) => Ok(Awaited::Answer),
        Ok(pb::Awaited::Trail) => Ok(Awaited::Trail),
        Ok(pb::Awaited::Unspecified) | Err(_) => Err(WireError::Code { field: "deadline", got: code }),
    }
}
