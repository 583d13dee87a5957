//! Accusations, steps of traces, evidence, and files of evidence.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use hippodrome_core::{
    audit::OpeningCase,
    claim::NoiseCase,
    evidence::{
        BadPledge, BadProof, Case, Evidence, ParcelPlace, RosterRecord, Showing, ShownEntry, ShownRecord,
        SignedStatement, Source, Statement, Traced, Unlinked,
    },
    ids::Round,
    message::{
        Accusation, AgreedInput, Charge, InputRoot, Message, NoiseAnswer, ParcelCommitment, ReplyAnswer, ShownPart,
        ShownReturn, SignedParcel, TraceStep,
    },
    reply::{EnteredInput, ReplyCase},
};
use hippodrome_crypto::{
    equality::EqualityProof,
    group::Element,
    hash::Digest,
    knowledge::{KNOWLEDGE_LEN, Knowledge},
    merkle::InclusionProof,
    signing::Signature,
};
use prost::Message as _;

use super::{
    Wire, WireError, body_of, decode_kind,
    fields::{
        array, batch_commitment, bytes_of, bytes_of_signature, chain, digest, elements, hop_keys, input_commitment,
        join_elements, join_hop_keys, join_signatures, layer, place, records, required, server, signature, signatures,
        signed_batch, stage,
    },
    header_of,
    keys::{join_pledge, pledge},
    replies::return_commitment,
};
use crate::pb::{self, evidence::Kind, shown_records, signed_statement};

/// First line of a file of evidence.
const MAGIC: &[u8] = b"hippodrome evidence 1\n";

/// Most bytes of a file of evidence: a registry, and what a server takes as one body.
const CASE_LIMIT: usize = 1 << 31;

/// Why a file is not one of evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseFileError {
    /// It begins with something else.
    #[error("this is no file of evidence: its first line is not \"hippodrome evidence 1\"")]
    NotEvidence,
    /// It is longer than any evidence.
    #[error("the file has {got} bytes, more than evidence has; at most {CASE_LIMIT} are read")]
    TooLong {
        /// Bytes of the file.
        got: usize,
    },
    /// It is cut short or damaged.
    #[error("the file is cut short or damaged: {0}")]
    Damaged(String),
    /// A part of it is malformed.
    #[error("a part of the file is malformed: {0}")]
    Malformed(#[from] WireError),
}

/// The bytes of a file of evidence.
pub fn encode_case(case: &Case) -> Vec<u8> {
    let keys = |chains: &Vec<Vec<_>>| pb::LayerKeys {
        chains: chains.iter().map(|keys| Bytes::from(join_hop_keys(keys))).collect(),
    };
    let wire = pb::Case {
        epoch: Some(with_body(Message::EpochStart(case.record.epoch.clone()))),
        amendment: case.record.amendment.clone().map(|start| with_body(Message::AmendmentStart(start))),
        round: case.round.0,
        keys: case.keys.iter().map(keys).collect(),
        signatures: join_signatures(&case.signatures).into(),
        pledges: case.pledges.iter().flat_map(|pledge| pledge.0).collect(),
        evidence: Some((&*case.evidence).into()),
    };
    [MAGIC, &wire.encode_to_vec()].concat()
}

/// The case that a file of evidence holds. What it is worth, [`Case::verify`] says.
pub fn decode_case(bytes: &[u8]) -> Result<Case, CaseFileError> {
    if bytes.len() > CASE_LIMIT {
        return Err(CaseFileError::TooLong { got: bytes.len() });
    }
    let wire = bytes.strip_prefix(MAGIC).ok_or(CaseFileError::NotEvidence)?;
    let wire = pb::Case::decode(wire).map_err(|error| CaseFileError::Damaged(error.to_string()))?;
    let epoch = match message(wire.epoch, "epoch")? {
        Message::EpochStart(start) => start,
        _ => return Err(WireError::UnknownKind.into()),
    };
    let amendment = match wire.amendment.map(|amendment| message(Some(amendment), "amendment")).transpose()? {
        None => None,
        Some(Message::AmendmentStart(start)) => Some(start),
        Some(_) => return Err(WireError::UnknownKind.into()),
    };
    let chains = |layer: &pb::LayerKeys| layer.chains.iter().map(|keys| hop_keys("keys", keys)).collect();
    Ok(Case {
        record: RosterRecord { epoch, amendment },
        round: Round(wire.round),
        keys: wire.keys.iter().map(chains).collect::<Result<_, WireError>>()?,
        signatures: signatures("signatures", &wire.signatures)?,
        pledges: records::<32>("pledges", &wire.pledges)?.iter().copied().map(Digest).collect(),
        evidence: Arc::new(evidence(wire.evidence)?),
    })
}

