//! The invite: one line of text that one person hands to another, by a way that both trust.
//!
//! `hippo1-` and 192 characters of Crockford's base 32 (no I, L, O or U; case does not matter) over 120 bytes: version,
//! first 8 bytes of the network id, first round (8), lane (1), stride (2), invite secret (32), the inviter's ephemeral
//! X25519 key (32), the inviter's identity key (32), checksum (4). Whoever holds the code can find the handshake's
//! mailboxes and answer first; the safety number is what shows that.

use core::{fmt, num::NonZeroU16};

use data_encoding::{Encoding, Specification};
use hippodrome_crypto::hash::{Digest, Hasher, hex};
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{
    codec::{ImportError, Reader, Writer},
    ratchet::{Binding, Ratchet},
    secret::{Kdf, Secret},
};

const PREFIX: &str = "hippo1-";
const VERSION: u8 = 1;
const NETWORK_LEN: usize = 8;
const BODY_LEN: usize = 116;
const CHECKSUM_LEN: usize = 4;
const SYMBOLS: usize = (BODY_LEN + CHECKSUM_LEN) * 8 / 5;

/// Why a code is not an invite that this person can accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It does not begin like an invite.
    #[error("an invite code begins with `{PREFIX}`")]
    Prefix,
    /// It holds a character that no invite has.
    #[error("character {position} of the invite code is not a letter or digit of its alphabet")]
    Character {
        /// Position in the code, from 1.
        position: usize,
    },
    /// Its end is missing.
    #[error("the invite code is cut off: {found} of {SYMBOLS} characters after `{PREFIX}`")]
    Truncated {
        /// Characters after the prefix.
        found: usize,
    },
    /// Something follows its end.
    #[error("the invite code is too long: {found} instead of {SYMBOLS} characters after `{PREFIX}`")]
    TooLong {
        /// Characters after the prefix.
        found: usize,
    },
    /// A character is wrong.
    #[error("the invite code has a typing error: its checksum does not fit")]
    Checksum,
    /// Made by a version of the program that this one does not know.
    #[error("the invite code has version {0}, this program knows version {VERSION}")]
    Version(u8),
    /// It is for another network.
    #[error("the invite code is for network {found}…, this client is on {expected}…")]
    WrongNetwork {
        /// Beginning of this client's network id, hexadecimal.
        expected: String,
        /// Beginning of the network id in the code, hexadecimal.
        found: String,
    },
    /// It was made by the same person.
    #[error("this is your own invite: it is for the person you want to talk to")]
    Own,
    /// Its maker did not follow the rules.
    #[error("the invite code is malformed: {0}")]
    Malformed(&'static str),
}

/// A person's public identity: an X25519 key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdentityKey(pub [u8; 32]);

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({})", hex(&self.0[..6]))
    }
}

/// A person's long-term secret, mixed into the root of every conversation.
pub struct Identity(pub(super) StaticSecret);

impl Identity {
    /// Draws a new identity.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(StaticSecret::random_from_rng(rng))
    }

    /// Reads the 32 bytes of a key file.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(StaticSecret::from(*bytes))
    }

    /// The 32 bytes, for a key file with strict permissions.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The public half.
    pub fn key(&self) -> IdentityKey {
        IdentityKey(PublicKey::from(&self.0).to_bytes())
    }

    pub(super) fn duplicate(&self) -> Self {
        Self::from_bytes(self.expose())
    }
}

/// When two people meet: in lane `lane` of rounds `first_round`, `first_round + stride`, … These rounds are used for
/// this conversation alone, with or without text, so that no contact learns from gaps when another one is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The first common round.
    pub first_round: u64,
    /// The slot of a round that belongs to this conversation.
    pub lane: u8,
    /// Rounds from one meeting to the next.
    pub stride: NonZeroU16,
}

impl Schedule {
    /// The number of the meeting in this round, from 0; `None` if the two don't meet in it.
    pub fn turn(&self, round: u64) -> Option<u64> {
        let since = round.checked_sub(self.first_round)?;
        let stride = u64::from(self.stride.get());
        since.is_multiple_of(stride).then(|| since / stride)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.first_round);
        out.u8(self.lane);
        out.u16(self.stride.get());
    }

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, ImportError> {
        let (first_round, lane) = (input.u64()?, input.u8()?);
        let stride = NonZeroU16::new(input.u16()?).ok_or(ImportError::Invalid("its stride is 0"))?;
        Ok(Self { first_round, lane, stride })
    }
}

/// The code as text: a secret until it was used.
pub struct InviteCode(Zeroizing<String>);

impl InviteCode {
    /// The line to hand over.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What the code says; both sides have it.
pub(super) struct Invite {
    pub(super) network: Digest,
    pub(super) schedule: Schedule,
    pub(super) inviter: IdentityKey,
    pub(super) ephemeral: [u8; 32],
    pub(super) secret: Secret,
}

impl Invite {
    /// Names the invite without showing its secret.
    pub(super) fn id(&self) -> [u8; 32] {
        Kdf::new("hippodrome v1 invite id").secret(&self.secret).public()
    }

