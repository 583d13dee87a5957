//! Telling what happens: plain lines, and on a terminal a bar below them.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Tells what happens, with the seconds since the beginning.
pub(super) struct Narrator {
    began: Instant,
    to_stderr: bool,
    bar: ProgressBar,
}

impl Narrator {
    /// `texts` are to be delivered. With `to_stderr` standard output stays free for the report.
    pub(super) fn new(texts: usize, to_stderr: bool) -> Self {
        let target = if to_stderr { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::stdout() };
        let style = ProgressStyle::with_template("{spinner} texts {pos}/{len} [{bar:24}] {msg}")
            .expect("the template names what there is")
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(Some(texts as u64), target).with_style(style);
        Self { began: Instant::now(), to_stderr, bar }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// One line.
    pub(super) fn say(&self, line: &str) {
        let line = format!("[{:5.1} s] {line}", self.began.elapsed().as_secs_f64());
        match (self.bar.is_hidden(), self.to_stderr) {
            (false, _) => self.bar.println(line),
            (true, true) => eprintln!("{line}"),
            (true, false) => println!("{line}"),
        }
    }

    /// What is going on in a round, as a line and behind the bar.
    pub(super) fn round(&self, round: u64, phase: &str, what: &str) {
        self.say(&format!("round {round:<3} {phase:<10} {what}"));
        self.bar.set_message(format!("round {round} {phase}"));
        self.bar.tick();
    }

    /// One more text has arrived.
    pub(super) fn text_arrived(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
