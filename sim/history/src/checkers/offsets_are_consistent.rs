//! One offset of a partition is one record, for everyone, for ever, and offsets have no holes.
//!
//! `inconsistent-offsets`: an acknowledgement, a reading while things went wrong and the final reading disagree about an
//! offset. `hole`: an offset that the final reading skips; nothing here compacts or marks transactions, so there is none after the
//! start.
//! `unseen-again`: a record that was read once is behind the end now. `foreign-record`: bytes that nobody sent.

use std::collections::BTreeMap;

use ottla::model::TopicPartition;

use super::Anomaly;
use crate::{Facts, RecordId, Verdict, show};

pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let read = &facts.read;
    let mut anomalies = Vec::new();
    let mut truth: BTreeMap<(&TopicPartition, i64), Option<RecordId>> = BTreeMap::new();
    for (partition, records) in &read.records {
        let mut next = read.start(partition);
        for (offset, record) in records {
            if *offset != next {
                let what = format!("{} has {offset} where {next} should be", show(partition));
                anomalies.push(Anomaly::new(Verdict::Hole, what));
            }
            next = offset + 1;
            truth.insert((partition, *offset), *record);
            let is_known = record.is_some_and(|id| {
                facts.sends.get(&id).is_some_and(|sent| sent.partition == *partition)
            });
            if !is_known {
                let what = format!("{}@{offset} is {record:?}", show(partition));
                anomalies.push(Anomaly::new(Verdict::ForeignRecord, what));
            }
        }
    }
    let acknowledged = facts.sends.iter().filter_map(|(id, sent)| {
        let offset = (*sent.fate.acknowledged()?)?;
        Some((&sent.partition, offset, *id))
    });
    for (partition, offset, id) in acknowledged {
        if let Some(found) = truth.get(&(partition, offset)).filter(|found| **found != Some(id)) {
            let what = format!("{id} was acknowledged at {}@{offset}: {found:?}", show(partition));
            anomalies.push(Anomaly::new(Verdict::InconsistentOffsets, what));
        }
    }
    check_polls(facts, &truth, &mut anomalies);
    anomalies
}

fn check_polls(
    facts: &Facts,
    truth: &BTreeMap<(&TopicPartition, i64), Option<RecordId>>,
    anomalies: &mut Vec<Anomaly>,
) {
    for polled in &facts.polls {
        let place = || format!("{}@{}", show(&polled.partition), polled.offset);
        match truth.get(&(&polled.partition, polled.offset)) {
            Some(found) if *found == polled.record => {}
            Some(found) => {
                let what = format!("{} was read as {:?}, now {found:?}", place(), polled.record);
                anomalies.push(Anomaly::new(Verdict::InconsistentOffsets, what));
            }
            None if polled.offset < facts.read.start(&polled.partition) => {}
            None => {
                let what = format!("{} was read as {:?}, now nothing", place(), polled.record);
                anomalies.push(Anomaly::new(Verdict::UnseenAgain, what));
            }
        }
    }
}