fn with_body(message: Message) -> pb::WithBody {
    let header = Some(pb::Header { kind: Some(header_of(&message)) });
    pb::WithBody { header, body: body_of(&message).into_owned().into() }
}

fn message(wire: Option<pb::WithBody>, field: &'static str) -> Result<Message, WireError> {
    let wire = required(field, wire)?;
    let kind = wire.header.and_then(|header| header.kind).ok_or(WireError::UnknownKind)?;
    // Evidence inside evidence stands for nothing, and would let depth grow with the input.
    match kind {
        pb::header::Kind::Charge(_) => Err(WireError::UnknownKind),
        kind => decode_kind(kind, wire.body.to_vec()),
    }
}

fn parse<T: prost::Message + Default>(field: &'static str, body: &[u8]) -> Result<T, WireError> {
    T::decode(body).map_err(|_| WireError::Undecodable { field })
}

impl Wire for Accusation {
    type Header = pb::Accusation;

    fn header(&self) -> pb::Accusation {
        pb::Accusation {}
    }

    fn body(&self) -> Cow<'_, [u8]> {
        pb::AccusationBody::from(self).encode_to_vec().into()
    }

    fn decode(_: pb::Accusation, body: Vec<u8>) -> Result<Self, WireError> {
        accusation(parse("accusation", &body)?)
    }
}

impl Wire for TraceStep {
    type Header = pb::TraceStep;

    fn header(&self) -> pb::TraceStep {
        pb::TraceStep {}
    }

    fn body(&self) -> Cow<'_, [u8]> {
        pb::TraceStepBody::from(self).encode_to_vec().into()
    }

    fn decode(_: pb::TraceStep, body: Vec<u8>) -> Result<Self, WireError> {
        trace_step(parse("trace_step", &body)?)
    }
}

impl Wire for Charge {
    type Header = pb::Charge;

    fn header(&self) -> pb::Charge {
        pb::Charge { round: self.round.0 }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        pb::Evidence::from(&*self.evidence).encode_to_vec().into()
    }

    fn decode(header: pb::Charge, body: Vec<u8>) -> Result<Self, WireError> {
        let evidence = evidence(Some(parse("evidence", &body)?))?;
        Ok(Self { round: Round(header.round), evidence: Arc::new(evidence) })
    }
}

/// Branches, each behind its length.
fn join_paths<'a>(paths: impl Iterator<Item = &'a InclusionProof>) -> Bytes {
    let mut joined = Vec::new();
    for InclusionProof(siblings) in paths {
        joined.push(u8::try_from(siblings.len()).expect("trees of fewer than 2^64 leaves"));
        siblings.iter().for_each(|sibling| joined.extend_from_slice(sibling.as_bytes()));
    }
    joined.into()
}

fn paths(field: &'static str, mut bytes: &[u8]) -> Result<Vec<InclusionProof>, WireError> {
    let mut paths = Vec::new();
    while let Some((&count, rest)) = bytes.split_first() {
        let expected = usize::from(count) * 32;
        let too_short = WireError::TooShort { field, expected: expected as u64, got: rest.len() };
        let (siblings, rest) = rest.split_at_checked(expected).ok_or(too_short)?;
        paths.push(InclusionProof(siblings.as_chunks().0.iter().copied().map(Digest).collect()));
        bytes = rest;
    }
    Ok(paths)
}

/// Records of one length, as many as there are branches to them.
fn equal_parts<'a>(field: &'static str, bytes: &'a [u8], count: usize) -> Result<Vec<&'a [u8]>, WireError> {
    match count {
        0 if bytes.is_empty() => Ok(Vec::new()),
        0 => Err(WireError::Length { field, expected: 0, got: bytes.len() }),
        _ if bytes.is_empty() || !bytes.len().is_multiple_of(count) => {
            Err(WireError::Ragged { field, width: count, got: bytes.len() })
        }
        _ => Ok(bytes.chunks_exact(bytes.len() / count).collect()),
    }
}

