//! `BeginQuorumEpoch`: a leader introduces itself. Source: KIP-595, KIP-853 (endpoints).

use bytes::Bytes;
use kafka_protocol::messages::begin_quorum_epoch_request::PartitionData as Asked;
use kafka_protocol::messages::begin_quorum_epoch_response::{
    NodeEndpoint, PartitionData, TopicData,
};
use kafka_protocol::messages::{BeginQuorumEpochRequest, BeginQuorumEpochResponse, TopicName};

use super::context::RequestContext;
use super::quorum_words::{
    Words, addressee, cluster, epoch, leader_endpoint, leader_id, metadata_partition, plain_answer,
    put, with_leader,
};
use super::reply::Outcome;
use super::wire::text;
use crate::environment::Runtime;
use crate::model::{ErrorCode, NodeId};
use crate::raft::{self, Endpoint, METADATA_TOPIC, Request, Response};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: BeginQuorumEpochRequest,
) -> Outcome<BeginQuorumEpochResponse> {
    let cluster_id = cluster(request.cluster_id.as_ref());
    let partition = metadata_partition(
        &request.topics,
        |topic| &topic.topic_name,
        |topic| &topic.partitions,
        |partition| partition.partition_index,
    );
    let asked = partition.and_then(|partition| understood(&request, partition));
    let asked = asked
        .map(|asked| raft::BeginQuorumEpochRequest { cluster_id: cluster_id.clone(), ..asked });
    put(
        context,
        cluster_id.as_ref(),
        asked.map(Request::BeginQuorumEpoch),
        0,
        Words { refused, answered },
    )
}

fn understood(
    request: &BeginQuorumEpochRequest,
    partition: &Asked,
) -> Option<raft::BeginQuorumEpochRequest> {
    let endpoints = request.leader_endpoints.iter().map(|endpoint| Endpoint {
        name: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
    });
    Some(raft::BeginQuorumEpochRequest {
        cluster_id: None,
        voter: addressee(request.voter_id.0, partition.voter_directory_id),
        leader: NodeId(partition.leader_id.0),
        epoch: epoch(partition.leader_epoch)?,
        leader_endpoints: endpoints.collect(),
    })
}

fn refused(error: ErrorCode) -> BeginQuorumEpochResponse {
    BeginQuorumEpochResponse::default().with_error_code(error.code())
}

fn answered(
    response: Response,
    _: Bytes,
    listener: &str,
    version: i16,
) -> Option<BeginQuorumEpochResponse> {
    let Response::BeginQuorumEpoch(answer) = response else { return None };
    Some(plain_answer!(BeginQuorumEpochResponse, &answer, listener, version))
}
