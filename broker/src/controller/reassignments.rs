use std::collections::BTreeSet;

use super::deciding::{Deciding, Random, Refusal, Request};
use super::elections::{Election, PartitionChange};
use super::topics::check_record_count;
use crate::metadata::{PartitionRegistration, TopicImage};
use crate::model::{ErrorCode, NodeId, PartitionIndex, TopicName};
use crate::protocol::internal_records::metadata::MetadataRecord;
use crate::state_machine::Decision;

/// An operator wants partitions elsewhere. Source: KIP-455, KIP-860 (replication factor).
///
/// The replicas that are to come are added at once, behind them those that are to go; a leader's `AlterPartition` that
/// brings all that stay into sync completes it (`elections.rs`). Until then it can be changed or cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterReassignments {
    /// Each partition's new replicas, the preferred leader first; `None` cancels what is under way.
    pub topics: ByTopic<Option<Vec<NodeId>>>,
    /// True when a partition may have more or fewer replicas afterwards.
    pub may_change_replication_factor: bool,
}

/// Something for each of the partitions that are named.
type ByTopic<T> = Vec<(TopicName, Vec<(PartitionIndex, T)>)>;

/// What became of each partition, in the order asked.
pub type AlterReassignmentsOutcome = ByTopic<Result<(), Refusal>>;

impl Request for AlterReassignments {
    type Outcome = AlterReassignmentsOutcome;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        let mut records = Vec::new();
        let mut decided = BTreeSet::new();
        let mut outcome = Vec::new();
        for (name, partitions) in &self.topics {
            let mut results = Vec::new();
            for (index, replicas) in partitions {
                // One decision a partition: a second one would be made on what the first has changed.
                let result = if decided.insert((name, *index)) {
                    self.alter(deciding, name, *index, replicas.as_deref())
                } else {
                    Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate partition."))
                };
                results.push((*index, result.map(|record| records.extend(record))));
            }
            outcome.push((name.clone(), results));
        }
        check_record_count(&records)?;
        Ok(Decision::new(records, outcome))
    }
}

impl AlterReassignments {
    fn alter(
        &self,
        deciding: &Deciding<'_>,
        name: &TopicName,
        index: PartitionIndex,
        replicas: Option<&[NodeId]>,
    ) -> Result<Option<MetadataRecord>, Refusal> {
        let unknown = |message| Refusal::new(ErrorCode::UnknownTopicOrPartition, message);
        let topic = deciding.image.topics().by_name(name.as_str());
        let topic =
            topic.ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
        let partition = topic.partition(index);
        let partition = partition
            .ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
        let change = match replicas {
            None => cancelled(deciding, topic, index, partition)?,
            Some(replicas) => self.begun(deciding, topic, partition, replicas)?,
        };
        let is_active = |id| deciding.image.cluster().is_active(id);
        let record = change.build(topic.id, index, deciding.electorate(&is_active));
        Ok(record.map(MetadataRecord::from))
    }

    fn begun<'p>(
        &self,
        deciding: &Deciding<'_>,
        topic: &TopicImage,
        partition: &'p PartitionRegistration,
        wanted: &[NodeId],
    ) -> Result<PartitionChange<'p>, Refusal> {
        deciding.check_assignment(wanted, None)?;
        let staying = partition.replicas_after_reassignment().len();
        if !self.may_change_replication_factor && staying != wanted.len() {
            let message =
                format!("The replication factor is changed from {staying} to {}", wanted.len());
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        }
        let removing = difference(&partition.replicas, wanted);
        let adding = difference(wanted, &partition.replicas);
        let mut change = deciding.partition_change(topic, partition);
        change.election = Election::Online;
        change.replicas = wanted.iter().chain(&removing).copied().collect();
        // As in Kafka, what a reassignment before this one adds or removes is not forgotten by one that does not.
        if !removing.is_empty() {
            change.removing = removing;
        }
        if !adding.is_empty() {
            change.adding = adding;
        }
        Ok(change)
    }
}