/// One list is as long as another.
fn same_count(field: &'static str, expected: usize, got: usize) -> Result<(), WireError> {
    if got == expected { Ok(()) } else { Err(WireError::Length { field, expected, got }) }
}

fn equality_proof(field: &'static str, bytes: &[u8]) -> Result<EqualityProof, WireError> {
    let bytes = array::<{ EqualityProof::LEN }>(field, bytes)?;
    EqualityProof::parse(&bytes).map_err(|source| WireError::Element { field, source })
}

fn bytes_of_proof(proof: &EqualityProof) -> Bytes {
    Bytes::copy_from_slice(&proof.to_bytes())
}

impl From<&Showing> for pb::ShownRecords {
    fn from(shown: &Showing) -> Self {
        let records = &shown.records;
        Self {
            indices: records.iter().flat_map(|shown| shown.index.to_le_bytes()).collect::<Vec<u8>>().into(),
            records: records.iter().flat_map(|shown| shown.record.iter().copied()).collect::<Vec<u8>>().into(),
            paths: join_paths(records.iter().map(|shown| &shown.path)),
            source: Some((&shown.source).into()),
        }
    }
}

impl From<&Source> for shown_records::Source {
    fn from(source: &Source) -> Self {
        match source {
            Source::Batch(signed) => Self::Batch(signed.into()),
            Source::Submissions { input, entries } => Self::Submissions(pb::ShownSubmissions {
                input: Some((&input.input).into()),
                signatures: join_signatures(&input.signatures).into(),
                entries: entries.iter().flat_map(|shown| shown.entry.iter().copied()).collect::<Vec<u8>>().into(),
                paths: join_paths(entries.iter().map(|shown| &shown.path)),
            }),
            Source::Parcels { input, parcels, records } => Self::Parcels(pb::ShownParcels {
                input: Some((&input.input).into()),
                signatures: join_signatures(&input.signatures).into(),
                parcels: parcels.iter().map(|SignedParcel { parcel, signature }| stated(parcel, signature)).collect(),
                places: records.iter().flat_map(place_of_parcel).collect::<Vec<u8>>().into(),
                paths: join_paths(records.iter().map(|shown| &shown.path)),
            }),
        }
    }
}

/// Bytes of a record's place in a parcel with its signature of knowledge.
const PLACE_LEN: usize = 2 + 4 + KNOWLEDGE_LEN;

fn place_of_parcel(shown: &ParcelPlace) -> [u8; PLACE_LEN] {
    let mut bytes = [0; PLACE_LEN];
    bytes[..2].copy_from_slice(&shown.parcel.to_le_bytes());
    bytes[2..6].copy_from_slice(&shown.index.to_le_bytes());
    bytes[6..].copy_from_slice(&shown.knowledge.to_bytes());
    bytes
}

fn stated(parcel: &ParcelCommitment, signature: &Signature) -> pb::SignedParcel {
    pb::SignedParcel {
        source: Some(parcel.source.into()),
        destination: parcel.destination.0.into(),
        count: parcel.count,
        root: bytes_of(&parcel.root),
        origin: bytes_of(&parcel.origin),
        signature: bytes_of_signature(signature),
    }
}

fn parcel_commitment(parcel: &pb::SignedParcel) -> Result<ParcelCommitment, WireError> {
    Ok(ParcelCommitment {
        source: stage("parcel.source", parcel.source)?,
        destination: chain("parcel.destination", parcel.destination)?,
        count: parcel.count,
        root: digest("parcel.root", &parcel.root)?,
        origin: digest("parcel.origin", &parcel.origin)?,
    })
}

fn signed_parcel(parcel: pb::SignedParcel) -> Result<SignedParcel, WireError> {
    let signature = signature("parcel.signature", &parcel.signature)?;
    Ok(SignedParcel { parcel: parcel_commitment(&parcel)?, signature })
}

fn showing(shown: Option<pb::ShownRecords>) -> Result<Showing, WireError> {
    let shown = required("shown", shown)?;
    let indices = records::<4>("indices", &shown.indices)?;
    let paths = paths("paths", &shown.paths)?;
    same_count("indices", paths.len(), indices.len())?;
    let records = equal_parts("records", &shown.records, paths.len())?;
    let records = indices.iter().zip(records).zip(paths).map(|((index, record), path)| ShownRecord {
        index: u32::from_le_bytes(*index),
        record: record.to_vec(),
        path,
    });
    Ok(Showing { source: source(required("source", shown.source)?)?, records: records.collect() })
}

