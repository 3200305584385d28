//! `images-differ`: two brokers that have heard the metadata log up to the same offset believe different things, or two of them know
//! one state of a partition (topic, partition epoch) with different leaders or in-sync replicas: somebody but the controller
//! has decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla::metadata::{MetadataImage, PartitionRegistration};
use ottla::model::{NodeId, OffsetAndEpoch};

use super::{Breach, Key, Look};
use crate::history::Verdict;

/// What was believed.
#[derive(Default)]
pub(super) struct Images {
    /// The last that each broker was seen to know, in that life.
    seen: BTreeMap<NodeId, (usize, Option<OffsetAndEpoch>)>,
    by_offset: BTreeMap<OffsetAndEpoch, Arc<MetadataImage>>,
    by_partition_epoch: BTreeMap<(Key, i32), Arc<PartitionRegistration>>,
}

impl Images {
    pub(super) fn check(&mut self, look: &Look<'_>) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for process in &look.processes {
            let image = &process.view.image;
            let now = (process.life, image.provenance().last);
            if self.seen.insert(process.id, now) == Some(now) {
                continue;
            }
            breaches.extend(self.whole(process.id, image));
            breaches.extend(self.partitions(process.id, image));
        }
        while self.by_offset.len() > REMEMBERED {
            self.by_offset.pop_first();
        }
        breaches
    }

    fn whole(&mut self, id: NodeId, image: &Arc<MetadataImage>) -> Option<Breach> {
        let last = image.provenance().last?;
        let other = self.by_offset.entry(last).or_insert_with(|| Arc::clone(image));
        if image.says_the_same_as(other) {
            return None;
        }
        let what = format!("{id} believes something else at {last:?} than others");
        Some(Breach { verdict: Verdict::ImagesDiffer, partition: None, what })
    }

    fn partitions(&mut self, id: NodeId, image: &MetadataImage) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for topic in image.topics().iter() {
            for (index, registration) in topic.partitions.iter() {
                let key = ((topic.id, index.0), registration.partition_epoch.0);
                let known =
                    self.by_partition_epoch.entry(key).or_insert_with(|| Arc::clone(registration));
                if !Arc::ptr_eq(known, registration) && known != registration {
                    let what = format!(
                        "{}-{index}: {id} knows {registration:?}, others {known:?}",
                        topic.name
                    );
                    breaches.push(Breach { verdict: Verdict::ImagesDiffer, partition: None, what });
                }
            }
        }
        breaches
    }
}

/// As many different images as brokers can be apart, and some.
const REMEMBERED: usize = 200;
