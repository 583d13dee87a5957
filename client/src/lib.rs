//! Clients of a network.
//!
//! * [`uplink`]: the connection to the coordinator, nothing of which is believed before signatures are checked.
//! * [`session`]: takes part in every round, busy or idle: the same submissions at the same time, the same work.
//! * [`voice`]: who says what goes into the slots and takes the replies.
//! * [`budget`]: the rounds that are left for which the network hides whom a client talks with.
//! * [`idle`]: a voice with nobody to talk to.
//! * [`person`]: a voice with a conversation, kept on disk.
//! * [`swarm`]: many clients in one process.

pub mod budget;
mod clock;
pub mod idle;
pub mod person;
pub mod session;
pub mod swarm;
pub mod uplink;
pub mod voice;
