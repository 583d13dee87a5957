//! Replies to a server's own noise: whether they open, and what is said if too many do not.
//!
//! Which of them open is a secret, since it says which records are noise. At a fixed time of the round the server counts
//! those that do not, less those behind a public replacement, and speaks only if the [threshold](super::sparse) is passed.
//! Then it shows one of them, drawn at random. Everybody follows it, and the hops on its way show what they sent and got.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hippodrome_crypto::{
    hash::Digest,
    merkle::{InclusionProof, Tree, VerifiedRange},
    records::Records,
};

use super::{confirm::Contradiction, context::RoundContext, receipts::Receipts};
use crate::{
    claim,
    evidence::{SignedStatement, Statement},
    ids::{ChainId, Layer, Place, Position, ServerId, Stage},
    message::{InputCommitment, NoiseReplies, Replaced, ReplyAnswer, ReturnCommitment, SignedReturn},
    reply::{
        self, EnteredInput, Finding, Replacement, ReplyCase, ReplyClaim, ShownReturn, SignedSources, Station, Way,
    },
    submission::{ReplyBroken, ReplyRoute},
};

/// The tree over replies, which have no keys: the leaf of a reply is its body under an empty key.
pub(crate) fn reply_tree(replies: &Records) -> Tree {
    Tree::new(replies.iter().map(reply::leaf).collect())
}

/// Replies that one hop has sent to another, as either of them keeps them to show one; nothing of it is secret.
pub(crate) struct KeptReturn {
    pub(crate) signed: SignedReturn,
    pub(crate) sources: Vec<Option<Digest>>,
    /// Over the records that they answer.
    pub(crate) records: Arc<Tree>,
    /// Over the replies.
    pub(crate) replies: Arc<Tree>,
}

impl KeptReturn {
    /// The reply to the record that is looked for at a hop, if it is one of these.
    pub(crate) fn show(&self, station: &Station) -> Option<ShownReturn> {
        let ReturnCommitment { place, to, .. } = self.signed.replies;
        if (place, to) != (station.place, station.to) {
            return None;
        }
        let index = self.records.leaves().iter().position(|leaf| *leaf == station.leaf)?;
        Some(ShownReturn {
            signed: self.signed,
            sources: self.sources.clone(),
            index: index as u32,
            record_path: self.records.inclusion(index)?,
            reply: *self.replies.leaves().get(index)?,
            path: self.replies.inclusion(index)?,
        })
    }
}

/// The replies to a server's own noise, and what it has heard of them.
#[derive(Default)]
pub(crate) struct OwnReplies {
    /// What opens them, by input chain; used up by the check.
    routes: BTreeMap<ChainId, Vec<ReplyRoute>>,
    handed_out: Arc<BTreeMap<ChainId, HandedOut>>,
    /// Input chains of which replies have come, in time for the check or not.
    came: BTreeSet<ChainId>,
    /// Hops that have replaced what came from another one.
    replaced: BTreeSet<(Place, Place)>,
}

/// The own replies of one input chain, under the signature of its first server.
pub(crate) struct HandedOut {
    signed: SignedReturn,
    sources: Vec<Option<Digest>>,
    range: VerifiedRange,
    replies: Records,
}

/// A look through all own replies of a round. It uses up what opens them.
pub(crate) struct Check {
    routes: BTreeMap<ChainId, Vec<ReplyRoute>>,
    handed_out: Arc<BTreeMap<ChainId, HandedOut>>,
}

/// What it has found.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Replies that were handed out.
    records: usize,
    /// Those that do not open, and where: chain by chain, slot by slot.
    broken: Vec<(ChainId, usize, ReplyBroken)>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check(..)")
    }
}

impl Check {
    /// Opens all replies.
    pub(crate) fn run(self) -> Checked {
        let mut checked = Checked { records: 0, broken: Vec::new() };
        for (chain, routes) in self.routes {
            let Some(handed_out) = self.handed_out.get(&chain) else { continue };
            checked.records += handed_out.replies.len();
            for (slot, (route, reply)) in routes.into_iter().zip(handed_out.replies.iter()).enumerate() {
                if let Err(broken) = route.open(reply) {
                    checked.broken.push((chain, slot, broken));
                }
            }
        }
        checked
    }
}

impl OwnReplies {
    /// Takes what opens the replies of one input chain, slot by slot.
    pub(crate) fn expect(&mut self, chain: ChainId, routes: Vec<ReplyRoute>) {
        self.routes.insert(chain, routes);
    }

    /// Takes the replies of an input chain; others for the same chain change nothing. `input` is what they answer. Gives
    /// what the first server has replaced, if they hold.
    pub(crate) fn on_replies(
        &mut self,
        context: &RoundContext,
        from: ServerId,
        message: NoiseReplies,
        input: &InputCommitment,
    ) -> Vec<Replacement> {
        self.verified(context, from, message, input).unwrap_or_default()
    }

