//! What clients and servers send into an input chain: an onion through every layer, with a signature of knowledge for
//! each key, signed by its author.

use hippodrome_crypto::{
    group::{DecodeError, Element, SecretScalar, ShownScalar},
    hash::{Digest, Hasher},
    knowledge::{Claim, KNOWLEDGE_LEN, Knowledge},
    merkle::{self, body_hash},
    onion::{BrokenReply, ReplyKeys, wrap},
    permutation::below,
    signing::{PublicKey, Signature, SigningKey},
};
use rand_core::CryptoRng;

use crate::{
    descriptor::RoundView,
    directory::Directory,
    ids::{Author, ChainId, ClientId, Layer, ServerId},
    roster::Roster,
    wire::{AUTHOR_LEN, CHAIN_LEN, DIGEST_LEN, FRAME_LEN, MAILBOX_LEN, SIGNATURE_LEN, SLOT_LEN, Sizes},
};

/// One access to one mailbox: where to, and what is left there for whoever meets it.
#[derive(Clone)]
pub struct Access {
    /// The mailbox.
    pub mailbox: [u8; MAILBOX_LEN],
    /// The sealed frame.
    pub content: [u8; FRAME_LEN],
}

/// A submission that parses; whether its signatures hold is another matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Who wrote it.
    pub author: Author,
    /// The slot of its author.
    pub slot: u16,
    /// The key at the first hop.
    pub key: Element,
    /// The body at the first hop.
    pub body: Vec<u8>,
    /// Knowledge of the key's exponent, for this submission.
    pub knowledge: Knowledge,
    /// The author's signature.
    pub signature: Signature,
}

/// Why bytes are not a submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    /// The record has the wrong length.
    #[error("a submission of this network has {expected} bytes, not {got}")]
    Length {
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// The author is neither a client nor a server.
    #[error("the author of a submission is a client (0) or a server (1), not {0}")]
    AuthorKind(u8),
    /// There is no such author, or it is struck.
    #[error("{0} does not take part in this round")]
    UnknownAuthor(Author),
    /// The slot does not exist.
    #[error("slot {0} is outside what this author may send in a round")]
    Slot(u16),
    /// The author submits elsewhere.
    #[error("this author submits to {expected}, not to {got}")]
    WrongChain {
        /// The author's input chain.
        expected: ChainId,
        /// The chain submitted to.
        got: ChainId,
    },
    /// The key is no good.
    #[error("the key of a submission: {0}")]
    Key(#[from] DecodeError),
    /// The author's signature does not hold.
    #[error("the author's signature does not hold for this round, chain and slot")]
    Signature,
}

impl Submission {
    /// Parses a record.
    pub fn decode(sizes: &Sizes, record: &[u8]) -> Result<Self, SubmissionError> {
        if record.len() != sizes.submission {
            return Err(SubmissionError::Length { expected: sizes.submission, got: record.len() });
        }
        let mut fields = Fields(record);
        let author = decode_author(fields.array())?;
        let slot = u16::from_le_bytes(fields.array());
        let key = Element::decode(&fields.array())?;
        let body = fields.take(sizes.body(0, 0)).to_vec();
        let knowledge = Knowledge::from_bytes(fields.array::<KNOWLEDGE_LEN>());
        let signature = Signature(fields.array::<SIGNATURE_LEN>());
        Ok(Self { author, slot, key, body, knowledge, signature })
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let parts: [&[u8]; 6] = [
            &encode_author(self.author),
            &self.slot.to_le_bytes(),
            self.key.encoded(),
            &self.body,
            &self.knowledge.to_bytes(),
            &self.signature.0,
        ];
        parts.concat()
    }

    /// Checks author, slot, chain and the author's signature, not the signature of knowledge. Gives the body's hash, which the
    /// author has signed.
    pub fn check_author(
        &self,
        directory: &Directory,
        roster: &Roster,
        descriptor: &Digest,
        chain: ChainId,
    ) -> Result<Digest, SubmissionError> {
        let origin = Origin { author: self.author, slot: self.slot };
        let key = origin.check(directory, roster, chain)?;
        let body = body_hash(&self.body);
        let statement = origin.signed(descriptor, chain, key, &self.key, &body, &self.knowledge);
        key.verify(&statement, &self.signature).map(|()| body).map_err(|_| SubmissionError::Signature)
    }
}

/// Who may have sent a record into layer 0, and as which of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) author: Author,
    pub(crate) slot: u16,
}

