//! OffsetForLeaderEpoch: where an epoch ended. Source: KIP-101, KIP-279, KIP-320.

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::topic as topic_name;
use crate::environment::Runtime;
use crate::model::{ErrorCode, LeaderEpoch, PartitionIndex, TopicName};
use crate::replication::TopicKey;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: OffsetForLeaderEpochRequest,
) -> Outcome<OffsetForLeaderEpochResponse> {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let name = topic_name(&topic.topic);
            let partitions = topic
                .partitions
                .iter()
                .map(|asked| {
                    let (code, epoch, end) = match find(context, &name, asked) {
                        Ok((epoch, end)) => (ErrorCode::None, epoch, end),
                        Err(code) => (code, -1, -1),
                    };
                    EpochEndOffset::default()
                        .with_partition(asked.partition)
                        .with_error_code(code.code())
                        .with_leader_epoch(epoch)
                        .with_end_offset(end)
                })
                .collect();
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic)
                .with_partitions(partitions)
        })
        .collect();
    Outcome::Now(OffsetForLeaderEpochResponse::default().with_topics(topics))
}

fn find<R: Runtime>(
    context: &RequestContext<R>,
    topic: &TopicName,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let partition = context
        .services
        .replicas
        .partition(&TopicKey::Name(topic.clone()), PartitionIndex(asked.partition))?;
    let ours = partition.check_epoch(LeaderEpoch::from_wire(asked.current_leader_epoch))?;
    let Some(epoch) = LeaderEpoch::from_wire(asked.leader_epoch) else {
        return Ok((-1, -1));
    };
    if epoch == ours {
        // The epoch under way ends where the log ends now.
        return Ok((epoch.value(), partition.log().log_end_offset().value()));
    }
    Ok(partition
        .log()
        .end_offset_for_epoch(epoch)
        .map_or((-1, -1), |end| (end.epoch.value(), end.offset.value())))
}
