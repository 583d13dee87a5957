use std::{collections::HashSet, sync::Arc};

use hippodrome_core::{
    ids::{RosterId, Round, ServerId},
    message::{AbortReason, Charge, Hello, Message, Peers, ShownPart},
};
use hippodrome_crypto::{group::DecodeError, signing::SigningError};
use proptest::prelude::*;
use prost::{Message as _, bytes::Bytes};

use super::{Assembly, CHUNK_LEN, CaseFileError, WireError, chunks, decode_case, encode, encode_case, kind_name};
use crate::{
    pb::{self, chunk::Part},
    samples::Sampler,
};

const LIMIT: usize = 4 << 20;

fn assemble(chunks: impl IntoIterator<Item = pb::Chunk>) -> Result<Message, WireError> {
    let mut assembly = Assembly::new(LIMIT);
    for chunk in chunks {
        assembly.push(chunk)?;
    }
    assembly.finish()
}

fn header_chunk(header: pb::Header) -> pb::Chunk {
    pb::Chunk { part: Some(Part::Header(header)) }
}

fn records_chunk(records: Vec<u8>) -> pb::Chunk {
    pb::Chunk { part: Some(Part::Records(records.into())) }
}

/// The message that `header` and `body`, as bytes, make.
fn decode(header: &[u8], body: Bytes) -> Result<Message, WireError> {
    let header = pb::Header::decode(header).map_err(|_| WireError::UnknownKind)?;
    assemble(chunks(header, body))
}

fn samples() -> Vec<Arc<Message>> {
    Sampler::new(1).every_kind().into_iter().map(Arc::new).collect()
}

fn sample(kind: &str) -> Arc<Message> {
    samples().into_iter().find(|message| kind_name(message) == kind).expect("there is a sample of every kind")
}

#[test]
fn every_kind_survives_the_wire() {
    let mut kinds = HashSet::new();
    for message in samples() {
        let (header, body) = encode(&message);
        let decoded = decode(&header.encode_to_vec(), body.clone()).expect("what was encoded decodes");
        assert_eq!(format!("{message:?}"), format!("{decoded:?}"));
        assert_eq!(encode(&Arc::new(decoded)), (header, body), "{}", kind_name(&message));
        kinds.insert(kind_name(&message));
    }
    assert_eq!(kinds.len(), 45, "there is a sample of every kind");
}

#[test]
fn records_are_sent_without_a_copy() {
    let message = Arc::new(Sampler::new(2).batch(1000));
    let Message::Batch(batch) = &*message else { panic!("a batch is a batch") };
    assert_eq!(encode(&message).1.as_ptr(), batch.records.as_ptr());
}

#[test]
fn bodies_travel_in_chunks_of_bounded_size() {
    let message = Arc::new(Sampler::new(3).batch(2 * CHUNK_LEN + 5));
    let (header, body) = encode(&message);
    let sizes: Vec<_> = chunks(header, body).map(|chunk| chunk.encoded_len()).collect();
    assert_eq!(sizes.len(), 4);
    assert!(sizes.iter().all(|&size| size < CHUNK_LEN + 64), "{sizes:?}");
}

#[test]
fn refuses_chunks_out_of_order() {
    let (header, body) = encode(&sample("Batch"));
    let (header, records) = (header_chunk(header), records_chunk(body.to_vec()));
    let refusal = |chunks: Vec<&pb::Chunk>| assemble(chunks.into_iter().cloned()).expect_err("refused");
    assert_eq!(refusal(vec![]), WireError::NoHeader);
    assert_eq!(refusal(vec![&records, &header]), WireError::RecordsBeforeHeader);
    assert_eq!(refusal(vec![&header, &header]), WireError::SecondHeader);
    assert_eq!(refusal(vec![&header, &records, &header]), WireError::SecondHeader);
    assert_eq!(refusal(vec![&header, &pb::Chunk { part: None }]), WireError::EmptyChunk);
    assert_eq!(refusal(vec![&header, &records_chunk(vec![])]), WireError::EmptyChunk);
    assert_eq!(refusal(vec![&header_chunk(pb::Header { kind: None })]), WireError::UnknownKind);
}

#[test]
fn refuses_the_first_chunk_that_goes_over_the_limit() {
    let (header, _) = encode(&sample("Batch"));
    let mut assembly = Assembly::new(100);
    assembly.push(header_chunk(header)).expect("a header");
    assembly.push(records_chunk(vec![0; 100])).expect("just within the limit");
    assert_eq!(assembly.push(records_chunk(vec![0; 1])), Err(WireError::BodyTooLong { limit: 100 }));
    assert_eq!(assembly.len(), 100);
}

