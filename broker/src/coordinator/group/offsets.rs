use std::collections::{BTreeMap, BTreeSet};

use super::Group;
use super::records::GroupRecord;
use super::requests::Generation;
use super::requests::{
    CommitRequest, CommitTopic, CommittedOffset, FetchRequest, FetchedPartition, FetchedTopic,
    GroupState, MemberIdentity, PartitionOutcomes, TransactionalCommitRequest,
};
use crate::coordinator::machine::Position;
use crate::model::{
    ErrorCode, GroupId, MemberId, Offset, PartitionIndex, ProducerId, Timestamp, TopicName,
};

/// The offsets of one group.
pub(crate) type GroupOffsets = BTreeMap<TopicName, BTreeMap<PartitionIndex, CommittedOffset>>;

/// All committed offsets of a shard, and those of open transactions.
///
/// Invariant: no map in here is empty but the outermost ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    committed: BTreeMap<GroupId, GroupOffsets>,
    pending: BTreeMap<ProducerId, BTreeMap<GroupId, GroupOffsets>>,
}

impl Offsets {
    /// The committed offsets of `group`.
    pub(crate) fn of(&self, group: &GroupId) -> Option<&GroupOffsets> {
        self.committed.get(group)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.committed.keys().chain(self.pending.values().flat_map(BTreeMap::keys))
    }

