//! Claims of spoiled replies: what an owner shows of one reply that does not open, and what follows from it.
//!
//! The owner shows one record, as for a [missing one](crate::claim), and the reply that it got for it, under the signature
//! of the first server. From the exponents everybody can take off the layers that the hops have put on the reply, until one
//! does not come off. Every hop has signed what it sent back, what that answers, and what it was sealed from, so that each
//! is judged by its own word. See `paper-notes/src/receipts.md`.

#[cfg(test)]
pub(crate) mod tests;

use hippodrome_crypto::{
    group::{ENCODED_LEN, Element, ShownScalar},
    hash::{Digest, Hasher},
    merkle::{self, InclusionProof},
    onion::ShownOnion,
    signing::Signature,
};

use crate::{
    claim::{self, ShownSubmission},
    evidence::{RoundBasis, rules},
    ids::{ChainId, Layer, Place, Position, ServerId, Stage},
    message::{AgreedInput, Replaced, ReplySource, ReturnCommitment, SignedReturn},
    params::{NetworkParams, Verification},
    statement,
    submission::Forwarded,
};

/// Server → everyone: the reply to one of its noise records was spoiled on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyClaim {
    /// The owner.
    pub claimant: ServerId,
    /// The record.
    pub record: ShownSubmission,
    /// Its exponents in layer 0, 1 and so on, up to the layer in which the reply does not open.
    pub exponents: Vec<ShownScalar>,
    /// Where the reply stands in what the first server handed out.
    pub shown: ShownReturn,
    /// The reply.
    pub reply: Vec<u8>,
    /// The owner's, over all of it.
    pub signature: Signature,
}

/// One reply in what a hop has sent back, and the record that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownReturn {
    /// What the hop sent back.
    pub signed: SignedReturn,
    /// [`statement::returned`] of what it was sealed from, for each hop before it on the way back; none for one whose
    /// replies were replaced.
    pub sources: Vec<Option<Digest>>,
    /// The place of the record in what was answered, and of the reply in what was sent back.
    pub index: u32,
    /// From the record to the root of what was answered.
    pub record_path: InclusionProof,
    /// The reply's leaf.
    pub reply: Digest,
    /// From the reply to the root of what was sent back.
    pub path: InclusionProof,
}

/// Everything that is shown about one claim, by which anybody can judge it.
#[derive(Clone, Debug)]
pub struct ReplyCase {
    /// The claim.
    pub claim: ReplyClaim,
    /// The input, with what was left out of it, of the chain at whose first hop the reply does not open, if it is there.
    pub entered: Option<EnteredInput>,
    /// What servers have shown of the reply.
    pub shown: Vec<ShownReturn>,
}

/// The signed input of a chain of a later layer, with the keys that were left out of it by rule.
#[derive(Clone, Debug)]
pub struct EnteredInput {
    /// The input.
    pub agreed: AgreedInput,
    /// The keys that came twice.
    pub left_out: Vec<Element>,
}

/// What follows from a case.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// This server did not send back what it was given, sealed for the record.
    Spoiled(ServerId),
    /// The claim holds so far, and not enough is shown to say more.
    Open,
    /// Nothing: it is not signed, or the reply opens, or was replaced publicly, or answers a record left out by rule.
    Nothing,
}

/// The way of a reply, hop by hop from the one that handed it out, up to the one whose layer does not come off.
#[derive(Clone, Debug)]
pub(crate) struct Way(Vec<Station>);

/// A hop on the way of a reply.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    pub(crate) place: Place,
    /// The chain of the layer before that the hop answers; none within a chain.
    pub(crate) to: Option<ChainId>,
    /// The record's key when it came to the hop.
    key: [u8; ENCODED_LEN],
    /// The record's leaf in what the hop answers.
    pub(crate) leaf: Digest,
    /// The leaf of the reply that it sent back, if the hop before it has sealed what it got.
    reply: Digest,
}

impl ReplyClaim {
    /// What the owner signs.
    pub fn statement(&self, descriptor: &Digest) -> Digest {
        statement::claim(descriptor, &self.content())
    }

    /// Digest of everything but the signature.
    pub fn content(&self) -> Digest {
        let hasher = Hasher::new("hippodrome v1 reply claim's content")
            .number(self.claimant.0.into())
            .digest(&self.record.digest())
            .digest(&self.shown.digest())
            .bytes(&self.reply)
            .number(self.exponents.len() as u64);
        self.exponents.iter().fold(hasher, |hasher, exponent| hasher.bytes(&exponent.encoded())).finish()
    }

