//! DeleteRecords: moves log starts up, and answers when they are durable. Source: KIP-107.

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::topic_creation::is_internal;
use super::wire::topic as topic_name;
use crate::environment::Runtime;
use crate::model::{ErrorCode, Offset, PartitionIndex, TopicName};
use crate::replication::TopicKey;

/// As an offset: delete everything that is committed.
const UP_TO_THE_HIGH_WATERMARK: i64 = -1;

pub(super) async fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DeleteRecordsRequest,
) -> Outcome<DeleteRecordsResponse> {
    let mut results = Vec::with_capacity(request.topics.len());
    let mut has_moved = false;
    for topic in request.topics {
        let name = topic_name(&topic.name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let deleted = delete(context, &name, asked.partition_index, asked.offset).await;
            has_moved |= deleted.is_ok();
            partitions.push((asked.partition_index, deleted));
        }
        results.push((topic.name, partitions));
    }
    // Kafka writes them down within a minute, and a crash before brings the records back.
    let is_durable = !has_moved || context.services.replicas.logs().checkpoint_log_starts().await;
    let topics = results.into_iter().map(|(name, partitions)| {
        let partitions =
            partitions.into_iter().map(|(index, deleted)| result(index, deleted, is_durable));
        DeleteRecordsTopicResult::default().with_name(name).with_partitions(partitions.collect())
    });
    Outcome::Now(DeleteRecordsResponse::default().with_topics(topics.collect()))
}

fn result(
    index: i32,
    deleted: Result<Offset, ErrorCode>,
    is_durable: bool,
) -> DeleteRecordsPartitionResult {
    let (code, low_watermark) = match deleted {
        Ok(start) if is_durable => (ErrorCode::None, start.value()),
        Ok(_) => (ErrorCode::KafkaStorageError, -1),
        Err(code) => (code, -1),
    };
    DeleteRecordsPartitionResult::default()
        .with_partition_index(index)
        .with_low_watermark(low_watermark)
        .with_error_code(code.code())
}

async fn delete<R: Runtime>(
    context: &RequestContext<R>,
    topic: &TopicName,
    partition: i32,
    offset: i64,
) -> Result<Offset, ErrorCode> {
    if is_internal(topic.as_str()) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = context
        .services
        .replicas
        .partition(&TopicKey::Name(topic.clone()), PartitionIndex(partition))?;
    if !partition.log().settings().deletes {
        return Err(ErrorCode::PolicyViolation);
    }
    let up_to = match (offset, Offset::from_wire(offset)) {
        (UP_TO_THE_HIGH_WATERMARK, _) => None,
        (_, Some(offset)) => Some(offset),
        (_, None) => return Err(ErrorCode::OffsetOutOfRange),
    };
    partition.delete_records(up_to).await
}
