//! The gate: nothing that depends on a server's round secrets leaves it before the server has itself checked what the
//! gate asks for. Enforced by types: a [`Held`] value can be taken out only with a [`Permit`], and a permit is made
//! only here, from the witnesses of the checks.
//!
//! | asked for | witness |
//! |---|---|
//! | it has not acted on this round, layer, chain and direction before | [`Once`] |
//! | the input is signed by all members, and all servers signed one vector that holds it | [`SignedInput`], [`ConfirmedLayer`] |
//! | every proof upstream holds, over linked lists from the confirmed input to the batch received | [`Linked`] |
//! | every layer of the own batch has opened | counted in [`Held`], looked at here |
//! | no verified evidence against a member of the chain | [`Convictions`] |

use std::collections::BTreeSet;

use hippodrome_crypto::{
    hash::Digest,
    shuffle::{Strength, VerifiedHop},
};

use super::{confirm::ConfirmedLayer, context::RoundContext, input::SignedInput};
use crate::{
    ids::{Place, Position, ServerId, Stage},
    marks::Once,
    params::Verification,
    statement,
};

/// Servers against whom this server has itself seen evidence, each in an epoch by its number: a new epoch, which the
/// coordinator may begin at any time, takes no evidence away from rounds that are under way.
#[derive(Debug, Default)]
pub(crate) struct Convictions(BTreeSet<(u64, ServerId)>);

impl Convictions {
    pub(crate) fn convict(&mut self, context: &RoundContext, server: ServerId) {
        self.0.insert((context.roster.id().epoch, server));
    }

    /// A member of the chain against whom there is evidence in the round's epoch.
    fn among(&self, context: &RoundContext, stage: Stage) -> Option<ServerId> {
        let epoch = context.roster.id().epoch;
        context.members(stage).iter().copied().find(|member| self.0.contains(&(epoch, *member)))
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

/// Proof that the batch received descends from the chain's confirmed input, hop by hop.
#[derive(Debug)]
pub(crate) struct Linked {
    input: SignedInput,
    received: Received,
}

/// Which hop upstream does not link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unlinked(pub(crate) ServerId);

impl Linked {
    /// Links the verified hops before `received.place` into one line. Each is checked for being the hop that it should
    /// be: place and server, base and blinding key of the descriptor, strength, and both lists and roots.
    pub(crate) fn new(
        context: &RoundContext,
        input: SignedInput,
        hops: &[VerifiedHop],
        received: Received,
    ) -> Result<Self, Unlinked> {
        let stage = received.place.stage;
        let members = context.members(stage);
        let start = input.commitment();
        let mut line = (start.keys, start.root, start.count as usize);
        let needed = match context.verification() {
            Verification::None => return Ok(Self { input, received }),
            // An empty batch has no keys to prove anything about; that it stayed empty is checked at the end.
            _ if start.count == 0 => 0,
            _ => usize::from(received.place.position.0),
        };
        for (index, &server) in members.iter().enumerate().take(needed) {
            let place = Place { stage, position: Position(index as u8) };
            let hop = hops.get(index).ok_or(Unlinked(server))?;
            let line_holds = (*hop.input_keys(), *hop.input_root(), hop.count()) == line;
            if !line_holds || !is_hop(context, place, server, hop) {
                return Err(Unlinked(server));
            }
            line = (*hop.output_keys(), *hop.output_root(), hop.count());
        }
        let predecessor = members[usize::from(received.place.position.0).saturating_sub(1)];
        let end = (received.keys, received.root, received.count);
        let arrived = if start.count == 0 { received.count == 0 } else { line == end };
        if arrived { Ok(Self { input, received }) } else { Err(Unlinked(predecessor)) }
    }
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
        && *hop.removed() == statement::no_removals()
}

/// Something that depends on a server's round secrets, kept in until the gate opens.
#[derive(Debug)]
pub(crate) struct Held<T> {
    received: Received,
    unopened: usize,
    value: T,
}

impl<T> Held<T> {
    /// Holds what was made of a batch, `unopened` of whose layers did not open.
    pub(crate) fn new(received: Received, unopened: usize, value: T) -> Self {
        Self { received, unopened, value }
    }
}

/// Why the gate stays shut although all proofs are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// The input is not in the vector that all servers signed.
    NotConfirmed,
    /// A layer of the own batch did not open.
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
        convictions: &Convictions,
    ) -> Result<Self, Shut> {
        let stage = linked.received.place.stage;
        if !layer.holds(&linked.input) || held.received != linked.received {
            return Err(Shut::NotConfirmed);
        }
        if let Some(member) = convictions.among(context, stage) {
            return Err(Shut::Convicted(member));
        }
        if held.unopened > 0 && context.verification() != Verification::None {
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
