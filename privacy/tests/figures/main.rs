//! Figures of the accountant, the planner and the attacker, against known ones.

mod account;
mod attack;
mod plan;
