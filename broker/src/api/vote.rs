//! Vote: a candidate asks this voter. Source: KIP-595, KIP-853 (directories), KIP-996 (pre-votes).

use kafka_protocol::messages::vote_request::PartitionData as Asked;
use kafka_protocol::messages::vote_response::{NodeEndpoint, PartitionData, TopicData};
use kafka_protocol::messages::{TopicName, VoteRequest, VoteResponse};

use super::context::RequestContext;
use super::quorum_words::{
    QUORUM_ENDED, addressee, ask, cluster, epoch, key, leader_endpoint, leader_id,
    metadata_partition,
};
use super::reply::Outcome;
use super::wire::{text, wire_node};
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId, Offset, OffsetAndEpoch};
use crate::raft::{self, METADATA_TOPIC, Request, Response};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: VoteRequest,
) -> Outcome<VoteResponse> {
    let partition = metadata_partition(
        &request.topics,
        |topic| &topic.topic_name,
        |topic| &topic.partitions,
        |partition| partition.partition_index,
    );
    let cluster_id = cluster(request.cluster_id.as_ref());
    if cluster_id.as_ref().is_some_and(|theirs| *theirs != context.services.cluster_id) {
        return Outcome::Now(refused(ErrorCode::InconsistentClusterId));
    }
    let asked = partition.and_then(|partition| understood(request.voter_id.0, partition));
    let Some(asked) = asked else { return Outcome::Now(refused(ErrorCode::InvalidRequest)) };
    let asked = raft::VoteRequest { cluster_id, ..asked };
    let (quorum, listener, version) = context.quorum_context();
    Outcome::Later(Box::pin(async move {
        match ask(&quorum, Request::Vote(asked), 0).await {
            Some((Response::Vote(response), _)) => answered(&response, &listener, version),
            Some(_) | None => refused(QUORUM_ENDED),
        }
    }))
}

fn understood(voter: i32, partition: &Asked) -> Option<raft::VoteRequest> {
    Some(raft::VoteRequest {
        cluster_id: None,
        voter: addressee(voter, partition.voter_directory_id),
        candidate: key(partition.replica_id.0, partition.replica_directory_id),
        epoch: epoch(partition.replica_epoch)?,
        last: OffsetAndEpoch {
            offset: Offset::from_wire(partition.last_offset)?,
            epoch: epoch(partition.last_offset_epoch)?,
        },
        is_pre_vote: partition.pre_vote,
    })
}

fn refused(error: ErrorCode) -> VoteResponse {
    VoteResponse::default().with_error_code(error.code())
}

fn answered(response: &raft::VoteResponse, listener: &str, version: i16) -> VoteResponse {
    let answer = &response.answer;
    let partition = PartitionData::default()
        .with_error_code(answer.error.code())
        .with_leader_id(wire_node(NodeId(leader_id(answer))))
        .with_leader_epoch(answer.epoch.value())
        .with_vote_granted(response.is_granted);
    let topic = TopicData::default()
        .with_topic_name(TopicName(text(METADATA_TOPIC)))
        .with_partitions(vec![partition]);
    let wire = VoteResponse::default().with_topics(vec![topic]);
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
