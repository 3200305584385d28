//! `log-start-back`: a partition begins before where a deletion of records was acknowledged to have put its start, or a
//! record from there is served. `log-start-ahead`: it begins later than anybody has asked for, so records are gone that
//! nobody deleted.
//!
//! While the run lasts the client that deletes, and the one that reads, notice the same themselves, also of where times
//! stand. What retention takes nobody has asked for; that is for `retention_keeps_its_limit`.

use super::Anomaly;
use crate::{Facts, Verdict, show};

pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let read = &facts.read;
    let mut anomalies = Vec::new();
    for (partition, records) in &read.records {
        let trims = facts.trims.get(partition).copied().unwrap_or_default();
        let start = read.start(partition);
        let first = records.first().map_or(start, |(offset, _)| start.min(*offset));
        if first < trims.acknowledged {
            let what =
                format!("{} was cut at {}, but has {first}", show(partition), trims.acknowledged);
            anomalies.push(Anomaly::new(Verdict::LogStartBack, what));
        }
        if start > trims.tried && !facts.limits.contains_key(partition) {
            let what =
                format!("{} begins at {start}, nobody cut after {}", show(partition), trims.tried);
            anomalies.push(Anomaly::new(Verdict::LogStartAhead, what));
        }
    }
    anomalies
}
