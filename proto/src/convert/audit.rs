//! The messages of an audit of noise.

use std::borrow::Cow;

use hippodrome_core::{
    ids::Round,
    message::{Coin, CoinShare, NoiseOpening, ShareCall},
};
use hippodrome_crypto::{hash::Digest, merkle::RangeProof};

use super::{
    Wire, WireError,
    fields::{array, bytes_of_signature, records, server, signature},
};
use crate::pb;

impl Wire for ShareCall {
    type Header = pb::ShareCall;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::ShareCall {
        pb::ShareCall { round: self.round.0 }
    }

    fn decode(header: pb::ShareCall, _: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { round: Round(header.round) })
    }
}

impl Wire for CoinShare {
    type Header = pb::CoinShare;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::CoinShare {
        pb::CoinShare { round: self.round.0, share: self.share.to_vec().into() }
    }

    fn decode(header: pb::CoinShare, _: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { round: Round(header.round), share: array("share", &header.share)? })
    }
}

impl Wire for Coin {
    type Header = pb::Coin;

    fn header(&self) -> pb::Coin {
        pb::Coin { round: self.round.0 }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.shares.concat().into()
    }

    fn decode(header: pb::Coin, body: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { round: Round(header.round), shares: records::<32>("shares", &body)?.to_vec() })
    }
}

impl Wire for NoiseOpening {
    type Header = pb::NoiseOpening;

    fn header(&self) -> pb::NoiseOpening {
        pb::NoiseOpening {
            round: self.round.0,
            server: self.server.0.into(),
            seed: self.seed.to_vec().into(),
            signature: bytes_of_signature(&self.signature),
        }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        let mut body = Vec::new();
        for RangeProof(digests) in &self.branches {
            body.push(u8::try_from(digests.len()).expect("two digests a level of a tree of fewer than 2^32 leaves"));
            digests.iter().for_each(|digest| body.extend_from_slice(digest.as_bytes()));
        }
        body.into()
    }

    fn decode(header: pb::NoiseOpening, body: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self {
            round: Round(header.round),
            server: server("server", header.server)?,
            seed: array("seed", &header.seed)?,
            branches: branches(&body)?,
            signature: signature("signature", &header.signature)?,
        })
    }
}

fn branches(mut bytes: &[u8]) -> Result<Vec<RangeProof>, WireError> {
    let mut branches = Vec::new();
    while let Some((&count, rest)) = bytes.split_first() {
        let expected = usize::from(count) * 32;
        let too_short = WireError::TooShort { field: "branches", expected: expected as u64, got: rest.len() };
        let (digests, rest) = rest.split_at_checked(expected).ok_or(too_short)?;
        branches.push(RangeProof(digests.as_chunks().0.iter().copied().map(Digest).collect()));
        bytes = rest;
    }
    Ok(branches)
}
