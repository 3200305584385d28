//! OffsetDelete: forgets committed offsets of topics nobody in the group reads. Source: KIP-496.

use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::context::RequestContext;
use super::group_words::group;
use super::reply::Outcome;
use super::wire::{topic as topic_name, wire_topic};
use crate::environment::Runtime;
use crate::model::PartitionIndex;

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: OffsetDeleteRequest,
) -> Outcome<OffsetDeleteResponse> {
    let topics = request
        .topics
        .iter()
        .map(|topic| {
            let partitions =
                topic.partitions.iter().map(|one| PartitionIndex(one.partition_index)).collect();
            (topic_name(&topic.name), partitions)
        })
        .collect();
    let group = group(&request.group_id);
    let groups = context.services.groups.clone();
    Outcome::Later(Box::pin(async move {
        let response = OffsetDeleteResponse::default();
        match groups.delete_offsets(group, topics).await {
            Err(code) => response.with_error_code(code.code()),
            Ok(outcomes) => {
                let topics = outcomes
                    .into_iter()
                    .map(|(topic, partitions)| {
                        let partitions = partitions
                            .into_iter()
                            .map(|(partition, code)| {
                                OffsetDeleteResponsePartition::default()
                                    .with_partition_index(partition.0)
                                    .with_error_code(code.code())
                            })
                            .collect();
                        OffsetDeleteResponseTopic::default()
                            .with_name(wire_topic(&topic))
                            .with_partitions(partitions)
                    })
                    .collect();
                response.with_topics(topics)
            }
        }
    }))
}