    /// The chain of the handshake's mailboxes.
    pub(super) fn ratchet(&self) -> Ratchet {
        let key = Kdf::new("hippodrome v1 invite chain").secret(&self.secret).fixed(&self.ephemeral).finish();
        Ratchet::new(key, self.schedule.first_round, self.binding())
    }

    pub(super) fn binding(&self) -> Binding {
        Binding { network: self.network, lane: self.schedule.lane }
    }

    /// The code for this invite.
    pub(super) fn code(&self) -> InviteCode {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_LEN + CHECKSUM_LEN));
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.network.as_bytes()[..NETWORK_LEN]);
        bytes.extend_from_slice(&self.schedule.first_round.to_le_bytes());
        bytes.push(self.schedule.lane);
        bytes.extend_from_slice(&self.schedule.stride.get().to_le_bytes());
        bytes.extend_from_slice(self.secret.expose());
        bytes.extend_from_slice(&self.ephemeral);
        bytes.extend_from_slice(&self.inviter.0);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let mut code = Zeroizing::new(String::with_capacity(PREFIX.len() + SYMBOLS));
        code.push_str(PREFIX);
        alphabet().encode_append(&bytes, &mut code);
        InviteCode(code)
    }

    /// Reads a code on `network`.
    pub(super) fn parse(code: &str, network: &Digest) -> Result<Self, InviteError> {
        let bytes = decode(code)?;
        let (body, sum) = bytes.split_at(BODY_LEN);
        if checksum(body) != sum {
            return Err(InviteError::Checksum);
        }
        let mut fields = Reader::new(body);
        Self::read_code(&mut fields, network)
    }

    fn read_code(fields: &mut Reader<'_>, network: &Digest) -> Result<Self, InviteError> {
        let malformed = |error| match error {
            ImportError::Invalid(what) => InviteError::Malformed(what),
            _ => InviteError::Malformed("a field is missing"),
        };
        let version = fields.u8().map_err(malformed)?;
        if version != VERSION {
            return Err(InviteError::Version(version));
        }
        let found: [u8; NETWORK_LEN] = fields.array().map_err(malformed)?;
        let expected = &network.as_bytes()[..NETWORK_LEN];
        if found != *expected {
            return Err(InviteError::WrongNetwork { expected: hex(expected), found: hex(&found) });
        }
        let schedule = Schedule::read(fields).map_err(malformed)?;
        let secret = fields.secret().map_err(malformed)?;
        let ephemeral = fields.array().map_err(malformed)?;
        let inviter = IdentityKey(fields.array().map_err(malformed)?);
        Ok(Self { network: *network, schedule, inviter, ephemeral, secret })
    }
}

/// The inviter's half, until somebody answers: with it go the secrets that make the root, so it answers once.
pub(super) struct Offer {
    pub(super) invite: Invite,
    pub(super) ephemeral: StaticSecret,
    pub(super) identity: Identity,
}

impl Offer {
    pub(super) fn new(network: &Digest, identity: &Identity, schedule: Schedule, rng: &mut impl CryptoRng) -> Self {
        let ephemeral = StaticSecret::random_from_rng(rng);
        let invite = Invite {
            network: *network,
            schedule,
            inviter: identity.key(),
            ephemeral: PublicKey::from(&ephemeral).to_bytes(),
            secret: Secret::random(rng),
        };
        Self { invite, ephemeral, identity: identity.duplicate() }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.secret(&self.invite.secret);
        out.raw(self.ephemeral.as_bytes());
        out.raw(self.identity.expose());
    }

    pub(super) fn read(input: &mut Reader<'_>, network: Digest, schedule: Schedule) -> Result<Self, ImportError> {
        let secret = input.secret()?;
        let ephemeral = StaticSecret::from(*input.secret()?.expose());
        let identity = Identity::from_bytes(input.secret()?.expose());
        let public = PublicKey::from(&ephemeral).to_bytes();
        let invite = Invite { network, schedule, inviter: identity.key(), ephemeral: public, secret };
        Ok(Self { invite, ephemeral, identity })
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let digest = Hasher::new("hippodrome v1 invite checksum").bytes(body).finish();
    [digest.0[0], digest.0[1], digest.0[2], digest.0[3]]
}

/// The bytes of a code, checksum included.
fn decode(code: &str) -> Result<Zeroizing<Vec<u8>>, InviteError> {
    let code = code.trim();
    let head = code.get(..PREFIX.len()).ok_or(InviteError::Prefix)?;
    if !head.eq_ignore_ascii_case(PREFIX) {
        return Err(InviteError::Prefix);
    }
    let symbols = &code.as_bytes()[PREFIX.len()..];
    if let Some(at) = symbols.iter().position(|byte| !is_symbol(*byte)) {
        return Err(InviteError::Character { position: PREFIX.len() + at + 1 });
    }
    match symbols.len() {
        found if found < SYMBOLS => return Err(InviteError::Truncated { found }),
        found if found > SYMBOLS => return Err(InviteError::TooLong { found }),
        _ => {}
    }
    let bytes = alphabet().decode(symbols).map_err(|_| InviteError::Malformed("it is not base 32"))?;
    Ok(Zeroizing::new(bytes))
}

fn is_symbol(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() && !byte.eq_ignore_ascii_case(&b'u')
}

/// Crockford's base 32: look-alikes are read as the digits that they resemble.
fn alphabet() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
    specification.translate.from.push_str("ABCDEFGHJKMNPQRSTVWXYZoOiIlL");
    specification.translate.to.push_str("abcdefghjkmnpqrstvwxyz001111");
    specification.encoding().expect("the alphabet has 32 different symbols")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    const NETWORK: Digest = Digest([5; 32]);

