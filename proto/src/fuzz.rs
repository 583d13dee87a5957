//! Every decoder of the wire under arbitrary bytes and damaged copies of good ones: a value or an error, never a panic,
//! and never more memory than what came.

use std::sync::{Arc, LazyLock};

use hippodrome_core::message::Message;
use proptest::{prelude::*, sample::Index};
use prost::{Message as _, bytes::Bytes};

use crate::{
    convert::{Assembly, WireError, chunks, decode_case, encode, encode_case},
    pb,
    samples::Sampler,
};

/// One thing done to bytes.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Set(Index, u8),
    Cut(Index),
    Repeat(Index, Index),
    /// The longest number that protobuf has, in place of what is there.
    Overgrow(Index),
    Insert(Index, Vec<u8>),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Set(at, value) => {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Repeat(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                bytes.extend_from_within(from.min(to)..from.max(to));
            }
            Self::Overgrow(at) => {
                let at = at.index(bytes.len());
                let number = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
                bytes.splice(at..at + 1, number);
            }
            Self::Insert(at, inserted) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, inserted.iter().copied());
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Damage::Set(at, value)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        any::<Index>().prop_map(Damage::Overgrow),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

/// Some of the things done to bytes, one after the other.
pub(crate) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    prop::collection::vec(damage(), 1..5)
}

/// Good bytes after some damage.
pub(crate) fn damaged(good: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    damages.iter().fold(good, |mut bytes, damage| {
        damage.apply(&mut bytes);
        bytes
    })
}

const LIMIT: usize = 1 << 20;
/// Most bytes of a message in memory for each byte that came: an encoded element unpacks to a point.
const UNPACKED: usize = 16;

fn decode(header: &[u8], body: Vec<u8>) -> Result<Message, WireError> {
    let header = pb::Header::decode(header).map_err(|_| WireError::UnknownKind)?;
    let mut assembly = Assembly::new(LIMIT);
    chunks(header, Bytes::from(body)).try_for_each(|chunk| assembly.push(chunk))?;
    assembly.finish()
}

/// What came through is bounded by what came, and means the same on the next hop.
fn assert_sound(message: Message, came: usize) {
    assert!(message.body_len() <= UNPACKED * came + 1024, "{} bytes of {came}", message.body_len());
    let said = format!("{message:?}");
    let (header, body) = encode(&Arc::new(message));
    let again = decode(&header.encode_to_vec(), body.to_vec()).expect("what was encoded decodes");
    assert_eq!(said, format!("{again:?}"));
}

/// A file of every kind of evidence.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut sampler = Sampler::new(8);
    sampler.evidence().into_iter().map(|evidence| encode_case(&sampler.case(evidence))).collect()
});

/// What came through of a file is no longer than it, and is the same in the next hands.
fn assert_sound_file(file: &[u8]) {
    let Ok(case) = decode_case(file) else { return };
    let again = encode_case(&case);
    assert!(again.len() <= file.len() + 1024, "{} bytes of {}", again.len(), file.len());
    let read = decode_case(&again).expect("what was encoded decodes");
    assert_eq!(format!("{case:?}"), format!("{read:?}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_damaged_file_of_evidence_is_refused_or_is_another_one(kind in any::<Index>(), damages in damages()) {
        assert_sound_file(&damaged(kind.get(&FILES).clone(), &damages));
    }

    #[test]
    fn arbitrary_bytes_in_a_file_of_evidence_are_refused_or_are_a_case(
        kind in any::<Index>(),
        at in any::<Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let good = kind.get(&FILES);
        let first_line = 1 + good.iter().position(|byte| *byte == b'\n').expect("a first line");
        assert_sound_file(&[&good[..first_line], &bytes].concat());
        assert_sound_file(&[&good[..at.index(good.len())], &bytes].concat());
    }

    #[test]
    fn a_damaged_message_is_refused_or_is_another_message(
        kind in any::<Index>(),
        header_damage in damages(),
        body_damage in damages(),
        what in 0_u8..3,
    ) {
        let samples = Sampler::new(5).every_kind();
        let (header, body) = encode(&Arc::new(kind.get(&samples).clone()));
        let (mut header, mut body) = (header.encode_to_vec(), body.to_vec());
        if what != 1 {
            header = damaged(header, &header_damage);
        }
        if what != 0 {
            body = damaged(body, &body_damage);
        }
        let came = header.len() + body.len();
        if let Ok(message) = decode(&header, body) {
            assert_sound(message, came);
        }
    }

    #[test]
    fn the_header_of_one_kind_over_the_body_of_another_is_refused_or_is_a_message(
        one in any::<Index>(),
        other in any::<Index>(),
    ) {
        let samples = Sampler::new(6).every_kind();
        let (header, _) = encode(&Arc::new(one.get(&samples).clone()));
        let (_, body) = encode(&Arc::new(other.get(&samples).clone()));
        let came = header.encoded_len() + body.len();
        if let Ok(message) = decode(&header.encode_to_vec(), body.to_vec()) {
            assert_sound(message, came);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_are_a_message(
        header in prop::collection::vec(any::<u8>(), 0..300),
        body in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let came = header.len() + body.len();
        if let Ok(message) = decode(&header, body) {
            assert_sound(message, came);
        }
    }
}
