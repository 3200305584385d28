//! `retention-too-much`: a partition under `retention.bytes` holds less than its limit, though records were taken from its
//! front.
//!
//! Retention may take a segment only when at least the limit is left without it, and afterwards the log grows. Counted is what
//! the final reading finds, each record at the size it has at most, so what is found is certain; that a little too much
//! was taken is not seen. That too little is taken is not judged at all, nor retention by time, which depends on clocks.

use super::Anomaly;
use crate::{Facts, Verdict, show};

/// Records that counted when a segment was taken, and that a power loss took later: they were under way.
const UNDER_WAY: u64 = 3;

pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let read = &facts.read;
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
            anomalies.push(Anomaly::new(Verdict::RetentionTooMuch, what));
        }
    }
    anomalies
}
