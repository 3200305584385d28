//! `log-start-back`: a partition begins before where a deletion of records was acknowledged to have put its start, or a
//! record from there is served. `log-start-ahead`: it begins later than anybody has asked for, so records are gone that
//! nobody deleted.
//!
//! While the run lasts the client that deletes, and the one that reads, notice the same themselves, also of where times
//! stand. What retention takes nobody has asked for; that is for `retention_keeps_its_limit`.

use super::{Anomaly, FinalRead};
use crate::history::{Facts, show};

pub(super) fn check(facts: &Facts, read: &FinalRead) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (partition, records) in &read.records {
        let trims = facts.trims.get(partition).copied().unwrap_or_default();
        let start = read.start(partition);
        let first = records.first().map_or(start, |(offset, _)| start.min(*offset));
        if first < trims.acknowledged {
            let what =
                format!("{} was cut at {}, but has {first}", show(partition), trims.acknowledged);
            anomalies.push(Anomaly::new("log-start-back", what));
        }
        if start > trims.tried && !facts.limits.contains_key(partition) {
            let what =
                format!("{} begins at {start}, nobody cut after {}", show(partition), trims.tried);
            anomalies.push(Anomaly::new("log-start-ahead", what));
        }
    }
    anomalies
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ottla::model::TopicPartition;

    use super::*;
    use crate::history::Trims;

    #[test]
    fn start_stands_between_what_was_acknowledged_and_what_was_tried() {
        let partition = TopicPartition::new("trimmed", 0);
        let trims = Trims { acknowledged: 5, tried: 8 };
        let mut facts = Facts::default();
        facts.trims.insert(partition.clone(), trims);
        let found = |start: i64, first: i64| -> Vec<_> {
            let read = FinalRead {
                records: BTreeMap::from([(partition.clone(), vec![(first, None)])]),
                starts: BTreeMap::from([(partition.clone(), start)]),
                ..FinalRead::default()
            };
            check(&facts, &read).iter().map(|anomaly| anomaly.name).collect()
        };
        assert_eq!(found(5, 5), Vec::<&str>::new());
        assert_eq!(found(8, 8), Vec::<&str>::new());
        assert_eq!(found(4, 4), ["log-start-back"]);
        assert_eq!(found(5, 4), ["log-start-back"]);
        assert_eq!(found(9, 9), ["log-start-ahead"]);
    }
}