fn source(source: shown_records::Source) -> Result<Source, WireError> {
    Ok(match source {
        shown_records::Source::Batch(signed) => Source::Batch(signed_batch(signed)?),
        shown_records::Source::Submissions(shown) => {
            let paths = paths("entries.paths", &shown.paths)?;
            let entries = equal_parts("entries", &shown.entries, paths.len())?;
            let entry = |(entry, path): (&[u8], _)| ShownEntry { entry: entry.to_vec(), path };
            let entries = entries.into_iter().zip(paths).map(entry).collect();
            Source::Submissions { input: input_root(shown.input, &shown.signatures)?, entries }
        }
        shown_records::Source::Parcels(shown) => {
            let paths = paths("parcels.paths", &shown.paths)?;
            let places = records::<PLACE_LEN>("places", &shown.places)?;
            same_count("places", paths.len(), places.len())?;
            let place = |(bytes, path): (&[u8; PLACE_LEN], _)| {
                let field = |from: usize| bytes[from];
                ParcelPlace {
                    parcel: u16::from_le_bytes([field(0), field(1)]),
                    index: u32::from_le_bytes([field(2), field(3), field(4), field(5)]),
                    knowledge: Knowledge::from_bytes(core::array::from_fn(|index| bytes[6 + index])),
                    path,
                }
            };
            Source::Parcels {
                input: input_root(shown.input, &shown.signatures)?,
                parcels: shown.parcels.into_iter().map(signed_parcel).collect::<Result<_, _>>()?,
                records: places.iter().zip(paths).map(place).collect(),
            }
        }
    })
}

fn input_root(input: Option<pb::InputCommitment>, signed: &[u8]) -> Result<AgreedInput, WireError> {
    Ok(AgreedInput { input: input_commitment(input)?, signatures: signatures("input.signatures", signed)? })
}

impl From<&Accusation> for pb::AccusationBody {
    fn from(accusation: &Accusation) -> Self {
        let malformed = accusation.malformed.iter().flat_map(|(record, blinded)| {
            let record = record.to_le_bytes();
            record.into_iter().chain(*blinded.encoded())
        });
        Self {
            place: Some(accusation.place.into()),
            shown: Some((&accusation.shown).into()),
            shared: join_elements(&accusation.shared).into(),
            shared_proof: bytes_of_proof(&accusation.shared_proof),
            malformed: malformed.collect::<Vec<u8>>().into(),
            blinded_proof: bytes_of_proof(&accusation.blinded_proof),
            signature: bytes_of_signature(&accusation.signature),
        }
    }
}

fn accusation(wire: pb::AccusationBody) -> Result<Accusation, WireError> {
    let malformed = |bytes: &[u8; 36]| {
        let (record, blinded) = bytes.split_at(4);
        let record = u32::from_le_bytes(array("malformed", record)?);
        let decoded = Element::decode(&array("malformed", blinded)?);
        Ok((record, decoded.map_err(|source| WireError::Element { field: "malformed", source })?))
    };
    Ok(Accusation {
        place: place(wire.place)?,
        shown: showing(wire.shown)?,
        shared: elements("shared", &wire.shared)?,
        shared_proof: equality_proof("shared_proof", &wire.shared_proof)?,
        malformed: records::<36>("malformed", &wire.malformed)?
            .iter()
            .map(malformed)
            .collect::<Result<_, WireError>>()?,
        blinded_proof: equality_proof("blinded_proof", &wire.blinded_proof)?,
        signature: signature("signature", &wire.signature)?,
    })
}

impl From<&TraceStep> for pb::TraceStepBody {
    fn from(step: &TraceStep) -> Self {
        Self {
            accusation: bytes_of(&step.accusation),
            place: Some(step.place.into()),
            shown: Some((&step.shown).into()),
            shared: join_elements(&step.shared).into(),
            shared_proof: bytes_of_proof(&step.shared_proof),
            blinded: join_elements(&step.blinded).into(),
            blinded_proof: bytes_of_proof(&step.blinded_proof),
            signature: bytes_of_signature(&step.signature),
        }
    }
}