#[test]
fn refuses_a_body_where_there_is_none() {
    let bodiless = [
        "Hello",
        "Peers",
        "SeedCommitment",
        "SeedReveal",
        "EpochSignature",
        "AmendmentSignature",
        "DescriptorSignature",
        "InputSignature",
        "Confirmation",
        "Report",
        "Abort",
        "ShareCall",
        "CoinShare",
    ];
    for kind in bodiless {
        let (header, body) = encode(&sample(kind));
        assert!(body.is_empty());
        let refused = assemble([header_chunk(header), records_chunk(vec![1])]).expect_err(kind);
        assert_eq!(refused, WireError::UnexpectedBody);
    }
}

#[test]
fn refuses_lists_that_are_not_whole_records() {
    let structured = [
        "SeedCall",
        "SeedCommitments",
        "EpochProposal",
        "EpochStart",
        "AmendmentProposal",
        "AmendmentStart",
        "KeysCall",
        "Keys",
        "DescriptorProposal",
        "Announcement",
        "InputRoot",
        "Coin",
    ];
    for kind in structured {
        let (header, body) = encode(&sample(kind));
        let shorter = body.slice(..body.len() - 1);
        let longer = Bytes::from([&body[..], &[0]].concat());
        for body in [shorter, longer] {
            let refused = decode(&header.encode_to_vec(), body).expect_err(kind);
            assert!(matches!(refused, WireError::Ragged { .. } | WireError::TooShort { .. }), "{kind}: {refused}");
        }
    }
}

#[test]
fn refuses_bytes_that_are_no_element_or_key() {
    for kind in ["KeysCall", "Keys", "DescriptorProposal", "Proof"] {
        let (header, body) = encode(&sample(kind));
        let mut garbage = body.to_vec();
        let at = if kind == "Proof" { 32 } else { 4 };
        garbage[at..at + 32].fill(0xff);
        let refused = decode(&header.encode_to_vec(), garbage.clone().into()).expect_err(kind);
        assert!(matches!(refused, WireError::Element { source: DecodeError::NonCanonicalElement, .. }), "{refused}");
        garbage[at..at + 32].fill(0);
        let refused = decode(&header.encode_to_vec(), garbage.into()).expect_err(kind);
        assert!(matches!(refused, WireError::Element { source: DecodeError::Identity, .. }), "{refused}");
    }
    let (header, _) = encode(&sample("SeedCall"));
    let refused = decode(&header.encode_to_vec(), vec![0; 3 * 32 + 2 * 2 + 3 * 10].into()).expect_err("a weak key");
    assert_eq!(refused, WireError::PublicKey { field: "registry", source: SigningError::WeakKey });
}

#[test]
fn refuses_more_entries_than_there_are_bytes_without_allocating_for_them() {
    let (mut header, body) = encode(&sample("Proof"));
    let Some(pb::header::Kind::Proof(proof)) = &mut header.kind else { panic!("a proof is a proof") };
    proof.key_count = u32::MAX;
    let refused = decode(&header.encode_to_vec(), body.clone()).expect_err("too short");
    assert_eq!(refused, WireError::TooShort { field: "keys", expected: 32 * 0xffff_ffff, got: body.len() });

    let (mut header, body) = encode(&sample("EpochStart"));
    let Some(pb::header::Kind::EpochStart(start)) = &mut header.kind else { panic!("a start is a start") };
    start.share_count = 9;
    let refused = decode(&header.encode_to_vec(), body.clone()).expect_err("too short");
    assert_eq!(
        refused,
        WireError::TooShort { field: "shares", expected: 32 * 9, got: body.len() - 2 * 32 - 2 * 2 - 3 * 10 }
    );
}

#[test]
fn refuses_addresses_that_are_not_host_and_port() {
    let long = format!("{}:1", "a".repeat(300));
    for address in [":1", "host", "host:", "host:65536", "ho st:1", "host\n:1", "höst:1", &long] {
        for message in [
            Message::Hello(Hello { address: address.to_owned(), roster: RosterId { epoch: 0, amendment: 0 } }),
            Message::Peers(Peers { addresses: vec!["good:1".to_owned(), address.to_owned()] }),
        ] {
            let (header, body) = encode(&Arc::new(message));
            let refused = decode(&header.encode_to_vec(), body).expect_err(address);
            assert!(matches!(refused, WireError::Address { .. }), "{refused}");
        }
    }
}