impl Origin {
    /// The author's key, if it exists, takes part, has that slot and submits to that chain.
    pub(crate) fn check<'a>(
        &self,
        directory: &'a Directory,
        roster: &'a Roster,
        chain: ChainId,
    ) -> Result<&'a PublicKey, SubmissionError> {
        let unknown = SubmissionError::UnknownAuthor(self.author);
        let key = roster.epoch().author_key(directory, self.author).ok_or(unknown.clone())?;
        if let Author::Server(server) = self.author
            && !roster.is_active(server)
        {
            return Err(unknown);
        }
        let slots = match self.author {
            Author::Client(_) => u32::from(directory.params().slots),
            Author::Server(_) => roster.noise_per_chain(),
        };
        if u32::from(self.slot) >= slots {
            return Err(SubmissionError::Slot(self.slot));
        }
        if let Author::Client(_) = self.author {
            let expected = roster.input_chain(key).ok_or(unknown)?;
            if expected != chain {
                return Err(SubmissionError::WrongChain { expected, got: chain });
            }
        }
        Ok(key)
    }

    /// What the signature of knowledge of a key in layer 0 is for.
    pub(crate) fn context(
        &self,
        descriptor: &Digest,
        chain: ChainId,
        author: &PublicKey,
        key: &Element,
        body: &Digest,
    ) -> Digest {
        Hasher::new("hippodrome v1 submission")
            .digest(descriptor)
            .number(chain.0.into())
            .bytes(author.as_bytes())
            .number(self.slot.into())
            .bytes(key.encoded())
            .digest(body)
            .finish()
    }

    /// What the author signs.
    pub(crate) fn signed(
        &self,
        descriptor: &Digest,
        chain: ChainId,
        author: &PublicKey,
        key: &Element,
        body: &Digest,
        knowledge: &Knowledge,
    ) -> Digest {
        Hasher::new("hippodrome v1 submission signature")
            .digest(&self.context(descriptor, chain, author, key, body))
            .bytes(&knowledge.to_bytes())
            .finish()
    }
}

/// What the signature of knowledge of a key in a later layer is for: nothing of the client.
pub(crate) fn inner_context(
    descriptor: &Digest,
    layer: Layer,
    source: ChainId,
    destination: ChainId,
    key: &Element,
    body: &Digest,
) -> Digest {
    Hasher::new("hippodrome v1 inner onion")
        .digest(descriptor)
        .number(layer.0.into())
        .number(source.0.into())
        .number(destination.0.into())
        .bytes(key.encoded())
        .digest(body)
        .finish()
}

/// What the last server of a chain finds in a layer that is not the last: the next chain and a record for it.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded {
    pub(crate) destination: ChainId,
    pub(crate) record: ParcelRecord,
}

impl Forwarded {
    /// Parses a payload; `layer` is the layer that it goes to.
    pub(crate) fn decode(sizes: &Sizes, layer: Layer, payload: &[u8]) -> Option<Self> {
        let (destination, record) = payload.split_first_chunk::<CHAIN_LEN>()?;
        let destination = ChainId(u16::from_le_bytes(*destination));
        Some(Self { destination, record: ParcelRecord::decode(sizes, layer, record)? })
    }

    /// The payload.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.destination.0.to_le_bytes().as_slice(), &self.record.encode()].concat()
    }
}

/// A record on its way between layers: key, signature of knowledge, body.
#[derive(Clone, Debug)]
pub(crate) struct ParcelRecord {
    pub(crate) key: Element,
    pub(crate) knowledge: Knowledge,
    pub(crate) body: Vec<u8>,
}

