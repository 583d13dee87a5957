//! Messages that bring servers together and make an epoch.

use std::borrow::Cow;

use bytes::Bytes;
use hippodrome_core::message::{
    EpochProposal, EpochSignature, EpochStart, Hello, Peers, SeedCall, SeedCommitment, SeedCommitments, SeedReveal,
};
use hippodrome_crypto::signing::SIGNATURE_LEN;

use super::{
    Wire, WireError,
    fields::{
        address, array, bytes_of, bytes_of_signature, count, digest, epoch_plan, join_plan, join_signed_by, records,
        roster, signature, signed_by, split_list,
    },
};
use crate::pb;

/// Bytes of a commitment with its signature.
const SIGNED_COMMITMENT_LEN: usize = 32 + SIGNATURE_LEN;

/// Most servers: as many as there are ids.
const SERVER_LIMIT: usize = 1 << 16;

impl Wire for Hello {
    type Header = pb::Hello;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::Hello {
        pb::Hello { address: self.address.clone(), roster: Some(self.roster.into()) }
    }

    fn decode(header: pb::Hello, _: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { address: address("address", header.address)?, roster: roster("roster", header.roster)? })
    }
}

impl Wire for Peers {
    type Header = pb::Peers;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::Peers {
        pb::Peers { addresses: self.addresses.clone() }
    }

    fn decode(header: pb::Peers, _: Vec<u8>) -> Result<Self, WireError> {
        let got = header.addresses.len();
        if got > SERVER_LIMIT {
            return Err(WireError::TooMany { field: "addresses", limit: SERVER_LIMIT, got });
        }
        let known = |text: String| if text.is_empty() { Ok(text) } else { address("addresses", text) };
        let addresses = header.addresses.into_iter().map(known).collect::<Result<_, _>>()?;
        Ok(Self { addresses })
    }
}

impl Wire for SeedCall {
    type Header = pb::SeedCall;

    fn header(&self) -> pb::SeedCall {
        pb::SeedCall { plan: Some((&self.plan).into()) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        join_plan(&self.plan).into()
    }

    fn decode(header: pb::SeedCall, body: Vec<u8>) -> Result<Self, WireError> {
        match epoch_plan(header.plan, &body)? {
            (plan, []) => Ok(Self { plan }),
            (_, rest) => Err(WireError::Ragged { field: "plan", width: 1, got: rest.len() }),
        }
    }
}

impl Wire for SeedCommitment {
    type Header = pb::SeedCommitment;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::SeedCommitment {
        pb::SeedCommitment {
            epoch: self.epoch,
            commitment: bytes_of(&self.commitment),
            signature: bytes_of_signature(&self.signature),
        }
    }

    fn decode(header: pb::SeedCommitment, _: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self {
            epoch: header.epoch,
            commitment: digest("commitment", &header.commitment)?,
            signature: signature("signature", &header.signature)?,
        })
    }
}

impl Wire for SeedCommitments {
    type Header = pb::SeedCommitments;

    fn header(&self) -> pb::SeedCommitments {
        pb::SeedCommitments { epoch: self.epoch }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        let joined = self.commitments.iter().flat_map(|(commitment, signature)| [&commitment.0[..], &signature.0]);
        joined.collect::<Vec<_>>().concat().into()
    }

    fn decode(header: pb::SeedCommitments, body: Vec<u8>) -> Result<Self, WireError> {
        let split = |record: &[u8; SIGNED_COMMITMENT_LEN]| {
            let (commitment, rest) = record.split_at(32);
            Ok((digest("commitment", commitment)?, signature("signature", rest)?))
        };
        let commitments = records("commitments", &body)?.iter().map(split).collect::<Result<_, _>>()?;
        Ok(Self { epoch: header.epoch, commitments })
    }
}

impl Wire for SeedReveal {
    type Header = pb::SeedReveal;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::SeedReveal {
        pb::SeedReveal { epoch: self.epoch, share: Bytes::copy_from_slice(&self.share) }
    }

    fn decode(header: pb::SeedReveal, _: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { epoch: header.epoch, share: array("share", &header.share)? })
    }
}

impl Wire for EpochProposal {
    type Header = pb::EpochProposal;

    fn header(&self) -> pb::EpochProposal {
        pb::EpochProposal { epoch: self.epoch }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.shares.as_flattened().into()
    }

    fn decode(header: pb::EpochProposal, body: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { epoch: header.epoch, shares: records("shares", &body)?.to_vec() })
    }
}

impl Wire for EpochSignature {
    type Header = pb::EpochSignature;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::EpochSignature {
        pb::EpochSignature { epoch: self.epoch, signature: bytes_of_signature(&self.signature) }
    }

    fn decode(header: pb::EpochSignature, _: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { epoch: header.epoch, signature: signature("signature", &header.signature)? })
    }
}

impl Wire for EpochStart {
    type Header = pb::EpochStart;

    fn header(&self) -> pb::EpochStart {
        pb::EpochStart { plan: Some((&self.plan).into()), share_count: count(&self.shares) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        let plan = join_plan(&self.plan);
        [plan.as_slice(), self.shares.as_flattened(), &join_signed_by(&self.signatures)].concat().into()
    }

    fn decode(header: pb::EpochStart, body: Vec<u8>) -> Result<Self, WireError> {
        let (plan, rest) = epoch_plan(header.plan, &body)?;
        let (shares, rest) = split_list::<32>("shares", header.share_count, rest)?;
        let shares = records("shares", shares)?.to_vec();
        Ok(Self { plan, shares, signatures: signed_by("signatures", rest)? })
    }
}
