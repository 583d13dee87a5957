//! Two people and what they have to say to each other.

use std::{fmt, future::pending, sync::Arc};

use hippodrome_client::{
    person::{Person, PersonEvent},
    uplink::Uplink,
};
use hippodrome_core::{conversation::SafetyNumber, directory::Directory};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{DemoError, Narrator};
use crate::network_dir::NetworkDir;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Alice,
    Bob,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Alice, Self::Bob];

    /// The name, also of the person's directory.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Bob => "bob",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Alice => Self::Bob,
            Self::Bob => Self::Alice,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What they say; each waits for the text before. The long ones take several frames.
pub(super) const SCRIPT: [(Side, &str); 4] = [
    (Side::Alice, "Are you there, Bob? My question looks like what everybody else sends."),
    (
        Side::Bob,
        "I am. And so does my answer: every client here sends messages of one size in every round, and most of them \
         have nobody to talk to. The servers put noise of their own among ours, shuffle it all in their chains, and \
         prove to each other that nothing was dropped, replaced or doubled on the way. This text is too long for one \
         message, so it comes in several rounds, and nothing about them shows that they belong together.",
    ),
    (
        Side::Alice,
        "Then let me be long, too. Our two messages of a round meet in a mailbox whose name only we know, and which \
         is another one in every round. The last server swaps what lies in it, without knowing whose it is, and sends \
         both back along the way that they came, under a new layer of encryption at every hop. What I have just \
         received from you is the reply to my own message.",
    ),
    (Side::Bob, "Every word arrived. Until the next round, Alice!"),
];

/// A person with what happens to it.
struct Speaker {
    person: Person,
    events: UnboundedReceiver<PersonEvent>,
    safety: Option<SafetyNumber>,
}

impl Speaker {
    fn open(dir: &NetworkDir, directory: &Arc<Directory>, side: Side) -> Result<Self, DemoError> {
        let opened = Person::open(&dir.person(side.name()), Arc::clone(directory));
        let (person, events) = opened.map_err(|source| DemoError::Person { side, source })?;
        Ok(Self { person, events, safety: None })
    }
}

/// The conversation of the two.
pub(super) struct Talk {
    alice: Speaker,
    bob: Speaker,
    said: usize,
    arrived: usize,
}

impl Talk {
    /// The two with their directories, which have been prepared.
    pub(super) fn new(dir: &NetworkDir, directory: &Arc<Directory>) -> Result<Self, DemoError> {
        let open = |side| Speaker::open(dir, directory, side);
        Ok(Self { alice: open(Side::Alice)?, bob: open(Side::Bob)?, said: 0, arrived: 0 })
    }

    /// Texts that were given to the network.
    pub(super) fn said(&self) -> usize {
        self.said
    }

    /// Texts that arrived as they were said.
    pub(super) fn arrived(&self) -> usize {
        self.arrived
    }

    /// The two taking part in the network; done only when one of them cannot go on.
    pub(super) fn sessions(&self, uplink: &Uplink) -> impl Future<Output = DemoError> + Send + use<> {
        let take_part = |side, speaker: &Speaker| {
            let (person, uplink) = (speaker.person.clone(), uplink.clone());
            async move {
                match person.run_over(uplink, pending()).await {
                    Err(source) => DemoError::Session { side, source },
                    Ok(()) => pending().await,
                }
            }
        };
        let (alice, bob) = (take_part(Side::Alice, &self.alice), take_part(Side::Bob, &self.bob));
        async move {
            tokio::select! {
                error = alice => error,
                error = bob => error,
            }
        }
    }

    /// Lets them talk until the last text has arrived.
    pub(super) async fn run(&mut self, narrator: &Narrator) -> Result<(), DemoError> {
        while self.arrived < SCRIPT.len() {
            let (side, event) = tokio::select! {
                Some(event) = self.alice.events.recv() => (Side::Alice, event),
                Some(event) = self.bob.events.recv() => (Side::Bob, event),
            };
            self.on_event(side, event, narrator)?;
        }
        Ok(())
    }

    fn speaker(&mut self, side: Side) -> &mut Speaker {
        match side {
            Side::Alice => &mut self.alice,
            Side::Bob => &mut self.bob,
        }
    }

    fn on_event(&mut self, side: Side, event: PersonEvent, narrator: &Narrator) -> Result<(), DemoError> {
        match event {
            PersonEvent::Joined { .. } if side == Side::Alice && self.said == 0 => self.meet(narrator)?,
            PersonEvent::Established { safety } => self.on_established(side, safety, narrator)?,
            PersonEvent::Sent { round, .. } => {
                narrator.say(&format!("          {side}'s text has left, its last piece in round {round}"));
            }
            PersonEvent::Received { text, .. } => self.on_text(side, &text, narrator)?,
            PersonEvent::RoundFailed { round, reason } => {
                narrator.say(&format!("          {side}: round {round} brought nothing: {reason}"));
            }
            PersonEvent::SatOut { round, reason } => {
                narrator.say(&format!("          {side} took no part in round {round}: {reason}"));
            }
            PersonEvent::InviteVoid { .. } | PersonEvent::Unreadable { .. } => return Err(DemoError::Garbled),
            _ => {}
        }
        Ok(())
    }

    /// Alice invites Bob, by a way outside the network, and has something to say already.
    fn meet(&mut self, narrator: &Narrator) -> Result<(), DemoError> {
        let failed = |side| move |source| DemoError::Person { side, source };
        let code = self.alice.person.invite().map_err(failed(Side::Alice))?;
        narrator.say(&format!("alice invites bob: {}…", &code.reveal()[..24]));
        self.bob.person.accept(code.reveal()).map_err(failed(Side::Bob))?;
        self.say_next()
    }

    fn say_next(&mut self) -> Result<(), DemoError> {
        if let Some((side, text)) = SCRIPT.get(self.said) {
            let side = *side;
            self.speaker(side).person.say(text).map_err(|source| DemoError::Person { side, source })?;
            self.said += 1;
        }
        Ok(())
    }

    fn on_established(&mut self, side: Side, safety: SafetyNumber, narrator: &Narrator) -> Result<(), DemoError> {
        self.speaker(side).safety = Some(safety);
        match self.speaker(side.other()).safety {
            Some(other) if other != safety => Err(DemoError::Garbled),
            Some(_) => {
                narrator.say(&format!("          alice and bob have agreed on keys; both see the number {safety}"));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn on_text(&mut self, side: Side, text: &str, narrator: &Narrator) -> Result<(), DemoError> {
        if SCRIPT.get(self.arrived) != Some(&(side.other(), text)) {
            return Err(DemoError::Garbled);
        }
        self.arrived += 1;
        narrator.say(&format!("          {} → {side}: “{text}”", side.other()));
        narrator.text_arrived();
        self.say_next()
    }
}

#[cfg(test)]
mod tests {
    use hippodrome_core::wire::FRAME_LEN;

    use super::*;

    #[test]
    fn both_say_something_that_is_longer_than_a_frame() {
        for side in Side::BOTH {
            assert!(SCRIPT.iter().any(|(from, text)| *from == side && text.len() > FRAME_LEN), "{side}");
        }
    }
}