impl ParcelRecord {
    /// Parses a record of a parcel into `layer`.
    pub(crate) fn decode(sizes: &Sizes, layer: Layer, record: &[u8]) -> Option<Self> {
        if record.len() != sizes.parcel_record(layer.0.into()) {
            return None;
        }
        let mut fields = Fields(record);
        let key = Element::decode(&fields.array()).ok()?;
        let knowledge = Knowledge::from_bytes(fields.array::<KNOWLEDGE_LEN>());
        Some(Self { key, knowledge, body: fields.0.to_vec() })
    }

    /// The record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.key.encoded().as_slice(), &self.knowledge.to_bytes(), &self.body].concat()
    }

    /// The record's leaf under its parcel's root: key, then hash of the rest.
    pub(crate) fn leaf(&self) -> Digest {
        let rest = [self.knowledge.to_bytes().as_slice(), &self.body].concat();
        merkle::leaf(self.key.encoded(), &body_hash(&rest))
    }

    /// What must hold for the record to be let into a chain of `layer`.
    pub(crate) fn claim(&self, descriptor: &Digest, layer: Layer, source: ChainId, destination: ChainId) -> Claim {
        let context = inner_context(descriptor, layer, source, destination, &self.key, &body_hash(&self.body));
        Claim { public: self.key, context, proof: self.knowledge }
    }
}

/// The keys for the reply to one submission: for each layer, outermost first. Secret, used once.
pub struct ReplyRoute(Vec<ReplyKeys>);

/// What opens one submission: the exponent of its key in every layer, with key and chain. Secret, as long as its author
/// has no claim to make; wiped on drop.
pub struct Opening(Vec<OpenedLayer>);

struct OpenedLayer {
    chain: ChainId,
    key: Element,
    exponent: SecretScalar,
}

impl Opening {
    /// The chain of a layer that the record goes through, and its key when it enters. Panics on a layer that the network
    /// does not have.
    pub fn entry(&self, layer: Layer) -> (ChainId, &Element) {
        let OpenedLayer { chain, key, .. } = &self.0[usize::from(layer.0)];
        (*chain, key)
    }

    /// Gives up the exponents of the layers before `layer`, for everybody to see.
    pub fn show_before(&self, layer: Layer) -> Vec<ShownScalar> {
        self.0.iter().take(layer.0.into()).map(|opened| opened.exponent.show()).collect()
    }
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opening(..)")
    }
}

/// A submission with what its author keeps of it.
pub struct Composed {
    /// What is sent.
    pub submission: Submission,
    /// What opens the reply.
    pub route: ReplyRoute,
    /// What opens the submission itself.
    pub opening: Opening,
}

/// A reply that broke on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply broke in {layer} at position {position}")]
pub struct ReplyBroken {
    /// Layer of the hop at which it no longer opened.
    pub layer: Layer,
    /// Position of that hop.
    pub position: u8,
}

impl std::fmt::Debug for ReplyRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplyRoute(..)")
    }
}

impl ReplyRoute {
    /// Opens a reply layer by layer.
    pub fn open(self, reply: &[u8]) -> Result<[u8; FRAME_LEN], ReplyBroken> {
        let mut bytes = reply.to_vec();
        let layers = self.0.len();
        for (layer, keys) in self.0.into_iter().enumerate() {
            let layer = Layer(layer as u8);
            bytes = keys.open(&bytes).map_err(|BrokenReply { position }| ReplyBroken { layer, position })?;
        }
        let innermost = ReplyBroken { layer: Layer(layers as u8 - 1), position: 0 };
        bytes.try_into().map_err(|_| innermost)
    }
}

/// Composes submissions: what a client needs to know of a round, and who it is.
pub struct Composer<'a> {
    /// The round's keys.
    pub view: &'a RoundView,
    /// The author.
    pub author: Author,
    /// The author's key.
    pub key: &'a SigningKey,
}

