//! One message of every kind, with different contents in every field, for tests.

use std::sync::Arc;

use hippodrome_core::{
    audit::OpeningCase,
    claim::NoiseCase,
    evidence::{
        BadPledge, BadProof, Case, Evidence, ParcelPlace, RosterRecord, Showing, ShownEntry, ShownRecord,
        SignedStatement, Source, Statement, Traced, Unlinked,
    },
    ids::{ChainId, Layer, Place, Position, RosterId, Round, ServerId, Stage},
    message::{
        Abort, AbortReason, Accusation, AgreedInput, Amendment, AmendmentProposal, AmendmentSignature, AmendmentStart,
        Announcement, Awaited, Batch, BatchCommitment, Charge, Coin, CoinShare, Confirmation, DescriptorProposal,
        DescriptorSignature, EpochPlan, EpochProposal, EpochSignature, EpochStart, Ground, Hello, InputCommitment,
        InputOffer, InputRoot, InputSignature, Keys, KeysCall, Message, Missing, Noise, NoiseAnswer, NoiseClaim,
        NoiseOpening, NoiseReceipt, NoiseReplies, Parcel, ParcelCommitment, Peers, Proof, ProvenHopKeys, Receipts,
        Replaced, Replies, ReplyAnswer, ReplyClaim, ReplySource, Report, Return, ReturnCommitment, SeedCall,
        SeedCommitment, SeedCommitments, SeedReveal, ShareCall, ShownPart, ShownReturn, ShownSubmission, SignedBatch,
        SignedParcel, SignedReturn, Standing, Strike, Submissions, TraceStep,
    },
    participant::Inclusion,
    pledge::NoisePledge,
    reply::{EnteredInput, ReplyCase},
};
use hippodrome_crypto::{
    equality::EqualityProof,
    group::{Element, SecretScalar},
    hash::Digest,
    hop::HopSecret,
    knowledge::Knowledge,
    merkle::{InclusionProof, RangeProof},
    signing::{PublicKey, Signature, SigningKey},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// Draws contents.
pub(crate) struct Sampler(ChaCha20Rng);

impl Sampler {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn array<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn digest(&mut self) -> Digest {
        Digest(self.array())
    }

    pub(crate) fn signature(&mut self) -> Signature {
        Signature(self.array())
    }

    pub(crate) fn signatures(&mut self, count: usize) -> Vec<Signature> {
        (0..count).map(|_| self.signature()).collect()
    }

    pub(crate) fn public_key(&mut self) -> PublicKey {
        SigningKey::generate(&mut self.0).public()
    }

    pub(crate) fn element(&mut self) -> Element {
        SecretScalar::random(&mut self.0).multiply(&Element::base())
    }

    pub(crate) fn proven(&mut self) -> ProvenHopKeys {
        let context = self.digest();
        let (_, public, proof) = HopSecret::generate(&Element::base(), &context, &mut self.0);
        ProvenHopKeys { layer: Layer(1), chain: ChainId(0x203), position: Position(4), public, proof }
    }

    fn stage(&mut self) -> Stage {
        Stage { round: Round(self.0.next_u64()), layer: Layer(2), chain: ChainId(700) }
    }

    fn place(&mut self) -> Place {
        Place { stage: self.stage(), position: Position(9) }
    }

    fn input(&mut self) -> InputCommitment {
        InputCommitment {
            stage: self.stage(),
            count: 77,
            root: self.digest(),
            keys: self.digest(),
            entries: self.digest(),
            fingerprints: self.digest(),
            left_out: self.digest(),
        }
    }

    fn claim(&mut self) -> NoiseClaim {
        let path = InclusionProof(vec![self.digest(), self.digest()]);
        NoiseClaim {
            claimant: ServerId(21),
            record: ShownSubmission {
                stage: self.stage(),
                input: self.digest(),
                index: 22,
                body: self.bytes(308),
                path,
            },
            exponents: (0..2).map(|_| SecretScalar::random(&mut self.0).show()).collect(),
            lacking: self.digest(),
            signature: self.signature(),
        }
    }

    pub(crate) fn inclusion(&mut self) -> Inclusion {
        Inclusion {
            input: self.input(),
            signatures: self.signatures(3),
            start: 26,
            branch: RangeProof(vec![self.digest(), self.digest()]),
        }
    }

    fn shown_output(&mut self) -> ShownPart {
        ShownPart::Batch {
            signed: SignedBatch { batch: self.batch_commitment(), signature: self.signature() },
            index: 27,
            body: self.digest(),
            path: InclusionProof(vec![self.digest(), self.digest()]),
        }
    }

    fn noise_case(&mut self, trail: Option<Traced>) -> NoiseCase {
        NoiseCase {
            claim: self.claim(),
            inputs: (0..2).map(|_| AgreedInput { input: self.input(), signatures: self.signatures(3) }).collect(),
            fingerprints: self.bytes(12),
            left_out: vec![self.element()],
            shown: vec![self.shown_output()],
            trail,
        }
    }

    fn receipt_messages(&mut self) -> Vec<Message> {
        let parcel = Parcel {
            source: self.stage(),
            destination: ChainId(23),
            root: self.digest(),
            origin: self.digest(),
            batch: Some(SignedBatch { batch: self.batch_commitment(), signature: self.signature() }),
            signature: self.signature(),
            records: self.bytes(309),
        };
        let arrived = ShownPart::Input { stage: self.stage(), index: 24, path: InclusionProof(vec![self.digest()]) };
        let put_out = self.shown_output();
        let answer = |sampler: &mut Self, shown| Message::NoiseAnswer(NoiseAnswer { claim: sampler.claim(), shown });
        vec![
            Message::NoiseReceipt(NoiseReceipt {
                stage: self.stage(),
                start: 25,
                branch: RangeProof(vec![self.digest(), self.digest(), self.digest()]),
            }),
            Message::Receipts(Receipts {
                input: self.input(),
                signatures: self.signatures(3),
                records: self.bytes(4 * 39),
            }),
            Message::NoiseClaim(self.claim()),
            answer(self, arrived),
            answer(self, put_out),
            answer(self, ShownPart::Parcel(parcel)),
        ]
    }

    fn return_commitment(&mut self, to: Option<ChainId>) -> ReturnCommitment {
        ReturnCommitment {
            place: self.place(),
            to,
            count: 55,
            root: self.digest(),
            answers: self.digest(),
            sealed: self.digest(),
        }
    }

    fn signed_return(&mut self, to: Option<ChainId>) -> SignedReturn {
        SignedReturn { replies: self.return_commitment(to), signature: self.signature() }
    }

    /// One that is there, of the round of what was made from it, and one that was replaced.
    fn return_sources(&mut self, made: &SignedReturn) -> Vec<ReplySource> {
        let mut source = self.signed_return(Some(ChainId(0x908)));
        source.replies.place.stage.round = made.replies.place.stage.round;
        vec![ReplySource::Returned(source), ReplySource::Replaced(source.signature)]
    }

    fn shown_return(&mut self) -> ShownReturn {
        ShownReturn {
            signed: self.signed_return(None),
            sources: vec![None, Some(self.digest())],
            index: 29,
            record_path: self.path(2),
            reply: self.digest(),
            path: self.path(3),
        }
    }

    fn reply_claim(&mut self) -> ReplyClaim {
        let NoiseClaim { claimant, record, exponents, signature, .. } = self.claim();
        ReplyClaim { claimant, record, exponents, shown: self.shown_return(), reply: self.bytes(310), signature }
    }

    fn reply_case(&mut self) -> ReplyCase {
        let agreed = AgreedInput { input: self.input(), signatures: self.signatures(3) };
        let entered = Some(EnteredInput { agreed, left_out: vec![self.element()] });
        ReplyCase { claim: self.reply_claim(), entered, shown: vec![self.shown_return()] }
    }

    fn reply_messages(&mut self) -> Vec<Message> {
        let returned = |sampler: &mut Self, to| {
            let signed = sampler.signed_return(to);
            Message::Return(Return { signed, sources: sampler.return_sources(&signed), replies: sampler.bytes(305) })
        };
        let signed = self.signed_return(None);
        vec![
            returned(self, None),
            returned(self, Some(ChainId(8))),
            Message::Replaced(Replaced { place: self.place(), from: self.place(), signature: self.signature() }),
            Message::NoiseReplies(NoiseReplies {
                signed,
                sources: self.return_sources(&signed),
                branch: RangeProof(vec![self.digest(), self.digest()]),
                replies: self.bytes(306),
            }),
            Message::ReplyClaim(self.reply_claim()),
            Message::ReplyAnswer(ReplyAnswer { claim: self.reply_claim(), shown: self.shown_return() }),
        ]
    }

    fn batch_commitment(&mut self) -> BatchCommitment {
        BatchCommitment {
            place: self.place(),
            count: 88,
            root: self.digest(),
            keys: self.digest(),
            source: self.digest(),
            source_keys: self.digest(),
            removed: self.digest(),
        }
    }

    /// A batch whose records are `length` bytes.
    pub(crate) fn batch(&mut self, length: usize) -> Message {
        let (batch, signature) = (self.batch_commitment(), self.signature());
        Message::Batch(Batch { batch, signature, records: self.bytes(length) })
    }

    /// A small message.
    pub(crate) fn confirmation(&mut self, round: u64) -> Message {
        let (vector, signature) = (self.digest(), self.signature());
        Message::Confirmation(Confirmation { round: Round(round), layer: Layer(1), vector, signature })
    }

    pub(crate) fn abort(&mut self, reason: AbortReason) -> Message {
        Message::Abort(Abort { stage: self.stage(), reason, signature: self.signature() })
    }

    fn signed_by(&mut self, count: u16) -> Vec<(ServerId, Signature)> {
        (0..count).map(|server| (ServerId(3 * server + 1), self.signature())).collect()
    }

    fn plan(&mut self, number: u64, registry: Vec<PublicKey>) -> EpochPlan {
        let standing = |strikes| Standing { strikes, out_until_ms: 1_800_000_000_000 + self.0.next_u64() % 1000 };
        EpochPlan {
            number,
            registry,
            first_round: Round(10 + number),
            start_ms: 1_800_000_000_000 + number,
            live: vec![ServerId(1), ServerId(0x203)],
            standings: [0, 1, 0x405].map(standing).to_vec(),
        }
    }

    /// An epoch with `clients` clients, all with the same key.
    pub(crate) fn epoch_start(&mut self, clients: usize) -> EpochStart {
        let registry = vec![self.public_key(); clients];
        EpochStart {
            plan: self.plan(9, registry),
            shares: vec![self.array(), self.array()],
            signatures: self.signed_by(3),
        }
    }

    fn amendment() -> Amendment {
        let grounds = [Ground::Silent, Ground::Aborted, Ground::Convicted];
        let strike = |(server, ground)| Strike { server: ServerId(server), ground };
        Amendment { epoch: 5, number: 6, struck: [2, 0x304, 0x506].into_iter().zip(grounds).map(strike).collect() }
    }

    pub(crate) fn amendment_start(&mut self) -> AmendmentStart {
        AmendmentStart { amendment: Self::amendment(), signatures: self.signed_by(2) }
    }

    fn amendment_messages(&mut self) -> Vec<Message> {
        let roster = RosterId { epoch: 7, amendment: 8 };
        vec![
            Message::AmendmentProposal(AmendmentProposal { amendment: Self::amendment() }),
            Message::AmendmentSignature(AmendmentSignature { roster, signature: self.signature() }),
            Message::AmendmentStart(self.amendment_start()),
        ]
    }

    fn epoch_messages(&mut self) -> Vec<Message> {
        let registry = (0..3).map(|_| self.public_key()).collect();
        let commitments = (0..3).map(|_| (self.digest(), self.signature())).collect();
        vec![
            Message::Hello(Hello {
                address: "mix1.example.org:7001".to_owned(),
                roster: RosterId { epoch: 3, amendment: 1 },
            }),
            Message::Peers(Peers { addresses: vec!["127.0.0.1:1".to_owned(), "[::1]:65535".to_owned()] }),
            Message::SeedCall(SeedCall { plan: self.plan(3, registry) }),
            Message::SeedCommitment(SeedCommitment {
                epoch: 4,
                commitment: self.digest(),
                signature: self.signature(),
            }),
            Message::SeedCommitments(SeedCommitments { epoch: 5, commitments }),
            Message::SeedReveal(SeedReveal { epoch: 6, share: self.array() }),
            Message::EpochProposal(EpochProposal { epoch: 7, shares: vec![self.array(), self.array()] }),
            Message::EpochSignature(EpochSignature { epoch: 8, signature: self.signature() }),
            Message::EpochStart(self.epoch_start(2)),
        ]
    }

    fn key_messages(&mut self) -> Vec<Message> {
        let upstream = vec![self.proven(), self.proven()];
        let roster = RosterId { epoch: 3, amendment: 4 };
        vec![
            Message::KeysCall(KeysCall { round: Round(10), roster, position: Position(2), upstream }),
            Message::Keys(Keys { round: Round(11), position: Position(3), keys: vec![self.proven()], pledge: None }),
            Message::DescriptorProposal(DescriptorProposal {
                round: Round(12),
                roster,
                keys: vec![self.proven()],
                pledges: Vec::new(),
            }),
            Message::DescriptorSignature(DescriptorSignature { round: Round(13), signature: self.signature() }),
            Message::Announcement(Announcement { round: Round(14), signatures: self.signatures(2) }),
        ]
    }

    fn input_messages(&mut self) -> Vec<Message> {
        vec![
            Message::Noise(Noise { stage: self.stage(), submissions: self.bytes(300) }),
            Message::Submissions(Submissions {
                stage: self.stage(),
                part: 3,
                is_last: true,
                submissions: self.bytes(301),
            }),
            Message::InputOffer(InputOffer {
                input: self.input(),
                signature: self.signature(),
                entries: self.bytes(302),
                left_out: self.bytes(33),
            }),
            Message::InputSignature(InputSignature { stage: self.stage(), signature: self.signature() }),
            Message::InputRoot(InputRoot {
                input: self.input(),
                signatures: self.signatures(3),
                fingerprints: self.bytes(20),
                left_out: vec![self.element(), self.element()],
            }),
            self.confirmation(15),
        ]
    }

    fn mixing_messages(&mut self) -> Vec<Message> {
        let keys = (0..3).map(|_| self.element()).collect();
        vec![
            self.batch(303),
            Message::Proof(Proof {
                batch: self.batch_commitment(),
                signature: self.signature(),
                source: Some(SignedBatch { batch: self.batch_commitment(), signature: self.signature() }),
                keys,
                proof: self.bytes(99),
                proof_signature: self.signature(),
            }),
            Message::Parcel(Parcel {
                source: self.stage(),
                destination: ChainId(6),
                root: self.digest(),
                origin: self.digest(),
                batch: Some(SignedBatch { batch: self.batch_commitment(), signature: self.signature() }),
                signature: self.signature(),
                records: self.bytes(304),
            }),
            Message::Replies(Replies { stage: self.stage(), replies: self.bytes(307) }),
            Message::Report(Report { round: Round(16), hops_verified: 17, mixing_ms: 18 }),
        ]
    }

    fn equality_proof(&mut self) -> EqualityProof {
        let mut bytes = self.array();
        // Scalars below the group's order.
        (bytes[31], bytes[63]) = (0, 0);
        EqualityProof::parse(&bytes).expect("canonical scalars")
    }

    fn path(&mut self, length: usize) -> InclusionProof {
        InclusionProof((0..length).map(|_| self.digest()).collect())
    }

    fn signed_batch(&mut self) -> SignedBatch {
        SignedBatch { batch: self.batch_commitment(), signature: self.signature() }
    }

    fn parcel_commitment(&mut self) -> ParcelCommitment {
        ParcelCommitment {
            source: self.stage(),
            destination: ChainId(7),
            count: 66,
            root: self.digest(),
            origin: self.digest(),
        }
    }

    /// One of every source of records.
    fn sources(&mut self) -> [Source; 3] {
        let input = |sampler: &mut Self| AgreedInput { input: sampler.input(), signatures: sampler.signatures(3) };
        let entries = (0..2).map(|length| ShownEntry { entry: self.bytes(20), path: self.path(length) }).collect();
        let place = |sampler: &mut Self, parcel| ParcelPlace {
            parcel,
            index: 0x1020304,
            knowledge: Knowledge::from_bytes(sampler.array()),
            path: sampler.path(2),
        };
        let parcels =
            (0..2).map(|_| SignedParcel { parcel: self.parcel_commitment(), signature: self.signature() }).collect();
        let records = vec![place(self, 1), place(self, 0x203)];
        [
            Source::Batch(self.signed_batch()),
            Source::Submissions { input: input(self), entries },
            Source::Parcels { input: input(self), parcels, records },
        ]
    }

    fn showing(&mut self, source: Source) -> Showing {
        let record =
            |length: u32| ShownRecord { index: 9 + length, record: self.bytes(40), path: self.path(length as usize) };
        Showing { source, records: (0..2).map(record).collect() }
    }

    fn accusation(&mut self, source: Source) -> Accusation {
        Accusation {
            place: self.place(),
            shown: self.showing(source),
            shared: vec![self.element(), self.element()],
            shared_proof: self.equality_proof(),
            malformed: vec![(1, self.element())],
            blinded_proof: self.equality_proof(),
            signature: self.signature(),
        }
    }

    fn trace_step(&mut self, source: Source) -> TraceStep {
        TraceStep {
            accusation: self.digest(),
            place: self.place(),
            shown: self.showing(source),
            shared: vec![self.element(), self.element()],
            shared_proof: self.equality_proof(),
            blinded: vec![self.element(), self.element()],
            blinded_proof: self.equality_proof(),
            signature: self.signature(),
        }
    }

    fn statements(&mut self) -> Vec<Statement> {
        vec![
            Statement::Input(self.input()),
            Statement::Confirmation { layer: Layer(3), vector: self.digest() },
            Statement::Batch(self.batch_commitment()),
            Statement::Parcel(self.parcel_commitment()),
            Statement::Return(self.return_commitment(None)),
            Statement::Return(self.return_commitment(Some(ChainId(8)))),
            Statement::Accusation { place: self.place(), content: self.digest() },
            Statement::Claim { content: self.digest() },
        ]
    }

    /// One of every kind of evidence, and equivocations of every kind of statement.
    pub(crate) fn evidence(&mut self) -> Vec<Evidence> {
        let [batch, submissions, parcels] = self.sources();
        let traced = |sampler: &mut Self| Traced {
            accusation: Arc::new(sampler.accusation(batch.clone())),
            steps: vec![
                Arc::new(sampler.trace_step(parcels.clone())),
                Arc::new(sampler.trace_step(submissions.clone())),
            ],
        };
        let mut evidence = vec![
            Evidence::Unlinked(Box::new(Unlinked {
                input: self.input(),
                signature: self.signature(),
                batch: self.signed_batch(),
            })),
            Evidence::FalseAccusation(Arc::new(self.accusation(submissions.clone()))),
            Evidence::WrongStep(traced(self)),
            Evidence::Trail(traced(self)),
            Evidence::Noise(Box::new(self.noise_case(None))),
            Evidence::Reply(Box::new(self.reply_case())),
        ];
        let trail = traced(self);
        evidence.push(Evidence::Noise(Box::new(self.noise_case(Some(trail)))));
        for message in self.input_messages().into_iter().chain(self.mixing_messages()) {
            match message {
                Message::InputOffer(offer) => evidence.push(Evidence::BadInput(Box::new(offer))),
                Message::Batch(batch) => evidence.push(Evidence::BadBatch(Box::new(batch))),
                Message::Parcel(parcel) => evidence.push(Evidence::BadParcel(Box::new(parcel))),
                Message::Proof(proof) => {
                    let inputs = vec![self.element()];
                    evidence.push(Evidence::BadProof(Box::new(BadProof { proof, inputs })));
                }
                _ => {}
            }
        }
        for statement in self.statements() {
            let signed = |sampler: &mut Self| SignedStatement {
                signer: ServerId(0x102),
                statement,
                signature: sampler.signature(),
            };
            evidence.push(Evidence::Equivocation(Box::new([signed(self), signed(self)])));
        }
        evidence.push(Evidence::BadPledge(Box::new(BadPledge { server: ServerId(3), pledge: pledge(1) })));
        let mut sampler = Self::new(7);
        let opening = sampler.opening();
        let confirmed = (vec![sampler.input(), sampler.input()], Some(sampler.signature()));
        for (inputs, confirmation) in [confirmed, (Vec::new(), None)] {
            let case = OpeningCase { opening: opening.clone(), pledge: pledge(7), inputs, confirmation };
            evidence.push(Evidence::FalseOpening(Box::new(case)));
        }
        evidence
    }

    /// A case with some evidence.
    pub(crate) fn case(&mut self, evidence: Evidence) -> Case {
        let public = self.proven().public;
        Case {
            record: RosterRecord { epoch: self.epoch_start(2), amendment: Some(self.amendment_start()) },
            round: Round(19),
            keys: vec![vec![vec![public, public], vec![]], vec![vec![], vec![public]]],
            pledges: vec![pledge(2).digest(), pledge(3).digest()],
            signatures: self.signatures(2),
            evidence: Arc::new(evidence),
        }
    }

    fn blame_messages(&mut self) -> Vec<Message> {
        let [batch, submissions, parcels] = self.sources();
        let evidence = Arc::new(self.evidence().remove(0));
        vec![
            Message::Accusation(self.accusation(batch)),
            Message::TraceStep(self.trace_step(submissions)),
            Message::TraceStep(self.trace_step(parcels)),
            Message::Charge(Charge { round: Round(20), evidence }),
        ]
    }

    /// One message of every kind, and an abort for every reason.
    pub(crate) fn every_kind(&mut self) -> Vec<Message> {
        let mut messages = self.epoch_messages();
        messages.extend(self.key_messages());
        messages.extend(self.input_messages());
        messages.extend(self.mixing_messages());
        messages.extend(abort_reasons().map(|reason| self.abort(reason)));
        messages.extend(self.amendment_messages());
        messages.extend(self.receipt_messages());
        messages.extend(self.blame_messages());
        messages.extend(self.reply_messages());
        messages.extend(self.pledge_messages());
        messages
    }

    fn pledge_messages(&mut self) -> Vec<Message> {
        let (roster, keys) = (RosterId { epoch: 6, amendment: 1 }, vec![self.proven()]);
        vec![
            Message::Keys(Keys {
                round: Round(61),
                position: Position(0),
                keys: keys.clone(),
                pledge: Some(pledge(4)),
            }),
            Message::DescriptorProposal(DescriptorProposal {
                round: Round(62),
                roster,
                keys,
                pledges: vec![pledge(5), pledge(6)],
            }),
            Message::ShareCall(ShareCall { round: Round(63) }),
            Message::CoinShare(CoinShare { round: Round(64), share: self.array() }),
            Message::Coin(Coin { round: Round(65), shares: vec![self.array(), self.array()] }),
            Message::NoiseOpening(self.opening()),
        ]
    }
}

impl Sampler {
    fn opening(&mut self) -> NoiseOpening {
        NoiseOpening {
            round: Round(66),
            server: ServerId(5),
            seed: self.array(),
            branches: vec![RangeProof(vec![self.digest(), self.digest()]), RangeProof(Vec::new())],
            signature: self.signature(),
        }
    }
}

fn pledge(byte: u8) -> NoisePledge {
    NoisePledge { coin: Digest([byte; 32]), pledge: vec![byte; 100] }
}

fn abort_reasons() -> impl Iterator<Item = AbortReason> {
    let awaited = [
        Awaited::Input,
        Awaited::InputSignatures,
        Awaited::Receipt,
        Awaited::Inputs,
        Awaited::Confirmations,
        Awaited::Batch,
        Awaited::Proofs,
        Awaited::Replies,
        Awaited::Answer,
        Awaited::Trail,
    ];
    let others = [
        AbortReason::BadMessage(ServerId(1)),
        AbortReason::BadProof(ServerId(2)),
        AbortReason::Convicted(ServerId(3)),
        AbortReason::Equivocation(ServerId(u16::MAX)),
        AbortReason::LayerDidNotOpen,
        AbortReason::ActedBefore,
        AbortReason::Storage,
        AbortReason::NoiseLeftOut(ServerId(4)),
        AbortReason::BadReceipt(ServerId(5)),
        AbortReason::NoiseMissing,
        AbortReason::DroppedNoise(ServerId(6)),
        AbortReason::FalseClaim(ServerId(7)),
        AbortReason::Unproven,
    ];
    let from = Missing { what: Awaited::Batch, from: Some(ServerId(4)) };
    let missing = awaited.into_iter().map(Missing::from).chain([from]);
    missing.map(AbortReason::Deadline).chain(others)
}
