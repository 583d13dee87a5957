//! Messages by which servers and clients see that what they sent has arrived.

use std::borrow::Cow;

use hippodrome_core::message::{NoiseAnswer, NoiseClaim, NoiseReceipt, Parcel, Receipts, ShownPart, ShownSubmission};
use hippodrome_crypto::{
    group::ShownScalar,
    merkle::{InclusionProof, RANGE_PROOF_LIMIT, RangeProof},
    signing::SIGNATURE_LEN,
};

use super::{
    Wire, WireError,
    fields::{
        branch, bytes_of, bytes_of_signature, count, digest, input_commitment, join_digests, join_signatures, records,
        required, server, signature, signatures, signed_batch, split_list, stage,
    },
};
use crate::pb::{self, noise_answer::Shown};

/// Most digests in a branch of one record: the depth of a tree of 2^32.
const PATH_LIMIT: usize = 32;
/// Most layers of any network.
const LAYER_LIMIT: usize = 3;

impl Wire for NoiseReceipt {
    type Header = pb::NoiseReceipt;

    fn header(&self) -> pb::NoiseReceipt {
        pb::NoiseReceipt { stage: Some(self.stage.into()), start: self.start }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        Vec::from(join_digests(&self.branch.0)).into()
    }

    fn decode(header: pb::NoiseReceipt, body: Vec<u8>) -> Result<Self, WireError> {
        let branch = RangeProof(branch("branch", RANGE_PROOF_LIMIT, &body)?);
        Ok(Self { stage: stage("stage", header.stage)?, start: header.start, branch })
    }
}

impl Wire for Receipts {
    type Header = pb::Receipts;

    fn header(&self) -> pb::Receipts {
        pb::Receipts { input: Some((&self.input).into()), signature_count: count(&self.signatures) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        let mut body = join_signatures(&self.signatures);
        body.extend_from_slice(&self.records);
        body.into()
    }

    fn decode(header: pb::Receipts, body: Vec<u8>) -> Result<Self, WireError> {
        let (signed, records) = split_list::<SIGNATURE_LEN>("signatures", header.signature_count, &body)?;
        let signatures = signatures("signatures", signed)?;
        Ok(Self { input: input_commitment(header.input)?, signatures, records: records.to_vec() })
    }
}

impl Wire for NoiseClaim {
    type Header = pb::NoiseClaim;

    fn header(&self) -> pb::NoiseClaim {
        pb::NoiseClaim {
            claimant: self.claimant.0.into(),
            record: Some((&self.record).into()),
            path_count: count(&self.record.path.0),
            exponent_count: count(&self.exponents),
            lacking: bytes_of(&self.lacking),
            signature: bytes_of_signature(&self.signature),
        }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        let mut body = Vec::from(join_digests(&self.record.path.0));
        body.extend(self.exponents.iter().flat_map(ShownScalar::encoded));
        body.extend_from_slice(&self.record.body);
        body.into()
    }

    fn decode(header: pb::NoiseClaim, body: Vec<u8>) -> Result<Self, WireError> {
        let (path, rest) = split_list::<32>("record.path", header.path_count, &body)?;
        let (exponents, body) = split_list::<32>("exponents", header.exponent_count, rest)?;
        Ok(Self {
            claimant: server("claimant", header.claimant)?,
            record: shown_submission(header.record, path, body)?,
            exponents: shown_scalars(exponents)?,
            lacking: digest("lacking", &header.lacking)?,
            signature: signature("signature", &header.signature)?,
        })
    }
}

impl From<&ShownSubmission> for pb::ShownSubmission {
    fn from(ShownSubmission { stage, input, index, .. }: &ShownSubmission) -> Self {
        Self { stage: Some((*stage).into()), input: bytes_of(input), index: *index }
    }
}

/// The record that a claim is about, with its branch and its body.
pub(super) fn shown_submission(
    record: Option<pb::ShownSubmission>,
    path: &[u8],
    body: &[u8],
) -> Result<ShownSubmission, WireError> {
    let record = required("record", record)?;
    Ok(ShownSubmission {
        stage: stage("record.stage", record.stage)?,
        input: digest("record.input", &record.input)?,
        index: record.index,
        body: body.to_vec(),
        path: inclusion("record.path", path)?,
    })
}

pub(super) fn inclusion(field: &'static str, bytes: &[u8]) -> Result<InclusionProof, WireError> {
    branch(field, PATH_LIMIT, bytes).map(InclusionProof)
}

pub(super) fn shown_scalars(bytes: &[u8]) -> Result<Vec<ShownScalar>, WireError> {
    let exponents = records::<32>("exponents", bytes)?;
    if exponents.len() > LAYER_LIMIT {
        return Err(WireError::TooMany { field: "exponents", limit: LAYER_LIMIT, got: exponents.len() });
    }
    let decode =
        |exponent| ShownScalar::decode(exponent).map_err(|source| WireError::Element { field: "exponents", source });
    exponents.iter().map(decode).collect()
}

impl Wire for NoiseAnswer {
    type Header = pb::NoiseAnswer;

    fn header(&self) -> pb::NoiseAnswer {
        let shown = match &self.shown {
            ShownPart::Input { stage, index, .. } => {
                Shown::Input(pb::ShownInput { stage: Some((*stage).into()), index: *index })
            }
            ShownPart::Batch { signed, index, body, .. } => {
                Shown::Batch(pb::ShownOutput { signed: Some(signed.into()), index: *index, body: bytes_of(body) })
            }
            ShownPart::Parcel(parcel) => Shown::Parcel(parcel.header()),
        };
        pb::NoiseAnswer { claim: Some(self.claim.header()), claim_len: count(&self.claim.body()), shown: Some(shown) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        let mut body = self.claim.body().into_owned();
        match &self.shown {
            ShownPart::Input { path, .. } | ShownPart::Batch { path, .. } => {
                body.extend_from_slice(&join_digests(&path.0));
            }
            ShownPart::Parcel(parcel) => body.extend_from_slice(&parcel.records),
        }
        body.into()
    }

    fn decode(header: pb::NoiseAnswer, body: Vec<u8>) -> Result<Self, WireError> {
        let (claimed, rest) = split_list::<1>("claim", header.claim_len, &body)?;
        let claim = NoiseClaim::decode(required("claim", header.claim)?, claimed.to_vec())?;
        let shown = match required("shown", header.shown)? {
            Shown::Input(shown) => ShownPart::Input {
                stage: stage("input.stage", shown.stage)?,
                index: shown.index,
                path: inclusion("input.path", rest)?,
            },
            Shown::Batch(shown) => ShownPart::Batch {
                signed: signed_batch(required("batch.signed", shown.signed)?)?,
                index: shown.index,
                body: digest("batch.body", &shown.body)?,
                path: inclusion("batch.path", rest)?,
            },
            Shown::Parcel(parcel) => ShownPart::Parcel(Parcel::decode(parcel, rest.to_vec())?),
        };
        Ok(Self { claim, shown })
    }
}