impl Composer<'_> {
    /// Wraps one access for one slot. The output chain follows from the mailbox; a middle chain is drawn.
    pub fn compose<R: CryptoRng>(&self, slot: u16, access: &Access, rng: &mut R) -> Composed {
        let Wrapped { body, route, opening } = Wrapped::new(self.view, access, rng);
        let OpenedLayer { key, exponent, .. } = &opening.0[0];
        let submission = self.sign(slot, *key, body, exponent, rng);
        Composed { submission, route, opening }
    }

    /// Signs an onion for a slot: knowledge of its key's exponent `x`, and the author's signature.
    pub fn sign<R: CryptoRng>(
        &self,
        slot: u16,
        key: Element,
        body: Vec<u8>,
        x: &SecretScalar,
        rng: &mut R,
    ) -> Submission {
        let (chain, descriptor) = (self.view.chain(), self.view.digest());
        let origin = Origin { author: self.author, slot };
        let (author, hash) = (self.key.public(), body_hash(&body));
        let context = origin.context(descriptor, chain, &author, &key, &hash);
        let knowledge = Knowledge::sign(x, &Element::base(), &key, &context, rng);
        let signature = self.key.sign(&origin.signed(descriptor, chain, &author, &key, &hash, &knowledge));
        Submission { author: self.author, slot, key, body, knowledge, signature }
    }
}

/// An access in the onion of every layer, not signed yet: all that follows from the access and what was drawn.
pub(crate) struct Wrapped {
    /// The body at the first hop.
    pub(crate) body: Vec<u8>,
    route: ReplyRoute,
    opening: Opening,
}

impl Wrapped {
    pub(crate) fn new<R: CryptoRng>(view: &RoundView, access: &Access, rng: &mut R) -> Self {
        let last = Layer(view.layers() - 1);
        let path = path(view, &access.mailbox, rng);
        let mut payload = [access.mailbox.as_slice(), &access.content].concat();
        let mut replies = Vec::with_capacity(path.len());
        let mut opened = Vec::with_capacity(path.len());
        for layer in (1..=last.0).rev().map(Layer) {
            let (source, chain) = (path[usize::from(layer.0) - 1], path[usize::from(layer.0)]);
            let exponent = SecretScalar::random(rng);
            let (record, keys) = inner(view, layer, source, chain, &exponent, &payload, rng);
            replies.push(keys);
            opened.push(OpenedLayer { chain, key: record.key, exponent });
            payload = Forwarded { destination: chain, record }.encode();
        }
        let (chain, exponent) = (view.chain(), SecretScalar::random(rng));
        let onion = wrap(view.digest(), 0, chain.0, view.keys(Layer(0), chain), &exponent, &payload);
        replies.push(onion.replies);
        opened.push(OpenedLayer { chain, key: onion.key, exponent });
        replies.reverse();
        opened.reverse();
        Self { body: onion.body, route: ReplyRoute(replies), opening: Opening(opened) }
    }
    /// The leaf of the record in its chain's input.
    pub(crate) fn leaf(&self) -> Digest {
        merkle::leaf(self.opening.entry(Layer(0)).1.encoded(), &body_hash(&self.body))
    }
}

/// The chain of each layer: the view's input chain, open middle chains at random, the mailbox's output chain.
fn path<R: CryptoRng>(view: &RoundView, mailbox: &[u8; MAILBOX_LEN], rng: &mut R) -> Vec<ChainId> {
    let (roster, layers) = (view.roster(), view.layers());
    let middle = |open: &[ChainId], rng: &mut R| open[below(open.len() as u32, rng) as usize];
    (0..layers)
        .map(|layer| match layer {
            0 => view.chain(),
            _ if layer + 1 == layers => roster.output_chain(mailbox).expect("a signed round has open chains"),
            _ => middle(roster.open(Layer(layer)), rng),
        })
        .collect()
}

fn inner<R: CryptoRng>(
    view: &RoundView,
    layer: Layer,
    source: ChainId,
    destination: ChainId,
    x: &SecretScalar,
    payload: &[u8],
    rng: &mut R,
) -> (ParcelRecord, ReplyKeys) {
    let onion = wrap(view.digest(), layer.0, destination.0, view.keys(layer, destination), x, payload);
    let body = body_hash(&onion.body);
    let context = inner_context(view.digest(), layer, source, destination, &onion.key, &body);
    let knowledge = Knowledge::sign(x, &Element::base(), &onion.key, &context, rng);
    (ParcelRecord { key: onion.key, knowledge, body: onion.body }, onion.replies)
}

