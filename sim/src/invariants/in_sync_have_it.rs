//! `not-in-sync`: a leader takes for committed what a replica has not that the controller counts as in sync. If that one is
//! elected, the record is lost.
//!
//! Looked at are processes that serve and follow that leader's epoch, so each is registered anew since it last lost anything.

use std::collections::BTreeMap;

use ottla::metadata::PartitionRegistration;
use ottla::model::NodeId;

use super::{Breach, Key, Look};
use crate::history::Verdict;

pub(super) fn check(look: &Look<'_>) -> Vec<Breach> {
    let newest = look.processes.iter().max_by_key(|process| process.view.image.provenance().last);
    let Some(newest) = newest else { return Vec::new() };
    let ends: BTreeMap<(NodeId, Key), (i32, i64)> = look
        .replicas()
        .map(|(process, replica)| {
            ((process.id, replica.key), (replica.epoch.value(), replica.log_end))
        })
        .collect();
    let mut breaches = Vec::new();
    for (process, replica) in look.replicas() {
        let Some(epoch) = replica.leading else { continue };
        let topics = newest.view.image.topics();
        let registration: Option<&PartitionRegistration> = topics
            .by_id(replica.key.0)
            .and_then(|topic| topic.partition(replica.partition.partition))
            .map(|registration| &**registration)
            .filter(|registration| registration.leader_epoch == epoch);
        for member in registration.iter().flat_map(|registration| &registration.isr) {
            let Some((known, end)) = ends.get(&(*member, replica.key)) else { continue };
            if *known == epoch.value() && *end < replica.high_watermark {
                let what = format!(
                    "{}: {} takes what is before {} for committed, {member} is in sync and ends at {end}",
                    replica.partition, process.id, replica.high_watermark
                );
                breaches.push(replica.breach(Verdict::NotInSync, what));
            }
        }
    }
    breaches
}