/// Back to what was before: without those that are being added, with those that are being removed.
fn cancelled<'p>(
    deciding: &Deciding<'_>,
    topic: &TopicImage,
    index: PartitionIndex,
    partition: &'p PartitionRegistration,
) -> Result<PartitionChange<'p>, Refusal> {
    if !partition.is_reassigning() {
        let message = "No partition reassignment is in progress.";
        return Err(Refusal::new(ErrorCode::NoReassignmentInProgress, message));
    }
    let is_added = |id: &NodeId| partition.adding_replicas.contains(id);
    let replicas: Vec<NodeId> =
        partition.replicas.iter().copied().filter(|id| !is_added(id)).collect();
    let mut change = deciding.partition_change(topic, partition);
    let may_lose_records = change.election == Election::Unclean;
    change.election = Election::Online;
    change.isr.retain(|id| !is_added(id));
    let first = *replicas.first().ok_or_else(|| {
        let message = "Invalid replica assignment: addingReplicas contains all replicas.";
        Refusal::new(ErrorCode::InvalidReplicaAssignment, message)
    })?;
    if change.isr.is_empty() {
        // Nobody who stays is in sync: records may be lost.
        if !may_lose_records {
            let message = format!(
                "Unable to revert partition assignment for {}:{index} because it would require an unclean leader \
                 election.",
                topic.name
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        change.election = Election::Unclean;
        change.isr = vec![first];
    }
    change.replicas = replicas;
    change.removing.clear();
    change.adding.clear();
    Ok(change)
}

/// Those of `of` that are not in `without`, ascending.
fn difference(of: &[NodeId], without: &[NodeId]) -> Vec<NodeId> {
    let rest: BTreeSet<NodeId> = of.iter().copied().filter(|id| !without.contains(id)).collect();
    rest.into_iter().collect()
}

/// What is being moved. Source: KIP-455.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListReassignments {
    /// Of which partitions; `None` for all.
    pub topics: Option<Vec<(TopicName, Vec<PartitionIndex>)>>,
}

/// A partition that is being moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// The partition.
    pub partition: PartitionIndex,
    /// All its replicas while it is moved.
    pub replicas: Vec<NodeId>,
    /// Those on their way in.
    pub adding: Vec<NodeId>,
    /// Those on their way out.
    pub removing: Vec<NodeId>,
}

/// Answers with topics that have such partitions, others left out.
impl Request for ListReassignments {
    type Outcome = Vec<(TopicName, Vec<Reassignment>)>;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        _random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        let topics = deciding.image.topics();
        let mut ongoing = Vec::new();
        match &self.topics {
            None => {
                for topic in topics.iter() {
                    let all = topic.partitions.keys().copied();
                    ongoing.push((topic.name.clone(), under_way(topic, all)));
                }
            }
            Some(named) => {
                for (name, indexes) in named {
                    if let Some(topic) = topics.by_name(name.as_str()) {
                        let wanted: BTreeSet<PartitionIndex> = indexes.iter().copied().collect();
                        ongoing.push((topic.name.clone(), under_way(topic, wanted)));
                    }
                }
            }
        }
        ongoing.retain(|(_, moves)| !moves.is_empty());
        Ok(Decision::answer(ongoing))
    }
}

fn under_way(
    topic: &TopicImage,
    indexes: impl IntoIterator<Item = PartitionIndex>,
) -> Vec<Reassignment> {
    let ongoing = indexes.into_iter().filter_map(|index| {
        let partition = topic.partition(index).filter(|partition| partition.is_reassigning())?;
        Some(Reassignment {
            partition: index,
            replicas: partition.replicas.clone(),
            adding: partition.adding_replicas.clone(),
            removing: partition.removing_replicas.clone(),
        })
    });
    ongoing.collect()
}
