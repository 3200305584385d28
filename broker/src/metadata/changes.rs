use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ConfigResource, MetadataImage, TopicImage};
use crate::model::{NodeId, PartitionIndex, TopicId};

/// What differs between two images: what became of the old one, not how.
///
/// Found by comparing the two, which is cheap because an image shares with its predecessor all that did not change. So
/// it cannot disagree with the images, and a topic that came and went between them is no change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataChanges {
    /// Topics made, deleted or with changed partitions.
    pub topics: BTreeMap<TopicId, TopicChange>,
    /// Things whose configuration differs.
    pub configurations: BTreeSet<ConfigResource>,
    /// Brokers registered, changed or gone.
    pub brokers: BTreeSet<NodeId>,
    /// Controllers registered, changed or gone.
    pub controllers: BTreeSet<NodeId>,
    /// Other parts that differ.
    pub parts: BTreeSet<Part>,
}

/// A part of an image whose changes are not told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named like the image's parts")]
pub enum Part {
    Features,
    ProducerIds,
    Acls,
    Scram,
    Quotas,
    DelegationTokens,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicChange {
    /// The topic in the older image; `None` when it is new.
    pub before: Option<Arc<TopicImage>>,
    /// The topic in the newer image; `None` when it was deleted.
    pub after: Option<Arc<TopicImage>>,
    /// Its partitions that are new, differ or are gone.
    pub partitions: BTreeSet<PartitionIndex>,
}

impl MetadataChanges {
    /// What differs between `before` and `after`.
    #[must_use]
    pub fn between(before: &MetadataImage, after: &MetadataImage) -> Self {
        let mut changes = Self::default();
        before.topics.for_each_difference(&after.topics, |id, old, new| {
            changes.topics.insert(id, TopicChange::between(old, new));
        });
        before.configurations.for_each_difference(&after.configurations, |resource| {
            changes.configurations.insert(resource.clone());
        });
        if !Arc::ptr_eq(&before.cluster, &after.cluster) {
            changes.brokers = before.cluster.differing_brokers(&after.cluster);
            changes.controllers = before.cluster.differing_controllers(&after.cluster);
        }
        let parts = [
            (Part::Features, before.features != after.features),
            (Part::ProducerIds, before.producer_ids != after.producer_ids),
            (Part::Acls, before.acls != after.acls),
            (Part::Scram, before.scram != after.scram),
            (Part::Quotas, before.quotas != after.quotas),
            (Part::DelegationTokens, before.delegation_tokens != after.delegation_tokens),
        ];
        changes.parts =
            parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect();
        changes
    }

    /// True when the two images say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
            && self.configurations.is_empty()
            && self.brokers.is_empty()
            && self.controllers.is_empty()
            && self.parts.is_empty()
    }

    /// Topics that are new.
    pub fn created_topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics
            .values()
            .filter(|change| change.before.is_none())
            .filter_map(|change| change.after.as_ref())
    }

    /// Topics that were deleted, as they were.
    pub fn deleted_topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics
            .values()
            .filter(|change| change.after.is_none())
            .filter_map(|change| change.before.as_ref())
    }
}

impl TopicChange {
    fn between(before: Option<&Arc<TopicImage>>, after: Option<&Arc<TopicImage>>) -> Self {
        let mut partitions = BTreeSet::new();
        match (before, after) {
            (Some(old), Some(new)) => {
                old.partitions.for_each_difference(&new.partitions, |index, _, _| {
                    partitions.insert(*index);
                });
            }
            (Some(only), None) | (None, Some(only)) => {
                partitions.extend(only.partitions.keys().copied());
            }
            (None, None) => {}
        }
        Self { before: before.map(Arc::clone), after: after.map(Arc::clone), partitions }
    }
}
