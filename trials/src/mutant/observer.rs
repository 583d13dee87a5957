//! What a server can tell of a round from the messages that it gets: the digest under which everybody signs.

use std::{collections::BTreeMap, sync::Arc};

use hippodrome_core::{
    descriptor::Descriptor,
    directory::Directory,
    epoch::{Epoch, EpochDraft},
    ids::{RosterId, Round},
    message::{DescriptorProposal, EpochStart, Message},
    pledge::NoisePledge,
    roster::Roster,
};
use hippodrome_crypto::hash::Digest;

/// Rounds whose descriptors are remembered.
const ROUNDS: usize = 32;
/// Rosters that are remembered.
const ROSTERS: usize = 8;

/// Reads along.
pub(super) struct Observer {
    directory: Arc<Directory>,
    rosters: BTreeMap<RosterId, Arc<Roster>>,
    proposed: BTreeMap<Round, (Digest, Arc<Roster>)>,
}

impl Observer {
    pub(super) fn new(directory: Arc<Directory>) -> Self {
        Self { directory, rosters: BTreeMap::new(), proposed: BTreeMap::new() }
    }

    /// Takes in a message of the coordinator; gives a round that it announces, with its digest and roster.
    pub(super) fn observe(&mut self, message: &Message) -> Option<(Round, Digest, Arc<Roster>)> {
        match message {
            Message::EpochStart(start) => {
                let epoch = self.verify(start)?;
                self.learn(Roster::new(&self.directory, Arc::new(epoch)));
            }
            Message::AmendmentStart(start) => {
                let (_, last) = self.rosters.range(..start.amendment.id()).next_back()?;
                let amended = last.amend(&self.directory, start).ok()?;
                self.learn(amended);
            }
            Message::DescriptorProposal(proposal) => self.propose(proposal)?,
            Message::Announcement(announced) => {
                let (digest, roster) = self.proposed.get(&announced.round)?;
                return Some((announced.round, *digest, Arc::clone(roster)));
            }
            _ => {}
        }
        None
    }

    fn verify(&self, start: &EpochStart) -> Option<Epoch> {
        let draft = EpochDraft::new(&self.directory, start.plan.clone(), &start.shares).ok()?;
        draft.verify(&self.directory, &start.signatures).ok()
    }

    fn learn(&mut self, roster: Roster) {
        self.rosters.insert(roster.id(), Arc::new(roster));
        if self.rosters.len() > ROSTERS {
            self.rosters.pop_first();
        }
    }

    fn propose(&mut self, proposal: &DescriptorProposal) -> Option<()> {
        let roster = self.rosters.get(&proposal.roster)?;
        let pledges = proposal.pledges.iter().map(NoisePledge::digest).collect();
        let descriptor = Descriptor::new(&self.directory, roster, proposal.round, &proposal.keys, pledges).ok()?;
        self.proposed.insert(proposal.round, (*descriptor.digest(), Arc::clone(roster)));
        if self.proposed.len() > ROUNDS {
            self.proposed.pop_first();
        }
        Some(())
    }
}
