//! AlterPartitionReassignments: partitions move to other brokers. Source: KIP-455, KIP-860 (replication factor).

use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::{text, topic, wire_topic};
use crate::controller::{AlterReassignments, Refusal};
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId, PartitionIndex, TopicName};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: AlterPartitionReassignmentsRequest,
) -> Outcome<AlterPartitionReassignmentsResponse> {
    let (controller, version) = (context.controller.clone(), context.version());
    let services = std::sync::Arc::clone(&context.services);
    Outcome::Later(Box::pin(async move {
        // Before version 1 nobody could forbid it.
        let may_change = version < 1 || request.allow_replication_factor_change;
        let response = AlterPartitionReassignmentsResponse::default()
            .with_allow_replication_factor_change(may_change)
            .with_error_message(None);
        let asked = translate(&request, may_change);
        let answer = controller.ask_within(&services.runtime, asked, request.timeout_ms).await;
        match answer {
            Ok(outcome) => {
                let topics = outcome
                    .into_iter()
                    .map(|(name, partitions)| of_topic(&name, partitions.into_iter()));
                response.with_responses(topics.collect())
            }
            Err(refusal) => {
                let topics = request.topics.iter().map(|asked| {
                    let indexes = asked.partitions.iter().map(|one| one.partition_index);
                    let refused =
                        indexes.map(|index| (PartitionIndex(index), Err(refusal.clone())));
                    of_topic(&topic(&asked.name), refused)
                });
                response
                    .with_error_code(refusal.code.code())
                    .with_error_message(refusal.message.as_deref().map(text))
                    .with_responses(topics.collect())
            }
        }
    }))
}

fn translate(
    request: &AlterPartitionReassignmentsRequest,
    may_change_replication_factor: bool,
) -> AlterReassignments {
    let topics = request.topics.iter().map(|asked| {
        let partitions = asked.partitions.iter().map(|one| {
            let replicas = one.replicas.as_ref();
            let replicas = replicas.map(|ids| ids.iter().map(|id| NodeId(id.0)).collect());
            (PartitionIndex(one.partition_index), replicas)
        });
        (topic(&asked.name), partitions.collect())
    });
    AlterReassignments { topics: topics.collect(), may_change_replication_factor }
}

fn of_topic(
    name: &TopicName,
    partitions: impl Iterator<Item = (PartitionIndex, Result<(), Refusal>)>,
) -> ReassignableTopicResponse {
    let partitions = partitions.map(|(index, outcome)| {
        let (code, message) = match outcome {
            Ok(()) => (ErrorCode::None, None),
            Err(refusal) => (refusal.code, refusal.message),
        };
        ReassignablePartitionResponse::default()
            .with_partition_index(index.0)
            .with_error_code(code.code())
            .with_error_message(message.as_deref().map(text))
    });
    ReassignableTopicResponse::default()
        .with_name(wire_topic(name))
        .with_partitions(partitions.collect())
}
