//! How a seed went, as its process tells it.

use std::collections::BTreeMap;

use history::checkers::{CHECKERS, ROT};
use serde::{Deserialize, Serialize};

use crate::scenario::Summary;
use crate::world::Outcome;

/// The outcome of one world in a form that crosses processes, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Where the world came from.
    pub seed: u64,
    /// The digest of everything that has happened.
    pub digest: u64,
    /// World time at the end, in nanoseconds.
    pub nanos: u64,
    /// How many events there were.
    pub events: u64,
    /// How often rare things have happened.
    pub counters: BTreeMap<String, u64>,
    /// What was done, or what was wrong.
    pub result: Result<Summary, String>,
}

impl Report {
    /// What there is to say about an outcome.
    #[must_use]
    pub fn new(seed: u64, outcome: Outcome<Result<Summary, String>>) -> Self {
        let counters = outcome.counters.iter().map(|(what, n)| ((*what).to_owned(), *n));
        Self {
            seed,
            digest: outcome.digest,
            nanos: outcome.ended_at.0,
            events: outcome.event_count,
            counters: counters.collect(),
            result: outcome
                .result
                .map_err(|text| format!("panic: {text}"))
                .and_then(|judged| judged),
        }
    }

    /// The checkers that found something.
    pub fn found_by(&self) -> impl Iterator<Item = &'static str> + '_ {
        let checkers = CHECKERS.iter().map(|checker| checker.name).chain([ROT]);
        checkers.filter(|name| self.counter(name) > 0)
    }

    /// How often this rare thing has happened.
    #[must_use]
    pub fn counter(&self, what: &str) -> u64 {
        self.counters.get(what).copied().unwrap_or(0)
    }
}