fn trace_step(wire: pb::TraceStepBody) -> Result<TraceStep, WireError> {
    Ok(TraceStep {
        accusation: digest("accusation", &wire.accusation)?,
        place: place(wire.place)?,
        shown: showing(wire.shown)?,
        shared: elements("shared", &wire.shared)?,
        shared_proof: equality_proof("shared_proof", &wire.shared_proof)?,
        blinded: elements("blinded", &wire.blinded)?,
        blinded_proof: equality_proof("blinded_proof", &wire.blinded_proof)?,
        signature: signature("signature", &wire.signature)?,
    })
}

impl From<&Evidence> for pb::Evidence {
    fn from(evidence: &Evidence) -> Self {
        let kind = match evidence {
            Evidence::Equivocation(signed) => {
                let [one, two] = &**signed;
                Kind::Equivocation(pb::Equivocation { one: Some(one.into()), two: Some(two.into()) })
            }
            Evidence::Unlinked(unlinked) => Kind::Unlinked(pb::Unlinked {
                input: Some((&unlinked.input).into()),
                signature: bytes_of_signature(&unlinked.signature),
                batch: Some((&unlinked.batch).into()),
            }),
            Evidence::BadProof(bad) => Kind::BadProof(pb::BadProof {
                proof: Some(with_body(Message::Proof(bad.proof.clone()))),
                inputs: join_elements(&bad.inputs).into(),
            }),
            Evidence::BadInput(offer) => Kind::BadInput(with_body(Message::InputOffer((**offer).clone()))),
            Evidence::BadBatch(batch) => Kind::BadBatch(with_body(Message::Batch((**batch).clone()))),
            Evidence::BadParcel(parcel) => Kind::BadParcel(with_body(Message::Parcel((**parcel).clone()))),
            Evidence::FalseAccusation(accusation) => Kind::FalseAccusation((&**accusation).into()),
            Evidence::WrongStep(traced) => Kind::WrongStep(traced.into()),
            Evidence::Trail(traced) => Kind::Trail(traced.into()),
            Evidence::Noise(case) => Kind::Noise((&**case).into()),
            Evidence::Reply(case) => Kind::Reply((&**case).into()),
            Evidence::FalseOpening(case) => Kind::FalseOpening(pb::FalseOpening {
                opening: Some(with_body(Message::NoiseOpening(case.opening.clone()))),
                pledge: join_pledge(&case.pledge).collect(),
                inputs: case.inputs.iter().map(pb::InputCommitment::from).collect(),
                confirmation: case.confirmation.iter().flat_map(|signature| signature.0).collect(),
            }),
            Evidence::BadPledge(bad) => Kind::BadPledge(pb::BadPledge {
                server: bad.server.0.into(),
                pledge: join_pledge(&bad.pledge).collect(),
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl From<&Traced> for pb::Traced {
    fn from(traced: &Traced) -> Self {
        let steps = traced.steps.iter().map(|step| (&**step).into()).collect();
        Self { accusation: Some((&*traced.accusation).into()), steps }
    }
}

fn traced(wire: pb::Traced) -> Result<Traced, WireError> {
    let accusation = Arc::new(accusation(required("accusation", wire.accusation)?)?);
    let steps = wire.steps.into_iter().map(|step| trace_step(step).map(Arc::new)).collect::<Result<_, _>>()?;
    Ok(Traced { accusation, steps })
}

impl From<&NoiseCase> for pb::NoiseCase {
    fn from(case: &NoiseCase) -> Self {
        let NoiseCase { claim, inputs, fingerprints, left_out, shown, trail } = case;
        let input = |(index, agreed): (usize, &AgreedInput)| {
            let AgreedInput { input, signatures } = agreed.clone();
            let is_last = index + 1 == inputs.len();
            let fingerprints = if is_last { fingerprints.clone() } else { Vec::new() };
            let left_out = if is_last { left_out.clone() } else { Vec::new() };
            with_body(Message::InputRoot(InputRoot { input, signatures, fingerprints, left_out }))
        };
        let answer = |shown: &ShownPart| {
            with_body(Message::NoiseAnswer(NoiseAnswer { claim: claim.clone(), shown: shown.clone() }))
        };
        Self {
            claim: Some(with_body(Message::NoiseClaim(claim.clone()))),
            inputs: inputs.iter().enumerate().map(input).collect(),
            shown: shown.iter().map(answer).collect(),
            trail: trail.as_ref().map(Into::into),
        }
    }
}

fn noise_case(wire: pb::NoiseCase) -> Result<NoiseCase, WireError> {
    let Message::NoiseClaim(claim) = message(wire.claim, "claim")? else { return Err(WireError::UnknownKind) };
    let (mut inputs, mut lists) = (Vec::new(), (Vec::new(), Vec::new()));
    for input in wire.inputs {
        let Message::InputRoot(root) = message(Some(input), "inputs")? else { return Err(WireError::UnknownKind) };
        let InputRoot { input, signatures, fingerprints, left_out } = root;
        inputs.push(AgreedInput { input, signatures });
        lists = (fingerprints, left_out);
    }
    let shown = wire.shown.into_iter().map(|answer| match message(Some(answer), "shown")? {
        Message::NoiseAnswer(answer) => Ok(answer.shown),
        _ => Err(WireError::UnknownKind),
    });
    let (fingerprints, left_out) = lists;
    let trail = wire.trail.map(traced).transpose()?;
    Ok(NoiseCase { claim, inputs, fingerprints, left_out, shown: shown.collect::<Result<_, _>>()?, trail })
}

fn opening_case(wire: pb::FalseOpening) -> Result<OpeningCase, WireError> {
    let Message::NoiseOpening(opening) = message(wire.opening, "opening")? else { return Err(WireError::UnknownKind) };
    let inputs = wire.inputs.into_iter().map(|input| input_commitment(Some(input)));
    let confirmation = (!wire.confirmation.is_empty()).then(|| signature("confirmation", &wire.confirmation));
    Ok(OpeningCase {
        opening,
        pledge: pledge(&wire.pledge)?,
        inputs: inputs.collect::<Result<_, _>>()?,
        confirmation: confirmation.transpose()?,
    })
}

impl From<&ReplyCase> for pb::ReplyCase {
    fn from(case: &ReplyCase) -> Self {
        let ReplyCase { claim, entered, shown } = case;
        let root = |EnteredInput { agreed: AgreedInput { input, signatures }, left_out }: &EnteredInput| {
            let (input, signatures, left_out) = (*input, signatures.clone(), left_out.clone());
            with_body(Message::InputRoot(InputRoot { input, signatures, fingerprints: Vec::new(), left_out }))
        };
        let answer = |shown: &ShownReturn| {
            with_body(Message::ReplyAnswer(ReplyAnswer { claim: claim.clone(), shown: shown.clone() }))
        };
        Self {
            claim: Some(with_body(Message::ReplyClaim(claim.clone()))),
            entered: entered.as_ref().map(root),
            shown: shown.iter().map(answer).collect(),
        }
    }
}

fn reply_case(wire: pb::ReplyCase) -> Result<ReplyCase, WireError> {
    let Message::ReplyClaim(claim) = message(wire.claim, "claim")? else { return Err(WireError::UnknownKind) };
    let entered = match wire.entered.map(|entered| message(Some(entered), "entered")).transpose()? {
        None => None,
        Some(Message::InputRoot(InputRoot { input, signatures, left_out, .. })) => {
            Some(EnteredInput { agreed: AgreedInput { input, signatures }, left_out })
        }
        Some(_) => return Err(WireError::UnknownKind),
    };
    let shown = wire.shown.into_iter().map(|answer| match message(Some(answer), "shown")? {
        Message::ReplyAnswer(answer) => Ok(answer.shown),
        _ => Err(WireError::UnknownKind),
    });
    Ok(ReplyCase { claim, entered, shown: shown.collect::<Result<_, _>>()? })
}

fn evidence(wire: Option<pb::Evidence>) -> Result<Evidence, WireError> {
    let wire = required("evidence", wire)?;
    Ok(match required("kind", wire.kind)? {
        Kind::Equivocation(signed) => {
            Evidence::Equivocation(Box::new([signed_statement(signed.one)?, signed_statement(signed.two)?]))
        }
        Kind::Unlinked(unlinked) => Evidence::Unlinked(Box::new(Unlinked {
            input: input_commitment(unlinked.input)?,
            signature: signature("signature", &unlinked.signature)?,
            batch: signed_batch(required("batch", unlinked.batch)?)?,
        })),
        Kind::BadProof(bad) => match message(bad.proof, "proof")? {
            Message::Proof(proof) => {
                Evidence::BadProof(Box::new(BadProof { proof, inputs: elements("inputs", &bad.inputs)? }))
            }
            _ => return Err(WireError::UnknownKind),
        },
        Kind::BadInput(offer) => match message(Some(offer), "bad_input")? {
            Message::InputOffer(offer) => Evidence::BadInput(Box::new(offer)),
            _ => return Err(WireError::UnknownKind),
        },
        Kind::BadBatch(batch) => match message(Some(batch), "bad_batch")? {
            Message::Batch(batch) => Evidence::BadBatch(Box::new(batch)),
            _ => return Err(WireError::UnknownKind),
        },
        Kind::BadParcel(parcel) => match message(Some(parcel), "bad_parcel")? {
            Message::Parcel(parcel) => Evidence::BadParcel(Box::new(parcel)),
            _ => return Err(WireError::UnknownKind),
        },
        Kind::FalseAccusation(wire) => Evidence::FalseAccusation(Arc::new(accusation(wire)?)),
        Kind::WrongStep(wire) => Evidence::WrongStep(traced(wire)?),
        Kind::Trail(wire) => Evidence::Trail(traced(wire)?),
        Kind::Noise(wire) => Evidence::Noise(Box::new(noise_case(wire)?)),
        Kind::Reply(wire) => Evidence::Reply(Box::new(reply_case(wire)?)),
        Kind::FalseOpening(wire) => Evidence::FalseOpening(Box::new(opening_case(wire)?)),
        Kind::BadPledge(wire) => Evidence::BadPledge(Box::new(BadPledge {
            server: server("server", wire.server)?,
            pledge: pledge(&wire.pledge)?,
        })),
    })
}

impl From<&SignedStatement> for pb::SignedStatement {
    fn from(signed: &SignedStatement) -> Self {
        use signed_statement::Statement as Stated;
        let unsigned = |parcel: &ParcelCommitment| pb::SignedParcel {
            signature: Bytes::new(),
            ..stated(parcel, &signed.signature)
        };
        let statement = match &signed.statement {
            Statement::Input(input) => Stated::Input(input.into()),
            Statement::Confirmation { layer, vector } => {
                Stated::Confirmation(pb::StatedConfirmation { layer: layer.0.into(), vector: bytes_of(vector) })
            }
            Statement::Batch(batch) => Stated::Batch(batch.into()),
            Statement::Parcel(parcel) => Stated::Parcel(unsigned(parcel)),
            Statement::Return(replies) => Stated::Replies(replies.into()),
            Statement::Accusation { place, content } => {
                Stated::Accusation(pb::StatedAccusation { place: Some((*place).into()), content: bytes_of(content) })
            }
            Statement::Claim { content } => Stated::ClaimContent(bytes_of(content)),
        };
        Self {
            signer: signed.signer.0.into(),
            signature: bytes_of_signature(&signed.signature),
            statement: Some(statement),
        }
    }
}

fn signed_statement(wire: Option<pb::SignedStatement>) -> Result<SignedStatement, WireError> {
    use signed_statement::Statement as Stated;
    let wire = required("signed_statement", wire)?;
    let statement = match required("statement", wire.statement)? {
        Stated::Input(input) => Statement::Input(input_commitment(Some(input))?),
        Stated::Confirmation(stated) => {
            Statement::Confirmation { layer: layer("layer", stated.layer)?, vector: digest("vector", &stated.vector)? }
        }
        Stated::Batch(batch) => Statement::Batch(batch_commitment(Some(batch))?),
        Stated::Parcel(parcel) => Statement::Parcel(parcel_commitment(&parcel)?),
        Stated::Replies(replies) => Statement::Return(return_commitment(Some(replies))?),
        Stated::Accusation(stated) => {
            Statement::Accusation { place: place(stated.place)?, content: digest("content", &stated.content)? }
        }
        Stated::ClaimContent(content) => Statement::Claim { content: digest("claim_content", &content)? },
    };
    let signer = server("signer", wire.signer)?;
    Ok(SignedStatement { signer, statement, signature: signature("signature", &wire.signature)? })
}
