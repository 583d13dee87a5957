//! Texts on their way in: segments put in order, each taken once.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{
    Event,
    codec::{ImportError, Reader, Writer},
    frame::{Ack, Payload, Segment},
    outbox::{MAX_TEXT_LEN, WINDOW},
};

/// What has arrived: all segments below `next`, and some within the window after it.
pub(super) struct Inbox {
    next: u32,
    waiting: BTreeMap<u32, (bool, Payload)>,
    text: Zeroizing<Vec<u8>>,
    /// The text under way is longer than any text: its bytes are no longer kept.
    overlong: bool,
    texts: u64,
}

impl Default for Inbox {
    fn default() -> Self {
        let text = Zeroizing::new(Vec::with_capacity(MAX_TEXT_LEN));
        Self { next: 0, waiting: BTreeMap::new(), text, overlong: false, texts: 0 }
    }
}

impl Inbox {
    /// What the next frame to the partner acknowledges.
    pub(super) fn ack(&self) -> Ack {
        let bits = self.waiting.keys().map(|number| 1 << (number - self.next - 1));
        Ack { next: self.next, beyond: bits.fold(0, |bits, bit: u32| bits | bit) }
    }

    /// Takes a segment; the texts that it completes come out in the order in which they were said.
    pub(super) fn take(&mut self, segment: Segment) -> Vec<Event> {
        let ahead = segment.number.checked_sub(self.next);
        let last_of_all = segment.number == u32::MAX;
        if ahead.is_some_and(|ahead| ahead < WINDOW) && !last_of_all {
            self.waiting.entry(segment.number).or_insert((segment.ends_text, segment.payload));
        }
        let mut events = Vec::new();
        while let Some((ends_text, payload)) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.append(&payload);
            if ends_text {
                events.push(self.finish());
            }
        }
        events
    }

    fn append(&mut self, payload: &Payload) {
        if self.text.len() + payload.bytes().len() > MAX_TEXT_LEN {
            self.overlong = true;
        } else {
            self.text.extend_from_slice(payload.bytes());
        }
    }

    fn finish(&mut self) -> Event {
        let seq = self.texts;
        self.texts += 1;
        let overlong = core::mem::take(&mut self.overlong);
        let event = match core::str::from_utf8(&self.text) {
            Ok(text) if !overlong => Event::Received { seq, text: text.to_owned() },
            _ => Event::Unreadable { seq },
        };
        self.text.clear();
        event
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u32(self.next);
        out.count(self.waiting.len());
        for (number, (ends_text, payload)) in &self.waiting {
            out.u32(*number);
            out.u8((*ends_text).into());
            out.blob(payload.bytes());
        }
        out.blob(&self.text);
        out.u8(self.overlong.into());
        out.u64(self.texts);
    }

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, ImportError> {
        let mut inbox = Self { next: input.u32()?, ..Self::default() };
        for _ in 0..input.u32()? {
            let (number, ends_text) = (input.u32()?, input.flag()?);
            let payload = Payload::new(input.blob()?).ok_or(ImportError::Invalid("a segment longer than a frame"))?;
            if !number.checked_sub(inbox.next).is_some_and(|ahead| (1..WINDOW).contains(&ahead)) {
                return Err(ImportError::Invalid("a segment outside the window"));
            }
            inbox.waiting.insert(number, (ends_text, payload));
        }
        let text = input.blob()?;
        if text.len() > MAX_TEXT_LEN {
            return Err(ImportError::Invalid("a text longer than any text"));
        }
        inbox.text.extend_from_slice(text);
        inbox.overlong = input.flag()?;
        inbox.texts = input.u64()?;
        Ok(inbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u32, ends_text: bool, bytes: &[u8]) -> Segment {
        Segment { number, ends_text, payload: Payload::new(bytes).expect("short enough") }
    }

    fn received(seq: u64, text: &str) -> Event {
        Event::Received { seq, text: text.to_owned() }
    }

    #[test]
    fn puts_segments_in_order_and_takes_each_once() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.take(segment(2, true, b"c")), []);
        assert_eq!(inbox.ack(), Ack { next: 0, beyond: 0b10 });
        assert_eq!(inbox.take(segment(1, true, b"b")), []);
        assert_eq!(inbox.take(segment(1, true, b"x")), [], "the first of a number stays");
        let texts = [received(0, "ab"), received(1, "c")];
        assert_eq!(inbox.take(segment(0, false, b"a")), texts);
        assert_eq!(inbox.ack(), Ack { next: 3, beyond: 0 });
        assert_eq!(inbox.take(segment(0, false, b"a")), []);
    }

    #[test]
    fn keeps_nothing_outside_the_window() {
        let mut inbox = Inbox::default();
        for number in [WINDOW, WINDOW + 1, u32::MAX] {
            assert_eq!(inbox.take(segment(number, true, b"a")), []);
        }
        assert!(inbox.waiting.is_empty());
        assert_eq!(inbox.take(segment(WINDOW - 1, true, b"a")), []);
        assert_eq!(inbox.ack(), Ack { next: 0, beyond: 1 << (WINDOW - 2) });
    }

    #[test]
    fn a_text_that_is_too_long_or_not_utf_8_is_named_and_the_next_one_arrives() {
        let mut inbox = Inbox::default();
        let piece = [b'x'; 224];
        let count = MAX_TEXT_LEN as u32 / 224 + 1;
        for number in 0..count {
            assert_eq!(inbox.take(segment(number, false, &piece)), []);
        }
        assert_eq!(inbox.take(segment(count, true, b"x")), [Event::Unreadable { seq: 0 }]);
        assert_eq!(inbox.take(segment(count + 1, true, &[0xff])), [Event::Unreadable { seq: 1 }]);
        assert_eq!(inbox.take(segment(count + 2, true, "é".as_bytes())), [received(2, "é")]);
        assert!(inbox.text.capacity() <= MAX_TEXT_LEN);
    }

    #[test]
    fn the_last_number_of_all_does_not_overflow() {
        let mut inbox = Inbox { next: u32::MAX - 1, ..Inbox::default() };
        assert_eq!(inbox.take(segment(u32::MAX - 1, true, b"a")), [received(0, "a")]);
        assert_eq!(inbox.take(segment(u32::MAX, true, b"b")), []);
    }
}
