//! DescribeTopicPartitions: topics page by page. Source: KIP-966.

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use uuid::Uuid;

use super::context::RequestContext;
use super::endpoints::{TOPIC_OPERATIONS, leader_of, offline_replicas};
use super::reply::Outcome;
use super::topic_creation::is_internal;
use super::wire::{topic as topic_name, wire_leader, wire_nodes, wire_topic};
use crate::controller::check_topic_name;
use crate::environment::Runtime;
use crate::metadata::{MetadataImage, PartitionRegistration, TopicImage};
use crate::model::{ErrorCode, PartitionIndex, TopicName};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DescribeTopicPartitionsRequest,
) -> Outcome<DescribeTopicPartitionsResponse> {
    if request.cursor.as_ref().is_some_and(|cursor| cursor.partition_index < 0) {
        return Outcome::Now(refused(&request));
    }
    let image = context.image();
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut left = asked.min(context.services.config.sockets.max_request_partitions).max(1);
    let (start_topic, start_partition) = request
        .cursor
        .as_ref()
        .map_or((None, 0), |cursor| (Some(topic_name(&cursor.topic_name)), cursor.partition_index));
    // In order of name; no name twice; nothing before the cursor.
    let is_explicit = !request.topics.is_empty();
    let names: BTreeSet<TopicName> = if is_explicit {
        request.topics.iter().map(|wanted| topic_name(&wanted.name)).collect()
    } else {
        image.topics().iter().map(|topic| topic.name.clone()).collect()
    };
    let mut topics = Vec::new();
    let mut next = None;
    for name in
        names.into_iter().filter(|name| start_topic.as_ref().is_none_or(|start| name >= start))
    {
        if left == 0 {
            next = Some((name, 0));
            break;
        }
        let Some(topic) = image.topics().by_name(name.as_str()) else {
            topics.push(missing(&name));
            continue;
        };
        let first = if start_topic.as_ref() == Some(&name) { start_partition } else { 0 };
        let (answer, more) = page(context, &image, topic, first, &mut left);
        topics.push(answer);
        if let Some(partition) = more {
            next = Some((name, partition));
            break;
        }
    }
    let cursor = next.map(|(name, partition)| {
        Cursor::default().with_topic_name(wire_topic(&name)).with_partition_index(partition)
    });
    Outcome::Now(
        DescribeTopicPartitionsResponse::default().with_topics(topics).with_next_cursor(cursor),
    )
}

/// No partition is before the first: each topic that was named is refused.
fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refuse = |wanted: &TopicRequest| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(wanted.name.clone()))
            .with_topic_id(Uuid::nil())
    };
    DescribeTopicPartitionsResponse::default()
        .with_topics(request.topics.iter().map(refuse).collect())
        .with_next_cursor(None)
}

fn missing(name: &TopicName) -> DescribeTopicPartitionsResponseTopic {
    let error = if check_topic_name(name.as_str()).is_err() {
        ErrorCode::InvalidTopicException
    } else {
        ErrorCode::UnknownTopicOrPartition
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(wire_topic(name)))
        .with_topic_id(Uuid::nil())
        .with_is_internal(is_internal(name.as_str()))
        .with_topic_authorized_operations(i32::MIN)
}

/// As many partitions from `first` on as are left, and the one to go on with.
fn page<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    topic: &TopicImage,
    first: i32,
    left: &mut usize,
) -> (DescribeTopicPartitionsResponseTopic, Option<i32>) {
    let mut partitions = Vec::new();
    let mut more = None;
    for (index, partition) in topic.partitions.iter().filter(|(index, _)| index.0 >= first) {
        if *left == 0 {
            more = Some(index.0);
            break;
        }
        *left -= 1;
        partitions.push(describe(context, image, *index, partition));
    }
    let answer = DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(wire_topic(&topic.name)))
        .with_topic_id(topic.id.0)
        .with_is_internal(is_internal(topic.name.as_str()))
        .with_partitions(partitions)
        .with_topic_authorized_operations(TOPIC_OPERATIONS);
    (answer, more)
}

fn describe<R: Runtime>(
    context: &RequestContext<R>,
    image: &MetadataImage,
    index: PartitionIndex,
    partition: &PartitionRegistration,
) -> DescribeTopicPartitionsResponsePartition {
    let (leader, error) = match leader_of(context, image, partition) {
        Ok(leader) => (Some(leader), ErrorCode::None),
        Err(error) => (None, error),
    };
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error.code())
        .with_partition_index(index.0)
        .with_leader_id(wire_leader(leader))
        .with_leader_epoch(partition.leader_epoch.value())
        .with_replica_nodes(wire_nodes(&partition.replicas))
        .with_isr_nodes(wire_nodes(&partition.isr))
        .with_eligible_leader_replicas(Some(wire_nodes(&partition.eligible_leader_replicas)))
        .with_last_known_elr(Some(wire_nodes(&partition.last_known_eligible_leader_replicas)))
        .with_offline_replicas(wire_nodes(&offline_replicas(context, image, partition)))
}
