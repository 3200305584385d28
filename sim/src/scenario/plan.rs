//! What may be left out of a run, so that a failure can be looked at with less around it.

use std::collections::BTreeSet;
use std::time::Duration;

/// Less than everything that a seed draws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How many nodes there are; drawn from the seed without.
    pub nodes: Option<u32>,
    /// Acknowledges records before they are durable, as Kafka does by default: acknowledged records get lost then, and the
    /// checkers must say so.
    pub acknowledges_early: bool,
    /// Leaves out all faults.
    pub is_calm: bool,
    /// Ends all faults after this time.
    pub horizon: Option<Duration>,
    /// Faults, kinds of clients and checkers to be left out, by name.
    pub without: BTreeSet<String>,
    /// Blows to be left out, by number.
    pub skip: BTreeSet<u64>,
    /// Records of each producer, at most.
    pub records: Option<usize>,
}
