//! What clients did and were told, in the order in which they noticed it, and whether it can be true.
//!
//! One format for simulated runs and for runs of real processes: `cargo sim --seed 42 --history FILE` and
//! `jepsen kill9 --history FILE` write it, `jepsen judge FILE` reads it. A file is lines of JSON, one [`Event`] each. The events
//! add up to [`Facts`], and [`checkers::judge`] says which of its promises the cluster broke, as [`Verdict`]s.
//!
//! Nothing in here knows a clock, a disk of brokers, a simulator or a real process.

pub mod checkers;
pub mod edn;
mod event;
mod facts;
mod file;
mod verdict;

pub use event::{Awaited, Event, Polled, RecordId, show};
pub use facts::{Commits, Facts, Fate, FinalRead, Found, Limit, Sent, TopicFate, Trims};
pub use file::{BadFile, read, write};
pub use verdict::Verdict;
