//! Messages that make a round's descriptor.

use std::borrow::Cow;

use hippodrome_core::{
    ids::{ChainId, Layer, Position, Round},
    message::{Announcement, DescriptorProposal, DescriptorSignature, Keys, KeysCall, ProvenHopKeys},
    pledge::NoisePledge,
};
use hippodrome_crypto::hash::Digest;
use hippodrome_crypto::hop::{HOP_PROOF_LEN, HOP_PUBLIC_LEN, HopProof, HopPublic};

use super::{
    Wire, WireError,
    fields::{array, bytes_of_signature, join_signatures, position, records, roster, signature, signatures},
};
use crate::pb;

/// Layer, chain and position of a hop.
const TURN_LEN: usize = 4;
/// Bytes of a hop's keys with the proof of their knowledge.
const PROVEN_LEN: usize = TURN_LEN + HOP_PUBLIC_LEN + HOP_PROOF_LEN;

fn join_proven(keys: &[ProvenHopKeys]) -> Vec<u8> {
    let mut body = Vec::with_capacity(keys.len() * PROVEN_LEN);
    for hop in keys {
        body.push(hop.layer.0);
        body.extend_from_slice(&hop.chain.0.to_le_bytes());
        body.push(hop.position.0);
        body.extend_from_slice(&hop.public.to_bytes());
        body.extend_from_slice(&hop.proof.to_bytes());
    }
    body
}

fn proven(record: &[u8; PROVEN_LEN]) -> Result<ProvenHopKeys, WireError> {
    let [layer, chain_low, chain_high, position, ref keys @ ..] = *record;
    let (public, proof) = keys.split_at(HOP_PUBLIC_LEN);
    let field = "hop keys";
    let public =
        HopPublic::from_bytes(&array(field, public)?).map_err(|source| WireError::Element { field, source })?;
    Ok(ProvenHopKeys {
        layer: Layer(layer),
        chain: ChainId(u16::from_le_bytes([chain_low, chain_high])),
        position: Position(position),
        public,
        proof: HopProof::from_bytes(&array("hop proof", proof)?),
    })
}

fn all_proven(body: &[u8]) -> Result<Vec<ProvenHopKeys>, WireError> {
    records("hop keys", body)?.iter().map(proven).collect()
}

/// Bytes of the commitment to a share of the coin, before each pledge.
const COIN_LEN: usize = 32;

pub(super) fn join_pledge(pledge: &NoisePledge) -> impl Iterator<Item = u8> + '_ {
    pledge.coin.0.into_iter().chain(pledge.pledge.iter().copied())
}

pub(super) fn pledge(bytes: &[u8]) -> Result<NoisePledge, WireError> {
    let too_short = WireError::TooShort { field: "pledge", expected: COIN_LEN as u64, got: bytes.len() };
    let (coin, pledge) = bytes.split_first_chunk::<COIN_LEN>().ok_or(too_short)?;
    Ok(NoisePledge { coin: Digest(*coin), pledge: pledge.to_vec() })
}

fn pledge_len(pledge: Option<&NoisePledge>) -> u32 {
    pledge.map_or(0, |pledge| (COIN_LEN + pledge.pledge.len()) as u32)
}

/// Takes pledges of one length from the end of a body: keys, and pledges.
fn split_pledges(len: u32, count: u32, body: &[u8]) -> Result<(&[u8], Vec<NoisePledge>), WireError> {
    let expected = u64::from(len) * u64::from(count);
    let too_short = WireError::TooShort { field: "pledges", expected, got: body.len() };
    let keys_len = usize::try_from(expected).ok().and_then(|len| body.len().checked_sub(len)).ok_or(too_short)?;
    let (keys, pledges) = body.split_at(keys_len);
    if expected == 0 && len != count {
        return Err(WireError::Length { field: "pledges", expected: len as usize, got: count as usize });
    }
    Ok((keys, pledges.chunks_exact((len as usize).max(1)).map(pledge).collect::<Result<_, _>>()?))
}

impl Wire for KeysCall {
    type Header = pb::KeysCall;

    fn header(&self) -> pb::KeysCall {
        pb::KeysCall { round: self.round.0, position: self.position.0.into(), roster: Some(self.roster.into()) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        join_proven(&self.upstream).into()
    }

    fn decode(header: pb::KeysCall, body: Vec<u8>) -> Result<Self, WireError> {
        let position = position("position", header.position)?;
        let roster = roster("roster", header.roster)?;
        Ok(Self { round: Round(header.round), roster, position, upstream: all_proven(&body)? })
    }
}

impl Wire for Keys {
    type Header = pb::Keys;

    fn header(&self) -> pb::Keys {
        let pledge_len = pledge_len(self.pledge.as_ref());
        pb::Keys { round: self.round.0, position: self.position.0.into(), pledge_len }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        join_proven(&self.keys).into_iter().chain(self.pledge.iter().flat_map(join_pledge)).collect::<Vec<u8>>().into()
    }

    fn decode(header: pb::Keys, body: Vec<u8>) -> Result<Self, WireError> {
        let position = position("position", header.position)?;
        let (keys, mut pledges) = split_pledges(header.pledge_len, header.pledge_len.min(1), &body)?;
        Ok(Self { round: Round(header.round), position, keys: all_proven(keys)?, pledge: pledges.pop() })
    }
}

impl Wire for DescriptorProposal {
    type Header = pb::DescriptorProposal;

    fn header(&self) -> pb::DescriptorProposal {
        pb::DescriptorProposal {
            round: self.round.0,
            roster: Some(self.roster.into()),
            pledge_len: pledge_len(self.pledges.first()),
            pledge_count: self.pledges.len() as u32,
        }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        join_proven(&self.keys).into_iter().chain(self.pledges.iter().flat_map(join_pledge)).collect::<Vec<u8>>().into()
    }

    fn decode(header: pb::DescriptorProposal, body: Vec<u8>) -> Result<Self, WireError> {
        let roster = roster("roster", header.roster)?;
        let (keys, pledges) = split_pledges(header.pledge_len, header.pledge_count, &body)?;
        Ok(Self { round: Round(header.round), roster, keys: all_proven(keys)?, pledges })
    }
}

impl Wire for DescriptorSignature {
    type Header = pb::DescriptorSignature;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::DescriptorSignature {
        pb::DescriptorSignature { round: self.round.0, signature: bytes_of_signature(&self.signature) }
    }

    fn decode(header: pb::DescriptorSignature, _: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { round: Round(header.round), signature: signature("signature", &header.signature)? })
    }
}

impl Wire for Announcement {
    type Header = pb::Announcement;

    fn header(&self) -> pb::Announcement {
        pb::Announcement { round: self.round.0 }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        join_signatures(&self.signatures).into()
    }

    fn decode(header: pb::Announcement, body: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { round: Round(header.round), signatures: signatures("signatures", &body)? })
    }
}
