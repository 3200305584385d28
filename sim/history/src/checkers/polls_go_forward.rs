//! `poll-skip`, `nonmonotonic-poll`: within one life of one consumer that was assigned its partitions, a partition's offsets
//! left records out or went back. `int-poll-skip`, `int-nonmonotonic-poll`: the same within what one poll gave, for members
//! of a group too: there is no rebalance within a poll.
//!
//! Across polls members are not judged, since each assignment begins anew, perhaps at an older offset: that is legal.
//! Nothing here compacts or marks transactions, so offsets within a life have no holes.

use std::collections::BTreeMap;

use super::Anomaly;
use crate::{Facts, Verdict, show};

pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut last = BTreeMap::new();
    for polled in &facts.polls {
        let key = (polled.consumer, &polled.partition);
        let Some((before, poll)) = last.insert(key, (polled.offset, polled.poll)) else { continue };
        let is_within = poll == polled.poll;
        if polled.offset == before + 1 || !(is_within || polled.is_in_one_run) {
            continue;
        }
        let name = match (is_within, polled.offset <= before) {
            (true, true) => Verdict::InternalNonmonotonicPoll,
            (true, false) => Verdict::InternalPollSkip,
            (false, true) => Verdict::NonmonotonicPoll,
            (false, false) => Verdict::PollSkip,
        };
        let place = format!("{}@{}", show(&polled.partition), polled.offset);
        let what = format!("consumer {} read {place} after {before}", polled.consumer);
        anomalies.push(Anomaly::new(name, what));
    }
    anomalies
}
