//! OffsetFetch: how far groups have read. Source: KIP-709 (several groups), KIP-447 (stable offsets), KIP-516 (ids).

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};

use super::context::RequestContext;
use super::group_words::group;
use super::reply::Outcome;
use super::wire::{text, topic as topic_name, wire_topic};
use crate::coordinator::{FetchRequest, FetchedPartition, FetchedTopic, GroupCoordinator};
use crate::environment::Runtime;
use crate::metadata::MetadataImage;
use crate::model::{ErrorCode, GroupId, LeaderEpoch, PartitionIndex, TopicId, TopicName};

/// Several groups in one request from here on.
const BATCHED: i16 = 8;

/// Topics are named by id from here on.
const BY_ID: i16 = 10;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: OffsetFetchRequest,
) -> Outcome<OffsetFetchResponse> {
    let version = context.version();
    let groups = context.services.groups.clone();
    let image = context.image();
    let require_stable = version >= 7 && request.require_stable;
    if version < BATCHED {
        let topics = request.topics.map(|topics| {
            topics
                .iter()
                .map(|topic| (topic_name(&topic.name), indexes(&topic.partition_indexes)))
                .collect()
        });
        let id = group(&request.group_id);
        return Outcome::Later(Box::pin(async move {
            single(
                groups
                    .fetch_offsets(id, FetchRequest { topics: topics.clone(), require_stable })
                    .await,
                topics,
                version,
            )
        }));
    }
    Outcome::Later(Box::pin(async move {
        let mut answers = Vec::with_capacity(request.groups.len());
        for asked in request.groups {
            answers.push(one_of_many(&groups, &image, asked, require_stable, version).await);
        }
        OffsetFetchResponse::default().with_groups(answers)
    }))
}

fn indexes(partitions: &[i32]) -> Vec<PartitionIndex> {
    partitions.iter().copied().map(PartitionIndex).collect()
}

/// The response before version 8. Version 1 has no room for an error of the whole group.
fn single(
    fetched: Result<Vec<FetchedTopic>, ErrorCode>,
    asked: Option<Vec<(TopicName, Vec<PartitionIndex>)>>,
    version: i16,
) -> OffsetFetchResponse {
    let (code, topics) = match fetched {
        Ok(topics) => (ErrorCode::None, topics),
        Err(code) if version >= 2 => (code, Vec::new()),
        Err(code) => (code, unknown(asked.unwrap_or_default(), code)),
    };
    let topics = topics
        .into_iter()
        .map(|topic| {
            let partitions = topic
                .partitions
                .into_iter()
                .map(|one| {
                    let response = OffsetFetchResponsePartition::default()
                        .with_partition_index(one.partition.0)
                        .with_committed_offset(one.offset.unwrap_or(-1))
                        .with_metadata(Some(text(&one.metadata)))
                        .with_error_code(one.error.code());
                    if version >= 5 {
                        response.with_committed_leader_epoch(
                            one.leader_epoch.map_or(-1, LeaderEpoch::value),
                        )
                    } else {
                        response
                    }
                })
                .collect();
            OffsetFetchResponseTopic::default()
                .with_name(wire_topic(&topic.topic))
                .with_partitions(partitions)
        })
        .collect();
    let response = OffsetFetchResponse::default().with_topics(topics);
    if version >= 2 { response.with_error_code(code.code()) } else { response }
}

fn unknown(topics: Vec<(TopicName, Vec<PartitionIndex>)>, error: ErrorCode) -> Vec<FetchedTopic> {
    topics
        .into_iter()
        .map(|(topic, partitions)| FetchedTopic {
            topic,
            partitions: partitions.into_iter().map(|partition| nothing(partition, error)).collect(),
        })
        .collect()
}

const fn nothing(partition: PartitionIndex, error: ErrorCode) -> FetchedPartition {
    FetchedPartition {
        partition,
        offset: None,
        leader_epoch: None,
        metadata: String::new(),
        topic_id: None,
        error,
    }
}

async fn one_of_many<R: Runtime>(
    groups: &GroupCoordinator<R>,
    image: &MetadataImage,
    asked: OffsetFetchRequestGroup,
    require_stable: bool,
    version: i16,
) -> OffsetFetchResponseGroup {
    let id: GroupId = group(&asked.group_id);
    let response = OffsetFetchResponseGroup::default().with_group_id(asked.group_id);
    // By id: topics that do not exist are answered here and are not asked for.
    let mut missing = Vec::new();
    let topics = asked.topics.map(|topics| {
        topics
            .iter()
            .filter_map(|topic| {
                if version < BY_ID {
                    return Some((topic_name(&topic.name), indexes(&topic.partition_indexes)));
                }
                let Some(existing) = image.topics().by_id(TopicId(topic.topic_id)) else {
                    let partitions = topic
                        .partition_indexes
                        .iter()
                        .map(|index| {
                            partition(&nothing(PartitionIndex(*index), ErrorCode::UnknownTopicId))
                        })
                        .collect();
                    missing.push(
                        OffsetFetchResponseTopics::default()
                            .with_topic_id(topic.topic_id)
                            .with_partitions(partitions),
                    );
                    return None;
                };
                Some((existing.name.clone(), indexes(&topic.partition_indexes)))
            })
            .collect()
    });
    match groups.fetch_offsets(id, FetchRequest { topics, require_stable }).await {
        Err(code) => response.with_error_code(code.code()),
        Ok(topics) => {
            let mut answers = missing;
            answers.extend(topics.into_iter().filter_map(|topic| {
                let answer = OffsetFetchResponseTopics::default();
                let answer = if version >= BY_ID {
                    // Offsets of topics that are gone cannot be named by id.
                    answer.with_topic_id(image.topics().by_name(topic.topic.as_str())?.id.0)
                } else {
                    answer.with_name(wire_topic(&topic.topic))
                };
                Some(answer.with_partitions(topic.partitions.iter().map(partition).collect()))
            }));
            response.with_topics(answers)
        }
    }
}

fn partition(one: &FetchedPartition) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(one.partition.0)
        .with_committed_offset(one.offset.unwrap_or(-1))
        .with_committed_leader_epoch(one.leader_epoch.map_or(-1, LeaderEpoch::value))
        .with_metadata(Some(text(&one.metadata)))
        .with_error_code(one.error.code())
}
