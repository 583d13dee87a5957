//! A conversation's stored state: everything, so that a client that died goes on as if it had only been slow.

use hippodrome_crypto::hash::Digest;

use super::{
    Conversation, ImportError, InFlight, Phase, Place, Role, Schedule, SecretBytes, Tally,
    codec::{Reader, Writer},
    handshake::Link,
    inbox::Inbox,
    invite::Offer,
    outbox::Outbox,
    ratchet::{Binding, Ratchet},
    reply::Expected,
};

const STATE_VERSION: u8 = 1;

impl Conversation {
    /// The whole state, to be stored durably and sealed before the bytes of an access leave.
    pub fn export(&self) -> SecretBytes {
        let mut out = Writer::new();
        out.u8(STATE_VERSION);
        out.u8(self.role as u8);
        out.digest(&self.network);
        self.schedule.write(&mut out);
        self.phase.write(&mut out);
        out.count(self.in_flight.len());
        self.in_flight.iter().for_each(|access| access.write(&mut out));
        self.outbox.write(&mut out);
        self.inbox.write(&mut out);
        self.tally.write(&mut out);
        out.finish()
    }

    /// Goes on from a stored state.
    pub fn import(state: &SecretBytes) -> Result<Self, ImportError> {
        let mut input = Reader::new(state.expose());
        let version = input.u8()?;
        if version != STATE_VERSION {
            return Err(ImportError::Version { expected: STATE_VERSION, found: version });
        }
        let role = if input.flag()? { Role::Acceptor } else { Role::Inviter };
        let network = input.digest()?;
        let schedule = Schedule::read(&mut input)?;
        let phase = Phase::read(&mut input, network, schedule)?;
        let count = input.u32()?;
        let in_flight = (0..count).map(|_| InFlight::read(&mut input)).collect::<Result<_, _>>()?;
        let (outbox, inbox) = (Outbox::read(&mut input)?, Inbox::read(&mut input)?);
        let tally = Tally::read(&mut input)?;
        input.finish()?;
        Ok(Self { role, network, schedule, phase, in_flight, outbox, inbox, tally })
    }
}

impl Phase {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Waiting { invite, offer } => {
                out.u8(0);
                invite.write(out);
                offer.write(out);
            }
            Self::Answering { invite, link } => {
                out.u8(1);
                invite.write(out);
                link.write(out);
            }
            Self::Greeting { invite, link } => {
                out.u8(2);
                invite.write(out);
                link.write(out);
            }
            Self::Established { link } => {
                out.u8(3);
                link.write(out);
            }
            Self::Void => out.u8(4),
        }
    }

    fn read(input: &mut Reader<'_>, network: Digest, schedule: Schedule) -> Result<Self, ImportError> {
        let binding = Binding { network, lane: schedule.lane };
        let kind = input.u8()?;
        let chain = |input: &mut Reader<'_>| Ratchet::read(input, binding);
        let link = |input: &mut Reader<'_>| Link::read(input, binding).map(Box::new);
        Ok(match kind {
            0 => Self::Waiting { invite: chain(input)?, offer: Box::new(Offer::read(input, network, schedule)?) },
            1 => Self::Answering { invite: chain(input)?, link: link(input)? },
            2 => Self::Greeting { invite: chain(input)?, link: link(input)? },
            3 => Self::Established { link: link(input)? },
            4 => Self::Void,
            _ => return Err(ImportError::Invalid("the handshake is in no known phase")),
        })
    }
}

impl InFlight {
    fn write(&self, out: &mut Writer) {
        out.u64(self.round);
        out.u64(self.turn);
        out.u8((self.place == Place::Root).into());
        out.u8(self.segment.is_some().into());
        out.u32(self.segment.unwrap_or(0));
        self.expected.write(out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, ImportError> {
        let (round, turn) = (input.u64()?, input.u64()?);
        let place = if input.flag()? { Place::Root } else { Place::Invite };
        let (carries, number) = (input.flag()?, input.u32()?);
        let expected = Expected::read_state(input)?;
        Ok(Self { round, turn, place, segment: carries.then_some(number), expected })
    }
}

impl Tally {
    fn write(&self, out: &mut Writer) {
        [self.met, self.absent, self.garbage, self.lost, self.unexpected].into_iter().for_each(|count| out.u64(count));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, ImportError> {
        Ok(Self {
            met: input.u64()?,
            absent: input.u64()?,
            garbage: input.u64()?,
            lost: input.u64()?,
            unexpected: input.u64()?,
        })
    }
}
