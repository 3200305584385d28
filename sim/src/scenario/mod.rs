//! Whole stories: which machines there are, what they do, what happens to them, and what must be true at the end.

mod echo;
mod plan;
mod power_cut;
mod quorum;
mod audit;

use std::collections::BTreeSet;

use history::checkers::{CHECKERS, Found, ROT, judge_without};
use serde::{Deserialize, Serialize};

pub use echo::{Report, echo};
pub use plan::Plan;
pub use power_cut::power_cut;
pub use quorum::quorum;

use crate::history::{Event, History, Verdict};
use crate::nemesis::FAULTS;
use crate::workload::WORKLOADS;
use crate::world::World;

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
    let of_time = Verdict::ALL.iter().filter(|verdict| verdict.is_of_time());
    faults.chain(clients).chain(checkers).chain(of_time.map(|verdict| verdict.name()))
}

/// What a run has come to.
#[derive(Debug)]
pub struct Told {
    /// What was done, or what was wrong.
    pub result: Result<Summary, String>,
    /// What clients did and were told.
    pub history: Vec<Event>,
}

impl Told {
    /// Judges a history, without the checkers and verdicts that are named.
    fn of(
        world: &World,
        history: &History,
        without: &BTreeSet<String>,
        broker_starts: usize,
    ) -> Self {
        let facts = history.facts();
        let found = judge_without(&facts, without);
        for (checker, anomaly) in &found {
            world.events().count(checker, u64::from(!anomaly.verdict.is_of_time()));
        }
        let result = if found.is_empty() {
            Ok(Summary {
                sent: facts.sends.len(),
                acknowledged: facts.acknowledged_count(),
                stored: facts.read.records.values().map(Vec::len).sum(),
                commits: facts.commit_count,
                topic_changes: facts.topic_change_count,
                broker_starts,
            })
        } else {
            Err(tell(&found))
        };
        Self { result, history: history.events() }
    }
}

/// The first breaches, in one line.
fn tell(anomalies: &[Found]) -> String {
    let shown = anomalies.iter().take(8).map(|(_, anomaly)| anomaly.to_string());
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if anomalies.len() > 8 {
        text.push_str(&format!("; and {} more", anomalies.len() - 8));
    }
    text
}
