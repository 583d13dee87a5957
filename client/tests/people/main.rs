//! People who talk through a network in this process.

mod common;
mod conversation;
mod liar;
