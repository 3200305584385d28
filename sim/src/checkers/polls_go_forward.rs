//! `poll-skip`, `nonmonotonic-poll`: within one life of one consumer that was assigned its partitions, a partition's offsets
//! left records out or went back. `int-poll-skip`, `int-nonmonotonic-poll`: the same within what one poll gave, for members
//! of a group too: there is no rebalance within a poll.
//!
//! Across polls members are not judged, since each assignment begins anew, perhaps at an older offset: that is legal.
//! Nothing here compacts or marks transactions, so offsets within a life have no holes.

use std::collections::BTreeMap;

use super::{Anomaly, FinalRead};
use crate::history::{Facts, show};

pub(super) fn check(facts: &Facts, _: &FinalRead) -> Vec<Anomaly> {
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
            (true, true) => "int-nonmonotonic-poll",
            (true, false) => "int-poll-skip",
            (false, true) => "nonmonotonic-poll",
            (false, false) => "poll-skip",
        };
        let place = format!("{}@{}", show(&polled.partition), polled.offset);
        let what = format!("consumer {} read {place} after {before}", polled.consumer);
        anomalies.push(Anomaly::new(name, what));
    }
    anomalies
}

#[cfg(test)]
mod tests {
    use ottla::model::TopicPartition;

    use super::*;
    use crate::history::Polled;

    /// What is found in polls of one consumer: (poll, offset).
    fn found(is_in_one_run: bool, polls: &[(u64, i64)]) -> Vec<&'static str> {
        let polled = |(poll, offset): &(u64, i64)| Polled {
            consumer: 1,
            poll: *poll,
            partition: TopicPartition::new("orders", 0),
            offset: *offset,
            record: None,
            is_in_one_run,
        };
        let mut facts = Facts::default();
        facts.polls = polls.iter().map(polled).collect();
        check(&facts, &FinalRead::default()).iter().map(|anomaly| anomaly.name).collect()
    }

    #[test]
    fn what_is_left_out_or_repeated_is_found() {
        assert_eq!(found(true, &[(1, 7), (1, 8), (2, 9)]), Vec::<&str>::new());
        assert_eq!(found(true, &[(1, 7), (2, 9)]), ["poll-skip"]);
        assert_eq!(found(true, &[(1, 7), (2, 7)]), ["nonmonotonic-poll"]);
        assert_eq!(
            found(true, &[(1, 7), (1, 9), (1, 8)]),
            ["int-poll-skip", "int-nonmonotonic-poll"]
        );
    }

    #[test]
    fn members_may_begin_anew_but_not_within_a_poll() {
        assert_eq!(found(false, &[(1, 7), (2, 3), (3, 20)]), Vec::<&str>::new());
        assert_eq!(found(false, &[(1, 7), (1, 3)]), ["int-nonmonotonic-poll"]);
    }
}
