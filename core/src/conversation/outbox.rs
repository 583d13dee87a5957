//! Texts on their way out: cut into segments, sent again until they are acknowledged.

use std::collections::VecDeque;

use super::{
    TextId,
    codec::{ImportError, Reader, Writer},
    frame::{Ack, PAYLOAD_LEN, Payload, Segment},
};

/// Bytes of the longest text: 293 segments.
pub const MAX_TEXT_LEN: usize = 64 << 10;

/// Segments that may be under way at once, the lowest unacknowledged one included.
pub(super) const WINDOW: u32 = 32;

/// Segments that wait at most, 1.8 MB of text: more than a day of two-second rounds would carry is refused anyway.
const MAX_QUEUED: usize = 8192;

/// Turns after which a segment that was swapped with the partner, but not acknowledged, is sent again. With four rounds
/// in flight each way its acknowledgement takes nine turns; one known to be lost does not wait at all.
pub(super) const RESEND_TURNS: u64 = 12;

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SayError {
    /// There is nothing to say.
    #[error("an empty text cannot be sent")]
    Empty,
    /// Longer than [`MAX_TEXT_LEN`].
    #[error("a text of {0} bytes is longer than the limit of {MAX_TEXT_LEN}")]
    TooLong(usize),
    /// Too much is waiting already.
    #[error("too many texts are waiting to be sent to this contact")]
    QueueFull,
    /// The conversation is over.
    #[error("the invite of this conversation is void")]
    Void,
}

/// The queue of unacknowledged segments; the first one has number `first_number` and belongs to text `first_text`.
#[derive(Default)]
pub(super) struct Outbox {
    first_number: u32,
    first_text: u64,
    queue: VecDeque<Queued>,
}

struct Queued {
    ends_text: bool,
    payload: Payload,
    sending: Sending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Never sent; only segments at the end of the queue.
    Unsent,
    /// Last sent in this turn.
    Sent(u64),
    /// The last sending is known to have failed.
    Lost,
    /// Arrived, but one before it has not.
    Held,
}

/// What a turn carries.
pub(super) struct Outgoing {
    pub(super) segment: Segment,
    /// The text all of whose segments have now been sent, if this was the last one.
    pub(super) sent: Option<TextId>,
}

impl Outbox {
    /// Queues a text.
    pub(super) fn push(&mut self, text: &str) -> Result<TextId, SayError> {
        let count = text.len().div_ceil(PAYLOAD_LEN);
        match text.len() {
            0 => return Err(SayError::Empty),
            len if len > MAX_TEXT_LEN => return Err(SayError::TooLong(len)),
            _ if self.queue.len() + count > MAX_QUEUED => return Err(SayError::QueueFull),
            _ if !self.numbers_suffice(count) => return Err(SayError::QueueFull),
            _ => {}
        }
        let id = TextId(self.first_text + self.texts_in(self.queue.len()));
        let pieces = text.as_bytes().chunks(PAYLOAD_LEN).enumerate();
        self.queue.extend(pieces.map(|(at, piece)| Queued {
            ends_text: at + 1 == count,
            payload: Payload::new(piece).expect("pieces of at most a payload"),
            sending: Sending::Unsent,
        }));
        Ok(id)
    }

    /// Whether `count` more segments have numbers below 2³² − 1.
    fn numbers_suffice(&self, count: usize) -> bool {
        self.first_number as usize + self.queue.len() + count < u32::MAX as usize
    }

    /// Texts that end within the first `segments` of the queue.
    fn texts_in(&self, segments: usize) -> u64 {
        self.queue.iter().take(segments).filter(|queued| queued.ends_text).count() as u64
    }

    /// Segments that were sent at least once.
    fn sent(&self) -> usize {
        self.queue.iter().take_while(|queued| queued.sending != Sending::Unsent).count()
    }

    /// Chooses the segment for a turn: the lowest one that is lost or overdue, else the next new one, else the one
    /// whose last sending is longest ago. A turn is never idle while something is unacknowledged.
    pub(super) fn next(&mut self, turn: u64) -> Option<Outgoing> {
        let at = self.choose(turn)?;
        let text = TextId(self.first_text + self.texts_in(at));
        let number = self.first_number + at as u32;
        let queued = self.queue.get_mut(at)?;
        let new = queued.sending == Sending::Unsent;
        queued.sending = Sending::Sent(turn);
        let payload = Payload::new(queued.payload.bytes())?;
        Some(Outgoing {
            segment: Segment { number, ends_text: queued.ends_text, payload },
            sent: (new && queued.ends_text).then_some(text),
        })
    }

