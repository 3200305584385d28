//! `lost-topic`: a topic whose making was acknowledged is not there. `risen-topic`: one whose deletion was acknowledged is.
//!
//! `lost-growth`: one has other than the acknowledged number of partitions. That a configuration that was set is still set
//! (`lost-config`) the client that sets it notices itself.
//!
//! A topic whose last change has an unknown end is not judged, nor whether the partitions of the others can be used.

use super::Anomaly;
use crate::{Facts, Verdict};

pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let read = &facts.read;
    let mut anomalies = Vec::new();
    for (name, fate) in facts.topics.iter().filter(|(_, fate)| !fate.is_unsure) {
        match (fate.exists, read.topics.get(name)) {
            (true, None) => {
                anomalies.push(Anomaly::new(
                    Verdict::LostTopic,
                    format!("{name} was made, and is gone"),
                ));
            }
            (true, Some(found)) if *found != fate.partition_count => {
                let what = format!("{name}: {} partitions, {found} found", fate.partition_count);
                anomalies.push(Anomaly::new(Verdict::LostGrowth, what));
            }
            (false, Some(_)) => {
                let what = format!("{name} was deleted, and is there");
                anomalies.push(Anomaly::new(Verdict::RisenTopic, what));
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    anomalies
}
