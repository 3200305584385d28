//! `below-minimum`: a leader's high watermark has moved while fewer replicas were in sync than `min.insync.replicas` asks for.
//! Who is no longer in sync, but may be elected (KIP-966), does not have what was committed then.
//!
//! Between two looks at one leadership that has heard of the same in-sync replicas both times.

use std::collections::BTreeMap;

use ottla::model::NodeId;

use super::{Breach, Key, Look};
use crate::history::Verdict;

/// What of a leadership was seen last.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    life: usize,
    leader_epoch: i32,
    partition_epoch: i32,
}

/// All leaderships that had too few replicas in sync at the last look, and their high watermarks.
#[derive(Default)]
pub(super) struct TooFew(BTreeMap<(NodeId, Key), (Seen, i64)>);

impl TooFew {
    pub(super) fn check(&mut self, look: &Look<'_>) -> Vec<Breach> {
        let before = std::mem::take(&mut self.0);
        let mut breaches = Vec::new();
        for (process, replica) in look.replicas() {
            let Some(epoch) = replica.leading else { continue };
            let topic = process.view.image.topics().by_id(replica.key.0);
            let partition = topic.and_then(|topic| topic.partition(replica.partition.partition));
            let Some(partition) = partition.filter(|it| it.leader_epoch == epoch) else { continue };
            let needed = replica.minimum.min(partition.replicas.len());
            if replica.in_sync >= needed || partition.isr.len() >= needed {
                continue;
            }
            let seen = Seen {
                life: process.life,
                leader_epoch: epoch.value(),
                partition_epoch: partition.partition_epoch.0,
            };
            let (key, now) = ((process.id, replica.key), replica.high_watermark);
            if let Some((_, then)) =
                before.get(&key).filter(|(old, then)| *old == seen && *then < now)
            {
                let what = format!(
                    "{}: {} has committed {then} to {now} with {} in sync, and needs {needed}",
                    replica.partition, process.id, replica.in_sync
                );
                breaches.push(replica.breach(Verdict::BelowMinimum, what));
            }
            self.0.insert(key, (seen, now));
        }
        breaches
    }
}
