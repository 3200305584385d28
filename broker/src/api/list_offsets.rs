//! ListOffsets: offsets by time and by name. Source: KIP-79, KIP-734 (max timestamp), KIP-405 (local and tiered).

use std::collections::BTreeSet;

use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::topic as topic_name;
use crate::environment::Runtime;
use crate::log::TimestampOffset;
use crate::model::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicName};
use crate::replication::{Isolation, Partition, TopicKey};

/// Offsets that are asked for by name; each needs a version.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// Clients know `OFFSET_NOT_AVAILABLE` from here on. Source: KIP-207.
const OFFSET_NOT_AVAILABLE: i16 = 5;

/// What was found: timestamp, offset, epoch.
type Found = (i64, i64, i32);

const NOTHING: Found = (-1, -1, -1);

pub(super) async fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: ListOffsetsRequest,
) -> Outcome<ListOffsetsResponse> {
    let is_committed = context.version() >= 2 && request.isolation_level == 1;
    let isolation =
        if is_committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    // A broker that asks for its own copy sees the whole log.
    let reader = Some(isolation).filter(|_| request.replica_id.0 < 0);
    let duplicates = duplicates(&request);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name = topic_name(&topic.name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let found = if duplicates.contains(&(name.clone(), partition.partition_index)) {
                Err(ErrorCode::InvalidRequest)
            } else {
                find(context, &name, &partition, reader).await
            };
            let (code, (timestamp, offset, epoch)) = match found {
                Ok(found) => (ErrorCode::None, found),
                Err(code) => (code, NOTHING),
            };
            partitions.push(
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code.code())
                    .with_timestamp(timestamp)
                    .with_offset(offset)
                    .with_leader_epoch(if context.version() >= 4 { epoch } else { -1 }),
            );
        }
        topics.push(
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions),
        );
    }
    Outcome::Now(ListOffsetsResponse::default().with_topics(topics))
}

/// Partitions that are asked for twice: refused, since the answer could not be told apart.
fn duplicates(request: &ListOffsetsRequest) -> BTreeSet<(TopicName, i32)> {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = (topic_name(&topic.name), partition.partition_index);
            if !seen.insert(key.clone()) {
                twice.insert(key);
            }
        }
    }
    twice
}

async fn find<R: Runtime>(
    context: &RequestContext<R>,
    topic: &TopicName,
    asked: &ListOffsetsPartition,
    reader: Option<Isolation>,
) -> Result<Found, ErrorCode> {
    let first_version = match asked.timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        time if time < LATEST_TIERED => i16::MAX,
        _ => 0,
    };
    if context.version() < first_version {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if context.services.runtime.buggify("list_offsets.spurious_error") {
        return Err(ErrorCode::LeaderNotAvailable);
    }
    let partition = context
        .services
        .replicas
        .partition(&TopicKey::Name(topic.clone()), PartitionIndex(asked.partition_index))?;
    let epoch = partition.check_epoch(LeaderEpoch::from_wire(asked.current_leader_epoch))?;
    let log = partition.log();
    let visible_end =
        reader.map_or_else(|| log.log_end_offset(), |isolation| partition.visible_end(isolation));
    // What a client has seen of a former leader may be above the high watermark yet.
    let unsure = (reader.is_some() && partition.is_catching_up()).then_some(
        if context.version() >= OFFSET_NOT_AVAILABLE {
            ErrorCode::OffsetNotAvailable
        } else {
            ErrorCode::LeaderNotAvailable
        },
    );
    let nothing = unsure.map_or(Ok(NOTHING), Err);
    match asked.timestamp {
        LATEST => match unsure {
            Some(code) => Err(code),
            None => Ok((-1, visible_end.value(), epoch.value())),
        },
        EARLIEST | EARLIEST_LOCAL => {
            let start = log.log_start_offset();
            Ok((-1, start.value(), epoch_at(&partition, start)))
        }
        MAX_TIMESTAMP => {
            let found = log.max_timestamp_offset().await.map_err(|error| error.code())?;
            let visible = found.filter(|found| found.offset < visible_end);
            visible.map_or(nothing, |found| Ok(described(&partition, &found)))
        }
        // Nothing is ever tiered here.
        LATEST_TIERED => Ok(NOTHING),
        time => {
            let found = partition.offset_for_timestamp(Timestamp(time), visible_end).await?;
            found.map_or(nothing, |found| Ok(described(&partition, &found)))
        }
    }
}

fn described<R: Runtime>(partition: &Partition<R>, found: &TimestampOffset) -> Found {
    (found.timestamp.millis(), found.offset.value(), epoch_at(partition, found.offset))
}

fn epoch_at<R: Runtime>(partition: &Partition<R>, offset: Offset) -> i32 {
    partition.log().epoch_for_offset(offset).map_or(-1, LeaderEpoch::value)
}