    /// Whether it can be made in the round, and its owner has signed it.
    pub(crate) fn is_signed(&self, basis: &RoundBasis) -> bool {
        may_be_made(basis)
            && basis.roster.is_active(self.claimant)
            && basis.signed_by(self.claimant, &self.statement(basis.digest()), &self.signature)
    }

    /// Bytes of what is not of fixed size.
    pub(crate) fn body_len(&self) -> usize {
        let exponents = std::mem::size_of_val(&*self.exponents);
        self.record.body_len() + exponents + self.reply.len() + self.shown.body_len()
    }
}

impl ShownReturn {
    /// Digest of everything shown; the signature stands for what the hop has signed.
    fn digest(&self) -> Digest {
        let Self { signed, index, reply, .. } = self;
        Hasher::new("hippodrome v1 shown reply")
            .bytes(&signed.signature.0)
            .digest(&statement::sealed(&self.sources))
            .number((*index).into())
            .list(self.record_path.0.iter().map(|sibling| sibling.as_bytes()))
            .digest(reply)
            .list(self.path.0.iter().map(|sibling| sibling.as_bytes()))
            .finish()
    }

    /// Bytes of what is not of fixed size.
    pub(crate) fn body_len(&self) -> usize {
        let paths = std::mem::size_of_val(&*self.record_path.0) + std::mem::size_of_val(&*self.path.0);
        std::mem::size_of_val(&*self.sources) + paths
    }

    /// Whether a hop has signed this: that in answer to the record of a station it sent back the reply shown.
    pub(crate) fn is_of(&self, basis: &RoundBasis, station: &Station) -> bool {
        let ReturnCommitment { place, to, count, root, answers, .. } = self.signed.replies;
        let stands = |root: &Digest, leaf: &Digest, path: &InclusionProof| {
            merkle::verify(root, count.into(), self.index.into(), leaf, path).is_ok()
        };
        (place, to) == (station.place, station.to)
            && stands(&answers, &station.leaf, &self.record_path)
            && stands(&root, &self.reply, &self.path)
            && is_whole(basis, &self.signed, &self.sources)
    }
}

/// The leaf of a reply, which has no key.
pub(crate) fn leaf(reply: &[u8]) -> Digest {
    merkle::leaf(&[0; ENCODED_LEN], &merkle::body_hash(reply))
}

/// A hop's word that it has replaced the replies of another one, verified. The link is theirs alone: between layers each
/// hop returns to a chain by one link only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replacement(Replaced);

impl Replacement {
    /// Checks that there is such a link, and that the hop which replaces has signed.
    pub(crate) fn verify(basis: &RoundBasis, replaced: &Replaced) -> Option<Self> {
        let Replaced { place, from, signature } = replaced;
        let is_link = basis.has(place.stage) && sealed_from(basis, *place).iter().any(|(hop, _)| hop == from);
        let signed = statement::replaced(basis.digest(), *place, *from);
        let signer = basis.server_at(*place).filter(|_| is_link)?;
        basis.signed_by(signer, &signed, signature).then_some(Self(*replaced))
    }

    /// The hop that has replaced, and the one whose replies it has replaced.
    pub(crate) fn link(&self) -> (Place, Place) {
        (self.0.place, self.0.from)
    }

    /// What the hop has signed, to hand it on.
    pub(crate) fn said(&self) -> Replaced {
        self.0
    }
}

/// From where a hop has what it sealed, verified: all of it is signed, by the hop that it came from or as replaced.
pub(crate) struct SignedSources {
    /// As the hop's commitment names them.
    pub(crate) named: Vec<Option<Digest>>,
    /// Those that the hop has replaced.
    pub(crate) replaced: Vec<Replacement>,
}

/// [`statement::returned`] of a source; none for one that was replaced.
pub(crate) fn named(digest: &Digest, source: &ReplySource) -> Option<Digest> {
    match source {
        ReplySource::Returned(source) => Some(statement::returned(digest, &source.replies)),
        ReplySource::Replaced(_) => None,
    }
}

