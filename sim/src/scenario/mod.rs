//! Whole stories: which machines there are, what they do, what happens to them, and what must be true at the end.

mod echo;
mod plan;
mod power_cut;
mod quorum;
mod audit;

use serde::{Deserialize, Serialize};

pub use echo::{Report, echo};
pub use plan::Plan;
pub use power_cut::power_cut;
pub use quorum::quorum;

use crate::checkers::{CHECKERS, NOT_IN_TIME, ROT};
use crate::nemesis::FAULTS;
use crate::workload::WORKLOADS;

/// What a run has done, in numbers: a run that has done little proves little.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Records that the producers handed to their client.
    pub sent: usize,
    /// Those that were acknowledged.
    pub acknowledged: usize,
    /// Records in the logs at the end.
    pub stored: usize,
    /// Offset commits that were acknowledged.
    pub commits: usize,
    /// Changes of topics that were acknowledged.
    pub topic_changes: usize,
    /// How often the broker began to serve.
    pub broker_starts: usize,
}

impl Summary {
    /// Adds what another run has done.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.stored += other.stored;
        self.commits += other.commits;
        self.topic_changes += other.topic_changes;
        self.broker_starts += other.broker_starts;
    }
}

/// The name of the breach that a problem begins with: what stands before the first colon.
#[must_use]
pub fn kind(problem: &str) -> &str {
    problem.split(':').next().unwrap_or(problem)
}

/// All that a [`Plan`] can leave out by name: faults, kinds of clients, checkers.
pub fn names_to_leave_out() -> impl Iterator<Item = &'static str> {
    let faults = FAULTS.iter().map(|fault| fault.name);
    let clients = WORKLOADS.iter().map(|workload| workload.name);
    let checkers = CHECKERS.iter().map(|checker| checker.name).chain([ROT]);
    faults.chain(clients).chain(checkers).chain(NOT_IN_TIME.iter().copied())
}
