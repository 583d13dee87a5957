//! Messages that strike servers from an epoch.

use std::borrow::Cow;

use hippodrome_core::{
    ids::ServerId,
    message::{Amendment, AmendmentProposal, AmendmentSignature, AmendmentStart, Ground, Strike},
};

use super::{
    Wire, WireError,
    fields::{bytes_of_signature, count, join_signed_by, records, roster, signature, signed_by, split_list},
};
use crate::pb;

/// Bytes of a struck server with the ground.
const STRIKE_LEN: usize = 2 + 1;

pub(crate) fn ground_code(ground: Ground) -> u8 {
    match ground {
        Ground::Silent => 0,
        Ground::Aborted => 1,
        Ground::Convicted => 2,
    }
}

pub(crate) fn ground(code: u32) -> Result<Ground, WireError> {
    match code {
        0 => Ok(Ground::Silent),
        1 => Ok(Ground::Aborted),
        2 => Ok(Ground::Convicted),
        got => Err(WireError::Code { field: "ground", got: got.try_into().unwrap_or(i32::MAX) }),
    }
}

fn join_strikes(struck: &[Strike]) -> Vec<u8> {
    let record = |strike: &Strike| {
        let [low, high] = strike.server.0.to_le_bytes();
        [low, high, ground_code(strike.ground)]
    };
    struck.iter().flat_map(record).collect()
}

fn strike(&[low, high, code]: &[u8; STRIKE_LEN]) -> Result<Strike, WireError> {
    Ok(Strike { server: ServerId(u16::from_le_bytes([low, high])), ground: ground(code.into())? })
}

fn amendment(id: Option<pb::RosterId>, struck: &[u8]) -> Result<Amendment, WireError> {
    let id = roster("amendment", id)?;
    let struck = records("struck", struck)?.iter().map(strike).collect::<Result<_, _>>()?;
    Ok(Amendment { epoch: id.epoch, number: id.amendment, struck })
}

impl Wire for AmendmentProposal {
    type Header = pb::AmendmentProposal;

    fn header(&self) -> pb::AmendmentProposal {
        pb::AmendmentProposal { amendment: Some(self.amendment.id().into()) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        join_strikes(&self.amendment.struck).into()
    }

    fn decode(header: pb::AmendmentProposal, body: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { amendment: amendment(header.amendment, &body)? })
    }
}

impl Wire for AmendmentSignature {
    type Header = pb::AmendmentSignature;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::AmendmentSignature {
        pb::AmendmentSignature { amendment: Some(self.roster.into()), signature: bytes_of_signature(&self.signature) }
    }

    fn decode(header: pb::AmendmentSignature, _: Vec<u8>) -> Result<Self, WireError> {
        let roster = roster("amendment", header.amendment)?;
        Ok(Self { roster, signature: signature("signature", &header.signature)? })
    }
}

impl Wire for AmendmentStart {
    type Header = pb::AmendmentStart;

    fn header(&self) -> pb::AmendmentStart {
        pb::AmendmentStart { amendment: Some(self.amendment.id().into()), strike_count: count(&self.amendment.struck) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        [join_strikes(&self.amendment.struck), join_signed_by(&self.signatures)].concat().into()
    }

    fn decode(header: pb::AmendmentStart, body: Vec<u8>) -> Result<Self, WireError> {
        let (struck, rest) = split_list::<STRIKE_LEN>("struck", header.strike_count, &body)?;
        Ok(Self { amendment: amendment(header.amendment, struck)?, signatures: signed_by("signatures", rest)? })
    }
}
