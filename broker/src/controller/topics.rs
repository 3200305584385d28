mod deletion;

use std::collections::BTreeMap;

use uuid::Uuid;

pub use self::deletion::{DeleteTopics, DeletedTopic, TopicReference};
use super::deciding::{Deciding, Random, Refusal, Request};
use super::placement::Placement;
use super::topic_names;
use crate::metadata::{ConfigResource, PartitionRegistration, TopicImage, config_record};
use crate::model::{ErrorCode, NodeId, PartitionIndex, TopicId, TopicName};
use crate::protocol::internal_records::metadata::{MetadataRecord, TopicRecord};
use crate::state_machine::Decision;

/// How many records one request may lead to, as they go into one batch; also how many partitions it may ask for.
pub(super) const RECORDS_MAX: usize = 10_000;

/// Makes topics. Source: KIP-4, KIP-525, KIP-464.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopics {
    /// The topics, in the order asked.
    pub topics: Vec<NewTopic>,
    /// True when nothing is to be made, only judged.
    pub is_validate_only: bool,
}

/// One topic to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the default, or with assignments.
    pub partition_count: Option<i32>,
    /// How many replicas of each; `None` for the default, or with assignments.
    pub replication_factor: Option<i16>,
    /// Which brokers each partition is put on, when the one who asks has decided that.
    pub assignments: Vec<(PartitionIndex, Vec<NodeId>)>,
    /// Its configuration; a missing value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// One topic that was made, or would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has.
    pub partition_count: usize,
    /// How many replicas each.
    pub replication_factor: usize,
    /// The configuration it was given.
    pub configs: BTreeMap<String, String>,
}

/// The partitions of a topic to be made.
type Partitions = BTreeMap<PartitionIndex, PartitionRegistration>;

/// Answers for each name once, in the order asked.
impl Request for CreateTopics {
    type Outcome = Vec<(String, Result<CreatedTopic, Refusal>)>;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        self.check_partition_count(deciding)?;
        let mut records = Vec::new();
        let mut outcome: Self::Outcome = Vec::new();
        let mut counts = occurrences(self.topics.iter().map(|topic| topic.name.as_str()));
        for topic in &self.topics {
            let result = match counts.remove(topic.name.as_str()) {
                None => continue,
                Some(1) => topic.decide(deciding, random, &mut records),
                Some(_) => Err(duplicate_name()),
            };
            outcome.push((topic.name.clone(), result));
        }
        check_record_count(&records)?;
        if self.is_validate_only {
            records.clear();
        }
        Ok(Decision::new(records, outcome))
    }
}

impl CreateTopics {
    fn check_partition_count(&self, deciding: &Deciding<'_>) -> Result<(), Refusal> {
        let counts = self.topics.iter().map(|topic| {
            if topic.assignments.is_empty() {
                let count =
                    topic.partition_count.unwrap_or(deciding.settings.config.topics.num_partitions);
                usize::try_from(count).unwrap_or(0)
            } else {
                topic.assignments.len()
            }
        });
        if counts.fold(0, usize::saturating_add) > RECORDS_MAX {
            let message = "Excessively large number of partitions per request.";
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        Ok(())
    }
}

impl NewTopic {
    fn decide(
        &self,
        deciding: &Deciding<'_>,
        random: &mut Random<'_>,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<CreatedTopic, Refusal> {
        topic_names::check_new(&self.name, deciding.image.topics())?;
        let configs = self.checked_configs(deciding)?;
        let partitions = if self.assignments.is_empty() {
            self.placed(deciding, random)?
        } else {
            self.assigned(deciding)?
        };
        let id = new_topic_id(random);
        let created = CreatedTopic {
            id,
            partition_count: partitions.len(),
            replication_factor: partitions.values().next().map_or(0, |first| first.replicas.len()),
            configs,
        };
        let name = TopicName::from(self.name.as_str());
        records.push(TopicRecord { name, topic_id: id }.into());
        let resource = ConfigResource::topic(self.name.as_str());
        for (name, value) in &created.configs {
            records.push(config_record(&resource, name, Some(value.clone())));
        }
        for (index, partition) in partitions {
            records.push(partition.to_record(id, index).into());
        }
        Ok(created)
    }

    fn checked_configs(
        &self,
        deciding: &Deciding<'_>,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let missing: Vec<&str> = self
            .configs
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        if !missing.is_empty() {
            let names = missing.join(",");
            let message = format!("Null value not supported for topic configs: {names}");
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        }
        let values = self.configs.iter();
        let configs: BTreeMap<String, String> =
            values.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        deciding.check_topic_configs(&configs)?;
        Ok(configs)
    }

