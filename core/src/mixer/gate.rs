//! The gate: nothing that depends on a server's round secrets leaves it before the server has itself checked what the
//! gate asks for. Enforced by types: a [`Held`] value can be taken out only with a [`Permit`], and a permit is made
//! only here, from the witnesses of the checks.
//!
//! | asked for | witness |
//! |---|---|
//! | it has not acted on this round, layer, chain and direction before | [`Once`] |
//! | the input is signed by all members, and all servers signed one vector that holds it | [`SignedInput`], [`ConfirmedLayer`] |
//! | every proof upstream holds, over linked lists from the confirmed input to the batch received | [`Linked`] |
//! | every layer of the own batch has opened, or every record that failed has a complete trail | kept in [`Held`], [`Trail`] |
//! | every record removed upstream has a complete trail | [`Remainder`] |
//! | no verified evidence against a member of the chain | [`Convictions`] |

use std::collections::BTreeSet;

use hippodrome_crypto::{
    hash::Digest,
    key_list::KeyList,
    shuffle::{Strength, VerifiedHop},
};

use super::{confirm::ConfirmedLayer, context::RoundContext, input::SignedInput};
use crate::{
    evidence::{Trail, Verdict},
    ids::{Author, Place, Position, ServerId, Stage},
    marks::Once,
    params::Verification,
    statement,
};

/// Those against whom there is a verdict, each in an epoch by its number: a new epoch, which the coordinator may begin
/// at any time, takes no evidence away from rounds that are under way.
#[derive(Debug, Default)]
pub(crate) struct Convictions(BTreeSet<(u64, Author)>);

impl Convictions {
    /// Takes a verdict about a round, and says whether it convicts anybody who was not convicted before.
    pub(crate) fn convict(&mut self, context: &RoundContext, verdict: &Verdict) -> bool {
        let epoch = context.roster.id().epoch;
        let before = self.0.len();
        self.0.extend(verdict.guilty().iter().map(|author| (epoch, *author)));
        self.0.len() > before
    }

    /// A member of the chain against whom there is a verdict in the round's epoch.
    fn among(&self, context: &RoundContext, stage: Stage) -> Option<ServerId> {
        context.members(stage).iter().copied().find(|member| self.holds(context, *member))
    }

    /// A server that takes part in the round although there is a verdict against it: then nothing is opened any more.
    pub(crate) fn active(&self, context: &RoundContext) -> Option<ServerId> {
        context.active().iter().copied().find(|server| self.holds(context, *server))
    }

    pub(crate) fn holds(&self, context: &RoundContext, server: ServerId) -> bool {
        self.0.contains(&(context.roster.id().epoch, Author::Server(server)))
    }

    /// Everybody who is convicted in the round's epoch.
    pub(crate) fn of_epoch(&self, context: &RoundContext) -> BTreeSet<Author> {
        let epoch = context.roster.id().epoch;
        self.0.iter().filter(|(number, _)| *number == epoch).map(|(_, author)| *author).collect()
    }
}

/// The batch that a hop works on: what its predecessor signed, or the chain's own input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) place: Place,
    pub(crate) count: usize,
    pub(crate) root: Digest,
    pub(crate) keys: Digest,
}

/// That some keys are those of a batch less the records of a complete trail. Only [`remove`] makes it.
#[derive(Clone, Debug)]
pub(crate) struct Remainder {
    place: Place,
    root: Digest,
    removed: Digest,
    whole: Digest,
    rest: Digest,
    count: usize,
}

