//! `lost-topic`: a topic whose making was acknowledged is not there. `risen-topic`: one whose deletion was acknowledged is.
//!
//! A topic whose last change has an unknown end is not judged, and of the others only whether they are there.

use super::{Anomaly, FinalRead};
use crate::history::Facts;

pub(super) fn check(facts: &Facts, read: &FinalRead) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (name, fate) in facts.topics.iter().filter(|(_, fate)| !fate.is_unsure) {
        let is_there = read.topics.contains(name);
        if fate.exists && !is_there {
            anomalies.push(Anomaly::new("lost-topic", format!("{name} was made, and is gone")));
        } else if !fate.exists && is_there {
            anomalies
                .push(Anomaly::new("risen-topic", format!("{name} was deleted, and is there")));
        }
    }
    anomalies
}
