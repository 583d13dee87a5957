//! A person at a `chat`: what is typed, what is read.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{TrialError, testnet::Testnet, texts};

/// Texts that are on their way at most.
const UNDELIVERED: usize = 3;
/// The longest time until somebody looks again whether a chat has to go on.
const NAP: Duration = Duration::from_millis(200);

/// What somebody has said, and seen on the screen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Texts typed, in order.
    pub said: Vec<String>,
    /// How many of them the partner has.
    pub delivered: usize,
    /// Texts of the partner, in order.
    pub received: Vec<String>,
    /// The code that `invite` has printed.
    invite: Option<String>,
    established: bool,
    /// Nothing more is to be said.
    silent: bool,
    ended: bool,
    /// How many times the help was shown; the history is asked for between two of them.
    helps: usize,
    history: History,
}

/// What `history` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Own texts that are shown as delivered, in order.
    pub own: Vec<String>,
    /// Own texts that are shown as anything else.
    pub undelivered: Vec<String>,
    /// The partner's texts, in order.
    pub theirs: Vec<String>,
}

impl Seen {
    /// Takes in a line of the screen.
    fn read(&mut self, line: &str) {
        if let Some(text) = line.strip_prefix("< ") {
            if self.reads_history() { &mut self.history.theirs } else { &mut self.received }.push(text.to_owned());
        } else if let Some(own) = line.strip_prefix("> ") {
            self.read_own(own);
        } else if let Some(note) = line.strip_prefix("* ") {
            self.established |= note.starts_with("you talk to each other now");
            self.delivered += usize::from(note.starts_with("text ") && note.ends_with(" delivered"));
        } else if line.starts_with("hippo1-") {
            self.invite = Some(line.to_owned());
        } else {
            self.helps += usize::from(line.starts_with("quit "));
        }
    }

    fn reads_history(&self) -> bool {
        self.helps == 1
    }

    fn read_own(&mut self, line: &str) {
        let (text, state) = line.rsplit_once("  [text ").unwrap_or((line, ""));
        if self.reads_history() {
            let delivered = state.ends_with(" delivered]");
            if delivered { &mut self.history.own } else { &mut self.history.undelivered }.push(text.to_owned());
        }
    }
}

/// What the threads of a chat share.
#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A `chat` that runs; it is killed when this is dropped.
pub struct Chat {
    name: String,
    child: Child,
    input: Arc<Mutex<ChildStdin>>,
    shared: Arc<Shared>,
}

