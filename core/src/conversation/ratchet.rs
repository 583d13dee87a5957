//! The chain of keys that moves with the round number.
//!
//! From `ck_r` come the round's mailbox id and two message keys, one for each direction, all bound to network, lane and
//! round; `ck_{r+1} = H(ck_r)`. A key that was passed is gone: what is stolen later opens nothing from before.

use hippodrome_crypto::hash::Digest;

use super::{
    Role,
    codec::{ImportError, Reader, Writer},
    frame::{OpenKey, SealKey},
    secret::{Kdf, Secret},
};
use crate::wire::MAILBOX_LEN;

/// The most rounds that a chain advances in one step: a year of one-second rounds, a few seconds of hashing. A client
/// that was away for longer makes a new invite.
pub const MAX_ADVANCE: u64 = 1 << 25;

/// Why a chain of keys does not move to a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatchetError {
    /// The keys of that round were used or passed and no longer exist.
    #[error("round {round} is over for this conversation, the next possible one is {next}")]
    Past {
        /// The round asked for.
        round: u64,
        /// The earliest round whose keys still exist.
        next: u64,
    },
    /// The round is not due yet by the client's own clock.
    #[error("round {round} is ahead of this client's clock, which allows at most round {clock}")]
    BeyondClock {
        /// The round asked for.
        round: u64,
        /// The latest round that the clock allows.
        clock: u64,
    },
    /// The conversation has slept for too long.
    #[error("round {round} is {steps} rounds after the last one used, more than the limit of {MAX_ADVANCE}")]
    TooFar {
        /// The round asked for.
        round: u64,
        /// Steps to get there.
        steps: u64,
    },
}

/// What a chain of keys belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) network: Digest,
    pub(super) lane: u8,
}

/// The chain, standing before the round whose keys it gives next.
pub(super) struct Ratchet {
    key: Secret,
    round: u64,
    binding: Binding,
}

/// The mailbox and keys of one round, from the view of one side.
pub(super) struct RoundKeys {
    pub(super) mailbox: [u8; MAILBOX_LEN],
    pub(super) ours: SealKey,
    pub(super) theirs: OpenKey,
}

impl Ratchet {
    /// A chain whose first round is `round`.
    pub(super) fn new(key: Secret, round: u64, binding: Binding) -> Self {
        Self { key, round, binding }
    }

    /// Whether [`Ratchet::advance_to`] would succeed.
    pub(super) fn check(&self, round: u64, clock: u64) -> Result<(), RatchetError> {
        let steps = round.checked_sub(self.round).ok_or(RatchetError::Past { round, next: self.round })?;
        if round > clock || round == u64::MAX {
            return Err(RatchetError::BeyondClock { round, clock });
        }
        if steps > MAX_ADVANCE {
            return Err(RatchetError::TooFar { round, steps });
        }
        Ok(())
    }

    /// Moves to `round`, erasing every key before it. `clock` is the latest round that the client's own clock allows.
    pub(super) fn advance_to(&mut self, round: u64, clock: u64) -> Result<(), RatchetError> {
        self.check(round, clock)?;
        while self.round < round {
            self.step();
        }
        Ok(())
    }

    /// Moves behind `round`, whose keys are erased unused.
    pub(super) fn pass(&mut self, round: u64, clock: u64) -> Result<(), RatchetError> {
        self.advance_to(round, clock)?;
        self.step();
        Ok(())
    }

    /// The keys of `round`, once: afterwards the chain stands behind it.
    pub(super) fn take(&mut self, round: u64, clock: u64, role: Role) -> Result<RoundKeys, RatchetError> {
        self.advance_to(round, clock)?;
        let keys = RoundKeys {
            mailbox: self.derive("hippodrome v1 mailbox id").public(),
            ours: SealKey::new(self.message_key(role)),
            theirs: OpenKey::new(self.message_key(role.other())),
        };
        self.step();
        Ok(keys)
    }

    fn step(&mut self) {
        self.key = Kdf::new("hippodrome v1 next chain key").secret(&self.key).finish();
        self.round += 1;
    }

