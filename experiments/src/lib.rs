//! Experiments: what rounds cost and how long they take, measured on real networks and modelled for large ones.
//!
//! * **Measured**: [`preset`] says what is to be run, [`live`] runs it, [`rundir`] keeps what came of it, [`results`] makes
//!   numbers of that, [`charts`] and [`report`] make them readable. [`experiment`] is all of it, one after the other;
//!   [`compare`] puts two of them side by side, [`suite`] runs all there are.
//! * **Proved and attacked**: [`anonymity`] says what the same points hide, and plays against them.
//! * **Modelled**: [`model`] predicts latency, CPU time and bytes of deployments that nobody has at hand; [`figures`] draws
//!   what it says beside what others have published; [`modelled`] is what an experiment asks it.
//!   `paper-notes/src/model.md` says what is modelled, and what is not.
//!
//! [`stats`], [`plot`] and [`seeds`] serve all of them.

pub mod anonymity;
pub mod charts;
pub mod compare;
pub mod experiment;
pub mod figures;
pub mod live;
pub mod model;
pub mod modelled;
pub mod plot;
pub mod prediction;
pub mod preset;
pub mod report;
pub mod results;
pub mod rundir;
pub mod seeds;
pub mod stats;
pub mod suite;
mod text;
mod words;