/// The sources of replies, if their hop has signed them, and each of them is signed by the hop that it is from, or as
/// replaced. So no hop says to the one before it that it had nothing to seal without saying it to everybody.
pub(crate) fn signed_sources(
    basis: &RoundBasis,
    signed: &SignedReturn,
    sources: &[ReplySource],
) -> Option<SignedSources> {
    let named: Vec<Option<Digest>> = sources.iter().map(|source| named(basis.digest(), source)).collect();
    if !is_whole(basis, signed, &named) {
        return None;
    }
    let here = signed.replies.place;
    let mut replaced = Vec::new();
    for (source, (from, to)) in sources.iter().zip(sealed_from(basis, here)) {
        match source {
            ReplySource::Returned(SignedReturn { replies, signature }) => {
                let signed = statement::returned(basis.digest(), replies);
                let signer = basis.server_at(from).filter(|_| (replies.place, replies.to) == (from, to))?;
                basis.signed_by(signer, &signed, signature).then_some(())?;
            }
            ReplySource::Replaced(signature) => {
                let said = Replaced { place: here, from, signature: *signature };
                replaced.push(Replacement::verify(basis, &said)?);
            }
        }
    }
    Some(SignedSources { named, replaced })
}

/// Whether its hop has signed what it sent back, and what it was sealed from is what it says.
pub(crate) fn is_whole(basis: &RoundBasis, signed: &SignedReturn, sources: &[Option<Digest>]) -> bool {
    let replies = &signed.replies;
    replies.sealed == statement::sealed(sources)
        && sources.len() == sealed_from(basis, replies.place).len()
        && signer(basis, signed).is_some()
}

/// The hop's server that has signed what it sends back, if there is such a hop, and replies go there from it.
pub(crate) fn signer(basis: &RoundBasis, signed: &SignedReturn) -> Option<ServerId> {
    let SignedReturn { replies, signature } = signed;
    let place = replies.place;
    let goes_back = match replies.to {
        None => place.position.0 > 0 || place.stage.layer == Layer(0),
        Some(chain) => {
            let before = place.stage.layer.0.checked_sub(1).map(Layer);
            place.position.0 == 0 && before.is_some_and(|layer| basis.roster.is_open(layer, chain))
        }
    };
    let server = basis.server_at(place).filter(|_| goes_back && basis.has(place.stage))?;
    basis.signed_by(server, &statement::returned(basis.digest(), replies), signature).then_some(server)
}

/// The hops whose replies a hop seals, and to which chain these send them: the next one; behind the end of a chain the
/// first of every chain of the next layer, in order; none behind the last layer, where the mailboxes are.
pub(crate) fn sealed_from(basis: &RoundBasis, place: Place) -> Vec<(Place, Option<ChainId>)> {
    let Place { stage, position } = place;
    if position < basis.last_position() {
        return vec![(Place { stage, position: Position(position.0 + 1) }, None)];
    }
    if stage.layer >= basis.last_layer() {
        return Vec::new();
    }
    let next = Layer(stage.layer.0 + 1);
    let first = |chain: &ChainId| Place { stage: basis.stage(next, *chain), position: Position(0) };
    basis.open(next).iter().map(|chain| (first(chain), Some(stage.chain))).collect()
}

/// Whether spoiled replies can be claimed. It takes proofs that every key came through, and traces of what did not open.
pub(crate) fn may_be_made(basis: &RoundBasis) -> bool {
    are_checked(basis.params())
}

/// Whether servers look through the replies to their noise in a network.
pub(crate) fn are_checked(params: &NetworkParams) -> bool {
    params.noise.slots > 0 && params.verification == Verification::Full
}

/// Follows the reply of a claim; none if nothing follows from it, whatever anybody shows.
pub(crate) fn follow(basis: &RoundBasis, claim: &ReplyClaim) -> Option<Way> {
    let ReplyClaim { record, exponents, shown, reply, .. } = claim;
    let is_entry = basis.has(record.stage) && record.stage.layer == Layer(0);
    let fits = (record.body.len(), reply.len()) == (basis.sizes.body(0, 0), basis.sizes.reply(0, 0));
    if !is_entry || !fits || !claim.is_signed(basis) || exponents.len() > usize::from(basis.params().layers) {
        return None;
    }
    let (mut stage, mut body, mut reply) = (record.stage, record.body.clone(), reply.clone());
    let (mut to, mut entered) = (None, None);
    let mut stations = Vec::new();
    for exponent in exponents {
        let onion = claim::onion(basis, stage, exponent);
        let leaf = match entered.take() {
            None => merkle::leaf(onion.first_key().encoded(), &merkle::body_hash(&body)),
            Some((key, leaf)) if key == *onion.first_key() => leaf,
            Some(_) => return None,
        };
        let bodies = onion.open(&body).ok()?;
        if !take_off(stage, to, leaf, &onion, &bodies, &mut reply, &mut stations) {
            let way = Way(stations);
            let is_handed_out = shown.is_of(basis, &way.0[0]) && shown.reply == way.0[0].reply;
            return (is_handed_out && shown.index == record.index).then_some(way);
        }
        let next = Layer(stage.layer.0 + 1);
        if stage.layer == basis.last_layer() {
            return None;
        }
        let Forwarded { destination, record } = Forwarded::decode(&basis.sizes, next, bodies.last()?)?;
        to = Some(stage.chain);
        stage = Stage { layer: next, chain: destination, ..stage };
        if !basis.has(stage) {
            return None;
        }
        entered = Some((record.key, record.leaf()));
        body = record.body;
    }
    None
}

