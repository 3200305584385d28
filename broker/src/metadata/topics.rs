use std::sync::Arc;

use super::OrderedMap;
use super::cluster::{DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED};
use crate::model::{DirectoryId, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicName};
use crate::protocol::internal_records::metadata::{
    ClearElrRecord, LeaderChange, LeaderRecoveryState, PartitionChangeRecord, PartitionRecord,
    RemoveTopicRecord, TopicRecord,
};

/// Grows by one with every change of a partition's registration. Source: KIP-497.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionEpoch(pub i32);

/// What the cluster knows of one partition.
///
/// Invariants of what our controller writes: `directories` is as long as `replicas`; the leader is in `isr`; `isr`,
/// `removing_replicas`, `adding_replicas` and the eligible leaders are subsets of `replicas`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// The brokers that hold a copy; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// In which log directory each replica lies, in the order of `replicas`. Source: KIP-858.
    pub directories: Vec<DirectoryId>,
    /// The in-sync replicas.
    pub isr: Vec<NodeId>,
    /// Replicas that a reassignment takes away. Source: KIP-455.
    pub removing_replicas: Vec<NodeId>,
    /// Replicas that a reassignment adds.
    pub adding_replicas: Vec<NodeId>,
    /// Replicas outside the ISR that hold every committed record. Source: KIP-966.
    pub eligible_leader_replicas: Vec<NodeId>,
    /// Former members of the two sets above, or the last leader of a partition without one. Source: KIP-966.
    pub last_known_eligible_leader_replicas: Vec<NodeId>,
    /// The leader; `None` when nobody can lead.
    pub leader: Option<NodeId>,
    /// Whether the leader recovers from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// Grows with every new leader.
    pub leader_epoch: LeaderEpoch,
    /// Grows with every change.
    pub partition_epoch: PartitionEpoch,
}

impl PartitionRegistration {
    /// The directory of `replica`; `None` when it is no replica of this partition.
    #[must_use]
    pub fn directory(&self, replica: NodeId) -> Option<DirectoryId> {
        let place = self.replicas.iter().position(|candidate| *candidate == replica)?;
        self.directories.get(place).copied()
    }

    /// True while replicas are being added or removed.
    #[must_use]
    pub fn is_reassigning(&self) -> bool {
        !self.removing_replicas.is_empty() || !self.adding_replicas.is_empty()
    }

    /// Its replicas once the reassignment under way, if there is any, is complete.
    #[must_use]
    pub fn replicas_after_reassignment(&self) -> Vec<NodeId> {
        let stays = |id: &NodeId| !self.removing_replicas.contains(id);
        self.replicas.iter().copied().filter(stays).collect()
    }

    /// True when the replica that should lead does.
    #[must_use]
    pub fn has_preferred_leader(&self) -> bool {
        self.leader.is_some() && self.leader == self.preferred_leader()
    }

    /// The replica that leads when it can; `None` only for a partition without replicas.
    #[must_use]
    pub fn preferred_leader(&self) -> Option<NodeId> {
        self.replicas.first().copied()
    }
}

/// One topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Its name.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
    /// Its partitions, by index.
    pub partitions: OrderedMap<PartitionIndex, Arc<PartitionRegistration>>,
}

impl TopicImage {
    /// One of its partitions.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&Arc<PartitionRegistration>> {
        self.partitions.get(&index)
    }
}

/// All topics, by identity and by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsImage {
    by_id: OrderedMap<TopicId, Arc<TopicImage>>,
    ids: OrderedMap<TopicName, TopicId>,
    /// Names with `.` or `_`, behind the form in which they are the same.
    ambiguous: OrderedMap<(String, TopicName), ()>,
}

