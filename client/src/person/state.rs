//! What a person's program must not forget: conversation, history and marks, in one database.
//!
//! Each step is one transaction that is on the disk before anything leaves or is shown. The database copies on write:
//! pages that held older keys are overwritten when they are used again, not at once.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use hippodrome_core::{
    conversation::{Conversation, Event, ImportError, SecretBytes, TextId},
    marks::{MarkStore, StoreError},
};
use hippodrome_crypto::hash::Digest;
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use crate::clock::now_ms;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
/// Where in the history the own texts of the present conversation stand.
const OWN: TableDefinition<'_, u64, u64> = TableDefinition::new("own");
const MARKS: TableDefinition<'_, u64, u64> = TableDefinition::new("marks");

const NETWORK: &str = "network";
const CONVERSATION: &str = "conversation";
const OVERSPENDS: &str = "overspends";

/// Why a person's state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it open.
    #[error("`{name}` is already open in another process")]
    InUse {
        /// The person.
        name: String,
    },
    /// Others than the owner can read it.
    #[error("others can read {0}, which holds secret keys; run `chmod 600 {0}`", path.display())]
    Exposed {
        /// The path.
        path: PathBuf,
    },
    /// It belongs to another network.
    #[error("{} is the state of a person on another network", path.display())]
    OtherNetwork {
        /// The path.
        path: PathBuf,
    },
    /// The file cannot be made or opened.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database fails.
    #[error("cannot use the state of a conversation: {0}")]
    Database(#[from] Box<redb::Error>),
    /// The stored conversation is damaged.
    #[error("the stored conversation is damaged: {0}")]
    Conversation(#[from] ImportError),
    /// A line of the history is damaged.
    #[error("the stored history is damaged: {0}")]
    History(#[from] serde_json::Error),
}

impl StateError {
    fn database(error: impl Into<redb::Error>) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

/// One line of a conversation's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was written or came, milliseconds since 1970 by this computer's clock.
    pub at_ms: u64,
    /// The text; of the partner's, control characters included.
    pub text: String,
    /// Whose it is, and what became of it.
    pub kind: LineKind,
}

/// Whose text a line of the history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LineKind {
    /// The own text with this number.
    Own {
        /// Counted from 0 in each conversation.
        id: u64,
        /// How far it has come.
        state: TextState,
    },
    /// The partner's text with this number.
    Theirs {
        /// Counted from 0 in each conversation.
        seq: u64,
    },
    /// The partner's program sent something in place of this text that is none.
    Unreadable {
        /// Its number.
        seq: u64,
    },
}

/// How far an own text has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextState {
    /// Not all of it has been sent.
    Queued,
    /// All of it has been sent, the last piece in this round.
    Sent {
        /// The round.
        round: u64,
    },
    /// The partner has it.
    Delivered,
}

/// The database of one person.
#[derive(Clone)]
pub(super) struct Store(Arc<Database>);

