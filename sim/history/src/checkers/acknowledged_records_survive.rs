//! Every acknowledged record is in the final reading of its partition.
//!
//! `lost-write`: it is not, though something behind it is. `unseen`: it is not, and nothing behind it either: it may come
//! still, or its partition is stuck. `G1a`: a record whose producer was told that it had certainly not been written was
//! read. What this does not see: whether it is at the right offset, or there twice; others look at that. Nor what became of
//! records before the start of a partition, where somebody has deleted records.

use std::collections::BTreeSet;

use super::Anomaly;
use crate::{Facts, Fate, RecordId, Verdict, show};

pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let read = &facts.read;
    let present: BTreeSet<RecordId> =
        read.records.values().flatten().filter_map(|(_, record)| *record).collect();
    let polled = facts.polls.iter().filter_map(|polled| polled.record);
    let seen: BTreeSet<RecordId> = polled.chain(present.iter().copied()).collect();
    let mut anomalies = Vec::new();
    for (id, sent) in &facts.sends {
        let partition = show(&sent.partition);
        match &sent.fate {
            Fate::Acknowledged(offset) if !present.contains(id) => {
                let records = read.records.get(&sent.partition);
                let end = records.and_then(|records| records.last()).map_or(-1, |last| last.0);
                let is_deleted = offset.map_or(read.start(&sent.partition) > 0, |offset| {
                    offset < read.start(&sent.partition)
                });
                if is_deleted {
                    continue;
                }
                let is_behind = offset.is_none_or(|offset| offset <= end);
                let name = if is_behind { Verdict::LostWrite } else { Verdict::Unseen };
                let place = offset.map_or("?".to_owned(), |offset| offset.to_string());
                let what =
                    format!("{id} was acknowledged at {partition}@{place}; the last one is {end}");
                anomalies.push(Anomaly::new(name, what));
            }
            Fate::Failed if seen.contains(id) => {
                let what = format!("{id} was refused by {partition}, but read");
                anomalies.push(Anomaly::new(Verdict::AbortedRead, what));
            }
            Fate::Acknowledged(_) | Fate::Failed | Fate::Unknown => {}
        }
    }
    anomalies
}
