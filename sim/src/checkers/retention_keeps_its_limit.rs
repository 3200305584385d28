//! `retention-too-much`: a partition under `retention.bytes` holds less than its limit, though records were taken from its
//! front.
//!
//! Retention may take a segment only when at least the limit is left without it, and afterwards the log grows. Counted is what
//! the final reading finds, each record at the size it has at most, so what is found is certain; that a little too much
//! was taken is not seen. That too little is taken is not judged at all, nor retention by time, which depends on clocks.

use super::{Anomaly, FinalRead};
use crate::history::{Facts, show};

/// Records that counted when a segment was taken, and that a power loss took later: they were under way.
const UNDER_WAY: u64 = 3;

pub(super) fn check(facts: &Facts, read: &FinalRead) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (partition, limit) in &facts.limits {
        let start = read.start(partition);
        let count = read.records.get(partition).map_or(0, |records| records.len() as u64);
        let at_most = (count + UNDER_WAY) * limit.record_bytes_max;
        if start > 0 && at_most < limit.bytes {
            let what = format!(
                "{} begins at {start} and has {count} records, less than {} bytes",
                show(partition),
                limit.bytes
            );
            anomalies.push(Anomaly::new("retention-too-much", what));
        }
    }
    anomalies
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ottla::model::TopicPartition;

    use super::*;
    use crate::history::Limit;

    #[test]
    fn a_log_that_was_cut_has_its_limit_left() {
        let partition = TopicPartition::new("limited", 0);
        let mut facts = Facts::default();
        facts.limits.insert(partition.clone(), Limit { bytes: 1_000, record_bytes_max: 100 });
        let found = |start: i64, count: i64| -> usize {
            let records = (start..start + count).map(|offset| (offset, None)).collect();
            let read = FinalRead {
                records: BTreeMap::from([(partition.clone(), records)]),
                starts: BTreeMap::from([(partition.clone(), start)]),
                ..FinalRead::default()
            };
            check(&facts, &read).len()
        };
        assert_eq!(found(0, 2), 0, "nothing was taken");
        assert_eq!(found(5, 7), 0);
        assert_eq!(found(5, 6), 1);
    }
}
