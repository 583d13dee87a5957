//! A server that pledges other noise than it sends.

use std::sync::Arc;

use hippodrome_core::{
    directory::Directory,
    ids::{Party, Position},
    message::{KeysCall, Message},
    mixer::{Input, Job, Mixer, Output},
};
use hippodrome_crypto::signing::SigningKey;

use crate::network::Disk;

/// A second machine with the key of a server. It hears of epochs and of calls for keys, as the server does, and what it
/// pledges is the noise of a seed that the server does not know: that noise is never sent.
pub struct Twin(Mixer);

impl Twin {
    /// The twin of the server that has this key; none if the directory does not list it.
    pub fn new(directory: &Arc<Directory>, key: SigningKey, seed: [u8; 32]) -> Option<Self> {
        Mixer::new(Arc::clone(directory), key, Disk::default().marks(), seed).ok().map(Self)
    }

    /// Hears what the coordinator says to the server; gives what is to be run in place of what the server wants run then.
    pub fn hear(&mut self, now_ms: u64, message: &Message) -> Vec<Job> {
        let is_call = matches!(message, Message::KeysCall(KeysCall { position: Position(0), .. }));
        if !is_call && !matches!(message, Message::EpochStart(_) | Message::AmendmentStart(_)) {
            return Vec::new();
        }
        let heard = Input::Message { from: Party::Coordinator, message: message.clone() };
        let jobs = self.0.handle(now_ms, heard).into_iter().filter_map(|output| match output {
            Output::Run(job) => Some(job),
            _ => None,
        });
        jobs.collect()
    }
}
