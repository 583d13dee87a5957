//! Messages about a chain's input.

use std::borrow::Cow;

use hippodrome_core::{
    ids::Round,
    message::{Confirmation, InputOffer, InputRoot, InputSignature, Noise, Submissions},
};

use super::{
    Wire, WireError,
    fields::{
        bytes_of, bytes_of_signature, digest, input_commitment, join_signatures, layer, signature, signatures, stage,
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
        pb::Submissions { stage: Some(self.stage.into()) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.submissions.as_slice().into()
    }

    fn decode(header: pb::Submissions, submissions: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { stage: stage("stage", header.stage)?, submissions })
    }
}

impl Wire for InputOffer {
    type Header = pb::InputOffer;

    fn header(&self) -> pb::InputOffer {
        pb::InputOffer { input: Some((&self.input).into()), signature: bytes_of_signature(&self.signature) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.entries.as_slice().into()
    }

    fn decode(header: pb::InputOffer, entries: Vec<u8>) -> Result<Self, WireError> {
        let signature = signature("signature", &header.signature)?;
        Ok(Self { input: input_commitment(header.input)?, signature, entries })
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
        pb::InputRoot { input: Some((&self.input).into()) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        join_signatures(&self.signatures).into()
    }

    fn decode(header: pb::InputRoot, body: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self { input: input_commitment(header.input)?, signatures: signatures("signatures", &body)? })
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
