//! Messages about a chain's input.

use std::borrow::Cow;

use hippodrome_core::{
    ids::Round,
    message::{Confirmation, InputOffer, InputRoot, InputSignature, Noise, Submissions},
};
use hippodrome_crypto::{fingerprint::FINGERPRINT_LEN, group::ENCODED_LEN, signing::SIGNATURE_LEN};

use super::{
    Wire, WireError,
    fields::{
        bytes_of, bytes_of_signature, count, digest, elements, input_commitment, join_signatures, layer, records,
        signature, signatures, split_list, stage,
    },
};
use crate::pb;

impl Wire for Noise {
    type Header = pb::Noise;

    fn header(&self) -> pb::Noise {
        pb::Noise { stage: Some(self.stage.into()) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.submissions.as_slice().into()
    }

    fn decode(header: pb::Noise, submissions: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { stage: stage("stage", header.stage)?, submissions })
    }
}

impl Wire for Submissions {
    type Header = pb::Submissions;

    fn header(&self) -> pb::Submissions {
        pb::Submissions { stage: Some(self.stage.into()), part: self.part, is_last: self.is_last }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.submissions.as_slice().into()
    }

    fn decode(header: pb::Submissions, submissions: Vec<u8>) -> Result<Self, WireError> {
        let pb::Submissions { stage: of, part, is_last } = header;
        Ok(Self { stage: stage("stage", of)?, part, is_last, submissions })
    }
}

impl Wire for InputOffer {
    type Header = pb::InputOffer;

    fn header(&self) -> pb::InputOffer {
        pb::InputOffer {
            input: Some((&self.input).into()),
            signature: bytes_of_signature(&self.signature),
            left_out_len: count(&self.left_out),
        }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        match self.left_out.as_slice() {
            [] => self.entries.as_slice().into(),
            left_out => [&self.entries, left_out].concat().into(),
        }
    }

    fn decode(header: pb::InputOffer, mut entries: Vec<u8>) -> Result<Self, WireError> {
        let signature = signature("signature", &header.signature)?;
        let (expected, got) = (u64::from(header.left_out_len), entries.len());
        let short = WireError::TooShort { field: "left_out", expected, got };
        let kept = usize::try_from(expected).ok().and_then(|len| got.checked_sub(len)).ok_or(short)?;
        let left_out = entries.split_off(kept);
        Ok(Self { input: input_commitment(header.input)?, signature, entries, left_out })
    }
}

impl Wire for InputSignature {
    type Header = pb::InputSignature;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::InputSignature {
        pb::InputSignature { stage: Some(self.stage.into()), signature: bytes_of_signature(&self.signature) }
    }

    fn decode(header: pb::InputSignature, _: Vec<u8>) -> Result<Self, WireError> {
        let signature = signature("signature", &header.signature)?;
        Ok(Self { stage: stage("stage", header.stage)?, signature })
    }
}

impl Wire for InputRoot {
    type Header = pb::InputRoot;

    fn header(&self) -> pb::InputRoot {
        pb::InputRoot {
            input: Some((&self.input).into()),
            signature_count: count(&self.signatures),
            left_out_count: count(&self.left_out),
        }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        let mut body = join_signatures(&self.signatures);
        self.left_out.iter().for_each(|key| body.extend_from_slice(key.encoded()));
        body.extend_from_slice(&self.fingerprints);
        body.into()
    }

    fn decode(header: pb::InputRoot, body: Vec<u8>) -> Result<Self, WireError> {
        let (signed, lists) = split_list::<SIGNATURE_LEN>("signatures", header.signature_count, &body)?;
        let (left_out, fingerprints) = split_list::<ENCODED_LEN>("left_out", header.left_out_count, lists)?;
        records::<FINGERPRINT_LEN>("fingerprints", fingerprints)?;
        Ok(Self {
            input: input_commitment(header.input)?,
            signatures: signatures("signatures", signed)?,
            fingerprints: fingerprints.to_vec(),
            left_out: elements("left_out", left_out)?,
        })
    }
}

impl Wire for Confirmation {
    type Header = pb::Confirmation;
    const HAS_BODY: bool = false;

    fn header(&self) -> pb::Confirmation {
        pb::Confirmation {
            round: self.round.0,
            layer: self.layer.0.into(),
            vector: bytes_of(&self.vector),
            signature: bytes_of_signature(&self.signature),
        }
    }

    fn decode(header: pb::Confirmation, _: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self {
            round: Round(header.round),
            layer: layer("layer", header.layer)?,
            vector: digest("vector", &header.vector)?,
            signature: signature("signature", &header.signature)?,
        })
    }
}
