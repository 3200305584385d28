//! `corrupt`: a reader was given, as a record, bytes that nobody sent to that partition, after bits of its files had turned.
//!
//! This is all that is asked of a partition with rotten files: on one disk what they held is lost, perhaps with what
//! follows it, and records may then be written at those offsets again. All other checkers leave such partitions out.

use ottla::model::TopicPartition;

use super::Anomaly;
use crate::{Facts, RecordId, Verdict, show};

/// Judges the rotten partitions of what is whole otherwise.
pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let polled = facts.polls.iter().map(|polled| (&polled.partition, polled.offset, polled.record));
    let last = facts.read.records.iter().flat_map(|(partition, records)| {
        records.iter().map(move |(offset, record)| (partition, *offset, *record))
    });
    let mut anomalies = Vec::new();
    for (partition, offset, record) in polled.chain(last) {
        if facts.rotten.contains(partition) && !was_sent_to(facts, record, partition) {
            let what = format!("{}@{offset} is {record:?}", show(partition));
            anomalies.push(Anomaly::new(Verdict::Corrupt, what));
        }
    }
    anomalies
}

fn was_sent_to(facts: &Facts, record: Option<RecordId>, partition: &TopicPartition) -> bool {
    let sent = record.and_then(|id| facts.sends.get(&id));
    sent.is_some_and(|sent| sent.partition == *partition)
}
