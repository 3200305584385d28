//! Seeing a run: what the [recorder](crate::events) has kept, as a page for a browser and as a drawing for a terminal.
//!
//! Both show the same [`Story`]: a lane for each machine, time downward, messages as arrows between lanes. The page is one
//! file that needs nothing else and asks nobody; what it draws and how it is steered is in `page/`.

mod page;
mod story;
mod text;

pub use page::page;
pub use story::{Kind, Lane, Mark, Story};
pub use text::{Window, text};

use crate::events::Recorded;
use crate::timeline::SimTime;

/// A run that has ended, with all its events.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// What was played.
    pub scenario: String,
    /// The world.
    pub seed: u64,
    /// The line that replays it.
    pub command: String,
    /// What was wrong.
    pub problem: Option<String>,
    /// The digest of all events.
    pub digest: u64,
    /// How many events there were.
    pub event_count: u64,
    /// When it ended.
    pub ended_at: SimTime,
    /// Everything that was kept.
    pub trace: &'a [Recorded],
}

#[cfg(test)]
mod tests;