/// Author as bytes: 0 for a client or 1 for a server, then its number.
pub(crate) fn encode_author(author: Author) -> [u8; AUTHOR_LEN] {
    let (kind, number) = match author {
        Author::Client(client) => (0, client.0),
        Author::Server(server) => (1, u32::from(server.0)),
    };
    let [a, b, c, d] = number.to_le_bytes();
    [kind, a, b, c, d]
}

/// Author from bytes.
pub(crate) fn decode_author(bytes: [u8; AUTHOR_LEN]) -> Result<Author, SubmissionError> {
    let [kind, a, b, c, d] = bytes;
    let number = u32::from_le_bytes([a, b, c, d]);
    match (kind, u16::try_from(number)) {
        (0, _) => Ok(Author::Client(ClientId(number))),
        (1, Ok(server)) => Ok(Author::Server(ServerId(server))),
        _ => Err(SubmissionError::AuthorKind(kind)),
    }
}

/// A reply behind its author and slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyRecord {
    /// Whose submission it answers.
    pub author: Author,
    /// Which of its slots.
    pub slot: u16,
    /// The sealed reply.
    pub reply: Vec<u8>,
}

impl ReplyRecord {
    /// Parses a reply record.
    pub fn decode(sizes: &Sizes, record: &[u8]) -> Result<Self, SubmissionError> {
        if record.len() != sizes.reply_record {
            return Err(SubmissionError::Length { expected: sizes.reply_record, got: record.len() });
        }
        let mut fields = Fields(record);
        let author = decode_author(fields.array())?;
        let slot = u16::from_le_bytes(fields.array::<SLOT_LEN>());
        Ok(Self { author, slot, reply: fields.0.to_vec() })
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        [encode_author(self.author).as_slice(), &self.slot.to_le_bytes(), &self.reply].concat()
    }
}

/// Whose record stands at a place of an input, and its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptRecord {
    /// Whose submission it is.
    pub author: Author,
    /// Which of its slots.
    pub slot: u16,
    /// The leaf in the input's tree.
    pub leaf: Digest,
}

impl ReceiptRecord {
    /// Bytes of a record.
    pub const LEN: usize = AUTHOR_LEN + SLOT_LEN + DIGEST_LEN;

    /// Parses a record.
    pub fn decode(record: &[u8; Self::LEN]) -> Result<Self, SubmissionError> {
        let mut fields = Fields(record);
        let author = decode_author(fields.array())?;
        Ok(Self { author, slot: u16::from_le_bytes(fields.array()), leaf: Digest(fields.array()) })
    }

    /// The record.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let parts = [encode_author(self.author).as_slice(), &self.slot.to_le_bytes(), self.leaf.as_bytes()].concat();
        parts.try_into().expect("the fields have this many bytes")
    }
}

/// Reads fixed-size fields from a record whose length has been checked.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (field, rest) = self.0.split_at(len);
        self.0 = rest;
        field
    }

    pub(crate) fn array<const LEN: usize>(&mut self) -> [u8; LEN] {
        self.take(LEN).try_into().expect("took as many bytes as the array has")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A claim of missing noise shows a body of any length that its claimant likes, and what is found in it is parsed.
    #[test]
    fn what_is_forwarded_is_parsed_at_its_one_length_only() {
        let (sizes, layer) = (Sizes::new(3, 2), Layer(1));
        let knowledge = Knowledge::from_bytes([0; KNOWLEDGE_LEN]);
        let record = ParcelRecord { key: Element::base(), knowledge, body: vec![7; sizes.body(1, 0)] };
        let payload = Forwarded { destination: ChainId(2), record }.encode();
        assert_eq!(payload.len(), sizes.payload(0));
        assert!(Forwarded::decode(&sizes, layer, &payload).is_some());
        let longer = [payload.as_slice(), &[0; 100]].concat();
        for len in (0..longer.len()).filter(|len| *len != payload.len()) {
            assert!(Forwarded::decode(&sizes, layer, &longer[..len]).is_none(), "{len} bytes");
        }
    }
}
