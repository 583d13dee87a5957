//! Cheating servers, each mounted on real machines: what the gate, the proofs and the marks are there for.
//!
//! A cheat owns the signing key of its server, so that every signature holds that it wants to hold.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use hippodrome_core::{
    ids::{ChainId, Layer, Party, Place, Position, Round, ServerId},
    message::{AbortReason, Batch, Confirmation, Message, Parcel, Return},
    mixer::Notice,
    params::{NetworkParams, Verification},
    participant::SlotReply,
    statement,
    submission::Access,
};
use hippodrome_crypto::{merkle, records::Records};
use hippodrome_sim::{
    Behaviour, Network,
    adversary::{Informed, Known, forge},
    small_params,
};

/// What a client got, round by round.
type Replies = Rc<RefCell<Vec<(Round, Option<Vec<SlotReply>>)>>>;

/// A client that always visits the same mailbox.
struct Visitor {
    mailbox: u8,
    replies: Replies,
}

impl Behaviour for Visitor {
    fn accesses(&mut self, round: Round, _: Round) -> Vec<Access> {
        vec![Access { mailbox: [self.mailbox ^ round.0 as u8; 16], content: [self.mailbox; 256] }]
    }

    fn replies(&mut self, round: Round, replies: Option<Vec<SlotReply>>) {
        self.replies.borrow_mut().push((round, replies));
    }
}

struct Scene {
    network: Network,
    replies: Vec<Replies>,
}

const SERVERS: usize = 6;

fn scene(params: NetworkParams, act: impl FnMut(&Known, Party, Party, &Message) -> Vec<Message> + 'static) -> Scene {
    let replies: Vec<_> = (0..4).map(|_| Rc::default()).collect();
    let clients = replies.iter().enumerate().map(|(index, replies)| {
        Box::new(Visitor { mailbox: 64 + (index / 2) as u8, replies: Rc::clone(replies) }) as Box<dyn Behaviour>
    });
    let mut network = Network::new(params, SERVERS, clients.collect(), 11);
    network.set_adversary(Informed::of(&network, act));
    Scene { network, replies }
}

impl Scene {
    /// Why honest servers ended the first round themselves.
    fn reasons(&self) -> Vec<AbortReason> {
        let aborted = self.network.notices.iter().filter_map(|(_, notice)| match notice {
            Notice::Aborted { stage, reason } if stage.round == Round(1) => Some(*reason),
            _ => None,
        });
        aborted.collect()
    }

    fn run_one_round(&mut self) {
        self.network.run(1, 30_000);
    }

    fn assert_no_replies(&self) {
        for replies in &self.replies {
            assert!(replies.borrow().iter().all(|(round, replies)| *round != Round(1) || replies.is_none()));
        }
        assert!(self.network.coordinator().status().rounds_failed >= 1);
    }
}

/// Whether a message is the batch of round 1 that leaves the given hop of chain 0.
fn is_batch_of(message: &Message, layer: u8, position: u8) -> Option<&Batch> {
    match message {
        Message::Batch(batch) => {
            let Place { stage, position: at } = batch.batch.place;
            let here = (stage.round, stage.layer, stage.chain, at);
            (here == (Round(1), Layer(layer), ChainId(0), Position(position))).then_some(batch)
        }
        _ => None,
    }
}

/// A cheat that puts another batch in place of the one that leaves hop 0 of chain 0.
fn replace_batch(
    change: impl Fn(&Records) -> Records + 'static,
) -> impl FnMut(&Known, Party, Party, &Message) -> Vec<Message> {
    move |known, from, _, message| match is_batch_of(message, 0, 0) {
        Some(batch) => vec![known.sign_batch(from, &batch.batch, &change(&known.records(batch)))],
        None => vec![message.clone()],
    }
}

#[test]
fn a_garbled_ciphertext_with_its_key_intact_ends_the_round_and_nothing_is_released() {
    for verification in [Verification::Full, Verification::Aggregate] {
        let params = NetworkParams { verification, ..small_params() };
        // The proof is about keys, which are intact; but it is bound to the root of what was really put out.
        let mut scene = scene(params, replace_batch(|records| forge::garbled(records, 0)));
        scene.run_one_round();
        scene.assert_no_replies();
        assert!(!scene.reasons().is_empty());
        assert_nothing_left_hop_1(&scene);
    }
}

/// No batch left the hop after the cheat's, in the cheat's chain.
fn assert_nothing_left_hop_1(scene: &Scene) {
    assert!(!scene.network.delivered.iter().any(|(_, _, message)| is_batch_of(message, 0, 1).is_some()));
}

