//! DeleteRecords: moves log starts up, and answers when they are durable, and when all live replicas have followed.
//! Source: KIP-107.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, TopicName as WireTopicName,
};

use super::context::RequestContext;
use super::reply::Outcome;
use super::topic_creation::is_internal;
use super::wire::topic as topic_name;
use crate::environment::{Runtime, timeout};
use crate::model::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicName};
use crate::replication::{Partition, TopicKey};

/// As an offset: delete everything that is committed.
const UP_TO_THE_HIGH_WATERMARK: i64 = -1;

/// What was asked, partition by partition, and what has become of it here.
type Deleted<R> = Vec<(WireTopicName, Vec<(i32, Result<Done<R>, ErrorCode>)>)>;

/// The leader has deleted what is below `start`.
struct Done<R: Runtime> {
    replica: Arc<Partition<R>>,
    start: Offset,
    epoch: LeaderEpoch,
}

pub(super) async fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: DeleteRecordsRequest,
) -> Outcome<DeleteRecordsResponse> {
    let mut results = Deleted::new();
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
    let limit = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let runtime = context.services.runtime.clone();
    Outcome::Later(Box::pin(settle(runtime, results, is_durable, limit)))
}

/// Waits for the replicas while the connection reads on: one that becomes leader must not bring the records back.
async fn settle<R: Runtime>(
    runtime: R,
    results: Deleted<R>,
    is_durable: bool,
    limit: Duration,
) -> DeleteRecordsResponse {
    let deadline = runtime.now() + limit;
    let mut topics = Vec::with_capacity(results.len());
    for (name, partitions) in results {
        let mut answers = Vec::with_capacity(partitions.len());
        for (index, deleted) in partitions {
            let settled = match deleted {
                Ok(Done { replica, start, epoch }) => {
                    let left = deadline.since(runtime.now());
                    let waiting = replica.deleted_everywhere(start, epoch);
                    let waited = timeout(&runtime, left, waiting).await;
                    waited.unwrap_or(Err(ErrorCode::RequestTimedOut)).map(|()| start)
                }
                Err(code) => Err(code),
            };
            answers.push(result(index, settled, is_durable));
        }
        let topic = DeleteRecordsTopicResult::default().with_name(name);
        topics.push(topic.with_partitions(answers));
    }
    DeleteRecordsResponse::default().with_topics(topics)
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
) -> Result<Done<R>, ErrorCode> {
    if is_internal(topic.as_str()) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let replica = context
        .services
        .replicas
        .partition(&TopicKey::Name(topic.clone()), PartitionIndex(partition))?;
    if !replica.log().settings().deletes {
        return Err(ErrorCode::PolicyViolation);
    }
    let up_to = match (offset, Offset::from_wire(offset)) {
        (UP_TO_THE_HIGH_WATERMARK, _) => None,
        (_, Some(offset)) => Some(offset),
        (_, None) => return Err(ErrorCode::OffsetOutOfRange),
    };
    let (start, epoch) = replica.delete_records(up_to).await?;
    Ok(Done { replica, start, epoch })
}
