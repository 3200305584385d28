//! What must be true of a history when all faults are over, each with a name that others use for its breach.
//!
//! A checker sees only what clients saw: the history, and one reading of everything at the end.

mod acknowledged_records_survive;
mod committed_offsets_survive;
mod log_starts_are_as_asked;
mod no_duplicates;
mod offsets_are_consistent;
mod order_is_kept;
mod polls_go_forward;
mod retention_keeps_its_limit;
mod rot_is_never_served;
mod topics_survive;

use std::collections::BTreeSet;
use std::fmt;

use crate::facts::Surprise;
use crate::{Facts, Verdict};

/// One breach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What kind.
    pub verdict: Verdict,
    /// What was seen.
    pub what: String,
}

impl Anomaly {
    fn new(verdict: Verdict, what: String) -> Self {
        Self { verdict, what }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verdict, self.what)
    }
}

/// What looks for breaches of one promise.
#[derive(Debug)]
pub struct Checker {
    /// What it is called.
    pub name: &'static str,
    /// Whether it looks for something in the last reading, and cannot say anything without.
    needs_the_end: bool,
    check: fn(&Facts) -> Vec<Anomaly>,
}

const fn always(name: &'static str, check: fn(&Facts) -> Vec<Anomaly>) -> Checker {
    Checker { name, needs_the_end: false, check }
}

const fn at_the_end(name: &'static str, check: fn(&Facts) -> Vec<Anomaly>) -> Checker {
    Checker { name, needs_the_end: true, check }
}

/// All of them but [`ROT`].
pub const CHECKERS: &[Checker] = &[
    always("noticed_by_clients", noticed_at_once),
    always("polls_go_forward", polls_go_forward::check),
    always("found_offsets_never_go_back", committed_offsets_survive::check_found),
    at_the_end("acknowledged_records_survive", acknowledged_records_survive::check),
    at_the_end("offsets_are_consistent", offsets_are_consistent::check),
    at_the_end("no_duplicates", no_duplicates::check),
    at_the_end("order_is_kept", order_is_kept::check),
    at_the_end("committed_offsets_survive", committed_offsets_survive::check),
    at_the_end("log_starts_are_as_asked", log_starts_are_as_asked::check),
    at_the_end("retention_keeps_its_limit", retention_keeps_its_limit::check),
    at_the_end("topics_survive", topics_survive::check),
];

/// The one that is asked of partitions with rotten files, instead of all others.
pub const ROT: &str = "rot_is_never_served";

/// What a checker found: its name, and what.
pub type Found = (&'static str, Anomaly);

/// Asks all checkers. Of partitions whose files are rotten only that is asked which can be had.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Found> {
    judge_without(facts, &BTreeSet::new())
}

/// The same without the checkers, and the verdicts, that are named.
#[must_use]
pub fn judge_without(facts: &Facts, without: &BTreeSet<String>) -> Vec<Found> {
    let ask = |facts: &Facts| -> Vec<Found> {
        let asked =
            CHECKERS.iter().filter(|checker| !checker.needs_the_end || facts.is_read_to_the_end);
        let found = |checker: &Checker| {
            let name = checker.name;
            (checker.check)(facts).into_iter().map(move |anomaly| (name, anomaly))
        };
        asked.flat_map(found).collect()
    };
    let mut found = if facts.rotten.is_empty() {
        ask(facts)
    } else {
        let rotten = rot_is_never_served::check(facts).into_iter().map(|anomaly| (ROT, anomaly));
        rotten.chain(ask(&without_rotten(facts))).collect()
    };
    found.retain(|(checker, anomaly)| {
        let is_late = facts.have_requests_come_late && anomaly.verdict.may_be_a_late_request();
        !is_late && !without.contains(*checker) && !without.contains(anomaly.verdict.name())
    });
    found
}

fn without_rotten(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    let rotten = std::mem::take(&mut facts.rotten);
    facts.sends.retain(|_, sent| !rotten.contains(&sent.partition));
    facts.polls.retain(|polled| !rotten.contains(&polled.partition));
    facts.trims.retain(|partition, _| !rotten.contains(partition));
    facts.limits.retain(|partition, _| !rotten.contains(partition));
    facts.commits.retain(|(_, partition), _| !rotten.contains(partition));
    facts.found.retain(|found| !rotten.contains(&found.partition));
    facts.surprises.retain(|surprise| match (&surprise.partition, surprise.verdict) {
        (Some(partition), _) => !rotten.contains(partition),
        // Who met a reader's error does not say where.
        (None, verdict) => !matches!(verdict, Verdict::LostWrite | Verdict::Corrupt),
    });
    facts.read.records.retain(|partition, _| !rotten.contains(partition));
    facts
}

fn noticed_at_once(facts: &Facts) -> Vec<Anomaly> {
    let seen = |Surprise { verdict, what, .. }: &Surprise| Anomaly::new(*verdict, what.clone());
    facts.surprises.iter().map(seen).collect()
}