/// Takes off the layers that the hops of one chain have put on a reply, and notes the hops; false where one does not come
/// off.
fn take_off(
    stage: Stage,
    to: Option<ChainId>,
    entered: Digest,
    onion: &ShownOnion,
    bodies: &[Vec<u8>],
    reply: &mut Vec<u8>,
    stations: &mut Vec<Station>,
) -> bool {
    (0..bodies.len()).all(|position| {
        let leaf = match position.checked_sub(1) {
            None => entered,
            Some(before) => merkle::leaf(onion.key(position), &merkle::body_hash(&bodies[before])),
        };
        stations.push(Station {
            place: Place { stage, position: Position(position as u8) },
            to: to.filter(|_| position == 0),
            key: *onion.key(position),
            leaf,
            reply: self::leaf(reply),
        });
        onion.open_reply(position, reply).map(|opened| *reply = opened).is_some()
    })
}

impl Way {
    /// The hops, first the one that handed the reply out.
    pub(crate) fn stations(&self) -> &[Station] {
        &self.0
    }

    /// The hop whose layer does not come off.
    fn broken(&self) -> &Station {
        self.0.last().expect("a way has a hop")
    }

    /// The chain whose input tells whether the record was left out by rule; none where no rule leaves any out.
    pub(crate) fn entered(&self) -> Option<Stage> {
        let Station { place, to, .. } = self.broken();
        to.map(|_| place.stage)
    }
}

impl ReplyCase {
    /// Bytes that it takes, about.
    pub(crate) fn len_bytes(&self) -> usize {
        let left_out = self.entered.as_ref().map_or(0, |entered| std::mem::size_of_val(&*entered.left_out));
        self.claim.body_len() + left_out + self.shown.iter().map(ShownReturn::body_len).sum::<usize>()
    }

    /// Judges the claim, from what is public and what is shown.
    ///
    /// A hop is guilty that signed, in answer to a record, what the record's keys do not open; or what they do open, but
    /// not to the reply that the hop itself says that it was sealed from. Both are the hop's own words.
    pub(crate) fn judge(&self, basis: &RoundBasis) -> Finding {
        match follow(basis, &self.claim) {
            Some(way) => self.judge_on(basis, &way),
            None => Finding::Nothing,
        }
    }

    /// Judges the claim whose reply has been followed.
    pub(crate) fn judge_on(&self, basis: &RoundBasis, way: &Way) -> Finding {
        let server = |station: &Station| basis.server_at(station.place).map_or(Finding::Nothing, Finding::Spoiled);
        let mut current = &self.claim.shown;
        for link in way.0.windows(2) {
            let [here, next] = link else { return Finding::Nothing };
            let from = sealed_from(basis, here.place).iter().position(|from| *from == (next.place, next.to));
            let Some(Some(source)) = from.and_then(|from| current.sources.get(from)) else { return Finding::Nothing };
            let is_source = |shown: &&ShownReturn| {
                statement::returned(basis.digest(), &shown.signed.replies) == *source && shown.is_of(basis, next)
            };
            let Some(shown) = self.shown.iter().find(is_source) else { return Finding::Open };
            if shown.reply != next.reply {
                return server(here);
            }
            current = shown;
        }
        match self.was_left_out(basis, way) {
            Some(true) => Finding::Nothing,
            Some(false) => server(way.broken()),
            None => Finding::Open,
        }
    }

    /// Whether the record that came to the last hop of the way was left out there by rule: then its reply is random.
    fn was_left_out(&self, basis: &RoundBasis, way: &Way) -> Option<bool> {
        let Some(stage) = way.entered() else { return Some(false) };
        let EnteredInput { agreed, left_out } = self.entered.as_ref()?;
        let is_signed = agreed.input.stage == stage && basis.check_input(agreed).is_ok();
        let holds = is_signed && rules::left_out_digest(left_out) == agreed.input.left_out;
        holds.then(|| left_out.iter().any(|key| *key.encoded() == way.broken().key))
    }
}