impl Remainder {
    /// Whether all records were removed, so that there is nothing to prove.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The keys of a batch without those records that a trail ends for.
pub(crate) fn remove(trail: &Trail, keys: &KeyList) -> (KeyList, Remainder) {
    let is_removed = |index: usize| trail.indices().binary_search(&(index as u32)).is_ok();
    let kept = keys.keys().iter().enumerate().filter(|(index, _)| !is_removed(*index)).map(|(_, key)| *key);
    let rest = KeyList::new(kept.collect());
    let remainder = Remainder {
        place: trail.place(),
        root: *trail.root(),
        removed: trail.removed(),
        whole: *keys.digest(),
        rest: *rest.digest(),
        count: rest.len(),
    };
    (rest, remainder)
}

/// What is known of a hop upstream when all of it is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checks {
    /// Its proof holds; none is made of an empty list.
    pub(crate) verified: Option<VerifiedHop>,
    /// Records were removed at it.
    pub(crate) remainder: Option<Remainder>,
}

/// Proof that the batch received descends from the chain's confirmed input, hop by hop.
#[derive(Debug)]
pub(crate) struct Linked {
    input: SignedInput,
    received: Received,
}

impl Linked {
    /// The chain's input that everything descends from.
    pub(crate) fn input(&self) -> &SignedInput {
        &self.input
    }

    /// Whether that input is in the vector that all servers signed.
    pub(crate) fn is_confirmed(&self, layer: &ConfirmedLayer) -> bool {
        layer.holds(&self.input)
    }
}

/// Which hop upstream does not link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unlinked(pub(crate) ServerId);

/// The list of keys between two hops.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Line {
    keys: Digest,
    root: Digest,
    count: usize,
}

impl Linked {
    /// Links the verified hops before `received.place` into one line. Each is checked for being the hop that it should
    /// be: place and server, base and blinding key of the descriptor, strength, and both lists and roots, the one that
    /// went in without the records whose trails are complete.
    pub(crate) fn new(
        context: &RoundContext,
        input: SignedInput,
        hops: &[Checks],
        received: Received,
    ) -> Result<Self, Unlinked> {
        let stage = received.place.stage;
        let members = context.members(stage);
        let start = input.commitment();
        let mut line = Line { keys: start.keys, root: start.root, count: start.count as usize };
        let needed = match context.verification() {
            Verification::None => return Ok(Self { input, received }),
            Verification::Full | Verification::Aggregate => usize::from(received.place.position.0),
        };
        for (index, &server) in members.iter().enumerate().take(needed) {
            // A list without keys has nothing to prove, and stays empty.
            if line.count == 0 {
                break;
            }
            let place = Place { stage, position: Position(index as u8) };
            let checks = hops.get(index).ok_or(Unlinked(server))?;
            line = follow(context, place, server, line, checks).ok_or(Unlinked(server))?;
        }
        let predecessor = members[usize::from(received.place.position.0).saturating_sub(1)];
        let end = Line { keys: received.keys, root: received.root, count: received.count };
        let arrived = line == end || (line.count, received.count) == (0, 0);
        if arrived { Ok(Self { input, received }) } else { Err(Unlinked(predecessor)) }
    }
}

/// The list after a hop, if the hop was given the list before it.
fn follow(context: &RoundContext, place: Place, server: ServerId, line: Line, checks: &Checks) -> Option<Line> {
    let entering = match &checks.remainder {
        None => line,
        Some(rest) => {
            let fits = rest.place == place && (rest.root, rest.whole) == (line.root, line.keys);
            fits.then_some(Line { keys: rest.rest, root: line.root, count: rest.count })?
        }
    };
    if entering.count == 0 {
        return Some(entering);
    }
    let hop = checks.verified.as_ref()?;
    let removed = checks.remainder.as_ref().map_or_else(statement::no_removals, |rest| rest.removed);
    let given = Line { keys: *hop.input_keys(), root: *hop.input_root(), count: hop.count() };
    let holds = given == entering && *hop.removed() == removed && is_hop(context, place, server, hop);
    holds.then_some(Line { keys: *hop.output_keys(), root: *hop.output_root(), count: hop.count() })
}

fn is_hop(context: &RoundContext, place: Place, server: ServerId, hop: &VerifiedHop) -> bool {
    let (base, blinded) = context.blinding(place);
    let strength = match context.verification() {
        Verification::Full => Strength::Full,
        Verification::Aggregate | Verification::None => Strength::Aggregate,
    };
    *hop.context() == context.hop_statement(place, server)
        && (hop.base(), hop.blinded_base()) == (&base, &blinded)
        && hop.strength() == strength
}

