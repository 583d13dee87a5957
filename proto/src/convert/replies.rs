//! Replies on their way back, and claims that one was spoiled.

use std::borrow::Cow;

use hippodrome_core::{
    ids::{ChainId, Layer, Place, Position, Round, Stage},
    message::{
        NoiseReplies, Replaced, Replies, ReplyAnswer, ReplyClaim, ReplySource, Return, ReturnCommitment, ShownReturn,
        SignedReturn,
    },
};
use hippodrome_crypto::{
    group::ShownScalar,
    hash::Digest,
    merkle::{RANGE_PROOF_LIMIT, RangeProof},
    signing::SIGNATURE_LEN,
};

use super::{
    Wire, WireError,
    fields::{
        branch, bytes_of, bytes_of_signature, chain, count, digest, join_digests, place, records, required, server,
        signature, split_list, stage,
    },
    receipts::{inclusion, shown_scalars, shown_submission},
};
use crate::pb;

/// Bytes of one source of replies: whether it was not replaced (1), then layer (1), chain (2) and position (1) of the hop,
/// the chain that they go to (4, as in headers), count (4), root, answers and sealed (32 each), all 0 if it was; signature.
const SOURCE_LEN: usize = 13 + 3 * 32 + SIGNATURE_LEN;
/// Bytes of the digest of one: whether it is there (1), and the digest.
const SOURCE_DIGEST_LEN: usize = 1 + 32;

/// The chain that replies go to, in one number: none is 0.
fn to_number(to: Option<ChainId>) -> u32 {
    to.map_or(0, |chain| 1 + u32::from(chain.0))
}

fn to_chain(number: u32) -> Result<Option<ChainId>, WireError> {
    number.checked_sub(1).map(|number| chain("replies.to", number)).transpose()
}

impl From<&ReturnCommitment> for pb::ReturnCommitment {
    fn from(replies: &ReturnCommitment) -> Self {
        Self {
            place: Some(replies.place.into()),
            to: to_number(replies.to),
            count: replies.count,
            root: bytes_of(&replies.root),
            answers: bytes_of(&replies.answers),
            sealed: bytes_of(&replies.sealed),
        }
    }
}

pub(crate) fn return_commitment(replies: Option<pb::ReturnCommitment>) -> Result<ReturnCommitment, WireError> {
    let replies = required("replies", replies)?;
    Ok(ReturnCommitment {
        place: place(replies.place)?,
        to: to_chain(replies.to)?,
        count: replies.count,
        root: digest("replies.root", &replies.root)?,
        answers: digest("replies.answers", &replies.answers)?,
        sealed: digest("replies.sealed", &replies.sealed)?,
    })
}

impl From<&SignedReturn> for pb::SignedReturn {
    fn from(signed: &SignedReturn) -> Self {
        Self { replies: Some((&signed.replies).into()), signature: bytes_of_signature(&signed.signature) }
    }
}

fn signed_return(signed: Option<pb::SignedReturn>) -> Result<SignedReturn, WireError> {
    let signed = required("signed_return", signed)?;
    let replies = return_commitment(signed.replies)?;
    Ok(SignedReturn { replies, signature: signature("signed_return.signature", &signed.signature)? })
}

/// Sources are of the round of the replies that were made from them.
fn join_sources(sources: &[ReplySource]) -> Vec<u8> {
    let mut body = Vec::with_capacity(sources.len() * SOURCE_LEN);
    for source in sources {
        let (replies, signature) = match source {
            ReplySource::Returned(SignedReturn { replies, signature }) => (replies, signature),
            ReplySource::Replaced(signature) => {
                body.resize(body.len() + SOURCE_LEN - SIGNATURE_LEN, 0);
                body.extend(signature.0);
                continue;
            }
        };
        let Place { stage, position } = replies.place;
        body.extend([1, stage.layer.0]);
        body.extend(stage.chain.0.to_le_bytes());
        body.push(position.0);
        body.extend(to_number(replies.to).to_le_bytes());
        body.extend(replies.count.to_le_bytes());
        [&replies.root, &replies.answers, &replies.sealed].iter().for_each(|digest| body.extend(digest.0));
        body.extend(signature.0);
    }
    body
}

fn sources(round: Round, bytes: &[u8]) -> Result<Vec<ReplySource>, WireError> {
    records::<SOURCE_LEN>("sources", bytes)?.iter().map(|record| source(round, record)).collect()
}