    fn schedule() -> Schedule {
        Schedule { first_round: 77, lane: 3, stride: NonZeroU16::new(9).expect("not 0") }
    }

    fn invite() -> Invite {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let identity = Identity::random(&mut rng);
        Offer::new(&NETWORK, &identity, schedule(), &mut rng).invite
    }

    fn error(code: &str) -> InviteError {
        Invite::parse(code, &NETWORK).err().expect("refused")
    }

    #[test]
    fn a_code_is_one_line_and_reads_back_in_any_case_with_look_alikes() {
        let invite = invite();
        let code = invite.code();
        assert_eq!(code.reveal().len(), PREFIX.len() + SYMBOLS);
        let sloppy = format!(" {}\n", code.reveal().to_uppercase().replace('0', "O").replace('1', "l"));
        let sloppy = sloppy.replacen("HIPPOl", "HIPPO1", 1);
        for text in [code.reveal(), &sloppy] {
            let read = Invite::parse(text, &NETWORK).expect("a good code");
            assert_eq!(read.code().reveal(), code.reveal());
            assert_eq!(read.schedule, schedule());
            assert_eq!(read.inviter, invite.inviter);
        }
    }

    #[test]
    fn every_kind_of_bad_code_has_its_own_error() {
        let code = invite().code();
        let code = code.reveal();
        for wrong in ["", "hippo", "hippo2-abc", &code[1..], "ééééééééé"] {
            assert_eq!(error(wrong), InviteError::Prefix, "{wrong}");
        }
        assert_eq!(error(&code[..code.len() - 3]), InviteError::Truncated { found: SYMBOLS - 3 });
        assert_eq!(error(PREFIX), InviteError::Truncated { found: 0 });
        assert_eq!(error(&format!("{code}00")), InviteError::TooLong { found: SYMBOLS + 2 });
        assert_eq!(error(&code.replacen('-', "-u", 1)), InviteError::Character { position: 8 });
        assert_eq!(error(&code.replacen('-', "-é", 1)), InviteError::Character { position: 8 });
        assert!(matches!(Invite::parse(code, &Digest([6; 32])), Err(InviteError::WrongNetwork { .. })));
    }

    #[test]
    fn every_single_wrong_symbol_is_noticed() {
        let code = invite().code();
        for at in PREFIX.len()..code.reveal().len() {
            let mut bytes = code.reveal().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
            assert_eq!(error(&String::from_utf8(bytes).expect("ASCII")), InviteError::Checksum);
        }
    }

    fn forge(edit: impl FnOnce(&mut [u8])) -> String {
        let mut bytes = decode(invite().code().reveal()).expect("a good code");
        edit(&mut bytes[..BODY_LEN]);
        let sum = checksum(&bytes[..BODY_LEN]);
        bytes[BODY_LEN..].copy_from_slice(&sum);
        format!("{PREFIX}{}", alphabet().encode(&bytes))
    }

    #[test]
    fn refuses_what_only_a_broken_or_hostile_program_writes() {
        assert_eq!(error(&forge(|bytes| bytes[0] = 2)), InviteError::Version(2));
        let no_stride = forge(|bytes| bytes[18..20].fill(0));
        assert_eq!(error(&no_stride), InviteError::Malformed("its stride is 0"));
    }

    #[test]
    fn only_the_rounds_of_the_schedule_are_turns() {
        let turns: Vec<_> = (0..100).filter_map(|round| schedule().turn(round)).collect();
        assert_eq!(turns, [0, 1, 2]);
        assert_eq!(schedule().turn(77 + 9), Some(1));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*", tail in "[0-9a-z]{0,210}") {
            prop_assert!(Invite::parse(&text, &NETWORK).is_err());
            let code = format!("{PREFIX}{tail}");
            prop_assert!(Invite::parse(&code, &NETWORK).is_err());
        }
    }
}