impl TopicsImage {
    /// The topic with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.by_id.get(self.ids.get(name)?)
    }

    /// The topic with this identity.
    #[must_use]
    pub fn by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.by_id.get(&id)
    }

    /// The partition at this place of the topic with this identity.
    #[must_use]
    pub fn partition(
        &self,
        id: TopicId,
        index: PartitionIndex,
    ) -> Option<&Arc<PartitionRegistration>> {
        self.by_id(id)?.partition(index)
    }

    /// All topics, by ascending name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.ids.values().filter_map(|id| self.by_id.get(id))
    }

    /// The topics whose name is not before `name`, by ascending name.
    pub fn from_name(&self, name: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.ids.range_from(name).filter_map(|(_, id)| self.by_id.get(id))
    }

    /// An existing topic whose name differs from `name` at most in `.` and `_`, if both have any.
    #[must_use]
    pub fn colliding_with(&self, name: &str) -> Option<&TopicName> {
        let unified = unified(name)?;
        let first = self.ambiguous.range_from(&(unified.clone(), TopicName::from(""))).next();
        first.filter(|((other, _), ())| *other == unified).map(|((_, topic), ())| topic)
    }

    /// How many topics there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True when there are no topics.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Tells of every topic that differs from `other`: id, the topic here, the topic there.
    pub(super) fn for_each_difference<'a>(
        &'a self,
        other: &'a Self,
        mut tell: impl FnMut(TopicId, Option<&'a Arc<TopicImage>>, Option<&'a Arc<TopicImage>>),
    ) {
        self.by_id.for_each_difference(&other.by_id, |id, old, new| tell(*id, old, new));
    }
}

/// Replaying.
impl TopicsImage {
    pub(super) fn create(&mut self, record: &TopicRecord) {
        let topic = TopicImage {
            name: record.name.clone(),
            id: record.topic_id,
            partitions: OrderedMap::default(),
        };
        if let Some(unified) = unified(record.name.as_str()) {
            self.ambiguous.insert((unified, record.name.clone()), ());
        }
        self.ids.insert(record.name.clone(), record.topic_id);
        self.by_id.insert(record.topic_id, Arc::new(topic));
    }

    /// Gives back the topic that was.
    pub(super) fn remove(&mut self, record: &RemoveTopicRecord) -> Result<Arc<TopicImage>, String> {
        let id = record.topic_id;
        let topic = self.by_id.remove(&id).ok_or_else(|| format!("there is no topic {id}"))?;
        // The name may be another topic's by now, in a log that lacks our removal's order.
        if self.ids.get(&topic.name) == Some(&id) {
            self.ids.remove(&topic.name);
            if let Some(unified) = unified(topic.name.as_str()) {
                self.ambiguous.remove(&(unified, topic.name.clone()));
            }
        }
        Ok(topic)
    }

    pub(super) fn set_partition(&mut self, record: &PartitionRecord) -> Result<(), String> {
        let topic = self.topic_mut(record.topic_id)?;
        topic.partitions.insert(record.partition_id, Arc::new(PartitionRegistration::from(record)));
        Ok(())
    }

    pub(super) fn change_partition(
        &mut self,
        record: &PartitionChangeRecord,
    ) -> Result<(), String> {
        let index = record.partition_id;
        let topic = self.topic_mut(record.topic_id)?;
        let partition = topic
            .partitions
            .get_mut(&index)
            .ok_or_else(|| format!("topic {} has no partition {index}", record.topic_id))?;
        Arc::make_mut(partition).merge(record);
        Ok(())
    }

