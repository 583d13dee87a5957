//! `chat`: one conversation, line by line, on a terminal or through pipes.

mod command;
mod screen;
mod seat;
mod troubles;

use std::{
    future::pending,
    io::{self, BufRead, IsTerminal, Stdout},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use hippodrome_client::{
    budget::Standing,
    person::{LineKind, Person, PersonError, PersonEvent, TextState},
    session::SessionError,
};
use hippodrome_core::conversation::{Stage, VoidReason};
use tokio::sync::mpsc;

pub(crate) use self::seat::name;
use self::{
    command::{HELP, Input},
    screen::{Screen, UNREADABLE},
    seat::SeatError,
    troubles::{Kind, Troubles},
};
use crate::{
    network_dir::{NetworkDir, NetworkDirError},
    node::stop_signal,
};

/// Lines of the history that are shown at the start.
const RECENT: usize = 20;
/// What to do about a budget.
const NEARLY_SPENT: &str = ". After that your client sends only cover: say what has to be said, or talk on in a network \
                            with a larger budget";
const SPENT: &str = ". Your client sends only cover now, which tells nobody anything, and your texts wait. Talk on in a \
                     network with a larger budget; `overspend` sends them here, and from then on whoever watches may \
                     learn whom you talk with";
const OVERSPENT: &str = ". You talk on without one, as you wanted: whoever watches may learn whom you talk with";
/// Lines of input that wait.
const QUEUE: usize = 64;

const EXAMPLES: &str = "\
Examples, in two terminals:
  hippodrome chat --network net --as alice     then type: invite
  hippodrome chat --network net --as bob       then type: accept CODE

NET is a directory with `network.toml`, the coordinator's address in that file or in `coordinator.address`, and
`seats/*.key`, of which each new name takes one. `hippodrome testnet up --dir net` makes one.";

/// Talk to one person, line by line; every line is kept until it is delivered
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ChatArgs {
    /// The network's directory
    #[arg(long, value_name = "DIR")]
    network: PathBuf,
    /// Your name on this machine; nobody else learns it
    #[arg(long = "as", value_name = "NAME", value_parser = seat::name)]
    name: String,
}

/// Why a chat does not begin, or ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChatError {
    #[error(transparent)]
    Dir(#[from] NetworkDirError),
    #[error(transparent)]
    Seat(#[from] SeatError),
    #[error(transparent)]
    Person(#[from] PersonError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("cannot show anything: {0}")]
    Io(#[from] io::Error),
}

pub(crate) async fn run(args: ChatArgs) -> Result<(), ChatError> {
    let dir = NetworkDir::new(args.network);
    let network = dir.load()?;
    let address = dir.coordinator_address(&network)?;
    let seat = seat::take(&dir, &args.name)?;
    let stop = stop_signal()?;
    let (person, events) = Person::open(&seat.home, Arc::new(network.directory))?;
    let mut chat = Chat::new(person.clone(), args.name);
    chat.greet()?;
    tokio::select! {
        ended = person.run(&address, pending()) => Ok(ended?),
        ended = chat.converse(lines(), events) => match ended {
            // Whoever read the other end of the pipe has gone.
            Err(ChatError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            ended => ended,
        },
        () = stop => Ok(()),
    }
}

/// Lines of standard input. Reading blocks, so it has a thread, which may outlive everything but the process.
fn lines() -> mpsc::Receiver<String> {
    let (lines, receiver) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Next {
    Stay,
    Leave,
}

/// One person's conversation on a screen.
struct Chat {
    person: Person,
    name: String,
    screen: Screen<Stdout>,
    /// An invite is wanted as soon as there is an epoch.
    invite_wanted: bool,
    /// The last round taken part in.
    round: Option<u64>,
    /// How the network's guarantee stood when it was last looked at.
    guarantee: Option<Standing>,
    troubles: Troubles,
}

impl Chat {
    fn new(person: Person, name: String) -> Self {
        let screen = Screen(io::stdout());
        Self { person, name, screen, invite_wanted: false, round: None, guarantee: None, troubles: Troubles::default() }
    }

    /// Shows where things stand, and the end of the history.
    fn greet(&mut self) -> Result<(), ChatError> {
        let history = self.person.history()?;
        if let Some(hidden) = history.len().checked_sub(RECENT).filter(|hidden| *hidden > 0) {
            self.screen.note(&format!("{hidden} earlier texts; `history` shows all"))?;
        }
        history.iter().rev().take(RECENT).rev().try_for_each(|line| self.screen.past(line))?;
        self.screen.note(&format!("you are {} ({}); `help` shows the commands", self.name, self.person.name()))?;
        let (stage, budget) = (self.standing()?, self.budget()?);
        self.guarantee = Some(self.person.budget()?.standing());
        self.screen.note(&stage)?;
        Ok(self.screen.note(&budget)?)
    }

    /// How the conversation stands, in words.
    fn standing(&self) -> Result<String, PersonError> {
        Ok(match self.person.stage()? {
            None => "you talk to nobody: `invite` makes a code for somebody, `accept CODE` takes one".into(),
            Some(Stage::Invited) => "your invite waits for somebody to accept it".into(),
            Some(Stage::Confirming) => "your partner is there; keys are being confirmed".into(),
            Some(Stage::Established) => {
                let safety = self.person.safety_number()?.map(|safety| safety.to_string()).unwrap_or_default();
                format!("you talk to one partner; safety number {safety}")
            }
            Some(Stage::Void) => "the conversation is over, its invite was used twice: make or accept a new one".into(),
        })
    }

    /// Carries lines and events until the person leaves.
    async fn converse(
        &mut self,
        mut lines: mpsc::Receiver<String>,
        mut events: mpsc::UnboundedReceiver<PersonEvent>,
    ) -> Result<(), ChatError> {
        let mut input_open = true;
        loop {
            let next = tokio::select! {
                line = lines.recv(), if input_open => match line {
                    Some(line) => self.on_line(&line)?,
                    None => {
                        input_open = false;
                        self.on_end_of_input()?
                    }
                },
                Some(event) = events.recv() => {
                    self.on_event(event)?;
                    if input_open || self.is_busy()? { Next::Stay } else { Next::Leave }
                }
            };
            if next == Next::Leave {
                return Ok(());
            }
        }
    }

    /// Who types Ctrl-D leaves; what came through a pipe is done first.
    fn on_end_of_input(&mut self) -> Result<Next, ChatError> {
        if io::stdin().is_terminal() || !self.is_busy()? {
            return Ok(Next::Leave);
        }
        let waiting = self.undelivered()?;
        self.screen.note(&format!("end of input; {waiting} texts are not delivered yet (Ctrl-C leaves)"))?;
        Ok(Next::Stay)
    }

    /// Whether something that was asked for is not done yet.
    fn is_busy(&self) -> Result<bool, PersonError> {
        Ok(self.invite_wanted || self.undelivered()? > 0)
    }

    /// Texts of this conversation that the partner does not have yet.
    fn undelivered(&self) -> Result<usize, PersonError> {
        if matches!(self.person.stage()?, None | Some(Stage::Void)) {
            return Ok(0);
        }
        let history = self.person.history()?;
        let own = history.iter().rev().filter_map(|line| match line.kind {
            LineKind::Own { id, state } => Some((id, state)),
            _ => None,
        });
        // Numbers begin anew in each conversation; those before it are over.
        let mut after = u64::MAX;
        let present = own.take_while(|(id, _)| std::mem::replace(&mut after, *id) > *id);
        Ok(present.filter(|(_, state)| *state != TextState::Delivered).count())
    }

    fn on_line(&mut self, line: &str) -> Result<Next, ChatError> {
        match command::parse(line) {
            Input::Nothing => {}
            Input::Quit => return Ok(Next::Leave),
            Input::Help => HELP.lines().try_for_each(|line| self.screen.plain(line))?,
            Input::Misused(how) => self.screen.note(how)?,
            Input::History => self.person.history()?.iter().try_for_each(|line| self.screen.past(line))?,
            Input::Status => self.status()?,
            Input::Overspend => self.overspend()?,
            Input::Invite => self.invite()?,
            Input::Accept(code) => match self.person.accept(code) {
                Ok(()) => self.screen.note("the code is good; waiting for the other side")?,
                Err(error) => self.refuse(error)?,
            },
            Input::Say(text) => match self.person.say(text) {
                Ok(id) => self.screen.note(&format!("text {} queued", id.0 + 1))?,
                Err(error) => self.refuse(error)?,
            },
        }
        Ok(Next::Stay)
    }

    /// Shows what is wrong with what was asked for; what nothing can come after ends the chat.
    fn refuse(&mut self, error: PersonError) -> Result<(), ChatError> {
        match error {
            PersonError::Spoiled | PersonError::State(_) => Err(error.into()),
            error => Ok(self.screen.note(&format!("error: {error}"))?),
        }
    }

    fn invite(&mut self) -> Result<(), ChatError> {
        match self.person.invite() {
            Ok(code) => {
                self.invite_wanted = false;
                self.screen.note("give this code to one person, by a way that both of you trust:")?;
                Ok(self.screen.plain(code.reveal())?)
            }
            Err(PersonError::NoEpoch) => {
                if !std::mem::replace(&mut self.invite_wanted, true) {
                    self.screen.note("the code comes as soon as the network is there")?;
                }
                Ok(())
            }
            Err(error) => self.refuse(error),
        }
    }

    /// What is left of the guarantee, and what to do when nothing is.
    fn budget(&self) -> Result<String, PersonError> {
        let budget = self.person.budget()?;
        let what_now = match budget.standing() {
            Standing::Unstated | Standing::Left => "",
            Standing::Nearly => NEARLY_SPENT,
            Standing::Spent if self.person.overspends()? => OVERSPENT,
            Standing::Spent => SPENT,
        };
        Ok(format!("{budget}{what_now}"))
    }

    fn overspend(&mut self) -> Result<(), ChatError> {
        match self.person.overspend() {
            Ok(()) => Ok(self.screen.note(&self.budget()?)?),
            Err(error) => self.refuse(error),
        }
    }

    /// Says how the guarantee stands, when that changes.
    fn on_counted(&mut self, standing: Standing) -> Result<(), ChatError> {
        let before = self.guarantee.replace(standing);
        let is_news = matches!(standing, Standing::Nearly | Standing::Spent) && before != Some(standing);
        if is_news { Ok(self.screen.note(&self.budget()?)?) } else { Ok(()) }
    }

    fn status(&mut self) -> Result<(), ChatError> {
        let mut lines = vec![self.standing()?, self.budget()?];
        lines.push(match self.round {
            Some(round) => format!("took part in round {round}"),
            None => "has not taken part in a round yet".into(),
        });
        lines.push(format!("{} texts not delivered", self.undelivered()?));
        lines.extend(self.troubles.last().map(|trouble| format!("last trouble: {trouble}")));
        Ok(self.screen.note(&lines.join("\n"))?)
    }

    fn on_event(&mut self, event: PersonEvent) -> Result<(), ChatError> {
        match event {
            PersonEvent::Counted { budget } => self.on_counted(budget.standing())?,
            PersonEvent::Submitted { round } => {
                self.round = Some(round);
                if self.troubles.end(Kind::Stalled) {
                    self.screen.note(&format!("rounds go on: you take part in round {round}"))?;
                }
            }
            PersonEvent::Stalled { reason } => {
                self.complain(Kind::Stalled, format!("no rounds at present, what you write waits: {reason}"))?;
            }
            PersonEvent::Refused { round, reason } => {
                let trouble = format!("the coordinator takes nothing from you in round {round}: {reason}");
                self.complain(Kind::Refused, trouble)?;
            }
            PersonEvent::Joined { epoch } => {
                if self.troubles.end(Kind::NotBegun) {
                    self.screen.note(&format!("the network is there, in epoch {epoch}"))?;
                }
                if self.invite_wanted {
                    self.invite()?;
                }
            }
            PersonEvent::Connected => {
                if self.troubles.end(Kind::Disconnected) {
                    self.screen.note("connected again")?;
                }
            }
            PersonEvent::RoundCompleted { round } => {
                self.troubles.end(Kind::SatOut);
                self.troubles.end(Kind::Refused);
                if self.troubles.end(Kind::Lost) {
                    self.screen.note(&format!("all is well again: round {round} brought its replies"))?;
                }
            }
            PersonEvent::Waiting { servers_up, servers } => {
                let trouble = format!("the network has not begun: {servers_up} of {servers} servers are up");
                self.complain(Kind::NotBegun, trouble)?;
            }
            PersonEvent::Interrupted { reason } => {
                self.complain(Kind::Disconnected, format!("no connection, trying again and again: {reason}"))?;
            }
            PersonEvent::NotIncluded { round, reason } => {
                self.complain(Kind::NotIncluded, format!("round {round} may have left you out: {reason}"))?;
            }
            PersonEvent::SatOut { round, reason } => {
                self.complain(Kind::SatOut, format!("took no part in round {round}: {reason}"))?;
            }
            PersonEvent::RoundFailed { round, reason } => {
                let trouble = format!("round {round} brought nothing, what was in it goes again: {reason}");
                self.complain(Kind::Lost, trouble)?;
            }
            PersonEvent::Established { safety } => self.screen.note(&format!(
                "you talk to each other now; your partner sees the same safety number if nobody is between:\n{safety}"
            ))?,
            PersonEvent::Sent { id, round } => self.screen.note(&format!("text {} sent in round {round}", id.0 + 1))?,
            PersonEvent::Delivered { id } => self.screen.note(&format!("text {} delivered", id.0 + 1))?,
            PersonEvent::Received { text, .. } => self.screen.received(&text)?,
            PersonEvent::Unreadable { .. } => self.screen.received(UNREADABLE)?,
            PersonEvent::InviteVoid { reason } => self.screen.note(void(reason))?,
        }
        Ok(())
    }

    /// Says what is wrong, once until it is over.
    fn complain(&mut self, kind: Kind, trouble: String) -> io::Result<()> {
        match self.troubles.begin(kind, &trouble) {
            true => self.screen.note(&trouble),
            false => Ok(()),
        }
    }
}

/// Why a conversation is over, and what to do.
fn void(reason: VoidReason) -> &'static str {
    match reason {
        VoidReason::SecondAcceptor => {
            "a second person has used the invite: the conversation is over. Make a new one, by a better way."
        }
        VoidReason::AnsweredAnother => {
            "the inviter has agreed with somebody else: the conversation is over. Ask for a new code, by a better way."
        }
        VoidReason::Impostor => {
            "somebody speaks in your place: the conversation is over. Begin anew with a new code, by a better way."
        }
    }
}