fn source(round: Round, record: &[u8; SOURCE_LEN]) -> Result<ReplySource, WireError> {
    let [flag, layer, chain_low, chain_high, position, t0, t1, t2, t3, c0, c1, c2, c3, rest @ ..] = *record;
    let (digests, signed) = rest.split_at(3 * 32);
    let signature = signature("sources.signature", signed)?;
    if !is_there(flag)? {
        let holds_nothing = record[1..SOURCE_LEN - SIGNATURE_LEN].iter().all(|byte| *byte == 0);
        return holds_nothing.then_some(ReplySource::Replaced(signature)).ok_or(WireError::UnexpectedBody);
    }
    let [root, answers, sealed] = *records::<32>("sources", digests)? else {
        return Err(WireError::Ragged { field: "sources", width: 32, got: digests.len() });
    };
    let stage = Stage { round, layer: Layer(layer), chain: ChainId(u16::from_le_bytes([chain_low, chain_high])) };
    let replies = ReturnCommitment {
        place: Place { stage, position: Position(position) },
        to: to_chain(u32::from_le_bytes([t0, t1, t2, t3]))?,
        count: u32::from_le_bytes([c0, c1, c2, c3]),
        root: Digest(root),
        answers: Digest(answers),
        sealed: Digest(sealed),
    };
    Ok(ReplySource::Returned(SignedReturn { replies, signature }))
}

fn is_there(flag: u8) -> Result<bool, WireError> {
    match flag {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(WireError::Code { field: "sources", got: other.into() }),
    }
}

impl Wire for Return {
    type Header = pb::Return;

    fn header(&self) -> pb::Return {
        pb::Return { signed: Some((&self.signed).into()), source_count: count(&self.sources) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        [join_sources(&self.sources).as_slice(), &self.replies].concat().into()
    }

    fn decode(header: pb::Return, body: Vec<u8>) -> Result<Self, WireError> {
        let signed = signed_return(header.signed)?;
        let (joined, replies) = split_list::<SOURCE_LEN>("sources", header.source_count, &body)?;
        let sources = sources(signed.replies.place.stage.round, joined)?;
        Ok(Self { signed, sources, replies: replies.to_vec() })
    }
}

impl Wire for Replaced {
    type Header = pb::Replaced;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::Replaced {
        let (place, from) = (Some(self.place.into()), Some(self.from.into()));
        pb::Replaced { place, from, signature: bytes_of_signature(&self.signature) }
    }

    fn decode(header: pb::Replaced, _: Vec<u8>) -> Result<Self, WireError> {
        let (place, from) = (place(header.place)?, place(header.from)?);
        Ok(Self { place, from, signature: signature("signature", &header.signature)? })
    }
}

impl Wire for Replies {
    type Header = pb::Replies;

    fn header(&self) -> pb::Replies {
        pb::Replies { stage: Some(self.stage.into()) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.replies.as_slice().into()
    }

    fn decode(header: pb::Replies, replies: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { stage: stage("stage", header.stage)?, replies })
    }
}

impl Wire for NoiseReplies {
    type Header = pb::NoiseReplies;

    fn header(&self) -> pb::NoiseReplies {
        let (source_count, branch_count) = (count(&self.sources), count(&self.branch.0));
        pb::NoiseReplies { signed: Some((&self.signed).into()), source_count, branch_count }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        [&*join_sources(&self.sources), &*join_digests(&self.branch.0), &self.replies].concat().into()
    }