#[test]
fn a_dropped_or_doubled_record_is_never_proved_and_nothing_is_released() {
    let without_first: fn(&Records) -> Records = |records| forge::without(records, 0);
    for change in [without_first, forge::with_a_key_twice] {
        for verification in [Verification::Full, Verification::Aggregate] {
            let params = NetworkParams { verification, ..small_params() };
            let mut scene = scene(params, replace_batch(change));
            scene.run_one_round();
            scene.assert_no_replies();
            assert_nothing_left_hop_1(&scene);
        }
    }
}

#[test]
fn batches_that_are_cut_grown_repeated_or_reordered_against_their_root_are_refused_by_name() {
    let changes: [fn(&mut Vec<u8>, usize); 5] = [
        |bytes, _| bytes.truncate(bytes.len() - 1),
        |bytes, width| bytes.truncate(bytes.len() - width),
        |bytes, width| bytes.extend(vec![7; width]),
        |bytes, width| bytes.copy_within(0..width, width),
        |bytes, width| bytes.rotate_left(width),
    ];
    for change in changes {
        let mut scene = scene(small_params(), move |known, _, _, message| match is_batch_of(message, 0, 0) {
            Some(batch) => {
                let mut changed = batch.clone();
                change(&mut changed.records, known.records(batch).width());
                vec![Message::Batch(changed)]
            }
            None => vec![message.clone()],
        });
        scene.run_one_round();
        scene.assert_no_replies();
        let reasons = scene.reasons();
        assert!(matches!(reasons[0], AbortReason::BadMessage(_)), "{reasons:?}");
        assert_nothing_left_hop_1(&scene);
    }
}

#[test]
fn a_batch_whose_count_lies_or_whose_keys_are_not_elements_is_refused_by_name() {
    let lies: [fn(&Known, Party, &Batch) -> Message; 3] = [
        |known, from, batch| {
            let mut commitment = batch.batch;
            commitment.count += 1;
            let signature = known.key_of(from).sign(&statement::batch(known.digest(Round(1)), &commitment));
            Message::Batch(Batch { batch: commitment, signature, records: batch.records.clone() })
        },
        |known, from, batch| {
            let mut commitment = batch.batch;
            commitment.count = u32::MAX;
            let signature = known.key_of(from).sign(&statement::batch(known.digest(Round(1)), &commitment));
            Message::Batch(Batch { batch: commitment, signature, records: batch.records.clone() })
        },
        |known, from, batch| {
            let mut records = known.records(batch);
            records.record_mut(0)[..32].fill(0); // the identity
            let mut commitment = batch.batch;
            commitment.root = merkle::root_of(&merkle::leaves(&records));
            let signature = known.key_of(from).sign(&statement::batch(known.digest(Round(1)), &commitment));
            Message::Batch(Batch { batch: commitment, signature, records: records.into_bytes() })
        },
    ];
    for lie in lies {
        let mut scene = scene(small_params(), move |known, from, _, message| match is_batch_of(message, 0, 0) {
            Some(batch) => vec![lie(known, from, batch)],
            None => vec![message.clone()],
        });
        scene.run_one_round();
        scene.assert_no_replies();
        // Where the proof comes first, which is signed for what was really put out, the two contradict each other.
        let named = matches!(scene.reasons()[0], AbortReason::BadMessage(_) | AbortReason::Equivocation(_));
        assert!(named, "{:?}", scene.reasons());
    }
}

#[test]
fn a_proof_that_is_changed_replayed_or_of_another_hop_names_its_prover() {
    for verification in [Verification::Full, Verification::Aggregate] {
        let params = NetworkParams { verification, ..small_params() };
        let mut scene = scene(params, |known, from, _, message| match message {
            Message::Proof(proof) if proof.batch.place.stage.round == Round(1) => {
                let mut changed = proof.clone();
                changed.proof[33] ^= 1;
                vec![known.resign_proof(from, changed)]
            }
            _ => vec![message.clone()],
        });
        scene.run_one_round();
        scene.assert_no_replies();
        assert!(scene.reasons().iter().any(|reason| matches!(reason, AbortReason::BadProof(_))));
    }

    // The proof of round 1 in round 2.
    let mut first: HashMap<Place, Vec<u8>> = HashMap::new();
    let mut scene = scene(small_params(), move |known, from, _, message| match message {
        Message::Proof(proof) => {
            let mut place = proof.batch.place;
            let round = std::mem::replace(&mut place.stage.round, Round(0));
            let mut proof = proof.clone();
            if round == Round(1) {
                first.insert(place, proof.proof.clone());
            } else if let Some(replayed) = first.get(&place) {
                proof.proof.clone_from(replayed);
            }
            vec![known.resign_proof(from, proof)]
        }
        _ => vec![message.clone()],
    });
    scene.network.run(2, 30_000);
    assert_eq!(scene.network.coordinator().status().rounds_completed, 1);
    let named = |(_, notice): &(ServerId, Notice)| matches!(notice, Notice::Aborted { stage, reason: AbortReason::BadProof(_) } if stage.round == Round(2));
    assert!(scene.network.notices.iter().any(named));
}