    fn verified(
        &mut self,
        context: &RoundContext,
        from: ServerId,
        message: NoiseReplies,
        input: &InputCommitment,
    ) -> Option<Vec<Replacement>> {
        let NoiseReplies { signed, sources, branch, replies } = message;
        let ReturnCommitment { place, to, count, root, answers, .. } = signed.replies;
        let is_end = place == Place { stage: input.stage, position: Position(0) } && to.is_none();
        let fits = is_end && context.first_of(input.stage) == from && (count, answers) == (input.count, input.root);
        let own = claim::own_places(context, input.count, context.me).filter(|_| fits)?;
        let replies = Records::from_bytes(context.sizes.reply(0, 0), replies).ok()?;
        let leaves: Vec<Digest> = replies.iter().map(reply::leaf).collect();
        let sources = reply::signed_sources(context, &signed, &sources).filter(|_| leaves.len() == own.len());
        let SignedSources { named: sources, replaced } = sources?;
        let range = branch.verify(&root, count.into(), own.start.into(), leaves).ok()?;
        self.came.insert(place.stage.chain);
        if let Some(all) = Arc::get_mut(&mut self.handed_out) {
            all.entry(place.stage.chain).or_insert(HandedOut { signed, sources, range, replies });
        }
        Some(replaced)
    }

    /// Input chains whose first servers have handed nothing out, or nothing that holds.
    pub(crate) fn lacking(&self, context: &RoundContext) -> Vec<Stage> {
        let lacking = context.open(Layer(0)).iter().filter(|chain| !self.came.contains(chain));
        lacking.map(|chain| context.stage(Layer(0), *chain)).collect()
    }

    /// A hop has replaced what came from another, or did not come. Gives whether that is new.
    pub(crate) fn on_replaced(&mut self, replacement: &Replacement) -> bool {
        self.replaced.insert(replacement.link())
    }

    /// Whether it is known that a link's replies were replaced.
    pub(crate) fn has_heard(&self, replaced: &Replaced) -> bool {
        self.replaced.contains(&(replaced.place, replaced.from))
    }

    /// The look through all replies, once.
    pub(crate) fn check(&mut self) -> Check {
        Check { routes: std::mem::take(&mut self.routes), handed_out: Arc::clone(&self.handed_out) }
    }

    /// Those of the broken replies that nobody has replaced publicly, with the layer in which they do not open.
    pub(crate) fn spoiled(
        &self,
        context: &RoundContext,
        receipts: &Receipts,
        checked: &Checked,
    ) -> Vec<(ChainId, usize, Layer)> {
        let is_replaced = |chain: ChainId, slot: usize, broken: &ReplyBroken| {
            let at = |layer: Layer, position| {
                let (chain, _) = receipts.opening(chain, slot)?.entry(layer);
                Some(Place { stage: context.stage(layer, chain), position })
            };
            let link = match (broken.layer.0, broken.position) {
                (0, 0) => None,
                (layer, 0) => at(Layer(layer - 1), context.last_position()),
                (_, position) => at(broken.layer, Position(position - 1)),
            };
            let from = at(broken.layer, Position(broken.position));
            link.zip(from).is_some_and(|link| self.replaced.contains(&link))
        };
        let spoiled = checked.broken.iter().filter(|(chain, slot, broken)| !is_replaced(*chain, *slot, broken));
        spoiled.map(|(chain, slot, broken)| (*chain, *slot, broken.layer)).collect()
    }

    /// What is shown of one reply: where it stands, and its bytes.
    pub(crate) fn show(
        &self,
        chain: ChainId,
        slot: usize,
        record_path: InclusionProof,
    ) -> Option<(ShownReturn, Vec<u8>)> {
        let HandedOut { signed, sources, range, replies } = self.handed_out.get(&chain)?;
        let index = range.start() + slot as u64;
        let reply = (slot < replies.len()).then(|| replies.record(slot).to_vec())?;
        let shown = ShownReturn {
            signed: *signed,
            sources: sources.clone(),
            index: index as u32,
            record_path,
            reply: reply::leaf(&reply),
            path: range.inclusion(index)?,
        };
        Some((shown, reply))
    }
}

impl Checked {
    /// Replies that were handed out.
    pub(crate) fn records(&self) -> usize {
        self.records
    }
}

/// What hops have signed of the replies that they sent back, one for each link: whoever signs another one is convicted.
#[derive(Default)]
pub(crate) struct Returns(BTreeMap<(Place, Option<ChainId>), SignedReturn>);