    fn decode(header: pb::NoiseReplies, body: Vec<u8>) -> Result<Self, WireError> {
        let signed = signed_return(header.signed)?;
        let (joined, rest) = split_list::<SOURCE_LEN>("sources", header.source_count, &body)?;
        let (path, replies) = split_list::<32>("branch", header.branch_count, rest)?;
        let branch = RangeProof(branch("branch", RANGE_PROOF_LIMIT, path)?);
        let sources = sources(signed.replies.place.stage.round, joined)?;
        Ok(Self { signed, sources, branch, replies: replies.to_vec() })
    }
}

impl From<&ShownReturn> for pb::ShownReturn {
    fn from(shown: &ShownReturn) -> Self {
        Self {
            signed: Some((&shown.signed).into()),
            source_count: count(&shown.sources),
            index: shown.index,
            record_path_count: count(&shown.record_path.0),
            reply: bytes_of(&shown.reply),
            path_count: count(&shown.path.0),
        }
    }
}

fn join_shown(shown: &ShownReturn) -> Vec<u8> {
    let source = |source: &Option<Digest>| match source {
        None => [0; SOURCE_DIGEST_LEN].to_vec(),
        Some(digest) => [[1].as_slice(), &digest.0].concat(),
    };
    let mut body: Vec<u8> = shown.sources.iter().flat_map(source).collect();
    body.extend_from_slice(&join_digests(&shown.record_path.0));
    body.extend_from_slice(&join_digests(&shown.path.0));
    body
}

/// What is shown of one reply, and what follows it in the body.
fn shown_return(shown: Option<pb::ShownReturn>, body: &[u8]) -> Result<(ShownReturn, &[u8]), WireError> {
    let shown = required("shown", shown)?;
    let (joined, rest) = split_list::<SOURCE_DIGEST_LEN>("shown.sources", shown.source_count, body)?;
    let (record_path, rest) = split_list::<32>("shown.record_path", shown.record_path_count, rest)?;
    let (path, rest) = split_list::<32>("shown.path", shown.path_count, rest)?;
    let source = |[flag, digest @ ..]: &[u8; SOURCE_DIGEST_LEN]| Ok(is_there(*flag)?.then_some(Digest(*digest)));
    let sources = records::<SOURCE_DIGEST_LEN>("shown.sources", joined)?.iter().map(source);
    let shown = ShownReturn {
        signed: signed_return(shown.signed)?,
        sources: sources.collect::<Result<_, WireError>>()?,
        index: shown.index,
        record_path: inclusion("shown.record_path", record_path)?,
        reply: digest("shown.reply", &shown.reply)?,
        path: inclusion("shown.path", path)?,
    };
    Ok((shown, rest))
}

impl Wire for ReplyClaim {
    type Header = pb::ReplyClaim;

    fn header(&self) -> pb::ReplyClaim {
        pb::ReplyClaim {
            claimant: self.claimant.0.into(),
            record: Some((&self.record).into()),
            path_count: count(&self.record.path.0),
            exponent_count: count(&self.exponents),
            shown: Some((&self.shown).into()),
            reply_len: count(&self.reply),
            signature: bytes_of_signature(&self.signature),
        }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        let mut body = Vec::from(join_digests(&self.record.path.0));
        body.extend(self.exponents.iter().flat_map(ShownScalar::encoded));
        body.extend(join_shown(&self.shown));
        body.extend_from_slice(&self.reply);
        body.extend_from_slice(&self.record.body);
        body.into()
    }

    fn decode(header: pb::ReplyClaim, body: Vec<u8>) -> Result<Self, WireError> {
        let (path, rest) = split_list::<32>("record.path", header.path_count, &body)?;
        let (exponents, rest) = split_list::<32>("exponents", header.exponent_count, rest)?;
        let (shown, rest) = shown_return(header.shown, rest)?;
        let (reply, body) = split_list::<1>("reply", header.reply_len, rest)?;
        Ok(Self {
            claimant: server("claimant", header.claimant)?,
            record: shown_submission(header.record, path, body)?,
            exponents: shown_scalars(exponents)?,
            shown,
            reply: reply.to_vec(),
            signature: signature("signature", &header.signature)?,
        })
    }
}

impl Wire for ReplyAnswer {
    type Header = pb::ReplyAnswer;

    fn header(&self) -> pb::ReplyAnswer {
        let (claim, shown) = (self.claim.header(), (&self.shown).into());
        pb::ReplyAnswer { claim: Some(claim), claim_len: count(&self.claim.body()), shown: Some(shown) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        [self.claim.body().as_ref(), &join_shown(&self.shown)].concat().into()
    }

    fn decode(header: pb::ReplyAnswer, body: Vec<u8>) -> Result<Self, WireError> {
        let (claimed, rest) = split_list::<1>("claim", header.claim_len, &body)?;
        let claim = ReplyClaim::decode(required("claim", header.claim)?, claimed.to_vec())?;
        match shown_return(header.shown, rest)? {
            (shown, []) => Ok(Self { claim, shown }),
            _ => Err(WireError::UnexpectedBody),
        }
    }
}