#[test]
fn nothing_leaves_a_hop_before_every_proof_upstream_has_come() {
    // The proofs of hop 0 of chain 0 go missing.
    let mut scene = scene(small_params(), |_, _, _, message| match message {
        Message::Proof(proof)
            if proof.batch.place.position == Position(0) && proof.batch.place.stage.chain == ChainId(0) =>
        {
            vec![]
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    scene.assert_no_replies();
    assert_nothing_left_hop_1(&scene);
    assert!(scene.reasons().iter().all(|reason| matches!(reason, AbortReason::Deadline(_))), "{:?}", scene.reasons());
}

#[test]
fn nothing_leaves_any_hop_before_all_servers_have_confirmed_all_inputs() {
    // One server's confirmations go missing, or are for another vector.
    type Lie = fn(&Known, Party, &Confirmation) -> Vec<Message>;
    let lies: [Lie; 2] = [
        |_, _, _| vec![],
        |known, from, confirmation| {
            let mut other = confirmation.clone();
            other.vector.0[0] ^= 1;
            let digest = known.digest(other.round);
            other.signature = known.key_of(from).sign(&statement::confirmation(digest, other.layer, &other.vector));
            vec![Message::Confirmation(other)]
        },
    ];
    for lie in lies {
        let mut scene = scene(small_params(), move |known, from, _, message| match message {
            Message::Confirmation(confirmation) if from == Party::Server(ServerId(2)) => lie(known, from, confirmation),
            _ => vec![message.clone()],
        });
        scene.run_one_round();
        scene.assert_no_replies();
        // The liar believes itself; nobody else releases anything.
        let released =
            scene.network.delivered.iter().filter(|(from, _, message)| {
                matches!(message, Message::Batch(_)) && *from != Party::Server(ServerId(2))
            });
        assert_eq!(released.count(), 0);
    }
}

#[test]
fn an_input_that_one_member_has_not_signed_is_no_input() {
    let mut scene = scene(small_params(), |_, _, _, message| match message {
        Message::InputRoot(root) if root.input.stage.chain == ChainId(1) => {
            let mut forged = root.clone();
            forged.signatures[1] = forged.signatures[0];
            vec![Message::InputRoot(forged)]
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    scene.assert_no_replies();
    assert!(!scene.network.delivered.iter().any(|(_, _, message)| matches!(message, Message::Batch(_))));
}

#[test]
fn a_server_signs_one_input_a_round_whatever_it_is_offered() {
    // The first server of chain 0 offers its members different inputs.
    let mut offers = 0;
    let mut scene = scene(small_params(), move |known, from, _, message| match message {
        Message::InputOffer(offer) if offer.input.stage.chain == ChainId(0) && offer.input.stage.layer == Layer(0) => {
            offers += 1;
            if offers % 2 == 1 {
                return vec![message.clone()];
            }
            let entries = known.entries(offer);
            vec![known.sign_offer(from, offer, &forge::without(&entries, entries.len() - 1))]
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    scene.assert_no_replies();
    assert!(!scene.network.delivered.iter().any(|(_, _, message)| matches!(message, Message::Batch(_))));
}

#[test]
fn a_member_who_is_offered_two_inputs_names_the_first_server() {
    let mut scene = scene(small_params(), |known, from, _, message| match message {
        Message::InputOffer(offer) if offer.input.stage.layer == Layer(0) && offer.input.stage.chain == ChainId(0) => {
            let mut other = offer.clone();
            other.input.root.0[0] ^= 1;
            vec![message.clone(), known.resign_offer(from, other)]
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    scene.assert_no_replies();
    // The second may overtake the first, and has a root that its entries do not make.
    let first = scene.network.coordinator().epoch().map(|(epoch, _)| epoch.members(Layer(0), ChainId(0))[0]);
    let names = |reason: &AbortReason| match reason {
        AbortReason::BadMessage(server) | AbortReason::Equivocation(server) => Some(*server) == first,
        _ => false,
    };
    assert!(scene.reasons().iter().any(names), "{:?}", scene.reasons());
}

#[test]
fn a_second_batch_or_second_replies_change_nothing_that_leaves() {
    // Every batch, forward and back, comes twice, replies the second time with other bytes.
    let mut scene = scene(small_params(), |known, _, _, message| match message {
        Message::Return(back) if back.signed.replies.to.is_none() => {
            let other = forge::turned(&known.replies(back)).into_bytes();
            vec![message.clone(), Message::Return(Return { replies: other, ..back.clone() })]
        }
        _ => vec![message.clone(), message.clone()],
    });
    scene.run_one_round();
    assert_eq!(scene.network.coordinator().status().rounds_completed, 1);
    // Each hop let out one batch of replies, whatever came twice.
    let mut let_out: HashMap<(Party, Place), Vec<&Return>> = HashMap::new();
    for (from, _, message) in &scene.network.delivered {
        if let Message::Return(back) = message
            && back.signed.replies.to.is_none()
        {
            let_out.entry((*from, back.place())).or_default().push(back);
        }
    }
    assert!(!let_out.is_empty());
    // The adversary doubles each on its way, so a hop that answered twice would be seen four times.
    assert!(let_out.values().all(|batches| batches.len() == 2));
    for replies in &scene.replies {
        // Which of the two comes first is the cheat's to choose; a reply that broke is all that it gets.
        let (_, first) = &replies.borrow()[0];
        assert_eq!(first.as_ref().expect("delivered").len(), 1);
    }
}

#[test]
fn a_server_that_restarts_inside_a_round_refuses_it_and_joins_the_next() {
    let mut scene = scene(small_params(), |_, _, _, message| vec![message.clone()]);
    // Restart as soon as the first round is announced.
    while scene.network.coordinator().status().round < 1 {
        scene.network.run_for(1);
    }
    scene.network.restart_server(ServerId(0));
    scene.network.run(3, 30_000);
    let status = scene.network.coordinator().status();
    assert!(status.rounds_failed >= 1, "{status:?}");
    assert!(status.rounds_completed >= 1, "{status:?}");
    scene.assert_no_replies();
}

#[test]
fn wrong_replies_are_replaced_whole_and_the_client_sees_where_they_broke() {
    let mut scene = scene(small_params(), |_, _, _, message| match message {
        Message::Return(back) if back.place().stage.layer == Layer(0) && back.place().position == Position(2) => {
            let mut cut = back.clone();
            cut.replies.pop();
            vec![Message::Return(cut)]
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    let replaced = |(_, notice): &(ServerId, Notice)| matches!(notice, Notice::RepliesReplaced { .. });
    assert!(scene.network.notices.iter().any(replaced));
    for replies in &scene.replies {
        let replies = replies.borrow();
        let broken = replies[0].1.as_ref().expect("delivered")[0].expect_err("the reply broke");
        assert_eq!((broken.layer, broken.position), (Layer(0), 2));
    }
}

#[test]
fn a_parcel_with_a_record_of_another_chain_convicts_its_sender_and_nobody_opens_anything() {
    // The last server of chain 1 copies a record of one parcel into another: its signature names another chain.
    let mut seen: Option<(ChainId, Vec<u8>)> = None;
    let mut scene = scene(small_params(), move |known, from, _, message| match message {
        Message::Parcel(parcel) if parcel.source.round == Round(1) && parcel.source.chain == ChainId(1) => {
            let width = known.sizes.parcel_record(1);
            match &seen {
                None if !parcel.records.is_empty() => {
                    seen = Some((parcel.destination, parcel.records[..width].to_vec()));
                    vec![message.clone()]
                }
                Some((destination, record)) if *destination != parcel.destination => {
                    vec![with_record(known, from, parcel, record)]
                }
                _ => vec![message.clone()],
            }
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    scene.assert_no_replies();
    let cheat = scene.network.coordinator().epoch().map(|(epoch, _)| epoch.members(Layer(0), ChainId(1))[2]);
    let convicted = scene.reasons().iter().any(|reason| Some(*reason) == cheat.map(AbortReason::BadMessage));
    assert!(convicted, "{:?}", scene.reasons());
}

/// A parcel with one record more, signed by its sender.
fn with_record(known: &Known, from: Party, parcel: &Parcel, record: &[u8]) -> Message {
    let mut records = known.parcel_records(parcel);
    records.push(record);
    known.sign_parcel(from, parcel, &records)
}

#[test]
fn messages_for_another_round_chain_or_hop_change_nothing() {
    let mut scene = scene(small_params(), |_, _, _, message| {
        let mut copies = vec![message.clone()];
        if let Message::Batch(batch) = message {
            for change in [
                (|place: &mut Place| place.stage.round = Round(999)) as fn(&mut Place),
                |place| place.stage.chain = ChainId(99),
                |place| place.stage.layer = Layer(9),
            ] {
                let mut misplaced = batch.clone();
                change(&mut misplaced.batch.place);
                copies.insert(0, Message::Batch(misplaced));
            }
        }
        copies
    });
    scene.run_one_round();
    assert_eq!(scene.network.coordinator().status().rounds_completed, 1);
}

#[test]
fn no_epoch_comes_of_an_attempt_in_which_a_share_is_missing_or_wrong() {
    let mut scene = scene(small_params(), |_, from, _, message| match message {
        Message::SeedReveal(reveal) if from == Party::Server(ServerId(5)) && reveal.epoch == 1 => vec![],
        Message::SeedReveal(reveal) if from == Party::Server(ServerId(4)) && reveal.epoch == 2 => {
            let mut other = reveal.clone();
            other.share[0] ^= 1;
            vec![Message::SeedReveal(other)]
        }
        _ => vec![message.clone()],
    });
    scene.network.run(1, 30_000);
    let (epoch, _) = scene.network.coordinator().epoch().expect("the third attempt is honest");
    assert_eq!(epoch.plan().number, 3);
    assert_eq!(epoch.plan().live, [0, 1, 2, 3].map(ServerId), "who breaks an attempt is struck in the next");
    assert!(scene.network.delivered.iter().all(|(_, _, message)| match message {
        Message::EpochStart(start) => start.plan.number == 3,
        _ => true,
    }));
}

#[test]
fn a_server_signs_one_descriptor_a_round_and_only_with_its_own_keys_in_it() {
    // The coordinator gives one server descriptors with keys out of place before and after the right one.
    let mut scene = scene(small_params(), |_, _, to, message| match message {
        Message::DescriptorProposal(proposal) if to == Party::Server(ServerId(1)) && proposal.round == Round(1) => {
            let turned = |by: usize| {
                let mut other = proposal.clone();
                for (index, hop) in other.keys.iter_mut().enumerate() {
                    hop.public = proposal.keys[(index + by) % proposal.keys.len()].public;
                }
                Message::DescriptorProposal(other)
            };
            // Keys of one chain that the server may not be in.
            let swapped = |chain: usize| {
                let mut other = proposal.clone();
                other.keys[3 * chain].public = proposal.keys[3 * chain + 1].public;
                Message::DescriptorProposal(other)
            };
            let later = (0..6).map(swapped);
            [turned(3), message.clone(), message.clone(), turned(1)].into_iter().chain(later).collect()
        }
        _ => vec![message.clone()],
    });
    scene.network.run(1, 30_000);
    let refused =
        |(server, notice): &&(ServerId, Notice)| *server == ServerId(1) && matches!(notice, Notice::Refused { .. });
    // Only the right one is signed, as often as it is asked for.
    assert!(scene.network.notices.iter().filter(refused).count() >= 8);
    let signatures: Vec<_> = scene
        .network
        .delivered
        .iter()
        .filter_map(|(from, _, message)| match message {
            Message::DescriptorSignature(signature)
                if signature.round == Round(1) && *from == Party::Server(ServerId(1)) =>
            {
                Some(signature.signature)
            }
            _ => None,
        })
        .collect();
    assert!(!signatures.is_empty());
    assert!(signatures.iter().all(|signature| *signature == signatures[0]));
    assert_eq!(scene.network.coordinator().status().rounds_completed, 1);
}

#[test]
fn a_round_far_ahead_of_the_clock_gets_no_keys() {
    let mut scene = scene(small_params(), |_, _, _, message| match message {
        Message::KeysCall(call) if call.round == Round(1) => {
            let mut far = call.clone();
            far.round = Round(1 << 40);
            vec![Message::KeysCall(far), message.clone()]
        }
        _ => vec![message.clone()],
    });
    scene.run_one_round();
    assert_eq!(scene.network.coordinator().status().rounds_completed, 1);
    assert!(
        !scene
            .network
            .delivered
            .iter()
            .any(|(_, _, message)| { matches!(message, Message::Keys(keys) if keys.round == Round(1 << 40)) })
    );
}