impl Store {
    /// Opens the state of the person called `name`, made if there is none, and gives the conversation in it.
    pub(super) fn open(path: &Path, name: &str, network: &Digest) -> Result<(Self, Option<Conversation>), StateError> {
        let refused = |source| StateError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        if file.and_then(|file| file.metadata()).map_err(refused)?.mode() & 0o077 != 0 {
            return Err(StateError::Exposed { path: path.to_owned() });
        }
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StateError::InUse { name: name.to_owned() },
            other => StateError::database(other),
        })?;
        let store = Self(Arc::new(database));
        let conversation = store.step(|tables| {
            let known = tables.meta.get(NETWORK).map_err(StateError::database)?.map(|id| id.value().to_vec());
            match known {
                None => drop(tables.put(NETWORK, network.as_bytes())?),
                Some(known) if known == network.as_bytes() => {}
                Some(_) => return Err(StateError::OtherNetwork { path: path.to_owned() }),
            }
            let stored = tables.meta.get(CONVERSATION).map_err(StateError::database)?;
            let state = stored.map(|state| SecretBytes::new(state.value().to_vec()));
            Ok(state.map(|state| Conversation::import(&state)).transpose()?)
        })?;
        Ok((store, conversation))
    }

    /// Begins a conversation in place of one that is there.
    pub(super) fn begin(&self, conversation: &Conversation) -> Result<(), StateError> {
        self.step(|tables| {
            tables.own.retain(|_, _| false).map_err(StateError::database)?;
            tables.put(CONVERSATION, conversation.export().expose())
        })
    }

    /// Keeps the conversation with what happened in it.
    pub(super) fn keep(&self, conversation: &Conversation, events: &[Event]) -> Result<(), StateError> {
        self.step(|tables| {
            events.iter().try_for_each(|event| tables.apply(event))?;
            tables.put(CONVERSATION, conversation.export().expose())
        })
    }

    /// Keeps the conversation with an own text in its queue.
    pub(super) fn say(&self, conversation: &Conversation, id: TextId, text: &str) -> Result<(), StateError> {
        self.step(|tables| {
            let kind = LineKind::Own { id: id.0, state: TextState::Queued };
            let at = tables.append(text, kind)?;
            tables.own.insert(id.0, at).map_err(StateError::database)?;
            tables.put(CONVERSATION, conversation.export().expose())
        })
    }

    /// Keeps that the person talks on without a guarantee.
    pub(super) fn overspend(&self) -> Result<(), StateError> {
        self.step(|tables| tables.put(OVERSPENDS, &[]))
    }

    /// Whether the person does.
    pub(super) fn overspends(&self) -> Result<bool, StateError> {
        let read = self.0.begin_read().map_err(StateError::database)?;
        let table = read.open_table(META).map_err(StateError::database)?;
        Ok(table.get(OVERSPENDS).map_err(StateError::database)?.is_some())
    }

    /// All lines, oldest first.
    pub(super) fn history(&self) -> Result<Vec<Line>, StateError> {
        let read = self.0.begin_read().map_err(StateError::database)?;
        let table = read.open_table(HISTORY).map_err(StateError::database)?;
        let lines = table.iter().map_err(StateError::database)?;
        lines.map(|line| Ok(serde_json::from_slice(line.map_err(StateError::database)?.1.value())?)).collect()
    }

    /// One transaction: all of it is on the disk when this returns, or nothing ever is.
    fn step<T>(&self, work: impl FnOnce(&mut Tables<'_>) -> Result<T, StateError>) -> Result<T, StateError> {
        let mut transaction = self.0.begin_write().map_err(StateError::database)?;
        transaction.set_durability(Durability::Immediate).map_err(StateError::database)?;
        let mut tables = Tables::open(&transaction)?;
        let result = work(&mut tables)?;
        drop(tables);
        transaction.commit().map_err(StateError::database)?;
        Ok(result)
    }

    /// The marks in this database.
    pub(super) fn marks(&self) -> impl MarkStore + use<> {
        self.clone()
    }
}

impl MarkStore for Store {
    fn read(&self, key: u64) -> Result<Option<u64>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.0.begin_read()?.open_table(MARKS)?;
            Ok(table.get(key)?.map(|round| round.value()))
        };
        read().map_err(|error| StoreError(error.into()))
    }

    fn write(&mut self, key: u64, round: u64) -> Result<(), StoreError> {
        let mark = |tables: &mut Tables<'_>| {
            tables.marks.insert(key, round).map_err(StateError::database)?;
            Ok(())
        };
        self.step(mark).map_err(|error| StoreError(error.into()))
    }
}

struct Tables<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    history: Table<'t, u64, &'static [u8]>,
    own: Table<'t, u64, u64>,
    marks: Table<'t, u64, u64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StateError> {
        Ok(Self {
            meta: transaction.open_table(META).map_err(StateError::database)?,
            history: transaction.open_table(HISTORY).map_err(StateError::database)?,
            own: transaction.open_table(OWN).map_err(StateError::database)?,
            marks: transaction.open_table(MARKS).map_err(StateError::database)?,
        })
    }

    fn put(&mut self, key: &str, value: &[u8]) -> Result<(), StateError> {
        self.meta.insert(key, value).map_err(StateError::database)?;
        Ok(())
    }

    fn apply(&mut self, event: &Event) -> Result<(), StateError> {
        match event {
            Event::Sent { text, round } => self.advance(*text, TextState::Sent { round: *round }),
            Event::Delivered { text } => self.advance(*text, TextState::Delivered),
            Event::Received { seq, text } => self.append(text, LineKind::Theirs { seq: *seq }).map(drop),
            Event::Unreadable { seq } => self.append("", LineKind::Unreadable { seq: *seq }).map(drop),
            Event::Established { .. } | Event::InviteVoid { .. } => Ok(()),
        }
    }

    fn append(&mut self, text: &str, kind: LineKind) -> Result<u64, StateError> {
        let at = self.history.len().map_err(StateError::database)?;
        self.write_line(at, &Line { at_ms: now_ms(), text: text.to_owned(), kind })?;
        Ok(at)
    }

    fn write_line(&mut self, at: u64, line: &Line) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(line)?;
        self.history.insert(at, bytes.as_slice()).map_err(StateError::database)?;
        Ok(())
    }

    fn advance(&mut self, text: TextId, state: TextState) -> Result<(), StateError> {
        let Some(at) = self.own.get(text.0).map_err(StateError::database)?.map(|at| at.value()) else { return Ok(()) };
        let stored = self.history.get(at).map_err(StateError::database)?;
        let Some(mut line) = stored.map(|line| serde_json::from_slice::<Line>(line.value())).transpose()? else {
            return Ok(());
        };
        line.kind = LineKind::Own { id: text.0, state };
        self.write_line(at, &line)
    }
}
