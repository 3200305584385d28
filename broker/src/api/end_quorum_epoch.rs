//! `EndQuorumEpoch`: a leader takes leave and says who should follow. Source: KIP-595, KIP-853 (directories).

use kafka_protocol::messages::end_quorum_epoch_request::PartitionData as Asked;
use kafka_protocol::messages::end_quorum_epoch_response::{NodeEndpoint, PartitionData, TopicData};
use kafka_protocol::messages::{EndQuorumEpochRequest, EndQuorumEpochResponse, TopicName};
use uuid::Uuid;

use super::context::RequestContext;
use super::quorum_words::{
    QUORUM_ENDED, ask, cluster, epoch, key, leader_endpoint, leader_id, metadata_partition,
};
use super::reply::Outcome;
use super::wire::{text, wire_node};
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId};
use crate::raft::{self, Answer, Endpoint, METADATA_TOPIC, Request, Response};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: EndQuorumEpochRequest,
) -> Outcome<EndQuorumEpochResponse> {
    let cluster_id = cluster(request.cluster_id.as_ref());
    if cluster_id.as_ref().is_some_and(|theirs| *theirs != context.services.cluster_id) {
        return Outcome::Now(refused(ErrorCode::InconsistentClusterId));
    }
    let partition = metadata_partition(
        &request.topics,
        |topic| &topic.topic_name,
        |topic| &topic.partitions,
        |partition| partition.partition_index,
    );
    let asked = partition.and_then(|partition| understood(&request, partition));
    let Some(asked) = asked else { return Outcome::Now(refused(ErrorCode::InvalidRequest)) };
    let asked = raft::EndQuorumEpochRequest { cluster_id, ..asked };
    let (quorum, listener, version) = context.quorum_context();
    Outcome::Later(Box::pin(async move {
        match ask(&quorum, Request::EndQuorumEpoch(asked), 0).await {
            Some((Response::EndQuorumEpoch(answer), _)) => answered(&answer, &listener, version),
            Some(_) | None => refused(QUORUM_ENDED),
        }
    }))
}

fn understood(
    request: &EndQuorumEpochRequest,
    partition: &Asked,
) -> Option<raft::EndQuorumEpochRequest> {
    let endpoints = request.leader_endpoints.iter().map(|endpoint| Endpoint {
        name: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
    });
    let by_id = partition.preferred_successors.iter().map(|id| key(*id, Uuid::nil()));
    let by_key = partition.preferred_candidates.iter();
    let by_key = by_key.map(|one| key(one.candidate_id.0, one.candidate_directory_id));
    Some(raft::EndQuorumEpochRequest {
        cluster_id: None,
        leader: NodeId(partition.leader_id.0),
        epoch: epoch(partition.leader_epoch)?,
        successors: by_id.chain(by_key).collect(),
        leader_endpoints: endpoints.collect(),
    })
}

fn refused(error: ErrorCode) -> EndQuorumEpochResponse {
    EndQuorumEpochResponse::default().with_error_code(error.code())
}

fn answered(answer: &Answer, listener: &str, version: i16) -> EndQuorumEpochResponse {
    let partition = PartitionData::default()
        .with_error_code(answer.error.code())
        .with_leader_id(wire_node(NodeId(leader_id(answer))))
        .with_leader_epoch(answer.epoch.value());
    let topic = TopicData::default()
        .with_topic_name(TopicName(text(METADATA_TOPIC)))
        .with_partitions(vec![partition]);
    let wire = EndQuorumEpochResponse::default().with_topics(vec![topic]);
    match leader_endpoint(answer, listener) {
        Some((leader, endpoint)) if version >= 1 => wire.with_node_endpoints(vec![
            NodeEndpoint::default()
                .with_node_id(wire_node(NodeId(leader)))
                .with_host(text(&endpoint.host))
                .with_port(endpoint.port),
        ]),
        Some(_) | None => wire,
    }
}
