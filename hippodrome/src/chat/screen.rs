//! What a person sees.

use std::io::{self, Write};

use hippodrome_client::person::{Line, LineKind, TextState};

/// Shows lines, each at once.
pub(super) struct Screen<W>(pub(super) W);

impl<W: Write> Screen<W> {
    /// What this program has to say.
    pub(super) fn note(&mut self, note: &str) -> io::Result<()> {
        for line in note.lines() {
            writeln!(self.0, "* {line}")?;
        }
        self.0.flush()
    }

    /// Something to copy: alone on its line.
    pub(super) fn plain(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.0, "{line}")?;
        self.0.flush()
    }

    /// A text of the partner.
    pub(super) fn received(&mut self, text: &str) -> io::Result<()> {
        self.text("<", text, "")
    }

    /// A line of the history.
    pub(super) fn past(&mut self, line: &Line) -> io::Result<()> {
        match line.kind {
            LineKind::Own { id, state } => self.text(">", &line.text, &format!("  [text {} {}]", id + 1, word(state))),
            LineKind::Theirs { .. } => self.text("<", &line.text, ""),
            LineKind::Unreadable { .. } => self.text("<", UNREADABLE, ""),
        }
    }

    /// Every line of a text has the mark of whose it is: no text can look like another's, or like a note.
    fn text(&mut self, mark: &str, text: &str, end: &str) -> io::Result<()> {
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let end = if lines.peek().is_none() { end } else { "" };
            writeln!(self.0, "{mark} {}{end}", harmless(line))?;
        }
        self.0.flush()
    }
}

pub(super) const UNREADABLE: &str = "(something that is not a text)";

/// How far a text has come.
pub(super) fn word(state: TextState) -> String {
    match state {
        TextState::Queued => "queued".into(),
        TextState::Sent { round } => format!("sent in round {round}"),
        TextState::Delivered => "delivered".into(),
    }
}

/// A text without what would move the cursor, colour the screen or turn the direction of writing.
fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_pretend_to_be_anything_else() {
        let mut screen = Screen(Vec::new());
        screen.received("first\n* delivered\n\u{1b}[2Jthird \u{202e}txt").expect("memory takes everything");
        let shown = String::from_utf8(screen.0).expect("text");
        assert_eq!(shown, "< first\n< * delivered\n< \u{fffd}[2Jthird \u{fffd}txt\n");
    }

    #[test]
    fn the_history_says_what_became_of_own_texts() {
        let mut screen = Screen(Vec::new());
        let own = LineKind::Own { id: 0, state: TextState::Sent { round: 7 } };
        screen.past(&Line { at_ms: 0, text: "hello".into(), kind: own }).expect("memory takes everything");
        let theirs = LineKind::Theirs { seq: 0 };
        screen.past(&Line { at_ms: 0, text: "hi".into(), kind: theirs }).expect("memory takes everything");
        assert_eq!(String::from_utf8(screen.0).expect("text"), "> hello  [text 1 sent in round 7]\n< hi\n");
    }
}
