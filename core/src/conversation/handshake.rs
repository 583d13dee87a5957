//! From invite to root: what the two sides say to each other in the invite's mailboxes.
//!
//! The acceptor computes the root at once and says *hello* in every round until it hears *confirm*, a value that only
//! the holder of the root can know; the inviter, once it has the hello, takes turns between confirming there and
//! waiting in the conversation's own mailbox, until it opens a frame there. Nobody has to know that the other one
//! knows.

use core::fmt;

use hippodrome_crypto::hash::hex;
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};

use super::{
    codec::{ImportError, Reader, Writer},
    frame::Payload,
    invite::{Identity, IdentityKey, Invite, InviteError, Offer},
    ratchet::{Binding, Ratchet},
    secret::{Kdf, Secret},
};

const HELLO_LEN: usize = 72;

/// 40 digits that both people read to each other: equal on both sides only if nobody stands between them and neither
/// identity is a borrowed one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SafetyNumber([u8; 32]);

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, group) in self.0.chunks_exact(4).enumerate() {
            let number = u32::from_le_bytes(group.try_into().expect("groups of four bytes")) % 100_000;
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{number:05}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafetyNumber({self})")
    }
}

/// The acceptor's public half of the handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) ephemeral: [u8; 32],
    pub(super) identity: IdentityKey,
    pub(super) first_round: u64,
}

impl Hello {
    pub(super) fn payload(&self) -> Payload {
        let mut bytes = [0; HELLO_LEN];
        bytes[..32].copy_from_slice(&self.ephemeral);
        bytes[32..64].copy_from_slice(&self.identity.0);
        bytes[64..].copy_from_slice(&self.first_round.to_le_bytes());
        Payload::new(&bytes).expect("a hello fits into a frame")
    }

    pub(super) fn parse(payload: &Payload) -> Option<Self> {
        let mut input = Reader::new(payload.bytes());
        let hello = Self::read(&mut input).ok()?;
        input.finish().ok()?;
        Some(hello)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, ImportError> {
        Ok(Self { ephemeral: input.array()?, identity: IdentityKey(input.array()?), first_round: input.u64()? })
    }
}

/// What both sides have once they agree: the conversation's own chain and the proof of having it.
pub(super) struct Link {
    pub(super) root: Ratchet,
    pub(super) confirm: Secret,
    pub(super) hello: Hello,
    pub(super) partner: IdentityKey,
    pub(super) safety: SafetyNumber,
}

/// The three Diffie–Hellman values, inviter's key first: ephemeral–ephemeral for forward secrecy, and each identity
/// with the other side's ephemeral, so that neither side can borrow a name.
struct Exchange {
    ephemerals: Secret,
    inviter_proves: Secret,
    acceptor_proves: Secret,
}

impl Link {
    /// The acceptor's side: draws its ephemeral key and has the root at once.
    pub(super) fn accept(invite: &Invite, identity: &Identity, rng: &mut impl CryptoRng) -> Result<Self, InviteError> {
        if identity.key() == invite.inviter {
            return Err(InviteError::Own);
        }
        let ephemeral = StaticSecret::random_from_rng(rng);
        let exchange = Exchange::new(
            (&ephemeral, &invite.ephemeral),
            (&ephemeral, &invite.inviter.0),
            (&identity.0, &invite.ephemeral),
        )
        .ok_or(InviteError::Malformed("it holds a weak key"))?;
        let hello = Hello {
            ephemeral: PublicKey::from(&ephemeral).to_bytes(),
            identity: identity.key(),
            first_round: invite.schedule.first_round,
        };
        Ok(Self::agree(invite, hello, invite.inviter, &exchange))
    }

    /// The inviter's side; `None` if the hello does not fit the invite.
    pub(super) fn answer(offer: &Offer, hello: Hello) -> Option<Self> {
        let invite = &offer.invite;
        if hello.first_round != invite.schedule.first_round || hello.identity == invite.inviter {
            return None;
        }
        let exchange = Exchange::new(
            (&offer.ephemeral, &hello.ephemeral),
            (&offer.identity.0, &hello.ephemeral),
            (&offer.ephemeral, &hello.identity.0),
        )?;
        Some(Self::agree(invite, hello, hello.identity, &exchange))
    }