/// Something that depends on a server's round secrets, kept in until the gate opens.
#[derive(Debug)]
pub(crate) struct Held<T> {
    received: Received,
    failed: Vec<u32>,
    value: T,
}

impl<T> Held<T> {
    /// Holds what was made of a batch without its records at the ascending places `failed`, which did not open or held
    /// what no honest client makes.
    pub(crate) fn new(received: Received, failed: Vec<u32>, value: T) -> Self {
        Self { received, failed, value }
    }
}

/// Why the gate stays shut although all proofs are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// The input is not in the vector that all servers signed.
    NotConfirmed,
    /// A layer of the own batch did not open, and there is no trail for it.
    LayerDidNotOpen,
    /// A member of the chain is convicted.
    Convicted(ServerId),
}

/// Everything that is asked for on the way forward, except the mark, which is written last.
pub(crate) struct Checked {
    stage: Stage,
    received: Received,
}

impl Checked {
    /// Asks for everything at once.
    pub(crate) fn forward<T>(
        context: &RoundContext,
        layer: &ConfirmedLayer,
        linked: &Linked,
        held: &Held<T>,
        trail: Option<&Trail>,
        convictions: &Convictions,
    ) -> Result<Self, Shut> {
        let stage = linked.received.place.stage;
        if !layer.holds(&linked.input) || held.received != linked.received {
            return Err(Shut::NotConfirmed);
        }
        if let Some(member) = convictions.among(context, stage) {
            return Err(Shut::Convicted(member));
        }
        let excused = match context.verification() {
            Verification::Full => trail.is_some_and(|trail| {
                trail.place() == held.received.place
                    && *trail.root() == held.received.root
                    && trail.indices() == held.failed
            }),
            Verification::Aggregate => false,
            Verification::None => true,
        };
        if !held.failed.is_empty() && !excused {
            return Err(Shut::LayerDidNotOpen);
        }
        Ok(Self { stage, received: linked.received })
    }

    /// With the mark written, the permit.
    pub(crate) fn permit(self, once: Once) -> Permit {
        assert!(once.is_for(self.stage.forward(), self.stage.round), "the mark is for this act");
        Permit { received: self.received }
    }
}

/// Permission to let out what was made of one batch.
#[derive(Debug)]
pub(crate) struct Permit {
    received: Received,
}

/// That the forward gate was passed: what the proof and the way back need.
#[derive(Debug)]
pub(crate) struct PassedForward(Stage);

impl<T> Held<T> {
    /// Takes the value out.
    pub(crate) fn release(self, permit: Permit) -> (T, PassedForward) {
        assert!(self.received == permit.received, "the permit is for this batch");
        (self.value, PassedForward(permit.received.place.stage))
    }
}

/// Permission to let out the replies of one batch.
#[derive(Debug)]
pub(crate) struct ReturnPermit(());

impl PassedForward {
    /// On the way back a server needs that it passed the forward gate, no evidence, and the mark.
    /// Names a convicted member.
    pub(crate) fn may_return(&self, context: &RoundContext, convictions: &Convictions) -> Result<(), ServerId> {
        convictions.among(context, self.0).map_or(Ok(()), Err)
    }

    /// With the mark written, the permit.
    pub(crate) fn permit(self, once: Once) -> ReturnPermit {
        assert!(once.is_for(self.0.backward(), self.0.round), "the mark is for this act");
        ReturnPermit(())
    }
}

/// Replies sealed under this server's return keys, kept in until the gate of the way back opens.
#[derive(Debug)]
pub(crate) struct HeldReplies<T>(T);

impl<T> HeldReplies<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// Takes the replies out.
    pub(crate) fn release(self, _: ReturnPermit) -> T {
        self.0
    }
}