#[test]
fn refuses_abort_reasons_that_stand_for_nothing() {
    let with_reason = |reason| {
        let (mut header, body) = encode(&Arc::new(Sampler::new(4).abort(AbortReason::BadProof(ServerId(1)))));
        let Some(pb::header::Kind::Abort(abort)) = &mut header.kind else { panic!("an abort is an abort") };
        abort.reason = Some(pb::AbortReason { reason: Some(reason) });
        decode(&header.encode_to_vec(), body).expect_err("refused")
    };
    use pb::abort_reason::Reason;
    assert_eq!(with_reason(Reason::Deadline(0)), WireError::Code { field: "deadline", got: 0 });
    assert_eq!(with_reason(Reason::Deadline(99)), WireError::Code { field: "deadline", got: 99 });
    for reason in [Reason::BadMessage(1 << 16), Reason::BadProof(1 << 16), Reason::Equivocation(1 << 16)] {
        assert!(matches!(with_reason(reason), WireError::Range { limit: 0xffff, got: 0x10000, .. }));
    }
}

/// Just enough of protobuf to take headers apart: numbers, and fields with a length.
#[derive(Clone)]
enum Field {
    Number(u32, u64),
    Sized(u32, Vec<u8>),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    prost::encoding::decode_varint(bytes).expect("an encoder made it")
}

fn take_apart(mut bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let tag = (key >> 3) as u32;
        if key & 7 == 0 {
            fields.push(Field::Number(tag, varint(&mut bytes)));
        } else {
            let length = varint(&mut bytes) as usize;
            let (value, rest) = bytes.split_at(length);
            fields.push(Field::Sized(tag, value.to_vec()));
            bytes = rest;
        }
    }
    fields
}

fn put_together(fields: &[Field]) -> Vec<u8> {
    use prost::encoding::encode_varint;
    let mut bytes = Vec::new();
    for field in fields {
        match field {
            Field::Number(tag, value) => {
                encode_varint(u64::from(*tag) << 3, &mut bytes);
                encode_varint(*value, &mut bytes);
            }
            Field::Sized(tag, value) => {
                encode_varint(u64::from(*tag) << 3 | 2, &mut bytes);
                encode_varint(value.len() as u64, &mut bytes);
                bytes.extend_from_slice(value);
            }
        }
    }
    bytes
}

/// Copies of a header, each with one field with a length cut, lengthened or left out, at any depth.
fn broken_copies(header: &[u8]) -> Vec<Vec<u8>> {
    let fields = take_apart(header);
    let mut copies = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let Field::Sized(tag, value) = field else { continue };
        let fixed_length = matches!(value.len(), 32 | 64);
        let replacements =
            if fixed_length { vec![value[1..].to_vec(), [value, &[0][..]].concat()] } else { broken_copies(value) };
        let with = |replacement| [&fields[..index], &[replacement], &fields[index + 1..]].concat();
        copies.extend(replacements.into_iter().map(|value| put_together(&with(Field::Sized(*tag, value)))));
        copies.push(put_together(&[&fields[..index], &fields[index + 1..]].concat()));
    }
    copies
}

#[test]
fn refuses_headers_with_any_field_cut_lengthened_or_left_out() {
    let mut broken = 0;
    for message in samples() {
        if matches!(&*message, Message::Hello(_) | Message::Peers(_)) {
            continue; // text, tested on its own
        }
        let (header, body) = encode(&message);
        for copy in broken_copies(&header.encode_to_vec()) {
            match (&*message, decode(&copy, body.clone())) {
                // A first hop's proof names no source.
                (Message::Proof(proof), Ok(Message::Proof(copy))) => {
                    assert!(proof.source.is_some() && copy.source.is_none())
                }
                // A parcel of a chain of one hop brings no batch.
                (Message::Parcel(parcel), Ok(Message::Parcel(copy))) => {
                    assert!(parcel.batch.is_some() && copy.batch.is_none())
                }
                (Message::NoiseAnswer(_), Ok(Message::NoiseAnswer(copy))) => {
                    assert!(matches!(copy.shown, ShownPart::Parcel(parcel) if parcel.batch.is_none()))
                }
                (_, refused) => drop(refused.expect_err(kind_name(&message))),
            }
            broken += 1;
        }
    }
    assert!(broken > 150, "only {broken} broken headers were tried");
}

