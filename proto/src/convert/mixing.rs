//! Messages that carry a round through the chains.

use std::borrow::Cow;

use hippodrome_core::message::{Batch, Parcel, Proof};
use hippodrome_crypto::group::ENCODED_LEN;

use super::{
    Wire, WireError,
    fields::{
        batch_commitment, bytes_of, bytes_of_signature, chain, count, digest, elements, signature, signed_batch,
        split_list, stage,
    },
};
use crate::pb;

impl Wire for Batch {
    type Header = pb::Batch;

    fn header(&self) -> pb::Batch {
        pb::Batch { batch: Some((&self.batch).into()), signature: bytes_of_signature(&self.signature) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.records.as_slice().into()
    }

    fn decode(header: pb::Batch, records: Vec<u8>) -> Result<Self, WireError> {
        let signature = signature("signature", &header.signature)?;
        Ok(Self { batch: batch_commitment(header.batch)?, signature, records })
    }
}

impl Wire for Proof {
    type Header = pb::Proof;

    fn header(&self) -> pb::Proof {
        pb::Proof {
            batch: Some((&self.batch).into()),
            signature: bytes_of_signature(&self.signature),
            key_count: count(&self.keys),
            source: self.source.as_ref().map(Into::into),
            proof_signature: bytes_of_signature(&self.proof_signature),
        }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        let mut body = Vec::with_capacity(self.keys.len() * ENCODED_LEN + self.proof.len());
        self.keys.iter().for_each(|key| body.extend_from_slice(key.encoded()));
        body.extend_from_slice(&self.proof);
        body.into()
    }

    fn decode(header: pb::Proof, body: Vec<u8>) -> Result<Self, WireError> {
        let (keys, proof) = split_list::<ENCODED_LEN>("keys", header.key_count, &body)?;
        Ok(Self {
            batch: batch_commitment(header.batch)?,
            signature: signature("signature", &header.signature)?,
            source: header.source.map(signed_batch).transpose()?,
            keys: elements("keys", keys)?,
            proof: proof.to_vec(),
            proof_signature: signature("proof_signature", &header.proof_signature)?,
        })
    }
}

impl Wire for Parcel {
    type Header = pb::Parcel;

    fn header(&self) -> pb::Parcel {
        pb::Parcel {
            source: Some(self.source.into()),
            destination: self.destination.0.into(),
            root: bytes_of(&self.root),
            origin: bytes_of(&self.origin),
            batch: self.batch.as_ref().map(Into::into),
            signature: bytes_of_signature(&self.signature),
        }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.records.as_slice().into()
    }

    fn decode(header: pb::Parcel, records: Vec<u8>) -> Result<Self, WireError> {
        Ok(Self {
            source: stage("source", header.source)?,
            destination: chain("destination", header.destination)?,
            root: digest("root", &header.root)?,
            origin: digest("origin", &header.origin)?,
            batch: header.batch.map(signed_batch).transpose()?,
            signature: signature("signature", &header.signature)?,
            records,
        })
    }
}
