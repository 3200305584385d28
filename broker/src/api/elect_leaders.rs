//! ElectLeaders: other leaders, because an operator wants them. Source: KIP-183, KIP-460 (unclean).

use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::{text, topic, wire_topic};
use crate::controller::{ElectLeaders, ElectionKind, Refusal};
use crate::environment::Runtime;
use crate::model::{ErrorCode, PartitionIndex, TopicName};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: ElectLeadersRequest,
) -> Outcome<ElectLeadersResponse> {
    let (controller, version) = (context.controller.clone(), context.version());
    let services = std::sync::Arc::clone(&context.services);
    Outcome::Later(Box::pin(async move {
        let asked = translate(&request);
        let answer = match asked.clone() {
            Ok(asked) => controller.ask_within(&services.runtime, asked, request.timeout_ms).await,
            Err(refusal) => Err(refusal),
        };
        match answer {
            Ok(outcome) => {
                let results = outcome.into_iter().map(|(name, partitions)| {
                    let of_partition = |(index, outcome)| result(index, outcome);
                    results(&name, partitions.into_iter().map(of_partition).collect())
                });
                ElectLeadersResponse::default().with_replica_election_results(results.collect())
            }
            Err(refusal) => refused(&request, &refusal, version),
        }
    }))
}

fn translate(request: &ElectLeadersRequest) -> Result<ElectLeaders, Refusal> {
    let kind = match request.election_type {
        0 => ElectionKind::Preferred,
        1 => ElectionKind::Unclean,
        other => {
            let message = format!("Unknown election type {other}");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
    };
    let topics = request.topic_partitions.as_ref().map(|topics| {
        let named = topics.iter().map(|wanted| {
            (topic(&wanted.topic), wanted.partitions.iter().copied().map(PartitionIndex).collect())
        });
        named.collect()
    });
    Ok(ElectLeaders { kind, topics })
}

fn results(name: &TopicName, partitions: Vec<PartitionResult>) -> ReplicaElectionResult {
    ReplicaElectionResult::default().with_topic(wire_topic(name)).with_partition_result(partitions)
}

fn result(index: PartitionIndex, outcome: Result<(), Refusal>) -> PartitionResult {
    let (code, message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err(refusal) => (refusal.code, refusal.message),
    };
    PartitionResult::default()
        .with_partition_id(index.0)
        .with_error_code(code.code())
        .with_error_message(message.as_deref().map(text))
}

/// The whole request is refused: version 0 can only say so of each partition.
fn refused(request: &ElectLeadersRequest, refusal: &Refusal, version: i16) -> ElectLeadersResponse {
    let topics = request.topic_partitions.iter().flatten().map(|wanted| {
        let indexes = wanted.partitions.iter().copied().map(PartitionIndex);
        let partitions = indexes.map(|index| result(index, Err(refusal.clone())));
        results(&topic(&wanted.topic), partitions.collect())
    });
    let response = ElectLeadersResponse::default().with_replica_election_results(topics.collect());
    if version >= 1 { response.with_error_code(refusal.code.code()) } else { response }
}
