//! `lost-commit`: a group's offset is behind what was acknowledged. `foreign-commit`: it is beyond what anybody tried.
//!
//! Offsets of one group in one partition only grow here, so the largest one that was acknowledged is a floor. That members
//! begin where the group has committed is noticed by the members themselves.

use super::{Anomaly, FinalRead};
use crate::history::{Facts, show};

pub(super) fn check(facts: &Facts, read: &FinalRead) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (key, commits) in &facts.commits {
        let (group, partition) = (&key.0, show(&key.1));
        let found = read.commits.get(key).copied();
        if found < commits.acknowledged {
            let what = format!(
                "{group} in {partition}: {:?}, but {found:?} is found",
                commits.acknowledged
            );
            anomalies.push(Anomaly::new("lost-commit", what));
        }
        if let Some(found) = found.filter(|found| *found > commits.tried) {
            let what =
                format!("{group} in {partition}: {found}, but only {} was tried", commits.tried);
            anomalies.push(Anomaly::new("foreign-commit", what));
        }
    }
    anomalies
}
