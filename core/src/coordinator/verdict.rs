//! Who is at fault where a round failed, as far as that can be told without evidence: those who said nothing; else the
//! link of which the earliest complaints speak, since all that comes later follows from what came first.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    ids::{Layer, Place, Position, ServerId, Stage},
    message::{AbortReason, Awaited, Ground, Strike},
};

/// How early in a round something is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Another has broken a rule.
    Accusation,
    /// Layer by layer what each waits for.
    Missing(Layer, Awaited),
    /// The way back, which begins with the last hop of the last layer: layer and position of the hop whose replies are
    /// replaced, or have not come to the owners of noise.
    Replies(Reverse<(Layer, Position)>),
}

/// A server's word that it missed something, or that another broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Complaint {
    rank: Rank,
    from: ServerId,
    about: ServerId,
}

impl Complaint {
    /// Who is complained of.
    pub(super) fn about(&self) -> ServerId {
        self.about
    }

    /// Whether it is of replies. Who has ended its part of a round sends none, and has said so.
    pub(super) fn is_about_replies(&self) -> bool {
        matches!(self.rank, Rank::Replies(_))
    }
}

/// What an abort says about faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Another server is at fault, or the link to it.
    Complaint(Complaint),
    /// Its sender is at fault, and says so.
    Own,
    /// Nothing about anybody.
    Nothing,
}

/// What an abort of `from` says.
pub(super) fn word(from: ServerId, stage: Stage, reason: &AbortReason) -> Word {
    let complaint = |rank, about| match about == from {
        true => Word::Nothing,
        false => Word::Complaint(Complaint { rank, from, about }),
    };
    match reason {
        AbortReason::Deadline(missing) => match missing.from {
            Some(about) if missing.what == Awaited::Replies => {
                complaint(Rank::Replies(Reverse((stage.layer, Position(0)))), about)
            }
            Some(about) => complaint(Rank::Missing(stage.layer, missing.what), about),
            // The first server of an input chain waits for what the coordinator has sent it, and nobody else saw.
            None if stage.layer == Layer(0) && missing.what == Awaited::Input => Word::Own,
            None => Word::Nothing,
        },
        AbortReason::BadMessage(about) | AbortReason::BadProof(about) | AbortReason::Equivocation(about) => {
            complaint(Rank::Accusation, *about)
        }
        AbortReason::DroppedNoise(about) | AbortReason::FalseClaim(about) => complaint(Rank::Accusation, *about),
        AbortReason::NoiseLeftOut(about) => complaint(Rank::Missing(Layer(0), Awaited::Input), *about),
        AbortReason::BadReceipt(about) => complaint(Rank::Missing(Layer(0), Awaited::Receipt), *about),
        AbortReason::Storage => Word::Own,
        // The convicted is struck for the evidence; what did not open may be a client's doing; a restart is seen by
        // itself.
        AbortReason::Convicted(_)
        | AbortReason::LayerDidNotOpen
        | AbortReason::ActedBefore
        | AbortReason::NoiseMissing
        | AbortReason::Unproven => Word::Nothing,
    }
}

/// What it says that a server has replaced the replies of another one's hop: one of the two is at fault. Who has replaced
/// what it had itself sent is.
pub(super) fn replaced(from: ServerId, about: ServerId, hop: Place) -> Word {
    let rank = Rank::Replies(Reverse((hop.stage.layer, hop.position)));
    if about == from { Word::Own } else { Word::Complaint(Complaint { rank, from, about }) }
}

/// How often each server came off where it and another blamed each other, and only one could be struck.
///
/// Nobody sees which of the two lies. So the one that came off more often is struck: a liar that drives out an honest
/// server loses against all others of whom that is not true, and drives out one more than it is struck itself at most.
#[derive(Debug, Default)]
pub(super) struct Disputes(BTreeMap<ServerId, u32>);

impl Disputes {
    fn won(&self, server: ServerId) -> u32 {
        self.0.get(&server).copied().unwrap_or(0)
    }

    /// Which end of a complaint is struck: where both came off as often, the one that is complained of.
    fn settle(&mut self, complaint: &Complaint) -> ServerId {
        let Complaint { from, about, .. } = *complaint;
        let (struck, spared) = if self.won(from) > self.won(about) { (from, about) } else { (about, from) };
        self.came_off(spared);
        struck
    }

    pub(super) fn came_off(&mut self, server: ServerId) {
        let won = self.0.entry(server).or_default();
        *won = won.saturating_add(1);
    }
}

/// What was heard in a round that failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Active servers that sent neither report nor abort.
    pub(super) silent: Vec<ServerId>,
    /// Those who say that they are at fault themselves.
    pub(super) own: BTreeSet<ServerId>,
    /// What they say of others.
    pub(super) complaints: BTreeSet<Complaint>,
    /// First servers of chains whose replies never came.
    pub(super) replies_missing: Vec<ServerId>,
}