impl Chat {
    /// Starts one.
    pub fn start(net: &Testnet, name: &str) -> Result<Self, TrialError> {
        let refused = |source| TrialError::Process { what: format!("the chat of {name}"), source };
        let mut command = net.binary().command(net.chat_arguments(name));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(refused)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| refused(io::ErrorKind::BrokenPipe.into()))?;
        let shared = Arc::<Shared>::default();
        let reader = Arc::clone(&shared);
        thread::spawn(move || read(output, &reader));
        Ok(Self { name: name.to_owned(), child, input: Arc::new(Mutex::new(input)), shared })
    }

    /// Waits until what was seen holds something.
    fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut(&Seen) -> Option<T>,
    ) -> Result<T, TrialError> {
        let until = Instant::now() + patience;
        let mut seen = self.shared.seen();
        loop {
            if let Some(found) = look(&seen) {
                return Ok(found);
            }
            if seen.ended {
                return Err(TrialError::Ended(self.name.clone()));
            }
            if Instant::now() >= until {
                return Err(TrialError::Late { what: format!("{}: {what}", self.name), patience });
            }
            seen = self.shared.changed.wait_timeout(seen, NAP).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn type_line(&self, line: &str) -> Result<(), TrialError> {
        type_line(&self.input, line)
            .map_err(|source| TrialError::Process { what: format!("the chat of {}", self.name), source })
    }

    /// Makes a conversation of two chats.
    pub fn introduce(&self, other: &Self, patience: Duration) -> Result<(), TrialError> {
        self.type_line("invite")?;
        let code = self.wait("an invite code", patience, |seen| seen.invite.clone())?;
        other.type_line(&format!("accept {code}"))?;
        for chat in [self, other] {
            chat.wait("a conversation", patience, |seen| seen.established.then_some(()))?;
        }
        Ok(())
    }

    /// Begins to talk, in a thread of its own: a next text whenever the partner has nearly all.
    pub fn talk(&self, seed: u64) {
        let (shared, input, name) = (Arc::clone(&self.shared), Arc::clone(&self.input), self.name.clone());
        thread::spawn(move || {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            while let Some(text) = next_text(&shared, &name, &mut rng) {
                if type_line(&input, &text).is_err() {
                    return;
                }
            }
        });
    }

    /// Says nothing more.
    pub fn fall_silent(&self) {
        self.shared.seen().silent = true;
        self.shared.changed.notify_all();
    }

    /// How many texts were said, how many of them were delivered, and how many of the partner's came.
    pub fn counts(&self) -> (usize, usize, usize) {
        let seen = self.shared.seen();
        (seen.said.len(), seen.delivered, seen.received.len())
    }

    /// Waits until the partner has everything.
    pub fn wait_until_delivered(&self, patience: Duration) -> Result<(), TrialError> {
        self.wait("the delivery of every text", patience, |seen| (seen.delivered >= seen.said.len()).then_some(()))
    }

    /// What was said so far, and what the partner's texts looked like when they came.
    pub fn said_and_received(&self) -> (Vec<String>, Vec<String>) {
        let seen = self.shared.seen();
        (seen.said.clone(), seen.received.clone())
    }

    /// What `history` shows; it can be asked for once.
    pub fn history(&self, patience: Duration) -> Result<History, TrialError> {
        ["help", "history", "help"].into_iter().try_for_each(|line| self.type_line(line))?;
        self.wait("the history", patience, |seen| (seen.helps >= 2).then(|| seen.history.clone()))
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.fall_silent();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next text, once it is time for it; none once all is said. It counts as said.
fn next_text(shared: &Shared, author: &str, rng: &mut ChaCha20Rng) -> Option<String> {
    let mut seen = shared.seen();
    while !seen.ended && !seen.silent {
        if seen.said.len() < seen.delivered + UNDELIVERED {
            let text = texts::numbered(author, seen.said.len(), rng);
            seen.said.push(text.clone());
            return Some(text);
        }
        seen = shared.changed.wait_timeout(seen, NAP).unwrap_or_else(PoisonError::into_inner).0;
    }
    None
}

fn read(output: ChildStdout, shared: &Shared) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        shared.seen().read(&line);
        shared.changed.notify_all();
    }
    shared.seen().ended = true;
    shared.changed.notify_all();
}

fn type_line(input: &Mutex<ChildStdin>, line: &str) -> io::Result<()> {
    let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(input, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_is_read_as_people_read_it() {
        let mut seen = Seen::default();
        let screen = "\
* the code comes as soon as the network is there
hippo1-abc
* you talk to each other now; your partner sees the same safety number if nobody is between:
* text 1 queued
* text 1 sent in round 7
< hello
* text 1 delivered
quit           stop; texts that are not delivered wait for the next time
> a text with  [text 3 in it  [text 1 delivered]
> another  [text 2 sent in round 9]
< hello
quit           stop; texts that are not delivered wait for the next time
< one more";
        screen.lines().for_each(|line| seen.read(line));
        assert_eq!(seen.invite.as_deref(), Some("hippo1-abc"));
        assert!(seen.established);
        assert_eq!(seen.delivered, 1);
        assert_eq!(seen.received, ["hello", "one more"]);
        assert_eq!(seen.history.own, ["a text with  [text 3 in it"]);
        assert_eq!(seen.history.undelivered, ["another"]);
        assert_eq!(seen.history.theirs, ["hello"]);
    }
}