    fn choose(&self, turn: u64) -> Option<usize> {
        let sent = self.sent();
        let under_way = || self.queue.iter().take(sent).enumerate();
        let overdue = under_way().find(|(_, queued)| queued.sending.is_due(turn)).map(|(at, _)| at);
        let new = (sent < self.queue.len() && sent < WINDOW as usize).then_some(sent);
        let oldest = || under_way().filter_map(|(at, queued)| Some((queued.sending.turn()?, at))).min();
        overdue.or(new).or_else(|| oldest().map(|(_, at)| at))
    }

    /// The sending of a segment in a turn has failed: it may go again at once, unless it went again since.
    pub(super) fn failed(&mut self, number: u32, turn: u64) {
        let at = number.checked_sub(self.first_number).map(|at| at as usize);
        if let Some(queued) = at.and_then(|at| self.queue.get_mut(at))
            && queued.sending == Sending::Sent(turn)
        {
            queued.sending = Sending::Lost;
        }
    }

    /// Takes an acknowledgement and gives the texts that have now arrived whole; `None` if it speaks of segments that
    /// were never sent. One that came late, after a newer one, changes nothing.
    pub(super) fn acknowledge(&mut self, ack: Ack) -> Option<Vec<TextId>> {
        let end = u64::from(self.first_number) + self.sent() as u64;
        let highest = match ack.beyond.checked_ilog2() {
            Some(bit) => u64::from(ack.next) + 2 + u64::from(bit),
            None => u64::from(ack.next),
        };
        if highest > end {
            return None;
        }
        let delivered = self.drop_below(ack.next);
        for bit in (0..32).filter(|bit| ack.beyond >> bit & 1 == 1) {
            self.hold(ack.next.saturating_add(1 + bit));
        }
        Some(delivered)
    }

    fn drop_below(&mut self, next: u32) -> Vec<TextId> {
        let mut delivered = Vec::new();
        while self.first_number < next
            && let Some(queued) = self.queue.pop_front()
        {
            self.first_number += 1;
            if queued.ends_text {
                delivered.push(TextId(self.first_text));
                self.first_text += 1;
            }
        }
        delivered
    }

    fn hold(&mut self, number: u32) {
        let at = number.checked_sub(self.first_number).map(|at| at as usize);
        if let Some(queued) = at.and_then(|at| self.queue.get_mut(at)) {
            queued.sending = Sending::Held;
        }
    }

    /// Texts that are not acknowledged yet.
    pub(super) fn pending(&self) -> impl Iterator<Item = TextId> {
        (self.first_text..self.first_text + self.texts_in(self.queue.len())).map(TextId)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u32(self.first_number);
        out.u64(self.first_text);
        out.count(self.queue.len());
        for queued in &self.queue {
            out.u8(queued.ends_text.into());
            out.blob(queued.payload.bytes());
            queued.sending.write(out);
        }
    }

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, ImportError> {
        let (first_number, first_text, count) = (input.u32()?, input.u64()?, input.u32()?);
        if count as usize > MAX_QUEUED || u64::from(first_number) + u64::from(count) > u64::from(u32::MAX) {
            return Err(ImportError::Invalid("too many segments wait"));
        }
        let queue = (0..count).map(|_| Queued::read(input)).collect::<Result<_, _>>()?;
        Ok(Self { first_number, first_text, queue })
    }
}

impl Queued {
    fn read(input: &mut Reader<'_>) -> Result<Self, ImportError> {
        let ends_text = input.flag()?;
        let payload = Payload::new(input.blob()?).ok_or(ImportError::Invalid("a segment is longer than a frame"))?;
        Ok(Self { ends_text, payload, sending: Sending::read(input)? })
    }
}

impl Sending {
    fn is_due(self, turn: u64) -> bool {
        match self {
            Self::Lost => true,
            Self::Sent(last) => turn.saturating_sub(last) >= RESEND_TURNS,
            Self::Unsent | Self::Held => false,
        }
    }

    fn turn(self) -> Option<u64> {
        match self {
            Self::Sent(turn) => Some(turn),
            Self::Unsent | Self::Lost | Self::Held => None,
        }
    }