    fn agree(invite: &Invite, hello: Hello, partner: IdentityKey, exchange: &Exchange) -> Self {
        let schedule = &invite.schedule;
        let root = Kdf::new("hippodrome v1 root")
            .secret(&invite.secret)
            .secret(&exchange.ephemerals)
            .secret(&exchange.inviter_proves)
            .secret(&exchange.acceptor_proves)
            .digest(&invite.network)
            .fixed(&invite.id())
            .number(schedule.first_round)
            .fixed(&[schedule.lane])
            .number(schedule.stride.get().into())
            .fixed(&invite.inviter.0)
            .fixed(&hello.identity.0)
            .fixed(&invite.ephemeral)
            .fixed(&hello.ephemeral)
            .finish();
        let chain = Kdf::new("hippodrome v1 root chain").secret(&root).finish();
        Self {
            root: Ratchet::new(chain, schedule.first_round, invite.binding()),
            confirm: Kdf::new("hippodrome v1 confirm").secret(&root).finish(),
            hello,
            partner,
            safety: SafetyNumber(Kdf::new("hippodrome v1 safety number").secret(&root).public()),
        }
    }

    pub(super) fn confirm_payload(&self) -> Payload {
        Payload::new(self.confirm.expose()).expect("a confirmation fits into a frame")
    }

    pub(super) fn confirmed_by(&self, payload: &Payload) -> bool {
        payload.bytes().try_into().is_ok_and(|bytes| self.confirm.matches(bytes))
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.root.write(out);
        out.secret(&self.confirm);
        out.raw(self.hello.payload().bytes());
        out.raw(&self.partner.0);
        out.raw(&self.safety.0);
    }

    pub(super) fn read(input: &mut Reader<'_>, binding: Binding) -> Result<Self, ImportError> {
        Ok(Self {
            root: Ratchet::read(input, binding)?,
            confirm: input.secret()?,
            hello: Hello::read(input)?,
            partner: IdentityKey(input.array()?),
            safety: SafetyNumber(input.array()?),
        })
    }
}

impl Exchange {
    /// `None` if one of the keys is of small order, which would make its value known to everyone.
    fn new(
        ephemerals: (&StaticSecret, &[u8; 32]),
        inviter_proves: (&StaticSecret, &[u8; 32]),
        acceptor_proves: (&StaticSecret, &[u8; 32]),
    ) -> Option<Self> {
        Some(Self {
            ephemerals: diffie_hellman(ephemerals)?,
            inviter_proves: diffie_hellman(inviter_proves)?,
            acceptor_proves: diffie_hellman(acceptor_proves)?,
        })
    }
}

fn diffie_hellman((ours, theirs): (&StaticSecret, &[u8; 32])) -> Option<Secret> {
    let shared = ours.diffie_hellman(&PublicKey::from(*theirs));
    shared.was_contributory().then(|| Secret::new(shared.as_bytes()))
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hello({})", hex(&self.ephemeral[..6]))
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU16;

    use hippodrome_crypto::hash::Digest;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::conversation::invite::Schedule;

    const SCHEDULE: Schedule = Schedule { first_round: 4, lane: 1, stride: NonZeroU16::MIN };

    fn offer(rng: &mut ChaCha20Rng) -> Offer {
        let identity = Identity::random(rng);
        Offer::new(&Digest([1; 32]), &identity, SCHEDULE, rng)
    }

    #[test]
    fn both_sides_have_one_root_and_name_each_other() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (offer, bob) = (offer(&mut rng), Identity::random(&mut rng));
        let theirs = Link::accept(&offer.invite, &bob, &mut rng).expect("a good invite");
        let ours = Link::answer(&offer, theirs.hello).expect("a good hello");
        assert!(ours.confirmed_by(&theirs.confirm_payload()));
        assert_eq!(ours.safety, theirs.safety);
        assert_eq!(ours.safety.to_string().len(), 8 * 5 + 7);
        assert_eq!((ours.partner, theirs.partner), (bob.key(), offer.identity.key()));
    }