    fn derive(&self, label: &str) -> Kdf {
        let binding = &self.binding;
        Kdf::new(label).secret(&self.key).digest(&binding.network).fixed(&[binding.lane]).number(self.round)
    }

    fn message_key(&self, sender: Role) -> Secret {
        self.derive("hippodrome v1 message key").fixed(&[sender as u8]).finish()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.secret(&self.key);
        out.u64(self.round);
    }

    pub(super) fn read(input: &mut Reader<'_>, binding: Binding) -> Result<Self, ImportError> {
        Ok(Self { key: input.secret()?, round: input.u64()?, binding })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const BINDING: Binding = Binding { network: Digest([3; 32]), lane: 0 };

    fn chain(binding: Binding) -> Ratchet {
        Ratchet::new(Secret::new(&[7; 32]), 10, binding)
    }

    fn at(round: u64, binding: Binding, role: Role) -> ([u8; 16], [u8; 32], [u8; 32]) {
        let keys = chain(binding).take(round, round, role).expect("the clock allows it");
        let frame = super::super::frame::Frame {
            ack: super::super::frame::Ack::default(),
            body: super::super::frame::Body::Idle,
        };
        let (_, ours) = keys.ours.seal(&frame);
        (keys.mailbox, *ours.secret().expose(), *keys.theirs.secret().expose())
    }

    #[test]
    fn both_sides_meet_and_the_directions_share_no_key() {
        for round in 10..40 {
            let (mailbox, sends, opens) = at(round, BINDING, Role::Inviter);
            assert_eq!((mailbox, opens, sends), at(round, BINDING, Role::Acceptor));
            assert_ne!(sends, opens);
        }
    }

    #[test]
    fn every_round_lane_and_network_has_its_own_ids_and_keys() {
        let bindings = [
            BINDING,
            Binding { lane: 1, ..BINDING },
            Binding { network: Digest([4; 32]), ..BINDING },
            Binding { network: Digest([4; 32]), lane: 1 },
        ];
        let mut ids = HashSet::new();
        let mut keys = HashSet::new();
        for (binding, round) in bindings.iter().flat_map(|binding| (10..60).map(move |round| (*binding, round))) {
            let (mailbox, sends, opens) = at(round, binding, Role::Inviter);
            assert!(ids.insert(mailbox), "a mailbox id came twice");
            assert!(keys.insert(sends) && keys.insert(opens), "a key came twice");
        }
    }

    #[test]
    fn a_jump_gives_the_same_keys_as_single_steps() {
        let mut steps = chain(BINDING);
        for round in 10..50 {
            let keys = steps.take(round, 100, Role::Inviter).expect("in order");
            assert_eq!(keys.mailbox, at(round, BINDING, Role::Inviter).0);
        }
    }

    #[test]
    fn refuses_to_go_back_beyond_the_clock_or_too_far_and_stays_where_it_was() {
        let mut ratchet = chain(BINDING);
        let refused = |ratchet: &mut Ratchet, round, clock| ratchet.advance_to(round, clock).expect_err("refused");
        assert_eq!(refused(&mut ratchet, 9, 100), RatchetError::Past { round: 9, next: 10 });
        assert_eq!(refused(&mut ratchet, 11, 10), RatchetError::BeyondClock { round: 11, clock: 10 });
        assert_eq!(refused(&mut ratchet, 1 << 40, 12), RatchetError::BeyondClock { round: 1 << 40, clock: 12 });
        let far = 10 + MAX_ADVANCE + 1;
        assert_eq!(refused(&mut ratchet, far, far), RatchetError::TooFar { round: far, steps: MAX_ADVANCE + 1 });
        let keys = ratchet.take(10, 10, Role::Inviter).expect("nothing was erased");
        assert_eq!(keys.mailbox, at(10, BINDING, Role::Inviter).0);
        assert_eq!(refused(&mut ratchet, 10, 100), RatchetError::Past { round: 10, next: 11 });
    }

    #[test]
    fn the_last_round_number_of_all_does_not_overflow() {
        let mut ratchet = Ratchet::new(Secret::new(&[7; 32]), u64::MAX, BINDING);
        assert!(ratchet.take(u64::MAX, u64::MAX, Role::Inviter).is_err());
    }
}