    fn write(self, out: &mut Writer) {
        match self {
            Self::Unsent => out.u8(0),
            Self::Sent(turn) => {
                out.u8(1);
                out.u64(turn);
            }
            Self::Lost => out.u8(2),
            Self::Held => out.u8(3),
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, ImportError> {
        match input.u8()? {
            0 => Ok(Self::Unsent),
            1 => Ok(Self::Sent(input.u64()?)),
            2 => Ok(Self::Lost),
            3 => Ok(Self::Held),
            _ => Err(ImportError::Invalid("a segment is in no known state")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(segments: usize) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.push(&"x".repeat(segments * PAYLOAD_LEN)).expect("a text");
        outbox
    }

    fn number(outbox: &mut Outbox, turn: u64) -> u32 {
        outbox.next(turn).expect("something waits").segment.number
    }

    fn ack(next: u32, beyond: u32) -> Ack {
        Ack { next, beyond }
    }

    #[test]
    fn refuses_texts_that_are_empty_too_long_or_too_many() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(""), Err(SayError::Empty));
        let long = "x".repeat(MAX_TEXT_LEN + 1);
        assert_eq!(outbox.push(&long), Err(SayError::TooLong(MAX_TEXT_LEN + 1)));
        let taken = (0..1000).take_while(|_| outbox.push(&long[1..]).is_ok()).count();
        assert_eq!(taken, MAX_QUEUED / MAX_TEXT_LEN.div_ceil(PAYLOAD_LEN));
        assert_eq!(outbox.push(&long[1..]), Err(SayError::QueueFull));
    }

    #[test]
    fn runs_out_of_numbers_with_an_error() {
        let mut outbox = Outbox { first_number: u32::MAX - 2, ..Outbox::default() };
        outbox.push("a").expect("one number left");
        assert_eq!(outbox.push("b"), Err(SayError::QueueFull));
    }

    #[test]
    fn sends_new_ones_within_the_window_then_the_oldest_again() {
        let mut outbox = full(40);
        let mut numbers: Vec<_> = (0..34).map(|turn| number(&mut outbox, turn)).collect();
        let overdue = numbers.split_off(RESEND_TURNS as usize);
        assert_eq!(numbers, (0..RESEND_TURNS as u32).collect::<Vec<_>>());
        assert_eq!(overdue[..3], [0, 1, 2], "after {RESEND_TURNS} turns the lowest is overdue");

        let mut outbox = full(2);
        assert_eq!([0, 1, 2, 3, 4].map(|turn| number(&mut outbox, turn)), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn never_goes_beyond_the_window() {
        let mut outbox = full(40);
        let mut highest_of = |turns: core::ops::Range<u64>, next: u32| {
            let sent = turns.map(|turn| {
                let sent = number(&mut outbox, turn);
                // All but the lowest one arrive.
                let beyond = (next + 1..=sent).fold(0, |bits, number| bits | 1 << (number - next - 1));
                outbox.acknowledge(ack(next, beyond)).expect("all sent");
                sent
            });
            sent.max()
        };
        assert_eq!(highest_of(0..400, 0), Some(WINDOW - 1));
        assert_eq!(highest_of(400..800, WINDOW), Some(39));
    }

    #[test]
    fn a_lost_segment_goes_first_and_a_held_one_never() {
        let mut outbox = full(10);
        (0..4).for_each(|turn| assert_eq!(u64::from(number(&mut outbox, turn)), turn));
        outbox.failed(2, 2);
        assert_eq!(number(&mut outbox, 4), 2);
        outbox.failed(2, 2);
        assert_eq!(number(&mut outbox, 5), 4, "the later sending of 2 is still under way");
        outbox.acknowledge(ack(1, 0b101)).expect("sent");
        let again: Vec<_> = (6..60).map(|turn| number(&mut outbox, turn)).collect();
        assert!(again.contains(&1) && again.contains(&3));
        assert!(!again.contains(&0) && !again.contains(&2) && !again.contains(&4));
    }

    #[test]
    fn refuses_acknowledgements_of_what_was_never_sent() {
        let mut outbox = full(10);
        (0..4).for_each(|turn| assert!(outbox.next(turn).is_some()));
        for nonsense in [ack(5, 0), ack(u32::MAX, 0), ack(u32::MAX, u32::MAX), ack(3, 1), ack(0, 1 << 3), ack(0, !0)] {
            assert!(outbox.acknowledge(nonsense).is_none(), "{nonsense:?}");
        }
        assert!(outbox.acknowledge(ack(0, 0b100)).is_some());
        assert!(outbox.acknowledge(ack(4, 0)).is_some());
        assert!(outbox.acknowledge(ack(2, 0)).is_some_and(|texts| texts.is_empty()), "a late one changes nothing");
        assert_eq!(number(&mut outbox, 5), 4);
    }

    #[test]
    fn names_texts_when_sent_and_when_delivered() {
        let mut outbox = Outbox::default();
        let ids = ["a", &"b".repeat(300), "c"].map(|text| outbox.push(text).expect("a text"));
        assert_eq!(ids, [TextId(0), TextId(1), TextId(2)]);
        let sent: Vec<_> = (0..6).map(|turn| outbox.next(turn).expect("waits").sent).collect();
        assert_eq!(sent, [Some(ids[0]), None, Some(ids[1]), Some(ids[2]), None, None]);
        assert_eq!(outbox.acknowledge(ack(2, 1)), Some(vec![ids[0]]));
        assert_eq!(outbox.pending().collect::<Vec<_>>(), ids[1..]);
        assert_eq!(outbox.acknowledge(ack(4, 0)), Some(ids[1..].to_vec()));
        assert!(outbox.next(9).is_none());
        assert_eq!(outbox.push("d"), Ok(TextId(3)));
    }
}
