//! Every attack that the machines can meet, as a switch.
//!
//! [`CHEATS`] says of each what it is, what must come of it and who must be named. What a cheat changes is signed again
//! by the server that it owns, so that only the protocol's rules stand in its way, never a broken signature.

use std::{collections::BTreeMap, iter};

use hippodrome_core::{
    ids::{ChainId, Layer, Party, Place, Position, Round, ServerId, Stage},
    layout::Turn,
    message::{Abort, AbortReason, Message, NoiseClaim, Proof, Return, ShownSubmission, Submissions},
    params::NetworkParams,
    statement,
    submission::Submission,
};
use hippodrome_crypto::{
    group::SecretScalar, hash::Digest, merkle, permutation::below, records::Records, signing::Signature,
};
use rand_chacha::ChaCha20Rng;

use super::{Known, calls, forge, mangle::mangled};

/// Who cheats.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// A server that has a certain turn in some chain.
    Server(Role),
    /// The coordinator.
    Coordinator,
    /// A client.
    Client(forge::Forge),
    /// Two clients together.
    Clients(forge::Forge),
}

/// The turn that a cheat needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// None.
    Any,
    /// None: the cheat is mounted before there are turns, while the first epoch is founded.
    Founder,
    /// The first hop of an input chain.
    First,
    /// Any hop but the last of its chain.
    NotLast,
    /// The last hop of a chain whose records go on to another layer.
    Sender,
    /// Any hop but the first of its chain: one that returns a batch.
    NotFirst,
}

impl Role {
    /// Whether a turn is one that the cheat can be mounted at.
    pub fn has(self, turn: &Turn, params: &NetworkParams) -> bool {
        let last = Position(params.chain_len - 1);
        match self {
            Self::Any | Self::Founder => true,
            Self::First => turn.layer == Layer(0) && turn.position == Position(0),
            Self::NotLast => turn.position < last,
            Self::Sender => turn.position == last && turn.layer.0 + 1 < params.layers,
            Self::NotFirst => turn.position > Position(0),
        }
    }
}

/// What must come of a cheat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It alters something: the round ends, or the chains concerned do, or replies are replaced, all publicly.
    Detected,
    /// It alters nothing: the round completes and everybody gets replies.
    Harmless,
    /// It takes messages of clients away, and who loses them sees it: by a broken reply or a round without one.
    Suffered,
}

/// Who must be named for a cheat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The cheat, by evidence or by what everybody sees in what all have signed.
    Culprit,
    /// The cheat, by evidence, where full proofs let records be traced.
    Traced,
    /// The cheat, by the word of the server that saw it: nothing that it signed shows it.
    Accused,
    /// Nobody: what happened may have been a fault. It counts against those concerned.
    Nobody,
}

/// One attack.
pub struct Cheat {
    /// Its name, for command lines.
    pub name: &'static str,
    /// The findings of the review that it mounts.
    pub attack: &'static str,
    /// Who mounts it.
    pub by: By,
    /// What must come of it.
    pub answer: Answer,
    /// Who must be named.
    pub names: Names,
    /// Whether that takes a network in which noise is claimed: in others a server that is done with a round forgets it, and
    /// what comes late is neither seen nor of any use.
    pub is_of_claims: bool,
    make: fn() -> Trick,
}

impl Cheat {
    /// The cheat with a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CHEATS.iter().find(|cheat| cheat.name == name)
    }

    /// The cheat as a row of a table: name, findings, who mounts it, what must come of it, who must be named.
    pub fn row(&self) -> String {
        let by = match self.by {
            By::Server(Role::Any | Role::Founder) => "a server",
            By::Server(Role::First) => "the first server of an input chain",
            By::Server(Role::NotLast) => "a server before the last of its chain",
            By::Server(Role::Sender) => "the last server of a chain, between layers",
            By::Server(Role::NotFirst) => "a server behind the first of its chain",
            By::Coordinator => "the coordinator",
            By::Client(_) => "a client",
            By::Clients(_) => "clients together",
        };
        let answer = match self.answer {
            Answer::Detected => "detected",
            Answer::Harmless => "harmless",
            Answer::Suffered => "suffered",
        };
        let names = match self.names {
            Names::Culprit => "the cheat",
            Names::Traced => "the cheat, if proofs are full",
            Names::Accused => "the cheat, on a word",
            Names::Nobody => "nobody",
        };
        format!("| `{}` | {} | {by} | {answer} | {names} |", self.name, self.attack)
    }

    /// What changes messages.
    pub(super) fn trick(&self) -> Trick {
        (self.make)()
    }
}

