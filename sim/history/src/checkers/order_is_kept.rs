//! `nonmonotonic-send`: of two records that one producer sent to one partition, the later one stands before the earlier.
//!
//! Records that were given up count too, where they were written after all.

use std::collections::BTreeMap;

use super::Anomaly;
use crate::{Facts, Verdict, show};

pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let read = &facts.read;
    let mut anomalies = Vec::new();
    for (partition, records) in &read.records {
        let mut last = BTreeMap::new();
        for (offset, record) in records {
            let Some((id, sent)) = record.and_then(|id| Some((id, facts.sends.get(&id)?))) else {
                continue;
            };
            if let Some((before, at)) =
                last.insert(sent.producer, (id, offset)).filter(|b| b.0 > id)
            {
                let what = format!(
                    "{id} at {}@{offset} was sent before {before} at {at} by producer {}",
                    show(partition),
                    sent.producer
                );
                anomalies.push(Anomaly::new(Verdict::NonmonotonicSend, what));
            }
        }
    }
    anomalies
}