    fn assigned(&self, deciding: &Deciding<'_>) -> Result<Partitions, Refusal> {
        if self.replication_factor.is_some() {
            let message = "A manual partition assignment was specified, but replication factor was not set to -1.";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        if self.partition_count.is_some() {
            let message =
                "A manual partition assignment was specified, but numPartitions was not set to -1.";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let mut partitions = Partitions::new();
        let mut replication_factor = None;
        for (index, replicas) in &self.assignments {
            if partitions.contains_key(index) {
                let message =
                    format!("Found multiple manual partition assignments for partition {index}");
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
            }
            deciding.check_assignment(replicas, replication_factor)?;
            replication_factor = Some(replicas.len());
            partitions.insert(*index, deciding.assigned_partition(*index, replicas)?);
        }
        let is_dense = (0..).zip(partitions.keys()).all(|(place, index)| index.0 == place);
        if !is_dense {
            let message = "partitions should be a consecutive 0-based integer sequence";
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        Ok(partitions)
    }

    fn placed(
        &self,
        deciding: &Deciding<'_>,
        random: &mut Random<'_>,
    ) -> Result<Partitions, Refusal> {
        let defaults = &deciding.settings.config.topics;
        let factor = self.replication_factor.map_or(defaults.default_replication_factor, i32::from);
        let count = self.partition_count.unwrap_or(defaults.num_partitions);
        if factor <= 0 {
            let message =
                "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        }
        if count <= 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        }
        let (factor, count) = (usize_of(factor), usize_of(count));
        let unable = |reason: String| {
            let message = format!("Unable to replicate the partition {factor} time(s): {reason}");
            Refusal::new(ErrorCode::InvalidReplicationFactor, message)
        };
        let mut placement = Placement::new(deciding.image.cluster(), deciding.version, random);
        let placed = placement
            .place(count, factor, random)
            .map_err(|refusal| unable(refusal.message.unwrap_or_default()))?;
        let indexes = (0..).map(PartitionIndex);
        indexes
            .zip(placed)
            .map(|(index, replicas)| Ok((index, deciding.placed_partition(replicas)?)))
            .collect()
    }
}

/// Adds partitions to topics. Source: KIP-195.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    /// The topics, in the order asked.
    pub topics: Vec<GrownTopic>,
    /// True when nothing is to be made, only judged.
    pub is_validate_only: bool,
}

/// A topic that is to have more partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrownTopic {
    /// The topic.
    pub name: String,
    /// How many partitions it is to have, those it has included.
    pub partition_count: i32,
    /// Which brokers each new partition is put on, when the one who asks has decided that.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// Answers for each name once, in the order asked.
impl Request for CreatePartitions {
    type Outcome = Vec<(String, Result<(), Refusal>)>;

    fn decide(
        &self,
        deciding: &Deciding<'_>,
        random: &mut Random<'_>,
    ) -> Result<Decision<MetadataRecord, Self::Outcome>, Refusal> {
        let mut records = Vec::new();
        let mut outcome: Self::Outcome = Vec::new();
        let mut counts = occurrences(self.topics.iter().map(|topic| topic.name.as_str()));
        for topic in &self.topics {
            let result = match counts.remove(topic.name.as_str()) {
                None => continue,
                Some(1) => topic.decide(deciding, random, &mut records),
                Some(_) => Err(duplicate_name()),
            };
            outcome.push((topic.name.clone(), result));
        }
        check_record_count(&records)?;
        if self.is_validate_only {
            records.clear();
        }
        Ok(Decision::new(records, outcome))
    }
}

impl GrownTopic {
    fn decide(
        &self,
        deciding: &Deciding<'_>,
        random: &mut Random<'_>,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let topics = deciding.image.topics();
        let topic = topics.by_name(&self.name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let additional = self.additional(topic)?;
        let replication_factor = topic.partitions.values().next().map_or(0, |p| p.replicas.len());
        let first = topic.partitions.len();
        let indexes =
            (first..).map(|index| PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX)));
        let partitions: Vec<PartitionRegistration> = match &self.assignments {
            Some(assignments) => assignments
                .iter()
                .zip(indexes.clone())
                .map(|(replicas, index)| {
                    deciding.check_assignment(replicas, Some(replication_factor))?;
                    deciding.assigned_partition(index, replicas)
                })
                .collect::<Result<_, Refusal>>()?,
            None => Placement::new(deciding.image.cluster(), deciding.version, random)
                .place(additional, replication_factor, random)?
                .into_iter()
                .map(|replicas| deciding.placed_partition(replicas))
                .collect::<Result<_, Refusal>>()?,
        };
        let new = partitions.into_iter().zip(indexes);
        records.extend(new.map(|(partition, index)| partition.to_record(topic.id, index).into()));
        Ok(())
    }

    /// How many partitions are missing.
    fn additional(&self, topic: &TopicImage) -> Result<usize, Refusal> {
        let present = topic.partitions.len();
        let wanted = usize::try_from(self.partition_count).unwrap_or(0);
        let refuse = |message| Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        if wanted == present {
            return refuse(format!("Topic already has {present} partition(s)."));
        }
        if wanted < present {
            return refuse(format!(
                "The topic {} currently has {present} partition(s); {} would not be an increase.",
                self.name, self.partition_count
            ));
        }
        let additional = wanted - present;
        let given = self.assignments.as_ref().map_or(additional, Vec::len);
        if given != additional {
            let message = format!(
                "Attempted to add {additional} additional partition(s), but only {given} assignment(s) were specified."
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        if additional > RECORDS_MAX {
            return Err(too_large());
        }
        Ok(additional)
    }
}

impl Deciding<'_> {
    /// Judges replicas that somebody else has chosen.
    pub(super) fn check_assignment(
        &self,
        replicas: &[NodeId],
        replication_factor: Option<usize>,
    ) -> Result<(), Refusal> {
        let refuse =
            |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        if replicas.is_empty() {
            return refuse(
                "The manual partition assignment includes an empty replica list.".to_owned(),
            );
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        let mut previous = None;
        for id in sorted {
            if self.image.cluster().broker(id).is_none() {
                return refuse(format!(
                    "The manual partition assignment includes broker {id}, but no such broker is registered."
                ));
            }
            if previous == Some(id) {
                return refuse(format!(
                    "The manual partition assignment includes the broker {id} more than once."
                ));
            }
            previous = Some(id);
        }
        match replication_factor {
            Some(expected) if expected != replicas.len() => refuse(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
                 with previous partitions, which have {expected} replica(s).",
                replicas.len()
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn assigned_partition(
        &self,
        index: PartitionIndex,
        replicas: &[NodeId],
    ) -> Result<PartitionRegistration, Refusal> {
        self.new_partition(replicas.to_vec()).ok_or_else(|| {
            let message = format!(
                "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
                 controlled shutdown."
            );
            Refusal::new(ErrorCode::InvalidReplicaAssignment, message)
        })
    }

    fn placed_partition(&self, replicas: Vec<NodeId>) -> Result<PartitionRegistration, Refusal> {
        let factor = replicas.len();
        self.new_partition(replicas).ok_or_else(|| {
            let message = format!(
                "Unable to replicate the partition {factor} time(s): All brokers are currently fenced or in controlled \
                 shutdown."
            );
            Refusal::new(ErrorCode::InvalidReplicationFactor, message)
        })
    }

    /// A partition as it begins; `None` when none of its replicas is active.
    fn new_partition(&self, replicas: Vec<NodeId>) -> Option<PartitionRegistration> {
        let cluster = self.image.cluster();
        let isr: Vec<NodeId> =
            replicas.iter().copied().filter(|id| cluster.is_active(*id)).collect();
        let leader = *isr.first()?;
        let directories = if self.version.has_directory_assignment() {
            replicas.iter().map(|id| cluster.new_directory(*id)).collect()
        } else {
            Vec::new()
        };
        Some(PartitionRegistration {
            replicas,
            directories,
            isr,
            leader: Some(leader),
            ..PartitionRegistration::default()
        })
    }
}

/// How often each key occurs.
pub(super) fn occurrences<K: Ord>(keys: impl IntoIterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn duplicate_name() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name.")
}

fn too_large() -> Refusal {
    let message = "Unable to perform excessively large batch operation.";
    Refusal::new(ErrorCode::PolicyViolation, message)
}

/// Refuses what would not fit into one batch.
pub(super) fn check_record_count(records: &[MetadataRecord]) -> Result<(), Refusal> {
    if records.len() > RECORDS_MAX { Err(too_large()) } else { Ok(()) }
}

fn usize_of(count: i32) -> usize {
    usize::try_from(count).unwrap_or(0)
}

/// An identity that no topic has had: random, and none of those that Kafka keeps for itself or that look like an option
/// on a command line.
fn new_topic_id(random: &mut Random<'_>) -> TopicId {
    const RESERVED: u128 = 100;
    loop {
        let bits = u128::from(random()) << 64 | u128::from(random());
        let id = TopicId(uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid());
        if id.0.as_u128() >= RESERVED && id.0 != Uuid::nil() && !id.to_string().starts_with('-') {
            return id;
        }
    }
}
