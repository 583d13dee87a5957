//! Records and kept states under arbitrary and damaged bytes: a value or an error, never a panic.

use std::num::NonZeroU16;

use hippodrome_core::{
    conversation::{Conversation, Identity, Schedule, SecretBytes},
    submission::{ReplyRecord, Submission},
    wire::Sizes,
};
use hippodrome_crypto::hash::Digest;
use proptest::{prelude::*, sample::Index};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const NETWORK: Digest = Digest([3; 32]);
const EVERY_ROUND: Schedule = Schedule { first_round: 1, lane: 0, stride: NonZeroU16::MIN };

/// Two sides that have met, with a text that waits and a round that is under way.
fn conversations() -> [Conversation; 2] {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (one, other) = (Identity::random(&mut rng), Identity::random(&mut rng));
    let (mut inviter, code) = Conversation::invite(&NETWORK, &one, EVERY_ROUND, &mut rng);
    let mut acceptor = Conversation::accept(&NETWORK, &other, code.reveal(), &mut rng).expect("a fresh invite");
    inviter.say("a text that waits").expect("room");
    for round in 1..6 {
        let left = inviter.submit(round, round).expect("its turn");
        let right = acceptor.submit(round, round).expect("its turn");
        let met = left.access.mailbox == right.access.mailbox;
        let (to_left, to_right) = if met { (&right, &left) } else { (&left, &right) };
        inviter.receive(round, &to_left.access.content);
        acceptor.receive(round, &to_right.access.content);
    }
    inviter.submit(6, 6).expect("its turn");
    [inviter, acceptor]
}

fn spoil(bytes: &mut Vec<u8>, spots: &[(Index, u8)], cut: Option<Index>) {
    for (at, value) in spots {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
}

fn sizes() -> impl Strategy<Value = Sizes> {
    (1_usize..=5, 1_usize..=3).prop_map(|(hops, layers)| Sizes::new(hops, layers))
}

proptest! {
    #[test]
    fn arbitrary_records_are_refused_or_survive_encoding(
        sizes in sizes(),
        bytes in prop::collection::vec(any::<u8>(), 0..6000),
        fits in any::<bool>(),
    ) {
        let fitted = |width: usize| {
            let mut record = bytes.clone();
            if fits {
                record.resize(width, 7);
            }
            record
        };
        let record = fitted(sizes.submission);
        if let Ok(submission) = Submission::decode(&sizes, &record) {
            prop_assert_eq!(submission.encode(), record);
        }
        let record = fitted(sizes.reply_record);
        if let Ok(reply) = ReplyRecord::decode(&sizes, &record) {
            prop_assert_eq!(reply.encode(), record);
        }
    }

    #[test]
    fn a_damaged_state_is_refused_or_goes_on(
        side in 0_usize..2,
        spots in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<Index>()),
        content in any::<[u8; 32]>(),
    ) {
        let mut state = conversations()[side].export().expose().to_vec();
        spoil(&mut state, &spots, cut);
        if let Ok(mut conversation) = Conversation::import(&SecretBytes::new(state)) {
            let _ = conversation.submit(7, 7);
            let content: Vec<u8> = content.iter().cycle().take(256).copied().collect();
            conversation.receive(7, &content.try_into().expect("256 bytes"));
            conversation.lost(6);
            prop_assert!(Conversation::import(&conversation.export()).is_ok());
        }
    }

    #[test]
    fn arbitrary_states_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..3000), version in 0_u8..3) {
        let _ = Conversation::import(&SecretBytes::new(bytes.clone()));
        // With a known version more of it is read.
        let _ = Conversation::import(&SecretBytes::new([&[version], bytes.as_slice()].concat()));
    }

    #[test]
    fn arbitrary_codes_are_refused(
        code in "\\PC{0,200}",
        spots in prop::collection::vec((any::<Index>(), any::<char>()), 1..3),
    ) {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let identity = Identity::random(&mut rng);
        prop_assert!(Conversation::accept(&NETWORK, &identity, &code, &mut rng).is_err());
        let (_, good) = Conversation::invite(&NETWORK, &identity, EVERY_ROUND, &mut rng);
        let mut damaged: Vec<char> = good.reveal().chars().collect();
        for (at, value) in spots {
            let at = at.index(damaged.len());
            damaged[at] = value;
        }
        let damaged: String = damaged.into_iter().collect();
        let _ = Conversation::accept(&NETWORK, &identity, &damaged, &mut rng);
    }
}
