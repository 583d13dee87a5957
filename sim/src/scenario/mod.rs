//! What is run: a network, people who talk, faults and cheats for a while, and quiet afterwards, in which everything
//! must come right again.

mod invariants;
mod lasting;
mod list;
mod run;
mod trouble;

pub use self::{
    lasting::Ailment,
    list::{Kind, Scenario, all, named},
    run::{Outcome, run},
    trouble::Trouble,
};
