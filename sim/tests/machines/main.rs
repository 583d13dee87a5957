//! The machines of a network on a simulated clock: whole rounds, faults, cheats and attacks.
//!
//! One binary, since to link what they all need takes longer than most of them run.

mod attacker;
mod audits;
mod blame;
mod cheats;
mod clients;
mod epochs;
mod pledges;
mod receipts;
mod redteam;
mod replies;
mod rounds;
mod scenarios;
