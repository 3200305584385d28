//! OffsetCommit: how far a group has read. Source: KIP-211 (retention), KIP-848 (error codes), KIP-516 (ids).

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::context::RequestContext;
use super::group_words::{group, identity};
use super::reply::Outcome;
use super::wire::topic as topic_name;
use crate::coordinator::{
    CommitPartition, CommitRequest, CommitTopic, Generation, PartitionOutcomes,
};
use crate::environment::Runtime;
use crate::metadata::MetadataImage;
use crate::model::{ErrorCode, LeaderEpoch, PartitionIndex, TopicId, TopicName};

/// Topics are named by id from here on.
const BY_ID: i16 = 10;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: OffsetCommitRequest,
) -> Outcome<OffsetCommitResponse> {
    let version = context.version();
    let image = context.image();
    let mut known = Vec::new();
    let mut codes: Vec<Vec<ErrorCode>> = Vec::new();
    for topic in &request.topics {
        let (commit, refused) = translate(&image, topic, version);
        codes.push(refused);
        known.push(commit);
    }
    let asked = CommitRequest {
        member: identity(&request.member_id, request.group_instance_id.as_ref()),
        generation: Generation::from_wire(request.generation_id_or_member_epoch),
        retention_ms: if (2..=4).contains(&version) && request.retention_time_ms >= 0 {
            Some(request.retention_time_ms)
        } else {
            None
        },
        knows_group_id_not_found: version >= 9,
        topics: known.into_iter().flatten().filter(|topic| !topic.partitions.is_empty()).collect(),
    };
    let group = group(&request.group_id);
    let groups = context.services.groups.clone();
    let names: Vec<_> =
        request.topics.iter().map(|topic| name_of(&image, topic, version)).collect();
    Outcome::Later(Box::pin(async move {
        let outcome = groups.commit_offsets(group, asked).await;
        let said = Said::of(outcome);
        let topics = request.topics.into_iter().zip(codes).zip(names);
        let topics =
            topics.map(|((topic, refused), name)| answer(topic, &refused, name.as_ref(), &said));
        OffsetCommitResponse::default().with_topics(topics.collect())
    }))
}

/// What the coordinator says: of the whole request, or of each partition.
struct Said {
    all: Option<ErrorCode>,
    each: BTreeMap<(TopicName, PartitionIndex), ErrorCode>,
}

impl Said {
    fn of(outcome: Result<PartitionOutcomes, ErrorCode>) -> Self {
        match outcome {
            Err(code) => Self { all: Some(code), each: BTreeMap::new() },
            Ok(outcomes) => {
                let flat = outcomes.into_iter().flat_map(|(topic, partitions)| {
                    partitions
                        .into_iter()
                        .map(move |(partition, code)| ((topic.clone(), partition), code))
                });
                Self { all: None, each: flat.collect() }
            }
        }
    }

    fn of_partition(&self, topic: Option<&TopicName>, partition: PartitionIndex) -> ErrorCode {
        let each = topic.and_then(|topic| self.each.get(&(topic.clone(), partition)).copied());
        self.all.or(each).unwrap_or(ErrorCode::None)
    }
}

fn answer(
    topic: OffsetCommitRequestTopic,
    refused: &[ErrorCode],
    name: Option<&TopicName>,
    said: &Said,
) -> OffsetCommitResponseTopic {
    let partitions = topic.partitions.iter().zip(refused).map(|(partition, refused)| {
        let code = if *refused == ErrorCode::None {
            said.of_partition(name, PartitionIndex(partition.partition_index))
        } else {
            *refused
        };
        OffsetCommitResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(code.code())
    });
    OffsetCommitResponseTopic::default()
        .with_partitions(partitions.collect())
        .with_name(topic.name)
        .with_topic_id(topic.topic_id)
}

fn name_of(
    image: &MetadataImage,
    topic: &OffsetCommitRequestTopic,
    version: i16,
) -> Option<TopicName> {
    if version >= BY_ID {
        image.topics().by_id(TopicId(topic.topic_id)).map(|topic| topic.name.clone())
    } else {
        Some(topic_name(&topic.name))
    }
}

/// The part of a topic that exists, and for each partition why it is refused otherwise.
fn translate(
    image: &MetadataImage,
    topic: &OffsetCommitRequestTopic,
    version: i16,
) -> (Option<CommitTopic>, Vec<ErrorCode>) {
    let existing = if version >= BY_ID {
        image.topics().by_id(TopicId(topic.topic_id))
    } else {
        image.topics().by_name(topic.name.as_str())
    };
    let Some(existing) = existing else {
        let code = if version >= BY_ID {
            ErrorCode::UnknownTopicId
        } else {
            ErrorCode::UnknownTopicOrPartition
        };
        return (None, vec![code; topic.partitions.len()]);
    };
    let mut partitions = Vec::new();
    let mut refused = Vec::new();
    for partition in &topic.partitions {
        let index = PartitionIndex(partition.partition_index);
        if existing.partition(index).is_none() {
            refused.push(ErrorCode::UnknownTopicOrPartition);
            continue;
        }
        refused.push(ErrorCode::None);
        partitions.push(CommitPartition {
            partition: index,
            offset: partition.committed_offset,
            leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
            metadata: partition.committed_metadata.as_deref().unwrap_or_default().to_owned(),
        });
    }
    (
        Some(CommitTopic { topic: existing.name.clone(), topic_id: Some(existing.id), partitions }),
        refused,
    )
}