/// Copies of a header, each with one number at any depth grown over what any id holds.
fn overgrown_copies(header: &[u8]) -> Vec<Vec<u8>> {
    let fields = take_apart(header);
    let mut copies = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let replacements = match field {
            Field::Number(tag, _) => vec![Field::Number(*tag, u64::from(u32::MAX))],
            Field::Sized(_, value) if matches!(value.len(), 32 | 64) => vec![],
            Field::Sized(tag, value) => overgrown_copies(value).into_iter().map(|v| Field::Sized(*tag, v)).collect(),
        };
        for replacement in replacements {
            copies.push(put_together(&[&fields[..index], &[replacement], &fields[index + 1..]].concat()));
        }
    }
    copies
}

#[test]
fn refuses_layers_chains_and_positions_that_do_not_fit() {
    // Numbers that do not fit, by kind: layer and chain in each stage, position in each place, destinations.
    let expected = [
        ("KeysCall", 1),
        ("Keys", 1),
        ("Noise", 2),
        ("Submissions", 2),
        ("InputOffer", 2),
        ("InputSignature", 2),
        ("InputRoot", 2),
        ("Confirmation", 1),
        ("Batch", 3),
        ("Parcel", 6),
        ("Return", 3),
        ("Replaced", 6),
        ("Replies", 2),
    ];
    for (kind, count) in expected {
        let (header, body) = encode(&sample(kind));
        let refused = overgrown_copies(&header.encode_to_vec())
            .into_iter()
            .filter(|copy| matches!(decode(copy, body.clone()), Err(WireError::Range { .. })))
            .count();
        assert_eq!(refused, count, "{kind}");
    }
}

#[test]
fn every_kind_of_evidence_survives_the_wire_and_a_file() {
    let mut sampler = Sampler::new(5);
    for evidence in sampler.evidence() {
        let case = sampler.case(evidence);
        let file = encode_case(&case);
        let read = decode_case(&file).expect("what was encoded decodes");
        assert_eq!(format!("{case:?}"), format!("{read:?}"));
        assert_eq!(encode_case(&read), file);
        let charge = Arc::new(Message::Charge(Charge { round: Round(3), evidence: case.evidence }));
        let (header, body) = encode(&charge);
        let decoded = decode(&header.encode_to_vec(), body).expect("what was encoded decodes");
        assert_eq!(format!("{charge:?}"), format!("{decoded:?}"));
    }
}

#[test]
fn files_that_are_no_evidence_are_refused_by_what_is_wrong() {
    let mut sampler = Sampler::new(6);
    let evidence = sampler.evidence().remove(2);
    let file = encode_case(&sampler.case(evidence));
    assert!(matches!(decode_case(b""), Err(CaseFileError::NotEvidence)));
    assert!(matches!(decode_case(&file[1..]), Err(CaseFileError::NotEvidence)));
    assert!(matches!(decode_case(&file[..file.len() - 1]), Err(CaseFileError::Damaged(_))));
    let header = b"hippodrome evidence 1\n".len();
    assert!(matches!(decode_case(&file[..header]), Err(CaseFileError::Malformed(WireError::Missing { .. }))));
}

#[test]
fn evidence_inside_evidence_is_refused() {
    let charge = encode(&sample("Charge"));
    let nested = pb::WithBody { header: Some(charge.0.clone()), body: charge.1 };
    let evidence = pb::Evidence { kind: Some(pb::evidence::Kind::BadInput(nested)) };
    let refused = decode(&charge.0.encode_to_vec(), evidence.encode_to_vec().into()).expect_err("refused");
    assert_eq!(refused, WireError::UnknownKind);
}

proptest! {
    #[test]
    fn damaged_evidence_never_panics(at in any::<prop::sample::Index>(), value in any::<u8>(), kind in 0_usize..18) {
        let mut sampler = Sampler::new(7);
        let evidence = sampler.evidence().remove(kind);
        let mut file = encode_case(&sampler.case(evidence));
        let at = at.index(file.len());
        file[at] = value;
        let _ = decode_case(&file);
    }

    #[test]
    fn garbage_is_refused_or_is_a_message_but_never_panics(
        header in prop::collection::vec(any::<u8>(), 0..200),
        body in prop::collection::vec(any::<u8>(), 0..2000),
        kind in 0_usize..62,
    ) {
        let _ = decode(&header, body.clone().into());
        let _ = pb::Chunk::decode(&body[..]).map(|chunk| assemble([chunk]));
        // A good header over a bad body gets further than bad ones do.
        let (header, _) = encode(&samples()[kind]);
        let _ = decode(&header.encode_to_vec(), body.into());
    }

    #[test]
    fn damaged_headers_never_panic(kind in 0_usize..62, at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let (header, body) = encode(&samples()[kind]);
        let mut header = header.encode_to_vec();
        let at = at.index(header.len());
        header[at] = value;
        let _ = decode(&header, body);
    }
}