impl std::fmt::Debug for Cheat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A message on its way past the adversary.
pub(super) struct Scene<'a> {
    pub(super) known: &'a Known,
    /// The server that cheats.
    pub(super) me: ServerId,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) rng: &'a mut ChaCha20Rng,
    /// What is sent besides.
    pub(super) besides: &'a mut Vec<(Party, Party, Message)>,
    /// Success that no cheat may ever have.
    pub(super) broken: &'a mut Vec<String>,
}

impl Scene<'_> {
    fn mine(&self) -> bool {
        self.from == Party::Server(self.me)
    }

    fn servers(&self) -> impl Iterator<Item = Party> + use<> {
        let (count, me) = (self.known.servers(), self.me);
        (0..count).map(ServerId).filter(move |id| *id != me).map(Party::Server)
    }

    fn send_to_all(&mut self, message: &Message) {
        let from = Party::Server(self.me);
        let copies: Vec<_> = self.servers().map(|to| (from, to, message.clone())).collect();
        self.besides.extend(copies);
    }
}

/// Changes a message, or lets it pass.
pub(super) type Trick = Box<dyn FnMut(&mut Scene<'_>, &Message) -> Option<Vec<Message>>>;

type Change = fn(&Records, &mut ChaCha20Rng) -> Records;

/// A server that pledges the noise of its [twin](super::twin::Twin), and sends its own: what comes of it comes some time
/// after the round, when a coin picks it.
pub static OTHER_NOISE: Cheat = server("other-noise", "noise", Role::Any, Names::Culprit, || {
    Box::new(|scene, message| (scene.mine() && matches!(message, Message::Noise(_))).then(|| vec![message.clone()]))
});

/// Every cheat by which the round that it is mounted in is judged.
pub static CHEATS: &[Cheat] = &[
    // The first epoch.
    server("withheld-share", "F1", Role::Founder, Names::Nobody, || {
        withhold(|message| matches!(message, Message::SeedReveal(_)))
    }),
    server("false-share", "F1", Role::Founder, Names::Nobody, false_share),
    // Before an honest mix.
    server("garbled-ciphertext", "F3", Role::NotLast, Names::Culprit, || batches(|all, _| forge::garbled(all, 0))),
    server("tagged-key", "F3", Role::NotLast, Names::Culprit, || batches(|all, rng| forge::related_key(all, 0, rng))),
    server("replaced-record", "F3", Role::NotLast, Names::Culprit, || batches(|all, rng| forge::replaced(all, 0, rng))),
    server("dropped-record", "F3", Role::NotLast, Names::Culprit, || batches(|all, _| forge::without(all, 0))),
    server("doubled-record", "F5", Role::NotLast, Names::Culprit, || batches(|all, _| forge::with_a_key_twice(all))),
    server("wrong-order", "F3", Role::NotLast, Names::Culprit, || batches(|all, _| forge::turned(all))),
    server("cut-batch", "F3", Role::NotLast, Names::Accused, cut_batch),
    server("false-count", "F3", Role::NotLast, Names::Accused, false_count),
    server("withheld-batch", "F16", Role::NotLast, Names::Nobody, || {
        withhold(|message| matches!(message, Message::Batch(_)))
    }),
    server("early-batch", "F3", Role::NotLast, Names::Culprit, early_batch),
    server("second-batch", "F2", Role::NotLast, Names::Culprit, second_batch),
    // Proofs.
    server("lazy-prover", "F3", Role::NotLast, Names::Culprit, || proofs(|proof, _| proof.proof.fill(0))),
    server("forged-proof", "F3", Role::NotLast, Names::Culprit, || proofs(|proof, _| proof.proof[33] ^= 1)),
    server("replayed-proof", "F2", Role::NotLast, Names::Culprit, replayed_proof),
    server("withheld-proof", "F3", Role::NotLast, Names::Nobody, || {
        withhold(|message| matches!(message, Message::Proof(_)))
    }),
    // Inputs.
    server("two-inputs", "F3", Role::First, Names::Culprit, two_inputs),
    server("framed-client", "F7", Role::First, Names::Nobody, framed_client),
    server("copied-entry", "F5", Role::First, Names::Culprit, copied_entry),
    server("forged-input-signature", "F3", Role::First, Names::Accused, forged_input_signature),
    server("two-vectors", "F3", Role::Any, Names::Culprit, two_vectors),
    server("withheld-confirmation", "F3", Role::Any, Names::Nobody, || {
        withhold(|message| matches!(message, Message::Confirmation(_)))
    }),
    // Between layers.
    server("copied-parcel-record", "F5", Role::Sender, Names::Culprit, copied_parcel_record),
    server("related-key-between-layers", "F4", Role::Sender, Names::Culprit, related_key_between_layers),
    server("two-parcels", "F2", Role::Sender, Names::Culprit, two_parcels),
    server("repeated-parcel-record", "F5", Role::Sender, Names::Culprit, repeated_parcel_record),
    Cheat {
        answer: Answer::Suffered,
        ..server("dropped-between-layers", "F11", Role::Sender, Names::Nobody, dropped_between_layers)
    },
    server("stripped-noise", "F6", Role::Sender, Names::Culprit, stripped_noise),
    server("false-noise-claim", "F6", Role::Any, Names::Culprit, false_noise_claim),
    // The way back.
    server("partial-return", "F12", Role::NotFirst, Names::Nobody, partial_return),
    Cheat { is_of_claims: true, ..server("second-return", "F2", Role::NotFirst, Names::Culprit, second_return) },
    server("withheld-return", "F12", Role::NotFirst, Names::Nobody, || {
        withhold(|message| matches!(message, Message::Return(back) if back.signed.replies.to.is_none()))
    }),
    Cheat {
        answer: Answer::Suffered,
        ..server("garbled-return", "F12", Role::NotFirst, Names::Nobody, garbled_return)
    },
    Cheat { answer: Answer::Suffered, ..server("spoiled-reply", "F6", Role::NotFirst, Names::Nobody, spoiled_reply) },
    // Words.
    server("false-accusation", "F16", Role::Any, Names::Nobody, || accuse(AbortReason::BadProof)),
    server("false-word-of-a-bad-layer", "F16", Role::Any, Names::Nobody, || accuse(|_| AbortReason::LayerDidNotOpen)),
    Cheat { answer: Answer::Harmless, ..server("misplaced-messages", "F2", Role::Any, Names::Nobody, misplaced) },
    Cheat { answer: Answer::Harmless, ..server("flood", "F16", Role::Any, Names::Nobody, flood) },
    Cheat { answer: Answer::Suffered, ..server("mangled-messages", "F3", Role::Any, Names::Nobody, mangle) },
    Cheat { answer: Answer::Suffered, ..server("foreign-messages", "F2", Role::Any, Names::Nobody, foreign) },
    server("keys-not-proven", "F2", Role::NotLast, Names::Nobody, keys_not_proven),
    // The coordinator.
    coordinator("false-epochs", "F1", calls::false_epochs),
    coordinator("false-amendments", "F1", calls::false_amendments),
    Cheat { answer: Answer::Detected, ..coordinator("withheld-announcement", "F8", calls::withheld_announcement) },
    coordinator("jumped-round", "F8", jumped_round),
    coordinator("repeated-round", "F8", repeated_round),
    coordinator("two-descriptors", "F2", two_descriptors),
    coordinator("false-confirmations", "F3", false_confirmations),
    coordinator("altered-submission", "F7", altered_submission),
    Cheat { answer: Answer::Suffered, ..coordinator("hidden-submissions", "F7", hidden_submissions) },
    coordinator("repeated-parts", "F7", repeated_parts),
    Cheat { answer: Answer::Detected, ..coordinator("withheld-part", "F7", withheld_part) },
    // Clients.
    client("garbage-at-the-first-hop", "F4", By::Client(|c, p, rng| forge::garbage_after(1, c, p, rng))),
    client("garbage-at-the-second-hop", "F4", By::Client(|c, p, rng| forge::garbage_after(2, c, p, rng))),
    client("malformed-payload", "F5", By::Client(|c, p, rng| forge::garbage_after(usize::MAX, c, p, rng))),
    client("garbage-in-the-last-layer", "F4", By::Client(forge::garbage_in_layer_1)),
    Cheat {
        answer: Answer::Suffered,
        names: Names::Nobody,
        ..client("shared-key", "F5", By::Clients(forge::shared_key))
    },
];

const fn server(name: &'static str, attack: &'static str, role: Role, names: Names, make: fn() -> Trick) -> Cheat {
    Cheat { name, attack, by: By::Server(role), answer: Answer::Detected, names, is_of_claims: false, make }
}

const fn coordinator(name: &'static str, attack: &'static str, make: fn() -> Trick) -> Cheat {
    Cheat {
        name,
        attack,
        by: By::Coordinator,
        answer: Answer::Harmless,
        names: Names::Nobody,
        is_of_claims: false,
        make,
    }
}

const fn client(name: &'static str, attack: &'static str, by: By) -> Cheat {
    Cheat { name, attack, by, answer: Answer::Detected, names: Names::Traced, is_of_claims: false, make: honest }
}

/// Clients cheat when they submit, not on the way.
fn honest() -> Trick {
    Box::new(|_, _| None)
}

/// Batches are changed, signed again, and said to be what the proof is about.
fn batches(change: Change) -> Trick {
    let mut changed: BTreeMap<Place, Records> = BTreeMap::new();
    Box::new(move |scene, message| match message {
        Message::Batch(batch) if scene.mine() && batch.batch.count > 1 => {
            let records = change(&scene.known.records(batch), scene.rng);
            let forged = scene.known.sign_batch(scene.from, &batch.batch, &records);
            changed.insert(batch.batch.place, records);
            Some(vec![forged])
        }
        Message::Proof(proof) if scene.mine() => {
            let records = changed.get(&proof.batch.place)?;
            let batch = scene.known.commit(&proof.batch, records);
            Some(vec![scene.known.sign_proof(scene.from, proof, batch, records)])
        }
        _ => None,
    })
}

fn cut_batch() -> Trick {
    Box::new(|scene, message| match message {
        Message::Batch(batch) if scene.mine() && batch.batch.count > 0 => {
            let mut cut = batch.clone();
            cut.records.pop();
            Some(vec![Message::Batch(cut)])
        }
        _ => None,
    })
}

fn false_count() -> Trick {
    Box::new(|scene, message| match message {
        Message::Batch(batch) if scene.mine() => {
            let mut forged = batch.clone();
            forged.batch.count += 1;
            let digest = scene.known.digest(batch.batch.place.stage.round);
            forged.signature = scene.known.key(scene.me).sign(&statement::batch(digest, &forged.batch));
            Some(vec![Message::Batch(forged)])
        }
        _ => None,
    })
}

/// Random records instead of a mix, as soon as the input is signed, long before anybody may release anything.
fn early_batch() -> Trick {
    let mut done: Vec<Stage> = Vec::new();
    Box::new(move |scene, message| {
        let Message::InputSignature(signed) = message else { return None };
        let stage = signed.stage;
        let to_me = scene.to == Party::Server(scene.me);
        let roster = scene.known.roster(stage.round)?;
        let members = roster.members(stage.layer, stage.chain);
        if !to_me || members[0] != scene.me || done.contains(&stage) {
            return None;
        }
        done.push(stage);
        let width = scene.known.sizes.record(stage.layer.0.into(), 1);
        let mut records = Records::zeroed(width, 2);
        for index in 0..2 {
            records = forge::replaced(&records, index, scene.rng);
        }
        let next = Party::Server(members[1]);
        let place = Place { stage, position: Position(0) };
        let batch = hippodrome_core::message::BatchCommitment {
            place,
            count: 2,
            root: merkle::root_of(&[]),
            keys: Digest([0; 32]),
            source: Digest([0; 32]),
            source_keys: Digest([0; 32]),
            removed: statement::no_removals(),
        };
        let me = Party::Server(scene.me);
        let forged = scene.known.sign_batch(me, &batch, &records);
        scene.besides.push((me, next, forged));
        Some(vec![message.clone()])
    })
}

fn second_batch() -> Trick {
    Box::new(|scene, message| match message {
        Message::Batch(batch) if scene.mine() && batch.batch.count > 1 => {
            let records = forge::turned(&scene.known.records(batch));
            let other = scene.known.sign_batch(scene.from, &batch.batch, &records);
            Some(vec![message.clone(), other])
        }
        _ => None,
    })
}

fn withhold(is_it: fn(&Message) -> bool) -> Trick {
    Box::new(move |scene, message| (scene.mine() && is_it(message)).then(Vec::new))
}

/// Another share than the one that was committed to, by the shares that came before.
fn false_share() -> Trick {
    Box::new(|scene, message| match message {
        Message::SeedReveal(reveal) if scene.mine() => {
            let mut other = reveal.clone();
            other.share[0] ^= 1;
            Some(vec![Message::SeedReveal(other)])
        }
        _ => None,
    })
}

fn proofs(change: fn(&mut Proof, &Known)) -> Trick {
    Box::new(move |scene, message| match message {
        Message::Proof(proof) if scene.mine() => {
            let mut changed = proof.clone();
            change(&mut changed, scene.known);
            Some(vec![scene.known.resign_proof(scene.from, changed)])
        }
        _ => None,
    })
}

/// The proof of an earlier round at the same place.
fn replayed_proof() -> Trick {
    let mut earlier: BTreeMap<(Layer, ChainId), (Round, Vec<u8>)> = BTreeMap::new();
    Box::new(move |scene, message| {
        let Message::Proof(proof) = message else { return None };
        if !scene.mine() {
            return None;
        }
        let stage = proof.batch.place.stage;
        let (round, bytes) =
            earlier.entry((stage.layer, stage.chain)).or_insert_with(|| (stage.round, proof.proof.clone())).clone();
        if round == stage.round {
            return None;
        }
        Some(vec![scene.known.resign_proof(scene.from, Proof { proof: bytes, ..proof.clone() })])
    })
}

/// Every member is offered another input, too, which lacks the last record.
fn two_inputs() -> Trick {
    Box::new(|scene, message| match message {
        Message::InputOffer(offer) if scene.mine() && offer.input.count > 0 => {
            Some(vec![message.clone(), other_input(scene, offer)])
        }
        _ => None,
    })
}

fn other_input(scene: &Scene<'_>, offer: &hippodrome_core::message::InputOffer) -> Message {
    let entries = scene.known.entries(offer);
    scene.known.sign_offer(scene.from, offer, &forge::without(&entries, entries.len() - 1))
}

/// A byte of a client's onion is changed, by the first server, in what it offers as its chain's input.
fn framed_client() -> Trick {
    Box::new(|scene, message| match message {
        Message::InputOffer(offer) if scene.mine() && offer.input.stage.layer == Layer(0) => {
            let mut entries = scene.known.entries(offer);
            // An entry is key, body digest, author kind and number, and so on; clients come first.
            let client = entries.iter().position(|entry| entry[64] == 0)?;
            entries.record_mut(client)[40] ^= 1;
            Some(vec![scene.known.sign_offer(scene.from, offer, &entries)])
        }
        _ => None,
    })
}

fn copied_entry() -> Trick {
    Box::new(|scene, message| match message {
        Message::InputOffer(offer) if scene.mine() && offer.input.count > 1 => {
            let entries = scene.known.entries(offer);
            let mut copied = entries.clone();
            copied.record_mut(0).copy_from_slice(entries.record(1));
            Some(vec![scene.known.sign_offer(scene.from, offer, &copied)])
        }
        _ => None,
    })
}

fn forged_input_signature() -> Trick {
    Box::new(|scene, message| match message {
        Message::InputRoot(root) if scene.mine() && root.signatures.len() > 1 => {
            let mut forged = root.clone();
            forged.signatures[1] = forged.signatures[0];
            Some(vec![Message::InputRoot(forged)])
        }
        _ => None,
    })
}

/// Another vector to every other server.
fn two_vectors() -> Trick {
    Box::new(|scene, message| match (message, scene.to) {
        (Message::Confirmation(confirmation), Party::Server(to)) if scene.mine() && to.0 % 2 == scene.me.0 % 2 => {
            let mut vector = confirmation.vector;
            vector.0[0] ^= 1;
            let other = scene.known.sign_confirmation(scene.from, confirmation, vector);
            Some(vec![message.clone(), other])
        }
        _ => None,
    })
}

/// A record of one parcel put into another one, too: its signature names another chain.
fn copied_parcel_record() -> Trick {
    let mut seen: BTreeMap<Stage, (ChainId, Vec<u8>)> = BTreeMap::new();
    Box::new(move |scene, message| {
        let Message::Parcel(parcel) = message else { return None };
        if !scene.mine() {
            return None;
        }
        let mut records = scene.known.parcel_records(parcel);
        match seen.get(&parcel.source) {
            None if !records.is_empty() => {
                seen.insert(parcel.source, (parcel.destination, records.record(0).to_vec()));
                None
            }
            Some((destination, record)) if *destination != parcel.destination => {
                records.push(record);
                Some(vec![scene.known.sign_parcel(scene.from, parcel, &records)])
            }
            _ => None,
        }
    })
}

fn parcels(change: Change) -> Trick {
    Box::new(move |scene, message| match message {
        Message::Parcel(parcel) if scene.mine() && !parcel.records.is_empty() => {
            let records = change(&scene.known.parcel_records(parcel), scene.rng);
            Some(vec![scene.known.sign_parcel(scene.from, parcel, &records)])
        }
        _ => None,
    })
}

fn related_key_between_layers() -> Trick {
    parcels(|all, rng| forge::related_key(all, 0, rng))
}

fn repeated_parcel_record() -> Trick {
    parcels(|all, _| {
        let mut doubled = all.clone();
        doubled.push(all.record(0));
        doubled
    })
}

fn dropped_between_layers() -> Trick {
    parcels(|all, _| forge::without(all, 0))
}

/// Everything is dropped, so that only what others noticed of it could still hide somebody.
fn stripped_noise() -> Trick {
    parcels(|all, _| Records::new(all.width()))
}

/// A claim that noise is missing, of a record that is not in any input.
fn false_noise_claim() -> Trick {
    let mut entered: Option<(Stage, Digest)> = None;
    let mut done: Vec<Round> = Vec::new();
    Box::new(move |scene, message| {
        let Message::InputRoot(root) = message else { return None };
        let (stage, me) = (root.input.stage, scene.me);
        let input = statement::input(scene.known.digest(stage.round), &root.input);
        if stage.layer == Layer(0) {
            entered = Some((stage, input));
        }
        let (from, claimed) = entered.filter(|(from, _)| from.round == stage.round)?;
        if stage.layer != Layer(1) || done.contains(&stage.round) {
            return None;
        }
        done.push(stage.round);
        let path = merkle::InclusionProof(Vec::new());
        let record = ShownSubmission { stage: from, input: claimed, index: 0, body: vec![7; 64], path };
        let exponents = vec![SecretScalar::random(scene.rng).show()];
        let signature = Signature([0; 64]);
        let mut claim = NoiseClaim { claimant: me, record, exponents, lacking: input, signature };
        claim.signature = scene.known.key(me).sign(&claim.statement(scene.known.digest(stage.round)));
        scene.send_to_all(&Message::NoiseClaim(claim));
        Some(vec![message.clone()])
    })
}

fn two_parcels() -> Trick {
    Box::new(|scene, message| match message {
        Message::Parcel(parcel) if scene.mine() && !parcel.records.is_empty() => {
            let width = scene.known.parcel_records(parcel).width();
            Some(vec![message.clone(), scene.known.sign_parcel(scene.from, parcel, &Records::new(width))])
        }
        _ => None,
    })
}

/// Puts something else in place of the replies that the cheat sends back along a chain.
fn return_otherwise(mut change: impl FnMut(&mut Scene<'_>, &Return, Records) -> Vec<Message> + 'static) -> Trick {
    Box::new(move |scene, message| match message {
        Message::Return(back) if scene.mine() && back.signed.replies.to.is_none() && !back.replies.is_empty() => {
            let replies = scene.known.replies(back);
            Some(change(scene, back, replies))
        }
        _ => None,
    })
}

fn partial_return() -> Trick {
    return_otherwise(|scene, back, replies| {
        vec![scene.known.sign_return(scene.from, back, &forge::without(&replies, 0))]
    })
}

fn second_return() -> Trick {
    return_otherwise(|scene, back, replies| {
        let other = scene.known.sign_return(scene.from, back, &forge::turned(&replies));
        // After the right one: which of two comes first is the cheat's choice, and gains it nothing.
        scene.besides.push((scene.from, scene.to, other));
        vec![Message::Return(back.clone())]
    })
}

fn garbled_return() -> Trick {
    return_otherwise(|scene, back, replies| {
        let garbled = (0..replies.len()).fold(replies, |replies, index| forge::garbled(&replies, index));
        vec![scene.known.sign_return(scene.from, back, &garbled)]
    })
}

/// One record's reply is broken: was it noise, or did somebody wait for it?
fn spoiled_reply() -> Trick {
    return_otherwise(|scene, back, replies| {
        vec![scene.known.sign_return(scene.from, back, &forge::garbled(&replies, 0))]
    })
}

/// A signed word that the round must end, for a reason that is not there.
fn accuse(reason: fn(ServerId) -> AbortReason) -> Trick {
    let mut done: Vec<Round> = Vec::new();
    Box::new(move |scene, message| {
        let Message::Confirmation(confirmation) = message else { return None };
        let round = confirmation.round;
        if !scene.mine() || done.contains(&round) {
            return None;
        }
        done.push(round);
        let honest = ServerId(u16::from(scene.me.0 == 0));
        let stage = Stage { round, layer: Layer(0), chain: ChainId(0) };
        let reason = reason(honest);
        let signed = statement::abort(scene.known.digest(round), stage, &reason);
        let signature = scene.known.key(scene.me).sign(&signed);
        scene.send_to_all(&Message::Abort(Abort { stage, reason, signature }));
        Some(vec![message.clone()])
    })
}

/// Copies for rounds, layers and chains that do not exist, before the right message.
fn misplaced() -> Trick {
    Box::new(|scene, message| {
        let Message::Batch(batch) = message else { return None };
        let changes: [fn(&mut Stage); 3] =
            [|stage| stage.round = Round(1 << 40), |stage| stage.chain = ChainId(99), |stage| stage.layer = Layer(9)];
        let copies = changes.iter().map(|change| {
            let mut copy = batch.clone();
            change(&mut copy.batch.place.stage);
            Message::Batch(copy)
        });
        scene.mine().then(|| copies.chain(iter::once(message.clone())).collect())
    })
}

/// Many copies of everything, and random bytes in the shape of a batch.
fn flood() -> Trick {
    Box::new(|scene, message| {
        if !scene.mine() || matches!(message, Message::Hello(_)) {
            return None;
        }
        Some(vec![message.clone(); 20])
    })
}

/// Besides everything that it says, something like it, to anybody.
fn mangle() -> Trick {
    Box::new(|scene, message| {
        if !scene.mine() || message.round().is_none() {
            return None;
        }
        let others: Vec<Party> = scene.servers().collect();
        let to = others[below(others.len() as u32, scene.rng) as usize];
        let copy = mangled(message, scene.rng);
        scene.besides.push((scene.from, to, copy));
        match below(8, scene.rng) {
            0 => Some(vec![mangled(message, scene.rng)]),
            _ => Some(vec![message.clone()]),
        }
    })
}

/// What others said to the cheat, now or rounds ago, as its own words, changed or not, to anybody.
fn foreign() -> Trick {
    let mut heard: Vec<Message> = Vec::new();
    Box::new(move |scene, message| {
        if !scene.mine() {
            if heard.len() < MOST_HEARD {
                heard.push(message.clone());
            }
            return None;
        }
        let others: Vec<Party> = scene.servers().chain([Party::Coordinator]).collect();
        for _ in 0..3 {
            let chosen = heard.get(below(heard.len().max(1) as u32, scene.rng) as usize)?;
            let words = if below(2, scene.rng) == 0 { chosen.clone() } else { mangled(chosen, scene.rng) };
            let to = others[below(others.len() as u32, scene.rng) as usize];
            scene.besides.push((scene.from, to, words));
        }
        Some(vec![message.clone()])
    })
}

/// Most messages that the cheat remembers.
const MOST_HEARD: usize = 512;

fn keys_not_proven() -> Trick {
    Box::new(|scene, message| match message {
        Message::Keys(keys) if scene.mine() && !keys.keys.is_empty() => {
            let mut forged = keys.clone();
            let moved = forged.keys[0].public.blinding;
            forged.keys[0].public.key = moved;
            Some(vec![Message::Keys(forged)])
        }
        _ => None,
    })
}

fn jumped_round() -> Trick {
    Box::new(|_, message| match message {
        Message::KeysCall(call) => {
            let mut far = call.clone();
            far.round = Round(1 << 40);
            Some(vec![Message::KeysCall(far), message.clone()])
        }
        _ => None,
    })
}

/// Calls of the round before, with every call.
fn repeated_round() -> Trick {
    let mut before: BTreeMap<Party, Message> = BTreeMap::new();
    Box::new(move |scene, message| match message {
        Message::KeysCall(call) => {
            let earlier = before.get(&scene.to).filter(|earlier| earlier.round() < Some(call.round)).cloned();
            if earlier.is_some() || !before.contains_key(&scene.to) {
                before.insert(scene.to, message.clone());
            }
            Some(vec![earlier?, message.clone()])
        }
        _ => None,
    })
}

/// Descriptors with keys out of place, to one server, around the right one.
fn two_descriptors() -> Trick {
    Box::new(|_, message| match message {
        Message::DescriptorProposal(proposal) => {
            let turned = |by: usize| {
                let mut other = proposal.clone();
                for (index, hop) in other.keys.iter_mut().enumerate() {
                    hop.public = proposal.keys[(index + by) % proposal.keys.len()].public;
                }
                Message::DescriptorProposal(other)
            };
            Some(vec![turned(1), message.clone(), turned(2)])
        }
        _ => None,
    })
}

/// The coordinator says that all have confirmed, in the words of a server.
fn false_confirmations() -> Trick {
    Box::new(|scene, message| {
        let Message::Submissions(Submissions { stage, .. }) = message else { return None };
        let server = ServerId(u16::from(scene.to == Party::Server(ServerId(0))));
        let vector = Digest([7; 32]);
        let signed = statement::confirmation(scene.known.digest(stage.round), stage.layer, &vector);
        // Even with a stolen signature, it is the wrong mouth.
        let signature = scene.known.key(server).sign(&signed);
        let said = hippodrome_core::message::Confirmation { round: stage.round, layer: stage.layer, vector, signature };
        Some(vec![Message::Confirmation(said), message.clone()])
    })
}

/// A flipped byte in a client's submission, besides the right one: it is no submission.
fn altered_submission() -> Trick {
    Box::new(|scene, message| {
        let Message::Submissions(all) = message else { return None };
        let width = scene.known.sizes.submission;
        let mut altered = all.submissions.get(..width)?.to_vec();
        altered[width / 2] ^= 1;
        let submissions = [altered.as_slice(), &all.submissions].concat();
        Some(vec![Message::Submissions(Submissions { submissions, ..*all })])
    })
}

/// Every part of the submissions twice: it is taken once.
fn repeated_parts() -> Trick {
    Box::new(|_, message| match message {
        Message::Submissions(_) => Some(vec![message.clone(), message.clone()]),
        _ => None,
    })
}

/// A part that others follow does not come: the chain has no input.
fn withheld_part() -> Trick {
    Box::new(|_, message| match message {
        Message::Submissions(Submissions { is_last: false, .. }) => Some(Vec::new()),
        _ => None,
    })
}

/// All but one of the clients' submissions are left out: n − 1.
fn hidden_submissions() -> Trick {
    Box::new(|scene, message| {
        let Message::Submissions(all) = message else { return None };
        let sizes = &scene.known.sizes;
        let is_client = |record: &[u8]| {
            Submission::decode(sizes, record)
                .is_ok_and(|submission| matches!(submission.author, hippodrome_core::ids::Author::Client(_)))
        };
        let mut left = 1;
        let kept = all.submissions.chunks_exact(sizes.submission).filter(|record| {
            let stays = !is_client(record) || left > 0;
            left -= u32::from(stays && is_client(record));
            stays
        });
        let submissions: Vec<u8> = kept.flatten().copied().collect();
        let hidden = submissions.len() < all.submissions.len();
        hidden.then(|| vec![Message::Submissions(Submissions { submissions, ..*all })])
    })
}