impl Heard {
    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.silent.is_empty() && self.own.is_empty() && self.complaints.is_empty() && self.replies_missing.is_empty()
    }

    /// Whether a server says that another broke a rule.
    pub(super) fn is_accusation(&self) -> bool {
        self.complaints.first().is_some_and(|complaint| complaint.rank == Rank::Accusation)
    }

    /// Those who kept others waiting first, unless something else counts before that.
    pub(super) fn awaited_first(&self) -> BTreeSet<ServerId> {
        let counts = self.silent.is_empty() && self.own.is_empty() && !self.is_accusation();
        let first = self.complaints.first().filter(|_| counts);
        let earliest =
            self.complaints.iter().filter(|complaint| first.is_some_and(|first| first.rank == complaint.rank));
        earliest.map(|complaint| complaint.about).collect()
    }

    /// Whom to strike; `limit` is how many may be. Complaints of more than `bad_servers` are true of one of them at
    /// least; where there are fewer, complaining costs as much as being complained of, in the long run if only one may
    /// be struck.
    pub(super) fn judge(&self, bad_servers: usize, limit: usize, disputes: &mut Disputes) -> Vec<Strike> {
        let strikes = |servers: &[ServerId], ground| servers.iter().map(|&server| Strike { server, ground }).collect();
        if !self.silent.is_empty() {
            return strikes(&self.silent, Ground::Silent);
        }
        if !self.own.is_empty() {
            return strikes(&Vec::from_iter(self.own.iter().copied()), Ground::Aborted);
        }
        let Some(first) = self.complaints.first() else {
            let silent = if self.complaints.is_empty() { &*self.replies_missing } else { &[] };
            return strikes(silent, Ground::Silent);
        };
        let earliest: Vec<_> = self.complaints.iter().filter(|complaint| complaint.rank == first.rank).collect();
        let mut by_target = BTreeMap::<ServerId, usize>::new();
        earliest.iter().for_each(|complaint| *by_target.entry(complaint.about).or_default() += 1);
        let ground = if first.rank == Rank::Accusation { Ground::Aborted } else { Ground::Silent };
        let agreed: Vec<_> = by_target.iter().filter(|(_, count)| **count > bad_servers).map(|(id, _)| *id).collect();
        if !agreed.is_empty() {
            return strikes(&agreed, ground);
        }
        let (from, about) = (first.from, first.about);
        let both = [Strike { server: about, ground }, Strike { server: from, ground: Ground::Aborted }];
        let struck = (limit < both.len()).then(|| disputes.settle(first));
        both.into_iter().filter(|strike| struck.is_none_or(|struck| strike.server == struck)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{ChainId, Round},
        message::Missing,
    };

    fn heard(aborts: &[(u16, u8, AbortReason)]) -> Heard {
        let mut heard = Heard::default();
        for (from, layer, reason) in aborts {
            let stage = Stage { round: Round(1), layer: Layer(*layer), chain: ChainId(0) };
            match word(ServerId(*from), stage, reason) {
                Word::Complaint(complaint) => drop(heard.complaints.insert(complaint)),
                Word::Own => drop(heard.own.insert(ServerId(*from))),
                Word::Nothing => {}
            }
        }
        heard
    }

    fn waits(what: Awaited, from: u16) -> AbortReason {
        AbortReason::Deadline(Missing { what, from: Some(ServerId(from)) })
    }

    fn servers(strikes: &[Strike]) -> Vec<u16> {
        strikes.iter().map(|strike| strike.server.0).collect()
    }

    #[test]
    fn whoever_says_nothing_is_struck_whatever_others_complain_of() {
        let complaints = [(0, 0, waits(Awaited::Confirmations, 1)), (2, 0, AbortReason::Storage)];
        let heard = Heard { silent: vec![ServerId(3)], ..heard(&complaints) };
        assert_eq!(
            heard.judge(1, 2, &mut Disputes::default()),
            [Strike { server: ServerId(3), ground: Ground::Silent }]
        );
    }

    #[test]
    fn the_earliest_complaint_counts_and_costs_both_ends_of_its_link() {
        let heard = heard(&[
            (4, 0, waits(Awaited::Batch, 0)),
            (0, 0, waits(Awaited::Confirmations, 1)),
            (1, 0, waits(Awaited::Confirmations, 0)),
            (5, 1, waits(Awaited::Input, 4)),
        ]);
        assert_eq!(servers(&heard.judge(1, 2, &mut Disputes::default())), [1, 0]);
        assert_eq!(
            servers(&heard.judge(1, 1, &mut Disputes::default())),
            [1],
            "where only one may be struck, one is enough"
        );
    }

    #[test]
    fn of_links_whose_replies_were_replaced_the_one_nearest_to_the_mailboxes_costs_both_its_ends() {
        let hop = |layer, position| {
            let stage = Stage { round: Round(1), layer: Layer(layer), chain: ChainId(0) };
            Place { stage, position: Position(position) }
        };
        let links = [(0, 1, hop(0, 1)), (2, 3, hop(1, 2)), (3, 1, hop(1, 0))];
        let words = links.map(|(from, about, hop)| replaced(ServerId(from), ServerId(about), hop));
        let mut heard = heard(&[]);
        let complaints = words.iter().filter_map(|word| match word {
            Word::Complaint(complaint) => Some(*complaint),
            _ => None,
        });
        heard.complaints.extend(complaints);
        assert_eq!(servers(&heard.judge(1, 2, &mut Disputes::default())), [3, 2]);
        // Whoever missed something on the way forward waited longest.
        heard.complaints.extend(self::heard(&[(4, 1, waits(Awaited::Batch, 5))]).complaints);
        assert_eq!(servers(&heard.judge(1, 2, &mut Disputes::default())), [5, 4]);
        assert_eq!(replaced(ServerId(1), ServerId(1), hop(1, 0)), Word::Own, "what it sends itself it cannot miss");
    }

    #[test]
    fn a_first_server_that_hands_out_nothing_is_struck_alone_once_enough_owners_say_so() {
        let about_two = [0, 1, 3].map(|from| (from, 0, waits(Awaited::Replies, 2)));
        assert_eq!(servers(&heard(&about_two).judge(2, 2, &mut Disputes::default())), [2]);
        // One that says so alone has as much to lose.
        assert_eq!(servers(&heard(&about_two[..1]).judge(2, 2, &mut Disputes::default())), [2, 0]);
        // It comes behind all else that is missed in a round.
        let both = [about_two[0], (4, 1, waits(Awaited::Batch, 5))];
        assert_eq!(servers(&heard(&both).judge(2, 2, &mut Disputes::default())), [5, 4]);
    }

    #[test]
    fn where_only_one_may_be_struck_a_liar_loses_about_as_often_as_it_wins() {
        let mut disputes = Disputes::default();
        let mut struck = [0_u32; 4];
        for lie in 0..100_u16 {
            // It accuses whoever has come off most often so far, or lets that one complain.
            let victim = (1..4).max_by_key(|id| disputes.won(ServerId(*id))).expect("three others");
            let (from, about) = if lie % 3 == 0 { (victim, 0) } else { (0, victim) };
            let heard = heard(&[(from, 0, AbortReason::BadMessage(ServerId(about)))]);
            for id in servers(&heard.judge(1, 1, &mut disputes)) {
                struck[usize::from(id)] += 1;
            }
            let honest: u32 = struck[1..].iter().sum();
            assert!(honest <= struck[0] + 1, "after lie {lie}: {struck:?}");
        }
        assert_eq!(struck.iter().sum::<u32>(), 100, "somebody is struck each time: {struck:?}");
    }

    #[test]
    fn one_of_whom_more_complain_than_may_be_bad_is_struck_alone() {
        let about_two: Vec<_> = [0, 1, 3].map(|from| (from, 0, waits(Awaited::Inputs, 2))).into();
        assert_eq!(servers(&heard(&about_two).judge(1, 2, &mut Disputes::default())), [2]);
        assert_eq!(servers(&heard(&about_two).judge(3, 2, &mut Disputes::default())).len(), 2);
    }

    #[test]
    fn accusations_come_before_complaints_and_a_full_disk_is_its_owners_fault() {
        let accused = heard(&[(0, 0, waits(Awaited::Input, 1)), (3, 1, AbortReason::BadProof(ServerId(4)))]);
        assert_eq!(servers(&accused.judge(1, 2, &mut Disputes::default())), [4, 3]);
        let deaf = heard(&[(0, 0, AbortReason::Deadline(Awaited::Input.into())), (1, 0, waits(Awaited::Input, 0))]);
        assert_eq!(
            servers(&deaf.judge(1, 2, &mut Disputes::default())),
            [0],
            "what the coordinator sent does not reach it"
        );
        let full = heard(&[(0, 0, waits(Awaited::Input, 1)), (1, 0, AbortReason::Storage)]);
        assert_eq!(
            full.judge(1, 2, &mut Disputes::default()),
            [Strike { server: ServerId(1), ground: Ground::Aborted }]
        );
    }

    #[test]
    fn nobody_is_struck_for_what_names_nobody() {
        let reasons = [
            AbortReason::LayerDidNotOpen,
            AbortReason::ActedBefore,
            AbortReason::Convicted(ServerId(1)),
            AbortReason::Deadline(Awaited::Confirmations.into()),
            waits(Awaited::Input, 0),
        ];
        assert_eq!(heard(&reasons.map(|reason| (0, 0, reason))).judge(1, 2, &mut Disputes::default()), []);
        let kept_back = Heard { replies_missing: vec![ServerId(5)], ..Heard::default() };
        assert_eq!(servers(&kept_back.judge(1, 2, &mut Disputes::default())), [5]);
    }
}