    /// What somebody who holds the code, but not `name`'s secret, can make of it.
    fn accept_as(name: IdentityKey, with: &Identity, invite: &Invite, rng: &mut ChaCha20Rng) -> Link {
        let ephemeral = StaticSecret::random_from_rng(rng);
        let public = PublicKey::from(&ephemeral).to_bytes();
        let hello = Hello { ephemeral: public, identity: name, first_round: invite.schedule.first_round };
        let exchange = Exchange::new(
            (&ephemeral, &invite.ephemeral),
            (&ephemeral, &invite.inviter.0),
            (&with.0, &invite.ephemeral),
        );
        Link::agree(invite, hello, invite.inviter, &exchange.expect("good keys"))
    }

    #[test]
    fn a_borrowed_name_on_either_side_gives_different_roots() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (mut offer, bob, mallory) = (offer(&mut rng), Identity::random(&mut rng), Identity::random(&mut rng));
        for (with, agrees) in [(&bob, true), (&mallory, false)] {
            let theirs = accept_as(bob.key(), with, &offer.invite, &mut rng);
            let ours = Link::answer(&offer, theirs.hello).expect("well formed");
            assert_eq!(ours.confirmed_by(&theirs.confirm_payload()), agrees, "somebody as Bob");
            assert_eq!(ours.safety == theirs.safety, agrees);
        }

        let honest = Link::accept(&offer.invite, &bob, &mut rng).expect("a good invite");
        offer.identity = mallory;
        let ours = Link::answer(&offer, honest.hello).expect("well formed");
        assert!(!ours.confirmed_by(&honest.confirm_payload()), "Mallory as the inviter");
    }

    #[test]
    fn the_code_and_both_identities_without_an_ephemeral_secret_are_not_enough() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let (offer, bob) = (offer(&mut rng), Identity::random(&mut rng));
        let theirs = Link::accept(&offer.invite, &bob, &mut rng).expect("a good invite");
        let thief = StaticSecret::random_from_rng(&mut rng);
        let exchange = Exchange::new(
            (&thief, &theirs.hello.ephemeral),
            (&offer.identity.0, &theirs.hello.ephemeral),
            (&bob.0, &offer.invite.ephemeral),
        );
        let guess = Link::agree(&offer.invite, theirs.hello, bob.key(), &exchange.expect("good keys"));
        assert!(!guess.confirmed_by(&theirs.confirm_payload()));
    }

    #[test]
    fn every_field_of_the_invite_is_under_the_root() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let (offer, bob) = (offer(&mut rng), Identity::random(&mut rng));
        let edits: [fn(&mut Invite); 4] = [
            |invite| invite.network = Digest([2; 32]),
            |invite| invite.schedule.lane = 2,
            |invite| invite.schedule.stride = NonZeroU16::MAX,
            |invite| invite.secret = Secret::new(&[0; 32]),
        ];
        for edit in edits {
            let code = offer.invite.code();
            let mut altered = Invite::parse(code.reveal(), &Digest([1; 32])).expect("a good code");
            edit(&mut altered);
            let theirs = Link::accept(&altered, &bob, &mut rng).expect("well formed");
            let ours = Link::answer(&offer, theirs.hello).expect("well formed");
            assert!(!ours.confirmed_by(&theirs.confirm_payload()));
            assert_ne!(ours.safety, theirs.safety);
        }
    }

    #[test]
    fn refuses_weak_keys_wrong_rounds_and_oneself() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let (mut offer, bob) = (offer(&mut rng), Identity::random(&mut rng));
        assert_eq!(Link::accept(&offer.invite, &offer.identity, &mut rng).err(), Some(InviteError::Own));
        let hello = Link::accept(&offer.invite, &bob, &mut rng).expect("a good invite").hello;
        assert!(Link::answer(&offer, Hello { ephemeral: [0; 32], ..hello }).is_none());
        assert!(Link::answer(&offer, Hello { identity: IdentityKey([0; 32]), ..hello }).is_none());
        assert!(Link::answer(&offer, Hello { identity: offer.identity.key(), ..hello }).is_none());
        assert!(Link::answer(&offer, Hello { first_round: 5, ..hello }).is_none());
        offer.invite.ephemeral = [0; 32];
        let weak = Link::accept(&offer.invite, &bob, &mut rng).err();
        assert_eq!(weak, Some(InviteError::Malformed("it holds a weak key")));
    }
}
