//! ListPartitionReassignments: what is being moved. Source: KIP-455.

use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::{text, topic, wire_nodes, wire_topic};
use crate::controller::{ListReassignments, Reassignment};
use crate::environment::Runtime;
use crate::model::{PartitionIndex, TopicName};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: ListPartitionReassignmentsRequest,
) -> Outcome<ListPartitionReassignmentsResponse> {
    let controller = context.controller.clone();
    let services = std::sync::Arc::clone(&context.services);
    Outcome::Later(Box::pin(async move {
        let topics = request.topics.map(|topics| {
            let named = topics.iter().map(|asked| {
                let indexes = asked.partition_indexes.iter().copied().map(PartitionIndex);
                (topic(&asked.name), indexes.collect())
            });
            named.collect()
        });
        let asked = ListReassignments { topics };
        let response = ListPartitionReassignmentsResponse::default().with_error_message(None);
        match controller.ask_within(&services.runtime, asked, request.timeout_ms).await {
            Ok(ongoing) => response
                .with_topics(ongoing.iter().map(|(name, moves)| of_topic(name, moves)).collect()),
            Err(refusal) => response
                .with_error_code(refusal.code.code())
                .with_error_message(refusal.message.as_deref().map(text)),
        }
    }))
}

fn of_topic(name: &TopicName, ongoing: &[Reassignment]) -> OngoingTopicReassignment {
    let partitions = ongoing.iter().map(|one| {
        OngoingPartitionReassignment::default()
            .with_partition_index(one.partition.0)
            .with_replicas(wire_nodes(&one.replicas))
            .with_adding_replicas(wire_nodes(&one.adding))
            .with_removing_replicas(wire_nodes(&one.removing))
    });
    OngoingTopicReassignment::default()
        .with_name(wire_topic(name))
        .with_partitions(partitions.collect())
}