    pub(super) fn clear_eligible_leaders(&mut self, record: &ClearElrRecord) -> Result<(), String> {
        let ids: Vec<TopicId> = if record.topic_name.is_empty() {
            self.by_id.keys().copied().collect()
        } else {
            let id = self.ids.get(record.topic_name.as_str());
            vec![*id.ok_or_else(|| format!("there is no topic named {}", record.topic_name))?]
        };
        for id in ids {
            let topic = self.topic_mut(id)?;
            let has_any = |partition: &PartitionRegistration| {
                !partition.eligible_leader_replicas.is_empty()
                    || !partition.last_known_eligible_leader_replicas.is_empty()
            };
            let indexes: Vec<PartitionIndex> = topic
                .partitions
                .iter()
                .filter(|(_, partition)| has_any(partition))
                .map(|(index, _)| *index)
                .collect();
            for index in indexes {
                if let Some(partition) = topic.partitions.get_mut(&index) {
                    let partition = Arc::make_mut(partition);
                    partition.eligible_leader_replicas.clear();
                    partition.last_known_eligible_leader_replicas.clear();
                }
            }
        }
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut TopicImage, String> {
        match self.by_id.get_mut(&id) {
            Some(topic) => Ok(Arc::make_mut(topic)),
            None => Err(format!("there is no topic {id}")),
        }
    }
}

impl PartitionRegistration {
    /// Applies one change. The leader epoch grows when the record names a leader, be it the same.
    pub(crate) fn merge(&mut self, record: &PartitionChangeRecord) {
        let set = |field: &mut Vec<NodeId>, value: &Option<Vec<NodeId>>| {
            if let Some(value) = value {
                field.clone_from(value);
            }
        };
        set(&mut self.isr, &record.isr);
        set(&mut self.removing_replicas, &record.removing_replicas);
        set(&mut self.adding_replicas, &record.adding_replicas);
        set(&mut self.eligible_leader_replicas, &record.eligible_leader_replicas);
        set(&mut self.last_known_eligible_leader_replicas, &record.last_known_elr);
        if let Some(replicas) = &record.replicas {
            // Replicas whose directory the record does not tell keep theirs.
            let directories = replicas.iter().map(|id| self.directory(*id));
            self.directories =
                directories.map(|known| known.unwrap_or(DIRECTORY_UNASSIGNED)).collect();
            self.replicas.clone_from(replicas);
        }
        if let Some(directories) = &record.directories {
            self.directories.clone_from(directories);
        }
        match record.leader {
            LeaderChange::Unchanged => {}
            LeaderChange::Nobody => self.set_leader(None),
            LeaderChange::Leader(leader) => self.set_leader(Some(leader)),
        }
        self.leader_recovery_state =
            record.leader_recovery_state.unwrap_or(self.leader_recovery_state);
        self.partition_epoch = PartitionEpoch(self.partition_epoch.0.saturating_add(1));
    }

    fn set_leader(&mut self, leader: Option<NodeId>) {
        self.leader = leader;
        self.leader_epoch = LeaderEpoch::new(self.leader_epoch.value().saturating_add(1));
    }

    /// The record that makes this partition.
    #[must_use]
    pub fn to_record(&self, topic_id: TopicId, partition_id: PartitionIndex) -> PartitionRecord {
        PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing_replicas: self.removing_replicas.clone(),
            adding_replicas: self.adding_replicas.clone(),
            leader: self.leader,
            leader_recovery_state: self.leader_recovery_state,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch.0,
            directories: self.directories.clone(),
            eligible_leader_replicas: self.eligible_leader_replicas.clone(),
            last_known_elr: self.last_known_eligible_leader_replicas.clone(),
        }
    }
}

impl From<&PartitionRecord> for PartitionRegistration {
    fn from(record: &PartitionRecord) -> Self {
        // Logs from before directories were kept have none; Kafka reads them as "migrating".
        let directories = if record.directories.is_empty() {
            vec![DIRECTORY_MIGRATING; record.replicas.len()]
        } else {
            record.directories.clone()
        };
        Self {
            replicas: record.replicas.clone(),
            directories,
            isr: record.isr.clone(),
            removing_replicas: record.removing_replicas.clone(),
            adding_replicas: record.adding_replicas.clone(),
            eligible_leader_replicas: record.eligible_leader_replicas.clone(),
            last_known_eligible_leader_replicas: record.last_known_elr.clone(),
            leader: record.leader,
            leader_recovery_state: record.leader_recovery_state,
            leader_epoch: record.leader_epoch,
            partition_epoch: PartitionEpoch(record.partition_epoch),
        }
    }
}

/// The name as names of metrics have it; `None` when nothing in it is ambiguous.
fn unified(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}