    fn committed(
        &self,
        group: &GroupId,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Option<&CommittedOffset> {
        self.committed.get(group)?.get(topic)?.get(&partition)
    }

    /// True while some transaction has an offset for this partition that is neither committed nor aborted.
    pub(crate) fn is_pending(
        &self,
        group: &GroupId,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> bool {
        self.pending
            .values()
            .filter_map(|groups| groups.get(group)?.get(topic))
            .any(|partitions| partitions.contains_key(&partition))
    }

    /// True while some transaction has offsets of this group.
    pub(crate) fn has_pending(&self, group: &GroupId) -> bool {
        self.pending.values().any(|groups| groups.contains_key(group))
    }

    /// Each topic and partition of a group that has an offset, committed or pending.
    pub(crate) fn partitions(&self, group: &GroupId) -> BTreeSet<(TopicName, PartitionIndex)> {
        let pending = self.pending.values().filter_map(|groups| groups.get(group));
        self.committed
            .get(group)
            .into_iter()
            .chain(pending)
            .flatten()
            .flat_map(|(topic, partitions)| {
                partitions.keys().map(|partition| (topic.clone(), *partition))
            })
            .collect()
    }

    /// Applies a stored offset, or its end.
    pub(crate) fn replay(
        &mut self,
        position: Position,
        (group, topic, partition): (&GroupId, &TopicName, PartitionIndex),
        value: Option<&CommittedOffset>,
    ) {
        let Some(value) = value else {
            remove(&mut self.committed, group, topic, partition);
            self.pending.retain(|_, groups| {
                remove(groups, group, topic, partition);
                !groups.is_empty()
            });
            return;
        };
        let value = CommittedOffset { record_offset: position.offset, ..value.clone() };
        let groups = match position.producer {
            Some(producer) => self.pending.entry(producer).or_default(),
            None => &mut self.committed,
        };
        put(groups, group, topic, partition, value);
    }

    /// Applies the end of a transaction: its offsets count, where no later commit has come, or never were.
    pub(crate) fn end_transaction(&mut self, producer: ProducerId, is_committed: bool) {
        let Some(groups) = self.pending.remove(&producer) else { return };
        if !is_committed {
            return;
        }
        for (group, topics) in groups {
            for (topic, partitions) in topics {
                for (partition, value) in partitions {
                    let is_newest = self
                        .committed(&group, &topic, partition)
                        .is_none_or(|known| known.record_offset < value.record_offset);
                    if is_newest {
                        put(&mut self.committed, &group, &topic, partition, value);
                    }
                }
            }
        }
    }

    /// Answers an `OffsetFetch`.
    pub(crate) fn fetch(&self, group: &GroupId, request: FetchRequest) -> Vec<FetchedTopic> {
        let asked = request.topics.unwrap_or_else(|| {
            let all = self.committed.get(group).into_iter().flatten();
            all.map(|(topic, partitions)| (topic.clone(), partitions.keys().copied().collect()))
                .collect()
        });
        let fetch_one = |topic: &TopicName, partition: PartitionIndex| {
            if request.require_stable && self.is_pending(group, topic, partition) {
                return FetchedPartition {
                    error: ErrorCode::UnstableOffsetCommit,
                    ..FetchedPartition::nothing(partition)
                };
            }
            self.committed(group, topic, partition).map_or_else(
                || FetchedPartition::nothing(partition),
                |known| FetchedPartition {
                    partition,
                    offset: Some(known.offset),
                    leader_epoch: known.leader_epoch,
                    metadata: known.metadata.clone(),
                    topic_id: known.topic_id,
                    error: ErrorCode::None,
                },
            )
        };
        asked
            .into_iter()
            .map(|(topic, partitions)| {
                let partitions =
                    partitions.into_iter().map(|partition| fetch_one(&topic, partition)).collect();
                FetchedTopic { topic, partitions }
            })
            .collect()
    }

    /// Tombstones for all that `group` has.
    pub(crate) fn tombstones(&self, group: &GroupId) -> Vec<GroupRecord> {
        self.partitions(group)
            .into_iter()
            .map(|(topic, partition)| tombstone(group, topic, partition))
            .collect()
    }

    /// Tombstones for all that any group has of these topics.
    pub(crate) fn tombstones_of_topics(&self, topics: &BTreeSet<TopicName>) -> Vec<GroupRecord> {
        let groups: BTreeSet<&GroupId> = self.groups().collect();
        let mut records = Vec::new();
        for group in groups {
            let partitions =
                self.partitions(group).into_iter().filter(|(topic, _)| topics.contains(topic));
            records.extend(partitions.map(|(topic, partition)| tombstone(group, topic, partition)));
        }
        records
    }

    /// Answers an `OffsetDelete` and gives the tombstones it takes.
    pub(crate) fn delete(
        &self,
        id: &GroupId,
        group: &Group,
        topics: Vec<(TopicName, Vec<PartitionIndex>)>,
    ) -> (PartitionOutcomes, Vec<GroupRecord>) {
        let mut records = Vec::new();
        let mut outcomes = Vec::with_capacity(topics.len());
        for (topic, partitions) in topics {
            let is_subscribed = group.classic.is_subscribed_to(&topic);
            let error =
                if is_subscribed { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
            for &partition in &partitions {
                let is_known = self.committed(id, &topic, partition).is_some()
                    || self.is_pending(id, &topic, partition);
                if !is_subscribed && is_known {
                    records.push(tombstone(id, topic.clone(), partition));
                }
            }
            outcomes.push((
                topic,
                partitions.into_iter().map(|partition| (partition, error)).collect(),
            ));
        }
        (outcomes, records)
    }
}

impl FetchedPartition {
    const fn nothing(partition: PartitionIndex) -> Self {
        Self {
            partition,
            offset: None,
            leader_epoch: None,
            metadata: String::new(),
            topic_id: None,
            error: ErrorCode::None,
        }
    }
}

/// The record that ends an offset.
pub(crate) fn tombstone(
    group: &GroupId,
    topic: TopicName,
    partition: PartitionIndex,
) -> GroupRecord {
    GroupRecord::Offset { group: group.clone(), topic, partition, value: None }
}

/// Who may commit. Gives the member whose session the commit extends.
///
/// `group` is none when nobody ever joined or committed.
pub(crate) fn validate_commit(
    group: Option<&Group>,
    commit: &CommitRequest,
) -> Result<Option<MemberId>, ErrorCode> {
    let Some(group) = group else {
        // A commit without generation makes a group that only stores offsets.
        return match commit.generation {
            None => Ok(None),
            Some(_) if commit.knows_group_id_not_found => Err(ErrorCode::GroupIdNotFound),
            Some(_) => Err(ErrorCode::IllegalGeneration),
        };
    };
    let state = group.classic.state();
    if commit.generation.is_none() && state == GroupState::Empty {
        return Ok(None);
    }
    let member = validate_member(group, &commit.member, commit.generation)?;
    if member.is_none() && state != GroupState::Empty {
        return Err(ErrorCode::UnknownMemberId);
    }
    if state == GroupState::CompletingRebalance {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(member)
}

/// Who may commit within a transaction: old producers say nothing of their group, and states do not matter.
pub(crate) fn validate_transactional_commit(
    group: Option<&Group>,
    commit: &TransactionalCommitRequest,
) -> Result<(), ErrorCode> {
    match (group, commit.generation) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(ErrorCode::IllegalGeneration),
        (Some(group), None) if group.classic.state() == GroupState::Empty => Ok(()),
        (Some(group), generation) => validate_member(group, &commit.member, generation).map(|_| ()),
    }
}

fn validate_member(
    group: &Group,
    member: &MemberIdentity,
    generation: Option<Generation>,
) -> Result<Option<MemberId>, ErrorCode> {
    if generation.is_none() && member.member_id.is_none() && member.instance_id.is_none() {
        return Ok(None);
    }
    let id = group.classic.validate(member)?;
    if generation != Some(group.classic.generation) {
        return Err(ErrorCode::IllegalGeneration);
    }
    Ok(Some(id))
}

/// The records and the answer of a commit that was let in.
pub(crate) fn commit(
    group: &GroupId,
    topics: Vec<CommitTopic>,
    metadata_max: i32,
    (now, retention_ms): (Timestamp, Option<i64>),
) -> (Vec<GroupRecord>, PartitionOutcomes) {
    let metadata_max = usize::try_from(metadata_max).unwrap_or(0);
    let mut records = Vec::new();
    let mut outcomes = Vec::with_capacity(topics.len());
    for CommitTopic { topic, topic_id, partitions } in topics {
        let mut errors = Vec::with_capacity(partitions.len());
        for partition in partitions {
            if partition.metadata.encode_utf16().count() > metadata_max {
                errors.push((partition.partition, ErrorCode::OffsetMetadataTooLarge));
                continue;
            }
            errors.push((partition.partition, ErrorCode::None));
            let value = CommittedOffset {
                offset: partition.offset,
                leader_epoch: partition.leader_epoch,
                metadata: partition.metadata,
                commit_timestamp: now,
                expire_timestamp: retention_ms.map(|millis| now.plus_millis(millis)),
                topic_id,
                record_offset: Offset::ZERO,
            };
            records.push(GroupRecord::Offset {
                group: group.clone(),
                topic: topic.clone(),
                partition: partition.partition,
                value: Some(value),
            });
        }
        outcomes.push((topic, errors));
    }
    (records, outcomes)
}

fn put(
    groups: &mut BTreeMap<GroupId, GroupOffsets>,
    group: &GroupId,
    topic: &TopicName,
    partition: PartitionIndex,
    value: CommittedOffset,
) {
    let topics = groups.entry(group.clone()).or_default();
    topics.entry(topic.clone()).or_default().insert(partition, value);
}

fn remove(
    groups: &mut BTreeMap<GroupId, GroupOffsets>,
    group: &GroupId,
    topic: &TopicName,
    partition: PartitionIndex,
) {
    let Some(topics) = groups.get_mut(group) else { return };
    if let Some(partitions) = topics.get_mut(topic) {
        partitions.remove(&partition);
        if partitions.is_empty() {
            topics.remove(topic);
        }
    }
    if topics.is_empty() {
        groups.remove(group);
    }
}
