//! `duplicate`: a record of an idempotent producer is in the logs more than once, whatever its producer was told.
//!
//! Only the final reading is looked at: what was read twice in between is the same record at the same offset, or else
//! `inconsistent-offsets`.

use std::collections::BTreeMap;

use super::Anomaly;
use crate::{Facts, Verdict, show};

pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let read = &facts.read;
    let mut places = BTreeMap::new();
    let mut anomalies = Vec::new();
    for (partition, records) in &read.records {
        for (offset, record) in records {
            let Some(id) = record else { continue };
            let place = format!("{}@{offset}", show(partition));
            if let Some(first) = places.get(id) {
                anomalies.push(Anomaly::new(
                    Verdict::Duplicate,
                    format!("{id} is at {first} and {place}"),
                ));
            } else {
                places.insert(*id, place);
            }
        }
    }
    anomalies
}
