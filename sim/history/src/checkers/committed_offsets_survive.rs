//! `lost-commit`: a group's offset is behind what was acknowledged. `foreign-commit`: it is beyond what anybody tried.
//!
//! Offsets of one group in one partition only grow here, so the largest one that was acknowledged is a floor. That members
//! begin where the group has committed is noticed by the members themselves.

use super::Anomaly;
use crate::{Facts, Verdict, show};

/// What was told while the run lasted: never less than was acknowledged before somebody asked, or told before.
pub(super) fn check_found(facts: &Facts) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for found in &facts.found {
        let place = format!("{} in {}", found.group, show(&found.partition));
        if found.offset < found.at_least {
            let what =
                format!("{place}: {:?} was there, {:?} is found", found.at_least, found.offset);
            anomalies.push(Anomaly::new(Verdict::LostCommit, what));
        }
        if let Some(offset) = found.offset.filter(|offset| *offset > found.at_most) {
            let what = format!("{place}: {offset}, but only {} was tried", found.at_most);
            anomalies.push(Anomaly::new(Verdict::ForeignCommit, what));
        }
    }
    anomalies
}

/// What is there when all is over.
pub(super) fn check(facts: &Facts) -> Vec<Anomaly> {
    let read = &facts.read;
    let mut anomalies = Vec::new();
    for (key, commits) in &facts.commits {
        let (group, partition) = (&key.0, show(&key.1));
        let found = read.commits.get(key).copied();
        if found < commits.acknowledged {
            let what = format!(
                "{group} in {partition}: {:?}, but {found:?} is found",
                commits.acknowledged
            );
            anomalies.push(Anomaly::new(Verdict::LostCommit, what));
        }
        if let Some(found) = found.filter(|found| *found > commits.tried) {
            let what =
                format!("{group} in {partition}: {found}, but only {} was tried", commits.tried);
            anomalies.push(Anomaly::new(Verdict::ForeignCommit, what));
        }
    }
    anomalies
}