impl Returns {
    /// Takes what a hop has signed, from whomever; what it has not signed, or nobody could, takes no room.
    pub(crate) fn note(&mut self, context: &RoundContext, signed: &SignedReturn) -> Result<(), Contradiction> {
        let ReturnCommitment { place, to, .. } = signed.replies;
        let earlier = self.0.get(&(place, to));
        if earlier.is_some_and(|earlier| earlier.replies == signed.replies) {
            return Ok(());
        }
        let Some(signer) = reply::signer(context, signed) else { return Ok(()) };
        match earlier {
            None => drop(self.0.insert((place, to), *signed)),
            Some(earlier) => {
                let said = |SignedReturn { replies, signature }| SignedStatement {
                    signer,
                    statement: Statement::Return(replies),
                    signature,
                };
                return Err(Contradiction(Box::new([said(*earlier), said(*signed)])));
            }
        }
        Ok(())
    }
}

/// The claims of spoiled replies in a round, one a server at most.
#[derive(Default)]
pub(crate) struct ReplyClaims(BTreeMap<ServerId, Claimed>);

struct Claimed {
    /// What its server has signed, which is not to contradict itself.
    signed: SignedStatement,
    /// As long as it may convict somebody.
    open: Option<OpenClaim>,
}

struct OpenClaim {
    claim: ReplyClaim,
    way: Arc<Way>,
    /// What was shown of each hop, by whom: the hop itself, or the one that got it.
    shown: BTreeMap<(usize, ServerId), ShownReturn>,
    /// Whether something has come since it was judged.
    has_news: bool,
    /// Whether the input that it is judged by was not known yet.
    lacks_input: bool,
}

impl ReplyClaims {
    /// Takes a claim; gives its way when it is new and holds. Two different ones of one server contradict each other.
    pub(crate) fn take(
        &mut self,
        context: &RoundContext,
        claim: &ReplyClaim,
    ) -> Result<Option<Arc<Way>>, Contradiction> {
        if !claim.is_signed(context) {
            return Ok(None);
        }
        let statement = Statement::Claim { content: claim.content() };
        let signed = SignedStatement { signer: claim.claimant, statement, signature: claim.signature };
        if let Some(Claimed { signed: earlier, .. }) = self.0.get(&claim.claimant) {
            let contradicts = earlier.contradicts(context, &signed);
            return if contradicts { Err(Contradiction(Box::new([*earlier, signed]))) } else { Ok(None) };
        }
        let way = reply::follow(context, claim).map(Arc::new);
        let open = way.clone().map(|way| OpenClaim {
            claim: claim.clone(),
            way,
            shown: BTreeMap::new(),
            has_news: true,
            lacks_input: false,
        });
        self.0.insert(claim.claimant, Claimed { signed, open });
        Ok(way)
    }

    /// Takes what a server shows of a claimed reply, if it is its to show and about the reply's way.
    pub(crate) fn take_answer(&mut self, context: &RoundContext, from: ServerId, answer: ReplyAnswer) {
        let claimed = self.0.get_mut(&answer.claim.claimant);
        let Some(open) = claimed.and_then(|claimed| claimed.open.as_mut()) else { return };
        let OpenClaim { way, shown, has_news, .. } = open;
        let stations = way.stations();
        let is_its = |hop: &usize| {
            let ends = [&stations[hop - 1], &stations[*hop]];
            ends.iter().any(|station| context.server_at(station.place) == Some(from))
                && answer.shown.is_of(context, &stations[*hop])
        };
        if let Some(hop) = (1..stations.len()).find(is_its) {
            shown.entry((hop, from)).or_insert_with(|| {
                *has_news = true;
                answer.shown
            });
        }
    }

    /// Judges the claims that are open, and about which there is something new; gives the cases that convict somebody.
    pub(crate) fn settle(
        &mut self,
        context: &RoundContext,
        entered: impl Fn(Stage) -> Option<EnteredInput>,
    ) -> Vec<ReplyCase> {
        self.0.values_mut().filter_map(|claimed| claimed.settle(context, &entered)).collect()
    }
}

impl Claimed {
    fn settle(
        &mut self,
        context: &RoundContext,
        entered: &impl Fn(Stage) -> Option<EnteredInput>,
    ) -> Option<ReplyCase> {
        let open = self.open.as_mut()?;
        let entered = open.news(entered)?;
        let OpenClaim { claim, way, shown, .. } = &*open;
        let case = ReplyCase { claim: claim.clone(), entered, shown: shown.values().cloned().collect() };
        match case.judge_on(context, way) {
            Finding::Open => None,
            Finding::Spoiled(_) => {
                self.open = None;
                Some(case)
            }
            Finding::Nothing => {
                self.open = None;
                None
            }
        }
    }
}

impl OpenClaim {
    /// The input to judge the claim by, as far as it is known; none if nothing has come since it was judged last.
    #[allow(clippy::option_option)] // nothing new is not the same as no input
    fn news(&mut self, entered: &impl Fn(Stage) -> Option<EnteredInput>) -> Option<Option<EnteredInput>> {
        if !self.has_news && !self.lacks_input {
            return None;
        }
        let stage = self.way.entered();
        let input = stage.and_then(entered);
        let is_new = self.has_news || input.is_some();
        self.has_news = false;
        self.lacks_input = stage.is_some() && input.is_none();
        is_new.then_some(input)
    }
}
